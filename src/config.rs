//! Boot arguments: one typed parser and one `--help` for image and Linux binary.
//!
//! Every argument is `--name=value`. On a hypervisor the words come from the kernel command line, where
//! the boot loader leaves words of its own (`reboot=k`, `panic=1`): those do not begin with `--` and are
//! skipped. Anything else that is not understood is an error, because a server that silently ignores a
//! misspelt argument is one that fails at night.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use log::LevelFilter;

use crate::git::Remote;

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
    /// The machine's address; `Some` on [`Host::Machine`] only.
    pub ip: Option<Ipv4Cidr>,
    /// The router towards everything outside `ip`'s network.
    pub gateway: Option<Ipv4Addr>,
    /// Where the zones are.
    pub git_remote: Remote,
    /// The time between two looks at the remote.
    pub git_poll: Duration,
    /// What is logged.
    pub log: LogFilter,
    /// The addresses served over UDP and TCP.
    pub listen: Vec<SocketAddr>,
}

/// What a valid command line asks the program to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Serve.
    Serve(Box<Config>),
    /// Print this text and end.
    Help(String),
}

/// An IPv4 address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Cidr {
    /// The host's own address.
    pub address: Ipv4Addr,
    /// The length of the network prefix, in bits, 1 to 32.
    pub prefix: u8,
}

/// The level up to which records are logged, for all modules and for single ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    /// The level of modules without one of their own.
    pub level: LevelFilter,
    /// Levels of single modules by path below the crate, such as `git`.
    pub modules: Vec<(String, LevelFilter)>,
}

/// An argument that cannot be used: which, why, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentError {
    argument: String,
    reason: String,
}

/// An argument as `--help` shows it.
struct Argument {
    name: &'static str,
    value: &'static str,
    host: Option<Host>,
    help: &'static str,
}

const ARGUMENTS: &[Argument] = &[
    Argument {
        name: "ip",
        value: "ADDR/PREFIX",
        host: Some(Host::Machine),
        help: "this machine's IPv4 address and prefix length; required",
    },
    Argument {
        name: "gateway",
        value: "ADDR",
        host: Some(Host::Machine),
        help: "the router; without it only the machine's own network is reached",
    },
    Argument {
        name: "listen",
        value: "ADDR:PORT",
        host: Some(Host::Process),
        help: "serve UDP and TCP here; may be repeated; default 127.0.0.1:53 and [::1]:53",
    },
    Argument {
        name: "git-remote",
        value: "URL[#BRANCH]",
        host: None,
        help: "where the zones are, as git://HOST[:PORT]/PATH; required",
    },
    Argument {
        name: "git-poll",
        value: "SECONDS",
        host: None,
        help: "time between two looks at the remote, 1 to 86400; default 60",
    },
    Argument {
        name: "log",
        value: "LEVEL[,MODULE=LEVEL]",
        host: None,
        help: "off, error, warn, info, debug or trace, also by module (git, serve, zone); default info",
    },
    Argument { name: "help", value: "", host: None, help: "print this text and end" },
];

/// Names that other programs use for our arguments: the forerunner's and the kernel's.
const SYNONYMS: &[(&str, &str)] = &[
    ("remote", "git-remote"),
    ("ipv4", "ip"),
    ("address", "ip"),
    ("ipv4-gateway", "gateway"),
    ("logs", "log"),
    ("log-level", "log"),
    ("verbose", "log"),
    ("port", "listen"),
];

