//! The guide's commands, executed: each page of `docs/guide/` is one shell session, in a folder
//! of its own, with our programs first on the path. Translated pages must hold the same blocks.
//!
//! ````text
//! ```sh
//! redis-cli -p 6380 get name          runs; a failing command fails the page
//! ```
//! ```output
//! "jake"                              a line of what the block before it printed; lines come in
//! …                                   this order, others may stand between them, and … stands
//! ```                                 for anything
//! ```text                             any other word after the fence: shown, not run
//! ````
//! The ports of the page (6379 and its kind) are replaced by free ones, so that pages can be
//! tried on a machine where servers run. What a page leaves running is ended with it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tandem_harness::free_port;

use crate::run::{build_tandem, root, target, words};
use crate::test::Counts;

const FOLDER: &str = "docs/guide";
/// Translations: their pages have the blocks of the page that they translate, and no others.
const TRANSLATIONS: &[&str] = &["docs/zh-CN/guide"];
/// No page may take longer.
const BOUND: Duration = Duration::from_secs(180);
/// The names that our program goes by.
const NAMES: &[&str] = &[
    "tandem",
    "redis-server",
    "redis-cli",
    "redis-check-rdb",
    "redis-benchmark",
    "tandem-server",
    "tandem-cli",
];

pub(crate) fn main(args: lexopt::Parser) -> crate::Outcome {
    let counts = pages_of(&words(args)?)?;
    if counts.failed == 0 { Ok(()) } else { Err(format!("{} pages failed", counts.failed)) }
}

/// All pages.
pub(crate) fn ci() -> Result<Counts, String> {
    pages_of(&[])
}

fn pages_of(filters: &[String]) -> Result<Counts, String> {
    let binary = build_tandem("quick")?;
    let mut counts = Counts::default();
    for page in pages(FOLDER)? {
        if !filters.is_empty() && !filters.iter().any(|f| page.contains(f.as_str())) {
            continue;
        }
        let blocks = blocks_of(FOLDER, &page)?;
        let start = Instant::now();
        let outcome = run(&page, &blocks, &binary).and_then(|()| check_translations(&page));
        match outcome {
            Ok(()) => {
                let seconds = start.elapsed().as_secs_f64();
                println!("guide {page}: {} blocks, {seconds:.1} s", blocks.len());
                counts.passed += 1;
            }
            Err(why) => {
                eprintln!("guide {page}: {why}");
                counts.failed += 1;
            }
        }
    }
    if counts == Counts::default() { Err("no such page".to_string()) } else { Ok(counts) }
}

/// The names of a folder's pages.
fn pages(folder: &str) -> Result<Vec<String>, String> {
    let entries = std::fs::read_dir(root().join(folder)).map_err(|e| format!("{folder}: {e}"))?;
    let mut pages = Vec::new();
    for entry in entries {
        let name = entry.map_err(|e| format!("{folder}: {e}"))?.file_name();
        pages.extend(name.to_str().filter(|name| name.ends_with(".md")).map(str::to_string));
    }
    pages.sort();
    Ok(pages)
}

fn blocks_of(folder: &str, page: &str) -> Result<Vec<Block>, String> {
    let path = root().join(folder).join(page);
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(blocks(&text))
}

/// Every translation has this page, with the same commands and output.
fn check_translations(page: &str) -> Result<(), String> {
    let own = blocks_of(FOLDER, page)?;
    for folder in TRANSLATIONS {
        let theirs = blocks_of(folder, page)?;
        let same = |(a, b): (&Block, &Block)| a.script == b.script && a.output == b.output;
        if own.len() != theirs.len() || !own.iter().zip(&theirs).all(same) {
            return Err(format!("{folder}/{page} has other commands or other output"));
        }
    }
    Ok(())
}

/// A block of commands, and lines that it must print.
#[derive(Debug, Default, PartialEq)]
struct Block {
    line: usize,
    script: String,
    output: Vec<String>,
}

impl Block {
    fn names(&self, number: &str) -> bool {
        self.script.contains(number) || self.output.iter().any(|line| line.contains(number))
    }
}

fn blocks(text: &str) -> Vec<Block> {
    let mut all: Vec<Block> = Vec::new();
    let mut fence = None;
    for (number, line) in text.lines().enumerate() {
        if let Some(kind) = line.strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(kind.trim()) };
            if fence == Some("sh") {
                all.push(Block { line: number + 1, ..Block::default() });
            }
            continue;
        }
        match (fence, all.last_mut()) {
            (Some("sh"), Some(block)) => {
                block.script.push_str(line);
                block.script.push('\n');
            }
            (Some("output"), Some(block)) => block.output.push(line.to_string()),
            _ => {}
        }
    }
    all
}

const MARK: &str = "@@ end of block ";

fn run(name: &str, blocks: &[Block], binary: &Path) -> Result<(), String> {
    let folder = target().join("guide").join(name.replace(['/', '.'], "-"));
    let _ = std::fs::remove_dir_all(&folder);
    let bin = folder.join("bin");
    let home = folder.join("home");
    std::fs::create_dir_all(&bin).and(std::fs::create_dir_all(&home)).map_err(|e| e.to_string())?;
    // A copy of its own: what the page leaves running is known by it.
    let program = bin.join("tandem");
    std::fs::copy(binary, &program).map_err(|e| e.to_string())?;
    for other in NAMES.iter().filter(|other| **other != "tandem") {
        std::os::unix::fs::symlink(&program, bin.join(other)).map_err(|e| e.to_string())?;
    }
    let ports = Ports::of(blocks)?;
    let mut script = String::from("exec 2>&1\nset -euo pipefail\n");
    for (index, block) in blocks.iter().enumerate() {
        let _ = writeln!(script, "{}echo; echo '{MARK}{index}'", ports.put(&block.script));
    }
    let file = folder.join("page.sh");
    std::fs::write(&file, script).map_err(|e| e.to_string())?;
    let outcome = play(&file, &home, &bin).map(|printed| ports.undo(&printed));
    end_all(&program);
    check(blocks, &outcome?)
}

