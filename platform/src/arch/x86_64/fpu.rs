//! Floating-point, SSE and AVX state of interrupted threads.
//!
//! Only preemption saves this state. A thread that blocks does so in a function call, across which the ABI preserves
//! only two control words; the context switch saves those.
//!
//! Plain XSAVE is used, not XSAVEOPT: XSAVEOPT skips what has not changed since the last XRSTOR from the same address,
//! and an address on a stack has been overwritten since.

use super::features::Features;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::registers::xcontrol::{XCr0, XCr0Flags};

/// The components saved: x87, SSE, AVX. Wider registers stay disabled, so they are never used.
pub(crate) const MASK: u64 = 7;
/// Octets these components take in XSAVE's standard form: 512 legacy, 64 header, 256 for the upper halves of AVX.
pub(crate) const AREA: usize = 832;

/// Whether the interrupt code uses XSAVE rather than FXSAVE.
pub(crate) static USE_XSAVE: AtomicBool = AtomicBool::new(false);

/// Enables those components of [`MASK`] that the processor has. SSE is enabled by the entry code.
pub(crate) fn start(features: &Features) {
    if !features.xsave {
        return;
    }
    // SAFETY: the processor has XSAVE; x87 and SSE are always among its components, AVX is checked.
    unsafe {
        Cr4::update(|flags| flags.insert(Cr4Flags::OSXSAVE));
        let mut components = XCr0Flags::X87 | XCr0Flags::SSE;
        components.set(XCr0Flags::AVX, features.avx);
        XCr0::write(components);
    }
    USE_XSAVE.store(true, Relaxed);
}
