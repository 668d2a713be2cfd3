//! EDNS: options get the replies their RFCs ask for, identity stays private by default, floods are limited per network.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use hickory_proto::op::Message;
use zonule_harness::wire::{self, Connection, kind};
use zonule_harness::{PATIENCE, Server, Target, eventually, namespace};

use crate::scene::{Scene, zone};

/// Options by number.
const NSID: u16 = 3;
const COOKIE: u16 = 10;
const TCP_KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;
const REPORT_CHANNEL: u16 = 18;
const ZONE_VERSION: u16 = 19;

/// A query for www.example.org with EDNS options.
fn query(options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut query = wire::query(0x4711, "www.example.org", kind::A);
    query[11] = 1;
    let mut data = Vec::new();
    for (code, value) in options {
        data.extend(code.to_be_bytes());
        data.extend((value.len() as u16).to_be_bytes());
        data.extend(*value);
    }
    query.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
    query.extend((data.len() as u16).to_be_bytes());
    query.extend(data);
    query
}

/// The options of a reply.
fn options(reply: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let edns = Message::from_vec(reply).unwrap().edns.expect("EDNS in the reply");
    let options = edns.options().as_ref().iter();
    options.map(|(code, option)| (u16::from(*code), Vec::<u8>::try_from(option).unwrap())).collect()
}

/// Asks over UDP, again if a datagram is lost.
fn ask(server: SocketAddr, query: &[u8]) -> Vec<u8> {
    eventually("a reply by UDP", || wire::exchange(server, query, Duration::from_secs(2)).unwrap()).unwrap()
}

fn ask_tcp(server: SocketAddr, query: &[u8]) -> Vec<u8> {
    let mut connection = Connection::open(server).unwrap();
    connection.send(query).unwrap();
    connection.receive().unwrap().expect("a reply by TCP")
}

fn serving(target: &zonule_harness::Target, arguments: &[&str]) -> Scene {
    let mut scene = Scene::with_arguments(target, [("example.org", zone(1, ""))], arguments);
    scene.server.until_serving("example.org").unwrap();
    scene
}

scenario!(identity_and_version_are_told_where_the_operator_says_so, |target| {
    let scene = serving(target, &["--nsid=ns7.fra", "--version-text=Zonule/test", "--edns-payload=1400"]);
    let address = scene.server.address();
    for reply in [ask(address, &query(&[(NSID, &[])])), ask_tcp(address, &query(&[(NSID, &[])]))] {
        assert_eq!(options(&reply), [(NSID, b"ns7.fra".to_vec())]);
        assert_eq!(Message::from_vec(&reply).unwrap().edns.unwrap().max_payload(), 1400);
    }
    for (name, text) in [
        ("version.bind", "\"Zonule/test\""),
        ("version.server", "\"Zonule/test\""),
        ("id.server", "\"ns7.fra\""),
        ("hostname.bind", "\"ns7.fra\""),
    ] {
        assert_eq!(scene.server.dig(&["CH", "TXT", name]).unwrap().answer_data(), [text], "{name}");
    }
});

// RFC 9660, RFC 9567.
scenario!(zone_versions_and_report_channels, |target| {
    let mut scene = serving(target, &["--report-channel=reports.example.net"]);
    let address = scene.server.address();
    let version = |serial: u32| (ZONE_VERSION, [&[2, 0][..], &serial.to_be_bytes()].concat());
    let agent = (REPORT_CHANNEL, b"\x07reports\x07example\x03net\0".to_vec());
    for reply in [ask(address, &query(&[(ZONE_VERSION, &[])])), ask_tcp(address, &query(&[(ZONE_VERSION, &[])]))] {
        assert_eq!(options(&reply), [version(1), agent.clone()]);
    }
    assert_eq!(options(&ask(address, &query(&[]))), [agent]);
    // Only replies have data.
    assert_eq!(wire::rcode(&ask(address, &query(&[(ZONE_VERSION, &[2, 0, 0, 0, 0, 1])]))), Some(1));
    scene.remote.write("example.org", zone(7, "")).unwrap();
    scene.remote.push("Raise the serial").unwrap();
    scene
        .server
        .until("the new version", |server| {
            options(&ask(server.address(), &query(&[(ZONE_VERSION, &[])]))).contains(&version(7)).then_some(())
        })
        .unwrap();
});

