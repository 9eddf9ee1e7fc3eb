//! What every store must do.

use crate::fixture::noon;
use medlock_authority::MadeAs;
use medlock_authority::registry::{Device, DeviceConfig};
use medlock_authority::store::{
    Alarm, AuditEntry, Claim, CodeRecord, CodeState, CredentialState, DeviceSearch, Enrolment, Holding, Issuances,
    Journal, Life, LogTile, Met, MetCertificate, Owner, OwnerEvent, Owners, Past, PendingRequest, PendingState, Pledge,
    PledgeRoom, Published, Purpose, Record, Serial, SignedCheckpoint, SqlStore, StandingChange, StandingState,
    Standings, Store, StoreError, Subject,
};
use medlock_node::log::Tile;
use medlock_trust::{CredentialId, DeviceName, DeviceType, KeyId, Role, Roles};
use std::sync::Arc;

fn record(serial: u8) -> Record {
    Record {
        serial: Serial::from_random([serial; 16]),
        purpose: Purpose::Operational,
        device: DeviceName::new("ct-1"),
        key: KeyId::from_bytes([serial; 16]),
        parent: None,
        not_before: noon(),
        not_after: noon().plus_seconds(100),
        at: noon(),
        tbs: vec![serial; 10],
    }
}

fn credential(number: u8) -> CredentialId {
    CredentialId::from_bytes([number; 16])
}

fn device(name: &str) -> Device {
    Device::try_from(DeviceConfig {
        maker_serial: Some(format!("SN-{name}")),
        maker_key: Some("00112233445566778899aabbccddeeff".into()),
        validity_seconds: Some(60),
        ..crate::fixture::ct(name)
    })
    .unwrap()
}

fn code(id: u8, name: &str) -> CodeRecord {
    CodeRecord {
        id: [id; 5],
        device: DeviceName::new(name).unwrap(),
        secret_hash: [id; 32],
        expires: noon(),
        wrong_tries: 0,
        state: CodeState::Open,
        key: None,
    }
}

fn pending(id: u8, claim: Claim, key: u8) -> PendingRequest {
    PendingRequest {
        id: [id; 8],
        device: None,
        claim,
        key: KeyId::from_bytes([key; 16]),
        key_fingerprint: [key; 32],
        claims: "CN=x".into(),
        made_as: Some(MadeAs { roles: Roles::of(&[Role::Sensor, Role::Actuator]), device_type: None }),
        address: "a:1".into(),
        since: noon(),
        state: PendingState::Waiting,
    }
}

fn change(subject: Subject, state: Option<StandingState>) -> StandingChange {
    StandingChange { subject, state, reason: "test".into(), at: noon() }
}

/// The suite. `make` makes an empty store.
fn check<S: Store + 'static>(make: impl Fn() -> S) {
    certificates(&make());
    turns(&make());
    together(&make());
    pages(&make());
    devices_and_codes(&make());
    enrolments(&make());
    requests(&make());
    standings(&make());
    heard_standings(&make());
    holdings(&make());
    states(&make());
    journal(&make());
    log(&make());
    owners(&make());
    pledges(&make());
    many_at_once(Arc::new(make()));
}

fn certificates(store: &impl Issuances) {
    let taken = |result| matches!(result, Err(StoreError::Taken { .. }));
    let missing = |result| matches!(result, Err(StoreError::Missing { .. }));
    store.record(record(1)).unwrap();
    assert!(taken(store.record(record(1))), "a serial was recorded twice");
    assert_eq!(store.unfinished().unwrap(), [record(1)]);
    assert_eq!(store.issued(credential(1)).unwrap(), None);
    store.complete(record(1).serial, credential(1), vec![1]).unwrap();
    assert!(missing(store.complete(record(1).serial, credential(9), vec![2])), "a certificate was replaced");
    assert!(missing(store.abandon(record(1).serial, "no")), "a certificate was given up");
    assert!(missing(store.complete(record(2).serial, credential(2), vec![2])), "a certificate without its record");
    store.record(record(2)).unwrap();
    store.abandon(record(2).serial, "test").unwrap();
    assert!(missing(store.complete(record(2).serial, credential(2), vec![2])), "an abandoned record was completed");
    assert!(taken(store.record(record(2))), "an abandoned serial was used again");
    assert!(store.unfinished().unwrap().is_empty());
    let child = Record { parent: Some(credential(1)), at: noon().plus_seconds(5), ..record(3) };
    store.record(child.clone()).unwrap();
    store.complete(child.serial, credential(3), vec![3]).unwrap();
    let name = DeviceName::new("ct-1").unwrap();
    let ids = |issued: Vec<medlock_authority::store::Issued>| {
        issued.into_iter().map(|one| one.credential).collect::<Vec<_>>()
    };
    assert_eq!(ids(store.credentials_of(name).unwrap()), [credential(3), credential(1)]);
    assert_eq!(ids(store.children(credential(1)).unwrap()), [credential(3)]);
    assert_eq!(ids(store.credentials_for(child.key).unwrap()), [credential(3)]);
    let found = store.issued_with_serial(child.serial).unwrap().unwrap();
    assert_eq!((found.record, found.certificate, found.used), (child, vec![3], false));
    assert!(store.mark_used(credential(3)).unwrap());
    assert!(!store.mark_used(credential(3)).unwrap());
    assert_eq!(store.newest(Purpose::Root).unwrap(), None);
    store.record(Record { purpose: Purpose::Root, ..record(4) }).unwrap();
    assert_eq!(store.newest(Purpose::Root).unwrap(), None);
    store.complete(record(4).serial, credential(4), vec![4]).unwrap();
    assert_eq!(store.newest(Purpose::Root).unwrap().unwrap().credential, credential(4));
    for (number, purpose) in [(5, Purpose::Issuing), (6, Purpose::Voucher), (7, Purpose::Birth), (8, Purpose::Root)] {
        store.record(Record { purpose, device: None, ..record(number) }).unwrap();
        store.complete(record(number).serial, credential(number), vec![number]).unwrap();
        assert_eq!(store.newest(purpose).unwrap().unwrap().credential, credential(number), "{purpose:?}");
    }
    assert_eq!(store.newest(Purpose::Operational).unwrap().unwrap().credential, credential(3));
}

