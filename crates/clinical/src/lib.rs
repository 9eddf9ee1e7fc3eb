//! The clinical face: what devices measure as FHIR R4, guarded by OAuth 2.0 and SMART, bound to device identity.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`json`], [`kind`], [`moment`] | documents as they were written; names of resources; dates |
//! | [`definitions`], [`validate`] | FHIR R4 as data, and whether a resource is what it says |
//! | [`query`] | a search, read |
//! | [`store`] | what is kept |
//! | [`access`] | who asks, and the one way to a row |
//! | [`consent`] | what patients allow and forbid |
//! | [`auth`], [`jose`] | the authorization server, and signed tokens of the web |
//! | [`audit`] | who did what |
//! | [`intake`] | what devices say, on its way into the records |
//! | [`provenance`] | where it came from: credential, verdict and proof |
//! | `rest` | `/fhir` over HTTP |
//! | [`subscription`] | what somebody wants to be told, and telling it |
//! | [`outcome`] | what is wrong with a request, as its author is told it |
//! | [`seam`] | what others give |

#[cfg(test)]
extern crate self as medlock_clinical;

pub mod access;
pub mod audit;
pub mod auth;
mod config;
pub mod consent;
pub mod definitions;
mod error;
mod figures;
pub mod intake;
pub mod jose;
pub mod json;
pub mod kind;
pub mod moment;
pub mod outcome;
pub mod provenance;
pub mod query;
mod rest;
pub mod seam;
pub mod store;
pub mod subscription;
#[cfg(test)]
mod tests;
mod turns;
pub mod validate;

pub use auth::{CommunityConfig, SignInConfig};
pub use config::{ClinicalConfig, Settings};
pub use error::Error;
pub use figures::Figures;

use access::{Gate, Sight, Verb};
use axum::Router;
use axum::routing::post;
use consent::{Actor, Base, Ruling};
use kind::{Millis, Row};
use medlock_node::clock::Clock;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::outbound::Outbound;
use seam::{Alarms, Devices, WebKeys};
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use store::{Place, Records};
use turns::Turns;

/// The system of the identifiers by which a Device is one of the site's register.
pub const DEVICE_SYSTEM: &str = "urn:medlock:fhir:device";

/// So far back, in seconds, it is looked for what ended at other hubs: their clocks differ, and a token may just be read.
const LATELY: i64 = 60;

/// What the clinical face is given.
pub struct Needs {
    /// What time it is.
    pub clock: Clock,
    /// What is known of those who call.
    pub knowledge: Arc<KnowledgeBase>,
    /// The register of the site.
    pub devices: Arc<dyn Devices>,
    /// The keys that sign ID tokens and notices.
    pub web_keys: Arc<dyn WebKeys>,
    /// Where alarms are raised.
    pub alarms: Arc<dyn Alarms>,
    /// Where it keeps what it keeps.
    pub place: Place,
}

/// The clinical face of a hub.
pub struct Clinical {
    settings: Settings,
    clock: Clock,
    knowledge: Arc<KnowledgeBase>,
    devices: Arc<dyn Devices>,
    web_keys: Arc<dyn WebKeys>,
    alarms: Arc<dyn Alarms>,
    records: Arc<Records>,
    gate: Gate,
    audit: audit::Queue,
    places: rest::Places,
    /// The same of who sees one patient alone.
    own_places: rest::Places,
    /// Who reads files of exports.
    exports: Turns,
    sockets: subscription::Sockets,
    key_sets: auth::KeySets,
    turn: subscription::Turn,
    /// How many records devices have reported.
    quota: intake::Quota,
    places_looked: subscription::Places,
    /// Which subscribers look into the store.
    looks: Turns,
    /// Whose software registers by itself.
    communities: Arc<auth::Communities>,
    /// Where people sign in, if it is elsewhere.
    upstream: Option<auth::Upstream>,
    /// Where devices reach it, without `/fhir`; empty until their door is open.
    devices_address: RwLock<Arc<str>>,
}

