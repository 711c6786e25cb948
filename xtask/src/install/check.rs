//! An installation into a temporary folder, tried: the names answer, the completions complete,
//! the init script starts, shows and stops the service of a port, systemd's line starts it after
//! that and before it, both as the service's user, the container's entry point chooses what to run.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{NAMES, Options, install, owner};
use tandem_harness::free_port;

use crate::run::{build_tandem, output, root, target};
use crate::test::Counts;

/// One thing that must hold of an installation with the service of a port.
type Check = fn(&Options, u16) -> Result<(), String>;

/// Installs the quick build and tries it.
pub(crate) fn ci() -> Result<Counts, String> {
    let base = target().join("install-check");
    let _ = fs::remove_dir_all(&base);
    let port = free_port();
    let options = Options {
        prefix: base.join("usr"),
        root: base.join("root"),
        service: Some(port),
        redis_names: true,
        profile: "quick".to_string(),
    };
    let binary = build_tandem(&options.profile)?;
    install(&options, &binary)?;
    // A second time over the first: an update.
    install(&options, &binary)?;
    let mut counts = Counts::default();
    let checks: &[(&str, Check)] = &[
        ("names", names),
        ("completions", completions),
        ("manual", manual),
        // Either takes over what the other has left: log, data, rewritten configuration.
        ("init script", init_script),
        ("systemd unit", unit),
        ("init script after the unit", init_script),
        ("links", links),
        ("entry point", entry_point),
    ];
    for (name, work) in checks {
        match work(&options, port) {
            Ok(()) => counts.passed += 1,
            Err(why) => {
                eprintln!("install, {name}: {why}");
                counts.failed += 1;
            }
        }
    }
    println!("install: {} of {} checks passed", counts.passed, checks.len());
    Ok(counts)
}

fn ask(program: &Path, args: &[&str]) -> Result<String, String> {
    output(Command::new(program).args(args))
}

fn expect(text: &str, part: &str) -> Result<(), String> {
    if text.contains(part) { Ok(()) } else { Err(format!("{part:?} is missing in {text:?}")) }
}

fn names(options: &Options, _: u16) -> Result<(), String> {
    let bin = options.prefix.join("bin");
    expect(&ask(&bin.join("tandem"), &["--version"])?, "tandem ")?;
    for family in ["tandem", "redis"] {
        for (name, _) in NAMES.iter().filter(|(name, _)| *name != "check-rdb") {
            let version = ask(&bin.join(format!("{family}-{name}")), &["--version"])?;
            expect(&version, "7.0.15")?;
        }
    }
    Ok(())
}

fn completions(options: &Options, _: u16) -> Result<(), String> {
    let file = options.prefix.join("share/bash-completion/completions/redis-server");
    let script = format!(
        "source {}; COMP_WORDS=(redis-server --repl-back); COMP_CWORD=1; _redis_server; \
         echo \"${{COMPREPLY[@]}}\"",
        file.display()
    );
    expect(&output(Command::new("bash").args(["-c", &script]))?, "--repl-backlog-size")
}

fn manual(options: &Options, _: u16) -> Result<(), String> {
    let man = options.prefix.join("share/man");
    for page in ["man1/tandem.1", "man1/tandem-server.1", "man1/tandem-cli.1", "man5/tandem.conf.5"]
    {
        let text = fs::read_to_string(man.join(page)).map_err(|e| format!("{page}: {e}"))?;
        expect(&text, ".TH TANDEM")?;
        expect(&text, "\n.SH NAME\n")?;
    }
    Ok(())
}

