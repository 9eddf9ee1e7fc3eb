//! What a device was told to do, and did: written before the act and after it.
//!
//! The whole journal is one value of a [`Log`], replaced at each step, so that every step is there wholly or not at all.
//! It holds what is under way, the last outcomes, the highest counter of each bond, and what was delivered within a window
//! of time. After a power cut whatever was under way is [`Outcome::Uncertain`] and counts as delivered in full.
//!
//! Its time is the time the device was on, as far as it was written down: it lags behind true time and never runs
//! ahead, so that nothing leaves the window too early.

mod account;
mod record;

use crate::log::{Area, Key, Log, LogError};
use crate::platform::{Flash, Ticks};
use account::Account;
use medlock_proto::reading::Evidence;
use medlock_proto::sealed::{Action, MilliUnits, Outcome, Receipt, Refusal};
use medlock_trust::decide::Code;

/// How many bonds' counters are kept: as many as can be in force.
const BONDS: usize = crate::bonds::MAX_BONDS;
/// How many outcomes are kept. The last bolus is always among them.
const OUTCOMES: usize = 6;
/// How many commands can be under way: one in each [`Place`].
const PLACES: usize = 5;

const JOURNAL: Key = Key(1);

/// A command that is under way, or was when power went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The bond under which it came.
    pub epoch: u64,
    /// Its number under the bond.
    pub counter: u64,
    /// The act.
    pub action: Action,
    /// What it rested on.
    pub evidence: Option<Evidence>,
    /// What the verdict wrote beside it.
    pub mark: Option<Code>,
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Settled {
    epoch: u64,
    is_bolus: bool,
    receipt: Receipt,
}

/// Counters under one bond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bond {
    epoch: u64,
    /// The highest counter taken: of a command, or of one that is void.
    floor: u64,
    /// The highest counter of which the outcome was forgotten.
    forgotten: u64,
    /// Whether it is known to be in force: then it makes no room for another. Not written down.
    in_force: bool,
}

/// Where a command is while it is under way. A place holds one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Bolus = 0,
    Basal = 1,
    /// A temporary basal that takes over from another.
    NextBasal = 2,
    Halt = 3,
    Other = 4,
}

/// What is known of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It was carried out, or is being.
    Receipt(Receipt),
    /// It may have been carried out, longer ago than the journal remembers.
    Forgotten,
    /// It was never carried out.
    Never,
}

/// What was under way when power went. People should be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    uncertain: [Option<Intent>; PLACES],
}

impl Recovered {
    /// The commands whose outcome nobody knows.
    pub fn uncertain(&self) -> impl Iterator<Item = &Intent> {
        self.uncertain.iter().flatten()
    }
}

/// The journal. The flash is given to each call.
#[derive(Debug)]
pub struct Journal {
    log: Log,
    /// The journal's time at boot, in seconds.
    booted_at: u64,
    bonds: [Option<Bond>; BONDS],
    open: [Option<Intent>; PLACES],
    /// The newest first.
    outcomes: [Option<Settled>; OUTCOMES],
    delivered: Account,
    halts: Account,
}

