//! From a file to a server: every row, in one transaction.

use crate::value::{Sql, Value, all, first};
use crate::{Database, Error, Fault, values};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

/// Rows of one statement.
const BATCH: usize = 256;

impl Database {
    /// Copies all tables of `from`, an SQLite database that nobody writes to, into this one, a PostgreSQL database with the
    /// same tables that nobody has used: `first` in their order, then the others, but for `without`. All of it or nothing.
    /// Numbers that tables give by themselves go on behind the copied ones. Returns how many rows there were.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Failed`] when a table or a column is missing here.
    pub fn fill_from(
        &self,
        from: &Arc<Self>,
        first: &'static [&'static str],
        without: &'static [&'static str],
    ) -> Result<u64, Error> {
        let from = from.clone();
        self.write("copy all tables", move |target| {
            let names =
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
            let tables = from.read("list the tables", |source| {
                all(source, "sqlite_schema", names, &[], |row| Ok(row.text("name")?.to_owned()))
            });
            let tables = tables.map_err(|error| Fault::Failed(error.to_string()))?;
            let others = tables.iter().map(String::as_str);
            let others = others.filter(|name| !first.contains(name) && !without.contains(name));
            let mut count: u64 = 0;
            for table in first.iter().copied().chain(others) {
                count += fill(&from, target, table)?;
            }
            Ok(count)
        })
    }
}

/// Copies one table.
fn fill(from: &Database, target: &mut dyn Sql, table: &str) -> Result<u64, Fault> {
    let columns = columns(from, target, table)?;
    let names = columns.join(", ");
    if number(target, &format!("SELECT count(*) AS count FROM {table}"))? > 0 {
        // What the steps put there. A table that is never to be emptied refuses this.
        target.execute(&format!("DELETE FROM {table}"), &[])?;
    }
    let question = format!("SELECT {names} FROM {table}");
    let (send, receive) = sync_channel::<Vec<Value>>(2);
    let count = std::thread::scope(|scope| {
        let read = scope.spawn(move || {
            from.read_snapshot("read a table", |source| {
                let mut batch = Vec::new();
                let mut rows: u64 = 0;
                source.each("table that is copied", &question, &[], &mut |row| {
                    batch.extend_from_slice(row.values());
                    rows += 1;
                    let full = batch.len() >= BATCH * row.values().len();
                    // Who takes them may have failed, and says why.
                    Ok(!full || send.send(std::mem::take(&mut batch)).is_ok())
                })?;
                let _ = send.send(std::mem::take(&mut batch));
                Ok(rows)
            })
        });
        for batch in receive {
            insert(target, table, &columns, &batch)?;
        }
        let rows = read.join().map_err(|_| Fault::Failed("the reading thread ended".to_owned()))?;
        rows.map_err(|error| Fault::Failed(error.to_string()))
    })?;
    let there = number(target, &format!("SELECT count(*) AS count FROM {table}"))?;
    if there != count {
        return Err(Fault::Failed(format!("table {table} has {count} rows, and {there} came")));
    }
    let sequences = format!(
        "SELECT CAST(column_name AS TEXT) AS name FROM information_schema.columns
         WHERE table_schema = current_schema() AND table_name = '{table}' AND is_identity = 'YES'"
    );
    for column in all(target, "information_schema", &sequences, &[], |row| Ok(row.text("name")?.to_owned()))? {
        target.batch(&format!(
            "SELECT setval(pg_get_serial_sequence('{table}', '{column}'), coalesce(max({column}), 0) + 1, false) FROM {table}"
        ))?;
    }
    Ok(count)
}

/// The columns of a table, each of which must be there too; with the number SQLite gives a row, where that is kept.
fn columns(from: &Database, target: &mut dyn Sql, table: &str) -> Result<Vec<String>, Fault> {
    let theirs = from.read("list the columns", |source| {
        let question = "SELECT name FROM pragma_table_info(?1)";
        all(source, "table_info", question, values![table], |row| Ok(row.text("name")?.to_owned()))
    });
    let mut theirs = theirs.map_err(|error| Fault::Failed(error.to_string()))?;
    let question = format!(
        "SELECT CAST(column_name AS TEXT) AS name FROM information_schema.columns
         WHERE table_schema = current_schema() AND table_name = '{table}'"
    );
    let ours = all(target, "information_schema", &question, &[], |row| Ok(row.text("name")?.to_owned()))?;
    if let Some(missing) = theirs.iter().find(|name| !ours.contains(name)) {
        return Err(Fault::Failed(format!("the server's table {table} has no column {missing}")));
    }
    let row = "rowid".to_owned();
    if ours.contains(&row) {
        theirs.push(row);
    }
    Ok(theirs)
}

fn insert(target: &mut dyn Sql, table: &str, columns: &[String], batch: &[Value]) -> Result<(), Fault> {
    if batch.is_empty() {
        return Ok(());
    }
    let width = columns.len();
    let rows = (0..batch.len() / width).map(|row| {
        let places: Vec<String> = (1..=width).map(|column| format!("?{}", row * width + column)).collect();
        format!("({})", places.join(", "))
    });
    let rows: Vec<String> = rows.collect();
    let sql = format!("INSERT INTO {table} ({}) VALUES {}", columns.join(", "), rows.join(", "));
    target.execute(&sql, batch).map(drop)
}

fn number(target: &mut dyn Sql, question: &str) -> Result<u64, Fault> {
    Ok(first(target, "table that is copied", question, &[], |row| row.number("count"))?.unwrap_or(0))
}
