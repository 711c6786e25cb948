//! The load generator on its own, without the multi-call binary around it.

use std::ffi::OsString;

fn main() {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    std::process::exit(tandem_cli::benchmark::run(&args));
}
