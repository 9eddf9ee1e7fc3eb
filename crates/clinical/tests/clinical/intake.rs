//! What guards and gateways of the same process hand over.

use crate::fixture::{Device, House, device, patient};
use http::StatusCode;
use medlock_clinical::seam::{
    Delivered, Delivery, Handed, Intake as _, Kept, NotKept, Numbered, StoredSeries, StoredStudy,
};
use medlock_proto::reading::{Decimal, Mdc, Moment, Reading, Special, Value as Measured};
use medlock_proto::sealed::{Concentration, MilliUnits};
use medlock_trust::status::State;
use medlock_trust::{DeviceName, Interval, Operation, Role, Time};
use serde_json::{Value, json};

fn at(house: &House) -> Time {
    house.site.clock.now()
}

fn reading(number: u64, value: Measured, utc: Option<Interval>) -> Numbered {
    let moment = Moment { ticks: number * 300_000, utc };
    let (code, unit) = (Mdc::CONC_GLU_ISF, Mdc::DIM_MILLI_G_PER_DL);
    Numbered { number, reading: Reading { code, unit, value, moment, mark: None } }
}

fn number(mantissa: i32, exponent: i8) -> Measured {
    Measured::Number(Decimal::new(mantissa, exponent).expect("a number"))
}

/// Hands over what `device` says with its own permit for `operation`.
fn hand<T>(
    house: &House,
    device: &Device<'_>,
    operation: Operation,
    give: impl FnOnce(Handed<'_>) -> Result<T, NotKept>,
) -> Result<T, NotKept> {
    let who = device.peer().identified.expect("identified");
    let chain: Vec<&[u8]> = device.identity.chain().iter().map(AsRef::as_ref).collect();
    let permit = house.knowledge.judge(&who, operation).permit().expect("permitted");
    give(Handed { who: &who, chain: &chain, permit, at: at(house) })
}

fn readings(house: &House, device: &Device<'_>, all: &[Numbered]) -> Result<Vec<Kept>, NotKept> {
    hand(house, device, Operation::Report, |from| house.clinical.readings(from, all))
}

fn resources(found: &crate::fixture::Answer) -> Vec<Value> {
    assert_eq!(found.status, StatusCode::OK, "{found:?}");
    let entries = found.body["entry"].as_array().cloned().unwrap_or_default();
    entries.into_iter().map(|entry| entry["resource"].clone()).collect()
}

/// Shows REQ-INTAKE-01, REQ-INTAKE-02, REQ-INTAKE-03.
#[tokio::test(flavor = "multi_thread")]
async fn readings_become_observations_once() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let anna = gateway.create(&patient("Anna")).await.made();
        let own = gateway.create(&device("cgm, 1|a", &anna)).await.made();
        let cgm = house.device("cgm, 1|a", Role::Sensor);
        let now = at(&house);
        let exactly = Some(Interval::exactly(now));
        let mut unknown = reading(4, number(7, 0), exactly);
        (unknown.reading.code, unknown.reading.unit) = (Mdc(8_388_608), Mdc(262_145));
        let minutes = Interval::new(now.plus_seconds(-600), Some(now));
        let all = [
            reading(1, number(1_040, -1), exactly),
            reading(2, Measured::Special(Special::NegativeInfinity), minutes),
            reading(3, Measured::Special(Special::NaN), None),
            unknown,
        ];
        assert_eq!(readings(&house, &cgm, &all).expect("kept"), [Kept::New; 4]);
        assert_eq!(readings(&house, &cgm, &all).expect("kept"), [Kept::Known; 4]);
        let twice = [reading(5, number(99, 0), exactly), reading(5, number(99, 0), exactly), all[0]];
        assert_eq!(readings(&house, &cgm, &twice).expect("kept"), [Kept::New, Kept::Known, Kept::Known]);
        let found = resources(&gateway.get(&format!("Observation?patient={anna}&_sort=_id")).await);
        assert_eq!(found.len(), 5, "{found:#?}");
        let one = |number: u64| {
            let identifier = json!([{ "system": "urn:medlock:fhir:reading", "value": format!("cgm, 1|a/{number}") }]);
            found.iter().find(|one| one["identifier"] == identifier).expect("the reading")
        };
        let first = one(1);
        assert_eq!(
            first["code"]["coding"],
            json!([
                { "system": "urn:iso:std:iso:11073:10101", "code": "160212", "display": "MDC_CONC_GLU_ISF" },
                { "system": "http://loinc.org", "code": "99504-3" },
            ])
        );
        assert_eq!(
            first["valueQuantity"].to_string(),
            json!({ "value": 104.0, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL" })
                .to_string()
        );
        assert_eq!(first["subject"]["reference"], format!("Patient/{anna}"));
        assert_eq!(first["device"]["reference"], format!("Device/{own}"));
        assert_eq!(first["effectiveDateTime"], first["issued"]);
        assert_eq!(first["category"][0]["coding"][0]["code"], "laboratory");
        let absent = |number: u64| one(number)["dataAbsentReason"]["coding"][0]["code"].clone();
        assert_eq!((absent(2), absent(3)), (json!("negative-infinity"), json!("not-a-number")));
        assert!(one(2)["valueQuantity"].is_null());
        assert!(one(2)["effectivePeriod"]["start"].is_string() && one(2)["effectivePeriod"]["end"].is_string());
        assert!(one(3)["effectivePeriod"]["start"].is_null() && one(3)["effectivePeriod"]["end"].is_string());
        // What nobody has a name for goes by its number.
        assert_eq!(one(4)["code"]["coding"], json!([{ "system": "urn:iso:std:iso:11073:10101", "code": "8388608" }]));
        assert_eq!(one(4)["valueQuantity"]["code"], "262145");
        assert_eq!(resources(&gateway.get("DeviceMetric").await).len(), 2, "one for each code");
        // At the same time, one is made of each.
        let several = [reading(8, number(1, 0), exactly), reading(9, number(1, 0), exactly)];
        let at_once = std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(|| readings(&house, &cgm, &several).expect("kept"))).collect();
            all.into_iter().flat_map(|one| one.join().expect("done")).filter(|kept| *kept == Kept::New).count()
        });
        assert_eq!(at_once, 2);
    }
}

