//! What this process knows: the signed objects it holds, durably, which only grow (invariant I4).
//!
//! In the directory (0700), each file replaced as a whole:
//!
//! | file | what is in it |
//! | --- | --- |
//! | `root.der` | the site's root certificate, which everything else is believed by |
//! | `site-list.cose`, `trust-list.cose`, `status.cose`, `policy.cose`, `routes.cose`, `revoked-set.cose`, `revoked-delta.cose` | the newest of each signed object |
//! | `suspensions.cose` | emergency suspensions, one after the other |
//! | `status-before.cose` | status lists from before the newest that tell a compromise which that has forgotten |
//! | `alliance.txt` | whose trust list it is: the threshold, then a member's key identifier on each line |
//! | `floor.txt` | seconds since 1970 that are certainly over |
//!
//! Reading takes no lock for longer than it takes to copy a pointer. Objects are kept as their bytes, which were
//! verified when they came or were loaded, and are opened anew for each judgement; that is a few microseconds.

mod objects;
pub mod suspensions;
mod unforgotten;

use crate::clock::Clock;
use crate::log::note::NoteError;
use crate::log::proof::Proof;
use crate::provider::{AwsLc, sha256};
use crate::routes::RoutingTable;
use crate::{Error, files};
use bytes::Bytes;
use medlock_trust::decide::{EnrolmentPermit, decide_enrolment};
use medlock_trust::list::{AuthorityState, List, MAX_SKEW_SECONDS, Pinned};
use medlock_trust::log::Logged;
use medlock_trust::path::AuthorityKind;
use medlock_trust::policy::Setting;
use medlock_trust::status::StatusList;
use medlock_trust::x509::{Certificate, Name};
use medlock_trust::{
    Anchor, Bond, Budget, Denied, Identified, Interval, KeyId, Knowledge, Operation, Policy, Time, Unidentified,
    Verdict, authenticate, decide, decide_standing,
};
use objects::{Object, Objects};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use tokio::sync::watch;

pub use objects::Refused;

const ROOT: &str = "root.der";
const ALLIANCE: &str = "alliance.txt";
const FLOOR: &str = "floor.txt";
/// How far the floor may move beyond what is known, or what the root has signed, where our own clock is wrong: a poisoned
/// object costs a year, and a thousand of them no more.
const FLOOR_STEP_SECONDS: i64 = 366 * 86_400;
/// How far objects may move the floor beyond our own clock, as long as nothing shows that it is wrong: more than clocks differ,
/// and what a signer whose clock was ahead has done is over in that time.
const FLOOR_AHEAD_SECONDS: i64 = 600;
/// The most proofs for cut-offs that are remembered: 48 bytes each, for the peers of today.
const MAX_LOGGED: usize = 4_096;

/// The kinds of signed objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The site's list of its authorities and service keys.
    SiteList,
    /// An alliance's list of makers.
    TrustList,
    /// Emergency suspensions of authorities, as a sequence of signed objects.
    Suspensions,
    /// What is known against credentials, devices and issuers.
    Status,
    /// The continuity policy.
    Policy,
    /// The routing table.
    Routes,
    /// How all credentials of the authority stand, in few bits.
    RevokedSet,
    /// What has changed since that.
    RevokedDelta,
}

impl Kind {
    /// All kinds, in the order in which they can be believed.
    pub const ALL: [Self; 8] = [
        Self::SiteList,
        Self::TrustList,
        Self::Suspensions,
        Self::Status,
        Self::Policy,
        Self::Routes,
        Self::RevokedSet,
        Self::RevokedDelta,
    ];

    /// The stable name, in paths and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SiteList => "site-list",
            Self::TrustList => "trust-list",
            Self::Suspensions => "suspensions",
            Self::Status => "status",
            Self::Policy => "policy",
            Self::Routes => "routes",
            Self::RevokedSet => "revoked-set",
            Self::RevokedDelta => "revoked-delta",
        }
    }

    /// Whether it may be of megabytes: then the news tell that there is a new one, and who wants it fetches it.
    #[must_use]
    pub const fn is_fetched(self) -> bool {
        matches!(self, Self::RevokedSet | Self::RevokedDelta)
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The file's name in a folder of knowledge.
    #[must_use]
    pub fn file(self) -> String {
        format!("{}.cose", self.name())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of an object that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is newer than the one held and took its place, durably.
    New {
        /// Its version.
        version: u64,
    },
    /// It is the one held.
    Known {
        /// Its version.
        version: u64,
    },
}

/// Why a proof for a cut-off is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotLogged {
    /// The chain leads to no authority of the lists held.
    #[error("the credential is not one of the lists held: {0}")]
    Unidentified(Unidentified),
    /// The authority has no cut-off: the credential needs no proof.
    #[error("the credential's authority has no cut-off on the lists held: no proof is needed")]
    NoCutoff,
    /// It is no proof.
    #[error("the proof cannot be read: {0}")]
    Proof(NoteError),
    /// It does not lead from the credential to the state of the log that the list names.
    #[error("the proof does not lead to the log's state at the cut-off: ask the log for one at that size")]
    Absent,
}

