//! Two stacks on one wire that speak IPv6, and what neighbours, routers and strangers may say to one.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::vec::Vec;

use super::super::errno::Errno;
use super::super::frame::tests::{ADDRESS_V6, query_v6};
use super::super::frame::{PROTOCOL_ICMPV6, address_v6, pseudo_header};
use super::super::machine::SECOND;
use super::super::outbound::PROTOCOL_FRAGMENT;
use super::super::responder::tests::Wire;
use super::{ANY, ANY_V6, Net, at, read, setting, sleep};

const SERVER: &str = "[2001:db8::f]:53";
const PEER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// An ICMPv6 message in a frame from the peer's hardware address.
fn message(from: Ipv6Addr, to: Ipv6Addr, hops: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = query_v6(body);
    frame.drain(54..62);
    frame[18..20].copy_from_slice(&(body.len() as u16).to_be_bytes());
    frame[20..22].copy_from_slice(&[PROTOCOL_ICMPV6, hops]);
    frame[22..38].copy_from_slice(&from.octets());
    frame[38..54].copy_from_slice(&to.octets());
    if to.is_multicast() {
        frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
    }
    frame[56..58].fill(0);
    let sum = pseudo_header(from.into(), to.into(), PROTOCOL_ICMPV6, body.len()).add(&frame[54..]).finish();
    frame[56..58].copy_from_slice(&sum);
    frame
}

/// Gives the server a frame; returns what it says to that at once.
fn receive(net: &mut Net, frame: &[u8]) -> Vec<Vec<u8>> {
    let mut wire = Wire::new(16);
    net.a.receive(&mut frame.to_vec(), &mut wire);
    net.a.after_receiving();
    wire.sent
}

#[test]
fn connections() {
    let mut net = Net::new();
    let listener = net.listener_at(SocketAddr::new(ANY_V6, 53), 4);
    for address in [SERVER, "[fe80::5054:ff:fe12:3456]:53"] {
        let client = net.connect_to(at(address));
        net.settle();
        net.b.connected(client).unwrap();
        let (server, from) = net.a.accept(listener).unwrap();
        assert_eq!(net.a.local_address(server), Ok(at(address)));
        assert_eq!(net.b.local_address(client), Ok(from));
        assert_eq!(net.a.peer_address(server), Ok(from));
        net.b.send(client, b"question", None).unwrap();
        net.settle();
        assert_eq!(read(&mut net.a, server).unwrap(), b"question");
        net.a.close(server);
        net.settle();
        assert_eq!(read(&mut net.b, client).unwrap(), b"");
        net.b.close(client);
    }
    net.a.close(listener);
    let refused = net.connect_to(at(SERVER));
    net.settle();
    assert_eq!(net.b.connected(refused), Err(Errno::CONNREFUSED));
    net.pass(15 * SECOND);
    assert_eq!((net.a.budget.taken(), net.b.budget.taken()), (0, 0));
}

#[test]
fn datagrams_of_any_length() {
    let mut net = Net::new();
    let server = net.a.open(true, true).unwrap();
    net.a.bind(server, SocketAddr::new(ANY_V6, 53)).unwrap();
    let client = net.b.open(true, true).unwrap();
    net.b.connect(client, at(SERVER)).unwrap();
    for length in [0, 5, 1232, 1233, 1452, 9000, 16336] {
        net.longest = 0;
        assert_eq!(net.b.send(client, &vec![length as u8; length], None), Ok(length));
        net.settle();
        let mut out = vec![0; 20_000];
        let (got, from) = net.a.receive_from(server, &mut out, false).unwrap();
        assert_eq!((got, &out[..got]), (length, &vec![length as u8; length][..]));
        net.a.send(server, &out[..got], from).unwrap();
        net.settle();
        assert_eq!(read(&mut net.b, client).unwrap().len(), length);
        assert!(net.longest <= 1280 + 14, "{} bytes on the wire for {length}", net.longest);
    }
    assert_eq!(net.b.send(client, &[0; 16337], None), Err(Errno::MSGSIZE));
}

