use super::*;
use crate::cose::testing::{Key, Provider, sign_list};
use crate::cose::{Algorithm, ContentType, Place};
use crate::list::{Content, ListKind, Member, Purpose, Purposes};
use proptest::prelude::*;
use std::vec::Vec;

fn at(seconds: i64) -> Time {
    Time::from_unix(seconds)
}

fn id(n: u8) -> [u8; 16] {
    [n; 16]
}

const AUTHORITY: KeyId = KeyId::from_bytes([7; 16]);

/// A site list, as bytes, that names `service` for `purpose`, until time 5,000.
fn site_list(root: &Key, service: &Key, purpose: Purpose) -> Vec<u8> {
    let heading =
        list::Heading { recovery_epoch: 2, ..list::Heading::first(ListKind::Site, "Site", at(0), at(10_000)) };
    let members = [Member { key: root.id, spki: &root.spki, name: "root" }];
    let services = [Service {
        key: service.id,
        spki: &service.spki,
        purposes: Purposes::of(&[purpose]),
        authority: AUTHORITY,
        until: Some(at(5_000)),
    }];
    let mut payload = Vec::new();
    Content { heading, members: &members, recovery: &[], authorities: &[], services: &services }
        .encode(&mut payload)
        .unwrap();
    sign_list(&payload, &[root])
}

fn heading() -> Heading {
    Heading { authority: AUTHORITY, recovery_epoch: 2, epoch: 8, issued: at(1_000), next: at(2_000) }
}

fn payload(heading: Heading, records: &[Record]) -> Vec<u8> {
    let mut payload = Vec::new();
    StatusContent { heading, records }.encode(&mut payload).unwrap();
    payload
}

fn record(subject: Subject, state: State) -> Record {
    Record { subject, state, reason: Reason::STOLEN, since: at(900), epoch: 3 }
}

fn records() -> Vec<Record> {
    std::vec![
        record(Subject::Credential(CredentialId::from_bytes(id(1))), State::Suspended),
        record(Subject::Credential(CredentialId::from_bytes(id(9))), State::Compromised),
        record(Subject::Device(DeviceId::from_bytes(id(1))), State::Ceased),
        record(Subject::Issuer(KeyId::from_bytes(id(0))), State::Superseded),
    ]
}

#[test]
fn a_record_takes_32_bytes_in_this_order() {
    let record = Record {
        subject: Subject::Device(DeviceId::from_bytes(id(0xaa))),
        state: State::Compromised,
        reason: Reason::LOST,
        since: at(0x01_0203_0405),
        epoch: 0x0607,
    };
    let mut expected = [0xaa; 32];
    expected[0] = 1;
    expected[17..].copy_from_slice(&[4, 128, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 6, 7]);
    assert_eq!(record.to_bytes(), expected);
    assert_eq!(Record::from_bytes(&expected), Some(record));
}

#[test]
fn a_signed_list_is_believed_and_searched() {
    let (root, service) = (Key::p256(), Key::p256());
    let list_bytes = site_list(&root, &service, Purpose::Status);
    let list = List::danger_open(&list_bytes).unwrap();
    let bytes = service.sign1_full(&payload(heading(), &records()), ContentType::STATUS);
    let status = StatusList::verify(&bytes, &list, &Provider).unwrap();
    assert_eq!((status.heading(), status.len()), (&heading(), 4));
    for record in records() {
        assert_eq!(status.record(record.subject), Some(record));
    }
    assert_eq!(status.record(Subject::Device(DeviceId::from_bytes(id(9)))), None);
    assert_eq!(status.record(Subject::Issuer(KeyId::from_bytes(id(1)))), None);
    assert_eq!(StatusList::danger_open(&bytes).unwrap().records().collect::<Vec<_>>(), records());
}

