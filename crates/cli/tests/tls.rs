//! TLS against a stock server with certificates made for the test: both clients with the same
//! options must print and return the same.

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{PATIENCE, Server, example, free_port};

/// What one client did, without the port.
fn run(program: &Path, port: u16, args: &[&str], stdin: &[u8]) -> (String, String, Option<i32>) {
    let mut child = Command::new("timeout")
        .arg(PATIENCE.as_secs().to_string())
        .arg(program)
        .args(["-p", &port.to_string()])
        .args(args)
        .env_remove("SSL_CERT_FILE")
        .env_remove("REDISCLI_AUTH")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("redis-cli 7.0.15 must be installed for this test");
    let mut input = child.stdin.take().expect("it is piped");
    // A client that does not read its input may be gone already.
    let _ = input.write_all(stdin);
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

fn openssl(folder: &Path, args: &str) {
    let output = Command::new("openssl")
        .args(args.split(' '))
        .current_dir(folder)
        .output()
        .expect("openssl must be installed for this test");
    assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// A server that speaks TLS too, and the port for that.
fn start(name: &str, clients: &str) -> (Server, u16) {
    let folder =
        std::env::temp_dir().join(format!("tandem-cli-certs-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    openssl(&folder, &format!("req -x509 {KEY} -keyout ca.key -out ca.crt -subj /CN=ca -days 2"));
    for who in ["server", "client"] {
        openssl(&folder, &format!("req {KEY} -keyout {who}.key -out {who}.csr -subj /CN={who}"));
        openssl(
            &folder,
            &format!(
                "x509 -req -in {who}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out {who}.crt \
                 -days 2"
            ),
        );
    }
    let port = free_port();
    let path = |name: &str| folder.join(name).display().to_string();
    let server = Server::start_with(
        name,
        &[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &path("server.crt"),
            "--tls-key-file",
            &path("server.key"),
            "--tls-ca-cert-file",
            &path("ca.crt"),
            "--tls-auth-clients",
            clients,
        ],
    );
    for file in std::fs::read_dir(&folder).expect("ours").flatten() {
        let to = server.dir.join(file.file_name());
        std::fs::copy(file.path(), to).expect("both are ours");
    }
    let _ = std::fs::remove_dir_all(&folder);
    (server, port)
}

#[test]
fn both_clients_do_the_same_over_tls() {
    let (server, port) = start("tls", "optional");
    let ca = server.dir.join("ca.crt").display().to_string();
    let uri = format!("rediss://127.0.0.1:{port}/2");
    let (cert, key) = (server.dir.join("client.crt"), server.dir.join("client.key"));
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let folder = server.dir.display().to_string();
    let ours = example("cli");
    let big =
        "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$100000\r\n".to_owned() + &"x".repeat(100_000) + "\r\n";
    let big = big.repeat(20).into_bytes();
    let table: &[(&[&str], &[u8])] = &[
        (&["--tls", "--cacert", &ca, "ping"], b""),
        (&["--tls", "--cacert", &ca], b"set a 1\nget a\nselect 3\nget a\n"),
        (&["--tls", "--cacert", &ca, "--sni", "example.org", "ping"], b""),
        (&["--tls", "--cacert", &ca, "--cert", &cert, "--key", &key, "ping"], b""),
        (&["--tls", "--insecure", "ping"], b""),
        (&["--tls", "ping"], b""),
        (&["--tls", "--scan"], b""),
        (&["--tls", "--cacert", "/nonexistent", "ping"], b""),
        (&["--tls", "--cacert", &ca, "--cert", "/nonexistent", "ping"], b""),
        (&["--tls", "--cacert", &ca, "--cert", &cert, "--key", "/nonexistent", "ping"], b""),
        (&["--tls", "--cacert", &ca, "--tls-ciphers", "nosuch", "ping"], b""),
        (&["--tls", "--cacert", &ca, "--tls-ciphers", "DEFAULT:-AES128-SHA256", "ping"], b""),
        (&["--tls", "--cacert", &ca, "--tls-ciphersuites", "TLS_AES_128_GCM_SHA256", "ping"], b""),
        (&["--tls", "--cacert", &ca, "--tls-ciphersuites", "nosuch", "ping"], b""),
        (&["-u", &uri, "--cacert", &ca, "client", "getname"], b""),
        (&["--tls", "--cacert", &ca, "--pipe"], &big),
        (&["--tls", "--cacert", &ca, "strlen", "big"], b""),
        (&["--tls", "--cacert", &ca, "getrange", "big", "0", "-1"], b""),
        (&["--sni"], b""),
    ];
    let mut failures = Vec::new();
    for (args, stdin) in table {
        let stock = run(Path::new("redis-cli"), port, args, stdin);
        let own = run(&ours, port, args, stdin);
        if own != stock {
            failures.push(format!("{args:?}\n  stock: {stock:?}\n  ours:  {own:?}"));
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    let file = server.dir.join("fetched.rdb");
    let fetched = ["--tls", "--cacert", &ca, "--rdb", &file.display().to_string()];
    assert_eq!(run(&ours, port, &fetched, b"").2, Some(0));
    let check = Command::new("redis-check-rdb").arg(&file).output().expect("it is installed");
    assert!(check.status.success(), "{check:?}");
    // OpenSSL looks for hashed names in a folder; we take what is there.
    let args = ["--tls", "--cacertdir", &folder, "ping"];
    assert_eq!(run(&ours, port, &args, b""), ("PONG\n".into(), String::new(), Some(0)));
}

#[test]
fn a_server_may_want_to_know_who_asks() {
    let (server, port) = start("tls-clients", "yes");
    let path = |name: &str| server.dir.join(name).display().to_string();
    let (ca, cert, key) = (path("ca.crt"), path("client.crt"), path("client.key"));
    let ours = example("cli");
    let known = ["--tls", "--cacert", &ca, "--cert", &cert, "--key", &key];
    let told = run(&ours, port, &[&known[..], &["ping"]].concat(), b"");
    assert_eq!(told, ("PONG\n".into(), String::new(), Some(0)));
    assert_eq!(run(&ours, port, &["--tls", "--cacert", &ca, "ping"], b"").2, Some(1));
    let generator = example("benchmark");
    for more in [
        &["-n", "3000", "-P", "16", "-t", "set,get", "-q"][..],
        &["-n", "60", "-k", "0", "-c", "5", "-t", "get", "-q"],
        &["-n", "500", "-d", "40000", "-P", "10", "-c", "4", "-t", "set,get", "-q"],
        &["-n", "300", "--rps", "3000", "--threads", "2", "-t", "get", "-q"],
    ] {
        let (stdout, stderr, code) = run(&generator, port, &[&known[..], more].concat(), b"");
        assert_eq!(code, Some(0), "{more:?} {stdout} {stderr}");
        assert!(stdout.contains("GET: "), "{more:?} {stdout} {stderr}");
    }
    let tree = run(&ours, port, &[&known[..], &["--topology"]].concat(), b"");
    assert!(tree.0.contains("master") && tree.2 == Some(0), "{tree:?}");
}
