//! The files there are: texts made when they are opened, to be read only.

use super::errno::{fail, result};
use crate::base::lock::Lock;
use crate::drivers::{entropy, generation};
use crate::kernel::fd::{self, Errno, File, Readiness};
use crate::net::configure::board;
use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::fmt::Write as _;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

export!(open open64 fstat64);

/// A text and how far it was read.
struct Text {
    content: String,
    read: AtomicUsize,
}

impl File for Text {
    fn read(&self, out: &mut [u8]) -> Result<usize, Errno> {
        // Two threads that read the same descriptor at a time may get the same octets: no program does.
        let start = self.read.load(Relaxed);
        let rest = self.content.as_bytes().get(start..).unwrap_or_default();
        let length = rest.len().min(out.len());
        out[..length].copy_from_slice(&rest[..length]);
        self.read.store(start + length, Relaxed);
        Ok(length)
    }

    fn write(&self, _: &[u8]) -> Result<usize, Errno> {
        Err(Errno(libc::EBADF))
    }

    fn readiness(&self) -> Readiness {
        libc::POLLIN
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The UUID that names this run of the machine, and the number of resumptions it was drawn after.
static RUN: Lock<Option<(u64, [u8; 16])>> = Lock::new(None);

/// Opens `/etc/resolv.conf`, which has the name servers learned from the network, or
/// `/proc/sys/kernel/random/boot_id`, which changes when the machine is resumed from a snapshot; there is no other file.
///
/// The mode that may follow is for files that are made.
unsafe extern "C" fn open(path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's string.
    let path = unsafe { CStr::from_ptr(path) };
    let content = match path.to_bytes() {
        b"/etc/resolv.conf" => board::resolv_conf(),
        b"/proc/sys/kernel/random/boot_id" => boot_id(),
        _ => return fail(libc::ENOENT),
    };
    if flags & libc::O_ACCMODE != libc::O_RDONLY {
        return fail(libc::EACCES);
    }
    result(fd::insert(Arc::new(Text { content, read: AtomicUsize::new(0) })))
}

unsafe extern "C" fn open64(path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the same promise.
    unsafe { open(path, flags) }
}

/// Returns the size and the kind of a text; of other descriptors nothing.
unsafe extern "C" fn fstat64(descriptor: c_int, out: *mut c_void) -> c_int {
    let file = match fd::get(descriptor) {
        Ok(file) => file,
        Err(Errno(code)) => return fail(code),
    };
    let Some(text) = file.as_any().downcast_ref::<Text>() else { return fail(libc::ENOSYS) };
    let out = out.cast::<libc::stat64>();
    // SAFETY: the caller's place for the answer; all zeroes are a valid value.
    unsafe {
        out.write_bytes(0, 1);
        (*out).st_mode = libc::S_IFREG | 0o444;
        (*out).st_nlink = 1;
        (*out).st_size = text.content.len() as i64;
    }
    0
}

/// Returns what Linux has in `/proc/sys/kernel/random/boot_id`: a random UUID (RFC 9562 §5.4), here of each generation.
fn boot_id() -> String {
    let resumed = generation::current().resumed;
    let mut run = RUN.lock();
    let octets = match *run {
        Some((drawn, octets)) if drawn == resumed => octets,
        _ => {
            let mut octets = [0; 16];
            entropy::fill(&mut octets);
            octets[6] = octets[6] & 0x0f | 0x40;
            octets[8] = octets[8] & 0x3f | 0x80;
            *run = Some((resumed, octets));
            octets
        }
    };
    drop(run);
    let mut text = String::new();
    for (index, octet) in octets.into_iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(text, "{}{octet:02x}", if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" });
    }
    text + "\n"
}