/// Reads the arguments `words`, the program's name left out.
///
/// # Errors
///
/// The first argument that is unknown, repeated, of the other host, malformed or missing.
pub fn parse(host: Host, words: impl IntoIterator<Item = String>) -> Result<Command, ArgumentError> {
    let mut ip = None;
    let mut gateway = None;
    let mut listen = Vec::new();
    let mut git_remote = None;
    let mut git_poll = None;
    let mut log = None;
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
        let Some(argument) = ARGUMENTS.iter().find(|argument| argument.name == name) else {
            return Err(error(&format!("--{name}"), unknown(host, name)));
        };
        if argument.host.is_some_and(|only| only != host) {
            return Err(error(&format!("--{name}"), misplaced(host)));
        }
        if name == "help" {
            return Ok(Command::Help(help(host)));
        }
        let value = value.filter(|value| !value.is_empty());
        let Some(value) = value else {
            return Err(error(&format!("--{name}"), format!("needs a value: --{name}={}", argument.value)));
        };
        let wrong = |reason: String| error(&format!("--{name}={}", printable(name, value)), reason);
        match name {
            "ip" => set(&mut ip, name, value.parse().map_err(wrong)?)?,
            "gateway" => set(&mut gateway, name, parse_gateway(value).map_err(wrong)?)?,
            "listen" => listen.push(parse_listen(value).map_err(wrong)?),
            "git-remote" => set(&mut git_remote, name, Remote::parse(value).map_err(|e| wrong(e.to_string()))?)?,
            "git-poll" => set(&mut git_poll, name, parse_poll(value).map_err(wrong)?)?,
            "log" => set(&mut log, name, value.parse().map_err(wrong)?)?,
            _ => unreachable!("every name in ARGUMENTS has an arm"),
        }
    }
    if let (Some(ip), Some(gateway)) = (ip, gateway) {
        check_gateway(ip, gateway)?;
    }
    match host {
        Host::Machine => {
            let Some(Ipv4Cidr { .. }) = ip else {
                return Err(error("--ip", "is required: this machine's address, such as --ip=192.0.2.53/24"));
            };
            listen.push(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 53)));
        }
        Host::Process if listen.is_empty() => {
            listen.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
            listen.push(SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 53)));
        }
        Host::Process => {}
    }
    let Some(git_remote) = git_remote else {
        return Err(error(
            "--git-remote",
            "is required: where the zones are, such as --git-remote=git://192.0.2.1/zones",
        ));
    };
    Ok(Command::Serve(Box::new(Config {
        ip,
        gateway,
        git_remote,
        git_poll: git_poll.unwrap_or(Duration::from_secs(60)),
        log: log.unwrap_or_default(),
        listen,
    })))
}

/// Returns the text of `--help`.
#[must_use]
pub fn help(host: Host) -> String {
    let mut text = String::from("Zonule: an authoritative DNS server whose zones live in git.\n\n");
    text.push_str(match host {
        Host::Machine => "Boot arguments (on the kernel command line; words without -- are skipped):\n",
        Host::Process => "Usage: zonule --git-remote=URL [--listen=ADDR:PORT] ...\n\nArguments:\n",
    });
    for argument in ARGUMENTS.iter().filter(|argument| argument.host.is_none_or(|only| only == host)) {
        let equals = if argument.value.is_empty() { "" } else { "=" };
        let left = format!("--{}{equals}{}", argument.name, argument.value);
        text.push_str(&format!("  {left:<28}  {}\n", argument.help));
    }
    text
}

fn set<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), ArgumentError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(error(&format!("--{name}"), "is given twice; give it once")),
    }
}

/// Says which argument was probably meant.
fn unknown(host: Host, name: &str) -> String {
    let usable = |argument: &&Argument| argument.host.is_none_or(|only| only == host);
    let synonym = SYNONYMS.iter().find(|(other, _)| *other == name).map(|(_, ours)| *ours);
    let nearest = ARGUMENTS
        .iter()
        .filter(usable)
        .map(|argument| (strsim::damerau_levenshtein(name, argument.name), argument.name))
        .min()
        .filter(|(distance, ours)| *distance <= ours.len().max(name.len()) / 2)
        .map(|(_, ours)| ours);
    let synonym = synonym.filter(|ours| ARGUMENTS.iter().filter(usable).any(|argument| argument.name == *ours));
    match synonym.or(nearest) {
        Some(ours) => format!("is unknown; did you mean --{ours}?"),
        None => "is unknown; see --help".to_string(),
    }
}

fn misplaced(host: Host) -> &'static str {
    match host {
        Host::Machine => "is for the Linux binary; on a machine of its own the server listens on --ip, port 53",
        Host::Process => "is for the bootable image; the Linux binary takes --listen=ADDR:PORT",
    }
}

