//! Certificate extensions (RFC 5280 section 4.2).

use super::{
    Error, Field, GeneralName, Item, Items, NameConstraints, PolicyConstraints, PolicyExtensions, Problem,
    RoleExtension, ids, policies::sequence_of,
};
use crate::der::{self, Oid, Reader, tag};

/// The most extensions a certificate may have. Those in use have about ten; looking for doubles is quadratic.
pub const MAX_EXTENSIONS: usize = 32;

/// One extension as it stands in the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Which extension.
    pub oid: Oid<'a>,
    /// Whether a reader that does not know it must refuse the certificate.
    pub critical: bool,
    /// The DER inside `extnValue`.
    pub value: &'a [u8],
}

impl<'a> Item<'a> for Extension<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        let mut inner = reader.nested(tag::SEQUENCE)?;
        let oid = inner.oid()?;
        let critical = inner.boolean_default_false()?;
        let value = inner.expect(tag::OCTET_STRING)?;
        inner.finish()?;
        Ok(Self { oid, critical, value })
    }
}

/// The extensions of a certificate, or those a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Extensions<'a> {
    all: Items<'a, Extension<'a>>,
    basic_constraints: Option<BasicConstraints>,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<Items<'a, Oid<'a>>>,
    subject_alt_names: Option<Items<'a, GeneralName<'a>>>,
    name_constraints: Option<NameConstraints<'a>>,
    authority_key_id: Option<AuthorityKeyId<'a>>,
    subject_key_id: Option<&'a [u8]>,
    policies: PolicyExtensions<'a>,
    locations: Locations<'a>,
    role: Option<RoleExtension>,
    unknown_critical: Option<Oid<'a>>,
}

/// Where more is to be found.
#[derive(Clone, Copy, Debug)]
struct Locations<'a> {
    crl_distribution_points: Items<'a, DistributionPoint<'a>>,
    authority_info_access: Items<'a, AccessDescription<'a>>,
}

impl<'a> Extensions<'a> {
    /// No extensions.
    pub(crate) const NONE: Self = Self {
        all: Items::EMPTY,
        basic_constraints: None,
        key_usage: None,
        extended_key_usage: None,
        subject_alt_names: None,
        name_constraints: None,
        authority_key_id: None,
        subject_key_id: None,
        policies: PolicyExtensions::NONE,
        locations: Locations { crl_distribution_points: Items::EMPTY, authority_info_access: Items::EMPTY },
        role: None,
        unknown_critical: None,
    };

    /// Reads `Extensions`, given its DER.
    pub(crate) fn from_der(der: &'a [u8]) -> Result<Self, Error> {
        let all: Items<'a, Extension<'a>> = Field::Extensions.at(sequence_of(der))?;
        let mut extensions = Self { all, ..Self::NONE };
        for (index, extension) in (0..=MAX_EXTENSIONS).zip(all) {
            if index >= MAX_EXTENSIONS {
                return Err(Error::new(Field::Extensions, Problem::TooMany));
            }
            if all.take(index).any(|earlier| earlier.oid == extension.oid) {
                return Err(Error::new(Field::Extensions, Problem::Duplicate));
            }
            extensions.take(extension)?;
        }
        Ok(extensions)
    }

