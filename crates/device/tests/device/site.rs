//! A site that signs whatever is asked of it: credentials, lists, status, tickets, bonds.

use crate::platform::{Dice, point};
use medlock_proto::crypto::OwnKey;
use medlock_rustcrypto::{RustCrypto, SoftwareKey};
use medlock_trust::bond::{Bond, PatientContext, SignedBond};
use medlock_trust::c509::{NewExtension, Subject as Name509, Template};
use medlock_trust::cose::{self, Algorithm, ContentType, Place};
use medlock_trust::crypto::{KeyAlgorithm, PublicKey, SignatureAlgorithm};
use medlock_trust::list::{Authority, AuthorityState, Content, Heading, ListKind, Member, Purpose, Purposes, Service};
use medlock_trust::path::AuthorityKind;
use medlock_trust::role::{Role, Roles};
use medlock_trust::status::{self, Reason, Record, State, StatusContent, Subject, TicketContent};
use medlock_trust::x509::{Certificate, KeyUsage, Name, ids};
use medlock_trust::{CredentialId, DeviceId, DeviceName, KeyId, Operations, Policy, Time, policy};

pub(crate) const DAY: i64 = 86_400;
/// 2026-01-01.
pub(crate) const START: Time = Time::from_unix(1_767_225_600);

pub(crate) struct Signer {
    pub(crate) key: SoftwareKey,
    pub(crate) spki: Vec<u8>,
    pub(crate) id: KeyId,
    /// A DER name.
    pub(crate) name: Vec<u8>,
}

impl Signer {
    pub(crate) fn new(name: &str, dice: &mut Dice) -> Self {
        let key = dice.key();
        let mut spki =
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\0"
                .to_vec();
        spki.extend(point(&key));
        let id = KeyId::of(&[spki.as_slice()], &RustCrypto);
        let length = u8::try_from(name.len()).unwrap();
        let mut der = vec![0x30, length + 11, 0x31, length + 9, 0x30, length + 7, 6, 3, 0x55, 4, 3, 0x0c, length];
        der.extend(name.bytes());
        Self { key, spki, id, name: der }
    }

    pub(crate) fn sign(&self, parts: &[&[u8]]) -> Result<[u8; 64], ()> {
        self.key.sign(&parts).map_err(drop)
    }

    fn sign1(&self, payload: &[u8], place: Place, key: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        cose::sign1(payload, place, Algorithm::Es256, key, &mut out, |parts| self.sign(parts)).unwrap();
        out
    }

    pub(crate) fn sign_as(&self, payload: &[u8], content_type: ContentType) -> Vec<u8> {
        self.sign1(payload, Place::Header(content_type), self.id.as_bytes())
    }

    /// A credential, C509 type 2.
    pub(crate) fn issue(&self, device: &str, roles: &[Role], key: &SoftwareKey, validity: (Time, Time)) -> Vec<u8> {
        self.issue_bits(device, roles, &point(key), validity)
    }

    pub(crate) fn issue_bits(&self, device: &str, roles: &[Role], bits: &[u8], validity: (Time, Time)) -> Vec<u8> {
        self.issue_for(device, roles, bits, validity, 1 | 1 << 4)
    }

    /// A credential whose key may be used as `usage` says: bit 0 for signing, bit 4 for agreement.
    pub(crate) fn issue_for(
        &self,
        device: &str,
        roles: &[Role],
        bits: &[u8],
        validity: (Time, Time),
        usage: u16,
    ) -> Vec<u8> {
        let template = Template {
            serial_number: &[1, 2, 3],
            algorithm: SignatureAlgorithm::EcdsaSha256,
            issuer: Some(Name::from_der(&self.name).unwrap()),
            not_before: validity.0,
            not_after: validity.1,
            subject: Name509::Attributes(&[(ids::SERIAL_NUMBER, device)]),
            key: PublicKey { algorithm: KeyAlgorithm::P256, bits },
            extensions: &[
                NewExtension::KeyUsage(KeyUsage::from_bits(usage).unwrap()),
                NewExtension::Role(Roles::of(roles), None),
            ],
        };
        let mut out = [0; 512];
        template.sign(&mut out, |tbs| self.key.sign(&[tbs]).map_err(drop)).unwrap().to_vec()
    }
}

pub(crate) struct Site {
    pub(crate) root: Signer,
    pub(crate) service: Signer,
    pub(crate) maker: Signer,
    pub(crate) maker_service: Signer,
    pub(crate) version: u64,
    pub(crate) epoch: u64,
    pub(crate) two_sites: bool,
    pub(crate) recovery_epoch: u64,
}

