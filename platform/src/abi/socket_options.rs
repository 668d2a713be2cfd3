//! Options of sockets, and waiting for several: `setsockopt`, `getsockopt`, `ioctl`, `poll`.

use core::ffi::{c_int, c_ulong, c_void};

use super::errno;
use super::socket::{finish, slice, slice_mut, socket_at};
use crate::fd;
use crate::net::errno::Errno;
use crate::net::socket::{Kind, Options};
use crate::time::{self, Nanos};

const SOL_SOCKET: c_int = 1;
const SO_REUSEADDR: c_int = 2;
const SO_TYPE: c_int = 3;
const SO_ERROR: c_int = 4;
const SO_BROADCAST: c_int = 6;
const SO_SNDBUF: c_int = 7;
const SO_RCVBUF: c_int = 8;
const SO_KEEPALIVE: c_int = 9;
const SO_LINGER: c_int = 13;
const SO_RCVTIMEO: c_int = 20;
const SO_SNDTIMEO: c_int = 21;
const SO_ACCEPTCONN: c_int = 30;

const IPPROTO_IP: c_int = 0;
const IP_TTL: c_int = 2;

const IPPROTO_TCP: c_int = 6;
const TCP_NODELAY: c_int = 1;

const FIONBIO: c_ulong = 0x5421;

const EDOM: Errno = Errno(33);
const ENOTTY: Errno = Errno(25);

const SECOND: Nanos = 1_000_000_000;

/// `setsockopt(2)`.
///
/// # Safety
///
/// `value` is valid for reads of `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setsockopt(
    descriptor: c_int, level: c_int, name: c_int, value: *const c_void, length: u32,
) -> c_int {
    let set = || {
        // SAFETY: the caller's promise.
        let value = unsafe { slice(value, length as usize) };
        socket_at(descriptor)?.look(|stack, id| {
            set_option(&mut stack.record_mut(id)?.options, level, name, value)?;
            stack.apply_options(id)
        })
    };
    finish(set().map(|()| 0)) as c_int
}

fn set_option(options: &mut Options, level: c_int, name: c_int, value: &[u8]) -> Result<(), Errno> {
    let number = || value.first_chunk().copied().map(i32::from_ne_bytes).ok_or(Errno::INVAL);
    match (level, name) {
        (SOL_SOCKET, SO_REUSEADDR) => options.reuse_address = number()? != 0,
        (SOL_SOCKET, SO_BROADCAST) => options.broadcast = number()? != 0,
        (SOL_SOCKET, SO_KEEPALIVE) => options.keep_alive = number()? != 0,
        // Buffers have fixed sizes, which bound the whole; as on Linux the wish is not an error.
        (SOL_SOCKET, SO_SNDBUF | SO_RCVBUF) => _ = number()?,
        (SOL_SOCKET, SO_RCVTIMEO) => options.receive_timeout = duration(value)?,
        (SOL_SOCKET, SO_SNDTIMEO) => options.send_timeout = duration(value)?,
        (SOL_SOCKET, SO_LINGER) => {
            let (on, seconds) = (number()?, value.get(4..).and_then(<[u8]>::first_chunk).ok_or(Errno::INVAL)?);
            options.linger = (on != 0).then(|| u32::from_ne_bytes(*seconds));
        }
        (IPPROTO_IP, IP_TTL) => options.time_to_live = time_to_live(number()?)?,
        (IPPROTO_TCP, TCP_NODELAY) => options.no_delay = number()? != 0,
        _ => return Err(Errno::NOPROTOOPT),
    }
    Ok(())
}

fn time_to_live(value: i32) -> Result<u8, Errno> {
    match value {
        -1 => Ok(64),
        1..=255 => Ok(value as u8),
        _ => Err(Errno::INVAL),
    }
}

/// Reads a `struct timeval`; zero means no limit.
fn duration(value: &[u8]) -> Result<Option<Nanos>, Errno> {
    let half = |at: usize| value.get(at..).and_then(<[u8]>::first_chunk).copied().map(i64::from_ne_bytes);
    let (seconds, micros) = (half(0).ok_or(Errno::INVAL)?, half(8).ok_or(Errno::INVAL)?);
    if !(0..1_000_000).contains(&micros) {
        return Err(EDOM);
    }
    // A negative time has passed already, says Linux; a nanosecond is as good.
    let nanos = match u64::try_from(seconds) {
        Ok(seconds) => seconds.saturating_mul(SECOND).saturating_add(micros as u64 * 1000),
        Err(_) => 1,
    };
    Ok((nanos != 0).then_some(nanos))
}

fn timeval(timeout: Option<Nanos>) -> [u8; 16] {
    let nanos = timeout.unwrap_or(0);
    let mut value = [0; 16];
    value[..8].copy_from_slice(&(nanos / SECOND).to_ne_bytes());
    value[8..].copy_from_slice(&(nanos % SECOND / 1000).to_ne_bytes());
    value
}

