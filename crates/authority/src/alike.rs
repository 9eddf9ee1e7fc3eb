//! What has to be the same at all hubs of a store: each says how it is configured, and people are told where two are not alike.

use crate::settings::{AuthorityConfig, RootPlace};
use crate::store::{Published, StoreError};
use crate::{Authority, Error};
use std::collections::BTreeMap;

/// Where the hubs that work have said it.
const KIND: &str = "hub-settings";

/// Settings by their names in the configuration.
type Said = BTreeMap<String, String>;

/// What a hub says: what stands in what it issues and publishes, or decides for whom it does.
fn said(config: &AuthorityConfig) -> Said {
    let (profile, none) = (&config.profile, || "none".to_owned());
    let listed = |values: &[String]| {
        let mut values = values.to_vec();
        values.sort();
        if values.is_empty() { none() } else { values.join(" ") }
    };
    let root = match config.root {
        RootPlace::Online => "online",
        RootPlace::Offline => "offline",
    };
    let all = [
        ("algorithm", config.algorithm.name().to_owned()),
        ("credential_seconds", profile.validity_seconds.to_string()),
        ("key_types", listed(&profile.key_types)),
        ("log_origin", config.log_origin.clone().unwrap_or_else(none)),
        ("masa", config.masa.clone().unwrap_or_else(none)),
        ("masas", listed(&config.masas)),
        ("public_url", config.public_url.clone().unwrap_or_else(none)),
        ("root", root.to_owned()),
        ("status_seconds", config.status_seconds.to_string()),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Authority {
    /// Says how this hub is configured, and tells people of each hub at work that is configured otherwise: which settings, and
    /// how. Both say the same of each other, so it is one alarm.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn announce_settings(&self, config: &AuthorityConfig) -> Result<(), Error> {
        if !self.store.is_shared() {
            return Ok(());
        }
        let (own, settings) = (self.settings.hub_name.to_string(), said(config));
        let others = loop {
            let held = self.store.published(KIND)?;
            let mut hubs: BTreeMap<String, Said> =
                held.as_ref().and_then(|held| serde_json::from_slice(&held.bytes).ok()).unwrap_or_default();
            let working = self.store.hubs_at_work()?;
            hubs.retain(|hub, _| *hub != own && working.contains(hub));
            let all: BTreeMap<_, _> = hubs.iter().chain([(&own, &settings)]).collect();
            let bytes = serde_json::to_vec(&all).map_err(|error| Error::Conflict(error.to_string()))?;
            let before = held.map(|held| held.version);
            let object = Published { version: before.unwrap_or(0).saturating_add(1), at: self.clock.now(), bytes };
            match self.store.publish_after(KIND, object, before) {
                // Another hub has said it at the same time.
                Err(StoreError::Taken { .. }) => {}
                other => break other.map(|()| hubs)?,
            }
        };
        for (hub, theirs) in others {
            let mut both = [(&own, &settings), (&hub, &theirs)];
            both.sort_by_key(|(hub, _)| *hub);
            let [(one, its), (other, their)] = both;
            let differs = |name: &&String| its.get(*name) != their.get(*name);
            let value = |said: &Said, name: &str| said.get(name).cloned().unwrap_or_else(|| "not said".to_owned());
            let each =
                |name: &String| format!("{name} ({} at {one}, {} at {other})", value(its, name), value(their, name));
            let differing: Vec<String> = its.keys().filter(differs).map(each).collect();
            if differing.is_empty() {
                continue;
            }
            let text = format!(
                "the hubs {one} and {other} work on one store and are configured differently: {}. What a device gets depends on \
                 which of them it asks: write the same into both configurations, and send SIGHUP to the hub that changes, or start it again",
                differing.join(", ")
            );
            self.alarm_about("settings-differ", None, format!("{one} {other}"), text)?;
        }
        Ok(())
    }
}
