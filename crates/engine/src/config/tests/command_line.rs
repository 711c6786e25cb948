//! Command lines, as they become lines of a configuration.

use crate::config::*;

fn parse(args: &[&str]) -> CommandLine {
    let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    CommandLine::parse(&args)
}

#[test]
fn options_become_lines() {
    let cases: &[(&[&str], &str)] = &[
        (&["s"], ""),
        (&["s", "--port", "6380"], "port \"6380\" "),
        (&["s", "--port 6380"], "port 6380 "),
        (&["s", "--port"], "port "),
        (&["s", "--port", "1", "2"], "port \"1\" \"2\" "),
        (&["s", "--slaveof", "127.0.0.1", "6379"], "slaveof \"127.0.0.1\" \"6379\" "),
        (&["s", "--port", "--loglevel", "verbose"], "port \"--loglevel\" \"verbose\" "),
        (&["s", "--port", "--bla", "--loglevel", "x"], "port \"--bla\" \nloglevel \"x\" "),
        (&["s", "--save", "--port", "1"], "save \"\"\nport \"1\" "),
        (&["s", "--port", "1", "--SAVE"], "port \"1\" \nSAVE \"\""),
        (&["s", "--save", "", "--port", "1"], "save \"\" \nport \"1\" "),
        (&["s", "--a", "--save", "--save", "", "--b", "c"], "a \"--save\" \nsave \"\" \nb \"c\" "),
        (&["s", "f", "loglevel", "verbose", "--a 'b'"], "\"loglevel\" \"verbose\" \na 'b' "),
        (&["s", "--a", "x\n\"y"], "a \"x\\n\\\"y\" "),
    ];
    for (args, options) in cases {
        let got = parse(args);
        assert_eq!(String::from_utf8_lossy(&got.options), *options, "{args:?}");
        assert_eq!(got.action, Action::Serve);
    }
}

#[test]
fn a_file_comes_first_and_a_dash_is_standard_input() {
    let file = |args: &[&str]| {
        let got = parse(args);
        (got.file.map(|file| String::from_utf8(file).expect("ASCII")), got.stdin)
    };
    assert_eq!(file(&["s"]), (None, false));
    assert!(parse(&["s"]).is_empty());
    for args in [&["s", "f"][..], &["s", "-"], &["s", "--port", "1"]] {
        assert!(!parse(args).is_empty(), "{args:?}");
    }
    assert_eq!(file(&["s", "redis.conf"]), (Some("redis.conf".into()), false));
    assert_eq!(file(&["s", "-"]), (None, true));
    assert_eq!(file(&["s", "f", "--port", "1", "-"]), (Some("f".into()), true));
    assert_eq!(file(&["s", "-", "--port", "1"]), (None, true));
    // In the middle it is a value.
    let middle = parse(&["s", "--logfile", "-", "--port", "1"]);
    assert!(!middle.stdin);
    assert_eq!(middle.options, b"logfile \"-\" \nport \"1\" ");
}

#[test]
fn some_options_are_actions() {
    for (option, action) in [
        ("-v", Action::Version),
        ("--version", Action::Version),
        ("-h", Action::Help),
        ("--help", Action::Help),
        ("--test-memory", Action::TestMemory),
        ("--check-system", Action::CheckSystem),
    ] {
        assert_eq!(parse(&["s", option, "x"]).action, action);
        // Only as the first argument.
        assert_eq!(parse(&["s", "f", option]).action, Action::Serve);
    }
    assert!(version_line().starts_with("Redis server v=7.0.15 sha=00000000:0 malloc="));
    assert!(usage("tandem server").contains("tandem server --port 7777\n"));
}

#[test]
fn a_sentinel_is_known_by_its_name_or_option() {
    assert_eq!(parse(&["/usr/bin/redis-sentinel"]).action, Action::Sentinel);
    assert_eq!(parse(&["/usr/bin/redis-sentinel", "f"]).action, Action::Sentinel);
    assert_eq!(parse(&["s", "f", "--sentinel"]).action, Action::Sentinel);
    assert_eq!(parse(&["/usr/bin/redis-sentinel", "-v"]).action, Action::Version);
    assert_eq!(parse(&["/opt/redis-sentinel/redis-server", "f"]).action, Action::Serve);
}
