//! Makers that one member of an alliance suspends, at a hub, in virtual time: what lapses, what a list confirms, and what
//! people are told.

use crate::enrolment::Maker;
use crate::fixture::{Site, config, noon, open_as};
use crate::restored::{back_up, restore_unheard};
use medlock_authority::admin::{AlarmView, Request, Response};
use medlock_authority::objects::Kind;
use medlock_authority::restoring::Since;
use medlock_authority::store::{Journal as _, SqlStore};
use medlock_node::provider::SigningKey;
use medlock_trust::cose::{self, Algorithm, ContentType};
use medlock_trust::decide::Code;
use medlock_trust::list::{Authority as Listed, AuthorityState, Content, Heading, ListKind, Member, SuspensionContent};
use medlock_trust::path::AuthorityKind;
use medlock_trust::status::Reason;
use medlock_trust::{KeyId, Time};
use std::sync::Arc;

const DAY: i64 = 86_400;

/// Three members, of whom two sign a list and one suspends, and two makers.
struct Alliance {
    members: [SigningKey; 3],
    makers: [Maker; 2],
}

impl Alliance {
    fn new() -> Self {
        let makers = ["Tomograph AG", "Pumpen GmbH"].map(|name| Maker::at(name, noon()));
        Self { members: [0; 3].map(|_| SigningKey::generate()), makers }
    }

    fn key(&self, maker: usize) -> KeyId {
        self.makers[maker].authority.root().key
    }

    fn signed(&self, payload: &[u8], kind: ContentType, signers: &[usize]) -> Vec<u8> {
        let ids: Vec<_> = signers.iter().map(|at| (self.members[*at].key_id(), Algorithm::Es256)).collect();
        let mut out = Vec::new();
        cose::sign(payload, kind, &ids, &mut out, |id, parts| {
            let member = self.members.iter().find(|member| member.key_id() == id).unwrap();
            Ok::<_, std::convert::Infallible>(member.sign_cose(&parts))
        })
        .unwrap();
        out
    }

    /// The list with both makers, who stand so since it was issued.
    fn list(&self, version: u64, issued: Time, states: [AuthorityState; 2]) -> Vec<u8> {
        let next = issued.plus_seconds(400 * DAY);
        let heading = Heading {
            version,
            threshold: 2,
            emergency: 1,
            ..Heading::first(ListKind::Alliance, "Alliance", issued, next)
        };
        let roots = [0, 1].map(|at| self.makers[at].authority.root());
        let entries: Vec<_> = roots
            .iter()
            .zip(&self.makers)
            .zip(states)
            .map(|((root, maker), state)| Listed {
                state,
                since: issued,
                ..Listed::for_everything(
                    root.key,
                    AuthorityKind::Maker,
                    maker.authority.name(),
                    &root.subject,
                    &root.spki,
                )
            })
            .collect();
        let members: Vec<_> =
            self.members.iter().map(|key| Member { key: key.key_id(), spki: key.spki(), name: "member" }).collect();
        let content = Content { heading, members: &members, recovery: &[], authorities: &entries, services: &[] };
        let mut payload = Vec::new();
        content.encode(&mut payload).unwrap();
        self.signed(&payload, ContentType::LIST, &[0, 1])
    }

    /// One member suspends a maker for as long as it may.
    fn suspension(&self, maker: usize, issued: Time) -> Vec<u8> {
        let (key, expires) = (self.key(maker), issued.plus_seconds(14 * DAY));
        let content =
            SuspensionContent::new("Alliance", 0, issued, expires, Reason::KEY_COMPROMISE, key.as_bytes()).unwrap();
        let mut payload = Vec::new();
        content.encode(&mut payload).unwrap();
        self.signed(&payload, ContentType::SUSPENSION, &[2])
    }
}

/// A hub that believes the alliance, and one device of each maker.
struct Scene {
    site: Site,
    alliance: Alliance,
    devices: [Vec<Vec<u8>>; 2],
}

impl Scene {
    fn new() -> Self {
        let (site, alliance) = (Site::new(), Alliance::new());
        let members = alliance.members.each_ref().map(SigningKey::key_id);
        let list = alliance.list(1, noon(), [AuthorityState::Listed; 2]);
        site.authority.import_trust_list(&list, &members, 2).unwrap();
        let devices = [0, 1].map(|maker| alliance.makers[maker].birth(&format!("SN-{maker}"), &SigningKey::generate()));
        site.clock.advance(60);
        Self { site, alliance, devices }
    }

    /// Why a device of this maker is not given a credential, if that is so.
    fn denied(&self, maker: usize) -> Option<Code> {
        let shown: Vec<_> = self.devices[maker].iter().cloned().map(Into::into).collect();
        let who = self.site.authority.knowledge().identify(&shown).unwrap();
        self.site.authority.knowledge().judge_enrolment(&who).err().map(|denied| denied.code)
    }