fn log(store: &impl Store) {
    let missing = |result| matches!(result, Err(StoreError::Missing { .. }));
    let tile = |width: u16| Tile { level: 0, index: 0, width };
    let hashes = |width: u16| LogTile { tile: tile(width), hashes: vec![7; usize::from(width) * 32] };
    let note = |size: u64| SignedCheckpoint { size, note: vec![u8::try_from(size).unwrap()] };
    let waiting = |most| store.waiting_entries(most).unwrap().into_iter().map(|entry| entry.tbs).collect::<Vec<_>>();
    assert_eq!((store.log_size().unwrap(), store.checkpoint().unwrap()), (0, None));
    let (mine, others) = ([1; 16], [2; 16]);
    let term = store.take_lease(mine, 60).unwrap().unwrap();
    assert_eq!(store.take_lease(mine, 60).unwrap(), Some(term), "the term changed without a change of holder");
    for serial in 1..=4 {
        store.record(record(serial)).unwrap();
    }
    // One that was given up is in the log all the same.
    store.abandon(record(2).serial, "test").unwrap();
    assert_eq!(waiting(9), [vec![1; 10], vec![2; 10], vec![3; 10], vec![4; 10]]);
    assert_eq!(waiting(2), [vec![1; 10], vec![2; 10]]);

    let serials = |numbers: &[u8]| numbers.iter().map(|number| record(*number).serial).collect::<Vec<_>>();
    assert!(missing(store.append_entries(term + 1, 0, serials(&[1, 2]), vec![])), "another term appended");
    assert!(missing(store.append_entries(term, 1, serials(&[1, 2]), vec![])), "a gap was left");
    assert!(
        missing(store.append_entries(term, 0, serials(&[1, 9]), vec![hashes(2)])),
        "what was never recorded is in the log"
    );
    assert_eq!(
        (store.log_size().unwrap(), store.log_tile(tile(1)).unwrap()),
        (0, None),
        "a failed verb changed something"
    );
    store.append_entries(term, 0, serials(&[1, 2]), vec![hashes(2)]).unwrap();
    assert!(missing(store.append_entries(term, 0, serials(&[3, 4]), vec![])), "a place was given twice");
    assert!(missing(store.append_entries(term, 2, serials(&[1]), vec![])), "a record got two places");
    assert_eq!(store.log_size().unwrap(), 2);
    assert_eq!(waiting(9), [vec![3; 10], vec![4; 10]]);
    assert_eq!(store.place_of(record(2).serial).unwrap(), Some(1));
    assert_eq!(store.place_of(record(3).serial).unwrap(), None);
    store.complete(record(1).serial, credential(1), vec![1]).unwrap();
    assert_eq!(store.place_of_credential(credential(1)).unwrap(), Some(0));
    assert_eq!(store.place_of_credential(credential(9)).unwrap(), None);

    store.keep_checkpoint(term, note(2)).unwrap();
    assert!(missing(store.keep_checkpoint(term, note(1))), "the log shrank");
    assert!(missing(store.keep_checkpoint(term, note(3))), "more was signed than the log has");
    assert!(missing(store.keep_checkpoint(term + 1, note(2))), "another term signed");
    assert_eq!(store.checkpoint().unwrap(), Some(note(2)));

    store.append_entries(term, 2, serials(&[3, 4]), vec![hashes(4)]).unwrap();
    let entries = |first, count| {
        store.log_entries(first, count).unwrap().into_iter().map(|entry| entry.serial).collect::<Vec<_>>()
    };
    assert_eq!(entries(1, 2), serials(&[2, 3]));
    assert_eq!(entries(3, 9), serials(&[4]));
    assert_eq!(store.log_tile(tile(3)).unwrap(), Some(vec![7; 96]));
    assert_eq!(store.log_tile(tile(4)).unwrap(), Some(vec![7; 128]));
    assert_eq!(store.log_tile(tile(5)).unwrap(), None);
    assert_eq!(store.log_tile(Tile { level: 1, index: 0, width: 1 }).unwrap(), None);

    // Whoever takes over shuts out who had it before.
    if let Some(next) = store.take_lease(others, 60).unwrap() {
        assert!(next > term);
        store.record(record(5)).unwrap();
        assert!(missing(store.append_entries(term, 4, serials(&[5]), vec![])), "an old term appended");
        assert!(missing(store.keep_checkpoint(term, note(4))), "an old term signed");
        store.append_entries(next, 4, serials(&[5]), vec![]).unwrap();
    }
}

fn owners(store: &impl Owners) {
    let event = |owner: u8, voucher: Option<u8>, seconds| OwnerEvent {
        at: noon().plus_seconds(seconds),
        domain: [owner; 32],
        voucher: voucher.map(|byte| vec![byte]),
        expires: voucher.map(|_| noon().plus_seconds(86_400)),
        why: if voucher.is_some() { String::new() } else { "sold".to_owned() },
    };
    let taken = |result| matches!(result, Err(StoreError::Taken { .. }));
    let missing = |result| matches!(result, Err(StoreError::Missing { .. }));
    assert!(missing(store.free_owner("P-1", event(1, None, 0), None)), "what is nobody's was released");
    store.give_owner("P-1", event(1, Some(1), 1)).unwrap();
    store.give_owner("P-1", event(1, Some(2), 2)).unwrap();
    assert_eq!(store.owned_since("P-1").unwrap(), Some(noon().plus_seconds(1)), "the newest voucher counts");
    assert!(taken(store.give_owner("P-1", event(2, Some(3), 3))), "a device has two owners");
    assert!(missing(store.free_owner("P-1", event(2, None, 4), None)), "somebody else released it");
    store.free_owner("P-1", event(1, None, 5), None).unwrap();
    assert!(missing(store.free_owner("P-1", event(1, None, 6), None)), "it was released twice");
    assert_eq!(store.owned_since("P-1").unwrap(), None);
    store.give_owner("P-1", event(2, Some(4), 7)).unwrap();
    assert_eq!(store.owned_since("P-1").unwrap(), Some(noon().plus_seconds(7)));
    store.give_owner("P-2", event(1, Some(5), 8)).unwrap();
    let expected = [event(2, Some(4), 7), event(1, None, 5), event(1, Some(2), 2), event(1, Some(1), 1)];
    assert_eq!(store.owners("P-1", 9).unwrap(), expected);
    assert_eq!(store.owners("P-1", 2).unwrap(), expected[..2]);
    assert!(store.owners("P-3", 9).unwrap().is_empty());
    // What was promised to one goes to nobody else, until the promise is taken back.
    let promised = |domain: Option<u8>, promised: Option<u8>| Owner {
        domain: domain.map(|byte| [byte; 32]),
        promised: promised.map(|byte| [byte; 32]),
    };
    assert_eq!(store.owner_now("P-1").unwrap(), promised(Some(2), None));
    store.free_owner("P-1", event(2, None, 9), Some([3; 32])).unwrap();
    assert_eq!(store.owner_now("P-1").unwrap(), promised(None, Some(3)));
    assert!(taken(store.give_owner("P-1", event(2, Some(6), 10))), "it was promised to another");
    store.give_owner("P-1", event(3, Some(6), 10)).unwrap();
    assert_eq!(store.owner_now("P-1").unwrap(), promised(Some(3), None));
    assert!(missing(store.forget_promise("P-1", event(3, None, 11))), "there is no promise");
    store.free_owner("P-1", event(3, None, 11), Some([4; 32])).unwrap();
    store.forget_promise("P-1", event(4, None, 12)).unwrap();
    store.give_owner("P-1", event(5, Some(7), 13)).unwrap();
    assert_eq!(store.owner_now("P-3").unwrap(), Owner::default());
}

