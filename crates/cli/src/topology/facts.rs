//! What one node says of itself and of its replicas.

use tandem_base::num::parse_u64;
use tandem_base::{ReplOffset, UnixMs};
use tandem_resp::reply::ReplyValue;

/// Where a node listens, as others name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: i32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A replica as its master sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reported {
    pub(super) place: Place,
    /// `online`, `wait_bgsave`, `send_bulk`.
    pub(super) state: String,
    pub(super) offset: Option<ReplOffset>,
    /// Seconds since its last acknowledgement.
    pub(super) lag_seconds: Option<u64>,
}

/// The link of a replica to its master, as the replica sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) master: Place,
    pub(super) state: LinkState,
    /// Seconds since anything came from the master.
    pub(super) silent_seconds: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LinkState {
    Up,
    /// A full synchronisation runs; how much of it is there, in percent, when it is known.
    Syncing(Option<u8>),
    /// For so many seconds, when it is known.
    Down(Option<u64>),
}

/// One node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) run_id: Option<String>,
    pub(super) version: Option<String>,
    /// It watches servers, and is none of them.
    pub(super) is_sentinel: bool,
    /// `None` for a master.
    pub(super) link: Option<Link>,
    /// Bytes of the stream written (master) or taken (replica).
    pub(super) offset: Option<ReplOffset>,
    pub(super) replid: Option<String>,
    pub(super) replicas: Vec<Reported>,
    /// When it was asked, by our clock.
    pub(super) asked_at: Option<UnixMs>,
}

impl Facts {
    /// Reads the text of INFO; `None` when it says nothing of replication, nor that it is a
    /// Sentinel's.
    pub(super) fn from_info(info: &str) -> Option<Facts> {
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim).filter(|value| !value.is_empty())
        };
        let number = |name: &str| parse_u64(field(name)?.as_bytes());
        let run_id = field("run_id").map(str::to_owned);
        let version = version(field);
        if field("redis_mode") == Some("sentinel") {
            return Some(Facts { is_sentinel: true, run_id, version, ..Facts::default() });
        }
        let is_replica = field("role")? == "slave";
        let link = is_replica.then(|| Link {
            master: Place {
                host: field("master_host").unwrap_or_default().to_owned(),
                port: number("master_port").and_then(|n| i32::try_from(n).ok()).unwrap_or(0),
            },
            state: if field("master_link_status") == Some("up") {
                LinkState::Up
            } else if field("master_sync_in_progress") == Some("1") {
                LinkState::Syncing(field("master_sync_perc").and_then(percent))
            } else {
                LinkState::Down(number("master_link_down_since_seconds"))
            },
            silent_seconds: number("master_last_io_seconds_ago"),
        });
        // A replica reports the other one too, for its own replicas.
        let offset = number(if is_replica { "slave_repl_offset" } else { "master_repl_offset" });
        Some(Facts {
            run_id,
            version,
            is_sentinel: false,
            link,
            offset: offset.map(ReplOffset),
            replid: field("master_replid").map(str::to_owned),
            replicas: info.lines().filter_map(reported).collect(),
            asked_at: None,
        })
    }

    /// Reads the reply of ROLE, which tells less.
    pub(super) fn from_role(reply: &ReplyValue) -> Option<Facts> {
        let text = |value: &ReplyValue| {
            value.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let offset = |number: i64| u64::try_from(number).ok().map(ReplOffset);
        match reply.as_slice()? {
            [role, written, replicas] if role.as_bytes() == Some(b"master") => Some(Facts {
                offset: offset(written.as_i64()?),
                replicas: replicas
                    .as_slice()?
                    .iter()
                    .filter_map(|replica| match replica.as_slice()? {
                        [host, port, taken] => Some(Reported {
                            place: Place { host: text(host)?, port: text(port)?.parse().ok()? },
                            state: "online".to_owned(),
                            offset: text(taken)?.parse().ok().map(ReplOffset),
                            lag_seconds: None,
                        }),
                        _ => None,
                    })
                    .collect(),
                ..Facts::default()
            }),
            [role, host, port, state, taken] if role.as_bytes() == Some(b"slave") => Some(Facts {
                link: Some(Link {
                    master: Place { host: text(host)?, port: i32::try_from(port.as_i64()?).ok()? },
                    state: match state.as_bytes()? {
                        b"connected" => LinkState::Up,
                        b"sync" => LinkState::Syncing(None),
                        _ => LinkState::Down(None),
                    },
                    silent_seconds: None,
                }),
                offset: offset(taken.as_i64()?),
                ..Facts::default()
            }),
            [role, _] if role.as_bytes() == Some(b"sentinel") => {
                Some(Facts { is_sentinel: true, ..Facts::default() })
            }
            _ => None,
        }
    }
}

/// What the node is. The others tell a version of Redis too, which they are like.
fn version<'i>(field: impl Fn(&str) -> Option<&'i str>) -> Option<String> {
    let tandem = field("tandem_version").map(|version| format!("tandem {version}"));
    let valkey = || {
        let name = field("server_name").unwrap_or("valkey");
        Some(format!("{name} {}", field("valkey_version")?))
    };
    let redis = || Some(format!("redis {}", field("redis_version")?));
    tandem.or_else(valkey).or_else(redis)
}

/// `45.20` as 45.
fn percent(text: &str) -> Option<u8> {
    let percent: f64 = text.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent as u8)
}

