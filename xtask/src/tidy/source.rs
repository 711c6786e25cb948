//! A Rust file as the rules look at it: its code with comments, texts and characters blanked
//! out (every line keeps its place), without what stands under `#[cfg(test)]`.

/// The code of `text`, byte for byte where it was; blanks where a comment or a text stood.
pub(super) fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match skipped(bytes, at) {
            Some(end) => end.min(bytes.len()),
            None => {
                out.push(bytes[at]);
                at += 1;
                continue;
            }
        };
        out.extend(bytes[at..end].iter().map(|b| if *b == b'\n' { b'\n' } else { b' ' }));
        at = end;
    }
    String::from_utf8(out).expect("what is left out ends at a character's end")
}

/// Where the comment, text or character that begins at `at` ends; `None` if none begins there.
fn skipped(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let before = at.checked_sub(1).map(|i| bytes[i]);
    let in_word = before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    match rest {
        [b'/', b'/', ..] => Some(at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())),
        [b'/', b'*', ..] => Some(at + block_comment(rest)),
        [b'"', ..] => Some(at + quoted(rest, 1)),
        [b'b' | b'c', b'"', ..] if !in_word => Some(at + quoted(rest, 2)),
        [b'r', b'"' | b'#', ..] if !in_word => raw(rest, 1).map(|n| at + n),
        [b'b' | b'c', b'r', b'"' | b'#', ..] if !in_word => raw(rest, 2).map(|n| at + n),
        [b'\'', ..] => character(rest).map(|n| at + n),
        _ => None,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[u8], mut at: usize) -> usize {
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw(rest: &[u8], mut at: usize) -> Option<usize> {
    let hashes = rest[at..].iter().take_while(|b| **b == b'#').count();
    at += hashes;
    if rest.get(at) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'"'];
    end.extend(std::iter::repeat_n(b'#', hashes));
    let found = rest[at + 1..].windows(end.len()).position(|w| w == end);
    Some(found.map_or(rest.len(), |n| at + 1 + n + end.len()))
}

/// A character literal, told from a lifetime by its closing quote.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return rest[3..].iter().position(|b| *b == b'\'').map(|n| 3 + n + 1);
    }
    let text = std::str::from_utf8(&rest[1..rest.len().min(6)]);
    let text = match text {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&rest[1..1 + e.valid_up_to()]).ok()?,
    };
    let length = text.chars().next()?.len_utf8();
    (rest.get(1 + length) == Some(&b'\'')).then_some(1 + length + 1)
}

/// `code` with every item under `#[cfg(test)]` blanked out too.
pub(super) fn without_tests(code: &str) -> String {
    let mut out = code.to_string();
    while let Some(start) = out.find("#[cfg(test)]") {
        let end = item_end(&out[start..]).map_or(out.len(), |n| start + n);
        let blank = out[start..end].replace(|c: char| c != '\n', " ");
        out.replace_range(start..end, &blank);
    }
    out
}

/// Where the item ends that `code` begins with: after its block, or after a `;` before one.
pub(super) fn item_end(code: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut brackets = 0_usize;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b'{' => depth += 1,
            b'}' if depth <= 1 => return Some(at + 1),
            b'}' => depth -= 1,
            b';' if depth == 0 && brackets == 0 => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_texts_and_characters_are_blank() {
        let code =
            code_of("a /* x /* y */ z */ b // c\nd \"e \\\" f\" g '\"' h 'i r#\"j\"k\"# l b\"m\"");
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(words, ["a", "b", "d", "g", "h", "'i", "l"]);
        assert_eq!(code.matches('\n').count(), 1);
        assert_eq!(code_of("'\\'' x '\\u{1F600}' y 'é' z").split_whitespace().count(), 3);
    }

    #[test]
    fn test_items_are_blank() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { x }\n}\nfn c() {}";
        let kept = without_tests(code);
        assert!(kept.contains("fn a") && kept.contains("fn c") && !kept.contains("fn b"));
        assert_eq!(without_tests("#[cfg(test)]\nmod tests;\nfn d() {}").trim(), "fn d() {}");
    }
}
