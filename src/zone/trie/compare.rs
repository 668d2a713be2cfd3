//! What differs between two versions of a trie.
//!
//! Both are walked at once, branch beside branch. Twigs that are one array in both are passed over, so what a change did
//! not copy is not looked at. Versions that share nothing are compared name by name all the same.

use std::sync::Arc;

use super::{Branch, Link};
use crate::dns::name;
use crate::zone::key::Key;
use crate::zone::{Named, Trie};

impl<V: Named + Clone> Trie<V> {
    /// Visits, in canonical order, the names that differ between this trie and a newer one: their value here, and there.
    ///
    /// What both share is passed over without being looked at, so the visit costs what differs, not what there is.
    /// Values of one name that are stored in two places are shown though they may be equal.
    pub(crate) fn compare<'t>(&'t self, newer: &'t Self, visit: &mut impl FnMut(Option<&'t V>, Option<&'t V>)) {
        match (&self.root, &newer.root) {
            (Some(old), Some(new)) => old.compare(new, visit),
            (Some(old), None) => old.each(&mut |leaf| visit(Some(leaf), None)),
            (None, Some(new)) => new.each(&mut |leaf| visit(None, Some(leaf))),
            (None, None) => {}
        }
    }
}

impl<V: Named + Clone> Link<V> {
    /// Visits all values in canonical order.
    fn each<'t>(&'t self, visit: &mut impl FnMut(&'t V)) {
        match self {
            Link::Leaf(leaf) => visit(leaf),
            Link::Branch(branch) => branch.twigs.iter().for_each(|twig| twig.each(visit)),
        }
    }

    /// Compares two subtrees whose names share all that leads here, as [`Trie::compare`].
    fn compare<'t>(&'t self, newer: &'t Self, visit: &mut impl FnMut(Option<&'t V>, Option<&'t V>)) {
        if let (Link::Branch(old), Link::Branch(new)) = (self, newer)
            && Arc::ptr_eq(&old.twigs, &new.twigs)
        {
            return;
        }
        match self.relation(newer) {
            Relation::SameName => visit(Some(self.first()), Some(newer.first())),
            Relation::Before => {
                self.each(&mut |leaf| visit(Some(leaf), None));
                newer.each(&mut |leaf| visit(None, Some(leaf)));
            }
            Relation::After => {
                newer.each(&mut |leaf| visit(None, Some(leaf)));
                self.each(&mut |leaf| visit(Some(leaf), None));
            }
            Relation::Branches(old, new) => {
                for symbol in symbols(old.map | new.map) {
                    match (old.twig(symbol), new.twig(symbol)) {
                        (Some(old), Some(new)) => old.compare(new, visit),
                        (old, new) => {
                            old.into_iter().for_each(|old| old.each(&mut |leaf| visit(Some(leaf), None)));
                            new.into_iter().for_each(|new| new.each(&mut |leaf| visit(None, Some(leaf))));
                        }
                    }
                }
            }
            Relation::NewerWithin(old, place) => {
                for symbol in symbols(old.map | 1 << place) {
                    match old.twig(symbol) {
                        Some(twig) if symbol == place => twig.compare(newer, visit),
                        Some(twig) => twig.each(&mut |leaf| visit(Some(leaf), None)),
                        None => newer.each(&mut |leaf| visit(None, Some(leaf))),
                    }
                }
            }
            Relation::Within(new, place) => {
                for symbol in symbols(new.map | 1 << place) {
                    match new.twig(symbol) {
                        Some(twig) if symbol == place => self.compare(twig, visit),
                        Some(twig) => twig.each(&mut |leaf| visit(None, Some(leaf))),
                        None => self.each(&mut |leaf| visit(Some(leaf), None)),
                    }
                }
            }
        }
    }

    /// Returns how the names below two links lie to each other.
    ///
    /// Not inlined, so that its large keys are not on the stack at each level of the walk.
    #[inline(never)]
    fn relation<'t>(&'t self, other: &'t Self) -> Relation<'t, V> {
        let (ours, theirs) = (self.first().name(), other.first().name());
        if let (Link::Leaf(_), Link::Leaf(_)) = (self, other)
            && name::eq(ours, theirs)
        {
            return Relation::SameName;
        }
        let (ours, theirs) = (Key::new(ours), Key::new(theirs));
        let at = |link: &Self| if let Link::Branch(branch) = link { branch.at } else { u16::MAX };
        match ours.difference(&theirs) {
            Some(differs) if differs < at(self).min(at(other)) => {
                if ours.symbol(differs) < theirs.symbol(differs) {
                    Relation::Before
                } else {
                    Relation::After
                }
            }
            _ => match (self, other) {
                (Link::Branch(old), Link::Branch(new)) if old.at == new.at => Relation::Branches(old, new),
                (Link::Branch(old), _) if old.at < at(other) => Relation::NewerWithin(old, theirs.symbol(old.at)),
                (_, Link::Branch(new)) => Relation::Within(new, ours.symbol(new.at)),
                _ => Relation::SameName,
            },
        }
    }
}

