//! What is changed in the audit is seen.

use super::everything;
use super::fixture::{Answer, House, device, glucose, patient};
use crate::access::{Caller, Verb};
use crate::audit::{Broken, Note, append, verify};
use crate::kind::{Kind, Millis, Row};
use crate::seam::Handed;
use http::StatusCode;
use medlock_store::{Engine, first};
use medlock_trust::{Operation, Role};
use std::time::{Duration, Instant};

/// Shows REQ-AUDIT-13: one byte, one time, one patient, one entry.
#[tokio::test(flavor = "multi_thread")]
async fn a_byte_that_is_changed_is_seen() {
    for house in House::both() {
        let all = everything(&house).await;
        for name in ["Anna", "Bert", "Cleo", "Dora"] {
            all.create(&patient(name)).await.made();
        }
        let records = house.clinical.records();
        let whole = verify(records, None).expect("read");
        assert_eq!((whole.head.entries, &whole.broken), (4, &None));
        assert_eq!(verify(records, Some(whole.head)).expect("read").broken, None);
        let refused = records.database().write("change it", |sql| sql.execute("UPDATE audit SET at = 0", &[]));
        assert!(refused.is_err(), "it is only added to");
        let server = records.database().engine() == Engine::Postgres;
        let drop: &[&str] = if server {
            &["DROP TRIGGER only_added ON audit", "DROP TRIGGER only_added ON audit_patient"]
        } else {
            &[
                "DROP TRIGGER audit_update",
                "DROP TRIGGER audit_delete",
                "DROP TRIGGER audit_patient_update",
                "DROP TRIGGER audit_patient_delete",
            ]
        };
        let change = |text: &'static str| {
            let done = records.database().write("change it", move |sql| sql.execute(text, &[]));
            done.unwrap_or_else(|error| panic!("{text}: {error}"));
        };
        drop.iter().for_each(|text| change(text));
        let found = || verify(records, None).expect("read").broken;
        // There and back, so that each is seen alone.
        change("UPDATE audit SET at = at + 1 WHERE seq = 2");
        assert_eq!(found(), Some(Broken::Time(2)));
        change("UPDATE audit SET at = at - 1 WHERE seq = 2");
        change("UPDATE audit_patient SET patient = patient + 1000 WHERE seq = 3");
        assert!(matches!(found(), Some(Broken::Patients(_))));
        change("UPDATE audit_patient SET patient = patient - 1000 WHERE seq = 3");
        assert_eq!(found(), None);
        change(if server {
            "UPDATE audit SET entry = set_byte(entry, 3, get_byte(entry, 3) # 1) WHERE seq = 2"
        } else {
            "UPDATE audit SET entry = CAST(replace(entry, 'all', 'alL') AS BLOB) WHERE seq = 2"
        });
        assert_eq!(found(), Some(Broken::Entry(2)));
        // The newest ones gone: only who knows an earlier state sees it.
        change("DELETE FROM audit WHERE seq > 1");
        change("DELETE FROM audit_patient WHERE seq > 1");
        assert_eq!(found(), None);
        let known = verify(records, Some(whole.head)).expect("read");
        assert_eq!((known.head.entries, known.broken), (1, Some(Broken::Known(4))));
    }
}

/// A sensor, as what it hands over is its own.
fn sensor(house: &House) -> Caller {
    let cgm = house.device("cgm", Role::Sensor).peer();
    let who = cgm.identified.expect("identified");
    let permit = house.knowledge.judge(&who, Operation::Report).permit().expect("permitted");
    house.clinical.gate().handed(&Handed { who: &who, chain: &[], permit, at: house.site.clock.now() })
}

/// Shows REQ-AUDIT-30: each of the patients whom an act is about finds it, however many they are.
#[tokio::test(flavor = "multi_thread")]
async fn an_act_about_many_patients_names_them_all() {
    for house in House::both() {
        let note = Note::of(&sensor(&house), Verb::Read, Kind::PATIENT, String::new());
        let note = note.about(Kind::PATIENT, None, None, (1..=2_500).rev().map(Row).collect());
        let records = house.clinical.records();
        let noted = records.database().write("note it", move |sql| {
            append(sql, Millis(1), std::slice::from_ref(&note))?;
            first(sql, "audit", "SELECT count(DISTINCT patient) AS n FROM audit_patient", &[], |row| row.number("n"))
        });
        assert_eq!(noted.expect("noted"), Some(2_500_i64));
        let whole = verify(records, None).expect("read");
        assert_eq!((whole.head.entries, whole.broken), (3, None));
    }
}

