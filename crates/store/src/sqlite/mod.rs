//! SQLite: one file, one writer, readers beside it (WAL, `synchronous=FULL`).

mod checkpoint;

use crate::readers::{Pool, Reading};
use crate::schema::Schema;
use crate::value::{Row, Sql, Value};
use crate::writer::Session;
use crate::{Engine, Error, Fault};
use checkpoint::Log;
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::collections::HashMap;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a connection waits for others.
const BUSY: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared.
const KEPT_STATEMENTS: usize = 128;
/// Steps of its machine between two looks at the time: some microseconds.
const STEPS: i32 = 1_000;
/// A file up to this size is checked whole at each start, within a second; a larger one by `check` when asked to.
pub const CHECKED_AT_START: u64 = 64 << 20;

/// The version of the tables in a file whose content was moved elsewhere: no program knows as many steps.
const MOVED: u32 = 1_000_000;

/// Bytes of the file that the connection that writes keeps in memory, in KiB: of the indexes of a million rows, those pages that
/// each of a thousand patients has in use.
const WRITER_CACHE_KIB: i64 = 32 << 10;

/// A connection with the words of [`Sql`], and how the columns of its questions are called.
struct Lite {
    connection: Connection,
    columns: HashMap<Box<str>, Arc<[String]>>,
}

impl Lite {
    fn new(connection: Connection) -> Self {
        Self { connection, columns: HashMap::new() }
    }

    /// A statement without parameters and answer that is said often.
    fn say(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Does a verb that is ended when it takes longer than `limit`.
    fn within<T>(
        &mut self,
        limit: Duration,
        verb: &mut impl FnMut(&mut dyn Sql) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.end_at(Some(Instant::now() + limit))?;
        let outcome = verb(self);
        self.end_at(None)?;
        outcome.map_err(|fault| fault.late_by(limit))
    }

    /// Has what runs at this moment interrupted, or nothing.
    fn end_at(&mut self, end: Option<Instant>) -> Result<(), Fault> {
        Ok(self.connection.progress_handler(STEPS, end.map(|end| move || Instant::now() >= end))?)
    }

    fn rollback(&self) {
        if !self.connection.is_autocommit() {
            // A failure here shows again at the next BEGIN.
            let _ = self.say("ROLLBACK");
        }
    }
}

impl Sql for Lite {
    fn engine(&self) -> Engine {
        Engine::Sqlite
    }

    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, Fault> {
        let changed = self.connection.prepare_cached(sql)?.execute(rusqlite::params_from_iter(parameters))?;
        Ok(changed.try_into().unwrap_or(u64::MAX))
    }

    fn insert(&mut self, _: &'static str, sql: &str, parameters: &[Value]) -> Result<i64, Fault> {
        Ok(self.connection.prepare_cached(sql)?.insert(rusqlite::params_from_iter(parameters))?)
    }

    fn each(
        &mut self,
        table: &'static str,
        sql: &str,
        parameters: &[Value],
        take: &mut dyn FnMut(&Row) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let names = match self.columns.get(sql) {
            Some(names) => names.clone(),
            None => {
                let names: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
                if self.columns.len() >= KEPT_STATEMENTS {
                    self.columns.clear();
                }
                self.columns.insert(sql.into(), names.clone());
                names
            }
        };
        let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
        while let Some(row) = rows.next()? {
            let value = |place| match row.get_ref(place)? {
                ValueRef::Null => Ok(Value::Null),
                ValueRef::Integer(number) => Ok(Value::Integer(number)),
                ValueRef::Text(text) => Ok(Value::Text(String::from_utf8_lossy(text).into_owned())),
                ValueRef::Blob(bytes) => Ok(Value::Blob(bytes.to_vec())),
                ValueRef::Real(_) => Err(Fault::Damaged { table, what: "a fraction, which was never written".into() }),
            };
            let values = (0..names.len()).map(value).collect::<Result<_, Fault>>()?;
            if !take(&Row::new(table, names.clone(), values))? {
                break;
            }
        }
        Ok(())
    }

