//! A command run over an ssh connection, as a stream.

use super::{Exit, HostKeys, Identity, SshError, keys};
use crate::text::printable;
use std::io::{self, Read, Write};
use sunset::{ChanData, ChanHandle, CliEvent, CliSessionExit, Client, Event, PubKey, Runner, SignKey};

/// Maximum number of bytes of the command's standard error that are kept.
const MAX_SAID: usize = 2048;

/// Maximum number of bytes of the command's standard output that are held while we write.
const MAX_HELD: usize = 64 << 10;

/// Number of bytes read from the connection at a time.
const GULP: usize = 16 << 10;

/// Maximum number of reads from the connection after the command's output has ended.
const MAX_GULPS_BEHIND: usize = 64;

/// A login and the command to run.
pub(super) struct Login<'a> {
    /// The user's name at the server.
    pub(super) user: &'a str,
    /// The command to run.
    pub(super) command: &'a str,
    /// The key for logging in.
    pub(super) key: &'a Identity,
    /// The accepted host keys.
    pub(super) host_keys: &'a HostKeys,
}

/// A running command: what is written goes to its standard input, what is read comes from its standard output.
///
/// Waits only within `S`, which must time out. If `S` returns `WouldBlock`, nothing is lost: the operation can be
/// retried later.
///
/// An error that wraps an [`SshError`] describes what the server or command reported.
pub(super) struct Channel<S> {
    connection: S,
    ssh: Runner<'static, Client>,
    session: Session,
    /// Received bytes that are not decrypted yet.
    received: Buffer,
    /// The command's standard output that has not been read yet.
    output: Buffer,
    /// The start of the command's standard error.
    said: Vec<u8>,
}

/// The state of a session.
struct Session {
    user: String,
    command: String,
    identity: Option<Identity>,
    /// Our public key line, once the key was offered.
    shown: String,
    host_keys: HostKeys,
    /// The host key that was accepted; it must not change when keys are exchanged again.
    host_key: Option<Vec<u8>>,
    handle: Option<ChanHandle>,
    /// Whether the command was requested.
    runs: bool,
    /// Whether the command has written anything.
    began: bool,
    exit: Option<Exit>,
    /// Whether the server closed the connection.
    closed: bool,
}

