//! The compact set: made by the authority, held by nodes that hear from nobody.

use crate::fixture::{Site, credential};
use medlock_authority::admin::{Reason, Request};
use medlock_authority::objects::Kind;
use medlock_authority::status::set::{ShardError, ShardWriter};
use medlock_node::clock::Clock;
use medlock_node::knowledge::{Accepted, KnowledgeBase, Refused};
use medlock_node::provider::SigningKey;
use medlock_trust::cose::{Algorithm, ContentType, Place, sign1};
use medlock_trust::decide::Code;
use medlock_trust::policy::Setting;
use medlock_trust::status::set::{MAX_SIEVE, SetContent, Word, answer};
use medlock_trust::status::{RevokedSet, SetHeading, State};
use medlock_trust::x509::Certificate;
use medlock_trust::{CredentialId, KeyId, Operation, Time, Verdict};
use proptest::prelude::*;
use std::sync::Arc;

const DAY: i64 = 86_400;

fn at(seconds: i64) -> Time {
    Time::from_unix(seconds)
}

fn identifier(number: u64) -> CredentialId {
    let drawn = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    let bytes = u128::from(number) << 100 | u128::from(drawn) << 20 | u128::from(number);
    CredentialId::from_bytes(bytes.to_be_bytes())
}

/// A signed set of these words, in shards of `most`.
fn set(words: &[Word], most: usize, epoch: u64, base: Option<u64>) -> Vec<u8> {
    let mut seed = 0_u128;
    let draw = || {
        seed += 0x1111_2222_3333_4444_5555_6666;
        seed.to_le_bytes()
    };
    let mut writer = ShardWriter::with_shards_of(draw, most);
    for (number, word) in (0..).zip(words) {
        writer.push(identifier(number), *word).unwrap();
    }
    let made = writer.finish().unwrap();
    let heading = SetHeading {
        authority: KeyId::from_bytes([7; 16]),
        recovery_epoch: 0,
        epoch,
        issued: at(1_000 + i64::try_from(epoch).unwrap()),
        next: at(5_000),
        covers: at(900 + i64::try_from(epoch).unwrap()),
        credentials: made.credentials,
        base,
    };
    let (mut payload, mut signed) = (Vec::new(), Vec::new());
    SetContent { heading, table: &made.table, shards: &made.shards }.encode(&mut payload).unwrap();
    let place = Place::Header(ContentType::REVOKED_SET);
    sign1(&payload, place, Algorithm::Es256, &[0; 16], &mut signed, |_| Ok::<_, ()>([0_u8; 64])).unwrap();
    signed
}

fn any_words() -> impl Strategy<Value = Vec<Word>> {
    let weights = proptest::collection::vec(0..200_u32, 5);
    (weights, 0..900_usize).prop_flat_map(|(weights, count)| {
        let choices: Vec<_> = weights.iter().zip(Word::ALL).map(|(weight, word)| (weight + 1, Just(word))).collect();
        proptest::collection::vec(proptest::strategy::Union::new_weighted(choices), count)
    })
}

