//! The certificate itself (RFC 5280 section 4.1).

use super::{AlgorithmIdentifier, Error, Extensions, Field, Item, Name, Problem, ServerName, SubjectPublicKeyInfo};
use crate::{
    crypto::{PublicKey, SignatureAlgorithm},
    der::{Reader, tag},
    time::Time,
};

/// The most bytes of a certificate. Certificates of devices have below two thousand; the largest in public use, with
/// hundreds of names, below thirty thousand.
pub const MAX_CERTIFICATE_BYTES: usize = 32 * 1024;

/// The version of a certificate. It decides which fields there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Version 1: no unique identifiers, no extensions.
    V1,
    /// Version 2: no extensions.
    V2,
    /// Version 3.
    V3,
}

/// From when to when a certificate or path is valid, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first valid second.
    pub not_before: Time,
    /// The last valid second; [`Time::NEVER`] for none.
    pub not_after: Time,
}

/// A certificate: a view of its DER, checked when made.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    encoding: &'a [u8],
    tbs: &'a [u8],
    version: Version,
    serial_number: &'a [u8],
    issuer: Name<'a>,
    validity: Validity,
    subject: Name<'a>,
    spki: SubjectPublicKeyInfo<'a>,
    extensions: Extensions<'a>,
    algorithm: AlgorithmIdentifier<'a>,
    signature: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads a certificate from its DER. Nothing may follow it.
    ///
    /// # Errors
    /// The field that is wrong and what is wrong with it. A certificate of an unknown algorithm or with an unknown
    /// critical extension can be read; path validation refuses it.
    pub fn from_der(der: &'a [u8]) -> Result<Self, Error> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(Error::new(Field::Outer, Problem::TooMany));
        }
        let mut reader = Reader::new(der);
        let mut outer = Field::Outer.at(reader.nested(tag::SEQUENCE))?;
        Field::Outer.at(reader.finish())?;
        let tbs = Field::Outer.at(outer.expect_element(tag::SEQUENCE))?;
        let algorithm = Field::SignatureAlgorithm.at(AlgorithmIdentifier::read(&mut outer))?;
        let signature = Field::Signature.at(outer.octets_in_bit_string())?;
        Field::Outer.at(outer.finish())?;

        let mut body = Reader::new(tbs.content);
        let version = version(&mut body)?;
        let serial_number = serial_number(&mut body)?;
        let inner_algorithm = Field::SignatureAlgorithm.at(AlgorithmIdentifier::read(&mut body))?;
        if inner_algorithm != algorithm {
            return Err(Error::new(Field::SignatureAlgorithm, Problem::AlgorithmsDiffer));
        }
        let issuer = Field::Issuer.at(Name::read(&mut body))?;
        if issuer.is_empty() {
            return Err(Error::new(Field::Issuer, Problem::EmptyName));
        }
        let validity = validity(&mut body)?;
        let subject = Field::Subject.at(Name::read(&mut body))?;
        let spki = Field::SubjectPublicKeyInfo.at(SubjectPublicKeyInfo::read(&mut body))?;
        unique_ids(&mut body, version)?;
        let extensions = extensions(&mut body, version)?;
        Field::Outer.at(body.finish())?;
        check_subject(&subject, &extensions)?;
        Ok(Self {
            encoding: der,
            tbs: tbs.encoding,
            version,
            serial_number,
            issuer,
            validity,
            subject,
            spki,
            extensions,
            algorithm,
            signature,
        })
    }

    /// The DER of the whole certificate.
    #[must_use]
    pub const fn encoding(&self) -> &'a [u8] {
        self.encoding
    }

    /// The DER of `tbsCertificate`: the bytes that are signed.
    #[must_use]
    pub const fn tbs(&self) -> &'a [u8] {
        self.tbs
    }

    /// The version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The content octets of `serialNumber`: not negative, at most 20 octets, with a zero in front where the top bit is
    /// set. Zero, which old roots have, can be read; path validation refuses it below an anchor.
    #[must_use]
    pub const fn serial_number(&self) -> &'a [u8] {
        self.serial_number
    }

    /// Who issued it; never empty.
    #[must_use]
    pub const fn issuer(&self) -> Name<'a> {
        self.issuer
    }

    /// Whom it is about. It may be empty when a critical `subjectAltName` names the subject.
    #[must_use]
    pub const fn subject(&self) -> Name<'a> {
        self.subject
    }

    /// The first second of its validity.
    #[must_use]
    pub const fn not_before(&self) -> Time {
        self.validity.not_before
    }

    /// The last second of its validity; [`Time::NEVER`] for none.
    #[must_use]
    pub const fn not_after(&self) -> Time {
        self.validity.not_after
    }

    /// Both ends of its validity.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The DER of `subjectPublicKeyInfo`.
    #[must_use]
    pub const fn spki(&self) -> &'a [u8] {
        self.spki.encoding()
    }

    /// `subjectPublicKeyInfo`, looked into.
    #[must_use]
    pub const fn subject_public_key_info(&self) -> &SubjectPublicKeyInfo<'a> {
        &self.spki
    }

    /// The subject's key; `None` if its kind is unknown here.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey<'a>> {
        self.spki.public_key()
    }

    /// How it is signed; `None` if the algorithm is unknown here.
    #[must_use]
    pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        self.algorithm.signature_algorithm()
    }

    /// How it is signed, as it stands in the certificate.
    #[must_use]
    pub const fn algorithm(&self) -> AlgorithmIdentifier<'a> {
        self.algorithm
    }

    /// The signature, in X.509's form.
    #[must_use]
    pub const fn signature(&self) -> &'a [u8] {
        self.signature
    }

    /// The extensions.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions<'a> {
        &self.extensions
    }

    /// Whether subject and issuer are the same name: such a certificate brings a new key or policy of the same
    /// authority and does not count as a step of the path (RFC 5280 section 6.1).
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject.matches(&self.issuer)
    }

    /// Whether `subjectAltName` has this name. The common name is never looked at (RFC 9525 section 6.3).
    #[must_use]
    pub fn matches_name(&self, name: &ServerName<'_>) -> bool {
        self.extensions.subject_alt_names().any(|presented| name.is(&presented))
    }
}

