//! Two stacks on one wire: what sockets promise, without a machine.

mod ipv6;

use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::vec::Vec;

use super::errno::Errno;
use super::frame::tests::{ADDRESS, ADDRESS_V6, link};
use super::link::{Link, Setting};
use super::machine::{Machine, Nanos, SECOND};
use super::responder::tests::Wire;
use super::socket::{Shutdown, SocketId};
use super::stack::Stack;
use super::waiters::readiness;

std::thread_local! {
    static NOW: Cell<Nanos> = const { Cell::new(SECOND) };
    static RANDOM: Cell<u64> = const { Cell::new(1) };
}

fn random(out: &mut [u8]) {
    for byte in out {
        RANDOM.set(RANDOM.get().wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407));
        *byte = (RANDOM.get() >> 56) as u8;
    }
}

pub(super) const MACHINE: Machine = Machine { clock: || NOW.get(), random };
pub(super) const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
pub(super) const ANY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
const LIMIT: usize = 16 << 20;

pub(super) fn setting(addresses: &[&str], gateways: &[&str]) -> Setting {
    let address = |address: &&str| {
        let (address, prefix) = address.split_once('/').unwrap();
        (address.parse().unwrap(), prefix.parse().unwrap())
    };
    Setting {
        addresses: addresses.iter().map(address).collect(),
        gateways: gateways.iter().map(|gateway| gateway.parse().unwrap()).collect(),
        mtu: None,
    }
}

/// Lets time pass while nobody does anything.
pub(super) fn sleep(time: Nanos) {
    NOW.set(NOW.get() + time);
}

pub(super) fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

/// A server (`a`) and a client (`b`) on a wire.
pub(super) struct Net {
    pub(super) a: Stack,
    pub(super) b: Stack,
    /// Whether frames of the client, and of the server, are lost.
    pub(super) lose: (bool, bool),
    /// The longest frame either sent.
    pub(super) longest: usize,
}

impl Net {
    pub(super) fn new() -> Self {
        Self::with_limit(LIMIT)
    }

    /// The same with so many bytes for sockets on either side.
    fn with_limit(limit: usize) -> Self {
        let mut peer = Link::new([2, 0, 0, 0, 0, 9], 1500);
        peer.set(&setting(&["10.0.2.2/24", "2001:db8::2/64"], &[]));
        let stack = |link| Stack::new(link, limit, MACHINE);
        Self { a: stack(link()), b: stack(peer), lose: (false, false), longest: 0 }
    }

    /// Carries frames to and fro until nothing moves, without letting time pass.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut from_a = Wire::new(256);
            let mut from_b = Wire::new(256);
            self.a.transmit(&mut from_a);
            self.b.transmit(&mut from_b);
            let mut quiet = true;
            while !from_a.sent.is_empty() || !from_b.sent.is_empty() {
                quiet = false;
                let longest = from_a.sent.iter().chain(&from_b.sent).map(Vec::len).max();
                self.longest = self.longest.max(longest.unwrap_or(0));
                let mut to_b = core::mem::take(&mut from_a.sent);
                let mut to_a = core::mem::take(&mut from_b.sent);
                to_b.iter_mut().filter(|_| !self.lose.1).for_each(|frame| self.b.receive(frame, &mut from_b));
                to_a.iter_mut().filter(|_| !self.lose.0).for_each(|frame| self.a.receive(frame, &mut from_a));
                self.a.after_receiving();
                self.b.after_receiving();
            }
            if quiet {
                return;
            }
        }
        panic!("the network does not come to rest");
    }

    /// Lets time pass in small steps.
    pub(super) fn pass(&mut self, time: Nanos) {
        let end = NOW.get() + time;
        while NOW.get() < end {
            NOW.set((NOW.get() + SECOND / 20).min(end));
            self.settle();
        }
    }

    pub(super) fn listener(&mut self, port: u16, backlog: i32) -> SocketId {
        self.listener_at(SocketAddr::new(ANY, port), backlog)
    }

    pub(super) fn listener_at(&mut self, address: SocketAddr, backlog: i32) -> SocketId {
        let id = self.a.open(false, address.is_ipv6()).unwrap();
        self.a.record_mut(id).unwrap().options.reuse_address = true;
        self.a.bind(id, address).unwrap();
        self.a.listen(id, backlog).unwrap();
        id
    }

    pub(super) fn connect(&mut self, port: u16) -> SocketId {
        self.connect_to(SocketAddr::new(ADDRESS.into(), port))
    }

    pub(super) fn connect_to(&mut self, address: SocketAddr) -> SocketId {
        let id = self.b.open(false, address.is_ipv6()).unwrap();
        assert_eq!(self.b.connect(id, address), Err(Errno::INPROGRESS));
        id
    }

    /// A connection, as the server and as the client hold it.
    pub(super) fn pair(&mut self) -> (SocketId, SocketId) {
        let listener = self.listener(80, 4);
        let client = self.connect(80);
        self.settle();
        self.b.connected(client).unwrap();
        let server = self.a.accept(listener).unwrap().0;
        self.a.close(listener);
        (server, client)
    }
}

