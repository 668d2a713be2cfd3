//! C ABI symbols.

/// Defines C symbols that jump to the functions of the same names.
///
/// The functions themselves are not the symbols: link-time optimisation would see them next to std's declarations,
/// whose types may differ or, for `fcntl` and the like, are variadic. It may treat the difference as undefined
/// behaviour and drop the call, and it would apply its assumptions about `malloc` to ours. It cannot see through
/// assembly.
#[cfg_attr(test, allow(unused_macros, reason = "unit tests use the host's symbols"))]
macro_rules! export {
    // std tests whether the symbol exists, so it is weak like its declaration.
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
