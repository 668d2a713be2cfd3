//! The processor features the platform uses.

use raw_cpuid::{CpuId, CpuIdReaderNative};
use spin::Once;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};

/// The processor features the platform uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features {
    /// No-execute pages. Required.
    pub(crate) no_execute: bool,
    /// XSAVE and XRSTOR.
    pub(crate) xsave: bool,
    /// 256-bit vector registers.
    pub(crate) avx: bool,
    /// Pages of 1 GiB.
    pub(crate) gigabyte_pages: bool,
    /// The local interrupt controller's x2APIC mode.
    pub(crate) x2apic: bool,
    /// A timer that fires when the time-stamp counter reaches a given value.
    pub(crate) tsc_deadline: bool,
    smep: bool,
    smap: bool,
    umip: bool,
}

static FEATURES: Once<Features> = Once::new();

/// Returns a reader of the processor's CPUID leaves.
pub(crate) fn cpuid() -> CpuId<CpuIdReaderNative> {
    CpuId::new()
}

/// Returns the first CPUID leaf of the hypervisor interface with this signature.
///
/// A hypervisor that also offers another's interface, as KVM does Hyper-V's, has its own leaves at a higher multiple of
/// 0x100.
pub(crate) fn hypervisor(signature: &[u8; 12]) -> Option<u32> {
    const FIRST: u32 = 0x4000_0000;
    const LAST: u32 = 0x4001_0000;
    const PRESENT: u32 = 1 << 31;
    (core::arch::x86_64::__cpuid(1).ecx & PRESENT != 0).then_some(())?;
    (FIRST..LAST).step_by(0x100).find(|&leaf| {
        let id = core::arch::x86_64::__cpuid(leaf);
        let [b, c, d] = [id.ebx, id.ecx, id.edx].map(u32::to_le_bytes);
        signature[..4] == b && signature[4..8] == c && signature[8..] == d
    })
}

impl Features {
    /// Queries the processor once; later calls return the same features.
    pub(crate) fn detect() -> &'static Self {
        FEATURES.call_once(Self::query)
    }

    fn query() -> Self {
        let id = cpuid();
        let basic = id.get_feature_info();
        let basic = |query: fn(&raw_cpuid::FeatureInfo) -> bool| basic.as_ref().is_some_and(query);
        let extended = id.get_extended_feature_info();
        let extended = |query: fn(&raw_cpuid::ExtendedFeatures) -> bool| extended.as_ref().is_some_and(query);
        let long = id.get_extended_processor_and_feature_identifiers();
        Self {
            no_execute: long.as_ref().is_some_and(|l| l.has_execute_disable()),
            xsave: basic(|b| b.has_xsave()),
            avx: basic(|b| b.has_xsave() && b.has_avx()),
            gigabyte_pages: long.as_ref().is_some_and(|l| l.has_1gib_pages()),
            x2apic: basic(|b| b.has_x2apic()),
            tsc_deadline: basic(|b| b.has_tsc_deadline()),
            smep: extended(|e| e.has_smep()),
            smap: extended(|e| e.has_smap()),
            umip: extended(|e| e.has_umip()),
        }
    }

    /// Turns on every memory protection the processor has; write protection applies to kernel code too.
    pub(crate) fn protect(&self) {
        // SAFETY: each bit is set only if the processor has it, and none grants any access: there are no user pages,
        // and code never writes to read-only ones.
        unsafe {
            Cr0::update(|flags| flags.insert(Cr0Flags::WRITE_PROTECT));
            Cr4::update(|flags| {
                flags.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, self.smep);
                flags.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, self.smap);
                flags.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, self.umip);
            });
        }
    }
}
