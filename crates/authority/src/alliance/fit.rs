//! What is too much in a draft, there twice or out of bounds, by the names that the draft gives it: verifiers say only that they would
//! not take such a list.

use crate::Error;
use medlock_trust::KeyId;
use medlock_trust::list::{Content, Heading, MAX_AUTHORITIES, MAX_MEMBERS, MAX_NAME, MAX_SERVICES};
use std::collections::BTreeMap;

/// Refuses numbers of signatures that cannot be, and entries that are too many or there twice.
///
/// # Errors
/// [`Error::Invalid`], which names what is wrong in the draft.
pub(super) fn check(content: &Content<'_>) -> Result<(), Error> {
    let Content { heading, members, recovery, authorities, services } = content;
    check_thresholds(heading, members.len(), recovery.len())?;
    let name_of = |key: KeyId| authorities.iter().find(|one| one.key == key).map_or("", |one| one.name);
    let sections = [
        ("member", MAX_MEMBERS, members.iter().map(|one| (one.name, one.key)).collect::<Vec<_>>()),
        ("recovery", MAX_MEMBERS, recovery.iter().map(|one| (one.name, one.key)).collect()),
        ("authority", MAX_AUTHORITIES, authorities.iter().map(|one| (one.name, one.key)).collect()),
        ("service", MAX_SERVICES, services.iter().map(|one| (name_of(one.authority), one.key)).collect()),
    ];
    for (section, most, entries) in &sections {
        if entries.len() > *most {
            let why = format!("there are {}, and a list has {most} at most", entries.len());
            return Err(Error::invalid(*section, why));
        }
        let mut seen = BTreeMap::new();
        for (name, key) in entries {
            if let Some(other) = seen.insert(key, name) {
                let why =
                    format!("it has the key of {section} {other:?}, {key}: each has a key of its own, and stands once");
                return Err(Error::invalid(format!("{section} {name:?}"), why));
            }
        }
    }
    let named = members.iter().chain(*recovery).map(|one| one.name).chain(authorities.iter().map(|one| one.name));
    match named.chain([heading.name]).find(|name| name.is_empty() || name.len() > MAX_NAME) {
        Some(name) => Err(Error::invalid("name", format!("{name:?} is not 1 to {MAX_NAME} bytes long"))),
        None => Ok(()),
    }
}

fn check_thresholds(heading: &Heading<'_>, members: usize, recovery: usize) -> Result<(), Error> {
    let (threshold, spare) = (usize::from(heading.threshold), usize::from(heading.recovery_threshold));
    if !(1..=members).contains(&threshold) {
        let why = format!("{threshold} of {members} members cannot sign: give 1 to {members}");
        return Err(Error::invalid("threshold", why));
    }
    if heading.emergency >= heading.threshold {
        let why = format!(
            "{} members to suspend an authority, where {threshold} sign a list: give less, or 0 for nobody",
            heading.emergency
        );
        return Err(Error::invalid("emergency_threshold", why));
    }
    if spare > recovery || (spare == 0) != (recovery == 0) {
        let give =
            if recovery == 0 { "add recovery keys, or give 0".to_owned() } else { format!("give 1 to {recovery}") };
        return Err(Error::invalid(
            "recovery_threshold",
            format!("{spare} of {recovery} recovery keys cannot be: {give}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::draft::{Draft, Key, Listed};
    use data_encoding::BASE64;
    use medlock_node::provider::SigningKey;
    use medlock_trust::Time;
    use std::path::Path;

    /// Shows REQ-CLI-55: what is wrong in a draft is named as the draft names it.
    #[test]
    fn what_does_not_fit_is_named() {
        let key = |name: &str| Key { name: name.into(), key: BASE64.encode(SigningKey::generate().spki()) };
        let (anna, ben, safe) = (key("anna"), key("ben"), key("safe"));
        let good = Draft { members: vec![anna.clone(), ben.clone()], threshold: 2, ..Draft::new("Example") };
        let said = |draft: Draft| {
            draft.payload(Path::new("."), Time::from_unix(1_000_000_000)).err().map(|error| error.to_string())
        };
        assert_eq!(said(good.clone()), None);
        let like_anna = Key { name: "anna's other".into(), ..anna.clone() };
        let maker = |name: &str| Listed {
            name: name.into(),
            kind: "maker".into(),
            state: "listed".into(),
            subject: Some(BASE64.encode(&[0x30, 0])),
            key: Some(ben.key.clone()),
            ..Listed::default()
        };
        for (draft, words) in [
            (Draft { threshold: 3, ..good.clone() }, "threshold: 3 of 2 members"),
            (Draft { threshold: 0, ..good.clone() }, "threshold: 0 of 2 members"),
            (Draft { emergency_threshold: 2, ..good.clone() }, "emergency_threshold: 2 members"),
            (Draft { recovery_threshold: 1, ..good.clone() }, "recovery_threshold: 1 of 0 recovery keys"),
            (Draft { recovery: vec![safe], ..good.clone() }, "recovery_threshold: 0 of 1 recovery keys"),
            (
                Draft { members: vec![anna.clone(), ben.clone(), like_anna], ..good.clone() },
                "member \"anna's other\": it has the key of member \"anna\"",
            ),
            (Draft { members: vec![key("x"); 17], ..good.clone() }, "member: there are 17"),
            (
                Draft { members: vec![anna, Key { name: String::new(), ..ben.clone() }], ..good.clone() },
                "name: \"\" is not 1 to 64",
            ),
            (
                Draft { authorities: vec![maker("pumps"), maker("scanners")], ..good },
                "authority \"scanners\": it has the key of authority \"pumps\"",
            ),
        ] {
            let said = said(draft).unwrap_or_default();
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}
