//! What the software that opens an app says of patient and place, until the app asks with it.

use super::Records;
use crate::audit::{self, Note};
use crate::kind::{Millis, Row};
use medlock_store::{Error, Fault, Sql, first, values};

/// What was said, and to whom it may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    /// SHA-256 of its text.
    pub(crate) hash: [u8; 32],
    /// The app that is opened.
    pub(crate) client: String,
    /// The account of the person who opens it, if that is known.
    pub(crate) account: Option<i64>,
    /// The patient whose data is meant.
    pub(crate) patient: Option<Row>,
    /// The rest, as it is told with a token: JSON.
    pub(crate) context: String,
    /// Until when, in seconds since 1970.
    pub(crate) until: i64,
}

impl Records {
    /// Keeps a launch, and notes it.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_launch(&self, launch: Launch, note: Note) -> Result<(), Error> {
        let at = Millis(self.clock.unix_millis());
        self.database().write("keep a launch", move |sql| {
            let insert =
                "INSERT INTO launch (hash, client, account, patient, context, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let Launch { hash, client, account, patient, context, until } = &launch;
            let patient = patient.map(|row| row.0);
            sql.execute(insert, values![*hash, client.as_str(), *account, patient, context.as_str(), *until])?;
            audit::append(sql, at, std::slice::from_ref(&note))
        })
    }

    /// The launch with this hash, if nothing was granted with it yet.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn launch(&self, hash: [u8; 32]) -> Result<Option<Launch>, Error> {
        let question = "SELECT client, account, patient, context, until FROM launch WHERE hash = ?1 AND used IS NULL";
        self.database().read("look for a launch", |sql| {
            first(sql, "launch", question, values![hash], |row| {
                Ok(Launch {
                    hash,
                    client: row.text("client")?.to_owned(),
                    account: row.optional_number("account")?,
                    patient: row.optional_number("patient")?.map(Row),
                    context: row.text("context")?.to_owned(),
                    until: row.number("until")?,
                })
            })
        })
    }
}

/// Whether nothing was granted with this launch before; now something is.
pub(super) fn spend(sql: &mut dyn Sql, hash: [u8; 32], now: i64) -> Result<bool, Fault> {
    let update = "UPDATE launch SET used = ?1 WHERE hash = ?2 AND used IS NULL";
    Ok(sql.execute(update, values![now, hash])? > 0)
}
