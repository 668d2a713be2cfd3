//! What the page tables and the processor's switches must forbid.

use crate::{Check, Outcome, ensure};
use core::arch::asm;

pub(crate) const CHECKS: &[Check] = &[
    ("no page is both writable and executable", write_or_execute),
    ("the null page is not mapped", null_page),
    ("write protection and no-execute are on", switches),
    ("every address is mapped to itself", identity),
];

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Calls `each` with the address, the physical address and the rights of every page mapped.
fn pages(each: &mut impl FnMut(u64, u64, u64)) {
    let root: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr3", out(reg) root, options(nomem, nostack)) };
    walk(root & ADDRESS, 3, 0, WRITABLE, each);
}

fn walk(table: u64, level: u32, base: u64, above: u64, each: &mut impl FnMut(u64, u64, u64)) {
    for index in 0..512 {
        // SAFETY: the tables are mapped to themselves, as the tree under CR3 says.
        let entry = unsafe { (table as *const u64).add(index).read_volatile() };
        if entry & PRESENT == 0 {
            continue;
        }
        let address = base + ((index as u64) << (12 + 9 * level));
        // A page may be written if every level says so, and is not executed if one says so.
        let rights = entry & above & WRITABLE | (entry | above) & NO_EXECUTE | entry & USER;
        if level == 0 || entry & LARGE != 0 {
            each(address, entry & ADDRESS & !if level > 0 { 0x1000 } else { 0 }, rights);
        } else {
            walk(entry & ADDRESS, level - 1, address, rights, each);
        }
    }
}

fn write_or_execute() -> Outcome {
    let (mut bad, mut count, mut executable) = (None, 0, 0);
    pages(&mut |address, _, rights| {
        count += 1;
        executable += u32::from(rights & NO_EXECUTE == 0);
        if rights & WRITABLE != 0 && rights & NO_EXECUTE == 0 || rights & USER != 0 {
            bad = bad.or(Some(address));
        }
    });
    ensure!(count > 0 && executable > 0, "{count} pages, {executable} executable: the walk is wrong");
    bad.map_or(Ok(()), |address| Err(format!("the page at {address:#x} is")))
}

fn null_page() -> Outcome {
    let mut mapped = false;
    pages(&mut |address, _, _| mapped |= address == 0);
    ensure!(!mapped, "it is");
    Ok(())
}

fn identity() -> Outcome {
    let mut other = None;
    pages(&mut |address, physical, _| {
        if address != physical {
            other = Some((address, physical));
        }
    });
    other.map_or(Ok(()), |(address, physical)| Err(format!("{address:#x} is mapped to {physical:#x}")))
}

fn switches() -> Outcome {
    let (cr0, efer): (u64, u32);
    // SAFETY: reads registers.
    unsafe {
        asm!("mov {}, cr0", out(reg) cr0, options(nomem, nostack));
        asm!("rdmsr", in("ecx") 0xc000_0080_u32, out("eax") efer, out("edx") _, options(nomem, nostack));
    }
    ensure!(cr0 & 1 << 16 != 0, "CR0 {cr0:#x} lacks write protection");
    ensure!(efer & 1 << 11 != 0, "EFER {efer:#x} lacks no-execute");
    Ok(())
}
