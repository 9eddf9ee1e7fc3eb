//! The site's list, fetched from a carrier by a device that was off while its root was replaced.

use crate::drivers::{Driven, Udp, block_on};
use crate::roots::list;
use crate::site::Signer;
use crate::world::{FAIR, World, address};
use medlock_device::objects::StoreError;
use medlock_device::{Event, NotTaken, Output};
use medlock_proto::coap::block::{self, Block, BlockSize};
use medlock_proto::coap::{Code, Message, Type, Writer, option};
use medlock_trust::list::{self, List, Signers};
use medlock_trust::role::Role;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Gives the first of its lists behind a version, as a hub does; counts what it was asked.
#[derive(Default)]
struct Carrier {
    lists: Vec<Vec<u8>>,
    asked: Vec<u64>,
}

impl Carrier {
    fn answer(&mut self, datagram: &[u8]) -> Vec<u8> {
        let message = Message::read(datagram).unwrap();
        let query = std::str::from_utf8(message.option(option::URI_QUERY).unwrap()).unwrap();
        let after: u64 = query.strip_prefix("a=").unwrap().parse().unwrap();
        let wanted = Block::of(&message, option::BLOCK2).unwrap().unwrap_or(Block::first(BlockSize::at_most(512)));
        if wanted.number() == 0 {
            self.asked.push(after);
        }
        let mut out = [0; 1200];
        let found = self.lists.iter().find(|list| version(list) > after);
        let code = if found.is_some() { Code::CONTENT } else { Code::NOT_FOUND };
        let mut writer = Writer::new(&mut out, Type::Acknowledgement, code, message.id(), message.token());
        if let Some(list) = found {
            let (block, part) = block::slice(list, wanted).unwrap();
            writer.uint(option::BLOCK2, block.value()).payload(part);
        }
        writer.finish().unwrap().to_vec()
    }
}

fn version(list: &[u8]) -> u64 {
    List::danger_open(list).unwrap().heading().version
}

/// A device of the first of six roots, the roots, and a carrier with the list of each of the five rotations and the newest.
fn five_behind(seed: u64) -> (World, usize, Vec<Signer>, Carrier) {
    let mut world = World::new(seed, FAIR);
    let pump = world.device("pump-1", &[Role::Actuator]);
    let coming: Vec<_> = (0..5).map(|_| Signer::new("site", &mut world.dice)).collect();
    let roots: Vec<&Signer> = std::iter::once(&world.site.root).chain(&coming).collect();
    let rotated = |number: usize| {
        list(&world, 2 * number as u64, &[roots[number - 1], roots[number]], &roots[..number.saturating_sub(1)])
    };
    let mut lists: Vec<_> = (1..=5).map(rotated).collect();
    lists.push(list(&world, 11, &[roots[5]], &roots[..5]));
    (world, pump, coming, Carrier { lists, ..Carrier::default() })
}

/// What came of a fetch: how many lists were taken, and why it ended: `None` if there is no later one.
fn follow(world: &mut World, device: usize, carrier: &mut Carrier) -> (usize, Option<NotTaken>) {
    let (here, now, mut taken, mut buffer) = (address(77), world.ticks(), 0, [0; 1280]);
    let sdk = world.sdk(device);
    let made = sdk.follow_site(now, here).unwrap();
    for _ in 0..1_000 {
        match sdk.poll(now, &mut buffer) {
            Output::Transmit { to, datagram } => {
                assert_eq!(to, here);
                let mut answer = carrier.answer(datagram);
                sdk.handle_datagram(now, here, &mut answer);
            }
            Output::Event(Event::News(_)) => taken += 1,
            Output::Event(Event::Followed { call }) if call == made => return (taken, None),
            Output::Event(Event::NotFollowed { call, why }) if call == made => return (taken, Some(why)),
            Output::Event(other) => panic!("{other:?}"),
            Output::Wait(_) => {}
        }
    }
    panic!("it does not end");
}

