//! The signed objects of one moment, and when a further one is believed.

use super::unforgotten::Unforgotten;
use super::{Kind, suspensions};
use crate::provider::AwsLc;
use crate::routes::{RoutesError, RoutingTable};
use bytes::Bytes;
use medlock_trust::cose::{self, Sign1};
use medlock_trust::crypto::PublicKey;
use medlock_trust::list::{self, List, Pinned, Purpose, Service, Suspension, SuspensionRefused};
use medlock_trust::status::{self, RevokedSet, SetAnswer, StatusList, set};
use medlock_trust::{Identified, Interval, KeyId, Policy, Time, policy};
use std::sync::Arc;

/// Why an object was not taken. What is held stays in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// There is no root certificate to believe anything by.
    #[error("no site root is pinned yet; enrol first")]
    NoRoot,
    /// Nobody has said whose trust list is believed.
    #[error("no alliance is pinned: import the trust list with its members' keys")]
    NoAlliance,
    /// The site list that names its signer is missing.
    #[error("there is no site list yet that names its signer")]
    NoSiteList,
    /// An emergency suspension that is not believed.
    #[error("the suspension is not taken: {0}")]
    Suspension(SuspensionRefused),
    /// A list of the wrong kind, or not believed.
    #[error("the list is not taken: {0}")]
    List(list::Refused),
    /// A site list where a trust list is due, or the reverse.
    #[error("the list is not taken: it is a list of another kind")]
    ListKind,
    /// A status list that is not believed.
    #[error("the status list is not taken: {0}")]
    Status(status::Refused),
    /// A compact set, or the changes of one, that is not believed.
    #[error("the compact set is not taken: {0}")]
    Set(status::Refused),
    /// A set that says changes where one that stands for itself is due, or the reverse.
    #[error("the compact set is not taken: it is of the other kind")]
    SetKind,
    /// It covers credentials of a time that has not come: it would answer for some of which it knows nothing.
    #[error(
        "the compact set is not taken: it covers credentials up to {0}, which has not come; the clock here or the hub's is wrong"
    )]
    SetAhead(Time),
    /// The changes are of another set than the one held.
    #[error("the changes are not taken: they are since another compact set than the one held; fetch that first")]
    OtherBase,
    /// A policy that is not believed.
    #[error("the policy is not taken: {0}")]
    Policy(policy::Refused),
    /// A routing table that is not believed.
    #[error("the routing table is not taken: {0}")]
    Routes(RoutesError),
    /// A routing table that is not newer.
    #[error("the routing table is not taken: version {given} is not newer than version {held}, which is held")]
    RoutesNotNewer {
        /// Version held.
        held: u64,
        /// Version given.
        given: u64,
    },
    /// It is in force, but could not be made durable.
    #[error("the object is in force until this process ends, but could not be stored: {0}")]
    NotStored(String),
}

impl From<list::Refused> for Refused {
    fn from(refused: list::Refused) -> Self {
        Self::List(refused)
    }
}

impl From<SuspensionRefused> for Refused {
    fn from(refused: SuspensionRefused) -> Self {
        Self::Suspension(refused)
    }
}

impl From<status::Refused> for Refused {
    fn from(refused: status::Refused) -> Self {
        Self::Status(refused)
    }
}

impl From<policy::Refused> for Refused {
    fn from(refused: policy::Refused) -> Self {
        Self::Policy(refused)
    }
}

impl From<RoutesError> for Refused {
    fn from(refused: RoutesError) -> Self {
        Self::Routes(refused)
    }
}

/// One object that was verified.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) version: u64,
    /// When it was signed, as it says.
    issued: Option<Time>,
    parsed: Parsed,
}

#[derive(Clone, Debug)]
enum Parsed {
    /// Opened anew each time, as a view of its bytes.
    View,
    Policy(Policy),
    Routes(Arc<RoutingTable>),
}

/// The newest object of each kind, and the status lists before that tell what the newest one has forgotten.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    newest: [Option<Object>; Kind::ALL.len()],
    unforgotten: Unforgotten,
}

