//! What the members of an alliance do with their trust list: draft, propose, sign, assemble, publish. They never need to
//! meet: files travel between them, and each of them sees what it signs.
//!
//! | step | in | out |
//! | --- | --- | --- |
//! | [`draft`] | nothing, or the current list | a TOML file that a person reads and edits |
//! | [`proposal`] | the draft | the exact bytes to be signed, and what they change |
//! | [`signing`] | the bytes, a key of one member | a list with one signature |
//! | [`signing`] | the bytes, such lists of enough members | the list |
//! | [`folder`] | the list | files that any web server serves |

pub mod draft;
mod fit;
pub mod folder;
mod names;
pub mod proposal;
pub mod signing;
pub mod summary;

use crate::Error;
use medlock_trust::Time;

/// An object that was not made or taken.
pub(crate) fn refused(what: &'static str, why: impl ToString) -> Error {
    Error::Object { what, why: why.to_string() }
}

/// A time as people write it: RFC 3339 in UTC to the second, or a date.
///
/// # Errors
/// [`Error::Invalid`].
pub fn time(what: &str, text: &str) -> Result<Time, Error> {
    let wrong = || Error::invalid(what, format!("{text:?} is no time; write 2026-11-22T05:00:00Z, or 2026-11-22"));
    let (date, clock) = match text.strip_suffix('Z') {
        Some(text) => text.split_once('T').ok_or_else(wrong)?,
        None => (text, "00:00:00"),
    };
    let three = |text: &str, mark: char| -> Option<[u16; 3]> {
        let parts: Vec<u16> = text.split(mark).map(str::parse).collect::<Result<_, _>>().ok()?;
        parts.try_into().ok()
    };
    let [year, month, day] = three(date, '-').ok_or_else(wrong)?;
    let [hour, minute, second] = three(clock, ':').ok_or_else(wrong)?;
    let small = |number: u16| u8::try_from(number).map_err(|_| wrong());
    Time::from_utc(year, small(month)?, small(day)?, small(hour)?, small(minute)?, small(second)?).ok_or_else(wrong)
}
