//! Subscriptions that are told while others are slow, while rights end, and by several hubs.

use crate::backend::Backend;
use crate::fixture::{House, glucose, on_server, transaction};
use crate::people::{Browser, query, token};
use crate::subscription::{Hook, Ward, houses, subscription};
use http::{Request, StatusCode};
use medlock_clinical::store::Place;
use medlock_node::stop;
use medlock_store::postgres::Server;
use medlock_testkit::PostgresServer;
use medlock_testkit::peers::venv;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The identifiers of what was told at this path, in their order.
fn ids(hook: &Hook, path: &str) -> Vec<String> {
    let paths = hook.told().into_iter().filter_map(|one| one["path"].as_str().map(str::to_owned));
    let paths = paths.filter(|told| told.starts_with(path));
    paths.filter_map(|told| told.rsplit('/').next().map(str::to_owned)).collect()
}

/// What was told at this path, once it is so much: the clock goes on until a server that was away is tried again.
async fn tried_again(hook: &Hook, house: &House, path: &str, count: usize) -> Vec<Value> {
    let began = Instant::now();
    while ids(hook, path).len() < count {
        assert!(began.elapsed() < Duration::from_secs(20), "{path} is not told {count} times");
        house.site.clock.advance(2);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    hook.until(path, count).await
}

/// Shows REQ-SUB-07: while servers are slow, others are told as soon as ever, on both databases.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_holds_up_nobody_else() {
    let hook = Hook::new();
    hook.takes(3.0);
    for (number, house) in houses(&hook).iter().enumerate() {
        let ward = Ward::new(house).await;
        let (slow, fast) = (format!("{number}/slow"), format!("{number}/fast"));
        for place in [&slow, &slow, &fast] {
            ward.subscribe(&subscription("Observation", &hook.address(place), true)).await;
        }
        for minute in 0..3 {
            ward.reading(0, minute).await;
        }
        hook.until(&format!("/{slow}"), 2).await;
        hook.until(&format!("/{fast}"), 3).await;
        let began = Instant::now();
        ward.reading(0, 10).await;
        hook.until(&format!("/{fast}"), 4).await;
        assert!(began.elapsed() < Duration::from_secs(3), "it waited {:?} for others", began.elapsed());
    }
}

/// Shows REQ-SUB-08, REQ-SUB-20: what a patient takes back, and what is deleted or asked otherwise, is not sent any more, though it was found before.
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_while_it_is_told_is_told_no_more() {
    let hook = Hook::new();
    for (number, house) in houses(&hook).iter().enumerate() {
        let ward = Ward::new(house).await;
        let places = ["slow/kept", "slow/deleted", "slow/moved"].map(|place| format!("{number}/{place}"));
        let mut subscriptions = Vec::new();
        for place in &places {
            subscriptions.push(ward.subscribe(&subscription("Observation", &hook.address(place), true)).await);
        }
        // All is found at once: after the pause of a server that was away.
        hook.answers(503);
        hook.takes(0.0);
        ward.reading(0, 0).await;
        for place in &places {
            hook.until(&format!("/{place}"), 1).await;
        }
        for minute in 1..4 {
            ward.reading(0, minute).await;
        }
        let seen = ward.reading(1, 9).await;
        hook.answers(200);
        hook.takes(3.0);
        for place in &places {
            tried_again(&hook, house, &format!("/{place}"), 2).await;
        }
        ward.deny(0).await;
        ward.send("DELETE", &format!("Subscription/{}", subscriptions[1]), &Value::Null).await;
        let mut moved = subscription("Observation", &hook.address(&format!("{number}/elsewhere")), true);
        moved["id"] = subscriptions[2].as_str().into();
        let changed = ward.send("PUT", &format!("Subscription/{}", subscriptions[2]), &moved).await;
        assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
        hook.until(&format!("/{}", places[0]), 3).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let told = ids(&hook, &format!("/{}", places[0]));
        assert_eq!((told.len(), told.last()), (3, Some(&seen)), "one was on its way: {told:?}");
        for place in &places[1..] {
            assert_eq!(ids(&hook, &format!("/{place}")).len(), 2, "{place}");
        }
        let moved = ids(&hook, &format!("/{number}/elsewhere"));
        assert_eq!(moved, std::slice::from_ref(&seen), "it goes on there, with what may be seen still");
    }
}

