//! One user's conversation with a server: the connection, what it was told (password,
//! database, protocol), and what must be told again after it broke.

use std::sync::Arc;

use tandem_resp::reply::ReplyValue;

use crate::client::{Client, ClientError};
use crate::format::{Output, invalidation_text, reply_text};
use crate::interrupt::Interrupt;
use crate::options::{Options, Resp3};
use crate::text::{complain, flush, leading_int, put};
use crate::{Step, Stop};

/// What happens to messages that the server sends on its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushes {
    Drop,
    Show,
    /// They are what the user waits for: SUBSCRIBE in RESP3.
    AsReplies,
}

/// What kind of reply came last, as far as it changes what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    Error,
    Nil,
    Other,
}

/// How [`Session::connect`] goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connect {
    /// Keep a connection that exists.
    IfNeeded,
    /// The same, and say nothing when the server cannot be reached.
    Quietly,
    /// Start anew.
    Again,
}

/// The connection and its state.
pub(crate) struct Session {
    pub(crate) options: Options,
    pub(crate) client: Option<Client>,
    /// The connection failed in the middle of something.
    pub(crate) broken: bool,
    /// The last failure's text.
    error_text: String,
    /// The database that the server has selected for us.
    pub(crate) db: i32,
    pub(crate) in_multi: bool,
    pub(crate) db_before_multi: i32,
    pub(crate) pushes: Pushes,
    pub(crate) last: Last,
    /// Lines are read and the program survives errors.
    pub(crate) interactive: bool,
    /// SHUTDOWN was sent: a closed connection is what was asked for.
    pub(crate) shutdown: bool,
    /// A reply that does not end is being read.
    pub(crate) endless: bool,
    /// A cluster node sent us to another one: the command goes out again.
    pub(crate) reissue: bool,
    /// … and wants to hear ASKING first.
    pub(crate) send_asking: bool,
    pub(crate) interrupt: Option<Arc<Interrupt>>,
}

impl Session {
    pub(crate) fn new(options: Options) -> Session {
        Session {
            options,
            client: None,
            broken: false,
            error_text: String::new(),
            db: 0,
            in_multi: false,
            db_before_multi: 0,
            pushes: Pushes::Drop,
            last: Last::Other,
            interactive: false,
            shutdown: false,
            endless: false,
            reissue: false,
            send_asking: false,
            interrupt: None,
        }
    }

    /// The prompt's text.
    pub(crate) fn prompt(&self) -> String {
        if self.client.is_none() {
            return "not connected> ".to_owned();
        }
        let options = &self.options;
        let mut prompt = match &options.socket {
            Some(path) => format!("redis {}", path.display()),
            None if options.host.contains(':') => format!("[{}]:{}", options.host, options.port),
            None => format!("{}:{}", options.host, options.port),
        };
        if self.db != 0 {
            prompt.push_str(&format!("[{}]", self.db));
        }
        if self.in_multi {
            prompt.push_str("(TX)");
        }
        prompt.push_str("> ");
        prompt
    }

    /// Connects and tells the server password, database and protocol. Failures are shown.
    pub(crate) fn connect(&mut self, how: Connect) -> Step<()> {
        if self.client.is_none() || how == Connect::Again {
            if self.client.take().is_some() {
                self.db = 0;
                self.in_multi = false;
            }
            self.broken = false;
            self.error_text.clear();
            self.pushes = Pushes::Drop;
            let address = self.options.address(self.reissue);
            match self.options.dial(&address) {
                Ok(client) => self.client = Some(client),
                Err(ClientError::Tls(text)) => {
                    complain(format!("Could not negotiate a TLS connection: {text}"));
                    return Err(Stop::Failed);
                }
                Err(error) => {
                    if how != Connect::Quietly {
                        complain(format!("Could not connect to Redis at {address}: {error}"));
                    }
                    return Err(Stop::Failed);
                }
            }
            self.authenticate()?;
            self.select_db()?;
            self.switch_protocol()?;
        }
        if self.options.show_pushes {
            self.pushes = Pushes::Show;
        }
        Ok(())
    }

    /// Connects, or ends the program.
    pub(crate) fn connect_or_exit(&mut self) -> Step<()> {
        self.connect(Connect::IfNeeded).map_err(|_| Stop::Exit(1))
    }

    /// Starts anew when there is no usable connection.
    pub(crate) fn ensure_connected(&mut self) -> Step<()> {
        if self.client.is_none() || self.broken || self.reissue {
            self.connect(Connect::Again)?;
        }
        Ok(())
    }

    /// Shows why the connection failed, if there is one to speak of.
    pub(crate) fn complain_about_connection(&self) {
        if self.client.is_some() {
            complain(format!("Error: {}", self.error_text));
        }
    }

    /// Sends a command of our own and reads its reply; a failure is shown.
    pub(crate) fn ask<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Step<ReplyValue> {
        let Some(client) = &mut self.client else { return Err(Stop::Failed) };
        client.call(args).map_err(|error| {
            complain("\nI/O error");
            self.remember(&error);
            Stop::Failed
        })
    }

