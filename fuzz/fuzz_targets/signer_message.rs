//! What the signer is asked over its socket, what it answers, and the bytes it is asked to sign.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_authority::signer::{
    Answer, KeyLabel, KeyRole, Kind, Request, check, decode_answer, decode_request, encode_answer,
};

fuzz_target!(|data: &[u8]| {
    if let Ok(Request::Sign(_, _, bytes)) = decode_request(data) {
        assert!(bytes.len() < data.len());
    }
    match decode_answer(data) {
        // Who gives no reason is written to have given none.
        Ok(Answer::Refused(reason) | Answer::Failed(reason)) if reason.is_empty() => {}
        Ok(answer) => assert_eq!(encode_answer(&answer), data, "one encoding"),
        Err(_) => {}
    }
    // Without the frame too, so that the input need not find it. No bytes are two kinds of things.
    for key in KeyRole::ALL.map(KeyLabel::first) {
        let kinds = Kind::ALL.into_iter().filter(|kind| check(key, *kind, data).is_ok()).count();
        assert!(kinds <= 1, "{kinds} kinds for the {key} key");
    }
});
