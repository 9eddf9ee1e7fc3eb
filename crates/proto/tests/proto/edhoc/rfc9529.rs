//! The traces of RFC 9529. `rfc9529.txt` has their values.

use super::*;
use medlock_proto::crypto::Crypto;
use medlock_proto::edhoc::{Ccs, Fault, Reply};

const VALUES: &str = include_str!("rfc9529.txt");

fn value(run: &str, name: &str) -> Vec<u8> {
    let mut lines = VALUES.lines().filter_map(|line| line.strip_prefix(run)?.strip_prefix(' ')?.split_once(' '));
    unhex(lines.find(|(found, _)| *found == name).unwrap_or_else(|| panic!("{run} {name}")).1)
}

fn secret(run: &str, name: &str) -> Secret {
    Secret::from_bytes(value(run, name).try_into().unwrap())
}

/// A run of the RFC, with both sides bit for bit.
struct Trace {
    run: &'static str,
    method: Method,
    suite: Suite,
}

impl Trace {
    fn value(&self, name: &str) -> Vec<u8> {
        value(self.run, name)
    }

    fn key(&self, name: &str) -> SoftwareKey {
        match self.suite.curve() {
            Curve::X25519 => SoftwareKey::ed25519(secret(self.run, name)),
            Curve::P256 => SoftwareKey::p256(secret(self.run, name)).unwrap(),
        }
    }

    fn ephemeral(&self, secret_name: &str, public_name: &str) -> Ephemeral {
        let public = CRYPTO.public_key(self.suite.curve(), &secret(self.run, secret_name)).unwrap();
        assert_eq!(public[..], self.value(public_name));
        Ephemeral::new(self.suite.curve(), secret(self.run, secret_name), &CRYPTO).unwrap()
    }

    /// Both sides of the run; `message_1` was sent, and the initiator is in `await_2`.
    fn replay(&self, await_2: initiator::AwaitMessage2, suites: &[Suite]) {
        let (cred_r, cred_i) = (self.value("CRED_R"), self.value("CRED_I"));
        let (id_cred_r, id_cred_i) = (self.value("ID_CRED_R"), self.value("ID_CRED_I"));
        let (credential_r, credential_i) = (Credential::certificate(&cred_r), Credential::certificate(&cred_i));
        let (key_r, key_i) = (self.key("SK_R"), self.key("SK_I"));
        let (public_r, public_i) = (key_r.public(), key_i.public());
        let own_r = OwnCredential::new(credential_r, reference(&id_cred_r), &key_r);
        let own_i = OwnCredential::new(credential_i, reference(&id_cred_i), &key_i);

        let message_1 = self.value("message_1");
        let accept = Accept { methods: &[self.method], suites, understood: &[] };
        let read = Message1::read(&message_1, &accept, &CRYPTO).unwrap();
        assert_eq!((read.method(), read.suite()), (self.method, self.suite));
        assert_eq!(read.peer_id().as_bytes(), self.value("C_I"));
        let c_r = ConnectionId::new(&self.value("C_R")).unwrap();
        let mut out = [0; 256];
        let (await_3, length) =
            read.message_2(&own_r, c_r, self.ephemeral("Y", "G_Y"), &[], &mut out, &CRYPTO).unwrap();
        assert_eq!(out[..length], self.value("message_2"));

        let read = await_2.read(&mut out[..length], &[], &CRYPTO).unwrap();
        assert_eq!(read.id_cred().reference(), Some(reference(&id_cred_r)));
        let key = authentication_key(&public_r);
        let peer = PeerCredential { credential: credential_r, key, identified: identified("R") };
        let verified = read.verify(peer, &CRYPTO).unwrap();
        assert_eq!(verified.peer_id(), c_r);
        let (unconfirmed, length) = verified.message_3(&own_i, &[], &mut out, &CRYPTO).unwrap();
        assert_eq!(out[..length], self.value("message_3"));

        let read = await_3.read(&mut out[..length], &[], &CRYPTO).unwrap();
        assert_eq!(read.id_cred().reference(), Some(reference(&id_cred_i)));
        let key = authentication_key(&public_i);
        let peer = PeerCredential { credential: credential_i, key, identified: identified("I") };
        let verified = read.verify(peer, &CRYPTO).unwrap();
        let (responder, length) = verified.message_4(&[], &mut out, &CRYPTO).unwrap();
        assert_eq!(out[..length], self.value("message_4"));
        let (initiator, _) = unconfirmed.read_message_4(&mut out[..length], &[], &CRYPTO).unwrap();
        self.keys(initiator, true);
        self.keys(responder, false);
    }

