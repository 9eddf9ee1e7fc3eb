//! OSCORE from both ends: what is hidden, what is refused, and that a refusal changes nothing.

use crate::hex::hex;
use medlock_proto::coap::{Code, Message, MessageId, Number, Token, Type, Writer, option};
use medlock_proto::crypto::Crypto as _;
use medlock_proto::oscore::{
    Aead, Compressed, Error, Id, Incoming, MAX_OVERHEAD, MAX_SEALED, Parameters, Received, Replay, SecurityContext,
    SenderSequence, Sent, reject,
};
use medlock_rustcrypto::RustCrypto;
use proptest::collection::vec;
use proptest::prelude::*;

const CLIENT: &[u8] = b"c";
const SERVER: &[u8] = b"srv";

pub(crate) fn end(aead: Aead, own: &[u8], peer: &[u8], sequence: SenderSequence, replay: Replay) -> SecurityContext {
    let parameters = Parameters {
        master_secret: &[0x11; 16],
        master_salt: &[0x22; 8],
        sender: Id::new(own).unwrap(),
        recipient: Id::new(peer).unwrap(),
        id_context: None,
        aead,
    };
    SecurityContext::derive(&parameters, sequence, replay, &RustCrypto).unwrap()
}

fn pair(aead: Aead) -> (SecurityContext, SecurityContext) {
    let numbers = SenderSequence::in_memory;
    (end(aead, CLIENT, SERVER, numbers(), Replay::NoneYet), end(aead, SERVER, CLIENT, numbers(), Replay::NoneYet))
}

pub(crate) fn plain(code: Code, options: &[(Number, &[u8])], payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 3_000];
    let mut writer = Writer::new(&mut out, Type::Confirmable, code, MessageId(0x1234), Token::from([5; 8]));
    for (number, value) in options {
        writer.option(*number, value);
    }
    writer.payload(payload).finish().unwrap().to_vec()
}

pub(crate) fn ask(client: &mut SecurityContext, plain: &[u8]) -> (Vec<u8>, Sent) {
    let mut out = vec![0; plain.len() + MAX_OVERHEAD];
    let (bytes, sent) = client.protect_request(&Message::read(plain).unwrap(), &mut out, &RustCrypto).unwrap();
    (bytes.to_vec(), sent)
}

pub(crate) fn receive(server: &mut SecurityContext, datagram: &[u8]) -> Result<(Vec<u8>, Received), Error> {
    let (mut datagram, mut out) = (datagram.to_vec(), vec![0; datagram.len()]);
    match server.unprotect_request(&mut datagram, &mut out, &RustCrypto)? {
        Incoming::Fresh(message, received) => Ok((message.as_bytes().to_vec(), received)),
        Incoming::Unfresh(_) => panic!("the window is known"),
    }
}

pub(crate) fn answer(server: &mut SecurityContext, to: &mut Received, plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0; plain.len() + MAX_OVERHEAD];
    server.protect_response(to, &Message::read(plain).unwrap(), &mut out, &RustCrypto).unwrap().to_vec()
}

pub(crate) fn hear(client: &mut SecurityContext, to: &mut Sent, datagram: &[u8]) -> Result<Vec<u8>, Error> {
    let (mut datagram, mut out) = (datagram.to_vec(), vec![0; datagram.len()]);
    let (message, _) = client.unprotect_response(to, &mut datagram, &mut out, &RustCrypto)?;
    Ok(message.as_bytes().to_vec())
}

fn number_of(datagram: &[u8]) -> Option<u64> {
    Compressed::of(&Message::read(datagram).unwrap()).unwrap().partial_iv
}

