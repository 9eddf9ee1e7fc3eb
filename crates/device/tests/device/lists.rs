//! An alliance's list on a device: catching up after years, whenever power goes, and emergency suspensions.

use crate::judged::{BOLUS, Loop, STARTED, denied};
use crate::platform::Dice;
use crate::site::{DAY, START, Signer};
use crate::world::{FAIR, World};
use medlock_proto::sealed::Memory;
use medlock_trust::cose::{self, Algorithm, ContentType};
use medlock_trust::decide::Code;
use medlock_trust::list::{
    Authority, AuthorityState, Content, Heading, ListKind, Member, Pinned, SuspensionContent, SuspensionRefused,
};
use medlock_trust::path::AuthorityKind;
use medlock_trust::role::Role;
use medlock_trust::status::Reason;
use medlock_trust::{Interval, Time};

const YEAR: i64 = 365 * DAY;

struct Alliance(Vec<Signer>);

impl Alliance {
    fn new() -> Self {
        let mut dice = Dice(4711);
        Self((0..8).map(|_| Signer::new("member", &mut dice)).collect())
    }

    fn signed(&self, payload: &[u8], kind: ContentType, signers: &[usize]) -> Vec<u8> {
        let ids: Vec<_> = signers.iter().map(|at| (self.0[*at].id, Algorithm::Es256)).collect();
        let mut out = Vec::new();
        let sign = |id, parts: &[&[u8]]| self.0.iter().find(|one| one.id == id).unwrap().sign(parts);
        cose::sign(payload, kind, &ids, &mut out, sign).unwrap();
        out
    }

    /// The list of members `first..first + 3`, of whom two must sign and one may suspend, with the site's root on it.
    fn list(&self, version: u64, first: usize, issued: Time, root: &Signer, signers: &[usize]) -> Vec<u8> {
        self.list_in_which(AuthorityState::Listed, (version, first, issued), root, signers)
    }

    /// The same, in which the site's root stands so.
    fn list_in_which(
        &self,
        state: AuthorityState,
        (version, first, issued): (u64, usize, Time),
        root: &Signer,
        signers: &[usize],
    ) -> Vec<u8> {
        let next = issued.plus_seconds(YEAR);
        let heading = Heading {
            version,
            threshold: 2,
            emergency: 1,
            ..Heading::first(ListKind::Alliance, "Alliance", issued, next)
        };
        let members: Vec<_> = self.0[first..first + 3]
            .iter()
            .map(|one| Member { key: one.id, spki: &one.spki, name: "member" })
            .collect();
        let site = Authority::for_everything(root.id, AuthorityKind::Site, "site", &root.name, &root.spki);
        let site = Authority { state, since: issued, ..site };
        let content = Content { heading, members: &members, recovery: &[], authorities: &[site], services: &[] };
        let mut payload = Vec::new();
        content.encode(&mut payload).unwrap();
        self.signed(&payload, ContentType::LIST, signers)
    }

    /// Five years with a change of members in each: version n + 1 is signed by the members of n and by its own.
    fn five_years(&self, root: &Signer) -> Vec<Vec<u8>> {
        let begin = START.plus_seconds(-5 * YEAR);
        let mut all = vec![self.list(1, 0, begin, root, &[0, 1])];
        for year in 1..6_usize {
            let issued = begin.plus_seconds(i64::try_from(year).unwrap() * YEAR);
            all.push(self.list(year as u64 + 1, year, issued, root, &[year, year + 1]));
        }
        all
    }

    /// A suspension of the site's root.
    fn suspension(&self, root: &Signer, issued: Time, signers: &[usize]) -> Vec<u8> {
        let (expires, reason) = (issued.plus_seconds(14 * DAY), Reason::AUTHORITY_COMPROMISE);
        let content = SuspensionContent::new("Alliance", 0, issued, expires, reason, root.id.as_bytes()).unwrap();
        let mut payload = Vec::new();
        content.encode(&mut payload).unwrap();
        self.signed(&payload, ContentType::SUSPENSION, signers)
    }

    fn pinned(&self) -> Pinned<'static> {
        let keys = self.0[..3].iter().map(|one| one.id).collect::<Vec<_>>();
        Pinned::Members { keys: Box::leak(keys.into_boxed_slice()), threshold: 2 }
    }
}

