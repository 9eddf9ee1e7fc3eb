//! What an administrator asks: one request type and one response type, JSON on a Unix socket that only the owner may
//! use (0600), or [`Authority::administer`] directly where no hub is running.
//!
//! ```text
//! POST /v1/admin   {"verb":"suspend","device":"ct-1","why":"lent to another site"}
//! 200              {"answer":"done","text":"ct-1 is suspended"}
//! 4xx, 5xx         {"error":"there is no device \"ct-1\""}
//! ```

mod view;

pub use crate::brski::registrar::PledgeView;
pub use view::{
    AlarmView, AuditView, AuthorityView, CredentialView, DeviceView, ErrorView, KeyView, LogView, PendingView,
    RouteView,
};

use crate::provision::{BirthProfileConfig, Row, RowOutcome};
use crate::registry::DeviceConfig;
use crate::root_request::KeyChange;
use crate::voucher::{OwnerView, VoucherOrder};
use crate::{Authority, Error, objects};
use axum::extract::{Request as HttpRequest, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response as HttpResponse};
use axum::{Extension, Json, Router};
use http::StatusCode;
use medlock_node::accept::{self, Limits, Origin, PeerInfo};
use medlock_node::stop::Stop;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixListener;

/// The most bytes of an admin request. A trust list has to fit in base64.
pub const MAX_REQUEST: usize = 4 << 20;

