//! A persistent trie of names in canonical order.
//!
//! The tree is a qp-trie (a radix tree that skips what does not branch) over the symbols of [`Key`]: a
//! branch holds the position it looks at, a map of the symbols that occur there, and a packed array of
//! twigs, one for each. Copying a trie copies one pointer; a change copies the arrays between the root
//! and the changed leaf unless nobody else holds them, so old versions stay whole and cost only what
//! differs. Leaves know their own name; the trie stores no key.
//!
//! All names that share the labels of some name lie in one subtree, and a leaf reached by following a
//! key as far as it goes shares with it as many symbols as any leaf does. So one descent finds a name, its
//! ancestors (the `END` twigs passed on the way) and its closest encloser (the labels shared with the
//! leaf reached), with names that exist only through names below them (empty non-terminals,
//! RFC 4592 §2.2.2) counted in, though no leaf stands for them.

mod compare;

use std::sync::Arc;

use super::key::{END, Key};
use crate::dns::name;

/// A value of a trie, which contains its own name.
pub(crate) trait Named {
    /// Returns the name in wire form.
    fn name(&self) -> &[u8];
}

/// A sorted map of names, cheap to copy.
#[derive(Clone)]
pub(crate) struct Trie<V> {
    root: Option<Link<V>>,
    len: usize,
}

#[derive(Clone)]
enum Link<V> {
    Leaf(V),
    Branch(Branch<V>),
}

#[derive(Clone)]
struct Branch<V> {
    /// Bit `s` is set when a twig for symbol `s` exists.
    map: u64,
    /// The twigs in the order of their symbols.
    twigs: Arc<[Link<V>]>,
    /// The position of the symbol that tells the twigs apart.
    at: u16,
}

impl<V> Branch<V> {
    #[inline]
    fn has(&self, symbol: u8) -> bool {
        self.map >> symbol & 1 == 1
    }

    /// Returns how many twigs have a smaller symbol.
    #[inline]
    fn rank(&self, symbol: u8) -> usize {
        (self.map & ((1 << symbol) - 1)).count_ones() as usize
    }

    #[inline]
    fn twig(&self, symbol: u8) -> Option<&Link<V>> {
        if self.has(symbol) { self.twigs.get(self.rank(symbol)) } else { None }
    }
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self { root: None, len: 0 }
    }
}

impl<V: Named + Clone> Trie<V> {
    /// Returns how many names there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Follows `key` as far as it goes and returns the leaf reached: the name itself if it is there, else one
    /// that shares as much of it, counted from the root, as any.
    ///
    /// `ancestor` is called, from the root down, for each leaf passed that is an ancestor of the key's name,
    /// provided the leaf reached shares that much: what lies between the branches is not looked at on
    /// the way. The leaf reached may itself be an ancestor, reported or not.
    #[inline]
    pub(crate) fn descend<'t>(&'t self, key: &Key, mut ancestor: impl FnMut(&'t V)) -> Option<&'t V> {
        let mut link = self.root.as_ref()?;
        loop {
            match link {
                Link::Leaf(leaf) => return Some(leaf),
                Link::Branch(branch) => {
                    let symbol = key.symbol(branch.at);
                    if symbol != END
                        && branch.has(END)
                        && key.at_label(branch.at)
                        && let Some(Link::Leaf(leaf)) = branch.twigs.first()
                    {
                        ancestor(leaf);
                    }
                    match branch.twig(symbol) {
                        Some(twig) => link = twig,
                        None => return branch.twigs.first().map(Link::first),
                    }
                }
            }
        }
    }

    /// Returns the value of a name in wire form.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&V> {
        self.descend(&Key::new(name), |_| ()).filter(|leaf| name::eq(leaf.name(), name))
    }

    /// Returns the value of the longest name that is `name` or an ancestor of it.
    #[inline]
    pub(crate) fn longest_match(&self, name: &[u8], key: &Key) -> Option<&V> {
        let mut found = None;
        let mut consider = |leaf| {
            if name::is_at_or_below(name, V::name(leaf)) {
                found = Some(leaf);
            }
        };
        let reached = self.descend(key, &mut consider)?;
        consider(reached);
        found
    }

