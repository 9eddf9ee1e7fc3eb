//! The core: datagrams and ticks in, datagrams and events out.

use crate::address::Address;
use crate::clock::Clock;
use crate::command::Reception;
use crate::event::{Closing, Event, Failure, Output, Peer};
use crate::exchange::{Call, Exchange, Role, Stage, With};
use crate::journal::Intent;
use crate::memory::Memory;
use crate::met::Met;
use crate::nonces::NONCE;
use crate::objects::{Kind, NotTaken, Objects, Place, Scene};
use crate::platform::{Parts, Platform, Rng, Ticks};
use crate::serve::copy;
use crate::session::{self, Open, SessionSlot, State};
use crate::settings::{Counters, Layout, PhysicalAct, Settings, StartError};
use crate::store::Store;
use crate::strangers::Strangers;
use crate::therapy::Therapy;
use crate::transfer::Transfer;
use medlock_proto::coap::block::Assembler;
use medlock_proto::coap::{Expiry, Message, MessageIds, Token};
use medlock_proto::edhoc::ConnectionId;
use medlock_trust::bond::PatientContext;
use medlock_trust::decide::Attended;
use medlock_trust::{
    Bond, Denied, DeviceId, Identified, Interval, KeyId, Operation, Operations, Verdict, decide, decide_attended,
};

/// A device: what it knows, whom it talks to. Sans-IO: the firmware, or a driver ([`crate::blocking`],
/// [`crate::asynch`]), moves datagrams and ticks.
///
/// `SESSIONS` peers at once, `EXCHANGES` requests under way in both directions together, each of at most `BYTES` bytes.
pub struct Device<'s, P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize> {
    pub(crate) parts: Parts<P>,
    pub(crate) settings: Settings<'s>,
    pub(crate) clock: Clock,
    pub(crate) objects: Objects,
    /// This device at its site.
    pub(crate) own: Option<DeviceId>,
    pub(crate) sessions: &'s mut [SessionSlot],
    pub(crate) exchanges: &'s mut [Exchange<BYTES>],
    pub(crate) strangers: &'s mut Strangers<BYTES>,
    pub(crate) replies: Replies,
    pub(crate) assembler: Assembler,
    /// The body in blocks that is under way as a client.
    pub(crate) transfer: Option<Transfer>,
    pub(crate) met: Met<'s>,
    pub(crate) message_ids: MessageIds,
    pub(crate) next_id: u8,
    pub(crate) therapy: Option<Therapy>,
    recovered: [Option<Intent>; 5],
    pub(crate) told: Told,
    pub(crate) counters: Counters,
}

/// What the firmware does not know yet, beside what sessions and exchanges hold: the latest of each.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) denied: Option<(Option<Peer>, Denied)>,
    pub(crate) news: Option<Kind>,
}

/// Empty messages to be sent: acknowledgements and resets.
#[derive(Debug, Default)]
pub(crate) struct Replies([Option<(Address, [u8; 4])>; 4]);

impl Replies {
    /// Puts one in line. Without room it is dropped: the peer sends again.
    pub(crate) fn add(&mut self, to: Address, message: [u8; 4]) {
        if let Some(slot) = self.0.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some((to, message));
        }
    }

    fn take(&mut self) -> Option<(Address, [u8; 4])> {
        self.0.iter_mut().find_map(Option::take)
    }
}

