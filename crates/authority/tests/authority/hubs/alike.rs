//! Hubs of one store whose clocks or settings are not alike.

use super::{alarms_of, approve_all, ask, claim, hub_at, hub_config, open_in, register};
use crate::fixture::{issued, postgres};
use crate::rotation::by_key;
use medlock_authority::admin::{Reason, Request};
use medlock_authority::enrolment::Answer;
use medlock_authority::objects::Kind;
use medlock_authority::store::{Issuances as _, Journal as _, SqlStore, Standings as _, Subject};
use medlock_authority::{Authority, AuthorityConfig};
use medlock_node::clock::Clock;
use medlock_testkit::PostgresServer;
use medlock_trust::DeviceName;
use medlock_trust::status::Ticket;
use medlock_trust::x509::{Certificate, GeneralName};

/// Sets a manual clock so many seconds ahead of the machine's, on which the database server is too.
fn set_ahead(clock: &Clock, seconds: i64) {
    clock.advance(Clock::system().now().plus_seconds(seconds).seconds_since(clock.now()));
}

/// Shows REQ-STORE-170, REQ-STORE-171, REQ-STORE-190: a hub whose clock is more than a minute from the database server's is not
/// ready; beyond five minutes it issues and publishes nothing, says so once, blames no other clock, tells a theft all the same, and
/// goes on by itself when the clocks agree. What it signs meanwhile, tickets too, is of the server's time.
#[test]
fn a_hub_with_another_clock_than_the_server_stands_still() {
    const DAY: i64 = 86_400;
    for (ahead, how) in [(2 * DAY, "ahead of"), (-400 * DAY, "behind")] {
        let dir = tempfile::tempdir().unwrap();
        let (server, dir, clock) = (postgres(), dir.path(), Clock::manual(Clock::system().now()));
        let open = |name: &str, clock: &Clock| hub_at(&server, dir, name, clock);
        set_ahead(&clock, ahead);
        let refused = open("hub-2", &clock).unwrap_err().to_string();
        assert!(refused.contains(how) && refused.contains("look at both clocks"), "nothing is made: {refused}");
        let one = open("hub-1", &Clock::system()).unwrap();
        set_ahead(&clock, 0);
        let other = open("hub-2", &clock).unwrap();
        let store = SqlStore::postgres(server.address().unwrap()).unwrap();
        for name in ["ct-1", "ct-2"] {
            register(&one, name);
        }
        let [enrol, later] = ["ct-1", "ct-2"].map(|name| claim(&one, name));
        for enrol in [&enrol as &dyn Fn(&Authority) -> _, &later] {
            enrol(&one).unwrap();
        }
        approve_all(&one);
        other.health().unwrap();
        one.tick().unwrap();
        set_ahead(&clock, 120 * ahead.signum());
        let said = other.health().unwrap_err().to_string();
        assert!(said.contains(&format!("s {how} the clock of the database server: look at both")), "{said}");
        other.tick().unwrap();
        issued(enrol(&other).unwrap());

        let before = store.versions().unwrap();
        set_ahead(&clock, ahead);
        let agrees = || {
            PostgresServer::shared()
                .query(&format!("UPDATE {}.hold SET until = until + 50 WHERE name = 'clock hub-1'", server.schema))
        };
        agrees().unwrap();
        for _ in 0..3 {
            other.hear().unwrap();
            other.tick().unwrap();
            other.tick_set();
        }
        assert_eq!(store.versions().unwrap(), before, "it publishes");
        assert!(later(&other).unwrap_err().to_string().contains("look at both clocks"));
        assert!(other.crl().unwrap_err().to_string().contains("look at both clocks"));
        assert!(other.change_keys("rotate".parse().unwrap(), true).unwrap_err().to_string().contains("both clocks"));
        let told = alarms_of(&one, "clock-differs");
        assert!(told.len() == 1 && told[0].0 == 1, "{told:?}");
        assert!(told[0].1.contains("hub-2") && told[0].1.contains(how) && told[0].1.contains("goes on"), "{told:?}");
        // Started again it stands still as well.
        drop(other);
        let other = open("hub-2", &clock).unwrap();
        let settings = |all: Vec<(String, u64)>| all.into_iter().filter(|(kind, _)| kind != "hub-settings").collect();
        let (now, before): (Vec<_>, Vec<_>) = (settings(store.versions().unwrap()), settings(before));
        assert_eq!(now, before, "it publishes when it starts");
        // A theft does not wait for a clock.
        ask(&other, Request::Revoke { device: "ct-1".into(), reason: Reason::Stolen, why: "test".into() });
        let list = store.published("status").unwrap().unwrap().bytes;
        let list = medlock_trust::status::StatusList::danger_open(&list).unwrap();
        let credential = store.credentials_of(DeviceName::new("ct-1").unwrap()).unwrap()[0].credential;
        let ticket = other.ticket(credential, &[7; 16]).unwrap().unwrap();
        let request = medlock_authority::tickets::Request { nonce: vec![7; 16], credentials: vec![credential] };
        let answer = other.tickets(&request).unwrap();
        for (what, issued) in [
            ("the status list", list.heading().issued),
            ("a ticket", Ticket::danger_read(&ticket).unwrap().issued),
            ("one of several", Ticket::danger_read(&answer[3..]).unwrap().issued),
        ] {
            assert!(issued.seconds_since(Clock::system().now()).abs() < 60, "{what} is of {issued}");
        }
        let since = store.standing(Subject::Device(DeviceName::new("ct-1").unwrap())).unwrap().unwrap().since;
        assert!(since.seconds_since(Clock::system().now()).abs() < 60, "revoked since {since}");
        one.hear().unwrap();
        one.tick().unwrap();
        let list = one.news().current(Kind::Status).unwrap();
        let list = medlock_trust::status::StatusList::danger_open(&list.bytes).unwrap();
        assert!(list.heading().issued.seconds_since(Clock::system().now()).abs() < 60, "the other hub dates it anew");
        assert!(list.records().any(|record| record.state == medlock_trust::status::State::Compromised));
        if ahead < 0 {
            assert!(alarms_of(&one, "clock-was-ahead").is_empty(), "it blames the others");
        }
        set_ahead(&clock, 0);
        other.hear().unwrap();
        other.tick().unwrap();
        other.health().unwrap();
        issued(later(&other).unwrap());
        // Where no other hub says that the server's clock is right, it may be that one: people are told, and it goes on.
        PostgresServer::shared()
            .query(&format!("DELETE FROM {}.hold WHERE name = 'clock hub-1'", server.schema))
            .unwrap();
        set_ahead(&clock, 400 * ahead.signum());
        other.tick().unwrap();
        if ahead > 0 {
            // Behind, its issuing key is younger than its clock says.
            other.health().unwrap();
        }
        let told = alarms_of(&other, "clock-differs");
        assert!(told.iter().any(|(_, text)| text.contains("goes on by its own")), "{told:?}");
    }
}

