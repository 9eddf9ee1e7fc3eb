//! Certificate requests (PKCS#10, RFC 2986).

use super::{
    AlgorithmIdentifier, Encoding, Error, Extensions, Field, Form, Item, Items, Name, Problem, SignedForm,
    SubjectPublicKeyInfo, X509, certificate::signature_c509, ids,
};
use crate::{
    KeyId,
    c509::{self, registry, to_der::Rebuilt},
    cbor,
    crypto::{Crypto, PublicKey, Signature, SignatureAlgorithm, VerifyError},
    der::{self, Oid, Reader, tag},
};

/// The most bytes of a request.
pub const MAX_REQUEST_BYTES: usize = 32 * 1024;

/// A certificate request: a view of its DER, checked when made. Its signature is not checked until
/// [`verify`](Self::verify).
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    encoding: &'a [u8],
    form: SignedForm,
    info: &'a [u8],
    subject: Name<'a>,
    spki: SubjectPublicKeyInfo<'a>,
    attributes: Items<'a, RequestAttribute<'a>>,
    extensions: Extensions<'a>,
    challenge_password: Option<&'a str>,
    algorithm: AlgorithmIdentifier<'a>,
    signature: &'a [u8],
}

impl<'a> Request<'a> {
    /// Reads a request from its DER (first byte 30) or its C509 (first byte 87). Nothing may follow it.
    ///
    /// # Errors
    /// As [`from_der`](Self::from_der) and [`from_c509`](Self::from_c509).
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.first() == Some(&c509::REQUEST_HEAD) { Self::from_c509(bytes) } else { Self::from_der(bytes) }
    }

    /// Reads a request from its C509 encoding: an array of seven items.
    ///
    /// # Errors
    /// The field that is wrong and what is wrong with it.
    pub fn from_c509(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(Error::new(Field::Outer, Problem::TooMany));
        }
        let mut reader = cbor::Reader::new(bytes);
        Field::Outer.at(reader.array_of(7))?;
        let start = reader.position();
        let number = Field::Version.at(reader.int())?;
        let form = SignedForm::from_c509_type(number).ok_or(Error::new(Field::Version, Problem::Version))?;
        let native = form == SignedForm::Native;
        let algorithm =
            Field::SignatureAlgorithm.at(AlgorithmIdentifier::read_c509(&mut reader, &registry::SIGNATURES))?;
        let subject = Field::Subject.at(Name::read_c509(&mut reader, native))?;
        let spki = Field::SubjectPublicKeyInfo.at(SubjectPublicKeyInfo::read_c509(&mut reader, native))?;
        let item = Field::Attributes.at(reader.skip())?;
        let info = reader.read_since(start);
        let signature = Field::Signature.at(signature_c509(&mut reader, algorithm, form))?;
        Field::Outer.at(reader.finish())?;

        let mut attributes = cbor::Reader::new(item);
        let count = Field::Attributes.at(attributes.array(MAX_ATTRIBUTE_ITEMS))?;
        let attributes: Items<'a, RequestAttribute<'a>> = if count == 0 {
            Items::EMPTY
        } else {
            Field::Attributes.at(Items::checked_cbor(attributes.rest(), Form::Cbor))?
        };
        let mut request = Self {
            encoding: bytes,
            form,
            info,
            subject,
            spki,
            attributes,
            extensions: Extensions::NONE,
            challenge_password: None,
            algorithm,
            signature,
        };
        request.take_attributes(native)?;
        Ok(request)
    }

    /// Reads the attributes that mean something here.
    fn take_attributes(&mut self, native: bool) -> Result<(), Error> {
        let password = only(self.attributes, ids::CHALLENGE_PASSWORD)?;
        self.challenge_password = password.map(|attribute| challenge_password(attribute, native)).transpose()?;
        if let Some(attribute) = only(self.attributes, ids::EXTENSION_REQUEST)? {
            self.extensions = match attribute.encoding {
                Encoding::C509 => Extensions::from_c509(attribute.values, native)?,
                Encoding::Der => Extensions::from_der(lone_value(attribute)?)?,
            };
        }
        Ok(())
    }

    /// Reads a request from its DER. Nothing may follow it.
    ///
    /// # Errors
    /// The field that is wrong and what is wrong with it.
    pub fn from_der(der: &'a [u8]) -> Result<Self, Error> {
        if !X509 {
            return Err(Error::new(Field::Outer, Problem::Unregistered));
        }
        if der.len() > MAX_REQUEST_BYTES {
            return Err(Error::new(Field::Outer, Problem::TooMany));
        }
        let mut reader = Reader::new(der);
        let mut outer = Field::Outer.at(reader.nested(tag::SEQUENCE))?;
        Field::Outer.at(reader.finish())?;
        let info = Field::Outer.at(outer.expect_element(tag::SEQUENCE))?;
        let algorithm = Field::SignatureAlgorithm.at(AlgorithmIdentifier::read(&mut outer))?;
        let signature = Field::Signature.at(outer.octets_in_bit_string())?;
        Field::Outer.at(outer.finish())?;

        let mut body = Reader::new(info.content);
        if Field::Version.at(body.unsigned())? != 0 {
            return Err(Error::new(Field::Version, Problem::Version));
        }
        let subject = Field::Subject.at(Name::read(&mut body))?;
        let spki = Field::SubjectPublicKeyInfo.at(SubjectPublicKeyInfo::read(&mut body))?;
        let attributes = Field::Attributes.at(body.expect(tag::context_constructed(0)))?;
        let attributes: Items<'a, RequestAttribute<'a>> = Field::Attributes.at(Items::checked_or_empty(attributes))?;
        Field::Outer.at(body.finish())?;
        let mut request = Self {
            encoding: der,
            form: SignedForm::X509,
            info: info.encoding,
            subject,
            spki,
            attributes,
            extensions: Extensions::NONE,
            challenge_password: None,
            algorithm,
            signature,
        };
        request.take_attributes(false)?;
        Ok(request)
    }

    /// Checks the signature with the request's own key: whoever made the request holds the private key.
    ///
    /// # Errors
    /// [`VerifyError::Unsupported`] for an algorithm or key unknown here, [`VerifyError::Invalid`] for a wrong
    /// signature.
    pub fn verify(&self, crypto: &impl Crypto) -> Result<(), VerifyError> {
        let algorithm = self.signature_algorithm().ok_or(VerifyError::Unsupported)?;
        let key = self.public_key().ok_or(VerifyError::Unsupported)?;
        match self.form {
            SignedForm::X509 => crypto.verify(algorithm, key, &[self.info], Signature::X509(self.signature)),
            SignedForm::Native => crypto.verify(algorithm, key, &[self.info], Signature::Cose(self.signature)),
            SignedForm::Reencoded => {
                let info = Rebuilt::Info(self, self.spki.point(crypto));
                crypto.verify(algorithm, key, &info, Signature::Cose(self.signature))
            }
        }
    }

    /// In which form it is.
    #[must_use]
    pub const fn form(&self) -> SignedForm {
        self.form
    }

    /// The identifier of the key.
    #[must_use]
    pub fn key_id(&self, crypto: &impl Crypto) -> KeyId {
        self.spki.key_id(crypto)
    }

    /// The whole request as it was read: DER or C509.
    #[must_use]
    pub const fn encoding(&self) -> &'a [u8] {
        self.encoding
    }

    /// The DER of `certificationRequestInfo`, or C509's first six items. Of a re-encoded request (C509 type 3) these are
    /// not the bytes that are signed.
    #[must_use]
    pub const fn info(&self) -> &'a [u8] {
        self.info
    }

    /// The name asked for.
    #[must_use]
    pub const fn subject(&self) -> Name<'a> {
        self.subject
    }

    /// The DER of `subjectPKInfo`; empty for C509.
    #[must_use]
    pub const fn spki(&self) -> &'a [u8] {
        self.spki.encoding()
    }

    /// `subjectPKInfo`, looked into.
    #[must_use]
    pub const fn subject_public_key_info(&self) -> &SubjectPublicKeyInfo<'a> {
        &self.spki
    }

    /// The key; `None` if its kind is unknown here.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey<'_>> {
        self.spki.key()
    }

    /// All attributes in the order of the encoding, known or not.
    #[must_use]
    pub const fn attributes(&self) -> Items<'a, RequestAttribute<'a>> {
        self.attributes
    }

    /// The extensions asked for.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions<'a> {
        &self.extensions
    }

    /// The challenge password (RFC 2985 section 5.4.1), which EST uses to bind a request to its TLS session.
    #[must_use]
    pub const fn challenge_password(&self) -> Option<&'a str> {
        self.challenge_password
    }

    /// How it is signed; `None` if the algorithm is unknown here.
    #[must_use]
    pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        self.algorithm.signature_algorithm()
    }

    /// How it is signed, as it stands in the request.
    #[must_use]
    pub const fn algorithm(&self) -> AlgorithmIdentifier<'a> {
        self.algorithm
    }

    /// The signature, in X.509's form; of C509 in COSE's.
    #[must_use]
    pub const fn signature(&self) -> &'a [u8] {
        self.signature
    }
}

