//! MEMORY: who uses how much, and what could be wrong with it.

use tandem_resp::Args;

use super::docs::help;
use super::facts::{arg, command, container, key_at};
use super::info::memory::{Overheads, difference, ratio};
use super::words::{integer, is_word};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::spec::{Group::Server, Plan, Spec};

const EVERYWHERE: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[container(
    "memory",
    Server,
    "",
    &[
        command("memory|doctor", Server, 2, "", doctor)
            .doc("4.0.0", "Says what could be wrong with the use of memory.", "O(1)")
            .tips(EVERYWHERE),
        command("memory|help", Server, 2, "loading stale", help).doc(
            "4.0.0",
            "Lists the subcommands.",
            "O(1)",
        ),
        command("memory|malloc-stats", Server, 2, "", malloc_stats)
            .doc(
                "4.0.0",
                "The allocator's own report.",
                "Depends on how much memory is allocated, could be slow",
            )
            .tips(EVERYWHERE),
        command("memory|purge", Server, 2, "", purge)
            .doc(
                "4.0.0",
                "Asks the allocator to give unused pages back.",
                "Depends on how much memory is allocated, could be slow",
            )
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
        command("memory|stats", Server, 2, "", stats)
            .plan(Plan::Walk)
            .doc("4.0.0", "Who uses how much memory.", "O(1)")
            .tips(EVERYWHERE),
        command("memory|usage", Server, -3, "readonly", usage)
            .keys(&[key_at(2, "RO")])
            .doc("4.0.0", "Bytes that a key and its value take.", "O(N) for N samples")
            .args(&[arg::key("key"), arg::integer("count").token("SAMPLES").optional()]),
    ],
)
.doc("4.0.0", "The use of memory.", "Depends on the subcommand")];

/// What a key takes in its table: its slot, in tables that are two thirds to all full.
const PLACE_BYTES: usize = 12;

/// `MEMORY USAGE key [SAMPLES count]`: exact, so that samples make no difference; a key whose
/// time has come is found too.
fn usage(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let mut at = 3;
    while at < args.len() {
        if !is_word(args.get(at), "samples") || at + 1 == args.len() {
            return Err(ErrorReply::Syntax);
        }
        if integer(args.get(at + 1))? < 0 {
            return Err(ErrorReply::Syntax);
        }
        at += 2;
    }
    let db = cx.db.index;
    let (stripe, hash) = cx.db.locate(args.get(2));
    match stripe.get(db, args.get(2), hash) {
        Some(entry) => cx.out.count(entry.memory_bytes() + PLACE_BYTES),
        None => cx.out.null(),
    }
    Ok(())
}

/// `MEMORY STATS`
fn stats(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    let node = cx.node;
    let overheads = Overheads::read(node);
    let databases = node.keyspace.overheads();
    let databases: Vec<_> =
        databases.iter().enumerate().filter(|(_, overhead)| overhead.keys > 0).collect();
    let keys: u64 = databases.iter().map(|(_, overhead)| overhead.keys).sum();
    let Overheads { process, startup, peak, dataset, .. } = &overheads;
    let used = process.used_memory;
    let net = used.saturating_sub(*startup).max(1);
    let out = &mut *cx.out;
    out.map(27 + databases.len());
    let mut whole = |name: &str, value: u64| {
        out.bulk(name.as_bytes());
        out.int(value.cast_signed());
    };
    whole("peak.allocated", *peak);
    whole("total.allocated", used);
    whole("startup.allocated", *startup);
    whole("replication.backlog", overheads.backlog);
    whole("clients.slaves", overheads.replicas);
    whole("clients.normal", overheads.clients);
    for name in ["cluster.links", "aof.buffer", "lua.caches", "functions.caches"] {
        whole(name, 0);
    }
    for (index, overhead) in &databases {
        out.bulk(format!("db.{index}").as_bytes());
        out.map(3);
        for (name, bytes) in [
            ("overhead.hashtable.main", overhead.table_bytes),
            ("overhead.hashtable.expires", overhead.expiry_bytes),
            ("overhead.hashtable.slot-to-keys", 0),
        ] {
            out.bulk(name.as_bytes());
            out.int(bytes.cast_signed());
        }
    }
    let mut whole = |name: &str, value: u64| {
        out.bulk(name.as_bytes());
        out.int(value.cast_signed());
    };
    whole("overhead.total", used - dataset);
    whole("keys.count", keys);
    whole("keys.bytes-per-key", net.checked_div(keys).unwrap_or(0));
    whole("dataset.bytes", *dataset);
    out.bulk(b"dataset.percentage");
    out.double(ratio(dataset * 100, net.max(*dataset)));
    out.bulk(b"peak.percentage");
    out.double(ratio(used * 100, *peak));
    for (name, value) in [
        ("allocator.allocated", process.allocator_allocated),
        ("allocator.active", process.allocator_active),
        ("allocator.resident", process.allocator_resident),
    ] {
        out.bulk(name.as_bytes());
        out.int(value.cast_signed());
    }
    for (name, [of, to]) in [
        ("allocator-fragmentation", [process.allocator_active, process.allocator_allocated]),
        ("allocator-rss", [process.allocator_resident, process.allocator_active]),
        ("rss-overhead", [process.rss, process.allocator_resident]),
        ("fragmentation", [process.rss, used]),
    ] {
        let name_of_ratio =
            if name == "fragmentation" { name.to_owned() } else { format!("{name}.ratio") };
        out.bulk(name_of_ratio.as_bytes());
        out.double(ratio(of, to));
        out.bulk(format!("{name}.bytes").as_bytes());
        out.int(difference(of, to));
    }
    Ok(())
}

