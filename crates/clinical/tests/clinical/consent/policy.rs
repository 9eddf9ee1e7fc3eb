//! The base policy, and who is never asked.

use super::{Person, Ward, actor, anna, doctor, person};
use crate::audit::eventually;
use crate::backend::Backend;
use crate::fixture::{Answer, House, device, glucose, patient, transaction};
use http::StatusCode;
use medlock_clinical::consent::Base;
use medlock_trust::Role;
use serde_json::{Value, json};

/// Shows REQ-CONS-09: whom the base policy does not name sees what a Consent permits, and nothing else of any patient.
#[tokio::test(flavor = "multi_thread")]
async fn whom_the_base_policy_does_not_name_needs_a_permit() {
    let house = House::with(None, |config| config.base = vec![Base::OwnApps]);
    let ward = Ward::new(&house).await;
    let (anna, doctor) = (anna(&house).await, doctor(&house).await);
    assert_eq!(doctor.sees(&ward).await, [] as [&str; 0]);
    assert_eq!(doctor.get(&format!("Patient/{}", ward.anna)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(doctor.get("Organization").await.found(), [ward.clinic.as_str()], "that is no patient's");
    assert_eq!(doctor.get("Device").await.found(), [ward.gateway.as_str()], "nor is this one");
    assert_eq!(anna.sees(&ward).await.len(), 3);
    // Nobody opens the door to themselves.
    let who = actor(format!("Practitioner/{}", ward.doctor));
    let permit = ward.consent(json!([{ "type": "permit", "actor": who }]));
    let own = doctor.create(&permit).await;
    assert_eq!((own.status, own.code()), (StatusCode::FORBIDDEN, "fhir-forbidden"));
    anna.create(&permit).await.made();
    assert_eq!(doctor.sees(&ward).await, ["sugar", "secret", "panel"]);
    assert_eq!(doctor.create(&permit).await.status, StatusCode::FORBIDDEN, "nor when it is ajar");
}

/// Shows REQ-CONS-10: a patient who denies everybody, all apps of her own too, sees her consents and takes them back.
#[tokio::test(flavor = "multi_thread")]
async fn who_denies_everybody_can_take_it_back() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let (anna, doctor) = (anna(&house).await, doctor(&house).await);
        let mut denial = ward.consent(json!([{ "type": "deny" }]));
        // Also when somebody of the staff writes it down for her: then it is out of sight for them.
        let consent = doctor.create(&denial).await.made();
        assert_eq!(doctor.get(&format!("Consent/{consent}")).await.status, StatusCode::NOT_FOUND);
        assert_eq!(doctor.sees(&ward).await, ["other"]);
        assert_eq!(anna.sees(&ward).await, [] as [&str; 0]);
        assert_eq!(anna.get("Consent").await.found(), [consent.as_str()]);
        (denial["id"], denial["status"]) = (json!(consent), json!("inactive"));
        let path = format!("Consent/{consent}");
        assert_eq!(doctor.send("PUT", &path, &[], &denial).await.status, StatusCode::NOT_FOUND);
        assert_eq!(anna.send("PUT", &path, &[], &denial).await.status, StatusCode::OK);
        assert_eq!(anna.sees(&ward).await.len(), 3);
    }
}

/// Shows REQ-CONS-19, REQ-AUDIT-50: what was done with the data of a patient whom a consent hides is hidden too, but never from the
/// patient, nor from the administrator, whose reading the patient sees.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_of_a_hidden_patient_is_hidden() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let (anna, doctor) = (anna(&house).await, doctor(&house).await);
        let query = format!("AuditEvent?patient={}", ward.anna);
        let events = async |person: &Person<'_>, query: &str| {
            let answer = person.get(query).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            answer.body["entry"].as_array().map_or(0, Vec::len)
        };
        assert!(events(&doctor, &query).await > 0);
        let of_all = doctor.get("AuditEvent?_count=1000").await.body.to_string();
        assert!(of_all.contains(&ward.anna));
        anna.create(&ward.consent(json!([{ "type": "deny" }]))).await.made();
        assert_eq!(events(&doctor, &query).await, 0);
        let of_all = doctor.get("AuditEvent?_count=1000").await.body.to_string();
        assert!(!of_all.contains(&ward.anna) && of_all.contains("AuditEvent"));
        assert!(events(&anna, &query).await > 0);
        let show = async |after: Value| {
            let asked = json!({ "verb": "show-audit", "patient": format!("Patient/{}", ward.anna), "after": after });
            house.administer(asked).await
        };
        let (mut shown, mut next) = (Vec::new(), Value::Null);
        loop {
            let told = show(next).await.body;
            shown.extend(told["events"].as_array().cloned().expect("events"));
            next = told["next"].clone();
            if next.is_null() {
                break;
            }
            for _ in 0..3 {
                anna.get(&query).await;
            }
        }
        let own = eventually("what the administrator read", async || {
            let own = anna.get(&format!("{query}&_count=1000")).await.resources();
            let noted = own.iter().any(|event| event["agent"][0]["who"]["display"] == "administrator");
            noted.then_some(own)
        })
        .await;
        assert!(shown.len() > 4 && shown.iter().all(|event| own.iter().any(|own| own["id"] == event["id"])));
        assert_eq!(show(json!("x")).await.status, StatusCode::BAD_REQUEST);
        let unknown = json!({ "verb": "show-audit", "patient": format!("Patient/{}", ward.doctor) });
        assert_eq!(house.administer(unknown).await.status, StatusCode::NOT_FOUND);
    }
}

