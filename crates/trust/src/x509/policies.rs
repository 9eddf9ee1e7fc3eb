//! The four extensions about certificate policies (RFC 5280 sections 4.2.1.4, 4.2.1.5, 4.2.1.11 and 4.2.1.14).

use super::{Encoding, Error, Extension, Field, Form, Item, Items, Problem, ids};
use crate::{
    c509::registry,
    cbor,
    der::{self, Oid, Reader, tag},
};

/// What a certificate says about policies.
#[derive(Clone, Copy, Debug)]
pub struct PolicyExtensions<'a> {
    /// `certificatePolicies`.
    pub certificate_policies: Option<Items<'a, PolicyInformation<'a>>>,
    /// `policyMappings`.
    pub mappings: Option<Items<'a, PolicyMapping<'a>>>,
    /// `policyConstraints`.
    pub constraints: Option<PolicyConstraints>,
    /// `inhibitAnyPolicy`: after how many more certificates `anyPolicy` no longer counts.
    pub inhibit_any_policy: Option<u32>,
}

impl<'a> PolicyExtensions<'a> {
    pub(crate) const NONE: Self =
        Self { certificate_policies: None, mappings: None, constraints: None, inhibit_any_policy: None };

    /// Reads `certificatePolicies`; no policy may occur twice.
    pub(crate) fn read_policies(extension: Extension<'a>) -> Result<Items<'a, PolicyInformation<'a>>, Error> {
        let field = Field::CertificatePolicies;
        let items: Items<'a, PolicyInformation<'a>> = field.at(extension.list())?;
        if items.count() > Self::MAX_POLICIES {
            return Err(Error::new(field, Problem::TooMany));
        }
        for (index, item) in (0..Self::MAX_POLICIES).zip(items) {
            if items.take(index).any(|earlier| earlier.policy == item.policy) {
                return Err(Error::new(field, Problem::Duplicate));
            }
        }
        Ok(items)
    }

    /// The most policies, and the most mappings, in one certificate: looking for doubles is quadratic.
    pub const MAX_POLICIES: usize = 32;

    /// Reads `policyMappings`; `anyPolicy` may stand on neither side.
    pub(crate) fn read_mappings(extension: Extension<'a>) -> Result<Items<'a, PolicyMapping<'a>>, Error> {
        let field = Field::PolicyMappings;
        let items: Items<'a, PolicyMapping<'a>> = field.at(extension.list())?;
        if items.count() > Self::MAX_POLICIES {
            return Err(Error::new(field, Problem::TooMany));
        }
        let any = |mapping: PolicyMapping<'_>| {
            mapping.issuer_domain == ids::ANY_POLICY || mapping.subject_domain == ids::ANY_POLICY
        };
        if items.into_iter().any(any) { Err(Error::new(field, Problem::Value)) } else { Ok(items) }
    }
}

/// Reads a value that is one `SEQUENCE OF`, with at least one member.
pub(crate) fn sequence_of<'a, T: Item<'a>>(value: &'a [u8]) -> Result<Items<'a, T>, der::Error> {
    let mut reader = Reader::new(value);
    let content = reader.expect(tag::SEQUENCE)?;
    reader.finish()?;
    Items::checked(content)
}

/// One policy under which the certificate was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyInformation<'a> {
    /// The policy.
    pub policy: Oid<'a>,
    /// Its qualifiers as they stand there, if there are any: the DER of a `SEQUENCE OF PolicyQualifierInfo`, or C509's
    /// array.
    pub qualifiers: Option<&'a [u8]>,
    /// How the qualifiers are written.
    pub encoding: Encoding,
}

