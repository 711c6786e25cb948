//! The dataset at the start: a thread of its own loads the snapshot file while workers serve
//! clients, who are told `LOADING` until it is there.
//!
//! ```text
//! prepare ─► role, state ─► workers begin ─► run ─┬─ no file ──► ready
//!                                                 └─ thread: read, parse, put ─► ready, or exit 1
//! ```
//! As in Redis the listening sockets are open from the start, and nobody is served before
//! `loading-process-events-interval-bytes` have been loaded: clients of a server with a small file
//! wait that moment, and never hear of it.

use std::fs::File;
use std::sync::Arc;

use tandem_base::Now;
use tandem_engine::loading::{Load, TOO_FEW_DATABASES};
use tandem_engine::node::{Host, Level, Node, lock};

use crate::files;
use crate::host::ServerHost;
use crate::memory;
use crate::shared::Shared;

/// The load to come, or none where there is no file.
pub(crate) struct StartLoad {
    node: Arc<Node>,
    shared: Arc<Shared>,
    host: Arc<ServerHost>,
    file: Option<File>,
    bytes: u64,
    began: Now,
}

impl StartLoad {
    /// Takes the role that the configuration says, and opens the file. To be called before there
    /// are workers. The error is the line to log.
    pub(crate) fn prepare(
        node: &Arc<Node>,
        shared: &Arc<Shared>,
        host: &Arc<ServerHost>,
    ) -> Result<StartLoad, String> {
        let began = shared.clock.now();
        let opened = files::open_snapshot(node)
            .map_err(|why| format!("Fatal error loading the DB: {why}. Exiting."))?;
        node.begin_start(opened.as_ref().map(|(_, bytes)| *bytes), began);
        let (file, bytes) = match opened {
            Some((file, bytes)) => (Some(file), bytes),
            None => (None, 0),
        };
        let (node, shared, host) = (Arc::clone(node), Arc::clone(shared), Arc::clone(host));
        Ok(StartLoad { node, shared, host, file, bytes, began })
    }

    /// Loads on another thread. Workers run from before on.
    pub(crate) fn run(mut self) -> std::io::Result<()> {
        let Some(file) = self.file.take() else {
            self.ready();
            return Ok(());
        };
        std::thread::Builder::new().name("load".to_owned()).spawn(move || self.load(file))?;
        Ok(())
    }

    fn load(self, mut file: File) {
        let node = &*self.node;
        let load = Load::at_start(self.began, !node.is_replica());
        let interval = node.config().loading_process_events_interval_bytes();
        let mut told = self.began.mono;
        let mut serving = false;
        let step = usize::try_from(interval).unwrap_or(usize::MAX);
        let loaded = files::load_file(node, &mut file, load, step, &mut |so_far| {
            memory::count_in();
            if !serving && so_far >= u64::from(interval) {
                serving = true;
                self.serve();
            }
            let now = self.shared.clock.now().mono;
            if now.ms_since(told) >= 1000 {
                told = now;
                let percent = (so_far * 100).checked_div(self.bytes).unwrap_or(0);
                self.host.tell_supervisor(&format!("STATUS=Loading the dataset, {percent} %\n"));
            }
        });
        match loaded {
            Ok(load) => {
                let ms = self.shared.clock.now().mono.ms_since(self.began.mono);
                let seconds = ms as f64 / 1000.0;
                node.log(Level::Notice, &format!("DB loaded from disk: {seconds:.3} seconds"));
                node.dataset_loaded(load);
                self.ready();
            }
            Err(why) => {
                log_failure(node, &why);
                self.host.exit(1);
            }
        }
    }

    /// From here on clients are answered, and whoever started a server in the background knows.
    fn serve(&self) {
        self.shared.look_at_listeners();
        if let Some(starter) = lock(&self.host.starter).take() {
            starter.tell();
        }
    }

    /// Everything is there: clients are served, the supervisor is told.
    fn ready(&self) {
        let config = self.node.config();
        let (tcp, unix) = (config.port() != 0 || config.tls_port() != 0, config.unixsocket());
        let unix = String::from_utf8_lossy(unix).into_owned();
        drop(config);
        // Whoever finds the server ready finds these lines too.
        if tcp {
            self.node.log(Level::Notice, "Ready to accept connections");
        }
        if !unix.is_empty() {
            let line = format!("The server is now ready to accept connections at {unix}");
            self.node.log(Level::Notice, &line);
        }
        self.node.end_start();
        self.serve();
        self.host.tell_supervisor(if self.node.is_replica() {
            "STATUS=Ready to accept connections in read-only mode. Waiting for MASTER <-> REPLICA \
             sync\n"
        } else {
            "STATUS=Ready to accept connections\n"
        });
        self.host.tell_supervisor("READY=1\n");
    }
}

/// What Redis says of a file that cannot be used.
fn log_failure(node: &Node, why: &str) {
    if let Some(at) = why.find(TOO_FEW_DATABASES) {
        return node.log(Level::Warning, &format!("FATAL: {}. Exiting", &why[at..]));
    }
    let inside = why.starts_with("Internal error in RDB");
    if inside && why.ends_with("Unexpected EOF reading RDB file") {
        let line = "Short read or OOM loading DB. Unrecoverable error, aborting now.";
        node.log(Level::Warning, line);
    }
    node.log(Level::Warning, why);
    node.log(
        Level::Warning,
        match inside {
            true => "Terminating server after rdb file reading failure.",
            // A wrong signature, or a version that is not known.
            false => "Fatal error loading the DB: Invalid argument. Exiting.",
        },
    );
}
