//! Acts that C was told of, by number: what Rust gives away once cannot be given to C at all.

use medlock_device::ReceiptTo;
use medlock_device::command::{Act, Running};

/// As many as can be under way by the journal, and one more: one of them is then always over.
const PLACES: usize = 6;

/// What is between an order and its end.
#[derive(Debug)]
pub(crate) struct Acts {
    places: [Option<(u32, Step)>; PLACES],
    last: u32,
}

/// How far an act is.
#[derive(Debug)]
enum Step {
    Offered(Act, ReceiptTo),
    Running(Running),
}

impl Step {
    const fn counter(&self) -> u64 {
        match self {
            Self::Offered(act, _) => act.counter(),
            Self::Running(running) => running.counter(),
        }
    }
}

impl Acts {
    pub(crate) const fn new() -> Self {
        Self { places: [const { None }; PLACES], last: 0 }
    }

    /// A place for an act with this counter: a free one, or that of an act that the journal does not count as under way
    /// any more.
    pub(crate) fn room(&self, counter: u64, is_under_way: impl Fn(u64) -> bool) -> Option<usize> {
        let is_over = |step: &Step| step.counter() == counter || !is_under_way(step.counter());
        let over = || self.places.iter().position(|place| place.as_ref().is_some_and(|(_, step)| is_over(step)));
        self.places.iter().position(Option::is_none).or_else(over)
    }

    /// Keeps an act in a place that [`Acts::room`] found, and gives its number.
    pub(crate) fn offer(&mut self, place: usize, act: Act, receipt: ReceiptTo) -> u32 {
        self.last = self.last.wrapping_add(1).max(1);
        if let Some(place) = self.places.get_mut(place) {
            *place = Some((self.last, Step::Offered(act, receipt)));
        }
        self.last
    }

    /// Takes an act that has not begun.
    pub(crate) fn offered(&mut self, number: u32) -> Option<(Act, ReceiptTo)> {
        match self.take(number, |step| matches!(step, Step::Offered(..)))? {
            Step::Offered(act, receipt) => Some((act, receipt)),
            Step::Running(_) => None,
        }
    }

    /// Keeps under its number what has begun: its place was left just now.
    pub(crate) fn begun(&mut self, number: u32, running: Running) {
        if let Some(place) = self.places.iter_mut().find(|place| place.is_none()) {
            *place = Some((number, Step::Running(running)));
        }
    }

    /// Takes an act that is under way.
    pub(crate) fn running(&mut self, number: u32) -> Option<Running> {
        match self.take(number, |step| matches!(step, Step::Running(_)))? {
            Step::Running(running) => Some(running),
            Step::Offered(..) => None,
        }
    }

    fn take(&mut self, number: u32, is_wanted: impl Fn(&Step) -> bool) -> Option<Step> {
        let wanted = |(held, step): &mut (u32, Step)| *held == number && is_wanted(step);
        self.places.iter_mut().find_map(|place| place.take_if(wanted)).map(|(_, step)| step)
    }
}
