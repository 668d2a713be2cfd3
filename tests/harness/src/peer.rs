//! Other name servers, to compare answers with: NSD, Knot DNS and BIND.
//!
//! Each runs with a generated configuration on a free port of 127.0.0.1, and writes its files below a
//! directory of the caller. Settings that could make answers differ without a fault of a server are the same:
//! payload size, no recursion, no rotation of records, no server identifiers and no cookies unasked.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use crate::wire::{self, kind};
use crate::{Console, Error, Port, Process, Result, within};

/// How long a peer may take until it serves a zone: it runs on the host itself, and a zone it refuses never appears.
const PEER_PATIENCE: Duration = Duration::from_secs(30);

/// Another implementation of an authoritative server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// NSD by NLnet Labs.
    Nsd,
    /// Knot DNS by CZ.NIC.
    Knot,
    /// BIND 9 by ISC.
    Bind,
}

impl Peer {
    /// All of them.
    pub const ALL: [Peer; 3] = [Peer::Nsd, Peer::Knot, Peer::Bind];

    /// Starts it on `zones`, each a name and its file, with everything it writes in `directory`, and waits until it
    /// answers for all of them.
    ///
    /// # Errors
    ///
    /// The server is not installed, or refuses a zone; the error contains its output.
    pub fn start<N: AsRef<str>>(self, directory: &Path, zones: &[(N, PathBuf)]) -> Result<RunningPeer> {
        let mut running = self.launch(directory, zones)?;
        for (zone, _) in zones {
            let zone = zone.as_ref();
            // If it never does, the last line of its output says why.
            within(PEER_PATIENCE, &format!("{self} serves {zone}"), || match running.serves(zone) {
                Ok(true) => Some(Ok(())),
                Ok(false) => running.process.ended().map(|status| Err(running.failed(&format!("ended ({status})")))),
                Err(error) => Some(Err(error)),
            })
            .unwrap_or_else(|_| Err(running.failed(&format!("does not serve {zone}"))))?;
        }
        Ok(running)
    }

    /// Starts it without waiting for anything.
    pub fn launch<N: AsRef<str>>(self, directory: &Path, zones: &[(N, PathBuf)]) -> Result<RunningPeer> {
        let home = directory.join(self.to_string());
        fs::create_dir_all(&home).map_err(Error::io(format!("cannot make {}", home.display())))?;
        let port = Port::new();
        let config = home.join("config");
        let text = self.configuration(&home, port.number(), zones);
        fs::write(&config, text).map_err(Error::io(format!("cannot write {}", config.display())))?;
        let config = config.to_string_lossy();
        let arguments: &[&str] = match self {
            // It stays in the foreground, so that its children end with it.
            Peer::Nsd => &["-d", "-c", &config],
            Peer::Knot => &["-c", &config],
            Peer::Bind => &["-g", "-n", "1", "-c", &config],
        };
        let process = Process::start(&self.program(), arguments, Console::File(home.join("console")))?;
        Ok(RunningPeer { peer: self, process, port })
    }

    /// Checks `file` as the zone `zone` with its own zone checker; returns whether the zone is valid, and the output.
    pub fn check_zone(self, zone: &str, file: &Path) -> Result<(bool, String)> {
        let mut command = match self {
            Peer::Nsd => Command::new(find("nsd-checkzone")),
            Peer::Knot => Command::new(find("kzonecheck")),
            Peer::Bind => Command::new(find("named-checkzone")),
        };
        if self == Peer::Knot {
            command.arg("-o");
        }
        command.arg(zone).arg(file).stdin(Stdio::null());
        // Relative names in $INCLUDE are resolved in the directory of the file.
        if let Some(directory) = file.parent() {
            command.current_dir(directory);
        }
        let program = command.get_program().to_string_lossy().into_owned();
        let output = command.output().map_err(|source| Error::Spawn { program, source })?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }

    fn program(self) -> PathBuf {
        find(match self {
            Peer::Nsd => "nsd",
            Peer::Knot => "knotd",
            Peer::Bind => "named",
        })
    }

