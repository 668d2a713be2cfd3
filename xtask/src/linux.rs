//! Builds small Linux guests: Debian's cloud kernel and initial ram disks built from this system's programs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use zonule_harness::{Error as HarnessError, run, workspace};

use crate::cargo::{Error, Result};
use crate::tools;

/// The packages whose first dependency is the current kernel: Debian's cloud kernel, and Ubuntu's for virtual machines.
const KERNELS: [&str; 2] = ["linux-image-cloud-amd64", "linux-image-virtual"];

/// A kernel with its modules, unpacked and not installed.
pub(crate) struct Kernel {
    /// The kernel itself, which QEMU boots.
    pub(crate) image: PathBuf,
    /// The directory of the unpacked package, which contains `lib/modules/VERSION`.
    root: PathBuf,
    version: String,
}

impl Kernel {
    /// Returns the kernel below `target/`; downloads it with apt if it is missing.
    pub(crate) fn get() -> Result<Kernel> {
        let place = workspace().join("target/kernel");
        let root = place.join("tree");
        if !root.is_dir() {
            make_directory(&place)?;
            download(&place)?;
            let unpacked = place.join("unpacked");
            let unpack = format!("for package in *.deb; do dpkg-deb --extract $package '{}'; done", unpacked.display());
            run(Command::new("sh").current_dir(&place).args(["-e", "-c", &unpack]))?;
            fs::rename(&unpacked, &root).map_err(HarnessError::io("cannot rename the unpacked kernel"))?;
        }
        let image = only_entry(&root.join("boot"), "vmlinuz-")?;
        // Packages of merged systems have it below /usr, where kmod does not look under another root.
        if !root.join("lib").exists() {
            symlink("usr/lib", root.join("lib")).map_err(HarnessError::io("cannot link lib"))?;
        }
        let modules = only_entry(&root.join("lib/modules"), "")?;
        let version = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !modules.join("modules.dep").is_file() {
            run(Command::new(program("depmod")?).arg("-b").arg(&root).arg(&version))?;
        }
        Ok(Kernel { image, root, version })
    }

    /// Copies the modules that `names` stand for, and those they need, to `modules/` below `guest`; returns the files'
    /// names in the order to load them. Modules built into the kernel have no file.
    pub(crate) fn copy_modules(&self, names: &[&str], guest: &Path) -> Result<Vec<String>> {
        let directory = guest.join("modules");
        make_directory(&directory)?;
        let mut loaded = Vec::new();
        for name in names {
            let mut modprobe = Command::new(program("modprobe")?);
            modprobe.args(["--show-depends", "--set-version", &self.version, "--dirname"]).arg(&self.root).arg(name);
            for line in run(&mut modprobe)?.lines() {
                let Some(file) = line.strip_prefix("insmod ").map(|rest| Path::new(rest.trim())) else { continue };
                let module = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let (name, unpack) = match module.rsplit_once('.') {
                    Some((name, "xz")) => (name.to_owned(), Some("xz")),
                    Some((name, "zst")) => (name.to_owned(), Some("zstd")),
                    _ => (module, None),
                };
                if loaded.contains(&name) {
                    continue;
                }
                let target = directory.join(&name);
                match unpack {
                    None => copy(file, &target)?,
                    Some(program) => {
                        let unpack = format!("{program} -dc '{}' > '{}'", file.display(), target.display());
                        run(Command::new("sh").args(["-c", &unpack]))?;
                    }
                }
                loaded.push(name);
            }
        }
        Ok(loaded)
    }
}

/// Downloads the packages of a kernel into `place`: the kernel, and its modules where they are a package of their own.
fn download(place: &Path) -> Result<()> {
    let dependency = |package: &str, prefix: &str| -> Option<String> {
        let depends = run(Command::new("apt-cache").args(["depends", package])).ok()?;
        let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        names.map(str::to_owned).find(|name| name.starts_with(prefix))
    };
    let kernel = KERNELS.iter().find_map(|package| dependency(package, "linux-image-"));
    let kernel = kernel.ok_or_else(|| {
        Error::Unexpected(format!("apt knows no package {}; try `apt-get update`", KERNELS.join(" or ")))
    })?;
    let modules = dependency(&kernel, "linux-modules-");
    run(Command::new("apt-get").current_dir(place).args(["-q", "download"]).arg(kernel).args(modules))?;
    Ok(())
}

/// Returns the path of a program, including those in the directories for administrators.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    tools::find(name).ok_or_else(|| Error::Unexpected(format!("{name} is not installed")))
}

/// Copies a program and the shared libraries it names to the same places below `root`.
pub(crate) fn copy_with_libraries(program: &Path, root: &Path) -> Result<()> {
    // It fails for a program without shared libraries.
    let listed = run(Command::new("ldd").arg(program)).unwrap_or_default();
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new);
    for file in libraries.chain([program]) {
        let target = root.join(file.strip_prefix("/").unwrap_or(file));
        make_directory(target.parent().unwrap_or(root))?;
        copy(file, &target)?;
    }
    // Debian's /lib64 is a link; the dynamic loader's path begins there.
    let loader = root.join("lib64");
    if !loader.exists() {
        symlink("lib", loader).map_err(HarnessError::io("cannot link lib64"))?;
    }
    Ok(())
}

/// Writes `script` as the program that the kernel starts in the guest whose files are below `root`.
pub(crate) fn write_init(root: &Path, script: &str) -> Result<()> {
    let init = root.join("init");
    write(&init, script)?;
    let executable = Permissions::from_mode(0o755);
    Ok(fs::set_permissions(init, executable).map_err(HarnessError::io("cannot make init executable"))?)
}

/// Packs the files below `root` into the archive `to`, which Linux uses as its initial ram disk.
pub(crate) fn pack(root: &Path, to: &Path) -> Result<()> {
    let pack = format!("find . | cpio --quiet --create --format=newc > '{}'", to.display());
    run(Command::new("sh").current_dir(root).args(["-c", &pack])).map(drop).map_err(Error::from)
}

/// Returns the entry of `directory` whose name begins with `prefix`.
fn only_entry(directory: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).map_err(HarnessError::io(directory.display().to_string()))?;
    entries
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .ok_or_else(|| Error::Unexpected(format!("{} holds no {prefix}…", directory.display())))
}

/// Creates a directory and its parents.
pub(crate) fn make_directory(path: &Path) -> Result<()> {
    Ok(fs::create_dir_all(path).map_err(HarnessError::io(format!("cannot make {}", path.display())))?)
}

/// Copies a file.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let what = format!("cannot copy {} to {}", from.display(), to.display());
    fs::copy(from, to).map_err(HarnessError::io(what))?;
    Ok(())
}

/// Writes a file.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    Ok(fs::write(path, text).map_err(HarnessError::io(format!("cannot write {}", path.display())))?)
}
