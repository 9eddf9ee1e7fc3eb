//! Signed objects: lists, status, tickets, policies and routing tables.

use super::{Fields, Finding, hex};
use crate::Failure;
use medlock_node::knowledge::suspensions;
use medlock_node::routes::RoutingTable;
use medlock_trust::Operation;
use medlock_trust::bond::SignedBond;
use medlock_trust::cose::{ContentType, Sign1};
use medlock_trust::list::{List, Purpose, Suspension};
use medlock_trust::policy::{Policy, Row, Setting};
use medlock_trust::role::{DeviceType, DeviceTypes};
use medlock_trust::status::{StatusList, Subject, Ticket};

/// A signed object. Its signatures are not checked here: that takes the keys one believes in.
///
/// # Errors
/// What is wrong with it.
pub(super) fn object(bytes: &[u8]) -> Result<Finding, Failure> {
    if let Ok(list) = List::danger_open(bytes) {
        return Ok(self::list(&list));
    }
    let each: Vec<_> = suspensions::each(bytes).map(Suspension::danger_open).collect();
    if let Some(Ok(_)) = each.first() {
        return suspended(&each.into_iter().collect::<Result<Vec<_>, _>>()?);
    }
    let signed = Sign1::read(bytes).map_err(|error| match List::danger_open(bytes) {
        Err(list_error) => format!("this is no signed object ({error}), and no list either ({list_error})"),
        Ok(_) => error.to_string(),
    })?;
    let mut fields = Fields::default();
    fields.add("signed with", format!("{:?}, key {}", signed.algorithm(), hex(signed.key())));
    let what = match signed.content_type() {
        Some(kind) if kind == ContentType::STATUS.as_str() => status(bytes, &mut fields)?,
        Some(kind) if kind == ContentType::POLICY.as_str() => policy(bytes, &mut fields)?,
        Some(kind) if kind == ContentType::ROUTES.as_str() => routes(signed.payload(), &mut fields)?,
        Some(kind) if kind == ContentType::BOND.as_str() => bond(bytes, &mut fields)?,
        None => ticket(bytes, &mut fields)?,
        Some(other) => return Err(format!("a signed object of a kind unknown here: {other}").into()),
    };
    fields.explain("signature", hex(signed.signature()), "not checked here; `medlock trust-list verify` and nodes do");
    Ok(Finding { what, fields: fields.0 })
}

fn list(list: &List<'_>) -> Finding {
    let mut fields = Fields::default();
    let heading = list.heading();
    fields.add("name", heading.name);
    fields.add("version", heading.version);
    fields.add("recovery epoch", heading.recovery_epoch);
    fields.add("issued", heading.issued);
    fields.add("next", heading.next);
    fields.explain("threshold", heading.threshold, "so many members must have signed");
    if heading.emergency > 0 {
        fields.explain(
            "emergency threshold",
            heading.emergency,
            "so many members may suspend an authority for 14 days",
        );
    }
    if heading.recovery_threshold > 0 {
        fields.explain(
            "recovery threshold",
            heading.recovery_threshold,
            "so many recovery keys must have signed where too few members can",
        );
    }
    for member in list.members() {
        fields.add("member", format!("{} ({})", member.name, member.key));
    }
    for authority in list.authorities() {
        let roles = if authority.roles == medlock_trust::Roles::EVERY {
            "every role".to_owned()
        } else {
            authority.roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(", ")
        };
        let kinds = match authority.device_types {
            DeviceTypes::Every => "devices of every type".to_owned(),
            DeviceTypes::Listed(_) => {
                let types = (0..=u16::MAX).map(DeviceType).filter(|kind| authority.device_types.contains(Some(*kind)));
                let types: Vec<_> = types.map(|kind| kind.0.to_string()).collect();
                format!("devices of type {}", types.join(", "))
            }
        };
        fields.explain(
            format!("{:?} authority", authority.kind).to_lowercase(),
            format!("{} ({})", authority.name, authority.key),
            format!("{} since {}; may vouch for {roles}, {kinds}", authority.state.name(), authority.since),
        );
    }
    for service in list.services() {
        let purposes: Vec<_> =
            Purpose::ALL.into_iter().filter(|purpose| service.purposes.contains(*purpose)).map(Purpose::name).collect();
        fields.explain("service key", service.key, format!("speaks about {}", purposes.join(", ")));
    }
    Finding { what: if heading.kind.name() == "site" { "site list" } else { "trust list" }, fields: fields.0 }
}

