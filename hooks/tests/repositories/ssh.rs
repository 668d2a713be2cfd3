//! A push over ssh, through a real sshd.

use std::fs;
use std::path::Path;
use std::process::Command;

use zonule_harness::{namespace::is_root, run};

use crate::world::{World, zone};

/// Makes keys and a configuration below `home`, and returns the command that git is to use as ssh.
///
/// No daemon: the client starts one sshd for itself, as inetd would, and talks to it over a pipe.
fn ssh(home: &Path) -> String {
    fs::create_dir_all(home).unwrap();
    for key in ["host", "person"] {
        let mut keygen = Command::new("ssh-keygen");
        run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(home.join(key))).unwrap();
    }
    fs::rename(home.join("person.pub"), home.join("authorized_keys")).unwrap();
    let place = home.display();
    let config = format!(
        "HostKey {place}/host\nAuthorizedKeysFile {place}/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\n\
         PermitRootLogin yes\nPasswordAuthentication no\nAcceptEnv GIT_*\n"
    );
    fs::write(home.join("sshd_config"), config).unwrap();
    if is_root() {
        // It insists on an empty directory to lock itself up in, which is made where it is started as a service.
        fs::create_dir_all("/run/sshd").unwrap();
    }
    format!(
        "ssh -F none -i {place}/person -o IdentitiesOnly=yes -o UserKnownHostsFile={place}/known \
         -o StrictHostKeyChecking=accept-new -o LogLevel=ERROR \
         -o ProxyCommand='/usr/sbin/sshd -i -f {place}/sshd_config -E {place}/log'"
    )
}

#[test]
fn over_ssh() {
    let world = World::bare([("example.org", zone(1, ""))]);
    let home = world.sandbox.path().join("ssh");
    world.remote.git(&["config", "core.sshCommand", &ssh(&home)]).unwrap();
    let url = format!("ssh://zones/{}", world.bare_path().display());
    world.remote.git(&["remote", "set-url", "origin", &url]).unwrap();

    let log = || fs::read_to_string(home.join("log")).unwrap_or_default();
    let refused = world.push(&[("example.org", &zone(2, "new A 192.0.2.300\n"))]);
    assert!(refused.text.contains("remote: "), "{}\n{}", refused.text, log());
    refused.refused().with("example.org:6:7").with("pre-receive hook declined");
    world.push(&[("example.org", &zone(2, "new A 192.0.2.30\n"))]).fine();
    assert!(world.served("example.org").contains("192.0.2.30\n"));

    // Options come along, too.
    world.remote.remove("example.org").unwrap();
    world.push(&[("example.net", &zone(1, ""))]).refused().with("zonule.delete=");
    world.git(&["push", "-o", "zonule.delete=example.org", "origin", "HEAD"]).fine();
}