    /// Returns the value of the last name in canonical order that is not after the key's: itself or its predecessor.
    pub(crate) fn floor(&self, key: &Key) -> Option<&V> {
        let reached = self.descend(key, |_| ())?;
        let mut theirs = Key::empty();
        theirs.set(reached.name());
        let Some(differs) = theirs.difference(key) else { return Some(reached) };
        // All names with these first symbols come before the key's, or all after.
        let is_before = theirs.symbol(differs) < key.symbol(differs);
        // Descend again to where the name would be inserted, noting the last twig to the left of the path.
        let mut link = self.root.as_ref()?;
        let mut left = None;
        loop {
            match link {
                Link::Branch(branch) if branch.at <= differs => {
                    let symbol = key.symbol(branch.at);
                    let rank = branch.rank(symbol);
                    if rank > 0 {
                        left = branch.twigs.get(rank - 1);
                    }
                    match branch.twig(symbol) {
                        Some(twig) => link = twig,
                        None => return left.map(Link::last),
                    }
                }
                // All names below share the symbols up to `differs` with the one that was reached.
                _ if is_before => return Some(link.last()),
                _ => return left.map(Link::last),
            }
        }
    }

    /// Returns the value of the last name in canonical order.
    pub(crate) fn last(&self) -> Option<&V> {
        self.root.as_ref().map(Link::last)
    }

    /// Returns whether there are names below a name in wire form.
    pub(crate) fn has_below(&self, name: &[u8]) -> bool {
        self.subtree(name).is_some_and(|link| link.last().name().len() > name.len())
    }

    /// Returns the subtree of a name (in wire form) and all names below it, if there are any.
    fn subtree(&self, name: &[u8]) -> Option<&Link<V>> {
        let key = Key::new(name);
        let mut link = self.root.as_ref();
        while let Some(Link::Branch(branch)) = link
            && usize::from(branch.at) < key.len()
        {
            link = branch.twig(key.symbol(branch.at));
        }
        // The symbols between the branches were not compared; all names in the subtree share them.
        link.filter(|link| name::is_at_or_below(link.first().name(), name))
    }

    /// Inserts a value under its name and returns the one it replaces.
    pub(crate) fn insert(&mut self, value: V) -> Option<V> {
        let key = Key::new(value.name());
        let differs = match self.descend(&key, |_| ()) {
            None => {
                self.root = Some(Link::Leaf(value));
                self.len = 1;
                return None;
            }
            Some(reached) => {
                let other = Key::new(reached.name());
                other.difference(&key).map(|at| (at, other.symbol(at)))
            }
        };
        let link = self.root.as_mut()?;
        let Some((at, theirs)) = differs else { return link.replace(&key, value) };
        link.add(&key, at, theirs, value);
        self.len += 1;
        None
    }

    /// Removes a name (in wire form) and returns its value.
    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<V> {
        let key = Key::new(name);
        let reached = self.descend(&key, |_| ())?;
        if !name::eq(reached.name(), name) {
            return None;
        }
        let reached = reached.clone();
        match self.root.as_mut() {
            Some(link @ Link::Branch(_)) => link.take_out(&key),
            _ => self.root = None,
        }
        self.len -= 1;
        Some(reached)
    }

