//! What devices say, on its way into the records: readings become Observations, what a pump delivered becomes a
//! MedicationAdministration, images that were stored become an ImagingStudy. Device and DeviceMetric are found or made.
//!
//! *Whose is it?* The patient whose the device was in all the time within which it measured, as the versions of its Device say: what
//! comes late goes to whom it was measured of. A reading of a device that had no patient then, or not one alone, is kept without
//! one, for those who may see everything. So is what a device measured before the administrator said that it is another Device than
//! before, and what it reports while it is none. A delivery, which R4 does not keep without a patient, waits here until a person says whose
//! it is. No reading and no delivery is lost, and nothing is guessed. Images are refused until their Patient ID is one patient's; who hands them over
//! keeps them. Some days after they were stored that ends: whoever gets the Patient ID later is somebody else.
//!
//! *Once.* What was handed over is noted by its device, the device's incarnation and the number that it gave: what comes twice is
//! kept once, and other contents under the same number are refused. None of them holds up the others.
//!
//! Consent is not asked here: it never gates what devices report ([`crate::seam::Intake`] has no caller who could be refused).

mod coap;
mod codes;
mod delivery;
mod images;
mod observation;
mod quota;
mod study;
mod take;
mod waiting;
mod write;

pub(crate) use quota::Records as Quota;

pub use delivery::{DELIVERY_SYSTEM, SORT_SYSTEM};
pub(crate) use images::studies;
pub use images::{
    BUSY, MOST_IMAGES, NO_RECORDS, PATH as STUDIES, SeriesReport, StudyReport, TOO_LATE, WrongReport, no_records,
};
pub use observation::READING_SYSTEM;
pub(crate) use waiting::{Listed, NotAssigned};

use crate::access::{Caller, Verb};
use crate::kind::{Id, Kind};
use crate::seam::{Delivery, Handed, Incarnation, Intake, Kept, NotKept, Numbered, StoredStudy};
use crate::store::{NewWaiting, Once, Whose};
use crate::{Clinical, DEVICE_SYSTEM};
use codes::MDC;
use medlock_proto::reading::Mdc;
use medlock_proto::record::Record;
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::cbor::Writer;
use medlock_trust::{DeviceName, Operation};
use std::collections::BTreeSet;
use take::{Found, Item, Thing};
use write::{Object, coding};

/// Things that are taken at once: a transaction of some hundred kilobytes.
const MOST: usize = 1_000;
/// The system of the identifiers of metrics: the device's name and the code.
pub(crate) const METRIC_SYSTEM: &str = "urn:medlock:fhir:metric";
/// The place in the audit.
const ORIGIN: &str = "intake";
/// The sorts of what is kept once.
const READING: u8 = 0;
const DELIVERY: u8 = 1;
const METRIC: u8 = 2;

impl Intake for Clinical {
    fn readings(
        &self,
        from: Handed<'_>,
        incarnation: Incarnation,
        readings: &[Numbered],
    ) -> Result<Vec<Kept>, NotKept> {
        let caller = self.handed(&from, Operation::Report, readings.len())?;
        let (name, at) = (from.who.device_name(), from.at);
        self.take(&caller, name, |device| {
            let metrics: BTreeSet<Mdc> = readings.iter().map(|numbered| numbered.reading.code).collect();
            let metrics = device.id().map(|id| metrics.into_iter().map(|code| metric(name, code, id)).collect());
            let things = readings.iter().map(|Numbered { number, reading }| {
                let identifier = format!("{name}/{:016x}/{number}", incarnation.0);
                let span = observation::within(reading.moment, 0, at);
                let of = (name, device.then(span));
                let body = observation::observation(&identifier, reading, device.whose(span), of, at);
                let mark = reading.mark.map(|mark| mark.as_str());
                // How whoever judged it before stood is no part of what was measured.
                let mut measured = Numbered { number: *number, reading: *reading };
                measured.reading.mark = None;
                let contents = bytes(&Record::Reading(measured));
                let once = Some(Once::new(*name, READING, &[incarnation.0, *number], &contents));
                Item::Kept(Thing { kind: Kind::OBSERVATION, system: READING_SYSTEM, identifier, body, once, mark })
            });
            (metrics.unwrap_or_default(), things.collect())
        })
    }

    fn deliveries(
        &self,
        from: Handed<'_>,
        incarnation: Incarnation,
        deliveries: &[Delivery],
    ) -> Result<Vec<Kept>, NotKept> {
        let caller = self.handed(&from, Operation::Report, deliveries.len())?;
        let (name, at) = (from.who.device_name(), from.at);
        self.take(&caller, name, |device| {
            let things = deliveries.iter().map(|delivery| {
                let Delivery { bond_epoch, counter, .. } = *delivery;
                let identifier = format!("{name}/{:016x}/{bond_epoch}/{counter}", incarnation.0);
                let record = bytes(&Record::Delivery(*delivery));
                let once = Once::new(*name, DELIVERY, &[incarnation.0, bond_epoch, counter], &record);
                let span = observation::within(delivery.moment, delivery::length(delivery), at);
                let Whose::Of(subject) = device.whose(span) else {
                    return Item::Waits(waits(&caller, device, once, (identifier, record)));
                };
                let said = (identifier.as_str(), delivery);
                let body = delivery::administration(said, subject, (name, device.then(span)), at);
                let kind = Kind::MEDICATION_ADMINISTRATION;
                Item::Kept(Thing { kind, system: DELIVERY_SYSTEM, identifier, body, once: Some(once), mark: None })
            });
            (Vec::new(), things.collect())
        })
    }

    fn images(&self, from: Handed<'_>, study: &StoredStudy) -> Result<Kept, NotKept> {
        let caller = self.handed(&from, Operation::Store, study.series.iter().map(|one| one.instances.len()).sum())?;
        self.study_in_time(&caller, from.who.device_name(), study, from.at)
    }
}

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
}

/// A delivery that waits, with what is said of its device at this moment.
fn waits(caller: &Caller, device: &Found, once: Once, (identifier, record): (String, Vec<u8>)) -> NewWaiting {
    let statement = caller.statement(Verb::Create, Kind::MEDICATION_ADMINISTRATION);
    let mark = statement.as_ref().and_then(|statement| statement.mark).map(|mark| mark.as_str());
    let provenance = statement.map(|statement| statement.resource(caller.at(), device.here()));
    let provenance = provenance.and_then(|resource| serde_json::to_vec(&resource).ok()).unwrap_or_default();
    NewWaiting { once, identifier, record, provenance, mark }
}

/// A record as its device reports it.
fn bytes(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = record.encode(&mut Writer::new(&mut bytes));
    bytes
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
    Thing { kind: Kind::DEVICE, system: DEVICE_SYSTEM, identifier, body: out.finish(), once: None, mark: None }
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
    let once = Some(Once::new(*name, METRIC, &[code.0.into()], &[]));
    Thing { kind: Kind::DEVICE_METRIC, system: METRIC_SYSTEM, identifier, body: out.finish(), once, mark: None }
}