    /// The alarms of this kind.
    fn alarms(&self, kind: &str) -> Vec<AlarmView> {
        let Response::Alarms { alarms } = self.site.ask(Request::Alarms) else { panic!("no alarms") };
        alarms.into_iter().filter(|alarm| alarm.kind == kind).collect()
    }

    fn pass(&self, seconds: i64) {
        self.site.clock.advance(seconds);
        self.site.authority.tick().unwrap();
    }
}

/// Shows REQ-LIST-43, REQ-CLI-36: at a hub a suspension by few members lapses after fourteen days, and one that a list confirms does not.
#[test]
fn at_a_hub_a_suspension_lapses_after_fourteen_days_unless_a_list_confirms_it() {
    for confirmed in [false, true] {
        let scene = Scene::new();
        let Scene { site, alliance, .. } = &scene;
        assert_eq!([0, 1].map(|maker| scene.denied(maker)), [None, None]);
        let suspended = site.clock.now();
        site.authority.import_suspension(&alliance.suspension(0, suspended)).unwrap();
        assert_eq!([0, 1].map(|maker| scene.denied(maker)), [Some(Code::IssuerSuspended), None]);
        if confirmed {
            scene.pass(DAY);
            let list = alliance.list(2, site.clock.now(), [AuthorityState::Suspended, AuthorityState::Listed]);
            site.authority.import_trust_list(&list, &[], 0).unwrap();
        }
        scene.pass(suspended.plus_seconds(14 * DAY).seconds_since(site.clock.now()));
        assert_eq!(scene.denied(0), Some(Code::IssuerSuspended), "to the last second of the fourteenth day");
        scene.pass(1);
        assert_eq!(scene.denied(0), confirmed.then_some(Code::IssuerSuspended), "confirmed: {confirmed}");
        let [ended, stays] = ["issuer-suspension-ended", "issuer-suspension-confirmed"].map(|kind| scene.alarms(kind));
        let (told, other) = if confirmed { (stays, ended) } else { (ended, stays) };
        let how = if confirmed {
            "version 2 of the trust list confirms it"
        } else {
            "it has lapsed, and no list has decided"
        };
        assert!(told.len() == 1 && told[0].text.contains(how) && other.is_empty(), "{told:?} {other:?}");
        scene.pass(300 * DAY);
        assert_eq!(scene.denied(0), confirmed.then_some(Code::IssuerSuspended), "confirmed: {confirmed}");
    }
}

/// Shows REQ-LIST-44: a second maker that is suspended while nobody has dealt with the alarm of the first is an alarm of its own.
#[test]
fn each_suspended_maker_is_an_alarm_of_its_own() {
    let scene = Scene::new();
    let Scene { site, alliance, .. } = &scene;
    for maker in [0, 1] {
        site.authority.import_suspension(&alliance.suspension(maker, site.clock.now())).unwrap();
        scene.pass(60);
    }
    for kind in ["issuer-suspended", "issuer-suspension-ended"] {
        let alarms = scene.alarms(kind);
        for (maker, name) in ["Tomograph AG", "Pumpen GmbH"].into_iter().enumerate() {
            let key = alliance.key(maker).to_string();
            let about: Vec<_> =
                alarms.iter().filter(|alarm| alarm.text.contains(name) && alarm.text.contains(&key)).collect();
            assert!(about.len() == 1 && about[0].count == 1, "{kind} of {name}: {alarms:?}");
        }
        assert_eq!(alarms.len(), 2);
        scene.pass(15 * DAY);
    }
}

/// Shows REQ-LIST-46: who was suspended by few, and may not be so soon again, is in the store: a hub with another folder, and one
/// that was brought back from a backup, refuse what the first one refuses.
#[test]
fn few_members_repeat_no_suspension_at_another_hub_or_behind_a_restore() {
    let scene = Scene::new();
    let Scene { site, alliance, .. } = &scene;
    let again = |site: &Site| alliance.suspension(0, site.clock.now());
    site.authority.import_suspension(&alliance.suspension(0, site.clock.now())).unwrap();
    scene.pass(DAY);
    for (version, state) in [(2, AuthorityState::Suspended), (3, AuthorityState::Listed)] {
        let list = alliance.list(version, site.clock.now(), [state, AuthorityState::Listed]);
        site.authority.import_trust_list(&list, &[], 0).unwrap();
        scene.pass(DAY);
    }
    let refused = site.authority.import_suspension(&again(site)).unwrap_err().to_string();
    assert!(refused.contains("not long ago"), "{refused}");
    let backup = back_up(site.dir.path());
    for elapsed in [0, 60] {
        site.clock.advance(elapsed * DAY);
        let dir = tempfile::tempdir().unwrap();
        restore_unheard(backup.path(), dir.path(), Since::default());
        let authority = Arc::new(open_as(&config(dir.path()), &site.clock));
        let other = Site { authority, clock: site.clock.clone(), dir };
        let refused = other.authority.import_suspension(&again(&other)).unwrap_err().to_string();
        assert!(refused.contains("not long ago"), "{elapsed} days later: {refused}");
        let alarms = other.alarms();
        assert!(!alarms.iter().any(|kind| kind == "not-published"), "{alarms:?}");
    }
}