/// Shows REQ-PROV-49.
fn pledges(store: &impl Store) {
    let pledge = |maker: u8, serial: &str, seconds: i64| Pledge {
        maker: KeyId::from_bytes([maker; 16]),
        serial: serial.to_owned(),
        made_as: Some(MadeAs { roles: Roles::of(&[Role::Actuator]), device_type: Some(DeviceType(7)) }),
        address: format!("a:{seconds}"),
        first: noon().plus_seconds(seconds),
        last: noon().plus_seconds(seconds),
        count: 1,
    };
    let room = PledgeRoom { maker: 3, all: 5, since: noon() };
    let note = |one| store.note_pledge(one, room).unwrap();
    let held = || {
        let all = store.pledges(noon(), 99).unwrap();
        all.into_iter().map(|one| (one.maker.as_bytes()[0], one.serial)).collect::<Vec<_>>()
    };
    let named =
        |all: &[(u8, &str)]| all.iter().map(|(maker, serial)| (*maker, (*serial).to_owned())).collect::<Vec<_>>();
    assert!(note(pledge(1, "A", 1)) && note(pledge(2, "A", 2)), "two makers may write one serial");
    assert!(!note(Pledge { count: 2, ..pledge(1, "A", 3) }), "it is known");
    let again = Pledge { address: "a:3".into(), last: noon().plus_seconds(3), count: 3, ..pledge(1, "A", 1) };
    assert_eq!(store.pledge(again.maker, "A").unwrap(), Some(again));
    assert_eq!(store.pledge(KeyId::from_bytes([3; 16]), "A").unwrap(), None);
    // Of a maker three, of all five; those stay that came last.
    for (number, serial) in ["B", "C", "D"].into_iter().enumerate() {
        note(pledge(1, serial, 4 + i64::try_from(number).unwrap()));
    }
    assert_eq!(held(), named(&[(1, "D"), (1, "C"), (1, "B"), (2, "A")]));
    note(pledge(3, "A", 7));
    note(pledge(4, "A", 8));
    assert_eq!(held(), named(&[(4, "A"), (3, "A"), (1, "D"), (1, "C"), (1, "B")]));
    assert_eq!(store.pledges(noon().plus_seconds(7), 1).unwrap().len(), 1);
    assert_eq!(store.pledges(noon().plus_seconds(8), 99).unwrap().len(), 1);
    // Who is registered by its serial, with its maker's key or any, waits no more.
    let register = |name: &str, serial: &str, maker: Option<u8>| {
        let maker_key = maker.map(|byte| [byte; 16]);
        store.add_device(Device { maker_serial: Some(serial.into()), maker_key, ..device(name) }, noon()).unwrap();
    };
    register("ct-1", "A", Some(3));
    register("ct-2", "B", None);
    register("ct-3", "C", Some(9));
    assert_eq!(held(), named(&[(4, "A"), (1, "D"), (1, "C")]));
    store.note_pledge(pledge(5, "E", 20), PledgeRoom { since: noon().plus_seconds(8), ..room }).unwrap();
    assert_eq!(held(), named(&[(5, "E"), (4, "A")]), "the others are forgotten");
}

/// Of several hubs that answer for one device or key at once, one records, and none for a device that another
/// has taken out of the register.
fn turns(store: &impl Store) {
    let missing = |result| matches!(result, Err(StoreError::Missing { .. }));
    for name in ["ct-1", "ct-2", "ct-3", "ct-4"] {
        store.add_device(device(name), noon()).unwrap();
    }
    let name = DeviceName::new("ct-1").unwrap();
    let now = |number| store.turn_of(name, record(number).key).unwrap();
    let turn = now(1);
    store.record_in_turn(record(1), turn).unwrap();
    assert!(missing(store.record_in_turn(record(2), turn)), "two records in one turn of a device");
    let between = now(2);
    store.complete(record(1).serial, credential(1), vec![1]).unwrap();
    let second = store.record_in_turn(record(2), between);
    assert_eq!(second.is_err(), store.is_shared(), "another hub had not finished when this one looked");
    let recorded = usize::from(second.is_ok());
    assert!(recorded == 0 || store.complete(record(2).serial, credential(2), vec![2]).is_ok());
    let taken = store.record_in_turn(record(1), now(1));
    assert!(matches!(taken, Err(StoreError::Taken { .. })), "a serial was recorded twice");
    let other = Record { device: DeviceName::new("ct-2"), key: record(1).key, ..record(3) };
    assert!(missing(store.record_in_turn(other.clone(), turn)), "two records in one turn of a key");
    store.record_in_turn(other, now(1)).unwrap();
    let elsewhere = Record { device: DeviceName::new("ct-3"), ..record(4) };
    store.record_in_turn(elsewhere, turn).unwrap();
    let gone = Record { device: DeviceName::new("ct-4"), ..record(7) };
    let seen = store.turn_of(DeviceName::new("ct-4").unwrap(), gone.key).unwrap();
    store.remove_device(DeviceName::new("ct-4").unwrap()).unwrap();
    assert!(missing(store.record_in_turn(gone, seen)), "it was taken out of the register meanwhile");

    store.record(record(6)).unwrap();
    let turn = now(5);
    store.end_turns_of(name).unwrap();
    assert!(missing(store.complete(record(6).serial, credential(6), vec![1])), "what was ended was completed");
    assert!(missing(store.record_in_turn(record(5), turn)), "a turn that was ended went on");
    store.complete(record(3).serial, credential(3), vec![3]).unwrap();
    assert_eq!(store.waiting_entries(9).unwrap().len(), 4 + recorded, "a number was left out or given twice");
}

/// Shows REQ-STORE-63: what is done together is done as if it were done one by one, and one that fails takes no other with it.
fn together(store: &impl Store) {
    let name = DeviceName::new("ct-2").unwrap();
    let of_other = |number| Record { device: Some(name), ..record(number) };
    store.add_device(device("ct-2"), noon()).unwrap();
    let turn = Some(store.turn_of(name, record(3).key).unwrap());
    let recorded = store.record_all(vec![
        (record(1), None),
        (record(1), None),
        (record(2), None),
        (of_other(3), turn),
        (of_other(4), turn),
        (record(5), None),
    ]);
    use StoreError::{Missing, Taken};
    assert!(
        matches!(recorded[..], [Ok(()), Err(Taken { .. }), Ok(()), Ok(()), Err(Missing { .. }), Ok(())]),
        "{recorded:?}"
    );
    let numbers = |records: Vec<Record>| records.iter().map(|record| record.tbs[0]).collect::<Vec<_>>();
    assert_eq!(numbers(store.unfinished().unwrap()), [1, 2, 3, 5]);
    let one = |number: u8, as_credential: u8| (record(number).serial, credential(as_credential), vec![number]);
    let completed = store.complete_all(vec![one(1, 1), one(2, 1), one(4, 4), one(3, 3), one(5, 5)]);
    assert!(matches!(completed[..], [Ok(()), Err(Taken { .. }), Err(Missing { .. }), Ok(()), Ok(())]), "{completed:?}");
    assert_eq!(numbers(store.unfinished().unwrap()), [2]);
    assert_eq!(store.issued(credential(3)).unwrap().map(|issued| issued.certificate), Some(vec![3]));
    assert!(store.record_all(Vec::new()).is_empty() && store.complete_all(Vec::new()).is_empty());
}

