//! The socket calls of the C library, as std makes them.
//!
//! Streams and datagrams of both families, which stay apart: an IPv6 socket carries no IPv4. Names are not resolved
//! here: `getaddrinfo` knows none, and std parses numeric addresses itself.

use alloc::sync::Arc;
use core::any::Any;
use core::ffi::{c_char, c_int, c_void};
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use libc::{IPPROTO_TCP, IPPROTO_UDP, MSG_DONTWAIT, MSG_PEEK, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM};

use super::errno::result;
use crate::kernel::fd::{self, File, Readiness};
use crate::net::blocking::{self, Socket};
use crate::net::errno::Errno;
use crate::net::socket::Shutdown;

export!(
    socket bind listen accept4 accept connect getsockname getpeername recvfrom recv sendto send shutdown getaddrinfo
    freeaddrinfo gai_strerror __res_init
);
export!(weak gnu_get_libc_version);

const AF_UNSPEC: u16 = libc::AF_UNSPEC as u16;
const AF_INET: u16 = libc::AF_INET as u16;
const AF_INET6: u16 = libc::AF_INET6 as u16;
/// The number of the one interface there is, as scope of link-local addresses.
const INTERFACE: u32 = 1;

/// `struct sockaddr_in`.
#[repr(C)]
#[derive(Clone, Copy)]
struct SocketAddress {
    family: u16,
    port: [u8; 2],
    address: [u8; 4],
    zero: [u8; 8],
}

const ADDRESS_BYTES: u32 = size_of::<SocketAddress>() as u32;

/// `struct sockaddr_in6`.
#[repr(C)]
#[derive(Clone, Copy)]
struct SocketAddressV6 {
    family: u16,
    port: [u8; 2],
    flow: u32,
    address: [u8; 16],
    scope: u32,
}

const ADDRESS_V6_BYTES: u32 = size_of::<SocketAddressV6>() as u32;
/// The least length Linux takes: the structure before it had a scope (RFC 2133).
const SHORT_ADDRESS_V6_BYTES: u32 = ADDRESS_V6_BYTES - 4;

impl File for Socket {
    fn read(&self, out: &mut [u8]) -> Result<usize, Errno> {
        self.receive(out, false, false).map(|(length, _)| length)
    }

    fn write(&self, octets: &[u8]) -> Result<usize, Errno> {
        self.send(octets, None, false)
    }

    fn readiness(&self) -> Readiness {
        self.ready() as Readiness
    }

    fn nonblocking(&self) -> bool {
        self.look(|stack, id| Ok(stack.record(id)?.options.nonblocking)).unwrap_or(false)
    }

