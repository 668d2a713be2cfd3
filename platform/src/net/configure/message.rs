//! DHCP messages (RFC 2131 §2) in Ethernet frames: replies read, requests written.
//!
//! A lease is asked for before there is an address, so these frames go past the stack. Headers are the stack's library's,
//! checked and summed by it; options are read here, because it knows one router only.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame,
    EthernetProtocol, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;
/// The shortest BOOTP message, which old relays and servers insist on (RFC 1542 §2.1).
const LEAST: usize = 300;
/// The most name servers taken.
pub(super) const NAMESERVERS: usize = 3;
/// The most characters taken of what a server says about a refusal.
const TEXT: usize = 80;

const NETMASK: u8 = 1;
const ROUTER: u8 = 3;
const DOMAIN_NAME_SERVER: u8 = 6;
const INTERFACE_MTU: u8 = 26;
const LEASE_TIME: u8 = 51;
const MESSAGE_TYPE: u8 = 53;
const SERVER_IDENTIFIER: u8 = 54;
const MESSAGE: u8 = 56;
const RENEWAL_TIME: u8 = 58;
const REBINDING_TIME: u8 = 59;
/// RFC 3442.
const CLASSLESS_ROUTES: u8 = 121;

/// What is asked for.
const WANTED: [u8; 8] =
    [NETMASK, ROUTER, DOMAIN_NAME_SERVER, INTERFACE_MTU, LEASE_TIME, RENEWAL_TIME, REBINDING_TIME, CLASSLESS_ROUTES];

/// What a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// An address could be had.
    Offer,
    /// An address is ours.
    Ack,
    /// It is not.
    Nak,
}

/// A server's message to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) verdict: Verdict,
    /// The request it answers.
    pub(super) transaction: u32,
    /// The server, as it names itself.
    pub(super) server: Ipv4Addr,
    /// Who handed the frame on: the server, or the relay before it.
    pub(super) hardware: [u8; 6],
    pub(super) address: Ipv4Addr,
    pub(super) prefix: Option<u8>,
    pub(super) router: Option<Ipv4Addr>,
    pub(super) nameservers: Vec<Ipv4Addr>,
    pub(super) mtu: Option<u16>,
    /// Seconds of the lease, and after how many to renew and to rebind it.
    pub(super) lifetime: Option<u32>,
    pub(super) renewal: Option<u32>,
    pub(super) rebinding: Option<u32>,
    /// Why, if the server says so.
    pub(super) text: String,
}

