//! Fragments of IP packets, put together again (RFC 791 §3.2, RFC 8200 §4.5).
//!
//! Strangers fill this memory, so everything about it is bounded: how many packets, how long and how many pieces each,
//! and for how long. The oldest packet makes room for a new one: pieces of honest packets come close together.
//! Pieces that overlap ruin their packet, of either family (RFC 5722): nobody honest sends them.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use super::frame::{ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6, IPV4, IPV6, address_v6};
use super::link::Link;
use super::machine::{Nanos, SECOND};
use super::outbound::{FRAGMENT, PROTOCOL_FRAGMENT};
use crate::drivers::checksum::Sum;

/// The most packets put together at a time.
const PACKETS: usize = 16;
/// The most pieces of one.
const PIECES: usize = 64;
/// The most bytes behind its header: what a socket's queue holds, with room for headers.
const LONGEST: usize = 33 << 10;
/// How long the rest of a packet is waited for. The RFCs say up to a minute; what takes so long was repeated before.
const PATIENCE: Nanos = 3 * SECOND;

/// What became of a frame.
pub(super) enum Input {
    /// It is no fragment.
    Whole,
    /// It was a fragment, and is kept or dropped.
    Nothing,
    /// It was the last fragment of this packet, in a frame as if it had come in one.
    Complete(Vec<u8>),
}

/// The packets of which pieces are missing.
#[derive(Default)]
pub(super) struct Reassembly(Vec<Partial>);

/// What fragments of a packet have in common. Of IPv6 the protocol does not count.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    identification: u32,
}

struct Partial {
    key: Key,
    born: Nanos,
    /// The first fragment's headers, in front of which the rest belongs.
    head: Vec<u8>,
    pieces: Vec<(usize, Vec<u8>)>,
    /// Bytes of the packet behind its header, once the last fragment told.
    total: Option<usize>,
    /// Nothing will become of it.
    ruined: bool,
}

/// A fragment of a packet.
struct Piece<'a> {
    key: Key,
    /// Ethernet's and IP's headers, the latter without options or extensions.
    head: Vec<u8>,
    offset: usize,
    more: bool,
    bytes: &'a [u8],
}

impl Reassembly {
    /// Looks at a frame, and keeps it when it is a fragment of a packet from one peer to us alone.
    pub(super) fn take_in(&mut self, frame: &[u8], link: &Link, now: Nanos) -> Input {
        if !is_fragment(frame) {
            return Input::Whole;
        }
        let Some(piece) = parse(frame, link) else { return Input::Nothing };
        if piece.offset == 0 && !piece.more {
            // RFC 6946: whole already, and none of the business of other fragments.
            return Input::Complete(with_length(piece.head, piece.bytes.len(), |out| out.extend(piece.bytes)));
        }
        self.0.retain(|partial| now.saturating_sub(partial.born) < PATIENCE);
        let at = match self.0.iter().position(|partial| partial.key == piece.key) {
            Some(at) => at,
            None => {
                if self.0.len() >= PACKETS {
                    self.0.remove(0);
                }
                self.0.push(Partial::new(piece.key, now));
                self.0.len() - 1
            }
        };
        let partial = &mut self.0[at];
        if !partial.add(piece) {
            // What still comes of it is dropped, too, until it is forgotten.
            *partial = Partial { ruined: true, ..Partial::new(partial.key, partial.born) };
        }
        match partial.total {
            Some(total) if total == partial.length() => Input::Complete(self.0.remove(at).assemble(total)),
            _ => Input::Nothing,
        }
    }
}

impl Partial {
    fn new(key: Key, born: Nanos) -> Self {
        Self { key, born, head: Vec::new(), pieces: Vec::new(), total: None, ruined: false }
    }

