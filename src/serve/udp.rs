//! Queries over UDP through an ordinary socket.

use std::net::UdpSocket;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::Server;
use super::aside::Done;
use super::queue::Back;
use crate::answer::{Answer, MAX_PAYLOAD, Transport};

/// Maximum size of a datagram, in octets; there are no longer queries.
const DATAGRAM: usize = 65_535;

/// Answers queries that arrive on `socket`, indefinitely.
pub(super) fn run(server: &Server, socket: &Arc<UdpSocket>) {
    let mut query = vec![0; DATAGRAM];
    let mut reply = vec![0; usize::from(MAX_PAYLOAD)];
    loop {
        let (length, source) = match socket.recv_from(&mut query) {
            Ok(received) => received,
            Err(error) => {
                // Errors of single datagrams (an ICMP message, no memory) do not affect the next call.
                log::debug!("receiving a datagram: {error}");
                thread::sleep(Duration::from_millis(10));
                continue;
            }
        };
        // Nobody can receive on port 0: a reply could only do harm.
        if source.port() == 0 {
            continue;
        }
        let query = &query[..length];
        let length = match server.respond(Transport::UDP, source.ip(), query, &mut reply) {
            Answer::Reply(length) => length,
            Answer::Silence => continue,
            Answer::Aside => {
                let back = Back::Datagram(Arc::clone(socket), source);
                match server.deal_with(Transport::UDP, source.ip(), query, &mut reply, back) {
                    Done::Reply(length) => length,
                    // Streams are for TCP only.
                    Done::Silence | Done::Later | Done::Stream(_) => continue,
                }
            }
        };
        if let Err(error) = socket.send_to(&reply[..length], source) {
            log::debug!("replying to {source}: {error}");
        }
    }
}
