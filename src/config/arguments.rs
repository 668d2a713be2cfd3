//! The table of arguments. Each is one row: its name, value, host, group, help, default, synonyms, and its setter.

use super::given::Given;
use super::{ArgumentError, Host, error, git, resolver, ssh, values, webhook};
use crate::answer;
use crate::git::{Remote, Trust};
use crate::tsig::Key;

/// An argument.
pub struct Argument {
    /// The name, without `--`.
    pub name: &'static str,
    /// What the value looks like; empty if there is none.
    pub value: &'static str,
    /// The only host the argument is for, if it is not for both.
    pub(super) host: Option<Host>,
    /// The group it is listed in.
    group: Group,
    /// What it does, in one line.
    pub help: &'static str,
    /// What `docs/arguments.md` says in addition; may be empty.
    details: &'static str,
    pub(super) default: Default,
    /// Names that other programs use for it: the forerunner's, the peers' and the kernel's.
    synonyms: &'static [&'static str],
    /// It may be given more than once.
    pub(super) is_repeatable: bool,
    /// What an error may show of its value.
    pub(super) shown: Shown,
    /// Puts a value into the arguments given; an error says what is wrong with the value.
    pub(super) take: fn(&mut Given, &Value<'_>) -> Result<(), String>,
}

/// A value as it was given.
pub(super) struct Value<'w> {
    pub(super) host: Host,
    /// The value.
    pub(super) text: &'w str,
    /// The whole word, with the argument's name.
    pub(super) word: &'w str,
}

/// What applies when an argument is not given.
#[derive(Clone, Copy)]
pub(super) enum Default {
    /// The argument, or another that does the same, is required; or there is nothing to say.
    None,
    /// The argument with this value.
    Value(&'static str),
    /// What these words say.
    Words(&'static str),
}

/// What may be shown of a value that is wrong.
#[derive(Clone, Copy)]
pub(super) enum Shown {
    /// All of it.
    All,
    /// Nothing: it may be a secret.
    Nothing,
    /// The first characters: it is long.
    Beginning,
    /// All but the user and password of a URL.
    WithoutPassword,
}

/// What arguments are about; `--help` and `docs/arguments.md` list them by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Network,
    Git,
    Updates,
    Secondaries,
    Answers,
    Operation,
}

impl Group {
    const ALL: [Self; 6] = [Self::Network, Self::Git, Self::Updates, Self::Secondaries, Self::Answers, Self::Operation];

    fn title(self) -> &'static str {
        match self {
            Self::Network => "Network",
            Self::Git => "Git remote",
            Self::Updates => "Updates",
            Self::Secondaries => "Primaries and secondaries",
            Self::Answers => "Answers",
            Self::Operation => "Operation",
        }
    }
}

/// A row for both hosts, given at most once, whose value may be shown.
const fn row(
    group: Group,
    name: &'static str,
    value: &'static str,
    help: &'static str,
    take: fn(&mut Given, &Value<'_>) -> Result<(), String>,
) -> Argument {
    Argument {
        name,
        value,
        host: None,
        group,
        help,
        details: "",
        default: Default::None,
        synonyms: &[],
        is_repeatable: false,
        shown: Shown::All,
        take,
    }
}

impl Argument {
    const fn only(mut self, host: Host) -> Self {
        self.host = Some(host);
        self
    }

    const fn repeatable(mut self) -> Self {
        self.is_repeatable = true;
        self
    }

    const fn default(mut self, value: &'static str) -> Self {
        self.default = Default::Value(value);
        self
    }

    const fn otherwise(mut self, words: &'static str) -> Self {
        self.default = Default::Words(words);
        self
    }

    const fn details(mut self, text: &'static str) -> Self {
        self.details = text;
        self
    }

    const fn also(mut self, synonyms: &'static [&'static str]) -> Self {
        self.synonyms = synonyms;
        self
    }

    const fn shown(mut self, shown: Shown) -> Self {
        self.shown = shown;
        self
    }
}

