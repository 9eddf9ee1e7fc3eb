//! What consents do to the store: all trees of provisions, and what is noted.

use super::fixture::{House, device, glucose, nobody, patient};
use crate::access::{Holder, Reach, Right, Sight, Verb, Verbs};
use crate::auth::Scopes;
use crate::consent::{Actor, Ruling, compile};
use crate::json::{Document, Limits};
use crate::kind::{Id, Kind, Millis, Row};
use crate::store::{Given, NewLeave, NewToken, Statement};
use axum::body::Body;
use http::Request;
use medlock_node::provider::sha256;
use medlock_trust::Role;
use proptest::prelude::{BoxedStrategy, Strategy, any, prop};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// A provision as it is made up; what it permits or denies follows from the one around it.
#[derive(Clone, Debug)]
struct Tree {
    deny: bool,
    code: Option<usize>,
    level: Option<usize>,
    named: Option<bool>,
    inner: Vec<Tree>,
}

const CODES: [&str; 3] = ["a", "b", "c"];
const LEVELS: [&str; 3] = ["L", "N", "R"];

/// A row: its code, and its level of confidentiality if it has one.
type Sort = (usize, Option<usize>);

fn tree() -> BoxedStrategy<Tree> {
    let own =
        || (any::<bool>(), prop::option::of(0..3_usize), prop::option::of(0..3_usize), prop::option::of(any::<bool>()));
    let with = |((deny, code, level, named), inner)| Tree { deny, code, level, named, inner };
    let leaf = own().prop_map(move |own| with((own, Vec::new())));
    leaf.prop_recursive(4, 16, 3, move |inner| (own(), prop::collection::vec(inner, 0..3)).prop_map(with)).boxed()
}

impl Tree {
    /// Each exception does the opposite of what it is an exception of.
    fn alternate(&mut self) {
        for inner in &mut self.inner {
            inner.deny = !self.deny;
            inner.alternate();
        }
    }

    fn to_json(&self, people: [&str; 2]) -> Value {
        let mut out = json!({ "type": if self.deny { "deny" } else { "permit" } });
        if let Some(code) = self.code {
            out["code"] = json!([{ "coding": [{ "system": "urn:t", "code": CODES[code] }] }]);
        }
        if let Some(level) = self.level {
            let system = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
            out["securityLabel"] = json!([{ "system": system, "code": LEVELS[level] }]);
        }
        if let Some(named) = self.named {
            let role = json!({ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "PRCP" }] });
            let reference = format!("Practitioner/{}", people[usize::from(!named)]);
            out["actor"] = json!([{ "role": role, "reference": { "reference": reference } }]);
        }
        if !self.inner.is_empty() {
            out["provision"] = self.inner.iter().map(|inner| inner.to_json(people)).collect();
        }
        out
    }

    /// What it says of a row, as it is read: whether it denies, or nothing.
    fn says(&self, row: Sort) -> Option<bool> {
        let level =
            self.level.is_none_or(|of| row.1.is_some_and(|level| if self.deny { level >= of } else { level <= of }));
        if !(self.code.is_none_or(|code| code == row.0) && level && self.named.unwrap_or(true)) {
            return None;
        }
        let said: Vec<bool> = self.inner.iter().filter_map(|inner| inner.says(row)).collect();
        Some(if said.is_empty() { self.deny } else { said.contains(&true) })
    }

    /// Puts a denial beside all, or among the exceptions of a permit; of a denial it is no exception.
    fn add(all: &mut Vec<Self>, around: Option<bool>, denial: &Self, way: &[usize]) {
        match way.split_first() {
            Some((step, rest)) if !all.is_empty() => {
                let place = step % all.len();
                let around = Some(all[place].deny);
                Self::add(&mut all[place].inner, around, denial, rest);
            }
            _ if around != Some(true) => all.push(denial.clone()),
            _ => {}
        }
    }
}

