//! Who gets a credential, and what is in it.

use crate::fixture::{FROM, Site, ct, issued, noon, refused};
use medlock_authority::admin::{Request, Response};
use medlock_authority::enrolment::{Answer, RefusalKind};
use medlock_authority::provision::{BirthProfileConfig, Row};
use medlock_authority::registry::DeviceConfig;
use medlock_authority::signer::InProcess;
use medlock_authority::{Authority, AuthorityConfig};
use medlock_node::clock::Clock;
use medlock_node::enrol::{Code, certificate_request};
use medlock_node::provider::{AwsLc, SigningKey};
use medlock_trust::c509;
use medlock_trust::cose::{self, Algorithm, ContentType};
use medlock_trust::crypto::SignatureAlgorithm;
use medlock_trust::list::{self, Authority as Listed, AuthorityState, Content, Heading, ListKind, Member};
use medlock_trust::path::AuthorityKind;
use medlock_trust::x509::{Certificate, GeneralName, SignedForm};
use medlock_trust::{KeyId, Role, Roles, Time};
use std::sync::Arc;

/// Shows REQ-AUTH-01.
#[test]
fn names_and_roles_come_from_the_register_and_never_from_the_request() {
    let site = Site::new();
    let key = SigningKey::generate();
    site.register("ct-1");
    let code = site.code("ct-1");
    // The request wants to be somebody else: SEQUENCE { SET { SEQUENCE { serialNumber "pump-9" } } }.
    let subject = [&[0x30, 17, 0x31, 15, 0x30, 13, 0x06, 3, 0x55, 4, 5, 0x13, 6][..], b"pump-9"].concat();
    let request = certificate_request(&key, Some(&subject));
    let ask = || site.authority.enrol_by_code(&code.user(), &code.password(), &request, FROM).unwrap();
    assert!(matches!(ask(), Answer::Waits { .. }));
    let pending = site.pending();
    assert!(pending[0].claims.contains("pump-9"), "the engineer sees what it says: {}", pending[0].claims);
    assert_eq!(pending[0].device.as_deref(), Some("ct-1"));
    assert_eq!(pending[0].address, FROM);
    site.approve_all();
    let der = issued(ask());
    let certificate = Certificate::from_der(&der).unwrap();
    let who = site.identify(&der);
    assert_eq!(who.device_name().as_str(), "ct-1");
    assert_eq!(who.roles(), Roles::of(&[Role::Modality]));
    assert_eq!(who.device_type().map(|kind| kind.0), Some(7));
    let names: Vec<_> = certificate.extensions().subject_alt_names().collect();
    assert_eq!(names, [GeneralName::Dns("ct-1.example.org"), GeneralName::Ip(&[10, 0, 0, 7])]);
    assert!(!certificate.subject().to_string().contains("pump-9"));
    let usage = certificate.extensions().key_usage().unwrap();
    assert!(usage.digital_signature() && usage.key_agreement() && !usage.key_cert_sign());
    assert_eq!(certificate.serial_number().len(), 16);
}

/// Shows REQ-AUTH-02.
#[test]
fn a_code_waits_for_a_person_and_answers_the_same_key_again_with_the_same_certificate() {
    let site = Site::new();
    let key = SigningKey::generate();
    site.register("ct-1");
    let code = site.code("ct-1");
    assert!(matches!(site.by_code(&code, &key), Answer::Waits { .. }));
    assert!(matches!(site.by_code(&code, &key), Answer::Waits { .. }));
    assert_eq!(site.pending().len(), 1, "a repeated request is one request");
    assert_eq!(site.state("ct-1").0, "waiting");
    site.approve_all();
    let first = issued(site.by_code(&code, &key));
    assert_eq!(issued(site.by_code(&code, &key)), first);
    assert_eq!(site.state("ct-1"), ("enrolled".into(), vec!["good".into()]));
    assert!(site.alarms().is_empty());
}

/// Shows REQ-AUTH-03.
#[test]
fn a_code_that_is_used_with_another_key_raises_an_alarm_and_is_void() {
    let site = Site::new();
    let (key, thief) = (SigningKey::generate(), SigningKey::generate());
    site.register("ct-1");
    for confirmed in [false, true] {
        let code = site.code("ct-1");
        assert!(matches!(site.by_code(&code, &key), Answer::Waits { .. }));
        if confirmed {
            site.approve_all();
        }
        assert_eq!(refused(site.by_code(&code, &thief)).0, RefusalKind::Unauthorized);
        assert_eq!(refused(site.by_code(&code, &key)).0, RefusalKind::Unauthorized, "the code is void for both");
        assert!(site.pending().is_empty());
    }
    assert_eq!(site.alarms(), ["code-reused"], "one alarm, counted");
}

