//! What few members, a bad list or a lost quorum can do, and what they cannot.

use super::*;
use crate::cose::{ContentType, sign};
use crate::status::Reason;

const DAY: i64 = 86_400;

/// What a judge knows at `seconds`, with a kept clock.
fn now(seconds: i64) -> Interval {
    Interval::exactly(at(seconds))
}

fn with_custodians(members: usize) -> Made {
    Made { custodians: (0..3).map(|_| Key::p256()).collect(), ..Made::new(members) }
}

/// Shows REQ-LIST-05.
#[test]
fn one_list_moves_version_and_time_by_a_bounded_step() {
    let made = Made::new(3);
    let held_bytes = made.signed(&made.payload(|_, _, _| {}), &[0, 1]);
    let held = List::danger_open(&held_bytes).unwrap();
    let next = |version, issued, time| {
        let payload = made.payload(|heading, _, _| {
            (heading.version, heading.issued, heading.next) = (version, at(issued), at(issued));
        });
        List::verify_successor(&made.signed(&payload, &[0, 1]), &held, time, &Provider).map(drop)
    };
    assert_eq!(next(5 + MAX_VERSION_STEP, 1_000, Interval::UNKNOWN), Ok(()));
    let far = 6 + MAX_VERSION_STEP;
    assert_eq!(next(far, 1_000, Interval::UNKNOWN), Err(Refused::VersionStep { held: 5, given: far }));
    assert_eq!(next(u64::MAX, 1_000, Interval::UNKNOWN), Err(Refused::VersionStep { held: 5, given: u64::MAX }));
    // With a clock: a day ahead of it.
    assert_eq!(next(6, 5_000 + DAY, now(5_000)), Ok(()));
    let ahead = |latest, given| Err(Refused::IssuedAhead { latest: at(latest), given: at(given) });
    assert_eq!(next(6, 5_001 + DAY, now(5_000)), ahead(5_000 + DAY, 5_001 + DAY));
    // Without: 400 days beyond what is known, or beyond the time at which a list was due.
    let since = |seconds| Interval::since(at(seconds));
    assert_eq!(next(6, 2_000 + 400 * DAY, since(0)), Ok(()));
    assert_eq!(next(6, 2_001 + 400 * DAY, since(0)), ahead(2_000 + 400 * DAY, 2_001 + 400 * DAY));
    assert_eq!(next(6, 9_000 + 400 * DAY, since(9_000)), Ok(()));
    let pins = made.pins();
    let first = |time| {
        let pinned = Pinned::Members { keys: &pins, threshold: 2 };
        List::verify_pinned(&held_bytes, &pinned, time, &Provider).map(drop)
    };
    assert_eq!(first(since(0)), Ok(()), "nothing to compare the first one with");
    assert_eq!(first(now(0)), Ok(()));
    assert_eq!(first(now(999 - DAY)), ahead(999, 1_000));
}

/// Shows REQ-LIST-05.
#[test]
fn a_next_version_is_due_within_a_bounded_time() {
    let made = Made::new(2);
    let heading = Heading { threshold: 2, ..Heading::first(ListKind::Alliance, "Alliance", at(0), at(400 * DAY)) };
    let members: Vec<_> = made.members.iter().map(|key| Member { key: key.id, spki: &key.spki, name: "m" }).collect();
    let encode = |heading| {
        Content { heading, members: &members, recovery: &[], authorities: &[], services: &[] }.encode(Vec::new())
    };
    assert_eq!(encode(heading), Ok(()));
    let refused = |error| Err(EncodeError::Content(error));
    assert_eq!(encode(Heading { next: at(400 * DAY + 1), ..heading }), refused(Error::Times));
    let site = Heading { kind: ListKind::Site, next: at(3_660 * DAY), ..heading };
    assert_eq!(encode(site), Ok(()));
    assert_eq!(encode(Heading { next: at(3_660 * DAY + 1), ..site }), refused(Error::Times));
    assert_eq!(encode(Heading { emergency: 1, ..heading }), Ok(()));
    assert_eq!(encode(Heading { emergency: 2, ..heading }), refused(Error::Threshold), "as many as a list takes");
    assert_eq!(encode(Heading { recovery_threshold: 1, ..heading }), refused(Error::Threshold), "no recovery keys");
}

