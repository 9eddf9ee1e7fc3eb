//! What takes long takes turns, and what ends something waits for nobody.

use super::consent::staff;
use super::fixture::{Answer, Device, House, device, glucose, nobody, patient};
use super::{everything, hold_writer};
use crate::rest::{Aim, Place as Turn};
use axum::body::Body;
use http::{Request, StatusCode};
use medlock_store::Sql;
use medlock_trust::Role;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// Until what was begun is where it waits: on a slower machine it is so later.
const SOON: Duration = Duration::from_millis(100);
/// Readings of one patient: as many as take some time to look at.
const READINGS: usize = 40_000;

/// Anna, her sensor, and one of its readings: all others are as that one.
struct Filled {
    anna: String,
    hers: String,
    reading: String,
}

/// Makes them.
async fn fill(house: &House, all: &Device<'_>) -> Filled {
    let anna = all.create(&patient("Anna")).await.made();
    let hers = all.create(&device("a", &anna)).await.made();
    let reading = all.create(&glucose(&anna, &hers, "2024-01-01")).await.made();
    let copy = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) \
                INSERT INTO resource (kind, id, version, patient, at, until, updated, c0, c1, c2, c3, gone, statement, body) \
                SELECT r.kind, printf('%026d', n.i), 1, r.patient, r.at + n.i, r.until + n.i, r.updated, r.c0, r.c1, r.c2, r.c3, 0, \
                r.statement, r.body FROM resource r, n WHERE r.id = ?1";
    let link = "INSERT INTO link (param, target, rid) SELECT l.param, l.target, r.rid FROM resource o \
                JOIN link l ON l.rid = o.rid JOIN resource r ON r.kind = o.kind AND r.id LIKE '00000%' WHERE o.id = ?1";
    let one = reading.clone();
    let filled = house.clinical.records().database().write("fill it", move |sql| {
        sql.execute(copy, medlock_store::values![one.as_str(), READINGS as i64])?;
        sql.execute(link, medlock_store::values![one.as_str()])
    });
    assert!(filled.expect("filled") >= READINGS as u64);
    Filled { anna, hers, reading }
}

/// What takes more than a moment to find out: that nothing is so.
fn long(anna: &str) -> String {
    let not: String = (0..25).map(|number| format!("&_tag:not=a{number}")).collect();
    format!("patient={anna}&date=gt1900{not}&_tag=never")
}

/// All turns of those who see one patient alone, or all others.
fn turns(house: &House, is_own: bool) -> Vec<Turn<'_>> {
    let places = if is_own { house.clinical.own_places() } else { house.clinical.places() };
    let take = |number: usize| places.take(Aim::Look, format!("c{}", number / 2));
    let taken: Vec<_> = (0..).map_while(take).collect();
    assert_eq!(taken.len(), crate::turns::EACH);
    taken
}

async fn create_if(who: &Device<'_>, reading: &Value, condition: &str) -> Answer {
    let headers = [("content-type", "application/fhir+json"), ("if-none-exist", condition)];
    who.send("POST", "Observation", &headers, &reading.to_string()).await
}

/// Whether what needs no turn is done: on a machine that does much else a moment may pass with it, but not again and again.
async fn in_a_moment(done: impl AsyncFn() -> bool) -> bool {
    for _ in 0..20 {
        if done().await {
            return true;
        }
    }
    false
}

/// Shows REQ-SRCH-34, REQ-SRCH-30, REQ-FHIR-71: also what begins at a patient takes a turn when a moment has passed, whoever asks; what is found by an
/// index needs none.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_takes_a_turn_and_what_does_not_needs_none() {
    let house = House::new();
    let all = everything(&house).await;
    let Filled { anna, hers, reading } = fill(&house, &all).await;
    let sensor = house.device("a", Role::Sensor).with("system/*.crus").await;
    let long = long(&anna);
    let (search, everything) =
        (format!("Observation?{long}"), format!("Patient/{anna}/$everything?_since=2999-01-01T00:00:00Z"));
    let again = glucose(&anna, &hers, "2024-01-02");
    for (who, is_own) in [(&all, false), (&sensor, true)] {
        {
            let _turns = turns(&house, is_own);
            // One is left to changes, however many search.
            create_if(who, &again, &long).await.made();
            let places = if is_own { house.clinical.own_places() } else { house.clinical.places() };
            let _change = places.take(Aim::Change, "c9".to_owned()).expect("a turn");
            let told = [who.get(&search).await, create_if(who, &again, &long).await];
            for busy in told {
                assert_eq!((busy.status, busy.code()), (StatusCode::SERVICE_UNAVAILABLE, "fhir-busy"), "{busy:?}");
            }
            for short in [
                format!("Observation?patient={anna}&date=gt1900&_count=10"),
                format!("Observation?patient={anna}&code=160212&date=lt2024-01-02"),
                format!("Observation?_id={reading}"),
            ] {
                assert!(in_a_moment(async || who.get(&short).await.status == StatusCode::OK).await, "{short}");
            }
            let short = format!("patient={anna}&date=1999&code=160212");
            let made = async || create_if(who, &again, &short).await.status == StatusCode::CREATED;
            assert!(in_a_moment(made).await, "{short}");
        }
        assert_eq!(who.get(&search).await.found(), Vec::<String>::new());
        let made = create_if(who, &again, &long).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        assert_eq!(who.get(&everything).await.status, StatusCode::OK);
    }
}