/// `slave0:ip=…,port=…,state=…,offset=…,lag=…`
fn reported(line: &str) -> Option<Reported> {
    let (name, fields) = line.trim_end().split_once(':')?;
    let number = name.strip_prefix("slave")?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let field =
        |name: &str| fields.split(',').find_map(|f| f.strip_prefix(name)?.strip_prefix('='));
    Some(Reported {
        place: Place { host: field("ip")?.to_owned(), port: field("port")?.parse().ok()? },
        state: field("state")?.to_owned(),
        offset: field("offset").and_then(|text| text.parse().ok()).map(ReplOffset),
        lag_seconds: field("lag").and_then(|text| text.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_resp::reply::parse_reply;

    #[test]
    fn a_master_names_its_replicas() {
        let facts = Facts::from_info(
            "redis_version:7.0.15\r\nrun_id:abc\r\nrole:master\r\nconnected_slaves:2\r\n\
             slave0:ip=::1,port=7001,state=online,offset=90,lag=1\r\n\
             slave1:ip=host,port=7002,state=wait_bgsave,offset=0,lag=0\r\n\
             master_replid:ff\r\nmaster_repl_offset:100\r\nslave_priority:100\r\n",
        )
        .expect("it is sound");
        assert_eq!(facts.offset, Some(ReplOffset(100)));
        assert_eq!(facts.replicas.len(), 2);
        assert_eq!(facts.replicas[0].place.to_string(), "[::1]:7001");
        assert_eq!(facts.replicas[1].state, "wait_bgsave");
        assert_eq!(facts.version.as_deref(), Some("redis 7.0.15"));
        assert_eq!(facts.link, None);
    }

    #[test]
    fn a_replica_tells_of_its_link() {
        let link = |more: &str| {
            let text = format!(
                "role:slave\r\nmaster_host:m\r\nmaster_port:6379\r\nslave_repl_offset:50\r\n\
                 master_repl_offset:40\r\nmaster_last_io_seconds_ago:3\r\n{more}"
            );
            let facts = Facts::from_info(&text).expect("it is sound");
            assert_eq!(facts.offset, Some(ReplOffset(50)));
            facts.link.expect("it is a replica")
        };
        assert_eq!(link("master_link_status:up\r\n").state, LinkState::Up);
        assert_eq!(link("master_link_status:up\r\n").silent_seconds, Some(3));
        let syncing =
            "master_link_status:down\r\nmaster_sync_in_progress:1\r\nmaster_sync_perc:45.20\r\n";
        assert_eq!(link(syncing).state, LinkState::Syncing(Some(45)));
        let down = "master_link_status:down\r\nmaster_link_down_since_seconds:7\r\n";
        assert_eq!(link(down).state, LinkState::Down(Some(7)));
        assert_eq!(Facts::from_info("# nothing\r\n"), None);
    }

    #[test]
    fn a_node_is_called_by_its_own_name() {
        let version = |more: &str| {
            let text = format!("redis_version:7.2.4\r\n{more}role:master\r\n");
            Facts::from_info(&text).expect("it is sound").version.expect("it tells one")
        };
        assert_eq!(version(""), "redis 7.2.4");
        assert_eq!(version("server_name:valkey\r\nvalkey_version:8.0.1\r\n"), "valkey 8.0.1");
        assert_eq!(version("server_name:other\r\nvalkey_version:8.0.1\r\n"), "other 8.0.1");
        assert_eq!(version("valkey_version:8.0.1\r\n"), "valkey 8.0.1");
        assert_eq!(version("tandem_version:0.1.0\r\n"), "tandem 0.1.0");
    }

    #[test]
    fn a_sentinel_is_none_of_the_servers() {
        let text = "redis_version:7.0.15\r\nredis_mode:sentinel\r\nrun_id:ab\r\n\
                    # Sentinel\r\nsentinel_masters:1\r\n";
        let facts = Facts::from_info(text).expect("it is sound");
        assert!(facts.is_sentinel && facts.replicas.is_empty());
        assert_eq!((facts.offset, facts.version.as_deref()), (None, Some("redis 7.0.15")));
        let reply = b"*2\r\n$8\r\nsentinel\r\n*1\r\n$1\r\nm\r\n";
        let (reply, _) = parse_reply(reply).expect("sound").expect("whole");
        assert!(Facts::from_role(&reply).expect("it is sound").is_sentinel);
    }

    #[test]
    fn role_is_enough() {
        let role = |bytes: &[u8]| {
            let (reply, _) = parse_reply(bytes).expect("sound").expect("whole");
            Facts::from_role(&reply)
        };
        let master =
            role(b"*3\r\n$6\r\nmaster\r\n:9\r\n*1\r\n*3\r\n$1\r\nh\r\n$1\r\n7\r\n$1\r\n8\r\n");
        let master = master.expect("it is sound");
        assert_eq!(master.offset, Some(ReplOffset(9)));
        assert_eq!(master.replicas[0].place.to_string(), "h:7");
        let replica = role(b"*5\r\n$5\r\nslave\r\n$1\r\nm\r\n:7\r\n$9\r\nconnected\r\n:5\r\n");
        assert_eq!(
            replica.and_then(|facts| facts.link).map(|link| link.state),
            Some(LinkState::Up)
        );
        assert_eq!(role(b"*1\r\n$8\r\nsentinel\r\n"), None);
    }
}
