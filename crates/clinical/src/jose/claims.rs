//! What a token claims (RFC 7519 section 4.1).

use crate::json::{Document, Limits, Node};
use medlock_trust::Time;

/// The most audiences that are read.
const MOST_AUDIENCES: usize = 16;

/// What is wrong with a claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It is missing, or no such value.
    #[error("{0:?} is missing or no such value")]
    Claim(&'static str),
}

/// Claims that a key has confirmed.
#[derive(Clone, Debug)]
pub struct Claims {
    text: Vec<u8>,
    limits: Limits,
}

impl Claims {
    pub(super) const fn of(text: Vec<u8>, limits: Limits) -> Self {
        Self { text, limits }
    }

    /// Looks at the claim with this name.
    pub fn with<T>(&self, name: &str, look: impl FnOnce(Node<'_, '_>) -> Option<T>) -> Option<T> {
        // It was read before: an error cannot come.
        let document = Document::read(&self.text, &self.limits).ok()?;
        look(document.root().member(name)?)
    }

    /// A claim that is text.
    ///
    /// # Errors
    /// [`Wrong::Claim`].
    pub fn text(&self, name: &'static str) -> Result<String, Wrong> {
        self.with(name, |node| node.text().map(std::borrow::Cow::into_owned)).ok_or(Wrong::Claim(name))
    }

    /// A claim that is text, if it is there.
    ///
    /// # Errors
    /// [`Wrong::Claim`] when it is something else.
    pub fn optional_text(&self, name: &'static str) -> Result<Option<String>, Wrong> {
        self.optional(name, |node| node.text().map(std::borrow::Cow::into_owned))
    }

    /// A moment (`NumericDate`, RFC 7519 section 2): seconds since 1970; a fraction is cut off.
    ///
    /// # Errors
    /// [`Wrong::Claim`].
    pub fn time(&self, name: &'static str) -> Result<Time, Wrong> {
        self.optional_time(name)?.ok_or(Wrong::Claim(name))
    }

    /// The same, if it is there.
    ///
    /// # Errors
    /// [`Wrong::Claim`] when it is something else.
    pub fn optional_time(&self, name: &'static str) -> Result<Option<Time>, Wrong> {
        self.optional(name, numeric_date)
    }

    /// For whom it is (`aud`): one text, or several.
    ///
    /// # Errors
    /// [`Wrong::Claim`].
    pub fn audiences(&self) -> Result<Vec<String>, Wrong> {
        let read = |node: Node<'_, '_>| match node.text() {
            Some(one) => Some(vec![one.into_owned()]),
            None => {
                let texts = node.items().map(|item| item.text().map(std::borrow::Cow::into_owned));
                let texts: Option<Vec<String>> = texts.take(MOST_AUDIENCES + 1).collect();
                texts.filter(|texts| (1..=MOST_AUDIENCES).contains(&texts.len()))
            }
        };
        self.with("aud", read).ok_or(Wrong::Claim("aud"))
    }

    fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(Node<'_, '_>) -> Option<T>,
    ) -> Result<Option<T>, Wrong> {
        self.with(name, |node| Some(read(node))).map_or(Ok(None), |read| read.map(Some).ok_or(Wrong::Claim(name)))
    }
}

/// Digits, and perhaps a fraction; no exponent, no sign.
fn numeric_date(node: Node<'_, '_>) -> Option<Time> {
    let whole = node.source().split_once('.').map_or(node.source(), |(whole, _)| whole);
    let digits = node.number().is_some()
        && whole.bytes().all(|byte| byte.is_ascii_digit())
        && !node.source().contains(['e', 'E']);
    let seconds = whole.parse::<i64>().ok().filter(|_| digits)?;
    (seconds <= Time::NEVER.unix()).then(|| Time::from_unix(seconds))
}