pub(super) fn read(stack: &mut Stack, id: SocketId) -> Result<Vec<u8>, Errno> {
    let mut out = vec![0; 65536];
    stack.receive_from(id, &mut out, false).map(|(length, _)| out[..length].to_vec())
}

#[test]
fn bytes_go_both_ways_and_end() {
    let mut net = Net::new();
    let (server, client) = net.pair();
    assert_eq!(read(&mut net.a, server), Err(Errno::AGAIN));
    assert_eq!(net.b.send(client, b"question", None), Ok(8));
    net.settle();
    let mut out = [0; 4];
    assert_eq!(net.a.receive_from(server, &mut out, true), Ok((4, None)), "peeked");
    assert_eq!(read(&mut net.a, server).unwrap(), b"question");
    assert_eq!(net.a.send(server, b"answer", None), Ok(6));
    net.a.close(server);
    net.settle();
    assert_eq!(read(&mut net.b, client).unwrap(), b"answer", "what was sent before close arrives");
    assert_eq!(read(&mut net.b, client).unwrap(), b"");
    assert_eq!(read(&mut net.b, client).unwrap(), b"");
    net.b.close(client);
    net.pass(15 * SECOND);
    assert_eq!((net.a.budget.taken(), net.b.budget.taken()), (0, 0));
    assert_eq!(net.a.sockets.iter().count() + net.b.sockets.iter().count(), 0);
}

#[test]
fn fifty_connections_at_once_are_all_served() {
    let mut net = Net::new();
    let listener = net.listener(53, 128);
    let clients: Vec<_> = (0..50).map(|_| net.connect(53)).collect();
    net.settle();
    for client in &clients {
        net.b.connected(*client).unwrap();
    }
    let mut served = 0;
    while let Ok((server, _)) = net.a.accept(listener) {
        net.a.send(server, b"ok", None).unwrap();
        net.a.close(server);
        served += 1;
    }
    assert_eq!(served, 50);
    net.settle();
    for client in clients {
        assert_eq!(read(&mut net.b, client).unwrap(), b"ok");
        net.b.close(client);
    }
    net.pass(15 * SECOND);
    assert_eq!((net.a.budget.taken(), net.b.budget.taken()), (0, 0));
}

#[test]
fn hundreds_of_connections_in_a_row_leave_nothing() {
    let mut net = Net::new();
    let listener = net.listener(53, 16);
    for round in 0..600 {
        let client = net.connect(53);
        net.settle();
        let (server, _) = net.a.accept(listener).unwrap_or_else(|e| panic!("round {round}: {e:?}"));
        net.a.close(server);
        net.b.close(client);
        net.settle();
    }
    assert!(net.a.orphans.len() <= 128 && net.b.orphans.len() <= 128);
    net.pass(70 * SECOND);
    assert_eq!((net.a.budget.taken(), net.b.budget.taken()), (0, 0));
    net.a.close(listener);
    assert_eq!(net.a.sockets.iter().count() + net.b.sockets.iter().count(), 0);
}

#[test]
fn a_full_backlog_drops_and_the_client_gets_in_later() {
    let mut net = Net::new();
    let listener = net.listener(53, 2);
    let clients: Vec<_> = (0..2).map(|_| net.connect(53)).collect();
    net.settle();
    let late = net.connect(53);
    net.settle();
    assert_eq!(net.b.connected(late), Err(Errno::AGAIN), "neither served nor refused");
    net.a.accept(listener).unwrap();
    net.pass(5 * SECOND);
    assert_eq!(net.b.connected(late), Ok(()));
    assert_eq!(net.b.connected(clients[1]), Ok(()));
}

/// A client with a cookie for which there was no room when it came back goes on trying, and gets in.
#[test]
fn who_has_a_cookie_gets_in_when_there_is_room() {
    let mut net = Net::new();
    let listener = net.listener(53, 2);
    let clients: Vec<_> = (0..3).map(|_| net.connect(53)).collect();
    net.settle();
    assert_eq!(net.b.connected(clients[2]), Ok(()), "as far as it knows");
    net.b.send(clients[2], b"question", None).unwrap();
    net.pass(2 * SECOND);
    for _ in 0..2 {
        net.a.accept(listener).unwrap();
    }
    net.pass(20 * SECOND);
    let (server, _) = net.a.accept(listener).unwrap();
    assert_eq!(read(&mut net.a, server).unwrap(), b"question");
}

