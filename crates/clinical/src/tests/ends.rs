//! What ends what was granted: how much it looks at, and what comes behind it.

use super::fixture::{Answer, Device, House, device, nobody, patient};
use super::{app, everything, hold_writer};
use crate::access::{Binding, Holder, Shown, Verb};
use crate::audit::Note;
use crate::auth::passkey::Passkey;
use crate::auth::{Account, Scopes};
use crate::definitions::Definitions;
use crate::json::{Document, Limits};
use crate::kind::{Id, Kind, Row};
use crate::store::{Act, Given, NewCode, NewLeave, NewRefresh, NewToken, SignedIn, Spent, Sworn, Unapplied};
use crate::validate::{Asked, prepare};
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use medlock_node::provider::sha256;
use medlock_store::{all, values};
use medlock_trust::{DeviceName, Role};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tower::ServiceExt as _;

const SCOPES: &str = "patient/*.cruds offline_access";

/// The site's time.
fn now(house: &House) -> i64 {
    house.site.clock.now().unix()
}

/// A grant to this holder that is made now, and good for a minute.
fn leave(house: &House, holder: Holder) -> NewLeave {
    let made = now(house);
    NewLeave { holder, scopes: Scopes::read(SCOPES).expect("scopes"), made, until: made + 60 }
}

fn token(house: &House, text: &str) -> NewToken {
    let scopes = Scopes::read(SCOPES).expect("scopes");
    NewToken { hash: sha256(text.as_bytes()), scopes, binding: Binding::Bearer, until: now(house) + 60 }
}

fn refresh(house: &House, text: &str) -> NewRefresh {
    NewRefresh { hash: sha256(text.as_bytes()), until: now(house) + 60 }
}

fn spent(house: &House, text: &str) -> Spent {
    Spent { number: sha256(text.as_bytes()), until: now(house) + 60, chain: None }
}

/// A code that is asked for in the session of this account.
fn code(house: &House, account: &Account, text: &str) -> NewCode {
    NewCode {
        hash: sha256(text.as_bytes()),
        session: sha256(account.name.as_bytes()),
        redirect: String::new(),
        challenge: [0; 32],
        key: None,
        launch: None,
        nonce: None,
        signed_in: now(house),
        until: now(house) + 60,
    }
}

/// What a person grants.
fn person(client: &str, account: &Account) -> Holder {
    Holder::Person { account: account.number, client: client.to_owned(), patient: None }
}

fn agreeing(account: &Account) -> Note {
    Note::agreeing(account, "app", None, &Scopes::default(), String::new())
}

/// A patient with an account, who is signed in.
async fn anna(house: &House, gateway: &Device<'_>, name: &str) -> Account {
    let id = Id::read(&gateway.create(&patient("Anna")).await.made()).expect("an id");
    let made = house.clinical.records().add_account((name, name), (Kind::PATIENT, id), now(house));
    let account = made.expect("kept").expect("she is there");
    sign_in(house, &account, name);
    account
}

fn sign_in(house: &House, account: &Account, session: &str) {
    let (records, made) = (house.clinical.records(), now(house));
    records.keep_setup_code(account.number, sha256(b"setup"), made + 60).expect("kept");
    let signed_in = SignedIn { session: sha256(session.as_bytes()), made, until: made + 600 };
    let way = ("app", String::new());
    assert!(records.sign_in_by_code(account.clone(), sha256(b"setup"), signed_in, way).expect("asked"));
}

/// Who is so called at the provider, in a sign-in of this number.
fn sworn(house: &House, subject: &str, number: &str) -> Sworn {
    Sworn {
        issuer: "https://login".to_owned(),
        claim: "sub".to_owned(),
        subject: subject.to_owned(),
        question: (sha256(number.as_bytes()), now(house) + 60),
        client: "app".to_owned(),
        origin: String::new(),
    }
}

/// What the administrator asks.
async fn administer(house: &House, asked: Value) -> StatusCode {
    let request = Request::post("/v1/clinical").header("content-type", "application/json");
    let mut request = request.body(Body::from(asked.to_string())).expect("a request");
    request.extensions_mut().insert(nobody());
    house.people.clone().oneshot(request).await.expect("an answer").status()
}

async fn bind(house: &House, name: &str, device: &str) -> StatusCode {
    administer(house, json!({ "verb": "bind-device", "name": name, "device": format!("Device/{device}") })).await
}

