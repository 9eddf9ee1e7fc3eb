//! Distinguished names (RFC 5280 section 4.1.2.4) and their comparison (section 7.1).

use super::{Form, Item, Items, Problem, ids, name_of};
use crate::{
    c509::registry,
    cbor,
    der::{self, Oid, Reader, tag},
};
use core::fmt::{self, Write as _};

/// The most attributes a name may have. Names in use have below ten; comparing is quadratic within one RDN.
pub const MAX_ATTRIBUTES: usize = 32;

/// A distinguished name: a sequence of sets of attributes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name<'a> {
    encoding: &'a [u8],
    content: &'a [u8],
    form: Form,
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

    /// The DER, tag and length included; empty if the name is written in C509's own form ([`encoding`](Self::encoding),
    /// [`write_der`](Self::write_der)).
    #[must_use]
    pub const fn der(&self) -> &'a [u8] {
        match self.form {
            Form::Der => self.encoding,
            Form::Cbor | Form::Lone | Form::Uris => &[],
        }
    }

    /// The bytes of the name as they stand where it was read: DER, or a CBOR item.
    #[must_use]
    pub const fn encoding(&self) -> &'a [u8] {
        self.encoding
    }

    /// Writes the name as DER, whatever form it was read from. `None` if `out` is too short.
    #[must_use]
    pub fn write_der<'o>(&self, out: &'o mut [u8]) -> Option<&'o [u8]> {
        crate::c509::out::into_slice(out, &|out| crate::c509::to_der::name(out, self))
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
    pub fn only(&self, kind: Oid<'_>) -> Option<Text<'a>> {
        let mut of_this_kind = self.attributes().filter(|attribute| attribute.kind == kind);
        let first = of_this_kind.next()?;
        if of_this_kind.next().is_some() { None } else { first.text() }
    }

    /// Whether both name the same (RFC 5280 section 7.1): attribute by attribute, letters `a` to `z` in either case,
    /// white space folded, whatever the string type. Characters beyond ASCII are compared as they are.
    #[must_use]
    pub fn matches(&self, other: &Name<'_>) -> bool {
        if self.form == other.form && self.encoding == other.encoding {
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
        Rdns { rest: self.content, form: self.form }
    }

    /// Whether no set has more than one attribute: C509 has no form for those.
    pub(crate) fn has_single_attributes(&self) -> bool {
        self.rdns().all(|rdn| rdn.0.count() == 1)
    }

    /// Reads a name in C509's form (section "issuer"). In a natively signed certificate every number is not negative.
    pub(crate) fn read_c509(reader: &mut cbor::Reader<'a>, native: bool) -> Result<Self, Problem> {
        const ARRAY: u8 = 4;
        let start = reader.position();
        if reader.major_type()? != ARRAY {
            Attribute::read_cbor(reader, Form::Lone)?;
            let encoding = reader.read_since(start);
            return Ok(Self { encoding, content: encoding, form: Form::Lone });
        }
        let count = reader.array((MAX_ATTRIBUTES as u64) << 1)?;
        if count % 2 != 0 {
            return Err(Problem::Cbor(cbor::ErrorKind::OutOfRange));
        }
        let inner = reader.position();
        for _ in 0..count / 2 {
            let attribute = Attribute::read_cbor(reader, Form::Cbor)?;
            if native && attribute.tag == tag::PRINTABLE_STRING {
                return Err(Problem::NotCanonical);
            }
            if count == 2 && attribute.kind == ids::COMMON_NAME && attribute.tag == tag::UTF8_STRING {
                return Err(Problem::NotCanonical);
            }
        }
        Ok(Self { encoding: reader.read_since(start), content: reader.read_since(inner), form: Form::Cbor })
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
        Ok(Self { encoding: element.encoding, content: element.content, form: Form::Der })
    }

    fn read_cbor(reader: &mut cbor::Reader<'a>, _: Form) -> Result<Self, Problem> {
        Self::read_c509(reader, false)
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
struct Rdns<'a> {
    rest: &'a [u8],
    form: Form,
}

impl<'a> Iterator for Rdns<'a> {
    type Item = Rdn<'a>;

    fn next(&mut self) -> Option<Rdn<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        if self.form == Form::Der {
            let mut reader = Reader::new(self.rest);
            let set = reader.expect(tag::SET).ok()?;
            self.rest = reader.rest();
            return Some(Rdn(Items::known(set, Form::Der)));
        }
        // In C509 each attribute is a set of its own.
        let mut reader = cbor::Reader::new(self.rest);
        Attribute::read_cbor(&mut reader, self.form).ok()?;
        self.rest = reader.rest();
        Some(Rdn(Items::known(reader.read_since(0), self.form)))
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
    value: Text<'a>,
}

impl<'a> Attribute<'a> {
    /// The attribute's type.
    #[must_use]
    pub const fn kind(&self) -> Oid<'a> {
        self.kind
    }

    /// The tag of the value in DER.
    #[must_use]
    pub const fn tag(&self) -> u8 {
        self.tag
    }

    /// The content octets of the value in DER, as text or not.
    #[must_use]
    pub const fn value(&self) -> Text<'a> {
        self.value
    }

    /// The value as text, if it is of a string type whose bytes are UTF-8 or ASCII.
    #[must_use]
    pub fn text(&self) -> Option<Text<'a>> {
        let right = match self.value.0 {
            Octets::Plain(bytes) => is_text(self.tag) && core::str::from_utf8(bytes).is_ok(),
            Octets::Hex(_) | Octets::Eui(_) => true,
        };
        right.then_some(self.value)
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

    fn read_known(reader: &mut cbor::Reader<'a>) -> Result<(Oid<'a>, u8), Problem> {
        let number = reader.int()?;
        let kind = registry::ATTRIBUTES.oid(number.unsigned_abs()).ok_or(Problem::Unregistered)?;
        match (is_ia5(kind), number < 0) {
            (true, false) => Ok((kind, tag::IA5_STRING)),
            (false, false) => Ok((kind, tag::UTF8_STRING)),
            (false, true) => Ok((kind, tag::PRINTABLE_STRING)),
            (true, true) => Err(Problem::NotCanonical),
        }
    }

    fn read_by_oid(reader: &mut cbor::Reader<'a>) -> Result<Self, Problem> {
        let kind = Oid::from_content(reader.bytes()?)?;
        let mut inner = Reader::new(reader.bytes()?);
        let element = inner.element()?;
        inner.finish()?;
        check_value(element)?;
        let attribute = Self { kind, tag: element.tag, value: Text::plain(element.content) };
        if attribute.number().is_some() { Err(Problem::NotCanonical) } else { Ok(attribute) }
    }

    /// The number that C509 has for this type with this type of string; negative for a `PrintableString`.
    pub(crate) fn number(&self) -> Option<i64> {
        let number = i64::from(registry::ATTRIBUTES.number(self.kind.as_bytes())?);
        match (is_ia5(self.kind), self.tag) {
            (true, tag::IA5_STRING) | (false, tag::UTF8_STRING) => Some(number),
            (false, tag::PRINTABLE_STRING) => Some(number.saturating_neg()),
            _ => None,
        }
    }
}