use Group::{Answers, Git, Operation, Secondaries, Updates};

/// All arguments, by group.
static ARGUMENTS: &[Argument] = &[
    row(
        Group::Network,
        "ip",
        "ADDR/PREFIX|dhcp[,ADDR/PREFIX]",
        "this machine's IPv4 and IPv6 addresses with prefix length, or dhcp; required",
        |given, value| given.network.add_sources(value.text),
    )
    .only(Host::Machine)
    .repeatable()
    .also(&["ipv4", "ipv6", "address", "dhcp"]),
    row(
        Group::Network,
        "gateway",
        "ADDR[,ADDR]",
        "the router, one of each address family",
        |given, value| given.network.add_gateways(value.text),
    )
    .only(Host::Machine)
    .repeatable()
    .otherwise("none: only the machine's own networks are reached")
    .also(&["ipv4-gateway", "ipv6-gateway", "router"]),
    row(
        Group::Network,
        "accept-ra",
        "yes|no",
        "take IPv6 addresses, router and DNS resolvers from router advertisements",
        |given, value| values::yes_or_no(value.text).map(|yes| given.network.accept_ra = yes),
    )
    .only(Host::Machine)
    .default("no")
    .also(&["slaac", "accept-router-advertisements"]),
    row(
        Group::Network,
        "vlan",
        "ID",
        "tag frames with this VLAN, 1 to 4094, and accept only frames with its tag",
        |given, value| values::parse_number(value.text, 1, 4094).map(|id| given.network.vlan = Some(id)),
    )
    .only(Host::Machine)
    .otherwise("no tags"),
    row(
        Group::Network,
        "listen",
        "ADDR:PORT",
        "serve UDP and TCP on this address and port",
        |given, value| values::parse_listen(value.text).map(|address| given.listen.push(address)),
    )
    .only(Host::Process)
    .repeatable()
    .otherwise("127.0.0.1:53 and [::1]:53")
    .also(&["port"]),
    row(
        Group::Network,
        "resolver",
        "ADDR[:PORT][,ADDR]",
        "DNS resolvers used to find the git remote's host",
        |given, value| resolver::parse(value.text, crate::dns::message::PORT).map(|list| given.resolvers = Some(list)),
    )
    .otherwise("those learned from DHCP or router advertisements; on Linux the system's")
    .also(&["nameserver", "dns"]),
    row(
        Group::Network,
        "ntp",
        "ADDR[:PORT][,ADDR]",
        "set and keep the clock by these SNTP servers",
        |given, value| resolver::parse(value.text, 123).map(|servers| given.ntp = servers),
    )
    .only(Host::Machine)
    .otherwise("the hypervisor's clock")
    .also(&["sntp", "time-server"]),
    row(
        Git,
        "git-remote",
        "URL[#BRANCH]",
        "repository that holds the zones; this or --primary is required",
        |given, value| {
            Remote::parse(value.text).map(|remote| given.git_remote = Some(remote)).map_err(|error| error.to_string())
        },
    )
    .details(
        "One of `https://HOST/PATH`, `ssh://USER@HOST/PATH`, `USER@HOST:PATH`, `git://HOST/PATH` and `http://HOST/PATH`, \
         each with an optional port. Without `#BRANCH` the remote's default branch is used.",
    )
    .also(&["remote"])
    .shown(Shown::WithoutPassword),
    row(Git, "git-poll", "SECONDS", "polling interval, 1 to 86400", |given, value| {
        values::parse_seconds(value.text, 86_400).map(|interval| given.git_poll = interval)
    })
    .default("60"),
    row(
        Git,
        "git-user",
        "NAME",
        "user name for an https remote",
        |given, value| git::parse_user(value.text).map(|user| given.git.user = Some(user)),
    )
    .otherwise("the one in the URL; with a token alone, one that the forges accept")
    .also(&["user", "username"])
    .shown(Shown::Nothing),
    row(
        Git,
        "git-token",
        "TOKEN",
        "access token or password for an https remote; never logged",
        |given, value| git::parse_token(value.text).map(|token| given.git.token = Some(token)),
    )
    .otherwise("the one in the URL, or none")
    .also(&["token", "password"])
    .shown(Shown::Nothing),
    row(
        Git,
        "git-tls-ca",
        "BASE64[,BASE64]",
        "CA certificates that may sign an https remote's certificate, PEM or DER",
        |given, value| Trust::parse_authorities(value.text).map(|trust| given.git.tls_ca = Some(trust)),
    )
    .otherwise("the public web CAs")
    .also(&["ca", "tls-ca"])
    .shown(Shown::Beginning),
    row(
        Git,
        "git-tls-fingerprint",
        "sha256:HEX[,sha256:HEX]",
        "fingerprint of an https remote's certificate, whatever its names and dates",
        |given, value| Trust::parse_fingerprints(value.text).map(|trust| given.git.tls_fingerprint = Some(trust)),
    )
    .otherwise("none: the certificate must be valid")
    .also(&["tls-fingerprint"]),
    row(
        Git,
        "git-credentials-in-clear",
        "yes|no",
        "send user name and token to an http remote, where anyone on the path can read them",
        |given, value| values::yes_or_no(value.text).map(|yes| given.git.credentials_in_clear = Some(yes)),
    )
    .otherwise("no"),
    row(
        Git,
        "git-ssh-key",
        "ed25519:BASE64",
        "private key for an ssh remote; `zonule keygen` makes one",
        |given, value| ssh::Identity::parse(value.text).map(|key| given.git.ssh_key = Some(key)),
    )
    .otherwise("none; required for an ssh remote")
    .also(&["ssh-key"])
    .shown(Shown::Nothing),
    row(
        Git,
        "git-ssh-host-key",
        "SHA256:BASE64[,SHA256:BASE64]",
        "host key of an ssh remote: a fingerprint, a key as ssh-ed25519:BASE64, or any",
        |given, value| ssh::HostKeys::parse(value.text).map(|keys| given.git.ssh_host_key = Some(keys)),
    )
    .otherwise("none is accepted; the log shows the fingerprint that was seen")
    .also(&["ssh-authenticator", "ssh-host-key"]),
    row(
        Git,
        "git-author",
        "NAME<MAIL>",
        "committer of the commits that the server makes",
        |given, value| values::parse_author(value.text).map(|author| given.git_author = author),
    )
    .default("Zonule<zonule@localhost>")
    .also(&["author", "committer"]),
    row(
        Git,
        "git-history",
        "N",
        "versions searched in git for the differences secondaries ask for, 0 to 10000",
        |given, value| values::parse_number(value.text, 0, 10_000).map(|depth| given.git_history = depth),
    )
    .default("100"),
    row(
        Git,
        "webhook",
        "PORT[,SECRET]",
        "receive push webhooks of GitHub, GitLab, Gitea and Forgejo on this HTTP port, and report the status",
        |given, value| webhook::parse(value.host, value.text).map(|webhook| given.webhook = Some(webhook)),
    )
    .otherwise("off")
    .also(&["hook"])
    .shown(Shown::Nothing),
    row(
        Git,
        "serial",
        "bump|strict",
        "a zone pushed without a higher serial: bump commits one, strict keeps serving the old zone",
        |given, value| values::parse_serial(value.text).map(|policy| given.serial = policy),
    )
    .default("bump"),
    row(
        Updates,
        "tsig-key",
        "NAME:ALGORITHM:BASE64",
        "a key in addition to those in the repository; its name says what it may do",
        |given, value| {
            let key = Key::parse_argument(value.text).map_err(|reason| reason.to_string())?;
            given.add_key(key)
        },
    )
    .repeatable()
    .otherwise("none")
    .also(&["key"])
    .shown(Shown::Nothing),
    row(
        Updates,
        "allow-update",
        "CIDR[,CIDR]",
        "accept updates from these networks only; they must be signed in any case",
        |given, value| value.text.parse().map(|networks| given.allow_update = Some(networks)),
    )
    .otherwise("any network"),
    row(
        Updates,
        "update-patience",
        "SECONDS",
        "how long an update waits for the git remote before it fails, 1 to 300",
        |given, value| values::parse_seconds(value.text, 300).map(|patience| given.update_patience = patience),
    )
    .default("5")
    .also(&["patience"]),
    row(
        Secondaries,
        "primary",
        "ADDR[:PORT][,KEY]",
        "be a secondary of this server, signing with the --tsig-key of this name",
        |given, value| values::parse_peer(value.text).map(|peer| given.primaries.push((value.word.into(), peer))),
    )
    .repeatable()
    .otherwise("none")
    .also(&["master"]),
    row(
        Secondaries,
        "zones",
        "NAME[,NAME]",
        "zones that a secondary transfers from its primaries",
        |given, value| values::parse_names(value.text).map(|zones| given.zones = Some(zones)),
    )
    .otherwise("those of --catalog, and those that transfer keys name")
    .also(&["zone"]),
    row(
        Secondaries,
        "catalog",
        "NAME",
        "catalog zone (RFC 9432): a primary lists all its zones in it, a secondary follows it",
        |given, value| values::parse_name(value.text).map(|name| given.catalog = Some(name)),
    )
    .otherwise("none"),
    row(
        Secondaries,
        "notify",
        "ADDR[:PORT][,KEY]",
        "also send NOTIFY to this server, signed with the key of this name from --tsig-key or the repository",
        |given, value| values::parse_peer(value.text).map(|peer| given.notify.push((value.word.into(), peer))),
    )
    .repeatable()
    .otherwise("the servers that NS records and transfer keys name")
    .also(&["also-notify"]),
    row(
        Secondaries,
        "allow-transfer",
        "CIDR[,CIDR]",
        "networks that may transfer zones without a key",
        |given, value| value.text.parse().map(|networks| given.allow_transfer = networks),
    )
    .otherwise("none")
    .also(&["axfr"]),
    row(
        Secondaries,
        "allow-notify",
        "CIDR[,CIDR]",
        "networks that may send NOTIFY without a key, in addition to the primaries",
        |given, value| value.text.parse().map(|networks| given.allow_notify = networks),
    )
    .otherwise("none"),
    row(
        Operation,
        "dnssec-bogus",
        "warn|refuse",
        "a signed zone that validators would reject: warn serves it, refuse keeps serving the old zone",
        |given, value| values::parse_bogus(value.text).map(|policy| given.bogus = policy),
    )
    .default("warn")
    .details(
        "With `refuse`, all signatures of a zone are verified before it is served, which takes up to a minute for a zone \
         of a million names, and updates that would make a zone bogus are refused. [DNSSEC](dnssec.md) says what is checked.",
    ),
    row(
        Answers,
        "edns-payload",
        "OCTETS",
        "largest reply over UDP, 512 to 4096",
        |given, value| {
            let octets = values::parse_number(value.text, answer::MIN_PAYLOAD, answer::MAX_PAYLOAD);
            octets.map(|octets| given.edns_payload = octets)
        },
    )
    .default("1232")
    .details("1232 octets reach every client without fragmentation.")
    .also(&["edns-udp-size", "max-udp-size"]),
    row(
        Answers,
        "tcp-connections",
        "N",
        "most TCP connections at a time, 1 to 65536; the longest idle one makes room",
        |given, value| values::parse_number(value.text, 1, 65_536).map(|most| given.tcp_connections = Some(most)),
    )
    .otherwise("what a quarter of the memory holds, at most 512")
    .also(&["tcp-clients", "tcp-count"]),
    row(
        Answers,
        "rate-limit",
        "N[,slip=N][,prefix4=BITS][,prefix6=BITS]",
        "UDP replies of one kind per second to one network, or off",
        |given, value| values::parse_rate_limit(value.text).map(|limit| given.rate_limit = limit),
    )
    .default("200,slip=2,prefix4=24,prefix6=56")
    .details(
        "Of the replies above the limit every `slip`-th is sent truncated, so that real clients retry over TCP; the others \
         are dropped. `prefix4` and `prefix6` say how long the prefix of one network is.",
    )
    .also(&["rrl", "rrl-ratelimit"]),
    row(
        Answers,
        "cookie-secret",
        "HEX[,HEX]",
        "secrets of DNS cookies, 32 hexadecimal digits each: the first signs, all verify",
        |given, value| values::parse_secrets(value.text).map(|secrets| given.cookie_secrets = secrets),
    )
    .otherwise("random")
    .details("For several servers that share an address.")
    .shown(Shown::Nothing),
    row(
        Answers,
        "report-channel",
        "NAME",
        "agent domain that resolvers report failures to resolve or validate names to (RFC 9567)",
        |given, value| values::parse_name(value.text).map(|name| given.report_channel = Some(name)),
    )
    .otherwise("none"),
    row(
        Answers,
        "nsid",
        "TEXT",
        "this server's identity, sent for NSID and id.server",
        |given, value| values::parse_text(value.text).map(|text| given.nsid = Some(text)),
    )
    .otherwise("not sent")
    .also(&["server-id", "identity"]),
    row(
        Answers,
        "version-text",
        "TEXT",
        "the answer to version.bind",
        |given, value| values::parse_text(value.text).map(|text| given.version_text = Some(text)),
    )
    .otherwise("not sent")
    .also(&["version"]),
    row(
        Operation,
        "log",
        "LEVEL[,MODULE=LEVEL]",
        "off, error, warn, info, debug or trace, also per module (such as git, serve, zone)",
        |given, value| value.text.parse().map(|filter| given.log = filter),
    )
    .default("info")
    .also(&["logs", "log-level", "verbose"]),
    row(Operation, "help", "", "print this text and exit", |_, _| Ok(())),
];