fn pages(store: &impl Store) {
    for number in 0..30 {
        let owner = if number % 3 == 0 { "a" } else { "b" }.to_owned();
        let name = format!("{}-{number:02}", if number < 20 { "ct" } else { "mr" });
        let ae_titles = if number == 7 { vec!["SEVEN".to_owned()] } else { Vec::new() };
        let plain = Device { owner, ae_titles, sidecar: None, ..device(&name) };
        store.add_device(plain, noon()).unwrap();
    }
    let names = |search: &DeviceSearch, after: Option<&str>, limit: u32| {
        let page = store.devices_page(search, after, limit).unwrap();
        page.into_iter().map(|device| device.name.to_string()).collect::<Vec<_>>()
    };
    let all = |search: DeviceSearch, serial: bool| {
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = names(&search, after.as_deref(), 4);
            let Some(last) = page.last() else { return found };
            after = Some(if serial { format!("SN-{last}") } else { last.clone() });
            found.extend(page);
        }
    };
    let every: Vec<String> =
        (0..30).map(|number| format!("{}-{number:02}", if number < 20 { "ct" } else { "mr" })).collect();
    assert_eq!(all(DeviceSearch::Name(String::new()), false), every);
    assert_eq!(all(DeviceSearch::Name("mr-".into()), false), every[20..]);
    assert_eq!(all(DeviceSearch::MakerSerial("SN-ct-1".into()), true), every[10..20]);
    let of_a: Vec<String> = every.iter().step_by(3).cloned().collect();
    assert_eq!(all(DeviceSearch::Owner("a".into()), false), of_a);
    assert_eq!(names(&DeviceSearch::Owner("nobody".into()), None, 9), [""; 0]);
    assert_eq!(store.device_count().unwrap(), 30);
    assert_eq!(store.devices_with_routes().unwrap().len(), 1);
    assert_eq!(store.hubs().unwrap(), []);
    assert_eq!(store.device_with_title("SEVEN").unwrap(), DeviceName::new("ct-07"));
    let other = store.device(DeviceName::new("ct-08").unwrap()).unwrap().unwrap();
    let thief = Device { ae_titles: vec!["SEVEN".into()], ..other.clone() };
    assert!(matches!(store.replace_device(other, thief), Err(StoreError::Taken { .. })), "a title of two devices");
    let freed = store.device(DeviceName::new("ct-07").unwrap()).unwrap().unwrap();
    let other = Device { ae_titles: vec!["OTHER".into(), "OTHER".into()], ..freed.clone() };
    store.replace_device(freed, other).unwrap();
    assert_eq!(store.device_with_title("SEVEN").unwrap(), None);
}

fn devices_and_codes(store: &impl Store) {
    let name = DeviceName::new("ct-1").unwrap();
    assert_eq!(store.device(name).unwrap(), None);
    assert!(matches!(store.replace_device(device("ct-1"), device("ct-1")), Err(StoreError::Missing { .. })));
    store.add_device(device("ct-1"), noon()).unwrap();
    assert!(matches!(store.add_device(device("ct-1"), noon()), Err(StoreError::Taken { .. })));
    let same_serial = Device { name: DeviceName::new("ct-2").unwrap(), ..device("ct-1") };
    assert!(matches!(store.add_device(same_serial, noon()), Err(StoreError::Taken { .. })));
    store.add_device(device("ct-0"), noon()).unwrap();
    assert_eq!(store.devices().unwrap(), [device("ct-0"), device("ct-1")]);
    assert_eq!(store.device_with_maker_serial("SN-ct-1").unwrap(), Some(device("ct-1")));
    let changed = Device { owner: "other".into(), maker_serial: None, ..device("ct-1") };
    store.replace_device(device("ct-1"), changed.clone()).unwrap();
    // Who has read the entry before does not take that back.
    let late = Device { owner: "a third".into(), ..device("ct-1") };
    assert!(matches!(store.replace_device(device("ct-1"), late), Err(StoreError::Missing { .. })));
    assert_eq!(store.device(name).unwrap(), Some(changed));

    store.add_code(code(1, "ct-1")).unwrap();
    assert_eq!(store.code([1; 5]).unwrap(), Some(code(1, "ct-1")));
    assert!(matches!(store.add_code(code(1, "ct-1")), Err(StoreError::Taken { .. })));
    assert_eq!(store.code([1; 5]).unwrap().unwrap().state, CodeState::Open, "a failed verb has changed something");
    store.add_code(code(2, "ct-1")).unwrap();
    assert_eq!(store.code([1; 5]).unwrap().unwrap().state, CodeState::Void, "two codes for one device");
    assert_eq!(store.count_wrong_try([2; 5], 2).unwrap(), 1);
    assert_eq!(store.code([2; 5]).unwrap().unwrap().state, CodeState::Open);
    assert_eq!(store.count_wrong_try([2; 5], 2).unwrap(), 2);
    assert_eq!(store.code([2; 5]).unwrap().unwrap().state, CodeState::Void);
    assert!(matches!(store.count_wrong_try([9; 5], 2), Err(StoreError::Missing { .. })));
    removal(store);
}

/// A device goes with its codes and titles, unless something was recorded for it or somebody has come for it.
fn removal(store: &impl Store) {
    let (ct, mr) = (DeviceName::new("CT-1").unwrap(), DeviceName::new("mr-1").unwrap());
    assert_eq!(store.device_written_like(ct).unwrap(), DeviceName::new("ct-1"));
    assert_eq!(store.device_written_like(DeviceName::new("ct-1").unwrap()).unwrap(), None, "it is itself");
    let titled = Device { ae_titles: vec!["MR".into()], ..device("mr-1") };
    let before = store.device_count().unwrap();
    for round in 0..2 {
        store.add_device(titled.clone(), noon()).unwrap();
        store.add_code(code(10 + round, "mr-1")).unwrap();
        assert_eq!(store.device_count().unwrap(), before + 1);
        if round == 0 {
            let request = PendingRequest { device: Some(mr), ..pending(1, Claim::Code([10; 5]), 1) };
            store.add_pending(request, 9).unwrap();
            assert!(matches!(store.remove_device(mr), Err(StoreError::Taken { .. })), "somebody waits for it");
            store.settle([1; 8], PendingState::Rejected, None).unwrap();
        }
        store.remove_device(mr).unwrap();
        assert_eq!((store.device(mr).unwrap(), store.device_with_title("MR").unwrap()), (None, None));
        assert_eq!((store.code([10; 5]).unwrap(), store.device_count().unwrap()), (None, before));
        assert!(matches!(store.remove_device(mr), Err(StoreError::Missing { .. })));
    }
    store.add_device(titled.clone(), noon()).unwrap();
    store.record(Record { device: Some(mr), ..record(200) }).unwrap();
    assert!(matches!(store.remove_device(mr), Err(StoreError::Taken { .. })), "something was recorded for it");
    assert_eq!(store.device(mr).unwrap(), Some(titled));
}