impl Clinical {
    /// Opens what is kept. Blocks.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(config: &ClinicalConfig, needs: Needs) -> Result<Arc<Self>, Error> {
        let settings = Settings::of(config)?;
        let key_sets = auth::KeySets::new(Outbound::new(&config.outbound)?);
        let upstream =
            config.sign_in.as_ref().map(|sign_in| auth::Upstream::open(sign_in, &config.outbound)).transpose()?;
        let Needs { clock, knowledge, devices, web_keys, alarms, place } = needs;
        let base = format!("{}/fhir", settings.public_url);
        let communities = Arc::new(auth::Communities::open(&config.udap, &base, clock.now())?);
        let records = Arc::new(Records::open(&place, clock.clone())?);
        let gate = Gate::new(Arc::clone(&records), Arc::clone(&knowledge), clock.clone(), Arc::clone(&devices));
        let gate = gate.with_base(settings.base.clone()).with_tokens_of(settings.access_seconds);
        let gate = gate.with_communities(Arc::clone(&communities));
        let audit = audit::Queue::start(Arc::clone(&records), clock.clone()).map_err(Error::Thread)?;
        let devices_address = RwLock::new("".into());
        let clinical = Self {
            settings,
            clock,
            knowledge,
            devices,
            web_keys,
            alarms,
            records,
            gate,
            audit,
            places: rest::Places::default(),
            own_places: rest::Places::default(),
            exports: Turns::new(rest::READS),
            sockets: subscription::Sockets::new(),
            key_sets,
            turn: subscription::Turn::new(),
            quota: intake::Quota::default(),
            places_looked: subscription::Places::default(),
            looks: Turns::new(subscription::LOOKS),
            communities,
            upstream,
            devices_address,
        };
        clinical.publish_web_keys();
        Ok(Arc::new(clinical))
    }

    /// The paths of the people's door.
    pub fn people_router(self: &Arc<Self>) -> Router {
        rest::people(Arc::clone(self))
    }

    /// The paths of the devices' door, which is reached at `address` from now on (`https://host:port`).
    pub fn devices_router(self: &Arc<Self>, address: &str) -> Router {
        *self.devices_address.write().unwrap_or_else(PoisonError::into_inner) = address.into();
        rest::devices(Arc::clone(self), address)
    }

    /// What administrators ask about software and people.
    pub fn admin_router(self: &Arc<Self>) -> Router {
        Router::new().route("/v1/clinical", post(auth::administer)).with_state(Arc::clone(self))
    }

    /// Where records are: for people and software, and for devices. References below both are local, and tokens are for both.
    pub fn bases(&self) -> Vec<String> {
        let devices = self.devices_address();
        let all = [self.settings.public_url.as_str(), &devices];
        all.into_iter().filter(|address| !address.is_empty()).map(|address| format!("{address}/fhir")).collect()
    }

    /// Ends what was granted, at this hub at once. Blocks.
    pub(crate) fn end_leave(&self, leave: i64) -> Result<(), medlock_store::Error> {
        self.records.end_leave(leave)?;
        self.forget_leave(leave);
        Ok(())
    }

    pub(crate) fn forget_leave(&self, leave: i64) {
        self.gate.forget(&HashSet::from([leave]));
    }

    /// Forgets the tokens of what ended lately, here or at another hub of the store. Blocks.
    pub(crate) fn forget_ended(&self, now: i64) {
        match self.records.ended_since(now.saturating_sub(LATELY)) {
            Ok(ended) => self.gate.forget(&ended),
            Err(error) => tracing::warn!(%error, "whether tokens have ended cannot be told now"),
        }
    }

    pub(crate) const fn quota(&self) -> &intake::Quota {
        &self.quota
    }

    pub(crate) const fn key_sets(&self) -> &auth::KeySets {
        &self.key_sets
    }

    pub(crate) const fn turn(&self) -> &subscription::Turn {
        &self.turn
    }

    pub(crate) const fn looks(&self) -> &Turns {
        &self.looks
    }

    pub(crate) const fn places_looked(&self) -> &subscription::Places {
        &self.places_looked
    }

    /// The patients whom somebody of the staff, by their row, may choose: what consents hide is not among them.
    pub(crate) fn sight_of_staff(&self, person: Row) -> Sight {
        let (base, at) = (self.settings.base.contains(&Base::Staff), Millis(self.clock.unix_millis()));
        // No grant has the number 0: no glass was broken for it.
        Sight::of_register().ruled(Ruling { actor: Actor::Staff(person), base, verb: Verb::Search, at, leave: 0 })
    }

    pub(crate) fn web_keys(&self) -> &dyn WebKeys {
        &*self.web_keys
    }

    pub(crate) fn alarms(&self) -> &dyn Alarms {
        &*self.alarms
    }

    pub(crate) fn devices_address(&self) -> Arc<str> {
        Arc::clone(&self.devices_address.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is kept.
    #[must_use]
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Who is admitted.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn knowledge(&self) -> &KnowledgeBase {
        &self.knowledge
    }

    pub(crate) fn devices(&self) -> &dyn Devices {
        &*self.devices
    }

    pub(crate) fn communities(&self) -> &auth::Communities {
        &self.communities
    }

    /// The client with this identifier, if it has not been removed, with what the site gives its community now. Blocks.
    pub(crate) fn client(&self, id: &str) -> Result<Option<auth::Client>, medlock_store::Error> {
        Ok(self.records.client(id)?.map(|mut client| {
            if let auth::Proof::Community(member) = &client.proof {
                client.scopes = self.communities.left(member, &client.scopes);
            }
            client
        }))
    }

    pub(crate) const fn upstream(&self) -> Option<&auth::Upstream> {
        self.upstream.as_ref()
    }

    pub(crate) const fn audit(&self) -> &audit::Queue {
        &self.audit
    }

    pub(crate) const fn exports(&self) -> &Turns {
        &self.exports
    }

    pub(crate) const fn sockets(&self) -> &subscription::Sockets {
        &self.sockets
    }

    pub(crate) const fn own_places(&self) -> &rest::Places {
        &self.own_places
    }

    pub(crate) const fn places(&self) -> &rest::Places {
        &self.places
    }
}

impl fmt::Debug for Clinical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clinical").field("settings", &self.settings).finish_non_exhaustive()
    }
}
