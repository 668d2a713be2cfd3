//! Boot arguments: one typed parser and one `--help` for image and Linux binary.
//!
//! Every argument is `--name=value`. On a hypervisor the words come from the kernel command line, where
//! the boot loader leaves words of its own (`reboot=k`, `panic=1`): those do not begin with `--` and are
//! skipped. Anything else that is not understood is an error, because a server that silently ignores a
//! misspelt argument is one that fails at night.

mod arguments;
mod git;
mod network;
mod resolver;
mod ssh;
mod values;
mod webhook;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub use self::arguments::{arguments, help};
pub use self::network::{Cidr, Network};
pub use self::values::{LogFilter, Networks};
pub use self::webhook::Webhook;
use crate::answer::{self, RateLimit, Secret};
use crate::dial::Dialer;
use crate::dns::Name;
use crate::git::{Access, Remote, Trust};
use crate::keys::Keyring;
use crate::notify::Configured;
use crate::primary::SerialPolicy;
use crate::secondary::{self, Primary};
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
    let mut network = network::Given::default();
    let mut listen = Vec::new();
    let mut git_remote = None;
    let mut git_given = git::Given::default();
    let mut git_poll = None;
    let mut git_author = None;
    let mut serial = None;
    let mut tsig_keys: Vec<Arc<Key>> = Vec::new();
    let (mut primaries, mut notify) = (Vec::new(), Vec::new());
    let (mut zones, mut catalog, mut git_history) = (None, None, None);
    let (mut allow_transfer, mut allow_notify) = (None, None);
    let mut allow_update = None;
    let mut update_patience = None;
    let mut edns_payload = None;
    let mut tcp_connections = None;
    let mut rate_limit = None;
    let mut cookie_secrets = None;
    let mut nsid = None;
    let mut version_text = None;
    let mut log = None;
    let (mut resolvers, mut ntp, mut webhook) = (None, None, None);
    for word in words {
        let Some(body) = word.strip_prefix("--") else {
            match (host, word.as_str()) {
                (Host::Machine, _) => continue,
                (Host::Process, "-h") => return Ok(Command::Help(help(host))),
                (Host::Process, _) => return Err(error(&word, "arguments are written --name=value; see --help")),
            }
        };
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        let Some(argument) = arguments::find(name) else {
            return Err(error(&format!("--{name}"), arguments::unknown(host, name)));
        };
        if argument.host.is_some_and(|only| only != host) {
            return Err(error(&format!("--{name}"), arguments::misplaced(host, name)));
        }
        if name == "help" {
            return Ok(Command::Help(help(host)));
        }
        let value = value.filter(|value| !value.is_empty());
        let Some(value) = value else {
            return Err(error(&format!("--{name}"), format!("needs a value: --{name}={}", argument.value)));
        };
        let wrong = |reason: String| error(&format!("--{name}={}", printable(name, value)), reason);
        if let Some(taken) = network.take(name, value) {
            taken.map_err(wrong)?;
            continue;
        }
        match name {
            "listen" => listen.push(values::parse_listen(value).map_err(wrong)?),
            "git-remote" => set(&mut git_remote, name, Remote::parse(value).map_err(|e| wrong(e.to_string()))?)?,
            "resolver" => set(&mut resolvers, name, resolver::parse(value, 53).map_err(wrong)?)?,
            "ntp" => set(&mut ntp, name, resolver::parse(value, 123).map_err(wrong)?)?,
            "webhook" => set(&mut webhook, name, webhook::parse(host, value).map_err(wrong)?)?,
            "git-user" => set(&mut git_given.user, name, git::parse_user(value).map_err(wrong)?)?,
            "git-token" => set(&mut git_given.token, name, git::parse_token(value).map_err(wrong)?)?,
            "git-tls-ca" => set(&mut git_given.tls_ca, name, Trust::parse_authorities(value).map_err(wrong)?)?,
            "git-tls-fingerprint" => {
                set(&mut git_given.tls_fingerprint, name, Trust::parse_fingerprints(value).map_err(wrong)?)?;
            }
            "git-credentials-in-clear" => {
                set(&mut git_given.credentials_in_clear, name, git::parse_insistence(value).map_err(wrong)?)?;
            }
            "git-ssh-key" => set(&mut git_given.ssh_key, name, ssh::Identity::parse(value).map_err(wrong)?)?,
            "git-ssh-host-key" => {
                set(&mut git_given.ssh_host_key, name, ssh::HostKeys::parse(value).map_err(wrong)?)?;
            }
            "git-poll" => set(&mut git_poll, name, values::parse_poll(value).map_err(wrong)?)?,
            "git-author" => set(&mut git_author, name, values::parse_author(value).map_err(wrong)?)?,
            "serial" => set(&mut serial, name, values::parse_serial(value).map_err(wrong)?)?,
            "tsig-key" => {
                let key = Key::parse_argument(value).map_err(|reason| wrong(reason.to_string()))?;
                if tsig_keys.iter().any(|other| other.name() == key.name()) {
                    return Err(error("--tsig-key", format!("gives the key {} twice; give it once", key.name())));
                }
                tsig_keys.push(Arc::new(key));
            }
            "primary" => primaries.push((word.clone(), values::parse_peer(value).map_err(wrong)?)),
            "notify" => notify.push((word.clone(), values::parse_peer(value).map_err(wrong)?)),
            "zones" => set(&mut zones, name, values::parse_names(value).map_err(wrong)?)?,
            "catalog" => set(&mut catalog, name, values::parse_name(value).map_err(wrong)?)?,
            "allow-transfer" => set(&mut allow_transfer, name, value.parse().map_err(wrong)?)?,
            "allow-notify" => set(&mut allow_notify, name, value.parse().map_err(wrong)?)?,
            "git-history" => set(&mut git_history, name, values::parse_number(value, 0, 10_000).map_err(wrong)?)?,
            "allow-update" => set(&mut allow_update, name, value.parse().map_err(wrong)?)?,
            "update-patience" => set(&mut update_patience, name, values::parse_patience(value).map_err(wrong)?)?,
            "edns-payload" => {
                let octets = values::parse_number(value, answer::LEAST_PAYLOAD, answer::MOST_PAYLOAD);
                set(&mut edns_payload, name, octets.map_err(wrong)?)?;
            }
            "tcp-connections" => {
                set(&mut tcp_connections, name, values::parse_number(value, 1, 65_536).map_err(wrong)?)?;
            }
            "rate-limit" => set(&mut rate_limit, name, values::parse_rate_limit(value).map_err(wrong)?)?,
            "cookie-secret" => set(&mut cookie_secrets, name, values::parse_secrets(value).map_err(wrong)?)?,
            "nsid" => set(&mut nsid, name, values::parse_text(value).map_err(wrong)?)?,
            "version-text" => set(&mut version_text, name, values::parse_text(value).map_err(wrong)?)?,
            "log" => set(&mut log, name, value.parse().map_err(wrong)?)?,
            _ => unreachable!("every name in ARGUMENTS has an arm"),
        }
    }
    let network = match host {
        Host::Machine => Some(network.finish()?),
        Host::Process => None,
    };
    match host {
        Host::Machine => listen.extend(network.iter().flat_map(Network::listen)),
        Host::Process if listen.is_empty() => {
            listen.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
            listen.push(SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 53)));
        }
        Host::Process => {}
    }
    // Keys may stand behind the arguments that name them.
    let resolve = |peers: Vec<(String, values::Peer)>| -> Result<Vec<values::Resolved>, ArgumentError> {
        peers.into_iter().map(|(word, peer)| peer.with_key(&tsig_keys).map_err(|reason| error(&word, reason))).collect()
    };
    if git_remote.is_none() {
        // There are no keys but those of the arguments.
        resolve(notify.clone())?;
    }
    let notify = notify.into_iter().map(|(_, peer)| Configured { address: peer.address, key: peer.key }).collect();
    let primaries = resolve(primaries)?.into_iter().map(|(address, key)| Primary { address, key }).collect();
    let git_access = git_given.access(git_remote.as_ref())?;
    let own = network.as_ref().map(Network::own).unwrap_or_default();
    let origin = origin(git_remote, primaries, zones, catalog.as_ref(), &tsig_keys, &own)?;
    Ok(Command::Serve(Box::new(Config {
        network,
        origin,
        git_access,
        dialer: resolver::dialer(host, resolvers),
        ntp: ntp.unwrap_or_default(),
        webhook,
        git_history: git_history.unwrap_or(100),
        allow_transfer: allow_transfer.unwrap_or_default(),
        allow_notify: allow_notify.unwrap_or_default(),
        notify,
        catalog,
        git_poll: git_poll.unwrap_or(Duration::from_secs(60)),
        git_author: git_author.unwrap_or_default(),
        tsig_keys,
        allow_update,
        update_patience: update_patience.unwrap_or(Duration::from_secs(5)),
        serial: serial.unwrap_or_default(),
        log: log.unwrap_or_default(),
        listen,
        edns_payload: edns_payload.unwrap_or(answer::DEFAULT_PAYLOAD),
        nsid,
        version_text,
        cookie_secrets: cookie_secrets.unwrap_or_default(),
        rate_limit: rate_limit.unwrap_or(Some(RateLimit::default())),
        tcp_connections,
    })))
}

