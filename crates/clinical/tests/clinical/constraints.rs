//! Scopes that ask something of resources besides their kind (SMART App Launch 2.2, "Finer-grained resource constraints using search
//! parameters"): what they let through, and that nothing is learned of all else.

use crate::backend::Backend;
use crate::fixture::{Answer, Device, House, device, patient, transaction};
use crate::people::{Browser, query, token};
use http::{Request, StatusCode};
use medlock_trust::Role;
use serde_json::{Value, json};

const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const TYPE: [(&str, &str); 1] = [("content-type", "application/fhir+json")];

fn of_category(category: &str, patient: &str, device: &str) -> Value {
    json!({
        "resourceType": "Observation",
        "status": "final",
        "identifier": [{ "system": "urn:t", "value": category }],
        "category": [{ "coding": [{ "system": CATEGORY, "code": category }] }],
        "code": { "coding": [{ "system": "urn:t", "code": format!("code-of-{category}") }] },
        "subject": { "reference": format!("Patient/{patient}") },
        "device": { "reference": format!("Device/{device}") },
        "effectiveDateTime": "2026-01-01T08:00:00Z",
        "valueString": category,
    })
}

/// A patient with a device, a vital sign and a laboratory result; a report refers to both, and the result to the sign.
pub(crate) struct Ward<'h> {
    pub(crate) gateway: Device<'h>,
    pub(crate) patient: String,
    pub(crate) device: String,
    pub(crate) vital: String,
    /// What is hidden from who sees vital signs.
    pub(crate) result: String,
}

impl<'h> Ward<'h> {
    pub(crate) async fn new(house: &'h House) -> Self {
        let gateway = house.device("gw", Role::Gateway).with("system/*.cruds").await;
        let patient = gateway.create(&patient("Anna")).await.made();
        let device = gateway.create(&device("a", &patient)).await.made();
        let vital = gateway.create(&of_category("vital-signs", &patient, &device)).await.made();
        let mut result = of_category("laboratory", &patient, &device);
        result["hasMember"] = json!([{ "reference": format!("Observation/{vital}") }]);
        let result = gateway.create(&result).await.made();
        let both = [&vital, &result].map(|id| json!({ "reference": format!("Observation/{id}") }));
        gateway
            .create(&json!({
                "resourceType": "DiagnosticReport", "status": "final", "code": { "text": "all" },
                "subject": { "reference": format!("Patient/{patient}") },
                "result": both,
            }))
            .await
            .made();
        Self { gateway, patient, device, vital, result }
    }

    fn of(&self, category: &str) -> Value {
        of_category(category, &self.patient, &self.device)
    }

    async fn changed(&self, id: &str, member: &str, to: Value) -> Answer {
        let mut body = self.gateway.get(&format!("Observation/{id}")).await.body;
        body[member] = to;
        self.gateway.send("PUT", &format!("Observation/{id}"), &TYPE, &body.to_string()).await
    }
}

/// A gateway with this token.
async fn with<'h>(house: &'h House, scope: &str) -> Device<'h> {
    house.device("gw", Role::Gateway).with(scope).await
}

/// One that reads vital signs alone, and all else.
async fn of_vital_signs(house: &House) -> Device<'_> {
    let all =
        "system/Observation.cruds?category=vital-signs system/Patient.crs system/Device.rs system/DiagnosticReport.crs";
    with(house, &format!("{all} system/Provenance.rs")).await
}

