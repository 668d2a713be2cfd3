//! The table of the arguments: their names, what they take, and a line of help each.

use super::Host;

/// An argument as `--help` shows it.
pub(super) struct Argument {
    pub(super) name: &'static str,
    pub(super) value: &'static str,
    pub(super) host: Option<Host>,
    help: &'static str,
}

/// All arguments, in the order in which they are explained.
const ARGUMENTS: &[Argument] = &[
    Argument {
        name: "ip",
        value: "ADDR/PREFIX|dhcp[,…]",
        host: Some(Host::Machine),
        help: "this machine's addresses of both families with prefix length, or dhcp; may be repeated; required",
    },
    Argument {
        name: "gateway",
        value: "ADDR[,ADDR]",
        host: Some(Host::Machine),
        help: "the router, of each family; without it only the machine's own networks are reached",
    },
    Argument {
        name: "accept-ra",
        value: "yes|no",
        host: Some(Host::Machine),
        help: "take IPv6 addresses, router and name servers from router advertisements; default no",
    },
    Argument {
        name: "vlan",
        value: "ID",
        host: Some(Host::Machine),
        help: "tag frames with this VLAN and take only those so tagged, 1 to 4094; default: no tags",
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
        help: "where the zones are: https://, ssh://USER@, git:// or http://HOST[:PORT]/PATH; this or --primary is required",
    },
    Argument {
        name: "git-user",
        value: "NAME",
        host: None,
        help: "who logs in to an https remote; with a token alone one that forges take",
    },
    Argument { name: "git-token", value: "TOKEN", host: None, help: "the token or password for an https remote" },
    Argument {
        name: "git-tls-ca",
        value: "BASE64[,BASE64]",
        host: None,
        help: "the authorities that vouch for an https remote, PEM or DER; default: the web's",
    },
    Argument {
        name: "git-tls-fingerprint",
        value: "sha256:HEX[,sha256:HEX]",
        host: None,
        help: "the https remote's certificate itself, whatever its names and dates",
    },
    Argument {
        name: "git-credentials-in-clear",
        value: "yes|no",
        host: None,
        help: "whether user and token may go to an http remote, readable on the way; default no",
    },
    Argument {
        name: "git-ssh-key",
        value: "ed25519:BASE64",
        host: None,
        help: "the key that logs in at an ssh remote; `zonule keygen` makes one",
    },
    Argument {
        name: "git-ssh-host-key",
        value: "SHA256:BASE64",
        host: None,
        help: "the ssh remote's host key: fingerprint or key line, several separated by commas, or any",
    },
    Argument {
        name: "resolver",
        value: "ADDR[:PORT][,ADDR]",
        host: None,
        help: "who finds the git remote's host; default: whom DHCP or a router tells, on Linux the system",
    },
    Argument {
        name: "ntp",
        value: "ADDR[:PORT][,ADDR]",
        host: Some(Host::Machine),
        help: "set the clock by these servers (SNTP), and keep it; default: by the hypervisor",
    },
    Argument {
        name: "webhook",
        value: "PORT[,SECRET]",
        host: None,
        help: "take push hooks of GitHub, GitLab, Gitea by HTTP on this port, and tell what is served",
    },
    Argument {
        name: "primary",
        value: "ADDR[:PORT][,KEY]",
        host: None,
        help: "be a secondary of this server, with the --tsig-key of this name; may be repeated",
    },
    Argument { name: "zones", value: "NAME[,NAME]", host: None, help: "the zones a secondary gets from its primaries" },
    Argument {
        name: "catalog",
        value: "NAME",
        host: None,
        help: "a catalog zone (RFC 9432): produced of all zones, or, by a secondary, consumed",
    },
    Argument {
        name: "notify",
        value: "ADDR[:PORT][,KEY]",
        host: None,
        help: "notify this server of changes, too, signed with the key of this name: a --tsig-key or one of the repository; may be repeated",
    },
    Argument {
        name: "allow-transfer",
        value: "CIDR[,CIDR]",
        host: None,
        help: "who may transfer zones without a key; default: nobody",
    },
    Argument {
        name: "allow-notify",
        value: "CIDR[,CIDR]",
        host: None,
        help: "who may notify without a key, besides primaries; default: nobody",
    },
    Argument {
        name: "git-history",
        value: "N",
        host: None,
        help: "served commits searched for the differences secondaries ask for, 0 to 10000; default 100",
    },
    Argument {
        name: "git-poll",
        value: "SECONDS",
        host: None,
        help: "time between two looks at the remote, 1 to 86400; default 60",
    },
    Argument {
        name: "git-author",
        value: "NAME<MAIL>",
        host: None,
        help: "whom commits name as committer; default Zonule<zonule@localhost>",
    },
    Argument {
        name: "serial",
        value: "bump|strict",
        host: None,
        help: "a zone pushed without a higher serial: bump commits one, strict keeps the old zone; default bump",
    },
    Argument {
        name: "tsig-key",
        value: "NAME:ALGORITHM:BASE64",
        host: None,
        help: "a key beside those in the repository; its name says what it may do; may be repeated",
    },
    Argument {
        name: "allow-update",
        value: "CIDR[,CIDR]",
        host: None,
        help: "take updates from these networks only, signed all the same; default: from anywhere",
    },
    Argument {
        name: "update-patience",
        value: "SECONDS",
        host: None,
        help: "time an update waits for the git remote before it fails, 1 to 300; default 5",
    },
    Argument {
        name: "edns-payload",
        value: "OCTETS",
        host: None,
        help: "the largest reply over UDP, 512 to 4096; default 1232, which no path cuts up",
    },
    Argument {
        name: "tcp-connections",
        value: "N",
        host: None,
        help: "TCP connections at a time, 1 to 65536; default: what a quarter of memory holds, at most 512",
    },
    Argument {
        name: "rate-limit",
        value: "N[,slip=N]",
        host: None,
        help: "UDP replies a second to one network, or off; default 200,slip=2,prefix4=24,prefix6=56",
    },
    Argument {
        name: "cookie-secret",
        value: "HEX[,HEX]",
        host: None,
        help: "secrets of DNS cookies, 32 digits each: the first makes them, all prove them; default random",
    },
    Argument {
        name: "nsid",
        value: "TEXT",
        host: None,
        help: "this server's identity, for NSID and id.server; default: not told",
    },
    Argument { name: "version-text", value: "TEXT", host: None, help: "the answer to version.bind; default: not told" },
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
    ("ipv6", "ip"),
    ("dhcp", "ip"),
    ("ipv4-gateway", "gateway"),
    ("ipv6-gateway", "gateway"),
    ("router", "gateway"),
    ("slaac", "accept-ra"),
    ("accept-router-advertisements", "accept-ra"),
    ("logs", "log"),
    ("log-level", "log"),
    ("verbose", "log"),
    ("port", "listen"),
    ("edns-udp-size", "edns-payload"),
    ("max-udp-size", "edns-payload"),
    ("rrl", "rate-limit"),
    ("rrl-ratelimit", "rate-limit"),
    ("server-id", "nsid"),
    ("identity", "nsid"),
    ("version", "version-text"),
    ("tcp-clients", "tcp-connections"),
    ("tcp-count", "tcp-connections"),
    ("key", "tsig-key"),
    ("axfr", "allow-transfer"),
    ("zone", "zones"),
    ("master", "primary"),
    ("also-notify", "notify"),
    ("author", "git-author"),
    ("committer", "git-author"),
    ("ssh-key", "git-ssh-key"),
    ("ssh-authenticator", "git-ssh-host-key"),
    ("ssh-host-key", "git-ssh-host-key"),
    ("patience", "update-patience"),
    ("nameserver", "resolver"),
    ("dns", "resolver"),
    ("sntp", "ntp"),
    ("time-server", "ntp"),
    ("hook", "webhook"),
    ("user", "git-user"),
    ("username", "git-user"),
    ("token", "git-token"),
    ("password", "git-token"),
    ("ca", "git-tls-ca"),
    ("tls-ca", "git-tls-ca"),
    ("tls-fingerprint", "git-tls-fingerprint"),
];