/// How the names below two links lie to each other, the older one's told first.
enum Relation<'t, V> {
    /// Both are leaves and bear the same name.
    SameName,
    /// All names of the first come before all of the second.
    Before,
    /// All names of the first come after all of the second.
    After,
    /// Both branch at the same place.
    Branches(&'t Branch<V>, &'t Branch<V>),
    /// All names of the second belong where the first, a branch, has this symbol.
    NewerWithin(&'t Branch<V>, u8),
    /// All names of the first belong where the second, a branch, has this symbol.
    Within(&'t Branch<V>, u8),
}

/// Iterates over the symbols of a branch's map in order.
fn symbols(map: u64) -> impl Iterator<Item = u8> {
    let mut rest = map;
    std::iter::from_fn(move || {
        let symbol = rest.trailing_zeros();
        rest &= rest.checked_sub(1)?;
        u8::try_from(symbol).ok()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::Builder;
    use super::super::tests::{Item, any_name};
    use crate::dns::Name;
    use crate::zone::Trie;

    proptest! {
        /// Any two versions differ as the sorted maps do that they stand for, shared or not.
        #[test]
        fn as_sorted_maps(
            steps in proptest::collection::vec((any_name(), 0..3_u32, 0..3_u8), 0..40),
            apart in proptest::collection::vec((any_name(), 0..3_u32), 0..20),
        ) {
            let (mut trie, mut map) = (Trie::default(), BTreeMap::new());
            let mut versions = vec![(trie.clone(), map.clone())];
            for (at, (name, value, action)) in steps.into_iter().enumerate() {
                if action == 0 {
                    trie.remove(name.as_wire());
                    map.remove(&name);
                } else {
                    trie.insert(Item(name.clone(), value));
                    map.insert(name, value);
                }
                if at % 5 == 0 {
                    versions.push((trie.clone(), map.clone()));
                }
            }
            let mut other = Trie::default();
            apart.iter().for_each(|(name, value)| drop(other.insert(Item(name.clone(), *value))));
            versions.push((other, apart.into_iter().collect()));
            for (old, old_map) in &versions {
                for (new, new_map) in &versions {
                    let mut seen = Vec::new();
                    old.compare(new, &mut |a: Option<&Item>, b: Option<&Item>| {
                        let name = a.or(b).map(|item| item.0.clone()).unwrap();
                        seen.push((name, a.map(|item| item.1), b.map(|item| item.1)));
                    });
                    seen.retain(|(_, a, b)| a != b);
                    let mut expected: BTreeMap<&Name, _> = old_map.iter().map(|(name, a)| (name, (Some(*a), None))).collect();
                    new_map.iter().for_each(|(name, b)| expected.entry(name).or_insert((None, None)).1 = Some(*b));
                    let expected = expected.into_iter().map(|(name, (a, b))| (name.clone(), a, b));
                    prop_assert_eq!(seen, expected.filter(|(_, a, b)| a != b).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn comparing_looks_only_at_what_differs() {
        let name = |text: &str| Name::from_text(text).unwrap();
        let mut builder = Builder::new();
        for number in 10_000..60_000 {
            builder.push(Item(name(&format!("h{number}.test")), 0));
        }
        let old = builder.finish();
        let mut new = old.clone();
        new.insert(Item(name("h12345.test"), 1));
        new.remove(name("h23456.test").as_wire());
        new.insert(Item(name("h34567x.test"), 1));
        let (mut looks, mut seen) = (0, Vec::new());
        old.compare(&new, &mut |a: Option<&Item>, b: Option<&Item>| {
            looks += 1;
            if a != b {
                seen.push(a.or(b).unwrap().0.to_string());
            }
        });
        assert_eq!(seen, ["h12345.test.", "h23456.test.", "h34567x.test."]);
        // Beside each of them the up to nine leaves of its branch, which are no allocations to be told apart.
        assert!(looks < 50, "{looks}");
    }
}
