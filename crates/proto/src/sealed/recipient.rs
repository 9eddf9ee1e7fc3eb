//! The device's side of one session. What must outlive the session is the journal's, in `medlock-device`.

use super::command::{Challenge, Command, StateVersion};
use super::commander::MAX_FORGED;
use super::envelope::{Channel, Direction, Keys, Link, MAX_SEQUENCE, OpenError, Plain, SealError};
use super::message::{Answer, Request};
use super::receipt::{Outcome, Receipt, Refusal, Standing};
use crate::crypto::Crypto;
use medlock_trust::{DeviceId, Operation};

/// A device's end of a session with one controller under one bond. It lives in memory only: keys and challenge end with
/// the boot.
#[derive(Debug)]
pub struct Recipient {
    keys: Keys,
    link: Link,
    epoch: u64,
    /// The highest counter that was taken under the bond before this session.
    floor: u64,
    /// The highest number taken in this session.
    highest: u64,
    /// The number of the next answer.
    next: u64,
    forged: u32,
    open: Option<Open>,
    /// The last command that was refused, to say the same when asked again.
    refused: Option<Receipt>,
}

/// A challenge that was given and not yet used.
#[derive(Debug)]
struct Open {
    challenge: Challenge,
    issued_millis: u64,
    state: StateVersion,
}

/// What a controller says, opened.
#[derive(Debug)]
pub enum Asked {
    /// It asks for a challenge: answer with [`Recipient::challenge`].
    Challenge(ChallengeAsked),
    /// It commands. `medlock-device` does what follows.
    Command(Received),
    /// It asks what came of the command with this counter, which is below the number of the question.
    Receipt(u64),
}

/// A request for a challenge. Answered once.
#[derive(Debug)]
pub struct ChallengeAsked {
    sequence: u64,
}

/// A command of this session's controller: authentic, not yet judged.
#[derive(Debug)]
pub struct Received {
    counter: u64,
    command: Command,
    in_order: bool,
}

impl Received {
    /// Its number under the bond.
    #[must_use]
    pub const fn counter(&self) -> u64 {
        self.counter
    }

    /// What it says.
    #[must_use]
    pub const fn command(&self) -> &Command {
        &self.command
    }
}

/// A command that is timely and in order: its challenge was used up for it. Cannot be copied; executing takes it by value.
#[derive(Debug)]
pub struct Fresh {
    controller: DeviceId,
    counter: u64,
    command: Command,
}

impl Fresh {
    /// Who commands.
    #[must_use]
    pub const fn controller(&self) -> DeviceId {
        self.controller
    }

    /// Its number under the bond.
    #[must_use]
    pub const fn counter(&self) -> u64 {
        self.counter
    }

    /// What it says.
    #[must_use]
    pub const fn command(&self) -> &Command {
        &self.command
    }
}

impl Recipient {
    /// A device's end of a session. `epoch` is that of the bond in force with the controller; `floor` the highest counter
    /// the device ever took under it. A controller that forgot its numbers asks with low ones and learns the floor from the
    /// answer; a command must be above it.
    #[must_use]
    pub const fn new(keys: Keys, link: Link, epoch: u64, floor: u64) -> Self {
        Self { keys, link, epoch, floor, highest: 0, next: 0, forged: 0, open: None, refused: None }
    }

    /// The controller this session is with.
    #[must_use]
    pub const fn controller(&self) -> DeviceId {
        self.link.controller
    }

