//! Cutting text at single bytes.
//!
//! `core::str`'s own searchers, and `position` of all but slices, keep checks that the compiler cannot rule out, and
//! with them a way to panic; the linked core has none (`cargo xtask test bare`).

/// Before and after the first `separator`, which is ASCII.
pub(super) fn split_once(text: &str, separator: u8) -> Option<(&str, &str)> {
    without(text, text.as_bytes().iter().position(|byte| *byte == separator)?, 1)
}

/// Before and after the last `separator`, which is ASCII.
pub(super) fn rsplit_once(text: &str, separator: u8) -> Option<(&str, &str)> {
    without(text, text.as_bytes().iter().rposition(|byte| *byte == separator)?, 1)
}

/// A URI before and after its `://`.
pub(super) fn split_scheme(uri: &str) -> Option<(&str, &str)> {
    const MARK: &[u8] = b"://";
    let is_here = |at: &usize| uri.as_bytes().get(*at..).is_some_and(|rest| rest.starts_with(MARK));
    without(uri, (0..uri.len()).find(is_here)?, MARK.len())
}

/// What stands behind a URI's `://`: the authority, and the rest from `/`, `?` or `#` on.
pub(super) fn split_authority(text: &str) -> (&str, &str) {
    let end = text.as_bytes().iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    end.and_then(|end| text.split_at_checked(end)).unwrap_or((text, ""))
}

fn without(text: &str, at: usize, length: usize) -> Option<(&str, &str)> {
    Some((text.get(..at)?, text.get(at.checked_add(length)?..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_as_core_cuts_it() {
        for text in ["", ".", "a", "a.b", ".a.b.", "..", "ü.ö", "a://b", "://", ":/a://b://c", "host/path?query#part"]
        {
            assert_eq!(split_once(text, b'.'), text.split_once('.'), "{text}");
            assert_eq!(rsplit_once(text, b'.'), text.rsplit_once('.'), "{text}");
            assert_eq!(split_scheme(text), text.split_once("://"), "{text}");
            let end = text.find(['/', '?', '#']).unwrap_or(text.len());
            assert_eq!(split_authority(text), text.split_at(end), "{text}");
        }
    }
}