    fn keys(&self, mut session: Session, is_client: bool) {
        let oscore = session.oscore(&CRYPTO);
        assert_eq!(oscore.master_secret[..], self.value("master_secret"));
        assert_eq!(oscore.master_salt[..], self.value("master_salt"));
        let (own, peer) =
            if is_client { ("client_sender_id", "server_sender_id") } else { ("server_sender_id", "client_sender_id") };
        assert_eq!(oscore.sender_id.as_bytes(), self.value(own));
        assert_eq!(oscore.recipient_id.as_bytes(), self.value(peer));
        session.update(&self.value("update_context"), &CRYPTO);
        let oscore = session.oscore(&CRYPTO);
        assert_eq!(oscore.master_secret[..], self.value("updated_master_secret"));
        assert_eq!(oscore.master_salt[..], self.value("updated_master_salt"));
    }
}

/// The reference in `{34: [-15, h'…']}` or `{4: h'…'}`.
fn reference(id_cred: &[u8]) -> CredentialReference<'_> {
    match id_cred {
        [0xa1, 0x18, 0x22, 0x82, 0x2e, 0x48, hash @ ..] => {
            CredentialReference::X5t(CertHash::short(hash.try_into().unwrap()))
        }
        [0xa1, 0x04, 0x41, kid @ ..] => CredentialReference::Kid(kid),
        other => panic!("{other:02x?}"),
    }
}

/// RFC 9529 section 2: method 0, suite 0, X.509 by x5t.
///
/// Shows REQ-EDHOC-05.
#[test]
fn the_first_trace_is_met_bit_for_bit() {
    let trace = Trace { run: "1", method: Method::SignSign, suite: Suite::Suite0 };
    let connection = ConnectionId::new(&trace.value("C_I")).unwrap();
    let offer = Offer { method: trace.method, suites: &[trace.suite], selected: trace.suite, connection, ead: &[] };
    let mut out = [0; 64];
    let (await_2, length) = initiator::start(&offer, trace.ephemeral("X", "G_X"), &mut out, &CRYPTO).unwrap();
    assert_eq!(out[..length], trace.value("message_1"));
    for cred in ["CRED_R", "CRED_I"] {
        let encoding = trace.value(cred);
        let id_cred = trace.value(&format!("ID_{cred}"));
        let CredentialReference::X5t(hash) = reference(&id_cred) else { panic!() };
        assert!(hash.names(Credential::certificate(&encoding), &CRYPTO));
    }
    trace.replay(await_2, &[trace.suite]);
}

/// RFC 9529 section 3: method 3, suite 2 after suite 6 was refused, CCS by kid.
///
/// Shows REQ-EDHOC-05.
#[test]
fn the_second_trace_is_met_bit_for_bit() {
    let trace = Trace { run: "2", method: Method::StaticStatic, suite: Suite::Suite2 };
    let own = [trace.suite];
    let accept = Accept { methods: &[trace.method], suites: &own, understood: &[] };
    let error = Message1::read(&trace.value("first_message_1"), &accept, &CRYPTO).unwrap_err();
    let mut out = [0; 64];
    let length = Reply::to(error, &own).write(&mut out).unwrap();
    assert_eq!(out[..length], trace.value("error"));
    let Ok(Fault::WrongSuite(suites)) = Fault::read(&out[..length]) else { panic!() };
    assert_eq!(suites.choose(&own), Some(Suite::Suite2));

    // The initiator of the trace has suite 6, which we do not: its message 1 is taken as it is.
    let connection = ConnectionId::new(&trace.value("C_I")).unwrap();
    let offer = Offer { method: trace.method, suites: &own, selected: trace.suite, connection, ead: &[] };
    let ephemeral = trace.ephemeral("X", "G_X");
    let await_2 = initiator::danger_started(&offer, ephemeral, &trace.value("message_1"), &CRYPTO);
    trace.replay(await_2, &own);
}

