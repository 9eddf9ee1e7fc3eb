//! Which Device a device of the register is: one for each name, by an identifier that software neither gives nor takes.
//!
//! The table holds it, so that two hubs cannot give one name twice; the identifier in the resource says the same.

use super::write::{Stopped, refused};
use super::{Records, Statement};
use crate::DEVICE_SYSTEM;
use crate::access::{Naming, Sight};
use crate::definitions::Definitions;
use crate::kind::{Kind, Row};
use crate::outcome::{Code, Issue};
use crate::validate::{IndexRows, SEPARATOR};
use medlock_store::{Error, Fault, Sql, all, first, values};
use medlock_trust::DeviceName;
use std::collections::BTreeMap;

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
pub(super) fn keep(
    sql: &mut dyn Sql,
    row: Row,
    rows: &IndexRows,
    naming: Naming,
    now_seconds: i64,
) -> Result<(), Stopped> {
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
        // What the device was given reaches the row that it was.
        super::token::end(sql, "device", name.as_str(), now_seconds)?;
    }
    for name in said {
        let insert = "INSERT INTO device_name (name, rid) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        if sql.execute(insert, values![name, row.0])? == 0 {
            return Err(forbidden(format!("another Device is {DEVICE_SYSTEM}|{name} already")));
        }
    }
    Ok(())
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

impl Records {
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
