//! One entry of a Bundle, and the names that entries have for one another.

use crate::access::Verb;
use crate::json::{self, Node, Sort};
use crate::outcome::{Code, Issue, Refusal};
use http::Method;
use std::collections::HashMap;

/// An interaction of a Bundle.
pub(super) struct Entry<'d, 'a> {
    /// The name that other entries have for it.
    pub(super) full: Option<String>,
    pub(super) resource: Option<Node<'d, 'a>>,
    pub(super) method: Method,
    pub(super) kind: String,
    pub(super) id: Option<String>,
    /// Behind the question mark of its address.
    pub(super) query: Option<String>,
    pub(super) if_match: Option<String>,
    /// The versions that its reader has.
    pub(super) if_none_match: String,
    if_none_exist: Option<String>,
}

impl<'d, 'a> Entry<'d, 'a> {
    pub(super) fn read(node: Node<'d, 'a>, bases: &[String]) -> Result<Self, Refusal> {
        let wrong = |text: &'static str| Refusal::from(Issue::new(Code::Entry, text));
        let request = node.member("request").ok_or_else(|| wrong("the entry has no request"))?;
        let text = |name: &str| request.member(name).and_then(Node::text).unwrap_or_default().into_owned();
        let method = match text("method").as_str() {
            "GET" => Method::GET,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "DELETE" => Method::DELETE,
            _ => return Err(wrong("the method is GET, POST, PUT or DELETE")),
        };
        let url = text("url");
        let local = bases.iter().find_map(|base| url.strip_prefix(base.as_str())).unwrap_or(&url);
        let local = local.strip_prefix('/').unwrap_or(local);
        let (path, query) = local.split_once('?').map_or((local, None), |(path, query)| (path, Some(query.to_owned())));
        let mut parts = path.split('/');
        let (kind, id) = (parts.next().unwrap_or_default().to_owned(), parts.next().map(str::to_owned));
        if parts.next().is_some() || kind.is_empty() {
            return Err(wrong(
                "the url is KIND, KIND/ID or KIND?SEARCH: versions, histories and operations are asked for by themselves",
            ));
        }
        let fits = match (&method, &id, &query) {
            (&Method::GET, None, _) | (&Method::GET, Some(_), None) | (&Method::POST, None, None) => true,
            (&Method::PUT | &Method::DELETE, id, query) => id.is_some() != query.is_some(),
            _ => false,
        };
        if !fits {
            return Err(wrong("the url does not fit the method"));
        }
        let full = node.member("fullUrl").and_then(Node::text).map(|full| full.into_owned());
        let resource = node.member("resource").filter(|resource| resource.sort() == Sort::Object);
        let conditions = ["ifMatch", "ifNoneMatch", "ifModifiedSince", "ifNoneExist"];
        let served = served(&method);
        if let Some(other) = conditions.iter().find(|name| **name != served && request.member(name).is_some()) {
            let issue = Issue::new(Code::Entry, format!("a {method} has no {other}: the entry is not done"));
            return Err(issue.help("a GET has ifNoneMatch, a POST ifNoneExist, a PUT or DELETE ifMatch").into());
        }
        let given = |name: &str| {
            let Some(condition) = request.member(name) else { return Ok(None) };
            let condition = condition.text().filter(|condition| !condition.is_empty());
            condition
                .map(|condition| Some(condition.into_owned()))
                .ok_or_else(|| wrong("a condition of the entry is no text"))
        };
        let (if_match, if_none_exist) = (given("ifMatch")?, given("ifNoneExist")?);
        let if_none_match = given("ifNoneMatch")?.unwrap_or_default();
        Ok(Self { full, resource, method, kind, id, query, if_match, if_none_match, if_none_exist })
    }

    /// The address below which others of the Bundle are named as this one is, `https://sender.example` of
    /// `https://sender.example/Observation/1`: what it refers to without one, is found there first (FHIR R4, section 2.36.4.1).
    pub(super) fn root(&self) -> Option<&str> {
        let (rest, _) = self.full.as_deref()?.rsplit_once('/')?;
        rest.strip_suffix(&self.kind)?.strip_suffix('/').filter(|root| root.contains("://"))
    }

    /// Which right it needs.
    pub(super) fn verb(&self) -> Verb {
        match self.method {
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::DELETE => Verb::Delete,
            _ if self.id.is_some() => Verb::Read,
            _ => Verb::Search,
        }
    }

    /// The search that decides what becomes of it.
    pub(super) fn condition(&self) -> Option<&str> {
        if self.method == Method::GET { None } else { self.if_none_exist.as_deref().or(self.query.as_deref()) }
    }
}

/// The condition that an interaction may have besides its address.
fn served(method: &Method) -> &'static str {
    match *method {
        Method::GET => "ifNoneMatch",
        Method::POST => "ifNoneExist",
        _ => "ifMatch",
    }
}

/// Members whose text may name another entry.
const NAMES: [&str; 5] = ["reference", "valueUri", "valueUrl", "valueUuid", "valueOid"];

/// What names of a Bundle stand for here.
#[derive(Default)]
pub(super) struct Renamed(HashMap<String, String>);

impl Renamed {
    pub(super) fn name(&mut self, text: &str, here: String) {
        self.0.insert(text.to_owned(), here);
    }

    pub(super) fn knows(&self, text: &str) -> bool {
        self.0.contains_key(text)
    }

    /// What a text stands for that stands in an entry below `root`.
    fn here(&self, member: &str, text: &str, root: Option<&str>) -> Option<&String> {
        let below = || self.0.get(&format!("{}/{text}", root.filter(|_| member == "reference")?));
        self.0.get(text).or_else(below)
    }

    /// Each text that may name another entry, behind its member. The depth of a document is bounded.
    pub(super) fn each_reference(node: Node<'_, '_>, take: &mut dyn FnMut(&str, &str)) {
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            for (name, value) in node.members() {
                if value.sort() == Sort::Text {
                    if NAMES.contains(&name.as_ref()) {
                        value.text().iter().for_each(|text| take(&name, text));
                    }
                } else {
                    open.push(value);
                }
            }
            open.extend(node.items().filter(|item| item.sort() != Sort::Text));
        }
    }

    /// The resource with the names it has here; `None` if it names no entry. `root` is that of its own entry.
    pub(super) fn rewritten(&self, resource: Node<'_, '_>, root: Option<&str>) -> Option<Vec<u8>> {
        let mut any = false;
        Self::each_reference(resource, &mut |member, text| any |= self.here(member, text, root).is_some());
        if !any {
            return None;
        }
        let mut out = Vec::with_capacity(resource.source().len());
        self.write(resource, root, &mut out);
        Some(out)
    }

    fn write(&self, node: Node<'_, '_>, root: Option<&str>, out: &mut Vec<u8>) {
        match node.sort() {
            Sort::Object => {
                out.push(b'{');
                for (place, (name, value)) in node.members().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    json::member(&name, out);
                    let text = value.text().filter(|_| NAMES.contains(&name.as_ref()));
                    match text.and_then(|text| self.here(&name, &text, root)) {
                        Some(here) => json::text(here, out),
                        None => self.write(value, root, out),
                    }
                }
                out.push(b'}');
            }
            Sort::Array => {
                out.push(b'[');
                for (place, item) in node.items().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    self.write(item, root, out);
                }
                out.push(b']');
            }
            _ => json::minified(node, out),
        }
    }
}