/// Shows REQ-AUTH-04.
#[test]
fn a_code_is_void_after_three_wrong_secrets_and_after_its_time() {
    let site = Site::new();
    let key = SigningKey::generate();
    site.register("ct-1");
    let code = site.code("ct-1");
    let wrong = Code::from_parts(code.id(), &[9; 12], &code.root());
    for _ in 0..3 {
        assert_eq!(refused(site.by_code(&wrong, &key)).0, RefusalKind::Unauthorized);
    }
    assert_eq!(refused(site.by_code(&code, &key)).0, RefusalKind::Unauthorized, "the right secret came too late");
    assert_eq!(site.alarms(), ["code-guessed"]);

    let code = site.code("ct-1");
    let wrong = Code::from_parts(code.id(), &[9; 12], &code.root());
    refused(site.by_code(&wrong, &key));
    refused(site.by_code(&wrong, &key));
    assert!(matches!(site.by_code(&code, &key), Answer::Waits { .. }), "two wrong tries are forgiven");

    let code = site.code("ct-1");
    site.clock.advance(86_401);
    assert_eq!(refused(site.by_code(&code, &key)).0, RefusalKind::Unauthorized);
    let unknown = Code::new(&code.root());
    assert_eq!(refused(site.by_code(&unknown, &key)).0, RefusalKind::Unauthorized);
}

#[test]
fn a_new_code_voids_the_one_before_and_a_rejected_request_stays_rejected() {
    let site = Site::new();
    let key = SigningKey::generate();
    site.register("ct-1");
    let old = site.code("ct-1");
    let new = site.code("ct-1");
    assert_eq!(refused(site.by_code(&old, &key)).0, RefusalKind::Unauthorized);
    assert!(matches!(site.by_code(&new, &key), Answer::Waits { .. }));
    let id = site.pending()[0].id.clone();
    site.ask(Request::Reject { id: id.clone() });
    assert_eq!(refused(site.by_code(&new, &key)).0, RefusalKind::Unauthorized);
    assert!(site.refuses(Request::Approve { id, device: None }).contains("waiting request"));
}

#[test]
fn a_request_without_possession_of_its_key_gets_nothing() {
    let site = Site::new();
    site.register("ct-1");
    let code = site.code("ct-1");
    let mut request = certificate_request(&SigningKey::generate(), None);
    *request.last_mut().unwrap() ^= 1;
    for bad in [&request[..], b"", b"0\x03abc"] {
        let answer = site.authority.enrol_by_code(&code.user(), &code.password(), bad, FROM).unwrap();
        assert_eq!(refused(answer).0, RefusalKind::Malformed);
    }
}

/// Shows REQ-AUTH-05.
#[test]
fn an_expired_credential_renews_and_a_lost_answer_is_fetched_again() {
    let site = Site::new();
    let (old, new) = (SigningKey::generate(), SigningKey::generate());
    let first = site.enrol("ct-1", &old);
    site.clock.advance(400 * 86_400);
    assert_eq!(site.state("ct-1").1, ["expired"]);
    let second = issued(site.renew(&first, &new));
    assert_eq!(issued(site.renew(&first, &new)), second, "the same key gets the same certificate");
    let who = site.identify(&second);
    assert_eq!(who.device_name().as_str(), "ct-1");
    assert_eq!(site.state("ct-1").1, ["good", "expired"]);
    // Only its use makes the old one superseded.
    site.seen(&second);
    assert_eq!(site.state("ct-1").1, ["good", "superseded"]);
    let third = issued(site.renew(&second, &new));
    assert_ne!(third, second, "a renewal with the same key is a new credential");
    assert!(site.alarms().is_empty());
}

/// A request as a small device makes it: C509 type 2, signed by the key.
pub(crate) fn small_request(key: &SigningKey) -> Vec<u8> {
    let template = c509::RequestTemplate {
        algorithm: SignatureAlgorithm::EcdsaSha256,
        subject: c509::Subject::Attributes(&[]),
        key: key.public_key(),
        extensions: &[],
        challenge_password: None,
    };
    let mut space = [0; 512];
    template.sign(&mut space, |message| Ok::<_, std::convert::Infallible>(key.sign_cose(&[message]))).unwrap().to_vec()
}

