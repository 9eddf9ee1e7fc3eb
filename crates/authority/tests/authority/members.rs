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
    let heading = Heading {
        version,
        threshold: 2,
        ..Heading::first(ListKind::Alliance, "Alliance", issued, issued.plus_seconds(86_400))
    };
    let members: Vec<_> =
        members.iter().map(|key| Member { key: key.key_id(), spki: key.spki(), name: "member" }).collect();
    let content = Content { heading, members: &members, recovery: &[], authorities: &[], services: &[] };
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
    let members = [a, b, c].map(SigningKey::key_id);
    site.authority.import_trust_list(&lists[0], &members, 2).unwrap();
    for list in &lists[1..] {
        site.authority.import_trust_list(list, &[], 0).unwrap();
    }
    let kept = |after| site.authority.missed_trust_list(after).unwrap();
    assert_eq!([1, 3, 4].map(kept), [Some(lists[2].clone()), Some(lists[3].clone()), None]);

    let (_stopper, stop) = stop::channel();
    let address = serve(&site, stop).await;
    let key = Arc::new(SigningKey::generate());
    let chain = vec![site.enrol("ct-1", &key).into(), site.authority.issuing().der.clone().into()];
    let identity = IdentityStore::in_memory(Some(Identity::new(key, chain).unwrap()));
    let node = KnowledgeBase::in_memory(site.clock.clone(), Setting::Hospital);
    node.pin_root(&site.authority.root().der).unwrap();
    node.accept(Kind::SiteList, &site.authority.news().current(Kind::SiteList).unwrap().bytes).unwrap();
    node.pin_alliance(&members, 2).unwrap();
    node.accept(Kind::TrustList, &lists[0]).unwrap();
    assert!(node.accept(Kind::TrustList, &lists[4]).is_err());
    news::Hub::new(address.as_str(), &identity, node.clone()).unwrap().poll().await.unwrap();
    assert_eq!(node.version(Kind::TrustList), Some(5));
}