/// Returns what may be shown of `value`: a remote's URL may hold a password.
fn printable(name: &str, value: &str) -> String {
    if name != "git-remote" {
        return value.escape_debug().to_string();
    }
    match (value.find("://"), value.find('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://…{}", &value[..scheme], value[at..].escape_debug()),
        _ => value.escape_debug().to_string(),
    }
}

fn parse_gateway(value: &str) -> Result<Ipv4Addr, String> {
    value.parse().map_err(|_| "is not an IPv4 address, such as 192.0.2.1".to_string())
}

fn check_gateway(ip: Ipv4Cidr, gateway: Ipv4Addr) -> Result<(), ArgumentError> {
    let argument = format!("--gateway={gateway}");
    if gateway == ip.address {
        return Err(error(&argument, "is this machine's own address; give the router's"));
    }
    if !ip.contains(gateway) {
        return Err(error(&argument, format!("is outside the network of --ip={ip}; the router must be inside it")));
    }
    Ok(())
}

fn parse_listen(value: &str) -> Result<SocketAddr, String> {
    value.parse().map_err(|_| match value.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(address)) => format!("has no port; write --listen={address}:53"),
        Ok(std::net::IpAddr::V6(address)) => format!("has no port; write --listen=[{address}]:53"),
        Err(_) => "is not an address and port, such as 127.0.0.1:53 or [::1]:53".to_string(),
    })
}

fn parse_poll(value: &str) -> Result<Duration, String> {
    match value.parse::<u64>() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("is not a number of seconds from 1 to 86400".to_string()),
    }
}

impl Ipv4Cidr {
    /// Tells whether `address` is in this network.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        (self.address.to_bits() ^ address.to_bits()) & self.mask() == 0
    }

    fn mask(self) -> u32 {
        u32::MAX << (32 - u32::from(self.prefix))
    }
}

impl FromStr for Ipv4Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((address, prefix)) = text.split_once('/') else {
            return Err("has no prefix length; write it as 192.0.2.53/24".to_string());
        };
        let address: Ipv4Addr =
            address.parse().map_err(|_| "is not an IPv4 address with a prefix length, such as 192.0.2.53/24")?;
        let prefix = match prefix.parse() {
            Ok(prefix @ 1..=32) => prefix,
            _ => return Err("has a prefix length that is not 1 to 32".to_string()),
        };
        let cidr = Ipv4Cidr { address, prefix };
        if address.is_unspecified() || address.is_loopback() || address.is_multicast() || address.is_broadcast() {
            return Err("is not an address a machine can have".to_string());
        }
        // RFC 3021: a network of 31 bits has neither a network nor a broadcast address.
        let host = address.to_bits() & !cidr.mask();
        if prefix < 31 && (host == 0 || host == !cidr.mask()) {
            return Err("is the network's own or its broadcast address; give one of a machine".to_string());
        }
        Ok(cidr)
    }
}

impl fmt::Display for Ipv4Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        LogFilter { level: LevelFilter::Info, modules: Vec::new() }
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let level = |text: &str| {
            text.parse::<LevelFilter>().map_err(|_| {
                format!("has the level \"{}\"; levels are off, error, warn, info, debug, trace", text.escape_debug())
            })
        };
        let mut filter = LogFilter::default();
        for part in text.split(',') {
            match part.split_once('=') {
                Some((module, text)) => filter.modules.push((module.to_string(), level(text)?)),
                None => filter.level = level(part)?,
            }
        }
        Ok(filter)
    }
}

fn error(argument: &str, reason: impl Into<String>) -> ArgumentError {
    ArgumentError { argument: argument.to_string(), reason: reason.into() }
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "argument {}: {}", self.argument, self.reason)
    }
}