/// Iterates over the arguments that make sense on `host`: the name without `--`, what its value looks like, which is
/// empty if there is none, and one line of help.
pub fn arguments(host: Host) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let usable = move |argument: &&Argument| argument.host.is_none_or(|only| only == host);
    ARGUMENTS.iter().filter(usable).map(|argument| (argument.name, argument.value, argument.help))
}

/// Returns the text of `--help`.
#[must_use]
pub fn help(host: Host) -> String {
    let mut text = String::from("Zonule: an authoritative DNS server whose zones live in git.\n\n");
    text.push_str(match host {
        Host::Machine => "Boot arguments (on the kernel command line; words without -- are skipped):\n",
        Host::Process => "Usage: zonule --git-remote=URL [--listen=ADDR:PORT] ...\n\nArguments:\n",
    });
    for (name, value, help) in arguments(host) {
        let equals = if value.is_empty() { "" } else { "=" };
        let left = format!("--{name}{equals}{value}");
        text.push_str(&format!("  {left:<28}  {help}\n"));
    }
    text
}

/// Returns the argument of this name, on whatever host.
pub(super) fn find(name: &str) -> Option<&'static Argument> {
    ARGUMENTS.iter().find(|argument| argument.name == name)
}

/// Says which argument was probably meant.
pub(super) fn unknown(host: Host, name: &str) -> String {
    let synonym = SYNONYMS.iter().find(|(other, _)| *other == name).map(|(_, ours)| *ours);
    let nearest = arguments(host)
        .map(|(ours, ..)| (strsim::damerau_levenshtein(name, ours), ours))
        .min()
        .filter(|(distance, ours)| *distance <= ours.len().max(name.len()) / 2)
        .map(|(_, ours)| ours);
    let synonym = synonym.filter(|ours| arguments(host).any(|(name, ..)| name == *ours));
    match synonym.or(nearest) {
        Some(ours) => format!("is unknown; did you mean --{ours}?"),
        None => "is unknown; see --help".to_string(),
    }
}

/// Says why an argument is not for `host`.
pub(super) fn misplaced(host: Host, name: &str) -> &'static str {
    match host {
        Host::Process if name == "ntp" => "is for the bootable image; here the operating system keeps the clock",
        Host::Machine => "is for the Linux binary; on a machine of its own the server listens on --ip, port 53",
        Host::Process => "is for the bootable image; the Linux binary takes --listen=ADDR:PORT",
    }
}
