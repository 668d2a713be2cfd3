//! The TCP/IP stack: smoltcp, with what it lacks for a server around it.
//!
//! smoltcp does IP, ICMP and TCP. This file feeds it packets and time; its neighbours add what Linux's sockets promise
//! and smoltcp does not: a listen backlog (`listener`) that withstands floods (`cookies`), the fate of a connection after
//! `close` and the reason it ended (`stream`), datagram sockets (`datagram`), what ICMP tells of them (`icmp`), and the
//! records applications hold (`socket`). Between it and the device packets are cut into fragments and put into frames
//! (`outbound`) for neighbours that are found first (`neighbors`), or put together (`reassembly`), and IPv6 loses what
//! says nothing to us (`extensions`).
//!
//! Nothing here blocks or knows threads: a call that cannot go on answers `EAGAIN`, and `blocking` sleeps. Time and
//! randomness come in as functions, so all of it runs on the host in tests.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

use smoltcp::iface::Route;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use super::buffers::Budget;
use super::cookies::Cookies;
use super::device::StackDevice;
use super::errno::Errno;
use super::extensions::strip;
use super::frame::{Datagram, ETHERNET, Syn, is_for_us, is_misdirected};
use super::icmp::Message;
use super::link::{Link, Setting};
use super::listener::Admission;
use super::machine::{Machine, Nanos};
use super::neighbors::is_discovery;
use super::outbound::Outbound;
use super::reassembly::{Input, Reassembly};
use super::socket::{Kind, Record};
use super::stream::address;
use crate::drivers::nic::Transmit;

/// Rounds of egress at a time, each of at most one packet per socket, before arriving frames are looked at again.
const EGRESS_ROUNDS: usize = 16;

/// The stack and every socket in it.
pub(crate) struct Stack {
    pub(super) interface: Interface,
    pub(super) sockets: SocketSet<'static>,
    pub(super) link: Link,
    pub(super) records: Vec<Option<Record>>,
    pub(super) orphans: Vec<Orphan>,
    pub(super) budget: Budget,
    pub(super) machine: Machine,
    pub(super) cookies: Cookies,
    pub(super) outbound: Outbound,
    /// The datagram socket that sends first, modulo their number.
    pub(super) turn: usize,
    /// The ports of the last connections, the latest last.
    pub(super) recent_ports: VecDeque<u16>,
    reassembly: Reassembly,
}

/// A TCP connection no application holds any more, until both sides agree it is over.
pub(super) struct Orphan {
    pub(super) handle: SocketHandle,
    pub(super) bytes: usize,
    pub(super) deadline: Nanos,
}

/// What `transmit` left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Egress {
    /// Nothing is left to send now.
    Done,
    /// More is ready to be sent.
    More,
    /// All transmit buffers are on their way.
    Exhausted,
}

