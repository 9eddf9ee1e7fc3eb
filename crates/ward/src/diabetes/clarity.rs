//! The CSV that Dexcom Clarity exports.
//!
//! The first row names the columns; they are found by name, in any order, and unknown ones are ignored. Rows about the
//! person and the device come next, then events: `EGV` (a glucose value the sensor estimated), `Calibration`, `Carbs`,
//! `Insulin`, `Exercise`, `Alert` and others. Glucose is in mg/dL or mmol/L as the column's name says; below and above
//! what the sensor can measure it is the word `Low` or `High`. Times are those of the display, without a zone.

use super::units::{Glucose, Insulin};
use csv::StringRecord;
use jiff::civil::{Date, DateTime, Time};
use std::io::{self, Read};
use std::path::Path;

/// The longest export that is read: two years of five-minute readings have about 20 MB.
pub const MAX_BYTES: u64 = 64 << 20;
/// The most events of an export that is read.
pub const MAX_EVENTS: usize = 500_000;
/// What a sensor of this kind can measure, in mg/dL. What is outside is no reading.
const MEASURABLE_MG_DL: std::ops::RangeInclusive<f64> = 20.0..=600.0;
/// The largest amount of insulin or carbohydrates of one entry that is believed, in units or grams.
const MAX_ENTRY: f64 = 1000.0;

/// An export, its events in the order of their times.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// All events; equal times stand in the order of the file.
    pub events: Vec<Event>,
}

impl Export {
    /// The values the sensor estimated, in order.
    pub fn glucose(&self) -> impl Iterator<Item = (DateTime, Measured)> {
        self.events.iter().filter_map(|event| match event.what {
            What::Glucose(measured) => Some((event.at, measured)),
            What::Calibration(_)
            | What::Carbohydrates { .. }
            | What::Insulin { .. }
            | What::Exercise
            | What::Alert
            | What::Other => None,
        })
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The line of the file on which it begins, from 1.
    pub line: u64,
    /// When, by the display's clock.
    pub at: DateTime,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// The sensor estimated a value.
    Glucose(Measured),
    /// Somebody entered a value measured in blood.
    Calibration(Measured),
    /// Somebody ate.
    Carbohydrates {
        /// How much.
        grams: f64,
    },
    /// Somebody took insulin.
    Insulin {
        /// How much.
        amount: Insulin,
        /// Whether it acts for a day; else it is fast.
        long_acting: bool,
    },
    /// Somebody moved.
    Exercise,
    /// The device raised an alert.
    Alert,
    /// A kind of event that this reader does not know.
    Other,
}

/// A value, or that it could not be measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measured {
    /// A value.
    Value(Glucose),
    /// Lower than the sensor can measure.
    Low,
    /// Higher than the sensor can measure.
    High,
}

/// Why an export is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the export: {0}")]
    Read(#[from] io::Error),
    /// The bytes are no CSV, or a row has another number of fields than the first.
    #[error("line {line}: this is no CSV as Clarity exports it: {what}")]
    Csv {
        /// Where.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// The first row lacks a column.
    #[error("line 1: there is no column {0:?}; export the file from Clarity again, in English")]
    Column(&'static str),
    /// A field is not what its column holds.
    #[error("line {line}: {value:?} is no {what}")]
    Field {
        /// Where.
        line: u64,
        /// What the column holds.
        what: &'static str,
        /// What stands there.
        value: String,
    },
    /// There are more events than a reader should take.
    #[error("line {line}: more than {MAX_EVENTS} events; export a shorter time")]
    TooManyEvents {
        /// Where.
        line: u64,
    },
    /// The file is longer than a reader should take.
    #[error("the export is longer than {} MB; export a shorter time", MAX_BYTES >> 20)]
    TooLong,
    /// No glucose value is in it.
    #[error("the export has no glucose value (no EGV row)")]
    NoGlucose,
}

/// Reads the export at `path`.
///
/// # Errors
/// [`Error`], with the line.
pub fn open(path: &Path) -> Result<Export, Error> {
    read(std::fs::File::open(path)?)
}

/// Reads an export.
///
/// # Errors
/// [`Error`], with the line.
pub fn read(bytes: impl Read) -> Result<Export, Error> {
    read_within(bytes, MAX_BYTES, MAX_EVENTS)
}

fn read_within(bytes: impl Read, max_bytes: u64, max_events: usize) -> Result<Export, Error> {
    // One byte more than allowed shows that there were more.
    let mut bounded = bytes.take(max_bytes + 1);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&mut bounded);
    let mut row = StringRecord::new();
    if !reader.read_record(&mut row).map_err(|error| csv_error(error, 0))? {
        return Err(Error::Column(TIMESTAMP));
    }
    let columns = Columns::find(&row)?;
    // Where lines end with CR and LF, a row begins with the LF of the line before.
    let behind = u64::from(reader.position().line() == 1);
    let mut events = Vec::new();
    while reader.read_record(&mut row).map_err(|error| csv_error(error, behind))? {
        let row = Row { line: row.position().map_or(0, csv::Position::line) + behind, fields: &row };
        // Rows about person and device have no time.
        if row.field(columns.timestamp).is_empty() {
            continue;
        }
        if events.len() == max_events {
            return Err(Error::TooManyEvents { line: row.line });
        }
        events.push(Event { line: row.line, at: row.timestamp(&columns)?, what: row.what(&columns)? });
    }
    if bounded.limit() == 0 {
        return Err(Error::TooLong);
    }
    // A display whose clock was set back, and files joined by hand, are not in order.
    events.sort_by_key(|event| event.at);
    let export = Export { events };
    if export.glucose().next().is_none() { Err(Error::NoGlucose) } else { Ok(export) }
}

const TIMESTAMP: &str = "Timestamp (YYYY-MM-DDThh:mm:ss)";
const EVENT_TYPE: &str = "Event Type";
const GLUCOSE: &str = "Glucose Value (mg/dL)";

/// Where the columns are that matter.
struct Columns {
    timestamp: usize,
    event: usize,
    subtype: Option<usize>,
    glucose: usize,
    in_mmol_l: bool,
    insulin: Option<usize>,
    carbohydrates: Option<usize>,
}

impl Columns {
    fn find(header: &StringRecord) -> Result<Self, Error> {
        // Older exports have the unit in capitals, and a mark of the byte order comes first in many files.
        let names: Vec<String> =
            header.iter().map(|name| name.trim_start_matches('\u{feff}').trim().to_ascii_lowercase()).collect();
        let starting = |start: &str| names.iter().position(|name| name.starts_with(start));
        let mg_dl = starting("glucose value (mg/dl)");
        let mmol_l = starting("glucose value (mmol/l)");
        Ok(Self {
            timestamp: starting("timestamp").ok_or(Error::Column(TIMESTAMP))?,
            event: starting("event type").ok_or(Error::Column(EVENT_TYPE))?,
            subtype: starting("event subtype"),
            glucose: mg_dl.or(mmol_l).ok_or(Error::Column(GLUCOSE))?,
            in_mmol_l: mg_dl.is_none(),
            insulin: starting("insulin value (u)"),
            carbohydrates: starting("carb value (grams)"),
        })
    }
}

/// One row and where it is.
struct Row<'a> {
    line: u64,
    fields: &'a StringRecord,
}

