//! Whether an answer is one: no failure within, each refusal says why, and what is given can be read.

use crate::conformance::web::Answer;
use http::{Method, StatusCode};
use serde_json::Value;

/// What is wrong with it.
pub(super) fn answer(method: &Method, answer: &Answer) -> Result<(), &'static str> {
    let status = answer.status;
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err("too many requests were made: let this address ask more often");
    }
    if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
        return Err("it failed within");
    }
    if *method == Method::HEAD {
        return Ok(());
    }
    let told: Option<Value> = serde_json::from_slice(&answer.body).ok();
    if status.is_client_error() || status.is_server_error() {
        let told = told.ok_or("a refusal is no JSON")?;
        return outcome(&told);
    }
    if answer.body.is_empty() {
        return Ok(());
    }
    let told = told.ok_or("what is given is no JSON")?;
    if !told["resourceType"].is_string() {
        return Err("what is given is no resource");
    }
    if !answer.header("content-type").starts_with("application/fhir+json") {
        return Err("its content-type is not application/fhir+json");
    }
    for entry in told["entry"].as_array().into_iter().flatten() {
        let status = entry["response"]["status"].as_str().unwrap_or_default();
        if status.starts_with('5') && !status.starts_with("501") {
            return Err("an entry failed within");
        }
        if status.starts_with('4') {
            outcome(&entry["response"]["outcome"])?;
        }
    }
    Ok(())
}

/// A refusal says what and why.
fn outcome(told: &Value) -> Result<(), &'static str> {
    if told["resourceType"] != "OperationOutcome" {
        return Err("a refusal is no OperationOutcome");
    }
    let issues = told["issue"].as_array().filter(|issues| !issues.is_empty()).ok_or("a refusal has no issue")?;
    let says = |issue: &Value| {
        issue["severity"].is_string()
            && issue["code"].is_string()
            && (issue["diagnostics"].is_string() || issue["details"]["text"].is_string())
    };
    if issues.iter().all(says) { Ok(()) } else { Err("an issue has no severity, no code or no diagnostics") }
}

/// What was written, by kind and identifier.
pub(super) fn written(answer: &Answer) -> Vec<(String, String)> {
    let place = |location: &str| {
        let mut parts = location.split("/_history/").next()?.rsplit('/');
        let (id, kind) = (parts.next()?, parts.next()?);
        Some((kind.to_owned(), id.to_owned()))
    };
    if answer.status == StatusCode::CREATED {
        return place(answer.header("location")).into_iter().collect();
    }
    let told = answer.json();
    let entries = told["entry"].as_array().cloned().unwrap_or_default();
    let created = entries
        .iter()
        .filter(|entry| entry["response"]["status"].as_str().is_some_and(|status| status.starts_with("201")));
    created.filter_map(|entry| place(entry["response"]["location"].as_str()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn given(status: u16, of: &str, body: &Value) -> Answer {
        let mut headers = http::HeaderMap::new();
        headers.insert("content-type", of.parse().expect("a header"));
        let status = StatusCode::from_u16(status).expect("a status");
        Answer { to: "GET /".into(), status, headers, body: body.to_string().into(), took: std::time::Duration::ZERO }
    }

    /// Shows REQ-FUZZ-23: an answer that fails, says nothing or cannot be read is told from one that is right.
    #[test]
    fn answers_are_told_apart() {
        let fhir = "application/fhir+json; charset=utf-8";
        let outcome = json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": "invalid", "diagnostics": "why" }] });
        let silent =
            json!({ "resourceType": "OperationOutcome", "issue": [{ "severity": "error", "code": "invalid" }] });
        let bundle = |status: &str, outcome: &Value| json!({ "resourceType": "Bundle", "entry": [{ "response": { "status": status, "outcome": outcome } }] });
        let patient = json!({ "resourceType": "Patient" });
        for (right, status, of, body) in [
            (true, 200, fhir, &patient),
            (false, 200, "application/json", &patient),
            (false, 200, fhir, &json!({ "id": "1" })),
            (true, 404, fhir, &outcome),
            (false, 404, fhir, &patient),
            (false, 404, fhir, &silent),
            (false, 400, fhir, &json!({ "resourceType": "OperationOutcome", "issue": [] })),
            (false, 500, fhir, &outcome),
            (false, 503, fhir, &outcome),
            (true, 200, fhir, &bundle("404 Not Found", &outcome)),
            (false, 200, fhir, &bundle("404 Not Found", &silent)),
            (false, 200, fhir, &bundle("500 Internal Server Error", &outcome)),
        ] {
            assert_eq!(answer(&Method::GET, &given(status, of, body)).is_ok(), right, "{status} {of} {body}");
        }
        let made = json!({ "resourceType": "Bundle", "entry": [{ "response": { "status": "201 Created", "location": "http://a/fhir/Patient/p1/_history/1" } }] });
        assert_eq!(written(&given(200, fhir, &made)), [("Patient".to_owned(), "p1".to_owned())]);
    }
}