/// RFC 8613 figure 5, sections 4.1, 4.2. Shows REQ-OSC-07.
#[test]
fn what_devices_say_is_inside_and_what_proxies_need_is_outside() {
    let (mut client, mut server) = pair(Aead::Ccm64);
    let options: &[(Number, &[u8])] = &[
        (option::IF_MATCH, b"tag"),
        (option::URI_HOST, b"pump.example"),
        (option::URI_PORT, &[0x16, 0x33]),
        (option::URI_PATH, b"command"),
        (option::CONTENT_FORMAT, &[60]),
        (option::URI_QUERY, b"a=b"),
        (option::HOP_LIMIT, &[9]),
        (option::ACCEPT, &[60]),
        (option::EDHOC, b""),
        (option::BLOCK1, &[0x08]),
        (option::PROXY_SCHEME, b"coap"),
        (option::SIZE1, &[100]),
        (option::ECHO, b"12345678"),
        (option::NO_RESPONSE, &[2]),
        (option::REQUEST_TAG, b"t"),
        (Number(65_000), b"of tomorrow"),
    ];
    let request = plain(Code::PUT, options, b"dose");
    let (datagram, mut sent) = ask(&mut client, &request);
    let outer = Message::read(&datagram).unwrap();
    let outside: Vec<u16> = outer.options().map(|(number, _)| number.0).collect();
    assert_eq!(outside, [3, 7, 9, 16, 21, 39]);
    assert_eq!((outer.code(), outer.id(), outer.token()), (Code::POST, MessageId(0x1234), Token::from([5; 8])));
    for secret in [&b"command"[..], b"dose", b"of tomorrow", b"12345678"] {
        assert!(!datagram.windows(secret.len()).any(|window| window == secret));
    }
    let (opened, mut received) = receive(&mut server, &datagram).unwrap();
    assert_eq!(opened, request);

    let options: &[(Number, &[u8])] =
        &[(option::ETAG, b"e"), (option::LOCATION_PATH, b"l"), (option::MAX_AGE, &[7]), (option::BLOCK2, &[0x02])];
    let response = plain(Code::NOT_FOUND, options, b"no");
    let datagram = answer(&mut server, &mut received, &response);
    let outer = Message::read(&datagram).unwrap();
    assert_eq!(outer.options().collect::<Vec<_>>(), [(option::OSCORE, &[][..])]);
    assert_eq!(outer.code(), Code::CHANGED);
    assert_eq!(hear(&mut client, &mut sent, &datagram).unwrap(), response);
    assert!(sent.is_finished());
}

/// RFC 8613 sections 8.2 step 1, 8.4 step 1: class E options outside are dropped. Shows REQ-OSC-07.
#[test]
fn what_somebody_added_outside_is_dropped() {
    let (mut client, mut server) = pair(Aead::Ccm64);
    let request = plain(Code::GET, &[(option::URI_PATH, b"state")], b"");
    let (datagram, _) = ask(&mut client, &request);
    let outer = Message::read(&datagram).unwrap();
    let mut out = [0; 200];
    let mut writer = Writer::new(&mut out, outer.kind(), Code::FETCH, outer.id(), outer.token());
    writer
        .option(option::IF_MATCH, b"x")
        .uint(option::OBSERVE, 0)
        .option(option::OSCORE, outer.option(option::OSCORE).unwrap());
    writer.option(option::URI_PATH, b"other").option(option::NO_RESPONSE, &[26]).option(Number(3_000), b"y");
    let changed = writer.payload(outer.payload()).finish().unwrap();
    assert_eq!(receive(&mut server, changed).unwrap().0, request);
}