impl<'a> Item<'a> for PolicyInformation<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        let mut inner = reader.nested(tag::SEQUENCE)?;
        let policy = inner.oid()?;
        let qualifiers = if inner.is_empty() {
            None
        } else {
            let element = inner.expect_element(tag::SEQUENCE)?;
            if element.content.is_empty() {
                return Err(der::Error::Default);
            }
            der::well_formed(element.encoding)?;
            Some(element.encoding)
        };
        inner.finish()?;
        Ok(Self { policy, qualifiers, encoding: Encoding::Der })
    }

    fn read_cbor(reader: &mut cbor::Reader<'a>, _: Form) -> Result<Self, Problem> {
        let policy = registry::POLICIES.read(reader)?;
        let qualifiers = reader.skip()?;
        let mut inner = cbor::Reader::new(qualifiers);
        let count = inner.array(MAX_QUALIFIERS)?;
        if count % 2 != 0 {
            return Err(Problem::Cbor(cbor::ErrorKind::OutOfRange));
        }
        for _ in 0..count / 2 {
            match inner.uint()? {
                QUALIFIER_CPS => {
                    if !inner.any_text()?.is_ascii() {
                        return Err(Problem::Der(der::Error::String));
                    }
                }
                QUALIFIER_NOTICE => drop(inner.any_text()?),
                _ => return Err(Problem::Unregistered),
            }
        }
        let qualifiers = (count > 0).then_some(qualifiers);
        Ok(Self { policy, qualifiers, encoding: Encoding::C509 })
    }
}

/// The qualifiers C509 has numbers for; others it can only write as DER of the whole extension.
pub(crate) const QUALIFIER_CPS: u64 = 1;
pub(crate) const QUALIFIER_NOTICE: u64 = 2;
/// The most items of a list of qualifiers.
pub(crate) const MAX_QUALIFIERS: u64 = 32;

/// Two policies that the issuer takes as equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyMapping<'a> {
    /// The issuer's policy.
    pub issuer_domain: Oid<'a>,
    /// The subject's policy.
    pub subject_domain: Oid<'a>,
}

impl<'a> Item<'a> for PolicyMapping<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        let mut inner = reader.nested(tag::SEQUENCE)?;
        let mapping = Self { issuer_domain: inner.oid()?, subject_domain: inner.oid()? };
        inner.finish()?;
        Ok(mapping)
    }

    fn read_cbor(reader: &mut cbor::Reader<'a>, _: Form) -> Result<Self, Problem> {
        Ok(Self { issuer_domain: registry::POLICIES.read(reader)?, subject_domain: registry::POLICIES.read(reader)? })
    }
}

/// `PolicyConstraints`: counts of certificates that may still follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyConstraints {
    /// After how many more certificates an acceptable policy is required.
    pub require_explicit_policy: Option<u32>,
    /// After how many more certificates policies are no longer mapped.
    pub inhibit_policy_mapping: Option<u32>,
}

impl PolicyConstraints {
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, der::Error> {
        let mut reader = Reader::new(der);
        let mut inner = reader.nested(tag::SEQUENCE)?;
        reader.finish()?;
        let require_explicit_policy = inner.optional(tag::context(0))?.map(der::unsigned).transpose()?;
        let inhibit_policy_mapping = inner.optional(tag::context(1))?.map(der::unsigned).transpose()?;
        inner.finish()?;
        if require_explicit_policy.is_none() && inhibit_policy_mapping.is_none() {
            return Err(der::Error::Default);
        }
        Ok(Self { require_explicit_policy, inhibit_policy_mapping })
    }

    pub(crate) fn from_c509(item: &[u8]) -> Result<Self, Problem> {
        let mut reader = cbor::Reader::new(item);
        reader.array_of(2)?;
        let constraints = Self {
            require_explicit_policy: small_or_null(&mut reader)?,
            inhibit_policy_mapping: small_or_null(&mut reader)?,
        };
        reader.finish()?;
        if constraints.require_explicit_policy.is_none() && constraints.inhibit_policy_mapping.is_none() {
            return Err(Problem::Der(der::Error::Default));
        }
        Ok(constraints)
    }
}

/// An unsigned integer of 32 bits.
pub(crate) fn small(reader: &mut cbor::Reader<'_>) -> Result<u32, Problem> {
    u32::try_from(reader.uint()?).map_err(|_| Problem::Cbor(cbor::ErrorKind::OutOfRange))
}

fn small_or_null(reader: &mut cbor::Reader<'_>) -> Result<Option<u32>, Problem> {
    if reader.null()? { Ok(None) } else { small(reader).map(Some) }
}
