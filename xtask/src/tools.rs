//! The programs that tasks need; missing ones are installed if possible.

use std::collections::BTreeSet;
use std::env;
use std::io::{IsTerminal, stdin};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use zonule_harness::namespace::is_root;

use crate::cargo::{Error, Result, shown};

/// A program, or a file by its path, and the Debian (and Ubuntu) package that contains it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
    /// The service that the package starts and enables although it is not needed.
    service: Option<&'static str>,
}

const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package, service: None }
}

/// A package without a program, identified by one of its files.
const fn file(path: &'static str, package: &'static str) -> Tool {
    Tool { program: path, package, service: None }
}

const fn server(program: &'static str, package: &'static str, service: &'static str) -> Tool {
    Tool { program, package, service: Some(service) }
}

/// Runs the image.
pub(crate) const QEMU: Tool = tool("qemu-system-x86_64", "qemu-system-x86");
/// Stores the zones.
pub(crate) const GIT: Tool = tool("git", "git");
/// Queries servers.
pub(crate) const DIG: Tool = tool("dig", "bind9-dnsutils");
/// Ties child processes to their parent.
pub(crate) const SETPRIV: Tool = tool("setpriv", "util-linux");
/// Compiles the fuzzing engine.
pub(crate) const CXX: Tool = tool("c++", "g++");
/// Generates load.
pub(crate) const DNSPERF: Tool = tool("dnsperf", "dnsperf");
/// A server that ours is compared with.
pub(crate) const NSD: Tool = server("nsd", "nsd", "nsd");
/// Its zone checker.
pub(crate) const NSD_CHECKZONE: Tool = server("nsd-checkzone", "nsd", "nsd");
/// Another one.
pub(crate) const KNOT: Tool = server("knotd", "knot", "knot");
/// Its zone checker.
pub(crate) const KZONECHECK: Tool = tool("kzonecheck", "knot-dnssecutils");
/// A third one.
pub(crate) const BIND: Tool = server("named", "bind9", "named");
/// Its zone checker.
pub(crate) const NAMED_CHECKZONE: Tool = tool("named-checkzone", "bind9-utils");
/// The userland of a guest.
pub(crate) const BUSYBOX: Tool = tool("busybox", "busybox-static");
/// Packs a guest.
pub(crate) const CPIO: Tool = tool("cpio", "cpio");
/// Finds the modules of a guest's kernel.
pub(crate) const KMOD: Tool = tool("depmod", "kmod");
/// A client that updates zones.
pub(crate) const NSUPDATE: Tool = tool("nsupdate", "bind9-dnsutils");
/// Another one.
pub(crate) const KNSUPDATE: Tool = tool("knsupdate", "knot-dnsutils");
/// A library for clients, for Debian's Python.
pub(crate) const DNSPYTHON: Tool = file("/usr/lib/python3/dist-packages/dns/update.py", "python3-dnspython");
/// Requests certificates.
pub(crate) const CERTBOT: Tool = server("certbot", "certbot", "certbot.timer");
/// Its plugin for DNS updates.
pub(crate) const CERTBOT_RFC2136: Tool =
    file("/usr/lib/python3/dist-packages/certbot_dns_rfc2136/__init__.py", "python3-certbot-dns-rfc2136");
/// The certificate authority that issues them.
pub(crate) const PEBBLE: Tool = tool("pebble", "pebble");
/// Creates the authority's own certificate.
pub(crate) const OPENSSL: Tool = tool("openssl", "openssl");
/// Serves the time.
pub(crate) const CHRONY: Tool = server("chronyd", "chrony", "chrony");
/// Calls webhooks.
pub(crate) const CURL: Tool = tool("curl", "curl");
/// A server with a database, and the program that loads its zones.
pub(crate) const POWERDNS: Tool = server("pdns_server", "pdns-server", "pdns");
/// Its backend.
pub(crate) const POWERDNS_SQLITE: Tool =
    file("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql", "pdns-backend-sqlite3");
/// Fills that database.
pub(crate) const SQLITE: Tool = tool("sqlite3", "sqlite3");
/// Gives servers a false time of day.
pub(crate) const FAKETIME: Tool = tool("faketime", "faketime");
/// Another client.
pub(crate) const KDIG: Tool = tool("kdig", "knot-dnsutils");
/// Limits file sizes, to simulate a full disk.
pub(crate) const PRLIMIT: Tool = tool("prlimit", "util-linux");
/// Reads a zone as BIND does, to compare it.
pub(crate) const NAMED_COMPILEZONE: Tool = tool("named-compilezone", "bind9-utils");
/// Signs zones.
pub(crate) const DNSSEC_SIGNZONE: Tool = tool("dnssec-signzone", "bind9-utils");
/// Signs zones with a digest, and verifies both.
pub(crate) const LDNS: Tool = tool("ldns-signzone", "ldnsutils");
/// A resolver that validates.
pub(crate) const UNBOUND: Tool = server("unbound", "unbound", "unbound");
/// Another one, as a command.
pub(crate) const DELV: Tool = tool("delv", "bind9-dnsutils");
/// The ssh client for pushes.
pub(crate) const SSH: Tool = tool("ssh", "openssh-client");
/// The ssh server for pushes.
pub(crate) const SSHD: Tool = server("sshd", "openssh-server", "ssh");
/// Provides a terminal.
pub(crate) const SCRIPT: Tool = tool("script", "bsdutils");
/// A web server.
pub(crate) const NGINX: Tool = server("nginx", "nginx-light", "nginx");
/// Starts CGI programs for it.
pub(crate) const FCGIWRAP: Tool = server("fcgiwrap", "fcgiwrap", "fcgiwrap.socket");
/// Carries frames between a network and a test.
pub(crate) const SOCAT: Tool = tool("socat", "socat");
/// Assigns addresses, advertises prefixes and resolves names.
pub(crate) const DNSMASQ: Tool = tool("dnsmasq", "dnsmasq-base");
/// Network devices and namespaces.
pub(crate) const IP: Tool = tool("ip", "iproute2");

