use super::*;
use crate::cose::testing::{Key, Provider, sign_list};
use crate::path::AuthorityKind;
use crate::role::{DeviceType, DeviceTypes, Role, Roles};
use crate::time::Interval;
use proptest::prelude::*;
use std::vec::Vec;

/// `CN=a`.
const SUBJECT: &[u8] = b"\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01a";
const TYPES: &[u8] = b"\x00\x01\x00\x02\x01\x00";

fn at(seconds: i64) -> Time {
    Time::from_unix(seconds)
}

mod succession;

struct Made {
    members: Vec<Key>,
    custodians: Vec<Key>,
    authority: Key,
    service: Key,
}

impl Made {
    fn new(members: usize) -> Self {
        let keys = |count| (0..count).map(|_| Key::p256()).collect();
        Self { members: keys(members), custodians: keys(0), authority: Key::p256(), service: Key::p256() }
    }

    fn payload(&self, change: impl FnOnce(&mut Heading<'_>, &mut Authority<'_>, &mut Service<'_>)) -> Vec<u8> {
        self.payload_with(&self.members.iter().collect::<Vec<_>>(), change)
    }

    fn payload_with(
        &self,
        members: &[&Key],
        change: impl FnOnce(&mut Heading<'_>, &mut Authority<'_>, &mut Service<'_>),
    ) -> Vec<u8> {
        let mut heading = Heading {
            version: 5,
            threshold: 2,
            ..Heading::first(ListKind::Alliance, "Alliance", at(1_000), at(2_000))
        };
        let members: Vec<_> =
            members.iter().map(|key| Member { key: key.id, spki: &key.spki, name: "member" }).collect();
        let recovery: Vec<_> =
            self.custodians.iter().map(|key| Member { key: key.id, spki: &key.spki, name: "custodian" }).collect();
        heading.recovery_threshold = u8::try_from(recovery.len().div_ceil(2)).unwrap();
        let mut authority = Authority {
            roles: Roles::of(&[Role::Sensor]),
            device_types: DeviceTypes::listed(TYPES).unwrap(),
            since: at(500),
            ..Authority::for_everything(self.authority.id, AuthorityKind::Maker, "Maker", SUBJECT, &self.authority.spki)
        };
        let mut service = Service {
            key: self.service.id,
            spki: &self.service.spki,
            purposes: Purposes::of(&[Purpose::Status]),
            authority: self.authority.id,
            until: Some(at(9_000)),
        };
        change(&mut heading, &mut authority, &mut service);
        let (members, recovery) = (&members, &recovery);
        let content = Content { heading, members, recovery, authorities: &[authority], services: &[service] };
        let mut payload = Vec::new();
        content.encode(&mut payload).unwrap();
        payload
    }

    fn signed(&self, payload: &[u8], signers: &[usize]) -> Vec<u8> {
        sign_list(payload, &signers.iter().map(|at| &self.members[*at]).collect::<Vec<_>>())
    }

    fn pins(&self) -> Vec<KeyId> {
        self.members.iter().map(|key| key.id).collect()
    }
}

#[test]
fn a_pinned_list_says_what_was_written() {
    let made = Made::new(3);
    let bytes = made.signed(&made.payload(|_, _, _| {}), &[0, 2]);
    let pins = made.pins();
    let list =
        List::verify_pinned(&bytes, &Pinned::Members { keys: &pins, threshold: 2 }, Interval::UNKNOWN, &Provider)
            .unwrap();
    assert_eq!((list.heading().name, list.heading().version), ("Alliance", 5));
    assert_eq!(list.members().count(), 3);
    let authority = list.authority(made.authority.id).unwrap();
    assert_eq!((authority.name, authority.subject, authority.since), ("Maker", SUBJECT, at(500)));
    let anchor = authority.anchor().unwrap();
    assert!(anchor.device_types.contains(Some(DeviceType(256))) && !anchor.device_types.contains(Some(DeviceType(3))));
    assert!(!anchor.device_types.contains(None));
    assert_eq!(list.authority(made.service.id), None);
    let service = list.service(Purpose::Status, &made.service.id.as_bytes()[..8]).unwrap();
    assert_eq!(service.public_key(&Provider).unwrap(), made.service.public());
    assert!(service.signs_at(at(9_000)) && !service.signs_at(at(9_001)));
    assert_eq!(list.service(Purpose::Policy, made.service.id.as_bytes()), None);
    assert_eq!(list.service(Purpose::Status, &[]), None);
    assert_eq!(List::danger_open(&bytes).unwrap().heading(), list.heading());
}

#[test]
fn too_few_signatures_are_refused() {
    let made = Made::new(3);
    let payload = made.payload(|_, _, _| {});
    let pins = made.pins();
    let verify = |signers: &[usize], threshold| {
        let bytes = made.signed(&payload, signers);
        List::verify_pinned(&bytes, &Pinned::Members { keys: &pins, threshold }, Interval::UNKNOWN, &Provider).map(drop)
    };
    assert_eq!(verify(&[0, 1], 2), Ok(()));
    assert_eq!(verify(&[0, 1], 3), Err(Refused::TooFewSignatures { have: 2, need: 3, signers: Signers::Pinned }));
    assert_eq!(verify(&[1], 1), Err(Refused::TooFewSignatures { have: 1, need: 2, signers: Signers::Own }));
    assert_eq!(verify(&[0, 1], 0), Ok(()));
}

#[test]
fn strangers_signatures_count_for_nothing() {
    let (made, strangers) = (Made::new(2), Made::new(2));
    let payload = made.payload(|_, _, _| {});
    let bytes = sign_list(&payload, &[&made.members[0], &strangers.members[0], &strangers.members[1]]);
    let pins = made.pins();
    let refused =
        List::verify_pinned(&bytes, &Pinned::Members { keys: &pins, threshold: 2 }, Interval::UNKNOWN, &Provider)
            .map(drop);
    assert_eq!(refused, Err(Refused::TooFewSignatures { have: 1, need: 2, signers: Signers::Pinned }));
    let refused =
        List::verify_pinned(&bytes, &Pinned::Root(strangers.members[0].id), Interval::UNKNOWN, &Provider).map(drop);
    assert!(matches!(refused, Err(Refused::TooFewSignatures { have: 0, need: 1, .. })));
}

#[test]
fn a_site_list_is_signed_by_its_pinned_root() {
    let made = Made::new(1);
    let payload = made.payload(|heading, _, _| {
        heading.kind = ListKind::Site;
        heading.threshold = 1;
    });
    let bytes = made.signed(&payload, &[0]);
    assert!(List::verify_pinned(&bytes, &Pinned::Root(made.members[0].id), Interval::UNKNOWN, &Provider).is_ok());
    assert!(List::verify_pinned(&bytes, &Pinned::Root(made.authority.id), Interval::UNKNOWN, &Provider).is_err());
}

#[test]
fn a_key_with_another_identifier_is_refused() {
    let made = Made::new(2);
    let other = Key::p256();
    let payload = made.payload(|_, authority, _| authority.key = other.id);
    let bytes = made.signed(&payload, &[0, 1]);
    let pins = made.pins();
    let refused =
        List::verify_pinned(&bytes, &Pinned::Members { keys: &pins, threshold: 2 }, Interval::UNKNOWN, &Provider)
            .map(drop);
    assert_eq!(refused, Err(Refused::Malformed(Error::Key(other.id))));
}

/// Shows REQ-TRUST-29.
#[test]
fn i4_only_a_newer_version_succeeds() {
    let made = Made::new(3);
    let held_bytes = made.signed(&made.payload(|_, _, _| {}), &[0, 1]);
    let held = List::danger_open(&held_bytes).unwrap();
    let next = |change: &dyn Fn(&mut Heading<'_>)| {
        let bytes = made.signed(&made.payload(|heading, _, _| change(heading)), &[1, 2]);
        List::verify_successor(&bytes, &held, Interval::UNKNOWN, &Provider).map(drop)
    };
    assert_eq!(next(&|heading| heading.version = 6), Ok(()));
    assert_eq!(next(&|heading| heading.version = 900), Ok(()));
    assert_eq!(next(&|_| {}), Err(Refused::NotNewer { held: 5, given: 5 }));
    assert_eq!(next(&|heading| heading.version = 4), Err(Refused::NotNewer { held: 5, given: 4 }));
    let earlier = next(&|heading| {
        heading.version = 6;
        heading.issued = at(999);
    });
    assert_eq!(earlier, Err(Refused::IssuedEarlier { held: at(1_000), given: at(999) }));
    let other = next(&|heading| {
        heading.version = 6;
        heading.name = "Another";
    });
    assert_eq!(other, Err(Refused::OtherList));
    let kind = next(&|heading| {
        heading.version = 6;
        heading.kind = ListKind::Site;
    });
    assert_eq!(kind, Err(Refused::OtherList));
}

/// Shows REQ-TRUST-29.
#[test]
fn i4_a_recovery_epoch_mends_a_poisoned_version_and_goes_one_step() {
    let made = Made::new(3);
    let poisoned = made.payload(|heading, authority, _| {
        heading.version = u64::MAX;
        heading.issued = at(5_000);
        heading.next = at(6_000);
        authority.state = AuthorityState::Compromised;
    });
    let poisoned = made.signed(&poisoned, &[0, 1]);
    let held = List::danger_open(&poisoned).unwrap();
    let recover = |epoch, signers: &[usize]| {
        let payload = made.payload(|heading, _, _| {
            heading.version = 6;
            heading.recovery_epoch = epoch;
        });
        List::verify_successor(&made.signed(&payload, signers), &held, Interval::UNKNOWN, &Provider).map(drop)
    };
    assert_eq!(recover(1, &[0, 2]), Ok(()));
    assert!(matches!(recover(1, &[0]), Err(Refused::TooFewSignatures { .. })));
    assert_eq!(recover(2, &[0, 2]), Err(Refused::RecoveryEpoch { held: 0, given: 2 }));
    assert_eq!(recover(0, &[0, 2]), Err(Refused::NotNewer { held: u64::MAX, given: 6 }));
}

/// Shows REQ-TRUST-30.
#[test]
fn members_change_only_with_the_old_and_the_new() {
    let (old, new) = (Made::new(3), Made::new(3));
    let held_bytes = old.signed(&old.payload(|_, _, _| {}), &[0, 1]);
    let held = List::danger_open(&held_bytes).unwrap();
    let members: Vec<_> = new.members.iter().collect();
    let payload = old.payload_with(&members, |heading, _, _| heading.version = 6);
    let successor = |signers: &[&Key]| {
        List::verify_successor(&sign_list(&payload, signers), &held, Interval::UNKNOWN, &Provider).map(drop)
    };
    let (a, b) = (&old.members, &new.members);
    assert_eq!(successor(&[&a[0], &a[1], &b[0], &b[1]]), Ok(()));
    assert_eq!(
        successor(&[&a[0], &b[0], &b[1]]),
        Err(Refused::TooFewSignatures { have: 1, need: 2, signers: Signers::Held })
    );
    assert_eq!(
        successor(&[&a[0], &a[1], &b[0]]),
        Err(Refused::TooFewSignatures { have: 1, need: 2, signers: Signers::Own })
    );
}

/// Shows REQ-TRUST-31.
#[test]
fn a_compromised_authority_stays_compromised() {
    let made = Made::new(2);
    let bad = made.payload(|_, authority, _| authority.state = AuthorityState::Compromised);
    let held_bytes = made.signed(&bad, &[0, 1]);
    let held = List::danger_open(&held_bytes).unwrap();
    assert!(held.authorities().all(|authority| authority.anchor().is_none()));
    let softened = made.payload(|heading, authority, _| {
        heading.version = 6;
        authority.state = AuthorityState::Suspended;
    });
    let refused =
        List::verify_successor(&made.signed(&softened, &[0, 1]), &held, Interval::UNKNOWN, &Provider).map(drop);
    assert_eq!(refused, Err(Refused::CompromiseForgotten(made.authority.id)));
    let other = Key::p256();
    let gone = made.payload(|heading, authority, _| {
        heading.version = 6;
        authority.key = other.id;
    });
    let refused = List::verify_successor(&made.signed(&gone, &[0, 1]), &held, Interval::UNKNOWN, &Provider).map(drop);
    assert_eq!(refused, Err(Refused::CompromiseForgotten(made.authority.id)));
}

#[test]
fn every_changed_byte_is_noticed() {
    let made = Made::new(2);
    let bytes = made.signed(&made.payload(|_, _, _| {}), &[0, 1]);
    let pins = made.pins();
    let pinned = Pinned::Members { keys: &pins, threshold: 2 };
    assert!(List::verify_pinned(&bytes, &pinned, Interval::UNKNOWN, &Provider).is_ok());
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        assert!(List::verify_pinned(&changed, &pinned, Interval::UNKNOWN, &Provider).is_err(), "byte {at}");
    }
}

#[test]
fn what_no_verifier_would_accept_is_not_written() {
    let key = Key::p256();
    let member = Member { key: key.id, spki: &key.spki, name: "m" };
    let heading = Heading { ..Heading::first(ListKind::Site, "Site", at(10), at(20)) };
    let good = Content { heading, members: &[member], recovery: &[], authorities: &[], services: &[] };
    let encode = |content: &Content<'_>| content.encode(Vec::new());
    assert_eq!(encode(&good), Ok(()));
    assert_eq!(encode(&Content { members: &[], ..good }), Err(EncodeError::Content(Error::Threshold)));
    assert_eq!(encode(&Content { members: &[member; 2], ..good }), Err(EncodeError::Content(Error::Entry)));
    let late = Heading { next: at(9), ..heading };
    assert_eq!(encode(&Content { heading: late, ..good }), Err(EncodeError::Content(Error::Times)));
    let nameless = Heading { name: "", ..heading };
    assert_eq!(encode(&Content { heading: nameless, ..good }), Err(EncodeError::Content(Error::Entry)));
    let many = [member; MAX_MEMBERS + 1];
    assert_eq!(encode(&Content { members: &many, ..good }), Err(EncodeError::Content(Error::Entry)));
}

fn authorities() -> impl Strategy<Value = Vec<(u8, u32, usize, i64, Option<i64>)>> {
    prop::collection::vec((any::<u8>(), any::<u32>(), 0..4_usize, 0..9_000_i64, prop::option::of(0..9_000_i64)), 0..64)
}

proptest! {
    /// What is encoded is decoded to the same, in whatever order it was given, and encodes to the same bytes again.
    #[test]
    fn decode_after_encode_is_identity(raw in authorities(), version in any::<u64>(), listed in any::<bool>()) {
        let key = |n: u8| KeyId::from_bytes([n; 16]);
        let mut unique: Vec<_> = raw;
        unique.sort_by_key(|entry| entry.0);
        unique.dedup_by_key(|entry| entry.0);
        let entries: Vec<_> = unique
            .iter()
            .rev()
            .map(|(n, roles, state, since, until)| Authority { roles: Roles::from_bits(*roles), device_types: if listed { DeviceTypes::Listed(TYPES) } else { DeviceTypes::Every }, state: AuthorityState::ALL[*state], since: at(*since), until: until.map(at), ..Authority::for_everything(key(*n), if n % 2 == 0 { AuthorityKind::Maker } else { AuthorityKind::Site }, "name", SUBJECT, b"not a key") })
            .collect();
        let member = Member { key: key(0), spki: b"k", name: "m" };
        let heading = Heading { version, recovery_epoch: 3, ..Heading::first(ListKind::Site, "Site", at(1), at(2)) };
        let content = Content { heading, members: &[member], recovery: &[], authorities: &entries, services: &[] };
        let mut payload = Vec::new();
        content.encode(&mut payload).unwrap();
        let list = List::read_payload(&payload).unwrap();
        prop_assert_eq!(list.heading(), &heading);
        let read: Vec<_> = list.authorities().collect();
        prop_assert_eq!(read.iter().rev().copied().collect::<Vec<_>>(), entries.clone());
        for entry in &entries {
            prop_assert_eq!(list.authority(entry.key), Some(*entry));
        }
        let mut again = Vec::new();
        Content { authorities: &read, ..content }.encode(&mut again).unwrap();
        prop_assert_eq!(again, payload);
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = List::danger_open(&bytes);
        let _ = List::read_payload(&bytes);
    }
}
