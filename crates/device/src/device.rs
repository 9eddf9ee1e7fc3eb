//! The core: datagrams and ticks in, datagrams and events out.

use crate::address::Address;
use crate::event::{Ask, CallId, Method, Output, Peer, Resource, Status};
use crate::objects::{Kind, NotTaken};
use crate::platform::{Parts, Platform, Ticks};
use core::ops::Range;
use medlock_trust::bond::PatientContext;
use medlock_trust::knowledge::Setting;
use medlock_trust::{Bond, DeviceId, Identified, Interval, KeyId, Operation, Operations, Verdict};

/// Which pages of the flash are for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What the device is: site, credentials, bonds, the floor of time. At least two pages.
    pub identity: Range<usize>,
    /// What it was told to do, and did. At least two pages.
    pub journal: Range<usize>,
    /// Trust objects.
    pub objects: Range<usize>,
    /// Pages for each trust object: the largest must fit. One object more than are held must have a place.
    pub object_pages: usize,
}

/// What a firmware says of itself when the device starts.
#[derive(Clone, Debug)]
pub struct Settings<'s> {
    /// Where the device is used.
    pub setting: Setting,
    /// Which pages of the flash are for what.
    pub layout: Layout,
    /// The birth credential and the certificates between it and its maker's root, in this order: X.509 or C509.
    pub birth: &'s [&'s [u8]],
}

/// A physical act at this device: a person held its button. Only the driver of the button makes one.
#[derive(Debug)]
pub struct PhysicalAct(());

impl PhysicalAct {
    /// The driver of the button is the only one to call this, once for each act.
    #[must_use]
    pub const fn danger_button_was_held() -> Self {
        Self(())
    }
}

/// What came over the wire and was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that are no CoAP, or belong to nothing.
    pub noise: u32,
    /// Messages whose protection was wrong, or that came a second time.
    pub forged: u32,
    /// Handshakes of strangers that came to nothing.
    pub handshakes: u32,
    /// Requests for which there was no room.
    pub crowded: u32,
}

/// A device: what it knows, whom it talks to. Sans-IO: the firmware, or a driver ([`crate::blocking`],
/// [`crate::asynch`]), moves datagrams and ticks.
///
/// `SESSIONS` peers at once, `EXCHANGES` requests under way in both directions together, each of at most `BYTES` bytes.
pub struct Device<'s, P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize> {
    parts: Parts<P>,
    settings: Settings<'s>,
    counters: Counters,
}

impl<'s, P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize>
    Device<'s, P, SESSIONS, EXCHANGES, BYTES>
{
    /// Starts a device with what its flash holds. Time knowledge, sessions, challenges and leases begin anew.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(parts: Parts<P>, settings: Settings<'s>, now: Ticks) -> Result<Self, StartError> {
        let _ = now;
        Ok(Self { parts, settings, counters: Counters::default() })
    }

    /// Takes a datagram, which is changed while it is read. What comes of it is told by [`Device::poll`]. Noise is
    /// counted and dropped.
    pub fn handle_datagram(&mut self, now: Ticks, from: Address, datagram: &mut [u8]) {
        let _ = (now, from, datagram);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Ticks) {
        let _ = now;
    }

    /// The next thing to do. Call it after each of the other calls, until it answers [`Output::Wait`].
    pub fn poll<'b>(&mut self, now: Ticks, buffer: &'b mut [u8]) -> Output<'b> {
        let _ = (now, buffer);
        Output::Wait(None)
    }

    /// Begins a handshake with the peer at `to`; [`Event::Connected`](crate::Event::Connected) or [`Event::NotConnected`](crate::Event::NotConnected) follows.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn connect(&mut self, now: Ticks, to: Address) -> Result<(), CallError> {
        let _ = (now, to);
        Err(CallError::Full)
    }

    /// Asks a peer; [`Event::Answered`](crate::Event::Answered), [`Event::Readings`](crate::Event::Readings) or [`Event::Unanswered`](crate::Event::Unanswered) follows.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn call(
        &mut self,
        now: Ticks,
        peer: Peer,
        method: Method,
        resource: Resource,
        payload: &[u8],
    ) -> Result<CallId, CallError> {
        let _ = (now, peer, method, resource, payload);
        Err(CallError::Full)
    }

    /// Answers a peer's request ([`Event::Asked`](crate::Event::Asked)).
    ///
    /// # Errors
    /// [`CallError::Closed`] if the session ended meanwhile, [`CallError::TooLong`].
    pub fn answer(&mut self, now: Ticks, ask: Ask, status: Status, payload: &[u8]) -> Result<(), CallError> {
        let _ = (now, ask, status, payload);
        Err(CallError::Closed)
    }

    /// Gives all who observe `resource` its new state. Each observer is judged before.
    pub fn notify(&mut self, now: Ticks, resource: Resource, payload: &[u8]) {
        let _ = (now, resource, payload);
    }

    /// Ends a session.
    pub fn close(&mut self, peer: Peer) {
        let _ = peer;
    }

    /// Who the peer of a session is.
    #[must_use]
    pub fn identified(&self, peer: Peer) -> Option<&Identified> {
        let _ = peer;
        None
    }

    /// What the peer of a session may do now; `None` if the session ended.
    pub fn judge(&self, now: Ticks, peer: Peer, operation: Operation) -> Option<Verdict> {
        let _ = (now, peer, operation);
        None
    }

    /// Takes a trust object from any carrier. If it is believed and newer than what is held, it is kept, and every session
    /// is judged again.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn take_object(&mut self, now: Ticks, object: &[u8]) -> Result<Kind, NotTaken> {
        let _ = (now, object);
        Err(NotTaken::Unknown)
    }

    /// Takes a site for its own: the key of its root. A device that has a site takes another by a physical act alone, and
    /// forgets bonds and credential of the first.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn pin_site(&mut self, root: KeyId, act: Option<PhysicalAct>) -> Result<(), NotTaken> {
        let _ = (root, act);
        Err(NotTaken::Unknown)
    }

    /// Makes a bond by a physical act.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn bond(
        &mut self,
        act: PhysicalAct,
        controller: DeviceId,
        patient: PatientContext,
        operations: Operations,
    ) -> Result<Bond, NotTaken> {
        let _ = (act, controller, patient, operations);
        Err(NotTaken::Unknown)
    }

    /// Says what time it is, as a clock tells that the maker answers for. Bounds only move closer together.
    pub fn set_time(&mut self, now: Ticks, time: Interval) {
        let _ = (now, time);
    }

    /// The bounds of the present, as this device knows them.
    #[must_use]
    pub fn time(&self, now: Ticks) -> Interval {
        let _ = now;
        Interval::since(medlock_trust::Time::from_unix(0))
    }

    /// What was dropped since the start.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Why a device does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The layout does not fit the flash.
    Layout,
    /// The flash failed.
    Flash,
}

/// Why a call was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// No room: too many exchanges under way.
    Full,
    /// The session ended.
    Closed,
    /// More bytes than an exchange holds.
    TooLong,
}
