//! What devices handed over: each once, under the number that its device gave; and deliveries that wait until a person says whose
//! they are.
//!
//! The table says what was handed over, and not a search for identifiers: those are written by whoever may write resources.

use super::testimony;
use super::write::{Running, Stopped, refused};
use super::{Records, index};
use crate::audit::{self, Note};
use crate::definitions::Definitions;
use crate::intake::{DELIVERY_SYSTEM, METRIC_SYSTEM, READING_SYSTEM};
use crate::kind::{Kind, Millis, Row};
use crate::outcome::{Code, Issue};
use crate::validate::{IndexRows, SEPARATOR};
use medlock_node::provider::sha256;
use medlock_store::{Error, Fault, Sql, all, first, values};
use medlock_trust::DeviceName;

/// The identifiers that only the intake gives.
const RESERVED: [&str; 3] = [READING_SYSTEM, DELIVERY_SYSTEM, METRIC_SYSTEM];
/// Deliveries that are listed at once, oldest first.
pub(crate) const LISTED: usize = 1_000;
/// Deliveries of one device that wait, at most: a week of one in five minutes.
pub(crate) const MOST_WAITING: usize = 2_000;

/// By what a thing that a device hands over is kept once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Once {
    device: DeviceName,
    key: Vec<u8>,
    hash: [u8; 32],
}

impl Once {
    /// The thing of this sort with these numbers; no other of the device has them.
    pub(crate) fn new(device: DeviceName, sort: u8, numbers: &[u64], contents: &[u8]) -> Self {
        let numbers = numbers.iter().flat_map(|number| number.to_be_bytes());
        Self { device, key: std::iter::once(sort).chain(numbers).collect(), hash: sha256(contents) }
    }

    /// What tells it from all others of its device.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// SHA-256 of what was handed over.
    pub(crate) const fn hash(&self) -> [u8; 32] {
        self.hash
    }
}

/// Where a resource of the intake comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A device hands it over.
    Handed(Once),
    /// It waited under this number; and what its Provenance is, and is found by.
    Waited(i64, Vec<u8>, IndexRows),
}

impl Origin {
    /// What else is written with it.
    pub(super) const fn rows(&self) -> Option<&IndexRows> {
        match self {
            Self::Handed(_) => None,
            Self::Waited(_, _, rows) => Some(rows),
        }
    }
}

/// A delivery for which no patient can be named.
#[derive(Clone, Debug)]
pub(crate) struct NewWaiting {
    pub(crate) once: Once,
    /// The identifier that its resource will have.
    pub(crate) identifier: String,
    /// It, as the device reported it.
    pub(crate) record: Vec<u8>,
    /// The Provenance that it will have, without its targets: JSON.
    pub(crate) provenance: Vec<u8>,
    /// The mark beside it.
    pub(crate) mark: Option<&'static str>,
}

/// One that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) number: i64,
    pub(crate) device: DeviceName,
    pub(crate) came: Millis,
    pub(crate) identifier: String,
    pub(crate) record: Vec<u8>,
    pub(crate) provenance: Vec<u8>,
    pub(crate) mark: Option<String>,
}

const STILL: &str = "resource IS NULL AND dismissed IS NULL";
const COLUMNS: &str = "SELECT id, device, came, identifier, record, provenance, mark FROM waiting WHERE";

impl Waiting {
    fn of(row: &medlock_store::Row) -> Result<Self, Fault> {
        Ok(Self {
            number: row.number("id")?,
            device: DeviceName::new(row.text("device")?).ok_or_else(|| row.damaged("device"))?,
            came: Millis(row.number("came")?),
            identifier: row.text("identifier")?.to_owned(),
            record: row.blob("record")?.to_vec(),
            provenance: row.blob("provenance")?.to_vec(),
            mark: row.optional_text("mark")?.map(str::to_owned),
        })
    }
}

