//! VLAN tags (IEEE 802.1Q) between the device and everything else, which knows none.

use crate::drivers::nic::Transmit;

/// Bytes of the two hardware addresses, behind which a tag stands.
const ADDRESSES: usize = 12;
/// Bytes of a tag: its EtherType, then priority and number.
const TAG: usize = 4;
const ETHERTYPE: [u8; 2] = [0x81, 0];
/// The bits of the second half of a tag that are the VLAN's number.
const NUMBER: u16 = 0x0fff;

/// Returns the frame without its tag; nothing when it is not of our VLAN. Without one, frames are what they are.
#[inline]
pub(super) fn untag(frame: &mut [u8], vlan: Option<u16>) -> Option<&mut [u8]> {
    let Some(vlan) = vlan else { return Some(frame) };
    let (header, _) = frame.split_first_chunk::<{ ADDRESSES + TAG }>()?;
    if header[12..14] != ETHERTYPE || u16::from_be_bytes([header[14], header[15]]) & NUMBER != vlan {
        return None;
    }
    // The addresses take the place of the tag.
    frame.copy_within(..ADDRESSES, TAG);
    Some(&mut frame[TAG..])
}

/// Tags what is sent, if we live in a VLAN.
pub(super) struct Tagging<T> {
    pub(super) inner: T,
    vlan: Option<u16>,
}

impl<T: Transmit> Tagging<T> {
    pub(super) fn new(inner: T, vlan: Option<u16>) -> Self {
        Self { inner, vlan }
    }
}

impl<T: Transmit> Transmit for Tagging<T> {
    fn buffer(&mut self) -> Option<&mut [u8]> {
        let out = self.inner.buffer()?;
        // Frames are written behind the place of the tag, which their addresses then make.
        if self.vlan.is_some() { out.get_mut(TAG..) } else { Some(out) }
    }

    fn send(&mut self, length: usize) {
        let Some(vlan) = self.vlan else { return self.inner.send(length) };
        if let Some(out) = self.inner.buffer()
            && out.len() >= ADDRESSES + TAG
        {
            out.copy_within(TAG..TAG + ADDRESSES, 0);
            out[12..14].copy_from_slice(&ETHERTYPE);
            out[14..16].copy_from_slice(&vlan.to_be_bytes());
            self.inner.send(TAG + length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::responder::tests::Wire;
    use super::*;

    #[test]
    fn tags_go_on_and_off() {
        let frame: [u8; 60] = core::array::from_fn(|n| n as u8);
        let mut wire = Tagging::new(Wire::new(1), Some(0x123));
        wire.buffer().unwrap()[..60].copy_from_slice(&frame);
        wire.send(60);
        let mut sent = wire.inner.sent.remove(0);
        assert_eq!(sent[..18], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x81, 0, 1, 0x23, 12, 13]);
        assert_eq!(untag(&mut sent.clone(), Some(0x124)), None, "another VLAN's");
        sent[14] |= 0xe0;
        assert_eq!(untag(&mut sent, Some(0x123)).unwrap(), frame, "whatever its priority");
        assert_eq!(untag(&mut frame.clone(), Some(0x123)), None, "without a tag");
        assert_eq!(untag(&mut [0; 15], Some(0x123)), None);
        assert_eq!(untag(&mut frame.clone(), None).unwrap(), frame);
    }
}
