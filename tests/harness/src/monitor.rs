//! QEMU's monitor, which pauses, resets and migrates virtual machines.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::{Error, PATIENCE, Result, eventually};

/// The monitor's prompt.
const PROMPT: &[u8] = b"(qemu) ";

/// A connection to the monitor of a virtual machine that was started with [`crate::Boot::monitor`].
#[derive(Debug)]
pub struct Monitor(UnixStream);

impl Monitor {
    /// Connects to the monitor at `socket`, as soon as QEMU listens there.
    pub fn connect(socket: &Path) -> Result<Monitor> {
        let what = format!("QEMU's monitor at {}", socket.display());
        let stream = eventually(&what, || UnixStream::connect(socket).ok())?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(Error::io(&*what))?;
        let mut monitor = Monitor(stream);
        monitor.until_prompt()?;
        Ok(monitor)
    }

    /// Runs a command, such as `stop`, waits until it is done and returns what the monitor printed.
    pub fn command(&mut self, line: &str) -> Result<String> {
        self.send(line)?;
        self.until_prompt()
    }

    /// Sends a command without waiting: after `quit` there is no prompt.
    pub fn send(&mut self, line: &str) -> Result<()> {
        writeln!(self.0, "{line}").map_err(Error::io(format!("QEMU's monitor, `{line}`")))
    }

    fn until_prompt(&mut self) -> Result<String> {
        let mut printed = Vec::new();
        while !printed.ends_with(PROMPT) {
            let mut octet = [0];
            self.0.read_exact(&mut octet).map_err(Error::io("reading from QEMU's monitor"))?;
            printed.extend(octet);
        }
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }
}
