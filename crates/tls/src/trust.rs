//! Whom to trust: certificates of authorities, and what they vouch for.
//!
//! As Redis does it, a certificate counts when the chain up to one of the authorities holds at
//! this time; the name in it is not compared with the host's (nodes are known by addresses that
//! no certificate names). [`Demand::Name`] does compare it, for a client with `--sni`.
//!
//! Certificates of version 1 are what `openssl x509 -req` makes without further words, and what
//! Redis's own script for test certificates makes; webpki reads version 3 only. So one that an
//! authority itself has signed is checked here: issuer, times, signature.
//!
//! A certificate that is one of the authorities, byte for byte, needs nobody to vouch for it: one
//! that has signed itself (`openssl req -x509`) is named as both by many. webpki has no use for an
//! authority at the end of a chain; its times are checked here.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use crate::der::{BIT_STRING, Der, INTEGER, SEQUENCE};

/// What a server's certificate must show besides a valid chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing: as Redis's servers and client.
    Chain,
    /// The host's name.
    Name,
    /// Not even the chain (`--insecure`).
    Nothing,
}

/// Certificates of authorities.
#[derive(Clone)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    /// The same, for certificates of version 1.
    authorities: Arc<Vec<CertificateDer<'static>>>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({} authorities)", self.authorities.len())
    }
}

impl Trust {
    /// Trusts `authorities`.
    ///
    /// # Errors
    /// One that cannot be an authority.
    pub fn new(
        authorities: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Trust, String> {
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            roots.add(authority.clone()).map_err(|error| error.to_string())?;
        }
        Ok(Trust { roots: Arc::new(roots), authorities: Arc::new(authorities), provider })
    }

    /// Checks clients' certificates; without `required` a client may come with none.
    ///
    /// # Errors
    /// Without authorities nobody can be checked.
    pub fn for_clients(&self, required: bool) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let roots = Arc::clone(&self.roots);
        let builder =
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&self.provider));
        let builder = if required { builder } else { builder.allow_unauthenticated() };
        let inner = builder.build().map_err(|error| error.to_string())?;
        Ok(Arc::new(Clients { inner, trust: self.clone() }))
    }

    /// Checks servers' certificates.
    pub fn for_servers(&self, demand: Demand) -> Arc<dyn ServerCertVerifier> {
        Arc::new(Servers { trust: self.clone(), demand })
    }

    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }

    /// Whether this certificate itself is trusted as an authority.
    fn is_authority(&self, cert: &CertificateDer<'_>) -> bool {
        self.authorities.iter().any(|authority| authority.as_ref() == cert.as_ref())
    }

    /// A certificate of version 1 that an authority has signed.
    fn check_version_1(&self, cert: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
        let bad = |error: CertificateError| Error::InvalidCertificate(error);
        let parsed = Version1::read(cert).ok_or_else(|| bad(CertificateError::BadEncoding))?;
        check_times(cert, now)?;
        let vouches = |authority: &CertificateDer<'_>| {
            subject(authority) == Some(parsed.issuer)
                && public_key(authority).is_some_and(|key| {
                    self.algorithms().all.iter().any(|algorithm| parsed.is_signed(key, *algorithm))
                })
        };
        if self.authorities.iter().any(vouches) {
            Ok(())
        } else {
            Err(bad(CertificateError::UnknownIssuer))
        }
    }

    /// A signature made in a handshake with the key of a certificate of version 1.
    fn check_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key(cert).ok_or(CertificateError::BadEncoding)?;
        let (algorithm, bits) = split_key(key).ok_or(CertificateError::BadEncoding)?;
        let known = self.algorithms().mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let (_, algorithms) = known.ok_or(CertificateError::BadSignature)?;
        let holds = algorithms.iter().any(|one| {
            one.public_key_alg_id().as_ref() == algorithm
                && one.verify_signature(bits, message, signed.signature()).is_ok()
        });
        if holds {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn tls12(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if Version1::read(cert).is_some() {
            return self.check_signature(message, cert, signed);
        }
        rustls::crypto::verify_tls12_signature(message, cert, signed, self.algorithms())
    }

    fn tls13(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if Version1::read(cert).is_some() {
            let in_tls13 = !matches!(
                signed.scheme,
                SignatureScheme::RSA_PKCS1_SHA256
                    | SignatureScheme::RSA_PKCS1_SHA384
                    | SignatureScheme::RSA_PKCS1_SHA512
            );
            if !in_tls13 {
                return Err(CertificateError::BadSignature.into());
            }
            return self.check_signature(message, cert, signed);
        }
        rustls::crypto::verify_tls13_signature(message, cert, signed, self.algorithms())
    }
}