#[test]
fn answers_come_from_the_address_that_was_asked() {
    let mut net = Net::new();
    net.a.configure(&setting(&["2001:db8::a/64", "2001:db8::b/64", "10.0.2.15/24", "10.0.2.16/24"], &[]));
    for (any, asked, nobody) in [
        (ANY_V6, ["[2001:db8::b]:53", "[2001:db8::a]:53"], "[::]:0"),
        (ANY, ["10.0.2.16:53", "10.0.2.15:53"], "0.0.0.0:0"),
    ] {
        let server = net.a.open(true, any.is_ipv6()).unwrap();
        net.a.bind(server, SocketAddr::new(any, 53)).unwrap();
        for address in asked {
            let client = net.b.open(true, any.is_ipv6()).unwrap();
            net.b.bind(client, at(nobody)).unwrap();
            net.b.send(client, b"?", Some(at(address))).unwrap();
            net.settle();
            let from = net.a.receive_from(server, &mut [0; 9], false).unwrap().1;
            net.a.send(server, b"!", from).unwrap();
            net.settle();
            assert_eq!(net.b.receive_from(client, &mut [0; 9], false), Ok((1, Some(at(address)))));
        }
    }
}

#[test]
fn families_side_by_side() {
    let mut net = Net::new();
    let mut socket = |address: &str| {
        let id = net.a.open(true, at(address).is_ipv6()).unwrap();
        net.a.bind(id, at(address)).map(|()| id)
    };
    let (v4, v6) = (socket("0.0.0.0:53").unwrap(), socket("[::]:53").unwrap());
    assert_eq!(socket("[2001:db8::f]:53"), Err(Errno::ADDRINUSE));
    let (own, other) = (socket("[2001:db8::f]:54").unwrap(), socket("[fe80::5054:ff:fe12:3456]:54").unwrap());
    assert_ne!(own, other, "two addresses, one port");
    assert_eq!(socket("[2001:db8::99]:55"), Err(Errno::ADDRNOTAVAIL));
    assert_eq!(socket("[::ffff:10.0.2.15]:55"), Err(Errno::NETUNREACH), "no IPv4 in IPv6's clothes");
    net.listener(53, 4);
    net.listener_at(SocketAddr::new(ANY_V6, 53), 4);
    let client = net.b.open(true, false).unwrap();
    net.b.send(client, b"four", Some(at("10.0.2.15:53"))).unwrap();
    assert_eq!(net.b.send(client, b"six", Some(at(SERVER))), Err(Errno::AFNOSUPPORT));
    let client = net.b.open(true, true).unwrap();
    net.b.send(client, b"six", Some(at(SERVER))).unwrap();
    assert_eq!(net.b.send(client, b"four", Some(at("[::ffff:10.0.2.15]:53"))), Err(Errno::NETUNREACH));
    net.settle();
    assert_eq!((read(&mut net.a, v4).unwrap(), read(&mut net.a, v6).unwrap()), (b"four".to_vec(), b"six".to_vec()));
    assert_eq!((read(&mut net.a, v4), read(&mut net.a, v6)), (Err(Errno::AGAIN), Err(Errno::AGAIN)));
}

#[test]
fn errors_reach_their_sockets() {
    let mut net = Net::new();
    for (v6, closed) in [(true, "[2001:db8::f]:99"), (false, "10.0.2.15:99")] {
        let connected = net.b.open(true, v6).unwrap();
        net.b.connect(connected, at(closed)).unwrap();
        net.b.send(connected, b"anybody?", None).unwrap();
        let anywhere = net.b.open(true, v6).unwrap();
        net.b.send(anywhere, b"anybody?", Some(at(closed))).unwrap();
        net.settle();
        assert_eq!(read(&mut net.b, connected), Err(Errno::CONNREFUSED), "{closed}");
        assert_eq!(read(&mut net.b, connected), Err(Errno::AGAIN), "told once");
        assert_eq!(read(&mut net.b, anywhere), Err(Errno::AGAIN), "which of its peers?");
    }
    // An attempt to connect ends with what a router says of it; a connection does not.
    net.lose = (false, true);
    let attempt = net.connect_to(at(SERVER));
    net.settle();
    let own = net.b.local_address(attempt).unwrap();
    let IpAddr::V6(address) = own.ip() else { panic!("{own}") };
    let quote = |port: u16| {
        let mut body = [&[1, 3, 0, 0, 0, 0, 0, 0][..], &query_v6(&[0; 20])[14..]].concat();
        body[14] = 6;
        body[16..32].copy_from_slice(&PEER.octets());
        body[32..48].copy_from_slice(&ADDRESS_V6.octets());
        body[48..50].copy_from_slice(&port.to_be_bytes());
        let mut frame = message(ADDRESS_V6, address, 64, &body);
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
        frame
    };
    let mut wire = Wire::new(4);
    net.b.receive(&mut quote(own.port() ^ 1), &mut wire);
    assert_eq!(net.b.connected(attempt), Err(Errno::AGAIN), "of another connection");
    net.b.receive(&mut quote(own.port()), &mut wire);
    assert_eq!(net.b.connected(attempt), Err(Errno::HOSTUNREACH));
}

