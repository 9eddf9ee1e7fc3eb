//! Deliveries for which no patient can be named: they wait until a person says whose they were.

use super::{delivery, observation};
use crate::Clinical;
use crate::access::{Caller, Verb};
use crate::audit::Note;
use crate::kind::{Id, Kind};
use crate::moment;
use crate::outcome::Refusal;
use crate::provenance::PARTICIPANT;
use crate::seam::{Delivery, NotKept};
use crate::store::{Act, LISTED, Origin, Unapplied, Waiting};
use crate::validate;
use medlock_proto::record::Record;
use medlock_store::Error;
use medlock_trust::cbor::Reader;
use medlock_trust::decide::Code;
use medlock_trust::{DeviceName, Time};
use serde_json::{Value, json};

/// Where it is asked, for the audit.
const ORIGIN: &str = "admin";

/// A delivery that waits, for people.
pub(crate) struct Listed {
    pub(crate) number: i64,
    pub(crate) device: String,
    /// Within which it was delivered.
    pub(crate) when: String,
    /// How, and how much.
    pub(crate) what: String,
}

/// Why it still waits.
#[derive(Debug)]
pub(crate) enum NotAssigned {
    /// None waits under this number.
    Absent(i64),
    /// It cannot be read.
    Damaged(i64),
    /// It is refused.
    Refused(Refusal),
    /// Somebody else does it at the same time.
    Changed,
    /// The store did not do it.
    Store(Error),
}

impl From<Error> for NotAssigned {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Clinical {
    /// Deliveries that wait behind this number, oldest first, of one device if it is named; and whether there are more.
    pub(crate) fn waiting(&self, device: Option<DeviceName>, after: i64) -> Result<(Vec<Listed>, bool), NotAssigned> {
        let waiting = self.records().waiting(device, after)?;
        let more = waiting.len() == LISTED;
        Ok((waiting.iter().map(listed).collect(), more))
    }

    /// Says that these deliveries were nobody's, and why: all of them, or none.
    pub(crate) fn dismiss(&self, numbers: &[i64], why: &str) -> Result<(), NotAssigned> {
        let mut notes = Vec::with_capacity(numbers.len());
        for number in numbers {
            let waiting = self.records().waits(*number)?.ok_or(NotAssigned::Absent(*number))?;
            let caller = Caller::assigning(waiting.device);
            let note = Note::of(&caller, Verb::Create, Kind::MEDICATION_ADMINISTRATION, ORIGIN.to_owned());
            notes.push(note.refused("intake-dismissed"));
        }
        match self.records().dismiss(numbers.to_vec(), why.to_owned(), notes)? {
            Some(number) => Err(NotAssigned::Absent(number)),
            None => Ok(()),
        }
    }

    /// Says that these deliveries were this patient's: all of them, or none.
    pub(crate) fn assign(&self, numbers: &[i64], patient: Id) -> Result<(), NotAssigned> {
        let mut acts = Vec::with_capacity(numbers.len());
        let mut caller = None;
        for number in numbers {
            let waiting = self.records().waits(*number)?.ok_or(NotAssigned::Absent(*number))?;
            acts.push(self.assigned(&waiting, patient)?);
            caller.get_or_insert_with(|| Caller::assigning(waiting.device));
        }
        let Some(caller) = caller else { return Ok(()) };
        let note = Note::of(&caller, Verb::Create, Kind::MEDICATION_ADMINISTRATION, ORIGIN.to_owned());
        self.records().apply(&caller, acts, &note).map(drop).map_err(|error| match error {
            Unapplied::Refused { why, .. } => NotAssigned::Refused(why),
            Unapplied::Changed => NotAssigned::Changed,
            Unapplied::Store(error) => NotAssigned::Store(error),
        })
    }

