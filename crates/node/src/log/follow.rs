//! Following a log: whoever has seen one state of it sees that every later one continues it, and each new entry.

use super::note::{NoteError, VerifierKey};
use super::tile::{FULL, Tile, unbundle};
use super::tree::{Edge, Tiles};
use super::{Checkpoint, Cosigned};
use crate::http::Client;
use crate::provider::AwsLc;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use medlock_trust::log::{Hash, TreeHead};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where the files of a log are.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a folder.
    Folder(PathBuf),
    /// On a web server, below this path.
    Web(Client, String),
}

/// Why a log is not believed, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// A file of it cannot be had.
    #[error("{path} cannot be read: {why}")]
    Unreachable {
        /// Which file.
        path: String,
        /// What happened.
        why: String,
    },
    /// The checkpoint is not believed.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] NoteError),
    /// The log shows fewer entries than were seen before, and nothing says that they were others: a copy of it that lags
    /// behind, or one that was brought back.
    #[error(
        "it shows {new} entries, and {old} were seen before: this is an older state of it, or the log was rolled back. If it \
         stays so, ask who runs the log"
    )]
    Older {
        /// How many entries were seen.
        old: u64,
        /// How many the checkpoint is about.
        new: u64,
    },
    /// The log signed other entries than before: it shows different people different logs.
    #[error(
        "the log has signed two states of which none continues the other: {old} entries were seen before, and the checkpoint \
         over {new} does not have them. Keep both checkpoints: together they prove it"
    )]
    Forked {
        /// How many entries were seen.
        old: u64,
        /// How many the checkpoint is about.
        new: u64,
    },
    /// A file does not have the bytes that the checkpoint is about.
    #[error("{path} is not what the checkpoint was signed over")]
    Wrong {
        /// Which file.
        path: String,
    },
    /// What was kept of the log cannot be used.
    #[error("what was kept of the log cannot be used: {0}")]
    State(&'static str),
}

impl Place {
    /// A folder, or `http://HOST:PORT/PATH`. What a log serves is signed, so that it needs no TLS.
    ///
    /// # Errors
    /// A message, if it is the address of something else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("http://") else {
            return match text.split_once("://") {
                Some((scheme, _)) => {
                    Err(format!("{scheme}:// is not read here: give http://HOST:PORT/PATH or a folder"))
                }
                None => Ok(Self::Folder(text.into())),
            };
        };
        let (server, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = if server.contains(':') { server.to_owned() } else { format!("{server}:80") };
        Ok(Self::Web(Client::plain(address), path.trim_end_matches('/').to_owned()))
    }

    /// Reads the file at `path` in the log.
    ///
    /// # Errors
    /// [`FollowError::Unreachable`].
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, FollowError> {
        let failed = |why: String| FollowError::Unreachable { path: path.to_owned(), why };
        match self {
            Self::Folder(folder) => {
                let file = folder.join(path);
                std::fs::read(&file).map_err(|error| failed(format!("{}: {error}", file.display())))
            }
            Self::Web(client, base) => {
                let below = if base.is_empty() { format!("/{path}") } else { format!("/{base}/{path}") };
                let answer = client.get(&below).await.map_err(|error| failed(error.to_string()))?;
                if answer.status().is_success() {
                    return Ok(answer.into_body().to_vec());
                }
                Err(failed(format!("{} answered {}", client.server(), answer.status())))
            }
        }
    }

    /// Reads what lies under a tile; where only the full one is kept by now, from that.
    async fn under(&self, partial: &str, full: &str) -> Result<Vec<u8>, FollowError> {
        match self.read(partial).await {
            Err(FollowError::Unreachable { .. }) if partial != full => self.read(full).await,
            read => read,
        }
    }
}

/// Somebody who follows a log.
#[derive(Clone, Debug)]
pub struct Follower {
    key: VerifierKey,
    edge: Edge,
    checkpoint: Option<Vec<u8>>,
}

/// What a follower keeps between two visits: it is checked when it is used again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The log's key, as text.
    key: String,
    /// The signed checkpoint, as text; without one nothing was seen yet.
    checkpoint: Option<String>,
    /// The tiles at the right edge: hashes one after the other, in base64.
    edge: Vec<String>,
}

impl Follower {
    /// Somebody who has not seen anything of the log whose key is `key`.
    #[must_use]
    pub fn new(key: VerifierKey) -> Self {
        Self { key, edge: Edge::default(), checkpoint: None }
    }

    /// Goes on from what was kept.
    ///
    /// # Errors
    /// [`FollowError::State`] when it is not whole.
    pub fn resume(kept: &Kept) -> Result<Self, FollowError> {
        let key: VerifierKey = kept.key.parse().map_err(|_| FollowError::State("its key cannot be read"))?;
        let Some(note) = &kept.checkpoint else { return Ok(Self::new(key)) };
        let head = Checkpoint::verify(note.as_bytes(), &key, &[])?.checkpoint.head;
        let edge = Edge::open(head.size, &KeptTiles { size: head.size, tiles: &kept.edge })?;
        if edge.head() != head {
            return Err(FollowError::State("its hashes are not those of its checkpoint"));
        }
        Ok(Self { key, edge, checkpoint: Some(note.clone().into_bytes()) })
    }

