//! Name servers of other vendors as secondaries and primaries of ours: BIND, Knot DNS, NSD and PowerDNS.
//!
//! A [`Setup`] defines a server's role for its zones; once started, it is a [`Neighbour`]. Each runs on a free port of
//! 127.0.0.1 and writes to its own directory. Deliberate delays (minimum intervals, pauses
//! between notifications) are disabled as far as possible.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fmt, fs};

use crate::neighbour_config as config;
use crate::peer::find;
use crate::process::{at_another_time, last};
use crate::wire::{self, kind};
use crate::{Console, Error, Key, Port, Process, Result, dig, eventually, run, within};

/// An implementation of secondaries and primaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// BIND 9 by ISC.
    Bind,
    /// Knot DNS by CZ.NIC.
    Knot,
    /// NSD by NLnet Labs.
    Nsd,
    /// The PowerDNS Authoritative Server, with SQLite.
    PowerDns,
}

impl Make {
    /// All of them.
    pub const ALL: [Make; 4] = [Make::Bind, Make::Knot, Make::Nsd, Make::PowerDns];
}

impl fmt::Display for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Make::Bind => "BIND",
            Make::Knot => "Knot",
            Make::Nsd => "NSD",
            Make::PowerDns => "PowerDNS",
        })
    }
}

/// Another server, as configured in one of them.
#[derive(Clone, Debug)]
pub(crate) struct Far {
    pub(crate) address: SocketAddr,
    /// The key for requests in both directions.
    pub(crate) key: Option<Key>,
}

impl Far {
    fn new(address: SocketAddr, key: Option<&Key>) -> Far {
        Far { address, key: key.cloned() }
    }
}

/// A name server to start.
#[derive(Debug)]
pub struct Setup {
    pub(crate) make: Make,
    pub(crate) home: PathBuf,
    pub(crate) port: Port,
    /// The zones it transfers from [`Setup::from`].
    pub(crate) taken: Vec<String>,
    /// The zones it is the primary of.
    pub(crate) given: Vec<String>,
    pub(crate) from: Option<Far>,
    pub(crate) notified: Vec<Far>,
    /// The key required for transfers from it, if any.
    pub(crate) guard: Option<Key>,
    /// The catalog zone it consumes, with all zones in it.
    pub(crate) consumed: Option<String>,
    /// The catalog zone it produces from its own zones.
    pub(crate) produced: Option<String>,
    /// Whether it signs its own zones.
    pub(crate) signs: bool,
    clock: Option<String>,
}

impl Setup {
    /// Returns a server that writes below `directory`, without zones yet.
    pub fn new(make: Make, directory: &Path) -> Result<Setup> {
        // Ports are reused, so files of a previous server are removed.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let home = directory.join(format!("{make}-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&home).map_err(Error::io(format!("cannot make {}", home.display())))?;
        Ok(Setup {
            make,
            home,
            port: Port::new(),
            taken: Vec::new(),
            given: Vec::new(),
            from: None,
            notified: Vec::new(),
            guard: None,
            consumed: None,
            produced: None,
            signs: false,
            clock: None,
        })
    }

    /// Where it will answer.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Takes `zone` from its primary.
    pub fn takes(mut self, zone: &str) -> Setup {
        self.taken.push(zone.to_owned());
        self
    }

    /// Is the primary of `zone`, which `text` describes.
    pub fn gives(mut self, zone: &str, text: &str) -> Result<Setup> {
        self.given.push(zone.to_owned());
        write(&self.home.join(zone), text)?;
        Ok(self)
    }

    /// Where it takes zones from and who notifies it; with a `key`, both are signed.
    pub fn from(mut self, address: SocketAddr, key: Option<&Key>) -> Setup {
        self.from = Some(Far::new(address, key));
        self
    }

    /// Notifies this server, too, of changes of all its zones.
    pub fn notifies(mut self, address: SocketAddr, key: Option<&Key>) -> Setup {
        self.notified.push(Far::new(address, key));
        self
    }

    /// Allows transfers only with `key`, instead of from any client on this machine.
    pub fn guarded(mut self, key: &Key) -> Setup {
        self.guard = Some(key.clone());
        self
    }

    /// Takes the catalog zone `name` (RFC 9432) and all zones in it. Not NSD, not before version 4.9.
    pub fn consumes(mut self, name: &str) -> Setup {
        self.consumed = Some(name.to_owned());
        self
    }