fn visible(all: &[Tree], base: bool, row: Sort) -> bool {
    let said: Vec<bool> = all.iter().filter_map(|tree| tree.says(row)).collect();
    !said.contains(&true) && (base || said.contains(&false))
}

/// A patient with a row of each sort, and somebody who asks.
struct Ward {
    house: House,
    patient: (Row, Id),
    people: [String; 2],
    rows: HashMap<i64, Sort>,
}

impl Ward {
    async fn new() -> Self {
        let house = House::new();
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let made = async |resource: Value| gateway.create(&resource).await.made();
        let anna = made(patient("Anna")).await;
        let mut people = Vec::new();
        for name in ["Doe", "Roe"] {
            people.push(made(json!({ "resourceType": "Practitioner", "name": [{ "family": name }] })).await);
        }
        let records = house.clinical.records();
        let read = Sight::of_register();
        let row_of = |sight: &Sight, kind: Kind, id: &str| {
            let id = Id::read(id).expect("an id");
            (records.read(sight, kind, &id).expect("read").expect("there").row, id)
        };
        let all = Sight::new([right()].into_iter());
        let mut rows = HashMap::new();
        for (code, name) in CODES.iter().enumerate() {
            for level in [None, Some(0), Some(1), Some(2)] {
                let mut reading = json!({
                    "resourceType": "Observation", "status": "final", "subject": { "reference": format!("Patient/{anna}") },
                    "code": { "coding": [{ "system": "urn:t", "code": name }] },
                });
                if let Some(level) = level {
                    let system = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
                    reading["meta"] = json!({ "security": [{ "system": system, "code": LEVELS[level] }] });
                }
                let id = made(reading).await;
                rows.insert(row_of(&all, Kind::OBSERVATION, &id).0.0, (code, level));
            }
        }
        let patient = row_of(&read, Kind::PATIENT, &anna);
        let people = <[String; 2]>::try_from(people).expect("two");
        Self { house, patient, people, rows }
    }

    /// Which sorts of rows the first of the people sees under these provisions; the store is as before afterwards.
    fn seen(&self, all: &[Tree], base: bool) -> BTreeSet<Sort> {
        let records = self.house.clinical.records();
        let people = [self.people[0].as_str(), self.people[1].as_str()];
        let provisions: Vec<Value> = all.iter().map(|tree| tree.to_json(people)).collect();
        let consent = json!({
            "resourceType": "Consent", "status": "active", "patient": { "reference": format!("Patient/{}", self.patient.1) },
            "scope": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy" }] },
            "policy": [{ "uri": "urn:medlock:fhir:base-policy" }], "provision": { "provision": provisions },
        });
        let text = consent.to_string();
        let document = Document::read(text.as_bytes(), &Limits::RESOURCE).expect("JSON");
        let compiled = compile(document.root(), &[]).unwrap_or_else(|issues| panic!("{text}: {issues:?}"));
        let number = Row(i64::MAX);
        let rows: HashMap<Id, Row> = people
            .iter()
            .map(|id| Id::read(id).expect("an id"))
            .map(|id| {
                (id, records.read(&Sight::of_register(), Kind::PRACTITIONER, &id).expect("read").expect("there").row)
            })
            .collect();
        let doe = rows[&Id::read(people[0]).expect("an id")];
        records.provide((number, self.patient.0), compiled, move |_, id| rows.get(&id).copied()).expect("written");
        let ruling = Ruling { actor: Actor::Staff(doe), base, verb: Verb::Search, at: Millis(0), leave: 0 };
        let sight = Sight::new([right()].into_iter()).ruled(ruling);
        let question = Statement::seen_by_row("r.rid", &sight, Kind::OBSERVATION);
        let found = records.database().read("look", |sql| {
            medlock_store::all(sql, "resource", question.sql(), question.values(), |row| row.number::<i64>("rid"))
        });
        found.expect("read").iter().filter_map(|row| self.rows.get(row).copied()).collect()
    }
}

