//! Sealed commands as they come to this device, from a session or by any carrier, and the lease of its controller.

use crate::address::Address;
use crate::command::{Act, Reception, Reply, Running};
use crate::device::Device;
use crate::event::{Ask, Event, Peer};
use crate::exchange::{Asked, Role};
use crate::platform::{Parts, Platform, Ticks};
use crate::serve::Response;
use crate::session;
use crate::settings::PhysicalAct;
use medlock_proto::coap::{Code, Message, MessageId, Token, Type, content_format};
use medlock_proto::crypto::Crypto;
use medlock_proto::edhoc::{self, ConnectionId};
use medlock_proto::sealed::{
    Asked as Said, Challenge, Commander, Keys, Kid, Link, MAX_LENGTH, Memory, MilliUnits, Receipt, Recipient,
};
use medlock_trust::decide::{Attended, Code as Refusal};
use medlock_trust::{Bond, DeviceId, Operation, Verdict, decide, decide_attended};

/// A device's therapy: what it was told, and what is to be told to the firmware.
#[derive(Debug)]
pub(crate) struct Therapy {
    pub(crate) reception: Reception,
    act: Option<(Act, ReceiptTo)>,
    attended: Option<(DeviceId, Operation, Ticks)>,
    lease_until: Option<Ticks>,
    lease_ended: bool,
}

/// Where the receipt of a command goes. It is used once.
#[derive(Debug)]
pub struct ReceiptTo {
    session: Peer,
    route: Route,
}

/// How a sealed message came.
#[derive(Debug)]
enum Route {
    /// Inside a session, whoever's: the request waits in an exchange.
    Session(Ask),
    /// Without one.
    Open { to: Address, id: MessageId, token: Token },
}

/// What a sealed message is answered with.
enum Answer {
    Sealed([u8; MAX_LENGTH], usize),
    /// The firmware must act first.
    Act(Act, Peer),
    Code(Code),
}

impl Therapy {
    pub(crate) const fn new(reception: Reception) -> Self {
        Self { reception, act: None, attended: None, lease_until: None, lease_ended: false }
    }

    /// When the lease is to be looked at again.
    pub(crate) const fn deadline(&self) -> Option<Ticks> {
        self.lease_until
    }

    /// Notes whether the lease is still held.
    pub(crate) fn look_at_lease(&mut self, now: Ticks) {
        let held = self.reception.lease_ends(now);
        self.lease_ended |= self.lease_until.is_some() && held.is_none();
        self.lease_until = held;
    }

    pub(crate) const fn has_event(&self) -> bool {
        self.act.is_some() || self.lease_ended
    }

    pub(crate) fn event<'b>(&mut self) -> Option<Event<'b>> {
        if let Some((act, receipt)) = self.act.take() {
            return Some(Event::Command { act, receipt });
        }
        core::mem::take(&mut self.lease_ended).then_some(Event::LeaseEnded)
    }
}

