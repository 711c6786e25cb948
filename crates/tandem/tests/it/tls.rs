//! TLS with stock Redis at the other end: `redis-cli --tls`, and replicas over `tls-replication`.
//! The authority and its certificates are made anew for each test.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tandem_harness::{Kind, Server, wait_until};

use crate::{redis, tandem, wait_same_data};

/// An authority, and a certificate of its own, in `folder`.
fn lay_certificates(folder: &Path) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "authority of a test");
    let key = rcgen::KeyPair::generate().expect("a key");
    let authority = params.self_signed(&key).expect("a certificate");
    let issuer = rcgen::Issuer::new(params, key);
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("our own folder is writable");
    };
    write("ca.crt", &authority.pem());
    for name in ["a", "b"] {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let cert = params.signed_by(&key, &issuer).expect("a certificate");
        write(&format!("{name}.crt"), &cert.pem());
        write(&format!("{name}.key"), &key.serialize_pem());
    }
}

struct Secure {
    server: Server,
    port: u16,
}

/// A server with `port` and `tls-port`.
fn start(kind: &Kind, more: &[&str]) -> Secure {
    let port = tandem_harness::free_port();
    let text = port.to_string();
    // Relative names: `dir` is the server's folder.
    let mut args = vec!["--tls-port", &text, "--tls-cert-file", "a.crt", "--tls-key-file", "a.key"];
    args.extend(["--tls-ca-cert-file", "ca.crt"]);
    args.extend(more);
    Secure { server: Server::start_on(kind, &args, lay_certificates), port }
}

impl Secure {
    /// What redis-cli says over TLS, with a certificate or without.
    fn cli(&self, with_certificate: bool, words: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &self.port.to_string(), "--tls", "--cacert", &self.server.file("ca.crt")]);
        if with_certificate {
            cli.args(["--cert", &self.server.file("b.crt"), "--key", &self.server.file("b.key")]);
        }
        let output = cli.args(words).output().expect("redis-cli is installed");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}

#[test]
fn clients_need_the_certificate_that_is_asked_for() {
    let secure = start(&tandem(2), &[]);
    assert_eq!(secure.cli(true, &["PING"]), "PONG");
    assert!(secure.cli(false, &["PING"]).contains("Error"));
    secure.server.wait_for_log("Error accepting a client connection: ");
    for (demand, without) in [("optional", true), ("no", true), ("yes", false)] {
        assert_eq!(secure.cli(true, &["CONFIG", "SET", "tls-auth-clients", demand]), "OK");
        assert_eq!(secure.cli(false, &["PING"]) == "PONG", without, "{demand}");
    }
    let info = secure.cli(true, &["CLIENT", "INFO"]);
    assert!(info.contains(&format!("laddr=127.0.0.1:{}", secure.port)), "{info}");
}

#[test]
fn bad_files_leave_the_old_ones_in_force() {
    let secure = start(&tandem(2), &[]);
    let mut c = secure.server.client();
    let error = c.run("CONFIG SET tls-cert-file b.crt").error().expect("files that do not fit");
    assert!(error.contains("Unable to update TLS configuration. Check server logs."), "{error}");
    secure.server.wait_for_log("Failed to load private key: a.key: ");
    assert_eq!(c.run("CONFIG GET tls-cert-file").items()[1].text(), "a.crt");
    assert!(
        c.run("CONFIG SET tls-ciphers AES128-SHA")
            .error()
            .expect("CBC")
            .contains("Unable to update TLS")
    );
    secure.server.wait_for_log("no cipher match (there are: ECDHE-");
    assert!(
        c.run("CONFIG SET tls-key-file nowhere")
            .error()
            .expect("no file")
            .contains("Unable to update TLS")
    );
    assert_eq!(secure.cli(true, &["PING"]), "PONG");
    c.run("CONFIG SET tls-cert-file b.crt tls-key-file b.key").ok();
    c.run("CONFIG SET tls-protocols TLSv1.2").ok();
    c.run("CONFIG SET tls-session-caching no").ok();
    assert_eq!(secure.cli(true, &["PING"]), "PONG");
    c.run("CONFIG SET tls-port 0").ok();
    assert!(secure.cli(true, &["PING"]).contains("refused"));
    c.cmd(&["CONFIG", "SET", "tls-port", &secure.port.to_string()]).ok();
    assert_eq!(secure.cli(true, &["PING"]), "PONG");
}

#[test]
fn a_server_without_a_certificate_does_not_start() {
    let folder = tandem_harness::Folder::new();
    let args = ["--port", "0", "--tls-port", "1"];
    let (code, output) = Server::run_in_vain(&tandem(1), &folder, &args);
    assert_eq!(code, Some(1));
    assert!(output.contains("No tls-cert-file configured!"), "{output}");
    assert!(output.contains("Failed to configure TLS. Check logs for more info."), "{output}");
}

