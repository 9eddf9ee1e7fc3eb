//! The test vectors of docs/sealed-command.md: made here, compared with the file, and opened by a second reading of the
//! standard that shares no code with the crate.
//!
//! `MEDLOCK_WRITE_VECTORS=1 cargo test -p medlock-proto --test proto sealed_vectors` writes the file anew.

use crate::sealed::{CONTROLLER, DEVICE, EPOCH, bolus, keys, link};
use medlock_proto::crypto::Crypto;
use medlock_proto::reading::{Decimal, Evidence, Mdc, Moment, Reading, Special, Value};
use medlock_proto::sealed::{
    Action, Asked, Challenge, Commander, Concentration, MAX_LENGTH, Memory, MilliUnits, Minutes, OpenError, Order,
    Outcome, Percent, Rate, Receipt, Recipient, Refusal, Standing, StateVersion,
};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::decide::Code;
use medlock_trust::{Interval, Time};
use serde_json::{Value as Json, json};

const FILE: &str = include_str!("../vectors/sealed-command.json");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Key and context IV of a direction, as `keys(0)` makes them.
fn material(is_command: bool) -> ([u8; 16], [u8; 13]) {
    let first = if is_command { 0x10 } else { 0x80 };
    let all: Vec<u8> = (first..first + 29).collect();
    (all[..16].try_into().expect("16"), all[16..].try_into().expect("13"))
}

/// Opens a message of known shape by RFC 9052, spelled out.
fn open_by_the_book(message: &[u8], is_command: bool) -> (u64, Vec<u8>, Vec<u8>) {
    let (key, iv) = material(is_command);
    let kid = if is_command { 0x0d } else { 0x0c };
    let head = [0xd0, 0x83, 0x44, 0xa1, 0x01, 0x18, 0x1e, 0xa2, 0x04, 0x41, kid, 0x06];
    let rest = message.strip_prefix(&head).expect("tag, protected header, key identifier, label of the Partial IV");
    let (piv_head, rest) = rest.split_first().expect("a head");
    let (piv, rest) = rest.split_at(usize::from(piv_head - 0x40));
    let sealed = match rest {
        [0x58, length, sealed @ ..] if usize::from(*length) == sealed.len() => sealed,
        [length, sealed @ ..] if usize::from(length - 0x40) == sealed.len() => sealed,
        _ => panic!("no byte string"),
    };
    let mut nonce = iv;
    for (at, byte) in piv.iter().rev().enumerate() {
        nonce[12 - at] ^= byte;
    }
    let name: &[u8] = if is_command { b"medlock-command" } else { b"medlock-receipt" };
    let external = [&[0x83, 0x6f], name, &[0x50], CONTROLLER.as_bytes(), &[0x50], DEVICE.as_bytes()].concat();
    let head: &[u8] = &[0x83, 0x68];
    let length = u8::try_from(external.len()).expect("short");
    let aad = [head, b"Encrypt0", &[0x44, 0xa1, 0x01, 0x18, 0x1e], &[0x58, length], &external].concat();
    let (text, tag) = sealed.split_at(sealed.len() - 16);
    let mut text = text.to_vec();
    RustCrypto.ccm_open(&key, &nonce, &[&aad], &mut text, tag).expect("it opens by the book");
    (piv.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)), text, aad)
}

fn vector(name: &str, meaning: &str, message: &[u8], is_command: bool) -> Json {
    let (number, plaintext, aad) = open_by_the_book(message, is_command);
    json!({
        "name": name, "meaning": meaning, "direction": if is_command { "command" } else { "receipt" },
        "number": number, "enc_structure": hex(&aad), "plaintext": hex(&plaintext), "message": hex(message),
        "bytes": message.len(),
    })
}

fn commands() -> Vec<(&'static str, &'static str, Order)> {
    let (concentration, minutes) = (Concentration::U100, Minutes(30));
    let order = |action| Order { action, evidence: None };
    vec![
        ("bolus", "1.5 IU of U-100, bound 5 IU, with evidence", bolus(1_500)),
        ("bolus-without-evidence", "0.05 IU of U-100, bound 5 IU", Order { evidence: None, ..bolus(50) }),
        (
            "temporary-basal",
            "0.8 IU/h of U-100 for 30 minutes, bound 1 IU",
            order(Action::TemporaryBasal { rate: Rate(800), minutes, concentration, bound: MilliUnits(1_000) }),
        ),
        ("resume", "end a suspension", order(Action::Resume)),
        ("suspend", "nothing for 30 minutes", order(Action::Suspend { minutes })),
        ("reduce", "half of the programme for 30 minutes", order(Action::Reduce { percent: Percent(50), minutes })),
        ("set", "setting 12 to 3", order(Action::Set { setting: 12, value: 3 })),
    ]
}

