//! Keys of software and devices, and what is signed with them.

use crate::Failure;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64URL};
use medlock_clinical::jose::signing_input;
use medlock_node::identity::{Identity, certificates_from_pem};
use medlock_node::provider::{SigningAlgorithm, SigningKey, WebAlgorithm, WebKey, sha256};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use std::path::Path;
use zeroize::Zeroizing;

/// Software with a key: what stands in the header of all that it signs.
pub(super) struct Signer {
    key: Key,
    /// `kid`, or the chain (`x5c`).
    more: Value,
}

enum Key {
    /// On P-384, or P-256.
    Curve(SigningKey),
    Rsa(WebKey),
}

impl Signer {
    /// The key in a file (PEM, PKCS#8: P-384 for Backend Services, P-256 or RSA for UDAP), which is known by this name.
    ///
    /// # Errors
    /// When the file has none.
    pub(super) fn named(file: &Path, name: &str) -> Result<Self, Failure> {
        Ok(Self { key: Key::read(file)?, more: json!({ "kid": name }) })
    }

    /// The key in a file, which is known by this chain (PEM, its own certificate first).
    ///
    /// # Errors
    /// When a file cannot be used.
    pub(super) fn of_chain(file: &Path, chain: &Path) -> Result<Self, Failure> {
        let chain = certificates_from_pem(&read(chain)?)?;
        let chain: Vec<String> = chain.iter().map(|der| BASE64.encode(der)).collect();
        Ok(Self { key: Key::read(file)?, more: json!({ "x5c": chain }) })
    }

    /// The same with another key of the same sort.
    pub(super) fn stranger(&self) -> Self {
        let key = match &self.key {
            Key::Curve(key) => Key::Curve(SigningKey::generate_with(key.algorithm())),
            Key::Rsa(_) => Key::Rsa(WebKey::generate(WebAlgorithm::Rs256)),
        };
        Self { key, more: self.more.clone() }
    }

    /// The header of what it signs.
    pub(super) fn header(&self) -> Value {
        let algorithm = match &self.key {
            Key::Curve(key) if key.algorithm() == SigningAlgorithm::P384 => "ES384",
            Key::Curve(_) => "ES256",
            Key::Rsa(_) => "RS256",
        };
        let mut header = json!({ "alg": algorithm, "typ": "JWT" });
        if let (Value::Object(header), Value::Object(more)) = (&mut header, self.more.clone()) {
            header.extend(more);
        }
        header
    }

    /// Signed, whatever the header says.
    pub(super) fn sign(&self, header: &Value, claims: &str) -> String {
        let input = signing_input(header.to_string().as_bytes(), claims.as_bytes());
        let signature = match &self.key {
            Key::Curve(key) => key.sign_cose(&[input.as_bytes()]),
            Key::Rsa(key) => key.sign(input.as_bytes()),
        };
        joined(&input, &signature)
    }

    /// Its public key as everybody has it, in the forms that were taken for secrets: PEM, DER, JSON.
    pub(super) fn public_forms(&self) -> Vec<Vec<u8>> {
        let spki = match &self.key {
            Key::Curve(key) => key.spki(),
            Key::Rsa(key) => key.spki(),
        };
        let body = BASE64.encode(spki);
        let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", lines.join("\n"));
        vec![format!("{pem}\n").into_bytes(), pem.into_bytes(), spki.to_vec(), self.jwk().to_string().into_bytes()]
    }

    /// Its public key as a JSON Web Key; null where it is not on a curve.
    pub(super) fn jwk(&self) -> Value {
        let Key::Curve(key) = &self.key else { return Value::Null };
        let (curve, size, algorithm) = match key.algorithm() {
            SigningAlgorithm::P384 => ("P-384", 48, "ES384"),
            _ => ("P-256", 32, "ES256"),
        };
        let point = key.public_key();
        let Some((x, y)) = point.bits.get(1..).and_then(|point| point.split_at_checked(size)) else {
            return Value::Null;
        };
        json!({ "kty": "EC", "crv": curve, "x": BASE64URL.encode(x), "y": BASE64URL.encode(y), "alg": algorithm, "use": "sig" })
    }
}

impl Key {
    fn read(file: &Path) -> Result<Self, Failure> {
        let text = Zeroizing::new(read(file)?);
        let wrong = || format!("{}: it has no private key on P-384 or P-256 or for RSA (PEM, PKCS#8)", file.display());
        let document = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| wrong())?;
        let document = Zeroizing::new(document.secret_pkcs8_der().to_vec());
        match (SigningKey::from_pkcs8(&document), WebKey::from_pkcs8(WebAlgorithm::Rs256, &document)) {
            (Ok(key), _) if [SigningAlgorithm::P256, SigningAlgorithm::P384].contains(&key.algorithm()) => {
                Ok(Self::Curve(key))
            }
            (_, Ok(key)) => Ok(Self::Rsa(key)),
            _ => Err(wrong().into()),
        }
    }
}

/// A token with this signature.
pub(super) fn joined(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", BASE64URL.encode(signature))
}

/// A token that a secret has signed (HS256, RFC 7518 section 3.2).
pub(super) fn by_secret(header: &Value, claims: &str, secret: &[u8]) -> String {
    let input = signing_input(header.to_string().as_bytes(), claims.as_bytes());
    let mac = hmac(secret, input.as_bytes());
    joined(&input, &mac)
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(secret: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    let secret = if secret.len() > block.len() { sha256(secret).to_vec() } else { secret.to_vec() };
    for (place, byte) in block.iter_mut().zip(secret) {
        *place = byte;
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = sha256(&[&pad(0x36)[..], message].concat());
    sha256(&[&pad(0x5c)[..], &inner].concat())
}

/// A device's key and chain.
///
/// # Errors
/// When a file cannot be used.
pub(super) fn identity(certificate: &Path, key: &Path) -> Result<Identity, Failure> {
    let text = Zeroizing::new([read(key)?, b"\n".to_vec(), read(certificate)?].concat());
    Ok(Identity::from_pem(&text).map_err(|error| format!("{}: {error}", certificate.display()))?)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    Ok(std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_4231_is_met() {
        let mac = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert_eq!(
            hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First")[..4],
            [0x60, 0xe4, 0x31, 0x59]
        );
    }
}