#[test]
fn half_open_connections_make_room_and_expire() {
    let mut net = Net::new();
    let listener = net.listener(53, 8);
    // Learn the hardware addresses first, or the SYNs wait for them.
    let first = net.connect(53);
    net.settle();
    let (server, _) = net.a.accept(listener).unwrap();
    net.b.close(first);
    net.settle();
    net.a.close(server);
    net.pass(15 * SECOND);
    assert_eq!(net.a.budget.taken(), 0);
    // A flood: SYNs from hosts that are gone when the answer comes.
    net.lose = (false, true);
    let mut flood: Vec<_> = (0..8).map(|_| net.connect(53)).collect();
    net.settle();
    let full = net.a.budget.taken();
    flood.extend((0..8).map(|_| net.connect(53)));
    net.settle();
    assert_eq!(net.a.budget.taken(), full, "bounded");
    net.lose = (true, true);
    for id in flood {
        net.b.close(id);
    }
    net.pass(SECOND);
    net.lose = (false, false);
    let honest = net.connect(53);
    net.pass(2 * SECOND);
    assert_eq!(net.b.connected(honest), Ok(()));
    net.pass(12 * SECOND);
    let one = net.a.budget.accepted().bytes();
    assert_eq!(net.a.budget.taken(), one, "only the honest one is left");
}

/// Sends SYNs from made-up addresses, each as often as is said, a while apart, and the same again.
struct Flood {
    v6: bool,
    times: usize,
    sent: Vec<Vec<u8>>,
}

impl Flood {
    fn new(v6: bool, times: usize) -> Self {
        Self { v6, times, sent: Vec::new() }
    }

    /// Sends `count` new SYNs, and those before that are not sent often enough.
    fn go_on(&mut self, net: &mut Net, count: usize) {
        let mut lost = Wire::new(usize::MAX);
        for _ in 0..count {
            let mut bytes = [0; 10];
            random(&mut bytes);
            let [a, b, c, d, port @ ..] = bytes;
            let source = if self.v6 {
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, a.into(), b.into(), c.into(), 0x1000 | u16::from(d)).into()
            } else {
                // Some are neighbours, who do not answer.
                let network = if a % 2 == 0 { [198, 51, b, c] } else { [10, 0, 2, 100 | b & 15] };
                IpAddr::from(network)
            };
            let port = u16::from_be_bytes([port[0], port[1]]) | 1;
            self.sent.push(syn(SocketAddr::new(source, port), u32::from_be_bytes([a, b, c, d])));
        }
        let again = self.sent.len().saturating_sub(count * self.times);
        for frame in &self.sent[again..] {
            net.a.receive(&mut frame.clone(), &mut lost);
        }
        net.a.after_receiving();
    }
}

#[test]
fn a_flood_from_forged_addresses_costs_clients_nothing() {
    for (v6, times) in [(false, 1), (false, 2), (false, 3), (true, 1), (true, 2), (true, 7)] {
        let mut net = Net::new();
        let (any, server) = if v6 { (ANY_V6, ADDRESS_V6.into()) } else { (ANY, IpAddr::from(ADDRESS)) };
        let listener = net.listener_at(SocketAddr::new(any, 53), 128);
        let mut flood = Flood::new(v6, times);
        for round in 0..40u64 {
            flood.go_on(&mut net, 60);
            let honest = net.connect_to(SocketAddr::new(server, 53));
            net.settle();
            assert_eq!(net.b.connected(honest), Ok(()), "{v6} {times} {round}: without waiting");
            flood.go_on(&mut net, 60);
            // Both ends agree on all numbers: what is sent arrives, and the end of it.
            let question = vec![round as u8; 700];
            net.b.send(honest, &question, None).unwrap();
            net.settle();
            let (server, _) = net.a.accept(listener).unwrap();
            assert_eq!(read(&mut net.a, server).unwrap(), question);
            let answer: Vec<u8> = (0..9000).map(|n| (n + round) as u8).collect();
            net.a.send(server, &answer, None).unwrap();
            net.a.close(server);
            net.settle();
            let mut got = Vec::new();
            while let Ok(bytes) = read(&mut net.b, honest)
                && !bytes.is_empty()
            {
                got.extend(bytes);
            }
            assert!(got == answer, "{v6} {times} {round}");
            net.b.close(honest);
            net.pass(SECOND / 4);
        }
        assert!(net.a.sockets.iter().count() <= 128 + 64, "what is half-open is bounded");
        assert!(net.a.outbound.sequences.kept() <= net.a.sockets.iter().count() + 64, "shifts are forgotten");
        net.pass(80 * SECOND);
        assert_eq!(net.a.budget.taken(), 0);
        assert!(!net.a.cookies.may_be_valid(NOW.get() + 100 * SECOND));
    }
}

