//! Memory: it holds what was written, comes back, and runs out in order.

use crate::{Check, Outcome, ensure};
use std::alloc::{Layout, alloc, dealloc};
use std::collections::{BTreeMap, HashMap};
use std::thread;
use zonule_platform::memory;

pub(crate) const CHECKS: &[Check] = &[
    ("HashMap and its random keys", hash_map),
    ("allocations from four threads keep their contents", stress),
    ("large alignments are kept", alignment),
    ("zeroed memory is zero", zeroed),
    ("reallocation keeps the contents", reallocation),
    ("what cannot be had is an error", failure),
    ("freed memory comes back", comes_back),
    ("memory in total and free", totals),
];

fn hash_map() -> Outcome {
    let map: HashMap<String, usize> = (0..5000).map(|i| (format!("key {i}"), i)).collect();
    ensure!((0..5000).all(|i| map[&format!("key {i}")] == i), "an entry is lost");
    let orders: Vec<Vec<u32>> =
        (0..4).map(|_| (0..64).map(|i| (i, ())).collect::<HashMap<_, _>>().into_keys().collect()).collect();
    ensure!(orders.iter().any(|order| order != &orders[0]), "four maps have the same order");
    Ok(())
}

/// A generator of numbers that only need to be various.
struct Various(u64);

impl Various {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn stress() -> Outcome {
    let threads: Vec<_> = (1..=4_u64).map(|seed| thread::spawn(move || stress_one(seed))).collect();
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")??;
    }
    Ok(())
}

fn stress_one(seed: u64) -> Outcome {
    let mut various = Various(seed * 0x9e37_79b9_7f4a_7c15);
    let mut held: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for round in 0..4000 {
        let octet = (round as u64 ^ seed) as u8;
        let length = (various.next() % if round % 50 == 0 { 100_000 } else { 1000 }) as usize + 1;
        let mut piece = vec![octet; length];
        if round % 3 == 0 {
            piece.extend_from_slice(&vec![octet; length / 2]);
            piece.shrink_to_fit();
        }
        held.insert(various.next() % 64, piece);
        if round % 7 == 0
            && let Some(piece) = held.remove(&(various.next() % 64))
        {
            let first = piece[0];
            ensure!(piece.iter().all(|&o| o == first), "a piece of {} octets was overwritten", piece.len());
        }
    }
    ensure!(held.values().all(|piece| piece.iter().all(|&o| o == piece[0])), "a piece was overwritten");
    Ok(())
}

fn alignment() -> Outcome {
    for align in (0..=21).map(|shift| 1_usize << shift) {
        for size in [1, 100, 4096, 10_000] {
            let layout = Layout::from_size_align(size, align).map_err(|e| e.to_string())?;
            // SAFETY: not of size zero; freed with the same layout.
            unsafe {
                let start = alloc(layout);
                ensure!(!start.is_null(), "no {size} octets aligned to {align}");
                let address = start as usize;
                start.write_bytes(0xa5, size);
                dealloc(start, layout);
                ensure!(address.is_multiple_of(align), "{address:#x} is not aligned to {align}");
            }
        }
    }
    Ok(())
}

fn zeroed() -> Outcome {
    for size in [100, 5000, 1 << 20] {
        drop(vec![0xff_u8; size]);
        ensure!(vec![0_u8; size].iter().all(|&octet| octet == 0), "{size} octets are not");
    }
    Ok(())
}

fn reallocation() -> Outcome {
    let mut numbers = Vec::new();
    for number in 0..500_000_u32 {
        numbers.push(number);
    }
    ensure!(numbers.iter().enumerate().all(|(at, &number)| at as u32 == number), "they do not count up");
    Ok(())
}

fn failure() -> Outcome {
    let mut vector: Vec<u8> = Vec::new();
    for size in [memory::total(), 1 << 40, isize::MAX as usize] {
        ensure!(vector.try_reserve_exact(size).is_err(), "{size} octets were had");
    }
    ensure!(vector.try_reserve(1000).is_ok(), "1000 octets were not had");
    let huge = thread::Builder::new().stack_size(memory::total()).spawn(|| ());
    ensure!(huge.is_err(), "a thread with a stack as large as the machine was had");
    Ok(())
}

fn comes_back() -> Outcome {
    let round = || {
        let pieces: Vec<Vec<u8>> = (1..200).map(|i| vec![1; i * 37]).collect();
        pieces.iter().map(Vec::len).sum::<usize>()
    };
    round();
    let before = memory::free();
    (0..20).for_each(|_| _ = round());
    let after = memory::free();
    ensure!(before == after, "{before} octets were free before, {after} after");
    Ok(())
}

fn totals() -> Outcome {
    let (total, free) = (memory::total(), memory::free());
    println!("        {} KiB in total, {} KiB free", total >> 10, free >> 10);
    ensure!(free < total && free > total / 2, "{free} of {total} octets are free");
    Ok(())
}
