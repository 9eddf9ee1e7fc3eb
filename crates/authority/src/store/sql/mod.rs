//! The store on SQLite (one file, one process) or on PostgreSQL (a server, several hubs): the verbs are written once, over
//! [`medlock_store::Sql`], and mean the same on both.

mod issuance;
mod journal;
mod log;
mod migrations;
mod moving;
mod owners;
mod pledges;
mod register;
mod row;
mod standing;

use super::StoreError;
pub use medlock_store::postgres::Server;
use medlock_store::{Database, Engine, Schema, first};
use std::path::Path;

const SCHEMA: Schema = Schema {
    application: "medlock-authority",
    // "MDLA"
    id: 0x4d44_4c41,
    oldest: 17,
    steps: migrations::STEPS,
};

/// The authority's database.
#[derive(Debug)]
pub struct SqlStore {
    database: Database,
    left: issuance::Left,
}

impl SqlStore {
    /// Opens the SQLite database at `path`, or makes it; checks it and brings its tables up to date.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is not our database, or is damaged; [`StoreError::Newer`] when a later version has written it;
    /// [`StoreError::Failed`] when it cannot be opened.
    pub fn sqlite(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { database: Database::sqlite(path, &SCHEMA)?, left: issuance::Left::default() })
    }

    /// Connects to a PostgreSQL server and brings the tables up to date.
    ///
    /// # Errors
    /// [`StoreError::Away`] when it cannot be reached; else as [`SqlStore::sqlite`].
    pub fn postgres(server: Server) -> Result<Self, StoreError> {
        Ok(Self { database: Database::postgres(server, &SCHEMA)?, left: issuance::Left::default() })
    }

    /// What the hold of a hub that works on a store begins with; its name stands behind it.
    pub(crate) const HUB: &str = "hub ";
    /// The same of a hub whose clock is the server's.
    pub(crate) const CLOCK: &str = "clock ";

    /// Which tables of a server these are: others after they were brought back from a dump. `None` for a file.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn place(&self) -> Result<Option<String>, StoreError> {
        if self.engine() == Engine::Sqlite {
            return Ok(None);
        }
        // Tables of the first step. A dump makes them in another order, without what belongs to them.
        let sql = "SELECT string_agg(CAST(oid AS TEXT), ' ' ORDER BY relname) AS place FROM pg_class
                   WHERE relnamespace = CAST(current_schema() AS regnamespace)
                       AND relname IN ('device', 'issuance', 'number', 'object', 'setting', 'standing')";
        self.database.read("look which tables these are", |database| {
            first(database, "pg_class", sql, &[], |row| Ok(row.text("place")?.to_owned()))
        })
    }

    /// Which database it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.database.engine()
    }
}

/// By so many seconds a server's clock may be set back without anything that is held being lost; what was given for longer was given
/// before it was set back further, perhaps by who is no more.
const SET_BACK: u32 = 60;

/// The server's clock, in seconds; where there is none, the machine's.
fn seconds_now(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "unixepoch()",
        Engine::Postgres => "CAST(extract(epoch FROM clock_timestamp()) AS BIGINT)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Purpose;
    use medlock_store::{all, values};

    /// What SQLite says of how it finds what a question asks for.
    fn plan(store: &SqlStore, sql: &str) -> String {
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let count = (1..100).rev().find(|number| sql.contains(&format!("?{number}"))).unwrap_or(0);
        let parameters: Vec<_> = (0..count).flat_map(|_| values![0_i64].to_vec()).collect();
        let lines = store.database.read("explain", |database| {
            all(database, "plan", &sql, &parameters, |row| Ok(row.text("detail")?.to_owned()))
        });
        lines.unwrap().join("\n")
    }

    /// Shows REQ-STORE-50.
    #[test]
    fn the_authority_finds_its_own_certificates_among_millions_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqlStore::sqlite(&dir.path().join("s")).unwrap();
        for purpose in [Purpose::Root, Purpose::Issuing, Purpose::Voucher] {
            let plan = plan(&store, &issuance::newest(purpose));
            assert!(plan.contains("USING INDEX issuance_own") && !plan.contains("TEMP"), "{plan}");
        }
        let plan = plan(&store, "UPDATE pending SET state = 'rejected' WHERE device = ?1 AND state <> 'rejected'");
        assert!(plan.contains("USING INDEX pending_device"), "{plan}");
    }
}
