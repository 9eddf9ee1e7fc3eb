//! The device SDK at a hub, over real sockets: from a birth credential to a renewed one.

#[path = "../../../device/tests/device/platform.rs"]
mod platform;

use crate::coap::Running;
use crate::enrolment::{Maker, import};
use crate::fixture::{Site, noon};
use medlock_authority::admin::Request as Ask;
use medlock_authority::objects::Kind as ObjectKind;
use medlock_device::blocking::{Transport, next_event};
use medlock_device::objects::Kind;
use medlock_device::platform::{Parts, Ticks};
use medlock_device::{
    Address, Device, Event, Layout, Memory, Method, NotTaken, Peer, Request, Resource, Settings, Status,
};
use medlock_node::coap::{Client, Code, Request as CoapRequest, content_format, option};
use medlock_node::provider::SigningKey;
use medlock_proto::crypto::Secret;
use medlock_rustcrypto::{RustCrypto, SoftwareKey};
use medlock_trust::Interval;
use medlock_trust::list::{AuthorityState, List};
use platform::{Dice, Sim, SimFlash, SimKeys};
use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

type Sdk = Device<'static, Sim, 2, 4, 1600>;

/// A socket that is connected to the hub, and what was sent by it.
struct Udp {
    socket: UdpSocket,
    since: Instant,
    sent: Vec<Vec<u8>>,
}

fn hub_address() -> Address {
    Address::new(b"hub").unwrap()
}

impl Transport for Udp {
    type Error = Error;

    fn now(&self) -> Ticks {
        Ticks::from_millis(u64::try_from(self.since.elapsed().as_millis()).unwrap())
    }

    fn send(&mut self, to: Address, datagram: &[u8]) -> Result<(), Error> {
        assert_eq!(to, hub_address());
        self.sent.push(datagram.to_vec());
        self.socket.send(datagram).map(drop)
    }