/// Shows REQ-INTAKE-04: with the mark of the verdict, or that of who judged it before.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_over_is_marked() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.rs").await;
    let cgm = house.device("cgm", Role::Sensor);
    let mut before = reading(1, number(100, 0), None);
    before.reading.mark = Some(medlock_trust::decide::Code::ExpiredWithinGrace);
    readings(&house, &cgm, &[before]).expect("kept");
    house.news(&cgm, State::Suspended);
    readings(&house, &cgm, &[reading(2, number(100, 0), None)]).expect("kept");
    for (mark, number) in [("expired-within-grace", 1), ("suspended", 2)] {
        let found = resources(&gateway.get(&format!("Observation?_tag=urn:medlock:fhir:mark|{mark}")).await);
        assert_eq!(found.len(), 1, "{mark}");
        assert_eq!(found[0]["identifier"][0]["value"], format!("cgm/{number}"));
    }
    // A permit is for its own device and operation.
    let other = house.device("other", Role::Sensor);
    let who = cgm.peer().identified.expect("identified");
    for (device, operation) in [(&other, Operation::Report), (&other, Operation::Read)] {
        let permit = house.knowledge.judge(&device.peer().identified.expect("identified"), operation).permit();
        let from = Handed { who: &who, chain: &[], permit: permit.expect("permitted"), at: at(&house) };
        let refused = house.clinical.readings(from, &[reading(3, number(1, 0), None)]).expect_err("refused");
        assert_eq!(refused.code(), "intake-permit");
    }
    let many: Vec<Numbered> = (0..1_001).map(|number| reading(number, Measured::Special(Special::NaN), None)).collect();
    assert_eq!(readings(&house, &cgm, &many).expect_err("refused").code(), "intake-too-many");
}

