//! What the authority keeps, as verbs of its domain.
//!
//! Seven small traits, together [`Store`]. Whoever implements them passes the suite in
//! `tests/authority/contract.rs`. Rules for all verbs:
//!
//! - a verb that changes something is atomic, and durable when it returns `Ok`: a crash cannot undo it;
//! - a verb that returns an error has changed nothing, but for [`StoreError::Unknown`]: then it did all or nothing, and
//!   whoever asks again finds out;
//! - a read sees everything that was acknowledged before it began;
//! - all calls block, and may be made from many threads at once.

mod log;
mod owners;
mod pledges;
mod serial;
mod server;
mod sql;

pub use log::{Log, LogEntry, LogTile, SignedCheckpoint};
/// Why the store did not do it.
pub use medlock_store::Error as StoreError;
pub use owners::{Owner, OwnerEvent, Owners};
pub use pledges::{Pledge, PledgeRoom, Pledges};
pub use serial::Serial;
pub use server::ServerConfig;
pub use sql::{Server, SqlStore};

use crate::registry::Device;
use medlock_trust::{CredentialId, DeviceName, KeyId, Time};

/// Everything the authority keeps.
pub trait Store: Issuances + Register + Standings + Journal + Log + Owners + Pledges {}

impl<S: Issuances + Register + Standings + Journal + Log + Owners + Pledges> Store for S {}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The authority's root.
    Root,
    /// The authority's issuing key.
    Issuing,
    /// An operational credential.
    Operational,
    /// A birth credential.
    Birth,
    /// The certificate of a maker's voucher key.
    Voucher,
}

/// What is written down before a certificate is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its serial number, never used before.
    pub serial: Serial,
    /// What it is for.
    pub purpose: Purpose,
    /// The device, for credentials of devices.
    pub device: Option<DeviceName>,
    /// The key it is for.
    pub key: KeyId,
    /// The credential that asked for it, when it is a renewal.
    pub parent: Option<CredentialId>,
    /// From when it is good.
    pub not_before: Time,
    /// Until when it is good.
    pub not_after: Time,
    /// When this was written.
    pub at: Time,
    /// The to-be-signed bytes.
    pub tbs: Vec<u8>,
}

/// A certificate that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// What was written down before it was signed.
    pub record: Record,
    /// Its identifier.
    pub credential: CredentialId,
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// Whether its holder has been seen using it.
    pub used: bool,
}

/// A state of things, for [`Issuances::record_in_turn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// How many records there were.
    pub records: u64,
    /// How often what was under way for the device had been ended.
    pub ended: u64,
}

/// Certificates, from before they exist.
pub trait Issuances: Send + Sync {
    /// Writes down what is about to be signed.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the serial was ever used, also by a certificate that never came to be.
    fn record(&self, record: Record) -> Result<(), StoreError>;

    /// The state of things, to be read before whatever speaks for giving this device a certificate for this key.
    ///
    /// # Errors
    /// [`StoreError`].
    fn turn_of(&self, device: DeviceName, key: KeyId) -> Result<Turn, StoreError>;

    /// As [`Issuances::record`], if nothing was recorded for its device or its key since `turn`, nothing of them
    /// waited for its certificate at another hub, and [`Issuances::end_turns_of`] was not asked. So of several hubs that answer requests about one device at once, one
    /// records: what the others have looked up is no longer so.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the turn is over; else as [`Issuances::record`].
    fn record_in_turn(&self, record: Record, turn: Turn) -> Result<(), StoreError>;

    /// Ends what is under way for a device at whatever hub: no record of an earlier turn is made or completed after this.
    ///
    /// # Errors
    /// [`StoreError`].
    fn end_turns_of(&self, device: DeviceName) -> Result<(), StoreError>;

    /// Adds the certificate to its record. After this it may be released.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no record, or it is complete or abandoned.
    fn complete(&self, serial: Serial, credential: CredentialId, certificate: Vec<u8>) -> Result<(), StoreError>;

