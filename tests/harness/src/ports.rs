//! Ports on 127.0.0.1 that are free for UDP and TCP alike.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Below Linux's ephemeral range, so that no outgoing connection takes the port between choosing and binding it.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static TAKEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port of 127.0.0.1 reserved within this process until dropped.
#[derive(Debug)]
pub struct Port(u16);

impl Port {
    /// Reserves a port that is bound neither for UDP nor for TCP.
    ///
    /// The search starts at a port that depends on the process id, so parallel test programs use different ports.
    ///
    /// # Panics
    ///
    /// All ports of the range are in use.
    #[expect(clippy::new_without_default, reason = "reserving is an action, not a default value")]
    pub fn new() -> Port {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let start = (process::id().wrapping_mul(97) % u32::from(COUNT)) as u16;
        let number = (0..COUNT)
            .map(|step| FIRST + (start + step) % COUNT)
            .find(|port| !taken.contains(port) && is_free(*port))
            .expect("one of 12,000 ports is free");
        taken.insert(number);
        Port(number)
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.0
    }

    /// The port on 127.0.0.1.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.0).into()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

fn is_free(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}
