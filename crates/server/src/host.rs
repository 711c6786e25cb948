//! The world that the engine's node asks for things: log, randomness, files, facts about the
//! process.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tandem_base::{Mono, Now};
use tandem_engine::config::LogLevel;
use tandem_engine::loading::Load;
use tandem_engine::node::{Crash, Host, Level, Node, ProcessFacts, lock};
use tandem_engine::persistence::SnapshotOrder;
use tandem_engine::replication::SpoolError;

use crate::daemon::{Starter, Supervisor, os_words};
use crate::log_sink::{LogSink, Role};
use crate::process::{OomScore, Title};
use crate::shared::Shared;
use crate::signals::Signals;
use crate::spool::Spool;
use crate::{files, memory};

/// The real world.
pub(crate) struct ServerHost {
    /// Where log lines go.
    pub log: Arc<LogSink>,
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Snapshots on their way to the housekeeper.
    pub orders: Mutex<Vec<SnapshotOrder>>,
    /// Garbage on its way to the thread that drops it.
    pub garbage: std::sync::mpsc::Sender<Box<dyn Send>>,
    /// The exit code, once the process is to end.
    exit_code: Mutex<Option<i32>>,
    ended: Condvar,
    /// The configuration file, for CONFIG REWRITE.
    pub config_file: Option<Vec<u8>>,
    /// Held while that file is written anew.
    rewriting: Mutex<()>,
    /// Where the process's title is written.
    pub title: Option<Title>,
    /// Who watches over us.
    pub supervisor: Supervisor,
    /// Who waits for us to serve.
    pub starter: Mutex<Option<Starter>>,
    /// Our place in the order of killing.
    pub oom: OomScore,
    /// The signals that ask for the end, once they are handled.
    pub signals: OnceLock<Signals>,
    /// What comes from our master by way of a file.
    pub spool: Spool,
    os: OnceLock<String>,
}

impl ServerHost {
    /// A host; the node comes later.
    pub(crate) fn new(
        log: Arc<LogSink>,
        shared: Arc<Shared>,
        garbage: std::sync::mpsc::Sender<Box<dyn Send>>,
        config_file: Option<Vec<u8>>,
        title: Option<Title>,
        supervisor: Supervisor,
    ) -> ServerHost {
        ServerHost {
            log,
            shared,
            orders: Mutex::default(),
            garbage,
            exit_code: Mutex::default(),
            ended: Condvar::new(),
            config_file,
            rewriting: Mutex::default(),
            title,
            supervisor,
            starter: Mutex::default(),
            oom: OomScore::default(),
            signals: OnceLock::new(),
            spool: Spool::default(),
            os: OnceLock::new(),
        }
    }

