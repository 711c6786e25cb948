//! Completions for bash, zsh and fish: subcommands and options as `--help` has them, directives
//! from their page, commands from theirs.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use super::manual::help;
use super::{NAMES, folder, read, write};
use crate::Outcome;

/// The words that may follow a name.
struct Words {
    name: String,
    words: BTreeSet<String>,
}

pub(super) fn install(prefix: &Path, program: &Path) -> Outcome {
    let mut all = Vec::new();
    let subcommands = NAMES.iter().map(|(_, sub)| (*sub).to_string());
    all.push(Words {
        name: "tandem".to_string(),
        words: subcommands.chain(["demo", "--help", "--version"].map(String::from)).collect(),
    });
    for (name, subcommand) in NAMES {
        let mut words = options(&help(program, &[subcommand])?);
        match *name {
            "server" => words.extend(names(&read("docs/config.md")?).map(|d| format!("--{d}"))),
            "cli" => words.extend(names(&read("docs/commands.md")?).map(|c| c.to_lowercase())),
            _ => {}
        }
        for family in ["tandem", "redis"] {
            all.push(Words { name: format!("{family}-{name}"), words: words.clone() });
        }
    }
    let bash = folder(prefix.join("share/bash-completion/completions"))?;
    let zsh = folder(prefix.join("share/zsh/site-functions"))?;
    let fish = folder(prefix.join("share/fish/vendor_completions.d"))?;
    for entry in &all {
        let Words { name, words } = entry;
        assert!(!words.is_empty());
        let line = words.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let function = name.replace('-', "_");
        let text = format!(
            "_{function}() {{\n    local word=${{COMP_WORDS[COMP_CWORD]}}\n    \
             COMPREPLY=($(compgen -W \"{line}\" -- \"$word\"))\n}}\n\
             complete -o default -F _{function} {name}\n"
        );
        write(&bash.join(name), &text)?;
        let text = format!("#compdef {name}\n_arguments '*: :({line})'\n");
        write(&zsh.join(format!("_{name}")), &text)?;
        let mut text = String::new();
        for word in words {
            let _ = writeln!(text, "complete -c {name} -a '{word}'");
        }
        write(&fish.join(format!("{name}.fish")), &text)?;
    }
    Ok(())
}

/// `-x` and `--long` as a help text names them.
fn options(help: &str) -> BTreeSet<String> {
    let stops = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    let words = help.split(stops).map(|word| word.trim_end_matches('-'));
    let is_option = |word: &&str| {
        let name = word.trim_start_matches('-');
        let dashes = word.len() - name.len();
        let fits = dashes == 2 && name.len() > 1 || dashes == 1 && name.len() == 1;
        fits && name.starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    words.filter(is_option).map(str::to_string).collect()
}

/// First word of the first cell of each row: a directive, or a command.
fn names(page: &str) -> impl Iterator<Item = &str> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split([' ', '`']).next()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{names, options};

    #[test]
    fn options_are_found_in_help() {
        let found = options("  -p <port>  Port\n  --no-raw    Not raw (see --raw), a-b, -1, ---\n");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["--no-raw", "--raw", "-1", "-p"]);
    }

    #[test]
    fn names_stand_first_in_a_row() {
        let page = "| name | x |\n| `bind` | y |\n| `GET key` | z |\n";
        assert_eq!(names(page).collect::<Vec<_>>(), ["bind", "GET"]);
    }
}