/// Shows REQ-SMART-135: what is found by its index is read, and all else is, letter by letter, as what is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_constraint_hides_all_it_does_not_hold_of() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let narrow = of_vital_signs(&house).await;
        let seen = narrow.get(&format!("Observation/{}", ward.vital)).await;
        assert_eq!((seen.status, &seen.body["valueString"]), (StatusCode::OK, &json!("vital-signs")));
        for path in ["", "/_history/1", "/_history/2", "/_history"] {
            let of = async |id: &str| {
                let answer = narrow.get(&format!("Observation/{id}{path}")).await;
                (answer.status, answer.body)
            };
            let hidden = of(&ward.result).await;
            assert_eq!(hidden.0, StatusCode::NOT_FOUND, "{path}: {hidden:?}");
            assert_eq!(hidden, of("00000000000000000000000000").await, "{path}");
        }
        let only = std::slice::from_ref(&ward.vital);
        for query in [
            "",
            "_sort=date",
            "_sort=-_lastUpdated&_count=1",
            "_sort=_id&_count=1",
            "category=vital-signs,laboratory",
            "status=final",
            "category:not=x",
            "code:not=code-of-laboratory",
            &format!("_id={},{}", ward.result, ward.vital),
            &format!("patient={}", ward.patient),
            &format!("device=Device/{}", ward.device),
            "patient.name=anna",
            "device:Device.identifier=a",
        ] {
            let page = narrow.get(&format!("Observation?{query}")).await;
            assert_eq!(page.found(), only, "{query}: {page:?}");
            assert_eq!(page.body["link"].as_array().map(Vec::len), Some(1), "{query}: no next page");
            let counted = narrow.get(&format!("Observation?{query}&_total=accurate")).await;
            assert_eq!(counted.body["total"], 1, "{query}");
        }
        for query in [
            "category=laboratory",
            "code=code-of-laboratory",
            "value-string=laboratory",
            "identifier=urn:t|laboratory",
            &format!("_id={}", ward.result),
            &format!("has-member=Observation/{}", ward.vital),
            "has-member:Observation.code=code-of-vital-signs",
            "_has:Observation:has-member:code=code-of-laboratory",
        ] {
            let page = narrow.get(&format!("Observation?{query}")).await;
            assert_eq!((page.status, page.found().len()), (StatusCode::OK, 0), "{query}: {page:?}");
            assert_eq!(narrow.get(&format!("Observation?{query}&_summary=count")).await.body["total"], 0, "{query}");
        }
        let lists = async |path: &str| {
            let page = narrow.get(path).await;
            assert_eq!(page.status, StatusCode::OK, "{path}: {page:?}");
            let text = page.body.to_string();
            (text.contains("\"vital-signs\""), text.contains("\"laboratory\""))
        };
        for path in [
            &*format!("Patient/{}/$everything", ward.patient),
            "Patient?_revinclude=Observation:patient",
            "DiagnosticReport?_include=DiagnosticReport:result",
            "Device?_revinclude=Observation:device",
            &format!("Observation?_id={}&_revinclude=Observation:has-member", ward.vital),
            "Observation/_history",
            "_history",
        ] {
            assert_eq!(lists(path).await, (true, false), "{path}");
        }
        let found = async |path: &str| narrow.get(path).await.found().len();
        assert_eq!(found("Patient?_has:Observation:patient:code=code-of-laboratory").await, 0);
        assert_eq!(found("Patient?_has:Observation:patient:code=code-of-vital-signs").await, 1);
        assert_eq!(found("DiagnosticReport?result.code=code-of-laboratory").await, 0);
        assert_eq!(found("DiagnosticReport?result.code=code-of-vital-signs").await, 1);
        // What a device wrote names its Provenance: neither a search nor its targets tell of what is hidden.
        assert_eq!(found(&format!("Provenance?target=Observation/{}", ward.vital)).await, 1);
        assert_eq!(found(&format!("Provenance?target=Observation/{}", ward.result)).await, 0);
        assert_eq!(found("Provenance?target:Observation.code=code-of-laboratory").await, 0);
        let provenance = narrow.get("Provenance").await.body.to_string();
        assert!(provenance.contains(&ward.vital) && !provenance.contains(&ward.result), "{provenance}");
        // The gateway itself sees both.
        assert_eq!(ward.gateway.get("Observation").await.found().len(), 2);
        let read = |id: &String| json!({ "request": { "method": "GET", "url": format!("Observation/{id}") } });
        let entries = [read(&ward.vital), read(&ward.result)];
        let batch = json!({ "resourceType": "Bundle", "type": "batch", "entry": entries });
        let answers = narrow.send("POST", "", &TYPE, &batch.to_string()).await.body;
        let status = |of: usize| answers["entry"][of]["response"]["status"].as_str().unwrap_or_default().to_owned();
        assert!(status(0).starts_with("200") && status(1).starts_with("404"), "{answers}");
    }
}

