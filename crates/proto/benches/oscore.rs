//! How long a protected message takes: 100 bytes of payload, with the pure-Rust provider.
//!
//! `cargo bench -p medlock-proto --bench oscore`. One iteration is one message, protected at one end and opened at the
//! other.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use medlock_proto::coap::{Code, Message, MessageId, Token, Type, Writer, option};
use medlock_proto::oscore::{Aead, Id, MAX_OVERHEAD, Parameters, Received, Replay, SecurityContext, SenderSequence};
use medlock_proto::oscore::{Incoming, MAX_SEALED};
use medlock_rustcrypto::RustCrypto;

fn main() {
    divan::main();
}

/// A context protects [`MAX_SEALED`] messages; so both ends are made anew when it is used up, and that counts too.
struct Pair {
    client: SecurityContext,
    server: SecurityContext,
    left: u64,
}

impl Pair {
    fn new() -> Self {
        Self { client: end(b"c", b"s"), server: end(b"s", b"c"), left: MAX_SEALED / 2 - 1 }
    }

    fn ready(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            *self = Self::new();
        }
    }
}

fn end(own: &[u8], peer: &[u8]) -> SecurityContext {
    let parameters = Parameters {
        master_secret: &[1; 16],
        master_salt: &[2; 8],
        sender: Id::new(own).expect("short"),
        recipient: Id::new(peer).expect("short"),
        id_context: None,
        aead: Aead::Ccm64,
    };
    SecurityContext::derive(&parameters, SenderSequence::in_memory(), Replay::NoneYet, &RustCrypto)
        .expect("they differ")
}

fn message(code: Code, out: &mut [u8]) -> &[u8] {
    let mut writer = Writer::new(out, Type::NonConfirmable, code, MessageId(1), Token::from([3; 8]));
    if code.is_request() {
        writer.path(&["m", "readings"]);
    }
    writer.uint(option::CONTENT_FORMAT, 60).payload(&[7; 100]).finish().expect("it fits")
}

/// A request: protect, open.
#[divan::bench]
fn request_of_100_bytes(bencher: Bencher<'_, '_>) {
    let mut buffer = [0; 200];
    let plain = Message::read(message(Code::POST, &mut buffer)).expect("it was written");
    let mut pair = Pair::new();
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        pair.ready();
        let (mut datagram, mut opened) = ([0; 200 + MAX_OVERHEAD], [0; 200 + MAX_OVERHEAD]);
        let (sent, _) = pair.client.protect_request(black_box(&plain), &mut datagram, &RustCrypto).expect("it can");
        let length = sent.len();
        let incoming = pair.server.unprotect_request(&mut datagram[..length], &mut opened, &RustCrypto);
        assert!(matches!(black_box(incoming), Ok(Incoming::Fresh(..))));
    });
}

/// A request and its response: protect, open, protect, open.
#[divan::bench]
fn request_and_response_of_100_bytes(bencher: Bencher<'_, '_>) {
    let (mut asked, mut answered) = ([0; 200], [0; 200]);
    let request = Message::read(message(Code::POST, &mut asked)).expect("it was written");
    let response = Message::read(message(Code::CONTENT, &mut answered)).expect("it was written");
    let mut pair = Pair::new();
    bencher.counter(ItemsCount::new(2_usize)).bench_local(|| {
        pair.ready();
        let (mut datagram, mut opened) = ([0; 200 + MAX_OVERHEAD], [0; 200 + MAX_OVERHEAD]);
        let (bytes, mut sent) = pair.client.protect_request(&request, &mut datagram, &RustCrypto).expect("it can");
        let length = bytes.len();
        let mut received: Received =
            match pair.server.unprotect_request(&mut datagram[..length], &mut opened, &RustCrypto) {
                Ok(Incoming::Fresh(_, received)) => received,
                other => panic!("{other:?}"),
            };
        let bytes = pair.server.protect_response(&mut received, &response, &mut datagram, &RustCrypto);
        let length = bytes.expect("it can").len();
        let opened = pair.client.unprotect_response(&mut sent, &mut datagram[..length], &mut opened, &RustCrypto);
        assert!(black_box(opened).is_ok());
    });
}

/// A forged request of the same size: what it costs to refuse it.
#[divan::bench]
fn forged_request_of_100_bytes(bencher: Bencher<'_, '_>) {
    let mut buffer = [0; 200];
    let plain = Message::read(message(Code::POST, &mut buffer)).expect("it was written");
    let mut datagram = [0; 200 + MAX_OVERHEAD];
    let (sent, _) = end(b"c", b"s").protect_request(&plain, &mut datagram, &RustCrypto).expect("it can");
    let length = sent.len();
    datagram[length - 1] ^= 1;
    let mut server = end(b"s", b"c");
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        if server.is_lost() {
            server = end(b"s", b"c");
        }
        let (mut copy, mut opened) = (datagram, [0; 200 + MAX_OVERHEAD]);
        assert!(server.unprotect_request(&mut copy[..length], &mut opened, &RustCrypto).is_err());
    });
}
