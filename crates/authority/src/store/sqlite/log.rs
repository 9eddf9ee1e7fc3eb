//! The transparency log. Records are numbered as they are written, by the one writer, without gaps: a record's place is
//! its number less one, and giving places is moving the log's size.

use super::row::{Reading, all, first, signed};
use super::{Fault, SqliteStore, one};
use crate::store::log::{Log, LogEntry, LogTile, SignedCheckpoint};
use crate::store::{Serial, StoreError};
use medlock_node::log::Tile;
use medlock_trust::CredentialId;
use medlock_trust::log::HASH_LENGTH;
use rusqlite::{Connection, params};

const LEASE: &str = "lease of the log";
const STATE: &str = "log";

impl Log for SqliteStore {
    fn take_lease(&self, holder: [u8; 16], _seconds: u32) -> Result<Option<u64>, StoreError> {
        self.write("take the lease of the log", move |connection| {
            connection
                .prepare_cached("UPDATE log SET term = term + (holder IS NOT ?1), holder = ?1")?
                .execute([holder.as_slice()])?;
            first(connection, STATE, "SELECT term FROM log", [], |row| row.number("term"))
        })
    }

    fn log_size(&self) -> Result<u64, StoreError> {
        self.read("read the size of the log", size)
    }

    fn waiting_entries(&self, most: u32) -> Result<Vec<LogEntry>, StoreError> {
        let sql = "SELECT serial, tbs FROM issuance WHERE number > (SELECT size FROM log) ORDER BY number LIMIT ?1";
        self.read("look for records that are not in the log", |connection| {
            all(connection, "issuance", sql, [most], entry)
        })
    }

    fn append_entries(
        &self,
        term: u64,
        first: u64,
        serials: Vec<Serial>,
        tiles: Vec<LogTile>,
    ) -> Result<(), StoreError> {
        self.write("append to the log", move |connection| {
            let mut number = first;
            for serial in &serials {
                number = number.saturating_add(1);
                let found = connection
                    .prepare_cached("SELECT 1 FROM issuance WHERE number = ?1 AND serial = ?2")?
                    .exists(params![signed(number), serial.as_bytes()])?;
                one(usize::from(found), "record without a place in the log")?;
            }
            let changed = connection
                .prepare_cached("UPDATE log SET size = ?3 WHERE term = ?1 AND size = ?2")?
                .execute(params![signed(term), signed(first), signed(number)])?;
            one(changed, LEASE)?;
            let mut keep = connection.prepare_cached(
                "INSERT INTO log_tile (level, place, hashes) VALUES (?1, ?2, ?3)
                 ON CONFLICT (level, place) DO UPDATE SET hashes = excluded.hashes",
            )?;
            for LogTile { tile, hashes } in &tiles {
                keep.execute(params![tile.level, signed(tile.index), hashes])?;
            }
            Ok(())
        })
    }

    fn log_tile(&self, tile: Tile) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT hashes FROM log_tile WHERE level = ?1 AND place = ?2";
        self.read("read a tile of the log", |connection| {
            let found = first(connection, "log_tile", sql, params![tile.level, signed(tile.index)], |row| {
                row.plain::<Vec<u8>>("hashes")
            })?;
            let mut hashes = found.filter(|hashes| hashes.len() >= usize::from(tile.width) * HASH_LENGTH);
            if let Some(hashes) = &mut hashes {
                hashes.truncate(usize::from(tile.width) * HASH_LENGTH);
            }
            Ok(hashes)
        })
    }

    fn log_entries(&self, first: u64, count: u32) -> Result<Vec<LogEntry>, StoreError> {
        let sql = "SELECT serial, tbs FROM issuance WHERE number > ?1 AND number <= (SELECT size FROM log)
                   ORDER BY number LIMIT ?2";
        self.read("read entries of the log", |connection| {
            all(connection, "issuance", sql, params![signed(first), count], entry)
        })
    }

    fn place_of(&self, serial: Serial) -> Result<Option<u64>, StoreError> {
        self.place_where("serial = ?1", serial.as_bytes())
    }

    fn place_of_credential(&self, credential: CredentialId) -> Result<Option<u64>, StoreError> {
        self.place_where("credential = ?1", credential.as_bytes())
    }

    fn keep_checkpoint(&self, term: u64, checkpoint: SignedCheckpoint) -> Result<(), StoreError> {
        self.write("keep a checkpoint of the log", move |connection| {
            let changed = connection
                .prepare_cached(
                    "UPDATE log SET signed_size = ?2, checkpoint = ?3
                     WHERE term = ?1 AND size >= ?2 AND ifnull(signed_size, 0) <= ?2",
                )?
                .execute(params![signed(term), signed(checkpoint.size), checkpoint.note])?;
            one(changed, LEASE)
        })
    }

    fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, StoreError> {
        let sql = "SELECT signed_size, checkpoint FROM log WHERE checkpoint IS NOT NULL";
        self.read("read the checkpoint of the log", |connection| {
            first(connection, STATE, sql, [], |row| {
                Ok(SignedCheckpoint { size: row.number("signed_size")?, note: row.plain("checkpoint")? })
            })
        })
    }
}

impl SqliteStore {
    fn place_where(&self, condition: &str, value: &[u8; 16]) -> Result<Option<u64>, StoreError> {
        let sql =
            format!("SELECT number - 1 AS place FROM issuance WHERE {condition} AND number <= (SELECT size FROM log)");
        self.read("find a record in the log", |connection| {
            first(connection, "issuance", &sql, [value.as_slice()], |row| row.number("place"))
        })
    }
}

fn size(connection: &Connection) -> Result<u64, Fault> {
    let size = first(connection, STATE, "SELECT size FROM log", [], |row| row.number("size"))?;
    size.ok_or(Fault::Damaged { table: STATE, what: "its one row is gone".to_owned() })
}

fn entry(row: &Reading<'_, '_>) -> Result<LogEntry, Fault> {
    Ok(LogEntry {
        serial: Serial::from_octets(&row.bytes::<16>("serial")?).ok_or_else(|| row.damaged("serial"))?,
        tbs: row.plain("tbs")?,
    })
}
