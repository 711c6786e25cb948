//! Command scripts: text files that are sent to stock Redis and to Tandem, whose answers must
//! agree. There is no expectation in them: the stock server is the expectation.
//!
//! ```text
//! # a comment
//! == what this case is about        both servers are flushed, connections start anew
//! == something old [resp2]          a case that makes no sense after HELLO 3
//! SET k v                           the answers must be equal, to the byte
//! @b GET k                          on another connection, called b
//! ~ OBJECT IDLETIME k               the kinds must be equal, the values are free
//! ~~ OBJECT HELP                    only the outermost kind must be equal
//! ~50 PTTL k                        two integers at most 50 apart
//! set: KEYS *                       order does not count, at any depth
//! facts: COMMAND INFO get           as set:, and sentences (summary, notes, history) are
//!                               free, and of a complexity what follows O(…)
//! has(role,maxmemory): INFO         both texts have these fields, with some value
//! names: CLIENT INFO                stock's field names appear in ours, in stock's order
//! fields(role,maxmemory): INFO      these `name:value` or `name=value` fields are equal
//! !send "GET k\r\n"                 bytes as they are; nothing is read
//! !flood 1000 "PING\r\n"            bytes so many times over
//! !read                             one answer, without a question
//! !skip 999                         so many answers, the last of which counts
//! !eof                              everything until the server closes
//! !sleep 20                         milliseconds
//! ```
//! With [`Proto::Resp3`] each new connection says HELLO 3 first, except in `[resp2]` cases. All
//! differences of a file are gathered and reported together.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::{Client, Server, Value, split_words, wait_until};

/// Which protocol a script is run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proto {
    /// As a connection begins.
    Resp2,
    /// After HELLO 3.
    Resp3,
}

/// How two answers are compared.
enum Mark {
    Exact,
    Shape,
    Kind,
    Within(i64),
    Unordered,
    Facts,
    Names,
    Has(Vec<String>),
    Fields(Vec<String>),
}

enum Action {
    Command(Vec<Vec<u8>>),
    Send(Vec<u8>),
    Read(usize),
    Eof,
    Sleep(Duration),
}

struct Step {
    line: usize,
    text: String,
    connection: String,
    mark: Mark,
    action: Action,
}

struct Case {
    name: String,
    resp2_only: bool,
    steps: Vec<Step>,
}

/// What came back.
#[derive(PartialEq)]
enum Outcome {
    Reply(Value),
    Bytes(Vec<u8>),
    Failed(String),
    Nothing,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Reply(value) => write!(f, "{value:?}"),
            Outcome::Bytes(bytes) => write!(f, "bytes {}", bytes.escape_ascii()),
            Outcome::Failed(why) => write!(f, "no answer: {why}"),
            Outcome::Nothing => f.write_str("nothing"),
        }
    }
}

/// One server's side of a running case.
struct Side<'a> {
    server: &'a Server,
    hello: bool,
    connections: HashMap<String, Client>,
}

/// Sends the script `text` to both servers; panics with every difference there was. `name` is
/// the file's, for the message.
#[track_caller]
pub fn run_script(name: &str, text: &str, stock: &Server, ours: &Server, proto: Proto) {
    let cases = parse(text).unwrap_or_else(|why| panic!("{name}: {why}"));
    assert!(cases.iter().any(|c| !c.steps.is_empty()), "{name} holds no command");
    let mut found = Vec::new();
    for case in &cases {
        if proto == Proto::Resp3 && case.resp2_only {
            continue;
        }
        run_case(name, case, stock, ours, proto, &mut found);
    }
    assert!(
        found.is_empty(),
        "{} differences in {proto:?} between stock Redis and {:?}:\n{}",
        found.len(),
        ours.kind(),
        found.join("\n")
    );
}

