//! From the command line to a running server, and to its end.
//!
//! ```text
//! arguments ─► configuration ─► daemon ─► node ─► sockets ─► workers ─► dataset (start_load.rs)
//!                   housekeeper: signals, cron, snapshots ─► exit code ─► the thread "end"
//! ```
//! The main thread is worker 0: the system hands a process's SIGSTOP to its main thread, which
//! stops the others, so a server with one worker that was stopped answers nothing any more, even
//! where the machine is busy. The end has a thread that does nothing else: whoever decides on it
//! may hold the gate, and keeps it for good, so nobody who needs the gate could be relied on to
//! carry it out.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex};

use tandem_base::{REDIS_VERSION, ReplId, TANDEM_VERSION};
use tandem_engine::commands;
use tandem_engine::config::{Action, CommandLine, Config, LogLevel, Rewrite};
use tandem_engine::cron::{CRON_MS, Cron};
use tandem_engine::intake::Worker as EngineWorker;
use tandem_engine::node::{Host, Identity, Level, Node, NodeOptions, Refusals, lock};
use tandem_engine::shutdown::{ShutdownOptions, ShutdownStep};

use crate::clock::Clock;
use crate::config_files::{self, ConfigFiles};
use crate::daemon::{self, Supervisor, os_words};
use crate::host::ServerHost;
use crate::listen::Listeners;
use crate::log_sink::{self, LogSink};
use crate::memory::Allocator;
use crate::pidfile::PidFile;
use crate::poll::Poll;
use crate::process::{self, Title};
use crate::shared::Shared;
use crate::signals::{ShutdownSignal, Signals};
use crate::start_load::StartLoad;
use crate::worker::WorkerLoop;
use crate::{crash, descriptors, files, jobs, memory, reconfigure, temp_files, tls};

/// Runs the server named by `args` (the program's name first). Returns the exit code of one that
/// could not start, or had nothing to serve; one that has started ends the process.
pub fn run(args: &[OsString], allocator: Allocator) -> i32 {
    memory::set_allocator(allocator);
    let bytes: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    let mut command_line = CommandLine::parse(&bytes);
    let stdout = |text: &str| {
        let _ = std::io::stdout().write_all(text.as_bytes());
    };
    let stderr = |text: &[u8]| {
        let _ = std::io::stderr().write_all(text);
    };
    match command_line.action {
        Action::Serve => {}
        Action::Version => {
            stdout(&tandem_engine::config::version_line());
            return 0;
        }
        Action::Help => {
            stderr(tandem_engine::config::usage("tandem server").as_bytes());
            return 1;
        }
        Action::TestMemory => {
            stderr(tandem_engine::config::USAGE_TEST_MEMORY.as_bytes());
            return 1;
        }
        Action::CheckSystem => {
            stderr(tandem_engine::config::NO_SYSTEM_CHECK.as_bytes());
            return 1;
        }
        Action::Sentinel => {
            stderr(tandem_engine::config::NO_SENTINEL.as_bytes());
            return 1;
        }
    }
    let config_file = command_line.file.as_ref().map(|file| config_files::absolute(file));
    // Told in this form when it cannot be read.
    command_line.file.clone_from(&config_file);
    let mut files = ConfigFiles { is_command: &|name| commands::look_up(name).is_some() };
    let config = match Config::load(&command_line, &mut files) {
        Ok(config) => config,
        Err(error) => {
            stderr(&error.report());
            return 1;
        }
    };
    let Err(line) = serve(config, config_file, command_line.is_empty());
    if !line.is_empty() {
        stderr(format!("{line}\n").as_bytes());
    }
    1
}

