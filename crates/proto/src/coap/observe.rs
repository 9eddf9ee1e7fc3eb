//! Observing resources (RFC 7641).

use super::{Message, Token, Type, option};

/// What a request asks with its Observe option (RFC 7641 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Add the client to the observers (0).
    Register,
    /// Remove the client from the observers (1).
    Deregister,
}

impl Wish {
    /// What `request` asks; `None` without the option or with another value, which is ignored.
    #[must_use]
    pub fn of(request: &Message<'_>) -> Option<Self> {
        match request.uint(option::OBSERVE)? {
            0 => Some(Self::Register),
            1 => Some(Self::Deregister),
            _ => None,
        }
    }

    /// The value of the option, for [`super::Writer::uint`].
    #[must_use]
    pub const fn value(self) -> u32 {
        match self {
            Self::Register => 0,
            Self::Deregister => 1,
        }
    }
}

/// What a client knows of the newest notification (RFC 7641 section 3.4). Notifications under OSCORE are ordered by their
/// Partial IVs instead, which an attacker cannot change: see [`crate::oscore::Sent`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Newest(Option<(u32, u64)>);

impl Newest {
    /// Nothing came yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// A notification of this number came at `now`: whether it is newer than all before. Then it is remembered.
    pub fn accept(&mut self, number: u32, now: u64) -> bool {
        let number = number & 0xff_ffff;
        let newer = self.0.is_none_or(|(old, at)| is_newer(old, number) || now > at.saturating_add(128_000));
        if newer {
            self.0 = Some((number, now));
        }
        newer
    }
}

/// Whether the number `new` comes after `old`, on a circle of 2²⁴ (RFC 7641 section 3.4).
#[must_use]
pub const fn is_newer(old: u32, new: u32) -> bool {
    let ahead = new.wrapping_sub(old) & 0xff_ffff;
    ahead != 0 && ahead < 1 << 23
}

/// One observer of a resource, as the server keeps it. Where it lives (address, security context) is the caller's.
#[derive(Clone, Copy, Debug)]
pub struct Observer {
    token: Token,
    number: u32,
    heard: u64,
}

impl Observer {
    /// After how long without an acknowledgement the next notification must be confirmable at the latest: 24 hours
    /// (RFC 7641 section 4.5), in milliseconds.
    pub const CONFIRM_AFTER_MS: u64 = 86_400_000;

    /// The client registered with this token at `now`.
    #[must_use]
    pub fn new(token: Token, now: u64) -> Self {
        Self { token, number: (now & 0xff_ffff) as u32, heard: now }
    }

    /// The token of its notifications.
    #[must_use]
    pub const fn token(&self) -> Token {
        self.token
    }

    /// The number and type of the next notification, sent at `now`. It is confirmable if the client was not heard of for
    /// `confirm_after_ms`, at most [`Observer::CONFIRM_AFTER_MS`].
    pub fn notify(&mut self, now: u64, confirm_after_ms: u64) -> (u32, Type) {
        // The clock's milliseconds keep the number ahead of that of an earlier registration; 2²³ ms are more than the 256
        // seconds of RFC 7641 section 3.4.
        let clock = (now & 0xff_ffff) as u32;
        self.number = if is_newer(self.number, clock) { clock } else { self.number.wrapping_add(1) & 0xff_ffff };
        let confirm = now.saturating_sub(self.heard) >= confirm_after_ms.min(Self::CONFIRM_AFTER_MS);
        (self.number, if confirm { Type::Confirmable } else { Type::NonConfirmable })
    }

    /// The client acknowledged a notification at `now`. If it answers with a reset or not at all, drop the observer.
    pub fn acknowledged(&mut self, now: u64) {
        self.heard = now;
    }
}
