//! A git service over an ssh connection.

use super::{
    SshError,
    channel::{Channel, Login},
};
use crate::git::{
    Deadline, Error, Timeouts, Upstream,
    draining::LONGEST,
    wire::{Service, Wire, broken, dial},
};
use crate::net::Tcp;
use std::io::{self, Read};

/// Connects, logs in and starts the program of `service`.
pub(in crate::git) fn open(
    upstream: &Upstream,
    service: Service,
    timeouts: Timeouts,
    deadline: Deadline,
) -> Result<impl Wire + use<>, Error> {
    let Upstream { remote, access, .. } = upstream;
    let key = access.ssh.key.as_ref().ok_or(SshError::NoKey)?;
    let login = Login {
        // The parser of remotes rejects ssh remotes without a user.
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
        connection.set_deadline(Some(Deadline::from_now(LONGEST)));
        connection.set_nonblocking().ok()?;
        Some(Box::new(Lingering(self)))
    }
}

/// A channel that is polled from time to time: even a flood of data other than output does not block the caller.
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
/// Forges have no shell and remove the quotes themselves, so the quoting must be the same as git's.
pub(super) fn command(service: &str, path: &str) -> String {
    let mut command = format!("{service} '");
    for character in path.chars() {
        match character {
            '\'' | '!' => command.extend(["'\\", character.encode_utf8(&mut [0; 4]), "'"]),
            _ => command.push(character),
        }
    }
    command + "'"
}
