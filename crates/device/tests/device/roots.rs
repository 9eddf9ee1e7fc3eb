//! Roots of the site take one another's place, and a device goes along with what any carrier brings.

use crate::site::{DAY, START, Signer, device_id};
use crate::world::{FAIR, World};
use medlock_device::NotTaken;
use medlock_trust::cose::{self, Algorithm, ContentType};
use medlock_trust::list::{Authority, AuthorityState, Content, Heading, ListKind, Member, Purpose, Purposes, Service};
use medlock_trust::path::AuthorityKind;
use medlock_trust::role::Role;
use medlock_trust::status::{self, Reason, Record, State, StatusContent, Subject};

/// The site's list in which these roots are members, who all sign it, and these are retired.
pub(crate) fn list(world: &World, version: u64, members: &[&Signer], retired: &[&Signer]) -> Vec<u8> {
    list_of(version, members, retired, &[(&world.site.service, &Purpose::ALL)])
}

/// Such a list, by which these keys sign for these purposes.
fn list_of<'a>(version: u64, members: &[&Signer], retired: &[&Signer], keys: &[(&'a Signer, &[Purpose])]) -> Vec<u8> {
    let authority = members[0].id;
    let named = |(signer, purposes): &(&'a Signer, &[Purpose])| Service {
        key: signer.id,
        spki: &signer.spki,
        purposes: Purposes::of(purposes),
        authority,
        until: None,
    };
    let mut services: Vec<_> = keys.iter().map(named).collect();
    services.sort_by_key(|service| service.key);
    fn entry(root: &Signer, state: AuthorityState) -> Authority<'_> {
        let entry = Authority::for_everything(root.id, AuthorityKind::Site, "site", &root.name, &root.spki);
        Authority { state, since: START, ..entry }
    }
    let listed = members.iter().map(|root| entry(root, AuthorityState::Listed));
    let authorities: Vec<_> = listed.chain(retired.iter().map(|root| entry(root, AuthorityState::Retired))).collect();
    let signers: Vec<_> = members.iter().map(|root| (root.id, Algorithm::Es256)).collect();
    let keys: Vec<_> = members.iter().map(|root| Member { key: root.id, spki: &root.spki, name: "root" }).collect();
    let next = START.plus_seconds(400 * DAY);
    let heading = Heading { version, ..Heading::first(ListKind::Site, "site", START, next) };
    let content = Content { heading, members: &keys, recovery: &[], authorities: &authorities, services: &services };
    let mut payload = Vec::new();
    content.encode(&mut payload).unwrap();
    let mut out = Vec::new();
    let sign = |id, parts: &[&[u8]]| members.iter().find(|root| root.id == id).unwrap().sign(parts);
    cose::sign(&payload, ContentType::LIST, &signers, &mut out, sign).unwrap();
    out
}

/// The status list with this epoch, told in the name of `root`, in which these devices are compromised.
fn status(world: &World, epoch: u64, root: &Signer, compromised: &[&str]) -> Vec<u8> {
    status_by(&world.site.service, epoch, root, compromised)
}

/// Such a list, signed with this key.
fn status_by(signer: &Signer, epoch: u64, root: &Signer, compromised: &[&str]) -> Vec<u8> {
    let heading =
        status::Heading { authority: root.id, recovery_epoch: 0, epoch, issued: START, next: START.plus_seconds(DAY) };
    let record = |name: &&str| Record {
        subject: Subject::Device(device_id(name)),
        state: State::Compromised,
        reason: Reason::UNSPECIFIED,
        since: START,
        epoch,
    };
    let records: Vec<_> = compromised.iter().map(record).collect();
    let mut payload = Vec::new();
    StatusContent { heading, records: &records }.encode(&mut payload).unwrap();
    signer.sign_as(&payload, ContentType::STATUS)
}

