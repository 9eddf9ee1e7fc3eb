//! What guards and gateways of the same process hand over.

use crate::backend::Backend;
use crate::fixture::{Device, House, device, patient, patients, transaction};
use http::{Request, StatusCode};
use medlock_clinical::seam::{
    Delivered, Delivery, Handed, Incarnation, Intake as _, Kept, NotKept, Numbered, Refusal, Sort, StoredSeries,
    StoredStudy,
};
use medlock_proto::reading::{Decimal, Mdc, Moment, Reading, Special, Value as Measured};
use medlock_proto::sealed::{Concentration, MilliUnits};
use medlock_trust::status::State;
use medlock_trust::{DeviceName, Interval, Operation, Role, Time};
use serde_json::{Value, json};

/// The life of the devices here.
const LIFE: Incarnation = Incarnation(0xa1);

pub(crate) fn at(house: &House) -> Time {
    house.site.clock.now()
}

pub(crate) fn reading(number: u64, value: Measured, utc: Option<Interval>) -> Numbered {
    let moment = Moment { ticks: number * 300_000, utc };
    let (code, unit) = (Mdc::CONC_GLU_ISF, Mdc::DIM_MILLI_G_PER_DL);
    Numbered { number, reading: Reading { code, unit, value, moment, mark: None } }
}

pub(crate) fn number(mantissa: i32, exponent: i8) -> Measured {
    Measured::Number(Decimal::new(mantissa, exponent).expect("a number"))
}

/// Hands over what `device` says with its own permit for `operation`.
pub(crate) fn hand<T>(
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

pub(crate) fn readings(house: &House, device: &Device<'_>, all: &[Numbered]) -> Result<Vec<Kept>, NotKept> {
    hand(house, device, Operation::Report, |from| house.clinical.readings(from, LIFE, all))
}

/// The identifier of a reading.
fn named(device: &str, number: u64) -> String {
    format!("{device}/00000000000000a1/{number}")
}

/// The number that its device gave what became this.
pub(crate) fn number_of(resource: &Value) -> u64 {
    let identifier = resource["identifier"][0]["value"].as_str().expect("a value");
    identifier.rsplit('/').next().and_then(|number| number.parse().ok()).expect("a number")
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
        let found = gateway.get(&format!("Observation?patient={anna}&_sort=_id")).await.resources();
        assert_eq!(found.len(), 5, "{found:#?}");
        let one = |number: u64| {
            let identifier = json!([{ "system": "urn:medlock:fhir:reading", "value": named("cgm, 1|a", number) }]);
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
        assert_eq!(gateway.get("DeviceMetric").await.resources().len(), 2, "one for each code");
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
        let found = gateway.get(&format!("Observation?_tag=urn:medlock:fhir:mark|{mark}")).await.resources();
        assert_eq!(found.len(), 1, "{mark}");
        assert_eq!(found[0]["identifier"][0]["value"], named("cgm", number));
    }
    // A permit is for its own device and operation.
    let other = house.device("other", Role::Sensor);
    let who = cgm.peer().identified.expect("identified");
    for (device, operation) in [(&other, Operation::Report), (&other, Operation::Read)] {
        let permit = house.knowledge.judge(&device.peer().identified.expect("identified"), operation).permit();
        let from = Handed { who: &who, chain: &[], permit: permit.expect("permitted"), at: at(&house) };
        let refused = house.clinical.readings(from, LIFE, &[reading(3, number(1, 0), None)]).expect_err("refused");
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
        let [anna, bert] = patients(&gateway, ["Anna", "Bert"]).await;
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
        let own = gateway.get("Device").await.resources()[0]["id"].as_str().expect("an id").to_owned();
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
            let found = gateway.get(&format!("Observation?patient={patient}")).await.resources();
            found.iter().map(number_of).collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        };
        // It only knows that it was not before: within its own time, or before the device changed hands, or no clock at all.
        within(6, Some(Interval::since(his)));
        within(7, Some(Interval::since(hers)));
        within(8, None);
        within(9, Interval::new(hers, Some(hers.plus_seconds(30))));
        assert_eq!(of(&anna).await, [2, 4, 9]);
        assert_eq!(of(&bert).await, [3, 6]);
        let nobodys = gateway.get("Observation?patient:missing=true").await.resources();
        assert_eq!(nobodys.len(), 4, "{nobodys:#?}");
        assert!(nobodys.iter().all(|one| one["subject"].is_null()));
        let unclear = nobodys.iter().filter(|one| one["note"][0]["text"].is_string());
        let mut unclear: Vec<_> = unclear.map(number_of).collect();
        unclear.sort_unstable();
        assert_eq!(unclear, [7, 8], "it says why it is nobody's");
    }
}