/// What is asked. Every request that changes something is written to the audit table with its asker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Who the authority is. Answer: [`Response::Authority`].
    Authority,
    /// Put a device into the register. Answer: [`Response::Device`].
    Register {
        /// The device.
        device: DeviceConfig,
    },
    /// Replace a device's entry (same name). Answer: [`Response::Device`].
    Update {
        /// The device as it shall be.
        device: DeviceConfig,
        /// The entry that was read and changed: where another one is held by now, nothing is done. Without it nothing is compared.
        #[serde(default)]
        read: Option<Box<DeviceConfig>>,
    },
    /// Take a device out of the register that was entered by mistake: it never had a credential. Answer: [`Response::Done`].
    Remove {
        /// Its name.
        device: String,
    },
    /// All devices: for sites of some hundreds. Answer: [`Response::Devices`].
    List,
    /// Some devices, a page at a time. Answer: [`Response::Devices`].
    Find {
        /// Which.
        search: Search,
        /// The last one of the page before: its name, or its maker's serial where that is searched.
        #[serde(default)]
        after: Option<String>,
        /// How many at most; no more than 1000 come.
        limit: u32,
    },
    /// One device. Answer: [`Response::Device`].
    Show {
        /// Its name.
        device: String,
    },
    /// Make an enrolment code. Answer: [`Response::Code`]; its text is shown this once.
    Code {
        /// For which device.
        device: String,
        /// How long it is good, in seconds: 60 to 604800; a day if absent.
        #[serde(default)]
        lifetime_seconds: Option<u64>,
    },
    /// Requests that wait for a person. Answer: [`Response::Pending`].
    Pending,
    /// Devices that asked for a voucher and that nobody registered. Answer: [`Response::Pledges`].
    Pledges,
    /// Confirm a waiting request after comparing its key fingerprint. Answer: [`Response::Done`].
    Approve {
        /// Which request.
        id: String,
        /// For a birth credential whose serial nobody registered: the device it is.
        #[serde(default)]
        device: Option<String>,
    },
    /// Turn a waiting request down; its code is void. Answer: [`Response::Done`].
    Reject {
        /// Which request.
        id: String,
    },
    /// Suspend a device until it is restored. Answer: [`Response::Done`].
    Suspend {
        /// Its name.
        device: String,
        /// Why, for the record.
        why: String,
    },
    /// Lift a suspension. Answer: [`Response::Done`].
    Restore {
        /// Its name.
        device: String,
        /// Why, for the record.
        why: String,
    },
    /// Revoke for good. Answer: [`Response::Done`].
    Revoke {
        /// The device's name.
        device: String,
        /// The reason, from which the consequences follow.
        reason: Reason,
        /// Why, for the record.
        why: String,
    },
    /// Sign a bond: a controller may command a device. Answer: [`Response::Bond`].
    Bond {
        /// The device that is commanded.
        device: String,
        /// The device that commands, or whose readings are used.
        controller: String,
        /// For which patient: 32 hexadecimal digits that say nothing about the person; drawn if absent.
        #[serde(default)]
        patient: Option<String>,
        /// What it may ask, such as `treat` and `halt`.
        operations: Vec<String>,
    },
    /// The routing table. Answer: [`Response::Routes`].
    Routes,
    /// Set a device's route. Answer: [`Response::Done`].
    SetRoute {
        /// Its name.
        device: String,
        /// Its application entity titles.
        ae_titles: Vec<String>,
        /// Where its sidecar is reached: `host:port`.
        sidecar: String,
    },
    /// Remove a device's route. Answer: [`Response::Done`].
    RemoveRoute {
        /// Its name.
        device: String,
    },
    /// Take a trust list. Answer: [`Response::Done`].
    ImportTrustList {
        /// The signed list, base64.
        object: String,
        /// At the first time: the keys of the members that are believed, as 32 hexadecimal digits each.
        #[serde(default)]
        members: Vec<String>,
        /// At the first time: how many of them must have signed.
        #[serde(default)]
        threshold: usize,
    },
    /// A signed object as it is now. Answer: [`Response::Object`].
    Object {
        /// Which: `site-list`, `trust-list`, `status`, `policy`, `routes`.
        object: objects::Kind,
    },
    /// The state of the transparency log. Answer: [`Response::Log`].
    Log,
    /// The proof that a credential is in the log. Answer: [`Response::Proof`].
    Proof {
        /// The credential's identifier: 32 hexadecimal digits.
        credential: String,
    },
    /// Alarms: those first that nobody has dealt with, and among them the newest. Answer: [`Response::Alarms`].
    Alarms,
    /// An alarm was seen and dealt with. Answer: [`Response::Done`].
    AcknowledgeAlarm {
        /// Which.
        id: i64,
    },
    /// Who did what, newest first. Answer: [`Response::Audit`].
    Audit {
        /// How many at most; 100 if absent.
        #[serde(default)]
        limit: Option<u32>,
    },
    /// The issuing keys and the roots, and how each stands. Answer: [`Response::Keys`].
    Keys,
    /// Change the issuing keys, with a root that is at hand. Answer: [`Response::Keys`].
    ChangeKeys {
        /// `rotate`, `retire KEY` or `compromised KEY`.
        change: KeyChange,
        /// Retire a key though credentials hang on it; withdraw one of which the authority has never heard.
        #[serde(default)]
        anyway: bool,
        /// Why, for the record.
        #[serde(default)]
        why: String,
    },
    /// Write what an offline root is to sign for a change of the keys. Answer: [`Response::RootRequest`].
    RequestRoot {
        /// As in [`Request::ChangeKeys`].
        change: KeyChange,
        /// As in [`Request::ChangeKeys`].
        #[serde(default)]
        anyway: bool,
    },
    /// Make the change that an answer of the root is about. Answer: [`Response::Keys`].
    AcceptRoot {
        /// The answer, base64.
        answer: String,
    },
    /// A maker only: give birth credentials to a batch of devices. Answer: [`Response::Provisioned`].
    Provision {
        /// What the credentials say.
        profile: BirthProfileConfig,
        /// The devices, at most [`MAX_ROWS`](crate::provision::MAX_ROWS).
        rows: Vec<Row>,
    },
    /// A maker only: make a voucher. Answer: [`Response::Voucher`].
    IssueVoucher {
        /// What it says.
        order: VoucherOrder,
    },
    /// A maker only, after a restore: all that was sold, released, passed on and revoked since the backup is entered again.
    /// Answer: [`Response::Done`].
    ConfirmRestore,
    /// A maker only: let a device go, so that its next owner gets a voucher. Answer: [`Response::Done`].
    ReleaseDevice {
        /// Its serial.
        serial: String,
        /// The owner's transfer, base64.
        #[serde(default)]
        transfer: Option<String>,
        /// The certificate of the owner's root, PEM, by which the transfer is checked.
        #[serde(default)]
        owner: Option<String>,
        /// Without a transfer: why the maker decides so.
        #[serde(default)]
        why: String,
    },
    /// A maker only: what was said of a device's owners. Answer: [`Response::Owners`].
    Owners {
        /// The device's serial.
        serial: String,
    },
    /// A site only: keep a maker's voucher that is good for a time, for when the maker cannot be asked. Answer:
    /// [`Response::Done`].
    ImportVoucher {
        /// The voucher in CMS, base64.
        voucher: String,
    },
    /// A site only: sign that a device is the next owner's. Answer: [`Response::Voucher`].
    TransferDevice {
        /// Its maker's serial.
        serial: String,
        /// The next owner as in [`VoucherOrder::domain`]; if absent, the maker may give it to anybody.
        #[serde(default)]
        to: Option<String>,
    },
}