impl Site {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self {
            root: Signer::new("site", dice),
            service: Signer::new("service", dice),
            maker: Signer::new("maker", dice),
            maker_service: Signer::new("makerservice", &mut Dice(777)),
            version: 0,
            epoch: 0,
            two_sites: false,
            recovery_epoch: 0,
        }
    }

    /// Those whose credentials are believed.
    pub(crate) fn anchors(&self) -> Vec<Authority<'_>> {
        vec![
            authority(&self.root, AuthorityKind::Site, AuthorityState::Listed),
            authority(&self.maker, AuthorityKind::Maker, AuthorityState::Listed),
        ]
    }

    /// The next version of the site's list.
    pub(crate) fn list(&mut self, issued: Time) -> Vec<u8> {
        self.list_with(issued, AuthorityState::Listed)
    }

    pub(crate) fn list_with(&mut self, issued: Time, maker: AuthorityState) -> Vec<u8> {
        self.version += 1;
        let Self { root, service, maker: maker_key, .. } = &*self;
        let mut services = vec![Service {
            key: service.id,
            spki: &service.spki,
            purposes: Purposes::of(&Purpose::ALL),
            authority: root.id,
            until: None,
        }];
        if self.two_sites {
            services.push(Service {
                key: self.maker_service.id,
                spki: &self.maker_service.spki,
                purposes: Purposes::of(&[Purpose::Status]),
                authority: maker_key.id,
                until: None,
            });
            services.sort_by_key(|service| service.key);
        }
        let content = Content {
            heading: Heading {
                version: self.version,
                recovery_epoch: self.recovery_epoch,
                ..Heading::first(ListKind::Site, "site", issued, issued.plus_seconds(400 * DAY))
            },
            members: &[Member { key: root.id, spki: &root.spki, name: "root" }],
            recovery: &[],
            authorities: &[
                authority(root, AuthorityKind::Site, AuthorityState::Listed),
                authority(maker_key, if self.two_sites { AuthorityKind::Site } else { AuthorityKind::Maker }, maker),
            ],
            services: &services,
        };
        let mut payload = Vec::new();
        content.encode(&mut payload).unwrap();
        let mut out = Vec::new();
        cose::sign(&payload, ContentType::LIST, &[(root.id, Algorithm::Es256)], &mut out, |_, parts| root.sign(parts))
            .unwrap();
        out
    }

    /// The next status list, which says this of these.
    pub(crate) fn status(&mut self, issued: Time, of: &[(Subject, State)]) -> Vec<u8> {
        self.epoch += 1;
        let mut records: Vec<Record> = of
            .iter()
            .map(|(subject, state)| Record {
                subject: *subject,
                state: *state,
                reason: Reason::UNSPECIFIED,
                since: issued,
                epoch: self.epoch,
            })
            .collect();
        records.sort_by_key(|record| record.subject);
        let heading = status::Heading {
            authority: self.root.id,
            recovery_epoch: self.recovery_epoch,
            epoch: self.epoch,
            issued,
            next: issued.plus_seconds(DAY),
        };
        let mut payload = Vec::new();
        StatusContent { heading, records: &records }.encode(&mut payload).unwrap();
        self.service.sign_as(&payload, ContentType::STATUS)
    }

    /// The next status list, with so many records of devices that are nowhere.
    pub(crate) fn long_status(&mut self, issued: Time, records: usize) -> Vec<u8> {
        let of: Vec<_> = (0..records)
            .map(|number| (Subject::Device(device_id(&format!("nowhere-{number}"))), State::Suspended))
            .collect();
        self.status(issued, &of)
    }

    pub(crate) fn status_of_maker(&mut self, issued: Time) -> Vec<u8> {
        let heading = status::Heading {
            authority: self.maker.id,
            recovery_epoch: 0,
            epoch: 1,
            issued,
            next: issued.plus_seconds(DAY),
        };
        let mut payload = Vec::new();
        StatusContent { heading, records: &[] }.encode(&mut payload).unwrap();
        self.maker_service.sign_as(&payload, ContentType::STATUS)
    }

    /// A policy that says what the built-in one does.
    pub(crate) fn policy(&self, issued: Time, version: u64) -> Vec<u8> {
        let mut draft = policy::Draft::default();
        (draft.version, draft.issued, draft.recovery_epoch) = (version, issued, self.recovery_epoch);
        let mut payload = Vec::new();
        Policy::new(draft).unwrap().encode(&mut payload).unwrap();
        self.service.sign_as(&payload, ContentType::POLICY)
    }

    /// A ticket that answers a number.
    pub(crate) fn ticket(&self, issued: Time, credential: CredentialId, nonce: &[u8]) -> Vec<u8> {
        let content = TicketContent {
            credential,
            state: None,
            reason: Reason::UNSPECIFIED,
            epoch: self.epoch,
            issued,
            nonce: Some(nonce),
        };
        let mut payload = Vec::new();
        content.encode(&mut payload).unwrap();
        self.service.sign1(&payload, TicketContent::PLACE, TicketContent::key_hint(&self.service.id))
    }

    pub(crate) fn ticket_of(
        &self,
        issued: Time,
        epoch: u64,
        credential: CredentialId,
        state: Option<State>,
    ) -> Vec<u8> {
        self.ticket_with(issued, epoch, credential, state, None)
    }

    pub(crate) fn ticket_with(
        &self,
        issued: Time,
        epoch: u64,
        credential: CredentialId,
        state: Option<State>,
        nonce: Option<&[u8]>,
    ) -> Vec<u8> {
        let content = TicketContent { credential, state, reason: Reason::UNSPECIFIED, epoch, issued, nonce };
        let mut payload = Vec::new();
        content.encode(&mut payload).unwrap();
        self.service.sign1(&payload, TicketContent::PLACE, TicketContent::key_hint(&self.service.id))
    }

    pub(crate) fn bond(&self, device: DeviceId, controller: DeviceId, operations: Operations, epoch: u64) -> Vec<u8> {
        let bond = Bond { controller, patient: PatientContext([7; 16]), operations, epoch };
        let signed = SignedBond { device, bond, lowest_epoch: 0, issued: START };
        let mut payload = Vec::new();
        signed.encode(&mut payload).unwrap();
        self.service.sign_as(&payload, ContentType::BOND)
    }
}

fn authority(signer: &Signer, kind: AuthorityKind, state: AuthorityState) -> Authority<'_> {
    Authority {
        state,
        since: START,
        ..Authority::for_everything(signer.id, kind, "authority", &signer.name, &signer.spki)
    }
}

pub(crate) fn device_id(name: &str) -> DeviceId {
    DeviceId::of(&DeviceName::new(name).unwrap(), &RustCrypto)
}

pub(crate) fn credential_id(certificate: &[u8]) -> CredentialId {
    Certificate::read(certificate).unwrap().credential_id(&RustCrypto)
}
