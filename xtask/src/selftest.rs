//! Boots the platform's self-test on every machine and checks its output.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use zonule_harness::accelerator;

/// How long a machine may take; only a hang comes near it.
const PATIENCE: Duration = Duration::from_secs(180);

/// The prefix of errors of QEMU itself.
pub(crate) const QEMU_FAILED: &str = "QEMU failed";

/// A machine and a processor, by QEMU's names, and megabytes of memory.
type Machine = (&'static str, &'static str, &'static str);

const MACHINES: &[Machine] = &[
    ("microvm", "max", "64"),
    ("microvm,acpi=off", "max", "64"),
    ("pc", "max", "64"),
    ("q35", "max", "64"),
    ("q35", "qemu64,+rdrand", "64"), // no AVX, no XSAVE
    ("microvm", "max", "24"),
    ("q35", "max", "5G"), // memory on both sides of the devices below 4 GiB
];

/// Each fault, and what its report must contain.
const FAULTS: &[(&str, &[&str])] = &[
    ("null", &["page fault in thread \"main\"", "through a null pointer"]),
    ("overflow", &["stack overflow of thread \"deep\""]),
    ("write-text", &["write to program code, which is read-only"]),
    ("write-rodata", &["write to constant data, which is read-only"]),
    ("exec-heap", &["which is not executable"]),
    ("exec-stack", &["execution of the thread's stack, which is not executable"]),
    ("div", &["divide error in thread \"main\""]),
    ("panic", &["panicked at", "on purpose", "resetting"]),
    ("abort", &["aborted in thread \"main\"; resetting"]),
    ("oom", &["out of memory", "give the machine more memory", "resetting"]),
];

/// Boots the selftest `image` everywhere.
///
/// # Errors
///
/// The machine or fault whose output lacks what it must contain, and the output.
pub(crate) fn run(image: &Path) -> Result<(), String> {
    for &machine in MACHINES {
        let output = boot(image, machine, "a \"b c\"")?;
        expect(machine, "", &output, &[r#"arguments ["zonule", "a", "b c"]"#, " passed, 0 failed"])?;
        println!("selftest: {machine:?} passed");
    }
    let without = ("microvm", "qemu64", "64");
    expect(without, "", &boot(image, without, "")?, &["no source of randomness"])?;
    for (number, &(fault, says)) in FAULTS.iter().enumerate() {
        let machine = MACHINES[number % 4];
        let output = boot(image, machine, &format!("--fault={fault}"))?;
        expect(machine, fault, &output, says)?;
        println!("selftest: fault {fault} is reported");
    }
    Ok(())
}

fn expect((machine, processor, memory): Machine, fault: &str, output: &str, says: &[&str]) -> Result<(), String> {
    match says.iter().find(|text| !output.contains(**text)) {
        None => Ok(()),
        Some(text) => Err(format!(
            "selftest on {machine} with {processor} and {memory} MB {fault} did not say {text:?} but:\n{output}"
        )),
    }
}

/// Boots the image and returns the console's output until the machine powered off or was reset.
fn boot(image: &Path, (machine, processor, memory): Machine, line: &str) -> Result<String, String> {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-M", machine, "-cpu", processor, "-m", memory, "-kernel"]).arg(image).args(["-append", line]);
    let [accelerate, accelerator, ..] = accelerator();
    qemu.args([
        accelerate,
        accelerator,
        "-no-reboot",
        "-display",
        "none",
        "-monitor",
        "none",
        "-serial",
        "stdio",
        "-nic",
        "none",
    ]);
    qemu.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = qemu.spawn().map_err(|error| format!("cannot run qemu-system-x86_64: {error}"))?;
    let mut console = child.stdout.take().ok_or("QEMU has no console")?;
    let reader = thread::spawn(move || {
        let mut octets = Vec::new();
        std::io::Read::read_to_end(&mut console, &mut octets).map(|_| octets)
    });
    let began = Instant::now();
    let hung = loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            if !status.success() {
                return Err(format!("{QEMU_FAILED} to run {machine} with {processor}: {status}"));
            }
            break false;
        }
        if began.elapsed() > PATIENCE {
            child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
            break true;
        }
        thread::sleep(Duration::from_millis(20));
    };
    let octets = reader.join().map_err(|_| "the console's reader panicked")?.map_err(|error| error.to_string())?;
    let output = String::from_utf8_lossy(&octets).into_owned();
    if hung {
        Err(format!("{machine} with {processor} neither went off nor reset; it said:\n{output}"))
    } else {
        Ok(output)
    }
}