const fn right() -> Right {
    Right { kind: Kind::OBSERVATION, verbs: Verbs::EVERY, reach: Reach::All, only: None }
}

/// Shows REQ-CONS-14: the statement sees what a reader of the provisions would; a deny that is added never shows more, nor does
/// a permit without exceptions that is taken away.
#[test]
fn a_deny_added_never_shows_more() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let ward = runtime.block_on(Ward::new());
    let trees = prop::collection::vec(tree(), 0..4);
    let way = prop::collection::vec(0..3_usize, 0..4);
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let cases = (trees, any::<bool>(), tree(), way);
    let told = runner.run(&cases, |(mut all, base, mut denial, way)| {
        all.iter_mut().for_each(Tree::alternate);
        let before = ward.seen(&all, base);
        let expected: BTreeSet<Sort> = ward.rows.values().copied().filter(|row| visible(&all, base, *row)).collect();
        proptest::prop_assert_eq!(&before, &expected, "{:?}", all);
        let mut more = all.clone();
        denial.deny = true;
        if !base {
            // What it excepts is permitted: to whom the base policy gives nothing, that is more.
            denial.inner.clear();
        }
        denial.alternate();
        Tree::add(&mut more, None, &denial, &way);
        proptest::prop_assert!(ward.seen(&more, base).is_subset(&before), "{:?} and {:?}", all, more);
        let fewer: Vec<Tree> = all.iter().filter(|tree| tree.deny || !tree.inner.is_empty()).cloned().collect();
        proptest::prop_assert!(ward.seen(&fewer, base).is_subset(&before), "{:?} without its permits", all);
        Ok(())
    });
    told.expect("it holds");
}

/// A token of the staff at the people's door.
pub(super) fn staff(house: &House, person: &str) -> String {
    let (records, now) = (house.clinical.records(), house.site.clock.now().unix());
    let id = Id::read(person).expect("an id");
    let account = records.add_account(("doe", "subject"), (Kind::PRACTITIONER, id), now).expect("kept").expect("there");
    let (scopes, until) = (Scopes::read("user/*.cruds").expect("scopes"), now + 3_600);
    let holder = Holder::Person { account: account.number, client: "app".to_owned(), patient: None };
    let leave = NewLeave { holder, scopes: scopes.clone(), made: now, until };
    let kept = NewToken { hash: sha256(b"staff"), scopes, binding: crate::access::Binding::Bearer, until };
    records.add_client(super::app("app", "user/*.cruds"), now).expect("added");
    assert_eq!(records.keep_token::<Vec<u8>>(leave, kept, &[]).expect("asked"), Given::Kept);
    "staff".to_owned()
}

