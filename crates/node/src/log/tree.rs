//! A log's tree: its right edge, where it grows, and proofs from its tiles.

use super::tile::{FULL, LEVELS, Tile};
use crate::provider::AwsLc;
use medlock_trust::log::{Hash, TreeHead};

/// Where the tiles of a tree are.
pub trait Tiles {
    /// Why a tile could not be had.
    type Error;

    /// The hashes of a tile: as many as it is wide. Where the tile has grown since, its first ones.
    ///
    /// # Errors
    /// When it is not there, or cannot be read.
    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Self::Error>;

    /// The root over 2^`height` hashes of a tile, from its hash number `start` on. Who is asked often keeps a [`Pyramid`].
    ///
    /// # Errors
    /// When the tile is not there, or cannot be read.
    fn node(&self, tile: Tile, start: usize, height: u32) -> Result<Hash, Self::Error> {
        Ok(root_of(&self.tile(tile)?[start..start + (1 << height)]))
    }
}

/// A tile's hashes and all nodes above them, so that none is computed twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pyramid {
    /// The nodes over 2^n hashes each, for n from 0; incomplete ones are left out.
    rows: Vec<Vec<Hash>>,
}

impl Pyramid {
    /// Over these hashes of a tile.
    #[must_use]
    pub fn over(hashes: Vec<Hash>) -> Self {
        let mut rows = vec![hashes];
        while let Some(row) = rows.last().filter(|row| row.len() > 1) {
            let (pairs, _) = row.as_chunks::<2>();
            rows.push(pairs.iter().map(|[left, right]| Hash::of_halves(*left, *right, &AwsLc)).collect());
        }
        Self { rows }
    }

    /// The root over 2^`height` hashes, from number `start` on, if the tile has so many.
    #[must_use]
    pub fn node(&self, start: usize, height: u32) -> Option<Hash> {
        self.rows.get(height as usize)?.get(start >> height).copied()
    }
}

/// The right edge of a tree: the last tile of each level, as long as it is not full. All that is needed to let the tree
/// grow, and to know its head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    levels: [Vec<Hash>; LEVELS as usize],
}

impl Edge {
    /// The edge of a tree of `size` entries.
    ///
    /// # Errors
    /// Those of `tiles`.
    pub fn open<T: Tiles>(size: u64, tiles: &T) -> Result<Self, T::Error> {
        let mut edge = Self { size, ..Self::default() };
        for tile in Tile::partial(size) {
            if let Some(level) = edge.levels.get_mut(usize::from(tile.level)) {
                *level = tiles.tile(tile)?;
            }
        }
        Ok(edge)
    }

    /// How many entries the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds an entry's hash; gives each tile that became full by it to `full`.
    pub fn append(&mut self, entry: Hash, full: &mut impl FnMut(Tile, &[Hash])) {
        let mut hash = entry;
        let mut index = self.size / FULL;
        for (level, hashes) in (0..).zip(&mut self.levels) {
            hashes.push(hash);
            if hashes.len() < FULL as usize {
                break;
            }
            full(Tile { level, index, width: FULL as u16 }, hashes);
            hash = root_of(hashes);
            hashes.clear();
            index /= FULL;
        }
        self.size += 1;
    }

    /// The tiles that are not full.
    pub fn partial(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        Tile::partial(self.size).filter_map(|tile| Some((tile, self.levels.get(usize::from(tile.level))?.as_slice())))
    }

    /// The tree's head.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        let mut root = None;
        for hashes in &self.levels {
            let mut rest = hashes.as_slice();
            // From the right: complete subtrees, each larger than the one before.
            while !rest.is_empty() {
                let (before, last) = rest.split_at(rest.len() - (1 << rest.len().trailing_zeros()));
                let last = root_of(last);
                root = Some(root.map_or(last, |right| Hash::of_halves(last, right, &AwsLc)));
                rest = before;
            }
        }
        TreeHead { size: self.size, root: root.unwrap_or_else(|| Hash::of_nothing(&AwsLc)) }
    }
}

/// The root over a power of two of hashes.
fn root_of(hashes: &[Hash]) -> Hash {
    match hashes {
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            Hash::of_halves(root_of(left), root_of(right), &AwsLc)
        }
    }
}

