//! Splitting a line into words as `redis-cli` does: blanks part words, `"…"` knows the escapes
//! `\n \r \t \b \a \xHH \" \\`, `'…'` knows `\'` only. And what it prints besides answers.

/// The words of `line`, or what is wrong with it.
pub fn split_words(line: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    let mut rest = line.as_bytes();
    loop {
        while let [b' ' | b'\t' | b'\r' | b'\n', tail @ ..] = rest {
            rest = tail;
        }
        if rest.is_empty() {
            return Ok(words);
        }
        let mut word = Vec::new();
        rest = one_word(rest, &mut word).map_err(|why| format!("{why} in: {line}"))?;
        words.push(word);
    }
}

/// Takes one word off `rest` into `word`; what is left of `rest`.
fn one_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    loop {
        match rest {
            [] | [b' ' | b'\t' | b'\r' | b'\n', ..] => return Ok(rest),
            [b'"', tail @ ..] => rest = double_quoted(tail, word)?,
            [b'\'', tail @ ..] => rest = single_quoted(tail, word)?,
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    loop {
        rest = match rest {
            [] => return Err("an open double quote"),
            [b'"', tail @ ..] => return Ok(tail),
            [b'\\', b'x', a, b, tail @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                word.push(hex(*a) * 16 + hex(*b));
                tail
            }
            [b'\\', escaped, tail @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                tail
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    loop {
        rest = match rest {
            [] => return Err("an open single quote"),
            [b'\'', tail @ ..] => return Ok(tail),
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                tail
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                tail
            }
        };
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// What `redis-cli` has printed, without the lines that say how long a slow reply took, such as
/// `(0.55s)`: on a busy machine any reply may.
pub fn without_times(text: &str) -> String {
    let is_time = |line: &str| {
        let inner = line.strip_prefix('(').and_then(|rest| rest.strip_suffix("s)"));
        inner.is_some_and(|number| number.contains('.') && number.parse::<f64>().is_ok())
    };
    text.split_inclusive('\n').filter(|line| !is_time(line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::{split_words, without_times};

    #[test]
    fn words_split_as_redis_cli_splits_them() {
        let words = split_words(r#"set "a b" 'c\'d' "\x00\r\n\"" "" x"y"z"#).unwrap();
        assert_eq!(words, [&b"set"[..], b"a b", b"c'd", b"\0\r\n\"", b"", b"xyz"]);
        assert!(split_words("get \"a").is_err());
        assert!(split_words("get 'a").is_err());
    }

    #[test]
    fn only_the_times_of_slow_replies_are_left_out() {
        let printed = "OK\n(0.55s)\n(nil)\n(1.5)\n(integer) 1\n(12.01s)\n";
        assert_eq!(without_times(printed), "OK\n(nil)\n(1.5)\n(integer) 1\n");
    }
}
