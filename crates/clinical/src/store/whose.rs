//! Whose a resource is, by what it refers to, and whether it may be that one's.

use super::Statement;
use super::act::Act;
use super::read::Stored;
use super::write::{Running, Stopped, refused};
use crate::access::{Naming, Sight};
use crate::definitions::Definitions;
use crate::kind::{Id, Kind, Row};
use crate::outcome::{Code, Issue};
use crate::validate::{self, PatientOf, Prepared};
use medlock_store::{Fault, first, values};
use std::cell::OnceCell;
use std::collections::HashSet;

/// The row of something, and whose it is.
const COLUMNS: &str = "r.rid, r.patient";

impl Running<'_> {
    /// Looks for all that a resource refers to, that was `before`; whose it will be by that.
    pub(super) fn patient(&mut self, to: &Prepared, before: Option<&Named<'_>>) -> Result<Option<Row>, Stopped> {
        for needed in to.references() {
            let made =
                self.known.contains_key(&(needed.kind, needed.id))
                    || self.work.acts.iter().any(
                        |act| matches!(act, Act::Create { id, .. } if (act.kind(), *id) == (needed.kind, needed.id)),
                    );
            if !made {
                self.look_for(needed, before)?;
            }
        }
        Ok(match to.patient() {
            PatientOf::Nobody | PatientOf::Itself => None,
            PatientOf::Patient(id) => self.known.get(&(Kind::PATIENT, id)).map(|(row, _)| *row),
            PatientOf::Device(id) => self.known.get(&(Kind::DEVICE, id)).and_then(|(_, patient)| *patient),
        })
    }

    /// What a resource refers to here is there, and the caller may read it. What is not there and what may not be read are
    /// told the same. What a resource names already, it may name still, also what is gone: who corrects it need not see all that it names.
    fn look_for(&mut self, needed: &validate::Needed, before: Option<&Named<'_>>) -> Result<(), Stopped> {
        let mut found = self.row_of(Statement::seen(COLUMNS, &self.work.sights.references, needed.kind), &needed.id)?;
        if found.is_none() && before.is_some_and(|before| before.has(needed)) {
            let sight = Sight::of_what_was_named(needed.kind);
            found = self.row_of(Statement::kept(COLUMNS, &sight, needed.kind), &needed.id)?;
            self.former.push((needed.kind, needed.id));
        }
        let Some(found) = found else {
            let text = format!("there is no such {}", needed.kind);
            return Err(refused(Issue::new(Code::Reference, text).at(&*needed.expression)));
        };
        self.known.insert((needed.kind, needed.id), found);
        Ok(())
    }

    /// The row of what is referred to, and whose it is.
    fn row_of(&mut self, mut question: Statement, id: &Id) -> Result<Option<(Row, Option<Row>)>, Fault> {
        question.text(" AND r.id = ").value(id.as_str());
        first(self.sql, "resource", question.sql(), question.values(), |row| {
            Ok((Row(row.number("rid")?), row.optional_number("patient")?.map(Row)))
        })
    }

    /// What a condition finds is of the patient whom the request is about: what is another's is neither taken for what was sent nor made
    /// this patient's, nor taken from its patient. Who asks may name the patient in the condition, and learns as much by that.
    pub(super) fn same_patient(&mut self, act: &Act, before: &Stored) -> Result<(), Stopped> {
        let Some(of) = act.found_for() else { return Ok(()) };
        let changes = matches!(act, Act::Update { .. });
        let same = match (before.patient, of) {
            (_, PatientOf::Itself) | (None, PatientOf::Nobody) => true,
            // It is known by its identifier, and whose it is now is just what who hands it on says.
            _ if changes && act.kind() == Kind::DEVICE => true,
            (Some(patient), PatientOf::Patient(id)) => self.is_row_of(patient, &id)?,
            (Some(_), PatientOf::Nobody) => false,
            (of, PatientOf::Device(id)) => self.patient_of_device(&id)? == of,
            // A change makes it this patient's; what is only found stays nobody's, and what was sent would be kept nowhere.
            (None, PatientOf::Patient(_)) => changes,
        };
        if same {
            return Ok(());
        }
        let whose = if before.patient.is_some() { "another patient's" } else { "nobody's" };
        let text = format!("the {} that the condition finds is {whose}", act.kind());
        Err(refused(Issue::new(Code::OtherPatient, text)))
    }

    /// Whose a Device is now, as far as it may be named; one that is made beside this is another one.
    fn patient_of_device(&mut self, id: &Id) -> Result<Option<Row>, Fault> {
        let question = Statement::seen(COLUMNS, &self.work.sights.references, Kind::DEVICE);
        Ok(self.row_of(question, id)?.and_then(|(_, patient)| patient))
    }

    /// Whether a row is that of a patient, who may be gone.
    fn is_row_of(&mut self, patient: Row, id: &Id) -> Result<bool, Fault> {
        let question = "SELECT p.rid FROM resource p WHERE p.rid = ?1 AND p.id = ?2";
        Ok(first(self.sql, "resource", question, values![patient.0, id.as_str()], |_| Ok(()))?.is_some())
    }

    /// What is of nobody is read by everybody: it refers to nothing that is a patient's. What it may name for the reason alone that it did
    /// before is not looked at, nor what the administrator writes, who adds nothing.
    pub(super) fn is_for_everybody(&self, to: &Prepared) -> Result<(), Stopped> {
        if self.work.naming == Naming::Any || !Definitions::r4().is_of_nobody(to.kind()) {
            return Ok(());
        }
        let is_somebodys = |needed: &&validate::Needed| {
            let name = (needed.kind, needed.id);
            !self.former.contains(&name) && self.known.get(&name).is_some_and(|(_, patient)| patient.is_some())
        };
        let Some(wrong) = to.references().iter().find(is_somebodys) else { return Ok(()) };
        let text = format!("each {} is for everybody, and this one refers to what is a patient's", to.kind());
        Err(refused(Issue::new(Code::PatientNotSubject, text).at(&*wrong.expression).help("leave the reference out")))
    }
}

/// What a resource refers to, in references and not in some text of it: read once, when that is asked.
pub(super) struct Named<'b> {
    before: &'b Stored,
    bases: &'b [String],
    all: OnceCell<HashSet<(Kind, Id)>>,
}

impl<'b> Named<'b> {
    pub(super) fn by(before: &'b Stored, bases: &'b [String]) -> Self {
        Self { before, bases, all: OnceCell::new() }
    }

    fn has(&self, needed: &validate::Needed) -> bool {
        let all = self.all.get_or_init(|| {
            let all = validate::references_of(self.before.kind, &self.before.body, self.bases);
            all.into_iter().map(|one| (one.kind, one.id)).collect()
        });
        all.contains(&(needed.kind, needed.id))
    }
}
