//! docs/config.md, docs/commands.md, conf/tandem.conf and the list in docs/differences.md are what
//! the tables say. After a change of a table, `UPDATE_DOCS=1 cargo test -p tandem-engine --test docs`
//! writes them anew. And what the table of directives says works is read somewhere,
//! and nothing else is.

use std::path::{Path, PathBuf};

use tandem_engine::config::{Effect, FACTS};
use tandem_engine::{commands, config};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[track_caller]
fn check(name: &str, expected: &str) {
    let path = top().join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected).expect("docs can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{name} is not what the table says; see this test's story");
}

#[test]
fn the_page_of_directives_is_the_table() {
    check("docs/config.md", &config::markdown());
}

#[test]
fn the_page_of_commands_is_the_table() {
    check("docs/commands.md", &commands::docs::markdown());
}

#[test]
fn the_configuration_file_is_the_table() {
    check("conf/tandem.conf", &config::conf_file());
}

/// The part of docs/differences.md between two marks is this list.
#[track_caller]
fn check_list(what: &str, list: &str) {
    const NAME: &str = "docs/differences.md";
    let [begin, end] = ["begin", "end"].map(|mark| format!("<!-- {what}: {mark} -->\n"));
    let page = std::fs::read_to_string(top().join(NAME)).expect("the page is there");
    let (before, rest) = page.split_once(&begin).expect("the list has a beginning");
    let (_, after) = rest.split_once(&end).expect("the list has an end");
    check(NAME, &format!("{before}{begin}{list}{end}{after}"));
}

#[test]
fn the_lists_of_what_is_not_there_are_the_tables() {
    check_list("directives without effect", &config::accepted_list());
    check_list("commands not there", &commands::docs::missing_list());
}

#[test]
fn every_command_is_on_its_page() {
    let page = commands::docs::markdown();
    for spec in commands::all() {
        let head = format!("| `{}", spec.name.to_ascii_uppercase());
        assert!(page.contains(&head), "{} is in no chapter", spec.name);
    }
}

/// All code that a directive may have an effect in: outside its table, and not a test's.
fn code_of(folder: &Path, code: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder of code").flatten() {
        let path = entry.path();
        if path.is_dir() {
            code_of(&path, code);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            code.push_str(&std::fs::read_to_string(&path).expect("code is text"));
        }
    }
}

#[test]
fn what_the_table_says_works_is_read_and_nothing_else() {
    let mut code = String::new();
    for entry in std::fs::read_dir(top().join("crates/engine/src")).expect("our own").flatten() {
        if entry.path().is_dir() && entry.file_name() != "config" {
            code_of(&entry.path(), &mut code);
        } else if entry.path().is_file() {
            code.push_str(&std::fs::read_to_string(entry.path()).expect("code is text"));
        }
    }
    code_of(&top().join("crates/server/src"), &mut code);
    for facts in FACTS {
        let getter = match facts.name {
            // CONFIG SET itself asks for it.
            "enable-protected-configs" => continue,
            // A gauge of the metrics shows it, as the exporter's does.
            "io-threads" => continue,
            // Its certificates are read, but there is no bus that would use them.
            "tls-cluster" => continue,
            "hash-max-listpack-entries" | "hash-max-listpack-value" => "hash_limits".to_owned(),
            name => name.replace('-', "_"),
        };
        let is_read = code.contains(&format!(".{getter}("));
        assert_eq!(facts.effect == Effect::Works, is_read, "'{}' works, or is read", facts.name);
    }
}
