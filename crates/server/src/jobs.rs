//! Snapshots carried out: a thread of its own for each, one at a time.

use std::sync::{Arc, mpsc};

use tandem_engine::node::{Mail, Node};
use tandem_engine::persistence::{SnapshotEnd, SnapshotOrder};
use tandem_repl::peer::marked_preamble;
use tandem_repl::syncplan::Target;

use crate::daemon::os_words;
use crate::shared::{Attachment, Shared};
use crate::snapshot_feed::{ChunkQueue, ChunkReader, SnapshotFeed};
use crate::{files, memory, process};

/// Starts the thread for one snapshot.
pub(crate) fn start(node: Arc<Node>, shared: Arc<Shared>, order: SnapshotOrder) {
    let name = "snapshot".to_owned();
    let (id, target) = (order.id, order.target);
    let (for_end, clock) = (Arc::clone(&node), shared.clock);
    // The thread is there before the order is given away: otherwise nobody could give it up.
    let (give, take) = mpsc::channel::<SnapshotOrder>();
    let spawned = std::thread::Builder::new().name(name).spawn(move || {
        let Ok(order) = take.recv() else { return };
        memory::count_in();
        process::run_on(node.config().bgsave_cpulist());
        match order.target {
            Target::Disk => to_disk(&node, &shared, order),
            Target::Sockets => to_sockets(&node, &shared, order),
        }
    });
    match spawned {
        Ok(_) => give.send(order).expect("it waits for this"),
        Err(error) => {
            order.give_up(&for_end);
            let result = Err(format!("there is no thread for it: {}", os_words(&error)));
            for_end.snapshot_ended(&SnapshotEnd { id, result, target }, clock.now());
        }
    }
}

fn to_disk(node: &Node, shared: &Shared, order: SnapshotOrder) {
    let id = order.id;
    let written = files::write_snapshot(node, order, shared.temp_files.create());
    // The name may be another file's when replicas are sent this one.
    let (result, file) = match written {
        Ok((length, file)) => (Ok(length), Some(file)),
        Err(why) => (Err(why), None),
    };
    let end = SnapshotEnd { id, result, target: Target::Disk };
    for (id, preamble) in node.snapshot_ended(&end, shared.clock.now()) {
        let own = file.as_ref().expect("only a file that was written is sent").try_clone();
        let (Ok(file), Ok(len)) = (own, end.result.clone()) else {
            if let Some(info) = node.clients.get(id) {
                node.kill(&info);
            }
            continue;
        };
        let source = SnapshotFeed::File { file, at: 0, len, buffer: Vec::new() };
        attach(node, shared, id, Attachment { preamble, source });
    }
}

/// Leaves a snapshot for its replica's worker. A connection that closes meanwhile takes what is
/// left for it along; one that has closed before finds nothing left behind.
fn attach(node: &Node, shared: &Shared, id: u64, attachment: Attachment) {
    let Some(info) = node.clients.get(id) else { return };
    shared.attach(id, attachment);
    if node.clients.get(id).is_none() {
        drop(shared.take_attachment(id));
    }
    node.mail(info.worker, Mail::Look(id));
}

fn to_sockets(node: &Node, shared: &Shared, order: SnapshotOrder) {
    let replicas = order.replicas.clone();
    let (id, mark) = (order.id, order.mark);
    let queue = Arc::new(ChunkQueue::new(replicas.len(), Arc::clone(&shared.snapshot_bytes)));
    for (reader, id) in replicas.iter().enumerate() {
        let source = SnapshotFeed::Chunks(ChunkReader::new(Arc::clone(&queue), reader));
        attach(node, shared, *id, Attachment { preamble: marked_preamble(&mark), source });
    }
    let wake = || {
        for id in &replicas {
            if let Some(info) = node.clients.get(*id) {
                node.mail(info.worker, Mail::Look(*id));
            }
        }
    };
    let mut length = 0;
    let finished = order.produce(node, &mut |chunk| {
        length += chunk.len() as u64;
        memory::count_in();
        let goes_on = queue.push(chunk);
        wake();
        goes_on
    });
    if finished {
        queue.push(mark.to_vec());
    }
    queue.end();
    wake();
    let result = if finished { Ok(length) } else { Err("all replicas have gone".to_owned()) };
    node.snapshot_ended(&SnapshotEnd { id, result, target: Target::Sockets }, shared.clock.now());
}
