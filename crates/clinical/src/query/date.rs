//! Dates of a search: a prefix, and how it compares with the two ends of what is kept (FHIR R4, section 3.1.1.5.7).

use crate::kind::Millis;
use crate::moment::{self, Span};
use std::borrow::Cow;

/// Which end of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its first instant.
    Low,
    /// Its last.
    High,
}

/// How an end is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `<`
    Below,
}

/// One comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Which end.
    pub end: End,
    /// How.
    pub by: Comparison,
    /// With what.
    pub at: Millis,
}

/// Ranges in one of which it is: all comparisons of one hold.
pub type Ranges = Vec<Vec<Bound>>;

/// What values ask for: one of them.
pub(super) fn ranges(values: &[String]) -> Result<Ranges, Cow<'static, str>> {
    let all: Result<Vec<Ranges>, _> = values.iter().map(|value| of_one(value)).collect();
    Ok(all?.into_iter().flatten().collect())
}

/// A prefix, and what stands behind it: a number follows, or it is none.
pub(super) fn prefixed(value: &str) -> (&str, &str) {
    let parts = value.split_at_checked(2).filter(|(prefix, rest)| {
        prefix.bytes().all(|byte| byte.is_ascii_lowercase())
            && rest.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first))
    });
    parts.unwrap_or(("eq", value))
}

fn of_one(value: &str) -> Result<Ranges, Cow<'static, str>> {
    let (prefix, date) = prefixed(value);
    let Span { low, high } = moment::date_time(date, false).ok_or_else(|| format!("{date:?} is no date"))?;
    let bound = |end, by, at| Bound { end, by, at };
    Ok(match prefix {
        "eq" => vec![vec![bound(End::Low, Comparison::AtLeast, low), bound(End::High, Comparison::AtMost, high)]],
        "ne" => vec![vec![bound(End::Low, Comparison::Below, low)], vec![bound(End::High, Comparison::Above, high)]],
        "gt" => vec![vec![bound(End::High, Comparison::Above, high)]],
        "ge" => vec![vec![bound(End::High, Comparison::AtLeast, low)]],
        "lt" => vec![vec![bound(End::Low, Comparison::Below, low)]],
        "le" => vec![vec![bound(End::Low, Comparison::AtMost, high)]],
        "sa" => vec![vec![bound(End::Low, Comparison::Above, high)]],
        "eb" => vec![vec![bound(End::High, Comparison::Below, low)]],
        _ => return Err(format!("{prefix:?} is none of eq, ne, gt, ge, lt, le, sa, eb").into()),
    })
}
