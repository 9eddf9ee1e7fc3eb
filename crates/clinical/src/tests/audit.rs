//! What is changed in the audit is seen.

use super::everything;
use super::fixture::{House, patient};
use crate::access::Verb;
use crate::audit::{Broken, Note, append, verify};
use crate::kind::{Kind, Millis, Row};
use crate::seam::Handed;
use medlock_store::{Engine, first};
use medlock_trust::{Operation, Role};

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

/// Shows REQ-AUDIT-30: each of the patients whom an act is about finds it, however many they are.
#[tokio::test(flavor = "multi_thread")]
async fn an_act_about_many_patients_names_them_all() {
    for house in House::both() {
        let cgm = house.device("cgm", Role::Sensor).peer();
        let who = cgm.identified.expect("identified");
        let permit = house.knowledge.judge(&who, Operation::Report).permit().expect("permitted");
        let from = Handed { who: &who, chain: &[], permit, at: house.site.clock.now() };
        let caller = house.clinical.gate().handed(&from);
        let note = Note::of(&caller, Verb::Read, Kind::PATIENT, String::new());
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
