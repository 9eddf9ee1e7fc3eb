//! The members of an alliance change while somebody is off.

use crate::fixture::Site;
use crate::theft::serve;
use medlock_authority::objects::Kind;
use medlock_node::clock::Clock;
use medlock_node::identity::{Identity, IdentityStore};
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::news;
use medlock_node::provider::SigningKey;
use medlock_node::stop;
use medlock_trust::Time;
use medlock_trust::cose::{self, Algorithm, ContentType};
use medlock_trust::list::{Content, Heading, ListKind, Member};
use medlock_trust::policy::Setting;
use std::sync::Arc;

/// A list of which two members must sign the next one.
fn list(version: u64, issued: Time, members: &[&SigningKey], signers: &[&SigningKey]) -> Vec<u8> {
    recoverable([0, version], issued, [members, &[]], signers)
}

/// One of a recovery epoch and version, with members and keys that recover it.
fn recoverable(
    [recovery_epoch, version]: [u64; 2],
    issued: Time,
    keys: [&[&SigningKey]; 2],
    signers: &[&SigningKey],
) -> Vec<u8> {
    let [members, recovery] = keys.map(|keys| {
        let named = keys.iter().map(|key| Member { key: key.key_id(), spki: key.spki(), name: "member" });
        named.collect::<Vec<_>>()
    });
    let heading = Heading {
        version,
        recovery_epoch,
        threshold: 2,
        recovery_threshold: u8::from(!recovery.is_empty()),
        ..Heading::first(ListKind::Alliance, "Alliance", issued, issued.plus_seconds(86_400))
    };
    let content = Content { heading, members: &members, recovery: &recovery, authorities: &[], services: &[] };
    let mut payload = Vec::new();
    content.encode(&mut payload).unwrap();
    let ids: Vec<_> = signers.iter().map(|key| (key.key_id(), Algorithm::Es256)).collect();
    let mut out = Vec::new();
    cose::sign(&payload, ContentType::LIST, &ids, &mut out, |id, parts| {
        let signer = signers.iter().find(|key| key.key_id() == id).unwrap();
        Ok::<_, std::convert::Infallible>(signer.sign_cose(&parts))
    })
    .unwrap();
    out
}

/// Shows REQ-LIST-67: who was off while all members of an alliance were replaced, in steps, takes the lists between from the hub, and
/// then the newest.
#[tokio::test]
async fn who_was_off_while_the_members_changed_catches_up_at_the_hub() {
    let site = Site::with_clock(Clock::system());
    let [a, b, c, d, e, f] = &[0; 6].map(|_| SigningKey::generate());
    let issued = site.clock.now().plus_seconds(-60);
    let lists = [
        list(1, issued, &[a, b, c], &[a, b]),
        list(2, issued, &[a, b, c], &[b, c]),
        list(3, issued, &[c, d, e], &[a, b, c, d]),
        list(4, issued, &[d, e, f], &[d, e]),
        list(5, issued, &[d, e, f], &[e, f]),
    ];
    catches_up(&site, &lists, [a, b, c]).await;
    let kept = |after| site.authority.missed_trust_list(after).unwrap();
    assert_eq!([1, 3, 4].map(kept), [Some(lists[2].clone()), Some(lists[3].clone()), None]);
}

/// Shows REQ-LIST-68: so does who was off while the keys that recover an alliance were replaced, and while it was recovered, twice.
#[tokio::test]
async fn who_was_off_over_a_recovery_catches_up_at_the_hub() {
    let site = Site::with_clock(Clock::system());
    let [a, b, c, d, e, f] = &[0; 6].map(|_| SigningKey::generate());
    let [r, s, t] = &[0; 3].map(|_| SigningKey::generate());
    let issued = site.clock.now().plus_seconds(-60);
    let replaced = [
        recoverable([0, 1], issued, [&[a, b, c], &[r]], &[a, b]),
        recoverable([0, 2], issued, [&[a, b, c], &[s]], &[a, b, r]),
        recoverable([0, 3], issued, [&[a, b, c], &[s]], &[b, c]),
    ];
    catches_up(&site, &replaced, [a, b, c]).await;
    let site = Site::with_clock(Clock::system());
    let recovered = [
        recoverable([0, 1], issued, [&[a, b, c], &[r]], &[a, b]),
        recoverable([1, 2], issued, [&[d, e, f], &[s]], &[d, e, r]),
        recoverable([2, 3], issued, [&[a, e, f], &[t]], &[e, f, s]),
        recoverable([2, 4], issued, [&[a, e, f], &[t]], &[a, e]),
    ];
    catches_up(&site, &recovered, [a, b, c]).await;
}

/// The hub takes all lists; a node that has the first alone is refused the last, and has it when it has asked the hub.
async fn catches_up(site: &Site, lists: &[Vec<u8>], members: [&SigningKey; 3]) {
    let members = members.map(SigningKey::key_id);
    site.authority.import_trust_list(&lists[0], &members, 2).unwrap();
    for list in &lists[1..] {
        site.authority.import_trust_list(list, &[], 0).unwrap();
    }
    let (_stopper, stop) = stop::channel();
    let address = serve(site, stop).await;
    let key = Arc::new(SigningKey::generate());
    let chain = vec![site.enrol("ct-1", &key).into(), site.authority.issuing().der.clone().into()];
    let identity = IdentityStore::in_memory(Some(Identity::new(key, chain).unwrap()));
    let node = KnowledgeBase::in_memory(site.clock.clone(), Setting::Hospital);
    node.pin_root(&site.authority.root().der).unwrap();
    node.accept(Kind::SiteList, &site.authority.news().current(Kind::SiteList).unwrap().bytes).unwrap();
    node.pin_alliance(&members, 2).unwrap();
    node.accept(Kind::TrustList, &lists[0]).unwrap();
    assert!(node.accept(Kind::TrustList, lists.last().unwrap()).is_err());
    news::Hub::new(address.as_str(), &identity, node.clone()).unwrap().poll().await.unwrap();
    assert_eq!(node.version(Kind::TrustList), site.authority.news().current(Kind::TrustList).map(|list| list.version));
    assert_eq!(node.object(Kind::TrustList).as_deref(), lists.last().map(Vec::as_slice));
}