fn init_script(options: &Options, port: u16) -> Result<(), String> {
    let script = options.root.join(format!("etc/init.d/redis_{port}"));
    let user = user_that_reaches(&options.prefix.join("bin/tandem-server"));
    if user.is_none() {
        let text = fs::read_to_string(&script).map_err(|e| e.to_string())?;
        super::write(&script, &text.replace("\nRUNAS=redis\n", "\nRUNAS=\n"))?;
    }
    let status = |wanted: bool| {
        let got = Command::new(&script).arg("status").output().map_err(|e| e.to_string())?;
        let code = got.status.code();
        let text = String::from_utf8_lossy(&got.stdout).into_owned();
        if code == Some(if wanted { 0 } else { 3 }) {
            Ok(text)
        } else {
            Err(format!("{text} {code:?}"))
        }
    };
    status(false)?;
    ask(&script, &["start"])?;
    let outcome = (|| {
        expect(&status(true)?, "runs (process ")?;
        let cli = options.prefix.join("bin/redis-cli");
        let port = port.to_string();
        let wait = format!(
            "until {} -p {port} ping 2>/dev/null | grep -q PONG; do sleep 0.1; done",
            cli.display()
        );
        output(Command::new("timeout").args(["30", "sh", "-c", &wait]))?;
        expect(&ask(&cli, &["-p", &port, "set", "name", "jake"])?, "OK")?;
        expect(&ask(&cli, &["-p", &port, "config", "rewrite"])?, "OK")?;
        let info = ask(&cli, &["-p", &port, "info", "server"])?;
        let pid = info.lines().find_map(|line| line.strip_prefix("process_id:"));
        let process = format!("/proc/{}", pid.ok_or("no process_id")?.trim());
        let runs_as = fs::metadata(&process).map_err(|e| e.to_string())?.uid();
        if user.is_some_and(|(user, _)| user != runs_as) {
            return Err(format!("the server runs as {runs_as}"));
        }
        expect(&ask(&script, &["start"])?, "runs already")?;
        ask(&script, &["restart"])?;
        output(Command::new("timeout").args(["30", "sh", "-c", &wait]))?;
        // What was written has been saved by the stop.
        expect(&ask(&cli, &["-p", &port, "get", "name"])?, "jake")
    })();
    ask(&script, &["stop"])?;
    status(false)?;
    outcome
}

/// The unit's ExecStart, as its user where there is one: the server says that it is ready, can
/// rewrite its configuration, save, and log.
fn unit(options: &Options, port: u16) -> Result<(), String> {
    let unit = options.root.join("etc/systemd/system/tandem@.service");
    let text = fs::read_to_string(&unit).map_err(|e| e.to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix("ExecStart="));
    let line = line.ok_or("no ExecStart")?.replace("%i", &port.to_string());
    let socket = options.root.join("notify");
    let ready = UnixDatagram::bind(&socket).map_err(|e| e.to_string())?;
    ready.set_read_timeout(Some(Duration::from_secs(30))).map_err(|e| e.to_string())?;
    let anybody = fs::Permissions::from_mode(0o777);
    fs::set_permissions(&socket, anybody).map_err(|e| e.to_string())?;
    let mut server = as_user(&options.prefix.join("bin/tandem-server"));
    // The shell takes the quotes away as systemd does.
    server.args(["sh", "-c", &format!("exec {line}")]).env("NOTIFY_SOCKET", &socket);
    let mut server = server.current_dir("/").spawn().map_err(|e| e.to_string())?;
    let outcome = (|| {
        let mut buf = [0; 1000];
        loop {
            let count = ready.recv(&mut buf).map_err(|e| format!("it does not say READY: {e}"))?;
            if String::from_utf8_lossy(&buf[..count]).contains("READY=1") {
                break;
            }
        }
        let cli = options.prefix.join("bin/redis-cli");
        let port = port.to_string();
        let ask = |words: &[&str]| ask(&cli, &[&["-p", &port], words].concat());
        expect(&ask(&["config", "set", "maxmemory", "1gb"])?, "OK")?;
        expect(&ask(&["config", "rewrite"])?, "OK")?;
        expect(&ask(&["set", "name", "jake"])?, "OK")?;
        expect(&ask(&["save"])?, "OK")?;
        expect(&ask(&["config", "get", "pidfile"])?, "pidfile\n\n")
    })();
    let _ = Command::new("kill").arg(server.id().to_string()).status();
    let status = server.wait().map_err(|e| e.to_string())?;
    outcome?;
    if !status.success() {
        return Err(format!("it ended with {status}"));
    }
    let log = options.root.join(format!("var/log/redis/redis_{port}.log"));
    let log = fs::read_to_string(&log).map_err(|e| format!("{}: {e}", log.display()))?;
    expect(&log, "Ready to accept connections")?;
    let saved = options.root.join(format!("var/redis/{port}/dump.rdb"));
    // The init script's service begins anew.
    fs::remove_file(&saved).map_err(|e| format!("{}: {e}", saved.display()))
}

/// The service's user and its group, if we can be that user and it gets as far as `program`.
fn user_that_reaches(program: &Path) -> Option<(u32, u32)> {
    let found = owner::find().filter(|_| owner::is_root())?;
    let reached = output(become_user().args(["test", "-x", &program.display().to_string()]));
    reached.is_ok().then_some(found)
}

/// The command that runs what follows as the service's user.
fn become_user() -> Command {
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={}", owner::USER), &format!("--regid={}", owner::USER)]);
    command.arg("--init-groups");
    command
}

