//! Where what devices write came from.

use crate::fixture::{Device, House, device, glucose, patient, patients, transaction};
use http::StatusCode;
use medlock_clinical::definitions::Definitions;
use medlock_clinical::json::{Document, Limits};
use medlock_clinical::kind::Kind;
use medlock_clinical::seam::{Handed, Incarnation, Intake as _, Numbered};
use medlock_clinical::validate::{Asked, prepare};
use medlock_proto::reading::{Decimal, Mdc, Moment, Reading, Value as Measured};
use medlock_trust::status::State;
use medlock_trust::{Operation, Role};
use serde_json::{Value, json};

/// What our own validator says of a resource that we give.
pub(crate) fn assert_valid(resource: &Value) {
    let kind = Kind::named(resource["resourceType"].as_str().expect("a kind")).expect("a known kind");
    let source = resource.to_string();
    let document = Document::read(source.as_bytes(), &Limits::RESOURCE).expect("JSON");
    if let Err(issues) = prepare(document.root(), Definitions::r4(), Asked { kind, bases: &[], mark: None }) {
        panic!("{issues:?}: {resource:#}");
    }
}

fn give(house: &House, device: &Device<'_>, number: u64) {
    let who = device.peer().identified.expect("identified");
    let chain: Vec<&[u8]> = device.identity.chain().iter().map(AsRef::as_ref).collect();
    let permit = house.knowledge.judge(&who, Operation::Report).permit().expect("permitted");
    let value = Measured::Number(Decimal::new(100, 0).expect("a number"));
    let moment = Moment { ticks: number, utc: None };
    let reading = Reading { code: Mdc::CONC_GLU_ISF, unit: Mdc::DIM_MILLI_G_PER_DL, value, moment, mark: None };
    let from = Handed { who: &who, chain: &chain, permit, at: house.site.clock.now() };
    house.clinical.readings(from, Incarnation(1), &[Numbered { number, reading }]).expect("kept");
}

fn evidence<'v>(provenance: &'v Value, name: &str) -> Vec<&'v str> {
    let all = provenance["extension"][0]["extension"].as_array().expect("evidence");
    let named = all.iter().filter(|one| one["url"] == name);
    named.filter_map(|one| one.as_object()?.iter().find(|(key, _)| key.starts_with("value"))?.1.as_str()).collect()
}

fn targets(provenance: &Value) -> Vec<&str> {
    let all = provenance["target"].as_array().expect("targets");
    all.iter().filter_map(|target| target["reference"].as_str()).collect()
}

fn sorted(provenance: &Value) -> Vec<&str> {
    let mut all = targets(provenance);
    all.sort_unstable();
    all
}

async fn of(who: &Device<'_>, observation: &str) -> Vec<Value> {
    who.get(&format!("Provenance?target=Observation/{observation}")).await.resources()
}

