//! Thread-local storage: ELF's variant II, as the x86-64 ABI has it.
//!
//! The thread pointer is FS. It points to a control block; the thread-local variables lie below it.

use core::cell::UnsafeCell;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::FsBase;

/// What the thread pointer points to: itself first (x86-64 ABI), then room where compilers expect the C
/// library's own fields, such as a stack protector's canary.
#[repr(C, align(64))]
struct ThreadControlBlock {
    this: usize,
    reserved: [usize; 7],
}

unsafe extern "C" {
    /// What thread-local variables start from: the initialised ones, the others are zero.
    static __tdata_start: u8;
    static __tdata_end: u8;
    /// An absolute symbol: its address is the size of all thread-local variables.
    static __tls_size: u8;
}

/// Alignment of the thread-local block; the linker script refuses an image that needs more.
const ALIGN: usize = 64;

/// Where a thread's thread-local storage is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The first address it takes.
    pub(crate) start: usize,
    /// The thread pointer.
    pub(crate) pointer: usize,
}

/// Returns the most octets that thread-local storage takes at the end of a stack, alignment included.
pub(crate) fn octets() -> usize {
    below() + size_of::<ThreadControlBlock>() + ALIGN
}

/// Returns where thread-local storage lies that ends by `end`.
pub(crate) fn place(end: usize) -> Place {
    let pointer = (end - size_of::<ThreadControlBlock>()) & !(ALIGN - 1);
    Place { start: pointer - below(), pointer }
}

/// Writes a thread's initial thread-local variables and what the thread pointer points to.
///
/// # Safety
///
/// The place is memory of the caller's, as [`place`] has laid it out.
pub(crate) unsafe fn write(place: Place) {
    let start = place.start as *mut u8;
    let initial = &raw const __tdata_start;
    let initialised = &raw const __tdata_end as usize - initial as usize;
    // SAFETY: the caller's promise; the initial values lie in the image.
    unsafe {
        start.copy_from_nonoverlapping(initial, initialised);
        start.add(initialised).write_bytes(0, below() - initialised);
        let block = ThreadControlBlock { this: place.pointer, reserved: [0; 7] };
        (place.pointer as *mut ThreadControlBlock).write(block);
    }
}

/// Returns the thread pointer of the idle thread, which has no thread-local variables: it runs nothing of std's. Called
/// once.
pub(crate) fn idle() -> usize {
    struct Block(UnsafeCell<ThreadControlBlock>);
    // SAFETY: only the boot context uses it.
    unsafe impl Sync for Block {}
    static BLOCK: Block = Block(UnsafeCell::new(ThreadControlBlock { this: 0, reserved: [0; 7] }));
    let pointer = BLOCK.0.get();
    // SAFETY: called once, at boot.
    unsafe { (*pointer).this = pointer as usize };
    pointer as usize
}

/// Sets this processor's thread pointer.
///
/// # Safety
///
/// It is that of the thread that runs from now on.
#[inline]
pub(crate) unsafe fn set_pointer(pointer: usize) {
    FsBase::write(VirtAddr::new(pointer as u64));
}

/// Returns how far below the thread pointer the thread-local variables reach.
fn below() -> usize {
    (&raw const __tls_size as usize).next_multiple_of(ALIGN)
}
