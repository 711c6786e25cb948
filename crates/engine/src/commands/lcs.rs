//! LCS: the longest common subsequence of two strings, by the table of all prefixes.
//!
//! The table takes four bytes for each pair of positions; `proto-max-bulk-len` bounds it.

use tandem_resp::{Args, OutBuf};

use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};

use super::words::{integer, is_word};

/// What LCS was asked for.
#[derive(Default)]
struct Options {
    length_only: bool,
    ranges: bool,
    match_lengths: bool,
    /// Shorter ranges are left out.
    shortest_match: i64,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options, ErrorReply> {
        let mut options = Options::default();
        let mut at = 3;
        while at < args.len() {
            let word = args.get(at);
            if is_word(word, "idx") {
                options.ranges = true;
            } else if is_word(word, "len") {
                options.length_only = true;
            } else if is_word(word, "withmatchlen") {
                options.match_lengths = true;
            } else if is_word(word, "minmatchlen") && at + 1 < args.len() {
                at += 1;
                options.shortest_match = integer(args.get(at))?;
            } else {
                return Err(ErrorReply::Syntax);
            }
            at += 1;
        }
        if options.length_only && options.ranges {
            return Err(ErrorReply::text(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

/// `LCS key1 key2 [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN]`.
pub(super) fn lcs(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let [a, b] = [1, 2].map(|at| {
        let value = cx
            .db
            .string(args.get(at))
            .map_err(|_| ErrorReply::text("ERR The specified keys must contain string values"))?;
        // Both are copied, as they may lie in one stripe and in one entry.
        Ok(value.map_or_else(Vec::new, |text| text.bytes(&mut itoa::Buffer::new()).to_vec()))
    });
    let (a, b) = (a?, b?);
    let options = Options::parse(args)?;
    let table = Table::of(&a, &b, cx.node.bulk_bytes_max())?;
    if options.ranges {
        reply_ranges(cx.out, &options, &table);
    } else if options.length_only {
        cx.out.count(table.at(a.len(), b.len()) as usize);
    } else {
        cx.out.bulk(&table.subsequence());
    }
    Ok(())
}

/// Lengths of the longest common subsequences of all pairs of prefixes.
struct Table<'s> {
    a: &'s [u8],
    b: &'s [u8],
    lengths: Vec<u32>,
}

/// A run that both strings share: where it begins in each, and its length.
#[derive(Clone, Copy)]
struct Run {
    a: usize,
    b: usize,
    length: usize,
}

impl<'s> Table<'s> {
    fn of(a: &'s [u8], b: &'s [u8], bytes_max: usize) -> Result<Table<'s>, ErrorReply> {
        const LONGEST: usize = u32::MAX as usize - 1;
        if a.len() >= LONGEST || b.len() >= LONGEST {
            return Err(ErrorReply::text("ERR String too long for LCS"));
        }
        let cells = (a.len() + 1).checked_mul(b.len() + 1);
        let bytes = cells.and_then(|cells| cells.checked_mul(4));
        let Some((cells, _)) = cells.zip(bytes).filter(|&(_, bytes)| bytes <= bytes_max) else {
            return Err(ErrorReply::text(
                "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
            ));
        };
        let mut lengths = vec![0u32; cells];
        let width = b.len() + 1;
        for (i, byte_a) in a.iter().enumerate() {
            let (above, row) = lengths[i * width..(i + 2) * width].split_at_mut(width);
            for (j, byte_b) in b.iter().enumerate() {
                row[j + 1] = if byte_a == byte_b { above[j] + 1 } else { above[j + 1].max(row[j]) };
            }
        }
        Ok(Table { a, b, lengths })
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.lengths[i * (self.b.len() + 1) + j]
    }

    /// Calls `matched` with each pair of positions of one longest subsequence, from the end.
    fn each_match(&self, mut matched: impl FnMut(usize, usize)) {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        while i > 0 && j > 0 {
            if self.a[i - 1] == self.b[j - 1] {
                (i, j) = (i - 1, j - 1);
                matched(i, j);
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }

    fn subsequence(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.each_match(|i, _| bytes.push(self.a[i]));
        bytes.reverse();
        bytes
    }

    /// The same as runs without gaps in either string, from the end.
    fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        self.each_match(|i, j| match runs.last_mut() {
            Some(run) if run.a == i + 1 && run.b == j + 1 => {
                *run = Run { a: i, b: j, length: run.length + 1 };
            }
            _ => runs.push(Run { a: i, b: j, length: 1 }),
        });
        runs
    }
}

fn reply_ranges(out: &mut OutBuf, options: &Options, table: &Table<'_>) {
    let mut runs = table.runs();
    runs.retain(|run| i64::try_from(run.length).is_ok_and(|n| n >= options.shortest_match));
    out.map(2);
    out.bulk(b"matches");
    out.array(runs.len());
    for run in runs {
        out.array(2 + usize::from(options.match_lengths));
        for start in [run.a, run.b] {
            out.array(2);
            out.count(start);
            out.count(start + run.length - 1);
        }
        if options.match_lengths {
            out.count(run.length);
        }
    }
    out.bulk(b"len");
    out.count(table.at(table.a.len(), table.b.len()) as usize);
}