/// `getsockopt(2)`.
///
/// # Safety
///
/// `length` is valid for reads and writes, and `value` for writes of `*length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(
    descriptor: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut u32,
) -> c_int {
    let get = || {
        if value.is_null() || length.is_null() {
            return Err(Errno::FAULT);
        }
        let (bytes, count) = socket_at(descriptor)?.look(|stack, id| {
            let record = stack.record_mut(id)?;
            let options = &record.options;
            let mut bytes = [0; 16];
            let number = match (level, name) {
                (SOL_SOCKET, SO_REUSEADDR) => options.reuse_address.into(),
                (SOL_SOCKET, SO_BROADCAST) => options.broadcast.into(),
                (SOL_SOCKET, SO_KEEPALIVE) => options.keep_alive.into(),
                (SOL_SOCKET, SO_TYPE) => 1 + i32::from(matches!(record.kind, Kind::Datagram(_))),
                (SOL_SOCKET, SO_ACCEPTCONN) => matches!(record.kind, Kind::Listener(_)).into(),
                (SOL_SOCKET, SO_ERROR) => record.error.take().map_or(0, |error| error.0),
                (SOL_SOCKET, SO_RCVTIMEO) => return Ok((timeval(options.receive_timeout), 16)),
                (SOL_SOCKET, SO_SNDTIMEO) => return Ok((timeval(options.send_timeout), 16)),
                (SOL_SOCKET, SO_LINGER) => {
                    bytes[..4].copy_from_slice(&i32::from(options.linger.is_some()).to_ne_bytes());
                    bytes[4..8].copy_from_slice(&options.linger.unwrap_or(0).to_ne_bytes());
                    return Ok((bytes, 8));
                }
                (IPPROTO_IP, IP_TTL) => options.time_to_live.into(),
                (IPPROTO_TCP, TCP_NODELAY) => options.no_delay.into(),
                (SOL_SOCKET, SO_SNDBUF | SO_RCVBUF) => stack.buffer_size(id, name == SO_RCVBUF)? as i32,
                _ => return Err(Errno::NOPROTOOPT),
            };
            bytes[..4].copy_from_slice(&number.to_ne_bytes());
            Ok((bytes, 4))
        })?;
        // SAFETY: the caller's promise; no more is written than there is room for.
        unsafe {
            let count = (length.read() as usize).min(count);
            slice_mut(value, count).copy_from_slice(&bytes[..count]);
            length.write(count as u32);
        }
        Ok(0)
    };
    finish(get()) as c_int
}

/// `ioctl(2)`: FIONBIO, which std uses for `set_nonblocking`.
///
/// # Safety
///
/// `argument` is null or valid for reads of a C `int`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(descriptor: c_int, request: c_ulong, argument: *mut c_int) -> c_int {
    let control = || {
        let file = fd::get(descriptor).ok_or(Errno::BADF)?;
        if request != FIONBIO {
            return Err(ENOTTY);
        }
        if argument.is_null() {
            return Err(Errno::FAULT);
        }
        // SAFETY: the caller's promise.
        file.set_nonblocking(unsafe { argument.read() } != 0);
        Ok(0)
    };
    finish(control()) as c_int
}

/// `struct pollfd`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PollDescriptor {
    descriptor: c_int,
    events: i16,
    returned: i16,
}

/// `poll(2)`.
///
/// # Safety
///
/// `descriptors` is valid for reads and writes of `count` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poll(descriptors: *mut PollDescriptor, count: c_ulong, timeout: c_int) -> c_int {
    /// No process here has more descriptors.
    const LIMIT: c_ulong = 4096;
    if count > LIMIT || (descriptors.is_null() && count > 0) {
        errno::set(Errno::INVAL.0);
        return -1;
    }
    let descriptors = if count == 0 {
        &mut []
    } else {
        // SAFETY: the caller's promise.
        unsafe { core::slice::from_raw_parts_mut(descriptors, count as usize) }
    };
    // Milliseconds; negative means for ever.
    let deadline = u64::try_from(timeout).ok().map(|timeout| time::monotonic() + timeout * 1_000_000);
    crate::net::blocking::poll(deadline, |stack| {
        let mut ready = 0;
        for entry in descriptors.iter_mut() {
            entry.returned = look(entry, stack);
            ready += c_int::from(entry.returned != 0);
        }
        (ready > 0).then_some(ready)
    })
    .unwrap_or(0)
}

/// Returns which of the events asked for hold, with those that are always told.
fn look(entry: &PollDescriptor, stack: Option<&crate::net::blocking::Stack>) -> i16 {
    const ALWAYS: u32 = 0x8 | 0x10;
    const INVALID: i16 = 0x20;
    /// POLLRDNORM, POLLWRNORM: other names of POLLIN and POLLOUT.
    const NORMAL: [(u32, u32); 2] = [(0x1, 0x40), (0x4, 0x100)];
    if entry.descriptor < 0 {
        return 0;
    }
    let Some(file) = fd::get(entry.descriptor) else { return INVALID };
    let mut holds = match (socket_at(entry.descriptor), stack) {
        (Ok(socket), Some(stack)) => socket.readiness_in(stack),
        _ => file.readiness(),
    };
    for (bit, other) in NORMAL {
        if holds & bit != 0 {
            holds |= other;
        }
    }
    (holds & (u32::from(entry.events as u16) | ALWAYS)) as i16
}
