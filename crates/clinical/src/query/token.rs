//! Tokens of a search: `code`, `system|code`, `|code`, `system|` (FHIR R4, section 3.1.1.5.11), with the escapes of section
//! 3.1.1.4.4.

/// A code or identifier that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its system; empty: it has none; `None`: whatever it has.
    pub system: Option<String>,
    /// The code; `None`: whatever it is, of the system.
    pub value: Option<String>,
}

impl Token {
    /// Reads a value of a search, in which a bar of its own is still escaped; `None` without a code and a system.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = split(text, '|');
        let value = plain(&parts.pop()?);
        let system = match parts.as_slice() {
            [] => None,
            [system] => Some(plain(system)),
            _ => return None,
        };
        let value = Some(value).filter(|value| !value.is_empty());
        (value.is_some() || system.as_ref().is_some_and(|system| !system.is_empty())).then_some(Self { system, value })
    }
}

/// Cuts at `separator` where it is not escaped. Escapes stay.
pub(super) fn split(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == separator && !escaped {
            parts.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

/// The text without its escapes.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        if c == '\\' && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    /// Shows REQ-SRCH-39.
    #[test]
    fn a_token_has_a_code_and_perhaps_a_system() {
        let token = |system: Option<&str>, value: &str| {
            let value = Some(value).filter(|value| !value.is_empty()).map(str::to_owned);
            Some(Token { system: system.map(str::to_owned), value })
        };
        assert_eq!(Token::read("a"), token(None, "a"));
        assert_eq!(Token::read("s|a"), token(Some("s"), "a"));
        assert_eq!(Token::read("|a"), token(Some(""), "a"));
        assert_eq!(Token::read(r"s\|t|a\,b\\"), token(Some("s|t"), r"a,b\"));
        assert_eq!(Token::read("s|"), token(Some("s"), ""));
        assert!([Token::read(""), Token::read("|"), Token::read("a|b|c")].iter().all(Option::is_none));
    }

    proptest! {
        #[test]
        fn cut_text_is_the_same_together(text in any::<String>()) {
            prop_assert_eq!(split(&text, ',').join(","), text);
        }
    }
}