/// RFC 8613 sections 4.1.3.5, 7.4.1. Shows REQ-OSC-06.
#[test]
fn notifications_are_ordered_by_number_and_come_once() {
    let (mut client, mut server) = pair(Aead::Ccm64);
    let request = plain(Code::GET, &[(option::OBSERVE, b""), (option::URI_PATH, b"readings")], b"");
    let (datagram, mut sent) = ask(&mut client, &request);
    let outer = Message::read(&datagram).unwrap();
    assert_eq!((outer.code(), outer.option(option::OBSERVE)), (Code::FETCH, Some(&[][..])));
    let (opened, mut received) = receive(&mut server, &datagram).unwrap();
    assert_eq!(opened, request);

    let notify = |server: &mut SecurityContext, received: &mut Received, value: u8| {
        answer(server, received, &plain(Code::CONTENT, &[(option::OBSERVE, &[1, 2, value])], &[value]))
    };
    let all: Vec<_> = (0..6).map(|value| notify(&mut server, &mut received, value)).collect();
    let numbers: Vec<_> = all.iter().map(|datagram| number_of(datagram).unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    let outer = Message::read(&all[1]).unwrap();
    assert_eq!((outer.code(), outer.option(option::OBSERVE)), (Code::CONTENT, Some(&[1, 2, 1][..])));

    assert_eq!(outer.payload().len(), 4 + 8, "code, an empty Observe, marker, value; tag");

    let opened = hear(&mut client, &mut sent, &all[1]).unwrap();
    let message = Message::read(&opened).unwrap();
    assert_eq!((message.uint(option::OBSERVE), message.payload()), (Some(1), &[1][..]), "ordered by its number");
    assert_eq!(hear(&mut client, &mut sent, &all[1]).unwrap_err(), Error::Replayed);
    assert_eq!(hear(&mut client, &mut sent, &all[0]).unwrap_err(), Error::Replayed, "older than what is known");
    hear(&mut client, &mut sent, &all[4]).unwrap();
    assert_eq!(hear(&mut client, &mut sent, &all[3]).unwrap_err(), Error::Replayed);
    assert!(!sent.is_finished());

    // The end of the observation; nothing comes after it.
    let last = answer(&mut server, &mut received, &plain(Code::NOT_FOUND, &[], b""));
    assert_eq!(number_of(&last), None, "the request's nonce was free until now");
    assert_eq!(hear(&mut client, &mut sent, &last).unwrap_err(), Error::Replayed, "it would be the oldest");
    let last = answer(&mut server, &mut received, &plain(Code::NOT_FOUND, &[], b""));
    assert_eq!(number_of(&last), Some(6));
    hear(&mut client, &mut sent, &last).unwrap();
    assert!(sent.is_finished());
    assert_eq!(hear(&mut client, &mut sent, &all[5]).unwrap_err(), Error::Unasked);
}

/// RFC 8613 section 8.4. Shows REQ-OSC-06.
#[test]
fn a_response_fits_one_request_once() {
    let (mut client, mut server) = pair(Aead::Ccm64);
    let request = plain(Code::GET, &[(option::URI_PATH, b"state")], b"");
    let (first, mut sent_first) = ask(&mut client, &request);
    let (second, mut sent_second) = ask(&mut client, &request);
    let (_, mut received_first) = receive(&mut server, &first).unwrap();
    let (_, mut received_second) = receive(&mut server, &second).unwrap();
    let response = plain(Code::CONTENT, &[], b"reservoir 120");
    let to_first = answer(&mut server, &mut received_first, &response);
    let to_second = answer(&mut server, &mut received_second, &response);
    assert_eq!(hear(&mut client, &mut sent_second, &to_first).unwrap_err(), Error::Forged);
    assert_eq!(hear(&mut client, &mut sent_first, &to_second).unwrap_err(), Error::Forged);
    assert_eq!(hear(&mut client, &mut sent_first, &to_first).unwrap(), response);
    assert_eq!(hear(&mut client, &mut sent_first, &to_first).unwrap_err(), Error::Unasked);
    // A second response never uses the request's nonce again.
    let again = answer(&mut server, &mut received_second, &response);
    assert_eq!((number_of(&to_second), number_of(&again)), (None, Some(0)));
    // Nobody asked for notifications.
    let notification = plain(Code::CONTENT, &[(option::OBSERVE, &[1])], b"x");
    let notification = answer(&mut server, &mut received_second, &notification);
    assert_eq!(hear(&mut client, &mut sent_second, &notification).unwrap_err(), Error::Unasked);
    assert_eq!(
        hear(&mut client, &mut sent_second, &to_second).unwrap(),
        response,
        "and the answer is still waited for"
    );
    // A request is no response, and none is opened as the other.
    assert_eq!(hear(&mut client, &mut sent_second, &first).unwrap_err(), Error::Malformed);
    assert_eq!(receive(&mut server, &to_second).unwrap_err(), Error::Malformed);
    // Mirrored to its sender, a request does not open.
    assert_eq!(receive(&mut client, &first).unwrap_err(), Error::UnknownContext);
}

/// Each byte that is protected, changed in each bit; each length. Shows REQ-OSC-02.
#[test]
fn a_changed_byte_is_refused_and_changes_nothing() {
    for aead in [Aead::Ccm64, Aead::Ccm128] {
        let (mut client, mut server) = pair(aead);
        // The window is not empty, so that a change of it would be seen.
        let (before, _) = ask(&mut client, &plain(Code::GET, &[], b""));
        receive(&mut server, &before).unwrap();
        let request = plain(Code::POST, &[(option::URI_PATH, b"lease")], b"epoch 7");
        let (datagram, mut sent) = ask(&mut client, &request);
        let from = 12;
        let expected = |error: Error| {
            let known = [
                Error::Forged,
                Error::Malformed,
                Error::UnknownContext,
                Error::Replayed,
                Error::Unprotected,
                Error::OuterBlock,
            ];
            assert!(known.contains(&error), "{error}");
        };
        let context = format!("{server:?}");
        for place in from..datagram.len() {
            for bit in 0..8 {
                let mut changed = datagram.clone();
                changed[place] ^= 1 << bit;
                expected(receive(&mut server, &changed).unwrap_err());
            }
        }
        for length in 0..datagram.len() {
            expected(receive(&mut server, &datagram[..length]).unwrap_err());
        }
        assert_eq!(format!("{server:?}"), context);
        assert_eq!(receive(&mut server, &before).unwrap_err(), Error::Replayed);
        let (opened, mut received) = receive(&mut server, &datagram).unwrap();
        assert_eq!(opened, request);

        let response = plain(Code::CHANGED, &[], b"held until 12");
        let datagram = answer(&mut server, &mut received, &response);
        for place in from..datagram.len() {
            for bit in 0..8 {
                let mut changed = datagram.clone();
                changed[place] ^= 1 << bit;
                expected(hear(&mut client, &mut sent, &changed).unwrap_err());
            }
        }
        for length in 0..datagram.len() {
            expected(hear(&mut client, &mut sent, &datagram[..length]).unwrap_err());
        }
        assert_eq!(hear(&mut client, &mut sent, &datagram).unwrap(), response);
    }
}

/// RFC 8613 sections 3.2.2, 7.4. Shows REQ-OSC-03.
#[test]
fn replays_are_refused_and_other_orders_accepted() {
    let (mut client, mut server) = pair(Aead::Ccm64);
    let request = plain(Code::POST, &[], b"x");
    let all: Vec<_> = (0..200).map(|_| ask(&mut client, &request).0).collect();
    let mut accept = |number: usize| receive(&mut server, &all[number]).map(|_| ());
    for number in [3, 0, 2, 1, 66, 5, 4, 65] {
        accept(number).unwrap();
        assert_eq!(accept(number).unwrap_err(), Error::Replayed, "{number}");
    }
    assert_eq!(accept(2).unwrap_err(), Error::Replayed);
    accept(6).unwrap();
    accept(199).unwrap();
    for number in 0..136 {
        assert_eq!(accept(number).unwrap_err(), Error::Replayed, "{number} came or is below the window");
    }
    for number in (136..199).rev() {
        accept(number).unwrap();
    }
    for number in 0..200 {
        assert_eq!(accept(number).unwrap_err(), Error::Replayed);
    }
}

/// An authentic message without meaning is not opened twice either. Shows REQ-OSC-03.
#[test]
fn a_message_that_is_authentic_and_malformed_counts_as_received() {
    // The keys of RFC 8613 appendix C.1.
    let parameters = Parameters {
        master_secret: &hex("0102030405060708090a0b0c0d0e0f10"),
        master_salt: &hex("9e7ca92223786340"),
        sender: Id::new(&[1]).unwrap(),
        recipient: Id::new(&[]).unwrap(),
        id_context: None,
        aead: Aead::Ccm64,
    };
    let key = hex("f0910ed7295e6ad4b54fc793154302ff").try_into().unwrap();
    let nonce = hex("4622d4dd6d944168eefb54987c").try_into().unwrap();
    let aad = hex("8368456e63727970743040488501810a40410040");
    let sealed = |text: &[u8]| {
        let (mut text, mut tag) = (text.to_vec(), [0; 8]);
        RustCrypto.ccm_seal(&key, &nonce, &[&aad], &mut text, &mut tag);
        [&hex("40020001920900ff")[..], &text, &tag].concat()
    };
    let server =
        || SecurityContext::derive(&parameters, SenderSequence::in_memory(), Replay::NoneYet, &RustCrypto).unwrap();
    assert!(receive(&mut server(), &sealed(b"\x01")).is_ok());
    // No option, no payload behind the marker, a response, an empty code, OSCORE in OSCORE.
    for text in [&b"\x01\xf0"[..], b"\x01\xff", b"\x45", b"\x00", b"\x01\x90"] {
        let mut server = server();
        assert_eq!(receive(&mut server, &sealed(text)).unwrap_err(), Error::Malformed, "{text:02x?}");
        assert_eq!(receive(&mut server, &sealed(text)).unwrap_err(), Error::Replayed, "{text:02x?}");
    }
}

/// RFC 8613 section 6.1. Shows REQ-OSC-11.
#[test]
fn options_that_are_malformed_or_written_otherwise_are_refused() {
    for good in
        ["", "0100", "05ffffffffff", "08", "0804", "0914", "091425", "1a0102 0237cb 01", "110000", "1900 01aa 05"]
    {
        let value = hex(good);
        let mut out = [0; 300];
        match Compressed::read(&value) {
            Ok(read) => assert_eq!(read.write(&mut out).unwrap(), value),
            Err(error) => panic!("{good}: {error}"),
        }
    }
    // Zero flags, reserved bits, reserved lengths, zeros in front, cut off, bytes without kid, context cut off.
    for bad in
        ["00", "20", "40", "80", "06010203040506", "0701020304050607", "020001", "0201", "010005", "10", "1003aabb"]
    {
        assert_eq!(Compressed::read(&hex(bad)), Err(Error::Malformed), "{bad}");
    }
    let too_large = Compressed { partial_iv: Some(1 << 40), kid_context: None, kid: None };
    assert_eq!(too_large.write(&mut [0; 20]), Err(Error::Parameters));
}

/// RFC 8613 sections 2, 4.1.3.3, 4.1.3.4.2, 4.1.3.7, 8.2. Shows REQ-OSC-09.
#[test]
fn what_does_not_fit_has_its_error_and_its_answer() {
    let (mut client, mut server) = pair(Aead::Ccm64);
    let request = plain(Code::GET, &[], b"");
    let (datagram, _) = ask(&mut client, &request);
    let outer = Message::read(&datagram).unwrap();
    let with = |options: &[(Number, &[u8])], payload: &[u8]| plain(Code::POST, options, payload);
    let value = outer.option(option::OSCORE).unwrap();
    let cases = [
        (with(&[], outer.payload()), Error::Unprotected, Some((Code::UNAUTHORIZED, ""))),
        (with(&[(option::OSCORE, value)], b""), Error::Malformed, Some((Code::BAD_OPTION, "Failed to decode COSE"))),
        (with(&[(option::OSCORE, &[0x20])], b"x"), Error::Malformed, Some((Code::BAD_OPTION, "Failed to decode COSE"))),
        (
            with(&[(option::OSCORE, value), (option::OSCORE, value)], outer.payload()),
            Error::Malformed,
            Some((Code::BAD_OPTION, "Failed to decode COSE")),
        ),
        (
            with(&[(option::OSCORE, &[0x01, 0])], b"x"),
            Error::Malformed,
            Some((Code::BAD_OPTION, "Failed to decode COSE")),
        ),
        (
            with(&[(option::OSCORE, b"\x08c")], b"x"),
            Error::Malformed,
            Some((Code::BAD_OPTION, "Failed to decode COSE")),
        ),
        (
            with(&[(option::OSCORE, value)], b"12345678"),
            Error::Malformed,
            Some((Code::BAD_OPTION, "Failed to decode COSE")),
        ),
        (
            with(&[(option::OSCORE, b"\x09\x00x")], outer.payload()),
            Error::UnknownContext,
            Some((Code::UNAUTHORIZED, "Security context not found")),
        ),
        (
            with(&[(option::OSCORE, b"\x19\x00\x01zc")], outer.payload()),
            Error::UnknownContext,
            Some((Code::UNAUTHORIZED, "Security context not found")),
        ),
        (with(&[(option::OSCORE, value)], b"123456789"), Error::Forged, Some((Code::BAD_REQUEST, "Decryption failed"))),
        (with(&[(option::OSCORE, value), (option::BLOCK1, &[0x08])], outer.payload()), Error::OuterBlock, None),
    ];
    for (datagram, error, expected) in cases {
        assert_eq!(receive(&mut server, &datagram).unwrap_err(), error, "{datagram:02x?}");
        let mut out = [0; 100];
        let request = Message::read(&datagram).unwrap();
        let said = reject(&request, error, MessageId(9), &mut out).map(|bytes| {
            let answer = Message::read(bytes).unwrap();
            assert_eq!(
                (answer.kind(), answer.id(), answer.token()),
                (Type::Acknowledgement, request.id(), request.token())
            );
            assert_eq!((answer.option(option::OSCORE), answer.uint(option::MAX_AGE)), (None, Some(0)));
            (answer.code(), String::from_utf8(answer.payload().to_vec()).unwrap())
        });
        assert_eq!(said, expected.map(|(code, text)| (code, text.to_owned())));
    }
    receive(&mut server, &datagram).unwrap();
    assert_eq!(receive(&mut server, &datagram).unwrap_err(), Error::Replayed);
    assert_eq!((Error::Replayed.code(), Error::Replayed.diagnostic()), (Some(Code::UNAUTHORIZED), "Replay detected"));
    // A response is never answered.
    let acknowledgement = [&[0x60][..], &datagram[1..]].concat();
    assert!(reject(&Message::read(&acknowledgement).unwrap(), Error::Forged, MessageId(9), &mut [0; 99]).is_none());

    // What cannot be protected, before a number is used.
    let left = client.left();
    for (code, number) in [(Code::GET, option::OSCORE), (Code::GET, option::PROXY_URI), (Code::CONTENT, option::ETAG)] {
        let request = plain(code, &[(number, b"coap://h")], b"");
        let request = Message::read(&request).unwrap();
        assert_eq!(client.protect_request(&request, &mut [0; 99], &RustCrypto).unwrap_err(), Error::Unprotectable);
    }
    for odd in [&[(option::OBSERVE, &[][..]), (option::OBSERVE, &[])][..], &[(option::OBSERVE, &[0; 4])]] {
        let request = plain(Code::GET, odd, b"");
        let request = Message::read(&request).unwrap();
        assert_eq!(client.protect_request(&request, &mut [0; 99], &RustCrypto).unwrap_err(), Error::Unprotectable);
    }
    assert_eq!(client.left(), left);
    // Buffers that are too small.
    let (mut copy, request) = (ask(&mut client, &request).0, Message::read(&request).unwrap());
    assert_eq!(client.protect_request(&request, &mut [0; 25], &RustCrypto).unwrap_err(), Error::Full);
    let mut small = vec![0; copy.len() - 1];
    assert_eq!(server.unprotect_request(&mut copy.clone(), &mut small, &RustCrypto).unwrap_err(), Error::Full);
    assert!(
        server.unprotect_request(&mut copy, &mut [0; 99], &RustCrypto).is_ok(),
        "it can be opened with a larger one"
    );
    // The same identifier twice would be the same key twice.
    let same = Parameters {
        master_secret: &[1; 16],
        master_salt: &[],
        sender: Id::new(b"a").unwrap(),
        recipient: Id::new(b"a").unwrap(),
        id_context: None,
        aead: Aead::Ccm64,
    };
    let derive = |parameters: &Parameters<'_>| {
        SecurityContext::derive(parameters, SenderSequence::new(), Replay::NoneYet, &RustCrypto).err()
    };
    assert_eq!(derive(&same), Some(Error::Parameters));
    let long = Parameters { recipient: Id::new(b"b").unwrap(), id_context: Some(&[0; 17]), ..same };
    assert_eq!(derive(&long), Some(Error::Parameters));
    assert_eq!(Id::new(&[0; 8]), None);
}