    /// Iterates over the values of a name (in wire form) and all below it, in canonical order.
    pub(crate) fn below(&self, name: &[u8]) -> Iter<'_, V> {
        Iter { stack: self.subtree(name).map(|link| std::slice::from_ref(link).iter()).into_iter().collect() }
    }

    /// Iterates over the values in canonical order from that of a name (in wire form) on, or the first after it.
    pub(crate) fn starting_at(&self, name: &[u8]) -> Iter<'_, V> {
        let key = Key::new(name);
        let mut rest = Iter { stack: Vec::new() };
        let Some(reached) = self.descend(&key, |_| ()) else { return rest };
        let differs = Key::new(reached.name()).difference(&key);
        let mut link = self.root.as_ref();
        while let Some(Link::Branch(branch)) = link
            && differs.is_none_or(|differs| branch.at <= differs)
        {
            let symbol = key.symbol(branch.at);
            link = branch.twig(symbol);
            rest.stack.push(branch.twigs[branch.rank(symbol) + usize::from(link.is_some())..].iter());
        }
        // All names below share the symbols up to the difference, so comparing one of them is enough.
        let is_after =
            |link: &&Link<V>| differs.is_none_or(|at| Key::new(link.first().name()).symbol(at) > key.symbol(at));
        rest.stack.extend(link.filter(is_after).map(|link| std::slice::from_ref(link).iter()));
        rest
    }

    /// Iterates over the values in canonical order.
    pub(crate) fn iter(&self) -> Iter<'_, V> {
        Iter { stack: self.root.iter().map(|root| std::slice::from_ref(root).iter()).collect() }
    }
}

impl<V: Named + Clone> Link<V> {
    fn first(&self) -> &V {
        let mut link = self;
        loop {
            match link {
                Link::Leaf(leaf) => return leaf,
                Link::Branch(branch) => link = &branch.twigs[0],
            }
        }
    }

    fn last(&self) -> &V {
        let mut link = self;
        loop {
            match link {
                Link::Leaf(leaf) => return leaf,
                Link::Branch(branch) => link = &branch.twigs[branch.twigs.len() - 1],
            }
        }
    }

    /// Replaces the existing leaf with the key of `value`.
    fn replace(&mut self, key: &Key, value: V) -> Option<V> {
        match self {
            Link::Leaf(leaf) => Some(std::mem::replace(leaf, value)),
            Link::Branch(branch) => {
                let rank = branch.rank(key.symbol(branch.at));
                Arc::make_mut(&mut branch.twigs).get_mut(rank)?.replace(key, value)
            }
        }
    }

    /// Adds `value`, whose key first differs from all here at `at`, where those that share the most have `theirs`.
    fn add(&mut self, key: &Key, at: u16, theirs: u8, value: V) {
        let ours = key.symbol(at);
        match self {
            Link::Branch(branch) if branch.at < at => {
                let rank = branch.rank(key.symbol(branch.at));
                Arc::make_mut(&mut branch.twigs)[rank].add(key, at, theirs, value);
            }
            Link::Branch(branch) if branch.at == at => {
                let rank = branch.rank(ours);
                let (before, after) = branch.twigs.split_at(rank);
                let new = std::iter::once(Link::Leaf(value));
                branch.twigs = before.iter().cloned().chain(new).chain(after.iter().cloned()).collect();
                branch.map |= 1 << ours;
            }
            _ => {
                let (old, new) = (self.clone(), Link::Leaf(value));
                let twigs = if theirs < ours { [old, new] } else { [new, old] };
                *self = Link::Branch(Branch { map: 1 << theirs | 1 << ours, twigs: Arc::new(twigs), at });
            }
        }
    }

    /// Removes the existing leaf with this key below this branch.
    fn take_out(&mut self, key: &Key) {
        let Link::Branch(branch) = self else { return };
        let symbol = key.symbol(branch.at);
        let rank = branch.rank(symbol);
        if let Link::Branch(_) = branch.twigs[rank] {
            return Arc::make_mut(&mut branch.twigs)[rank].take_out(key);
        }
        if let [a, b] = &*branch.twigs {
            // A branch with a single twig would not branch: its other twig takes its place.
            *self = if rank == 0 { b.clone() } else { a.clone() };
        } else {
            let rest = branch.twigs.iter().enumerate().filter(|&(i, _)| i != rank);
            branch.twigs = rest.map(|(_, twig)| twig.clone()).collect::<Vec<_>>().into();
            branch.map &= !(1 << symbol);
        }
    }
}

