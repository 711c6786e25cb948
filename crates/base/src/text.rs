//! Texts as servers written in C show them.

/// The part of a text that Redis, whose texts end with a NUL, would show of it.
pub fn up_to_nul(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_nul_is_not_shown() {
        assert_eq!(up_to_nul(b"abc"), b"abc");
        assert_eq!(up_to_nul(b"a\0bc\0"), b"a");
        assert_eq!(up_to_nul(b"\0"), b"");
        assert_eq!(up_to_nul(b""), b"");
    }
}
