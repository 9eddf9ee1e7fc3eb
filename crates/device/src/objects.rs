//! Trust objects: lists, status lists, tickets, the policy and bonds, kept in flash and judged where they lie.
//!
//! Any carrier may bring one. It is believed for its own signatures, kept if it is newer than what is held, and refused
//! otherwise; nothing is written before. What is known at the moment of judging ([`Knowledge`]) is a view of the flash.

mod statuses;

pub use crate::bonds::{BondRefused, Bonds};
pub use crate::not_taken::NotTaken;
pub use crate::store::StoreError;
pub use medlock_proto::objects::{Held, Kind};

use crate::clock::Clock;
use crate::nonces::{NONCE, Nonces};
use crate::platform::{MappedFlash, Ticks};
use crate::store::{Label, Store};
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::bond::SignedBond;
use medlock_trust::cose::Sign1;
use medlock_trust::knowledge::{Asked, Setting};
use medlock_trust::list::{self, List, ListKind, Pinned, Purpose, Suspension, SuspensionRefused};
use medlock_trust::policy::Policy;
use medlock_trust::status::{State, StatusList, Ticket};
use medlock_trust::{Bond, CredentialId, Crypto, DeviceId, Identified, KeyId, Knowledge, Time};
use minicbor::encode::write::Cursor;

/// The most tickets held: one for each peer of today.
const MAX_TICKETS: usize = 4;
/// Slots that tickets and the first status list of an authority leave free: for the replacement of what is held.
const RESERVE: usize = 2;

/// The device's own files, beside trust objects.
pub(crate) const SITE: u8 = 64;
pub(crate) const CREDENTIAL: u8 = 65;
pub(crate) const BONDS: u8 = 66;
pub(crate) const FLOOR: u8 = 67;
#[cfg(feature = "owner")]
pub(crate) const OWNER: u8 = 68;

/// What a device holds, and what follows from it.
#[derive(Debug)]
pub(crate) struct Objects {
    pub(crate) store: Store,
    pub(crate) policy: Policy,
    pub(crate) bonds: Bonds,
    /// The key of the site's root.
    pub(crate) site: Option<KeyId>,
    nonces: Nonces,
}

/// What is needed to take or judge something: the surroundings of a call.
pub(crate) struct Scene<'a, F, C> {
    pub(crate) flash: &'a mut F,
    pub(crate) crypto: &'a C,
    pub(crate) clock: &'a mut Clock,
    pub(crate) now: Ticks,
    /// The members of the alliance whose list is believed.
    pub(crate) alliance: Option<Pinned<'a>>,
    /// This device at its site.
    pub(crate) own: Option<DeviceId>,
    /// The credentials of the peers it has sessions with: a ticket that nobody asked for must be about one of them.
    pub(crate) peers: &'a dyn Fn(CredentialId) -> bool,
}

impl Objects {
    /// Opens what the store holds, and the floor of time that was kept.
    pub(crate) fn open<F: MappedFlash>(store: Store, flash: &F) -> (Self, Option<Time>) {
        let policy = store.file(Kind::Policy.number(), &[0; 8], flash);
        let policy = policy.and_then(|(_, bytes)| Policy::danger_open(bytes).ok()).unwrap_or_default();
        let bonds = store.own(BONDS, flash).and_then(|(_, bytes)| Bonds::decode(bytes).ok()).unwrap_or_default();
        let site = store.own(SITE, flash).and_then(|(_, bytes)| Some(KeyId::from_bytes(*bytes.first_chunk()?)));
        let floor = store.own(FLOOR, flash).and_then(|(_, bytes)| Some(i64::from_be_bytes(*bytes.first_chunk()?)));
        let objects = Self { store, policy, bonds, site, nonces: Nonces::default() };
        (objects, floor.map(Time::from_unix))
    }

    /// A number for a ticket to answer, for a peer or for the device itself.
    pub(crate) fn ask(&mut self, nonce: [u8; NONCE], now: Ticks, for_peer: bool) {
        self.nonces.add(nonce, now, for_peer);
    }