/// Shows REQ-INTAKE-10, REQ-INTAKE-11, REQ-INTAKE-12; REQ-SRCH-37, REQ-SRCH-38: also of a version that was changed since.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_writes_says_where_it_came_from() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let [anna, bert] = patients(&gateway, ["Anna", "Bert"]).await;
        let own = gateway.create(&device("cgm", &anna)).await.made();
        let cgm = house.device("cgm", Role::Sensor);
        house.prove(&cgm, b"a proof of the log");
        give(&house, &cgm, 1);
        give(&house, &cgm, 2);
        let cgm = cgm.with("system/Observation.crs").await;
        let written = cgm.create(&glucose(&anna, &own, "2024-01-01")).await.made();
        let readings = gateway.get("Observation?_sort=_id").await.found();
        assert_eq!(readings.len(), 3);
        let all = of(&gateway, &readings[0]).await;
        let [one] = all.as_slice() else { panic!("{all:#?}") };
        assert_valid(one);
        assert_eq!(
            of(&gateway, &written).await,
            std::slice::from_ref(one),
            "nothing of it has changed: it is the same"
        );
        let mut expected: Vec<String> = readings.iter().map(|id| format!("Observation/{id}/_history/1")).collect();
        expected.sort();
        assert_eq!(sorted(one), expected);
        let agent = &one["agent"][0];
        assert_eq!(agent["who"]["reference"], format!("Device/{own}"));
        assert_eq!(agent["who"]["identifier"]["value"], "cgm");
        assert_eq!(agent["type"]["coding"][0]["code"], "author");
        let credential = cgm.peer().identified.expect("identified").credential().to_string();
        assert_eq!(evidence(one, "credential"), [credential.as_str()]);
        assert_eq!(evidence(one, "certificate").len(), cgm.identity.chain().len());
        assert_eq!((evidence(one, "operation"), evidence(one, "verdict")), (vec!["report"], vec!["allow"]));
        assert_eq!(
            (evidence(one, "mark").len(), evidence(one, "status"), evidence(one, "log-proof").len()),
            (0, vec!["1"], 1)
        );
        // It is found by device, patient and what refers to it.
        let id = one["id"].as_str().expect("an id");
        for query in [
            format!("Provenance?patient={anna}&agent=Device/{own}"),
            format!("Provenance?target=Observation/{written}"),
            "Provenance?agent-type=author".to_owned(),
            "Provenance?target:Observation.code=99504-3".to_owned(),
        ] {
            assert_eq!(gateway.get(&query).await.found(), [id], "{query}");
        }
        assert_eq!(gateway.get(&format!("Provenance?patient={bert}")).await.found(), [] as [&str; 0]);
        assert_eq!(gateway.get("Observation?_has:Provenance:target:agent-type=author").await.found().len(), 3);
        let with = gateway.get("Observation?_revinclude=Provenance:target&_count=1").await;
        assert_eq!(with.body["entry"][1]["resource"], *one, "{:#}", with.body);
        assert_eq!(gateway.get(&format!("Provenance/{id}")).await.body, *one);
        assert_eq!(gateway.get(&format!("Provenance/{id}/_history/1")).await.body, *one);
        // Another verdict, another Provenance, with its mark.
        house.news(&cgm, State::Suspended);
        give(&house, &cgm, 3);
        let marked = gateway.get("Provenance?_tag=urn:medlock:fhir:mark|suspended").await.found();
        assert_eq!(marked.len(), 1);
        let marked = gateway.get(&format!("Provenance/{}", marked[0])).await.body;
        assert_eq!((evidence(&marked, "mark"), evidence(&marked, "status")), (vec!["suspended"], vec!["2"]));
        assert_eq!(targets(&marked).len(), 1);
        assert_valid(&marked);
        // A version that somebody else wrote has its own; the former one keeps the one it had.
        let mut changed = gateway.get(&format!("Observation/{written}")).await.body;
        changed["note"] = json!([{ "text": "looks high" }]);
        let headers = [("content-type", "application/fhir+json")];
        let put = gateway.send("PUT", &format!("Observation/{written}"), &headers, &changed.to_string()).await;
        assert_eq!(put.status, StatusCode::OK, "{put:?}");
        let now = of(&gateway, &format!("{written}/_history/2")).await;
        assert_eq!((now.len(), &now[0]["agent"][0]["type"]["coding"][0]["code"]), (1, &json!("assembler")), "{now:#?}");
        assert_eq!(targets(&now[0]), [format!("Observation/{written}/_history/2")]);
        assert_eq!(sorted(&gateway.get(&format!("Provenance/{id}")).await.body), expected);
        // Who looks for where a reading came from finds both; of a version, its own.
        let both = [now[0]["id"].as_str().expect("an id"), id];
        let target = format!("Provenance?target=Observation/{written}");
        for (query, found) in [
            (target.clone(), &both[..]),
            (format!("{target}/_history/1"), &both[1..]),
            (format!("{target}/_history/2"), &both[..1]),
            (format!("{target}/_history/3"), &[]),
            (format!("{target}/_history/1,Observation/{written}"), &both),
            (format!("{target}&agent-type=author"), &both[1..]),
            (format!("Provenance?patient={anna}&target=Observation/{written}/_history/1"), &both[1..]),
            ("Provenance?target:Observation.note-is-not-searched=x".to_owned(), &[]),
            (format!("Provenance?target=Patient/{anna}"), &[]),
        ] {
            let mut answer = gateway.get(&query).await;
            let mut all = if answer.status == StatusCode::OK { answer.found() } else { Vec::new() };
            all.sort_unstable();
            let mut found = found.to_vec();
            found.sort_unstable();
            assert_eq!(all, found, "{query}: {:#}", answer.body.take());
        }
        let with = gateway.get(&format!("Observation?_id={written}&_revinclude=Provenance:target")).await;
        let entries = with.body["entry"].as_array().expect("entries");
        let with: Vec<_> = entries.iter().skip(1).filter_map(|entry| entry["resource"]["id"].as_str()).collect();
        assert_eq!((with.len(), both.iter().all(|one| with.contains(one))), (2, true), "{with:?}");
        let found = gateway.get(&format!("Observation?_id={written}&_has:Provenance:target:agent-type=author")).await;
        assert_eq!(found.found(), std::slice::from_ref(&written));
        let found = gateway.get(&format!("Provenance?target:Observation._id={written}&agent-type=author")).await;
        assert_eq!(found.found(), [id]);
        // And the other way round.
        let with = gateway.get(&format!("Provenance?_id={id}&_include=Provenance:target")).await.body;
        assert_eq!(with["entry"].as_array().map(Vec::len), Some(4), "{with:#}");
        // It is told to who sees the reading alone.
        let narrow = house.device("gw", Role::Gateway).with("system/Provenance.rs").await;
        for version in ["", "/_history/1", "/_history/2"] {
            assert_eq!(narrow.get(&format!("{target}{version}")).await.found(), [] as [&str; 0], "{version}");
        }
    }
}