    /// Returns how many bytes are there.
    fn length(&self) -> usize {
        self.pieces.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Adds a piece; returns whether the packet can still become one.
    fn add(&mut self, piece: Piece) -> bool {
        let Piece { head, offset, more, bytes, .. } = piece;
        let end = offset + bytes.len();
        // All but the last are of a length that eight divides, or nothing could follow them.
        if self.ruined || bytes.is_empty() || more && !bytes.len().is_multiple_of(8) || end > LONGEST {
            return false;
        }
        if !more && self.total.is_some_and(|total| total != end) {
            return false;
        }
        let total = if more { self.total } else { Some(end) };
        let reach = self.pieces.iter().map(|(offset, bytes)| offset + bytes.len()).max();
        if total.is_some_and(|total| end.max(reach.unwrap_or(0)) > total) {
            return false;
        }
        for (start, held) in &self.pieces {
            if *start < end && offset < start + held.len() {
                // A repetition is no attack: networks duplicate packets.
                return *start == offset && held == bytes;
            }
        }
        if self.pieces.len() >= PIECES {
            return false;
        }
        self.total = total;
        if offset == 0 {
            self.head = head;
        }
        self.pieces.push((offset, bytes.to_vec()));
        true
    }

    /// Makes the frame; all pieces are there.
    fn assemble(mut self, total: usize) -> Vec<u8> {
        self.pieces.sort_unstable_by_key(|(offset, _)| *offset);
        with_length(self.head, total, |out| out.extend(self.pieces.iter().flat_map(|(_, bytes)| bytes)))
    }
}

/// Completes headers for a packet with `length` bytes behind them, and adds those.
fn with_length(mut frame: Vec<u8>, length: usize, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let header = &mut frame[ETHERNET..];
    if header.len() == IPV4 {
        header[2..4].copy_from_slice(&((IPV4 + length) as u16).to_be_bytes());
        header[6..8].fill(0);
        header[10..12].fill(0);
        let sum = Sum::default().add(header).finish();
        header[10..12].copy_from_slice(&sum);
    } else {
        header[4..6].copy_from_slice(&(length as u16).to_be_bytes());
    }
    body(&mut frame);
    frame
}

/// Returns whether the frame is a part of a packet, for whomever.
fn is_fragment(frame: &[u8]) -> bool {
    let Some((ethernet, packet)) = frame.split_first_chunk::<ETHERNET>() else { return false };
    match [ethernet[12], ethernet[13]] {
        ETHERTYPE_IPV4 => packet.len() >= 8 && (packet[6] & 0x3f != 0 || packet[7] != 0),
        ETHERTYPE_IPV6 => packet.get(6) == Some(&PROTOCOL_FRAGMENT),
        _ => false,
    }
}

fn parse<'a>(frame: &'a [u8], link: &Link) -> Option<Piece<'a>> {
    let (ethernet, packet) = frame.split_first_chunk::<ETHERNET>()?;
    if ethernet[..6] != link.hardware || ethernet[6] & 1 != 0 {
        return None;
    }
    let piece = if [ethernet[12], ethernet[13]] == ETHERTYPE_IPV4 {
        parse_v4(ethernet, packet)?
    } else {
        parse_v6(ethernet, packet)?
    };
    (link.is_own(piece.key.destination) && link.is_peer(piece.key.source)).then_some(piece)
}

fn parse_v4<'a>(ethernet: &[u8], packet: &'a [u8]) -> Option<Piece<'a>> {
    let (header, _) = packet.split_first_chunk::<IPV4>()?;
    let header_length = usize::from(header[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 || header_length < IPV4 || total < header_length {
        return None;
    }
    let packet = packet.get(..total)?;
    if !Sum::default().add(&packet[..header_length]).is_intact() {
        return None;
    }
    let flags = u16::from_be_bytes([header[6], header[7]]);
    let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]).into();
    let mut head = [ethernet, header].concat();
    head[ETHERNET] = 0x45;
    Some(Piece {
        key: Key {
            source: address(12),
            destination: address(16),
            protocol: header[9],
            identification: u16::from_be_bytes([header[4], header[5]]).into(),
        },
        head,
        offset: usize::from(flags & 0x1fff) * 8,
        more: flags & 0x2000 != 0,
        bytes: &packet[header_length..],
    })
}