    /// The bond under which it commands.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The highest number taken from the controller under the bond: later commands have higher ones.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.highest.max(self.floor)
    }

    /// Opens a message in place. Every message voids those with lower numbers that did not arrive before it; of those, only
    /// a command is passed on, so that its receipt can be given.
    ///
    /// # Errors
    /// [`OpenError`]; nothing changed then, but a count of forgeries.
    pub fn open(&mut self, message: &mut [u8], crypto: &impl Crypto) -> Result<Asked, OpenError> {
        if self.forged >= MAX_FORGED {
            return Err(OpenError::UsedUp);
        }
        let channel = Channel { key: &self.keys.command, link: &self.link, direction: Direction::Command };
        let opened = channel.open(message, crypto);
        if opened == Err(OpenError::Forged) {
            self.forged = self.forged.saturating_add(1);
        }
        let (sequence, bytes) = opened?;
        let request = Request::read(bytes).map_err(|_| OpenError::Malformed)?;
        let in_order = sequence > self.highest;
        let asked = match request {
            Request::Command(command) => Asked::Command(Received { counter: sequence, command, in_order }),
            Request::Challenge if in_order => Asked::Challenge(ChallengeAsked { sequence }),
            // No command is asked for before it can have been sent: the answer voids it, and with it all before.
            Request::Receipt(counter) if counter >= sequence => return Err(OpenError::Malformed),
            Request::Receipt(counter) if in_order => Asked::Receipt(counter),
            Request::Challenge | Request::Receipt(_) => return Err(OpenError::Replayed),
        };
        self.highest = self.highest.max(sequence);
        Ok(asked)
    }

    /// Answers with a new challenge, drawn at random by the device now; an older one is void. `standing` says how things
    /// are.
    ///
    /// # Errors
    /// [`SealError::Buffer`], [`SealError::UsedUp`]; then there is no challenge.
    pub fn challenge<'o>(
        &mut self,
        asked: ChallengeAsked,
        drawn: Challenge,
        standing: Standing,
        now_millis: u64,
        out: &'o mut [u8],
        crypto: &impl Crypto,
    ) -> Result<&'o [u8], SealError> {
        self.open = None;
        let sealed = self.seal(&Answer::Challenge { to: asked.sequence, challenge: drawn, standing }, out, crypto)?;
        self.open = Some(Open { challenge: drawn, issued_millis: now_millis, state: standing.state });
        Ok(sealed)
    }

    /// Whether a command is timely: in order, under this bond, with the open challenge, which is not older than
    /// `max_age_millis` by the device's own ticks, and, unless it halts, made for the present state of therapy. The
    /// challenge is used up in any case.
    ///
    /// # Errors
    /// Why it is not.
    pub fn admit(
        &mut self,
        received: Received,
        state: StateVersion,
        now_millis: u64,
        max_age_millis: u64,
    ) -> Result<Fresh, Refusal> {
        let Received { counter, command, in_order } = received;
        if !in_order || counter <= self.floor {
            return Err(Refusal::Voided);
        }
        if command.epoch != self.epoch {
            return Err(Refusal::Epoch);
        }
        let open = self.open.take_if(|open| open.challenge == command.challenge).ok_or(Refusal::Challenge)?;
        match now_millis.checked_sub(open.issued_millis) {
            Some(age) if age <= max_age_millis => {}
            Some(_) | None => return Err(Refusal::Challenge),
        }
        let is_halt = command.order.action.operation() == Operation::Halt;
        if !is_halt && (command.state != state || open.state != state) {
            return Err(Refusal::State);
        }
        Ok(Fresh { controller: self.link.controller, counter, command })
    }

    /// Ends the open challenge: no command that is on its way will be carried out.
    pub fn void(&mut self) {
        self.open = None;
    }

    /// Remembers a refusal, to say the same when asked again.
    pub fn refuse(&mut self, counter: u64, refusal: Refusal) -> Receipt {
        let receipt = Receipt { counter, outcome: Outcome::Refused(refusal), mark: None };
        self.refused = Some(receipt);
        receipt
    }

    /// Whether this command was refused a moment ago: it is not judged again.
    #[must_use]
    pub fn was_refused(&self, counter: u64) -> bool {
        self.refused.is_some_and(|receipt| receipt.counter == counter)
    }

    /// What is said of a command that was never carried out: why it was refused, or that it is void now.
    #[must_use]
    pub fn refused(&self, counter: u64) -> Receipt {
        let void = Receipt { counter, outcome: Outcome::Refused(Refusal::Voided), mark: None };
        self.refused.filter(|receipt| receipt.counter == counter).unwrap_or(void)
    }

    /// Seals a receipt.
    ///
    /// # Errors
    /// [`SealError::Buffer`], [`SealError::UsedUp`].
    pub fn receipt<'o>(
        &mut self,
        receipt: &Receipt,
        out: &'o mut [u8],
        crypto: &impl Crypto,
    ) -> Result<&'o [u8], SealError> {
        self.seal(&Answer::Receipt(*receipt), out, crypto)
    }

    fn seal<'o>(&mut self, answer: &Answer, out: &'o mut [u8], crypto: &impl Crypto) -> Result<&'o [u8], SealError> {
        let sequence = self.next;
        if sequence > MAX_SEQUENCE {
            return Err(SealError::UsedUp);
        }
        let mut plain = Plain::new();
        answer.encode(&mut plain.writer()).map_err(|_| SealError::Buffer)?;
        // The number is used up even if the buffer is too short: none is ever used for two messages.
        self.next = sequence.saturating_add(1);
        let channel = Channel { key: &self.keys.receipt, link: &self.link, direction: Direction::Receipt };
        channel.seal(sequence, &plain, out, crypto)
    }
}
