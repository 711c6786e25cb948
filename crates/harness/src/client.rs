//! One blocking connection. Reads time out after [`crate::PATIENCE`], so that a server that
//! does not answer fails a test and never hangs it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::{PATIENCE, Value, split_words};

/// A connection to a server on this machine.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<Wire>,
    port: u16,
}

#[derive(Debug)]
enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.read(buf),
            Wire::Unix(stream) => stream.read(buf),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(stream) => stream.write(buf),
            Wire::Unix(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire {
    fn set_limits(&self, limit: Duration) -> io::Result<()> {
        match self {
            Wire::Tcp(stream) => {
                stream.set_read_timeout(Some(limit))?;
                stream.set_write_timeout(Some(limit))
            }
            Wire::Unix(stream) => {
                stream.set_read_timeout(Some(limit))?;
                stream.set_write_timeout(Some(limit))
            }
        }
    }
}

impl Client {
    /// Connects to 127.0.0.1 at `port`.
    pub fn try_connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Client::over(Wire::Tcp(stream), port)
    }

    /// Connects to the unix socket at `path`; panics when nobody listens.
    #[track_caller]
    pub fn connect_unix(path: &str) -> Client {
        let stream = UnixStream::connect(path).unwrap_or_else(|e| panic!("connect to {path}: {e}"));
        Client::over(Wire::Unix(stream), 0).expect("a socket takes limits")
    }

    fn over(wire: Wire, port: u16) -> io::Result<Client> {
        wire.set_limits(PATIENCE)?;
        Ok(Client { stream: BufReader::with_capacity(1 << 16, wire), port })
    }

    /// As [`Client::try_connect`]; panics when nobody listens.
    #[track_caller]
    pub fn connect(port: u16) -> Client {
        Client::try_connect(port).unwrap_or_else(|e| panic!("connect to port {port}: {e}"))
    }

    /// How long a read may take from now on.
    pub fn set_patience(&mut self, limit: Duration) {
        self.stream.get_ref().set_limits(limit).expect("a limit above zero");
    }

    /// Says that no more will be sent; answers can still be read.
    pub fn end_sending(&mut self) {
        let _ = match self.stream.get_ref() {
            Wire::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Wire::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Sends one command and does not wait.
    pub fn send(&mut self, args: &[impl AsRef<[u8]>]) -> io::Result<()> {
        self.send_raw(&encode(args))
    }

    /// Reads one reply.
    pub fn read(&mut self) -> io::Result<Value> {
        let line = self.read_line()?;
        let (kind, rest) = line.split_first().ok_or_else(|| bad("an empty line", &line))?;
        let bytes = rest.to_vec();
        Ok(match kind {
            b'+' => Value::Simple(bytes),
            b'-' => Value::Error(bytes),
            b':' => Value::Int(number(&line)?),
            b'_' => Value::Null,
            b',' => Value::Double(bytes),
            b'(' => Value::BigNumber(bytes),
            b'#' => Value::Bool(rest == b"t"),
            b'$' => match number(&line)? {
                -1 => Value::NilBulk,
                n => Value::Bulk(self.read_bulk(n)?),
            },
            b'=' => Value::Verbatim(self.read_bulk(number(&line)?)?),
            b'*' => match number(&line)? {
                -1 => Value::NilArray,
                n => Value::Array(self.read_many(n)?),
            },
            b'~' => Value::Set(self.read_many(number(&line)?)?),
            b'>' => Value::Push(self.read_many(number(&line)?)?),
            b'%' => Value::Map(self.read_many(number(&line)? * 2)?),
            _ => return Err(bad("an unknown kind", &line)),
        })
    }

    /// Sends one command and reads its reply.
    pub fn try_cmd(&mut self, args: &[impl AsRef<[u8]>]) -> io::Result<Value> {
        self.send(args)?;
        self.read()
    }

    /// Sends one command and reads its reply; panics when the connection fails.
    #[track_caller]
    pub fn cmd(&mut self, args: &[impl AsRef<[u8]>]) -> Value {
        self.try_cmd(args).unwrap_or_else(|e| {
            let shown = args.iter().map(|a| a.as_ref().escape_ascii().to_string());
            panic!("{} at port {}: {e}", shown.collect::<Vec<_>>().join(" "), self.port)
        })
    }

    /// As [`Client::cmd`], with the words of `line` split as `redis-cli` does.
    #[track_caller]
    pub fn run(&mut self, line: &str) -> Value {
        self.cmd(&split_words(line).expect("a test's own line"))
    }

    /// Sends all `lines` at once, then reads all replies.
    #[track_caller]
    pub fn pipeline(&mut self, lines: &[&str]) -> Vec<Value> {
        let bytes: Vec<u8> = lines
            .iter()
            .flat_map(|line| encode(&split_words(line).expect("a test's own line")))
            .collect();
        self.send_raw(&bytes).expect("a live connection");
        lines.iter().map(|_| self.read().expect("a live connection")).collect()
    }

    /// The value of one `name:value` line of INFO; empty when there is none.
    #[track_caller]
    pub fn info(&mut self, name: &str) -> String {
        let text = self.cmd(&["INFO", "everything"]).text();
        let line = text.lines().find(|l| l.split_once(':').is_some_and(|(n, _)| n == name));
        line.and_then(|l| l.split_once(':')).map(|(_, v)| v.to_string()).unwrap_or_default()
    }

    /// An INFO field as a number; panics when it is none.
    #[track_caller]
    pub fn info_number(&mut self, name: &str) -> i64 {
        let value = self.info(name);
        value.parse().unwrap_or_else(|_| panic!("INFO {name} is {value:?}, not a number"))
    }

    /// The digest of the whole data set.
    #[track_caller]
    pub fn digest(&mut self) -> String {
        self.cmd(&["DEBUG", "DIGEST"]).text()
    }

    /// All bytes until the server closes; an error when it does not in time.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            // A server that closes with unread input of ours resets the connection.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Ok(bytes),
            Err(e) => Err(e),
            Ok(_) => Ok(bytes),
        }
    }

    /// One line without its `\r\n` (or bare `\n`).
    pub fn read_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the server"));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(line)
    }

    /// Exactly `count` bytes.
    pub fn read_exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn read_bulk(&mut self, length: i64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(length).map_err(|_| bad("a negative length", b"$"))?;
        let mut bytes = self.read_exact(length + 2)?;
        bytes.truncate(length);
        Ok(bytes)
    }

    fn read_many(&mut self, count: i64) -> io::Result<Vec<Value>> {
        (0..count).map(|_| self.read()).collect()
    }
}

/// One command in the request format.
pub(crate) fn encode(args: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn number(line: &[u8]) -> io::Result<i64> {
    std::str::from_utf8(&line[1..])
        .ok()
        .and_then(|t| t.parse().ok())
        .ok_or_else(|| bad("not a number", line))
}

fn bad(what: &str, line: &[u8]) -> io::Error {
    let text = format!("{what} in a reply: {}", line.escape_ascii());
    io::Error::new(io::ErrorKind::InvalidData, text)
}
