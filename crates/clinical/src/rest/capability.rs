//! The CapabilityStatement: exactly what is served.

use super::{Door, audit};
use crate::definitions::{Definitions, SearchType};
use crate::kind::Kind;
use crate::query;
use crate::validate::CHECKED;
use serde_json::{Value, json};

/// When what is served last changed.
const DATE: &str = "2026-11-23";
const DOCUMENTATION: &str = "A resource has one patient and is seen within the rights of the token alone. Identifiers are given by the server. \
    Profiles, bindings that are not required, and units are not checked, nor are contained resources of other kinds. If-Match is obeyed where it is sent. A condition is by \
    identifier or _id, or by patient with code or date. What refers to a resource does not keep it from being deleted. \
    Active Consents are enforced in every statement; what cannot be enforced is refused. A scope of one kind may have search parameters of \
    codes and references, by their plain names: patient/Observation.rs?category=laboratory. \
    The documentation of a kind and of a search parameter says what it takes; what it does not say is refused. A search has at most 32 parameters of \
    64 values and 8192 bytes, a request 1 MiB, a Bundle 1000 entries. Histories and $everything take _count (0: the number alone) and _since, an instant.";

pub(super) fn statement(door: &Door) -> Vec<u8> {
    let settings = door.clinical.settings();
    let statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "instantiates": ["http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"],
        "software": { "name": "Medlock", "version": env!("CARGO_PKG_VERSION") },
        "implementation": { "description": "Medlock", "url": &*door.base },
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{
            "mode": "server",
            "extension": [{
                "url": "http://hl7.org/fhir/StructureDefinition/capabilitystatement-websocket",
                "valueUri": door.websocket(),
            }],
            "documentation": format!("{DOCUMENTATION} Rules that are checked: {}.", CHECKED.join(", ")),
            "security": security(door),
            "interaction": [{ "code": "transaction" }, { "code": "batch" }, { "code": "history-system" }],
            "operation": [
                operation("submit-cgm-bundle", "http://hl7.org/fhir/uv/cgm/OperationDefinition/submit-cgm-bundle"),
                operation("export", "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export"),
            ],
            "resource": settings.kinds.iter().map(|kind| resource(*kind, &settings.kinds)).collect::<Vec<_>>(),
        }],
    });
    serde_json::to_vec(&statement).unwrap_or_default()
}

fn operation(name: &str, definition: &str) -> Value {
    json!({ "name": name, "definition": definition })
}

fn security(door: &Door) -> Value {
    let (people, address) = (&door.clinical.settings().public_url, door.address());
    json!({
        "service": [{
            "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR" }],
        }],
        "extension": [{
            "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
            "extension": [
                { "url": "authorize", "valueUri": format!("{people}/auth/authorize") },
                { "url": "token", "valueUri": format!("{address}/auth/token") },
                { "url": "introspect", "valueUri": format!("{address}/auth/introspect") },
                { "url": "revoke", "valueUri": format!("{address}/auth/revoke") },
            ],
        }],
    })
}

/// The references of a kind, as `_include` names them; those that may be to `target` alone, if one is given.
fn references(kind: Kind, target: Option<Kind>) -> impl Iterator<Item = String> {
    let own = Definitions::r4().parameters.of(kind).filter(move |_| kind != Kind::AUDIT_EVENT);
    let references = own.filter(|parameter| parameter.sort == SearchType::Reference);
    let fitting = references.filter(move |parameter| {
        target.is_none_or(|target| parameter.names.iter().any(|name| *name == "*" || *name == target.name()))
    });
    fitting.map(move |parameter| format!("{kind}:{}", parameter.name))
}

fn resource(kind: Kind, kinds: &[Kind]) -> Value {
    let common = [("_id", "token"), ("_lastUpdated", "date")];
    let of_audit = kind == Kind::AUDIT_EVENT;
    let common = common
        .into_iter()
        .filter(|_| !of_audit)
        .map(|(name, of)| json!({ "name": name, "type": of, "documentation": query::of_all(name) }));
    let own = Definitions::r4().parameters.of(kind);
    let own = own.filter(|parameter| !of_audit || audit::PARAMETERS.contains(&parameter.name));
    let own = own.map(|parameter| {
        json!({
            "name": parameter.name,
            "type": parameter.sort.name(),
            "documentation": query::of_parameter(kind, parameter),
        })
    });
    let all: &[&str] = match kind {
        Kind::AUDIT_EVENT => &["read", "search-type"],
        Kind::PROVENANCE => &["read", "vread", "history-instance", "history-type", "search-type"],
        _ => &["create", "read", "vread", "update", "delete", "history-instance", "history-type", "search-type"],
    };
    let interactions: Vec<Value> = all.iter().map(|code| json!({ "code": code })).collect();
    let (written, kept) = (!kind.is_ours(), kind != Kind::AUDIT_EVENT);
    let mut operations = vec![operation("validate", "http://hl7.org/fhir/OperationDefinition/Resource-validate")];
    if kind == Kind::PATIENT {
        operations.push(operation("everything", "http://hl7.org/fhir/OperationDefinition/Patient-everything"));
        operations.push(operation("export", "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/patient-export"));
        operations.push(operation("break-glass", "urn:medlock:fhir:break-glass"));
        operations.push(operation("broken-glass", "urn:medlock:fhir:broken-glass"));
    }
    if kind == Kind::SUBSCRIPTION {
        operations.push(operation("get-ws-binding-token", "urn:medlock:fhir:get-ws-binding-token"));
    }
    json!({
        "operation": operations,
        "type": kind.name(),
        "documentation": query::of_kind(kind),
        "interaction": interactions,
        "versioning": if kept { "versioned-update" } else { "no-version" },
        "readHistory": kept,
        "updateCreate": false,
        "conditionalCreate": written,
        "conditionalRead": if kept { "full-support" } else { "not-supported" },
        "conditionalUpdate": written,
        "conditionalDelete": if written { "single" } else { "not-supported" },
        "referencePolicy": ["literal"],
        "searchInclude": references(kind, None).collect::<Vec<_>>(),
        "searchRevInclude": kinds.iter().filter(|_| !of_audit).flat_map(|of| references(*of, Some(kind))).collect::<Vec<_>>(),
        "searchParam": common.chain(own).collect::<Vec<_>>(),
    })
}