fn run_case(
    name: &str,
    case: &Case,
    stock: &Server,
    ours: &Server,
    proto: Proto,
    found: &mut Vec<String>,
) {
    let hello = proto == Proto::Resp3;
    let side = |server| Side { server, hello, connections: HashMap::new() };
    let (mut stock, mut ours) = (side(stock), side(ours));
    for side in [&stock, &ours] {
        let mut client = side.server.client();
        // A subscriber of the case before would hear of this one, and be counted.
        wait_until("the connections before are gone", || client.info("connected_clients") == "1");
        client.cmd(&["FLUSHALL"]).ok();
    }
    for step in &case.steps {
        let want = stock.take(step);
        let got = ours.take(step);
        if !agree(&step.mark, &want, &got) {
            found.push(format!(
                "{name}:{} [{}] {}\n    redis:  {}\n    tandem: {}",
                step.line,
                case.name,
                step.text,
                brief(&want),
                brief(&got)
            ));
        }
        assert!(
            !matches!(want, Outcome::Failed(_)),
            "{name}:{}: stock Redis itself gave {want:?} to {}",
            step.line,
            step.text
        );
    }
}

impl Side<'_> {
    fn take(&mut self, step: &Step) -> Outcome {
        if let Action::Sleep(time) = step.action {
            std::thread::sleep(time);
            return Outcome::Nothing;
        }
        let outcome = self.talk(step);
        if matches!(outcome, Outcome::Failed(_)) || matches!(step.action, Action::Eof) {
            self.connections.remove(&step.connection);
        }
        outcome
    }

    fn talk(&mut self, step: &Step) -> Outcome {
        let (server, hello) = (self.server, self.hello);
        let client = self.connections.entry(step.connection.clone()).or_insert_with(|| {
            let mut client = server.client();
            if hello {
                // May be refused (a password is asked for): the script sees to that itself.
                let _ = client.try_cmd(&["HELLO", "3"]);
            }
            client
        });
        let outcome = match &step.action {
            Action::Command(words) => client.try_cmd(words).map(Outcome::Reply),
            Action::Send(bytes) => client.send_raw(bytes).map(|()| Outcome::Nothing),
            Action::Read(count) => read_last(client, *count).map(Outcome::Reply),
            Action::Eof => client.read_to_end().map(Outcome::Bytes),
            Action::Sleep(_) => Ok(Outcome::Nothing),
        };
        outcome.unwrap_or_else(|e| Outcome::Failed(e.to_string()))
    }
}

/// Reads `count` answers; the last.
fn read_last(client: &mut Client, count: usize) -> std::io::Result<Value> {
    for _ in 1..count {
        client.read()?;
    }
    client.read()
}

fn agree(mark: &Mark, want: &Outcome, got: &Outcome) -> bool {
    let (Outcome::Reply(w), Outcome::Reply(g)) = (want, got) else { return want == got };
    match mark {
        Mark::Exact => w == g,
        Mark::Shape => w.shape() == g.shape(),
        Mark::Kind => std::mem::discriminant(w) == std::mem::discriminant(g),
        Mark::Within(distance) => match (w, g) {
            (Value::Int(a), Value::Int(b)) => a.abs_diff(*b) <= distance.unsigned_abs(),
            _ => w == g,
        },
        Mark::Unordered => w.unordered() == g.unordered(),
        Mark::Facts => without_sentences(w).unordered() == without_sentences(g).unordered(),
        Mark::Has(names) => {
            let has = |v: &Value| is_text(v) && names.iter().all(|n| field(&v.text(), n).is_some());
            has(w) && has(g)
        }
        Mark::Names => is_text(w) && is_text(g) && names_within(&w.text(), &g.text()),
        Mark::Fields(names) => {
            let (w, g) =
                if is_text(w) && is_text(g) { (w.text(), g.text()) } else { return false };
            names.iter().all(|name| field(&w, name).is_some() && field(&w, name) == field(&g, name))
        }
    }
}

/// The same reply without the texts after `summary`, `notes` and in `history`: what a server
/// says of its commands in sentences is its own.
fn without_sentences(value: &Value) -> Value {
    let list = |items: &[Value]| {
        let mut out: Vec<Value> = items.iter().map(without_sentences).collect();
        for at in 1..out.len() {
            if out[at - 1].is_bulk(&[b"summary", b"notes"]) {
                out[at] = Value::Bulk(Vec::new());
            } else if out[at - 1].is_bulk(&[b"complexity"]) {
                out[at] = order_of(&out[at]);
            } else if out[at - 1].is_bulk(&[b"history"]) {
                out[at] = versions_of(&out[at]);
            }
        }
        out
    };
    match value {
        Value::Array(v) => Value::Array(list(v)),
        Value::Set(v) => Value::Set(list(v)),
        Value::Map(v) => Value::Map(list(v)),
        other => other.clone(),
    }
}