scenario!(nothing_is_told_by_default, |target| {
    let scene = serving(target, &[]);
    let address = scene.server.address();
    // Nor is a reply padded: neither transport hides how long it is (RFC 7830 §6).
    for reply in
        [ask(address, &query(&[(NSID, &[]), (PADDING, &[0; 20])])), ask_tcp(address, &query(&[(PADDING, &[])]))]
    {
        assert_eq!(options(&reply), []);
    }
    for name in ["version.bind", "version.server", "id.server", "hostname.bind", "authors.bind"] {
        assert_eq!(scene.server.dig(&["CH", "TXT", name]).unwrap().status, "REFUSED", "{name}");
    }
});

scenario!(cookies_are_learnt_and_proven, |target| {
    let secret = "--cookie-secret=e5e973e5a6b2a43f48e7dc849e37bfcf";
    let scenes = [serving(target, &[secret]), serving(target, &[secret]), serving(target, &[])];
    let [first, second, other] = scenes.each_ref().map(|scene| scene.server.address());
    let learned = options(&ask(first, &query(&[(COOKIE, b"12345678")]))).remove(0).1;
    assert_eq!((learned.len(), &learned[..12]), (24, &b"12345678\x01\0\0\0"[..]));
    // A query without a question asks whether a cookie is good (RFC 7873 §5.4).
    let proves = |server, cookie: &[u8]| {
        let mut query = query(&[(COOKIE, cookie)]);
        let question = 12..query.len() - 11 - 28;
        query.drain(question);
        query[5] = 0;
        let reply = Message::from_vec(&ask(server, &query)).unwrap();
        u16::from(reply.metadata.response_code)
    };
    assert_eq!(proves(first, &learned), 0);
    assert_eq!(proves(second, &learned), 0, "servers with one secret take each other's cookies");
    assert_eq!(proves(other, &learned), 23, "a server that made its own does not");
    // A client that is wrong is served all the same, and learns better.
    let reply = ask(other, &query(&[(COOKIE, &learned)]));
    assert_eq!((wire::rcode(&reply), wire::answers(&reply)), (Some(0), Some(1)));
    assert_eq!(proves(other, &options(&reply)[0].1), 0);
    assert_eq!(wire::rcode(&ask(first, &query(&[(COOKIE, b"1234567")]))), Some(wire::FORMERR));
});

scenario!(keepalive_is_told_over_tcp_only, |target| {
    let scene = serving(target, &[]);
    let asking = query(&[(TCP_KEEPALIVE, &[])]);
    assert_eq!(options(&ask(scene.server.address(), &asking)), []);
    // In tenths of a second (RFC 7828 §3.1).
    assert_eq!(options(&ask_tcp(scene.server.address(), &asking)), [(TCP_KEEPALIVE, vec![0, 100])]);
});