    /// What is to be kept until the next visit.
    #[must_use]
    pub fn keep(&self) -> Kept {
        let edge = self.edge.partial().map(|(_, hashes)| BASE64.encode(written(hashes))).collect();
        let checkpoint = self.checkpoint.as_ref().map(|note| String::from_utf8_lossy(note).into_owned());
        Kept { key: self.key.to_string(), checkpoint, edge }
    }

    /// The log's key.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The state that was seen last.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        self.edge.head()
    }

    /// The signed checkpoint that was seen last.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&[u8]> {
        self.checkpoint.as_deref()
    }

    /// Reads what is new, and shows each new entry with its number. When this fails, the follower stays where it was, and
    /// the entries shown meanwhile prove nothing. With `tiles`, also reads the tiles of hashes and compares them.
    ///
    /// # Errors
    /// [`FollowError`].
    pub async fn advance<'w>(
        &mut self,
        place: &Place,
        witnesses: &'w [VerifierKey],
        tiles: bool,
        mut show: impl FnMut(u64, &[u8]),
    ) -> Result<Cosigned<'w>, FollowError> {
        let note = place.read("checkpoint").await?;
        let signed = Checkpoint::verify(&note, &self.key, witnesses)?;
        let head = signed.checkpoint.head;
        let old = self.edge.size();
        let forked = FollowError::Forked { old, new: head.size };
        if head.size < old {
            let before = Edge::open(head.size, &Within(&self.edge)).map(|edge| edge.head());
            let continued = before.map_or(true, |before| before == head);
            return Err(if continued { FollowError::Older { old, new: head.size } } else { forked });
        }
        if head.size == old && head != self.edge.head() {
            return Err(forked);
        }
        let mut edge = self.edge.clone();
        let mut wrong = None;
        while edge.size() < head.size {
            let bundle = Tile { level: 0, index: edge.size() / FULL, width: width_at(edge.size() / FULL, head.size) };
            let path = bundle.entries_path();
            let bytes = place.under(&path, &Tile { width: FULL as u16, ..bundle }.entries_path()).await?;
            let entries = unbundle(&bytes).filter(|entries| entries.len() >= usize::from(bundle.width));
            let entries = entries.ok_or(FollowError::Wrong { path })?;
            let fresh = usize::try_from(edge.size() % FULL).unwrap_or(0)..usize::from(bundle.width);
            let mut full = Vec::new();
            for entry in entries.get(fresh).unwrap_or_default() {
                show(edge.size(), entry);
                edge.append(Hash::of_entry(&[*entry], &AwsLc), &mut |tile, hashes| full.push((tile, written(hashes))));
            }
            for (tile, hashes) in full {
                // A checkpoint that was forged would be found anyway; this tells which file is wrong.
                if tiles && place.read(&tile.to_string()).await? != hashes {
                    wrong = wrong.or(Some(tile.to_string()));
                }
            }
        }
        if edge.head() != head {
            return Err(if old == 0 { FollowError::Wrong { path: "tile/entries".to_owned() } } else { forked });
        }
        for (tile, hashes) in edge.partial().filter(|_| tiles) {
            let read = place.under(&tile.to_string(), &Tile { width: FULL as u16, ..tile }.to_string()).await?;
            if !read.starts_with(&written(hashes)) {
                wrong = wrong.or(Some(tile.to_string()));
            }
        }
        if let Some(path) = wrong {
            return Err(FollowError::Wrong { path });
        }
        self.edge = edge;
        self.checkpoint = Some(note);
        Ok(signed)
    }
}

/// How many entries of tile number `index` a log of `size` has.
fn width_at(index: u64, size: u64) -> u16 {
    u16::try_from(size.saturating_sub(index * FULL).min(FULL)).unwrap_or(FULL as u16)
}

fn written(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(Hash::as_bytes).copied().collect()
}

/// The tiles of what was kept: those at the edge, from the lowest level up.
struct KeptTiles<'a> {
    size: u64,
    tiles: &'a [String],
}

impl Tiles for KeptTiles<'_> {
    type Error = FollowError;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, FollowError> {
        let number = Tile::partial(self.size).position(|edge| edge == tile);
        let text = number.and_then(|number| self.tiles.get(number));
        let bytes = text.and_then(|text| BASE64.decode(text).ok());
        bytes.and_then(|bytes| tile.hashes(&bytes)).ok_or(FollowError::State("hashes are missing"))
    }
}

/// The tiles of a smaller state of a tree, as far as the edge of the tree has them.
struct Within<'a>(&'a Edge);

