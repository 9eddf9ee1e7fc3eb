//! Which state a resource has to have for a change, and which one its reader has already (RFC 9110, section 13.1).

use super::asking::Asking;
use crate::kind::Version;
use crate::outcome::{Code, Issue, Refusal};
use crate::store::Expected;
use http::HeaderName;
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};

const IF_NONE_EXIST: HeaderName = HeaderName::from_static("if-none-exist");
const SERVED: &str =
    "a change has If-Match: W/\"VERSION\", as the header ETag of the resource gives it, or If-None-Match: *";

/// What the reader of a resource has of it already.
#[derive(Debug)]
pub(super) struct Known {
    /// The versions, as entity tags.
    tags: String,
    /// When the one that it has was made, as it was told.
    modified: String,
}

impl Known {
    /// As an entry of a Bundle says it.
    pub(super) fn by_tags(tags: &str) -> Self {
        Self { tags: tags.to_owned(), modified: String::new() }
    }

    /// Whether it is what it would be given.
    pub(super) fn is(&self, version: Version, modified: &str) -> bool {
        if self.tags.is_empty() {
            // Only the very date that was told says something: it is as precise as a second.
            return self.modified == modified;
        }
        self.tags.split(',').map(str::trim).any(|tag| tag == "*" || version_of(tag) == Some(version))
    }
}

impl Asking {
    /// What the headers of a reader say that it has.
    pub(super) fn known(&self) -> Known {
        Known {
            tags: self.list(&IF_NONE_MATCH).unwrap_or_default(),
            modified: self.header(&IF_MODIFIED_SINCE).to_owned(),
        }
    }

    /// Which state the headers of a change ask for.
    pub(super) fn expected(&self) -> Result<Expected, Refusal> {
        self.has_none_of(&[IF_UNMODIFIED_SINCE, IF_NONE_EXIST])?;
        let headers = self.headers();
        match (headers.contains_key(IF_MATCH), headers.contains_key(IF_NONE_MATCH)) {
            (false, false) => Ok(Expected::Anything),
            (true, false) => expected(&self.list(&IF_MATCH).unwrap_or_default()),
            (false, true) if self.list(&IF_NONE_MATCH).as_deref() == Some("*") => Ok(Expected::Nothing),
            (false, true) => Err(unserved(&IF_NONE_MATCH, "of a change, If-None-Match is * alone")),
            (true, true) => Err(unserved(&IF_NONE_MATCH, "If-Match and If-None-Match exclude one another")),
        }
    }

    /// The search that has to find nothing for a create, which has no state before it.
    pub(super) fn unless(&self) -> Result<Option<&str>, Refusal> {
        self.has_none_of(&[IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE])?;
        let mut lines = self.headers().get_all(IF_NONE_EXIST).iter();
        let Some(first) = lines.next() else { return Ok(None) };
        let search = first.to_str().ok().filter(|search| !search.is_empty() && lines.next().is_none());
        search.map(Some).ok_or_else(|| unserved(&IF_NONE_EXIST, "it is one search, and here it is none or several"))
    }

    /// A Bundle has no condition of its own: its entries have.
    pub(super) fn expects_nothing(&self) -> Result<(), Refusal> {
        self.has_none_of(&[IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, IF_NONE_EXIST])
    }

    fn has_none_of(&self, names: &[HeaderName]) -> Result<(), Refusal> {
        match names.iter().find(|name| self.headers().contains_key(*name)) {
            Some(name) => Err(unserved(name, "this condition is not served here, and a change is not done without it")),
            None => Ok(()),
        }
    }

    /// A header that is a list, which may stand in several lines; `None`: there is none, or it is no text.
    fn list(&self, name: &HeaderName) -> Option<String> {
        let lines: Option<Vec<_>> = self.headers().get_all(name).iter().map(|value| value.to_str().ok()).collect();
        lines.filter(|lines| !lines.is_empty()).map(|lines| lines.join(","))
    }
}

fn unserved(name: &HeaderName, text: &'static str) -> Refusal {
    let named = ["If-Match", "If-None-Match", "If-None-Exist", "If-Unmodified-Since"];
    let at = named.into_iter().find(|at| name.as_str().eq_ignore_ascii_case(at)).unwrap_or_default();
    let help = format!("{SERVED}; what is sent to be made has If-None-Exist: SEARCH");
    Issue::new(Code::ParameterValue, text).at(at).help(help).into()
}

/// What `If-Match` asks for: that there is one, or that it has one of these versions.
pub(super) fn expected(tags: &str) -> Result<Expected, Refusal> {
    if tags.trim() == "*" {
        return Ok(Expected::Something);
    }
    // An empty place in a list says nothing (RFC 9110, section 5.6.1.2).
    let tags: Vec<_> = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect();
    let versions: Option<Vec<_>> = tags.iter().map(|tag| version_of(tag)).collect();
    if let Some(versions) = versions.filter(|versions| !versions.is_empty()) {
        return Ok(Expected::OneOf(versions));
    }
    let wrong = tags.iter().find(|tag| version_of(tag).is_none()).copied().unwrap_or_default();
    let text = format!("{:?} is no entity tag of a version", wrong.chars().take(64).collect::<String>());
    Err(Issue::new(Code::ParameterValue, text).at("If-Match").help(SERVED).into())
}

/// The version of an entity tag: each of ours is weak.
fn version_of(tag: &str) -> Option<Version> {
    let plain = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
    Version::read(plain)
}
