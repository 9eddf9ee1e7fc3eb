//! Devices, a link and time, all virtual.

use crate::platform::{Dice, Sim, SimFlash, SimKeys};
use crate::site::{DAY, START, Site, device_id};
use medlock_device::command::{Limits, Reception, Running};
use medlock_device::log::Area;
use medlock_device::platform::{Parts, Ticks};
use medlock_device::{
    Address, CallId, Closing, Device, Event, Failure, Layout, Memory, Method, Output, Peer, PhysicalAct, Resource,
    Settings, Status,
};
use medlock_proto::coap::{Code, Message, MessageId, Token, Transmission, Type, Writer, option};
use medlock_proto::edhoc;
use medlock_proto::sealed::{Concentration, MilliUnits, Minutes, Rate};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::bond::PatientContext;
use medlock_trust::decide;
use medlock_trust::list::Pinned;
use medlock_trust::role::Role;
use medlock_trust::{Denied, DeviceId, Interval, Operation, Operations, Time};
use std::collections::BTreeMap;

pub(crate) type Sdk = Device<'static, Sim, 3, 4, 640>;

/// An event, owned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Happened {
    Connected { peer: Peer, device: DeviceId },
    NotConnected(Failure),
    Closed(Peer, Closing),
    Asked(Resource),
    Denied(Denied),
    Answered(CallId, Status, Vec<u8>),
    Readings(Operation, Option<decide::Code>, Vec<u8>),
    Carried(Status, Vec<u8>),
    Unanswered(Failure),
    Acted(Operation),
    Uncertain,
    LeaseEnded,
    Enrolled(DeviceId),
    NotEnrolled,
    News,
    Followed,
    NotFollowed,
}

pub(crate) struct Node {
    pub(crate) sdk: Option<Sdk>,
    pub(crate) address: Address,
    pub(crate) happened: Vec<Happened>,
    pub(crate) wait: Option<Ticks>,
    /// What it answers when it is asked.
    pub(crate) answer: Vec<u8>,
    /// What it took from a stranger or peer while it was off is lost.
    pub(crate) credential: Vec<u8>,
    pub(crate) running: Option<Running>,
    pub(crate) therapy: bool,
}

/// How bad the link is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// Out of a hundred.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// Up to so many milliseconds late, each for itself: later ones overtake.
    pub(crate) late_ms: u64,
}

pub(crate) const FAIR: Weather = Weather { lost: 0, doubled: 0, late_ms: 5 };
pub(crate) const BAD: Weather = Weather { lost: 20, doubled: 20, late_ms: 900 };

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) dice: Dice,
    pub(crate) site: Site,
    pub(crate) nodes: Vec<Node>,
    pub(crate) weather: Weather,
    flight: BTreeMap<(u64, u64), (Address, Address, Vec<u8>)>,
    sent: u64,
    /// This one answers a request with message 3 in front as a peer does that does not know of such.
    pub(crate) plain_only: Option<usize>,
    /// Whose trust list devices believe that start from now on.
    pub(crate) alliance: Option<Pinned<'static>>,
    /// Everything that was sent, for replay.
    pub(crate) wire: Vec<(Address, Address, Vec<u8>)>,
}

pub(crate) fn address(number: u8) -> Address {
    Address::new(&[number]).unwrap()
}

/// Memory of a device.
pub(crate) fn memory() -> &'static mut Memory<3, 4, 640> {
    Box::leak(Box::new(Memory::new()))
}

pub(crate) fn layout() -> Layout {
    Layout { objects: 0..40, slot_pages: 2 }
}

pub(crate) fn settings(birth: &'static [&'static [u8]]) -> Settings<'static> {
    let room = |bytes| Box::leak(vec![0; bytes].into_boxed_slice());
    let staging = room(4096);
    Settings {
        peers: room(1024),
        body: room(4096),
        built: START.plus_seconds(-100 * DAY),
        transmission: Transmission { max_retransmit: 8, ..Transmission::DEFAULT },
        ..Settings::new(layout(), birth, staging)
    }
}

pub(crate) fn journal() -> Area {
    Area { pages: 40..48, bank_pages: 2 }
}