/// A page of devices at once is what the single verbs say of each.
fn holdings(store: &impl Store) {
    let names: Vec<_> = (0..150).map(|number| DeviceName::new(&format!("ct-{number:03}")).unwrap()).collect();
    for name in &names {
        store.add_device(device(name.as_str()), noon()).unwrap();
    }
    assert_eq!(store.holdings(&[]).unwrap(), []);
    // The first of many have several certificates; one was never finished.
    for number in 1..=60_u8 {
        let of = names.get(usize::from(number) * 7 % 20 + if number % 2 == 0 { 0 } else { 130 }).copied();
        store.record(Record { device: of, ..record(number) }).unwrap();
        if number != 4 {
            store.complete(record(number).serial, credential(number), vec![number]).unwrap();
        }
    }
    let mut changes: Vec<_> = (1..=40)
        .map(|number| change(Subject::Credential(credential(number)), Some(StandingState::Superseded)))
        .collect();
    for (number, state) in
        [(0, StandingState::Suspended), (64, StandingState::Ceased), (149, StandingState::Compromised)]
    {
        changes.push(change(Subject::Device(names[number]), Some(state)));
    }
    store.change_standings(changes, noon()).unwrap();
    let unknown = DeviceName::new("nobody").unwrap();
    let asked: Vec<_> = names.iter().rev().copied().chain([unknown]).collect();
    let single = |name: &DeviceName| Holding {
        against: store.standing(Subject::Device(*name)).unwrap(),
        issued: store
            .credentials_of(*name)
            .unwrap()
            .into_iter()
            .map(|issued| {
                let own = store.standing(Subject::Credential(issued.credential)).unwrap();
                (issued, own)
            })
            .collect(),
    };
    let found = store.holdings(&asked).unwrap();
    assert_eq!(found, asked.iter().map(single).collect::<Vec<_>>());
    assert_eq!(found.iter().map(|one| one.issued.len()).sum::<usize>(), 59);
    assert!(found.iter().any(|one| one.issued.len() > 2));
}

/// What speaks for and against the bearer of a code is what the single verbs say.
fn enrolments(store: &impl Store) {
    let (name, key) = (DeviceName::new("ct-1").unwrap(), record(1).key);
    assert_eq!(store.enrolment([1; 5], key).unwrap(), None);
    store.add_device(device("ct-1"), noon()).unwrap();
    store.add_device(device("ct-0"), noon()).unwrap();
    store.add_code(code(1, "ct-1")).unwrap();
    let same = |against: Option<StandingState>| {
        let found = store.enrolment([1; 5], key).unwrap().unwrap();
        let single = Enrolment {
            code: store.code([1; 5]).unwrap().unwrap(),
            device: store.device(name).unwrap(),
            against: store.standing(Subject::Device(name)).unwrap(),
            turn: store.turn_of(name, key).unwrap(),
            of_key: store.credentials_for(key).unwrap(),
        };
        let past = Past {
            turn: single.turn,
            against: single.against.clone(),
            of_device: store.credentials_of(name).unwrap(),
            of_key: single.of_key.clone(),
        };
        assert_eq!((&found, store.past(name, key).unwrap()), (&single, past));
        assert_eq!(found.against.map(|standing| standing.state), against);
        found.turn
    };
    let first = same(None);
    let against = |name: &str, state| StandingChange {
        subject: Subject::Device(DeviceName::new(name).unwrap()),
        state: Some(state),
        reason: "stolen".into(),
        at: noon(),
    };
    store.change_standings(vec![against("ct-0", StandingState::Compromised)], noon()).unwrap();
    same(None);
    store.change_standings(vec![against("ct-1", StandingState::Suspended)], noon()).unwrap();
    same(Some(StandingState::Suspended));
    store.replace_device(device("ct-1"), Device { owner: "other".into(), ..device("ct-1") }).unwrap();
    assert_eq!(store.void_open_codes().unwrap(), 1);
    assert_eq!(store.void_open_codes().unwrap(), 0);
    assert_eq!(store.code([1; 5]).unwrap().unwrap().state, CodeState::Void);
    store.set_code_state([1; 5], CodeState::Confirmed).unwrap();
    assert_eq!(store.void_open_codes().unwrap(), 0, "a person has confirmed it");
    // Of this device and another key, of this key and another device, and of neither.
    let others = [
        Record { key: KeyId::from_bytes([9; 16]), ..record(1) },
        Record { device: DeviceName::new("ct-0"), key, ..record(2) },
        Record { device: DeviceName::new("ct-0"), key: KeyId::from_bytes([8; 16]), ..record(3) },
    ];
    for other in others {
        store.record(other).unwrap();
        same(Some(StandingState::Suspended));
    }
    store.end_turns_of(name).unwrap();
    let last = same(Some(StandingState::Suspended));
    assert!(last.records > first.records && last.ended > first.ended, "{first:?} {last:?}");
}

fn requests(store: &impl Store) {
    store.add_device(device("ct-1"), noon()).unwrap();
    store.add_code(code(1, "ct-1")).unwrap();
    let claim = Claim::Code([1; 5]);
    let of_device = PendingRequest { device: DeviceName::new("ct-1"), ..pending(1, claim.clone(), 7) };
    store.add_pending(of_device.clone(), 2).unwrap();
    let held = store.code([1; 5]).unwrap().unwrap();
    assert_eq!((held.state, held.key), (CodeState::Waiting, Some(of_device.key)));
    assert!(matches!(store.add_pending(pending(2, claim.clone(), 8), 9), Err(StoreError::Missing { .. })));
    assert_eq!(store.pending_by(&claim, of_device.key).unwrap(), Some(of_device));
    assert_eq!(store.pending_by(&claim, KeyId::from_bytes([8; 16])).unwrap(), None);
    let by = |number| Claim::Birth {
        credential: credential(number),
        serial: "SN".into(),
        maker: Some(KeyId::from_bytes([number; 16])),
    };
    let birth = by(5);
    store.add_pending(pending(3, birth.clone(), 9), 2).unwrap();
    assert!(matches!(store.add_pending(pending(4, by(6), 10), 2), Err(StoreError::Taken { .. })), "no bound");
    let again = store.add_pending(pending(4, birth.clone(), 10), 9);
    assert!(matches!(again, Err(StoreError::Taken { .. })), "two requests by one birth credential wait");
    assert_eq!(store.pending_by(&birth, KeyId::from_bytes([9; 16])).unwrap().unwrap().claim, birth);
    assert_eq!(store.waiting().unwrap().len(), 2);
    store.settle([1; 8], PendingState::Approved, None).unwrap();
    assert_eq!(store.code([1; 5]).unwrap().unwrap().state, CodeState::Confirmed);
    assert!(matches!(store.settle([1; 8], PendingState::Rejected, None), Err(StoreError::Missing { .. })));
    store.settle([3; 8], PendingState::Approved, DeviceName::new("ct-1")).unwrap();
    assert_eq!(store.pending([3; 8]).unwrap().unwrap().device, DeviceName::new("ct-1"));
    store.void_claims_of(DeviceName::new("ct-1").unwrap()).unwrap();
    assert_eq!(store.code([1; 5]).unwrap().unwrap().state, CodeState::Void);
    assert_eq!(store.pending([3; 8]).unwrap().unwrap().state, PendingState::Rejected);
    assert!(store.waiting().unwrap().is_empty());
}