#[test]
fn a_list_by_anybody_else_is_refused() {
    let (root, service, stranger) = (Key::p256(), Key::p256(), Key::p256());
    let verify = |bytes: &[u8], purpose| {
        let list_bytes = site_list(&root, &service, purpose);
        let list = List::danger_open(&list_bytes).unwrap();
        StatusList::verify(bytes, &list, &Provider).map(drop)
    };
    let by = |key: &Key, heading| key.sign1_full(&payload(heading, &[]), ContentType::STATUS);
    assert_eq!(verify(&by(&service, heading()), Purpose::Status), Ok(()));
    assert_eq!(verify(&by(&service, heading()), Purpose::Policy), Err(Refused::UnknownSigner));
    assert_eq!(verify(&by(&stranger, heading()), Purpose::Status), Err(Refused::UnknownSigner));
    let late = Heading { issued: at(5_001), next: at(6_000), ..heading() };
    assert_eq!(verify(&by(&service, late), Purpose::Status), Err(Refused::UnknownSigner));
    let other = Heading { authority: KeyId::from_bytes(id(8)), ..heading() };
    assert_eq!(verify(&by(&service, other), Purpose::Status), Err(Refused::OtherAuthority));
    let ahead = Heading { recovery_epoch: 3, ..heading() };
    assert_eq!(verify(&by(&service, ahead), Purpose::Status), Err(Refused::RecoveryEpoch));
    let mut named = stranger.sign1(&payload(heading(), &[]), Place::Header(ContentType::STATUS), service.id.as_bytes());
    assert_eq!(verify(&named, Purpose::Status), Err(Refused::Cose(cose::Error::Invalid)));
    named.push(0);
    assert!(matches!(verify(&named, Purpose::Status), Err(Refused::Cose(cose::Error::Cbor(_)))));
}

#[test]
fn records_out_of_order_or_without_meaning_are_refused() {
    let (root, service) = (Key::p256(), Key::p256());
    let list_bytes = site_list(&root, &service, Purpose::Status);
    let list = List::danger_open(&list_bytes).unwrap();
    let good = payload(heading(), &records());
    let start = good.len() - 4 * RECORD_LENGTH;
    let verify = |change: &dyn Fn(&mut [u8])| {
        let mut changed = good.clone();
        change(&mut changed[start..]);
        let bytes = service.sign1_full(&changed, ContentType::STATUS);
        StatusList::verify(&bytes, &list, &Provider).map(drop)
    };
    assert_eq!(verify(&|_| {}), Ok(()));
    assert_eq!(verify(&|records| records[0] = 3), Err(Refused::Record(0)), "a kind of no meaning");
    assert_eq!(verify(&|records| records[32 + 17] = 0), Err(Refused::Record(1)), "a state of no meaning");
    assert_eq!(verify(&|records| records[32 + 17] = 5), Err(Refused::Record(1)), "a state of no meaning");
    assert_eq!(verify(&|records| records[64 + 19] = 0xff), Err(Refused::Record(2)), "a time beyond 9999");
    assert_eq!(verify(&|records| records.copy_within(0..32, 32)), Err(Refused::Record(1)), "twice the same subject");
    assert_eq!(verify(&|records| records[96] = 0), Err(Refused::Record(3)), "a kind out of order");
    let mut reversed = records();
    reversed.reverse();
    let refused = StatusContent { heading: heading(), records: &reversed }.encode(Vec::<u8>::new());
    assert_eq!(refused, Err(EncodeError::Content(Refused::Record(1))));
}

/// Shows REQ-TRUST-31.
#[test]
fn i4_epochs_grow_and_what_is_compromised_stays() {
    let held_bytes = Key::p256().sign1_full(&payload(heading(), &records()), ContentType::STATUS);
    let held = StatusList::danger_open(&held_bytes).unwrap();
    let next = |change: &dyn Fn(&mut Heading, &mut Vec<Record>)| {
        let (mut heading, mut records) = (Heading { epoch: 9, ..heading() }, records());
        change(&mut heading, &mut records);
        let bytes = Key::p256().sign1_full(&payload(heading, &records), ContentType::STATUS);
        StatusList::danger_open(&bytes).unwrap().succeeds(&held)
    };
    assert_eq!(next(&|_, _| {}), Ok(()));
    assert_eq!(
        next(&|_, records| {
            records.remove(0);
        }),
        Ok(()),
        "a suspension is lifted"
    );
    assert_eq!(next(&|heading, _| heading.epoch = 8), Err(Refused::NotNewer { held: 8, given: 8 }));
    assert_eq!(next(&|heading, _| heading.issued = at(999)), Ok(()), "its signer's clock was ahead before");
    assert_eq!(next(&|heading, _| heading.authority = KeyId::from_bytes(id(8))), Err(Refused::OtherAuthority));
    let compromised = records()[1].subject;
    let forgotten = Err(Refused::CompromiseForgotten(compromised));
    assert_eq!(
        next(&|_, records| {
            records.remove(1);
        }),
        forgotten
    );
    assert_eq!(next(&|_, records| records[1].state = State::Ceased), forgotten);
    assert_eq!(next(&|_, records| records.clear()), forgotten);
    let more = |_: &mut Heading, records: &mut Vec<Record>| {
        records.iter_mut().for_each(|record| record.state = State::Compromised);
    };
    assert_eq!(next(&more), Ok(()));
    assert_eq!(next(&|heading, _| heading.recovery_epoch = 1), Err(Refused::NotNewer { held: 8, given: 9 }));
    let recovered = |heading: &mut Heading, records: &mut Vec<Record>| {
        (heading.recovery_epoch, heading.epoch) = (3, 1);
        records.clear();
    };
    assert_eq!(next(&recovered), Ok(()), "a recovery mends a poisoned list");
}

