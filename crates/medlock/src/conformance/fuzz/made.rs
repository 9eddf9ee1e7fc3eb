//! Requests that are made by chance, mostly wrong in one place.

use super::chance::Chance;
use super::statement::{Kind, Statement};
use super::{Asked, samples};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Identifiers of what is there, by kind.
type There = BTreeMap<String, Vec<String>>;

/// Parameters of searches that every kind has.
const COMMON: [&str; 16] = [
    "_id",
    "_lastUpdated",
    "_sort",
    "_count",
    "_include",
    "_revinclude",
    "_summary",
    "_total",
    "_elements",
    "_format",
    "_pretty",
    "_profile",
    "_tag",
    "_security",
    "_filter",
    "_has",
];
const MODIFIERS: [&str; 16] = [
    "",
    "",
    "",
    "",
    ":missing",
    ":not",
    ":exact",
    ":contains",
    ":text",
    ":of-type",
    ":identifier",
    ":above",
    ":Patient",
    ":no-such",
    ":",
    "::",
];

/// The request of this round.
pub(super) fn request(chance: &mut Chance, statement: &Statement, there: &There) -> Asked {
    let Some(kind) = chance.of(&statement.kinds) else { return Asked::new(Method::GET, "") };
    let mut asked = match chance.below(16) {
        0..5 => search(chance, kind, there),
        5..9 => write(chance, kind, there),
        9 | 10 => bundle(chance, statement, there),
        11 => operation(chance, kind, there),
        12 => history(chance, kind, there),
        13 => conditional(chance, kind, there),
        14 => place(chance, kind),
        _ => method(chance, kind, there),
    };
    if chance.once_in(6) {
        asked.headers.push(header(chance));
    }
    asked
}

/// An identifier of this kind that is there, or of none.
fn id(chance: &mut Chance, kind: &str, there: &There) -> String {
    match there.get(kind).filter(|_| !chance.once_in(4)).and_then(|ids| chance.of(ids)) {
        Some(id) => id.clone(),
        None => chance
            .text(&["1", "no-such-one", "A.-9", "00000000000000000000000000", "_history", "$everything"])
            .to_owned(),
    }
}

fn patient(there: &There) -> String {
    there.get("Patient").and_then(|ids| ids.first()).cloned().unwrap_or_else(|| "1".to_owned())
}

/// A parameter with its value.
fn parameter(chance: &mut Chance, kind: &Kind, there: &There) -> (String, String) {
    let reference = format!("Patient/{}", patient(there));
    let (name, of) = match chance.of(&kind.parameters).filter(|_| !chance.once_in(3)) {
        Some((name, of)) => (name.clone(), of.clone()),
        None => (chance.text(&COMMON).to_owned(), String::new()),
    };
    let other = chance.of(&kind.parameters).map_or("x", |(name, _)| name).to_owned();
    let include = chance.of(&kind.includes).or_else(|| chance.of(&kind.revincludes)).cloned().unwrap_or_default();
    let odd = chance.odd_text();
    match &*name {
        "_has" => (format!("_has:Observation:{}:code", chance.text(&["patient", "subject", "x", ""])), odd),
        "_sort" => (name, format!("{}{other},{}", chance.text(&["", "-", "--"]), chance.text(&["_id", "", "date"]))),
        "_include" | "_revinclude" => {
            let more = chance.text(&["", ":iterate", ":Patient", ":"]);
            (name, format!("{include}{more}"))
        }
        "_count" => (name, chance.text(&["0", "1", "-1", "1000000", "99999999999999999999", "x", ""]).to_owned()),
        "_summary" => (name, chance.text(&["true", "count", "text", "data", "false", "x"]).to_owned()),
        "_total" => (name, chance.text(&["none", "estimate", "accurate", "x"]).to_owned()),
        _ => {
            let chained = if of == "reference" && chance.once_in(3) {
                chance.text(&[".name", ".family", ":Patient.family", ".a.b.c", ".", ".identifier"])
            } else {
                chance.text(&MODIFIERS)
            };
            let value = chance.value(&of, &reference);
            (format!("{name}{chained}"), value)
        }
    }
}

