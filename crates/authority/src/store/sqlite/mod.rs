//! The store on SQLite: one file, one writer thread that commits everything that waits at once, readers beside it.
//!
//! A commit waits for the disk (`synchronous=FULL`), some milliseconds. The writer therefore takes all jobs that have
//! come meanwhile into one transaction, each in a savepoint of its own, and acknowledges them together after the commit.

mod issuance;
mod journal;
mod log;
mod migrations;
mod register;
mod row;
mod standing;

use super::StoreError;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// "MDLA": tells our files from others' (`PRAGMA application_id`).
const APPLICATION_ID: i32 = 0x4d44_4c41;
/// The most jobs in one commit: bounds what one failing disk write makes wait.
const LARGEST_GROUP: usize = 512;
/// Jobs that may wait before their askers have to.
const QUEUE: usize = 4_096;
/// Reading connections that are kept open.
const KEPT_READERS: usize = 8;

type Acknowledge = Box<dyn FnOnce(Result<(), String>) + Send>;
type Job = Box<dyn FnOnce(&Connection) -> Acknowledge + Send>;

/// The authority's database in one SQLite file.
pub struct SqliteStore {
    path: PathBuf,
    /// `None` only while dropping: the writer ends when its queue does.
    jobs: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
    readers: Mutex<Vec<Connection>>,
}

impl SqliteStore {
    /// Opens the database at `path`, or makes it; checks it and brings its tables up to date.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is not our database, or is damaged, or was written by a later version;
    /// [`StoreError::Failed`] when it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        private(path)?;
        let connection = Connection::open(path).map_err(|error| failed(path, "open the database", error))?;
        prepare(path, &connection)?;
        check(path, &connection)?;
        migrate(path, &connection)?;
        let (jobs, queue) = sync_channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("authority-store".to_owned())
            .spawn(move || write_groups(&connection, &queue))
            .map_err(|error| StoreError::Failed {
                path: path.to_owned(),
                doing: "start the writer thread",
                why: error.to_string(),
            })?;
        Ok(Self { path: path.to_owned(), jobs: Some(jobs), writer: Some(writer), readers: Mutex::new(Vec::new()) })
    }

    /// Runs `verb` in the writer thread; returns when its group is committed.
    fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        verb: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = sync_channel(1);
        let job: Job = Box::new(move |connection| {
            let outcome = in_savepoint(connection, verb);
            Box::new(move |committed| {
                // The asker may have been stopped meanwhile: then nobody needs the answer.
                let _ = reply.send(outcome.and_then(|value| committed.map(|()| value).map_err(Fault::Commit)));
            })
        });
        let stopped = || StoreError::Failed {
            path: self.path.clone(),
            doing,
            why: "the writer thread has stopped; restart the hub".to_owned(),
        };
        self.jobs.as_ref().ok_or_else(stopped)?.send(job).map_err(|_| stopped())?;
        answer.recv().map_err(|_| stopped())?.map_err(|fault| fault.named(&self.path, doing))
    }

    /// Runs `verb` on a reading connection.
    fn read<T>(
        &self,
        doing: &'static str,
        verb: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let kept = self.readers.lock().ok().and_then(|mut readers| readers.pop());
        let connection = match kept {
            Some(connection) => connection,
            None => reader(&self.path).map_err(|error| failed(&self.path, doing, error))?,
        };
        let outcome = verb(&connection).map_err(|fault| fault.named(&self.path, doing));
        if let Ok(mut readers) = self.readers.lock()
            && readers.len() < KEPT_READERS
        {
            readers.push(connection);
        }
        outcome
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has lost nothing that was acknowledged.
            let _ = writer.join();
        }
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SqliteStore({})", self.path.display())
    }
}

/// What went wrong inside a verb, before file and act are added.
enum Fault {
    Sqlite(rusqlite::Error),
    Commit(String),
    Taken(&'static str),
    Missing(&'static str),
    Damaged { table: &'static str, what: String },
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Fault {
    fn named(self, path: &Path, doing: &'static str) -> StoreError {
        match self {
            Self::Sqlite(error) => failed(path, doing, error),
            Self::Commit(why) => StoreError::Failed { path: path.to_owned(), doing, why },
            Self::Taken(what) => StoreError::Taken { what },
            Self::Missing(what) => StoreError::Missing { what },
            Self::Damaged { table, what } => {
                StoreError::Damaged { path: path.to_owned(), place: format!("table {table}"), what }
            }
        }
    }
}

/// `Taken` for a broken uniqueness, the error itself for all else.
fn taken(what: &'static str) -> impl FnOnce(rusqlite::Error) -> Fault {
    move |error| match error.sqlite_error() {
        Some(code)
            if matches!(
                code.extended_code,
                rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY | rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
            ) =>
        {
            Fault::Taken(what)
        }
        _ => Fault::Sqlite(error),
    }
}

/// `Missing` unless exactly one row was changed.
fn one(changed: usize, what: &'static str) -> Result<(), Fault> {
    if changed == 1 { Ok(()) } else { Err(Fault::Missing(what)) }
}

fn failed(path: &Path, doing: &'static str, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => damaged(path, error.to_string()),
        Some(ErrorCode::NotADatabase) => damaged(path, "it is not an SQLite database".to_owned()),
        _ => StoreError::Failed { path: path.to_owned(), doing, why: error.to_string() },
    }
}

fn damaged(path: &Path, what: String) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), place: "the whole file".to_owned(), what }
}

