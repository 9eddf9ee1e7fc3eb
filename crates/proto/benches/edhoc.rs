//! Sides of a handshake a second, with the pure-Rust provider: everything a side does, its ephemeral key included; the
//! peer's credential is known by its hash. `cargo bench -p medlock-proto --bench edhoc`.

use divan::Bencher;
use medlock_proto::crypto::{Curve, Secret};
use medlock_proto::edhoc::{
    AuthenticationKey, CertHash, ConnectionId, Credential, CredentialReference, Ephemeral, Method, OwnCredential,
    PeerCredential, Session, Suite,
    initiator::{self, Offer, Unconfirmed},
    responder::{Accept, Message1},
};
use medlock_rustcrypto::{PublicBits, RustCrypto, SoftwareKey};
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::{DeviceName, Identified, Roles};
use std::hint::black_box;

const CRYPTO: RustCrypto = RustCrypto;
const METHODS: [u8; 4] = [0, 1, 2, 3];

fn main() {
    divan::main();
}

struct Side {
    encoding: [u8; 160],
    hash: [u8; 8],
    key: SoftwareKey,
    point: [u8; 65],
    identified: Identified,
    number: u8,
}

impl Side {
    fn new(number: u8) -> Self {
        let mut encoding = [number; 160];
        encoding[0] = 0x8b;
        let key = SoftwareKey::p256(Secret::from_bytes([number; 32])).expect("below the order");
        let PublicBits::P256(point) = key.public() else { unreachable!("a key on P-256") };
        let name = DeviceName::new("device").expect("printable");
        let identified =
            Identified::danger_raw_key(&encoding, name, CredentialKind::Operational, Roles::NONE, None, &CRYPTO);
        let hash = Credential::certificate(&encoding).thumbprint(&CRYPTO);
        Self { encoding, hash, key, point, identified, number }
    }

    fn own(&self) -> OwnCredential<'_> {
        let reference = CredentialReference::C5t(CertHash::short(&self.hash));
        OwnCredential::new(Credential::certificate(&self.encoding), reference, &self.key)
    }

    fn peer(&self) -> PeerCredential<'_> {
        PeerCredential {
            credential: Credential::certificate(&self.encoding),
            key: AuthenticationKey::P256(&self.point),
            identified: self.identified.clone(),
        }
    }

    fn ephemeral(&self) -> Ephemeral {
        let secret = Secret::from_bytes([self.number ^ 0x3c; 32]);
        Ephemeral::new(Curve::P256, secret, &CRYPTO).expect("below the order")
    }

    fn id(&self) -> ConnectionId {
        ConnectionId::new(&[self.number]).expect("one byte")
    }
}

/// The initiator's side; `message_2` gives the answer to what it sends.
fn initiate(
    method: Method,
    own: &Side,
    peer: &Side,
    message_2: impl FnOnce(&[u8]) -> Vec<u8>,
) -> (Unconfirmed, Vec<u8>) {
    let mut out = [0; 256];
    let suite = Suite::Suite2;
    let offer = Offer { method, suites: &[suite], selected: suite, connection: own.id(), ead: &[] };
    let (state, length) = initiator::start(&offer, own.ephemeral(), &mut out, &CRYPTO).expect("room");
    let mut message_2 = message_2(&out[..length]);
    let read = state.read(&mut message_2, &[], &CRYPTO).expect("read");
    let verified = read.verify(peer.peer(), &CRYPTO).expect("verified");
    let (state, length) = verified.message_3(&own.own(), &[], &mut out, &CRYPTO).expect("room");
    (state, out[..length].to_vec())
}

/// The responder's side; `message_3` gives the answer to what it sends.
fn respond(
    method: Method,
    own: &Side,
    peer: &Side,
    message_1: &[u8],
    message_3: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Option<Session> {
    let mut out = [0; 256];
    let accept = Accept { methods: &[method], suites: &[Suite::Suite2], understood: &[] };
    let read = Message1::read(message_1, &accept, &CRYPTO).expect("read");
    let (state, length) = read.message_2(&own.own(), own.id(), own.ephemeral(), &[], &mut out, &CRYPTO).expect("room");
    let mut message_3 = message_3(&out[..length])?;
    let read = state.read(&mut message_3, &[], &CRYPTO).expect("read");
    Some(read.verify(peer.peer(), &CRYPTO).expect("verified").session())
}

/// Messages 1, 2 and 3 of a run, which are the same each time.
fn messages(method: Method, own: &Side, peer: &Side) -> [Vec<u8>; 3] {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let (_, third) = initiate(method, own, peer, |message_1| {
        first = message_1.to_vec();
        respond(method, peer, own, message_1, |message_2| {
            second = message_2.to_vec();
            None
        });
        second.clone()
    });
    [first, second, third]
}

#[divan::bench(args = METHODS)]
fn initiator_side(bencher: Bencher<'_, '_>, method: u8) {
    let method = Method::from_number(method.into()).expect("0 to 3");
    let (own, peer) = (Side::new(1), Side::new(2));
    let [_, message_2, _] = messages(method, &own, &peer);
    bencher.bench(|| initiate(method, &own, &peer, |_| black_box(&message_2).clone()));
}

#[divan::bench(args = METHODS)]
fn responder_side(bencher: Bencher<'_, '_>, method: u8) {
    let method = Method::from_number(method.into()).expect("0 to 3");
    let (own, peer) = (Side::new(1), Side::new(2));
    let [message_1, _, message_3] = messages(method, &own, &peer);
    bencher.bench(|| respond(method, &peer, &own, black_box(&message_1), |_| Some(message_3.clone())));
}
