//! How fast RDB is written and parsed on one core: `rdb_speed [COUNT] [VALUE_BYTES]`.
//!
//! Entries are 16-byte keys with values of random letters and digits, which do not compress; a
//! second run uses values that do. Figures are megabytes (10^6) of RDB a second of processor time
//! of this thread, so that a busy machine changes them little.

use std::fs;
use std::hint::black_box;

use tandem_base::DbIndex;
use tandem_store::StringRef;
use tandem_store::rdb::crc64::Crc64;
use tandem_store::rdb::parse::{Event, Options, Parser, StringValue, Value};
use tandem_store::rdb::write;

/// What a snapshot's writer would hand on at once.
const CHUNK_BYTES: usize = 256 * 1024;

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse().expect("a number"));
    let count: usize = args.next().unwrap_or(1_000_000);
    let value_bytes: usize = args.next().unwrap_or(100);
    let keys = texts(1, count, 16, 62);
    for (name, letters) in [("random", 62), ("letters a to b", 2)] {
        let values = texts(2, count, value_bytes, letters);
        for (compress, check_sum) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut file = Vec::with_capacity(count * (value_bytes + 32) + 1024);
            // The first time finds the memory.
            write_all(&mut file, &keys, &values, compress, check_sum);
            file.clear();
            let written = cpu_seconds(|| write_all(&mut file, &keys, &values, compress, check_sum));
            let mut parsed = (0, 0);
            let read = cpu_seconds(|| parsed = parse_all(&file));
            assert_eq!(parsed, (count, count * value_bytes), "every value came back");
            let megabytes = file.len() as f64 / 1e6;
            println!(
                "{name}, compress {compress}, checksum {check_sum}: {megabytes:.0} MB, \
                 write {:.0} MB/s ({:.0} ns an entry), parse {:.0} MB/s ({:.0} ns an entry)",
                megabytes / written,
                written * 1e9 / count as f64,
                megabytes / read,
                read * 1e9 / count as f64,
            );
        }
    }
}

/// `count` texts of `length` bytes one behind the other; borrowed as pieces.
struct Texts {
    bytes: Vec<u8>,
    length: usize,
}

fn texts(seed: u64, count: usize, length: usize, letters: u64) -> Texts {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        LETTERS[((state >> 33) % letters) as usize]
    };
    Texts { bytes: (0..count * length).map(|_| next()).collect(), length }
}

fn write_all(file: &mut Vec<u8>, keys: &Texts, values: &Texts, compress: bool, check_sum: bool) {
    let mut crc = Crc64::new();
    let mut summed = 0;
    write::header(file);
    write::select_db(file, DbIndex(0));
    let pairs = keys.bytes.chunks(keys.length).zip(values.bytes.chunks(values.length.max(1)));
    for (key, value) in pairs {
        write::string_entry(file, key, StringRef::Inline(value), None, compress);
        if file.len() - summed >= CHUNK_BYTES && check_sum {
            crc.update(&file[summed..]);
            summed = file.len();
        }
    }
    crc.update(&file[summed..]);
    write::footer(file, check_sum.then_some(crc));
}

fn parse_all(file: &[u8]) -> (usize, usize) {
    let (mut entries, mut bytes) = (0, 0);
    let mut sink = |event: Event<'_>, _: u64| {
        if let Event::Entry(entry) = event {
            entries += 1;
            bytes += match black_box(entry.value) {
                Value::String(StringValue::Bytes(value)) => value.len(),
                Value::String(StringValue::Owned(value)) => value.len(),
                Value::String(StringValue::Int(_)) => 0,
                Value::Hash { list, .. } => list.len(),
            };
        }
        Ok(())
    };
    let mut parser = Parser::new(Options::default());
    for piece in file.chunks(CHUNK_BYTES) {
        parser.feed(piece, &mut sink).expect("our own file");
    }
    parser.finish().expect("it is whole");
    (entries, bytes)
}

/// Processor time that `work` takes on this thread.
fn cpu_seconds(work: impl FnOnce()) -> f64 {
    let ran = || -> f64 {
        let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        let nanoseconds = text.split(' ').next().expect("three columns");
        nanoseconds.parse::<f64>().expect("a number") / 1e9
    };
    let before = ran();
    work();
    ran() - before
}
