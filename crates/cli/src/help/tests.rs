//! Hints and help from a small COMMAND DOCS reply.

use super::*;

fn bulk(text: &str) -> ReplyValue {
    ReplyValue::Bulk(text.into())
}

fn list(pairs: Vec<(&str, ReplyValue)>) -> ReplyValue {
    ReplyValue::Array(pairs.into_iter().flat_map(|(key, value)| [bulk(key), value]).collect())
}

fn argument(name: &str, kind: &str, token: Option<&str>, flags: &[&str]) -> ReplyValue {
    let mut pairs = vec![("name", bulk(name)), ("type", bulk(kind))];
    if let Some(token) = token {
        pairs.push(("token", bulk(token)));
    }
    let flags = flags.iter().map(|flag| ReplyValue::Status((*flag).into())).collect();
    pairs.push(("flags", ReplyValue::Set(flags)));
    list(pairs)
}

fn docs() -> Help {
    let condition = list(vec![
        ("name", bulk("condition")),
        ("type", bulk("oneof")),
        ("flags", ReplyValue::Array(vec![ReplyValue::Status("optional".into())])),
        (
            "arguments",
            ReplyValue::Array(vec![
                argument("nx", "pure-token", Some("NX"), &[]),
                argument("xx", "pure-token", Some("XX"), &[]),
            ]),
        ),
    ]);
    let set = list(vec![
        ("summary", bulk("Set a value")),
        ("since", bulk("1.0.0")),
        ("group", bulk("string")),
        (
            "arguments",
            ReplyValue::Array(vec![
                argument("key", "key", None, &[]),
                argument("value", "string", None, &[]),
                condition,
                argument("seconds", "integer", Some("EX"), &["optional"]),
            ]),
        ),
    ]);
    let config_get = list(vec![
        ("group", bulk("server")),
        (
            "arguments",
            ReplyValue::Array(vec![argument("parameter", "string", None, &["multiple"])]),
        ),
    ]);
    let config = list(vec![
        ("group", bulk("server")),
        ("subcommands", list(vec![("config|get", config_get)])),
    ]);
    Help::from_docs(&list(vec![("set", set), ("config", config)])).expect("it is a list of pairs")
}

#[test]
fn hints_show_what_is_still_missing() {
    let help = docs();
    let hint = |line| help.hint(line);
    assert_eq!(hint("set").as_deref(), Some(" key value [NX|XX] [EX seconds]"));
    assert_eq!(hint("SET ").as_deref(), Some("key value [NX|XX] [EX seconds]"));
    assert_eq!(hint("set k ").as_deref(), Some("value [NX|XX] [EX seconds]"));
    assert_eq!(hint("set k v nx").as_deref(), Some(" [NX|XX] [EX seconds]"));
    assert_eq!(hint("config").as_deref(), Some(" "));
    assert_eq!(hint("config get").as_deref(), Some(" parameter [parameter ...]"));
    assert_eq!(hint("nothing"), None);
    assert_eq!(hint("set \"k"), None);
    assert_eq!(hint(""), None);
}

#[test]
fn completion_knows_commands_and_groups() {
    let help = docs();
    assert_eq!(help.completions("co"), ["CONFIG", "CONFIG GET"]);
    assert_eq!(help.completions("help @s"), ["help @server", "help @string"]);
    assert_eq!(help.completions("help  SE"), ["help  SET"]);
    assert!(help.completions("@s").is_empty());
    assert!(help.completions("sét").is_empty());
}

#[test]
fn topics_are_groups_or_commands() {
    let help = docs();
    let group = help.topic(&[b"@STRING".to_vec()]);
    assert!(group.contains("SET") && !group.contains("group:") && !group.contains("CONFIG"));
    let command = help.topic(&[b"config".to_vec()]);
    assert!(command.contains("CONFIG GET") && command.contains("group:\x1b[0m server"));
    assert_eq!(help.topic(&[b"nothing".to_vec()]), "\r\n");
}