/// Shows REQ-LIST-12.
#[test]
fn a_device_five_years_behind_catches_up_list_by_list_whenever_power_goes() {
    let alliance = Alliance::new();
    let mut cut = 0;
    loop {
        let mut world = World::new(1, FAIR);
        let pump = world.device("pump-1", &[Role::Actuator]);
        let chain = alliance.five_years(&world.site.root);
        world.alliance = Some(alliance.pinned());
        world.reboot(pump);
        let now = world.ticks();
        world.sdk(pump).take_object(now, &chain[0]).unwrap();
        assert!(world.sdk(pump).take_object(now, &chain[5]).is_err(), "nobody it knows signed the newest");
        world.restart(pump, |parts| parts.flash.left = Some(cut));
        let before = chain.iter().filter(|list| world.sdk(pump).take_object(now, list).is_ok()).count();
        let finished = world.restart(pump, |parts| parts.flash.left.take().is_some_and(|left| left > 0));
        // Whatever was taken is there after the restart, and the rest is taken now.
        let results: Vec<_> = chain.iter().map(|list| world.sdk(pump).take_object(now, list)).collect();
        let old = results.iter().take_while(|result| result.is_err_and(|why| why.is_old())).count();
        assert!(old > before, "cut at {cut}: {results:?}");
        assert!(results[old..].iter().all(Result::is_ok), "cut at {cut}: {results:?}");
        if finished {
            break;
        }
        // Every seventh instant: the suite is to end within seconds.
        cut += 7;
    }
    assert!(cut > 100, "{cut} instants");
}

/// Shows REQ-LIST-04.
#[test]
fn an_emergency_suspension_on_a_device_ends_commands_until_it_has_lapsed() {
    let alliance = Alliance::new();
    let mut pair = Loop::new(3, FAIR);
    let pump = pair.pump;
    let list = alliance.list(1, 0, START.plus_seconds(-DAY), &pair.world.site.root, &[0, 1]);
    let good = alliance.suspension(&pair.world.site.root, START, &[2]);
    let stranger = alliance.suspension(&pair.world.site.root, START, &[6]);
    let (now, root) = (pair.world.ticks(), pair.world.site.root.id);
    let again = alliance.suspension(&pair.world.site.root, START.plus_seconds(DAY), &[0]);
    pair.world.alliance = Some(alliance.pinned());
    pair.world.reboot(pump);
    let sdk = pair.world.sdk(pump);
    sdk.set_time(now, Interval::exactly(START));
    assert!(sdk.take_object(now, &good).is_err(), "no list is held whose members it could be of");
    sdk.take_object(now, &list).unwrap();
    assert!(sdk.take_object(now, &stranger).is_err());
    let peer = pair.world.connect(pair.controller, pump);
    let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
    pair.world.sdk(pump).take_object(now, &good).unwrap();
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), denied(Code::IssuerSuspended));
    let sdk = pair.world.sdk(pump);
    assert!(sdk.take_object(now, &good).is_err_and(|why| why.is_old()));
    assert_eq!(sdk.take_object(now, &again), Err(SuspensionRefused::TooSoon(root).into()), "not prolonged by so few");
    // It lapses by itself.
    sdk.set_time(now, Interval::exactly(START.plus_seconds(14 * DAY + 1)));
    let fresh = pair.world.site.status(START.plus_seconds(14 * DAY), &[]);
    pair.world.sdk(pump).take_object(now, &fresh).unwrap();
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), STARTED);
}

/// Shows REQ-LIST-43: on a device a suspension that enough members confirm in a list does not lapse.
#[test]
fn an_emergency_suspension_that_a_list_confirms_does_not_lapse_on_a_device() {
    let alliance = Alliance::new();
    let mut pair = Loop::new(4, FAIR);
    let pump = pair.pump;
    let (now, root) = (pair.world.ticks(), &pair.world.site.root);
    let list = alliance.list(1, 0, START.plus_seconds(-DAY), root, &[0, 1]);
    let suspension = alliance.suspension(root, START, &[2]);
    let confirms =
        |issued, signers: &[usize]| alliance.list_in_which(AuthorityState::Suspended, (2, 0, issued), root, signers);
    let (few, confirmed) = (confirms(START.plus_seconds(60), &[2]), confirms(START.plus_seconds(60), &[0, 2]));
    pair.world.alliance = Some(alliance.pinned());
    pair.world.reboot(pump);
    let sdk = pair.world.sdk(pump);
    sdk.set_time(now, Interval::exactly(START));
    sdk.take_object(now, &list).unwrap();
    let peer = pair.world.connect(pair.controller, pump);
    let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
    let sdk = pair.world.sdk(pump);
    sdk.take_object(now, &suspension).unwrap();
    assert!(sdk.take_object(now, &few).is_err(), "who may suspend may not confirm");
    sdk.take_object(now, &confirmed).unwrap();
    sdk.set_time(now, Interval::exactly(START.plus_seconds(14 * DAY + 1)));
    let fresh = pair.world.site.status(START.plus_seconds(14 * DAY), &[]);
    pair.world.sdk(pump).take_object(now, &fresh).unwrap();
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), denied(Code::IssuerSuspended));
}