fn limits() -> Limits {
    Limits {
        challenge_age_millis: 60_000,
        concentration: Concentration::U100,
        bolus: MilliUnits(5_000),
        basal: Rate(5_000),
        basal_minutes: Minutes(120),
        window_minutes: Minutes(60),
        window_amount: MilliUnits(10_000),
        halt_minutes: Minutes(120),
        window_halts: 3,
        lease_minutes: Minutes(30),
    }
}

/// How a peer answers that does not know of the EDHOC option, which is critical (RFC 7252 section 5.4.1).
fn refusal(datagram: &[u8]) -> Option<Vec<u8>> {
    let message = Message::read(datagram).ok().filter(|message| message.option(option::EDHOC).is_some())?;
    let mut out = [0; 32];
    let head = (Type::Acknowledgement, Code::BAD_OPTION, message.id(), message.token());
    let written = Writer::new(&mut out, head.0, head.1, head.2, head.3).finish().unwrap().to_vec();
    Some(written)
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        let mut dice = Dice(seed);
        let site = Site::new(&mut dice);
        Self {
            now: 1_000,
            dice,
            site,
            nodes: Vec::new(),
            weather,
            flight: BTreeMap::new(),
            sent: 0,
            plain_only: None,
            alliance: None,
            wire: Vec::new(),
        }
    }

    pub(crate) fn ticks(&self) -> Ticks {
        Ticks::from_millis(self.now)
    }

    /// A device with nothing but a birth credential.
    pub(crate) fn newborn(&mut self) -> usize {
        self.newborn_named("maker-0815")
    }

    pub(crate) fn newborn_named(&mut self, name: &str) -> usize {
        let birth = self.dice.key();
        let certificate = self.site.maker.issue(name, &[Role::Actuator], &birth, (START, Time::NEVER));
        let chain: &'static [u8] = Box::leak(certificate.clone().into_boxed_slice());
        let chain: &'static [&'static [u8]] = Box::leak(vec![chain].into_boxed_slice());
        let keys =
            SimKeys { birth: Some(birth), operational: None, next: None, dice: Dice(self.dice.next()), broken: false };
        let parts = Parts { crypto: RustCrypto, rng: Dice(self.dice.next()), flash: SimFlash::new(), keys };
        let sdk = Sdk::start(parts, settings(chain), memory(), self.ticks()).unwrap();
        let address = address(u8::try_from(self.nodes.len()).unwrap());
        self.nodes.push(Node {
            sdk: Some(sdk),
            address,
            happened: Vec::new(),
            wait: None,
            answer: b"\x01".to_vec(),
            credential: certificate,
            running: None,
            therapy: false,
        });
        self.nodes.len() - 1
    }

    /// A device of the site, with a credential, the list and the status of today, and the time.
    pub(crate) fn device(&mut self, name: &str, roles: &[Role]) -> usize {
        self.device_valid(name, roles, (START.plus_seconds(-DAY), START.plus_seconds(90 * DAY)))
    }

    pub(crate) fn device_valid(&mut self, name: &str, roles: &[Role], validity: (Time, Time)) -> usize {
        let number = self.newborn();
        let (list, status) = if self.site.version == 0 {
            (self.site.list(START), self.site.status(START, &[]))
        } else {
            self.site.version -= 1;
            self.site.epoch -= 1;
            (self.site.list(START), self.site.status(START, &[]))
        };
        let now = self.ticks();
        let root = self.site.root.id;
        let sdk = self.sdk(number);
        sdk.pin_site(root, None).unwrap();
        sdk.set_time(now, Interval::exactly(START));
        sdk.take_object(now, &list).unwrap();
        sdk.take_object(now, &status).unwrap();
        self.enrol(number, name, roles, validity);
        self.drain(number);
        self.nodes[number].happened.clear();
        number
    }

    /// A pump of the site: a device that takes commands.
    pub(crate) fn pump(&mut self, name: &str) -> usize {
        let number = self.device(name, &[Role::Actuator]);
        let mut parts = self.nodes[number].sdk.take().unwrap().stop();
        Reception::format(&mut parts.flash, &journal()).unwrap();
        self.nodes[number].therapy = true;
        self.start(number, parts);
        let now = self.ticks();
        self.sdk(number).set_time(now, Interval::exactly(START));
        number
    }

    /// Turns a device off and on again, from then on with this method.
    pub(crate) fn use_method(&mut self, number: usize, method: edhoc::Method) {
        self.restart_with(number, |settings| settings.method = method);
    }

    /// Turns a device off and on again, from then on without room for those it meets.
    pub(crate) fn forget_peers(&mut self, number: usize) {
        self.restart_with(number, |settings| settings.peers = &mut []);
    }

    /// Turns a device off and on again, from then on with so much room for bodies.
    pub(crate) fn body_room(&mut self, number: usize, bytes: usize) {
        self.restart_with(number, |settings| settings.body = Box::leak(vec![0; bytes].into_boxed_slice()));
    }

    fn restart_with(&mut self, number: usize, change: impl FnOnce(&mut Settings<'static>)) {
        let parts = self.nodes[number].sdk.take().unwrap().stop();
        let mut settings = settings(&[]);
        change(&mut settings);
        let mut sdk = Sdk::start(parts, settings, memory(), self.ticks()).unwrap();
        sdk.set_time(self.ticks(), Interval::exactly(START));
        self.nodes[number].sdk = Some(sdk);
        self.nodes[number].wait = None;
    }

    fn start(&mut self, number: usize, parts: Parts<Sim>) {
        let therapy = self.nodes[number].therapy.then(|| (journal(), limits()));
        let sdk =
            Sdk::start(parts, Settings { therapy, alliance: self.alliance, ..settings(&[]) }, memory(), self.ticks())
                .unwrap();
        self.nodes[number].sdk = Some(sdk);
        self.nodes[number].wait = None;
    }

    /// Bonds a device with a controller, by its button.
    pub(crate) fn bond(&mut self, number: usize, controller: &str, operations: Operations) {
        let act = PhysicalAct::danger_button_was_held();
        let now = self.ticks();
        self.sdk(number).bond(now, act, device_id(controller), PatientContext([7; 16]), operations).unwrap();
    }

    /// A pump whose places are all taken by bonded peers: their numbers, and their sessions with it. The first was silent for
    /// longest.
    pub(crate) fn with_bonded_peers() -> (Self, usize, [(usize, Peer); 3]) {
        let mut world = Self::new(6, FAIR);
        let pump = world.pump("pump-1");
        let peers = ["controller-1", "cgm-1", "cgm-2"].map(|name| {
            world.bond(pump, name, Operations::of(&[Operation::Inform]));
            let number = world.device(name, &[Role::Controller]);
            let peer = world.connect(number, pump);
            world.run(1_000, |_| false);
            (number, peer)
        });
        (world, pump, peers)
    }

    /// The session that a device has with the one that connected last.
    pub(crate) fn peer_at(&mut self, number: usize) -> Peer {
        let connected = self.nodes[number].happened.iter().rev().find_map(|happened| match happened {
            Happened::Connected { peer, .. } => Some(*peer),
            _ => None,
        });
        connected.unwrap()
    }

    /// What runs at a pump ends, with what was ordered delivered.
    pub(crate) fn finish(&mut self, number: usize) {
        let now = self.ticks();
        if let Some(running) = self.nodes[number].running.take() {
            self.sdk(number).done(now, running, MilliUnits(500));
        }
    }

    pub(crate) fn pass_days(&mut self, days: u64) {
        self.now += days * 86_400_000;
    }

    /// Posts something without a session and gives the code of the answer.
    pub(crate) fn post_open(&mut self, to: usize, path: &[&str], payload: &[u8]) -> u8 {
        let mut buffer = [0; 1400];
        let id = MessageId(self.dice.next() as u16);
        let message = Writer::new(&mut buffer, Type::Confirmable, Code::POST, id, Token::EMPTY)
            .path(path)
            .payload(payload)
            .finish()
            .unwrap();
        let (now, stranger) = (self.ticks(), address(200));
        self.sdk(to).handle_datagram(now, stranger, message);
        let before = self.wire.len();
        self.drain(to);
        let answer = self.wire[before..].iter().find(|(_, to, _)| *to == stranger).unwrap();
        answer.2[1]
    }

    /// Gives a device a credential, by hand.
    pub(crate) fn enrol(&mut self, number: usize, name: &str, roles: &[Role], validity: (Time, Time)) {
        let parts = self.nodes[number].sdk.take().unwrap().stop();
        let mut keys = parts.keys.clone();
        let key = keys.dice.key();
        keys.next = Some(key.clone());
        let certificate = self.site.root.issue(name, roles, &key, validity);
        let parts = Parts { keys, ..parts };
        let now = self.ticks();
        let mut sdk = Sdk::start(parts, settings(&[]), memory(), now).unwrap();
        sdk.set_time(now, Interval::exactly(START.plus_seconds(i64::try_from(self.now / 1_000).unwrap())));
        sdk.install_credential(&[&certificate]).unwrap();
        self.nodes[number].credential = certificate;
        self.nodes[number].sdk = Some(sdk);
    }

    /// Turns a device off and on again: what it has in memory is gone.
    pub(crate) fn reboot(&mut self, number: usize) {
        self.restart(number, |_| ());
    }

    /// The same, with a look at the parts, or a blow to them, while it is off.
    pub(crate) fn restart<R>(&mut self, number: usize, meanwhile: impl FnOnce(&mut Parts<Sim>) -> R) -> R {
        let mut parts = self.nodes[number].sdk.take().unwrap().stop();
        let result = meanwhile(&mut parts);
        self.start(number, parts);
        result
    }

    pub(crate) fn sdk(&mut self, number: usize) -> &mut Sdk {
        self.nodes[number].sdk.as_mut().unwrap()
    }

    /// Puts a datagram on the link.
    pub(crate) fn send(&mut self, from: Address, to: Address, datagram: &[u8]) {
        self.wire.push((from, to, datagram.to_vec()));
        let mut copies = 1;
        if self.dice.next() % 100 < self.weather.lost {
            copies = 0;
        } else if self.dice.next() % 100 < self.weather.doubled {
            copies = 2;
        }
        for _ in 0..copies {
            let late = self.dice.next() % (self.weather.late_ms + 1);
            self.sent += 1;
            self.flight.insert((self.now + 1 + late, self.sent), (from, to, datagram.to_vec()));
        }
    }

    /// Lets a device do all it wants to do now.
    pub(crate) fn drain(&mut self, number: usize) {
        let now = self.ticks();
        let mut buffer = [0; 2400];
        loop {
            let node = &mut self.nodes[number];
            let Some(sdk) = &mut node.sdk else { return };
            let happened = match sdk.poll(now, &mut buffer) {
                Output::Wait(until) => {
                    node.wait = until;
                    return;
                }
                Output::Transmit { to, datagram } => {
                    let (from, datagram) = (node.address, datagram.to_vec());
                    self.send(from, to, &datagram);
                    continue;
                }
                Output::Event(Event::Connected { peer, device, .. }) => Happened::Connected { peer, device },
                Output::Event(Event::NotConnected { why, .. }) => Happened::NotConnected(why),
                Output::Event(Event::Closed { peer, why, .. }) => Happened::Closed(peer, why),
                Output::Event(Event::Asked { ask, resource, .. }) => {
                    let payload = node.answer.clone();
                    sdk.answer(now, ask, Status::Done, &payload).unwrap();
                    Happened::Asked(resource)
                }
                Output::Event(Event::Denied { denied, .. }) => Happened::Denied(denied),
                Output::Event(Event::Answered { call, status, payload, .. }) => {
                    Happened::Answered(call, status, payload.to_vec())
                }
                Output::Event(Event::Readings { permit, payload, .. }) => {
                    Happened::Readings(permit.operation(), permit.mark(), payload.to_vec())
                }
                Output::Event(Event::Carried { status, payload, .. }) => Happened::Carried(status, payload.to_vec()),
                Output::Event(Event::Unanswered { why, .. }) => Happened::Unanswered(why),
                Output::Event(Event::Command { act, receipt }) => {
                    let operation = act.action().operation();
                    node.running = sdk.started(now, receipt, act);
                    Happened::Acted(operation)
                }
                Output::Event(Event::Uncertain(_)) => Happened::Uncertain,
                Output::Event(Event::Enrolled { device }) => Happened::Enrolled(device),
                Output::Event(Event::NotEnrolled { .. }) => Happened::NotEnrolled,
                Output::Event(Event::LeaseEnded) => Happened::LeaseEnded,
                Output::Event(Event::News(_)) => Happened::News,
                Output::Event(Event::Followed { .. }) => Happened::Followed,
                Output::Event(Event::NotFollowed { .. }) => Happened::NotFollowed,
            };
            node.happened.push(happened);
        }
    }

    /// Lets time pass until `until`, or something happened that `enough` wants.
    pub(crate) fn run(&mut self, millis: u64, mut enough: impl FnMut(&[Node]) -> bool) -> bool {
        let end = self.now + millis;
        for number in 0..self.nodes.len() {
            self.drain(number);
        }
        loop {
            if enough(&self.nodes) {
                return true;
            }
            let arrival = self.flight.keys().next().map(|(at, _)| *at);
            let timeout = self.nodes.iter().filter_map(|node| node.wait).min().map(Ticks::as_millis);
            let next = [arrival, timeout].into_iter().flatten().min().unwrap_or(end).max(self.now);
            if next >= end {
                self.now = end;
                return enough(&self.nodes);
            }
            self.now = next;
            let now = self.ticks();
            if arrival == Some(next) {
                let (_, (from, to, mut datagram)) = self.flight.pop_first().unwrap();
                let number = self.nodes.iter().position(|node| node.address == to);
                if let Some(refusal) =
                    number.filter(|one| self.plain_only == Some(*one)).and_then(|_| refusal(&datagram))
                {
                    self.send(to, from, &refusal);
                } else if let Some(number) = number {
                    if let Some(sdk) = &mut self.nodes[number].sdk {
                        sdk.handle_datagram(now, from, &mut datagram);
                    }
                    self.drain(number);
                }
            } else {
                for number in 0..self.nodes.len() {
                    if self.nodes[number].wait.is_some_and(|wait| wait <= now) {
                        if let Some(sdk) = &mut self.nodes[number].sdk {
                            sdk.handle_timeout(now);
                        }
                        self.drain(number);
                    }
                }
            }
        }
    }

    /// Connects one device with another and gives the session at the one that began.
    pub(crate) fn connect(&mut self, from: usize, to: usize) -> Peer {
        self.try_connect(from, to).expect("a session")
    }

    pub(crate) fn try_connect(&mut self, from: usize, to: usize) -> Option<Peer> {
        let (now, target) = (self.ticks(), self.nodes[to].address);
        let before = self.nodes[from].happened.len();
        self.sdk(from).connect(now, target).unwrap();
        let find = move |nodes: &[Node]| {
            nodes[from].happened[before..].iter().find_map(|happened| match happened {
                Happened::Connected { peer, .. } => Some(Some(*peer)),
                Happened::NotConnected(_) => Some(None),
                _ => None,
            })
        };
        self.run(600_000, |nodes| find(nodes).is_some());
        find(&self.nodes).flatten()
    }

    /// The payload of each message of EDHOC on the wire since `before`, message 3 and what goes with it as one.
    pub(crate) fn handshake_lengths(&self, before: usize) -> Vec<usize> {
        let of_edhoc = |datagram: &[u8]| {
            let message = Message::read(datagram).unwrap();
            let format = message.uint(option::CONTENT_FORMAT);
            let is = matches!(format, Some(64 | 65)) || message.option(option::EDHOC).is_some();
            is.then(|| message.payload().len())
        };
        self.wire[before..].iter().filter_map(|(_, _, datagram)| of_edhoc(datagram)).collect()
    }

    /// Makes a call and gives what came of it.
    pub(crate) fn call(
        &mut self,
        from: usize,
        peer: Peer,
        method: Method,
        resource: Resource,
        payload: &[u8],
    ) -> Happened {
        let now = self.ticks();
        let before = self.nodes[from].happened.len();
        self.sdk(from).call(now, peer, method, resource, payload).unwrap();
        self.answer_since(from, before)
    }

    /// What came of a call that was made when so much had happened.
    pub(crate) fn answer_since(&mut self, from: usize, before: usize) -> Happened {
        let find = move |nodes: &[Node]| {
            nodes[from].happened[before..]
                .iter()
                .find(|happened| {
                    matches!(
                        happened,
                        Happened::Answered(..)
                            | Happened::Readings(..)
                            | Happened::Carried(..)
                            | Happened::Unanswered(_)
                            | Happened::Denied(_)
                    )
                })
                .cloned()
        };
        self.run(900_000, |nodes| find(nodes).is_some());
        find(&self.nodes).expect("an answer, or none in time")
    }
}
