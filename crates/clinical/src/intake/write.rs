//! JSON as it is put together: numbers stay as they are written.

use crate::DEVICE_SYSTEM;
use crate::json;
use crate::kind::Id;
use medlock_trust::DeviceName;

/// An object that grows.
#[derive(Debug)]
pub(super) struct Object(Vec<u8>);

impl Object {
    pub(super) fn new() -> Self {
        Self(b"{".to_vec())
    }

    pub(super) fn resource(kind: &str) -> Self {
        let mut out = Self::new();
        out.text("resourceType", kind);
        out
    }

    /// Adds a member that is text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        json::text(value, &mut self.0);
    }

    /// Adds a member that is JSON already.
    pub(super) fn raw(&mut self, name: &str, value: &str) {
        self.name(name);
        self.0.extend_from_slice(value.as_bytes());
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        json::member(name, &mut self.0);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    pub(super) fn text_of(self) -> String {
        String::from_utf8(self.finish()).unwrap_or_default()
    }

    pub(super) fn identifier(system: &str, value: &str) -> String {
        let mut out = Self::new();
        out.text("system", system);
        out.text("value", value);
        out.text_of()
    }

    pub(super) fn reference(kind: &str, id: Id) -> String {
        format!("{{\"reference\":\"{kind}/{id}\"}}")
    }
}

/// A device by its resource if that is known, else by its name in the register.
pub(super) fn device((name, resource): (&DeviceName, Option<Id>)) -> String {
    if let Some(resource) = resource {
        return Object::reference("Device", resource);
    }
    let mut out = Object::new();
    out.text("type", "Device");
    out.raw("identifier", &Object::identifier(DEVICE_SYSTEM, name.as_str()));
    out.text_of()
}

/// A Coding; without display if that is empty.
pub(super) fn coding(system: &str, code: &str, display: &str) -> String {
    let mut out = Object::new();
    out.text("system", system);
    out.text("code", code);
    if !display.is_empty() {
        out.text("display", display);
    }
    out.text_of()
}