/// The tools that the tests need.
pub(crate) const TESTS: &[Tool] = &[
    QEMU,
    GIT,
    DIG,
    SETPRIV,
    CXX,
    IP,
    NSD,
    NSD_CHECKZONE,
    KNOT,
    KZONECHECK,
    BIND,
    NAMED_CHECKZONE,
    NAMED_COMPILEZONE,
    DNSSEC_SIGNZONE,
    LDNS,
    UNBOUND,
    DELV,
    NSUPDATE,
    KNSUPDATE,
    DNSPYTHON,
    CERTBOT,
    CERTBOT_RFC2136,
    PEBBLE,
    OPENSSL,
    PRLIMIT,
    POWERDNS,
    POWERDNS_SQLITE,
    SQLITE,
    FAKETIME,
    SSH,
    SSHD,
    SCRIPT,
    SOCAT,
    NGINX,
    FCGIWRAP,
    DNSMASQ,
    CHRONY,
    CURL,
    BUSYBOX,
    CPIO,
    KMOD,
];

/// Ensures that `tools` are installed.
///
/// Missing ones are installed if that is possible: as root, or if sudo needs no password or has a
/// terminal to ask for it.
pub(crate) fn ensure(tools: &[Tool]) -> Result<()> {
    let missing: Vec<Tool> = tools.iter().copied().filter(|tool| !is_installed(tool.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs = missing.iter().map(|tool| tool.program).collect();
    if !is_installed("apt-get") {
        return Err(Error::Tools { programs, command: None });
    }
    let install = install(&missing);
    let (program, arguments) = match privilege() {
        Privilege::Root => ("sh", vec!["-c", &install]),
        Privilege::Sudo => ("sudo", vec!["sh", "-c", &install]),
        Privilege::None => {
            let command = Some(format!("sudo sh -c '{install}'"));
            return Err(Error::Tools { programs, command });
        }
    };
    println!("installing {}: {install}", programs.join(", "));
    shown("apt-get", Command::new(program).args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))?;
    let still: Vec<_> = programs.into_iter().filter(|program| !is_installed(program)).collect();
    if still.is_empty() { Ok(()) } else { Err(Error::Tools { programs: still, command: None }) }
}

/// The shell's command line that installs the packages of `tools`.
///
/// Debian starts and enables the services of what it installs, and those of name servers would take port 53. Their
/// start is denied by the policy that Debian asks (invoke-rc.d(8)), unless the machine has one already, and they are
/// disabled afterwards. A service that was there before is not touched: its program was not missing.
fn install(tools: &[Tool]) -> String {
    const POLICY: &str = "/usr/sbin/policy-rc.d";
    let packages: BTreeSet<&str> = tools.iter().map(|tool| tool.package).collect();
    let packages: Vec<&str> = packages.into_iter().collect();
    let install =
        format!("apt-get -q update && apt-get -q install --yes --no-install-recommends {}", packages.join(" "));
    let services: BTreeSet<&str> = tools.iter().filter_map(|tool| tool.service).collect();
    if services.is_empty() {
        return install;
    }
    let services: Vec<&str> = services.into_iter().collect();
    format!(
        "if [ ! -e {POLICY} ]; then trap \"rm -f {POLICY}\" EXIT; printf \"#!/bin/sh\\nexit 101\\n\" >{POLICY}; \
         chmod +x {POLICY}; fi; {install} && if command -v systemctl >/dev/null; then systemctl disable {}; fi",
        services.join(" ")
    )
}

/// Whether `program` is found on the path, or where administrators' programs are.
pub(crate) fn is_installed(program: &str) -> bool {
    find(program).is_some()
}

/// Returns the path of `program`, on the path or where administrators' programs are.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    places.map(|place| place.join(program)).find(|path| path.is_file())
}

enum Privilege {
    Root,
    Sudo,
    None,
}

fn privilege() -> Privilege {
    if is_root() {
        return Privilege::Root;
    }
    let unasked = || {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
        sudo.status().is_ok_and(|status| status.success())
    };
    if is_installed("sudo") && (stdin().is_terminal() || unasked()) { Privilege::Sudo } else { Privilege::None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_neither_started_nor_enabled() {
        let command = install(&[NSD, KNOT, BIND, QEMU]);
        assert!(command.contains("exit 101") && command.ends_with("systemctl disable knot named nsd; fi"), "{command}");
        // It must be safe inside the quotes it is printed in.
        assert!(!command.contains('\''), "{command}");
        let status = Command::new("sh").args(["-n", "-c", &command]).status().unwrap();
        assert!(status.success(), "{command}");
        assert!(!install(&[QEMU, GIT]).contains("policy-rc.d"));
    }
}
