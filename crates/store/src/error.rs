//! What can go wrong.

use std::time::Duration;

/// Why a database did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The database does not hold what it should.
    #[error(
        "{database}, {place}: {what}. Stop the hub, keep the database for inspection, and restore it from your last backup"
    )]
    Damaged {
        /// Which database: a file, or a server with its schema.
        database: String,
        /// Which table, or the whole of it.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// A newer program has made of its tables what this one cannot work on; nothing was changed.
    #[error(
        "{database}: its tables are of version {version}, and this program knows {known}: start the newer program. To go back with a file, \
         restore the backup that was made before the newer one was started"
    )]
    Newer {
        /// Which database.
        database: String,
        /// How many steps its tables have taken.
        version: usize,
        /// How many this program knows.
        known: usize,
    },
    /// What should be added is there already.
    #[error("there is already a {what} like this")]
    Taken {
        /// What kind of thing.
        what: &'static str,
    },
    /// What should be changed is not there, or not in the state the change begins with.
    #[error("there is no {what} to which this could be done")]
    Missing {
        /// What kind of thing.
        what: &'static str,
    },
    /// The database failed; nothing was changed.
    #[error("{database}, {doing}: {why}")]
    Failed {
        /// Which database.
        database: String,
        /// What was being done.
        doing: &'static str,
        /// What the database said.
        why: String,
    },
    /// The database cannot be reached, or does not let us in; nothing was changed. The next verb tries again.
    #[error("{database}, {doing}: the database cannot be used now and nothing was done; ask again ({why})")]
    Away {
        /// Which database.
        database: String,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        why: String,
    },
    /// It took longer than the asker waits; nothing is wrong with the database.
    #[error("{database}, {doing}: it took longer than {limit:?}")]
    Late {
        /// Which database.
        database: String,
        /// What was being done.
        doing: &'static str,
        /// How long the asker waits.
        limit: Duration,
    },
    /// The database was lost while it committed: the change is made as a whole, or not at all.
    #[error(
        "{database}, {doing}: the database was lost meanwhile, and whether it was done is not known; ask again ({why})"
    )]
    Unknown {
        /// Which database.
        database: String,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        why: String,
    },
}

/// What went wrong inside a verb, before database and act are added.
#[derive(Clone, Debug)]
pub enum Fault {
    /// What should be added is there already.
    Taken(&'static str),
    /// What should be changed is not there, or not in the right state.
    Missing(&'static str),
    /// A row holds what was never written.
    Damaged {
        /// In which table.
        table: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// Two rows would be the same in what must differ. A verb that expects it says [`Fault::taken`].
    Duplicate(String),
    /// The database refused or failed.
    Failed(String),
    /// The database as a whole is damaged.
    Corrupt(String),
    /// A newer program has made the tables.
    Newer {
        /// How many steps they have taken.
        version: usize,
        /// How many this program knows.
        known: usize,
    },
    /// The connection is gone; nothing was committed.
    Lost(String),
    /// The connection was lost in the commit.
    Unknown(String),
    /// It took longer than this.
    Late(Duration),
}

impl Fault {
    /// For `map_err`: `Taken` for a broken uniqueness, the fault itself for all else.
    pub fn taken(what: &'static str) -> impl FnOnce(Self) -> Self {
        move |fault| match fault {
            Self::Duplicate(_) => Self::Taken(what),
            other => other,
        }
    }

    /// `Missing` unless exactly one row was changed.
    ///
    /// # Errors
    /// [`Fault::Missing`].
    pub fn unless_one(changed: u64, what: &'static str) -> Result<(), Self> {
        if changed == 1 { Ok(()) } else { Err(Self::Missing(what)) }
    }

    /// The same, with how long the asker waits where it is late.
    pub(crate) fn late_by(self, limit: Duration) -> Self {
        if matches!(self, Self::Late(_)) { Self::Late(limit) } else { self }
    }

    pub(crate) fn named(self, database: &str, doing: &'static str) -> Error {
        let database = database.to_owned();
        match self {
            Self::Taken(what) => Error::Taken { what },
            Self::Missing(what) => Error::Missing { what },
            Self::Damaged { table, what } => Error::Damaged { database, place: format!("table {table}"), what },
            Self::Corrupt(what) => Error::Damaged { database, place: "the whole of it".to_owned(), what },
            Self::Newer { version, known } => Error::Newer { database, version, known },
            Self::Duplicate(why) | Self::Failed(why) => Error::Failed { database, doing, why },
            Self::Lost(why) => Error::Away { database, doing, why },
            Self::Unknown(why) => Error::Unknown { database, doing, why },
            Self::Late(limit) => Error::Late { database, doing, limit },
        }
    }
}
