//! What changes from one list to the next, in words for those who sign it. Whatever a list calls something is written in quotes and
//! with escapes: no name hides what stands behind it, or reads as something else.

use data_encoding::HEXLOWER;
use medlock_node::provider::sha256;
use medlock_trust::list::{Authority, List, Member, Service};
use medlock_trust::x509::Name;
use serde::Serialize;
use std::collections::BTreeMap;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is about, such as `authority "Maker X"`.
    pub what: String,
    /// How it was; none if it is new.
    pub from: Option<String>,
    /// How it will be; none if it is gone.
    pub to: Option<String>,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, "{}: {from} -> {to}", self.what),
            (None, Some(to)) => write!(f, "{}: new, {to}", self.what),
            (Some(from), None) => write!(f, "{}: gone, was {from}", self.what),
            (None, None) => f.write_str(&self.what),
        }
    }
}

/// What `new` says otherwise than `old`; everything it says if there is no old one.
#[must_use]
pub fn changes(old: Option<&List<'_>>, new: &List<'_>) -> Vec<Change> {
    let before = old.map(facts).unwrap_or_default();
    let after = facts(new);
    let mut all: Vec<Change> = Vec::new();
    for (what, to) in &after {
        let from = before.get(what);
        if from != Some(to) {
            all.push(Change { what: what.clone(), from: from.cloned(), to: Some(to.clone()) });
        }
    }
    let gone = before.iter().filter(|(what, _)| !after.contains_key(*what));
    all.extend(gone.map(|(what, from)| Change { what: what.clone(), from: Some(from.clone()), to: None }));
    all
}

/// Everything a list says, one fact for each thing that people decide on.
fn facts(list: &List<'_>) -> BTreeMap<String, String> {
    let heading = list.heading();
    let mut facts = BTreeMap::new();
    let mut say = |what: &str, is: String| drop(facts.insert(what.to_owned(), is));
    let previous = heading.previous.map_or("none".to_owned(), |hash| format!("SHA-256 {}", HEXLOWER.encode(&hash)));
    say("name", format!("{:?}", heading.name));
    say("version", heading.version.to_string());
    say("version before it", previous);
    say("recovery epoch", heading.recovery_epoch.to_string());
    say("issued", heading.issued.to_string());
    say("next version due", heading.next.to_string());
    say("members who must sign", heading.threshold.to_string());
    say("members who may suspend", heading.emergency.to_string());
    say("recovery keys that must sign", heading.recovery_threshold.to_string());
    let key = |kind: &str, member: Member<'_>| (format!("{kind} {}", member.key), format!("{:?}", member.name));
    facts.extend(list.members().map(|one| key("member", one)));
    facts.extend(list.recovery().map(|one| key("recovery key", one)));
    for authority in list.authorities() {
        facts.extend(authority_facts(&authority));
    }
    facts.extend(list.services().map(service_fact));
    facts
}

fn authority_facts(authority: &Authority<'_>) -> Vec<(String, String)> {
    let what = format!("authority {}", authority.key);
    let roles: Vec<&str> = authority.roles.iter().map(|role| role.name()).collect();
    let names: Vec<String> = authority.names.prefixes().map(|prefix| format!("{prefix:?}")).collect();
    let types = match authority.device_types {
        medlock_trust::role::DeviceTypes::Every => "every".to_owned(),
        medlock_trust::role::DeviceTypes::Listed(numbers) => {
            let numbers = numbers.as_chunks::<2>().0.iter().map(|one| u16::from_be_bytes(*one).to_string());
            numbers.collect::<Vec<_>>().join(", ")
        }
    };
    let mut facts = vec![
        (format!("{what}, name"), format!("{:?}", authority.name)),
        (format!("{what}, subject"), subject(authority.subject)),
        (format!("{what}, state"), format!("{} since {}", authority.state.name(), authority.since)),
        (format!("{what}, kind"), format!("{:?}", authority.kind).to_lowercase()),
        (format!("{what}, roles"), roles.join(", ")),
        (format!("{what}, device types"), types),
        (format!("{what}, device names"), if names.is_empty() { "every".to_owned() } else { names.join(", ") }),
        (format!("{what}, until"), authority.until.map_or("no end".to_owned(), |until| until.to_string())),
    ];
    if let Some(head) = authority.cutoff {
        facts.push((format!("{what}, log cut-off"), format!("{} entries, root {:?}", head.size, head.root)));
    }
    for (device_type, hash) in authority.envelopes.iter() {
        facts.push((format!("{what}, envelope of device type {}", device_type.0), HEXLOWER.encode(hash)));
    }
    facts
}