    fn batch(&mut self, sql: &str) -> Result<(), Fault> {
        Ok(self.connection.execute_batch(sql)?)
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        if let Some(code) = error.sqlite_error()
            && matches!(
                code.extended_code,
                rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                    | rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
                    | rusqlite::ffi::SQLITE_CONSTRAINT_ROWID
            )
        {
            return Self::Duplicate(text);
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt(text),
            // Only what looks at the time interrupts; how long it was, it knows.
            Some(ErrorCode::OperationInterrupted) => Self::Late(Duration::ZERO),
            Some(ErrorCode::NotADatabase) => Self::Corrupt("it is not an SQLite database".to_owned()),
            _ => Self::Failed(text),
        }
    }
}

/// The connection that writes.
struct Writing {
    /// Ends first: the last connection that closes brings all into the file.
    log: Log,
    lite: Lite,
}

impl Session for Writing {
    fn begin(&mut self) -> Result<(), Fault> {
        Ok(self.lite.say("BEGIN IMMEDIATE")?)
    }

    fn probe(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Fault> {
        let Err(error) = self.lite.say("COMMIT") else { return Ok(()) };
        let lost_in_it = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
        self.rollback();
        // After a failed write to the disk nobody knows what is on it.
        Err(if lost_in_it { Fault::Unknown(error.to_string()) } else { error.into() })
    }

    fn rollback(&mut self) {
        self.lite.rollback();
    }

    /// When the disk is full SQLite may end the transaction by itself.
    fn usable(&self) -> bool {
        !self.lite.connection.is_autocommit()
    }

    fn is_lost(&self) -> bool {
        false
    }

    fn rest(&mut self) {
        self.log.committed(&self.lite.connection);
    }

    fn end_at(&mut self, end: Option<Instant>) -> Result<(), Fault> {
        self.lite.end_at(end)
    }

    fn sql(&mut self) -> &mut dyn Sql {
        &mut self.lite
    }
}

/// Opens the file, or makes it; checks it and brings its tables up to date.
pub(crate) fn open(path: &Path, schema: &Schema) -> Result<Box<dyn Session>, Fault> {
    private(path)?;
    let mut connection = Lite::new(Connection::open(path)?);
    prepare(&connection.connection, schema)?;
    if std::fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_AT_START) {
        check(&connection.connection)?;
    }
    migrate(&mut connection, schema)?;
    let log = Log::watch(&mut connection.connection, path, schema.application)?;
    Ok(Box::new(Writing { log, lite: connection }))
}

/// Makes the file, and what SQLite keeps beside it, readable by this user only (0600) before anything is read: names,
/// addresses and hashes of secrets are nobody else's business. New files beside it get the same mode from SQLite.
fn private(path: &Path) -> Result<(), Fault> {
    let failed = |error: std::io::Error| Fault::Failed(format!("it cannot be made its owner's only: {error}"));
    std::fs::File::options().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(failed)?;
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::set_permissions(&name, std::fs::Permissions::from_mode(0o600)) {
            Err(error) if suffix.is_empty() || error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// How each connection works: it waits for others, and keeps its statements as they were planned. Without the last it would
/// plan them anew with each parameter, because of the partial indexes.
fn steady(connection: &Connection) -> Result<(), Fault> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(KEPT_STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn prepare(connection: &Connection, schema: &Schema) -> Result<(), Fault> {
    steady(connection)?;
    let found: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if found != schema.id && (found != 0 || tables != 0) {
        return Err(Fault::Corrupt("it is an SQLite database of another program".to_owned()));
    }
    connection.pragma_update(None, "application_id", schema.id)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(())
}

/// Reads the whole file's structure; when something is wrong, says in which table.
fn check(connection: &Connection) -> Result<(), Fault> {
    let problem = |pragma: &str| -> Result<Option<String>, rusqlite::Error> {
        let first: String = connection.query_row(pragma, [], |row| row.get(0))?;
        Ok((first != "ok").then(|| first.lines().last().unwrap_or_default().to_owned()))
    };
    let whole = problem("PRAGMA quick_check(1)");
    if matches!(whole, Ok(None)) {
        return Ok(());
    }
    let mut statement =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?;
    let tables = statement.query_map([], |row| row.get::<_, String>(0))?;
    for table in tables.flatten() {
        let what = match problem(&format!("PRAGMA quick_check('{table}')")) {
            Ok(None) => continue,
            Ok(Some(what)) => what,
            Err(error) => error.to_string(),
        };
        return Err(Fault::Corrupt(format!("table {table}: {what}")));
    }
    Err(Fault::Corrupt(whole?.unwrap_or_default()))
}

fn migrate(connection: &mut Lite, schema: &Schema) -> Result<(), Fault> {
    let version: u32 = connection.connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == MOVED {
        let place = place(&connection.connection)?;
        return Err(Fault::Failed(format!("it was moved to {place}: name that server in the configuration")));
    }
    let version = version as usize;
    if version > schema.steps.len() {
        return Err(Fault::Newer { version, known: schema.steps.len() });
    }
    for (number, step) in schema.behind(version)? {
        connection.batch("BEGIN IMMEDIATE")?;
        step.take(connection)?;
        connection.batch(&format!("PRAGMA user_version = {number}; COMMIT"))?;
    }
    Ok(())
}

/// Where what was in the file at `path` was moved, if it was.
///
/// # Errors
/// [`Error::Failed`], [`Error::Damaged`].
pub fn moved_to(path: &Path) -> Result<Option<String>, Error> {
    let read = || -> Result<Option<String>, Fault> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version == MOVED { place(&connection).map(Some) } else { Ok(None) }
    };
    read().map_err(|fault| fault.named(&path.display().to_string(), "look whether it was moved"))
}

fn place(connection: &Connection) -> Result<String, Fault> {
    Ok(connection.query_row("SELECT place FROM moved", [], |row| row.get(0))?)
}

/// What marks a file whose content was moved to `place`.
pub(crate) fn mark(sql: &mut dyn Sql, place: &str) -> Result<(), Fault> {
    sql.batch("CREATE TABLE moved (place TEXT NOT NULL) STRICT")?;
    sql.execute("INSERT INTO moved (place) VALUES (?1)", &[place.into()])?;
    sql.batch(&format!("PRAGMA user_version = {MOVED}"))
}

/// Copies the file at `path` into a new one, as it is at one instant, also while another program works on it.
///
/// # Errors
/// [`Error::Failed`], also when there is a file already.
pub fn copy(path: &Path, to: &Path) -> Result<(), Error> {
    Readers::new(path).copy_to(to).map_err(|fault| fault.named(&path.display().to_string(), "copy the database"))
}

/// Reading connections.
pub(crate) struct Readers {
    path: PathBuf,
    pool: Pool<Lite>,
}

impl Readers {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), pool: Pool::new() }
    }

