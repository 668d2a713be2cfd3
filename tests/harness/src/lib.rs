//! Starts Zonule, its git remote and its clients, for tests and for `cargo xtask`.
//!
//! Each kind of program is started in one way, here: [`Remote`] is a repository served by a real
//! `git daemon`, [`Target`] is the server under test (the Linux binary or the image on one of QEMU's machines),
//! [`Server`] is a running one, [`Peer`] is another vendor's name
//! server, [`Neighbour`] is one that shares zones with it, [`dig()`] sends them queries. Every child process is tied to
//! the thread that started it: it is killed when its handle is dropped, and by the kernel if that thread dies in any
//! other way.
//!
//! Nothing here sleeps for a fixed time: conditions are polled, up to [`PATIENCE`].
#![forbid(unsafe_code)]

mod acme;
mod ask;
mod dig;
mod error;
mod history;
mod key;
pub mod link;
mod monitor;
pub mod namespace;
mod neighbour;
mod neighbour_config;
mod peer;
mod ports;
mod process;
mod proxy;
mod qemu;
mod remote;
mod sandbox;
mod server;
mod sshd;
pub mod transfer;
mod update;
mod validator;
mod way;
mod web;
pub mod wire;
mod workspace;

pub use acme::Acme;
pub use ask::{Answer, Ask};
pub use dig::{Reply, dig};
pub use error::{Error, Result};
pub use history::Commit;
pub use key::{Algorithm, Key};
pub use monitor::Monitor;
pub use neighbour::{Make, Neighbour, Setup, is_refused, serial, whole_zone};
pub use peer::{Peer, RunningPeer};
pub use ports::Port;
pub use process::{Console, Process, run};
pub use proxy::{Fault, Proxy};
pub use qemu::{Machine, Network, Qemu, accelerator};
pub use remote::{Gate, Remote, git, git_daemon};
pub use sandbox::Sandbox;
pub use server::{Boot, Server, Target};
pub use sshd::Sshd;
pub use update::{Client, Outcome, Request, Transport, certbot};
pub use validator::{Anchored, Judgement, Validator, delv};
pub use way::{Form, Passed, Way};
pub use web::{Certificate, Refusal, Site, USERS, Validity, Web};
pub use workspace::workspace;

use std::thread;
use std::time::{Duration, Instant};

/// The timeout for all operations.
///
/// Generous on purpose: the image runs in software emulation, often on two busy cores.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Tries `attempt` until it returns a value, for at most [`PATIENCE`]; `what` names it in the error.
pub fn eventually<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> Result<T> {
    within(PATIENCE, what, attempt)
}

/// Tries `attempt` until it returns a value, for at most `patience`; `what` names it in the error.
pub fn within<T>(patience: Duration, what: &str, mut attempt: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return Ok(value);
        }
        if start.elapsed() > patience {
            return Err(Error::TooLate { what: what.to_owned(), waited: start.elapsed() });
        }
        thread::sleep(Duration::from_millis(20));
    }
}
