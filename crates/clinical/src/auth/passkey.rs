//! Passkeys: what a browser answers when an account gets one and when its owner signs in (Web Authentication, section 7).
//!
//! Attestation is not asked for, so none is looked at: who holds the setup code decides which authenticator it is. The key
//! is believed for what it signs later, by a person it has verified (`userVerification: required`).

use crate::jose::rsa_public_key;
use crate::json::{Document, Limits, Node};
use data_encoding::BASE64URL_NOPAD;
use medlock_node::provider::{self, AwsLc, same_secret};
use medlock_trust::crypto::{Crypto as _, KeyAlgorithm, PublicKey, Signature, SignatureAlgorithm};
use minicbor::Decoder;
use minicbor::data::Type;

/// Bytes of a challenge.
pub const CHALLENGE: usize = 32;
/// The most bytes of any part of an answer.
const MOST: usize = 8 << 10;
/// The most bytes of a credential's name (section 4, "credential ID").
const MOST_ID: usize = 1023;
/// How many levels deep what is passed over may be.
const MOST_DEPTH: u8 = 4;
const LIMITS: Limits = Limits { bytes: MOST, depth: 4, nodes: 64, members: 32, number: 40 };

/// Section 6.1: a person was there, and was recognised; the key can be copied to other devices, and was; what follows.
const PRESENT: u8 = 1 << 0;
const VERIFIED: u8 = 1 << 2;
const MAY_BE_COPIED: u8 = 1 << 3;
const IS_COPIED: u8 = 1 << 4;
const HAS_CREDENTIAL: u8 = 1 << 6;
const HAS_EXTENSIONS: u8 = 1 << 7;

/// Why an answer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A part of it cannot be read.
    #[error("the passkey's answer cannot be read: {0}")]
    Form(&'static str),
    /// It is an answer to something else.
    #[error("the passkey answered another question: begin again")]
    Challenge,
    /// It was given to another page.
    #[error("the passkey's answer was given to another page")]
    Origin,
    /// Nobody was seen by the authenticator.
    #[error("the authenticator has not recognised a person: use its PIN, finger or face")]
    NotVerified,
    /// Its key is of a kind that is not taken.
    #[error("the passkey's key is of a kind that is not used here")]
    Key,
    /// The signature is not the passkey's.
    #[error("the signature is not that of this passkey")]
    Forged,
    /// Its counter went back: there are two of it.
    #[error("the passkey's counter went back: there may be a copy of it; remove it, and make another one")]
    Copied,
}

/// What an answer must be to.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The random number that was asked with.
    pub challenge: &'a [u8; CHALLENGE],
    /// The page's origin, as browsers write it: `https://hub.hospital.example`.
    pub origin: &'a str,
    /// The name passkeys are made for: the origin's host.
    pub rp_id: &'a str,
}

/// A passkey of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// Its name, by which the browser finds it.
    pub id: Vec<u8>,
    /// Its public key, as its authenticator wrote it (COSE, RFC 9053).
    pub key: Vec<u8>,
    /// How often it has signed, if it counts.
    pub counter: u32,
}

impl Passkey {
    /// Takes the answer to a wish for a new passkey (section 7.1).
    ///
    /// # Errors
    /// [`Refused`].
    pub fn made(client_data: &[u8], attestation: &[u8], asked: &Asked<'_>) -> Result<Self, Refused> {
        check_client_data(client_data, "webauthn.create", asked)?;
        let data = authenticator_data(attestation).ok_or(Refused::Form("attestationObject"))?;
        let read = Data::read(data).ok_or(Refused::Form("authData"))?;
        read.check(asked)?;
        let (id, key) = read.credential.ok_or(Refused::Form("attestedCredentialData"))?;
        CoseKey::read(key).ok_or(Refused::Key)?;
        Ok(Self { id: id.to_vec(), key: key.to_vec(), counter: read.counter })
    }