/// Which devices are looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Search {
    /// Those whose name begins like this; all of them if it is empty.
    Name(String),
    /// Those whose maker's serial begins like this, in its order.
    MakerSerial(String),
    /// Those of this owner.
    Owner(String),
    /// The one that a certificate with this serial number, in hexadecimal, was issued to.
    Serial(String),
}

/// Why something is revoked, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A key is known to others: every credential of the device is compromised. It may come back with a new key and a
    /// new code.
    KeyCompromise,
    /// The device is in wrong hands: device and credentials are compromised, and its name is never used again.
    Stolen,
    /// The device has left service: it has ceased. Its name is never used again.
    Retired,
    /// Its credentials were replaced by others: they are superseded. It may enrol anew.
    Superseded,
}

impl Reason {
    /// The reason's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyCompromise => "key-compromise",
            Self::Stolen => "stolen",
            Self::Retired => "retired",
            Self::Superseded => "superseded",
        }
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Response {
    /// It was done.
    Done {
        /// What was done.
        text: String,
    },
    /// Who the authority is.
    Authority(AuthorityView),
    /// One device.
    Device(DeviceView),
    /// Devices.
    Devices {
        /// By name.
        devices: Vec<DeviceView>,
    },
    /// An enrolment code.
    Code {
        /// What the device is given: pasted or scanned.
        code: String,
        /// For which device.
        device: String,
        /// Until when, RFC 3339.
        expires: String,
    },
    /// Requests that wait for a person.
    Pending {
        /// Oldest first.
        pending: Vec<PendingView>,
    },
    /// Devices that asked for a voucher and that nobody registered.
    Pledges {
        /// Which came last first.
        pledges: Vec<PledgeView>,
    },
    /// A signed bond, for any carrier to bring to the device.
    Bond {
        /// Its epoch, which the controller has to know.
        epoch: u64,
        /// For which patient, in hexadecimal.
        patient: String,
        /// The signed object, base64.
        bytes: String,
    },
    /// The routing table.
    Routes {
        /// Its version.
        version: u64,
        /// By device name.
        machines: Vec<RouteView>,
    },
    /// A signed object.
    Object {
        /// Which.
        object: objects::Kind,
        /// Its version.
        version: u64,
        /// Base64.
        bytes: String,
    },
    /// The state of the transparency log.
    Log(LogView),
    /// A proof that a credential is in the log.
    Proof {
        /// The proof (C2SP tlog-proof): a text.
        proof: String,
    },
    /// Alarms.
    Alarms {
        /// Those first that nobody has dealt with, and among them the newest.
        alarms: Vec<AlarmView>,
    },
    /// The audit trail.
    Audit {
        /// Newest first.
        entries: Vec<AuditView>,
    },
    /// Birth credentials.
    Provisioned {
        /// What became of each row, in their order.
        outcomes: Vec<RowOutcome>,
    },
    /// A voucher or transfer.
    Voucher {
        /// Base64.
        bytes: String,
    },
    /// What was said of a device's owners.
    Owners {
        /// Newest first.
        events: Vec<OwnerView>,
    },
    /// The issuing keys.
    Keys {
        /// Ascending by label.
        keys: Vec<KeyView>,
        /// The other hubs that work on the store, where several may; each of them needs a copy of a key that was made here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hubs: Option<Vec<String>>,
    },
    /// What a root is to sign.
    RootRequest {
        /// Base64.
        bytes: String,
    },
}

