use super::*;
use crate::json::{Document, Limits};
use crate::kind::Millis;

fn prepared(source: &str) -> Result<Prepared, Issues> {
    let document = Document::read(source.as_bytes(), &Limits::RESOURCE).expect(source);
    let kind = document.root().member("resourceType").and_then(Node::text).and_then(|name| Kind::named(&name));
    let bases = ["https://hub.example/fhir".to_owned()];
    let asked = Asked { kind: kind.expect("a kind"), bases: &bases, mark: Some("expired-within-grace") };
    prepare(document.root(), Definitions::r4(), asked)
}

fn wrong(source: &str) -> Vec<(&'static str, String)> {
    let issues = prepared(source).expect_err(source);
    issues.all().iter().map(|issue| (issue.code.as_str(), issue.expression.clone().unwrap_or_default())).collect()
}

/// An observation with these members more.
fn observation(more: &str) -> String {
    format!(
        r#"{{"resourceType":"Observation","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"99504-3"}}]}}{more}}}"#
    )
}

/// Shows REQ-GEN-04.
#[test]
fn what_r4_does_not_have_is_named_with_its_place() {
    let cases = [
        (r#","colour":"red""#, "fhir-unknown-element", "Observation.colour"),
        (r#","status2":1"#, "fhir-unknown-element", "Observation.status2"),
        (r#","subject":{"reference":"Encounter/1"}"#, "fhir-reference-target", "Observation.subject"),
        (r#","subject":{"reference":"Patient/example"}"#, "fhir-reference", "Observation.subject.reference"),
        (r#","subject":[{"display":"x"}]"#, "fhir-cardinality", "Observation.subject"),
        (r#","note":{"text":"x"}"#, "fhir-cardinality", "Observation.note"),
        (r#","note":[]"#, "fhir-cardinality", "Observation.note"),
        (r#","note":[{"text":"x"},{"time":"2024"}]"#, "fhir-cardinality", "Observation.note[1].text"),
        (r#","note":[{"text":""}]"#, "fhir-value", "Observation.note[0].text"),
        (r#","valueQuantity":{"value":"5"}"#, "fhir-value", "Observation.valueQuantity.value"),
        (r#","valueQuantity":{"value":5,"comparator":"~"}"#, "fhir-binding", "Observation.valueQuantity.comparator"),
        (r#","valueQuantity":{"value":5,"code":"mg"}"#, "fhir-invariant", "Observation.valueQuantity"),
        (r#","valueString":"x","valueInteger":1"#, "fhir-cardinality", "Observation"),
        (r#","valueAddress":{}"#, "fhir-unknown-element", "Observation.valueAddress"),
        (r#","effectiveDateTime":"yesterday""#, "fhir-value", "Observation.effectiveDateTime"),
        (r#","effectivePeriod":{"start":"2024-02","end":"2024-01"}"#, "fhir-invariant", "Observation.effectivePeriod"),
        (r#","extension":[{"url":"urn:x"}]"#, "fhir-invariant", "Observation.extension[0]"),
        (r#","dataAbsentReason":{"text":"x"},"valueInteger":1"#, "fhir-invariant", "Observation"),
        (r#","referenceRange":[{"age":{}}]"#, "fhir-invariant", "Observation.referenceRange[0].age"),
        (r#","method":{}"#, "fhir-invariant", "Observation.method"),
        (r#","text":{"status":"generated","div":"<div><script/></div>"}"#, "fhir-value", "Observation.text.div"),
        (r#","text":{"status":"generated","div":"<p/>"}"#, "fhir-value", "Observation.text.div"),
        (r##","specimen":{"reference":"#s"}"##, "fhir-invariant", ""),
        (
            r#","contained":[{"resourceType":"Patient","id":"p","birthDate":"2024-13"}]"#,
            "fhir-value",
            "Observation.contained[0].birthDate",
        ),
        (r#","_code":{"id":"x"}"#, "fhir-unknown-element", "Observation._code"),
        (r#","method":"x""#, "fhir-type", "Observation.method"),
    ];
    for (more, code, place) in cases {
        let found = wrong(&observation(more));
        assert!(found.contains(&(code, place.to_owned())), "{more}: {found:?}");
    }
    let missing = wrong(r#"{"resourceType":"Observation"}"#);
    assert_eq!(
        missing,
        [("fhir-cardinality", "Observation.status".to_owned()), ("fhir-cardinality", "Observation.code".to_owned())]
    );
}

/// Shows REQ-GEN-05.
#[test]
fn what_r4_has_is_taken() {
    for more in [
        r#","valueQuantity":{"value":5.40,"unit":"mmol/L","system":"http://unitsofmeasure.org","code":"mmol/L"}"#,
        r#","_status":{"extension":[{"url":"urn:x","valueString":"y"}]}"#,
        r#","performer":[{"display":"somebody"}],"effectivePeriod":{"start":"2024-01-01T10:00:00Z"}"#,
        r##","contained":[{"resourceType":"Specimen","id":"s","whatever":1}],"specimen":{"reference":"#s"}"##,
        r#","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"}"#,
        r#","extension":[{"url":"urn:x","extension":[{"url":"y","valueDosage":{"text":"z"}}]}]"#,
        r#","component":[{"code":{"text":"x"},"valueSampledData":{"origin":{"value":1},"period":1,"dimensions":1}}]"#,
        r#","subject":{"reference":"Group/1"},"meta":{"profile":["urn:x"]}"#,
    ] {
        assert_eq!(prepared(&observation(more)).err(), None, "{more}");
    }
    let given = r#"{"resourceType":"Patient","name":[{"given":["A",null],"_given":[null,{"extension":[{"url":"urn:x","valueCode":"y"}]}]}]}"#;
    assert_eq!(prepared(given).err(), None);
    assert_eq!(
        wrong(r#"{"resourceType":"Patient","name":[{"given":["A",null]}]}"#),
        [("fhir-value", "Patient.name[0].given[1]".to_owned())]
    );
}

/// Shows REQ-GEN-08: long lists beside one another, and many references to what is contained, are gone through once; a resource has as
/// many values within a Bundle as alone.
#[test]
fn what_is_long_is_gone_through_once() {
    let list = |item: &str, many: usize| vec![item; many].join(",");
    let profiles = |many| {
        let (profile, beside) = (list("\"u\"", many), list("null", many));
        format!(r#"{{"resourceType":"Patient","meta":{{"profile":[{profile}],"_profile":[{beside}]}}}}"#)
    };
    assert_eq!(prepared(&profiles(49_000)).err(), None);
    let performers = list(r##"{"reference":"#x"}"##, 20_000);
    let contained = list(r#"{"resourceType":"Specimen","id":"s"}"#, 15_000);
    let more = format!(
        r##","contained":[{contained},{{"resourceType":"Practitioner","id":"x"}}],"performer":[{performers}]"##
    );
    let told = prepared(&observation(&more)).expect_err("nobody refers to the specimens");
    assert_eq!(told.all().len(), 1);
    let beyond = profiles(51_000);
    let document = Document::read(beyond.as_bytes(), &Limits::BUNDLE).expect("within a Bundle");
    let asked = Asked { kind: Kind::PATIENT, bases: &[], mark: None };
    let told = prepare(document.root(), Definitions::r4(), asked).expect_err("too much of it");
    assert_eq!(told.all()[0].code, Code::TooMuch);
}

/// Shows REQ-GEN-07.
#[test]
fn rules_over_several_elements_are_told_by_their_keys() {
    let told = |source: &str| {
        let issues = prepared(source).expect_err(source);
        let keys = issues.all().iter().map(|issue| issue.text.split(':').next().unwrap_or_default().to_owned());
        keys.collect::<Vec<_>>()
    };
    let repeat = |members: &str| observation(&format!(r#","effectiveTiming":{{"repeat":{{{members}}}}}"#));
    for (members, key) in [
        (r#""duration":5"#, "tim-1"),
        (r#""period":5"#, "tim-2"),
        (r#""duration":-5,"durationUnit":"h""#, "tim-4"),
        (r#""period":-5,"periodUnit":"h""#, "tim-5"),
        (r#""periodMax":5"#, "tim-6"),
        (r#""durationMax":5"#, "tim-7"),
        (r#""countMax":5"#, "tim-8"),
        (r#""offset":5"#, "tim-9"),
        (r#""offset":5,"when":["CM"]"#, "tim-9"),
        (r#""when":["MORN"],"timeOfDay":["10:00:00"]"#, "tim-10"),
    ] {
        assert_eq!(told(&repeat(members)), [key], "{members}");
    }
    let good =
        r#""duration":5,"durationUnit":"h","durationMax":6,"period":0,"periodUnit":"d","offset":5,"when":["AC"]"#;
    assert_eq!(prepared(&repeat(good)).err(), None);
    let duration =
        |value: &str| observation(&format!(r#","extension":[{{"url":"urn:x","valueDuration":{{{value}}}}}]"#));
    assert_eq!(told(&duration(r#""value":1,"system":"urn:other","code":"h""#)), ["drt-1"]);
    assert_eq!(prepared(&duration(r#""value":1,"system":"http://unitsofmeasure.org","code":"h""#)).err(), None);
    let order = |more: &str| {
        let fixed =
            r#""resourceType":"ServiceRequest","status":"active","intent":"order","subject":{"reference":"Group/1"}"#;
        format!(r#"{{{fixed},"orderDetail":[{{"text":"x"}}]{more}}}"#)
    };
    assert_eq!(told(&order("")), ["prr-1"]);
    assert_eq!(prepared(&order(r#","code":{"text":"x"}"#)).err(), None);
    let dose = |dosage: &str| {
        let fixed = r#""resourceType":"MedicationAdministration","status":"completed","medicationCodeableConcept":{"text":"x"},"effectiveDateTime":"2024","subject":{"reference":"Group/1"}"#;
        format!(r#"{{{fixed},"dosage":{{"text":"x"{dosage}}}}}"#)
    };
    assert_eq!(told(&dose("")), ["mad-1"]);
    assert_eq!(prepared(&dose(r#","rateQuantity":{"value":1}"#)).err(), None);
}

/// Shows REQ-GEN-06: at most 50 issues are told.
#[test]
fn a_resource_that_is_all_wrong_is_told_so_within_bounds() {
    let wrong_members: String = (0..500).map(|number| format!(",\"x{number}\":1")).collect();
    assert_eq!(wrong(&observation(&wrong_members)).len(), 50);
}

/// Shows REQ-FHIR-05.
#[test]
fn a_resource_is_of_one_patient() {
    let [a, b] = [1, 2].map(|at| Id::fresh(Millis(at)));
    let of = |more: &str| prepared(&observation(more)).map(|prepared| prepared.patient());
    let code = |more: &str| of(more).expect_err(more).all()[0].code.as_str();
    let subject = |reference: &str| format!(r#","subject":{{{reference}}}"#);
    let patient = |id: &Id| subject(&format!(r#""reference":"Patient/{id}""#));
    let performer = |id: &Id| format!(r#","performer":[{{"reference":"Patient/{id}"}}]"#);
    assert_eq!(of(&patient(&a)), Ok(PatientOf::Patient(a)));
    assert_eq!(
        of(&subject(&format!(r#""reference":"https://hub.example/fhir/Patient/{a}""#))),
        Ok(PatientOf::Patient(a))
    );
    assert_eq!(of(&format!("{}{}", patient(&a), performer(&a))), Ok(PatientOf::Patient(a)));
    assert_eq!(code(&format!("{}{}", patient(&a), performer(&b))), "fhir-one-patient");
    assert_eq!(code(&performer(&b)), "fhir-patient-not-subject");
    for elsewhere in [
        r#""reference":"https://elsewhere.example/Patient/1""#,
        r#""identifier":{"value":"1"}"#,
        r#""type":"Patient","identifier":{"value":"1"}"#,
    ] {
        assert_eq!(code(&subject(elsewhere)), "fhir-patient-elsewhere", "{elsewhere}");
    }
    let contained = r##","contained":[{"resourceType":"Patient","id":"p"}],"subject":{"reference":"#p"}"##;
    assert_eq!(code(contained), "fhir-patient-elsewhere");
    for nobody in [r#""type":"Device","identifier":{"value":"1"}"#, r#""reference":"Group/1""#, r#""display":"x""#] {
        assert_eq!(of(&subject(nobody)), Ok(PatientOf::Nobody), "{nobody}");
    }
    let metric = format!(
        r#"{{"resourceType":"DeviceMetric","type":{{"text":"x"}},"category":"measurement","source":{{"reference":"Device/{a}"}}}}"#
    );
    assert_eq!(prepared(&metric).map(|prepared| prepared.patient()), Ok(PatientOf::Device(a)));
}

/// Shows REQ-FHIR-06.
#[test]
fn what_is_kept_is_what_was_written_with_what_the_store_knows_in_front() {
    let source = observation(
        r#","id":"theirs","meta":{"versionId":"7","tag":[{"system":"urn:medlock:fhir:mark","code":"good"},{"code":"t"}],"source":"urn:s"},
            "valueQuantity": { "value" : 1.50 }"#,
    );
    let prepared = prepared(&source).expect("an observation");
    let id = Id::fresh(Millis(1));
    let body =
        String::from_utf8(body(Kind::OBSERVATION, &id, 1, "2024-01-01T00:00:00.000Z", prepared.tail())).expect("text");
    let expected = format!(
        r#"{{"resourceType":"Observation","id":"{id}","meta":{{"versionId":"1","lastUpdated":"2024-01-01T00:00:00.000Z","source":"urn:s","tag":[{{"code":"t"}},{{"system":"urn:medlock:fhir:mark","code":"expired-within-grace"}}]}},"status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"99504-3"}}]}},"valueQuantity":{{"value":1.50}}}}"#
    );
    assert_eq!(body, expected);
}

#[test]
fn a_resource_is_found_by_what_it_says() {
    let (device, patient) = (Id::fresh(Millis(1)), Id::fresh(Millis(2)));
    let source = observation(&format!(
        r#","subject":{{"reference":"Patient/{patient}"}},"device":{{"reference":"Device/{device}"}},"effectiveDateTime":"2024-01-01",
            "identifier":[{{"system":"urn:s","value":"v"}}],"encounter":{{"reference":"Encounter/9"}},
            "valueQuantity":{{"value":5.4,"comparator":"<","unit":"x"}},"component":[{{"code":{{"coding":[{{"code":"c"}}]}},"valueQuantity":{{"value":1}}}}]"#
    ));
    let prepared = prepared(&source).expect("an observation");
    let rows = prepared.rows();
    let parameter = |name: &str| Definitions::r4().parameters.named(Kind::OBSERVATION, name).expect(name).id;
    let coding = |system: &str, code: &str| Coding { system: system.into(), code: code.into() };
    assert_eq!(rows.columns[0], [coding("http://loinc.org", "99504-3")]);
    assert_eq!(rows.columns[2], [coding("", "final")]);
    assert_eq!(rows.at, moment_of("2024-01-01"));
    assert_eq!(rows.links, [(parameter("device"), Kind::DEVICE, device)], "the patient is a column");
    assert_eq!(
        rows.idents,
        [
            (parameter("encounter"), "Encounter/9\u{1f}".to_owned()),
            (parameter("identifier"), "v\u{1f}urn:s".to_owned())
        ]
    );
    let mark = coding(MARK_SYSTEM, "expired-within-grace");
    assert_eq!(rows.marks, [(parameter("component-code"), 1, coding("", "c")), (parameter("_tag"), 0, mark)]);
    let parts: Vec<_> =
        rows.quantities.iter().map(|(id, part, unit, ..)| (*id, *part, unit.code.to_string())).collect();
    assert_eq!(
        parts,
        [(parameter("component-value-quantity"), 1, String::new()), (parameter("value-quantity"), 0, "x".to_owned())]
    );
    let references: Vec<_> = prepared.references().iter().map(|needed| needed.expression.as_str()).collect();
    assert_eq!(references, ["Observation.subject.reference", "Observation.device.reference"]);
}

fn moment_of(text: &str) -> Option<crate::moment::Span> {
    crate::moment::date(text)
}

#[test]
fn words_are_found_without_case_and_accents() {
    assert_eq!(word("  Müller-ÉLÉONORE "), "muller-eleonore");
    assert_eq!(word(&"ä".repeat(200)).chars().count(), 64);
}

/// Shows REQ-FHIR-76: what was kept with more codes than what is new may have, is read for what it refers to, and written again by us.
#[test]
fn what_was_kept_has_as_many_codes_as_it_has() {
    let patient = Id::fresh(Millis(1));
    let coding = |number: usize| serde_json::json!({ "system": "urn:x", "code": format!("c{number}") });
    let text = serde_json::json!({
        "resourceType": "Observation", "status": "final", "subject": { "reference": format!("Patient/{patient}") },
        "code": { "coding": (0..1_001).map(coding).collect::<Vec<_>>() },
    });
    let text = text.to_string();
    let document = Document::read(text.as_bytes(), &Limits::BUNDLE).expect("JSON");
    let asked = Asked { kind: Kind::OBSERVATION, bases: &[], mark: None };
    let new = prepare(document.root(), Definitions::r4(), asked).map(drop).map_err(|issues| issues.all().len());
    assert_eq!(new, Err(1));
    assert!(prepare_again(document.root(), Definitions::r4(), asked).is_ok());
    assert_eq!(references_of(Kind::OBSERVATION, text.as_bytes(), &[]).len(), 1);
}
