//! A hub whose clock was ahead: what it does when the clock is right again.

use crate::fixture::{Site, ct, issued, open};
use medlock_authority::admin::Request;
use medlock_authority::objects::Kind;
use medlock_authority::registry::DeviceConfig;
use medlock_node::clock::Clock;
use medlock_node::knowledge::{KnowledgeBase, Refused};
use medlock_node::provider::SigningKey;
use medlock_node::routes::RoutingTable;
use medlock_trust::cose::Sign1;
use medlock_trust::policy::Setting;
use medlock_trust::status::StatusList;
use medlock_trust::x509::Certificate;
use medlock_trust::{Operation, Time, Verdict};
use std::sync::Arc;

const DAY: i64 = 86_400;

fn begin(der: &[u8]) -> Time {
    Certificate::read(der).unwrap().not_before()
}

/// The hub is started again, as after the clock was seen to be wrong.
fn started_again(site: Site) -> Site {
    let Site { authority, clock, dir } = site;
    drop(authority);
    Site { authority: Arc::new(open(dir.path(), &clock)), clock, dir }
}

fn status_issued(site: &Site) -> Time {
    let list = site.authority.news().current(Kind::Status).unwrap();
    StatusList::danger_open(&list.bytes).unwrap().heading().issued
}

/// Works for some seconds with the clock ahead, and again with the right one.
fn comes_back(days: i64, restarts: bool) {
    let site = Site::new();
    let key = SigningKey::generate();
    let first = site.enrol("ct-1", &key);
    site.authority.publish_set().unwrap();
    // A node that hears all of it, with a clock of its own that is right.
    let node = KnowledgeBase::in_memory(Clock::manual(site.clock.now()), Setting::Hospital);
    node.pin_root(&site.authority.root().der).unwrap();
    let hear = |site: &Site| {
        for kind in [Kind::SiteList, Kind::Policy, Kind::Status, Kind::Routes, Kind::RevokedSet] {
            if let Some(object) = site.authority.news().current(kind) {
                match node.accept(kind, &object.bytes) {
                    Ok(_) | Err(Refused::SetAhead(_)) => {}
                    Err(refused) => panic!("{kind}: {refused}"),
                }
            }
        }
    };
    hear(&site);

    site.clock.advance(days * DAY);
    let site = if restarts { started_again(site) } else { site };
    site.authority.tick().unwrap();
    site.authority.publish_set().unwrap();
    // The routes are signed in its time as well.
    let address = Some("10.0.0.9:2762".to_owned());
    site.ask(Request::Register { device: DeviceConfig { sidecar: address, ..ct("ct-9") } });
    let meanwhile = site.enrol("ct-2", &SigningKey::generate());
    assert!(site.alarms().is_empty(), "nobody can know it yet");
    hear(&site);

    site.clock.advance(-days * DAY);
    let site = if restarts { started_again(site) } else { site };
    site.authority.tick().unwrap();
    let now = site.clock.now();
    let routes = site.authority.news().current(Kind::Routes).unwrap();
    let routes = RoutingTable::decode(Sign1::read(&routes.bytes).unwrap().payload()).unwrap();
    assert!(!routes.machines.is_empty() && routes.issued <= now, "who holds them would not know which clock is wrong");
    let second = issued(site.renew(&first, &SigningKey::generate()));
    let third = site.enrol("ct-3", &SigningKey::generate());
    let again = issued(site.renew(&meanwhile, &SigningKey::generate()));
    for certificate in [&second, &third, &again] {
        let read = Certificate::read(certificate).unwrap();
        assert!(read.not_before() <= now && read.not_after() > now.plus_seconds(DAY), "{days} days, {restarts}");
    }
    assert!(begin(site.authority.hub_identity().current().unwrap().own()) <= now, "ordinary clients get in again");
    assert!(begin(&meanwhile) > now);
    site.authority.health().unwrap();
    if restarts {
        site.authority.tick_set();
    } else {
        // As within five seconds.
        site.authority.publish_set().unwrap();
    }
    site.authority.tick().unwrap();
    assert_eq!(site.alarms(), ["clock-was-ahead"], "once");
    assert_eq!(status_issued(&site), now, "a list that said the time of then would look fresh for as long");
    // Who heard all that hears what comes now, and knows what time it is.
    site.clock.advance(600);
    node.clock().advance(600);
    hear(&site);
    assert_eq!(node.time().latest(), Some(now.plus_seconds(600)));
    for kind in [Kind::Status, Kind::RevokedSet] {
        assert_eq!(node.version(kind), site.authority.news().current(kind).map(|object| object.version), "{kind}");
    }
}

/// Shows REQ-RUN-43.
#[test]
fn a_hub_that_was_ahead_issues_and_renews_and_is_believed_again() {
    for (days, restarts) in [(2, false), (20, true), (40, false), (40, true), (3_650, false), (3_650, true)] {
        comes_back(days, restarts);
    }
}

/// Shows REQ-STORE-99: keys and a site list of a clock far ahead are taken back by the next change of keys.
#[test]
fn keys_that_were_made_ahead_are_replaced_when_the_clock_is_right() {
    for days in [2, 3_650] {
        let site = Site::new();
        let node = KnowledgeBase::in_memory(Clock::manual(site.clock.now()), Setting::Hospital);
        node.pin_root(&site.authority.root().der).unwrap();
        let hear = |kind| node.accept(kind, &site.authority.news().current(kind).unwrap().bytes);
        hear(Kind::SiteList).unwrap();
        let rotate =
            || site.ask(Request::ChangeKeys { change: "rotate".parse().unwrap(), anyway: false, why: String::new() });
        site.clock.advance(days * DAY);
        rotate();
        hear(Kind::SiteList).unwrap_err();
        site.clock.advance(-days * DAY);
        site.authority.tick().unwrap();
        rotate();
        for kind in [Kind::SiteList, Kind::Policy, Kind::Status, Kind::Routes] {
            hear(kind).unwrap();
        }
        let certificate = site.enrol("ct-1", &SigningKey::generate());
        let issuer = site.authority.issuing().der.clone();
        let who = node.identify(&[certificate.into(), issuer.into()]).unwrap();
        site.clock.advance(600);
        node.clock().advance(600);
        let verdict = node.judge(&who, Operation::Store);
        assert!(matches!(&verdict, Verdict::Allow(permit) if permit.mark().is_none()), "{days} days: {verdict:?}");
        site.authority.tick().unwrap();
        rotate();
        hear(Kind::SiteList).unwrap();
    }
}
