//! Reception of sealed commands: from an opened message to an act, with the intent in flash before it.
//!
//! ```text
//! Recipient::open → Received → Reception::receive → Act → started → Running → done → receipt
//!                                   │ refused                └ unable
//!                                   └ known: its receipt again
//! ```
//! At most one execution, whatever the instant at which power goes: an [`Act`] exists only after its intent is durable and
//! its challenge used up, and neither it nor [`Running`] can be copied.

mod lease;
mod limits;

use crate::journal::{Intent, Journal, Known, Place, Recovered, UNRECORDED, forgotten};
use crate::log::{Area, LogError};
use crate::platform::{Flash, Ticks};
use medlock_proto::crypto::Crypto;
use medlock_proto::sealed::{
    Action, Challenge, ChallengeAsked, Command, Fresh, MilliUnits, Outcome, Receipt, Received, Recipient, Refusal,
    SealError, Standing, StateVersion,
};
use medlock_trust::decide::{Code, Obligations};
use medlock_trust::{DeviceId, Operation, Permit, Verdict};

pub use lease::{Lease, LeaseEnded};
pub use limits::Limits;

/// A device's reception of commands: one for all sessions. The flash is given to each call.
#[derive(Debug)]
pub struct Reception {
    journal: Journal,
    limits: Limits,
    state: StateVersion,
    lease: Lease,
}

/// A command that may be carried out now: permitted, within all limits, durably intended. Give it to
/// [`Reception::started`] when the act begins, or to [`Reception::unable`] if it cannot begin. If it is dropped, the
/// command stays under way until the next boot, and is then uncertain.
#[derive(Debug)]
#[must_use = "the intent is recorded: start the act, or say that it cannot begin"]
pub struct Act {
    running: Running,
    command: Command,
    controller: DeviceId,
    permit: Permit,
}

impl Act {
    /// What is to be done.
    #[must_use]
    pub const fn action(&self) -> &Action {
        &self.command.order.action
    }

    /// The whole command.
    #[must_use]
    pub const fn command(&self) -> &Command {
        &self.command
    }

    /// Its counter under the bond.
    #[must_use]
    pub const fn counter(&self) -> u64 {
        self.running.counter
    }

    /// Who commands.
    #[must_use]
    pub const fn controller(&self) -> DeviceId {
        self.controller
    }

    /// What the act owes: whether people must be told, and with what mark.
    #[must_use]
    pub const fn obligations(&self) -> Obligations {
        self.permit.obligations()
    }
}

/// A command that is being carried out. Give it to [`Reception::done`] when delivery ended, by itself or early.
#[derive(Debug)]
#[must_use = "say what came of it, or it is uncertain after the next boot"]
pub struct Running {
    epoch: u64,
    counter: u64,
}

impl Running {
    /// Its counter under the bond.
    #[must_use]
    pub const fn counter(&self) -> u64 {
        self.counter
    }
}

/// What comes of a command that was received.
#[derive(Debug)]
#[must_use]
pub enum Reply {
    /// Carry it out. A halt ends whatever bolus or temporary basal runs: stop it, and report what it delivered.
    Act(Act),
    /// Answer with this receipt, and do nothing.
    Receipt(Receipt),
}

