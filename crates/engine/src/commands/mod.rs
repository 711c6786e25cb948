//! The command table: every command's facts and function, and how a name finds them.
//!
//! Each module below says its commands in a list `SPECS`, in the words of [`facts`]; this file
//! gathers the lists, builds the index once, and knows the errors for names that are not in it.
//! A command is one entry there and nothing anywhere else: gates, lock plans, COMMAND and the
//! documentation read the entry.

use std::sync::LazyLock;

use tandem_base::up_to_nul;
use tandem_resp::Args;

use crate::error::ErrorReply;
use crate::spec::Spec;

mod acl;
mod client_cmds;
pub(crate) mod client_list;
mod cluster;
pub(crate) mod config_cmd;
mod connection;
mod debug;
pub mod debug_levers;
mod debug_protocol;
pub mod docs;
mod dump;
mod edit;
mod expire;
pub mod facts;
mod flush;
mod generic;
mod hash;
pub mod info;
mod introspect;
mod latency;
mod latency_report;
mod lcs;
mod lolwut;
mod memory;
mod module;
mod number;
mod object;
pub(crate) mod persistence;
#[cfg(test)]
mod probe;
pub(crate) mod pubsub;
pub mod renames;
mod replication;
mod scan;
#[cfg(test)]
pub(crate) mod script;
mod server;
mod set;
mod slowlog;
mod string;
mod tracking;
pub mod transactions;
mod walk;
pub(crate) mod words;

pub(crate) use client_list::client_line;
#[cfg(test)]
pub(crate) use introspect::categories;
pub(crate) use introspect::key_flags;

/// The lists of all modules. A module's own order is kept by COMMAND LIST.
const LISTS: &[&[Spec]] = &[
    acl::SPECS,
    client_cmds::SPECS,
    cluster::SPECS,
    config_cmd::SPECS,
    connection::SPECS,
    debug::SPECS,
    dump::SPECS,
    expire::SPECS,
    flush::SPECS,
    generic::SPECS,
    hash::SPECS,
    introspect::SPECS,
    latency::SPECS,
    lolwut::SPECS,
    memory::SPECS,
    module::SPECS,
    object::SPECS,
    persistence::SPECS,
    pubsub::SPECS,
    replication::SPECS,
    scan::SPECS,
    server::SPECS,
    slowlog::SPECS,
    string::SPECS,
    transactions::SPECS,
];

/// Commands that only unit tests can call, and that nobody is told of.
#[cfg(test)]
const HIDDEN: &[Spec] = probe::SPECS;
#[cfg(not(test))]
const HIDDEN: &[Spec] = &[];

/// Slots of the index; a power of two, several times the number of commands, so that a probe
/// seldom goes on.
const SLOTS: usize = 2048;

struct Index {
    /// All commands, subcommands not included.
    all: Vec<&'static Spec>,
    /// By hash of the name; a taken slot moves an entry to the next.
    slots: Box<[Option<Slot>; SLOTS]>,
    /// Commands and subcommands by address, with the number of each; see [`number_of`].
    by_address: Vec<(&'static Spec, usize)>,
}

/// An entry of the index: enough of the name to compare most names without reading it.
#[derive(Clone, Copy)]
struct Slot {
    digest: Digest,
    /// The digest says the whole name.
    whole: bool,
    spec: &'static Spec,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let all: Vec<_> = LISTS.iter().copied().flatten().collect();
    let mut slots = Box::new([None; SLOTS]);
    for spec in all.iter().copied().chain(HIDDEN) {
        let name = spec.name.as_bytes();
        let digest = Digest::of(name);
        let mut at = digest.slot();
        while let Some(Slot { spec: other, .. }) = slots[at] {
            let other: &Spec = other;
            assert_ne!(other.name, spec.name, "a command's facts are said once");
            at = (at + 1) % SLOTS;
        }
        // Only the two cases of a letter have the letter's digest.
        let whole = name.len() <= 16 && name.iter().all(u8::is_ascii_lowercase);
        slots[at] = Some(Slot { digest, whole, spec });
    }
    let subcommands = all.iter().flat_map(|spec| spec.subcommands);
    let mut by_address: Vec<(&Spec, usize)> =
        all.iter().copied().chain(HIDDEN).chain(subcommands).zip(0..).collect();
    // What clients are not told of counts with its container.
    for (number, container) in all.iter().enumerate().filter(|(_, spec)| spec.doc.internal) {
        let is_own = |spec: &Spec| container.subcommands.iter().any(|sub| std::ptr::eq(sub, spec));
        by_address.iter_mut().filter(|(spec, _)| is_own(spec)).for_each(|one| one.1 = number);
    }
    by_address.sort_unstable_by_key(|(spec, _)| std::ptr::from_ref(*spec).addr());
    Index { all, slots, by_address }
});

/// A name's length and its first and last eight bytes (or four, or two; they may overlap), with
/// the bit set that makes letters small.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Digest {
    len: usize,
    first: u64,
    last: u64,
}

impl Digest {
    #[inline]
    fn of(name: &[u8]) -> Digest {
        let (first, last) = if let (Some(first), Some(last)) =
            (name.first_chunk::<8>(), name.last_chunk::<8>())
        {
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        } else if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>())
        {
            (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
        } else if let (Some(first), Some(last)) = (name.first_chunk::<2>(), name.last_chunk::<2>())
        {
            (u16::from_le_bytes(*first).into(), u16::from_le_bytes(*last).into())
        } else {
            (name.first().copied().unwrap_or(0).into(), 0)
        };
        const LOWER: u64 = 0x2020_2020_2020_2020;
        Digest { len: name.len(), first: first | LOWER, last: last | LOWER }
    }