/// Runs the page; what it printed.
fn play(script: &Path, home: &Path, bin: &Path) -> Result<String, String> {
    let log = script.with_extension("log");
    let out = std::fs::File::create(&log).map_err(|e| e.to_string())?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut child = Command::new("bash")
        .arg(script)
        .current_dir(home)
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("HOME", home)
        .env("REPOSITORY", root())
        .stdin(Stdio::null())
        .stdout(out)
        .spawn()
        .map_err(|e| format!("bash: {e}"))?;
    let end = Instant::now() + BOUND;
    while child.try_wait().map_err(|e| e.to_string())?.is_none() {
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let bytes = std::fs::read(&log).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Ends every process of this page's copy of the program.
fn end_all(program: &Path) {
    let Ok(entries) = std::fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let ours = std::fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == program);
        if ours {
            let pid = entry.file_name();
            let _ = Command::new("kill").arg("-9").arg(pid).status();
        }
    }
}

/// Whether each block ended and printed what it had to.
fn check(blocks: &[Block], printed: &str) -> Result<(), String> {
    let mut rest = printed;
    for (index, block) in blocks.iter().enumerate() {
        let Some((own, later)) = rest.split_once(&format!("{MARK}{index}\n")) else {
            return Err(format!("line {}: failed or did not end:\n{}", block.line, last(rest)));
        };
        rest = later;
        let mut lines = own.lines();
        for wanted in &block.output {
            if !lines.any(|line| matches(wanted.trim_end(), line.trim_end())) {
                return Err(format!("line {}: {wanted:?} is not printed:\n{own}", block.line));
            }
        }
    }
    Ok(())
}

fn last(text: &str) -> &str {
    let from = text.len().saturating_sub(3000);
    &text[text.ceil_char_boundary(from)..]
}

/// Whether `line` is `pattern`, where `…` stands for anything.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(end) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(end)
}

/// The page's ports and the free ones that stand for them.
struct Ports(BTreeMap<String, String>);

impl Ports {
    fn of(blocks: &[Block]) -> Result<Ports, String> {
        let mut map = BTreeMap::new();
        for block in blocks {
            for word in numbers(&block.script) {
                if is_port(word) && !map.contains_key(word) {
                    let mut free = free_port().to_string();
                    // A number of the page, be it no port, must not be taken for one.
                    while blocks.iter().any(|block| block.names(&free)) {
                        free = free_port().to_string();
                    }
                    map.insert(word.to_string(), free);
                }
            }
        }
        Ok(Ports(map))
    }

    fn put(&self, text: &str) -> String {
        replace(text, |word| self.0.get(word).map(String::as_str))
    }

    fn undo(&self, text: &str) -> String {
        let back = |word: &str| self.0.iter().find(|(_, free)| *free == word);
        replace(text, |word| back(word).map(|(port, _)| port.as_str()))
    }
}

/// 6379 to 6389, 26379 to 26389, and the metrics port.
fn is_port(word: &str) -> bool {
    let small = |port: u32| (6379..=6389).contains(&port);
    word.parse()
        .is_ok_and(|port: u32| small(port) || small(port.saturating_sub(20_000)) || port == 9121)
}

fn numbers(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty())
}

/// Replaces whole numbers.
fn replace<'a>(text: &'a str, by: impl Fn(&'a str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        out.push_str(before);
        out.push_str(by(word).unwrap_or(word));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::{blocks, check, is_port, matches, replace};

    const PAGE: &str =
        "a\n```sh\necho one\n```\n```output\no…\n```\n```text\nno\n```\n```sh\nx\n```\n";

    #[test]
    fn a_page_is_its_blocks_and_what_they_print() {
        let found = blocks(PAGE);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].script.as_str(), found[0].output.len()), ("echo one\n", 1));
        assert_eq!((found[1].line, found[1].script.as_str()), (11, "x\n"));
        let good = "one\n\n@@ end of block 0\nx\n@@ end of block 1\n";
        assert_eq!(check(&found, good), Ok(()));
        assert!(check(&found, "two\n@@ end of block 0\n@@ end of block 1\n").is_err());
        assert!(check(&found, "one\n@@ end of block 0\n").is_err());
    }

    #[test]
    fn dots_stand_for_anything() {
        assert!(matches("role:master", "role:master"));
        assert!(!matches("role:master", "role:master2"));
        assert!(matches("slave0:…state=online…", "slave0:ip=x,state=online,lag=0"));
        assert!(!matches("slave0:…state=online", "slave0:ip=x,state=online,lag=0"));
        assert!(matches("…", ""));
    }

    #[test]
    fn ports_are_whole_numbers() {
        assert!(is_port("6379") && is_port("26380") && !is_port("16379") && !is_port("63790"));
        let text = replace("-p 6379 x63790 6379", |word| (word == "6379").then_some("1"));
        assert_eq!(text, "-p 1 x63790 1");
    }
}
