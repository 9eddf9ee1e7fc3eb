//! Distinguished names (RFC 5280 section 4.1.2.4) and their comparison (section 7.1).

use super::{Item, Items, ids, name_of};
use crate::der::{self, Oid, Reader, tag};
use core::fmt::{self, Write as _};

/// The most attributes a name may have. Names in use have below ten; comparing is quadratic within one RDN.
pub const MAX_ATTRIBUTES: usize = 32;

/// A distinguished name: a sequence of sets of attributes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name<'a> {
    der: &'a [u8],
    content: &'a [u8],
}

impl<'a> Name<'a> {
    /// Reads a name that stands alone, as in a trust list.
    ///
    /// # Errors
    /// What is wrong with its DER.
    pub fn from_der(der: &'a [u8]) -> Result<Self, der::Error> {
        let mut reader = Reader::new(der);
        let name = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(name)
    }

    /// The DER, tag and length included.
    #[must_use]
    pub const fn der(&self) -> &'a [u8] {
        self.der
    }

    /// Whether there is no attribute at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.content.is_empty()
    }

    /// All attributes, in the order of the encoding.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        self.rdns().flat_map(|rdn| rdn.0)
    }

    /// The text of the only attribute of this type; `None` if there is none, more than one, or it is not text.
    #[must_use]
    pub fn only(&self, kind: Oid<'_>) -> Option<&'a str> {
        let mut of_this_kind = self.attributes().filter(|attribute| attribute.kind == kind);
        let first = of_this_kind.next()?;
        if of_this_kind.next().is_some() { None } else { first.text() }
    }

    /// Whether both name the same (RFC 5280 section 7.1): attribute by attribute, letters `a` to `z` in either case,
    /// white space folded, whatever the string type. Characters beyond ASCII are compared as they are.
    #[must_use]
    pub fn matches(&self, other: &Name<'_>) -> bool {
        if self.der == other.der {
            return true;
        }
        let (mut ours, mut theirs) = (self.rdns(), other.rdns());
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(our), Some(their)) if our.matches(&their) => {}
                (Some(_) | None, Some(_) | None) => return false,
            }
        }
    }

    /// Whether this name is `base` or lies below it in the directory tree (RFC 5280 section 4.2.1.10).
    #[must_use]
    pub fn is_within(&self, base: &Name<'_>) -> bool {
        let mut ours = self.rdns();
        base.rdns().all(|rdn| ours.next().is_some_and(|our| our.matches(&rdn)))
    }

    fn rdns(&self) -> Rdns<'a> {
        Rdns(Reader::new(self.content))
    }
}

impl<'a> Item<'a> for Name<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        let element = reader.expect_element(tag::SEQUENCE)?;
        let mut rdns = Reader::new(element.content);
        let mut count = 0_usize;
        while !rdns.is_empty() {
            let set = rdns.expect(tag::SET)?;
            count = count.saturating_add(check_rdn(set)?);
            if count > MAX_ATTRIBUTES {
                return Err(der::Error::Depth);
            }
        }
        Ok(Self { der: element.encoding, content: element.content })
    }
}

/// Checks one set: at least one member, members in ascending order and each once (X.690 section 11.6).
fn check_rdn(set: &[u8]) -> Result<usize, der::Error> {
    Items::<Attribute<'_>>::checked(set)?;
    let mut reader = Reader::new(set);
    let mut before: Option<&[u8]> = None;
    let mut count = 0_usize;
    while !reader.is_empty() {
        let element = reader.element()?;
        if before.is_some_and(|before| before >= element.encoding) {
            return Err(der::Error::Order);
        }
        before = Some(element.encoding);
        count = count.saturating_add(1);
    }
    Ok(count)
}

impl fmt::Display for Name<'_> {
    /// The string form of RFC 4514: last attribute first, `+` inside a set; types without a short name in dotted form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.rdns().count();
        for position in 0..count {
            if position > 0 {
                f.write_char(',')?;
            }
            let Some(rdn) = self.rdns().nth(count.saturating_sub(position).saturating_sub(1)) else { continue };
            for (index, attribute) in rdn.0.enumerate() {
                if index > 0 {
                    f.write_char('+')?;
                }
                attribute.fmt(f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

#[derive(Clone, Copy)]
struct Rdns<'a>(Reader<'a>);

impl<'a> Iterator for Rdns<'a> {
    type Item = Rdn<'a>;

    fn next(&mut self) -> Option<Rdn<'a>> {
        if self.0.is_empty() {
            return None;
        }
        Items::checked(self.0.expect(tag::SET).ok()?).ok().map(Rdn)
    }
}

/// A relative distinguished name: a set of attributes.
#[derive(Clone, Copy)]
struct Rdn<'a>(Items<'a, Attribute<'a>>);

impl Rdn<'_> {
    /// Both have as many attributes, and each of ours is among theirs and the other way round.
    fn matches(&self, other: &Rdn<'_>) -> bool {
        let count = self.0.count();
        if count != other.0.count() {
            return false;
        }
        self.0.into_iter().all(|our| other.0.into_iter().any(|their| our.matches(&their)))
            && (count == 1 || other.0.into_iter().all(|their| self.0.into_iter().any(|our| our.matches(&their))))
    }
}

