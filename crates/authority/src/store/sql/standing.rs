//! Who may no longer be believed.

use super::SqlStore;
use super::row::{Columns as _, word};
use crate::store::{
    CredentialState, Life, Met, MetCertificate, Revoked, Serial, Standing, StandingChange, StandingState, Standings,
    StoreError, Subject,
};
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
/// Rows of a walk that are read at once.
const PAGE: u32 = 1_024;

impl Standings for SqlStore {
    fn change_standings(&self, changes: Vec<StandingChange>, now: Time) -> Result<u64, StoreError> {
        self.database.write("change the status", move |database| {
            let epoch = super::journal::next_number(database, EPOCH, u64::try_from(now.unix()).unwrap_or(0))?;
            changes.iter().try_for_each(|change| change_one(database, change, epoch))?;
            Ok(epoch)
        })
    }

    fn each_standing(&self, ended: Time, take: &mut (dyn FnMut(Met) -> bool + Send)) -> Result<u64, StoreError> {
        // A page at a time: a server would send all rows at once.
        let of_credentials = format!(
            "SELECT s.kind, s.subject, s.state, s.reason, s.epoch, s.since, s.until, i.device, i.not_after, i.number,
                 device.state AS device_state, device.epoch AS device_epoch
             FROM standing s
             LEFT JOIN issuance i ON i.credential = s.subject
             LEFT JOIN standing device ON device.kind = 'device' AND device.subject = {}",
            self.device_as_subject()
        );
        let firm = format!(
            "{of_credentials} WHERE s.kind = 'credential' AND s.until IS NULL AND s.subject > ?1
             ORDER BY s.subject LIMIT ?2"
        );
        let superseded = format!(
            "{of_credentials} WHERE s.until IS NOT NULL AND s.until > ?1 AND (s.until, s.subject) < (?2, ?3)
             ORDER BY s.until DESC, s.subject DESC LIMIT ?4"
        );
        // One instant, so that epoch and entries belong together.
        self.database.read_snapshot("read the status", |database| {
            take(Met::Begin);
            let mut met = |standing, life| {
                take(Met::Standing(standing, life));
            };
            for kind in ["issuer", "device"] {
                pages(
                    |after| of_kind(database, kind, after),
                    |standing| met(standing, None),
                    |standing| columns(&standing.subject).1,
                )?;
            }
            pages(
                |after| all(database, "standing", &firm, values![after, PAGE], with_life),
                |(standing, life)| met(standing, life),
                |(standing, _)| columns(&standing.subject).1,
            )?;
            let (mut until, mut subject) = (i64::MAX, Vec::new());
            'walk: loop {
                let page = values![ended.unix(), until, &subject, PAGE];
                let page =
                    all(database, "standing", &superseded, page, |row| Ok((with_life(row)?, row.number("until")?)))?;
                let Some(((last, _), end)) = page.last() else { break };
                (until, subject) = (*end, columns(&last.subject).1);
                for ((standing, life), _) in page {
                    if !take(Met::Standing(standing, life)) {
                        break 'walk;
                    }
                }
            }
            epoch(database)
        })
    }

    fn each_revoked(&self, now: Time, take: &mut (dyn FnMut(MetCertificate) + Send)) -> Result<u64, StoreError> {
        let own = format!(
            "SELECT s.subject, s.state, s.since, i.serial, i.certificate, i.not_after,
                 device.state AS device_state, device.since AS device_since
             FROM standing s
             JOIN issuance i ON i.credential = s.subject
             LEFT JOIN standing device ON device.kind = 'device' AND device.subject = {}
             WHERE s.kind = 'credential' AND (s.until IS NULL OR s.until > ?3) AND s.subject > ?1
             ORDER BY s.subject LIMIT ?2",
            self.device_as_subject()
        );
        let of_device = "SELECT i.serial, i.certificate, i.credential, i.number FROM issuance i
             WHERE i.device = ?1 AND i.state = 'issued' AND i.number > ?2 AND NOT EXISTS
                 (SELECT 1 FROM standing s WHERE s.kind = 'credential' AND s.subject = i.credential
                      AND (s.until IS NULL OR s.until > ?4))
             ORDER BY i.number LIMIT ?3";
        self.database.read_snapshot("read what is revoked", |database| {
            take(MetCertificate::Begin);
            pages(
                |after| all(database, "issuance", &own, values![after, PAGE, now.unix()], |row| revoked(row, now)),
                |(_, found)| found.into_iter().for_each(|found| take(MetCertificate::Revoked(found))),
                |(subject, _)| subject.clone(),
            )?;
            let mut after = Vec::new();
            loop {
                let devices = of_kind(database, "device", &after)?;
                let Some(last) = devices.last() else { break };
                after = columns(&last.subject).1;
                for standing in devices {
                    let Subject::Device(name) = standing.subject else { continue };
                    let mut number = 0_u64;
                    loop {
                        let page = values![name.as_str(), number, PAGE, now.unix()];
                        let page = all(database, "issuance", of_device, page, |row| {
                            Ok((row.number("number")?, serial(row)?, row.blob("certificate")?.to_vec()))
                        })?;
                        let Some((last, ..)) = page.last() else { break };
                        number = *last;
                        for (_, serial, certificate) in page {
                            let (state, since) = (standing.state, standing.since);
                            take(MetCertificate::Revoked(Revoked { serial, certificate, state, since }));
                        }
                    }
                }
            }
            epoch(database)
        })
    }

    fn epoch(&self) -> Result<u64, StoreError> {
        self.database.read("read the status epoch", |database| epoch(database))
    }

    fn states(&self, after: Option<CredentialId>, most: u32) -> Result<Vec<CredentialState>, StoreError> {
        let device = self.device_as_subject();
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

impl SqlStore {
    /// The device of the certificate `i`, as standings name it.
    fn device_as_subject(&self) -> &'static str {
        match self.database.engine() {
            Engine::Sqlite => "CAST(i.device AS BLOB)",
            Engine::Postgres => "convert_to(i.device, 'UTF8')",
        }
    }
}