/// `MEMORY MALLOC-STATS`
fn malloc_stats(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    cx.out.verbatim("txt", cx.node.host.allocator_report().as_bytes());
    Ok(())
}

/// `MEMORY PURGE`
fn purge(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    if !cx.node.host.purge_memory() {
        return Err(ErrorReply::text("ERR Error purging dirty pages"));
    }
    cx.out.ok();
    Ok(())
}

/// Below this, ratios say nothing.
const ALMOST_EMPTY_BYTES: u64 = 5 << 20;
/// A difference worth a report.
const MUCH_BYTES: i64 = 10 << 20;
const CLIENT_MUCH_BYTES: u64 = 200 << 10;
const REPLICA_MUCH_BYTES: u64 = 10 << 20;

/// `MEMORY DOCTOR`: the tests and the thresholds are Redis's.
fn doctor(cx: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    let findings = findings(&Overheads::read(cx.node));
    let report = match findings {
        None => "Hi Sam, this instance is empty or is using very little memory, my issues \
                 detector can't be used in these conditions. Please, leave for your mission on \
                 Earth and fill it with some data. The new Sam and I will be back to our \
                 programming as soon as I finished rebooting.\n"
            .to_owned(),
        Some(findings) if findings.is_empty() => {
            "Hi Sam, I can't find any memory issue in your instance. I can only account for what \
             occurs on this base.\n"
                .to_owned()
        }
        Some(findings) => {
            let mut report =
                "Sam, I detected a few issues in this Redis instance memory implants:\n\n"
                    .to_owned();
            for finding in findings {
                report.push_str(" * ");
                report.push_str(finding);
                report.push_str("\n\n");
            }
            report.push_str("I'm here to keep you safe, Sam. I want to help you.\n");
            report
        }
    };
    cx.out.verbatim("txt", report.as_bytes());
    Ok(())
}

