//! Boot arguments: one typed parser and one `--help` for the image and the Linux binary.
//!
//! Every argument has the form `--name=value`. On a hypervisor the words come from the kernel command line, to which
//! the boot loader adds its own (`reboot=k`, `panic=1`): words that do not begin with `--` are skipped. Every other
//! unknown word is an error, because silently ignoring a misspelt argument causes failures later.

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

/// The host of the program, which determines the available arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// A machine of its own, booted by a hypervisor.
    Machine,
    /// A process of an operating system, which owns the network.
    Process,
}

/// The configuration from the boot arguments.
#[derive(Clone, Debug)]
pub struct Config {
    /// The network configuration; `Some` on [`Host::Machine`] only.
    pub network: Option<Network>,
    /// The source of the zones.
    pub origin: Origin,
    /// The credentials for the git remote, and how the remote is authenticated.
    pub git_access: Access,
    /// The dialer that resolves the git remote's host and connects to it.
    pub dialer: Dialer,
    /// The time servers; on [`Host::Machine`] only.
    pub ntp: Vec<SocketAddr>,
    /// The endpoint where forges report pushes.
    pub webhook: Option<Webhook>,
    /// The polling interval of the remote.
    pub git_poll: Duration,
    /// The maximum number of past commits that are read for differences.
    pub git_history: u32,
    /// The committer of commits.
    pub git_author: Author,
    /// Keys in addition to those in the repository.
    pub tsig_keys: Vec<Arc<Key>>,
    /// The networks from which signed updates are accepted; `None` for all.
    pub allow_update: Option<Networks>,
    /// The networks that may transfer zones without a key.
    pub allow_transfer: Networks,
    /// The networks that may send notifications without a key.
    pub allow_notify: Networks,
    /// The servers to notify of changes, in addition to those in zones and key names.
    pub notify: Vec<Configured>,
    /// The catalog zone to produce or to consume (RFC 9432).
    pub catalog: Option<Name>,
    /// The time limit for pushing an update to the remote.
    pub update_patience: Duration,
    /// How to handle a zone that was changed without a new serial number.
    pub serial: SerialPolicy,
    /// How to handle a signed zone that validators would reject.
    pub bogus: BogusPolicy,
    /// The log filter.
    pub log: LogFilter,
    /// The addresses to listen on, over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// The maximum size of a UDP reply in octets, 512 to 4096.
    pub edns_payload: u16,
    /// The identity of this server among those at the same address (RFC 5001).
    pub nsid: Option<String>,
    /// The domain that resolvers report errors to (RFC 9567).
    pub report_channel: Option<Name>,
    /// The version text for clients.
    pub version_text: Option<String>,
    /// The secrets of DNS cookies (RFC 9018 §5), the first one for new cookies; empty for a random one.
    pub cookie_secrets: Vec<Secret>,
    /// The limit on replies to a client network; `None` for no limit.
    pub rate_limit: Option<RateLimit>,
    /// The maximum number of TCP connections; `None` to derive it from the memory size.
    pub tcp_connections: Option<usize>,
}

/// The source of the zones.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A git remote, to which changes are pushed.
    Git(Remote),
    /// Other servers.
    Primaries {
        /// The configured zones, with the primaries of each.
        zones: BTreeMap<Name, Vec<Primary>>,
        /// The primaries of the zones in a catalog.
        primaries: Vec<Primary>,
    },
}

/// How to handle a signed zone that validators would reject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BogusPolicy {
    /// It is served, and the log says what is wrong.
    #[default]
    Warn,
    /// It is not served; the last good version is.
    Refuse,
}

/// The author of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
}

/// The command that a valid command line requests.
#[derive(Clone, Debug)]
pub enum Command {
    /// Serve.
    Serve(Box<Config>),
    /// Print this text and exit.
    Help(String),
}

/// An invalid argument, with the reason and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentError {
    argument: String,
    reason: String,
}

/// Parses the arguments `words`, without the program's name.
///
/// # Errors
///
/// Returns the first argument that is unknown, repeated, only valid on the other host, malformed or missing.
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
                (Host::Process, _) => return Err(error(&word, "arguments have the form --name=value; see --help")),
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
            return Err(error(&format!("--{name}"), "is given twice; give it only once"));
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