/// Whether values of this type are always an `IA5String` (RFC 5280 appendix A.1).
fn is_ia5(kind: Oid<'_>) -> bool {
    kind == ids::EMAIL_ADDRESS || kind == ids::DOMAIN_COMPONENT
}

impl<'a> Item<'a> for Attribute<'a> {
    /// Trust lists name authorities in DER.
    const IN_DER: bool = true;

    fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        let mut inner = reader.nested(tag::SEQUENCE)?;
        let kind = inner.oid()?;
        let element = inner.element()?;
        inner.finish()?;
        check_value(element)?;
        Ok(Self { kind, tag: element.tag, value: Text::plain(element.content) })
    }

    fn read_cbor(reader: &mut cbor::Reader<'a>, form: Form) -> Result<Self, Problem> {
        let (kind, tag) = match form {
            Form::Lone => (ids::COMMON_NAME, tag::UTF8_STRING),
            Form::Der | Form::Cbor | Form::Uris if reader.major_type()? == 2 => return Self::read_by_oid(reader),
            Form::Der | Form::Cbor | Form::Uris => Self::read_known(reader)?,
        };
        let value = Text::read_special(reader)?;
        if let Octets::Plain(content) = value.0 {
            check_value(der::Element { tag, content, encoding: &[] })?;
        }
        Ok(Self { kind, tag, value })
    }
}