fn serve(config: Config, config_file: Option<Vec<u8>>, bare: bool) -> Result<Infallible, String> {
    let log = Arc::new(LogSink::new());
    log.set_level(config.loglevel());
    log.set_file(config.logfile());
    if config.syslog_enabled() {
        log.open_syslog(config.syslog_ident(), config.syslog_facility());
    }
    let title = if config.set_proc_title() { Title::prepare() } else { None };
    let supervisor = Supervisor::of(config.supervised(), &log);
    let background = config.daemonize() && supervisor == Supervisor::None;
    let starter = background.then(daemon::daemonize).transpose();
    let starter = starter.map_err(|error| os_words(&error))?;
    if config.disable_thp() {
        process::disable_huge_pages();
    }
    // Threads begin on their maker's CPUs, and with its signals.
    process::run_on(config.server_cpulist());
    process::leave_signals();
    let clock = Clock::start();
    let workers = worker_count(&config);
    let shared = Arc::new(Shared::new(workers, clock).map_err(|error| os_words(&error))?);
    let (garbage, garbage_in) = std::sync::mpsc::channel::<Box<dyn Send>>();
    let bio_cpus = config.bio_cpulist().to_vec();
    // Freeing millions of keys takes seconds; it takes them here.
    std::thread::Builder::new()
        .name("lazyfree".to_owned())
        .spawn(move || {
            process::run_on(&bio_cpus);
            for garbage in garbage_in {
                drop(garbage);
                memory::count_in();
            }
        })
        .map_err(|error| os_words(&error))?;
    let host = Arc::new(ServerHost::new(
        Arc::clone(&log),
        Arc::clone(&shared),
        garbage,
        config_file.clone(),
        title,
        supervisor,
    ));
    let node = make_node(config, config_file, &host, workers)?;
    if let Err(why) = memory::purge_in_background(node.config().jemalloc_bg_thread()) {
        node.log(Level::Warning, &why);
    }
    prepare_for_crashes(&node, &log)?;
    reconfigure::show_title(&host, &node);
    say_hello(&node, workers, bare);
    let (of_node, of_shared) = (Arc::clone(&node), Arc::clone(&shared));
    let signals = Signals::install(move || {
        of_node.log(Level::Warning, "You insist... exiting now.");
        of_shared.temp_files.close();
    });
    let signals = signals.map_err(|error| os_words(&error))?;
    assert!(host.signals.set(signals).is_ok(), "a server starts once");
    descriptors::adjust_at_start(&node, workers)
        .inspect_err(|line| node.log(Level::Warning, line))
        .map_err(|_| String::new())?;
    listen(&node, &shared)
        .inspect_err(|line| node.log(Level::Warning, line))
        .map_err(drop)
        .map_err(|()| String::new())?;
    show_mode(&node, &log);
    *lock(&host.starter) = starter;
    let begun = begin(&node, &host, &shared, background);
    // Of a server that has ended or never began nothing is left that another could take for one.
    let epoll = begun.inspect_err(|_| lock(&shared.listeners).remove_unix_file(&node))?;
    work(&node, &shared, 0, epoll);
    // It could not go on, and the end has been told.
    loop {
        std::thread::park();
    }
}

/// From open sockets to threads that serve them, all but the first worker, whose poll it returns.
/// The file with the process id comes when nothing that the configuration says can fail any more.
fn begin(
    node: &Arc<Node>,
    host: &Arc<ServerHost>,
    shared: &Arc<Shared>,
    background: bool,
) -> Result<OwnedFd, String> {
    // The reason is in the log.
    host.oom.apply(node).map_err(|_| String::new())?;
    node.log(Level::Warning, "Server initialized");
    if let Err(why) = node.load_users_at_start() {
        node.log(Level::Warning, &why);
        return Err(String::new());
    }
    temp_files::remove_orphans(node);
    let dataset = StartLoad::prepare(node, shared, host)
        .inspect_err(|line| node.log(Level::Warning, line))
        .map_err(|_| String::new())?;
    shared
        .metrics
        .start(node, shared)
        .inspect_err(|line| node.log(Level::Warning, line))
        .map_err(|_| String::new())?;
    let workers = shared.loads.len();
    // Clients, who may take the last descriptor, come with the first worker.
    let descriptor = || Poll::descriptor().map_err(|error| os_words(&error));
    let of_first = descriptor()?;
    let of_others = (1..workers).map(|_| descriptor()).collect::<Result<Vec<_>, _>>()?;
    let of_housekeeper = descriptor()?;
    let pidfile = PidFile::create(node.config().pidfile(), background);
    let pidfile = Arc::new(Mutex::new(pidfile));
    start_end(node, host, shared, &pidfile)
        .and_then(|()| start_workers(node, shared, of_others))
        .and_then(|()| dataset.run().map_err(|error| os_words(&error)))
        .and_then(|()| start_housekeeper(node, host, shared, of_housekeeper, workers))
        .map(|()| of_first)
        .inspect_err(|_| {
            if let Some(pidfile) = lock(&pidfile).take() {
                pidfile.remove();
            }
        })
}

