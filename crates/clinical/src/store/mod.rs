//! What is kept, on SQLite or PostgreSQL: the verbs are written once, over [`medlock_store::Sql`].
//!
//! A row is read and written only under a [`Sight`](crate::access::Sight), which is part of the statement.

mod account;
mod act;
mod audit;
mod beginning;
mod clients;
mod community;
mod condition;
mod consent;
mod dictionary;
mod export;
mod former;
mod handed;
mod history;
mod holds;
mod include;
mod index;
mod intake;
mod lacking;
mod launch;
mod names;
mod page;
mod passkeys;
mod read;
mod schema;
mod search;
mod statement;
mod subscription;
mod testimony;
mod token;
mod upstream;
mod web_keys;
mod whose;
mod write;

pub(crate) use account::Listed as ListedAccount;
pub use act::{Act, Asked, Condition, Done, Expected, How, Unapplied};
pub(crate) use audit::{Events, Noted, Wanted};
pub(crate) use clients::{NewCode, Spent};
pub(crate) use community::Registered;
pub(crate) use condition::constrain;
pub(crate) use consent::NewGlass;
#[cfg(test)]
pub(crate) use export::Full as ExportsFull;
pub(crate) use export::{Begun, Division, Export, File, NewExport, Part, Wish};
pub(crate) use handed::{LISTED, NewWaiting, Once, Origin, Waiting};
pub use history::HistoryOf;
pub(crate) use intake::{Whose, Worn};
pub(crate) use launch::{Full as LaunchesFull, Launch};
pub(crate) use names::{Bound, named};
use page::Order;
pub use page::{Cursor, Page};
pub(crate) use passkeys::{Offer, SignedIn};
pub use read::Stored;
pub use search::{Counted, Found};
pub(crate) use statement::Statement;
pub(crate) use subscription::Listed as ListedSubscription;
pub(crate) use subscription::{Behind, Due, Sights, Subscribed, Telling};
pub(crate) use token::{Given, NewLeave, NewRefresh, NewToken};
pub(crate) use upstream::Sworn;
pub(crate) use web_keys::{NotedKey, PublicKey};

use crate::kind::Seq;
use dictionary::Dictionary;
use medlock_node::clock::Clock;
use medlock_node::provider;
use medlock_store::postgres::Server;
use medlock_store::{Database, Error, Fault, Sql, Value, first, values};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long one resource is looked for, or a request writes, at most: what a patient or a Bundle says makes it long or short.
const OF_ONE: Duration = Duration::from_secs(10);

/// Where it is kept.
#[derive(Clone, Debug)]
pub enum Place {
    /// In this file.
    File(PathBuf),
    /// On this server.
    Server(Box<Server>),
}

/// Everything that is kept. All calls block.
#[derive(Debug)]
pub struct Records {
    database: Database,
    dictionary: Dictionary,
    /// The Provenances that more rows may name.
    statements: Arc<testimony::Statements>,
    clock: Clock,
    /// What pages are sealed with: the same for all hubs of a store.
    cursor_key: provider::SealingKey,
}

impl Records {
    /// Opens what is kept, or makes it; checks it and brings its tables up to date.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(place: &Place, clock: Clock) -> Result<Self, Error> {
        let database = match place {
            Place::File(file) => Database::sqlite(Path::new(file), &schema::SCHEMA)?,
            Place::Server(server) => Database::postgres(Server::clone(server), &schema::SCHEMA)?,
        };
        let key = database.write("make the key of pages", |sql| {
            let fresh: [u8; 32] = provider::random();
            sql.execute(
                "INSERT INTO meta (name, value) VALUES ('cursor-key', ?1) ON CONFLICT DO NOTHING",
                values![fresh],
            )?;
            let held = first(sql, "meta", "SELECT value FROM meta WHERE name = 'cursor-key'", &[], |row| {
                row.bytes::<32>("value")
            })?;
            held.ok_or(Fault::Missing("key of pages"))
        })?;
        Ok(Self {
            database,
            dictionary: Dictionary::default(),
            statements: Arc::default(),
            clock,
            cursor_key: provider::SealingKey::new(&key),
        })
    }

    /// The newest change that was acknowledged.
    ///
    /// # Errors
    /// [`Error`].
    pub fn newest(&self) -> Result<Seq, Error> {
        self.database.read("ask for the newest change", newest)
    }

    pub(crate) const fn database(&self) -> &Database {
        &self.database
    }
}

/// How many rows of a table there are; `from` begins with its name, and goes on with which of them.
fn count(sql: &mut dyn Sql, table: &'static str, from: &str, values: &[Value]) -> Result<i64, Fault> {
    let question = format!("SELECT count(*) AS n FROM {from}");
    Ok(first(sql, table, &question, values, |row| row.number("n"))?.unwrap_or(0))
}

fn newest(sql: &mut dyn Sql) -> Result<Seq, Fault> {
    let newest = first(sql, "change", "SELECT max(seq) AS seq FROM change", &[], |row| row.optional_number("seq"))?;
    Ok(Seq(newest.flatten().unwrap_or(0)))
}
