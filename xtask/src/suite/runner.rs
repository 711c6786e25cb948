//! One file of the suite at a time, in a tree of its own: the suite's scripts copied, and a
//! folder `src` that holds our binary under Redis's names. Tools that we do not have come from
//! the installed Redis.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::list::Exception;
use crate::run::{command, has, output, target};

/// What our binary is when it is started under the name.
const OURS: &[&str] = &["redis-server", "redis-cli", "redis-benchmark", "redis-check-rdb"];
const TOOLS: &[&str] = &[
    "redis-server",
    "redis-cli",
    "redis-benchmark",
    "redis-sentinel",
    "redis-check-rdb",
    "redis-check-aof",
];
/// The file whose cases run only with `--tls`, which needs Tcl's TLS package.
const TLS_FILE: &str = "unit/tls";
/// Cases of this file write on one connection and at once look at it from another, and want the
/// first to be read first. The kernel does not promise that, whichever server is asked: it may move
/// to another CPU in between, and a connection that the server was told of last stands ahead of all
/// others unless the server has waited again since (`epoll`, level-triggered). So it runs on one
/// CPU, and as a batch, in which nobody is interrupted by whom he wakes: a server that has
/// answered comes to wait before its client goes on. Beside a busy loop two connections were
/// served out of order 4 times in 10 without that, by stock Redis as often as by ours, and
/// twice in 1000 with it.
const ONE_CPU_FILE: &str = "unit/client-eviction";
/// The runner's own limit for a case that makes no progress, and ours for a file, in seconds: they
/// end what hangs, and not what a busy machine takes long for.
const NO_PROGRESS_S: &str = "1200";
const FILE_LIMIT_S: &str = "5400";

/// How the suite says that a server did not start; its configuration follows.
const NO_SERVER: &str = "Can't start the Redis server";

pub(super) struct Runner {
    tree: PathBuf,
}

/// What a file came to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Verdict {
    pub(super) passed: u64,
    pub(super) failures: Vec<String>,
    pub(super) skipped: Vec<String>,
    pub(super) seconds: f64,
    pub(super) output: String,
}

impl Verdict {
    /// A server that cannot start takes its cases with it unsaid, so it may be left out by the
    /// name that [`parse`] gives it. When it starts one day, that exception has nothing to name,
    /// which the caller reports.
    fn leave_out_servers(&mut self, left_out: &[&str]) {
        let Verdict { failures, skipped, .. } = self;
        failures.retain(|failure| {
            let server = failure.strip_prefix("[err]: ").filter(|f| f.starts_with(NO_SERVER));
            let excepted = server.filter(|server| left_out.contains(server));
            skipped.extend(excepted.map(str::to_owned));
            excepted.is_none()
        });
    }
}

impl Runner {
    /// Lays out the tree. Without a `binary` everything is stock Redis; ours has as many `workers`.
    pub(super) fn new(
        source: &Path,
        binary: Option<&Path>,
        workers: u32,
    ) -> Result<Runner, String> {
        for program in ["tclsh", "redis-server", "redis-benchmark"] {
            // tclsh knows no --version, but it starts.
            if !has(program) {
                return Err(format!("{program} is needed by the suite and was not found"));
            }
        }
        let tree = target().join("suite").join("tree");
        let _ = fs::remove_dir_all(&tree);
        let src = tree.join("src");
        fs::create_dir_all(&src).map_err(|e| format!("{}: {e}", src.display()))?;
        for name in ["tests", "utils", "redis.conf", "sentinel.conf"] {
            let mut copy = command("cp");
            output(copy.arg("-R").arg(source.join(name)).arg(&tree))?;
        }
        for tool in TOOLS {
            let from = match binary {
                Some(binary) if OURS.contains(tool) => binary.to_path_buf(),
                _ => match on_path(tool) {
                    Some(path) => path,
                    None => continue,
                },
            };
            symlink(&from, src.join(tool)).map_err(|e| format!("{tool}: {e}"))?;
        }
        if binary.is_some() {
            // Many cases write on one connection and look on another before they have an answer:
            // what comes first is given only with one worker, as in the server they were made for.
            let path = tree.join("tests/assets/default.conf");
            let config = fs::read_to_string(&path).map_err(|e| format!("default.conf: {e}"))?;
            let config = format!("{config}\nworker-threads {workers}\n");
            fs::write(&path, config).map_err(|e| e.to_string())?;
        }
        Ok(Runner { tree })
    }

    /// The certificates of the TLS cases. The suite's script would search for a safe prime, which
    /// may take minutes, for a key exchange that nobody here uses: it finds other numbers there.
    fn make_certificates(&self) -> Result<(), String> {
        fs::create_dir_all(self.tree.join("tests/tls")).map_err(|e| e.to_string())?;
        let numbers = ["dhparam", "-dsaparam", "-out", "tests/tls/redis.dh", "2048"];
        output(command("openssl").args(numbers).current_dir(&self.tree))?;
        output(command("sh").arg("utils/gen-test-certs.sh").current_dir(&self.tree))?;
        Ok(())
    }