fn ticket(nonce: Option<&[u8]>) -> TicketContent<'_> {
    TicketContent {
        credential: CredentialId::from_bytes(id(1)),
        state: Some(State::Compromised),
        reason: Reason::STOLEN,
        epoch: u64::MAX,
        issued: at(4_000_000_000),
        nonce,
    }
}

fn ticket_bytes(content: &TicketContent<'_>, key: &Key) -> Vec<u8> {
    let mut payload = Vec::new();
    content.encode(&mut payload).unwrap();
    key.sign1(&payload, TicketContent::PLACE, TicketContent::key_hint(&key.id))
}

/// Shows REQ-TRUST-32: at most 136 bytes with P-256 and a nonce of 16 bytes, with every number at its longest until 2106.
#[test]
fn a_ticket_takes_at_most_136_bytes() {
    let key = Key::p256();
    let length = |nonce| ticket_bytes(&TicketContent { reason: Reason(23), ..ticket(nonce) }, &key).len();
    assert_eq!(length(Some(&[1; 16])), 136);
    assert_eq!(length(Some(&[1; 8])), 128);
    assert_eq!(length(None), 120);
    // Reasons of our own take one byte more, and realistic epochs four less.
    assert_eq!(ticket_bytes(&TicketContent { epoch: 1_000_000, ..ticket(Some(&[1; 16])) }, &key).len(), 133);
}

#[test]
fn a_ticket_is_believed_from_a_status_key_only() {
    let (root, service) = (Key::p256(), Key::p256());
    let list_bytes = site_list(&root, &service, Purpose::Status);
    let list = List::danger_open(&list_bytes).unwrap();
    let content = TicketContent { issued: at(4_000), ..ticket(Some(&[1; 8])) };
    let bytes = ticket_bytes(&content, &service);
    let verified = Ticket::verify(&bytes, &list, &Provider).unwrap();
    assert_eq!((verified.content(), verified.authority()), (&content, AUTHORITY));
    assert_eq!(Ticket::danger_read(&bytes), Ok(content));
    let by_stranger = ticket_bytes(&content, &Key::p256());
    assert_eq!(Ticket::verify(&by_stranger, &list, &Provider), Err(Refused::UnknownSigner));
    let late = ticket_bytes(&TicketContent { issued: at(5_001), ..content }, &service);
    assert_eq!(Ticket::verify(&late, &list, &Provider), Err(Refused::UnknownSigner));
    let policy_bytes = site_list(&root, &service, Purpose::Policy);
    let policy_list = List::danger_open(&policy_bytes).unwrap();
    assert_eq!(Ticket::verify(&bytes, &policy_list, &Provider), Err(Refused::UnknownSigner));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Ticket::verify(&changed, &list, &Provider).is_err(), "byte {at}");
    }
}

