//! Where exports end in what is being written, on both databases.

use super::fixture::{Device, House, patient};
use super::{app, everything};
use crate::access::{Reach, Right, Sight, Verb, Verbs};
use crate::kind::{Kind, Seq};
use crate::store::{Begun, Division, Export, NewExport, Part, Sights, Wish};
use std::collections::BTreeSet;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// As long as a verb needs to come to the writer's queue.
const QUEUED: Duration = Duration::from_millis(200);

/// Asks for an export of all patients.
async fn export(house: &House, number: u8) -> Export {
    let clinical = Arc::clone(&house.clinical);
    let asked = spawn_blocking(move || {
        let (wish, id, client) = (Wish::default(), [number; 16], "x".to_owned());
        let division = Division { files: Vec::new(), open: None };
        let new = NewExport { id, client, request: String::new(), wish, lasts: 60, division };
        assert_eq!(clinical.records().keep_export(new).expect("asked"), Begun::Kept);
        clinical.records().export(id, "x", 0).expect("read").expect("there")
    });
    asked.await.expect("asked")
}

/// Which patients an export has.
fn patients(house: &House, export: &Export, since: Option<&Export>) -> BTreeSet<String> {
    let right = Right { kind: Kind::PATIENT, verbs: Verbs::of([Verb::Search]), reach: Reach::All, only: None };
    let sight = || Sight::new([right.clone()].into_iter());
    let sights = Sights { search: sight(), read: sight() };
    let since = since.map(|before| before.made.0);
    let part = Part { kind: Kind::PATIENT, deleted: false, of_patients: false, since, plans: &[] };
    let within = (Seq(0), export.newest);
    let found = house.clinical.records().exported(&sights, &part, within, Duration::from_secs(60)).expect("read").found;
    let ids: BTreeSet<_> = found.iter().map(|stored| stored.id.to_string()).collect();
    assert_eq!(ids.len(), found.len(), "none twice");
    ids
}

/// When a version was written, as it says.
async fn updated(device: &Device<'_>, path: &str) -> String {
    device.get(path).await.body["meta"]["lastUpdated"].as_str().expect("an instant").to_owned()
}

/// Shows REQ-EXPORT-14: what waits to be written while an export is asked for is in it, or in the one that follows: in one of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_in_this_export_or_in_the_next() {
    for house in House::both() {
        let all = everything(&house).await;
        house.clinical.records().add_client(app("x", "system/Patient.rs"), 1).expect("kept");
        let (release, held) = mpsc::channel::<()>();
        let clinical = Arc::clone(&house.clinical);
        let holding = spawn_blocking(move || {
            let hold = move |_: &mut dyn medlock_store::Sql| {
                let _ = held.recv();
                Ok(())
            };
            clinical.records().database().write("hold the writer", hold)
        });
        sleep(QUEUED).await;
        let (anna, bert) = (patient("Anna"), patient("Bert"));
        let first = all.create(&anna);
        let asked = async {
            sleep(QUEUED).await;
            house.site.clock.advance(1);
            export(&house, 1).await
        };
        let second = async {
            sleep(QUEUED * 2).await;
            // A hub whose clock is behind.
            house.site.clock.advance(-5);
            all.create(&bert).await
        };
        let released = async {
            sleep(QUEUED * 3).await;
            release.send(()).expect("it is held");
        };
        let (anna, export_1, bert, ()) = tokio::join!(first, asked, second, released);
        holding.await.expect("held").expect("written");
        let (anna, bert) = (anna.made(), bert.made());
        let export_2 = export(&house, 2).await;
        let got = patients(&house, &export_1, None);
        let next = patients(&house, &export_2, Some(&export_1));
        for of in [&anna, &bert] {
            assert_eq!(u8::from(got.contains(of)) + u8::from(next.contains(of)), 1, "{of}: {got:?} {next:?}");
        }
        let export_3 = export(&house, 3).await;
        assert!(patients(&house, &export_3, Some(&export_2)).is_empty(), "nothing has changed");
        assert!(export_1.made < export_2.made);
    }
}

/// Shows REQ-EXPORT-15: a resource that is written after another one is no older, whatever the clock does, but a clock that was wrong by more
/// than a minute is not followed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_later_is_no_older() {
    for house in House::both() {
        let all = everything(&house).await;
        let path = format!("Patient/{}", all.create(&patient("Anna")).await.made());
        let first = updated(&all, &path).await;
        house.site.clock.advance(-30);
        let path = format!("Patient/{}", all.create(&patient("Bert")).await.made());
        assert_eq!(updated(&all, &path).await, first);
        house.site.clock.advance(31);
        let path = format!("Patient/{}", all.create(&patient("Carl")).await.made());
        assert!(updated(&all, &path).await > first);
        house.site.clock.advance(-120);
        let path = format!("Patient/{}", all.create(&patient("Dora")).await.made());
        assert!(updated(&all, &path).await < first, "the clock was put right");
    }
}
