//! The tree as lines of text.

use tandem_base::ReplOffset;

use super::facts::{Facts, LinkState};
use super::walk::{Node, Tree};

/// Characters of a replication id that are shown.
const REPLID_SHOWN: usize = 8;

/// What there is to compare a replica with: the top.
#[derive(Clone, Copy)]
pub(super) struct Standard<'a> {
    offset: Option<ReplOffset>,
    replid: Option<&'a str>,
}

impl<'a> Standard<'a> {
    pub(super) fn of(tree: &'a Tree) -> Standard<'a> {
        let facts = tree.top.facts.as_ref().ok();
        Standard { offset: tree.top.offset(), replid: facts.and_then(|f| f.replid.as_deref()) }
    }

    /// Bytes of the stream that a node has still to take; `None` when it cannot be told, or
    /// when the node follows another history.
    pub(super) fn lag_bytes(&self, node: &Node) -> Option<u64> {
        if self.is_other_history(node) {
            return None;
        }
        // A node that is ahead was asked a moment later.
        Some(node.offset()?.lag_behind(self.offset?).unwrap_or(0))
    }

    /// Whether a node's replication id is not the top's.
    pub(super) fn is_other_history(&self, node: &Node) -> bool {
        let own = node.facts.as_ref().ok().and_then(|facts| facts.replid.as_deref());
        matches!((own, self.replid), (Some(own), Some(top)) if own != top)
    }
}

/// Seconds since the master last heard of a node, or the node of its master.
pub(super) fn lag_seconds(node: &Node) -> Option<u64> {
    let heard = node.reported.as_ref().and_then(|reported| reported.lag_seconds);
    let link = node.facts.as_ref().ok().and_then(|facts| facts.link.as_ref());
    heard.or_else(|| link?.silent_seconds)
}

/// `master`, `online`, `wait_bgsave`, `syncing`, `down`, `unreachable`, `sentinel` …
pub(super) fn state(node: &Node) -> String {
    let reported = node.reported.as_ref().map(|reported| reported.state.as_str());
    let link = match &node.facts {
        Err(_) => return "unreachable".to_owned(),
        Ok(Facts { is_sentinel: true, .. }) => return "sentinel".to_owned(),
        Ok(Facts { link: None, .. }) => return "master".to_owned(),
        Ok(Facts { link: Some(link), .. }) => link,
    };
    match (&link.state, reported) {
        (LinkState::Up, Some(reported)) => reported.to_owned(),
        (LinkState::Up, None) => "online".to_owned(),
        (LinkState::Syncing(Some(percent)), _) => format!("syncing {percent}%"),
        (LinkState::Syncing(None), _) => "syncing".to_owned(),
        (LinkState::Down(_), _) => "down".to_owned(),
    }
}

/// One line for each node, with the branches of the tree in front.
pub(super) fn lines(tree: &Tree) -> Vec<String> {
    let mut rows = Vec::new();
    push_rows(&mut rows, &tree.top, "", "", &Standard::of(tree));
    let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max();
    let head = width(|row| &row.head).unwrap_or(0);
    let state = width(|row| &row.state).unwrap_or(0);
    rows.iter()
        .map(|row| format!("{:<head$}  {:<state$}  {}", row.head, row.state, row.rest))
        .collect()
}

struct Row {
    head: String,
    state: String,
    rest: String,
}

fn push_rows(rows: &mut Vec<Row>, node: &Node, branch: &str, below: &str, top: &Standard<'_>) {
    let mark = if node.named { " *" } else { "" };
    rows.push(Row {
        head: format!("{branch}{}{mark}", node.place),
        state: state(node),
        rest: details(node, top),
    });
    for (index, replica) in node.replicas.iter().enumerate() {
        let last = index + 1 == node.replicas.len();
        let (branch, deeper) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        push_rows(rows, replica, &format!("{below}{branch}"), &format!("{below}{deeper}"), top);
    }
}

fn details(node: &Node, top: &Standard<'_>) -> String {
    let mut parts = Vec::new();
    if let Some(offset) = node.offset() {
        parts.push(format!("offset {}", offset.0));
    }
    let is_replica =
        node.reported.is_some() || matches!(&node.facts, Ok(Facts { link: Some(_), .. }));
    if is_replica {
        if let Some(bytes) = top.lag_bytes(node) {
            parts.push(format!("lag {bytes} bytes"));
        }
        if let Some(seconds) = lag_seconds(node) {
            parts.push(format!("heard {seconds} s ago"));
        }
    }
    match &node.facts {
        Ok(facts) => {
            if let Some(replid) = &facts.replid
                && (!is_replica || top.is_other_history(node))
            {
                let shown: String = replid.chars().take(REPLID_SHOWN).collect();
                let what = if is_replica { "other history, replid" } else { "replid" };
                parts.push(format!("{what} {shown}"));
            }
            if let Some(link) = &facts.link
                && let LinkState::Down(Some(seconds)) = link.state
            {
                parts.push(format!("link down for {seconds} s"));
            }
            parts.extend(facts.version.clone());
            if facts.is_sentinel {
                parts.push("name one of the servers that it watches".to_owned());
            }
        }
        Err(error) => {
            if let Some(reported) = &node.reported {
                parts.push(format!("its master says {}", reported.state));
            }
            parts.push(error.clone());
        }
    }
    parts.join(", ")
}

#[cfg(test)]
pub(super) mod tests {
    use tandem_base::UnixMs;

