//! An entry as an AuditEvent: the patterns of IHE BALP 1.1.3 for what is asked over REST, one event for each patient.

use super::entry::{By, Entry};
use super::note::Act;
use crate::DEVICE_SYSTEM;
use crate::access::Verb;
use crate::kind::{Id, Kind, Millis, Row};
use crate::moment;
use crate::store::{Events, Noted};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

const PROFILE: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.";
const TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-event-type";
const INTERACTION: &str = "http://hl7.org/fhir/restful-interaction";
const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
const ENTITY: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const SOURCE: &str = "http://terminology.hl7.org/CodeSystem/security-source-type";
/// Breaking the glass is a reason of this system.
const REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
/// The system of the identifiers of software.
const CLIENT_SYSTEM: &str = "urn:medlock:fhir:client";
/// The system of marks and codes of refusals.
const CODE_SYSTEM: &str = "urn:medlock:fhir:code";

/// What is told of one entry.
#[derive(Debug)]
pub(crate) struct Event<'e> {
    pub(crate) id: &'e str,
    pub(crate) at: Millis,
    pub(crate) entry: &'e Entry,
    /// What it was about, as it is here.
    pub(crate) what: Option<(Kind, Id)>,
    pub(crate) patient: Option<Id>,
    /// The Consents that decided.
    pub(crate) consents: Vec<Id>,
    /// The name of the software that asked.
    pub(crate) client: Option<&'e str>,
    /// The person who asked.
    pub(crate) person: Option<&'e Person>,
    /// Whether its reader may see what was searched for: it may name others.
    pub(crate) with_query: bool,
    /// The address of the server.
    pub(crate) server: &'e str,
}

/// A person who asked.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) id: String,
}

impl<'e> Event<'e> {
    /// One of a page, which knows what its entry names.
    pub(crate) fn of(page: &'e Events, noted: &'e Noted, id: &'e str, server: &'e str) -> Self {
        let resource = |row: Row| page.resources.get(&row.0).copied();
        let entry = &noted.entry;
        Self {
            id,
            at: noted.at,
            entry,
            what: entry.row.and_then(resource),
            patient: noted.patient.and_then(resource).map(|(_, id)| id),
            consents: entry.consents.iter().filter_map(|row| Some(resource(*row)?.1)).collect(),
            client: entry.by.client().and_then(|client| page.clients.get(client)).map(String::as_str),
            person: entry.by.account().and_then(|account| page.people.get(&account)),
            with_query: page.of_all,
            server,
        }
    }

    pub(crate) fn resource(&self) -> Value {
        let entry = self.entry;
        let pattern = pattern(entry.verb);
        let mut event = json!({
            "resourceType": "AuditEvent",
            "id": self.id,
            "type": { "system": TYPE, "code": "rest", "display": "Restful Operation" },
            "subtype": [{ "system": INTERACTION, "code": self.interaction() }],
            "action": entry.action(),
            "recorded": moment::written(self.at),
            "outcome": entry.outcome(),
            "agent": self.agents(&pattern),
            "source": {
                "observer": { "display": "Medlock" , "type": "Device", "identifier": { "value": self.server } },
                "type": [{ "system": SOURCE, "code": "4", "display": "Application Server" }],
            },
        });
        let entities = self.entities();
        if !entities.is_empty() {
            event["entity"] = entities.into();
        }
        if let Some(((code, display), (subcode, subdisplay))) = entry.act.map(event_of) {
            event["type"] = json!({ "system": DCM, "code": code, "display": display });
            event["subtype"] = json!([{ "system": DCM, "code": subcode, "display": subdisplay }]);
        }
        if let Some(reason) = &entry.reason {
            event["purposeOfEvent"] = json!([{ "coding": [{ "system": REASON, "code": "BTG" }], "text": reason }]);
        }
        match &entry.refused {
            Some(code) => event["outcomeDesc"] = code.as_str().into(),
            // The patterns are of what was done with resources.
            None if entry.act.is_some() => {}
            None => {
                let of_patient = if self.patient.is_some() { "Patient" } else { "" };
                event["meta"] = json!({ "profile": [format!("{PROFILE}{of_patient}{}", pattern.name)] });
            }
        }
        event
    }