#[test]
fn floods_leave_memory_to_own_connections() {
    let mut net = Net::with_limit(4 << 20);
    for any in [ANY, ANY_V6] {
        net.listener_at(SocketAddr::new(any, 53), 128);
        net.listener_at(SocketAddr::new(any, 853), 128);
    }
    for v6 in [false, true] {
        Flood::new(v6, 1).go_on(&mut net, 1000);
    }
    assert!(net.a.budget.taken() <= (4 << 20) / 4 + (40 << 10));
    for number in 1..4 {
        let own = net.a.open(false, false).unwrap();
        assert_eq!(net.a.connect(own, SocketAddr::from(([10, 0, 2, 30 + number], 9418))), Err(Errno::INPROGRESS));
    }
}

/// The SYN-ACK is lost, the acknowledgement is, or both, and more.
#[test]
fn connections_under_a_flood_survive_losses() {
    let mut net = Net::new();
    let listener = net.listener(53, 128);
    let mut flood = Flood::new(false, 2);
    for lose in [(false, true), (true, false), (true, true)] {
        flood.go_on(&mut net, 200);
        let honest = net.connect(53);
        net.lose = lose;
        net.pass(SECOND / 2);
        flood.go_on(&mut net, 200);
        net.lose = (false, false);
        net.pass(3 * SECOND);
        assert_eq!(net.b.connected(honest), Ok(()), "{lose:?}");
        let (server, _) = net.a.accept(listener).unwrap();
        // What follows the handshake is lost, and repeated.
        net.lose = lose;
        net.b.send(honest, b"question", None).unwrap();
        net.settle();
        net.lose = (false, false);
        net.pass(3 * SECOND);
        assert_eq!(read(&mut net.a, server).unwrap(), b"question");
    }
    // The acknowledgement alone is lost: data that follows proves the same.
    flood.go_on(&mut net, 200);
    let honest = net.connect(53);
    let mut to_a = Wire::new(16);
    let mut to_b = Wire::new(16);
    net.b.transmit(&mut to_a);
    net.a.receive(&mut to_a.sent.pop().unwrap(), &mut to_b);
    net.b.receive(&mut to_b.sent.pop().unwrap(), &mut to_a);
    net.b.after_receiving();
    net.b.transmit(&mut Wire::new(16));
    assert_eq!(net.b.connected(honest), Ok(()));
    assert_eq!(net.a.accept(listener), Err(Errno::AGAIN));
    net.b.send(honest, b"question", None).unwrap();
    net.settle();
    let (server, _) = net.a.accept(listener).unwrap();
    assert_eq!(read(&mut net.a, server).unwrap(), b"question");
}

#[test]
fn cookies_of_before_a_resumption_are_worth_nothing() {
    let mut net = Net::new();
    let listener = net.listener(53, 128);
    Flood::new(false, 1).go_on(&mut net, 200);
    let honest = net.connect(53);
    net.settle();
    let (server, _) = net.a.accept(listener).unwrap();
    net.a.resumed(false);
    net.b.send(honest, b"question", None).unwrap();
    net.settle();
    assert_eq!(read(&mut net.a, server).unwrap(), b"question", "connections go on");
    // One that comes back with an old cookie is reset and tries again.
    Flood::new(false, 1).go_on(&mut net, 200);
    let late = net.connect(53);
    let (mut to_a, mut to_b) = (Wire::new(16), Wire::new(16));
    net.b.transmit(&mut to_a);
    net.a.receive(&mut to_a.sent.pop().unwrap(), &mut to_b);
    net.a.resumed(false);
    net.b.receive(&mut to_b.sent.pop().unwrap(), &mut to_a);
    net.settle();
    assert_eq!(net.a.accept(listener), Err(Errno::AGAIN));
    net.b.connected(late).unwrap();
    net.pass(SECOND);
    assert_eq!(read(&mut net.b, late), Err(Errno::CONNRESET));
}

