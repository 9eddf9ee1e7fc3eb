//! CoAP messages, option by option and as properties; Echo stamps; notification numbers.

use crate::hex::hex;
use medlock_proto::coap::{
    Code, Header, Malformed, Message, MessageId, Number, Token, Type, WriteError, Writer, echo, observe, option,
    refuse, repeat_with,
};
use medlock_proto::crypto::Secret;
use medlock_rustcrypto::RustCrypto;
use proptest::collection::vec;
use proptest::prelude::*;

fn read(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    Message::read(bytes)
}

/// RFC 7252 appendix A, figures 16 to 18. Shows REQ-COAP-01.
#[test]
fn the_examples_of_rfc_7252() {
    let request = hex("40017d34 bb74656d7065726174757265");
    let message = read(&request).unwrap();
    assert_eq!((message.kind(), message.code(), message.id()), (Type::Confirmable, Code::GET, MessageId(0x7d34)));
    assert!(message.path_is(&["temperature"]) && !message.path_is(&["temperature", ""]) && !message.path_is(&[]));
    let mut out = [0; 64];
    let mut writer = Writer::new(&mut out, Type::Confirmable, Code::GET, MessageId(0x7d34), Token::EMPTY);
    assert_eq!(writer.path(&["temperature"]).finish().unwrap(), request);

    let response = hex("60457d34 ff 32322e332043");
    let message = read(&response).unwrap();
    assert_eq!(
        (message.kind(), message.code(), message.payload()),
        (Type::Acknowledgement, Code::CONTENT, &b"22.3 C"[..])
    );

    let with_token = hex("41017d35 20 bb74656d7065726174757265");
    assert_eq!(read(&with_token).unwrap().token(), Token::new(&[0x20]).unwrap());
}

/// RFC 7252 sections 3, 3.1, 4.1, 4.2. Shows REQ-COAP-01.
#[test]
fn what_is_no_message_is_refused_as_the_standard_says() {
    let cases = [
        ("", Malformed::Header, None),
        ("400100", Malformed::Header, None),
        ("80010001", Malformed::Version, None),
        ("00010001", Malformed::Version, None),
        ("40200001", Malformed::Code, Some("70000001")),
        ("40e10001", Malformed::Code, Some("70000001")),
        ("49010001000000000000000000", Malformed::Token, Some("70000001")),
        ("4f010001", Malformed::Token, Some("70000001")),
        ("4201000100", Malformed::Token, Some("70000001")),
        ("4000000100", Malformed::NotEmpty, Some("70000001")),
        ("41000001", Malformed::NotEmpty, Some("70000001")),
        ("40010001f0", Malformed::Option, Some("70000001")),
        ("400100010f", Malformed::Option, Some("70000001")),
        ("40010001d0", Malformed::Option, Some("70000001")),
        ("40010001e000", Malformed::Option, Some("70000001")),
        ("400100010d", Malformed::Option, Some("70000001")),
        ("40010001b161e0fff3", Malformed::Option, Some("70000001")),
        ("4001000112ff", Malformed::Option, Some("70000001")),
        ("40010001ff", Malformed::NoPayload, Some("70000001")),
        ("50010001ff", Malformed::NoPayload, None),
        ("60450001ff", Malformed::NoPayload, None),
        ("70000001ff", Malformed::NotEmpty, None),
    ];
    for (bytes, problem, answer) in cases {
        let bytes = hex(bytes);
        assert_eq!(read(&bytes).err(), Some(problem), "{bytes:02x?}");
        assert_eq!(refuse(&bytes).map(Vec::from), answer.map(hex), "{bytes:02x?}");
    }
    assert_eq!(Header::read(&hex("4f010001")).unwrap().id, MessageId(1));
}

/// RFC 7252 sections 5.4.1, 5.4.3, 5.4.5. Shows REQ-COAP-02.
#[test]
fn critical_options_are_known_well_formed_and_not_repeated() {
    const KNOWN: &[Number] = &[option::URI_PATH, option::URI_HOST, option::OBSERVE, option::BLOCK2, option::ACCEPT];
    let problem = |options: &[(Number, &[u8])]| {
        let mut out = [0; 400];
        let mut writer = Writer::new(&mut out, Type::NonConfirmable, Code::GET, MessageId(0), Token::EMPTY);
        for (number, value) in options {
            writer.option(*number, value);
        }
        read(writer.finish().unwrap()).unwrap().unrecognized(KNOWN)
    };
    assert_eq!(problem(&[(option::URI_PATH, b"a"), (option::URI_PATH, b"b")]), None);
    assert_eq!(problem(&[(option::IF_MATCH, b"")]), Some(option::IF_MATCH));
    assert_eq!(problem(&[(Number(65_001), b"")]), Some(Number(65_001)));
    // Elective ones are ignored, known or not, well-formed or not.
    assert_eq!(problem(&[(option::OBSERVE, b"12345"), (option::SIZE1, b"1"), (Number(65_000), b"")]), None);
    assert_eq!(problem(&[(option::URI_HOST, b"a"), (option::URI_HOST, b"a")]), Some(option::URI_HOST));
    assert_eq!(problem(&[(option::URI_HOST, b"")]), Some(option::URI_HOST));
    assert_eq!(problem(&[(option::BLOCK2, &[1; 4])]), Some(option::BLOCK2));
    assert_eq!(problem(&[(option::URI_PATH, &[b'a'; 256])]), Some(option::URI_PATH));
    assert_eq!(problem(&[(option::ACCEPT, &[0, 60])]), None);
}

