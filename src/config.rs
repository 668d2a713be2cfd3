//! Boot arguments: one typed parser and one `--help` for image and Linux binary.
//!
//! Every argument is `--name=value`. On a hypervisor the words come from the kernel command line, where
//! the boot loader leaves words of its own (`reboot=k`, `panic=1`): those do not begin with `--` and are
//! skipped. Anything else that is not understood is an error, because a server that silently ignores a
//! misspelt argument is one that fails at night.

mod arguments;
mod git;
mod given;
mod network;
mod resolver;
mod ssh;
mod values;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use self::arguments::{Argument, arguments, help, reference};
use self::given::Given;
pub use self::network::{Cidr, Network};
pub use self::values::Networks;
pub use self::webhook::Webhook;
use crate::answer::{RateLimit, Secret};
use crate::dns::Name;
use crate::git::{Access, Remote};
use crate::net::Dialer;
use crate::notify::Configured;
use crate::primary::SerialPolicy;
use crate::secondary::Primary;
use crate::telemetry::LogFilter;
use crate::tsig::Key;

/// What the program runs on, which decides the arguments that make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// A machine of its own, booted by a hypervisor.
    Machine,
    /// A process of an operating system, which owns the network.
    Process,
}

/// What the boot arguments ask for.
#[derive(Clone, Debug)]
pub struct Config {
    /// How the machine is reached; `Some` on [`Host::Machine`] only.
    pub network: Option<Network>,
    /// Where the zones come from.
    pub origin: Origin,
    /// What logs in to the git remote, and which one is believed.
    pub git_access: Access,
    /// Finds the git remote's host.
    pub dialer: Dialer,
    /// Who is asked for the time of day; on [`Host::Machine`] only.
    pub ntp: Vec<SocketAddr>,
    /// Where forges tell of pushes.
    pub webhook: Option<Webhook>,
    /// The time between two looks at the remote.
    pub git_poll: Duration,
    /// How many commits are looked back at for differences.
    pub git_history: u32,
    /// Whom commits name as their committer.
    pub git_author: Author,
    /// Keys beside those in the repository.
    pub tsig_keys: Vec<Arc<Key>>,
    /// Whence updates may come, beside being signed; `None` for anywhere.
    pub allow_update: Option<Networks>,
    /// Who may transfer zones without a key.
    pub allow_transfer: Networks,
    /// Who may notify without a key.
    pub allow_notify: Networks,
    /// Who is notified of changes, besides those the zones and keys name.
    pub notify: Vec<Configured>,
    /// The catalog zone that is produced of all zones, or consumed (RFC 9432).
    pub catalog: Option<Name>,
    /// How long an update may wait for the remote before it is given up.
    pub update_patience: Duration,
    /// What becomes of a zone that was changed without a higher serial number.
    pub serial: SerialPolicy,
    /// What is logged.
    pub log: LogFilter,
    /// The addresses served over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// The most octets of a UDP reply, 512 to 4096.
    pub edns_payload: u16,
    /// What tells this server from others at the same address (RFC 5001).
    pub nsid: Option<String>,
    /// What is said of the server's version.
    pub version_text: Option<String>,
    /// The secrets of DNS cookies (RFC 9018 §5), the first for new ones; none to have one made up.
    pub cookie_secrets: Vec<Secret>,
    /// How many replies a client gets, or `None` for any number.
    pub rate_limit: Option<RateLimit>,
    /// The most TCP connections at a time, or `None` to let memory decide.
    pub tcp_connections: Option<usize>,
}

/// Where zones come from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A git remote, to which changes are pushed.
    Git(Remote),
    /// Other servers.
    Primaries {
        /// The zones told by name, with the primaries of each.
        zones: BTreeMap<Name, Vec<Primary>>,
        /// The primaries of the zones that a catalog tells.
        primaries: Vec<Primary>,
    },
}

/// A person or machine as commits name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
}

/// What a valid command line asks the program to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Serve.
    Serve(Box<Config>),
    /// Print this text and end.
    Help(String),
}

/// An argument that cannot be used: which, why, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentError {
    argument: String,
    reason: String,
}

/// Reads the arguments `words`, the program's name left out.
///
/// # Errors
///
/// The first argument that is unknown, repeated, of the other host, malformed or missing.
pub fn parse(host: Host, words: impl IntoIterator<Item = String>) -> Result<Command, ArgumentError> {
    let mut given = Given::default();
    for argument in arguments(host) {
        if let arguments::Default::Value(text) = argument.default {
            let word = format!("--{}={text}", argument.name);
            let value = arguments::Value { host, text, word: &word };
            (argument.take)(&mut given, &value).map_err(|reason| error(&word, reason))?;
        }
    }
    let mut seen = BTreeSet::new();
    for word in words {
        let Some(body) = word.strip_prefix("--") else {
            match (host, word.as_str()) {
                (Host::Machine, _) => continue,
                (Host::Process, "-h") => return Ok(Command::Help(help(host))),
                (Host::Process, _) => return Err(error(&word, "arguments are written --name=value; see --help")),
            }
        };
        let (name, value) = body.split_once('=').unwrap_or((body, ""));
        let argument = arguments::find(host, name)?;
        if argument.value.is_empty() {
            return Ok(Command::Help(help(host)));
        }
        if value.is_empty() {
            return Err(error(&format!("--{name}"), format!("needs a value: --{name}={}", argument.value)));
        }
        let is_first = seen.insert(argument.name);
        if !is_first && !argument.is_repeatable {
            return Err(error(&format!("--{name}"), "is given twice; give it once"));
        }
        let wrong = |reason| error(&format!("--{name}={}", argument.printable(value)), reason);
        (argument.take)(&mut given, &arguments::Value { host, text: value, word: &word }).map_err(wrong)?;
    }
    Ok(Command::Serve(Box::new(given.finish(host)?)))
}

fn error(argument: &str, reason: impl Into<String>) -> ArgumentError {
    ArgumentError { argument: argument.to_string(), reason: reason.into() }
}

impl Default for Author {
    fn default() -> Self {
        Author { name: "Zonule".to_string(), email: "zonule@localhost".to_string() }
    }
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "argument {}: {}", self.argument, self.reason)
    }
}

impl std::error::Error for ArgumentError {}

#[cfg(test)]
mod tests;
