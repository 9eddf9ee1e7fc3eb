//! The forms of primitive values (FHIR R4, section 2.24.0.1), by hand: a regular expression may take for ever.

use crate::definitions::Primitive;
use crate::json::{Node, Sort};
use crate::kind::is_id;
use crate::moment;

/// Whether `node` is a value of this type; else what it has to be.
pub(super) fn check(of: Primitive, node: Node<'_, '_>) -> Result<(), &'static str> {
    let (sort, what) = match of {
        Primitive::Boolean => (Sort::Flag, "true or false"),
        Primitive::Integer => (Sort::Number, "a whole number of 32 bits"),
        Primitive::UnsignedInt => (Sort::Number, "a whole number from 0 to 2147483647"),
        Primitive::PositiveInt => (Sort::Number, "a whole number from 1 to 2147483647"),
        Primitive::Decimal => (Sort::Number, "a number with an exponent within 30"),
        Primitive::Base64Binary => (Sort::Text, "base64"),
        Primitive::Canonical | Primitive::Uri | Primitive::Url => (Sort::Text, "an address without spaces"),
        Primitive::Code => (Sort::Text, "a code: no space at its ends, and single ones inside"),
        Primitive::Date => (Sort::Text, "a date: YYYY, YYYY-MM or YYYY-MM-DD"),
        Primitive::DateTime => (Sort::Text, "a date, or a date with a time and its zone"),
        Primitive::Instant => (Sort::Text, "a date with a time and its zone"),
        Primitive::Time => (Sort::Text, "a time: hh:mm:ss"),
        Primitive::Id => (Sort::Text, "1 to 64 letters, digits, hyphens and dots"),
        Primitive::Markdown | Primitive::String => (Sort::Text, "text that is not empty and has no control characters"),
        Primitive::Oid => (Sort::Text, "urn:oid: and an object identifier"),
        Primitive::Uuid => (Sort::Text, "urn:uuid: and a UUID in lower case"),
        Primitive::Xhtml => (Sort::Text, "a div of XHTML"),
    };
    if node.sort() == sort && is_of(of, node) { Ok(()) } else { Err(what) }
}

fn is_of(of: Primitive, node: Node<'_, '_>) -> bool {
    match of {
        Primitive::Boolean => true,
        Primitive::Integer => whole(node).is_some(),
        Primitive::UnsignedInt => whole(node).is_some_and(|number| number >= 0),
        Primitive::PositiveInt => whole(node).is_some_and(|number| number > 0),
        Primitive::Decimal => node.number().is_some(),
        // What it has to be is looked at with the narrative around it.
        Primitive::Xhtml => true,
        _ => node.text().is_some_and(|text| is_text_of(of, &text)),
    }
}

fn whole(node: Node<'_, '_>) -> Option<i32> {
    node.number().filter(|number| number.is_whole())?.source().parse().ok()
}

fn is_text_of(of: Primitive, text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) {
        return false;
    }
    match of {
        Primitive::Canonical | Primitive::Uri | Primitive::Url => !text.contains(char::is_whitespace),
        Primitive::Code => text.split(' ').all(|word| !word.is_empty() && !word.contains(char::is_whitespace)),
        Primitive::Date => moment::date(text).is_some(),
        Primitive::DateTime => moment::date_time(text, true).is_some(),
        Primitive::Instant => moment::instant(text).is_some(),
        Primitive::Time => moment::is_time(text),
        Primitive::Id => is_id(text),
        Primitive::Oid => text.strip_prefix("urn:oid:").is_some_and(is_oid),
        Primitive::Uuid => text.strip_prefix("urn:uuid:").is_some_and(is_uuid),
        Primitive::Base64Binary => is_base64(text),
        _ => true,
    }
}

fn is_oid(text: &str) -> bool {
    let arc = |arc: &str| {
        !arc.is_empty() && (arc == "0" || !arc.starts_with('0')) && arc.bytes().all(|byte| byte.is_ascii_digit())
    };
    text.starts_with(['0', '1', '2'])
        && text.split('.').count() >= 2
        && text.split('.').all(arc)
        && text.split('.').next().is_some_and(|first| first.len() == 1)
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(hexadecimal))
}

/// White space may stand anywhere (R4 shows it in lines).
fn is_base64(text: &str) -> bool {
    let mut count = 0_usize;
    let mut padding = 0_usize;
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        match byte {
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => {}
            _ => return false,
        }
        count += 1;
    }
    count > 0 && count.is_multiple_of(4) && padding <= 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Document, Limits};

    fn fits(of: Primitive, source: &str) -> bool {
        let document = Document::read(source.as_bytes(), &Limits::RESOURCE).expect(source);
        check(of, document.root()).is_ok()
    }

    #[test]
    fn each_form_takes_its_own_and_no_other() {
        for (of, yes, no) in [
            (Primitive::Boolean, vec!["true", "false"], vec!["\"true\"", "1", "null"]),
            (Primitive::Integer, vec!["0", "-2147483648", "2147483647"], vec!["2147483648", "1.0", "1e2", "\"1\""]),
            (Primitive::UnsignedInt, vec!["0"], vec!["-1"]),
            (Primitive::PositiveInt, vec!["1"], vec!["0"]),
            (Primitive::Decimal, vec!["1.50", "-1e-30"], vec!["1e31", "\"1\""]),
            (Primitive::String, vec!["\" x \"", "\"a\\nb\""], vec!["\"\"", "\"\\u0000\"", "\"\\u001f\""]),
            (Primitive::Uri, vec!["\"urn:x\"", "\"x\""], vec!["\"a b\"", "\"\""]),
            (Primitive::Code, vec!["\"a b\"", "\"final\""], vec!["\" a\"", "\"a  b\"", "\"a\\tb\""]),
            (Primitive::Id, vec!["\"a-1.B\""], vec!["\"a_b\"", "\"\""]),
            (
                Primitive::Oid,
                vec!["\"urn:oid:1.2.840.0\""],
                vec!["\"1.2\"", "\"urn:oid:3.1\"", "\"urn:oid:1.02\"", "\"urn:oid:1\"", "\"urn:oid:12.1\""],
            ),
            (
                Primitive::Uuid,
                vec!["\"urn:uuid:c757873d-ec9a-4326-a141-556f43239520\""],
                vec!["\"urn:uuid:C757873D-ec9a-4326-a141-556f43239520\"", "\"urn:uuid:x\""],
            ),
            (
                Primitive::Base64Binary,
                vec!["\"AAAA\"", "\"AA ==\\n\""],
                vec!["\"AAA\"", "\"A===\"", "\"AA=A\"", "\"!!!!\"", "\" \""],
            ),
            (Primitive::Instant, vec!["\"2024-01-01T00:00:00Z\""], vec!["\"2024-01-01\""]),
        ] {
            assert!(yes.iter().all(|source| fits(of, source)), "{of:?} {yes:?}");
            for source in no {
                assert!(!fits(of, source), "{of:?} {source}");
            }
        }
    }
}