/// Shows REQ-STORE-178: what a start leaves out because of its clock is made up for when the clocks agree, without another start: a change
/// of keys that was cut off, the addresses of the configuration, and what was never published.
#[test]
fn what_a_start_leaves_out_because_of_its_clock_is_made_up_for() {
    let dir = tempfile::tempdir().unwrap();
    let (server, dir, clock) = (postgres(), dir.path(), Clock::manual(Clock::system().now()));
    let open = |name: &str, dns: &str| {
        let own = AuthorityConfig { hub_dns: vec![dns.into()], ..hub_config(&server, dir, name) };
        open_in(dir, &own, &clock).unwrap()
    };
    let one = open("hub-1", "one.example");
    drop(open("hub-2", "two.example"));
    one.change_keys("rotate".parse().unwrap(), false).unwrap();
    let issuing = one.issuing();
    drop(one);
    // As a hub leaves it that died before all was signed anew, and as one before the first routing table.
    let change =
        |sql: String| PostgresServer::shared().query(&sql.replace("objects", &format!("{}.object", server.schema)));
    change("DELETE FROM objects WHERE kind = 'policy' AND version > 1".into()).unwrap();
    change("DELETE FROM objects WHERE kind = 'routes'".into()).unwrap();
    set_ahead(&clock, 2 * 86_400);
    let sql = format!("UPDATE {}.hold SET until = until + 50 WHERE name = 'clock hub-1'", server.schema);
    PostgresServer::shared().query(&sql).unwrap();

    let other = open("hub-2", "new.example");
    let policy_is_new = || by_key(&other.news().current(Kind::Policy).unwrap().bytes) == *issuing.key.as_bytes();
    let shows = |name: &str| {
        let current = other.hub_identity().current().unwrap();
        let own = Certificate::read(current.own()).unwrap();
        own.extensions().subject_alt_names().any(|told| told == GeneralName::Dns(name))
    };
    let has_routes = || other.news().current(Kind::Routes).is_some();
    other.tick().unwrap();
    assert_eq!((policy_is_new(), shows("new.example"), has_routes()), (false, false, false), "it stands still");
    set_ahead(&clock, 0);
    other.tick().unwrap();
    assert_eq!((policy_is_new(), shows("new.example"), has_routes()), (true, true, true));
    assert!(!shows("two.example"));
}