/// Says who comes back.
type Returning = Box<dyn Fn(&Identified) -> bool + Send + Sync>;

/// What this process knows.
pub struct KnowledgeBase {
    directory: Option<PathBuf>,
    clock: Clock,
    setting: Setting,
    current: RwLock<Arc<Snapshot>>,
    /// Proofs for authorities whose credentials count up to a cut-off only, the newest last. They come again with the
    /// credentials, so they are not written to disk.
    logged: RwLock<VecDeque<Logged>>,
    /// Who comes back though the key that issued its credential is in wrong hands; nobody unless a hub says so.
    returning: OnceLock<Returning>,
    /// Orders the writers.
    writer: Mutex<()>,
    changes: watch::Sender<u64>,
}

/// What is known at one moment.
#[derive(Clone, Default)]
struct Snapshot {
    root: Option<Root>,
    alliance: Option<Alliance>,
    objects: Objects,
    floor: Option<Time>,
    /// The latest time that an object held says is over, whatever our clock bounds the floor by.
    said: Option<Time>,
}

#[derive(Clone)]
struct Root {
    der: Bytes,
    key: KeyId,
}

/// The members of an alliance that were pinned by hand, and how many of them must sign.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Alliance {
    threshold: u8,
    members: Arc<[KeyId]>,
}