#[test]
fn made_up_acknowledgements_open_nothing_and_get_no_answer() {
    let mut net = Net::new();
    let listener = net.listener(53, 128);
    Flood::new(false, 1).go_on(&mut net, 200);
    let before = net.a.sockets.iter().count();
    let mut wire = Wire::new(usize::MAX);
    for number in 0..20_000u32 {
        let mut frame = syn(at("198.51.100.7:4321"), number);
        let mut segment = smoltcp::wire::TcpPacket::new_unchecked(&mut frame[34..]);
        segment.set_syn(false);
        segment.set_ack(true);
        segment.set_ack_number(smoltcp::wire::TcpSeqNumber(number.wrapping_mul(0x9e37_79b9) as i32));
        segment.fill_checksum(&Ipv4Addr::new(198, 51, 100, 7).into(), &ADDRESS.into());
        net.a.receive(&mut frame, &mut wire);
    }
    assert_eq!((wire.sent.len(), net.a.sockets.iter().count()), (0, before));
    assert_eq!(net.a.accept(listener), Err(Errno::AGAIN));
}

#[test]
fn a_damaged_syn_gets_no_cookie() {
    let mut net = Net::new();
    net.listener(53, 4);
    Flood::new(false, 1).go_on(&mut net, 20);
    let mut wire = Wire::new(16);
    let mut frame = syn(at("198.51.100.7:4321"), 7);
    net.a.receive(&mut frame.clone(), &mut wire);
    assert_eq!(wire.sent.len(), 1);
    assert_eq!(wire.sent[0][..6], frame[6..12], "to where it came from");
    frame[50] ^= 1;
    net.a.receive(&mut frame, &mut wire);
    assert_eq!(wire.sent.len(), 1);
}

#[test]
fn a_long_answer_begins_with_ten_segments_and_goes_on_with_their_acknowledgements() {
    let mut net = Net::new();
    let (server, client) = net.pair();
    let text: Vec<u8> = (0..100_000).map(|index| (index % 251) as u8).collect();
    let mut sent = net.a.send(server, &text, None).unwrap();
    let mut wire = Wire::new(256);
    net.a.transmit(&mut wire);
    assert_eq!(wire.sent.len(), 10);
    // The application has more, but nothing was acknowledged yet.
    sent += net.a.send(server, &text[sent..], None).unwrap();
    let mut wire = Wire::new(256);
    net.a.transmit(&mut wire);
    assert_eq!((sent, wire.sent.len()), (100_000, 0));
    // Those frames were lost: what a timer sends anew is acknowledged, and the rest follows.
    let mut read_back = Vec::new();
    while read_back.len() < text.len() {
        net.pass(SECOND);
        if let Ok(bytes) = read(&mut net.b, client) {
            read_back.extend(bytes);
        }
    }
    assert!(read_back == text);
}