#[test]
fn numbers_say_what_the_registry_says() {
    assert!(option::OSCORE.is_critical() && !option::OSCORE.is_unsafe());
    assert!(option::EDHOC.is_critical() && !option::EDHOC.is_unsafe());
    assert!(option::BLOCK1.is_critical() && option::BLOCK1.is_unsafe());
    assert!(!option::ECHO.is_critical() && !option::REQUEST_TAG.is_critical());
    assert!(!option::OBSERVE.is_critical() && option::OBSERVE.is_unsafe());
}

#[test]
fn a_writer_keeps_its_first_error_and_order() {
    let mut out = [0; 8];
    let mut writer = Writer::new(&mut out, Type::Confirmable, Code::GET, MessageId(0), Token::EMPTY);
    assert_eq!(writer.path(&["abcd"]).uint(option::OBSERVE, 0).finish().err(), Some(WriteError::Full));
    let mut out = [0; 80];
    let mut writer = Writer::new(&mut out, Type::Confirmable, Code::GET, MessageId(0), Token::EMPTY);
    assert_eq!(writer.path(&["a"]).uint(option::OBSERVE, 0).finish().err(), Some(WriteError::Order));
    let mut writer = Writer::new(&mut out, Type::Confirmable, Code::GET, MessageId(0), Token::EMPTY);
    assert_eq!(writer.payload(b"x").path(&["a"]).finish().err(), Some(WriteError::Order));
    let mut writer = Writer::new(&mut out, Type::Confirmable, Code::GET, MessageId(0), Token::EMPTY);
    assert_eq!(writer.payload_with(|_| None).finish().err(), Some(WriteError::Full));
    let mut writer = Writer::new(&mut out, Type::Confirmable, Code::GET, MessageId(0), Token::EMPTY);
    assert_eq!(writer.payload_with(|free| Some(free.len() + 1)).finish().err(), Some(WriteError::Full));
    // Unsigned integers have no zeros in front, zero has no byte.
    let mut writer = Writer::new(&mut out, Type::Confirmable, Code::GET, MessageId(0), Token::EMPTY);
    writer.uint(option::OBSERVE, 0).uint(option::MAX_AGE, 256).uint(option::SIZE1, u32::MAX);
    let message = writer.finish().unwrap();
    let message = read(message).unwrap();
    assert_eq!(message.option(option::OBSERVE), Some(&[][..]));
    assert_eq!(message.option(option::MAX_AGE), Some(&[1, 0][..]));
    assert_eq!((message.uint(option::OBSERVE), message.uint(option::SIZE1)), (Some(0), Some(u32::MAX)));
}

#[test]
fn a_request_is_repeated_with_another_option() {
    let (mut first, mut second, mut third) = ([0; 64], [0; 64], [0; 64]);
    let mut writer = Writer::new(&mut first, Type::Confirmable, Code::POST, MessageId(1), Token::EMPTY);
    writer.path(&["m", "lease"]).uint(option::NO_RESPONSE, 2).payload(b"body");
    let request = read(writer.finish().unwrap()).unwrap();
    let token = Token::from([7; 8]);
    let again = repeat_with(&request, MessageId(2), token, (option::ECHO, b"old"), &mut second).unwrap();
    let again = repeat_with(&read(again).unwrap(), MessageId(3), token, (option::ECHO, b"new"), &mut third).unwrap();
    let again = read(again).unwrap();
    assert_eq!((again.id(), again.token(), again.payload()), (MessageId(3), token, &b"body"[..]));
    assert!(again.path_is(&["m", "lease"]));
    let echoes: Vec<_> = again.options().filter(|(number, _)| *number == option::ECHO).collect();
    assert_eq!(echoes, [(option::ECHO, &b"new"[..])]);
    assert_eq!(again.uint(option::NO_RESPONSE), Some(2));
}

/// RFC 9175 section 2. Shows REQ-COAP-08.
#[test]
fn a_stamp_is_good_for_its_peer_and_a_while() {
    let key = Secret::from_bytes([3; 32]);
    let stamp = echo::stamp(&key, b"[::1]:5683", 1_000_000, &RustCrypto);
    let fresh = |peer: &[u8], value: &[u8], now| echo::is_fresh(&key, peer, value, now, 30_000, &RustCrypto);
    assert!(fresh(b"[::1]:5683", &stamp, 1_000_000) && fresh(b"[::1]:5683", &stamp, 1_030_000));
    assert!(!fresh(b"[::1]:5683", &stamp, 1_030_001), "too old");
    assert!(!fresh(b"[::1]:5683", &stamp, 999_999), "of the future");
    assert!(!fresh(b"[::1]:5684", &stamp, 1_000_000), "of another");
    assert!(!echo::is_fresh(&Secret::from_bytes([4; 32]), b"[::1]:5683", &stamp, 1_000_000, 30_000, &RustCrypto));
    for length in 0..stamp.len() {
        assert!(!fresh(b"[::1]:5683", &stamp[..length], 1_000_000));
        let mut changed = stamp;
        changed[length] ^= 1;
        assert!(!fresh(b"[::1]:5683", &changed, 1_000_000));
    }
}