impl Row<'_> {
    fn field(&self, column: usize) -> &str {
        self.fields.get(column).unwrap_or_default().trim()
    }

    fn wrong(&self, what: &'static str, value: &str) -> Error {
        // A field can be long; its beginning says enough.
        Error::Field { line: self.line, what, value: value.chars().take(40).collect() }
    }

    fn timestamp(&self, columns: &Columns) -> Result<DateTime, Error> {
        let text = self.field(columns.timestamp);
        timestamp(text).ok_or_else(|| self.wrong("time such as 2026-11-01T07:39:00", text))
    }

    fn what(&self, columns: &Columns) -> Result<What, Error> {
        Ok(match self.field(columns.event) {
            "EGV" => What::Glucose(self.glucose(columns)?),
            "Calibration" => What::Calibration(self.glucose(columns)?),
            "Carbs" => What::Carbohydrates { grams: self.amount(columns.carbohydrates, "amount of carbohydrates")? },
            "Insulin" => What::Insulin {
                amount: Insulin::from_units_rounded_down(self.amount(columns.insulin, "amount of insulin")?),
                long_acting: columns.subtype.is_some_and(|column| self.field(column) == "Long-Acting"),
            },
            "Exercise" => What::Exercise,
            "Alert" => What::Alert,
            _ => What::Other,
        })
    }

    fn glucose(&self, columns: &Columns) -> Result<Measured, Error> {
        let text = self.field(columns.glucose);
        if text.eq_ignore_ascii_case("low") {
            return Ok(Measured::Low);
        }
        if text.eq_ignore_ascii_case("high") {
            return Ok(Measured::High);
        }
        let convert = if columns.in_mmol_l { Glucose::from_mmol_l } else { Glucose::from_mg_dl };
        number(text)
            .map(convert)
            .filter(|value| MEASURABLE_MG_DL.contains(&value.mg_dl()))
            .map(Measured::Value)
            .ok_or_else(|| self.wrong("glucose value", text))
    }

    fn amount(&self, column: Option<usize>, what: &'static str) -> Result<f64, Error> {
        let text = column.map(|column| self.field(column)).unwrap_or_default();
        number(text).filter(|amount| *amount <= MAX_ENTRY).ok_or_else(|| self.wrong(what, text))
    }
}

/// A number that is not negative, as Clarity writes it: digits and at most one point, or one comma where the display's
/// language has that.
fn number(text: &str) -> Option<f64> {
    let plain = text.len() <= 12 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b','));
    if !plain || !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.replace(',', ".").parse().ok()
}

/// `2026-11-01T07:39:00`, with a space in older exports, and with a short hour where a spreadsheet was in between.
fn timestamp(text: &str) -> Option<DateTime> {
    let (date, time) = text.split_once(['T', ' '])?;
    let [year, month, day] = whole_numbers::<3>(date, '-')?;
    let [hour, minute, second] = whole_numbers::<3>(time, ':')?;
    let date = Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok()?;
    let time = Time::new(hour.try_into().ok()?, minute.try_into().ok()?, second.try_into().ok()?, 0).ok()?;
    Some(date.to_datetime(time))
}

fn whole_numbers<const N: usize>(text: &str, separator: char) -> Option<[i16; N]> {
    let mut parts = text.split(separator);
    let mut all = [0; N];
    for one in &mut all {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *one = part.parse().ok()?;
    }
    parts.next().is_none().then_some(all)
}

/// `behind`: how many lines the reader is behind the one a row stands on.
fn csv_error(error: csv::Error, behind: u64) -> Error {
    let line = error.position().map_or(1, |at| at.line() + behind);
    match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::Read(source),
        other => Error::Csv { line, what: words(&other) },
    }
}

fn words(kind: &csv::ErrorKind) -> String {
    match kind {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields where the first row has {expected_len}")
        }
        csv::ErrorKind::Utf8 { err, .. } => err.to_string(),
        _ => "it cannot be read".to_owned(),
    }
}

#[cfg(test)]
mod tests;
