//! Builds the bootable images and checks that they can be booted safely.
//!
//! The flags apply to the image's target only, for which they must name it, though it is the host's: otherwise
//! build scripts and macros would be built for bare metal too.

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, Sym};
use object::{Endianness, FileKind};
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use zonule_harness::workspace;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Maximum size of the image.
const LARGEST: u64 = 5 << 20;

/// A bootable program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The server.
    Zonule,
    /// The self-test of the platform.
    Selftest,
}

impl Program {
    fn package(self) -> &'static str {
        match self {
            Self::Zonule => "zonule-image",
            Self::Selftest => "zonule-selftest",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Zonule => "zonule.elf",
            Self::Selftest => "selftest.elf",
        }
    }
}

/// Builds `program`, checks it and returns the path of the image: `target/zonule.elf` or `target/selftest.elf`.
/// The same with symbols is next to it, ending in `.debug`.
///
/// # Errors
///
/// A description of the failure: of the build, or of a check of the image.
pub(crate) fn build(program: Program) -> Result<PathBuf, String> {
    let root = workspace();
    run(cargo("build", &["--release", "--package", program.package()]))?;
    let built = root.join("target/image").join(TARGET).join("release").join(program.package());
    let image = root.join("target").join(program.file());
    let debug = image.with_extension("elf.debug");
    let octets = fs::read(&built).map_err(|error| format!("cannot read {}: {error}", built.display()))?;
    check(&octets).map_err(|why| format!("{} cannot be booted: {why}", built.display()))?;
    let stripped = strip(&octets)?;
    if stripped.len() as u64 > LARGEST {
        return Err(format!("the image has {} octets; {LARGEST} is the most", stripped.len()));
    }
    for (path, content) in [(&debug, &octets), (&image, &stripped)] {
        fs::write(path, content).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(image)
}

/// Runs clippy on the crates that only the image contains, with the image's flags; warnings are errors.
///
/// # Errors
///
/// clippy found problems, or could not be run.
pub(crate) fn clippy() -> Result<(), String> {
    let packages = ["zonule-platform", "zonule-selftest", "zonule-image"];
    let mut arguments: Vec<&str> = packages.iter().flat_map(|package| ["--package", package]).collect();
    arguments.extend(["--", "-D", "warnings"]);
    run(cargo("clippy", &arguments))
}

/// Returns a cargo command with the image's flags.
fn cargo(command: &str, arguments: &[&str]) -> Command {
    let root = workspace();
    let mut flags = vec![
        "-Crelocation-model=static".to_owned(),
        "-Ctarget-feature=+crt-static".to_owned(),
        format!("--remap-path-prefix={}=zonule", root.display()),
    ];
    // The directory of the crates' sources differs between machines.
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    if let Some(home) = home {
        flags.push(format!("--remap-path-prefix={}=cargo", home.display()));
    }
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(root).arg(command).args(["--target", TARGET, "--target-dir", "target/image"]).args(arguments);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    cargo.env("ZONULE_LINKER_SCRIPT", root.join("image/link.ld"));
    // There is no C library to supply the canary or the checked functions.
    cargo.env("CFLAGS_x86_64_unknown_linux_gnu", "-fno-stack-protector -U_FORTIFY_SOURCE -fcf-protection=none");
    cargo
}

fn run(mut command: Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo failed ({status})")) }
}

/// Checks the properties that the loader and the platform's page tables depend on.
fn check(octets: &[u8]) -> Result<(), String> {
    let broken = |error: object::Error| format!("it is no sound ELF file: {error}");
    if FileKind::parse(octets).map_err(broken)? != FileKind::Elf64 {
        return Err("it is not a 64-bit ELF file".into());
    }
    let header = FileHeader64::<Endianness>::parse(octets).map_err(broken)?;
    let endian = header.endian().map_err(broken)?;
    if header.e_type(endian) != elf::ET_EXEC {
        return Err("it is position-independent, which nothing here relocates".into());
    }
    let mut note = false;
    for segment in header.program_headers(endian, octets).map_err(broken)? {
        let (kind, flags) = (segment.p_type(endian), segment.p_flags(endian));
        match kind {
            elf::PT_DYNAMIC | elf::PT_INTERP => {
                return Err("it wants a dynamic linker: something has brought the C library in".into());
            }
            elf::PT_LOAD if flags & elf::PF_W != 0 && flags & elf::PF_X != 0 => {
                return Err(format!("the segment at {:#x} is both writable and executable", segment.p_vaddr(endian)));
            }
            elf::PT_NOTE => {
                if segment.p_align(endian) != 4 {
                    return Err(format!("its note is aligned to {}; QEMU wants 4", segment.p_align(endian)));
                }
                note |= segment.data(endian, octets).is_ok_and(is_pvh_note);
            }
            _ => {}
        }
    }
    if !note {
        return Err("it has no PVH note, by which loaders find its entry".into());
    }
    let sections = header.sections(endian, octets).map_err(broken)?;
    let symbols = sections.symbols(endian, octets, elf::SHT_SYMTAB).map_err(broken)?;
    let undefined: Vec<_> = symbols
        .iter()
        // A weak symbol may be missing: it is then null, and its users check that.
        .filter(|symbol| symbol.is_undefined(endian) && symbol.st_bind() != elf::STB_WEAK)
        .filter_map(|symbol| symbols.symbol_name(endian, symbol).ok())
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    if !undefined.is_empty() {
        return Err(format!("it lacks {}", undefined.join(", ")));
    }
    Ok(())
}

/// Returns whether a note is the one by which PVH loaders find the entry: owner "Xen", type 18, a 32-bit address.
fn is_pvh_note(note: &[u8]) -> bool {
    note.starts_with(b"\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0") && note.len() >= 20
}

/// Returns the image without the parts that no loader reads: sections and symbols, which follow the segments.
fn strip(octets: &[u8]) -> Result<Vec<u8>, String> {
    let broken = |error: object::Error| format!("it is no sound ELF file: {error}");
    let header = FileHeader64::<Endianness>::parse(octets).map_err(broken)?;
    let endian = header.endian().map_err(broken)?;
    let segments = header.program_headers(endian, octets).map_err(broken)?;
    let ends = segments.iter().map(|segment| segment.p_offset(endian) + segment.p_filesz(endian));
    let end = ends.max().unwrap_or(0) as usize;
    let mut stripped = octets.get(..end).ok_or("its segments reach beyond its end")?.to_vec();
    // ELF-64 header: e_shoff at 40, then e_shentsize, e_shnum and e_shstrndx from 58 on.
    stripped[40..48].fill(0);
    stripped[58..64].fill(0);
    Ok(stripped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_booted_is_refused() {
        assert!(check(b"").is_err());
        assert!(check(b"\x7fELF\x02\x01\x01").is_err());
        // An ordinary program of this machine, dynamically linked: this one.
        let own = env::current_exe().and_then(fs::read).unwrap();
        assert!(check(&own).unwrap_err().contains("position-independent"));
    }

    #[test]
    fn the_note_is_known_by_its_owner_and_type() {
        assert!(is_pvh_note(b"\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0\x34\x12\x10\0"));
        assert!(!is_pvh_note(b"\x04\0\0\0\x04\0\0\0\x01\0\0\0GNU\0\x34\x12\x10\0"));
        assert!(!is_pvh_note(b"\x04\0\0\0"));
    }
}
