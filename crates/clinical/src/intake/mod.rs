//! What devices say, on its way into the records: readings become Observations, what a pump delivered becomes a
//! MedicationAdministration, images that were stored become an ImagingStudy. Device and DeviceMetric are found or made.
//!
//! *Whose is it?* The patient whose the device was in all the time within which it measured, as the versions of its Device say: what
//! comes late goes to whom it was measured of. A reading of a device that had no patient then, or not one alone, is kept without
//! one, for those who may see everything: nothing is lost, and nothing is guessed. What R4 does not keep without a patient (a delivery, images) is refused until there is
//! one; who hands it over keeps it.
//!
//! *Once.* The identifier of each is made of the device and the number that the device gave: what comes twice is kept once.
//!
//! Consent is not asked here: it never gates what devices report ([`crate::seam::Intake`] has no caller who could be refused).

mod coap;
mod codes;
mod delivery;
mod observation;
mod study;
mod write;

pub use delivery::DELIVERY_SYSTEM;
pub use observation::READING_SYSTEM;

use crate::access::{Caller, Verb};
use crate::audit::Note;
use crate::definitions::Definitions;
use crate::json::{Document, Limits};
use crate::kind::{Id, Kind};
use crate::outcome::{Code, Issue};
use crate::query::Plan;
use crate::seam::{Delivery, Handed, Intake, Kept, NotKept, Numbered, StoredStudy};
use crate::store::{Act, Condition, Unapplied, Whose, Worn};
use crate::validate::{self, Asked, Prepared};
use crate::{Clinical, DEVICE_SYSTEM};
use codes::MDC;
use medlock_proto::reading::{Mdc, Moment};
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::{DeviceName, Operation, Time};
use std::collections::{BTreeSet, HashSet};
use write::{Object, coding};

/// Things that are taken at once: a transaction of some hundred kilobytes.
const MOST: usize = 1_000;
/// How often it is tried again because others changed the same.
const TRIES: usize = 8;
/// The system of the identifiers of metrics: the device's name and the code.
const METRIC_SYSTEM: &str = "urn:medlock:fhir:metric";
/// The place in the audit.
const ORIGIN: &str = "intake";

/// One thing that becomes a resource, unless one with its identifier is here.
struct Thing {
    kind: Kind,
    system: &'static str,
    identifier: String,
    body: Vec<u8>,
}

impl Thing {
    fn plan(&self) -> Option<Plan> {
        Plan::by_identifier(self.kind, self.system, &self.identifier)
    }
}

/// The Device of who hands over.
enum Found {
    Here(Worn),
    /// It is to be made.
    New(Id),
}

impl Found {
    const fn id(&self) -> Id {
        match self {
            Self::Here(worn) => worn.id,
            Self::New(id) => *id,
        }
    }

    /// Whose it was when it measured or delivered something.
    fn whose(&self, moment: Moment, at: Time) -> Whose {
        let (low, high) = observation::within(moment, at);
        match self {
            Self::Here(worn) => worn.during(low, high),
            Self::New(_) => Whose::Nobody,
        }
    }
}

impl Intake for Clinical {
    fn readings(&self, from: Handed<'_>, readings: &[Numbered]) -> Result<Vec<Kept>, NotKept> {
        let caller = self.handed(&from, Operation::Report, readings.len())?;
        let (name, at) = (from.who.device_name(), from.at);
        self.take(&caller, name, |device| {
            let metrics: BTreeSet<Mdc> = readings.iter().map(|numbered| numbered.reading.code).collect();
            let metrics = metrics.into_iter().map(|code| metric(name, code, device.id())).collect();
            let things = readings.iter().map(|Numbered { number, reading }| {
                let identifier = format!("{name}/{number}");
                let whose = device.whose(reading.moment, at);
                let body = observation::observation(&identifier, reading, whose, device.id(), at);
                let mark = reading.mark.map(|mark| mark.as_str());
                Ok((Thing { kind: Kind::OBSERVATION, system: READING_SYSTEM, identifier, body }, mark))
            });
            Ok((metrics, things.collect::<Result<_, NotKept>>()?))
        })
    }