fn query(chance: &mut Chance, kind: &Kind, there: &There) -> String {
    let mut pairs = Vec::new();
    for _ in 0..=chance.below(3) {
        let (name, value) = parameter(chance, kind, there);
        let (name, value) = (chance.escaped(&name), chance.escaped(&value));
        pairs.push(format!("{name}={value}"));
    }
    if chance.once_in(10) {
        pairs.push(
            chance
                .text(&["%", "%zz=1", "%ff=%fe", "code=%c0%af", "=", "&&", "code", "a=b=c", "code=+", "%00=1"])
                .to_owned(),
        );
    }
    pairs.join("&")
}

fn search(chance: &mut Chance, kind: &Kind, there: &There) -> Asked {
    let query = query(chance, kind, there);
    if chance.once_in(5) {
        let of = chance.text(&[
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded; charset=utf-16",
            "text/plain",
            "",
        ]);
        return Asked::new(Method::POST, format!("/{}/_search", kind.name)).with(of, query);
    }
    Asked::new(Method::GET, format!("/{}?{query}", kind.name))
}

/// A resource of which a part is otherwise.
fn resource(chance: &mut Chance, kind: &str, there: &There) -> Value {
    let mut resource = samples::any(kind, &patient(there));
    for _ in 0..=chance.below(2) {
        let value = chance.odd_value();
        change(chance, &mut resource, value, 0);
    }
    resource
}

/// What is put beside what is there.
const MEMBERS: [&str; 8] = ["extension", "_status", "contained", "id", "meta", "nothing", "text", "implicitRules"];

/// Puts `value` somewhere, or takes something away.
fn change(chance: &mut Chance, of: &mut Value, value: Value, depth: usize) {
    let deeper = depth < 6 && chance.once_in(2);
    match of {
        Value::Object(members) if !members.is_empty() => {
            let names: Vec<String> = members.keys().cloned().collect();
            let name = chance.of(&names).cloned().unwrap_or_default();
            if let Some(inner) =
                members.get_mut(&name).filter(|inner| deeper && (inner.is_object() || inner.is_array()))
            {
                return change(chance, inner, value, depth + 1);
            }
            let name = match chance.below(5) {
                0 => {
                    members.remove(&name);
                    return;
                }
                1 => chance.text(&MEMBERS).to_owned(),
                2 => format!("_{name}"),
                _ => name,
            };
            members.insert(name, value);
        }
        Value::Array(items) if !items.is_empty() => {
            let place = chance.below(items.len());
            match items.get_mut(place) {
                Some(inner) if deeper => change(chance, inner, value, depth + 1),
                Some(inner) => *inner = value,
                None => {}
            }
        }
        other => *other = value,
    }
}

/// A body that is hardly JSON.
fn raw(chance: &mut Chance, kind: &str) -> Vec<u8> {
    let start = format!("{{\"resourceType\":\"{kind}\"");
    let deep = 1 + chance.below(4_000);
    match chance.below(16) {
        0 => Vec::new(),
        1 => b"null".to_vec(),
        2 => b"[]".to_vec(),
        3 => [b"\xef\xbb\xbf", format!("{start}}}").as_bytes()].concat(),
        4 => format!("{start},\"id\":\"\\ud800\"}}").into_bytes(),
        5 => [start.as_bytes(), b",\"id\":\"\xff\xfe\"}"].concat(),
        6 => format!("{start},{start}}}").into_bytes(),
        7 => format!("{start},\"status\":\"a\",\"status\":\"b\"}}").into_bytes(),
        8 => format!("{start},\"extension\":{}{}}}", "[{\"url\":\"u\",\"extension\":".repeat(deep), "}]".repeat(deep))
            .into_bytes(),
        9 => format!("{start},\"x\":{}{}}}", "[".repeat(deep), "]".repeat(deep)).into_bytes(),
        10 => format!("{start},\"valueInteger\":{}}}", "9".repeat(1 + chance.below(400))).into_bytes(),
        11 => format!("{start},\"valueDecimal\":1e{}}}", "9".repeat(1 + chance.below(10))).into_bytes(),
        12 => format!("{start},\"note\":[{{\"text\":\"{}\"}}]}}", "x".repeat(chance.below(3_000_000))).into_bytes(),
        13 => format!("{start},\"id\":\"a\u{0}b\"}}").into_bytes(),
        14 => format!("{start},\"status\":NaN}}").into_bytes(),
        _ => start.encode_utf16().flat_map(u16::to_le_bytes).collect(),
    }
}