/// The name that certificates must give their issuer, and its hash: two encodings may read alike.
fn subject(der: &[u8]) -> String {
    let read = Name::from_der(der).map_or("no name".to_owned(), |name| format!("{:?}", name.to_string()));
    format!("{read}, SHA-256 {}", HEXLOWER.encode(&sha256(der)))
}

fn service_fact(service: Service<'_>) -> (String, String) {
    let purposes = medlock_trust::list::Purpose::ALL.into_iter().filter(|one| service.purposes.contains(*one));
    let purposes: Vec<&str> = purposes.map(|one| one.name()).collect();
    let until = service.until.map_or("no end".to_owned(), |until| until.to_string());
    (format!("service {}", service.key), format!("{} of {}, until {until}", purposes.join(", "), service.authority))
}

#[cfg(test)]
mod tests {
    use super::*;
    use medlock_node::provider::SigningKey;
    use medlock_trust::Time;
    use medlock_trust::list::{Content, Heading, ListKind, Names};
    use medlock_trust::path::AuthorityKind;

    const DAY: i64 = 86_400;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }

    /// A name of one attribute, `O`.
    fn name(organisation: &str) -> Vec<u8> {
        let attribute = [&[6, 3, 0x55, 4, 10], &*element(0x0c, organisation.as_bytes())].concat();
        element(0x30, &element(0x31, &element(0x30, &attribute)))
    }

    /// A list of one member and one maker.
    fn list(member: &SigningKey, maker: &SigningKey, subject: &[u8], prefixes: &[&str], called: &str) -> Vec<u8> {
        let issued = Time::from_unix(1_000_000_000);
        let mut encoded = Vec::new();
        Names::encode(prefixes, &mut encoded).unwrap();
        let entry = Authority {
            names: Names::listed(&encoded).unwrap_or(Names::EVERY),
            ..Authority::for_everything(maker.key_id(), AuthorityKind::Maker, called, subject, maker.spki())
        };
        let content = Content {
            heading: Heading::first(ListKind::Alliance, "Alliance", issued, issued.plus_seconds(DAY)),
            members: &[Member { key: member.key_id(), spki: member.spki(), name: called }],
            recovery: &[],
            authorities: &[entry],
            services: &[],
        };
        let mut payload = Vec::new();
        content.encode(&mut payload).unwrap();
        payload
    }

    /// Shows REQ-LIST-60: no name in a list conceals what follows it, or passes for another word.
    #[test]
    fn what_is_read_before_it_is_signed_hides_nothing() {
        let (member, maker) = (SigningKey::generate(), SigningKey::generate());
        let all = |prefixes: &[&str], called: &str| {
            let payload = list(&member, &maker, &name("X"), prefixes, called);
            let changed = changes(None, &List::danger_open_payload(&payload).unwrap());
            changed.iter().map(|change| format!("{change}\n")).collect::<String>()
        };
        let odd = ["\u{1b}[8m", "a\rb", "\u{9b}8m", "\u{202e}kcol", "\u{2066}x", "\u{200b}"];
        for one in odd {
            let said = all(&["P-", one], &format!("Maker {one}"));
            assert!(said.lines().all(|line| line.is_ascii() && !line.contains(char::is_control)), "{said:?}");
        }
        let names = |prefixes: &[&str]| {
            let said = all(prefixes, "Maker");
            said.lines()
                .find(|line| line.contains("device names"))
                .map(|line| line.split_once("new, ").unwrap().1.to_owned())
        };
        assert_eq!(names(&[]).as_deref(), Some("every"));
        assert_ne!(names(&["every"]), names(&[]));
        assert_ne!(names(&["A", "B"]), names(&["A, B"]));
        assert_ne!(names(&["A\", \"B"]), names(&["A", "B"]));
    }

    /// Shows REQ-LIST-61: what a maker's certificates must call their issuer is something that members decide on.
    #[test]
    fn a_changed_subject_is_shown() {
        let (member, maker) = (SigningKey::generate(), SigningKey::generate());
        let [old, new] = ["X", "Y"].map(|subject| list(&member, &maker, &name(subject), &["P-"], "Maker"));
        let [old, new] = [&old, &new].map(|payload| List::danger_open_payload(payload).unwrap());
        let changed = changes(Some(&old), &new);
        let [one] = changed.as_slice() else { panic!("{changed:?}") };
        assert!(one.what.ends_with(", subject"), "{one}");
        assert!(
            one.from.as_ref().unwrap().starts_with("\"O=X\"") && one.to.as_ref().unwrap().starts_with("\"O=Y\""),
            "{one}"
        );
    }
}
