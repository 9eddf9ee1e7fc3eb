//! Certificate requests (PKCS#10, RFC 2986).

use super::{AlgorithmIdentifier, Error, Extensions, Field, Item, Items, Name, Problem, SubjectPublicKeyInfo, ids};
use crate::{
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
    /// Reads a request from its DER. Nothing may follow it.
    ///
    /// # Errors
    /// The field that is wrong and what is wrong with it.
    pub fn from_der(der: &'a [u8]) -> Result<Self, Error> {
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
        let extensions = match only(attributes, ids::EXTENSION_REQUEST)? {
            Some(value) => Extensions::from_der(value)?,
            None => Extensions::NONE,
        };
        let challenge_password = only(attributes, ids::CHALLENGE_PASSWORD)?.map(directory_string).transpose()?;
        Ok(Self {
            encoding: der,
            info: info.encoding,
            subject,
            spki,
            attributes,
            extensions,
            challenge_password,
            algorithm,
            signature,
        })
    }

    /// Checks the signature with the request's own key: whoever made the request holds the private key.
    ///
    /// # Errors
    /// [`VerifyError::Unsupported`] for an algorithm or key unknown here, [`VerifyError::Invalid`] for a wrong
    /// signature.
    pub fn verify(&self, crypto: &impl Crypto) -> Result<(), VerifyError> {
        let algorithm = self.signature_algorithm().ok_or(VerifyError::Unsupported)?;
        let key = self.public_key().ok_or(VerifyError::Unsupported)?;
        crypto.verify(algorithm, key, &[self.info], Signature::X509(self.signature))
    }

    /// The DER of the whole request.
    #[must_use]
    pub const fn encoding(&self) -> &'a [u8] {
        self.encoding
    }

    /// The DER of `certificationRequestInfo`: the bytes that are signed.
    #[must_use]
    pub const fn info(&self) -> &'a [u8] {
        self.info
    }

    /// The name asked for.
    #[must_use]
    pub const fn subject(&self) -> Name<'a> {
        self.subject
    }

    /// The DER of `subjectPKInfo`.
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
    pub fn public_key(&self) -> Option<PublicKey<'a>> {
        self.spki.public_key()
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

    /// The signature, in X.509's form.
    #[must_use]
    pub const fn signature(&self) -> &'a [u8] {
        self.signature
    }
}

/// One attribute of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestAttribute<'a> {
    /// Which attribute.
    pub oid: Oid<'a>,
    /// The content octets of `values`, a SET OF with at least one member.
    pub values: &'a [u8],
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
        Ok(Self { oid, values: values.content })
    }
}

/// The DER of the one value of the one attribute with this identifier, if there is such an attribute.
fn only<'a>(attributes: Items<'a, RequestAttribute<'a>>, oid: Oid<'_>) -> Result<Option<&'a [u8]>, Error> {
    let mut of_this_kind = attributes.filter(|attribute| attribute.oid == oid);
    let Some(attribute) = of_this_kind.next() else { return Ok(None) };
    if of_this_kind.next().is_some() {
        return Err(Error::new(Field::Attributes, Problem::Duplicate));
    }
    let mut values = Reader::new(attribute.values);
    let value = Field::Attributes.at(values.element())?;
    Field::Attributes.at(values.finish())?;
    Ok(Some(value.encoding))
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
