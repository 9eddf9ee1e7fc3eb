//! Values in columns, and back. What cannot be read back is damage, and named.

use super::Fault;
use medlock_trust::{CredentialId, DeviceName, KeyId, Time};
use rusqlite::Row;

/// A row of a known table.
pub(super) struct Reading<'r, 's> {
    pub(super) table: &'static str,
    pub(super) row: &'r Row<'s>,
}

impl Reading<'_, '_> {
    pub(super) fn damaged(&self, column: &str) -> Fault {
        Fault::Damaged { table: self.table, what: format!("column {column} holds a value that was never written") }
    }

    pub(super) fn plain<T: rusqlite::types::FromSql>(&self, column: &str) -> Result<T, Fault> {
        Ok(self.row.get(column)?)
    }

    /// A count: stored signed, as SQLite has it.
    pub(super) fn number(&self, column: &str) -> Result<u64, Fault> {
        u64::try_from(self.plain::<i64>(column)?).map_err(|_| self.damaged(column))
    }

    pub(super) fn bytes<const N: usize>(&self, column: &str) -> Result<[u8; N], Fault> {
        self.plain::<Vec<u8>>(column)?.try_into().map_err(|_| self.damaged(column))
    }

    pub(super) fn optional_bytes<const N: usize>(&self, column: &str) -> Result<Option<[u8; N]>, Fault> {
        let found: Option<Vec<u8>> = self.plain(column)?;
        found.map(|bytes| bytes.try_into().map_err(|_| self.damaged(column))).transpose()
    }

    pub(super) fn time(&self, column: &str) -> Result<Time, Fault> {
        Ok(Time::from_unix(self.plain(column)?))
    }

    pub(super) fn key(&self, column: &str) -> Result<KeyId, Fault> {
        Ok(KeyId::from_bytes(self.bytes(column)?))
    }

    pub(super) fn credential(&self, column: &str) -> Result<CredentialId, Fault> {
        Ok(CredentialId::from_bytes(self.bytes(column)?))
    }

    pub(super) fn device(&self, column: &str) -> Result<DeviceName, Fault> {
        DeviceName::new(&self.plain::<String>(column)?).ok_or_else(|| self.damaged(column))
    }

    pub(super) fn optional_device(&self, column: &str) -> Result<Option<DeviceName>, Fault> {
        let found: Option<String> = self.plain(column)?;
        found.map(|name| DeviceName::new(&name).ok_or_else(|| self.damaged(column))).transpose()
    }

    /// One of the names in `words`.
    pub(super) fn word<T: Copy>(&self, column: &str, words: &[(T, &str)]) -> Result<T, Fault> {
        let found: String = self.plain(column)?;
        let meant = words.iter().find(|(_, word)| *word == found).map(|(value, _)| *value);
        meant.ok_or_else(|| self.damaged(column))
    }

    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T, Fault> {
        serde_json::from_str(&self.plain::<String>(column)?).map_err(|_| self.damaged(column))
    }
}

/// A count as it is stored. Beyond 2^63 nothing counts.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The word for a value: every value has one.
pub(super) fn word<T: PartialEq>(value: &T, words: &[(T, &'static str)]) -> &'static str {
    words.iter().find(|(other, _)| other == value).map_or("", |(_, word)| word)
}

/// All rows of a query, read.
pub(super) fn all<T>(
    connection: &rusqlite::Connection,
    table: &'static str,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl Fn(&Reading<'_, '_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(&Reading { table, row })?);
    }
    Ok(found)
}

/// The first row of a query, read.
pub(super) fn first<T>(
    connection: &rusqlite::Connection,
    table: &'static str,
    sql: &str,
    parameters: impl rusqlite::Params,
    read: impl Fn(&Reading<'_, '_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    rows.next()?.map(|row| read(&Reading { table, row })).transpose()
}
