//! The controller's side.

use super::command::{Action, Challenge, Command, Order, StateVersion};
use super::envelope::{Channel, Direction, Keys, Link, MAX_SEQUENCE, OpenError, Plain, SealError};
use super::message::{Answer, Request};
use super::receipt::{Receipt, Standing};
use crate::crypto::Crypto;
use medlock_trust::Operation;

/// A controller's end of a session with one device under one bond.
///
/// It numbers every message, keeps track of what is unknown, and seals no second bolus while the outcome of one is. What
/// it must not forget is its [`Memory`]: write that durably before a message is sent.
#[derive(Debug)]
pub struct Commander {
    keys: Keys,
    link: Link,
    epoch: u64,
    next: u64,
    heard: Option<u64>,
    forged: u32,
    asked: Option<u64>,
    ready: Option<(Challenge, StateVersion)>,
    change: Option<Pending>,
    halt: Option<Pending>,
    bolus: Option<u64>,
}

/// What a controller must remember of a bond beyond its sessions and its own reboots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The number of its next message.
    pub next: u64,
    /// The command that treats or configures of which nothing is known yet.
    pub unknown: Option<u64>,
    /// The bolus whose outcome is not final.
    pub bolus: Option<u64>,
}

/// A command that was sealed and of which nothing was heard.
#[derive(Clone, Copy, Debug)]
struct Pending {
    counter: u64,
    /// As it was sealed; `None` if it was sealed in an earlier session.
    command: Option<Command>,
}

/// What a device said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A challenge came: a command can be sealed now. This is how things stand at the device.
    Ready(Standing),
    /// What came of a command.
    Receipt(Receipt),
}

/// After this many forged messages the keys are given up. A tag of 16 bytes would bear far more; a controller that sees so
/// many has another problem.
pub(super) const MAX_FORGED: u32 = 1 << 20;

impl Commander {
    /// A controller's end of a session. `memory` is what it remembers of the bond with this epoch: [`Memory::default`] for a
    /// new one, or if everything was lost; then the device's first answer says what it missed.
    #[must_use]
    pub fn new(keys: Keys, link: Link, epoch: u64, memory: Memory) -> Self {
        Self {
            keys,
            link,
            epoch,
            next: memory.next.max(1),
            heard: None,
            forged: 0,
            asked: None,
            ready: None,
            change: memory.unknown.map(|counter| Pending { counter, command: None }),
            halt: None,
            bolus: memory.bolus,
        }
    }

