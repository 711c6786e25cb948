//! Which versions and suites are spoken: OpenSSL's words for them, turned into rustls's suites.
//!
//! The lists are those of `tls-protocols`, `tls-ciphers` (TLS 1.2) and `tls-ciphersuites`
//! (TLS 1.3). Of a list of ciphers everything is known that picks among the six that rustls has
//! for TLS 1.2; words for others pick nothing, and a list that picks nothing is an error, as in
//! OpenSSL.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::{CipherSuite as Name, SupportedCipherSuite, SupportedProtocolVersion, version};

/// What is spoken.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The versions.
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// Suites of both versions, the favourite first, and what computes them.
    pub provider: Arc<CryptoProvider>,
    /// Words that were understood and picked nothing: versions that rustls lacks.
    pub ignored: Vec<String>,
}

/// A suite of TLS 1.2 under OpenSSL's name, and the words that pick it.
struct Known {
    name: &'static str,
    suite: Name,
    words: &'static str,
}

const TLS12: &[Known] = &[
    Known {
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        suite: Name::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        words: "ECDSA aECDSA AES AES256 AESGCM SHA384",
    },
    Known {
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        suite: Name::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        words: "RSA aRSA AES AES256 AESGCM SHA384",
    },
    Known {
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        suite: Name::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        words: "ECDSA aECDSA CHACHA20 SHA256",
    },
    Known {
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        suite: Name::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        words: "RSA aRSA CHACHA20 SHA256",
    },
    Known {
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        suite: Name::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        words: "ECDSA aECDSA AES AES128 AESGCM SHA256",
    },
    Known {
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        suite: Name::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        words: "RSA aRSA AES AES128 AESGCM SHA256",
    },
];
/// Words that pick every one of them.
const EVERY: &[&str] = &[
    "ALL", "DEFAULT", "HIGH", "ECDH", "ECDHE", "EECDH", "kECDHE", "kEECDH", "TLSv1.2", "AEAD",
    "FIPS",
];
const TLS13: &[(&str, Name)] = &[
    ("TLS_AES_256_GCM_SHA384", Name::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", Name::TLS13_CHACHA20_POLY1305_SHA256),
    ("TLS_AES_128_GCM_SHA256", Name::TLS13_AES_128_GCM_SHA256),
];
/// Suites of TLS 1.3 that OpenSSL has and rustls has not.
const TLS13_LACKING: &[&str] = &["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"];

impl Choice {
    /// Reads the three lists; an empty one means what is usual.
    ///
    /// # Errors
    /// The line to log: which list is wrong, and how.
    pub fn of(protocols: &str, ciphers: &str, ciphersuites: &str) -> Result<Choice, String> {
        let (versions, ignored) = versions(protocols)?;
        let mut names = tls13(ciphersuites)?;
        names.extend(tls12(ciphers)?);
        let all = ring::default_provider();
        let find = |name: &Name| all.cipher_suites.iter().find(|suite| suite.suite() == *name);
        let suites: Vec<SupportedCipherSuite> = names.iter().filter_map(find).copied().collect();
        assert_eq!(suites.len(), names.len(), "the provider has every suite of the tables");
        let provider = Arc::new(CryptoProvider { cipher_suites: suites, ..all });
        Ok(Choice { versions, provider, ignored })
    }
}

/// The versions of `tls-protocols`, and the words for versions that are left out.
fn versions(
    protocols: &str,
) -> Result<(Vec<&'static SupportedProtocolVersion>, Vec<String>), String> {
    let mut versions = Vec::new();
    let mut ignored = Vec::new();
    for word in protocols.split(' ').filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "tlsv1" | "tlsv1.1" => ignored.push(word.to_owned()),
            "tlsv1.2" => versions.push(&version::TLS12),
            "tlsv1.3" => versions.push(&version::TLS13),
            _ => {
                return Err("Invalid tls-protocols specified. Use a combination of 'TLSv1', \
                            'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'."
                    .to_owned());
            }
        }
    }
    if versions.is_empty() && !ignored.is_empty() {
        return Err(format!(
            "None of the tls-protocols specified ({}) is supported: there are TLSv1.2 and TLSv1.3.",
            ignored.join(" ")
        ));
    }
    if versions.is_empty() {
        versions = vec![&version::TLS13, &version::TLS12];
    }
    Ok((versions, ignored))
}

