//! What has to be known before something of a device is kept.

use super::names::{self, Bound};
use super::{Records, Statement};
use crate::access::Sight;
use crate::kind::{Id, Kind, Millis, Row, Version};
use crate::validate::{self, idents_of};
use medlock_store::{Error, Fault, Sql, all, first, values};
use medlock_trust::DeviceName;
use std::ops::Range;

/// A Device, and whose it was when.
#[derive(Debug)]
pub(crate) struct Worn {
    pub(crate) id: Id,
    /// Since when it is this device of the register; `None`: from the first.
    since: Option<Millis>,
    /// From when on whose it was, oldest first; a patient who is gone is nobody.
    patients: Vec<(Millis, Option<Id>)>,
}

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
        whose(self.since, &self.patients, low, high)
    }
}

fn whose(since: Option<Millis>, patients: &[(Millis, Option<Id>)], low: Millis, high: Millis) -> Whose {
    if since.is_some_and(|since| since > low) {
        return Whose::Unclear;
    }
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

const PATIENTS: &str = "SELECT w.updated AS updated, p.id AS id FROM \
    (SELECT v.version AS version, v.updated AS updated, v.patient AS patient FROM past v WHERE v.rid = ?1 \
     UNION ALL SELECT r.version, r.updated, r.patient FROM resource r WHERE r.rid = ?1) w \
    LEFT JOIN resource p ON p.rid = w.patient AND p.gone = 0 ORDER BY w.version";

/// The version of a moment, also one that deletes.
const THEN: &str = "SELECT w.gone AS gone, w.body AS body FROM \
    (SELECT v.version AS version, v.updated AS updated, v.gone AS gone, v.body AS body FROM past v WHERE v.rid = ?1 \
     UNION ALL SELECT r.version, r.updated, r.gone, r.body FROM resource r WHERE r.rid = ?1) w \
    WHERE w.updated <= ?2 ORDER BY w.version DESC LIMIT 1";

/// Whose a Device was by its versions, oldest first.
fn patients_of(sql: &mut dyn Sql, device: Row) -> Result<Vec<(Millis, Option<Id>)>, Fault> {
    all(sql, "resource", PATIENTS, values![device.0], |row| {
        let patient = match row.optional_text("id")? {
            Some(text) => Some(Id::read(text).ok_or_else(|| row.damaged("id"))?),
            None => None,
        };
        Ok((Millis(row.number("updated")?), patient))
    })
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
    if early.is_empty() {
        return Ok(None);
    }
    let patients = patients_of(sql, device)?;
    let other = early
        .into_iter()
        .find(|(_, (low, high), patient, since)| whose(*since, &patients, *low, *high) != Whose::Of(*patient));
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
            let patients = patients_of(sql, device)?;
            Ok((bound, Some(Worn { id, since, patients })))
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

    /// Whether another than `one` has had this identifier at a moment or since, and lost it: a Patient who has been changed or deleted, by
    /// the versions of that moment and behind it. Looks at each of them.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn another_was_named(
        &self,
        one: Id,
        at: Millis,
        system: Option<&str>,
        value: &str,
    ) -> Result<bool, Error> {
        let mut question =
            Statement::kept_of("v.gone AS gone, v.body AS body", FORMER, &Sight::of_register(), Kind::PATIENT);
        question.text(" AND r.id <> ").value(one.as_str()).text(" AND r.updated > ").value(at.0);
        question.text(
            " AND NOT EXISTS (SELECT 1 FROM past n WHERE n.rid = v.rid AND n.version > v.version AND n.updated <= ",
        );
        question.value(at.0).text(")");
        self.database().read("ask whether somebody had a Patient ID", |sql| {
            let mut found = false;
            sql.each("resource", question.sql(), question.values(), &mut |row| {
                found = !row.flag("gone")? && is_named(row.blob("body")?, system, value);
                Ok(!found)
            })?;
            Ok(found)
        })
    }
}

/// Patients with their former versions.
const FORMER: &str = "resource r JOIN past v ON v.rid = r.rid";

/// Whether a Patient, as it is kept, has this identifier.
fn is_named(tail: &[u8], system: Option<&str>, value: &str) -> bool {
    let parameters = &crate::definitions::Definitions::r4().parameters;
    let Some(identifier) = parameters.named(Kind::PATIENT, "identifier") else { return false };
    let body = validate::body(Kind::PATIENT, &Id::fresh(Millis(0)), Version::FIRST.number(), "", tail);
    let idents = idents_of(value, system);
    validate::rows_of(Kind::PATIENT, &body, &[])
        .is_some_and(|rows| rows.idents.iter().any(|(of, ident)| *of == identifier.id && idents.contains(ident)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-INTAKE-05, REQ-INTAKE-24, REQ-INTAKE-40.
    #[test]
    fn a_device_was_whose_its_version_of_that_time_says() {
        let (anna, bert) = (Id::fresh(Millis(1)), Id::fresh(Millis(2)));
        let patients = vec![(10, anna), (15, anna), (20, bert), (30, bert)];
        let mut patients: Vec<_> = patients.into_iter().map(|(from, of)| (Millis(from), Some(of))).collect();
        patients[3].1 = None;
        let mut worn = Worn { id: Id::fresh(Millis(3)), since: None, patients };
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
        let none = Worn { id: worn.id, since: None, patients: Vec::new() };
        assert_eq!(none.during(Millis(0), Millis(1)), Whose::Nobody);
    }
}