    /// Runs `file` without the cases in `left_out`.
    pub(super) fn run(&self, file: &str, left_out: &[&Exception]) -> Result<Verdict, String> {
        let temporary = self.tree.join("tests").join("tmp");
        let _ = fs::remove_dir_all(&temporary);
        fs::create_dir_all(&temporary).map_err(|e| e.to_string())?;
        let skipped = self.tree.join("skipped.txt");
        let names: Vec<&str> = left_out.iter().map(|e| e.case.as_str()).collect();
        fs::write(&skipped, names.join("\n")).map_err(|e| e.to_string())?;
        let tls = file == TLS_FILE;
        if tls && !self.tree.join("tests").join("tls").exists() {
            self.make_certificates()?;
        }
        let start = Instant::now();
        let mut run = if file == ONE_CPU_FILE {
            let mut pinned = command("taskset");
            pinned.args(["-c", &first_cpu()]);
            // Not every place allows it; without it the order is right nearly always.
            if command("chrt")
                .args(["--batch", "0", "true"])
                .output()
                .is_ok_and(|o| o.status.success())
            {
                pinned.args(["chrt", "--batch", "0"]);
            }
            pinned.arg("timeout");
            pinned
        } else {
            command("timeout")
        };
        run.args(["-k", "20", FILE_LIMIT_S, "tclsh", "tests/test_helper.tcl", "--single", file]);
        run.args(["--clients", "1", "--timeout", NO_PROGRESS_S, "--durable"]);
        run.args(["--baseport", "21111", "--portcount", "900", "--skipfile"]).arg(&skipped);
        if tls {
            run.arg("--tls");
        }
        run.current_dir(&self.tree).env("LC_ALL", "C").env("TERM", "dumb");
        let done = run.output().map_err(|e| format!("timeout: {e}"))?;
        self.end_strays();
        let text = String::from_utf8_lossy(&done.stdout).into_owned()
            + &String::from_utf8_lossy(&done.stderr);
        let mut verdict = parse(&text);
        if !done.status.success() && verdict.failures.is_empty() {
            let tail: Vec<&str> = text.lines().rev().take(8).collect();
            let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n      ");
            verdict.failures.push(format!("the run ended with {}\n      {tail}", done.status));
        }
        verdict.leave_out_servers(&names);
        verdict.seconds = start.elapsed().as_secs_f64();
        verdict.output = text;
        Ok(verdict)
    }

    /// Ends what a broken-off run left: only processes that stand in our tree.
    fn end_strays(&self) {
        let Ok(entries) = fs::read_dir("/proc") else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let stands_here = fs::read_link(entry.path().join("cwd"))
                .is_ok_and(|folder| folder.starts_with(&self.tree));
            if stands_here && name.bytes().all(|b| b.is_ascii_digit()) {
                let _ = command("kill").args(["-KILL", &name]).output();
            }
        }
    }
}

/// The first CPU that this process may run on.
fn first_cpu() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let first = list.and_then(|list| list.trim().split([',', '-']).next());
    first.unwrap_or("0").to_owned()
}

/// The first `program` on the path.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|p| p.is_file())
}

/// Reads the runner's lines: `[ok]: case (5 ms)`, `[err]: …`, `[skip]: case`, and others. The line
/// behind a failure says what did not hold. A server that did not start is told from others by the
/// `dbfilename` it was to load.
fn parse(text: &str) -> Verdict {
    let mut verdict = Verdict::default();
    let (mut unstarted, mut has_failed) = (false, false);
    for line in text.lines() {
        // Failures are told once more after this line.
        if line.trim() == "The End" {
            break;
        }
        if unstarted && let Some(file) = line.strip_prefix("dbfilename ") {
            let failure = verdict.failures.last_mut().expect("it is what did not start");
            failure.push_str(&format!(" with {file}"));
        }
        if std::mem::take(&mut has_failed) && !unstarted && !line.starts_with('[') {
            let failure = verdict.failures.last_mut().expect("it has failed");
            failure.push_str(&format!("\n      {line}"));
        }
        unstarted &= !line.starts_with("ERROR:") && !line.starts_with("dbfilename ");
        if line.starts_with("[ok]: ") {
            verdict.passed += 1;
        } else if let Some(case) = line.strip_prefix("[skip]: ") {
            verdict.skipped.push(case.trim().to_string());
        } else if line.starts_with("[err]: ")
            || line.starts_with("[exception]: ")
            || line.starts_with("[TIMEOUT]")
        {
            unstarted = line.ends_with(NO_SERVER);
            has_failed = line.starts_with("[err]: ");
            verdict.failures.push(line.to_string());
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_runners_lines_are_counted_once() {
        let text = "Testing unit/x\n[ok]: a (1 ms)\n[err]: b in tests/unit/x.tcl\nwhy\n[skip]: c\n\
                    [ignore]: d\n[exception]: Executing test client: e\n\n   The End\n\n[err]: b in x\n";
        let verdict = parse(text);
        assert_eq!(verdict.passed, 1);
        let failures =
            ["[err]: b in tests/unit/x.tcl\n      why", "[exception]: Executing test client: e"];
        assert_eq!(verdict.failures, failures);
        assert_eq!(verdict.skipped, ["c"]);
    }

    #[test]
    fn a_server_that_cannot_start_is_left_out_by_the_file_it_loads() {
        let one = "[err]: Can't start the Redis server\nCONFIGURATION:port 1\ndbfilename a.rdb\nx y\n\
                   ERROR:dbfilename no.rdb\n";
        let text = format!("{one}[ok]: case (1 ms)\n{}", one.replace("a.rdb", "b.rdb"));
        let mut verdict = parse(&text);
        let named = |file| format!("Can't start the Redis server with {file}");
        assert_eq!(verdict.failures.len(), 2);
        verdict.leave_out_servers(&["case", &named("a.rdb"), &named("c.rdb")]);
        assert_eq!(verdict.failures, [format!("[err]: {}", named("b.rdb"))]);
        assert_eq!(verdict.skipped, [named("a.rdb")]);
        assert_eq!(verdict.passed, 1);
    }
}