/// How many entries of the audit are this patient's.
fn entries_of(house: &House, patient: &str) -> i64 {
    let question = "SELECT count(*) AS n FROM audit_patient p JOIN resource r ON r.rid = p.patient WHERE r.id = ?1";
    let counted = house
        .clinical
        .records()
        .database()
        .read("count", |sql| first(sql, "audit", question, medlock_store::values![patient], |row| row.number("n")));
    counted.expect("counted").expect("a number")
}

/// More entries come to be this patient's than so many.
async fn until_more(house: &House, (patient, what): (&str, &str), than: i64) {
    let began = Instant::now();
    while entries_of(house, patient) <= than {
        assert!(began.elapsed() < Duration::from_secs(10), "nothing is told of {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Shows REQ-AUDIT-36, REQ-AUDIT-37, REQ-AUDIT-39, REQ-AUDIT-49: who counts, or asks by a condition, is told something of those whom they name, whatever is found or
/// refused; and of those whose it is that was counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_or_probed_is_told_to_whom_it_is_about() {
    for house in House::both() {
        let all = everything(&house).await;
        let [anna, bert] = [all.create(&patient("Anna")).await.made(), all.create(&patient("Bert")).await.made()];
        let [hers, his] = [all.create(&device("a", &anna)).await.made(), all.create(&device("b", &bert)).await.made()];
        let reading = glucose(&anna, &hers, "2024-01-01");
        let id = all.create(&reading).await.made();
        let of_bert = glucose(&bert, &his, "2024-02-01").to_string();
        let hers = |rest: &str| format!("Observation?patient={anna}&{rest}");
        let read = ["_summary=count", "_count=0", "value-quantity=gt9999&_summary=count", "date=lt1999"].map(hers);
        // One of hers is behind the page, or counted: what is on it is nobody's.
        let mut nobodys = glucose(&anna, "x", "2023-01-01");
        nobodys.as_object_mut().expect("an object").retain(|name, _| name != "subject" && name != "device");
        all.create(&nobodys).await.made();
        let counted = [
            "Observation?date=2024-01-01&_count=0".to_owned(),
            format!("Observation/{id}/_history?_count=0"),
            "Observation?date=lt2024-01-02&_count=1&_sort=date".to_owned(),
            "Observation?date=lt2024-01-02&_count=1&_sort=date&_total=accurate".to_owned(),
            "Observation/_history?_count=1".to_owned(),
        ];
        let kept = [
            ("PUT", hers("date=2024-01-01"), [("if-match", "W/\"999\"".to_owned())], StatusCode::PRECONDITION_FAILED),
            ("PUT", hers("date=1999"), [("if-match", "W/\"999\"".to_owned())], StatusCode::PRECONDITION_FAILED),
            (
                "DELETE",
                hers("date=2024-01-01"),
                [("if-match", "W/\"999\"".to_owned())],
                StatusCode::PRECONDITION_FAILED,
            ),
            ("DELETE", hers("date=1999"), [("if-match", "*".to_owned())], StatusCode::PRECONDITION_FAILED),
            ("DELETE", hers("date=1998"), [("if-none-match", "*".to_owned())], StatusCode::NO_CONTENT),
            (
                "POST",
                "Observation".to_owned(),
                [("if-none-exist", format!("patient={anna}&date=1999"))],
                StatusCode::CREATED,
            ),
        ];
        let until_told = async |what: &str, before: (i64, i64)| {
            until_more(&house, (&anna, what), before.0).await;
            assert_eq!(entries_of(&house, &bert) > before.1, what.starts_with("POST"), "{what}");
        };
        let now = || (entries_of(&house, &anna), entries_of(&house, &bert));
        for path in read.iter().chain(&counted) {
            let before = now();
            assert_eq!(all.get(path).await.status, StatusCode::OK, "{path}");
            until_told(path, before).await;
        }
        for (method, path, [(name, value)], status) in &kept {
            let (before, of_his) = (now(), *method == "POST");
            let headers = [("content-type", "application/fhir+json"), (*name, value.as_str())];
            let body = if of_his { of_bert.clone() } else { reading.to_string() };
            let told: Answer = all.send(method, path, &headers, &body).await;
            assert_eq!(told.status, *status, "{method} {path}: {told:?}");
            until_told(&format!("{method} {path}"), before).await;
        }
        // What is taken out of her record, she is told of too.
        let (before, mut moved) = (now(), all.get(&format!("Observation/{id}")).await.body);
        moved["subject"]["reference"] = format!("Patient/{bert}").into();
        moved["device"]["reference"] = format!("Device/{his}").into();
        assert_eq!(all.put(&format!("Observation/{id}"), &moved).await.status, StatusCode::OK);
        assert!(entries_of(&house, &anna) > before.0 && entries_of(&house, &bert) > before.1);
    }
}

/// Shows REQ-AUDIT-45: events of the audit are of their patients: who counts some, or sees that there are more, is told to them.
#[tokio::test(flavor = "multi_thread")]
async fn who_counts_events_is_told_to_whose_they_are() {
    for house in House::both() {
        let all = everything(&house).await;
        // Hers is the older one of two: it is behind the page.
        let [anna, bert] = [all.create(&patient("Anna")).await.made(), all.create(&patient("Bert")).await.made()];
        let made = "AuditEvent?action=C";
        for (path, of_his) in [(format!("{made}&_count=1"), 1), (format!("{made}&_summary=count"), 1)] {
            let before = (entries_of(&house, &anna), entries_of(&house, &bert));
            assert_eq!(all.get(&path).await.status, StatusCode::OK, "{path}");
            until_more(&house, (&anna, &path), before.0).await;
            let now = (entries_of(&house, &anna), entries_of(&house, &bert));
            assert_eq!(now, (before.0 + 1, before.1 + of_his), "{path}");
        }
    }
}

/// Shows REQ-AUDIT-47: what conditions name is noted with the change, in one verb: what was changed is answered as done, also while nothing
/// that is read can be noted.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_is_answered_as_done() {
    for house in House::both() {
        let all = everything(&house).await;
        let [anna, bert] = [all.create(&patient("Anna")).await.made(), all.create(&patient("Bert")).await.made()];
        let records = house.clinical.records();
        // One row that can be noted of nobody.
        let (fails, works) = match records.database().engine() {
            Engine::Postgres => (
                "ALTER TABLE audit_patient ADD CONSTRAINT unnoted CHECK (patient <> 999999)",
                "ALTER TABLE audit_patient DROP CONSTRAINT unnoted",
            ),
            Engine::Sqlite => (
                "CREATE TRIGGER unnoted BEFORE INSERT ON audit_patient WHEN NEW.patient = 999999 \
                 BEGIN SELECT RAISE(ABORT, 'it cannot be'); END",
                "DROP TRIGGER unnoted",
            ),
        };
        let change = |text: &'static str| {
            records.database().write("change it", move |sql| sql.execute(text, &[])).expect("changed")
        };
        change(fails);
        let note = Note::of(&sensor(&house), Verb::Read, Kind::PATIENT, String::new());
        assert!(house.clinical.audit().take(note.clone().of_patients([Row(999_999)])));
        let began = Instant::now();
        while house.clinical.audit().take(note.clone()) {
            assert!(began.elapsed() < Duration::from_secs(10), "it is noted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let read = all.get(&format!("Patient/{bert}")).await;
        let mut nobodys = glucose(&bert, "x", "2024-01-01");
        nobodys.as_object_mut().expect("an object").retain(|name, _| name != "subject" && name != "device");
        let none = format!("patient={anna}&date=1999");
        let headers = [("content-type", "application/fhir+json"), ("if-none-exist", none.as_str())];
        let before = entries_of(&house, &anna);
        let made = all.send("POST", "Observation", &headers, &nobodys.to_string()).await;
        let noted = entries_of(&house, &anna);
        // Where a condition finds nothing, nothing is done, and noted all the same.
        let gone = all.delete(&format!("Observation?{none}")).await;
        let noted = (noted, entries_of(&house, &anna));
        // The hub ends when all is noted.
        change(works);
        assert_eq!(read.code(), "fhir-audit-away");
        assert_eq!((made.status, gone.status), (StatusCode::CREATED, StatusCode::NO_CONTENT), "{made:?} {gone:?}");
        assert_eq!(noted, (before + 1, before + 2), "with the change");
    }
}
