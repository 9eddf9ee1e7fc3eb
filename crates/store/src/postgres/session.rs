//! One session that writes, several that read.
//!
//! A session that is lost is made anew by the next verb: so a restart or a failover of the server costs the verbs that were
//! under way, and each of those says so.

use super::migrate;
use super::server::{Server, chain};
use crate::readers::{Pool, Reading};
use crate::schema::Schema;
use crate::value::{Row, Sql, Value, first};
use crate::writer::Session;
use crate::{Engine, Fault};
use postgres::error::SqlState;
use postgres::fallible_iterator::FallibleIterator as _;
use postgres::types::ToSql;
use postgres::{Client, Statement};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Statements that a session keeps prepared; there are far fewer different ones.
const KEPT_STATEMENTS: usize = 512;

/// A session with the words of [`Sql`].
pub(super) struct Pg {
    server: Server,
    /// `None` before the first use, and after it was lost.
    client: Option<Client>,
    statements: HashMap<String, (Statement, Arc<[String]>)>,
    /// What is set at its beginning.
    settings: String,
    begin: String,
    /// Whether a statement has failed since the transaction, or the last savepoint, began.
    broken: bool,
    /// How long its asker waits, while there is one who said so.
    pub(super) limit: Option<Duration>,
}

impl Pg {
    pub(super) fn new(server: Server, settings: &str, begin: String) -> Self {
        let settings = format!(
            "SET search_path TO \"{}\"; SET client_min_messages TO warning; SET jit TO off; {settings}",
            server.schema
        );
        Self { server, client: None, statements: HashMap::new(), settings, begin, broken: false, limit: None }
    }

    pub(super) fn client(&mut self) -> Result<&mut Client, Fault> {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.client = None;
            self.statements.clear();
            let mut client = self.server.connect().map_err(|error| Fault::Lost(self.server.refused(&error)))?;
            client.batch_execute(&self.settings).map_err(|error| Fault::Lost(told(&error)))?;
            self.client = Some(client);
        }
        self.client.as_mut().ok_or_else(|| Fault::Lost("it is not connected".to_owned()))
    }

    /// The client within a transaction: one that is lost stays lost.
    fn open(&mut self) -> Result<&mut Client, Fault> {
        self.client.as_mut().ok_or_else(|| Fault::Lost("the connection was lost".to_owned()))
    }

    fn statement(&mut self, sql: &str) -> Result<(Statement, Arc<[String]>), Fault> {
        if let Some(kept) = self.statements.get(sql) {
            return Ok(kept.clone());
        }
        let prepared = self.open()?.prepare(&dollars(sql)).map_err(|error| self.fault(&error))?;
        let names: Arc<[String]> = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
        if self.statements.len() >= KEPT_STATEMENTS {
            self.statements.clear();
        }
        let kept = (prepared, names);
        self.statements.insert(sql.to_owned(), kept.clone());
        Ok(kept)
    }

    fn fault(&mut self, error: &postgres::Error) -> Fault {
        self.broken = true;
        let text = told(error);
        let closed = self.client.as_ref().is_none_or(Client::is_closed);
        if closed || is_end(error) {
            self.client = None;
            return Fault::Lost(text);
        }
        match error.code() {
            Some(code) if [SqlState::QUERY_CANCELED, SqlState::LOCK_NOT_AVAILABLE].contains(code) => {
                self.limit.map_or(Fault::Failed(text), Fault::Late)
            }
            Some(code) if *code == SqlState::UNIQUE_VIOLATION => Fault::Duplicate(text),
            Some(code) if [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code) => Fault::Corrupt(text),
            _ => Fault::Failed(text),
        }
    }
}

/// Whether an error ends the session: the server stops or ends it (57P…), it follows another one now, or there was no
/// answer at all.
fn is_end(error: &postgres::Error) -> bool {
    error.code().is_none_or(|code| {
        code.code().starts_with("57P")
            || code.code().starts_with("08")
            || *code == SqlState::READ_ONLY_SQL_TRANSACTION
            || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
    })
}

