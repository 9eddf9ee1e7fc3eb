//! The codes that required bindings allow.

use super::lines;
use std::collections::HashMap;
use std::fmt;

/// Value sets by name.
#[derive(Debug)]
pub struct Codes(HashMap<&'static str, Vec<&'static str>>);

/// What a code has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// One of this value set.
    Listed(&'static str),
    /// A media type (RFC 6838 section 4.2).
    MediaType,
    /// A currency (ISO 4217): three capital letters.
    Currency,
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(set) => write!(f, "of the value set {set}"),
            Self::MediaType => f.write_str("a media type, such as image/png"),
            Self::Currency => f.write_str("a currency, such as EUR"),
        }
    }
}

impl Codes {
    pub(super) fn read(table: &'static str) -> Self {
        let sets = lines(table).filter_map(|line| match line.as_slice() {
            [set, codes] => Some((*set, codes.split(' ').collect())),
            _ => None,
        });
        Self(sets.collect())
    }

    /// What the value set with this name asks; `None` if there is none.
    pub(super) fn binding(&self, set: &'static str) -> Option<Binding> {
        match set {
            "mimetypes" => Some(Binding::MediaType),
            "currencies" => Some(Binding::Currency),
            _ => self.0.get_key_value(set).map(|(set, _)| Binding::Listed(set)),
        }
    }

    /// Whether a value set has this code.
    #[must_use]
    pub fn has(&self, set: &str, code: &str) -> bool {
        self.0.get(set).is_some_and(|codes| codes.contains(&code))
    }

    /// The codes of a value set.
    #[must_use]
    pub fn of(&self, set: &str) -> &[&'static str] {
        self.0.get(set).map_or(&[], Vec::as_slice)
    }

    /// Whether `code` is what `binding` asks.
    #[must_use]
    pub fn allow(&self, binding: Binding, code: &str) -> bool {
        match binding {
            Binding::Listed(set) => self.has(set, code),
            Binding::Currency => code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()),
            Binding::MediaType => is_media_type(code),
        }
    }
}

/// `type/subtype`, perhaps with parameters.
fn is_media_type(text: &str) -> bool {
    let (name, _) = text.split_once(';').unwrap_or((text, ""));
    let part = |part: &str| {
        (1..=127).contains(&part.len())
            && part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    name.trim_end().split_once('/').is_some_and(|(sort, subtype)| part(sort) && part(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_and_currencies_are_checked_by_their_form() {
        let codes = Codes::read("");
        for yes in ["text/plain", "application/fhir+json; fhirVersion=4.0", "image/svg+xml"] {
            assert!(codes.allow(Binding::MediaType, yes), "{yes}");
        }
        for no in ["", "text", "/plain", "text/", "text plain/x", "text/pl ain"] {
            assert!(!codes.allow(Binding::MediaType, no), "{no}");
        }
        assert!(codes.allow(Binding::Currency, "EUR") && !codes.allow(Binding::Currency, "eur"));
    }
}
