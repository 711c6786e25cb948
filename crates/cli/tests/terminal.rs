//! The prompt on a terminal: a pseudo-terminal made by script(1), typed into and read back.

mod common;

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::{PATIENCE, Server, example};

/// A client on a terminal of its own.
struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
    screen: Receiver<Vec<u8>>,
    /// What was shown and not yet waited for.
    shown: String,
}

impl Terminal {
    fn start(server: &Server, args: &str) -> Terminal {
        // exec: some shells stay between, and take a Ctrl-C as their own end.
        let command = format!("exec {} -p {} {args}", example("cli").display(), server.port);
        let mut child = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .env("TERM", "xterm")
            .env("REDISCLI_HISTFILE", server.dir.join("history"))
            .env("REDISCLI_RCFILE", server.dir.join("rc"))
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script(1) must be installed for this test");
        let keys = child.stdin.take();
        let mut output = child.stdout.take().expect("it is piped");
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(got @ 1..) = output.read(&mut buf) {
                if sender.send(buf[..got].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal { child, keys, screen, shown: String::new() }
    }

    fn type_keys(&mut self, keys: &str) {
        let stdin = self.keys.as_mut().expect("it is open until the end");
        stdin.write_all(keys.as_bytes()).expect("the terminal takes keys");
        stdin.flush().expect("the terminal takes keys");
    }

    /// Waits until `text` is shown; what was shown up to it is used up.
    fn expect(&mut self, text: &str) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.shown.find(text) {
                self.shown.drain(..at + text.len());
                return;
            }
            let left = give_up.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{text:?} is not shown; there is {:?}", self.shown),
            }
        }
    }

    /// Types a command and waits for `text`.
    fn enter(&mut self, line: &str, text: &str) {
        self.type_keys(&format!("{line}\r"));
        self.expect(text);
    }

    /// Types a command, waits for its reply and then for the next prompt: keys typed earlier
    /// would meet a terminal that is not yet the editor's.
    fn check(&mut self, line: &str, reply: &str) {
        self.enter(line, reply);
        self.expect("> ");
    }

    fn exit_code(mut self) -> Option<i32> {
        let give_up = Instant::now() + PATIENCE;
        while Instant::now() < give_up {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        panic!("it does not end; there is {:?}", self.shown);
    }
}