/// Shows REQ-LIST-06.
#[test]
fn recovery_keys_alone_replace_lost_members_and_mend_a_poisoned_list() {
    let old = with_custodians(3);
    let poisoned = old.payload(|heading, authority, _| {
        (heading.version, heading.issued, heading.next) = (1_004, at(5_000), at(5_000));
        authority.state = AuthorityState::Compromised;
    });
    let held_bytes = old.signed(&poisoned, &[0, 1, 2]);
    let held = List::danger_open(&held_bytes).unwrap();
    let new = Made::new(3);
    let members: Vec<_> = new.members.iter().collect();
    let recovered =
        |version| old.payload_with(&members, |heading, _, _| (heading.version, heading.recovery_epoch) = (version, 1));
    let verify = |payload: &[u8], signers: &[&Key]| {
        List::verify_successor(&sign_list(payload, signers), &held, Interval::UNKNOWN, &Provider).map(drop)
    };
    let ([a, b, c], [x, y, _]) = (&old.members[..], &old.custodians[..]) else { unreachable!() };
    let (n, o) = (members[0], members[1]);
    let few = |have, need, signers| Err(Refused::TooFewSignatures { have, need, signers });
    assert_eq!(verify(&recovered(6), &[x, y, n, o]), Ok(()));
    assert_eq!(verify(&recovered(6), &[x, n, o]), few(1, 2, Signers::Recovery));
    assert_eq!(verify(&recovered(6), &[a, b, c, n, o]), few(0, 2, Signers::Recovery), "the members it replaces");
    assert_eq!(verify(&recovered(6), &[x, y, n]), few(1, 2, Signers::Own), "members who have not shown their keys");
    let far = 1_005 + MAX_VERSION_STEP;
    assert_eq!(verify(&recovered(far), &[x, y, n, o]), Err(Refused::VersionStep { held: 1_004, given: far }));
    // In the same epoch recovery keys sign for nobody.
    let next = old.payload(|heading, authority, _| {
        (heading.version, heading.issued, heading.next) = (1_005, at(5_000), at(5_000));
        authority.state = AuthorityState::Compromised;
    });
    assert_eq!(verify(&next, &[a, b]), Ok(()));
    assert_eq!(verify(&next, &[a, x, y]), few(1, 2, Signers::Held));
}

/// Shows REQ-LIST-06.
#[test]
fn members_alone_do_not_change_who_may_recover() {
    let mut made = with_custodians(3);
    let held_bytes = made.signed(&made.payload(|_, _, _| {}), &[0, 1]);
    let held = List::danger_open(&held_bytes).unwrap();
    let custodians = core::mem::take(&mut made.custodians);
    let without = made.payload(|heading, _, _| heading.version = 6);
    made.custodians = (0..3).map(|_| Key::p256()).collect();
    let others = made.payload(|heading, _, _| heading.version = 6);
    for payload in [without, others] {
        let verify = |signers: &[&Key]| {
            List::verify_successor(&sign_list(&payload, signers), &held, Interval::UNKNOWN, &Provider).map(drop)
        };
        let [a, b, c] = &made.members[..] else { unreachable!() };
        let few = Refused::TooFewSignatures { have: 0, need: 2, signers: Signers::Recovery };
        assert_eq!(verify(&[a, b, c]), Err(few));
        assert_eq!(verify(&[a, b, &custodians[0], &custodians[2]]), Ok(()));
    }
    // A list without such keys may get some.
    let plain = Made::new(2);
    let first_bytes = plain.signed(&plain.payload(|_, _, _| {}), &[0, 1]);
    let plain = Made { custodians: made.custodians, ..plain };
    let given = plain.signed(&plain.payload(|heading, _, _| heading.version = 6), &[0, 1]);
    let first = List::danger_open(&first_bytes).unwrap();
    assert!(List::verify_successor(&given, &first, Interval::UNKNOWN, &Provider).is_ok());
}

