//! Statements and assertions that do not count.

use super::*;

/// Shows REQ-SMART-93: no statement registers anything but one's own, signed now by whom a community vouches for now.
#[tokio::test(flavor = "multi_thread")]
async fn udap_statements_that_do_not_count() {
    let authority = Authority::new();
    let house = authority.house();
    let software = authority.software("app", EC, APP, 30);
    let now = house.site.clock.now().unix();
    let refused = |what: &str, error: &str, answer: &Answer| {
        assert_eq!(
            (answer.status, &answer.body["error"]),
            (StatusCode::BAD_REQUEST, &json!(error)),
            "{what}: {answer:?}"
        );
    };
    let mut number = 0;
    for (error, name, to) in [
        ("invalid_software_statement", "iss", json!("https://app.example/two")),
        ("invalid_software_statement", "iss", json!("https://app.example/one/")),
        ("invalid_software_statement", "iss", Value::Null),
        ("invalid_software_statement", "sub", json!("https://app.example/two")),
        ("invalid_software_statement", "aud", json!("https://other.example/auth/register")),
        ("invalid_software_statement", "aud", json!([REGISTER, "https://other.example"])),
        ("invalid_software_statement", "aud", Value::Null),
        ("invalid_software_statement", "exp", json!(now - 60)),
        ("invalid_software_statement", "exp", json!(now + 301)),
        ("invalid_software_statement", "exp", Value::Null),
        ("invalid_software_statement", "iat", json!(now + 61)),
        ("invalid_software_statement", "iat", json!(now - 1)),
        ("invalid_software_statement", "iat", Value::Null),
        ("invalid_software_statement", "jti", Value::Null),
        ("invalid_software_statement", "jti", json!("")),
        ("invalid_client_metadata", "client_name", Value::Null),
        ("invalid_client_metadata", "client_name", json!("a\nb")),
        ("invalid_client_metadata", "contacts", Value::Null),
        ("invalid_client_metadata", "contacts", json!(["https://app.example"])),
        ("invalid_client_metadata", "grant_types", Value::Null),
        ("invalid_client_metadata", "grant_types", json!(["client_credentials", "authorization_code"])),
        ("invalid_client_metadata", "grant_types", json!(["client_credentials", "refresh_token"])),
        ("invalid_client_metadata", "grant_types", json!("client_credentials")),
        ("invalid_client_metadata", "token_endpoint_auth_method", json!("client_secret_basic")),
        ("invalid_client_metadata", "scope", json!("system/Device.rs")),
        ("invalid_client_metadata", "scope", Value::Null),
        ("invalid_client_metadata", "redirect_uris", json!(["https://app.example/callback"])),
    ] {
        number += 1;
        let claims = changed(&statement(&house, &format!("{number}")), [(name, to.clone())]);
        refused(&format!("{name} {to}"), error, &software.registers(&house, &claims).await);
    }
    for (error, name, to) in [
        ("invalid_redirect_uri", "redirect_uris", json!(["http://127.0.0.1/callback"])),
        ("invalid_redirect_uri", "redirect_uris", json!(["https://app.example/#x"])),
        ("invalid_client_metadata", "redirect_uris", Value::Null),
        ("invalid_client_metadata", "redirect_uris", json!([])),
        ("invalid_client_metadata", "response_types", Value::Null),
        ("invalid_client_metadata", "response_types", json!(["token"])),
        ("invalid_client_metadata", "logo_uri", Value::Null),
        ("invalid_client_metadata", "logo_uri", json!("http://app.example/logo.png")),
    ] {
        number += 1;
        let claims = changed(&app(&house, &format!("{number}")), [(name, to.clone())]);
        refused(&format!("{name} {to}"), error, &software.registers(&house, &claims).await);
    }
    // How it is signed, and by whom.
    let claims = statement(&house, "signed");
    let header = json!({ "alg": "ES256", "x5c": software.chain });
    let other = authority.software("other", EC, "https://app.example/two", 30);
    let stranger = Authority::new().software("app", EC, APP, 30);
    let unsigned = signing_input(json!({ "alg": "none", "x5c": software.chain }).to_string().as_bytes(), b"{}");
    for (what, error, token) in [
        ("alg_none", "invalid_software_statement", format!("{unsigned}.")),
        ("no_chain", "invalid_software_statement", signed(&software.key, &json!({ "alg": "ES256" }), &claims)),
        ("other_key", "invalid_software_statement", signed(&other.key, &header, &claims)),
        ("other_name", "invalid_software_statement", other.signed(&claims)),
        ("stranger", "unapproved_software_statement", stranger.signed(&claims)),
        ("no_token", "invalid_software_statement", "a.b".to_owned()),
    ] {
        refused(what, error, &register(&house, &token).await);
    }
    let request = || Request::post("/auth/register");
    let body = json!({ "software_statement": software.signed(&claims), "udap": "1" }).to_string();
    let sent = house.people_json(request().header("content-type", "text/plain"), body.clone()).await;
    refused("no_json", "invalid_request", &sent);
    let sent = house.people_json(request().header("content-type", "application/json"), body.replace("\"1\"", "\"2\""));
    refused("no_udap", "invalid_request", &sent.await);
    // It counts once.
    id_of(&software.registers(&house, &claims).await, StatusCode::CREATED);
    refused("replayed", "invalid_software_statement", &software.registers(&house, &claims).await);
    // And while its chain does.
    let brief = authority.software("brief", EC, "https://app.example/brief", 1);
    house.site.clock.advance(86_400 + 120);
    let of_brief = |number: &str| {
        let uri = json!("https://app.example/brief");
        changed(&statement(&house, number), [("iss", uri.clone()), ("sub", uri)])
    };
    refused("expired", "unapproved_software_statement", &brief.registers(&house, &of_brief("late")).await);
    house.site.clock.advance(31 * 86_400);
    let fresh = authority.software("fresh", EC, APP, 90);
    refused(
        "expired_authority",
        "unapproved_software_statement",
        &fresh.registers(&house, &statement(&house, "l")).await,
    );
}

