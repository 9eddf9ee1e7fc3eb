//! Certificates, from before they exist.

use super::row::{Columns as _, word};
use super::{SqlStore, standing};
use crate::store::{Issuances, Issued, Past, Purpose, Record, Serial, StoreError, Subject, Turn};
use medlock_store::{Engine, Fault, Row, Sql, Value, all, first, values};
use medlock_trust::{CredentialId, DeviceName, KeyId};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const PURPOSES: &[(Purpose, &str)] = &[
    (Purpose::Root, "root"),
    (Purpose::Issuing, "issuing"),
    (Purpose::Operational, "operational"),
    (Purpose::Birth, "birth"),
    (Purpose::Voucher, "voucher"),
];
pub(super) const TABLE: &str = "issuance";
pub(super) const COLUMNS: &str =
    "serial, purpose, device, key, parent, not_before, not_after, at, tbs, credential, certificate, used";

/// Records of this process that nobody finishes: whether they were written is not known, or the database was away when
/// their certificate was to be stored.
#[derive(Debug, Default)]
pub(super) struct Left(Mutex<BTreeSet<[u8; 16]>>);

impl Left {
    fn all(&self) -> MutexGuard<'_, BTreeSet<[u8; 16]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the record if this outcome of recording it leaves it behind.
    fn recorded(&self, serial: Serial, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        outcome.inspect_err(|error| {
            if matches!(error, StoreError::Unknown { .. }) {
                self.all().insert(*serial.as_bytes());
            }
        })
    }

    /// Remembers the record if this outcome of ending it leaves it behind, and forgets it if not.
    fn ended(&self, serial: Serial, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        match &outcome {
            Ok(()) | Err(StoreError::Missing { .. }) => self.all().remove(serial.as_bytes()),
            Err(_) => self.all().insert(*serial.as_bytes()),
        };
        outcome
    }
}

impl SqlStore {
    fn issued_where(
        &self,
        doing: &'static str,
        column: &'static str,
        value: impl Into<Value>,
    ) -> Result<Vec<Issued>, StoreError> {
        let value = value.into();
        self.database.read(doing, |database| of(database, column, value.clone()))
    }

    /// As [`medlock_store::Database::write`], for a verb of many statements. SQLite would copy each page that they change to be able to go
    /// back to where they began; here a verb that fails takes its whole transaction back, whose other verbs are done again.
    fn write_together<T: Send + 'static>(
        &self,
        doing: &'static str,
        mut verb: impl FnMut(&mut dyn Sql) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self.engine() {
            Engine::Postgres => self.database.write(doing, verb),
            Engine::Sqlite => self.database.write_single(doing, move |database| {
                verb(database).inspect_err(|_| {
                    // Where SQLite has ended it by itself this fails, and nothing is left of it either.
                    let _ = database.batch("ROLLBACK");
                })
            }),
        }
    }

    fn record_one(&self, record: Record, turn: Option<Turn>) -> Result<(), StoreError> {
        let serial = record.serial;
        let outcome = self.database.write_single(RECORDING, move |database| add(database, &record, turn));
        self.left.recorded(serial, outcome)
    }
}

const RECORDING: &str = "record a certificate before it is signed";
const COMPLETING: &str = "store a certificate";

fn add(database: &mut dyn Sql, record: &Record, turn: Option<Turn>) -> Result<(), Fault> {
    let mut parameters = record_values(record);
    let Some(turn) = turn else {
        let added = database.execute(&format!("{INSERT} WHERE 1 = 1 ON CONFLICT (serial) DO NOTHING"), &parameters)?;
        return if added == 1 { Ok(()) } else { Err(Fault::Taken("certificate serial")) };
    };
    // An operational credential is given to a device of the register, and to none that another hub has taken out of it meanwhile.
    let in_turn = match record.purpose {
        Purpose::Operational => "(SELECT turn FROM device WHERE name = ?3)",
        Purpose::Root | Purpose::Issuing | Purpose::Birth | Purpose::Voucher => {
            "coalesce((SELECT turn FROM device WHERE name = ?3), 0)"
        }
    };
    let sql = format!(
        "{INSERT} WHERE NOT EXISTS (SELECT 1 FROM issuance WHERE device = ?3 AND number > ?10)
             AND NOT EXISTS (SELECT 1 FROM issuance WHERE key = ?4 AND number > ?10)
             AND {in_turn} = ?11
         ON CONFLICT (serial) DO NOTHING"
    );
    parameters.extend([turn.records.into(), turn.ended.into()]);
    if database.execute(&sql, &parameters)? == 1 {
        return Ok(());
    }
    let same = "SELECT 1 AS one FROM issuance WHERE serial = ?1";
    let same = first(database, TABLE, same, values![record.serial.as_bytes()], |row| row.number::<i64>("one"))?;
    Err(same.map_or(Fault::Missing("turn of this device"), |_| Fault::Taken("certificate serial")))
}

