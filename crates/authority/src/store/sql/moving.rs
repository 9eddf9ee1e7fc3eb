//! From a file to a server, and copies of a file.

use super::{SCHEMA, Server, SqlStore};
use crate::store::StoreError;
use medlock_store::{Database, first, sqlite};
use std::path::Path;
use std::sync::Arc;

/// The tables that others refer to, in their order.
const FIRST: &[&str] = &["device", "code"];
/// What hubs that work at present hold.
const WITHOUT: &[&str] = &["hold"];

impl SqlStore {
    /// Moves everything in the SQLite database at `path` to a server whose schema nobody has used, and marks the file, so that
    /// no hub works on it any more. Returns how many rows there were.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the schema is in use; [`StoreError`].
    pub fn move_to(path: &Path, server: Server) -> Result<u64, StoreError> {
        let place = server.to_string();
        let from = Arc::new(Database::sqlite(path, &SCHEMA)?);
        let to = Database::postgres(server, &SCHEMA)?;
        let used = to.read("look whether the schema is used", |database| {
            first(database, "setting", "SELECT name FROM setting LIMIT 1", &[], |_| Ok(()))
        })?;
        if used.is_some() {
            return Err(StoreError::Failed {
                database: place,
                doing: "move a store there",
                why: "an authority is kept in that schema: name another one with --schema (an authority NAME beside the site \
                      has medlock_NAME)"
                    .to_owned(),
            });
        }
        let count = to.fill_from(&from, FIRST, WITHOUT)?;
        from.mark_moved(&place)?;
        Ok(count)
    }

    /// Where the SQLite database at `path` was moved, if it was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn moved_to(path: &Path) -> Result<Option<String>, StoreError> {
        sqlite::moved_to(path)
    }

    /// Copies the SQLite database at `path` into a new file, as it is at one instant, also while a hub works on it, and
    /// checks the copy.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn copy(path: &Path, to: &Path) -> Result<(), StoreError> {
        sqlite::copy(path, to)?;
        Database::sqlite(to, &SCHEMA)?.check()
    }
}
