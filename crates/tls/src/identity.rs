//! Who we are: a chain of certificates and the key of the first one.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::locked_key;
use crate::trust::public_key;

/// All certificates in `pem`, in order.
///
/// # Errors
/// A damaged one, or none at all.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| error.to_string())?;
    if all.is_empty() { Err("no certificate found".to_owned()) } else { Ok(all) }
}

/// The first private key in `pem`, opened with `password` if it is locked.
///
/// # Errors
/// No key, a damaged one, or one that the password does not open.
pub fn private_key(pem: &[u8], password: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, String> {
    let text = String::from_utf8_lossy(pem);
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(
            "the key is locked in the old form of PEM; turn it into PKCS#8: openssl pkcs8 \
                    -topk8 -v2 aes-256-cbc -in OLD -out NEW"
                .to_owned(),
        );
    }
    if let Some(locked) = locked_section(pem)? {
        let password = password.ok_or("the key is locked, and there is no password for it")?;
        return Ok(PrivatePkcs8KeyDer::from(locked_key::open(&locked, password)?).into());
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => "no private key found".to_owned(),
        other => other.to_string(),
    })
}

/// The contents of the first `ENCRYPTED PRIVATE KEY` section.
fn locked_section(pem: &[u8]) -> Result<Option<Vec<u8>>, String> {
    const BEGIN: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    let Some(start) = pem.windows(BEGIN.len()).position(|window| window == BEGIN) else {
        return Ok(None);
    };
    // The reader of PEM knows no sections of this name; under that of a plain key it reads them.
    let text = String::from_utf8_lossy(&pem[start..]).replace("ENCRYPTED PRIVATE", "PRIVATE");
    match rustls::pki_types::pem::from_buf(&mut text.as_bytes()) {
        Ok(Some((SectionKind::PrivateKey, der))) => Ok(Some(der)),
        Ok(_) => Err("the private key's section is damaged".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A certificate with its chain and key, ready to be shown.
#[derive(Clone, Debug)]
pub struct Identity(pub(crate) Arc<CertifiedKey>);

impl Identity {
    /// Puts a chain and a key together.
    ///
    /// # Errors
    /// A key of a kind that is not known, or one that is not the certificate's.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<Identity, String> {
        let key = provider.key_provider.load_private_key(key).map_err(|error| error.to_string())?;
        let first = chain.first().ok_or("no certificate found")?;
        let certified = public_key(first).ok_or("the certificate is damaged")?;
        if key.public_key().is_some_and(|own| own.as_ref() != certified) {
            return Err("the key is not the certificate's: key values mismatch".to_owned());
        }
        Ok(Identity(Arc::new(CertifiedKey::new(chain, key))))
    }

    /// For a configuration's resolver, of a server as of a client.
    pub fn resolver(&self) -> Arc<rustls::sign::SingleCertAndKey> {
        Arc::new((*self.0).clone().into())
    }
}
