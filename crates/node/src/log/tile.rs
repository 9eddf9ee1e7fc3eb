//! Tiles: 256 consecutive hashes of one level of a log's tree, and the bundles of entries under the lowest of them.

use medlock_trust::log::{HASH_LENGTH, Hash};
use std::fmt;
use std::str::FromStr;

/// Hashes of a full tile.
pub const FULL: u64 = 256;
/// Levels of a tree of up to 2^64 entries.
pub const LEVELS: u8 = 8;
/// The longest entry: its length is written in 16 bits.
pub const MAX_ENTRY: usize = 0xffff;

/// Which tile. Its path in a log is its text: `tile/0/x001/234`, or `tile/0/x001/234.p/7` if it has 7 hashes only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    /// 0: hashes of entries; each further one: hashes of full tiles of the one before.
    pub level: u8,
    /// Its number in its level, from 0.
    pub index: u64,
    /// How many hashes it has: 1 to 256.
    pub width: u16,
}

impl Tile {
    /// The tiles of a tree with `size` entries that are not full: one a level at most.
    pub fn partial(size: u64) -> impl Iterator<Item = Self> {
        (0..LEVELS).filter_map(move |level| {
            let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
            let width = u16::try_from(hashes % FULL).unwrap_or(0);
            (width > 0).then_some(Self { level, index: hashes / FULL, width })
        })
    }

    /// The tile's hashes, if `bytes` are as many as it has.
    #[must_use]
    pub fn hashes(&self, bytes: &[u8]) -> Option<Vec<Hash>> {
        let (hashes, rest) = bytes.as_chunks::<HASH_LENGTH>();
        let fits = rest.is_empty() && hashes.len() == usize::from(self.width);
        fits.then(|| hashes.iter().copied().map(Hash::from_bytes).collect())
    }

    /// The path of the bundle of the entries under this tile, which must be of level 0.
    #[must_use]
    pub fn entries_path(&self) -> String {
        format!("tile/entries/{}", Number(self.index, self.width))
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/{}", self.level, Number(self.index, self.width))
    }
}

/// What a path below `tile/` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The hashes of a tile.
    Hashes(Tile),
    /// The entries under a tile of level 0.
    Entries(Tile),
}

impl FromStr for Resource {
    type Err = ();

    /// Reads a path as this module writes it; nothing else is one.
    fn from_str(path: &str) -> Result<Self, ()> {
        let (kind, number) = path.strip_prefix("tile/").and_then(|rest| rest.split_once('/')).ok_or(())?;
        let (index, width) = read_number(number).ok_or(())?;
        let resource = match kind {
            "entries" => Self::Entries(Tile { level: 0, index, width }),
            level => Self::Hashes(Tile { level: level.parse().map_err(|_| ())?, index, width }),
        };
        let (tile, written) = match resource {
            Self::Hashes(tile) => (tile, tile.to_string()),
            Self::Entries(tile) => (tile, tile.entries_path()),
        };
        // Leading zeros and signs, which the number readers of the standard library take, are found by writing it again.
        if tile.level < LEVELS && written == path { Ok(resource) } else { Err(()) }
    }
}

/// A tile's number in a path: groups of three digits, all but the last behind an `x`.
struct Number(u64, u16);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:03}", self.0);
        let padded = format!("{digits:0>width$}", width = digits.len().next_multiple_of(3));
        let groups = padded.len() / 3;
        for (at, digit) in padded.chars().enumerate() {
            match (at % 3, at / 3 + 1 == groups) {
                (0, false) => write!(f, "x{digit}")?,
                (2, false) => write!(f, "{digit}/")?,
                _ => write!(f, "{digit}")?,
            }
        }
        if u64::from(self.1) == FULL { Ok(()) } else { write!(f, ".p/{}", self.1) }
    }
}

fn read_number(text: &str) -> Option<(u64, u16)> {
    let (number, width) = match text.split_once(".p/") {
        Some((number, width)) => (number, width.parse().ok().filter(|width| (1..256).contains(width))?),
        None => (text, 256),
    };
    let mut index = 0_u64;
    for group in number.split('/') {
        let group: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
        index = index.checked_mul(1000)?.checked_add(group)?;
    }
    Some((index, width))
}

/// Appends an entry to a bundle: its length in two bytes, and its bytes.
///
/// # Errors
/// The length of an entry above [`MAX_ENTRY`].
pub fn bundle(entry: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
    let length = u16::try_from(entry.len()).map_err(|_| entry.len())?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle; `None` when bytes are missing or left over.
#[must_use]
pub fn unbundle(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        bytes = rest;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let tile = |index, width| Tile { level: 0, index, width };
        assert_eq!(tile(1_234_067, 256).to_string(), "tile/0/x001/x234/067");
        assert_eq!(tile(5, 7).to_string(), "tile/0/005.p/7");
        assert_eq!(tile(1_000, 256).entries_path(), "tile/entries/x001/000");
        for wrong in [
            "tile/0/5",
            "tile/00/005",
            "tile/0/+05",
            "tile/8/000",
            "tile/0/005.p/256",
            "tile/0/005.p/0",
            "tile/0/x000/005",
        ] {
            assert_eq!(Resource::from_str(wrong), Err(()), "{wrong}");
        }
    }

    #[test]
    fn partial_tiles_are_those_of_the_specification() {
        let of = |size| Tile::partial(size).map(|tile| tile.to_string()).collect::<Vec<_>>();
        assert_eq!(of(70_000), ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
        assert_eq!(of(256), ["tile/1/000.p/1"]);
        assert!(of(0).is_empty());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(level in 0..LEVELS, index: u64, width in 1..=256_u16) {
            let tile = Tile { level, index, width };
            prop_assert_eq!(tile.to_string().parse(), Ok(Resource::Hashes(tile)));
            let tile = Tile { level: 0, ..tile };
            prop_assert_eq!(tile.entries_path().parse(), Ok(Resource::Entries(tile)));
        }

        #[test]
        fn any_text_has_an_answer(text in "tile/[0-9a-z]{1,3}/[x0-9./p]{0,20}") {
            if let Ok(Resource::Hashes(tile)) = text.parse() {
                prop_assert_eq!(tile.to_string(), text);
            }
        }

        #[test]
        fn bundles_come_apart_as_they_were_put_together(entries in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..10)) {
            let mut bytes = Vec::new();
            for entry in &entries {
                bundle(entry, &mut bytes).unwrap();
            }
            prop_assert_eq!(unbundle(&bytes).unwrap(), entries);
            bytes.push(0);
            prop_assert_eq!(unbundle(&bytes), None);
        }
    }
}