/// A delivery of two minutes that ended at `ended`.
fn delivery(counter: u64, sort: Sort, ended: Time, delivered: Delivered) -> Delivery {
    Delivery {
        bond_epoch: 3,
        counter,
        sort,
        began: Some(counter),
        moment: Moment { ticks: counter + 120_000, utc: Some(Interval::exactly(ended)) },
        delivered,
        concentration: Concentration::U100,
        commander: DeviceName::new("controller"),
    }
}

pub(crate) fn bolus(counter: u64, ended: Time) -> Delivery {
    delivery(counter, Sort::Bolus, ended, Delivered::Amount(MilliUnits(1_250)))
}

pub(crate) fn deliveries(house: &House, device: &Device<'_>, all: &[Delivery]) -> Vec<Kept> {
    hand(house, device, Operation::Report, |from| house.clinical.deliveries(from, LIFE, all)).expect("kept")
}

pub(crate) async fn administrations(gateway: &Device<'_>, patient: &str) -> Vec<Value> {
    let mut found = gateway.get(&format!("MedicationAdministration?patient={patient}")).await.resources();
    found.sort_by_key(number_of);
    found
}

/// Shows REQ-INTAKE-06, REQ-INTAKE-30: a delivery whose amount is known has a dose, and a basal the rate; another one says so. It is
/// as long as it took, and says what was commanded.
#[tokio::test(flavor = "multi_thread")]
async fn deliveries_become_administrations() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let pump = house.device("pump", Role::Actuator);
        let anna = gateway.create(&patient("Anna")).await.made();
        gateway.create(&device("pump", &anna)).await.made();
        let now = at(&house);
        let mut basal = delivery(3, Sort::TemporaryBasal, now, Delivered::Amount(MilliUnits(2_000)));
        basal.moment.ticks = 3 + 2 * 3_600_000;
        let mut cut = delivery(2, Sort::Bolus, now, Delivered::AtMost(MilliUnits(300)));
        (cut.began, cut.moment.utc) = (None, None);
        let mut short = bolus(4, now);
        short.began = Some(short.moment.ticks - 20_000);
        let all = [bolus(1, now), cut, basal, short];
        assert_eq!(deliveries(&house, &pump, &all), [Kept::New; 4]);
        assert_eq!(deliveries(&house, &pump, &all), [Kept::Known; 4]);
        let found = administrations(&gateway, &anna).await;
        let [first, cut, basal, short] = &found[..] else { panic!("{found:#?}") };
        assert_eq!(first["dosage"]["dose"]["value"].to_string(), "1.25");
        assert_eq!((&first["status"], &first["dosage"]["dose"]["code"]), (&json!("completed"), &json!("[iU]")));
        assert_eq!(first["identifier"][0]["value"], "pump/00000000000000a1/3/1");
        assert_eq!(first["performer"][0]["actor"]["identifier"]["value"], "controller");
        assert_eq!((&cut["status"], cut["dosage"].is_null()), (&json!("unknown"), true));
        assert!(cut["note"][0]["text"].as_str().is_some_and(|text| text.contains("a bolus: at most 0.300 IU")));
        assert!(cut["effectivePeriod"]["start"].is_null() && cut["effectivePeriod"]["end"].is_string());
        // From when to when, what, and how fast.
        let code = |one: &Value| one["dosage"]["method"]["coding"][0]["code"].clone();
        assert_eq!((code(first), code(basal)), (json!("bolus"), json!("temporary-basal")));
        let period = |one: &Value| (one["effectivePeriod"]["start"].clone(), one["effectivePeriod"]["end"].clone());
        let written = |time: Time| json!(time.to_string().replace('Z', ".000Z"));
        assert_eq!(period(first), (written(now.plus_seconds(-120)), written(now)));
        assert_eq!(period(basal), (written(now.plus_seconds(-7_200)), written(now)));
        assert_eq!(short["effectiveDateTime"], written(now.plus_seconds(-20)));
        let rate = &basal["dosage"]["rateQuantity"];
        assert_eq!((rate["value"].as_f64(), &rate["code"]), (Some(1.0), &json!("[iU]/h")));
        assert!(first["dosage"]["rateQuantity"].is_null(), "a bolus has none");
    }
}

