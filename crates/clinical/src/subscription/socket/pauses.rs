//! Subscriptions for which it takes too long to look: each rests, and each time longer, also for who connects again.

use crate::kind::Row;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long one rests at first, and at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3_600);

/// Those that rest, or did lately.
#[derive(Debug, Default)]
pub(super) struct Pauses(Mutex<HashMap<Row, Pause>>);

#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Instant,
    next: Duration,
}

impl Pauses {
    /// Whether this one rests at this moment.
    pub(super) fn rests(&self, row: Row, now: Instant) -> bool {
        self.all().get(&row).is_some_and(|pause| pause.until > now)
    }

    /// It has taken too long to look for this one.
    pub(super) fn late(&self, row: Row, now: Instant) {
        let mut all = self.all();
        // Whoever has not been late again for long begins anew.
        all.retain(|_, pause| pause.until + LONGEST > now);
        let length = all.get(&row).map_or(FIRST, |pause| pause.next);
        all.insert(row, Pause { until: now + length, next: (length * 2).min(LONGEST) });
    }

    /// It was looked for this one in time.
    pub(super) fn in_time(&self, row: Row) {
        self.all().remove(&row);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Row, Pause>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-SUB-43.
    #[test]
    fn each_time_one_rests_longer_until_it_was_in_time() {
        let (pauses, began) = (Pauses::default(), Instant::now());
        let rests = |row: i64, after: u64| pauses.rests(Row(row), began + Duration::from_secs(after));
        pauses.late(Row(1), began);
        assert!(rests(1, 0) && !rests(1, 1) && !rests(2, 0));
        pauses.late(Row(1), began);
        assert!(rests(1, 1) && !rests(1, 2));
        for _ in 0..20 {
            pauses.late(Row(1), began);
        }
        assert!(rests(1, 3_599) && !rests(1, 3_600));
        pauses.in_time(Row(1));
        pauses.late(Row(1), began);
        assert!(rests(1, 0) && !rests(1, 1));
        pauses.late(Row(2), began + LONGEST + FIRST);
        assert_eq!(pauses.all().len(), 1, "who was not late again is forgotten");
    }
}
