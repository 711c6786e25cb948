//! Patterns of KEYS, SCAN, PSUBSCRIBE and CONFIG GET: `*`, `?`, `[a-z]`, `[^a-z]`, `\x`.
//!
//! A pattern comes from a client, so its worst case must be tame. Only the last `*` is ever
//! tried again: when what follows it fits nowhere, an earlier `*` that took more would only
//! leave it less text to fit in. So the work is at most pattern times text, never exponential.
//!
//! The odd corners are Redis's: a range may be upside down and compares signed bytes, a class
//! without its end ends with the pattern, `*` does not match the empty text, and a pattern with
//! more than a thousand `*` to go through matches nothing.

/// Most `*` that a pattern may go through, the last one of the pattern not counted.
const STARS: usize = 1000;

/// Whether `text` fits `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    fits(pattern, text, |byte| byte)
}

/// Whether `text` fits `pattern` when ASCII letters of either case are one.
pub fn matches_ignoring_case(pattern: &[u8], text: &[u8]) -> bool {
    fits(pattern, text, |byte| byte.to_ascii_lowercase())
}

/// Where to go on after a mismatch: with the pattern after the last `*`, one byte of text later.
#[derive(Clone, Copy)]
struct Retry<'a> {
    pattern: &'a [u8],
    text: &'a [u8],
}

fn fits<'a>(mut pattern: &'a [u8], mut text: &'a [u8], fold: impl Fn(u8) -> u8 + Copy) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let mut retry: Option<Retry<'_>> = None;
    let mut stars = 0;
    loop {
        if text.is_empty() {
            return pattern.iter().all(|&byte| byte == b'*');
        }
        if let [b'*', ..] = pattern {
            let more = pattern.iter().take_while(|&&byte| byte == b'*').count();
            pattern = &pattern[more..];
            if pattern.is_empty() {
                return true;
            }
            stars += 1;
            if stars > STARS {
                return false;
            }
            retry = Some(Retry { pattern, text });
            continue;
        }
        if let Some(rest) = one(pattern, text[0], fold) {
            pattern = rest;
            text = &text[1..];
            continue;
        }
        let Some(again) = &mut retry else { return false };
        again.text = &again.text[1..];
        (pattern, text) = (again.pattern, again.text);
    }
}

/// The rest of the pattern after the part that stands for one byte, if that part fits `byte`.
fn one(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8 + Copy) -> Option<&[u8]> {
    let (literal, rest) = match pattern {
        [] => return None,
        [b'?', rest @ ..] => return Some(rest),
        [b'[', class @ ..] => {
            let (found, rest) = in_class(class, byte, fold);
            return found.then_some(rest);
        }
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal, rest),
    };
    (fold(literal) == fold(byte)).then_some(rest)
}

/// Whether `byte` is in the class that begins after its `[`, and what follows its `]`.
fn in_class(class: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> (bool, &[u8]) {
    let (negated, mut class) = match class {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut found = false;
    loop {
        class = match class {
            [] => return (found != negated, class),
            [b'\\', literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
            [b']', rest @ ..] => return (found != negated, rest),
            [start, b'-', end, rest @ ..] => {
                // Redis compares what C calls a char.
                let signed = |byte: u8| fold(byte).cast_signed();
                let (low, high) = if start.cast_signed() > end.cast_signed() {
                    (*end, *start)
                } else {
                    (*start, *end)
                };
                found |= (signed(low)..=signed(high)).contains(&signed(byte));
                rest
            }
            [literal, rest @ ..] => {
                found |= fold(*literal) == fold(byte);
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests;
