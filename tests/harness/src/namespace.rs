//! A separate network for a test: a Linux network namespace with a tap device for the image.
//!
//! QEMU's user network accepts one connection at a time, and forwarded connections wait for the kernel's
//! retransmission timers. A test of many connections at once runs its program again in a namespace instead,
//! where the image is a neighbour on a tap device. Nothing outside of the namespace can be reached, and it
//! vanishes with the program.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use crate::{Error, Result, run};

/// The environment variable that is set inside of a namespace created here.
const INSIDE: &str = "ZONULE_NAMESPACE";

/// The tap device in a namespace.
pub const TAP: &str = "zonule0";

/// The host's address on it.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// The image's address on it.
pub(crate) const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

/// Returns whether this program runs inside of a namespace made by [`enter`].
pub fn inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Returns a command that runs `program` in a new network namespace with a tap device; root is not needed where the
/// kernel lets users have namespaces.
pub fn enter(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let prepare = format!("ip {} && exec \"$@\"", preparation().join(" && ip "));
    command.args(["--net", "--", "sh", "-c", &prepare, "sh"]).arg(program).env(INSIDE, "1");
    command
}

/// Creates the tap device in the current network, for a machine without another use for it.
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
    // The test program reports success for a name that matches nothing; that is an error here.
    if printed.contains("1 passed") {
        Ok(())
    } else {
        Err(Error::Ended { what: format!("no test {test} ran: {printed}") })
    }
}

/// Changes the host's address on the tap device; only inside of a namespace.
pub fn add_address(address: Ipv4Addr) -> Result<()> {
    run(Command::new("ip").args(["addr", "add", &format!("{address}/24"), "dev", TAP])).map(drop)
}

/// Returns whether this process runs as root.
pub fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective =
        status.lines().find_map(|line| line.strip_prefix("Uid:")).and_then(|ids| ids.split_whitespace().nth(1));
    effective == Some("0")
}