/// The suites that `tls-ciphers` picks, in order.
fn tls12(list: &str) -> Result<Vec<Name>, String> {
    let list = if list.is_empty() { "DEFAULT" } else { list };
    let mut chosen: Vec<usize> = Vec::new();
    let mut banned = [false; TLS12.len()];
    for item in list.split([':', ',', ' ']).filter(|item| !item.is_empty()) {
        // `@STRENGTH` and `@SECLEVEL` order and limit what is in good order already.
        if item.starts_with('@') {
            continue;
        }
        let (sign, words) = match item.as_bytes()[0] {
            sign @ (b'!' | b'-' | b'+') => (sign, &item[1..]),
            _ => (b' ', item),
        };
        let picked: Vec<usize> = (0..TLS12.len()).filter(|at| picks(words, &TLS12[*at])).collect();
        match sign {
            b' ' => {
                let fresh = picked.iter().filter(|at| !banned[**at] && !chosen.contains(at));
                let fresh: Vec<usize> = fresh.copied().collect();
                chosen.extend(fresh);
            }
            b'+' => {
                let (back, front) = chosen.iter().partition(|at| picked.contains(at));
                let (front, back): (Vec<usize>, Vec<usize>) = (front, back);
                chosen = [front, back].concat();
            }
            sign => {
                chosen.retain(|at| !picked.contains(at));
                picked.iter().filter(|_| sign == b'!').for_each(|at| banned[*at] = true);
            }
        }
    }
    if chosen.is_empty() {
        let names: Vec<&str> = TLS12.iter().map(|known| known.name).collect();
        return Err(format!(
            "Failed to configure ciphers: {list}: no cipher match (there are: {})",
            names.join(":")
        ));
    }
    Ok(chosen.into_iter().map(|at| TLS12[at].suite).collect())
}

/// Whether a name, or words joined by `+`, pick a suite.
fn picks(words: &str, known: &Known) -> bool {
    let is = |word: &str| EVERY.contains(&word) || known.words.split(' ').any(|own| own == word);
    words == known.name
        || Some(words) == known.suite.as_str().map(|name| name.trim_start_matches("TLS13_"))
        || words.split('+').all(is)
}

/// The suites of `tls-ciphersuites`, in order.
fn tls13(list: &str) -> Result<Vec<Name>, String> {
    let mut chosen = Vec::new();
    for item in list.split([':', ',', ' ']).filter(|item| !item.is_empty()) {
        match TLS13.iter().find(|(name, _)| *name == item) {
            Some((_, suite)) if !chosen.contains(suite) => chosen.push(*suite),
            Some(_) => {}
            None if TLS13_LACKING.contains(&item) => {}
            None => return Err(format!("Failed to configure ciphersuites: {list}")),
        }
    }
    if list.is_empty() {
        return Ok(TLS13.iter().map(|(_, suite)| *suite).collect());
    }
    if chosen.is_empty() {
        let names: Vec<&str> = TLS13.iter().map(|(name, _)| *name).collect();
        return Err(format!(
            "Failed to configure ciphersuites: {list}: no cipher match (there are: {})",
            names.join(":")
        ));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(list: &str) -> Vec<&'static str> {
        let suites = tls12(list).expect("a list that picks something");
        let name = |suite| TLS12.iter().find(|known| known.suite == suite).expect("a known").name;
        suites.into_iter().map(name).collect()
    }

    #[test]
    fn lists_are_read_as_openssl_reads_them() {
        assert_eq!(picked("").len(), 6);
        assert_eq!(picked("DEFAULT:-AES128-SHA256").len(), 6);
        assert_eq!(
            picked("ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA"),
            ["ECDHE-RSA-AES128-GCM-SHA256"]
        );
        assert_eq!(
            picked("ECDHE+CHACHA20:ECDHE+AES128:!ECDSA"),
            ["ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-GCM-SHA256"]
        );
        assert_eq!(picked("HIGH:!AESGCM:@STRENGTH").len(), 2);
        // A banned one does not come back; one taken out does; `+` moves to the end.
        assert_eq!(picked("!aECDSA:ALL").len(), 3);
        assert_eq!(picked("ALL:-CHACHA20:CHACHA20").last(), Some(&"ECDHE-RSA-CHACHA20-POLY1305"));
        assert_eq!(picked("ALL:+AES256").last(), Some(&"ECDHE-RSA-AES256-GCM-SHA384"));
    }

    #[test]
    fn a_list_that_picks_nothing_says_what_there_is() {
        let error = Choice::of("", "AES128-SHA256", "").expect_err("CBC");
        assert!(error.starts_with("Failed to configure ciphers: AES128-SHA256: no cipher match"));
        assert!(error.contains("ECDHE-RSA-AES128-GCM-SHA256"));
        let error = Choice::of("", "", "TLS_AES_128_CCM_SHA256").expect_err("CCM");
        assert!(error.contains("TLS_AES_128_GCM_SHA256"), "{error}");
        let error = Choice::of("", "", "NONSENSE").expect_err("no such suite");
        assert_eq!(error, "Failed to configure ciphersuites: NONSENSE");
        assert_eq!(
            tls13("TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256"),
            Ok(vec![Name::TLS13_AES_128_GCM_SHA256])
        );
    }

    #[test]
    fn versions_before_1_2_are_left_out() {
        let choice = Choice::of("TLSv1.1 tlsv1.2", "", "").expect("one is known");
        assert_eq!((choice.versions.len(), choice.ignored), (1, vec!["TLSv1.1".to_owned()]));
        assert_eq!(Choice::of("", "", "").expect("usual").versions.len(), 2);
        assert!(Choice::of("TLSv1", "", "").expect_err("too old").contains("TLSv1.3"));
        assert!(Choice::of("SSLv3", "", "").expect_err("unknown").starts_with("Invalid"));
    }
}