    fn set_nonblocking(&self, on: bool) {
        let _ = self.look(|stack, id| {
            stack.record_mut(id)?.options.nonblocking = on;
            Ok(())
        });
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A descriptor's file that is known to be a socket.
pub(super) struct AtDescriptor(Arc<dyn File>);

impl core::ops::Deref for AtDescriptor {
    type Target = Socket;
    fn deref(&self) -> &Socket {
        // Checked when the value was made.
        self.0.as_any().downcast_ref().expect("the file is a socket")
    }
}

/// Returns the socket behind a descriptor.
pub(super) fn socket_at(descriptor: c_int) -> Result<AtDescriptor, Errno> {
    let file = fd::get(descriptor)?;
    if file.as_any().is::<Socket>() { Ok(AtDescriptor(file)) } else { Err(Errno::NOTSOCK) }
}

fn install(socket: Socket) -> Result<c_int, Errno> {
    fd::insert(Arc::new(socket))
}

/// Reads a `struct sockaddr`; nothing for AF_UNSPEC.
///
/// # Safety
///
/// `address` is null or valid for reads of `length` bytes.
unsafe fn read_address(address: *const c_void, length: u32) -> Result<Option<SocketAddr>, Errno> {
    if address.is_null() {
        return Err(Errno::FAULT);
    }
    if length < 2 {
        return Err(Errno::INVAL);
    }
    // SAFETY: valid for `length` bytes, at least two.
    match unsafe { address.cast::<u16>().read_unaligned() } {
        AF_UNSPEC => Ok(None),
        AF_INET if length < ADDRESS_BYTES => Err(Errno::INVAL),
        AF_INET => {
            // SAFETY: valid for `length` bytes, at least those of the structure.
            let address = unsafe { address.cast::<SocketAddress>().read_unaligned() };
            Ok(Some((Ipv4Addr::from(address.address), u16::from_be_bytes(address.port)).into()))
        }
        AF_INET6 if length < SHORT_ADDRESS_V6_BYTES => Err(Errno::INVAL),
        AF_INET6 => {
            let mut read = SocketAddressV6 { family: 0, port: [0; 2], flow: 0, address: [0; 16], scope: 0 };
            let length = length.min(ADDRESS_V6_BYTES) as usize;
            // SAFETY: valid for as many bytes, which the structure has room for; any bytes make one.
            unsafe { core::ptr::copy_nonoverlapping(address.cast::<u8>(), (&raw mut read).cast::<u8>(), length) };
            let ip = Ipv6Addr::from(read.address);
            // There is one interface: a scope names it, or is left out.
            if ip.is_unicast_link_local() && read.scope > INTERFACE {
                return Err(Errno::NODEV);
            }
            Ok(Some((ip, u16::from_be_bytes(read.port)).into()))
        }
        _ => Err(Errno::AFNOSUPPORT),
    }
}

/// Writes a `struct sockaddr` as far as the caller has room, and how long it is.
///
/// # Safety
///
/// `length` is null or valid for reads and writes; `out` is then null or valid for writes of `*length` bytes.
unsafe fn write_address(address: SocketAddr, out: *mut c_void, length: *mut u32) {
    if out.is_null() || length.is_null() {
        return;
    }
    match address {
        SocketAddr::V4(v4) => {
            let address = SocketAddress {
                family: AF_INET,
                port: v4.port().to_be_bytes(),
                address: v4.ip().octets(),
                zero: [0; 8],
            };
            // SAFETY: the caller's promise.
            unsafe { write_structure(&address, ADDRESS_BYTES, out, length) };
        }
        SocketAddr::V6(v6) => {
            let address = SocketAddressV6 {
                family: AF_INET6,
                port: v6.port().to_be_bytes(),
                flow: 0,
                address: v6.ip().octets(),
                scope: if v6.ip().is_unicast_link_local() { INTERFACE } else { 0 },
            };
            // SAFETY: the caller's promise.
            unsafe { write_structure(&address, ADDRESS_V6_BYTES, out, length) };
        }
    }
}

/// Writes a structure of `bytes` bytes as far as there is room, and how long it is.
///
/// # Safety
///
/// `length` is valid for reads and writes, and `out` for writes of `*length` bytes.
unsafe fn write_structure<T>(structure: &T, bytes: u32, out: *mut c_void, length: *mut u32) {
    // SAFETY: both are valid by the caller's promise, and no more is written than there is room for.
    unsafe {
        let room = length.read().min(bytes);
        core::ptr::copy_nonoverlapping(core::ptr::from_ref(structure).cast::<u8>(), out.cast::<u8>(), room as usize);
        length.write(bytes);
    }
}

/// `socket(2)`.
extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    let open = || {
        let v6 = match u16::try_from(domain) {
            Ok(AF_INET) => false,
            Ok(AF_INET6) => true,
            _ => return Err(Errno::AFNOSUPPORT),
        };
        let datagram = match (kind & !(SOCK_NONBLOCK | SOCK_CLOEXEC), protocol) {
            (SOCK_STREAM, 0 | IPPROTO_TCP) => false,
            (SOCK_DGRAM, 0 | IPPROTO_UDP) => true,
            (SOCK_STREAM | SOCK_DGRAM, _) => return Err(Errno::PROTONOSUPPORT),
            _ => return Err(Errno::SOCKTNOSUPPORT),
        };
        install(blocking::open(datagram, v6, kind & SOCK_NONBLOCK != 0)?)
    };
    result(open())
}

/// `bind(2)`.
///
/// # Safety
///
/// `address` is null or valid for reads of `length` bytes.
unsafe extern "C" fn bind(descriptor: c_int, address: *const c_void, length: u32) -> c_int {
    let bind = || {
        // SAFETY: the caller's promise.
        let address = unsafe { read_address(address, length)? }.ok_or(Errno::AFNOSUPPORT)?;
        socket_at(descriptor)?.look(|stack, id| stack.bind(id, address))
    };
    result(bind().map(|()| 0))
}

/// `listen(2)`.
extern "C" fn listen(descriptor: c_int, backlog: c_int) -> c_int {
    let listen = || socket_at(descriptor)?.look(|stack, id| stack.listen(id, backlog));
    result(listen().map(|()| 0))
}

/// `accept4(2)`.
///
/// # Safety
///
/// `length` is null or valid for reads and writes; `address` is then null or valid for writes of `*length` bytes.
unsafe extern "C" fn accept4(descriptor: c_int, address: *mut c_void, length: *mut u32, flags: c_int) -> c_int {
    let accept = || {
        let (socket, from) = socket_at(descriptor)?.accept(flags & SOCK_NONBLOCK != 0)?;
        // SAFETY: the caller's promise.
        unsafe { write_address(from, address, length) };
        install(socket)
    };
    result(accept())
}

/// `accept(2)`.
///
/// # Safety
///
/// As for [`accept4`].
unsafe extern "C" fn accept(descriptor: c_int, address: *mut c_void, length: *mut u32) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { accept4(descriptor, address, length, 0) }
}