    /// Gives a record up: its certificate will never exist, its serial is never used again.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no record, or it is complete.
    fn abandon(&self, serial: Serial, why: &str) -> Result<(), StoreError>;

    /// Records that are neither complete nor abandoned.
    ///
    /// # Errors
    /// [`StoreError`].
    fn unfinished(&self) -> Result<Vec<Record>, StoreError>;

    /// Records that are neither complete nor abandoned and that nobody works on any more. In a store of one process these
    /// are all when it starts; where several hubs share it, those that are a minute old by the server's clock. And those that
    /// this process could not finish, because the database was away.
    ///
    /// # Errors
    /// [`StoreError`].
    fn orphans(&self) -> Result<Vec<Serial>, StoreError>;

    /// The certificate with this identifier.
    ///
    /// # Errors
    /// [`StoreError`].
    fn issued(&self, credential: CredentialId) -> Result<Option<Issued>, StoreError>;

    /// The certificate with this serial number.
    ///
    /// # Errors
    /// [`StoreError`].
    fn issued_with_serial(&self, serial: Serial) -> Result<Option<Issued>, StoreError>;

    /// The newest certificate for this purpose.
    ///
    /// # Errors
    /// [`StoreError`].
    fn newest(&self, purpose: Purpose) -> Result<Option<Issued>, StoreError>;

    /// A device's certificates, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn credentials_of(&self, device: DeviceName) -> Result<Vec<Issued>, StoreError>;

    /// Certificates made for a key, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn credentials_for(&self, key: KeyId) -> Result<Vec<Issued>, StoreError>;

    /// Certificates that were made by renewing this one, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn children(&self, parent: CredentialId) -> Result<Vec<Issued>, StoreError>;

    /// Notes that a certificate was seen in use; `true` at the first time.
    ///
    /// # Errors
    /// [`StoreError`].
    fn mark_used(&self, credential: CredentialId) -> Result<bool, StoreError>;
}

/// How an enrolment code stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeState {
    /// Nobody has come with it.
    Open,
    /// A request came with it and waits for a person.
    Waiting,
    /// The request was confirmed: the same key gets its certificate.
    Confirmed,
    /// It is good for nothing any more.
    Void,
}

/// An enrolment code as the authority keeps it: without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRecord {
    /// Its public part.
    pub id: [u8; 5],
    /// The register entry it is bound to.
    pub device: DeviceName,
    /// SHA-256 of its secret.
    pub secret_hash: [u8; 32],
    /// Until when it is good.
    pub expires: Time,
    /// How many wrong secrets were tried.
    pub wrong_tries: u32,
    /// How it stands.
    pub state: CodeState,
    /// The key that came with it first.
    pub key: Option<KeyId>,
}

/// What speaks for giving the bearer of an enrolment code a credential, and against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The code.
    pub code: CodeRecord,
    /// Its device's entry in the register.
    pub device: Option<Device>,
    /// What is known against that device.
    pub against: Option<Standing>,
    /// The state of things, as [`Issuances::turn_of`] tells it.
    pub turn: Turn,
}

/// By what right somebody asked for a first credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// By an enrolment code.
    Code([u8; 5]),
    /// By a birth credential.
    Birth {
        /// The birth credential.
        credential: CredentialId,
        /// The maker's serial in it.
        serial: String,
        /// The key on the trust list that vouches for it.
        maker: Option<KeyId>,
    },
}

/// How a waiting request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PendingState {
    /// It waits for a person.
    Waiting,
    /// A person confirmed it.
    Approved,
    /// A person turned it down, or it lost its right.
    Rejected,
}

