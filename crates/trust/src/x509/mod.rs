//! Views of certificates (RFC 5280) and certificate requests (RFC 2986), over their DER or over C509
//! ([`c509`](crate::c509)). What is above a view, path validation first, does not see which it is.
//!
//! A view borrows the bytes it was made from and copies nothing. Whatever a view shows was checked when it was made:
//! its accessors cannot fail.

mod algorithm;
mod certificate;
mod extensions;
mod general_name;
mod name;
mod name_constraints;
mod oid;
mod policies;
mod request;
mod role;
mod text;

pub use crate::der::Oid;
pub use algorithm::{AlgorithmIdentifier, SubjectPublicKeyInfo};
pub(crate) use algorithm::{KeyForm, RSA_EXPONENT, coordinate};
pub(crate) use certificate::number_length;
pub use certificate::{Certificate, MAX_CERTIFICATE_BYTES, SignedForm, Validity, Version};
pub use extensions::{
    AccessDescription, AuthorityKeyId, BasicConstraints, Extension, Extensions, KeyUsage, MAX_EXTENSIONS,
};
pub(crate) use general_name::number;
pub use general_name::{GeneralName, HardwareModuleName, NameForm, OtherName, ServerName};
pub use name::{Attribute, MAX_ATTRIBUTES, Name, Text};
pub(crate) use name::{TAG_MAC, nibble};
pub use name_constraints::{NameConstraints, Subtree};
pub(crate) use name_constraints::{Relation, Side};
pub use oid::{ids, name_of};
pub(crate) use policies::MAX_QUALIFIERS;
pub use policies::{PolicyConstraints, PolicyExtensions, PolicyInformation, PolicyMapping};
pub(crate) use request::TAG_FIRST_ALTERNATIVE;
pub use request::{MAX_REQUEST_BYTES, Request, RequestAttribute};
pub use role::{RoleExtension, role_extension_der};

use crate::c509::registry;
use crate::{
    cbor,
    der::{self, Reader},
};
use core::{fmt, marker::PhantomData};

/// Why bytes are not a certificate or request that this crate accepts: where, and what is wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Where.
    pub field: Field,
    /// What is wrong.
    pub problem: Problem,
}

impl Error {
    pub(crate) const fn new(field: Field, problem: Problem) -> Self {
        Self { field, problem }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field.name(), self.problem)
    }
}

impl core::error::Error for Error {}

/// A part of a certificate or request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The outermost structure.
    Outer,
    /// `version`.
    Version,
    /// `serialNumber`.
    SerialNumber,
    /// `signatureAlgorithm`, or `signature` inside the signed part.
    SignatureAlgorithm,
    /// `issuer`.
    Issuer,
    /// `validity`.
    Validity,
    /// `subject`.
    Subject,
    /// `subjectPublicKeyInfo`.
    SubjectPublicKeyInfo,
    /// `issuerUniqueID` and `subjectUniqueID`.
    UniqueId,
    /// The list of extensions.
    Extensions,
    /// Extension `basicConstraints`.
    BasicConstraints,
    /// Extension `keyUsage`.
    KeyUsage,
    /// Extension `extKeyUsage`.
    ExtendedKeyUsage,
    /// Extension `subjectAltName`.
    SubjectAltName,
    /// Extension `nameConstraints`.
    NameConstraints,
    /// Extension `authorityKeyIdentifier`.
    AuthorityKeyId,
    /// Extension `subjectKeyIdentifier`.
    SubjectKeyId,
    /// Extension `certificatePolicies`.
    CertificatePolicies,
    /// Extension `policyMappings`.
    PolicyMappings,
    /// Extension `policyConstraints`.
    PolicyConstraints,
    /// Extension `inhibitAnyPolicy`.
    InhibitAnyPolicy,
    /// Extension `cRLDistributionPoints`.
    CrlDistributionPoints,
    /// Extension `authorityInfoAccess`.
    AuthorityInfoAccess,
    /// Medlock's role extension.
    Role,
    /// `signatureValue`.
    Signature,
    /// The attributes of a request.
    Attributes,
}