/// Shows REQ-CONS-11: consent gates neither what devices write, nor what one reads that works for itself; a gateway reads what
/// no provision takes from it by name, also where it creates what is there.
#[tokio::test(flavor = "multi_thread")]
async fn consent_never_gates_what_devices_do() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let anna = anna(&house).await;
        let consent = anna.create(&ward.consent(json!([{ "type": "deny" }]))).await.made();
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let sensor = house.device("a", Role::Sensor).with("system/*.crs").await;
        let own = gateway.get("Device?identifier=a").await.found().remove(0);
        assert_eq!(ward.names(&gateway.get("Observation").await.found()).len(), 4);
        for device in [&gateway, &sensor] {
            device.create(&glucose(&ward.anna, &own, "2024-01-02")).await.made();
        }
        assert_eq!(sensor.get("Observation").await.found().len(), 3);
        // By name: it reads nothing of hers, and writes as before.
        let who = actor(format!("Device/{}", ward.gateway));
        anna.send("DELETE", &format!("Consent/{consent}"), &[], &Value::Null).await;
        let doctor = doctor(&house).await;
        doctor.create(&ward.consent(json!([{ "type": "deny", "actor": who }]))).await.made();
        let who = actor(format!("Device/{own}"));
        doctor.create(&ward.consent(json!([{ "type": "deny", "actor": who }]))).await.made();
        assert_eq!(sensor.get("Observation").await.found().len(), 3, "what works for itself reads its own");
        assert_eq!(ward.names(&gateway.get("Observation").await.found()), ["other"]);
        gateway.create(&glucose(&ward.anna, &own, "2024-01-03")).await.made();
        let reading = glucose(&ward.anna, &own, "2024-01-04");
        let mut once = reading.clone();
        once["identifier"] = json!([{ "system": "urn:r", "value": "4" }]);
        let headers = [("content-type", "application/fhir+json"), ("if-none-exist", "identifier=urn:r|4")];
        for status in [StatusCode::CREATED, StatusCode::OK] {
            assert_eq!(gateway.send("POST", "Observation", &headers, &once.to_string()).await.status, status);
        }
        // That it is there it learns, and nothing of it; of another patient's, what it may read.
        let given = async |condition: &str, resource: &Value| {
            let whole = [headers[0], ("if-none-exist", condition), ("prefer", "return=representation")];
            let kind = resource["resourceType"].as_str().expect("a kind");
            let alone = gateway.send("POST", kind, &whole, &resource.to_string()).await;
            let request = json!({ "method": "POST", "url": kind, "ifNoneExist": condition });
            let entry = json!([{ "resource": resource, "request": request }]);
            let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entry }).to_string();
            let together = gateway.send("POST", "", &[whole[0], whole[2]], &bundle).await;
            let first = &together.body["entry"][0];
            assert!(
                alone.status == StatusCode::OK && first["response"]["status"] == "200 OK",
                "{alone:?} {together:?}"
            );
            assert_eq!(alone.body.is_object(), first.get("resource").is_some());
            alone.body.is_object()
        };
        assert!(!given("identifier=urn:r|4", &once).await);
        assert!(!given(&format!("_id={}", ward.anna), &patient("Anna")).await);
        let others = ward.readings.iter().find(|(name, _)| *name == "other").expect("Bert's");
        let mut his = once.clone();
        his["subject"] = json!({ "reference": format!("Patient/{}", ward.bert) });
        assert!(given(&format!("_id={}", others.1), &his).await);
        assert_eq!(gateway.create(&device("new", &ward.anna)).await.status, StatusCode::CREATED);
        // She sees no gateway, and takes it back all the same.
        let all = anna.get("Consent").await.body["entry"].as_array().cloned().unwrap_or_default();
        let named = all.iter().find(|entry| entry.to_string().contains(&ward.gateway)).expect("the one that names it");
        let mut ended = named["resource"].clone();
        ended["status"] = json!("inactive");
        let path = format!("Consent/{}", ended["id"].as_str().expect("an id"));
        assert_eq!(anna.send("PUT", &path, &[], &ended).await.status, StatusCode::OK);
        assert_eq!(ward.names(&gateway.get("Observation").await.found()).len(), 4);
        // No device states what a patient wants.
        let stated = gateway.create(&ward.consent(json!([{ "type": "permit" }]))).await;
        assert_eq!((stated.status, stated.code()), (StatusCode::FORBIDDEN, "fhir-forbidden"));
        assert!(gateway.ask_token("system/Consent.cud").await.body["error"] == "invalid_scope");
    }
}