/// The text of an attribute. C509 writes hexadecimal text and EUI-64 addresses as the bytes they stand for, so it need
/// not stand anywhere as it is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'a>(Octets<'a>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Octets<'a> {
    /// As it is.
    Plain(&'a [u8]),
    /// `0` to `9` and `a` to `f`, two for each byte.
    Hex(&'a [u8]),
    /// `HH-HH-HH-HH-HH-HH-HH-HH`; of six bytes `HH-HH-HH-FF-FE-HH-HH-HH`.
    Eui(&'a [u8]),
}

impl<'a> Text<'a> {
    pub(crate) const fn plain(text: &'a [u8]) -> Self {
        Self(Octets::Plain(text))
    }

    /// The text, if it stands somewhere as it is: always in X.509. (Of hexadecimal text and EUI-64 addresses in C509 it
    /// does not.)
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        match self.0 {
            Octets::Plain(bytes) => core::str::from_utf8(bytes).ok(),
            Octets::Hex(_) | Octets::Eui(_) => None,
        }
    }

    /// Its bytes, if they stand somewhere as they are.
    pub(crate) const fn as_bytes(&self) -> Option<&'a [u8]> {
        match self.0 {
            Octets::Plain(bytes) => Some(bytes),
            Octets::Hex(_) | Octets::Eui(_) => None,
        }
    }

    /// Its bytes, one after the other.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + use<'a> {
        Spelled { octets: self.0, position: 0 }
    }

    /// Its bytes in as few pieces as it stands.
    pub(crate) fn bytes_in_pieces(&self, to: &mut dyn FnMut(&[u8])) {
        match self.as_bytes() {
            Some(bytes) => to(bytes),
            None => self.bytes().for_each(|byte| to(&[byte])),
        }
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Octets::Plain(bytes) => bytes.len(),
            Octets::Hex(bytes) => bytes.len().saturating_mul(2),
            Octets::Eui(_) => EUI_LENGTH,
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads `SpecialText` (section "issuer"). What can be written shorter must be.
    fn read_special(reader: &mut cbor::Reader<'a>) -> Result<Self, Problem> {
        const BYTES: u8 = 2;
        const TEXT: u8 = 3;
        match reader.major_type()? {
            TEXT => {
                let text = Self::plain(reader.any_text()?.as_bytes());
                if text.is_hex() || text.eui().is_some() { Err(Problem::NotCanonical) } else { Ok(text) }
            }
            BYTES => match reader.bytes()? {
                [] => Err(Problem::NotCanonical),
                bytes => Ok(Self(Octets::Hex(bytes))),
            },
            _ => {
                reader.tag(TAG_MAC)?;
                match reader.bytes()? {
                    [_, _, _, 0xff, 0xfe, _, _, _] => Err(Problem::NotCanonical),
                    bytes if matches!(bytes.len(), 6 | 8) => Ok(Self(Octets::Eui(bytes))),
                    _ => Err(Problem::Cbor(cbor::ErrorKind::OutOfRange)),
                }
            }
        }
    }

    /// Whether C509 writes it as the bytes that its hexadecimal digits stand for.
    pub(crate) fn is_hex(&self) -> bool {
        match self.0 {
            Octets::Plain(text) => {
                !text.is_empty()
                    && text.len().is_multiple_of(2)
                    && text.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
            }
            Octets::Hex(_) => true,
            Octets::Eui(_) => false,
        }
    }

    /// The EUI-64 it is, and how many of its bytes C509 writes.
    pub(crate) fn eui(&self) -> Option<Eui> {
        if self.len() != EUI_LENGTH {
            return None;
        }
        let mut bytes = [0_u8; 8];
        for (index, character) in (0..EUI_CHARACTERS).zip(self.bytes()) {
            let byte = bytes.get_mut(usize::from(index / 3))?;
            match (index % 3, character) {
                (2, b'-') => {}
                (0 | 1, b'0'..=b'9' | b'A'..=b'F') => *byte = (*byte << 4) | nibble(character),
                _ => return None,
            }
        }
        Some(Eui(bytes))
    }
}

