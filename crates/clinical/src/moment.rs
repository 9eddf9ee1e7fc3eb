//! Dates and times as FHIR writes them: an instant as precise as it was written is a span of milliseconds.

use crate::kind::Millis;

/// From the first to the last millisecond that a date may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub low: Millis,
    /// The last.
    pub high: Millis,
}

impl Span {
    /// From before all to after all.
    pub const EVER: Self = Self { low: Millis(i64::MIN), high: Millis(i64::MAX) };

    /// The shortest that covers both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

/// `date`: a year, a month or a day.
#[must_use]
pub fn date(text: &str) -> Option<Span> {
    let (day, rest) = calendar(text)?;
    rest.is_empty().then_some(day)
}

/// `dateTime`: a date, or a second with its zone. A value of a search may leave out seconds, and zone: then it is UTC.
#[must_use]
pub fn date_time(text: &str, strictly: bool) -> Option<Span> {
    let (day, rest) = calendar(text)?;
    if rest.is_empty() {
        return Some(day);
    }
    // Only a whole date has a time: it is ten characters long.
    if text.len() - rest.len() != 10 {
        return None;
    }
    let (clock, zone) = clock(rest.strip_prefix('T')?, strictly)?;
    let zone = if zone.is_empty() && !strictly { 0 } else { offset(zone)? };
    let start = day.low.0 + clock.low.0 - zone;
    Some(Span { low: Millis(start), high: Millis(start + clock.high.0 - clock.low.0) })
}

/// `instant`: a second, or a part of it, with its zone.
#[must_use]
pub fn instant(text: &str) -> Option<Span> {
    if text.contains('T') { date_time(text, true) } else { None }
}

/// `time`: a second of any day.
#[must_use]
pub fn is_time(text: &str) -> bool {
    clock(text, true).is_some_and(|(_, rest)| rest.is_empty())
}

/// An instant, to the millisecond.
#[must_use]
pub fn written(at: Millis) -> String {
    let (days, within) = (at.0.div_euclid(DAY), at.0.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (hour, minute, second, part) = (within / HOUR, within / MINUTE % 60, within / 1_000 % 60, within % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{part:03}Z")
}

/// An instant as HTTP has it (RFC 9110 section 5.6.7), to the second.
#[must_use]
pub fn http_date(at: Millis) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, within) = (at.0.div_euclid(DAY), at.0.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let of = |names: &[&'static str], place: i64| {
        usize::try_from(place).ok().and_then(|place| names.get(place).copied()).unwrap_or_default()
    };
    let (weekday, month) = (of(&DAYS, days.rem_euclid(7)), of(&MONTHS, month - 1));
    format!(
        "{weekday}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT",
        within / HOUR,
        within / MINUTE % 60,
        within / 1_000 % 60
    )
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The date at the beginning, and what follows it.
fn calendar(text: &str) -> Option<(Span, &str)> {
    let (year, rest) = digits(text, 4)?;
    if year == 0 {
        return None;
    }
    let days = |from: i64, to: i64| Span { low: Millis(from * DAY), high: Millis(to * DAY - 1) };
    let Some(after) = rest.strip_prefix('-') else {
        return Some((days(days_before(year, 1), days_before(year + 1, 1)), rest));
    };
    let (month, rest) = digits(after, 2).filter(|(month, _)| (1..=12).contains(month))?;
    let (first, next) = (days_before(year, month), days_before(year + month / 12, month % 12 + 1));
    let Some(after) = rest.strip_prefix('-') else { return Some((days(first, next), rest)) };
    let (day, rest) = digits(after, 2).filter(|(day, _)| (1..=next - first).contains(day))?;
    Some((days(first + day - 1, first + day), rest))
}

/// The time at the beginning, within a day, and what follows it. `:60` is a second that was put in: it counts as the last.
fn clock(text: &str, strictly: bool) -> Option<(Span, &str)> {
    let span = |low: i64, length: i64, rest| Some((Span { low: Millis(low), high: Millis(low + length - 1) }, rest));
    let (hour, rest) = digits(text, 2).filter(|(hour, _)| *hour < 24)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2).filter(|(minute, _)| *minute < 60)?;
    let start = hour * HOUR + minute * MINUTE;
    let Some(after) = rest.strip_prefix(':') else {
        return if strictly { None } else { span(start, MINUTE, rest) };
    };
    let (second, rest) = digits(after, 2).filter(|(second, _)| *second <= 60)?;
    let start = start + second.min(59) * 1_000;
    let Some(after) = rest.strip_prefix('.') else { return span(start, 1_000, rest) };
    let count = after.bytes().take_while(u8::is_ascii_digit).count();
    let fraction = after.get(..count).filter(|fraction| !fraction.is_empty())?;
    let three: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let length = match count {
        1 => 100,
        2 => 10,
        _ => 1,
    };
    span(start + three, length, after.get(count..)?)
}

/// `Z` or `+01:00`, in milliseconds.
fn offset(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = if text.starts_with('+') { 1 } else { -1 };
    let (hour, rest) = digits(text.strip_prefix(['+', '-'])?, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let fits = rest.is_empty() && minute < 60 && (hour < 14 || (hour == 14 && minute == 0));
    fits.then_some(sign * (hour * HOUR + minute * MINUTE))
}

fn digits(text: &str, count: usize) -> Option<(i64, &str)> {
    let (number, rest) = text.split_at_checked(count)?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| number.parse().ok()).flatten().map(|number| (number, rest))
}

/// Days from 1970-01-01 to the first of a month, by the Gregorian calendar. Years begin in March, so that the leap day is last.
fn days_before(year: i64, month: i64) -> i64 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a day since 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year, if month < 10 { month + 3 } else { month - 9 });
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    #[test]
    fn a_date_is_as_long_as_it_is_imprecise() {
        let length = |span: Option<Span>| span.map(|span| span.high.0 - span.low.0 + 1);
        assert_eq!(length(date("2024")), Some(366 * DAY));
        assert_eq!(length(date("2023-02")), Some(28 * DAY));
        assert_eq!(length(date("2024-02-29")), Some(DAY));
        assert_eq!(length(date_time("2024-02-29T12:00Z", false)), Some(MINUTE));
        assert_eq!(length(instant("2024-02-29T12:00:00Z")), Some(1_000));
        assert_eq!(length(instant("2024-02-29T12:00:00.1+01:00")), Some(100));
        assert_eq!(length(instant("2024-02-29T12:00:00.123456Z")), Some(1));
        assert_eq!(instant("1970-01-01T01:00:00+01:00").map(|span| span.low), Some(Millis(0)));
        assert_eq!(date("1969-12-31").map(|span| span.high), Some(Millis(-1)));
    }

