//! Metrics in Prometheus's text form, over HTTP on a port of their own (`metrics-port`).
//!
//! ```text
//! GET /metrics ─► INFO everything ─► one table of fields and names ─► text
//! GET /healthz ─► "ok", or 503 while a dataset is being loaded or a master is missed
//! ```
//! Names and labels are those of redis_exporter, so that dashboards and alerts for it serve here.
//! One thread answers all (`http`): whoever is slow loses his answer, and neither another scraper
//! nor a client of the server notices.

mod http;
mod names;
mod text;

use std::net::TcpListener;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use http::{Http, Reply, Request, TIME_LIMIT};
use tandem_engine::commands::info;
use tandem_engine::node::{Level, Node, Refusals, lock};

use crate::daemon::os_words;
use crate::poll::Waker;
use crate::shared::Shared;

/// Descriptors that the metrics take at most: connections, the listener, the poll, the waker.
pub(crate) const DESCRIPTORS: usize = http::OPEN_MAX + 3;

/// Who serves metrics: the listening socket, which CONFIG SET may change, and the thread, which
/// there is once there has been a port.
#[derive(Default)]
pub(crate) struct Metrics {
    listener: Mutex<Option<TcpListener>>,
    /// Wakes the thread.
    thread: Mutex<Option<Arc<Waker>>>,
    /// For a thread that is started later.
    parts: OnceLock<(Weak<Node>, Weak<Shared>)>,
}

impl Metrics {
    /// Listens as the configuration says. The error is the line to log.
    pub(crate) fn start(&self, node: &Arc<Node>, shared: &Arc<Shared>) -> Result<(), String> {
        let set = self.parts.set((Arc::downgrade(node), Arc::downgrade(shared)));
        set.expect("a server starts once");
        self.follow(node)
    }

    /// Listens as the configuration says now, and no longer as it said before. The error says
    /// why not; nobody is served then.
    pub(crate) fn follow(&self, node: &Node) -> Result<(), String> {
        let config = node.config();
        let (port, bind) = (config.metrics_port(), config.metrics_bind().to_vec());
        drop(config);
        let mut listener = lock(&self.listener);
        // The old one first: both may want the same port.
        *listener = None;
        if port == 0 {
            return Ok(());
        }
        let bind = String::from_utf8_lossy(&bind).into_owned();
        let failed = |error: std::io::Error| {
            format!("Failed listening for metrics on {bind}:{port}: {}", os_words(&error))
        };
        let new = TcpListener::bind((bind.as_str(), port)).map_err(failed)?;
        new.set_nonblocking(true).map_err(failed)?;
        let mut thread = lock(&self.thread);
        if thread.is_none() {
            *thread = Some(self.start_thread().map_err(failed)?);
        }
        // It takes the socket's lock to look.
        *listener = Some(new);
        thread.as_ref().expect("it has been started").wake();
        Ok(())
    }

    /// All that may fail for the thread has been done when this returns: from then on it runs
    /// until the end.
    fn start_thread(&self) -> std::io::Result<Arc<Waker>> {
        let parts =
            self.parts.get().and_then(|(node, shared)| Some((node.upgrade()?, shared.upgrade()?)));
        let (node, shared) = parts.expect("CONFIG SET comes from a server that has started");
        let waker = Arc::new(Waker::new()?);
        let its_waker = Arc::clone(&waker);
        let (told, tells) = std::sync::mpsc::channel();
        std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            let answer = |request: Request<'_>| answer(request, &node, &shared);
            // A poll stays with its thread.
            let (begun, http) = match Http::new(its_waker, TIME_LIMIT, answer) {
                Ok(http) => (Ok(()), Some(http)),
                Err(error) => (Err(error), None),
            };
            let heard = told.send(begun);
            heard.expect("whoever began it waits");
            if let Some(http) = http {
                run(http, &node, &shared);
            }
        })?;
        tells.recv().expect("it is the first thing that the thread does")?;
        Ok(waker)
    }
}

/// The thread: answers whoever connects, on whatever socket there is.
fn run(mut http: Http<impl Fn(Request<'_>) -> Reply>, node: &Node, shared: &Shared) -> ! {
    loop {
        if let Err(error) = http.turn(&shared.metrics.listener) {
            node.log(Level::Verbose, &format!("Serving metrics: {}", os_words(&error)));
            // Whatever it is: it must not fill the log.
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn answer(request: Request<'_>, node: &Node, shared: &Shared) -> Reply {
    const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
    if request.method != b"GET" && request.method != b"HEAD" {
        return Reply::plain("405 Method Not Allowed", "only GET and HEAD\n");
    }
    match request.path {
        b"/metrics" => Reply { status: "200 OK", kind: METRICS, body: metrics(node, shared) },
        b"/healthz" => {
            let not_well = Refusals::LOADING | Refusals::STALE;
            if node.refusals().intersects(not_well) {
                Reply::plain("503 Service Unavailable", "loading, or without a master\n")
            } else {
                Reply::plain("200 OK", "ok\n")
            }
        }
        b"/" => Reply::plain("200 OK", "/metrics\n/healthz\n"),
        _ => Reply::plain("404 Not Found", "there are /metrics and /healthz\n"),
    }
}

fn metrics(node: &Node, shared: &Shared) -> String {
    let wanted = info::Wanted::parse([b"everything".as_slice()].into_iter());
    let now = shared.clock.now();
    let info = info::text(node, now, &wanted);
    let slow = node.monitor.slowlog();
    let slow_count = slow.entries().len();
    let last_slow = slow.entries().next().map_or((0, 0), |entry| (entry.id, entry.took_us));
    drop(slow);
    let config = node.config();
    let own = text::Own {
        databases: config.databases(),
        limits: (config.maxclients(), config.maxmemory()),
        io_threads: config.io_threads(),
        start: (now.unix.0 - now.mono.ms_since(node.started.mono).cast_signed()) / 1000,
        slow_count,
        last_slow,
    };
    drop(config);
    text::of_info(&info, &own)
}
