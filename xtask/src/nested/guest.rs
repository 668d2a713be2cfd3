//! The guest in which KVM runs (L1): how it is built and booted.
//!
//! QEMU's software emulation implements AMD's SVM, so a Linux guest can load KVM and run the image (L2) with it. Two
//! things in which QEMU 7.2's emulation is wrong are kept out. It does not intercept XSETBV, so KVM loads a wrong XCR0
//! and XSAVE in L2 loses registers: L1 has no XSAVE, and so no AVX. With two processors L1 locks up now and then: it
//! has one.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, thread};

use zonule_harness::{Console, Error as HarnessError, Process, Qemu, run, workspace};

use super::report::Report;
use crate::cargo::{Error, Result};
use crate::linux::{Kernel, copy, copy_with_libraries, make_directory, pack, program, write, write_init};

/// The programs that jobs use in L1.
const PROGRAMS: [&str; 8] = [Qemu::PROGRAM, "git", "dig", "nsupdate", "ip", "setpriv", "env", "busybox"];

/// The firmware that QEMU loads for its machines and devices.
const FIRMWARE: [&str; 8] = [
    "bios-256k.bin",
    "bios-microvm.bin",
    "qboot.rom",
    "linuxboot_dma.bin",
    "pvh.bin",
    "kvmvapic.bin",
    "efi-virtio.rom",
    "vgabios-stdvga.bin",
];

/// Where Debian's packages put firmware; QEMU looks in all of them.
const FIRMWARE_PLACES: [&str; 3] = ["/usr/share/qemu", "/usr/share/seabios", "/usr/lib/ipxe/qemu"];

/// The modules that KVM and tap devices need.
const MODULES: [&str; 3] = ["kvm-amd", "tun", "af_packet"];

const INIT: &str = include_str!("init.sh");

/// L1's memory.
const MEMORY_MIB: u32 = 1536;

/// How long L1 may print nothing. A job inside times out and reports well before this.
const SILENCE: Duration = Duration::from_secs(300);

/// How many lines of its kernel's log are shown when L1 is at fault.
const LOG_LINES: usize = 40;

/// The files that L1 boots.
#[derive(Clone, Debug)]
pub(super) struct Files {
    kernel: PathBuf,
    initrd: PathBuf,
}

/// The result of a job in L1.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The job's report.
    pub(super) report: Report,
    /// The fault of L1 itself, if there is one. The report then says nothing about the image.
    pub(super) fault: Option<String>,
}

/// Builds L1 with the image at `elf` and the self-test at `selftest`; the archive is written below `directory`.
pub(super) fn build(directory: &Path, elf: &Path, selftest: &Path) -> Result<Files> {
    let (kernel, base) = base()?;
    let root = directory.join("payload");
    let work = root.join("work");
    for place in ["tests/harness", "target", "zones-example"] {
        make_directory(&work.join(place))?;
    }
    // These identify it as the source tree.
    copy(&workspace().join("Cargo.toml"), &work.join("Cargo.toml"))?;
    copy(elf, &work.join("target/zonule.elf"))?;
    copy(selftest, &work.join("target/selftest.elf"))?;
    let own = env::current_exe().map_err(HarnessError::io("cannot find this program"))?;
    copy_with_libraries(&own, &root)?;
    symlink(&own, root.join("xtask")).map_err(HarnessError::io("cannot link xtask"))?;
    let payload = directory.join("payload.cpio");
    pack(&root, &payload)?;
    // Linux unpacks one archive after the other.
    let initrd = directory.join("initrd");
    let read = |path: &Path| fs::read(path).map_err(HarnessError::io(format!("cannot read {}", path.display())));
    let octets = [read(&base)?, read(&payload)?].concat();
    fs::write(&initrd, octets).map_err(HarnessError::io(format!("cannot write {}", initrd.display())))?;
    Ok(Files { kernel, initrd })
}

