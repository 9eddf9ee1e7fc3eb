//! The running code, in virtual time: a node's knowledge, a real status list and a real ticket, one second before each
//! bound and one after.

use super::{Bound, Denied};
use crate::fixture::{Site, credential, ct};
use medlock_authority::admin::{Reason, Request};
use medlock_authority::objects::Kind;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::provider::{AwsLc, SigningKey};
use medlock_trust::bond::PatientContext;
use medlock_trust::knowledge::Asked;
use medlock_trust::list::List;
use medlock_trust::policy::{Effect, Setting};
use medlock_trust::status::Ticket;
use medlock_trust::{Bond, Identified, Interval, Knowledge, Operation, Operations, Policy, Verdict, decide};
use std::sync::Arc;

const PATIENT: PatientContext = PatientContext([5; 16]);
const ROLES: [&str; 5] = ["modality", "sensor", "controller", "monitor", "gateway"];

struct Ward {
    site: Site,
    node: Arc<KnowledgeBase>,
    thief: Identified,
    certificate: Vec<u8>,
}

impl Ward {
    /// A site, a device that will be stolen, and a judge elsewhere that holds everything.
    fn new(setting: Setting) -> Self {
        let site = Site::new();
        let roles = ROLES.map(str::to_owned).to_vec();
        site.ask(Request::Register { device: medlock_authority::registry::DeviceConfig { roles, ..ct("ct-1") } });
        let certificate = site.enrol_again("ct-1", &SigningKey::generate());
        site.clock.advance(1_000);
        let thief = site.identify(&certificate);
        let node = KnowledgeBase::in_memory(site.clock.clone(), setting);
        node.pin_root(&site.authority.root().der).unwrap();
        let ward = Self { site, node, thief, certificate };
        [Kind::SiteList, Kind::Policy, Kind::Status].into_iter().for_each(|kind| ward.carry(kind));
        ward
    }

    fn carry(&self, kind: Kind) {
        self.node.accept(kind, &self.site.authority.news().current(kind).unwrap().bytes).unwrap();
    }

    fn steal(&self) {
        self.site.ask(Request::Revoke { device: "ct-1".into(), reason: Reason::Stolen, why: "gone".into() });
    }

    fn effect(&self, operation: Operation) -> Effect {
        self.effect_with(operation, |knowledge| *knowledge)
    }

    fn effect_with(&self, operation: Operation, with: impl for<'k> Fn(&Knowledge<'k>) -> Knowledge<'k>) -> Effect {
        let bond = Bond {
            controller: self.thief.device(),
            patient: PATIENT,
            operations: Operations::of(&Operation::ALL),
            epoch: 1,
        };
        self.node.with_knowledge_of(&self.thief, |knowledge, policy| {
            let knowledge = with(&Knowledge { patient: Some(PATIENT), ..*knowledge });
            match decide(&self.thief, operation, &knowledge, policy, Some(&bond)) {
                Verdict::Allow(permit) if permit.obligations().alert => Effect::Alert,
                Verdict::Allow(_) => Effect::Allow,
                Verdict::Deny(_) => Effect::Deny,
            }
        })
    }
}

/// Shows REQ-STAT-13: the status list was made at the moment of the report, and nothing came after it.
#[test]
fn the_code_keeps_each_bound_to_the_second() {
    for setting in [Setting::Hospital, Setting::Home] {
        for operation in Operation::ALL {
            let ward = Ward::new(setting);
            let bound = Bound::of(operation, setting, &Policy::default());
            // The last list that does not know: of the very moment of the report.
            ward.site.authority.tick().unwrap();
            ward.site.clock.advance(90_000);
            ward.site.authority.tick().unwrap();
            ward.carry(Kind::Status);
            let reported = ward.site.clock.now();
            ward.steal();
            let at = |second: i64| ward.site.clock.advance(second - ward.site.clock.now().seconds_since(reported));
            let expiry = ward.thief.validity().1.seconds_since(reported);
            if let Some(unmarked) = bound.unmarked.map(i64::from).filter(|unmarked| *unmarked < expiry) {
                at(unmarked);
                assert_eq!(ward.effect(operation), Effect::Allow, "{operation}, {setting:?}: at the bound");
                at(unmarked + 1);
                assert_ne!(ward.effect(operation), Effect::Allow, "{operation}, {setting:?}: beyond the bound");
            }
            let end = match bound.denied {
                Denied::AfterReport(seconds) => Some(i64::from(seconds)),
                Denied::AfterExpiry(seconds) => Some(expiry + i64::from(seconds)),
                Denied::ByNewsAlone => None,
            };
            // Where the site list is overdue before, that comes first: it is stale as an old status is.
            match end {
                Some(end) => {
                    at(end);
                    assert_ne!(ward.effect(operation), Effect::Deny, "{operation}, {setting:?}: within the bound");
                    at(end + 1);
                    assert_eq!(ward.effect(operation), Effect::Deny, "{operation}, {setting:?}: beyond the bound");
                }
                None => {
                    at(10 * 365 * 86_400);
                    assert_ne!(ward.effect(operation), Effect::Deny, "{operation}, {setting:?}: only news end it");
                }
            }
            ward.carry(Kind::Status);
            assert_eq!(ward.effect(operation), Effect::Deny, "{operation}, {setting:?}: the news");
        }
    }
}

/// Shows REQ-STAT-13: a judge without an upper bound of time, by ticks since it drew its nonce.
#[test]
fn a_ticket_counts_from_the_moment_its_nonce_was_drawn() {
    for setting in [Setting::Hospital, Setting::Home] {
        for operation in Operation::ALL.into_iter().filter(|operation| operation.is_command()) {
            let ward = Ward::new(setting);
            let id = credential(&ward.certificate);
            let before = ward.site.authority.ticket(id, &[7; 16]).unwrap().unwrap();
            ward.steal();
            let after = ward.site.authority.ticket(id, &[7; 16]).unwrap().unwrap();
            let list = ward.node.object(Kind::SiteList).unwrap();
            let list = List::danger_open(&list).unwrap();
            let budget = Policy::default().budget_seconds(setting, operation);
            let effect = |ticket: &[u8], seconds_ago| {
                let content = *Ticket::verify(ticket, &list, &AwsLc).unwrap().content();
                let authority = ward.site.authority.root().key;
                ward.effect_with(operation, |knowledge| Knowledge {
                    time: Interval::exactly(knowledge.time.earliest().plus_seconds(0)),
                    status: &[],
                    ticket: Some(Ticket::danger_believe(authority, content_of(&content))),
                    asked: Some(Asked { nonce: &[7; 16], seconds_ago }),
                    ..*knowledge
                })
            };
            // Old as the wall clock has it; what counts is the nonce.
            ward.site.clock.advance(i64::from(budget) + 10);
            assert_eq!(effect(&before, budget), Effect::Allow, "{operation}, {setting:?}");
            assert_ne!(effect(&before, budget + 1), Effect::Allow, "{operation}, {setting:?}");
            assert_eq!(effect(&after, 0), Effect::Deny, "{operation}, {setting:?}: it knows of the theft");
        }
    }
}

/// The content of a ticket, as one that outlives the bytes it was read from.
fn content_of<'k>(content: &medlock_trust::status::TicketContent<'_>) -> medlock_trust::status::TicketContent<'k> {
    let medlock_trust::status::TicketContent { credential, state, reason, epoch, issued, .. } = *content;
    medlock_trust::status::TicketContent { credential, state, reason, epoch, issued, nonce: Some(&[7; 16]) }
}
