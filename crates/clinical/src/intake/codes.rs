//! Codes of IEEE 11073-10101 and what others call the same.

use medlock_proto::reading::Mdc;

/// The system of the codes of IEEE 11073-10101 in FHIR.
pub(super) const MDC: &str = "urn:iso:std:iso:11073:10101";
/// The system of LOINC.
pub(super) const LOINC: &str = "http://loinc.org";
/// The system of UCUM.
pub(super) const UCUM: &str = "http://unitsofmeasure.org";

/// The category of what is measured in a fluid of the body, as HL7's guide for glucose monitors has it.
const LABORATORY: &str = "laboratory";
/// The category of what is measured of breath, heart, blood pressure, temperature and weight.
const VITAL_SIGNS: &str = "vital-signs";

/// What LOINC calls a measurement, where that depends on the unit too.
struct Named {
    code: Mdc,
    /// Only in this unit.
    unit: Option<Mdc>,
    reference_id: &'static str,
    loinc: &'static str,
    category: &'static str,
}

const fn vital(code: u32, reference_id: &'static str, loinc: &'static str) -> Named {
    Named { code: Mdc(code), unit: None, reference_id, loinc, category: VITAL_SIGNS }
}

const fn glucose(unit: Mdc, loinc: &'static str) -> Named {
    let reference_id = "MDC_CONC_GLU_ISF";
    Named { code: Mdc::CONC_GLU_ISF, unit: Some(unit), reference_id, loinc, category: LABORATORY }
}

/// Glucose as HL7's guide for glucose monitors names it, the others as the vital signs of R4 and HL7's guide for personal
/// health devices do. What is not here goes by its number.
const NAMED: [Named; 10] = [
    glucose(Mdc::DIM_MILLI_G_PER_DL, "99504-3"),
    glucose(Mdc::DIM_MILLI_MOLE_PER_L, "105272-9"),
    vital(147_842, "MDC_ECG_HEART_RATE", "8867-4"),
    vital(149_530, "MDC_PULS_OXIM_PULS_RATE", "8867-4"),
    vital(150_456, "MDC_PULS_OXIM_SAT_O2", "2708-6"),
    vital(150_364, "MDC_TEMP_BODY", "8310-5"),
    vital(151_562, "MDC_RESP_RATE", "9279-1"),
    vital(150_021, "MDC_PRESS_BLD_NONINV_SYS", "8480-6"),
    vital(150_022, "MDC_PRESS_BLD_NONINV_DIA", "8462-4"),
    vital(188_736, "MDC_MASS_BODY_ACTUAL", "29463-7"),
];

/// A measurement in the words of others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Measurement {
    /// Its name in IEEE 11073-10101.
    pub(super) reference_id: &'static str,
    /// Its code in LOINC; none where the unit is one for which LOINC has another.
    pub(super) loinc: Option<&'static str>,
    /// Its category in FHIR.
    pub(super) category: &'static str,
}

/// What is measured; `None`: it goes by its number.
pub(super) fn measurement(code: Mdc, unit: Mdc) -> Option<Measurement> {
    let named = NAMED.iter().find(|named| named.code == code && named.unit.is_none_or(|of| of == unit));
    let any = named.or_else(|| NAMED.iter().find(|named| named.code == code))?;
    Some(Measurement { reference_id: any.reference_id, loinc: named.map(|named| named.loinc), category: any.category })
}

/// A unit in UCUM; `None`: it goes by its number.
pub(super) fn ucum(unit: Mdc) -> Option<&'static str> {
    Some(match unit {
        Mdc::DIM_MILLI_G_PER_DL => "mg/dL",
        Mdc::DIM_MILLI_MOLE_PER_L => "mmol/L",
        // MDC_DIM_DIMLESS, MDC_DIM_PERCENT
        Mdc(262_656) => "1",
        Mdc(262_688) => "%",
        // MDC_DIM_BEAT_PER_MIN, MDC_DIM_RESP_PER_MIN
        Mdc(264_864 | 264_928) => "/min",
        // MDC_DIM_MMHG, MDC_DIM_KILO_PASCAL
        Mdc(266_016) => "mm[Hg]",
        Mdc(265_987) => "kPa",
        // MDC_DIM_DEGC
        Mdc(268_192) => "Cel",
        // MDC_DIM_KILO_G
        Mdc(263_875) => "kg",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-INTAKE-01.
    #[test]
    fn a_code_in_a_unit_of_another_code_of_loinc_has_none() {
        let loinc = |code, unit| measurement(code, unit).and_then(|found| found.loinc);
        assert_eq!(loinc(Mdc::CONC_GLU_ISF, Mdc::DIM_MILLI_G_PER_DL), Some("99504-3"));
        assert_eq!(loinc(Mdc::CONC_GLU_ISF, Mdc::DIM_MILLI_MOLE_PER_L), Some("105272-9"));
        let other = measurement(Mdc::CONC_GLU_ISF, Mdc(1)).expect("known");
        assert_eq!((other.loinc, other.reference_id), (None, "MDC_CONC_GLU_ISF"));
        assert_eq!(measurement(Mdc(1), Mdc(1)), None);
        assert_eq!(ucum(Mdc(1)), None);
    }

    #[test]
    fn units_are_of_the_partition_of_dimensions() {
        let known = (0..=u32::from(u16::MAX)).filter(|code| ucum(Mdc((4 << 16) + code)).is_some()).count();
        assert_eq!(known, 10);
        assert!((0..4 << 16).all(|code| ucum(Mdc(code)).is_none()));
    }
}
