//! People who leave: what they were given ends.

use crate::fixture::House;
use crate::people::{Browser, query, token};
use crate::smart::Ward;
use http::StatusCode;
use medlock_trust::Role;
use serde_json::json;

/// Shows REQ-SMART-207: whose Patient or Practitioner is deleted is signed out and does not sign in; what they granted has ended with the
/// answer; the list of accounts says so. Where the resource is brought back, they sign in again, and what has ended stays so.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_does_not_outlive_its_person() {
    for house in House::both() {
        let ward = Ward::at(house).await;
        let house = &ward.house;
        let gateway = house.device("gw3", Role::Gateway).with("system/*.crs").await;
        let registry = house.registry().await;
        let doctor =
            gateway.create(&json!({ "resourceType": "Practitioner", "name": [{ "family": "Doe" }] })).await.made();
        let scopes = "openid launch/patient patient/*.rs user/*.rs offline_access";
        let app = house.app("public", json!({ "scopes": scopes })).await;
        let code = house.account("doe", &format!("Practitioner/{doctor}")).await;
        for (name, code, person) in
            [("anna", &ward.code, format!("Patient/{}", ward.anna)), ("doe", &code, format!("Practitioner/{doctor}"))]
        {
            let question = query(&app.id, &[("scope", scopes)]);
            let mut browser = Browser::new(house);
            let page = browser.sign_in(&question, (name, code)).await;
            let more: &[(&str, &str)] = if name == "doe" { &[("patient", &ward.bert)] } else { &[] };
            let given = app.exchange(house, &browser.allow(&page, more).await.parameter("code"), &[]).await;
            let (access, refresh) = (token(&given, "access_token"), token(&given, "refresh_token"));
            assert_eq!(house.read(&access, "Observation").await.status, StatusCode::OK);
            let page = browser.authorize(&question).await;
            let late = browser.allow(&page, more).await.parameter("code");
            let another = house.code(name).await;
            let before = gateway.get(&person).await.body;

            let deleted = house.send(&registry, "DELETE", &person, String::new()).await;
            assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{deleted:?}");
            assert_eq!(house.read(&access, "Observation").await.code(), "smart-token", "{name}");
            assert_eq!(app.refresh(house, &refresh, &[]).await.body["error"], "invalid_grant", "{name}");
            assert_eq!(app.exchange(house, &late, &[]).await.body["error"], "invalid_grant", "{name}");
            let page = browser.authorize(&question).await;
            assert!(page.text.contains("Sign in"), "{name}: {page:?}");
            assert_eq!(browser.try_code(&page, (name, &another)).await.status, StatusCode::FORBIDDEN, "{name}");
            let told = house.administer(json!({ "verb": "code", "name": name })).await;
            let text = told.body["error"].as_str().unwrap_or_default();
            assert!(told.status == StatusCode::CONFLICT && text.contains("was deleted"), "{told:?}");
            let listed = async || {
                let told = house.administer(json!({ "verb": "accounts" })).await.body;
                let accounts = told["accounts"].as_array().cloned().unwrap_or_default();
                let one = accounts.into_iter().find(|one| one["name"] == name).expect("the account");
                one["person_deleted"].as_bool()
            };
            assert_eq!(listed().await, Some(true));

            let back = house.send(&registry, "PUT", &person, before.to_string()).await;
            assert!(back.status.is_success(), "{back:?}");
            assert_eq!(listed().await, Some(false));
            assert!(browser.authorize(&question).await.text.contains("Sign in"), "{name}: the session has ended");
            assert_eq!(house.read(&access, "Observation").await.code(), "smart-token", "{name}");
            assert_eq!(app.refresh(house, &refresh, &[]).await.body["error"], "invalid_grant", "{name}");
            let page = browser.sign_in(&question, (name, &house.code(name).await)).await;
            assert!(page.text.contains("asks for your agreement"), "{name}: {page:?}");
        }
    }
}