fn parse_v6<'a>(ethernet: &[u8], packet: &'a [u8]) -> Option<Piece<'a>> {
    let (header, rest) = packet.split_first_chunk::<IPV6>()?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let (extension, bytes) = rest.get(..length)?.split_first_chunk::<FRAGMENT>()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let place = u16::from_be_bytes([extension[2], extension[3]]);
    let mut head = [ethernet, header].concat();
    head[ETHERNET + 6] = extension[0];
    Some(Piece {
        key: Key {
            source: address_v6(&header[8..24])?,
            destination: address_v6(&header[24..40])?,
            protocol: 0,
            identification: u32::from_be_bytes([extension[4], extension[5], extension[6], extension[7]]),
        },
        head,
        offset: usize::from(place & !7),
        more: place & 1 != 0,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::super::frame::Datagram;
    use super::super::frame::tests::{link, query, query_v6};
    use super::*;
    use proptest::prelude::*;

    /// A fragment over IPv6 of a datagram, with these bytes of it.
    fn piece(identification: u8, offset: usize, more: bool, bytes: &[u8]) -> Vec<u8> {
        let mut frame = query_v6(&[]);
        frame.truncate(ETHERNET + IPV6);
        frame[18..20].copy_from_slice(&((8 + bytes.len()) as u16).to_be_bytes());
        frame[20] = PROTOCOL_FRAGMENT;
        frame.extend([17, 0]);
        frame.extend((offset as u16 | u16::from(more)).to_be_bytes());
        frame.extend([0, 0, 0, identification]);
        frame.extend(bytes);
        frame
    }

    /// A datagram over IPv6, behind its IP header.
    fn datagram() -> Vec<u8> {
        query_v6(&[5; 100])[54..].to_vec()
    }

    fn complete(input: Input) -> bool {
        match input {
            Input::Complete(frame) => {
                assert_eq!(Datagram::parse(&frame, &link()).unwrap().payload, [5; 100]);
                true
            }
            Input::Nothing => false,
            Input::Whole => panic!("it is a fragment"),
        }
    }

    #[test]
    fn overlaps_ruin_a_packet_and_repetitions_do_not() {
        let whole = datagram();
        let mut reassembly = Reassembly::default();
        let mut add = |identification, offset: usize, more, end: usize| {
            complete(reassembly.take_in(&piece(identification, offset, more, &whole[offset..end]), &link(), 0))
        };
        assert!(!add(1, 0, true, 48));
        assert!(!add(1, 0, true, 48), "again");
        assert!(add(1, 48, false, 108));
        assert!(!add(2, 0, true, 48));
        assert!(!add(2, 40, true, 56), "overlaps");
        assert!(!add(2, 48, false, 108), "nothing becomes of it");
        assert!(!add(3, 48, false, 108));
        assert!(!add(3, 56, false, 100), "another end");
        assert!(!add(3, 0, true, 48));
        assert!(!add(4, 0, true, 44), "a length that is no multiple of eight");
        assert!(!add(4, 48, false, 108));
        assert!(add(5, 0, false, 108), "all of it in one");
    }

    #[test]
    fn fragments_for_others_are_dropped() {
        let whole = datagram();
        for (at, value) in [(0, 1), (6, 1), (38, 0xff), (22, 0xff), (53, 99)] {
            let mut frame = piece(1, 0, false, &whole);
            frame[at] = value;
            assert!(!complete(Reassembly::default().take_in(&frame, &link(), 0)), "{at}");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_rest_is_not_waited_for_long() {
        let mut reassembly = Reassembly::default();
        let whole = datagram();
        for identification in 0..100 {
            reassembly.take_in(&piece(identification, 0, true, &whole[..48]), &link(), 0);
        }
        assert_eq!(reassembly.0.len(), PACKETS);
        assert!(complete(reassembly.take_in(&piece(99, 48, false, &whole[48..]), &link(), 0)), "the latest is there");
        assert!(!complete(reassembly.take_in(&piece(98, 48, false, &whole[48..]), &link(), PATIENCE)));
        let mut reassembly = Reassembly::default();
        for number in 0..8000 {
            reassembly.take_in(&piece(1, number * 8, true, &[0; 8]), &link(), 0);
        }
        assert!(reassembly.0.iter().all(|partial| partial.ruined && partial.length() == 0), "too many pieces");
        reassembly.take_in(&piece(2, 40000, true, &[0; 1024]), &link(), 0);
        assert!(reassembly.0.iter().all(|partial| partial.length() == 0), "too long");
    }

    proptest! {
        #[test]
        fn any_fragments_are_survived(
            pieces in proptest::collection::vec((0usize..9, any::<bool>(), 0usize..70, any::<bool>()), 1..40),
            garbage in proptest::collection::vec(any::<u8>(), 0..100), at in 0usize..60,
        ) {
            let mut reassembly = Reassembly::default();
            for (offset, more, length, v4) in pieces {
                let mut frame = if v4 { query(&vec![0; length]) } else { piece(1, offset * 8, more, &vec![0; length]) };
                if v4 {
                    frame[20] = if more { 0x20 } else { 0 };
                    frame[21] = offset as u8;
                    smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
                }
                if let Input::Complete(frame) = reassembly.take_in(&frame, &link(), 0) {
                    prop_assert!(matches!(reassembly.take_in(&frame, &link(), 0), Input::Whole));
                }
                frame.truncate(at);
                frame.extend(&garbage);
                reassembly.take_in(&frame, &link(), 0);
            }
        }
    }
}