/// A SYN to port 53 from anywhere.
fn syn(source: SocketAddr, sequence: u32) -> Vec<u8> {
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::*;
    let tcp = TcpRepr {
        src_port: source.port(),
        dst_port: 53,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(sequence as i32),
        ack_number: None,
        window_len: 1000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (mut frame, at, own) = match source.ip() {
        IpAddr::V4(source) => {
            let mut frame = super::frame::tests::query(&[0; 12]);
            let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
            packet.set_src_addr(source);
            packet.set_next_header(IpProtocol::Tcp);
            packet.fill_checksum();
            (frame, 34, IpAddr::from(ADDRESS))
        }
        IpAddr::V6(source) => {
            let mut frame = super::frame::tests::query_v6(&[0; 12]);
            let mut packet = Ipv6Packet::new_unchecked(&mut frame[14..]);
            packet.set_src_addr(source);
            packet.set_next_header(IpProtocol::Tcp);
            (frame, 54, IpAddr::from(ADDRESS_V6))
        }
    };
    let mut segment = TcpPacket::new_unchecked(&mut frame[at..]);
    tcp.emit(&mut segment, &source.ip().into(), &own.into(), &ChecksumCapabilities::default());
    frame
}

/// Connections go on when the machine was stopped, more than once too. In a copy of the machine they end.
#[test]
fn connections_survive_a_stop_but_not_a_copy() {
    let mut net = Net::new();
    let (server, client) = net.pair();
    for _ in 0..2 {
        net.a.resumed(false);
        net.b.resumed(false);
        net.a.send(server, b"answer", None).unwrap();
        net.b.send(client, b"question", None).unwrap();
        net.pass(SECOND);
        assert_eq!(read(&mut net.a, server).unwrap(), b"question");
        assert_eq!(read(&mut net.b, client).unwrap(), b"answer");
    }
    net.a.resumed(true);
    net.settle();
    assert_eq!(net.a.send(server, b"x", None), Err(Errno::CONNRESET));
    assert_eq!(read(&mut net.b, client), Err(Errno::CONNRESET), "the peer is told");
    let (server, client) = net.pair();
    net.a.send(server, b"again", None).unwrap();
    net.settle();
    assert_eq!(read(&mut net.b, client).unwrap(), b"again");
}

#[test]
fn refused_and_unanswered_connections() {
    let mut net = Net::new();
    let refused = net.connect(81);
    net.settle();
    assert_eq!(net.b.readiness(refused) & readiness::ERROR, readiness::ERROR);
    assert_eq!(net.b.connected(refused), Err(Errno::CONNREFUSED));
    net.lose = (true, true);
    let lost = net.connect(80);
    net.pass(100 * SECOND);
    assert_eq!(net.b.connected(lost), Err(Errno::AGAIN));
    net.pass(40 * SECOND);
    assert_eq!(net.b.connected(lost), Err(Errno::TIMEDOUT));
    assert_eq!(net.b.budget.taken(), 0);
}

#[test]
fn unreachable_addresses_fail_at_once() {
    let mut net = Net::new();
    let id = net.b.open(false, false).unwrap();
    for address in [[127, 0, 0, 1], [192, 0, 2, 1], [10, 0, 2, 255], [224, 0, 0, 1], [0, 0, 0, 0], [10, 0, 2, 2]] {
        assert_eq!(net.b.connect(id, SocketAddr::from((address, 80))), Err(Errno::NETUNREACH), "{address:?}");
    }
    assert_eq!(net.b.bind(id, at("127.0.0.1:80")), Err(Errno::ADDRNOTAVAIL));
}

#[test]
fn reset_is_reported_once_after_the_data() {
    let mut net = Net::new();
    let (server, client) = net.pair();
    net.a.send(server, b"half an answer", None).unwrap();
    net.settle();
    net.a.record_mut(server).unwrap().options.linger = Some(0);
    net.a.close(server);
    net.settle();
    assert_eq!(read(&mut net.b, client).unwrap(), b"half an answer");
    assert_eq!(read(&mut net.b, client), Err(Errno::CONNRESET));
    assert_eq!(read(&mut net.b, client).unwrap(), b"");
    assert_eq!(net.b.send(client, b"x", None), Err(Errno::PIPE));
}

#[test]
fn unread_data_at_close_resets() {
    let mut net = Net::new();
    let (server, client) = net.pair();
    net.b.send(client, b"unread", None).unwrap();
    net.settle();
    net.a.close(server);
    net.settle();
    assert_eq!(read(&mut net.b, client), Err(Errno::CONNRESET));
}

#[test]
fn halves_are_shut_down_separately() {
    let mut net = Net::new();
    let (server, client) = net.pair();
    net.b.send(client, b"all of it", None).unwrap();
    net.b.shutdown(client, Shutdown::Write).unwrap();
    assert_eq!(net.b.send(client, b"more", None), Err(Errno::PIPE));
    net.settle();
    assert_eq!(read(&mut net.a, server).unwrap(), b"all of it");
    assert_eq!(read(&mut net.a, server).unwrap(), b"");
    assert_eq!(net.a.send(server, b"late answer", None), Ok(11));
    net.settle();
    assert_eq!(read(&mut net.b, client).unwrap(), b"late answer");
    net.b.shutdown(client, Shutdown::Read).unwrap();
    assert_eq!(read(&mut net.b, client).unwrap(), b"");
    net.a.close(server);
    net.pass(15 * SECOND);
    assert_eq!(net.b.shutdown(client, Shutdown::Both), Err(Errno::NOTCONN));
    assert_eq!(read(&mut net.b, client).unwrap(), b"");
}

#[test]
fn data_survives_the_end_of_time_wait() {
    let mut net = Net::new();
    let (server, client) = net.pair();
    net.b.shutdown(client, Shutdown::Write).unwrap();
    net.a.send(server, b"read me late", None).unwrap();
    net.a.close(server);
    net.pass(30 * SECOND);
    assert_eq!(read(&mut net.b, client).unwrap(), b"read me late");
    assert_eq!(read(&mut net.b, client).unwrap(), b"");
}

#[test]
fn a_silent_peer_is_given_up() {
    let mut net = Net::new();
    let (server, client) = net.pair();
    net.pass(300 * SECOND);
    assert_eq!(read(&mut net.a, server), Err(Errno::AGAIN), "an idle peer that answers keep-alives stays");
    net.lose = (true, true);
    net.pass(300 * SECOND);
    assert_eq!(read(&mut net.a, server), Err(Errno::TIMEDOUT));
    assert_eq!(read(&mut net.b, client), Err(Errno::TIMEDOUT));
}

#[test]
fn closing_towards_a_dead_peer_ends() {
    let mut net = Net::new();
    let (server, client) = net.pair();
    net.lose = (true, true);
    net.a.send(server, &[7; 5000], None).unwrap();
    net.a.close(server);
    net.b.close(client);
    net.pass(90 * SECOND);
    assert_eq!((net.a.budget.taken(), net.b.budget.taken()), (0, 0));
}

#[test]
fn a_long_stream_arrives_whole() {
    let mut net = Net::new();
    let (server, client) = net.pair();
    let data: Vec<u8> = (0..1_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (mut sent, mut got) = (0, Vec::new());
    while got.len() < data.len() {
        if let Ok(taken) = net.b.send(client, &data[sent..], None) {
            sent += taken;
        }
        net.settle();
        while let Ok(bytes) = read(&mut net.a, server) {
            got.extend(bytes);
        }
        NOW.set(NOW.get() + SECOND / 100);
    }
    assert_eq!(got, data);
}

#[test]
fn ports() {
    let mut net = Net::new();
    let listener = net.listener(53, 1);
    let other = net.a.open(false, false).unwrap();
    assert_eq!(net.a.bind(other, SocketAddr::new(ANY, 53)), Err(Errno::ADDRINUSE));
    let datagram = net.a.open(true, false).unwrap();
    assert_eq!(net.a.bind(datagram, SocketAddr::new(ANY, 53)), Ok(()), "another protocol");
    assert_eq!(net.a.bind(datagram, SocketAddr::new(ANY, 54)), Err(Errno::INVAL));
    net.a.close(listener);
    assert_eq!(net.a.bind(other, SocketAddr::new(ANY, 53)), Ok(()));
    let chosen: Vec<u16> = (0..20)
        .map(|_| {
            let id = net.a.open(true, false).unwrap();
            net.a.bind(id, SocketAddr::new(ANY, 0)).unwrap();
            net.a.local_address(id).unwrap().port()
        })
        .collect();
    assert!(chosen.windows(2).any(|pair| pair[1] != pair[0] + 1), "not in sequence: {chosen:?}");
}

/// The remote may keep an ended connection in TIME-WAIT, and drop the SYN of a new one from the same port.
#[test]
fn connections_come_from_the_same_port_only_after_thousands_of_others() {
    let mut net = Net::new();
    let mut used = std::collections::BTreeSet::new();
    let mut ports = Vec::new();
    for number in 0..3000 {
        let id = net.connect(80);
        let port = net.b.local_address(id).unwrap().port();
        net.b.close(id);
        net.settle();
        assert!(used.insert(port), "{number}");
        ports.push(port);
    }
    assert!(ports.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) > 1).count() > 2900, "not in sequence");
}