async fn release(house: &House, name: &str) -> StatusCode {
    administer(house, json!({ "verb": "release-device", "name": name })).await
}

/// The grants that have ended since.
fn ended(house: &House, since: i64) -> Vec<i64> {
    let mut ended: Vec<i64> = house.clinical.records().ended_since(since).expect("read").into_iter().collect();
    ended.sort_unstable();
    ended
}

/// Shows REQ-SMART-211: who asked for many tokens is removed, or bound to another Device, by what ends of theirs: what is alive. What was late
/// is not looked at again; and no other hub is told of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_late_does_not_end_again() {
    for house in House::both() {
        let records = house.clinical.records();
        let now = now(&house);
        records.add_client(app("app", "system/*.rs"), now).expect("added");
        let filled = records.database().write("fill it", move |sql| {
            let insert = "INSERT INTO leave (id, device, client, account, scopes, made, until) VALUES (?1, ?2, ?3, ?4, '', 0, ?5)";
            let (app, own) = (Some("app"), None::<i64>);
            // Late long ago, late just now by this clock, and alive; of people nobody knows, and of others.
            for (id, device, client, account, until) in [
                (101_i64, None, app, own, now - 1_000),
                (102, None, app, own, now - 100),
                (103, None, app, own, now + 100),
                (104, None, app, Some(7_i64), now - 1_000),
                (105, None, Some("other"), own, now + 100),
                (111, Some("cgm"), None, own, now - 1_000),
                (112, Some("cgm"), None, own, now - 100),
                (113, Some("cgm"), None, own, now + 100),
                (114, Some("pump"), None, own, now + 100),
            ] {
                sql.execute(insert, values![id, device, client, account, until])?;
            }
            Ok(())
        });
        filled.expect("filled");
        assert_eq!(records.remove_client("app").expect("removed"), ["app"]);
        assert_eq!(ended(&house, 0), [102, 103, 104]);
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let hers = gateway.create(&patient("Anna")).await.made();
        gateway.create(&device("cgm", &hers)).await.made();
        house.site.clock.advance(1);
        assert_eq!(release(&house, "cgm").await, StatusCode::OK);
        assert_eq!(ended(&house, now + 1), [112, 113]);
    }
}

/// Shows REQ-SMART-212: a hundred grants of one person to one client, and a thousand of one device, or of software in its own name, are alive at
/// most; the oldest end, and no others.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_holder_has_is_bounded() {
    for house in House::both() {
        let records = house.clinical.records();
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let anna = anna(&house, &gateway, "anna").await;
        for client in ["app", "other"] {
            records.add_client(app(client, SCOPES), now(&house)).expect("added");
        }
        let grant = |client: &str, number: usize| {
            let leave = leave(&house, person(client, &anna));
            records.keep_code(leave, code(&house, &anna, &format!("{client}{number}")), agreeing(&anna)).expect("asked")
        };
        assert_eq!(grant("other", 0), Given::Kept);
        for number in 0..103 {
            assert_eq!(grant("app", number), Given::Kept);
        }
        let has_ended = |client: &str, number: usize| {
            let kept = records.code(sha256(format!("{client}{number}").as_bytes())).expect("read");
            kept.expect("a code").ended
        };
        assert!((0..103).all(|number| has_ended("app", number) == (number < 3)) && !has_ended("other", 0));
        house.site.clock.advance(1);
        let keep = |name: &str, text: &str| {
            let holder = Holder::Device { name: DeviceName::new(name).expect("a name"), own: None };
            records.keep_token::<Vec<u8>>(leave(&house, holder), token(&house, text), &[]).expect("asked")
        };
        // As many as there may be: from a time before, and some that are late.
        let fill = |column: &'static str, first: i64| {
            let (until, late) = (now(&house) + 60, now(&house) - 1);
            let filled = records.database().write("fill it", move |sql| {
                let insert =
                    format!("INSERT INTO leave (id, {column}, scopes, made, until) VALUES (?1, ?2, '', 0, ?3)");
                let name = if column == "device" { "cgm" } else { "app" };
                (first..first + 1_002).try_for_each(|id| sql.execute(&insert, values![id, name, until]).map(drop))?;
                (first - 9..first).try_for_each(|id| sql.execute(&insert, values![id, name, late]).map(drop))
            });
            filled.expect("filled");
        };
        let live = |text: &str| records.token(sha256(text.as_bytes())).expect("read").is_some();
        assert_eq!(keep("pump", "pump"), Given::Kept);
        fill("device", -4_000);
        for number in 0..3 {
            assert_eq!(keep("cgm", &format!("cgm{number}")), Given::Kept);
        }
        assert!((0..3).all(|number| live(&format!("cgm{number}"))) && live("pump"));
        assert_eq!(ended(&house, now(&house)).len(), 5, "two too many, and one for each");
        house.site.clock.advance(1);
        fill("client", -2_000);
        let holder = Holder::Software { client: "app".to_owned() };
        let given = records.keep_token_once((leave(&house, holder), token(&house, "own")), spent(&house, "own"));
        assert_eq!(given.expect("asked"), Given::Kept);
        let ended = ended(&house, now(&house));
        assert!(ended.len() == 3 && live("own"), "{ended:?}");
    }
}