/// Shows REQ-CONS-12: software in its own name is ruled by provisions that name nobody.
#[tokio::test(flavor = "multi_thread")]
async fn people_are_ruled_by_name_and_all_by_what_names_nobody() {
    let house = House::new();
    let ward = Ward::new(&house).await;
    let anna = anna(&house).await;
    let person: Person<'_> = doctor(&house).await;
    let who = actor(format!("Practitioner/{}", ward.doctor));
    let consent = anna.create(&ward.consent(json!([{ "type": "deny", "actor": who }]))).await.made();
    assert_eq!((person.sees(&ward).await.len(), anna.sees(&ward).await.len()), (1, 3));
    // A role that has ended is none.
    let named = actor(format!("Organization/{}", ward.clinic));
    let mut next = ward.consent(json!([{ "type": "deny", "actor": named }]));
    next["id"] = json!(consent);
    anna.send("PUT", &format!("Consent/{consent}"), &[], &next).await;
    assert_eq!(person.sees(&ward).await.len(), 1);
    let role = format!("PractitionerRole/{}", ward.role);
    let scopes = "system/PractitionerRole.cruds system/Practitioner.r system/Organization.r";
    let office = Person { house: &house, token: Backend::new(&house, scopes).await.token(scopes).await };
    let mut changed = person.get(&role).await.body;
    for (member, value, seen) in [
        ("active", json!(false), 4),
        ("active", json!(true), 1),
        ("period", json!({ "end": "2000-01-01" }), 4),
        ("period", json!({ "start": "2000-01-01" }), 1),
    ] {
        changed[member] = value.clone();
        assert_eq!(office.send("PUT", &role, &[], &changed).await.status, StatusCode::OK);
        assert_eq!(person.sees(&ward).await.len(), seen, "{member} {value}");
    }
    office.send("DELETE", &role, &[], &Value::Null).await;
    assert_eq!(person.sees(&ward).await.len(), 4);
}

/// Shows REQ-FHIR-29: who somebody is, the hospital says: an app of the patient changes a telephone number, and no identifier.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_the_patient_leaves_identifiers_as_they_are() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let path = format!("Patient/{}", ward.anna);
        let identifier = |value: &str| json!({ "system": "urn:oid:1.9", "value": value });
        let gateway = house.device("gw2", Role::Gateway).with("system/*.crus").await;
        let headers = [("content-type", "application/fhir+json")];
        let mut own = gateway.get(&path).await.body;
        own["identifier"] = json!([identifier("4711"), identifier("A1")]);
        assert_eq!(gateway.send("PUT", &path, &headers, &own.to_string()).await.status, StatusCode::OK);
        for anna in [anna(&house).await, person(&house, "anna", "user/*.cruds").await] {
            own["telecom"] = json!([{ "system": "phone", "value": anna.token }]);
            own["identifier"] = json!([identifier("A1"), identifier("4711")]);
            assert_eq!(anna.send("PUT", &path, &[], &own).await.status, StatusCode::OK, "their order is nothing");
            for wrong in [
                json!([identifier("4711"), identifier("A1"), identifier("4712")]),
                json!([identifier("4711")]),
                json!([identifier("4711"), { "value": "A1" }]),
                json!([identifier("4711"), { "system": "urn:oid:1.8", "value": "A1" }]),
                json!([]),
            ] {
                let mut changed = own.clone();
                changed["identifier"] = wrong.clone();
                if wrong == json!([]) {
                    changed.as_object_mut().expect("an object").remove("identifier");
                }
                let request = json!({ "method": "PUT", "url": path });
                let bundle = transaction([json!({ "resource": changed, "request": request })]);
                for answer in [anna.send("PUT", &path, &[], &changed).await, anna.send("POST", "", &[], &bundle).await]
                {
                    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "fhir-denied"), "{wrong}");
                }
            }
            let another = json!({ "resourceType": "Patient", "identifier": [identifier("4713")] });
            assert_eq!(anna.create(&another).await.status, StatusCode::FORBIDDEN);
        }
        let doctor = doctor(&house).await;
        own["identifier"] = json!([identifier("4711"), identifier("4712")]);
        assert_eq!(doctor.send("PUT", &path, &[], &own).await.status, StatusCode::OK);
    }
}

