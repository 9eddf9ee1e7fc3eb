//! The compact set of ten million credentials: length, time to make, memory, time of a look-up.
//!
//! `cargo bench -p medlock-authority --bench revoked_set [CREDENTIALS]`

use medlock_authority::status::set::ShardWriter;
use medlock_trust::status::set::{SetContent, Word};
use medlock_trust::status::{RevokedSet, SetHeading, State};
use medlock_trust::{CredentialId, KeyId, Time};
use std::time::Instant;

/// The `number`-th of `count` identifiers that ascend, with all the rest drawn.
fn identifier(number: u64, count: u64) -> CredentialId {
    let step = u128::MAX / u128::from(count);
    let drawn = u128::from(mixed(number)) << 64 | u128::from(mixed(number ^ 0x5555));
    CredentialId::from_bytes((u128::from(number) * step + drawn % step).to_be_bytes())
}

fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// Of those that are not good, most are superseded or out of service, one in ten is suspended, one in ten compromised.
fn word(number: u64, revoked_in_10000: u64) -> Word {
    let drawn = mixed(number ^ 0xabcd_ef00);
    if drawn % 10_000 >= revoked_in_10000 {
        return Word::Good;
    }
    match drawn / 10_000 % 10 {
        0 => Word::Bad(State::Suspended),
        1 => Word::Bad(State::Compromised),
        2..6 => Word::Bad(State::Ceased),
        _ => Word::Bad(State::Superseded),
    }
}

fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn payload(count: u64, words: impl Fn(u64) -> Word, base: Option<u64>) -> Vec<u8> {
    let mut seeds = 0_u64;
    let mut writer = ShardWriter::new(|| {
        seeds += 1;
        (u128::from(mixed(seeds)) << 64 | u128::from(mixed(!seeds))).to_le_bytes()
    });
    for number in 0..count {
        writer.push(identifier(number, count), words(number)).expect("in order");
    }
    let made = writer.finish().expect("a set");
    let heading = SetHeading {
        authority: KeyId::from_bytes([7; 16]),
        recovery_epoch: 0,
        epoch: 9,
        issued: Time::from_unix(1_000),
        next: Time::from_unix(2_000),
        covers: Time::from_unix(900),
        credentials: made.credentials,
        base,
    };
    let mut payload = Vec::new();
    SetContent { heading, table: &made.table, shards: &made.shards }.encode(&mut payload).expect("encoded");
    payload
}

fn main() {
    let count = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(10_000_000_u64);
    println!("| {count} credentials | bytes | bits a credential | made in s | looked up in ns | peak MB |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let report = |name: &str, words: &dyn Fn(u64) -> Word, base: Option<u64>| {
        let start = Instant::now();
        let bytes = payload(count, words, base);
        let made = start.elapsed().as_secs_f64();
        // Signed with nothing: what is measured is the look-up.
        let mut signed = Vec::new();
        let place = medlock_trust::cose::Place::Header(medlock_trust::cose::ContentType::REVOKED_SET);
        medlock_trust::cose::sign1(&bytes, place, medlock_trust::cose::Algorithm::Es256, &[0; 16], &mut signed, |_| {
            Ok::<_, ()>([0_u8; 64])
        })
        .expect("signed");
        let set = RevokedSet::danger_open(&signed).expect("a set");
        let start = Instant::now();
        let asked = count.min(2_000_000);
        for number in 0..asked {
            let number = mixed(number) % count;
            let said = set.word(identifier(number, count), Time::from_unix(0));
            assert_eq!(said, Some(words(number)), "exact");
        }
        let nanoseconds = start.elapsed().as_nanos() / u128::from(asked);
        let bits = bytes.len() as f64 * 8.0 / count as f64;
        println!("| {name} | {} | {bits:.4} | {made:.1} | {nanoseconds} | {} |", bytes.len(), peak_megabytes());
    };
    for (name, share) in [("1 % not good", 100), ("2 %", 200), ("5 %", 500), ("60 %", 6_000), ("97 %", 9_700)] {
        report(name, &move |number| word(number, share), None);
    }
    for (name, share) in [("changes of a day: 1 in 10,000", 1), ("changes of a day: 55 in 10,000", 55)] {
        let changed = move |number| match word(number, share) {
            Word::Good => Word::Unchanged,
            other => other,
        };
        report(name, &changed, Some(8));
    }
}
