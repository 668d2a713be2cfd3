//! The developer's tasks: `cargo xtask run|test|image|bench`.
#![forbid(unsafe_code)]

mod bench;
mod cargo;
mod fuzz;
mod image;
mod linux;
mod nested;
mod nettest;
mod replay;
mod run;
mod selftest;
mod test;
mod tools;
mod variants;

use std::env;
use std::process::ExitCode;

use crate::cargo::Error;

const HELP: &str = "\
Usage: cargo xtask COMMAND

  run [--hosted] [--machine=NAME] [-- ARGUMENT...]
      Serve zones-example/ from a local git repository: build the image, boot it in QEMU, print lines to
      paste, stay until Ctrl-C. --hosted runs the Linux binary instead, without QEMU. NAME is microvm
      (default), microvm-legacy, microvm-pci, q35 or pc. Arguments after -- go to the server, for example
      --log=debug.
  test [--hosted]
      Everything a change must pass: format, lints, licences, unit and property tests, fuzzing for some
      seconds, end-to-end tests. --hosted leaves out what needs the image.
  image [--selftest]
      Build the bootable image, target/zonule.elf, or target/selftest.elf, the program that tries the platform.
  selftest
      Boot the self-test on every machine, and every fault it can commit.
  nettest
      Boot the self-test on every machine and talk to it over the network; over a tap device, too, as root.
  nested [NAME...]
      Boot the image on KVM, in a Linux guest that needs no hardware for it: every machine five times, then what a
      server does and what hypervisors do to it. A name, or a part of one, chooses jobs: boots/pc-modern, life, ...
  replay [--machine=NAME] [--shift=N] [--boots=N]
      Record a boot by QEMU's count of instructions and replay it exactly; with --boots until one fails, at most N.
      Each instruction takes 2^shift nanoseconds (0 to 10). NAME is one of those of `nested`, for example pc-modern.
  fuzz [SECONDS]
      Feed random octets to each parser of what strangers send, for 60 seconds each unless told.
  bench [NAME...]
      Measure: answer, boot, clone, size, memory, records, qps, updates, transfers, boots, soak. Without a name all
      but the last two. soak=SECONDS sets the length of soak; boots=NUMBER how often each machine boots, in software
      emulation and on KVM (1000 unless told; target/boots/ keeps the consoles of the boots that failed).

Environment: ZONULE_ACCEL=kvm boots with hardware virtualisation; ZONULE_IMAGE=FILE tests another image.
";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let own = words.split(|word| *word == "--").next().unwrap_or_default();
    let outcome = match words.split_first() {
        _ if own.iter().any(|word| matches!(*word, "help" | "--help" | "-h")) => {
            print!("{HELP}");
            Ok(())
        }
        Some((&"run", rest)) => run::run(rest),
        Some((&"test", rest)) => test::test(rest),
        Some((&"bench", rest)) => bench::bench(rest),
        Some((&"image", [])) => cargo::image(image::Program::Zonule).map(|elf| println!("{}", elf.display())),
        Some((&"image", ["--selftest"])) => {
            cargo::image(image::Program::Selftest).map(|elf| println!("{}", elf.display()))
        }
        Some((&"image", _)) => Err(Error::Usage("`image` takes no arguments but --selftest".to_owned())),
        Some((&"selftest", [])) => {
            cargo::image(image::Program::Selftest).and_then(|elf| selftest::run(&elf).map_err(Error::Unexpected))
        }
        Some((&"nettest", [])) => {
            cargo::image(image::Program::Selftest).and_then(|elf| nettest::run(&elf).map_err(Error::Unexpected))
        }
        Some((&"replay", rest)) => replay::replay(rest),
        Some((&"fuzz", rest)) => test::fuzz(rest),
        Some((&"nested", rest)) => nested::nested(rest),
        // The part of `nested` that runs inside its guest.
        Some((&"nested-inside", [])) => {
            nested::inside();
            Ok(())
        }
        // The part of `nettest` that runs inside a network namespace.
        Some((&"nettest-inside", [elf])) => nettest::run_inside(elf.as_ref()).map_err(Error::Unexpected),
        Some((other, _)) => Err(Error::Usage(format!("`{other}` is no command of cargo xtask"))),
        None => Err(Error::Usage("a command is missing".to_owned())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Usage(reason)) => {
            eprintln!("xtask: {reason}\n\n{HELP}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
