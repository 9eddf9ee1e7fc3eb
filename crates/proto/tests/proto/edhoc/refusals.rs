//! What is refused, and what is left afterwards.

use super::*;
use medlock_proto::crypto::Crypto;
use medlock_proto::edhoc::{Fault, Reply};
use medlock_trust::Crypto as _;

/// Message 2 with this plaintext, in a run on suite 2 of which `message_1` is the first message.
pub(super) fn message_2_of(plaintext: &[u8], message_1: &[u8], y: &Secret) -> Vec<u8> {
    assert!(plaintext.len() <= 32);
    let at = message_1.windows(2).position(|head| head == [0x58, 0x20]).unwrap();
    let g_x: [u8; 32] = message_1[at + 2..at + 34].try_into().unwrap();
    let g_y = CRYPTO.public_key(Curve::P256, y).unwrap();
    let shared = CRYPTO.agree(Curve::P256, y, &g_x).unwrap();
    let th_2 = CRYPTO.sha256(&[&[0x58, 0x20][..], &g_y, &[0x58, 0x20], &CRYPTO.sha256(&[message_1])]);
    let prk_2e = CRYPTO.hmac_sha256(&th_2, &[shared.expose()]);
    let length = plaintext.len() as u8;
    let length_item = if length < 24 { vec![length] } else { vec![0x18, length] };
    let keystream = CRYPTO.hmac_sha256(prk_2e.expose(), &[&[0, 0x58, 0x20], &th_2, &length_item, &[1]]);
    let content = 32 + length;
    let mut message = if content < 24 { vec![0x40 | content] } else { vec![0x58, content] };
    message.extend(g_y);
    message.extend(plaintext.iter().zip(keystream.expose()).map(|(a, b)| a ^ b));
    message
}

/// Every byte of every message, changed in one bit or another, in every method: no session comes of it.
///
/// Shows REQ-EDHOC-07.
#[test]
fn no_changed_byte_is_taken() {
    for method in Method::ALL {
        tamper(&Pair::new(method, Suite::Suite2, Naming::X5t));
    }
    tamper(&Pair::new(Method::StaticSign, Suite::Suite1, Naming::Ccs));
}

fn tamper(pair: &Pair) {
    let (_, _, good) = pair.run();
    let changed = |message: &[u8], at: usize| {
        let mut message = message.to_vec();
        message[at] ^= 1 << (at % 8);
        message
    };
    for at in 0..good.message_1.len() {
        let (await_2, message_1) = pair.start(&[]);
        // A changed message 1 may be one that somebody could have sent: then it is found out at message 2.
        if let Ok((_, message_2)) = pair.answer(&changed(&message_1, at), &[]) {
            assert!(pair.proceed_any(await_2, &message_2).is_err(), "message 1, byte {at}");
        }
    }
    for at in 0..good.message_2.len() {
        let (await_2, _) = pair.start(&[]);
        assert!(pair.proceed_any(await_2, &changed(&good.message_2, at)).is_err(), "message 2, byte {at}");
    }
    let (mut await_3, _) = pair.answer(&good.message_1, &[]).unwrap();
    for at in 0..good.message_3.len() {
        await_3 = await_3.read(&mut changed(&good.message_3, at), &[], &CRYPTO).unwrap_err().state;
    }
    // It is unchanged: the right message is still taken.
    assert!(pair.finish(await_3, &good.message_3).is_ok());
    let (await_2, _) = pair.start(&[]);
    let (mut unconfirmed, _) = pair.proceed(await_2, &good.message_2, &[]).unwrap();
    for at in 0..good.message_4.len() {
        let mut message = good.message_4.clone();
        message[at] ^= 1;
        unconfirmed = unconfirmed.read_message_4(&mut message, &[], &CRYPTO).unwrap_err().state;
    }
    let mut message_4 = good.message_4;
    assert!(unconfirmed.read_message_4(&mut message_4, &[], &CRYPTO).is_ok());
}