fn make_node(
    config: Config,
    config_file: Option<Vec<u8>>,
    host: &Arc<ServerHost>,
    workers: usize,
) -> Result<Arc<Node>, String> {
    let mut run_id = [0; 20];
    getrandom::fill(&mut run_id).map_err(|error| error.to_string())?;
    let identity = Identity {
        pid: std::process::id(),
        run_id: ReplId::from_random(run_id),
        executable: std::env::current_exe().unwrap_or_default().display().to_string(),
        config_file: String::from_utf8_lossy(&config_file.unwrap_or_default()).into_owned(),
        supervised: host.supervisor.is_there(),
    };
    let now = host.shared.clock.now();
    // The workers' slots, and the housekeeper's.
    let options = NodeOptions { gate_slots: workers + 1, workers, config, now, identity };
    let node = Arc::new(Node::new(options, Arc::clone(host) as Arc<dyn Host>));
    host.spool.set_target(files::snapshot_path(&node));
    host.spool.set_cpus(node.config().bio_cpulist());
    Ok(node)
}

/// Reports of crashes, from now on.
fn prepare_for_crashes(node: &Arc<Node>, log: &Arc<LogSink>) -> Result<(), String> {
    crash::set_log_file(node.config().logfile());
    crash::start_helper(node, log).map_err(|error| os_words(&error))?;
    crash::handle_panics(Arc::clone(log));
    // Not even Rust's own handler is left where there shall be none: it returns the first time.
    crash::handle_signals(node.config().crash_log_enabled());
    Ok(())
}

/// TLS and the listening sockets. The error is the line to log.
fn listen(node: &Node, shared: &Shared) -> Result<(), String> {
    if tls::is_wanted(&node.config()) {
        shared.tls.apply(&node.config(), Some(node)).map_err(|why| {
            node.log(Level::Warning, &why);
            "Failed to configure TLS. Check logs for more info.".to_owned()
        })?;
    }
    *lock(&shared.listeners) = Listeners::bind(node)?;
    Ok(())
}

fn start_workers(
    node: &Arc<Node>,
    shared: &Arc<Shared>,
    epolls: Vec<OwnedFd>,
) -> Result<(), String> {
    for (index, epoll) in (1..).zip(epolls) {
        let (node, shared) = (Arc::clone(node), Arc::clone(shared));
        let name = format!("worker-{index}");
        std::thread::Builder::new()
            .name(name)
            .spawn(move || work(&node, &shared, index, epoll))
            .map_err(|error| os_words(&error))?;
    }
    Ok(())
}

/// Worker `index`, on the calling thread. A worker without its poll can serve nobody: when this
/// returns, the end has been told.
fn work(node: &Arc<Node>, shared: &Arc<Shared>, index: usize, epoll: OwnedFd) {
    let worker = WorkerLoop::new(Arc::clone(node), Arc::clone(shared), index, Poll::on(epoll));
    let Err(error) = worker.and_then(WorkerLoop::run);
    node.log(Level::Warning, &format!("Worker {index} cannot go on: {}", os_words(&error)));
    node.host.exit(1);
}

/// The thread that waits for the end, tidies up and ends the process. Signals come to it.
fn start_end(
    node: &Arc<Node>,
    host: &Arc<ServerHost>,
    shared: &Arc<Shared>,
    pidfile: &Arc<Mutex<Option<PidFile>>>,
) -> Result<(), String> {
    let (node, host, shared) = (Arc::clone(node), Arc::clone(host), Arc::clone(shared));
    let pidfile = Arc::clone(pidfile);
    let end = move || {
        process::take_signals();
        let code = host.wait_for_end();
        shared.temp_files.close();
        if let Some(pidfile) = lock(&pidfile).take() {
            node.log(Level::Notice, "Removing the pid file.");
            pidfile.remove();
        }
        lock(&shared.listeners).remove_unix_file(&node);
        if code == 0 {
            node.log(Level::Warning, "Redis is now ready to exit, bye bye...");
        }
        // The operating system takes memory back faster than we could free it.
        std::process::exit(code);
    };
    let spawned = std::thread::Builder::new().name("end".to_owned()).spawn(end);
    spawned.map(drop).map_err(|error| os_words(&error))
}

fn worker_count(config: &Config) -> usize {
    match usize::try_from(config.worker_threads()).unwrap_or(0) {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count,
    }
}

/// The first lines of the log; `bare`: nothing was configured.
fn say_hello(node: &Node, workers: usize, bare: bool) {
    let pid = node.identity.pid;
    node.log(Level::Warning, "oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo");
    node.log(
        Level::Warning,
        &format!(
            "Redis version={REDIS_VERSION}, bits=64, commit=00000000, modified=0, pid={pid}, just started"
        ),
    );
    node.log(Level::Notice, &format!("Tandem version={TANDEM_VERSION}, workers={workers}"));
    if bare {
        node.log(Level::Warning, "Warning: no config file specified, using the default config. In order to specify a config file use tandem server /path/to/redis.conf");
    } else {
        node.log(Level::Warning, "Configuration loaded");
    }
    node.log_directives_without_effect();
}