    /// Where the search for the name begins.
    #[inline]
    fn slot(self) -> usize {
        let mixed = self
            .first
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(23)
            .wrapping_add(self.last ^ self.len as u64)
            .wrapping_mul(0xd6e8_feb8_6659_fd93);
        (mixed >> (64 - SLOTS.trailing_zeros())) as usize
    }
}

/// The command of that name, in any case.
#[inline]
pub fn look_up(name: &[u8]) -> Option<&'static Spec> {
    let slots = &INDEX.slots;
    let digest = Digest::of(name);
    let mut at = digest.slot();
    while let Some(slot) = &slots[at] {
        if slot.digest == digest
            && (slot.whole || name.eq_ignore_ascii_case(slot.spec.name.as_bytes()))
        {
            return Some(slot.spec);
        }
        at = (at + 1) % SLOTS;
    }
    None
}

/// The subcommand that a request of the command `spec` names, in any case; the command itself if
/// it has none or the request is too short to name one.
///
/// Redis's own table does not know the subcommands of DEBUG, which are for developers: a request
/// that is none of them is one of DEBUG itself, which says so when it may run.
///
/// # Errors
/// No such subcommand.
#[inline]
pub fn look_up_subcommand(
    spec: &'static Spec,
    args: Args<'_>,
) -> Result<&'static Spec, ErrorReply> {
    if spec.subcommands.is_empty() || args.len() < 2 { Ok(spec) } else { subcommand(spec, args) }
}

fn subcommand(spec: &'static Spec, args: Args<'_>) -> Result<&'static Spec, ErrorReply> {
    let name = args.get(1);
    let found = find_subcommand(spec, name);
    if spec.doc.internal {
        let whole = found.filter(|sub| sub.arity.allows(args.len()));
        return Ok(whole.unwrap_or(spec));
    }
    found.ok_or_else(|| ErrorReply::UnknownSubcommand {
        subcommand: shown(name, 128).to_vec(),
        command: called(args),
    })
}

/// The error for a request whose subcommand cannot be called so: with more arguments than it
/// takes, or one that Redis's own table does not know.
pub(crate) fn wrong_form(args: Args<'_>) -> ErrorReply {
    ErrorReply::quoting(
        "ERR unknown subcommand or wrong number of arguments for '",
        shown(args.get(1), 128),
        &format!("'. Try {} HELP.", called(args)),
    )
}

/// What the client calls the command, in upper case: `rename-command` may have its own name.
fn called(args: Args<'_>) -> String {
    String::from_utf8_lossy(args.get(0)).to_ascii_uppercase()
}

/// The subcommands that clients are told of.
pub(crate) fn told_subcommands(spec: &Spec) -> &'static [Spec] {
    if spec.doc.internal { &[] } else { spec.subcommands }
}

fn find_subcommand(spec: &Spec, name: &[u8]) -> Option<&'static Spec> {
    spec.subcommands.iter().find(|sub| {
        let own = &sub.name.as_bytes()[spec.name.len() + 1..];
        name.eq_ignore_ascii_case(own)
    })
}

/// The command or subcommand of a full name, such as `get` or `client|list`, if clients are told
/// of it.
pub fn look_up_full(name: &[u8]) -> Option<&'static Spec> {
    let Some(at) = name.iter().position(|&byte| byte == b'|') else {
        return look_up(name);
    };
    let container = look_up(&name[..at]).filter(|container| !container.doc.internal)?;
    find_subcommand(container, &name[at + 1..])
}

/// The error for a name that is no command's: the name and the first arguments, 128 bytes of
/// each at most.
pub fn unknown_command(args: Args<'_>) -> ErrorReply {
    const SHOWN_BYTES_MAX: usize = 128;
    let name = shown(args.get(0), SHOWN_BYTES_MAX);
    let mut text = [b"ERR unknown command '", name, b"', with args beginning with: "].concat();
    let start = text.len();
    for arg in args.from(1) {
        let used = text.len() - start;
        if used >= SHOWN_BYTES_MAX {
            break;
        }
        text.extend([b"'", shown(arg, SHOWN_BYTES_MAX - used), b"' "].concat());
    }
    ErrorReply::owned(text)
}

/// At most `most` bytes of what a client sent, up to the first NUL, for an error text.
pub(crate) fn shown(bytes: &[u8], most: usize) -> &[u8] {
    up_to_nul(&bytes[..bytes.len().min(most)])
}

/// All commands, without their subcommands.
pub fn all() -> &'static [&'static Spec] {
    &INDEX.all
}

/// The entry at that address of the table; for addresses kept where other threads look.
pub fn spec_at(address: *const Spec) -> Option<&'static Spec> {
    at_address(address).map(|(spec, _)| spec)
}

fn at_address(address: *const Spec) -> Option<(&'static Spec, usize)> {
    let by_address = &INDEX.by_address;
    let key = |(spec, _): &(&'static Spec, usize)| std::ptr::from_ref(*spec).addr();
    let at = by_address.binary_search_by_key(&address.addr(), key).ok()?;
    Some(by_address[at])
}

/// The number of an entry of the table, below [`numbered`]: a place in a table of one's own.
pub fn number_of(spec: &Spec) -> usize {
    at_address(spec).expect("every entry has an address").1
}

/// How many entries there are, subcommands included.
pub fn numbered() -> usize {
    INDEX.by_address.len()
}

/// What a command is called where it is counted and shown: a subcommand that clients are not told
/// of goes by its container's name.
pub fn told(spec: &Spec) -> &Spec {
    match spec.name.split_once('|').and_then(|(container, _)| look_up(container.as_bytes())) {
        Some(container) if container.doc.internal => container,
        _ => spec,
    }
}

#[cfg(test)]
mod tests;
