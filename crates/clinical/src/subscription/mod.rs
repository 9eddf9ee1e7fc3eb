//! What somebody wants to be told (FHIR R4 Subscription).
//!
//! A Subscription that is kept is one that is served, for a search that stands for itself: by `rest-hook`, at an address that the
//! settings let us call, or by `websocket`, over a connection of the software that wrote it. It is good for as long as what was granted to who wrote it.
//!
//! | module | what is there |
//! | --- | --- |
//! | `turn` | which hub of a store tells |
//! | `round` | who is told next, and how many at once |
//! | `notices` | telling one subscriber |
//! | `signature` | by which a receiver knows the hub |
//! | `watch` | how far behind they are |
//! | `places` | how far each was looked, between two writes |
//! | `socket` | who is connected, and what they are told |

mod notices;
mod places;
mod round;
mod signature;
mod socket;
mod turn;
mod watch;

pub(crate) use places::Places;
pub(crate) use socket::{Connection, Place, Sockets, TICKET_LASTS};
pub(crate) use turn::Turn;

use crate::auth::Scopes;
use crate::json::{self, Document, Limits, Node, Sort};
use crate::kind::Kind;
use crate::moment;
use crate::outcome::{Code, Issue, Issues};
use crate::turns;

/// Readers of the store that subscribers have at once, those who are called and those who are connected, a part of those that there are:
/// what they look for, they decide. And those of one client among them.
pub(crate) const LOOKS: (usize, usize) = (turns::EACH, 1);
/// Characters of what is said of a failure, at most.
const ERROR: usize = 256;

/// In whose name one is told, and of what at most.
#[derive(Clone, Debug)]
pub(crate) struct Subscriber {
    /// The software.
    pub(crate) client: String,
    /// What a person granted it, and the person's account: it ends with that. `None`: software in its own name, while it is registered.
    pub(crate) person: Option<(i64, i64)>,
    /// What the token was good for that wrote the Subscription.
    pub(crate) scopes: Scopes,
    /// Until when at most, in seconds since 1970.
    pub(crate) until: i64,
}

/// How one is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Its server is called.
    RestHook,
    /// Over a connection of its own.
    WebSocket,
}

/// A subscription that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Whether anything is told at all.
    pub active: bool,
    /// What kind of resource.
    pub kind: Kind,
    /// Which of them, as a search.
    pub query: String,
    /// How it is told.
    pub channel: Channel,
    /// Where: an address, or the base of one; over a web socket nowhere.
    pub endpoint: String,
    /// Whether the resources themselves are sent.
    pub whole: bool,
    /// Until when, in milliseconds since 1970, if it ends.
    pub until: Option<i64>,
}

impl Wanted {
    /// Reads a Subscription that R4 allows.
    ///
    /// # Errors
    /// What cannot be served.
    pub fn read(resource: Node<'_, '_>) -> Result<Self, Issues> {
        let wrong = |text: String, at: &'static str| Issues::from(Issue::new(Code::Subscription, text).at(at));
        let text = |node: Option<Node<'_, '_>>, name: &str| {
            node.and_then(|node| node.member(name)).and_then(Node::text).map(std::borrow::Cow::into_owned)
        };
        let (own, channel) = (Some(resource), resource.member("channel"));
        let active = match text(own, "status").as_deref() {
            Some("requested" | "active") => true,
            Some("off") => false,
            _ => return Err(wrong("a status that is asked for is requested or off".into(), "Subscription.status")),
        };
        let criteria = text(own, "criteria").unwrap_or_default();
        let (name, query) = criteria.split_once('?').unwrap_or((&criteria, ""));
        let kind = Kind::named(name).filter(|kind| !UNTOLD.contains(kind));
        let kind = kind.ok_or_else(|| wrong(format!("{name:?} is no kind that is told"), "Subscription.criteria"))?;
        let by = match text(channel, "type").as_deref() {
            Some("rest-hook") => Channel::RestHook,
            Some("websocket") => Channel::WebSocket,
            _ => return Err(wrong("the type is rest-hook or websocket".into(), "Subscription.channel.type")),
        };
        if channel.is_some_and(|channel| channel.member("header").is_some()) {
            let told = "headers are not sent, since who reads Subscriptions would read them: know the hub by its signature (RFC 9421)";
            return Err(wrong(told.into(), "Subscription.channel.header"));
        }
        let whole = match text(channel, "payload").as_deref() {
            None | Some("") => false,
            Some("application/fhir+json") => true,
            Some(other) => {
                let told = format!("{other:?} is not sent: application/fhir+json is, or nothing");
                return Err(wrong(told, "Subscription.channel.payload"));
            }
        };
        let endpoint = text(channel, "endpoint").unwrap_or_default();
        if by == Channel::WebSocket && (whole || !endpoint.is_empty()) {
            let told = "over a web socket it is told that there is something: it has neither endpoint nor payload";
            return Err(wrong(told.into(), "Subscription.channel"));
        }
        if whole && endpoint.contains('?') {
            let told = "resources are put below it, so it has no query";
            return Err(wrong(told.into(), "Subscription.channel.endpoint"));
        }
        let until = match text(own, "end") {
            None => None,
            Some(end) => {
                let end = moment::instant(&end).ok_or_else(|| wrong("it is no instant".into(), "Subscription.end"))?;
                Some(end.low.0)
            }
        };
        Ok(Self { active, kind, query: query.to_owned(), channel: by, endpoint, whole, until })
    }