/// An iterator over a trie's values in canonical order.
pub(crate) struct Iter<'t, V> {
    stack: Vec<std::slice::Iter<'t, Link<V>>>,
}

impl<'t, V> Iterator for Iter<'t, V> {
    type Item = &'t V;

    fn next(&mut self) -> Option<&'t V> {
        loop {
            match self.stack.last_mut()?.next() {
                None => {
                    self.stack.pop();
                }
                Some(Link::Leaf(leaf)) => return Some(leaf),
                Some(Link::Branch(branch)) => self.stack.push(branch.twigs.iter()),
            }
        }
    }
}

/// Builds a trie from values that come in canonical order, without a search or a copy.
///
/// Kept are the branches between the root and the last leaf, which may still get twigs; each leaf's first
/// difference to the one before tells which of them are complete.
pub(crate) struct Builder<V> {
    open: Vec<Branch<V>>,
    /// The twigs of the open branches, one list for each; emptied lists are kept for the next branch.
    twigs: Vec<Vec<Link<V>>>,
    last: Option<Link<V>>,
    keys: [Key; 2],
    len: usize,
}

impl<V: Named + Clone> Builder<V> {
    /// Creates an empty builder.
    pub(crate) fn new() -> Self {
        Self { open: Vec::new(), twigs: Vec::new(), last: None, keys: [Key::empty(), Key::empty()], len: 0 }
    }

    /// Adds a value whose name comes after all before it.
    ///
    /// # Panics
    ///
    /// If the name equals the one before; names out of order make a trie that does not find them.
    pub(crate) fn push(&mut self, value: V) {
        self.keys.swap(0, 1);
        self.keys[1].set(value.name());
        self.len += 1;
        let Some(mut left) = self.last.replace(Link::Leaf(value)) else { return };
        let at = self.keys[0].difference(&self.keys[1]).expect("names are pushed once each");
        while self.open.last().is_some_and(|branch| branch.at > at) {
            left = self.close(left);
        }
        if self.open.last().is_none_or(|branch| branch.at < at) {
            self.open.push(Branch { map: 1 << self.keys[0].symbol(at), twigs: Arc::new([]), at });
            if self.twigs.len() < self.open.len() {
                self.twigs.push(Vec::new());
            }
        }
        let top = self.open.len() - 1;
        self.open[top].map |= 1 << self.keys[1].symbol(at);
        self.twigs[top].push(left);
    }

    /// Completes the innermost open branch with its last twig.
    fn close(&mut self, last: Link<V>) -> Link<V> {
        let Some(mut branch) = self.open.pop() else { return last };
        let twigs = &mut self.twigs[self.open.len()];
        twigs.push(last);
        branch.twigs = twigs.drain(..).collect();
        Link::Branch(branch)
    }

    /// Returns the trie.
    pub(crate) fn finish(mut self) -> Trie<V> {
        let Some(mut link) = self.last.take() else { return Trie::default() };
        while !self.open.is_empty() {
            link = self.close(link);
        }
        Trie { root: Some(link), len: self.len }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::dns::Name;
    use crate::dns::name::common_labels;
    use crate::dns::name::tests::names_of;
    use proptest::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) struct Item(pub(super) Name, pub(super) u32);

    impl Named for Item {
        fn name(&self) -> &[u8] {
            self.0.as_wire()
        }
    }

    /// Names that collide often: few labels of few letters, some of which are two-symbol octets.
    pub(super) fn any_name() -> impl Strategy<Value = Name> {
        let octet = prop_oneof![Just(b'a'), Just(b'A'), Just(b'b'), Just(b'*'), Just(0), Just(b'['), Just(0xff)];
        names_of(octet, 1..3, 0..5)
    }

    fn same(trie: &Trie<Item>, map: &BTreeMap<Name, u32>) -> Result<(), TestCaseError> {
        prop_assert_eq!(trie.len(), map.len());
        let in_trie: Vec<_> = trie.iter().map(|item| (item.0.clone(), item.1)).collect();
        let in_map: Vec<_> = map.iter().map(|(name, &value)| (name.clone(), value)).collect();
        prop_assert_eq!(in_trie, in_map);
        Ok(())
    }

