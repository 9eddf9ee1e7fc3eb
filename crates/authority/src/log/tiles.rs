//! The tiles of the log that proofs need, kept in memory while they are asked for.

use crate::store::{Store, StoreError};
use medlock_node::log::tree::Pyramid;
use medlock_node::log::{Tile, Tiles};
use medlock_trust::log::Hash;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// So many tiles are kept, 16 KiB each with the nodes above; then all are forgotten, and those that are needed come back.
const MOST: usize = 512;

/// Tiles that were needed lately. A tile never changes: one that grows is another.
#[derive(Default)]
pub(super) struct Kept(Mutex<HashMap<Tile, Arc<Pyramid>>>);

/// The tiles in the store.
pub(super) struct Stored<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) kept: &'a Kept,
}

impl Stored<'_> {
    fn pyramid(&self, tile: Tile) -> Result<Arc<Pyramid>, StoreError> {
        let held = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner).get(&tile).cloned();
        if let Some(held) = held {
            return Ok(held);
        }
        let new = Arc::new(Pyramid::over(self.tile(tile)?));
        let mut kept = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(tile, new.clone());
        Ok(new)
    }
}

impl Tiles for Stored<'_> {
    type Error = StoreError;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, StoreError> {
        let found = self.store.log_tile(tile)?.and_then(|hashes| tile.hashes(&hashes));
        found.ok_or(StoreError::Missing { what: "tile of the log" })
    }

    fn node(&self, tile: Tile, start: usize, height: u32) -> Result<Hash, StoreError> {
        self.pyramid(tile)?.node(start, height).ok_or(StoreError::Missing { what: "node of the log" })
    }
}