/// The most items of the attributes of a C509 request: two for each.
const MAX_ATTRIBUTE_ITEMS: u64 = 64;
/// The CBOR tag that says: the first alternative (of a choice of strings, `PrintableString`).
pub(crate) const TAG_FIRST_ALTERNATIVE: u64 = 121;

/// One attribute of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestAttribute<'a> {
    /// Which attribute.
    pub oid: Oid<'a>,
    /// The content octets of `values`, a SET OF with at least one member; or the item in C509's own form.
    pub values: &'a [u8],
    /// How the values are written.
    pub encoding: Encoding,
}

impl RequestAttribute<'_> {
    /// The tag of a challenge password in C509's form.
    pub(crate) fn string_tag(&self) -> u8 {
        const TAG: u8 = 6;
        let form = cbor::Reader::new(self.values).major_type();
        if form == Ok(TAG) { tag::PRINTABLE_STRING } else { tag::UTF8_STRING }
    }
}

impl<'a> Item<'a> for RequestAttribute<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        let mut inner = reader.nested(tag::SEQUENCE)?;
        let oid = inner.oid()?;
        let values = inner.expect_element(tag::SET)?;
        inner.finish()?;
        if values.content.is_empty() {
            return Err(der::Error::Default);
        }
        der::well_formed(values.encoding)?;
        Ok(Self { oid, values: values.content, encoding: Encoding::Der })
    }

    /// A registered attribute, or one by its identifier with the DER of its `values`.
    fn read_cbor(reader: &mut cbor::Reader<'a>, _: Form) -> Result<Self, Problem> {
        const BYTES: u8 = 2;
        if reader.major_type()? != BYTES {
            let number = reader.uint()?;
            // A private key possession statement (2) is not read here.
            let oid = registry::REQUEST_ATTRIBUTES.oid(number).filter(|_| number < 2).ok_or(Problem::Unregistered)?;
            return Ok(Self { oid, values: reader.skip()?, encoding: Encoding::C509 });
        }
        let oid = Oid::from_content(reader.bytes()?)?;
        let mut inner = Reader::new(reader.bytes()?);
        let values = inner.expect_element(tag::SET)?;
        inner.finish()?;
        if values.content.is_empty() {
            return Err(der::Error::Default.into());
        }
        der::well_formed(values.encoding)?;
        if oid == ids::EXTENSION_REQUEST || oid == ids::CHALLENGE_PASSWORD {
            return Err(Problem::NotCanonical);
        }
        Ok(Self { oid, values: values.content, encoding: Encoding::Der })
    }
}