#[derive(Debug)]
struct Clients {
    inner: Arc<dyn ClientCertVerifier>,
    trust: Trust,
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        cert: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if Version1::read(cert).is_some() {
            self.trust.check_version_1(cert, now)?;
            return Ok(ClientCertVerified::assertion());
        }
        if self.trust.is_authority(cert) {
            check_times(cert, now)?;
            return Ok(ClientCertVerified::assertion());
        }
        self.inner.verify_client_cert(cert, chain, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.tls12(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.tls13(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms().supported_schemes()
    }
}

#[derive(Debug)]
struct Servers {
    trust: Trust,
    demand: Demand,
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.demand == Demand::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        if Version1::read(cert).is_some() {
            self.trust.check_version_1(cert, now)?;
            // It has no place for a host's names but the one that nobody looks at any more.
            return match self.demand {
                Demand::Name => Err(CertificateError::NotValidForName.into()),
                _ => Ok(ServerCertVerified::assertion()),
            };
        }
        let parsed = ParsedCertificate::try_from(cert)?;
        if self.trust.is_authority(cert) {
            check_times(cert, now)?;
        } else {
            let algorithms = self.trust.algorithms().all;
            let roots = &self.trust.roots;
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, chain, now, algorithms)?;
        }
        if self.demand == Demand::Name {
            verify_server_name(&parsed, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.tls12(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.tls13(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms().supported_schemes()
    }
}

/// A certificate of version 1: what is needed of it.
struct Version1<'a> {
    /// What is signed.
    body: &'a [u8],
    issuer: &'a [u8],
    /// The algorithm's identifier, without its head.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Version1<'a> {
    /// Reads one; `None` for a damaged one and for other versions.
    fn read(cert: &'a CertificateDer<'_>) -> Option<Version1<'a>> {
        let mut outer = Der(Der(cert.as_ref()).take(SEQUENCE)?.inner);
        let body = outer.take(SEQUENCE)?;
        let algorithm = outer.take(SEQUENCE)?;
        let signature = outer.take(BIT_STRING)?.inner.strip_prefix(&[0])?;
        let mut inner = Der(body.inner);
        // Later versions say theirs first.
        inner.take(INTEGER)?;
        let signed_with = inner.take(SEQUENCE)?;
        let issuer = inner.take(SEQUENCE)?.whole;
        let _times = inner.take(SEQUENCE)?;
        let _subject = inner.take(SEQUENCE)?;
        let _key = inner.take(SEQUENCE)?;
        (inner.0.is_empty() && signed_with.inner == algorithm.inner).then_some(Version1 {
            body: body.whole,
            issuer,
            algorithm: algorithm.inner,
            signature,
        })
    }

    fn is_signed(&self, key: &[u8], algorithm: &dyn SignatureVerificationAlgorithm) -> bool {
        let Some((kind, bits)) = split_key(key) else { return false };
        algorithm.signature_alg_id().as_ref() == self.algorithm
            && algorithm.public_key_alg_id().as_ref() == kind
            && algorithm.verify_signature(bits, self.body, self.signature).is_ok()
    }
}

/// Whether a certificate of any version counts at this time.
fn check_times(cert: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (not_before, not_after) = times(cert).ok_or(CertificateError::BadEncoding)?;
    if now.as_secs() < not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > not_after {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// From when to when it counts, in seconds since 1970.
fn times(cert: &CertificateDer<'_>) -> Option<(u64, u64)> {
    let mut body = from_issuer(cert)?;
    body.take(SEQUENCE)?;
    let mut times = Der(body.take(SEQUENCE)?.inner);
    Some((time(&mut times)?, time(&mut times)?))
}

/// Seconds since 1970 of a UTCTime or GeneralizedTime in Zulu time.
fn time(der: &mut Der<'_>) -> Option<u64> {
    let item = der.any()?;
    let text = std::str::from_utf8(item.inner).ok()?.strip_suffix('Z')?;
    let two = |at: usize| text.get(at..at + 2)?.parse::<u64>().ok();
    let (year, rest) = match (item.tag, text.len()) {
        (0x17, 12) => (two(0)? + if two(0)? < 50 { 2000 } else { 1900 }, 2),
        (0x18, 14) => (two(0)? * 100 + two(2)?, 4),
        _ => return None,
    };
    let (month, day) = (two(rest)?, two(rest + 2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year < 1970 {
        return None;
    }
    // Days since 1970, with the year beginning in March so that leap days come last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        (365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day).checked_sub(719_469)?;
    Some(((days * 24 + two(rest + 4)?) * 60 + two(rest + 6)?) * 60 + two(rest + 8)?)
}

/// The fields of a certificate's body from the issuer on.
fn from_issuer<'a>(cert: &'a CertificateDer<'_>) -> Option<Der<'a>> {
    const VERSION: u8 = 0xa0;
    let mut outer = Der(Der(cert.as_ref()).take(SEQUENCE)?.inner);
    let mut body = Der(outer.take(SEQUENCE)?.inner);
    body.take(VERSION);
    body.take(INTEGER)?;
    let _algorithm = body.take(SEQUENCE)?;
    Some(body)
}

/// The fields from the subject on.
fn from_subject<'a>(cert: &'a CertificateDer<'_>) -> Option<Der<'a>> {
    let mut body = from_issuer(cert)?;
    let _issuer = body.take(SEQUENCE)?;
    let _times = body.take(SEQUENCE)?;
    Some(body)
}

fn subject<'a>(cert: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    Some(from_subject(cert)?.take(SEQUENCE)?.whole)
}

/// The public key of a certificate of any version, as `SubjectPublicKeyInfo`.
pub(crate) fn public_key<'a>(cert: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    let mut body = from_subject(cert)?;
    body.take(SEQUENCE)?;
    Some(body.take(SEQUENCE)?.whole)
}

/// A public key's kind and its bits.
fn split_key(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut key = Der(Der(key).take(SEQUENCE)?.inner);
    let kind = key.take(SEQUENCE)?.inner;
    Some((kind, key.take(BIT_STRING)?.inner.strip_prefix(&[0])?))
}

#[cfg(test)]
mod tests;
