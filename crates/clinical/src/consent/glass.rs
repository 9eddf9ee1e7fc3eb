//! Breaking the glass: somebody of the staff says why, and sees a patient's data for a while whatever consents say.

use crate::kind::{Id, Kind, Millis};

/// Characters of a reason.
const SHORTEST: usize = 8;
const LONGEST: usize = 500;

/// Why the glass is broken, in the words of who breaks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Reads a reason: 8 to 500 characters with letters among them. The patient reads it.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let length = text.chars().count();
        let plain = !text.chars().any(char::is_control) && text.chars().filter(|c| c.is_alphabetic()).count() >= 4;
        (plain && (SHORTEST..=LONGEST).contains(&length)).then(|| Self(text.to_owned()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// That the glass was broken, as its patient is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// When.
    pub made: Millis,
    /// Until when it was good.
    pub until: Millis,
    /// By whom.
    pub by: (Kind, Id),
    /// With which software, by its identifier.
    pub client: String,
    /// Its name, where it was registered by one.
    pub software: Option<String>,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something() {
        assert_eq!(Reason::read("  found unconscious  ").as_ref().map(Reason::as_str), Some("found unconscious"));
        for no in ["", "        ", "12345678", "urgent", "a\nreason is one line", &"x".repeat(501)] {
            assert_eq!(Reason::read(no), None, "{no}");
        }
    }
}