/// A first request that needs a person's confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRequest {
    /// Its name in lists and commands.
    pub id: [u8; 8],
    /// The register entry, when it is known.
    pub device: Option<DeviceName>,
    /// By what right.
    pub claim: Claim,
    /// The key.
    pub key: KeyId,
    /// SHA-256 of the key's `SubjectPublicKeyInfo`, which the person compares.
    pub key_fingerprint: [u8; 32],
    /// What the request says of itself.
    pub claims: String,
    /// Where it came from.
    pub address: String,
    /// When it came first.
    pub since: Time,
    /// How it stands.
    pub state: PendingState,
}

/// Which devices are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceSearch {
    /// Those whose name begins like this, by name; all of them if it is empty.
    Name(String),
    /// Those whose maker's serial begins like this, by serial.
    MakerSerial(String),
    /// Those of this owner, by name.
    Owner(String),
}

/// Devices, enrolment codes and waiting requests.
pub trait Register: Send + Sync {
    /// Adds a device.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when there is or was one with this name, or another one with its maker serial or one of its
    /// application entity titles.
    fn add_device(&self, device: Device, at: Time) -> Result<(), StoreError>;

    /// Replaces a device's entry.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none with this name; [`StoreError::Taken`] when another one has its maker
    /// serial or one of its application entity titles.
    fn replace_device(&self, device: Device) -> Result<(), StoreError>;

    /// The device with this name.
    ///
    /// # Errors
    /// [`StoreError`].
    fn device(&self, name: DeviceName) -> Result<Option<Device>, StoreError>;

    /// The device whose maker gave it this serial.
    ///
    /// # Errors
    /// [`StoreError`].
    fn device_with_maker_serial(&self, serial: &str) -> Result<Option<Device>, StoreError>;

    /// The device that has this application entity title.
    ///
    /// # Errors
    /// [`StoreError`].
    fn device_with_title(&self, title: &str) -> Result<Option<DeviceName>, StoreError>;

    /// So many devices at most that are looked for, behind the one whose name (or maker's serial, where that is looked for)
    /// is `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    fn devices_page(&self, search: &DeviceSearch, after: Option<&str>, limit: u32) -> Result<Vec<Device>, StoreError>;

    /// How many devices there are.
    ///
    /// # Errors
    /// [`StoreError`].
    fn device_count(&self) -> Result<u64, StoreError>;

    /// The devices that have an application entity title or a sidecar, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    fn devices_with_routes(&self) -> Result<Vec<Device>, StoreError>;

    /// All devices, by name. For tests: there may be more than fit into memory.
    ///
    /// # Errors
    /// [`StoreError`].
    fn devices(&self) -> Result<Vec<Device>, StoreError> {
        self.devices_page(&DeviceSearch::Name(String::new()), None, u32::MAX)
    }

    /// Adds a code; earlier codes of the same device are void from then on.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when there is or was one with this identifier.
    fn add_code(&self, code: CodeRecord) -> Result<(), StoreError>;

    /// The code with this identifier.
    ///
    /// # Errors
    /// [`StoreError`].
    fn code(&self, id: [u8; 5]) -> Result<Option<CodeRecord>, StoreError>;

    /// What there is to know when somebody comes with this code and this key, all at one instant.
    ///
    /// # Errors
    /// [`StoreError`].
    fn enrolment(&self, code: [u8; 5], key: KeyId) -> Result<Option<Enrolment>, StoreError>;

    /// Counts a wrong secret; at the `most`-th the code is void. Returns how many there are now.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such code.
    fn count_wrong_try(&self, id: [u8; 5], most: u32) -> Result<u32, StoreError>;

    /// Changes a code's state.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such code.
    fn set_code_state(&self, id: [u8; 5], state: CodeState) -> Result<(), StoreError>;

    /// Voids every code of a device, and rejects its waiting and approved requests.
    ///
    /// # Errors
    /// [`StoreError`].
    fn void_claims_of(&self, device: DeviceName) -> Result<(), StoreError>;

    /// Adds a waiting request; for a code, binds the code to the request's key and sets it to waiting, all at once.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the code is not open any more (somebody else was faster); [`StoreError::Taken`] when
    /// there are `most` waiting requests already, or one with this identifier, or one by this birth credential.
    fn add_pending(&self, pending: PendingRequest, most: u32) -> Result<(), StoreError>;

