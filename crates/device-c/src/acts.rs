//! Acts that C was told of, by number: what Rust gives away once cannot be given to C at all.

use medlock_device::ReceiptTo;
use medlock_device::command::{Act, Running};

/// As many as can be under way by the journal, and one more: one of them is then always over.
const PLACES: usize = 6;

/// What is between an order and its end: what was offered, and what is running.
#[derive(Debug)]
pub(crate) struct Acts<O = (Act, ReceiptTo), R = Running> {
    places: [Option<Entry<O, R>>; PLACES],
    last: u32,
}

/// One act: its number for C, its counter under the bond.
#[derive(Debug)]
struct Entry<O, R> {
    number: u32,
    counter: u64,
    step: Step<O, R>,
}

/// How far an act is.
#[derive(Debug)]
enum Step<O, R> {
    Offered(O),
    Running(R),
}

impl<O, R> Acts<O, R> {
    pub(crate) const fn new() -> Self {
        Self { places: [const { None }; PLACES], last: 0 }
    }

    /// A place for an act with this counter: a free one, or that of an act that the journal does not count as under way
    /// any more.
    pub(crate) fn room(&self, counter: u64, is_under_way: impl Fn(u64) -> bool) -> Option<usize> {
        let is_over = |entry: &Entry<O, R>| entry.counter == counter || !is_under_way(entry.counter);
        let over = || self.places.iter().position(|place| place.as_ref().is_some_and(is_over));
        self.places.iter().position(Option::is_none).or_else(over)
    }

    /// Keeps an act in a place that [`Acts::room`] found, and gives its number.
    pub(crate) fn offer(&mut self, place: usize, counter: u64, offered: O) -> u32 {
        self.last = self.last.wrapping_add(1).max(1);
        if let Some(place) = self.places.get_mut(place) {
            *place = Some(Entry { number: self.last, counter, step: Step::Offered(offered) });
        }
        self.last
    }

    /// Takes an act that has not begun.
    pub(crate) fn offered(&mut self, number: u32) -> Option<O> {
        match self.take(number, |step| matches!(step, Step::Offered(_)))? {
            Step::Offered(offered) => Some(offered),
            Step::Running(_) => None,
        }
    }

    /// Keeps under its number what has begun: its place was left just now.
    pub(crate) fn begun(&mut self, number: u32, counter: u64, running: R) {
        if let Some(place) = self.places.iter_mut().find(|place| place.is_none()) {
            *place = Some(Entry { number, counter, step: Step::Running(running) });
        }
    }

    /// Takes an act that is under way.
    pub(crate) fn running(&mut self, number: u32) -> Option<R> {
        match self.take(number, |step| matches!(step, Step::Running(_)))? {
            Step::Running(running) => Some(running),
            Step::Offered(_) => None,
        }
    }

    fn take(&mut self, number: u32, is_wanted: impl Fn(&Step<O, R>) -> bool) -> Option<Step<O, R>> {
        let wanted = |entry: &mut Entry<O, R>| entry.number == number && is_wanted(&entry.step);
        self.places.iter_mut().find_map(|place| place.take_if(wanted)).map(|entry| entry.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(
        acts: &mut Acts<char, u8>,
        counter: u64,
        offered: char,
        is_under_way: impl Fn(u64) -> bool,
    ) -> Option<u32> {
        let place = acts.room(counter, is_under_way)?;
        Some(acts.offer(place, counter, offered))
    }

    /// Shows REQ-DEV-70: an act begins once and ends once, by its number.
    #[test]
    fn an_act_begins_once_and_ends_once() {
        let mut acts = Acts::new();
        let number = offer(&mut acts, 1, 'a', |_| true).unwrap();
        assert_eq!(acts.running(number), None, "it has not begun");
        assert_eq!(acts.offered(number), Some('a'));
        assert_eq!(acts.offered(number), None);
        acts.begun(number, 1, 7);
        assert_eq!((acts.offered(number), acts.running(number + 1)), (None, None));
        assert_eq!(acts.running(number), Some(7));
        assert_eq!(acts.running(number), None);
        assert_ne!(offer(&mut acts, 2, 'b', |_| true), Some(number), "numbers are not used again soon");
    }

    /// Shows REQ-DEV-70: whoever forgets to end acts can be told of new ones as long as the journal has room; numbers of
    /// those that are over name nothing.
    #[test]
    fn what_is_over_makes_room() {
        let mut acts = Acts::new();
        let numbers: [_; PLACES] = core::array::from_fn(|at| offer(&mut acts, at as u64, 'a', |_| true).unwrap());
        assert_eq!(offer(&mut acts, 99, 'b', |_| true), None, "all are under way");
        let new = offer(&mut acts, 99, 'b', |counter| counter != 3).unwrap();
        assert_eq!((acts.offered(numbers[3]), acts.offered(new)), (None, Some('b')));
        assert_eq!(acts.offered(numbers[2]), Some('a'));
    }
}
