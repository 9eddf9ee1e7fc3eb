//! What the authority publishes: made, stored, believed by its own hub, and then announced.

use crate::objects::{Kind as ObjectKind, Object};
use crate::store::{Published, StoreError};
use crate::trust_list::{self, SiteList};
use crate::{Authority, Error, registry, status};
use medlock_node::routes::{Machine, RoutingTable};
use medlock_trust::KeyId;
use medlock_trust::cose::{ContentType, Place, Sign1};
use medlock_trust::policy::{Draft, Policy};
use medlock_trust::status::Heading;

/// The setting that keeps whose trust list is believed: the threshold, and the members' keys.
const ALLIANCE: &str = "alliance";

impl Authority {
    /// Signs and gives out the status list of the current epoch.
    ///
    /// # Errors
    /// [`Error`]; the change itself is already stored, and [`Authority::tick`] publishes it later.
    pub fn publish_status(&self) -> Result<(), Error> {
        let _one_at_a_time = self.publishing_lock();
        let (epoch, standings) = self.store.standings()?;
        let kind = ObjectKind::Status;
        let before = self.store.published(kind.name())?;
        if let Some(before) = &before
            && before.version >= epoch
        {
            // Stored is not told: the step behind may have failed the last time.
            return self.tell(kind, before.version, before.bytes.clone());
        }
        // A clock that was set back must not make a list that looks older than the one before.
        let now = before.map_or(self.clock.now(), |before| before.at.max(self.clock.now()));
        let heading = Heading {
            authority: self.root.key,
            recovery_epoch: 0,
            epoch,
            issued: now,
            next: now.plus_seconds(self.settings.status_seconds),
        };
        let bytes = status::status_list(&*self.store, &*self.signer, self.issuing.key, heading, &standings)?;
        self.publish(kind, Published { version: epoch, at: now, bytes })
    }

    /// Signs and gives out the routing table made from the register.
    ///
    /// # Errors
    /// [`Error`].
    pub fn publish_routes(&self) -> Result<(), Error> {
        let _one_at_a_time = self.publishing_lock();
        let what = "routing table";
        let failed = |why: String| Error::Object { what, why };
        let machines = self.machines()?;
        let kind = ObjectKind::Routes;
        let before = self.store.published(kind.name())?;
        if let Some(before) = &before {
            let told = Sign1::read(&before.bytes).map(|signed| RoutingTable::decode(signed.payload()));
            if matches!(told, Ok(Ok(table)) if table.machines == machines) {
                return Ok(());
            }
        }
        let now = self.clock.now();
        let version = before.map_or(0, |before| before.version) + 1;
        let table = RoutingTable::new(version, now, machines).map_err(|error| failed(error.to_string()))?;
        let payload = table.encode().map_err(|error| failed(error.to_string()))?;
        let place = Place::Header(ContentType::ROUTES);
        let bytes = status::sign1(&*self.signer, &payload, place, self.issuing.key.as_bytes(), what)?;
        self.publish(kind, Published { version, at: now, bytes })
    }

    /// The machines of the register that have a protocol name or an address, as the routing table has them.
    pub(crate) fn machines(&self) -> Result<Vec<Machine>, Error> {
        let mut machines: Vec<Machine> = self
            .store
            .devices()?
            .into_iter()
            .filter(|device| device.sidecar.is_some() || !device.ae_titles.is_empty())
            .map(|device| {
                let mut ae_titles = device.ae_titles;
                ae_titles.sort();
                Machine { device: device.name, ae_titles, address: device.sidecar }
            })
            .collect();
        machines.sort_by_key(|machine| machine.device);
        Ok(machines)
    }