/// Shows REQ-INTAKE-55, REQ-INTAKE-56, REQ-INTAKE-57, REQ-INTAKE-63: what waits is listed device by device and page by
/// page; people hear of it by an alarm and a figure; what was nobody's is dismissed, with why, and its number stays spent; and one
/// device fills no more than its room, and what is clear is in the records all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_found_dismissed_and_bounded() {
    for house in House::both() {
        let pump = house.device("pump", Role::Actuator);
        let other = house.device("other", Role::Actuator);
        let now = at(&house);
        let list = async |more: Value| {
            let mut asked = json!({ "verb": "waiting-deliveries" });
            asked.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
            house.administer(asked).await.body
        };
        for from in (0..2_000).step_by(500) {
            let some: Vec<_> = (from..from + 500).map(|number| bolus(number, now)).collect();
            assert_eq!(deliveries(&house, &pump, &some), [Kept::Waits; 500]);
        }
        assert_eq!(house.raised.0.lock().expect("the alarms").first().map(|(kind, _)| *kind), Some("delivery-waits"));
        let no_room = Kept::Refused(Refusal::NoRoom);
        assert_eq!(deliveries(&house, &pump, &[bolus(2_000, now)]), [no_room]);
        assert_eq!(deliveries(&house, &pump, &[bolus(7, now)]), [Kept::Known], "it is here, and no room is needed");
        assert_eq!(deliveries(&house, &other, &[bolus(1, now)]), [Kept::Waits], "others have theirs");
        assert_eq!(house.clinical.figures().expect("figures").deliveries_waiting, 2_001);

        let first = list(json!({})).await;
        let numbers = |page: &Value| -> Vec<i64> {
            page["deliveries"].as_array().expect("a list").iter().filter_map(|one| one["number"].as_i64()).collect()
        };
        assert_eq!((numbers(&first).len(), &first["more"]), (1_000, &json!(true)));
        let second = list(json!({ "after": numbers(&first).last() })).await;
        assert_eq!((numbers(&second).len(), numbers(&second)[0]), (1_000, numbers(&first)[999] + 1));
        let others = list(json!({ "device": "other" })).await;
        assert_eq!((numbers(&others).len(), &others["more"]), (1, &json!(false)));

        let dismiss = |numbers: &[i64], why: &str| {
            house.administer(json!({ "verb": "dismiss-deliveries", "numbers": numbers, "why": why }))
        };
        let some = &numbers(&first)[..3];
        assert_eq!(dismiss(some, " ").await.status, StatusCode::BAD_REQUEST, "it says why");
        assert_eq!(dismiss(&[some[0], 99_999], "tried out").await.status, StatusCode::NOT_FOUND, "all or none");
        assert_eq!(dismiss(some, "tried out in the workshop").await.status, StatusCode::OK);
        assert_eq!(dismiss(some, "tried out in the workshop").await.status, StatusCode::NOT_FOUND, "once");
        assert_eq!(numbers(&list(json!({})).await)[0], some[2] + 1);
        assert_eq!(deliveries(&house, &pump, &[bolus(0, now)]), [Kept::Known], "it does not come back");
        let again = [2_000, 7, 2_001, 2_002, 2_003, 2_004].map(|number| bolus(number, now));
        let (waits, known) = (Kept::Waits, Kept::Known);
        let kept = deliveries(&house, &pump, &again);
        assert_eq!(kept, [waits, known, waits, waits, no_room, no_room], "there is room again, and it is filled");
        // The next patient's doses are in the records all the same.
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let [anna, bert] = patients(&gateway, ["Anna", "Bert"]).await;
        let own = gateway.create(&device("pump", &anna)).await.made();
        house.site.clock.advance(60);
        let mut his = device("pump", &bert);
        his["id"] = json!(own);
        let headers = [("content-type", "application/fhir+json")];
        let sent = gateway.send("PUT", &format!("Device/{own}"), &headers, &his.to_string()).await;
        assert_eq!(sent.status, StatusCode::OK, "{sent:?}");
        let changed = at(&house);
        house.site.clock.advance(600);
        let mut either = bolus(3_000, changed);
        either.moment.utc = Interval::new(changed.plus_seconds(-30), Some(changed.plus_seconds(30)));
        let all = [either, bolus(3_001, changed.plus_seconds(300))];
        assert_eq!(deliveries(&house, &pump, &all), [no_room, Kept::New]);
        assert_eq!(administrations(&gateway, &bert).await.len(), 1);
        let audit = house.administer(json!({ "verb": "verify-audit" })).await;
        assert!(audit.body["broken"].is_null() && audit.status == StatusCode::OK, "{audit:?}");
    }
}