#[test]
fn the_prompt_says_where_we_are() {
    let server = Server::start("prompt");
    let port = server.port;
    let mut terminal = Terminal::start(&server, "");
    terminal.expect(&format!("127.0.0.1:{port}> "));
    terminal.check("set k \"a\\nb\"", "OK\r\n");
    terminal.check("get k", "\"a\\nb\"\r\n");
    terminal.enter("select 3", &format!("127.0.0.1:{port}[3]> "));
    terminal.enter("multi", &format!("127.0.0.1:{port}[3](TX)> "));
    terminal.check("get k", "QUEUED\r\n");
    terminal.enter("exec", "1) (nil)\r\n");
    terminal.expect(&format!("127.0.0.1:{port}[3]> "));
    terminal.check("3 ping", "PONG\r\nPONG\r\nPONG\r\n");
    terminal.check("get \"x", "Invalid argument(s)\r\n");
    terminal.check("nosuch", "(error) ERR unknown command 'nosuch'");
    terminal.check("debug sleep 0.6", "OK\r\n(");
    // A lost connection is made again, database included.
    terminal.check("client kill type normal skipme no", "(integer) 1\r\n");
    terminal.enter("ping", "Error: ");
    terminal.expect("not connected> ");
    terminal.enter("ping", "PONG\r\n");
    terminal.expect(&format!("127.0.0.1:{port}[3]> "));
    terminal.enter(
        "connect 127.0.0.1 1",
        "Could not connect to Redis at 127.0.0.1:1: Connection refused",
    );
    terminal.expect("not connected> ");
    terminal.type_keys("quit\r");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn history_is_kept_and_secrets_are_not() {
    let server = Server::start("history");
    let file = server.dir.join("history");
    std::fs::write(&file, "echo from-before\n").expect("the folder is ours");
    let mut terminal = Terminal::start(&server, "");
    terminal.expect("> ");
    terminal.type_keys("\x1b[A");
    terminal.expect("echo from-before");
    terminal.check("", "\"from-before\"\r\n");
    terminal.check("auth secret", "(error)");
    terminal.check("echo one", "\"one\"\r\n");
    terminal.check("echo one", "\"one\"\r\n");
    terminal.type_keys("\x04");
    assert_eq!(terminal.exit_code(), Some(0));
    let kept = std::fs::read_to_string(&file).expect("it is kept");
    assert_eq!(kept, "echo from-before\necho one\n");
}

#[test]
fn hints_and_completion_come_from_the_server() {
    let server = Server::start("hints");
    let mut terminal = Terminal::start(&server, "");
    terminal.expect("> ");
    terminal.type_keys("getrange k ");
    terminal.expect("\x1b[90mstart end\x1b[0m");
    // The line is shown anew while it is typed, with the prompt.
    terminal.type_keys("\x15:set nohints\r");
    terminal.expect("\r\n");
    terminal.expect("> ");
    terminal.type_keys("getr\t");
    terminal.expect("GETRANGE");
    terminal.check(" k 0 1", "\"\"\r\n");
    terminal.check("help getrange", "GETRANGE\x1b[0m \x1b[90mkey start end\x1b[0m");
    terminal.check("help", "\"quit\" ends");
    // Ctrl-C leaves the prompt.
    terminal.type_keys("\x03");
    assert_eq!(terminal.exit_code(), Some(0));
    std::fs::write(server.dir.join("rc"), ":set nohints\n:set wrong\n").expect("ours");
    let mut terminal = Terminal::start(&server, "");
    terminal.expect(".redisclirc: unknown redis-cli preference 'wrong'");
    terminal.expect("> ");
    terminal.type_keys("getrange k ");
    terminal.expect("getrange k ");
    terminal.check("0 1", "\"\"\r\n");
    assert!(!terminal.shown.contains("start end"));
    terminal.type_keys("\x04");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn hints_come_with_a_later_connection() {
    let server = Server::start("later");
    let mut terminal = Terminal::start(&server, "-p 1");
    terminal.expect("Could not connect to Redis at 127.0.0.1:1: Connection refused");
    terminal.expect("not connected> ");
    terminal.enter(
        &format!("connect 127.0.0.1 {}", server.port),
        &format!("127.0.0.1:{}> ", server.port),
    );
    terminal.type_keys("getrange k ");
    terminal.expect("\x1b[90mstart end\x1b[0m");
    terminal.check("0 1", "\"\"\r\n");
    terminal.type_keys("\x04");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn ctrl_c_leaves_endless_replies() {
    let server = Server::start("endless");
    let mut other = server.client();
    let mut terminal = Terminal::start(&server, "");
    terminal.expect("> ");
    terminal.enter("subscribe news", "Reading messages... (press Ctrl-C to quit)\r\n");
    terminal.expect("3) (integer) 1\r\n");
    other.expect_ok(&["PUBLISH", "news", "hello"]).expect("it is published");
    terminal.expect("3) \"hello\"\r\n");
    terminal.type_keys("\x03");
    terminal.expect("> ");
    terminal.enter("monitor", "OK\r\n");
    other.expect_ok(&["ECHO", "watched"]).expect("it is echoed");
    terminal.expect("\"ECHO\" \"watched\"");
    terminal.type_keys("\x03");
    terminal.expect("> ");
    terminal.check("ping", "PONG\r\n");
    terminal.type_keys("exit\r");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn a_password_is_typed_unseen() {
    let server = Server::start("askpass");
    server.client().expect_ok(&["CONFIG", "SET", "requirepass", "sesame"]).expect("it is set");
    let mut terminal = Terminal::start(&server, "--askpass --no-auth-warning ping");
    terminal.expect("Please input password: ");
    terminal.enter("sesame", "PONG");
    assert!(!terminal.shown.contains("sesame"));
    assert_eq!(terminal.exit_code(), Some(0));
}