    /// Reads one extension if it is one this crate processes; else remembers it if it is critical.
    fn take(&mut self, extension: Extension<'a>) -> Result<(), Error> {
        let Extension { oid, critical, value } = extension;
        let never_critical = |field| if critical { Err(Error::new(field, Problem::Criticality)) } else { Ok(()) };
        let always_critical = |field| if critical { Ok(()) } else { Err(Error::new(field, Problem::Criticality)) };
        if oid == ids::BASIC_CONSTRAINTS {
            self.basic_constraints = Some(Field::BasicConstraints.at(BasicConstraints::from_der(value))?);
        } else if oid == ids::KEY_USAGE {
            self.key_usage = Some(Field::KeyUsage.at(KeyUsage::from_der(value))?);
        } else if oid == ids::EXTENDED_KEY_USAGE {
            self.extended_key_usage = Some(Field::ExtendedKeyUsage.at(sequence_of(value))?);
        } else if oid == ids::SUBJECT_ALT_NAME {
            self.subject_alt_names = Some(Field::SubjectAltName.at(subject_alt_names(value))?);
        } else if oid == ids::NAME_CONSTRAINTS {
            always_critical(Field::NameConstraints)?;
            self.name_constraints = Some(Field::NameConstraints.at(NameConstraints::from_der(value))?);
        } else if oid == ids::AUTHORITY_KEY_ID {
            never_critical(Field::AuthorityKeyId)?;
            self.authority_key_id = Some(Field::AuthorityKeyId.at(AuthorityKeyId::from_der(value))?);
        } else if oid == ids::SUBJECT_KEY_ID {
            never_critical(Field::SubjectKeyId)?;
            self.subject_key_id = Some(Field::SubjectKeyId.at(octet_string(value))?);
        } else if oid == ids::CERTIFICATE_POLICIES {
            self.policies.certificate_policies = Some(PolicyExtensions::read_policies(value)?);
        } else if oid == ids::POLICY_MAPPINGS {
            self.policies.mappings = Some(PolicyExtensions::read_mappings(value)?);
        } else if oid == ids::POLICY_CONSTRAINTS {
            self.policies.constraints = Some(Field::PolicyConstraints.at(PolicyConstraints::from_der(value))?);
        } else if oid == ids::INHIBIT_ANY_POLICY {
            self.policies.inhibit_any_policy = Some(Field::InhibitAnyPolicy.at(lone_unsigned(value))?);
        } else if oid == ids::CRL_DISTRIBUTION_POINTS && !critical {
            // Critical would mean: use it only after checking there. This crate has no I/O, so that is unknown to it.
            self.locations.crl_distribution_points = Field::CrlDistributionPoints.at(sequence_of(value))?;
        } else if oid == ids::AUTHORITY_INFO_ACCESS {
            never_critical(Field::AuthorityInfoAccess)?;
            self.locations.authority_info_access = Field::AuthorityInfoAccess.at(sequence_of(value))?;
        } else if oid == ids::ROLE {
            self.role = Some(Field::Role.at(RoleExtension::from_der(value))?);
        } else if critical && self.unknown_critical.is_none() {
            self.unknown_critical = Some(oid);
        }
        Ok(())
    }

    /// All extensions in the order of the encoding, known or not.
    #[must_use]
    pub const fn iter(&self) -> Items<'a, Extension<'a>> {
        self.all
    }

    /// The extension with this identifier, known or not.
    #[must_use]
    pub fn find(&self, oid: Oid<'_>) -> Option<Extension<'a>> {
        self.all.into_iter().find(|extension| extension.oid == oid)
    }

    /// `basicConstraints` (RFC 5280 section 4.2.1.9).
    #[must_use]
    pub const fn basic_constraints(&self) -> Option<BasicConstraints> {
        self.basic_constraints
    }

    /// `keyUsage` (RFC 5280 section 4.2.1.3).
    #[must_use]
    pub const fn key_usage(&self) -> Option<KeyUsage> {
        self.key_usage
    }

    /// `extKeyUsage` (RFC 5280 section 4.2.1.12): the purposes; `None` when the extension is absent.
    #[must_use]
    pub const fn extended_key_usage(&self) -> Option<Items<'a, Oid<'a>>> {
        self.extended_key_usage
    }

    /// Whether `extKeyUsage` lets the key be used for `purpose`: absent, listing it, or listing
    /// `anyExtendedKeyUsage`.
    #[must_use]
    pub fn allows_purpose(&self, purpose: Oid<'_>) -> bool {
        self.extended_key_usage
            .is_none_or(|mut listed| listed.any(|listed| listed == purpose || listed == ids::ANY_EXTENDED_KEY_USAGE))
    }

    /// `subjectAltName` (RFC 5280 section 4.2.1.6): the names; none when the extension is absent.
    #[must_use]
    pub const fn subject_alt_names(&self) -> Items<'a, GeneralName<'a>> {
        match self.subject_alt_names {
            Some(names) => names,
            None => Items::EMPTY,
        }
    }

    /// `nameConstraints` (RFC 5280 section 4.2.1.10).
    #[must_use]
    pub const fn name_constraints(&self) -> Option<&NameConstraints<'a>> {
        self.name_constraints.as_ref()
    }