fn outcomes() -> Vec<(&'static str, &'static str, Outcome, Option<Code>)> {
    let amount = MilliUnits(1_500);
    vec![
        ("started", "begun", Outcome::Started, None),
        ("done", "1.5 IU delivered", Outcome::Done { delivered: amount }, None),
        (
            "done-marked",
            "0.9 IU delivered, allowed with a mark",
            Outcome::Done { delivered: MilliUnits(900) },
            Some(Code::Attended),
        ),
        ("uncertain", "power went: at most 1.5 IU", Outcome::Uncertain { at_most: amount }, None),
        ("refused-limit", "would exceed the window", Outcome::Refused(Refusal::Cumulative), None),
        ("refused-verdict", "the status is stale", Outcome::Refused(Refusal::Denied(Code::StatusStale)), None),
        ("refused-void", "overtaken", Outcome::Refused(Refusal::Voided), None),
    ]
}

fn messages() -> Vec<Json> {
    let mut all = Vec::new();
    let link = link(CONTROLLER, DEVICE);
    let mut recipient = Recipient::new(keys(0), link, EPOCH, 0);
    let mut out = [0; MAX_LENGTH];
    for (at, (name, meaning, order)) in (0_u64..).zip(commands()) {
        // A controller for each: it would not seal the second before it has heard of the first.
        let memory = Memory { next: 1 + 300 * at, ..Memory::default() };
        let mut commander = Commander::new(keys(0), link, EPOCH, memory);
        let mut ask = commander.ask_challenge(&mut out, &RustCrypto).expect("room").to_vec();
        let asked = vector("ask-challenge", "give me a challenge", &ask, true);
        let Ok(Asked::Challenge(request)) = recipient.open(&mut ask, &RustCrypto) else { panic!("asks otherwise") };
        let last = Receipt { counter: 2, outcome: Outcome::Done { delivered: MilliUnits(1_500) }, mark: None };
        let standing = Standing { state: StateVersion(41), floor: 1 + 300 * at, bolus: (at > 0).then_some(last) };
        let drawn = Challenge::from_bytes([0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8]);
        let sealed = recipient.challenge(request, drawn, standing, 0, &mut out, &RustCrypto).expect("room");
        let mut answer = sealed.to_vec();
        if at < 2 {
            all.push(asked);
            let name = ["challenge", "challenge-after-a-bolus"][usize::from(at > 0)];
            all.push(vector(name, "a challenge, and how things stand", &answer, false));
        }
        commander.open(&mut answer, &RustCrypto).expect("authentic");
        let (counter, sealed) = commander.command(order, &mut out, &RustCrypto).expect("ready");
        all.push(vector(name, meaning, sealed, true));
        if at == 0 {
            let asked = commander.ask_receipt(counter, &mut out, &RustCrypto).expect("room");
            all.push(vector("ask-receipt", "what came of the first command?", asked, true));
        }
    }
    for (name, meaning, outcome, mark) in outcomes() {
        let sealed = recipient.receipt(&Receipt { counter: 2, outcome, mark }, &mut out, &RustCrypto).expect("room");
        all.push(vector(name, meaning, sealed, false));
    }
    all
}

/// The first bolus, written in ways that mean the same and are not accepted.
fn refused(messages: &[Json]) -> Vec<(&'static str, Vec<u8>)> {
    let bolus = messages.iter().find(|vector| vector["name"] == "bolus").expect("it is there");
    let good = crate::hex::hex(bolus["message"].as_str().expect("text"));
    let replace = |at: usize, old: &[u8], new: &[u8]| {
        assert_eq!(&good[at..at + old.len()], old);
        [&good[..at], new, &good[at + old.len()..]].concat()
    };
    vec![
        ("no tag", good[1..].to_vec()),
        ("the tag of COSE_Sign1", replace(0, &[0xd0], &[0xd2])),
        ("the tag in two bytes", replace(0, &[0xd0], &[0xd8, 0x10])),
        ("an array of indefinite length", [replace(1, &[0x83], &[0x9f]), vec![0xff]].concat()),
        ("AES-CCM-16-64-128", replace(2, &[0x44, 0xa1, 0x01, 0x18, 0x1e], &[0x43, 0xa1, 0x01, 0x0a])),
        ("a protected header that is empty", replace(2, &[0x44, 0xa1, 0x01, 0x18, 0x1e], &[0x40])),
        (
            "headers in another order",
            replace(7, &[0xa2, 0x04, 0x41, 0x0d, 0x06, 0x41, 0x02], &[0xa2, 0x06, 0x41, 0x02, 0x04, 0x41, 0x0d]),
        ),
        (
            "a header more",
            replace(
                7,
                &[0xa2, 0x04, 0x41, 0x0d, 0x06, 0x41, 0x02],
                &[0xa3, 0x04, 0x41, 0x0d, 0x06, 0x41, 0x02, 0x07, 0x00],
            ),
        ),
        ("a Partial IV with a leading zero", replace(11, &[0x06, 0x41, 0x02], &[0x06, 0x42, 0x00, 0x02])),
        ("an empty Partial IV", replace(11, &[0x06, 0x41, 0x02], &[0x06, 0x40])),
        ("a Partial IV of six bytes", replace(11, &[0x06, 0x41, 0x02], &[0x06, 0x46, 1, 0, 0, 0, 0, 2])),
        ("bytes behind the end", [good.as_slice(), &[0x00]].concat()),
    ]
}

