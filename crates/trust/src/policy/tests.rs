use super::*;
use crate::cose::testing::{Key, Provider, sign_list};
use crate::cose::{ContentType, Place};
use crate::id::KeyId;
use crate::list::{Content, Heading, ListKind, Member, Purposes, Service};
use proptest::prelude::*;
use std::string::String;
use std::vec::Vec;

/// Shows REQ-TRUST-33: the configurable rows of the built-in policy are those of the design.
#[test]
fn the_default_table_is_that_of_the_design() {
    let policy = Policy::default();
    let mut table = String::new();
    for row in Row::ALL {
        let cells = Operation::ALL.map(|operation| match policy.effect(row, operation) {
            Effect::Allow => "✓",
            Effect::Alert => "!",
            Effect::Deny => "✗",
        });
        table += &std::format!("| {} | {} |\n", row.name(), cells.join(" | "));
    }
    assert_eq!(
        table,
        "\
| expired-within-grace | ! | ! | ! | ✓ | ! | ! | ✗ | ✓ | ! |
| expired-beyond-grace | ! | ! | ✗ | ✓ | ✗ | ✗ | ✗ | ✓ | ! |
| status-stale | ! | ! | ✗ | ✓ | ✗ | ! | ✗ | ✓ | ! |
| not-yet-valid | ✗ | ! | ✗ | ✗ | ✗ | ✗ | ✗ | ✓ | ✗ |
| suspended | ✗ | ! | ✗ | ! | ✗ | ✗ | ✗ | ✗ | ✗ |
"
    );
    let days = |setting| Operation::ALL.map(|operation| policy.budget_seconds(setting, operation) / DAY);
    assert_eq!(days(Setting::Home), [30, 30, 14, 30, 14, 14, 1, 30, 30]);
    assert_eq!(days(Setting::Hospital), [30, 30, 1, 30, 1, 1, 1, 30, 30]);
    assert_eq!(policy.grace_seconds(), 90 * DAY);
}

/// Shows REQ-TRUST-34: the built-in policy passes its own check.
#[test]
fn the_default_is_acceptable() {
    assert_eq!(Policy::new(Draft::default()), Ok(Policy::default()));
}

/// Shows REQ-TRUST-34: each way to break an invariant is refused, and named.
#[test]
fn what_would_break_an_invariant_is_refused() {
    let with = |change: &dyn Fn(&mut Draft)| {
        let mut draft = Draft::default();
        change(&mut draft);
        Policy::new(draft).map(drop)
    };
    for row in [Row::ExpiredWithinGrace, Row::ExpiredBeyondGrace, Row::Stale] {
        for operation in [Operation::Sustain, Operation::Renew] {
            let denied = with(&|draft| draft.set_effect(row, operation, Effect::Deny));
            assert_eq!(denied, Err(Breach::ExpiryDenies { row, operation }));
        }
    }
    for operation in [Operation::Treat, Operation::Inform, Operation::Configure] {
        for row in [Row::Stale, Row::NotYetValid, Row::Suspended] {
            let denied = with(&|draft| draft.set_effect(row, operation, Effect::Alert));
            assert_eq!(denied, Err(Breach::TooPermissive { row, operation, most: Effect::Deny }));
        }
    }
    let (row, operation) = (Row::Stale, Operation::Halt);
    let denied = with(&|draft| draft.set_effect(row, operation, Effect::Allow));
    assert_eq!(denied, Err(Breach::TooPermissive { row, operation, most: Effect::Alert }));
    let worse = with(&|draft| {
        draft.set_effect(Row::ExpiredWithinGrace, Operation::Store, Effect::Deny);
    });
    assert_eq!(worse, Err(Breach::WorseGrantsMore { operation: Operation::Store }));
    let grace = with(&|draft| draft.grace_seconds = u32::MAX);
    assert_eq!(grace, Err(Breach::Grace { seconds: u32::MAX }));
    for (operation, seconds) in
        [(Operation::Treat, 31 * DAY + 1), (Operation::Store, 366 * DAY + 1), (Operation::Read, 59)]
    {
        let denied = with(&|draft| draft.set_budget_seconds(Setting::Home, operation, seconds));
        assert_eq!(denied, Err(Breach::Budget { setting: Setting::Home, operation, seconds }));
    }
    let stricter = with(&|draft| {
        draft.set_effect(Row::ExpiredWithinGrace, Operation::Treat, Effect::Deny);
        draft.set_budget_seconds(Setting::Home, Operation::Treat, 3_600);
    });
    assert_eq!(stricter, Ok(()));
}