/// Shows REQ-INTAKE-11: one stands for so many rows and so long, also where many write at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn a_provenance_ends_after_a_while() {
    for house in House::both() {
        let reader = house.device("gw", Role::Gateway);
        let cgm = house.device("cgm", Role::Sensor);
        std::thread::scope(|scope| {
            let each = |part: u64| (part * 75..(part + 1) * 75).for_each(|number| give(&house, &cgm, number));
            (0..4).for_each(|part| drop(scope.spawn(move || each(part))));
        });
        let all = async || {
            // A token lasts as long as a Provenance.
            let who = reader.ask_token("system/Provenance.rs system/Observation.rs").await;
            let token = format!("Bearer {}", who.body["access_token"].as_str().expect("a token"));
            let request = http::Request::get("/fhir/Provenance").header("authorization", token);
            let found = house.ask(reader.peer(), request, axum::body::Body::empty()).await;
            let entries = found.body["entry"].as_array().expect("entries").clone();
            let mut counts: Vec<usize> = entries.iter().map(|entry| targets(&entry["resource"]).len()).collect();
            counts.sort_unstable();
            counts
        };
        let counts = all().await;
        assert_eq!(counts.iter().sum::<usize>(), 300, "{counts:?}");
        // Each of the four may open one, at the beginning and when the first is full.
        assert!((2..=8).contains(&counts.len()) && counts.iter().all(|count| *count <= 256 + 4), "{counts:?}");
        house.site.clock.advance(3_600);
        give(&house, &cgm, 1_000);
        assert_eq!(all().await.len(), counts.len() + 1);
    }
}

/// Shows REQ-INTAKE-13: nobody writes one, and its targets are those that its reader may see.
#[tokio::test(flavor = "multi_thread")]
async fn a_provenance_is_ours_and_no_oracle() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.cruds").await;
        let anna = gateway.create(&patient("Anna")).await.made();
        let own = gateway.create(&device("cgm", &anna)).await.made();
        let cgm = house.device("cgm", Role::Sensor);
        give(&house, &cgm, 1);
        let narrow = house.device("gw", Role::Gateway).with("system/Provenance.rs").await;
        let id = narrow.get("Provenance").await.found().remove(0);
        for path in [format!("Provenance/{id}"), format!("Provenance/{id}/_history/1")] {
            let seen = narrow.get(&path).await.body;
            assert_eq!(seen["target"], json!([{ "display": "what is not in sight" }]), "{path}");
            assert_valid(&seen);
        }
        let body = gateway.get(&format!("Provenance/{id}")).await.body;
        assert_eq!(targets(&body).len(), 1);
        let headers = [("content-type", "application/fhir+json")];
        for (method, path) in [
            ("POST", "Provenance".to_owned()),
            ("PUT", format!("Provenance/{id}")),
            ("DELETE", format!("Provenance/{id}")),
        ] {
            let refused = gateway.send(method, &path, &headers, &body.to_string()).await;
            assert_eq!(
                (refused.status, refused.code()),
                (StatusCode::METHOD_NOT_ALLOWED, "fhir-not-supported"),
                "{method}"
            );
        }
        let bundle = transaction([json!({ "resource": body, "request": { "method": "POST", "url": "Provenance" } })]);
        assert_eq!(gateway.send("POST", "", &headers, &bundle.to_string()).await.code(), "fhir-not-supported");
        // A device sees nothing of it.
        let cgm = cgm.with("system/*.rs").await;
        assert_eq!(cgm.get("Observation").await.found().len(), 1);
        assert_ne!(cgm.get("Provenance").await.status, StatusCode::OK);
        assert_eq!(own.len(), 26);
    }
}

/// Shows REQ-AUDIT-41: a device that the register has as a gateway no more writes for itself, and its Provenance says so, whatever its
/// credential says still.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_a_gateway_no_more_is_the_author_of_what_it_measures() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let [anna] = patients(&gateway, ["Anna"]).await;
        let own = gateway.create(&device("both", &anna)).await.made();
        let both = house.device("both", Role::Gateway).with("system/*.crs").await;
        let part = async |who: &Device<'_>| {
            let written = who.create(&glucose(&anna, &own, "2024-01-01")).await.made();
            let all = of(&gateway, &written).await;
            all[0]["agent"][0]["type"]["coding"][0]["code"].as_str().expect("a code").to_owned()
        };
        assert_eq!(part(&both).await, "assembler");
        house.device("both", Role::Sensor);
        let both = both.with("system/*.crs").await;
        assert_eq!(part(&both).await, "author");
    }
}
