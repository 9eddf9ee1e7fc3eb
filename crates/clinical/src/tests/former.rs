//! Identifiers that Patients had, and lost.

use super::everything;
use super::fixture::{Device, House};
use crate::kind::{Id, Millis};
use crate::seam::{Handed, Intake as _, Kept, NotKept, StoredSeries, StoredStudy};
use crate::store::Records;
use http::StatusCode;
use medlock_node::stop;
use medlock_store::all;
use medlock_trust::{Operation, Role, Time};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn named(value: &str) -> Value {
    json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:n", "value": value }] })
}

/// Gives a Patient this identifier and no other; a minute later.
async fn rename(all: &Device<'_>, house: &House, id: &str, value: &str) {
    let mut patient = named(value);
    patient["id"] = json!(id);
    assert_eq!(all.put(&format!("Patient/{id}"), &patient).await.status, StatusCode::OK);
    house.site.clock.advance(60);
}

fn now(house: &House) -> Millis {
    Millis(house.site.clock.unix_millis())
}

/// What is noted: identifiers, whose and when they were lost, and up to which change that is so.
fn noted(records: &Records) -> (Vec<(String, i64, i64)>, Vec<i64>) {
    let read = records.database().read("read what is noted", |sql| {
        let lost = "SELECT value, rid, lost FROM ident_was ORDER BY value, rid";
        let lost = all(sql, "ident_was", lost, &[], |row| {
            Ok((row.text("value")?.to_owned(), row.number("rid")?, row.number("lost")?))
        })?;
        Ok((lost, all(sql, "ident_noted", "SELECT seq FROM ident_noted", &[], |row| row.number("seq"))?))
    });
    read.expect("read")
}

/// As if a program of before had made all changes but for `kept`.
fn forget(records: &Records, kept: i64) {
    let forgotten = records.database().write("forget what is noted", move |sql| {
        sql.batch(&format!("DELETE FROM ident_was; UPDATE ident_noted SET seq = {kept}"))
    });
    forgotten.expect("forgotten");
}

/// Shows REQ-INTAKE-68: whoever changes Patients, and however often, who had a Patient ID is asked of none of their versions.
#[tokio::test(flavor = "multi_thread")]
async fn who_had_a_patient_id_is_asked_of_no_version() {
    for house in House::both() {
        let all = everything(&house).await;
        let id = all.create(&named("4711")).await.made();
        let had = now(&house);
        house.site.clock.advance(60);
        rename(&all, &house, &id, "4712").await;
        let records = house.clinical.records();
        let away =
            records.database().write("put the versions away", |sql| sql.batch("ALTER TABLE past RENAME TO away"));
        away.expect("put away");
        let bert = Id::fresh(Millis(0));
        for (at, value, lost) in [(had, "4711", true), (now(&house), "4711", false), (had, "4712", false)] {
            assert_eq!(
                records.another_was_named(bert, at, None, value).expect("asked"),
                Some(lost),
                "{value} at {at:?}"
            );
        }
    }
}