    /// The act that makes its MedicationAdministration, as it would have been made when it came.
    fn assigned(&self, waiting: &Waiting, patient: Id) -> Result<Act, NotAssigned> {
        let (delivery, came) = read(waiting)?;
        let (_, device) = self.device_of(&waiting.device).map_err(|why| match why {
            NotKept::Store(error) => NotAssigned::Store(error),
            _ => NotAssigned::Changed,
        })?;
        let span = observation::within(delivery.moment, delivery::length(&delivery), came);
        let device = device.here().and_then(|_| device.then(span));
        let of = (&waiting.device, device);
        let body = delivery::administration((&waiting.identifier, &delivery), patient, of, came);
        let mark = waiting.mark.as_deref();
        let mark = Code::ALL.iter().map(|code| code.as_str()).find(|code| Some(*code) == mark);
        let kind = Kind::MEDICATION_ADMINISTRATION;
        let to = self.prepared(kind, &body, mark).map_err(|issues| NotAssigned::Refused(issues.into()))?;
        let source = informed(&waiting.provenance).ok_or(NotAssigned::Damaged(waiting.number))?;
        let said = validate::unchecked(Kind::PROVENANCE, &source, mark);
        let (tail, mut rows) = said.ok_or(NotAssigned::Damaged(waiting.number))?;
        // The Device may be another one since, and may not be the one that delivered.
        rows.links.retain(|(_, kind, id)| *kind == Kind::DEVICE && Some(*id) == device);
        let origin = Some(Origin::Waited(waiting.number, tail, rows));
        Ok(Act::Create { id: self.records().fresh_id(), to: to.from(origin), condition: None })
    }
}

/// As people see it. One that cannot be read is there too, and can be dismissed.
fn listed(waiting: &Waiting) -> Listed {
    let (when, what) = match read(waiting) {
        Ok((delivery, came)) => {
            let (low, high) = observation::within(delivery.moment, delivery::length(&delivery), came);
            let when = match delivery.moment.utc {
                Some(_) => format!("{} to {}", moment::written(low), moment::written(high)),
                None => format!("before {}", moment::written(high)),
            };
            (when, delivery::summary(&delivery))
        }
        Err(_) => (format!("before {}", moment::written(waiting.came)), "damaged: it cannot be read".to_owned()),
    };
    Listed { number: waiting.number, device: waiting.device.to_string(), when, what }
}

/// What was reported, and when.
fn read(waiting: &Waiting) -> Result<(Delivery, Time), NotAssigned> {
    match Record::decode(&mut Reader::new(&waiting.record)) {
        Ok(Record::Delivery(delivery)) => Ok((delivery, Time::from_unix(waiting.came.0.div_euclid(1_000)))),
        Ok(Record::Reading(_)) | Err(_) => Err(NotAssigned::Damaged(waiting.number)),
    }
}

/// The Provenance of who reported it, and of who said whose it was.
fn informed(provenance: &[u8]) -> Option<Vec<u8>> {
    let mut resource: Value = serde_json::from_slice(provenance).ok()?;
    resource["agent"].as_array_mut()?.push(json!({
        "type": { "coding": [{ "system": PARTICIPANT, "code": "informant" }] },
        "who": { "display": "the administrator of the hub, who said whose it was" },
    }));
    serde_json::to_vec(&resource).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Millis;

    /// Shows REQ-INTAKE-55: one that cannot be read is listed with the others, so that it can be dismissed.
    #[test]
    fn a_damaged_one_hides_no_others() {
        let waiting = Waiting {
            number: 3,
            device: DeviceName::new("pump7").expect("a name"),
            came: Millis(60_000),
            identifier: "pump7/1".to_owned(),
            record: vec![0xff],
            provenance: Vec::new(),
            mark: None,
        };
        let listed = listed(&waiting);
        assert_eq!((listed.number, &*listed.device, &*listed.when), (3, "pump7", "before 1970-01-01T00:01:00.000Z"));
        assert!(listed.what.contains("damaged"), "{}", listed.what);
    }
}
