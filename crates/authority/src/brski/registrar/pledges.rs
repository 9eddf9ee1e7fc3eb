//! Devices with good birth credentials that ask for a voucher and that nobody registered.

use crate::admin::Response;
use crate::store::{Pledge, PledgeRoom};
use crate::{Authority, Error, MadeAs};
use medlock_trust::KeyId;
use medlock_trust::list::List;
use serde::{Deserialize, Serialize};

/// How many of one maker are kept, and of all.
const OF_MAKER: u32 = 256;
const OF_ALL: u32 = 4_096;
/// How long one is kept that does not come again, in seconds.
const KEPT: i64 = 30 * 86_400;
/// How often in seconds it is written down that one comes again.
const AGAIN: i64 = 60;

/// A device that asked for a voucher and that nobody registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PledgeView {
    /// The maker's name on the trust list.
    pub maker: String,
    /// The maker's key there, in hexadecimal.
    pub maker_key: String,
    /// The serial that its maker gave it.
    pub serial: String,
    /// The roles that its birth credential says it was made for.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The kind of device that its birth credential says it is.
    #[serde(default)]
    pub device_type: Option<u16>,
    /// From where it came last.
    pub address: String,
    /// When it came first, RFC 3339.
    pub since: String,
    /// When it came last, RFC 3339.
    pub last: String,
    /// How often it came, counted once a minute.
    pub count: u64,
}

impl Authority {
    /// Notes that a device came. Whether there is room for it, nobody is told.
    pub(super) fn note_pledge(
        &self,
        maker: KeyId,
        serial: &str,
        made_as: Option<MadeAs>,
        from: &str,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let known = self.store.pledge(maker, serial)?;
        if known.is_some_and(|known| now.seconds_since(known.last).abs() < AGAIN) {
            return Ok(());
        }
        let (serial, address) = (serial.to_owned(), from.to_owned());
        let pledge = Pledge { maker, serial: serial.clone(), made_as, address, first: now, last: now, count: 1 };
        if self.store.note_pledge(pledge, self.room(OF_MAKER, OF_ALL))? {
            self.note_refused(&format!("device {serial}"), from, &serial, "it is not registered")?;
        }
        Ok(())
    }

    /// Those of the store that came lately and are still not registered.
    pub(crate) fn held_pledges(&self) -> Result<Vec<Pledge>, Error> {
        Ok(self.store.pledges(self.room(OF_MAKER, OF_ALL).since, OF_ALL)?)
    }

    /// Those that came lately and are still not registered.
    pub(crate) fn pledges(&self) -> Result<Response, Error> {
        let held = self.held_pledges()?;
        let names: Vec<_> = self.knowledge().with_knowledge(|knowledge, _| {
            let authorities = knowledge.lists.iter().flat_map(List::authorities);
            authorities.map(|authority| (authority.key, authority.name.to_owned())).collect()
        });
        let view = |pledge: Pledge| PledgeView {
            maker: names.iter().find(|(key, _)| *key == pledge.maker).map(|(_, name)| name.clone()).unwrap_or_default(),
            maker_key: pledge.maker.to_string(),
            serial: pledge.serial,
            roles: pledge
                .made_as
                .iter()
                .flat_map(|made| made.roles.iter())
                .map(|role| role.name().to_owned())
                .collect(),
            device_type: pledge.made_as.and_then(|made| made.device_type).map(|kind| kind.0),
            address: pledge.address,
            since: pledge.first.to_string(),
            last: pledge.last.to_string(),
            count: pledge.count,
        };
        Ok(Response::Pledges { pledges: held.into_iter().map(view).collect() })
    }

    fn room(&self, maker: u32, all: u32) -> PledgeRoom {
        PledgeRoom { maker, all, since: self.clock.now().plus_seconds(-KEPT) }
    }
}