impl Reply {
    /// Reads a frame; nothing when it is not an intact message to the client at `hardware`.
    pub(super) fn parse(frame: &[u8], hardware: [u8; 6]) -> Option<Self> {
        let checksums = ChecksumCapabilities::default();
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        let ours = EthernetAddress(hardware);
        let to_us = ethernet.dst_addr() == ours || ethernet.dst_addr().is_broadcast();
        if ethernet.ethertype() != EthernetProtocol::Ipv4 || !to_us || ethernet.src_addr().is_multicast() {
            return None;
        }
        let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
        let header = Ipv4Repr::parse(&packet, &checksums).ok()?;
        if header.next_header != IpProtocol::Udp || packet.more_frags() || packet.frag_offset() != 0 {
            return None;
        }
        let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
        if (datagram.src_port(), datagram.dst_port()) != (DHCP_SERVER_PORT, DHCP_CLIENT_PORT) {
            return None;
        }
        UdpRepr::parse(&datagram, &header.src_addr.into(), &header.dst_addr.into(), &checksums).ok()?;
        let message = DhcpPacket::new_checked(datagram.payload()).ok()?;
        const COOKIE: u32 = 0x6382_5363;
        const REPLY: u8 = 2;
        if message.magic_number() != COOKIE
            || u8::from(message.opcode()) != REPLY
            || message.hardware_len() != 6
            || message.client_hardware_address() != ours
        {
            return None;
        }
        let mut reply = Self {
            verdict: Verdict::Nak,
            transaction: message.transaction_id(),
            server: Ipv4Addr::UNSPECIFIED,
            hardware: ethernet.src_addr().0,
            address: message.your_ip(),
            prefix: None,
            router: None,
            nameservers: Vec::new(),
            mtu: None,
            lifetime: None,
            renewal: None,
            rebinding: None,
            text: String::new(),
        };
        let mut verdict = None;
        let mut routed = None;
        for option in message.options() {
            let data = option.data;
            match option.kind {
                MESSAGE_TYPE => {
                    verdict = match data {
                        [2] => Some(Verdict::Offer),
                        [5] => Some(Verdict::Ack),
                        [6] => Some(Verdict::Nak),
                        _ => None,
                    }
                }
                SERVER_IDENTIFIER => reply.server = addresses(data).next().unwrap_or(reply.server),
                NETMASK => reply.prefix = addresses(data).next().and_then(prefix),
                ROUTER => reply.router = addresses(data).next(),
                DOMAIN_NAME_SERVER => reply.nameservers = addresses(data).take(NAMESERVERS).collect(),
                INTERFACE_MTU => reply.mtu = data.try_into().ok().map(u16::from_be_bytes),
                LEASE_TIME => reply.lifetime = data.try_into().ok().map(u32::from_be_bytes),
                RENEWAL_TIME => reply.renewal = data.try_into().ok().map(u32::from_be_bytes),
                REBINDING_TIME => reply.rebinding = data.try_into().ok().map(u32::from_be_bytes),
                CLASSLESS_ROUTES => routed = default_route(data),
                MESSAGE => {
                    let printable = data.iter().filter(|octet| (b' '..=b'~').contains(octet));
                    reply.text = printable.take(TEXT).map(|octet| char::from(*octet)).collect();
                }
                _ => {}
            }
        }
        // RFC 3442: where there are classless routes, the router option is not looked at.
        reply.router = routed.or(reply.router);
        // RFC 2131 §4.3.1: every reply names its server.
        (!reply.server.is_unspecified()).then_some(Self { verdict: verdict?, ..reply })
    }
}

/// A message to servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Whether an address is asked for by name, rather than any.
    pub(super) discover: bool,
    pub(super) transaction: u32,
    /// Seconds since the client began to ask.
    pub(super) seconds: u16,
    /// The address we have and use; unspecified if none.
    pub(super) client: Ipv4Addr,
    /// The address we would like to have.
    pub(super) requested: Option<Ipv4Addr>,
    /// The server whose offer is taken.
    pub(super) server: Option<Ipv4Addr>,
    /// The one server this goes to, and by whom; nothing for all.
    pub(super) to: Option<(Ipv4Addr, [u8; 6])>,
}

