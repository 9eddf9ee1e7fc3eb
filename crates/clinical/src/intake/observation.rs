//! A reading as an Observation: what HL7's guides for glucose monitors and personal health devices say, as far as R4 goes.

use super::codes::{LOINC, MDC, UCUM, measurement, ucum};
use super::write::{Object, coding};
use crate::kind::{Id, Millis};
use crate::moment;
use medlock_proto::reading::{Decimal, Moment, Reading, Special, Value};
use medlock_trust::Time;

/// The system of the identifiers of readings: the device's name and the number that it gave.
pub const READING_SYSTEM: &str = "urn:medlock:fhir:reading";
const CATEGORIES: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const ABSENT: &str = "http://terminology.hl7.org/CodeSystem/data-absent-reason";
/// Bounds of an instant that are so near to one another, in seconds, are one instant.
const INSTANT: i64 = 60;

/// The Observation of a reading.
pub(super) fn observation(identifier: &str, reading: &Reading, subject: Option<Id>, device: Id, at: Time) -> Vec<u8> {
    let known = measurement(reading.code, reading.unit);
    let mut out = Object::resource("Observation");
    out.raw("identifier", &format!("[{}]", Object::identifier(READING_SYSTEM, identifier)));
    out.text("status", "final");
    if let Some(known) = &known {
        out.raw("category", &format!("[{{\"coding\":[{}]}}]", coding(CATEGORIES, known.category, "")));
    }
    let mut codes = coding(MDC, &reading.code.0.to_string(), known.as_ref().map_or("", |known| known.reference_id));
    if let Some(loinc) = known.as_ref().and_then(|known| known.loinc) {
        codes = format!("{codes},{}", coding(LOINC, loinc, ""));
    }
    out.raw("code", &format!("{{\"coding\":[{codes}]}}"));
    if let Some(subject) = subject {
        out.raw("subject", &Object::reference("Patient", subject));
    }
    effective(reading.moment, at, &mut out);
    out.text("issued", &instant(at));
    match reading.value {
        Value::Number(number) => out.raw("valueQuantity", &quantity(number, reading)),
        Value::Special(special) => {
            out.raw("dataAbsentReason", &format!("{{\"coding\":[{}]}}", coding(ABSENT, reason(special), "")));
        }
    }
    out.raw("device", &Object::reference("Device", device));
    out.finish()
}

/// When it was: an instant where the device knew it, else the time within which it must have been.
pub(super) fn effective(moment: Moment, at: Time, out: &mut Object) {
    let bounds = moment.utc.map(|utc| (utc.earliest(), utc.latest().unwrap_or(at).max(utc.earliest())));
    match bounds {
        Some((from, to)) if to.unix().saturating_sub(from.unix()) <= INSTANT => {
            out.text("effectiveDateTime", &instant(from));
        }
        Some((from, to)) => {
            let (start, end) = (instant(from), instant(to));
            out.raw("effectivePeriod", &format!("{{\"start\":\"{start}\",\"end\":\"{end}\"}}"));
        }
        None => out.raw("effectivePeriod", &format!("{{\"end\":\"{}\"}}", instant(at))),
    }
}

/// When it was at the earliest, for whose it is: what no clock says was when it came.
pub(super) fn measured(moment: Moment, at: Time) -> Millis {
    millis(moment.utc.map_or(at, |utc| utc.earliest()))
}

pub(super) fn millis(at: Time) -> Millis {
    Millis(at.unix().saturating_mul(1_000))
}

pub(super) fn instant(at: Time) -> String {
    moment::written(millis(at))
}

fn quantity(number: Decimal, reading: &Reading) -> String {
    let mut out = Object::new();
    out.raw("value", &decimal(number));
    match ucum(reading.unit) {
        Some(code) => {
            out.text("unit", code);
            out.text("system", UCUM);
            out.text("code", code);
        }
        None => {
            out.text("system", MDC);
            out.text("code", &reading.unit.0.to_string());
        }
    }
    out.text_of()
}

/// A number with the precision that the sensor gave it: `50` and `5E+1` say different things.
pub(super) fn decimal(number: Decimal) -> String {
    let (sign, digits) = (if number.mantissa() < 0 { "-" } else { "" }, number.mantissa().unsigned_abs().to_string());
    let after = usize::from(number.exponent().unsigned_abs());
    match number.exponent() {
        0 => format!("{sign}{digits}"),
        exponent @ 1.. => format!("{sign}{digits}E+{exponent}"),
        // Few enough zeros for people to read.
        -12..0 => {
            let digits = format!("{digits:0>width$}", width = after + 1);
            let (whole, fraction) = digits.split_at(digits.len() - after);
            format!("{sign}{whole}.{fraction}")
        }
        exponent => format!("{sign}{digits}E{exponent}"),
    }
}

/// What a sensor says in place of a number, as HL7's guide for personal health devices writes it.
const fn reason(special: Special) -> &'static str {
    match special {
        Special::NaN => "not-a-number",
        Special::NRes => "unsupported",
        Special::PositiveInfinity => "positive-infinity",
        Special::NegativeInfinity => "negative-infinity",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn a_number_keeps_the_precision_of_its_sensor() {
        let written = |mantissa, exponent| decimal(Decimal::new(mantissa, exponent).expect("a number"));
        assert_eq!(written(50, 0), "50");
        assert_eq!(written(5, 1), "5E+1");
        assert_eq!(written(550, -2), "5.50");
        assert_eq!(written(-5, -3), "-0.005");
        assert_eq!(written(0, -1), "0.0");
        assert_eq!(written(1, -13), "1E-13");
        for (mantissa, exponent) in [(Decimal::MAX_MANTISSA, 30), (-Decimal::MAX_MANTISSA, -30), (7, -12)] {
            assert!(json::Decimal::read(&written(mantissa, exponent)).is_some(), "{mantissa} {exponent}");
        }
    }
}
