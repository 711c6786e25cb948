//! Rules and the command table held against each other.

use super::categories::{self, CATEGORIES, id_of};
use super::*;
use crate::commands;

fn rights(rules: &str) -> Rights {
    let defaults = Defaults::default();
    let mut rights = Rights::new(defaults);
    let words: Vec<Vec<u8>> = rules.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    for rule in join_selectors(&words).expect("parentheses end") {
        rights.apply(&rule, defaults, &mut Vec::new()).expect("the rule is right");
    }
    rights
}

fn described(rules: &str) -> String {
    String::from_utf8(rights(rules).describe()).expect("text")
}

#[test]
fn rules_know_every_command_of_the_table_by_the_same_categories() {
    for &spec in commands::all() {
        for spec in std::iter::once(spec).chain(commands::told_subcommands(spec)) {
            let id = categories::find(spec.name.as_bytes())
                .unwrap_or_else(|| panic!("name {} in acl/names.rs", spec.name));
            assert_eq!(spec.acl, id);
            let here: Vec<_> = (0..CATEGORIES.len())
                .filter(|category| categories::is_in(id, *category))
                .map(|category| CATEGORIES[category])
                .collect();
            let there: Vec<_> = commands::categories(spec).collect();
            assert_eq!(here, there, "{}", spec.name);
        }
    }
}

#[test]
fn rules_are_written_down_shortly() {
    for (rules, shown) in [
        ("on nopass +@all", "on nopass resetchannels +@all"),
        ("+@all -get +get", "off resetchannels +@all"),
        ("+@read +@write ~k", "off ~k resetchannels -@all +@write +@read"),
        ("+client +client|id", "off resetchannels -@all +client"),
        ("+@all -client +client|id", "off resetchannels +@all -client +client|id"),
        ("+select|0 +select|1", "off resetchannels -@all +select|0 +select|1"),
        ("+select|0 +select", "off resetchannels -@all +select"),
        ("+debug|a -@dangerous", "off resetchannels -@all"),
        ("%R~a %W~a &c", "off ~a resetchannels &c -@all"),
        (
            "( +get ~r ) (allchannels)",
            "off resetchannels -@all (~r resetchannels -@all +get) (&* -@all)",
        ),
        ("reset", "off sanitize-payload resetchannels -@all"),
    ] {
        assert_eq!(described(rules), shown, "{rules}");
    }
}

/// Any rules, written down and read again, give the same rights.
#[test]
fn what_is_written_down_gives_the_same_rights() {
    let mut rng = fastrand::Rng::with_seed(11);
    let ids: Vec<_> = categories::all().collect();
    for _ in 0..300 {
        let mut rules = vec!["on".to_owned()];
        for _ in 0..rng.usize(1..12) {
            let sign = if rng.bool() { '+' } else { '-' };
            rules.push(match rng.u8(..10) {
                0 => format!("{sign}@all"),
                1..4 => format!("{sign}@{}", CATEGORIES[rng.usize(..CATEGORIES.len())]),
                4 => format!("+get|{}", rng.u8(..3)),
                5 => format!("~k{}", rng.u8(..3)),
                6 => format!("%R~k{}", rng.u8(..3)),
                _ => format!("{sign}{}", categories::name(ids[rng.usize(..ids.len())])),
            });
        }
        let rules = rules.join(" ");
        let once = described(&rules);
        assert_eq!(described(&once), once, "{rules}");
        let (before, after) = (rights(&rules), rights(&once));
        let (one, other) = (&before.selectors()[0], &after.selectors()[0]);
        for &id in &ids {
            let allow = |selector: &Selector| selector.commands.allow(id, Some(b"0"));
            assert_eq!(allow(one), allow(other), "{} in {rules}", categories::name(id));
        }
    }
}

