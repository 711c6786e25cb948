//! `cargo xtask install --prefix DIR`: the program, its names, manual pages and completions.
//!
//! ```text
//! bin/                 tandem, and links: tandem-server … redis-server, redis-cli …
//! share/man/           what --help says, and a page of all directives      (manual.rs)
//! share/…completions   subcommands, options, commands, directives         (completions.rs)
//! share/tandem/        the documented configuration, units, init script
//! ```
//! `--service PORT` also makes the service of a port: `etc/init.d/redis_PORT`,
//! `etc/redis/PORT.conf`, `var/redis/PORT`, and the systemd unit, below `--root DIR` (`/` unless
//! it is given). An existing configuration stays; the init script and the unit are written anew
//! each time. The server runs as the user `redis`: data, logs and configuration (CONFIG REWRITE)
//! are given to it. What lies in its folders is its word: nothing is written through a link there.

mod check;
mod completions;
mod manual;
mod owner;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lexopt::prelude::{Long, ValueExt};

use crate::Outcome;
use crate::run::{build_tandem, root};

pub(crate) use check::ci;

/// The program's other names, and the subcommand that each is.
const NAMES: &[(&str, &str)] =
    &[("server", "server"), ("cli", "cli"), ("benchmark", "benchmark"), ("check-rdb", "check-rdb")];

struct Options {
    prefix: PathBuf,
    /// Where the service's files go.
    root: PathBuf,
    service: Option<u16>,
    redis_names: bool,
    profile: String,
}

pub(crate) fn main(args: lexopt::Parser) -> Outcome {
    let options = parse(args).map_err(|e| e.to_string())?;
    let binary = build_tandem(&options.profile)?;
    install(&options, &binary)?;
    println!("installed under {}", options.prefix.display());
    Ok(())
}

fn parse(mut args: lexopt::Parser) -> Result<Options, lexopt::Error> {
    let mut options = Options {
        prefix: PathBuf::from("/usr/local"),
        root: PathBuf::from("/"),
        service: None,
        redis_names: true,
        profile: "release".to_string(),
    };
    while let Some(arg) = args.next()? {
        match arg {
            Long("prefix") => options.prefix = args.value()?.into(),
            Long("root") => options.root = args.value()?.into(),
            Long("service") => options.service = Some(args.value()?.parse()?),
            Long("no-redis-names") => options.redis_names = false,
            Long("profile") => options.profile = args.value()?.string()?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

fn install(options: &Options, binary: &Path) -> Outcome {
    let prefix = absolute(&options.prefix)?;
    let bin = folder(prefix.join("bin"))?;
    let program = bin.join("tandem");
    // A running program cannot be written over, but can be replaced.
    let new = bin.join(".tandem.new");
    fs::copy(binary, &new).map_err(|e| format!("{}: {e}", new.display()))?;
    fs::rename(&new, &program).map_err(|e| format!("{}: {e}", program.display()))?;
    for (name, _) in NAMES {
        link(&bin, &format!("tandem-{name}"))?;
        if options.redis_names {
            link(&bin, &format!("redis-{name}"))?;
        }
    }
    manual::install(&prefix, &program)?;
    completions::install(&prefix, &program)?;
    let share = folder(prefix.join("share/tandem"))?;
    write(&share.join("tandem.conf"), &read("conf/tandem.conf")?)?;
    write(&share.join("LICENSE-MIT"), &read("LICENSE-MIT")?)?;
    match options.service {
        Some(port) => service(port, &prefix, &absolute(&options.root)?),
        None => Ok(()),
    }
}

fn link(bin: &Path, name: &str) -> Outcome {
    let path = bin.join(name);
    match fs::symlink_metadata(&path) {
        Ok(there) if !there.is_symlink() => {
            return Err(format!("{} is there and is no link of ours", path.display()));
        }
        Ok(_) => fs::remove_file(&path).map_err(|e| format!("{}: {e}", path.display()))?,
        Err(_) => {}
    }
    std::os::unix::fs::symlink("tandem", &path).map_err(|e| format!("{}: {e}", path.display()))
}

/// The service of one port, as S18 of the requirements describes it.
fn service(port: u16, prefix: &Path, root: &Path) -> Outcome {
    let under = |path: &str| root.join(path);
    let shown = if root == Path::new("/") { String::new() } else { root.display().to_string() };
    let fill = |text: String| {
        text.replace("@PORT@", &port.to_string())
            .replace("@PREFIX@", &prefix.display().to_string())
            .replace("@ROOT@", &shown)
    };
    for path in ["etc/redis", "var/run", "var/log/redis"] {
        folder(under(path))?;
    }
    let data = folder(under(&format!("var/redis/{port}")))?;
    let init = folder(under("etc/init.d"))?.join(format!("redis_{port}"));
    write(&init, &fill(read("packaging/init.d/redis_port")?))?;
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&init, executable).map_err(|e| format!("{}: {e}", init.display()))?;
    let unit = folder(under("etc/systemd/system"))?.join("tandem@.service");
    write(&unit, &fill(read("packaging/systemd/tandem@.service")?))?;
    let config = under(&format!("etc/redis/{port}.conf"));
    if config.symlink_metadata().is_ok() {
        println!("{} is kept as it is", config.display());
    } else {
        let text = format!(
            "# The server of port {port}. Every directive: {}/share/tandem/tandem.conf\n\
             port {port}\nbind 127.0.0.1 -::1\ndaemonize yes\n\
             pidfile {shown}/var/run/redis_{port}.pid\n\
             logfile {shown}/var/log/redis/redis_{port}.log\ndir {}\n",
            prefix.display(),
            data.display()
        );
        // Never through a link that has come meanwhile.
        fs::File::create_new(&config)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|e| format!("{}: {e}", config.display()))?;
    }
    let log = under(&format!("var/log/redis/redis_{port}.log"));
    owner::give(&[under("etc/redis"), config, under("var/log/redis"), log, data])
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn folder(path: PathBuf) -> Result<PathBuf, String> {
    fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

fn read(file: &str) -> Result<String, String> {
    fs::read_to_string(root().join(file)).map_err(|e| format!("{file}: {e}"))
}

fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
