//! Thread-local storage in ELF's variant II, as the x86-64 ABI specifies.
//!
//! The thread pointer is FS. It points to a control block; the thread-local variables lie below it.

use core::cell::UnsafeCell;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::FsBase;

/// The block the thread pointer points to: its own address first (x86-64 ABI), then space where compilers expect the C
/// library's own fields, such as a stack protector's canary.
#[repr(C, align(64))]
struct ThreadControlBlock {
    this: usize,
    reserved: [usize; 7],
}

unsafe extern "C" {
    /// The initial values of the thread-local variables that have any; the others are zero.
    static __tdata_start: u8;
    static __tdata_end: u8;
    /// An absolute symbol: its address is the size of all thread-local variables.
    static __tls_size: u8;
}

/// Alignment of the thread-local block; the linker script refuses an image that needs more.
const ALIGN: usize = 64;

/// The location of a thread's thread-local storage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Its lowest address.
    pub(crate) start: usize,
    /// The thread pointer.
    pub(crate) pointer: usize,
}

/// Returns the most octets that thread-local storage takes at the end of a stack, including alignment.
pub(crate) fn octets() -> usize {
    below() + size_of::<ThreadControlBlock>() + ALIGN
}

/// Returns the location of thread-local storage that ends at or below `end`.
pub(crate) fn place(end: usize) -> Place {
    let pointer = (end - size_of::<ThreadControlBlock>()) & !(ALIGN - 1);
    Place { start: pointer - below(), pointer }
}

/// Writes a thread's initial thread-local variables and its control block.
///
/// # Safety
///
/// The place is memory owned by the caller, laid out by [`place`].
pub(crate) unsafe fn write(place: Place) {
    let start = place.start as *mut u8;
    let initial = &raw const __tdata_start;
    let initialised = &raw const __tdata_end as usize - initial as usize;
    // SAFETY: the caller's guarantee; the initial values are part of the image.
    unsafe {
        start.copy_from_nonoverlapping(initial, initialised);
        start.add(initialised).write_bytes(0, below() - initialised);
        let block = ThreadControlBlock { this: place.pointer, reserved: [0; 7] };
        (place.pointer as *mut ThreadControlBlock).write(block);
    }
}

/// Returns the thread pointer of the idle thread, which has no thread-local variables because it runs no std code.
/// Called once.
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
/// It is the pointer of the thread that runs from now on.
#[inline]
pub(crate) unsafe fn set_pointer(pointer: usize) {
    FsBase::write(VirtAddr::new(pointer as u64));
}

/// Returns how far below the thread pointer the thread-local variables start.
fn below() -> usize {
    (&raw const __tls_size as usize).next_multiple_of(ALIGN)
}