fn version(body: &mut Reader<'_>) -> Result<Version, Error> {
    let Some(content) = Field::Version.at(body.optional(tag::context_constructed(0)))? else {
        return Ok(Version::V1);
    };
    let mut inner = Reader::new(content);
    let number = Field::Version.at(inner.unsigned())?;
    Field::Version.at(inner.finish())?;
    match number {
        1 => Ok(Version::V2),
        2 => Ok(Version::V3),
        // Version 1 is the default and so is never written.
        0 | 3.. => Err(Error::new(Field::Version, Problem::Version)),
    }
}

fn serial_number<'a>(body: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let serial = Field::SerialNumber.at(body.integer())?;
    let not_negative = serial.first().is_some_and(|first| *first < 0x80);
    if not_negative && serial.len() <= 20 {
        Ok(serial)
    } else {
        Err(Error::new(Field::SerialNumber, Problem::SerialNumber))
    }
}

fn validity(body: &mut Reader<'_>) -> Result<Validity, Error> {
    let read = |body: &mut Reader<'_>| {
        let mut inner = body.nested(tag::SEQUENCE)?;
        let validity = Validity { not_before: inner.time()?, not_after: inner.time()? };
        inner.finish()?;
        Ok(validity)
    };
    let validity = Field::Validity.at(read(body))?;
    if validity.not_before > validity.not_after {
        return Err(Error::new(Field::Validity, Problem::Validity));
    }
    Ok(validity)
}

/// `issuerUniqueID` and `subjectUniqueID` are read over: nothing uses them.
fn unique_ids(body: &mut Reader<'_>, version: Version) -> Result<(), Error> {
    for number in [1, 2] {
        if let Some(content) = Field::UniqueId.at(body.optional(tag::context(number)))? {
            Field::UniqueId.at(crate::der::BitString::from_content(content))?;
            if version < Version::V2 {
                return Err(Error::new(Field::UniqueId, Problem::Version));
            }
        }
    }
    Ok(())
}

fn extensions<'a>(body: &mut Reader<'a>, version: Version) -> Result<Extensions<'a>, Error> {
    let Some(content) = Field::Extensions.at(body.optional(tag::context_constructed(3)))? else {
        return Ok(Extensions::NONE);
    };
    if version < Version::V3 {
        return Err(Error::new(Field::Extensions, Problem::Version));
    }
    Extensions::from_der(content)
}

/// An empty subject needs a critical `subjectAltName`, and cannot be an authority (RFC 5280 section 4.1.2.6).
fn check_subject(subject: &Name<'_>, extensions: &Extensions<'_>) -> Result<(), Error> {
    if !subject.is_empty() {
        return Ok(());
    }
    if extensions.basic_constraints().is_some_and(|constraints| constraints.ca) {
        return Err(Error::new(Field::Subject, Problem::EmptyName));
    }
    match extensions.find(super::ids::SUBJECT_ALT_NAME) {
        None => Err(Error::new(Field::Subject, Problem::EmptyName)),
        Some(extension) if !extension.critical => Err(Error::new(Field::SubjectAltName, Problem::Criticality)),
        Some(_) => Ok(()),
    }
}