impl std::error::Error for ArgumentError {}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: &str = "--git-remote=git://192.0.2.1/zones";

    fn serve(host: Host, words: &[&str]) -> Config {
        match parse(host, words.iter().map(ToString::to_string)) {
            Ok(Command::Serve(config)) => *config,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    fn refusal(host: Host, words: &[&str]) -> String {
        match parse(host, words.iter().map(ToString::to_string)) {
            Err(error) => error.to_string(),
            Ok(other) => panic!("{words:?}: {other:?}"),
        }
    }

    #[test]
    fn a_machine_takes_address_gateway_and_remote() {
        let config = serve(
            Host::Machine,
            &["--ip=10.0.2.15/24", "--gateway=10.0.2.2", REMOTE, "--git-poll=5", "--log=warn,git=debug"],
        );
        assert_eq!(config.ip.map(|ip| ip.to_string()).as_deref(), Some("10.0.2.15/24"));
        assert_eq!(config.gateway, Some(Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!(config.git_poll, Duration::from_secs(5));
        assert_eq!(config.listen, ["0.0.0.0:53".parse().unwrap()]);
        assert_eq!(config.log.level, LevelFilter::Warn);
        assert_eq!(config.log.modules, [("git".to_string(), LevelFilter::Debug)]);
    }

    #[test]
    fn words_of_the_boot_loader_are_skipped_on_a_machine_only() {
        let words = ["reboot=k", "panic=1", "virtio_mmio.device=4K@0xd0000000:5", "--ip=10.0.0.2/24", REMOTE];
        serve(Host::Machine, &words);
        assert!(refusal(Host::Process, &["zones", REMOTE]).contains("--name=value"));
    }

    #[test]
    fn an_unknown_argument_names_the_nearest() {
        assert!(refusal(Host::Machine, &["--gatway=10.0.0.1"]).ends_with("did you mean --gateway?"));
        assert!(refusal(Host::Machine, &["--remote=git://h/p"]).ends_with("did you mean --git-remote?"));
        assert!(refusal(Host::Machine, &["--ipv4=10.0.0.1/24"]).ends_with("did you mean --ip?"));
        assert!(refusal(Host::Machine, &["--zzzzzzzzzzz=1"]).ends_with("see --help"));
    }

    #[test]
    fn arguments_of_the_other_host_say_so() {
        assert!(refusal(Host::Process, &["--ip=10.0.0.2/24"]).contains("--listen=ADDR:PORT"));
        assert!(refusal(Host::Machine, &["--listen=127.0.0.1:53"]).contains("Linux binary"));
    }

    #[test]
    fn wrong_values_say_which_and_why() {
        for (word, reason) in [
            ("--ip=10.0.0.2", "no prefix length"),
            ("--ip=10.0.0.2/33", "not 1 to 32"),
            ("--ip=10.0.0.0/24", "network's own"),
            ("--ip=10.0.0.255/24", "broadcast"),
            ("--ip=ten/24", "not an IPv4 address"),
            ("--ip", "needs a value: --ip=ADDR/PREFIX"),
            ("--ip=", "needs a value"),
            ("--gateway=router", "not an IPv4 address"),
            ("--git-poll=0", "1 to 86400"),
            ("--git-poll=soon", "1 to 86400"),
            ("--log=loud", "levels are off"),
        ] {
            let text = refusal(Host::Machine, &[word]);
            assert!(text.contains(reason), "{word}: {text}");
            assert!(text.starts_with(&format!("argument {}", word.trim_end_matches('='))), "{word}: {text}");
        }
        assert!(refusal(Host::Process, &["--listen=127.0.0.1"]).contains("--listen=127.0.0.1:53"));
        assert!(refusal(Host::Process, &["--listen=::1"]).contains("--listen=[::1]:53"));
    }

    #[test]
    fn what_is_missing_or_contradicts_is_said() {
        assert!(refusal(Host::Machine, &[REMOTE]).contains("--ip: is required"));
        assert!(refusal(Host::Machine, &["--ip=10.0.0.2/24"]).contains("--git-remote: is required"));
        assert!(refusal(Host::Machine, &["--ip=10.0.0.2/24", "--gateway=10.0.1.1"]).contains("outside the network"));
        assert!(refusal(Host::Machine, &["--ip=10.0.0.2/24", "--gateway=10.0.0.2"]).contains("own address"));
        assert!(refusal(Host::Machine, &["--ip=10.0.0.2/24", "--ip=10.0.0.3/24"]).contains("given twice"));
    }

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        let text = refusal(Host::Process, &["--git-remote=gopher://user:secret@host/zones"]);
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn help_names_every_argument_of_the_host() {
        let Ok(Command::Help(text)) = parse(Host::Machine, ["--help".to_string()]) else { panic!("no help") };
        for name in ["--ip=", "--gateway=", "--git-remote=", "--git-poll=", "--log=", "--help"] {
            assert!(text.contains(name), "{name} is not in {text}");
        }
        assert!(!text.contains("--listen"));
    }
}
