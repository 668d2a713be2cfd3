//! The processor's I/O ports.

use core::arch::asm;

macro_rules! port {
    ($read:ident, $write:ident, $type:ty, $register:tt, $size:literal) => {
        #[doc = concat!("Reads ", $size, " bits from `port`.")]
        ///
        /// # Safety
        ///
        /// Reading the port has no side effect that a driver does not expect.
        #[inline]
        pub(crate) unsafe fn $read(port: u16) -> $type {
            let value;
            // SAFETY: the caller vouches for the port; the instruction accesses no memory.
            unsafe {
                asm!(concat!("in ", $register, ", dx"), out($register) value, in("dx") port,
                    options(nomem, nostack, preserves_flags))
            };
            value
        }

        #[doc = concat!("Writes ", $size, " bits to `port`.")]
        ///
        /// # Safety
        ///
        /// Writing the value does not break memory safety.
        #[inline]
        pub(crate) unsafe fn $write(port: u16, value: $type) {
            // SAFETY: the caller vouches for the port. `nomem` is not set: a write may start DMA.
            unsafe {
                asm!(concat!("out dx, ", $register), in("dx") port, in($register) value,
                    options(nostack, preserves_flags))
            };
        }
    };
}

port!(in8, out8, u8, "al", "8");
port!(in16, out16, u16, "ax", "16");
port!(in32, out32, u32, "eax", "32");
