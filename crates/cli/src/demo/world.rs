//! The servers, the screen and the time: what every step of the demonstration works with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::ServerCommand;
use super::facts::Facts;
use super::node::{Node, TempDir};
use super::screen::{Row, Screen};
use super::writer::Writer;
use crate::Stop;

/// How often facts are asked for while something is waited for.
const POLL_PAUSE: Duration = Duration::from_millis(50);
/// How often the picture is drawn.
const DRAW_PAUSE: Duration = Duration::from_millis(200);

/// Why the demonstration ends before its last step.
#[derive(Debug)]
pub(super) enum End {
    /// Something that was to be shown did not happen.
    Failed(String),
    /// Ctrl-C or the end of the time; the text says what was to come next.
    Stopped(String),
    /// Standard output is closed.
    Print(Stop),
}

impl From<Stop> for End {
    fn from(stop: Stop) -> End {
        End::Print(stop)
    }
}

/// Everything that runs.
pub(super) struct World {
    command: ServerCommand,
    pub(super) nodes: Vec<Node>,
    writer: Option<Writer>,
    /// Writes of writers that have ended.
    writes_before: u64,
    pub(super) screen: Screen,
    stop: Arc<AtomicBool>,
    deadline: Option<Instant>,
    last_draw: Instant,
    // The last field: it is removed when the servers in it have ended.
    dir: TempDir,
}

impl World {
    pub(super) fn new(run_for: Option<Duration>, command: ServerCommand) -> Result<World, End> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&stop))
                .map_err(|error| End::Failed(format!("cannot watch for Ctrl-C: {error}")))?;
        }
        let now = Instant::now();
        Ok(World {
            command,
            nodes: Vec::new(),
            writer: None,
            writes_before: 0,
            screen: Screen::new(),
            stop,
            deadline: run_for.map(|time| now + time),
            last_draw: now,
            dir: TempDir::new().map_err(End::Failed)?,
        })
    }

    /// Starts a server; returns its index.
    pub(super) fn start_node(
        &mut self,
        name: &'static str,
        master: Option<usize>,
    ) -> Result<usize, End> {
        self.check_stop(&format!("starting {name}"))?;
        let master = master.map(|index| (index, self.nodes[index].port));
        let node = Node::start(&self.command, &self.dir.path, name, master).map_err(End::Failed)?;
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    /// Starts the stream of writes to the node.
    pub(super) fn start_writer(&mut self, index: usize) {
        self.writer = Some(Writer::start(self.nodes[index].port));
    }

    /// Ends the stream of writes; all of them are then confirmed.
    pub(super) fn stop_writer(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            writer.stop();
            self.writes_before += writer.writes();
        }
    }

    pub(super) fn writes(&self) -> u64 {
        self.writes_before + self.writer.as_ref().map_or(0, Writer::writes)
    }

    /// What a node says about itself; a node that does not answer ends the demonstration.
    pub(super) fn facts(&mut self, index: usize) -> Result<Facts, End> {
        let node = &mut self.nodes[index];
        node.facts().map_err(|error| End::Failed(format!("{} does not answer: {error}", node.name)))
    }

    /// Sends a command to a node; an error reply ends the demonstration.
    pub(super) fn call(
        &mut self,
        index: usize,
        args: &[&str],
    ) -> Result<tandem_resp::reply::ReplyValue, End> {
        let node = &mut self.nodes[index];
        let name = node.name;
        let reply = match node.call(args) {
            Ok(reply) => reply,
            Err(error) => return Err(End::Failed(format!("{} on {name}: {error}", args[0]))),
        };
        match reply.as_error() {
            Some(text) => {
                let text = String::from_utf8_lossy(text);
                Err(End::Failed(format!("{} on {name}: {text}", args[0])))
            }
            None => Ok(reply),
        }
    }

    /// Waits until `happened`, drawing meanwhile; `what` names it when it does not happen in
    /// time. Returns how long it took.
    pub(super) fn wait_until(
        &mut self,
        what: &str,
        patience: Duration,
        mut happened: impl FnMut(&mut World) -> Result<bool, End>,
    ) -> Result<Duration, End> {
        let start = Instant::now();
        while !happened(self)? {
            self.check_stop(what)?;
            if start.elapsed() > patience {
                let seconds = patience.as_secs();
                return Err(End::Failed(format!("not within {seconds} seconds: {what}")));
            }
            self.draw_now_and_then()?;
            std::thread::sleep(POLL_PAUSE.min(start.elapsed() / 4 + Duration::from_millis(1)));
        }
        Ok(start.elapsed())
    }

    /// Lets time pass, drawing; `next` is what comes afterwards.
    pub(super) fn linger(&mut self, time: Duration, next: &str) -> Result<(), End> {
        let start = Instant::now();
        while start.elapsed() < time {
            self.check_stop(next)?;
            self.draw_now_and_then()?;
            std::thread::sleep(POLL_PAUSE);
        }
        Ok(())
    }

    /// Draws until Ctrl-C or the end of the time.
    pub(super) fn stay(&mut self) -> Result<(), End> {
        while self.check_stop("").is_ok() {
            self.draw_now_and_then()?;
            std::thread::sleep(POLL_PAUSE);
        }
        Ok(())
    }

    /// `Stopped` when Ctrl-C was pressed or the time is over.
    fn check_stop(&self, next: &str) -> Result<(), End> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(End::Stopped(format!("interrupted; next was: {next}")));
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => {
                Err(End::Stopped(format!("the time is over; next was: {next}")))
            }
            _ => Ok(()),
        }
    }

    /// Adds a line to the story.
    pub(super) fn say(&mut self, line: &str) -> Result<(), End> {
        Ok(self.screen.say(line)?)
    }

    /// Puts the picture of this moment into the story.
    pub(super) fn keep_picture(&mut self) -> Result<(), End> {
        let rows = self.rows();
        let writes = self.writes();
        Ok(self.screen.keep(&rows, writes)?)
    }

    fn draw_now_and_then(&mut self) -> Result<(), End> {
        if self.last_draw.elapsed() >= DRAW_PAUSE {
            let rows = self.rows();
            let writes = self.writes();
            self.screen.draw(&rows, writes)?;
            self.last_draw = Instant::now();
        }
        Ok(())
    }

    /// All servers now, the last started first asked, so that the master is never behind.
    fn rows(&mut self) -> Vec<Row> {
        let mut rows: Vec<Row> = self
            .nodes
            .iter_mut()
            .rev()
            .map(|node| Row {
                name: node.name,
                port: node.port,
                master: node.master,
                facts: node.facts().ok(),
            })
            .collect();
        rows.reverse();
        rows
    }

    /// Stops the writes and the servers, replicas before their masters, and says so.
    pub(super) fn stop(mut self) -> Result<(), End> {
        self.stop_writer();
        let count = self.nodes.len();
        while let Some(mut node) = self.nodes.pop() {
            node.stop();
        }
        let path = self.dir.path.display().to_string();
        drop(self.dir);
        Ok(self.screen.say(&format!("Stopped {count} servers and removed {path}."))?)
    }
}
