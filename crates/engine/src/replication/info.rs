//! What INFO and ROLE say about replication.

use std::fmt::Write;

use tandem_base::Now;
use tandem_resp::OutBuf;

use crate::node::Node;

/// INFO's replication section.
pub fn info(node: &Node, now: Now, out: &mut String) {
    let replication = node.replication.inner();
    let role = if replication.master.is_some() { "slave" } else { "master" };
    let _ = write!(out, "# Replication\r\nrole:{role}\r\n");
    if let Some(master) = &replication.master {
        let link = &replication.link;
        let ago = |at: Option<tandem_base::Mono>| {
            at.map_or(-1, |at| (now.mono.ms_since(at) / 1000).cast_signed())
        };
        let end = node.stream.end().0;
        let (read, applied) = link.offsets.unwrap_or((end, end));
        let applied = if link.up { end.max(applied) } else { applied };
        let _ = write!(
            out,
            "master_host:{}\r\nmaster_port:{}\r\nmaster_link_status:{}\r\n\
             master_last_io_seconds_ago:{}\r\nmaster_sync_in_progress:{}\r\n\
             slave_read_repl_offset:{}\r\nslave_repl_offset:{}\r\n",
            master.host,
            master.port,
            if link.up { "up" } else { "down" },
            if link.up { ago(link.last_io) } else { -1 },
            u8::from(link.sync.is_some()),
            read.max(applied),
            applied,
        );
        if let Some((total, read, last_io)) = link.sync {
            let left = if total > 0 { total - read.cast_signed() } else { -1 };
            let percent = if total > 0 { read as f64 * 100.0 / total as f64 } else { 0.0 };
            let _ = write!(
                out,
                "master_sync_total_bytes:{total}\r\nmaster_sync_read_bytes:{read}\r\n\
                 master_sync_left_bytes:{left}\r\nmaster_sync_perc:{percent:.2}\r\n\
                 master_sync_last_io_seconds_ago:{}\r\n",
                ago(Some(last_io))
            );
        }
        if !link.up {
            let _ = write!(out, "master_link_down_since_seconds:{}\r\n", ago(link.down_since));
        }
        let config = node.config();
        let _ = write!(
            out,
            "slave_priority:{}\r\nslave_read_only:{}\r\nreplica_announced:{}\r\n",
            config.replica_priority(),
            u8::from(config.replica_read_only()),
            u8::from(config.replica_announced()),
        );
    }
    let _ = write!(out, "connected_slaves:{}\r\n", replication.replicas.len());
    let config = node.config();
    let (least, max_lag) = (config.min_replicas_to_write(), config.min_replicas_max_lag());
    drop(config);
    if least > 0 && max_lag > 0 {
        let peers = replication.replicas.values().map(|replica| &replica.peer);
        let lag_s = u64::from(max_lag);
        let good = tandem_repl::peer::count_good(peers, lag_s, now.mono);
        let _ = write!(out, "min_slaves_good_slaves:{good}\r\n");
    }
    for (at, replica) in replication.replicas.values().enumerate() {
        let _ = write!(out, "slave{at}:{}\r\n", replica.peer.info_line(now.mono));
    }
    let history = &replication.history;
    let _ = write!(
        out,
        "master_failover_state:no-failover\r\nmaster_replid:{}\r\nmaster_replid2:{}\r\n\
         master_repl_offset:{}\r\nsecond_repl_offset:{}\r\nrepl_backlog_active:{}\r\n\
         repl_backlog_size:{}\r\nrepl_backlog_first_byte_offset:{}\r\nrepl_backlog_histlen:{}\r\n",
        history.replid,
        history.replid2,
        node.stream.end(),
        history.second_repl_offset(),
        u8::from(node.stream.is_active()),
        node.stream.size_bytes(),
        node.stream.first_byte(),
        node.stream.histlen(),
    );
}

/// ROLE's reply.
pub fn role(node: &Node, out: &mut OutBuf) {
    let replication = node.replication.inner();
    let offset = i64::try_from(node.stream.end().0).unwrap_or(i64::MAX);
    if let Some(master) = &replication.master {
        out.array(5);
        out.bulk(b"slave");
        out.bulk(master.host.as_bytes());
        out.int(i64::from(master.port));
        out.bulk(replication.link.role_state.as_bytes());
        let known = replication.link.up || replication.place.is_some();
        out.int(if known { offset } else { -1 });
        return;
    }
    out.array(3);
    out.bulk(b"master");
    out.int(offset);
    let online =
        replication.replicas.values().filter(|replica| replica.peer.info_state() == "online");
    let online: Vec<_> = online.collect();
    out.array(online.len());
    for replica in online {
        out.array(3);
        out.bulk(replica.peer.ip().as_bytes());
        out.bulk(replica.peer.facts.listening_port.to_string().as_bytes());
        out.bulk(replica.peer.ack_offset().0.to_string().as_bytes());
    }
}