fn readings() -> Vec<Json> {
    let moment = Moment { ticks: 300_000, utc: Some(Interval::exactly(Time::from_unix(1_800_000_000))) };
    let reading =
        |value, moment| Reading { code: Mdc::CONC_GLU_ISF, unit: Mdc::DIM_MILLI_G_PER_DL, value, moment, mark: None };
    let number = Value::Number(Decimal::new(1234, -1).expect("in range"));
    let boot = Moment { ticks: 0, utc: None };
    let all = [
        ("123.4 mg/dL", reading(number, moment)),
        ("too high to measure, clock unknown", reading(Value::Special(Special::PositiveInfinity), boot)),
        ("marked", Reading { mark: Some(Code::StatusStale), ..reading(number, moment) }),
    ];
    let vectors = all.iter().map(|(meaning, reading)| {
        let mut out = [0; Reading::MAX_LENGTH];
        let bytes = reading.to_slice(&mut out).expect("it fits");
        json!({
            "meaning": meaning, "reading": hex(bytes), "source": hex(&[0x5e; 16]),
            "evidence": hex(Evidence::of(&[(medlock_trust::DeviceId::from_bytes([0x5e; 16]), *reading)], &RustCrypto).as_bytes()),
        })
    });
    vectors.collect()
}

fn vectors() -> Json {
    let ((command_key, command_iv), (receipt_key, receipt_iv)) = (material(true), material(false));
    let messages = messages();
    let refused: Vec<Json> =
        refused(&messages).iter().map(|(name, message)| json!({ "name": name, "message": hex(message) })).collect();
    json!({
        "about": "Medlock sealed commands: docs/sealed-command.md. Bytes are hexadecimal.",
        "session": {
            "controller": hex(CONTROLLER.as_bytes()), "device": hex(DEVICE.as_bytes()),
            "controller_kid": "0c", "device_kid": "0d", "bond_epoch": EPOCH,
            "command_key": hex(&command_key), "command_iv": hex(&command_iv),
            "receipt_key": hex(&receipt_key), "receipt_iv": hex(&receipt_iv),
        },
        "messages": messages, "refused": refused, "readings": readings(),
    })
}

/// Shows REQ-SEAL-18: messages are COSE_Encrypt0 as docs/sealed-command.md and its vectors say, byte for byte.
#[test]
fn the_vectors_are_those_of_the_file() {
    let made = serde_json::to_string_pretty(&vectors()).expect("JSON") + "\n";
    if std::env::var_os("MEDLOCK_WRITE_VECTORS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/sealed-command.json");
        std::fs::write(path, &made).expect("the folder is there");
        return;
    }
    assert!(made == FILE, "the vectors changed; if they must, write them anew and say so in docs/sealed-command.md");
}

/// Shows REQ-SEAL-19: a message has one encoding; others of the same meaning are refused.
#[test]
fn other_encodings_are_refused() {
    let file: Json = serde_json::from_str(FILE).expect("JSON");
    let refused = file["refused"].as_array().expect("a list");
    assert!(refused.len() >= 12);
    for vector in refused {
        let mut message = crate::hex::hex(vector["message"].as_str().expect("text"));
        let mut recipient = Recipient::new(keys(0), link(CONTROLLER, DEVICE), EPOCH, 0);
        let error = recipient.open(&mut message, &RustCrypto).err();
        assert_eq!(error, Some(OpenError::Malformed), "{}", vector["name"]);
    }
}