fn standings(store: &impl Standings) {
    use StandingState::{Compromised, Suspended};
    let one = Subject::Credential(credential(1));
    let name = Subject::Device(DeviceName::new("ct-1").unwrap());
    assert_eq!(store.standings().unwrap(), (0, vec![]));
    let first =
        store.change_standings(vec![change(one, Some(Suspended)), change(name, Some(Suspended))], noon()).unwrap();
    assert_eq!(store.standing(one).unwrap().unwrap().epoch, first);
    let second = store.change_standings(vec![change(name, None)], noon()).unwrap();
    assert!(second > first);
    assert_eq!(store.standing(name).unwrap(), None);
    assert!(store.change_standings(vec![change(one, Some(Compromised)), change(name, None)], noon()).is_err());
    assert_eq!(store.standing(one).unwrap().unwrap().state, Suspended, "half of a failed change was made");
    assert_eq!(store.standings().unwrap().0, second, "an epoch was used up by a failed change");
    store.change_standings(vec![change(one, Some(Compromised))], noon()).unwrap();
    store.change_standings(vec![change(one, Some(Suspended))], noon()).unwrap();
    assert_eq!(store.standing(one).unwrap().unwrap().state, Compromised, "a standing became better");
    assert!(store.change_standings(vec![change(one, None)], noon()).is_err(), "a compromise was lifted");
    let issuer = Subject::Issuer(KeyId::from_bytes([3; 16]));
    store.change_standings(vec![change(issuer, Some(Suspended))], noon()).unwrap();
    let (epoch, all) = store.standings().unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(store.next_epoch(noon()).unwrap(), epoch + 1);
    let later = noon().plus_seconds(1_000);
    assert_eq!(store.next_epoch(later).unwrap(), u64::try_from(later.unix()).unwrap(), "behind the clock");
    assert_eq!(store.next_epoch(noon()).unwrap(), u64::try_from(later.unix()).unwrap() + 1, "a clock that went back");
}

/// What was heard by one key is taken back alone, to what people have said, and what they have made
/// theirs stays.
fn heard_standings(store: &impl Standings) {
    use StandingState::{Ceased, Compromised, Superseded, Suspended};
    let [first, second] = [1, 2].map(|key| KeyId::from_bytes([key; 16]));
    let ct = |number: u8| Subject::Device(DeviceName::new(&format!("ct-{number}")).unwrap());
    let hear = |by, changes: &[(u8, StandingState)]| {
        let heard = changes.iter().map(|(number, state)| change(ct(*number), Some(*state))).collect();
        store.hear_standings(heard, by, noon()).unwrap()
    };
    let say = |number, state| store.change_standings(vec![change(ct(number), state)], noon());
    let state = |number| store.standing(ct(number)).unwrap().map(|standing| standing.state);
    say(1, Some(Suspended)).unwrap();
    say(2, Some(Compromised)).unwrap();
    let epoch = store.epoch().unwrap();
    assert_eq!(hear(first, &[(2, Compromised), (1, Suspended)]), 0);
    assert_eq!(store.epoch().unwrap(), epoch, "nothing new is no new epoch");
    let all = [1, 2, 3, 4, 5, 6].map(|number| (number, Compromised));
    assert_eq!(hear(first, &all), 5);
    assert!(store.epoch().unwrap() > epoch);
    assert_eq!(hear(second, &[(3, Compromised), (7, Suspended), (8, Suspended)]), 2);
    assert_eq!(hear(first, &[(8, Compromised)]), 1, "and this key is the one that counts for it");
    // People say it too, or something milder; and lift what was heard.
    say(4, Some(Compromised)).unwrap();
    say(5, Some(Ceased)).unwrap();
    say(5, Some(Superseded)).unwrap();
    say(1, None).unwrap_err();
    say(7, None).unwrap();
    assert_eq!([1, 2, 3, 4, 5, 6, 8].map(state), [Some(Compromised); 7]);
    let epoch = store.epoch().unwrap();
    assert_eq!(store.forget_heard(first, noon()).unwrap(), [1, 3, 5, 6, 8].map(ct));
    assert!(store.epoch().unwrap() > epoch);
    // Whoever was called revoked may be: people decide.
    assert_eq!([1, 2, 3, 4].map(state), [Some(Suspended), Some(Compromised), Some(Suspended), Some(Compromised)]);
    assert_eq!([5, 6, 7, 8].map(state), [Some(Ceased), Some(Suspended), None, Some(Suspended)]);
    say(6, None).unwrap();
    // A key that is in wrong hands is not heard, and what was heard of keys is not taken back.
    let issuer = |key: KeyId| change(Subject::Issuer(key), Some(Compromised));
    assert_eq!(store.hear_standings(vec![issuer(first)], second, noon()).unwrap(), 1);
    assert_eq!(hear(first, &[(9, Compromised)]), 0);
    assert_eq!(hear(second, &[(9, Compromised)]), 1);
    assert_eq!(store.forget_heard(second, noon()).unwrap(), [ct(9)]);
    assert!(store.standing(Subject::Issuer(first)).unwrap().is_some());
    let epoch = store.epoch().unwrap();
    for key in [first, second] {
        assert_eq!(store.forget_heard(key, noon()).unwrap(), []);
    }
    assert_eq!(store.epoch().unwrap(), epoch);
    say(1, None).unwrap();
}

