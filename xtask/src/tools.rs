//! The programs a task needs, installed when they are missing and that is possible.

use std::env;
use std::io::{IsTerminal, stdin};
use std::path::Path;
use std::process::{Command, Stdio};

use zonule_harness::namespace::is_root;

use crate::cargo::{Error, Result, shown};

/// A program and the Debian (and Ubuntu) package that brings it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
}

/// What runs the image.
pub(crate) const QEMU: Tool = Tool { program: "qemu-system-x86_64", package: "qemu-system-x86" };
/// The zones' home.
pub(crate) const GIT: Tool = Tool { program: "git", package: "git" };
/// The client.
pub(crate) const DIG: Tool = Tool { program: "dig", package: "bind9-dnsutils" };
/// What ties child processes to their parent.
pub(crate) const SETPRIV: Tool = Tool { program: "setpriv", package: "util-linux" };
/// What compiles the fuzzing engine.
pub(crate) const CXX: Tool = Tool { program: "c++", package: "g++" };
/// The load generator.
pub(crate) const DNSPERF: Tool = Tool { program: "dnsperf", package: "dnsperf" };
/// The server we compare ourselves with.
pub(crate) const NSD: Tool = Tool { program: "nsd", package: "nsd" };
/// The userland of the guest it runs in.
pub(crate) const BUSYBOX: Tool = Tool { program: "busybox", package: "busybox-static" };
/// What packs that guest.
pub(crate) const CPIO: Tool = Tool { program: "cpio", package: "cpio" };
/// Network devices and namespaces.
pub(crate) const IP: Tool = Tool { program: "ip", package: "iproute2" };

/// Makes sure that `tools` are there.
///
/// What is missing is installed when that takes no question: as root, or where sudo asks for nothing or has a
/// terminal to ask on.
pub(crate) fn ensure(tools: &[Tool]) -> Result<()> {
    let missing: Vec<Tool> = tools.iter().copied().filter(|tool| !is_installed(tool.program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs = missing.iter().map(|tool| tool.program).collect();
    if !is_installed("apt-get") {
        return Err(Error::Tools { programs, command: None });
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    let install =
        format!("apt-get -q update && apt-get -q install --yes --no-install-recommends {}", packages.join(" "));
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

/// Whether `program` is found on the path, or where administrators' programs are.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(|place| Path::new(place).to_path_buf()));
    places.into_iter().any(|place| place.join(program).is_file())
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
