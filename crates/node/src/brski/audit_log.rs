//! What a maker tells of a device's vouchers (RFC 8995 section 5.8).

use super::Refused;
use crate::provider::sha256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use medlock_trust::x509::Certificate;
use serde::{Deserialize, Deserializer, Serialize};

/// Where a registrar asks a MASA for the log of a device.
pub const REQUEST_AUDIT_LOG: &str = "/.well-known/brski/requestauditlog";
/// What is counted no further (RFC 8995 section 5.8.1).
const MOST_TRUNCATED: u64 = 1_024;

/// The vouchers of one device, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct AuditLog {
    /// 1; a later version adds to it and takes nothing away.
    #[serde(deserialize_with = "number")]
    pub version: u64,
    /// The vouchers.
    pub events: Vec<AuditEvent>,
    /// How many were left out.
    #[serde(default)]
    pub truncation: Truncation,
}

/// One voucher.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct AuditEvent {
    /// When it was made, RFC 3339.
    pub date: String,
    /// For whom: [`domain_id`] in base64.
    #[serde(rename = "domainID")]
    pub domain_id: String,
    /// What the device had asked with; `None` for a voucher that is good for a time.
    pub nonce: Option<String>,
    /// How the maker knew that the device belongs there.
    pub assertion: String,
    /// How many of the same domain, with a nonce or without one as this is, were left out.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "is_zero")]
    pub truncated: u64,
}

/// How many vouchers a log leaves out, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Truncation {
    /// Of a domain that has a newer one with a nonce.
    #[serde(rename = "nonced duplicates", deserialize_with = "number")]
    pub nonced_duplicates: u64,
    /// Of a domain that has a newer one without a nonce.
    #[serde(rename = "nonceless duplicates", deserialize_with = "number")]
    pub nonceless_duplicates: u64,
    /// Because there were too many.
    #[serde(deserialize_with = "number")]
    pub arbitrary: u64,
}

const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A number, which the example of RFC 8995 writes as text.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    match Either::deserialize(from)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

impl AuditLog {
    /// Of these vouchers, newest first, the newest of each domain with a nonce and without, and how many more there were.
    /// Each is counted once: `arbitrary` are those that were not even read.
    #[must_use]
    pub fn of(events: impl IntoIterator<Item = AuditEvent>, arbitrary: u64) -> Self {
        let mut log =
            Self { version: 1, events: Vec::new(), truncation: Truncation { arbitrary, ..Default::default() } };
        for event in events {
            let same = |held: &&mut AuditEvent| {
                held.domain_id == event.domain_id && held.nonce.is_some() == event.nonce.is_some()
            };
            match log.events.iter_mut().find(same) {
                None => log.events.push(event),
                Some(held) => {
                    let more = if event.nonce.is_some() {
                        &mut log.truncation.nonced_duplicates
                    } else {
                        &mut log.truncation.nonceless_duplicates
                    };
                    *more = (*more + 1).min(MOST_TRUNCATED);
                    held.truncated = (held.truncated + 1).min(MOST_TRUNCATED);
                }
            }
        }
        log
    }

    /// Reads a maker's answer.
    ///
    /// # Errors
    /// [`Refused::Form`].
    pub fn read(json: &[u8]) -> Result<Self, Refused> {
        serde_json::from_slice(json).map_err(|error| Refused::Form(error.to_string()))
    }

    /// As it is sent.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers, which JSON has")
    }
}

/// What a domain is called in such a log (RFC 8995 section 5.8.2), in base64: the subject key identifier of the certificate
/// that vouchers pin or, where that has none, SHA-256 of its `SubjectPublicKeyInfo`. `None` for what is no certificate.
#[must_use]
pub fn domain_id(pinned: &[u8]) -> Option<String> {
    let pinned = Certificate::from_der(pinned).ok()?;
    let fingerprint = sha256(pinned.spki());
    Some(STANDARD.encode(pinned.extensions().subject_key_id().unwrap_or(&fingerprint)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(domain: &str, nonce: Option<&str>, date: &str) -> AuditEvent {
        let (domain_id, nonce) = (domain.to_owned(), nonce.map(str::to_owned));
        AuditEvent { date: date.to_owned(), domain_id, nonce, assertion: "verified".to_owned(), truncated: 0 }
    }

    /// Shows REQ-PROV-50.
    #[test]
    fn the_newest_of_each_domain_stays_and_the_others_are_counted() {
        let events = [
            event("A", Some("5"), "5"),
            event("B", None, "4"),
            event("A", Some("3"), "3"),
            event("A", None, "2"),
            event("A", Some("1"), "1"),
        ];
        let log = AuditLog::of(events, 7);
        let kept: Vec<_> = log.events.iter().map(|event| (event.date.as_str(), event.truncated)).collect();
        assert_eq!(kept, [("5", 2), ("4", 0), ("2", 0)]);
        let counted = Truncation { nonced_duplicates: 2, nonceless_duplicates: 0, arbitrary: 7 };
        assert_eq!(log.truncation, counted);
        assert_eq!(AuditLog::read(&log.write()), Ok(log));
    }

    /// Shows REQ-PROV-50: figure 18 of RFC 8995 writes numbers as text, its CDDL has numbers.
    #[test]
    fn both_forms_of_the_standard_are_read() {
        let text = r#"{"version":"1","events":[{"date":"2019-05-15T17:25:55.644-04:00","domainID":"AA==","nonce":null,
            "assertion":"proximity","truncated":"3"}],"truncation":{"nonced duplicates":"0","arbitrary":2},"more":[]}"#;
        let log = AuditLog::read(text.as_bytes()).unwrap();
        assert_eq!((log.version, log.events[0].truncated, log.truncation.arbitrary), (1, 3, 2));
        assert!(log.events[0].nonce.is_none());
        for wrong in
            ["", "[]", r#"{"version":1}"#, r#"{"version":1,"events":[{"date":"x"}]}"#, r#"{"version":-1,"events":[]}"#]
        {
            assert!(AuditLog::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let empty = r#"{"version":1,"events":[]}"#;
        assert!(AuditLog::read(empty.as_bytes()).unwrap().events.is_empty());
    }
}
