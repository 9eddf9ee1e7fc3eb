//! A sensor and a monitor of two makers, on two sockets of this computer: they prove to one another who they are, and the
//! sensor gives a reading. docs/device-sdk.md walks through it.
//!
//! `cargo run -p medlock-device --example first_session`

#[path = "../../tests/device/platform.rs"]
mod platform;
#[path = "../../tests/device/site.rs"]
#[expect(dead_code, reason = "the tests ask more of a site")]
mod site;
mod udp;

use medlock_device::blocking::next_event;
use medlock_device::platform::{Parts, Ticks};
use medlock_device::{Address, Device, Event, Layout, Memory, Method, Resource, Settings, Status};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::Interval;
use medlock_trust::role::Role;
use platform::{Dice, Sim, SimFlash, SimKeys};
use site::{DAY, START, Site};
use udp::Udp;

// [firmware]
/// Two peers at once, four requests under way, each of at most 640 bytes: about 10 kB of memory.
type Firmware<'s> = Device<'s, Sim, 2, 4, 640>;

/// Pages 0 to 31 of the flash, two for each trust object.
const LAYOUT: Layout = Layout { objects: 0..32, slot_pages: 2 };
// [firmware]

/// What a device needs beside; a firmware has it in a `static`.
struct Room {
    memory: Memory<2, 4, 640>,
    staging: [u8; 2048],
}

/// Makes a device with a credential of the site, as enrolment at a hub does.
fn provision<'s>(name: &str, role: Role, site: &Site, objects: &[Vec<u8>], room: &'s mut Room) -> Firmware<'s> {
    let mut dice = Dice(seed());
    let key = dice.key();
    let certificate = site.root.issue(name, &[role], &key, (START, START.plus_seconds(90 * DAY)));
    let keys = SimKeys { birth: None, operational: None, next: Some(key), dice: dice.clone(), broken: false };
    // [start]
    let parts = Parts { crypto: RustCrypto, rng: dice, flash: SimFlash::new(), keys };
    let now = Ticks::from_millis(0);
    let settings = Settings::new(LAYOUT, &[], &mut room.staging);
    let mut device = Firmware::start(parts, settings, &mut room.memory, now).expect("a layout that fits");
    device.pin_site(site.root.id, None).expect("a device without a site");
    for object in objects {
        device.take_object(now, object).expect("signed by the site");
    }
    device.install_credential(&[&certificate]).expect("a credential for our key");
    device.set_time(now, Interval::exactly(START));
    // [start]
    device
}

/// What the sensor measured: any CBOR the two sides agreed on; `medlock_proto::reading` is one form.
const READING: [u8; 4] = [0x82, 0x18, 56, 0x20];

// [sensor]
/// The sensor answers whoever may read.
fn sensor(mut device: Firmware<'_>, mut udp: Udp) {
    let mut buffer = [0; 1280];
    loop {
        let event = next_event(&mut device, &mut udp, None, &mut buffer).expect("a socket");
        if let Some(Event::Asked { ask, resource: Resource::Readings, .. }) = event {
            device.answer(udp.ticks(), ask, Status::Done, &READING).expect("a session that stands");
        }
    }
}
// [sensor]

// [monitor]
/// The monitor connects, asks once, and shows what it got with what it is good for.
fn monitor(mut device: Firmware<'_>, mut udp: Udp, sensor: Address) {
    let mut buffer = [0; 1280];
    device.connect(udp.ticks(), sensor).expect("room for a session");
    loop {
        match next_event(&mut device, &mut udp, None, &mut buffer).expect("a socket") {
            Some(Event::Connected { peer, device: name, .. }) => {
                println!("session with {name}");
                device.call(udp.ticks(), peer, Method::Get, Resource::Readings, &[]).expect("room for a call");
            }
            Some(Event::Readings { permit, payload, .. }) => {
                println!("{} bytes, good to {}", payload.len(), permit.operation());
                return;
            }
            Some(Event::NotConnected { why, .. }) => panic!("no session: {why:?}"),
            Some(event) => println!("{event:?}"),
            None => {}
        }
    }
}
// [monitor]

fn seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    // Enough to play with; a device has a generator.
    std::hash::RandomState::new().build_hasher().finish()
}

fn main() {
    let mut site = Site::new(&mut Dice(seed()));
    let objects = [site.list(START), site.status(START, &[])];
    let room = || Box::new(Room { memory: Memory::new(), staging: [0; 2048] });
    let (mut here, mut there) = (room(), room());
    let monitor_device = provision("monitor-1", Role::Monitor, &site, &objects, &mut here);
    let sensor_device = provision("cgm-1", Role::Sensor, &site, &objects, &mut there);
    let (sensor_udp, monitor_udp) = (Udp::bind().expect("a port"), Udp::bind().expect("a port"));
    let address = sensor_udp.address();
    std::thread::scope(|scope| {
        // The sensor has no end; the program ends with the monitor.
        scope.spawn(|| sensor(sensor_device, sensor_udp));
        monitor(monitor_device, monitor_udp, address);
        std::process::exit(0);
    });
}
