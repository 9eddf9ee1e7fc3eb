//! Reliability (RFC 7252 sections 4.2, 4.3, 5.2): what to send again, what belongs together.

use super::{Code, Header, Message, MessageId, Token, Type};

/// Parameters of transmission (RFC 7252 section 4.8). The random factor is 1.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmission {
    /// `ACK_TIMEOUT` in milliseconds.
    pub ack_timeout_ms: u32,
    /// `MAX_RETRANSMIT`: how often a confirmable message is sent again. At most 16 count.
    pub max_retransmit: u8,
    /// How long a response is waited for after an empty acknowledgement, or after a message that is not confirmable, in
    /// milliseconds. The standard leaves it open.
    pub patience_ms: u32,
}

impl Transmission {
    /// The standard's values; a response that is not on the acknowledgement is waited for 30 seconds.
    pub const DEFAULT: Self = Self { ack_timeout_ms: 2_000, max_retransmit: 4, patience_ms: 30_000 };
}

impl Default for Transmission {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// `EXCHANGE_LIFETIME` in milliseconds: a message id means the same message for so long (RFC 7252 section 4.8.2).
pub const EXCHANGE_LIFETIME_MS: u64 = 247_000;

/// What a deadline asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Nothing yet: look at the deadline again.
    NotYet,
    /// Send the same bytes again.
    Resend,
    /// The peer does not answer.
    GiveUp,
}

/// One confirmable message that was sent and is not acknowledged yet.
#[derive(Clone, Copy, Debug)]
pub struct Retransmit {
    id: MessageId,
    deadline: u64,
    timeout_ms: u32,
    left: u8,
}

impl Retransmit {
    /// A confirmable message of this id is sent at `now`. `random` is any number that is hard to foretell; it spreads the
    /// first timeout over `ACK_TIMEOUT` to 1.5 × `ACK_TIMEOUT`.
    #[must_use]
    pub fn new(id: MessageId, now: u64, random: u32, transmission: Transmission) -> Self {
        let spread = u64::from(transmission.ack_timeout_ms / 2).saturating_add(1);
        let jitter = (u64::from(random).saturating_mul(spread) >> 32) as u32;
        let timeout_ms = transmission.ack_timeout_ms.saturating_add(jitter);
        let deadline = now.saturating_add(timeout_ms.into());
        Self { id, deadline, timeout_ms, left: transmission.max_retransmit.min(16) }
    }

    /// The id of the message.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        self.id
    }

    /// When [`Retransmit::on_timeout`] wants to be called.
    #[must_use]
    pub const fn next_deadline(&self) -> u64 {
        self.deadline
    }

    /// Says what is due at `now`. Each time the message is to be sent again the next timeout is twice as long.
    pub fn on_timeout(&mut self, now: u64) -> Expiry {
        if now < self.deadline {
            return Expiry::NotYet;
        }
        let Some(left) = self.left.checked_sub(1) else { return Expiry::GiveUp };
        self.left = left;
        self.timeout_ms = self.timeout_ms.saturating_mul(2);
        self.deadline = now.saturating_add(self.timeout_ms.into());
        Expiry::Resend
    }

    /// Whether `message` ends it: an acknowledgement or a reset of its id. A reset of a notification also ends the
    /// observation (RFC 7641 section 3.6).
    #[must_use]
    pub fn is_ended_by(&self, message: &Message<'_>) -> bool {
        matches!(message.kind(), Type::Acknowledgement | Type::Reset) && message.id() == self.id
    }
}

/// How a message relates to an [`Exchange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// Not to this exchange.
    No,
    /// The peer has the request and will answer later.
    Acknowledged,
    /// The peer cannot process the request: the exchange is over.
    Reset,
    /// A response. `answer` is what to send for it at once. The exchange goes on until the caller drops it, so that a
    /// response that turns out to be forged ends nothing.
    Response {
        /// The acknowledgement of a confirmable response.
        answer: Option<[u8; 4]>,
    },
}

/// A request of one's own, from the first sending to the response.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    token: Token,
    id: MessageId,
    waiting: Waiting,
    patience_ms: u32,
}

#[derive(Clone, Copy, Debug)]
enum Waiting {
    /// Confirmable and not acknowledged.
    Acknowledgement(Retransmit),
    /// For a response that comes by itself, until then.
    Response(u64),
}

impl Exchange {
    /// The request of this header and token is sent at `now`; `random` as in [`Retransmit::new`].
    #[must_use]
    pub fn new(request: &Message<'_>, now: u64, random: u32, transmission: Transmission) -> Self {
        let waiting = match request.kind() {
            Type::Confirmable => Waiting::Acknowledgement(Retransmit::new(request.id(), now, random, transmission)),
            Type::NonConfirmable | Type::Acknowledgement | Type::Reset => {
                Waiting::Response(now.saturating_add(transmission.patience_ms.into()))
            }
        };
        Self { token: request.token(), id: request.id(), waiting, patience_ms: transmission.patience_ms }
    }

