//! The registry, and who is found in it.

use super::*;
use crate::commands::script::Shell;

#[test]
fn a_body_is_an_array_without_its_sign() {
    assert_eq!(
        message_body(&[b"message", b"c", b""]),
        b"3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n"
    );
}

#[test]
fn an_audience_is_counted_over_all_workers() {
    let pubsub = PubSub::default();
    for (worker, id) in [(0, 1), (1, 2), (0, 3)] {
        pubsub.add(Kind::Channel, b"c", worker, id);
    }
    pubsub.add(Kind::Pattern, b"c*", 1, 2);
    assert_eq!(pubsub.subscribers(Kind::Channel, b"c"), 3);
    assert_eq!((pubsub.names(Kind::Channel), pubsub.names(Kind::Pattern)), (1, 1));
    for (worker, id) in [(1, 2), (0, 1), (0, 3)] {
        pubsub.remove(Kind::Channel, b"c", worker, id);
    }
    assert_eq!((pubsub.names(Kind::Channel), pubsub.names(Kind::Pattern)), (0, 1));
}

#[test]
fn a_list_on_its_way_is_not_changed() {
    let mut audience = Audience::default();
    audience.add(0, 1);
    let on_its_way = Arc::clone(&audience.0[0].1);
    audience.add(0, 2);
    audience.remove(0, 1);
    assert_eq!((on_its_way.as_slice(), audience.0[0].1.as_slice()), (&[1][..], &[2][..]));
}

#[test]
fn who_goes_leaves_nothing_behind() {
    let mut shell = Shell::new();
    shell.run_as("b", "SUBSCRIBE c");
    shell.run_as("b", "PSUBSCRIBE p*");
    assert_eq!(shell.run("PUBSUB NUMSUB c"), "[\"c\" :1]");
    shell.leave("b");
    assert_eq!(shell.run("PUBSUB NUMSUB c"), "[\"c\" :0]");
    assert_eq!(shell.node.pubsub.names.load(Ordering::Relaxed), 0);
}

#[test]
fn channels_of_a_request_are_found() {
    let find = |words: &[&[u8]]| {
        let args = tandem_resp::OwnedArgs::from_parts(words.iter().copied());
        let spec = crate::commands::look_up(args.as_args().get(0)).expect("a command");
        let mut found = Vec::new();
        each_channel(spec, args.as_args(), |at, what| found.push((at, what)));
        found
    };
    assert_eq!(find(&[b"publish", b"c", b"m"]), [(1, Use::Publish)]);
    assert_eq!(find(&[b"SUBSCRIBE", b"a", b"b"]), [(1, Use::Subscribe), (2, Use::Subscribe)]);
    assert_eq!(find(&[b"psubscribe", b"a*"]), [(1, Use::SubscribePattern)]);
    assert_eq!(find(&[b"unsubscribe", b"a"]), []);
}
