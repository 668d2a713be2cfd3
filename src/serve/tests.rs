//! Tests of the server's parts, with the threads that own them.

mod model;

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use super::run::Run;
use super::*;
use crate::config::{self, Command, Host};
use crate::tsig;

/// Returns a server without zones, with more arguments than it needs.
pub(super) fn server(arguments: &[&str], random: u8) -> Arc<Server> {
    let words = ["--git-remote=git://192.0.2.1/zones"].iter().chain(arguments).map(ToString::to_string);
    let Ok(Command::Serve(config)) = config::parse(Host::Process, words) else { panic!("{arguments:?}") };
    Server::new(Instant::now(), &config, [[random; 16]; 3])
}

/// Returns a query for example.org with the options `options`.
fn query(options: &[u8]) -> Vec<u8> {
    let mut query =
        b"\0\x01\0\0\0\x01\0\0\0\0\0\x01\x07example\x03org\0\0\x01\0\x01\0\0\x29\x04\xd0\0\0\0\0\0".to_vec();
    query.push(options.len() as u8);
    query.extend(options);
    query
}

fn ask(server: &Server, transport: Transport, source: &str, query: &[u8]) -> Option<Vec<u8>> {
    let mut reply = vec![0; 4096];
    let answer = server.respond(transport, source.parse().unwrap(), query, &mut reply);
    let Answer::Reply(length) = answer else { return None };
    reply.truncate(length);
    Some(reply)
}

#[test]
fn arguments_reach_the_replies() {
    let server = server(&["--edns-payload=4000", "--nsid=ns7"], 1);
    let reply = ask(&server, Transport::UDP, "192.0.2.1", &query(&[0, 3, 0, 0])).unwrap();
    assert_eq!(reply[29..][..18], *b"\0\0\x29\x0f\xa0\0\0\0\0\0\x25\0\x03\0\x03ns7");
    let reply = ask(&server, Transport::TCP, "192.0.2.1", &query(&[0, 11, 0, 0])).unwrap();
    assert_eq!(reply[40..][..6], [0, 11, 0, 2, 0, 100]);
}

/// Each server draws its own secret unless one is configured; an IPv4 client is the same client on either kind of
/// socket.
#[test]
fn cookies_are_good_where_the_secret_is_known() {
    let asking = query(b"\0\x0a\0\x081234567X");
    let told = ["--cookie-secret=000102030405060708090a0b0c0d0e0f", "--rate-limit=1"];
    for (maker, prover, good) in
        [(server(&told, 1), server(&told, 2), true), (server(&[], 1), server(&["--rate-limit=1"], 2), false)]
    {
        let reply = ask(&maker, Transport::UDP, "192.0.2.1", &asking).unwrap();
        let cookie = &reply[40..68];
        assert_eq!(cookie[..13], *b"\0\x0a\0\x181234567X\x01");
        let proving = query(cookie);
        let replies = (0..100).filter_map(|_| ask(&prover, Transport::UDP, "::ffff:192.0.2.1", &proving));
        let served = replies.filter(|reply| reply[3] == 2).count();
        assert_eq!(served, if good { 100 } else { 1 });
    }
}

#[test]
fn a_copy_of_a_machine_has_another_secret() {
    let given = ["--cookie-secret=000102030405060708090a0b0c0d0e0f"];
    for (server, renewed) in [(server(&[], 1), true), (server(&given, 1), false)] {
        let cookie =
            || ask(&server, Transport::TCP, "192.0.2.1", &query(b"\0\x0a\0\x081234567X")).unwrap()[40..68].to_vec();
        // A cookie made with a known secret is echoed unchanged.
        let echoed =
            |cookie: &[u8]| ask(&server, Transport::TCP, "192.0.2.1", &query(cookie)).unwrap()[40..68] == *cookie;
        let before = cookie();
        for same in [Run::current(), None] {
            server.answers.renew_secret(same);
            assert!(echoed(&before));
        }
        server.answers.renew_secret(Some(Run::other()));
        assert_eq!(echoed(&before), !renewed);
        let after = cookie();
        server.answers.renew_secret(Some(Run::other()));
        assert!(echoed(&after), "once is enough");
    }
}