/// Shows REQ-INTAKE-29: a delivery that may be of several, or of nobody, waits and holds up no others, until the administrator says
/// whose it was; then it has a Provenance of both.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_of_nobody_waits_until_a_person_says_whose_it_was() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let pump = house.device("pump", Role::Actuator);
        let [anna, bert] = patients(&gateway, ["Anna", "Bert"]).await;
        let before = at(&house);
        assert_eq!(deliveries(&house, &pump, &[bolus(1, before)]), [Kept::Waits], "there is no Device yet");
        let own = gateway.create(&device("pump", &anna)).await.made();
        house.site.clock.advance(600);
        let mut own_device = device("pump", &bert);
        own_device["id"] = own.as_str().into();
        let headers = [("content-type", "application/fhir+json")];
        let changed = gateway.send("PUT", &format!("Device/{own}"), &headers, &own_device.to_string()).await;
        assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
        let moved = at(&house);
        house.site.clock.advance(600);
        // It began while Anna wore the pump, and ended when Bert did.
        let mut unsure = bolus(4, at(&house));
        unsure.moment.utc = Some(Interval::since(before));
        let all = [bolus(1, before), bolus(2, moved.plus_seconds(60)), bolus(3, at(&house)), unsure];
        let kept = [Kept::Known, Kept::Waits, Kept::New, Kept::Waits];
        assert_eq!(deliveries(&house, &pump, &all), kept);
        assert_eq!(deliveries(&house, &pump, &all), [Kept::Known; 4], "it is kept, though it waits");
        assert_eq!(deliveries(&house, &pump, &[bolus(2, moved)]), [Kept::Refused(Refusal::OtherContents)]);

        let told = house.administer(json!({ "verb": "waiting-deliveries" })).await;
        let waiting = told.body["deliveries"].as_array().cloned().expect("a list");
        let told: Vec<_> = waiting.iter().map(|one| (one["device"].as_str(), one["what"].as_str())).collect();
        assert_eq!(told, [(Some("pump"), Some("bolus, 1.250 IU")); 3], "{waiting:#?}");
        let number = |place: usize| waiting[place]["number"].clone();
        let assign = |numbers: Value, patient: String| {
            house.administer(json!({ "verb": "assign-deliveries", "numbers": numbers, "patient": patient }))
        };
        let nobody = medlock_clinical::kind::Id::fresh(medlock_clinical::kind::Millis(1));
        for (numbers, patient) in [
            (json!([number(0)]), format!("Patient/{nobody}")),
            (json!([number(0)]), anna.clone()),
            (json!([number(0), 4_711]), format!("Patient/{anna}")),
        ] {
            let refused = assign(numbers, patient).await;
            assert!(refused.status.is_client_error(), "{refused:?}");
        }
        assert_eq!(administrations(&gateway, &anna).await.len(), 0);
        let done = assign(json!([number(0), number(2)]), format!("Patient/{anna}")).await;
        assert_eq!(done.status, StatusCode::OK, "{done:?}");
        assert_eq!(assign(json!([number(0)]), format!("Patient/{bert}")).await.status, StatusCode::NOT_FOUND, "once");
        let left = house.administer(json!({ "verb": "waiting-deliveries" })).await;
        assert_eq!(left.body["deliveries"].as_array().map(Vec::len), Some(1));
        // No number means another one later: who has an old list does not assign what is not on it.
        let mut later = bolus(5, before);
        later.moment.utc = None;
        assert_eq!(deliveries(&house, &pump, &[later]), [Kept::Waits]);
        let now =
            house.administer(json!({ "verb": "waiting-deliveries" })).await.body["deliveries"][1]["number"].clone();
        assert!(now.is_number() && (0..3).all(|place| number(place) != now), "{now}");

        // Who denies everybody everything, is given what was delivered all the same.
        let carl = gateway.create(&patient("Carl")).await.made();
        let software = Backend::new(&house, "system/Consent.c system/Patient.r").await;
        let token = software.token("system/Consent.c system/Patient.r").await;
        let coding = |system: &str, code: &str| json!({ "coding": [{ "system": system, "code": code }] });
        let denies = json!({
            "resourceType": "Consent", "status": "active", "patient": { "reference": format!("Patient/{carl}") },
            "scope": coding("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
            "category": [coding("http://loinc.org", "59284-0")],
            "policy": [{ "uri": "urn:medlock:fhir:base-policy" }],
            "provision": { "provision": [{ "type": "deny" }] },
        });
        let request = Request::post("/fhir/Consent").header("authorization", format!("Bearer {token}"));
        let request = request.header("content-type", "application/fhir+json");
        house.people_json(request, denies.to_string()).await.made();
        let done = assign(json!([now]), format!("Patient/{carl}")).await;
        assert_eq!(done.status, StatusCode::OK, "{done:?}");

        let found = administrations(&gateway, &anna).await;
        assert_eq!(found.iter().map(number_of).collect::<Vec<_>>(), [1, 4]);
        assert_eq!(found[1]["device"][0]["reference"], format!("Device/{own}"));
        assert_eq!(administrations(&gateway, &bert).await.iter().map(number_of).collect::<Vec<_>>(), [3]);
        // What comes again is not kept again.
        assert_eq!(deliveries(&house, &pump, &all), [Kept::Known; 4]);
        for one in &found {
            let target = format!("Provenance?target=MedicationAdministration/{}", one["id"].as_str().expect("an id"));
            let said = gateway.get(&format!("{target}&patient={anna}")).await.resources();
            assert_eq!(said.len(), 1, "{said:#?}");
            let roles: Vec<_> = (0..2).map(|agent| &said[0]["agent"][agent]["type"]["coding"][0]["code"]).collect();
            assert_eq!(roles, ["author", "informant"]);
            assert_eq!(said[0]["agent"][0]["who"]["identifier"]["value"], "pump");
        }
        let audit = house.administer(json!({ "verb": "verify-audit" })).await;
        assert!(audit.body["broken"].is_null() && audit.status == StatusCode::OK, "{audit:?}");
    }
}

