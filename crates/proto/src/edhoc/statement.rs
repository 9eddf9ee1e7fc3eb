//! What one side says of itself in message 2 or 3: composed, read, and proved (RFC 9528 sections 5.3.2 and 5.4.2).

use super::Error;
use super::connection::ConnectionId;
use super::credential::{AuthenticationKey, Credential, IdCred, OwnCredential, same};
use super::ead::{Ead, EadItem};
use super::items::{BytesHead, Counter, Items, Out};
use super::schedule::{BYTES_32, HASH, Label, kdf};
use super::suite::Suite;
use crate::crypto::{Crypto, Curve, Secret};
use core::convert::Infallible;
use medlock_trust::cbor::Writer;
use medlock_trust::crypto::{KeyAlgorithm, Message, PublicKey, Signature};

/// Bytes of a signature: the same for ES256 and Ed25519.
const SIGNATURE: usize = 64;

/// Which message, what it is bound to, and how its sender authenticates.
#[derive(Clone, Copy)]
pub(super) struct Terms<'t> {
    pub(super) suite: Suite,
    /// Whether the sender signs; otherwise it has a static Diffie-Hellman key.
    pub(super) signs: bool,
    /// The label of the MAC: of message 2 or 3.
    pub(super) label: Label,
    /// TH_2 or TH_3.
    pub(super) th: &'t [u8; HASH],
    /// PRK_3e2m or PRK_4e3m.
    pub(super) prk: &'t Secret,
}

impl Terms<'_> {
    /// Bytes of `Signature_or_MAC`, without the head.
    const fn proof_length(&self) -> usize {
        if self.signs { SIGNATURE } else { self.suite.mac_length() }
    }

    /// Bytes of the MAC, which may be inside a signature.
    const fn mac_length(&self) -> usize {
        if self.signs { HASH } else { self.suite.mac_length() }
    }
}

/// The content of PLAINTEXT_2 or PLAINTEXT_3.
#[derive(Clone, Copy)]
pub(super) struct Statement<'m> {
    /// `C_R` in message 2.
    pub(super) connection: Option<ConnectionId>,
    pub(super) id_cred: IdCred<'m>,
    proof: &'m [u8],
    pub(super) ead: Ead<'m>,
}

impl<'m> Statement<'m> {
    /// Reads a plaintext; a connection identifier leads it in message 2.
    pub(super) fn read(
        plaintext: &'m [u8],
        with_connection: bool,
        signs: bool,
        suite: Suite,
        understood: &[u32],
    ) -> Result<Self, Error> {
        let mut items = Items::new(plaintext);
        let connection = if with_connection { Some(ConnectionId::read(&mut items)?) } else { None };
        let id_cred = IdCred::read(&mut items)?;
        let proof = items.bytes()?;
        if proof.len() != if signs { SIGNATURE } else { suite.mac_length() } {
            return Err(Error::Malformed);
        }
        let ead = Ead::read(&mut items, understood)?;
        Ok(Self { connection, id_cred, proof, ead })
    }

    /// Checks that the holder of `key` said this of `credential`: at most one public-key operation, and none if the key
    /// is of the wrong kind.
    pub(super) fn verify(
        &self,
        terms: &Terms<'_>,
        credential: Credential<'_>,
        key: AuthenticationKey<'_>,
        crypto: &impl Crypto,
    ) -> Result<(), Error> {
        let connection = self.connection.map(|connection| connection.encoded());
        let bound = Bound {
            connection: connection.as_ref().map_or(&[], |connection| connection.as_bytes()),
            id_cred: self.id_cred,
            th: terms.th,
            credential,
            ead: self.ead.encoding(),
        };
        let mut mac = [0; HASH];
        let mac = mac.get_mut(..terms.mac_length()).ok_or(Error::TooLong)?;
        bound.mac(terms, mac, crypto)?;
        if !terms.signs {
            return if same(mac, self.proof) { Ok(()) } else { Err(Error::Forged) };
        }
        let key = match (key, terms.suite.curve()) {
            (AuthenticationKey::P256(bits), Curve::P256) => PublicKey { algorithm: KeyAlgorithm::P256, bits },
            (AuthenticationKey::Ed25519(bits), Curve::X25519) => PublicKey { algorithm: KeyAlgorithm::Ed25519, bits },
            (
                AuthenticationKey::P256(_) | AuthenticationKey::Ed25519(_) | AuthenticationKey::X25519(_),
                Curve::P256 | Curve::X25519,
            ) => return Err(Error::KeyKind),
        };
        let mut verdict = Err(Error::Forged);
        bound.signed(mac, &mut |message| {
            let checked = crypto.verify(terms.suite.signature_algorithm(), key, message, Signature::Cose(self.proof));
            verdict = checked.map_err(|_| Error::Forged);
        });
        verdict
    }
}

/// The peer's static Diffie-Hellman key, if it has one for this curve. For P-256 it is the x-coordinate.
pub(super) fn agreement_key(key: AuthenticationKey<'_>, curve: Curve) -> Result<&[u8; 32], Error> {
    let coordinate = match (key, curve) {
        (AuthenticationKey::P256([2 | 3, x @ ..]), Curve::P256) if x.len() == 32 => x.first_chunk(),
        (AuthenticationKey::P256([4, both @ ..]), Curve::P256) if both.len() == 64 => both.first_chunk(),
        (AuthenticationKey::X25519(u), Curve::X25519) => Some(u),
        (
            AuthenticationKey::P256(_) | AuthenticationKey::Ed25519(_) | AuthenticationKey::X25519(_),
            Curve::P256 | Curve::X25519,
        ) => None,
    };
    coordinate.ok_or(Error::KeyKind)
}