impl Journal {
    /// Makes an empty journal. Done once, by the maker of the device.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn format<F: Flash>(flash: &mut F, area: &Area) -> Result<(), LogError<F::Error>> {
        Log::format(flash, area).map(drop)
    }

    /// Opens the journal at boot, with a window of this length. What was under way is uncertain from now on.
    ///
    /// # Errors
    /// [`LogError`]. A device that cannot read its journal must not carry out commands.
    pub fn open<F: Flash>(
        flash: &mut F,
        area: &Area,
        window_seconds: u64,
    ) -> Result<(Self, Recovered), LogError<F::Error>> {
        let log = Log::open(flash, area)?;
        let account = Account::new(window_seconds);
        let mut journal = Self {
            log,
            booted_at: 0,
            bonds: [None; BONDS],
            open: [None; PLACES],
            outcomes: [None; OUTCOMES],
            delivered: account,
            halts: account,
        };
        let mut bytes = [0; record::MAX_LENGTH];
        if let Some(bytes) = journal.log.get(flash, JOURNAL, &mut bytes)? {
            journal.read(bytes).map_err(|_| LogError::Damaged)?;
        }
        journal.delivered = journal.delivered.over(window_seconds, journal.booted_at);
        journal.halts = journal.halts.over(window_seconds, journal.booted_at);
        let uncertain = core::mem::take(&mut journal.open);
        for intent in uncertain.iter().flatten() {
            let at_most = intent.action.most();
            journal.settle(intent, Outcome::Uncertain { at_most }, at_most, Ticks::default());
        }
        // Nothing need be written: another cut finds the same and concludes the same.
        Ok((journal, Recovered { uncertain }))
    }

    /// The highest counter that was taken under this bond: commands up to it are void, or were carried out.
    #[must_use]
    pub fn floor(&self, epoch: u64) -> u64 {
        self.bond(epoch).map_or(0, |bond| bond.floor)
    }

    /// What came of the last bolus under this bond.
    #[must_use]
    pub fn last_bolus(&self, epoch: u64) -> Option<Receipt> {
        let [bolus, ..] = &self.open;
        let open = bolus.filter(|bolus| bolus.epoch == epoch).map(|bolus| started(&bolus));
        let settled = || self.outcomes.iter().flatten().find(|settled| settled.epoch == epoch && settled.is_bolus);
        open.or_else(|| settled().map(|settled| settled.receipt))
    }

    /// How much was delivered within the window, with all that is under way.
    #[must_use]
    pub fn delivered(&self, now: Ticks) -> MilliUnits {
        let open = self.open.iter().flatten().map(|intent| intent.action.most());
        open.fold(MilliUnits(self.delivered.sum(self.seconds(now))), MilliUnits::saturating_add)
    }

    /// How many halts there were within the window.
    #[must_use]
    pub fn halts(&self, now: Ticks) -> u32 {
        self.halts.sum(self.seconds(now))
    }

    /// The commands under way.
    pub fn under_way(&self) -> impl Iterator<Item = &Intent> {
        self.open.iter().flatten()
    }

    /// Counts what was delivered without a command: a bolus by the buttons of the device.
    ///
    /// # Errors
    /// [`LogError`]; it is counted until the next boot even so.
    pub fn count<F: Flash>(
        &mut self,
        flash: &mut F,
        delivered: MilliUnits,
        now: Ticks,
    ) -> Result<(), LogError<F::Error>> {
        self.delivered.add(delivered.0, self.seconds(now));
        self.write(flash, now)
    }

    /// Writes the journal's time down, so that it does not lag far behind after a power cut. Every ten minutes or so.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn checkpoint<F: Flash>(&mut self, flash: &mut F, now: Ticks) -> Result<(), LogError<F::Error>> {
        self.write(flash, now)
    }

    pub(crate) fn at(&self, place: Place) -> Option<&Intent> {
        self.open.get(place as usize)?.as_ref()
    }

    /// What is known of the command with this counter under this bond.
    pub(crate) fn known(&self, epoch: u64, counter: u64) -> Known {
        let open = self.open.iter().flatten().find(|intent| intent.epoch == epoch && intent.counter == counter);
        if let Some(intent) = open {
            return Known::Receipt(started(intent));
        }
        let mut outcomes = self.outcomes.iter().flatten();
        let settled = outcomes.find(|settled| settled.epoch == epoch && settled.receipt.counter == counter);
        match settled {
            Some(settled) => Known::Receipt(settled.receipt),
            None if self.bond(epoch).is_some_and(|bond| counter <= bond.forgotten) => Known::Forgotten,
            None => Known::Never,
        }
    }

    /// Records that a command will be carried out. Only when this returned may the act begin.
    ///
    /// # Errors
    /// [`LogError`]; then it must not begin. After a reboot it may be uncertain even so.
    pub(crate) fn intend<F: Flash>(
        &mut self,
        flash: &mut F,
        place: Place,
        intent: Intent,
        now: Ticks,
    ) -> Result<(), LogError<F::Error>> {
        self.raise_floor(intent.epoch, intent.counter);
        if let Some(slot) = self.open.get_mut(place as usize) {
            *slot = Some(intent);
        }
        let before = self.halts;
        if place == Place::Halt {
            self.halts.add(1, self.seconds(now));
        }
        let written = self.write(flash, now);
        if written.is_err() {
            self.halts = before;
            if let Some(slot) = self.open.get_mut(place as usize) {
                *slot = None;
            }
        }
        written
    }

    /// Records what came of the command in a place. If that fails, the outcome is uncertain, now and after the next boot.
    pub(crate) fn conclude<F: Flash>(
        &mut self,
        flash: &mut F,
        (epoch, counter): (u64, u64),
        outcome: Outcome,
        now: Ticks,
    ) -> Receipt {
        let is_it = |intent: &Intent| intent.epoch == epoch && intent.counter == counter;
        let taken = self.open.iter_mut().find_map(|slot| slot.take_if(|intent| is_it(intent)));
        let Some(intent) = taken else {
            return Receipt { counter, outcome, mark: None };
        };
        let accounts = self.delivered;
        let outcomes = self.outcomes;
        self.settle(&intent, outcome, outcome.at_most(intent.action.most()), now);
        if self.write(flash, now).is_err() {
            (self.delivered, self.outcomes) = (accounts, outcomes);
            let at_most = intent.action.most();
            self.settle(&intent, Outcome::Uncertain { at_most }, at_most, now);
        }
        match self.known(epoch, counter) {
            Known::Receipt(receipt) => receipt,
            Known::Forgotten | Known::Never => Receipt { counter, outcome, mark: intent.mark },
        }
    }

    /// Puts an outcome before the others, and counts `delivered`.
    fn settle(&mut self, intent: &Intent, outcome: Outcome, delivered: MilliUnits, now: Ticks) {
        self.delivered.add(delivered.0, self.seconds(now));
        let receipt = Receipt { counter: intent.counter, outcome, mark: intent.mark };
        let settled = Settled { epoch: intent.epoch, is_bolus: intent.action.is_bolus(), receipt };
        let Some(forgotten) = self.push(settled) else { return };
        if let Some(bond) = self.bonds.iter_mut().flatten().find(|bond| bond.epoch == forgotten.epoch) {
            bond.forgotten = bond.forgotten.max(forgotten.receipt.counter);
        }
    }

    /// Puts `settled` first. What falls out at the end is returned; it is never the last bolus.
    fn push(&mut self, settled: Settled) -> Option<Settled> {
        let mut carried = Some(settled);
        let mut bolus_seen = false;
        for slot in &mut self.outcomes {
            core::mem::swap(slot, &mut carried);
            bolus_seen |= slot.is_some_and(|kept| kept.is_bolus);
        }
        let last = self.outcomes.last_mut()?;
        match carried {
            Some(out) if out.is_bolus && !bolus_seen => last.replace(out),
            other => other,
        }
    }

    /// Voids every command under this bond up to this counter, in whatever session it comes. In memory; it is written with
    /// the next record. After a reboot no session is left in which such a command could come.
    pub(crate) fn raise_floor(&mut self, epoch: u64, counter: u64) {
        if let Some(bond) = self.bonds.iter_mut().flatten().find(|bond| bond.epoch == epoch) {
            bond.floor = bond.floor.max(counter);
            return;
        }
        // A bond that is void makes room, the oldest first: what happened under one in force is told truly.
        let void = self.bonds.iter_mut().filter(|slot| slot.is_none_or(|bond| !bond.in_force));
        if let Some(slot) = void.min_by_key(|slot| slot.map_or(0, |bond| bond.epoch)) {
            *slot = Some(Bond { epoch, floor: counter, forgotten: 0, in_force: true });
        }
    }

    /// Says which bonds are in force.
    pub(crate) fn keep_bonds(&mut self, in_force: impl Fn(u64) -> bool) {
        self.bonds.iter_mut().flatten().for_each(|bond| bond.in_force = in_force(bond.epoch));
    }

    fn bond(&self, epoch: u64) -> Option<&Bond> {
        self.bonds.iter().flatten().find(|bond| bond.epoch == epoch)
    }

    fn seconds(&self, now: Ticks) -> u64 {
        self.booted_at.saturating_add(now.as_millis().checked_div(1000).unwrap_or_default())
    }

    fn write<F: Flash>(&mut self, flash: &mut F, now: Ticks) -> Result<(), LogError<F::Error>> {
        let mut bytes = [0; record::MAX_LENGTH];
        let length = self.encode(self.seconds(now), &mut bytes).ok_or(LogError::Length)?;
        self.log.put(flash, JOURNAL, &[bytes.get(..length).unwrap_or_default()])
    }
}

fn started(intent: &Intent) -> Receipt {
    Receipt { counter: intent.counter, outcome: Outcome::Started, mark: intent.mark }
}

/// What is said of a command that may have been carried out, and of which nothing else is known.
pub(crate) const fn forgotten(counter: u64) -> Receipt {
    Receipt { counter, outcome: Outcome::Uncertain { at_most: MilliUnits(u32::MAX) }, mark: None }
}

/// What a command is that could not be recorded.
pub(crate) const UNRECORDED: Refusal = Refusal::Storage;
