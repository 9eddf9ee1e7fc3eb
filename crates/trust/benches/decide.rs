//! How long a verdict takes, and the verification of what it rests on.
//!
//! The knowledge is that of a hospital's sidecar: a site list with 8 authorities, a status list with 1,000 records.
//! `cargo bench -p medlock-trust --bench decide`.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair, UnparsedPublicKey};
use divan::{Bencher, black_box};
use medlock_trust::cose::{self, Algorithm, ContentType, Place};
use medlock_trust::crypto::{Crypto, KeyAlgorithm, Message, PublicKey, Signature, SignatureAlgorithm, VerifyError};
use medlock_trust::knowledge::{Knowledge, Setting};
use medlock_trust::list::{self, Authority, List, ListKind, Member, Pinned, Purpose, Purposes, Service};
use medlock_trust::path::{self, AuthorityKind};
use medlock_trust::role::DeviceTypes;
use medlock_trust::status::{self, Reason, Record, State, StatusContent, StatusList, Subject, Ticket, TicketContent};
use medlock_trust::x509::Certificate;
use medlock_trust::{
    Anchor, Bond, Budget, CredentialId, Denied, DeviceId, DeviceName, Identified, Interval, KeyId, Operation,
    Operations, Policy, Role, Roles, Time, Verdict, bond, decide,
};

fn main() {
    divan::main();
}

struct Provider;

impl Crypto for Provider {
    fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        key: PublicKey<'_>,
        message: &dyn Message,
        signature: Signature<'_>,
    ) -> Result<(), VerifyError> {
        let (verification, bytes) = match (algorithm, key.algorithm, signature) {
            (SignatureAlgorithm::EcdsaSha256, KeyAlgorithm::P256, Signature::Cose(bytes)) => {
                (&signature::ECDSA_P256_SHA256_FIXED, bytes)
            }
            (SignatureAlgorithm::EcdsaSha256, KeyAlgorithm::P256, Signature::X509(bytes)) => {
                (&signature::ECDSA_P256_SHA256_ASN1, bytes)
            }
            _ => return Err(VerifyError::Unsupported),
        };
        let key = UnparsedPublicKey::new(verification, key.bits);
        key.verify(&whole(message), bytes).map_err(|_| VerifyError::Invalid)
    }

    fn sha256(&self, message: &dyn Message) -> [u8; 32] {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &whole(message));
        digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    fn decompress<'o>(&self, _: KeyAlgorithm, _: &[u8], _: &'o mut [u8; 97]) -> Option<&'o [u8]> {
        None
    }
}

fn whole(message: &dyn Message) -> Vec<u8> {
    let mut whole = Vec::new();
    message.feed(&mut |part| whole.extend_from_slice(part));
    whole
}

struct Key {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
    id: KeyId,
}

impl Key {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).expect("random bytes");
        let prefix: &[u8] =
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\0";
        let spki = [prefix, pair.public_key().as_ref()].concat();
        let id = KeyId::of(&[spki.as_slice()], &Provider);
        Self { pair, spki, id }
    }

    fn sign(&self, message: &[&[u8]]) -> Vec<u8> {
        let signature = self.pair.sign(&SystemRandom::new(), &message.concat()).expect("random bytes");
        signature.as_ref().to_vec()
    }

    fn sign1(&self, payload: &[u8], place: Place, key: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        cose::sign1(payload, place, Algorithm::Es256, key, &mut out, |parts| Ok::<_, ()>(self.sign(parts)))
            .expect("a P-256 signature");
        out
    }
}

const NOW: Time = Time::from_unix(1_800_000_000);