impl Stack {
    /// Makes a stack whose sockets may take `limit` bytes of buffers.
    pub(crate) fn new(link: Link, limit: usize, machine: Machine) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        let mut seed = [0; 8];
        (machine.random)(&mut seed);
        config.random_seed = u64::from_ne_bytes(seed);
        let mut no_device = NoDevice;
        let mut outbound = Outbound::new(link.clone(), machine);
        let mut device = StackDevice::new(None, &mut no_device, &mut outbound);
        let interface = Interface::new(config, &mut device, instant((machine.clock)()));
        let mut stack = Self {
            interface,
            sockets: SocketSet::new(Vec::new()),
            link,
            records: Vec::new(),
            orphans: Vec::new(),
            budget: Budget::new(limit),
            machine,
            cookies: Cookies::new(machine.random),
            outbound,
            turn: 0,
            recent_ports: VecDeque::new(),
            reassembly: Reassembly::default(),
        };
        let nothing = Link::new(stack.link.hardware, stack.link.mtu);
        stack.follow_link(&nothing);
        stack
    }

    /// Takes over addresses and routers. Connections from an address that is ours no longer end.
    pub(super) fn configure(&mut self, setting: &Setting) {
        let mut link = self.link.clone();
        link.set(setting);
        if link != self.link {
            let before = core::mem::replace(&mut self.link, link);
            self.follow_link(&before);
            self.end_homeless();
        }
    }

    /// Makes the interface have the link's addresses and routers.
    fn follow_link(&mut self, before: &Link) {
        let Self { interface, link, .. } = self;
        self.outbound.follow(link, before);
        interface.update_ip_addrs(|addresses| {
            addresses.clear();
            // The link has no more than there is room for: cannot fail.
            addresses.extend(link.addresses.iter().map(|(address, prefix)| IpCidr::new((*address).into(), *prefix)));
        });
        interface.routes_mut().update(|routes| {
            routes.clear();
            routes.extend(link.gateways.iter().map(|gateway| match IpAddress::from(*gateway) {
                IpAddress::Ipv4(gateway) => Route::new_ipv4_gateway(gateway),
                IpAddress::Ipv6(gateway) => Route::new_ipv6_gateway(gateway),
            }));
        });
    }

    /// Ends the connections whose own address is gone.
    fn end_homeless(&mut self) {
        for (_, socket) in self.sockets.iter_mut() {
            if let smoltcp::socket::Socket::Tcp(socket) = socket
                && socket.local_endpoint().is_some_and(|local| !self.link.is_own(local.addr.into()))
            {
                socket.abort();
            }
        }
        self.sweep(Errno::NETDOWN);
    }

    /// Draws the secrets anew after the machine was resumed, because a copy of it may have the same.
    ///
    /// If it is `copied` for certain, all connections end: a copy that continued one would use the keys of TLS or SSH
    /// twice for different octets.
    pub(super) fn resumed(&mut self, copied: bool) {
        let mut connections = Vec::new();
        for (_, socket) in self.sockets.iter_mut() {
            if let smoltcp::socket::Socket::Tcp(socket) = socket
                && let (Some(own), Some(peer)) = (socket.local_endpoint(), socket.remote_endpoint())
            {
                // Those that are being established fail and are tried again, under the new secret.
                if !matches!(socket.state(), tcp::State::SynSent | tcp::State::SynReceived) {
                    connections.push((address(own), address(peer)));
                }
                if copied {
                    socket.abort();
                }
            }
        }
        self.outbound.renew(connections.into_iter());
        self.cookies.renew(self.machine.random);
        self.sweep(Errno::CONNRESET);
    }

    /// Takes in one frame, which is changed on the way; replies the stack makes at once (ARP, ICMP, RST) are sent.
    pub(crate) fn receive(&mut self, frame: &mut [u8], transmit: &mut impl Transmit) {
        let mut stripped = strip(frame);
        let frame = stripped.as_deref_mut().unwrap_or(frame);
        let now = self.now();
        match self.reassembly.take_in(frame, &self.link, now) {
            Input::Whole => self.receive_whole(frame, transmit),
            // Neighbours are not found by fragments (RFC 6980 §5).
            Input::Complete(frame) if is_discovery(&frame) => {}
            Input::Complete(frame) => self.receive_whole(&mut strip(&frame).unwrap_or(frame), transmit),
            Input::Nothing => {}
        }
    }

    fn receive_whole(&mut self, frame: &mut [u8], transmit: &mut impl Transmit) {
        if !is_for_us(frame, &self.link) || is_misdirected(frame) {
            return;
        }
        if let Some(datagram) = Datagram::parse(frame, &self.link)
            && self.deliver(&datagram)
        {
            return;
        }
        let now = self.now();
        if self.outbound.neighbors.take_in(frame, &self.link, now, transmit) {
            return;
        }
        let syn = Syn::parse(frame, &self.link);
        let admission = match &syn {
            Some(syn) => self.expect_connection(syn),
            None if self.cookies.may_be_valid(now) && !self.expect_proof(frame) => Admission::Dropped,
            None => Admission::Stack,
        };
        match admission {
            Admission::Stack => {}
            Admission::Cookie => return self.answer_with_cookie(frame, transmit),
            Admission::Dropped => return,
        }
        if let Some(message) = Message::parse(frame, &self.link) {
            self.hear(&message);
            return;
        }
        self.outbound.adapt_received(frame);
        let mut device = StackDevice::new(frame.get(ETHERNET..), transmit, &mut self.outbound);
        self.interface.poll_ingress_single(instant(now), &mut device, &mut self.sockets);
        if let Some(syn) = syn {
            self.tidy_listener(syn.destination);
        }
    }

    /// Notes what received frames did to the sockets. To be called after each burst.
    pub(crate) fn after_receiving(&mut self) {
        self.sweep(Errno::CONNRESET);
    }

    /// Sends what is due and lets timers of the stack expire.
    pub(crate) fn transmit(&mut self, transmit: &mut impl Transmit) -> Egress {
        let now = self.now();
        self.expire(now);
        let mut short = self.transmit_datagrams(transmit);
        let mut device = StackDevice::new(None, transmit, &mut self.outbound);
        let mut left = Egress::More;
        for _ in 0..EGRESS_ROUNDS {
            let result = self.interface.poll_egress(instant(now), &mut device, &mut self.sockets);
            if device.exhausted {
                short = true;
                break;
            }
            if result == smoltcp::iface::PollResult::None {
                left = Egress::Done;
                break;
            }
        }
        // Last: the packets just sent may need neighbours to be resolved.
        short |= self.outbound.transmit(transmit);
        if short {
            left = Egress::Exhausted;
        }
        self.interface.poll_maintenance(instant(now));
        // A connection that closed while sending gave up waiting for its peer.
        self.sweep(Errno::TIMEDOUT);
        left
    }

    /// Returns when `transmit` has to be called next, at the latest; nothing when only an event changes anything.
    pub(crate) fn deadline(&mut self) -> Option<Nanos> {
        let now = instant(self.now());
        let stack = self.interface.poll_at(now, &self.sockets).map(|at| at.total_micros().max(0) as u64 * 1000);
        let embryos = self.records.iter().flatten().filter_map(Record::deadline);
        let orphans = self.orphans.iter().map(|orphan| orphan.deadline);
        embryos.chain(orphans).chain(stack).chain(self.outbound.neighbors.deadline()).min()
    }

    /// Wakes the threads whose sockets became ready.
    pub(crate) fn wake_ready(&self) {
        for record in self.records.iter().flatten() {
            let wanted = record.waiters.wanted();
            if wanted != 0 && self.readiness_of(record) & wanted != 0 {
                record.waiters.wake();
            }
        }
    }

    /// Returns the time.
    pub(super) fn now(&self) -> Nanos {
        (self.machine.clock)()
    }

    /// Returns our end and the peer's end of each TCP socket that has a peer.
    pub(super) fn connections(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr)> {
        self.sockets.iter().filter_map(|(_, socket)| match socket {
            smoltcp::socket::Socket::Tcp(socket) => {
                Some((address(socket.local_endpoint()?), address(socket.remote_endpoint()?)))
            }
            _ => None,
        })
    }

    pub(super) fn tcp(&self, handle: SocketHandle) -> &tcp::Socket<'static> {
        self.sockets.get(handle)
    }

    pub(super) fn tcp_mut(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Takes a socket out of the stack and its buffers off the budget.
    pub(super) fn discard(&mut self, handle: SocketHandle, bytes: usize) {
        drop(self.sockets.remove(handle));
        self.budget.give_back(bytes);
    }

    /// Looks at every connection for changes of state. `cause` is why one that closed without a FIN did so.
    fn sweep(&mut self, cause: Errno) {
        for index in 0..self.records.len() {
            match self.records[index].as_ref().map(|record| &record.kind) {
                Some(Kind::Stream(_)) => self.sweep_stream(index, cause),
                Some(Kind::Listener(_)) => self.sweep_listener(index),
                _ => {}
            }
        }
        self.sweep_orphans();
    }

    fn expire(&mut self, now: Nanos) {
        for index in 0..self.records.len() {
            self.expire_embryos(index, now);
        }
        self.expire_orphans(now);
        self.outbound.expire(now);
    }
}

/// Converts to smoltcp's time.
pub(super) fn instant(now: Nanos) -> Instant {
    Instant::from_micros((now / 1000) as i64)
}

/// What the stack is created on; the real device comes with each call.
struct NoDevice;

impl Transmit for NoDevice {
    fn buffer(&mut self) -> Option<&mut [u8]> {
        None
    }
    fn send(&mut self, _: usize) {}
}