/// Shows REQ-SMART-136: several scopes for a kind let through what either does; a scope without a constraint lets through all; and each
/// verb is constrained for itself.
#[tokio::test(flavor = "multi_thread")]
async fn several_constraints_are_alternatives() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let both = format!(
            "system/Observation.rs?category={CATEGORY}|vital-signs system/Observation.rs?category={CATEGORY}|laboratory"
        );
        let found = async |scope: &str| with(&house, scope).await.get("Observation").await.found();
        assert_eq!(found(&both).await.len(), 2);
        assert_eq!(found("system/Observation.rs?category=laboratory,vital-signs").await.len(), 2);
        assert_eq!(found("system/Observation.rs?category=laboratory system/Observation.rs").await.len(), 2);
        assert_eq!(
            found("system/Observation.rs?category=laboratory&status=final").await,
            std::slice::from_ref(&ward.result)
        );
        for none in ["category=laboratory&status=preliminary", "category=urn:other|laboratory", "category=|laboratory"]
        {
            assert_eq!(found(&format!("system/Observation.rs?{none}")).await.len(), 0, "{none}");
        }
        for (constraint, id) in [
            (format!("has-member=Observation/{}", ward.vital), &ward.result),
            ("identifier=urn:t|laboratory".to_owned(), &ward.result),
            ("identifier=vital-signs".to_owned(), &ward.vital),
            (format!("device=Device/{}&code=code-of-laboratory", ward.device), &ward.result),
        ] {
            assert_eq!(
                found(&format!("system/Observation.rs?{constraint}")).await,
                std::slice::from_ref(id),
                "{constraint}"
            );
        }
        assert_eq!(found(&format!("system/Observation.rs?patient={}", ward.patient)).await.len(), 2);
        assert_eq!(found("system/Observation.rs?patient=00000000000000000000000000").await.len(), 0);
        let apart =
            with(&house, "system/Observation.r?category=laboratory system/Observation.s?category=vital-signs").await;
        assert_eq!(apart.get("Observation").await.found(), std::slice::from_ref(&ward.vital));
        assert_eq!(apart.get(&format!("Observation/{}", ward.vital)).await.status, StatusCode::NOT_FOUND);
        assert_eq!(apart.get(&format!("Observation/{}", ward.result)).await.status, StatusCode::OK);
        assert_eq!(apart.get("DiagnosticReport").await.status, StatusCode::FORBIDDEN);
    }
}

/// Shows REQ-SMART-190: what comes beside what was asked for is what may be read and searched; what names it is searched for.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_beside_may_be_searched() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let (vital, result) = (&ward.vital, &ward.result);
        let listed = async |scope: &str, path: &str| {
            let person = with(&house, &format!("system/Patient.rs {scope}")).await;
            let found = person.get(path).await;
            assert_eq!(found.status, StatusCode::OK, "{scope} {path}: {found:?}");
            let entries = found.body["entry"].as_array().expect("entries").iter();
            let mut ids: Vec<String> = entries.map(|entry| crate::fixture::id_of(&entry["resource"])).collect();
            assert!(ids.contains(&ward.patient), "{scope} {path}: {ids:?}");
            ids.retain(|id| *id != ward.patient);
            ids.sort();
            ids
        };
        let everything = format!("Patient/{}/$everything", ward.patient);
        for path in [everything.as_str(), "Patient?_revinclude=Observation:patient"] {
            let kind = |scopes: &str| format!("system/Observation.{scopes}");
            let mut both = vec![vital.clone(), result.clone()];
            both.sort();
            for (scope, ids) in [
                (kind("rs"), both.clone()),
                (format!("{} {}", kind("r"), kind("s")), both),
                (kind("s"), Vec::new()),
                (format!("{} {}", kind("r?category=laboratory"), kind("s")), vec![result.clone()]),
                (format!("{} {}", kind("r"), kind("s?category=vital-signs")), vec![vital.clone()]),
                (format!("{} {}", kind("r?category=laboratory"), kind("s?category=vital-signs")), Vec::new()),
            ] {
                assert_eq!(listed(&scope, path).await, ids, "{scope} {path}");
            }
        }
        // Without the verb nothing comes.
        assert_eq!(listed("system/Observation.r", &everything).await, [""; 0]);
        let reader = with(&house, "system/Patient.r").await.get(&everything).await;
        assert_eq!(reader.body["entry"].as_array().map(Vec::len), Some(1), "the patient that was named: {reader:?}");
    }
}