/// Iterates over the arguments that make sense on `host`, by group.
pub fn arguments(host: Host) -> impl Iterator<Item = &'static Argument> {
    ARGUMENTS.iter().filter(move |argument| argument.host.is_none_or(|only| only == host))
}

impl Argument {
    /// Returns what it does, whether it may be repeated, and its default.
    #[must_use]
    pub fn explanation(&self) -> String {
        let repeated = if self.is_repeatable { "; may be repeated" } else { "" };
        match self.default {
            Default::None => format!("{}{repeated}", self.help),
            Default::Value(words) | Default::Words(words) => format!("{}{repeated}; default: {words}", self.help),
        }
    }

    /// Returns how it is written, such as `--git-poll=SECONDS`.
    #[must_use]
    pub fn written(&self) -> String {
        let equals = if self.value.is_empty() { "" } else { "=" };
        format!("--{}{equals}{}", self.name, self.value)
    }

    /// Returns what may be shown of a value.
    pub(super) fn printable(&self, value: &str) -> String {
        match (self.shown, value.find("://"), value.rfind('@')) {
            (Shown::Nothing, ..) => "…".to_string(),
            (Shown::Beginning, ..) => {
                value.chars().take(20).chain(['…']).collect::<String>().escape_debug().to_string()
            }
            // The last at sign: a password may hold others.
            (Shown::WithoutPassword, Some(scheme), Some(at)) if at > scheme => {
                format!("{}://…{}", &value[..scheme], value[at..].escape_debug())
            }
            (Shown::All | Shown::WithoutPassword, ..) => value.escape_debug().to_string(),
        }
    }
}

