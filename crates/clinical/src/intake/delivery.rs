//! What a pump delivered as a MedicationAdministration.

use super::codes::UCUM;
use super::observation::{effective, note};
use super::write::{self, Object, coding};
use crate::kind::Id;
use crate::seam::{Delivered, Delivery, Sort};
use medlock_proto::sealed::MilliUnits;
use medlock_trust::{DeviceName, Time};

/// The system of the identifiers of deliveries: the pump's name and incarnation, the epoch of the bond and the counter of the
/// command.
pub const DELIVERY_SYSTEM: &str = "urn:medlock:fhir:delivery";
/// The system of how insulin was given: `bolus`, `temporary-basal`.
pub const SORT_SYSTEM: &str = "urn:medlock:fhir:delivery-sort";
const SNOMED: &str = "http://snomed.info/sct";
/// Insulin (substance).
const INSULIN: &str = "67866001";

/// How long it took, in milliseconds; 0 where that is not known.
pub(super) fn length(delivery: &Delivery) -> u64 {
    delivery.began.map_or(0, |began| delivery.moment.ticks.saturating_sub(began))
}

/// The MedicationAdministration of a delivery. How much is not known has no dose, and says so in words: a dose that may be too
/// large is none. `device`: its name, and its resource if there is one.
pub(super) fn administration(
    (identifier, delivery): (&str, &Delivery),
    subject: Id,
    device: (&DeviceName, Option<Id>),
    at: Time,
) -> Vec<u8> {
    let mut out = Object::resource("MedicationAdministration");
    out.raw("identifier", &format!("[{}]", Object::identifier(DELIVERY_SYSTEM, identifier)));
    out.text("status", if matches!(delivery.delivered, Delivered::Amount(_)) { "completed" } else { "unknown" });
    let mut medication = Object::new();
    medication.raw("coding", &format!("[{}]", coding(SNOMED, INSULIN, "Insulin")));
    medication.text("text", &format!("insulin, {}", delivery.concentration));
    out.raw("medicationCodeableConcept", &medication.text_of());
    out.raw("subject", &Object::reference("Patient", subject));
    effective(delivery.moment, length(delivery), at, &mut out);
    if let Some(commander) = &delivery.commander {
        out.raw("performer", &format!("[{{\"actor\":{}}}]", write::device((commander, None))));
    }
    out.raw("device", &format!("[{}]", write::device(device)));
    match delivery.delivered {
        Delivered::Amount(amount) => out.raw("dosage", &dosage(delivery, amount)),
        Delivered::AtMost(amount) => {
            let (_, what) = words(delivery.sort);
            let text = format!("power went while it was delivered, a {what}: at most {} IU", units(amount));
            out.raw("note", &note(at, &text));
        }
    }
    out.finish()
}

/// In words, for people: how, and how much.
pub(super) fn summary(delivery: &Delivery) -> String {
    let (_, what) = words(delivery.sort);
    match delivery.delivered {
        Delivered::Amount(amount) => format!("{what}, {} IU", units(amount)),
        Delivered::AtMost(amount) => format!("{what}, at most {} IU", units(amount)),
    }
}

/// The code of how it was given, and the word.
const fn words(sort: Sort) -> (&'static str, &'static str) {
    match sort {
        Sort::Bolus => ("bolus", "bolus"),
        Sort::TemporaryBasal => ("temporary-basal", "temporary basal"),
    }
}

/// What was given, and of a basal how fast on the average.
fn dosage(delivery: &Delivery, amount: MilliUnits) -> String {
    let (code, what) = words(delivery.sort);
    let mut out = Object::new();
    out.text("text", what);
    out.raw("method", &format!("{{\"coding\":[{}]}}", coding(SORT_SYSTEM, code, what)));
    out.raw("dose", &quantity(&units(amount), "IU", "[iU]"));
    let hourly = u64::from(amount.0).saturating_mul(3_600_000).checked_div(length(delivery));
    let hourly = hourly.and_then(|hourly| u32::try_from(hourly).ok());
    if let (Sort::TemporaryBasal, Some(hourly)) = (delivery.sort, hourly) {
        out.raw("rateQuantity", &quantity(&units(MilliUnits(hourly)), "IU/h", "[iU]/h"));
    }
    out.text_of()
}

fn quantity(value: &str, unit: &str, code: &str) -> String {
    let mut out = Object::new();
    out.raw("value", value);
    out.text("unit", unit);
    out.text("system", UCUM);
    out.text("code", code);
    out.text_of()
}

/// International units, to the thousandth in which pumps count.
fn units(amount: MilliUnits) -> String {
    format!("{}.{:03}", amount.0 / 1_000, amount.0 % 1_000)
}
