//! What a resource lacks that a device wrote, to be the device's own: who programs a device is told which element.

use super::write::Stopped;
use crate::access::{Reach, Sight, device_parameter};
use crate::definitions::{Definitions, Owner};
use crate::kind::{Id, Kind, Row};
use crate::outcome::{Code, Issue, Issues};
use medlock_store::{Fault, Sql, first, values};

/// Why a row is not one that the device may make; `None`: whoever writes is no device, or something else is in its way.
pub(super) fn of_a_device(sql: &mut dyn Sql, sight: &Sight, kind: Kind, row: Row) -> Result<Option<Stopped>, Fault> {
    let (Some(Reach::Device(device)), Some(parameter)) = (sight.only_of(kind), device_parameter(kind)) else {
        return Ok(None);
    };
    let (own, whose) = whose(sql, device)?;
    let mut issues = Issues::default();
    let mut lacks = |element: &str, is: String| {
        let text = format!("a device writes what is its own: {element} has to be {is}");
        let help = format!("send it with {kind}.{element}; which Device the token is for stands in GET Device");
        issues.add(Issue::new(Code::Forbidden, text).at(format!("{kind}.{element}")).help(help));
    };
    let named = "SELECT l.rid FROM link l WHERE l.param = ?1 AND l.target = ?2 AND l.rid = ?3";
    let of = values![parameter.id.number(), device.0, row.0];
    if first(sql, "link", named, of, |found| found.number::<i64>("rid"))?.is_none() {
        lacks(parameter.name, format!("Device/{own}"));
    }
    if matches!(Definitions::r4().owner(kind), Owner::Named { .. }) && self::whose(sql, row)?.1 != whose {
        let element = Definitions::r4().parameters.named(kind, "subject").map_or("patient", |subject| subject.name);
        let is = match whose {
            Some(_) => format!("the patient whose the device is now, as Device/{own} says"),
            None => "no patient, since the device is nobody's now".to_owned(),
        };
        lacks(element, is);
    }
    Ok(issues.settled().err().map(|issues| Stopped::Refused(issues.into())))
}

/// The identifier of a row, and the patient whose it is.
fn whose(sql: &mut dyn Sql, row: Row) -> Result<(Id, Option<i64>), Fault> {
    let question = "SELECT r.id, r.patient FROM resource r WHERE r.rid = ?1";
    let found = first(sql, "resource", question, values![row.0], |found| {
        Ok((Id::read(found.text("id")?).ok_or_else(|| found.damaged("id"))?, found.optional_number("patient")?))
    })?;
    found.ok_or(Fault::Missing("row that was written"))
}
