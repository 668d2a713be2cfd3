//! Validating resolvers, which verify the answers of signed zones: unbound as a server, BIND's `delv` as a command.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fmt, fs};

use crate::peer::find;
use crate::wire::{self, kind};
use crate::{Console, Error, Port, Process, Reply, Result, dig, run, within};

/// A signed zone, its server's address, and its trust anchor.
#[derive(Clone, Debug)]
pub struct Anchored {
    /// The name of the zone.
    pub zone: String,
    /// The address of its server.
    pub server: SocketAddr,
    /// DS or DNSKEY records in presentation form, one per line.
    pub anchor: String,
}

/// The validation status of an answer (RFC 4035 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The signatures lead to the anchor.
    Secure,
    /// It is proven that no signatures are expected.
    Insecure,
    /// Signatures or proofs are missing or wrong.
    Bogus,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Judgement::Secure => "secure",
            Judgement::Insecure => "insecure",
            Judgement::Bogus => "bogus",
        })
    }
}

/// A running unbound that validates; it ends when dropped.
#[derive(Debug)]
pub struct Validator {
    process: Process,
    port: Port,
}

impl Validator {
    /// Starts unbound with its files in `directory` and waits until it answers; it queries the given servers only.
    ///
    /// # Errors
    ///
    /// It is not installed, or ends; the error contains its output.
    pub fn start(directory: &Path, zones: &[Anchored]) -> Result<Validator> {
        let home = directory.join("unbound");
        fs::create_dir_all(&home).map_err(Error::io(format!("cannot make {}", home.display())))?;
        let port = Port::new();
        let mut text = format!(
            "server:\n interface: 127.0.0.1\n port: {}\n directory: \"{}\"\n pidfile: \"\"\n username: \"\"\n chroot: \"\"\n \
             use-syslog: no\n logfile: \"\"\n do-daemonize: no\n do-ip6: no\n num-threads: 1\n \
             module-config: \"validator iterator\"\n val-log-level: 2\n ede: yes\n do-not-query-localhost: no\n \
             qname-minimisation: no\n aggressive-nsec: no\n trust-anchor-signaling: no\n root-key-sentinel: no\n \
             cache-max-ttl: 1\n cache-max-negative-ttl: 1\n infra-host-ttl: 1\n val-bogus-ttl: 1\n outbound-msg-retry: 2\n \
             harden-below-nxdomain: no\n rrset-cache-size: 64m\n msg-cache-size: 64m\n",
            port.number(),
            home.display()
        );
        for Anchored { zone, anchor, .. } in zones {
            text += &format!(" local-zone: \"{zone}\" nodefault\n");
            for line in anchor.lines().filter(|line| !line.trim().is_empty()) {
                text += &format!(" trust-anchor: \"{}\"\n", line.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
        text += " local-zone: \"test.\" nodefault\nremote-control:\n control-enable: no\n";
        for Anchored { zone, server, .. } in zones {
            text += &format!("stub-zone:\n name: \"{zone}\"\n stub-addr: {}@{}\n", server.ip(), server.port());
        }
        let config = home.join("config");
        fs::write(&config, text).map_err(Error::io(format!("cannot write {}", config.display())))?;
        let arguments = ["-d".to_owned(), "-c".to_owned(), config.display().to_string()];
        let process = Process::start(&find("unbound"), &arguments, Console::File(home.join("console")))?;
        let mut validator = Validator { process, port };
        let query = wire::query(1, "localhost", kind::SOA);
        within(Duration::from_secs(30), "unbound answers", || {
            if let Some(status) = validator.process.ended() {
                let what = format!("unbound ended ({status}): {}", validator.process.printed());
                return Some(Err(Error::Ended { what }));
            }
            wire::exchange(validator.address(), &query, Duration::from_millis(200)).ok().flatten().map(|_| Ok(()))
        })??;
        Ok(validator)
    }

    /// The address where it answers.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Resolves a question and returns the validation status and the reply.
    ///
    /// # Errors
    ///
    /// It does not reply.
    pub fn judge(&self, name: &str, rtype: &str) -> Result<(Judgement, Reply)> {
        let reply = dig(self.address(), &[name, rtype, "+recurse", "+dnssec", "+timeout=20"])?;
        let judgement = match reply.status.as_str() {
            "SERVFAIL" => Judgement::Bogus,
            _ if reply.has_flag("ad") => Judgement::Secure,
            _ => Judgement::Insecure,
        };
        Ok((judgement, reply))
    }

    /// Returns its log so far, which contains the reason for each bogus answer.
    pub fn log(&self) -> String {
        self.process.printed()
    }
}

/// Resolves a question at the server itself with BIND's `delv`; returns the validation status and the output.
///
/// # Errors
///
/// The anchor cannot be written.
pub fn delv(directory: &Path, zone: &Anchored, name: &str, rtype: &str) -> Result<(Judgement, String)> {
    let anchors: PathBuf = directory.join(format!("{}anchors", zone.zone));
    let lines = zone.anchor.lines().filter(|line| !line.trim().is_empty()).map(|line| {
        let words: Vec<&str> = line.split_whitespace().skip_while(|word| *word != "DS").skip(1).collect();
        let digest = words.get(3..).unwrap_or_default().concat();
        format!(" \"{}\" static-ds {} \"{digest}\";\n", zone.zone, words.get(..3).unwrap_or_default().join(" "))
    });
    let text = format!("trust-anchors {{\n{}}};\n", lines.collect::<String>());
    fs::write(&anchors, text).map_err(Error::io(format!("cannot write {}", anchors.display())))?;
    let mut command = Command::new("delv");
    command.args([&format!("@{}", zone.server.ip()), "-p", &zone.server.port().to_string(), "-a"]).arg(&anchors);
    command.args([&format!("+root={}", zone.zone), "+nocrypto", name, rtype]);
    let text = match run(&mut command) {
        Ok(text) => text,
        Err(Error::Failed { output, .. }) => output,
        Err(error) => return Err(error),
    };
    let judgement = if text.contains("fully validated") {
        Judgement::Secure
    } else if text.contains("unsigned answer") {
        Judgement::Insecure
    } else {
        Judgement::Bogus
    };
    Ok((judgement, text))
}
