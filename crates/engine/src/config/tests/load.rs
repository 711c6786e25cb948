//! Configuration files: grammar, includes, what the last line wins.

use super::{config, shown};
use crate::config::*;
use std::collections::BTreeMap;

/// Files of a test, and what was asked of the outside.
#[derive(Default)]
struct Files {
    files: BTreeMap<Vec<u8>, Vec<u8>>,
    dir: Vec<u8>,
}

impl Outside for Files {
    fn read_files(&mut self, pattern: &[u8]) -> Result<Vec<u8>, Unreadable> {
        match self.files.get(pattern) {
            Some(text) => Ok(text.clone()),
            None if pattern.contains(&b'*') => Ok(Vec::new()),
            None => Nowhere.read_files(pattern),
        }
    }

    fn read_stdin(&mut self) -> Result<Vec<u8>, Unreadable> {
        Ok(b"timeout 3\nport 3\n".to_vec())
    }

    fn change_dir(&mut self, dir: &[u8]) -> Result<(), String> {
        if dir == b"/none" {
            return Err("No such file or directory".into());
        }
        self.dir = dir.into();
        Ok(())
    }

    fn current_dir(&self) -> Vec<u8> {
        [b"/start/", self.dir.as_slice()].concat()
    }

    fn check_log_file(&mut self, path: &[u8]) -> Result<(), String> {
        if path == b"/none/x" { Err("No such file or directory".into()) } else { Ok(()) }
    }

    fn is_command(&self, name: &[u8]) -> bool {
        [b"get".as_slice(), b"set"].iter().any(|known| name.eq_ignore_ascii_case(known))
    }
}

fn load(files: &[(&str, &str)], args: &[&str]) -> Result<Config, String> {
    let mut outside = Files::default();
    for (name, text) in files {
        outside.files.insert(name.as_bytes().into(), text.as_bytes().into());
    }
    let args: Vec<&[u8]> =
        std::iter::once("server").chain(args.iter().copied()).map(str::as_bytes).collect();
    Config::load(&CommandLine::parse(&args), &mut outside)
        .map_err(|error| String::from_utf8(error.report()).expect("ASCII"))
}

/// Lines that are wrong, and what a stock server says about each.
#[test]
fn a_wrong_line_gets_the_words_of_redis() {
    let mut count = 0;
    for case in include_str!("bad_lines.txt").lines() {
        let (line, why) = case.rsplit_once(" => ").expect("line => words");
        let error = load(&[("f", line)], &["f"]).expect_err(line);
        let expected = format!(
            "\n*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\n\
             Reading the configuration file, at line 1\n>>> '{}'\n{why}\n",
            line.trim()
        );
        assert_eq!(error, expected);
        count += 1;
    }
    assert!(count > 80, "{count}");
}

#[test]
fn what_is_wrong_as_a_whole_has_no_line() {
    let head = "\n*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\n";
    assert_eq!(
        load(&[("f", "logfile /none/x")], &["f"]).expect_err("no such folder"),
        format!("{head}Can't open the log file: No such file or directory\n")
    );
    assert_eq!(
        load(&[("f", "cluster-enabled yes\nreplicaof a 1")], &["f"]).expect_err("not both"),
        format!("{head}replicaof directive not allowed in cluster mode\n")
    );
    assert_eq!(
        load(&[], &["f"]).expect_err("no file"),
        "Fatal error, can't open config file 'f': No such file or directory\n"
    );
    assert!(
        load(&[("f", "dir /none")], &["f"])
            .expect_err("no folder")
            .contains("at line 1\n>>> 'dir /none'\nNo such file or directory\n")
    );
}

#[test]
fn the_last_word_wins_and_comments_do_not_count() {
    let config = config(
        "# a comment\n\n  PORT   7000  \r\nport 7001\n\ttimeout 5\n  # another\n\
         slave-read-only no\nrequirepass \"a b\\x01\"\nlogfile ''\n",
    );
    assert_eq!(config.port(), 7001);
    assert_eq!(config.timeout(), 5);
    assert!(!config.replica_read_only());
    assert_eq!(config.requirepass(), b"a b\x01");
}

#[test]
fn file_then_stdin_then_options() {
    let config = load(&[("f", "port 1\ntimeout 1\nhz 1")], &["f", "--port", "9", "-"]);
    let config = config.expect("all right");
    assert_eq!((config.port(), config.timeout(), config.hz()), (9, 3, 1));
}

#[test]
fn save_lines_add_up_and_an_empty_one_clears() {
    let default = "3600 1 300 100 60 10000";
    let cases = [
        ("", default),
        ("save 900 1", "900 1"),
        ("save 900 1\nsave 300 10", "900 1 300 10"),
        ("save 900 1 300 10", "900 1 300 10"),
        ("save \"900 1\"", "900 1"),
        ("save \"\"", ""),
        ("save ''", ""),
        ("save", ""),
        ("save 900 1\nsave", "900 1"),
        ("save 900 1\nsave \"\"", ""),
        ("save 900 1\nsave \"\"\nsave 1 2", "1 2"),
        ("save 900 \"\"", "900 0"),
    ];
    for (lines, expected) in cases {
        assert_eq!(shown(&config(lines), "save"), expected, "{lines}");
    }
    let file = [("f", "save 900 1\n")];
    let with_option = load(&file, &["f", "--save", "100 100"]).expect("all right");
    assert_eq!(shown(&with_option, "save"), "900 1 100 100");
    let cleared = load(&file, &["f", "--save", ""]).expect("all right");
    assert_eq!(shown(&cleared, "save"), "");
}

