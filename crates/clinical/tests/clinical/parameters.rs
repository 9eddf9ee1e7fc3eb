//! Each type of search parameter finds what it says, on both databases.

use crate::fixture::{House, glucose};
use http::StatusCode;
use medlock_trust::Role;
use serde_json::{Value, json};

fn pressure(patient: &str, upper: f64, lower: f64) -> Value {
    let part = |code: &str, value: f64| {
        json!({
            "code": { "coding": [{ "system": "http://loinc.org", "code": code }] },
            "valueQuantity": { "value": value, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]" },
        })
    };
    json!({
        "resourceType": "Observation", "status": "amended", "effectivePeriod": { "start": "2024-02-01", "end": "2024-02-03" },
        "code": { "coding": [{ "system": "http://loinc.org", "code": "85354-9" }] },
        "subject": { "reference": format!("Patient/{patient}") },
        "category": [{ "coding": [{ "code": "vital-signs" }] }],
        "component": [part("8480-6", upper), part("8462-4", lower)],
    })
}

/// Shows REQ-SRCH-12, REQ-SRCH-13, REQ-SRCH-14, REQ-SRCH-15.
#[tokio::test(flavor = "multi_thread")]
async fn each_type_of_parameter_finds_what_it_says() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let anna = json!({
            "resourceType": "Patient", "name": [{ "family": "Müller", "given": ["Anna", "Zoë"] }], "birthDate": "1970-05-01",
            "managingOrganization": { "reference": "https://other.example/Organization/1" }, "gender": "female",
        });
        let anna = gateway.create(&anna).await.made();
        let bert = json!({ "resourceType": "Patient", "name": [{ "family": "Muller" }], "birthDate": "1980" });
        let bert = gateway.create(&bert).await.made();
        let nameless = gateway.create(&json!({ "resourceType": "Patient" })).await.made();
        let pump = gateway.create(&crate::fixture::device("pump", &anna)).await.made();
        let mut reading = glucose(&anna, &pump, "2024-01-01T10:00:00Z");
        reading["valueQuantity"]["value"] = json!(5.4);
        let sugar = gateway.create(&reading).await.made();
        let text = json!({
            "resourceType": "Observation", "status": "final", "code": { "coding": [{ "code": "note" }] }, "valueString": "All well",
            "subject": { "reference": format!("Patient/{bert}"), "identifier": { "system": "urn:n", "value": "7" } },
        });
        let text = gateway.create(&text).await.made();
        let pressure = gateway.create(&pressure(&bert, 120.0, 80.0)).await.made();
        let both = |a: &String, b: &String| vec![a.clone(), b.clone()];
        let (sugar, text, pressure) = (vec![sugar], vec![text], vec![pressure]);
        let none: Vec<String> = Vec::new();
        let mut ids = vec![anna.clone(), bert.clone(), nameless.clone()];
        ids.sort();
        let cases = [
            // Tokens.
            ("Observation?status:not=final", pressure.clone()),
            ("Observation?category:missing=false", pressure.clone()),
            ("Observation?category:not=vital-signs&date:missing=false", sugar.clone()),
            ("Observation?combo-code=8462-4", pressure.clone()),
            ("Observation?combo-code=note", text.clone()),
            ("Patient?gender:missing=false", vec![anna.clone()]),
            ("Patient?gender:not=male&gender:missing=false", vec![anna.clone()]),
            // Dates: prefixes, values one of which fits, periods.
            ("Observation?date=2024-01-01,2024-02-02", sugar.clone()),
            ("Observation?date=gt2024-02-02", pressure.clone()),
            ("Observation?date=ne2024-01", pressure.clone()),
            ("Observation?date=ge2024-01-01&date=lt2024-02", sugar.clone()),
            ("Observation?date=sa2024-01-31", pressure.clone()),
            ("Observation?date=eb2024-01-31", sugar.clone()),
            ("Patient?birthdate=lt1975", vec![anna.clone()]),
            ("Patient?birthdate=1980", vec![bert.clone()]),
            ("Patient?birthdate:missing=true", vec![nameless.clone()]),
            // Quantities: as precise as they are written.
            ("Observation?value-quantity=5.4", sugar.clone()),
            ("Observation?value-quantity=5", sugar.clone()),
            ("Observation?value-quantity=5.40", sugar.clone()),
            ("Observation?value-quantity=5.5", none.clone()),
            ("Observation?value-quantity=gt5.3|http://unitsofmeasure.org|mg/dL", sugar.clone()),
            ("Observation?value-quantity=gt5.3||mmol/L", none.clone()),
            ("Observation?value-quantity=le5.4||mg/dL", sugar.clone()),
            ("Observation?value-quantity=lt5.4", none.clone()),
            ("Observation?component-value-quantity=ge120", pressure.clone()),
            ("Observation?combo-value-quantity=ne80&combo-value-quantity=lt6", sugar.clone()),
            // Both in the same part.
            ("Observation?component-code-value-quantity=8480-6$120", pressure.clone()),
            ("Observation?component-code-value-quantity=8480-6$80", none.clone()),
            ("Observation?combo-code-value-quantity=http://loinc.org|8462-4$lt90", pressure.clone()),
            ("Observation?code-value-quantity=99504-3$gt5||mg/dL,x$1", sugar.clone()),
            ("Observation?code-value-string=note$all", text.clone()),
            // Words: without case and accents, or exactly so.
            ("Observation?value-string=all w", text.clone()),
            ("Observation?value-string:exact=All well", text.clone()),
            ("Observation?value-string:exact=all well", none.clone()),
            ("Observation?value-string=well", none.clone()),
            ("Patient?family:exact=Müller", vec![anna.clone()]),
            ("Patient?name=zoe", vec![anna.clone()]),
            ("Patient?family=muller&_sort=birthdate", both(&anna, &bert)),
            // References.
            ("Observation?subject:identifier=urn:n|7", text.clone()),
            ("Patient?organization=https://other.example/Organization/1", vec![anna.clone()]),
            ("Observation?patient:missing=true", none.clone()),
            // Order: what has no value comes last.
            ("Patient?_sort=-birthdate&birthdate:missing=false", both(&bert, &anna)),
            ("Patient?_sort=family", vec![bert.clone(), anna.clone(), nameless.clone()]),
            ("Patient?_sort=_id", ids),
        ];
        for (query, expected) in cases {
            let answer = gateway.get(query.replace(' ', "%20").as_str()).await;
            assert_eq!(answer.status, StatusCode::OK, "{query}: {answer:?}");
            assert_eq!(answer.found(), expected, "{query}");
        }
        // Pages of each order have all, each once.
        for sort in ["family", "-family", "birthdate", "-_id", "-_lastUpdated", "_lastUpdated"] {
            let mut address = format!("Patient?_sort={sort}&_count=1");
            let mut found = Vec::new();
            for _ in 0..3 {
                let page = gateway.get(&address).await;
                found.extend(page.found());
                let next = page.body["link"][1]["url"].as_str().and_then(|next| next.split_once("/fhir/"));
                address = next.map(|(_, path)| path.to_owned()).unwrap_or_default();
            }
            let whole = gateway.get(&format!("Patient?_sort={sort}")).await.found();
            assert_eq!((found, address.as_str()), (whole, ""), "{sort}");
        }
        let lenient = gateway.get_with("Observation?colour=red&status=amended", ("prefer", "handling=lenient")).await;
        assert_eq!(lenient.found(), pressure);
        assert_eq!(lenient.body["entry"][1]["search"]["mode"], "outcome");
    }
}
