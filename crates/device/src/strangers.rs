//! What is kept of strangers, and what may be spent on them.

use crate::address::Address;
use crate::platform::Ticks;
use medlock_proto::coap::MessageId;
use medlock_proto::crypto::Secret;
use medlock_proto::edhoc::ConnectionId;
use medlock_proto::edhoc::responder::AwaitMessage3;

/// Handshakes of strangers that are under way at once.
const HALF_OPEN: usize = 3;
/// How long message 3 is waited for, in milliseconds: the longest a client repeats it (RFC 7252, `MAX_TRANSMIT_WAIT`).
const PATIENCE_MS: u64 = 93_000;
/// After how long a place may go to another who is reachable: time to repeat message 3 twice.
const SLOW_MS: u64 = 10_000;
/// How many handshakes may be answered at once, and how long it takes until one more may be: on a 64 MHz chip one costs
/// about a second, so that half of the time is left for therapy. The same for trust objects without a session.
const BURST: u64 = 4;
const REFILL_MS: u64 = 2_000;
/// Below so many that are left a stranger must prove that it is reachable.
pub(crate) const ECHO_BELOW: u64 = 3;
/// How many times the bytes that came from an address may go there before it proved that it is reachable, when a message
/// is answered again (the same as RFC 9000 section 8.1). The first answer counts and is not held back.
const AMPLIFICATION: u32 = 3;
/// The most bytes of a question for an Echo: header, token, two options.
const QUESTION: u32 = 48;

/// What is kept of peers that did not prove who they are.
pub(crate) struct Strangers<const BYTES: usize> {
    pub(crate) half_open: [HalfOpen<BYTES>; HALF_OPEN],
    /// The answer to an unprotected request. It is sent at once and not kept.
    pub(crate) stray: Stray<BYTES>,
    pub(crate) echo_key: Secret,
    pub(crate) handshakes: Bucket,
    objects: Bucket,
    moves: Bucket,
}

/// What may still be spent on strangers.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// When it would be full again, in milliseconds since boot.
    full_at: u64,
}

impl Bucket {
    /// How many more.
    pub(crate) fn left(&self, now: Ticks) -> u64 {
        let owed = self.full_at.saturating_sub(now.as_millis()).div_ceil(REFILL_MS);
        BURST.saturating_sub(owed)
    }

    /// One of them.
    pub(crate) fn spend(&mut self, now: Ticks) {
        self.full_at = self.full_at.max(now.as_millis()).saturating_add(REFILL_MS);
    }
}

pub(crate) struct HalfOpen<const BYTES: usize> {
    pub(crate) step: Step,
    pub(crate) address: Address,
    /// The message ids of messages 1 and 3: each is answered once, and again with the same bytes.
    pub(crate) first: MessageId,
    pub(crate) last: Option<MessageId>,
    pub(crate) since: Ticks,
    /// Whether it proved that it is reachable.
    pub(crate) reachable: bool,
    /// Bytes that came from the address, and that went to it, for this handshake.
    pub(crate) received: u32,
    pub(crate) sent: u32,
    pub(crate) reply: Stray<BYTES>,
}

/// How far it is.
pub(crate) enum Step {
    Free,
    AwaitMessage3(AwaitMessage3),
    /// Message 4 was sent, or the handshake failed: kept for repetitions.
    Done,
}

/// A message that is to be sent.
pub(crate) struct Stray<const BYTES: usize> {
    pub(crate) to: Address,
    pub(crate) transmit: bool,
    pub(crate) length: usize,
    pub(crate) bytes: [u8; BYTES],
}

impl<const BYTES: usize> Stray<BYTES> {
    const fn none() -> Self {
        Self { to: Address::NOBODY, transmit: false, length: 0, bytes: [0; BYTES] }
    }

    /// Lets `write` write the message to send.
    pub(crate) fn send<E>(&mut self, to: Address, write: impl FnOnce(&mut [u8]) -> Result<usize, E>) {
        if let Ok(length) = write(&mut self.bytes) {
            (self.to, self.length, self.transmit) = (to, length, true);
        }
    }
}