    /// The request with this identifier.
    ///
    /// # Errors
    /// [`StoreError`].
    fn pending(&self, id: [u8; 8]) -> Result<Option<PendingRequest>, StoreError>;

    /// The newest request by this right and for this key.
    ///
    /// # Errors
    /// [`StoreError`].
    fn pending_by(&self, claim: &Claim, key: KeyId) -> Result<Option<PendingRequest>, StoreError>;

    /// Requests that wait, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn waiting(&self) -> Result<Vec<PendingRequest>, StoreError>;

    /// Decides a waiting request; its code, if it came by one, becomes confirmed or void with it.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when it does not wait (any more).
    fn settle(&self, id: [u8; 8], state: PendingState, device: Option<DeviceName>) -> Result<(), StoreError>;
}

/// Whom a standing is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// One credential.
    Credential(CredentialId),
    /// One device: all its credentials, also later ones.
    Device(DeviceName),
    /// One key of an authority: all it has issued.
    Issuer(KeyId),
}

/// What is known against somebody. Nothing known: no standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StandingState {
    /// Until it is lifted.
    Suspended,
    /// Replaced by a successor.
    Superseded,
    /// Out of service.
    Ceased,
    /// In wrong hands: terminal.
    Compromised,
}

/// One entry of what the status list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// About whom.
    pub subject: Subject,
    /// What.
    pub state: StandingState,
    /// The reason's stable name, for CRL and record.
    pub reason: String,
    /// The epoch of the status list that said it first.
    pub epoch: u64,
    /// Since when.
    pub since: Time,
}

/// One change of a standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingChange {
    /// About whom.
    pub subject: Subject,
    /// The new state; `None` lifts a suspension.
    pub state: Option<StandingState>,
    /// The reason's stable name.
    pub reason: String,
    /// When.
    pub at: Time,
}

/// A device's certificates, and how it and they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// What is known against the device.
    pub against: Option<Standing>,
    /// Its certificates, newest first, and what is known against each itself.
    pub issued: Vec<(Issued, Option<Standing>)>,
}

/// What the status list must know of a credential that has a standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Whose it is.
    pub device: Option<DeviceName>,
    /// The state of that device, and the epoch of the status list that said it first.
    pub device_state: Option<(StandingState, u64)>,
    /// Until when it is good.
    pub not_after: Time,
    /// Grows with each certificate that is issued.
    pub number: u64,
}

/// What is met on a walk through the standings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "each is taken as soon as it is met")]
pub enum Met {
    /// The walk begins: anew, if it was begun before, because the connection was lost.
    Begin,
    /// A standing; of a credential of ours, with its life.
    Standing(Standing, Option<Life>),
}

/// What is met on a walk through the certificates against which something is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetCertificate {
    /// The walk begins: anew, if it was begun before, because the connection was lost.
    Begin,
    /// A certificate, and the worst that is known against it.
    Revoked(Revoked),
}

/// A certificate against which something is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number.
    pub serial: Serial,
    /// The certificate.
    pub certificate: Vec<u8>,
    /// What is known: against itself, unless it is superseded only and not good any more, or against its device.
    pub state: StandingState,
    /// Since when.
    pub since: Time,
}

/// How one credential stands, whatever the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialState {
    /// Which credential.
    pub credential: CredentialId,
    /// From when it is good.
    pub not_before: Time,
    /// The worst that is known against the credential or its device.
    pub state: Option<StandingState>,
}

/// Who may no longer be believed.
pub trait Standings: Send + Sync {
    /// Makes all changes at once, in one new epoch, which it returns: the next one, and at least the seconds of `now`,
    /// so that a store that was restored from a backup is ahead of what it had given out. A state only ever gets worse
    /// (in the order of [`StandingState`]), except that a suspension can be lifted; changes that would make it better
    /// are left out.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when a suspension should be lifted that is not there: then nothing is changed.
    fn change_standings(&self, changes: Vec<StandingChange>, now: Time) -> Result<u64, StoreError>;