/// Who asks: the user id of the process at the other end of the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker(String);

impl Asker {
    /// The user with this id.
    #[must_use]
    pub fn uid(uid: u32) -> Self {
        Self(format!("uid {uid}"))
    }

    /// The program itself, at start-up or in a demonstration.
    #[must_use]
    pub fn program() -> Self {
        Self("authority".to_owned())
    }

    /// As it is written in the audit trail.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Origin> for Asker {
    fn from(origin: &Origin) -> Self {
        match origin {
            Origin::Local { user: Some(user) } => Self::uid(*user),
            Origin::Local { user: None } | Origin::Address(_) => Self(origin.to_string()),
        }
    }
}

/// The admin interface: `POST /v1/admin`. Serve it on a Unix socket with [`serve`].
pub fn router(authority: Arc<Authority>) -> Router {
    Router::new().route("/v1/admin", axum::routing::post(answer)).with_state(authority)
}

/// The admin socket of a hub: who connects to it waits until [`serve`] answers.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    owner: Owner,
}

impl Socket {
    /// Opens the socket at `path` (0600). The authority must be open, so that no running hub's socket is taken away.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::file(path, error);
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        // The socket belongs to whom this process runs as.
        let owner = Owner(std::fs::metadata(path).map_err(failed)?.uid());
        Ok(Self { listener, owner })
    }
}

/// Serves the admin interface until asked to stop.
pub async fn serve(router: Router, socket: Socket, stop: Stop) {
    let limits = Limits { body_bytes: MAX_REQUEST, ..Limits::default() };
    let router = router.layer(middleware::from_fn_with_state(socket.owner, owner_only));
    accept::serve(socket.listener, None, limits, router, stop).await;
}

/// The user this process runs as.
#[derive(Clone, Copy, Debug)]
struct Owner(u32);

impl Owner {
    /// Only the owner and the system's administrator may ask, whatever became of the socket's mode.
    fn admits(self, origin: &Origin) -> bool {
        match origin {
            Origin::Local { user: Some(user) } => *user == self.0 || *user == 0,
            Origin::Local { user: None } | Origin::Address(_) => false,
        }
    }
}

async fn owner_only(
    State(owner): State<Owner>,
    Extension(peer): Extension<PeerInfo>,
    request: HttpRequest,
    next: Next,
) -> HttpResponse {
    if owner.admits(&peer.origin) {
        return next.run(request).await;
    }
    tracing::warn!(origin = %peer.origin, "somebody else came to the admin socket");
    let error = "only the user the hub runs as, or root, may ask here".to_owned();
    (StatusCode::FORBIDDEN, Json(ErrorView { error })).into_response()
}

async fn answer(
    State(authority): State<Arc<Authority>>,
    Extension(peer): Extension<PeerInfo>,
    Json(request): Json<Request>,
) -> HttpResponse {
    let asker = Asker::from(&peer.origin);
    let answered = tokio::task::spawn_blocking(move || authority.administer(&asker, request)).await;
    match answered {
        Ok(Ok(response)) => Json(response).into_response(),
        Ok(Err(error)) => (status(&error), Json(ErrorView { error: error.to_string() })).into_response(),
        Err(error) => {
            let error = format!("the request was not finished: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, Json(ErrorView { error })).into_response()
        }
    }
}

fn status(error: &Error) -> StatusCode {
    match error {
        Error::Invalid { .. } | Error::Object { .. } => StatusCode::BAD_REQUEST,
        Error::Unknown { .. } => StatusCode::NOT_FOUND,
        Error::Conflict(_) | Error::NotHere(_) => StatusCode::CONFLICT,
        Error::Signer(_) | Error::Log(_) | Error::NotSigned { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Error::Store(_) | Error::File { .. } | Error::Lint(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_socket_answers_its_owner_and_root_only() {
        let local = |user| Origin::Local { user };
        for owner in [Owner(1000), Owner(0)] {
            assert!(owner.admits(&local(Some(owner.0))) && owner.admits(&local(Some(0))));
            assert!(!owner.admits(&local(Some(1001))) && !owner.admits(&local(None)));
            assert!(!owner.admits(&Origin::Address(([127, 0, 0, 1], 9).into())));
        }
    }
}