/// One attribute of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    kind: Oid<'a>,
    tag: u8,
    value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The attribute's type.
    #[must_use]
    pub const fn kind(&self) -> Oid<'a> {
        self.kind
    }

    /// The tag of the value.
    #[must_use]
    pub const fn tag(&self) -> u8 {
        self.tag
    }

    /// The content octets of the value.
    #[must_use]
    pub const fn value(&self) -> &'a [u8] {
        self.value
    }

    /// The value as text, if it is of a string type whose bytes are UTF-8 or ASCII.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        if is_text(self.tag) { core::str::from_utf8(self.value).ok() } else { None }
    }

    fn matches(&self, other: &Attribute<'_>) -> bool {
        if self.kind != other.kind {
            return false;
        }
        if self.value == other.value && self.tag == other.tag {
            return true;
        }
        is_text(self.tag) && is_text(other.tag) && Folded::new(self.value).eq(Folded::new(other.value))
    }
}

impl<'a> Item<'a> for Attribute<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        let mut inner = reader.nested(tag::SEQUENCE)?;
        let kind = inner.oid()?;
        let element = inner.element()?;
        inner.finish()?;
        check_value(element)?;
        Ok(Self { kind, tag: element.tag, value: element.content })
    }
}

/// Checks an attribute's value. `PrintableString` may hold any printable ASCII character: deployed encoders put `_`,
/// `@` and `*` there, which ASN.1 forbids, and comparing does not depend on it.
fn check_value(element: der::Element<'_>) -> Result<(), der::Error> {
    let right = match element.tag {
        tag::PRINTABLE_STRING | tag::VISIBLE_STRING => element.content.iter().all(|c| (0x20..0x7f).contains(c)),
        tag::NUMERIC_STRING => element.content.iter().all(|c| *c == b' ' || c.is_ascii_digit()),
        tag::IA5_STRING => element.content.is_ascii(),
        tag::UTF8_STRING => core::str::from_utf8(element.content).is_ok(),
        tag::TELETEX_STRING => true,
        tag::BMP_STRING => element.content.len().is_multiple_of(2),
        tag::UNIVERSAL_STRING => element.content.len().is_multiple_of(4),
        _ => return der::well_formed(element.encoding),
    };
    if right { Ok(()) } else { Err(der::Error::String) }
}

const fn is_text(tag: u8) -> bool {
    matches!(
        tag,
        tag::PRINTABLE_STRING | tag::UTF8_STRING | tag::IA5_STRING | tag::VISIBLE_STRING | tag::NUMERIC_STRING
    )
}

impl fmt::Display for Attribute<'_> {
    /// `type=value`, escaped as RFC 4514 section 2.4 says; a value that is not text as `#` and the hexadecimal of its
    /// content octets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match name_of(&self.kind) {
            Some(name) => write!(f, "{name}=")?,
            None => write!(f, "{}=", self.kind)?,
        }
        let Some(text) = self.text() else {
            f.write_char('#')?;
            return self.value.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
        };
        let last = text.chars().count().saturating_sub(1);
        for (index, character) in text.chars().enumerate() {
            let at_an_end = (character == ' ' && (index == 0 || index == last)) || (character == '#' && index == 0);
            match character {
                ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => write!(f, "\\{character}")?,
                _ if at_an_end => write!(f, "\\{character}")?,
                // No control character, also none beyond ASCII, reaches a terminal.
                _ if character.is_control() => {
                    let mut bytes = [0; 4];
                    character.encode_utf8(&mut bytes).bytes().try_for_each(|byte| write!(f, "\\{byte:02x}"))?;
                }
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Bytes in lower case, white space at the ends dropped and inside reduced to one space.
struct Folded<'a> {
    rest: &'a [u8],
}

impl<'a> Folded<'a> {
    const fn new(text: &'a [u8]) -> Self {
        Self { rest: text.trim_ascii() }
    }
}

impl Iterator for Folded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = if first.is_ascii_whitespace() { rest.trim_ascii_start() } else { rest };
        Some(if first.is_ascii_whitespace() { b' ' } else { first.to_ascii_lowercase() })
    }
}

impl<'a> Name<'a> {
    /// The values of all `emailAddress` attributes, which rfc822 name constraints also bind (RFC 5280 section
    /// 4.2.1.10). One that is not text comes as `None`.
    pub(crate) fn email_addresses(&self) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
        self.attributes().filter(|attribute| attribute.kind == ids::EMAIL_ADDRESS).map(|attribute| attribute.text())
    }
}