#[test]
fn an_update_that_is_overdue_is_told_what_kept_it() {
    let server = server(&[], 1);
    assert_eq!(server.updates.overdue().to_string(), "SERVFAIL: the git remote did not answer in time");
    server.updates.set_obstacle(Some("the server answers 503"));
    let expected = "SERVFAIL: the git remote did not take the update in time: the server answers 503";
    assert_eq!(server.updates.overdue().to_string(), expected);
    server.updates.set_obstacle(None);
    assert_eq!(server.updates.overdue().to_string(), "SERVFAIL: the git remote did not answer in time");
}

#[test]
fn streams_are_not_limited() {
    let server = server(&["--rate-limit=1"], 1);
    let replies = |transport| (0..100).filter_map(|_| ask(&server, transport, "192.0.2.1", &query(&[]))).count();
    assert_eq!((replies(Transport::TCP), replies(Transport::UDP)), (100, 1));
}

/// Returns a server that serves a small example.org, with these arguments.
fn serving(arguments: &[&str]) -> Arc<Server> {
    let server = server(arguments, 1);
    let text = "@ SOA ns host 2 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";
    let apex = Name::from_text("example.org").unwrap();
    let zone = crate::zonefile::read_including(&apex, "example.org", text.as_bytes(), |_| unreachable!()).zone.unwrap();
    let mut zones = Zones::default();
    zones.insert(Arc::new(zone));
    let keys = Arc::clone(&server.served.load().keys);
    server.publish(Served { zones: Some(zones), keys, origin: None });
    server
}

/// Sends a message that is set aside repeatedly over UDP; returns the number of replies, and whether any was
/// truncated.
fn replies(server: &Server, message: &[u8]) -> (usize, bool) {
    let (mut count, mut is_truncated) = (0, false);
    for _ in 0..100 {
        let mut reply = vec![0; 4096];
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let client = SocketAddr::from(([192, 0, 2, 1], 53));
        let back = queue::Back::Datagram(socket, client);
        let done = server.deal_with(Transport::UDP, client.ip(), message, &mut reply, back);
        if let aside::Done::Reply(length) = done {
            assert!(length >= 12);
            count += 1;
            is_truncated |= reply[2] & 2 != 0;
        }
    }
    (count, is_truncated)
}

