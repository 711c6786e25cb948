//! The Python client's own examples, against every kind of server: `tests/python/client.py`.
//!
//! The client comes from `target/python` (`.ci/run` puts it there: `pip install --target`), or
//! from wherever Python finds a module `redis`.

use std::path::Path;
use std::process::Command;

use tandem_harness::{Kind, Server};

use crate::pairs::for_each_kind;

for_each_kind!(the_python_client_works);

fn the_python_client_works(kind: &Kind) {
    let server = Server::start(kind, &[]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new("python3")
        .arg(root.join("tests/python/client.py"))
        .arg(server.port().to_string())
        .env("PYTHONPATH", root.join("target/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python3 is needed by this test and was not found");
    assert!(
        output.status.success(),
        "the client's examples fail (is the module `redis` installed? see .ci/run):\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