#[test]
fn passwords_are_kept_as_hashes() {
    let user = rights("on >hunter >two");
    let shown = String::from_utf8(user.describe()).expect("text");
    assert!(!shown.contains("hunter") && !format!("{user:?}").contains("hunter"));
    assert!(user.admits(PasswordHash::of(b"hunter")) && user.admits(PasswordHash::of(b"two")));
    assert!(!user.admits(PasswordHash::of(b"three")) && !user.admits(PasswordHash::of(b"")));
    assert!(!rights("on").admits(PasswordHash::of(b"")), "no password is not an empty one");
    assert!(!rights("nopass").admits(PasswordHash::of(b"x")), "it is off");
    let hex = PasswordHash::of(b"hunter").to_hex();
    assert!(rights(&format!("on #{hex}")).admits(PasswordHash::of(b"hunter")));
}

#[test]
fn who_may_do_all_but_a_little_may_do_what_comes_later() {
    assert_eq!(id_of("nosuch"), categories::UNNAMED);
    assert!(rights("+@all ~* &*").is_unlimited());
    assert!(rights("+@all (+@all ~* &*)").is_unlimited());
    assert!(!rights("+@all -get ~* &*").is_unlimited());
    assert!(rights("+@all -get").selectors()[0].commands.allow(categories::UNNAMED, None));
    let all_by_category: String = CATEGORIES.iter().map(|name| format!("+@{name} ")).collect();
    let all = rights(all_by_category.trim_end());
    assert!(!all.selectors()[0].commands.allow(categories::UNNAMED, None));
}

/// CVE-2024-31227 and CVE-2024-51741 were crashes of `%` without its end, when it was shown; a rule
/// with a line break would be a line of its own in the files.
#[test]
fn what_is_shown_can_be_read_again() {
    let shown = |rule: &[u8]| {
        let mut user = rights("on");
        user.apply(rule, Defaults::default(), &mut Vec::new()).map(|()| user.describe())
    };
    assert_eq!(shown(b"%R").as_deref(), Ok(b"on %R~ resetchannels -@all".as_slice()));
    let all = b"on resetchannels -@all (~ resetchannels -@all)".as_slice();
    assert_eq!(shown(b"(%RW)").as_deref(), Ok(all));
    for rule in [b"%".as_slice(), b"%~", b"(%", b"(%)", b"%RWR~x", b"%\0~"] {
        assert_eq!(shown(rule), Err(RuleError::Syntax), "{}", rule.escape_ascii());
    }
    for rule in ["~a\nuser evil on", "&a\nb", "+select|0\nuser evil", "+select|0\r", "%R~\0"] {
        assert_eq!(shown(rule.as_bytes()), Err(RuleError::Syntax), "{rule:?}");
    }
    let acl = Acl::default();
    let mut user = rights("on nopass");
    user.apply(b"~\"a'", Defaults::default(), &mut Vec::new()).expect("any byte is a key's");
    acl.put(b"o'neil", user);
    let text: Vec<u8> = acl
        .config_lines()
        .iter()
        .flat_map(|line| [b"user ", line.as_slice(), b"\n"].concat())
        .collect();
    let config = crate::config::Config::parse(&text).expect("it can be read again");
    let words = &config.user_lines()[1].words;
    assert_eq!(
        (words[1].as_slice(), words[4].as_slice()),
        (b"o'neil".as_slice(), b"~\"a'".as_slice())
    );
}

/// Nothing that a client can send as a rule does more than fail.
#[test]
fn odd_rules_only_fail() {
    let mut rng = fastrand::Rng::with_seed(3);
    let parts: &[&[u8]] = &[
        b"+", b"-", b"@", b"|", b"~", b"%", b"R", b"W", b"&", b"(", b")", b"*", b"\"", b"'", b" ",
        b"\\", b"[", b"\x00", b"\xff", b"get", b"client", b"id", b"all", b"#", b"!", b">", b"<",
        b"read", b"keys", b"on", b"reset",
    ];
    let mut user = rights("on");
    for _ in 0..20_000 {
        let rule: Vec<u8> = (0..rng.usize(..7))
            .flat_map(|_| parts[rng.usize(..parts.len())].iter().copied())
            .collect();
        if user.apply(&rule, Defaults::default(), &mut Vec::new()).is_err() {
            continue;
        }
        let _ = user.describe();
        if rng.u8(..20) == 0 {
            user = rights("on");
        }
    }
}
