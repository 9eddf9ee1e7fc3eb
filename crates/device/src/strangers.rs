//! What is kept of strangers, and what may be spent on them.

use crate::address::Address;
use crate::platform::Ticks;
use medlock_proto::coap::{MessageId, Token};
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
const PUBLIC_KEY: Rate = Rate { burst: 4, refill_ms: 2_000 };
/// The same for questions for Echo, of which one costs two hashes, about a millisecond.
const QUESTIONS: Rate = Rate { burst: 32, refill_ms: 20 };
/// Of the places and of the handshakes that may be answered so many are for addresses at which bonded peers were.
const KEPT: u64 = 1;
/// How many such addresses are remembered: one for each bond.
const KNOWN: usize = crate::bonds::MAX_BONDS;
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
    pub(crate) stray: Stray,
    pub(crate) echo_key: Secret,
    handshakes: Bucket,
    objects: Bucket,
    moves: Bucket,
    questions: Bucket,
    /// Where bonded peers were, the newest first.
    known: [Address; KNOWN],
}

/// How often something may be done.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u64,
    refill_ms: u64,
}

/// What may still be spent on strangers.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// When it would be full again, in milliseconds since boot.
    full_at: u64,
}

impl Bucket {
    const fn new(rate: Rate) -> Self {
        Self { rate, full_at: 0 }
    }

    /// How many more.
    fn left(&self, now: Ticks) -> u64 {
        let owed = self.full_at.saturating_sub(now.as_millis());
        let owed = owed.saturating_add(self.rate.refill_ms.saturating_sub(1));
        self.rate.burst.saturating_sub(owed.checked_div(self.rate.refill_ms).unwrap_or(0))
    }

    /// One of them.
    fn spend(&mut self, now: Ticks) {
        self.full_at = self.full_at.max(now.as_millis()).saturating_add(self.rate.refill_ms);
    }
}

pub(crate) struct HalfOpen<const BYTES: usize> {
    pub(crate) step: Step,
    pub(crate) address: Address,
    /// The message ids of messages 1 and 3, and the token of the first, which no stranger foresees: each is answered once, and again with the same bytes.
    pub(crate) first: (MessageId, Token),
    pub(crate) last: Option<MessageId>,
    pub(crate) since: Ticks,
    /// Whether it proved that it is reachable.
    pub(crate) reachable: bool,
    /// Bytes that came from the address, and that went to it, for this handshake.
    pub(crate) received: u32,
    pub(crate) sent: u32,
    pub(crate) reply: Reply<BYTES>,
}

/// How far it is.
pub(crate) enum Step {
    Free,
    AwaitMessage3(AwaitMessage3),
    /// Message 4 was sent, or the handshake failed: kept for repetitions.
    Done,
}

/// A message that is to be sent.
pub(crate) struct Reply<const BYTES: usize> {
    pub(crate) transmit: bool,
    pub(crate) length: usize,
    pub(crate) bytes: [u8; BYTES],
}

impl<const BYTES: usize> Reply<BYTES> {
    const fn none() -> Self {
        Self { transmit: false, length: 0, bytes: [0; BYTES] }
    }

    /// Lets `write` write the message to send.
    pub(crate) fn send<E>(&mut self, write: impl FnOnce(&mut [u8]) -> Result<usize, E>) {
        if let Ok(length) = write(&mut self.bytes) {
            (self.length, self.transmit) = (length, true);
        }
    }

    fn take(&mut self) -> Option<&[u8]> {
        if core::mem::take(&mut self.transmit) { self.bytes.get(..self.length) } else { None }
    }
}

/// The answer to an unprotected request, and where it goes.
pub(crate) struct Stray {
    to: Address,
    reply: Reply<STRAY>,
}

/// The most bytes of one: a sealed answer, with header, token, a content format and the marker in front.
const STRAY: usize = medlock_proto::sealed::MAX_LENGTH + 4 + 8 + 3 + 1;

impl Stray {
    const fn none() -> Self {
        Self { to: Address::NOBODY, reply: Reply::none() }
    }

    /// Lets `write` write the message to send.
    pub(crate) fn send<E>(&mut self, to: Address, write: impl FnOnce(&mut [u8]) -> Result<usize, E>) {
        self.to = to;
        self.reply.send(write);
    }
}

impl<const BYTES: usize> Strangers<BYTES> {
    /// Nobody. Nothing is asked of strangers before [`Strangers::begin`].
    pub(crate) const fn new() -> Self {
        Self {
            half_open: [const { HalfOpen::free() }; HALF_OPEN],
            stray: Stray::none(),
            echo_key: Secret::from_bytes([0; 32]),
            handshakes: Bucket::new(PUBLIC_KEY),
            objects: Bucket::new(PUBLIC_KEY),
            moves: Bucket::new(PUBLIC_KEY),
            questions: Bucket::new(QUESTIONS),
            known: [Address::NOBODY; KNOWN],
        }
    }

    /// Begins anew at boot, with a new key for Echo.
    pub(crate) fn begin(&mut self, echo_key: [u8; 32]) {
        for half in &mut self.half_open {
            half.step = Step::Free;
            half.reply.transmit = false;
        }
        self.stray.reply.transmit = false;
        self.echo_key = Secret::from_bytes(echo_key);
        for bucket in [&mut self.handshakes, &mut self.objects, &mut self.moves, &mut self.questions] {
            bucket.full_at = 0;
        }
        self.known = [Address::NOBODY; KNOWN];
    }