    fn deliveries(&self, from: Handed<'_>, deliveries: &[Delivery]) -> Result<Vec<Kept>, NotKept> {
        let caller = self.handed(&from, Operation::Report, deliveries.len())?;
        let (name, at) = (from.who.device_name(), from.at);
        self.take(&caller, name, |device| {
            let things = deliveries.iter().map(|delivery| {
                let Whose::Of(subject) = device.whose(delivery.moment, at) else {
                    return Err(NotKept::NoPatient(format!("the device {name}")));
                };
                let identifier = format!("{name}/{}/{}", delivery.bond_epoch, delivery.counter);
                let body = delivery::administration(&identifier, delivery, subject, device.id(), at);
                let kind = Kind::MEDICATION_ADMINISTRATION;
                Ok((Thing { kind, system: DELIVERY_SYSTEM, identifier, body }, None))
            });
            Ok((Vec::new(), things.collect::<Result<_, NotKept>>()?))
        })
    }

    fn images(&self, from: Handed<'_>, study: &StoredStudy) -> Result<Kept, NotKept> {
        let caller = self.handed(&from, Operation::Store, study.series.iter().map(|one| one.instances.len()).sum())?;
        self.study(&caller, study)
    }
}

/// What is to be made beside the things, and the things with what a judge wrote beside each.
type Things = (Vec<Thing>, Vec<(Thing, Option<&'static str>)>);

impl Clinical {
    /// Who hands over, if the permit is for this.
    fn handed(&self, from: &Handed<'_>, operation: Operation, count: usize) -> Result<Caller, NotKept> {
        let permit = &from.permit;
        let own = permit.device() == from.who.device() && from.who.kind() == CredentialKind::Operational;
        if !own || permit.operation() != operation {
            return Err(NotKept::Permit { operation });
        }
        if count > MOST {
            return Err(NotKept::TooMany { count, most: MOST });
        }
        Ok(self.gate().handed(from))
    }

    /// Keeps what `things` makes of the device; what became of each.
    fn take(
        &self,
        caller: &Caller,
        name: &DeviceName,
        things: impl Fn(&Found) -> Result<Things, NotKept>,
    ) -> Result<Vec<Kept>, NotKept> {
        for _ in 0..TRIES {
            let device = self.device_of(name)?;
            let (beside, things) = things(&device)?;
            let known = self.known(caller, things.iter().map(|(thing, _)| thing))?;
            let mut asked = HashSet::new();
            let mut kept = Vec::with_capacity(things.len());
            let mut acts = Vec::new();
            for (number, ((thing, mark), known)) in things.iter().zip(known).enumerate() {
                // The same number may stand twice in one call.
                let new = known.is_none() && asked.insert(&thing.identifier);
                kept.push(if new { Kept::New } else { Kept::Known });
                if new {
                    let unfit = |issues| NotKept::Unfit { number, issues };
                    acts.push(self.create(caller, thing, *mark).map_err(unfit)?);
                }
            }
            if acts.is_empty() {
                return Ok(kept);
            }
            let beside_known = self.known(caller, beside.iter())?;
            let mut before = Vec::new();
            if let Found::New(id) = device {
                before.push(self.create_as(caller, id, &new_device(name), None).map_err(unfit_beside)?);
            }
            for (thing, _) in beside.iter().zip(beside_known).filter(|(_, known)| known.is_none()) {
                before.push(self.create(caller, thing, None).map_err(unfit_beside)?);
            }
            before.append(&mut acts);
            if self.applied(caller, before)? {
                return Ok(kept);
            }
        }
        Err(NotKept::Busy)
    }

    /// Does it; `false`: others changed the same meanwhile.
    fn applied(&self, caller: &Caller, acts: Vec<Act>) -> Result<bool, NotKept> {
        let kind = acts.first().map_or(Kind::OBSERVATION, Act::kind);
        let note = Note::of(caller, Verb::Create, kind, ORIGIN.to_owned());
        match self.records().apply(caller, acts, &note) {
            Ok(_) => Ok(true),
            Err(Unapplied::Changed) => Ok(false),
            // What it refers to is gone since it was looked for, or the Device was made by somebody else.
            Err(Unapplied::Refused { why, .. })
                if [Code::Reference, Code::Version, Code::DeviceName].contains(&why.code()) =>
            {
                Ok(false)
            }
            Err(Unapplied::Refused { act, why }) => Err(NotKept::Unfit { number: act, issues: why.issues }),
            Err(Unapplied::Store(error)) => Err(error.into()),
        }
    }

    fn device_of(&self, name: &DeviceName) -> Result<Found, NotKept> {
        let row = self.records().row_of_device(name)?;
        let found = row.map(|row| self.records().worn(row)).transpose()?.flatten();
        Ok(found.map_or_else(|| Found::New(self.records().fresh_id()), Found::Here))
    }

    /// Which of them are here.
    fn known<'t>(&self, caller: &Caller, things: impl Iterator<Item = &'t Thing>) -> Result<Vec<Option<Id>>, NotKept> {
        let plans: Vec<Plan> = things.filter_map(Thing::plan).collect();
        Ok(self.records().known(&caller.sight_to_write(Verb::Search), &plans)?)
    }

    fn create(
        &self,
        caller: &Caller,
        thing: &Thing,
        mark: Option<&'static str>,
    ) -> Result<Act, crate::outcome::Issues> {
        self.create_as(caller, self.records().fresh_id(), thing, mark)
    }

    /// The act that makes it, with the mark of the verdict, or else that of who judged it before.
    fn create_as(
        &self,
        caller: &Caller,
        id: Id,
        thing: &Thing,
        mark: Option<&'static str>,
    ) -> Result<Act, crate::outcome::Issues> {
        let mark = caller.mark(Verb::Create, thing.kind).map(|code| code.as_str()).or(mark);
        let to = self.prepared(thing, mark)?;
        Ok(Act::Create { id, to, condition: thing.plan().map(|plan| Condition { plan, is: None }) })
    }

    fn prepared(&self, thing: &Thing, mark: Option<&'static str>) -> Result<Prepared, crate::outcome::Issues> {
        let unread = |error: crate::json::Error| Issue::new(Code::Json, error.to_string());
        let document = Document::read(&thing.body, &Limits::RESOURCE).map_err(unread)?;
        validate::prepare(document.root(), Definitions::r4(), Asked { kind: thing.kind, bases: &self.bases(), mark })
    }
}

/// What we make ourselves is fit, or we are wrong.
fn unfit_beside(issues: crate::outcome::Issues) -> NotKept {
    NotKept::Unfit { number: 0, issues }
}

fn new_device(name: &DeviceName) -> Thing {
    let mut out = Object::resource("Device");
    let identifier = name.as_str().to_owned();
    out.raw("identifier", &format!("[{}]", Object::identifier(DEVICE_SYSTEM, &identifier)));
    out.text("status", "active");
    let mut own = Object::new();
    own.text("name", &identifier);
    own.text("type", "user-friendly-name");
    out.raw("deviceName", &format!("[{}]", own.text_of()));
    Thing { kind: Kind::DEVICE, system: DEVICE_SYSTEM, identifier, body: out.finish() }
}

/// The DeviceMetric of what a device measures.
fn metric(name: &DeviceName, code: Mdc, device: Id) -> Thing {
    let identifier = format!("{name}/{}", code.0);
    let display = codes::measurement(code, Mdc(0)).map_or("", |known| known.reference_id);
    let mut out = Object::resource("DeviceMetric");
    out.raw("identifier", &format!("[{}]", Object::identifier(METRIC_SYSTEM, &identifier)));
    out.raw("type", &format!("{{\"coding\":[{}]}}", coding(MDC, &code.0.to_string(), display)));
    out.raw("source", &Object::reference("Device", device));
    out.text("category", "measurement");
    Thing { kind: Kind::DEVICE_METRIC, system: METRIC_SYSTEM, identifier, body: out.finish() }
}
