//! Whose images are when nobody could tell at first: not whoever gets their Patient ID one day.

use crate::fixture::{Device, House, on_server, patient};
use crate::intake::hand;
use http::StatusCode;
use medlock_clinical::seam::{Intake as _, Kept, NotKept, StoredSeries, StoredStudy};
use medlock_trust::{Operation, Role, Time};
use serde_json::{Value, json};

const DAY: i64 = 86_400;

fn houses() -> [House; 2] {
    let named = |config: &mut medlock_clinical::ClinicalConfig| config.patient_issuers = vec!["Clinic".to_owned()];
    [House::with(None, named), House::with(Some(on_server()), named)]
}

/// One image of the study with this number, stored at that moment.
fn study(number: u32, patient: &str, at: Time) -> StoredStudy {
    let uid = format!("1.2.{number}");
    let instances = vec![("1.2.840.10008.5.1.4.1.1.2".to_owned(), format!("{uid}.1.1"))];
    let series = vec![StoredSeries { uid: format!("{uid}.1"), modality: "CT".to_owned(), instances }];
    StoredStudy { uid, patient: patient.to_owned(), issuer: None, at: Some(at), started: None, series }
}

fn named(name: &str, value: &str) -> Value {
    let mut resource = patient(name);
    resource["identifier"] = json!([{ "system": "urn:oid:1.9", "value": value }]);
    resource
}

fn give(house: &House, ct: &Device<'_>, study: &StoredStudy) -> Result<Kept, NotKept> {
    hand(house, ct, Operation::Store, |from| house.clinical.images(from, study))
}

fn refused(house: &House, ct: &Device<'_>, study: &StoredStudy) -> &'static str {
    give(house, ct, study).expect_err("refused").code()
}

/// Shows REQ-INTAKE-59: for some days somebody may be registered with the Patient ID of images; afterwards only who had it then gets
/// them, and for the others it has ended for good, with an alarm.
#[tokio::test]
async fn whoever_gets_a_patient_id_later_gets_no_images_of_before() {
    for house in houses() {
        let gateway = || async { house.device("gw", Role::Gateway).with("system/*.crus").await };
        let ct = house.device("ct", Role::Modality);
        let first = gateway().await;
        let early = first.create(&named("Anna", "P17")).await.made();
        let began = house.site.clock.now();
        let told = |house: &House| house.raised.0.lock().expect("the alarms").len();
        // Nobody has it yet, and somebody gets it within the days.
        assert_eq!(refused(&house, &ct, &study(1, "TRAUMA3", began)), "intake-no-patient");
        house.site.clock.advance(6 * DAY);
        let gateway = gateway().await;
        assert_eq!(refused(&house, &ct, &study(1, "TRAUMA3", began)), "intake-no-patient");
        let bert = gateway.create(&named("Bert", "TRAUMA3")).await.made();
        assert_eq!(give(&house, &ct, &study(1, "TRAUMA3", began)).expect("in time"), Kept::New);
        assert_eq!(told(&house), 0);
        // The alias is given to somebody else, who is a Patient for long already.
        house.site.clock.advance(2 * DAY);
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let headers = [("content-type", "application/fhir+json")];
        let change = async |id: &str, mut resource: Value| {
            resource["id"] = json!(id);
            let path = format!("Patient/{id}");
            assert_eq!(gateway.send("PUT", &path, &headers, &resource.to_string()).await.status, StatusCode::OK);
        };
        change(&bert, patient("Bert")).await;
        change(&early, named("Anna", "TRAUMA3")).await;
        for _ in 0..2 {
            assert_eq!(refused(&house, &ct, &study(2, "TRAUMA3", began)), "intake-too-late");
        }
        let raised = house.raised.0.lock().expect("the alarms").clone();
        assert!(raised.len() == 2 && raised[0].0 == "images-too-late" && raised[0].1.contains("ct"), "{raised:?}");
        assert!(!raised[0].1.contains("TRAUMA3"), "it names no patient");
        // What is stored now is hers, and what says no time, or one that is still to come, was stored now.
        let now = house.site.clock.now();
        assert_eq!(give(&house, &ct, &study(3, "TRAUMA3", now)).expect("hers"), Kept::New);
        assert_eq!(refused(&house, &ct, &StoredStudy { at: None, ..study(4, "nobody", now) }), "intake-no-patient");
        assert_eq!(refused(&house, &ct, &study(4, "nobody", now.plus_seconds(90 * DAY))), "intake-no-patient");
        // A hub that was away for longer takes what was always clear.
        let all = async |id: &str| gateway.get(&format!("ImagingStudy?patient={id}")).await.resources().len();
        assert_eq!((all(&early).await, all(&bert).await), (1, 1));
        let carl = gateway.create(&named("Carl", "P18")).await.made();
        house.site.clock.advance(60 * DAY);
        assert_eq!(give(&house, &ct, &study(5, "P18", now)).expect("his all the time"), Kept::New);
        assert_eq!(refused(&house, &ct, &study(5, "P17", now)), "intake-too-late");
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        assert_eq!(gateway.get(&format!("ImagingStudy?patient={carl}")).await.resources().len(), 1);
    }
}

/// Shows REQ-INTAKE-65: a Patient ID that somebody had when images were stored gives them to nobody else, whenever they come, also if
/// that Patient was deleted since; who has it still gets them.
#[tokio::test]
async fn images_of_an_alias_go_to_no_other_who_gets_it() {
    for house in houses() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let ct = house.device("ct", Role::Modality);
        let headers = [("content-type", "application/fhir+json")];
        let change = async |id: &str, mut resource: Value| {
            resource["id"] = json!(id);
            let path = format!("Patient/{id}");
            assert_eq!(gateway.send("PUT", &path, &headers, &resource.to_string()).await.status, StatusCode::OK);
        };
        let anna = gateway.create(&named("Anna", "TRAUMA3")).await.made();
        house.site.clock.advance(60);
        let stored = house.site.clock.now();
        assert_eq!(give(&house, &ct, &study(1, "TRAUMA3", stored)).expect("hers"), Kept::New);
        house.site.clock.advance(60);
        let free = house.site.clock.now();
        change(&anna, named("Anna", "4711")).await;
        let bert = gateway.create(&named("Bert", "TRAUMA3")).await.made();
        house.site.clock.advance(60);
        let his = house.site.clock.now();
        assert_eq!(refused(&house, &ct, &study(2, "TRAUMA3", stored)), "intake-no-patient", "Anna had it");
        assert_eq!(give(&house, &ct, &study(3, "TRAUMA3", his)).expect("his"), Kept::New);
        assert_eq!(give(&house, &ct, &study(4, "4711", stored)).expect("nobody had it"), Kept::New);
        // It makes no difference what else is changed, or that it goes on to a third one.
        house.site.clock.advance(60);
        change(&anna, named("Anna Maria", "4711")).await;
        change(&bert, named("Bert", "4712")).await;
        gateway.create(&named("Carl", "TRAUMA3")).await.made();
        for at in [stored, his] {
            assert_eq!(refused(&house, &ct, &study(5, "TRAUMA3", at)), "intake-no-patient");
        }
        // Nor if it was somebody's a while later, and is another's by now.
        let unnamed = house.site.clock.now();
        house.site.clock.advance(60);
        let dora = gateway.create(&named("Dora", "TRAUMA9")).await.made();
        house.site.clock.advance(60);
        change(&dora, named("Dora", "4719")).await;
        gateway.create(&named("Emil", "TRAUMA9")).await.made();
        assert_eq!(refused(&house, &ct, &study(6, "TRAUMA9", unnamed)), "intake-no-patient");
        house.site.clock.advance(8 * DAY);
        for at in [stored, free, his] {
            assert_eq!(refused(&house, &ct, &study(5, "TRAUMA3", at)), "intake-too-late");
        }
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let all = async |id: &str| gateway.get(&format!("ImagingStudy?patient={id}")).await.resources().len();
        assert_eq!((all(&anna).await, all(&bert).await), (2, 1));
    }
}