    /// `authorityKeyIdentifier` (RFC 5280 section 4.2.1.1).
    #[must_use]
    pub const fn authority_key_id(&self) -> Option<&AuthorityKeyId<'a>> {
        self.authority_key_id.as_ref()
    }

    /// `subjectKeyIdentifier` (RFC 5280 section 4.2.1.2).
    #[must_use]
    pub const fn subject_key_id(&self) -> Option<&'a [u8]> {
        self.subject_key_id
    }

    /// The four extensions about policies.
    #[must_use]
    pub const fn policies(&self) -> &PolicyExtensions<'a> {
        &self.policies
    }

    /// The full names in `cRLDistributionPoints` (RFC 5280 section 4.2.1.13).
    pub fn crl_distribution_points(&self) -> impl Iterator<Item = GeneralName<'a>> + use<'a> {
        self.locations.crl_distribution_points.flat_map(|point| point.full_name)
    }

    /// `authorityInfoAccess` (RFC 5280 section 4.2.2.1); none when the extension is absent.
    #[must_use]
    pub const fn authority_info_access(&self) -> Items<'a, AccessDescription<'a>> {
        self.locations.authority_info_access
    }

    /// Medlock's role extension.
    #[must_use]
    pub const fn role(&self) -> Option<RoleExtension> {
        self.role
    }

    /// The first critical extension this crate does not process. Path validation refuses such a certificate.
    #[must_use]
    pub const fn unknown_critical(&self) -> Option<Oid<'a>> {
        self.unknown_critical
    }
}

fn subject_alt_names(value: &[u8]) -> Result<Items<'_, GeneralName<'_>>, der::Error> {
    let names: Items<'_, GeneralName<'_>> = sequence_of(value)?;
    for name in names {
        match name {
            GeneralName::Ip(address) if !matches!(address.len(), 4 | 16) => return Err(der::Error::Length),
            GeneralName::Dns("") | GeneralName::Uri("") | GeneralName::Rfc822("") => return Err(der::Error::String),
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
    }
    Ok(names)
}

fn octet_string(value: &[u8]) -> Result<&[u8], der::Error> {
    let mut reader = Reader::new(value);
    let content = reader.expect(tag::OCTET_STRING)?;
    reader.finish()?;
    if content.is_empty() { Err(der::Error::Default) } else { Ok(content) }
}

fn lone_unsigned(value: &[u8]) -> Result<u32, der::Error> {
    let mut reader = Reader::new(value);
    let number = reader.unsigned()?;
    reader.finish()?;
    Ok(number)
}

/// `BasicConstraints`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// Whether the subject is an authority.
    pub ca: bool,
    /// How many authorities that did not issue their own certificate may follow below.
    pub path_length: Option<u32>,
}

impl BasicConstraints {
    fn from_der(der: &[u8]) -> Result<Self, der::Error> {
        let mut reader = Reader::new(der);
        let mut inner = reader.nested(tag::SEQUENCE)?;
        reader.finish()?;
        let ca = inner.boolean_default_false()?;
        let path_length = if inner.is_empty() { None } else { Some(inner.unsigned()?) };
        inner.finish()?;
        Ok(Self { ca, path_length })
    }
}

/// `KeyUsage`: what the key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(u16);

impl KeyUsage {
    /// The names of the bits, from bit 0 on.
    pub const NAMES: [&'static str; 9] = [
        "digitalSignature",
        "nonRepudiation",
        "keyEncipherment",
        "dataEncipherment",
        "keyAgreement",
        "keyCertSign",
        "cRLSign",
        "encipherOnly",
        "decipherOnly",
    ];

