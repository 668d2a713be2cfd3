//! Malformed messages get FORMERR or no reply, and the server keeps answering everybody else.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use zonule_harness::eventually;
use zonule_harness::wire::{self, Connection, kind};

use crate::scene::Scene;

/// The id of the well-formed query that follows each malformed message.
const SENTINEL: u16 = 0xfeed;

/// What a server may reply to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowed {
    /// A FORMERR or nothing.
    FormatError,
    /// Nothing at all: a reply to a reply would begin a loop.
    Silence,
    /// Any error or nothing.
    AnyError,
}

/// Malformed messages, each with a name for the failure's message. All carry the id 1.
fn malformed() -> Vec<(String, Vec<u8>, Allowed)> {
    use Allowed::{AnyError, FormatError, Silence};
    let good = wire::query(1, "www.example.org", kind::A);
    let header = &good[..12];
    let with = |offset: usize, octets: &[u8]| {
        let mut message = good.clone();
        message[offset..offset + octets.len()].copy_from_slice(octets);
        message
    };
    let question = |name: &[u8]| [header, name, &[0, 1, 0, 1]].concat();
    let mut messages = vec![
        ("a response".to_owned(), with(2, &[0x80]), Silence),
        ("a response with an error".to_owned(), with(2, &[0x80, 2]), Silence),
        ("no question".to_owned(), with(4, &[0, 0]), FormatError),
        ("two questions announced, one there".to_owned(), with(4, &[0, 2]), FormatError),
        ("65,535 answers announced".to_owned(), with(6, &[0xff, 0xff]), FormatError),
        ("65,535 additional records announced".to_owned(), with(10, &[0xff, 0xff]), FormatError),
        ("a name that points to itself".to_owned(), question(&[0xc0, 12]), FormatError),
        ("a name that points forward".to_owned(), question(&[0xc0, 14]), FormatError),
        ("two pointers at each other".to_owned(), question(&[0xc0, 14, 0xc0, 12]), FormatError),
        ("a pointer beyond the end".to_owned(), question(&[0xff, 0xff]), FormatError),
        ("half a pointer".to_owned(), [header, &[0xc0]].concat(), FormatError),
        ("a label type nobody defined".to_owned(), question(&[0x80, 1, 0]), FormatError),
        ("a label beyond the end".to_owned(), [header, &[63, b'a']].concat(), FormatError),
        ("a name of 300 octets".to_owned(), question(&[[9; 10].repeat(30), vec![0]].concat()), FormatError),
        ("no class".to_owned(), good[..good.len() - 2].to_vec(), FormatError),
        ("an opcode nobody defined".to_owned(), with(2, &[0x78]), AnyError),
        // An OPT record (RFC 6891 §6.1.2) that ends too early, and two of them.
        ("half an OPT record".to_owned(), [&with(10, &[0, 1])[..], &[0, 0, 41, 4]].concat(), FormatError),
        (
            "two OPT records".to_owned(),
            [&with(10, &[0, 2])[..], &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0].repeat(2)].concat(),
            FormatError,
        ),
        (
            "an EDNS option beyond the end".to_owned(),
            [&with(10, &[0, 1])[..], &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 3, 0, 9]].concat(),
            FormatError,
        ),
    ];
    // Shorter than a header: not even an id to reply to.
    messages.extend((0..12).map(|length| (format!("{length} octets"), good[..length].to_vec(), FormatError)));
    messages.extend((12..good.len()).map(|length| (format!("cut at {length}"), good[..length].to_vec(), FormatError)));
    messages.extend(noise());
    messages
}

/// Random octets in queries' clothes: the id 1 and QR=0, so that a reply is recognised.
fn noise() -> impl Iterator<Item = (String, Vec<u8>, Allowed)> {
    // xorshift64: the same octets every time, so that a failure can be repeated.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u32
    };
    (0..300).map(move |number| {
        let length = 12 + random() as usize % 500;
        let mut message: Vec<u8> = (0..length).map(|_| random() as u8).collect();
        message[..2].copy_from_slice(&[0, 1]);
        message[2] &= 0x7f;
        (format!("noise {number}: {message:02x?}"), message, Allowed::AnyError)
    })
}

scenario!(malformed_datagrams_get_formerr_or_silence, |target| {
    let mut scene = Scene::small(target);
    for (name, message, allowed) in malformed() {
        for reply in replies_before_sentinel(scene.server.address(), &message) {
            let rcode = wire::rcode(&reply);
            let right = match allowed {
                Allowed::FormatError => rcode == Some(wire::FORMERR),
                Allowed::Silence => false,
                Allowed::AnyError => rcode.is_some_and(|rcode| rcode != 0),
            };
            assert!(right, "{name}: the reply is {reply:02x?}");
            assert!(reply[2] & 0x80 != 0, "{name}: the reply is no response: {reply:02x?}");
            assert_eq!(wire::id(&reply), Some(1), "{name}");
        }
    }
    scene.server.until_serving("example.net").unwrap();
    assert!(!scene.server.console().contains("panicked"));
});

scenario!(malformed_messages_over_tcp_harm_nobody_else, |target| {
    let mut scene = Scene::small(target);
    let mut bystander = Connection::open(scene.server.address()).unwrap();
    bystander.send(&wire::query(1, "www.example.org", kind::A)).unwrap();
    assert!(bystander.receive().unwrap().is_some());

    // In bundles: each message on a connection of its own would mostly measure connections.
    for bundle in malformed().chunks(25) {
        let mut connection = Connection::open(scene.server.address()).unwrap();
        for (_, message, _) in bundle {
            // The server may close at any of them.
            if connection.send(message).is_err() {
                break;
            }
        }
    }
    // A length of zero, and a stream that is no DNS at all.
    for stream in [[0, 0].as_slice(), b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"] {
        Connection::open(scene.server.address()).unwrap().send_raw(stream).unwrap();
    }
    scene.server.until_serving("example.net").unwrap();
    let reply = scene.server.dig(&["www.example.org", "A", "+tcp"]).unwrap();
    assert_eq!(reply.answer_data(), ["192.0.2.80"]);
    assert!(!scene.server.console().contains("panicked"));
});

/// Sends `message` and then well-formed queries until one is answered; returns what else came meanwhile.
fn replies_before_sentinel(server: SocketAddr, message: &[u8]) -> Vec<Vec<u8>> {
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket.send(message).unwrap();
    let sentinel = wire::query(SENTINEL, "www.example.org", kind::A);
    let mut others = Vec::new();
    eventually("an answer after a malformed message", || {
        socket.send(&sentinel).unwrap();
        let mut reply = [0; 4096];
        while let Ok(length) = socket.recv(&mut reply) {
            if wire::id(&reply[..length]) == Some(SENTINEL) {
                return Some(());
            }
            others.push(reply[..length].to_vec());
        }
        None
    })
    .unwrap();
    others
}
