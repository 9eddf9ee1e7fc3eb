use super::*;
use crate::kind::{Id, Millis};

fn read(kind: Kind, query: &str, handling: Handling) -> Result<Plan, Issues> {
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let bases = ["https://hub.example/fhir".to_owned()];
    plan(kind, &pairs, Terms { handling, most: 1_000, bases: &bases }, Definitions::r4())
}

fn code(kind: Kind, query: &str) -> &'static str {
    read(kind, query, Handling::Strict).expect_err(query).all()[0].code.as_str()
}

/// Shows REQ-SRCH-01.
#[test]
fn a_search_is_read_into_filters() {
    let id = Id::fresh(Millis(1));
    let query = format!("patient={id}&code=http://loinc.org|99504-3,x&date=ge2024-01&_count=7&status=final");
    let plan = read(Kind::OBSERVATION, &query, Handling::Strict).expect(&query);
    assert_eq!((plan.count(), plan.sorting().by), (7, Order::Date));
    assert_eq!(plan.filters()[0], Filter::Patient(vec![id]));
    let Filter::Column(column, tokens) = &plan.filters()[1] else { panic!("{plan:?}") };
    assert_eq!((column.name(), tokens.len()), ("c0", 2));
    assert!(matches!(&plan.filters()[2], Filter::Date(ranges) if ranges.len() == 1));
    for same in [
        format!("subject=Patient/{id}"),
        format!("patient:Patient={id}"),
        format!("subject=https://hub.example/fhir/Patient/{id}"),
    ] {
        assert_eq!(
            read(Kind::OBSERVATION, &same, Handling::Strict).expect(&same).filters(),
            [Filter::Patient(vec![id])],
            "{same}"
        );
    }
    let device = read(Kind::OBSERVATION, &format!("device=Device/{id}"), Handling::Strict).expect("a search");
    assert!(matches!(&device.filters()[0], Filter::Link(_, targets) if targets == &[(Kind::DEVICE, id)]));
    assert_eq!(read(Kind::OBSERVATION, "", Handling::Strict).expect("all").sorting().by, Order::Updated);
    // What no resource here can have is found in none, and tells nothing.
    assert_eq!(
        read(Kind::OBSERVATION, "patient=x&_id=y", Handling::Strict).expect("none").filters(),
        [Filter::Patient(Vec::new()), Filter::Id(Vec::new())]
    );
}

/// Shows REQ-SRCH-02.
#[test]
fn what_is_not_served_is_refused_or_told() {
    for (query, expected) in [
        ("colour=red", "fhir-unknown-parameter"),
        ("code:text=x", "fhir-unknown-parameter"),
        ("date:not=2024", "fhir-unknown-parameter"),
        ("device:missing=true", "fhir-unknown-parameter"),
        ("status:missing=perhaps", "fhir-parameter-value"),
        ("value-quantity=5|mg", "fhir-parameter-value"),
        ("value-quantity=ap5", "fhir-parameter-value"),
        ("code-value-quantity=x", "fhir-parameter-value"),
        ("colour.name=x", "fhir-unknown-parameter"),
        ("subject.name=x", "fhir-parameter-value"),
        ("patient.general-practitioner.name=x", "fhir-parameter-value"),
        ("_has:Observation:patient:code=x", "fhir-parameter-value"),
        ("_has:Observation:has-member:_has:Observation:has-member:code=x", "fhir-parameter-value"),
        ("_sort=status", "fhir-parameter-value"),
        ("_sort=date,_id", "fhir-parameter-value"),
        ("_include=Patient:link", "fhir-parameter-value"),
        ("_include:iterate=Observation:patient", "fhir-unknown-parameter"),
        ("_revinclude=Observation:code", "fhir-parameter-value"),
        ("_total=all", "fhir-parameter-value"),
        ("_summary=text", "fhir-parameter-value"),
        ("_elements=id", "fhir-unknown-parameter"),
        ("patient:Device=x", "fhir-unknown-parameter"),
        ("subject:Nothing=x", "fhir-unknown-parameter"),
        ("subject=x", "fhir-parameter-value"),
        ("subject=00000000000000000000000001", "fhir-parameter-value"),
        ("code=", "fhir-parameter-value"),
        ("code=|", "fhir-parameter-value"),
        ("date=2024-13", "fhir-parameter-value"),
        ("date=xx2024", "fhir-parameter-value"),
        ("date=ap2024", "fhir-parameter-value"),
        ("_count=x", "fhir-parameter-value"),
        ("_format=xml", "fhir-parameter-value"),
    ] {
        assert_eq!(code(Kind::OBSERVATION, query), expected, "{query}");
    }
    let plan = read(Kind::OBSERVATION, "colour=red&status=final", Handling::Lenient).expect("lenient");
    assert_eq!((plan.ignored(), plan.used().len(), plan.filters().len()), (&["colour".to_owned()][..], 1, 1));
}