    /// What must be remembered from now on.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory { next: self.next, unknown: self.change.map(|pending| pending.counter), bolus: self.bolus }
    }

    /// The command of which nothing is known, or else the bolus whose outcome is not final.
    #[must_use]
    pub fn unknown(&self) -> Option<u64> {
        self.change.map(|pending| pending.counter).or(self.bolus)
    }

    /// The halt of which nothing was heard.
    #[must_use]
    pub fn unknown_halt(&self) -> Option<u64> {
        self.halt.map(|pending| pending.counter)
    }

    /// Whether a challenge is at hand.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// Asks the device for a challenge. A command on its way that arrives later than this is void.
    ///
    /// # Errors
    /// [`SealError::Buffer`], [`SealError::UsedUp`].
    pub fn ask_challenge<'o>(&mut self, out: &'o mut [u8], crypto: &impl Crypto) -> Result<&'o [u8], SealError> {
        let sequence = self.take_number()?;
        (self.asked, self.ready) = (Some(sequence), None);
        self.seal(sequence, &Request::Challenge, out, crypto)
    }

    /// Seals a command with the challenge at hand, which is used up. Returns its counter and the message.
    ///
    /// # Errors
    /// [`SealError::Unknown`] for anything but a halt while nothing is known of an earlier command, and for a bolus while
    /// the outcome of one is not final; [`SealError::NoChallenge`], [`SealError::Buffer`], [`SealError::UsedUp`].
    pub fn command<'o>(
        &mut self,
        order: Order,
        out: &'o mut [u8],
        crypto: &impl Crypto,
    ) -> Result<(u64, &'o [u8]), SealError> {
        let is_halt = order.action.operation() == Operation::Halt;
        if let Some(pending) = self.change.filter(|_| !is_halt) {
            return Err(SealError::Unknown(pending.counter));
        }
        if let Some(bolus) = self.bolus.filter(|_| order.action.is_bolus()) {
            return Err(SealError::Unknown(bolus));
        }
        if out.len() < super::MAX_LENGTH {
            return Err(SealError::Buffer);
        }
        let (challenge, state) = self.ready.take().ok_or(SealError::NoChallenge)?;
        let counter = self.take_number()?;
        let command = Command { epoch: self.epoch, challenge, state, order };
        let pending = Some(Pending { counter, command: Some(command) });
        if is_halt {
            self.halt = pending;
        } else {
            self.change = pending;
        }
        if let Action::Bolus { .. } = order.action {
            self.bolus = Some(counter);
        }
        Ok((counter, self.seal(counter, &Request::Command(command), out, crypto)?))
    }

    /// The command with this counter once more, byte for byte; `None` if it is not one that waits, or was sealed in an
    /// earlier session. It is void if the device has heard anything later.
    ///
    /// # Errors
    /// [`SealError::Buffer`].
    pub fn again<'o>(
        &self,
        counter: u64,
        out: &'o mut [u8],
        crypto: &impl Crypto,
    ) -> Result<Option<&'o [u8]>, SealError> {
        let waiting = self.change.into_iter().chain(self.halt).find(|pending| pending.counter == counter);
        match waiting.and_then(|pending| pending.command) {
            // The same number, but the same content too: `Pending` never changes.
            Some(command) => self.seal(counter, &Request::Command(command), out, crypto).map(Some),
            None => Ok(None),
        }
    }

    /// Asks what came of the command with this counter. If the device never got it, it never will carry it out: it
    /// answers that it is void.
    ///
    /// # Errors
    /// [`SealError::Buffer`], [`SealError::UsedUp`].
    pub fn ask_receipt<'o>(
        &mut self,
        counter: u64,
        out: &'o mut [u8],
        crypto: &impl Crypto,
    ) -> Result<&'o [u8], SealError> {
        let sequence = self.take_number()?;
        self.seal(sequence, &Request::Receipt(counter), out, crypto)
    }

    /// Opens what the device sent, in place.
    ///
    /// # Errors
    /// [`OpenError`]; nothing changed then.
    pub fn open(&mut self, message: &mut [u8], crypto: &impl Crypto) -> Result<Told, OpenError> {
        if self.forged >= MAX_FORGED {
            return Err(OpenError::UsedUp);
        }
        let channel = Channel { key: &self.keys.receipt, link: &self.link, direction: Direction::Receipt };
        let opened = channel.open(message, crypto);
        if opened == Err(OpenError::Forged) {
            self.forged = self.forged.saturating_add(1);
        }
        let (sequence, bytes) = opened?;
        if self.heard.is_some_and(|heard| sequence <= heard) {
            return Err(OpenError::Replayed);
        }
        let answer = Answer::read(bytes).map_err(|_| OpenError::Malformed)?;
        let told = match answer {
            Answer::Challenge { to, challenge, standing } => {
                if self.asked != Some(to) {
                    return Err(OpenError::NotAsked);
                }
                self.asked = None;
                self.ready = Some((challenge, standing.state));
                self.next = self.next.max(standing.floor.saturating_add(1));
                self.learn_bolus(standing.bolus);
                Told::Ready(standing)
            }
            Answer::Receipt(receipt) => {
                self.learn(&receipt);
                Told::Receipt(receipt)
            }
        };
        self.heard = Some(sequence);
        Ok(told)
    }

    fn learn(&mut self, receipt: &Receipt) {
        let other = |pending: &Pending| pending.counter != receipt.counter;
        self.change = self.change.filter(other);
        self.halt = self.halt.filter(other);
        self.bolus = self.bolus.filter(|bolus| *bolus != receipt.counter || !receipt.outcome.is_final());
    }

    /// A bolus this controller forgot, or has not heard of since.
    fn learn_bolus(&mut self, receipt: Option<Receipt>) {
        let Some(receipt) = receipt else { return };
        self.learn(&receipt);
        if !receipt.outcome.is_final() {
            self.bolus = self.bolus.or(Some(receipt.counter));
        }
    }

    fn take_number(&mut self) -> Result<u64, SealError> {
        let number = self.next;
        if number > MAX_SEQUENCE {
            return Err(SealError::UsedUp);
        }
        self.next = number.saturating_add(1);
        Ok(number)
    }

    fn seal<'o>(
        &self,
        sequence: u64,
        request: &Request,
        out: &'o mut [u8],
        crypto: &impl Crypto,
    ) -> Result<&'o [u8], SealError> {
        let mut plain = Plain::new();
        request.encode(&mut plain.writer()).map_err(|_| SealError::Buffer)?;
        let channel = Channel { key: &self.keys.command, link: &self.link, direction: Direction::Command };
        channel.seal(sequence, &plain, out, crypto)
    }
}
