//! `--latency-dist`: a line of colours a second, one column for each range of latencies; for
//! terminals with 256 colours.

use std::time::{Duration, Instant};

use super::ask_patiently;
use crate::Step;
use crate::session::Session;
use crate::text::{flush, put};

const SAMPLE_PAUSE: Duration = Duration::from_millis(10);
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// The legend comes again after so many lines.
const LINES_PER_LEGEND: u32 = 20;

/// From no sample to all samples: colours of the 256, and greys only.
const COLOURS: [u8; 19] =
    [0, 233, 234, 235, 237, 239, 241, 243, 245, 247, 144, 143, 142, 184, 226, 214, 208, 202, 196];
const GREYS: [u8; 13] = [0, 233, 234, 235, 237, 239, 241, 243, 245, 247, 249, 251, 253];

/// The longest latency of each column, in microseconds, and its letter. The last one takes the
/// rest.
const COLUMNS: [(u128, char); 31] = [
    (10, '.'),
    (125, '-'),
    (250, '*'),
    (500, '#'),
    (1_000, '1'),
    (2_000, '2'),
    (3_000, '3'),
    (4_000, '4'),
    (5_000, '5'),
    (6_000, '6'),
    (7_000, '7'),
    (8_000, '8'),
    (9_000, '9'),
    (10_000, 'A'),
    (20_000, 'B'),
    (30_000, 'C'),
    (40_000, 'D'),
    (50_000, 'E'),
    (100_000, 'F'),
    (200_000, 'G'),
    (300_000, 'H'),
    (400_000, 'I'),
    (500_000, 'J'),
    (1_000_000, 'K'),
    (2_000_000, 'L'),
    (4_000_000, 'M'),
    (8_000_000, 'N'),
    (16_000_000, 'O'),
    (30_000_000, 'P'),
    (60_000_000, 'Q'),
    (u128::MAX, '?'),
];

/// Samples until the program is ended.
pub(super) fn watch(session: &mut Session) -> Step<i32> {
    let palette: &[u8] = if session.options.mono { &GREYS } else { &COLOURS };
    let interval = match u64::try_from(session.options.interval_us) {
        Ok(us @ 1..) => Duration::from_micros(us),
        _ => DEFAULT_INTERVAL,
    };
    let mut counts = [0u64; COLUMNS.len()];
    let mut lines = 0u32;
    let mut since = Instant::now();
    loop {
        let start = Instant::now();
        ask_patiently(session, &["PING"])?;
        counts[column_of(start.elapsed())] += 1;
        if since.elapsed() > interval {
            if lines.is_multiple_of(LINES_PER_LEGEND) {
                put(legend(palette))?;
            }
            lines = lines.wrapping_add(1);
            put(line(&counts, palette))?;
            flush()?;
            counts = [0; COLUMNS.len()];
            since = Instant::now();
        }
        std::thread::sleep(SAMPLE_PAUSE);
    }
}

fn column_of(latency: Duration) -> usize {
    let us = latency.as_micros();
    COLUMNS.iter().position(|(longest, _)| us <= *longest).expect("the last one takes everything")
}

/// One line: black letters on the colours of their shares.
fn line(counts: &[u64; COLUMNS.len()], palette: &[u8]) -> String {
    let total: u64 = counts.iter().sum();
    let mut out = "\x1b[38;5;0m".to_owned();
    for (count, (_, letter)) in counts.iter().zip(COLUMNS) {
        let share = *count as f64 / total.max(1) as f64;
        let colour = palette[(share * (palette.len() - 1) as f64).ceil() as usize];
        out.push_str(&format!("\x1b[48;5;{colour}m{letter}"));
    }
    out + "\x1b[0m\n"
}

fn legend(palette: &[u8]) -> String {
    let mut out = "---------------------------------------------\n\
        . - * #          .01 .125 .25 .5 milliseconds\n\
        1,2,3,...,9      from 1 to 9     milliseconds\n\
        A,B,C,D,E        10,20,30,40,50  milliseconds\n\
        F,G,H,I,J        .1,.2,.3,.4,.5       seconds\n\
        K,L,M,N,O,P,Q,?  1,2,4,8,16,30,60,>60 seconds\n\
        From 0 to 100%: "
        .to_owned();
    for colour in palette {
        out.push_str(&format!("\x1b[48;5;{colour}m "));
    }
    out + "\x1b[0m\n---------------------------------------------\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_colours() {
        assert_eq!(column_of(Duration::from_micros(10)), 0);
        assert_eq!(column_of(Duration::from_micros(11)), 1);
        assert_eq!(column_of(Duration::from_secs(61)), COLUMNS.len() - 1);
        let mut counts = [0; COLUMNS.len()];
        counts[0] = 1;
        counts[1] = 9_999;
        let text = line(&counts, &GREYS);
        assert!(text.starts_with("\x1b[38;5;0m\x1b[48;5;233m.\x1b[48;5;253m-\x1b[48;5;0m*"));
        assert!(text.ends_with("\x1b[48;5;0m?\x1b[0m\n"));
    }
}
