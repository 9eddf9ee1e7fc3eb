//! The body around a firmware: a socket, ticks, the core of the SDK, and a line to the world.

use super::fetch::Fetch;
use super::outbox::Outbox;
use super::report::Report;
use super::visit::Visit;
use super::words::{Do, Said};
use super::{Error, Kind, Options, pump};
use crate::diabetes::NOT_FOR_THERAPY;
use crate::diabetes::host::{FileFlash, FileKeys, Host, SystemRng, VirtualClock};
use data_encoding::{BASE64, HEXLOWER};
use medlock_device::platform::{Parts, Ticks};
use medlock_device::{
    Address, CallId, Closing, Device, Event, Layout, Memory, Method, Output, Peer, PhysicalAct, Resource, Settings,
};
use medlock_proto::coap::Transmission;
use medlock_proto::objects::Held;
use medlock_rustcrypto::RustCrypto;
use medlock_trust::bond::PatientContext;
use medlock_trust::list::Pinned;
use medlock_trust::policy::Setting;
use medlock_trust::{DeviceId, DeviceName, Interval, KeyId, Operation, Operations, Time};
use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Pages of the flash: sixteen slots of four pages for objects, and sixteen for the journal.
pub(super) const JOURNAL: std::ops::Range<usize> = 64..80;
const OBJECTS: std::ops::Range<usize> = 0..64;
const SLOT_PAGES: usize = 4;
const PAGES: usize = 80;
/// The longest trust object: what a slot holds.
const STAGING: usize = 4 * 4096;
/// Room for the credentials of six peers and a hub, which then name them by a hash.
const MET: usize = 7 * 540;
/// The longest datagram that is taken.
const MAX_DATAGRAM: usize = 2048;
/// How often the firmware looks at its machinery at least, in real time.
const LOOK: Duration = Duration::from_millis(50);

/// The core of each machine: six peers at once, ten requests under way.
pub(super) type Core<'s> = Device<'s, Host, 6, 10, 1536>;

/// The body around a firmware.
pub(super) struct Rig<'s> {
    pub(super) core: Core<'s>,
    pub(super) clock: VirtualClock,
    /// The hub that was spoken to last.
    pub(super) hub: Option<Address>,
    /// A credential that is asked for.
    pub(super) visit: Option<Visit>,
    /// What is to be reported.
    pub(super) outbox: Outbox,
    /// A report to the hub.
    pub(super) report: Option<Report>,
    /// Trust objects that are asked for.
    pub(super) fetch: Option<Fetch>,
    /// What was fetched from the hub since the start.
    pub(super) known: Vec<Held>,
    socket: UdpSocket,
    names: BTreeMap<[u8; 16], Peer>,
}

/// What is different in a sensor, a controller and a pump.
pub(super) trait Firmware {
    /// The core says that something happened.
    fn on_event(&mut self, rig: &mut Rig<'_>, event: Event<'_>);