#[test]
fn a_status_list_is_no_ticket_and_a_short_nonce_none() {
    let (root, service) = (Key::p256(), Key::new(Algorithm::Ed25519));
    let list_bytes = site_list(&root, &service, Purpose::Status);
    let list = List::danger_open(&list_bytes).unwrap();
    let status = service.sign1_full(&payload(heading(), &[]), ContentType::STATUS);
    assert!(Ticket::verify(&status, &list, &Provider).is_err());
    let mut content = Vec::new();
    ticket(None).encode(&mut content).unwrap();
    let as_status = service.sign1_full(&content, ContentType::STATUS);
    assert_eq!(Ticket::verify(&as_status, &list, &Provider), Err(Refused::UnknownSigner));
    assert_eq!(ticket(Some(&[0; 7])).encode(Vec::<u8>::new()), Err(EncodeError::Content(Refused::Nonce(7))));
    assert_eq!(ticket(Some(&[0; 33])).encode(Vec::<u8>::new()), Err(EncodeError::Content(Refused::Nonce(33))));
}

prop_compose! {
    fn any_record()(
        kind in 0..3_u8,
        id in any::<[u8; 16]>(),
        small in any::<bool>(),
        state in 0..4_usize,
        reason in any::<u8>(),
        since in 0..=Time::NEVER.unix(),
        epoch in any::<u64>(),
    ) -> Record {
        let id = if small { [id[0] % 4; 16] } else { id };
        let (since, reason) = (at(since), Reason(reason));
        Record { subject: Subject::from_parts(kind, id).unwrap(), state: State::ALL[state], reason, since, epoch }
    }
}

proptest! {
    #[test]
    fn decode_after_encode_is_identity(mut records in prop::collection::vec(any_record(), 0..40)) {
        records.sort_by_key(|record| record.subject);
        records.dedup_by_key(|record| record.subject);
        let payload = payload(heading(), &records);
        let status = StatusList::read_payload(&payload).unwrap();
        prop_assert_eq!(status.check_records(), Ok(()));
        prop_assert_eq!(status.heading(), &heading());
        prop_assert_eq!(status.records().collect::<Vec<_>>(), records.clone());
        for record in &records {
            prop_assert_eq!(status.record(record.subject), Some(*record));
        }
    }

    /// The search in the bytes finds what a plain search finds.
    #[test]
    fn search_agrees_with_a_plain_search(mut records in prop::collection::vec(any_record(), 0..40), wanted in any_record()) {
        records.sort_by_key(|record| record.subject);
        records.dedup_by_key(|record| record.subject);
        let payload = payload(heading(), &records);
        let status = StatusList::read_payload(&payload).unwrap();
        let plain = records.iter().find(|record| record.subject == wanted.subject).copied();
        prop_assert_eq!(status.record(wanted.subject), plain);
    }

    #[test]
    fn succession_agrees_with_a_plain_search(
        mut old in prop::collection::vec(any_record(), 0..20),
        mut new in prop::collection::vec(any_record(), 0..20),
    ) {
        for records in [&mut old, &mut new] {
            records.sort_by_key(|record| record.subject);
            records.dedup_by_key(|record| record.subject);
        }
        let (held, given) = (payload(heading(), &old), payload(Heading { epoch: 9, ..heading() }, &new));
        let (held, given) = (StatusList::read_payload(&held).unwrap(), StatusList::read_payload(&given).unwrap());
        let kept = old.iter().filter(|record| record.state == State::Compromised).all(|old| {
            new.iter().any(|new| new.subject == old.subject && new.state == State::Compromised)
        });
        prop_assert_eq!(given.succeeds(&held).is_ok(), kept);
    }

    #[test]
    fn tickets_round_trip(
        credential in any::<[u8; 16]>(), state in 0..5_u8, reason in any::<u8>(), epoch in any::<u64>(),
        issued in 0..=Time::NEVER.unix(), nonce in prop::option::of(prop::collection::vec(any::<u8>(), 8..=32)),
    ) {
        let content = TicketContent {
            credential: CredentialId::from_bytes(credential),
            state: State::from_number(state),
            reason: Reason(reason),
            epoch,
            issued: at(issued),
            nonce: nonce.as_deref(),
        };
        let mut payload = Vec::new();
        content.encode(&mut payload).unwrap();
        let mut bytes = Vec::new();
        cose::sign1(&payload, TicketContent::PLACE, Algorithm::Es256, b"", &mut bytes, |_| Ok::<_, ()>([0; 64])).unwrap();
        prop_assert_eq!(Ticket::danger_read(&bytes), Ok(content));
    }

    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = StatusList::danger_open(&bytes);
        let _ = StatusList::read_payload(&bytes);
        let _ = Ticket::danger_read(&bytes);
    }
}
