//! The life cycle of virtual machines under a hypervisor, and their processors.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zonule_harness::{Boot, Console, Key, Monitor, Port, Remote, Sandbox, Server, run, within};

use super::inside::check;
use super::scenarios::update;
use crate::cargo::{Error, Result};
use crate::variants::{Variant, ZONE, answers, until, zone};

/// How long a machine is stopped: if nothing corrects the clock, it is wrong by far more than [`DRIFT`].
const STOPPED: Duration = Duration::from_secs(6);

/// Maximum difference between the clocks of the image and L1, in seconds.
const DRIFT: u64 = 2;

/// How long the clock may take to be corrected.
const CORRECTION: Duration = Duration::from_secs(15);

/// How long the image may take to power off.
const POWER_OFF: Duration = Duration::from_secs(60);

/// The processors to boot on, by QEMU's arguments. Every machine here is without AVX, for L1 has no XSAVE.
const PROCESSORS: [(&str, &[&str]); 4] = [
    ("two processors", &["-smp", "2"]),
    ("qemu64 with RDRAND", &["-cpu", "qemu64,+rdrand"]),
    ("EPYC", &["-cpu", "EPYC"]),
    ("no RDRAND, but virtio-rng", &["-cpu", "host,-rdrand,-rdseed"]),
];

/// A virtual machine in preparation, with its remote and a key that may update the zone.
struct Scene {
    boot: Boot,
    remote: Remote,
    key: Key,
    sandbox: Sandbox,
}

impl Scene {
    fn new(variant: &Variant) -> Result<Scene> {
        let sandbox = Sandbox::new("life")?;
        let key = Key::new(&format!("laptop._update.{ZONE}"))?;
        let files = [(ZONE, zone("")), (&format!("{ZONE}._keys"), key.line())];
        let remote = Remote::with_files(sandbox.path(), files)?;
        let boot = variant.boot(&remote)?.monitor(&sandbox.path().join("monitor"));
        Ok(Scene { boot, remote, key, sandbox })
    }

    /// Boots with more of QEMU's arguments, as the check `name`, in which `body` follows the first answer.
    fn check(
        &self,
        name: &str,
        qemu: &[&str],
        body: impl FnOnce(&mut Server, &mut Monitor) -> Result<()>,
    ) -> Result<()> {
        let log = self.sandbox.path().join("console.log");
        check(name, &log, || {
            let mut server = self.boot.clone().qemu(qemu).start(&self.sandbox)?;
            answers(&mut server)?;
            body(&mut server, &mut self.monitor()?)
        })?;
        Ok(())
    }

    fn monitor(&self) -> Result<Monitor> {
        Ok(Monitor::connect(&self.sandbox.path().join("monitor"))?)
    }

    /// Checks that the image answers, has the correct time and accepts a signed update, which depends on it.
    fn in_order(&self, server: &mut Server) -> Result<()> {
        answers(server)?;
        clock_is_right(server, &self.key)?;
        update(server, &self.remote, &self.key)
    }
}

/// Stops, moves, resets and powers off a virtual machine.
pub(super) fn life(variant: &Variant) -> Result<()> {
    let scene = Scene::new(variant)?;
    scene.check("knows the time", &[], |server, _| clock_is_right(server, &scene.key))?;
    scene.check("goes on after it was stopped", &[], |server, monitor| {
        monitor.command("stop")?;
        thread::sleep(STOPPED);
        monitor.command("cont")?;
        scene.in_order(server)
    })?;
    scene.check("boots again when it is reset", &["-action", "reboot=reset"], |server, monitor| {
        monitor.command("system_reset")?;
        until(server, "the second start on the console", |server| {
            (server.console().matches("listening on").count() > 1).then_some(())
        })?;
        answers(server)
    })?;
    migration(&scene)?;
    if variant.has_power_button() {
        scene.check("powers off at the power button", &[], |server, monitor| {
            monitor.command("system_powerdown")?;
            power_off(server)
        })?;
    }
    Ok(())
}