#[test]
fn the_claims_sets_of_the_second_trace_are_read() {
    for (name, subject, kid, key) in
        [("CRED_R", "example.edu", 0x32, "SK_R"), ("CRED_I", "42-50-31-FF-EF-37-32-39", 0x2b, "SK_I")]
    {
        let encoding = value("2", name);
        let ccs = Ccs::read(&encoding).unwrap();
        assert_eq!(ccs.subject(), Some(subject));
        assert_eq!(ccs.kid(), Some(&[kid][..]));
        let public = SoftwareKey::p256(secret("2", key)).unwrap().public();
        assert_eq!(ccs.key(&mut [0; 65]), Some(authentication_key(&public)));
        for cut in 0..encoding.len() {
            assert!(Ccs::read(&encoding[..cut]).is_err());
        }
    }
}

/// RFC 9529 section 4. Each is refused at the first place that can see it.
///
/// Shows REQ-EDHOC-06.
#[test]
fn invalid_messages_are_refused() {
    let invalid: Vec<_> = VALUES.lines().filter_map(|line| line.strip_prefix("invalid ")).collect();
    assert_eq!(invalid.len(), 15);
    for line in invalid {
        let [kind, bytes, title] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let bytes = unhex(bytes);
        let error = match kind {
            "message_1" => read_1(&bytes),
            "message_2" => read_2(&mut bytes.clone()),
            "PLAINTEXT_2" => read_plaintext_2(bytes),
            other => panic!("{other}"),
        };
        let expected = match title {
            // Both lists are read before the length of a key of a suite we do not have could be known.
            "Error_in_length_of_ephemeral_key" => Error::Suite,
            "Error_in_elliptic_curve_representation" | "Error_in_elliptic_curve_point" | "Curve_point_of_low_order" => {
                Error::PublicKey
            }
            _ => Error::Malformed,
        };
        assert_eq!(error, expected, "{title}");
    }
}

fn read_1(message: &[u8]) -> Error {
    let accept = Accept { methods: &Method::ALL, suites: &Suite::ALL, understood: &[] };
    let read = match Message1::read(message, &accept, &CRYPTO) {
        Err(error) => return error,
        Ok(read) => read,
    };
    let responder = Party::new("R", 0x2b, read.suite(), false, Naming::Kid);
    let ephemeral = responder.ephemeral(read.suite());
    responder.with_own(|own| read.message_2(own, responder.id, ephemeral, &[], &mut [0; 256], &CRYPTO)).unwrap_err()
}

fn await_2() -> initiator::AwaitMessage2 {
    let trace = Trace { run: "2", method: Method::StaticStatic, suite: Suite::Suite2 };
    let connection = ConnectionId::new(&trace.value("C_I")).unwrap();
    let offer = Offer { method: trace.method, suites: &[trace.suite], selected: trace.suite, connection, ead: &[] };
    initiator::danger_started(&offer, trace.ephemeral("X", "G_X"), &trace.value("message_1"), &CRYPTO)
}

fn read_2(message: &mut [u8]) -> Error {
    await_2().read(message, &[], &CRYPTO).unwrap_err().error
}

fn read_plaintext_2(plaintext: Vec<u8>) -> Error {
    read_2(&mut refusals::message_2_of(&plaintext, &value("2", "message_1"), &secret("2", "Y")))
}

/// The helper that encrypts plaintexts is right: the valid plaintext gives the valid message.
#[test]
fn a_plaintext_is_encrypted_as_in_the_second_trace() {
    let plaintext = unhex("2732480943305c899f5c54");
    let message = refusals::message_2_of(&plaintext, &value("2", "message_1"), &secret("2", "Y"));
    assert_eq!(message, value("2", "message_2"));
}
