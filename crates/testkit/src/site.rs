//! A site with its authorities, its signed objects, and devices.

use crate::CertificateBuilder;
use medlock_node::clock::Clock;
use medlock_node::identity::{Identity, IdentityStore};
use medlock_node::knowledge::{Kind, KnowledgeBase};
use medlock_node::provider::{SigningKey, sha256};
use medlock_node::routes::RoutingTable;
use medlock_trust::cose::{self, Algorithm, ContentType, Place};
use medlock_trust::list::{Authority, AuthorityState, Content, Heading, ListKind, Member, Purpose, Purposes, Service};
use medlock_trust::path::AuthorityKind;
use medlock_trust::policy::{Draft, Policy, Setting};
use medlock_trust::role::{Role, Roles};
use medlock_trust::status::{self, Reason, Record, State, StatusContent, Subject};
use medlock_trust::x509::Certificate;
use medlock_trust::{KeyId, Time};
use rustls::pki_types::CertificateDer;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

const DAY: i64 = 86_400;

/// A site: root, issuing key, and a clock that stands until it is moved. The root and issuing keys sign whatever is
/// asked of them, also what is wrong.
#[derive(Debug)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// Its clock.
    pub clock: Clock,
    /// The key of the root.
    pub root_key: SigningKey,
    /// The root certificate.
    pub root: CertificateDer<'static>,
    /// The key that issues credentials and signs status, policy and routes.
    pub issuing_key: SigningKey,
    /// Its certificate.
    pub issuing: CertificateDer<'static>,
}

/// What a status list is to say of one subject.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// Whom it is about.
    pub subject: Subject,
    /// How that stands.
    pub state: State,
}