impl Pair {
    /// As `proceed`, with whatever credential the message names: the responder's is the only one there is.
    fn proceed_any(&self, state: initiator::AwaitMessage2, message_2: &[u8]) -> Result<(), Error> {
        let mut message = message_2.to_vec();
        let read = state.read(&mut message, &[], &CRYPTO).map_err(|rejected| rejected.error)?;
        let key = authentication_key(&self.responder.public);
        let credential = self.responder.credential();
        read.verify(PeerCredential { credential, key, identified: identified("responder") }, &CRYPTO)?;
        Ok(())
    }
}

/// Shows REQ-EDHOC-08.
#[test]
fn a_forged_message_leaves_the_state_as_it_was() {
    let pair = Pair::new(Method::StaticStatic, Suite::Suite3, Naming::Kid);
    let (await_2, message_1) = pair.start(&[]);
    let (await_3, message_2) = pair.answer(&message_1, &[]).unwrap();
    let rejected = await_2.read(&mut [0x40], &[], &CRYPTO).unwrap_err();
    assert_eq!(rejected.error, Error::Malformed);
    let (unconfirmed, message_3) = pair.proceed(rejected.state, &message_2, &[]).unwrap();

    let mut forged = message_3.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut rejected = await_3.read(&mut forged, &[], &CRYPTO).unwrap_err();
    assert_eq!(rejected.error, Error::Forged);
    // Too short for a tag, or no message at all: nobody's, either.
    for mut forged in [&[0x40][..], &[0x41, 7], &[0x47, 1, 2, 3, 4, 5, 6, 7], &[0x41], &[]].map(<[u8]>::to_vec) {
        rejected = rejected.state.read(&mut forged, &[], &CRYPTO).unwrap_err();
        assert_eq!(rejected.error, Error::Forged, "{forged:02x?}");
    }
    let verified = pair.finish(rejected.state, &message_3).unwrap();

    let rejected = unconfirmed.read_message_4(&mut [0x50; 17], &[], &CRYPTO).unwrap_err();
    assert_eq!(rejected.error, Error::Forged);
    let mut out = [0; 64];
    let (responder, length) = verified.message_4(&[], &mut out, &CRYPTO).unwrap();
    let (initiator, _) = rejected.state.read_message_4(&mut out[..length], &[], &CRYPTO).unwrap();
    assert_same_keys(&initiator, &responder);
}

/// Shows REQ-EDHOC-09.
#[test]
fn another_credential_or_key_than_the_senders_is_forged() {
    for method in Method::ALL {
        let pair = Pair::new(method, Suite::Suite2, Naming::Kid);
        let stranger = Party::new("stranger", 0x11, pair.suite, true, Naming::Kid);
        for (credential, public) in
            [(stranger.credential(), &pair.responder.public), (pair.responder.credential(), &stranger.public)]
        {
            let (await_2, message_1) = pair.start(&[]);
            let (_, mut message_2) = pair.answer(&message_1, &[]).unwrap();
            let read = await_2.read(&mut message_2, &[], &CRYPTO).unwrap();
            let key = authentication_key(public);
            let peer = PeerCredential { credential, key, identified: identified("stranger") };
            let rejected = read.verify(peer, &CRYPTO).unwrap_err();
            assert_eq!(rejected.error, Error::Forged, "{method:?}");
            // Anybody may have sent it: the right message is still taken.
            let (_, right) = pair.answer(&message_1, &[]).unwrap();
            assert!(pair.proceed(rejected.state, &right, &[]).is_ok(), "{method:?}");
        }
        for (credential, public) in
            [(stranger.credential(), &pair.initiator.public), (pair.initiator.credential(), &stranger.public)]
        {
            let (await_2, message_1) = pair.start(&[]);
            let (await_3, message_2) = pair.answer(&message_1, &[]).unwrap();
            let (_, mut message_3) = pair.proceed(await_2, &message_2, &[]).unwrap();
            let read = await_3.read(&mut message_3, &[], &CRYPTO).unwrap();
            let key = authentication_key(public);
            let peer = PeerCredential { credential, key, identified: identified("stranger") };
            assert_eq!(read.verify(peer, &CRYPTO).unwrap_err(), Error::Forged, "{method:?}");
        }
    }
}

