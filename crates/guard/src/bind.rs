//! Binding: the names inside a protocol must be those the site bound to the credential.
//!
//! A credential says which device it is; the signed routing table says which names that device has. Nothing else is
//! believed: not the name in the protocol, not the network address.

use crate::dicom::{refuse::Refusal, text::AeTitle};
use medlock_node::routes::{Machine, RoutingTable};
use medlock_trust::DeviceName;

/// Whether `peer` may call itself `calling` towards the machine `own` as `called`.
///
/// # Errors
/// [`Refusal::CallingNotBound`] if the title is not the peer's, [`Refusal::CalledElsewhere`] if the called title is not
/// the machine's.
pub fn inbound(
    table: &RoutingTable,
    own: &DeviceName,
    peer: &DeviceName,
    calling: &AeTitle,
    called: &AeTitle,
) -> Result<(), Refusal> {
    if table.by_ae_title(calling.as_str()).is_none_or(|machine| machine.device != *peer) {
        return Err(Refusal::CallingNotBound);
    }
    if table.by_ae_title(called.as_str()).is_none_or(|machine| machine.device != *own) {
        return Err(Refusal::CalledElsewhere);
    }
    Ok(())
}

/// The machine that `called` names, if the machine `own` may call itself `calling`.
///
/// # Errors
/// [`Refusal::CallingNotBound`] if the calling title is not the machine's own, [`Refusal::CalledUnknown`] if nobody, or
/// only the machine itself, has the called title.
pub fn outbound<'t>(
    table: &'t RoutingTable,
    own: &DeviceName,
    calling: &AeTitle,
    called: &AeTitle,
) -> Result<&'t Machine, Refusal> {
    if table.by_ae_title(calling.as_str()).is_none_or(|machine| machine.device != *own) {
        return Err(Refusal::CallingNotBound);
    }
    table.by_ae_title(called.as_str()).filter(|machine| machine.device != *own).ok_or(Refusal::CalledUnknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use medlock_trust::Time;

    fn name(text: &str) -> DeviceName {
        DeviceName::new(text).unwrap()
    }

    fn title(text: &str) -> AeTitle {
        AeTitle::from_field(text.as_bytes()).unwrap()
    }

    fn table() -> RoutingTable {
        let machine = |device: &str, titles: &[&str]| Machine {
            device: name(device),
            ae_titles: titles.iter().map(|title| (*title).to_owned()).collect(),
            address: Some("10.0.0.1:2762".to_owned()),
        };
        let machines =
            vec![machine("ct-1", &["CT1", "CT1_Q"]), machine("ct-2", &["CT2"]), machine("pacs-1", &["PACS"])];
        RoutingTable::new(1, Time::from_unix(0), machines).unwrap()
    }

    /// Shows REQ-GUARD-02: a title is its own device's only.
    #[test]
    fn a_title_is_bound_to_one_device() {
        let (table, pacs) = (table(), name("pacs-1"));
        let inbound = |peer: &str, calling: &str, called: &str| {
            inbound(&table, &pacs, &name(peer), &title(calling), &title(called))
        };
        assert_eq!(inbound("ct-1", "CT1", "PACS"), Ok(()));
        assert_eq!(inbound("ct-1", "CT1_Q", "PACS"), Ok(()));
        assert_eq!(inbound("ct-2", "CT1", "PACS"), Err(Refusal::CallingNotBound), "a thief of a title");
        assert_eq!(inbound("ct-2", "ct2", "PACS"), Err(Refusal::CallingNotBound), "titles are compared exactly");
        assert_eq!(inbound("ct-3", "CT3", "PACS"), Err(Refusal::CallingNotBound), "a title nobody has");
        assert_eq!(inbound("ct-1", "CT1", "CT2"), Err(Refusal::CalledElsewhere));
        assert_eq!(inbound("ct-1", "CT1", "NOBODY"), Err(Refusal::CalledElsewhere));
    }

    /// Shows REQ-GUARD-03: the machine uses its own titles only, and reaches whom the table names.
    #[test]
    fn the_machine_uses_its_own_titles() {
        let (table, ct) = (table(), name("ct-1"));
        let outbound = |calling: &str, called: &str| {
            outbound(&table, &ct, &title(calling), &title(called)).map(|machine| machine.device)
        };
        assert_eq!(outbound("CT1", "PACS"), Ok(name("pacs-1")));
        assert_eq!(outbound("CT2", "PACS"), Err(Refusal::CallingNotBound));
        assert_eq!(outbound("CT1", "NOBODY"), Err(Refusal::CalledUnknown));
        assert_eq!(outbound("CT1", "CT1_Q"), Err(Refusal::CalledUnknown), "not in a circle");
    }
}