/// Characters of an EUI-64.
const EUI_CHARACTERS: u8 = 23;
const EUI_LENGTH: usize = EUI_CHARACTERS as usize;
/// The CBOR tag of a MAC address (RFC 9542 section 2.4).
pub(crate) const TAG_MAC: u64 = 48;

/// An EUI-64.
pub(crate) struct Eui([u8; 8]);

impl Eui {
    /// The bytes that C509 writes: six of one made from an EUI-48.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        let (front, back) = (self.0.first_chunk::<3>(), self.0.last_chunk::<3>());
        match (&self.0, front, back) {
            ([_, _, _, 0xff, 0xfe, _, _, _], Some(front), Some(back)) => [front, back],
            (all, _, _) => [all, &[]],
        }
    }
}

/// The value of a hexadecimal digit in either case.
pub(crate) const fn nibble(character: u8) -> u8 {
    if character <= b'9' { character & 0xf } else { (character & 0xf).wrapping_add(9) }
}

struct Spelled<'a> {
    octets: Octets<'a>,
    position: usize,
}

impl Iterator for Spelled<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let position = self.position;
        self.position = position.saturating_add(1);
        let of = |byte: u8, high: bool, digits: &[u8; 16]| {
            let value = if high { byte >> 4 } else { byte & 0xf };
            digits.get(usize::from(value)).copied()
        };
        match self.octets {
            Octets::Plain(bytes) => bytes.get(position).copied(),
            Octets::Hex(bytes) => of(*bytes.get(position / 2)?, position.is_multiple_of(2), b"0123456789abcdef"),
            Octets::Eui(bytes) => {
                if position >= EUI_LENGTH {
                    return None;
                }
                if position % 3 == 2 {
                    return Some(b'-');
                }
                let index = position / 3;
                let byte = match (bytes.len(), index) {
                    (6, 3) => 0xff,
                    (6, 4) => 0xfe,
                    (6, 5..) => *bytes.get(index.saturating_sub(2))?,
                    _ => *bytes.get(index)?,
                };
                of(byte, position.is_multiple_of(3), b"0123456789ABCDEF")
            }
        }
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.bytes().eq(other.bytes())
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl fmt::Display for Text<'_> {
    /// The text as it is; bytes that are not UTF-8 as `�`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Octets::Plain(bytes) => bytes.utf8_chunks().try_for_each(|chunk| {
                f.write_str(chunk.valid())?;
                if chunk.invalid().is_empty() { Ok(()) } else { f.write_char(char::REPLACEMENT_CHARACTER) }
            }),
            Octets::Hex(_) | Octets::Eui(_) => self.bytes().try_for_each(|byte| f.write_char(char::from(byte))),
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({self})")
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
            return self.value.bytes().try_for_each(|byte| write!(f, "{byte:02x}"));
        };
        let Some(text) = text.as_str() else { return text.fmt(f) };
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
    spelled: Spelled<'a>,
    after_space: bool,
}

impl<'a> Folded<'a> {
    const fn new(text: Text<'a>) -> Self {
        let octets = match text.0 {
            Octets::Plain(bytes) => Octets::Plain(bytes.trim_ascii()),
            spelled @ (Octets::Hex(_) | Octets::Eui(_)) => spelled,
        };
        Self { spelled: Spelled { octets, position: 0 }, after_space: false }
    }
}

impl Iterator for Folded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let mut next = self.spelled.next()?;
        while self.after_space && next.is_ascii_whitespace() {
            next = self.spelled.next()?;
        }
        self.after_space = next.is_ascii_whitespace();
        Some(if self.after_space { b' ' } else { next.to_ascii_lowercase() })
    }
}

impl<'a> Name<'a> {
    /// The values of all `emailAddress` attributes, which rfc822 name constraints also bind (RFC 5280 section
    /// 4.2.1.10). One that is not text, or no address at all, comes as `None`.
    pub(crate) fn email_addresses(&self) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
        self.attributes()
            .filter(|attribute| attribute.kind == ids::EMAIL_ADDRESS)
            .map(|attribute| attribute.text().and_then(|text| text.as_str()))
    }
}