/// Shows REQ-SUB-20: a Subscription that is written anew and wants the same goes on where it stood, also at another address; with other
/// criteria it begins with what comes. REQ-SUB-21: so does one that the hub switched off go on, and one that its writer switched off begins.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_anew_goes_on_where_it_stood() {
    let hook = Hook::new();
    for (number, house) in houses(&hook).iter().enumerate() {
        let ward = Ward::new(house).await;
        let places = ["same", "moved", "other", "ended", "silent"].map(|place| format!("{number}/{place}"));
        let ends = house.site.clock.now().plus_seconds(90).to_string();
        let mut subscriptions = Vec::new();
        for (of, place) in places.iter().enumerate() {
            let mut wanted = subscription("Observation", &hook.address(place), true);
            if of == 3 {
                wanted["end"] = ends.as_str().into();
            }
            wanted["id"] = ward.subscribe(&wanted).await.into();
            subscriptions.push(wanted);
        }
        hook.answers(503);
        let first = ward.reading(0, 1).await;
        for place in &places {
            hook.until(&format!("/{place}"), 1).await;
        }
        let ended = format!("Subscription/{}", subscriptions[3]["id"].as_str().expect("an id"));
        house.site.clock.advance(100);
        // How often its server was away may be noted only now.
        tokio::time::sleep(Duration::from_secs(1)).await;
        house.site.clock.advance(5);
        ward.until(&ended, |now| now["status"] == "off").await;
        let second = ward.reading(0, 2).await;
        let anew = async |of: usize, (member, value): (&str, Value)| {
            let mut wanted = subscriptions[of].clone();
            wanted[member] = value;
            let path = format!("Subscription/{}", wanted["id"].as_str().expect("an id"));
            let changed = ward.send("PUT", &path, &wanted).await;
            assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
        };
        let later = json!(house.site.clock.now().plus_seconds(86_400).to_string());
        let mut elsewhere = subscriptions[1]["channel"].clone();
        elsewhere["endpoint"] = hook.address(&format!("{number}/elsewhere")).into();
        anew(0, ("end", later.clone())).await;
        anew(1, ("channel", elsewhere)).await;
        anew(2, ("criteria", "Observation?status=final".into())).await;
        anew(3, ("end", later.clone())).await;
        anew(4, ("status", "off".into())).await;
        anew(4, ("end", later)).await;
        hook.answers(200);
        let third = ward.reading(0, 3).await;
        let all = [first, second.clone(), third.clone()];
        for (place, heard) in
            [("same", &all[..]), ("ended", &all), ("elsewhere", &all), ("other", &all[2..]), ("silent", &all[2..])]
        {
            let path = format!("/{number}/{place}");
            let began = Instant::now();
            while !ids(&hook, &path).ends_with(heard) {
                assert!(began.elapsed() < Duration::from_secs(20), "{place}: {:?}", ids(&hook, &path));
                house.site.clock.advance(2);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            assert_eq!(
                ids(&hook, &path).contains(&second),
                heard.len() > 1,
                "{place} begins with what comes, or does not"
            );
        }
    }
}

/// Shows REQ-SUB-09: of two hubs of a store one tells, also while that takes longer than its turn lasts; the other goes on when it stops, and
/// when it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_hubs_one_tells_and_the_other_goes_on() {
    let hook = Hook::new();
    let place = on_server();
    let [first, second] = [(); 2].map(|()| House::calling(Some(place.clone()), hook.outbound()));
    let ward = Ward::new(&first).await;
    ward.subscribe(&subscription("Observation", &hook.address("slow"), true)).await;
    hook.takes(2.0);
    let mut made = Vec::new();
    for minute in 0..8 {
        made.push(ward.reading(0, minute).await);
    }
    hook.until("/slow", 1).await;
    let (_stopper, stop) = stop::channel();
    let other = tokio::spawn(Arc::clone(&second.clinical).keep(stop));
    let told = hook.until("/slow", 8).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((ids(&hook, "/slow"), told.len()), (made.clone(), 8), "each once, in their order");

    // The first one stops.
    hook.takes(0.0);
    let Ward { gateway, patients, stopper, .. } = ward;
    drop(stopper);
    let reading = async |minute: u32| {
        let at = format!("2024-01-01T09:{minute:02}:00Z");
        gateway.create(&glucose(&patients[0].0, &patients[0].1, &at)).await.made()
    };
    made.push(reading(1).await);
    hook.until("/slow", 9).await;
    // The second one is gone without a word, and a third one comes.
    let third = House::calling(Some(place), hook.outbound());
    let (_stopper, stop) = stop::channel();
    tokio::spawn(Arc::clone(&third.clinical).keep(stop));
    tokio::time::sleep(Duration::from_secs(1)).await;
    other.abort();
    made.push(reading(2).await);
    let told = hook.until("/slow", 10).await;
    assert_eq!((ids(&hook, "/slow"), told.len()), (made, 10));
}