    #[test]
    fn http_has_a_form_of_its_own() {
        assert_eq!(http_date(Millis(784_111_777_000)), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn what_no_calendar_has_is_refused() {
        for no in
            ["", "24", "0000", "2023-13", "2023-00", "2023-02-29", "2023-2-1", "2023-01-32", "2023-01-01T", "20240101"]
        {
            assert_eq!(date(no), None, "{no}");
        }
        for no in [
            "2023T10:00:00Z",
            "2023-01T10:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T10:60:00Z",
            "2023-01-01T10:00:61Z",
            "2023-01-01T10:00Z",
            "2023-01-01T10:00:00",
            "2023-01-01T10:00:00.Z",
            "2023-01-01T10:00:00+14:01",
            "2023-01-01T10:00:00z",
            "2023-01-01t10:00:00Z",
            "é023-01-01",
        ] {
            assert_eq!(date_time(no, true), None, "{no}");
        }
        assert!(
            is_time("23:59:60")
                && is_time("00:00:00.5")
                && !is_time("24:00:00")
                && !is_time("10:00")
                && !is_time("10:00:00Z")
        );
    }

    proptest! {
        #[test]
        fn a_written_instant_is_read_again(at in -62_135_596_800_000_i64..253_402_300_800_000) {
            let text = written(Millis(at));
            prop_assert_eq!(instant(&text), Some(Span { low: Millis(at), high: Millis(at) }), "{}", text);
        }

        #[test]
        fn no_text_makes_it_fail(text in "[0-9TZ:.+-]{0,32}") {
            if let Some(span) = date_time(&text, false) {
                prop_assert!(span.low <= span.high);
            }
        }
    }
}