#[test]
fn forms_with_several_arguments() {
    let cases = [
        ("bind 127.0.0.1 -::1", "bind", "127.0.0.1 -::1"),
        ("bind \"127.0.0.1 ::1\"", "bind", "127.0.0.1 ::1"),
        ("bind \"\"", "bind", ""),
        ("bind", "bind", ""),
        ("replicaof 127.0.0.1 6379", "replicaof", "127.0.0.1 6379"),
        ("slaveof \"h 1\"", "replicaof", "h 1"),
        ("replicaof h 1\nreplicaof NO one", "replicaof", ""),
        ("shutdown-on-sigint nosave now", "shutdown-on-sigint", "nosave now"),
        ("shutdown-on-sigterm \"force NOSAVE\"", "shutdown-on-sigterm", "nosave force"),
        (
            "client-output-buffer-limit replica 1gb 1mb 5\n\
             client-output-buffer-limit pubsub 0 0 0 normal 1 2 3",
            "client-output-buffer-limit",
            "normal 1 2 3 slave 1073741824 1048576 5 pubsub 0 0 0",
        ),
        ("oom-score-adj-values 1 2 3", "oom-score-adj-values", "1 2 3"),
        ("oom-score-adj relative", "oom-score-adj", "yes"),
        ("latency-tracking-info-percentiles \"\"", "latency-tracking-info-percentiles", ""),
        (
            "latency-tracking-info-percentiles 50.10 100",
            "latency-tracking-info-percentiles",
            "50.1 100",
        ),
        ("maxmemory-clients 5%", "maxmemory-clients", "5%"),
        ("unixsocketperm 755", "unixsocketperm", "755"),
        ("hz 0", "hz", "1"),
        ("hz 501", "hz", "500"),
        (
            "proc-title-template --my--title--template",
            "proc-title-template",
            "--my--title--template",
        ),
        ("list-max-ziplist-entries 1\nlua-replicate-commands yes", "port", "6379"),
    ];
    for (lines, name, expected) in cases {
        assert_eq!(shown(&config(lines), name), expected, "{lines}");
    }
}

#[test]
fn an_include_is_read_where_it_stands() {
    let files = [
        ("f", "port 1\nsave 1 1\ninclude g\ntimeout 9\ninclude conf.d/*"),
        ("g", "port 2\ntimeout 8\nsave 2 2"),
        ("loop", "include loop"),
        ("bad", "\ninclude worse"),
        ("worse", "\n\nport x"),
    ];
    let config = load(&files, &["f"]).expect("all right");
    assert_eq!((config.port(), config.timeout()), (2, 9));
    assert_eq!(shown(&config, "save"), "1 1 2 2");
    let error = load(&files, &["bad"]).expect_err("a bad line in the inner file");
    assert!(error.contains("at line 3\n>>> 'port x'\n"), "{error}");
    let error = load(&files, &["loop"]).expect_err("a circle");
    assert!(error.contains("Too many files that include each other"), "{error}");
    let error = load(&[("f", "include none")], &["f"]).expect_err("no file");
    assert_eq!(error, "Fatal error, can't open config file 'none': No such file or directory\n");
}

#[test]
fn dir_is_absolute_at_the_end() {
    let config = load(&[("f", "dir ./data")], &["f"]).expect("all right");
    assert_eq!(config.dir(), b"/start/./data");
}

#[test]
fn lines_for_others_are_kept() {
    let text = "rename-command GET hidden\nrename-command set ''\nuser alice  on >p ~*\n";
    let config = load(&[("f", text)], &["f"]).expect("all right");
    let renamed = [(b"GET".to_vec(), b"hidden".to_vec()), (b"set".to_vec(), Vec::new())];
    assert_eq!(config.rename_commands(), renamed);
    let user = &config.user_lines()[0];
    assert_eq!((user.number, user.text.as_slice()), (3, b"user alice  on >p ~*".as_slice()));
    assert_eq!(user.words.len(), 5);
    let report = LoadError::at(user, "Error in user declaration".into()).report();
    assert!(
        report.ends_with(b"at line 3\n>>> 'user alice  on >p ~*'\nError in user declaration\n")
    );

    let error = load(&[("f", "rename-command get a\nrename-command get b")], &["f"]);
    assert!(error.expect_err("it is gone").contains("No such command in rename-command"));
    load(&[("f", "rename-command get a\nrename-command set get")], &["f"]).expect("it is free");

    let error = load(&[("f", "loadmodule /m.so x")], &["f"]).expect_err("no modules");
    assert!(error.contains("Can't load module from /m.so: modules are not supported"), "{error}");

    let error =
        load(&[("f", "sentinel monitor m 127.0.0.1 1 2")], &["f"]).expect_err("no Sentinel");
    assert!(error.contains("sentinel directive while not in sentinel mode"), "{error}");
}

#[test]
fn hostile_text_is_an_error_or_nothing() {
    let mut random = fastrand::Rng::with_seed(7015);
    let parts: Vec<&[u8]> = vec![
        b"save ",
        b"bind ",
        b"\"",
        b"'",
        b"\\x4",
        b"\\",
        b"\n",
        b"\0",
        b"99999999999999999999",
        b"client-output-buffer-limit ",
        b"normal ",
        b"-1 ",
        b"%",
        b"maxmemory-clients ",
        b"\xff",
        b"replicaof ",
        b"oom-score-adj-values ",
        b" ",
        b"include x*\n",
        b"unixsocketperm ",
    ];
    for _ in 0..20_000 {
        let count = random.usize(0..12);
        let text: Vec<u8> =
            (0..count).flat_map(|_| parts[random.usize(0..parts.len())].to_vec()).collect();
        if let Err(error) = Config::parse(&text) {
            assert!(!error.report().is_empty());
        }
    }
}
