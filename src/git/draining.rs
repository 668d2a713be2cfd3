//! Connections that are drained until the remote closes them.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// Connections whose push has been reported, while the remote still runs its hooks for it.
///
/// Closing at once would break the pipe that a post-receive hook writes to, and with it the hook. So its output is read
/// and discarded from time to time until the remote closes.
#[derive(Default)]
pub(super) struct Draining(VecDeque<(Box<dyn Read + Send>, Instant)>);

/// How long a remote may keep a connection open after its report.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

impl Draining {
    pub(super) fn add(&mut self, stream: Option<Box<dyn Read + Send>>) {
        const MAX: usize = 8;
        self.0.extend(stream.map(|stream| (stream, Instant::now())));
        while self.0.len() > MAX {
            self.0.pop_front();
        }
    }

    /// Discards what has arrived, and drops the connections that have ended or exceeded [`LONGEST`].
    pub(super) fn attend(&mut self) {
        self.0.retain_mut(|(stream, since)| {
            let mut sink = [0; 4096];
            for _ in 0..64 {
                match stream.read(&mut sink) {
                    Ok(read) if read > 0 => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    _ => return false,
                }
            }
            since.elapsed() < LONGEST
        });
    }
}
