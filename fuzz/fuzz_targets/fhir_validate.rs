//! Resources: what is taken is a document again, and is found by bounded rows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_clinical::definitions::Definitions;
use medlock_clinical::json::{Document, Limits, Node};
use medlock_clinical::kind::{Id, Kind, Millis};
use medlock_clinical::subscription::Wanted;
use medlock_clinical::validate::{Asked, body, prepare};

fuzz_target!(|data: &[u8]| {
    let Ok(document) = Document::read(data, &Limits::RESOURCE) else { return };
    let named = document.root().member("resourceType").and_then(Node::text);
    let Some(kind) = named.and_then(|name| Kind::named(&name)) else { return };
    let bases = ["https://hub.example/fhir".to_owned()];
    let asked = Asked { kind, bases: &bases, mark: Some("suspended") };
    if let Ok(wanted) = Wanted::read(document.root()) {
        assert!(!wanted.whole || !wanted.endpoint.contains('?'));
    }
    match prepare(document.root(), Definitions::r4(), asked) {
        Err(issues) => assert!((1..=50).contains(&issues.all().len())),
        Ok(prepared) => {
            let whole = body(kind, &Id::fresh(Millis(0)), 1, "2024-01-01T00:00:00Z", prepared.tail());
            let again = Document::read(&whole, &Limits { bytes: 1 << 24, ..Limits::RESOURCE }).expect("JSON");
            prepare(again.root(), Definitions::r4(), asked).expect("what was taken is taken again");
        }
    }
});
