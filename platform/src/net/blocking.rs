//! Socket calls that sleep: the bridge between the stack and threads.
//!
//! A call tries under the stack's lock and, when it cannot go on, sleeps on the socket's waiters; leaving the lock and
//! falling asleep are one step, so the network thread cannot wake it in between in vain.

use alloc::sync::Arc;
use core::net::SocketAddr;

use super::errno::Errno;
use super::machine::Nanos;
use super::shared::{NET, call};
use super::socket::{Shutdown, SocketId};
use super::stack::Stack;
use super::waiters::readiness;
use crate::kernel::time;

/// A socket as descriptors hold it; the last one to let go closes it.
pub(crate) struct Socket(SocketId);

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = with(|stack| {
            stack.close(self.0);
            Ok(())
        });
        call();
    }
}

fn with<T>(f: impl FnOnce(&mut Stack) -> Result<T, Errno>) -> Result<T, Errno> {
    f(NET.lock().as_mut().ok_or(Errno::NETDOWN)?)
}

/// Opens a stream socket, or with `datagram` a datagram socket, for IPv4 or with `v6` for IPv6.
pub(crate) fn open(datagram: bool, v6: bool, nonblocking: bool) -> Result<Socket, Errno> {
    with(|stack| {
        let id = stack.open(datagram, v6)?;
        stack.record_mut(id)?.options.nonblocking = nonblocking;
        Ok(Socket(id))
    })
}

impl Socket {
    /// Runs `f` with the stack and the socket's name in it, then lets the network thread look.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Stack, SocketId) -> Result<T, Errno>) -> Result<T, Errno> {
        let result = with(|stack| f(stack, self.0));
        call();
        result
    }

    /// Runs `f` with the stack and the socket's name in it; nothing is to be sent afterwards.
    pub(crate) fn look<T>(&self, f: impl FnOnce(&mut Stack, SocketId) -> Result<T, Errno>) -> Result<T, Errno> {
        with(|stack| f(stack, self.0))
    }

    /// Tries until it does not end in `EAGAIN`, sleeping in between as the socket's options say.
    fn until<T>(
        &self,
        wanted: u32,
        dont_wait: bool,
        mut attempt: impl FnMut(&mut Stack, SocketId) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut guard = NET.lock();
        let mut deadline: Option<Option<Nanos>> = None;
        let mut timed_out = false;
        loop {
            let stack = guard.as_mut().ok_or(Errno::NETDOWN)?;
            let result = attempt(stack, self.0);
            let record = stack.record(self.0)?;
            if !matches!(result, Err(Errno::AGAIN)) || dont_wait || record.options.nonblocking || timed_out {
                return result;
            }
            let timeout =
                if wanted == readiness::WRITE { record.options.send_timeout } else { record.options.receive_timeout };
            let deadline =
                *deadline.get_or_insert_with(|| timeout.map(|timeout| time::monotonic().saturating_add(timeout)));
            let waiters = Arc::clone(&record.waiters);
            let wanted = wanted | readiness::ERROR | readiness::HANG_UP;
            (guard, timed_out) = waiters.sleep(guard, wanted, deadline);
        }
    }

    /// Receives; see `recvfrom(2)`.
    pub(crate) fn receive(
        &self,
        out: &mut [u8],
        peek: bool,
        dont_wait: bool,
    ) -> Result<(usize, Option<SocketAddr>), Errno> {
        self.until(readiness::READ, dont_wait, |stack, id| {
            let waiting = stack.receive_waiting(id);
            let result = stack.receive_from(id, out, peek);
            // The window is worth announcing again only when it was nearly shut.
            if waiting && result.is_ok() {
                call();
            }
            result
        })
    }

    /// Sends; see `sendto(2)`. A blocking stream socket takes all of it, as on Linux.
    pub(crate) fn send(&self, bytes: &[u8], to: Option<SocketAddr>, dont_wait: bool) -> Result<usize, Errno> {
        let mut sent = 0;
        let result = self.until(readiness::WRITE, dont_wait, |stack, id| {
            let taken = stack.send(id, &bytes[sent..], to)?;
            call();
            sent += taken;
            if sent < bytes.len() { Err(Errno::AGAIN) } else { Ok(()) }
        });
        match result {
            Ok(()) => Ok(sent),
            Err(_) if sent > 0 => Ok(sent),
            Err(error) => Err(error),
        }
    }

    /// Accepts a connection; see `accept4(2)`.
    pub(crate) fn accept(&self, nonblocking: bool) -> Result<(Self, SocketAddr), Errno> {
        self.until(readiness::READ, false, |stack, id| {
            let (accepted, from) = stack.accept(id)?;
            stack.record_mut(accepted)?.options.nonblocking = nonblocking;
            Ok((Self(accepted), from))
        })
    }

    /// Connects; see `connect(2)`.
    pub(crate) fn connect(&self, to: SocketAddr) -> Result<(), Errno> {
        match self.with(|stack, id| stack.connect(id, to)) {
            Err(Errno::INPROGRESS) => {}
            result => return result,
        }
        match self.until(readiness::WRITE, false, |stack, id| stack.connected(id)) {
            // Not blocking, or the send timeout passed: the attempt goes on.
            Err(Errno::AGAIN) => Err(Errno::INPROGRESS),
            result => result,
        }
    }

    /// Shuts down; see `shutdown(2)`.
    pub(crate) fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        self.with(|stack, id| stack.shutdown(id, how))
    }

    /// Returns the bits of `poll(2)` that hold now.
    pub(crate) fn ready(&self) -> u32 {
        self.look(|stack, id| Ok(stack.readiness(id))).unwrap_or(readiness::ERROR)
    }
}