    /// Walks through everything known against anybody, as it is at one instant, in memory that does not grow with it; but
    /// for superseded credentials that were good until `ended` at most. The other superseded ones come last, that which is
    /// good longest first, and only until `take` gives `false`. Returns the epoch of that instant.
    ///
    /// # Errors
    /// [`StoreError`].
    fn each_standing(&self, ended: Time, take: &mut (dyn FnMut(Met) -> bool + Send)) -> Result<u64, StoreError>;

    /// Walks through the certificates that a revocation list at `now` tells, in no order, each once: all against which
    /// something is known, but for those that are superseded and not good any more. Returns the epoch of that instant.
    ///
    /// # Errors
    /// [`StoreError`].
    fn each_revoked(&self, now: Time, take: &mut (dyn FnMut(MetCertificate) + Send)) -> Result<u64, StoreError>;

    /// The current epoch, and everything known against anybody. For tests: there may be more than fits into memory.
    ///
    /// # Errors
    /// [`StoreError`].
    fn standings(&self) -> Result<(u64, Vec<Standing>), StoreError> {
        let mut all = Vec::new();
        let epoch = self.each_standing(Time::from_unix(i64::MIN), &mut |met| {
            match met {
                Met::Begin => all.clear(),
                Met::Standing(standing, _) => all.push(standing),
            }
            true
        })?;
        all.sort_by_key(|standing| standing.subject);
        Ok((epoch, all))
    }

    /// The current epoch alone.
    ///
    /// # Errors
    /// [`StoreError`].
    fn epoch(&self) -> Result<u64, StoreError>;

    /// How credentials stand, at most `most` of those behind `after`, ascending: to walk through all there are.
    ///
    /// # Errors
    /// [`StoreError`].
    fn states(&self, after: Option<CredentialId>, most: u32) -> Result<Vec<CredentialState>, StoreError>;

    /// What is known against one of our credentials, its device, and the key `issuer`; `None` if the credential is not
    /// one of ours.
    ///
    /// # Errors
    /// [`StoreError`].
    fn standings_of(&self, credential: CredentialId, issuer: KeyId) -> Result<Option<Vec<Standing>>, StoreError>;

    /// What is known against this one.
    ///
    /// # Errors
    /// [`StoreError`].
    fn standing(&self, subject: Subject) -> Result<Option<Standing>, StoreError>;

    /// What these devices have, and how they stand, in their order: for a page of a list.
    ///
    /// # Errors
    /// [`StoreError`].
    fn holdings(&self, devices: &[DeviceName]) -> Result<Vec<Holding>, StoreError>;

    /// A new epoch without a change, for a list that is made anew.
    ///
    /// # Errors
    /// [`StoreError`].
    fn next_epoch(&self, now: Time) -> Result<u64, StoreError> {
        self.change_standings(Vec::new(), now)
    }
}

/// A signed object as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its version or epoch.
    pub version: u64,
    /// When it was published.
    pub at: Time,
    /// The signed bytes.
    pub bytes: Vec<u8>,
}

/// Something a person must look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Its number; what is given when it is raised does not count.
    pub id: i64,
    /// When it was raised first.
    pub at: Time,
    /// When it was raised last; what is given when it is raised does not count.
    pub last: Time,
    /// How often it was raised; what is given when it is raised does not count.
    pub count: u64,
    /// What kind: a stable name.
    pub kind: String,
    /// Which device, if it is about one.
    pub device: Option<DeviceName>,
    /// What happened and what to do.
    pub text: String,
    /// Whether somebody has dealt with it.
    pub acknowledged: bool,
}