    /// The bond with this peer: by its name, and only if its credential is an operational one of the site's own
    /// authority. Other authorities, of makers and of other sites, give names as well; a bond is not for theirs.
    pub(crate) fn bond_with<F: MappedFlash>(&self, peer: &Identified, flash: &F) -> Option<&Bond> {
        let bond = self.bonds.with(peer.device())?;
        self.is_of_own_site(peer, flash).then_some(bond)
    }

    /// Whether the own site vouches for this peer, for use: the key that was pinned, or one of the members who sign the
    /// site's list. A maker, or another site that the list names too, may give any name and any role.
    pub(crate) fn is_of_own_site<F: MappedFlash>(&self, peer: &Identified, flash: &F) -> bool {
        let Some(authority) = peer.authority().filter(|_| peer.kind() == CredentialKind::Operational) else {
            return false;
        };
        self.site == Some(authority) || self.site_list(flash).is_some_and(|list| list.member(authority).is_some())
    }

    /// Believes an object and keeps it, or says why not.
    pub(crate) fn take<F: MappedFlash, C: Crypto>(
        &mut self,
        bytes: &[u8],
        scene: &mut Scene<'_, F, C>,
    ) -> Result<Kind, NotTaken> {
        let kind = Kind::of(bytes).ok_or(NotTaken::Unknown)?;
        match kind {
            Kind::SiteList | Kind::AllianceList => self.take_list(kind, bytes, scene)?,
            Kind::Status => self.take_status(bytes, scene)?,
            Kind::Ticket => self.take_ticket(bytes, scene)?,
            Kind::Policy => self.take_policy(bytes, scene)?,
            Kind::Bond => self.take_bond(bytes, scene)?,
            Kind::Suspension => self.take_suspension(bytes, scene)?,
        }
        Ok(kind)
    }