/// `connect(2)`.
///
/// # Safety
///
/// `address` is null or valid for reads of `length` bytes.
unsafe extern "C" fn connect(descriptor: c_int, address: *const c_void, length: u32) -> c_int {
    let connect = || {
        let socket = socket_at(descriptor)?;
        // SAFETY: the caller's promise.
        match unsafe { read_address(address, length)? } {
            Some(address) => socket.connect(address),
            None => socket.look(|stack, id| stack.disconnect(id)),
        }
    };
    result(connect().map(|()| 0))
}

/// `getsockname(2)`.
///
/// # Safety
///
/// As for [`accept4`].
unsafe extern "C" fn getsockname(descriptor: c_int, address: *mut c_void, length: *mut u32) -> c_int {
    let name = || {
        let name = socket_at(descriptor)?.look(|stack, id| stack.local_address(id))?;
        // SAFETY: the caller's promise.
        unsafe { write_address(name, address, length) };
        Ok(0)
    };
    result(name())
}

/// `getpeername(2)`.
///
/// # Safety
///
/// As for [`accept4`].
unsafe extern "C" fn getpeername(descriptor: c_int, address: *mut c_void, length: *mut u32) -> c_int {
    let name = || {
        let name = socket_at(descriptor)?.look(|stack, id| stack.peer_address(id))?;
        // SAFETY: the caller's promise.
        unsafe { write_address(name, address, length) };
        Ok(0)
    };
    result(name())
}

/// `recvfrom(2)`.
///
/// # Safety
///
/// `buffer` is valid for writes of `size` bytes, and `address` and `length` are as for [`accept4`].
unsafe extern "C" fn recvfrom(
    descriptor: c_int,
    buffer: *mut c_void,
    size: usize,
    flags: c_int,
    address: *mut c_void,
    length: *mut u32,
) -> isize {
    let receive = || {
        let socket = socket_at(descriptor)?;
        // SAFETY: the caller's promise.
        let out = unsafe { slice_mut(buffer, size) };
        let (received, from) = socket.receive(out, flags & MSG_PEEK != 0, flags & MSG_DONTWAIT != 0)?;
        match from {
            // SAFETY: the caller's promise.
            Some(from) => unsafe { write_address(from, address, length) },
            // SAFETY: the caller's promise. A stream names no source.
            None if !length.is_null() => unsafe { length.write(0) },
            None => {}
        }
        Ok(received)
    };
    result(receive().map(|length| length as isize))
}