    /// A bonded peer is at this address.
    pub(crate) fn know(&mut self, address: Address) {
        let at = self.known.iter().position(|known| *known == address).unwrap_or(KNOWN.saturating_sub(1));
        if let Some(newer) = self.known.get_mut(..=at) {
            newer.rotate_right(1);
        }
        let [first, ..] = &mut self.known;
        *first = address;
    }

    fn knows(&self, address: Address) -> bool {
        self.known.contains(&address)
    }

    /// How many handshakes may be answered for `address`, which proved that it is reachable or did not. The last ones are
    /// for addresses of bonded peers, so that no stranger shuts them out.
    pub(crate) fn handshakes_left(&self, address: Address, reachable: bool, now: Ticks) -> u64 {
        let kept = if (reachable && self.knows(address)) || !self.knows_anybody() { 0 } else { KEPT };
        self.handshakes.left(now).saturating_sub(kept)
    }

    pub(crate) fn spend_on_handshake(&mut self, now: Ticks) {
        self.handshakes.spend(now);
    }

    fn knows_anybody(&self) -> bool {
        self.known.iter().any(|known| *known != Address::NOBODY)
    }

    /// Whether there is time to ask one more stranger for Echo; if so, it is spent.
    pub(crate) fn may_ask(&mut self, now: Ticks) -> bool {
        let may = self.questions.left(now) > 0;
        if may {
            self.questions.spend(now);
        }
        may
    }

    /// Whether a half-open handshake has this identifier.
    pub(crate) fn uses(&self, id: ConnectionId) -> bool {
        self.half_open.iter().any(|half| matches!(&half.step, Step::AwaitMessage3(state) if state.own_id() == id))
    }

    /// The next message to send.
    pub(crate) fn transmit(&mut self) -> Option<(Address, &[u8])> {
        let Self { half_open, stray: Stray { to, reply }, .. } = self;
        let half = half_open.iter_mut().find_map(|half| Some((half.address, half.reply.take()?)));
        half.or_else(|| Some((*to, reply.take()?)))
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
    /// slow for longest. Who proved nothing takes no place from anybody: the address may be another's. The last place is
    /// for addresses of bonded peers, who take it from strangers at once.
    pub(crate) fn place(&mut self, from: Address, reachable: bool, now: Ticks) -> Option<&mut HalfOpen<BYTES>> {
        let known = self.known;
        let is_known = |address: Address| known.contains(&address);
        let strange = !(reachable && is_known(from));
        let taken = |half: &HalfOpen<BYTES>| matches!(half.step, Step::AwaitMessage3(_));
        // So many places have strangers; those of bonded peers who proved where they are do not count.
        let of_strangers = |half: &&HalfOpen<BYTES>| taken(half) && !(half.reachable && is_known(half.address));
        let left =
            self.half_open.iter().filter(|half| !of_strangers(half)).fold(0_u64, |left, _| left.saturating_add(1));
        let crowded = strange && self.knows_anybody() && left <= KEPT;
        let rank = |half: &HalfOpen<BYTES>| match &half.step {
            _ if half.address == from && reachable => Some(0),
            Step::Free if !crowded => Some(1),
            Step::Done if !crowded => Some(2),
            Step::Free | Step::Done => None,
            Step::AwaitMessage3(_) if now.millis_since(half.since) >= PATIENCE_MS => Some(3),
            Step::AwaitMessage3(_) if reachable && !half.reachable => Some(4),
            Step::AwaitMessage3(_) if strange && half.reachable && is_known(half.address) => None,
            Step::AwaitMessage3(_) if reachable && now.millis_since(half.since) >= SLOW_MS => Some(5),
            Step::AwaitMessage3(_) if !strange && !is_known(half.address) => Some(6),
            Step::AwaitMessage3(_) => None,
        };
        let ranked = self.half_open.iter_mut().filter_map(|half| Some((rank(half)?, half.since, half)));
        ranked.min_by_key(|(rank, since, _)| (*rank, *since)).map(|(.., half)| half)
    }
}

impl<const BYTES: usize> HalfOpen<BYTES> {
    const fn free() -> Self {
        Self {
            step: Step::Free,
            address: Address::NOBODY,
            first: (MessageId(0), Token::EMPTY),
            last: None,
            since: Ticks::from_millis(0),
            reachable: false,
            received: 0,
            sent: 0,
            reply: Reply::none(),
        }
    }

    /// Whether it waits for message 3 of this connection from there.
    pub(crate) fn awaits_message_3(&self, from: Address, connection: ConnectionId) -> bool {
        let mine = matches!(&self.step, Step::AwaitMessage3(state) if state.own_id() == connection);
        mine && self.address == from
    }

    /// Whether it began with this message.
    pub(crate) fn began_with(&self, id: MessageId, token: Token) -> bool {
        !matches!(self.step, Step::Free) && self.first == (id, token)
    }

    /// Whether the message with this number was its message 3, and its keys made that.
    pub(crate) fn went_on_with(&self, id: MessageId) -> bool {
        !matches!(self.step, Step::Free) && self.last == Some(id)
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
