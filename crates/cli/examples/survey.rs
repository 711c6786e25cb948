//! The statistics of an RDB file, without the multi-call binary around it.

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    std::process::exit(tandem_cli::survey::run("survey", &args));
}
