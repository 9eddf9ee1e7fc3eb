//! Sums over a window of time that slides.

use medlock_trust::cbor::{ErrorKind, Fields, Writer};
use minicbor::encode::Write;

/// Parts of a window. What happened is forgotten when the window and one part more have passed: never too early.
const PARTS: usize = 12;

/// A sum over a window of time, in thirteen numbers: twelve parts and the one that is filling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    part_seconds: u64,
    /// The number of the part that is filling, counted from the journal's beginning of time.
    newest: u64,
    /// What each part holds, the newest first.
    parts: [u32; PARTS + 1],
}

impl Account {
    pub(super) fn new(window_seconds: u64) -> Self {
        let part_seconds = window_seconds.div_ceil(12).max(1);
        Self { part_seconds, newest: 0, parts: [0; PARTS + 1] }
    }

    /// The same account for a window of another length. If the length differs, all is taken as if it happened now.
    pub(super) fn over(self, window_seconds: u64, now_seconds: u64) -> Self {
        let mut other = Self::new(window_seconds);
        if other.part_seconds == self.part_seconds {
            return self;
        }
        other.add(self.sum(now_seconds), now_seconds);
        other
    }

    /// Adds what happened now.
    pub(super) fn add(&mut self, amount: u32, now_seconds: u64) {
        self.advance(now_seconds);
        let [newest, ..] = &mut self.parts;
        *newest = newest.saturating_add(amount);
    }

    /// What happened within the window that ends now.
    pub(super) fn sum(&self, now_seconds: u64) -> u32 {
        let mut present = *self;
        present.advance(now_seconds);
        present.parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }

    fn advance(&mut self, now_seconds: u64) {
        let present = now_seconds.checked_div(self.part_seconds).unwrap_or_default();
        let passed = usize::try_from(present.saturating_sub(self.newest)).unwrap_or(usize::MAX);
        if passed > PARTS {
            self.parts = [0; PARTS + 1];
        } else {
            self.parts.rotate_right(passed);
            self.parts.iter_mut().take(passed).for_each(|part| *part = 0);
        }
        self.newest = self.newest.max(present);
    }

    pub(super) fn encode<W: Write>(&self, out: &mut Writer<W>) -> Result<(), W::Error> {
        out.uint(self.part_seconds)?.uint(self.newest)?;
        self.parts.iter().try_for_each(|part| out.uint(u64::from(*part)).map(drop))
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Self {
        let start = fields.position();
        let mut account = Self { part_seconds: fields.uint(), newest: fields.uint(), parts: [0; PARTS + 1] };
        fields.ask(account.part_seconds > 0, start, ErrorKind::OutOfRange);
        account.parts.iter_mut().for_each(|part| *part = fields.uint32());
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    #[test]
    fn nothing_is_forgotten_before_its_window_has_passed_nor_kept_much_longer() {
        for happened in (0..30 * HOUR).step_by(977) {
            let mut account = Account::new(24 * HOUR);
            account.add(1000, happened);
            for later in (0..40 * HOUR).step_by(613) {
                let sum = account.sum(happened + later);
                if later <= 24 * HOUR {
                    assert_eq!(sum, 1000, "{later} s after {happened} s");
                }
                if later > 26 * HOUR {
                    assert_eq!(sum, 0, "{later} s after {happened} s");
                }
            }
        }
    }

    #[test]
    fn time_that_seems_to_go_back_forgets_nothing() {
        let mut account = Account::new(24 * HOUR);
        account.add(7, 50 * HOUR);
        account.add(5, 10 * HOUR);
        assert_eq!(account.sum(10 * HOUR), 12);
        assert_eq!(account.sum(50 * HOUR), 12);
    }

    #[test]
    fn a_window_of_another_length_counts_all_as_new() {
        let mut account = Account::new(24 * HOUR);
        account.add(7, HOUR);
        let other = account.over(HOUR, 20 * HOUR);
        assert_eq!(other.sum(21 * HOUR), 7);
        assert_eq!(other.sum(23 * HOUR), 0);
        assert_eq!(account.over(24 * HOUR, 20 * HOUR), account);
    }
}