/// `recv(2)`.
///
/// # Safety
///
/// `buffer` is valid for writes of `size` bytes.
unsafe extern "C" fn recv(descriptor: c_int, buffer: *mut c_void, size: usize, flags: c_int) -> isize {
    // SAFETY: the caller's promise.
    unsafe { recvfrom(descriptor, buffer, size, flags, core::ptr::null_mut(), core::ptr::null_mut()) }
}

/// `sendto(2)`.
///
/// # Safety
///
/// `buffer` is valid for reads of `size` bytes; `address` is null or valid for reads of `length` bytes.
unsafe extern "C" fn sendto(
    descriptor: c_int,
    buffer: *const c_void,
    size: usize,
    flags: c_int,
    address: *const c_void,
    length: u32,
) -> isize {
    let send = || {
        let socket = socket_at(descriptor)?;
        let to = if address.is_null() {
            None
        } else {
            // SAFETY: the caller's promise.
            unsafe { read_address(address, length)? }
        };
        // SAFETY: the caller's promise.
        let bytes = unsafe { slice(buffer, size) };
        socket.send(bytes, to, flags & MSG_DONTWAIT != 0)
    };
    result(send().map(|length| length as isize))
}

/// `send(2)`.
///
/// # Safety
///
/// `buffer` is valid for reads of `size` bytes.
unsafe extern "C" fn send(descriptor: c_int, buffer: *const c_void, size: usize, flags: c_int) -> isize {
    // SAFETY: the caller's promise.
    unsafe { sendto(descriptor, buffer, size, flags, core::ptr::null(), 0) }
}

/// `shutdown(2)`.
extern "C" fn shutdown(descriptor: c_int, how: c_int) -> c_int {
    let shutdown = || {
        let how = match how {
            0 => Shutdown::Read,
            1 => Shutdown::Write,
            2 => Shutdown::Both,
            _ => return Err(Errno::INVAL),
        };
        socket_at(descriptor)?.shutdown(how)
    };
    result(shutdown().map(|()| 0))
}

/// `getaddrinfo(3)`: knows no names.
extern "C" fn getaddrinfo(_: *const c_char, _: *const c_char, _: *const c_void, _: *mut *mut c_void) -> c_int {
    const EAI_NONAME: c_int = -2;
    EAI_NONAME
}

/// `freeaddrinfo(3)`: nothing was ever given out.
extern "C" fn freeaddrinfo(_: *mut c_void) {}

/// `gai_strerror(3)`.
extern "C" fn gai_strerror(_: c_int) -> *const c_char {
    c"names are not resolved here; give a numeric address".as_ptr()
}

/// `gnu_get_libc_version(3)`: std asks it after a failed look-up, to refresh the resolver of a C library before 2.26.
extern "C" fn gnu_get_libc_version() -> *const c_char {
    c"2.26".as_ptr()
}

/// `res_init(3)`: there is no resolver whose configuration could be read.
extern "C" fn __res_init() -> c_int {
    -1
}

/// Makes a slice of what C passed; empty when there is nothing, whatever the pointer.
///
/// # Safety
///
/// `start` is valid for reads of `length` bytes while the slice lives.
pub(super) unsafe fn slice<'a>(start: *const c_void, length: usize) -> &'a [u8] {
    if start.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(start.cast(), length.min(isize::MAX as usize)) }
}

/// Makes a slice of what C passed to be written; empty when there is nothing, whatever the pointer.
///
/// # Safety
///
/// `start` is valid for writes of `length` bytes and used by nobody else while the slice lives.
pub(super) unsafe fn slice_mut<'a>(start: *mut c_void, length: usize) -> &'a mut [u8] {
    if start.is_null() || length == 0 {
        return &mut [];
    }
    // SAFETY: the caller's promise. Bytes of any value are valid.
    unsafe { core::slice::from_raw_parts_mut(start.cast(), length.min(isize::MAX as usize)) }
}