/// What is wrong; `None` if too little is used to tell.
fn findings(overheads: &Overheads) -> Option<Vec<&'static str>> {
    let Overheads { process, peak, clients, replicas, .. } = overheads;
    let used = process.used_memory;
    if used < ALMOST_EMPTY_BYTES {
        return None;
    }
    let much_more =
        |of: u64, to: u64, times: f64| ratio(of, to) > times && difference(of, to) > MUCH_BYTES;
    let tests = [
        (
            ratio(*peak, used) > 1.5,
            "Peak memory: once more than 150% of what is used now was in use. Allocators seldom \
             give all of that back, so the fragmentation ratio looks high; that does no harm, \
             and the memory serves again when the data grow. MEMORY PURGE may give some of it \
             back; else only a restart does.",
        ),
        (
            much_more(process.rss, used, 1.4),
            "High total RSS: the process holds more than 1.4 times what is in use. After a peak \
             of memory that is to be expected; else the load fragments memory.",
        ),
        (
            much_more(process.allocator_active, process.allocator_allocated, 1.1),
            "High allocator fragmentation: pages in use are more than 1.1 times what is in them. \
             After a peak of memory that is to be expected; else the load fragments memory.",
        ),
        (
            much_more(process.allocator_resident, process.allocator_active, 1.1),
            "High allocator RSS overhead: the allocator holds more than 1.1 times the pages that \
             are in use, usually after a peak. MEMORY PURGE gives them back.",
        ),
        (
            much_more(process.rss, process.allocator_resident, 1.1),
            "High process RSS overhead: the process holds more than 1.1 times what the allocator \
             does.",
        ),
        (
            overheads.replica_count > 0 && *replicas > REPLICA_MUCH_BYTES,
            "Big replica buffers: more than 10MB wait for replicas. One of them does not keep \
             up: INFO replication says how far each is behind, CLIENT LIST what waits for it.",
        ),
        (
            clients / overheads.client_count.max(1) > CLIENT_MUCH_BYTES,
            "Big client buffers: clients hold more than 200K each on average. They read slowly \
             what they subscribe to, ask for large replies, or send very long pipelines: CLIENT \
             LIST says who.",
        ),
    ];
    Some(tests.iter().filter(|(holds, _)| *holds).map(|(_, text)| *text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::script::{Shell, check};
    use crate::node::ProcessFacts;

    #[test]
    fn usage_is_what_a_key_takes() {
        check(
            "
            > SET k v
            +OK
            > MEMORY USAGE k
            :28
            > MEMORY USAGE k SAMPLES 0
            :28
            > MEMORY USAGE missing
            nil
            > MEMORY USAGE k SAMPLES -1
            -ERR syntax error
            > MEMORY USAGE k SAMPLES
            -ERR syntax error
            > MEMORY USAGE k SAMPLES x
            -ERR value is not an integer or out of range
            > MEMORY NONSENSE
            -ERR unknown subcommand 'NONSENSE'. Try MEMORY HELP.
            > MEMORY PURGE
            +OK
            ",
        );
    }

    #[test]
    fn stats_are_those_of_redis_by_name() {
        let mut shell = Shell::new();
        shell.run("SET k v");
        let reply = shell.run("MEMORY STATS");
        for name in [
            "peak.allocated",
            "total.allocated",
            "startup.allocated",
            "replication.backlog",
            "clients.slaves",
            "clients.normal",
            "cluster.links",
            "aof.buffer",
            "lua.caches",
            "functions.caches",
            "db.0",
            "overhead.hashtable.main",
            "overhead.hashtable.expires",
            "overhead.hashtable.slot-to-keys",
            "overhead.total",
            "keys.count",
            "keys.bytes-per-key",
            "dataset.bytes",
            "dataset.percentage",
            "peak.percentage",
            "allocator.allocated",
            "allocator.active",
            "allocator.resident",
            "allocator-fragmentation.ratio",
            "allocator-fragmentation.bytes",
            "allocator-rss.ratio",
            "allocator-rss.bytes",
            "rss-overhead.ratio",
            "rss-overhead.bytes",
            "fragmentation",
            "fragmentation.bytes",
        ] {
            assert!(reply.contains(&format!("\"{name}\"")), "{name}: {reply}");
        }
        assert!(reply.contains("\"keys.count\" :1"), "{reply}");
    }

    #[test]
    fn the_doctor_looks_at_redis_thresholds() {
        let mut overheads = Overheads::read(&Shell::new().node);
        assert_eq!(findings(&overheads), None);
        let mb = |mb: u64| mb << 20;
        overheads.process = ProcessFacts {
            used_memory: mb(100),
            allocator_allocated: mb(100),
            allocator_active: mb(105),
            allocator_resident: mb(110),
            rss: mb(115),
            ..ProcessFacts::default()
        };
        overheads.peak = mb(110);
        (overheads.clients, overheads.client_count) = (1000, 1);
        assert_eq!(findings(&overheads), Some(Vec::new()));
        overheads.process.rss = mb(160);
        overheads.peak = mb(151);
        overheads.clients = mb(1);
        (overheads.replicas, overheads.replica_count) = (mb(11), 1);
        let found = findings(&overheads).expect("enough is used");
        let named: Vec<_> = found.iter().map(|text| text.split(':').next().unwrap()).collect();
        assert_eq!(
            named,
            [
                "Peak memory",
                "High total RSS",
                "High process RSS overhead",
                "Big replica buffers",
                "Big client buffers"
            ]
        );
    }
}