/// Shows REQ-SUB-10: what matches little is not held back by what does not match, on both databases.
#[tokio::test(flavor = "multi_thread")]
async fn what_matches_is_told_behind_thousands_that_do_not() {
    let hook = Hook::new();
    for (number, house) in houses(&hook).iter().enumerate() {
        let ward = Ward::new(house).await;
        let place = format!("{number}/few");
        ward.subscribe(&subscription("Observation?code=http://loinc.org|99504-3", &hook.address(&place), true)).await;
        hook.answers(503);
        ward.reading(0, 0).await;
        hook.until(&format!("/{place}"), 1).await;
        let (patient, device) = &ward.patients[0];
        let mut other = glucose(patient, device, "2024-01-01T10:00:00Z");
        other["code"] = json!({ "coding": [{ "system": "http://loinc.org", "code": "8867-4" }] });
        let entry = json!({ "resource": other, "request": { "method": "POST", "url": "Observation" } });
        let bundle = transaction(vec![entry; 1_000]).to_string();
        for _ in 0..3 {
            let kept = ward.gateway.send("POST", "", &[("content-type", "application/fhir+json")], &bundle);
            assert_eq!(kept.await.status, StatusCode::OK);
        }
        let last = ward.reading(0, 1).await;
        hook.answers(200);
        let began = Instant::now();
        let told = tried_again(&hook, house, &format!("/{place}"), 3).await;
        assert!(began.elapsed() < Duration::from_secs(8), "it took {:?}", began.elapsed());
        assert!(told[2]["path"].as_str().is_some_and(|path| path.ends_with(&last)), "{told:?}");
    }
}

/// Shows REQ-SUB-18: what is told together goes over one connection, and over another where the server closes it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_together_goes_over_one_connection() {
    let hook = Hook::new();
    let house = House::calling(None, hook.outbound());
    let ward = Ward::new(&house).await;
    let places = ["stays", "closes"];
    for place in places {
        ward.subscribe(&subscription("Observation", &hook.address(place), true)).await;
    }
    hook.answers(503);
    let mut made = vec![ward.reading(0, 0).await];
    for place in places {
        hook.until(&format!("/{place}"), 1).await;
    }
    for minute in 1..16 {
        made.push(ward.reading(0, minute).await);
    }
    hook.answers(200);
    for (place, connections) in places.into_iter().zip([1, 16]) {
        // The clock stands still from then on: a call that was in vain would wait for it.
        tried_again(&hook, &house, &format!("/{place}"), 2).await;
        let told = hook.until(&format!("/{place}"), 17).await.split_off(1);
        assert_eq!(ids(&hook, &format!("/{place}"))[1..], made, "each once, in their order");
        let from: HashSet<_> = told.iter().filter_map(|one| one["from"].as_u64()).collect();
        assert_eq!(from.len(), connections, "{place}");
    }
}

