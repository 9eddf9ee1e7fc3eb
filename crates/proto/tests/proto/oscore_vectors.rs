//! RFC 8613 appendix C: all test vectors, transcribed from the RFC.

use crate::hex::hex;
use medlock_proto::coap::Message;
use medlock_proto::crypto::Crypto as _;
use medlock_proto::oscore::{Aead, Compressed, Id, Incoming, Parameters, Replay, SecurityContext, SenderSequence};
use medlock_rustcrypto::RustCrypto;

const SECRET: &str = "0102030405060708090a0b0c0d0e0f10";
const SALT: &str = "9e7ca92223786340";
const CONTEXT: &str = "37cbf3210017a2d3";

/// A context of appendix C: what goes in, and whose numbers begin at `first`.
#[derive(Clone, Copy)]
struct Inputs {
    salt: &'static str,
    sender: &'static str,
    recipient: &'static str,
    id_context: Option<&'static str>,
}

impl Inputs {
    const fn reversed(self) -> Self {
        Self { sender: self.recipient, recipient: self.sender, ..self }
    }

    fn derive(self, first: u64, replay: Replay) -> SecurityContext {
        let id_context = self.id_context.map(hex);
        let parameters = Parameters {
            master_secret: &hex(SECRET),
            master_salt: &hex(self.salt),
            sender: Id::new(&hex(self.sender)).unwrap(),
            recipient: Id::new(&hex(self.recipient)).unwrap(),
            id_context: id_context.as_deref(),
            aead: Aead::Ccm64,
        };
        let mut sequence = SenderSequence::resume(first);
        let reservation = sequence.reserve(10);
        sequence.stored(reservation);
        SecurityContext::derive(&parameters, sequence, replay, &RustCrypto).unwrap()
    }
}

const C1: Inputs = Inputs { salt: SALT, sender: "", recipient: "01", id_context: None };
const C2: Inputs = Inputs { salt: "", sender: "00", recipient: "01", id_context: None };
const C3: Inputs = Inputs { salt: SALT, sender: "", recipient: "01", id_context: Some(CONTEXT) };

/// Keys are not shown; so a message is protected with number 0 and opened with the key and nonce the RFC prints.
fn check_derived(inputs: Inputs, sender_key: &str, sender_nonce: &str) {
    let mut context = inputs.derive(0, Replay::NoneYet);
    let plain = hex("44015d1f00003974396c6f63616c686f737483747631");
    let mut out = [0; 64];
    let (protected, _) = context.protect_request(&Message::read(&plain).unwrap(), &mut out, &RustCrypto).unwrap();
    let mut text = Message::read(protected).unwrap().payload().to_vec();
    let tag = text.split_off(text.len() - 8);
    let id = hex(inputs.sender);
    let array = [&[0x85, 1, 0x81, 10, 0x40 | id.len() as u8], &id[..], &[0x41, 0, 0x40]].concat();
    let aad = [&hex("8368456e63727970743040")[..], &[0x40 | array.len() as u8], &array].concat();
    let key = hex(sender_key).try_into().unwrap();
    let nonce = hex(sender_nonce).try_into().unwrap();
    RustCrypto.ccm_open(&key, &nonce, &[&aad], &mut text, &tag).unwrap();
    assert_eq!(text, hex("01b3747631"));
}

/// Shows REQ-OSC-01.
#[test]
fn c1_to_c3_keys_and_nonces() {
    check_derived(C1, "f0910ed7295e6ad4b54fc793154302ff", "4622d4dd6d944168eefb54987c");
    check_derived(C1.reversed(), "ffb14e093c94c9cac9471648b4f98710", "4722d4dd6d944169eefb54987c");
    check_derived(C2, "321b26943253c7ffb6003b0b64d74041", "bf35ae297d2dace910c52e99f9");
    check_derived(C2.reversed(), "e57b5635815177cd679ab4bcec9d7dda", "bf35ae297d2dace810c52e99f9");
    check_derived(C3, "af2a1300a5e95788b356336eeecd2b92", "2ca58fb85ff1b81c0b7181b85e");
    check_derived(C3.reversed(), "e39a0c7c77b43f03b4b39ab9a268699f", "2da58fb85ff1b81d0b7181b85e");
}