/// Shows REQ-INTAKE-25: what is kept once is known by the device's own numbers and by its contents, and not by what others wrote; a
/// device that was wiped has numbers of its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_is_known_by_its_contents() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let anna = gateway.create(&patient("Anna")).await.made();
        gateway.create(&device("cgm", &anna)).await.made();
        let cgm = house.device("cgm", Role::Sensor);
        let exactly = Some(Interval::exactly(at(&house)));
        let first = reading(0, number(100, 0), exactly);
        assert_eq!(readings(&house, &cgm, &[first]).expect("kept"), [Kept::New]);
        // Another value under the same number; it holds up nothing behind it.
        let all = [first, reading(0, number(40, 0), exactly), reading(1, number(40, 0), exactly)];
        let refused = Kept::Refused(Refusal::OtherContents);
        assert_eq!(readings(&house, &cgm, &all).expect("kept"), [Kept::Known, refused, Kept::New]);
        let twice = [reading(2, number(1, 0), exactly), reading(2, number(2, 0), exactly)];
        assert_eq!(readings(&house, &cgm, &twice).expect("kept"), [Kept::New, refused]);
        // The same numbers of another device, and of the same one after it was wiped.
        let other = house.device("other", Role::Sensor);
        assert_eq!(readings(&house, &other, &[first]).expect("kept"), [Kept::New]);
        let wiped = hand(&house, &cgm, Operation::Report, |from| {
            house.clinical.readings(from, Incarnation(0xa2), &[first, reading(1, number(55, 0), exactly)])
        });
        assert_eq!(wiped.expect("kept"), [Kept::New; 2]);
        assert_eq!(gateway.get(&format!("Observation?patient={anna}")).await.resources().len(), 5);
        let noted = gateway.get("AuditEvent?outcome=4&_count=50").await.resources();
        assert!(noted.iter().any(|one| one.to_string().contains("intake-number")), "{noted:#?}");
    }
}

