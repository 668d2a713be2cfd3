//! The header in front of every frame of a network device (virtio 1.2 §5.1.6).
//!
//! The driver asks for no offload, so a device should deliver complete frames with a header of zeroes. Not every device
//! has to keep to that: a frame that Linux queued at a tap device while checksum offload was still on there, for
//! instance, has a partial checksum and says so. It is completed here, in one place, so nothing above has to know about
//! it.

use crate::drivers::checksum::Sum;

/// The checksum covers the pseudo header only (VIRTIO_NET_HDR_F_NEEDS_CSUM).
const NEEDS_CHECKSUM: u8 = 1;

/// Completes the checksum of a received frame if its header marks it as partial (virtio 1.2 §5.1.6.4.1).
///
/// If the header points outside the frame, nothing changes, and the frame is dropped later for its wrong checksum.
#[inline]
pub(super) fn complete_checksum(header: &[u8], frame: &mut [u8]) {
    if header.first().is_some_and(|flags| flags & NEEDS_CHECKSUM != 0) {
        complete(header, frame);
    }
}

#[cold]
fn complete(header: &[u8], frame: &mut [u8]) -> Option<()> {
    let word = |at: usize| header.get(at..)?.first_chunk().map(|bytes| usize::from(u16::from_le_bytes(*bytes)));
    let (start, offset) = (word(6)?, word(8)?);
    let covered = frame.get_mut(start..)?;
    // The field holds the sum of the pseudo header, so it is summed up like the rest.
    let sum = Sum::default().add(covered).finish();
    let field = covered.get_mut(offset..)?.first_chunk_mut::<2>()?;
    // In UDP zero means that there is no checksum (RFC 768); 0xffff is the other form of the same value.
    *field = if sum == [0, 0] { [0xff, 0xff] } else { sum };
    Some(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::net::Datagram;
    use crate::net::frame_tests::{link, query, query_v6};
    use proptest::prelude::*;

    /// Makes the checksum of a UDP frame partial, as Linux does; returns the header that goes with it.
    pub(in super::super) fn make_partial(frame: &mut [u8]) -> [u8; 12] {
        let (addresses, start) = if frame[12] == 8 { (26..34, 34) } else { (22..54, 54) };
        let length = (frame.len() - start) as u16;
        let [high, low] = Sum::default().add(&frame[addresses]).add_word(17).add_word(length).finish();
        frame[start + 6..start + 8].copy_from_slice(&[!high, !low]);
        let mut header = [0; 12];
        header[0] = NEEDS_CHECKSUM;
        header[6] = start as u8;
        header[8] = 6;
        header
    }

    #[test]
    fn partial_checksum_is_completed() {
        for whole in [query(b"a question"), query_v6(b"a question"), query(b"odd"), query_v6(b"odd")] {
            let mut frame = whole.clone();
            let header = make_partial(&mut frame);
            assert!(Datagram::parse(&frame, &link()).is_none(), "the checksum is partial");
            complete_checksum(&header, &mut frame);
            assert_eq!(frame, whole);
        }
    }

    #[test]
    fn checksum_of_zero_is_sent_as_0xffff() {
        let mut frame = query(&[0; 2]);
        // With its own checksum as payload, the sum over the rest is zero.
        frame.copy_within(40..42, 42);
        let header = make_partial(&mut frame);
        complete_checksum(&header, &mut frame);
        assert_eq!(frame[40..42], [0xff, 0xff]);
        assert!(Datagram::parse(&frame, &link()).is_some());
    }

    #[test]
    fn other_frames_stay_as_they_are() {
        let whole = query(b"a question");
        let mut frame = whole.clone();
        complete_checksum(&[0; 12], &mut frame);
        complete_checksum(&[2, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0], &mut frame); // verified by the device
        complete_checksum(&[], &mut frame);
        complete_checksum(&[NEEDS_CHECKSUM], &mut frame);
        complete_checksum(&[NEEDS_CHECKSUM, 0, 0, 0, 0, 0, 255, 0, 6, 0], &mut frame);
        complete_checksum(&[NEEDS_CHECKSUM, 0, 0, 0, 0, 0, 34, 0, 17, 0], &mut frame);
        assert_eq!(frame, whole);
    }

    proptest! {
        #[test]
        fn any_header_is_survived(
            mut header in proptest::collection::vec(any::<u8>(), 0..14),
            mut frame in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            complete_checksum(&header, &mut frame);
            if let Some(flags) = header.first_mut() {
                *flags |= NEEDS_CHECKSUM;
            }
            complete_checksum(&header, &mut frame);
        }
    }
}
