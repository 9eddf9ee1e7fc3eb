//! Published objects, alarms, the audit trail, settings.

use super::row::{Reading, all, first, signed};
use super::{Fault, SqliteStore, one, taken};
use crate::store::{Alarm, AuditEntry, Journal, Published, StoreError};
use medlock_trust::DeviceName;
use rusqlite::{Connection, params};

/// How many objects of a kind are kept: the newest, and some for whoever looks into what went wrong.
const KEPT_OBJECTS: u32 = 4;

impl Journal for SqliteStore {
    fn publish(&self, kind: &'static str, object: Published) -> Result<(), StoreError> {
        self.write("publish a signed object", move |connection| {
            let changed = connection
                .prepare_cached(
                    "INSERT INTO object (kind, version, at, bytes) SELECT ?1, ?2, ?3, ?4
                     WHERE NOT EXISTS (SELECT 1 FROM object WHERE kind = ?1 AND version >= ?2)",
                )?
                .execute(params![kind, signed(object.version), object.at.unix(), object.bytes])?;
            if changed != 1 {
                return Err(Fault::Taken("version of this object"));
            }
            connection
                .prepare_cached(
                    "DELETE FROM object WHERE kind = ?1 AND version NOT IN
                         (SELECT version FROM object WHERE kind = ?1 ORDER BY version DESC LIMIT ?2)",
                )?
                .execute(params![kind, KEPT_OBJECTS])?;
            Ok(())
        })
    }

    fn published(&self, kind: &'static str) -> Result<Option<Published>, StoreError> {
        let sql = "SELECT version, at, bytes FROM object WHERE kind = ?1 ORDER BY version DESC LIMIT 1";
        self.read("read a signed object", |connection| {
            first(connection, "object", sql, [kind], |row| {
                Ok(Published { version: row.number("version")?, at: row.time("at")?, bytes: row.plain("bytes")? })
            })
        })
    }

    fn next_number(&self, series: &'static str, least: u64) -> Result<u64, StoreError> {
        self.write("take the next number", move |connection| next_number(connection, series, least))
    }

    fn raise(&self, alarm: Alarm) -> Result<(), StoreError> {
        self.write("raise an alarm", move |connection| {
            let device = alarm.device.as_ref().map(DeviceName::as_str);
            let counted = connection
                .prepare_cached(
                    "UPDATE alarm SET count = count + 1, last = ?1
                     WHERE kind = ?2 AND device IS ?3 AND acknowledged = 0",
                )?
                .execute(params![alarm.at.unix(), alarm.kind, device])?;
            if counted == 0 {
                connection
                    .prepare_cached("INSERT INTO alarm (at, last, kind, device, text) VALUES (?1, ?1, ?2, ?3, ?4)")?
                    .execute(params![alarm.at.unix(), alarm.kind, device, alarm.text])?;
            }
            Ok(())
        })
    }

    fn alarms(&self) -> Result<Vec<Alarm>, StoreError> {
        let sql = "SELECT id, at, last, count, kind, device, text, acknowledged FROM alarm
                   ORDER BY acknowledged, last DESC, id DESC LIMIT 1000";
        self.read("list the alarms", |connection| all(connection, "alarm", sql, [], alarm))
    }

    fn acknowledge(&self, id: i64) -> Result<(), StoreError> {
        self.write("acknowledge an alarm", move |connection| {
            let changed =
                connection.prepare_cached("UPDATE alarm SET acknowledged = 1 WHERE id = ?1")?.execute([id])?;
            one(changed, "alarm")
        })
    }

    fn note(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.write("write the audit trail", move |connection| {
            connection
                .prepare_cached("INSERT INTO audit (at, who, verb, subject, outcome) VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![entry.at.unix(), entry.who, entry.verb, entry.subject, entry.outcome])?;
            Ok(())
        })
    }

    fn audit(&self, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = "SELECT at, who, verb, subject, outcome FROM audit ORDER BY id DESC LIMIT ?1";
        self.read("read the audit trail", |connection| all(connection, "audit", sql, [limit], audit_entry))
    }

    fn setting(&self, name: &'static str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT value FROM setting WHERE name = ?1";
        self.read("read a setting", |connection| first(connection, "setting", sql, [name], |row| row.plain("value")))
    }

    fn set_once(&self, name: &'static str, value: &str) -> Result<(), StoreError> {
        let value = value.to_owned();
        self.write("make a setting", move |connection| {
            connection
                .prepare_cached("INSERT INTO setting (name, value) VALUES (?1, ?2)")?
                .execute(params![name, value])
                .map_err(taken("setting"))?;
            Ok(())
        })
    }
}

pub(super) fn next_number(connection: &Connection, series: &str, least: u64) -> Result<u64, Fault> {
    let sql = "INSERT INTO number (series, last) VALUES (?1, max(1, ?2))
               ON CONFLICT (series) DO UPDATE SET last = max(last + 1, ?2) RETURNING last";
    let next = first(connection, "number", sql, params![series, signed(least)], |row| row.number("last"))?;
    next.ok_or(Fault::Missing("series of numbers"))
}

fn alarm(row: &Reading<'_, '_>) -> Result<Alarm, Fault> {
    Ok(Alarm {
        id: row.plain("id")?,
        at: row.time("at")?,
        last: row.time("last")?,
        count: row.number("count")?,
        kind: row.plain("kind")?,
        device: row.optional_device("device")?,
        text: row.plain("text")?,
        acknowledged: row.plain("acknowledged")?,
    })
}

fn audit_entry(row: &Reading<'_, '_>) -> Result<AuditEntry, Fault> {
    Ok(AuditEntry {
        at: row.time("at")?,
        who: row.plain("who")?,
        verb: row.plain("verb")?,
        subject: row.plain("subject")?,
        outcome: row.plain("outcome")?,
    })
}
