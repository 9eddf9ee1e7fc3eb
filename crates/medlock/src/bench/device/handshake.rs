//! Sides of EDHOC handshakes (RFC 9528): everything a side does, its ephemeral key included. The peer's credential is
//! known by its hash and was judged before.

use super::Row;
use crate::Failure;
use medlock_node::provider::{AwsLc, SigningKey};
use medlock_proto::crypto::{Crypto, Curve, OwnKey, Secret};
use medlock_proto::edhoc::{
    AuthenticationKey, CertHash, ConnectionId, Credential, CredentialReference, Ephemeral, Method, OwnCredential,
    PeerCredential, Suite,
    initiator::{self, Offer},
    responder::{Accept, Message1},
};
use medlock_rustcrypto::{PublicBits, RustCrypto, SoftwareKey};
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::{DeviceName, Identified, Roles};
use std::hint::black_box;
use std::rc::Rc;

const SUITE: Suite = Suite::Suite2;

/// One side, the mean of both, by method and provider. Whole handshakes run: signatures differ from run to run, so that a
/// recorded message fits none.
pub(super) fn rows() -> Result<Vec<Row>, Failure> {
    let software = |number: u8| {
        let key = SoftwareKey::p256(Secret::from_bytes([number; 32])).ok_or("no key")?;
        let PublicBits::P256(point) = key.public() else { return Err("no key on P-256".into()) };
        Ok::<_, Failure>((key, point))
    };
    let server = || {
        let key = SigningKey::generate();
        let point = key.public_key().bits.try_into()?;
        Ok::<_, Failure>((key, point))
    };
    let mut rows = of("aws-lc", AwsLc, [server()?, server()?])?;
    rows.extend(of("rustcrypto", RustCrypto, [software(1)?, software(2)?])?);
    Ok(rows)
}

fn of<C: Crypto + Copy + 'static, K: OwnKey + 'static>(
    provider: &'static str,
    crypto: C,
    [first, second]: [(K, [u8; 65]); 2],
) -> Result<Vec<Row>, Failure> {
    let pair = Rc::new((Side::new(1, first, crypto)?, Side::new(2, second, crypto)?));
    let mut rows = Vec::new();
    for (number, keys) in [(0, "signatures"), (1, "signature, static"), (2, "static, signature"), (3, "static keys")] {
        let method = Method::from_number(number).ok_or("a method")?;
        let pair = Rc::clone(&pair);
        let row = Row::new(format!("a side of method {number} ({keys})"), provider, move || {
            handshake(method, &pair.0, &pair.1)
        });
        rows.push(row.of_two());
    }
    Ok(rows)
}

struct Side<C, K> {
    crypto: C,
    encoding: [u8; 160],
    hash: [u8; 8],
    key: K,
    point: [u8; 65],
    identified: Identified,
    number: u8,
}

impl<C: Crypto, K: OwnKey> Side<C, K> {
    fn new(number: u8, (key, point): (K, [u8; 65]), crypto: C) -> Result<Self, Failure> {
        // As long as a certificate of type 2: only its bytes matter here.
        let mut encoding = [number; 160];
        encoding[0] = 0x8b;
        let name = DeviceName::new("device").ok_or("a name")?;
        let identified =
            Identified::danger_raw_key(&encoding, name, CredentialKind::Operational, Roles::NONE, None, &crypto);
        let hash = Credential::certificate(&encoding).thumbprint(&crypto);
        Ok(Self { crypto, encoding, hash, key, point, identified, number })
    }

    fn own(&self) -> OwnCredential<'_> {
        let reference = CredentialReference::C5t(CertHash::short(&self.hash));
        OwnCredential::new(Credential::certificate(&self.encoding), reference, &self.key)
    }

    fn as_peer(&self) -> PeerCredential<'_> {
        PeerCredential {
            credential: Credential::certificate(&self.encoding),
            key: AuthenticationKey::P256(&self.point),
            identified: self.identified.clone(),
        }
    }

    fn ephemeral(&self) -> Result<Ephemeral, Failure> {
        let secret = Secret::from_bytes([self.number ^ 0x3c; 32]);
        Ok(Ephemeral::new(Curve::P256, secret, &self.crypto).ok_or("an ephemeral key")?)
    }

    fn id(&self) -> Result<ConnectionId, Failure> {
        Ok(ConnectionId::new(&[self.number]).ok_or("one byte")?)
    }
}

/// A whole handshake: the initiator's side to message 3, the responder's to the session.
fn handshake<C: Crypto, K: OwnKey>(method: Method, own: &Side<C, K>, peer: &Side<C, K>) -> Result<(), Failure> {
    let crypto = &own.crypto;
    let (mut first, mut second, mut third) = ([0; 256], [0; 256], [0; 256]);
    let offer = Offer { method, suites: &[SUITE], selected: SUITE, connection: own.id()?, ead: &[] };
    let (initiator, length) = initiator::start(&offer, own.ephemeral()?, &mut first, crypto)?;
    let accept = Accept { methods: &[method], suites: &[SUITE], understood: &[] };
    let read = Message1::read(first.get(..length).unwrap_or_default(), &accept, crypto)?;
    let (responder, length) = read.message_2(&peer.own(), peer.id()?, peer.ephemeral()?, &[], &mut second, crypto)?;
    let message_2 = second.get_mut(..length).unwrap_or_default();
    let read = initiator.read(message_2, &[], crypto).map_err(|rejected| rejected.error)?;
    let verified = read.verify(peer.as_peer(), crypto).map_err(|rejected| rejected.error)?;
    let (_, length) = verified.message_3(&own.own(), &[], &mut third, crypto)?;
    let message_3 = third.get_mut(..length).unwrap_or_default();
    let read = responder.read(message_3, &[], crypto).map_err(|rejected| rejected.error)?;
    black_box(read.verify(own.as_peer(), crypto)?.session());
    Ok(())
}