/// Shows REQ-SMART-137: what is shown is judged by what it is found by now. Who sees by a constraint is shown no former version, nor what has
/// left it; who sees all, all.
#[tokio::test(flavor = "multi_thread")]
async fn a_former_version_is_not_judged_by_what_it_is_now() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let narrow = of_vital_signs(&house).await;
        let note = json!([{ "text": "looks low" }]);
        assert_eq!(ward.changed(&ward.vital, "note", note.clone()).await.status, StatusCode::OK);
        let now = |category: &str| json!([{ "coding": [{ "system": CATEGORY, "code": category }] }]);
        // This was a result before.
        assert_eq!(ward.changed(&ward.result, "category", now("vital-signs")).await.status, StatusCode::OK);
        for id in [&ward.vital, &ward.result] {
            let versions = narrow.get(&format!("Observation/{id}/_history")).await.body;
            let entries = versions["entry"].as_array().expect("entries");
            assert_eq!((entries.len(), &entries[0]["resource"]["meta"]["versionId"]), (1, &json!("2")), "{versions}");
            assert_eq!(narrow.get(&format!("Observation/{id}/_history/1")).await.status, StatusCode::NOT_FOUND);
            assert_eq!(narrow.get(&format!("Observation/{id}/_history/2")).await.status, StatusCode::OK);
        }
        let all = narrow.get("Observation/_history").await.body;
        assert_eq!(all["entry"].as_array().map(Vec::len), Some(2), "{all}");
        let wide = with(&house, "system/Observation.rs").await;
        assert_eq!(wide.get("Observation/_history").await.body["entry"].as_array().map(Vec::len), Some(4));
        assert_eq!(wide.get(&format!("Observation/{}/_history/1", ward.vital)).await.status, StatusCode::OK);
        let both = with(&house, "system/Observation.rs system/Observation.rs?category=laboratory").await;
        assert_eq!(both.get(&format!("Observation/{}/_history/1", ward.vital)).await.status, StatusCode::OK);

        assert_eq!(ward.changed(&ward.vital, "category", now("laboratory")).await.status, StatusCode::OK);
        assert_eq!(narrow.get(&format!("Observation/{}/_history", ward.vital)).await.status, StatusCode::NOT_FOUND);
        assert_eq!(narrow.get(&format!("Observation/{}/_history/2", ward.vital)).await.status, StatusCode::NOT_FOUND);
    }
}

fn text_of(answer: &Answer) -> &str {
    answer.body["issue"][0]["details"]["text"].as_str().unwrap_or_default()
}

/// Shows REQ-SMART-138: what is made, and what is changed as it was and as it becomes, is what a scope asks; else it is refused with the
/// scope that does, and what is hidden is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_constraint_holds_of_what_is_made_and_changed() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let narrow = of_vital_signs(&house).await;
        let refused = |answer: &Answer| {
            assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "fhir-forbidden"), "{answer:?}");
            assert!(text_of(answer).contains("Observation?category=vital-signs"), "{answer:?}");
        };
        let made = narrow.create(&ward.of("vital-signs")).await.made();
        refused(&narrow.create(&ward.of("laboratory")).await);
        let mut none = ward.of("vital-signs");
        none.as_object_mut().expect("an object").remove("category");
        refused(&narrow.create(&none).await);

        let put = async |id: &str, category: &str| {
            let mut body = ward.of(category);
            body["id"] = id.into();
            narrow.send("PUT", &format!("Observation/{id}"), &TYPE, &body.to_string()).await
        };
        assert_eq!(put(&made, "vital-signs").await.status, StatusCode::OK);
        refused(&put(&made, "laboratory").await);
        let (hidden, nowhere) =
            (put(&ward.result, "vital-signs").await, put("00000000000000000000000000", "vital-signs").await);
        assert_eq!((hidden.status, hidden.code()), (StatusCode::NOT_FOUND, "fhir-not-found"), "{hidden:?}");
        assert_eq!(hidden.body, nowhere.body);
        // Who reads it learns why it is not changed.
        let reads = with(&house, "system/Observation.rs system/Observation.u?category=vital-signs").await;
        let mut body = ward.of("vital-signs");
        body["id"] = ward.result.as_str().into();
        refused(&reads.send("PUT", &format!("Observation/{}", ward.result), &TYPE, &body.to_string()).await);
        assert_eq!(reads.create(&body).await.status, StatusCode::FORBIDDEN);
        // Each verb asks for itself.
        let makes = with(&house, "system/*.rs system/Observation.c?category=vital-signs").await;
        refused(&makes.create(&ward.of("laboratory")).await);
        makes.create(&ward.of("vital-signs")).await.made();
        let sees = with(&house, "system/Observation.s?category=vital-signs system/Observation.c system/*.r").await;
        sees.create(&ward.of("laboratory")).await.made();
        let now = ward.gateway.get(&format!("Observation/{}", ward.result)).await.body;
        assert_eq!((&now["meta"]["versionId"], &now["valueString"]), (&json!("1"), &json!("laboratory")));

        // References to what is hidden are as those to what is not there.
        let mut told = Vec::new();
        for id in [&*ward.result, "00000000000000000000000000"] {
            let mut refers = ward.of("vital-signs");
            refers["hasMember"] = json!([{ "reference": format!("Observation/{id}") }]);
            let answer = narrow.create(&refers).await;
            assert_eq!(answer.code(), "fhir-reference", "{answer:?}");
            let entry = json!({ "resource": refers, "request": { "method": "POST", "url": "Observation" } });
            let bundle = transaction([entry]);
            told.push((answer.body, narrow.send("POST", "", &TYPE, &bundle.to_string()).await.body));
        }
        assert_eq!(told[0], told[1]);
    }
}