/// Makes the file, and what SQLite keeps beside it, readable by this user only (0600) before anything is read: names,
/// addresses and hashes of secrets are nobody else's business. New files beside it get the same mode from SQLite.
fn private(path: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::Failed {
        path: path.to_owned(),
        doing: "make the database readable by its owner only",
        why: error.to_string(),
    };
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

fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn prepare(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let act = "set the database up";
    let to = |error| failed(path, act, error);
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(to)?;
    connection.set_prepared_statement_cache_capacity(64);
    let found: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(to)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(to)?;
    if found != APPLICATION_ID && (found != 0 || tables != 0) {
        return Err(damaged(path, "it is an SQLite database of another program".to_owned()));
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(to)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).map_err(to)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(to)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(to)
}

/// Reads the whole file's structure; when something is wrong, says in which table.
fn check(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let act = "check the database";
    let problem = |pragma: &str| -> Result<Option<String>, rusqlite::Error> {
        let first: String = connection.query_row(pragma, [], |row| row.get(0))?;
        Ok((first != "ok").then(|| first.lines().last().unwrap_or_default().to_owned()))
    };
    let whole = problem("PRAGMA quick_check(1)");
    if matches!(whole, Ok(None)) {
        return Ok(());
    }
    let mut statement = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .map_err(|error| failed(path, act, error))?;
    let tables = statement.query_map([], |row| row.get::<_, String>(0)).map_err(|error| failed(path, act, error))?;
    for table in tables.flatten() {
        let what = match problem(&format!("PRAGMA quick_check('{table}')")) {
            Ok(None) => continue,
            Ok(Some(what)) => what,
            Err(error) => error.to_string(),
        };
        return Err(StoreError::Damaged { path: path.to_owned(), place: format!("table {table}"), what });
    }
    match whole {
        Ok(what) => Err(damaged(path, what.unwrap_or_default())),
        Err(error) => Err(failed(path, act, error)),
    }
}

fn migrate(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let to = |error| failed(path, "bring the tables up to date", error);
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(to)?;
    let version = version as usize;
    if version > migrations::STEPS.len() {
        let known = migrations::STEPS.len();
        return Err(damaged(
            path,
            format!("its tables are of version {version}, and this program knows {known}: use the newer program"),
        ));
    }
    for (number, step) in migrations::STEPS.iter().enumerate().skip(version) {
        connection.execute_batch("BEGIN IMMEDIATE").map_err(to)?;
        step.take(connection).map_err(|fault| fault.named(path, "bring the tables up to date"))?;
        connection.execute_batch(&format!("PRAGMA user_version = {}; COMMIT", number + 1)).map_err(to)?;
    }
    Ok(())
}

fn write_groups(connection: &Connection, queue: &Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let begun = connection.execute_batch("BEGIN IMMEDIATE");
        let mut waiting = vec![first(connection)];
        while waiting.len() < LARGEST_GROUP
            && let Ok(job) = queue.try_recv()
        {
            waiting.push(job(connection));
        }
        let committed = begun.and_then(|()| connection.execute_batch("COMMIT")).map_err(|error| error.to_string());
        if committed.is_err() && !connection.is_autocommit() {
            // The next group must not continue this one; a failure here shows again at its BEGIN.
            let _ = connection.execute_batch("ROLLBACK");
        }
        for acknowledge in waiting {
            acknowledge(committed.clone());
        }
    }
}

/// A verb that fails changes nothing, and does not disturb the others of its group.
fn in_savepoint<T>(connection: &Connection, verb: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
    connection.execute_batch("SAVEPOINT verb")?;
    let outcome = verb(connection);
    let end = if outcome.is_ok() { "RELEASE verb" } else { "ROLLBACK TO verb; RELEASE verb" };
    connection.execute_batch(end)?;
    outcome
}