#[test]
fn keys_of_another_kind_are_refused_before_they_are_used() {
    let (ed25519, x25519, point) = ([1; 32], [2; 32], [4; 65]);
    let short = [2; 20];
    for (method, suite, key) in [
        (Method::SignSign, Suite::Suite2, AuthenticationKey::Ed25519(&ed25519)),
        (Method::SignSign, Suite::Suite0, AuthenticationKey::P256(&point)),
        (Method::SignSign, Suite::Suite0, AuthenticationKey::X25519(&x25519)),
        (Method::StaticStatic, Suite::Suite2, AuthenticationKey::X25519(&x25519)),
        (Method::StaticStatic, Suite::Suite0, AuthenticationKey::Ed25519(&ed25519)),
        (Method::StaticStatic, Suite::Suite2, AuthenticationKey::P256(&short)),
    ] {
        let pair = Pair::new(method, suite, Naming::Kid);
        let (await_2, message_1) = pair.start(&[]);
        let (_, mut message_2) = pair.answer(&message_1, &[]).unwrap();
        let read = await_2.read(&mut message_2, &[], &CRYPTO).unwrap();
        let credential = pair.responder.credential();
        let peer = PeerCredential { credential, key, identified: identified("responder") };
        assert_eq!(read.verify(peer, &CRYPTO).unwrap_err().error, Error::KeyKind, "{key:?}");
    }
}

#[test]
fn ones_own_credential_is_not_a_peer() {
    let mut pair = Pair::new(Method::StaticStatic, Suite::Suite2, Naming::Kid);
    pair.initiator.encoding.clone_from(&pair.responder.encoding);
    let (await_2, message_1) = pair.start(&[]);
    let (_, message_2) = pair.answer(&message_1, &[]).unwrap();
    assert_eq!(pair.proceed(await_2, &message_2, &[]).unwrap_err(), Error::Reflected);
}

