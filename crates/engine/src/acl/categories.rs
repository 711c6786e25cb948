//! Categories and command numbers: what `@read` means and which bit is whose.

use super::names::{NAMES, NEWER};

/// The categories in the order in which COMMAND INFO and ACL CAT list them.
pub const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// The number of a command in rules: its bit in a user's rights.
pub type CommandId = u16;

/// What every command has that rules cannot name. Only `+@all` grants it: who may run all but
/// some commands may also run those that come later.
pub const UNNAMED: CommandId = 511;

const _: () = assert!(NAMES.len() < UNNAMED as usize, "a bit for each name");
const _: () = assert!(CATEGORIES.len() <= 32, "a bit for each category");

/// The categories of each name, a bit each in the order of [`CATEGORIES`].
static MASKS: [u32; NAMES.len()] = masks();

const fn masks() -> [u32; NAMES.len()] {
    let mut masks = [0; NAMES.len()];
    let mut id = 0;
    while id < NAMES.len() {
        let mut rest = NAMES[id].1.as_bytes();
        while !rest.is_empty() {
            let mut end = 0;
            while end < rest.len() && rest[end] != b' ' {
                end += 1;
            }
            let (word, tail) = rest.split_at(end);
            masks[id] |= 1 << category_at_build(word);
            rest = tail.trim_ascii_start();
        }
        id += 1;
    }
    masks
}

const fn category_at_build(word: &[u8]) -> usize {
    let mut at = 0;
    while !word.eq_ignore_ascii_case(CATEGORIES[at].as_bytes()) {
        at += 1;
        assert!(at < CATEGORIES.len(), "no such category");
    }
    at
}

/// The place of a category in [`CATEGORIES`], by its name in any case.
pub fn category(name: &[u8]) -> Option<usize> {
    CATEGORIES.iter().position(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// The names of a category, in the order of their bytes, for ACL CAT.
pub fn names_in(category: usize) -> impl Iterator<Item = &'static str> {
    let told = all().filter(|id| !is_newer(*id));
    told.filter(move |id| is_in(*id, category)).map(name)
}

/// All numbers that names have.
pub fn all() -> impl Iterator<Item = CommandId> + Clone {
    0..NAMES.len() as CommandId
}

/// The name of a number.
///
/// # Panics
/// For [`UNNAMED`].
pub fn name(id: CommandId) -> &'static str {
    NAMES[usize::from(id)].0
}

/// Whether a command is in a category.
pub fn is_in(id: CommandId, category: usize) -> bool {
    MASKS[usize::from(id)] & (1 << category) != 0
}

/// Whether the name is newer than Redis 7.0.15.
pub fn is_newer(id: CommandId) -> bool {
    NEWER.contains(&name(id))
}

/// The number of a command or subcommand by its full name, in any case.
pub fn find(name: &[u8]) -> Option<CommandId> {
    let name = name.to_ascii_lowercase();
    let at = NAMES.binary_search_by(|(known, _)| known.as_bytes().cmp(&name)).ok()?;
    Some(at as CommandId)
}

/// The subcommands of a container; empty for any other command.
pub fn subcommands(container: CommandId) -> impl Iterator<Item = CommandId> + Clone {
    let container = name(container);
    // Between a container and its subcommands others can stand, as `|` comes after letters.
    all().filter(move |id| {
        name(*id).strip_prefix(container).is_some_and(|rest| rest.starts_with('|'))
    })
}

/// The number for an entry of the command table: its own, or its container's if rules do not
/// know the subcommand (as those of DEBUG), or [`UNNAMED`].
pub const fn id_of(name: &str) -> CommandId {
    let name = name.as_bytes();
    if let Some(id) = find_at_build(name) {
        return id;
    }
    let mut end = 0;
    while end < name.len() && name[end] != b'|' {
        end += 1;
    }
    match find_at_build(name.split_at(end).0) {
        Some(id) => id,
        None => UNNAMED,
    }
}

const fn find_at_build(name: &[u8]) -> Option<CommandId> {
    let (mut low, mut high) = (0, NAMES.len());
    while low < high {
        let middle = (low + high) / 2;
        let known = NAMES[middle].0.as_bytes();
        match compare(known, name) {
            0 => return Some(middle as CommandId),
            -1 => low = middle + 1,
            _ => high = middle,
        }
    }
    None
}

/// -1, 0 or 1, as `one` stands before, at or after `other`.
const fn compare(one: &[u8], other: &[u8]) -> i8 {
    let mut at = 0;
    while at < one.len() && at < other.len() {
        if one[at] != other[at] {
            return if one[at] < other[at] { -1 } else { 1 };
        }
        at += 1;
    }
    if one.len() == other.len() {
        0
    } else if one.len() < other.len() {
        -1
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_build_and_by_run() {
        assert!(NAMES.is_sorted_by(|one, other| one.0 < other.0));
        for id in all() {
            assert_eq!(id_of(name(id)), id);
            assert_eq!(find(name(id).to_ascii_uppercase().as_bytes()), Some(id));
        }
        assert_eq!(id_of("debug|object"), id_of("debug"));
        assert_eq!(id_of("nosuch"), UNNAMED);
        assert_eq!(find(b"debug|object"), None);
        let of_object: Vec<_> = subcommands(id_of("object")).map(name).collect();
        assert_eq!(
            of_object,
            ["object|encoding", "object|freq", "object|help", "object|idletime", "object|refcount"]
        );
    }

    #[test]
    fn every_name_is_fast_or_slow() {
        let (fast, slow) = (category(b"fast"), category(b"SLOW"));
        let (fast, slow) = (fast.expect("is one"), slow.expect("is one"));
        assert!(all().all(|id| is_in(id, fast) != is_in(id, slow)));
        assert!(names_in(slow).any(|name| name == "client|setname"));
        assert!(!names_in(slow).any(|name| name == "client|setinfo"));
        assert_eq!(category(b"all"), None);
    }
}