/// A chain of root, issuing key and device, from another library.
fn chain() -> (Vec<Vec<u8>>, Vec<u8>) {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().expect("random bytes"))
    };
    let (root, root_key) = authority("root");
    let root_der = root.self_signed(&root_key).expect("a certificate").der().to_vec();
    let root = Issuer::new(root, root_key);
    let (issuing, issuing_key) = authority("issuing");
    let issuing_der = issuing.signed_by(&issuing_key, &root).expect("a certificate").der().to_vec();
    let issuing = Issuer::new(issuing, issuing_key);
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name.push(DnType::CommonName, "ct-1");
    let leaf_key = KeyPair::generate().expect("random bytes");
    let leaf_der = leaf.signed_by(&leaf_key, &issuing).expect("a certificate").der().to_vec();
    (vec![leaf_der, issuing_der], root_der)
}

struct Scene {
    list: Vec<u8>,
    status: Vec<u8>,
    ticket: Vec<u8>,
    peer: Identified,
    root: KeyId,
}

impl Scene {
    fn new() -> Self {
        let (chain, root) = chain();
        let root = Certificate::from_der(&root).expect("a certificate");
        let anchor = Anchor::for_everything(&root, AuthorityKind::Site, &Provider).expect("a P-256 key");
        let slices: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let path = path::validate(&slices, &[anchor], &mut Budget::default(), &Provider).expect("a valid chain");
        let name = DeviceName::new("ct-1").expect("a name");
        let peer = Identified::danger_assume(&path, name, Roles::of(&[Role::Modality, Role::Controller]), &Provider)
            .expect("a peer");
        let (member, service) = (Key::new(), Key::new());
        let others: Vec<Key> = (0..7).map(|_| Key::new()).collect();
        let authority = |key: KeyId, spki| Authority {
            device_types: DeviceTypes::Listed(&[0, 1, 0, 2, 0, 3]),
            ..Authority::for_everything(key, AuthorityKind::Site, "General Hospital", root.subject().der(), spki)
        };
        let mut authorities: Vec<_> = others.iter().map(|key| authority(key.id, &key.spki)).collect();
        authorities.push(Authority { device_types: DeviceTypes::Every, ..authority(anchor.key_id, root.spki()) });
        let list = site_list(&member, &service, &authorities, anchor.key_id);
        let status = status_list(&service, anchor.key_id);
        let content = TicketContent {
            credential: peer.credential(),
            state: None,
            reason: Reason::UNSPECIFIED,
            epoch: 9,
            issued: NOW,
            nonce: Some(&[5; 16]),
        };
        let mut payload = Vec::new();
        content.encode(&mut payload).expect("a ticket");
        let ticket = service.sign1(&payload, TicketContent::PLACE, TicketContent::key_hint(&service.id));
        Self { list, status, ticket, peer, root: member.id }
    }
}

