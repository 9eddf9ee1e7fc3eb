//! How the tables of a server are brought up to date while other programs work on them.
//!
//! A step that needs a table for itself waits for it half a second, during which whoever comes behind waits too, and then lets all
//! others go first. An index is made beside the work. So a running program is held up for a moment, and never by who holds a table
//! for long, as a dump does.

use super::server::Server;
use super::session::{Pg, lock};
use crate::schema::{Schema, Step};
use crate::value::Sql as _;
use crate::writer::Session as _;
use crate::{Fault, first};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a step waits for a table at a time; less than after which a server looks for a deadlock, so that it is the step that
/// gives way.
const AT_A_TIME: Duration = Duration::from_millis(500);
/// Before it tries again.
const PAUSE: Duration = Duration::from_secs(1);
/// For how long it tries: longer than most dumps.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// How long the sessions of a program that was stopped may take to end.
const ENDING: Duration = Duration::from_secs(5);
/// Between two looks whether it is our turn.
const LOOK: Duration = Duration::from_millis(50);

/// What a session says at its beginning that writes: that a program works on these tables which knows so many steps.
pub(super) fn working(server: &Server, schema: &Schema) -> String {
    let (works, known) = (lock(server, schema, "works"), schema.steps.len());
    format!(
        "DO $$ BEGIN
            IF NOT pg_try_advisory_lock_shared({works}) THEN
                RAISE EXCEPTION 'a newer program is changing the tables'; END IF;
            IF (SELECT oldest > {known} FROM tables_version) THEN
                RAISE EXCEPTION 'a newer program has changed the tables: start it here too'; END IF;
        END $$"
    )
}

/// Brings the tables up to date. Who comes second finds the work done.
pub(super) fn bring_up_to_date(server: &Server, schema: &Schema) -> Result<(), Fault> {
    let settings = format!("SET lock_timeout TO '{}ms'", AT_A_TIME.as_millis());
    let mut tables = Pg::new(server.clone(), &settings, "BEGIN".to_owned());
    tables.limit = Some(AT_A_TIME);
    tables.client()?;
    // Held until the connection ends. Who waited for it in the server would be waited for by an index that is made there.
    wait_for(&mut tables, lock(server, schema, "tables"), None)?;
    let version = version(&mut tables, server, schema)?;
    let steps = schema.behind(version)?;
    let works = lock(server, schema, "works");
    let alone = version < schema.oldest_after(schema.steps.len());
    if alone {
        take_alone(&mut tables, works)?;
    }
    for (number, step) in steps {
        let done = format!("UPDATE tables_version SET version = {number}, oldest = {}", schema.oldest_after(number));
        match step {
            // Nobody works on new tables.
            Step::Index { name, on } if version > 0 => {
                make_beside(&mut tables, name, on)?;
                tables.batch(&done)?;
            }
            _ => patiently(&mut tables, |tables| {
                if matches!(step, Step::Code(_)) {
                    tables.batch(&format!("SELECT pg_advisory_xact_lock({})", lock(server, schema, "writes")))?;
                }
                step.take(tables)?;
                tables.batch(&done)
            })?,
        }
    }
    if alone {
        tables.batch(&format!("SELECT pg_advisory_unlock({works})"))?;
    }
    Ok(())
}

/// How many steps the tables have taken; makes the schema where there is none.
fn version(tables: &mut Pg, server: &Server, schema: &Schema) -> Result<usize, Fault> {
    // Whoever may not make schemas may still use one that was made for him.
    tables.batch(&format!(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = '{0}') THEN CREATE SCHEMA \"{0}\"; END IF; END $$",
        server.schema
    ))?;
    tables.batch(
        "CREATE TABLE IF NOT EXISTS tables_version (application TEXT NOT NULL, version BIGINT NOT NULL, oldest BIGINT)",
    )?;
    let says_oldest = "SELECT EXISTS (SELECT FROM information_schema.columns WHERE table_schema = current_schema()
        AND table_name = 'tables_version' AND column_name = 'oldest') AS yes";
    if !asked(tables, says_oldest)? {
        patiently(tables, |tables| tables.batch("ALTER TABLE tables_version ADD COLUMN oldest BIGINT"))?;
    }
    // Programs that did not say it expected their own number.
    let question = "SELECT application, version, coalesce(oldest, version) AS oldest FROM tables_version";
    let found = first(tables, "tables_version", question, &[], |row| {
        Ok((row.text("application")?.to_owned(), row.number::<usize>("version")?, row.number::<usize>("oldest")?))
    })?;
    let known = schema.steps.len();
    match found {
        None => {
            let sql = "INSERT INTO tables_version (application, version, oldest) VALUES (?1, 0, 0)";
            tables.execute(sql, &[schema.application.into()])?;
            Ok(0)
        }
        Some((application, ..)) if application != schema.application => {
            Err(Fault::Corrupt(format!("the schema is of another program ({application})")))
        }
        Some((_, version, oldest)) if version > known && oldest > known => Err(Fault::Newer { version, known }),
        Some((_, version, _)) => Ok(version),
    }
}

/// Waits until no program works on the tables, and keeps them from coming back.
fn take_alone(tables: &mut Pg, works: i64) -> Result<(), Fault> {
    if wait_for(tables, works, Some(Instant::now() + ENDING))? {
        return Ok(());
    }
    Err(Fault::Failed(
        "programs of an earlier version work on it, and this version changes what they need: stop all of them, then start this one"
            .to_owned(),
    ))
}

/// Waits for a lock, until then at most, and holds it. Returns whether it has it.
fn wait_for(tables: &mut Pg, lock: i64, until: Option<Instant>) -> Result<bool, Fault> {
    let question = format!("SELECT pg_try_advisory_lock({lock}) AS yes");
    while !asked(tables, &question)? {
        if until.is_some_and(|until| Instant::now() > until) {
            return Ok(false);
        }
        sleep(LOOK);
    }
    Ok(true)
}

/// Does something in a transaction that may need a table for itself, once those give it up who hold it.
fn patiently(tables: &mut Pg, step: impl Fn(&mut Pg) -> Result<(), Fault>) -> Result<(), Fault> {
    let until = Instant::now() + PATIENCE;
    loop {
        tables.begin()?;
        match step(tables) {
            Ok(()) => return tables.commit(),
            Err(Fault::Late(_)) if Instant::now() < until => {
                tables.rollback();
                sleep(PAUSE);
            }
            Err(Fault::Late(_)) => {
                return Err(Fault::Failed(
                    "a table that a step needs was never free: see in pg_stat_activity which session has been in a transaction for long, end \
                     it, and start again"
                        .to_owned(),
                ));
            }
            Err(fault) => return Err(fault),
        }
    }
}

/// Makes an index while others write, which is no transaction: one that was cut off is made anew. It waits for transactions that are
/// open, and nobody for it.
fn make_beside(tables: &mut Pg, name: &str, on: &str) -> Result<(), Fault> {
    tables.batch("SET lock_timeout TO 0")?;
    tables.batch(&format!("DROP INDEX CONCURRENTLY IF EXISTS {name}"))?;
    tables.batch(&format!("CREATE INDEX CONCURRENTLY {name} ON {on}"))?;
    tables.batch(&format!("SET lock_timeout TO '{}ms'", AT_A_TIME.as_millis()))
}

fn asked(tables: &mut Pg, question: &str) -> Result<bool, Fault> {
    Ok(first(tables, "tables_version", question, &[], |row| row.flag("yes"))? == Some(true))
}
