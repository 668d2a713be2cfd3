//! Router advertisements and solicitations (RFC 4861 §4) in Ethernet frames: read in place, written in place.

use alloc::vec::Vec;
use core::net::Ipv6Addr;

use crate::drivers::checksum::Sum;

const ETHERNET: usize = 14;
const IPV6: usize = 40;
const ICMPV6: u8 = 58;
/// What routers send to hosts of their link alone has not been forwarded (RFC 4861 §6.1).
const HOP_LIMIT: u8 = 255;
const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
/// Bytes of an advertisement before its options.
const HEADER: usize = 16;
/// The multicast address of all routers, and the hardware address it makes (RFC 2464 §7).
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const ALL_ROUTERS_HARDWARE: [u8; 6] = [0x33, 0x33, 0, 0, 0, 2];

const OPTION_SOURCE: u8 = 1;
const OPTION_PREFIX: u8 = 3;
const OPTION_MTU: u8 = 5;
/// RFC 8106 §5.1.
const OPTION_NAMESERVERS: u8 = 25;
/// The most prefixes and name servers taken from one advertisement.
const MOST: usize = 8;

/// What a router says of itself and its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Advertisement {
    pub(super) router: Ipv6Addr,
    /// Seconds for which it leads everywhere; zero if it does not.
    pub(super) lifetime: u16,
    /// How it ranks among routers (RFC 4191 §2.1): 1, 0 or -1.
    pub(super) preference: i8,
    /// Whether addresses are given by DHCPv6.
    pub(super) managed: bool,
    pub(super) prefixes: Vec<Prefix>,
    pub(super) mtu: Option<u32>,
    /// Name servers, and the seconds for which each is one.
    pub(super) nameservers: Vec<(Ipv6Addr, u32)>,
}

/// A prefix of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) prefix: Ipv6Addr,
    pub(super) length: u8,
    /// Whether all addresses in it are on the link.
    pub(super) on_link: bool,
    /// Whether hosts make themselves addresses in it.
    pub(super) autonomous: bool,
    /// Seconds; `u32::MAX` for ever.
    pub(super) valid: u32,
    pub(super) preferred: u32,
}

impl Advertisement {
    /// Reads a frame; nothing when it is not an advertisement that passes RFC 4861 §6.1.2.
    pub(super) fn parse(frame: &[u8]) -> Option<Self> {
        let (header, rest) = frame.split_first_chunk::<{ ETHERNET + IPV6 }>()?;
        if header[12..14] != [0x86, 0xdd] || header[14] >> 4 != 6 || header[20] != ICMPV6 || header[21] != HOP_LIMIT {
            return None;
        }
        let body = rest.get(..usize::from(u16::from_be_bytes([header[18], header[19]])))?;
        let (fixed, options) = body.split_first_chunk::<HEADER>()?;
        if fixed[..2] != [ADVERTISEMENT, 0] || !sum(&header[22..54], body).is_intact() {
            return None;
        }
        let router = Ipv6Addr::from_octets(*header[22..].first_chunk()?);
        if !router.is_unicast_link_local() {
            return None;
        }
        let mut advertisement = Self {
            router,
            lifetime: u16::from_be_bytes([fixed[6], fixed[7]]),
            preference: match fixed[5] >> 3 & 3 {
                1 => 1,
                3 => -1,
                _ => 0,
            },
            managed: fixed[5] & 0x80 != 0,
            prefixes: Vec::new(),
            mtu: None,
            nameservers: Vec::new(),
        };
        let mut options = options;
        while let Some((&[kind, length], _)) = options.split_first_chunk::<2>() {
            // A length of zero makes the whole advertisement worthless; so does one beyond its end.
            let (option, rest) = options.split_at_checked(usize::from(length) * 8)?;
            if option.is_empty() {
                return None;
            }
            advertisement.take(kind, option);
            options = rest;
        }
        Some(advertisement)
    }

