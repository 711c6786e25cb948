//! A private key under a password: PKCS#8's `ENCRYPTED PRIVATE KEY` with PBES2, as
//! `openssl genpkey -aes256` and `openssl rsa -aes256` write it (RFC 8018).
//!
//! ```text
//! EncryptedPrivateKeyInfo { PBES2 { PBKDF2 { salt, iterations, PRF }, AES-CBC { IV } }, bytes }
//! ```
//! The older form with `DEK-Info` lines needs MD5 and is refused, with the command that turns it
//! into this one.

use std::num::NonZeroU32;

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, KeyIvInit};
use ring::pbkdf2;

use crate::der::{Der, NULL, OBJECT, OCTET_STRING, SEQUENCE};

const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
const HMAC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];
const AES_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];
/// More rounds than anybody asks for: a file must not hold a server up for hours.
const ITERATIONS_MAX: u64 = 50_000_000;

/// Opens `locked` (DER) with `password`; what is inside is a PKCS#8 private key.
///
/// # Errors
/// A form that is not known, or the wrong password.
pub(crate) fn open(locked: &[u8], password: &[u8]) -> Result<Vec<u8>, String> {
    let lock = Lock::read(locked)
        .ok_or("the key is locked in a way that is not known (PBES2 with AES-CBC is)")?;
    let mut key = [0; 32];
    let key = &mut key[..lock.key_bytes];
    pbkdf2::derive(lock.prf, lock.rounds, lock.salt, password, key);
    let opened = match key.len() {
        16 => open_with::<Decryptor<Aes128>>(key, &lock),
        24 => open_with::<Decryptor<Aes192>>(key, &lock),
        _ => open_with::<Decryptor<Aes256>>(key, &lock),
    };
    let opened = opened.ok_or("the password does not open the key")?;
    // One wrong password in 256 leaves a padding that looks right.
    Der(&opened).take(SEQUENCE).ok_or("the password does not open the key")?;
    Ok(opened)
}

/// `None` when the padding is wrong, which a wrong password makes it.
fn open_with<D: BlockDecryptMut + KeyIvInit>(key: &[u8], lock: &Lock<'_>) -> Option<Vec<u8>> {
    let opener = D::new_from_slices(key, lock.iv).ok()?;
    opener.decrypt_padded_vec_mut::<Pkcs7>(lock.bytes).ok()
}

struct Lock<'a> {
    salt: &'a [u8],
    rounds: NonZeroU32,
    prf: pbkdf2::Algorithm,
    key_bytes: usize,
    iv: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Lock<'a> {
    fn read(der: &'a [u8]) -> Option<Lock<'a>> {
        let mut outer = Der(Der(der).take(SEQUENCE)?.inner);
        let mut scheme = Der(outer.take(SEQUENCE)?.inner);
        let bytes = outer.take(OCTET_STRING)?.inner;
        (scheme.take(OBJECT)?.inner == PBES2).then_some(())?;
        let mut scheme = Der(scheme.take(SEQUENCE)?.inner);
        let mut derive = Der(scheme.take(SEQUENCE)?.inner);
        let mut cipher = Der(scheme.take(SEQUENCE)?.inner);
        (derive.take(OBJECT)?.inner == PBKDF2).then_some(())?;
        let mut derive = Der(derive.take(SEQUENCE)?.inner);
        let salt = derive.take(OCTET_STRING)?.inner;
        let rounds = derive.number().filter(|rounds| *rounds <= ITERATIONS_MAX)?;
        let rounds = NonZeroU32::new(u32::try_from(rounds).ok()?)?;
        let _key_length = derive.number();
        let prf = match derive.take(SEQUENCE) {
            None => pbkdf2::PBKDF2_HMAC_SHA1,
            Some(prf) => {
                let mut prf = Der(prf.inner);
                let name = prf.take(OBJECT)?.inner;
                prf.take(NULL);
                match *name.strip_prefix(HMAC)? {
                    [7] => pbkdf2::PBKDF2_HMAC_SHA1,
                    [9] => pbkdf2::PBKDF2_HMAC_SHA256,
                    [10] => pbkdf2::PBKDF2_HMAC_SHA384,
                    [11] => pbkdf2::PBKDF2_HMAC_SHA512,
                    _ => return None,
                }
            }
        };
        let key_bytes = match *cipher.take(OBJECT)?.inner.strip_prefix(AES_CBC)? {
            [2] => 16,
            [22] => 24,
            [42] => 32,
            _ => return None,
        };
        let iv = cipher.take(OCTET_STRING)?.inner;
        Some(Lock { salt, rounds, prf, key_bytes, iv, bytes })
    }
}
