//! Our own queries over UDP: sent from our own ports; replies are passed on to the thread that waits for them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Maximum size of a reply, in octets.
const MOST: usize = 4096;

/// Stack of a thread that waits for replies, in octets.
const STACK: usize = 32 * 1024;

/// One socket for each available address family.
pub(super) struct Exchange {
    v4: Option<Arc<UdpSocket>>,
    v6: Option<Arc<UdpSocket>>,
}

impl Exchange {
    /// Opens the sockets. A thread for each passes replies to `receive`, which must not block.
    pub(super) fn open(
        name: &str,
        receive: impl FnMut(SocketAddr, Vec<u8>) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let bind = |address: SocketAddr| UdpSocket::bind(address).map(Arc::new).ok();
        let exchange =
            Exchange { v4: bind((Ipv4Addr::UNSPECIFIED, 0).into()), v6: bind((Ipv6Addr::UNSPECIFIED, 0).into()) };
        for socket in exchange.v4.iter().chain(&exchange.v6) {
            let (socket, receive) = (Arc::clone(socket), receive.clone());
            let thread = thread::Builder::new().name(name.to_string()).stack_size(STACK);
            thread.spawn(move || wait(&socket, receive))?;
        }
        Ok(exchange)
    }

    /// Sends a datagram. Senders must expect losses anyway, so errors are only logged.
    pub(super) fn send(&self, to: SocketAddr, message: &[u8]) {
        let socket = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        match socket.as_ref().map(|socket| socket.send_to(message, to)) {
            Some(Ok(_)) => {}
            Some(Err(error)) => log::debug!("sending to {to}: {error}"),
            None => log::debug!("sending to {to}: there is no socket for its family"),
        }
    }
}

fn wait(socket: &UdpSocket, mut receive: impl FnMut(SocketAddr, Vec<u8>)) {
    let mut message = vec![0; MOST];
    loop {
        match socket.recv_from(&mut message) {
            Ok((length, source)) => receive(source, message[..length].to_vec()),
            Err(error) => {
                // For example an ICMP message that the port is closed; it does not affect the next call.
                log::debug!("receiving a reply: {error}");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
