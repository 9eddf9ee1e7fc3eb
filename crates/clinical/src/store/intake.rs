//! What has to be known before something of a device is kept.

use super::names::{self, Bound};
use super::{Records, Statement, former};
use crate::access::Sight;
use crate::kind::{Id, Kind, Millis, Row};
use crate::validate::idents_of;
use medlock_store::{Error, Fault, Sql, all, first, values};
use medlock_trust::DeviceName;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

/// A Device, and whose it was when.
#[derive(Debug)]
pub(crate) struct Worn {
    pub(crate) id: Id,
    /// Since when it is this device of the register; `None`: from the first.
    since: Option<Millis>,
    hands: Hands,
}

/// In whose hands a Device was.
#[derive(Debug, Default)]
struct Hands {
    /// From when on whose it was, oldest first; a patient who is gone is nobody.
    patients: Vec<(Millis, Option<Id>)>,
    /// Nobody has looked at what was before.
    from: Option<Millis>,
}

/// Former versions of a Device that are looked at, at most: whose it was before them is unclear. Others wait to write meanwhile, and who
/// may write a Device may do so often.
const LOOKED_AT: usize = 10_000;

/// Whose a device was in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// This patient's, in all of it.
    Of(Id),
    /// Nobody's, in all of it.
    Nobody,
    /// Not one patient's alone: it changed hands, or got its patient, within it.
    Unclear,
}

impl Worn {
    /// Whether it was this device of the register already then.
    pub(crate) fn was_it(&self, at: Millis) -> bool {
        self.since.is_none_or(|since| since <= at)
    }

    /// Whose the device was from `low` to `high`, as its versions say: before the first of them, whoever the first names. What it
    /// measured as another Device, the versions of this one do not tell.
    pub(crate) fn during(&self, low: Millis, high: Millis) -> Whose {
        whose(self.since, &self.hands, low, high)
    }
}

fn whose(since: Option<Millis>, hands: &Hands, low: Millis, high: Millis) -> Whose {
    if since.max(hands.from).is_some_and(|since| since > low) {
        return Whose::Unclear;
    }
    let patients = &hands.patients;
    let until = patients.iter().skip(1).map(|(from, _)| Some(*from)).chain([None]);
    let versions = patients.iter().enumerate().zip(until);
    let then = versions.filter(|((number, (from, _)), until)| {
        (*number == 0 || *from <= high) && until.is_none_or(|until| until > low)
    });
    let mut then = then.map(|((_, (_, patient)), _)| *patient);
    let Some(first) = then.next() else { return Whose::Nobody };
    match first {
        _ if then.any(|other| other != first) => Whose::Unclear,
        Some(patient) => Whose::Of(patient),
        None => Whose::Nobody,
    }
}

/// The version of a moment, also one that deletes.
const THEN: &str = "SELECT w.gone AS gone, w.body AS body FROM \
    (SELECT v.version AS version, v.updated AS updated, v.gone AS gone, v.body AS body FROM past v WHERE v.rid = ?1 \
     UNION ALL SELECT r.version, r.updated, r.gone, r.body FROM resource r WHERE r.rid = ?1) w \
    WHERE w.updated <= ?2 ORDER BY w.version DESC LIMIT 1";

/// Whose a Device was, by its versions: those from the one that was in force at `low`, and no more than [`LOOKED_AT`].
fn hands_of(sql: &mut dyn Sql, device: Row, low: Millis) -> Result<Hands, Fault> {
    let present = "SELECT r.updated AS updated, r.patient AS patient FROM resource r WHERE r.rid = ?1";
    let former = format!(
        "SELECT v.updated AS updated, v.patient AS patient FROM past v WHERE v.rid = ?1 ORDER BY v.version DESC LIMIT {LOOKED_AT}"
    );
    // Newest first.
    let (mut rows, mut looked, mut needs_more) = (Vec::<(Millis, Option<i64>)>::new(), 0, true);
    for question in [present, &former] {
        if !needs_more {
            break;
        }
        sql.each("resource", question, values![device.0], &mut |row| {
            let (updated, patient) = (Millis(row.number("updated")?), row.optional_number("patient")?);
            match rows.last_mut() {
                Some((since, of)) if *of == patient => *since = updated,
                _ => rows.push((updated, patient)),
            }
            looked += 1;
            needs_more = updated > low;
            Ok(needs_more)
        })?;
    }
    let from = rows.last().map(|(since, _)| *since).filter(|_| needs_more && looked > LOOKED_AT);
    let mut known = HashMap::new();
    let mut patients = Vec::with_capacity(rows.len());
    for (since, patient) in rows.into_iter().rev() {
        let id = match patient {
            Some(patient) => match known.entry(patient) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => *new.insert(id_of(sql, patient)?),
            },
            None => None,
        };
        patients.push((since, id));
    }
    Ok(Hands { patients, from })
}

