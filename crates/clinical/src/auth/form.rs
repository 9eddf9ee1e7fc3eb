//! Parameters of a request, each once (RFC 6749, section 3.1).

use super::answer::{OAuthError, Refused};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use std::borrow::Cow;

/// Bytes of a request, at most: an assertion is among them.
const LENGTH: usize = 16 << 10;

/// Parameters that were sent, each once. Empty ones count as not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads parameters, of a body or an address. Some (`many`) may stand several times.
    ///
    /// # Errors
    /// When there is too much of them, or one stands twice.
    pub(super) fn read(text: &[u8], many: &[&str]) -> Result<Self, OAuthError> {
        if text.len() > LENGTH {
            return Err(wrong(format!("a request has at most {LENGTH} bytes")));
        }
        let mut read: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if read.iter().any(|(other, _)| *other == name) && !many.contains(&name.as_ref()) {
                return Err(wrong(format!("{name} stands twice")));
            }
            read.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(read))
    }

    /// Reads the body of a request that says it is a form.
    ///
    /// # Errors
    /// As [`Form::read`], and when it is none.
    pub(super) fn of_body(headers: &HeaderMap, body: &[u8]) -> Result<Self, OAuthError> {
        Self::of_body_with(headers, body, &[])
    }

    pub(super) fn of_body_with(headers: &HeaderMap, body: &[u8], many: &[&str]) -> Result<Self, OAuthError> {
        let of = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if of.split(';').next().unwrap_or_default().trim() != "application/x-www-form-urlencoded" {
            return Err(wrong("send a form: application/x-www-form-urlencoded"));
        }
        Self::read(body, many)
    }

    /// The value of a parameter, if one was sent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let of = self.0.iter().filter(move |(one, value)| one == name && !value.is_empty());
        of.map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that has to be there.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn need(&self, name: &'static str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| wrong(format!("{name} is missing")))
    }

    /// What way to a token is asked for.
    ///
    /// # Errors
    /// When it is not said.
    pub(super) fn grant_type(&self) -> Result<&str, OAuthError> {
        self.need("grant_type")
    }
}

/// A request that cannot be read.
pub(super) fn wrong(text: impl Into<Cow<'static, str>>) -> OAuthError {
    OAuthError::new(Refused::InvalidRequest, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_each_parameter_once() {
        let read = |text: &str| Form::read(text.as_bytes(), &["many"]);
        let form = read("grant_type=client_credentials&scope=a%20b&other=x&empty=&many=1&many=2").expect("a form");
        assert_eq!(
            (form.grant_type(), form.get("scope"), form.get("client_id")),
            (Ok("client_credentials"), Some("a b"), None)
        );
        assert_eq!((form.get("empty"), form.all("many").collect::<Vec<_>>()), (None, vec!["1", "2"]));
        for no in ["grant_type=a&grant_type=a", "x=a&scope=b&scope=c", "empty=&empty=", &"x".repeat(LENGTH + 1)] {
            assert_eq!(read(no).map_err(|error| error.refused), Err(Refused::InvalidRequest), "{no}");
        }
        assert!(read("").expect("nothing").grant_type().is_err());
    }
}
