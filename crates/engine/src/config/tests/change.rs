//! CONFIG SET and GET: what changes, what is refused, what is taken back.

use super::{config, shown};
use crate::config::*;

const ASKER: Asker = Asker { loading: false, local: true };

fn set(config: &mut Config, args: &[&str]) -> Result<Vec<&'static str>, String> {
    let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    match config.set(&args, ASKER) {
        Ok(change) => Ok(change.changed().iter().map(|changed| changed.name).collect()),
        Err(refusal) => Err(String::from_utf8(refusal.reply()).expect("ASCII")),
    }
}

fn get(config: &Config, patterns: &[&str]) -> Vec<(String, String)> {
    let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
    let text = |bytes| String::from_utf8(bytes).expect("ASCII");
    config.get(&patterns).into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn names(config: &Config, patterns: &[&str]) -> Vec<String> {
    get(config, patterns).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn get_finds_names_and_patterns() {
    let config = Config::default();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(get(&config, &["maxmemory"]), [pair("maxmemory", "0")]);
    // A plain name comes back as it was written.
    assert_eq!(get(&config, &["MaxMemory"]), [pair("MaxMemory", "0")]);
    assert_eq!(names(&config, &["port", "PORT", "p?rt"]), ["port"]);
    assert_eq!(names(&config, &["nosuch", "nosuch*"]), [""; 0]);
    assert_eq!(
        names(&config, &["S*-P*Y", "min-*-lag"]),
        ["slave-priority", "min-replicas-max-lag", "min-slaves-max-lag"]
    );
    assert_eq!(get(&config, &["save"]), [pair("save", "3600 1 300 100 60 10000")]);
    assert_eq!(
        get(&config, &["client-output-buffer-limit"])[0].1,
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
    );
}

#[test]
fn hidden_directives_need_their_full_name() {
    let config = Config::default();
    assert_eq!(names(&config, &["key-load-d*"]), [""; 0]);
    assert_eq!(names(&config, &["key-load-delay"]), ["key-load-delay"]);
    assert!(!names(&config, &["*"]).contains(&"watchdog-period".to_owned()));
}

#[test]
fn set_says_what_changed() {
    let mut config = Config::default();
    assert_eq!(set(&mut config, &["timeout", "5", "hz", "10"]), Ok(vec!["timeout"]));
    assert_eq!(set(&mut config, &["MIN-SLAVES-TO-WRITE", "1"]), Ok(vec!["min-slaves-to-write"]));
    assert_eq!(config.min_replicas_to_write(), 1);
    // Those with a form of their own are always done again.
    assert_eq!(set(&mut config, &["bind", "* -::*"]), Ok(vec!["bind"]));
    assert_eq!(set(&mut config, &["save", ""]), Ok(vec!["save"]));
    assert_eq!(config.save(), []);
    assert_eq!(set(&mut config, &["save", "1 2 3 4"]), Ok(vec!["save"]));
    assert_eq!(shown(&config, "save"), "1 2 3 4");
    assert_eq!(set(&mut config, &["tls-cert-file", ""]), Ok(vec!["tls-cert-file"]));
    assert_eq!(set(&mut config, &[]), Ok(vec![]));
}

#[test]
fn set_changes_all_or_nothing() {
    let mut config = Config::default();
    let error = set(&mut config, &["timeout", "5", "save", "1 1", "maxclients", "0"]);
    assert_eq!(
        error,
        Err("ERR CONFIG SET failed (possibly related to argument 'maxclients') - \
             argument must be between 1 and 4294967295 inclusive"
            .to_owned())
    );
    assert_eq!((config.timeout(), config.save().len()), (0, 3));
}

#[test]
fn a_change_can_be_taken_back() {
    let mut config = config("port 7000");
    let args: [&[u8]; 6] = [b"port", b"7001", b"replica-priority", b"1", b"slave-priority", b"2"];
    let change = config.set(&args, ASKER).expect("all right");
    assert!(change.has(Directive::Port) && !change.has(Directive::Bind));
    let changed = change.changed()[0];
    assert_eq!((config.port(), config.replica_priority()), (7001, 2));
    config.undo(change);
    assert_eq!((config.port(), config.replica_priority()), (7000, 100));
    let refusal = Refusal::failed(changed, "Unable to listen on this port. Check server logs.");
    assert_eq!(
        refusal.reply(),
        b"ERR CONFIG SET failed (possibly related to argument 'port') - \
          Unable to listen on this port. Check server logs."
    );
}

#[test]
fn refusals_have_the_words_of_redis() {
    let cases: &[(&[&str], &str)] = &[
        (&["port"], "ERR syntax error"),
        (&["nosuch", "1"], "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"),
        (&["a\r\nb", "1"], "ERR Unknown option or number of arguments for CONFIG SET - 'a  b'"),
        (&["PORT", "abc"], "'port') - argument couldn't be parsed into an integer"),
        (
            &["slave-priority", "x"],
            "'slave-priority') - argument couldn't be parsed into an integer",
        ),
        (&["port", "1", "port", "2"], "'port') - duplicate parameter"),
        (&["Port", "1", "DaemonIze", "yes"], "'DaemonIze') - can't set immutable config"),
        (&["dir", "/"], "'dir') - can't set protected config"),
        (&["dbfilename", "x"], "'dbfilename') - can't set protected config"),
        (&["replicaof", "a 1"], "'replicaof') - can't set immutable config"),
        (&["daemonize", "yes", "nosuch", "1"], "'daemonize') - can't set immutable config"),
        (&["nosuch", "1", "daemonize", "yes"], "CONFIG SET - 'nosuch'"),
        (&["save", "3600  1"], "'save') - Invalid save parameters"),
        (&["shutdown-on-sigint", ""], "one of the following: default, save, nosave, now, force"),
        (&["databases", "2"], "'databases') - can't set immutable config"),
    ];
    for (args, expected) in cases {
        let error = set(&mut Config::default(), args).expect_err("refused");
        assert!(error.ends_with(expected), "{args:?}: {error}");
        assert!(error.starts_with("ERR "), "{error}");
    }
}

#[test]
fn protected_and_loading() {
    let far = Asker { loading: false, local: false };
    let args: [&[u8]; 2] = [b"dbfilename", b"x.rdb"];
    let allowed = |lines: &str, asker| config(lines).set(&args, asker).is_ok();
    assert!(!allowed("", ASKER));
    assert!(allowed("enable-protected-configs yes", far));
    assert!(allowed("enable-protected-configs local", ASKER));
    assert!(!allowed("enable-protected-configs local", far));

    let loading = Asker { loading: true, local: true };
    let refusal = Config::default().set(&[b"appendonly", b"yes"], loading).expect_err("loading");
    assert_eq!(refusal.reply(), b"LOADING Redis is loading the dataset in memory");
    assert!(Config::default().set(&[b"timeout", b"1"], loading).is_ok());
}

#[test]
fn every_default_can_be_set_again() {
    let mut config = config("enable-protected-configs yes\ndir /");
    for directive in Directive::ALL {
        if directive.facts().flags.has(Flags::IMMUTABLE) {
            continue;
        }
        let value = config.shown(*directive);
        let name = directive.facts().name;
        let change = config.set(&[name.as_bytes(), &value], ASKER);
        assert!(change.is_ok(), "{name}: {change:?}");
        assert_eq!(config.shown(*directive), value, "{name}");
    }
}
