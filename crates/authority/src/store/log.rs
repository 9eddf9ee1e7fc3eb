//! The transparency log, as the store keeps it.

use super::{Serial, StoreError};
use medlock_node::log::Tile;
use medlock_trust::CredentialId;

/// A record's place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Which record.
    pub serial: Serial,
    /// What the log has of it: the to-be-signed bytes.
    pub tbs: Vec<u8>,
}

/// A state of the log that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// How many entries it covers.
    pub size: u64,
    /// The signed note (C2SP tlog-checkpoint).
    pub note: Vec<u8>,
}

/// A tile and its hashes, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTile {
    /// Which one, and how wide.
    pub tile: Tile,
    /// Its hashes.
    pub hashes: Vec<u8>,
}

/// The log of one authority: every record gets a place in it, also one that was given up, because somebody may have its
/// signature. One process at a time gives places: who holds the lease. Each change names the term of its lease, so that
/// one who was replaced without noticing changes nothing.
pub trait Log: Send + Sync {
    /// Takes the lease, or keeps it; it lapses after `seconds`. Returns its term, which grows with each change of holder;
    /// `None` while another one holds it. A store of one process gives it to whoever asks.
    ///
    /// # Errors
    /// [`StoreError`].
    fn take_lease(&self, holder: [u8; 16], seconds: u32) -> Result<Option<u64>, StoreError>;

    /// How many entries have their place.
    ///
    /// # Errors
    /// [`StoreError`].
    fn log_size(&self) -> Result<u64, StoreError>;

    /// Records that have no place yet, in the order in which they get one: `most` at most.
    ///
    /// # Errors
    /// [`StoreError`].
    fn waiting_entries(&self, most: u32) -> Result<Vec<LogEntry>, StoreError>;

    /// Gives these records the places from `first` on, and keeps the tiles that have changed.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the lease is of another term, `first` is not the log's size, or a record is not the
    /// next one without a place.
    fn append_entries(
        &self,
        term: u64,
        first: u64,
        serials: Vec<Serial>,
        tiles: Vec<LogTile>,
    ) -> Result<(), StoreError>;

    /// A tile's hashes: at least as many as it is wide.
    ///
    /// # Errors
    /// [`StoreError`].
    fn log_tile(&self, tile: Tile) -> Result<Option<Vec<u8>>, StoreError>;

    /// The entries from number `first` on: `count` at most.
    ///
    /// # Errors
    /// [`StoreError`].
    fn log_entries(&self, first: u64, count: u32) -> Result<Vec<LogEntry>, StoreError>;

    /// The place of the record with this serial number.
    ///
    /// # Errors
    /// [`StoreError`].
    fn place_of(&self, serial: Serial) -> Result<Option<u64>, StoreError>;

    /// The place of this credential's record.
    ///
    /// # Errors
    /// [`StoreError`].
    fn place_of_credential(&self, credential: CredentialId) -> Result<Option<u64>, StoreError>;

    /// Keeps a checkpoint, from now on the newest.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the lease is of another term, the checkpoint covers more than the log has, or less than
    /// the newest.
    fn keep_checkpoint(&self, term: u64, checkpoint: SignedCheckpoint) -> Result<(), StoreError>;

    /// The newest checkpoint.
    ///
    /// # Errors
    /// [`StoreError`].
    fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, StoreError>;

    /// Takes all places back, and gives the log another name: the records get places anew.
    ///
    /// # Errors
    /// [`StoreError`].
    fn start_log_anew(&self, origin: &str) -> Result<(), StoreError>;
}