fn put(database: &mut dyn Sql, serial: Serial, credential: CredentialId, certificate: &[u8]) -> Result<(), Fault> {
    let sql = "UPDATE issuance SET state = 'issued', credential = ?2, certificate = ?3
               WHERE serial = ?1 AND state = 'recorded'";
    let changed = database
        .execute(sql, values![serial.as_bytes(), credential.as_bytes(), certificate])
        .map_err(Fault::taken("credential"))?;
    Fault::unless_one(changed, "recorded certificate")
}

/// What one of several is told, where it concerns no other.
fn told(outcome: Result<(), Fault>) -> Result<Result<(), StoreError>, Fault> {
    match outcome {
        Ok(()) => Ok(Ok(())),
        Err(Fault::Taken(what)) => Ok(Err(StoreError::Taken { what })),
        Err(Fault::Missing(what)) => Ok(Err(StoreError::Missing { what })),
        Err(other) => Err(other),
    }
}

/// Does something with all of them together. Where one of them broke it, with each alone: so it breaks only itself.
fn each<T>(
    those: Vec<T>,
    together: impl FnOnce(Arc<[T]>) -> Result<Vec<Result<(), StoreError>>, StoreError>,
    alone: impl Fn(&T) -> Result<(), StoreError>,
    end: impl Fn(&T, Result<(), StoreError>) -> Result<(), StoreError>,
) -> Vec<Result<(), StoreError>> {
    let those: Arc<[T]> = those.into();
    if let [] | [_] = &*those {
        return those.iter().map(alone).collect();
    }
    match together(those.clone()) {
        Ok(outcomes) => those.iter().zip(outcomes).map(|(one, outcome)| end(one, outcome)).collect(),
        Err(error @ (StoreError::Away { .. } | StoreError::Unknown { .. } | StoreError::Late { .. })) => {
            those.iter().map(|one| end(one, Err(error.clone()))).collect()
        }
        Err(
            StoreError::Damaged { .. }
            | StoreError::Newer { .. }
            | StoreError::Taken { .. }
            | StoreError::Missing { .. }
            | StoreError::Failed { .. },
        ) => those.iter().map(alone).collect(),
    }
}

impl Issuances for SqlStore {
    fn record(&self, record: Record) -> Result<(), StoreError> {
        self.record_one(record, None)
    }

    fn turn_of(&self, device: DeviceName, key: KeyId) -> Result<Turn, StoreError> {
        self.database.read("find a device's turn", |database| turn_of(database, &device, key))
    }

    fn past(&self, device: DeviceName, key: KeyId) -> Result<Past, StoreError> {
        self.database.read_snapshot("read what a device and a key have", |database| {
            Ok(Past {
                turn: turn_of(database, &device, key)?,
                against: standing::current(database, &Subject::Device(device))?,
                of_device: of(database, "device", device.as_str().into())?,
                of_key: of(database, "key", key.as_bytes().into())?,
            })
        })
    }

    fn record_in_turn(&self, record: Record, turn: Turn) -> Result<(), StoreError> {
        self.record_one(record, Some(turn))
    }

    fn record_all(&self, records: Vec<(Record, Option<Turn>)>) -> Vec<Result<(), StoreError>> {
        let together = |records: Arc<[(Record, Option<Turn>)]>| {
            self.write_together(RECORDING, move |database| {
                records.iter().map(|(record, turn)| told(add(database, record, *turn))).collect()
            })
        };
        let one = |(record, turn): &(Record, Option<Turn>)| self.record_one(record.clone(), *turn);
        each(records, together, one, |(record, _), outcome| self.left.recorded(record.serial, outcome))
    }

    fn end_turns_of(&self, device: DeviceName) -> Result<(), StoreError> {
        self.database.write("end what is under way for a device", move |database| {
            let name = values![device.as_str()];
            database.execute("UPDATE device SET turn = turn + 1 WHERE name = ?1", name)?;
            database.execute(
                "UPDATE issuance SET state = 'abandoned', abandoned = 'the device was changed meanwhile'
                 WHERE device = ?1 AND state = 'recorded'",
                name,
            )?;
            Ok(())
        })
    }

