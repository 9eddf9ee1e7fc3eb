//! Software whose certificate names many addresses takes nobody else's room.

use super::{APP, Authority, COMMUNITY, EC, changed, id_of, statement};
use crate::export::{begun, kick_off};
use crate::fixture::{House, on_server};
use crate::people::token;
use http::StatusCode;
use serde_json::{Value, json};

/// What the software at this address wants to be.
fn of(house: &House, uri: &str, number: &str) -> Value {
    let more = [("iss", json!(uri)), ("sub", json!(uri))];
    changed(&statement(house, number), more)
}

/// Shows REQ-SMART-240: eight registrations by one key are alive at most, whatever its certificate names, and who has as many is told
/// what to do; one that ends makes room, and another key has its own. Shows REQ-EXPORT-45: with a registration its exports end.
#[tokio::test(flavor = "multi_thread")]
async fn one_certificate_has_so_many_registrations() {
    let authority = Authority::new();
    for place in [None, Some(on_server())] {
        let house = super::house_at(place, vec![authority.community(COMMUNITY)]);
        let uri = |number: usize| format!("https://app.example/{number}");
        let names = (0..10).map(uri).collect::<Vec<_>>().join(",URI:");
        let software = authority.software("many", EC, &names, 30);
        let mut ids = Vec::new();
        for number in 0..8 {
            let answer = software.registers(&house, &of(&house, &uri(number), &format!("r{number}"))).await;
            ids.push(id_of(&answer, StatusCode::CREATED));
        }
        let full = software.registers(&house, &of(&house, &uri(8), "r8")).await;
        let text = full.body["error_description"].as_str().unwrap_or_default();
        assert_eq!(
            (full.status, &full.body["error"]),
            (StatusCode::BAD_REQUEST, &json!("unapproved_software_statement"))
        );
        assert!(text.contains("end one"), "{full:?}");
        // What is registered is changed all the same, and another key has room.
        let again = software.registers(&house, &of(&house, &uri(7), "again")).await;
        assert_eq!(id_of(&again, StatusCode::OK), ids[7]);
        let other = authority.software("other", EC, APP, 30);
        id_of(&other.registers(&house, &statement(&house, "other")).await, StatusCode::CREATED);

        let access = token(&software.asks(&house, &ids[0], "a").await, "access_token");
        let status = begun(&kick_off(&house, &access, "$export").await);
        let end = changed(&of(&house, &uri(0), "end"), [("grant_types", json!([]))]);
        assert_eq!(software.registers(&house, &end).await.status, StatusCode::OK);
        let answer = software.registers(&house, &of(&house, &uri(8), "r9")).await;
        id_of(&answer, StatusCode::CREATED);
        // It has ended, and comes back as soon as there is room for it.
        let full = software.registers(&house, &of(&house, &uri(0), "r10")).await;
        assert_eq!(full.status, StatusCode::BAD_REQUEST, "{full:?}");
        let removed = house.administer(json!({ "verb": "remove-client", "id": uri(8) })).await;
        assert_eq!(removed.status, StatusCode::OK);
        let back = software.registers(&house, &of(&house, &uri(0), "r11")).await;
        assert_eq!(id_of(&back, StatusCode::CREATED), ids[0]);
        let access = token(&software.asks(&house, &ids[0], "b").await, "access_token");
        assert_eq!(house.read(&access, &status).await.status, StatusCode::NOT_FOUND, "its export has ended with it");
    }
}
