//! LOLWUT: a picture, different each time, and the version.
//!
//! The pictures are our own: `VERSION 5` draws a range of hills, `VERSION 6` a labyrinth. Any
//! other version shows what Redis 7 shows, the version alone.

use std::fmt::Write as _;

use tandem_base::REDIS_VERSION;
use tandem_resp::Args;

use super::facts::{arg, command};
use super::words::{integer, is_word};
use crate::cx::Cx;
use crate::error::{ErrorReply, Outcome};
use crate::spec::{Group::Server, Spec};

/// The commands of this module.
pub(super) const SPECS: &[Spec] = &[command("lolwut", Server, -1, "readonly fast", lolwut)
    .doc("5.0.0", "A picture, and the version.", "")
    .args(&[arg::integer("version").token("VERSION").optional()])];

/// Most columns and most rows of a picture.
const SIDE_MAX: i64 = 1000;
/// The same without a wish.
const HILLS: (i64, i64) = (66, 12);
const LABYRINTH: (i64, i64) = (64, 16);

/// `LOLWUT [VERSION version] [columns [rows]]`
fn lolwut(cx: &mut Cx<'_>, args: Args<'_>) -> Outcome {
    let (version, from) = match args.len() {
        3.. if is_word(args.get(1), "version") => (integer(args.get(2))?, 3),
        _ => (7, 1),
    };
    let mut text = match version {
        5 => {
            let (columns, rows) = size(args, from, HILLS)?;
            hills(columns, rows, cx.rng)
        }
        6 => {
            let (columns, rows) = size(args, from, LABYRINTH)?;
            labyrinth(columns, rows, cx.rng)
        }
        _ => String::new(),
    };
    writeln!(text, "Redis ver. {REDIS_VERSION}").expect("a string takes everything");
    cx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

/// The columns and rows that stand from argument `from` on; what is out of range is moved into it.
fn size(
    args: Args<'_>,
    from: usize,
    (columns, rows): (i64, i64),
) -> Result<(usize, usize), ErrorReply> {
    let side = |at: usize, usual: i64| -> Result<usize, ErrorReply> {
        let wish = if at < args.len() { integer(args.get(at))? } else { usual };
        Ok(usize::try_from(wish.clamp(1, SIDE_MAX)).expect("it was clamped"))
    };
    Ok((side(from, columns)?, side(from + 1, rows)?))
}

/// Ridges one behind the other, the nearer ones darker.
fn hills(columns: usize, rows: usize, rng: &mut fastrand::Rng) -> String {
    const SHADES: &[char] = &['.', ':', '+', '#'];
    let mut picture = vec![vec![' '; columns]; rows];
    for (number, shade) in SHADES.iter().enumerate() {
        // Where this ridge may begin, counted from the top.
        let top = rows * number / SHADES.len();
        let mut at = top + rng.usize(0..=rows / SHADES.len());
        for column in 0..columns {
            at = (at + rng.usize(0..3)).saturating_sub(1).clamp(top, rows);
            picture.iter_mut().skip(at).for_each(|row| row[column] = *shade);
        }
    }
    picture.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned() + "\n").collect()
}

/// Strokes that lean to one side or the other; the eye finds ways between them.
fn labyrinth(columns: usize, rows: usize, rng: &mut fastrand::Rng) -> String {
    let mut row = || (0..columns).map(|_| if rng.bool() { '/' } else { '\\' }).collect::<String>();
    (0..rows).map(|_| row() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::script::Shell;

    #[test]
    fn every_picture_ends_with_the_version() {
        let mut shell = Shell::new();
        assert_eq!(shell.run("LOLWUT"), "\"Redis ver. 7.0.15\\n\"");
        assert_eq!(shell.run("LOLWUT VERSION 9"), "\"Redis ver. 7.0.15\\n\"");
        let bad = "-ERR value is not an integer or out of range";
        assert_eq!(shell.run("LOLWUT VERSION x"), bad);
        assert_eq!(shell.run("LOLWUT VERSION 5 x"), bad);
        for version in [5, 6] {
            let text = shell.run(&format!("LOLWUT VERSION {version} 20 -4"));
            assert!(text.ends_with("\\nRedis ver. 7.0.15\\n\""), "{text}");
        }
    }

    #[test]
    fn pictures_have_the_size_asked_for() {
        let mut rng = fastrand::Rng::with_seed(3);
        for (columns, rows) in [(1, 1), (7, 3), (66, 12)] {
            let labyrinth = labyrinth(columns, rows, &mut rng);
            assert!(labyrinth.lines().all(|line| line.len() == columns));
            assert_eq!(labyrinth.lines().count(), rows);
            assert_eq!(hills(columns, rows, &mut rng).lines().count(), rows);
        }
    }
}