impl Objects {
    pub(super) const fn get(&self, kind: Kind) -> Option<&Object> {
        self.newest[kind as usize].as_ref()
    }

    pub(super) fn set(&mut self, kind: Kind, object: Object) {
        let before = self.newest[kind as usize].replace(object);
        if kind == Kind::Status {
            self.keep_unforgotten(before);
        }
    }

    /// The status lists before the newest, each with a compromise which that does not tell.
    pub(super) const fn unforgotten(&self) -> &Unforgotten {
        &self.unforgotten
    }

    /// Adds status lists that were held before the newest, as far as that does not tell what they do.
    pub(super) fn keep_unforgotten(&mut self, before: impl IntoIterator<Item = Object>) {
        let mut all = std::mem::take(&mut self.unforgotten);
        let newest = self.get(Kind::Status).and_then(status_of).zip(self.list(Kind::SiteList));
        if let Some((newest, list)) = newest {
            let counts = |held: &Object| {
                let told = spoken_for(&list, held);
                told.is_some_and(|told| list.are_one(told.heading().authority, newest.heading().authority))
            };
            all.add(before, &newest, counts);
        }
        self.unforgotten = all;
    }

    pub(super) fn list(&self, kind: Kind) -> Option<List<'_>> {
        List::danger_open(&self.get(kind)?.bytes).ok()
    }

    /// The site list and the trust list, as far as they are there.
    pub(super) fn lists(&self) -> Vec<List<'_>> {
        [Kind::SiteList, Kind::TrustList].into_iter().filter_map(|kind| self.list(kind)).collect()
    }

    pub(super) fn suspensions(&self) -> Vec<Suspension<'_>> {
        self.get(Kind::Suspensions).map_or_else(Vec::new, |held| suspensions::opened(&held.bytes).collect())
    }

    /// The object held, if what takes its place must be newer. Where its signer has left the site list, or speaks for another
    /// root there, that need not be: a thief of the key may have made it, with the highest number there is. Nothing older comes in that way, because whatever
    /// that key has signed is not believed any more, and its successor has signed nothing before.
    fn in_order(&self, kind: Kind) -> Option<&Object> {
        let held = self.by_listed(kind)?;
        // Under a new root the same key goes on in the name of another authority.
        let told = match kind {
            Kind::Status => StatusList::danger_open(&held.bytes).ok()?.heading().authority,
            Kind::RevokedSet | Kind::RevokedDelta => RevokedSet::danger_open(&held.bytes).ok()?.heading().authority,
            Kind::SiteList | Kind::TrustList | Kind::Suspensions | Kind::Policy | Kind::Routes => return Some(held),
        };
        let signed = Sign1::read(&held.bytes).ok()?;
        let service = self.list(Kind::SiteList)?.service(Purpose::Status, signed.key())?;
        (service.authority == told).then_some(held)
    }

    /// The object held, unless the key that signed it has left the site list.
    fn by_listed(&self, kind: Kind) -> Option<&Object> {
        let held = self.get(kind)?;
        let purpose = match kind {
            Kind::SiteList | Kind::TrustList | Kind::Suspensions => return Some(held),
            Kind::Status | Kind::RevokedSet | Kind::RevokedDelta => Purpose::Status,
            Kind::Policy => Purpose::Policy,
            Kind::Routes => Purpose::Routes,
        };
        let signed = Sign1::read(&held.bytes).ok()?;
        self.list(Kind::SiteList)?.service(purpose, signed.key()).map(|_| held)
    }

    /// Whether a status list may take the place of the one held: it is newer where that is asked, and there is room beside it
    /// for those that tell a compromise which it forgets, in the name of its authority or of a root whose place that has taken.
    fn check_status(&self, new: &StatusList<'_>, list: &List<'_>) -> Result<(), status::Refused> {
        let checked = match self.in_order(Kind::Status).and_then(status_of) {
            Some(held) => new.succeeds(&held),
            None => match self.get(Kind::Status).and_then(|held| spoken_for(list, held)) {
                Some(held) if list.are_one(held.heading().authority, new.heading().authority) => new.remembers(&held),
                Some(_) | None => Ok(()),
            },
        };
        match checked {
            Err(status::Refused::CompromiseForgotten(_)) if self.unforgotten.has_room(new) => Ok(()),
            other => other,
        }
    }

    fn set_held(&self, kind: Kind) -> Option<RevokedSet<'_>> {
        RevokedSet::danger_open(&self.get(kind)?.bytes).ok()
    }

    /// What the compact set, with its changes, says of a peer, if it covers it. A set that covers what is still to come was made
    /// and taken by clocks ahead: what it calls good may have been issued since. What it says against somebody stands.
    pub(super) fn compact(&self, who: &Identified, now: Time) -> Option<SetAnswer> {
        let (base, changes) = (self.set_held(Kind::RevokedSet)?, self.set_held(Kind::RevokedDelta));
        let ahead = [Some(base), changes].into_iter().flatten().any(|set| set.heading().covers > now);
        let answer = set::answer(&base, changes.as_ref(), who.credential(), who.validity().0);
        answer.filter(|answer| answer.state.is_some() || !ahead)
    }

    pub(super) fn policy(&self) -> Policy {
        match self.get(Kind::Policy) {
            Some(Object { parsed: Parsed::Policy(policy), .. }) => *policy,
            _ => Policy::default(),
        }
    }

    pub(super) fn routes(&self) -> Arc<RoutingTable> {
        match self.get(Kind::Routes) {
            Some(Object { parsed: Parsed::Routes(routes), .. }) => routes.clone(),
            _ => Arc::default(),
        }
    }

    /// Checks an object that comes from outside.
    pub(super) fn verify(
        &self,
        kind: Kind,
        bytes: Bytes,
        root: Option<KeyId>,
        alliance: Option<Pinned<'_>>,
        time: Interval,
    ) -> Result<Object, Refused> {
        let root = root.ok_or(Refused::NoRoot)?;
        match kind {
            Kind::SiteList => self.verify_list(kind, bytes, Some(Pinned::Root(root)), time),
            Kind::TrustList => self.verify_list(kind, bytes, alliance, time),
            Kind::Suspensions => {
                let held = self.get(kind).map_or(&[][..], |held| &held.bytes);
                let merged = suspensions::merged(held, &bytes, &self.lists(), time);
                let (bytes, version) = merged.map_err(|refused| match refused {
                    // The site's own list is no alliance's.
                    Refused::Suspension(SuspensionRefused::Signed(list::Refused::OtherList))
                        if self.get(Kind::TrustList).is_none() =>
                    {
                        Refused::NoAlliance
                    }
                    refused => refused,
                })?;
                Ok(Object { bytes: bytes.into(), version, issued: None, parsed: Parsed::View })
            }
            Kind::Status => {
                let list = self.list(Kind::SiteList).ok_or(Refused::NoSiteList)?;
                let new = StatusList::verify(&bytes, &list, &AwsLc)?;
                self.check_status(&new, &list)?;
                let (version, issued) = (new.heading().epoch, Some(new.heading().issued));
                Ok(Object { bytes, version, issued, parsed: Parsed::View })
            }
            Kind::Policy => {
                let list = self.list(Kind::SiteList).ok_or(Refused::NoSiteList)?;
                let new = Policy::from_signed(&bytes, &list, &AwsLc)?;
                if self.in_order(kind).is_some() {
                    new.succeeds(&self.policy())?;
                }
                let issued = Some(new.draft().issued);
                Ok(Object { bytes, version: new.version(), issued, parsed: Parsed::Policy(new) })
            }
            Kind::Routes => {
                let new = self.verify_routes(&bytes)?;
                if let Some(held) = self.in_order(kind).map(|held| held.version)
                    && new.version <= held
                {
                    return Err(Refused::RoutesNotNewer { held, given: new.version });
                }
                let (version, issued) = (new.version, Some(new.issued));
                Ok(Object { bytes, version, issued, parsed: Parsed::Routes(Arc::new(new)) })
            }
            Kind::RevokedSet | Kind::RevokedDelta => {
                let list = self.list(Kind::SiteList).ok_or(Refused::NoSiteList)?;
                let new = RevokedSet::verify(&bytes, &list, &AwsLc).map_err(Refused::Set)?;
                if new.heading().covers > time.earliest() {
                    return Err(Refused::SetAhead(new.heading().covers));
                }
                self.check_set(kind, &new)?;
                let (version, issued) = (new.heading().epoch, Some(new.heading().issued));
                Ok(Object { bytes, version, issued, parsed: Parsed::View })
            }
        }
    }

    /// A set is later than all that is held of it; changes are later than those held, and since the set held.
    fn check_set(&self, kind: Kind, new: &RevokedSet<'_>) -> Result<(), Refused> {
        if new.heading().base.is_some() != (kind == Kind::RevokedDelta) {
            return Err(Refused::SetKind);
        }
        let base = self.set_held(Kind::RevokedSet);
        if kind == Kind::RevokedSet && self.in_order(kind).is_none() {
            return Ok(());
        }
        if kind == Kind::RevokedDelta && !base.is_some_and(|base| new.changes(&base)) {
            return Err(Refused::OtherBase);
        }
        let in_force = self.set_held(Kind::RevokedDelta).filter(|held| base.is_some_and(|base| held.changes(&base)));
        let mut held = base.filter(|_| kind == Kind::RevokedSet).into_iter().chain(in_force);
        held.try_for_each(|held| new.succeeds(&held)).map_err(Refused::Set)
    }

    fn verify_list(
        &self,
        kind: Kind,
        bytes: Bytes,
        pinned: Option<Pinned<'_>>,
        time: Interval,
    ) -> Result<Object, Refused> {
        let list = match self.list(kind) {
            Some(held) => List::verify_successor(&bytes, &held, time, &AwsLc)?,
            None => List::verify_pinned(&bytes, &pinned.ok_or(Refused::NoAlliance)?, time, &AwsLc)?,
        };
        Self::check_kind(kind, &list)?;
        let heading = list.heading();
        let (version, issued) = (heading.version, Some(heading.issued));
        Ok(Object { bytes, version, issued, parsed: Parsed::View })
    }

    fn check_kind(kind: Kind, list: &List<'_>) -> Result<(), Refused> {
        let wanted = if kind == Kind::SiteList { list::ListKind::Site } else { list::ListKind::Alliance };
        if list.heading().kind == wanted { Ok(()) } else { Err(Refused::ListKind) }
    }

    fn verify_routes(&self, bytes: &[u8]) -> Result<RoutingTable, Refused> {
        let list = self.list(Kind::SiteList).ok_or(Refused::NoSiteList)?;
        let mut signer = None;
        let table = RoutingTable::verify(bytes, |key| {
            signer = list.service(Purpose::Routes, key.as_bytes());
            signer.as_ref().and_then(|service| public_key(service))
        })?;
        match signer {
            Some(service) if service.signs_at(table.issued) => Ok(table),
            _ => Err(RoutesError::Cose(cose::Error::Invalid).into()),
        }
    }

    /// The time that is certainly over because of the object held, as far as its signer is to be believed: the key that signed
    /// it may state the time. What a key has said that was withdrawn since counts no more.
    pub(super) fn proves(&self, kind: Kind) -> Option<Time> {
        let held = self.get(kind)?;
        let issued = held.issued?;
        if matches!(kind, Kind::SiteList | Kind::TrustList) {
            return Some(issued);
        }
        let service = self.list(Kind::SiteList)?.service(Purpose::Time, Sign1::read(&held.bytes).ok()?.key())?;
        service.signs_at(issued).then_some(issued)
    }

    /// The latest time that an object held proves to be over.
    pub(super) fn said(&self) -> Option<Time> {
        Kind::ALL.into_iter().filter_map(|kind| self.proves(kind)).max()
    }

    /// Checks an object that this process stored itself: that it is whole. Its signer may have left the site list
    /// meanwhile, or speak in the name of another root by now; what it signed before stays in force, or revocations would be
    /// forgotten.
    pub(super) fn reopen(&self, kind: Kind, bytes: Bytes) -> Result<Object, Refused> {
        let site_list = || self.list(Kind::SiteList).ok_or(Refused::NoSiteList);
        let (version, issued, parsed) = match kind {
            Kind::SiteList | Kind::TrustList => {
                let list = List::danger_open(&bytes).map_err(list::Refused::Malformed)?;
                let members: Vec<KeyId> = list.members().map(|member| member.key).collect();
                let pinned = Pinned::Members { keys: &members, threshold: list.heading().threshold };
                let list = List::verify_pinned(&bytes, &pinned, Interval::UNKNOWN, &AwsLc)?;
                Self::check_kind(kind, &list)?;
                (list.heading().version, Some(list.heading().issued), Parsed::View)
            }
            Kind::Suspensions => (suspensions::reopen(&bytes)?, None, Parsed::View),
            Kind::Status => {
                let list = site_list()?;
                let status = match StatusList::verify(&bytes, &list, &AwsLc) {
                    Err(status::Refused::UnknownSigner) => StatusList::danger_open(&bytes)?,
                    Err(refused @ status::Refused::OtherAuthority) => StatusList::danger_open(&bytes)
                        .ok()
                        .filter(|status| names_authority(&list, status.heading().authority))
                        .ok_or(refused)?,
                    other => other?,
                };
                (status.heading().epoch, Some(status.heading().issued), Parsed::View)
            }
            Kind::RevokedSet | Kind::RevokedDelta => {
                let list = site_list()?;
                let set = match RevokedSet::verify(&bytes, &list, &AwsLc) {
                    Err(status::Refused::UnknownSigner) => RevokedSet::danger_open(&bytes).map_err(Refused::Set)?,
                    Err(refused @ status::Refused::OtherAuthority) => RevokedSet::danger_open(&bytes)
                        .ok()
                        .filter(|set| names_authority(&list, set.heading().authority))
                        .ok_or(Refused::Set(refused))?,
                    other => other.map_err(Refused::Set)?,
                };
                (set.heading().epoch, Some(set.heading().issued), Parsed::View)
            }
            Kind::Policy => match Policy::from_signed(&bytes, &site_list()?, &AwsLc) {
                // Its signer left: the built-in policy is in force until the site signs a new one.
                Err(policy::Refused::UnknownSigner) => (0, None, Parsed::Policy(Policy::default())),
                other => other.map(|one| (one.version(), Some(one.draft().issued), Parsed::Policy(one)))?,
            },
            Kind::Routes => {
                let table = match self.verify_routes(&bytes) {
                    Err(Refused::Routes(RoutesError::Cose(cose::Error::Invalid))) if !self.names_signer(&bytes) => {
                        RoutingTable::decode(Sign1::read(&bytes).map_err(RoutesError::Cose)?.payload())?
                    }
                    other => other?,
                };
                (table.version, Some(table.issued), Parsed::Routes(Arc::new(table)))
            }
        };
        Ok(Object { bytes, version, issued, parsed })
    }

    fn names_signer(&self, object: &[u8]) -> bool {
        let Ok(signed) = Sign1::read(object) else { return false };
        self.list(Kind::SiteList).is_some_and(|list| list.service(Purpose::Routes, signed.key()).is_some())
    }
}

/// The status list that an object is.
pub(super) fn status_of(object: &Object) -> Option<StatusList<'_>> {
    StatusList::danger_open(&object.bytes).ok()
}

/// What an object says of its signer.
/// The status list held, if its signer speaks for the site by this list, or spoke for it then.
fn spoken_for<'a>(list: &List<'_>, held: &'a Object) -> Option<StatusList<'a>> {
    status_of(held).filter(|told| list.spoke(signer(held), told.heading().issued))
}

fn signer(object: &Object) -> &[u8] {
    Sign1::read(&object.bytes).map_or(&[], |signed| signed.key())
}

fn public_key<'a>(service: &Service<'a>) -> Option<PublicKey<'a>> {
    service.public_key(&AwsLc).ok()
}

/// Whether a site list knows this authority: its root of today, or one that was retired.
fn names_authority(list: &List<'_>, authority: KeyId) -> bool {
    list.authorities().any(|listed| listed.key == authority)
}