/// What went wrong, and for what an operator does about it, what that is.
pub(super) fn told(error: &postgres::Error) -> String {
    let remedy = match error.code().map(SqlState::code) {
        Some("28P01") => "; the server does not take the password: look at the password file that the settings name",
        Some("28000") => "; the server does not let this user in: look at its pg_hba.conf",
        Some("3D000") => "; make the database, owned by this user",
        Some("42501") => "; the user must own the database, or have the right to create in it",
        _ => "",
    };
    format!("{}{remedy}", chain(error))
}

/// Parameters `?1` as PostgreSQL writes them: `$1`. There is no other question mark in a statement.
fn dollars(sql: &str) -> String {
    sql.replace('?', "$")
}

/// The client library has a runtime of its own, which refuses to run within another one: from within an asynchronous task
/// the work is done by a thread beside it.
fn outside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if tokio::runtime::Handle::try_current().is_err() {
        return work();
    }
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Drop for Pg {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            outside(move || drop(client));
        }
    }
}

impl Sql for Pg {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, Fault> {
        let (statement, _) = self.statement(sql)?;
        let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|one| one as _).collect();
        self.open()?.execute(&statement, &parameters).map_err(|error| self.fault(&error))
    }

    fn insert(&mut self, key: &'static str, sql: &str, parameters: &[Value]) -> Result<i64, Fault> {
        let sql = format!("{sql} RETURNING {key}");
        let number = first(self, "row", &sql, parameters, |row| row.number(key))?;
        number.ok_or(Fault::Missing("row that was written"))
    }

    fn each(
        &mut self,
        table: &'static str,
        sql: &str,
        parameters: &[Value],
        take: &mut dyn FnMut(&Row) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let (statement, names) = self.statement(sql)?;
        let outcome = rows(self.open()?, &statement, parameters, &mut |row| {
            let values = (0..names.len()).map(|place| row.try_get::<_, Value>(place)).collect::<Result<_, _>>();
            match values {
                Ok(values) => take(&Row::new(table, names.clone(), values)),
                Err(error) => Err(Fault::Damaged { table, what: chain(&error) }),
            }
        });
        outcome.map_err(|error| self.fault(&error))?
    }

    fn batch(&mut self, sql: &str) -> Result<(), Fault> {
        self.open()?.batch_execute(sql).map_err(|error| self.fault(&error))?;
        if sql.starts_with("ROLLBACK") {
            self.broken = false;
        }
        Ok(())
    }
}

/// Gives `take` each row until it wants no more; the rest of the answer is read away.
fn rows(
    client: &mut Client,
    statement: &Statement,
    parameters: &[Value],
    take: &mut dyn FnMut(&postgres::Row) -> Result<bool, Fault>,
) -> Result<Result<(), Fault>, postgres::Error> {
    let mut rows = client.query_raw(statement, parameters)?;
    while let Some(row) = rows.next()? {
        match take(&row) {
            Ok(true) => {}
            Ok(false) => break,
            Err(fault) => return Ok(Err(fault)),
        }
    }
    Ok(Ok(()))
}

impl Session for Pg {
    fn begin(&mut self) -> Result<(), Fault> {
        let begin = self.begin.clone();
        for last in [false, true] {
            self.client()?;
            self.broken = false;
            match self.batch(&begin) {
                // The server was restarted while nobody asked.
                Err(Fault::Lost(_)) if !last => {}
                Err(fault) => {
                    self.rollback();
                    return Err(fault);
                }
                Ok(()) => break,
            }
        }
        Ok(())
    }

    fn probe(&mut self) -> Result<(), Fault> {
        self.batch("")
    }

    fn commit(&mut self) -> Result<(), Fault> {
        match self.batch("COMMIT") {
            Err(Fault::Lost(why)) => Err(Fault::Unknown(why)),
            other => other.inspect_err(|_| self.rollback()),
        }
    }

    fn rollback(&mut self) {
        // The time of a question counts for its end too, until it has passed once.
        for _ in 0..2 {
            if self.client.is_none() || self.batch("ROLLBACK").is_ok() {
                return;
            }
        }
        // Without an answer the connection is gone, and the transaction with it.
        self.client = None;
    }

