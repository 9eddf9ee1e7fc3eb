//! What a scope with a search gives (SMART App Launch 2.2, "Finer-grained resource constraints using search parameters"): of all
//! Observations the vital signs alone, however they are asked for.

use super::case::{Given, Told, ensure, failed};
use super::oracle::like;
use super::standalone::entries;
use super::subject::Subject;
use serde_json::{Value, json};

const SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const SEEN: &str = "vital-signs";
const HIDDEN: &str = "laboratory";

/// What the scope has behind its question mark.
pub(super) fn constraint() -> String {
    format!("category={SYSTEM}|{SEEN}")
}

/// One reading that the scope gives, and one that it does not.
pub(super) struct Parts {
    seen: String,
    hidden: String,
}

/// Writes them, for this patient.
pub(super) async fn plant(subject: &Subject, token: &str, patient: &str) -> Given<Parts> {
    let reading = |category: &str| {
        json!({
            "resourceType": "Observation", "status": "final",
            "category": [{ "coding": [{ "system": SYSTEM, "code": category }] }],
            "code": { "coding": [{ "system": "http://loinc.org", "code": "8867-4" }] },
            "subject": { "reference": format!("Patient/{patient}") }, "effectiveDateTime": "2031-01-01T08:00:00Z",
            "valueQuantity": { "value": 61, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min" },
        })
    };
    let seen = subject.write(token, &reading(SEEN)).await?;
    let hidden = subject.write(token, &reading(HIDDEN)).await?;
    Ok(Parts { seen, hidden })
}

/// Who has a token for the scope `given` sees the one and not the other, nor anything like it.
pub(super) async fn are_all_it_sees(subject: &Subject, given: &str, token: &str, planted: Option<&Parts>) -> Told {
    // Servers may write it in other letters.
    let constraint = given.split_once('?').map(|(_, constraint)| constraint.to_owned());
    let constraint = constraint.ok_or_else(|| failed(format!("{given} was given, and less was asked")))?;
    let constraint: Vec<_> = form_urlencoded::parse(constraint.as_bytes()).collect();
    let asked = format!("{SYSTEM}|{SEEN}");
    ensure(
        constraint.iter().any(|(name, value)| name == "category" && *value == asked),
        format!("{given} was given, and category={asked} was asked"),
    )?;
    for query in ["_count=50", "_count=50&_sort=-date", &format!("_count=50&category={SEEN},{HIDDEN}")] {
        let answer = subject.get(&format!("Observation?{query}"), token).await?;
        ensure(answer.status.is_success(), answer.to_string())?;
        for found in entries(&answer) {
            ensure(is_seen(&found), format!("?{query}: Observation/{} is another", found["id"]))?;
        }
    }
    let Some(Parts { seen, hidden }) = planted else { return Ok(()) };
    let read = subject.get(&format!("Observation/{seen}"), token).await?;
    ensure(read.status.is_success(), format!("what it is good for is not read: {read}"))?;
    let found = subject.get(&format!("Observation?_id={seen},{hidden}"), token).await?;
    let found: Vec<String> = entries(&found).iter().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect();
    ensure(found == std::slice::from_ref(seen), format!("of _id={seen},{hidden} it finds {found:?}"))?;
    for path in ["", "/_history/1", "/_history"] {
        let of = async |id: &str| subject.get(&format!("Observation/{id}{path}"), token).await;
        let (hidden, nothing) = (of(hidden).await?, of(&like(hidden)).await?);
        ensure(!hidden.status.is_success(), hidden.to_string())?;
        ensure(
            hidden.status == nothing.status,
            format!("{path}: what is not seen is answered {}, and what is not there {}", hidden.status, nothing.status),
        )?;
    }
    for query in [format!("Observation?category={HIDDEN}&_summary=count"), format!("Observation?_id={hidden}")] {
        let answer = subject.get(&query, token).await?;
        let total = answer.json()["total"].as_u64().unwrap_or_default();
        ensure(entries(&answer).is_empty() && total == 0, format!("{query} says that there are {total}"))?;
    }
    Ok(())
}

fn is_seen(found: &Value) -> bool {
    let categories = found["category"].as_array().into_iter().flatten();
    let mut codings = categories.flat_map(|one| one["coding"].as_array().into_iter().flatten());
    codings.any(|one| one["system"] == SYSTEM && one["code"] == SEEN)
}