    /// Gives the catalog zone `name` of the zones it gives. Only Knot makes one itself; for BIND, give it as a zone.
    pub fn produces(mut self, name: &str) -> Setup {
        self.produced = Some(name.to_owned());
        self
    }

    /// Signs the zones it gives, with keys it makes itself. Not NSD.
    pub fn signs(mut self) -> Setup {
        self.signs = true;
        self
    }

    /// Has its clock go wrong by an offset in the syntax of `faketime`, for example `-1h`.
    pub fn clock(mut self, offset: &str) -> Setup {
        self.clock = Some(offset.to_owned());
        self
    }

    /// Starts it and waits until it answers at all.
    ///
    /// # Errors
    ///
    /// If it is not installed, or ends: the error holds what it printed.
    pub fn start(self) -> Result<Neighbour> {
        config::write(&self)?;
        let mut neighbour = Neighbour { setup: self, process: None };
        neighbour.start()?;
        Ok(neighbour)
    }

    fn launch(&self) -> Result<Process> {
        let file = self.home.join("config").display().to_string();
        let home = self.home.display().to_string();
        let (program, arguments) = match self.make {
            Make::Bind => ("named", vec!["-g".to_owned(), "-n".to_owned(), "1".to_owned(), "-c".to_owned(), file]),
            Make::Knot => ("knotd", vec!["-c".to_owned(), file]),
            Make::Nsd => ("nsd", vec!["-d".to_owned(), "-c".to_owned(), file]),
            Make::PowerDns => ("pdns_server", vec![format!("--config-dir={home}")]),
        };
        let program = find(program);
        // In a group of its own: NSD has children, and all of them sleep and end together.
        let console = Console::File(self.home.join("console"));
        match &self.clock {
            None => Process::start_group(&program, &arguments, console),
            Some(offset) => {
                // Only what time of day it is; timers go on as they should.
                let timers = ["FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned()];
                let (clock, program) = (at_another_time(&["-f", offset]), [program.display().to_string()]);
                let words = [timers.as_slice(), &clock, &program, &arguments].concat();
                Process::start_group(Path::new("env"), &words, console)
            }
        }
    }
}

/// A running server of another vendor; it ends when dropped.
#[derive(Debug)]
pub struct Neighbour {
    setup: Setup,
    process: Option<Process>,
}

impl Neighbour {
    /// Whose it is.
    pub fn make(&self) -> Make {
        self.setup.make
    }

    /// Where it answers, by UDP and by TCP.
    pub fn address(&self) -> SocketAddr {
        self.setup.address()
    }

    /// What it has printed since it was started the last time.
    pub fn console(&self) -> String {
        self.process.as_ref().map(Process::printed).unwrap_or_default()
    }

    /// The serial with which it serves `zone`, if it does.
    pub fn serial(&self, zone: &str) -> Option<u32> {
        serial(self.address(), zone)
    }

    /// Waits until it serves `zone` with this serial.
    pub fn until_serial(&self, zone: &str, wanted: u32) -> Result<()> {
        self.until_serial_is(zone, &format!("{wanted}"), |serial| serial == Some(wanted))
    }

    /// Waits until it no longer serves `zone`.
    pub fn until_gone(&self, zone: &str) -> Result<()> {
        self.until_serial_is(zone, "none", |serial| serial.is_none())
    }

    fn until_serial_is(&self, zone: &str, wanted: &str, right: impl Fn(Option<u32>) -> bool) -> Result<()> {
        let what = format!("{} serves {zone} with serial {wanted}", self.make());
        let mut last = None;
        let outcome = eventually(&what, || {
            last = self.serial(zone);
            right(last).then_some(())
        });
        // Its output says why not.
        outcome.map_err(|error| Error::Ended {
            what: format!("{error}, but {last:?}; it said:\n{}", self.end_of_console()),
        })
    }

    /// Changes a zone it is the primary of, and waits until it serves another serial than before.
    pub fn change(&self, zone: &str, text: &str) -> Result<()> {
        let before = self.serial(zone);
        let what = format!("{} loads {zone} again", self.make());
        eventually(&what, || {
            // Once more if it takes long: a server notified while it loads may drop the notification.
            let told = write(&self.setup.home.join(zone), text).and_then(|()| match self.make() {
                Make::Bind | Make::Knot | Make::Nsd => self.signal("HUP"),
                Make::PowerDns => config::load_powerdns(&self.setup, zone),
            });
            let loaded = || (self.serial(zone) != before).then_some(());
            told.map(|()| within(Duration::from_secs(2), &what, loaded).ok()).transpose()
        })?
    }