/// Shows REQ-AUTH-30.
#[test]
fn who_asks_in_c509_gets_c509_that_counts_like_x509() {
    let site = Site::new();
    let (key, next) = (SigningKey::generate(), SigningKey::generate());
    site.register("ct-1");
    let code = site.code("ct-1");
    let ask = || site.authority.enrol_by_code(&code.user(), &code.password(), &small_request(&key), FROM).unwrap();
    assert!(matches!(ask(), Answer::Waits { .. }));
    site.approve_all();
    let small = issued(ask());
    let certificate = Certificate::read(&small).unwrap();
    assert_eq!(certificate.form(), SignedForm::Native);
    let usage = certificate.extensions().key_usage().unwrap();
    assert!(usage.digital_signature() && usage.key_agreement() && !usage.key_cert_sign());
    assert_eq!(certificate.key_id(&AwsLc), key.key_id());
    let who = site.identify(&small);
    assert_eq!((who.device_name().as_str(), who.roles()), ("ct-1", Roles::of(&[Role::Modality])));

    let renew = |request: &[u8]| site.authority.renew(&site.identify(&small), &small, request, FROM).unwrap();
    let second = issued(renew(&small_request(&next)));
    assert_eq!(second[0], 0x8b);
    assert_eq!(issued(renew(&small_request(&next))), second, "a lost answer is fetched again");
    assert_eq!(refused(renew(&small_request(&SigningKey::generate()))).0, RefusalKind::Forbidden, "a copy is noticed");

    let mut forged = small_request(&key);
    *forged.last_mut().unwrap() ^= 1;
    let answer = site.authority.enrol_by_code(&code.user(), &code.password(), &forged, FROM).unwrap();
    assert_eq!(refused(answer).0, RefusalKind::Malformed);
}

/// Shows REQ-AUTH-30.
#[test]
fn the_credential_of_a_small_device_is_small() {
    let site = Site::new();
    let key = SigningKey::generate();
    let device = DeviceConfig {
        name: "pump-7".into(),
        roles: vec!["actuator".into()],
        device_type: Some(21),
        ..DeviceConfig::default()
    };
    site.ask(Request::Register { device });
    let code = site.code("pump-7");
    let ask = || site.authority.enrol_by_code(&code.user(), &code.password(), &small_request(&key), FROM).unwrap();
    ask();
    site.approve_all();
    let small = issued(ask());
    let large = issued(site.renew(&small, &SigningKey::generate()));
    println!("C509 {} bytes, X.509 {} bytes", small.len(), large.len());
    // 180 bytes with a site's name of 12 letters; names are never cut.
    let issuer = Certificate::read(&small).unwrap().issuer().to_string();
    let name = issuer.strip_prefix("CN=").expect("a common name alone");
    assert!(small.len() <= 168 + name.len(), "{} bytes, issued by {name}", small.len());
}

/// Shows REQ-AUTH-06.
#[test]
fn two_children_of_one_credential_suspend_both_and_raise_an_alarm() {
    for used in [false, true] {
        let site = Site::new();
        let (old, new, thief) = (SigningKey::generate(), SigningKey::generate(), SigningKey::generate());
        let first = site.enrol("ct-1", &old);
        let second = issued(site.renew(&first, &new));
        if used {
            site.seen(&second);
        }
        assert_eq!(refused(site.renew(&first, &thief)).0, RefusalKind::Forbidden);
        assert_eq!(site.alarms(), ["credential-cloned"]);
        assert_eq!(site.state("ct-1").0, "suspended");
        assert_eq!(refused(site.renew(&second, &new)).0, RefusalKind::Forbidden);
        assert_eq!(refused(site.renew(&first, &old)).0, RefusalKind::Forbidden);
        // A key that is known to be stolen must not be able to suspend its successors.
        site.ask(Request::Restore { device: "ct-1".into(), why: "looked at it".into() });
        let reason = medlock_authority::admin::Reason::KeyCompromise;
        site.ask(Request::Revoke { device: "ct-1".into(), reason, why: "copied".into() });
        let fresh = SigningKey::generate();
        let third = site.enrol_again("ct-1", &fresh);
        refused(site.renew(&first, &thief));
        assert_eq!(site.state("ct-1").0, "enrolled");
        issued(site.renew(&third, &SigningKey::generate()));
    }
}

