//! The administrator says which Device a device of the register is, and takes it back: nobody else can.

use super::register::{Refused, Told};
use crate::access::{Caller, Verb};
use crate::audit::Note;
use crate::definitions::Definitions;
use crate::json::{self, Document, Limits, Node};
use crate::kind::{Id, Kind};
use crate::store::{Act, Stored, Unapplied};
use crate::validate::{self, SEPARATOR};
use crate::{Clinical, DEVICE_SYSTEM};
use http::StatusCode;
use medlock_trust::DeviceName;

/// Where it is asked, for the audit.
const ORIGIN: &str = "admin";

impl Clinical {
    /// Says that the Device with this reference is the device of the register with this name.
    pub(super) fn bind_device(&self, name: &str, device: &str) -> Result<Told, Refused> {
        let name = self.registered_name(name)?;
        let id = device.strip_prefix("Device/").and_then(Id::read);
        let id = id.ok_or_else(|| Refused::wrong(format!("{device:?} is not Device/ID")))?;
        let caller = Caller::administrator();
        let found = self.records().read(&caller.sight(Verb::Read), Kind::DEVICE, &id)?;
        let stored = found.filter(|stored| !stored.gone).ok_or_else(|| Refused::absent(device))?;
        self.rename(&caller, &stored, Some(&name))?;
        Ok(Told::Done { text: format!("{name} is {device}") })
    }

    /// Says that no Device is the device with this name; its tokens end.
    pub(super) fn release_device(&self, name: &str, now: i64) -> Result<Told, Refused> {
        let read = DeviceName::new(name).ok_or_else(|| Refused::wrong(format!("{name:?} is no name of a device")))?;
        let caller = Caller::administrator();
        let row = self.records().row_of_device(&read)?;
        let id = row.map(|row| self.records().device_at(row)).transpose()?.flatten();
        let id = id.ok_or_else(|| Refused::absent(format!("Device that is {name}")))?;
        let found = self.records().read(&caller.sight(Verb::Read), Kind::DEVICE, &id)?;
        let stored = found.ok_or_else(|| Refused::absent(format!("Device that is {name}")))?;
        self.rename(&caller, &stored, None)?;
        self.forget_ended(now);
        Ok(Told::Done { text: format!("no Device is {name} now, and its tokens have ended") })
    }

    fn registered_name(&self, name: &str) -> Result<DeviceName, Refused> {
        let read = DeviceName::new(name).ok_or_else(|| Refused::wrong(format!("{name:?} is no name of a device")))?;
        let away = |error: crate::seam::NeedError| Refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
        let known = self.devices().device(&read).map_err(away)?;
        known.map(|device| device.name).ok_or_else(|| Refused::absent(format!("device {name} in the register")))
    }

    fn rename(&self, caller: &Caller, stored: &Stored, name: Option<&DeviceName>) -> Result<(), Refused> {
        let bases = self.bases();
        let text = named(&stored.body, name).ok_or_else(|| Refused::wrong("the Device cannot be read"))?;
        let document = Document::read(&text, &Limits::BUNDLE).map_err(|error| Refused::wrong(error.to_string()))?;
        let asked = validate::Asked { kind: Kind::DEVICE, bases: &bases, mark: None };
        let refused = |why: crate::outcome::Refusal| {
            let text = why.issues.all().first().map_or_else(String::new, |issue| issue.text.to_string());
            Refused(why.status, text)
        };
        let to = validate::prepare(document.root(), Definitions::r4(), asked).map_err(|why| refused(why.into()))?;
        let act = Act::Update { id: stored.id, to, if_match: Some(stored.version), condition: None, bases };
        let note = Note::of(caller, Verb::Update, Kind::DEVICE, ORIGIN.to_owned());
        self.records().apply(caller, vec![act], &note).map(drop).map_err(|error| match error {
            Unapplied::Refused { why, .. } => refused(why),
            Unapplied::Changed => Refused(StatusCode::CONFLICT, "somebody else changes it: try again".to_owned()),
            Unapplied::Store(error) => error.into(),
        })
    }
}

/// The same Device with this name in the register, or with none.
fn named(body: &[u8], name: Option<&DeviceName>) -> Option<Vec<u8>> {
    let document = Document::read(body, &Limits::BUNDLE).ok()?;
    let root = document.root();
    let mut out = b"{".to_vec();
    for (place, (member, value)) in root.members().filter(|(member, _)| member != "identifier").enumerate() {
        if place > 0 {
            out.push(b',');
        }
        json::member(&member, &mut out);
        json::minified(value, &mut out);
    }
    let mut separator: &[u8] = b",\"identifier\":[";
    let listed = root.member("identifier");
    for other in listed.iter().flat_map(|listed| listed.items()).filter(|one| !names_a_device(*one)) {
        out.extend_from_slice(separator);
        json::minified(other, &mut out);
        separator = b",";
    }
    if let Some(name) = name {
        out.extend_from_slice(separator);
        out.extend_from_slice(b"{\"system\":");
        json::text(DEVICE_SYSTEM, &mut out);
        out.extend_from_slice(b",\"value\":");
        json::text(name.as_str(), &mut out);
        out.push(b'}');
        separator = b",";
    }
    out.extend_from_slice(if separator == b"," { b"]}" } else { b"}" });
    Some(out)
}

/// Whether an identifier counts as a name in the register: as the index reads it.
fn names_a_device(identifier: Node<'_, '_>) -> bool {
    let system = identifier.member("system").and_then(Node::text).unwrap_or_default();
    system.replace(SEPARATOR, "") == DEVICE_SYSTEM
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-SMART-61.
    #[test]
    fn only_the_name_changes() {
        let name = DeviceName::new("cgm1").expect("a name");
        let plain = r#"{"resourceType":"Device","identifier":[{"value":"1.50"}],"version":[{"value":"2"}]}"#;
        let with = named(plain.as_bytes(), Some(&name)).expect("a Device");
        let text = String::from_utf8(with.clone()).expect("text");
        assert!(
            text.ends_with(r#""identifier":[{"value":"1.50"},{"system":"urn:medlock:fhir:device","value":"cgm1"}]}"#)
        );
        assert_eq!(named(&with, Some(&name)), Some(with.clone()), "once");
        let without = named(&with, None).expect("a Device");
        assert!(String::from_utf8(without).expect("text").ends_with(r#""identifier":[{"value":"1.50"}]}"#));
        let none = named(br#"{"resourceType":"Device","identifier":[{"system":"urn:medlock:fhir:device"}]}"#, None);
        assert_eq!(none.as_deref(), Some(&br#"{"resourceType":"Device"}"#[..]));
        assert_eq!(named(b"[", None), None);
    }
}
