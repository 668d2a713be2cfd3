//! The way to a git service over ssh: a login by key, and one command.
//!
//! The protocol itself is the `sunset` crate's, which does no I/O: `Channel` moves its bytes over a connection on which
//! every wait has an end, and shows what the command reads and writes as a stream, like that of git's own daemon.
//!
//! The server is known by its host key, which the operator has pinned ([`HostKeys`]): nothing is told to another, and the
//! first contact is no exception, because an appliance that forgets everything at each boot has a first contact each time.
//! We are known by a key as well ([`Identity`]); passwords are not tried.
//!
//! What the command says on its standard error is kept, cut short, and told if it ends before its time: this is where
//! forges say that there is no such repository or that the key may not push to it.
//!
//! git's environment variable that asks for protocol version 2 cannot be sent, as `sunset` has no request for it, and most
//! servers drop it unless they were told not to. So version 0 is spoken here.

mod channel;
mod error;
mod keys;

pub use error::{Exit, SshError};
pub use keys::{HostKeys, Identity};

use super::{
    Deadline, Error, Timeouts, Upstream,
    push::LONGEST_PARTING,
    transport::{Service, Wire, broken, dial},
};
use crate::net::Tcp;
use channel::{Channel, Login};
use std::io::{self, Read};

/// What is needed to be let in by an ssh server, and to know it.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The key by which we log in; `None` if the operator has given none, which is an error once it is needed.
    pub key: Option<Identity>,
    /// The host keys by which the server is known.
    pub host_keys: HostKeys,
}

/// Connects, logs in and starts the program of `service`.
pub(super) fn open(
    upstream: &Upstream,
    service: Service,
    timeouts: Timeouts,
    deadline: Deadline,
) -> Result<impl Wire + use<>, Error> {
    let Upstream { remote, access, .. } = upstream;
    let key = access.ssh.key.as_ref().ok_or(SshError::NoKey)?;
    let login = Login {
        // The parser of remotes lets none through without.
        user: remote.user().unwrap_or_default(),
        command: &command(service.program(), remote.program_path()),
        key,
        host_keys: &access.ssh.host_keys,
    };
    let connection = dial(upstream, remote.host(), remote.port(), timeouts, deadline)?;
    Channel::open(connection, &login).map_err(|error| broken("logging in over ssh", timeouts, deadline, error))
}

impl Wire for Channel<Tcp> {
    fn set_deadline(&mut self, deadline: Deadline) {
        self.connection().set_deadline(Some(deadline));
    }

    fn linger(mut self: Box<Self>) -> Option<Box<dyn Read + Send>> {
        let connection = self.connection();
        connection.set_deadline(Some(Deadline::from_now(LONGEST_PARTING)));
        connection.set_nonblocking().ok()?;
        Some(Box::new(Lingering(self)))
    }
}

/// A channel that is read now and then by who has other things to do: not even a flood of what is no output holds it up.
struct Lingering(Box<Channel<Tcp>>);

impl Read for Lingering {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(out).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => io::ErrorKind::WouldBlock.into(),
            _ => error,
        })
    }
}

/// Returns the command that runs `service` on the repository at `path`, quoted for a shell as git quotes it.
///
/// Forges have no shell and take the quotes off themselves, which is why they must be git's.
fn command(service: &str, path: &str) -> String {
    let mut command = format!("{service} '");
    for character in path.chars() {
        match character {
            '\'' | '!' => command.extend(["'\\", character.encode_utf8(&mut [0; 4]), "'"]),
            _ => command.push(character),
        }
    }
    command + "'"
}

#[cfg(test)]
mod tests;
