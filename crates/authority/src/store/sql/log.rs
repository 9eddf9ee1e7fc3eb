//! The transparency log. Records are numbered as they are written, one after the other, without gaps: a record's place is
//! its number less one, and giving places is moving the log's size.

use super::{SET_BACK, SqlStore};
use crate::log::{ORIGIN, SHOWN};
use crate::store::log::{Log, LogEntry, LogTile, SignedCheckpoint};
use crate::store::{Serial, StoreError};
use medlock_node::log::Tile;
use medlock_store::{Engine, Fault, Row, Sql, all, first, values};
use medlock_trust::CredentialId;
use medlock_trust::log::HASH_LENGTH;

const LEASE: &str = "lease of the log";
const STATE: &str = "log";

impl Log for SqlStore {
    fn take_lease(&self, holder: [u8; 16], seconds: u32) -> Result<Option<u64>, StoreError> {
        self.database.write_single("take the lease of the log", move |database| {
            let now = super::seconds_now(database.engine());
            let sql = match database.engine() {
                // One process: whoever asks is the one.
                Engine::Sqlite => {
                    "UPDATE log SET term = term + (holder IS NOT ?1), holder = ?1, until = ?2 RETURNING term".to_owned()
                }
                // The server's clock measures for all; a lease that would last much longer was given before it was set back.
                Engine::Postgres => format!(
                    "UPDATE log SET term = term + CASE WHEN holder IS NOT DISTINCT FROM ?1 THEN 0 ELSE 1 END, holder = ?1,
                         until = {now} + ?2
                     WHERE holder IS NOT DISTINCT FROM ?1 OR until IS NULL
                         OR until NOT BETWEEN {now} + 1 AND {now} + ?2 + {SET_BACK}
                     RETURNING term"
                ),
            };
            first(database, STATE, &sql, values![holder, seconds], |row| row.number("term"))
        })
    }

    fn log_size(&self) -> Result<u64, StoreError> {
        self.database.read("read the size of the log", size)
    }

    fn waiting_entries(&self, most: u32) -> Result<Vec<LogEntry>, StoreError> {
        let sql = "SELECT serial, tbs FROM issuance WHERE number > (SELECT size FROM log) ORDER BY number LIMIT ?1";
        self.database.read("look for records that are not in the log", |database| {
            all(database, "issuance", sql, values![most], entry)
        })
    }

    fn append_entries(
        &self,
        term: u64,
        first: u64,
        serials: Vec<Serial>,
        tiles: Vec<LogTile>,
    ) -> Result<(), StoreError> {
        self.database.write("append to the log", move |database| {
            let next = "SELECT serial FROM issuance WHERE number > ?1 ORDER BY number LIMIT ?2";
            let next = all(database, "issuance", next, values![first, serials.len() as u64], serial)?;
            if next != serials {
                return Err(Fault::Missing("record without a place in the log"));
            }
            let changed = database.execute(
                "UPDATE log SET size = ?3 WHERE term = ?1 AND size = ?2",
                values![term, first, first.saturating_add(serials.len() as u64)],
            )?;
            Fault::unless_one(changed, LEASE)?;
            for LogTile { tile, hashes } in &tiles {
                database.execute(
                    "INSERT INTO log_tile (level, place, hashes) VALUES (?1, ?2, ?3)
                     ON CONFLICT (level, place) DO UPDATE SET hashes = excluded.hashes",
                    values![i64::from(tile.level), tile.index, hashes],
                )?;
            }
            Ok(())
        })
    }

    fn log_tile(&self, tile: Tile) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT hashes FROM log_tile WHERE level = ?1 AND place = ?2";
        let found = self.database.read("read a tile of the log", |database| {
            first(database, "log_tile", sql, values![i64::from(tile.level), tile.index], |row| {
                Ok(row.blob("hashes")?.to_vec())
            })
        })?;
        let wanted = usize::from(tile.width) * HASH_LENGTH;
        Ok(found.filter(|hashes| hashes.len() >= wanted).map(|mut hashes| {
            hashes.truncate(wanted);
            hashes
        }))
    }

    fn log_entries(&self, first: u64, count: u32) -> Result<Vec<LogEntry>, StoreError> {
        let sql = "SELECT serial, tbs FROM issuance WHERE number > ?1 AND number <= (SELECT size FROM log)
                   ORDER BY number LIMIT ?2";
        self.database
            .read("read entries of the log", |database| all(database, "issuance", sql, values![first, count], entry))
    }

    fn place_of(&self, serial: Serial) -> Result<Option<u64>, StoreError> {
        self.place_where("serial = ?1", serial.as_bytes())
    }

    fn place_of_credential(&self, credential: CredentialId) -> Result<Option<u64>, StoreError> {
        self.place_where("credential = ?1", credential.as_bytes())
    }

    fn keep_checkpoint(&self, term: u64, checkpoint: SignedCheckpoint) -> Result<(), StoreError> {
        let sql = "UPDATE log SET signed_size = ?2, checkpoint = ?3
                   WHERE term = ?1 AND size >= ?2 AND coalesce(signed_size, 0) <= ?2";
        self.database.write_single("keep a checkpoint of the log", move |database| {
            Fault::unless_one(database.execute(sql, values![term, checkpoint.size, &checkpoint.note])?, LEASE)
        })
    }

    fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, StoreError> {
        let sql = "SELECT signed_size, checkpoint FROM log WHERE checkpoint IS NOT NULL";
        self.database.read("read the checkpoint of the log", |database| {
            first(database, STATE, sql, &[], |row| {
                Ok(SignedCheckpoint { size: row.number("signed_size")?, note: row.blob("checkpoint")?.to_vec() })
            })
        })
    }

    fn start_log_anew(&self, origin: &str) -> Result<(), StoreError> {
        let origin = origin.to_owned();
        self.database.write("start the log anew", move |database| {
            let named = "UPDATE setting SET value = ?2 WHERE name = ?1";
            Fault::unless_one(database.execute(named, values![ORIGIN, &origin])?, "log")?;
            database.execute("DELETE FROM log_tile", &[])?;
            database.execute("DELETE FROM object WHERE kind = ?1", values![SHOWN])?;
            let emptied = "UPDATE log SET term = term + 1, holder = NULL, until = NULL, size = 0, signed_size = NULL,
                               checkpoint = NULL";
            database.execute(emptied, &[]).map(drop)
        })
    }
}

impl SqlStore {
    fn place_where(&self, condition: &str, value: &[u8; 16]) -> Result<Option<u64>, StoreError> {
        let sql =
            format!("SELECT number - 1 AS place FROM issuance WHERE {condition} AND number <= (SELECT size FROM log)");
        self.database.read("find a record in the log", |database| {
            first(database, "issuance", &sql, values![value], |row| row.number("place"))
        })
    }
}

fn size(database: &mut dyn Sql) -> Result<u64, Fault> {
    let size = first(database, STATE, "SELECT size FROM log", &[], |row| row.number("size"))?;
    size.ok_or(Fault::Damaged { table: STATE, what: "its one row is gone".to_owned() })
}

fn serial(row: &Row) -> Result<Serial, Fault> {
    Serial::from_octets(&row.bytes::<16>("serial")?).ok_or_else(|| row.damaged("serial"))
}

fn entry(row: &Row) -> Result<LogEntry, Fault> {
    Ok(LogEntry { serial: serial(row)?, tbs: row.blob("tbs")?.to_vec() })
}
