//! Bonds that the site signs: this controller may command this device, for this patient, where nobody holds a button.

use crate::admin::Response;
use crate::registry::Device;
use crate::store::{Standing, StandingState};
use crate::{Authority, Error, registry, status};
use data_encoding::BASE64;
use medlock_node::provider::{self, AwsLc};
use medlock_trust::bond::{PatientContext, SignedBond};
use medlock_trust::cose::{ContentType, Place};
use medlock_trust::list::{List, Purpose};
use medlock_trust::{Bond, DeviceId, Operation, Operations};

impl Authority {
    /// Signs a bond of two devices of the register. Its epoch is above that of every bond signed before, and at least the
    /// present in seconds: ahead of what buttons at the device count.
    ///
    /// # Errors
    /// [`Error`]: a device that is not registered, or suspended or revoked; a device with itself; an operation that is none,
    /// or that no role of the controller allows; a site list that does not name the issuing key for bonds.
    pub(crate) fn bond(
        &self,
        device: &Device,
        controller: &Device,
        patient: Option<&str>,
        operations: &[String],
    ) -> Result<Response, Error> {
        if device.name == controller.name {
            return Err(Error::invalid("with", format!("{} needs no bond with itself", device.name)));
        }
        for name in [device.name, controller.name] {
            if let Some(Standing { state, reason, .. }) = status::of_device(&*self.store, name)? {
                let why =
                    if state == StandingState::Suspended { "restore it first" } else { "it gets no bonds any more" };
                return Err(Error::Conflict(format!("{name} is {reason}: {why}")));
            }
        }
        self.signs_bonds()?;
        let operations = read(operations)?;
        let allowed = controller.roles.operations();
        if let Some(beyond) = operations.iter().find(|operation| !allowed.contains(*operation)) {
            let why = format!("no role of {} allows {beyond}: every device would refuse it", controller.name);
            return Err(Error::invalid("operations", why));
        }
        let patient = match patient {
            None => PatientContext(provider::random()),
            Some(text) => PatientContext(registry::key_id(text).map_err(|_| {
                Error::invalid("patient", "give 32 hexadecimal digits that say nothing about the person, or none")
            })?),
        };
        self.clocks_agree()?;
        let issued = self.clock.now();
        let epoch = self.store.next_number("bond", u64::try_from(issued.unix()).unwrap_or(0))?;
        let (device, controller) = (DeviceId::of(&device.name, &AwsLc), DeviceId::of(&controller.name, &AwsLc));
        let bond = Bond { controller, patient, operations, epoch };
        let mut payload = Vec::new();
        match (SignedBond { device, bond, lowest_epoch: 0, issued }).encode(crate::bytes::Sink(&mut payload)) {
            Ok(()) => {}
            Err(never) => match never {},
        }
        let place = Place::Header(ContentType::BOND);
        let bytes = status::sign1(&*self.signer, &self.issuing(), &payload, place, "bond")?;
        Ok(Response::Bond { epoch, patient: data_encoding::HEXLOWER.encode(&patient.0), bytes: BASE64.encode(&bytes) })
    }

    /// A device believes a bond only if the site list names its signer for bonds.
    fn signs_bonds(&self) -> Result<(), Error> {
        let (root, issuing) = (self.root().key, self.issuing().key);
        let names_it = self.knowledge().with_knowledge(|knowledge, _| {
            let mut ours = knowledge.lists.iter().filter(|list| list.member(root).is_some());
            ours.any(|list: &List<'_>| list.service(Purpose::Bonds, issuing.as_bytes()).is_some())
        });
        if names_it {
            return Ok(());
        }
        Err(Error::Conflict(
            "the site list was signed by an earlier version and names no key for bonds: put keys/root.key back and start \
             the hub again, which signs the list anew"
                .to_owned(),
        ))
    }
}

fn read(operations: &[String]) -> Result<Operations, Error> {
    let named = operations.iter().map(|name| {
        Operation::from_name(name).ok_or_else(|| Error::invalid("operations", format!("{name:?} is no operation")))
    });
    let named = named.collect::<Result<Vec<_>, _>>()?;
    if named.is_empty() {
        return Err(Error::invalid("operations", "name at least one, such as treat"));
    }
    Ok(Operations::of(&named))
}
