//! EDHOC with the pure-Rust provider: vectors, whole runs, refusals.

mod coap;
mod draft16;
mod properties;
mod refusals;
mod rfc9529;
mod runs;

use medlock_proto::crypto::{Curve, Secret};
use medlock_proto::edhoc::{
    AuthenticationKey, CertHash, Certificates, ConnectionId, Credential, CredentialReference, EadItem, Ephemeral,
    Error, IdCred, Method, OwnCredential, PeerCredential, Session, Suite,
    initiator::{self, Offer, Unconfirmed},
    responder::{Accept, AwaitMessage3, Message1, Verified3},
};
use medlock_rustcrypto::{PublicBits, RustCrypto, SoftwareKey};
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::{DeviceName, Identified, Roles};

const CRYPTO: RustCrypto = RustCrypto;

/// The kinds of references a credential is named by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    Kid,
    LongKid,
    Ccs,
    X5t,
    X5chain,
    X5bag,
    C5t,
    C5c,
    C5b,
    Cwt,
}

impl Naming {
    const ALL: [Self; 10] = [
        Self::Kid,
        Self::LongKid,
        Self::Ccs,
        Self::X5t,
        Self::X5chain,
        Self::X5bag,
        Self::C5t,
        Self::C5c,
        Self::C5b,
        Self::Cwt,
    ];
}

/// One side: its key, its credential, and what the other side knows of it.
struct Party {
    name: &'static str,
    key: SoftwareKey,
    public: PublicBits,
    encoding: Vec<u8>,
    naming: Naming,
    id: ConnectionId,
    ephemeral: [u8; 32],
}

impl Party {
    /// A party that signs or agrees, as the method wants, on the suite's curve.
    fn new(name: &'static str, number: u8, suite: Suite, signs: bool, naming: Naming) -> Self {
        let secret = Secret::from_bytes([number; 32]);
        let key = match (suite.curve(), signs) {
            (Curve::P256, _) => SoftwareKey::p256(secret).unwrap(),
            (Curve::X25519, true) => SoftwareKey::ed25519(secret),
            (Curve::X25519, false) => SoftwareKey::x25519(secret),
        };
        let first = match naming {
            Naming::Kid | Naming::LongKid | Naming::Ccs | Naming::Cwt => 0xa1,
            Naming::X5t | Naming::X5chain | Naming::X5bag => 0x30,
            Naming::C5t | Naming::C5c | Naming::C5b => 0x8b,
        };
        // EDHOC does not look into certificates; a claims set must be CBOR, because it travels as an item.
        let encoding = match naming {
            Naming::Ccs | Naming::Cwt => vec![first, 0x02, 0x63, b'a', b'b', number],
            _ => std::iter::once(first).chain((0..140).map(|byte| byte ^ number)).collect(),
        };
        let public = key.public();
        Self {
            name,
            key,
            public,
            encoding,
            naming,
            id: ConnectionId::new(&[number]).unwrap(),
            ephemeral: [number ^ 0x55; 32],
        }
    }

    fn credential(&self) -> Credential<'_> {
        Credential::certificate(&self.encoding)
    }

    fn ephemeral(&self, suite: Suite) -> Ephemeral {
        Ephemeral::new(suite.curve(), Secret::from_bytes(self.ephemeral), &CRYPTO).unwrap()
    }

    /// What the other side finds when it looks up `id_cred`.
    fn as_peer<'a>(&'a self, id_cred: IdCred<'a>) -> PeerCredential<'a> {
        let by_value = |list: Certificates<'a>, items: bool| {
            let first = list.iter().next().unwrap();
            if items { Credential::C509Items(first) } else { Credential::certificate(first) }
        };
        let credential = match id_cred.reference().unwrap() {
            CredentialReference::Kid(kid) => {
                assert_eq!(kid, self.kid());
                self.credential()
            }
            CredentialReference::X5t(hash) | CredentialReference::C5t(hash) => {
                assert!(hash.names(self.credential(), &CRYPTO));
                self.credential()
            }
            CredentialReference::X5chain(list) | CredentialReference::X5bag(list) => by_value(list, false),
            CredentialReference::C5c(list) | CredentialReference::C5b(list) => by_value(list, true),
            CredentialReference::Ccs(item) | CredentialReference::Cwt(item) => Credential::Item(item),
            CredentialReference::Other { label, .. } => panic!("label {label}"),
        };
        PeerCredential { credential, key: authentication_key(&self.public), identified: identified(self.name) }
    }

    fn kid(&self) -> &[u8] {
        if self.naming == Naming::LongKid { &self.encoding[..30] } else { &self.encoding[1..2] }
    }

    /// Calls `to` with this party's own credential.
    fn with_own<T>(&self, to: impl FnOnce(&OwnCredential<'_>) -> T) -> T {
        let hash = self.credential().thumbprint(&CRYPTO);
        let other = [self.encoding[0], 1, 2, 3];
        let chain = [&self.encoding[..], &other];
        let one = &chain[..1];
        let reference = match self.naming {
            Naming::Kid | Naming::LongKid => CredentialReference::Kid(self.kid()),
            Naming::Ccs => CredentialReference::Ccs(&self.encoding),
            Naming::Cwt => CredentialReference::Cwt(&self.encoding),
            Naming::X5t => CredentialReference::X5t(CertHash::short(&hash)),
            Naming::C5t => CredentialReference::C5t(CertHash::short(&hash)),
            Naming::X5chain => CredentialReference::X5chain(Certificates::x509(&chain)),
            Naming::X5bag => CredentialReference::X5bag(Certificates::x509(one)),
            Naming::C5c => CredentialReference::C5c(Certificates::c509(&chain)),
            Naming::C5b => CredentialReference::C5b(Certificates::c509(one)),
        };
        to(&OwnCredential::new(self.credential(), reference, &self.key))
    }
}

