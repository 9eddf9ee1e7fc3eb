//! Who may no longer be believed.

use super::row::{Columns as _, word};
use super::{SqlStore, issuance};
use crate::store::{
    CredentialState, Holding, Issued, Life, Met, MetCertificate, Revoked, Serial, Standing, StandingChange,
    StandingState, Standings, StoreError, Subject,
};
use medlock_store::{Engine, Fault, Row, Sql, Value, all, first, values};
use medlock_trust::{CredentialId, DeviceName, KeyId, Time};
use std::collections::HashMap;

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
/// Devices that are asked for at once.
const TOGETHER: usize = 64;
/// Why somebody is suspended of whom a stolen key alone has told that he is revoked.
const HEARD_BY_STOLEN: &str = "heard-by-stolen-key";

impl Standings for SqlStore {
    fn change_standings(&self, changes: Vec<StandingChange>, now: Time) -> Result<u64, StoreError> {
        self.database.write("change the status", move |database| {
            let epoch = super::journal::next_number(database, EPOCH, u64::try_from(now.unix()).unwrap_or(0))?;
            changes.iter().try_for_each(|change| change_one(database, change, epoch))?;
            Ok(epoch)
        })
    }

    fn hear_standings(&self, heard: Vec<StandingChange>, by: KeyId, now: Time) -> Result<usize, StoreError> {
        self.database.write("take over what was heard", move |database| {
            // It was withdrawn while what it told was weighed.
            if current(database, &Subject::Issuer(by))?.is_some_and(|by| by.state == StandingState::Compromised) {
                return Ok(0);
            }
            let mut worse = Vec::new();
            for change in &heard {
                let before = current(database, &change.subject)?;
                if change.state > before.as_ref().map(|before| before.state) {
                    worse.push((change, before));
                }
            }
            if worse.is_empty() {
                return Ok(0);
            }
            let epoch = super::journal::next_number(database, EPOCH, u64::try_from(now.unix()).unwrap_or(0))?;
            for (change, before) in &worse {
                stand(database, change, epoch)?;
                let (kind, subject) = columns(&change.subject);
                // The root has withdrawn it, whoever told: that is never taken back.
                if matches!(change.subject, Subject::Issuer(_)) {
                    continue;
                }
                let [state, reason] = match before {
                    Some(before) => [Some(word(&before.state, STATES)), Some(before.reason.as_str())],
                    None => [None; 2],
                };
                let since = before.as_ref().map(|before| before.since.unix());
                // What stood before anything was heard is what comes back, whoever was heard last.
                database.execute(
                    "INSERT INTO standing_heard (kind, subject, key, state, reason, since) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (kind, subject) DO UPDATE SET key = excluded.key",
                    values![kind, &subject, by.as_bytes(), state, reason, since],
                )?;
            }
            Ok(worse.len())
        })
    }

    fn forget_heard(&self, by: KeyId, now: Time) -> Result<Vec<Subject>, StoreError> {
        let any = "SELECT 1 AS one FROM standing_heard WHERE key = ?1 LIMIT 1";
        let any = self.database.read("look for what was heard", |database| {
            first(database, "standing_heard", any, values![by.as_bytes()], |row| row.number::<i64>("one"))
        })?;
        if any.is_none() {
            return Ok(Vec::new());
        }
        self.database.write("take back what was heard", move |database| {
            let sql =
                "SELECT kind, subject, state, reason, since FROM standing_heard WHERE key = ?1 ORDER BY kind, subject";
            let heard = all(database, "standing_heard", sql, values![by.as_bytes()], |row| {
                let state = row.optional_text("state")?.map(|_| row.word("state", STATES)).transpose()?;
                let reason = row.optional_text("reason")?.unwrap_or("unheard").to_owned();
                let at = row.optional_number("since")?.map_or(now, Time::from_unix);
                Ok(StandingChange { subject: subject(row)?, state, reason, at })
            })?;
            if heard.is_empty() {
                return Ok(Vec::new());
            }
            let epoch = super::journal::next_number(database, EPOCH, u64::try_from(now.unix()).unwrap_or(0))?;
            for before in &heard {
                // It may have been true: whoever was called revoked stays out until people have decided.
                let revoked = current(database, &before.subject)?.is_some_and(|now| now.state >= StandingState::Ceased);
                match before.state {
                    None | Some(StandingState::Superseded) if revoked => {
                        let state = Some(StandingState::Suspended);
                        let reason = HEARD_BY_STOLEN.to_owned();
                        stand(database, &StandingChange { subject: before.subject, state, reason, at: now }, epoch)?;
                    }
                    _ => stand(database, before, epoch)?,
                }
            }
            database.execute("DELETE FROM standing_heard WHERE key = ?1", values![by.as_bytes()])?;
            Ok(heard.into_iter().map(|before| before.subject).collect())
        })
    }

