//! What an administrator asks about the keys with which hubs sign ID tokens and notices.

use super::idtoken::Standing;
use super::register::{Refused, Told};
use crate::Clinical;
use crate::store::NotedKey;
use crate::{kind::Millis, moment};
use serde::{Deserialize, Serialize};

/// A key, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebKeyView {
    /// Its name (`kid`).
    pub key: String,
    /// What it signs with.
    pub algorithm: String,
    /// Which hub has it.
    pub hub: String,
    /// When that had it last.
    pub seen: String,
    /// `shown`, or why it is not.
    pub state: String,
}

impl Clinical {
    pub(super) fn list_web_keys(&self) -> Result<Told, Refused> {
        let own = self.own_web_keys().unwrap_or_else(|error| {
            tracing::warn!(%error, "this hub's own keys cannot be told now");
            Vec::new()
        });
        let view = |(key, noted): (String, NotedKey)| {
            let state = match self.standing(&own, &key, &noted) {
                Standing::Shown => "shown",
                Standing::Dropped => "dropped",
                Standing::Left => "its hub has left",
                Standing::Unknown => "not shown now: whether its hub has left cannot be told",
            };
            WebKeyView {
                algorithm: noted.key.1.name().to_owned(),
                hub: noted.hub.map(|(hub, _)| hub.to_string()).unwrap_or_default(),
                seen: moment::written(Millis(noted.seen.saturating_mul(1_000))),
                state: state.to_owned(),
                key,
            }
        };
        let mut keys: Vec<_> = self.web_keys_seen()?.into_iter().map(view).collect();
        keys.sort_by(|one, other| (&one.hub, &one.key).cmp(&(&other.hub, &other.key)));
        Ok(Told::WebKeys { keys })
    }

    pub(super) fn drop_web_key(&self, key: &str) -> Result<Told, Refused> {
        let noted = self.web_keys_seen()?.into_iter().find(|(name, _)| name == key);
        let (_, noted) = noted.ok_or_else(|| Refused::absent(format!("key {key:?}")))?;
        self.records().drop_web_key(&noted.key.0)?;
        tracing::warn!(key, "a key for ID tokens and notices was dropped");
        Ok(Told::Done {
            text: format!(
                "no hub shows {key} any more; a hub that has it signs with it until its keys/web-*.key is removed"
            ),
        })
    }
}
