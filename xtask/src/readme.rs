//! The README's commands, executed: every fenced block that opens with `sh readme` runs in a
//! fresh clone of the current commit, and must succeed within its bound.
//!
//! ````text
//! ```sh readme 300        at most 300 seconds (600 when no number stands there)
//! cargo build --release
//! ```
//! ````
//! The clone has a build folder of its own, kept between runs. What is not committed is not in
//! the clone: neither is it on a newcomer's disk.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::run::{check, command, root, target};

struct Block {
    line: usize,
    bound: Duration,
    script: String,
}

pub(crate) fn main() -> Outcome {
    let text = std::fs::read_to_string(root().join("README.md")).map_err(|e| e.to_string())?;
    let blocks = blocks(&text)?;
    if blocks.is_empty() {
        return Err("README.md has no block marked `sh readme`".to_string());
    }
    let clone = target().join("readme").join("clone");
    let _ = std::fs::remove_dir_all(&clone);
    let mut git = command("git");
    check(git.args(["clone", "--quiet", "--local"]).arg(root()).arg(&clone))?;
    for block in blocks {
        let start = Instant::now();
        println!("README.md:{}: {}", block.line, block.script.trim());
        // It ends all that the block has started, too.
        let mut shell = command("timeout");
        shell.args(["-k", "10", &block.bound.as_secs().to_string(), "bash", "-euo", "pipefail"]);
        shell.args(["-c", &block.script]).current_dir(&clone);
        shell.env("CARGO_TARGET_DIR", clone.with_file_name("build"));
        // Blocks say target/release/…, as a newcomer's do.
        let link = clone.join("target");
        if !link.exists() {
            let _ = std::os::unix::fs::symlink(clone.with_file_name("build"), &link);
        }
        let status = shell.status().map_err(|e| format!("timeout: {e}"))?;
        let bound = block.bound.as_secs();
        match status.code() {
            Some(0) => {}
            Some(124 | 137) => {
                return Err(format!("README.md:{}: not done within {bound} s", block.line));
            }
            _ => return Err(format!("README.md:{}: {status}", block.line)),
        }
        println!("README.md:{}: done in {:.0} s", block.line, start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// The marked blocks of a document.
fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut all: Vec<Block> = Vec::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        if let Some(bound) = line.strip_prefix("```sh readme") {
            let bound = if bound.trim().is_empty() { "600" } else { bound.trim() };
            let seconds = bound.parse().map_err(|_| format!("README.md:{}: {line}", number + 1))?;
            let bound = Duration::from_secs(seconds);
            all.push(Block { line: number + 1, bound, script: String::new() });
            open = true;
        } else if line.starts_with("```") {
            open = false;
        } else if let Some(block) = all.last_mut().filter(|_| open) {
            block.script.push_str(line);
            block.script.push('\n');
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::blocks;

    #[test]
    fn marked_blocks_are_found_with_their_bounds() {
        let text = "a\n```sh readme 5\nls\ncd x\n```\n```sh\nno\n```\n```sh readme\nlast\n```\n";
        let all = blocks(text).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(
            (all[0].line, all[0].bound.as_secs(), all[0].script.as_str()),
            (2, 5, "ls\ncd x\n")
        );
        assert_eq!((all[1].bound.as_secs(), all[1].script.as_str()), (600, "last\n"));
        assert!(blocks("```sh readme soon\n```\n").is_err());
    }
}