impl Reception {
    /// Makes an empty journal. Done once, by the maker of the device.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn format<F: Flash>(flash: &mut F, area: &Area) -> Result<(), LogError<F::Error>> {
        Journal::format(flash, area)
    }

    /// Begins at boot. What was under way is uncertain; challenges and leases of the last boot are gone.
    ///
    /// # Errors
    /// [`LogError`]. A device that cannot read its journal must not carry out commands.
    pub fn open<F: Flash>(flash: &mut F, area: &Area, limits: Limits) -> Result<(Self, Recovered), LogError<F::Error>> {
        let (journal, recovered) = Journal::open(flash, area, limits.window_seconds())?;
        Ok((Self { journal, limits, state: StateVersion::default(), lease: Lease::default() }, recovered))
    }

    /// What was done, and is under way.
    #[must_use]
    pub const fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The limits in force.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The version of the state of therapy. It begins anew at each boot, as challenges do.
    #[must_use]
    pub const fn state(&self) -> StateVersion {
        self.state
    }

    /// Says that something changed that a controller reckons with: another programme, a new cartridge, a stop at the
    /// device. Commands that are on their way are refused.
    pub fn therapy_changed(&mut self) {
        self.state = StateVersion(self.state.0.wrapping_add(1));
    }

    /// Counts a delivery that was not commanded, such as a bolus by the buttons of the device.
    ///
    /// # Errors
    /// [`LogError`]; it is counted until the next boot even so.
    pub fn delivered_at_device<F: Flash>(
        &mut self,
        flash: &mut F,
        amount: MilliUnits,
        now: Ticks,
    ) -> Result<(), LogError<F::Error>> {
        self.therapy_changed();
        self.journal.count(flash, amount, now)
    }

    /// Writes the time down. Every ten minutes or so: amounts then leave the window soon after a power cut, not late.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn checkpoint<F: Flash>(&mut self, flash: &mut F, now: Ticks) -> Result<(), LogError<F::Error>> {
        self.journal.checkpoint(flash, now)
    }

    /// Says which bonds are in force: their counters are not forgotten.
    pub fn keep_bonds(&mut self, in_force: impl Fn(u64) -> bool) {
        self.journal.keep_bonds(in_force);
    }

    /// Answers a request for a challenge. `drawn` was drawn at random just now. Commands with lower numbers are void from
    /// now on, in every session of the controller.
    ///
    /// # Errors
    /// [`SealError::Buffer`], [`SealError::UsedUp`].
    pub fn challenge<'o>(
        &mut self,
        recipient: &mut Recipient,
        asked: ChallengeAsked,
        drawn: Challenge,
        now: Ticks,
        out: &'o mut [u8],
        crypto: &impl Crypto,
    ) -> Result<&'o [u8], SealError> {
        self.challenge_for(recipient, asked, (drawn, true), now, out, crypto)
    }

    /// As [`Reception::challenge`]. Who may not know of therapy is not told of the last bolus.
    pub(crate) fn challenge_for<'o>(
        &mut self,
        recipient: &mut Recipient,
        asked: ChallengeAsked,
        (drawn, may_know): (Challenge, bool),
        now: Ticks,
        out: &'o mut [u8],
        crypto: &impl Crypto,
    ) -> Result<&'o [u8], SealError> {
        let epoch = recipient.epoch();
        self.journal.raise_floor(epoch, recipient.highest());
        let floor = recipient.highest().max(self.journal.floor(epoch));
        let standing =
            Standing { state: self.state, floor, bolus: self.journal.last_bolus(epoch).filter(|_| may_know) };
        recipient.challenge(asked, drawn, standing, now.as_millis(), out, crypto)
    }

    /// What is to be said of the command with this counter. If it was never carried out, it is void from now on, in every
    /// session of the controller.
    pub fn receipt(&mut self, recipient: &Recipient, counter: u64) -> Receipt {
        match self.journal.known(recipient.epoch(), counter) {
            Known::Receipt(receipt) => receipt,
            Known::Forgotten => forgotten(counter),
            Known::Never => {
                // Not beyond the question itself: a question voids what came before it, not what is to come.
                self.journal.raise_floor(recipient.epoch(), counter.min(recipient.highest()));
                recipient.refused(counter)
            }
        }
    }

    /// Receives a command. `judge` asks the trust core whether the controller may do the operation now, under the bond in
    /// force, attended or not; without its permit nothing is done.
    pub fn receive<F: Flash>(
        &mut self,
        flash: &mut F,
        recipient: &mut Recipient,
        received: Received,
        now: Ticks,
        judge: impl FnOnce(&Command, Operation) -> Verdict,
    ) -> Reply {
        let counter = received.counter();
        match self.journal.known(recipient.epoch(), counter) {
            Known::Receipt(receipt) => return Reply::Receipt(receipt),
            Known::Forgotten => return Reply::Receipt(forgotten(counter)),
            Known::Never => {}
        }
        if recipient.was_refused(counter) {
            return Reply::Receipt(recipient.refused(counter));
        }
        let age = self.limits.challenge_age();
        let done = recipient
            .admit(received, self.state, now.as_millis(), age)
            .and_then(|fresh| self.execute(flash, &fresh, now, judge));
        match done {
            Ok(act) => Reply::Act(act),
            Err(refusal) => Reply::Receipt(recipient.refuse(counter, refusal)),
        }
    }

    /// The act has begun, or begins now. The receipt says so.
    pub fn started(&self, act: Act) -> (Running, Receipt) {
        let receipt = Receipt { counter: act.counter(), outcome: Outcome::Started, mark: act.permit.mark() };
        (act.running, receipt)
    }

    /// The act could not begin: nothing was delivered and nothing counts.
    pub fn unable<F: Flash>(&mut self, flash: &mut F, act: Act, now: Ticks) -> Receipt {
        self.conclude(flash, &act.running, Outcome::Refused(Refusal::Unable), now)
    }

    /// Delivery ended, by itself or early, and this is what was delivered. If that cannot be recorded, the outcome is
    /// uncertain, and the receipt says so.
    pub fn done<F: Flash>(&mut self, flash: &mut F, running: Running, delivered: MilliUnits, now: Ticks) -> Receipt {
        self.conclude(flash, &running, Outcome::Done { delivered }, now)
    }

    /// Until when a controller counts as present; `None`: no longer. A temporary basal ends then, if not before.
    #[must_use]
    pub fn lease_ends(&self, now: Ticks) -> Option<Ticks> {
        self.lease.ends(now)
    }

    /// Keeps the lease alive: `permit` is for `sustain`, of the controller that holds it. Delivery is not touched.
    ///
    /// # Errors
    /// [`LeaseEnded`]: a lease that ended is granted again only with a command that treats.
    pub fn sustain(&mut self, permit: Permit, now: Ticks) -> Result<Ticks, LeaseEnded> {
        self.lease.sustain(permit, self.limits.lease_minutes, now)
    }

    fn conclude<F: Flash>(&mut self, flash: &mut F, running: &Running, outcome: Outcome, now: Ticks) -> Receipt {
        self.therapy_changed();
        self.journal.conclude(flash, (running.epoch, running.counter), outcome, now)
    }

    /// Everything between a timely command and its act: verdict, limits, intent.
    fn execute<F: Flash>(
        &mut self,
        flash: &mut F,
        fresh: &Fresh,
        now: Ticks,
        judge: impl FnOnce(&Command, Operation) -> Verdict,
    ) -> Result<Act, Refusal> {
        let (command, counter) = (*fresh.command(), fresh.counter());
        let action = command.order.action;
        let operation = action.operation();
        // Void: overtaken in another session of the controller. After a reboot keys and challenge are gone as well.
        if counter <= self.journal.floor(command.epoch) {
            return Err(Refusal::Voided);
        }
        self.limits.allow(&action)?;
        let permit = judge(&command, operation).permit().map_err(|denied| Refusal::Denied(denied.code))?;
        if permit.operation() != operation || permit.device() != fresh.controller() {
            return Err(Refusal::Denied(Code::BondMissing));
        }
        let place = self.place(&action, now)?;
        if let (Place::Halt, Some(halt)) = (place, self.journal.at(Place::Halt).copied()) {
            // A halt delivers nothing: the new one takes its place.
            let nothing = Outcome::Done { delivered: MilliUnits(0) };
            self.journal.conclude(flash, (halt.epoch, halt.counter), nothing, now);
        }
        let (epoch, evidence) = (command.epoch, command.order.evidence);
        let intent = Intent { epoch, counter, action, evidence, mark: permit.mark() };
        self.journal.intend(flash, place, intent, now).map_err(|_| UNRECORDED)?;
        self.therapy_changed();
        match operation {
            Operation::Treat => self.lease.grant(fresh.controller(), self.limits.lease_minutes, now),
            Operation::Halt => self.lease.end(),
            Operation::Configure
            | Operation::Read
            | Operation::Report
            | Operation::Inform
            | Operation::Sustain
            | Operation::Renew
            | Operation::Store => {}
        }
        Ok(Act { running: Running { epoch, counter }, command, controller: fresh.controller(), permit })
    }

    /// Where the command is kept while it is under way, if the device may begin it now.
    fn place(&self, action: &Action, now: Ticks) -> Result<Place, Refusal> {
        let free = |place| if self.journal.at(place).is_none() { Ok(place) } else { Err(Refusal::Busy) };
        let place = match action {
            Action::Bolus { .. } => free(Place::Bolus)?,
            Action::TemporaryBasal { .. } => free(Place::Basal).or_else(|_| free(Place::NextBasal))?,
            Action::Resume | Action::Set { .. } => free(Place::Other)?,
            Action::Suspend { .. } | Action::Reduce { .. } => Place::Halt,
        };
        let delivered = self.journal.delivered(now).saturating_add(action.most());
        if action.most() > MilliUnits(0) && delivered > self.limits.window_amount {
            return Err(Refusal::Cumulative);
        }
        if place == Place::Halt && self.journal.halts(now) >= self.limits.window_halts {
            return Err(Refusal::HaltRate);
        }
        Ok(place)
    }
}
