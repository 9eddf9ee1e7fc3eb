//! What is known against devices, credentials and keys.

use super::{Issued, Serial, StoreError};
use medlock_trust::{CredentialId, DeviceName, KeyId, Time};

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

    /// Takes over what a status list says that was heard and that the key `by` has signed, as far as it is worse than what is
    /// known, in one new epoch; without one if nothing is, or if `by` is in wrong hands. Returns how much that was. It stands like what people have said, who
    /// make it theirs by saying the same; until then [`Standings::forget_heard`] takes it back.
    ///
    /// # Errors
    /// [`StoreError`].
    fn hear_standings(&self, heard: Vec<StandingChange>, by: KeyId, now: Time) -> Result<usize, StoreError>;

    /// Takes back, in one new epoch, whatever was heard by this key alone: all stands as people have said it, but whoever was
    /// called revoked, which may have been true, is suspended. What was heard of issuing keys stays. Returns what was taken back.
    ///
    /// # Errors
    /// [`StoreError`].
    fn forget_heard(&self, by: KeyId, now: Time) -> Result<Vec<Subject>, StoreError>;

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