/// Shows REQ-SMART-139: a condition finds what is seen alone, and a transaction is judged entry by entry, all or nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_and_a_transaction_are_no_oracle() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let narrow = of_vital_signs(&house).await;
        let body = ward.of("vital-signs").to_string();
        let once = |value: &'static str| [TYPE[0], ("if-none-exist", value)];
        let known = narrow.send("POST", "Observation", &once("identifier=urn:t|vital-signs"), &body).await;
        assert_eq!(known.status, StatusCode::OK, "{known:?}");
        // It would be found, if it were seen: of what nothing is known, one is made.
        let made = async |value: &'static str| narrow.send("POST", "Observation", &once(value), &body).await.status;
        assert_eq!(made("identifier=urn:t|laboratory").await, StatusCode::CREATED);
        assert_eq!(made("identifier=urn:t|never").await, StatusCode::CREATED);
        let put = async |value: &str| {
            narrow.send("PUT", &format!("Observation?identifier=urn:t|{value}"), &TYPE, &body).await.status
        };
        assert_eq!((put("laboratory").await, put("other").await), (StatusCode::CREATED, StatusCode::CREATED));

        let count = async || ward.gateway.get("Observation?_summary=count").await.body["total"].clone();
        let before = count().await;
        let entry = |method: &str, url: &str, resource: Value| json!({ "resource": resource, "request": { "method": method, "url": url } });
        let transaction = async |entries: Vec<Value>| {
            let bundle = transaction(entries);
            narrow.send("POST", "", &TYPE, &bundle.to_string()).await
        };
        let post = |category: &str| entry("POST", "Observation", ward.of(category));
        let refused = transaction(vec![post("vital-signs"), post("laboratory")]).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "fhir-forbidden"), "{refused:?}");
        assert!(text_of(&refused).contains("Observation?category=vital-signs"), "{refused:?}");
        assert_eq!(refused.body["issue"][0]["expression"][0], "Bundle.entry[1]", "{refused:?}");
        let mut changed = ward.of("vital-signs");
        changed["id"] = ward.result.as_str().into();
        let hidden = entry("PUT", &format!("Observation/{}", ward.result), changed);
        let refused = transaction(vec![post("vital-signs"), hidden]).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::NOT_FOUND, "fhir-not-found"), "{refused:?}");
        let mut refers = ward.of("vital-signs");
        refers["hasMember"] = json!([{ "reference": "Observation?identifier=urn:t|laboratory" }]);
        let refused = transaction(vec![entry("POST", "Observation", refers)]).await;
        assert_eq!(refused.code(), "fhir-reference", "{refused:?}");
        assert_eq!(count().await, before, "all or nothing");
        let done = transaction(vec![post("vital-signs"), post("vital-signs")]).await;
        assert_eq!(done.status, StatusCode::OK, "{done:?}");
        let batch =
            json!({ "resourceType": "Bundle", "type": "batch", "entry": [post("laboratory"), post("vital-signs")] });
        let answers = narrow.send("POST", "", &TYPE, &batch.to_string()).await.body;
        assert_eq!(answers["entry"][0]["response"]["status"], "403 Forbidden", "{answers}");
        assert_eq!(answers["entry"][1]["response"]["status"], "201 Created", "{answers}");
    }
}

