//! Name constraints (RFC 5280 section 4.2.1.10).

use super::{
    Form, GeneralName, Item, Items, Problem,
    general_name::{is_host_name, uri_host},
    text,
};
use crate::{
    cbor,
    der::{self, Reader, tag},
};

/// `NameConstraints`: inside which names the certificates below an authority must stay.
#[derive(Clone, Copy, Debug)]
pub struct NameConstraints<'a> {
    permitted: Items<'a, Subtree<'a>>,
    excluded: Items<'a, Subtree<'a>>,
}

impl<'a> NameConstraints<'a> {
    /// Reads the value of the extension.
    ///
    /// # Errors
    /// What is wrong with its DER; [`der::Error::Default`] when neither list is there or one is empty, or a subtree has
    /// `minimum` or `maximum` (RFC 5280 forbids both).
    pub fn from_der(der: &'a [u8]) -> Result<Self, der::Error> {
        let mut reader = Reader::new(der);
        let mut inner = reader.nested(tag::SEQUENCE)?;
        reader.finish()?;
        let permitted = inner.optional(tag::context_constructed(0))?;
        let excluded = inner.optional(tag::context_constructed(1))?;
        inner.finish()?;
        if permitted.is_none() && excluded.is_none() {
            return Err(der::Error::Default);
        }
        let subtrees = |content: Option<&'a [u8]>| content.map_or(Ok(Items::EMPTY), Items::checked);
        Ok(Self { permitted: subtrees(permitted)?, excluded: subtrees(excluded)? })
    }

    /// Reads the value in C509's form: two lists of names, each of them or `null`.
    pub(crate) fn from_c509(item: &'a [u8]) -> Result<Self, Problem> {
        let mut reader = cbor::Reader::new(item);
        reader.array_of(2)?;
        let permitted = Self::subtrees_c509(&mut reader)?;
        let excluded = Self::subtrees_c509(&mut reader)?;
        reader.finish()?;
        if permitted.is_none() && excluded.is_none() {
            return Err(Problem::Der(der::Error::Default));
        }
        Ok(Self { permitted: permitted.unwrap_or(Items::EMPTY), excluded: excluded.unwrap_or(Items::EMPTY) })
    }

    fn subtrees_c509(reader: &mut cbor::Reader<'a>) -> Result<Option<Items<'a, Subtree<'a>>>, Problem> {
        if reader.null()? { Ok(None) } else { Items::array(reader).map(Some) }
    }

    /// The subtrees of which a name of the same form must lie in one.
    #[must_use]
    pub const fn permitted(&self) -> Items<'a, Subtree<'a>> {
        self.permitted
    }

    /// The subtrees in none of which a name may lie.
    #[must_use]
    pub const fn excluded(&self) -> Items<'a, Subtree<'a>> {
        self.excluded
    }
}

/// One subtree: a base name. `minimum` is always 0 and `maximum` absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree<'a> {
    base: GeneralName<'a>,
}

/// How a name lies to a subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The subtree says nothing about names of this form.
    AnotherForm,
    /// The name, or something it stands for, lies in the subtree.
    Inside,
    /// It does not.
    Outside,
    /// It cannot be told: the form is not supported, or the name is not what its form should be. The standard has such
    /// a certificate refused.
    Unknown,
}

/// On which side of the constraints a subtree stands. A wildcard name stands for many: all of them must be permitted,
/// and none may be excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Permitted,
    Excluded,
}