/// draft-ietf-core-oscore-key-limits section 2. Shows REQ-OSC-08.
#[test]
fn a_context_dies_of_too_many_forgeries() {
    let (mut client, mut server) = pair(Aead::Ccm64);
    let (datagram, mut sent) = ask(&mut client, &plain(Code::GET, &[], b""));
    let (_, mut received) = receive(&mut server, &datagram).unwrap();
    let response = plain(Code::CONTENT, &[], b"x");
    let good = answer(&mut server, &mut received, &response);
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    for _ in 1..Aead::Ccm64.max_forgeries() {
        assert_eq!(hear(&mut client, &mut sent, &forged).unwrap_err(), Error::Forged);
    }
    assert!(!client.is_lost());
    assert_eq!(hear(&mut client, &mut sent, &forged).unwrap_err(), Error::Forged);
    assert!(client.is_lost());
    assert_eq!(hear(&mut client, &mut sent, &good).unwrap_err(), Error::ContextLost);
    let request = plain(Code::GET, &[], b"");
    let request = Message::read(&request).unwrap();
    assert_eq!(client.protect_request(&request, &mut [0; 99], &RustCrypto).unwrap_err(), Error::ContextLost);
    assert_eq!(Error::ContextLost.code(), Some(Code::UNAUTHORIZED));
}

