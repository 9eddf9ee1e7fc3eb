//! Certificate extensions (RFC 5280 section 4.2).

use super::{
    Encoding, Error, Field, Form, GeneralName, Item, Items, Name, NameConstraints, PolicyConstraints, PolicyExtensions,
    Problem, RoleExtension, X509, ids,
    policies::{sequence_of, small},
};
use crate::{
    c509::registry,
    cbor,
    der::{self, Oid, Reader, tag},
};

/// The most extensions a certificate may have. Those in use have about ten; looking for doubles is quadratic.
pub const MAX_EXTENSIONS: usize = 32;

/// One extension as it stands in the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Which extension.
    pub oid: Oid<'a>,
    /// Whether a reader that does not know it must refuse the certificate.
    pub critical: bool,
    /// The value: the DER inside `extnValue`, or the item in C509's own form.
    pub value: &'a [u8],
    /// How the value is written.
    pub encoding: Encoding,
}

impl<'a> Extension<'a> {
    /// Whether the value is in DER; without feature `x509`, only [`Extensions::take`] has to do with one that is.
    fn is_der(&self) -> bool {
        X509 && self.encoding == Encoding::Der
    }

    /// A list with at least one member.
    pub(crate) fn list<T: Item<'a>>(&self) -> Result<Items<'a, T>, Problem> {
        if self.is_der() { Ok(sequence_of(self.value)?) } else { Items::array_in(self.value) }
    }

    /// A list that C509 writes without its array if it has one member that is `short`.
    fn list_or_lone<T: Item<'a>>(&self, form: Form, is_short: impl Fn(&T) -> bool) -> Result<Items<'a, T>, Problem> {
        const ARRAY: u8 = 4;
        if self.is_der() || cbor::Reader::new(self.value).major_type()? == ARRAY {
            let all = self.list()?;
            let mut list = self.list::<T>()?;
            let lone = list.next().is_some_and(|first| is_short(&first)) && list.next().is_none();
            return if lone && self.encoding == Encoding::C509 { Err(Problem::NotCanonical) } else { Ok(all) };
        }
        Items::checked_cbor(self.value, form)
    }

    /// Names, of which one host name may stand alone.
    pub(crate) fn names(&self) -> Result<Items<'a, GeneralName<'a>>, Problem> {
        self.list_or_lone(Form::Lone, |name| matches!(name, GeneralName::Dns(_)))
    }

    /// Key purposes, of which one may stand alone.
    pub(crate) fn purposes(&self) -> Result<Items<'a, Oid<'a>>, Problem> {
        self.list_or_lone(Form::Lone, |_| true)
    }

    /// Places of CRLs, of which one URI may stand alone.
    pub(crate) fn distribution_points(&self) -> Result<Items<'a, DistributionPoint<'a>>, Problem> {
        self.list_or_lone(Form::Lone, DistributionPoint::is_one_uri)
    }

    /// Whether C509 has a form of its own for *every* value of this extension; then the value may not be in DER.
    fn must_be_c509(&self) -> bool {
        let all = [
            ids::SUBJECT_KEY_ID,
            ids::KEY_USAGE,
            ids::POLICY_MAPPINGS,
            ids::POLICY_CONSTRAINTS,
            ids::EXTENDED_KEY_USAGE,
            ids::INHIBIT_ANY_POLICY,
            ids::BASIC_CONSTRAINTS,
        ];
        all.contains(&self.oid)
            && (self.oid != ids::BASIC_CONSTRAINTS
                || BasicConstraints::from_der(self.value).is_ok_and(|c| c.ca || c.path_length.is_none()))
    }
}