/// Shows REQ-INTAKE-05, REQ-INTAKE-24: a reading is whose its device was in all the time within which it measured; otherwise it is
/// kept without a patient.
#[tokio::test(flavor = "multi_thread")]
async fn a_reading_is_whose_its_device_was() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let (anna, bert) =
            (gateway.create(&patient("Anna")).await.made(), gateway.create(&patient("Bert")).await.made());
        let cgm = house.device("cgm", Role::Sensor);
        let mut times = Vec::new();
        let mut tick = || {
            house.site.clock.advance(60);
            times.push(at(&house));
            *times.last().expect("a time")
        };
        let within = |number: u64, utc: Option<Interval>| {
            readings(&house, &cgm, &[reading(number, Measured::Special(Special::NaN), utc)]).expect("kept")
        };
        let give = |number: u64, when: Time| within(number, Some(Interval::exactly(when)));
        let first = tick();
        give(1, first);
        let own = resources(&gateway.get("Device").await)[0]["id"].as_str().expect("an id").to_owned();
        let worn = async |patient: &str| {
            let mut own_device = device("cgm", patient);
            own_device["id"] = own.as_str().into();
            let headers = [("content-type", "application/fhir+json")];
            let changed = gateway.send("PUT", &format!("Device/{own}"), &headers, &own_device.to_string()).await;
            assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
        };
        tick();
        worn(&anna).await;
        let hers = tick();
        give(2, hers);
        tick();
        worn(&bert).await;
        let his = tick();
        give(3, his);
        // What comes late.
        give(4, hers);
        give(5, first);
        let of = async |patient: &str| {
            let found = resources(&gateway.get(&format!("Observation?patient={patient}")).await);
            let names = found.iter().map(|one| one["identifier"][0]["value"].as_str().expect("a value").to_owned());
            names.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        };
        // It only knows that it was not before: within its own time, or before the device changed hands, or no clock at all.
        within(6, Some(Interval::since(his)));
        within(7, Some(Interval::since(hers)));
        within(8, None);
        within(9, Interval::new(hers, Some(hers.plus_seconds(30))));
        assert_eq!(of(&anna).await, ["cgm/2", "cgm/4", "cgm/9"]);
        assert_eq!(of(&bert).await, ["cgm/3", "cgm/6"]);
        let nobodys = resources(&gateway.get("Observation?patient:missing=true").await);
        assert_eq!(nobodys.len(), 4, "{nobodys:#?}");
        assert!(nobodys.iter().all(|one| one["subject"].is_null()));
        let unclear = nobodys.iter().filter(|one| one["note"][0]["text"].is_string());
        let mut unclear: Vec<_> = unclear.map(|one| one["identifier"][0]["value"].as_str().expect("a value")).collect();
        unclear.sort_unstable();
        assert_eq!(unclear, ["cgm/7", "cgm/8"], "it says why it is nobody's");
    }
}

/// Shows REQ-INTAKE-06: a delivery whose amount is known has a dose; another one says so.
#[tokio::test(flavor = "multi_thread")]
async fn deliveries_become_administrations() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let pump = house.device("pump", Role::Actuator);
        let moment = Moment { ticks: 1, utc: Some(Interval::exactly(at(&house))) };
        let delivery = |counter: u64, delivered: Delivered| Delivery {
            bond_epoch: 3,
            counter,
            moment,
            delivered,
            concentration: Concentration::U100,
            commander: DeviceName::new("controller"),
        };
        let all = [delivery(1, Delivered::Amount(MilliUnits(1_250))), delivery(2, Delivered::AtMost(MilliUnits(300)))];
        let give = || hand(&house, &pump, Operation::Report, |from| house.clinical.deliveries(from, &all));
        assert_eq!(give().expect_err("nobody's").code(), "intake-no-patient");
        let anna = gateway.create(&patient("Anna")).await.made();
        gateway.create(&device("pump", &anna)).await.made();
        assert_eq!(give().expect("kept"), [Kept::New; 2]);
        assert_eq!(give().expect("kept"), [Kept::Known; 2]);
        let mut found = resources(&gateway.get(&format!("MedicationAdministration?patient={anna}")).await);
        found.sort_by_key(|one| one["identifier"][0]["value"].to_string());
        assert_eq!(found.len(), 2, "{found:#?}");
        assert_eq!(found[0]["dosage"]["dose"]["value"].to_string(), "1.25");
        assert_eq!((&found[0]["status"], &found[0]["dosage"]["dose"]["code"]), (&json!("completed"), &json!("[iU]")));
        assert_eq!(found[0]["identifier"][0]["value"], "pump/3/1");
        assert_eq!(found[0]["performer"][0]["actor"]["identifier"]["value"], "controller");
        assert_eq!((&found[1]["status"], found[1]["dosage"].is_null()), (&json!("unknown"), true));
        assert!(found[1]["note"][0]["text"].as_str().is_some_and(|text| text.contains("at most 0.300 IU")));
    }
}