impl House {
    /// Sends with a token.
    pub(crate) async fn send(&self, token: &str, method: &str, path: &str, body: String) -> Answer {
        let request = Request::builder().method(method).uri(format!("/fhir/{path}")).header(TYPE[0].0, TYPE[0].1);
        self.people_json(request.header("authorization", format!("Bearer {token}")), body).await
    }
}

/// Shows REQ-SMART-140: what is registered bounds what is given: all of a kind has its parts, and of all a part is left. What was given is told
/// as it was written, and good for no more; what is hidden is deleted as little as what is not there.
#[tokio::test(flavor = "multi_thread")]
async fn software_in_its_own_name_gets_what_it_is_registered_for() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let scope = format!("system/Observation.cruds?category={CATEGORY}|vital-signs");
        let backend = Backend::new(&house, "system/Observation.cruds").await;
        let given = backend.given(&scope).await;
        assert_eq!(given.body["scope"], scope.as_str(), "{given:?}");
        let token = token(&given, "access_token");
        let (vital, result) = (format!("Observation/{}", ward.vital), format!("Observation/{}", ward.result));
        assert_eq!(house.read(&token, "Observation").await.found(), std::slice::from_ref(&ward.vital));
        let delete = async |path: &str| house.send(&token, "DELETE", path, String::new()).await;
        let (hidden, nowhere) = (delete(&result).await, delete("Observation/00000000000000000000000000").await);
        assert_eq!((hidden.status, hidden.body), (nowhere.status, nowhere.body));
        assert_eq!(ward.gateway.get(&result).await.status, StatusCode::OK);
        assert_eq!(delete("Observation?identifier=urn:t|laboratory").await.status, StatusCode::NO_CONTENT);
        assert_eq!(ward.gateway.get(&result).await.status, StatusCode::OK);
        assert_eq!(delete(&vital).await.status, StatusCode::NO_CONTENT);
        // What is gone was there for who could see it, and for nobody else.
        assert_eq!(house.read(&token, &vital).await.status, StatusCode::GONE);
        let other = backend.token("system/Observation.rs?category=laboratory").await;
        assert_eq!(house.read(&other, &vital).await.status, StatusCode::NOT_FOUND);

        let narrow = Backend::new(&house, "system/Observation.rs?category=vital-signs system/Patient.rs").await;
        for (asked, given) in [
            ("system/Observation.rs?category=vital-signs", "system/Observation.rs?category=vital-signs"),
            (
                "system/Observation.crs?status=final&category=vital-signs",
                "system/Observation.rs?category=vital-signs&status=final",
            ),
            ("system/*.rs", "system/Patient.rs system/Observation.rs?category=vital-signs"),
            ("system/Patient.r system/Observation.rs", "system/Patient.r system/Observation.rs?category=vital-signs"),
            ("system/Patient.r system/Observation.rs?category=laboratory", "system/Patient.r"),
            ("system/Observation.rs?category=vital-signs,laboratory", "system/Observation.rs?category=vital-signs"),
            ("system/Patient.r system/Observation.rs?status=final", "system/Patient.r"),
            ("system/Patient.r system/Observation.rs?category:not=laboratory", "system/Patient.r"),
        ] {
            assert_eq!(narrow.given(asked).await.body["scope"], given, "{asked}");
        }
        // A device is told that it asked for what is not served.
        let device = house.device("gw", Role::Gateway);
        for no in ["system/Observation.rs?date=2024", "system/Observation.rs?", "system/*.rs?_tag=x"] {
            let refused = device.ask_token(no).await;
            assert_eq!(
                (refused.status, &refused.body["error"]),
                (StatusCode::BAD_REQUEST, &json!("invalid_scope")),
                "{no}"
            );
        }
        let given = device.ask_token("system/Observation.rs?code=b,a&category=x").await;
        assert_eq!(given.body["scope"], "system/Observation.rs?category=x&code=a,b");
    }
}