fn states(store: &impl Store) {
    use StandingState::{Ceased, Suspended};
    for number in [5, 1, 9, 3] {
        let device = DeviceName::new(if number < 4 { "ct-1" } else { "ct-2" });
        let not_before = noon().plus_seconds(number.into());
        store.record(Record { device, not_before, ..record(number) }).unwrap();
        if number != 9 {
            store.complete(record(number).serial, credential(number), vec![number]).unwrap();
        }
    }
    let ct = Subject::Device(DeviceName::new("ct-1").unwrap());
    let changes = vec![change(ct, Some(Suspended)), change(Subject::Credential(credential(3)), Some(Ceased))];
    let epoch = store.change_standings(changes, noon()).unwrap();
    assert_eq!(store.epoch().unwrap(), epoch);
    let state = |number: u8, state| {
        let not_before = noon().plus_seconds(number.into());
        CredentialState { credential: credential(number), not_before, state }
    };
    let all = [state(1, Some(Suspended)), state(3, Some(Ceased)), state(5, None)];
    assert_eq!(store.states(None, 9).unwrap(), all, "the worst of credential and device, of those that were issued");
    assert_eq!(store.states(None, 2).unwrap(), all[..2]);
    assert_eq!(store.states(Some(credential(3)), 2).unwrap(), all[2..]);
    assert_eq!(store.states(Some(credential(5)), 2).unwrap(), []);
    let of = |number| {
        let known = store.standings_of(credential(number), KeyId::from_bytes([3; 16])).unwrap();
        known.map(|known| known.iter().map(|standing| standing.state).collect::<Vec<_>>())
    };
    assert_eq!(
        [of(1), of(3), of(5), of(9)],
        [Some(vec![Suspended]), Some(vec![Ceased, Suspended]), Some(vec![]), None]
    );
    store.change_standings(vec![change(Subject::Issuer(KeyId::from_bytes([3; 16])), Some(Ceased))], noon()).unwrap();
    assert_eq!(of(5), Some(vec![Ceased]));
    let mut lives = Vec::new();
    let met = store.each_standing(noon(), &mut |met| {
        match met {
            Met::Begin => lives.clear(),
            Met::Standing(standing, life) => lives.push((standing.subject, life)),
        }
        true
    });
    assert_eq!(met.unwrap(), store.epoch().unwrap());
    lives.retain(|(subject, _)| !matches!(subject, Subject::Issuer(_)));
    let life = Life {
        device: DeviceName::new("ct-1"),
        device_state: Some((Suspended, epoch)),
        not_after: noon().plus_seconds(100),
        number: 4,
    };
    assert_eq!(lives, [(ct, None), (Subject::Credential(credential(3)), Some(life))]);
    let revoked = |at| {
        let mut found = Vec::new();
        let met = store.each_revoked(at, &mut |met| match met {
            MetCertificate::Begin => found.clear(),
            MetCertificate::Revoked(one) => found.push((one.certificate, one.state)),
        });
        met.unwrap();
        found.sort();
        found
    };
    assert_eq!(revoked(noon()), [(vec![1], Suspended), (vec![3], Ceased)]);
    let superseded = change(Subject::Credential(credential(5)), Some(StandingState::Superseded));
    store.change_standings(vec![superseded, change(ct, None)], noon()).unwrap();
    assert_eq!(revoked(noon()), [(vec![3], Ceased), (vec![5], StandingState::Superseded)]);
    assert_eq!(revoked(noon().plus_seconds(100)), [(vec![3], Ceased)], "a superseded one that is not good any more");
    let superseded = |ended: i64, most: usize| {
        let mut found = Vec::new();
        let walked = store.each_standing(noon().plus_seconds(ended), &mut |met| match met {
            Met::Begin => {
                found.clear();
                true
            }
            Met::Standing(standing, _) if standing.state == StandingState::Superseded => {
                found.push(standing.subject);
                found.len() < most
            }
            Met::Standing(..) => true,
        });
        walked.unwrap();
        found
    };
    assert_eq!(superseded(99, 9), [Subject::Credential(credential(5))]);
    assert_eq!(superseded(100, 9), [], "it ended");
    // That which is good longest comes first, and who has enough says so.
    store
        .change_standings(vec![change(Subject::Credential(credential(1)), Some(StandingState::Superseded))], noon())
        .unwrap();
    let all = superseded(0, 9);
    assert_eq!(superseded(0, 1), all[..1]);
    // What becomes worse is found whenever it ended.
    let compromised = change(Subject::Credential(credential(5)), Some(StandingState::Compromised));
    store.change_standings(vec![compromised], noon()).unwrap();
    assert!(!superseded(0, 9).contains(&Subject::Credential(credential(5))));
    let (_, standings) = store.standings().unwrap();
    assert!(standings.iter().any(|standing| standing.subject == Subject::Credential(credential(5))));
}

fn journal(store: &impl Journal) {
    let object = |version| Published { version, at: noon(), bytes: vec![version as u8] };
    assert_eq!(store.published("status").unwrap(), None);
    store.publish("status", object(5)).unwrap();
    assert!(matches!(store.publish("status", object(5)), Err(StoreError::Taken { .. })));
    assert!(matches!(store.publish("status", object(4)), Err(StoreError::Taken { .. })), "a version was rolled back");
    store.publish("routes", object(1)).unwrap();
    store.publish("status", object(7)).unwrap();
    assert_eq!(store.published("status").unwrap(), Some(object(7)));
    for version in 8..20 {
        store.publish("status", object(version)).unwrap();
    }
    assert_eq!(store.published("status").unwrap(), Some(object(19)));
    assert_eq!(store.published("routes").unwrap(), Some(object(1)), "another kind was thrown away");
    let taken = |result| matches!(result, Err(StoreError::Taken { .. }));
    assert!(
        taken(store.publish_after("routes", object(3), None))
            && taken(store.publish_after("routes", object(3), Some(2)))
    );
    store.publish_after("routes", object(3), Some(1)).unwrap();
    store.publish_after("policy", object(1), None).unwrap();
    let all = |routes, policy| store.publish_all(vec![("routes", object(4), routes), ("policy", object(2), policy)]);
    assert!(taken(all(Some(3), Some(2))) && taken(all(Some(2), Some(1))));
    let held = ["routes", "policy"].map(|kind| store.published(kind).unwrap().unwrap().version);
    assert_eq!(held, [3, 1], "a part of it was published");
    all(Some(3), Some(1)).unwrap();
    let mut versions = store.versions().unwrap();
    versions.sort();
    assert_eq!(versions, [("policy".to_owned(), 2), ("routes".to_owned(), 4), ("status".to_owned(), 19)]);
    let ours = medlock_node::clock::Clock::system().now();
    let apart = store.server_time().unwrap().map(|server| server.seconds_since(ours).abs() < 60);
    assert_eq!(apart, store.is_shared().then_some(true), "the time of the server, which runs on this machine");
    assert!(store.hold("x", [1; 16], 60).unwrap() && store.hold("x", [1; 16], 60).unwrap());
    assert_eq!(store.hold("x", [2; 16], 60).unwrap(), !store.is_shared(), "two hold the same");
    store.let_go("x", [2; 16]).unwrap();
    assert_eq!(store.hold("x", [2; 16], 60).unwrap(), !store.is_shared(), "another gave it back");
    store.let_go("x", [1; 16]).unwrap();
    assert!(store.hold("x", [2; 16], 60).unwrap());
    let number = |least| store.next_number("crl", least).unwrap();
    assert_eq!([number(0), number(0), number(9), number(9), number(0)], [1, 2, 9, 10, 11]);
    let after = |series, least, before| store.next_number_after(series, least, before);
    assert!(
        taken(after("crl", 0, 10).map(drop))
            && taken(after("crl", 0, 0).map(drop))
            && taken(after("new", 0, 1).map(drop))
    );
    assert_eq!((store.last_number("crl").unwrap(), store.last_number("new").unwrap()), (11, 0));
    assert_eq!((after("crl", 0, 11).unwrap(), after("crl", 20, 12).unwrap(), after("new", 0, 0).unwrap()), (12, 20, 1));
    assert_eq!(store.last_number("crl").unwrap(), 20);
    let (at, kind, text) = (noon(), "k".to_owned(), "t".to_owned());
    let alarm =
        Alarm { id: 0, at, last: at, count: 1, kind, device: None, subject: String::new(), text, acknowledged: false };
    store.raise(alarm.clone()).unwrap();
    store.raise(Alarm { device: DeviceName::new("d"), ..alarm.clone() }).unwrap();
    alarms_with_subjects(store, &alarm);
    let alarms = store.alarms().unwrap();
    assert_eq!(alarms[0].device, DeviceName::new("d"));
    let about = alarms[0].device.unwrap();
    assert_eq!(store.last_alarm(&alarms[0].kind, about).unwrap().as_ref(), Some(&alarms[0]));
    assert_eq!(store.last_alarm("another", about).unwrap(), None);
    let others = [DeviceName::new("e").unwrap(), about];
    let found = store.last_alarms(&alarms[0].kind, &others).unwrap();
    assert!(found.len() == 1 && found.get(&about) == Some(&alarms[0]), "{found:?}");
    store.acknowledge(alarms[1].id).unwrap();
    assert!(store.alarms().unwrap()[1].acknowledged && !store.alarms().unwrap()[0].acknowledged);
    assert!(matches!(store.acknowledge(99), Err(StoreError::Missing { .. })));
    for verb in ["a", "b", "c"] {
        let (who, subject, outcome) = ("uid 1".into(), "s".into(), "done".into());
        store.note(AuditEntry { at: noon(), who, verb: verb.into(), subject, outcome }).unwrap();
    }
    let verbs: Vec<_> = store.audit(2).unwrap().into_iter().map(|entry| entry.verb).collect();
    assert_eq!(verbs, ["c", "b"]);
    store.set_once("name", "x").unwrap();
    assert!(matches!(store.set_once("name", "y"), Err(StoreError::Taken { .. })));
    assert_eq!(store.setting("name").unwrap().as_deref(), Some("x"));
}

