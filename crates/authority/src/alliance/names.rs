//! Names in a list that people are to read before they sign.

use super::refused;
use crate::Error;
use medlock_trust::list::List;

/// Refuses a list in which a name has what no name needs and what hides or turns round what stands beside it: control characters,
/// line and paragraph separators, characters that change the direction of writing.
///
/// The list's own name counts for the first version alone: it never changes.
///
/// # Errors
/// [`Error::Object`], which says whose name it is.
pub(super) fn check(list: &List<'_>, is_first: bool) -> Result<(), Error> {
    let heading = is_first.then_some(list.heading().name).map(|name| ("the list".to_owned(), name));
    let members =
        list.members().chain(list.recovery()).map(|one| (format!("member or recovery key {}", one.key), one.name));
    let authorities = list.authorities().flat_map(|one| {
        let names = std::iter::once(one.name).chain(one.names.prefixes());
        names.map(move |name| (format!("authority {}", one.key), name))
    });
    let mut all = heading.into_iter().chain(members).chain(authorities);
    all.find(|(_, name)| name.contains(deceives)).map_or(Ok(()), |(what, name)| {
        let why = format!("{what}: {name:?} has characters that deceive who reads it: write it without them");
        Err(refused("trust list", why))
    })
}

fn deceives(letter: char) -> bool {
    // Of U+061C, U+200E and U+200F, which names of right-to-left scripts may need, none reverses what follows.
    letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