/// Decides where zones come from.
fn origin(
    git_remote: Option<Remote>,
    primaries: Vec<Primary>,
    zones: Option<Vec<Name>>,
    catalog: Option<&Name>,
    keys: &[Arc<Key>],
    own: &[IpAddr],
) -> Result<Origin, ArgumentError> {
    let has_zones = zones.is_some();
    match git_remote {
        Some(_) if !primaries.is_empty() => {
            return Err(error("--primary", "and --git-remote exclude each other: a server is primary or secondary"));
        }
        Some(_) if has_zones => {
            return Err(error(
                "--zones",
                "is for secondaries; with --git-remote the files of the repository say which",
            ));
        }
        Some(remote) => return Ok(Origin::Git(remote)),
        None => {}
    }
    // As the forerunner has it, a transfer key may name the primary and the zone.
    let (keyring, _) = Keyring::load(keys, []);
    let mut by_name = secondary::named_by_keys(&keyring, own);
    for zone in zones.unwrap_or_default() {
        if primaries.is_empty() && !by_name.contains_key(&zone) {
            return Err(error("--zones", format!("has {zone}, but no --primary says where to get it")));
        }
        by_name.entry(zone).or_default().extend(primaries.iter().cloned());
    }
    if primaries.is_empty() && by_name.is_empty() {
        return Err(error(
            "--git-remote",
            "is required: where the zones are, such as --git-remote=git://192.0.2.1/zones; or --primary to be a secondary",
        ));
    }
    if !has_zones && catalog.is_none() && by_name.is_empty() {
        return Err(error("--zones", "is required with --primary: which zones to get, or --catalog=NAME to be told"));
    }
    Ok(Origin::Primaries { zones: by_name, primaries })
}

fn set<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), ArgumentError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(error(&format!("--{name}"), "is given twice; give it once")),
    }
}

/// Returns what may be shown of `value`: secrets are not shown, and a remote's URL may hold a password.
fn printable(name: &str, value: &str) -> String {
    match name {
        "git-remote" => {}
        "cookie-secret" | "tsig-key" | "git-user" | "git-token" | "git-ssh-key" | "webhook" => return "…".to_string(),
        // It has hundreds of characters and more.
        "git-tls-ca" => return value.chars().take(20).chain(['…']).collect::<String>().escape_debug().to_string(),
        _ => return value.escape_debug().to_string(),
    }
    // The last one: a password may hold others.
    match (value.find("://"), value.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://…{}", &value[..scheme], value[at..].escape_debug()),
        _ => value.escape_debug().to_string(),
    }
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