/// Takes all rows, a page at a time; `place` says behind which row the next page begins.
fn pages<T>(
    mut read: impl FnMut(&[u8]) -> Result<Vec<T>, Fault>,
    mut take: impl FnMut(T),
    place: impl Fn(&T) -> Vec<u8>,
) -> Result<(), Fault> {
    let mut after = Vec::new();
    loop {
        let page = read(&after)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = place(last);
        page.into_iter().for_each(&mut take);
    }
}

fn of_kind(database: &mut dyn Sql, kind: &str, after: &[u8]) -> Result<Vec<Standing>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM standing WHERE kind = ?1 AND subject > ?2 ORDER BY subject LIMIT ?3");
    all(database, "standing", &sql, values![kind, after, PAGE], standing)
}

fn with_life(row: &Row) -> Result<(Standing, Option<Life>), Fault> {
    let device_state = row.optional_text("device_state")?.map(|_| row.word("device_state", STATES)).transpose()?;
    let life = match row.optional_number::<i64>("not_after")? {
        None => None,
        Some(not_after) => Some(Life {
            device: row.optional_device("device")?,
            device_state: device_state.zip(row.optional_number("device_epoch")?),
            not_after: Time::from_unix(not_after),
            number: row.number("number")?,
        }),
    };
    Ok((standing(row)?, life))
}

/// Whose standing the row is, and its certificate, if it is to be told.
fn revoked(row: &Row, now: Time) -> Result<(Vec<u8>, Option<Revoked>), Fault> {
    let own = (row.word("state", STATES)?, row.time("since")?);
    let own = Some(own)
        .filter(|(state, _)| *state != StandingState::Superseded || row.time("not_after").is_ok_and(|end| end > now));
    let device = match row.optional_text("device_state")? {
        None => None,
        Some(_) => Some((row.word("device_state", STATES)?, row.time("device_since")?)),
    };
    // What was said of the credential itself first, if both say the same.
    let worst = own.into_iter().chain(device).reduce(|one, other| if other.0 > one.0 { other } else { one });
    let told = |(state, since)| -> Result<Revoked, Fault> {
        Ok(Revoked { serial: serial(row)?, certificate: row.blob("certificate")?.to_vec(), state, since })
    };
    Ok((row.blob("subject")?.to_vec(), worst.map(told).transpose()?))
}

fn serial(row: &Row) -> Result<Serial, Fault> {
    Serial::from_octets(&row.bytes::<16>("serial")?).ok_or_else(|| row.damaged("serial"))
}

fn epoch(database: &mut dyn Sql) -> Result<u64, Fault> {
    super::journal::last_number(database, EPOCH)
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
            let superseded = (state == StandingState::Superseded && kind == "credential").then_some(&subject);
            database.execute(
                "INSERT INTO standing (kind, subject, state, reason, epoch, since, until)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, (SELECT not_after FROM issuance WHERE credential = ?7))
                 ON CONFLICT (kind, subject) DO UPDATE SET
                     state = excluded.state, reason = excluded.reason, epoch = excluded.epoch, since = excluded.since,
                     until = excluded.until",
                values![kind, &subject, word(&state, STATES), &change.reason, epoch, change.at.unix(), superseded],
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