/// Shows REQ-SMART-184: an app of the patient neither deletes the Patient nor brings it back: by then its identifiers may be another's.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_the_patient_neither_deletes_nor_brings_back_a_patient() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let path = format!("Patient/{}", ward.anna);
        let (anna, doctor) = (anna(&house).await, doctor(&house).await);
        let own = anna.get(&path).await.body;
        let entry = |method: &str, resource: &Value| {
            let mut entry = json!({ "request": { "method": method, "url": path } });
            if !resource.is_null() {
                entry["resource"] = resource.clone();
            }
            transaction([entry])
        };
        let refused = async |method: &str, resource: &Value| {
            for answer in [
                anna.send(method, &path, &[], resource).await,
                anna.send("POST", "", &[], &entry(method, resource)).await,
            ] {
                assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "fhir-forbidden"), "{answer:?}");
            }
        };
        refused("DELETE", &Value::Null).await;
        assert_eq!(anna.get(&path).await.status, StatusCode::OK);
        assert_eq!(doctor.send("DELETE", &path, &[], &Value::Null).await.status, StatusCode::NO_CONTENT);
        assert_eq!(
            anna.send("PUT", &path, &[], &own).await.status,
            StatusCode::UNAUTHORIZED,
            "what she granted has ended"
        );
        assert_eq!(doctor.get(&path).await.status, StatusCode::GONE);
        assert_eq!(doctor.send("PUT", &path, &[], &own).await.status, StatusCode::OK, "the staff does");
        assert_eq!(doctor.get(&path).await.status, StatusCode::OK);
    }
}

/// Shows REQ-SMART-210: software in its own name does, and the account of who left stays as it is.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_person_s_token_nobody_deletes_a_practitioner_or_brings_one_back() {
    let house = House::new();
    let ward = Ward::new(&house).await;
    let (anna, doctor) = (anna(&house).await, doctor(&house).await);
    let colleague = json!({ "resourceType": "Practitioner", "name": [{ "family": "Roe" }] });
    let colleague = doctor.send("POST", "Practitioner", &[], &colleague).await.made();
    for one in [&ward.doctor, &colleague] {
        let path = format!("Practitioner/{one}");
        let own = doctor.get(&path).await.body;
        let entry = json!({ "request": { "method": "DELETE", "url": path } });
        let all = transaction([entry]);
        for answer in [doctor.send("DELETE", &path, &[], &Value::Null).await, doctor.send("POST", "", &[], &all).await]
        {
            assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "fhir-forbidden"), "{answer:?}");
        }
        assert_ne!(anna.send("DELETE", &path, &[], &Value::Null).await.status, StatusCode::NO_CONTENT);
        assert_eq!(doctor.send("PUT", &path, &[], &own).await.status, StatusCode::OK, "it is changed as before");
    }
    let path = format!("Practitioner/{colleague}");
    let own = doctor.get(&path).await.body;
    let registry = house.registry().await;
    assert_eq!(house.send(&registry, "DELETE", &path, String::new()).await.status, StatusCode::NO_CONTENT);
    let back = doctor.send("PUT", &path, &[], &own).await;
    assert_eq!((back.status, back.code()), (StatusCode::FORBIDDEN, "fhir-denied"), "{back:?}");
    assert!(house.send(&registry, "PUT", &path, own.to_string()).await.status.is_success());
}

