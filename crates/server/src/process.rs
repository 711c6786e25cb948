//! What the process asks of the kernel for itself: its title, its CPUs, its place in the order
//! in which the kernel kills when memory runs out.
#![allow(unsafe_code)]

use std::ffi::OsString;
use std::sync::Mutex;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use tandem_engine::config::{Config, OomScoreAdj};
use tandem_engine::node::{Level, Node, lock};

/// Where the title is written: the memory of the arguments and the environment.
#[derive(Debug)]
pub(crate) struct Title {
    start: usize,
    length: usize,
    /// The name under which the program was started.
    program: String,
}

impl Title {
    /// Makes room for a title: the environment moves away from where it lies behind the
    /// arguments. `None` where the kernel does not say where that is, and where another thread
    /// could be reading the environment.
    pub(crate) fn prepare() -> Option<Title> {
        let threads = std::fs::read_dir("/proc/self/task").ok()?.count();
        if threads != 1 {
            return None;
        }
        let (start, end) = argument_area(&std::fs::read_to_string("/proc/self/stat").ok()?)?;
        let program = std::env::args_os().next().unwrap_or_default();
        // Setting a variable to what it is allocates it anew.
        for (name, value) in std::env::vars_os().collect::<Vec<(OsString, OsString)>>() {
            // SAFETY: this is the only thread.
            unsafe { std::env::set_var(name, value) };
        }
        Some(Title {
            start,
            length: end.checked_sub(start).filter(|length| *length > 1)?,
            program: program.to_string_lossy().into_owned(),
        })
    }

    /// Shows `template`, filled in, from now on.
    pub(crate) fn set(&self, config: &Config, config_file: &str) {
        let title = expand(&self.program, config, config_file);
        let mut bytes = vec![0; self.length];
        let count = title.len().min(self.length - 1);
        bytes[..count].copy_from_slice(&title.as_bytes()[..count]);
        // SAFETY: the kernel laid these bytes out for the arguments and the environment and maps
        // them for the life of the process. `prepare` moved the environment; the arguments were
        // copied when the program read them, and nothing reads them from there again.
        unsafe {
            let area = std::ptr::with_exposed_provenance_mut::<u8>(self.start);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), area, bytes.len());
        }
    }
}

/// Start of the arguments and end of the environment, out of `/proc/self/stat`.
fn argument_area(stat: &str) -> Option<(usize, usize)> {
    // The second field is a name in parentheses, which may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<usize>().ok();
    let (arg_start, arg_end, env_start, env_end) =
        (number(48)?, number(49)?, number(50)?, number(51)?);
    if arg_start == 0 || arg_end <= arg_start {
        return None;
    }
    Some((arg_start, if env_start == arg_end { env_end } else { arg_end }))
}

/// The title that `proc-title-template` makes.
fn expand(program: &str, config: &Config, config_file: &str) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let port = if config.port() != 0 { config.port() } else { config.tls_port() };
    let bind = config.bind().first().map_or_else(|| "*".to_owned(), |bind| text(bind));
    let listen = if port != 0 { format!("{bind}:{port}") } else { text(config.unixsocket()) };
    let pairs = [
        ("{title}", program.to_owned()),
        ("{listen-addr}", listen),
        ("{server-mode}", String::new()),
        ("{port}", config.port().to_string()),
        ("{tls-port}", config.tls_port().to_string()),
        ("{unixsocket}", text(config.unixsocket())),
        ("{config-file}", config_file.to_owned()),
    ];
    let template = text(config.proc_title_template());
    let mut title = String::new();
    let mut rest = template.as_str();
    while let Some(at) = rest.find('{') {
        title.push_str(&rest[..at]);
        rest = &rest[at..];
        match pairs.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                title.push_str(value);
                rest = &rest[name.len()..];
            }
            None => {
                title.push('{');
                rest = &rest[1..];
            }
        }
    }
    title.push_str(rest);
    title.trim().to_owned()
}

/// Our place in the order of killing: `oom-score-adj`.
#[derive(Debug, Default)]
pub(crate) struct OomScore {
    state: Mutex<Oom>,
}

#[derive(Debug, Default)]
struct Oom {
    /// What it was before we changed it, while ours is in force.
    before: Option<i32>,
    relative: bool,
    /// For a master and for a replica.
    values: [i32; 2],
    replica: bool,
}

const OOM_FILE: &str = "/proc/self/oom_score_adj";