    /// At least one bit is set, and none beyond the nine (RFC 5280 section 4.2.1.3).
    fn from_der(der: &[u8]) -> Result<Self, der::Error> {
        let mut reader = Reader::new(der);
        let bits = reader.bit_string()?.named_bits()?;
        reader.finish()?;
        match u16::try_from(bits) {
            Ok(bits @ 1..=0x1ff) => Ok(Self(bits)),
            Ok(0 | 0x200..) | Err(_) => Err(der::Error::BitString),
        }
    }

    /// The bits: named bit `n` is bit `n`.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// May make signatures other than on certificates and CRLs.
    #[must_use]
    pub const fn digital_signature(self) -> bool {
        self.0 & 1 != 0
    }

    /// May encrypt keys.
    #[must_use]
    pub const fn key_encipherment(self) -> bool {
        self.0 & (1 << 2) != 0
    }

    /// May agree on keys.
    #[must_use]
    pub const fn key_agreement(self) -> bool {
        self.0 & (1 << 4) != 0
    }

    /// May sign certificates.
    #[must_use]
    pub const fn key_cert_sign(self) -> bool {
        self.0 & (1 << 5) != 0
    }

    /// May sign CRLs.
    #[must_use]
    pub const fn crl_sign(self) -> bool {
        self.0 & (1 << 6) != 0
    }

    /// The names of the bits that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| name)
    }
}

/// `AuthorityKeyIdentifier`: which key the issuer signed with. A hint: the signature decides.
#[derive(Clone, Copy, Debug)]
pub struct AuthorityKeyId<'a> {
    /// The issuer's `subjectKeyIdentifier`.
    pub key_id: Option<&'a [u8]>,
    /// The name of the issuer's issuer.
    pub issuer: Items<'a, GeneralName<'a>>,
    /// The serial number of the issuer's certificate.
    pub serial_number: Option<&'a [u8]>,
}

impl<'a> AuthorityKeyId<'a> {
    fn from_der(der: &'a [u8]) -> Result<Self, der::Error> {
        let mut reader = Reader::new(der);
        let mut inner = reader.nested(tag::SEQUENCE)?;
        reader.finish()?;
        let key_id = inner.optional(tag::context(0))?;
        let issuer = inner.optional(tag::context_constructed(1))?;
        let serial_number = inner.optional(tag::context(2))?;
        inner.finish()?;
        // Issuer and serial number come together or not at all (X.509 section 9.2.2.1).
        if issuer.is_some() != serial_number.is_some() || key_id == Some(&[]) || serial_number == Some(&[]) {
            return Err(der::Error::Default);
        }
        Ok(Self { key_id, issuer: issuer.map_or(Ok(Items::EMPTY), Items::checked)?, serial_number })
    }
}

/// One way to learn more of the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessDescription<'a> {
    /// How: [`ids::OCSP`], [`ids::CA_ISSUERS`] or another.
    pub method: Oid<'a>,
    /// Where.
    pub location: GeneralName<'a>,
}

impl<'a> Item<'a> for AccessDescription<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        let mut inner = reader.nested(tag::SEQUENCE)?;
        let description = Self { method: inner.oid()?, location: GeneralName::read(&mut inner)? };
        inner.finish()?;
        Ok(description)
    }
}

/// A place where a CRL is found; of its name only the full form is looked at.
#[derive(Clone, Copy, Debug)]
struct DistributionPoint<'a> {
    full_name: Items<'a, GeneralName<'a>>,
}

impl<'a> Item<'a> for DistributionPoint<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        let element = reader.expect_element(tag::SEQUENCE)?;
        der::well_formed(element.encoding)?;
        let mut inner = Reader::new(element.content);
        let mut full_name = Items::EMPTY;
        if let Some(name) = inner.optional(tag::context_constructed(0))? {
            let mut name = Reader::new(name);
            if let Some(full) = name.optional(tag::context_constructed(0))? {
                full_name = Items::checked(full)?;
                name.finish()?;
            }
        }
        // Reasons and the CRL's issuer.
        inner.optional(tag::context(1))?.map(der::BitString::from_content).transpose()?;
        inner.optional(tag::context_constructed(2))?;
        inner.finish()?;
        Ok(Self { full_name })
    }
}
