//! UDP service below the sockets: a question answered where the device put it.
//!
//! The network thread hands a registered responder the datagram in the receive buffer and the payload of a transmit
//! buffer. Nothing is copied, allocated or locked in between. What the responder declines goes the long way, to a
//! `UdpSocket` bound to the port.
//!
//! A reply never exceeds one packet: the buffer a responder gets ends where the link's MTU does, over IPv6 where
//! that of any path does, so it truncates as its protocol provides (RFC 1035 §4.1.1, the TC bit), or declines.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::frame::{Datagram, write_reply};
use super::link::Link;
use crate::drivers::nic::Transmit;

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The first bytes of the reply buffer, this many, are sent back.
    Reply(usize),
    /// Nothing is sent back.
    Drop,
    /// The datagram goes to the socket bound to the port, if there is one.
    Decline,
}

/// A service that answers a datagram with at most one, at once.
pub trait UdpResponder: Send {
    /// Answers `datagram` from `source` into `reply`.
    ///
    /// It runs on the network thread, which outranks all others: it must neither block nor take long.
    fn respond(&mut self, source: SocketAddr, datagram: &[u8], reply: &mut [u8]) -> Verdict;
}

/// The registered responders, by port.
#[derive(Default)]
pub(crate) struct Responders(Vec<(u16, Box<dyn UdpResponder>)>);

impl Responders {
    /// Makes `responder` answer at `port`, in place of an earlier one.
    pub(crate) fn register(&mut self, port: u16, responder: Box<dyn UdpResponder>) {
        match self.0.iter_mut().find(|(registered, _)| *registered == port) {
            Some(entry) => entry.1 = responder,
            None => self.0.push((port, responder)),
        }
    }

    /// Serves the frame if it is a datagram for a responder that does not decline; returns whether it is done with.
    #[inline]
    pub(crate) fn serve(&mut self, frame: &[u8], link: &Link, transmit: &mut impl Transmit) -> bool {
        let Some(datagram) = Datagram::parse(frame, link) else { return false };
        let Some((_, responder)) = self.0.iter_mut().find(|(port, _)| *port == datagram.port) else { return false };
        // A device that cannot keep up sheds load here: the sender asks again.
        let Some(out) = transmit.buffer() else { return true };
        let Some(reply) = out.get_mut(datagram.reply_headers()..).map(|out| {
            let limit = out.len().min(datagram.reply_limit(link));
            &mut out[..limit]
        }) else {
            return true;
        };
        match responder.respond(datagram.source, datagram.payload, reply) {
            Verdict::Reply(length) => {
                // A length beyond the buffer is the responder's mistake; nothing is sent rather than something made up.
                if let Some(length) = write_reply(out, &datagram, link, length) {
                    transmit.send(length);
                }
                true
            }
            Verdict::Drop => true,
            Verdict::Decline => false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::frame::tests::{link, query, query_v6};
    use super::*;
    use proptest::prelude::*;

    /// A device that keeps what was sent, with room for `room` frames.
    pub(crate) struct Wire {
        pub(crate) sent: Vec<Vec<u8>>,
        pub(crate) room: usize,
        buffer: [u8; 2036],
    }

    impl Wire {
        pub(crate) fn new(room: usize) -> Self {
            Self { sent: Vec::new(), room, buffer: [0; 2036] }
        }
    }

    impl Transmit for Wire {
        fn buffer(&mut self) -> Option<&mut [u8]> {
            (self.sent.len() < self.room).then_some(&mut self.buffer[..])
        }
        fn send(&mut self, length: usize) {
            self.sent.push(self.buffer[..length].to_vec());
        }
    }

    struct Script(Verdict);
    impl UdpResponder for Script {
        fn respond(&mut self, _: SocketAddr, datagram: &[u8], reply: &mut [u8]) -> Verdict {
            let length = datagram.len().min(reply.len());
            reply[..length].copy_from_slice(&datagram[..length]);
            self.0
        }
    }

    fn serve(verdict: Verdict, frame: &[u8], room: usize) -> (bool, Vec<Vec<u8>>) {
        let mut responders = Responders::default();
        responders.register(53, Box::new(Script(verdict)));
        let mut wire = Wire::new(room);
        (responders.serve(frame, &link(), &mut wire), wire.sent)
    }

    #[test]
    fn verdicts() {
        let frame = query(b"ping");
        let (done, sent) = serve(Verdict::Reply(4), &frame, 1);
        assert!(done);
        assert_eq!(&sent[0][42..], b"ping");
        assert_eq!(serve(Verdict::Drop, &frame, 1), (true, vec![]));
        assert_eq!(serve(Verdict::Decline, &frame, 1), (false, vec![]));
        assert_eq!(serve(Verdict::Reply(1473), &frame, 1), (true, vec![]), "longer than the buffer given");
        assert_eq!(serve(Verdict::Reply(4), &frame, 0), (true, vec![]), "no room");
        let frame = query_v6(b"ping");
        let (done, sent) = serve(Verdict::Reply(4), &frame, 1);
        assert!(done);
        assert_eq!(&sent[0][62..], b"ping");
        assert_eq!(serve(Verdict::Reply(1233), &frame, 1), (true, vec![]), "longer than every path carries");
    }

    #[test]
    fn ports_without_a_responder_are_left_to_the_stack() {
        let mut responders = Responders::default();
        responders.register(54, Box::new(Script(Verdict::Drop)));
        assert!(!responders.serve(&query(b"x"), &link(), &mut Wire::new(1)));
    }

    proptest! {
        #[test]
        fn any_frame_is_survived(mut frame in proptest::collection::vec(any::<u8>(), 0..1600), length in 0usize..3000) {
            serve(Verdict::Reply(length), &frame, 1);
            let whole = query(&frame[..frame.len().min(1400)]);
            let (done, sent) = serve(Verdict::Reply(length), &whole, 1);
            prop_assert!(done);
            prop_assert_eq!(sent.len(), usize::from(length <= 1472));
            let head = frame.len().min(34);
            frame[..head].copy_from_slice(&whole[..head]);
            serve(Verdict::Reply(length), &frame, 1);
        }
    }
}
