//! EDHOC: every message and every prefix, with cryptography that finds all right, so that what is encrypted is read too.
//! The first byte says which message it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::{Trusting, danger_peer};
use medlock_proto::crypto::{Curve, Forged, OwnKey, Secret};
use medlock_proto::edhoc::{
    AuthenticationKey, Ccs, ConnectionId, Credential, CredentialReference, Ephemeral, Fault, IdCred, Method,
    OwnCredential, PeerCredential, Suite, coap,
    initiator::{self, AwaitMessage2, Offer},
    responder::{Accept, AwaitMessage3, Message1},
};
use medlock_trust::crypto::Message;

const POINT: [u8; 33] = [2; 33];
const SUITE: Suite = Suite::Suite2;

struct Key;

impl OwnKey for Key {
    type Error = Forged;

    fn sign(&self, _: &dyn Message) -> Result<[u8; 64], Forged> {
        Ok([0; 64])
    }

    fn agree(&self, _: &[u8; 32]) -> Result<Secret, Forged> {
        Ok(Secret::from_bytes([0; 32]))
    }
}

fn own() -> OwnCredential<'static> {
    OwnCredential::new(Credential::Item(&[0xa0]), CredentialReference::Kid(&[1]), &Key)
}

fn ephemeral() -> Ephemeral {
    Ephemeral::new(Curve::P256, Secret::from_bytes([1; 32]), &Trusting).expect("any is a key")
}

fn id(byte: u8) -> ConnectionId {
    ConnectionId::new(&[byte]).expect("one byte")
}

fn await_2(method: Method) -> AwaitMessage2 {
    let offer = Offer { method, suites: &[SUITE], selected: SUITE, connection: id(5), ead: &[] };
    initiator::start(&offer, ephemeral(), &mut [0; 64], &Trusting).expect("room").0
}

fn await_3(method: Method) -> AwaitMessage3 {
    let mut message = vec![method.number(), 2, 0x58, 32];
    message.extend([1; 32]);
    message.push(5);
    let accept = Accept { methods: &Method::ALL, suites: &[SUITE], understood: &[] };
    let read = Message1::read(&message, &accept, &Trusting).expect("well formed");
    read.message_2(&own(), id(6), ephemeral(), &[], &mut [0; 256], &Trusting).expect("room").0
}

fn peer() -> PeerCredential<'static> {
    let credential = Credential::C509Items(&[1, 2, 3]);
    PeerCredential { credential, key: AuthenticationKey::P256(&POINT), identified: danger_peer() }
}

fn look_at(id_cred: IdCred<'_>) {
    for reference in id_cred.iter() {
        match reference {
            CredentialReference::X5t(hash) | CredentialReference::C5t(hash) => {
                let _ = hash.names(Credential::Item(&[0x8b]), &Trusting);
            }
            CredentialReference::X5chain(list)
            | CredentialReference::X5bag(list)
            | CredentialReference::C5c(list)
            | CredentialReference::C5b(list) => assert!((1..=8).contains(&list.iter().count())),
            CredentialReference::Ccs(ccs) => {
                let _ = Ccs::read(ccs).map(|ccs| ccs.key(&mut [0; 65]).is_some());
            }
            CredentialReference::Kid(_) | CredentialReference::Cwt(_) | CredentialReference::Other { .. } => {}
        }
    }
}

fn message_1(bytes: &[u8]) {
    let accept = Accept { methods: &Method::ALL, suites: &Suite::ALL, understood: &[1, 2] };
    let Ok(read) = Message1::read(bytes, &accept, &Trusting) else { return };
    assert!(bytes.len() > 36);
    let (method, suite, connection) = (read.method(), read.suite(), read.peer_id());
    let ead: Vec<_> = read.ead().iter().collect();
    // One value has one encoding: with the same suites, what is written is what was read, if nothing was padded.
    let offer = Offer { method, suites: &[suite], selected: suite, connection, ead: &ead };
    let mut out = vec![0; bytes.len()];
    let secret = Secret::from_bytes([1; 32]);
    let ephemeral = Ephemeral::new(suite.curve(), secret, &Trusting).expect("any is a key");
    let (_, length) = initiator::start(&offer, ephemeral, &mut out, &Trusting).expect("it is not longer");
    if length == bytes.len() {
        assert_eq!((&out[..4], &out[36..length]), (&bytes[..4], &bytes[36..]));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let method = Method::ALL[usize::from(kind >> 4) % 4];
    let mut message = bytes.to_vec();
    match kind & 0x0f {
        0 => message_1(bytes),
        1 => {
            let Ok(read) = await_2(method).read(&mut message, &[1], &Trusting) else { return };
            look_at(read.id_cred());
            read.ead().iter().for_each(drop);
            if let Ok(verified) = read.verify(peer(), &Trusting) {
                let (unconfirmed, _) = verified.message_3(&own(), &[], &mut [0; 256], &Trusting).expect("room");
                let _ = unconfirmed.read_message_4(&mut bytes.to_vec(), &[1], &Trusting);
            }
        }
        2 => {
            let Ok(read) = await_3(method).read(&mut message, &[1], &Trusting) else { return };
            look_at(read.id_cred());
            read.ead().iter().for_each(drop);
            let _ = read.verify(peer(), &Trusting);
        }
        3 => {
            if let Ok(Fault::WrongSuite(suites)) = Fault::read(bytes) {
                assert!((1..=16).contains(&suites.numbers().count()));
            }
        }
        4 => {
            if let Ok(coap::Request::Next(connection, rest)) = coap::read_request(bytes) {
                let at = coap::write_next(connection, &mut message).expect("it was read");
                assert_eq!((&message[..at], rest), (&bytes[..at], &bytes[at..]), "one encoding");
            }
        }
        5 => {
            if let Ok((first, second)) = coap::split(&mut message) {
                assert_eq!([&*first, &*second].concat(), bytes);
            }
        }
        _ => {
            let _ = Ccs::read(bytes).map(|ccs| (ccs.key(&mut [0; 65]).is_some(), ccs.subject(), ccs.kid()));
        }
    }
});
