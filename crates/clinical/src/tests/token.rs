//! What tokens leave in the store, and for how long.

use super::app;
use super::fixture::House;
use axum::body::Body;
use http::{Request, StatusCode};
use medlock_node::provider::sha256;
use medlock_node::stop;
use medlock_store::{all, values};
use medlock_trust::Role;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many rows a table has.
fn count(house: &House, table: &'static str) -> i64 {
    let question = format!("SELECT count(*) AS n FROM {table}");
    let counted = house
        .clinical
        .records()
        .database()
        .read("count", |sql| all(sql, table, &question, &[], |row| row.number::<i64>("n")));
    counted.expect("read")[0]
}

/// Shows REQ-SMART-180.
#[tokio::test(flavor = "multi_thread")]
async fn the_verified_path_of_a_certificate_is_kept_once() {
    for house in House::both() {
        let records = house.clinical.records();
        let gateway = house.device("gw", Role::Gateway);
        let path: Vec<Vec<u8>> = gateway.peer().chain.iter().map(|one| one.to_vec()).collect();
        // What stands behind the path nobody reads: 9 KB of nothing in each place that is left.
        let mut peer = gateway.peer();
        let mut shown = peer.chain.to_vec();
        shown.resize(7, vec![0; 9_000].into());
        peer.chain = shown.into();
        peer.identified = house.knowledge.identify(&peer.chain).ok();
        let mut tokens = Vec::new();
        for _ in 0..3 {
            let request = Request::post("/auth/token").header("content-type", "application/x-www-form-urlencoded");
            let form = "grant_type=client_credentials&scope=system/Patient.r";
            let given = house.ask(peer.clone(), request, Body::from(form)).await;
            assert_eq!(given.status, StatusCode::OK, "{given:?}");
            tokens.push(given.body["access_token"].as_str().expect("a token").to_owned());
        }
        for token in &tokens {
            let kept = records.chain_of_token(sha256(token.as_bytes())).expect("read");
            assert!(kept == path, "{} certificates", kept.len());
        }
        assert_eq!((count(&house, "token"), count(&house, "chain")), (3, 1));
        let in_rows = "SELECT hash FROM token WHERE chain IS NOT NULL";
        let in_rows =
            records.database().read("look", |sql| all(sql, "token", in_rows, &[], |row| row.bytes::<32>("hash")));
        assert_eq!(in_rows.expect("read").len(), 0);
        // A renewed certificate has its own, and so has what is bound to it from then on.
        let mut renewed = house.renewed(&gateway, Role::Gateway);
        renewed.token = Some(tokens[0].clone());
        assert_eq!(renewed.get("Patient/x").await.code(), "fhir-not-found");
        assert_eq!(count(&house, "chain"), 2);
        let own: Vec<Vec<u8>> = renewed.peer().chain.iter().map(|one| one.to_vec()).collect();
        assert_eq!(records.chain_of_token(sha256(tokens[0].as_bytes())).expect("read"), own);
        // It stays while a token may be bound to it, and no longer than an hour more.
        house.site.clock.advance(3_599);
        let now = || house.site.clock.now().unix();
        assert!(!records.forget_tokens(now()).expect("forgotten"));
        assert_eq!((count(&house, "token"), count(&house, "chain")), (3, 2));
        house.site.clock.advance(2);
        records.forget_tokens(now()).expect("forgotten");
        assert_eq!((count(&house, "token"), count(&house, "chain")), (0, 2));
        assert_eq!(gateway.ask_token("system/Patient.r").await.status, StatusCode::OK);
        house.site.clock.advance(3_600);
        records.forget_tokens(now()).expect("forgotten");
        assert_eq!((count(&house, "token"), count(&house, "chain")), (1, 1), "the one that was asked with since");
    }
}

/// Shows REQ-SMART-181: late tokens are forgotten until there are none, and not so many a minute.
#[tokio::test(flavor = "multi_thread")]
async fn all_late_tokens_are_forgotten() {
    for house in House::both() {
        house.clinical.records().database().write("make late tokens", |sql| {
            for number in 0..2_500_u32 {
                let hash = sha256(&number.to_be_bytes());
                let token = "INSERT INTO token (hash, sort, leave, scopes, until, binding, bound) VALUES (?1, 0, 1, '', 5, 1, ?1)";
                sql.execute(token, values![hash])?;
                sql.execute("INSERT INTO chain (certificate, path, until) VALUES (?1, '', 5)", values![hash])?;
            }
            Ok(())
        }).expect("made");
        let (stopper, stop) = stop::channel();
        let keeping = tokio::spawn(Arc::clone(&house.clinical).keep(stop));
        let began = Instant::now();
        while (count(&house, "token"), count(&house, "chain")) != (0, 0) {
            assert!(began.elapsed() < Duration::from_secs(20), "{} are left", count(&house, "token"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stopper.stop();
        keeping.await.expect("it ends");
    }
}

/// Shows REQ-SMART-185: what was a scope when it was kept and is none any more is passed over, and hides neither its client nor others.
#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_none_any_more_is_passed_over() {
    for house in House::both() {
        let records = house.clinical.records();
        for id in ["one", "other"] {
            records.add_client(app(id, "patient/Observation.rs"), 0).expect("added");
        }
        let update = "UPDATE client SET scopes = 'system/Provenance.rs?target=Observation/x patient/Patient.rs' WHERE id = 'one'";
        records.database().write("as it was kept", |sql| sql.execute(update, &[]).map(drop)).expect("changed");
        let one = records.client("one").expect("read").expect("a client");
        assert_eq!(one.scopes.to_string(), "patient/Patient.rs");
        let all: Vec<String> = records.clients().expect("read").into_iter().map(|client| client.id).collect();
        assert_eq!(all, ["one", "other"]);
    }
}
