//! The certificate itself (RFC 5280 section 4.1).

use super::{
    AlgorithmIdentifier, Error, Extensions, Field, Item, KeyUsage, Name, Problem, ServerName, SubjectPublicKeyInfo,
    X509, extensions::magnitude,
};
use crate::{
    CredentialId, KeyId,
    c509::{
        self,
        out::strip_zeros,
        registry,
        to_der::{FullPoint, Rebuilt, is_ecdsa, is_proof_of_possession},
    },
    cbor,
    crypto::{Crypto, PublicKey, Signature, SignatureAlgorithm, VerifyError},
    der::{Reader, tag},
    log::Hash,
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

/// In which form a certificate or request is, and so what its signature is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignedForm {
    /// X.509: DER, signed as such.
    X509,
    /// C509 type 2: CBOR, signed as such.
    Native,
    /// C509 type 3: CBOR, made from X.509, which is what is signed.
    Reencoded,
}

impl SignedForm {
    /// `c509CertificateType` and `c509CertificationRequestType`.
    pub(crate) fn from_c509_type(number: i64) -> Option<Self> {
        match number {
            2 => Some(Self::Native),
            3 if X509 => Some(Self::Reencoded),
            _ => None,
        }
    }
}

/// A certificate: a view of its DER or of its C509, checked when made.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    encoding: &'a [u8],
    form: SignedForm,
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
    /// Reads a certificate from its DER (first byte 30) or its C509 (first byte 8b). Nothing may follow it.
    ///
    /// # Errors
    /// As [`from_der`](Self::from_der) and [`from_c509`](Self::from_c509).
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.first() == Some(&c509::CERTIFICATE_HEAD) { Self::from_c509(bytes) } else { Self::from_der(bytes) }
    }

    /// Reads a certificate from its C509 encoding: an array of eleven items. Only the one encoding that the
    /// standard gives to a certificate is accepted; [`c509`](crate::c509) says where it gives a choice.
    ///
    /// # Errors
    /// The field that is wrong and what is wrong with it.
    pub fn from_c509(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_CERTIFICATE_BYTES {
            return Err(Error::new(Field::Outer, Problem::TooMany));
        }
        let mut reader = cbor::Reader::new(bytes);
        Field::Outer.at(reader.array_of(11))?;
        let start = reader.position();
        let number = Field::Version.at(reader.int())?;
        let form = SignedForm::from_c509_type(number).ok_or(Error::new(Field::Version, Problem::Version))?;
        let native = form == SignedForm::Native;
        let serial_number = Field::SerialNumber.at(magnitude(&mut reader))?;
        let octets = serial_number.len().saturating_add(usize::from(serial_number.first().is_some_and(|b| *b >= 0x80)));
        if octets > 20 {
            return Err(Error::new(Field::SerialNumber, Problem::SerialNumber));
        }
        let algorithm =
            Field::SignatureAlgorithm.at(AlgorithmIdentifier::read_c509(&mut reader, &registry::SIGNATURES))?;
        let self_issued = Field::Issuer.at(reader.null())?;
        let issuer = if self_issued { None } else { Some(Field::Issuer.at(Name::read_c509(&mut reader, native))?) };
        let validity = validity_c509(&mut reader)?;
        let subject = Field::Subject.at(Name::read_c509(&mut reader, native))?;
        let issuer = match issuer {
            // The same name must not be written twice (section "issuer").
            Some(issuer) if issuer == subject => return Err(Error::new(Field::Issuer, Problem::NotCanonical)),
            Some(issuer) => issuer,
            None => subject,
        };
        if issuer.is_empty() {
            return Err(Error::new(Field::Issuer, Problem::EmptyName));
        }
        let spki = Field::SubjectPublicKeyInfo.at(SubjectPublicKeyInfo::read_c509(&mut reader, native))?;
        let extensions = Extensions::from_c509(Field::Extensions.at(reader.skip())?, native)?;
        let tbs = reader.read_since(start);
        let signature = Field::Signature.at(signature_c509(&mut reader, algorithm, form))?;
        Field::Outer.at(reader.finish())?;
        check_subject(&subject, &extensions)?;
        Ok(Self {
            encoding: bytes,
            form,
            tbs,
            version: Version::V3,
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

    /// Reads a certificate from its DER. Nothing may follow it.
    ///
    /// # Errors
    /// The field that is wrong and what is wrong with it. A certificate of an unknown algorithm or with an unknown
    /// critical extension can be read; path validation refuses it. Without feature `x509`, always
    /// [`Problem::Unregistered`].
    pub fn from_der(der: &'a [u8]) -> Result<Self, Error> {
        if !X509 {
            return Err(Error::new(Field::Outer, Problem::Unregistered));
        }
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
            form: SignedForm::X509,
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

    /// The whole certificate as it was read: DER or C509.
    #[must_use]
    pub const fn encoding(&self) -> &'a [u8] {
        self.encoding
    }

    /// In which form it is.
    #[must_use]
    pub const fn form(&self) -> SignedForm {
        self.form
    }

    /// The DER of `tbsCertificate`, or C509's first ten items. Of a re-encoded certificate (C509 type 3) these are not
    /// the bytes that are signed: [`verify_with`](Self::verify_with) rebuilds those.
    #[must_use]
    pub const fn tbs(&self) -> &'a [u8] {
        self.tbs
    }

    /// Checks the certificate's signature with the issuer's key.
    ///
    /// # Errors
    /// [`VerifyError::Unsupported`] for an algorithm unknown here or that does not fit the key,
    /// [`VerifyError::Invalid`] for a wrong signature.
    pub fn verify_with(&self, key: PublicKey<'_>, crypto: &impl Crypto) -> Result<(), VerifyError> {
        let algorithm = self.signature_algorithm().ok_or(VerifyError::Unsupported)?;
        match self.form {
            SignedForm::X509 => crypto.verify(algorithm, key, &[self.tbs], Signature::X509(self.signature)),
            SignedForm::Native => crypto.verify(algorithm, key, &[self.tbs], Signature::Cose(self.signature)),
            SignedForm::Reencoded if !X509 => Err(VerifyError::Unsupported),
            SignedForm::Reencoded => {
                crypto.verify(algorithm, key, &Rebuilt::Tbs(self, self.point(crypto)), Signature::Cose(self.signature))
            }
        }
    }

    /// The identifier of the credential: of the bytes that are signed, and of them alone. So neither another signature
    /// over the same bytes (anybody turns ECDSA's `s` into `n - s`) nor the re-encoded form (C509 type 3, whose X.509 is
    /// rebuilt) makes another credential of it.
    #[must_use]
    pub fn credential_id(&self, crypto: &impl Crypto) -> CredentialId {
        match self.form {
            SignedForm::X509 | SignedForm::Native => CredentialId::of_signed(&[self.tbs], crypto),
            SignedForm::Reencoded => CredentialId::of_signed(&Rebuilt::Tbs(self, self.point(crypto)), crypto),
        }
    }

    /// The hash by which a log of what its issuer signed has the credential as an entry: over the same bytes as
    /// [`Certificate::credential_id`].
    #[must_use]
    pub fn log_entry(&self, crypto: &impl Crypto) -> Hash {
        match self.form {
            SignedForm::X509 | SignedForm::Native => Hash::of_entry(&[self.tbs], crypto),
            SignedForm::Reencoded => Hash::of_entry(&Rebuilt::Tbs(self, self.point(crypto)), crypto),
        }
    }

    /// The identifier of the subject's key: the same whatever form certificate and key are in.
    #[must_use]
    pub fn key_id(&self, crypto: &impl Crypto) -> KeyId {
        self.spki.key_id(crypto)
    }

    /// The subject's point in full, where the certificate has it compressed and the DER has not.
    pub(crate) fn point(&self, crypto: &impl Crypto) -> FullPoint {
        self.spki.point(crypto)
    }

    /// The version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The content octets of `serialNumber`: not negative, at most 20 octets, with a zero in front where the top bit is
    /// set; of C509 without it, and nothing for zero. Zero, which old roots have, can be read; path validation refuses
    /// it below an anchor.
    #[must_use]
    pub const fn serial_number(&self) -> &'a [u8] {
        self.serial_number
    }

    /// The serial number without a zero in front; nothing for zero.
    #[must_use]
    pub fn serial_magnitude(&self) -> &'a [u8] {
        self.serial_number.strip_prefix(&[0]).unwrap_or(self.serial_number)
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

    /// The DER of `subjectPublicKeyInfo`; empty for C509, which has no such bytes ([`key_id`](Self::key_id),
    /// [`public_key`](Self::public_key)).
    #[must_use]
    pub const fn spki(&self) -> &'a [u8] {
        self.spki.encoding()
    }

    /// `subjectPublicKeyInfo`, looked into.
    #[must_use]
    pub const fn subject_public_key_info(&self) -> &SubjectPublicKeyInfo<'a> {
        &self.spki
    }

    /// The subject's key; `None` if its kind is unknown here. (Of C509 also for RSA, whose key is not there in one piece.)
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey<'_>> {
        self.spki.key()
    }

    /// Whether the subject's key may sign (other than certificates and CRLs): `keyUsage` has `digitalSignature`, or is
    /// absent (RFC 5280 section 4.2.1.3).
    #[must_use]
    pub fn key_may_sign(&self) -> bool {
        self.extensions.key_usage().is_none_or(KeyUsage::digital_signature)
    }

    /// Whether the subject's key may agree on secrets, as static Diffie-Hellman does: `keyUsage` has `keyAgreement`, or is
    /// absent (RFC 5280 section 4.2.1.3).
    #[must_use]
    pub fn key_may_agree(&self) -> bool {
        self.extensions.key_usage().is_none_or(KeyUsage::key_agreement)
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

    /// The signature, in X.509's form; of C509 in COSE's.
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

fn validity_c509(reader: &mut cbor::Reader<'_>) -> Result<Validity, Error> {
    let not_before = Field::Validity.at(reader.time())?;
    let not_after = if Field::Validity.at(reader.null())? { None } else { Some(Field::Validity.at(reader.time())?) };
    if not_after == Some(Time::NEVER) {
        return Err(Error::new(Field::Validity, Problem::NotCanonical));
    }
    let not_after = not_after.unwrap_or(Time::NEVER);
    if not_before > not_after {
        return Err(Error::new(Field::Validity, Problem::Validity));
    }
    Ok(Validity { not_before, not_after })
}

/// `issuerSignatureValue`: octets; of ECDSA two numbers of the length of the curve's order.
pub(super) fn signature_c509<'a>(
    reader: &mut cbor::Reader<'a>,
    algorithm: AlgorithmIdentifier<'_>,
    form: SignedForm,
) -> Result<&'a [u8], Problem> {
    if is_proof_of_possession(algorithm) || (!X509 && algorithm.signature_algorithm().is_none()) {
        return Err(Problem::Unregistered);
    }
    let signature = reader.bytes()?;
    if !is_ecdsa(algorithm) {
        return Ok(signature);
    }
    let (r, s) = signature.split_at_checked(signature.len() / 2).unwrap_or_default();
    // The same DER would have two encodings if one could be longer than it need be.
    let least = number_length(strip_zeros(r).len().max(strip_zeros(s).len()));
    let right = r.len() == s.len()
        && match form {
            SignedForm::X509 | SignedForm::Native => matches!(r.len(), 32 | 48 | 64 | 66),
            SignedForm::Reencoded => Some(r.len()) == least,
        };
    if right { Ok(signature) } else { Err(Problem::Value) }
}

/// The length that C509 gives to each number of an ECDSA signature when the longer one has this many octets: that of the
/// order of the smallest curve they fit. The curve itself is the issuer's and not known here.
pub(crate) fn number_length(longest: usize) -> Option<usize> {
    [32, 48, 64, 66].into_iter().find(|length| longest <= *length)
}

fn validity(body: &mut Reader<'_>) -> Result<Validity, Error> {
    let read = |body: &mut Reader<'_>| {
        let mut inner = body.nested(tag::SEQUENCE)?;
        let validity = Validity { not_before: inner.time()?, not_after: inner.time()? };
        inner.finish()?;
        Ok::<_, crate::der::Error>(validity)
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
