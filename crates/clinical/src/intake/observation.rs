//! A reading as an Observation: what HL7's guides for glucose monitors and personal health devices say, as far as R4 goes.

use super::codes::{LOINC, MDC, UCUM, measurement, ucum};
use super::write::{self, Object, coding};
use crate::json;
use crate::kind::{Id, Millis};
use crate::moment;
use crate::store::Whose;
use medlock_proto::reading::{Decimal, Moment, Reading, Special, Value};
use medlock_trust::{DeviceName, Time};

/// The system of the identifiers of readings: the device's name and incarnation, and the number that it gave.
pub const READING_SYSTEM: &str = "urn:medlock:fhir:reading";
const CATEGORIES: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const ABSENT: &str = "http://terminology.hl7.org/CodeSystem/data-absent-reason";
/// What is said of a reading that names nobody because it may be of several.
const UNCLEAR: &str =
    "the device was not one patient's in all the time within which it measured this: a person has to say whose it is";
/// Before all that was ever measured: the first year that FHIR writes.
const BEGINNING: Time = Time::from_unix(-62_135_596_800);
/// Bounds of an instant that are so near to one another, in seconds, are one instant.
const INSTANT: i64 = 60;

/// The Observation of a reading. Where it is not known of whom it is, it says so in words. `device`: its name, and its resource if that
/// is known.
pub(super) fn observation(
    identifier: &str,
    reading: &Reading,
    whose: Whose,
    device: (&DeviceName, Option<Id>),
    at: Time,
) -> Vec<u8> {
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
    match whose {
        Whose::Of(patient) => out.raw("subject", &Object::reference("Patient", patient)),
        Whose::Nobody => {}
        Whose::Unclear => out.raw("note", &note(at, UNCLEAR)),
    }
    effective(reading.moment, 0, at, &mut out);
    out.text("issued", &instant(at));
    match reading.value {
        Value::Number(number) if is_measured(number) => out.raw("valueQuantity", &quantity(number, reading)),
        // One reading that says what nothing measures holds up no others.
        Value::Number(_) => absent("error", &mut out),
        Value::Special(special) => absent(reason(special), &mut out),
    }
    out.raw("device", &write::device(device));
    out.finish()
}

/// Words beside a resource.
pub(super) fn note(at: Time, text: &str) -> String {
    let mut note = Object::new();
    note.text("time", &instant(at));
    note.text("text", text);
    format!("[{}]", note.text_of())
}

fn absent(reason: &str, out: &mut Object) {
    out.raw("dataAbsentReason", &format!("{{\"coding\":[{}]}}", coding(ABSENT, reason, "")));
}

/// Whether it is a number that records take: beyond an exponent of thirty nothing is measured.
fn is_measured(number: Decimal) -> bool {
    json::Decimal::read(&decimal(number)).is_some()
}

/// When it was: an instant where the device knew it, else the time within which it must have been. `length`: for how many
/// milliseconds it went on, until its moment.
pub(super) fn effective(moment: Moment, length: u64, at: Time, out: &mut Object) {
    let bounds = moment.utc.map(|utc| (before(utc.earliest(), length), utc.latest().unwrap_or(at).max(utc.earliest())));
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

/// Within which it was for certain, for whose it is: what no clock says may have been at any time before it came.
pub(super) fn within(moment: Moment, length: u64, at: Time) -> (Millis, Millis) {
    let latest = moment.utc.and_then(|utc| utc.latest()).unwrap_or(at).min(at);
    let earliest = moment.utc.map_or(BEGINNING, |utc| before(utc.earliest().min(latest), length));
    // Clocks of devices count seconds, versions are of a millisecond.
    (millis(earliest), Millis(millis(latest).0.saturating_add(999)))
}

/// So many milliseconds before, in whole seconds.
fn before(at: Time, millis: u64) -> Time {
    at.plus_seconds(i64::try_from(millis.div_ceil(1_000)).map_or(i64::MIN, |seconds| -seconds))
}

/// Within the years that FHIR writes, 1 to 9999.
pub(super) fn millis(at: Time) -> Millis {
    Millis(at.unix().clamp(BEGINNING.unix(), 253_402_300_799).saturating_mul(1_000))
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
    use crate::definitions::Definitions;
    use crate::json::{Document, Limits};
    use crate::kind::Kind;
    use crate::validate::{Asked, prepare};
    use medlock_proto::reading::Mdc;
    use medlock_trust::Interval;
    use proptest::option;
    use proptest::prelude::{any, prop_assert, proptest};

    /// Shows REQ-INTAKE-01.
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

    proptest! {
        /// Shows REQ-INTAKE-08: no reading holds up others: each becomes an Observation that is taken.
        #[test]
        fn each_reading_becomes_an_observation(
            (code, unit, ticks) in any::<(u32, u32, u64)>(),
            (mantissa, exponent, special) in (-Decimal::MAX_MANTISSA..=Decimal::MAX_MANTISSA, any::<i8>(), option::of(0..4_usize)),
            (earliest, length) in (option::of(0..253_402_300_799_i64), option::of(0..1_000_000_i64)),
            at in 0..253_402_300_799_i64,
        ) {
            let number = Value::Number(Decimal::new(mantissa, exponent).expect("a number"));
            let value = special.map_or(number, |place| Value::Special(Special::ALL[place]));
            let utc = earliest.and_then(|earliest| {
                let earliest = Time::from_unix(earliest);
                Interval::new(earliest, length.map(|length| earliest.plus_seconds(length)))
            });
            let reading = Reading { code: Mdc(code), unit: Mdc(unit), value, moment: Moment { ticks, utc }, mark: None };
            let (patient, device) = (Id::fresh(Millis(1)), Id::fresh(Millis(2)));
            let cgm = DeviceName::new("cgm").expect("a name");
            let of = (&cgm, (at % 2 == 0).then_some(device));
            let body = observation("cgm/1", &reading, Whose::Of(patient), of, Time::from_unix(at));
            let document = Document::read(&body, &Limits::RESOURCE).expect("JSON");
            let asked = Asked { kind: Kind::OBSERVATION, bases: &[], mark: None };
            let prepared = prepare(document.root(), Definitions::r4(), asked);
            prop_assert!(prepared.is_ok(), "{:?}: {}", prepared, String::from_utf8_lossy(&body));
        }
    }
}
