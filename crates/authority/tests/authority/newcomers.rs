//! A hub that joins a site which has others for long, with nothing in its folder.

use crate::fixture::{config, postgres};
use medlock_authority::admin::{Asker, Request};
use medlock_authority::objects::Kind;
use medlock_authority::signer::InProcess;
use medlock_authority::{Authority, AuthorityConfig};
use medlock_node::clock::Clock;
use std::sync::Arc;

/// Shows REQ-STORE-186: it knows the first root alone, and the newest site list is signed by others: it takes those between first, as
/// does one that was off meanwhile. Shows REQ-KEYS-121: the policy that a new key signs is behind all that were counted.
#[test]
fn a_hub_with_an_empty_folder_joins_a_site_whose_roots_were_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let server = postgres();
    let hub = |name: &str| {
        let config =
            AuthorityConfig { store: Some(server.clone()), hub_name: name.into(), ..config(&dir.path().join(name)) };
        let signer = Arc::new(InProcess::open(&dir.path().join("keys")).unwrap());
        Authority::open(&config, Clock::system(), signer)
    };
    let (one, was_off) = (hub("hub-1").unwrap(), hub("hub-2").unwrap());
    drop(was_off);
    let newest = |at: &Authority, kind| at.news().current(kind).map(|object| object.version);
    assert_eq!(newest(&one, Kind::Policy), Some(1));
    for change in ["root", "issuing", "issuing"] {
        let change = change.parse().unwrap();
        one.administer(&Asker::program(), Request::ChangeKeys { change, anyway: true, why: String::new() }).unwrap();
        one.tick().unwrap();
    }
    for name in ["hub-3", "hub-2"] {
        let other = hub(name).unwrap();
        for kind in [Kind::SiteList, Kind::Status, Kind::Policy] {
            assert!(newest(&other, kind).is_some() && newest(&other, kind) >= newest(&one, kind), "{name}: {kind}");
        }
        assert_eq!(other.root().key, one.root().key, "{name}");
        other.health().unwrap();
    }
    let now = Clock::system().now().unix().unsigned_abs();
    assert!(newest(&one, Kind::Policy).is_some_and(|version| version + 60 > now), "{:?}", newest(&one, Kind::Policy));
}