/// A patient who is there.
fn id_of(sql: &mut dyn Sql, patient: i64) -> Result<Option<Id>, Fault> {
    let question = "SELECT p.id AS id FROM resource p WHERE p.rid = ?1 AND p.gone = 0";
    first(sql, "resource", question, values![patient], |row| Id::read(row.text("id")?).ok_or_else(|| row.damaged("id")))
}

/// Which of these rows, that name a patient, their device measured when it was not that patient's alone. Where it was not changed since,
/// nothing more is asked.
pub(super) fn of_another(sql: &mut dyn Sql, device: Row, rows: &[i64]) -> Result<Option<i64>, Fault> {
    let mut question = Statement::default();
    question
        .text("SELECT r.rid AS rid, r.at AS low, r.until AS high, p.id AS patient, n.since AS since FROM resource r ");
    question.text("JOIN resource p ON p.rid = r.patient JOIN resource d ON d.rid = ").value(device.0);
    question
        .text(" LEFT JOIN device_name n ON n.rid = d.rid WHERE r.until IS NOT NULL AND r.at < d.updated AND r.rid IN ");
    question.list(rows);
    let early = all(sql, "resource", question.sql(), question.values(), |row| {
        let patient = Id::read(row.text("patient")?).ok_or_else(|| row.damaged("patient"))?;
        let (low, high) = (Millis(row.number("low")?), Millis(row.number("high")?));
        Ok((row.number::<i64>("rid")?, (low, high), patient, row.optional_number("since")?.map(Millis)))
    })?;
    let Some(low) = early.iter().map(|(_, (low, _), ..)| *low).min() else { return Ok(None) };
    // Whoever had it before it was this device: that is not asked.
    if let Some((row, ..)) = early.iter().find(|(_, (low, _), _, since)| since.is_some_and(|since| since > *low)) {
        return Ok(Some(*row));
    }
    let hands = hands_of(sql, device, low)?;
    let other = early
        .into_iter()
        .find(|(_, (low, high), patient, since)| whose(*since, &hands, *low, *high) != Whose::Of(*patient));
    Ok(other.map(|(row, ..)| row))
}

impl Records {
    /// Which Device this device of the register is, and whose it was when.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn worn(&self, device: &DeviceName) -> Result<(Bound, Option<Worn>), Error> {
        self.database().read_snapshot("ask whose a device was", |sql| {
            let bound = names::bound(sql, device)?;
            let Bound::To { row: device, since, .. } = bound else { return Ok((bound, None)) };
            let mut question = Statement::seen_by_row("r.id", &Sight::of_register(), Kind::DEVICE);
            question.text(" AND r.rid = ").value(device.0);
            let id = first(sql, "resource", question.sql(), question.values(), |row| {
                Id::read(row.text("id")?).ok_or_else(|| row.damaged("id"))
            })?;
            let Some(id) = id else { return Ok((bound, None)) };
            let hands = hands_of(sql, device, Millis(i64::MIN))?;
            Ok((bound, Some(Worn { id, since, hands })))
        })
    }

    /// The Patients with this identifier, in this system or in any: two at most, since then nobody can tell.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn patients_named(&self, system: Option<&str>, value: &str) -> Result<Vec<Id>, Error> {
        let parameters = &crate::definitions::Definitions::r4().parameters;
        let Some(identifier) = parameters.named(Kind::PATIENT, "identifier") else { return Ok(Vec::new()) };
        let mut question = Statement::seen_by_row("r.id", &Sight::of_register(), Kind::PATIENT);
        let Range { start, end } = idents_of(value, system);
        question.text(" AND r.rid IN (SELECT i.rid FROM ident i WHERE i.param = ").value(identifier.id.number());
        question.text(" AND i.value >= ").value(start).text(" AND i.value < ").value(end).text(") LIMIT 2");
        self.database().read("look for the patient of images", |sql| {
            all(sql, "resource", question.sql(), question.values(), |row| {
                Id::read(row.text("id")?).ok_or_else(|| row.damaged("id"))
            })
        })
    }

    /// Whether a Patient had this identifier at a moment, in this system or in any; who was deleted then had none.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn patient_was_named(
        &self,
        patient: Id,
        at: Millis,
        system: Option<&str>,
        value: &str,
    ) -> Result<bool, Error> {
        let mut question = Statement::seen("r.rid", &Sight::of_register(), Kind::PATIENT);
        question.text(" AND r.id = ").value(patient.as_str());
        let tail = self.database().read_snapshot("ask who had a Patient ID", |sql| {
            let row = first(sql, "resource", question.sql(), question.values(), |row| row.number::<i64>("rid"))?;
            let Some(row) = row else { return Ok(None) };
            first(sql, "resource", THEN, values![row, at.0], |row| {
                Ok(if row.flag("gone")? { None } else { Some(row.blob("body")?.to_vec()) })
            })
        })?;
        Ok(tail.flatten().is_some_and(|tail| is_named(&tail, system, value)))
    }
}