/// Shows REQ-SMART-213: an end is dated when it is done, however long it has waited: other hubs look for what ended lately.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_waited_is_dated_when_it_is_done() {
    for house in House::both() {
        let records = house.clinical.records();
        let began = now(&house);
        records.add_client(app("app", "system/*.rs"), began).expect("added");
        let holder = Holder::Software { client: "app".to_owned() };
        let until = began + 600;
        let leave = NewLeave { until, ..leave(&house, holder) };
        let given = records.keep_token_once((leave, token(&house, "a")), spent(&house, "a"));
        assert_eq!(given.expect("asked"), Given::Kept);
        let (release, holding) = hold_writer(&house);
        sleep(Duration::from_millis(200)).await;
        let clinical = Arc::clone(&house.clinical);
        let ending = spawn_blocking(move || clinical.records().remove_client("app"));
        sleep(Duration::from_millis(200)).await;
        house.site.clock.advance(120);
        release.send(()).expect("it is held");
        holding.await.expect("held").expect("written");
        assert_eq!(ending.await.expect("asked").expect("ended"), ["app"]);
        assert_eq!(ended(&house, began + 120).len(), 1, "dated before it was done");
    }
}

/// Shows REQ-SMART-214: what is kept behind the end of its software, account or person is not kept.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_granted_behind_an_end() {
    for house in House::both() {
        let records = house.clinical.records();
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let (anna, berta, cora) = (
            anna(&house, &gateway, "anna").await,
            anna(&house, &gateway, "berta").await,
            anna(&house, &gateway, "cora").await,
        );
        for client in ["app", "backend"] {
            records.add_client(app(client, SCOPES), now(&house)).expect("added");
        }
        let keep = |who: &Account, text: &str| {
            records.keep_code(leave(&house, person("app", who)), code(&house, who, text), agreeing(who)).expect("asked")
        };
        let redeem = |text: &str| {
            let tokens = (token(&house, text), Some(refresh(&house, &format!("{text} refresh"))));
            records.redeem(sha256(text.as_bytes()), Some(tokens)).expect("asked")
        };
        let rotate = |text: &str| {
            let of = sha256(format!("{text} refresh").as_bytes());
            let next = refresh(&house, &format!("{text} next"));
            records.rotate(of, token(&house, &format!("{text} rotated")), next).expect("asked")
        };
        let live = |text: &str| records.token(sha256(text.as_bytes())).expect("read").is_some();
        let own = |text: &str| {
            let holder = Holder::Software { client: "backend".to_owned() };
            let given = records.keep_token_once((leave(&house, holder), token(&house, text)), spent(&house, text));
            given.expect("asked")
        };
        // Each has a code, and a refresh token.
        for (who, each) in
            [(&anna, ["anna 1", "anna 2"]), (&berta, ["berta 1", "berta 2"]), (&cora, ["cora 1", "cora 2"])]
        {
            assert_eq!(each.map(|text| keep(who, text)), [Given::Kept; 2]);
            assert_eq!((redeem(each[0]), live(each[0])), (Given::Kept, true));
        }
        let behind = |who: &Account, name: &str| {
            let told = [keep(who, &format!("{name} 3")), redeem(&format!("{name} 2")), rotate(&format!("{name} 1"))];
            assert_eq!(told, [Given::Ended; 3], "{name}");
            let none = ["1", "2", "1 rotated"].map(|text| live(&format!("{name} {text}")));
            assert_eq!(none, [false; 3], "{name}");
            assert_eq!(
                records.code(sha256(format!("{name} 3").as_bytes())).expect("read").map(|code| code.leave),
                None
            );
        };
        assert!(records.remove_account(anna.number).expect("removed"));
        behind(&anna, "anna");
        // Whose resource is deleted.
        let all = everything(&house).await;
        assert_eq!(all.delete(&format!("Patient/{}", berta.id)).await.status, StatusCode::NO_CONTENT);
        behind(&berta, "berta");
        assert_eq!((own("1"), own("1")), (Given::Kept, Given::Before));
        assert_eq!(records.remove_client("backend").expect("removed"), ["backend"]);
        assert_eq!((own("2"), live("1"), live("2")), (Given::Ended, false, false));
        assert_eq!(records.remove_client("app").expect("removed"), ["app"]);
        behind(&cora, "cora");
    }
}