/// A command to be run as the service's user; as ourselves where that cannot be: we are not root,
/// there is no such user, or it does not get as far as `program`.
fn as_user(program: &Path) -> Command {
    if user_that_reaches(program).is_some() {
        return become_user();
    }
    println!("install: the service is not tried as {}, but as ourselves", owner::USER);
    Command::new("env")
}

/// What the service's user may have put into its folders is neither written through nor given away.
fn links(options: &Options, _: u16) -> Result<(), String> {
    let base = options.root.join("links");
    let service = |port: u16| super::service(port, &options.prefix, &base);
    let prey = base.join("prey");
    let folder = super::folder(base.join("etc/redis"))?;
    std::os::unix::fs::symlink(&prey, folder.join("1.conf")).map_err(|e| e.to_string())?;
    service(1)?;
    if prey.exists() {
        return Err("the configuration was written through a link".to_owned());
    }
    super::write(&prey, "")?;
    let log = super::folder(base.join("var/log/redis"))?.join("redis_2.log");
    fs::hard_link(&prey, &log).map_err(|e| e.to_string())?;
    match service(2) {
        Err(why) => expect(&why, "has another name"),
        Ok(()) if owner::is_root() && owner::find().is_some() => {
            Err("it was given away".to_owned())
        }
        Ok(()) => Ok(()),
    }
}

fn entry_point(options: &Options, _: u16) -> Result<(), String> {
    let script = root().join("packaging/docker/docker-entrypoint.sh");
    let bin = options.prefix.join("bin");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    // As the user that the container ends up with; in a folder of its own, as root gives it away.
    let data = options.root.join("data");
    fs::create_dir_all(&data).map_err(|e| e.to_string())?;
    let run = |args: &[&str]| {
        let mut command = Command::new("sh");
        // A function stands for the step that needs an account named redis.
        command.args(["-c", "id() { echo 999; }; . \"$0\"", &script.display().to_string()]);
        output(command.args(args).env("PATH", &path).current_dir(&data))
    };
    expect(&run(&["echo", "another program"])?, "another program")?;
    expect(&run(&["--version"])?, "7.0.15")?;
    expect(&run(&["redis-server", "--version"])?, "7.0.15")?;
    // A program in the server's place shows what it is given.
    let fake = data.join("bin");
    fs::create_dir_all(&fake).map_err(|e| e.to_string())?;
    for name in ["redis-server", "tandem-server", "setpriv"] {
        super::write(&fake.join(name), &format!("#!/bin/sh\necho \"{name} is given: $*\"\n"))?;
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(fake.join(name), executable).map_err(|e| e.to_string())?;
    }
    let path = format!("{}:{path}", fake.display());
    let given = |id: u32, words: &[&str]| {
        let mut command = Command::new("sh");
        // Files that are not redis's need an account of that name.
        let stand_in = format!("id() {{ echo {id}; }}; find() {{ :; }}; . \"$0\"");
        command.args(["-c", &stand_in, &script.display().to_string()]).args(words);
        output(command.env("PATH", &path).current_dir(&data))
    };
    for server in ["redis-server", "tandem-server"] {
        let root = given(0, &[server, "--port", "7000"])?;
        expect(&root, "setpriv is given: --reuid=redis --regid=redis --init-groups ")?;
        expect(&root, &format!("docker-entrypoint.sh {server} --port 7000"))?;
    }
    let off = "--protected-mode no";
    for (text, args, wanted) in ENTRIES {
        super::write(&data.join("my.conf"), text)?;
        for server in ["redis-server", "tandem-server"] {
            let given = given(999, &[&[server], *args].concat())?;
            expect(&given, &format!("{server} is given: {}", args.join(" ")))?;
            if given.trim_end().ends_with(off) != *wanted {
                return Err(format!("{text:?} {args:?}: {given}"));
            }
        }
    }
    Ok(())
}

/// What my.conf holds, what the server is given, and whether protected mode is off then.
const ENTRIES: &[(&str, &[&str], bool)] = &[
    ("", &[], true),
    ("", &["--port", "7000"], true),
    ("", &["--protected-mode", "yes"], false),
    ("", &["--Protected-Mode", "yes"], false),
    ("", &["--protected-mode yes"], false),
    ("", &["--INCLUDE", "other.conf"], false),
    ("", &["-"], false),
    ("port 7000\n# protected-mode yes\n", &["my.conf"], true),
    ("port 7000\nprotected-mode yes\n", &["my.conf"], false),
    ("  Protected-Mode yes\n", &["my.conf", "--port", "7000"], false),
    ("include other.conf\n", &["my.conf"], false),
];