fn check_request(inputs: Inputs, plain: &str, option: &str, protected: &str) {
    let (plain, protected) = (hex(plain), hex(protected));
    let mut out = [0; 128];
    let mut client = inputs.derive(20, Replay::NoneYet);
    let (sent, _) = client.protect_request(&Message::read(&plain).unwrap(), &mut out, &RustCrypto).unwrap();
    assert_eq!(sent, protected);
    let read = Compressed::of(&Message::read(sent).unwrap()).unwrap();
    assert_eq!(read, Compressed::read(&hex(option)).unwrap());
    assert_eq!(read.partial_iv, Some(20));

    let mut server = inputs.reversed().derive(0, Replay::NoneYet);
    let mut datagram = protected;
    match server.unprotect_request(&mut datagram, &mut out, &RustCrypto).unwrap() {
        Incoming::Fresh(message, _) => assert_eq!(message.as_bytes(), plain),
        Incoming::Unfresh(_) => panic!("the window is known"),
    }
}

const REQUEST: &str = "44025d1f00003974396c6f63616c686f7374620914ff612f1092f1776f1c1668b3825e";

/// Shows REQ-OSC-01.
#[test]
fn c4_request() {
    check_request(C1, "44015d1f00003974396c6f63616c686f737483747631", "0914", REQUEST);
}

/// Shows REQ-OSC-01.
#[test]
fn c5_request_without_salt() {
    check_request(
        C2,
        "440171c30000b932396c6f63616c686f737483747631",
        "091400",
        "440271c30000b932396c6f63616c686f737463091400ff4ed339a5a379b0b8bc731fffb0",
    );
}

/// Shows REQ-OSC-01.
#[test]
fn c6_request_with_id_context() {
    check_request(
        C3,
        "44012f8eef9bbf7a396c6f63616c686f737483747631",
        "19140837cbf3210017a2d3",
        "44022f8eef9bbf7a396c6f63616c686f73746b19140837cbf3210017a2d3ff72cd7273fd331ac45cffbe55c3",
    );
}

/// A server that lost its window uses a number of its own in responses, as C.8 has it.
fn check_response(replay: Replay, protected: &str) {
    let plain = hex("64455d1f00003974ff48656c6c6f20576f726c6421");
    let protected = hex(protected);
    let mut out = [0; 128];
    let mut server = C1.reversed().derive(0, replay);
    let mut request = hex(REQUEST);
    let mut received = match server.unprotect_request(&mut request, &mut out, &RustCrypto).unwrap() {
        Incoming::Fresh(_, received) | Incoming::Unfresh(received) => received,
    };
    let plain_message = Message::read(&plain).unwrap();
    let sent = server.protect_response(&mut received, &plain_message, &mut out, &RustCrypto).unwrap();
    assert_eq!(sent, protected);

    let mut client = C1.derive(20, Replay::NoneYet);
    let request = hex("44015d1f00003974396c6f63616c686f737483747631");
    let request = Message::read(&request).unwrap();
    let (_, mut sent) = client.protect_request(&request, &mut [0; 128], &RustCrypto).unwrap();
    let mut datagram = protected;
    let (message, _) = client.unprotect_response(&mut sent, &mut datagram, &mut out, &RustCrypto).unwrap();
    assert_eq!(message.as_bytes(), plain);
}

/// Shows REQ-OSC-01.
#[test]
fn c7_response() {
    check_response(Replay::NoneYet, "64445d1f0000397490ffdbaad1e9a7e7b2a813d3c31524378303cdafae119106");
}

/// Shows REQ-OSC-01.
#[test]
fn c8_response_with_partial_iv() {
    check_response(Replay::Lost, "64445d1f00003974920100ff4d4c13669384b67354b2b6175ff4b8658c666a6cf88e");
}