    fn list<'f, F: MappedFlash>(&self, kind: Kind, flash: &'f F) -> Option<List<'f>> {
        let (.., bytes) = self.store.files(flash).find(|(_, label, _)| label.kind == kind.number())?;
        List::danger_open(bytes).ok()
    }

    pub(crate) fn site_list<'f, F: MappedFlash>(&self, flash: &'f F) -> Option<List<'f>> {
        self.list(Kind::SiteList, flash)
    }

    /// Calls `each` with the site's list and the alliance's, as far as they are held.
    pub(crate) fn lists<'f, F: MappedFlash>(&self, flash: &'f F) -> impl Iterator<Item = List<'f>> {
        [Kind::SiteList, Kind::AllianceList].into_iter().filter_map(|kind| self.list(kind, flash))
    }

    fn take_list<F: MappedFlash, C: Crypto>(
        &mut self,
        kind: Kind,
        bytes: &[u8],
        scene: &mut Scene<'_, F, C>,
    ) -> Result<(), NotTaken> {
        let mut recovers = false;
        let time = scene.clock.interval(scene.now);
        let list = match self.list(kind, scene.flash) {
            Some(held) => {
                // What came before costs no signature.
                let (old, new) = (*held.heading(), *List::danger_open(bytes).map_err(list::Refused::from)?.heading());
                if (new.recovery_epoch, new.version) <= (old.recovery_epoch, old.version) {
                    return Err(NotTaken::NotNewer);
                }
                recovers = new.recovery_epoch > old.recovery_epoch;
                List::verify_successor(bytes, &held, time, scene.crypto)?
            }
            None => {
                let site = self.site.map(Pinned::Root);
                let pinned = if kind == Kind::SiteList { site } else { scene.alliance }.ok_or(NotTaken::NotPinned)?;
                List::verify_pinned(bytes, &pinned, time, scene.crypto)?
            }
        };
        let heading = list.heading();
        let label = Label { recovery_epoch: heading.recovery_epoch, ..Label::own(kind.number(), heading.version) };
        let states_time = heading.kind == ListKind::Site;
        let issued = heading.issued;
        if recovers {
            // First, so that wherever power goes no thief's ticket, of whatever epoch, outlives the recovery. What says
            // nothing bad goes: who is in good standing gets another.
            self.forget_tickets(scene.flash, |_, bytes| !is_bad_news(bytes))?;
        }
        self.store.put(&label, bytes, scene.flash, scene.crypto)?;
        if states_time && recovers {
            if let Some(floor) = scene.clock.recover(issued, scene.now) {
                self.keep_floor(floor, scene.flash, scene.crypto);
            }
        } else if states_time {
            // Whoever names the keys for time states it at least as well as they.
            self.hear_time(issued, scene);
        }
        Ok(())
    }

    fn take_suspension<F: MappedFlash, C: Crypto>(
        &mut self,
        bytes: &[u8],
        scene: &mut Scene<'_, F, C>,
    ) -> Result<(), NotTaken> {
        let (flash, time) = (&*scene.flash, scene.clock.interval(scene.now));
        // What came before costs no signature.
        let claimed = Suspension::danger_open(bytes).map_err(SuspensionRefused::from)?;
        let mut forgotten = None;
        for (slot, held) in self.suspensions(flash) {
            if held.payload() == claimed.payload() {
                return Err(NotTaken::NotNewer);
            }
            if let Some(key) = claimed.repeats(&held) {
                return Err(SuspensionRefused::TooSoon(key).into());
            }
            forgotten = forgotten.or(held.is_forgotten(time).then_some(slot));
        }
        let taken = self.verified(flash, |list| Suspension::verify(bytes, list, time, scene.crypto))?;
        let content = taken.content();
        let name = content.authorities().next().map_or([0; 8], |key| first(key.as_bytes()));
        let label = Label { name, ..Label::own(Kind::Suspension.number(), seconds(content.issued)) };
        match forgotten {
            Some(slot) => self.store.remove(slot, scene.flash)?,
            None => self.leave_reserve(scene.flash)?,
        }
        Ok(self.store.put(&label, bytes, scene.flash, scene.crypto)?)
    }

    fn suspensions<'f, F: MappedFlash>(&self, flash: &'f F) -> impl Iterator<Item = (usize, Suspension<'f>)> {
        let files = self.store.files(flash).filter(|(_, label, _)| label.kind == Kind::Suspension.number());
        files.filter_map(|(slot, _, bytes)| Some((slot, Suspension::danger_open(bytes).ok()?)))
    }

    fn take_ticket<F: MappedFlash, C: Crypto>(
        &mut self,
        bytes: &[u8],
        scene: &mut Scene<'_, F, C>,
    ) -> Result<(), NotTaken> {
        let flash = &*scene.flash;
        // What came before, and what nobody here needs, costs no signature.
        let claimed = Ticket::danger_read(bytes)?;
        let asked = claimed.nonce.and_then(|nonce| self.nonces.asked(nonce)).copied();
        if asked.is_none() && !(scene.peers)(claimed.credential) {
            return Err(NotTaken::NotOurs);
        }
        let name = first(claimed.credential.as_bytes());
        let order = (claimed.epoch, seconds(claimed.issued));
        let held = self.store.file(Kind::Ticket.number(), &name, flash);
        if let Some((held, bytes)) = held.filter(|(_, bytes)| self.counts(bytes, flash)) {
            let compromised = Ticket::danger_read(bytes).is_ok_and(|held| held.state == Some(State::Compromised));
            let stays = compromised && claimed.state != Some(State::Compromised);
            let (older, same) = (order < held.order(), order == held.order());
            // Within one second only the first answer to a number of one's own says more than what is held.
            if stays || older || (same && asked.is_none_or(|asked| asked.answered)) {
                return Err(NotTaken::NotNewer);
            }
        }
        let ticket = self.verified(flash, |list| Ticket::verify(bytes, list, scene.crypto))?;
        let (content, authority) = (ticket.content(), ticket.authority());
        if content.epoch < self.status_epoch(authority, flash) {
            // The status list held was made later, and is not forgotten.
            return Err(NotTaken::NotNewer);
        }
        let (recovery_epoch, version) = order;
        let label = Label { kind: Kind::Ticket.number(), name, recovery_epoch, version, authority };
        let states_time = self.states_time(bytes, content.issued, flash);
        let issued = content.issued;
        if held.is_none() {
            self.make_room_for_a_ticket(&label, content.state.is_some(), scene)?;
        }
        self.store.put(&label, bytes, scene.flash, scene.crypto)?;
        if let Some(nonce) = content.nonce {
            self.nonces.answered(nonce);
        }
        if states_time {
            if let Some(asked) = asked {
                scene.clock.not_after(issued, asked.at, scene.now);
            }
            self.hear_time(issued, scene);
        }
        Ok(())
    }

    fn forget_tickets<F: MappedFlash>(
        &mut self,
        flash: &mut F,
        goes: impl Fn(&Label, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        for slot in 0..crate::store::MAX_SLOTS {
            let is_one = |(at, label, bytes): (usize, Label, &[u8])| {
                at == slot && label.kind == Kind::Ticket.number() && goes(&label, bytes)
            };
            let there = self.store.files(flash).any(is_one);
            if there {
                self.store.remove(slot, flash)?;
            }
        }
        Ok(())
    }

    /// Makes room for a ticket about somebody of whom none is held. Forgotten is only what says no less when it is gone:
    /// first a ticket that the status list of its authority has overtaken, then the oldest that says nothing bad, if it
    /// is older than the new one. One place is never taken by bad news, so that an answer to an own number finds room.
    fn make_room_for_a_ticket<F: MappedFlash, C: Crypto>(
        &mut self,
        new: &Label,
        is_bad: bool,
        scene: &mut Scene<'_, F, C>,
    ) -> Result<(), NotTaken> {
        let flash = &*scene.flash;
        let tickets = || self.store.files(flash).filter(|(_, label, _)| label.kind == Kind::Ticket.number());
        let overtaken = |label: &Label| label.recovery_epoch <= self.status_epoch(label.authority, flash);
        let stays = tickets().filter(|(_, label, bytes)| is_bad_news(bytes) && !overtaken(label));
        let stays = stays.fold(0_usize, |count, _| count.saturating_add(1));
        if is_bad && stays.saturating_add(1) >= MAX_TICKETS {
            return Err(NotTaken::Store(StoreError::Full));
        }
        if tickets().fold(0_usize, |count, _| count.saturating_add(1)) < MAX_TICKETS {
            return self.leave_reserve(flash);
        }
        let oldest = |filter: &dyn Fn(&Label, &[u8]) -> bool| {
            let fitting = tickets().filter(|(_, label, bytes)| filter(label, bytes));
            fitting.min_by_key(|(_, label, _)| label.version).map(|(slot, ..)| slot)
        };
        let slot = oldest(&|label, bytes| is_bad_news(bytes) && overtaken(label))
            .or_else(|| oldest(&|label, bytes| !is_bad_news(bytes) && label.version <= new.version))
            .ok_or(NotTaken::NotNewer)?;
        Ok(self.store.remove(slot, scene.flash)?)
    }

    fn take_policy<F: MappedFlash, C: Crypto>(
        &mut self,
        bytes: &[u8],
        scene: &mut Scene<'_, F, C>,
    ) -> Result<(), NotTaken> {
        let flash = &*scene.flash;
        let list = self.site_list(flash).ok_or(NotTaken::NoSiteList)?;
        // What came before costs no signature.
        let held = self.store.file(Kind::Policy.number(), &[0; 8], flash);
        if held.is_none_or(|(_, held)| self.names_signer(Purpose::Policy, held, flash)) {
            Policy::danger_open(bytes)?.succeeds(&self.policy)?;
        }
        let policy = Policy::from_signed(bytes, &list, scene.crypto)?;
        let draft = policy.draft();
        let issued = draft.issued;
        let states_time = self.states_time(bytes, issued, flash);
        let label =
            Label { recovery_epoch: draft.recovery_epoch, ..Label::own(Kind::Policy.number(), policy.version()) };
        self.store.put(&label, bytes, scene.flash, scene.crypto)?;
        self.policy = policy;
        if states_time {
            self.hear_time(issued, scene);
        }
        Ok(())
    }

    fn take_bond<F: MappedFlash, C: Crypto>(
        &mut self,
        bytes: &[u8],
        scene: &mut Scene<'_, F, C>,
    ) -> Result<(), NotTaken> {
        let own = scene.own.ok_or(NotTaken::NoCredential)?;
        let list = self.site_list(scene.flash).ok_or(NotTaken::NoSiteList)?;
        // What came before costs no signature.
        self.bonds.signed(&SignedBond::danger_open(bytes)?)?;
        let signed = SignedBond::verify(bytes, own, &list, scene.crypto)?;
        let bonds = self.bonds.signed(&signed)?;
        self.keep_bonds(bonds, scene.flash, scene.crypto)
    }

    /// Takes these bonds in place of those held.
    pub(crate) fn keep_bonds<F: MappedFlash>(
        &mut self,
        bonds: Bonds,
        flash: &mut F,
        crypto: &impl Crypto,
    ) -> Result<(), NotTaken> {
        let mut bytes = [0; Bonds::MAX_LENGTH];
        let mut cursor = Cursor::new(&mut bytes[..]);
        let written = bonds.encode(&mut cursor).map(|()| cursor.position());
        let length = written.map_err(|_| NotTaken::Store(StoreError::TooLong))?;
        self.keep_own(BONDS, bytes.get(..length).unwrap_or_default(), flash, crypto)?;
        self.bonds = bonds;
        Ok(())
    }

    /// Keeps a file of the device's own in place of its older version.
    pub(crate) fn keep_own<F: MappedFlash>(
        &mut self,
        kind: u8,
        bytes: &[u8],
        flash: &mut F,
        crypto: &impl Crypto,
    ) -> Result<(), StoreError> {
        let version = self.store.own(kind, flash).map_or(0, |(version, _)| version.saturating_add(1));
        self.store.put(&Label::own(kind, version), bytes, flash, crypto)
    }

    /// Verifies an object with the site's list, or else with the alliance's.
    fn verified<F: MappedFlash, T, E: Into<NotTaken>>(
        &self,
        flash: &F,
        verify: impl Fn(&List<'_>) -> Result<T, E>,
    ) -> Result<T, NotTaken> {
        let mut refused = NotTaken::NoSiteList;
        for list in self.lists(flash) {
            match verify(&list) {
                Ok(verified) => return Ok(verified),
                Err(error) => refused = error.into(),
            }
        }
        Err(refused)
    }

    /// Whether the key that signed `object` is still named for this. If not, what takes its place need not be newer: a
    /// thief of the key may have made it, with the highest number there is. Nothing older comes in that way, because nothing
    /// else that the key has signed is believed, and its successor has signed nothing before.
    fn names_signer<F: MappedFlash>(&self, purpose: Purpose, object: &[u8], flash: &F) -> bool {
        let key = Sign1::read(object).map_or(&[][..], |signed| signed.key());
        self.lists(flash).any(|list| list.service(purpose, key).is_some())
    }

    /// Whether the key that signed this status list speaks for somebody, or spoke for him then.
    fn spoke<F: MappedFlash>(&self, status: &[u8], flash: &F) -> bool {
        let (Ok(told), Ok(signed)) = (StatusList::danger_open(status), Sign1::read(status)) else { return false };
        self.lists(flash).any(|list| list.spoke(signed.key(), told.heading().issued))
    }

    /// Whether a ticket that is held counts: bad news always, good news of those who may still tell them.
    fn counts<F: MappedFlash>(&self, ticket: &[u8], flash: &F) -> bool {
        is_bad_news(ticket) || self.names_signer(Purpose::Status, ticket, flash)
    }

    fn leave_reserve<F: MappedFlash>(&self, flash: &F) -> Result<(), NotTaken> {
        let free = self.store.free(flash);
        if free > RESERVE { Ok(()) } else { Err(NotTaken::Store(StoreError::Full)) }
    }

    /// Whether the key that signed `object` may state the time.
    fn states_time<F: MappedFlash>(&self, object: &[u8], issued: Time, flash: &F) -> bool {
        let list = self.site_list(flash);
        let service = list.zip(Sign1::read(object).ok());
        let service = service.and_then(|(list, signed)| list.service(Purpose::Time, signed.key()));
        service.is_some_and(|service| service.signs_at(issued))
    }

    fn hear_time<F: MappedFlash, C: Crypto>(&mut self, issued: Time, scene: &mut Scene<'_, F, C>) {
        if let Some(floor) = scene.clock.not_before(issued, scene.now) {
            self.keep_floor(floor, scene.flash, scene.crypto);
        }
    }

    pub(crate) fn keep_floor<F: MappedFlash>(&mut self, floor: Time, flash: &mut F, crypto: &impl Crypto) {
        // A floor that is not kept makes the device know less after its next start, and nothing worse.
        let _ = self.keep_own(FLOOR, &floor.unix().to_be_bytes(), flash, crypto);
    }

    /// What others may be told of: every trust object, with the number by which it is asked for.
    pub(crate) fn held<'f, F: MappedFlash>(&self, flash: &'f F) -> impl Iterator<Item = (Held, &'f [u8])> {
        self.store.files(flash).filter_map(|(_, label, bytes)| {
            let Label { kind, name, recovery_epoch, version, authority } = label;
            let kind = Kind::from_number(kind)?;
            // Of two status lists of one authority the second lies under another name.
            let name = if kind == Kind::Status { first(authority.as_bytes()) } else { name };
            Some((Held { kind, name, recovery_epoch, version }, bytes))
        })
    }

    /// Calls `judge` with all that is known now, about one peer.
    pub(crate) fn judged<F: MappedFlash, R>(
        &self,
        peer: &Identified,
        place: &Place<'_, F>,
        judge: impl FnOnce(&Knowledge<'_>, &Policy) -> R,
    ) -> R {
        let Place { flash, clock, now, setting } = *place;
        let mut lists = self.lists(flash);
        let lists: &[List<'_>] = match (lists.next(), lists.next()) {
            (Some(site), Some(alliance)) => &[site, alliance],
            (Some(only), None) | (None, Some(only)) => &[only],
            (None, None) => &[],
        };
        // The site's list is the first there is.
        let [newest, beside] = peer.authority().map_or([None; 2], |key| self.statuses_of(key, lists.first(), flash));
        let [newest, beside] = [newest, beside].map(|held| StatusList::danger_open(held?.2).ok());
        let status: &[StatusList<'_>] = match (newest, beside) {
            (Some(newest), Some(beside)) => &[newest, beside],
            (Some(only), None) | (None, Some(only)) => &[only],
            (None, None) => &[],
        };
        let ticket = self.store.file(Kind::Ticket.number(), &first(peer.credential().as_bytes()), flash);
        let ticket = ticket.filter(|(_, bytes)| self.counts(bytes, flash)).and_then(|(label, bytes)| {
            Ticket::danger_read(bytes).ok().map(|content| Ticket::danger_believe(label.authority, content))
        });
        let asked = ticket.and_then(|ticket| self.nonces.asked(ticket.content().nonce?));
        let time = clock.interval(now);
        let suspends = |one: &Suspension<'_>| {
            lists.iter().any(|list| peer.authority().is_some_and(|key| one.counts(key, list, time)))
        };
        let suspension = self.suspensions(flash).map(|(_, one)| one).find(suspends);
        let knowledge = Knowledge {
            lists,
            suspensions: suspension.as_slice(),
            status,
            ticket,
            asked: asked.map(|asked| Asked {
                nonce: &asked.number,
                seconds_ago: u32::try_from(now.millis_since(asked.at).div_ceil(1_000)).unwrap_or(u32::MAX),
            }),
            patient: self.bonds.patient(),
            lowest_bond_epoch: self.bonds.lowest_epoch(),
            ..Knowledge::nothing(time, setting)
        };
        judge(&knowledge, &self.policy)
    }
}

/// Where and when is judged.
pub(crate) struct Place<'a, F> {
    pub(crate) flash: &'a F,
    pub(crate) clock: &'a Clock,
    pub(crate) now: Ticks,
    pub(crate) setting: Setting,
}

impl<F> Clone for Place<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Place<'_, F> {}

/// Whether a ticket says that anything stands against its subject.
fn is_bad_news(ticket: &[u8]) -> bool {
    Ticket::danger_read(ticket).is_ok_and(|content| content.state.is_some())
}

/// The time of a ticket as the version of its file.
fn seconds(time: Time) -> u64 {
    u64::try_from(time.unix()).unwrap_or(0)
}

fn first(id: &[u8; 16]) -> [u8; Held::NAME_LENGTH] {
    let mut name = [0; Held::NAME_LENGTH];
    name.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
    name
}