/// Shows REQ-CONS-15: what is noted of a refusal, and of broken glass, names the consents that decided it.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_names_the_consents_that_decided() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let anna = gateway.create(&patient("Anna")).await.made();
        let doctor =
            gateway.create(&json!({ "resourceType": "Practitioner", "name": [{ "family": "Doe" }] })).await.made();
        let sensor = gateway.create(&device("cgm", &anna)).await.made();
        let reading = gateway.create(&glucose(&anna, &sensor, "2024-01-01")).await.made();
        let token = staff(&house, &doctor);
        let ask = async |method: &str, path: String, body: &Value| {
            let request = Request::builder().method(method).uri(format!("/fhir/{path}"));
            let request = request
                .header("authorization", format!("Bearer {token}"))
                .header("content-type", "application/fhir+json");
            house
                .ask(nobody(), request, if body.is_null() { Body::empty() } else { Body::from(body.to_string()) })
                .await
        };
        let consent = json!({
            "resourceType": "Consent", "status": "active", "patient": { "reference": format!("Patient/{anna}") },
            "scope": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy" }] },
            "category": [{ "text": "x" }], "policy": [{ "uri": "urn:medlock:fhir:base-policy" }],
            "provision": { "provision": [{ "type": "deny" }] },
        });
        let consent = ask("POST", "Consent".to_owned(), &consent).await.made();
        assert_eq!(ask("GET", format!("Observation/{reading}"), &Value::Null).await.code(), "fhir-not-found");
        assert_eq!(
            ask("GET", "Observation/00000000000000000000000000".to_owned(), &Value::Null).await.code(),
            "fhir-not-found"
        );
        let reason = json!({ "parameter": [{ "name": "reason", "valueString": "found unconscious" }] });
        assert_eq!(ask("POST", format!("Patient/{anna}/$break-glass"), &reason).await.status, http::StatusCode::OK);
        let records = house.clinical.records();
        let id = Id::read(&consent).expect("an id");
        let right = Right { kind: Kind::CONSENT, ..right() };
        let row = records.read(&Sight::new([right].into_iter()), Kind::CONSENT, &id).expect("read").expect("there").row;
        // Of a map with small numbers: 12 is the list of consents, 13 the reason.
        let decided = [&[12, 0x81][..], &minicbor::to_vec(row.0).expect("a number")].concat();
        let broken = [&[13, 0x71][..], b"found unconscious"].concat();
        let began = std::time::Instant::now();
        loop {
            let notes = records.database().read("read the audit", |sql| {
                medlock_store::all(sql, "audit", "SELECT entry FROM audit ORDER BY seq", &[], |row| {
                    Ok(row.blob("entry")?.to_vec())
                })
            });
            let notes = notes.expect("read");
            let has = |note: &[u8], part: &[u8]| note.windows(part.len()).any(|window| window == part);
            let naming: Vec<&Vec<u8>> = notes.iter().filter(|note| has(note, &decided)).collect();
            let refused = naming.iter().filter(|note| has(note, b"fhir-not-found")).count();
            let told = naming.iter().filter(|note| has(note, &broken)).count();
            if (refused, told, naming.len()) == (1, 1, 2) {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "{refused} {told} {}", naming.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Shows REQ-CONS-16: what a patient says is found by an index, and a search is driven by what drives it without consents.
#[tokio::test(flavor = "multi_thread")]
async fn provisions_are_found_by_an_index() {
    let house = House::new();
    for base in [true, false] {
        let ruling = Ruling { actor: Actor::Staff(Row(1)), base, verb: Verb::Search, at: Millis(0), leave: 0 };
        let sight = Sight::new([right()].into_iter()).ruled(ruling);
        let mut question = Statement::seen("r.rid", &sight, Kind::OBSERVATION);
        question.text(" AND r.patient = ").value(7_i64).text(" ORDER BY r.at DESC, r.rid DESC LIMIT 50");
        let told = house.clinical.records().database().read("explain", |sql| {
            let question_text = format!("EXPLAIN QUERY PLAN {}", question.sql());
            medlock_store::all(sql, "plan", &question_text, question.values(), |row| Ok(row.text("detail")?.to_owned()))
        });
        let told = told.expect("explained");
        assert!(!told.iter().any(|line| line.starts_with("SCAN")), "{told:#?}");
        for driver in [
            "SEARCH r USING INDEX resource_patient (patient=? AND kind=?)",
            "SEARCH u USING INDEX provision_patient (patient=? AND deny=?)",
            "SEARCH e USING INDEX provision_parent (parent=?)",
        ] {
            assert!(told.iter().any(|line| line == driver), "{driver}: {told:#?}");
        }
    }
}

/// Shows REQ-CONS-22, REQ-CONS-23: what is in force of one patient has a bound, of provisions and of what they name; where there is more
/// from before, it may be ended or narrowed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_force_of_one_patient_has_a_bound() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let [anna, bert] =
            [gateway.create(&patient("Anna")).await.made(), gateway.create(&patient("Bert")).await.made()];
        let doctor =
            gateway.create(&json!({ "resourceType": "Practitioner", "name": [{ "family": "Doe" }] })).await.made();
        let token = staff(&house, &doctor);
        let send = async |method: &str, path: String, body: &Value| {
            let request = Request::builder().method(method).uri(format!("/fhir/{path}"));
            let request = request
                .header("authorization", format!("Bearer {token}"))
                .header("content-type", "application/fhir+json");
            house.ask(nobody(), request, Body::from(body.to_string())).await
        };
        // So many denials, each of so many codes.
        let consent = |of: &str, denials: usize, codes: usize| {
            let code = |number| json!({ "coding": [{ "system": "u", "code": format!("c{number}") }] });
            let class = json!([{ "system": "http://hl7.org/fhir/resource-types", "code": "Observation" }]);
            let mut denial = json!({ "type": "deny", "class": class });
            if codes > 0 {
                denial["code"] = (0..codes).map(code).collect();
            }
            json!({
                "resourceType": "Consent", "status": "active", "patient": { "reference": format!("Patient/{of}") },
                "scope": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy" }] },
                "category": [{ "text": "x" }], "policy": [{ "uri": "urn:medlock:fhir:base-policy" }],
                "provision": { "provision": vec![denial; denials] },
            })
        };
        let create = async |consent: Value| send("POST", "Consent".to_owned(), &consent).await;
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(create(consent(&anna, 256, 1)).await.made());
        }
        let change = async |place: usize, mut to: Value, status: &str| {
            (to["id"], to["status"]) = (json!(ids[place]), json!(status));
            let told = send("PUT", format!("Consent/{}", ids[place]), &to).await;
            if told.status == http::StatusCode::OK { "done".to_owned() } else { told.code().to_owned() }
        };
        assert_eq!(create(consent(&anna, 1, 0)).await.code(), "fhir-too-much");
        create(consent(&bert, 1, 0)).await.made();
        let whole = consent(&anna, 256, 1);
        assert_eq!(change(0, whole.clone(), "active").await, "done", "as much as before");
        assert_eq!(change(0, consent(&anna, 255, 1), "active").await, "done");
        let one = create(consent(&anna, 1, 0)).await.made();
        assert_eq!(change(0, whole.clone(), "active").await, "fhir-too-much", "more than before");
        assert_eq!(change(0, whole.clone(), "inactive").await, "done");
        assert_eq!(change(1, whole.clone(), "inactive").await, "done");
        // 512 and one are left, with 512 values.
        let mut wide = Vec::new();
        for denials in [3, 3, 3, 3, 2] {
            wide.push(create(consent(&anna, denials, 256)).await.made());
        }
        assert_eq!(create(consent(&anna, 1, 1)).await.code(), "fhir-too-much", "they name enough");
        create(consent(&anna, 2, 0)).await.made();
        // What is there from before, of more than may be.
        let records = house.clinical.records();
        let id = Id::read(&anna).expect("an id");
        let row = records.read(&Sight::of_register(), Kind::PATIENT, &id).expect("read").expect("there").row;
        let more = "INSERT INTO provision (consent, patient, deny, named, since, until, verbs, purposes, kinds) \
                    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
                    SELECT 0, ?1, 0, 0, 0, 0, 0, 0, 0 FROM n";
        let added = records.database().write("add more", move |sql| sql.execute(more, medlock_store::values![row.0]));
        assert_eq!(added.expect("added"), 2_000);
        assert_eq!(create(consent(&anna, 1, 0)).await.code(), "fhir-too-much");
        assert_eq!(change(2, consent(&anna, 100, 1), "active").await, "done", "narrowed");
        assert_eq!(change(2, consent(&anna, 101, 1), "active").await, "fhir-too-much");
        assert_eq!(change(2, whole, "inactive").await, "done", "ended");
        for id in wide.iter().chain([&one]) {
            let told = send("DELETE", format!("Consent/{id}"), &Value::Null).await;
            assert_eq!(told.status, http::StatusCode::NO_CONTENT);
        }
    }
}
