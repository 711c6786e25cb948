//! A stock server for tests, and where our own programs are.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tandem_cli::client::{Address, Client, connect_when_ready};
pub(crate) use tandem_harness::{PATIENCE, free_port};

/// A stock redis-server with an empty data set and a folder of its own; stopped on drop.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) dir: PathBuf,
}

impl Server {
    /// Starts one. The test fails when `redis-server` is not installed.
    pub(crate) fn start(name: &str) -> Server {
        Server::start_with(name, &[])
    }

    /// Starts one with more arguments.
    pub(crate) fn start_with(name: &str, args: &[&str]) -> Server {
        let dir = std::env::temp_dir().join(format!("tandem-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder for the test");
        let port = free_port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            // A growing table would show its keys in another order from one moment to the next.
            .args(["--enable-debug-command", "yes", "--activerehashing", "no"])
            .args(["--unixsocket", "s.sock", "--dir"])
            .arg(&dir)
            .args(args)
            .current_dir(&dir)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server 7.0.15 must be installed for this test");
        let server = Server { child, port, dir };
        server.client();
        server
    }

    pub(crate) fn client(&self) -> Client {
        let address = Address::Tcp("127.0.0.1".to_owned(), i32::from(self.port));
        connect_when_ready(&address, PATIENCE).expect("the server answers")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The example binary `name`, which cargo builds along with the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("we run");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("target/PROFILE/deps/TEST");
    let path = profile.join("examples").join(name);
    assert!(path.exists(), "{} is built together with the tests", path.display());
    path
}