/// One act of an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Time,
    /// Who.
    pub who: String,
    /// What was asked.
    pub verb: String,
    /// Of what.
    pub subject: String,
    /// `done`, or why not.
    pub outcome: String,
}

/// Published objects, alarms, the audit trail, and settings that are made once.
pub trait Journal: Send + Sync {
    /// Keeps a signed object, and of the older ones of its kind the last few.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when this version or a later one of this kind was published before.
    fn publish(&self, kind: &'static str, object: Published) -> Result<(), StoreError>;

    /// As [`Journal::publish`], if the newest of its kind is still the one of version `before`.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another one was published meanwhile.
    fn publish_after(&self, kind: &'static str, object: Published, before: Option<u64>) -> Result<(), StoreError> {
        self.publish_all(vec![(kind, object, before)])
    }

    /// As [`Journal::publish_after`], objects of several kinds: all of them or none.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another one of some kind was published meanwhile.
    fn publish_all(&self, objects: Vec<(&'static str, Published, Option<u64>)>) -> Result<(), StoreError>;

    /// The newest version of each kind.
    ///
    /// # Errors
    /// [`StoreError`].
    fn versions(&self) -> Result<Vec<(String, u64)>, StoreError>;

    /// Whether several hubs may work on this store at once.
    fn is_shared(&self) -> bool;

    /// Takes what one hub at a time may have, for some seconds of the server's clock, or keeps it. `false` while another
    /// has it. A store of one process gives it to whoever asks.
    ///
    /// # Errors
    /// [`StoreError`].
    fn hold(&self, what: &'static str, holder: [u8; 16], seconds: u32) -> Result<bool, StoreError>;

    /// Gives it back.
    ///
    /// # Errors
    /// [`StoreError`].
    fn let_go(&self, what: &'static str, holder: [u8; 16]) -> Result<(), StoreError>;

    /// The newest object of this kind.
    ///
    /// # Errors
    /// [`StoreError`].
    fn published(&self, kind: &'static str) -> Result<Option<Published>, StoreError>;

    /// The next number of a series: greater than all before it, and at least `least`.
    ///
    /// # Errors
    /// [`StoreError`].
    fn next_number(&self, series: &'static str, least: u64) -> Result<u64, StoreError>;

    /// As [`Journal::next_number`], if the last one is still `before`: nobody has taken one since.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when somebody has.
    fn next_number_after(&self, series: &'static str, least: u64, before: u64) -> Result<u64, StoreError>;

    /// The last number of a series that was taken; 0 if none was.
    ///
    /// # Errors
    /// [`StoreError`].
    fn last_number(&self, series: &'static str) -> Result<u64, StoreError>;

    /// Raises an alarm. One of the same kind about the same device that nobody has dealt with is counted up instead,
    /// and keeps its text: what comes first tells most, and a flood must not drown it.
    ///
    /// # Errors
    /// [`StoreError`].
    fn raise(&self, alarm: Alarm) -> Result<(), StoreError>;

    /// A thousand alarms: those first that nobody has dealt with, and among them the newest.
    ///
    /// # Errors
    /// [`StoreError`].
    fn alarms(&self) -> Result<Vec<Alarm>, StoreError>;

    /// Notes that an alarm was dealt with.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such alarm.
    fn acknowledge(&self, id: i64) -> Result<(), StoreError>;

    /// Writes a line of the audit trail. Lines cannot be changed or removed.
    ///
    /// # Errors
    /// [`StoreError`].
    fn note(&self, entry: AuditEntry) -> Result<(), StoreError>;

    /// The newest lines of the audit trail, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn audit(&self, limit: u32) -> Result<Vec<AuditEntry>, StoreError>;

    /// A setting that was made once.
    ///
    /// # Errors
    /// [`StoreError`].
    fn setting(&self, name: &'static str) -> Result<Option<String>, StoreError>;

    /// Makes a setting, for good.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when it was made before.
    fn set_once(&self, name: &'static str, value: &str) -> Result<(), StoreError>;
}
