//! IPv6 packets without the extension headers that say nothing to us (RFC 8200 §4).
//!
//! Everything else here reads packets whose protocol stands in their first header. Options that are to be skipped by
//! who does not know them, and routes that are at their end, are taken out; a packet with others is left as it is, and
//! the stack complains.

use alloc::vec::Vec;

use super::frame::{ETHERNET, ETHERTYPE_IPV6, IPV6};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION: u8 = 60;
/// The most headers looked at: each kind may come once, and options for the destination twice.
const HEADERS: usize = 4;

/// Returns the frame without its extension headers, if it has any that can be taken out.
pub(super) fn strip(frame: &[u8]) -> Option<Vec<u8>> {
    let (ethernet, packet) = frame.split_first_chunk::<ETHERNET>()?;
    if [ethernet[12], ethernet[13]] != ETHERTYPE_IPV6 || !is_extension(*packet.get(6)?) {
        return None;
    }
    let (header, rest) = packet.split_first_chunk::<IPV6>()?;
    let mut body = rest.get(..usize::from(u16::from_be_bytes([header[4], header[5]])))?;
    let mut protocol = header[6];
    for number in 0..HEADERS {
        if !is_extension(protocol) {
            break;
        }
        let extension = body.get(..8 + 8 * usize::from(*body.get(1)?))?;
        let empty = match protocol {
            // Options for every router stand first or nowhere.
            HOP_BY_HOP => number == 0 && can_be_skipped(&extension[2..]),
            DESTINATION => can_be_skipped(&extension[2..]),
            _ => extension[3] == 0,
        };
        if !empty {
            return None;
        }
        protocol = extension[0];
        body = &body[extension.len()..];
    }
    if is_extension(protocol) {
        return None;
    }
    let mut stripped = [ethernet, &header[..], body].concat();
    stripped[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&(body.len() as u16).to_be_bytes());
    stripped[ETHERNET + 6] = protocol;
    Some(stripped)
}

fn is_extension(protocol: u8) -> bool {
    matches!(protocol, HOP_BY_HOP | ROUTING | DESTINATION)
}

/// Returns whether all options are such that who does not know them goes on (RFC 8200 §4.2).
fn can_be_skipped(mut options: &[u8]) -> bool {
    const PADDING: u8 = 0;
    const NOT_SKIPPED: u8 = 0xc0;
    while let [kind, rest @ ..] = options {
        if *kind == PADDING {
            options = rest;
            continue;
        }
        let Some(rest) = rest.split_first().and_then(|(length, rest)| rest.get(usize::from(*length)..)) else {
            return false;
        };
        if kind & NOT_SKIPPED != 0 {
            return false;
        }
        options = rest;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{query, query_v6};
    use super::*;
    use proptest::prelude::*;

    /// A datagram behind these headers, each of which names what follows it in its first byte.
    fn behind(first: u8, headers: &[&[u8]]) -> Vec<u8> {
        let mut frame = query_v6(b"hello");
        frame[20] = first;
        frame.splice(54..54, headers.concat());
        let length = (frame.len() - 54) as u16;
        frame[18..20].copy_from_slice(&length.to_be_bytes());
        frame
    }

    #[test]
    fn what_says_nothing_goes() {
        let plain = query_v6(b"hello");
        assert_eq!(strip(&plain), None);
        assert_eq!(strip(&query(b"hello")), None);
        for (first, headers) in [
            (0, &[&[17, 0, 5, 2, 0, 0, 1, 0][..]][..]),
            (60, &[&[17, 0, 0, 0, 0, 0, 0, 0]]),
            (60, &[&[17, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]),
            (0, &[&[60, 0, 1, 4, 0, 0, 0, 0], &[43, 0, 1, 4, 0, 0, 0, 0], &[17, 0, 0, 0, 0, 0, 0, 0]]),
        ] {
            assert_eq!(strip(&behind(first, headers)), Some(plain.clone()), "{first} {headers:?}");
        }
    }

    #[test]
    fn what_says_something_stays() {
        for (name, first, headers) in [
            ("a jumbogram", 0, &[&[17, 0, 0xc2, 4, 0, 1, 0, 0][..]][..]),
            ("an option that must be known", 60, &[&[17, 0, 0x80, 4, 0, 0, 0, 0]]),
            ("an option beyond its header", 60, &[&[17, 0, 1, 5, 0, 0, 0, 0]]),
            ("a route", 43, &[&[17, 0, 0, 1, 0, 0, 0, 0]]),
            ("options for routers behind others", 60, &[&[0, 0, 1, 4, 0, 0, 0, 0], &[17, 0, 1, 4, 0, 0, 0, 0]]),
            ("a header beyond the packet", 60, &[&[17, 9, 1, 4, 0, 0, 0, 0]]),
            ("a long chain", 60, &[&[60, 0, 1, 4, 0, 0, 0, 0][..]; 9]),
        ] {
            assert_eq!(strip(&behind(first, headers)), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_headers_are_survived(first in any::<u8>(), garbage in proptest::collection::vec(any::<u8>(), 0..80), cut in 0usize..140) {
            let mut frame = behind([0, 43, 60][usize::from(first % 3)], &[&garbage]);
            frame.truncate(cut);
            if let Some(stripped) = strip(&frame) {
                prop_assert!(stripped.len() < frame.len());
                prop_assert_eq!(strip(&stripped), None);
            }
        }
    }
}
