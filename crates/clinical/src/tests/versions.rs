//! Stores of earlier versions.

use super::everything;
use super::fixture::{House, glucose};
use crate::audit::verify;
use crate::kind::{Id, Millis};
use crate::store::Place;
use http::StatusCode;
use medlock_store::{Database, Schema, Step};

/// What an earlier version kept; its head says which.
const EARLIER: &str = include_str!("earlier.sql");
/// How many steps its tables had taken.
const STEPS: usize = 5;
/// Whom it knew, and by which device.
const PATIENT: &str = "01k84b5guo4dgf40lmjo5h5t46";
const DEVICE: &str = "01k84b5guov4l03t5gaio2dfq2";

/// Shows REQ-STORE-156, REQ-STORE-199: records of an earlier version are read, found and told in all their versions, their audit is whole, and others are
/// written beside them.
#[tokio::test(flavor = "multi_thread")]
async fn records_of_an_earlier_version_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clinical.db");
    let schema =
        Schema { application: "medlock-clinical", id: 0x4d44_4c43, oldest: STEPS, steps: &[Step::Both(""); STEPS] };
    let database = Database::sqlite(&file, &schema).expect("a file");
    database.write("fill it", |sql| sql.batch(EARLIER)).expect("filled");
    drop(database);
    let house = House::at(Some(Place::File(file)));
    let all = everything(&house).await;
    assert_eq!(all.get("Patient?identifier=urn:n|2").await.found(), [PATIENT]);
    assert_eq!(all.get(&format!("Patient/{PATIENT}/_history/1")).await.body["name"][0]["family"], "Anna");
    assert_eq!(all.get(&format!("Patient/{PATIENT}")).await.body["name"][0]["family"], "Berta");
    assert_eq!(all.get("Patient?identifier=urn:n|3").await.found(), Vec::<String>::new(), "it was deleted");
    // What was lost before anybody noted it: one by a change, one by a deletion.
    let (records, nobody) = (house.clinical.records(), Id::fresh(Millis(0)));
    assert_eq!(records.another_was_named(nobody, Millis(0), None, "1").expect("asked"), None, "it is not noted yet");
    assert!(!records.note_former().expect("noted"), "it is one portion");
    for (value, lost) in [("1", true), ("2", false), ("3", true)] {
        assert_eq!(
            records.another_was_named(nobody, Millis(0), Some("urn:n"), value).expect("asked"),
            Some(lost),
            "{value}"
        );
    }
    let readings = format!("Observation?patient={PATIENT}&code=99504-3");
    assert_eq!(all.get(&readings).await.found().len(), 2);
    let gone = all.get("Patient?_id=01k84b5guo6dh49ormu0uqrmnp").await;
    assert_eq!((gone.status, gone.found().len()), (StatusCode::OK, 0));
    all.create(&glucose(PATIENT, DEVICE, "2026-11-20T10:10:00Z")).await.made();
    assert_eq!(all.get(&readings).await.found().len(), 3);
    let audit = verify(house.clinical.records(), None).expect("read");
    assert_eq!(audit.broken, None);
    assert!(audit.head.entries > 6, "what was told before is part of it: {audit:?}");
}