#[test]
fn a_renewal_keeps_its_subject() {
    let site = Site::new();
    let key = SigningKey::generate();
    let first = site.enrol("ct-1", &key);
    let certificate = Certificate::from_der(&first).unwrap();
    let who = site.identify(&first);
    let other = [&[0x30, 17, 0x31, 15, 0x30, 13, 0x06, 3, 0x55, 4, 5, 0x13, 6][..], b"pump-9"].concat();
    let ask = |subject: &[u8]| {
        let request = certificate_request(&key, Some(subject));
        site.authority.renew(&who, &first, &request, FROM).unwrap()
    };
    assert_eq!(refused(ask(&other)).0, RefusalKind::Malformed);
    issued(ask(certificate.subject().der()));
}

#[test]
fn a_superseded_credential_without_successor_of_its_own_raises_an_alarm() {
    let site = Site::new();
    let (old, new) = (SigningKey::generate(), SigningKey::generate());
    let first = site.enrol("ct-1", &old);
    let second = site.enrol_again("ct-1", &new);
    site.seen(&second);
    assert_eq!(refused(site.renew(&first, &SigningKey::generate())).0, RefusalKind::NeedsCode);
    assert_eq!(site.alarms(), ["superseded-used"]);
    assert_eq!(site.state("ct-1").0, "enrolled");
}

#[test]
fn a_short_lived_credential_is_not_due_for_renewal_when_it_is_made() {
    let site = Site::new();
    let short = DeviceConfig { validity_seconds: Some(20), ..ct("ct-1") };
    site.ask(Request::Register { device: short });
    let der = site.enrol_again("ct-1", &SigningKey::generate());
    let certificate = Certificate::from_der(&der).unwrap();
    assert_eq!(certificate.not_after(), noon().plus_seconds(20));
    let due =
        medlock_node::enrol::Schedule::with_jitter(1.0).renew_at(certificate.not_before(), certificate.not_after());
    assert!(due > noon().plus_seconds(5), "{due}");
}

/// A maker, and an alliance's list that names it.
pub(crate) struct Maker {
    pub(crate) authority: Authority,
    now: Time,
    _dir: tempfile::TempDir,
}

impl Maker {
    pub(crate) fn new() -> Self {
        Self::named("Tomograph AG")
    }

    fn named(name: &str) -> Self {
        Self::at(name, noon())
    }

    /// A maker whose time stands still.
    pub(crate) fn at(name: &str, now: Time) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let signer = Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
        let config = AuthorityConfig::maker(dir.path(), name);
        let authority = Authority::open(&config, Clock::manual(now), signer).unwrap();
        Self { authority, now, _dir: dir }
    }

    pub(crate) fn birth(&self, serial: &str, key: &SigningKey) -> Vec<Vec<u8>> {
        let material = data_encoding::BASE64.encode(&certificate_request(key, None));
        let roles = vec!["modality".to_owned()];
        let profile = BirthProfileConfig { roles, device_type: Some(7), ..BirthProfileConfig::default() };
        let row = Row { serial: Some(serial.into()), material, ..Row::default() };
        self.authority.provision_one(profile, row).unwrap().to_vec()
    }

    pub(crate) fn list(&self, member: &SigningKey, version: u64, state: AuthorityState) -> Vec<u8> {
        Self::list_of(&[self], member, version, state)
    }

    fn list_of(makers: &[&Self], member: &SigningKey, version: u64, state: AuthorityState) -> Vec<u8> {
        let now = makers.first().map_or_else(noon, |maker| maker.now);
        let heading =
            Heading { version, ..Heading::first(ListKind::Alliance, "Alliance", now, now.plus_seconds(86_400)) };
        let listed = |maker: &&'_ Self| {
            let root = maker.authority.root();
            (root.key, root.subject.clone(), root.spki.clone(), maker.authority.name().to_owned())
        };
        let mut roots: Vec<_> = makers.iter().map(listed).collect();
        roots.sort_by_key(|(key, ..)| *key);
        let entry = |(key, subject, spki, name)| Listed {
            roles: Roles::of(&[Role::Modality]),
            state,
            since: now,
            ..Listed::for_everything(key, AuthorityKind::Maker, name, subject, spki)
        };
        let entries: Vec<Listed<'_>> =
            roots.iter().map(|(key, subject, spki, name)| entry((*key, &subject[..], &spki[..], &name[..]))).collect();
        let members = [Member { key: member.key_id(), spki: member.spki(), name: "Member" }];
        let content = Content { heading, members: &members, recovery: &[], authorities: &entries, services: &[] };
        let mut payload = Vec::new();
        content.encode(&mut payload).unwrap();
        let mut out = Vec::new();
        let signers = [(member.key_id(), Algorithm::Es256)];
        cose::sign(&payload, ContentType::LIST, &signers, &mut out, |_, parts| {
            Ok::<_, std::convert::Infallible>(member.sign_cose(&parts))
        })
        .unwrap();
        out
    }
}

