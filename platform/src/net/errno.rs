//! The error numbers socket calls end with, as on Linux x86-64.

/// A Linux error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl Errno { $($(#[$doc])* pub(crate) const $name: Self = Self($value);)* }
    };
}

numbers! {
    /// Bad file descriptor.
    BADF = 9;
    /// Try again, or a timeout of the socket passed.
    AGAIN = 11;
    /// Out of memory.
    NOMEM = 12;
    /// Permission denied, such as broadcasting without leave.
    ACCES = 13;
    /// Bad address.
    FAULT = 14;
    /// Invalid argument.
    INVAL = 22;
    /// Too many open files.
    MFILE = 24;
    /// Broken pipe: the sending side is closed.
    PIPE = 32;
    /// Not a socket.
    NOTSOCK = 88;
    /// A destination address is required.
    DESTADDRREQ = 89;
    /// The datagram is too long.
    MSGSIZE = 90;
    /// No such socket option.
    NOPROTOOPT = 92;
    /// No such protocol.
    PROTONOSUPPORT = 93;
    /// No such socket type.
    SOCKTNOSUPPORT = 94;
    /// The operation does not fit the kind of socket.
    OPNOTSUPP = 95;
    /// No such address family.
    AFNOSUPPORT = 97;
    /// The address is in use.
    ADDRINUSE = 98;
    /// The address is not ours.
    ADDRNOTAVAIL = 99;
    /// There is no network.
    NETDOWN = 100;
    /// No route.
    NETUNREACH = 101;
    /// The peer reset the connection.
    CONNRESET = 104;
    /// No buffer space.
    NOBUFS = 105;
    /// Already connected.
    ISCONN = 106;
    /// Not connected.
    NOTCONN = 107;
    /// The peer did not answer.
    TIMEDOUT = 110;
    /// The peer refused the connection.
    CONNREFUSED = 111;
    /// A connection attempt is under way already.
    ALREADY = 114;
    /// A connection attempt is under way now.
    INPROGRESS = 115;
}
