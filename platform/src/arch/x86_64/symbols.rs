//! Symbols of the C ABI.

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
