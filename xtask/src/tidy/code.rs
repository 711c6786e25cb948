//! Rules for every source file: how it opens, how long it and its functions are, where `unsafe`
//! may stand, and what no code below `server` may call.

use std::path::Path;

use super::source::{code_of, item_end, without_tests};
use super::{layers, read};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 100;

/// The only files with `unsafe` code; each opens with a reason and gives one for each block.
const UNSAFE_FILES: &[&str] = &[
    "crates/repl/src/block.rs",
    "crates/server/src/crash.rs",
    "crates/server/src/daemon.rs",
    "crates/server/src/log_sink.rs",
    "crates/server/src/process.rs",
    "crates/server/src/rusage.rs",
    "crates/store/src/entry.rs",
    "crates/store/src/entry/view.rs",
    "crates/store/src/segment.rs",
    "crates/store/src/table.rs",
    "crates/tandem/src/memory.rs",
];

/// What reaches out into the world: allowed in `server`, `cli` and above, and in tests.
const BANNED_BELOW_SERVER: &[(&str, &str)] = &[
    ("Instant::now", "time is handed down"),
    ("SystemTime::now", "time is handed down"),
    ("std::net", "sockets belong to server"),
    ("std::fs", "files belong to server"),
    ("std::thread", "threads belong to server"),
    ("std::process", "processes belong to server"),
    ("std::env", "the environment belongs to server"),
    ("getrandom", "randomness comes from a seed that is handed down"),
    ("Rng::new()", "randomness comes from a seed that is handed down"),
    ("println!", "output belongs to server"),
    ("eprintln!", "output belongs to server"),
];

/// Findings over all source files.
pub(super) fn check(root: &Path, files: &[String]) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for name in files {
        let text = read(root, name)?;
        found.extend(check_file(name, &text, UNSAFE_FILES));
    }
    for name in UNSAFE_FILES {
        if !files.iter().any(|f| f == name) {
            found.push(format!("{name}: is allowed unsafe code but is not there"));
        }
    }
    Ok(found)
}

fn check_file(name: &str, text: &str, unsafe_files: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    if !text.starts_with("//!") {
        found.push(format!("{name}:1: does not open with its story (//!)"));
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        found.push(format!("{name}: {lines} lines, more than {FILE_LINES_MAX}"));
    }
    for mark in
        [concat!("FIX", "ME"), concat!("XX", "X"), concat!("TO", "DO"), concat!("db", "g!(")]
    {
        for (line, _) in places(text, mark) {
            found.push(format!("{name}:{line}: {mark}"));
        }
    }
    let code = code_of(text);
    found.extend(long_functions(name, &code));
    let allowed = unsafe_files.contains(&name);
    let mut unsafe_places = places(&code, "unsafe").peekable();
    if allowed && unsafe_places.peek().is_none() {
        found.push(format!("{name}: is allowed unsafe code but has none"));
    }
    if let Some((line, _)) = unsafe_places.next().filter(|_| !allowed) {
        found.push(format!("{name}:{line}: unsafe code, and the file is not in the list of tidy"));
    }
    if below_server(name) {
        found.extend(banned_calls(name, &without_tests(&code)));
    }
    found
}

/// Whether a file is product code of a crate below `server`.
fn below_server(name: &str) -> bool {
    let Some((crate_name, path)) = name.strip_prefix("crates/").and_then(|n| n.split_once('/'))
    else {
        return false;
    };
    let for_tests =
        path.ends_with("/tests.rs") || path.contains("/tests/") || !path.starts_with("src/");
    layers::is_below_server(crate_name) && !for_tests
}

