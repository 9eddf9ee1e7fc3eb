//! What a device's chip hands out: a public key or a certificate request, as text.

use crate::enrolment::Unfit;
use crate::est::MAX_BODY;
use data_encoding::{BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use medlock_trust::crypto::PublicKey;
use medlock_trust::der::{Reader, tag};
use medlock_trust::x509::{Request, SubjectPublicKeyInfo};

/// What a device's chip handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// A `SubjectPublicKeyInfo`, DER.
    Key(Vec<u8>),
    /// A certificate request, PKCS#10 or C509.
    Request(Vec<u8>),
}

impl Material {
    /// The key, if it is of a kind known here.
    pub(super) fn key(&self) -> Option<PublicKey<'_>> {
        match self {
            Self::Key(spki) => SubjectPublicKeyInfo::from_der(spki).ok()?.public_key(),
            Self::Request(_) => None,
        }
    }
}

/// Reads a public key or a request: PEM (RFC 7468), or its bytes in base64 or hexadecimal.
///
/// # Errors
/// [`Unfit::PrivateKey`] for a private key in any of its usual forms, whatever else is there; [`Unfit::Malformed`].
pub fn material(text: &str) -> Result<Material, Unfit> {
    let malformed = |what: &str| Err(Unfit::Malformed(what.to_owned()));
    if text.contains("PRIVATE KEY") {
        return Err(Unfit::PrivateKey);
    }
    if text.len() > MAX_BODY {
        return malformed("the key or request has more than 65536 characters");
    }
    let Some(bytes) = decoded(text) else {
        return malformed("this is neither PEM nor base64 nor hexadecimal of a public key or a certificate request");
    };
    if is_private(&bytes) {
        return Err(Unfit::PrivateKey);
    }
    if SubjectPublicKeyInfo::from_der(&bytes).is_ok() {
        return Ok(Material::Key(bytes));
    }
    match Request::read(&bytes) {
        Ok(_) => Ok(Material::Request(bytes)),
        Err(error) => Err(Unfit::Malformed(format!(
            "this is no SubjectPublicKeyInfo, and as a certificate request it cannot be read: {error}"
        ))),
    }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    let letters: Vec<u8> = lines.flat_map(str::bytes).filter(|byte| !byte.is_ascii_whitespace()).collect();
    if letters.is_empty() {
        return None;
    }
    // What begins a SEQUENCE or a request in CBOR: base64 of both has letters that are no digits.
    if let Ok(bytes) = HEXLOWER_PERMISSIVE.decode(&letters) {
        return Some(bytes);
    }
    let end = letters.iter().rposition(|byte| *byte != b'=')?;
    BASE64_NOPAD.decode(letters.get(..=end)?).ok()
}

/// Whether these bytes are a private key: PKCS#8 (RFC 5958), plain or encrypted, SEC 1 (RFC 5915), PKCS#1 (RFC 8017), or
/// a PKCS#12 store (RFC 7292).
fn is_private(der: &[u8]) -> bool {
    /// pkcs-5 and pkcs-12 password-based encryption: 1.2.840.113549.1.5 and .12.1.
    const PASSWORD_BASED: [&[u8]; 2] =
        [&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5], &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 1]];
    let mut outer = Reader::new(der);
    let Ok(mut inner) = outer.nested(tag::SEQUENCE) else { return false };
    let mut encrypted = inner;
    if let Ok(mut algorithm) = encrypted.nested(tag::SEQUENCE)
        && let Ok(oid) = algorithm.expect(tag::OID)
    {
        return PASSWORD_BASED.iter().any(|with| oid.starts_with(with));
    }
    // A version comes first in all others, and in no public key and no request.
    inner.unsigned().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::{BASE64, HEXUPPER};
    use medlock_node::enrol::certificate_request;
    use medlock_node::provider::SigningKey;

    /// Shows REQ-PROV-02.
    #[test]
    fn a_private_key_is_refused_in_every_form_and_no_public_one_is_taken_for_it() {
        let key = SigningKey::generate();
        let pkcs8 = key.to_pkcs8();
        let inner = &pkcs8[pkcs8.windows(2).rposition(|pair| pair == [0x30, 0x6b]).unwrap()..];
        let encrypted =
            [&[0x30, 18, 0x30, 13, 6, 9][..], &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13], &[5, 0, 4, 1, 0]];
        for private in [&pkcs8[..], inner, &encrypted.concat()] {
            for text in [BASE64.encode(private), HEXUPPER.encode(private)] {
                assert_eq!(material(&text), Err(Unfit::PrivateKey), "{text}");
            }
        }
        let named = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nwhatever\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert_eq!(material(named), Err(Unfit::PrivateKey));
        let request = certificate_request(&key, None);
        for text in
            [BASE64.encode(&request), HEXUPPER.encode(&request), crate::encode::pem("CERTIFICATE REQUEST", &request)]
        {
            assert_eq!(material(&text), Ok(Material::Request(request.clone())));
        }
        for text in
            [BASE64.encode(key.spki()), HEXUPPER.encode(key.spki()), crate::encode::pem("PUBLIC KEY", key.spki())]
        {
            assert_eq!(material(&text), Ok(Material::Key(key.spki().to_vec())));
        }
        for nothing in ["", "  \n", "hello", "3000", "MAA="] {
            assert!(matches!(material(nothing), Err(Unfit::Malformed(_))), "{nothing:?}");
        }
    }
}