/// Shows REQ-INTAKE-07: a study grows, is whose its images say, and has nothing that is on them.
#[tokio::test(flavor = "multi_thread")]
async fn images_become_a_study() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let ct = house.device("ct", Role::Modality);
        let instance = |number: u32| ("1.2.840.10008.5.1.4.1.1.2".to_owned(), format!("1.2.3.4.{number}"));
        let study = |patient: &str, instances: &[u32]| StoredStudy {
            uid: "1.2.3".to_owned(),
            patient: patient.to_owned(),
            started: Some("2024-01-01".to_owned()),
            series: vec![StoredSeries {
                uid: "1.2.3.4".to_owned(),
                modality: "CT".to_owned(),
                instances: instances.iter().map(|number| instance(*number)).collect(),
            }],
        };
        let give = |study: &StoredStudy| hand(&house, &ct, Operation::Store, |from| house.clinical.images(from, study));
        assert_eq!(give(&study("P17", &[1])).expect_err("nobody's").code(), "intake-no-patient");
        let mut anna = patient("Anna");
        anna["identifier"] = json!([{ "system": "urn:oid:1.9", "value": "P17" }]);
        let anna = gateway.create(&anna).await.made();
        assert_eq!(give(&study("P17", &[1, 2])).expect("kept"), Kept::New);
        assert_eq!(give(&study("P17", &[2])).expect("kept"), Kept::Known);
        // What people add stays, and so does whose it is.
        let mut found = resources(&gateway.get("ImagingStudy?identifier=urn:dicom:uid|urn:oid:1.2.3").await).remove(0);
        assert_eq!(found["subject"]["reference"], format!("Patient/{anna}"));
        found["description"] = json!("head");
        let path = format!("ImagingStudy/{}", found["id"].as_str().expect("an id"));
        let headers = [("content-type", "application/fhir+json")];
        assert_eq!(gateway.send("PUT", &path, &headers, &found.to_string()).await.status, StatusCode::OK);
        assert_eq!(give(&study("other", &[3])).expect("kept"), Kept::New);
        let found = gateway.get(&path).await.body;
        assert_eq!((&found["description"], &found["numberOfInstances"]), (&json!("head"), &json!(3)));
        assert_eq!(found["subject"]["reference"], format!("Patient/{anna}"));
        assert_eq!(found["series"][0]["instance"].as_array().map(Vec::len), Some(3));
        assert_eq!(resources(&gateway.get(&format!("ImagingStudy?patient={anna}&modality=CT")).await).len(), 1);
        // Two patients of that number: nobody can tell whose it is.
        let mut twin = patient("Bert");
        twin["identifier"] = json!([{ "system": "urn:oid:1.10", "value": "P17" }]);
        gateway.create(&twin).await.made();
        let other = StoredStudy { uid: "1.2.9".to_owned(), ..study("P17", &[9]) };
        assert_eq!(give(&other).expect_err("nobody's").code(), "intake-no-patient");
    }
}
