//! The words of a Consent that are understood, and what each means here.

use super::{Purpose, Purposes};
use crate::access::{Verb, Verbs};
use crate::kind::Kind;

/// Code systems of FHIR R4's Consent.
pub(super) const SCOPE: &str = "http://terminology.hl7.org/CodeSystem/consentscope";
pub(super) const ACTION: &str = "http://terminology.hl7.org/CodeSystem/consentaction";
pub(super) const RULE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
pub(super) const ROLE: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
pub(super) const PURPOSE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
pub(super) const CLASS: &str = "http://hl7.org/fhir/resource-types";
const CONFIDENTIALITY: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";

/// Levels of confidentiality, the least first.
const LEVELS: [&str; 6] = ["U", "L", "M", "N", "R", "V"];

/// Whether an actor in this role is somebody who reads or writes here.
pub(super) fn is_recipient(role: &str) -> bool {
    matches!(role, "IRCP" | "PRCP")
}

/// Whether a policy rule permits (`Some(false)`) or denies (`Some(true)`) what the provisions do not except.
pub(super) fn rule(code: &str) -> Option<bool> {
    match code {
        "OPTIN" | "OPTINR" => Some(false),
        "OPTOUT" | "OPTOUTE" => Some(true),
        _ => None,
    }
}

/// What is done here that an action names. Who reads here has access, uses, and is disclosed to: to deny any of these takes
/// reading, and only access gives it.
pub(super) fn verbs(action: &str, deny: bool) -> Option<Verbs> {
    let reading = [Verb::Read, Verb::Search];
    Some(match action {
        "access" => Verbs::of(reading),
        "use" | "disclose" if deny => Verbs::of(reading),
        "use" | "disclose" => Verbs::default(),
        "collect" => Verbs::of([Verb::Create]),
        "correct" => Verbs::of([Verb::Update, Verb::Delete]),
        _ => return None,
    })
}

/// Of the purposes that callers here have, those that a purpose of use includes. What nobody asks for here includes none.
pub(super) fn purposes(code: &str) -> Purposes {
    match code {
        "PurposeOfUse" => Purposes::all(),
        "TREAT" => Purposes::of([Purpose::Treatment]),
        "PATRQT" => Purposes::of([Purpose::PatientRequest]),
        _ => Purposes::default(),
    }
}

/// The codes of labels that a label of a provision covers. A permit for a level of confidentiality is one for the levels below
/// too (FHIR R4, Consent.provision.securityLabel); a deny of it is one of those above.
pub(super) fn labels<'c>(system: &str, code: &'c str, deny: bool) -> Vec<&'c str> {
    let level = LEVELS.iter().position(|level| system == CONFIDENTIALITY && *level == code);
    match level {
        None => vec![code],
        Some(level) => {
            let covered = LEVELS.iter().enumerate().filter(|(of, _)| if deny { *of >= level } else { *of <= level });
            covered.map(|(_, code)| *code).collect()
        }
    }
}

/// The kind that a class names: a set of numbers as bits; none for one that is not kept here.
pub(super) fn class(name: &str) -> i64 {
    Kind::named(name).map_or(0, bit)
}

/// The bit of a kind.
pub(super) fn bit(kind: Kind) -> i64 {
    1_i64.checked_shl(u32::from(kind.number())).unwrap_or(0)
}