impl Field {
    /// The name the standard gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outer => "outer structure",
            Self::Version => "version",
            Self::SerialNumber => "serialNumber",
            Self::SignatureAlgorithm => "signatureAlgorithm",
            Self::Issuer => "issuer",
            Self::Validity => "validity",
            Self::Subject => "subject",
            Self::SubjectPublicKeyInfo => "subjectPublicKeyInfo",
            Self::UniqueId => "uniqueIdentifier",
            Self::Extensions => "extensions",
            Self::BasicConstraints => "basicConstraints",
            Self::KeyUsage => "keyUsage",
            Self::ExtendedKeyUsage => "extKeyUsage",
            Self::SubjectAltName => "subjectAltName",
            Self::NameConstraints => "nameConstraints",
            Self::AuthorityKeyId => "authorityKeyIdentifier",
            Self::SubjectKeyId => "subjectKeyIdentifier",
            Self::CertificatePolicies => "certificatePolicies",
            Self::PolicyMappings => "policyMappings",
            Self::PolicyConstraints => "policyConstraints",
            Self::InhibitAnyPolicy => "inhibitAnyPolicy",
            Self::CrlDistributionPoints => "cRLDistributionPoints",
            Self::AuthorityInfoAccess => "authorityInfoAccess",
            Self::Role => "medlockRole",
            Self::Signature => "signatureValue",
            Self::Attributes => "attributes",
        }
    }

    /// Makes an error of a reader one of this field.
    pub(crate) fn at<T, P: Into<Problem>>(self, result: Result<T, P>) -> Result<T, Error> {
        result.map_err(|problem| Error::new(self, problem.into()))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is not the DER it should be.
    Der(der::Error),
    /// It is not the CBOR it should be.
    Cbor(cbor::ErrorKind),
    /// C509 has another, shorter encoding for this value, and wants that one.
    NotCanonical,
    /// A number that the registries of C509 do not have, or that is not supported here.
    Unregistered,
    /// A version that does not exist, or one that does not allow what the certificate contains.
    Version,
    /// A serial number that is zero in a path, negative, or longer than 20 octets (RFC 5280 section 4.1.2.2).
    SerialNumber,
    /// The two places that name the signature algorithm differ (RFC 5280 section 4.1.1.2).
    AlgorithmsDiffer,
    /// A name is empty where it must not be.
    EmptyName,
    /// Validity ends before it begins.
    Validity,
    /// It occurs twice.
    Duplicate,
    /// It is marked critical and must not be, or the other way round.
    Criticality,
    /// There are more than this crate accepts.
    TooMany,
    /// A value that the standard forbids.
    Value,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Der(error) => return error.fmt(f),
            Self::Cbor(kind) => return kind.fmt(f),
            Self::NotCanonical => "C509 wants another encoding of this value",
            Self::Unregistered => "a number that is not in the registries of C509 or not supported",
            Self::Version => "the version does not exist or does not allow this",
            Self::SerialNumber => "the serial number is not positive or is longer than 20 octets",
            Self::AlgorithmsDiffer => "the two places that name the signature algorithm differ",
            Self::EmptyName => "the name is empty",
            Self::Validity => "the validity ends before it begins",
            Self::Duplicate => "it occurs twice",
            Self::Criticality => "it is critical and must not be, or is not critical and must be",
            Self::TooMany => "there are more of them than are accepted",
            Self::Value => "the standard forbids this value",
        })
    }
}

impl From<der::Error> for Problem {
    fn from(error: der::Error) -> Self {
        Self::Der(error)
    }
}

impl From<cbor::Error> for Problem {
    fn from(error: cbor::Error) -> Self {
        Self::Cbor(error.kind)
    }
}

/// Whether X.509, and C509 made from it, can be read: feature `x509`. Without it only C509 of type 2 can, and nothing in it
/// that a device's certificate does not have; the crate's documentation says what that is.
pub(crate) const X509: bool = cfg!(feature = "x509");

/// How the bytes of a value are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// In DER, as in X.509, or inside C509 where that has no form of its own.
    Der,
    /// In C509's own form.
    C509,
}

/// How the members of a list are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// DER, one after the other.
    Der,
    /// CBOR, one after the other.
    Cbor,
    /// C509's short form of a list with one member: a common name, a key usage, a host name.
    Lone,
    /// Texts that are URIs.
    Uris,
}

