//! Who was counted by whom of late: a count of many that is asked for again and again is told to its patients once in a while, and so are
//! its differences; each count by itself is in the audit of the site. A count of few is told them each time.

use crate::kind::{Kind, Row};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, PoisonError};

/// For how long, in seconds.
const LASTS: i64 = 600;
/// So many patients are few.
const FEW: usize = 64;
/// How many are remembered; beyond, all are told anew.
const MOST: usize = 262_144;

/// Who was told of late that somebody counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    keys: RandomState,
    /// When, in seconds since 1970.
    told: Mutex<HashMap<u64, i64>>,
}

impl Counters {
    /// Those of them who were not told of late that this one counts of this kind, or all if they are few.
    pub(crate) fn untold(&self, who: &str, kind: Kind, patients: &[Row], now: i64) -> Vec<Row> {
        if patients.len() <= FEW {
            return patients.to_vec();
        }
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_told = |row: &&Row| told.get(&self.key(who, kind, **row)).is_some_and(|at| !is_late(*at, now));
        patients.iter().filter(|row| !is_told(row)).copied().collect()
    }

    /// These are told.
    pub(crate) fn tell(&self, who: &str, kind: Kind, patients: &[Row], now: i64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len().saturating_add(patients.len()) > MOST {
            told.retain(|_, at| !is_late(*at, now));
            if told.len().saturating_add(patients.len()) > MOST {
                told.clear();
            }
        }
        told.extend(patients.iter().map(|row| (self.key(who, kind, *row), now)));
    }

    fn key(&self, who: &str, kind: Kind, row: Row) -> u64 {
        self.keys.hash_one((who, kind.number(), row.0))
    }
}

const fn is_late(at: i64, now: i64) -> bool {
    // A clock that went back tells anew.
    now < at || now - at >= LASTS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-AUDIT-51.
    #[test]
    fn who_is_counted_is_told_once_in_a_while() {
        let counters = Counters::default();
        let rows: Vec<Row> = (1..=FEW as i64 + 1).map(Row).collect();
        let untold = |who: &str, kind, now| counters.untold(who, kind, &rows, now);
        assert_eq!(untold("a", Kind::PATIENT, 7), rows);
        assert_eq!(untold("a", Kind::PATIENT, 7), rows, "asked, and not told");
        counters.tell("a", Kind::PATIENT, &rows[1..], 7);
        assert_eq!(untold("a", Kind::PATIENT, 7 + LASTS - 1), [Row(1)]);
        assert_eq!(untold("a", Kind::PATIENT, 7 + LASTS), rows);
        assert_eq!(untold("a", Kind::PATIENT, 6), rows, "the clock went back");
        assert_eq!(untold("b", Kind::PATIENT, 7), rows);
        assert_eq!(untold("a", Kind::OBSERVATION, 7), rows);
        assert_eq!(counters.untold("a", Kind::PATIENT, &rows[1..], 7), rows[1..], "they are few");
        let many: Vec<Row> = (0..MOST as i64).map(Row).collect();
        counters.tell("a", Kind::DEVICE, &many, 8);
        assert!(counters.untold("a", Kind::DEVICE, &many, 8).is_empty());
        assert_eq!(untold("a", Kind::PATIENT, 8), rows, "there is no room for all");
    }
}