impl Tiles for Within<'_> {
    type Error = ();

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, ()> {
        let mut held = self.0.partial();
        let held = held.find(|(held, _)| (held.level, held.index) == (tile.level, tile.index));
        let hashes = held.and_then(|(_, hashes)| hashes.get(..usize::from(tile.width)));
        hashes.map(<[Hash]>::to_vec).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::note::KeyKind;
    use crate::log::tile::bundle;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use std::path::Path;

    const NAME: &str = "hospital.example/log";

    fn key() -> (Ed25519KeyPair, VerifierKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap();
        let key = VerifierKey::new(NAME, KeyKind::Ed25519, pair.public_key().as_ref()).unwrap();
        (pair, key)
    }

    fn entry(number: u64) -> Vec<u8> {
        format!("entry {number}").into_bytes()
    }

    /// Writes a log of these entries to a folder, as far as a follower from `from` on needs it.
    fn write(folder: &Path, entries: &[Vec<u8>]) {
        let (pair, key) = key();
        let put = |path: String, bytes: &[u8]| {
            let file = folder.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        };
        let mut edge = Edge::default();
        for entry in entries {
            edge.append(Hash::of_entry(&[entry.as_slice()], &AwsLc), &mut |tile, hashes| {
                put(tile.to_string(), &written(hashes));
            });
        }
        for (tile, hashes) in edge.partial() {
            put(tile.to_string(), &written(hashes));
        }
        for (index, chunk) in (0..).zip(entries.chunks(256)) {
            let mut bytes = Vec::new();
            chunk.iter().for_each(|entry| bundle(entry, &mut bytes).unwrap());
            let width = u16::try_from(chunk.len()).unwrap();
            put(Tile { level: 0, index, width }.entries_path(), &bytes);
        }
        let text = Checkpoint { origin: NAME.into(), head: edge.head() }.to_string();
        let line = key.line(pair.sign(text.as_bytes()).as_ref().to_vec()).to_string();
        put("checkpoint".into(), format!("{text}\n{line}\n").as_bytes());
    }

    async fn advance(follower: &mut Follower, folder: &Path) -> Result<Vec<u64>, FollowError> {
        let mut seen = Vec::new();
        follower
            .advance(&Place::Folder(folder.into()), &[], true, |number, bytes| {
                assert_eq!(bytes, entry(number), "another entry");
                seen.push(number);
            })
            .await?;
        Ok(seen)
    }

    #[tokio::test]
    async fn a_follower_sees_each_entry_once_and_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let entries: Vec<_> = (0..700).map(entry).collect();
        let mut follower = Follower::new(key().1);
        let mut last = 0;
        for size in [1, 5, 256, 300, 512, 699, 700, 700] {
            write(dir.path(), &entries[..size]);
            let seen = advance(&mut follower, dir.path()).await.unwrap();
            assert_eq!(seen, (last..size as u64).collect::<Vec<_>>());
            last = size as u64;
            follower = Follower::resume(&follower.keep()).unwrap();
        }
    }

    /// Shows REQ-CLI-35: an older state is no fork, and a fork is one also where it shows fewer entries.
    #[tokio::test]
    async fn a_log_that_shrinks_or_forks_or_lies_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let entries: Vec<_> = (0..300).map(entry).collect();
        let mut follower = Follower::new(key().1);
        write(dir.path(), &entries[..280]);
        advance(&mut follower, dir.path()).await.unwrap();
        let kept = follower.keep();
        // Fewer than before, which those seen continue: nobody is accused, also where that is too long ago to tell.
        for size in [279, 257, 256, 255, 3] {
            write(dir.path(), &entries[..size]);
            let found = advance(&mut follower, dir.path()).await.unwrap_err();
            assert!(matches!(found, FollowError::Older { old: 280, new } if new == size as u64), "{size}: {found}");
        }
        // Fewer, and others.
        for size in [279, 256] {
            let mut others = entries[..size].to_vec();
            others[7] = entry(8);
            write(dir.path(), &others);
            let found = advance(&mut follower, dir.path()).await.unwrap_err();
            assert!(matches!(found, FollowError::Forked { old: 280, new } if new == size as u64), "{size}: {found}");
        }
        // As many, or more, with another one among those seen.
        for size in [280, 300] {
            let mut others = entries[..size].to_vec();
            others[7] = entry(8);
            write(dir.path(), &others);
            assert!(
                matches!(advance(&mut follower, dir.path()).await, Err(FollowError::Forked { old: 280, .. })),
                "{size}"
            );
        }
        assert_eq!(follower.head(), Follower::resume(&kept).unwrap().head(), "a follower went along with a fork");
        // A tile that is not over the entries.
        write(dir.path(), &entries);
        let tile = dir.path().join("tile/0/000");
        let mut bytes = std::fs::read(&tile).unwrap();
        bytes[40] ^= 1;
        std::fs::write(&tile, bytes).unwrap();
        let mut anew = Follower::new(key().1);
        anew.advance(&Place::Folder(dir.path().into()), &[], false, |_, _| ()).await.unwrap();
        let mut anew = Follower::new(key().1);
        let found = anew.advance(&Place::Folder(dir.path().into()), &[], true, |_, _| ()).await;
        assert!(matches!(found, Err(FollowError::Wrong { path }) if path == "tile/0/000"));
        // What was kept is checked.
        let mut kept = kept;
        kept.edge[0].replace_range(0..4, "AAAA");
        assert!(matches!(Follower::resume(&kept), Err(FollowError::State(_))));
    }
}
