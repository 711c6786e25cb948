//! Tests of the configuration.

mod change;
mod command_line;
mod load;
mod rewrite;
mod words;

use super::*;

/// A configuration from lines that are right.
fn config(lines: &str) -> Config {
    match Config::parse(lines.as_bytes()) {
        Ok(config) => config,
        Err(error) => panic!("{}", String::from_utf8_lossy(&error.report())),
    }
}

fn shown(config: &Config, name: &str) -> String {
    let directive = Directive::find(name.as_bytes()).expect("a known name");
    String::from_utf8(config.shown(directive)).expect("ASCII")
}

#[test]
fn every_name_finds_its_directive() {
    assert_eq!(FACTS.len(), Directive::ALL.len());
    for (index, &directive) in Directive::ALL.iter().enumerate() {
        assert_eq!(directive as usize, index);
        let facts = directive.facts();
        assert_eq!(Directive::find(facts.name.as_bytes()), Some(directive));
        assert_eq!(facts.name, facts.name.to_ascii_lowercase());
        if let Some(alias) = facts.alias {
            assert_eq!(Directive::find(alias.to_ascii_uppercase().as_bytes()), Some(directive));
        }
    }
    assert_eq!(Directive::find(b"nosuch"), None);
    let unique: std::collections::BTreeSet<_> = names().iter().map(|name| name.text).collect();
    assert_eq!(unique.len(), names().len());
}

#[test]
fn getters_are_typed() {
    let config =
        config("repl-backlog-size 2mb\nport 7000\nlogfile a\nmaxmemory 18446744073709551615");
    assert_eq!(config.repl_backlog_size(), 2 << 20);
    assert_eq!(config.port(), 7000);
    assert_eq!(config.logfile(), b"a");
    assert_eq!(config.maxmemory(), u64::MAX);
    assert_eq!(shown(&config, "maxmemory"), "18446744073709551615");
    assert_eq!(config.loglevel(), LogLevel::Notice);
    assert!(config.replica_read_only());
    assert_eq!(config.masterauth(), b"");
    assert_eq!(config.client_output_buffer_limit(ClientClass::Replica).hard_bytes, 256 << 20);
    assert_eq!(config.oom_score_adj_values(), [0, 200, 800]);
    assert_eq!(config.bind().len(), 2);
    assert_eq!(config.replicaof(), None);
    assert_eq!(config.latency_tracking_info_percentiles(), [50.0, 99.0, 99.9]);
    assert_eq!(config.notify_keyspace_events(), KeyspaceEvents::default());
    assert_eq!(config.save()[2], SavePoint { seconds: 60, changes: 10000 });
}

#[test]
fn what_the_process_chose_is_recorded() {
    let mut config = Config::default();
    config.set_dir(b"/data");
    config.set_pidfile(b"/run/x.pid");
    config.set_replicaof(Some(MasterAddress { host: b"h".as_slice().into(), port: 1 }));
    config.set_maxclients(7);
    assert_eq!(shown(&config, "dir"), "/data");
    assert_eq!(shown(&config, "pidfile"), "/run/x.pid");
    assert_eq!(shown(&config, "slaveof"), "h 1");
    assert_eq!(shown(&config, "maxclients"), "7");
    config.set_replicaof(None);
    assert_eq!(shown(&config, "slaveof"), "");
}

#[test]
fn what_has_no_effect_is_named_when_it_is_set() {
    let config = config("appendonly yes\nappendfsync everysec\nport 1\nio-threads-do-reads yes");
    let named: Vec<&str> = config.without_effect().map(|d| d.facts().name).collect();
    assert_eq!(named, ["appendonly", "io-threads-do-reads"]);
    assert_eq!(Config::default().without_effect().count(), 0);
}

#[test]
fn keyspace_events_are_letters() {
    let letters = |text: &str| KeyspaceEvents::parse(text.as_bytes()).map(KeyspaceEvents::letters);
    assert_eq!(letters("KEA").as_deref(), Some(b"AKE".as_slice()));
    assert_eq!(letters("g$lshzxetdEKmn").as_deref(), Some(b"AKEm".as_slice()));
    assert_eq!(letters("nmKg").as_deref(), Some(b"gnKm".as_slice()));
    assert_eq!(letters("").as_deref(), Some(b"".as_slice()));
    assert_eq!(letters("Q"), None);
    let events = KeyspaceEvents::parse(b"Kg").expect("known letters");
    assert!(events.has(b'K') && events.has(b'g') && !events.has(b'E') && !events.has(b'A'));
}

#[test]
fn the_page_names_every_directive_once() {
    let page = markdown();
    for directive in Directive::ALL {
        let row = format!("\n| `{}`", directive.facts().name);
        let rows =
            page.matches(&format!("{row} |")).count() + page.matches(&format!("{row},")).count();
        assert_eq!(rows, 1, "{row}");
    }
    assert!(
        page.contains("| `port` | integer, 0 to 65535 | `6379` | yes | TCP port; 0 is none. |")
    );
}