#[test]
fn what_is_too_big_for_the_path_is_sent_in_pieces() {
    let mut net = Net::new();
    let listener = net.listener_at(SocketAddr::new(ANY_V6, 53), 4);
    let client = net.connect_to(at(SERVER));
    net.settle();
    let server = net.a.accept(listener).unwrap().0;
    let data: Vec<u8> = (0..10_000).map(|n| (n / 7) as u8).collect();
    let carry = |net: &mut Net, server, client, most| {
        net.longest = 0;
        net.a.send(server, &data, None).unwrap();
        net.settle();
        assert_eq!(read(&mut net.b, client).unwrap(), data);
        assert_eq!(net.longest, most);
    };
    carry(&mut net, server, client, 1514);
    let from = net.b.local_address(client).unwrap();
    let too_big = |port: u16, mtu: u16| {
        let mut body = [&[2, 0, 0, 0, 0, 0, 0, 0][..], &query_v6(&[0; 20])[14..]].concat();
        body[6..8].copy_from_slice(&mtu.to_be_bytes());
        body[14] = 6;
        body[16..32].copy_from_slice(&ADDRESS_V6.octets());
        body[32..48].copy_from_slice(&PEER.octets());
        body[48..52].copy_from_slice(&[0, 53, (port >> 8) as u8, port as u8]);
        message(PEER, ADDRESS_V6, 64, &body)
    };
    receive(&mut net, &too_big(from.port() ^ 1, 1300));
    carry(&mut net, server, client, 1514);
    receive(&mut net, &too_big(from.port(), 1300));
    carry(&mut net, server, client, 1310);
    // A new connection has segments that fit.
    let client = net.connect_to(at(SERVER));
    net.settle();
    let server = net.a.accept(listener).unwrap().0;
    carry(&mut net, server, client, 1314);
    let from = net.b.local_address(client).unwrap();
    receive(&mut net, &too_big(from.port(), 68));
    net.longest = 0;
    net.a.send(server, &data, None).unwrap();
    net.settle();
    assert!((1200..=1294).contains(&net.longest), "no IPv6 path is narrower than 1280: {}", net.longest);
}

#[test]
fn dead_neighbors_do_not_keep_others_away() {
    let mut net = Net::new();
    let listener = net.listener(53, 4);
    let dead = net.connect_to(at("[2001:db8::dead]:53"));
    for _ in 0..3 {
        net.pass(SECOND / 2);
        assert_eq!(net.b.connected(dead), Err(Errno::AGAIN));
    }
    let live = net.connect(53);
    net.pass(SECOND / 10);
    assert_eq!(net.b.connected(live), Ok(()), "the dead one asks as often as is allowed at all");
    net.a.accept(listener).unwrap();
}