#[test]
fn datagrams() {
    let mut net = Net::new();
    let server = net.a.open(true, false).unwrap();
    net.a.bind(server, SocketAddr::new(ANY, 53)).unwrap();
    let client = net.b.open(true, false).unwrap();
    assert_eq!(net.b.send(client, b"?", None), Err(Errno::DESTADDRREQ));
    net.b.connect(client, SocketAddr::new(ADDRESS.into(), 53)).unwrap();
    for length in [0, 5, 1472, 9000] {
        assert_eq!(net.b.send(client, &vec![length as u8; length], None), Ok(length));
        net.pass(SECOND / 10);
        let mut out = [0; 10_000];
        let (got, from) = net.a.receive_from(server, &mut out, false).unwrap();
        assert_eq!(got, length);
        assert_eq!(from, Some(net.b.local_address(client).unwrap()));
        assert_eq!(net.a.send(server, b"answer", from), Ok(6));
        net.settle();
        let mut short = [0; 3];
        assert_eq!(net.b.receive_from(client, &mut short, true).unwrap().0, 3);
        assert_eq!(read(&mut net.b, client).unwrap(), b"answer");
    }
    assert_eq!(net.b.send(client, &[0; 20_000], None), Err(Errno::MSGSIZE));
    let stranger = net.a.open(true, false).unwrap();
    let to = net.b.local_address(client).unwrap();
    net.a.send(stranger, b"forged", Some(to)).unwrap();
    net.settle();
    assert_eq!(read(&mut net.b, client), Err(Errno::AGAIN), "only the peer is heard");
    assert_eq!(net.b.send(client, b"x", Some(at("255.255.255.255:9"))), Err(Errno::ACCES));
    for id in [server, stranger] {
        net.a.close(id);
    }
    assert_eq!(net.a.budget.taken(), 0);
}

