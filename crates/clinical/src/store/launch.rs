//! What the software that opens an app says of patient and place, until the app asks with it.

use super::{Records, count};
use crate::audit::{self, Note};
use crate::kind::{Millis, Row};
use medlock_store::{Error, Fault, Sql, Value, first, values};

/// Launches of one opener with which nothing was granted yet, and those of all, at most.
const OF_ONE: i64 = 1_000;
const MOST: i64 = 10_000;

/// Whose launches are as many as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The opener's.
    Own,
    /// Those of all.
    All,
}

impl Full {
    /// What is said of it, and what helps.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Own => {
                format!("you have opened {OF_ONE} apps that have not asked yet: each ends after five minutes")
            }
            Self::All => format!("{MOST} apps were opened that have not asked yet: each ends after five minutes"),
        }
    }
}

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
    /// Keeps a launch by who opens the app, and notes it; the inner error: there are as many as there may be.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_launch(&self, launch: Launch, opener: String, note: Note) -> Result<Result<(), Full>, Error> {
        let clock = self.clock.clone();
        self.database().write("keep a launch", move |sql| {
            let at = Millis(clock.unix_millis());
            if let Some(full) = full(sql, &opener, at.0.div_euclid(1_000))? {
                return Ok(Err(full));
            }
            let insert = "INSERT INTO launch (hash, client, account, patient, context, until, opener) \
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let Launch { hash, client, account, patient, context, until } = &launch;
            let patient = patient.map(|row| row.0);
            let own = values![*hash, client.as_str(), *account, patient, context.as_str(), *until, opener.as_str()];
            sql.execute(insert, own)?;
            audit::append(sql, at, std::slice::from_ref(&note))?;
            Ok(Ok(()))
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

/// Whose launches are as many as there may be, before this opener has one more.
fn full(sql: &mut dyn Sql, opener: &str, now: i64) -> Result<Option<Full>, Fault> {
    let mut has = |of: &str, values: &[Value], most: i64| {
        let from = format!("launch WHERE used IS NULL AND until > ?1{of}");
        Ok::<bool, Fault>(count(sql, "launch", &from, values)? >= most)
    };
    Ok(if has(" AND opener = ?2", values![now, opener], OF_ONE)? {
        Some(Full::Own)
    } else if has("", values![now], MOST)? {
        Some(Full::All)
    } else {
        None
    })
}

/// Whether nothing was granted with this launch before; now something is.
pub(super) fn spend(sql: &mut dyn Sql, hash: [u8; 32], now: i64) -> Result<bool, Fault> {
    let update = "UPDATE launch SET used = ?1 WHERE hash = ?2 AND used IS NULL";
    Ok(sql.execute(update, values![now, hash])? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Caller;
    use crate::tests::fixture::House;
    use medlock_node::provider::random;
    use medlock_store::Engine;

    /// Shows REQ-SMART-242: so many launches of one opener, and of all, wait for their app; one with which something was granted, or that
    /// is late, takes no place.
    #[tokio::test]
    async fn so_many_launches_wait() {
        for house in House::both() {
            let records = house.clinical.records();
            let until = house.site.clock.now().unix() + 300;
            let open = |opener: &str| {
                let hash: [u8; 32] = random();
                let client = "app".to_owned();
                let launch = Launch { hash, client, account: None, patient: None, context: String::new(), until };
                let note = Note::opening(&Caller::administrator(), None, String::new());
                records.keep_launch(launch, opener.to_owned(), note).expect("asked").map(|()| hash)
            };
            let fill = |count: i64, opener: &'static str| {
                let fill = "INSERT INTO launch (hash, client, context, until, opener) \
                            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
                            SELECT CAST(?2 || i AS BLOB), 'app', '', ?3, ?2 FROM n";
                let fill = move |sql: &mut dyn Sql| {
                    let fill = match sql.engine() {
                        Engine::Sqlite => fill.to_owned(),
                        Engine::Postgres => fill.replace("AS BLOB", "AS BYTEA"),
                    };
                    sql.execute(&fill, values![count, opener, until])
                };
                records.database().write("fill", fill).expect("filled");
            };
            fill(OF_ONE - 1, "own");
            let last = open("own").expect("room");
            assert_eq!(open("own"), Err(Full::Own));
            let used = records.database().write("spend", move |sql| spend(sql, last, 1));
            assert!(used.expect("spent") && open("own").is_ok());
            assert_eq!(open("own"), Err(Full::Own));

            fill(MOST - OF_ONE - 1, "others");
            assert!(open("another").is_ok());
            assert_eq!([open("another"), open("own")], [Err(Full::All), Err(Full::Own)]);
            house.site.clock.advance(300);
            assert!(open("own").is_ok() && open("another").is_ok());
        }
    }
}