/// Who sees these lines may connect.
fn show_mode(node: &Node, log: &LogSink) {
    let port = shown_port(&node.config());
    if node.config().always_show_logo() {
        log.raw(LogLevel::Notice, &log_sink::logo("standalone", port));
    } else {
        node.log(Level::Notice, &format!("Running mode=standalone, port={port}."));
    }
}

/// The port to show: `port`, or `tls-port` where there is no other.
fn shown_port(config: &Config) -> u16 {
    if config.port() != 0 { config.port() } else { config.tls_port() }
}

fn start_housekeeper(
    node: &Arc<Node>,
    host: &Arc<ServerHost>,
    shared: &Arc<Shared>,
    epoll: OwnedFd,
    slot: usize,
) -> Result<(), String> {
    let (node, host, shared) = (Arc::clone(node), Arc::clone(host), Arc::clone(shared));
    let keep = move || keep_house(&node, &host, &shared, Poll::on(epoll), slot);
    let spawned = std::thread::Builder::new().name("housekeeper".to_owned()).spawn(keep);
    spawned.map(drop).map_err(|error| os_words(&error))
}

/// The housekeeper: signals, cron, snapshots; until the end.
fn keep_house(
    node: &Arc<Node>,
    host: &ServerHost,
    shared: &Arc<Shared>,
    mut poll: Poll,
    slot: usize,
) {
    let signals = host.signals.get().expect("they are handled before this thread begins");
    let mut worker = EngineWorker::new(slot, u64::from(node.identity.pid));
    let mut cron = Cron::default();
    poll.add(shared.housekeeper(), 0).expect("the waker can be watched");
    poll.add(signals.bell(), 1).expect("the signals' bell can be watched");
    let mut ready = Vec::new();
    loop {
        ready.clear();
        let wait_ms = if node.is_evicting() {
            0
        } else if shared.doze.begin() {
            node.cron_rest_ms(worker.now, &cron)
        } else {
            CRON_MS
        };
        let _ = poll.wait(Some(wait_ms), &mut ready);
        shared.doze.end();
        shared.housekeeper().drain();
        worker.now = shared.clock.now();
        for order in std::mem::take(&mut *lock(&host.orders)) {
            jobs::start(Arc::clone(node), Arc::clone(shared), order);
        }
        if let Some(signal) = signals.take() {
            let loading = node.refusals().contains(Refusals::LOADING);
            node.log(Level::Warning, signal.log_line(loading));
            node.log(Level::Warning, "User requested shutdown...");
            let alone = node.gate.alone();
            if node.request_shutdown(options_of(signal, node), worker.now) == ShutdownStep::Failed {
                signals.forget();
            }
            drop(alone);
        }
        if node.gate.is_shut() {
            return;
        }
        node.cron(&mut worker, &mut cron);
        memory::count_in();
    }
}

/// What `shutdown-on-sigint` or `shutdown-on-sigterm` says.
fn options_of(signal: ShutdownSignal, node: &Node) -> ShutdownOptions {
    use tandem_engine::config::ShutdownOptions as Words;
    let words = match signal {
        ShutdownSignal::Interrupt => node.config().shutdown_on_sigint(),
        ShutdownSignal::Terminate => node.config().shutdown_on_sigterm(),
    };
    let save =
        if words.has(Words::SAVE) { Some(true) } else { words.has(Words::NOSAVE).then_some(false) };
    ShutdownOptions { save, now: words.has(Words::NOW), force: words.has(Words::FORCE) }
}

/// CONFIG REWRITE: the file is written under another name and renamed. One at a time: who reads
/// the file must find what the one before has made of it.
///
/// # Errors
/// The system's words.
pub(crate) fn rewrite_config_file(
    node: &Node,
    path: Option<&[u8]>,
    force_all: bool,
) -> Result<(), String> {
    let path = path.ok_or("The server is running without a config file")?;
    let old = match std::fs::read(OsStr::from_bytes(path)) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(os_words(&error)),
    };
    let users = node.acl.config_lines();
    let users = Rewrite { force_all, users: Some(&users) };
    let new = node.config().rewrite(&old, users);
    config_files::replace_file(path, &new).map_err(|error| os_words(&error))
}