impl<'a> Item<'a> for Extension<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        let mut inner = reader.nested(tag::SEQUENCE)?;
        let oid = inner.oid()?;
        let critical = inner.boolean_default_false()?;
        let value = inner.expect(tag::OCTET_STRING)?;
        inner.finish()?;
        Ok(Self { oid, critical, value, encoding: Encoding::Der })
    }

    fn read_cbor(reader: &mut cbor::Reader<'a>, form: Form) -> Result<Self, Problem> {
        const UNSIGNED: u8 = 0;
        const BYTES: u8 = 2;
        if form == Form::Lone {
            let start = reader.position();
            let critical = reader.int()? < 0;
            let value = reader.read_since(start);
            return Ok(Self { oid: ids::KEY_USAGE, critical, value, encoding: Encoding::C509 });
        }
        if reader.major_type()? != BYTES {
            let number = reader.int()?;
            let oid = registry::EXTENSIONS.oid(number.unsigned_abs()).ok_or(Problem::Unregistered)?;
            if oid == ids::KEY_USAGE && reader.major_type()? != UNSIGNED {
                return Err(Problem::NotCanonical);
            }
            return Ok(Self { oid, critical: number < 0, value: reader.skip()?, encoding: Encoding::C509 });
        }
        let oid = Oid::from_content(reader.bytes()?)?;
        let critical = reader.major_type()? != BYTES;
        if critical {
            reader.array_of(1)?;
        }
        let extension = Self { oid, critical, value: reader.bytes()?, encoding: Encoding::Der };
        if X509 && extension.must_be_c509() { Err(Problem::NotCanonical) } else { Ok(extension) }
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
        Self::from_items(all)
    }

    /// Reads the extensions of a C509 certificate (section "extensions"). A natively signed one has no value in DER for
    /// which C509 has a form of its own (section "Deterministic Encoding").
    pub(crate) fn from_c509(item: &'a [u8], native: bool) -> Result<Self, Error> {
        const ARRAY: u8 = 4;
        let mut reader = cbor::Reader::new(item);
        let at = Field::Extensions;
        if at.at(reader.major_type())? != ARRAY {
            return Self::from_items(at.at(Items::checked_cbor(item, Form::Lone))?);
        }
        let count = at.at(reader.array((MAX_EXTENSIONS as u64) << 1))?;
        if count == 0 {
            return Ok(Self::NONE);
        }
        let all: Items<'a, Extension<'a>> = at.at(Items::checked_cbor(reader.rest(), Form::Cbor))?;
        let mut own = all;
        let lone_key_usage = own.next().is_some_and(|first| first.oid == ids::KEY_USAGE) && own.next().is_none();
        let foreign = |extension: Extension<'_>| {
            extension.encoding == Encoding::Der && registry::EXTENSIONS.number(extension.oid.as_bytes()).is_some()
        };
        if lone_key_usage || (native && all.into_iter().any(foreign)) {
            return Err(Error::new(at, Problem::NotCanonical));
        }
        Self::from_items(all)
    }

    fn from_items(all: Items<'a, Extension<'a>>) -> Result<Self, Error> {
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
        let Extension { oid, critical, .. } = extension;
        if !X509 {
            return self.take_native(extension);
        }
        let never_critical = |field| if critical { Err(Error::new(field, Problem::Criticality)) } else { Ok(()) };
        let always_critical = |field| if critical { Ok(()) } else { Err(Error::new(field, Problem::Criticality)) };
        if oid == ids::BASIC_CONSTRAINTS {
            self.basic_constraints = Some(Field::BasicConstraints.at(BasicConstraints::read(extension))?);
        } else if oid == ids::KEY_USAGE {
            self.key_usage = Some(Field::KeyUsage.at(KeyUsage::read(extension))?);
        } else if oid == ids::EXTENDED_KEY_USAGE {
            self.extended_key_usage = Some(Field::ExtendedKeyUsage.at(extension.purposes())?);
        } else if oid == ids::SUBJECT_ALT_NAME {
            self.subject_alt_names = Some(Field::SubjectAltName.at(subject_alt_names(extension))?);
        } else if oid == ids::NAME_CONSTRAINTS {
            always_critical(Field::NameConstraints)?;
            self.name_constraints = Some(Field::NameConstraints.at(match extension.encoding {
                Encoding::Der => NameConstraints::from_der(extension.value).map_err(Problem::Der),
                Encoding::C509 => NameConstraints::from_c509(extension.value),
            })?);
        } else if oid == ids::AUTHORITY_KEY_ID {
            never_critical(Field::AuthorityKeyId)?;
            self.authority_key_id = Some(Field::AuthorityKeyId.at(AuthorityKeyId::read(extension))?);
        } else if oid == ids::SUBJECT_KEY_ID {
            never_critical(Field::SubjectKeyId)?;
            self.subject_key_id = Some(Field::SubjectKeyId.at(octet_string(extension))?);
        } else if oid == ids::CERTIFICATE_POLICIES {
            self.policies.certificate_policies = Some(PolicyExtensions::read_policies(extension)?);
        } else if oid == ids::POLICY_MAPPINGS {
            self.policies.mappings = Some(PolicyExtensions::read_mappings(extension)?);
        } else if oid == ids::POLICY_CONSTRAINTS {
            self.policies.constraints = Some(Field::PolicyConstraints.at(match extension.encoding {
                Encoding::Der => PolicyConstraints::from_der(extension.value).map_err(Problem::Der),
                Encoding::C509 => PolicyConstraints::from_c509(extension.value),
            })?);
        } else if oid == ids::INHIBIT_ANY_POLICY {
            self.policies.inhibit_any_policy = Some(Field::InhibitAnyPolicy.at(lone_unsigned(extension))?);
        } else if oid == ids::CRL_DISTRIBUTION_POINTS && !critical {
            // Critical would mean: use it only after checking there. This crate has no I/O, so that is unknown to it.
            self.locations.crl_distribution_points = Field::CrlDistributionPoints.at(extension.distribution_points())?;
        } else if oid == ids::AUTHORITY_INFO_ACCESS {
            never_critical(Field::AuthorityInfoAccess)?;
            self.locations.authority_info_access = Field::AuthorityInfoAccess.at(extension.list())?;
        } else if oid == ids::ROLE {
            self.role = Some(Field::Role.at(RoleExtension::from_der(extension.value))?);
        } else {
            if critical && self.unknown_critical.is_none() {
                self.unknown_critical = Some(oid);
            }
            if extension.encoding == Encoding::C509 {
                Field::Extensions.at(check_unused(extension))?;
            }
        }
        Ok(())
    }

    /// As [`take`](Self::take) without feature `x509`: what stands in the certificates of devices, in C509's own form. Any
    /// other extension that C509 has a form for is refused, critical or not: nothing is skipped that the feature reads.
    fn take_native(&mut self, extension: Extension<'a>) -> Result<(), Error> {
        let Extension { oid, critical, .. } = extension;
        if oid == ids::ROLE {
            self.role = Some(Field::Role.at(RoleExtension::from_der(extension.value))?);
        } else if extension.encoding == Encoding::Der {
            if critical && self.unknown_critical.is_none() {
                self.unknown_critical = Some(oid);
            }
        } else if oid == ids::BASIC_CONSTRAINTS {
            self.basic_constraints = Some(Field::BasicConstraints.at(BasicConstraints::read(extension))?);
        } else if oid == ids::KEY_USAGE {
            self.key_usage = Some(Field::KeyUsage.at(KeyUsage::read(extension))?);
        } else if oid == ids::SUBJECT_ALT_NAME {
            self.subject_alt_names = Some(Field::SubjectAltName.at(subject_alt_names(extension))?);
        } else if !critical && oid == ids::AUTHORITY_KEY_ID {
            self.authority_key_id = Some(Field::AuthorityKeyId.at(AuthorityKeyId::read(extension))?);
        } else if !critical && oid == ids::SUBJECT_KEY_ID {
            self.subject_key_id = Some(Field::SubjectKeyId.at(octet_string(extension))?);
        } else {
            return Err(Error::new(Field::Extensions, Problem::Unregistered));
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

/// Checks what C509 has a form for and nothing here uses: a certificate is rebuilt from it, which must not fail.
fn check_unused(extension: Extension<'_>) -> Result<(), Problem> {
    let oid = extension.oid;
    if oid == ids::ISSUER_ALT_NAME {
        extension.names().map(drop)
    } else if oid == ids::CRL_DISTRIBUTION_POINTS || oid == ids::FRESHEST_CRL {
        extension.distribution_points().map(drop)
    } else if oid == ids::SUBJECT_INFO_ACCESS {
        extension.list::<AccessDescription<'_>>().map(drop)
    } else if oid == ids::OCSP_NO_CHECK || oid == ids::PRECERTIFICATE_SIGNING {
        if cbor::Reader::new(extension.value).null()? { Ok(()) } else { Err(Problem::Value) }
    } else if oid == ids::TLS_FEATURE {
        let mut reader = cbor::Reader::new(extension.value);
        let count = reader.array(u64::from(u8::MAX))?;
        (0..count).try_for_each(|_| small(&mut reader).map(drop))
    } else {
        Err(Problem::Unregistered)
    }
}

fn subject_alt_names(extension: Extension<'_>) -> Result<Items<'_, GeneralName<'_>>, Problem> {
    let names = extension.names()?;
    for name in names {
        match name {
            GeneralName::Ip(address) if !matches!(address.len(), 4 | 16) => return Err(der::Error::Length.into()),
            GeneralName::Dns("") | GeneralName::Uri("") | GeneralName::Rfc822("") => {
                return Err(der::Error::String.into());
            }
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

fn octet_string(extension: Extension<'_>) -> Result<&[u8], Problem> {
    let content = if extension.is_der() {
        let mut reader = Reader::new(extension.value);
        let content = reader.expect(tag::OCTET_STRING)?;
        reader.finish()?;
        content
    } else {
        cbor::Reader::new(extension.value).bytes()?
    };
    if content.is_empty() { Err(der::Error::Default.into()) } else { Ok(content) }
}

fn lone_unsigned(extension: Extension<'_>) -> Result<u32, Problem> {
    match extension.encoding {
        Encoding::Der => {
            let mut reader = Reader::new(extension.value);
            let number = reader.unsigned()?;
            reader.finish()?;
            Ok(number)
        }
        Encoding::C509 => small(&mut cbor::Reader::new(extension.value)),
    }
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
    fn read(extension: Extension<'_>) -> Result<Self, Problem> {
        if extension.is_der() {
            return Ok(Self::from_der(extension.value)?);
        }
        match cbor::Reader::new(extension.value).int()? {
            -2 => Ok(Self { ca: false, path_length: None }),
            -1 => Ok(Self { ca: true, path_length: None }),
            number => {
                let path_length = u32::try_from(number).map_err(|_| Problem::Value)?;
                Ok(Self { ca: true, path_length: Some(path_length) })
            }
        }
    }

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
    fn read(extension: Extension<'_>) -> Result<Self, Problem> {
        let bits = if extension.is_der() {
            let mut reader = Reader::new(extension.value);
            let bits = reader.bit_string()?.named_bits()?;
            reader.finish()?;
            u64::from(bits)
        } else {
            // Of a key usage that stands alone the sign says whether it is critical.
            cbor::Reader::new(extension.value).int()?.unsigned_abs()
        };
        Self::from_bits(u16::try_from(bits).unwrap_or_default()).ok_or(Problem::Der(der::Error::BitString))
    }

    /// A key usage from its bits, named bit `n` being bit `n`; `None` if there is none or one beyond the nine.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Option<Self> {
        match bits {
            1..=0x1ff => Some(Self(bits)),
            0 | 0x200.. => None,
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
    fn read(extension: Extension<'a>) -> Result<Self, Problem> {
        const BYTES: u8 = 2;
        if extension.is_der() {
            return Ok(Self::from_der(extension.value)?);
        }
        let mut reader = cbor::Reader::new(extension.value);
        let alone = reader.major_type()? == BYTES;
        if !X509 && !alone {
            return Err(Problem::Unregistered);
        }
        if !alone {
            reader.array_of(3)?;
        }
        let key_id = reader.bytes()?;
        let mut id = Self { key_id: Some(key_id), issuer: Items::EMPTY, serial_number: None };
        if !alone {
            id.issuer = Items::array(&mut reader)?;
            id.serial_number = Some(magnitude(&mut reader)?);
        }
        if key_id.is_empty() { Err(der::Error::Default.into()) } else { Ok(id) }
    }

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

/// `~biguint`: the octets of a number, none of them a zero in front.
pub(crate) fn magnitude<'a>(reader: &mut cbor::Reader<'a>) -> Result<&'a [u8], Problem> {
    let octets = reader.bytes()?;
    if octets.first() == Some(&0) { Err(Problem::NotCanonical) } else { Ok(octets) }
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

    fn read_cbor(reader: &mut cbor::Reader<'a>, _: Form) -> Result<Self, Problem> {
        Ok(Self {
            method: registry::ACCESS_METHODS.read(reader)?,
            location: GeneralName::read_cbor(reader, Form::Uris)?,
        })
    }
}

/// A place where a CRL is found; of its name only the full form is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DistributionPoint<'a> {
    pub(crate) full_name: Items<'a, GeneralName<'a>>,
    /// The named bits of `reasons`.
    pub(crate) reasons: Option<u32>,
    /// The only directory name of `cRLIssuer`.
    pub(crate) issuer: Option<Name<'a>>,
    /// Whether C509 has a form for it.
    pub(crate) has_c509: bool,
}

impl<'a> DistributionPoint<'a> {
    /// Whether C509 writes it without its array where it is the only one.
    pub(crate) fn is_one_uri(&self) -> bool {
        self.full_name.count() == 1 && self.reasons.is_none() && self.issuer.is_none()
    }
}

impl<'a> Item<'a> for DistributionPoint<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        let element = reader.expect_element(tag::SEQUENCE)?;
        der::well_formed(element.encoding)?;
        let mut inner = Reader::new(element.content);
        let mut point = Self { full_name: Items::EMPTY, reasons: None, issuer: None, has_c509: false };
        if let Some(name) = inner.optional(tag::context_constructed(0))? {
            let mut name = Reader::new(name);
            if let Some(full) = name.optional(tag::context_constructed(0))? {
                point.full_name = Items::checked(full)?;
                point.has_c509 = point.full_name.into_iter().all(|name| matches!(name, GeneralName::Uri(_)));
                name.finish()?;
            }
        }
        if let Some(reasons) = inner.optional(tag::context(1))? {
            let reasons = der::BitString::from_content(reasons)?;
            point.reasons = reasons.named_bits().ok();
            point.has_c509 &= point.reasons.is_some();
        }
        if let Some(issuer) = inner.optional(tag::context_constructed(2))? {
            let mut names: Items<'a, GeneralName<'a>> = Items::checked(issuer)?;
            if let (Some(GeneralName::Directory(name)), None) = (names.next(), names.next()) {
                point.issuer = Some(name);
            } else {
                point.has_c509 = false;
            }
        }
        inner.finish()?;
        Ok(point)
    }

    fn read_cbor(reader: &mut cbor::Reader<'a>, form: Form) -> Result<Self, Problem> {
        const ARRAY: u8 = 4;
        if form != Form::Lone {
            reader.array_of(3)?;
        }
        let full_name = if reader.major_type()? == ARRAY {
            let item = reader.skip()?;
            let mut inner = cbor::Reader::new(item);
            if inner.array(u64::from(u8::MAX))? < 2 {
                return Err(Problem::NotCanonical);
            }
            Items::checked_cbor(inner.rest(), Form::Uris)?
        } else {
            let start = reader.position();
            GeneralName::read_cbor(reader, Form::Uris)?;
            Items::known(reader.read_since(start), Form::Uris)
        };
        let (mut reasons, mut issuer) = (None, None);
        if form != Form::Lone {
            reasons = if reader.null()? { None } else { Some(small(reader)?) };
            issuer = if reader.null()? { None } else { Some(Name::read_c509(reader, false)?) };
        }
        Ok(Self { full_name, reasons, issuer, has_c509: true })
    }
}