/// Shows REQ-SRCH-03, REQ-SRCH-32.
#[test]
fn a_search_is_bounded() {
    let many = |count: usize| vec!["status=final"; count].join("&");
    assert!(read(Kind::OBSERVATION, &many(PARAMETERS), Handling::Strict).is_ok());
    assert_eq!(code(Kind::OBSERVATION, &many(PARAMETERS + 1)), "fhir-too-much");
    let values = |count: usize| format!("status={}", vec!["x"; count].join(","));
    assert!(read(Kind::OBSERVATION, &values(VALUES), Handling::Strict).is_ok());
    assert_eq!(code(Kind::OBSERVATION, &values(VALUES + 1)), "fhir-parameter-value");
    // FHIR R4 section 3.1.1.5.2: as _summary=count.
    assert!(read(Kind::OBSERVATION, "_count=0&_summary=false", Handling::Strict).expect("none of them").summary());
    assert_eq!(read(Kind::OBSERVATION, "_count=99999999", Handling::Strict).expect("bounded").count(), 1_000);
}

#[test]
fn a_date_compares_with_both_ends() {
    let bounds = |query: &str| match &read(Kind::OBSERVATION, query, Handling::Strict).expect(query).filters()[0] {
        Filter::Date(ranges) => {
            ranges.iter().flatten().map(|bound| (bound.end, bound.by, bound.at.0)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let (first, last) = (0, 86_399_999);
    assert_eq!(
        bounds("date=1970-01-01"),
        [(End::Low, Comparison::AtLeast, first), (End::High, Comparison::AtMost, last)]
    );
    assert_eq!(bounds("date=gt1970-01-01"), [(End::High, Comparison::Above, last)]);
    assert_eq!(bounds("date=ge1970-01-01"), [(End::High, Comparison::AtLeast, first)]);
    assert_eq!(bounds("date=lt1970-01-01"), [(End::Low, Comparison::Below, first)]);
    assert_eq!(bounds("date=le1970-01-01"), [(End::Low, Comparison::AtMost, last)]);
    assert_eq!(bounds("date=sa1970-01-01"), [(End::Low, Comparison::Above, last)]);
    assert_eq!(bounds("date=eb1970-01-01"), [(End::High, Comparison::Below, first)]);
}

/// Shows REQ-SRCH-39: all of a system. One that is looked for so is no narrow search, and nothing that a scope or a Subscription may ask.
#[test]
fn a_token_may_be_all_of_a_system() {
    let filters = |query: &str| read(Kind::OBSERVATION, query, Handling::Strict).expect(query).filters().to_vec();
    let all = |system: &str| Token { system: Some(system.to_owned()), value: None };
    assert!(
        matches!(&filters("code=s|,x")[0], Filter::Column(_, tokens) if tokens[0] == all("s") && tokens.len() == 2)
    );
    assert!(matches!(&filters("_tag=s|")[0], Filter::Mark(_, tokens) if tokens == &[all("s")]));
    assert!(matches!(&filters("identifier=s|")[0], Filter::IdentOf(_, systems) if systems == &["s"]));
    assert!(matches!(&filters("identifier=s|,s|v")[0], Filter::Any(both) if both.len() == 2));
    let id = Id::fresh(Millis(1));
    for (query, narrow) in [
        (format!("patient={id}&code=s|"), true),
        (format!("patient={id}&code=x&identifier=s|v"), true),
        (format!("patient={id}&code=x&identifier=s|"), false),
        (format!("patient={id}&code=x&identifier:not=s|"), false),
    ] {
        let plan = read(Kind::OBSERVATION, &query, Handling::Strict).expect(&query);
        assert_eq!((plan.is_narrow(), plan.is_by_system()), (narrow, !narrow), "{query}");
    }
    assert!(read(Kind::OBSERVATION, "identifier=s|", Handling::Strict).expect("a search").is_wide());
}

/// Shows REQ-SRCH-40: each value that is wrong is told with what the parameter takes, and with itself.
#[test]
fn who_writes_a_value_otherwise_is_told_how_it_is_written() {
    for (query, text, help) in [
        ("date=yesterday", "\"yesterday\" is no date", "YYYY-MM-DD"),
        ("date=ap2024", "\"ap\" is none of eq", "behind eq, ne, gt"),
        ("_lastUpdated=now", "\"now\" is no date", "YYYY-MM-DD"),
        ("value-quantity=high", "\"high\" is no number", "NUMBER|SYSTEM|CODE"),
        ("_count=-1", "\"-1\" is no number", "whole number from 0"),
        ("_sort=status", "is not ordered by \"status\"", "_lastUpdated, _id, "),
        ("_total=all", "none, estimate", "none, estimate"),
        ("_include=Patient:link", "is not the kind", "searchInclude"),
        ("code=|", "\"|\" is no code", "SYSTEM|CODE"),
        ("subject=x", "\"x\" is no reference", "KIND/ID"),
        ("status:missing=perhaps", "true or false", "true or false"),
        ("code-value-quantity=x", "\"x\" is not code$value", "code and value-quantity"),
        ("subject.name=x", "say of which kind", "REFERENCE:KIND.PARAMETER"),
        ("_has:Observation:patient:code=x", "has no reference", "_has:KIND"),
        ("code=", "it has no value", "SYSTEM|CODE"),
    ] {
        let issues = read(Kind::OBSERVATION, query, Handling::Strict).expect_err(query);
        let issue = &issues.all()[0];
        let told = issue.help.as_deref().unwrap_or_default();
        assert!(issue.text.contains(text) && told.contains(help), "{query}: {} / {told}", issue.text);
    }
}

/// Shows REQ-SRCH-41: what the documentation of a parameter says is taken, and what it does not say is not.
#[test]
fn what_is_said_of_a_parameter_is_so() {
    for kind in Kind::all().filter(|kind| *kind != Kind::AUDIT_EVENT) {
        for parameter in Definitions::r4().parameters.of(kind) {
            let (told, name) = (of_parameter(kind, parameter), parameter.name);
            let taken = |query: &str| read(kind, query, Handling::Strict).is_ok();
            let of = parameter.names.first().copied().filter(|name| *name != "*").unwrap_or("Patient");
            let value = match parameter.sort {
                SearchType::Date => "eb2024-01-02".to_owned(),
                SearchType::Quantity => "sa5".to_owned(),
                SearchType::Reference => format!("{of}/{}", Id::fresh(Millis(1))),
                SearchType::Composite => continue,
                _ => "s".to_owned(),
            };
            assert!(taken(&format!("{name}={value}")), "{kind} {name}: {told}");
            let chain = if told.contains("KIND.PARAMETER") { format!("{name}:{of}") } else { name.to_owned() };
            for (form, query) in [
                (":missing", format!("{name}:missing=true")),
                (":not", format!("{name}:not={value}")),
                (":exact", format!("{name}:exact={value}")),
                (":identifier", format!("{name}:identifier=s|v")),
                (&*format!("_sort={name}"), format!("_sort=-{name}")),
                ("chain", format!("{chain}.identifier=s|v")),
                ("SYSTEM| (any", format!("{name}=s|")),
            ] {
                // A uri or text may have a bar of its own.
                let any = form.starts_with("SYSTEM") && parameter.sort != SearchType::Token;
                assert!(any || taken(&query) == told.contains(form), "{kind} {query}: {told}");
            }
        }
    }
}