impl<const BYTES: usize> Strangers<BYTES> {
    pub(crate) fn new(echo_key: [u8; 32]) -> Self {
        let half_open = core::array::from_fn(|_| HalfOpen {
            step: Step::Free,
            address: Address::NOBODY,
            first: MessageId(0),
            last: None,
            since: Ticks::default(),
            reachable: false,
            received: 0,
            sent: 0,
            reply: Stray::none(),
        });
        Self {
            half_open,
            stray: Stray::none(),
            echo_key: Secret::from_bytes(echo_key),
            handshakes: Bucket::default(),
            objects: Bucket::default(),
            moves: Bucket::default(),
        }
    }

    /// Whether a half-open handshake has this identifier.
    pub(crate) fn uses(&self, id: ConnectionId) -> bool {
        self.half_open.iter().any(|half| matches!(&half.step, Step::AwaitMessage3(state) if state.own_id() == id))
    }

    /// The next message to send.
    pub(crate) fn transmit(&mut self) -> Option<(Address, &[u8])> {
        let replies = self.half_open.iter_mut().map(|half| &mut half.reply).chain([&mut self.stray]);
        let reply = replies.into_iter().find(|reply| reply.transmit)?;
        reply.transmit = false;
        Some((reply.to, reply.bytes.get(..reply.length)?))
    }

    /// Whether there is time to verify an object that a stranger brings.
    pub(crate) fn may_bring_object(&self, now: Ticks) -> bool {
        self.objects.left(now) > 0
    }

    /// An object of a stranger was not worth its verification.
    pub(crate) fn spend_on_object(&mut self, now: Ticks) {
        self.objects.spend(now);
    }

    /// Whether there is time to look at what comes for a session from another address than its peer's.
    pub(crate) fn may_move(&self, now: Ticks) -> bool {
        self.moves.left(now) > 0
    }

    /// What came from there was forged.
    pub(crate) fn spend_on_move(&mut self, now: Ticks) {
        self.moves.spend(now);
    }

    /// A place for a handshake of `from`: a free one, one that is done, or whose message 3 did not come in time; and for
    /// those who proved that they are reachable, their own, that of somebody who did not, or that of the one who has been
    /// slow for longest. Who proved nothing takes no place from anybody: the address may be another's.
    pub(crate) fn place(&mut self, from: Address, reachable: bool, now: Ticks) -> Option<&mut HalfOpen<BYTES>> {
        let rank = |half: &HalfOpen<BYTES>| match &half.step {
            _ if half.address == from && reachable => Some(0),
            Step::Free => Some(1),
            Step::Done => Some(2),
            Step::AwaitMessage3(_) if now.millis_since(half.since) >= PATIENCE_MS => Some(3),
            Step::AwaitMessage3(_) if reachable && !half.reachable => Some(4),
            Step::AwaitMessage3(_) if reachable && now.millis_since(half.since) >= SLOW_MS => Some(5),
            Step::AwaitMessage3(_) => None,
        };
        let ranked = self.half_open.iter_mut().filter_map(|half| Some((rank(half)?, half.since, half)));
        ranked.min_by_key(|(rank, since, _)| (*rank, *since)).map(|(.., half)| half)
    }
}

impl<const BYTES: usize> HalfOpen<BYTES> {
    /// Whether it waits for message 3 of this connection from there.
    pub(crate) fn awaits_message_3(&self, from: Address, connection: ConnectionId) -> bool {
        let mine = matches!(&self.step, Step::AwaitMessage3(state) if state.own_id() == connection);
        mine && self.address == from
    }

    /// Whether the message with this number is of it.
    pub(crate) fn knows(&self, id: MessageId) -> bool {
        match self.step {
            Step::Free => false,
            Step::AwaitMessage3(_) | Step::Done => self.first == id || self.last == Some(id),
        }
    }

    /// A message of it came again, with so many bytes: sends the answer again, if that is not too much for an address that
    /// nobody confirmed; says whether it is.
    pub(crate) fn again(&mut self, length: usize) -> bool {
        self.received = self.received.saturating_add(bytes(length));
        let sent = self.sent.saturating_add(bytes(self.reply.length));
        // Message 3 proves as much as an Echo does.
        let may = self.reachable || self.last.is_some() || sent <= self.received.saturating_mul(AMPLIFICATION);
        self.sent = if may { sent } else { self.sent.saturating_add(QUESTION) };
        self.reply.transmit |= may;
        may
    }
}

/// A length, as it is counted.
pub(crate) fn bytes(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
