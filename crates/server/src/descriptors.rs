//! Open files: how many `maxclients` and we ourselves need, and how many the system lets us have.
//!
//! Only the soft limit is raised, to the hard one at most; the hard one is the operator's word.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tandem_engine::config::Config;
use tandem_engine::node::{Level, Node};

use crate::metrics;

/// Descriptors that are not clients': files, the log, links; and what threads and listeners take.
fn own_descriptors(config: &Config, workers: usize) -> u64 {
    const OTHERS: usize = 32;
    // A poll and a waker for each worker, the housekeeper and the thread of handshakes.
    let threads = 2 * (workers + 2);
    let listeners = 2 * config.bind().len() + 1;
    let all = OTHERS + threads + listeners + metrics::DESCRIPTORS;
    u64::try_from(all).expect("a count of threads and words")
}

/// What there is after the limit has been raised, if it had to be.
struct Room {
    /// Descriptors for `maxclients` and us.
    wanted: u64,
    /// The limit before.
    before: u64,
    /// The limit now.
    have: u64,
    /// Clients that have room; 0 where not even we have.
    clients: u32,
    /// Why the limit could not be raised.
    why: String,
}

fn make_room(config: &Config, workers: usize) -> Room {
    let ours = own_descriptors(config, workers);
    let wanted = u64::from(config.maxclients()) + ours;
    let limit = getrlimit(Resource::Nofile);
    let before = limit.current.unwrap_or(u64::MAX);
    let mut why = String::new();
    if before < wanted {
        let most = limit.maximum.unwrap_or(u64::MAX).max(before);
        let raised = Rlimit { current: Some(wanted.min(most)), maximum: limit.maximum };
        let error = setrlimit(Resource::Nofile, raised).err();
        // Beyond the hard limit is where the system would have said this.
        let error = error.unwrap_or(rustix::io::Errno::PERM);
        why = crate::daemon::os_words(&error.into());
    }
    let have = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let clients = u32::try_from(have.saturating_sub(ours)).unwrap_or(u32::MAX);
    Room { wanted, before, have, clients, why }
}

/// Raises the limit of open files to what `maxclients` needs, or lowers `maxclients`. The error,
/// which is the line to log, says that there is room for nobody.
pub(crate) fn adjust_at_start(node: &Node, workers: usize) -> Result<(), String> {
    let room = make_room(&node.config(), workers);
    let Room { wanted, before, have, clients, why } = room;
    if have >= wanted {
        if before < wanted {
            let line = format!(
                "Increased maximum number of open files to {have} (it was originally set to \
                 {before})."
            );
            node.log(Level::Notice, &line);
        }
        return Ok(());
    }
    if clients == 0 {
        return Err(format!(
            "Your current 'ulimit -n' of {before} is not enough for the server to start. Please \
             increase your open file limit to at least {wanted}. Exiting."
        ));
    }
    let asked = node.config().maxclients();
    node.config_mut().set_maxclients(clients);
    node.config_applied();
    for line in [
        format!(
            "You requested maxclients of {asked} requiring at least {wanted} max file descriptors."
        ),
        format!("Server can't set maximum open files to {wanted} because of OS error: {why}."),
        format!(
            "Current maximum open files is {have}. maxclients has been reduced to {clients} to \
             compensate for low ulimit. If you need higher maxclients increase 'ulimit -n'."
        ),
    ] {
        node.log(Level::Warning, &line);
    }
    Ok(())
}

/// The same for a `maxclients` that has just been set. The error is what its client is told.
pub(crate) fn follow(node: &Node, workers: usize) -> Result<(), String> {
    let room = make_room(&node.config(), workers);
    if room.have >= room.wanted {
        return Ok(());
    }
    let clients = room.clients;
    Err(format!(
        "The operating system is not able to handle the specified number of clients, try with \
         {clients}"
    ))
}