/// Shows REQ-FHIR-31: what a Consent may name because it did before, it did in a reference and not in some text, and nothing else may
/// name it for that.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_consent_named_before_it_alone_names_again() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let (anna, doctor) = (anna(&house).await, doctor(&house).await);
        let hidden = format!("Observation/{}", ward.reading("other"));
        let data = json!([{ "meaning": "instance", "reference": { "reference": hidden } }]);
        let (plain, naming) = (json!([{ "type": "deny" }]), json!([{ "type": "deny", "data": data }]));
        let mut told = ward.consent(plain);
        let div = format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{hidden}</div>");
        told["text"] = json!({ "status": "additional", "div": div });
        told["identifier"] = json!([{ "value": hidden }]);
        let own = anna.create(&told).await.made();
        let mut changed = ward.consent(naming.clone());
        (changed["id"], changed["identifier"]) = (json!(own), told["identifier"].clone());
        let answer = anna.send("PUT", &format!("Consent/{own}"), &[], &changed).await;
        assert_eq!(answer.code(), "fhir-reference", "{answer:?}");
        assert_eq!(
            anna.send("DELETE", &format!("Consent/{own}"), &[], &Value::Null).await.status,
            StatusCode::NO_CONTENT
        );
        // The staff, who may see it, names it.
        let consent = doctor.create(&ward.consent(naming.clone())).await.made();
        let mut again = ward.consent(naming);
        (again["id"], again["status"]) = (json!(consent), json!("inactive"));
        let panel = format!("Observation/{}", ward.reading("panel"));
        let mut linked = anna.get(&panel).await.body;
        linked["hasMember"] = json!([{ "reference": hidden }]);
        let consent = format!("Consent/{consent}");
        let put =
            |url: &str, resource: &Value| json!({ "resource": resource, "request": { "method": "PUT", "url": url } });
        let bundle = transaction([put(&consent, &again), put(&panel, &linked)]);
        let answer = anna.send("POST", "", &[], &bundle).await;
        assert_eq!(answer.code(), "fhir-reference", "{answer:?}");
        assert_eq!(anna.send("PUT", &consent, &[], &again).await.status, StatusCode::OK);
    }
}

/// Shows REQ-CONS-20: whoever a consent names by organization neither comes into it nor leaves it by what they write themselves.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_themselves_a_role() {
    for base in [vec![Base::OwnApps], Base::ALL.to_vec()] {
        let permits = base.len() == 1;
        let house = House::with(None, |config| config.base = base);
        let ward = Ward::new(&house).await;
        let anna = anna(&house).await;
        let person = doctor(&house).await;
        let clinic = person.create(&json!({ "resourceType": "Organization", "name": "Cardiology" })).await.made();
        let named = actor(format!("Organization/{}", if permits { &clinic } else { &ward.clinic }));
        let sort = if permits { "permit" } else { "deny" };
        anna.create(&ward.consent(json!([{ "type": sort, "actor": named }]))).await.made();
        let before = person.sees(&ward).await;
        let path = format!("PractitionerRole/{}", ward.role);
        let mut role = person.get(&path).await.body;
        role["organization"] = json!({ "reference": format!("Organization/{clinic}") });
        let entry = |method: &str, url: &str| json!({ "resource": role, "request": { "method": method, "url": url } });
        let bundle = transaction([entry("PUT", &path)]);
        for (method, at, body) in [
            ("PUT", path.as_str(), &role),
            ("POST", "PractitionerRole", &role),
            ("DELETE", &path, &Value::Null),
            ("POST", "", &bundle),
        ] {
            let answer = person.send(method, at, &[], body).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "fhir-forbidden"), "{method} {at}");
        }
        assert_eq!(person.sees(&ward).await, before);
    }
}