/// The one attribute with this identifier, if there is such an attribute.
fn only<'a>(attributes: Items<'a, RequestAttribute<'a>>, oid: Oid<'_>) -> Result<Option<RequestAttribute<'a>>, Error> {
    let mut of_this_kind = attributes.filter(|attribute| attribute.oid == oid);
    let Some(attribute) = of_this_kind.next() else { return Ok(None) };
    if of_this_kind.next().is_some() {
        return Err(Error::new(Field::Attributes, Problem::Duplicate));
    }
    Ok(Some(attribute))
}

/// The DER of an attribute's one value.
fn lone_value(attribute: RequestAttribute<'_>) -> Result<&[u8], Error> {
    let mut values = Reader::new(attribute.values);
    let value = Field::Attributes.at(values.element())?;
    Field::Attributes.at(values.finish())?;
    Ok(value.encoding)
}

fn challenge_password(attribute: RequestAttribute<'_>, native: bool) -> Result<&str, Error> {
    match attribute.encoding {
        Encoding::Der => directory_string(lone_value(attribute)?),
        Encoding::C509 => Field::Attributes.at(password_c509(attribute, native)),
    }
}

/// `text` for a `UTF8String`, or tagged for a `PrintableString`, which a natively signed request does not have.
fn password_c509(attribute: RequestAttribute<'_>, native: bool) -> Result<&str, Problem> {
    let mut reader = cbor::Reader::new(attribute.values);
    let printable = attribute.string_tag() == tag::PRINTABLE_STRING;
    if printable {
        reader.tag(TAG_FIRST_ALTERNATIVE)?;
    }
    let text = reader.any_text()?;
    if printable && (native || !text.bytes().all(|byte| (0x20..0x7f).contains(&byte))) {
        return Err(Problem::Value);
    }
    Ok(text)
}

fn directory_string(value: &[u8]) -> Result<&str, Error> {
    let read = || {
        let mut reader = Reader::new(value);
        let element = reader.element()?;
        match element.tag {
            tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING => {
                core::str::from_utf8(element.content).map_err(|_| der::Error::String)
            }
            found => Err(der::Error::Tag { expected: tag::UTF8_STRING, found }),
        }
    };
    Field::Attributes.at(read())
}
