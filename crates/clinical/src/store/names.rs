//! Which Device a device of the register is: one for each name, by an identifier that software neither gives nor takes.
//!
//! The table holds it, so that two hubs cannot give one name twice; the identifier in the resource says the same.

use super::read::{COLUMNS, Stored};
use super::token::{self, Grants};
use super::write::{Stopped, refused};
use super::{Act, Expected, Records, Statement, former};
use crate::DEVICE_SYSTEM;
use crate::access::{Author, Caller, Naming, Sight};
use crate::definitions::Definitions;
use crate::json::{self, Document, Limits, Node};
use crate::kind::{Kind, Millis, Row, Version};
use crate::outcome::{Code, Issue};
use crate::validate::{self, Asked, IndexRows, SEPARATOR};
use medlock_store::{Error, Fault, Sql, all, first, values};
use medlock_trust::DeviceName;
use std::collections::BTreeMap;

/// Which Device a device of the register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// None, and none ever was.
    Never,
    /// None any more: the administrator took it back.
    Released,
    /// This one, as it is in this version.
    To {
        /// Its row.
        row: Row,
        /// Its version.
        version: Version,
        /// Since when; `None`: it is the first that this device ever was.
        since: Option<Millis>,
    },
}

/// The element that says it.
const WHERE: &str = "Device.identifier";

/// The names that a Device says it has in the register.
fn said(rows: &IndexRows) -> Vec<&str> {
    let Some(identifier) = Definitions::r4().parameters.named(Kind::DEVICE, "identifier") else { return Vec::new() };
    let own = rows.idents.iter().filter(|(parameter, _)| *parameter == identifier.id);
    let split = own.filter_map(|(_, ident)| ident.split_once(SEPARATOR));
    split.filter(|(_, system)| *system == DEVICE_SYSTEM).map(|(name, _)| name).collect()
}

fn held(sql: &mut dyn Sql, row: Row) -> Result<Vec<String>, Fault> {
    let question = "SELECT name FROM device_name WHERE rid = ?1";
    all(sql, "device_name", question, values![row.0], |found| Ok(found.text("name")?.to_owned()))
}

fn forbidden(text: String) -> Stopped {
    refused(Issue::new(Code::DeviceName, text).at(WHERE))
}

/// Looks whether a Device keeps its name in the register, and gives it one where the caller may.
pub(super) fn keep(sql: &mut dyn Sql, row: Row, rows: &IndexRows, naming: Naming, at: Millis) -> Result<(), Stopped> {
    let (said, held) = (said(rows), held(sql, row)?);
    if said == held {
        return Ok(());
    }
    match naming {
        Naming::Any => {}
        Naming::Unclaimed if held.is_empty() => {}
        Naming::Unclaimed | Naming::Never => {
            let text = "says which device of the register this is: software neither gives, changes nor removes it";
            return Err(forbidden(format!("the identifier with the system {DEVICE_SYSTEM} {text}")));
        }
    }
    if said.len() > 1 {
        return Err(forbidden(format!("a Device is one device of the register: give one {DEVICE_SYSTEM}")));
    }
    for name in &held {
        sql.execute("DELETE FROM device_name WHERE name = ?1", values![name.as_str()])?;
        let was = "INSERT INTO device_name_was (name) VALUES (?1) ON CONFLICT DO NOTHING";
        sql.execute(was, values![name.as_str()])?;
        // What the device was given reaches the row that it was.
        token::end(sql, Grants::Device(name), at.0 / 1_000)?;
    }
    for name in said {
        // What the device measured before, it measured as another one.
        let since = was(sql, name)?.then_some(at.0);
        let insert = "INSERT INTO device_name (name, rid, since) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        if sql.execute(insert, values![name, row.0, since])? == 0 {
            return Err(forbidden(format!("another Device is {DEVICE_SYSTEM}|{name} already")));
        }
    }
    Ok(())
}

/// Whether a Device had this name that has it no more.
fn was(sql: &mut dyn Sql, name: &str) -> Result<bool, Fault> {
    let question = "SELECT name FROM device_name_was WHERE name = ?1";
    Ok(first(sql, "device_name_was", question, values![name], |_| Ok(()))?.is_some())
}

/// Which Device a device of the register is at this moment.
pub(super) fn bound(sql: &mut dyn Sql, device: &DeviceName) -> Result<Bound, Fault> {
    let question = "SELECT n.rid AS rid, n.since AS since, r.version AS version FROM device_name n \
                    JOIN resource r ON r.rid = n.rid WHERE n.name = ?1";
    let found = first(sql, "device_name", question, values![device.as_str()], |row| {
        let version = Version::numbered(row.number("version")?);
        Ok(Bound::To { row: Row(row.number("rid")?), version, since: row.optional_number("since")?.map(Millis) })
    })?;
    Ok(match found {
        Some(bound) => bound,
        None if was(sql, device.as_str())? => Bound::Released,
        None => Bound::Never,
    })
}

