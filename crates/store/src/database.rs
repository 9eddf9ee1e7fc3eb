//! A database that is open.

use crate::postgres::{self, Server};
use crate::readers::Reading;
use crate::schema::Schema;
use crate::sqlite;
use crate::value::Sql;
use crate::writer::{Manner, Writer};
use crate::{Error, Fault};
use std::path::Path;
use std::time::Duration;

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One file, one process.
    Sqlite,
    /// A server, several processes.
    Postgres,
}

/// A database that is open. All calls block, and may be made from many threads at once.
pub struct Database {
    name: String,
    /// Closed before the writer: the last connection brings what was written into SQLite's file, and only one that writes can.
    readers: Readers,
    writer: Writer,
}

enum Readers {
    Sqlite(sqlite::Readers),
    Postgres(Box<postgres::Readers>),
}

impl Database {
    /// Opens an SQLite file, or makes it; checks it (see [`sqlite::CHECKED_AT_START`]) and brings its tables up to date.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not our database, or is damaged; [`Error::Newer`] when a newer program has written it;
    /// [`Error::Failed`] when it cannot be opened.
    pub fn sqlite(path: &Path, schema: &Schema) -> Result<Self, Error> {
        let name = path.display().to_string();
        let open = || {
            let session = sqlite::open(path, schema)?;
            Writer::start(schema.application, session)
        };
        let writer = open().map_err(|fault| fault.named(&name, "open the database"))?;
        Ok(Self { name, writer, readers: Readers::Sqlite(sqlite::Readers::new(path)) })
    }

    /// Connects to a PostgreSQL server and brings the tables up to date, beside the work of other programs; programs that start at
    /// once wait for one another. A newer program may have brought them further, as long as what it did only adds.
    ///
    /// # Errors
    /// [`Error::Away`] when it cannot be reached; [`Error::Damaged`] when the schema is another program's; [`Error::Newer`] when a newer
    /// program has made what this one does not understand; [`Error::Failed`], also when a step needs the tables for itself.
    pub fn postgres(server: Server, schema: &Schema) -> Result<Self, Error> {
        let name = server.to_string();
        let readers = postgres::Readers::new(server.clone());
        let open = || {
            let session = postgres::open(server, schema)?;
            Writer::start(schema.application, session)
        };
        let writer = open().map_err(|fault| fault.named(&name, "open the database"))?;
        Ok(Self { name, writer, readers: Readers::Postgres(Box::new(readers)) })
    }

