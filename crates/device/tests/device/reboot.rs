//! Power goes: what is kept is whole, whatever the instant.

use crate::site::{DAY, START, device_id};
use crate::world::{FAIR, Happened, World};
use medlock_device::{Method, PhysicalAct, Resource};
use medlock_trust::bond::PatientContext;
use medlock_trust::role::Role;
use medlock_trust::status::{State, Subject};
use medlock_trust::{Operation, Operations};

/// Shows REQ-DEV-50.
#[test]
fn an_object_is_the_old_one_or_the_new_one_whenever_power_goes() {
    let mut cut = 0;
    loop {
        let mut world = World::new(1, FAIR);
        let pump = world.device("pump-1", &[Role::Actuator]);
        let stolen = Subject::Device(device_id("controller-1"));
        let news = world.site.status(START.plus_seconds(DAY), &[(stolen, State::Compromised)]);
        world.restart(pump, |parts| parts.flash.left = Some(cut));
        let now = world.ticks();
        let taken = world.sdk(pump).take_object(now, &news).is_ok();
        let finished = world.restart(pump, |parts| parts.flash.left.take().is_some_and(|left| left > 0));
        // It is there or not, whole; and in both cases what it was replaced by still can be.
        let again = world.sdk(pump).take_object(now, &news);
        assert!(!taken || again.is_err(), "cut at {cut}: what was taken is kept");
        assert!(again.is_ok() || again.is_err_and(|why| why.is_old()), "cut at {cut}: {again:?}");
        let controller = world.device("controller-1", &[Role::Controller]);
        if cut % 16 == 0 {
            assert_eq!(world.try_connect(controller, pump), None, "cut at {cut}: the news counts");
        }
        if finished {
            break;
        }
        cut += 1;
    }
    assert!(cut > 20, "{cut} instants");
}

/// Shows REQ-DEV-51.
#[test]
fn bonds_and_epochs_outlive_power_whenever_it_goes() {
    let patient = PatientContext([7; 16]);
    let operations = Operations::of(&[Operation::Treat]);
    let mut cut = 0;
    loop {
        let mut world = World::new(1, FAIR);
        let pump = world.device("pump-1", &[Role::Actuator]);
        world.bond(pump, "controller-1", operations);
        world.restart(pump, |parts| parts.flash.left = Some(cut));
        let act = PhysicalAct::danger_button_was_held();
        let now = world.ticks();
        let made = world.sdk(pump).bond(now, act, device_id("controller-2"), patient, operations);
        let finished = world.restart(pump, |parts| parts.flash.left.take().is_some_and(|left| left > 0));
        let epochs: Vec<u64> = world.sdk(pump).bonds().map(|bond| bond.epoch).collect();
        match made {
            Ok(bond) => assert_eq!((bond.epoch, epochs), (2, vec![1, 2]), "cut at {cut}"),
            Err(_) => assert!(epochs == [1] || epochs == [1, 2], "cut at {cut}: {epochs:?}"),
        }
        if finished {
            break;
        }
        cut += 1;
    }
    assert!(cut > 20, "{cut} instants");
}

/// Shows REQ-DEV-52.
#[test]
fn an_installation_that_was_cut_is_finished_or_never_was() {
    let mut cut = 0;
    loop {
        let mut world = World::new(1, FAIR);
        let pump = world.device("pump-1", &[Role::Actuator]);
        let controller = world.device("controller-1", &[Role::Controller]);
        let validity = (START, START.plus_seconds(90 * DAY));
        let key = world.dice.key();
        let certificate = world.site.root.issue("pump-1", &[Role::Actuator], &key, validity);
        world.restart(pump, |parts| {
            parts.keys.next = Some(key.clone());
            parts.keys.broken = cut % 2 == 0;
            parts.flash.left = Some(cut / 2);
        });
        let _ = world.sdk(pump).install_credential(&[&certificate]);
        let finished = world.restart(pump, |parts| {
            parts.keys.broken = false;
            parts.flash.left.take().is_some_and(|left| left > 0)
        });
        assert_eq!(world.sdk(pump).own(), Some(device_id("pump-1")), "cut at {cut}");
        if cut % 8 == 0 || finished {
            let peer = world.connect(controller, pump);
            let answer = world.call(controller, peer, Method::Get, Resource::State, &[]);
            assert!(matches!(answer, Happened::Answered(..)), "cut at {cut}: {answer:?}");
        }
        if finished {
            break;
        }
        cut += 1;
    }
    assert!(cut > 20, "{cut} instants");
}

/// Shows REQ-DEV-53.
#[test]
fn a_reboot_at_any_instant_of_a_conversation_ends_in_a_new_session() {
    for instant in (0..400).step_by(20) {
        let mut world = World::new(instant, FAIR);
        let sensor = world.device("cgm-1", &[Role::Sensor]);
        let controller = world.device("controller-1", &[Role::Controller]);
        let (now, target) = (world.ticks(), world.nodes[sensor].address);
        world.sdk(controller).connect(now, target).unwrap();
        world.run(instant / 10, |_| false);
        world.reboot(sensor);
        world.run(400_000, |nodes| !nodes[controller].happened.is_empty());
        let peer = match world.nodes[controller].happened.first() {
            Some(Happened::Connected { peer, .. }) => *peer,
            _ => world.connect(controller, sensor),
        };
        let first = world.call(controller, peer, Method::Get, Resource::State, &[]);
        if !matches!(first, Happened::Answered(..)) {
            let peer = world.connect(controller, sensor);
            let second = world.call(controller, peer, Method::Get, Resource::State, &[]);
            assert!(matches!(second, Happened::Answered(..)), "instant {instant}: {second:?}");
        }
    }
}
