//! `memcpy` and related functions in assembly.
//!
//! Written in Rust they might be compiled into calls to themselves.
//!
//! They move 16 octets at a time, with overlapping ends, and use no string instructions, which are slow to start on
//! processors and slow throughout in emulation. Up to 64 octets everything is loaded before anything is stored, so
//! overlap does not matter; beyond that, it determines the direction.

use core::arch::naked_asm;
use core::ffi::{c_char, c_int, c_void};

#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memcpy(to: *mut c_void, from: *const c_void, count: usize) -> *mut c_void {
    naked_asm!("jmp {}", sym memmove)
}

#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memmove(to: *mut c_void, from: *const c_void, count: usize) -> *mut c_void {
    naked_asm!(
        "mov rax, rdi", // the return value
        "cmp rdx, 16",
        "jb 6f",
        "cmp rdx, 32",
        "ja 2f",
        // 16 to 32: the first and the last 16
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + rdx - 16]",
        "movups [rdi], xmm0",
        "movups [rdi + rdx - 16], xmm1",
        "ret",
        "2: cmp rdx, 64",
        "ja 3f",
        // 33 to 64: the first and the last 32
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + rdx - 32]",
        "movups xmm3, [rsi + rdx - 16]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + rdx - 32], xmm2",
        "movups [rdi + rdx - 16], xmm3",
        "ret",
        // more: backwards if the target starts within the source
        "3: mov rcx, rdi",
        "sub rcx, rsi",
        "cmp rcx, rdx",
        "jb 5f",
        // forwards by 64; the last 64 are loaded first and stored last
        "movups xmm4, [rsi + rdx - 64]",
        "movups xmm5, [rsi + rdx - 48]",
        "movups xmm6, [rsi + rdx - 32]",
        "movups xmm7, [rsi + rdx - 16]",
        "lea r8, [rdi + rdx - 64]",
        ".balign 16",
        "4: movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups xmm2, [rsi + 32]",
        "movups xmm3, [rsi + 48]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "movups [rdi + 32], xmm2",
        "movups [rdi + 48], xmm3",
        "add rsi, 64",
        "add rdi, 64",
        "cmp rdi, r8",
        "jb 4b",
        "movups [r8], xmm4",
        "movups [r8 + 16], xmm5",
        "movups [r8 + 32], xmm6",
        "movups [r8 + 48], xmm7",
        "ret",
        // backwards by 64; the first 64 are loaded first and stored last
        "5: movups xmm4, [rsi]",
        "movups xmm5, [rsi + 16]",
        "movups xmm6, [rsi + 32]",
        "movups xmm7, [rsi + 48]",
        "lea r8, [rdi + 64]",
        "add rsi, rdx",
        "add rdi, rdx",
        ".balign 16",
        "9: movups xmm0, [rsi - 16]",
        "movups xmm1, [rsi - 32]",
        "movups xmm2, [rsi - 48]",
        "movups xmm3, [rsi - 64]",
        "movups [rdi - 16], xmm0",
        "movups [rdi - 32], xmm1",
        "movups [rdi - 48], xmm2",
        "movups [rdi - 64], xmm3",
        "sub rsi, 64",
        "sub rdi, 64",
        "cmp rdi, r8",
        "ja 9b",
        "movups [rax], xmm4",
        "movups [rax + 16], xmm5",
        "movups [rax + 32], xmm6",
        "movups [rax + 48], xmm7",
        "ret",
        "6: cmp edx, 8",
        "jb 7f",
        // 8 to 15: the first and the last 8
        "mov r8, [rsi]",
        "mov r9, [rsi + rdx - 8]",
        "mov [rdi], r8",
        "mov [rdi + rdx - 8], r9",
        "ret",
        "7: cmp edx, 4",
        "jb 8f",
        // 4 to 7: the first and the last 4
        "mov r8d, [rsi]",
        "mov r9d, [rsi + rdx - 4]",
        "mov [rdi], r8d",
        "mov [rdi + rdx - 4], r9d",
        "ret",
        "8: test edx, edx",
        "jz 20f",
        // 1 to 3: the first, the middle and the last
        "mov ecx, edx",
        "shr ecx, 1",
        "movzx r8d, byte ptr [rsi]",
        "movzx r9d, byte ptr [rsi + rcx]",
        "movzx r10d, byte ptr [rsi + rdx - 1]",
        "mov [rdi], r8b",
        "mov [rdi + rcx], r9b",
        "mov [rdi + rdx - 1], r10b",
        "20: ret",
    )
}

