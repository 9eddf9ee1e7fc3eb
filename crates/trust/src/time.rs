//! Time as the judge knows it: never a point, always an interval.

use core::fmt;

/// A point in time: seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl Time {
    /// 9999-12-31T23:59:59Z: in a certificate, "no well-defined expiry" (RFC 5280 section 4.1.2.5).
    pub const NEVER: Self = Self(253_402_300_799);

    /// The instant `seconds` after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// This instant and `seconds` more; stops at the ends of the number line instead of wrapping.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this instant; negative when `earlier` is later.
    #[must_use]
    pub const fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The instant of a date and time of day in UTC, or `None` if there is no such date (proleptic Gregorian calendar).
    #[must_use]
    pub fn from_utc(year: u16, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days_in_month = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        if day == 0 || day > days_in_month || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        // Years counted from March put the leap day at the end of the year; an era has 400 years.
        let from_march = i64::from(year).checked_sub(i64::from(month < 3))?;
        let era = from_march.div_euclid(400);
        let year_of_era = from_march.rem_euclid(400);
        let month_from_march = i64::from(month).checked_add(9)?.rem_euclid(12);
        let day_of_year =
            month_from_march.checked_mul(153)?.checked_add(2)?.checked_div(5)?.checked_add(i64::from(day))?;
        let days = era
            .checked_mul(146_097)?
            .checked_add(year_of_era.checked_mul(365)?)?
            .checked_add(year_of_era.checked_div(4)?)?
            .checked_sub(year_of_era.checked_div(100)?)?
            .checked_add(day_of_year)?
            .checked_sub(719_469)?;
        let seconds = days
            .checked_mul(86_400)?
            .checked_add(i64::from(hour).checked_mul(3_600)?)?
            .checked_add(i64::from(minute).checked_mul(60)?)?
            .checked_add(i64::from(second))?;
        Some(Self(seconds))
    }

    /// Year, month, day, hour, minute and second in UTC.
    #[must_use]
    pub fn to_utc(self) -> (i64, u8, u8, u8, u8, u8) {
        let days = self.0.div_euclid(86_400).saturating_add(719_468);
        let second_of_day = self.0.rem_euclid(86_400);
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = day_of_era
            .saturating_sub(day_of_era.div_euclid(1_460))
            .saturating_add(day_of_era.div_euclid(36_524))
            .saturating_sub(day_of_era.div_euclid(146_096))
            .div_euclid(365);
        let day_of_year = day_of_era.saturating_sub(
            year_of_era
                .saturating_mul(365)
                .saturating_add(year_of_era.div_euclid(4))
                .saturating_sub(year_of_era.div_euclid(100)),
        );
        let month_from_march = day_of_year.saturating_mul(5).saturating_add(2).div_euclid(153);
        let day = day_of_year
            .saturating_sub(month_from_march.saturating_mul(153).saturating_add(2).div_euclid(5))
            .saturating_add(1);
        let month = month_from_march.saturating_add(2).rem_euclid(12).saturating_add(1);
        let year = year_of_era.saturating_add(era.saturating_mul(400)).saturating_add(i64::from(month < 3));
        let small = |n: i64| u8::try_from(n).unwrap_or(u8::MAX);
        (
            year,
            small(month),
            small(day),
            small(second_of_day.div_euclid(3_600)),
            small(second_of_day.div_euclid(60).rem_euclid(60)),
            small(second_of_day.rem_euclid(60)),
        )
    }
}

impl fmt::Display for Time {
    /// RFC 3339 in UTC, to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.to_utc();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// What the judge knows of the present: it is not before `earliest`, and, if that is known, not after `latest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    earliest: Time,
    latest: Option<Time>,
}

impl Interval {
    /// A present of which nothing is known.
    pub const UNKNOWN: Self = Self::since(Time(0));

    /// A present between two bounds; `None` if they are the wrong way round.
    #[must_use]
    pub fn new(earliest: Time, latest: Option<Time>) -> Option<Self> {
        match latest {
            Some(latest) if latest < earliest => None,
            Some(_) | None => Some(Self { earliest, latest }),
        }
    }

    /// A present known exactly, as on a machine whose clock is kept.
    #[must_use]
    pub const fn exactly(now: Time) -> Self {
        Self { earliest: now, latest: Some(now) }
    }

    /// A present of which only a lower bound is known.
    #[must_use]
    pub const fn since(earliest: Time) -> Self {
        Self { earliest, latest: None }
    }

    /// It is not before this.
    #[must_use]
    pub const fn earliest(self) -> Time {
        self.earliest
    }

    /// It is not after this, if that is known.
    #[must_use]
    pub const fn latest(self) -> Option<Time> {
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn utc_and_back() {
        let cases = [
            ((1970, 1, 1, 0, 0, 0), 0),
            ((1950, 1, 1, 0, 0, 0), -631_152_000),
            ((2000, 2, 29, 12, 0, 0), 951_825_600),
            ((2049, 12, 31, 23, 59, 59), 2_524_607_999),
            ((9999, 12, 31, 23, 59, 59), Time::NEVER.unix()),
        ];
        for ((y, mo, d, h, mi, s), unix) in cases {
            let time = Time::from_utc(y, mo, d, h, mi, s).unwrap();
            assert_eq!(time.unix(), unix);
            assert_eq!(time.to_utc(), (i64::from(y), mo, d, h, mi, s));
        }
        assert_eq!(Time::from_utc(1900, 2, 29, 0, 0, 0), None);
        assert_eq!(Time::from_unix(951_825_600).to_string(), "2000-02-29T12:00:00Z");
    }

    #[test]
    fn every_day_of_four_centuries_round_trips() {
        for day in -200_000..200_000_i64 {
            let time = Time::from_unix(day * 86_400);
            let (y, mo, d, h, mi, s) = time.to_utc();
            assert_eq!(Time::from_utc(u16::try_from(y).unwrap(), mo, d, h, mi, s), Some(time));
        }
    }
}