    /// Takes an alliance's trust list over; see [`trust_list::verify_alliance`].
    ///
    /// # Errors
    /// [`Error`].
    pub fn import_trust_list(&self, bytes: &[u8], members: &[KeyId], threshold: usize) -> Result<u64, Error> {
        let _one_at_a_time = self.publishing_lock();
        let kind = ObjectKind::TrustList;
        let before = self.store.published(kind.name())?;
        let held = before.as_ref().map(|held| held.bytes.as_slice());
        let version = trust_list::verify_alliance(bytes, held, members, threshold)?;
        if held.is_none() {
            self.pin_alliance(members, threshold)?;
        }
        self.publish(kind, Published { version, at: self.clock.now(), bytes: bytes.to_vec() })?;
        if held.is_none() {
            let keys: Vec<String> = members.iter().map(ToString::to_string).collect();
            match self.store.set_once(ALLIANCE, &format!("{threshold} {}", keys.join(" "))) {
                // An import that was interrupted before has left the same.
                Ok(()) | Err(StoreError::Taken { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(version)
    }

    fn pin_alliance(&self, members: &[KeyId], threshold: usize) -> Result<(), Error> {
        let threshold = u8::try_from(threshold).unwrap_or(u8::MAX);
        self.knowledge()
            .pin_alliance(members, threshold)
            .map_err(|error| Error::Object { what: "trust list", why: error.to_string() })
    }

    /// The hub's knowledge can be made anew from the store, so it needs the members it once was told.
    fn pin_remembered_alliance(&self) -> Result<(), Error> {
        let Some(text) = self.store.setting(ALLIANCE)? else { return Ok(()) };
        let mut words = text.split(' ');
        let threshold = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let members = words.map(|word| registry::key_id(word).map(KeyId::from_bytes)).collect::<Result<Vec<_>, _>>()?;
        if self.knowledge().version(ObjectKind::TrustList.into()).is_some() {
            return Ok(());
        }
        self.pin_alliance(&members, threshold)
    }

    /// Stores, believes and announces an object, in this order.
    fn publish(&self, kind: ObjectKind, object: Published) -> Result<(), Error> {
        let (version, bytes) = (object.version, object.bytes.clone());
        self.store.publish(kind.name(), object)?;
        self.tell(kind, version, bytes)
    }

    fn tell(&self, kind: ObjectKind, version: u64, bytes: Vec<u8>) -> Result<(), Error> {
        self.knowledge()
            .accept(kind.into(), &bytes)
            .map_err(|error| Error::Object { what: kind.name(), why: format!("we do not believe our own: {error}") })?;
        self.news.announce(kind, Object { version, bytes: bytes.into() });
        Ok(())
    }

    /// Makes what is not there yet, and gives out what is.
    pub(crate) fn ensure_objects(&self) -> Result<(), Error> {
        if self.store.published(ObjectKind::SiteList.name())?.is_none() {
            let site = SiteList {
                name: &self.settings.name,
                version: 1,
                issued: self.clock.now(),
                root_subject: &self.root.subject,
                root_spki: &self.root.spki,
                issuing_spki: &self.issuing.spki,
            };
            let bytes = trust_list::sign_site_list(&site, &*self.signer)?;
            self.store.publish(ObjectKind::SiteList.name(), Published { version: 1, at: self.clock.now(), bytes })?;
        }
        self.pin_remembered_alliance()?;
        for kind in ObjectKind::ALL {
            if let Some(held) = self.store.published(kind.name())? {
                self.tell(kind, held.version, held.bytes)?;
            }
        }
        if self.store.published(ObjectKind::Policy.name())?.is_none() {
            self.publish_default_policy()?;
        }
        if self.store.standings()?.0 == 0 {
            self.store.next_epoch()?;
        }
        self.publish_status()?;
        self.publish_routes()
    }

    fn publish_default_policy(&self) -> Result<(), Error> {
        let what = "policy";
        let failed = |why: String| Error::Object { what, why };
        let mut draft = Draft::default();
        draft.version = 1;
        draft.issued = self.clock.now();
        let policy = Policy::new(draft).map_err(|error| failed(error.to_string()))?;
        let mut payload = Vec::new();
        match policy.encode(crate::bytes::Sink(&mut payload)) {
            Ok(()) => {}
            Err(never) => match never {},
        }
        let place = Place::Header(ContentType::POLICY);
        let bytes = status::sign1(&*self.signer, &payload, place, self.issuing.key.as_bytes(), what)?;
        self.publish(ObjectKind::Policy, Published { version: 1, at: self.clock.now(), bytes })
    }
}
