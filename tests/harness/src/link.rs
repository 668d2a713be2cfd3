//! A slow link between the host and a server: delay, loss and outages, frame by frame.
//!
//! Inside of a network namespace (see [`namespace`]) the server is put behind a second tap device, or the Linux binary
//! into a namespace of its own; `socat` carries the frames of both ends to here, where each is held back for half a
//! round trip and some are dropped. So all traffic passes the real stacks of both sides, for every protocol. The
//! kernel's own feature for this, `netem`, is missing in many kernels of virtual machines.
//!
//! Frames wait in sockets with back-pressure, so only the chosen ones are lost.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::namespace::{self, GUEST, HOST, TAP};
use crate::{Console, Error, Process, Result, Target, eventually, run};

/// Buffer size, larger than the longest frame.
const FRAME: usize = 2048;

/// How long an end may take to notice that it is no longer needed.
const NOTICE: Duration = Duration::from_millis(100);

/// The conditions of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The round-trip time.
    pub round_trip: Duration,
    /// The number of frames lost of a thousand, in either direction.
    pub lost_per_mille: u32,
}

/// An established link; it is removed when dropped.
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
    /// The ends. In its namespace the second one is next to the Linux binary.
    _near: Process,
    far: Process,
}

/// The state shared with the threads that carry frames.
#[derive(Debug, Default)]
struct Shared {
    lost_per_mille: AtomicU32,
    cut: AtomicBool,
    ended: AtomicBool,
    carried: AtomicU64,
    lost: AtomicU64,
}

impl Link {
    /// Establishes a link to the place where `target` is started with [`Boot::over`](crate::Boot::over); `directory`
    /// holds its sockets. Only inside of a namespace, and once.
    pub fn lay(directory: &Path, target: &Target, conditions: Conditions) -> Result<Link> {
        let shared = Arc::new(Shared::default());
        shared.lost_per_mille.store(conditions.lost_per_mille, Relaxed);
        run(Command::new("ip").args(["addr", "flush", "dev", TAP]))?;
        let (near, far) = (End::bind(directory, "near")?, End::bind(directory, "far")?);
        let near_process = near.start(&[], &format!("TUN:{HOST}/24,tun-name=near"))?;
        let far_process = match target {
            Target::Hosted { .. } => far.start(&["unshare", "--net", "--"], &format!("TUN:{GUEST}/24"))?,
            Target::Image { .. } => far.start(&[], "TUN,tun-name=far")?,
        };
        for end in [&near, &far] {
            eventually("socat opens a tap device", || end.peer.exists().then_some(()))?;
        }
        if matches!(target, Target::Image { .. }) {
            let join = format!(
                "ip link add bridge0 type bridge && ip link set {TAP} master bridge0 && ip link set far master bridge0 && \
                 ip link set bridge0 up"
            );
            run(Command::new("sh").args(["-c", &join]))?;
        }
        carry(&near, &far, conditions.round_trip / 2, &shared)?;
        carry(&far, &near, conditions.round_trip / 2, &shared)?;
        Ok(Link { shared, _near: near_process, far: far_process })
    }

    /// This side's address, for the server.
    pub fn host(&self) -> Ipv4Addr {
        HOST
    }

    /// Cuts or restores the link. While it is cut, every frame is lost.
    pub fn set_cut(&self, cut: bool) {
        self.shared.cut.store(cut, Relaxed);
    }

    /// How many frames were carried, and how many lost.
    pub fn frames(&self) -> (u64, u64) {
        (self.shared.carried.load(Relaxed), self.shared.lost.load(Relaxed))
    }

    /// Returns the prefix of a command to run at the far end, in the Linux binary's namespace.
    pub(crate) fn enter(&self) -> [String; 3] {
        ["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.far.id()), "--".to_owned()]
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.ended.store(true, Relaxed);
        // Another link may replace it; if this fails, nothing is left of it.
        if namespace::inside() {
            let _ = Command::new("ip").args(["link", "del", "bridge0"]).stderr(std::process::Stdio::null()).status();
        }
    }
}

/// Our side of a `socat`.
struct End {
    socket: UnixDatagram,
    path: PathBuf,
    peer: PathBuf,
}

impl End {
    fn bind(directory: &Path, name: &str) -> Result<End> {
        let (path, peer) = (directory.join(name), directory.join(format!("{name}-tap")));
        for path in [&path, &peer] {
            // A previous link left it.
            let _ = std::fs::remove_file(path);
        }
        let socket = UnixDatagram::bind(&path).map_err(Error::io(format!("cannot make {}", path.display())))?;
        socket.set_read_timeout(Some(NOTICE)).map_err(Error::io("cannot set a socket's patience"))?;
        Ok(End { socket, path, peer })
    }

    /// Starts the `socat` with a tap device, by way of `before`.
    fn start(&self, before: &[&str], tap: &str) -> Result<Process> {
        let mut words: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
        words.push("socat".to_owned());
        words.push(format!("{tap},tun-type=tap,iff-no-pi,iff-up"));
        words.push(format!("UNIX-SENDTO:{},bind={}", self.path.display(), self.peer.display()));
        Process::start(Path::new(&words[0]), &words[1..], Console::Shown)
    }
}

/// Carries the frames of one direction, in two threads: one receives them at once, the other delays each.
fn carry(from: &End, to: &End, delay: Duration, shared: &Arc<Shared>) -> Result<()> {
    let failed = || Error::io("cannot use a socket twice");
    let (source, sink) = (from.socket.try_clone().map_err(failed())?, to.socket.try_clone().map_err(failed())?);
    let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(4096);
    let (shared, peer) = (Arc::clone(shared), to.peer.clone());
    thread::spawn(move || {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut frame = [0; FRAME];
        while !shared.ended.load(Relaxed) {
            let length = match source.recv(&mut frame) {
                Ok(length) => length,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(_) => return,
            };
            // Marsaglia's xorshift: the same frames of every run are lost.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let lost = random % 1000 < u64::from(shared.lost_per_mille.load(Relaxed)) || shared.cut.load(Relaxed);
            if lost {
                shared.lost.fetch_add(1, Relaxed);
                continue;
            }
            shared.carried.fetch_add(1, Relaxed);
            if sender.send((Instant::now() + delay, frame[..length].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, frame) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // Fails when that end is gone, and with it who waits for the frame.
            let _ = sink.send_to(&frame, &peer);
        }
    });
    Ok(())
}
