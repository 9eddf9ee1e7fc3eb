//! What changes from one list to the next, in words for those who sign it.

use medlock_trust::list::{Authority, List, Member, Service};
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
    say("name", heading.name.to_owned());
    say("version", heading.version.to_string());
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
    let names: Vec<&str> = authority.names.prefixes().collect();
    let types = match authority.device_types {
        medlock_trust::role::DeviceTypes::Every => "every".to_owned(),
        medlock_trust::role::DeviceTypes::Listed(numbers) => {
            let numbers = numbers.as_chunks::<2>().0.iter().map(|one| u16::from_be_bytes(*one).to_string());
            numbers.collect::<Vec<_>>().join(", ")
        }
    };
    let mut facts = vec![
        (format!("{what}, name"), format!("{:?}", authority.name)),
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
        let hash = data_encoding::HEXLOWER.encode(hash);
        facts.push((format!("{what}, envelope of device type {}", device_type.0), hash));
    }
    facts
}

fn service_fact(service: Service<'_>) -> (String, String) {
    let purposes = medlock_trust::list::Purpose::ALL.into_iter().filter(|one| service.purposes.contains(*one));
    let purposes: Vec<&str> = purposes.map(|one| one.name()).collect();
    let until = service.until.map_or("no end".to_owned(), |until| until.to_string());
    (format!("service {}", service.key), format!("{} of {}, until {until}", purposes.join(", "), service.authority))
}
