//! What is kept of each address: which messages came, what was answered, bodies under way. Addresses that are confirmed
//! (somebody receives there) are apart from strangers', so that a flood of invented ones pushes out none of them.

use super::super::blocks::Transfers;
use super::super::bounded::Bounded;
use crate::provider::random;
use bytes::Bytes;
use medlock_proto::coap::{Arrival, MessageId, MessageIds, Seen, Token};
use std::net::SocketAddr;

/// What is sent to an address nobody confirmed is at most so many times the bytes that came from there, or [`SMALL`]
/// (RFC 9175 section 2.6).
const AMPLIFICATION: usize = 3;
const SMALL: usize = 136;
/// How many messages of one address are told from their repetitions.
const SEEN: usize = 8;

/// The most bytes that may answer so many.
pub(super) fn most(received: usize) -> usize {
    SMALL.max(received.saturating_mul(AMPLIFICATION))
}

#[derive(Debug)]
pub(super) struct Origins {
    strangers: Bounded<SocketAddr, Origin>,
    confirmed: Bounded<SocketAddr, Origin>,
}

#[derive(Debug)]
pub(super) struct Origin {
    seen: Seen<SEEN>,
    replies: [Option<(MessageId, Bytes)>; SEEN],
    ids: MessageIds,
    pub(super) transfers: Transfers,
    /// Bytes of requests, and of answers, while nobody has confirmed the address.
    received: usize,
    sent: usize,
    /// Whether message 2 of EDHOC was sent beyond that.
    indulged: bool,
}

/// What became of a message that came.
pub(super) enum Came {
    /// It is new; its answer belongs in this slot.
    New(usize),
    /// It came before, and this was the answer if there is one already.
    Again(Option<Bytes>),
}

impl Origins {
    pub(super) fn new(most: usize) -> Self {
        Self { strangers: Bounded::new(most), confirmed: Bounded::new(most) }
    }

    pub(super) fn at(&mut self, address: SocketAddr) -> &mut Origin {
        if self.confirmed.peek(&address).is_none() && self.strangers.peek(&address).is_none() {
            self.strangers.insert(address, Origin::new());
        }
        let known = self.confirmed.get(&address).or_else(|| self.strangers.get(&address));
        known.expect("it was there or was put there just now")
    }

    pub(super) fn is_confirmed(&self, address: SocketAddr) -> bool {
        self.confirmed.peek(&address).is_some()
    }

    /// Somebody receives at this address: it answered a challenge, or what only the holder of keys could send.
    pub(super) fn confirm(&mut self, address: SocketAddr) {
        if let Some(origin) = self.strangers.remove(&address) {
            self.confirmed.insert(address, origin);
        }
    }

    /// Somebody else is there now.
    pub(super) fn forget(&mut self, address: SocketAddr) {
        self.strangers.remove(&address);
        self.confirmed.remove(&address);
    }

    /// Counts `bytes` that came from here.
    pub(super) fn receive(&mut self, address: SocketAddr, bytes: usize) {
        let origin = self.at(address);
        origin.received = origin.received.saturating_add(bytes);
    }

    /// Whether so many bytes may be sent here: to an address nobody confirmed, three times in all what came from there.
    /// Message 2 of EDHOC goes beyond once, if `indulge`.
    pub(super) fn may_send(&mut self, address: SocketAddr, bytes: usize, indulge: bool) -> bool {
        if self.is_confirmed(address) {
            return true;
        }
        let within = self.may_receive(address, bytes);
        let origin = self.at(address);
        let may = within || (indulge && !origin.indulged);
        origin.indulged |= !within && may;
        if may {
            origin.sent = origin.sent.saturating_add(bytes);
        }
        may
    }

    /// Counts a challenge, which is always sent: it has fewer bytes than three times the least request, and who lost message 2
    /// needs it.
    pub(super) fn challenged(&mut self, address: SocketAddr, bytes: usize) {
        let origin = self.at(address);
        origin.sent = origin.sent.saturating_add(bytes);
    }

    /// Whether so many bytes to this address, which nobody confirmed, are within what it may be sent.
    pub(super) fn may_receive(&self, address: SocketAddr, bytes: usize) -> bool {
        let (received, sent) = self.strangers.peek(&address).map_or((0, 0), |origin| (origin.received, origin.sent));
        sent.saturating_add(bytes) <= most(received)
    }

    /// Whether it was sent message 2 beyond that already.
    pub(super) fn was_indulged(&self, address: SocketAddr) -> bool {
        self.strangers.peek(&address).is_some_and(|origin| origin.indulged)
    }

    pub(super) fn count(&self) -> usize {
        self.strangers.len() + self.confirmed.len()
    }
}

impl Origin {
    fn new() -> Self {
        Self {
            seen: Seen::new(),
            replies: Default::default(),
            ids: MessageIds::new(u16::from_be_bytes(random())),
            transfers: Transfers::default(),
            received: 0,
            sent: 0,
            indulged: false,
        }
    }

    pub(super) fn came(&mut self, (id, token): (MessageId, Token), now: u64) -> Came {
        match self.seen.arrived((id, token), now) {
            Arrival::Again(slot) => {
                let reply = self.replies.get(slot).and_then(Option::as_ref).filter(|(of, _)| *of == id);
                Came::Again(reply.map(|(_, bytes)| bytes.clone()))
            }
            Arrival::First(slot) => {
                self.replies[slot] = Some((id, Bytes::new()));
                Came::New(slot)
            }
        }
    }

    /// Keeps what was answered, unless the slot serves a newer message.
    pub(super) fn answered(&mut self, slot: usize, id: MessageId, bytes: &Bytes) {
        if let Some((_, reply)) = self.replies[slot].as_mut().filter(|(of, _)| *of == id) {
            *reply = bytes.clone();
        }
    }

    /// The message was not what it said: its repetition may be the true one.
    pub(super) fn forget(&mut self, slot: usize) {
        self.seen.forget(slot);
        self.replies[slot] = None;
    }

    pub(super) fn draw_id(&mut self) -> MessageId {
        self.ids.draw()
    }
}
