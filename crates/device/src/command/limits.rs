//! What a device does by command, and no more: the maker's numbers for the type, narrowed by its settings.

use medlock_proto::sealed::{Action, Concentration, MilliUnits, Minutes, Rate, Refusal};

/// The limits of a device. Data of the application; whatever a controller commands stays within them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How old a challenge may be when its command arrives, in milliseconds of the device's ticks: the longest time a
    /// carrier can hold a command back and have it executed. At most [`Limits::MAX_CHALLENGE_AGE`] counts.
    pub challenge_age_millis: u64,
    /// The insulin that the device holds.
    pub concentration: Concentration,
    /// The largest bolus.
    pub bolus: MilliUnits,
    /// The highest temporary basal rate.
    pub basal: Rate,
    /// The longest temporary basal.
    pub basal_minutes: Minutes,
    /// The window over which `window_amount` and `window_halts` count.
    pub window_minutes: Minutes,
    /// The most that is delivered by command within the window.
    pub window_amount: MilliUnits,
    /// The longest suspension or reduction.
    pub halt_minutes: Minutes,
    /// The most halts within the window.
    pub window_halts: u32,
    /// For how long a lease lasts without being sustained.
    pub lease_minutes: Minutes,
}

impl Limits {
    /// No challenge older than two minutes counts, whatever the application says.
    pub const MAX_CHALLENGE_AGE: u64 = 120_000;

    pub(super) fn challenge_age(&self) -> u64 {
        self.challenge_age_millis.min(Self::MAX_CHALLENGE_AGE)
    }

    pub(super) fn window_seconds(&self) -> u64 {
        u64::from(self.window_minutes.0).saturating_mul(60)
    }

    /// Whether one command stays within its own bound and within what the device does by one command.
    pub(super) fn allow(&self, action: &Action) -> Result<(), Refusal> {
        match *action {
            Action::Bolus { amount, concentration, bound } => {
                self.same(concentration)?;
                within(amount <= bound, Refusal::Bound)?;
                within(amount > MilliUnits(0) && amount <= self.bolus, Refusal::Limit)
            }
            Action::TemporaryBasal { rate, minutes, concentration, bound } => {
                self.same(concentration)?;
                within(rate.over(minutes) <= bound, Refusal::Bound)?;
                let time = minutes > Minutes(0) && minutes <= self.basal_minutes;
                within(time && rate <= self.basal, Refusal::Limit)
            }
            Action::Suspend { minutes } | Action::Reduce { minutes, .. } => {
                within(minutes > Minutes(0) && minutes <= self.halt_minutes, Refusal::Limit)
            }
            Action::Resume | Action::Set { .. } => Ok(()),
        }
    }

    fn same(&self, concentration: Concentration) -> Result<(), Refusal> {
        within(concentration == self.concentration, Refusal::Concentration)
    }
}

const fn within(is: bool, refusal: Refusal) -> Result<(), Refusal> {
    if is { Ok(()) } else { Err(refusal) }
}
