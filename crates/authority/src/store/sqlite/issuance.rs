//! Certificates, from before they exist.

use super::row::{Reading, all, first, word};
use super::{Fault, SqliteStore, one, taken};
use crate::store::{Issuances, Issued, Purpose, Record, Serial, StoreError};
use medlock_trust::{CredentialId, DeviceName, KeyId};
use rusqlite::params;

const PURPOSES: &[(Purpose, &str)] = &[
    (Purpose::Root, "root"),
    (Purpose::Issuing, "issuing"),
    (Purpose::Operational, "operational"),
    (Purpose::Birth, "birth"),
];
const TABLE: &str = "issuance";
const COLUMNS: &str =
    "serial, purpose, device, key, parent, not_before, not_after, at, tbs, credential, certificate, used";

impl SqliteStore {
    fn issued_where(
        &self,
        doing: &'static str,
        condition: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<Issued>, StoreError> {
        // By number: a clock that went back does not change what came first.
        let sql = format!("SELECT {COLUMNS} FROM issuance WHERE state = 'issued' AND {condition} ORDER BY number DESC");
        self.read(doing, |connection| all(connection, TABLE, &sql, parameters, issued))
    }
}

impl Issuances for SqliteStore {
    fn record(&self, record: Record) -> Result<(), StoreError> {
        self.write("record a certificate before it is signed", move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO issuance (serial, purpose, device, key, parent, not_before, not_after, at, tbs)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )?
                .execute(params![
                    record.serial.as_bytes(),
                    word(&record.purpose, PURPOSES),
                    record.device.as_ref().map(DeviceName::as_str),
                    record.key.as_bytes(),
                    record.parent.as_ref().map(CredentialId::as_bytes),
                    record.not_before.unix(),
                    record.not_after.unix(),
                    record.at.unix(),
                    record.tbs,
                ])
                .map_err(taken("certificate serial"))?;
            Ok(())
        })
    }

    fn complete(&self, serial: Serial, credential: CredentialId, certificate: Vec<u8>) -> Result<(), StoreError> {
        self.write("store a certificate", move |connection| {
            let changed = connection
                .prepare_cached(
                    "UPDATE issuance SET state = 'issued', credential = ?2, certificate = ?3
                     WHERE serial = ?1 AND state = 'recorded'",
                )?
                .execute(params![serial.as_bytes(), credential.as_bytes(), certificate])
                .map_err(taken("credential"))?;
            one(changed, "recorded certificate")
        })
    }

    fn abandon(&self, serial: Serial, why: &str) -> Result<(), StoreError> {
        let why = why.to_owned();
        self.write("give a recorded certificate up", move |connection| {
            let changed = connection
                .prepare_cached(
                    "UPDATE issuance SET state = 'abandoned', abandoned = ?2 WHERE serial = ?1 AND state <> 'issued'",
                )?
                .execute(params![serial.as_bytes(), why])?;
            one(changed, "recorded certificate")
        })
    }

    fn unfinished(&self) -> Result<Vec<Record>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM issuance WHERE state = 'recorded' ORDER BY number");
        self.read("look for unfinished certificates", |connection| all(connection, TABLE, &sql, [], record))
    }

    fn issued(&self, credential: CredentialId) -> Result<Option<Issued>, StoreError> {
        let found = self.issued_where("find a certificate", "credential = ?1", [credential.as_bytes()])?;
        Ok(found.into_iter().next())
    }

    fn issued_with_serial(&self, serial: Serial) -> Result<Option<Issued>, StoreError> {
        Ok(self.issued_where("find a serial", "serial = ?1", [serial.as_bytes()])?.into_iter().next())
    }

    fn newest(&self, purpose: Purpose) -> Result<Option<Issued>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM issuance WHERE state = 'issued' AND purpose = ?1 ORDER BY number DESC LIMIT 1"
        );
        self.read("find the authority's certificate", |connection| {
            first(connection, TABLE, &sql, [word(&purpose, PURPOSES)], issued)
        })
    }

    fn credentials_of(&self, device: DeviceName) -> Result<Vec<Issued>, StoreError> {
        self.issued_where("list a device's certificates", "device = ?1", [device.as_str()])
    }

    fn credentials_for(&self, key: KeyId) -> Result<Vec<Issued>, StoreError> {
        self.issued_where("list a key's certificates", "key = ?1", [key.as_bytes()])
    }

    fn children(&self, parent: CredentialId) -> Result<Vec<Issued>, StoreError> {
        self.issued_where("list a certificate's successors", "parent = ?1", [parent.as_bytes()])
    }

    fn mark_used(&self, credential: CredentialId) -> Result<bool, StoreError> {
        self.write("note a certificate's first use", move |connection| {
            let changed = connection
                .prepare_cached("UPDATE issuance SET used = 1 WHERE credential = ?1 AND used = 0")?
                .execute([credential.as_bytes()])?;
            Ok(changed == 1)
        })
    }
}

fn record(row: &Reading<'_, '_>) -> Result<Record, Fault> {
    Ok(Record {
        serial: Serial::from_octets(&row.bytes::<16>("serial")?).ok_or_else(|| row.damaged("serial"))?,
        purpose: row.word("purpose", PURPOSES)?,
        device: row.optional_device("device")?,
        key: row.key("key")?,
        parent: row.optional_bytes("parent")?.map(CredentialId::from_bytes),
        not_before: row.time("not_before")?,
        not_after: row.time("not_after")?,
        at: row.time("at")?,
        tbs: row.plain("tbs")?,
    })
}

fn issued(row: &Reading<'_, '_>) -> Result<Issued, Fault> {
    Ok(Issued {
        record: record(row)?,
        credential: row.credential("credential")?,
        certificate: row.plain("certificate")?,
        used: row.plain("used")?,
    })
}
