//! The tables, in numbered steps. A step that was ever released is never changed; the next one is added behind it.
//!
//! On PostgreSQL the programs of one database are not replaced at the same instant: a step only adds (tables, columns that an
//! older program may leave out, indices), so that the version before goes on working while the newer one has taken it already, and
//! may come back. [`Schema::oldest`] says since when that is so; a step behind it that does more is not taken.

use crate::{Engine, Fault, Sql};

/// What a database is for, and how its tables came to be.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Names the application in errors, threads and sessions.
    pub application: &'static str,
    /// Tells our SQLite files from others' (`PRAGMA application_id`).
    pub id: i32,
    /// Programs that know this many steps or more work on these tables: each step behind it only adds. A step that does more
    /// raises this to its own number, and is taken only while no older program works on the tables.
    pub oldest: usize,
    /// Each step, in order.
    pub steps: &'static [Step],
}

impl Schema {
    /// The least number of steps a program must know to work on these tables after so many of them.
    pub(crate) fn oldest_after(&self, steps: usize) -> usize {
        self.oldest.min(steps)
    }

    /// The steps from the one behind `version` on, each with the version it makes.
    ///
    /// # Errors
    /// [`Fault::Failed`] when one of them does more than it may.
    pub(crate) fn behind(&self, version: usize) -> Result<Vec<(usize, &'static Step)>, Fault> {
        let steps: Vec<(usize, &Step)> = (1..).zip(self.steps).collect();
        let adding = steps.get(self.oldest..).unwrap_or_default();
        let made: String = adding.iter().flat_map(|(_, step)| step.texts()).collect();
        for (number, step) in adding.iter().filter(|(number, _)| *number > version) {
            if let Some(statement) = step.texts().into_iter().find_map(|text| more_than_adds(text, &made)) {
                return Err(Fault::Failed(format!(
                    "step {number} of the tables does more than add, which an older program does not expect: {statement}"
                )));
            }
        }
        Ok(steps.into_iter().skip(version).collect())
    }
}

/// A step: a transaction of its own, but for [`Step::Index`] on PostgreSQL.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Statements.
    Sql {
        /// In SQLite's words.
        sqlite: &'static str,
        /// In PostgreSQL's.
        postgres: &'static str,
    },
    /// Statements in SQLite's words, of which PostgreSQL's are made: `INTEGER` is `BIGINT` (and gives numbers by itself as
    /// a primary key), `BLOB` is `BYTEA`, `TEXT` is ordered by its bytes, `STRICT` and `WITHOUT ROWID` fall away. For
    /// tables, columns and indices; triggers need [`Step::Sql`].
    Both(&'static str),
    /// An index of a table that there was before, and may be large: on PostgreSQL it is made beside the work of others.
    Index {
        /// Its name.
        name: &'static str,
        /// Table and columns, as they follow `ON`.
        on: &'static str,
    },
    /// A change of what the tables hold. On PostgreSQL nobody else writes meanwhile, so it takes a second at most.
    Code(fn(&mut dyn Sql) -> Result<(), Fault>),
}

impl Step {
    pub(crate) fn take(&self, sql: &mut dyn Sql) -> Result<(), Fault> {
        match self {
            Self::Sql { sqlite, postgres } => match sql.engine() {
                Engine::Sqlite => sql.batch(sqlite),
                Engine::Postgres => sql.batch(postgres),
            },
            Self::Both(text) => match sql.engine() {
                Engine::Sqlite => sql.batch(text),
                Engine::Postgres => sql.batch(&in_postgres(text)),
            },
            Self::Index { name, on } => sql.batch(&format!("CREATE INDEX {name} ON {on}")),
            Self::Code(code) => code(sql),
        }
    }

    fn texts(&self) -> [&'static str; 2] {
        match *self {
            Self::Sql { sqlite, postgres } => [sqlite, postgres],
            Self::Both(text) => [text, ""],
            Self::Index { .. } | Self::Code(_) => ["", ""],
        }
    }
}