/// Returns the kernel and the part of the initial ram disk that comes from this system's packages, below
/// `target/nested/`. It is packed again when one of the files it is made of has changed.
fn base() -> Result<(PathBuf, PathBuf)> {
    let kernel = Kernel::get()?;
    let place = workspace().join("target/nested");
    let (archive, key) = (place.join("base.cpio"), place.join("base.key"));
    let programs: Vec<PathBuf> = PROGRAMS.iter().map(|name| program(name)).collect::<Result<_>>()?;
    let firmware: Vec<PathBuf> = FIRMWARE.iter().filter_map(|name| firmware(name)).collect();
    let git_core = PathBuf::from(run(Command::new("git").arg("--exec-path"))?.trim());
    let daemon = git_core.join("git-daemon");
    let inputs = programs.iter().chain(&firmware).chain([&daemon, &kernel.image]);
    let wanted = fingerprint(inputs)?;
    if archive.is_file() && fs::read_to_string(&key).is_ok_and(|text| text == wanted) {
        return Ok((kernel.image, archive));
    }
    let root = place.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).map_err(HarnessError::io(format!("cannot remove {}", root.display())))?;
    }
    for directory in ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/share/qemu"] {
        make_directory(&root.join(directory))?;
    }
    for program in programs.iter().chain([&daemon]) {
        copy_with_libraries(program, &root)?;
    }
    let link = |target: &Path, at: &Path| {
        let at = root.join(at.strip_prefix("/").unwrap_or(at));
        if at.exists() { Ok(()) } else { symlink(target, &at).map_err(HarnessError::io(at.display().to_string())) }
    };
    let [.., busybox] = programs.as_slice() else { unreachable!("there are programs") };
    link(busybox, Path::new("/bin/busybox"))?;
    for name in ["git", "git-upload-pack", "git-receive-pack"] {
        link(&program("git")?, &git_core.join(name))?;
    }
    for file in &firmware {
        copy(file, &root.join("usr/share/qemu").join(file.file_name().unwrap_or_default()))?;
    }
    let modules = kernel.copy_modules(&MODULES, &root)?;
    write(&root.join("modules/order"), &(modules.join("\n") + "\n"))?;
    write(&root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    write(&root.join("etc/group"), "root:x:0:\n")?;
    write(&root.join("etc/hosts"), "127.0.0.1 localhost\n")?;
    write_init(&root, INIT)?;
    pack(&root, &archive)?;
    write(&key, &wanted)?;
    Ok((kernel.image, archive))
}

/// Describes the files that L1's base is made of: if the text changes, it must be packed again.
fn fingerprint<'p>(inputs: impl Iterator<Item = &'p PathBuf>) -> Result<String> {
    let mut text = format!("{MODULES:?}\n{INIT}\n");
    for path in inputs {
        let meta = fs::metadata(path).map_err(HarnessError::io(path.display().to_string()))?;
        let modified = meta.modified().map_err(HarnessError::io(path.display().to_string()))?;
        writeln!(text, "{} {} {modified:?}", path.display(), meta.len()).expect("a String accepts all");
    }
    Ok(text)
}

/// Returns the path of a firmware file. QEMU requests only files that its version has.
fn firmware(name: &str) -> Option<PathBuf> {
    FIRMWARE_PLACES.iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file())
}

/// Boots L1, runs `job` in it, prints its output except for routine lines, and returns the result. L1's output is kept
/// in `directory`.
pub(super) fn run_job(files: &Files, directory: &Path, job: &str, rounds: u32) -> Result<Outcome> {
    make_directory(directory)?;
    let [kernel_log, report_log] = ["kernel.log", "report.log"].map(|name| directory.join(name));
    let append = format!(
        "console=ttyS0 quiet mitigations=off tsc=reliable clocksource=tsc no_timer_check panic=-1 \
         ZONULE_JOB={job} ZONULE_ROUNDS={rounds}"
    );
    let file = |path: &Path| format!("file:{}", path.display());
    let (memory, kernel_file, report_file) = (MEMORY_MIB.to_string(), file(&kernel_log), file(&report_log));
    let (kernel, initrd) = (files.kernel.display().to_string(), files.initrd.display().to_string());
    let arguments = [
        &["-M", "q35", "-accel", "tcg", "-cpu", "max,+svm,+npt,-la57,-xsave", "-smp", "1", "-m", &memory] as &[&str],
        &["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
        &["-serial", &kernel_file, "-serial", &report_file],
        &["-kernel", &kernel, "-initrd", &initrd, "-append", &append],
    ]
    .concat();
    let console = Console::File(directory.join("qemu.log"));
    let mut qemu = Process::start(Path::new(Qemu::PROGRAM), &arguments, console)?;

    let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).replace('\r', "");
    let (mut shown, mut kernel_length, mut since) = (0, 0, Instant::now());
    let ended = loop {
        let ended = qemu.ended();
        let text = read(&report_log);
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let length = fs::metadata(&kernel_log).map_or(0, |meta| meta.len());
        if whole > shown || length > kernel_length {
            since = Instant::now();
        }
        for line in text[shown..whole].lines().filter(|line| !Report::is_routine(line)) {
            println!("{job}: {}", line.strip_prefix(Report::PREFIX).unwrap_or(line));
        }
        (shown, kernel_length) = (whole, length);
        if ended.is_some() || since.elapsed() > SILENCE {
            break ended;
        }
        thread::sleep(Duration::from_millis(50));
    };
    drop(qemu);
    let report = Report::parse(&read(&report_log));
    let kernel_log = read(&kernel_log);
    let mut fault = report.fault_of_guest(&kernel_log, ended.map(|status| status.success()));
    if let Some(fault) = &mut fault {
        let lines: Vec<&str> = kernel_log.lines().collect();
        let log = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        let said = read(&directory.join("qemu.log"));
        write!(fault, "; the end of its kernel's log:\n{log}\n{said}").expect("a String accepts all");
    }
    Ok(Outcome { report, fault })
}

/// Returns an error that blames L1 and not the image.
pub(super) fn blame_guest(job: &str, fault: &str) -> Error {
    Error::Unexpected(format!("{job}: this is a fault of the test's own guest (L1), not of the image: {fault}"))
}