impl Site {
    /// A site whose clock stands at the system's present time.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::with_clock(name, Clock::manual(Clock::system().now()))
    }

    /// A site with this clock.
    #[must_use]
    pub fn with_clock(name: &str, clock: Clock) -> Self {
        let now = clock.now();
        let validity = (now.plus_seconds(-400 * DAY), now.plus_seconds(7_300 * DAY));
        let (root_key, issuing_key) = (SigningKey::generate(), SigningKey::generate());
        let root = CertificateBuilder::authority(&format!("{name} root"), &root_key, 1, validity);
        let issuing = CertificateBuilder::authority(&format!("{name} issuing"), &issuing_key, 0, validity)
            .sign(&root.subject, &root_key);
        let root = root.self_signed(&root_key);
        Self { name: name.to_owned(), clock, root_key, root, issuing_key, issuing }
    }

    /// The first 16 bytes of the SHA-256 of the root certificate, as in enrolment codes.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 16] {
        let hash = sha256(&self.root);
        std::array::from_fn(|index| hash[index])
    }

    /// A chain for `key`: the device's certificate and the issuing one.
    #[must_use]
    pub fn issue(
        &self,
        device: &str,
        roles: &[Role],
        key: &SigningKey,
        validity: (Time, Time),
    ) -> Vec<CertificateDer<'static>> {
        let own = CertificateBuilder::device(&self.name, device, key, Roles::of(roles), validity);
        vec![self.sign(&own), self.issuing.clone()]
    }

    /// The certificate, signed by the issuing key.
    #[must_use]
    pub fn sign(&self, certificate: &CertificateBuilder) -> CertificateDer<'static> {
        let issuer = Certificate::from_der(&self.issuing).expect("our own certificate");
        certificate.sign(issuer.subject().der(), &self.issuing_key)
    }

    /// Valid since yesterday, for 90 days more.
    #[must_use]
    pub fn present(&self) -> (Time, Time) {
        let now = self.clock.now();
        (now.plus_seconds(-DAY), now.plus_seconds(90 * DAY))
    }

    /// Expired for ten days, which is within the default policy's grace.
    #[must_use]
    pub fn past(&self) -> (Time, Time) {
        let now = self.clock.now();
        (now.plus_seconds(-100 * DAY), now.plus_seconds(-10 * DAY))
    }

    /// A device with a new key. The chain of one with the role `hub` has the root certificate too, as hubs show it.
    #[must_use]
    pub fn identity(&self, device: &str, roles: &[Role], validity: (Time, Time)) -> Identity {
        let key = Arc::new(SigningKey::generate());
        let mut chain = self.issue(device, roles, &key, validity);
        if roles.contains(&Role::Hub) {
            chain.push(self.root.clone());
        }
        Identity::new(key, chain).expect("a chain for this key")
    }

    /// The same in a store that forgets.
    #[must_use]
    pub fn store(&self, device: &str, roles: &[Role]) -> IdentityStore {
        IdentityStore::in_memory(Some(self.identity(device, roles, self.present())))
    }

    /// The key that status lists speak for: the root's.
    #[must_use]
    pub fn authority(&self) -> KeyId {
        self.root_key.key_id()
    }

    /// The site list: the root as the one authority, the issuing key for every service.
    #[must_use]
    pub fn list(&self, version: u64) -> Vec<u8> {
        self.list_with(version, AuthorityState::Listed)
    }

    /// The site list with the root in this state.
    #[must_use]
    pub fn list_with(&self, version: u64, state: AuthorityState) -> Vec<u8> {
        let now = self.clock.now();
        let root = Certificate::from_der(&self.root).expect("our own certificate");
        let heading =
            Heading { version, ..Heading::first(ListKind::Site, &self.name, now, now.plus_seconds(30 * DAY)) };
        let authority = Authority {
            state,
            since: now,
            ..Authority::for_everything(
                self.authority(),
                AuthorityKind::Site,
                &self.name,
                root.subject().der(),
                self.root_key.spki(),
            )
        };
        let service = Service {
            key: self.issuing_key.key_id(),
            spki: self.issuing_key.spki(),
            purposes: Purposes::of(&Purpose::ALL),
            authority: self.authority(),
            until: None,
        };
        let member = Member { key: self.authority(), spki: self.root_key.spki(), name: &self.name };
        let content =
            Content { heading, members: &[member], recovery: &[], authorities: &[authority], services: &[service] };
        let (mut payload, mut out) = (Vec::new(), Vec::new());
        content.encode(&mut payload).expect("a list");
        let signers = [(self.authority(), Algorithm::Es256)];
        cose::sign(&payload, ContentType::LIST, &signers, &mut out, |_, parts| {
            Ok::<_, Infallible>(self.root_key.sign_cose(&parts))
        })
        .expect("signed");
        out
    }

    /// The status list with this epoch.
    #[must_use]
    pub fn status(&self, epoch: u64, all: &[Status]) -> Vec<u8> {
        let now = self.clock.now();
        let heading = status::Heading {
            authority: self.authority(),
            recovery_epoch: 0,
            epoch,
            issued: now,
            next: now.plus_seconds(DAY),
        };
        let reason = Reason::UNSPECIFIED;
        let mut records: Vec<Record> = all
            .iter()
            .map(|Status { subject, state }| Record { subject: *subject, state: *state, reason, since: now, epoch })
            .collect();
        records.sort_by_key(|record| record.subject);
        let mut payload = Vec::new();
        StatusContent { heading, records: &records }.encode(&mut payload).expect("a status list");
        self.sign1(&payload, ContentType::STATUS)
    }

    /// The design's policy, as this version.
    #[must_use]
    pub fn policy(&self, version: u64) -> Vec<u8> {
        let mut draft = Draft::default();
        draft.version = version;
        draft.issued = self.clock.now();
        let mut payload = Vec::new();
        let Ok(()) = Policy::new(draft).expect("a policy").encode(&mut payload);
        self.sign1(&payload, ContentType::POLICY)
    }

    /// The signed routing table.
    #[must_use]
    pub fn routes(&self, table: &RoutingTable) -> Vec<u8> {
        let key = self.issuing_key.key_id();
        table.sign(key, |parts| Ok::<_, Infallible>(self.issuing_key.sign_cose(&parts))).expect("signed")
    }

    /// Any payload, signed by the issuing key.
    #[must_use]
    pub fn sign1(&self, payload: &[u8], content_type: ContentType) -> Vec<u8> {
        let (key, place, mut out) = (self.issuing_key.key_id(), Place::Header(content_type), Vec::new());
        cose::sign1(payload, place, Algorithm::Es256, key.as_bytes(), &mut out, |parts| {
            Ok::<_, Infallible>(self.issuing_key.sign_cose(&parts))
        })
        .expect("signed");
        out
    }

    /// What a hospital's node of this site knows: root, list, an empty status list and the policy, each as version 1.
    #[must_use]
    pub fn knowledge(&self) -> Arc<KnowledgeBase> {
        self.teach(KnowledgeBase::in_memory(self.clock.clone(), Setting::Hospital))
    }

    /// The same, kept in `directory`.
    #[must_use]
    pub fn knowledge_in(&self, directory: &Path) -> Arc<KnowledgeBase> {
        self.teach(KnowledgeBase::open(directory, self.clock.clone(), Setting::Hospital).expect("opened"))
    }

    fn teach(&self, knowledge: Arc<KnowledgeBase>) -> Arc<KnowledgeBase> {
        knowledge.pin_root(&self.root).expect("pinned");
        knowledge.accept(Kind::SiteList, &self.list(1)).expect("list");
        knowledge.accept(Kind::Status, &self.status(1, &[])).expect("status");
        knowledge.accept(Kind::Policy, &self.policy(1)).expect("policy");
        knowledge
    }
}