    fn take(&mut self, kind: u8, option: &[u8]) {
        let word = |at: usize| option.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_be_bytes);
        match (kind, option.len()) {
            (OPTION_PREFIX, 32) if self.prefixes.len() < MOST => {
                let (Some(valid), Some(preferred), Some(prefix)) = (word(4), word(8), option[16..].first_chunk())
                else {
                    return;
                };
                self.prefixes.push(Prefix {
                    prefix: Ipv6Addr::from_octets(*prefix),
                    length: option[2],
                    on_link: option[3] & 0x80 != 0,
                    autonomous: option[3] & 0x40 != 0,
                    valid,
                    preferred,
                });
            }
            (OPTION_MTU, 8) => self.mtu = word(4),
            (OPTION_NAMESERVERS, 24..) => {
                let Some(lifetime) = word(4) else { return };
                let (addresses, _) = option[8..].as_chunks::<16>();
                let room = MOST - self.nameservers.len().min(MOST);
                let addresses = addresses.iter().take(room);
                self.nameservers.extend(addresses.map(|address| (Ipv6Addr::from_octets(*address), lifetime)));
            }
            _ => {}
        }
    }
}

/// Writes a solicitation from `source`, an address of ours; returns its length, or nothing when `out` is too short.
pub(super) fn write_solicitation(out: &mut [u8], hardware: [u8; 6], source: Ipv6Addr) -> Option<usize> {
    const BODY: usize = 16;
    const LENGTH: usize = ETHERNET + IPV6 + BODY;
    let frame = out.get_mut(..LENGTH)?;
    frame.fill(0);
    frame[..6].copy_from_slice(&ALL_ROUTERS_HARDWARE);
    frame[6..12].copy_from_slice(&hardware);
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    frame[14] = 0x60;
    frame[19] = BODY as u8;
    frame[20..22].copy_from_slice(&[ICMPV6, HOP_LIMIT]);
    frame[22..38].copy_from_slice(&source.octets());
    frame[38..54].copy_from_slice(&ALL_ROUTERS.octets());
    frame[54] = SOLICITATION;
    frame[62..64].copy_from_slice(&[OPTION_SOURCE, 1]);
    frame[64..70].copy_from_slice(&hardware);
    let (header, body) = frame.split_at_mut(ETHERNET + IPV6);
    let sum = sum(&header[22..54], body).finish();
    body[2..4].copy_from_slice(&sum);
    Some(LENGTH)
}