    pub(crate) fn ask<T>(
        &self,
        how: Reading,
        mut verb: impl FnMut(&mut dyn Sql) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.pool.with(
            how,
            || self.connect(),
            |connection| {
                let outcome = match how {
                    Reading::Plain => verb(connection),
                    Reading::Snapshot => {
                        connection.say("BEGIN")?;
                        verb(connection)
                    }
                    Reading::Brief(limit) | Reading::Within(limit) => connection.within(limit, &mut verb),
                };
                connection.rollback();
                outcome
            },
        )
    }

    fn connect(&self) -> Result<Lite, Fault> {
        let connection = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        steady(&connection)?;
        Ok(Lite::new(connection))
    }

    pub(crate) fn check(&self) -> Result<(), Fault> {
        check(&self.connect()?.connection)
    }

    /// Copies the whole database into a new file, as it is at one instant, while others write.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<(), Fault> {
        if path.exists() {
            return Err(Fault::Failed(format!("there is a file {} already", path.display())));
        }
        private(path)?;
        let mut target = Connection::open(path)?;
        let source = self.connect()?;
        let copy = rusqlite::backup::Backup::new(&source.connection, &mut target)?;
        // All pages in one step: in several, each write meanwhile would begin it anew.
        while copy.step(-1)? != rusqlite::backup::StepResult::Done {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}
