//! Options of sockets: `setsockopt`, `getsockopt`.

use core::ffi::{c_int, c_void};
use libc::{
    IP_TTL, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPV6_UNICAST_HOPS, IPV6_V6ONLY, SO_ACCEPTCONN, SO_BROADCAST,
    SO_DOMAIN, SO_ERROR, SO_KEEPALIVE, SO_LINGER, SO_RCVBUF,
};
use libc::{SO_RCVTIMEO, SO_REUSEADDR, SO_SNDBUF, SO_SNDTIMEO, SO_TYPE, SOL_SOCKET, TCP_NODELAY};

use super::errno::result;
use super::socket::{slice, slice_mut, socket_at};
use crate::kernel::time::Nanos;
use crate::net::errno::Errno;
use crate::net::socket::{Kind, Options};

export!(setsockopt getsockopt);

const SECOND: Nanos = 1_000_000_000;

/// `setsockopt(2)`.
///
/// # Safety
///
/// `value` is valid for reads of `length` bytes.
unsafe extern "C" fn setsockopt(
    descriptor: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    length: u32,
) -> c_int {
    let set = || {
        // SAFETY: the caller's promise.
        let value = unsafe { slice(value, length as usize) };
        socket_at(descriptor)?.look(|stack, id| {
            set_option(&mut stack.record_mut(id)?.options, level, name, value)?;
            stack.apply_options(id)
        })
    };
    result(set().map(|()| 0))
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
        (IPPROTO_IP, IP_TTL) | (IPPROTO_IPV6, IPV6_UNICAST_HOPS) => options.time_to_live = time_to_live(number()?)?,
        // The families stay apart; nobody can have it otherwise.
        (IPPROTO_IPV6, IPV6_V6ONLY) if number()? != 0 => {}
        (IPPROTO_IPV6, IPV6_V6ONLY) => return Err(Errno::INVAL),
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
        return Err(Errno::DOM);
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
unsafe extern "C" fn getsockopt(
    descriptor: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    length: *mut u32,
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
                (IPPROTO_IP, IP_TTL) | (IPPROTO_IPV6, IPV6_UNICAST_HOPS) => options.time_to_live.into(),
                (IPPROTO_IPV6, IPV6_V6ONLY) => 1,
                (SOL_SOCKET, SO_DOMAIN) => {
                    if record.v6 {
                        libc::AF_INET6
                    } else {
                        libc::AF_INET
                    }
                }
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
    result(get())
}