impl<'a> Subtree<'a> {
    /// The base name. An IP base is an address and a mask; from C509 an address and one octet that tells how many bits
    /// of it count.
    #[must_use]
    pub const fn base(&self) -> GeneralName<'a> {
        self.base
    }

    /// How `name` lies to this subtree. Every pair of forms is listed: a catch-all arm would let a form that is added
    /// later pass unseen.
    pub(crate) fn relation(&self, name: &GeneralName<'_>, side: Side) -> Relation {
        use GeneralName::{Directory, Dns, EdiParty, Ip, Other, RegisteredId, Rfc822, Uri, X400};
        match (self.base, *name) {
            (Dns(base), Dns(name)) => dns(base, name, side),
            (Ip(base), Ip(address)) => ip(base, address),
            (Uri(base), Uri(uri)) => uri_host(uri).map_or(Relation::Unknown, |host| inside(is_host_in(host, base))),
            (Rfc822(base), Rfc822(address)) => rfc822(base, address),
            (Directory(base), Directory(name)) => inside(name.is_within(&base)),
            (Other { .. }, Other { .. })
            | (X400(_), X400(_))
            | (EdiParty(_), EdiParty(_))
            | (RegisteredId(_), RegisteredId(_)) => Relation::Unknown,
            (
                Dns(_),
                Other { .. } | Rfc822(_) | X400(_) | Directory(_) | EdiParty(_) | Uri(_) | Ip(_) | RegisteredId(_),
            )
            | (
                Ip(_),
                Other { .. } | Rfc822(_) | Dns(_) | X400(_) | Directory(_) | EdiParty(_) | Uri(_) | RegisteredId(_),
            )
            | (
                Uri(_),
                Other { .. } | Rfc822(_) | Dns(_) | X400(_) | Directory(_) | EdiParty(_) | Ip(_) | RegisteredId(_),
            )
            | (
                Rfc822(_),
                Other { .. } | Dns(_) | X400(_) | Directory(_) | EdiParty(_) | Uri(_) | Ip(_) | RegisteredId(_),
            )
            | (
                Directory(_),
                Other { .. } | Rfc822(_) | Dns(_) | X400(_) | EdiParty(_) | Uri(_) | Ip(_) | RegisteredId(_),
            )
            | (
                Other { .. },
                Rfc822(_) | Dns(_) | X400(_) | Directory(_) | EdiParty(_) | Uri(_) | Ip(_) | RegisteredId(_),
            )
            | (
                X400(_),
                Other { .. } | Rfc822(_) | Dns(_) | Directory(_) | EdiParty(_) | Uri(_) | Ip(_) | RegisteredId(_),
            )
            | (
                EdiParty(_),
                Other { .. } | Rfc822(_) | Dns(_) | X400(_) | Directory(_) | Uri(_) | Ip(_) | RegisteredId(_),
            )
            | (
                RegisteredId(_),
                Other { .. } | Rfc822(_) | Dns(_) | X400(_) | Directory(_) | EdiParty(_) | Uri(_) | Ip(_),
            ) => Relation::AnotherForm,
        }
    }
}

impl<'a> Item<'a> for Subtree<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        let mut inner = reader.nested(tag::SEQUENCE)?;
        let base = GeneralName::read(&mut inner)?;
        // `minimum` has the default 0 and must be 0, `maximum` must be absent: so neither is ever encoded.
        if !inner.is_empty() {
            return Err(der::Error::Default);
        }
        if let GeneralName::Ip(bytes) = base {
            check_mask(bytes)?;
        }
        Self::checked(base)
    }

    fn read_cbor(reader: &mut cbor::Reader<'a>, form: Form) -> Result<Self, Problem> {
        let base = GeneralName::read_cbor(reader, form)?;
        if let GeneralName::Ip(bytes) = base
            && prefix(bytes).is_none()
        {
            return Err(Problem::Value);
        }
        Ok(Self::checked(base)?)
    }
}

/// The address in C509's form of a range (RFC 9549 section 2.2), and how many of its bits count.
fn prefix(bytes: &[u8]) -> Option<(&[u8], u8)> {
    let (bits, address) = bytes.split_last()?;
    match (address.len(), *bits) {
        (4, 0..=32) | (16, 0..=128) => Some((address, *bits)),
        _ => None,
    }
}

impl<'a> Subtree<'a> {
    fn checked(base: GeneralName<'a>) -> Result<Self, der::Error> {
        match base {
            // A leading dot is in use and not in RFC 5280; whether it holds the name itself is not agreed.
            GeneralName::Dns(name) if !name.is_empty() && !is_host_name(name) => return Err(der::Error::String),
            GeneralName::Other { .. }
            | GeneralName::Rfc822(_)
            | GeneralName::Dns(_)
            | GeneralName::X400(_)
            | GeneralName::Directory(_)
            | GeneralName::EdiParty(_)
            | GeneralName::Uri(_)
            | GeneralName::Ip(_)
            | GeneralName::RegisteredId(_) => {}
        }
        Ok(Self { base })
    }
}