impl OomScore {
    /// Does what the directives say.
    ///
    /// # Errors
    /// Redis's words; the reason is in the log.
    pub(crate) fn apply(&self, node: &Node) -> Result<(), String> {
        let config = node.config();
        let (mode, [master, replica, _]) = (config.oom_score_adj(), config.oom_score_adj_values());
        drop(config);
        let mut oom = lock(&self.state);
        let written = match (mode, oom.before) {
            (OomScoreAdj::No, None) => Ok(()),
            (OomScoreAdj::No, Some(was)) => write_score(was).inspect(|()| oom.before = None),
            (mode, was) => {
                let read = || std::fs::read_to_string(OOM_FILE).ok()?.trim().parse().ok();
                oom.before = was.or_else(read).or(Some(0));
                oom.relative = mode == OomScoreAdj::Relative;
                oom.values = [master, replica];
                oom.write()
            }
        };
        written.map_err(|error| {
            let why = crate::daemon::os_words(&error);
            node.log(Level::Warning, &format!("Unable to write oom_score_adj: {why}"));
            "Failed to set current oom_score_adj. Check server logs.".to_owned()
        })
    }

    /// We are a master, or a replica, from now on.
    pub(crate) fn set_role(&self, replica: bool) {
        let mut oom = lock(&self.state);
        oom.replica = replica;
        if oom.before.is_some() {
            // As in Redis: a score that the kernel refuses now does not stop the change of role.
            let _ = oom.write();
        }
    }
}

impl Oom {
    fn write(&self) -> std::io::Result<()> {
        let base = if self.relative { self.before.unwrap_or(0) } else { 0 };
        write_score((base + self.values[usize::from(self.replica)]).clamp(-1000, 1000))
    }
}

fn write_score(score: i32) -> std::io::Result<()> {
    std::fs::write(OOM_FILE, score.to_string())
}

/// Turns transparent huge pages off: with them a small change costs megabytes.
pub(crate) fn disable_huge_pages() {
    // SAFETY: this option of prctl takes plain numbers. An old kernel says no; nothing is lost
    // but the gain.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// Keeps the calling thread on the CPUs of `list`; an empty list changes nothing.
pub(crate) fn run_on(list: &[u8]) {
    let Some(cpus) = parse_cpus(&String::from_utf8_lossy(list)) else { return };
    let mut set = CpuSet::new();
    for cpu in cpus.into_iter().filter(|cpu| *cpu < CpuSet::MAX_CPU) {
        set.set(cpu);
    }
    // Redis says nothing about CPUs that are not there either.
    let _ = sched_setaffinity(None::<Pid>, &set);
}

/// `0,2-5,8-14:2`: numbers, ranges, ranges with a step. `None` for an empty or wrong list.
fn parse_cpus(list: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for item in list.split([',', ' ']).filter(|item| !item.is_empty()) {
        let (range, step) = match item.split_once(':') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0)?),
            None => (item, 1),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
            None => {
                let cpu: usize = range.parse().ok()?;
                (cpu, cpu)
            }
        };
        // Two numbers from anywhere: no more than there can be CPUs.
        cpus.extend((first..=last.min(CpuSet::MAX_CPU)).step_by(step));
    }
    (!cpus.is_empty()).then_some(cpus)
}

/// The signals that a process is sent as a whole and that we handle.
const TO_THE_PROCESS: [libc::c_int; 3] = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM];

/// Leaves the signals of a shutdown to threads that say [`take_signals`]: the caller and the
/// threads that it makes from now on are not interrupted by them.
pub(crate) fn leave_signals() {
    mask(libc::SIG_BLOCK);
}

/// The calling thread takes the signals of a shutdown. One that is to be heard at once does
/// nothing that the kernel does not interrupt.
pub(crate) fn take_signals() {
    mask(libc::SIG_UNBLOCK);
}

fn mask(how: libc::c_int) {
    // SAFETY: all zeros is a set of signals, which is made empty, then given numbers that exist;
    // the old one is not asked for.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in TO_THE_PROCESS {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_are_read() {
        assert_eq!(parse_cpus("0,2-4"), Some(vec![0, 2, 3, 4]));
        assert_eq!(parse_cpus("8-14:3 1"), Some(vec![8, 11, 14, 1]));
        for wrong in ["", "x", "1-", "1-4:0"] {
            assert_eq!(parse_cpus(wrong), None, "{wrong}");
        }
        assert!(parse_cpus("0-18446744073709551615").expect("a range").len() <= 1 << 16);
    }

    #[test]
    fn the_place_of_the_arguments_is_found() {
        let fields: Vec<String> = (3..=52).map(|n: usize| n.to_string()).collect();
        let stat = format!("1 (a) b (c)) {}", fields.join(" "));
        assert_eq!(argument_area(&stat), Some((48, 49)));
        let own = std::fs::read_to_string("/proc/self/stat").expect("a process of ours");
        let (start, end) = argument_area(&own).expect("the kernel says");
        assert!(start < end);
        assert_eq!(argument_area("nothing"), None);
    }

    #[test]
    fn titles_are_filled_in() {
        let mut config = Config::default();
        let asker = tandem_engine::config::Asker { loading: false, local: true };
        assert_eq!(expand("redis-server", &config, ""), "redis-server *:6379");
        let set = config.set(&[b"proc-title-template", b"{port}/{tls-port} {config-file}"], asker);
        assert!(set.is_ok());
        assert_eq!(expand("x", &config, "/etc/r.conf"), "6379/0 /etc/r.conf");
    }
}