/// Shows REQ-OSC-08.
#[test]
fn a_context_ends_when_its_key_was_used_enough() {
    let at = |own, peer, number| {
        let mut sequence = SenderSequence::resume(number);
        let reservation = sequence.reserve(10);
        sequence.stored(reservation);
        end(Aead::Ccm64, own, peer, sequence, Replay::NoneYet)
    };
    let request = plain(Code::GET, &[], b"");
    let mut client = at(CLIENT, SERVER, MAX_SEALED - 1);
    let (last, _) = ask(&mut client, &request);
    let message = Message::read(&request).unwrap();
    assert_eq!(client.protect_request(&message, &mut [0; 99], &RustCrypto).unwrap_err(), Error::ContextLost);
    // The server's answers may use the numbers of the client: they count as well.
    let mut server = at(SERVER, CLIENT, 1);
    let (_, mut received) = receive(&mut server, &last).unwrap();
    let response = plain(Code::CONTENT, &[], b"");
    let message = Message::read(&response).unwrap();
    assert_eq!(
        server.protect_response(&mut received, &message, &mut [0; 99], &RustCrypto).unwrap_err(),
        Error::ContextLost
    );
    // A message may be as long as the limit for its tag, no longer.
    let (mut client, _) = pair(Aead::Ccm64);
    let mut out = [0; 5_000];
    let long = Writer::new(&mut out, Type::Confirmable, Code::GET, MessageId(0), Token::EMPTY)
        .payload(&[0; 4_096])
        .finish()
        .unwrap()
        .to_vec();
    assert_eq!(client.protect_request(&Message::read(&long).unwrap(), &mut out, &RustCrypto).unwrap_err(), Error::Full);
}

