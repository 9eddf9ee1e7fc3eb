//! Who may no longer be believed.

use super::row::{Reading, all, first, signed, word};
use super::{Fault, SqliteStore};
use crate::store::{Life, Standing, StandingChange, StandingState, Standings, StoreError, Subject};
use medlock_trust::{CredentialId, DeviceName, KeyId, Time};
use rusqlite::{Connection, params};

const STATES: &[(StandingState, &str)] = &[
    (StandingState::Suspended, "suspended"),
    (StandingState::Superseded, "superseded"),
    (StandingState::Ceased, "ceased"),
    (StandingState::Compromised, "compromised"),
];
const COLUMNS: &str = "kind, subject, state, reason, epoch, since";
const EPOCH: &str = "status-epoch";

impl Standings for SqliteStore {
    fn change_standings(&self, changes: Vec<StandingChange>, now: Time) -> Result<u64, StoreError> {
        self.write("change the status", move |connection| {
            let epoch = super::journal::next_number(connection, EPOCH, u64::try_from(now.unix()).unwrap_or(0))?;
            changes.iter().try_for_each(|change| change_one(connection, change, epoch))?;
            Ok(epoch)
        })
    }

    fn lives(&self) -> Result<Vec<Life>, StoreError> {
        let sql = "SELECT i.credential, i.device, i.not_after, i.number
                   FROM standing s JOIN issuance i ON i.credential = s.subject WHERE s.kind = 'credential'";
        self.read("read whose credentials are on the status list", |connection| {
            all(connection, "issuance", sql, [], |row| {
                Ok(Life {
                    credential: row.credential("credential")?,
                    device: row.optional_device("device")?,
                    not_after: row.time("not_after")?,
                    number: row.number("number")?,
                })
            })
        })
    }

    fn standings(&self) -> Result<(u64, Vec<Standing>), StoreError> {
        self.read("read the status", |connection| {
            // One transaction, so that epoch and entries belong together.
            let snapshot = connection.unchecked_transaction()?;
            let epoch = first(&snapshot, "number", "SELECT last FROM number WHERE series = ?1", [EPOCH], |row| {
                row.number("last")
            })?;
            let sql = format!("SELECT {COLUMNS} FROM standing ORDER BY kind, subject");
            Ok((epoch.unwrap_or(0), all(&snapshot, "standing", &sql, [], standing)?))
        })
    }

    fn standing(&self, subject: Subject) -> Result<Option<Standing>, StoreError> {
        self.read("read a standing", |connection| current(connection, &subject))
    }
}

fn current(connection: &Connection, subject: &Subject) -> Result<Option<Standing>, Fault> {
    let (kind, bytes) = columns(subject);
    let sql = format!("SELECT {COLUMNS} FROM standing WHERE kind = ?1 AND subject = ?2");
    first(connection, "standing", &sql, params![kind, bytes], standing)
}

fn change_one(connection: &Connection, change: &StandingChange, epoch: u64) -> Result<(), Fault> {
    let (kind, subject) = columns(&change.subject);
    let before = current(connection, &change.subject)?.map(|standing| standing.state);
    match change.state {
        None if before == Some(StandingState::Suspended) => {
            connection
                .prepare_cached("DELETE FROM standing WHERE kind = ?1 AND subject = ?2")?
                .execute(params![kind, subject])?;
        }
        None => return Err(Fault::Missing("suspension")),
        Some(state) if before.is_some_and(|before| before >= state) => return Ok(()),
        Some(state) => {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO standing (kind, subject, state, reason, epoch, since)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    kind,
                    subject,
                    word(&state, STATES),
                    change.reason,
                    signed(epoch),
                    change.at.unix()
                ])?;
        }
    }
    let state = change.state.map(|state| word(&state, STATES));
    connection
        .prepare_cached(
            "INSERT INTO standing_change (kind, subject, state, reason, epoch, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![kind, subject, state, change.reason, signed(epoch), change.at.unix()])?;
    Ok(())
}

fn columns(subject: &Subject) -> (&'static str, Vec<u8>) {
    match subject {
        Subject::Credential(id) => ("credential", id.as_bytes().to_vec()),
        Subject::Device(name) => ("device", name.as_str().as_bytes().to_vec()),
        Subject::Issuer(key) => ("issuer", key.as_bytes().to_vec()),
    }
}

fn standing(row: &Reading<'_, '_>) -> Result<Standing, Fault> {
    let subject = match row.plain::<String>("kind")?.as_str() {
        "credential" => Subject::Credential(CredentialId::from_bytes(row.bytes("subject")?)),
        "issuer" => Subject::Issuer(KeyId::from_bytes(row.bytes("subject")?)),
        "device" => {
            let bytes: Vec<u8> = row.plain("subject")?;
            let name = std::str::from_utf8(&bytes).ok().and_then(DeviceName::new);
            Subject::Device(name.ok_or_else(|| row.damaged("subject"))?)
        }
        _ => return Err(row.damaged("kind")),
    };
    Ok(Standing {
        subject,
        state: row.word("state", STATES)?,
        reason: row.plain("reason")?,
        epoch: row.number("epoch")?,
        since: row.time("since")?,
    })
}