/// Shows REQ-DEV-134, REQ-TRUST-50, REQ-STORE-89: through a rotation and a retirement of the root a device needs the list of each, and what
/// it was told in the old name it does not forget under the new one.
#[test]
fn a_device_goes_through_a_rotation_and_a_retirement_and_forgets_no_compromise() {
    let mut world = World::new(3, FAIR);
    let (pump, thief) = (world.device("pump-1", &[Role::Actuator]), world.device("stolen-1", &[Role::Sensor]));
    let (now, second) = (world.ticks(), Signer::new("site", &mut world.dice));
    let first = &world.site.root;
    let stolen = status(&world, 2, first, &["stolen-1"]);
    let (rotated, retired) = (list(&world, 2, &[first, &second], &[]), list(&world, 3, &[&second], &[first]));
    let (forgets, keeps) = (status(&world, 1, &second, &["another-1"]), status(&world, 3, &second, &["stolen-1"]));
    let third = status(&world, 2, &second, &["other-1"]);
    let both = status(&world, 4, &second, &["another-1", "stolen-1"]);
    let old = status(&world, 9, first, &["stolen-1"]);
    let sdk = world.sdk(pump);
    for object in [&rotated, &stolen, &retired] {
        sdk.take_object(now, object).unwrap();
    }
    sdk.take_object(now, &forgets).unwrap();
    let refused = sdk.take_object(now, &third).unwrap_err();
    assert!(matches!(refused, NotTaken::Status(status::Refused::CompromiseForgotten(_))), "{refused:?}");
    assert!(sdk.take_object(now, &old).is_err(), "in the name of a root that is retired");
    assert_eq!(world.try_connect(thief, pump), None, "told in the old name, and not forgotten under the new one");
    let sdk = world.sdk(pump);
    sdk.take_object(now, &keeps).unwrap();
    sdk.take_object(now, &both).unwrap();
    assert!(sdk.take_object(now, &forgets).is_err());
    assert_eq!(world.try_connect(thief, pump), None);
    world.reboot(pump);
    assert!(world.sdk(pump).take_object(now, &keeps).is_err());
    assert!(world.sdk(pump).take_object(now, &both).is_err_and(|why| why.is_old()));
}

/// Shows REQ-STORE-98: what a key told before it was retired counts on beside a list that has forgotten it; what one told that is
/// in wrong hands does not.
#[test]
fn a_compromise_outlasts_the_key_that_told_it() {
    for retired in [true, false] {
        let mut world = World::new(4, FAIR);
        let (pump, thief) = (world.device("pump-1", &[Role::Actuator]), world.device("stolen-1", &[Role::Sensor]));
        let (now, next) = (world.ticks(), Signer::new("site", &mut world.dice));
        let (root, former) = (&world.site.root, &world.site.service);
        let stolen = status(&world, 2, root, &["stolen-1"]);
        let kept: &[(&Signer, &[Purpose])] = &[(former, &[Purpose::Bonds]), (&next, &Purpose::ALL)];
        let list = list_of(2, &[root], &[], if retired { kept } else { &kept[1..] });
        let forgets = status_by(&next, 3, root, &["another-1"]);
        let sdk = world.sdk(pump);
        for object in [&stolen, &list, &forgets] {
            sdk.take_object(now, object).unwrap();
        }
        assert_eq!(world.try_connect(thief, pump).is_none(), retired, "retired: {retired}");
    }
}

/// Shows REQ-DEV-135: a device that missed two rotations takes one list for each, from any carrier, and the newest then.
#[test]
fn a_device_that_missed_two_rotations_needs_the_list_of_each() {
    let mut world = World::new(5, FAIR);
    let pump = world.device("pump-1", &[Role::Actuator]);
    let now = world.ticks();
    let [second, third] = [0; 2].map(|_| Signer::new("site", &mut world.dice));
    let first = &world.site.root;
    let one = list(&world, 2, &[first, &second], &[]);
    let two = list(&world, 4, &[&second, &third], &[first]);
    let newest = list(&world, 5, &[&third], &[first, &second]);
    let told = status(&world, 7, &third, &[]);
    for unknown in [&two, &newest] {
        let refused = world.sdk(pump).take_object(now, unknown).unwrap_err();
        assert!(matches!(refused, NotTaken::List(_)), "{refused:?}");
    }
    assert!(world.sdk(pump).take_object(now, &told).is_err());
    for next in [&one, &two, &newest, &told] {
        world.sdk(pump).take_object(now, next).unwrap();
        world.reboot(pump);
    }
}