impl Records {
    /// What was handed over before under the numbers of these: SHA-256 of it.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn handed<'o>(&self, all: impl Iterator<Item = &'o Once>) -> Result<Vec<Option<[u8; 32]>>, Error> {
        let all: Vec<&Once> = all.collect();
        self.database()
            .read_snapshot("look for what was handed over", |sql| all.iter().map(|once| hash(sql, once)).collect())
    }

    /// Keeps deliveries that no patient can be named for until a person says whose they are, and the audit of it. What another
    /// call kept meanwhile, stays as it is. How many, the first ones, there was room for: of `device` [`MOST_WAITING`] wait.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn set_aside(
        &self,
        device: DeviceName,
        waiting: Vec<(NewWaiting, Note)>,
        notes: Vec<Note>,
    ) -> Result<usize, Error> {
        let came = Millis(self.clock.unix_millis());
        self.database().write("keep deliveries that wait", move |sql| {
            const INSERT: &str = "INSERT INTO waiting (device, came, identifier, record, provenance, mark) \
                                  VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let question = format!("SELECT count(*) AS n FROM waiting WHERE {STILL} AND device = ?1");
            let wait = first(sql, "waiting", &question, values![device.as_str()], |row| row.number::<usize>("n"))?;
            let room = MOST_WAITING.saturating_sub(wait.unwrap_or(0)).min(waiting.len());
            let mut all = notes.clone();
            for (NewWaiting { once, identifier, record, provenance, mark }, note) in waiting.iter().take(room) {
                all.push(note.clone());
                if keep(sql, once)? {
                    let device = once.device.as_str();
                    sql.execute(INSERT, values![device, came.0, identifier, record, provenance, *mark])?;
                }
            }
            audit::append(sql, came, &all)?;
            Ok(room)
        })
    }

    /// Those that wait behind this number, oldest first, [`LISTED`] at most; of one device, if it is named.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn waiting(&self, device: Option<DeviceName>, after: i64) -> Result<Vec<Waiting>, Error> {
        let of = if device.is_some() { " AND device = ?2" } else { "" };
        let question = format!("{COLUMNS} {STILL} AND id > ?1{of} ORDER BY id LIMIT {LISTED}");
        let mut values = values![after].to_vec();
        values.extend(device.map(|device| device.as_str().into()));
        self.database().read("list deliveries that wait", |sql| all(sql, "waiting", &question, &values, Waiting::of))
    }

    /// How many wait.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn count_waiting(&self) -> Result<u64, Error> {
        let question = format!("SELECT count(*) AS n FROM waiting WHERE {STILL}");
        self.database().read("count deliveries that wait", |sql| {
            Ok(first(sql, "waiting", &question, &[], |row| row.number("n"))?.unwrap_or(0))
        })
    }

    /// These were nobody's, and wait no more: all of them, or none; and the audit of it. The number of one that does not wait.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn dismiss(&self, numbers: Vec<i64>, why: String, notes: Vec<Note>) -> Result<Option<i64>, Error> {
        let at = Millis(self.clock.unix_millis());
        let question = format!("SELECT id FROM waiting WHERE {STILL} AND id = ?1");
        self.database().write("dismiss deliveries", move |sql| {
            for number in &numbers {
                if first(sql, "waiting", &question, values![*number], |row| row.number::<i64>("id"))?.is_none() {
                    return Ok(Some(*number));
                }
            }
            for number in &numbers {
                const UPDATE: &str = "UPDATE waiting SET dismissed = ?2, why = ?3 WHERE id = ?1";
                sql.execute(UPDATE, values![*number, at.0, why.as_str()])?;
            }
            audit::append(sql, at, &notes)?;
            Ok(None)
        })
    }

    /// The one that waits under this number.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn waits(&self, number: i64) -> Result<Option<Waiting>, Error> {
        let question = format!("{COLUMNS} {STILL} AND id = ?1");
        let read = |sql: &mut dyn Sql| first(sql, "waiting", &question, values![number], Waiting::of);
        self.database().read("look for a delivery that waits", read)
    }
}

fn hash(sql: &mut dyn Sql, once: &Once) -> Result<Option<[u8; 32]>, Fault> {
    const HASH: &str = "SELECT hash FROM handed WHERE device = ?1 AND key = ?2";
    first(sql, "handed", HASH, values![once.device.as_str(), once.key()], |row| row.bytes::<32>("hash"))
}

/// Notes that it was handed over; `false`: its number is known.
fn keep(sql: &mut dyn Sql, once: &Once) -> Result<bool, Fault> {
    const INSERT: &str = "INSERT INTO handed (device, key, hash) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    Ok(sql.execute(INSERT, values![once.device.as_str(), once.key(), once.hash()])? == 1)
}

impl Running<'_> {
    /// Notes where a new resource comes from. Who writes one that comes from no device, gives it no identifier of those that do.
    pub(super) fn originate(
        &mut self,
        (row, patient): (Row, Option<Row>),
        (kind, rows, origin): (Kind, &IndexRows, Option<&Origin>),
    ) -> Result<(), Stopped> {
        match origin {
            None => unreserved(kind, &IndexRows::default(), rows),
            Some(Origin::Handed(once)) => {
                if keep(self.sql, once)? {
                    Ok(())
                } else {
                    Err(Stopped::Changed)
                }
            }
            Some(Origin::Waited(number, tail, rows)) => {
                const UPDATE: &str = "UPDATE waiting SET resource = ?2 \
                                      WHERE id = ?1 AND resource IS NULL AND dismissed IS NULL";
                if self.sql.execute(UPDATE, values![*number, row.0])? != 1 {
                    return Err(Stopped::Changed);
                }
                let statement = testimony::write(self.sql, tail, patient, self.at)?;
                index::write(self.sql, statement, rows, &self.work.numbers, |kind, id| {
                    self.known.get(&(kind, id)).map(|(row, _)| *row)
                })?;
                self.sql.execute("UPDATE resource SET statement = ?2 WHERE rid = ?1", values![row.0, statement.0])?;
                Ok(())
            }
        }
    }
}

/// Looks whether a resource has, of the identifiers that only the intake gives, just those that it had.
pub(super) fn unreserved(kind: Kind, before: &IndexRows, after: &IndexRows) -> Result<(), Stopped> {
    if given(kind, before).eq(given(kind, after)) {
        return Ok(());
    }
    let text = format!(
        "only what a device reports has an identifier with the system {}, {} or {}",
        RESERVED[0], RESERVED[1], RESERVED[2]
    );
    Err(refused(Issue::new(Code::ReservedIdentifier, text).at(format!("{kind}.identifier"))))
}

/// The identifiers of a resource that only the intake gives, in their order.
fn given(kind: Kind, rows: &IndexRows) -> impl Iterator<Item = &str> {
    let parameter = Definitions::r4().parameters.named(kind, "identifier").map(|parameter| parameter.id);
    let own = rows.idents.iter().filter(move |(of, _)| Some(*of) == parameter);
    own.map(|(_, ident)| ident.as_str())
        .filter(|ident| ident.split_once(SEPARATOR).is_some_and(|(_, system)| RESERVED.contains(&system)))
}