fn write(chance: &mut Chance, kind: &Kind, there: &There) -> Asked {
    let name = &kind.name;
    let (method, path) = match chance.below(3) {
        0 => (Method::PUT, format!("/{name}/{}", id(chance, name, there))),
        _ => (Method::POST, format!("/{name}")),
    };
    let of = match chance.below(8) {
        0 => chance.text(&[
            "application/json",
            "application/fhir+xml",
            "text/plain",
            "application/fhir+json; charset=latin1",
            "x",
            "application/fhir+json; fhirVersion=5.0",
        ]),
        _ => "application/fhir+json",
    };
    let asked = Asked::new(method, path);
    if chance.once_in(4) {
        let body = raw(chance, name);
        return asked.with(of, body);
    }
    let mut resource = resource(chance, name, there);
    if asked.method == Method::PUT && chance.once_in(2) {
        let id = asked.path.rsplit('/').next().unwrap_or_default().to_owned();
        if resource.is_object() {
            resource["id"] = json!(id);
        }
    }
    asked.with(of, resource.to_string())
}

fn bundle(chance: &mut Chance, statement: &Statement, there: &There) -> Asked {
    let mut entries = Vec::new();
    for _ in 0..chance.below(5) {
        let Some(kind) = chance.of(&statement.kinds) else { continue };
        let inner = match chance.below(4) {
            0 => search(chance, kind, there),
            1 => method(chance, kind, there),
            _ => write(chance, kind, there),
        };
        let mut entry =
            json!({ "request": { "method": inner.method.as_str(), "url": inner.path.trim_start_matches('/') } });
        if let Ok(resource) = serde_json::from_slice::<Value>(&inner.body) {
            entry["resource"] = resource;
        }
        if chance.once_in(4) {
            entry["fullUrl"] =
                json!(chance.text(&["urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a", "urn:uuid:x", "Patient/1", ""]));
        }
        if chance.once_in(5) {
            let value = chance.odd_value();
            change(chance, &mut entry, value, 0);
        }
        entries.push(entry);
    }
    let of = chance.text(&["transaction", "batch", "batch", "searchset", "collection", ""]);
    let mut bundle = json!({ "resourceType": "Bundle", "type": of, "entry": entries });
    if chance.once_in(6) {
        let value = chance.odd_value();
        change(chance, &mut bundle, value, 0);
    }
    let path = chance.text(&["", "", "", "/", "/Bundle"]);
    Asked::new(Method::POST, path).resource(&bundle)
}

fn operation(chance: &mut Chance, kind: &Kind, there: &There) -> Asked {
    let name = &kind.name;
    let operation = chance.of(&kind.operations).filter(|_| !chance.once_in(5)).cloned();
    let operation =
        operation.unwrap_or_else(|| chance.text(&["no-such", "", "%00", "$", "meta-delete", "expunge"]).to_owned());
    let path = match chance.below(3) {
        0 => format!("/{name}/${operation}"),
        _ => format!("/{name}/{}/${operation}", id(chance, name, there)),
    };
    let query = if chance.once_in(3) { format!("?{}", query(chance, kind, there)) } else { String::new() };
    if chance.once_in(2) {
        return Asked::new(Method::GET, format!("{path}{query}"));
    }
    let mut parameters = json!({ "resourceType": "Parameters", "parameter": [
        { "name": chance.text(&["resource", "reason", "identifier", "mode", ""]), "resource": resource(chance, name, there) },
        { "name": "reason", "valueString": chance.odd_text() },
    ] });
    let value = chance.odd_value();
    change(chance, &mut parameters, value, 0);
    Asked::new(Method::POST, format!("{path}{query}")).resource(&parameters)
}