/// Emergency suspensions, one after the other.
fn suspended(all: &[Suspension<'_>]) -> Result<Finding, Failure> {
    let mut fields = Fields::default();
    for one in all {
        let content = one.content();
        fields.explain("list", content.list, "whose members sign it; it needs fewer of them than a list");
        fields.add("recovery epoch", content.recovery_epoch);
        fields.add("issued", content.issued);
        fields.explain("expires", content.expires, "or as soon as a list that is issued later decides");
        fields.add("reason", content.reason.name());
        for authority in content.authorities() {
            fields.add("authority", authority);
        }
    }
    Ok(Finding { what: if all.len() == 1 { "suspension" } else { "suspensions" }, fields: fields.0 })
}

fn bond(bytes: &[u8], fields: &mut Fields) -> Result<&'static str, Failure> {
    let SignedBond { device, bond, lowest_epoch, issued } = SignedBond::danger_open(bytes)?;
    fields.explain("device", device, "which may be commanded, and takes the bond from nobody else");
    fields.explain("controller", bond.controller, "which may command it");
    let operations: Vec<_> = bond.operations.iter().map(Operation::name).collect();
    fields.add("operations", operations.join(", "));
    fields.explain("patient", hex(&bond.patient.0), "a random number for an episode of care");
    fields.explain("epoch", bond.epoch, "the device takes it only if it is above all it has seen");
    fields.explain("lowest epoch", lowest_epoch, "bonds below are void");
    fields.add("issued", issued);
    Ok("bond")
}

fn status(bytes: &[u8], fields: &mut Fields) -> Result<&'static str, Failure> {
    let list = StatusList::danger_open(bytes)?;
    let heading = list.heading();
    fields.add("authority", heading.authority);
    fields.explain("epoch", heading.epoch, "grows with each change");
    fields.add("recovery epoch", heading.recovery_epoch);
    fields.add("issued", heading.issued);
    fields.add("next", heading.next);
    fields.explain("records", list.len(), "who is not named is good");
    for record in list.records() {
        let subject = match record.subject {
            Subject::Credential(id) => format!("credential {id}"),
            Subject::Device(id) => format!("device {id}"),
            Subject::Issuer(id) => format!("issuer {id}"),
        };
        fields.add(
            format!("  {}", record.state.name()),
            format!("{subject} since {} ({}), epoch {}", record.since, record.reason.name(), record.epoch),
        );
    }
    Ok("status list")
}

fn ticket(bytes: &[u8], fields: &mut Fields) -> Result<&'static str, Failure> {
    let content = Ticket::danger_read(bytes)?;
    fields.add("credential", content.credential);
    let state = content.state.map_or("good", |state| state.name());
    fields.add("state", format!("{state} ({})", content.reason.name()));
    fields.add("epoch", content.epoch);
    fields.add("issued", content.issued);
    match content.nonce {
        Some(nonce) => fields.explain("nonce", hex(nonce), "answers the judge that drew it"),
        None => fields.add("nonce", "none"),
    }
    Ok("status ticket")
}

fn policy(bytes: &[u8], fields: &mut Fields) -> Result<&'static str, Failure> {
    let policy = Policy::danger_open(bytes)?;
    fields.add("version", policy.version());
    fields.add("issued", policy.draft().issued);
    fields.explain("grace", format!("{} seconds", policy.grace_seconds()), "after the expiry of a credential");
    for row in Row::ALL {
        let effects: Vec<_> = Operation::ALL
            .into_iter()
            .map(|operation| format!("{} {}", operation.name(), policy.effect(row, operation).name()))
            .collect();
        fields.add(row.name(), effects.join(", "));
    }
    for setting in Setting::ALL {
        let budgets: Vec<_> = Operation::ALL
            .into_iter()
            .map(|operation| format!("{} {}", operation.name(), policy.budget_seconds(setting, operation)))
            .collect();
        fields.explain(format!("status budget, {}", setting.name()), budgets.join(", "), "in seconds");
    }
    Ok("continuity policy")
}

fn routes(payload: &[u8], fields: &mut Fields) -> Result<&'static str, Failure> {
    let table = RoutingTable::decode(payload)?;
    fields.add("version", table.version);
    fields.add("issued", table.issued);
    for machine in &table.machines {
        let address = machine.address.as_deref().unwrap_or("nowhere");
        fields.add(machine.device.to_string(), format!("{} at {address}", machine.ae_titles.join(", ")));
    }
    Ok("routing table")
}