    /// Which database it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.readers {
            Readers::Sqlite(_) => Engine::Sqlite,
            Readers::Postgres(_) => Engine::Postgres,
        }
    }

    /// Does a verb that changes something: as a whole or not at all, and durable when it returns `Ok`. The verb may run
    /// more than once before that.
    ///
    /// # Errors
    /// What the verb gives; [`Error::Away`] and [`Error::Unknown`] when the connection was lost.
    pub fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        verb: impl FnMut(&mut dyn Sql) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        self.writer.ask(Manner::Plain, None, verb).map_err(|fault| fault.named(&self.name, doing))
    }

    /// As [`Database::write`], for a verb that has changed nothing when it fails (a single statement): it needs no
    /// savepoint, which on a server are two more journeys.
    ///
    /// # Errors
    /// As [`Database::write`].
    pub fn write_single<T: Send + 'static>(
        &self,
        doing: &'static str,
        verb: impl FnMut(&mut dyn Sql) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        self.writer.ask(Manner::Single, None, verb).map_err(|fault| fault.named(&self.name, doing))
    }

    /// As [`Database::write`], before what waits to be written: for short verbs that others wait for, as the end of what somebody may do.
    ///
    /// # Errors
    /// As [`Database::write`].
    pub fn write_first<T: Send + 'static>(
        &self,
        doing: &'static str,
        verb: impl FnMut(&mut dyn Sql) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        self.writer.ask(Manner::Pressing, None, verb).map_err(|fault| fault.named(&self.name, doing))
    }

    /// As [`Database::write`], but ended when it takes longer than `limit`, all its runs together: for verbs whose cost their asker
    /// decides. A server ends no statement before its own limit, of ten seconds, nor later.
    ///
    /// # Errors
    /// As [`Database::write`]; [`Error::Late`].
    pub fn write_within<T: Send + 'static>(
        &self,
        doing: &'static str,
        limit: Duration,
        verb: impl FnMut(&mut dyn Sql) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        self.writer.ask(Manner::Plain, Some(limit), verb).map_err(|fault| fault.named(&self.name, doing))
    }

    /// As [`Database::write_within`], before what waits to be written.
    ///
    /// # Errors
    /// As [`Database::write_within`].
    pub fn write_first_within<T: Send + 'static>(
        &self,
        doing: &'static str,
        limit: Duration,
        verb: impl FnMut(&mut dyn Sql) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        self.writer.ask(Manner::Pressing, Some(limit), verb).map_err(|fault| fault.named(&self.name, doing))
    }

    /// Does a verb that only reads; it sees everything that was acknowledged before. It runs again when the connection
    /// was lost meanwhile.
    ///
    /// # Errors
    /// What the verb gives; [`Error::Away`].
    pub fn read<T: Send>(
        &self,
        doing: &'static str,
        verb: impl FnMut(&mut dyn Sql) -> Result<T, Fault> + Send,
    ) -> Result<T, Error> {
        self.ask(Reading::Plain, verb).map_err(|fault| fault.named(&self.name, doing))
    }

    /// As [`Database::read`], and all its statements see the same instant.
    ///
    /// # Errors
    /// As [`Database::read`].
    pub fn read_snapshot<T: Send>(
        &self,
        doing: &'static str,
        verb: impl FnMut(&mut dyn Sql) -> Result<T, Fault> + Send,
    ) -> Result<T, Error> {
        self.ask(Reading::Snapshot, verb).map_err(|fault| fault.named(&self.name, doing))
    }

    /// As [`Database::read`], but ended when it takes longer than `limit`: for questions whose cost their asker decides. A
    /// server counts for each statement. No more than [`LONG_READERS`](crate::LONG_READERS) are asked at once.
    ///
    /// # Errors
    /// As [`Database::read`]; [`Error::Late`].
    pub fn read_within<T: Send>(
        &self,
        doing: &'static str,
        limit: Duration,
        verb: impl FnMut(&mut dyn Sql) -> Result<T, Fault> + Send,
    ) -> Result<T, Error> {
        self.ask(Reading::Within(limit), verb).map_err(|fault| fault.named(&self.name, doing))
    }

    /// As [`Database::read`], but ended when it takes longer than `limit`: for questions that are short but where somebody has made them
    /// long. However many are, a connection is left to what [`Database::read`] does. A server ends no statement before its own limit, of
    /// ten seconds, nor later.
    ///
    /// # Errors
    /// As [`Database::read`]; [`Error::Late`].
    pub fn read_brief<T: Send>(
        &self,
        doing: &'static str,
        limit: Duration,
        verb: impl FnMut(&mut dyn Sql) -> Result<T, Fault> + Send,
    ) -> Result<T, Error> {
        self.ask(Reading::Brief(limit), verb).map_err(|fault| fault.named(&self.name, doing))
    }

    fn ask<T: Send>(
        &self,
        how: Reading,
        verb: impl FnMut(&mut dyn Sql) -> Result<T, Fault> + Send,
    ) -> Result<T, Fault> {
        match &self.readers {
            Readers::Sqlite(readers) => readers.ask(how, verb),
            Readers::Postgres(readers) => readers.ask(how, verb),
        }
    }

    /// Reads the structure of the whole database, however large it is, beside the work; SQLite only, a server checks
    /// itself (`pg_amcheck`, data checksums).
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn check(&self) -> Result<(), Error> {
        match &self.readers {
            Readers::Sqlite(readers) => readers.check().map_err(|fault| fault.named(&self.name, "check the database")),
            Readers::Postgres(_) => Ok(()),
        }
    }

    /// Marks an SQLite database as moved to `place`: it is opened no more, and whoever tries is told.
    ///
    /// # Errors
    /// [`Error`].
    pub fn mark_moved(&self, place: &str) -> Result<(), Error> {
        let place = place.to_owned();
        self.write("mark the file as moved", move |sql| sqlite::mark(sql, &place))
    }

    /// Copies an SQLite database into a new file, as it is at one instant, beside the work.
    ///
    /// # Errors
    /// [`Error::Failed`], also for PostgreSQL, which has its own tools for it (`pg_dump`).
    pub fn copy_to(&self, path: &Path) -> Result<(), Error> {
        let outcome = match &self.readers {
            Readers::Sqlite(readers) => readers.copy_to(path),
            Readers::Postgres(_) => Err(Fault::Failed("copy it with pg_dump".to_owned())),
        };
        outcome.map_err(|fault| fault.named(&self.name, "copy the database"))
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Database({})", self.name)
    }
}