fn authentication_key(public: &PublicBits) -> AuthenticationKey<'_> {
    match public {
        PublicBits::P256(point) => AuthenticationKey::P256(point),
        PublicBits::Ed25519(key) => AuthenticationKey::Ed25519(key),
        PublicBits::X25519(key) => AuthenticationKey::X25519(key),
    }
}

fn identified(name: &str) -> Identified {
    let name = DeviceName::new(name).unwrap();
    Identified::danger_raw_key(b"", name, CredentialKind::Operational, Roles::NONE, None, &CRYPTO)
}

/// Two parties and what they agreed on beforehand.
struct Pair {
    method: Method,
    suite: Suite,
    initiator: Party,
    responder: Party,
}

/// The messages of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Messages {
    message_1: Vec<u8>,
    message_2: Vec<u8>,
    message_3: Vec<u8>,
    message_4: Vec<u8>,
}

impl Pair {
    fn new(method: Method, suite: Suite, naming: Naming) -> Self {
        Self {
            method,
            suite,
            initiator: Party::new("initiator", 0x0a, suite, method.initiator_signs(), naming),
            responder: Party::new("responder", 0x2b, suite, method.responder_signs(), naming),
        }
    }

    fn accept<'a>(&self, method: &'a [Method; 1], suites: &'a [Suite]) -> Accept<'a> {
        assert_eq!(method[0], self.method);
        Accept { methods: method, suites, understood: &[] }
    }

    fn start(&self, ead: &[EadItem<'_>]) -> (initiator::AwaitMessage2, Vec<u8>) {
        let offer = Offer {
            method: self.method,
            suites: &[self.suite],
            selected: self.suite,
            connection: self.initiator.id,
            ead,
        };
        let mut out = [0; 512];
        let (state, length) =
            initiator::start(&offer, self.initiator.ephemeral(self.suite), &mut out, &CRYPTO).unwrap();
        (state, out[..length].to_vec())
    }

    fn answer(&self, message_1: &[u8], ead: &[EadItem<'_>]) -> Result<(AwaitMessage3, Vec<u8>), Error> {
        let (methods, suites) = ([self.method], [self.suite]);
        let message = Message1::read(message_1, &self.accept(&methods, &suites), &CRYPTO)?;
        let mut out = [0; 1024];
        let (state, length) = self.responder.with_own(|own| {
            message.message_2(own, self.responder.id, self.responder.ephemeral(self.suite), ead, &mut out, &CRYPTO)
        })?;
        Ok((state, out[..length].to_vec()))
    }

    fn proceed(
        &self,
        state: initiator::AwaitMessage2,
        message_2: &[u8],
        ead: &[EadItem<'_>],
    ) -> Result<(Unconfirmed, Vec<u8>), Error> {
        let mut message = message_2.to_vec();
        let read = state.read(&mut message, &[], &CRYPTO).map_err(|rejected| rejected.error)?;
        let peer = self.responder.as_peer(read.id_cred());
        let verified = read.verify(peer, &CRYPTO)?;
        assert_eq!(verified.peer().device_name().as_str(), "responder");
        let mut out = [0; 1024];
        let (state, length) = self.initiator.with_own(|own| verified.message_3(own, ead, &mut out, &CRYPTO))?;
        Ok((state, out[..length].to_vec()))
    }

    fn finish(&self, state: AwaitMessage3, message_3: &[u8]) -> Result<Verified3, Error> {
        let mut message = message_3.to_vec();
        let read = state.read(&mut message, &[], &CRYPTO).map_err(|rejected| rejected.error)?;
        let peer = self.initiator.as_peer(read.id_cred());
        read.verify(peer, &CRYPTO)
    }

    /// A whole run with message 4, without authorization data.
    fn run(&self) -> (Session, Session, Messages) {
        let (await_2, message_1) = self.start(&[]);
        let (await_3, message_2) = self.answer(&message_1, &[]).unwrap();
        let (unconfirmed, message_3) = self.proceed(await_2, &message_2, &[]).unwrap();
        let verified = self.finish(await_3, &message_3).unwrap();
        let mut out = [0; 64];
        let (responder, length) = verified.message_4(&[], &mut out, &CRYPTO).unwrap();
        let message_4 = out[..length].to_vec();
        let mut message = message_4.clone();
        let (initiator, ead) = unconfirmed.read_message_4(&mut message, &[], &CRYPTO).unwrap();
        assert_eq!(ead.iter().count(), 0);
        (initiator, responder, Messages { message_1, message_2, message_3, message_4 })
    }
}

fn assert_same_keys(initiator: &Session, responder: &Session) {
    let (mut a, mut b) = ([0; 70], [0; 70]);
    initiator.export(32_768, b"context", &mut a, &CRYPTO).unwrap();
    responder.export(32_768, b"context", &mut b, &CRYPTO).unwrap();
    assert_eq!(a, b);
    let (a, b) = (initiator.oscore(&CRYPTO), responder.oscore(&CRYPTO));
    assert_eq!(a.master_secret, b.master_secret);
    assert_eq!(a.master_salt, b.master_salt);
    assert_eq!((a.sender_id, a.recipient_id), (b.recipient_id, b.sender_id));
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
