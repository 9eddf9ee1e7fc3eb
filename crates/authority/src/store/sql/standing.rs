//! Who may no longer be believed.

use super::SqlStore;
use super::row::{Columns as _, word};
use crate::store::{CredentialState, Life, Standing, StandingChange, StandingState, Standings, StoreError, Subject};
use medlock_store::{Engine, Fault, Row, Sql, all, first, values};
use medlock_trust::{CredentialId, DeviceName, KeyId, Time};

const STATES: &[(StandingState, &str)] = &[
    (StandingState::Suspended, "suspended"),
    (StandingState::Superseded, "superseded"),
    (StandingState::Ceased, "ceased"),
    (StandingState::Compromised, "compromised"),
];
const COLUMNS: &str = "kind, subject, state, reason, epoch, since";
const EPOCH: &str = "status-epoch";

impl Standings for SqlStore {
    fn change_standings(&self, changes: Vec<StandingChange>, now: Time) -> Result<u64, StoreError> {
        self.database.write("change the status", move |database| {
            let epoch = super::journal::next_number(database, EPOCH, u64::try_from(now.unix()).unwrap_or(0))?;
            changes.iter().try_for_each(|change| change_one(database, change, epoch))?;
            Ok(epoch)
        })
    }

    fn lives(&self) -> Result<Vec<Life>, StoreError> {
        let sql = "SELECT i.credential, i.device, i.not_after, i.number
                   FROM standing s JOIN issuance i ON i.credential = s.subject WHERE s.kind = 'credential'";
        self.database.read("read whose credentials are on the status list", |database| {
            all(database, "issuance", sql, &[], |row| {
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
        let sql = format!("SELECT {COLUMNS} FROM standing ORDER BY kind, subject");
        // One instant, so that epoch and entries belong together.
        self.database.read_snapshot("read the status", |database| {
            let epoch =
                first(database, "number", "SELECT last FROM number WHERE series = ?1", values![EPOCH], |row| {
                    row.number("last")
                })?;
            Ok((epoch.unwrap_or(0), all(database, "standing", &sql, &[], standing)?))
        })
    }

    fn epoch(&self) -> Result<u64, StoreError> {
        self.database.read("read the status epoch", |database| {
            let sql = "SELECT last FROM number WHERE series = ?1";
            Ok(first(database, "number", sql, values![EPOCH], |row| row.number("last"))?.unwrap_or(0))
        })
    }

    fn states(&self, after: Option<CredentialId>, most: u32) -> Result<Vec<CredentialState>, StoreError> {
        let device = match self.database.engine() {
            Engine::Sqlite => "CAST(i.device AS BLOB)",
            Engine::Postgres => "convert_to(i.device, 'UTF8')",
        };
        // Of the certificates only their index issuance_roll is read: with all their bytes, ten million take minutes.
        let sql = format!(
            "SELECT i.credential, i.not_before, own.state AS own, device.state AS device
             FROM issuance i
             LEFT JOIN standing own ON own.kind = 'credential' AND own.subject = i.credential
             LEFT JOIN standing device ON device.kind = 'device' AND device.subject = {device}
             WHERE i.credential IS NOT NULL AND i.credential > ?1 ORDER BY i.credential LIMIT ?2"
        );
        let after = after.map(|after| after.as_bytes().to_vec()).unwrap_or_default();
        self.database.read("walk through all credentials", |database| {
            all(database, "issuance", &sql, values![&after, most], |row| {
                let state = |column| row.optional_text(column)?.map(|_| row.word(column, STATES)).transpose();
                Ok(CredentialState {
                    credential: row.credential("credential")?,
                    not_before: row.time("not_before")?,
                    state: state("own")?.max(state("device")?),
                })
            })
        })
    }

    fn standings_of(&self, credential: CredentialId, issuer: KeyId) -> Result<Option<Vec<Standing>>, StoreError> {
        self.database.read("read how a credential stands", |database| {
            let sql = "SELECT device FROM issuance WHERE credential = ?1";
            let device =
                first(database, "issuance", sql, values![credential.as_bytes()], |row| row.optional_device("device"))?;
            let Some(device) = device else { return Ok(None) };
            let subjects =
                [Some(Subject::Credential(credential)), device.map(Subject::Device), Some(Subject::Issuer(issuer))];
            let known = subjects.iter().flatten().filter_map(|subject| current(database, subject).transpose());
            known.collect::<Result<_, _>>().map(Some)
        })
    }

    fn standing(&self, subject: Subject) -> Result<Option<Standing>, StoreError> {
        self.database.read("read a standing", |database| current(database, &subject))
    }
}

fn current(database: &mut dyn Sql, subject: &Subject) -> Result<Option<Standing>, Fault> {
    let (kind, bytes) = columns(subject);
    let sql = format!("SELECT {COLUMNS} FROM standing WHERE kind = ?1 AND subject = ?2");
    first(database, "standing", &sql, values![kind, bytes], standing)
}

fn change_one(database: &mut dyn Sql, change: &StandingChange, epoch: u64) -> Result<(), Fault> {
    let (kind, subject) = columns(&change.subject);
    let before = current(database, &change.subject)?.map(|standing| standing.state);
    match change.state {
        None if before == Some(StandingState::Suspended) => {
            database.execute("DELETE FROM standing WHERE kind = ?1 AND subject = ?2", values![kind, &subject])?;
        }
        None => return Err(Fault::Missing("suspension")),
        Some(state) if before.is_some_and(|before| before >= state) => return Ok(()),
        Some(state) => {
            database.execute(
                "INSERT INTO standing (kind, subject, state, reason, epoch, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (kind, subject) DO UPDATE SET
                     state = excluded.state, reason = excluded.reason, epoch = excluded.epoch, since = excluded.since",
                values![kind, &subject, word(&state, STATES), &change.reason, epoch, change.at.unix()],
            )?;
        }
    }
    let state = change.state.map(|state| word(&state, STATES));
    database.execute(
        "INSERT INTO standing_change (kind, subject, state, reason, epoch, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        values![kind, &subject, state, &change.reason, epoch, change.at.unix()],
    )?;
    Ok(())
}

fn columns(subject: &Subject) -> (&'static str, Vec<u8>) {
    match subject {
        Subject::Credential(id) => ("credential", id.as_bytes().to_vec()),
        Subject::Device(name) => ("device", name.as_str().as_bytes().to_vec()),
        Subject::Issuer(key) => ("issuer", key.as_bytes().to_vec()),
    }
}

fn standing(row: &Row) -> Result<Standing, Fault> {
    let subject = match row.text("kind")? {
        "credential" => Subject::Credential(CredentialId::from_bytes(row.bytes("subject")?)),
        "issuer" => Subject::Issuer(KeyId::from_bytes(row.bytes("subject")?)),
        "device" => {
            let name = std::str::from_utf8(row.blob("subject")?).ok().and_then(DeviceName::new);
            Subject::Device(name.ok_or_else(|| row.damaged("subject"))?)
        }
        _ => return Err(row.damaged("kind")),
    };
    Ok(Standing {
        subject,
        state: row.word("state", STATES)?,
        reason: row.text("reason")?.to_owned(),
        epoch: row.number("epoch")?,
        since: row.time("since")?,
    })
}