    /// The world does something to the machine that concerns its own kind.
    ///
    /// # Errors
    /// Why it is not done.
    fn on_do(&mut self, rig: &mut Rig<'_>, what: Do) -> Result<String, String>;

    /// Time went on; when to look again.
    fn on_time(&mut self, rig: &mut Rig<'_>) -> Option<Ticks>;
}

enum Input {
    Datagram(SocketAddr, Vec<u8>),
    Line(String),
    Gone,
}

/// Runs a machine until the world ends.
pub(super) fn run(options: &Options, firmware: &mut dyn Firmware) -> Result<(), Error> {
    let folder = &options.folder;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let birth = birth_chain(folder)?;
    let birth: Vec<&[u8]> = birth.iter().map(Vec::as_slice).collect();
    let (mut staging, mut body, mut met) = (vec![0; STAGING], vec![0; STAGING], vec![0; MET]);
    let members = options.members.clone();
    let layout = Layout { objects: OBJECTS, slot_pages: SLOT_PAGES };
    let mut settings = Settings::new(layout, &birth, &mut staging);
    settings.body = &mut body;
    settings.peers = &mut met;
    settings.setting = Setting::Hospital;
    settings.alliance = Some(Pinned::Members { keys: &members, threshold: options.threshold });
    settings.transmission = Transmission { ack_timeout_ms: 400, max_retransmit: 9, patience_ms: 30_000 };
    let mut flash = FileFlash::open(&folder.join("flash"), PAGES)?;
    if options.kind == Kind::Pump {
        settings.therapy = Some(pump::therapy(&mut flash)?);
    }
    let keys = FileKeys::open(&folder.join("keys"))?;
    let parts = Parts::<Host> { crypto: RustCrypto, rng: SystemRng, flash, keys };
    let clock = VirtualClock::start(options.speed);
    let mut memory = Box::new(Memory::new());
    let core =
        Device::start(parts, settings, &mut memory, clock.now()).map_err(|error| Error::Start(error.to_string()))?;
    let inputs = listen(&socket)?;
    let outbox = Outbox::open(folder)?;
    let (known, names) = (Vec::new(), BTreeMap::new());
    let mut rig = Rig { core, clock, hub: None, visit: None, outbox, report: None, fetch: None, known, socket, names };
    let device = rig.core.own().map(hex).unwrap_or_default();
    say(&Said::Listening { address: rig.socket.local_addr()?, device, notice: NOT_FOR_THERAPY.to_owned() });
    rig.live(firmware, &inputs)
}

impl Rig<'_> {
    fn live(&mut self, firmware: &mut dyn Firmware, inputs: &mpsc::Receiver<Input>) -> Result<(), Error> {
        // Room for a datagram, and for the longest body that is told.
        let mut buffer = vec![0; STAGING];
        loop {
            let due = self.settle(firmware, &mut buffer);
            let patience = due.map_or(LOOK, |due| self.clock.until(due).min(LOOK));
            match inputs.recv_timeout(patience) {
                Ok(Input::Datagram(from, mut datagram)) => {
                    if let Some(from) = address(from) {
                        self.core.handle_datagram(self.clock.now(), from, &mut datagram);
                    }
                }
                Ok(Input::Line(line)) => {
                    let done = match serde_json::from_str(&line) {
                        Ok(what) => self.on_do(firmware, what),
                        Err(error) => Err(error.to_string()),
                    };
                    // What follows from an act is told before that it is done.
                    self.settle(firmware, &mut buffer);
                    say(&match done {
                        Ok(note) => Said::Done { note },
                        Err(why) => Said::NotDone { why },
                    });
                }
                Ok(Input::Gone) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Lets core and firmware do what is due; when to look again.
    fn settle(&mut self, firmware: &mut dyn Firmware, buffer: &mut [u8]) -> Option<Ticks> {
        loop {
            let now = self.clock.now();
            self.core.handle_timeout(now);
            self.visit_again();
            self.report_again();
            self.fetch_again();
            let wish = firmware.on_time(self);
            let now = self.clock.now();
            match self.core.poll(now, buffer) {
                Output::Transmit { to, datagram } => self.transmit(to, datagram),
                Output::Event(event) if self.visited(&event) || self.told_hub(&event) || self.fetched(&event) => {}
                Output::Event(event) => {
                    self.tell(&event);
                    firmware.on_event(self, event);
                }
                Output::Wait(Some(due)) if due <= now => {}
                Output::Wait(due) => return due.into_iter().chain(wish).min(),
            }
        }
    }

    fn transmit(&self, to: Address, datagram: &[u8]) {
        if let Some(to) = socket_address(to) {
            // A datagram that cannot be sent is a datagram that is lost.
            let _ = self.socket.send_to(datagram, to);
        }
    }

    /// Tells the world what every machine tells.
    fn tell(&mut self, event: &Event<'_>) {
        match event {
            Event::Connected { peer, device, .. } => {
                self.names.insert(*device.as_bytes(), *peer);
                say(&Said::Connected { device: hex(*device) });
            }
            Event::NotConnected { why, .. } => say(&Said::NotConnected { why: why.to_string() }),
            Event::Closed { peer, device, why } => {
                self.names.retain(|_, known| known != peer);
                let code = if let Closing::Judged(denied) = why { Some(denied.code.to_string()) } else { None };
                say(&Said::Closed { device: hex(*device), why: why.to_string(), code });
            }
            Event::Denied { denied, .. } => say(&Said::Denied {
                device: hex(denied.device),
                operation: denied.operation.name().to_owned(),
                code: denied.code.as_str().to_owned(),
            }),
            Event::News(kind) => {
                say(&Said::News { kind: format!("{kind:?}") });
                self.come_back();
            }
            _ => {}
        }
    }

    /// The name of a device with which a session stands.
    pub(super) fn name_of(&self, device: DeviceId) -> Option<DeviceName> {
        let peer = self.names.get(device.as_bytes())?;
        self.core.identified(*peer).map(|who| *who.device_name())
    }

    /// Those with whom a session stands.
    pub(super) fn peers(&self) -> Vec<Peer> {
        self.names.values().copied().collect()
    }

    /// Asks a peer.
    pub(super) fn call(
        &mut self,
        peer: Peer,
        method: Method,
        resource: Resource,
        payload: &[u8],
    ) -> Result<CallId, String> {
        self.core.call(self.clock.now(), peer, method, resource, payload).map_err(|error| error.to_string())
    }

    fn on_do(&mut self, firmware: &mut dyn Firmware, what: Do) -> Result<String, String> {
        let now = self.clock.now();
        let button = PhysicalAct::danger_button_was_held;
        match what {
            Do::Pass { millis } => self.clock.move_on(millis),
            Do::SetTime { earliest, latest } => {
                let time =
                    Interval::new(Time::from_unix(earliest), Some(Time::from_unix(latest))).ok_or("no such time")?;
                self.core.set_time(now, time);
            }
            Do::PinSite { root } => {
                let root = KeyId::from_bytes(identifier(&root)?);
                self.core.pin_site(root, None).map_err(|error| error.to_string())?;
            }
            Do::Fetch { hub } => self.fetch(address(hub).ok_or("no such address")?)?,
            Do::Report { hub } => self.report(address(hub).ok_or("no such address")?)?,
            Do::Enrol { hub } => self.visit(address(hub).ok_or("no such address")?)?,
            Do::Bring { object } => {
                let kind = self.core.take_object(now, &bytes(&object)?).map_err(|error| error.to_string())?;
                return Ok(format!("{kind:?}"));
            }
            Do::Bond { device, patient, operations } => {
                let named = operations.iter().map(|name| Operation::from_name(name).ok_or_else(|| format!("{name}?")));
                let operations = named.collect::<Result<Vec<_>, _>>()?;
                let (device, patient) =
                    (DeviceId::from_bytes(identifier(&device)?), PatientContext(identifier(&patient)?));
                let bond = self.core.bond(now, button(), device, patient, Operations::of(&operations));
                return bond.map(|bond| bond.epoch.to_string()).map_err(|error| error.to_string());
            }
            Do::Connect { to } => {
                let to = address(to).ok_or("no such address")?;
                self.core.connect(now, to).map_err(|error| error.to_string())?;
            }
            Do::Carry { object } => {
                let object = bytes(&object)?;
                let peers = self.peers();
                for peer in &peers {
                    self.call(*peer, Method::Post, Resource::Objects, &object)?;
                }
                return Ok(peers.len().to_string());
            }
            Do::AskState => {
                for peer in self.peers() {
                    self.call(peer, Method::Get, Resource::State, &[])?;
                }
            }
            other => return firmware.on_do(self, other),
        }
        Ok(String::new())
    }
}

/// Tells the world.
pub(super) fn say(said: &Said) {
    let Ok(line) = serde_json::to_string(said) else { return };
    // Whoever listened has gone; the end of our input says so too.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// An identifier as the world writes it.
pub(super) fn hex(device: DeviceId) -> String {
    HEXLOWER.encode(device.as_bytes())
}

pub(super) fn identifier(text: &str) -> Result<[u8; 16], String> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("{text:?} is no identifier"))
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    BASE64.decode(text.as_bytes()).map_err(|error| error.to_string())
}

/// The chain of the birth credential: `birth-0.der`, the device's own, and so on.
fn birth_chain(folder: &std::path::Path) -> Result<Vec<Vec<u8>>, Error> {
    let mut chain = Vec::new();
    loop {
        match std::fs::read(folder.join(format!("birth-{}.der", chain.len()))) {
            Ok(certificate) => chain.push(certificate),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(chain),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads datagrams and lines, each in a thread of its own.
fn listen(socket: &UdpSocket) -> Result<mpsc::Receiver<Input>, Error> {
    let (to, inputs) = mpsc::channel();
    let socket = socket.try_clone()?;
    let lines = to.clone();
    std::thread::spawn(move || {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            // What comes back of a datagram that nobody took is no end.
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
            if to.send(Input::Datagram(from, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(Input::Line(line)).is_err() {
                return;
            }
        }
        let _ = lines.send(Input::Gone);
    });
    Ok(inputs)
}

/// An address as the core takes it: four bytes and the port.
fn address(from: SocketAddr) -> Option<Address> {
    let IpAddr::V4(ip) = from.ip() else { return None };
    let [a, b, c, d] = ip.octets();
    let [high, low] = from.port().to_be_bytes();
    Address::new(&[a, b, c, d, high, low])
}

fn socket_address(to: Address) -> Option<SocketAddr> {
    let [a, b, c, d, high, low] = *<&[u8; 6]>::try_from(to.as_bytes()).ok()?;
    Some(SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low]))))
}