    fn configuration<N: AsRef<str>>(self, home: &Path, port: u16, zones: &[(N, PathBuf)]) -> String {
        let home = home.display();
        let mut text = match self {
            Peer::Nsd => format!(
                "server:\n ip-address: 127.0.0.1@{port}\n server-count: 1\n username: \"\"\n chroot: \"\"\n \
                 zonesdir: \"{home}\"\n database: \"\"\n zonelistfile: \"{home}/zone.list\"\n \
                 xfrdfile: \"{home}/xfrd.state\"\n xfrdir: \"{home}\"\n pidfile: \"\"\n ipv4-edns-size: 1232\n\
                 remote-control:\n control-enable: no\n"
            ),
            Peer::Knot => format!(
                "server:\n  rundir: \"{home}\"\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  \
                 background-workers: 1\n  udp-max-payload: 1232\n  nsid: \"\"\n\
                 log:\n- target: stderr\n  any: warning\n\
                 database:\n  storage: \"{home}\"\n\
                 acl:\n- id: update\n  address: 127.0.0.1\n  action: update\n\
                 template:\n- id: default\n  storage: \"{home}\"\n  zonefile-sync: -1\n  zonefile-load: whole\n  \
                 journal-content: none\n\
                 zone:\n"
            ),
            // The addresses and all checks of what zones ought to hold are off: the zones test just that.
            Peer::Bind => format!(
                "options {{\n directory \"{home}\"; pid-file none; session-keyfile none; lock-file none;\n \
                 listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n \
                 recursion no; notify no; dnssec-validation no; empty-zones-enable no; answer-cookie no;\n \
                 minimal-responses no; zero-no-soa-ttl no; edns-udp-size 1232; max-udp-size 1232; rrset-order {{ order none; }};\n \
                 check-names primary ignore; check-mx ignore; check-mx-cname ignore; check-srv-cname ignore;\n \
                 check-integrity no; max-records-per-type 0; max-types-per-name 0;\n}};\ncontrols {{ }};\n"
            ),
        };
        for (zone, file) in zones {
            let (zone, file) = (zone.as_ref(), file.display());
            match self {
                Peer::Nsd => writeln!(text, "zone:\n name: \"{zone}\"\n zonefile: \"{file}\""),
                Peer::Knot => writeln!(text, "- domain: \"{zone}\"\n  file: \"{file}\"\n  acl: update"),
                Peer::Bind => {
                    writeln!(text, "zone \"{zone}\" {{ type primary; file \"{file}\"; allow-update {{ any; }}; }};")
                }
            }
            .expect("a String accepts all");
        }
        text
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Peer::Nsd => "NSD",
            Peer::Knot => "Knot",
            Peer::Bind => "BIND",
        })
    }
}

/// A running server of another vendor; it ends when dropped.
#[derive(Debug)]
pub struct RunningPeer {
    peer: Peer,
    process: Process,
    port: Port,
}

impl RunningPeer {
    /// Returns the implementation.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Returns its address for UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The id of the process started; NSD has children.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Returns its output so far.
    pub fn console(&self) -> String {
        self.process.printed()
    }

    /// Whether it answers for `zone` with authority.
    fn serves(&self, zone: &str) -> Result<bool> {
        let query = wire::query(1, zone, kind::SOA);
        let reply = wire::exchange(self.address(), &query, Duration::from_millis(500))
            .map_err(Error::io(format!("asking {}", self.peer)))?;
        Ok(reply.is_some_and(|reply| wire::rcode(&reply) == Some(0) && reply[2] & 4 != 0))
    }

    fn failed(&self, what: &str) -> Error {
        Error::Ended { what: format!("{} {what}:\n{}", self.peer, self.console()) }
    }
}

/// Where a program is: on the path, or where administrators' programs are.
pub(crate) fn find(program: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places.map(|place| place.join(program)).find(|file| file.is_file()).unwrap_or_else(|| program.into())
}