/// The inclusion proof of entry number `index` (from 0) in the tree of the first `size` entries (RFC 9162 section 2.1.3.1).
///
/// # Errors
/// Those of `tiles`.
///
/// # Panics
/// If there is no such entry.
pub fn inclusion<T: Tiles>(index: u64, size: u64, tiles: &T) -> Result<Vec<Hash>, T::Error> {
    assert!(index < size, "entry {index} is not in a tree of {size}");
    let (mut from, mut to) = (0, size);
    let mut beside = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            beside.push((middle, to));
            to = middle;
        } else {
            beside.push((from, middle));
            from = middle;
        }
    }
    beside.into_iter().rev().map(|(from, to)| subtree(from, to, size, tiles)).collect()
}

/// The proof that the tree of the first `size` entries continues the tree of the first `old` ones (RFC 9162 section 2.1.4.1).
///
/// # Errors
/// Those of `tiles`.
///
/// # Panics
/// If `old` is more than `size`.
pub fn consistency<T: Tiles>(old: u64, size: u64, tiles: &T) -> Result<Vec<Hash>, T::Error> {
    assert!(old <= size, "a tree of {size} does not continue one of {old}");
    if old == 0 || old == size {
        return Ok(Vec::new());
    }
    let (mut from, mut to) = (0, size);
    let mut parts = Vec::new();
    while to != old {
        let middle = from + split(to - from);
        if old <= middle {
            parts.push((middle, to));
            to = middle;
        } else {
            parts.push((from, middle));
            from = middle;
        }
    }
    // The old tree itself is known to who asks, if it is a node of the new one.
    if from > 0 {
        parts.push((from, to));
    }
    parts.into_iter().rev().map(|(from, to)| subtree(from, to, size, tiles)).collect()
}

/// How many entries the left half of a tree of `size` (more than 1) has: the largest power of two below.
const fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The root over the entries `from` to `to`, which are a subtree of a tree of `size`.
fn subtree<T: Tiles>(from: u64, to: u64, size: u64, tiles: &T) -> Result<Hash, T::Error> {
    let mut complete = Vec::new();
    let mut at = from;
    while at < to {
        let height = at.trailing_zeros().min((to - at).ilog2());
        complete.push(node(height, at >> height, size, tiles)?);
        at += 1 << height;
    }
    let right = complete.into_iter().rev().reduce(|right, left| Hash::of_halves(left, right, &AwsLc));
    Ok(right.unwrap_or_else(|| Hash::of_nothing(&AwsLc)))
}