pub(crate) fn import(site: &Site, list: &[u8], members: &[KeyId]) -> Result<Response, medlock_authority::Error> {
    let request = Request::ImportTrustList {
        object: data_encoding::BASE64.encode(list),
        members: members.iter().map(ToString::to_string).collect(),
        threshold: usize::from(!members.is_empty()),
    };
    site.authority.administer(&medlock_authority::admin::Asker::uid(0), request)
}

fn by_birth(site: &Site, chain: &[Vec<u8>], key: &SigningKey) -> Answer {
    let ders: Vec<_> = chain.iter().cloned().map(Into::into).collect();
    let who = site.authority.knowledge().identify(&ders).unwrap();
    site.authority.enrol_by_birth(&who, &chain[0], &certificate_request(key, None), FROM).unwrap()
}

/// Shows REQ-AUTH-07, REQ-STORE-131.
#[test]
fn a_birth_credential_enrols_at_once_if_its_serial_is_registered_and_waits_if_not() {
    let site = Site::new();
    let maker = Maker::new();
    let (member, birth_key) = (SigningKey::generate(), SigningKey::generate());
    let chain = maker.birth("SN-0815", &birth_key);
    assert_eq!(Certificate::from_der(&chain[0]).unwrap().not_after(), Time::NEVER);

    let list = maker.list(&member, 1, AuthorityState::Listed);
    assert!(import(&site, &list, &[]).is_err(), "the first list needs members one was told of");
    assert!(import(&site, &list, &[SigningKey::generate().key_id()]).is_err());
    import(&site, &list, &[member.key_id()]).unwrap();
    // Who gives it again hears that it is in force.
    let Response::Done { text } = import(&site, &list, &[member.key_id()]).unwrap() else { panic!() };
    assert!(text.contains("is in force already"), "{text}");
    let same = maker.list(&member, 1, AuthorityState::Suspended);
    assert!(import(&site, &same, &[]).is_err(), "the same version is no successor");

    let registered = DeviceConfig { maker_serial: Some("SN-0815".into()), ..ct("ct-1") };
    site.ask(Request::Register { device: registered });
    let key = SigningKey::generate();
    let der = issued(by_birth(&site, &chain, &key));
    assert_eq!(issued(by_birth(&site, &chain, &key)), der, "a lost answer is fetched again");
    assert_eq!(site.identify(&der).device_name().as_str(), "ct-1");
    // A second life while the first is good: a person decides. So too after a compromise.
    assert!(matches!(by_birth(&site, &chain, &SigningKey::generate()), Answer::Waits { .. }));
    let reason = medlock_authority::admin::Reason::KeyCompromise;
    site.ask(Request::Revoke { device: "ct-1".into(), reason, why: "copied".into() });
    assert!(site.pending().is_empty(), "a revocation voids what waits");
    assert!(matches!(by_birth(&site, &chain, &SigningKey::generate()), Answer::Waits { .. }));
    assert_eq!(refused(by_birth(&site, &chain, &key)).0, RefusalKind::Forbidden, "the compromised key itself");

    let stranger = maker.birth("SN-4711", &SigningKey::generate());
    let key = SigningKey::generate();
    assert!(matches!(by_birth(&site, &stranger, &key), Answer::Waits { .. }));
    let waiting = site.pending().into_iter().find(|pending| pending.device.is_none()).unwrap();
    assert!(waiting.claims.contains("SN-4711"));
    assert!(site.refuses(Request::Approve { id: waiting.id.clone(), device: None }).contains("which device"));
    site.register("ct-2");
    site.ask(Request::Approve { id: waiting.id, device: Some("ct-2".into()) });
    assert_eq!(site.identify(&issued(by_birth(&site, &stranger, &key))).device_name().as_str(), "ct-2");

    // The maker is compromised: nobody enrols by its word any more.
    let list = maker.list(&member, 2, AuthorityState::Suspended);
    import(&site, &list, &[]).unwrap();
    let answer = by_birth(&site, &maker.birth("SN-1", &SigningKey::generate()), &SigningKey::generate());
    assert_eq!(refused(answer).0, RefusalKind::Forbidden);
}

