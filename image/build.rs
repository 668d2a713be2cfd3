//! Links a bootable program: our linker script, no C start-up files, no C library.

use std::path::PathBuf;
use std::{env, fs, io};

/// The libraries that rustc passes to the linker on this target; the image uses none of them.
const LIBRARIES: [&str; 9] = ["c", "dl", "gcc", "gcc_eh", "gcc_s", "m", "pthread", "rt", "util"];

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    // Only `cargo xtask image` links for bare metal; everything else merely checks these crates.
    println!("cargo:rerun-if-env-changed=ZONULE_LINKER_SCRIPT");
    let Ok(script) = env::var("ZONULE_LINKER_SCRIPT") else { return Ok(()) };
    println!("cargo:rerun-if-changed={script}");

    // An archive without members, found before the system's, keeps the C library out. The linker would
    // otherwise silently link missing symbols from it.
    let empty = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?).join("empty");
    fs::create_dir_all(&empty)?;
    for library in LIBRARIES {
        fs::write(empty.join(format!("lib{library}.a")), b"!<arch>\n")?;
    }
    println!("cargo:rustc-link-search=native={}", empty.display());
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-no-pie"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rustc-link-arg-bins=-Wl,-T{script},--build-id=none,-z,max-page-size=4096,-z,norelro,-n");
    Ok(())
}
