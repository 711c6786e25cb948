//! The demonstration on its own; `--server PATH` says which server it shall start.

use std::ffi::OsString;

fn main() {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    std::process::exit(tandem_cli::demo::run(&args));
}