impl KnowledgeBase {
    /// Opens what is in `directory`, which is made if it is not there. Every object is verified again.
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::Damaged`] naming the file that does not hold what was written.
    pub fn open(directory: &Path, clock: Clock, setting: Setting) -> Result<Arc<Self>, Error> {
        files::private_directory(directory)?;
        files::sweep(directory)?;
        let snapshot = Snapshot::load(directory)?;
        Ok(Arc::new(Self::starting(Some(directory.to_owned()), clock, setting, snapshot)))
    }

    /// Knows nothing, and forgets everything at its end.
    #[must_use]
    pub fn in_memory(clock: Clock, setting: Setting) -> Arc<Self> {
        Arc::new(Self::starting(None, clock, setting, Snapshot::default()))
    }

    fn starting(directory: Option<PathBuf>, clock: Clock, setting: Setting, snapshot: Snapshot) -> Self {
        let current = RwLock::new(Arc::new(snapshot));
        let (logged, returning, changes) = (RwLock::default(), OnceLock::new(), watch::channel(0).0);
        Self { directory, clock, setting, current, logged, returning, writer: Mutex::new(()), changes }
    }

    /// Pins the site's root certificate: everything else is believed by it. Pinning the same again does nothing.
    ///
    /// # Errors
    /// [`Error::Certificate`] if it cannot be read, [`Error::NotReady`] if another root is pinned already.
    pub fn pin_root(&self, der: &[u8]) -> Result<(), Error> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut snapshot = Snapshot::clone(&self.snapshot());
        match &snapshot.root {
            Some(held) if held.der == der => return Ok(()),
            Some(_) => {
                return Err(Error::NotReady(
                    "this folder belongs to another site already: name another one; a machine that goes to another site gets a new state directory",
                ));
            }
            None => {}
        }
        snapshot.root = Some(Root::new(der).map_err(Error::Certificate)?);
        self.write(ROOT, der)?;
        self.publish(snapshot);
        Ok(())
    }

    /// Whether this certificate (DER) is of a root of the site that is believed here: the pinned one, or one that took its
    /// place, as the site list says that is held.
    #[must_use]
    pub fn is_root_of_site(&self, der: &[u8]) -> bool {
        let snapshot = self.snapshot();
        let Some(pinned) = &snapshot.root else { return false };
        if pinned.der == der {
            return true;
        }
        let Ok(root) = Certificate::from_der(der) else { return false };
        let (key, list) = (root.key_id(&AwsLc), snapshot.objects.list(Kind::SiteList));
        list.is_some_and(|list| {
            let listed = list.authority(key).filter(|_| list.member(key).is_some());
            listed.is_some_and(|listed| {
                listed.kind == AuthorityKind::Site
                    && listed.state == AuthorityState::Listed
                    && listed.spki == root.spki()
                    && Name::from_der(listed.subject).is_ok_and(|name| name.matches(&root.subject()))
            })
        })
    }

    /// Pins whose trust list is believed at first: the keys of an alliance's members, and how many of them must sign.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::NotReady`] if a trust list is held already.
    pub fn pin_alliance(&self, members: &[KeyId], threshold: u8) -> Result<(), Error> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut snapshot = Snapshot::clone(&self.snapshot());
        let alliance = Alliance { threshold, members: members.into() };
        if snapshot.alliance.as_ref() == Some(&alliance) {
            return Ok(());
        }
        if snapshot.objects.get(Kind::TrustList).is_some() {
            return Err(Error::NotReady(
                "a trust list of another alliance is held; remove trust-list.cose to change it",
            ));
        }
        self.write(ALLIANCE, alliance.to_text().as_bytes())?;
        snapshot.alliance = Some(alliance);
        self.publish(snapshot);
        Ok(())
    }

    /// The site's root certificate (DER), if it is pinned.
    #[must_use]
    pub fn root(&self) -> Option<Bytes> {
        self.snapshot().root.as_ref().map(|root| root.der.clone())
    }

    /// The first 16 bytes of the SHA-256 of the site's root certificate.
    #[must_use]
    pub fn root_fingerprint(&self) -> Option<[u8; 16]> {
        sha256(&self.root()?)[..16].try_into().ok()
    }

    /// The name of the site, from its list.
    #[must_use]
    pub fn site_name(&self) -> Option<String> {
        let snapshot = self.snapshot();
        let list = snapshot.objects.list(Kind::SiteList)?;
        Some(list.heading().name.to_owned())
    }

    /// Takes an object if it is newer than the one held and rightly signed. It is in force before it is written, so
    /// that a slow disk delays no bad news, and durable when this returns `New`. Writes to disk: call it where blocking
    /// for some milliseconds does no harm.
    ///
    /// # Errors
    /// [`Refused`]: it is older, not signed by whom it must be, or not what it says. [`Refused::NotStored`]: it is in
    /// force, and will be forgotten when this process ends.
    pub fn accept(&self, kind: Kind, object: &[u8]) -> Result<Accepted, Refused> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.snapshot();
        if let Some(held) = held.objects.get(kind)
            && held.bytes == object
        {
            return Ok(Accepted::Known { version: held.version });
        }
        let root = held.root.as_ref().map(|root| root.key);
        let pinned = held.alliance.as_ref().map(Alliance::pinned);
        // What issuing keys say takes no bound from what roots and members sign.
        let time = if self.is_clock_wrong(&held) { self.time_with(held.floor) } else { self.clock.interval() };
        let new = held.objects.verify(kind, Bytes::copy_from_slice(object), root, pinned, time)?;
        if let Some(held) = held.objects.get(kind)
            && held.bytes == new.bytes
        {
            return Ok(Accepted::Known { version: held.version });
        }
        let mut snapshot = Snapshot::clone(&held);
        let (version, bytes) = (new.version, new.bytes.clone());
        snapshot.objects.set(kind, new);
        let [before, after] = [&held, &snapshot].map(|of| of.objects.unforgotten().to_bytes());
        let floor = snapshot.objects.proves(kind).and_then(|proven| self.raised(&held, kind, proven));
        snapshot.floor = floor.or(snapshot.floor);
        self.publish(snapshot);
        let write = |name: &str, content: &[u8]| {
            self.write(name, content).map_err(|error| Refused::NotStored(error.to_string()))
        };
        // Wherever this is cut off, what was told is in one of the files.
        let both = [before.as_slice(), after.as_slice()].concat();
        if before != after && !after.is_empty() {
            write(unforgotten::FILE, &both)?;
        }
        write(&kind.file(), &bytes)?;
        if before != after && both != after {
            write(unforgotten::FILE, &after)?;
        }
        if let Some(floor) = floor {
            write(FLOOR, format!("{}\n", floor.unix()).as_bytes())?;
        }
        Ok(Accepted::New { version })
    }

    /// Takes from what one's own store has kept the emergency suspensions that are over, so that few members cannot repeat them
    /// at a process which has not heard them itself. Those that count come like all objects, by [`KnowledgeBase::accept`].
    ///
    /// # Errors
    /// [`Refused::Suspension`] when there is no room; [`Refused::NotStored`].
    pub fn remember_suspensions(&self, kept: &[u8]) -> Result<(), Refused> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (kind, held) = (Kind::Suspensions, self.snapshot());
        let before = held.objects.get(kind).map_or(&[][..], |held| &held.bytes);
        let all = suspensions::with_remembered(before, kept, &held.objects.lists(), self.time_at(&held))?;
        let Some(all) = all else { return Ok(()) };
        let mut snapshot = Snapshot::clone(&held);
        snapshot.objects.set(kind, held.objects.reopen(kind, Bytes::from(all.clone()))?);
        self.publish(snapshot);
        self.write(&kind.file(), &all).map_err(|error| Refused::NotStored(error.to_string()))
    }

    /// Takes the proof (C2SP tlog-proof) that a credential was in its authority's log at the cut-off of the list held.
    /// Whose signature the proof carries does not matter: the members of the list signed the log's state themselves.
    ///
    /// # Errors
    /// [`NotLogged`].
    pub fn believe_logged(&self, chain: &[CertificateDer<'_>], proof: &[u8]) -> Result<(), NotLogged> {
        let peer = self.identify(chain).map_err(NotLogged::Unidentified)?;
        let authority = peer.authority().ok_or(NotLogged::NoCutoff)?;
        let snapshot = self.snapshot();
        let lists = snapshot.objects.lists();
        let cutoff = lists.iter().find_map(|list| list.standing(authority)?.cutoff).ok_or(NotLogged::NoCutoff)?;
        let proof = Proof::read(proof).map_err(NotLogged::Proof)?;
        let leaf = chain.first().and_then(|der| Certificate::from_der(der).ok()).ok_or(NotLogged::NoCutoff)?;
        let logged = Logged::verify(&leaf, cutoff, proof.index, &proof.path, &AwsLc).ok_or(NotLogged::Absent)?;
        let mut all = self.logged.write().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&logged) {
            if all.len() == MAX_LOGGED {
                all.pop_front();
            }
            all.push_back(logged);
        }
        Ok(())
    }

    /// The object held, as it came.
    #[must_use]
    pub fn object(&self, kind: Kind) -> Option<Bytes> {
        self.snapshot().objects.get(kind).map(|object| object.bytes.clone())
    }

    /// The version of the object held.
    #[must_use]
    pub fn version(&self, kind: Kind) -> Option<u64> {
        self.snapshot().objects.get(kind).map(|object| object.version)
    }

    /// The status lists, as they came, that were held before the newest and tell a compromise which that has forgotten: their
    /// records are in force beside its own. Whoever signs the newest does not know them, and is to be told.
    #[must_use]
    pub fn unforgotten(&self) -> Vec<Bytes> {
        self.snapshot().objects.unforgotten().objects().cloned().collect()
    }

    /// The routing table; without machines until there is one.
    #[must_use]
    pub fn routes(&self) -> Arc<RoutingTable> {
        self.snapshot().objects.routes()
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.snapshot().objects.policy()
    }

    /// Counts the changes of what is known.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The clock.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The bounds of the present: what the clock says; only a lower bound if the clock is behind what signed objects
    /// prove, or by more than a day behind what one of those held says: its signer's clock was ahead, or ours is late.
    #[must_use]
    pub fn time(&self) -> Interval {
        self.time_at(&self.snapshot())
    }

    fn time_at(&self, snapshot: &Snapshot) -> Interval {
        let now = self.clock.now();
        // Our clock is late, or a signer's was ahead: nobody knows how late it may be.
        let is_late = snapshot.said.is_some_and(|said| said.seconds_since(now) > MAX_SKEW_SECONDS);
        let time = self.time_with(snapshot.floor);
        if is_late { Interval::since(time.earliest()) } else { time }
    }

    fn time_with(&self, floor: Option<Time>) -> Interval {
        match floor {
            Some(floor) if floor > self.clock.now() => Interval::since(floor),
            _ => self.clock.interval(),
        }
    }

    /// Who has this chain (its own certificate first), by the authorities of the lists held. Says nothing of expiry or
    /// status.
    ///
    /// # Errors
    /// Why it is nobody we believe.
    pub fn identify(&self, chain: &[CertificateDer<'_>]) -> Result<Identified, Unidentified> {
        let snapshot = self.snapshot();
        let lists = snapshot.objects.lists();
        let anchors: Vec<Anchor<'_>> =
            lists.iter().flat_map(List::authorities).filter_map(|authority| authority.anchor()).collect();
        let ders: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
        authenticate(&ders, &anchors, &mut Budget::default(), &AwsLc)
    }

    /// What `who` may still do.
    pub fn judge(&self, who: &Identified, operation: Operation) -> Verdict {
        self.judge_with_bond(who, operation, None)
    }

    /// What `who` may still do, with the bond it has here.
    pub fn judge_with_bond(&self, who: &Identified, operation: Operation, bond: Option<&Bond>) -> Verdict {
        self.with_knowledge_of(who, |knowledge, policy| decide(who, operation, knowledge, policy, bond))
    }

    /// Whether `who` may enrol with its birth credential.
    ///
    /// # Errors
    /// The denial.
    pub fn judge_enrolment(&self, who: &Identified) -> Result<EnrolmentPermit, Denied> {
        self.with_knowledge_of(who, |knowledge, policy| decide_enrolment(who, knowledge, policy))
    }

    /// Whether `who` may be listened to as what its role says: see [`decide_standing`].
    ///
    /// # Errors
    /// The denial.
    pub fn judge_standing(&self, who: &Identified) -> Result<(), Denied> {
        self.with_knowledge_of(who, |knowledge, policy| decide_standing(who, knowledge, policy))
    }

    /// Lets `returning` say, from now on, who keeps or gets a session to renew in, though the key that issued its credential
    /// is compromised: a hub knows what it has issued itself. Only the first call counts.
    pub fn let_return(&self, returning: impl Fn(&Identified) -> bool + Send + Sync + 'static) {
        let _ = self.returning.set(Box::new(returning));
    }

    /// Whether `who`, who is denied everything because of its issuer, comes back all the same.
    pub(crate) fn returns(&self, who: &Identified) -> bool {
        self.returning.get().is_some_and(|returning| returning(who))
    }

    /// Calls `judge` with all that is known at this moment, of nobody in particular.
    pub fn with_knowledge<T>(&self, judge: impl FnOnce(&Knowledge<'_>, &Policy) -> T) -> T {
        self.with(None, judge)
    }

    /// Calls `judge` with all that is known at this moment, and what the compact set says of `who`.
    pub fn with_knowledge_of<T>(&self, who: &Identified, judge: impl FnOnce(&Knowledge<'_>, &Policy) -> T) -> T {
        self.with(Some(who), judge)
    }

    fn with<T>(&self, who: Option<&Identified>, judge: impl FnOnce(&Knowledge<'_>, &Policy) -> T) -> T {
        let snapshot = self.snapshot();
        let lists = snapshot.objects.lists();
        let newest = snapshot.objects.get(Kind::Status).and_then(|object| StatusList::danger_open(&object.bytes).ok());
        let status: Vec<StatusList<'_>> = newest.into_iter().chain(snapshot.objects.unforgotten().lists()).collect();
        let suspensions = snapshot.objects.suspensions();
        let logged = self.logged.read().unwrap_or_else(PoisonError::into_inner);
        let logged: Vec<Logged> = logged.iter().copied().collect();
        let knowledge = Knowledge {
            lists: &lists,
            suspensions: &suspensions,
            logged: &logged,
            status: &status,
            compact: who.and_then(|who| snapshot.objects.compact(who, self.clock.now())),
            ..Knowledge::nothing(self.time_at(&snapshot), self.setting)
        };
        judge(&knowledge, &snapshot.objects.policy())
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self, mut snapshot: Snapshot) {
        snapshot.said = snapshot.objects.said();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        self.changes.send_modify(|count| *count += 1);
    }

    /// The floor after an object of this kind that proves `proven` to be over; `None` if that is nothing new.
    ///
    /// Our own clock bounds what one may prove. It is wrong if it is more than a day behind the floor, or behind a list that is
    /// held: then each list may move the floor by a step, and all other objects together by a step beyond the newest list,
    /// because whoever has stolen a key that signs them has not the root's.
    fn raised(&self, held: &Snapshot, kind: Kind, proven: Time) -> Option<Time> {
        let (floor, now) = (held.floor, self.clock.now());
        let listed = listed(held);
        let most = match kind {
            _ if !self.is_clock_wrong(held) => now.plus_seconds(FLOOR_AHEAD_SECONDS),
            Kind::SiteList | Kind::TrustList => {
                floor.map_or(now, |floor| floor.max(now)).plus_seconds(FLOOR_STEP_SECONDS)
            }
            _ => listed?.plus_seconds(FLOOR_STEP_SECONDS),
        };
        let raised = proven.min(most);
        floor.is_none_or(|floor| raised > floor).then_some(raised)
    }

    /// Whether our clock is far behind what roots and members have signed, or a floor that came of it.
    fn is_clock_wrong(&self, held: &Snapshot) -> bool {
        let proven = held.floor.max(listed(held));
        proven.is_some_and(|proven| proven.seconds_since(self.clock.now()) > MAX_SKEW_SECONDS)
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        self.directory.as_ref().map_or(Ok(()), |directory| files::replace(&directory.join(name), content))
    }
}

/// When the newest list was issued.
fn listed(held: &Snapshot) -> Option<Time> {
    held.objects.lists().iter().map(|list| list.heading().issued).max()
}

impl fmt::Debug for KnowledgeBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnowledgeBase").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Root {
    fn new(der: &[u8]) -> Result<Self, String> {
        let certificate = Certificate::from_der(der).map_err(|error| error.to_string())?;
        Ok(Self { der: Bytes::copy_from_slice(der), key: certificate.key_id(&AwsLc) })
    }
}

impl Alliance {
    fn pinned(&self) -> Pinned<'_> {
        Pinned::Members { keys: &self.members, threshold: self.threshold }
    }

    fn to_text(&self) -> String {
        self.members.iter().fold(format!("{}\n", self.threshold), |text, member| format!("{text}{member}\n"))
    }

    fn from_text(text: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(text).ok()?.lines();
        let threshold = lines.next()?.parse().ok()?;
        let member = |line: &str| {
            let bytes = data_encoding::HEXLOWER.decode(line.as_bytes()).ok()?;
            Some(KeyId::from_bytes(bytes.try_into().ok()?))
        };
        Some(Self { threshold, members: lines.map(member).collect::<Option<_>>()? })
    }
}

impl Snapshot {
    fn load(directory: &Path) -> Result<Self, Error> {
        let read = |name: &str| files::read(&directory.join(name));
        let damaged = |name: &str, what: String| Error::Damaged {
            path: directory.join(name),
            what,
            remedy: "move it away: the hub gives it again, and nothing older will be taken from it",
        };
        let mut snapshot = Self::default();
        if let Some(der) = read(ROOT)? {
            snapshot.root = Some(Root::new(&der).map_err(|what| Error::Damaged {
                path: directory.join(ROOT),
                what,
                remedy: "remove the state directory and enrol again with a new code",
            })?);
        }
        if let Some(text) = read(ALLIANCE)? {
            let alliance = Alliance::from_text(&text);
            let what = "it does not hold a threshold and key identifiers";
            snapshot.alliance = Some(alliance.ok_or_else(|| Error::Damaged {
                path: directory.join(ALLIANCE),
                what: what.to_owned(),
                remedy: "remove it and pin the alliance again",
            })?);
        }
        if let Some(text) = read(FLOOR)? {
            let seconds = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
            let seconds = seconds.ok_or_else(|| damaged(FLOOR, "it is not a number of seconds".to_owned()))?;
            snapshot.floor = Some(Time::from_unix(seconds));
        }
        for kind in Kind::ALL {
            if let Some(bytes) = read(&kind.file())? {
                let object = snapshot.objects.reopen(kind, bytes.into());
                let object: Object = object.map_err(|refused| damaged(&kind.file(), refused.to_string()))?;
                snapshot.objects.set(kind, object);
            }
        }
        if let Some(file) = read(unforgotten::FILE)? {
            let (all, whole) = unforgotten::each(&file);
            let all: Result<Vec<Object>, _> =
                all.into_iter().map(|bytes| snapshot.objects.reopen(Kind::Status, bytes)).collect();
            let damaged = |what: String| Error::Damaged {
                path: directory.join(unforgotten::FILE),
                what,
                remedy: "move it away when the hub's status list has the devices that were stolen",
            };
            if !whole {
                return Err(damaged("it is no sequence of signed objects".to_owned()));
            }
            let mut all = all.map_err(|refused| damaged(refused.to_string()))?;
            // Those that were given at a restore may be all that there is.
            if snapshot.objects.get(Kind::Status).is_none()
                && let Some(last) = all.pop()
            {
                snapshot.objects.set(Kind::Status, last);
            }
            snapshot.objects.keep_unforgotten(all);
        }
        snapshot.said = snapshot.objects.said();
        Ok(snapshot)
    }
}
