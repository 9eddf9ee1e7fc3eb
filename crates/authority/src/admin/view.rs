//! What an administrator is shown.

use crate::registry::DeviceConfig;
use serde::{Deserialize, Serialize};

/// Who the authority is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityView {
    /// Its name.
    pub name: String,
    /// `site` or `maker`.
    pub kind: String,
    /// SHA-256 of the root certificate, in hexadecimal.
    pub root_fingerprint: String,
    /// The identifier of the root key, in hexadecimal.
    pub root_key: String,
    /// The identifier of the issuing key, in hexadecimal.
    pub issuing_key: String,
    /// The root certificate, PEM.
    pub root_pem: String,
    /// The issuing certificate, PEM; behind it how the root above it took the place of those before.
    pub issuing_pem: String,
    /// How many devices are registered.
    pub devices: usize,
}

/// One issuing key and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// Its label: `issuing`, `issuing-2`, …; `root`, `root-2`, …
    pub label: String,
    /// `current`, `former`, `retired`, `compromised`.
    pub state: String,
    /// Since when it issues, or certifies, RFC 3339: when it took the place of the one before. What was first, and a root, since it was made:
    /// since its certificate begins, less what certificates are dated back by today.
    #[serde(default)]
    pub since: Option<String>,
    /// Since when it issues, or certifies, no more, RFC 3339.
    pub until: Option<String>,
    /// Its identifier, in hexadecimal.
    pub key: String,
    /// What it signs with.
    pub algorithm: String,
    /// Its certificate, PEM.
    pub pem: String,
}

/// The state of a transparency log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogView {
    /// Its name.
    pub origin: String,
    /// The key that signs its checkpoints, as text (C2SP signed-note).
    pub key: String,
    /// How many entries it has.
    pub size: u64,
    /// Its newest checkpoint: a text.
    pub checkpoint: Option<String>,
}

/// One device and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    /// Its entry in the register.
    pub entry: DeviceConfig,
    /// `registered`, `waiting`, `enrolled`, `suspended`, `revoked`, `retired`; `must-renew` where nothing but the theft of its
    /// issuing key is known against it: it comes back by renewing, or with a new code; `needs-code` where the credential it has
    /// is not in the store, or nothing followed the one that was replaced: it comes back with a new code only; `no-voucher` where
    /// it is registered, came, and its maker says that it is not this site's.
    pub state: String,
    /// What is known against the device as a whole, and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is to be looked at: it is registered for something else than it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Its credentials, newest first.
    pub credentials: Vec<CredentialView>,
}

/// One credential and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialView {
    /// Its identifier, in hexadecimal.
    pub id: String,
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// Its key's identifier, in hexadecimal.
    pub key: String,
    /// From when, RFC 3339.
    pub not_before: String,
    /// Until when, RFC 3339.
    pub not_after: String,
    /// `good`, `expired`, `suspended`, `superseded`, `ceased`, `compromised`; `issuer-compromised` where nothing else is known
    /// against it.
    pub state: String,
}

/// A request that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingView {
    /// What it is called in `approve` and `reject`.
    pub id: String,
    /// The device it will become, if that is known.
    pub device: Option<String>,
    /// `code` or `birth`.
    pub by: String,
    /// SHA-256 of the key (`SubjectPublicKeyInfo`), in hexadecimal: to be compared with what the device shows.
    pub key_fingerprint: String,
    /// What the request says of itself, or the birth credential's serial. Nothing of it gets into the credential.
    pub claims: String,
    /// Where it came from.
    pub address: String,
    /// When, RFC 3339.
    pub since: String,
}

/// One machine of the routing table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteView {
    /// Its name.
    pub device: String,
    /// Its application entity titles.
    pub ae_titles: Vec<String>,
    /// Where its sidecar is reached.
    pub sidecar: String,
}

/// An alarm: something a person must look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmView {
    /// Its number.
    pub id: i64,
    /// When first, RFC 3339.
    pub at: String,
    /// When last, RFC 3339.
    pub last: String,
    /// How often.
    pub count: u64,
    /// What it is about; section 5 of docs/operating.md has all of them.
    pub kind: String,
    /// Which device, if it is about one.
    pub device: Option<String>,
    /// What happened and what to do.
    pub text: String,
    /// Whether somebody has dealt with it.
    pub acknowledged: bool,
}

/// One line of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditView {
    /// When, RFC 3339.
    pub at: String,
    /// Who: `uid 1000`, `cli uid 1000`, `authority`.
    pub who: String,
    /// What was asked.
    pub verb: String,
    /// Of what.
    pub subject: String,
    /// `done`, or why not.
    pub outcome: String,
}

/// The error shape of the admin interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorView {
    /// What was wrong, and what to do.
    pub error: String,
}
