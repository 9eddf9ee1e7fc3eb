//! The administrator says which Device a device of the register is, and takes it back: nobody else can.

use super::register::{Refused, Told};
use crate::Clinical;
use crate::access::{Caller, Verb};
use crate::audit::Note;
use crate::definitions::Definitions;
use crate::json::{Document, Limits};
use crate::kind::{Id, Kind};
use crate::store::{Act, Expected, Stored, Unapplied, named};
use crate::validate;
use http::StatusCode;
use medlock_trust::DeviceName;

/// Where administrators ask, for the audit.
pub(super) const ORIGIN: &str = "admin";

impl Clinical {
    /// Says that the Device with this reference is the device of the register with this name; where it was another one, its tokens
    /// end.
    pub(super) fn bind_device(&self, name: &str, device: &str, now: i64) -> Result<Told, Refused> {
        let name = self.registered_name(name)?;
        let id = device.strip_prefix("Device/").and_then(Id::read);
        let id = id.ok_or_else(|| Refused::wrong(format!("{device:?} is not Device/ID")))?;
        let caller = Caller::administrator();
        let found = self.records().read(&caller.sight(Verb::Read), Kind::DEVICE, &id)?;
        let stored = found.filter(|stored| !stored.gone).ok_or_else(|| Refused::absent(device))?;
        self.rename(&caller, &stored, Some(&name))?;
        self.forget_ended(now);
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
        let refused = |why: crate::outcome::Refusal| Refused(why.status, why.issues.first_text().to_owned());
        let to =
            validate::prepare_again(document.root(), Definitions::r4(), asked).map_err(|why| refused(why.into()))?;
        let act =
            Act::Update { id: stored.id, to, expected: Expected::version(stored.version), condition: None, bases };
        let note = Note::of(caller, Verb::Update, Kind::DEVICE, ORIGIN.to_owned());
        self.records().apply(caller, vec![act], &note).map(drop).map_err(|error| match error {
            Unapplied::Refused { why, .. } => refused(why),
            Unapplied::Changed => Refused(StatusCode::CONFLICT, "somebody else changes it: try again".to_owned()),
            Unapplied::Store(error) => error.into(),
        })
    }
}
