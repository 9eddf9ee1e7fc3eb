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
mod register;
mod serial;
mod server;
mod sql;
mod standings;

pub use log::{Log, LogEntry, LogTile, SignedCheckpoint};
/// Why the store did not do it.
pub use medlock_store::Error as StoreError;
pub use owners::{Owner, OwnerEvent, Owners};
pub use pledges::{Pledge, PledgeRoom, Pledges};
pub use register::{Claim, CodeRecord, CodeState, DeviceSearch, Enrolment, PendingRequest, PendingState, Register};
pub use serial::Serial;
pub use server::ServerConfig;
pub use sql::{Server, SqlStore};
pub use standings::{
    CredentialState, Holding, Life, Met, MetCertificate, Revoked, Standing, StandingChange, StandingState, Standings,
    Subject,
};

use medlock_trust::{CredentialId, DeviceName, KeyId, Time};
use std::collections::HashMap;

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

/// What there is to know of a device and a key before the device gets a certificate for the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// The state of things, as [`Issuances::turn_of`] tells it.
    pub turn: Turn,
    /// What is known against the device.
    pub against: Option<Standing>,
    /// The device's certificates, newest first.
    pub of_device: Vec<Issued>,
    /// The certificates that were made for the key, newest first.
    pub of_key: Vec<Issued>,
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

    /// What there is to know of this device and this key, all at one instant.
    ///
    /// # Errors
    /// [`StoreError`].
    fn past(&self, device: DeviceName, key: KeyId) -> Result<Past, StoreError>;

    /// As [`Issuances::record`], if nothing was recorded for its device or its key since `turn`, nothing of them
    /// waited for its certificate at another hub, and [`Issuances::end_turns_of`] was not asked. So of several hubs that answer requests
    /// about one device at once, one records: what the others have looked up is no longer so.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the turn is over, or an operational credential's device is not in the register; else as [`Issuances::record`].
    fn record_in_turn(&self, record: Record, turn: Turn) -> Result<(), StoreError>;

    /// Records what is about to be signed together, each with its turn if it has one, as [`Issuances::record_in_turn`] and
    /// [`Issuances::record`] do: one outcome for each, in their order, and one that fails takes no other with it.
    fn record_all(&self, records: Vec<(Record, Option<Turn>)>) -> Vec<Result<(), StoreError>> {
        let one = |(record, turn)| match turn {
            Some(turn) => self.record_in_turn(record, turn),
            None => self.record(record),
        };
        records.into_iter().map(one).collect()
    }

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

    /// Adds certificates to their records together, as [`Issuances::complete`] does: one outcome for each, in their order, and
    /// one that fails takes no other with it.
    fn complete_all(&self, certificates: Vec<(Serial, CredentialId, Vec<u8>)>) -> Vec<Result<(), StoreError>> {
        let one = |(serial, credential, certificate)| self.complete(serial, credential, certificate);
        certificates.into_iter().map(one).collect()
    }

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

/// How many alarms of one kind about one subject are open at most, each with its own text.
pub const ALARM_TEXTS: u64 = 4;
/// How many alarms of one kind about one device, or about none, are open at most.
pub const ALARM_SUBJECTS: u64 = 32;

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
    /// Whom or what it is about, where its kind and device do not say that; else empty.
    pub subject: String,
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

    /// The server's clock, which all hubs on the store see; `None` where the store is of one process.
    ///
    /// # Errors
    /// [`StoreError`].
    fn server_time(&self) -> Result<Option<Time>, StoreError>;

    /// Takes what one hub at a time may have, for some seconds of the server's clock, or keeps it. `false` while another
    /// has it. A store of one process gives it to whoever asks.
    ///
    /// # Errors
    /// [`StoreError`].
    fn hold(&self, what: &str, holder: [u8; 16], seconds: u32) -> Result<bool, StoreError>;

    /// The names of the hubs that have said of late that they work on this store; none where it is of one process.
    ///
    /// # Errors
    /// [`StoreError`].
    fn hubs_at_work(&self) -> Result<Vec<String>, StoreError>;

    /// The hubs that have said that their clock is the server's.
    ///
    /// # Errors
    /// [`StoreError`].
    fn clocks_of_the_server(&self) -> Result<Vec<String>, StoreError>;

    /// Gives it back.
    ///
    /// # Errors
    /// [`StoreError`].
    fn let_go(&self, what: &str, holder: [u8; 16]) -> Result<(), StoreError>;

    /// The newest object of this kind.
    ///
    /// # Errors
    /// [`StoreError`].
    fn published(&self, kind: &'static str) -> Result<Option<Published>, StoreError>;

    /// The next number of a series: greater than all before it, and at least `least`.
    ///
    /// # Errors
    /// [`StoreError`].
    fn next_number(&self, series: &str, least: u64) -> Result<u64, StoreError>;

    /// As [`Journal::next_number`], if the last one is still `before`: nobody has taken one since.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when somebody has.
    fn next_number_after(&self, series: &'static str, least: u64, before: u64) -> Result<u64, StoreError>;

    /// The last number of a series that was taken; 0 if none was.
    ///
    /// # Errors
    /// [`StoreError`].
    fn last_number(&self, series: &str) -> Result<u64, StoreError>;

    /// Raises an alarm, or counts one up that nobody has dealt with.
    ///
    /// Without a subject that is the one of its kind about its device, which keeps its text: what comes first tells most.
    /// With one it is the one of the same subject and text. Lest a flood drown others, [`ALARM_TEXTS`] are kept of one subject
    /// and [`ALARM_SUBJECTS`] of one kind and device; behind that the newest of them takes what is new.
    ///
    /// # Errors
    /// [`StoreError`].
    fn raise(&self, alarm: Alarm) -> Result<(), StoreError>;

    /// A thousand alarms: those first that nobody has dealt with, and among them the newest.
    ///
    /// # Errors
    /// [`StoreError`].
    fn alarms(&self) -> Result<Vec<Alarm>, StoreError>;

    /// The newest alarm of this kind about this device, whether or not somebody has dealt with it.
    ///
    /// # Errors
    /// [`StoreError`].
    fn last_alarm(&self, kind: &str, device: DeviceName) -> Result<Option<Alarm>, StoreError>;

    /// Of these devices those about which there is an alarm of this kind, each with its newest.
    ///
    /// # Errors
    /// [`StoreError`].
    fn last_alarms(&self, kind: &str, devices: &[DeviceName]) -> Result<HashMap<DeviceName, Alarm>, StoreError>;

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