#[test]
fn links_go_over_tls_with_stock_redis_at_either_end() {
    for [master, replica] in [[tandem(2), redis()], [redis(), tandem(2)], [tandem(1), tandem(2)]] {
        let master = start(&master, &[]);
        let mut m = master.server.client();
        m.run("DEBUG POPULATE 20000 key 100").ok();
        m.cmd(&["SET", "large", &"x".repeat(3 << 20)]).ok();
        let replica = Server::start_on(
            &replica,
            &[
                "--tls-replication",
                "yes",
                "--tls-cert-file",
                &master.server.file("b.crt"),
                "--tls-key-file",
                &master.server.file("b.key"),
                "--tls-ca-cert-file",
                &master.server.file("ca.crt"),
            ],
            |_| {},
        );
        replica.replicate(master.port);
        replica.wait_link_up();
        wait_same_data(&master.server, &replica);
        // The stream as well: small writes, and some that are larger than a record.
        for n in 0..200 {
            m.cmd(&["SET", &format!("s{n}"), &"y".repeat(n * 500)]).ok();
        }
        wait_same_data(&master.server, &replica);
        assert_eq!(m.run("CLIENT KILL TYPE replica").int(), 1);
        m.run("SET after 1").ok();
        let mut r = replica.client();
        wait_until("the link comes back", || r.run("EXISTS after").int() == 1);
        assert_eq!(m.info_number("sync_full"), 1, "and goes on where it was");
    }
}

#[test]
fn values_of_every_size_go_both_ways() {
    let secure = start(&tandem(2), &["--tls-auth-clients", "no"]);
    let path = secure.server.file("pipe");
    let mut bytes = Vec::new();
    for size in [0usize, 1, 16_384, 70_000, 2 << 20] {
        let key = format!("k{size}");
        bytes.extend(format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${size}\r\n", key.len()).bytes());
        bytes.extend(std::iter::repeat_n(b'z', size));
        bytes.extend(format!("\r\n*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()).bytes());
    }
    std::fs::write(&path, bytes).expect("our own folder is writable");
    let mut cli = Command::new("redis-cli");
    cli.args(["-p", &secure.port.to_string(), "--tls", "--cacert", &secure.server.file("ca.crt")]);
    cli.arg("--pipe").stdin(std::fs::File::open(&path).expect("just written"));
    let output = cli.output().expect("redis-cli is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("errors: 0, replies: 10"), "{text}");
    assert_eq!(secure.server.client().run("STRLEN k2097152").int(), 2 << 20);
}

#[test]
fn a_handshake_that_stalls_stalls_nobody() {
    let secure = start(&tandem(1), &["--maxclients", "5"]);
    let stalled: Vec<_> = (0..3)
        .map(|_| std::net::TcpStream::connect(("127.0.0.1", secure.port)).expect("it listens"))
        .collect();
    let mut c = secure.server.client();
    assert_eq!(c.run("PING").text(), "PONG");
    assert_eq!(secure.cli(true, &["PING"]), "PONG");
    drop(stalled);
}

/// One that says its farewell and keeps its socket open, as it may.
const FAREWELL: &str = "
import socket, ssl, sys
port, ca, cert, key, more = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.check_hostname = False
context.load_cert_chain(cert, key)
plain = socket.create_connection(('127.0.0.1', int(port)), timeout=20)
tls = context.wrap_socket(plain)
tls.sendall(b'WAIT 1 0\\r\\n' + b'PING\\r\\n' * int(more))
print('waits', flush=True)
input()
# Sent at once; and then the other end's is waited for.
tls.unwrap()
print('ended')
";

#[test]
fn a_blocked_client_that_says_farewell_is_gone() {
    let secure = start(&tandem(1), &[]);
    let mut c = secure.server.client();
    for more in ["0", "10"] {
        let mut python = Command::new("python3");
        python.args(["-c", FAREWELL, &secure.port.to_string()]);
        python.args(["ca.crt", "b.crt", "b.key"].map(|name| secure.server.file(name)));
        python.arg(more).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut python = python.spawn().expect("python3 is installed");
        wait_until("it waits", || c.info("blocked_clients") == "1");
        // Its end is dropped, and so comes.
        python.stdin.take().expect("it was asked for").write_all(b"\n").expect("it reads");
        let output = python.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "waits\nended\n");
        wait_until("it is gone", || c.info("blocked_clients") == "0");
    }
}