fn history(chance: &mut Chance, kind: &Kind, there: &There) -> Asked {
    let (name, id) = (&kind.name, id(chance, &kind.name, there));
    let odd = chance.odd_text();
    let odd = chance.escaped(&odd);
    let path = match chance.below(5) {
        0 => format!("/{name}/{id}/_history/{odd}"),
        1 => format!("/{name}/{id}/_history?_count={odd}"),
        2 => format!("/{name}/_history?_since={odd}"),
        3 => format!("/_history?_at={odd}&_count=1"),
        _ => format!("/{name}/{id}/_history/{}", chance.text(&["0", "1", "-1", "4294967296", "1/2"])),
    };
    Asked::new(Method::GET, path)
}

fn conditional(chance: &mut Chance, kind: &Kind, there: &There) -> Asked {
    let (name, query) = (&kind.name, query(chance, kind, there));
    let resource = resource(chance, name, there);
    match chance.below(4) {
        0 => {
            let mut asked = Asked::new(Method::POST, format!("/{name}")).resource(&resource);
            asked.headers.push(("if-none-exist", query.chars().filter(char::is_ascii_graphic).collect()));
            asked
        }
        1 => Asked::new(Method::DELETE, format!("/{name}?{query}")),
        _ => Asked::new(Method::PUT, format!("/{name}?{query}")).resource(&resource),
    }
}

/// An address that leads nowhere, or should.
fn place(chance: &mut Chance, kind: &Kind) -> Asked {
    let (name, odd) = (&kind.name, chance.odd_text());
    let odd = chance.escaped(&odd);
    let path = match chance.below(9) {
        0 => format!("/{name}/{odd}"),
        1 => format!("/{odd}"),
        2 => format!("/{odd}/{odd}"),
        3 => format!("/{}", name.to_lowercase()),
        4 => format!("//{name}"),
        5 => format!("/{name}/../{name}"),
        6 => format!("/{name}/1/2/3/4/5"),
        7 => format!("/{name}/%2e%2e/%2e%2e/auth/token"),
        _ => format!("/{name}/%ff%fe"),
    };
    Asked::new(Method::GET, path)
}

fn method(chance: &mut Chance, kind: &Kind, there: &There) -> Asked {
    let (name, id) = (&kind.name, id(chance, &kind.name, there));
    let method =
        chance.text(&["PATCH", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "GET", "POST", "PROPFIND", "X", "get"]);
    let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
    let path = match chance.below(5) {
        0 => String::new(),
        1 => "/metadata".to_owned(),
        2 => format!("/{name}"),
        3 => format!("/{name}/{id}/_history/1"),
        _ => format!("/{name}/{id}"),
    };
    // What is there is taken away seldom: others want it.
    let method = if method == Method::DELETE && !chance.once_in(4) { Method::GET } else { method };
    Asked::new(method, path)
}

fn header(chance: &mut Chance) -> (&'static str, String) {
    let all: [(&str, &[&str]); 9] = [
        (
            "accept",
            &[
                "text/html",
                "application/fhir+xml",
                "application/fhir+json; fhirVersion=9",
                ",,,",
                "*/*;q=0",
                "x/y, */*",
            ],
        ),
        ("if-match", &["W/\"1\"", "\"1\"", "*", "W/\"99\"", "W/\"x\"", "1"]),
        ("if-none-match", &["*", "W/\"1\"", "x"]),
        ("if-modified-since", &["yesterday", "Sat, 01 Jan 2000 00:00:00 GMT", "Wed, 21 Oct 2999 07:28:00 GMT"]),
        (
            "prefer",
            &["return=minimal", "return=OperationOutcome", "handling=lenient", "respond-async", "return=x", ";;"],
        ),
        ("if-none-exist", &["", "identifier=x", "&&", "_id=%"]),
        ("content-encoding", &["gzip", "br", "identity", "x"]),
        ("x-forwarded-host", &["evil.example"]),
        ("range", &["bytes=0-1", "bytes=-", "x"]),
    ];
    let (name, values) = all.get(chance.below(all.len())).copied().unwrap_or(("accept", &["*/*"]));
    let value = if chance.once_in(8) { "x".repeat(1 + chance.below(5_000)) } else { chance.text(values).to_owned() };
    (name, value)
}