/// An address and a mask of the same length, the mask being ones and then zeros (RFC 4632).
fn check_mask(bytes: &[u8]) -> Result<(), der::Error> {
    if bytes.len() != 8 && bytes.len() != 32 {
        return Err(der::Error::Length);
    }
    let mask = bytes.split_at_checked(bytes.len() / 2).map_or(bytes, |(_, mask)| mask);
    let mut ended = false;
    for octet in mask {
        if octet.leading_ones().saturating_add(octet.trailing_zeros()) < 8 || (ended && *octet != 0) {
            return Err(der::Error::String);
        }
        ended |= *octet != 0xff;
    }
    Ok(())
}

const fn inside(is_inside: bool) -> Relation {
    if is_inside { Relation::Inside } else { Relation::Outside }
}

/// Whether `name` is `base` with zero or more labels in front. An empty base holds every name.
fn is_below(name: &str, base: &str) -> bool {
    if base.is_empty() || name.eq_ignore_ascii_case(base) {
        return true;
    }
    let front = name.len().checked_sub(base.len()).and_then(|length| name.split_at_checked(length));
    front.is_some_and(|(labels, end)| labels.as_bytes().ends_with(b".") && end.eq_ignore_ascii_case(base))
}

/// RFC 5280: a base holds itself and every name made from it with labels in front.
fn dns(base: &str, name: &str, side: Side) -> Relation {
    match name.strip_prefix("*.") {
        Some(parent) => {
            if !is_host_name(parent) {
                return Relation::Unknown;
            }
            let one_label_below =
                text::split_once(base, b'.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent));
            inside(is_below(parent, base) || (side == Side::Excluded && one_label_below))
        }
        None if !is_host_name(name) => Relation::Unknown,
        None => inside(is_below(name, base)),
    }
}

/// RFC 5280: a base with a leading dot holds the hosts below, one without holds that one host.
fn is_host_in(host: &str, base: &str) -> bool {
    match base.strip_prefix('.') {
        Some(domain) => is_below(host, domain) && !host.eq_ignore_ascii_case(domain),
        None => host.eq_ignore_ascii_case(base),
    }
}

/// RFC 5280: a base is one mailbox, all mailboxes of one host, or, with a leading dot, of all hosts below.
fn rfc822(base: &str, address: &str) -> Relation {
    let Some((local, host)) = text::rsplit_once(address, b'@') else {
        return Relation::Unknown;
    };
    let bytes = local.as_bytes();
    let quoted = bytes.len() > 1 && bytes.starts_with(b"\"") && bytes.ends_with(b"\"");
    if local.is_empty() || host.is_empty() || (text::split_once(local, b'@').is_some() && !quoted) {
        return Relation::Unknown;
    }
    match text::rsplit_once(base, b'@') {
        Some((base_local, base_host)) => inside(local == base_local && host.eq_ignore_ascii_case(base_host)),
        None => inside(base.is_empty() || is_host_in(host, base)),
    }
}

fn ip(base: &[u8], address: &[u8]) -> Relation {
    if let Some((network, bits)) = prefix(base)
        && network.len() == address.len()
    {
        let mut left = bits;
        return inside(address.iter().zip(network).all(|(address, network)| {
            let here = left.min(8);
            left = left.saturating_sub(here);
            let mask = !(0xff_u16 >> here).to_be_bytes()[1];
            address & mask == network & mask
        }));
    }
    if base.len() != address.len().saturating_mul(2) {
        // The other family: a constraint on addresses of one family leaves no room for the other.
        return if matches!(address.len(), 4 | 16) { Relation::Outside } else { Relation::Unknown };
    }
    let (network, mask) = base.split_at_checked(address.len()).unwrap_or_default();
    let equal =
        address.iter().zip(network).zip(mask).all(|((address, network), mask)| address & mask == network & mask);
    inside(equal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Relation::{AnotherForm, Inside, Outside, Unknown};
    use Side::{Excluded, Permitted};

    fn relation(base: GeneralName<'_>, name: GeneralName<'_>, side: Side) -> Relation {
        Subtree { base }.relation(&name, side)
    }

    #[test]
    fn dns_constraints_hold_whole_labels() {
        for (base, name, permitted, excluded) in [
            ("example.org", "example.org", Inside, Inside),
            ("example.org", "a.B.Example.org", Inside, Inside),
            ("example.org", "badexample.org", Outside, Outside),
            ("", "anything.example", Inside, Inside),
            ("a.example.org", "*.example.org", Outside, Inside),
            ("example.org", "*.example.org", Inside, Inside),
            ("b.a.example.org", "*.example.org", Outside, Outside),
            ("example.org", "not a name", Unknown, Unknown),
        ] {
            assert_eq!(relation(GeneralName::Dns(base), GeneralName::Dns(name), Permitted), permitted, "{base} {name}");
            assert_eq!(relation(GeneralName::Dns(base), GeneralName::Dns(name), Excluded), excluded, "{base} {name}");
        }
    }

    #[test]
    fn uri_constraints_look_at_the_host() {
        for (base, uri, expected) in [
            ("hub.example", "https://hub.example/x", Inside),
            ("hub.example", "https://a.hub.example/x", Outside),
            (".example", "https://hub.example:8443/x", Inside),
            (".hub.example", "https://hub.example/x", Outside),
            ("hub.example", "https://10.0.0.1/", Unknown),
            ("hub.example", "urn:uuid:1", Unknown),
        ] {
            assert_eq!(relation(GeneralName::Uri(base), GeneralName::Uri(uri), Permitted), expected, "{base} {uri}");
        }
    }

    #[test]
    fn addresses_are_masked_and_families_kept_apart() {
        let base = GeneralName::Ip(&[10, 1, 0, 0, 255, 255, 0, 0]);
        assert_eq!(relation(base, GeneralName::Ip(&[10, 1, 2, 3]), Permitted), Inside);
        assert_eq!(relation(base, GeneralName::Ip(&[10, 2, 2, 3]), Permitted), Outside);
        assert_eq!(relation(base, GeneralName::Ip(&[0; 16]), Permitted), Outside);
        assert_eq!(relation(base, GeneralName::Ip(&[0; 5]), Excluded), Unknown);
        assert_eq!(check_mask(&[10, 0, 0, 0, 255, 0, 255, 0]), Err(der::Error::String));
        assert_eq!(check_mask(&[10, 0, 0, 0, 255, 1, 0, 0]), Err(der::Error::String));
        assert_eq!(check_mask(&[10, 0, 0, 0, 255, 254, 0, 0]), Ok(()));
        assert_eq!(check_mask(&[10, 0, 0, 0]), Err(der::Error::Length));
    }

    #[test]
    fn mail_constraints_are_mailbox_host_or_domain() {
        for (base, address, expected) in [
            ("root@example.org", "root@EXAMPLE.org", Inside),
            ("root@example.org", "ROOT@example.org", Outside),
            ("example.org", "a@example.org", Inside),
            ("example.org", "a@b.example.org", Outside),
            (".example.org", "a@b.example.org", Inside),
            (".example.org", "a@example.org", Outside),
            ("example.org", "no address", Unknown),
            ("example.org", "a@b@example.org", Unknown),
            ("example.org", "\"a@b\"@example.org", Inside),
        ] {
            assert_eq!(relation(GeneralName::Rfc822(base), GeneralName::Rfc822(address), Permitted), expected);
        }
    }

    #[test]
    fn a_form_without_support_is_unknown_and_another_form_is_not_touched() {
        let x400 = GeneralName::X400(&[]);
        assert_eq!(relation(x400, x400, Permitted), Unknown);
        assert_eq!(relation(x400, GeneralName::Dns("a.example"), Permitted), AnotherForm);
        assert_eq!(relation(GeneralName::Uri("a"), GeneralName::Dns("a.example"), Excluded), AnotherForm);
    }
}
