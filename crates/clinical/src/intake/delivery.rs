//! What a pump delivered as a MedicationAdministration.

use super::codes::UCUM;
use super::observation::{effective, note};
use super::write::{Object, coding};
use crate::DEVICE_SYSTEM;
use crate::kind::Id;
use crate::seam::{Delivered, Delivery};
use medlock_proto::sealed::MilliUnits;
use medlock_trust::Time;

/// The system of the identifiers of deliveries: the pump's name, the epoch of the bond and the counter of the command.
pub const DELIVERY_SYSTEM: &str = "urn:medlock:fhir:delivery";
const SNOMED: &str = "http://snomed.info/sct";
/// Insulin (substance).
const INSULIN: &str = "67866001";

/// The MedicationAdministration of a delivery. How much is not known has no dose, and says so in words: a dose that may be too
/// large is none.
pub(super) fn administration(identifier: &str, delivery: &Delivery, subject: Id, device: Id, at: Time) -> Vec<u8> {
    let mut out = Object::resource("MedicationAdministration");
    out.raw("identifier", &format!("[{}]", Object::identifier(DELIVERY_SYSTEM, identifier)));
    out.text("status", if matches!(delivery.delivered, Delivered::Amount(_)) { "completed" } else { "unknown" });
    let mut medication = Object::new();
    medication.raw("coding", &format!("[{}]", coding(SNOMED, INSULIN, "Insulin")));
    medication.text("text", &format!("insulin, {}", delivery.concentration));
    out.raw("medicationCodeableConcept", &medication.text_of());
    out.raw("subject", &Object::reference("Patient", subject));
    effective(delivery.moment, at, &mut out);
    if let Some(commander) = &delivery.commander {
        let mut actor = Object::new();
        actor.text("type", "Device");
        actor.raw("identifier", &Object::identifier(DEVICE_SYSTEM, commander.as_str()));
        out.raw("performer", &format!("[{{\"actor\":{}}}]", actor.text_of()));
    }
    out.raw("device", &format!("[{}]", Object::reference("Device", device)));
    match delivery.delivered {
        Delivered::Amount(amount) => {
            let mut dose = Object::new();
            dose.raw("value", &units(amount));
            dose.text("unit", "IU");
            dose.text("system", UCUM);
            dose.text("code", "[iU]");
            out.raw("dosage", &format!("{{\"dose\":{}}}", dose.text_of()));
        }
        Delivered::AtMost(amount) => {
            let text = format!("power went while it was delivered: at most {} IU", units(amount));
            out.raw("note", &note(at, &text));
        }
    }
    out.finish()
}

/// International units, to the thousandth in which pumps count.
fn units(amount: MilliUnits) -> String {
    format!("{}.{:03}", amount.0 / 1_000, amount.0 % 1_000)
}
