//! `cargo xtask replay`: records a boot with all its inputs, and replays it exactly.
//!
//! QEMU counts instructions (`-icount`) instead of measuring time and records at which instruction each packet, timer
//! and random number arrived. So a boot that fails once in a thousand times can be examined repeatedly, also with gdb.

use zonule_harness::{Console, Monitor, Port, Remote, Sandbox, workspace};

use crate::cargo::{self, Error, Result};
use crate::image::Program;
use crate::linux::{copy, make_directory};
use crate::tools::{self, GIT, QEMU, SETPRIV};
use crate::variants::{Variant, answers, console, zone};

/// Two to the power of this many nanoseconds pass with each instruction by default.
const SHIFT: u8 = 5;

/// The options of the command line.
#[derive(Debug)]
struct Options {
    variant: &'static Variant,
    shift: u8,
    boots: u32,
}

/// Records boots until one fails, replays the last one and compares the consoles.
pub(crate) fn replay(words: &[&str]) -> Result<()> {
    let options = Options::parse(words)?;
    tools::ensure(&[QEMU, GIT, SETPRIV])?;
    let built = cargo::image(Program::Zonule)?;
    let place = workspace().join("target/replay");
    make_directory(&place)?;
    // Another build would not fit the recording.
    let elf = place.join("zonule.elf");
    copy(&built, &elf)?;
    copy(&built.with_extension("elf.debug"), &elf.with_extension("elf.debug"))?;
    let sandbox = Sandbox::new("replay")?;
    let remote = Remote::with_files(sandbox.path(), [("example.org", zone(""))])?;
    let recording = place.join("recording");
    let boot = options.variant.boot_image(&elf, &remote);
    let with = |mode: &str| {
        let count = format!("shift={},rr={mode},rrfile={}", options.shift, recording.display());
        // A packet must leave at an instruction that is recorded: by a timer, not when QEMU has time for it.
        let network = ["-object", "filter-replay,id=replay,netdev=net", "-global", "virtio-net-device.tx=timer"];
        boot.clone().qemu(&["-icount", &count]).qemu(&network)
    };
    let [recorded, replayed] = ["recorded.log", "replayed.log"].map(|name| place.join(name));
    let mut outcome = Ok(());
    for number in 1..=options.boots {
        let socket = sandbox.path().join("monitor");
        let mut server = with("record").monitor(&socket).start_on(Port::new(), Console::File(recorded.clone()))?;
        outcome = answers(&mut server);
        if server.is_running() {
            // So that QEMU writes the complete recording.
            let mut monitor = Monitor::connect(&socket)?;
            monitor.send("quit")?;
            server.until_ended()?;
        }
        println!("boot {number}: {}", outcome.as_ref().map_or_else(ToString::to_string, |()| "answered".to_owned()));
        if outcome.is_err() {
            break;
        }
    }

    let mut server = with("replay").start_on(Port::new(), Console::File(replayed.clone()))?;
    println!("to replay it again, stopped until gdb connects to port 1234:\n\n  {} -s -S\n", server.command_line());
    server.until_ended()?;
    if console(&recorded) != console(&replayed) {
        let (recorded, replayed) = (recorded.display(), replayed.display());
        return Err(Error::Unexpected(format!("the replay diverged: compare {recorded} with {replayed}")));
    }
    println!("replayed: the same {} lines on the console", console(&replayed).lines().count());
    outcome
}

impl Options {
    fn parse(words: &[&str]) -> Result<Options> {
        let mut options = Options { variant: Variant::named("microvm-legacy")?, shift: SHIFT, boots: 1 };
        for word in words {
            let unknown = || Error::Usage(format!("`replay` knows no `{word}`"));
            let (name, value) = word.split_once('=').ok_or_else(unknown)?;
            match name {
                "--machine" => options.variant = Variant::named(value)?,
                // QEMU's maximum.
                "--shift" => options.shift = value.parse().ok().filter(|shift| *shift <= 10).ok_or_else(unknown)?,
                "--boots" => options.boots = value.parse().ok().filter(|boots| *boots > 0).ok_or_else(unknown)?,
                _ => return Err(unknown()),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_options() {
        let options = Options::parse(&["--machine=pc-modern", "--shift=0", "--boots=7"]).unwrap();
        assert_eq!((options.variant.name, options.shift, options.boots), ("pc-modern", 0, 7));
        for wrong in ["--machine=vax", "--shift=11", "--boots=0", "--shift", "pc"] {
            assert!(Options::parse(&[wrong]).is_err(), "{wrong}");
        }
    }
}