    /// Takes the answer of somebody who signs in (section 7.2), and gives the counter to keep.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn used(
        &self,
        client_data: &[u8],
        authenticator_data: &[u8],
        signature: &[u8],
        asked: &Asked<'_>,
    ) -> Result<u32, Refused> {
        check_client_data(client_data, "webauthn.get", asked)?;
        let read = Data::read(authenticator_data).ok_or(Refused::Form("authenticatorData"))?;
        read.check(asked)?;
        let key = CoseKey::read(&self.key).ok_or(Refused::Key)?;
        let hash = provider::sha256(client_data);
        let public = PublicKey { algorithm: key.kind, bits: &key.bits };
        let signed = [authenticator_data, hash.as_slice()];
        AwsLc.verify(key.algorithm, public, &signed, Signature::X509(signature)).map_err(|_| Refused::Forged)?;
        if (self.counter, read.counter) != (0, 0) && read.counter <= self.counter {
            return Err(Refused::Copied);
        }
        Ok(read.counter)
    }
}

/// What the browser says it asked, for whom (section 5.8.1).
fn check_client_data(text: &[u8], kind: &str, asked: &Asked<'_>) -> Result<(), Refused> {
    let document = Document::read(text, &LIMITS).map_err(|_| Refused::Form("clientDataJSON"))?;
    let root = document.root();
    let says = |name: &str| root.member(name).and_then(Node::text);
    if says("type").as_deref() != Some(kind) {
        return Err(Refused::Challenge);
    }
    let challenge = says("challenge").and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
    if !challenge.is_some_and(|challenge| same_secret(&challenge, asked.challenge)) {
        return Err(Refused::Challenge);
    }
    let framed = root.member("crossOrigin").is_some_and(|node| node.flag() != Some(false));
    if says("origin").as_deref() != Some(asked.origin) || framed || root.member("topOrigin").is_some() {
        return Err(Refused::Origin);
    }
    Ok(())
}

/// The authenticator's data within an attestation object (section 6.5): a map with `fmt`, `attStmt` and `authData`.
fn authenticator_data(object: &[u8]) -> Option<&[u8]> {
    if object.len() > MOST {
        return None;
    }
    let mut decoder = Decoder::new(object);
    let mut found = None;
    for _ in 0..decoder.map().ok()?? {
        match decoder.str().ok()? {
            "authData" if found.is_none() => found = Some(decoder.bytes().ok()?),
            "authData" => return None,
            _ => pass_over(&mut decoder, MOST_DEPTH)?,
        }
    }
    found.filter(|_| decoder.position() == object.len())
}

/// A value nobody looks at, of definite length and few levels.
fn pass_over(decoder: &mut Decoder<'_>, depth: u8) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    match decoder.datatype().ok()? {
        Type::Array => (0..decoder.array().ok()??).try_for_each(|_| pass_over(decoder, depth)),
        Type::Map => (0..decoder.map().ok()??).try_for_each(|_| {
            pass_over(decoder, depth)?;
            pass_over(decoder, depth)
        }),
        Type::ArrayIndef | Type::MapIndef | Type::BytesIndef | Type::StringIndef | Type::Tag => None,
        _ => decoder.skip().ok(),
    }
}