/// Sums a message of ICMPv6 with its pseudo header (RFC 8200 §8.1).
fn sum(addresses: &[u8], body: &[u8]) -> Sum {
    Sum::default().add(addresses).add_word(ICMPV6.into()).add_word(body.len() as u16).add(body)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{Icmpv6Packet, Icmpv6Repr, Ipv6Packet, NdiscRepr};

    pub(crate) const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

    /// An advertisement of `router` for `lifetime` seconds, with these flags and options.
    pub(crate) fn advertise(router: Ipv6Addr, lifetime: u16, flags: u8, options: &[&[u8]]) -> Vec<u8> {
        let mut frame = vec![0; 70];
        frame[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 1]);
        frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        frame[20..22].copy_from_slice(&[ICMPV6, 255]);
        frame[22..38].copy_from_slice(&router.octets());
        frame[38..54].copy_from_slice(&Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).octets());
        frame[54] = ADVERTISEMENT;
        frame[58..60].copy_from_slice(&[64, flags]);
        frame[60..62].copy_from_slice(&lifetime.to_be_bytes());
        frame.extend(options.concat());
        let length = frame.len() - 54;
        frame[18..20].copy_from_slice(&(length as u16).to_be_bytes());
        seal(&mut frame);
        frame
    }

    fn seal(frame: &mut [u8]) {
        frame[56..58].fill(0);
        let sum = sum(&frame[22..54], &frame[54..]).finish();
        frame[56..58].copy_from_slice(&sum);
    }

    /// A prefix of 64 bits that hosts make addresses of.
    pub(crate) fn prefix(prefix: Ipv6Addr, valid: u32, preferred: u32) -> Vec<u8> {
        let mut option = vec![OPTION_PREFIX, 4, 64, 0xc0];
        option.extend(valid.to_be_bytes());
        option.extend(preferred.to_be_bytes());
        option.extend([0; 4]);
        option.extend(prefix.octets());
        option
    }

    /// Name servers for `lifetime` seconds.
    pub(crate) fn nameservers(servers: &[Ipv6Addr], lifetime: u32) -> Vec<u8> {
        let mut option = vec![OPTION_NAMESERVERS, 1 + 2 * servers.len() as u8, 0, 0];
        option.extend(lifetime.to_be_bytes());
        option.extend(servers.iter().flat_map(Ipv6Addr::octets));
        option
    }

    const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);

    #[test]
    fn options_are_read() {
        let server = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3);
        let frame = advertise(
            ROUTER,
            1800,
            0x88,
            &[
                &prefix(PREFIX, 600, 300),
                &[1, 1, 2, 0, 0, 0, 0, 1],
                &[5, 1, 0, 0, 0, 0, 5, 120],
                &nameservers(&[server, ROUTER], 60),
                &[200, 1, 0, 0, 0, 0, 0, 0],
                &prefix(ROUTER, 1, 1),
            ],
        );
        let advertisement = Advertisement::parse(&frame).unwrap();
        assert_eq!((advertisement.router, advertisement.lifetime), (ROUTER, 1800));
        assert_eq!((advertisement.managed, advertisement.preference, advertisement.mtu), (true, 1, Some(1400)));
        assert_eq!(advertisement.nameservers, [(server, 60), (ROUTER, 60)]);
        assert_eq!(advertisement.prefixes.len(), 2);
        let first = Prefix { prefix: PREFIX, length: 64, on_link: true, autonomous: true, valid: 600, preferred: 300 };
        assert_eq!(advertisement.prefixes[0], first);
    }

    /// RFC 4861 §6.1.2.
    #[test]
    fn what_no_router_of_the_link_sends_is_refused() {
        let frame = advertise(ROUTER, 1800, 0, &[&prefix(PREFIX, 600, 300)]);
        assert!(Advertisement::parse(&frame).is_some());
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut frame = frame.clone();
            change(&mut frame);
            seal(&mut frame);
            Advertisement::parse(&frame).is_some()
        };
        assert!(changed(&|_| ()));
        assert!(!changed(&|frame| frame[21] = 254), "forwarded");
        assert!(!changed(&|frame| frame[22] = 0x20), "from elsewhere");
        assert!(!changed(&|frame| frame[55] = 1), "code");
        assert!(!changed(&|frame| frame[71] = 0), "an option without a length");
        assert!(!changed(&|frame| frame[71] = 5), "an option beyond the end");
        assert!(!changed(&|frame| frame[20] = 17), "UDP");
        assert!(!changed(&|frame| frame.truncate(69)));
        let mut broken = frame.clone();
        broken[80] ^= 1;
        assert!(Advertisement::parse(&broken).is_none(), "checksum");
    }

    #[test]
    fn solicitations_are_what_routers_read() {
        let mut out = [0xaa; 100];
        let length = write_solicitation(&mut out, [2, 0, 0, 0, 0, 9], ROUTER).unwrap();
        let packet = Ipv6Packet::new_checked(&out[14..length]).unwrap();
        assert_eq!((packet.hop_limit(), packet.src_addr(), packet.dst_addr()), (255, ROUTER, ALL_ROUTERS));
        let message = Icmpv6Packet::new_checked(packet.payload()).unwrap();
        let checksums = ChecksumCapabilities::default();
        let parsed = Icmpv6Repr::parse(&ROUTER, &ALL_ROUTERS, &message, &checksums).unwrap();
        assert!(matches!(parsed, Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit { lladdr: Some(_) })), "{parsed:?}");
        assert!(write_solicitation(&mut out[..69], [2; 6], ROUTER).is_none());
    }

    proptest! {
        #[test]
        fn any_advertisement_is_survived(options in proptest::collection::vec(any::<u8>(), 0..200), flags in any::<u8>()) {
            let frame = advertise(ROUTER, 9, flags, &[&options]);
            let _ = Advertisement::parse(&frame);
            let _ = Advertisement::parse(&options);
        }
    }
}