fn site_list(member: &Key, service: &Key, authorities: &[Authority<'_>], authority: KeyId) -> Vec<u8> {
    let heading = list::Heading {
        version: 3,
        ..list::Heading::first(ListKind::Site, "General Hospital", NOW, NOW.plus_seconds(86_400))
    };
    let members = [Member { key: member.id, spki: &member.spki, name: "root" }];
    let purposes = Purposes::of(&[Purpose::Status, Purpose::Policy, Purpose::Routes]);
    let services = [Service { key: service.id, spki: &service.spki, purposes, authority, until: None }];
    let mut payload = Vec::new();
    list::Content { heading, members: &members, recovery: &[], authorities, services: &services }
        .encode(&mut payload)
        .expect("a list");
    let mut out = Vec::new();
    let signers = [(member.id, Algorithm::Es256)];
    cose::sign(&payload, ContentType::LIST, &signers, &mut out, |_, parts| Ok::<_, ()>(member.sign(parts)))
        .expect("a P-256 signature");
    out
}

fn status_list(service: &Key, authority: KeyId) -> Vec<u8> {
    let mut records: Vec<Record> = (0..1_000_u32)
        .map(|number| {
            let hash = Provider.sha256(&[number.to_be_bytes().as_slice()]);
            let id = *hash.first_chunk().expect("32 bytes");
            let subject = match number % 3 {
                0 => Subject::Device(DeviceId::from_bytes(id)),
                _ => Subject::Credential(CredentialId::from_bytes(id)),
            };
            Record { subject, state: State::Compromised, reason: Reason::LOST, since: NOW, epoch: 1 }
        })
        .collect();
    records.sort_by_key(|record| record.subject);
    let heading = status::Heading { authority, recovery_epoch: 0, epoch: 9, issued: NOW, next: NOW };
    let mut payload = Vec::new();
    StatusContent { heading, records: &records }.encode(&mut payload).expect("a status list");
    service.sign1(&payload, Place::Header(ContentType::STATUS), service.id.as_bytes())
}

#[divan::bench(args = [Operation::Store, Operation::Treat])]
fn verdict(bencher: Bencher<'_, '_>, operation: Operation) {
    let scene = Scene::new();
    let lists = [List::danger_open(&scene.list).expect("a list")];
    let status = [StatusList::danger_open(&scene.status).expect("a status list")];
    let knowledge = Knowledge {
        lists: &lists,
        status: &status,
        ..Knowledge::nothing(Interval::exactly(NOW.plus_seconds(60)), Setting::Hospital)
    };
    let bond = Bond {
        controller: scene.peer.device(),
        patient: bond::PatientContext([0; 16]),
        operations: Operations::of(&Operation::ALL),
        epoch: 0,
    };
    let policy = Policy::default();
    let verdict = decide(&scene.peer, operation, &knowledge, &policy, Some(&bond));
    assert!(!matches!(verdict, Verdict::Deny(Denied { code, .. }) if code != decide::Code::NotYetValid), "{verdict:?}");
    bencher.bench_local(|| {
        decide(black_box(&scene.peer), operation, black_box(&knowledge), &policy, Some(&bond)).is_allowed()
    });
}

#[divan::bench]
fn find_standing(bencher: Bencher<'_, '_>) {
    let scene = Scene::new();
    let list = List::danger_open(&scene.list).expect("a list");
    let key = scene.peer.authority().expect("an anchor");
    bencher.bench_local(|| black_box(&list).standing(black_box(key)).is_some());
}

#[divan::bench]
fn find_record(bencher: Bencher<'_, '_>) {
    let scene = Scene::new();
    let status = StatusList::danger_open(&scene.status).expect("a status list");
    let subject = Subject::Credential(scene.peer.credential());
    bencher.bench_local(|| black_box(&status).record(black_box(subject)).is_some());
}

#[divan::bench]
fn open_list_and_status(bencher: Bencher<'_, '_>) {
    let scene = Scene::new();
    bencher.bench_local(|| {
        let list = List::danger_open(black_box(&scene.list)).expect("a list");
        let status = StatusList::danger_open(black_box(&scene.status)).expect("a status list");
        list.heading().version + status.heading().epoch
    });
}

#[divan::bench]
fn verify_list(bencher: Bencher<'_, '_>) {
    let scene = Scene::new();
    let pinned = Pinned::Root(scene.root);
    bencher.bench_local(|| {
        List::verify_pinned(black_box(&scene.list), &pinned, Interval::UNKNOWN, &Provider)
            .expect("a list")
            .heading()
            .version
    });
}

#[divan::bench]
fn verify_status_list(bencher: Bencher<'_, '_>) {
    let scene = Scene::new();
    let list = List::danger_open(&scene.list).expect("a list");
    bencher
        .bench_local(|| StatusList::verify(black_box(&scene.status), &list, &Provider).expect("a status list").len());
}

#[divan::bench]
fn verify_ticket(bencher: Bencher<'_, '_>) {
    let scene = Scene::new();
    let list = List::danger_open(&scene.list).expect("a list");
    bencher.bench_local(|| Ticket::verify(black_box(&scene.ticket), &list, &Provider).expect("a ticket").authority());
}
