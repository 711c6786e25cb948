//! What is in an RDB file: keys by database, type and encoding, expiries, sizes, the largest
//! keys. `check-rdb --stats FILE` prints it.
//!
//! ```text
//! file ─► reader (lengths, strings) ─► walk (opcodes) ─► value (elements of each type) ─► tally
//!                                                                                 report ◄─┘
//! ```
//! Every type of Redis 7.0 is understood, also those that this version of the server does not
//! load: a file can be looked over before a move. Values are counted, not built, so memory stays
//! small whatever the file holds.
//!
//! Absent: the checks of `check-rdb` proper (checksum, integrity of packed values).

mod packed;
mod reader;
mod report;
mod tally;
mod value;
mod walk;

use std::fs::File;
use std::io::Write;
use std::time::SystemTime;

use reader::Reader;
use tally::Tally;

/// Largest keys that are listed unless --top says otherwise.
const TOP_DEFAULT: usize = 10;

/// Runs the command: `args` without the program's name, `program` for the usage. Gives the exit
/// code: 0 when the whole file was read, 1 otherwise.
pub fn run(program: &str, args: &[String]) -> i32 {
    let mut file = None;
    let (mut json, mut top) = (false, TOP_DEFAULT);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--stats" => {}
            "--json" => json = true,
            "--top" => match rest.next().and_then(|count| count.parse().ok()) {
                Some(count) => top = count,
                None => return usage(program),
            },
            name if file.is_none() && !name.starts_with("--") => file = Some(name),
            _ => return usage(program),
        }
    }
    let Some(name) = file else { return usage(program) };
    let opened = File::open(name).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (file_bytes, file) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            crate::text::complain(format!("{program}: {name}: {error}"));
            return 1;
        }
    };
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    let mut tally = Tally::new(now_ms, top);
    let mut reader = Reader::new(file);
    let outcome = walk::walk(&mut reader, &mut tally);
    let text = match json {
        true => report::json(&tally, name, file_bytes),
        false => report::text(&tally, name, file_bytes),
    };
    if std::io::stdout().write_all(text.as_bytes()).is_err() {
        return 1;
    }
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            crate::text::complain(format!("{program}: {name}: [offset {}] {error}", reader.at()));
            1
        }
    }
}

fn usage(program: &str) -> i32 {
    crate::text::complain(format!(
        "Usage: {program} --stats [--json] [--top COUNT] <rdb-file-name>"
    ));
    1
}

#[cfg(test)]
mod tests;