/// A site list, as bytes, that names `service` for policies, until time 5,000.
fn site_list(root: &Key, service: &Key, purpose: Purpose) -> Vec<u8> {
    let heading = Heading {
        recovery_epoch: 1,
        ..Heading::first(ListKind::Site, "Site", Time::from_unix(0), Time::from_unix(10_000))
    };
    let members = [Member { key: root.id, spki: &root.spki, name: "root" }];
    let services = [Service {
        key: service.id,
        spki: &service.spki,
        purposes: Purposes::of(&[purpose]),
        authority: KeyId::from_bytes([0; 16]),
        until: Some(Time::from_unix(5_000)),
    }];
    let mut payload = Vec::new();
    Content { heading, members: &members, recovery: &[], authorities: &[], services: &services }
        .encode(&mut payload)
        .unwrap();
    sign_list(&payload, &[root])
}

fn payload(draft: Draft) -> Vec<u8> {
    let mut payload = Vec::new();
    Policy(draft).encode(&mut payload).unwrap();
    payload
}

#[test]
fn a_signed_policy_is_believed_from_a_policy_key_only() {
    let (root, service) = (Key::p256(), Key::p256());
    let list_bytes = site_list(&root, &service, Purpose::Policy);
    let list = List::danger_open(&list_bytes).unwrap();
    let mut draft = Draft { version: 3, recovery_epoch: 1, issued: Time::from_unix(4_000), ..Draft::default() };
    draft.set_effect(Row::ExpiredWithinGrace, Operation::Treat, Effect::Deny);
    let bytes = service.sign1_full(&payload(draft), ContentType::POLICY);
    let policy = Policy::from_signed(&bytes, &list, &Provider).unwrap();
    assert_eq!(policy.draft(), &draft);
    let from = |bytes: &[u8], list: &List<'_>| Policy::from_signed(bytes, list, &Provider).map(drop);
    let by_stranger = Key::p256().sign1_full(&payload(draft), ContentType::POLICY);
    assert_eq!(from(&by_stranger, &list), Err(Refused::UnknownSigner));
    let status_bytes = site_list(&root, &service, Purpose::Status);
    assert_eq!(from(&bytes, &List::danger_open(&status_bytes).unwrap()), Err(Refused::UnknownSigner));
    let late = Draft { issued: Time::from_unix(5_001), ..draft };
    let late = service.sign1_full(&payload(late), ContentType::POLICY);
    assert_eq!(from(&late, &list), Err(Refused::UnknownSigner));
    let ahead = service.sign1_full(&payload(Draft { recovery_epoch: 2, ..draft }), ContentType::POLICY);
    assert_eq!(from(&ahead, &list), Err(Refused::RecoveryEpoch));
    let other_kind = service.sign1_full(&payload(draft), ContentType::STATUS);
    assert_eq!(from(&other_kind, &list), Err(Refused::Cose(cose::Error::ContentType)));
    let external = service.sign1(&payload(draft), Place::External(ContentType::POLICY), service.id.as_bytes());
    assert_eq!(from(&external, &list), Err(Refused::Cose(cose::Error::ContentType)));
    let mut broken = draft;
    broken.set_effect(Row::Stale, Operation::Renew, Effect::Deny);
    let broken = service.sign1_full(&payload(broken), ContentType::POLICY);
    let breach = Breach::ExpiryDenies { row: Row::Stale, operation: Operation::Renew };
    assert_eq!(from(&broken, &list), Err(Refused::Breach(breach)));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 2;
        assert!(from(&changed, &list).is_err(), "byte {at}");
    }
}

/// Shows REQ-TRUST-29.
#[test]
fn i4_only_a_newer_policy_succeeds() {
    let policy = |recovery_epoch, version| Policy(Draft { recovery_epoch, version, ..Draft::default() });
    assert_eq!(policy(0, 1).succeeds(&Policy::default()), Ok(()));
    assert_eq!(policy(0, 2).succeeds(&policy(0, 2)), Err(Refused::NotNewer { held: 2, given: 2 }));
    assert_eq!(policy(1, 0).succeeds(&policy(0, u64::MAX)), Ok(()));
    assert!(policy(0, u64::MAX).succeeds(&policy(1, 0)).is_err());
}

proptest! {
    #[test]
    fn decode_after_encode_is_identity(
        version in any::<u64>(), grace in any::<u32>(),
        budgets in any::<[[u32; OPERATIONS]; 2]>(), cells in any::<[[u8; OPERATIONS]; ROWS]>(),
    ) {
        let table = cells.map(|row| row.map(|cell| Effect::ALL[usize::from(cell % 3)]));
        let draft = Draft {
            version, recovery_epoch: 1, issued: Time::from_unix(77), grace_seconds: grace, budgets, table,
        };
        prop_assert_eq!(read_payload(&payload(draft)).unwrap(), draft);
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_payload(&bytes);
    }

    /// Whatever payload is accepted is exactly what the encoder writes.
    #[test]
    fn never_accepted_in_two_encodings(at in 0..140_usize, to in any::<u8>()) {
        let mut changed = payload(Draft::default());
        if let Some(byte) = changed.get_mut(at) {
            *byte = to;
        }
        if let Ok(draft) = read_payload(&changed) {
            prop_assert_eq!(payload(draft), changed);
        }
    }
}