/// The statement that does more than add, if there is one, or that nobody here knows: older programs would fail at what it changes, or
/// wait for it. Of tables that are `made` by it or beside it they know nothing.
fn more_than_adds(text: &str, made: &str) -> Option<String> {
    // Names are written small, as in the steps themselves.
    let made = made.to_uppercase();
    let made = |table: &str| made.contains(&format!("CREATE TABLE {table} "));
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n");
    let more = |statement: &&str| {
        let statement = statement.to_uppercase();
        let words: Vec<&str> = statement.split([' ', '\n', '(']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            ["CREATE", "TABLE" | "FUNCTION", ..] => false,
            ["CREATE", "INDEX", _, "ON", table, ..] | ["CREATE", "UNIQUE", "INDEX", _, "ON", table, ..] => !made(table),
            ["CREATE", "TRIGGER", _, rest @ ..] => !rest.windows(2).any(|pair| pair[0] == "ON" && made(pair[1])),
            ["ALTER", "TABLE", _, "ADD", "COLUMN", column @ ..] => {
                column.contains(&"NOT") && !column.contains(&"DEFAULT")
            }
            // The inside of a trigger or a function, and nothing at all.
            ["SELECT" | "IF" | "RAISE" | "RETURN" | "BEGIN" | "END", ..] | [] => false,
            [first, ..] => !first.starts_with("$$"),
        }
    };
    lines.split(';').map(str::trim).find(more).map(str::to_owned)
}

fn in_postgres(sqlite: &str) -> String {
    [
        (" INTEGER PRIMARY KEY", " BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"),
        (" INTEGER", " BIGINT"),
        (" BLOB", " BYTEA"),
        (" TEXT", " TEXT COLLATE \"C\""),
        (") STRICT, WITHOUT ROWID", ")"),
        (") STRICT", ")"),
    ]
    .iter()
    .fold(sqlite.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-STORE-151.
    #[test]
    fn what_an_older_program_does_not_expect_is_not_taken() {
        const MADE: &str = "CREATE TABLE made (a TEXT NOT NULL) STRICT; CREATE UNIQUE INDEX made_a ON made (a);
            CREATE TRIGGER stays BEFORE DELETE ON made BEGIN SELECT RAISE(ABORT, 'it stays'); END";
        let schema = |oldest, steps| Schema { application: "test", id: 1, oldest, steps };
        for adds in [
            MADE,
            "",
            "ALTER TABLE thing ADD COLUMN size INTEGER",
            "ALTER TABLE thing ADD COLUMN size INTEGER NOT NULL DEFAULT 0;",
        ] {
            assert_eq!(more_than_adds(adds, adds), None, "{adds}");
        }
        for more in [
            "CREATE INDEX thing_size ON thing (size)",
            "ALTER TABLE thing ADD COLUMN size INTEGER NOT NULL",
            "ALTER TABLE thing RENAME COLUMN a TO b",
            "ALTER TABLE thing DROP COLUMN a",
            "DROP INDEX thing_size",
            "UPDATE thing SET a = 1",
            "DELETE FROM thing",
            "CREATE TRIGGER stays BEFORE DELETE ON thing BEGIN SELECT RAISE(ABORT, 'it stays')",
            "drop index thing_size",
            "INSERT INTO thing (a) VALUES (1)",
            "TRUNCATE thing",
            "REPLACE INTO thing (a) VALUES (1)",
        ] {
            assert_eq!(more_than_adds(&format!("{MADE};{more};"), MADE).as_deref(), Some(more));
            assert_eq!(more_than_adds(&format!("-- what it is for\n{more};"), MADE).as_deref(), Some(more));
        }
        static STEPS: &[Step] =
            &[Step::Both(MADE), Step::Both("DROP INDEX made_a"), Step::Index { name: "a", on: "made (a)" }];
        assert_eq!(schema(2, STEPS).behind(0).unwrap().len(), 3);
        let refused = schema(1, STEPS).behind(1).unwrap_err();
        assert!(
            matches!(&refused, Fault::Failed(why) if why.contains("step 2") && why.contains("DROP INDEX made_a")),
            "{refused:?}"
        );
        assert_eq!(schema(1, STEPS).behind(2).unwrap().len(), 1, "what was taken is not judged again");
    }
}