#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memset(to: *mut c_void, octet: c_int, count: usize) -> *mut c_void {
    naked_asm!(
        "mov rax, rdi", // the return value
        "movzx esi, sil",
        "mov rcx, 0x0101010101010101",
        "imul rsi, rcx", // the octet eight times
        "cmp rdx, 16",
        "jb 4f",
        "movq xmm0, rsi",
        "punpcklqdq xmm0, xmm0",
        "cmp rdx, 64",
        "ja 2f",
        // 16 to 64: the first and the last 16, and what is between
        "movups [rdi], xmm0",
        "movups [rdi + rdx - 16], xmm0",
        "cmp rdx, 32",
        "jbe 7f",
        "movups [rdi + 16], xmm0",
        "movups [rdi + rdx - 32], xmm0",
        "ret",
        // more: by 64, then the last 64
        "2: lea r8, [rdi + rdx - 64]",
        ".balign 16",
        "3: movups [rdi], xmm0",
        "movups [rdi + 16], xmm0",
        "movups [rdi + 32], xmm0",
        "movups [rdi + 48], xmm0",
        "add rdi, 64",
        "cmp rdi, r8",
        "jb 3b",
        "movups [r8], xmm0",
        "movups [r8 + 16], xmm0",
        "movups [r8 + 32], xmm0",
        "movups [r8 + 48], xmm0",
        "ret",
        "4: cmp edx, 8",
        "jb 5f",
        "mov [rdi], rsi",
        "mov [rdi + rdx - 8], rsi",
        "ret",
        "5: cmp edx, 4",
        "jb 6f",
        "mov [rdi], esi",
        "mov [rdi + rdx - 4], esi",
        "ret",
        "6: test edx, edx",
        "jz 7f",
        // 1 to 3: the first, the middle and the last
        "mov ecx, edx",
        "shr ecx, 1",
        "mov [rdi], sil",
        "mov [rdi + rcx], sil",
        "mov [rdi + rdx - 1], sil",
        "7: ret",
    )
}

#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn bcmp(one: *const c_void, other: *const c_void, count: usize) -> c_int {
    naked_asm!("jmp {}", sym memcmp)
}

#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memcmp(one: *const c_void, other: *const c_void, count: usize) -> c_int {
    naked_asm!(
        "xor eax, eax",
        "cmp rdx, 8",
        "jb 5f",
        // By 8, then the last 8; octets compared twice have already been found equal.
        "xor ecx, ecx",
        "lea r8, [rdx - 8]",
        ".balign 16",
        "2: mov r9, [rdi + rcx]",
        "mov r10, [rsi + rcx]",
        "cmp r9, r10",
        "jne 3f",
        "add rcx, 8",
        "cmp rcx, r8",
        "jb 2b",
        "mov r9, [rdi + r8]",
        "mov r10, [rsi + r8]",
        "cmp r9, r10",
        "jne 3f",
        "ret",
        // The first octet in memory is the most significant.
        "3: bswap r9",
        "bswap r10",
        "cmp r9, r10",
        "4: sbb eax, eax", // -1 if below, else 0
        "or eax, 1",
        "ret",
        "5: cmp edx, 4",
        "jb 7f",
        "mov r9d, [rdi]",
        "mov r10d, [rsi]",
        "cmp r9d, r10d",
        "jne 6f",
        "mov r9d, [rdi + rdx - 4]",
        "mov r10d, [rsi + rdx - 4]",
        "cmp r9d, r10d",
        "jne 6f",
        "ret",
        "6: bswap r9d",
        "bswap r10d",
        "cmp r9d, r10d",
        "jmp 4b",
        "7: test edx, edx",
        "jz 8f",
        "movzx eax, byte ptr [rdi]",
        "movzx ecx, byte ptr [rsi]",
        "sub eax, ecx",
        "jne 8f",
        "inc rdi",
        "inc rsi",
        "dec edx",
        "jmp 7b",
        "8: ret",
    )
}

#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn strlen(string: *const c_char) -> usize {
    naked_asm!("xor eax, eax", "2: cmp byte ptr [rdi + rax], 0", "je 3f", "inc rax", "jmp 2b", "3: ret",)
}

#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memchr(from: *const c_void, octet: c_int, count: usize) -> *mut c_void {
    naked_asm!(
        // The octet sixteen times.
        "movzx esi, sil",
        "mov rcx, 0x0101010101010101",
        "imul rcx, rsi",
        "movq xmm1, rcx",
        "punpcklqdq xmm1, xmm1",
        "2: cmp rdx, 16",
        "jb 3f",
        "movups xmm0, [rdi]",
        "pcmpeqb xmm0, xmm1",
        "pmovmskb eax, xmm0", // one bit for each octet that matches
        "test eax, eax",
        "jnz 5f",
        "add rdi, 16",
        "sub rdx, 16",
        "jmp 2b",
        // The rest, one by one.
        "3: test rdx, rdx",
        "jz 6f",
        "cmp [rdi], sil",
        "je 4f",
        "inc rdi",
        "dec rdx",
        "jmp 3b",
        "4: mov rax, rdi",
        "ret",
        "5: bsf eax, eax",
        "add rax, rdi",
        "ret",
        "6: xor eax, eax",
        "ret",
    )
}