impl Request {
    /// Writes the frame; returns its length, or nothing when `out` is too short.
    pub(super) fn write(&self, out: &mut [u8], hardware: [u8; 6], mtu: usize) -> Option<usize> {
        let checksums = ChecksumCapabilities::default();
        let (target, next_hop) = self.to.unwrap_or((Ipv4Addr::BROADCAST, [0xff; 6]));
        let message = DhcpRepr {
            message_type: if self.discover { DhcpMessageType::Discover } else { DhcpMessageType::Request },
            transaction_id: self.transaction,
            secs: self.seconds,
            client_hardware_address: EthernetAddress(hardware),
            client_ip: self.client,
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            // Replies to an address that is not ours yet are seen here before the stack could refuse them.
            broadcast: false,
            requested_ip: self.requested,
            client_identifier: Some(EthernetAddress(hardware)),
            server_identifier: self.server,
            parameter_request_list: Some(&WANTED),
            dns_servers: None,
            max_size: u16::try_from(mtu).ok(),
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        let length = message.buffer_len().max(LEAST);
        let frame = out.get_mut(..ETHERNET + IPV4 + UDP + length)?;
        // Behind the last option stand pads, which are zeroes.
        frame.fill(0);
        let mut ethernet = EthernetFrame::new_unchecked(&mut *frame);
        ethernet.set_dst_addr(EthernetAddress(next_hop));
        ethernet.set_src_addr(EthernetAddress(hardware));
        ethernet.set_ethertype(EthernetProtocol::Ipv4);
        let header = Ipv4Repr {
            src_addr: self.client,
            dst_addr: target,
            next_header: IpProtocol::Udp,
            payload_len: UDP + length,
            hop_limit: 64,
        };
        header.emit(&mut Ipv4Packet::new_unchecked(&mut frame[ETHERNET..]), &checksums);
        let ports = UdpRepr { src_port: DHCP_CLIENT_PORT, dst_port: DHCP_SERVER_PORT };
        let mut written = true;
        ports.emit(
            &mut UdpPacket::new_unchecked(&mut frame[ETHERNET + IPV4..]),
            &self.client.into(),
            &target.into(),
            length,
            |payload| written = message.emit(&mut DhcpPacket::new_unchecked(payload)).is_ok(),
            &checksums,
        );
        written.then_some(ETHERNET + IPV4 + UDP + length)
    }
}

/// Returns the addresses one after the other in an option.
fn addresses(data: &[u8]) -> impl Iterator<Item = Ipv4Addr> {
    let (chunks, _) = data.as_chunks::<4>();
    chunks.iter().copied().map(Ipv4Addr::from_octets).filter(|address| !address.is_unspecified())
}

/// Returns the length of the prefix that a mask leaves.
fn prefix(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    (bits.leading_ones() + bits.trailing_zeros() == 32).then_some(bits.leading_ones() as u8)
}

/// Returns the router of the route to everywhere among classless routes: a length, so many octets, a router, and again.
fn default_route(mut data: &[u8]) -> Option<Ipv4Addr> {
    while let Some((&bits, rest)) = data.split_first() {
        let significant = usize::from(bits).div_ceil(8);
        let router = rest.get(significant..)?.first_chunk::<4>().copied().map(Ipv4Addr::from_octets)?;
        if bits == 0 {
            return Some(router).filter(|router| !router.is_unspecified());
        }
        data = rest.get(significant + 4..)?;
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const OURS: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    pub(crate) const SERVER_HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 1];

    /// A frame from the server, with the options given as they are.
    pub(crate) fn reply(kind: u8, transaction: u32, address: Ipv4Addr, options: &[&[u8]]) -> Vec<u8> {
        let mut message = vec![0; 240];
        message[..3].copy_from_slice(&[2, 1, 6]);
        message[4..8].copy_from_slice(&transaction.to_be_bytes());
        message[16..20].copy_from_slice(&address.octets());
        message[28..34].copy_from_slice(&OURS);
        message[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        message.extend([MESSAGE_TYPE, 1, kind, SERVER_IDENTIFIER, 4]);
        message.extend(SERVER.octets());
        message.extend(options.concat());
        message.push(255);
        datagram(&message)
    }

    fn datagram(message: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 42 + message.len()];
        frame[..6].copy_from_slice(&OURS);
        frame[6..12].copy_from_slice(&SERVER_HARDWARE);
        frame[12] = 8;
        let checksums = ChecksumCapabilities::default();
        let header = Ipv4Repr {
            src_addr: SERVER,
            dst_addr: Ipv4Addr::BROADCAST,
            next_header: IpProtocol::Udp,
            payload_len: 8 + message.len(),
            hop_limit: 64,
        };
        header.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &checksums);
        UdpRepr { src_port: 67, dst_port: 68 }.emit(
            &mut UdpPacket::new_unchecked(&mut frame[34..]),
            &SERVER.into(),
            &Ipv4Addr::BROADCAST.into(),
            message.len(),
            |payload| payload.copy_from_slice(message),
            &checksums,
        );
        frame
    }

