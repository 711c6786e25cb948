//! The forms, on a histogram made by hand.

use std::ffi::OsString;

use super::*;
use crate::benchmark::options;

fn outcome() -> Outcome {
    let mut latencies = Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("bounds are fit");
    for (us, count) in [(90, 50), (150, 40), (1900, 9), (4_500_000, 1)] {
        latencies.record_n(us, count).expect("within bounds");
    }
    Outcome { requests: 100, seconds: 0.5, latencies, progress_bytes: 3 }
}

fn shown(args: &[&str]) -> String {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let (options, _) = options::parse(&args).expect("it parses");
    let facts = Facts { settings: Some(("3600 1".to_owned(), "no".to_owned())) };
    text(&options, &facts, "GET", 3, &outcome(), Some(0.001))
}

#[test]
fn the_short_forms_are_what_scripts_read() {
    assert_eq!(shown(&["-q"]), "   \rGET: 200.00 requests per second, p50=0.090 msec\n");
    assert_eq!(
        shown(&["-q", "--cpu"]),
        "   \rGET: 200.00 requests per second, p50=0.090 msec, server cpu=10.00 usec per request\n"
    );
    let csv = shown(&["--csv", "-q"]);
    assert_eq!(
        csv,
        "\"GET\",\"200.00\",\"45.271\",\"0.090\",\"0.090\",\"1.900\",\"1.900\",\"4501.503\"\n"
    );
    assert_eq!(shown(&["--csv", "--cpu"]), csv.replace("\"\n", "\",\"10.000\"\n"));
}

#[test]
fn the_long_form_has_every_part() {
    let text = shown(&["--threads", "2", "--rps", "200"]);
    let expect = "====== GET ======
  100 requests completed in 0.50 seconds
  50 parallel clients
  3 bytes payload
  keep alive: 1
  host configuration \"save\": 3600 1
  host configuration \"appendonly\": no
  multi-thread: yes
  threads: 2
  open loop: 200 requests per second asked for

Latency by percentile distribution:
0.000% <= 0.090 milliseconds (cumulative count 50)
75.000% <= 0.150 milliseconds (cumulative count 90)
";
    assert!(text.contains(expect), "{text}");
    let expect = "
Cumulative distribution of latencies:
50.000% <= 0.100 milliseconds (cumulative count 50)
90.000% <= 0.200 milliseconds (cumulative count 90)
99.000% <= 1.900 milliseconds (cumulative count 99)
100.000% <= ";
    assert!(text.contains(expect), "{text}");
    let expect = "
Summary:
  throughput summary: 200.00 requests per second
  latency summary (msec):
          avg       min       p50       p95       p99       max
       45.271     0.090     0.090     1.900     1.900  4501.503
  server cpu: 0.00 seconds, 10.000 usec per request
";
    assert!(text.ends_with(expect), "{text}");
}