/// Shows REQ-SMART-94: no assertion counts but the client's own, by a chain that its community vouches for now, and for whom it asks.
#[tokio::test(flavor = "multi_thread")]
async fn udap_assertions_that_do_not_count() {
    let (authority, second) = (Authority::new(), Authority::new());
    let house = house(vec![authority.community(COMMUNITY), second.community("https://second.example")]);
    let software = authority.software("app", EC, APP, 1);
    let id = id_of(&software.registers(&house, &statement(&house, "1")).await, StatusCode::CREATED);
    let now = house.site.clock.now().unix();
    let refused = |what: &str, error: &str, answer: &Answer| {
        assert_eq!(answer.body["error"], error, "{what}: {answer:?}");
    };
    let good = |number: &str| assertion(&house, &id, number);
    for (error, name, to) in [
        ("invalid_client", "iss", json!("0000")),
        ("invalid_client", "sub", json!(APP)),
        ("invalid_client", "aud", json!(REGISTER)),
        ("invalid_client", "iat", Value::Null),
        ("invalid_client", "iat", json!(now - 1)),
        ("invalid_client", "exp", json!(now + 301)),
        ("invalid_client", "exp", json!(now - 60)),
        ("invalid_client", "jti", Value::Null),
        ("invalid_grant", "extensions", Value::Null),
        (
            "invalid_grant",
            "extensions",
            json!({ "hl7-b2b": { "version": "1", "organization_id": "https://clinic.example" } }),
        ),
        (
            "invalid_grant",
            "extensions",
            json!({ "hl7-b2b": { "version": "2", "organization_id": "x", "purpose_of_use": ["x"] } }),
        ),
    ] {
        let claims = changed(&good(&format!("{name} {to}")), [(name, to.clone())]);
        refused(&format!("{name} {to}"), error, &ask(&house, &software.signed(&claims), &[("udap", "1")]).await);
    }
    let other = authority.software("other", EC, "https://app.example/two", 30);
    let elsewhere = second.software("app", EC, APP, 30);
    let header = json!({ "alg": "ES256", "x5c": software.chain });
    for (what, token) in [
        ("other_name", other.signed(&good("a"))),
        ("other_community", elsewhere.signed(&good("b"))),
        ("other_key", signed(&other.key, &header, &good("c"))),
        ("no_chain", signed(&software.key, &json!({ "alg": "ES256" }), &good("d"))),
    ] {
        refused(what, "invalid_client", &ask(&house, &token, &[("udap", "1")]).await);
    }
    refused("no_udap", "invalid_request", &ask(&house, &software.signed(&good("e")), &[]).await);
    // The same address in another community is another client.
    let second_id = id_of(&elsewhere.registers(&house, &statement(&house, "1b")).await, StatusCode::CREATED);
    assert_ne!(second_id, id);
    refused("other_client", "invalid_client", &software.asks(&house, &second_id, "f").await);
    assert_eq!(software.asks(&house, &id, "g").await.status, StatusCode::OK);
    refused("replayed", "invalid_client", &software.asks(&house, &id, "g").await);
    house.site.clock.advance(86_400 + 120);
    refused("expired", "invalid_client", &software.asks(&house, &id, "h").await);
    let newer = authority.software("newer", EC, APP, 30);
    assert_eq!(newer.asks(&house, &id, "i").await.status, StatusCode::OK, "a new certificate is enough");
}
