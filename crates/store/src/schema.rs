//! The tables, in numbered steps. A step that was ever released is never changed; the next one is added behind it.
//!
//! On PostgreSQL the programs of one database are not replaced at the same instant: a step only adds (tables, columns that
//! may be empty, indices), so that the version before goes on working while the newer one has taken it already.

use crate::{Engine, Fault, Sql};

/// What a database is for, and how its tables came to be.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Names the application in errors, threads and sessions.
    pub application: &'static str,
    /// Tells our SQLite files from others' (`PRAGMA application_id`).
    pub id: i32,
    /// Each step, in order.
    pub steps: &'static [Step],
}

/// A step: a transaction of its own.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Statements.
    Sql {
        /// In SQLite's words.
        sqlite: &'static str,
        /// In PostgreSQL's.
        postgres: &'static str,
    },
    /// A change of what the tables hold.
    Code(fn(&mut dyn Sql) -> Result<(), Fault>),
}

impl Step {
    pub(crate) fn take(&self, sql: &mut dyn Sql) -> Result<(), Fault> {
        match self {
            Self::Sql { sqlite, postgres } => match sql.engine() {
                Engine::Sqlite => sql.batch(sqlite),
                Engine::Postgres => sql.batch(postgres),
            },
            Self::Code(code) => code(sql),
        }
    }
}

/// What to say of tables that a later program has made.
pub(crate) fn too_new(version: usize, known: usize) -> Fault {
    Fault::Corrupt(format!(
        "its tables are of version {version}, and this program knows {known}: use the newer program"
    ))
}
