//! The drivers, over real sockets: a lease that is kept, an observation, an enrolment.

use crate::enrolment::newborn;
use crate::judged::BOLUS;
use crate::site::device_id;
use crate::world::{FAIR, Sdk, World};
use medlock_device::platform::Ticks;
use medlock_device::{Address, Event, Method, Peer, Request, Resource, Status, asynch, blocking};
use medlock_proto::sealed::{Memory, MilliUnits, Order, Told};
use medlock_trust::role::Role;
use medlock_trust::{Operation, Operations};
use std::future::poll_fn;
use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A socket and a clock, for either driver.
pub(crate) struct Udp {
    socket: UdpSocket,
    since: Instant,
}

impl Udp {
    pub(crate) fn bind() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, since: Instant::now() }
    }

    pub(crate) fn address(&self) -> Address {
        written(self.socket.local_addr().unwrap()).unwrap()
    }

    fn ticks(&self) -> Ticks {
        // The devices were made a while ago, on another clock.
        Ticks::from_millis(100_000 + u64::try_from(self.since.elapsed().as_millis()).unwrap())
    }

    pub(crate) fn put(&self, to: Address, datagram: &[u8]) -> Result<(), Error> {
        let [a, b, c, d, high, low] = *to.as_bytes() else { panic!("an address of this transport") };
        let to = SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]));
        self.socket.send_to(datagram, to).map(drop)
    }

    /// What came; `None` if nothing is there.
    pub(crate) fn take(&self, buffer: &mut [u8]) -> Result<Option<(Address, usize)>, Error> {
        match self.socket.recv_from(buffer) {
            Ok((length, from)) => Ok(written(from).map(|from| (from, length))),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn written(address: SocketAddr) -> Option<Address> {
    let SocketAddr::V4(address) = address else { return None };
    let ([a, b, c, d], [high, low]) = (address.ip().octets(), address.port().to_be_bytes());
    Address::new(&[a, b, c, d, high, low])
}

impl blocking::Transport for Udp {
    type Error = Error;

    fn now(&self) -> Ticks {
        self.ticks()
    }

    fn send(&mut self, to: Address, datagram: &[u8]) -> Result<(), Error> {
        self.put(to, datagram)
    }

    fn receive(&mut self, buffer: &mut [u8], until: Option<Ticks>) -> Result<Option<(Address, usize)>, Error> {
        loop {
            let taken = self.take(buffer)?;
            if taken.is_some() || until.is_some_and(|until| until <= self.ticks()) {
                return Ok(taken);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl asynch::Transport for Udp {
    type Error = Error;

    fn now(&self) -> Ticks {
        self.ticks()
    }

    async fn send(&mut self, to: Address, datagram: &[u8]) -> Result<(), Error> {
        self.put(to, datagram)
    }

    async fn receive(&mut self, buffer: &mut [u8], until: Option<Ticks>) -> Result<Option<(Address, usize)>, Error> {
        poll_fn(|_| match self.take(buffer) {
            Ok(None) if until.is_none_or(|until| until > self.ticks()) => Poll::Pending,
            taken => Poll::Ready(taken),
        })
        .await
    }
}

/// An executor of one task, which looks every millisecond.
pub(crate) fn block_on<T>(task: impl Future<Output = T>) -> T {
    let mut task = pin!(task);
    loop {
        if let Poll::Ready(done) = task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A device, its socket, and how it is driven.
pub(crate) struct Driven {
    pub(crate) sdk: Sdk,
    pub(crate) udp: Udp,
    pub(crate) by_executor: bool,
}

impl Driven {
    /// The next event, or `None` at the time.
    async fn next<'b>(&mut self, until: Ticks, buffer: &'b mut [u8]) -> Option<Event<'b>> {
        let Self { sdk, udp, by_executor } = self;
        let until = Some(until);
        if *by_executor {
            asynch::next_event(sdk, udp, until, buffer).await.unwrap()
        } else {
            blocking::next_event(sdk, udp, until, buffer).unwrap()
        }
    }

    pub(crate) fn now(&self) -> Ticks {
        self.udp.ticks()
    }

    fn soon(&self, millis: u64) -> Ticks {
        Ticks::from_millis(self.now().as_millis() + millis)
    }

    /// Waits for what `wanted` makes something of.
    pub(crate) async fn wait<T>(&mut self, mut wanted: impl FnMut(Event<'_>) -> Option<T>) -> T {
        let (end, mut buffer) = (self.soon(20_000), [0; 1280]);
        while self.now() < end {
            if let Some(found) = self.next(end, &mut buffer).await.and_then(&mut wanted) {
                return found;
            }
        }
        panic!("nothing of that kind in time");
    }

    /// Posts something in a session and gives the answer.
    async fn post(&mut self, peer: Peer, resource: Resource, payload: &[u8]) -> (Status, Vec<u8>) {
        let now = self.now();
        let made = self.sdk.call(now, peer, Method::Post, resource, payload).unwrap();
        self.wait(|event| match event {
            Event::Answered { call, status, payload, .. } if call == made => Some((status, payload.to_vec())),
            _ => None,
        })
        .await
    }
}

/// A pump: answers, delivers at once what it is told to, and tells who observes how often it did.
async fn pump(mut pump: Driven, stop: &AtomicBool) {
    let (mut delivered, mut buffer) = (0_u8, [0; 1280]);
    while !stop.load(Ordering::SeqCst) {
        let (now, until) = (pump.now(), pump.soon(20));
        match pump.next(until, &mut buffer).await {
            Some(Event::Asked { ask, resource: Resource::State, .. }) => {
                pump.sdk.answer(now, ask, Status::Done, &[delivered]).unwrap();
            }
            Some(Event::Command { act, receipt }) => {
                let running = pump.sdk.started(now, receipt, act).unwrap();
                pump.sdk.done(now, running, MilliUnits(500)).unwrap();
                delivered += 1;
                pump.sdk.notify(now, Resource::State, &[delivered]);
            }
            Some(_) | None => {}
        }
    }
}

/// A controller: follows the pump's state, treats, and keeps its lease.
async fn controller(mut controller: Driven, pump: Address) {
    let now = controller.now();
    // The first request, which goes with the handshake, is one that goes on.
    let request = Request::new(Method::Observe, Resource::State, &[]);
    let followed = controller.sdk.connect_with(now, pump, &request).unwrap();
    let state = |event: Event<'_>| match event {
        Event::Answered { call, peer, status: Status::Done, payload } if call == followed => {
            Some((peer, payload.to_vec()))
        }
        _ => None,
    };
    let (peer, first) = controller.wait(state).await;
    assert_eq!(first, [0]);
    assert_eq!(controller.post(peer, Resource::Lease, &[]).await.0, Status::Refused(9), "no lease was granted");
    let mut commander = controller.sdk.commander(peer, 1, Memory::default()).unwrap();
    for treated in 1..=3_u8 {
        let mut out = [0; 112];
        let asked = commander.ask_challenge(&mut out, controller.sdk.crypto()).unwrap().to_vec();
        let (_, mut challenge) = controller.post(peer, Resource::Challenge, &asked).await;
        commander.open(&mut challenge, controller.sdk.crypto()).unwrap();
        let order = Order { action: BOLUS, evidence: None };
        let (counter, sealed) = commander.command(order, &mut out, controller.sdk.crypto()).unwrap();
        let sealed = sealed.to_vec();
        let now = controller.now();
        let made = controller.sdk.call(now, peer, Method::Post, Resource::Command, &sealed).unwrap();
        // Receipt and news come in any order.
        let (mut receipt, mut news) = (None, None);
        while receipt.is_none() || news.is_none() {
            let (from, payload) = controller
                .wait(|event| match event {
                    Event::Answered { call, payload, .. } => Some((call, payload.to_vec())),
                    _ => None,
                })
                .await;
            let place = if from == made { &mut receipt } else { &mut news };
            *place = Some(payload);
        }
        let told = commander.open(&mut receipt.unwrap(), controller.sdk.crypto()).unwrap();
        assert!(matches!(told, Told::Receipt(_)), "{told:?}");
        assert_eq!(news.unwrap(), [treated]);
        assert_eq!(controller.post(peer, Resource::Lease, &[]).await.0, Status::Done, "the lease is kept");
        // What was begun is over when its receipt says so.
        let asked = commander.ask_receipt(counter, &mut out, controller.sdk.crypto()).unwrap().to_vec();
        let (_, mut receipt) = controller.post(peer, Resource::Receipt, &asked).await;
        commander.open(&mut receipt, controller.sdk.crypto()).unwrap();
    }
    controller.sdk.cancel(followed);
}

/// Shows REQ-DEV-107.
#[test]
fn a_lease_and_an_observation_over_udp_by_either_driver() {
    for (pump_by, controller_by) in [(false, true), (true, false)] {
        let mut world = World::new(7, FAIR);
        let here = world.pump("pump-1");
        let there = world.device("controller-1", &[Role::Controller]);
        world.bond(here, "controller-1", Operations::of(&[Operation::Treat, Operation::Halt]));
        let (udp, stop) = (Udp::bind(), AtomicBool::new(false));
        let address = udp.address();
        let mut take = |number: usize| world.nodes[number].sdk.take().unwrap();
        let first = Driven { sdk: take(here), udp, by_executor: pump_by };
        let second = Driven { sdk: take(there), udp: Udp::bind(), by_executor: controller_by };
        std::thread::scope(|scope| {
            scope.spawn(|| block_on(pump(first, &stop)));
            // The pump ends also if this fails.
            let ended = scope.spawn(|| block_on(controller(second, address))).join();
            stop.store(true, Ordering::SeqCst);
            ended.unwrap();
        });
    }
}

/// Shows REQ-DEV-107.
#[test]
fn an_enrolment_over_udp_by_either_driver() {
    for by_executor in [false, true] {
        let (mut world, mut hub, device) = newborn();
        let sdk = world.nodes[device].sdk.take().unwrap();
        let (mut driven, served) = (Driven { sdk, udp: Udp::bind(), by_executor }, Udp::bind());
        let (address, stop) = (served.address(), AtomicBool::new(false));
        let site = &world.site;
        std::thread::scope(|scope| {
            let (hub, stop) = (&mut hub, &stop);
            scope.spawn(move || {
                let mut buffer = [0; 1280];
                while !stop.load(Ordering::SeqCst) {
                    match served.take(&mut buffer).unwrap() {
                        Some((from, length)) => served.put(from, &hub.answer(site, &mut buffer[..length])).unwrap(),
                        None => std::thread::sleep(Duration::from_millis(1)),
                    }
                }
            });
            let enrolled = block_on(async {
                let now = driven.now();
                driven.sdk.connect(now, address).unwrap();
                let connected = |event: Event<'_>| match event {
                    Event::Connected { peer, .. } => Some(peer),
                    _ => None,
                };
                let peer = driven.wait(connected).await;
                let now = driven.now();
                driven.sdk.enrol(now, peer, None).unwrap();
                let enrolled = |event: Event<'_>| match event {
                    Event::Enrolled { device } => Some(device),
                    _ => None,
                };
                driven.wait(enrolled).await
            });
            stop.store(true, Ordering::SeqCst);
            assert_eq!(enrolled, device_id("pump-1"));
        });
    }
}
