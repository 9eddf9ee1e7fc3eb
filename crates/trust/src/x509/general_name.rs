//! General names (RFC 5280 section 4.2.1.6), and matching them with the name a caller expects.

use super::{Form, Item, Name, Problem, X509, ids, text};
use crate::{
    cbor,
    der::{self, Oid, Reader, tag},
};
use core::{fmt, net::IpAddr};

/// The form of a general name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameForm {
    /// `otherName`.
    Other,
    /// `rfc822Name`.
    Rfc822,
    /// `dNSName`.
    Dns,
    /// `x400Address`.
    X400,
    /// `directoryName`.
    Directory,
    /// `ediPartyName`.
    EdiParty,
    /// `uniformResourceIdentifier`.
    Uri,
    /// `iPAddress`.
    Ip,
    /// `registeredID`.
    RegisteredId,
}

impl NameForm {
    /// The name the standard gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "otherName",
            Self::Rfc822 => "rfc822Name",
            Self::Dns => "dNSName",
            Self::X400 => "x400Address",
            Self::Directory => "directoryName",
            Self::EdiParty => "ediPartyName",
            Self::Uri => "uniformResourceIdentifier",
            Self::Ip => "iPAddress",
            Self::RegisteredId => "registeredID",
        }
    }
}

impl fmt::Display for NameForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `GeneralName`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeneralName<'a> {
    /// A name of a kind that an object identifier tells.
    Other {
        /// The kind.
        kind: Oid<'a>,
        /// The value.
        value: OtherName<'a>,
    },
    /// A mail address.
    Rfc822(&'a str),
    /// A host name.
    Dns(&'a str),
    /// An X.400 address, not looked into.
    X400(&'a [u8]),
    /// A distinguished name.
    Directory(Name<'a>),
    /// An EDI party name, not looked into.
    EdiParty(&'a [u8]),
    /// A URI.
    Uri(&'a str),
    /// An address of 4 or 16 bytes; as a constraint, an address and a mask.
    Ip(&'a [u8]),
    /// An object identifier.
    RegisteredId(Oid<'a>),
}

/// The value of an `otherName`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherName<'a> {
    /// Its DER.
    Der(&'a [u8]),
    /// From C509: a hardware module.
    HardwareModule(HardwareModuleName<'a>),
    /// From C509: a mail address (RFC 8398).
    SmtpUtf8(&'a str),
    /// From C509: a MAC address.
    Mac(&'a [u8]),
}

impl<'a> GeneralName<'a> {
    /// The name's form.
    #[must_use]
    pub const fn form(&self) -> NameForm {
        match self {
            Self::Other { .. } => NameForm::Other,
            Self::Rfc822(_) => NameForm::Rfc822,
            Self::Dns(_) => NameForm::Dns,
            Self::X400(_) => NameForm::X400,
            Self::Directory(_) => NameForm::Directory,
            Self::EdiParty(_) => NameForm::EdiParty,
            Self::Uri(_) => NameForm::Uri,
            Self::Ip(_) => NameForm::Ip,
            Self::RegisteredId(_) => NameForm::RegisteredId,
        }
    }

    /// The hardware module this other name gives (RFC 4108 section 5), as birth credentials carry it.
    #[must_use]
    pub fn hardware_module_name(&self) -> Option<HardwareModuleName<'a>> {
        match self {
            Self::Other { value: OtherName::HardwareModule(module), .. } => Some(*module),
            Self::Other { kind, value: OtherName::Der(value) } if *kind == ids::HARDWARE_MODULE_NAME => {
                HardwareModuleName::from_der(value)
            }
            Self::Other { .. }
            | Self::Rfc822(_)
            | Self::Dns(_)
            | Self::X400(_)
            | Self::Directory(_)
            | Self::EdiParty(_)
            | Self::Uri(_)
            | Self::Ip(_)
            | Self::RegisteredId(_) => None,
        }
    }
}

impl<'a> Item<'a> for GeneralName<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        const OTHER: u8 = tag::context_constructed(0);
        const RFC822: u8 = tag::context(1);
        const DNS: u8 = tag::context(2);
        const X400: u8 = tag::context_constructed(3);
        const DIRECTORY: u8 = tag::context_constructed(4);
        const EDI_PARTY: u8 = tag::context_constructed(5);
        const URI: u8 = tag::context(6);
        const IP: u8 = tag::context(7);
        const REGISTERED_ID: u8 = tag::context(8);
        let element = reader.element()?;
        let mut inner = Reader::new(element.content);
        Ok(match element.tag {
            OTHER => {
                let kind = inner.oid()?;
                let value = inner.expect(tag::context_constructed(0))?;
                inner.finish()?;
                der::well_formed(value)?;
                Self::Other { kind, value: OtherName::Der(value) }
            }
            RFC822 => Self::Rfc822(ia5(element.content)?),
            DNS => Self::Dns(ia5(element.content)?),
            X400 => {
                der::well_formed(element.encoding)?;
                Self::X400(element.content)
            }
            DIRECTORY => {
                let name = Name::read(&mut inner)?;
                inner.finish()?;
                Self::Directory(name)
            }
            EDI_PARTY => {
                der::well_formed(element.encoding)?;
                Self::EdiParty(element.content)
            }
            URI => Self::Uri(ia5(element.content)?),
            IP => Self::Ip(element.content),
            REGISTERED_ID => Self::RegisteredId(Oid::from_content(element.content)?),
            found => return Err(der::Error::Tag { expected: 0, found }),
        })
    }

    /// A pair of the registry "C509 General Names"; or, in a short form, a host name or a URI alone.
    fn read_cbor(reader: &mut cbor::Reader<'a>, form: Form) -> Result<Self, Problem> {
        let number = match form {
            Form::Lone => number::DNS,
            Form::Uris => number::URI,
            Form::Der | Form::Cbor => reader.int()?,
        };
        Ok(match number {
            number::HARDWARE => {
                reader.array_of(2)?;
                let module = HardwareModuleName { kind: Oid::from_content(reader.bytes()?)?, serial: reader.bytes()? };
                Self::Other { kind: ids::HARDWARE_MODULE_NAME, value: OtherName::HardwareModule(module) }
            }
            number::DNS => Self::Dns(ia5(reader.any_text()?.as_bytes())?),
            _ if !X509 => return Err(Problem::Unregistered),
            number::MAC => {
                let value = reader.bytes()?;
                if !matches!(value.len(), 6 | 8) {
                    return Err(Problem::Value);
                }
                Self::Other { kind: ids::MAC_ADDRESS, value: OtherName::Mac(value) }
            }
            number::SMTP_UTF8 => {
                Self::Other { kind: ids::SMTP_UTF8_MAILBOX, value: OtherName::SmtpUtf8(reader.any_text()?) }
            }
            number::OTHER => {
                reader.array_of(2)?;
                let (kind, value) = (Oid::from_content(reader.bytes()?)?, reader.bytes()?);
                der::well_formed(value)?;
                let name = Self::Other { kind, value: OtherName::Der(value) };
                if name.special().is_some() {
                    return Err(Problem::NotCanonical);
                }
                name
            }
            number::RFC822 => Self::Rfc822(ia5(reader.any_text()?.as_bytes())?),
            number::DIRECTORY => Self::Directory(Name::read_c509(reader, false)?),
            number::URI => Self::Uri(ia5(reader.any_text()?.as_bytes())?),
            number::IP => Self::Ip(reader.bytes()?),
            number::REGISTERED_ID => Self::RegisteredId(Oid::from_content(reader.bytes()?)?),
            _ => return Err(Problem::Unregistered),
        })
    }
}

/// The registry "C509 General Names".
pub(crate) mod number {
    pub(crate) const MAC: i64 = -3;
    pub(crate) const SMTP_UTF8: i64 = -2;
    pub(crate) const HARDWARE: i64 = -1;
    pub(crate) const OTHER: i64 = 0;
    pub(crate) const RFC822: i64 = 1;
    pub(crate) const DNS: i64 = 2;
    pub(crate) const DIRECTORY: i64 = 4;
    pub(crate) const URI: i64 = 6;
    pub(crate) const IP: i64 = 7;
    pub(crate) const REGISTERED_ID: i64 = 8;
}

impl<'a> GeneralName<'a> {
    /// The `otherName` in the form that C509 has of its own for this kind, if the value fits it.
    pub(crate) fn special(&self) -> Option<OtherName<'a>> {
        let Self::Other { kind, value } = self else { return None };
        let OtherName::Der(der) = value else { return Some(*value) };
        let mut reader = Reader::new(der);
        if *kind == ids::HARDWARE_MODULE_NAME {
            return HardwareModuleName::from_der(der).map(OtherName::HardwareModule);
        }
        let special = if *kind == ids::SMTP_UTF8_MAILBOX {
            let text = reader.expect(tag::UTF8_STRING).ok()?;
            OtherName::SmtpUtf8(core::str::from_utf8(text).ok()?)
        } else if *kind == ids::MAC_ADDRESS {
            let address = reader.expect(tag::OCTET_STRING).ok().filter(|bytes| matches!(bytes.len(), 6 | 8))?;
            OtherName::Mac(address)
        } else {
            return None;
        };
        reader.finish().ok()?;
        Some(special)
    }
}

fn ia5(content: &[u8]) -> Result<&str, der::Error> {
    if content.is_ascii() {
        core::str::from_utf8(content).map_err(|_| der::Error::String)
    } else {
        Err(der::Error::String)
    }
}

impl fmt::Display for GeneralName<'_> {
    /// `form:value`, with control characters escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other { kind, value } => match self.hardware_module_name() {
                Some(module) => write!(f, "hardwareModuleName:{module}"),
                None => {
                    write!(f, "otherName:{kind}:")?;
                    match value {
                        OtherName::Der(bytes) | OtherName::Mac(bytes) => hex(f, bytes),
                        OtherName::SmtpUtf8(text) => write!(f, "{}", text.escape_default()),
                        OtherName::HardwareModule(module) => module.fmt(f),
                    }
                }
            },
            Self::Rfc822(text) => write!(f, "email:{}", text.escape_default()),
            Self::Dns(text) => write!(f, "dns:{}", text.escape_default()),
            Self::Uri(text) => write!(f, "uri:{}", text.escape_default()),
            Self::Directory(name) => write!(f, "directory:{name}"),
            Self::Ip(bytes) => match ip_address(bytes) {
                Some(address) => write!(f, "ip:{address}"),
                None => {
                    f.write_str("ip:")?;
                    hex(f, bytes)
                }
            },
            Self::RegisteredId(oid) => write!(f, "registeredID:{oid}"),
            Self::X400(bytes) | Self::EdiParty(bytes) => {
                write!(f, "{}:", self.form())?;
                hex(f, bytes)
            }
        }
    }
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The address that 4 or 16 bytes are.
pub(crate) fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// `HardwareModuleName` (RFC 4108 section 5): what IEEE 802.1AR wants in a birth credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardwareModuleName<'a> {
    /// The kind of hardware.
    pub kind: Oid<'a>,
    /// Its serial number.
    pub serial: &'a [u8],
}

impl<'a> HardwareModuleName<'a> {
    fn from_der(der: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(der);
        let mut inner = reader.nested(tag::SEQUENCE).ok()?;
        reader.finish().ok()?;
        let kind = inner.oid().ok()?;
        let serial = inner.expect(tag::OCTET_STRING).ok()?;
        inner.finish().ok()?;
        Some(Self { kind, serial })
    }
}

impl fmt::Display for HardwareModuleName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind)?;
        hex(f, self.serial)
    }
}