#[test]
fn nothing_that_is_printed_shows_a_key() {
    let (client, _) = pair(Aead::Ccm64);
    assert_eq!(
        format!("{client:?}"),
        "SecurityContext { sender: Id(63), recipient: Id(737276), sequence: SenderSequence { next: 0, bound: 1099511627776 }, .. }"
    );
}

#[test]
fn overhead_is_as_small_as_the_standard_allows() {
    let (mut client, mut server) = pair(Aead::Ccm64);
    let request = plain(Code::GET, &[(option::URI_PATH, b"s")], b"");
    let (datagram, _) = ask(&mut client, &request);
    // Option 1 + flags 1 + number 1 + kid 1, marker 1, code 1, tag 8.
    assert_eq!(datagram.len() - request.len(), 14);
    let (_, mut received) = receive(&mut server, &datagram).unwrap();
    let response = plain(Code::CONTENT, &[], b"x");
    // Option 1, code 1, tag 8, and the marker that moves inside 1.
    assert_eq!(answer(&mut server, &mut received, &response).len() - response.len(), 11);
    // The most it can be.
    let parameters = Parameters {
        master_secret: &[1; 16],
        master_salt: &[],
        sender: Id::new(b"1234567").unwrap(),
        recipient: Id::new(b"").unwrap(),
        id_context: Some(&[7; 16]),
        aead: Aead::Ccm128,
    };
    let mut sequence = SenderSequence::resume(MAX_SEALED - 1);
    let reservation = sequence.reserve(1);
    sequence.stored(reservation);
    let mut client = SecurityContext::derive(&parameters, sequence, Replay::NoneYet, &RustCrypto).unwrap();
    let request =
        plain(Code::GET, &[(option::OBSERVE, &[]), (option::URI_PATH, b"s"), (option::HOP_LIMIT, &[1])], b"x");
    let (datagram, _) = ask(&mut client, &request);
    assert!(datagram.len() - request.len() <= MAX_OVERHEAD);
}

