//! A map of limited size that forgets what was used longest ago.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// A map that holds at most a number of entries.
#[derive(Debug)]
pub(crate) struct Bounded<K, V> {
    most: usize,
    uses: u64,
    entries: HashMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    /// An empty map of at most `most` entries, at least one.
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), uses: 0, entries: HashMap::new(), order: BTreeMap::new() }
    }

    /// The entry, which counts as used now.
    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        let (used, value) = self.entries.get_mut(key)?;
        self.order.remove(used);
        self.uses += 1;
        *used = self.uses;
        self.order.insert(self.uses, key.clone());
        Some(value)
    }

    /// The entry, without using it.
    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// Puts an entry in; gives back what had to go: the one before, or the one used longest ago.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        let before = self.remove(&key).map(|value| (key.clone(), value));
        let gone = if self.entries.len() >= self.most { self.remove_oldest() } else { None };
        self.uses += 1;
        self.order.insert(self.uses, key.clone());
        self.entries.insert(key, (self.uses, value));
        before.or(gone)
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (used, value) = self.entries.remove(key)?;
        self.order.remove(&used);
        Some(value)
    }

    /// Takes out the entry that was used longest ago.
    pub(crate) fn remove_oldest(&mut self) -> Option<(K, V)> {
        let (_, key) = self.order.pop_first()?;
        let (_, value) = self.entries.remove(&key)?;
        Some((key, value))
    }

    /// All entries, that which was used longest ago first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.order.values().filter_map(|key| self.entries.get(key).map(|(_, value)| (key, value)))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut map = Bounded::new(2);
        assert_eq!(map.insert('a', 1), None);
        assert_eq!(map.insert('b', 2), None);
        assert_eq!(map.get(&'a'), Some(&mut 1));
        assert_eq!(map.insert('c', 3), Some(('b', 2)));
        assert_eq!(map.insert('c', 4), Some(('c', 3)));
        assert_eq!((map.peek(&'b'), map.len(), map.order.len()), (None, 2, 2));
        assert_eq!(map.remove(&'a'), Some(1));
        assert_eq!(map.iter().collect::<Vec<_>>(), [(&'c', &4)]);
        assert_eq!(map.remove_oldest(), Some(('c', 4)));
        assert_eq!((map.len(), map.order.len()), (0, 0));
    }
}