/// Shows REQ-INTAKE-26: nobody but the intake gives what devices report its identifiers, so that nobody has a reading taken for known;
/// who corrects one leaves them as they are.
#[tokio::test(flavor = "multi_thread")]
async fn identifiers_of_what_devices_report_are_reserved() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let [anna, bert] = patients(&gateway, ["Anna", "Bert"]).await;
        let own = gateway.create(&device("cgm", &anna)).await.made();
        let cgm = house.device("cgm", Role::Sensor);
        let headers = [("content-type", "application/fhir+json")];
        let mut planted = crate::fixture::glucose(&bert, &own, "2026-01-01T00:00:00Z");
        for (kind, system) in [("reading", "cgm/00000000000000a1/0"), ("delivery", "x"), ("metric", "cgm/160212")] {
            planted["identifier"] =
                json!([{ "value": "ours" }, { "system": format!("urn:medlock:fhir:{kind}"), "value": system }]);
            let refused = gateway.create(&planted).await;
            assert_eq!(
                (refused.status, refused.code()),
                (StatusCode::FORBIDDEN, "fhir-reserved-identifier"),
                "{refused:?}"
            );
            let entry = json!({ "resource": planted, "request": { "method": "POST", "url": "Observation" } });
            let bundle = transaction([entry]);
            let refused = gateway.send("POST", "", &headers, &bundle.to_string()).await;
            assert_eq!(refused.code(), "fhir-reserved-identifier", "{refused:?}");
        }
        assert_eq!(readings(&house, &cgm, &[reading(0, number(1, 0), None)]).expect("kept"), [Kept::New]);
        // A person corrects it: with its identifier, and not without, and no other one gets it.
        let mut kept = gateway.get(&format!("Observation?patient={anna}")).await.resources().remove(0);
        let path = format!("Observation/{}", kept["id"].as_str().expect("an id"));
        kept["note"] = json!([{ "text": "after a meal" }]);
        assert_eq!(gateway.send("PUT", &path, &headers, &kept.to_string()).await.status, StatusCode::OK);
        let identifier = kept["identifier"].take();
        kept.as_object_mut().expect("an object").remove("identifier");
        assert_eq!(gateway.send("PUT", &path, &headers, &kept.to_string()).await.code(), "fhir-reserved-identifier");
        planted["identifier"] = json!([{ "value": "ours" }]);
        let other = gateway.create(&planted).await.made();
        planted["id"] = other.as_str().into();
        planted["identifier"] = identifier;
        let refused = gateway.send("PUT", &format!("Observation/{other}"), &headers, &planted.to_string()).await;
        assert_eq!(refused.code(), "fhir-reserved-identifier");
    }
}

