//! `check-rdb`: says whether a file is a sound RDB file, in the words of `redis-check-rdb`.
//!
//! The file is read in pieces and nothing of it is kept but a digest of each field of the hash
//! that is being read, so a file larger than memory can be checked. The exit code is 0 for a sound
//! file and 1 for any other. Values of types that the server does not load are passed over, and
//! counted: their frames and packed values are checked, not what they mean.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::time::SystemTime;

use tandem_base::{REDIS_VERSION, UnixMs};
use tandem_store::rdb::parse::{
    Cause, Checksum, Entry, Event, Fed, Options, Parser, RdbError, Sink, type_name,
};

/// Bytes read from the file at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Runs the command: `args` without the program's name. Gives the exit code.
pub(crate) fn run(program: &str, args: &[String]) -> i32 {
    let [arg] = args else {
        eprintln!("Usage: {program} <rdb-file-name>");
        return 1;
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let result = if matches!(arg.as_str(), "-v" | "--version") {
        writeln!(out, "redis-check-rdb {REDIS_VERSION}").map(|()| true)
    } else {
        check_file(arg, &mut out)
    };
    let result = result.and_then(|sound| out.flush().map(|()| sound));
    match result {
        Ok(sound) => i32::from(!sound),
        Err(error) => {
            eprintln!("{program}: {arg}: {error}");
            1
        }
    }
}

fn check_file(name: &str, out: &mut impl Write) -> io::Result<bool> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    writeln!(out, "[offset 0] Checking RDB file {name}")?;
    out.flush()?;
    check(File::open(name)?, now, out)
}

/// Checks what `file` gives and prints what is found; true if it is sound.
pub(crate) fn check(mut file: impl Read, now: UnixMs, out: &mut impl Write) -> io::Result<bool> {
    let mut report = Report {
        out,
        now,
        keys: 0,
        expires: 0,
        expired: 0,
        others: BTreeMap::new(),
        hash_expiry: None,
        fields: HashSet::new(),
        digests: [RandomState::new(), RandomState::new()],
        failed: None,
    };
    let parsed = parse(&mut file, &mut report)?;
    if let Some(error) = report.failed {
        return Err(error);
    }
    match parsed {
        Ok(end) => writeln!(report.out, "[offset {end}] \\o/ RDB looks OK! \\o/")?,
        Err(ref error) => report.error(error)?,
    }
    report.totals()?;
    Ok(parsed.is_ok())
}