    fn receive(&mut self, buffer: &mut [u8], until: Option<Ticks>) -> Result<Option<(Address, usize)>, Error> {
        let wait = until.map(|until| Duration::from_millis(until.millis_since(self.now()).max(1)));
        self.socket.set_read_timeout(wait)?;
        match self.socket.recv(buffer) {
            Ok(length) => Ok(Some((hub_address(), length))),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A device with a birth credential, that has its site's root key and the time.
struct Machine {
    sdk: Sdk,
    udp: Udp,
    birth: &'static [&'static [u8]],
}

/// What came of a call.
type Answered = (Status, Vec<u8>);

fn answered(event: &Event<'_>) -> Option<Answered> {
    match event {
        Event::Answered { status, payload, .. } | Event::Carried { status, payload, .. } => {
            Some((*status, payload.to_vec()))
        }
        Event::Unanswered { why, .. } => panic!("no answer: {why:?}"),
        Event::NotConnected { why, .. } => panic!("no session: {why:?}"),
        Event::NotEnrolled { why } => panic!("not enrolled: {why:?}"),
        _ => None,
    }
}

impl Machine {
    fn new(site: &Site, birth: &[Vec<u8>], key: &SigningKey, hub: SocketAddr) -> Self {
        let chain: Vec<&'static [u8]> = birth.iter().map(|one| &*leak(one.clone())).collect();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(hub).unwrap();
        let udp = Udp { socket, since: Instant::now(), sent: Vec::new() };
        let dice = Dice(u64::from_be_bytes(medlock_node::provider::random()));
        let keys =
            SimKeys { birth: Some(software(key)), operational: None, next: None, dice: dice.clone(), broken: false };
        let parts = Parts { crypto: RustCrypto, rng: dice, flash: SimFlash::new(), keys };
        let birth: &'static [&'static [u8]] = chain.leak();
        let mut machine = Self { sdk: start(parts, birth, udp.now()), udp, birth };
        machine.sdk.pin_site(site.authority.root().key, None).unwrap();
        machine.sdk.set_time(machine.udp.now(), Interval::exactly(noon()));
        machine
    }

    /// Waits for what `wanted` makes something of.
    fn wait<T>(&mut self, mut wanted: impl FnMut(&Event<'_>) -> Option<T>) -> T {
        let (end, mut buffer) = (Instant::now() + Duration::from_secs(20), [0; 8192]);
        while Instant::now() < end {
            let until = Ticks::from_millis(self.udp.now().as_millis() + 1_000);
            let event = next_event(&mut self.sdk, &mut self.udp, Some(until), &mut buffer).unwrap();
            if let Some(found) = event.as_ref().and_then(&mut wanted) {
                return found;
            }
        }
        panic!("nothing of that kind in time");
    }

    /// Turns it off and on again: what it has in memory is gone, and what time it is.
    fn reboot(self) -> Self {
        let Self { sdk, udp, birth } = self;
        Self { sdk: start(sdk.stop(), birth, udp.now()), udp, birth }
    }

    /// Fetches the site's list, and those that were missed first, until `most` were taken; how many were, and whether the hub
    /// has no later one.
    fn follow(&mut self, most: usize) -> (usize, bool) {
        let (mut taken, mut ended) = (0, false);
        let made = self.sdk.follow_site(self.udp.now(), hub_address()).unwrap();
        while taken < most && !ended {
            self.wait(|event| match event {
                Event::News(Kind::SiteList) => {
                    taken += 1;
                    Some(())
                }
                Event::Followed { call } if *call == made => {
                    ended = true;
                    Some(())
                }
                Event::NotFollowed { why, .. } => panic!("not taken: {why}"),
                other => answered(other).map(|answer| panic!("{answer:?}")),
            });
        }
        (taken, ended)
    }

    fn connect(&mut self) -> Peer {
        self.sdk.connect(self.udp.now(), hub_address()).unwrap();
        self.wait(|event| match event {
            Event::Connected { peer, .. } => Some(*peer),
            other => answered(other).map(|answer| panic!("{answer:?}")),
        })
    }

    /// Asks for a credential: the device's name, or what was answered instead.
    fn enrol(&mut self, hub: Peer, code: Option<&str>) -> Result<String, Answered> {
        self.sdk.enrol(self.udp.now(), hub, code).unwrap();
        self.wait(|event| match event {
            Event::Enrolled { device } => Some(Ok(device.to_string())),
            other => answered(other).map(Err),
        })
    }

    fn ask(&mut self, hub: Peer, request: &Request<'_>) -> Answered {
        self.sdk.request(self.udp.now(), hub, request).unwrap();
        self.wait(answered)
    }

    /// Opens a session with a first request; the datagrams it took.
    fn connect_with(&mut self, request: &Request<'_>) -> (Answered, Vec<usize>) {
        let before = self.udp.sent.len();
        self.sdk.connect_with(self.udp.now(), hub_address(), request).unwrap();
        let answer = self.wait(answered);
        (answer, self.udp.sent[before..].iter().map(Vec::len).collect())
    }

    /// Fetches what the hub holds, without a session, and takes what it believes.
    fn fetch_objects(&mut self) -> usize {
        let mut taken = 0;
        for number in 0..8 {
            let query = format!("o={number}");
            let request = Request { query: Some(query.as_bytes()), ..Request::get(Resource::Objects) };
            self.sdk.request_openly(self.udp.now(), hub_address(), &request).unwrap();
            let (status, object) = self.wait(answered);
            if status != Status::Done {
                break;
            }
            taken += usize::from(self.sdk.take_object(self.udp.now(), &object).is_ok());
        }
        taken
    }
}

fn leak(bytes: Vec<u8>) -> &'static mut [u8] {
    Box::leak(bytes.into_boxed_slice())
}

fn start(parts: Parts<Sim>, birth: &'static [&'static [u8]], now: Ticks) -> Sdk {
    let settings = Settings {
        peers: leak(vec![0; 2048]),
        body: leak(vec![0; 8192]),
        ..Settings::new(Layout { objects: 0..40, slot_pages: 2 }, birth, leak(vec![0; 4096]))
    };
    Sdk::start(parts, settings, Box::leak(Box::new(Memory::new())), now).unwrap()
}