/// A value that can be read from DER and from C509.
pub(crate) trait Item<'a>: Sized {
    /// Whether there are lists of it in DER.
    const IN_DER: bool = X509;

    fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error>;

    /// Reads the value from C509; `form` is never [`Form::Der`].
    fn read_cbor(reader: &mut cbor::Reader<'a>, form: Form) -> Result<Self, Problem>;
}

/// A key purpose: the only identifiers that stand in a list of their own.
impl<'a> Item<'a> for Oid<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        reader.oid()
    }

    fn read_cbor(reader: &mut cbor::Reader<'a>, _: Form) -> Result<Self, Problem> {
        registry::PURPOSES.read(reader)
    }
}

/// The members of a checked list: a `SEQUENCE OF`, a `SET OF` or an array.
#[derive(Clone, Copy)]
pub struct Items<'a, T> {
    rest: &'a [u8],
    form: Form,
    item: PhantomData<fn() -> T>,
}

#[expect(private_bounds, reason = "only this module makes such lists")]
impl<'a, T: Item<'a>> Items<'a, T> {
    /// Checks that `content` is one or more members and nothing else.
    pub(crate) fn checked(content: &'a [u8]) -> Result<Self, der::Error> {
        if content.is_empty() { Err(der::Error::Default) } else { Self::checked_or_empty(content) }
    }

    /// Checks that `content` is members and nothing else.
    pub(crate) fn checked_or_empty(content: &'a [u8]) -> Result<Self, der::Error> {
        let mut reader = Reader::new(content);
        while !reader.is_empty() {
            T::read(&mut reader)?;
        }
        Ok(Self { rest: content, form: Form::Der, item: PhantomData })
    }

    /// Checks that `content` is one or more members in C509's form and nothing else.
    pub(crate) fn checked_cbor(content: &'a [u8], form: Form) -> Result<Self, Problem> {
        let mut reader = cbor::Reader::new(content);
        loop {
            T::read_cbor(&mut reader, form)?;
            if reader.rest().is_empty() {
                return Ok(Self { rest: content, form, item: PhantomData });
            }
        }
    }

    /// Reads an array of one or more members, each of one item or, as names are, of two.
    pub(crate) fn array(reader: &mut cbor::Reader<'a>) -> Result<Self, Problem> {
        let item = reader.skip()?;
        Self::array_in(item)
    }

    /// As [`array`](Self::array), of an item that was read over.
    pub(crate) fn array_in(item: &'a [u8]) -> Result<Self, Problem> {
        let mut inner = cbor::Reader::new(item);
        inner.array(MAX_MEMBERS)?;
        Self::checked_cbor(inner.rest(), Form::Cbor)
    }

    fn read_next(&mut self) -> Result<T, Problem> {
        if T::IN_DER && self.form == Form::Der {
            let mut reader = Reader::new(self.rest);
            let item = T::read(&mut reader)?;
            self.rest = reader.rest();
            Ok(item)
        } else {
            let mut reader = cbor::Reader::new(self.rest);
            let item = T::read_cbor(&mut reader, self.form)?;
            self.rest = reader.rest();
            Ok(item)
        }
    }
}

/// The most items of an array inside an extension.
const MAX_MEMBERS: u64 = 4096;

impl<'a, T> Items<'a, T> {
    /// No members.
    pub(crate) const EMPTY: Self = Self { rest: &[], form: Form::Der, item: PhantomData };

    /// Members that were checked before.
    pub(crate) const fn known(rest: &'a [u8], form: Form) -> Self {
        Self { rest, form, item: PhantomData }
    }
}

impl<'a, T: Item<'a>> Iterator for Items<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        // The members were checked when the list was made, so an error cannot occur; if it did, it would end the list.
        if self.rest.is_empty() { None } else { self.read_next().ok() }
    }

    /// Without the default's addition, which may panic for all the compiler knows.
    fn count(self) -> usize {
        self.fold(0, |count: usize, _| count.saturating_add(1))
    }
}

impl<T> fmt::Debug for Items<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Items({} bytes)", self.rest.len())
    }
}