    #[test]
    fn a_label_that_begins_another_is_no_ancestor() {
        let name = |text: &str| Name::from_text(text).unwrap();
        let mut trie = Trie::default();
        for (number, text) in (0..).zip(["test", "a.test", "ab.test", "c.ab.test"]) {
            trie.insert(Item(name(text), number));
        }
        let mut ancestors = Vec::new();
        trie.descend(&Key::new(name("d.c.ab.test").as_wire()), |item| ancestors.push(item.0.to_string()));
        assert_eq!(ancestors, ["test.", "ab.test."]);
    }

    proptest! {
        /// The trie does what a sorted map does, and its old versions stay as they were.
        #[test]
        fn as_a_sorted_map(
            steps in proptest::collection::vec((any_name(), any::<u32>(), 0..4_u8), 0..60),
            sought_names in proptest::collection::vec(any_name(), 0..20),
        ) {
            let (mut trie, mut map) = (Trie::<Item>::default(), BTreeMap::new());
            let mut versions = Vec::new();
            for (name, value, action) in steps {
                if action == 0 {
                    let removed = trie.remove(name.as_wire()).map(|item| item.1);
                    prop_assert_eq!(removed, map.remove(&name));
                } else {
                    let replaced = trie.insert(Item(name.clone(), value)).map(|item| item.1);
                    // A sorted map keeps the first spelling of its key.
                    let before = map.remove(&name);
                    map.insert(name, value);
                    prop_assert_eq!(replaced, before);
                }
                versions.push((trie.clone(), map.clone()));
            }
            for (trie, map) in &versions {
                same(trie, map)?;
            }
            let mut builder = Builder::new();
            for (name, &value) in &map {
                builder.push(Item(name.clone(), value));
            }
            let built = builder.finish();
            for trie in [&trie, &built] {
                same(trie, &map)?;
                for sought in sought_names.iter().chain(map.keys()) {
                    let wire = sought.as_wire();
                    prop_assert_eq!(trie.get(wire).map(|item| item.1), map.get(sought).copied());
                    let below: Vec<_> = trie.below(wire).map(|item| item.0.clone()).collect();
                    let expected: Vec<_> = map.keys().filter(|name| name.is_at_or_below(sought)).cloned().collect();
                    prop_assert_eq!(trie.has_below(wire), expected.iter().any(|name| name != sought));
                    prop_assert_eq!(below, expected);
                    let rest: Vec<_> = trie.starting_at(wire).map(|item| item.0.clone()).collect();
                    let expected: Vec<_> = map.range(sought.clone()..).map(|(name, _)| name.clone()).collect();
                    prop_assert_eq!(rest, expected);
                    let floor = map.range(..=sought.clone()).next_back().map(|(name, _)| name);
                    prop_assert_eq!(trie.floor(&Key::new(wire)).map(|item| &item.0), floor);
                    let longest = map.keys().filter(|name| sought.is_at_or_below(name)).max_by_key(|name| name.label_count());
                    let key = Key::new(wire);
                    prop_assert_eq!(trie.longest_match(wire, &key).map(|item| &item.0), longest);
                    let mut ancestors = Vec::new();
                    let reached = trie.descend(&key, |item| ancestors.push(item.0.clone()));
                    let shared = map.keys().map(|name| common_labels(name.as_wire(), wire)).max();
                    prop_assert_eq!(reached.map(|item| common_labels(item.name(), wire)), shared);
                    ancestors.retain(|name| sought.is_at_or_below(name));
                    ancestors.dedup();
                    ancestors.extend(reached.map(|item| item.0.clone()).filter(|name| sought.is_at_or_below(name) && name != sought));
                    ancestors.dedup();
                    let expected: Vec<_> = map.keys().filter(|name| sought.is_at_or_below(name) && *name != sought).cloned().collect();
                    prop_assert_eq!(ancestors, expected);
                }
            }
        }
    }
}
