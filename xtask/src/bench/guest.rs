//! A Linux guest that runs NSD on Debian's cloud kernel, for side-by-side runs.
//!
//! It has no disk: an initial ram disk holds busybox, NSD with its libraries, the kernel's virtio modules and
//! the zones. Everything comes from this system's own Debian packages.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use zonule_harness::{Error as HarnessError, run, workspace};

use crate::cargo::{Error, Result};

/// Debian's package whose dependency is the current cloud kernel.
const KERNEL: &str = "linux-image-cloud-amd64";

/// The kernel modules a virtio-net card needs, in the order of their dependencies.
const MODULES: [&str; 8] = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
];

/// What QEMU boots.
pub(super) struct Guest {
    /// The Linux kernel.
    pub(super) kernel: PathBuf,
    /// Its initial ram disk.
    pub(super) initrd: PathBuf,
}

/// Builds the guest: NSD at `address` (with its prefix length) with the zones of `directory`, file name = zone name.
pub(super) fn build(directory: &Path, zones: &Path, address: &str) -> Result<Guest> {
    let tree = kernel_tree()?;
    let kernel = only_entry(&tree.join("boot"), "vmlinuz-")?;
    let modules = only_entry(&tree.join("lib/modules"), "")?;

    let root = directory.join("guest");
    for place in ["bin", "proc", "sys", "dev", "run", "var/lib/nsd", "etc/nsd", "modules", "zones"] {
        make_directory(&root.join(place))?;
    }
    copy(Path::new("/bin/busybox"), &root.join("bin/busybox"))?;
    copy_with_libraries(Path::new("/usr/sbin/nsd"), &root)?;
    let mut insert = String::new();
    for module in MODULES {
        let file = modules.join("kernel").join(module).with_extension("ko");
        // A module may be built into the kernel, and is then no file.
        if file.is_file() {
            let name = file.file_name().unwrap_or_default();
            copy(&file, &root.join("modules").join(name))?;
            writeln!(insert, "busybox insmod /modules/{}", name.to_string_lossy()).expect("a String accepts all");
        }
    }

    let ip = address.split('/').next().unwrap_or(address);
    let mut settings = format!(
        "server:\n  ip-address: {ip}\n  server-count: 1\n  username: \"\"\n  database: \"\"\n  zonesdir: /zones\n  \
         pidfile: /run/nsd.pid\n  xfrdfile: /run/xfrd.state\n  zonelistfile: /run/zone.list\n  rrl-ratelimit: 0\n\
         remote-control:\n  control-enable: no\n"
    );
    for entry in fs::read_dir(zones).map_err(HarnessError::io(zones.display().to_string()))?.flatten() {
        let name = entry.file_name();
        let origin = name.to_string_lossy();
        copy(&entry.path(), &root.join("zones").join(&name))?;
        write!(settings, "zone:\n  name: {origin}\n  zonefile: {origin}\n").expect("a String accepts all");
    }
    write(&root.join("etc/nsd/nsd.conf"), &settings)?;
    write(&root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
    write(&root.join("etc/group"), "root:x:0:\n")?;
    let init = format!(
        "#!/bin/busybox sh\nexport PATH=/bin:/usr/sbin\nbusybox mount -t proc proc /proc\nbusybox mount -t sysfs sys \
         /sys\nbusybox mount -t devtmpfs dev /dev\n{insert}busybox ip link set lo up\nbusybox ip addr add {address} \
         dev eth0\nbusybox ip link set eth0 up\nexec nsd -d -c /etc/nsd/nsd.conf\n"
    );
    write(&root.join("init"), &init)?;
    let executable = Permissions::from_mode(0o755);
    fs::set_permissions(root.join("init"), executable).map_err(HarnessError::io("cannot make init executable"))?;

    let initrd = directory.join("guest.cpio.gz");
    let pack = format!("find . | cpio --quiet --create --format=newc | gzip -1 > '{}'", initrd.display());
    run(Command::new("sh").current_dir(&root).args(["-c", &pack]))?;
    Ok(Guest { kernel, initrd })
}

/// Debian's cloud kernel, unpacked below `target/`; fetched over the network when it is not there.
pub(super) fn kernel_tree() -> Result<PathBuf> {
    let place = workspace().join("target/bench-kernel");
    let tree = place.join("tree");
    if tree.is_dir() {
        return Ok(tree);
    }
    make_directory(&place)?;
    let depends = run(Command::new("apt-cache").args(["depends", KERNEL]))?;
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .ok_or_else(|| Error::Unexpected(format!("this system has no package {KERNEL}: qps needs Debian's")))?;
    run(Command::new("apt-get").current_dir(&place).args(["download", package]))?;
    let unpacked = place.join("unpacked");
    let unpack = format!("dpkg-deb --extract {package}_*.deb '{}'", unpacked.display());
    run(Command::new("sh").current_dir(&place).args(["-c", &unpack]))?;
    fs::rename(&unpacked, &tree).map_err(HarnessError::io("cannot rename the unpacked kernel"))?;
    Ok(tree)
}

/// Copies a program and the shared libraries it names to the same places below `root`.
fn copy_with_libraries(program: &Path, root: &Path) -> Result<()> {
    let listed = run(Command::new("ldd").arg(program))?;
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

/// The one entry of `directory` whose name begins with `prefix`.
fn only_entry(directory: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).map_err(HarnessError::io(directory.display().to_string()))?;
    entries
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .ok_or_else(|| Error::Unexpected(format!("{} holds no {prefix}…", directory.display())))
}

fn make_directory(path: &Path) -> Result<()> {
    Ok(fs::create_dir_all(path).map_err(HarnessError::io(format!("cannot make {}", path.display())))?)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let what = format!("cannot copy {} to {}", from.display(), to.display());
    fs::copy(from, to).map_err(HarnessError::io(what))?;
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    Ok(fs::write(path, text).map_err(HarnessError::io(format!("cannot write {}", path.display())))?)
}