/// The same key for a chip.
fn software(key: &SigningKey) -> SoftwareKey {
    let document = key.to_pkcs8();
    let at = document.windows(2).position(|two| two == [0x04, 0x20]).unwrap() + 2;
    SoftwareKey::p256(Secret::from_bytes(document[at..at + 32].try_into().unwrap())).unwrap()
}

/// A hub that believes in a maker, and a device of that maker.
async fn scene() -> (Running, Machine) {
    let hub = Running::of(Site::new()).await;
    let (maker, member, key) = (Maker::new(), SigningKey::generate(), SigningKey::generate());
    import(&hub.site, &maker.list(&member, 1, AuthorityState::Listed), &[member.key_id()]).unwrap();
    hub.site.register("ct-1");
    let mut birth = maker.birth("SN-0815", &key);
    birth.truncate(2);
    let machine = Machine::new(&hub.site, &birth, &key, hub.address);
    (hub, machine)
}

/// Shows REQ-DEV-108.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newborn_device_enrols_at_the_hub_with_a_code_and_renews() {
    let (hub, mut machine) = scene().await;
    tokio::task::spawn_blocking(move || {
        assert!(machine.fetch_objects() >= 2, "the site's list and its status");
        let session = machine.connect();
        // An unregistered serial waits for a person; a code that is none is refused; a good one waits for its person.
        let code = hub.site.code("ct-1").to_string();
        assert_eq!(machine.enrol(session, Some("MEDLOCK-0000")).unwrap_err().0, Status::Refused(0));
        assert_eq!(machine.enrol(session, Some(&code)).unwrap_err().0, Status::Failed(3), "5.03: confirm it");
        hub.site.approve_all();
        let enrolled = machine.enrol(session, Some(&code)).expect("confirmed");
        assert_eq!(Some(enrolled), machine.sdk.own().map(|own| own.to_string()));
        assert_eq!(hub.site.state("ct-1").1.len(), 1);

        let session = machine.connect();
        machine.enrol(session, None).expect("renewed");
        assert_eq!(hub.site.state("ct-1").1.len(), 2);
        machine.connect();
    })
    .await
    .unwrap();
}

/// Shows REQ-DEV-108.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_fetches_the_certificates_of_the_authority() {
    let (hub, mut machine) = scene().await;
    tokio::task::spawn_blocking(move || {
        machine.fetch_objects();
        let session = machine.connect();
        let get = Request::get(Resource::AuthorityCertificates);
        let one = Request { accept: Some(content_format::PKIX_CERTIFICATE), ..get };
        let root = &hub.site.authority.root().der;
        assert_eq!(machine.ask(session, &one), (Status::Done, root.clone()));
        let (status, both) = machine.ask(session, &get);
        let issuing = &hub.site.authority.issuing().der;
        assert_eq!(status, Status::Done);
        for one in [root, issuing] {
            assert!(both.windows(one.len()).any(|part| part == &one[..]), "whole, though in blocks");
        }
    })
    .await
    .unwrap();
}

/// Shows REQ-DEV-110.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_request_goes_with_message_3_and_a_known_credential_by_its_name() {
    let (hub, mut machine) = scene().await;
    tokio::task::spawn_blocking(move || {
        machine.fetch_objects();
        let session = machine.connect();
        let code = hub.site.code("ct-1").to_string();
        assert!(machine.enrol(session, Some(&code)).is_err());
        hub.site.approve_all();
        machine.enrol(session, Some(&code)).expect("confirmed");
        let listing = Request::new(Method::Get, Resource::Objects, &[]);
        let (shown, datagrams) = machine.connect_with(&listing);
        assert_eq!((shown.0, datagrams.len()), (Status::Done, 2), "message 1; message 3 with the request");
        // The hub has seen the new credential now.
        let (named, smaller) = machine.connect_with(&listing);
        assert_eq!((&named, smaller.len()), (&shown, 2));
        assert!(smaller[1] + 100 < datagrams[1], "{smaller:?} after {datagrams:?}");
    })
    .await
    .unwrap();
}

