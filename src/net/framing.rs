//! Messages on a stream: two octets of length, then the message (RFC 1035 §4.2.2).

use std::borrow::Borrow;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::{Deadline, Tcp};

/// Size of the length before a message, in octets.
pub const PREFIX: usize = 2;

/// Maximum size of a message with its length, in octets.
pub const FRAME: usize = PREFIX + 65_535;

/// Writes the length of a message of `length` octets to the beginning of `frame`, before the message.
///
/// # Errors
///
/// The message is too long.
pub fn seal(frame: &mut [u8], length: usize) -> io::Result<()> {
    let length =
        u16::try_from(length).map_err(|_| io::Error::other("the message is too long for its length prefix"))?;
    frame[..PREFIX].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Returns a message with its length before it.
///
/// # Errors
///
/// The message is too long.
pub fn framed(message: &[u8]) -> io::Result<Vec<u8>> {
    let mut frame = [&[0; PREFIX], message].concat();
    seal(&mut frame, message.len())?;
    Ok(frame)
}

/// Sends all of `octets`, however slowly the peer reads them, but within `patience`; calls `progress` whenever some are
/// sent.
///
/// # Errors
///
/// A timeout, or the error of the connection. The connection is unusable afterwards.
pub fn send<S: Borrow<TcpStream>>(
    stream: &mut Tcp<S>,
    mut octets: &[u8],
    patience: Duration,
    progress: impl Fn(),
) -> io::Result<()> {
    let deadline = Deadline::from_now(patience);
    // This bounds the first wait, which is usually the only one, and costs nothing if the value is unchanged.
    stream.set_stall(patience);
    while !octets.is_empty() {
        match stream.write(octets)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => octets = &octets[count..],
        }
        progress();
        stream.set_deadline((!octets.is_empty()).then_some(deadline));
    }
    Ok(())
}

/// The octets received on a connection, split into messages.
#[derive(Debug)]
pub struct Inbox<S> {
    stream: Tcp<S>,
    patience: Option<Duration>,
    /// Size of the buffer that is kept between messages, in octets.
    room: usize,
    octets: Vec<u8>,
    /// Start of the next message.
    begin: usize,
    /// End of the received octets.
    end: usize,
}

impl<S: Borrow<TcpStream>> Inbox<S> {
    /// Returns an inbox that keeps a buffer of `room` octets between messages, and a larger one only while a message
    /// needs it.
    ///
    /// It waits for messages as long as the limits of `stream` allow.
    pub fn new(stream: Tcp<S>, room: usize) -> Self {
        let room = room.max(PREFIX);
        Inbox { stream, patience: None, room, octets: vec![0; room], begin: 0, end: 0 }
    }

    /// Limits the time from the first octet of a message to its last.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Inbox { patience: Some(patience), ..self }
    }

    /// Returns whether a whole message has been received already.
    pub fn has_message(&self) -> bool {
        self.frame().is_some_and(|frame| self.begin + frame <= self.end)
    }

    /// Returns the next message, or `None` at the end of the connection, even within a message.
    ///
    /// # Errors
    ///
    /// A timeout, or the error of the connection.
    pub fn message(&mut self) -> io::Result<Option<&[u8]>> {
        let mut deadline = None;
        while !self.has_message() {
            self.make_room();
            if let Some(patience) = self.patience
                && self.begin < self.end
            {
                // A part of a message has been received: the rest has its own time limit.
                let deadline = *deadline.get_or_insert_with(|| Deadline::from_now(patience));
                self.stream.set_deadline(Some(deadline));
            }
            match self.stream.read(&mut self.octets[self.end..])? {
                0 => return Ok(None),
                count => self.end += count,
            }
        }
        if deadline.is_some() {
            self.stream.set_deadline(None);
        }
        let frame = self.frame().unwrap_or(PREFIX);
        let message = self.begin + PREFIX..self.begin + frame;
        self.begin += frame;
        Ok(Some(&self.octets[message]))
    }

    /// Returns the length of the next message including its two octets of length, once these have been received.
    fn frame(&self) -> Option<usize> {
        let length = self.octets[self.begin..self.end].first_chunk::<PREFIX>()?;
        Some(PREFIX + usize::from(u16::from_be_bytes(*length)))
    }

    /// Makes room in the buffer for the rest of the current message.
    fn make_room(&mut self) {
        self.octets.copy_within(self.begin..self.end, 0);
        self.end -= self.begin;
        self.begin = 0;
        if self.end == 0 && self.octets.len() > self.room {
            // Long messages are rare, and the next one may take long to arrive.
            self.octets.truncate(self.room);
            self.octets.shrink_to_fit();
        }
        let need = self.frame().unwrap_or(PREFIX);
        if need > self.octets.len() {
            self.octets.resize(need, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::is_timeout;
    use std::net::TcpListener;

    const LONG: Duration = Duration::from_secs(600);

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn framed_messages_of_any_length_arrive_whole_and_free_their_buffer() {
        let (near, mut far) = pair();
        let mut inbox = Inbox::new(Tcp::over(&near, LONG), 16);
        let messages: Vec<Vec<u8>> = [0, 1, 65_535, 13, 14, 30_000].map(|length| vec![length as u8; length]).to_vec();
        let all: Vec<u8> = messages.iter().flat_map(|message| framed(message).unwrap()).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| far.write_all(&[&all[..], b"\0"].concat()).unwrap());
            for message in &messages {
                assert_eq!(inbox.message().unwrap(), Some(&message[..]));
            }
        });
        far.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(inbox.message().unwrap(), None, "a stream that ends within a message has ended");
        assert_eq!(inbox.octets.len(), 16);
        assert!(framed(&vec![0; 65_536]).is_err());
    }

    #[test]
    fn a_partial_message_has_its_own_time_limit() {
        let (near, mut far) = pair();
        let mut inbox = Inbox::new(Tcp::over(&near, LONG), 16).patience(Duration::from_millis(50));
        far.write_all(b"\0\x03abc\0\x03ab").unwrap();
        assert_eq!(inbox.message().unwrap(), Some(&b"abc"[..]));
        assert!(is_timeout(&inbox.message().unwrap_err()));
    }

    #[test]
    fn sending_to_a_peer_that_reads_nothing_times_out() {
        let (near, _far) = pair();
        let mut tcp = Tcp::over(&near, LONG);
        let error = loop {
            if let Err(error) = send(&mut tcp, &[0; 64 * 1024], Duration::from_millis(200), || {}) {
                break error;
            }
        };
        assert!(is_timeout(&error), "{error}");
    }
}