/// Shows REQ-SMART-141, REQ-SMART-142: a person is asked in plain words and may leave a part; the token's answer, its introspection and each
/// refreshed one say what is left, and a refresh widens nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_lets_an_app_have_a_part() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let code = house.account("anna", &format!("Patient/{}", ward.patient)).await;
        let app = house.app("secret", json!({ "scopes": "launch/patient offline_access patient/*.cruds" })).await;
        let signs = format!("patient/Observation.rs?category={CATEGORY}|vital-signs");
        let results = format!("patient/Observation.rs?category={CATEGORY}|laboratory&status=final");
        let asked = format!("launch/patient offline_access {signs} {results}");
        let mut browser = Browser::new(&house);
        let page = browser.sign_in(&query(&app.id, &[("scope", &asked)]), ("anna", &code)).await;
        for words in [
            "read observations of category vital-signs of this patient",
            "of category laboratory and of status final of this patient",
        ] {
            assert!(page.text.contains(words), "{words}: {page:?}");
        }
        let ticket = page.hidden("ticket");
        let some = [
            ("ticket", &*ticket),
            ("decision", "allow"),
            ("scope", &signs),
            ("scope", "offline_access"),
            ("scope", "patient/Observation.rs"),
        ];
        let sent = browser.post("/auth/consent", &some).await;
        let given = app.exchange(&house, &sent.parameter("code"), &[]).await;
        assert_eq!(given.body["scope"], format!("launch/patient offline_access {signs}"), "{given:?}");
        let access = token(&given, "access_token");
        let told = app.ask(&house, "/auth/introspect", &[("token", &access)]).await;
        assert_eq!(told.body["scope"], given.body["scope"], "{told:?}");
        assert_eq!(house.read(&access, "Observation").await.found(), std::slice::from_ref(&ward.vital));
        let hidden = house.read(&access, &format!("Observation/{}", ward.result)).await;
        assert_eq!((hidden.status, hidden.code()), (StatusCode::NOT_FOUND, "fhir-not-found"));
        let everything = house.read(&access, &format!("Patient/{}/$everything", ward.patient)).await.body.to_string();
        assert!(!everything.contains(&ward.result), "{everything}");

        let mut refresh = token(&given, "refresh_token");
        for wider in [
            "patient/Observation.rs",
            "patient/Observation.rs?category=vital-signs,laboratory",
            &results,
            "patient/*.r",
        ] {
            let refused = app.refresh(&house, &refresh, &[("scope", wider)]).await;
            assert_eq!(
                (refused.status, &refused.body["error"]),
                (StatusCode::BAD_REQUEST, &json!("invalid_scope")),
                "{wider}"
            );
        }
        for narrower in
            [format!("{signs}&status=final"), format!("patient/Observation.r?category={CATEGORY}|vital-signs")]
        {
            let refreshed = app.refresh(&house, &refresh, &[("scope", &narrower)]).await;
            assert_eq!(refreshed.body["scope"], narrower.as_str(), "{refreshed:?}");
            refresh = token(&refreshed, "refresh_token");
        }
        let refreshed = app.refresh(&house, &refresh, &[]).await;
        assert_eq!(refreshed.body["scope"], given.body["scope"], "{refreshed:?}");
        let found = house.read(&token(&refreshed, "access_token"), "Observation").await.found();
        assert_eq!(found, std::slice::from_ref(&ward.vital));
    }
}

/// Shows REQ-SMART-143: discovery and the CapabilityStatement say that there are such scopes; each that is told can be asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_asked_is_told() {
    let house = House::new();
    let told = house.read("", ".well-known/smart-configuration").await.body;
    assert!(told["capabilities"].as_array().expect("capabilities").contains(&json!("permission-v2")));
    let scopes = told["scopes_supported"].as_array().expect("scopes");
    for category in ["social-history", "laboratory", "survey", "vital-signs"] {
        for whose in ["patient", "user", "system"] {
            let scope = format!("{whose}/Observation.rs?category={CATEGORY}|{category}");
            assert!(scopes.contains(&json!(scope)), "{scope}");
        }
    }
    let all: Vec<&str> = scopes.iter().filter_map(Value::as_str).filter(|scope| scope.contains('?')).collect();
    let (own, theirs): (Vec<&str>, Vec<&str>) = all.iter().partition(|scope| scope.starts_with("system/"));
    assert!(house.app("secret", json!({ "scopes": theirs.join(" ") })).await.secret.is_some());
    assert_eq!(Backend::new(&house, &own.join(" ")).await.given(own[0]).await.body["scope"], own[0]);
    let statement = house.read("", "metadata").await.body["rest"][0]["documentation"].to_string();
    assert!(statement.contains("patient/Observation.rs?category=laboratory"), "{statement}");
}