impl<'s, P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize>
    Device<'s, P, SESSIONS, EXCHANGES, BYTES>
{
    /// Starts a device with what its flash holds. Sessions, challenges, leases and the upper bound of time begin anew. What is
    /// large lies in `memory`: [`Memory::new`] makes it at compile time.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(
        mut parts: Parts<P>,
        mut settings: Settings<'s>,
        memory: &'s mut Memory<SESSIONS, EXCHANGES, BYTES>,
        now: Ticks,
    ) -> Result<Self, StartError> {
        let Layout { objects, slot_pages } = settings.layout.clone();
        let store = Store::open(objects, slot_pages, &parts.flash, &parts.crypto).ok_or(StartError::Layout)?;
        let (objects, floor) = Objects::open(store, &parts.flash);
        let clock = Clock::new(floor.map_or(settings.built, |floor| floor.max(settings.built)), now);
        let mut recovered = [None; 5];
        let therapy = match settings.therapy.take() {
            None => None,
            Some((area, limits)) => {
                let opened = Reception::open(&mut parts.flash, &area, limits).map_err(|_| StartError::Journal)?;
                let (reception, intents) = opened;
                recovered.iter_mut().zip(intents.uncertain()).for_each(|(slot, intent)| *slot = Some(*intent));
                Some(Therapy::new(reception))
            }
        };
        let met = Met::new(core::mem::take(&mut settings.peers));
        let mut random = [0; 35];
        parts.rng.fill(&mut random);
        let [low, high, next_id, key @ ..] = random;
        memory.begin(key);
        let mut device = Self {
            parts,
            settings,
            clock,
            objects,
            own: None,
            sessions: &mut memory.sessions,
            exchanges: &mut memory.exchanges,
            strangers: &mut memory.strangers,
            replies: Replies::default(),
            assembler: Assembler::new(),
            transfer: None,
            met,
            message_ids: MessageIds::new(u16::from_le_bytes([low, high])),
            next_id,
            therapy,
            recovered,
            told: Told::default(),
            counters: Counters::default(),
        };
        device.open_identity().map_err(|()| StartError::Keys)?;
        Ok(device)
    }

    /// Ends everything and gives the parts back, as before a restart. Keys of sessions are erased.
    #[must_use]
    pub fn stop(self) -> Parts<P> {
        crate::memory::erase(self.sessions, self.exchanges);
        self.parts
    }

    /// Takes a datagram, which is changed while it is read. What comes of it is told by [`Device::poll`]. Noise is
    /// counted and dropped.
    pub fn handle_datagram(&mut self, now: Ticks, from: Address, datagram: &mut [u8]) {
        let Ok(message) = Message::read(datagram) else {
            self.counters.noise = self.counters.noise.saturating_add(1);
            return;
        };
        if message.code().is_request() {
            self.handle_request(now, from, datagram);
        } else {
            self.handle_response(now, from, datagram);
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Ticks) {
        let millis = now.as_millis();
        if let Some(therapy) = &mut self.therapy {
            therapy.look_at_lease(now);
        }
        for place in 0..EXCHANGES {
            let Some(exchange) = self.exchanges.get_mut(place) else { continue };
            if exchange.deadline().is_none_or(|deadline| deadline > millis) {
                continue;
            }
            match &mut exchange.role {
                Role::Free | Role::Held(_) | Role::Failed(_) => {}
                Role::Hello { place, coap, doubt } => {
                    let over = doubt.filter(|(_, at)| *at <= now).map(|(why, _)| why);
                    match coap.on_timeout(millis) {
                        Expiry::NotYet | Expiry::Resend if over.is_some() => {}
                        Expiry::NotYet => continue,
                        Expiry::Resend => {
                            exchange.transmit = true;
                            continue;
                        }
                        Expiry::GiveUp => {}
                    }
                    let (place, why) = (*place, doubt.map_or(Failure::TimedOut, |(why, _)| why));
                    exchange.end();
                    self.fail_handshake(place, why);
                }
                Role::Call(Call { stage: Stage::Doubted(ends), .. }) if *ends <= now => self.doubted(place),
                Role::Call(call) => match call.coap.on_timeout(millis) {
                    Expiry::NotYet => {}
                    Expiry::Resend => exchange.transmit = true,
                    Expiry::GiveUp => exchange.fail(Failure::TimedOut),
                },
                Role::Asked(asked) => {
                    if let Some(acknowledgement) = asked.pending.acknowledge() {
                        self.replies.add(exchange.to, acknowledgement);
                    }
                }
                Role::Answered { retransmit: slot @ Some(_), .. } => {
                    match slot.as_mut().map(|one| one.on_timeout(millis)) {
                        Some(Expiry::Resend) => exchange.transmit = true,
                        Some(Expiry::GiveUp) => *slot = None,
                        Some(Expiry::NotYet) | None => {}
                    }
                }
                Role::Answered { retransmit: None, .. } => {}
                Role::Notice { peer, retransmit } => match retransmit.on_timeout(millis) {
                    Expiry::NotYet => {}
                    Expiry::Resend => exchange.transmit = true,
                    Expiry::GiveUp => {
                        let peer = *peer;
                        exchange.end();
                        self.forget_observer(peer);
                    }
                },
            }
        }
    }

    /// The next thing to do. Call it after each of the other calls, until it answers [`Output::Wait`].
    pub fn poll<'b>(&mut self, now: Ticks, buffer: &'b mut [u8]) -> Output<'b> {
        if let Some((to, length)) = self.transmit(buffer) {
            return Output::Transmit { to, datagram: buffer.get(..length).unwrap_or_default() };
        }
        if self.has_event() {
            // If it turns out to be none after all, there may be more to do at once.
            return self.event(now, buffer).map_or(Output::Wait(Some(now)), Output::Event);
        }
        Output::Wait(self.deadline())
    }

    /// Writes the next datagram to send to the front of `buffer`, and says where to and how long it is.
    pub(crate) fn transmit(&mut self, buffer: &mut [u8]) -> Option<(Address, usize)> {
        if let Some((to, message)) = self.replies.take() {
            return Some((to, copy(&message, buffer).len()));
        }
        if let Some((to, message)) = self.strangers.transmit() {
            return Some((to, copy(message, buffer).len()));
        }
        let exchange = self.exchanges.iter_mut().find(|exchange| exchange.transmit)?;
        exchange.transmit = false;
        Some((exchange.to, copy(exchange.message(), buffer).len()))
    }

    /// Whether there is something to tell.
    pub(crate) fn has_event(&self) -> bool {
        self.sessions.iter().any(SessionSlot::has_event)
            || self.recovered.iter().any(Option::is_some)
            || self.therapy.as_ref().is_some_and(Therapy::has_event)
            || self.exchanges.iter().any(has_event)
            || self.told.denied.is_some()
            || self.told.news.is_some()
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Ticks> {
        let next = self.exchanges.iter().filter_map(Exchange::deadline).min().map(Ticks::from_millis);
        let lease = self.therapy.as_ref().and_then(Therapy::deadline);
        next.into_iter().chain(lease).min()
    }

    /// The next thing to tell.
    pub(crate) fn event<'b>(&mut self, now: Ticks, buffer: &'b mut [u8]) -> Option<Event<'b>> {
        if let Some(event) = self.session_event() {
            return Some(event);
        }
        if let Some(intent) = self.recovered.iter_mut().find_map(Option::take) {
            return Some(Event::Uncertain(intent));
        }
        if let Some(event) = self.therapy.as_mut().and_then(Therapy::event) {
            return Some(event);
        }
        if let Some(place) = (0..EXCHANGES).find(|place| self.exchanges.get(*place).is_some_and(has_event)) {
            return self.exchange_event(place, now, buffer);
        }
        if let Some((peer, denied)) = self.told.denied.take() {
            return Some(Event::Denied { peer, denied });
        }
        self.told.news.take().map(Event::News)
    }

    /// What sessions have to tell: each thing once.
    fn session_event<'b>(&mut self) -> Option<Event<'b>> {
        for (place, slot) in self.sessions.iter_mut().enumerate() {
            let peer = session::peer(place, slot);
            match &mut slot.state {
                State::Open(open) if !open.told => {
                    open.told = true;
                    let initiated = open.session.role() == medlock_proto::edhoc::Role::Initiator;
                    return Some(Event::Connected { peer, device: open.session.peer().device(), initiated });
                }
                State::Ended { device, why } => {
                    let event = Event::Closed { peer, device: *device, why: *why };
                    slot.state = State::Free;
                    return Some(event);
                }
                State::Failed { to, why } => {
                    let event = Event::NotConnected { to: *to, why: *why };
                    slot.state = State::Free;
                    return Some(event);
                }
                State::Free | State::Hello { .. } | State::Confirming { .. } | State::Open(_) => {}
            }
        }
        None
    }

    /// Ends a session; [`Event::Closed`] follows.
    pub fn close(&mut self, peer: Peer) {
        self.end_session(peer, Closing::Own);
    }

    /// Who the peer of a session is.
    #[must_use]
    pub fn identified(&self, peer: Peer) -> Option<&Identified> {
        self.open(peer).map(|open| open.session.peer())
    }

    /// What the peer of a session may do now; `None` if the session ended.
    pub fn judge(&self, now: Ticks, peer: Peer, operation: Operation) -> Option<Verdict> {
        Some(self.verdict(now, self.identified(peer)?, operation))
    }

    /// As [`Device::judge`], with a physical act that may raise a denial to an alert: when all that stands against the
    /// peer is that something is expired, stale or unknown.
    pub fn judge_attended(&self, now: Ticks, peer: Peer, operation: Operation, act: PhysicalAct) -> Option<Verdict> {
        act.used();
        let identified = self.identified(peer)?;
        let device = identified.device();
        let attended = Attended::danger_by_physical_act(device, operation, 0)?;
        let bond = self.objects.bond_with(identified, &self.parts.flash);
        Some(self.objects.judged(identified, &self.place(now), |knowledge, policy| {
            decide_attended(identified, operation, knowledge, policy, bond, attended)
        }))
    }

    /// Takes a trust object from any carrier. If it is believed and newer than what is held, it is kept, and every session
    /// is judged again.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn take_object(&mut self, now: Ticks, object: &[u8]) -> Result<Kind, NotTaken> {
        let kind = {
            let Self { parts: Parts { flash, crypto, .. }, objects, clock, settings, sessions, own, .. } = self;
            let peers = |credential| session::is_with(sessions, credential);
            let (alliance, own) = (settings.alliance, *own);
            objects.take(object, &mut Scene { flash, crypto, clock, now, alliance, own, peers: &peers })?
        };
        self.judge_sessions(now);
        self.told.news = Some(kind);
        Ok(kind)
    }

    /// Takes a site for its own: the key of its root. A device that has a site takes another by a physical act alone, and
    /// forgets the lists, bonds and credential of the first.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn pin_site(&mut self, root: KeyId, act: Option<PhysicalAct>) -> Result<(), NotTaken> {
        match self.objects.site {
            Some(held) if held == root => return Ok(()),
            Some(_) if act.is_none() => return Err(NotTaken::NeedsPhysicalAct),
            Some(_) => self.leave_site()?,
            None => {}
        }
        let Parts { flash, crypto, .. } = &mut self.parts;
        self.objects.keep_own(crate::objects::SITE, root.as_bytes(), flash, crypto)?;
        self.objects.site = Some(root);
        Ok(())
    }

    /// Makes a bond by a physical act. Where it is for another patient than those before, what the site signed before `now` and
    /// nobody brought yet is void, as far as the device knows the time.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn bond(
        &mut self,
        now: Ticks,
        act: PhysicalAct,
        controller: DeviceId,
        patient: PatientContext,
        operations: Operations,
    ) -> Result<Bond, NotTaken> {
        act.used();
        let present = self.clock.interval(now).earliest();
        let (bonds, bond) = self.objects.bonds.made(controller, patient, operations, Some(present))?;
        let Parts { flash, crypto, .. } = &mut self.parts;
        self.objects.keep_bonds(bonds, flash, crypto)?;
        Ok(bond)
    }

    /// Ends all bonds by a physical act, for good; also those that the site signed before `now` and that nobody brought yet,
    /// as far as the device knows the time.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn end_bonds(&mut self, now: Ticks, act: PhysicalAct) -> Result<(), NotTaken> {
        act.used();
        let bonds = self.objects.bonds.ended_at(Some(self.clock.interval(now).earliest()));
        let Parts { flash, crypto, .. } = &mut self.parts;
        self.objects.keep_bonds(bonds, flash, crypto)
    }

    /// The bonds in force.
    pub fn bonds(&self) -> impl Iterator<Item = &Bond> {
        self.objects.bonds.iter()
    }

    /// Says what time it is, as a clock tells that the maker answers for.
    pub fn set_time(&mut self, now: Ticks, time: Interval) {
        if let Some(floor) = self.clock.set(time, now) {
            self.objects.keep_floor(floor, &mut self.parts.flash, &self.parts.crypto);
        }
    }

    /// The bounds of the present, as this device knows them.
    #[must_use]
    pub fn time(&self, now: Ticks) -> Interval {
        self.clock.interval(now)
    }

    /// A number for a ticket to answer: a fresh answer tells how things stand now, and, from a key that may state the
    /// time, what time it is.
    pub fn ask(&mut self, now: Ticks) -> [u8; 8] {
        let mut nonce = [0; NONCE];
        self.parts.rng.fill(&mut nonce);
        self.objects.ask(nonce, now, false);
        nonce
    }

    /// This device at its site; `None` before enrolment.
    #[must_use]
    pub const fn own(&self) -> Option<DeviceId> {
        self.own
    }

    /// What was dropped since the start.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn place(&self, now: Ticks) -> Place<'_, P::Flash> {
        Place { flash: &self.parts.flash, clock: &self.clock, now, setting: self.settings.setting }
    }

    pub(crate) fn verdict(&self, now: Ticks, peer: &Identified, operation: Operation) -> Verdict {
        let bond = self.objects.bond_with(peer, &self.parts.flash);
        self.objects
            .judged(peer, &self.place(now), |knowledge, policy| decide(peer, operation, knowledge, policy, bond))
    }

    /// Judges every session again: one whose peer may do nothing any more ends.
    pub(crate) fn judge_sessions(&mut self, now: Ticks) {
        for place in 0..SESSIONS {
            let Some(open) = self.sessions.get(place).and_then(SessionSlot::open) else { continue };
            if let Some(denied) = self.nothing_allowed(now, open.session.peer())
                && let Some(slot) = self.sessions.get_mut(place)
            {
                let peer = session::peer(place, slot);
                slot.end(Closing::Judged(denied));
                self.drop_exchanges(peer);
            }
        }
    }

    /// The reason why this peer may do nothing at all; `None` if it may do something.
    pub(crate) fn nothing_allowed(&self, now: Ticks, peer: &Identified) -> Option<Denied> {
        let bond = self.objects.bond_with(peer, &self.parts.flash);
        self.objects.judged(peer, &self.place(now), |knowledge, policy| {
            let mut denied = None;
            for operation in Operation::ALL {
                match decide(peer, operation, knowledge, policy, bond) {
                    Verdict::Allow(_) => return None,
                    Verdict::Deny(why) => denied = Some(why),
                }
            }
            denied
        })
    }

    pub(crate) fn open(&self, peer: Peer) -> Option<&Open> {
        let slot = self.sessions.get(usize::from(peer.slot))?;
        if slot.generation == peer.generation { slot.open() } else { None }
    }

    pub(crate) fn open_mut(&mut self, peer: Peer) -> Option<&mut Open> {
        let slot = self.sessions.get_mut(usize::from(peer.slot))?;
        if slot.generation == peer.generation { slot.open_mut() } else { None }
    }

    pub(crate) fn end_session(&mut self, peer: Peer, why: Closing) {
        if self.open(peer).is_none() {
            return;
        }
        if let Some(slot) = self.sessions.get_mut(usize::from(peer.slot)) {
            slot.end(why);
        }
        self.drop_exchanges(peer);
    }

    fn forget_observer(&mut self, peer: Peer) {
        if let Some(open) = self.open_mut(peer) {
            open.observation = None;
        }
    }

    /// Ends what is under way with a peer: own calls fail, the peer's requests are dropped.
    pub(crate) fn drop_exchanges(&mut self, peer: Peer) {
        for exchange in self.exchanges.iter_mut() {
            match &mut exchange.role {
                Role::Call(Call { with: With::Peer(with, _), .. }) if *with == peer => exchange.fail(Failure::Closed),
                Role::Asked(asked) if asked.peer == peer => exchange.end(),
                Role::Notice { peer: to, .. } if *to == peer => exchange.end(),
                Role::Call(_)
                | Role::Failed(_)
                | Role::Asked(_)
                | Role::Notice { .. }
                | Role::Free
                | Role::Held(_)
                | Role::Hello { .. }
                | Role::Answered { .. } => {}
            }
        }
    }

    /// A place for a new session: a free one, or that of the session without a bond that was silent for longest; if all
    /// have one, and `bonded_too` says so, as for a peer with a bond, that of the one that was silent for longest.
    pub(crate) fn session_place(&mut self, bonded_too: bool) -> Option<usize> {
        if let Some(place) = self.sessions.iter().position(SessionSlot::is_free) {
            return Some(place);
        }
        let mut candidates = [None; SESSIONS];
        for ((candidate, slot), place) in candidates.iter_mut().zip(self.sessions.iter()).zip(0_usize..) {
            let Some(open) = slot.open() else { continue };
            let bonded = self.objects.bond_with(open.session.peer(), &self.parts.flash).is_some();
            *candidate = (bonded_too || !bonded).then_some((bonded, open.heard, place));
        }
        let (_, _, place) = candidates.into_iter().flatten().min()?;
        let slot = self.sessions.get_mut(place)?;
        let peer = session::peer(place, slot);
        slot.end(Closing::Evicted);
        self.drop_exchanges(peer);
        // The place is taken at once; the firmware learns of it by the handle that is refused.
        Some(place)
    }

    /// A place for a new exchange: a free one, or that of the oldest answer kept for repetitions.
    pub(crate) fn exchange_place(&self) -> Option<usize> {
        let idle = self.exchanges.iter().zip(0_usize..);
        let idle = idle.filter_map(|(exchange, place)| Some((exchange.idle_since()?, place)));
        idle.min().map(|(_, place)| place)
    }

    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.parts.rng.fill(&mut bytes);
        bytes
    }

    pub(crate) fn token(&mut self) -> Token {
        let bytes: [u8; 4] = self.random();
        Token::new(&bytes).unwrap_or_default()
    }

    /// A name for a connection, of one byte, that no connection has now, nor its peer for it.
    pub(crate) fn connection_id(&mut self, peer: Option<ConnectionId>) -> Option<ConnectionId> {
        // The bytes that stand for themselves in EDHOC (RFC 9528 section 3.3.2): 0 to 23, and -1 to -24.
        const IDS: u8 = 48;
        for _ in 0..IDS {
            self.next_id = self.next_id.wrapping_add(1);
            let number = self.next_id.checked_rem(IDS)?;
            let byte = if number < 24 { number } else { number.saturating_sub(24) | 0x20 };
            let id = ConnectionId::new(&[byte])?;
            let in_use = self.sessions.iter().any(|slot| slot.own_id() == Some(id)) || self.strangers.uses(id);
            if !in_use && peer != Some(id) {
                return Some(id);
            }
        }
        None
    }
}

fn has_event<const BYTES: usize>(exchange: &Exchange<BYTES>) -> bool {
    match &exchange.role {
        Role::Call(call) => matches!(call.stage, Stage::Arrived { .. } | Stage::Fetched { .. }),
        Role::Failed(_) => true,
        Role::Asked(asked) => asked.permit.is_some(),
        Role::Free | Role::Hello { .. } | Role::Held(_) | Role::Answered { .. } | Role::Notice { .. } => false,
    }
}
