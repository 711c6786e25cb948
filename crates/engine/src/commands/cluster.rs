//! CLUSTER and its relatives: known, and refused, because a node is never part of a cluster.
//!
//! Clients look these up before they know what they talk to, so their facts are told in full.

use tandem_resp::Args;

use super::facts::{arg, command, container};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::spec::{Group::Cluster, Spec};

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[
    command("asking", Cluster, 1, "fast", disabled).acl("connection").doc(
        "3.0.0",
        "Announces a request that another node of a cluster has sent here.",
        "O(1)",
    ),
    container("cluster", Cluster, "", SUBCOMMANDS).doc(
        "3.0.0",
        "The cluster.",
        "Depends on the subcommand",
    ),
    command("readonly", Cluster, 1, "fast loading stale", disabled).acl("connection").doc(
        "3.0.0",
        "Lets this connection read from a replica of a cluster.",
        "O(1)",
    ),
    command("readwrite", Cluster, 1, "fast loading stale", disabled).acl("connection").doc(
        "3.0.0",
        "Ends what READONLY began.",
        "O(1)",
    ),
];

const SUBCOMMANDS: &[Spec] =
    &[
        command("cluster|addslots", Cluster, -3, "no_async_loading admin stale", disabled)
            .doc("3.0.0", "Gives hash slots to this node.", "O(N)")
            .args(&[arg::integer("slot").multiple()]),
        command("cluster|addslotsrange", Cluster, -4, "no_async_loading admin stale", disabled)
            .doc("7.0.0", "Gives ranges of hash slots to this node.", "O(N)")
            .args(&[arg::block(
                "start-slot_end-slot",
                &[arg::integer("start-slot"), arg::integer("end-slot")],
            )
            .multiple()]),
        command("cluster|bumpepoch", Cluster, 2, "no_async_loading admin stale", disabled)
            .tips(&["nondeterministic_output"])
            .doc("3.0.0", "Moves the cluster's epoch on.", "O(1)"),
        command("cluster|count-failure-reports", Cluster, 3, "admin stale", disabled)
            .tips(&["nondeterministic_output"])
            .doc("3.0.0", "How many nodes report that a node fails.", "O(N)")
            .args(&[arg::string("node-id")]),
        command("cluster|countkeysinslot", Cluster, 3, "stale", disabled)
            .doc("3.0.0", "How many keys a hash slot holds.", "O(1)")
            .args(&[arg::integer("slot")]),
        command("cluster|delslots", Cluster, -3, "no_async_loading admin stale", disabled)
            .doc("3.0.0", "Takes hash slots from this node.", "O(N)")
            .args(&[arg::integer("slot").multiple()]),
        command("cluster|delslotsrange", Cluster, -4, "no_async_loading admin stale", disabled)
            .doc("7.0.0", "Takes ranges of hash slots from this node.", "O(N)")
            .args(&[arg::block(
                "start-slot_end-slot",
                &[arg::integer("start-slot"), arg::integer("end-slot")],
            )
            .multiple()]),
        command("cluster|failover", Cluster, -2, "no_async_loading admin stale", disabled)
            .doc("3.0.0", "Makes this replica take its master's place.", "O(1)")
            .args(&[arg::one_of(
                "options",
                &[arg::token("force", "FORCE"), arg::token("takeover", "TAKEOVER")],
            )
            .optional()]),
        command("cluster|flushslots", Cluster, 2, "no_async_loading admin stale", disabled).doc(
            "3.0.0",
            "Takes all hash slots from this node.",
            "O(1)",
        ),
        command("cluster|forget", Cluster, 3, "no_async_loading admin stale", disabled)
            .doc("3.0.0", "Strikes a node off.", "O(1)")
            .args(&[arg::string("node-id")]),
        command("cluster|getkeysinslot", Cluster, 4, "stale", disabled)
            .tips(&["nondeterministic_output"])
            .doc("3.0.0", "Keys of a hash slot.", "O(log(N))")
            .args(&[arg::integer("slot"), arg::integer("count")]),
        command("cluster|help", Cluster, 2, "loading stale", disabled).doc(
            "5.0.0",
            "Lists the subcommands.",
            "O(1)",
        ),
        command("cluster|info", Cluster, 2, "stale", disabled)
            .tips(&["nondeterministic_output"])
            .doc("3.0.0", "The state of the cluster.", "O(1)"),
        command("cluster|keyslot", Cluster, 3, "stale", disabled)
            .doc("3.0.0", "The hash slot of a key.", "O(N)")
            .args(&[arg::string("key")]),
        command("cluster|links", Cluster, 2, "stale", disabled)
            .tips(&["nondeterministic_output"])
            .doc("7.0.0", "The links to other nodes.", "O(N)"),
        command("cluster|meet", Cluster, -4, "no_async_loading admin stale", disabled)
            .history(&[("4.0.0", "Takes the port of the bus.")])
            .doc("3.0.0", "Brings this node together with another.", "O(1)")
            .args(&[
                arg::string("ip"),
                arg::integer("port"),
                arg::integer("cluster_bus_port").optional().since("4.0.0"),
            ]),
        command("cluster|myid", Cluster, 2, "stale", disabled).doc(
            "3.0.0",
            "The name of this node.",
            "O(1)",
        ),
        command("cluster|nodes", Cluster, 2, "stale", disabled)
            .tips(&["nondeterministic_output"])
            .doc("3.0.0", "All nodes of the cluster.", "O(N)"),
        command("cluster|replicas", Cluster, 3, "admin stale", disabled)
            .tips(&["nondeterministic_output"])
            .doc("5.0.0", "The replicas of a master.", "O(1)")
            .args(&[arg::string("node-id")]),
        command("cluster|replicate", Cluster, 3, "no_async_loading admin stale", disabled)
            .doc("3.0.0", "Makes this node the replica of a master.", "O(1)")
            .args(&[arg::string("node-id")]),
        command("cluster|reset", Cluster, -2, "admin stale noscript", disabled)
            .doc("3.0.0", "Makes this node forget its cluster.", "O(N)")
            .args(&[arg::one_of(
                "hard_soft",
                &[arg::token("hard", "HARD"), arg::token("soft", "SOFT")],
            )
            .optional()]),
        command("cluster|saveconfig", Cluster, 2, "no_async_loading admin stale", disabled).doc(
            "3.0.0",
            "Writes the state of the cluster to its file.",
            "O(1)",
        ),
        command("cluster|set-config-epoch", Cluster, 3, "no_async_loading admin stale", disabled)
            .doc("3.0.0", "Sets this node's epoch.", "O(1)")
            .args(&[arg::integer("config-epoch")]),
        command("cluster|setslot", Cluster, -4, "no_async_loading admin stale", disabled)
            .doc("3.0.0", "Says where a hash slot is.", "O(1)")
            .args(&[
                arg::integer("slot"),
                arg::one_of(
                    "subcommand",
                    &[
                        arg::string("node-id").token("IMPORTING"),
                        arg::string("node-id").token("MIGRATING"),
                        arg::string("node-id").token("NODE"),
                        arg::token("stable", "STABLE"),
                    ],
                ),
            ]),
        command("cluster|shards", Cluster, 2, "stale", disabled)
            .tips(&["nondeterministic_output"])
            .doc("7.0.0", "The hash slots and the nodes that serve them.", "O(N)"),
        command("cluster|slaves", Cluster, 3, "admin stale", disabled)
            .tips(&["nondeterministic_output"])
            .deprecated("5.0.0", "`CLUSTER REPLICAS`")
            .doc("3.0.0", "The replicas of a master.", "O(1)")
            .args(&[arg::string("node-id")]),
        command("cluster|slots", Cluster, 2, "stale", disabled)
            .history(&[
                ("4.0.0", "Tells the names of nodes."),
                ("7.0.0", "Tells more about addresses."),
            ])
            .tips(&["nondeterministic_output"])
            .deprecated("7.0.0", "`CLUSTER SHARDS`")
            .doc("3.0.0", "The hash slots and the nodes that serve them.", "O(N)"),
    ];

/// Every command of this module.
fn disabled(_: &mut Cx<'_>, _: Args<'_>) -> Outcome {
    Err(ErrorReply::text("ERR This instance has cluster support disabled"))
}