/// Shows REQ-AUTH-39: the register decides what a device gets, and people are told where its maker made it for something else.
#[test]
fn people_are_told_where_the_register_says_otherwise_than_the_birth_credential() {
    let site = Site::new();
    let (maker, member) = (Maker::new(), SigningKey::generate());
    import(&site, &maker.list(&member, 1, AuthorityState::Listed), &[member.key_id()]).unwrap();
    let archive = DeviceConfig { roles: vec!["archive".into()], device_type: None, ..ct("ct-1") };
    for (name, entry, told) in [("ct-1", archive, true), ("ct-2", ct("ct-2"), false)] {
        let chain = maker.birth(&format!("SN-{name}"), &SigningKey::generate());
        let key = SigningKey::generate();
        assert!(matches!(by_birth(&site, &chain, &key), Answer::Waits { .. }));
        let waiting = site.pending().into_iter().find(|pending| pending.device.is_none()).unwrap();
        assert!(waiting.claims.ends_with("made as modality of type 7"), "{}", waiting.claims);
        site.ask(Request::Register { device: entry });
        let approved = site.ask(Request::Approve { id: waiting.id, device: Some(name.into()) });
        let Response::Done { text } = approved else { panic!("{approved:?}") };
        assert_eq!(text.contains("WARNING") && text.contains("made as modality of type 7"), told, "{text}");
        issued(by_birth(&site, &chain, &key));
        assert_eq!(site.alarms(), ["made-for-something-else"], "of the first alone");
    }
}

/// Shows REQ-AUTH-27: a serial counts only together with the key of the maker who may write it.
#[test]
fn another_maker_cannot_vouch_for_a_registered_serial() {
    let site = Site::new();
    let (maker, other, member) = (Maker::new(), Maker::named("Other AG"), SigningKey::generate());
    let list = |version| Maker::list_of(&[&maker, &other], &member, version, AuthorityState::Listed);
    import(&site, &list(1), &[member.key_id()]).unwrap();
    let root = |maker: &Maker| maker.authority.root().key.to_string();
    let chain = |maker: &Maker, serial| maker.birth(serial, &SigningKey::generate());
    let (own, foreign) = (chain(&maker, "SN-1"), chain(&other, "SN-1"));
    let by = |serial: &str, maker_key| DeviceConfig { maker_serial: Some(serial.into()), maker_key, ..ct("ct-1") };

    // Nobody said whose serial it is: a person decides, and sees who vouches.
    site.ask(Request::Register { device: by("SN-1", None) });
    let key = SigningKey::generate();
    assert!(matches!(by_birth(&site, &foreign, &key), Answer::Waits { .. }));
    assert!(site.pending()[0].claims.contains(&root(&other)), "{}", site.pending()[0].claims);
    site.ask(Request::Reject { id: site.pending()[0].id.clone() });

    // The site pinned the maker: its word counts at once, another's does not even for a person's approval.
    site.ask(Request::Update { device: by("SN-1", Some(root(&maker))), read: None });
    issued(by_birth(&site, &own, &SigningKey::generate()));
    assert!(matches!(by_birth(&site, &foreign, &SigningKey::generate()), Answer::Waits { .. }));
    let waiting = site.pending()[0].clone();
    assert_eq!(waiting.device, None, "the request of a stranger is not the device's");
    let approve = Request::Approve { id: waiting.id, device: Some("ct-1".into()) };
    assert!(site.refuses(approve).contains("maker's key"));

    // An approval pins the maker.
    let second = DeviceConfig { maker_serial: Some("SN-2".into()), ..ct("ct-2") };
    site.ask(Request::Register { device: second });
    assert!(matches!(by_birth(&site, &chain(&maker, "SN-2"), &SigningKey::generate()), Answer::Waits { .. }));
    let waiting = site.pending().into_iter().find(|one| one.device.as_deref() == Some("ct-2")).unwrap();
    site.ask(Request::Approve { id: waiting.id, device: None });
    let Response::Device(view) = site.ask(Request::Show { device: "ct-2".into() }) else { panic!("no device") };
    assert_eq!(view.entry.maker_key, Some(root(&maker)));
}