/// Nothing waits for a neighbour but what is for that neighbour, whatever sends it: a socket that serves, one that
/// notifies, and connections.
#[test]
fn the_dead_delay_nothing_to_others() {
    for v6 in [false, true] {
        let mut net = Net::new();
        let (any, server, peer) =
            if v6 { (ANY_V6, ADDRESS_V6.into(), "2001:db8::2") } else { (ANY, IpAddr::from(ADDRESS), "10.0.2.2") };
        let peer = SocketAddr::new(peer.parse().unwrap(), 5353);
        let dead = |number: u16| -> SocketAddr {
            let ip: IpAddr = if v6 {
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, number).into()
            } else {
                IpAddr::from([10, 0, 2, 20 + (number % 200) as u8])
            };
            SocketAddr::new(ip, 53)
        };
        let socket = net.a.open(true, v6).unwrap();
        net.a.bind(socket, SocketAddr::new(any, 53)).unwrap();
        let client = net.b.open(true, v6).unwrap();
        net.b.bind(client, SocketAddr::new(any, 5353)).unwrap();
        let listener = net.listener_at(SocketAddr::new(any, 53), 8);
        for round in 0..150u16 {
            // The neighbour is known in some rounds, and has to be found in others.
            if round % 40 == 39 {
                net.pass(61 * SECOND);
            }
            for number in 0..40 {
                net.a.send(socket, &vec![0; 10 * usize::from(number)], Some(dead(round * 7 + number))).unwrap();
            }
            assert_eq!(net.a.send(socket, &round.to_be_bytes(), Some(peer)), Ok(2));
            net.settle();
            assert_eq!(read(&mut net.b, client).unwrap(), round.to_be_bytes(), "{v6} {round}: without waiting");
            let connection = net.a.open(false, v6).unwrap();
            let _ = net.a.connect(connection, dead(round));
            net.a.close(connection);
            // Somebody who is not there begins a connection.
            net.a.receive(&mut syn(dead(round), u32::from(round)), &mut Wire::new(16));
            let connection = net.connect_to(SocketAddr::new(server, 53));
            net.settle();
            net.b.connected(connection).unwrap();
            let (accepted, _) = net.a.accept(listener).unwrap();
            net.a.close(accepted);
            net.b.close(connection);
            net.settle();
        }
    }
}

/// A request tells where its answer goes, and nothing else.
#[test]
fn the_hardware_address_of_a_request_is_for_its_answer_alone() {
    let mut net = Net::new();
    let server = net.a.open(true, false).unwrap();
    net.a.bind(server, SocketAddr::new(ANY, 53)).unwrap();
    // From 10.0.2.2, it says, but from somebody else.
    let mut request = super::frame::tests::query(b"?");
    request[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 0x66]);
    let sent = |net: &mut Net, asked: bool, waits: Nanos| {
        if asked {
            net.a.receive(&mut request.clone(), &mut Wire::new(16));
        }
        sleep(waits);
        net.a.send(server, b"!", Some(at("10.0.2.2:4321"))).unwrap();
        let mut wire = Wire::new(16);
        net.a.transmit(&mut wire);
        wire.sent.iter().any(|frame| frame[..6] == [2, 0, 0, 0, 0, 0x66])
    };
    assert!(sent(&mut net, true, SECOND), "nobody has to be found for an answer");
    assert!(!sent(&mut net, false, 0), "what is more is no answer");
    assert!(!sent(&mut net, true, 40 * SECOND), "so late neighbours may be others");
    assert!(sent(&mut net, true, 0));
    net.pass(SECOND);
    assert!(!sent(&mut net, false, 0));
}

#[test]
fn any_octets_never_panic() {
    use proptest::prelude::*;
    let seen = core::cell::RefCell::new(Net::new());
    let listener = seen.borrow_mut().listener(53, 4);
    let valid = super::frame::tests::query(&[7; 64]);
    proptest!(|(garbage in proptest::collection::vec(any::<u8>(), 0..120), at in 0usize..60, protocol in 0u8..20)| {
        let mut net = seen.borrow_mut();
        let mut frame = valid.clone();
        frame[23] = protocol;
        for (offset, byte) in garbage.iter().enumerate().take(valid.len() - at) {
            if offset + at > 33 {
                frame[offset + at] = *byte;
            }
        }
        smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
        let mut wire = Wire::new(64);
        net.a.receive(&mut frame, &mut wire);
        net.a.receive(&mut garbage.clone(), &mut wire);
        net.a.after_receiving();
        net.a.transmit(&mut wire);
    });
    let mut net = seen.into_inner();
    net.a.close(listener);
    net.pass(10 * SECOND);
    assert_eq!(net.a.budget.taken(), 0);
}
