//! What was found, as a Bundle.

use super::Door;
use crate::json;
use crate::moment;
use crate::outcome::{Code, Issue, Issues, Severity};
use crate::query::{CURSOR, Plan};
use crate::store::{Found, Stored};

/// The addresses of a page and of the next one.
pub(super) struct Links<'l> {
    /// The path behind `/fhir/`.
    pub(super) path: &'l str,
    /// The parameters that are in force.
    pub(super) used: &'l [(String, String)],
    /// The sealed place where this page begins.
    pub(super) cursor: Option<&'l str>,
    /// The sealed place where the next one begins.
    pub(super) next: Option<&'l str>,
}

/// A page of a search.
pub(super) struct Searched<'s> {
    pub(super) plan: &'s Plan,
    pub(super) found: &'s Found,
    pub(super) included: &'s [Stored],
    /// How many there are, if that was asked; `Some(None)`: more than are counted.
    pub(super) total: Option<Option<i64>>,
    /// The sealed place where the next page begins.
    pub(super) next: Option<&'s str>,
}

pub(super) fn searchset(door: &Door, page: &Searched<'_>) -> Vec<u8> {
    let plan = page.plan;
    let links = Links { path: plan.kind().name(), used: plan.used(), cursor: plan.cursor(), next: page.next };
    let mut out = begin("searchset", door, &links, page.total.flatten());
    let mut entries = Entries::default();
    for (all, mode) in [(page.found.resources.as_slice(), "match"), (page.included, "include")] {
        for stored in all {
            entries.begin(door, stored, &mut out);
            resource(stored, &mut out);
            out.extend_from_slice(format!(",\"search\":{{\"mode\":\"{mode}\"}}}}").as_bytes());
        }
    }
    let told = told(page);
    if !told.all().is_empty() {
        entries.separate(&mut out);
        out.extend_from_slice(b"{\"resource\":");
        out.extend_from_slice(&told.outcome(Severity::Warning));
        out.extend_from_slice(b",\"search\":{\"mode\":\"outcome\"}}");
    }
    entries.end(&mut out);
    out
}

/// A page of all that is a patient's.
pub(super) fn all(door: &Door, links: &Links<'_>, found: &Found, total: Option<i64>) -> Vec<u8> {
    let mut out = begin("searchset", door, links, total);
    let mut entries = Entries::default();
    for stored in &found.resources {
        entries.begin(door, stored, &mut out);
        resource(stored, &mut out);
        out.extend_from_slice(b",\"search\":{\"mode\":\"match\"}}");
    }
    entries.end(&mut out);
    out
}

/// A page of the audit: each event with its name.
pub(super) fn events(
    door: &Door,
    links: &Links<'_>,
    events: impl Iterator<Item = (String, Vec<u8>)>,
    total: Option<i64>,
) -> Vec<u8> {
    let mut out = begin("searchset", door, links, total);
    let mut entries = Entries::default();
    for (id, event) in events {
        entries.separate(&mut out);
        out.extend_from_slice(b"{\"fullUrl\":");
        json::text(&format!("{}/AuditEvent/{id}", door.base), &mut out);
        out.extend_from_slice(b",\"resource\":");
        out.extend_from_slice(&event);
        out.extend_from_slice(b",\"search\":{\"mode\":\"match\"}}");
    }
    entries.end(&mut out);
    out
}

/// A page of a history.
pub(super) fn history(door: &Door, links: &Links<'_>, found: &Found, total: Option<i64>) -> Vec<u8> {
    let mut out = begin("history", door, links, total);
    let mut entries = Entries::default();
    for stored in &found.resources {
        entries.begin(door, stored, &mut out);
        let name = format!("{}/{}", stored.kind, stored.id);
        let first = stored.version == crate::kind::Version::FIRST;
        let (method, url, status) = match (stored.gone, first) {
            (true, _) => ("DELETE", name.as_str(), "204 No Content"),
            (false, true) => ("POST", stored.kind.name(), "201 Created"),
            (false, false) => ("PUT", name.as_str(), "200 OK"),
        };
        if !stored.gone {
            resource(stored, &mut out);
        }
        let mut part = |plain: &str, text: &str| {
            out.extend_from_slice(plain.as_bytes());
            json::text(text, &mut out);
        };
        part(",\"request\":{\"method\":", method);
        part(",\"url\":", url);
        part("},\"response\":{\"status\":", status);
        part(",\"etag\":", &format!("W/\"{}\"", stored.version));
        part(",\"lastModified\":", &moment::written(stored.updated));
        out.extend_from_slice(b"}}");
    }
    entries.end(&mut out);
    out
}

/// `total`: how many there are, if that was asked and they were counted.
fn begin(of: &str, door: &Door, links: &Links<'_>, total: Option<i64>) -> Vec<u8> {
    let mut out = format!("{{\"resourceType\":\"Bundle\",\"type\":\"{of}\",\"link\":[").into_bytes();
    link("self", &links.address(door, links.cursor), &mut out);
    if let Some(next) = links.next {
        out.push(b',');
        link("next", &links.address(door, Some(next)), &mut out);
    }
    out.push(b']');
    if let Some(total) = total {
        out.extend_from_slice(format!(",\"total\":{total}").as_bytes());
    }
    out
}

fn resource(stored: &Stored, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"resource\":");
    out.extend_from_slice(&stored.body);
}

/// The list of entries as it grows.
#[derive(Default)]
struct Entries {
    any: bool,
}

impl Entries {
    fn separate(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.any { b"," } else { b",\"entry\":[" });
        self.any = true;
    }

    fn begin(&mut self, door: &Door, stored: &Stored, out: &mut Vec<u8>) {
        self.separate(out);
        out.extend_from_slice(b"{\"fullUrl\":");
        json::text(&format!("{}/{}/{}", door.base, stored.kind, stored.id), out);
    }

    fn end(self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.any { b"]}" } else { b"}" });
    }
}

/// What was left out.
fn told(page: &Searched<'_>) -> Issues {
    let mut issues = Issues::default();
    for name in page.plan.ignored() {
        issues.add(Issue::new(Code::UnknownParameter, format!("{name:?} was left out")).at(name.as_str()));
    }
    if page.total == Some(None) {
        issues.add(Issue::new(Code::TooMuch, "there are more than are counted").at("_total"));
    }
    issues
}

fn link(relation: &str, address: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"relation\":");
    json::text(relation, out);
    out.extend_from_slice(b",\"url\":");
    json::text(address, out);
    out.push(b'}');
}

impl Links<'_> {
    fn address(&self, door: &Door, cursor: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.used);
        if let Some(cursor) = cursor {
            query.append_pair(CURSOR, cursor);
        }
        let query = query.finish();
        let separator = if query.is_empty() { "" } else { "?" };
        format!("{}/{}{separator}{query}", door.base, self.path)
    }
}