prop_compose! {
    /// Options a message may have, in order.
    fn options()(mut options in vec((prop_oneof![1_u16..70, 200_u16..300, any::<u16>()], vec(any::<u8>(), 0..20)), 0..8))
        -> Vec<(u16, Vec<u8>)> {
        options.retain(|(number, _)| !matches!(number, 6 | 9 | 35));
        options.sort_by_key(|(number, _)| *number);
        options
    }
}

proptest! {
    /// Shows REQ-OSC-11.
    #[test]
    fn opened_is_what_was_protected(
        options in options(), payload in vec(any::<u8>(), 0..300), code in 1_u8..8, observe in proptest::option::of(0_u8..2),
        tag in any::<bool>(),
    ) {
        let (mut client, mut server) = pair(if tag { Aead::Ccm64 } else { Aead::Ccm128 });
        let observe = observe.map(|value| if value == 0 { vec![] } else { vec![value] });
        let mut all: Vec<(Number, &[u8])> = options.iter().map(|(number, value)| (Number(*number), &value[..])).collect();
        if let Some(value) = &observe {
            all.push((option::OBSERVE, value));
        }
        all.sort_by_key(|(number, _)| *number);
        let request = plain(Code::new(0, code), &all, &payload);
        let (datagram, mut sent) = ask(&mut client, &request);
        prop_assert!(datagram.len() - request.len() <= MAX_OVERHEAD);
        let cut = all.iter().any(|(number, _)| matches!(number.0, 19 | 23 | 27 | 31));
        let outer = Message::read(&datagram).unwrap();
        prop_assert!(!outer.options().any(|(number, _)| cut && matches!(number.0, 19 | 23 | 27 | 31)));
        let (opened, mut received) = receive(&mut server, &datagram).unwrap();
        prop_assert_eq!(opened, request);

        all.retain(|(number, _)| *number != option::OBSERVE);
        let response = plain(Code::new(2, code), &all, &payload);
        let datagram = answer(&mut server, &mut received, &response);
        prop_assert_eq!(hear(&mut client, &mut sent, &datagram).unwrap(), response);
    }

    /// Shows REQ-OSC-11.
    #[test]
    fn no_bytes_open_or_panic(
        first in prop_oneof![Just(0x40_u8), any::<u8>()], code in prop_oneof![Just(2_u8), Just(0x44), any::<u8>()],
        option in prop_oneof![Just(vec![0x09, 0, b'c']), Just(vec![]), vec(any::<u8>(), 0..12)],
        rest in vec(any::<u8>(), 0..60),
    ) {
        let (mut client, mut server) = pair(Aead::Ccm64);
        let (_, mut sent) = ask(&mut client, &plain(Code::GET, &[], b""));
        let bytes = [&[first, code, 0, 0, 0x90 | option.len() as u8][..], &option, &[0xff], &rest].concat();
        prop_assert!(receive(&mut server, &bytes).is_err());
        prop_assert!(hear(&mut client, &mut sent, &bytes).is_err());
        prop_assert!(!sent.is_finished());
    }

    /// Shows REQ-OSC-11.
    #[test]
    fn an_option_has_one_encoding(value in vec(any::<u8>(), 0..30)) {
        if let Ok(read) = Compressed::read(&value) {
            let mut out = [0; 300];
            prop_assert_eq!(read.write(&mut out).unwrap(), &value[..]);
        }
    }

    /// Shows REQ-OSC-11.
    #[test]
    fn an_option_is_read_as_it_was_written(
        number in proptest::option::of(0_u64..1 << 40), kid in proptest::option::of(vec(any::<u8>(), 0..8)),
        context in proptest::option::of(vec(any::<u8>(), 0..256)),
    ) {
        let written = Compressed { partial_iv: number, kid_context: context.as_deref(), kid: kid.as_deref() };
        let mut out = [0; 300];
        prop_assert_eq!(Compressed::read(written.write(&mut out).unwrap()).unwrap(), written);
    }
}
