//! Rules that no compiler knows, run as a check.
//!
//! ```text
//! layers   which crate may build on which: read from the manifests
//! source   a file's code without its comments and texts, for the rules below
//! code     banned calls, lengths, unsafe code, openings of files
//! links    relative links of the documents
//! ```
//! Each rule says where and why; all findings are shown together.

mod code;
mod layers;
mod links;
mod source;

use std::path::Path;

use crate::Outcome;
use crate::run::{command, output, root};

/// Checks the whole repository.
pub(crate) fn main() -> Outcome {
    let root = root();
    let mut found = layers::check(&root)?;
    let files = tracked(&["*.rs"])?;
    found.extend(code::check(&root, &files)?);
    found.extend(links::check(&root, &tracked(&["*.md"])?)?);
    if found.is_empty() {
        println!("tidy: {} source files are in order", files.len());
        return Ok(());
    }
    found.sort();
    Err(format!("{}\ntidy: {} findings", found.join("\n"), found.len()))
}

/// Files that git knows or would take, and that are there.
fn tracked(patterns: &[&str]) -> Result<Vec<String>, String> {
    let mut list = command("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard", "--"]).args(patterns);
    let text = output(&mut list)?;
    let there = |name: &&str| Path::new(&root()).join(name).is_file();
    Ok(text.lines().filter(there).map(ToString::to_string).collect())
}

/// A file's text.
fn read(root: &Path, name: &str) -> Result<String, String> {
    std::fs::read_to_string(root.join(name)).map_err(|e| format!("{name}: {e}"))
}
