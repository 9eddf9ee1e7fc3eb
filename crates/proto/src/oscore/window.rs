//! Which numbers of the peer came already (RFC 8613 sections 3.2.2, 7.4).

/// A window over the largest number that came and the 63 below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// The largest number that came; meaningless while `seen` is empty.
    top: u64,
    /// Bit i: `top - i` came.
    seen: u64,
}

impl Window {
    /// Nothing came yet.
    pub(super) const EMPTY: Self = Self { top: 0, seen: 0 };

    /// Only what is beyond `number` is new.
    pub(super) const fn beyond(number: u64) -> Self {
        Self { top: number, seen: u64::MAX }
    }

    /// Whether `number` did not come yet, as far as is remembered.
    pub(super) fn is_new(&self, number: u64) -> bool {
        match self.top.checked_sub(number) {
            _ if self.seen == 0 => true,
            None => true,
            Some(age) => age < 64 && (self.seen >> age) & 1 == 0,
        }
    }

    /// `number` came, in a message that was verified.
    pub(super) fn mark(&mut self, number: u64) {
        if self.seen == 0 {
            *self = Self { top: number, seen: 1 };
            return;
        }
        match self.top.checked_sub(number) {
            Some(age) if age < 64 => self.seen |= 1 << age,
            Some(_) => {}
            None => {
                let ahead = number.saturating_sub(self.top);
                self.seen = if ahead < 64 { (self.seen << ahead) | 1 } else { 1 };
                self.top = number;
            }
        }
    }

    /// The largest number that came; 0 if none did.
    pub(super) const fn top(&self) -> u64 {
        self.top
    }
}

#[cfg(test)]
mod tests {
    use super::Window;
    use std::collections::BTreeSet;

    #[test]
    fn the_window_agrees_with_a_set_of_all_numbers() {
        let mut state = 1_u64;
        for round in 0..200 {
            let (mut window, mut came, mut top) = (Window::EMPTY, BTreeSet::new(), 0);
            for _ in 0..300 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let number = (top + (state >> 33) % 100).saturating_sub(70) + round % 3;
                let remembered = came.is_empty() || number > top || top - number < 64;
                assert_eq!(window.is_new(number), remembered && !came.contains(&number), "{number} after {came:?}");
                if window.is_new(number) {
                    window.mark(number);
                    came.insert(number);
                    top = top.max(number);
                }
                assert_eq!(window.top(), top);
            }
        }
    }

    #[test]
    fn jumps_and_the_ends_of_the_numbers() {
        let mut window = Window::EMPTY;
        window.mark(0);
        assert!(!window.is_new(0) && window.is_new(1));
        window.mark((1 << 40) - 1);
        assert!(!window.is_new(0) && window.is_new((1 << 40) - 2));
        let window = Window::beyond(7);
        assert!((0..=7).all(|number| !window.is_new(number)) && window.is_new(8));
        assert!(!Window::beyond(1_000).is_new(990));
    }
}