proptest! {
    /// Shows REQ-STAT-01: for every credential that a set covers, what it says is what was put in, whatever the shares.
    #[test]
    fn a_set_is_exact(words in any_words(), most in 1..400_usize) {
        let bytes = set(&words, most, 9, None);
        let set = RevokedSet::danger_open(&bytes).unwrap();
        prop_assert_eq!(set.heading().credentials, words.len() as u64);
        for (number, word) in (0..).zip(&words) {
            prop_assert_eq!(set.word(identifier(number), at(909)), Some(*word));
            prop_assert_eq!(set.word(identifier(number), at(910)), None, "issued later");
        }
    }

    /// Shows REQ-STAT-02: changes name what became different, of credentials old and new, and nothing else.
    #[test]
    fn changes_lead_from_one_set_to_the_next(before in any_words(), after in any_words()) {
        let base = set(&before, 300, 9, None);
        let base = RevokedSet::danger_open(&base).unwrap();
        // Credentials beyond those of the set were issued since.
        let born = |number: usize| at(if number < before.len() { 900 } else { 912 });
        let changes: Vec<Word> = after.iter().enumerate().map(|(number, now)| {
            let was = base.word(identifier(number as u64), born(number)).unwrap_or(Word::Good);
            if was == *now { Word::Unchanged } else { *now }
        }).collect();
        let bytes = set(&changes, 300, 20, Some(9));
        let changes = RevokedSet::danger_open(&bytes).unwrap();
        for (number, word) in after.iter().enumerate() {
            let said = answer(&base, Some(&changes), identifier(number as u64), born(number)).unwrap();
            prop_assert_eq!(said.state.map_or(Word::Good, Word::Bad), *word);
            prop_assert_eq!((said.epoch, said.issued), (20, at(1_020)));
        }
        let other = set(&before, 300, 10, None);
        let other = RevokedSet::danger_open(&other).unwrap();
        prop_assert_eq!(answer(&other, Some(&changes), identifier(0), at(915)), None, "changes of another set");
    }

    /// Shows REQ-STAT-04.
    #[test]
    fn any_bytes_are_no_set_or_one_that_answers(at_byte in any::<proptest::sample::Index>(), value in any::<u8>()) {
        let words: Vec<Word> = (0..60).map(|n| if n % 7 == 0 { Word::Bad(State::Ceased) } else { Word::Good }).collect();
        let mut bytes = set(&words, 20, 9, None);
        let place = at_byte.index(bytes.len());
        bytes[place] = value;
        if let Ok(set) = RevokedSet::danger_open(&bytes) {
            for number in 0..60 {
                let _ = set.word(identifier(number), at(0));
            }
        }
    }
}

#[test]
fn credentials_out_of_order_make_no_set() {
    let mut writer = ShardWriter::new(|| [7; 16]);
    writer.push(identifier(5), Word::Good).unwrap();
    assert_eq!(writer.push(identifier(5), Word::Good), Err(ShardError::Order));
    assert_eq!(writer.push(identifier(4), Word::Good), Err(ShardError::Order));
    const { assert!(MAX_SIEVE < 32, "a row draws 32 bits for the sieve") };
}

/// Shows REQ-STAT-01: two bits for each credential are enough, and of a hundred thousand with one in fifty bad a quarter.
#[test]
fn a_set_is_small() {
    let words = |bad: u64| -> Vec<Word> {
        let drawn = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let word = |number| match drawn(number) % 1_000 {
            draw if draw >= bad => Word::Good,
            draw if draw % 20 == 0 => Word::Bad(State::Suspended),
            draw if draw % 20 == 1 => Word::Bad(State::Compromised),
            _ => Word::Bad(State::Superseded),
        };
        (0..100_000).map(word).collect()
    };
    let bits = |bad| set(&words(bad), 1 << 19, 9, None).len() * 8;
    assert!(bits(20) < 25_000, "{}", bits(20));
    assert!(bits(600) < 200_000, "{}", bits(600));
}

/// A node that has the site's lists and nothing else.
fn gateway(site: &Site) -> Arc<KnowledgeBase> {
    let node = KnowledgeBase::in_memory(site.clock.clone(), Setting::Hospital);
    node.pin_root(&site.authority.root().der).unwrap();
    for kind in [Kind::SiteList, Kind::Policy] {
        carry(site, &node, kind).unwrap();
    }
    node
}

fn carry(site: &Site, node: &KnowledgeBase, kind: Kind) -> Result<Accepted, Refused> {
    node.accept(kind, &site.authority.news().current(kind).unwrap().bytes)
}

fn code(site: &Site, node: &KnowledgeBase, certificate: &[u8]) -> Option<Code> {
    match node.judge(&site.identify(certificate), Operation::Store) {
        Verdict::Allow(permit) => permit.mark(),
        Verdict::Deny(denied) => Some(denied.code),
    }
}

fn suspend(site: &Site, name: &str) {
    site.ask(Request::Suspend { device: name.into(), why: "strange".into() });
}