/// Shows REQ-STORE-172: hubs of one store that are configured differently are told of once, by setting and hub; also when one of
/// them changes while it runs.
#[test]
fn hubs_that_are_configured_differently_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let (server, dir) = (postgres(), dir.path());
    let config = |name: &str| AuthorityConfig {
        public_url: Some("http://hub.example".into()),
        ..hub_config(&server, dir, name)
    };
    let open = |config: &AuthorityConfig| open_in(dir, config, &Clock::system()).unwrap();
    let one = open(&config("hub-1"));
    let named = AuthorityConfig { name: "Sankt Berta".into(), ..config("hub-2") };
    let refused = open_in(dir, &named, &Clock::system()).unwrap_err().to_string();
    assert!(refused.contains(&format!("schema {}, holds an authority whose name", server.schema)), "{refused}");
    let other = open(&config("hub-2"));
    assert_eq!(alarms_of(&one, "settings-differ"), [], "they are alike");
    let mut changed = config("hub-2");
    changed.profile.key_types = vec!["p384".into()];
    changed.status_seconds = 7_200;
    drop(other);
    let other = open(&changed);
    let told = alarms_of(&one, "settings-differ");
    assert!(told.len() == 1 && told[0].0 == 1, "{told:?}");
    let text = &told[0].1;
    for said in [
        "hub-1 and hub-2",
        "key_types (p256 p384 at hub-1, p384 at hub-2)",
        "status_seconds (86400 at hub-1, 7200 at hub-2)",
    ] {
        assert!(text.contains(said), "{text}");
    }
    assert!(!text.contains("public_url") && !text.contains("root"), "{text}");
    // A device is told which keys this hub takes.
    register(&other, "ct-1");
    let refused = claim(&other, "ct-1")(&other).unwrap();
    let Answer::Refused(refused) = refused else { panic!("{refused:?}") };
    assert!(
        refused.reason.contains("keys of type p256 get no credential here: make a key of type p384"),
        "{refused:?}"
    );
    // One that does not work any more is compared with nobody.
    drop(one);
    let third = open(&config("hub-3"));
    let told = alarms_of(&third, "settings-differ");
    assert!(told.len() == 2 && told.iter().all(|(_, text)| !text.contains("hub-1 and hub-3")), "{told:?}");
    // Made alike while it runs, it says nothing new.
    other.reconfigure(&config("hub-2")).unwrap();
    let fourth = open(&config("hub-4"));
    assert_eq!(alarms_of(&fourth, "settings-differ").len(), 2);
    drop(third);
}