    fn each_standing(&self, ended: Time, take: &mut (dyn FnMut(Met) -> bool + Send)) -> Result<u64, StoreError> {
        // A page at a time: a server would send all rows at once.
        let of_credentials = format!(
            "SELECT s.kind, s.subject, s.state, s.reason, s.epoch, s.since, s.until, i.device, i.not_after, i.number,
                 device.state AS device_state, device.epoch AS device_epoch
             FROM standing s{{index}}
             LEFT JOIN issuance i ON i.credential = s.subject
             LEFT JOIN standing device ON device.kind = 'device' AND device.subject = {}",
            self.as_subject("i.device")
        );
        let (firm, superseded) = (self.firm(&of_credentials), superseded(&of_credentials));
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
            superseded_pages(
                |until, subject| {
                    let page = values![ended.unix(), until, subject, PAGE];
                    all(database, "standing", &superseded, page, |row| Ok((row.number("until")?, with_life(row)?)))
                },
                |(standing, life)| take(Met::Standing(standing, life)),
                |(standing, _)| columns(&standing.subject).1,
            )?;
            epoch(database)
        })
    }

    fn each_revoked(&self, now: Time, take: &mut (dyn FnMut(MetCertificate) + Send)) -> Result<u64, StoreError> {
        let own = format!(
            "SELECT s.subject, s.state, s.since, s.until, i.serial, i.certificate, i.not_after,
                 device.state AS device_state, device.since AS device_since
             FROM standing s{{index}}
             JOIN issuance i ON i.credential = s.subject
             LEFT JOIN standing device ON device.kind = 'device' AND device.subject = {}",
            self.as_subject("i.device")
        );
        let (firm, superseded) = (self.firm(&own), superseded(&own));
        let of_device = "SELECT i.serial, i.certificate, i.credential, i.number FROM issuance i
             WHERE i.device = ?1 AND i.state = 'issued' AND i.number > ?2 AND NOT EXISTS
                 (SELECT 1 FROM standing s WHERE s.kind = 'credential' AND s.subject = i.credential
                      AND (s.until IS NULL OR s.until > ?4))
             ORDER BY i.number LIMIT ?3";
        self.database.read_snapshot("read what is revoked", |database| {
            take(MetCertificate::Begin);
            let mut tell =
                |found: Option<Revoked>| found.into_iter().for_each(|found| take(MetCertificate::Revoked(found)));
            pages(
                |after| all(database, "issuance", &firm, values![after, PAGE], |row| revoked(row, now)),
                |(_, found)| tell(found),
                |(subject, _)| subject.clone(),
            )?;
            superseded_pages(
                |until, subject| {
                    let page = values![now.unix(), until, subject, PAGE];
                    all(database, "issuance", &superseded, page, |row| Ok((row.number("until")?, revoked(row, now)?)))
                },
                |(_, found)| {
                    tell(found);
                    true
                },
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
        let device = self.as_subject("i.device");
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

    fn holdings(&self, devices: &[DeviceName]) -> Result<Vec<Holding>, StoreError> {
        // As many parameters in each: so there is one statement to prepare.
        let places = (1..=TOGETHER).map(|place| format!("?{place}")).collect::<Vec<_>>().join(", ");
        let against = format!("SELECT {COLUMNS} FROM standing WHERE kind = 'device' AND subject IN ({places})");
        let issued = format!(
            "SELECT {}, s.state AS against, s.reason, s.epoch, s.since FROM issuance i
             LEFT JOIN standing s ON s.kind = 'credential' AND s.subject = i.credential
             WHERE i.state = 'issued' AND i.device IN ({places}) ORDER BY i.number DESC",
            issuance::COLUMNS
        );
        let padded = |values: &mut dyn Iterator<Item = Value>| -> Vec<Value> {
            values.chain(std::iter::repeat(Value::Null)).take(TOGETHER).collect()
        };
        self.database.read_snapshot("read what devices have", |database| {
            let mut found = HashMap::new();
            for some in devices.chunks(TOGETHER) {
                let subjects = padded(&mut some.iter().map(|name| name.as_str().as_bytes().into()));
                for standing in all(database, "standing", &against, &subjects, standing)? {
                    found.insert(standing.subject, standing);
                }
            }
            let mut held: HashMap<DeviceName, Vec<_>> = HashMap::new();
            for some in devices.chunks(TOGETHER) {
                let names = padded(&mut some.iter().map(|name| name.as_str().into()));
                for one in all(database, issuance::TABLE, &issued, &names, with_standing)? {
                    if let Some(device) = one.0.record.device {
                        held.entry(device).or_default().push(one);
                    }
                }
            }
            let mut holding = |name: &DeviceName| Holding {
                against: found.get(&Subject::Device(*name)).cloned(),
                issued: held.remove(name).unwrap_or_default(),
            };
            Ok(devices.iter().map(&mut holding).collect())
        })
    }

    fn standing(&self, subject: Subject) -> Result<Option<Standing>, StoreError> {
        self.database.read("read a standing", |database| current(database, &subject))
    }
}

impl SqlStore {
    /// A walk through what is known against credentials for good, by subject, behind `?1` and `?2` at most. On SQLite the
    /// index is named: without it all that are superseded are looked at too, and they are nearly all.
    fn firm(&self, select: &str) -> String {
        let index = match self.engine() {
            Engine::Sqlite => " INDEXED BY standing_firm",
            Engine::Postgres => "",
        };
        let select = select.replace("{index}", index);
        format!(
            "{select} WHERE s.kind = 'credential' AND s.until IS NULL AND s.subject > ?1 ORDER BY s.subject LIMIT ?2"
        )
    }

    /// A column with a device's name, as standings name it.
    pub(super) fn as_subject(&self, device: &str) -> String {
        match self.database.engine() {
            Engine::Sqlite => format!("CAST({device} AS BLOB)"),
            Engine::Postgres => format!("convert_to({device}, 'UTF8')"),
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

/// A walk through superseded credentials that are good after `?1`: behind the one that is good until `?2` and has the
/// subject `?3`, longest first, and `?4` at most.
fn superseded(select: &str) -> String {
    let select = select.replace("{index}", "");
    format!(
        "{select} WHERE s.until IS NOT NULL AND s.until > ?1 AND (s.until, s.subject) < (?2, ?3)
         ORDER BY s.until DESC, s.subject DESC LIMIT ?4"
    )
}

/// As [`pages`], of a walk through superseded credentials, until `take` gives `false`. Before each row stands until when its
/// credential is good.
fn superseded_pages<T>(
    mut read: impl FnMut(i64, &[u8]) -> Result<Vec<(i64, T)>, Fault>,
    mut take: impl FnMut(T) -> bool,
    subject: impl Fn(&T) -> Vec<u8>,
) -> Result<(), Fault> {
    let mut place = (i64::MAX, Vec::new());
    loop {
        let page = read(place.0, &place.1)?;
        let Some((until, last)) = page.last() else { return Ok(()) };
        place = (*until, subject(last));
        if !page.into_iter().all(|(_, row)| take(row)) {
            return Ok(());
        }
    }
}

fn of_kind(database: &mut dyn Sql, kind: &str, after: &[u8]) -> Result<Vec<Standing>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM standing WHERE kind = ?1 AND subject > ?2 ORDER BY subject LIMIT ?3");
    all(database, "standing", &sql, values![kind, after, PAGE], standing)
}

fn with_standing(row: &Row) -> Result<(Issued, Option<Standing>), Fault> {
    let issued = issuance::issued(row)?;
    let against = against(row, Subject::Credential(issued.credential))?;
    Ok((issued, against))
}

/// What is known against this subject, where the row has it in the columns `against`, `reason`, `epoch` and `since`.
pub(super) fn against(row: &Row, subject: Subject) -> Result<Option<Standing>, Fault> {
    if row.optional_text("against")?.is_none() {
        return Ok(None);
    }
    Ok(Some(Standing {
        subject,
        state: row.word("against", STATES)?,
        reason: row.text("reason")?.to_owned(),
        epoch: row.number("epoch")?,
        since: row.time("since")?,
    }))
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

pub(super) fn current(database: &mut dyn Sql, subject: &Subject) -> Result<Option<Standing>, Fault> {
    let (kind, bytes) = columns(subject);
    let sql = format!("SELECT {COLUMNS} FROM standing WHERE kind = ?1 AND subject = ?2");
    first(database, "standing", &sql, values![kind, bytes], standing)
}

fn change_one(database: &mut dyn Sql, change: &StandingChange, epoch: u64) -> Result<(), Fault> {
    let before = current(database, &change.subject)?.map(|standing| standing.state);
    let (kind, subject) = columns(&change.subject);
    match change.state {
        None if before != Some(StandingState::Suspended) => return Err(Fault::Missing("suspension")),
        Some(state) if before > Some(state) => return beneath(database, change, state),
        // Whatever was heard, it is said by the authority itself now.
        None | Some(_) => {
            database.execute("DELETE FROM standing_heard WHERE kind = ?1 AND subject = ?2", values![kind, &subject])?;
        }
    }
    if before.is_some() && before == change.state { Ok(()) } else { stand(database, change, epoch) }
}

/// Something worse is known. Where that was only heard and is taken back, this comes in its place.
fn beneath(database: &mut dyn Sql, change: &StandingChange, state: StandingState) -> Result<(), Fault> {
    let (kind, subject) = columns(&change.subject);
    let sql = "SELECT state FROM standing_heard WHERE kind = ?1 AND subject = ?2";
    let beneath = first(database, "standing_heard", sql, values![kind, &subject], |row| {
        row.optional_text("state")?.map(|_| row.word("state", STATES)).transpose()
    })?;
    if beneath.is_some_and(|beneath| beneath < Some(state)) {
        database.execute(
            "UPDATE standing_heard SET state = ?3, reason = ?4, since = ?5 WHERE kind = ?1 AND subject = ?2",
            values![kind, &subject, word(&state, STATES), &change.reason, change.at.unix()],
        )?;
    }
    Ok(())
}

/// From now on it stands so, however it stood.
fn stand(database: &mut dyn Sql, change: &StandingChange, epoch: u64) -> Result<(), Fault> {
    let (kind, subject) = columns(&change.subject);
    match change.state {
        None => {
            database.execute("DELETE FROM standing WHERE kind = ?1 AND subject = ?2", values![kind, &subject])?;
        }
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
    Ok(Standing {
        subject: subject(row)?,
        state: row.word("state", STATES)?,
        reason: row.text("reason")?.to_owned(),
        epoch: row.number("epoch")?,
        since: row.time("since")?,
    })
}

fn subject(row: &Row) -> Result<Subject, Fault> {
    Ok(match row.text("kind")? {
        "credential" => Subject::Credential(CredentialId::from_bytes(row.bytes("subject")?)),
        "issuer" => Subject::Issuer(KeyId::from_bytes(row.bytes("subject")?)),
        "device" => {
            let name = std::str::from_utf8(row.blob("subject")?).ok().and_then(DeviceName::new);
            Subject::Device(name.ok_or_else(|| row.damaged("subject"))?)
        }
        _ => return Err(row.damaged("kind")),
    })
}