/// The `O(…)` that a complexity begins with.
fn order_of(complexity: &Value) -> Value {
    let Value::Bulk(text) = complexity else { return complexity.clone() };
    let end = text.iter().position(|&byte| byte == b')').map_or(0, |at| at + 1);
    let is_order = text.starts_with(b"O(");
    Value::Bulk(if is_order { text[..end].to_vec() } else { Vec::new() })
}

/// The versions of a history: the first of each pair.
fn versions_of(history: &Value) -> Value {
    let (Value::Array(pairs) | Value::Set(pairs)) = history else { return history.clone() };
    let first = |pair: &Value| match pair {
        Value::Array(pair) if !pair.is_empty() => pair[0].clone(),
        other => other.clone(),
    };
    Value::Array(pairs.iter().map(first).collect())
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::Simple(_) | Value::Bulk(_) | Value::Verbatim(_))
}

/// The `(name, value)` pairs of a text of `name:value` lines or `name=value` words.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let by_line = text.contains("\r\n");
    let parts = text.split(move |c: char| if by_line { c == '\n' } else { c == ' ' || c == '\n' });
    parts.filter_map(|part| part.trim_end().split_once(['=', ':']))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    pairs(text).find(|(n, _)| *n == name).map(|(_, v)| v)
}

/// Whether the names of `stock` are a subsequence of those of `ours`.
fn names_within(stock: &str, ours: &str) -> bool {
    let mut ours = pairs(ours).map(|(n, _)| n);
    pairs(stock).all(|(name, _)| ours.any(|o| o == name))
}

/// An outcome's text, cut where nobody would read on.
fn brief(outcome: &Outcome) -> String {
    let text = format!("{outcome:?}");
    match text.char_indices().nth(1500) {
        Some((at, _)) => format!("{} … ({} bytes)", &text[..at], text.len()),
        None => text,
    }
}

fn parse(text: &str) -> Result<Vec<Case>, String> {
    let mut cases = vec![Case { name: "first".into(), resp2_only: false, steps: Vec::new() }];
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("==") {
            let resp2_only = name.contains("[resp2]");
            let name = name.replace("[resp2]", "").trim().to_string();
            cases.push(Case { name, resp2_only, steps: Vec::new() });
            continue;
        }
        let step = parse_step(number + 1, line).map_err(|why| format!("{}: {why}", number + 1))?;
        cases.last_mut().expect("never empty").steps.push(step);
    }
    Ok(cases)
}

fn parse_step(line: usize, text: &str) -> Result<Step, String> {
    let (connection, rest) = match text.strip_prefix('@') {
        Some(rest) => rest.split_once(' ').ok_or("a connection without a command")?,
        None => ("main", text),
    };
    let (mark, rest) = parse_mark(rest.trim_start())?;
    let action = parse_action(rest.trim_start())?;
    Ok(Step { line, text: text.to_string(), connection: connection.to_string(), mark, action })
}

fn parse_mark(text: &str) -> Result<(Mark, &str), String> {
    if let Some(rest) = text.strip_prefix("set:") {
        return Ok((Mark::Unordered, rest));
    }
    if let Some(rest) = text.strip_prefix("facts:") {
        return Ok((Mark::Facts, rest));
    }
    if let Some(rest) = text.strip_prefix("names:") {
        return Ok((Mark::Names, rest));
    }
    for (prefix, mark) in [("fields(", Mark::Fields as fn(_) -> _), ("has(", Mark::Has)] {
        if let Some(rest) = text.strip_prefix(prefix) {
            let (names, rest) = rest.split_once("):").ok_or("a list of names is not closed")?;
            return Ok((mark(names.split(',').map(|n| n.trim().to_string()).collect()), rest));
        }
    }
    if let Some(rest) = text.strip_prefix("~~ ") {
        return Ok((Mark::Kind, rest));
    }
    let Some(rest) = text.strip_prefix('~') else { return Ok((Mark::Exact, text)) };
    let (digits, rest) = rest.split_once(' ').ok_or("~ without a command")?;
    if digits.is_empty() {
        return Ok((Mark::Shape, rest));
    }
    let distance = digits.parse().map_err(|_| format!("~{digits} is no distance"))?;
    Ok((Mark::Within(distance), rest))
}

