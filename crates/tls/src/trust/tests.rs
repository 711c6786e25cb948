//! Certificates that count, and those that do not.

use super::*;
use crate::{Choice, certificates, private_key};

// Made once with OpenSSL 3 as Redis's gen-test-certs.sh makes its own, valid until 2126; the leaf
// is of version 1, its key is locked with "1234".
const AUTHORITY: &[u8] = include_bytes!("testdata/ca.crt");
const VERSION_1: &[u8] = include_bytes!("testdata/v1.crt");
const LOCKED: &[u8] = include_bytes!("testdata/v1.key.locked");

fn provider() -> Arc<CryptoProvider> {
    Choice::of("", "", "").expect("what is usual").provider
}

fn trust() -> Trust {
    Trust::new(certificates(AUTHORITY).expect("one"), provider()).expect("an authority")
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

/// A day in 2030.
const THEN: u64 = 1_900_000_000;

#[test]
fn a_certificate_of_version_1_counts_when_an_authority_has_signed_it() {
    let leaf = &certificates(VERSION_1).expect("one")[0];
    assert!(Version1::read(leaf).is_some());
    trust().check_version_1(leaf, at(THEN)).expect("signed by the authority");
    let early = trust().check_version_1(leaf, at(0)).expect_err("long before");
    assert_eq!(early, Error::InvalidCertificate(CertificateError::NotValidYet));
    let late = trust().check_version_1(leaf, at(9_000_000_000)).expect_err("long after");
    assert_eq!(late, Error::InvalidCertificate(CertificateError::Expired));
    // One bit of what is signed, or of the signature.
    for byte in [40, leaf.len() - 3] {
        let mut forged = leaf.to_vec();
        forged[byte] ^= 1;
        assert!(trust().check_version_1(&forged.into(), at(THEN)).is_err());
    }
}

#[test]
fn others_of_version_1_do_not() {
    let leaf = &certificates(VERSION_1).expect("one")[0];
    let (stranger, _) = authority("stranger");
    let trust = Trust::new(vec![stranger], provider()).expect("an authority");
    let error = trust.check_version_1(leaf, at(THEN)).expect_err("not by this one");
    assert_eq!(error, Error::InvalidCertificate(CertificateError::UnknownIssuer));
    assert!(Version1::read(&certificates(AUTHORITY).expect("one")[0]).is_none());
}

/// A fresh authority and what signs for it.
fn authority(name: &str) -> (CertificateDer<'static>, rcgen::Issuer<'static, rcgen::KeyPair>) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let own = params.self_signed(&key).expect("a certificate").der().clone();
    (own, rcgen::Issuer::new(params, key))
}

#[test]
fn names_are_compared_only_on_demand() {
    let (own, issuer) = authority("authority");
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["db.example".to_owned()]).expect("a name");
    let leaf = params.signed_by(&key, &issuer).expect("a certificate").der().clone();
    let trust = Trust::new(vec![own], provider()).expect("an authority");
    let check = |demand, name: &'static str| {
        let name = ServerName::try_from(name).expect("a name");
        trust.for_servers(demand).verify_server_cert(&leaf, &[], &name, &[], at(THEN)).is_ok()
    };
    assert!(check(Demand::Chain, "other.example"));
    assert!(check(Demand::Name, "db.example"));
    assert!(!check(Demand::Name, "other.example"));
    let (stranger, _) = authority("authority");
    let others = Trust::new(vec![stranger], provider()).expect("an authority");
    let verify = |demand| {
        let name = ServerName::try_from("db.example").expect("a name");
        others.for_servers(demand).verify_server_cert(&leaf, &[], &name, &[], at(THEN)).is_ok()
    };
    assert!(!verify(Demand::Chain) && verify(Demand::Nothing));
}

#[test]
fn an_authority_may_be_the_end_of_its_own_chain() {
    let mut params = rcgen::CertificateParams::new(vec!["db.example".to_owned()]).expect("a name");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let make = || params.self_signed(&key).expect("a certificate").der().clone();
    let own = make();
    let trust = Trust::new(vec![own.clone()], provider()).expect("an authority");
    let by_server = |demand, name: &'static str, now| {
        let name = ServerName::try_from(name).expect("a name");
        trust.for_servers(demand).verify_server_cert(&own, &[], &name, &[], at(now)).map(drop)
    };
    by_server(Demand::Chain, "other.example", THEN).expect("it is trusted");
    by_server(Demand::Name, "db.example", THEN).expect("it is trusted, and this is its name");
    assert!(by_server(Demand::Name, "other.example", THEN).is_err());
    let clients = trust.for_clients(true).expect("an authority");
    let by_client = |now| clients.verify_client_cert(&own, &[], at(now)).map(drop);
    by_client(THEN).expect("it is trusted");
    for (now, error) in
        [(0, CertificateError::NotValidYet), (9_000_000_000, CertificateError::Expired)]
    {
        let error = Error::InvalidCertificate(error);
        assert_eq!(by_server(Demand::Chain, "db.example", now), Err(error.clone()));
        assert_eq!(by_client(now), Err(error));
    }
    // Another one that says the same of itself is another one.
    let mut params = params.clone();
    params.serial_number = Some(rcgen::SerialNumber::from(7u64));
    let other = rcgen::KeyPair::generate().expect("a key");
    let stranger = params.self_signed(&other).expect("a certificate").der().clone();
    assert!(clients.verify_client_cert(&stranger, &[], at(THEN)).is_err());
}

#[test]
fn a_locked_key_opens_with_its_password_only() {
    assert!(private_key(LOCKED, None).expect_err("locked").contains("no password"));
    assert!(private_key(LOCKED, Some(b"4321")).is_err());
    let key = private_key(LOCKED, Some(b"1234")).expect("the password");
    let chain = certificates(VERSION_1).expect("one");
    crate::Identity::new(chain, key.clone_key(), &provider()).expect("they belong together");
    let error = crate::Identity::new(certificates(AUTHORITY).expect("one"), key, &provider());
    assert!(error.expect_err("another's key").contains("mismatch"));
    assert!(private_key(b"nothing", None).expect_err("no key").contains("no private key"));
    assert!(certificates(b"nothing").is_err());
    let old = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
    assert!(private_key(old, Some(b"x")).expect_err("old").contains("openssl pkcs8"));
}

#[test]
fn times_of_both_forms_are_read() {
    let read = |tag: u8, text: &str| {
        let bytes = [&[tag, u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
        time(&mut Der(&bytes))
    };
    assert_eq!(read(0x17, "700101000000Z"), Some(0));
    assert_eq!(read(0x17, "000229235959Z"), Some(951_868_799));
    assert_eq!(read(0x18, "21260301000000Z"), Some(4_927_996_800));
    assert_eq!(read(0x17, "690101000000Z"), None);
    assert_eq!(read(0x17, "701301000000Z"), None);
    assert_eq!(read(0x18, "garbage"), None);
}