    fn interaction(&self) -> &'static str {
        match self.entry.verb {
            Verb::Create => "create",
            Verb::Read => "read",
            Verb::Update => "update",
            Verb::Delete => "delete",
            Verb::Search => "search-type",
        }
    }

    /// The software or device that asked, this server, and the person.
    fn agents(&self, pattern: &Pattern) -> Vec<Value> {
        let coded = |(system, code): (&str, &str)| json!({ "coding": [{ "system": system, "code": code }] });
        let entry = self.entry;
        let identified = |system: &str, value: &str, name: &str| json!({ "type": "Device", "identifier": { "system": system, "value": value }, "display": name });
        let who = match &entry.by {
            By::Device { name, .. } => identified(DEVICE_SYSTEM, name, name),
            By::Software { client } | By::Person { client, .. } => {
                identified(CLIENT_SYSTEM, client, self.client.unwrap_or(client))
            }
        };
        let of_person = matches!(entry.by, By::Person { .. });
        let mut client = json!({ "type": coded(pattern.client), "who": who, "requestor": !of_person });
        if !entry.origin.is_empty() {
            client["network"] = network(&entry.origin);
        }
        if let By::Device { credential, .. } = &entry.by {
            client["altId"] = credential.as_str().into();
        }
        if entry.leave > 0 {
            client["policy"] = json!([format!("urn:medlock:fhir:leave:{}", entry.leave)]);
        }
        if let Some(mark) = &entry.mark {
            client["role"] = json!([{ "coding": [{ "system": CODE_SYSTEM, "code": mark }] }]);
        }
        let server = json!({
            "type": coded(pattern.server),
            "who": { "display": "Medlock", "type": "Device", "identifier": { "value": self.server } },
            "requestor": false,
            "network": { "address": self.server, "type": "5" },
        });
        let mut agents = vec![client, server];
        if let By::Person { account, .. } = &entry.by {
            let mut who = match self.person {
                Some(person) => {
                    json!({ "reference": format!("{}/{}", person.kind, person.id), "display": person.name })
                }
                None => json!({ "display": format!("account {account}, which was removed") }),
            };
            if let Some((issuer, subject)) = &entry.provider {
                who["identifier"] = json!({ "system": issuer, "value": subject });
            }
            agents.push(json!({ "type": coded((PARTICIPATION, pattern.person)), "who": who, "requestor": true }));
        }
        agents
    }

    fn entities(&self) -> Vec<Value> {
        let coding = |system: &str, code: &str| json!({ "system": system, "code": code });
        let mut entities = Vec::new();
        if let Some(patient) = self.patient {
            entities.push(json!({
                "what": { "reference": format!("Patient/{patient}") },
                "type": coding(ENTITY, "1"), "role": coding(ROLE, "1"),
            }));
        }
        let entry = self.entry;
        if let Some(act) = entry.act {
            entities.extend(means(act, entry.query.as_deref()));
            return entities;
        }
        if entry.verb == Verb::Search || entry.query.is_some() {
            let mut query =
                json!({ "type": coding(ENTITY, "2"), "role": coding(ROLE, "24"), "name": entry.kind.name() });
            if let Some(text) = entry.query.as_ref().filter(|text| self.with_query && !text.is_empty()) {
                query["query"] = BASE64.encode(text).into();
            }
            entities.push(query);
        } else {
            let mut data = json!({ "type": coding(ENTITY, "2"), "role": coding(ROLE, "4"), "name": entry.kind.name() });
            if let Some((kind, id)) = self.what {
                let version = entry.version.map(|version| format!("/_history/{version}")).unwrap_or_default();
                data["what"] = json!({ "reference": format!("{kind}/{id}{version}") });
            }
            entities.push(data);
        }
        entities.extend(self.consents.iter().map(|consent| {
            json!({
                "what": { "reference": format!("Consent/{consent}") },
                "type": coding(ENTITY, "2"), "role": coding(ROLE, "14"), "name": "Consent",
            })
        }));
        entities
    }
}

/// What an act of sign-in is among the events of DICOM PS3.15, and of which sort: each a code with its name.
const fn event_of(act: Act) -> ((&'static str, &'static str), (&'static str, &'static str)) {
    match act {
        Act::Code | Act::Passkey | Act::Provider => (("110114", "User Authentication"), ("110122", "Login")),
        Act::Agree => (("110113", "Security Alert"), ("110137", "User Security Attributes Changed")),
        Act::Open => (("110100", "Application Activity"), ("110120", "Application Start")),
    }
}

/// By what somebody signed in, or what was agreed to.
fn means(act: Act, scopes: Option<&str>) -> Option<Value> {
    let entity = |role: &str, name: &str| json!({ "type": { "system": ENTITY, "code": "2" }, "role": { "system": ROLE, "code": role }, "name": name });
    match act {
        Act::Code => Some(entity("13", "setup code")),
        Act::Passkey => Some(entity("13", "passkey")),
        Act::Provider | Act::Open => None,
        Act::Agree => {
            let mut agreed = entity("14", "scope");
            agreed["detail"] = json!([{ "type": "scope", "valueString": scopes? }]);
            Some(agreed)
        }
    }
}

/// What differs between the patterns.
struct Pattern {
    name: &'static str,
    client: (&'static str, &'static str),
    server: (&'static str, &'static str),
    /// What a person takes part as.
    person: &'static str,
}

/// Source 110153, destination 110152: data flows from the one to the other; of a query its parameters do.
fn pattern(verb: Verb) -> Pattern {
    const SENDS: (&str, &str) = (DCM, "110153");
    const TAKES: (&str, &str) = (DCM, "110152");
    let of = |name, client, server, person| Pattern { name, client, server, person };
    match verb {
        Verb::Create => of("Create", SENDS, TAKES, "AUT"),
        Verb::Read => of("Read", TAKES, SENDS, "IRCP"),
        Verb::Update => of("Update", SENDS, TAKES, "AUT"),
        Verb::Delete => of("Delete", (DCM, "110150"), (PARTICIPATION, "CST"), "AUT"),
        Verb::Search => of("Query", SENDS, TAKES, "IRCP"),
    }
}

/// An address; what is none is a name (network types 2 and 1).
fn network(origin: &str) -> Value {
    let address = origin.parse::<std::net::SocketAddr>().map(|address| address.ip().to_canonical());
    match address.or_else(|_| origin.parse()) {
        Ok(address) => json!({ "address": address.to_string(), "type": "2" }),
        Err(_) => json!({ "address": origin, "type": "1" }),
    }
}
