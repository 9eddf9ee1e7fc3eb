//! Exchanges: requests under way in either direction, each with the bytes it needs.
//!
//! The bytes of one exchange serve in turn: a request that may have to be sent again, then its answer until the firmware
//! took it; or a peer's request, then the answer in case the request comes again.

use crate::address::Address;
use crate::event::{Failure, Peer, Resource, Status};
use crate::initiate::DOUBT_MS;
use crate::platform::Ticks;
use crate::request::Asks;
use medlock_proto::coap::{self, MessageId, Pending, Retransmit};
use medlock_proto::oscore::{Received, Sent};
use medlock_trust::Permit;

/// One exchange.
pub(crate) struct Exchange<const BYTES: usize> {
    pub(crate) generation: u16,
    pub(crate) role: Role,
    pub(crate) to: Address,
    /// Whether the bytes are to be sent.
    pub(crate) transmit: bool,
    pub(crate) length: usize,
    pub(crate) bytes: [u8; BYTES],
}

/// What an exchange is for.
pub(crate) enum Role {
    Free,
    /// A message of a handshake that this device began, in this place of the sessions; and, if something unauthenticated
    /// said so, for which reason and when it ends.
    Hello {
        place: usize,
        coap: coap::Exchange,
        doubt: Option<(Failure, Ticks)>,
    },
    /// A request of one's own that waits for the session it opens: its payload lies in the bytes.
    Held(Held),
    /// A request of one's own.
    Call(Call),
    /// A request of one's own that came to nothing; the firmware does not know yet.
    Failed(Failure),
    /// A peer's request that waits for the firmware.
    Asked(Asked),
    /// The answer to a peer's request, in case that comes again. A separate one is sent until acknowledged.
    Answered {
        id: MessageId,
        since: Ticks,
        retransmit: Option<Retransmit>,
    },
    /// A notification that is sent until acknowledged.
    Notice {
        peer: Peer,
        retransmit: Retransmit,
    },
}

pub(crate) struct Held {
    pub(crate) peer: Peer,
    pub(crate) asks: Asks,
    /// It went with message 3 (RFC 9668), and is answered where that is.
    pub(crate) rides: Option<Sent>,
    /// How it went, if somebody said that the peer does not take that: its answer may come all the same.
    pub(crate) rode: Option<coap::Exchange>,
}

pub(crate) struct Call {
    pub(crate) with: With,
    pub(crate) asks: Asks,
    pub(crate) coap: coap::Exchange,
    pub(crate) stage: Stage,
}

impl Call {
    /// Something that nobody authenticated says that the peer does not answer.
    pub(crate) fn doubt_it(&mut self, now: Ticks) {
        if matches!(self.stage, Stage::Waiting) {
            self.stage = Stage::Doubted(now.plus_millis(DOUBT_MS));
        }
    }
}

/// With whom a call is.
pub(crate) enum With {
    /// The peer of a session.
    Peer(Peer, Sent),
    /// Whoever is at the address.
    Anybody,
}

/// How far a call is.
#[derive(Clone, Copy)]
pub(crate) enum Stage {
    Waiting,
    /// The same until then: something unauthenticated said that the peer knows of no such session.
    Doubted(Ticks),
    /// Answered once and observing: nothing is due.
    Listening,
    /// The answer's payload lies in these bytes; the firmware does not know yet.
    Arrived {
        status: Status,
        start: usize,
        last: bool,
    },
    /// The answer came in blocks: so many bytes lie in the room for bodies; the firmware does not know yet.
    Fetched {
        status: Status,
        length: usize,
    },
}

pub(crate) struct Asked {
    pub(crate) peer: Peer,
    pub(crate) resource: Resource,
    pub(crate) pending: Pending,
    pub(crate) received: Received,
    pub(crate) id: MessageId,
    pub(crate) since: Ticks,
    /// Whether the peer wants notifications.
    pub(crate) observe: bool,
    /// Until the firmware knows of the request: the right to it.
    pub(crate) permit: Option<Permit>,
    /// Where its payload starts.
    pub(crate) start: usize,
}

impl<const BYTES: usize> Exchange<BYTES> {
    pub(crate) const fn free() -> Self {
        let nobody = Address::NOBODY;
        Self { generation: 0, role: Role::Free, to: nobody, transmit: false, length: 0, bytes: [0; BYTES] }
    }

    /// Takes the place for something new: handles of what was there are void.
    pub(crate) fn begin(&mut self, to: Address, role: Role, length: usize) {
        self.generation = self.generation.wrapping_add(1);
        self.go_on(to, role, length);
    }

    /// The next message of the same.
    pub(crate) fn go_on(&mut self, to: Address, role: Role, length: usize) {
        self.to = to;
        self.role = role;
        self.length = length;
        self.transmit = true;
    }

    /// A request of one's own came to nothing.
    pub(crate) fn fail(&mut self, why: Failure) {
        self.role = Role::Failed(why);
        self.transmit = false;
    }

    pub(crate) fn end(&mut self) {
        self.role = Role::Free;
        self.transmit = false;
    }

    pub(crate) fn message(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// How ready the place is for something new: `None` if it is needed, else the longer idle the smaller.
    pub(crate) const fn idle_since(&self) -> Option<u64> {
        match &self.role {
            Role::Free => Some(0),
            Role::Answered { since, retransmit: None, .. } if !self.transmit => Some(since.as_millis()),
            Role::Answered { .. }
            | Role::Hello { .. }
            | Role::Held(_)
            | Role::Call(_)
            | Role::Failed(_)
            | Role::Asked(_)
            | Role::Notice { .. } => None,
        }
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<u64> {
        match &self.role {
            Role::Free | Role::Held(_) | Role::Failed(_) => None,
            Role::Hello { coap, doubt, .. } => {
                let ends = doubt.map_or(u64::MAX, |(_, at)| at.as_millis());
                Some(coap.next_deadline().min(ends))
            }
            Role::Call(call) => match call.stage {
                Stage::Waiting => Some(call.coap.next_deadline()),
                Stage::Doubted(ends) => Some(call.coap.next_deadline().min(ends.as_millis())),
                Stage::Listening | Stage::Arrived { .. } | Stage::Fetched { .. } => None,
            },
            Role::Asked(asked) => asked.pending.next_deadline(),
            Role::Answered { retransmit, .. } => retransmit.as_ref().map(Retransmit::next_deadline),
            Role::Notice { retransmit, .. } => Some(retransmit.next_deadline()),
        }
    }
}
