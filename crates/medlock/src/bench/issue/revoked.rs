//! The compact set of all credentials: length, time to make, time of a look-up; and the changes of a day.

use crate::Failure;
use medlock_authority::status::set::ShardWriter;
use medlock_trust::cose::{self, Algorithm, ContentType, Place};
use medlock_trust::status::set::{SetContent, Word};
use medlock_trust::status::{RevokedSet, SetHeading, State};
use medlock_trust::{CredentialId, KeyId, Time};
use serde::Serialize;
use std::time::Instant;

/// Of ten thousand credentials so many are not good, in one set after another.
const NOT_GOOD: [u64; 5] = [100, 200, 500, 6_000, 9_700];
/// Of ten thousand so many change on a day: where hardly anybody renews, and where all renew each half year.
const CHANGED: [u64; 2] = [1, 55];
/// Look-ups of each set, at most.
const ASKED: u64 = 2_000_000;
/// Bits a credential where one in twenty is not good, at most.
const TARGET_BITS: f64 = 2.0;

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Revoked {
    pub(super) credentials: u64,
    pub(super) sets: Vec<Set>,
    /// Changes of a day, behind such a set.
    pub(super) daily_deltas: Vec<Set>,
    pub(super) target_bits_per_credential: f64,
}

/// A set, or its changes.
#[derive(Debug, Serialize)]
pub(super) struct Set {
    /// Of ten thousand credentials so many are not good, or changed.
    pub(super) in_ten_thousand: u64,
    pub(super) bytes: usize,
    pub(super) bits_per_credential: f64,
    made_seconds: f64,
    looked_up_nanoseconds: f64,
}

/// Makes the sets, and asks each for what is in it.
pub(super) fn measure(credentials: u64) -> Result<Revoked, Failure> {
    let sets = NOT_GOOD.map(|share| set(credentials, share, None, &|number| word(number, share)));
    let daily_deltas = CHANGED.map(|share| {
        set(credentials, share, Some(8), &|number| match word(number, share) {
            Word::Good => Word::Unchanged,
            other => other,
        })
    });
    Ok(Revoked {
        credentials,
        sets: sets.into_iter().collect::<Result<_, _>>()?,
        daily_deltas: daily_deltas.into_iter().collect::<Result<_, _>>()?,
        target_bits_per_credential: TARGET_BITS,
    })
}

fn set(count: u64, in_ten_thousand: u64, base: Option<u64>, words: &dyn Fn(u64) -> Word) -> Result<Set, Failure> {
    let began = Instant::now();
    let payload = payload(count, words, base)?;
    let made_seconds = began.elapsed().as_secs_f64();
    // Signed with nothing: what is measured is the look-up.
    let (mut signed, place) = (Vec::new(), Place::Header(ContentType::REVOKED_SET));
    let signing = cose::sign1(&payload, place, Algorithm::Es256, &[0; 16], &mut signed, |_| Ok::<_, ()>([0_u8; 64]));
    signing.map_err(|error| format!("{error:?}"))?;
    let set = RevokedSet::danger_open(&signed)?;
    let (began, asked) = (Instant::now(), count.min(ASKED));
    for number in 0..asked {
        let number = mixed(number) % count;
        if set.word(identifier(number, count), Time::from_unix(0)) != Some(words(number)) {
            return Err("the set says something else than what was put into it".into());
        }
    }
    Ok(Set {
        in_ten_thousand,
        bytes: payload.len(),
        bits_per_credential: payload.len() as f64 * 8.0 / count as f64,
        made_seconds,
        looked_up_nanoseconds: began.elapsed().as_secs_f64() * 1e9 / asked as f64,
    })
}

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

fn payload(count: u64, words: impl Fn(u64) -> Word, base: Option<u64>) -> Result<Vec<u8>, Failure> {
    let mut seeds = 0_u64;
    let mut writer = ShardWriter::new(|| {
        seeds += 1;
        (u128::from(mixed(seeds)) << 64 | u128::from(mixed(!seeds))).to_le_bytes()
    });
    for number in 0..count {
        writer.push(identifier(number, count), words(number))?;
    }
    let made = writer.finish()?;
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
    SetContent { heading, table: &made.table, shards: &made.shards }
        .encode(&mut payload)
        .map_err(|error| format!("{error:?}"))?;
    Ok(payload)
}