/// Whether a Patient, as it is kept, has this identifier.
fn is_named(tail: &[u8], system: Option<&str>, value: &str) -> bool {
    let idents = idents_of(value, system);
    former::identifiers_of(tail).iter().any(|ident| idents.contains(ident))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fixture::{House, device, patient};
    use medlock_trust::Role;

    /// Shows REQ-INTAKE-05, REQ-INTAKE-24, REQ-INTAKE-40.
    #[test]
    fn a_device_was_whose_its_version_of_that_time_says() {
        let (anna, bert) = (Id::fresh(Millis(1)), Id::fresh(Millis(2)));
        let patients = vec![(10, anna), (15, anna), (20, bert), (30, bert)];
        let mut patients: Vec<_> = patients.into_iter().map(|(from, of)| (Millis(from), Some(of))).collect();
        patients[3].1 = None;
        let hands = Hands { patients, from: None };
        let mut worn = Worn { id: Id::fresh(Millis(3)), since: None, hands };
        for (low, high, whose) in [
            (0, 0, Whose::Of(anna)),
            (0, 19, Whose::Of(anna)),
            (15, 15, Whose::Of(anna)),
            (19, 20, Whose::Unclear),
            (20, 29, Whose::Of(bert)),
            (0, 29, Whose::Unclear),
            (29, 30, Whose::Unclear),
            (30, 90, Whose::Nobody),
        ] {
            assert_eq!(worn.during(Millis(low), Millis(high)), whose, "{low} to {high}");
        }
        worn.since = Some(Millis(12));
        for (low, high, whose) in
            [(0, 0, Whose::Unclear), (11, 14, Whose::Unclear), (12, 19, Whose::Of(anna)), (30, 90, Whose::Nobody)]
        {
            assert_eq!(worn.during(Millis(low), Millis(high)), whose, "{low} to {high}, bound at 12");
        }
        (worn.since, worn.hands.from) = (None, Some(Millis(17)));
        for (low, high, whose) in [(0, 0, Whose::Unclear), (16, 90, Whose::Unclear), (17, 19, Whose::Of(anna))] {
            assert_eq!(worn.during(Millis(low), Millis(high)), whose, "{low} to {high}, looked at from 17");
        }
        let none = Worn { id: worn.id, since: None, hands: Hands::default() };
        assert_eq!(none.during(Millis(0), Millis(1)), Whose::Nobody);
    }

    /// Shows REQ-INTAKE-67: however often a Device is changed, only so many of its versions are looked at; whose it was before is unclear.
    #[tokio::test(flavor = "multi_thread")]
    async fn only_so_many_versions_of_a_device_are_looked_at() {
        for house in House::both() {
            let all = house.device("gw", Role::Gateway).with("system/*.crs").await;
            let anna = all.create(&patient("Anna")).await.made();
            all.create(&device("cgm", &anna)).await.made();
            let name = DeviceName::new("cgm").expect("a name");
            let (records, change) = (house.clinical.records(), 60_000);
            let (Bound::To { row, .. }, _) = records.worn(&name).expect("asked") else { panic!("it is one") };
            // Changed at each minute, and nothing of it: whose it is, is as it was.
            let often = move |sql: &mut dyn Sql| {
                sql.execute(
                    "INSERT INTO past (rid, version, updated, patient, gone, statement, body) \
                     WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) \
                     SELECT r.rid, n.i, n.i * ?3, r.patient, 0, NULL, r.body FROM resource r, n WHERE r.rid = ?1",
                    values![row.0, 2 * LOOKED_AT as i64, change],
                )?;
                sql.execute("UPDATE resource SET version = ?2 WHERE rid = ?1", values![row.0, 2 * LOOKED_AT as i64 + 1])
            };
            records.database().write("change it often", often).expect("changed");
            let anna = Id::read(&anna).expect("an id");
            let worn = records.worn(&name).expect("asked").1.expect("there");
            let minute = |minutes: i64| Millis(minutes * change);
            let (seen, span) = (LOOKED_AT as i64 + 1, |from: i64| worn.during(minute(from), minute(from + 1)));
            assert_eq!(
                (span(seen - 1), span(seen), span(seen + 9)),
                (Whose::Unclear, Whose::Of(anna), Whose::Of(anna))
            );
            let early = |low: i64| {
                let looked = records.database().read("look at the versions", |sql| hands_of(sql, row, minute(low)));
                looked.expect("looked").from.is_some()
            };
            assert!(early(seen - 2) && !early(seen));
        }
    }
}