#[test]
fn addresses_may_change() {
    let mut net = Net::new();
    let listener = net.listener_at(SocketAddr::new(ANY_V6, 53), 4);
    let client = net.connect_to(at(SERVER));
    net.settle();
    let server = net.a.accept(listener).unwrap().0;
    net.a.configure(&setting(&["2001:db8::f/64", "2001:db8::1f/64"], &["fe80::1"]));
    net.b.send(client, b"still there", None).unwrap();
    net.settle();
    assert_eq!(read(&mut net.a, server).unwrap(), b"still there");
    net.a.configure(&setting(&["2001:db8::1f/64"], &[]));
    assert_eq!(read(&mut net.a, server), Err(Errno::NETDOWN));
    net.pass(2 * SECOND);
    let client = net.connect_to(at("[2001:db8::1f]:53"));
    net.pass(SECOND);
    assert_eq!(net.b.connected(client), Ok(()), "who listens anywhere listens at new addresses");
    net.a.configure(&setting(&[], &[]));
    let id = net.a.open(true, true).unwrap();
    assert_eq!(net.a.connect(id, at("[2001:db8::2]:53")), Err(Errno::NETUNREACH));
}

#[test]
fn what_is_far_goes_to_the_router() {
    let mut net = Net::new();
    let router = "fe80::1".parse::<Ipv6Addr>().unwrap();
    net.a.configure(&setting(&["2001:db8::f/64"], &["fe80::1"]));
    let id = net.a.open(true, true).unwrap();
    net.a.send(id, b"far", Some(at("[2600::1]:53"))).unwrap();
    let mut wire = Wire::new(16);
    net.a.transmit(&mut wire);
    let asks = |frame: &&Vec<u8>| frame[20] == PROTOCOL_ICMPV6 && frame[54] == 135 && frame[62..78] == router.octets();
    let question = wire.sent.iter().find(asks).expect("the router is asked for");
    let IpAddr::V6(own) = address_v6(&question[22..38]).unwrap() else { panic!() };
    assert!(own.is_unicast_link_local(), "{own}");
    // An advertisement counts for the address it is about, whatever address it comes from.
    let mut body = vec![136, 0, 0, 0, 0xe0, 0, 0, 0];
    body.extend(router.octets());
    body.extend([2, 1, 2, 0, 0, 0, 0, 1]);
    for (hops, reached) in [(254, false), (255, true)] {
        receive(&mut net, &message(PEER, own, hops, &body));
        let mut wire = Wire::new(16);
        net.a.transmit(&mut wire);
        let gone = wire.sent.iter().any(|frame| frame[..6] == [2, 0, 0, 0, 0, 1] && frame[20] == 17);
        assert_eq!(gone, reached, "by {hops} hops");
    }
    // Before it is forgotten it is asked for again.
    for (seconds, asked) in [(40, false), (6, true), (0, false)] {
        sleep(seconds * SECOND);
        let mut wire = Wire::new(16);
        net.a.transmit(&mut wire);
        assert_eq!(wire.sent.iter().any(|frame| asks(&frame)), asked, "{seconds}");
    }
}

#[test]
fn our_addresses_are_defended_and_our_groups_reported() {
    let mut net = Net::new();
    let mut wire = Wire::new(16);
    net.a.transmit(&mut wire);
    let kinds: Vec<u8> = wire.sent.iter().filter(|f| f[20] == PROTOCOL_ICMPV6).map(|f| f[54]).collect();
    assert_eq!(kinds, [135, 136, 135, 136], "asked whether it is free, and announced, both addresses");
    assert!(wire.sent.iter().any(|frame| frame[..6] == [0x33, 0x33, 0, 0, 0, 0x16] && frame[62] == 143), "groups");
    // Somebody asks whether our address is free.
    let mut body = vec![135, 0, 0, 0, 0, 0, 0, 0];
    body.extend(ADDRESS_V6.octets());
    let group = "ff02::1:ff00:f".parse().unwrap();
    let replies = receive(&mut net, &message(Ipv6Addr::UNSPECIFIED, group, 255, &body));
    assert_eq!(replies.len(), 1);
    assert_eq!((replies[0][54], &replies[0][62..78]), (136, &ADDRESS_V6.octets()[..]));
    assert_eq!(replies[0][38..54], ALL_NODES.octets());
    assert!(receive(&mut net, &message(Ipv6Addr::UNSPECIFIED, group, 64, &body)).is_empty(), "from beyond the link");
    // Somebody asks for it, and is told.
    body.extend([1, 1, 2, 0, 0, 0, 0, 9]);
    let replies = receive(&mut net, &message(PEER, group, 255, &body));
    assert_eq!((replies[0][54], &replies[0][38..54]), (136, &PEER.octets()[..]));
    // A router asks who listens.
    let mut query = vec![130, 0, 0, 0, 0, 1, 0, 0];
    query.extend([0; 20]);
    receive(&mut net, &message("fe80::1".parse().unwrap(), ALL_NODES, 1, &query));
    let mut wire = Wire::new(16);
    net.a.transmit(&mut wire);
    assert!(wire.sent.iter().any(|frame| frame[62] == 143), "groups again");
}

