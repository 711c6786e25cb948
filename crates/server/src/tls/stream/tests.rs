//! Both ends of TLS in one thread, over a pair of sockets.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use tandem_tls::{Choice, Demand, Identity, Trust, certificates, private_key};

use super::*;

/// Our end, their end, and their socket, with the handshake done.
fn pair() -> (TlsStream, ClientConnection, UnixStream) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let cert = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    let cert = cert.self_signed(&key).expect("a certificate");
    let choice = Choice::of("", "", "").expect("what is usual");
    let chain = certificates(cert.pem().as_bytes()).expect("one");
    let key = private_key(key.serialize_pem().as_bytes(), None).expect("a key");
    let identity = Identity::new(chain, key, &choice.provider).expect("they fit");
    let trust = Trust::new(Vec::new(), Arc::clone(&choice.provider)).expect("nobody");
    let server = ServerConfig::builder_with_provider(Arc::clone(&choice.provider))
        .with_protocol_versions(&choice.versions)
        .expect("versions that there are")
        .with_no_client_auth()
        .with_cert_resolver(identity.resolver());
    let client = ClientConfig::builder_with_provider(Arc::clone(&choice.provider))
        .with_protocol_versions(&choice.versions)
        .expect("versions that there are")
        .dangerous()
        .with_custom_certificate_verifier(trust.for_servers(Demand::Nothing))
        .with_no_client_auth();
    let (ours, mut theirs) = UnixStream::pair().expect("two sockets");
    ours.set_nonblocking(true).expect("a socket");
    theirs.set_nonblocking(true).expect("a socket");
    let session = ServerConnection::new(Arc::new(server)).expect("settings that fit");
    let mut ours = TlsStream::new(Socket::from(OwnedFd::from(ours)), session);
    let name = ServerName::try_from("a.test").expect("a name");
    let mut client = ClientConnection::new(Arc::new(client), name).expect("settings that fit");
    let mut done = false;
    for _ in 0..10 {
        while client.wants_write() {
            client.write_tls(&mut theirs).expect("room");
        }
        done = done || ours.handshake().expect("they agree") == Handshake::Done;
        match client.read_tls(&mut theirs) {
            Ok(_) => drop(client.process_new_packets().expect("they agree")),
            Err(error) => assert!(is_again(&error), "{error}"),
        }
        if done && !client.is_handshaking() && !client.wants_write() {
            return (ours, client, theirs);
        }
    }
    panic!("the handshake does not come to its end");
}

/// All that the client has to say now, in one piece.
fn say(client: &mut ClientConnection, socket: &mut UnixStream) {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).expect("room");
    }
    socket.write_all(&bytes).expect("room");
}

#[test]
fn a_farewell_behind_data_is_noticed_without_the_socket() {
    let (mut ours, mut client, mut theirs) = pair();
    let mut buf = [0; 100];
    assert_eq!(ours.read(&mut buf), Err(Errno::AGAIN));
    assert!(!ours.holds_input());
    client.writer().write_all(b"PING\r\n").expect("room");
    client.send_close_notify();
    say(&mut client, &mut theirs);
    assert_eq!(ours.read(&mut buf), Ok(6));
    // TCP stays open, so the socket says no more: who waits for it waits for ever.
    assert!(ours.holds_input());
    assert_eq!(ours.read(&mut buf), Ok(0));
    drop(theirs);
}

#[test]
fn what_has_no_room_waits_for_the_next_read() {
    let (mut ours, mut client, mut theirs) = pair();
    client.writer().write_all(&[7; 1000]).expect("room");
    say(&mut client, &mut theirs);
    let mut buf = [0; 600];
    assert_eq!(ours.read(&mut buf), Ok(600));
    assert!(ours.holds_input());
    assert_eq!(ours.read(&mut buf), Ok(400));
    assert!(!ours.holds_input());
    assert_eq!(ours.read(&mut buf), Err(Errno::AGAIN));
}
