//! A Linux guest that runs NSD on Debian's cloud kernel, for side-by-side runs.
//!
//! It has no disk: an initial ram disk holds busybox, NSD with its libraries, the kernel's virtio modules and
//! the zones. Everything comes from this system's own Debian packages.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use zonule_harness::Error as HarnessError;

use crate::cargo::Result;
use crate::linux::{Kernel, copy, copy_with_libraries, make_directory, pack, write, write_init};

/// The kernel modules a virtio-net card needs.
const MODULES: [&str; 2] = ["virtio_pci", "virtio_net"];

/// The files that QEMU boots.
pub(super) struct Guest {
    /// The Linux kernel.
    pub(super) kernel: PathBuf,
    /// Its initial ram disk.
    pub(super) initrd: PathBuf,
}

/// Builds the guest: NSD at `address` (with its prefix length) with the zones of `directory`, file name = zone name.
pub(super) fn build(directory: &Path, zones: &Path, address: &str) -> Result<Guest> {
    let kernel = Kernel::get()?;
    let root = directory.join("guest");
    for place in ["bin", "proc", "sys", "dev", "run", "var/lib/nsd", "etc/nsd", "zones"] {
        make_directory(&root.join(place))?;
    }
    copy(Path::new("/bin/busybox"), &root.join("bin/busybox"))?;
    copy_with_libraries(Path::new("/usr/sbin/nsd"), &root)?;
    let mut insert = String::new();
    for module in kernel.copy_modules(&MODULES, &root)? {
        writeln!(insert, "busybox insmod /modules/{module}").expect("a String accepts all");
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
    write_init(&root, &init)?;
    let initrd = directory.join("guest.cpio");
    pack(&root, &initrd)?;
    Ok(Guest { kernel: kernel.image, initrd })
}