fn banned_calls(name: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (call, why) in BANNED_BELOW_SERVER {
        for (line, _) in places(code, call) {
            found.push(format!("{name}:{line}: {call}: {why}"));
        }
    }
    // `fastrand::u64(..)` draws from a generator nobody seeded; `fastrand::Rng` is a type.
    for (line, rest) in places(code, "fastrand::") {
        if !rest["fastrand::".len()..].starts_with("Rng") {
            found.push(format!("{name}:{line}: fastrand:: without a seed"));
        }
    }
    // `use std::{fs, thread}` says the same in another way.
    for (line, rest) in places(code, "std::{") {
        let group = item_end(rest).map_or(rest, |end| &rest[..end]);
        for module in ["fs", "net", "thread", "process", "env"] {
            let mut words = group.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            if words.any(|w| w == module) {
                found.push(format!("{name}:{line}: std::{module}: belongs to server"));
            }
        }
    }
    found
}

fn long_functions(name: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (line, rest) in places(code, "fn") {
        let Some(end) = item_end(rest) else { continue };
        let lines = rest[..end].lines().count();
        if lines > FUNCTION_LINES_MAX {
            let what = rest[2..].split(['(', '<']).next().unwrap_or("").trim();
            found.push(format!(
                "{name}:{line}: fn {what}: {lines} lines, more than {FUNCTION_LINES_MAX}"
            ));
        }
    }
    found
}

/// The lines (from 1) where `word` stands in `text` as a word of its own, with the text from there.
fn places<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).filter_map(move |(at, _)| {
        let starts = word.starts_with(is_word) && text[..at].ends_with(is_word);
        let ends = word.ends_with(is_word) && text[at + word.len()..].starts_with(is_word);
        let line = || text[..at].matches('\n').count() + 1;
        (!starts && !ends).then(|| (line(), &text[at..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &str) -> Vec<String> {
        check_file(name, &format!("//! Story.\n{text}"), &[])
    }

    #[test]
    fn calls_into_the_world_are_found_below_server_only() {
        for bad in [
            "fn f() { Instant::now(); }",
            "use std::fs::File;",
            "use std::{collections::HashMap, fs};",
            "fn f() { fastrand::u64(..); }",
            "fn f() { let r = Rng::new(); }",
        ] {
            assert_eq!(found("crates/store/src/x.rs", bad).len(), 1, "{bad}");
            assert!(found("crates/server/src/x.rs", bad).is_empty(), "{bad}");
            let in_test = format!("#[cfg(test)]\nmod tests {{ {bad} }}");
            assert!(found("crates/store/src/x.rs", &in_test).is_empty(), "{bad}");
            assert!(found("crates/store/src/x/tests.rs", bad).is_empty(), "{bad}");
        }
        for good in [
            "// Instant::now\n",
            "fn f() { fastrand::Rng::with_seed(1); }",
            "fn f() { g(\"std::fs\"); }",
        ] {
            assert!(found("crates/store/src/x.rs", good).is_empty(), "{good}");
        }
    }

    #[test]
    fn lengths_openings_and_marks_are_found() {
        assert_eq!(check_file("a.rs", "fn f() {}\n", &[]).len(), 1);
        assert_eq!(found("a.rs", &"// x\n".repeat(600)).len(), 1);
        let long = |n: usize| format!("fn f() {{\n{}}}\n", "x();\n".repeat(n));
        assert_eq!(found("a.rs", &long(99)).len(), 1);
        assert!(found("a.rs", &long(98)).is_empty());
        assert_eq!(found("a.rs", concat!("// FIX", "ME later\n")).len(), 1);
        assert_eq!(found("a.rs", concat!("fn f() { db", "g!(1); }\n")).len(), 1);
    }

    #[test]
    fn unsafe_code_stands_in_listed_files_only() {
        let text = "//! Story.\nfn f() { unsafe { g() } }\n";
        assert_eq!(check_file("a.rs", text, &[]).len(), 1);
        assert!(check_file("a.rs", text, &["a.rs"]).is_empty());
        assert_eq!(check_file("a.rs", "//! Story.\n", &["a.rs"]).len(), 1, "a stale permission");
        assert!(check_file("a.rs", "//! unsafe\n#![forbid(unsafe_code)]\n", &[]).is_empty());
    }
}