/// Shows REQ-DEV-136.
#[test]
fn a_device_five_roots_behind_fetches_the_list_of_each_whenever_power_goes() {
    let mut cut = 0;
    loop {
        let (mut world, pump, _, mut carrier) = five_behind(5);
        world.restart(pump, |parts| parts.flash.left = Some(cut));
        let (before, why) = follow(&mut world, pump, &mut carrier);
        let finished = world.restart(pump, |parts| parts.flash.left.take().is_some_and(|left| left > 0));
        // Behind the last list only the floor of time is kept, which may be lost.
        let cut_off = why == Some(NotTaken::Store(StoreError::Flash));
        assert!(finished || cut_off || before == 6, "cut at {cut}: {why:?}");
        carrier.asked.clear();
        let (after, why) = follow(&mut world, pump, &mut carrier);
        assert_eq!(why, None, "cut at {cut}");
        // The list whose writing was cut off is there, or it is not.
        assert!((6..=7).contains(&(before + after + usize::from(!finished))), "cut at {cut}: {before} and {after}");
        let held = carrier.asked[0];
        assert_eq!(after, carrier.lists.iter().filter(|list| version(list) > held).count(), "it went on behind {held}");
        if finished {
            assert_eq!((before, after), (6, 0));
            break;
        }
        cut += 23;
    }
    assert!(cut > 100, "{cut} instants");
}

/// Shows REQ-DEV-137: lists from before the root that was pinned are passed over, a bounded number of them, and one that nobody
/// signed who is known ends the fetch.
#[test]
fn lists_from_before_the_pinned_root_are_passed_over_and_forged_ones_are_not_followed() {
    let (mut world, _, coming, mut carrier) = five_behind(6);
    let newborn = world.newborn();
    world.sdk(newborn).pin_site(coming[3].id, None).unwrap();
    assert_eq!(follow(&mut world, newborn, &mut carrier), (3, None), "signed by it, by it and the next, by the next");
    assert_eq!(carrier.asked, [0, 2, 4, 6, 8, 10, 11]);

    let stranger = Signer::new("site", &mut world.dice);
    let forged = |from: u64| (from..from + 40).map(|version| list(&world, version, &[&stranger], &[])).collect();
    let (mut before, mut behind) =
        (Carrier { lists: forged(1), ..Carrier::default() }, Carrier { lists: forged(12), ..Carrier::default() });
    let refused = |signers| Some(NotTaken::List(list::Refused::TooFewSignatures { have: 0, need: 1, signers }));
    let another = world.newborn();
    world.sdk(another).pin_site(coming[3].id, None).unwrap();
    assert_eq!(follow(&mut world, another, &mut before), (0, refused(Signers::Pinned)));
    assert_eq!(before.asked.len(), 17);
    assert_eq!(follow(&mut world, newborn, &mut behind), (0, refused(Signers::Held)));
    assert_eq!(behind.asked, [11]);
    // What it holds it keeps, and it goes on with an honest one.
    assert_eq!(follow(&mut world, newborn, &mut carrier), (0, None));
}

/// Shows REQ-DEV-136: by the blocking driver and by the asynchronous one.
#[test]
fn missed_lists_over_udp_by_either_driver() {
    for by_executor in [false, true] {
        let (mut world, pump, _, mut carrier) = five_behind(7);
        let sdk = world.nodes[pump].sdk.take().unwrap();
        let (mut driven, served) = (Driven { sdk, udp: Udp::bind(), by_executor }, Udp::bind());
        let (here, stop) = (served.address(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (carrier, stop) = (&mut carrier, &stop);
            scope.spawn(move || {
                let mut buffer = [0; 1280];
                while !stop.load(Ordering::SeqCst) {
                    match served.take(&mut buffer).unwrap() {
                        Some((from, length)) => served.put(from, &carrier.answer(&buffer[..length])).unwrap(),
                        None => std::thread::sleep(Duration::from_millis(1)),
                    }
                }
            });
            let now = driven.now();
            driven.sdk.follow_site(now, here).unwrap();
            let mut taken = 0;
            let ended = block_on(driven.wait(|event| match event {
                Event::News(_) => {
                    taken += 1;
                    None
                }
                Event::Followed { .. } => Some(Ok(())),
                other => Some(Err(format!("{other:?}"))),
            }));
            stop.store(true, Ordering::SeqCst);
            assert_eq!((ended, taken), (Ok(()), 6));
        });
    }
}