/// The tests of RFC 8906 §8 that `dig` can ask: arguments, status, and whether the zone's SOA comes.
const COMMON_FAILURES: &[(&[&str], &str, bool)] = &[
    (&["+noedns", "+noad", "SOA"], "NOERROR", true),
    (&["+noedns", "+noad", "TYPE1000"], "NOERROR", false),
    (&["+noedns", "+adflag", "SOA"], "NOERROR", true),
    (&["+noedns", "+cdflag", "SOA"], "NOERROR", true),
    (&["+noedns", "+zflag", "SOA"], "NOERROR", true),
    (&["+noedns", "+aaflag", "+tcflag", "+raflag", "SOA"], "NOERROR", true),
    (&["+noedns", "+opcode=15", "SOA"], "NOTIMP", false),
    (&["+noedns", "+opcode=15", "+header-only"], "NOTIMP", false),
    (&["+noedns", "+tcp", "SOA"], "NOERROR", true),
    (&["+edns=0", "+nocookie", "SOA"], "NOERROR", true),
    (&["+edns=1", "+noednsnegotiation", "+nocookie", "SOA"], "BADVERS", false),
    (&["+edns=0", "+nocookie", "+ednsopt=100", "SOA"], "NOERROR", true),
    (&["+edns=0", "+nocookie", "+ednsflags=0x40", "SOA"], "NOERROR", true),
    (&["+edns=1", "+noednsnegotiation", "+nocookie", "+ednsopt=100", "SOA"], "BADVERS", false),
    (&["+edns=1", "+noednsnegotiation", "+nocookie", "+ednsflags=0x40", "SOA"], "BADVERS", false),
    (&["+dnssec", "+bufsize=512", "SOA"], "NOERROR", true),
    (&["+bufsize=0", "SOA"], "NOERROR", true),
    (&["+cookie", "+nsid", "+expire", "+keepalive", "+padding=128", "+subnet=192.0.2.0/24", "SOA"], "NOERROR", true),
    (&["+opcode=NOTIFY", "SOA"], "REFUSED", false),
    (&["+opcode=UPDATE", "SOA"], "REFUSED", false),
    (&["-c", "ANY", "SOA"], "REFUSED", false),
    (&["-c", "HS", "SOA"], "REFUSED", false),
    (&["-y", "hmac-sha256:nobody:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "SOA"], "NOTAUTH", false),
];

scenario!(common_failures_do_not_happen, |target| {
    let scene = serving(target, &["--rate-limit=off"]);
    for (arguments, status, answered) in COMMON_FAILURES {
        let reply = scene.server.dig(&[&["example.org"], *arguments].concat()).unwrap();
        assert_eq!((reply.status.as_str(), !reply.answer.is_empty()), (*status, *answered), "{arguments:?}");
        assert!(!["ra", "ad", "cd", "tc"].iter().any(|flag| reply.has_flag(flag)), "{arguments:?}: {:?}", reply.flags);
    }
});

scenario!(too_many_replies_are_limited_but_not_for_clients_that_prove_who_they_are, |target| {
    let mut scene = serving(target, &["--rate-limit=1,slip=1"]);
    let server = scene.server.address();
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket.connect(server).unwrap();
    let plain = wire::query(1, "www.example.org", kind::A);
    // Truncated and without the answer, or else a forged query would still draw it.
    let limited = |reply: &[u8]| reply[2] & 2 != 0 && wire::answers(reply) == Some(0);
    eventually("a limited reply", || Some(ask(server, &plain)).filter(|reply| limited(reply))).unwrap();
    told(&mut scene.server);

    // Who comes again over TCP is served; so is who has a cookie, however much it asks.
    assert_eq!(wire::answers(&ask_tcp(server, &plain)), Some(1));
    let learned = options(&ask(server, &query(&[(COOKIE, b"12345678")]))).remove(0).1;
    for _ in 0..100 {
        let reply = ask(server, &query(&[(COOKIE, &learned)]));
        assert_eq!((wire::rcode(&reply), wire::answers(&reply)), (Some(0), Some(1)));
    }
    // So are names that are not there, which are counted apart: dig asks over TCP if it has to.
    assert_eq!(scene.server.dig(&["nothing.example.org", "A"]).unwrap().status, "NXDOMAIN");
});

/// Waits until the console tells of limiting.
fn told(server: &mut Server) {
    server.until_console("rate limit: too many ").unwrap();
}

scenario!(limited_network_hinders_no_other, |target| {
    // Clients with other addresses: on the loopback there are enough, on the image's own link they are added.
    let hosted = matches!(target, Target::Hosted { .. });
    if !hosted && !namespace::inside() {
        return namespace::test_inside("edns::limited_network_hinders_no_other::image").unwrap();
    }
    let scene = serving(target, &["--rate-limit=1,slip=1,prefix4=32"]);
    let server = scene.server.address();
    let plain = wire::query(1, "www.example.org", kind::A);
    eventually("a limited reply", || Some(ask(server, &plain)).filter(|reply| reply[2] & 2 != 0)).unwrap();
    for last in 100..150 {
        let own = if hosted { [127, 0, 0, last] } else { [10, 0, 2, last] };
        if !hosted {
            namespace::add_address(own.into()).unwrap();
        }
        let socket = UdpSocket::bind(SocketAddr::from((own, 0))).unwrap();
        socket.send_to(&plain, server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut reply = [0; 512];
        let length = socket.recv(&mut reply).unwrap();
        assert_eq!(wire::answers(&reply[..length]), Some(1), "{own:?}");
    }
});