impl<P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize>
    Device<'_, P, SESSIONS, EXCHANGES, BYTES>
{
    /// The act begins now: the controller gets a receipt that says so. Give what comes back to [`Device::done`].
    pub fn started(&mut self, now: Ticks, receipt_to: ReceiptTo, act: Act) -> Option<Running> {
        let (running, receipt) = self.therapy.as_ref()?.reception.started(act);
        self.send_receipt(now, receipt_to, &receipt);
        Some(running)
    }

    /// The act could not begin: nothing was delivered and nothing counts. The controller gets a receipt that says so.
    pub fn unable(&mut self, now: Ticks, receipt_to: ReceiptTo, act: Act) {
        let Self { therapy, parts: Parts { flash, .. }, .. } = self;
        if let Some(therapy) = therapy {
            let receipt = therapy.reception.unable(flash, act, now);
            self.send_receipt(now, receipt_to, &receipt);
        }
    }

    /// Delivery ended, by itself or early, and this is what was delivered. The controller may ask for the receipt.
    pub fn done(&mut self, now: Ticks, running: Running, delivered: MilliUnits) -> Option<Receipt> {
        let Self { therapy, parts: Parts { flash, .. }, .. } = self;
        therapy.as_mut().map(|therapy| therapy.reception.done(flash, running, delivered, now))
    }

    /// The reception of commands and the flash it needs: to count what is delivered at the device, to say that therapy
    /// changed, to write the time down.
    pub const fn reception(&mut self) -> Option<(&mut Reception, &mut P::Flash)> {
        match &mut self.therapy {
            Some(therapy) => Some((&mut therapy.reception, &mut self.parts.flash)),
            None => None,
        }
    }

    /// A person at the device lets `controller` command `operation` once in the next two minutes, in spite of knowledge
    /// that is expired, stale or missing.
    pub fn attend(&mut self, now: Ticks, act: PhysicalAct, controller: DeviceId, operation: Operation) {
        act.used();
        if let Some(therapy) = &mut self.therapy {
            therapy.attended = Some((controller, operation, now));
        }
    }

    /// A controller's end of the sealed commands of a session, under the bond with this epoch; once for each session, or
    /// numbers would be used twice. What it seals is posted to [`Resource::Challenge`](crate::Resource::Challenge),
    /// [`Command`](crate::Resource::Command) and [`Receipt`](crate::Resource::Receipt), by this session or any carrier.
    pub fn commander(&mut self, peer: Peer, epoch: u64, memory: Memory) -> Option<Commander> {
        let own = self.own?;
        let crypto = &self.parts.crypto;
        let slot = self.sessions.get_mut(usize::from(peer.slot)).filter(|slot| slot.generation == peer.generation)?;
        let open = slot.open_mut()?;
        if core::mem::replace(&mut open.commands, true) {
            return None;
        }
        let link = Link {
            controller: own,
            device: open.session.peer().device(),
            controller_kid: kid(open.session.own_id())?,
            device_kid: kid(open.session.peer_id())?,
        };
        Some(Commander::new(keys(&open.session, crypto)?, link, epoch, memory))
    }

    /// The cryptography of the platform: for what the firmware opens and seals itself.
    pub const fn crypto(&self) -> &P::Crypto {
        &self.parts.crypto
    }

    /// A sealed message inside a session: it lies in an exchange.
    pub(crate) fn sealed_in_session(&mut self, now: Ticks, place: usize, asked: Asked) {
        let Some(exchange) = self.exchanges.get(place) else { return };
        let mut message = [0; MAX_LENGTH];
        let payload = exchange.bytes.get(asked.start..exchange.length).unwrap_or_default();
        let Some(copy) = message.get_mut(..payload.len()) else {
            return self.respond(now, place, asked, &Response::empty(Code::REQUEST_ENTITY_TOO_LARGE));
        };
        copy.iter_mut().zip(payload).for_each(|(to, from)| *to = *from);
        let (slot, generation) = (u8::try_from(place).unwrap_or(u8::MAX), exchange.generation);
        match self.sealed(now, copy) {
            Answer::Code(code) => self.respond(now, place, asked, &Response::empty(code)),
            Answer::Sealed(bytes, length) => {
                let payload = bytes.get(..length).unwrap_or_default();
                let format = Some(content_format::COSE_ENCRYPT0);
                self.respond(now, place, asked, &Response { format, payload, ..Response::empty(Code::CHANGED) });
            }
            Answer::Act(act, session) => {
                if let Some(exchange) = self.exchanges.get_mut(place) {
                    exchange.role = Role::Asked(asked);
                }
                let route = Route::Session(Ask { slot, generation });
                if let Some(therapy) = &mut self.therapy {
                    therapy.act = Some((act, ReceiptTo { session, route }));
                }
            }
        }
    }

    /// A sealed message without a session: any carrier may bring it.
    pub(crate) fn sealed_in_the_open(&mut self, now: Ticks, from: Address, datagram: &mut [u8]) {
        let Ok(request) = Message::read(datagram) else { return };
        let (id, token) = (request.id(), request.token());
        let start = request.as_bytes().len().saturating_sub(request.payload().len());
        let head = (Type::Acknowledgement, id, token);
        match self.sealed(now, datagram.get_mut(start..).unwrap_or_default()) {
            Answer::Code(code) => {
                self.strangers.stray.send(from, |out| Response::empty(code).write(head, out).ok_or(()));
            }
            Answer::Sealed(bytes, length) => self.send_open(from, head, bytes.get(..length).unwrap_or_default()),
            Answer::Act(act, session) => {
                if let Some(therapy) = &mut self.therapy {
                    therapy.act = Some((act, ReceiptTo { session, route: Route::Open { to: from, id, token } }));
                }
            }
        }
    }

    fn send_open(&mut self, to: Address, head: (Type, MessageId, Token), payload: &[u8]) {
        let format = Some(content_format::COSE_ENCRYPT0);
        let response = Response { format, payload, ..Response::empty(Code::CHANGED) };
        self.strangers.stray.send(to, |out| response.write(head, out).ok_or(()));
    }

    /// Opens a sealed message and does what it asks.
    fn sealed(&mut self, now: Ticks, message: &mut [u8]) -> Answer {
        match &self.therapy {
            None => return Answer::Code(Code::NOT_FOUND),
            // The firmware was not told of the last one yet, and must be: it is under way.
            Some(therapy) if therapy.act.is_some() => return Answer::Code(Code::SERVICE_UNAVAILABLE),
            Some(_) => {}
        }
        let Some(named) = Kid::of(message) else { return Answer::Code(Code::BAD_REQUEST) };
        let place = self
            .sessions
            .iter()
            .position(|slot| slot.open().is_some_and(|open| open.session.own_id().as_bytes() == named.as_bytes()));
        let Some(place) = place else { return Answer::Code(Code::UNAUTHORIZED) };
        let Some(mut recipient) = self.recipient(place) else { return Answer::Code(Code::FORBIDDEN) };
        let answer = self.opened(now, place, &mut recipient, message);
        if let Some(open) = self.sessions.get_mut(place).and_then(session::SessionSlot::open_mut) {
            open.recipient = Some(recipient);
        }
        answer
    }

    fn opened(&mut self, now: Ticks, place: usize, recipient: &mut Recipient, message: &mut [u8]) -> Answer {
        let asked = match recipient.open(message, &self.parts.crypto) {
            Ok(asked) => asked,
            Err(_) => {
                self.counters.forged = self.counters.forged.saturating_add(1);
                return Answer::Code(Code::BAD_REQUEST);
            }
        };
        let mut out = [0; MAX_LENGTH];
        let drawn = Challenge::from_bytes(self.random());
        if let Some(open) = self.sessions.get_mut(place).and_then(session::SessionSlot::open_mut) {
            // Whoever carried it, the controller spoke.
            open.heard = now;
        }
        let may_know = self.may_know(now, place, recipient.epoch());
        let verdict = match &asked {
            Said::Command(received) => {
                let operation = received.command().order.action.operation();
                self.command_verdict(now, place, recipient.epoch(), operation)
            }
            Said::Receipt(_) if !may_know => return Answer::Code(Code::FORBIDDEN),
            Said::Challenge(_) | Said::Receipt(_) => None,
        };
        let session = self.sessions.get(place).map(|slot| session::peer(place, slot));
        let Self { therapy, objects, parts: Parts { flash, crypto, .. }, .. } = self;
        let Some(therapy) = therapy else { return Answer::Code(Code::NOT_FOUND) };
        therapy.reception.keep_bonds(|epoch| objects.bonds.iter().any(|bond| bond.epoch == epoch));
        let sealed = match asked {
            Said::Challenge(asked) => {
                therapy.reception.challenge_for(recipient, asked, (drawn, may_know), now, &mut out, crypto)
            }
            Said::Receipt(counter) => {
                recipient.receipt(&therapy.reception.receipt(recipient, counter), &mut out, crypto)
            }
            Said::Command(received) => {
                let (Some((verdict, attended)), Some(session)) = (verdict, session) else {
                    return Answer::Code(Code::FORBIDDEN);
                };
                // What came before is answered without a verdict: it uses nothing up and tells nobody.
                let told = &mut self.told.denied;
                let judge = |_: &_, _| {
                    if let Verdict::Deny(denied) = &verdict {
                        *told = Some((Some(session), *denied));
                    }
                    verdict
                };
                match therapy.reception.receive(flash, recipient, received, now, judge) {
                    Reply::Receipt(receipt) => recipient.receipt(&receipt, &mut out, crypto),
                    Reply::Act(act) => {
                        if attended {
                            therapy.attended = None;
                        }
                        therapy.look_at_lease(now);
                        return Answer::Act(act, session);
                    }
                }
            }
        };
        match sealed.map(<[u8]>::len) {
            Ok(length) => Answer::Sealed(out, length),
            Err(_) => Answer::Code(Code::SERVICE_UNAVAILABLE),
        }
    }

    /// The session's end of sealed commands, taken out of it; made from its keys the first time. `None` without a bond.
    fn recipient(&mut self, place: usize) -> Option<Recipient> {
        let own = self.own?;
        let Self { therapy, parts: Parts { crypto, flash, .. }, sessions, objects, .. } = self;
        let open = sessions.get_mut(place)?.open_mut()?;
        if let Some(recipient) = open.recipient.take() {
            return Some(recipient);
        }
        let controller = open.session.peer().device();
        let epoch = objects.bond_with(open.session.peer(), flash)?.epoch;
        if core::mem::replace(&mut open.commands, true) {
            return None;
        }
        let link = Link {
            controller,
            device: own,
            controller_kid: kid(open.session.peer_id())?,
            device_kid: kid(open.session.own_id())?,
        };
        let floor = therapy.as_ref()?.reception.journal().floor(epoch);
        Some(Recipient::new(keys(&open.session, crypto)?, link, epoch, floor))
    }

    /// Whether the controller of a session may be told of therapy: it may command or read, or would but for knowledge that
    /// is expired, stale or missing. Who is suspended, or worse, may not.
    fn may_know(&self, now: Ticks, place: usize, epoch: u64) -> bool {
        let Some(open) = self.sessions.get(place).and_then(session::SessionSlot::open) else { return false };
        let peer = open.session.peer();
        let bond = self.objects.bond_with(peer, &self.parts.flash).filter(|bond| bond.epoch == epoch);
        let old =
            [Refusal::StatusStale, Refusal::ExpiredWithinGrace, Refusal::ExpiredBeyondGrace, Refusal::NotYetValid];
        self.objects.judged(peer, &self.place(now), |knowledge, policy| {
            [Operation::Treat, Operation::Halt, Operation::Configure, Operation::Read].into_iter().any(|operation| {
                match decide(peer, operation, knowledge, policy, bond) {
                    Verdict::Allow(_) => true,
                    Verdict::Deny(denied) => old.contains(&denied.code),
                }
            })
        })
    }

    /// What the controller of a session may do now under the bond of its commands, and whether that takes a physical act:
    /// only what denies without one does.
    fn command_verdict(&self, now: Ticks, place: usize, epoch: u64, operation: Operation) -> Option<(Verdict, bool)> {
        let peer = self.sessions.get(place)?.open()?.session.peer();
        let device = peer.device();
        let bond: Option<&Bond> = self.objects.bond_with(peer, &self.parts.flash).filter(|bond| bond.epoch == epoch);
        let attended = self.therapy.as_ref()?.attended.filter(|(who, what, _)| (*who, *what) == (device, operation));
        let attended = attended.and_then(|(_, _, at)| {
            let seconds = u32::try_from(now.millis_since(at).div_ceil(1_000)).unwrap_or(u32::MAX);
            Attended::danger_by_physical_act(device, operation, seconds)
        });
        Some(self.objects.judged(peer, &self.place(now), |knowledge, policy| {
            match (decide(peer, operation, knowledge, policy, bond), attended) {
                (Verdict::Deny(_), Some(attended)) => {
                    (decide_attended(peer, operation, knowledge, policy, bond, attended), true)
                }
                (verdict, _) => (verdict, false),
            }
        }))
    }

    /// Keeps the lease alive: the request was for `sustain`.
    pub(crate) fn sustain(&mut self, now: Ticks, place: usize, asked: Asked) {
        let Some(identified) = self.identified(asked.peer) else { return };
        let code = match self.verdict(now, identified, Operation::Sustain) {
            Verdict::Deny(denied) => {
                self.told.denied = Some((Some(asked.peer), denied));
                Code::FORBIDDEN
            }
            Verdict::Allow(permit) => match &mut self.therapy {
                None => Code::NOT_FOUND,
                Some(therapy) => {
                    let kept = therapy.reception.sustain(permit, now);
                    therapy.look_at_lease(now);
                    if kept.is_ok() { Code::CHANGED } else { Code::CONFLICT }
                }
            },
        };
        self.respond(now, place, asked, &Response::empty(code));
    }

    fn send_receipt(&mut self, now: Ticks, to: ReceiptTo, receipt: &Receipt) {
        let ReceiptTo { session, route } = to;
        let mut out = [0; MAX_LENGTH];
        let crypto = &self.parts.crypto;
        let slot = self.sessions.get_mut(usize::from(session.slot));
        let open = slot.filter(|slot| slot.generation == session.generation).and_then(session::SessionSlot::open_mut);
        let sealed = open.and_then(|open| open.recipient.as_mut()?.receipt(receipt, &mut out, crypto).ok());
        // Without a session the controller asks again, in its next one.
        let Some(length) = sealed.map(<[u8]>::len) else { return };
        let payload = out.get(..length).unwrap_or_default();
        match route {
            Route::Open { to, id, token } => self.send_open(to, (Type::Acknowledgement, id, token), payload),
            Route::Session(ask) => {
                let place = usize::from(ask.slot);
                let Some(exchange) = self.exchanges.get_mut(place) else { return };
                if exchange.generation != ask.generation || !matches!(exchange.role, Role::Asked(_)) {
                    return;
                }
                if let Role::Asked(asked) = core::mem::replace(&mut exchange.role, Role::Free) {
                    let format = Some(content_format::COSE_ENCRYPT0);
                    let response = Response { format, payload, ..Response::empty(Code::CHANGED) };
                    self.respond(now, place, asked, &response);
                }
            }
        }
    }
}

fn kid(id: ConnectionId) -> Option<Kid> {
    Kid::new(id.as_bytes())
}

fn keys(session: &edhoc::Session, crypto: &impl Crypto) -> Option<Keys> {
    Keys::export(|label, context, out| session.export(label, context, out, crypto)).ok()
}
