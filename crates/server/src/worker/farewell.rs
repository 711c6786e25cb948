//! A connection that is closing counts as gone before its last bytes are written: who has read
//! the answer to QUIT finds it gone, whichever worker he asks, and a place among `maxclients` free.
//! If they cannot be written at once it is seen until they are.

use std::sync::atomic::{AtomicUsize, Ordering};

use tandem_engine::client::Kind;
use tandem_engine::node::Node;

use crate::conn::{Conn, Flushed};

/// Who is owed more is seen until it is sent; so much fits into any socket that is not full.
const FAREWELL_BYTES_MAX: usize = 16 << 10;

/// Writes what there is if the socket has room, and strikes the connection off first if that is all. `load` is its
/// worker's number of connections, `sent` is raised by the bytes written.
pub(super) fn flush(conn: &mut Conn, node: &Node, load: &AtomicUsize, sent: &mut u64) -> Flushed {
    let tries = conn.may_write();
    conn.has_room = false;
    if !tries {
        return Flushed::Blocked;
    }
    conn.left = conn.session.client.closing && may_leave(conn);
    let mut was_killed = false;
    if conn.left {
        was_killed = node.client_leaves(&mut conn.session);
        load.fetch_sub(1, Ordering::Relaxed);
    }
    let end = conn.flush(sent);
    if conn.left && end == Flushed::Blocked {
        conn.left = false;
        node.client_lingers(&conn.session, was_killed);
        load.fetch_add(1, Ordering::Relaxed);
    }
    end
}

/// Whether the connection ends with the next write, if all goes well. A replica goes when the
/// stream says so.
#[cold]
fn may_leave(conn: &Conn) -> bool {
    conn.session.client.kind != Kind::Replica && conn.session.out.len() <= FAREWELL_BYTES_MAX
}