#[unsafe(naked)]
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn memrchr(from: *const c_void, octet: c_int, count: usize) -> *mut c_void {
    naked_asm!(
        "2: sub rdx, 1",
        "jb 3f",
        "cmp [rdi + rdx], sil",
        "jne 2b",
        "lea rax, [rdi + rdx]",
        "ret",
        "3: xor eax, eax",
        "ret",
    )
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    /// Yields every length up to several iterations of the longest loop, and some long ones.
    fn lengths() -> impl Iterator<Item = usize> {
        (0..=300).chain([511, 512, 1000, 4095, 4096, 10_007])
    }

    fn noise(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 167 + i / 251) as u8).collect()
    }

    #[test]
    fn copies_whatever_the_overlap() {
        for length in lengths() {
            for (to, from) in
                [(0, length), (length, 0), (0, 1), (1, 0), (0, 17), (17, 0), (64, 0), (0, 64), (3, 3), (70, 5)]
            {
                let mut buffer = noise(length * 2 + 128);
                let mut expected = buffer.clone();
                expected.copy_within(from..from + length, to);
                // SAFETY: both ranges lie in the buffer.
                let returned = unsafe {
                    let start = buffer.as_mut_ptr();
                    memmove(start.add(to).cast(), start.add(from).cast(), length)
                };
                assert_eq!(returned, buffer[to..].as_mut_ptr().cast());
                assert!(buffer == expected, "{length} octets from {from} to {to}");
            }
        }
    }

    #[test]
    fn copies_apart() {
        for length in lengths() {
            let source = noise(length);
            let mut target = std::vec![0xee_u8; length + 2];
            // SAFETY: the target has room.
            unsafe { memcpy(target.as_mut_ptr().add(1).cast(), source.as_ptr().cast(), length) };
            assert!(target[1..=length] == source && target[0] == 0xee && target[length + 1] == 0xee, "{length}");
        }
    }

    #[test]
    fn fills() {
        for length in lengths() {
            let mut target = std::vec![0xee_u8; length + 2];
            // SAFETY: the target has room.
            unsafe { memset(target.as_mut_ptr().add(1).cast(), 0x1a5, length) };
            assert!(target[1..=length].iter().all(|&o| o == 0xa5), "{length}");
            assert_eq!((target[0], target[length + 1]), (0xee, 0xee), "{length}");
        }
    }

    #[test]
    fn compares() {
        for length in lengths() {
            let one = noise(length);
            for at in (0..length).step_by(if length > 64 { 13 } else { 1 }) {
                for change in [1, 0x80, 0xff] {
                    let mut other = one.clone();
                    other[at] ^= change;
                    if at + 1 < length {
                        other[length - 1] = !other[length - 1]; // what follows the difference does not count
                    }
                    // SAFETY: both have the length.
                    let (forth, back, same) = unsafe {
                        (
                            memcmp(one.as_ptr().cast(), other.as_ptr().cast(), length),
                            memcmp(other.as_ptr().cast(), one.as_ptr().cast(), length),
                            bcmp(one.as_ptr().cast(), one.as_ptr().cast(), length),
                        )
                    };
                    assert_eq!(forth.cmp(&0), one.cmp(&other), "{length} at {at}");
                    assert_eq!(back.cmp(&0), other.cmp(&one), "{length} at {at}");
                    assert_eq!(same, 0);
                }
            }
        }
    }

    #[test]
    fn finds_octets() {
        for length in lengths() {
            let mut text = std::vec![b'a'; length];
            let start = text.as_ptr() as usize;
            // SAFETY: the length is the text's.
            let find = |text: &[u8]| unsafe {
                let (first, last) = (
                    memchr(text.as_ptr().cast(), 0x100 + 98, text.len()),
                    memrchr(text.as_ptr().cast(), 98, text.len()),
                );
                [first, last].map(|p| (!p.is_null()).then(|| p as usize - start))
            };
            assert_eq!(find(&text), [None, None]);
            for at in (0..length).step_by(7) {
                text[at] = b'b';
                assert_eq!(find(&text), [Some(0), Some(at)], "{length}");
            }
        }
        // SAFETY: a terminated string.
        assert_eq!(unsafe { strlen(c"four".as_ptr()) }, 4);
    }
}