/// What one alarm says hides no other of its kind, and a flood of one subject none of another.
fn alarms_with_subjects(store: &impl Journal, alarm: &Alarm) {
    let raise = |kind: &str, device: Option<&str>, subject: &str, text: &str| {
        let (kind, subject, text) = (kind.to_owned(), subject.to_owned(), text.to_owned());
        store.raise(Alarm { kind, device: device.and_then(DeviceName::new), subject, text, ..alarm.clone() }).unwrap();
    };
    let told = |kind: &str| {
        let open = store.alarms().unwrap().into_iter().filter(|alarm| alarm.kind == kind && !alarm.acknowledged);
        let mut told: Vec<_> = open.map(|alarm| (alarm.subject, alarm.text, alarm.count)).collect();
        told.sort();
        told
    };
    let row = |subject: &str, text: &str, count: u64| (subject.to_owned(), text.to_owned(), count);
    for (subject, text) in [("one", "a"), ("another", "a"), ("one", "b"), ("one", "a"), ("", "c"), ("", "d")] {
        raise("each", None, subject, text);
    }
    let all = [row("", "c", 2), row("another", "a", 1), row("one", "a", 2), row("one", "b", 1)];
    assert_eq!(told("each"), all);
    // One that says something else each time has four, of which the last is the newest.
    (0..50).for_each(|turn| raise("each", None, "one", &format!("turn {turn}")));
    let kept = told("each");
    assert_eq!(&kept[..3], &[row("", "c", 2), row("another", "a", 1), row("one", "a", 2)]);
    assert_eq!(&kept[3..], &[row("one", "b", 1), row("one", "turn 0", 1), row("one", "turn 49", 49)]);
    // Nor do made-up names fill the list; devices of the register have their own.
    (0..100).for_each(|turn| raise("flood", None, &format!("subject {turn}"), "x"));
    raise("flood", Some("ct-1"), "ct-1", "it is an impostor");
    let flood = told("flood");
    assert_eq!(flood.len(), 33);
    assert!(flood.contains(&row("ct-1", "it is an impostor", 1)) && flood.contains(&row("subject 99", "x", 69)));
    for kind in ["each", "flood"] {
        let open = store.alarms().unwrap().into_iter().filter(|alarm| alarm.kind == kind);
        open.for_each(|alarm| store.acknowledge(alarm.id).unwrap());
    }
    raise("each", None, "one", "a");
    assert_eq!(told("each"), [row("one", "a", 1)], "one that was dealt with is raised anew");
    let again = store.alarms().unwrap().into_iter().find(|alarm| !alarm.acknowledged && alarm.kind == "each").unwrap();
    store.acknowledge(again.id).unwrap();
}

/// Verbs that fail in the same commit as others do not disturb them, and each sees its own outcome.
fn many_at_once(store: Arc<impl Store + 'static>) {
    let threads: Vec<_> = (0..16_u8)
        .map(|thread| {
            let store = store.clone();
            std::thread::spawn(move || {
                let mut won = 0;
                for number in 1..20 {
                    won += usize::from(store.record(record(number)).is_ok());
                    store.next_number("series", 0).unwrap();
                    let _ = thread;
                }
                won
            })
        })
        .collect();
    let won: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(won, 19, "each serial is recorded exactly once");
    assert_eq!(store.next_number("series", 0).unwrap(), 16 * 19 + 1);
    assert_eq!(store.unfinished().unwrap().len(), 19);
}

/// Shows REQ-STORE-170, REQ-STORE-138, REQ-STORE-182, REQ-AUTH-15, REQ-STORE-37, REQ-STORE-38, REQ-STORE-51, REQ-STORE-104, REQ-STORE-128, REQ-NODE-98, REQ-PROV-65.
#[test]
fn sqlite_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    check(|| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        SqlStore::sqlite(&dir.path().join(format!("{number}.sqlite"))).unwrap()
    });
}

/// Shows REQ-STORE-170, REQ-STORE-138, REQ-STORE-182, REQ-STORE-01, REQ-STORE-37, REQ-STORE-38, REQ-STORE-51, REQ-STORE-104, REQ-STORE-128, REQ-NODE-98.
#[test]
fn postgresql_keeps_the_contract() {
    check(|| SqlStore::postgres(crate::fixture::postgres().address().unwrap()).unwrap());
}

/// Shows REQ-AUTH-16.
#[test]
fn a_damaged_database_is_named_with_file_table_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("authority.sqlite");
    let store = SqlStore::sqlite(&path).unwrap();
    for number in 1..100 {
        store.record(Record { tbs: vec![number; 500], ..record(number) }).unwrap();
    }
    drop(store);
    let database = rusqlite::Connection::open(&path).unwrap();
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'issuance'";
    let page: u64 = database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64;
    drop(database);
    let mut bytes = std::fs::read(&path).unwrap();
    let start = (page as usize - 1) * 4096;
    bytes[start..start + 200].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let error = SqlStore::sqlite(&path).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("authority.sqlite") && text.contains("issuance") && text.contains("backup"), "{text}");

    std::fs::write(&path, b"this is not a database, and long enough to be looked at as one. ".repeat(20)).unwrap();
    let error = SqlStore::sqlite(&path).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");

    let other = dir.path().join("other.sqlite");
    let database = rusqlite::Connection::open(&other).unwrap();
    database.execute("CREATE TABLE t (a)", []).unwrap();
    drop(database);
    assert!(SqlStore::sqlite(&other).unwrap_err().to_string().contains("another program"));

    let newer = dir.path().join("newer.sqlite");
    drop(SqlStore::sqlite(&newer).unwrap());
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(SqlStore::sqlite(&newer).unwrap_err().to_string().contains("newer program"));
}