/// Reads to the end of the RDB content; what follows is nobody's business here.
fn parse(file: &mut impl Read, sink: &mut impl Sink) -> io::Result<Result<u64, RdbError>> {
    let mut parser = Parser::new(Options { pass_others: true, ..Options::default() });
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let got = match file.read(&mut piece) {
            Ok(0) => return Ok(parser.finish().map(|()| parser.offset())),
            Ok(got) => got,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match parser.feed(&piece[..got], sink) {
            Ok(Fed::Wants) => {}
            Ok(Fed::Done { .. }) => return Ok(Ok(parser.offset())),
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// Prints the events, and counts.
struct Report<'a, W> {
    out: &'a mut W,
    now: UnixMs,
    keys: u64,
    expires: u64,
    expired: u64,
    /// Keys by the type of their value, where it is one that the server does not load.
    others: BTreeMap<u8, u64>,
    /// When the hash expires that is being read.
    hash_expiry: Option<UnixMs>,
    /// Its fields so far: a server takes no hash that has one twice. Of each there are 128 bits,
    /// by which no two of a hash that fits into memory are taken for one.
    fields: HashSet<[u64; 2]>,
    digests: [RandomState; 2],
    /// Why nothing can be printed any more.
    failed: Option<io::Error>,
}

impl<W: Write> Sink for Report<'_, W> {
    fn take(&mut self, event: Event<'_>, end: u64) -> Result<(), String> {
        if let Event::Field(field, _) = &event
            && !self.fields.insert(self.digests.each_ref().map(|digest| digest.hash_one(field)))
        {
            return Err("Hash with dup elements".to_owned());
        }
        self.print(event, end).map_err(|error| {
            let text = error.to_string();
            self.failed = Some(error);
            text
        })
    }
}

impl<W: Write> Report<'_, W> {
    fn print(&mut self, event: Event<'_>, end: u64) -> io::Result<()> {
        match event {
            Event::Entry(Entry { expiry, .. }) => {
                self.count(expiry);
                Ok(())
            }
            Event::Passed(Entry { expiry, value: kind, .. }) => {
                *self.others.entry(kind).or_default() += 1;
                self.count(expiry);
                Ok(())
            }
            // It counts when it is whole.
            Event::BeginHash(Entry { expiry, .. }) => {
                self.hash_expiry = expiry;
                self.fields.clear();
                Ok(())
            }
            Event::EndHash => {
                let expiry = self.hash_expiry.take();
                self.count(expiry);
                Ok(())
            }
            Event::Aux { key, value } => {
                write!(self.out, "[offset {end}] AUX FIELD ")?;
                self.out.write_all(c_string(key))?;
                self.out.write_all(b" = '")?;
                self.out.write_all(c_string(value))?;
                self.out.write_all(b"'\n")
            }
            Event::SelectDb(db) => writeln!(self.out, "[offset {end}] Selecting DB ID {db}"),
            Event::ModuleAux(name) => {
                writeln!(self.out, "[offset {end}] MODULE AUX for: {}", name.escape_ascii())
            }
            Event::Eof(Checksum::Good) => writeln!(self.out, "[offset {end}] Checksum OK"),
            Event::Eof(Checksum::Disabled) => writeln!(
                self.out,
                "[offset {end}] RDB file was saved with checksum disabled: no check performed."
            ),
            Event::Eof(Checksum::NotAsked | Checksum::None)
            | Event::Version(_)
            | Event::ResizeDb { .. }
            | Event::Function(_)
            | Event::Field(..)
            | Event::EmptyKey(_) => Ok(()),
        }
    }

    fn count(&mut self, expiry: Option<UnixMs>) {
        self.keys += 1;
        if let Some(expiry) = expiry {
            self.expires += 1;
            self.expired += u64::from(expiry < self.now);
        }
    }

    fn error(&mut self, error: &RdbError) -> io::Result<()> {
        writeln!(self.out, "--- RDB ERROR DETECTED ---")?;
        let offset = error.offset;
        // Redis's note of the type begins as 0 and is cleared by the first whole key.
        let value_type = error.value_type.or((self.keys == 0).then_some(0));
        match &error.cause {
            Cause::UnknownType(kind) => {
                writeln!(self.out, "[offset {offset}] Invalid object type: {kind}")?;
            }
            // What Redis's checker itself finds, not the loader that it calls.
            cause @ (Cause::WrongSignature
            | Cause::Version(_)
            | Cause::UnexpectedEof
            | Cause::ModuleWhen
            | Cause::Checksum { .. }) => writeln!(self.out, "[offset {offset}] {cause}")?,
            // The loader counts bytes only when it loads.
            cause => writeln!(
                self.out,
                "[offset {offset}] Internal error in RDB reading offset 0 -> {cause}"
            )?,
        }
        writeln!(self.out, "[additional info] While doing: {}", error.doing.name())?;
        if let Some(key) = &error.key {
            self.out.write_all(b"[additional info] Reading key '")?;
            self.out.write_all(c_string(key))?;
            self.out.write_all(b"'\n")?;
            self.keys += 1;
        }
        if let Some(kind) = value_type {
            let name = type_name(kind);
            writeln!(self.out, "[additional info] Reading type {kind} ({name})")?;
        }
        Ok(())
    }

    fn totals(&mut self) -> io::Result<()> {
        writeln!(self.out, "[info] {} keys read", self.keys)?;
        writeln!(self.out, "[info] {} expires", self.expires)?;
        writeln!(self.out, "[info] {} already expired", self.expired)?;
        if self.others.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self
            .others
            .iter()
            .map(|(kind, count)| format!("{} {count}", type_name(*kind)))
            .collect();
        let count: u64 = self.others.values().sum();
        let names = names.join(", ");
        writeln!(self.out, "[info] {count} keys of types that this version does not load: {names}")
    }
}

/// What C prints of a string: all up to its first zero byte.
fn c_string(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}
