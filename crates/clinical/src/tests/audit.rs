//! What is changed in the audit is seen.

use super::everything;
use super::fixture::{House, patient};
use crate::audit::{Broken, verify};
use medlock_store::Engine;

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
