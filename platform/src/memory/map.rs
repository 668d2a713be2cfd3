//! The physical memory map: which ranges are RAM, less what is reserved.

use heapless::Vec;

/// The size of a page.
pub(super) const PAGE: u64 = crate::arch::PAGE as u64;

/// The most ranges kept; loaders give a dozen.
const MOST: usize = 64;

/// What a range of the loader's map holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours to use.
    Ram,
    /// Firmware's or a device's.
    Reserved,
}

/// A range of physical addresses, `start` included, `end` not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// The first address.
    pub(crate) start: u64,
    /// The address after the last.
    pub(crate) end: u64,
}

impl Range {
    /// Returns the number of octets in the range.
    pub(crate) fn len(&self) -> u64 {
        self.end - self.start
    }
}

/// The loader's memory map, copied out of the loader's memory.
pub(crate) struct MemoryMap {
    entries: Vec<(Range, Kind), MOST>,
    /// Entries there was no room for.
    dropped: usize,
}

impl MemoryMap {
    /// Returns an empty map.
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), dropped: 0 }
    }

    /// Adds an entry as the loader gives it: empty ones are skipped, ends past 2^64 are cut.
    pub(crate) fn insert(&mut self, address: u64, size: u64, kind: Kind) {
        if size == 0 {
            return;
        }
        let range = Range { start: address, end: address.saturating_add(size) };
        if self.entries.push((range, kind)).is_err() {
            self.dropped += 1;
        }
    }

    /// Returns how many entries found no room.
    pub(crate) fn dropped(&self) -> usize {
        self.dropped
    }

    /// Calls `each` with every whole-page range of RAM at or above `floor` outside of `hole` and of whatever is
    /// reserved, in ascending order, none overlapping another.
    pub(crate) fn usable(&self, floor: u64, hole: Range, mut each: impl FnMut(Range)) {
        let mut from = floor;
        while let Some(range) = self.next_usable(from, hole) {
            from = range.end;
            each(range);
        }
    }

    /// Returns the first usable range that ends above `from`, cut to start there.
    fn next_usable(&self, mut from: u64, hole: Range) -> Option<Range> {
        loop {
            // The RAM entry that holds `from`, or the nearest one above.
            let ram = self.of(Kind::Ram).filter(|r| r.end > from).min_by_key(|r| r.start.max(from))?;
            let start = up(ram.start.max(from));
            // What is reserved over the start pushes it up; what is reserved above it cuts the end.
            let blockers = || self.of(Kind::Reserved).chain([hole]).filter(|b| b.len() > 0);
            if let Some(over) = blockers().find(|b| b.start <= start && start < b.end) {
                from = over.end;
                continue;
            }
            let limit = blockers().filter(|b| b.start > start).map(|b| b.start).fold(ram.end, u64::min);
            let end = limit & !(PAGE - 1);
            if end > start {
                return Some(Range { start, end });
            }
            from = limit; // less than a page is left before it
        }
    }

    /// Returns whether the map has an entry, of whatever kind, for every address of `range`.
    pub(crate) fn covers(&self, range: Range) -> bool {
        let mut at = range.start;
        while at < range.end {
            let entries = self.entries.iter().map(|entry| entry.0);
            match entries.filter(|entry| entry.start <= at && at < entry.end).map(|entry| entry.end).max() {
                Some(end) => at = end,
                None => return false,
            }
        }
        range.start < range.end
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = Range> {
        self.entries.iter().filter(move |e| e.1 == kind).map(|e| e.0)
    }
}

/// Rounds `address` up to a page.
fn up(address: u64) -> u64 {
    address.saturating_add(PAGE - 1) & !(PAGE - 1)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn usable(entries: &[(u64, u64, Kind)], floor: u64, hole: (u64, u64)) -> Vec<(u64, u64)> {
        let mut map = MemoryMap::new();
        for &(address, size, kind) in entries {
            map.insert(address, size, kind);
        }
        let mut out = Vec::new();
        map.usable(floor, Range { start: hole.0, end: hole.1 }, |r| out.push((r.start, r.end)));
        out
    }

    #[test]
    fn cuts_the_image_out_and_rounds_to_pages() {
        let map = [(0, 0x9fc00, Kind::Ram), (0x10_0000, 0x3f0_0000, Kind::Ram)];
        assert_eq!(usable(&map, 0x10_0000, (0x10_0000, 0x18_0123)), [(0x18_1000, 0x400_0000)]);
    }

    #[test]
    fn tolerates_empty_unsorted_and_overlapping_entries() {
        let map = [
            (0x1_0000_0000, 0x1000_0000, Kind::Ram),
            (0, 0, Kind::Ram),
            (0x20_0000, 0x3000, Kind::Reserved),
            (0x10_0000, 0x20_0000, Kind::Ram),
            (0x18_0000, 0x20_0000, Kind::Ram),
        ];
        assert_eq!(
            usable(&map, 0x10_0000, (0, 0)),
            [(0x10_0000, 0x20_0000), (0x20_3000, 0x30_0000), (0x30_0000, 0x38_0000), (0x1_0000_0000, 0x1_1000_0000)]
        );
    }

    #[test]
    fn skips_what_is_smaller_than_a_page() {
        let map = [(0x10_0100, 0x800, Kind::Ram), (0x10_0f00, 0x200, Kind::Ram), (0x20_0000, 0x1000, Kind::Ram)];
        assert_eq!(usable(&map, 0, (0, 0)), [(0x20_0000, 0x20_1000)]);
    }

    #[test]
    fn survives_the_top_of_the_address_space() {
        let map = [(u64::MAX - 0x1fff, u64::MAX, Kind::Ram)];
        assert_eq!(usable(&map, 0, (0, 0)), [(u64::MAX - 0x1fff, u64::MAX - 0xfff)]);
    }

    #[test]
    fn knows_where_there_is_memory() {
        let mut map = MemoryMap::new();
        map.insert(0x10_0000, 0x3ef_0000, Kind::Ram);
        map.insert(0x3ff_0000, 0x1_0000, Kind::Reserved);
        map.insert(0xfffc_0000, 0x4_0000, Kind::Reserved);
        let covers = |start, end| map.covers(Range { start, end });
        assert!(covers(0x3ff_ffcb, 0x400_0000) && covers(0x3fe_fff0, 0x3ff_0010), "entries that touch");
        assert!(!covers(0x3ff_ffcb, 0x400_0001), "beyond the end of memory");
        assert!(!covers(0xf_ffff, 0x10_0001) && !covers(0x8000_0000, 0x8000_0004) && !covers(0x20_0000, 0x20_0000));
        assert!(!covers(u64::MAX - 4, u64::MAX));
    }

    #[test]
    fn counts_what_finds_no_room() {
        let mut map = MemoryMap::new();
        (0..70).for_each(|i| map.insert(i * PAGE, PAGE, Kind::Ram));
        assert_eq!(map.dropped(), 70 - MOST);
    }
}
