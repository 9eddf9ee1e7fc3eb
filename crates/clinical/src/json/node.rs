//! A document that was read: its values, over the text they were read from.

use super::Decimal;
use super::read::{Document, Raw, unescaped};
use std::borrow::Cow;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    Text,
    /// A number.
    Number,
    /// `true`, `false`
    Flag,
    /// `null`
    Null,
}

impl Sort {
    /// Its name, for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::Text => "text",
            Self::Number => "a number",
            Self::Flag => "true or false",
            Self::Null => "null",
        }
    }
}

/// A value of a document.
#[derive(Clone, Copy, Debug)]
pub struct Node<'d, 'a> {
    document: &'d Document<'a>,
    index: u32,
}

impl<'d, 'a> Node<'d, 'a> {
    pub(super) const fn at(document: &'d Document<'a>, index: u32) -> Self {
        Self { document, index }
    }

    fn raw(self) -> Raw {
        self.document.raw(self.index)
    }

    /// What it is.
    #[must_use]
    pub fn sort(self) -> Sort {
        self.raw().sort
    }

    /// The member with this name, if it is an object that has one.
    #[must_use]
    pub fn member(self, name: &str) -> Option<Self> {
        self.members().find(|(own, _)| own == name).map(|(_, node)| node)
    }

    /// The members, in their order; none if it is no object.
    #[must_use]
    pub fn members(self) -> Members<'d, 'a> {
        Members(self.inside(Sort::Object))
    }

    /// The items, in their order; none if it is no array.
    #[must_use]
    pub fn items(self) -> Items<'d, 'a> {
        self.inside(Sort::Array)
    }

    fn inside(self, sort: Sort) -> Items<'d, 'a> {
        let raw = self.raw();
        let end = if raw.sort == sort { raw.next } else { self.index };
        Items { document: self.document, next: self.index + 1, end }
    }

    /// The characters, if it is text.
    #[must_use]
    pub fn text(self) -> Option<Cow<'a, str>> {
        let raw = self.raw();
        let span = self.document.slice(raw.start, raw.end);
        (raw.sort == Sort::Text).then(|| if raw.escaped.1 { Cow::Owned(unescaped(span)) } else { Cow::Borrowed(span) })
    }

    /// The number, if it is one and its exponent is not beyond bounds.
    #[must_use]
    pub fn number(self) -> Option<Decimal<'a>> {
        let raw = self.raw();
        (raw.sort == Sort::Number).then(|| Decimal::read(self.document.slice(raw.start, raw.end))).flatten()
    }

    /// Whether it is `true`, if it is a flag.
    #[must_use]
    pub fn flag(self) -> Option<bool> {
        let raw = self.raw();
        (raw.sort == Sort::Flag).then(|| raw.end - raw.start == 4)
    }

    /// How many values it is, with all that are within it.
    #[must_use]
    pub fn nodes(self) -> usize {
        self.raw().next.saturating_sub(self.index) as usize
    }

    /// Its text as it was written; of text, what is between the quotation marks.
    #[must_use]
    pub fn source(self) -> &'a str {
        let raw = self.raw();
        self.document.slice(raw.start, raw.end)
    }
}

/// The items of an array.
#[derive(Clone, Debug)]
pub struct Items<'d, 'a> {
    document: &'d Document<'a>,
    next: u32,
    end: u32,
}

impl<'d, 'a> Iterator for Items<'d, 'a> {
    type Item = Node<'d, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let node = Node { document: self.document, index: self.next };
        self.next = node.raw().next;
        Some(node)
    }
}

/// The members of an object.
#[derive(Clone, Debug)]
pub struct Members<'d, 'a>(Items<'d, 'a>);

impl<'d, 'a> Iterator for Members<'d, 'a> {
    type Item = (Cow<'a, str>, Node<'d, 'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let node = self.0.next()?;
        let raw = node.raw();
        let span = node.document.slice(raw.name.0, raw.name.1);
        let name = if raw.escaped.0 { Cow::Owned(unescaped(span)) } else { Cow::Borrowed(span) };
        Some((name, node))
    }
}