    fn remember(&mut self, error: &ClientError) {
        self.error_text = error.to_string();
        self.broken = true;
    }

    fn authenticate(&mut self) -> Step<()> {
        let Some(auth) = self.options.auth.clone() else { return Ok(()) };
        let reply = match self.options.user.clone() {
            Some(user) => self.ask(&[b"AUTH".to_vec(), user, auth])?,
            None => self.ask(&[b"AUTH".to_vec(), auth])?,
        };
        refused(&reply, "AUTH")
    }

    /// Selects the wanted database, when it is not selected already.
    pub(crate) fn select_db(&mut self) -> Step<()> {
        let wanted = self.options.db;
        if wanted == self.db {
            return Ok(());
        }
        let reply = self.ask(&["SELECT", &wanted.to_string()])?;
        refused(&reply, &format!("SELECT {wanted}"))?;
        self.db = wanted;
        Ok(())
    }

    fn switch_protocol(&mut self) -> Step<()> {
        if self.options.resp3 == Resp3::No || self.options.resp2 {
            return Ok(());
        }
        let reply = self.ask(&["HELLO", "3"])?;
        match (refused(&reply, "HELLO 3"), self.options.resp3) {
            (Err(stop), Resp3::Asked) => Err(stop),
            _ => Ok(()),
        }
    }

    /// Reads a reply and shows it. `verbatim`: see [`reply_text`].
    pub(crate) fn read_reply(&mut self, verbatim: bool) -> Step<()> {
        let reply = match self.next_reply() {
            Ok(reply) => reply,
            Err(error) => return self.reading_failed(&error),
        };
        let plain = reply.plain();
        self.last = match plain {
            ReplyValue::Error(_) => Last::Error,
            ReplyValue::Nil => Last::Nil,
            _ => Last::Other,
        };
        if let ReplyValue::Error(text) = plain {
            if self.options.cluster && self.follow_redirection(text)? {
                return Ok(());
            }
            if self.options.error_exit && !self.interactive {
                complain(text);
                return Err(Stop::Exit(1));
            }
        }
        put(reply_text(&reply, self.options.output, verbatim, &self.options.delimiters))?;
        flush()
    }

    /// The next reply, after what was pushed before it.
    fn next_reply(&mut self) -> Result<ReplyValue, ClientError> {
        loop {
            let client = self.client.as_mut().ok_or(ClientError::Closed)?;
            match (client.read_reply()?, self.pushes) {
                (ReplyValue::Push(_), Pushes::Drop) => {}
                (ReplyValue::Push(items), Pushes::Show) => self.show_push(items),
                (reply, _) => return Ok(reply),
            }
        }
    }

    fn show_push(&self, items: Vec<ReplyValue>) {
        let stale_keys = match self.options.output {
            Output::Standard => invalidation_text(&items),
            _ => None,
        };
        let text = stale_keys.unwrap_or_else(|| {
            let push = ReplyValue::Push(items);
            reply_text(&push, self.options.output, false, &self.options.delimiters)
        });
        // The reply that follows meets the same closed pipe and ends the program.
        let _ = put(text);
    }

    /// Decides what a failure to read means: often it is what was asked for.
    fn reading_failed(&mut self, error: &ClientError) -> Step<()> {
        if self.interrupt.as_ref().is_some_and(|interrupt| interrupt.take_cut()) {
            self.endless = false;
            return self.connect(Connect::Again);
        }
        if self.shutdown {
            self.client = None;
            return Ok(());
        }
        self.remember(error);
        if self.interactive && error.peer_is_gone() {
            return Err(Stop::Failed);
        }
        self.complain_about_connection();
        Err(Stop::Exit(1))
    }

    /// Obeys `MOVED slot host:port` and `ASK slot host:port`; false for other errors.
    fn follow_redirection(&mut self, text: &[u8]) -> Step<bool> {
        let text = String::from_utf8_lossy(text).into_owned();
        let ask = text.starts_with("ASK ");
        if !ask && !text.starts_with("MOVED ") {
            return Ok(false);
        }
        let mut words = text.split(' ').skip(1);
        let (Some(slot), Some(target)) = (words.next(), words.next()) else { return Ok(false) };
        let Some((host, port)) = target.rsplit_once(':') else { return Ok(false) };
        // An empty host means: the one that you are talking to.
        if !host.is_empty() {
            self.options.host = host.to_owned();
        }
        self.options.port = leading_int(port.as_bytes());
        if self.interactive {
            put(format!(
                "-> Redirected to slot [{slot}] located at {}:{}\n",
                self.options.host, self.options.port
            ))?;
        }
        self.reissue = true;
        self.send_asking = ask;
        Ok(true)
    }
}

/// Shows a refusal as a failure of `command`.
pub(crate) fn refused(reply: &ReplyValue, command: &str) -> Step<()> {
    match reply.as_error() {
        Some(text) => {
            complain([command.as_bytes(), b" failed: ", text].concat());
            Err(Stop::Failed)
        }
        None => Ok(()),
    }
}