    /// The request's token.
    #[must_use]
    pub const fn token(&self) -> Token {
        self.token
    }

    /// The request's message id.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        self.id
    }

    /// When [`Exchange::on_timeout`] wants to be called.
    #[must_use]
    pub const fn next_deadline(&self) -> u64 {
        match &self.waiting {
            Waiting::Acknowledgement(retransmit) => retransmit.next_deadline(),
            Waiting::Response(until) => *until,
        }
    }

    /// Says what is due at `now`.
    pub fn on_timeout(&mut self, now: u64) -> Expiry {
        match &mut self.waiting {
            Waiting::Acknowledgement(retransmit) => retransmit.on_timeout(now),
            Waiting::Response(until) if now < *until => Expiry::NotYet,
            Waiting::Response(_) => Expiry::GiveUp,
        }
    }

    /// Takes a message from the peer to which the request went (the caller compared the addresses, RFC 7252 section 5.3.2).
    pub fn on_message(&mut self, message: &Message<'_>, now: u64) -> Matched {
        let response = message.code().is_response() && message.token() == self.token;
        match message.kind() {
            Type::Acknowledgement if message.id() != self.id => Matched::No,
            Type::Acknowledgement if response => Matched::Response { answer: None },
            Type::Acknowledgement if message.code() == Code::EMPTY => {
                if let Waiting::Acknowledgement(_) = self.waiting {
                    self.waiting = Waiting::Response(now.saturating_add(self.patience_ms.into()));
                }
                Matched::Acknowledged
            }
            Type::Reset if message.id() == self.id => Matched::Reset,
            Type::Acknowledgement | Type::Reset => Matched::No,
            Type::Confirmable if response => Matched::Response { answer: Some(acknowledgement(message.id())) },
            Type::NonConfirmable if response => Matched::Response { answer: None },
            Type::Confirmable | Type::NonConfirmable => Matched::No,
        }
    }
}

/// A request that is being answered: a quick answer rides on the acknowledgement, a slow one comes after an empty one
/// (RFC 7252 section 5.2).
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    id: MessageId,
    token: Token,
    confirmable: bool,
    acknowledge_at: Option<u64>,
}

impl Pending {
    /// How long an answer may take to ride on the acknowledgement, in milliseconds: half of `ACK_TIMEOUT`, so that the
    /// client does not send again meanwhile.
    pub const QUICK_MS: u64 = 1_000;

    /// A request came at `now`.
    #[must_use]
    pub fn new(request: &Message<'_>, now: u64) -> Self {
        let confirmable = request.kind() == Type::Confirmable;
        let acknowledge_at = confirmable.then(|| now.saturating_add(Self::QUICK_MS));
        Self { id: request.id(), token: request.token(), confirmable, acknowledge_at }
    }

    /// When an empty acknowledgement is due; `None` if none is owed.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<u64> {
        self.acknowledge_at
    }

    /// The empty acknowledgement, if one is owed: the answer then comes as a message of its own.
    pub fn acknowledge(&mut self) -> Option<[u8; 4]> {
        self.acknowledge_at.take().map(|_| acknowledgement(self.id))
    }

    /// Type, message id and token of the response. One that does not ride on the acknowledgement takes the id `own`; if it
    /// is confirmable it needs a [`Retransmit`].
    #[must_use]
    pub const fn response(&self, own: MessageId) -> (Type, MessageId, Token) {
        match (self.acknowledge_at, self.confirmable) {
            (Some(_), _) => (Type::Acknowledgement, self.id, self.token),
            (None, true) => (Type::Confirmable, own, self.token),
            (None, false) => (Type::NonConfirmable, own, self.token),
        }
    }
}

/// An empty acknowledgement of the message `id`.
#[must_use]
pub const fn acknowledgement(id: MessageId) -> [u8; 4] {
    empty(Type::Acknowledgement, id)
}

/// A reset of the message `id`: it came and could not be processed. For a notification it also ends the observation.
#[must_use]
pub const fn reset(id: MessageId) -> [u8; 4] {
    empty(Type::Reset, id)
}

/// A ping: a peer that lives answers with a reset (RFC 7252 section 4.3).
#[must_use]
pub const fn ping(id: MessageId) -> [u8; 4] {
    empty(Type::Confirmable, id)
}

/// What a datagram deserves that cannot be read or that nobody waits for: a confirmable one a reset, everything else
/// silence (RFC 7252 sections 4.2, 4.3).
#[must_use]
pub fn refuse(datagram: &[u8]) -> Option<[u8; 4]> {
    let header = Header::read(datagram).ok()?;
    (header.kind == Type::Confirmable).then(|| reset(header.id))
}

const fn empty(kind: Type, id: MessageId) -> [u8; 4] {
    let [high, low] = id.0.to_be_bytes();
    [0x40 | (kind.bits() << 4), 0, high, low]
}