/// Who somebody is in the hospital, their own apps do not say: images, results and the emergency find a patient by identifiers.
pub(super) fn same_person(kind: Kind, author: Author, before: &IndexRows, after: &IndexRows) -> Result<(), Stopped> {
    if (kind, author) != (Kind::PATIENT, Author::Patient) {
        return Ok(());
    }
    if former::identifiers(before) == former::identifiers(after) {
        return Ok(());
    }
    let text = "an app of the patient leaves it as it is: the hospital says who somebody is";
    Err(refused(Issue::new(Code::Denied, text).at("Patient.identifier")))
}

/// Nor do they end a patient, or bring one back: meanwhile the identifiers may be another's, and references to who is gone remain. And no
/// person's app ends a Practitioner or brings one back: with them accounts end and sign in again.
pub(super) fn ends(kind: Kind, author: Author) -> Result<(), Stopped> {
    let text = match (kind, author) {
        (Kind::PATIENT, Author::Patient) => "an app of the patient neither deletes a Patient nor brings one back",
        (Kind::PRACTITIONER, Author::Patient | Author::Person) => {
            "with a person's token nobody deletes a Practitioner or brings one back: accounts go with it; \
             an administrator removes the account, and software in its own name the resource"
        }
        _ => return Ok(()),
    };
    Err(refused(Issue::new(Code::Denied, text)))
}

/// A Device that is one of the register is not deleted: its name would be free for another.
pub(super) fn stays(sql: &mut dyn Sql, row: Row) -> Result<(), Stopped> {
    match held(sql, row)?.first() {
        None => Ok(()),
        Some(name) => Err(forbidden(format!("this Device is {DEVICE_SYSTEM}|{name}: it is not deleted while it is"))),
    }
}

/// The Devices that said before there was a table which device of the register they are: each name that one alone says.
pub(super) fn gather(sql: &mut dyn Sql) -> Result<(), Fault> {
    let Some(identifier) = Definitions::r4().parameters.named(Kind::DEVICE, "identifier") else { return Ok(()) };
    let question = "SELECT value, rid FROM ident WHERE param = ?1";
    let found = all(sql, "ident", question, values![identifier.id.number()], |row| {
        Ok((row.text("value")?.to_owned(), Row(row.number("rid")?)))
    })?;
    let mut claims: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for (value, row) in found {
        let Some((name, DEVICE_SYSTEM)) = value.split_once(SEPARATOR) else { continue };
        let mut question = Statement::seen_by_row("r.rid", &Sight::of_register(), Kind::DEVICE);
        question.text(" AND r.rid = ").value(row.0);
        if first(sql, "resource", question.sql(), question.values(), |_| Ok(()))?.is_some() {
            claims.entry(name.to_owned()).or_default().push(row);
        }
    }
    for (name, rows) in claims {
        if let [row] = rows.as_slice() {
            sql.execute("INSERT INTO device_name (name, rid) VALUES (?1, ?2)", values![name.as_str(), row.0])?;
        }
    }
    Ok(())
}

/// The same Device with this name in the register, or with none.
pub(crate) fn named(body: &[u8], name: Option<&DeviceName>) -> Option<Vec<u8>> {
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

impl Records {
    /// Where the administrator gives a Device the name that another one has, that one loses it first, in the same verb.
    pub(super) fn moving(&self, caller: &Caller, mut acts: Vec<Act>) -> Result<Vec<Act>, Error> {
        let (Naming::Any, [Act::Update { id, to, bases, .. }]) = (caller.naming(), acts.as_slice()) else {
            return Ok(acts);
        };
        let said = said(to.rows());
        let (Kind::DEVICE, [name]) = (to.kind(), said.as_slice()) else { return Ok(acts) };
        let from = "device_name n JOIN resource r ON r.rid = n.rid";
        let mut question = Statement::kept_by_row(COLUMNS, from, &Sight::of_register(), Kind::DEVICE);
        question.text(" AND n.name = ").value(*name);
        let former = self.database().read("look which Device has the name", |sql| {
            first(sql, "resource", question.sql(), question.values(), Stored::of)
        })?;
        let former = former.filter(|former| former.id != *id);
        // One that cannot be read keeps its name: then the other one is refused.
        let first = former.and_then(|former| {
            let text = named(&former.body, None)?;
            let document = Document::read(&text, &Limits::BUNDLE).ok()?;
            let asked = Asked { kind: Kind::DEVICE, bases, mark: None };
            let to = validate::prepare_again(document.root(), Definitions::r4(), asked).ok()?;
            let (expected, bases) = (Expected::version(former.version), bases.clone());
            Some(Act::Update { id: former.id, to, expected, condition: None, bases })
        });
        acts.splice(..0, first);
        Ok(acts)
    }

    /// The row of the Device that this device of the register is.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn row_of_device(&self, device: &DeviceName) -> Result<Option<Row>, Error> {
        let mut statement = Statement::seen_by_row("r.rid", &Sight::of_register(), Kind::DEVICE);
        statement.text(" AND r.rid = (SELECT n.rid FROM device_name n WHERE n.name = ").value(device.as_str());
        statement.text(")");
        self.database().read("look for the resource of a device", |sql| {
            first(sql, "resource", statement.sql(), statement.values(), |row| Ok(Row(row.number("rid")?)))
        })
    }
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