    fn complete(&self, serial: Serial, credential: CredentialId, certificate: Vec<u8>) -> Result<(), StoreError> {
        let outcome =
            self.database.write_single(COMPLETING, move |database| put(database, serial, credential, &certificate));
        self.left.ended(serial, outcome)
    }

    fn complete_all(&self, certificates: Vec<(Serial, CredentialId, Vec<u8>)>) -> Vec<Result<(), StoreError>> {
        let together = |certificates: Arc<[(Serial, CredentialId, Vec<u8>)]>| {
            self.write_together(COMPLETING, move |database| {
                let one = |(serial, credential, certificate): &(Serial, CredentialId, Vec<u8>)| {
                    told(put(database, *serial, *credential, certificate))
                };
                certificates.iter().map(one).collect()
            })
        };
        let one = |(serial, credential, certificate): &(Serial, CredentialId, Vec<u8>)| {
            self.complete(*serial, *credential, certificate.clone())
        };
        each(certificates, together, one, |(serial, ..), outcome| self.left.ended(*serial, outcome))
    }

    fn abandon(&self, serial: Serial, why: &str) -> Result<(), StoreError> {
        let sql = "UPDATE issuance SET state = 'abandoned', abandoned = ?2 WHERE serial = ?1 AND state <> 'issued'";
        let why = why.to_owned();
        let outcome = self.database.write_single("give a recorded certificate up", move |database| {
            Fault::unless_one(database.execute(sql, values![serial.as_bytes(), &why])?, "recorded certificate")
        });
        self.left.ended(serial, outcome)
    }

    fn unfinished(&self) -> Result<Vec<Record>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM issuance WHERE state = 'recorded' ORDER BY number");
        self.database.read("look for unfinished certificates", |database| all(database, TABLE, &sql, &[], record))
    }

    fn orphans(&self) -> Result<Vec<Serial>, StoreError> {
        let sql = match self.engine() {
            Engine::Sqlite => "SELECT serial FROM issuance WHERE state = 'recorded' ORDER BY number",
            Engine::Postgres => {
                "SELECT serial FROM issuance WHERE state = 'recorded'
                     AND since NOT BETWEEN CAST(extract(epoch FROM now()) AS BIGINT) - 60
                         AND CAST(extract(epoch FROM now()) AS BIGINT) + 60
                 ORDER BY number"
            }
        };
        let mut found = self.database.read("look for certificates that nobody finishes", |database| {
            all(database, TABLE, sql, &[], |row| {
                Serial::from_octets(&row.bytes::<16>("serial")?).ok_or_else(|| row.damaged("serial"))
            })
        })?;
        let left = self.left.all().iter().filter_map(|serial| Serial::from_octets(serial)).collect::<Vec<_>>();
        found.extend(left.into_iter().filter(|serial| !found.contains(serial)).collect::<Vec<_>>());
        Ok(found)
    }

    fn issued(&self, credential: CredentialId) -> Result<Option<Issued>, StoreError> {
        let found = self.issued_where("find a certificate", "credential", credential.as_bytes())?;
        Ok(found.into_iter().next())
    }

    fn issued_with_serial(&self, serial: Serial) -> Result<Option<Issued>, StoreError> {
        Ok(self.issued_where("find a serial", "serial", serial.as_bytes())?.into_iter().next())
    }

    fn newest(&self, purpose: Purpose) -> Result<Option<Issued>, StoreError> {
        let sql = newest(purpose);
        self.database.read("find the authority's certificate", |database| {
            first(database, TABLE, &sql, values![word(&purpose, PURPOSES)], issued)
        })
    }

    fn credentials_of(&self, device: DeviceName) -> Result<Vec<Issued>, StoreError> {
        self.issued_where("list a device's certificates", "device", device.as_str())
    }

    fn credentials_for(&self, key: KeyId) -> Result<Vec<Issued>, StoreError> {
        self.issued_where("list a key's certificates", "key", key.as_bytes())
    }

    fn children(&self, parent: CredentialId) -> Result<Vec<Issued>, StoreError> {
        self.issued_where("list a certificate's successors", "parent", parent.as_bytes())
    }

    fn mark_used(&self, credential: CredentialId) -> Result<bool, StoreError> {
        let sql = "UPDATE issuance SET used = 1 WHERE credential = ?1 AND used = 0";
        self.database.write_single("note a certificate's first use", move |database| {
            Ok(database.execute(sql, values![credential.as_bytes()])? == 1)
        })
    }
}

