//! The error numbers socket calls end with, by name.

pub(crate) use crate::kernel::fd::Errno;

macro_rules! names {
    ($($name:ident = $number:ident;)*) => {
        impl Errno { $(pub(crate) const $name: Self = Self(libc::$number);)* }
    };
}

names! {
    BADF = EBADF;
    AGAIN = EAGAIN;
    NOMEM = ENOMEM;
    ACCES = EACCES;
    FAULT = EFAULT;
    INVAL = EINVAL;
    NODEV = ENODEV;
    MFILE = EMFILE;
    PIPE = EPIPE;
    NOTSOCK = ENOTSOCK;
    DESTADDRREQ = EDESTADDRREQ;
    MSGSIZE = EMSGSIZE;
    NOPROTOOPT = ENOPROTOOPT;
    PROTONOSUPPORT = EPROTONOSUPPORT;
    SOCKTNOSUPPORT = ESOCKTNOSUPPORT;
    OPNOTSUPP = EOPNOTSUPP;
    AFNOSUPPORT = EAFNOSUPPORT;
    ADDRINUSE = EADDRINUSE;
    ADDRNOTAVAIL = EADDRNOTAVAIL;
    NETDOWN = ENETDOWN;
    NETUNREACH = ENETUNREACH;
    HOSTUNREACH = EHOSTUNREACH;
    CONNRESET = ECONNRESET;
    NOBUFS = ENOBUFS;
    ISCONN = EISCONN;
    NOTCONN = ENOTCONN;
    TIMEDOUT = ETIMEDOUT;
    CONNREFUSED = ECONNREFUSED;
    ALREADY = EALREADY;
    INPROGRESS = EINPROGRESS;
    DOM = EDOM;
}
