//! Bounds on the resources that a remote can consume.

/// Bounds on what a fetch may transfer and what a [`Repository`](super::Repository) may hold.
///
/// Whatever exceeds a bound is refused with an error that names the bound; the state held before stays. The worst case
/// in memory is about `2 * store_bytes + 4 * object_bytes + cache_bytes + 200 * objects` bytes while a fetch runs,
/// because the old commit is kept until the new one is complete. A [`Draft`](super::Draft) takes at most `store_bytes +
/// 4 * object_bytes + cache_bytes` bytes more while a commit is added to it, and its push over HTTP as much again as
/// its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a pack as transferred. Reading stops at the bound.
    pub pack_bytes: u64,
    /// Bytes of one object (a file, a directory listing, a commit) when inflated. At most 4 GiB.
    pub object_bytes: u64,
    /// Bytes of compressed objects held for one commit, and transferred by one fetch.
    pub store_bytes: u64,
    /// Objects in a pack, and objects held for one commit.
    pub objects: u32,
    /// Entries (files, directories, symbolic links) of a commit, counted with repetition.
    pub files: usize,
    /// Bytes of all file paths of a commit together.
    pub path_bytes: usize,
    /// Depth of nested directories; 1 allows files in the root directory only.
    pub tree_depth: usize,
    /// Bytes of inflated objects cached while deltas are resolved. A smaller cache is slower, but does not make a fetch
    /// fail.
    pub cache_bytes: usize,
}

impl Limits {
    /// Returns bounds for a machine with `total` bytes of memory, which zones and the network share.
    ///
    /// With 64 MiB: packs of 16 MiB, files of 4 MiB, 8 MiB held, 32,768 objects.
    pub fn for_memory(total: u64) -> Self {
        const MIB: u64 = 1 << 20;
        let share = |divisor: u64, least: u64| (total / divisor).max(least);
        let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Limits {
            pack_bytes: share(4, MIB),
            object_bytes: share(16, MIB / 4).min(u64::from(u32::MAX)),
            store_bytes: share(8, MIB),
            objects: count(share(2048, 2048)),
            files: size(share(2048, 2048)),
            path_bytes: size(share(64, MIB / 16)),
            tree_depth: 64,
            cache_bytes: size(share(32, MIB / 4)),
        }
    }
}

impl Default for Limits {
    /// Returns the bounds for 4 GiB of memory.
    fn default() -> Self {
        Limits::for_memory(4 << 30)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_follow_memory() {
        const MIB: u64 = 1 << 20;
        let small = Limits::for_memory(64 * MIB);
        assert_eq!((small.pack_bytes, small.object_bytes, small.store_bytes), (16 * MIB, 4 * MIB, 8 * MIB));
        assert_eq!((small.objects, small.files), (32_768, 32_768));
        // The documented worst case leaves a third of the memory for other uses.
        let worst =
            2 * small.store_bytes + 4 * small.object_bytes + small.cache_bytes as u64 + 200 * u64::from(small.objects);
        assert!(worst < 43 * MIB, "{worst}");
        let least = Limits::for_memory(0);
        assert!(least.pack_bytes >= MIB && least.objects > 0 && least.files > 0 && least.tree_depth > 0);
        assert_eq!(Limits::for_memory(u64::MAX).object_bytes, u64::from(u32::MAX));
    }
}