/// How wide the text of `--help` is, in characters, unless a word is longer.
const WIDTH: usize = 100;

/// Returns the text of `--help`.
#[must_use]
pub fn help(host: Host) -> String {
    let mut text = String::from("Zonule: an authoritative DNS server whose zones live in git.\n\n");
    text.push_str(match host {
        Host::Machine => "Boot arguments, on the kernel command line; words that do not begin with -- are skipped.\n",
        Host::Process => "Usage: zonule --git-remote=URL [--listen=ADDR:PORT] ...\n",
    });
    for group in Group::ALL {
        text.push_str(&format!("\n{}\n", group.title()));
        for argument in arguments(host).filter(|argument| argument.group == group) {
            text.push_str(&format!("  {}\n", argument.written()));
            let mut width = 0;
            for word in argument.explanation().split(' ') {
                let length = word.chars().count();
                if width == 0 || width + 1 + length > WIDTH {
                    text.push_str(if width == 0 { "      " } else { "\n      " });
                    width = 6 + length;
                } else {
                    text.push(' ');
                    width += 1 + length;
                }
                text.push_str(word);
            }
            text.push('\n');
        }
    }
    text
}

/// Returns the text of `docs/arguments.md`: all arguments of both hosts as tables, by group.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(
        "# Arguments\n\n\
         The image takes its arguments from the kernel command line, the Linux binary from its own. Each is\n\
         `--name=value`; words that do not begin with `--`, which boot loaders leave on the command line, are skipped by the\n\
         image. An unknown or misspelt argument is an error that names the nearest right one.\n\n\
         This page is made from the table in `src/config/arguments.rs`; `zonule --help` prints the same.\n",
    );
    for group in Group::ALL {
        text.push_str(&format!("\n## {}\n\n| argument | meaning | default |\n|---|---|---|\n", group.title()));
        for argument in ARGUMENTS.iter().filter(|argument| argument.group == group) {
            let mut meaning = argument.help.to_string();
            match argument.host {
                Some(Host::Machine) => meaning += " (image only)",
                Some(Host::Process) => meaning += " (Linux only)",
                None => {}
            }
            if argument.is_repeatable {
                meaning += "; may be repeated";
            }
            if !argument.details.is_empty() {
                meaning = format!("{meaning}. {}", argument.details);
            }
            let default = match argument.default {
                Default::None => String::new(),
                Default::Value(value) => format!("`{value}`"),
                Default::Words(words) => words.to_string(),
            };
            let cell = |text: &str| text.replace('|', "\\|");
            text.push_str(&format!("| `{}` | {} | {} |\n", cell(&argument.written()), cell(&meaning), cell(&default)));
        }
    }
    text
}

