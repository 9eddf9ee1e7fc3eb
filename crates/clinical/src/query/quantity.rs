//! Measured values of a search: `[prefix]number|system|code` (FHIR R4, section 3.1.1.5.14).

use super::date::prefixed;
use super::filter::Measure;
use super::token::{self, Token};
use super::{Comparison, End};
use crate::json::Decimal;
use std::borrow::Cow;

pub(super) fn measures(values: &[String]) -> Result<Vec<Measure>, Cow<'static, str>> {
    values.iter().map(|value| measure(value)).collect()
}

fn measure(value: &str) -> Result<Measure, Cow<'static, str>> {
    let parts: Vec<String> = token::split(value, '|').iter().map(|part| token::plain(part)).collect();
    let (number, unit) = match parts.as_slice() {
        [number] => (number, None),
        [number, system, code] if !code.is_empty() => {
            let system = (!system.is_empty()).then(|| system.clone());
            (number, Some(Token { system, value: Some(code.clone()) }))
        }
        _ => return Err(format!("{value:?} is no number, number|system|code or number||code").into()),
    };
    let (prefix, number) = prefixed(number);
    let number = Decimal::read(number).ok_or_else(|| format!("{number:?} is no number"))?;
    let (key, (low, high)) = (number.key(), number.range());
    use Comparison::{Above, AtLeast, AtMost, Below};
    use End::{High, Low};
    let ranges = match prefix {
        "eq" => vec![vec![(Low, AtLeast, low), (High, AtMost, high)]],
        "ne" => vec![vec![(Low, Below, low)], vec![(High, Above, high)]],
        "gt" => vec![vec![(High, Above, key)]],
        "ge" => vec![vec![(High, AtLeast, key)]],
        "lt" => vec![vec![(Low, Below, key)]],
        "le" => vec![vec![(Low, AtMost, key)]],
        "sa" => vec![vec![(Low, Above, key)]],
        "eb" => vec![vec![(High, Below, key)]],
        _ => return Err(format!("{prefix:?} is none of eq, ne, gt, ge, lt, le, sa, eb").into()),
    };
    Ok(Measure { unit, ranges })
}