/// Shows REQ-SUB-11: a token that was narrowed asks for no more than it could see itself, whatever was granted.
#[tokio::test(flavor = "multi_thread")]
async fn a_narrowed_token_is_told_no_more_than_it_may_see() {
    let hook = Hook::new();
    for (number, house) in houses(&hook).iter().enumerate() {
        let ward = Ward::new(house).await;
        let (_, code) = house.doctor().await;
        let scopes = "launch/patient offline_access user/Subscription.crus user/Observation.rs patient/Observation.rs";
        let app = house.app("public", json!({ "scopes": scopes })).await;
        let mut browser = Browser::new(house);
        let page = browser.sign_in(&query(&app.id, &[("scope", scopes)]), ("doe", &code)).await;
        let sent = browser.allow(&page, &[("patient", &ward.patients[1].0)]).await;
        let given = app.exchange(house, &sent.parameter("code"), &[]).await;
        let narrow = [("scope", "user/Subscription.crus patient/Observation.rs")];
        let narrow = app.refresh(house, &token(&given, "refresh_token"), &narrow).await;
        let places = [("wide", &given), ("narrow", &narrow)];
        for (place, of) in places {
            let request = Request::post("/fhir/Subscription").header("content-type", "application/fhir+json");
            let request = request.header("authorization", format!("Bearer {}", token(of, "access_token")));
            let wanted = subscription("Observation", &hook.address(&format!("{number}/{place}")), true);
            house.people_json(request, wanted.to_string()).await.made();
        }
        let (hidden, seen) = (ward.reading(0, 1).await, ward.reading(1, 2).await);
        hook.until(&format!("/{number}/wide"), 2).await;
        hook.until(&format!("/{number}/narrow"), 1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(ids(&hook, &format!("/{number}/wide")), [hidden, seen.clone()]);
        assert_eq!(ids(&hook, &format!("/{number}/narrow")), [seen], "of the one patient alone");
        house.administer(json!({ "verb": "remove-client", "id": app.id })).await;
    }
}

/// Shows REQ-SUB-12: who is told something knows the hub by its published keys (RFC 9421): the method, the address and the body are
/// signed. Shows REQ-SUB-51: and so is for which Subscription it is told.
#[tokio::test(flavor = "multi_thread")]
async fn notices_are_signed_with_the_published_key() {
    let hook = Hook::new();
    let house = House::calling(None, hook.outbound());
    let ward = Ward::new(&house).await;
    let whole = ward.subscribe(&subscription("Observation", &hook.address("whole"), true)).await;
    let sign = ward.subscribe(&subscription("Observation", &hook.address("sign?for=me"), false)).await;
    ward.reading(0, 1).await;
    let keys = house.people_json(Request::get("/auth/keys"), String::new()).await;
    for (path, own, other) in [("/whole", &whole, &sign), ("/sign", &sign, &whole)] {
        let told = hook.until(path, 1).await.remove(0);
        let base = hook.address("");
        let asked = json!({ "keys": keys.body, "told": told, "base": base.trim_end_matches('/'), "subscription": own });
        assert_eq!(received(&asked), Ok(house.site.clock.now().unix().to_string()));
        let replaced = |name: &str, to: &str| {
            let mut changed = asked.clone();
            changed["told"][name] = to.into();
            changed
        };
        for (name, to) in [("method", "DELETE"), ("path", "/whole/Observation/other"), ("body", "{}")] {
            assert!(received(&replaced(name, to)).is_err(), "{name} is another one");
        }
        // Neither is one for another Subscription taken, nor one that was made to look so.
        let mut changed = asked.clone();
        changed["subscription"] = other.as_str().into();
        assert!(received(&changed).expect_err("for another").contains("another one's"));
        changed["told"]["headers"]["medlock-subscription"] = other.as_str().into();
        assert!(received(&changed).is_err());
    }
}

/// What a receiver that is not ours says of a notice: when it was signed.
fn received(asked: &Value) -> Result<String, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clinical/receiver.py");
    let mut receiver = Command::new(venv().join("bin/python3"));
    receiver.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut receiver = receiver.spawn().expect("python starts");
    receiver.stdin.take().expect("a pipe").write_all(asked.to_string().as_bytes()).expect("written");
    let told = receiver.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if told.status.success() { Ok(text(&told.stdout)) } else { Err(text(&told.stderr)) }
}

/// Shows REQ-SUB-14: one piece of software has 32 Subscriptions at most, and keeps nobody else from theirs.
#[tokio::test(flavor = "multi_thread")]
async fn one_client_takes_no_place_of_others() {
    let hook = Hook::new();
    for house in houses(&hook) {
        let ward = Ward::new(&house).await;
        let wanted = subscription("Observation?code=none", &hook.address("x"), false);
        let mut last = String::new();
        for _ in 0..32 {
            last = ward.subscribe(&wanted).await;
        }
        let more = ward.send("POST", "Subscription", &wanted).await;
        assert_eq!(more.code(), "fhir-too-much", "{more:?}");
        let mut again = wanted.clone();
        again["id"] = last.as_str().into();
        assert_eq!(ward.send("PUT", &format!("Subscription/{last}"), &again).await.status, StatusCode::OK);
        let scopes = "system/Subscription.cruds system/Observation.rs";
        let other = Backend::new(&house, scopes).await.token(scopes).await;
        let request = Request::post("/fhir/Subscription").header("content-type", "application/fhir+json");
        let request = request.header("authorization", format!("Bearer {other}"));
        house.people_json(request, wanted.to_string()).await.made();
        ward.send("DELETE", &format!("Subscription/{last}"), &Value::Null).await;
        ward.subscribe(&wanted).await;
    }
}

