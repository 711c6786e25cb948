//! What a server says about itself: the fields of INFO that the demonstration looks at.

use tandem_base::ReplOffset;
use tandem_base::num::parse_u64;

/// One server at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) process_id: Option<u64>,
    /// Whether the link to the master works; for a master, true.
    pub(super) link_up: bool,
    /// Bytes of the replication stream written (master) or taken (replica).
    pub(super) offset: Option<ReplOffset>,
    /// How many replicas are attached and receive the stream.
    pub(super) online_replicas: usize,
    /// Full resynchronisations served so far.
    pub(super) full_syncs: u64,
    /// Partial resynchronisations served so far.
    pub(super) partial_syncs: u64,
    /// Keys in database 0.
    pub(super) keys: u64,
}

impl Facts {
    /// Reads the text of INFO. What is missing stays at its default.
    pub(super) fn parse(info: &str) -> Facts {
        let mut facts = Facts::default();
        let mut is_replica = false;
        for line in info.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let number = || parse_u64(value.as_bytes());
            match name {
                "process_id" => facts.process_id = number(),
                "role" => {
                    is_replica = value == "slave";
                    facts.link_up |= !is_replica;
                }
                "master_link_status" => facts.link_up = value == "up",
                "slave_repl_offset" => facts.offset = number().map(ReplOffset),
                // A replica reports this too, for its own replicas.
                "master_repl_offset" if !is_replica => facts.offset = number().map(ReplOffset),
                "sync_full" => facts.full_syncs = number().unwrap_or(0),
                "sync_partial_ok" => facts.partial_syncs = number().unwrap_or(0),
                "db0" => facts.keys = pair(value, "keys").and_then(|n| n.parse().ok()).unwrap_or(0),
                _ if is_replica_line(name) => {
                    facts.online_replicas += usize::from(pair(value, "state") == Some("online"));
                }
                _ => {}
            }
        }
        facts
    }
}

/// `slave0`, `slave1` …: one line for each attached replica.
fn is_replica_line(name: &str) -> bool {
    name.strip_prefix("slave")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The value of `name` in `a=1,b=2`.
fn pair<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_counts_those_online() {
        let facts = Facts::parse(
            "# Server\r\nprocess_id:42\r\nsync_full:3\r\nsync_partial_ok:1\r\nrole:master\r\n\
             connected_slaves:2\r\nslave0:ip=127.0.0.1,port=1,state=online,offset=9,lag=0\r\n\
             slave1:ip=127.0.0.1,port=2,state=wait_bgsave,offset=0,lag=0\r\n\
             master_repl_offset:99\r\ndb0:keys=7,expires=0,avg_ttl=0\r\n",
        );
        let expect = Facts {
            process_id: Some(42),
            link_up: true,
            offset: Some(ReplOffset(99)),
            online_replicas: 1,
            full_syncs: 3,
            partial_syncs: 1,
            keys: 7,
        };
        assert_eq!(facts, expect);
    }

    #[test]
    fn a_replica_tells_what_it_has_taken() {
        let facts = Facts::parse(
            "role:slave\r\nmaster_link_status:down\r\nslave_read_repl_offset:60\r\n\
             slave_repl_offset:50\r\nmaster_repl_offset:50\r\nslave_priority:100\r\n",
        );
        assert_eq!(facts.offset, Some(ReplOffset(50)));
        assert!(!facts.link_up);
        assert_eq!(facts.online_replicas, 0);
    }
}
