//! The C symbols std calls, each with the meaning POSIX and Linux give it.
//!
//! What the image has no use for answers with the error Linux gives for it; nothing pretends to have worked.

/// Defines C symbols that lead to the functions of the same names.
///
/// A function is not itself the symbol: link-time optimisation would see it next to std's declaration, which may
/// have other types or, for `fcntl` and its like, be variadic, and is free to take the difference for undefined
/// behaviour and drop the call. It would also apply what it believes about `malloc` to our own. Assembly it
/// cannot see through.
#[cfg_attr(test, allow(unused_macros, reason = "unit tests use the host's symbols"))]
macro_rules! export {
    // std looks whether it is there: the symbol is as weak as its declaration.
    (weak $($name:ident)*) => { $(export!(@ ".weak ", $name);)* };
    ($($name:ident)*) => { $(export!(@ ".globl ", $name);)* };
    (@ $binding:literal, $name:ident) => {
        core::arch::global_asm!(
            concat!(".pushsection .text.", stringify!($name), ", \"ax\", @progbits"),
            concat!($binding, stringify!($name)),
            concat!(".type ", stringify!($name), ", @function"),
            concat!(stringify!($name), ": jmp {}"),
            ".popsection",
            sym $name,
        );
    };
}

#[cfg(not(test))]
mod absent;
#[cfg(not(test))]
pub mod errno;
#[cfg(not(test))]
mod files;
#[cfg(not(test))]
mod heap;
#[cfg(not(test))]
mod memory;
#[cfg(not(test))]
mod misc;
#[cfg(not(test))]
mod socket;
#[cfg(not(test))]
mod socket_options;
mod strings;
#[cfg(not(test))]
mod syscall;
#[cfg(not(test))]
mod texts;
#[cfg(not(test))]
mod threads;
#[cfg(not(test))]
mod time;

#[cfg(not(test))]
pub(crate) use misc::environment;