/// Shows REQ-SUB-15: how far the last subscriber is behind is a figure, and an alarm when that is minutes.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_behind_for_minutes_raises_an_alarm() {
    let hook = Hook::new();
    for (number, house) in houses(&hook).iter().enumerate() {
        let ward = Ward::new(house).await;
        let place = format!("{number}/behind");
        let id = ward.subscribe(&subscription("Observation", &hook.address(&place), true)).await;
        // One for whom there is nothing is not behind.
        ward.subscribe(&subscription("Observation?code=none", &hook.address("none"), true)).await;
        hook.answers(503);
        ward.reading(0, 1).await;
        hook.until(&format!("/{place}"), 1).await;
        // The reading was made at this very moment of the clock.
        house.site.clock.advance(299);
        let figures = house.clinical.figures().expect("figures");
        assert_eq!((figures.subscriptions, (299..305).contains(&figures.behind_seconds)), (2, true), "{figures:?}");
        house.site.clock.advance(10);
        let began = Instant::now();
        let raised = loop {
            let raised = house.raised.0.lock().expect("the alarms").clone();
            if !raised.is_empty() {
                break raised;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "nobody was told");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert!(
            raised[0].0 == "subscriber-behind" && raised[0].1.contains(&format!("Subscription/{id} ")),
            "{raised:?}"
        );
        hook.answers(200);
        let began = Instant::now();
        while house.clinical.figures().expect("figures").behind_seconds > 0 {
            assert!(began.elapsed() < Duration::from_secs(20), "its server is there, and it stays behind");
            house.site.clock.advance(10);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// A store on a server whose words can be held: who looks for one waits, as behind a long search.
pub(crate) struct Words {
    server: &'static PostgresServer,
    schema: String,
}

impl Words {
    pub(crate) fn new() -> Self {
        let server = PostgresServer::shared();
        Self { server, schema: server.schema() }
    }

    pub(crate) fn place(&self) -> Place {
        let place = Server::new(&self.server.url(), &self.schema, None, None).expect("an address");
        Place::Server(Box::new(place))
    }

    /// Holds them for a minute.
    pub(crate) async fn held(&self) -> JoinHandle<Option<String>> {
        let (server, schema) = (self.server, &self.schema);
        let lock = format!("BEGIN; LOCK TABLE {schema}.word IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60); COMMIT");
        let holder = std::thread::spawn(move || server.query(&lock));
        self.until(format!("SELECT count(*) {}", self.holding()), "1").await;
        holder
    }

    pub(crate) fn release(&self, holder: JoinHandle<Option<String>>) {
        self.server.query(&format!("SELECT pg_terminate_backend(pid) {}", self.holding())).expect("ended");
        assert_eq!(holder.join().expect("it ends"), None);
    }

    fn holding(&self) -> String {
        let table = format!("'{}.word'::regclass", self.schema);
        format!("FROM pg_locks WHERE relation = {table} AND mode = 'AccessExclusiveLock' AND granted")
    }

    async fn until(&self, question: String, answer: &str) {
        let began = Instant::now();
        while self.server.query(&question).as_deref() != Some(answer) {
            assert!(began.elapsed() < Duration::from_secs(20), "{question}: not {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Shows REQ-SUB-41: what takes too long to look for is tried again later, and holds up nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn criteria_that_cost_too_much_wait() {
    let hook = Hook::new();
    let words = Words::new();
    let house = House::with(Some(words.place()), |config| {
        config.outbound = hook.outbound();
        config.search_seconds = 1;
    });
    let ward = Ward::new(&house).await;
    ward.subscribe(&subscription("Observation?value-string:missing=true", &hook.address("slow"), false)).await;
    ward.subscribe(&subscription("Observation", &hook.address("plain"), false)).await;
    let schema = words.schema.clone();
    let holder = words.held().await;
    ward.reading(0, 1).await;
    hook.until("/plain", 1).await;
    words.until(format!("SELECT count(*) FROM {schema}.subscription WHERE failures > 0 AND next > 0"), "1").await;
    assert!(hook.told().iter().all(|one| one["path"] != "/slow"));
    words.release(holder);
    house.site.clock.advance(60);
    hook.until("/slow", 1).await;
    words.until(format!("SELECT count(*) FROM {schema}.subscription WHERE failures > 0"), "0").await;
}