/// Shows REQ-SUB-53, REQ-SUB-54, REQ-FHIR-88: what somebody watches, and of whom, is theirs: no patient's app, nobody else of the staff and no other software reads,
/// changes or ends a Subscription, nor is told that there is one. The administrator sees whose they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_its_writers() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let (writer, other, anna) = (doctor(&house).await, doctor(&house).await, anna(&house).await);
        let backend = Backend::new(&house, "system/*.cruds").await;
        let software = Person { house: &house, token: backend.token("system/*.cruds").await };
        let watched = |status: &str| {
            json!({
                "resourceType": "Subscription", "status": status, "reason": "Bert's secret",
                "criteria": format!("Observation?patient=Patient/{}", ward.bert), "channel": { "type": "websocket" },
            })
        };
        // Whom it watches stands in its criteria: it refers to nobody.
        let mut names = watched("requested");
        let her = json!({ "reference": format!("Patient/{}", ward.anna) });
        names["extension"] = json!([{ "url": "urn:x", "valueReference": her }]);
        assert_eq!(writer.create(&names).await.code(), "fhir-patient-not-subject");
        let id = writer.create(&watched("requested")).await.made();
        let (path, of) = (format!("Subscription/{id}"), |status: &str| {
            let mut subscription = watched(status);
            subscription["id"] = json!(id);
            subscription
        });
        let histories = ["Subscription/_history", "_history?_count=1000"];
        let hidden = async |reader: &Person<'_>| {
            for path in [&*path, &format!("{path}/_history"), &format!("{path}/_history/1")] {
                assert_eq!(reader.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
            }
            assert_eq!(reader.get("Subscription?_summary=count").await.body["total"], 0);
            assert!(reader.get("Subscription").await.found().is_empty());
            for path in histories {
                assert!(!reader.get(path).await.body.to_string().contains(&id), "{path}");
            }
            assert_eq!(reader.send("PUT", &path, &[], &of("off")).await.status, StatusCode::NOT_FOUND);
            reader.send("DELETE", &path, &[], &Value::Null).await;
            let ticket = reader.send("POST", &format!("{path}/$get-ws-binding-token"), &[], &Value::Null).await;
            assert_eq!(ticket.status, StatusCode::NOT_FOUND);
        };
        let listed = house.administer(json!({ "verb": "subscriptions" })).await.body;
        let listed = listed["subscriptions"].as_array().cloned().expect("a list");
        let [one] = listed.as_slice() else { panic!("{listed:?}") };
        assert_eq!((one["id"].as_str(), one["account"].as_str()), (Some(&*id), Some("doe")));
        assert!(one["software"].is_string() && one["status"] == "active" && one["criteria"] == watched("")["criteria"]);
        let closed = async |answer: Answer| assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
        for _ in ["while it is served", "when it is deleted"] {
            hidden(&other).await;
            hidden(&software).await;
            for path in [&*path, "Subscription", histories[0], &format!("{path}/_history")] {
                closed(anna.get(path).await).await;
            }
            closed(anna.create(&watched("requested")).await).await;
            assert!(!anna.get(histories[1]).await.body.to_string().contains(&id));
            for history in [histories[0], histories[1], &format!("{path}/_history")] {
                assert!(writer.get(history).await.body.to_string().contains(&id), "{history}");
            }
            if writer.get(&path).await.status == StatusCode::OK {
                assert_eq!(writer.get("Subscription").await.found(), [id.as_str()]);
                assert_eq!(writer.get(&path).await.body["status"], "active", "nobody else has ended it");
                assert_eq!(writer.send("PUT", &path, &[], &of("off")).await.status, StatusCode::OK);
                assert_eq!(writer.send("DELETE", &path, &[], &Value::Null).await.status, StatusCode::NO_CONTENT);
            }
        }
        assert_eq!(writer.get(&path).await.status, StatusCode::GONE);
    }
}

/// Shows REQ-SUB-55: of one writer so many Subscriptions are kept, told or not.
#[tokio::test(flavor = "multi_thread")]
async fn one_writer_keeps_so_many_subscriptions() {
    for house in House::both() {
        let (first, second) =
            (Backend::new(&house, "system/*.cruds").await, Backend::new(&house, "system/*.cruds").await);
        let first = Person { house: &house, token: first.token("system/*.cruds").await };
        let second = Person { house: &house, token: second.token("system/*.cruds").await };
        let off = json!({
            "resourceType": "Subscription", "status": "off", "reason": "x", "criteria": "Observation?code=x",
            "channel": { "type": "websocket" },
        });
        let entry = json!({ "resource": off, "request": { "method": "POST", "url": "Subscription" } });
        let all = json!({ "resourceType": "Bundle", "type": "transaction", "entry": vec![entry; 256] });
        assert_eq!(first.send("POST", "", &[], &all).await.status, StatusCode::OK);
        let full = first.create(&off).await;
        assert_eq!((full.status, full.code()), (StatusCode::BAD_REQUEST, "fhir-too-much"), "{full:?}");
        second.create(&off).await.made();
        let one = first.get("Subscription?_count=1").await.found().remove(0);
        assert_eq!(
            first.send("DELETE", &format!("Subscription/{one}"), &[], &Value::Null).await.status,
            StatusCode::NO_CONTENT
        );
        first.create(&off).await.made();
        let mut again = off.clone();
        again["id"] = json!(one);
        let full = first.send("PUT", &format!("Subscription/{one}"), &[], &again).await;
        assert_eq!(full.code(), "fhir-too-much", "what was deleted comes back as one more: {full:?}");
    }
}