fn suspension(keys: &[KeyId], issued: i64, expires: i64, signers: &[&Key]) -> Option<Vec<u8>> {
    let keys: Vec<u8> = keys.iter().flat_map(|key| *key.as_bytes()).collect();
    let content = SuspensionContent::new("Alliance", 0, at(issued), at(expires), Reason::KEY_COMPROMISE, &keys)?;
    let (mut payload, mut out) = (Vec::new(), Vec::new());
    content.encode(&mut payload).unwrap();
    let ids: Vec<_> = signers.iter().map(|key| (key.id, key.algorithm)).collect();
    sign(&payload, ContentType::SUSPENSION, &ids, &mut out, |id, parts| {
        Ok::<_, ()>(signers.iter().find(|key| key.id == id).unwrap().sign(parts))
    })
    .unwrap();
    Some(out)
}

/// Shows REQ-LIST-04.
#[test]
fn few_members_suspend_for_fourteen_days_and_not_again_soon() {
    let made = Made::new(4);
    let payload = made.payload(|heading, _, _| (heading.threshold, heading.emergency) = (3, 2));
    let list_bytes = made.signed(&payload, &[0, 1, 2]);
    let list = List::danger_open(&list_bytes).unwrap();
    let [a, b, ..] = &made.members[..] else { unreachable!() };
    let (stranger, maker) = (Key::p256(), made.authority.id);
    let verify = |bytes: &[u8], time| Suspension::verify(bytes, &list, time, &Provider).map(drop);
    let good = suspension(&[maker], 1_500, 1_500 + 14 * DAY, &[a, b]).unwrap();
    assert_eq!(verify(&good, now(2_000)), Ok(()));
    assert!(Suspension::danger_open(&good).unwrap().counts(maker, &list, now(2_000)));
    assert_eq!(suspension(&[maker], 1_500, 1_501 + 14 * DAY, &[a, b]), None, "longer than 14 days");
    let few = suspension(&[maker], 1_500, 2_000, &[a, &stranger]).unwrap();
    let refused = Refused::TooFewSignatures { have: 1, need: 2, signers: Signers::Held };
    assert_eq!(verify(&few, now(1_600)), Err(refused.into()));
    assert_eq!(verify(&good, now(1_501 + 14 * DAY)), Err(SuspensionRefused::Over));
    let before = suspension(&[maker], 999, 9_000, &[a, b]).unwrap();
    assert_eq!(verify(&before, now(2_000)), Err(SuspensionRefused::Over), "the list held was issued later");
    let ahead = suspension(&[maker], 2_001 + DAY, 2_002 + DAY, &[a, b]).unwrap();
    assert!(matches!(verify(&ahead, now(2_000)), Err(SuspensionRefused::Signed(Refused::IssuedAhead { .. }))));
    let strict = made.signed(&made.payload(|_, _, _| {}), &[0, 1]);
    let strict = List::danger_open(&strict).unwrap();
    let refused = Suspension::verify(&good, &strict, now(2_000), &Provider).map(drop);
    assert_eq!(refused, Err(SuspensionRefused::NotFewer));

    let held = Suspension::danger_open(&good).unwrap();
    let end = 1_500 + 14 * DAY;
    let repeats = |keys: &[KeyId], issued| {
        let bytes = suspension(keys, issued, issued + DAY, &[a, b]).unwrap();
        Suspension::danger_open(&bytes).unwrap().repeats(&held)
    };
    let mut both = [maker, made.service.id];
    both.sort_unstable();
    assert_eq!(repeats(&both, end + 90 * DAY - 1), Some(maker));
    assert_eq!(repeats(&both, end + 90 * DAY), None);
    assert_eq!(repeats(&[made.service.id], 1_600), None, "another authority");
    assert!(!held.is_forgotten(now(end + 90 * DAY - 1)) && held.is_forgotten(now(end + 90 * DAY)));
}

/// What somebody with some of the keys may try.
#[derive(Clone, Debug)]
struct Attempt {
    members: Vec<bool>,
    custodians: Vec<bool>,
    newcomers: Vec<bool>,
    version: u64,
    epoch: u64,
    issued: i64,
    replaces_members: bool,
    state: usize,
    emergency: u8,
}

prop_compose! {
    fn any_attempt()(
        members in prop::collection::vec(any::<bool>(), 4),
        custodians in prop::collection::vec(any::<bool>(), 3),
        newcomers in prop::collection::vec(any::<bool>(), 4),
        version in prop_oneof![0..12_u64, Just(u64::MAX), 1_000..1_010_u64],
        epoch in 0..3_u64,
        issued in 500..2_000_i64,
        replaces_members in any::<bool>(),
        state in 0..4_usize,
        emergency in 0..3_u8,
    ) -> Attempt {
        Attempt { members, custodians, newcomers, version, epoch, issued, replaces_members, state, emergency }
    }
}