#[test]
fn echo() {
    let mut net = Net::new();
    // The peer is known once it asked for us.
    let mut body = vec![135, 0, 0, 0, 0, 0, 0, 0];
    body.extend(ADDRESS_V6.octets());
    body.extend([1, 1, 2, 0, 0, 0, 0, 9]);
    receive(&mut net, &message(PEER, "ff02::1:ff00:f".parse().unwrap(), 255, &body));
    for length in [8, 1400, 5000] {
        let mut body = vec![0x5a; length];
        body[..8].copy_from_slice(&[128, 0, 0, 0, 0, 1, 0, 1]);
        // Longer than the wire carries in one: as if put together before.
        let mut wire = Wire::new(16);
        net.a.receive(&mut message(PEER, ADDRESS_V6, 64, &body), &mut wire);
        let pieces = length.div_ceil(1440);
        assert_eq!(wire.sent.len(), pieces, "{length}");
        assert!(wire.sent.iter().all(|f| f[20] == if pieces > 1 { PROTOCOL_FRAGMENT } else { PROTOCOL_ICMPV6 }));
    }
    assert!(
        receive(&mut net, &message(PEER, ALL_NODES, 64, &[128, 0, 0, 0, 0, 1, 0, 1])).is_empty(),
        "nobody's amplifier"
    );
}

#[test]
fn any_octets_never_panic() {
    use proptest::prelude::*;
    let seen = core::cell::RefCell::new(Net::new());
    let listener = seen.borrow_mut().listener_at(SocketAddr::new(ANY_V6, 53), 4);
    let socket = seen.borrow_mut().a.open(true, true).unwrap();
    seen.borrow_mut().a.bind(socket, SocketAddr::new(ANY_V6, 53)).unwrap();
    let header = proptest::sample::select(vec![0u8, 6, 17, 43, 44, 50, 51, 58, 59, 60, 135, 255]);
    proptest!(ProptestConfig::with_cases(2000), |(
        chain in proptest::collection::vec((header, proptest::collection::vec(any::<u8>(), 7)), 0..12),
        kind in 128u8..144, body in proptest::collection::vec(any::<u8>(), 0..90), hops in any::<u8>(), multicast in any::<bool>(),
    )| {
        let mut net = seen.borrow_mut();
        let to = if multicast { ALL_NODES } else { ADDRESS_V6 };
        // Messages of every kind with garbage in them, and chains of headers with lengths made up.
        let frame = message(PEER, to, if hops % 2 == 0 { 255 } else { hops }, &[&[kind, 0, 0, 0][..], &body].concat());
        receive(&mut net, &frame);
        let mut frame = query_v6(&[]);
        frame.truncate(54);
        for (number, (next, bytes)) in chain.iter().enumerate() {
            if number == 0 { frame[20] = *next } else { let at = 54 + 8 * (number - 1); frame[at] = *next }
            frame.push(59);
            frame.extend(bytes);
            if let [.., length, _, _, _, _, _, _] = &mut frame[..] { *length %= 3 }
        }
        frame.extend(&body);
        let length = (frame.len() - 54) as u16;
        frame[18..20].copy_from_slice(&length.to_be_bytes());
        receive(&mut net, &frame);
        frame[18..20].copy_from_slice(&[0, 0]);
        receive(&mut net, &frame);
        let mut wire = Wire::new(64);
        net.a.transmit(&mut wire);
    });
    let mut net = seen.into_inner();
    net.a.close(listener);
    net.a.close(socket);
    net.pass(10 * SECOND);
    assert_eq!(net.a.budget.taken(), 0);
}