/// Returns the argument of this name, which `host` must be able to take.
///
/// # Errors
///
/// Says that there is none, and which was probably meant; or that it is for the other host.
pub(super) fn find(host: Host, name: &str) -> Result<&'static Argument, ArgumentError> {
    let Some(argument) = ARGUMENTS.iter().find(|argument| argument.name == name) else {
        return Err(error(&format!("--{name}"), unknown(host, name)));
    };
    if argument.host.is_some_and(|only| only != host) {
        return Err(error(&format!("--{name}"), misplaced(host, name)));
    }
    Ok(argument)
}

/// Says which argument was probably meant.
fn unknown(host: Host, name: &str) -> String {
    let synonym = arguments(host).find(|argument| argument.synonyms.contains(&name)).map(|argument| argument.name);
    let nearest = || {
        arguments(host)
            .map(|argument| (strsim::damerau_levenshtein(name, argument.name), argument.name))
            .min()
            .filter(|(distance, ours)| *distance <= ours.len().max(name.len()) / 2)
            .map(|(_, ours)| ours)
    };
    match synonym.or_else(nearest) {
        Some(ours) => format!("is unknown; did you mean --{ours}?"),
        None => "is unknown; see --help".to_string(),
    }
}

/// Says why an argument is not for `host`.
fn misplaced(host: Host, name: &str) -> &'static str {
    match host {
        Host::Process if name == "ntp" => "is for the bootable image; here the operating system keeps the clock",
        Host::Machine => "is for the Linux binary; the image listens on the addresses of --ip, port 53",
        Host::Process => "is for the bootable image; the Linux binary takes --listen=ADDR:PORT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_synonym_means_one_argument() {
        let mut names: Vec<_> = ARGUMENTS.iter().map(|argument| argument.name).collect();
        names.extend(ARGUMENTS.iter().flat_map(|argument| argument.synonyms));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