fn chosen<'k>(keys: &'k [Key], who: &[bool]) -> Vec<&'k Key> {
    keys.iter().zip(who).filter_map(|(key, signs)| signs.then_some(key)).collect()
}

struct Room {
    made: Made,
    newcomers: Made,
}

impl Room {
    fn new() -> Self {
        Self { made: with_custodians(4), newcomers: Made::new(4) }
    }

    /// Four members of whom three must sign, three custodians of whom two must.
    fn first(&self) -> Vec<u8> {
        self.made.signed(&self.made.payload(|heading, _, _| heading.threshold = 3), &[0, 1, 2])
    }

    fn try_it(&self, attempt: &Attempt) -> Option<Vec<u8>> {
        let keys = if attempt.replaces_members { &self.newcomers.members } else { &self.made.members };
        let payload = self.made.payload_with(&keys.iter().collect::<Vec<_>>(), |heading, authority, _| {
            (heading.version, heading.recovery_epoch) = (attempt.version, attempt.epoch);
            (heading.issued, heading.next) = (at(attempt.issued), at(attempt.issued));
            (heading.threshold, heading.emergency) = (3, attempt.emergency);
            authority.state = AuthorityState::ALL[attempt.state];
        });
        let mut signers = chosen(&self.made.members, &attempt.members);
        signers.extend(chosen(&self.made.custodians, &attempt.custodians));
        signers.extend(chosen(&self.newcomers.members, &attempt.newcomers));
        (!signers.is_empty()).then(|| sign_list(&payload, &signers))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Shows REQ-LIST-07: fewer than t members, together with fewer than enough custodians and with any strangers, change
    /// nothing, whatever they write.
    #[test]
    fn no_fewer_than_enough_change_anything(attempts in prop::collection::vec(any_attempt(), 4)) {
        let room = Room::new();
        let held_bytes = room.first();
        let held = List::danger_open(&held_bytes).unwrap();
        for mut attempt in attempts {
            let few = |who: &mut Vec<bool>, most: usize| {
                let mut left = most;
                who.iter_mut().for_each(|signs| {
                    *signs = *signs && left > 0;
                    left -= usize::from(*signs);
                });
            };
            few(&mut attempt.members, 2);
            few(&mut attempt.custodians, 1);
            let Some(bytes) = room.try_it(&attempt) else { continue };
            prop_assert!(List::verify_successor(&bytes, &held, Interval::UNKNOWN, &Provider).is_err());
        }
    }

    /// Shows REQ-LIST-08: whatever lists come in whatever order, what is held only grows (invariant I4).
    #[test]
    fn i4_any_sequence_of_lists_only_grows(attempts in prop::collection::vec(any_attempt(), 12)) {
        let room = Room::new();
        let mut held_bytes = room.first();
        for mut attempt in attempts {
            // Enough of everybody, so that many are taken.
            attempt.members[0..3].fill(true);
            attempt.newcomers[0..3].fill(true);
            attempt.custodians[0..2].fill(true);
            let Some(bytes) = room.try_it(&attempt) else { continue };
            let held = List::danger_open(&held_bytes).unwrap();
            let Ok(list) = List::verify_successor(&bytes, &held, Interval::UNKNOWN, &Provider) else { continue };
            let (old, new) = (*held.heading(), *list.heading());
            prop_assert!((new.recovery_epoch, new.version) > (old.recovery_epoch, old.version));
            prop_assert!(new.version <= old.version.saturating_add(MAX_VERSION_STEP));
            if new.recovery_epoch == old.recovery_epoch {
                prop_assert!(new.issued >= old.issued);
                let compromised = |list: &List<'_>| list.authorities().any(|one| one.state == AuthorityState::Compromised);
                prop_assert!(compromised(&list) || !compromised(&held));
            } else {
                prop_assert_eq!(new.recovery_epoch, old.recovery_epoch + 1);
            }
            held_bytes = bytes;
        }
    }
}