    use super::super::facts::{Link, Place, Reported};
    use super::*;

    fn place(port: i32) -> Place {
        Place { host: "h".to_owned(), port }
    }

    fn replica(port: i32, offset: u64, state: LinkState) -> Node {
        let facts = Facts {
            link: Some(Link { master: place(1), state, silent_seconds: Some(9) }),
            offset: Some(ReplOffset(offset)),
            replid: Some("aaaaaaaaaaaa".to_owned()),
            version: Some("redis 7.0.15".to_owned()),
            ..Facts::default()
        };
        let reported = Reported {
            place: place(port),
            state: "online".to_owned(),
            offset: Some(ReplOffset(60)),
            lag_seconds: Some(1),
        };
        let reported = Some(reported);
        Node { place: place(port), facts: Ok(facts), reported, named: false, replicas: vec![] }
    }

    /// A master with a chain, one that is down and one that does not answer.
    pub(crate) fn sample() -> Tree {
        let mut chain = replica(2, 100, LinkState::Up);
        chain.replicas.push(replica(3, 90, LinkState::Syncing(Some(40))));
        chain.named = true;
        let mut down = replica(4, 7, LinkState::Down(Some(5)));
        down.reported = None;
        if let Ok(facts) = &mut down.facts {
            facts.replid = Some("bbbbbbbbbbbb".to_owned());
        }
        let mut gone = replica(5, 0, LinkState::Up);
        gone.facts = Err("Connection refused".to_owned());
        let facts = Facts {
            offset: Some(ReplOffset(100)),
            replid: Some("aaaaaaaaaaaa".to_owned()),
            version: Some("tandem 0.1.0".to_owned()),
            run_id: Some("r\"un".to_owned()),
            ..Facts::default()
        };
        let replicas = vec![chain, down, gone];
        let top =
            Node { place: place(1), facts: Ok(facts), reported: None, named: false, replicas };
        Tree { top, at: UnixMs(12) }
    }

    #[test]
    fn a_sentinel_is_named_as_one() {
        let version = Some("redis 7.0.15".to_owned());
        let facts = Facts { is_sentinel: true, version, ..Facts::default() };
        let top = Node {
            place: place(1),
            facts: Ok(facts),
            reported: None,
            named: true,
            replicas: vec![],
        };
        assert_eq!(
            lines(&Tree { top, at: UnixMs(12) }),
            ["h:1 *  sentinel  redis 7.0.15, name one of the servers that it watches"]
        );
    }

    #[test]
    fn the_picture_is_a_tree() {
        let expect = "\
h:1           master       offset 100, replid aaaaaaaa, tandem 0.1.0
├─ h:2 *      online       offset 100, lag 0 bytes, heard 1 s ago, redis 7.0.15
│  └─ h:3     syncing 40%  offset 90, lag 10 bytes, heard 1 s ago, redis 7.0.15
├─ h:4        down         offset 7, heard 9 s ago, other history, replid bbbbbbbb, link down for 5 s, redis 7.0.15
└─ h:5        unreachable  offset 60, lag 40 bytes, heard 1 s ago, its master says online, Connection refused";
        let words = |text: &str| -> Vec<String> {
            text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
        };
        let lines = lines(&sample());
        assert_eq!(words(&lines.join("\n")), words(expect));
        // Below each other: every state begins in one column.
        let column =
            |line: &str, word: &str| line.split(word).next().map(|head| head.chars().count());
        assert_eq!(column(&lines[0], "master"), column(&lines[4], "unreachable"));
    }
}