/// Authenticator data (section 6.1).
struct Data<'a> {
    rp_id_hash: &'a [u8; 32],
    flags: u8,
    counter: u32,
    /// Name and key of a credential that was just made.
    credential: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> Data<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        if data.len() > MOST {
            return None;
        }
        let (rp_id_hash, rest) = data.split_first_chunk::<32>()?;
        let ([flags], rest) = rest.split_first_chunk::<1>()?;
        let (counter, mut rest) = rest.split_first_chunk::<4>()?;
        let mut credential = None;
        if flags & HAS_CREDENTIAL != 0 {
            let (_model, behind) = rest.split_first_chunk::<16>()?;
            let (length, behind) = behind.split_first_chunk::<2>()?;
            let (id, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            let mut decoder = Decoder::new(behind);
            pass_over(&mut decoder, MOST_DEPTH)?;
            let (key, behind) = behind.split_at_checked(decoder.position())?;
            credential = Some((id, key)).filter(|_| (1..=MOST_ID).contains(&id.len()));
            credential?;
            rest = behind;
        }
        if flags & HAS_EXTENSIONS != 0 {
            let mut decoder = Decoder::new(rest);
            pass_over(&mut decoder, MOST_DEPTH)?;
            rest = rest.get(decoder.position()..)?;
        }
        let whole = rest.is_empty() && (flags & IS_COPIED == 0 || flags & MAY_BE_COPIED != 0);
        whole.then_some(Self { rp_id_hash, flags: *flags, counter: u32::from_be_bytes(*counter), credential })
    }

    fn check(&self, asked: &Asked<'_>) -> Result<(), Refused> {
        if *self.rp_id_hash != provider::sha256(asked.rp_id.as_bytes()) {
            return Err(Refused::Origin);
        }
        if self.flags & (PRESENT | VERIFIED) == PRESENT | VERIFIED { Ok(()) } else { Err(Refused::NotVerified) }
    }
}

/// A public key as COSE writes it (RFC 9052 section 7; RFC 9053 section 7; RFC 8230 section 4).
struct CoseKey {
    algorithm: SignatureAlgorithm,
    kind: KeyAlgorithm,
    bits: Vec<u8>,
}

impl CoseKey {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        // The labels that are used here: 1, 3, -1, -2, -3.
        let (mut kty, mut alg, mut curve) = (None, None, None);
        let (mut first, mut second, mut third) = (None, None, None);
        for _ in 0..decoder.map().ok()?? {
            let (label, kind) = (decoder.i64().ok()?, decoder.datatype().ok()?);
            match (label, kind) {
                (1, _) if kty.is_none() => kty = Some(decoder.i64().ok()?),
                (3, _) if alg.is_none() => alg = Some(decoder.i64().ok()?),
                (-1, Type::Bytes) if first.is_none() => first = Some(decoder.bytes().ok()?),
                (-1, _) if curve.is_none() => curve = Some(decoder.i64().ok()?),
                (-2, Type::Bytes) if second.is_none() => second = Some(decoder.bytes().ok()?),
                (-3, Type::Bytes) if third.is_none() => third = Some(decoder.bytes().ok()?),
                (1 | 3 | -3..=-1, _) => return None,
                _ => pass_over(&mut decoder, MOST_DEPTH)?,
            }
        }
        if decoder.position() != bytes.len() {
            return None;
        }
        let (algorithm, kind, bits) = match (kty?, alg?, curve) {
            // ES256 on P-256.
            (2, -7, Some(1)) => {
                let (x, y) = (second.filter(|x| x.len() == 32)?, third.filter(|y| y.len() == 32)?);
                (SignatureAlgorithm::EcdsaSha256, KeyAlgorithm::P256, [&[4], x, y].concat())
            }
            // EdDSA on Ed25519.
            (1, -8, Some(6)) => {
                (SignatureAlgorithm::Ed25519, KeyAlgorithm::Ed25519, second.filter(|x| x.len() == 32)?.to_vec())
            }
            // RS256.
            (3, -257, None) => {
                let number = |bytes: &&[u8]| bytes.first().is_some_and(|one| *one != 0);
                let (modulus, exponent) = (first.filter(number)?, second.filter(number)?);
                if !(256..=1024).contains(&modulus.len()) || exponent.len() > 4 {
                    return None;
                }
                (SignatureAlgorithm::RsaPkcs1Sha256, KeyAlgorithm::Rsa, rsa_public_key(modulus, exponent))
            }
            _ => return None,
        };
        Some(Self { algorithm, kind, bits })
    }
}

#[cfg(test)]
mod tests;