/// The node number `index` of those over 2^`height` entries each.
fn node<T: Tiles>(height: u32, index: u64, size: u64, tiles: &T) -> Result<Hash, T::Error> {
    let (level, rest) = (height / 8, height % 8);
    let first = index << rest;
    let tile_index = first / FULL;
    let width = ((size >> (8 * level)) - tile_index * FULL).min(FULL);
    let tile = Tile { level: level as u8, index: tile_index, width: width as u16 };
    tiles.node(tile, (first % FULL) as usize, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;
    use std::sync::LazyLock;

    static LOG: LazyLock<Grown> = LazyLock::new(|| grown(1_500));

    /// A log in memory, grown by [`Edge`] alone.
    struct Grown {
        tiles: BTreeMap<(u8, u64), Vec<Hash>>,
        heads: Vec<TreeHead>,
    }

    impl Tiles for Grown {
        type Error = Infallible;

        fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Infallible> {
            Ok(self.tiles[&(tile.level, tile.index)][..usize::from(tile.width)].to_vec())
        }
    }

    /// The same, by pyramids.
    struct ByPyramids<'a>(&'a Grown);

    impl Tiles for ByPyramids<'_> {
        type Error = Infallible;

        fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Infallible> {
            self.0.tile(tile)
        }

        fn node(&self, tile: Tile, start: usize, height: u32) -> Result<Hash, Infallible> {
            Ok(Pyramid::over(self.tile(tile)?).node(start, height).unwrap())
        }
    }

    fn entry(number: u64) -> Hash {
        Hash::of_entry(&[number.to_be_bytes().as_slice()], &AwsLc)
    }

    fn grown(size: u64) -> Grown {
        let (mut edge, mut tiles, mut heads) = (Edge::default(), BTreeMap::new(), Vec::new());
        let mut keep = |tile: Tile, hashes: &[Hash]| drop(tiles.insert((tile.level, tile.index), hashes.to_vec()));
        for number in 0..size {
            heads.push(edge.head());
            edge.append(entry(number), &mut keep);
        }
        heads.push(edge.head());
        edge.partial().for_each(|(tile, hashes)| keep(tile, hashes));
        Grown { tiles, heads }
    }

    /// The tree's definition, as RFC 9162 section 2.1.1 writes it.
    fn defined(entries: &[Hash]) -> Hash {
        match entries {
            [] => Hash::of_nothing(&AwsLc),
            [one] => *one,
            _ => {
                let (left, right) = entries.split_at(split(entries.len() as u64) as usize);
                Hash::of_halves(defined(left), defined(right), &AwsLc)
            }
        }
    }

    /// The tree of the tests of Google's implementation of RFC 6962, whose roots many implementations check.
    #[test]
    fn known_roots_are_found() {
        let entries: [&[u8]; 8] = [b"", b"\0", b"\x10", b"\x20\x21", b"01", b"@ABC", b"PQRSTUVW", b"`abcdefghijklmno"];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut edge = Edge::default();
        for (size, root) in roots.into_iter().enumerate() {
            assert_eq!(format!("{:?}", edge.head().root), root, "{size}");
            if let Some(entry) = entries.get(size) {
                edge.append(Hash::of_entry(&[*entry], &AwsLc), &mut |_, _| {});
            }
        }
    }

    #[test]
    fn a_grown_tree_is_the_defined_one_and_opens_again() {
        let log = grown(65_800);
        let entries: Vec<Hash> = (0..65_800).map(entry).collect();
        for size in [0, 1, 2, 3, 255, 256, 257, 511, 512, 65_536, 65_793] {
            assert_eq!(log.heads[size as usize].root, defined(&entries[..size as usize]), "{size}");
            assert_eq!(Edge::open(size, &log).unwrap().head(), log.heads[size as usize], "{size}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn proofs_prove_what_is_so_and_nothing_else(size in 1..1_500_u64, index: prop::sample::Index, other in 0..1_500_u64, flip in 0..32_usize) {
            let log = &*LOG;
            let index = index.index(size as usize) as u64;
            let head = log.heads[size as usize];
            let path = inclusion(index, size, log).unwrap();
            prop_assert_eq!(&inclusion(index, size, &ByPyramids(log)).unwrap(), &path);
            prop_assert!(head.includes(entry(index), index, &path, &AwsLc));
            prop_assert!(other == index || !head.includes(entry(other), index, &path, &AwsLc));
            prop_assert!(other == index || !head.includes(entry(index), other, &path, &AwsLc));
            for at in 0..path.len() {
                let mut wrong = path.clone();
                let mut bytes = *wrong[at].as_bytes();
                bytes[flip] ^= 1;
                wrong[at] = Hash::from_bytes(bytes);
                prop_assert!(!head.includes(entry(index), index, &wrong, &AwsLc));
            }
            let longer = [path.as_slice(), &[entry(0)]].concat();
            prop_assert!(!head.includes(entry(index), index, &longer, &AwsLc));
            prop_assert!(path.is_empty() || !head.includes(entry(index), index, &path[..path.len() - 1], &AwsLc));

            let old = log.heads[index as usize];
            let path = consistency(index, size, log).unwrap();
            prop_assert!(head.continues(&old, &path, &AwsLc));
            if index > 0 {
                let forged = TreeHead { root: entry(other), ..old };
                prop_assert!(!head.continues(&forged, &path, &AwsLc));
                let forged = TreeHead { root: entry(other), ..head };
                prop_assert!(!forged.continues(&old, &path, &AwsLc));
                prop_assert!(index == size || !old.continues(&head, &path, &AwsLc));
                let longer = [path.as_slice(), &[entry(0)]].concat();
                prop_assert!(!head.continues(&old, &longer, &AwsLc));
            }
        }
    }
}