#[test]
fn a_birth_credential_has_one_waiting_request() {
    let site = Site::new();
    let (maker, member) = (Maker::new(), SigningKey::generate());
    import(&site, &maker.list(&member, 1, AuthorityState::Listed), &[member.key_id()]).unwrap();
    let chain = maker.birth("SN-1", &SigningKey::generate());
    let key = SigningKey::generate();
    assert!(matches!(by_birth(&site, &chain, &key), Answer::Waits { .. }));
    for _ in 0..3 {
        let (kind, reason) = refused(by_birth(&site, &chain, &SigningKey::generate()));
        assert!(kind == RefusalKind::Forbidden && reason.contains("waits already"), "{reason}");
    }
    assert!(matches!(by_birth(&site, &chain, &key), Answer::Waits { .. }), "the same key asks again");
    assert_eq!(site.pending().len(), 1);
    assert!(matches!(by_birth(&site, &maker.birth("SN-2", &key), &SigningKey::generate()), Answer::Waits { .. }));
    site.ask(Request::Reject { id: site.pending()[0].id.clone() });
    assert!(matches!(by_birth(&site, &chain, &SigningKey::generate()), Answer::Waits { .. }));
}

/// Shows REQ-AUTH-03.
#[test]
fn a_code_that_is_used_again_after_its_credential_was_issued_suspends_the_device() {
    let site = Site::new();
    let key = SigningKey::generate();
    site.register("ct-1");
    let code = site.code("ct-1");
    assert!(matches!(site.by_code(&code, &key), Answer::Waits { .. }));
    site.approve_all();
    let certificate = issued(site.by_code(&code, &key));
    assert_eq!(refused(site.by_code(&code, &SigningKey::generate())).0, RefusalKind::Unauthorized);
    assert_eq!((site.state("ct-1").0.as_str(), site.alarms()), ("suspended", vec!["code-reused".to_owned()]));
    assert_eq!(refused(site.renew(&certificate, &key)).0, RefusalKind::Forbidden);
    // The code is void: it cannot suspend the device again.
    site.ask(Request::Restore { device: "ct-1".into(), why: "the engineer tried twice".into() });
    assert_eq!(refused(site.by_code(&code, &SigningKey::generate())).0, RefusalKind::Unauthorized);
    assert_eq!(site.state("ct-1").0, "enrolled");
}

#[test]
fn the_alliance_is_remembered_when_the_hubs_knowledge_is_lost() {
    let site = Site::new();
    let maker = Maker::new();
    let member = SigningKey::generate();
    import(&site, &maker.list(&member, 1, AuthorityState::Listed), &[member.key_id()]).unwrap();
    let Site { authority, clock, dir } = site;
    drop(authority);
    std::fs::remove_dir_all(dir.path().join("knowledge")).unwrap();
    let again = crate::fixture::open(dir.path(), &clock);
    assert!(again.knowledge().version(medlock_node::knowledge::Kind::TrustList).is_some());
    let anchors = again.news().current(medlock_authority::objects::Kind::TrustList).unwrap();
    assert!(list::List::danger_open(&anchors.bytes).unwrap().authority(maker.authority.root().key).is_some());
    assert_eq!(KeyId::of(&[again.root().spki.as_slice()], &AwsLc), again.root().key);
}

/// Shows REQ-CLI-60: who registers is told at once of a maker that no list has, and of a name that cannot be typed.
#[test]
fn who_registers_a_device_of_an_unknown_maker_is_told() {
    let site = Site::new();
    let register = |name: &str, maker: String| {
        let (maker_serial, maker_key) = (Some(format!("S-{name}")), Some(maker));
        let titles = Vec::new();
        site.ask(Request::Register { device: DeviceConfig { maker_serial, maker_key, ae_titles: titles, ..ct(name) } })
    };
    let Response::Device(view) = register("ct-1", "ab".repeat(16)) else { panic!() };
    let warning = view.warning.unwrap();
    assert!(warning.contains(&"ab".repeat(16)) && warning.contains("no trust list"), "{warning}");
    let Response::Device(view) = register("ct-2", site.authority.root().key.to_string()) else { panic!() };
    assert_eq!(view.warning, None, "a list has this one");
    let refused = site.refuses(Request::Register { device: DeviceConfig { dns: Vec::new(), ..ct("ct 7") } });
    assert!(refused.contains("\"ct 7\" has a space"), "{refused}");
}