/// The name a caller expects of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerName<'n> {
    /// A host name.
    Dns(&'n str),
    /// An IP address.
    Ip(IpAddr),
    /// A URI.
    Uri(&'n str),
}

impl ServerName<'_> {
    /// Whether `name`, from a certificate, is this name (RFC 9525 section 6; RFC 5280 section 7).
    pub(crate) fn is(&self, name: &GeneralName<'_>) -> bool {
        match (self, name) {
            (Self::Dns(expected), GeneralName::Dns(presented)) => dns_matches(presented, expected),
            (Self::Ip(expected), GeneralName::Ip(presented)) => ip_address(presented) == Some(*expected),
            (Self::Uri(expected), GeneralName::Uri(presented)) => uri_matches(presented, expected),
            (
                Self::Dns(_),
                GeneralName::Other { .. }
                | GeneralName::Rfc822(_)
                | GeneralName::X400(_)
                | GeneralName::Directory(_)
                | GeneralName::EdiParty(_)
                | GeneralName::Uri(_)
                | GeneralName::Ip(_)
                | GeneralName::RegisteredId(_),
            )
            | (
                Self::Ip(_),
                GeneralName::Other { .. }
                | GeneralName::Rfc822(_)
                | GeneralName::Dns(_)
                | GeneralName::X400(_)
                | GeneralName::Directory(_)
                | GeneralName::EdiParty(_)
                | GeneralName::Uri(_)
                | GeneralName::RegisteredId(_),
            )
            | (
                Self::Uri(_),
                GeneralName::Other { .. }
                | GeneralName::Rfc822(_)
                | GeneralName::Dns(_)
                | GeneralName::X400(_)
                | GeneralName::Directory(_)
                | GeneralName::EdiParty(_)
                | GeneralName::Ip(_)
                | GeneralName::RegisteredId(_),
            ) => false,
        }
    }
}