    /// Is the primary of these zones, and those it gives no more are gone; Knot only.
    pub fn give_only(&mut self, zones: &[(&str, &str)]) -> Result<()> {
        self.setup.given = zones.iter().map(|(zone, _)| (*zone).to_owned()).collect();
        for (zone, text) in zones {
            write(&self.setup.home.join(zone), text)?;
        }
        config::write(&self.setup)?;
        self.signal("HUP")
    }

    /// Suspends it at once; requests that arrive meanwhile wait.
    pub fn sleep(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Resumes it.
    pub fn wake(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// Kills it at once. Its address stays reserved.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Restarts it with its stored state.
    pub fn start(&mut self) -> Result<()> {
        self.process = Some(self.setup.launch()?);
        self.until_answering()
    }

    fn signal(&self, name: &str) -> Result<()> {
        let id = self.process.as_ref().map_or(0, Process::id);
        // Only NSD's parent handles reloads; suspending affects all processes.
        let line = match name {
            "HUP" => format!("kill -s HUP {id}"),
            _ => format!("kill -s {name} -- -{id}"),
        };
        run(Command::new("sh").args(["-c", &line])).map(drop)
    }

    fn until_answering(&mut self) -> Result<()> {
        let address = self.address();
        let query = wire::query(1, "version.bind", kind::SOA);
        let outcome = eventually(&format!("{} answers", self.make()), || {
            if let Some(status) = self.process.as_mut().and_then(Process::ended) {
                return Some(Err(Error::Ended {
                    what: format!("{} ended ({status}): {}", self.make(), self.console()),
                }));
            }
            // Any answer counts.
            let reply = wire::exchange(address, &query, Duration::from_millis(200)).ok().flatten();
            reply.map(|_| Ok(()))
        });
        outcome.and_then(|outcome| outcome)
    }

    fn end_of_console(&self) -> String {
        // BIND begins with how it was built, at length.
        last(self.console().lines().filter(|line| line.len() < 400), 40)
    }
}

/// The serial with which the server at `address` serves `zone` with authority, if it does.
pub fn serial(address: SocketAddr, zone: &str) -> Option<u32> {
    let reply = wire::exchange(address, &wire::query(1, zone, kind::SOA), Duration::from_secs(5)).ok()??;
    if wire::rcode(&reply) != Some(0) || reply[2] & 4 == 0 {
        return None;
    }
    wire::records(&reply).next().and_then(|record| record.serial())
}

/// All records of `zone` in a transfer from the server at `address`, sorted, one per line: owner, TTL, class, type and
/// data.
///
/// # Errors
///
/// The transfer is refused, or fails midway.
pub fn whole_zone(address: SocketAddr, zone: &str, key: Option<&Key>) -> Result<Vec<String>> {
    let option = key.map(Key::option);
    let mut arguments = vec![zone, "AXFR", "+tcp", "+noidnout"];
    if let Some(option) = &option {
        arguments.extend(["-y", option]);
    }
    let (ip, port) = (format!("@{}", address.ip()), address.port().to_string());
    let mut command = Command::new("dig");
    command.args(["-r", &ip, "-p", &port, "+noall", "+answer", "+nosplit", "+onesoa", "+time=60"]).args(arguments);
    let text = run(&mut command)?;
    if text.contains("Transfer failed") || text.contains("Couldn't verify") || !text.contains("SOA") {
        return Err(Error::Failed { command: format!("dig {zone} AXFR of {address}"), output: text });
    }
    let records = text.lines().filter(|line| !line.starts_with(';') && !line.is_empty());
    let mut records: Vec<String> =
        records.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase()).collect();
    records.sort_unstable();
    Ok(records)
}

fn write(path: &Path, text: &str) -> Result<()> {
    // Renamed, so that no server reads a partial file.
    let new = path.with_extension("new");
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
    written.map_err(Error::io(format!("cannot write {}", path.display())))
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- end of the console of {} ----\n{}\n----", self.make(), self.end_of_console());
        }
    }
}

/// Whether `dig` is told that the transfer of `zone` failed, for whatever reason.
pub fn is_refused(address: SocketAddr, zone: &str, key: Option<&Key>) -> bool {
    matches!(whole_zone(address, zone, key), Err(Error::Failed { .. })) && dig(address, &[zone, "SOA"]).is_ok()
}