/// RFC 7641 section 3.4. Shows REQ-COAP-07.
#[test]
fn newer_notifications_win_and_old_ones_do_not() {
    assert!(observe::is_newer(0, 1) && !observe::is_newer(1, 0) && !observe::is_newer(5, 5));
    assert!(observe::is_newer(0xff_ffff, 0) && !observe::is_newer(0, 0xff_ffff));
    assert!(observe::is_newer(0, (1 << 23) - 1) && !observe::is_newer(0, 1 << 23));
    let mut newest = observe::Newest::new();
    assert!(newest.accept(10, 0) && !newest.accept(9, 1) && !newest.accept(10, 1) && newest.accept(11, 2));
    // After 128 seconds the number says nothing any more.
    assert!(!newest.accept(3, 128_002) && newest.accept(3, 128_003));
}

/// RFC 7641 sections 4.4, 4.5. Shows REQ-COAP-07.
#[test]
fn notifications_are_numbered_upwards_and_confirmed_in_time() {
    let mut observer = observe::Observer::new(Token::EMPTY, 0xff_fff0);
    let mut newest = observe::Newest::new();
    let mut confirmable = 0;
    for step in 0..1_000_u64 {
        // Two notifications in each millisecond, across the end of the numbers.
        let now = 0xff_fff0 + step / 2;
        let (number, kind) = observer.notify(now, 100);
        assert!(number < 1 << 24 && newest.accept(number, now), "step {step}");
        if kind == Type::Confirmable {
            confirmable += 1;
            observer.acknowledged(now);
        }
    }
    assert_eq!(confirmable, 4);
    let (_, kind) = observer.notify(0xff_fff0 + 400 + 86_400_000, u64::MAX);
    assert_eq!(kind, Type::Confirmable, "at the latest after 24 hours");
}

prop_compose! {
    fn options()(mut options in vec((any::<u16>(), vec(any::<u8>(), 0..300)), 0..8)) -> Vec<(u16, Vec<u8>)> {
        options.sort_by_key(|(number, _)| *number);
        options
    }
}

proptest! {
    /// Shows REQ-COAP-01.
    #[test]
    fn what_is_written_is_read(
        kind in 0_u8..4, code in prop_oneof![1_u8..=31, 0x40_u8..=0x5f, 0x80_u8..=0xbf], id: u16,
        token in vec(any::<u8>(), 0..=8), options in options(), payload in vec(any::<u8>(), 0..200),
    ) {
        let kind = [Type::Confirmable, Type::NonConfirmable, Type::Acknowledgement, Type::Reset][usize::from(kind)];
        let mut out = [0; 4_000];
        let token = Token::new(&token).unwrap();
        let mut writer = Writer::new(&mut out, kind, Code::from_byte(code), MessageId(id), token);
        for (number, value) in &options {
            writer.option(Number(*number), value);
        }
        let bytes = writer.payload(&payload).finish().unwrap().to_vec();
        let message = Message::read(&bytes).unwrap();
        prop_assert_eq!((message.kind(), message.code().byte(), message.id()), (kind, code, MessageId(id)));
        prop_assert_eq!((message.token(), message.payload()), (token, &payload[..]));
        let found: Vec<_> = message.options().map(|(number, value)| (number.0, value.to_vec())).collect();
        prop_assert_eq!(found, options);
        // Too small a buffer is an error, never a part of a message.
        for length in 0..bytes.len() {
            let mut writer = Writer::new(&mut out[..length], kind, Code::from_byte(code), MessageId(id), token);
            for (number, value) in message.options() {
                writer.option(number, value);
            }
            prop_assert_eq!(writer.payload(&payload).finish().err(), Some(WriteError::Full));
        }
    }

    /// Whatever is read has no second encoding. Shows REQ-COAP-01.
    #[test]
    fn what_is_read_is_written_again(
        first in 0x40_u8..0x80, code: u8, rest in vec(prop_oneof![any::<u8>(), Just(0xff), Just(0xd1), Just(0x11)], 0..60),
    ) {
        let bytes = [&[first, code, 1, 2], &rest[..]].concat();
        if let Ok(message) = Message::read(&bytes) {
            let mut out = [0; 80];
            let mut writer = Writer::new(&mut out, message.kind(), message.code(), message.id(), message.token());
            for (number, value) in message.options() {
                writer.option(number, value);
            }
            prop_assert_eq!(writer.payload(message.payload()).finish().unwrap(), &bytes[..]);
        }
    }
}