    /// Reads one as it is kept; `None` if it is none that is served.
    pub(crate) fn of_kept(body: &[u8]) -> Option<Self> {
        let document = Document::read(body, &Limits::BUNDLE).ok()?;
        Self::read(document.root()).ok()
    }
}

/// What nobody is told: audit and subscriptions themselves, and Provenances, which are asked for by what they stand for.
const UNTOLD: [Kind; 3] = [Kind::AUDIT_EVENT, Kind::PROVENANCE, Kind::SUBSCRIPTION];

/// The same resource with what we say of it: its status, and what went wrong.
pub(crate) fn with_status(resource: Node<'_, '_>, status: &str, error: Option<&str>) -> Vec<u8> {
    let mut out = b"{\"status\":".to_vec();
    json::text(status, &mut out);
    if let Some(error) = error {
        let error: String = error.chars().take(ERROR).collect();
        out.extend_from_slice(b",\"error\":");
        json::text(&error, &mut out);
    }
    let ours = ["status", "_status", "error", "_error"];
    if resource.sort() == Sort::Object {
        for (name, value) in resource.members().filter(|(name, _)| !ours.contains(&name.as_ref())) {
            out.push(b',');
            json::member(&name, &mut out);
            json::minified(value, &mut out);
        }
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Wanted, String> {
        let document = Document::read(text.as_bytes(), &Limits::RESOURCE).expect("JSON");
        Wanted::read(document.root()).map_err(|issues| issues.first_text().to_owned())
    }

    /// Shows REQ-SUB-01, REQ-SUB-28: what cannot be served is refused with its place; what is kept is read again as it was.
    #[test]
    fn what_cannot_be_served_is_refused() {
        let fine = r#"{"resourceType":"Subscription","status":"requested","reason":"r","criteria":"Observation?code=x","channel":{"type":"rest-hook","endpoint":"https://a.example/x","payload":"application/fhir+json"}}"#;
        let wanted = read(fine).expect("fine");
        assert_eq!(
            (wanted.kind, wanted.query.as_str(), wanted.active, wanted.whole),
            (Kind::OBSERVATION, "code=x", true, true)
        );
        for (from, to, why) in [
            ("\"requested\"", "\"error\"", "status"),
            ("Observation?", "AuditEvent?", "no kind"),
            ("Observation?", "Encounter?", "no kind"),
            ("rest-hook", "email", "rest-hook"),
            ("rest-hook", "websocket", "neither endpoint"),
            ("fhir+json", "fhir+xml", "is not sent"),
            ("\"payload\"", "\"header\":[\"Authorization: x\"],\"payload\"", "headers"),
            ("\"reason\"", "\"end\":\"tomorrow\",\"reason\"", "instant"),
        ] {
            let changed = fine.replace(from, to);
            assert_ne!(changed, fine);
            assert!(read(&changed).is_err_and(|told| told.contains(why)), "{changed}");
        }
        let off = read(&fine.replace("requested", "off")).expect("off");
        assert!(!off.active);
        let document = Document::read(fine.as_bytes(), &Limits::RESOURCE).expect("JSON");
        let told = with_status(document.root(), "active", Some(&"e".repeat(ERROR + 1)));
        assert_eq!(Wanted::of_kept(&told), Some(wanted));
        let told = String::from_utf8(told).expect("text");
        assert!(
            told.contains(&format!("\"error\":\"{}\"", "e".repeat(ERROR))) && !told.contains("requested"),
            "{told}"
        );
    }
}
