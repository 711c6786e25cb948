//! `redis[s]://[[user:]password@][host[:port]][/db]`, as `-u` takes it.

use crate::options::Options;
use crate::text::leading_int;

/// Sets what `uri` says in `options`. The error is the text for the user.
pub(crate) fn apply(uri: &[u8], options: &mut Options) -> Result<(), String> {
    let mut rest = match (strip_scheme(uri, b"redis://"), strip_scheme(uri, b"rediss://")) {
        (Some(rest), _) => rest,
        (None, Some(rest)) => {
            options.tls.enabled = true;
            rest
        }
        (None, None) => return Err("Invalid URI scheme".into()),
    };
    if let Some(at) = find(rest, b'@') {
        let mut secret = &rest[..at];
        if let Some(colon) = find(secret, b':') {
            options.user = Some(percent_decoded(&secret[..colon])?);
            secret = &secret[colon + 1..];
        }
        options.auth = Some(percent_decoded(secret)?);
        rest = &rest[at + 1..];
    }
    if rest.is_empty() {
        return Ok(());
    }
    let slash = find(rest, b'/');
    let authority = &rest[..slash.unwrap_or(rest.len())];
    if !authority.is_empty() {
        let host = match find(authority, b':') {
            Some(colon) => {
                options.port = leading_int(&authority[colon + 1..]);
                &authority[..colon]
            }
            None => authority,
        };
        options.host = String::from_utf8_lossy(host).into_owned();
    }
    if let Some(slash) = slash
        && slash + 1 < rest.len()
    {
        options.db = leading_int(&rest[slash + 1..]);
    }
    Ok(())
}

fn strip_scheme<'a>(uri: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = uri.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn find(text: &[u8], byte: u8) -> Option<usize> {
    text.iter().position(|&other| other == byte)
}

fn percent_decoded(mut text: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    while let [byte, rest @ ..] = text {
        if *byte != b'%' {
            out.push(*byte);
            text = rest;
            continue;
        }
        let [high, low, rest @ ..] = rest else {
            return Err("Incomplete URI encoding".into());
        };
        let digits = (char::from(*high).to_digit(16), char::from(*low).to_digit(16));
        let (Some(high), Some(low)) = digits else {
            return Err("Illegal character in URI encoding".into());
        };
        out.push((high * 16 + low) as u8);
        text = rest;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_optional() {
        for (uri, user, auth, host, port, db) in [
            ("redis://", None, None, "127.0.0.1", 6379, 0),
            ("REDIS://h", None, None, "h", 6379, 0),
            ("redis://h:7/3", None, None, "h", 7, 3),
            ("redis:///5", None, None, "127.0.0.1", 6379, 5),
            ("redis://pw@h", None, Some("pw"), "h", 6379, 0),
            ("redis://u:p%40w@h:1", Some("u"), Some("p@w"), "h", 1, 0),
            ("redis://:p@", Some(""), Some("p"), "127.0.0.1", 6379, 0),
        ] {
            let mut options = crate::test_options();
            apply(uri.as_bytes(), &mut options).expect(uri);
            assert_eq!(options.user.as_deref(), user.map(str::as_bytes), "{uri}");
            assert_eq!(options.auth.as_deref(), auth.map(str::as_bytes), "{uri}");
            assert_eq!((options.host.as_str(), options.port, options.db), (host, port, db));
        }
    }

    #[test]
    fn the_longer_scheme_means_tls() {
        let mut options = crate::test_options();
        apply(b"rediss://u:p@h:7/3", &mut options).expect("it is sound");
        assert!(options.tls.enabled);
        assert_eq!((options.host.as_str(), options.port, options.db), ("h", 7, 3));
    }

    #[test]
    fn other_texts_are_refused() {
        for uri in ["", "h:1", "http://h", "redisss://h", "redis://a%4@h", "redis://a%zz@h"] {
            assert!(apply(uri.as_bytes(), &mut crate::test_options()).is_err(), "{uri}");
        }
    }
}
