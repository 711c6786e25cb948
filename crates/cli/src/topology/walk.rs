//! Finding the nodes: up to the top, then down along what every master reports.
//!
//! Connections are kept between two walks. A node is known by its run id, so that one that is
//! met under two names (localhost, an announced address) is still one node, and a ring of
//! masters ends the walk.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use tandem_base::{ReplOffset, UnixMs};

use super::facts::{Facts, Place, Reported};
use crate::client::{Address, Client, ClientError};
use crate::options::Options;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longer chains than this are a mistake.
const DEPTH_MAX: usize = 64;

/// One node of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) place: Place,
    /// What it says of itself, or why it says nothing.
    pub(super) facts: Result<Facts, String>,
    /// What its master says of it; `None` for the top.
    pub(super) reported: Option<Reported>,
    /// This is the node that the user named.
    pub(super) named: bool,
    pub(super) replicas: Vec<Node>,
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) top: Node,
    pub(super) at: UnixMs,
}

impl Node {
    /// Where it stands in the stream: by its own word, else by its master's.
    pub(super) fn offset(&self) -> Option<ReplOffset> {
        match &self.facts {
            Ok(facts) => facts.offset,
            Err(_) => self.reported.as_ref().and_then(|reported| reported.offset),
        }
    }

    fn all_answer(&self) -> bool {
        self.facts.is_ok() && self.replicas.iter().all(Node::all_answer)
    }
}

impl Tree {
    pub(super) fn all_answer(&self) -> bool {
        self.top.all_answer()
    }
}

/// Walks again and again over the same nodes.
pub(super) struct Walker<'a> {
    options: &'a Options,
    /// Connections that worked the last time.
    clients: Mutex<HashMap<Place, Client>>,
}