/// Shows REQ-STAT-02, REQ-STAT-03: a gateway that hears of nobody but carriers.
#[test]
fn a_gateway_judges_by_the_set_and_its_changes() {
    let site = Site::new();
    let [one, two, three] = ["ct-1", "ct-2", "ct-3"].map(|name| site.enrol(name, &SigningKey::generate()));
    site.clock.advance(DAY / 2);
    suspend(&site, "ct-1");
    site.ask(Request::Revoke { device: "ct-2".into(), reason: Reason::KeyCompromise, why: "test".into() });
    let node = gateway(&site);
    assert_eq!(code(&site, &node, &three), Some(Code::StatusStale), "nothing is known of it");
    site.authority.publish_set().unwrap();
    carry(&site, &node, Kind::RevokedSet).unwrap();
    let all = |node: &KnowledgeBase| [&one, &two, &three].map(|certificate| code(&site, node, certificate));
    assert_eq!(all(&node), [Some(Code::Suspended), Some(Code::Compromised), None]);
    // One that was issued since is not covered: that is not good.
    let four = site.enrol("ct-4", &SigningKey::generate());
    assert_eq!(code(&site, &node, &four), Some(Code::StatusStale));
    // A day later: lifted, newly suspended, newly covered.
    site.clock.advance(DAY);
    site.ask(Request::Restore { device: "ct-1".into(), why: "fine".into() });
    suspend(&site, "ct-3");
    site.authority.publish_set().unwrap();
    let base = site.authority.news().current(Kind::RevokedSet).unwrap();
    assert_eq!(node.version(Kind::RevokedSet), Some(base.version), "the set itself is the same");
    carry(&site, &node, Kind::RevokedDelta).unwrap();
    let now = [None, Some(Code::Compromised), Some(Code::Suspended)];
    assert_eq!(all(&node), now);
    assert_eq!(code(&site, &node, &four), None);
    // Who comes late fetches both, in this order; who comes to the changes first is told what is missing.
    let late = gateway(&site);
    assert_eq!(carry(&site, &late, Kind::RevokedDelta), Err(Refused::OtherBase));
    carry(&site, &late, Kind::RevokedSet).unwrap();
    assert_eq!(code(&site, &late, &four), Some(Code::StatusStale));
    carry(&site, &late, Kind::RevokedDelta).unwrap();
    assert_eq!(all(&late), now);
    // A week later the set is another one, and stands for itself; who was away needs that alone.
    site.clock.advance(7 * DAY);
    site.authority.publish_set().unwrap();
    assert!(site.authority.news().current(Kind::RevokedDelta).is_none());
    let old = node.object(Kind::RevokedSet).unwrap();
    carry(&site, &node, Kind::RevokedSet).unwrap();
    assert_eq!(all(&node), now);
    assert!(matches!(node.accept(Kind::RevokedSet, &old), Err(Refused::Set(_))), "nothing rolls back");
    let changes = late.object(Kind::RevokedDelta).unwrap();
    let new = gateway(&site);
    carry(&site, &new, Kind::RevokedSet).unwrap();
    assert_eq!(new.accept(Kind::RevokedDelta, &changes), Err(Refused::OtherBase));
    assert!(matches!(new.accept(Kind::RevokedSet, &changes), Err(Refused::SetKind)));
}

/// Shows REQ-STAT-03: after the set was made, the status list tells of a suspension first, and lifts one.
#[test]
fn the_status_list_tells_what_a_set_does_not_know_yet() {
    let site = Site::new();
    let [one, two] = ["ct-1", "ct-2"].map(|name| site.enrol(name, &SigningKey::generate()));
    site.clock.advance(DAY / 2);
    suspend(&site, "ct-1");
    site.authority.publish_set().unwrap();
    let node = gateway(&site);
    carry(&site, &node, Kind::RevokedSet).unwrap();
    suspend(&site, "ct-2");
    site.ask(Request::Restore { device: "ct-1".into(), why: "fine".into() });
    carry(&site, &node, Kind::Status).unwrap();
    assert_eq!([&one, &two].map(|one| code(&site, &node, one)), [None, Some(Code::Suspended)]);
}