/// Shows REQ-INTAKE-07, REQ-INTAKE-27, REQ-INTAKE-47, REQ-INTAKE-58: a study grows by what is of its patient, is whose its images say, and
/// has nothing that is on them; what people add to it holds up no image, and neither does a second study with its identifier.
#[tokio::test(flavor = "multi_thread")]
async fn images_become_a_study() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let ct = house.device("ct", Role::Modality);
        let instance = |number: u32| ("1.2.840.10008.5.1.4.1.1.2".to_owned(), format!("1.2.3.4.{number}"));
        let study = |patient: &str, instances: &[u32]| StoredStudy {
            uid: "1.2.3".to_owned(),
            patient: patient.to_owned(),
            issuer: None,
            at: None,
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
        let mut found = gateway.get("ImagingStudy?identifier=urn:dicom:uid|urn:oid:1.2.3").await.resources().remove(0);
        assert_eq!(found["subject"]["reference"], format!("Patient/{anna}"));
        // Who made them is a Device of the records.
        let performer = &found["series"][0]["performer"][0]["actor"]["reference"];
        let own = gateway.get("Device?identifier=urn:medlock:fhir:device|ct").await.found();
        assert_eq!(performer, &json!(format!("Device/{}", own[0])), "{found}");
        // A machine may read no Practitioner, and this one is deleted besides.
        let doctor =
            gateway.create(&json!({ "resourceType": "Practitioner", "name": [{ "family": "Roth" }] })).await.made();
        let gone =
            gateway.create(&json!({ "resourceType": "Practitioner", "name": [{ "family": "Weiss" }] })).await.made();
        found["referrer"] = json!({ "reference": format!("Practitioner/{doctor}") });
        found["interpreter"] = json!([{ "reference": format!("Practitioner/{gone}") }]);
        found["description"] = json!("head");
        found["series"][0]["description"] = json!("axial");
        found["series"][0]["instance"][0]["title"] = json!("scout");
        let path = format!("ImagingStudy/{}", found["id"].as_str().expect("an id"));
        let headers = [("content-type", "application/fhir+json")];
        assert_eq!(gateway.send("PUT", &path, &headers, &found.to_string()).await.status, StatusCode::OK);
        let software = Backend::new(&house, "system/Practitioner.d").await.token("system/Practitioner.d").await;
        let request = Request::delete(format!("/fhir/Practitioner/{gone}"));
        let request = request.header("authorization", format!("Bearer {software}"));
        assert_eq!(house.people_json(request, String::new()).await.status, StatusCode::NO_CONTENT);
        // Images of nobody here, and of somebody else: not into this study.
        let mut other = patient("Carl");
        other["identifier"] = json!([{ "system": "urn:oid:1.9", "value": "P18" }]);
        gateway.create(&other).await.made();
        for wrong in ["other", "P18"] {
            assert_eq!(give(&study(wrong, &[3])).expect_err("another's").code(), "intake-other-patient");
        }
        assert_eq!(give(&study("P17", &[3])).expect("kept"), Kept::New);
        let found = gateway.get(&path).await.body;
        assert_eq!((&found["description"], &found["numberOfInstances"]), (&json!("head"), &json!(3)));
        assert_eq!(found["subject"]["reference"], format!("Patient/{anna}"));
        assert_eq!(found["series"][0]["instance"].as_array().map(Vec::len), Some(3));
        let series = &found["series"][0];
        assert_eq!((&series["description"], &series["instance"][0]["title"]), (&json!("axial"), &json!("scout")));
        assert_eq!(series["performer"][0]["actor"]["reference"], json!(format!("Device/{}", own[0])));
        assert_eq!(found["referrer"]["reference"], format!("Practitioner/{doctor}"));
        assert_eq!(found["interpreter"][0]["reference"], format!("Practitioner/{gone}"));
        assert_eq!(gateway.get(&format!("ImagingStudy?patient={anna}&modality=CT")).await.resources().len(), 1);
        // Two patients of that number: nobody can tell whose it is.
        let mut twin = patient("Bert");
        twin["identifier"] = json!([{ "system": "urn:oid:1.10", "value": "P17" }]);
        gateway.create(&twin).await.made();
        let other = StoredStudy { uid: "1.2.9".to_owned(), ..study("P17", &[9]) };
        assert_eq!(give(&other).expect_err("nobody's").code(), "intake-no-patient");
        assert_eq!(give(&study("P17", &[4])).expect("kept"), Kept::New, "one of the two has the study");
        let mut second = gateway.get(&path).await.body;
        second.as_object_mut().expect("an object").retain(|name, _| name != "id" && name != "interpreter");
        gateway.create(&second).await.made();
        let doubled = give(&study("P17", &[5])).expect_err("which one is not known");
        assert!(doubled.code() == "intake-unfit" && doubled.to_string().contains("remove all but one"), "{doubled}");
    }
}