/// Shows REQ-COAP-80, REQ-DEV-136: a device that was off while the root of its site was replaced five times asks its hub, which
/// it does not know any more, for the list of each, and goes on where it was when its power went.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_five_roots_behind_catches_up_at_the_hub_by_itself() {
    let (hub, mut machine) = scene().await;
    tokio::task::spawn_blocking(move || {
        assert_eq!(machine.follow(9), (1, true), "the first list");
        assert_eq!(machine.follow(9), (0, true), "there is no later one");
        let first = hub.site.authority.root().key;
        for root in ["root", "root-2", "root-3", "root-4", "root-5"] {
            for change in ["root".to_owned(), format!("retire {root}")] {
                hub.site.ask(Ask::ChangeKeys { change: change.parse().unwrap(), anyway: true, why: String::new() });
            }
            hub.site.clock.advance(3_600);
        }
        assert_ne!(hub.site.authority.root().key, first);
        let mut machine = machine.reboot();
        let newest = hub.site.authority.news().current(ObjectKind::SiteList).unwrap().bytes;
        let refused = machine.sdk.take_object(machine.udp.now(), &newest).unwrap_err();
        assert!(matches!(refused, NotTaken::List(_)), "it knows nobody who signed the newest: {refused}");
        // Its power goes behind the second list, and behind the third.
        assert_eq!(machine.follow(2), (2, false));
        let mut machine = machine.reboot();
        assert_eq!(machine.follow(1), (1, false));
        let mut machine = machine.reboot();
        assert_eq!(machine.follow(9), (3, true), "two more, and the newest");
        assert!(machine.sdk.take_object(machine.udp.now(), &newest).is_err_and(|why| why.is_old()));
        // What the hub says in the name of the newest root is believed again.
        machine.sdk.set_time(machine.udp.now(), Interval::exactly(hub.site.clock.now()));
        assert!(machine.fetch_objects() >= 1, "the status list");
        machine.connect();
    })
    .await
    .unwrap();
}

/// Shows REQ-COAP-80: over CoAP the hub gives the same lists as over HTTP, and then the newest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_gives_missed_site_lists_over_coap() {
    let hub = Running::of(Site::new()).await;
    for change in ["root", "retire root", "root", "retire root-2"] {
        hub.site.ask(Ask::ChangeKeys { change: change.parse().unwrap(), anyway: true, why: String::new() });
    }
    let newest = hub.site.authority.news().current(ObjectKind::SiteList).unwrap();
    let client = Client::plain(hub.address).await.unwrap();
    let (mut after, mut given) = (0, Vec::new());
    loop {
        let request = CoapRequest::get("/m/objects").with(option::URI_QUERY, format!("a={after}"));
        let answer = client.request(request).await.unwrap();
        if answer.code != Code::CONTENT {
            assert_eq!(answer.code, Code::NOT_FOUND);
            break;
        }
        let missed = hub.site.authority.missed_site_list(after);
        assert_eq!(answer.payload, missed.unwrap_or_else(|| newest.bytes.to_vec()));
        after = List::danger_open(&answer.payload).unwrap().heading().version;
        given.push(after);
    }
    assert_eq!((given.len(), after), (3, newest.version), "{given:?}");
    for wrong in ["a=", "a=-1", "a=18446744073709551616", "a=1x", "a"] {
        let request = CoapRequest::get("/m/objects").with(option::URI_QUERY, wrong.to_owned());
        assert_eq!(client.request(request).await.unwrap().code, Code::NOT_FOUND, "{wrong}");
    }
}