#[test]
fn what_a_forged_address_can_ask_for_is_limited_also_where_transfers_and_signatures_are_concerned() {
    let limited = ["--rate-limit=1,slip=2", "--allow-transfer=192.0.2.0/24"];
    let secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let key = |name: &str| Arc::new(tsig::Key::parse_argument(&format!("{name}:hmac-sha256:{secret}")).unwrap());
    let argument = format!("--tsig-key=known._transfer.example.org:hmac-sha256:{secret}");
    let server = serving(&[&limited[..], &[&argument]].concat());
    // Unsigned IXFR from serial 1, from an allowed address: one reply unchanged, the others rate-limited as usual.
    let mut ixfr = b"\0\x01\0\0\0\x01\0\0\0\x01\0\0\x07example\x03org\0\0\xfb\0\x01".to_vec();
    ixfr.extend(b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x16\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let (count, is_truncated) = replies(&server, &ixfr);
    assert!((40..60).contains(&count) && is_truncated, "{count} {is_truncated}");
    let (count, _) = replies(&serving(&["--rate-limit=off", limited[1]]), &ixfr);
    assert_eq!(count, 100);
    // Errors about signatures: by an unknown key, and by a known one with a wrong signature.
    let ask = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x06\0\x01";
    let mut signed = ask.to_vec();
    tsig::sign(&key("other._transfer.example.org"), &mut signed, seconds()).unwrap();
    let (count, _) = replies(&server, &signed);
    assert!(count < 5, "BADKEY: {count}");
    let server = serving(&[&limited[..], &[&argument]].concat());
    let mut signed = ask.to_vec();
    tsig::sign(&key("known._transfer.example.org"), &mut signed, seconds()).unwrap();
    signed[1] = 2;
    signed[20] ^= 0x20;
    let (count, _) = replies(&server, &signed);
    assert!(count < 5, "BADSIG: {count}");
    // A client that holds a key is not spoofed.
    let mut signed = ask.to_vec();
    tsig::sign(&key("known._transfer.example.org"), &mut signed, seconds()).unwrap();
    assert_eq!(replies(&server, &signed), (100, false));
}

#[test]
fn a_stranger_never_waits_over_tcp() {
    let server = serving(&["--allow-transfer=192.0.2.0/24"]);
    let requests = server.transfers.past.clone().unwrap();
    let deal = |source: [u8; 4], message: &[u8]| {
        let wait = Arc::default();
        let back = queue::Back::Stream(crate::net::Promise::new(&wait));
        // A wait for differences ends as soon as its place is needed.
        wait.end();
        let mut reply = vec![0; 65_535];
        server.deal_with(Transport::TCP, source.into(), message, &mut reply, back)
    };
    let mut ixfr = b"\0\x01\0\0\0\x01\0\0\0\x01\0\0\x07example\x03org\0\0\xfb\0\x01".to_vec();
    ixfr.extend(b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x16\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let (mut axfr, mut update, mut notify) = (ixfr[..29].to_vec(), ixfr[..29].to_vec(), ixfr[..29].to_vec());
    for message in [&mut axfr, &mut update, &mut notify] {
        message[9] = 0;
    }
    (axfr[26], update[26], notify[26]) = (252, 6, 6);
    (update[2], notify[2]) = (5 << 3, 4 << 3);
    let stranger = [198, 51, 100, 1];
    for message in [&ixfr, &axfr, &update, &notify] {
        assert!(matches!(deal(stranger, message), aside::Done::Reply(_)), "{message:02x?}");
    }
    assert!(requests.take(Duration::ZERO).is_none(), "git is not asked for a stranger");
    assert!(matches!(deal([192, 0, 2, 1], &ixfr), aside::Done::Stream(_)));
    assert!(requests.take(Duration::ZERO).is_some(), "it is asked for those who may have the zone");
}

/// Returns a zone about as deep as possible: each octet of a name is a branch, and octets of two symbols are two.
fn deepest() -> Arc<crate::zone::Zone> {
    let mut text = "@ SOA ns host 2 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n".to_string();
    let mut parents = String::new();
    for length in [63, 63, 63, 48] {
        for count in 1..=length {
            let before = "\\255".repeat(count - 1);
            text += &format!("{before}\\255{parents} A 192.0.2.1\n{before}\\254{parents} A 192.0.2.1\n");
        }
        parents = format!(".{}{parents}", "\\255".repeat(length));
    }
    let apex = Name::from_text("example.org").unwrap();
    let read = crate::zonefile::read_including(&apex, "example.org", text.as_bytes(), |_| unreachable!());
    Arc::new(read.zone.unwrap())
}

#[test]
fn the_deepest_zone_is_freed_by_threads_that_serve() {
    let zone = deepest();
    assert!(zone.record_count() > 400);
    thread::Builder::new().stack_size(SERVICE_STACK).spawn(move || drop(zone)).unwrap().join().unwrap();
}

#[test]
fn publishing_waits_for_no_reader_and_what_was_read_is_freed_afterwards() {
    let server = serving(&[]);
    let retired = Arc::clone(&server.retired);
    thread::spawn(move || retired.run());
    let old = server.served.load_full();
    let version = Arc::downgrade(&old);
    for _ in 0..100 {
        let keys = Arc::clone(&old.keys);
        server.publish(Served { zones: None, keys, origin: None });
    }
    assert!(old.zones.is_some(), "it is read on");
    drop(old);
    let deadline = Instant::now() + Duration::from_secs(60);
    while version.strong_count() > 0 {
        assert!(Instant::now() < deadline, "it is not freed");
        thread::sleep(Duration::from_millis(1));
    }
}