/// Shows REQ-INTAKE-46: a sidecar tells of images by its machine's credential; what is refused says whether it is worth another try.
#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_tells_of_images_at_the_devices_door() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let mut anna = patient("Anna");
        anna["identifier"] = json!([{ "value": "P17" }]);
        let anna = gateway.create(&anna).await.made();
        let (ct, sensor) = (house.device("ct", Role::Modality), house.device("cgm", Role::Sensor));
        let report = json!({
            "study": "1.2.3", "patient": "P17", "date": "20260102", "time": "030405", "zone": "+0100",
            "series": [{ "uid": "1.2.3.4", "modality": "CT", "instances": [["1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.1"]] }],
        });
        let tell = async |peer, report: &Value| {
            let request = Request::post("/v1/studies").header("content-type", "application/json");
            let answer = house.ask(peer, request, report.to_string().into()).await;
            (answer.status.as_u16(), answer.body["code"].as_str().unwrap_or_default().to_owned())
        };
        let code = |status: u16, code: &str| (status, code.to_owned());
        assert_eq!(tell(ct.peer(), &report).await, code(204, ""));
        assert_eq!(tell(ct.peer(), &report).await, code(204, ""), "it is known");
        let found = gateway.get(&format!("ImagingStudy?patient={anna}")).await.resources().remove(0);
        assert_eq!((&found["started"], &found["numberOfInstances"]), (&json!("2026-01-02T03:04:05+01:00"), &json!(1)));
        // Beside it: which credential said so, and what the judge thought of it.
        let path = format!("Provenance?target=ImagingStudy/{}", found["id"].as_str().expect("an id"));
        let provenance = gateway.get(&path).await.resources().remove(0);
        assert_eq!(provenance["agent"][0]["who"]["identifier"]["value"], "ct", "{provenance}");
        // At the people's door there is no such thing.
        let request = Request::post("/v1/studies").header("content-type", "application/json");
        let answer = house.people_json(request, report.to_string()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        let mut other = report.clone();
        other["patient"] = json!("P18");
        other["study"] = json!("1.2.4");
        assert_eq!(tell(ct.peer(), &other).await, code(422, "intake-no-patient"));
        other["study"] = json!("1.2.x");
        assert_eq!(tell(ct.peer(), &other).await, code(400, "study-report-wrong"));
        assert_eq!(tell(crate::fixture::nobody(), &report).await, code(403, "operational-credential-needed"));
        assert_eq!(tell(sensor.peer(), &report).await.0, 403, "who measures stores no images");
        house.news(&ct, State::Compromised);
        assert_eq!(tell(ct.peer(), &report).await, code(403, "compromised"));
    }
}