/// Shows REQ-LIST-64: what somebody carries to the hub's open door goes into the store and is given out to all, and the lists behind
/// it are taken.
#[test]
fn what_is_brought_to_the_open_door_is_given_out() {
    let scene = Scene::new();
    let Scene { site, alliance, .. } = &scene;
    let store = SqlStore::sqlite(&site.dir.path().join("authority.sqlite")).unwrap();
    let brought = |kind: Kind, bytes: &[u8]| site.authority.knowledge().accept(kind, bytes).unwrap();
    let list = |version| alliance.list(version, site.clock.now(), [AuthorityState::Listed; 2]);
    let lists = [2, 3, 4, 5].map(list);
    let held = |kind: Kind| store.published(kind.name()).unwrap().map(|held| held.bytes);
    let told = |kind: Kind| site.authority.news().current(kind).map(|told| told.bytes.to_vec());
    // Two lists at once, and a third that is brought by two ways: only what comes last is missing in the store.
    for list in &lists[..2] {
        brought(Kind::TrustList, list);
    }
    assert!(site.authority.import_trust_list(&lists[0], &[], 0).is_err(), "this hub believes a later one");
    site.authority.tick().unwrap();
    assert_eq!((held(Kind::TrustList), told(Kind::TrustList)), (Some(lists[1].clone()), Some(lists[1].clone())));
    site.authority.import_trust_list(&lists[2], &[], 0).unwrap();
    site.clock.advance(60);
    brought(Kind::Suspensions, &alliance.suspension(0, site.clock.now()));
    assert_eq!((held(Kind::Suspensions), told(Kind::Suspensions)), (None, None));
    site.authority.tick().unwrap();
    assert!(held(Kind::Suspensions).is_some() && held(Kind::Suspensions) == told(Kind::Suspensions));
    assert_eq!(scene.alarms("issuer-suspended").len(), 1);
    let versions = store.versions().unwrap();
    site.authority.tick().unwrap();
    assert_eq!(store.versions().unwrap(), versions, "it is given out once");
    site.authority.import_trust_list(&lists[3], &[], 0).unwrap();
}

/// Shows REQ-CLI-36, REQ-CLI-37: what a list does to a suspension is said as it is, and a suspension that is over is nothing
/// new.
#[test]
fn an_import_says_whether_a_suspension_is_confirmed_lifted_or_over() {
    let scene = Scene::new();
    let Scene { site, alliance, .. } = &scene;
    let import = |object: &[u8]| {
        let (members, object) = (Vec::new(), data_encoding::BASE64.encode(object));
        let import = Request::ImportTrustList { object, members, threshold: 0 };
        match site.authority.administer(&medlock_authority::admin::Asker::uid(1000), import) {
            Ok(Response::Done { text }) => Ok(text),
            other => Err(other.unwrap_err().to_string()),
        }
    };
    let suspension = alliance.suspension(0, site.clock.now());
    let said = import(&suspension).unwrap();
    assert!(said.starts_with("suspended: Tomograph AG until ") && !said.contains("Pumpen"), "{said}");
    assert_eq!(import(&suspension).unwrap(), said, "the same again says the same");
    let list = |version, state| {
        scene.pass(60);
        import(&alliance.list(version, site.clock.now(), [state, AuthorityState::Listed])).unwrap()
    };
    let said = list(2, AuthorityState::Suspended);
    assert!(said.ends_with("in force; it confirms the suspension of Tomograph AG"), "{said}");
    assert!(import(&suspension).unwrap_err().contains("version 2 of the trust list has decided since"));
    assert_eq!(scene.denied(0), Some(Code::IssuerSuspended));
    assert!(scene.alarms("issuer-suspension-ended").is_empty());
    assert_eq!(scene.alarms("issuer-suspension-confirmed").len(), 1);
    let said = list(3, AuthorityState::Listed);
    assert!(said.ends_with("in force; it lifts the suspension of Tomograph AG"), "{said}");
    assert_eq!(scene.denied(0), None);
    let said = list(4, AuthorityState::Listed);
    assert!(said.ends_with("version 4, is in force"), "{said}");
    assert!(import(&suspension).unwrap_err().starts_with("nothing new: it suspends nobody any more"));
}
