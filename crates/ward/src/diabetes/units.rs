//! Glucose, insulin and rates as types, so that no number can be taken for another.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

/// Milligrams per decilitre in one millimole per litre of glucose: its molar mass is 180.156 g/mol.
const MG_DL_IN_MMOL_L: f64 = 18.0156;

/// A concentration of glucose.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Glucose(f64);

impl Glucose {
    /// From milligrams per decilitre.
    #[must_use]
    pub const fn from_mg_dl(mg_dl: f64) -> Self {
        Self(mg_dl)
    }

    /// From millimoles per litre.
    #[must_use]
    pub const fn from_mmol_l(mmol_l: f64) -> Self {
        Self(mmol_l * MG_DL_IN_MMOL_L)
    }

    /// In milligrams per decilitre.
    #[must_use]
    pub const fn mg_dl(self) -> f64 {
        self.0
    }

    /// In millimoles per litre.
    #[must_use]
    pub const fn mmol_l(self) -> f64 {
        self.0 / MG_DL_IN_MMOL_L
    }
}

impl fmt::Display for Glucose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} mg/dL", self.0)
    }
}

/// An amount of insulin, counted in thousandths of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Insulin(u32);

impl Insulin {
    /// None.
    pub const NONE: Self = Self(0);

    /// From thousandths of a unit.
    #[must_use]
    pub const fn from_milliunits(milliunits: u32) -> Self {
        Self(milliunits)
    }

    /// From units, rounded down to thousandths; nothing from what is negative or no number.
    #[must_use]
    pub fn from_units_rounded_down(units: f64) -> Self {
        // The conversion saturates: what is below zero or no number becomes zero.
        Self((units * 1000.0 + 1e-6).floor() as u32)
    }

    /// In thousandths of a unit.
    #[must_use]
    pub const fn milliunits(self) -> u32 {
        self.0
    }

    /// In units.
    #[must_use]
    pub fn units(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// What is left when `other` is taken away; nothing if `other` is more.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The most that is a multiple of `step`.
    #[must_use]
    pub const fn rounded_down_to(self, step: Self) -> Self {
        match self.0.checked_rem(step.0) {
            Some(rest) => Self(self.0 - rest),
            None => self,
        }
    }
}

impl Add for Insulin {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Insulin {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Insulin {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::NONE, Add::add)
    }
}

impl fmt::Display for Insulin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} U", self.0 / 1000, self.0 % 1000)
    }
}

/// A rate of insulin, counted in thousandths of a unit an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(u32);

impl Rate {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From thousandths of a unit an hour.
    #[must_use]
    pub const fn from_milliunits_per_hour(milliunits: u32) -> Self {
        Self(milliunits)
    }

    /// From units an hour, rounded down to thousandths; zero from what is negative or no number.
    #[must_use]
    pub fn from_units_per_hour_rounded_down(units: f64) -> Self {
        Self(Insulin::from_units_rounded_down(units).0)
    }

    /// In thousandths of a unit an hour.
    #[must_use]
    pub const fn milliunits_per_hour(self) -> u32 {
        self.0
    }

    /// In units an hour.
    #[must_use]
    pub fn units_per_hour(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// How much this is in so many milliseconds, rounded up.
    #[must_use]
    pub const fn over_millis(self, millis: u64) -> Insulin {
        let amount = (self.0 as u64).saturating_mul(millis).div_ceil(3_600_000);
        Insulin(if amount > u32::MAX as u64 { u32::MAX } else { amount as u32 })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/h", Insulin(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_convert_and_never_wrap() {
        assert!((Glucose::from_mmol_l(5.5).mg_dl() - 99.086).abs() < 0.001);
        assert_eq!(Insulin::from_units_rounded_down(0.1), Insulin::from_milliunits(100));
        for nothing in [-1.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(Insulin::from_units_rounded_down(nothing), Insulin::NONE);
        }
        assert_eq!(Insulin::from_milliunits(1), Insulin::from_milliunits(1).rounded_down_to(Insulin::NONE));
        assert_eq!(Insulin::from_milliunits(1234).rounded_down_to(Insulin::from_milliunits(50)).milliunits(), 1200);
        assert_eq!(Insulin::NONE.less(Insulin::from_milliunits(1)), Insulin::NONE);
        assert_eq!((Insulin::from_milliunits(u32::MAX) + Insulin::from_milliunits(1)).milliunits(), u32::MAX);
        assert_eq!(Rate::from_milliunits_per_hour(1000).over_millis(1_800_000).milliunits(), 500);
        assert_eq!(Rate::from_milliunits_per_hour(u32::MAX).over_millis(u64::MAX).milliunits(), u32::MAX);
    }
}