    fn usable(&self) -> bool {
        !self.broken && self.client.is_some()
    }

    fn is_lost(&self) -> bool {
        self.client.is_none()
    }

    /// The server ends each statement by itself.
    fn end_at(&mut self, end: Option<Instant>) -> Result<(), Fault> {
        self.limit = end.map(|end| end.saturating_duration_since(Instant::now()));
        Ok(())
    }

    fn sql(&mut self) -> &mut dyn Sql {
        self
    }
}

/// The number of an advisory lock, the same in every version of this program: FNV-1a of what it is for.
pub(super) fn lock(server: &Server, schema: &Schema, of: &str) -> i64 {
    let text = format!("{} {} {of}", schema.application, server.schema);
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    i64::from_ne_bytes(hash.to_ne_bytes())
}

/// A verb waits at most so long for another program's transaction, and a transaction that nobody goes on with ends by
/// itself: a program that stands still in the midst of one must not stop the others for long.
const WRITING: &str = "SET statement_timeout TO '10s'; SET idle_in_transaction_session_timeout TO '5s';
    DO $$ BEGIN IF current_setting('synchronous_commit') IN ('off', 'local') THEN
        PERFORM set_config('synchronous_commit', 'on', false); END IF; END $$";
const READING: &str = "SET statement_timeout TO '10s'; SET default_transaction_read_only TO on";

/// Connects, brings the tables up to date, and gives the session that writes.
pub(crate) fn open(server: Server, schema: &Schema) -> Result<Box<dyn Session>, Fault> {
    outside(move || connect(server, schema))
}

fn connect(server: Server, schema: &Schema) -> Result<Box<dyn Session>, Fault> {
    migrate::bring_up_to_date(&server, schema)?;
    let begin = format!("BEGIN; SELECT pg_advisory_xact_lock({})", lock(&server, schema, "writes"));
    let settings = format!("{WRITING}; {}", migrate::working(&server, schema));
    let mut session = Pg::new(server, &settings, begin);
    session.client()?;
    Ok(Box::new(session))
}

/// Sessions that read.
pub(crate) struct Readers {
    server: Server,
    pool: Pool<Pg>,
}

impl Readers {
    pub(crate) fn new(server: Server) -> Self {
        Self { server, pool: Pool::new() }
    }

    pub(crate) fn ask<T: Send>(
        &self,
        how: Reading,
        mut verb: impl FnMut(&mut dyn Sql) -> Result<T, Fault> + Send,
    ) -> Result<T, Fault> {
        let make = || Ok(Pg::new(self.server.clone(), READING, "BEGIN ISOLATION LEVEL REPEATABLE READ".to_owned()));
        self.pool.with(how, make, |session| {
            outside(|| {
                let outcome = once(session, how, &mut verb);
                // Asked again on a new connection if the one there was is lost: reading twice does no harm.
                if matches!(outcome, Err(Fault::Lost(_))) { once(session, how, &mut verb) } else { outcome }
            })
        })
    }
}

fn once<T>(
    session: &mut Pg,
    how: Reading,
    verb: &mut impl FnMut(&mut dyn Sql) -> Result<T, Fault>,
) -> Result<T, Fault> {
    session.client()?;
    match how {
        Reading::Plain => return verb(session),
        Reading::Brief(limit) => {
            // That of the session holds, and costs no journeys.
            session.limit = Some(limit);
            let outcome = verb(session);
            session.limit = None;
            return outcome;
        }
        Reading::Snapshot | Reading::Within(_) => {}
    }
    session.begin()?;
    let outcome = match how {
        Reading::Plain | Reading::Brief(_) | Reading::Snapshot => verb(session),
        Reading::Within(limit) => {
            session.limit = Some(limit);
            let limited = session.batch(&format!("SET LOCAL statement_timeout = {}", limit.as_millis().max(1)));
            let outcome = limited.and_then(|()| verb(session));
            session.limit = None;
            outcome
        }
    };
    session.rollback();
    outcome
}