    #[test]
    fn options_are_read() {
        let address = Ipv4Addr::new(192, 0, 2, 7);
        let frame = reply(
            5,
            7,
            address,
            &[
                &[1, 4, 255, 255, 255, 0],
                &[3, 8, 192, 0, 2, 254, 192, 0, 2, 253],
                &[6, 8, 192, 0, 2, 3, 0, 0, 0, 0],
                &[26, 2, 5, 120],
                &[51, 4, 0, 0, 14, 16],
                &[58, 4, 0, 0, 0, 30, 59, 4, 0, 0, 0, 60],
                &[56, 4, b'h', 27, b'i', 10],
            ],
        );
        let reply = Reply::parse(&frame, OURS).unwrap();
        assert_eq!((reply.verdict, reply.transaction, reply.server), (Verdict::Ack, 7, SERVER));
        assert_eq!((reply.address, reply.prefix, reply.hardware), (address, Some(24), SERVER_HARDWARE));
        assert_eq!(reply.router, Some(Ipv4Addr::new(192, 0, 2, 254)), "the first of two");
        assert_eq!(reply.nameservers, [Ipv4Addr::new(192, 0, 2, 3)]);
        assert_eq!((reply.mtu, reply.lifetime), (Some(1400), Some(3600)));
        assert_eq!((reply.renewal, reply.rebinding, reply.text.as_str()), (Some(30), Some(60), "hi"));
    }

    #[test]
    fn a_classless_default_route_outranks_the_router() {
        let routes: &[u8] = &[121, 14, 32, 10, 0, 0, 1, 0, 0, 0, 0, 0, 10, 0, 0, 1];
        let frame = reply(2, 7, Ipv4Addr::new(10, 0, 0, 9), &[&[3, 4, 10, 0, 0, 2], routes]);
        assert_eq!(Reply::parse(&frame, OURS).unwrap().router, Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(default_route(&[24, 10, 0, 0, 10, 0]), None, "cut short");
    }

    #[test]
    fn what_is_not_for_us_is_no_reply() {
        let frame = reply(2, 7, Ipv4Addr::new(10, 0, 0, 9), &[]);
        assert!(Reply::parse(&frame, OURS).is_some());
        assert!(Reply::parse(&frame, [2; 6]).is_none(), "another client");
        for at in [14, 24, 36, 40, 42, 278, 290] {
            let mut frame = frame.clone();
            frame[at] ^= 0x40;
            assert!(Reply::parse(&frame, OURS).is_none(), "octet {at}");
        }
        assert!(prefix(Ipv4Addr::new(255, 0, 255, 0)).is_none());
    }

    #[test]
    fn requests_are_what_servers_read() {
        let request = Request {
            discover: false,
            transaction: 9,
            seconds: 3,
            client: Ipv4Addr::UNSPECIFIED,
            requested: Some(Ipv4Addr::new(192, 0, 2, 7)),
            server: Some(SERVER),
            to: None,
        };
        let mut out = [0xaa; 1514];
        let length = request.write(&mut out, OURS, 1500).unwrap();
        assert_eq!(length, 342);
        let payload = &out[42..length];
        let message = DhcpPacket::new_checked(payload).unwrap();
        let parsed = DhcpRepr::parse(&message).unwrap();
        assert_eq!((parsed.message_type, parsed.transaction_id), (DhcpMessageType::Request, 9));
        assert_eq!((parsed.requested_ip, parsed.server_identifier), (request.requested, request.server));
        assert_eq!(payload[299], 0, "padded");
        assert!(request.write(&mut out[..341], OURS, 1500).is_none());
    }

    proptest! {
        #[test]
        fn any_message_is_survived(message in proptest::collection::vec(any::<u8>(), 0..600), head in any::<bool>()) {
            let mut message = message;
            if head && message.len() >= 240 {
                let good = reply(5, 7, SERVER, &[]);
                message[..240].copy_from_slice(&good[42..282]);
            }
            let _ = Reply::parse(&datagram(&message), OURS);
            let _ = Reply::parse(&message, OURS);
        }
    }
}
