//! A channel and a server in memory, which take turns, so that round trips can be counted without a clock.

use super::{
    HostKeys, Identity,
    channel::{Channel, Login},
    open::command,
};
use std::{
    collections::VecDeque,
    io::{self, Read, Write},
};
use sunset::{ChanData, ChanHandle, Event, Runner, ServEvent, Server, SignKey, ed25519_dalek::SigningKey};

/// A server that runs no commands, and writes as much as the window allows.
struct Far {
    ssh: Runner<'static, Server>,
    host_key: SignKey,
    handle: Option<ChanHandle>,
    /// Octets that our side has sent.
    heard: VecDeque<u8>,
    /// Octets that our side has not read yet.
    said: VecDeque<u8>,
    /// Octets of the output that are still to be written.
    left: usize,
    /// Number of turns, that is, of round trips.
    turns: usize,
}

impl Far {
    fn new(left: usize) -> Far {
        Far {
            ssh: Runner::new_server_owned(),
            host_key: SignKey::Ed25519(SigningKey::from_bytes(&[1; 32])),
            handle: None,
            heard: VecDeque::new(),
            said: VecDeque::new(),
            left,
            turns: 0,
        }
    }

    /// Processes everything received so far.
    fn turn(&mut self) {
        self.turns += 1;
        loop {
            let idle = match self.ssh.progress().unwrap() {
                Event::Serv(event) => {
                    Far::answer(event, &self.host_key, &mut self.handle);
                    false
                }
                Event::None => true,
                _ => false,
            };
            if idle && self.exchange() == 0 {
                return;
            }
        }
    }

    fn answer(event: ServEvent<'_, '_>, host_key: &SignKey, handle: &mut Option<ChanHandle>) {
        match event {
            ServEvent::Hostkeys(request) => request.hostkeys(&[host_key]).unwrap(),
            ServEvent::FirstAuth(request) => request.reject().unwrap(),
            ServEvent::PubkeyAuth(request) => request.allow().unwrap(),
            ServEvent::OpenSession(request) => *handle = Some(request.accept().unwrap()),
            ServEvent::SessionExec(request) => {
                assert_eq!(request.command().unwrap(), "git-upload-pack '/zones.git'");
                request.succeed().unwrap();
            }
            _ => {}
        }
    }

    /// Writes, sends and receives; returns the number of octets.
    fn exchange(&mut self) -> usize {
        let written = self.write();
        self.said.extend(self.ssh.output_buf());
        let sent = self.ssh.output_buf().len();
        self.ssh.consume_output(sent);
        let mut used = 0;
        if self.ssh.is_input_ready() && !self.heard.is_empty() {
            used = self.ssh.input(self.heard.make_contiguous()).unwrap();
            self.heard.drain(..used);
        }
        written + sent + used
    }

    fn write(&mut self) -> usize {
        let Some(handle) = &self.handle else { return 0 };
        let output = vec![b'0'; self.left.min(32 << 10)];
        let written = self.ssh.write_channel(handle, ChanData::Normal, &output).unwrap();
        self.left -= written;
        written
    }
}

impl Read for Far {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.said.is_empty() {
            self.turn();
        }
        assert!(!self.said.is_empty(), "both sides wait for each other");
        self.said.read(out)
    }
}

impl Write for Far {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.heard.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The window determines how long a clone takes at a long round-trip time; see docs/decisions.md.
///
/// The library starts with a fixed window of a thousand octets, but grants more than was read. If it stopped doing so,
/// this would need a thousand round trips.
#[test]
fn the_window_grows_while_it_is_read() {
    const SIZE: usize = 1 << 20;
    let (key, host_keys) = (Identity::generate().unwrap(), HostKeys::parse("any").unwrap());
    let login = Login { user: "git", command: "git-upload-pack '/zones.git'", key: &key, host_keys: &host_keys };
    let mut channel = Channel::open(Far::new(SIZE), &login).unwrap();
    let before = channel.connection().turns;
    let mut sink = vec![0; SIZE];
    channel.read_exact(&mut sink).unwrap();
    let turns = channel.connection().turns - before;
    assert!(turns < 400, "{turns} round trips for {SIZE} octets");
    assert!(sink.iter().all(|octet| *octet == b'0'));
}

#[test]
fn a_path_is_quoted_as_one_word() {
    assert_eq!(command("git-upload-pack", "/srv/zones.git"), "git-upload-pack '/srv/zones.git'");
    assert_eq!(command("git-upload-pack", "~dns/a b$(c)"), "git-upload-pack '~dns/a b$(c)'");
    assert_eq!(command("git-receive-pack", "it's!"), r"git-receive-pack 'it'\''s'\!''");
}