/// Shows REQ-SMART-215: a device that was bound to another Device, or released, since it was looked for gets no token for what it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_gets_no_token_for_what_it_was() {
    for house in House::both() {
        let records = house.clinical.records();
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let hers = gateway.create(&patient("Anna")).await.made();
        let first = gateway.create(&device("cgm", &hers)).await.made();
        let second = gateway.create(&json!({ "resourceType": "Device" })).await.made();
        let name = DeviceName::new("cgm").expect("a name");
        let keep = |own: Option<Row>, text: &str| {
            let leave = leave(&house, Holder::Device { name, own });
            records.keep_token::<Vec<u8>>(leave, token(&house, text), &[]).expect("asked")
        };
        let row = || records.row_of_device(&name).expect("read");
        house.device("cgm", Role::Sensor);
        let before = row();
        assert_eq!(keep(before, "a"), Given::Kept);
        assert_eq!(bind(&house, "cgm", &second).await, StatusCode::OK);
        assert_eq!((keep(before, "b"), keep(row(), "c")), (Given::Ended, Given::Kept));
        let bound = row();
        assert_eq!(release(&house, "cgm").await, StatusCode::OK);
        assert_eq!(keep(bound, "d"), Given::Ended);
        // Back at the first: what was for the second is not for it.
        assert_eq!(bind(&house, "cgm", &first).await, StatusCode::OK);
        assert_eq!((keep(bound, "e"), keep(row(), "f")), (Given::Ended, Given::Kept));
        let live =
            ["a", "b", "c", "d", "e"].map(|text| records.token(sha256(text.as_bytes())).expect("read").is_some());
        assert_eq!(live, [false; 5]);
        // Who works for others has no row.
        assert_eq!(keep(None, "g"), Given::Kept);
    }
}

/// Shows REQ-SMART-215: the device itself is told to ask again, or what it was given has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_asked_for_in_the_moment_of_a_bind_is_none_for_what_was() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let hers = gateway.create(&patient("Anna")).await.made();
        gateway.create(&device("cgm", &hers)).await.made();
        let other = gateway.create(&json!({ "resourceType": "Device" })).await.made();
        let mut cgm = house.device("cgm", Role::Sensor);
        let (release, holding) = hold_writer(&house);
        sleep(Duration::from_millis(100)).await;
        let letting = async {
            // Both wait for the writer by then, mostly in this order; in the other one the bind ends what was given.
            sleep(Duration::from_millis(500)).await;
            release.send(()).expect("it is held");
        };
        let asking = async {
            sleep(Duration::from_millis(200)).await;
            cgm.ask_token("system/Patient.r").await
        };
        let (bound, given, ()) = tokio::join!(bind(&house, "cgm", &other), asking, letting);
        assert_eq!(bound, StatusCode::OK);
        holding.await.expect("held").expect("written");
        if given.status == StatusCode::OK {
            cgm.token = given.body["access_token"].as_str().map(str::to_owned);
            assert_eq!(cgm.get(&format!("Patient/{hers}")).await.status, StatusCode::UNAUTHORIZED);
        } else {
            assert_eq!(given.body["error"], "unauthorized_client", "{given:?}");
        }
    }
}