/// The newest certificate of the purpose `?1`, which is this one.
pub(super) fn newest(purpose: Purpose) -> String {
    // As the index issuance_own says it: else it is not used. Those of devices are found at once.
    let own = match purpose {
        Purpose::Root | Purpose::Issuing | Purpose::Voucher => "purpose IN ('root', 'issuing', 'voucher') AND ",
        Purpose::Operational | Purpose::Birth => "",
    };
    format!("SELECT {COLUMNS} FROM issuance WHERE {own}purpose = ?1 AND state = 'issued' ORDER BY number DESC LIMIT 1")
}

/// How many records there are, for who wants to record another one for this device and the key that is `?2` on a server.
/// What another hub has recorded there and not finished is not found by who looks for certificates: it counts as later.
pub(super) fn records(engine: Engine, device: &str) -> String {
    let unfinished = match engine {
        // In one process locks keep them apart.
        Engine::Sqlite => String::new(),
        Engine::Postgres => format!(
            "(SELECT min(number) - 1 FROM issuance WHERE state = 'recorded' AND (device = {device} OR key = ?2)), "
        ),
    };
    format!("coalesce({unfinished}(SELECT number FROM issuance ORDER BY number DESC LIMIT 1), 0)")
}

/// The columns `records` and `ended`.
pub(super) fn turn(row: &Row) -> Result<Turn, Fault> {
    Ok(Turn { records: row.number("records")?, ended: row.number("ended")? })
}

/// One writes at a time, so the numbers have no gaps: they are the places in the log.
const INSERT: &str = "INSERT INTO issuance (number, serial, purpose, device, key, parent, not_before, not_after, at, tbs)
    SELECT coalesce((SELECT number FROM issuance ORDER BY number DESC LIMIT 1), 0) + 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9";

/// `?1` to `?9` of [`INSERT`].
fn record_values(record: &Record) -> Vec<Value> {
    values![
        record.serial.as_bytes(),
        word(&record.purpose, PURPOSES),
        record.device.as_ref().map(DeviceName::as_str),
        record.key.as_bytes(),
        record.parent.as_ref().map(CredentialId::as_bytes),
        record.not_before.unix(),
        record.not_after.unix(),
        record.at.unix(),
        &record.tbs,
    ]
    .to_vec()
}

fn record(row: &Row) -> Result<Record, Fault> {
    Ok(Record {
        serial: Serial::from_octets(&row.bytes::<16>("serial")?).ok_or_else(|| row.damaged("serial"))?,
        purpose: row.word("purpose", PURPOSES)?,
        device: row.optional_device("device")?,
        key: row.key("key")?,
        parent: row.optional_bytes("parent")?.map(CredentialId::from_bytes),
        not_before: row.time("not_before")?,
        not_after: row.time("not_after")?,
        at: row.time("at")?,
        tbs: row.blob("tbs")?.to_vec(),
    })
}

/// The certificates that have this value in this column, newest first.
pub(super) fn of(database: &mut dyn Sql, column: &'static str, value: Value) -> Result<Vec<Issued>, Fault> {
    // By number: a clock that went back does not change what came first.
    let sql = format!("SELECT {COLUMNS} FROM issuance WHERE state = 'issued' AND {column} = ?1 ORDER BY number DESC");
    all(database, TABLE, &sql, &[value], issued)
}

fn turn_of(database: &mut dyn Sql, device: &DeviceName, key: KeyId) -> Result<Turn, Fault> {
    let engine = database.engine();
    let sql = format!(
        "SELECT {} AS records, coalesce((SELECT turn FROM device WHERE name = ?1), 0) AS ended",
        records(engine, "?1")
    );
    let name = device.as_str();
    let parameters = match engine {
        Engine::Sqlite => values![name].to_vec(),
        Engine::Postgres => values![name, key.as_bytes()].to_vec(),
    };
    Ok(first(database, "device", &sql, &parameters, turn)?.unwrap_or(Turn { records: 0, ended: 0 }))
}

pub(super) fn issued(row: &Row) -> Result<Issued, Fault> {
    Ok(Issued {
        record: record(row)?,
        credential: row.credential("credential")?,
        certificate: row.blob("certificate")?.to_vec(),
        used: row.flag("used")?,
    })
}