/// Shows REQ-INTAKE-69, REQ-STORE-198: what a Patient loses is noted with the change, by a deletion too, and the last loss counts; and
/// what is noted afterwards, from the versions, in portions, is the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_noted_with_a_change_is_what_its_versions_say() {
    for house in House::both() {
        let all = everything(&house).await;
        let (anna, bert) = (all.create(&named("A")).await.made(), all.create(&named("B")).await.made());
        // Lost, given again, and lost again; the same value in another system is another identifier.
        for value in ["A2", "A", "A", "A2"] {
            rename(&all, &house, &anna, value).await;
        }
        let mut both = named("B");
        both["identifier"] =
            json!([{ "system": "urn:n", "value": "B" }, { "system": "urn:m", "value": "B" }, { "value": "B" }]);
        both["id"] = json!(bert);
        // A portion is some changes of so long ones.
        both["text"] = json!({ "status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{}</div>", "x".repeat(400_000)) });
        for place in ["one", "two", "three", "four"] {
            both["address"] = json!([{ "city": place }]);
            assert_eq!(all.put(&format!("Patient/{bert}"), &both).await.status, StatusCode::OK);
        }
        both["identifier"] = json!([{ "system": "urn:n", "value": "B" }, { "value": "B" }]);
        assert_eq!(all.put(&format!("Patient/{bert}"), &both).await.status, StatusCode::OK);
        house.site.clock.advance(60);
        let before = now(&house);
        house.site.clock.advance(60);
        assert_eq!(all.delete(&format!("Patient/{bert}")).await.status, StatusCode::NO_CONTENT);
        house.site.clock.advance(60);
        // Who comes back under another name lost the one of before when it went.
        let gone = now(&house);
        rename(&all, &house, &bert, "B3").await;
        let records = house.clinical.records();
        let nobody = Id::fresh(Millis(0));
        let lost =
            |at, system, value| records.another_was_named(nobody, at, system, value).expect("asked").expect("noted");
        let first = |value| noted(records).0.into_iter().find(|(lost, ..)| lost.starts_with(value)).expect("lost").2;
        assert!(lost(Millis(first("A\u{1f}") - 1), Some("urn:n"), "A") && !lost(Millis(first("A\u{1f}")), None, "A"));
        assert!(lost(Millis(first("A2") - 1), None, "A2") && first("A2") < first("A\u{1f}"), "it is hers by now");
        assert!(lost(before, Some("urn:n"), "B") && lost(before, None, "B") && !lost(gone, None, "B"));
        assert!(!lost(before, Some("urn:m"), "B") && lost(Millis(0), Some("urn:m"), "B"));
        assert!(!lost(Millis(0), Some("urn:o"), "B") && !lost(Millis(0), None, "B3"));
        let whole = noted(records);
        assert_eq!(whole.0.len(), 5, "{whole:?}");
        forget(records, 0);
        let mut portions = 1;
        while records.note_former().expect("noted") {
            assert_eq!(records.another_was_named(nobody, before, None, "B").expect("asked"), None, "not all is noted");
            portions += 1;
        }
        assert!(portions > 2, "{portions}");
        assert_eq!(noted(records), whole);
    }
}

/// Shows REQ-INTAKE-70: while what Patients lost is not noted, since another program has written, images whose Patient ID was not always
/// that of one Patient wait; all others are taken, and it is noted soon.
#[tokio::test(flavor = "multi_thread")]
async fn images_wait_until_what_patients_lost_is_noted() {
    for house in House::both() {
        let all = everything(&house).await;
        let ct = house.device("ct", Role::Modality);
        let anna = all.create(&named("TRAUMA3")).await.made();
        let stored = house.site.clock.now();
        house.site.clock.advance(60);
        let records = house.clinical.records();
        let [noted_before] = noted(records).1[..] else { panic!("one number") };
        rename(&all, &house, &anna, "4711").await;
        forget(records, noted_before);
        // Who changes something now makes nothing of it good.
        all.create(&named("TRAUMA3")).await.made();
        rename(&all, &house, &anna, "4712").await;
        assert_eq!(noted(records).1, [noted_before]);
        let give = |number, value, at| match given(&house, &ct, number, value, at) {
            Ok(kept) => format!("{kept:?}"),
            Err(why) => why.code().to_owned(),
        };
        assert_eq!(give(1, "TRAUMA3", stored), "intake-busy");
        assert_eq!(give(2, "TRAUMA3", house.site.clock.now()), "New");
        let (stopper, stop) = stop::channel();
        let keeping = tokio::spawn(Arc::clone(&house.clinical).keep(stop));
        let began = Instant::now();
        while give(1, "TRAUMA3", stored) != "intake-no-patient" {
            assert!(began.elapsed() < Duration::from_secs(60), "it is noted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stopper.stop();
        keeping.await.expect("it ends");
        assert_eq!(give(3, "4712", stored), "New", "nobody else had it");
    }
}

/// Tells of one image.
fn given(house: &House, ct: &Device<'_>, number: u32, patient: &str, at: Time) -> Result<Kept, NotKept> {
    let uid = format!("1.2.{number}");
    let instances = vec![("1.2.840.10008.5.1.4.1.1.2".to_owned(), format!("{uid}.1.1"))];
    let series = vec![StoredSeries { uid: format!("{uid}.1"), modality: "CT".to_owned(), instances }];
    let study = StoredStudy { uid, patient: patient.to_owned(), issuer: None, at: Some(at), started: None, series };
    let peer = ct.peer();
    let who = peer.identified.as_ref().expect("identified");
    let chain: Vec<&[u8]> = peer.chain.iter().map(AsRef::as_ref).collect();
    let permit = house.knowledge.judge(who, Operation::Store).permit().expect("permitted");
    house.clinical.images(Handed { who, chain: &chain, permit, at: house.site.clock.now() }, &study)
}