/// Shows REQ-SMART-216, REQ-AUDIT-40: what is asked with a token whose grant has ended since it was admitted is not written, and the refusal is
/// noted.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_grant_has_ended_is_refused_by_the_writer() {
    for house in House::both() {
        let records = house.clinical.records();
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let anna = anna(&house, &gateway, "anna").await;
        records.add_client(app("app", SCOPES), now(&house)).expect("added");
        let holder = Holder::Person { account: anna.number, client: "app".to_owned(), patient: Some(anna.row) };
        let kept = records.keep_code(leave(&house, holder), code(&house, &anna, "a"), agreeing(&anna));
        assert_eq!(kept.expect("asked"), Given::Kept);
        let tokens = Some((token(&house, "a"), None));
        assert_eq!(records.redeem(sha256(b"a"), tokens).expect("asked"), Given::Kept);
        let headers: HeaderMap =
            [("authorization".parse().expect("a name"), "Bearer a".parse().expect("a value"))].into_iter().collect();
        let (peer, counted) = (nobody(), AtomicBool::new(false));
        let shown = Shown { headers: &headers, peer: &peer, method: "POST", url: String::new(), counted: &counted };
        let caller = house.clinical.gate().admit(&shown).expect("admitted");
        // As another hub ends it: this one's gate hears of it a little later.
        records.end_leave(caller.leave()).expect("ended");
        let reading = json!({
            "resourceType": "Observation", "status": "final", "code": { "text": "x" },
            "subject": { "reference": format!("Patient/{}", anna.id) },
        });
        let text = reading.to_string();
        let document = Document::read(text.as_bytes(), &Limits::RESOURCE).expect("JSON");
        let bases = house.clinical.bases();
        let asked = Asked { kind: Kind::OBSERVATION, bases: &bases, mark: None };
        let to = prepare(document.root(), Definitions::r4(), asked).expect("a resource");
        let act = Act::Create { id: records.fresh_id(), to, condition: None };
        let note = Note::of(&caller, Verb::Create, Kind::OBSERVATION, String::new());
        let told = records.apply(&caller, vec![act], &note);
        assert!(
            matches!(&told, Err(Unapplied::Refused { why, .. }) if why.code().as_str() == "smart-token"),
            "{told:?}"
        );
        let post = async || -> Answer {
            let request = Request::post("/fhir/Observation").header("authorization", "Bearer a");
            house.ask(nobody(), request.header("content-type", "application/fhir+json"), Body::from(text.clone())).await
        };
        let refused = post().await;
        assert_eq!((refused.status, refused.code()), (StatusCode::UNAUTHORIZED, "smart-token"), "{refused:?}");
        let path = format!("Observation?patient={}", anna.id);
        assert_eq!(gateway.get(&path).await.found(), Vec::<String>::new());
        let began = Instant::now();
        let noted = || {
            let entries = records.database().read("read the audit", |sql| {
                all(sql, "audit", "SELECT entry FROM audit", &[], |row| Ok(row.blob("entry")?.to_vec()))
            });
            let refusals =
                entries.expect("read").into_iter().filter(|entry| entry.windows(11).any(|part| part == b"smart-token"));
            refusals.count()
        };
        while noted() != 1 {
            assert!(began.elapsed() < Duration::from_secs(20), "{}", noted());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Shows REQ-SMART-217: wrong setup codes void none: who knows a name does not keep its owner from signing in.
#[tokio::test(flavor = "multi_thread")]
async fn a_setup_code_is_not_voided_by_wrong_ones() {
    for house in House::both() {
        let records = house.clinical.records();
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let anna = anna(&house, &gateway, "anna").await;
        let (right, began) = (sha256(b"right"), now(&house));
        records.keep_setup_code(anna.number, right, began + 60).expect("kept");
        let signed_in =
            |text: &str| SignedIn { session: sha256(text.as_bytes()), made: now(&house), until: now(&house) + 600 };
        let sign_in = |hash: [u8; 32], text: &str| {
            let way = ("app", String::new());
            records.sign_in_by_code(anna.clone(), hash, signed_in(text), way).expect("asked")
        };
        for number in 0..200_u32 {
            assert!(!sign_in(sha256(&number.to_be_bytes()), "none"));
        }
        assert!(sign_in(right, "first"));
        assert!(!sign_in(right, "second"), "it counts once");
        records.keep_setup_code(anna.number, right, began + 60).expect("kept");
        house.site.clock.advance(60);
        assert!(!sign_in(right, "third"), "it is late");
        records.keep_setup_code(anna.number, right, began + 600).expect("kept");
        assert!(records.remove_account(anna.number).expect("removed"));
        records.keep_setup_code(anna.number, right, began + 600).expect("kept");
        assert!(!sign_in(right, "fourth"), "the account is removed");
    }
}

/// Shows REQ-SMART-233: what is agreed to in a session that has ended meanwhile, as with a lost phone, or in another's, is not granted.
#[tokio::test(flavor = "multi_thread")]
async fn an_agreement_does_not_come_behind_the_end_of_its_session() {
    for house in House::both() {
        let records = house.clinical.records();
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let (anna, berta) = (anna(&house, &gateway, "anna").await, anna(&house, &gateway, "berta").await);
        records.add_client(app("app", SCOPES), now(&house)).expect("added");
        let agree = |who: &Account, code: NewCode| {
            records.keep_code(leave(&house, person("app", who)), code, agreeing(who)).expect("asked")
        };
        assert_eq!(agree(&anna, code(&house, &anna, "a")), Given::Kept);
        assert_eq!(agree(&anna, code(&house, &berta, "b")), Given::Ended, "in another's session");
        records.remove_passkeys(anna.number).expect("removed");
        assert_eq!(agree(&anna, code(&house, &anna, "c")), Given::Ended, "behind the end");
        assert_eq!(agree(&berta, code(&house, &berta, "d")), Given::Kept);
        house.site.clock.advance(600);
        assert_eq!(agree(&berta, code(&house, &berta, "e")), Given::Ended, "it is late");
    }
}

/// Shows REQ-SMART-234: a lost phone that is signed in at the provider begins nothing there, until the account is linked again.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_phone_does_not_begin_anew_at_the_provider() {
    for house in House::both() {
        let records = house.clinical.records();
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let anna = anna(&house, &gateway, "anna").await;
        let who = ("https://login", "sub", "a-17");
        assert!(records.link(anna.number, who, now(&house)).expect("linked"));
        let known = |number: &str| records.account_of(&sworn(&house, "a-17", number)).expect("asked");
        let on_the_way = known("a").expect("she is known");
        assert_eq!(records.remove_passkeys(anna.number).expect("removed"), (0, true));
        assert_eq!(known("b"), None);
        let (made, session) = (now(&house), sha256(b"phone"));
        let begun = SignedIn { session, made, until: made + 600 };
        assert!(!records.sign_in_upstream(on_the_way, sworn(&house, "a-17", "c"), begun).expect("asked"));
        assert!(records.link(anna.number, who, now(&house)).expect("linked"));
        assert_eq!(known("d").map(|account| account.number), Some(anna.number));
    }
}

/// Shows REQ-SMART-235: a setup code by which nobody is linked, since they have another account, stays good.
#[tokio::test(flavor = "multi_thread")]
async fn a_setup_code_is_not_spent_on_whom_another_account_is() {
    for house in House::both() {
        let records = house.clinical.records();
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let (anna, berta) = (anna(&house, &gateway, "anna").await, anna(&house, &gateway, "berta").await);
        let (made, code) = (now(&house), sha256(b"code"));
        records.keep_setup_code(anna.number, code, made + 600).expect("kept");
        assert!(records.link(berta.number, ("https://login", "sub", "b-4"), made).expect("linked"));
        let begun = || SignedIn { session: sha256(b"phone"), made, until: made + 600 };
        let link = |subject: &str, number: &str| {
            records.link_by_code(anna.clone(), code, sworn(&house, subject, number), begun(), made).expect("asked")
        };
        assert!(!link("b-4", "a"), "that is Berta");
        assert!(link("a-17", "b"));
        assert!(!link("a-17", "c"), "the code is spent");
    }
}

/// Shows REQ-SMART-218: a passkey that is made in a session which has ended meanwhile is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_does_not_come_behind_the_end_of_its_session() {
    for house in House::both() {
        let records = house.clinical.records();
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let anna = anna(&house, &gateway, "anna").await;
        let (made, session) = (now(&house), sha256(b"session"));
        let begin = || sign_in(&house, &anna, "session");
        let keep = |text: &str| {
            let passkey = Passkey { id: text.as_bytes().to_vec(), key: vec![1], counter: 0 };
            let question = (sha256(text.as_bytes()), made + 60);
            records.keep_passkey(anna.number, passkey, question, (session, made)).expect("asked")
        };
        begin();
        assert_eq!(records.remove_passkeys(anna.number).expect("removed"), (0, false));
        assert!(!keep("a"));
        assert_eq!(records.passkey(b"a").expect("read"), None);
        begin();
        assert!(keep("b"));
        assert_eq!(records.remove_passkeys(anna.number).expect("removed"), (1, false));
    }
}