/// A buffer of bytes that are consumed from the front.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl<S: Read + Write> Channel<S> {
    /// Logs in and requests the command, which may still not exist.
    pub(super) fn open(connection: S, login: &Login<'_>) -> io::Result<Self> {
        let session = Session {
            user: login.user.into(),
            command: login.command.into(),
            identity: Some(login.key.clone()),
            shown: String::new(),
            host_keys: login.host_keys.clone(),
            host_key: None,
            handle: None,
            runs: false,
            began: false,
            exit: None,
            closed: false,
        };
        let mut channel = Channel {
            connection,
            ssh: Runner::new_client_owned(),
            session,
            received: Buffer::default(),
            output: Buffer::default(),
            said: Vec::new(),
        };
        loop {
            channel.settle()?;
            if channel.session.runs {
                return Ok(channel);
            }
            if channel.session.closed {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if channel.is_denied() {
                return Err(SshError::NoSession.into());
            }
            channel.wait()?;
        }
    }

    /// Returns the connection.
    pub(super) fn connection(&mut self) -> &mut S {
        &mut self.connection
    }

    /// Makes all progress that is possible without waiting for the server.
    fn settle(&mut self) -> io::Result<()> {
        while self.progress()? || self.take()? || self.decrypt()? || self.send()? {}
        Ok(())
    }

    /// Handles one event; returns whether there was any.
    fn progress(&mut self) -> io::Result<bool> {
        let logged_in = match self.ssh.progress() {
            Ok(Event::None) => return Ok(false),
            Ok(Event::Cli(CliEvent::Defunct)) => {
                self.session.closed = true;
                return Ok(false);
            }
            Ok(Event::Cli(CliEvent::Authenticated)) => true,
            Ok(Event::Cli(event)) => {
                self.session.handle(event)?;
                false
            }
            Ok(_) => false,
            Err(sunset::Error::NoAuthMethods) => return Err(self.session.refused()),
            Err(error) => return Err(broken(error)),
        };
        if logged_in {
            self.session.handle = Some(self.ssh.open_client_session().map_err(broken)?);
        }
        Ok(true)
    }

    /// Takes the command's output from the decrypted packet, if there is one and room for it.
    fn take(&mut self) -> io::Result<bool> {
        let Some((_, kind, length)) = self.ssh.read_channel_ready() else { return Ok(false) };
        let Some(handle) = &self.session.handle else { return Ok(false) };
        if self.output.rest().len() >= MAX_HELD {
            return Ok(false);
        }
        let mut data = vec![0; length];
        let (length, _) = self.ssh.read_channel_either(handle, &mut data).map_err(broken)?;
        match kind {
            ChanData::Normal => self.output.append(&data[..length]),
            ChanData::Stderr => {
                let room = MAX_SAID.saturating_sub(self.said.len());
                self.said.extend_from_slice(&data[..length.min(room)]);
            }
        }
        Ok(length > 0)
    }

    /// Decrypts a packet or a part of one.
    fn decrypt(&mut self) -> io::Result<bool> {
        if self.received.rest().is_empty() || !self.ssh.is_input_ready() {
            return Ok(false);
        }
        let used = self.ssh.input(self.received.rest()).map_err(broken)?;
        self.received.consume(used);
        Ok(used > 0)
    }

    /// Sends pending output.
    fn send(&mut self) -> io::Result<bool> {
        let mut sent = false;
        while !self.ssh.output_buf().is_empty() {
            let length = match self.connection.write(self.ssh.output_buf()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            self.ssh.consume_output(length);
            sent = true;
        }
        Ok(sent)
    }

    /// Waits for bytes from the server.
    fn wait(&mut self) -> io::Result<()> {
        if !self.received.rest().is_empty() || !self.ssh.is_input_ready() {
            // Output must be read first, but its reader is writing.
            let what = "the remote keeps writing instead of reading".into();
            return Err(SshError::Protocol { what }.into());
        }
        let length = loop {
            match self.received.fill(|space| self.connection.read(space)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if length == 0 {
            self.ssh.close_input();
            self.session.closed = true;
        }
        Ok(())
    }

    /// Returns whether the server refused to open a session.
    ///
    /// There is no event for that. But a session that is being opened is not valid yet, and once it is open, `runs` is
    /// set.
    fn is_denied(&self) -> bool {
        let handle = self.session.handle.as_ref();
        handle.is_some_and(|handle| self.ssh.is_write_channel_valid(handle, ChanData::Normal))
    }

    /// Returns whether nothing more comes from the command.
    fn has_ended(&self) -> bool {
        self.session.closed || self.session.handle.as_ref().is_none_or(|handle| self.ssh.is_channel_eof(handle))
    }

    /// Reads available output after at most one wait for the server; fails with `Interrupted` if that was not enough.
    pub(super) fn try_read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.output.rest().is_empty() {
            self.settle()?;
        }
        if self.output.rest().is_empty() {
            if self.has_ended() {
                return self.reason()?.map_or(Ok(0), |reason| Err(reason.into()));
            }
            self.wait()?;
            self.settle()?;
        }
        if self.output.rest().is_empty() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.check_beginning()?;
        let length = self.output.rest().len().min(out.len());
        out[..length].copy_from_slice(&self.output.rest()[..length]);
        self.output.consume(length);
        Ok(length)
    }

    /// Returns why the command ended, if it or the server reported that.
    fn reason(&mut self) -> io::Result<Option<SshError>> {
        // Its error output and status may follow the end of its output, but only for a bounded time.
        for _ in 0..MAX_GULPS_BEHIND {
            self.settle()?;
            let handle = self.session.handle.as_ref();
            if self.session.closed || handle.is_none_or(|handle| self.ssh.is_channel_closed(handle)) {
                break;
            }
            // Its output is no longer needed.
            self.output = Buffer::default();
            if self.wait().is_err() {
                break;
            }
        }
        let said = printable(&self.said);
        let is_well = matches!(self.session.exit, None | Some(Exit::Status(0)));
        Ok((!said.is_empty() || !is_well).then_some(SshError::Ended { said, exit: self.session.exit }))
    }

    /// Checks that the output is git's: it starts with a packet line, that is, four hexadecimal digits.
    fn check_beginning(&mut self) -> io::Result<()> {
        let beginning = self.output.rest();
        if !self.session.began && !beginning.iter().take(4).all(u8::is_ascii_hexdigit) {
            const MAX_SHOWN: usize = 80;
            let text = printable(&beginning[..beginning.len().min(MAX_SHOWN)]);
            return Err(SshError::Noise { text }.into());
        }
        self.session.began = true;
        Ok(())
    }
}

impl Session {
    fn handle(&mut self, event: CliEvent<'_, '_>) -> io::Result<()> {
        let told = match event {
            CliEvent::Hostkey(check) => {
                let key = match check.hostkey().map_err(broken)? {
                    PubKey::Ed25519(public) => keys::blob(&public.key.0),
                    _ => return Err(broken(sunset::Error::BadKey)),
                };
                // The server first proves possession of the key, so a fingerprint shown to the operator is authentic.
                check.accept().map_err(broken)?;
                return self.check_host_key(key);
            }
            CliEvent::Username(request) => request.username(&self.user),
            CliEvent::Pubkey(request) => match self.identity.take() {
                Some(identity) => {
                    self.shown = identity.public_line();
                    request.pubkey(SignKey::Ed25519(identity.signing_key()))
                }
                None => return Err(self.refused()),
            },
            CliEvent::Password(_) => return Err(self.refused()),
            CliEvent::SessionOpened(mut opener) => {
                self.runs = true;
                opener.exec(&self.command)
            }
            CliEvent::SessionExit(exit) => {
                self.exit = Some(match exit {
                    CliSessionExit::Status(status) => Exit::Status(status),
                    CliSessionExit::Signal(_) => Exit::Signal,
                });
                Ok(())
            }
            // Banners are for human readers.
            _ => Ok(()),
        };
        told.map_err(broken)
    }

    /// Checks a host key of which the server proved possession.
    fn check_host_key(&mut self, key: Vec<u8>) -> io::Result<()> {
        let seen = keys::fingerprint(&key);
        if let Some(known) = self.host_key.as_ref().filter(|known| **known != key) {
            return Err(SshError::OtherHostKey { seen, wanted: keys::fingerprint(known) }.into());
        }
        if self.host_keys.is_empty() {
            return Err(SshError::Unpinned { seen }.into());
        }
        if !self.host_keys.hold(&key) {
            return Err(SshError::OtherHostKey { seen, wanted: self.host_keys.fingerprints() }.into());
        }
        self.host_key = Some(key);
        Ok(())
    }

    fn refused(&self) -> io::Error {
        SshError::KeyRefused { user: self.user.clone(), public_line: self.shown.clone() }.into()
    }
}

impl<S: Read + Write> Read for Channel<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.try_read(out) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl<S: Read + Write> Write for Channel<S> {
    /// Sends a part of `bytes`; what the connection does not accept at once is buffered and sent with the next part.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.settle()?;
            let handle = self.session.handle.as_ref().filter(|_| !self.session.closed);
            let written = handle.map(|handle| self.ssh.write_channel(handle, ChanData::Normal, bytes));
            match written {
                Some(Ok(0)) if !bytes.is_empty() && !self.has_ended() => self.wait()?,
                Some(Ok(length)) if length > 0 || bytes.is_empty() => {
                    self.settle()?;
                    return Ok(length);
                }
                Some(Ok(_) | Err(sunset::Error::ChannelEOF)) | None => {
                    let reason = self.reason()?.map(io::Error::from);
                    return Err(reason.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()));
                }
                Some(Err(error)) => return Err(broken(error)),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.settle()
    }
}

impl Buffer {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn consume(&mut self, length: usize) {
        self.start += length;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Fills an empty buffer with `read`; returns the number of bytes.
    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.bytes.resize(GULP, 0);
        let result = read(&mut self.bytes);
        self.bytes.truncate(*result.as_ref().unwrap_or(&0));
        self.start = 0;
        result
    }
}

/// Converts an error of the protocol.
fn broken(error: sunset::Error) -> io::Error {
    let what = match error {
        sunset::Error::AlgoNoMatch { algo } => {
            return SshError::NoCommonAlgorithm { what: algo }.into();
        }
        sunset::Error::NotSSH => "the peer is not an ssh server".to_string(),
        sunset::Error::BadSig => "the server cannot prove that its host key is its own".to_string(),
        sunset::Error::BadDecrypt | sunset::Error::BigPacket { .. } => "a packet was altered in transit".to_string(),
        error => printable(error.to_string().as_bytes()),
    };
    SshError::Protocol { what }.into()
}