#[test]
fn connection_identifiers_differ_and_fit_oscore() {
    let mut pair = Pair::new(Method::StaticStatic, Suite::Suite2, Naming::Kid);
    let (await_2, message_1) = pair.start(&[]);
    let mut same = message_2_of(&unhex("0a2b480000000000000000"), &message_1, &Secret::from_bytes([9; 32]));
    let rejected = await_2.read(&mut same, &[], &CRYPTO).unwrap_err();
    assert_eq!(rejected.error, Error::ConnectionId);
    pair.responder.id = pair.initiator.id;
    assert_eq!(pair.answer(&message_1, &[]).unwrap_err(), Error::ConnectionId);
    let mut long = message_1[..message_1.len() - 1].to_vec();
    long.extend([0x48, 0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(pair.answer(&long, &[]).unwrap_err(), Error::ConnectionId);
    assert!(ConnectionId::new(&[0; 8]).is_none());
    for id in [&[][..], &[0x18], &[0xff; 7], &[0, 1]] {
        pair.responder.id = ConnectionId::new(id).unwrap();
        let (initiator, responder, _) = pair.run();
        assert_eq!(initiator.peer_id().as_bytes(), id);
        assert_same_keys(&initiator, &responder);
    }
}

#[test]
fn wrong_arguments_are_refused() {
    let pair = Pair::new(Method::StaticStatic, Suite::Suite2, Naming::Kid);
    let connection = pair.initiator.id;
    let offer = |selected| Offer { method: pair.method, suites: &[Suite::Suite2], selected, connection, ead: &[] };
    let start = |selected, suite, out: &mut [u8]| {
        initiator::start(&offer(selected), pair.initiator.ephemeral(suite), out, &CRYPTO).map(drop).unwrap_err()
    };
    assert_eq!(start(Suite::Suite2, Suite::Suite0, &mut [0; 64]), Error::Ephemeral);
    assert_eq!(start(Suite::Suite3, Suite::Suite3, &mut [0; 64]), Error::Suite);
    assert_eq!(start(Suite::Suite2, Suite::Suite2, &mut [0; 36]), Error::NoRoom);

    let (_, message_1) = pair.start(&[]);
    let suites = [Suite::Suite2];
    let accept = Accept { methods: &[Method::SignSign], suites: &suites, understood: &[] };
    assert_eq!(Message1::read(&message_1, &accept, &CRYPTO).unwrap_err(), Error::Method);
    let accept = Accept { methods: &[pair.method], ..accept };
    for (room, suite, error) in [(44, Suite::Suite2, Error::NoRoom), (64, Suite::Suite0, Error::Ephemeral)] {
        let read = Message1::read(&message_1, &accept, &CRYPTO).unwrap();
        let refused = pair.responder.with_own(|own| {
            let ephemeral = pair.responder.ephemeral(suite);
            read.message_2(own, pair.responder.id, ephemeral, &[], &mut vec![0; room], &CRYPTO).map(drop)
        });
        assert_eq!(refused, Err(error));
    }
    assert!(Ephemeral::new(Curve::P256, Secret::from_bytes([0; 32]), &CRYPTO).is_none());
    assert!(Ephemeral::new(Curve::P256, Secret::from_bytes([0xff; 32]), &CRYPTO).is_none());
}

/// Names of credentials that a plaintext 2 must not have, beside those of RFC 9529.
#[test]
fn malformed_references_are_refused() {
    let pair = Pair::new(Method::StaticStatic, Suite::Suite2, Naming::Kid);
    for id_cred in [
        // An empty map, a label twice, a text label, a kid that is no byte string, a list of one certificate.
        "a0",
        "a2182240182240",
        "a1616140",
        "a10401",
        "a118218141ff",
        "a1182182",
        "a11821",
        "f6",
        "80",
        "3838",
        // A hash that is not a pair, a claims set that is no map.
        "a11822812e",
        "a118224101",
        "a10e01",
        "a10e4101",
    ] {
        let plaintext = unhex(&format!("27{id_cred}480000000000000000"));
        let (await_2, message_1) = pair.start(&[]);
        let mut message_2 = message_2_of(&plaintext, &message_1, &Secret::from_bytes([9; 32]));
        let rejected = await_2.read(&mut message_2, &[], &CRYPTO).unwrap_err();
        assert_eq!(rejected.error, Error::Malformed, "{id_cred}");
    }
    // Two parameters, in whatever order, and one nobody knows.
    for (id_cred, labels) in [("a2182360044132", 2), ("a2044132182360", 2), ("a1182360", 1)] {
        let plaintext = unhex(&format!("27{id_cred}480000000000000000"));
        let (await_2, message_1) = pair.start(&[]);
        let mut message_2 = message_2_of(&plaintext, &message_1, &Secret::from_bytes([9; 32]));
        let read = await_2.read(&mut message_2, &[], &CRYPTO).unwrap();
        assert_eq!(read.id_cred().iter().count(), labels, "{id_cred}");
        let kid = (labels == 2).then_some(CredentialReference::Kid(&[0x32]));
        assert_eq!(read.id_cred().reference(), kid, "{id_cred}");
    }
}

/// Shows REQ-EDHOC-10.
#[test]
fn error_messages_are_written_and_read() {
    let mut out = [0; 64];
    let mut written = |reply: Reply<'_>| {
        let length = reply.write(&mut out).unwrap();
        out[..length].to_vec()
    };
    assert_eq!(Fault::read(&written(Reply::UnknownCredential)), Ok(Fault::UnknownCredential));
    assert_eq!(Fault::read(&written(Reply::to(Error::Method, &[]))), Ok(Fault::Unspecified("method not supported")));
    // Which check failed is nobody's business.
    assert_eq!(written(Reply::to(Error::Forged, &[])), written(Reply::to(Error::KeyKind, &[])));
    assert_eq!(written(Reply::WrongSuite(&[Suite::Suite2])), [2, 2]);
    assert_eq!(Reply::WrongSuite(&[]).write(&mut [0; 8]), Err(Error::Suite));
    assert_eq!(Reply::UnknownCredential.write(&mut [0; 1]), Err(Error::NoRoom));
    assert_eq!(Fault::read(&[0x18, 0x63, 0xa0]), Ok(Fault::Other(99)));
    for malformed in [&[0, 0x60][..], &[1, 0x40], &[3, 0xf4], &[3], &[], &[2, 0x81, 2], &[2, 0x61, 0x61], &[3, 0xf5, 0]]
    {
        assert_eq!(Fault::read(malformed), Err(Error::Malformed), "{malformed:02x?}");
    }
}