fn parse_action(text: &str) -> Result<Action, String> {
    let words = split_words(text)?;
    let first = words.first().ok_or("no command")?;
    let argument = || words.get(1).cloned().ok_or_else(|| format!("{text} needs an argument"));
    match first.as_slice() {
        b"!send" => Ok(Action::Send(argument()?)),
        b"!flood" => {
            let bytes = words.get(2).ok_or("!flood needs a count and bytes")?;
            Ok(Action::Send(bytes.repeat(number(&argument()?)?)))
        }
        b"!read" => Ok(Action::Read(1)),
        b"!skip" => Ok(Action::Read(number(&argument()?)?)),
        b"!eof" => Ok(Action::Eof),
        b"!sleep" => {
            let ms = u64::try_from(number(&argument()?)?).expect("a count fits");
            Ok(Action::Sleep(Duration::from_millis(ms)))
        }
        word if word.starts_with(b"!") => Err(format!("{text}: no such action")),
        _ => Ok(Action::Command(words)),
    }
}

fn number(word: &[u8]) -> Result<usize, String> {
    let text = String::from_utf8_lossy(word);
    text.parse().map_err(|_| format!("{text} is no count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(value: Value) -> Outcome {
        Outcome::Reply(value)
    }

    fn bulk(text: &str) -> Outcome {
        reply(Value::Bulk(text.into()))
    }

    #[test]
    fn each_mark_tells_equal_from_different() {
        let one = || reply(Value::Int(1));
        assert!(agree(&Mark::Exact, &one(), &one()));
        assert!(!agree(&Mark::Exact, &one(), &reply(Value::Int(2))));
        assert!(!agree(&Mark::Exact, &reply(Value::NilBulk), &reply(Value::NilArray)));
        assert!(agree(&Mark::Shape, &one(), &reply(Value::Int(2))));
        assert!(!agree(&Mark::Shape, &one(), &bulk("1")));
        assert!(agree(&Mark::Within(5), &one(), &reply(Value::Int(6))));
        assert!(!agree(&Mark::Within(5), &one(), &reply(Value::Int(7))));
        assert!(agree(&Mark::Names, &bulk("a=1 b=2"), &bulk("a=9 x=0 b=")));
        assert!(!agree(&Mark::Names, &bulk("a=1 b=2"), &bulk("b=1 a=2")));
        let fields = Mark::Fields(vec!["role".into()]);
        assert!(agree(&fields, &bulk("x:1\r\nrole:m\r\n"), &bulk("role:m\r\nx:2\r\n")));
        assert!(!agree(&fields, &bulk("role:m\r\n"), &bulk("role:s\r\n")));
        assert!(!agree(&fields, &bulk("a:m\r\n"), &bulk("a:m\r\n")), "an absent field is no match");
        assert!(agree(&Mark::Kind, &one(), &reply(Value::Int(2))));
        assert!(!agree(&Mark::Kind, &one(), &bulk("1")));
        let told = |name: &str, text: &str, n| {
            let word = |t: &str| Value::Bulk(t.into());
            reply(Value::Array(vec![word(name), word(text), Value::Int(n)]))
        };
        assert!(agree(&Mark::Facts, &told("summary", "a", 1), &told("summary", "b", 1)));
        assert!(!agree(&Mark::Facts, &told("summary", "a", 1), &told("summary", "a", 2)));
        assert!(!agree(&Mark::Facts, &told("since", "a", 1), &told("since", "b", 1)));
        let has = Mark::Has(vec!["role".into()]);
        assert!(agree(&has, &bulk("role:m\r\n"), &bulk("a:1\r\nrole:s\r\n")));
        assert!(!agree(&has, &bulk("role:m\r\n"), &bulk("a:1\r\n")));
        let list = |v: &[i64]| reply(Value::Array(v.iter().map(|n| Value::Int(*n)).collect()));
        assert!(agree(&Mark::Unordered, &list(&[1, 2]), &list(&[2, 1])));
        assert!(!agree(&Mark::Unordered, &list(&[1, 2]), &list(&[2, 2])));
    }

    #[test]
    fn a_script_that_cannot_be_read_is_refused() {
        assert!(parse("!jump 1").is_err());
        assert!(parse("GET \"a").is_err());
        assert!(parse("~x GET a").is_err());
        assert_eq!(parse("== a [resp2]\nGET x").unwrap()[1].name, "a");
    }
}