    /// Waits until somebody wants the process to end; returns the exit code.
    pub(crate) fn wait_for_end(&self) -> i32 {
        let mut code = lock(&self.exit_code);
        loop {
            match *code {
                Some(code) => return code,
                None => code = self.ended.wait(code).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

fn text(error: std::io::Error) -> String {
    crate::daemon::os_words(&error)
}

impl Host for ServerHost {
    fn log(&self, level: Level, text: &str) {
        let level = match level {
            Level::Debug => LogLevel::Debug,
            Level::Verbose => LogLevel::Verbose,
            Level::Notice => LogLevel::Notice,
            Level::Warning => LogLevel::Warning,
        };
        self.log.log(level, text);
    }

    fn role_changed(&self, replica: bool) {
        self.log.set_role(if replica { Role::Replica } else { Role::Master });
        self.oom.set_role(replica);
    }

    fn random(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system has random bytes");
    }

    fn wake(&self, index: usize) {
        self.shared.wake(index);
    }

    fn clock_ns(&self) -> u64 {
        self.shared.clock.nanos()
    }

    fn sleep(&self, duration: Duration) -> Now {
        std::thread::sleep(duration);
        self.shared.clock.now()
    }

    fn start_snapshot(&self, order: SnapshotOrder) {
        lock(&self.orders).push(order);
        self.shared.housekeeper().wake();
    }

    fn save_now(&self, node: &Node, order: SnapshotOrder) -> Result<(), String> {
        let temp = self.shared.temp_files.create_for_save();
        files::write_snapshot(node, order, temp).map(|_| ())
    }

    fn load_now(&self, node: &Node) -> Result<(), String> {
        // Nobody tells replicas of what expires in a reload: it stays, and expires as ever.
        let load = Load::at_start(self.shared.clock.now(), false);
        match files::open_snapshot(node)? {
            Some((mut file, _)) => {
                let step = files::READ_BYTES;
                files::load_file(node, &mut file, load, step, &mut |_| {}).map(|_| ())
            }
            None => Ok(()),
        }
    }

    fn spool_begin(&self) -> Result<(), String> {
        self.spool.begin(&self.shared).map_err(text)
    }

    fn spool_write(&self, bytes: &[u8]) {
        self.spool.write(bytes);
    }

    fn spool_is_behind(&self) -> bool {
        self.spool.is_behind()
    }

    fn spool_sync(&self) {
        self.spool.sync();
    }

    fn spool_finish(&self) {
        self.spool.finish();
    }

    fn spool_done(&self) -> Option<Result<(), SpoolError>> {
        self.spool.done()
    }

    fn spool_read(&self, buf: &mut [u8]) -> Result<usize, String> {
        self.spool.read(buf).map_err(text)
    }

    fn spool_abort(&self) {
        self.spool.abort();
    }

    fn process(&self) -> ProcessFacts {
        // Before anything here takes memory.
        let used_memory = memory::used();
        let (allocator_allocated, allocator_active, allocator_resident) = memory::facts();
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: u64 =
            pages.split_ascii_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
        let system = rustix::system::sysinfo();
        ProcessFacts {
            used_memory,
            allocator: memory::allocator().map_or("", |allocator| allocator.name),
            allocator_allocated,
            allocator_active,
            allocator_resident,
            rss: pages * rustix::param::page_size() as u64,
            total_system_memory: system.totalram * u64::from(system.mem_unit),
            cpu: crate::rusage::cpu_seconds(),
            os: self.os.get_or_init(os_name).clone(),
        }
    }

    fn allocator_report(&self) -> String {
        memory::allocator().map_or_else(String::new, |allocator| (allocator.report)())
    }

    fn purge_memory(&self) -> bool {
        memory::allocator().is_some_and(|allocator| (allocator.purge)())
    }

    fn used_memory(&self, _: &Node) -> u64 {
        memory::used()
    }

    fn snapshot_bytes_on_the_way(&self) -> u64 {
        self.shared.snapshot_bytes.load(Ordering::Relaxed) as u64
    }

    fn mono(&self) -> Mono {
        self.shared.clock.now().mono
    }

    fn tell_supervisor(&self, state: &str) {
        self.supervisor.notify(state, &self.log);
    }

    fn shutdown_undone(&self) {
        if let Some(signals) = self.signals.get() {
            signals.forget();
        }
    }

    fn exit(&self, code: i32) {
        lock(&self.exit_code).get_or_insert(code);
        self.ended.notify_all();
    }

    fn config_changed(&self, node: &Node, name: &str) -> Result<(), String> {
        crate::reconfigure::config_changed(self, node, name)
    }

    fn rewrite_config(&self, node: &Node, force_all: bool) -> Result<(), String> {
        let _one_at_a_time = lock(&self.rewriting);
        crate::boot::rewrite_config_file(node, self.config_file.as_deref(), force_all)
    }

    fn crash(&self, how: Crash) {
        match how {
            Crash::Panic(why) => panic!("{why}"),
            Crash::Segfault => crate::crash::segfault(),
        }
    }

    fn read_file(&self, path: &[u8]) -> Result<Vec<u8>, String> {
        std::fs::read(OsStr::from_bytes(path)).map_err(|error| os_words(&error))
    }

    fn replace_file(&self, path: &[u8], text: &[u8]) -> Result<(), String> {
        crate::config_files::replace_file(path, text).map_err(|error| os_words(&error))
    }

    fn drop_later(&self, garbage: Box<dyn Send>) {
        // Without the thread (at exit) it is dropped here.
        let _ = self.garbage.send(garbage);
    }
}

fn os_name() -> String {
    let name = rustix::system::uname();
    format!(
        "{} {} {}",
        name.sysname().to_string_lossy(),
        name.release().to_string_lossy(),
        name.machine().to_string_lossy()
    )
}