/// Shows REQ-FHIR-51: the turn of a condition that is looked for long is held until the change has been made.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_has_its_turn_until_the_change_is_made() {
    let house = House::new();
    let all = everything(&house).await;
    let Filled { anna, hers, .. } = fill(&house, &all).await;
    let (release, holding) = hold_writer(&house);
    let again = glucose(&anna, &hers, "2024-01-02");
    let asked = async {
        create_if(&all, &again, &long(&anna)).await.made();
    };
    let looked = async {
        let places = house.clinical.places();
        let left = || (0..9).map_while(|number| places.take(Aim::Look, format!("c{number}"))).collect::<Vec<_>>().len();
        while tokio::task::block_in_place(left) == crate::turns::EACH {
            sleep(SOON).await;
        }
        // It is looked for, and then waits for the writer: however long.
        sleep(Duration::from_secs(2)).await;
        assert_eq!(tokio::task::block_in_place(left), crate::turns::EACH - 1);
        release.send(()).expect("it is held");
    };
    tokio::join!(asked, looked);
    holding.await.expect("held").expect("written");
    assert_eq!(turns(&house, false).len(), crate::turns::EACH, "it is given back");
}

/// Shows REQ-FHIR-50: who withdraws, and what ends what was granted, does not wait for all who write.
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_something_waits_for_few() {
    const MANY: usize = 60;
    for house in House::both() {
        let all = everything(&house).await;
        let anna = all.create(&patient("Anna")).await.made();
        let doctor = all.create(&json!({ "resourceType": "Practitioner", "name": [{ "family": "Doe" }] })).await.made();
        let token = staff(&house, &doctor);
        let ask = async |method: &str, path: &str, body: &Value| {
            let request = Request::builder().method(method).uri(format!("/fhir/{path}"));
            let request = request.header("authorization", format!("Bearer {token}"));
            let request = request.header("content-type", "application/fhir+json");
            house.ask(nobody(), request, Body::from(body.to_string())).await
        };
        let mut consent = json!({
            "resourceType": "Consent", "status": "active", "patient": { "reference": format!("Patient/{anna}") },
            "scope": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy" }] },
            "category": [{ "text": "x" }], "policy": [{ "uri": "urn:medlock:fhir:base-policy" }],
            "provision": { "provision": [{ "type": "permit" }] },
        });
        consent["id"] = ask("POST", "Consent", &consent).await.made().into();
        consent["status"] = "inactive".into();
        let path = format!("Consent/{}", consent["id"].as_str().expect("an id"));
        let run = Arc::<AtomicUsize>::default();
        let (release, holding) = hold_writer(&house);
        sleep(SOON).await;
        let others: Vec<_> = (0..MANY)
            .map(|_| {
                let (clinical, run) = (Arc::clone(&house.clinical), Arc::clone(&run));
                spawn_blocking(move || {
                    let long = move |_: &mut dyn Sql| {
                        std::thread::sleep(Duration::from_millis(30));
                        run.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    };
                    clinical.records().database().write("take long", long)
                })
            })
            .collect();
        sleep(SOON).await;
        let withdraw = async {
            assert_eq!(ask("PUT", &path, &consent).await.status, StatusCode::OK);
            run.load(Ordering::Relaxed)
        };
        let end = async {
            let clinical = Arc::clone(&house.clinical);
            spawn_blocking(move || clinical.end_leave(1)).await.expect("ended").expect("ended");
            run.load(Ordering::Relaxed)
        };
        // Both wait behind all others when the writer goes on.
        let let_go = async {
            sleep(10 * SOON).await;
            release.send(()).expect("it is held");
        };
        let (withdrawn, ended, ()) = tokio::join!(withdraw, end, let_go);
        holding.await.expect("held").expect("written");
        for other in others {
            other.await.expect("run").expect("written");
        }
        assert_eq!(run.load(Ordering::Relaxed), MANY);
        assert!(withdrawn < MANY / 2 && ended < MANY / 2, "{withdrawn}, {ended}");
    }
}