/// Boots on different processors.
pub(super) fn processors(variant: &Variant) -> Result<()> {
    let scene = Scene::new(variant)?;
    for (name, qemu) in PROCESSORS {
        scene.check(name, qemu, |server, _| update(server, &scene.remote, &scene.key))?;
    }
    Ok(())
}

/// Saves a running machine to a file, ends it, and resumes it in another QEMU.
fn migration(scene: &Scene) -> Result<()> {
    let state = scene.sandbox.path().join("state");
    let log = scene.sandbox.path().join("restored.log");
    let mut saved = None;
    scene.check("is saved to a file", &[], |server, monitor| {
        saved = Some(Instant::now());
        monitor.command(&format!("migrate \"exec:cat > {}\"", state.display()))?;
        let status = monitor.command("info migrate")?;
        if !status.contains("Migration status: completed") {
            return Err(Error::Unexpected(format!("QEMU says:\n{status}")));
        }
        monitor.send("quit")?;
        server.until_ended()?;
        Ok(())
    })?;
    let Some(saved) = saved.filter(|_| state.is_file()) else { return Ok(()) };
    thread::sleep(STOPPED.saturating_sub(saved.elapsed()));
    check("goes on from the file", &log, || {
        let incoming = format!("exec:cat {}", state.display());
        let boot = scene.boot.clone().qemu(&["-incoming", &incoming]);
        let mut server = boot.start_on(Port::new(), Console::File(log.clone()))?;
        scene.in_order(&mut server)
    })?;
    Ok(())
}

/// Waits until the image has ended the virtual machine, and checks that QEMU succeeded.
fn power_off(server: &mut Server) -> Result<()> {
    let begun = Instant::now();
    within(POWER_OFF, "the end of the virtual machine", || (!server.is_running()).then_some(()))?;
    let status = server.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Unexpected(format!("QEMU ended with {status} after {:.1} s", begun.elapsed().as_secs_f32())))
}

/// Checks that the image's clock agrees with ours, or does so soon.
fn clock_is_right(server: &Server, key: &Key) -> Result<()> {
    let mut last = String::new();
    let outcome = within(CORRECTION, "the right time", || match server_time(server, key) {
        Ok(theirs) => {
            let ours = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
            last = format!("the image's clock says {theirs} and ours {ours}");
            (theirs.abs_diff(ours) <= DRIFT).then_some(())
        }
        Err(error) => {
            last = error.to_string();
            None
        }
    });
    outcome.map_err(|error| Error::Unexpected(format!("{error}; {last}")))
}

/// Returns the time at which the image signed the answer to a signed query, in seconds since 1970.
fn server_time(server: &Server, key: &Key) -> Result<u64> {
    let address = server.address();
    let mut dig = Command::new("dig");
    dig.args(["-r", &format!("@{}", address.ip()), "-p", &address.port().to_string(), "-y", &key.option()]);
    let printed = run(dig.args(["+norecurse", "+tries=1", "+timeout=5", ZONE, "SOA"]))?;
    signed_at(&printed).ok_or_else(|| Error::Unexpected(format!("dig shows no signature:\n{printed}")))
}

/// Reads the time out of the TSIG record that `dig` shows: `NAME 0 ANY TSIG ALGORITHM TIME FUDGE …`.
fn signed_at(printed: &str) -> Option<u64> {
    let mut words = printed.lines().find(|line| line.contains("\tTSIG\t"))?.split_whitespace();
    words.nth(5)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_time_of_a_signature() {
        let printed = ";; ANSWER SECTION:\nexample.org.\t300\tIN\tSOA\tns1. host. 1 2 3 4 5\n\n;; TSIG PSEUDOSECTION:\n\
                       laptop._update.example.org. 0\tANY\tTSIG\thmac-sha256. 1796060000 300 32 bWFj 4711 NOERROR 0\n";
        assert_eq!(signed_at(printed), Some(1_796_060_000));
        assert_eq!(signed_at("no signature"), None);
    }
}