/// Shows REQ-INTAKE-60: a Patient ID that another site gave is not one of this site, whoever has the same here; also for a study that is here.
#[tokio::test]
async fn images_of_another_site_are_nobodys_here() {
    for house in houses() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let ct = house.device("ct", Role::Modality);
        gateway.create(&named("Anna", "4711")).await.made();
        let now = house.site.clock.now();
        let of = |issuer: &str| StoredStudy { issuer: Some(issuer.to_owned()), ..study(1, "4711", now) };
        assert_eq!(refused(&house, &ct, &of("Hospital")), "intake-other-issuer");
        assert_eq!(give(&house, &ct, &of("Clinic")).expect("ours"), Kept::New);
        assert_eq!(give(&house, &ct, &study(2, "4711", now)).expect("most name nobody"), Kept::New);
        let mut more = of("Hospital");
        more.series[0].instances[0].1.push('7');
        assert_eq!(refused(&house, &ct, &more), "intake-other-issuer");
        house.site.clock.advance(8 * DAY);
        assert_eq!(refused(&house, &ct, &more), "intake-too-late");
    }
    let unnamed = House::new();
    let gateway = unnamed.device("gw", Role::Gateway).with("system/*.crus").await;
    gateway.create(&named("Anna", "4711")).await.made();
    let (ct, now) = (unnamed.device("ct", Role::Modality), unnamed.site.clock.now());
    let clinic = StoredStudy { issuer: Some("Clinic".to_owned()), ..study(1, "4711", now) };
    assert_eq!(refused(&unnamed, &ct, &clinic), "intake-other-issuer", "nobody has said that it is this site");
}