/// What a side is about to say of itself.
#[derive(Clone, Copy)]
pub(super) struct Draft<'a> {
    /// `C_R` in message 2.
    pub(super) connection: Option<ConnectionId>,
    pub(super) own: &'a OwnCredential<'a>,
    pub(super) ead: &'a [EadItem<'a>],
}

impl Draft<'_> {
    /// Bytes of the plaintext.
    pub(super) fn length(&self, signs: bool, suite: Suite) -> usize {
        let proof = if signs { SIGNATURE } else { suite.mac_length() };
        let mut counter = Counter(self.connection.map_or(0, |connection| connection.encoded().as_bytes().len()));
        let mut out = Writer::new(&mut counter);
        let Ok(()) = self
            .own
            .reference
            .write(&mut out)
            .and_then(|()| out.bytes_head(proof).map(drop))
            .and_then(|()| self.ead.iter().try_for_each(|item| item.write(&mut out)))
            as Result<(), Infallible>;
        counter.0.saturating_add(proof)
    }

    /// Writes the plaintext, which has exactly [`Draft::length`] bytes, and signs it or not: at most one public-key
    /// operation.
    pub(super) fn compose(&self, terms: &Terms<'_>, plaintext: &mut [u8], crypto: &impl Crypto) -> Result<(), Error> {
        let connection = self.connection.map(|connection| connection.encoded());
        let connection: &[u8] = connection.as_ref().map_or(&[], |connection| connection.as_bytes());
        let mut counter = Counter::default();
        let Ok(()) = self.own.reference.write(&mut Writer::new(&mut counter));
        let mut out = Out::new(plaintext);
        out.put(connection)?;
        let id_cred = out.take(counter.0)?;
        self.own.reference.write(&mut Out::new(id_cred).cbor())?;
        out.cbor().bytes_head(terms.proof_length())?;
        let proof = out.take(terms.proof_length())?;
        let ead = out.into_rest();
        let mut items = Out::new(ead);
        self.ead.iter().try_for_each(|item| item.write(&mut items.cbor()))?;
        let bound = Bound {
            connection,
            id_cred: IdCred::read(&mut Items::new(id_cred)).map_err(|_| Error::OwnCredential)?,
            th: terms.th,
            credential: self.own.credential,
            ead,
        };
        let mut mac = [0; HASH];
        let mac = mac.get_mut(..terms.mac_length()).ok_or(Error::TooLong)?;
        bound.mac(terms, mac, crypto)?;
        if terms.signs {
            let mut signature = None;
            bound.signed(mac, &mut |message| signature = self.own.key.sign(message));
            proof.iter_mut().zip(signature.ok_or(Error::OwnKey)?).for_each(|(to, from)| *to = from);
        } else {
            proof.iter_mut().zip(mac).for_each(|(to, from)| *to = *from);
        }
        Ok(())
    }
}

/// What a MAC, and a signature around it, are about.
struct Bound<'a> {
    connection: &'a [u8],
    id_cred: IdCred<'a>,
    th: &'a [u8; HASH],
    credential: Credential<'a>,
    ead: &'a [u8],
}

impl Bound<'_> {
    /// `MAC_2 = EDHOC_KDF( PRK_3e2m, 2, << C_R, ID_CRED_R, TH_2, CRED_R, ? EAD_2 >>, mac_length_2 )`; MAC_3 likewise,
    /// without a connection identifier.
    fn mac(&self, terms: &Terms<'_>, mac: &mut [u8], crypto: &impl Crypto) -> Result<(), Error> {
        let (id_head, head) = (self.id_cred.head(), self.credential.head());
        let context: [&[u8]; 8] = [
            self.connection,
            id_head.as_bytes(),
            self.id_cred.content(),
            &BYTES_32,
            self.th,
            head.as_bytes(),
            self.credential.content(),
            self.ead,
        ];
        kdf(terms.prk, terms.label, &context, mac, crypto)
    }

    /// Gives `to` what is signed: `[ "Signature1", << ID_CRED_x >>, << TH_i, CRED_x, ? EAD_i >>, MAC_i ]`
    /// (RFC 9528 appendix C.3).
    fn signed(&self, mac: &[u8], to: &mut dyn FnMut(&dyn Message)) {
        let (id_head, head) = (self.id_cred.head(), self.credential.head());
        let id_cred = [id_head.as_bytes(), self.id_cred.content()];
        let [th_head, th, credential_head, credential, ead]: [&[u8]; 5] =
            [&BYTES_32, self.th, head.as_bytes(), self.credential.content(), self.ead];
        let id_front = BytesHead::new(&id_cred);
        let external_front = BytesHead::new(&[th_head, th, credential_head, credential, ead]);
        let mac_front = BytesHead::new(&[mac]);
        let [id_first, id_rest] = id_cred;
        to(&[
            b"\x84\x6aSignature1",
            id_front.as_bytes(),
            id_first,
            id_rest,
            external_front.as_bytes(),
            th_head,
            th,
            credential_head,
            credential,
            ead,
            mac_front.as_bytes(),
            mac,
        ]);
    }
}