impl<'a> Walker<'a> {
    pub(super) fn new(options: &'a Options) -> Walker<'a> {
        Walker { options, clients: Mutex::default() }
    }

    /// One walk.
    pub(super) fn walk(&mut self) -> Tree {
        let at = now();
        let named = match &self.options.socket {
            Some(path) => Place { host: path.display().to_string(), port: 0 },
            None => Place { host: self.options.host.clone(), port: self.options.port },
        };
        let facts = self.ask(&named);
        let named_id = facts.as_ref().ok().and_then(|facts| facts.run_id.clone());
        let (place, facts) = self.climb(&named, facts);
        let mut top = Node { place, facts, reported: None, named: false, replicas: Vec::new() };
        let named = Named { place: named, run_id: named_id };
        top.named = named.is(&top);
        self.descend(&mut top, &named, &mut HashSet::new(), 0);
        if !contains_named(&top) {
            self.hang_in(&mut top, &named);
        }
        Tree { top, at }
    }

    /// From a node to the master of all its masters, or to the last one that answers or is
    /// known by name.
    fn climb(&self, from: &Place, facts: Result<Facts, String>) -> (Place, Result<Facts, String>) {
        let (mut place, mut facts) = (from.clone(), facts);
        let mut seen = HashSet::from([place.clone()]);
        while let Ok(Facts { link: Some(link), .. }) = &facts {
            let master = link.master.clone();
            if !seen.insert(master.clone()) {
                break;
            }
            facts = self.ask(&master);
            place = master;
        }
        (place, facts)
    }

    /// Finds the replicas below `node`.
    fn descend(&self, node: &mut Node, named: &Named, seen: &mut HashSet<String>, depth: usize) {
        let Ok(facts) = &node.facts else { return };
        if facts.run_id.as_ref().is_some_and(|id| !seen.insert(id.clone())) || depth > DEPTH_MAX {
            return;
        }
        // All at once, so that the offsets belong to one moment as nearly as can be.
        let replicas: Vec<Node> = std::thread::scope(|scope| {
            let asked: Vec<_> = facts
                .replicas
                .iter()
                .map(|reported| (reported, scope.spawn(|| self.ask(&reported.place))))
                .collect();
            asked
                .into_iter()
                .map(|(reported, answer)| Node {
                    place: reported.place.clone(),
                    facts: answer.join().unwrap_or_else(|_| Err("not asked".to_owned())),
                    reported: Some(reported.clone()),
                    named: false,
                    replicas: Vec::new(),
                })
                .collect()
        });
        node.replicas = replicas;
        node.replicas.sort_by(|a, b| a.place.cmp(&b.place));
        for replica in &mut node.replicas {
            replica.named = named.is(replica);
            self.descend(replica, named, seen, depth + 1);
        }
    }

    /// Puts the named node, which its master does not know (the link is down), and what lies
    /// between it and the top, where they say that they belong.
    fn hang_in(&self, top: &mut Node, named: &Named) {
        let mut place = named.place.clone();
        let mut below: Option<Node> = None;
        for _ in 0..DEPTH_MAX {
            let facts = self.ask(&place);
            let master = match &facts {
                Ok(Facts { link: Some(link), .. }) => Some(link.master.clone()),
                _ => None,
            };
            let mut node =
                Node { place, facts, reported: None, named: false, replicas: Vec::new() };
            node.named = below.is_none();
            self.descend(&mut node, named, &mut HashSet::new(), 1);
            node.named |= named.is(&node);
            node.replicas.retain(|replica| below.as_ref().is_none_or(|b| b.place != replica.place));
            node.replicas.extend(below.take());
            let Some(master) = master else { return };
            if let Some(parent) = find(top, &master) {
                parent.replicas.push(node);
                return;
            }
            below = Some(node);
            place = master;
        }
    }

    /// Asks one node, over the old connection if it still works.
    fn ask(&self, place: &Place) -> Result<Facts, String> {
        let kept = self.lock().remove(place);
        if let Some(mut client) = kept
            && let Ok(facts) = question(&mut client)
        {
            self.lock().insert(place.clone(), client);
            return Ok(facts);
        }
        let address = match &self.options.socket {
            Some(path) if place.port == 0 => Address::Unix(path.clone()),
            _ => Address::Tcp(place.host.clone(), place.port),
        };
        let mut client = self
            .options
            .dial_within(&address, Some(PATIENCE))
            .map_err(|error| error.to_string())?;
        let facts = self
            .authenticate(&mut client)
            .and_then(|()| question(&mut client))
            .map_err(|error| error.to_string())?;
        self.lock().insert(place.clone(), client);
        Ok(facts)
    }

    fn authenticate(&self, client: &mut Client) -> Result<(), ClientError> {
        let Some(auth) = &self.options.auth else { return Ok(()) };
        let mut command = vec![b"AUTH".to_vec()];
        command.extend(self.options.user.clone());
        command.push(auth.clone());
        client.expect_ok(&command)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Place, Client>> {
        self.clients.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The node that the user named, however others name it.
struct Named {
    place: Place,
    run_id: Option<String>,
}

impl Named {
    fn is(&self, node: &Node) -> bool {
        match (&self.run_id, &node.facts) {
            (Some(id), Ok(Facts { run_id: Some(other), .. })) => id == other,
            _ => self.place == node.place,
        }
    }
}

fn contains_named(node: &Node) -> bool {
    node.named || node.replicas.iter().any(contains_named)
}

fn find<'n>(node: &'n mut Node, place: &Place) -> Option<&'n mut Node> {
    if node.place == *place {
        return Some(node);
    }
    node.replicas.iter_mut().find_map(|replica| find(replica, place))
}

/// What a node says of itself.
fn question(client: &mut Client) -> Result<Facts, ClientError> {
    let reply = client.call(&["INFO"])?;
    let mut facts = match reply.as_bytes().map(String::from_utf8_lossy) {
        Some(info) => Facts::from_info(&info),
        None => {
            let refusal = reply.as_error().map(|text| String::from_utf8_lossy(text).into_owned());
            Facts::from_role(&client.call(&["ROLE"])?)
                .map(Some)
                .ok_or_else(|| ClientError::Refused(refusal.unwrap_or_default()))?
        }
    }
    .ok_or_else(|| ClientError::Refused("says nothing of replication".to_owned()))?;
    facts.asked_at = Some(now());
    Ok(facts)
}

fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
