//! Where what a device wrote came from: who it was, what the judge said of it, on what that rests, and that its credential is in
//! its authority's log. A Provenance says it, for all that one device wrote in a while while nothing of this changed; what it
//! says is checked offline by `medlock inspect`.
//!
//! The Provenance of a row is the row's `statement`: which targets it has is told when it is read, and only of those that its
//! reader may see.

use crate::DEVICE_SYSTEM;
use crate::kind::{Id, Kind, Millis, Version};
use crate::moment;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use medlock_trust::decide::Code;
use medlock_trust::{CredentialId, DeviceName, Operation};
use serde_json::{Value, json};
use std::sync::Arc;

/// The extension with what the Provenance rests on.
pub const EVIDENCE: &str = "urn:medlock:fhir:evidence";
/// The kinds whose rows have a Provenance when a device writes them.
pub(crate) const TESTIFIED: [Kind; 4] =
    [Kind::OBSERVATION, Kind::MEDICATION_ADMINISTRATION, Kind::DIAGNOSTIC_REPORT, Kind::IMAGING_STUDY];
/// The system of what an agent of a Provenance is.
pub(crate) const PARTICIPANT: &str = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";

/// The versions of what a verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Basis {
    /// The site list.
    pub site_list: Option<u64>,
    /// The status list.
    pub status: Option<u64>,
    /// The policy.
    pub policy: Option<u64>,
}

/// Who writes, and what the judge said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Testimony {
    /// Its name in the register.
    pub name: DeviceName,
    /// Its credential.
    pub credential: CredentialId,
    /// What it showed, its own certificate first.
    pub chain: Arc<[Vec<u8>]>,
    /// On what the verdict rests.
    pub basis: Basis,
    /// That the credential is in its authority's log (C2SP tlog-proof).
    pub proof: Option<Arc<[u8]>>,
}

/// What a device is for what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// It measured it.
    Author,
    /// It puts together what others measured.
    Assembler,
}

impl Part {
    /// Of a device that works for others, or for itself.
    pub(crate) const fn of(for_others: bool) -> Self {
        if for_others { Self::Assembler } else { Self::Author }
    }

    /// Its code in [`PARTICIPANT`].
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Author => "author",
            Self::Assembler => "assembler",
        }
    }
}

/// What has to be the same for one Provenance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Same {
    name: DeviceName,
    credential: CredentialId,
    part: Part,
    operation: Operation,
    mark: Option<Code>,
    basis: Basis,
    proven: bool,
}

/// A testimony on one operation.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) testimony: Arc<Testimony>,
    pub(crate) part: Part,
    pub(crate) operation: Operation,
    pub(crate) mark: Option<Code>,
}

impl Statement {
    pub(crate) fn same(&self) -> Same {
        let Testimony { name, credential, basis, proof, .. } = &*self.testimony;
        Same {
            name: *name,
            credential: *credential,
            part: self.part,
            operation: self.operation,
            mark: self.mark,
            basis: *basis,
            proven: proof.is_some(),
        }
    }

    /// The Provenance without its targets; `device`: the Device that it is here.
    pub(crate) fn resource(&self, at: Millis, device: Option<Id>) -> Value {
        let name = &self.testimony.name;
        let mut who = json!({
            "type": "Device",
            "identifier": { "system": DEVICE_SYSTEM, "value": name.as_str() },
            "display": name.as_str(),
        });
        if let Some(device) = device {
            who["reference"] = format!("Device/{device}").into();
        }
        json!({
            "resourceType": "Provenance",
            "extension": [{ "url": EVIDENCE, "extension": self.evidence() }],
            "recorded": moment::written(at),
            "agent": [{ "type": { "coding": [{ "system": PARTICIPANT, "code": self.part.code() }] }, "who": who }],
        })
    }

    fn evidence(&self) -> Vec<Value> {
        let Testimony { credential, chain, basis, proof, .. } = &*self.testimony;
        let text = |url: &str, value: String| json!({ "url": url, "valueString": value });
        let code = |url: &str, value: &str| json!({ "url": url, "valueCode": value });
        let bytes = |url: &str, value: &[u8]| json!({ "url": url, "valueBase64Binary": BASE64.encode(value) });
        let mut all = vec![text("credential", credential.to_string())];
        all.extend(chain.iter().map(|certificate| bytes("certificate", certificate)));
        all.push(code("operation", self.operation.name()));
        all.push(code("verdict", "allow"));
        all.extend(self.mark.map(|mark| code("mark", mark.as_str())));
        let versions = [("site-list", basis.site_list), ("status", basis.status), ("policy", basis.policy)];
        // A version may be beyond FHIR's integers.
        all.extend(versions.into_iter().filter_map(|(url, version)| Some(text(url, version?.to_string()))));
        all.extend(proof.as_ref().map(|proof| bytes("log-proof", proof)));
        all
    }
}

/// The Provenance as it is given: with these targets. Where its reader sees none, it says that there are some.
pub(crate) fn with_targets(body: &[u8], targets: &[(Kind, Id, Version)]) -> Vec<u8> {
    let list: Vec<String> = targets
        .iter()
        .map(|(kind, id, version)| format!("{{\"reference\":\"{kind}/{id}/_history/{version}\"}}"))
        .collect();
    let list = if list.is_empty() { "{\"display\":\"what is not in sight\"}".to_owned() } else { list.join(",") };
    let open = body.strip_suffix(b"}").unwrap_or(body);
    [open, b",\"target\":[", list.as_bytes(), b"]}"].concat()
}
