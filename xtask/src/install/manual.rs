//! Manual pages: one for each name, from what its `--help` says, and `tandem.conf(5)` from the
//! page of directives, which is itself written from their table.

use std::fmt::Write;
use std::path::Path;

use super::{NAMES, folder, read, write};
use crate::Outcome;
use crate::run::{command, output};

pub(super) fn install(prefix: &Path, program: &Path) -> Outcome {
    let man1 = folder(prefix.join("share/man/man1"))?;
    let text = help(program, &[])?;
    write(
        &man1.join("tandem.1"),
        &page("tandem", "a data server that speaks Redis's protocols", &text),
    )?;
    for (name, subcommand) in NAMES {
        let text = help(program, &[subcommand])?;
        let what = match *name {
            "server" => "the data server",
            "cli" => "the command line client",
            "benchmark" => "the load generator",
            _ => "looks an RDB file over",
        };
        let title = format!("tandem-{name}");
        write(&man1.join(format!("{title}.1")), &page(&title, what, &text))?;
    }
    let man5 = folder(prefix.join("share/man/man5"))?;
    write(&man5.join("tandem.conf.5"), &directives(&read("docs/config.md")?))
}

/// What `tandem SUBCOMMAND --help` prints; some say it on standard error.
pub(super) fn help(program: &Path, words: &[&str]) -> Result<String, String> {
    let mut shell = command("sh");
    shell.args(["-c", "\"$0\" \"$@\" --help 2>&1 || true"]).arg(program).args(words);
    let text = output(&mut shell)?;
    let name = words.first().unwrap_or(&"tandem");
    if text.trim().is_empty() { Err(format!("{name} --help says nothing")) } else { Ok(text) }
}

fn page(title: &str, what: &str, help: &str) -> String {
    let mut text = head(title, 1, what);
    text.push_str(".SH SYNOPSIS\n.nf\n");
    let synopsis = help.lines().next().unwrap_or_default();
    let _ = writeln!(text, "{}", escape(synopsis));
    text.push_str(".fi\n.SH DESCRIPTION\n.nf\n");
    for line in help.lines().skip(1) {
        let _ = writeln!(text, "{}", escape(line));
    }
    text.push_str(".fi\n.SH SEE ALSO\n.BR tandem (1),\n.BR tandem.conf (5)\n");
    text
}

/// `tandem.conf(5)`: every row of the page's tables of directives.
fn directives(page: &str) -> String {
    let mut text = head("tandem.conf", 5, "configuration of tandem-server");
    text.push_str(".SH DESCRIPTION\n");
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            let _ = writeln!(text, ".SH {}", escape(&title.to_uppercase()));
        } else if line.starts_with("| `") {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let name = cells[0].replace('`', "");
            let _ = writeln!(text, ".TP\n.B {}\n{}", escape(&name), escape(cells[cells.len() - 1]));
            if cells.len() > 3 {
                let facts = format!("({}; default {})", cells[1], cells[2]).replace('`', "");
                let _ = writeln!(text, "{}", escape(&facts));
            }
        }
    }
    text
}

fn head(title: &str, section: u8, what: &str) -> String {
    let upper = title.to_uppercase();
    format!(".TH {upper} {section}\n.SH NAME\n{} \\- {what}\n", escape(title))
}

/// Text as troff takes it literally.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::{directives, escape};

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("a-b\\c"), "a\\-b\\ec");
        assert_eq!(escape(".SH no"), "\\&.SH no");
    }

    #[test]
    fn each_directive_is_a_paragraph() {
        let page = "## Works\n| `bind` | addresses | `*` | yes | Where to listen. |\n";
        let text = directives(page);
        assert!(text.contains(".SH WORKS\n.TP\n.B bind\nWhere to listen.\n(addresses; default *)"));
    }
}