/// Shows REQ-STAT-05: a clock that goes back a little makes no credential that a set answers for without knowing it.
#[test]
fn nothing_is_issued_that_a_set_covers_already() {
    let site = Site::new();
    let first = site.enrol("ct-1", &SigningKey::generate());
    site.clock.advance(DAY);
    site.authority.publish_set().unwrap();
    site.clock.advance(-700);
    let second = site.enrol("ct-2", &SigningKey::generate());
    let object = site.authority.news().current(Kind::RevokedSet).unwrap();
    let set = RevokedSet::danger_open(&object.bytes).unwrap();
    assert_eq!(set.word(credential(&first), begin(&first)), Some(Word::Good));
    assert_eq!(set.word(credential(&second), begin(&second)), None);
    assert!(begin(&second) <= site.clock.now());
    // The set after it, made while the clock is wrong, is not taken for an older one.
    site.authority.publish_set().unwrap();
    let kinds = [Kind::RevokedSet, Kind::RevokedDelta].map(|kind| site.authority.news().current(kind));
    let later: Vec<_> = kinds.into_iter().flatten().collect();
    assert!(later.iter().any(|later| later.version > object.version));
    let heading = |bytes: &[u8]| *RevokedSet::danger_open(bytes).unwrap().heading();
    let before = heading(&object.bytes);
    assert!(later.iter().all(|later| heading(&later.bytes).covers >= before.covers));
}

/// Shows REQ-RUN-45: a set that a clock ahead has made covers what is issued later and would answer for it. Nobody takes it
/// whose clock is right; who took it with a clock ahead calls nobody good by it afterwards, and takes the next one.
#[test]
fn a_set_of_a_clock_that_was_ahead_answers_for_nobody_it_does_not_know() {
    let site = Site::new();
    let one = site.enrol("ct-1", &SigningKey::generate());
    let right = KnowledgeBase::in_memory(Clock::manual(site.clock.now()), Setting::Hospital);
    right.pin_root(&site.authority.root().der).unwrap();
    site.clock.advance(40 * DAY);
    site.authority.publish_set().unwrap();
    for kind in [Kind::SiteList, Kind::Policy] {
        carry(&site, &right, kind).unwrap();
    }
    assert!(matches!(carry(&site, &right, Kind::RevokedSet), Err(Refused::SetAhead(_))));
    let wrong = gateway(&site);
    carry(&site, &wrong, Kind::RevokedSet).unwrap();
    site.clock.advance(-40 * DAY);
    let two = site.enrol("ct-2", &SigningKey::generate());
    assert!(begin(&two) <= site.clock.now());
    let stale = Some(Code::StatusStale);
    assert_eq!([&one, &two].map(|certificate| code(&site, &wrong, certificate)), [stale; 2]);
    // The next one covers what it knows, and is taken though it says an earlier time.
    site.authority.publish_set().unwrap();
    for node in [&right, &wrong] {
        carry(&site, node, Kind::RevokedSet).unwrap();
        assert_eq!([&one, &two].map(|certificate| code(&site, node, certificate)), [stale; 2], "not covered yet");
    }
    for clock in [&site.clock, right.clock()] {
        clock.advance(DAY);
    }
    suspend(&site, "ct-2");
    site.authority.publish_set().unwrap();
    for node in [&right, &wrong] {
        carry(&site, node, Kind::RevokedDelta).unwrap();
        assert_eq!(code(&site, node, &two), Some(Code::Suspended));
    }
    assert_eq!(code(&site, &right, &one), None);
}

fn begin(der: &[u8]) -> Time {
    Certificate::read(der).unwrap().not_before()
}

/// Shows REQ-STAT-02: what was given out is given out again after a restart, and changes of a set that is gone are not.
#[test]
fn a_restart_gives_the_same_set_out() {
    let site = Site::new();
    let key = SigningKey::generate();
    site.enrol("ct-1", &key);
    site.clock.advance(DAY);
    site.authority.publish_set().unwrap();
    suspend(&site, "ct-1");
    site.clock.advance(DAY);
    site.authority.publish_set().unwrap();
    let told = |site: &Site| [Kind::RevokedSet, Kind::RevokedDelta].map(|kind| site.authority.news().current(kind));
    let before = told(&site);
    assert!(before.iter().all(Option::is_some));
    let Site { authority, clock, dir } = site;
    drop(authority);
    let site = Site { authority: Arc::new(crate::fixture::open(dir.path(), &clock)), clock, dir };
    assert_eq!(told(&site), before);
    assert!(site.alarms().is_empty());
}