/// Whether `name` is a host name: labels of letters, digits and `-`, 1 to 63 long, 253 in all, the last one not a number
/// (the preferred name syntax of RFC 1034 section 3.5 as RFC 1123 changed it).
pub(crate) fn is_host_name(name: &str) -> bool {
    let label = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
            && label.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'-')
    };
    let labels = || name.as_bytes().split(|c| *c == b'.');
    let numeric_end = labels().next_back().is_none_or(|last| last.iter().all(u8::is_ascii_digit));
    name.len() <= 253 && !numeric_end && labels().all(label)
}

/// RFC 9525 section 6.3: equal in either case; `*` stands for exactly the whole left-most label, and at least two labels
/// follow it.
fn dns_matches(presented: &str, expected: &str) -> bool {
    if !is_host_name(expected) {
        return false;
    }
    match presented.strip_prefix("*.") {
        None => is_host_name(presented) && presented.eq_ignore_ascii_case(expected),
        Some(parent) => {
            is_host_name(parent)
                && text::split_once(parent, b'.').is_some()
                && text::split_once(expected, b'.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent))
        }
    }
}

/// RFC 5280 section 7.4: scheme and host in either case, all else exactly.
fn uri_matches(presented: &str, expected: &str) -> bool {
    fn parts(uri: &str) -> (&str, &str, &str) {
        match text::split_scheme(uri) {
            Some((scheme, rest)) => {
                let (authority, path) = text::split_authority(rest);
                (scheme, authority, path)
            }
            None => {
                let (scheme, rest) = text::split_once(uri, b':').unwrap_or((uri, ""));
                (scheme, "", rest)
            }
        }
    }
    fn user(authority: &str) -> (&str, &str) {
        text::rsplit_once(authority, b'@').unwrap_or(("", authority))
    }
    let ((scheme1, authority1, rest1), (scheme2, authority2, rest2)) = (parts(presented), parts(expected));
    let ((user1, host1), (user2, host2)) = (user(authority1), user(authority2));
    scheme1.eq_ignore_ascii_case(scheme2)
        && text::split_scheme(presented).is_some() == text::split_scheme(expected).is_some()
        && user1 == user2
        && host1.eq_ignore_ascii_case(host2)
        && rest1 == rest2
}

/// The host of a URI, if it has one that is a host name and not an address (RFC 3986 section 3.2).
pub(crate) fn uri_host(uri: &str) -> Option<&str> {
    let (scheme, rest) = text::split_scheme(uri)?;
    if scheme.is_empty() {
        return None;
    }
    let (authority, _) = text::split_authority(rest);
    let host_and_port = text::rsplit_once(authority, b'@').map_or(authority, |(_, host)| host);
    let host = match text::rsplit_once(host_and_port, b':') {
        Some((host, port)) if port.bytes().all(|c| c.is_ascii_digit()) => host,
        Some(_) => return None,
        None => host_and_port,
    };
    is_host_name(host).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_match_whole_labels_only() {
        for (presented, expected, matches) in [
            ("pacs.example.org", "PACS.example.ORG", true),
            ("pacs.example.org", "pacs.example.org.", false),
            ("*.example.org", "pacs.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "a.b.example.org", false),
            ("p*.example.org", "pacs.example.org", false),
            ("*.org", "example.org", false),
            ("*", "example", false),
            ("10.0.0.1", "10.0.0.1", false),
            ("", "", false),
        ] {
            assert_eq!(dns_matches(presented, expected), matches, "{presented} {expected}");
        }
    }

    #[test]
    fn uris_match_but_for_the_case_of_scheme_and_host() {
        assert!(uri_matches("HTTPS://Hub.example/a", "https://hub.EXAMPLE/a"));
        assert!(!uri_matches("https://hub.example/a", "https://hub.example/A"));
        assert!(!uri_matches("https://hub.example/a", "https://hub.example:1/a"));
        assert!(!uri_matches("https://me@hub.example/", "https://ME@hub.example/"));
        assert!(!uri_matches("urn://x", "urn:x"));
        assert!(uri_matches("urn:uuid:1", "URN:uuid:1"));
    }

    #[test]
    fn only_host_names_are_hosts_of_a_uri() {
        assert_eq!(uri_host("https://user@hub.example:443/x@y"), Some("hub.example"));
        assert_eq!(uri_host("https://10.0.0.1/"), None);
        assert_eq!(uri_host("https://[::1]/"), None);
        assert_eq!(uri_host("urn:uuid:1"), None);
        assert_eq!(uri_host("https:///path"), None);
    }
}
