//! Sessions: peers that proved who they are, and those that are about to.

use crate::address::Address;
use crate::event::{Closing, Failure, Peer, Resource};
use crate::platform::Ticks;
use medlock_proto::coap::observe::Observer;
use medlock_proto::crypto::Crypto;
use medlock_proto::edhoc::initiator::{AwaitMessage2, Unconfirmed};
use medlock_proto::edhoc::{ConnectionId, OscoreInput, Session};
use medlock_proto::oscore::{Received, Replay, SecurityContext, SenderSequence};
use medlock_proto::sealed::Recipient;
use medlock_trust::{CredentialId, DeviceId, Identified};

/// A place for one session, and how many it has seen.
pub(crate) struct SessionSlot {
    pub(crate) generation: u16,
    pub(crate) state: State,
}

/// How far a session is.
pub(crate) enum State {
    Free,
    /// Message 1 was sent; `again` after a handshake in which a credential was named that was not known.
    Hello {
        to: Address,
        awaiting: AwaitMessage2,
        tries: u8,
        again: bool,
    },
    /// Message 3 was sent, perhaps with the first request: the keys are used already.
    Confirming {
        to: Address,
        unconfirmed: Unconfirmed,
        oscore: SecurityContext,
        again: bool,
    },
    Open(Open),
    /// To be told to the firmware.
    Failed {
        to: Address,
        why: Failure,
    },
    /// To be told to the firmware.
    Ended {
        device: DeviceId,
        why: Closing,
    },
}

/// A session that stands.
pub(crate) struct Open {
    pub(crate) address: Address,
    pub(crate) session: Session,
    pub(crate) oscore: SecurityContext,
    pub(crate) heard: Ticks,
    pub(crate) told: bool,
    pub(crate) observation: Option<Observation>,
    /// Whether keys for sealed commands were taken: once, or numbers would be used twice.
    pub(crate) commands: bool,
    pub(crate) recipient: Option<Recipient>,
}

/// A resource that the peer of a session observes.
pub(crate) struct Observation {
    pub(crate) resource: Resource,
    pub(crate) observer: Observer,
    pub(crate) received: Received,
}

impl SessionSlot {
    pub(crate) const FREE: Self = Self { generation: 0, state: State::Free };

    pub(crate) const fn open(&self) -> Option<&Open> {
        match &self.state {
            State::Open(open) => Some(open),
            State::Free
            | State::Hello { .. }
            | State::Confirming { .. }
            | State::Failed { .. }
            | State::Ended { .. } => None,
        }
    }

    pub(crate) const fn open_mut(&mut self) -> Option<&mut Open> {
        match &mut self.state {
            State::Open(open) => Some(open),
            State::Free
            | State::Hello { .. }
            | State::Confirming { .. }
            | State::Failed { .. }
            | State::Ended { .. } => None,
        }
    }

    pub(crate) const fn has_event(&self) -> bool {
        match &self.state {
            State::Open(open) => !open.told,
            State::Failed { .. } | State::Ended { .. } => true,
            State::Free | State::Hello { .. } | State::Confirming { .. } => false,
        }
    }

    pub(crate) const fn is_free(&self) -> bool {
        matches!(self.state, State::Free)
    }

    /// Takes the place for something new: handles of what was there are void.
    pub(crate) fn begin(&mut self, state: State) {
        self.generation = self.generation.wrapping_add(1);
        self.state = state;
    }

    /// Forgets what is there; handles of it are void.
    pub(crate) fn free(&mut self) {
        self.begin(State::Free);
    }

    /// Ends the session, if one stands.
    pub(crate) fn end(&mut self, why: Closing) {
        if let State::Open(open) = &self.state {
            let device = open.session.peer().device();
            self.state = State::Ended { device, why };
        }
    }

    /// Whether the session is with this peer: the same name from the same authority, for the same use.
    pub(crate) fn is_of(&self, peer: &Identified) -> bool {
        self.open().is_some_and(|open| {
            let held = open.session.peer();
            (held.device(), held.authority(), held.kind()) == (peer.device(), peer.authority(), peer.kind())
        })
    }

    /// The identifier by which the peer calls the connection in this place.
    pub(crate) const fn own_id(&self) -> Option<ConnectionId> {
        match &self.state {
            State::Open(open) => Some(open.session.own_id()),
            State::Hello { awaiting, .. } => Some(awaiting.own_id()),
            State::Confirming { unconfirmed, .. } => Some(unconfirmed.own_id()),
            State::Free | State::Failed { .. } | State::Ended { .. } => None,
        }
    }
}

impl Open {
    /// The session after a handshake, with the keys of it.
    pub(crate) const fn new(address: Address, session: Session, oscore: SecurityContext, now: Ticks) -> Self {
        Self { address, session, oscore, heard: now, told: false, observation: None, commands: false, recipient: None }
    }
}

/// The keys of a session; once for each, or numbers would be used twice. `None` if both sides chose the same identifier,
/// which the handshake excludes.
pub(crate) fn keys(input: &OscoreInput, crypto: &impl Crypto) -> Option<SecurityContext> {
    // The keys die with the power: no numbers have to be kept.
    SecurityContext::from_edhoc(input, SenderSequence::in_memory(), Replay::NoneYet, crypto).ok()
}

/// Whether one of the sessions is with the holder of this credential.
pub(crate) fn is_with(sessions: &[SessionSlot], credential: CredentialId) -> bool {
    sessions.iter().any(|slot| slot.open().is_some_and(|open| open.session.peer().credential() == credential))
}

/// The handle of the session in a place.
pub(crate) fn peer(place: usize, slot: &SessionSlot) -> Peer {
    Peer { slot: u8::try_from(place).unwrap_or(u8::MAX), generation: slot.generation }
}
