//! A network of a test's own: a Linux network namespace with a tap device for the image.
//!
//! QEMU's user network accepts one connection at a time, and what it forwards waits for the kernel's
//! retransmission timers. A test of many connections at once runs its program again in a namespace instead,
//! where the image is a neighbour on a tap device. Nothing outside of the namespace can be reached, and it
//! vanishes with the program.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use crate::{Error, Result, run};

/// Set in the environment of a program that runs inside of a namespace made here.
const INSIDE: &str = "ZONULE_NAMESPACE";

/// The tap device in a namespace.
pub const TAP: &str = "zonule0";

/// This side's address on it.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// The image's address on it.
pub(crate) const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

/// Returns whether this program runs inside of a namespace made by [`enter`].
pub fn inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Returns a command that runs `program` in a new network namespace with a tap device; root is not needed where the kernel
/// lets users have namespaces.
pub fn enter(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let prepare = format!("ip {} && exec \"$@\"", preparation().join(" && ip "));
    command.args(["--net", "--", "sh", "-c", &prepare, "sh"]).arg(program).env(INSIDE, "1");
    command
}

/// Makes the tap device in the network this process is in, for a machine that has no other use for it.
pub fn prepare() -> Result<()> {
    preparation().iter().try_for_each(|line| run(Command::new("ip").args(line.split(' '))).map(drop))
}

/// Returns the arguments of `ip` that make the tap device, call by call.
fn preparation() -> [String; 4] {
    [
        "link set lo up".to_owned(),
        format!("tuntap add dev {TAP} mode tap"),
        format!("addr add {HOST}/24 dev {TAP}"),
        format!("link set {TAP} up"),
    ]
}

/// Runs the test named `test`, as this program's `--list` shows it, again in a namespace with a tap device.
pub fn test_inside(test: &str) -> Result<()> {
    let program = env::current_exe().map_err(Error::io("cannot find this program"))?;
    let printed = run(enter(&program).args([test, "--exact", "--nocapture"]))?;
    // A name that matches nothing is a success to the test program, but not to us.
    if printed.contains("1 passed") {
        Ok(())
    } else {
        Err(Error::Ended { what: format!("no test {test} ran: {printed}") })
    }
}

/// Gives this side of the tap device another address; only inside.
pub fn add_address(address: Ipv4Addr) -> Result<()> {
    run(Command::new("ip").args(["addr", "add", &format!("{address}/24"), "dev", TAP])).map(drop)
}

/// Returns whether this process may do everything.
pub fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective =
        status.lines().find_map(|line| line.strip_prefix("Uid:")).and_then(|ids| ids.split_whitespace().nth(1));
    effective == Some("0")
}
