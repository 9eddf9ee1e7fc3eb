//! Which standings the status list tells. It has room for a fixed number of records, and must be published whatever is
//! known: so what matters least is left out, in a fixed order.
//!
//! 1. A superseded credential is told until the grace after its expiry is over, and of each device only
//!    [`SUPERSEDED_PER_DEVICE`].
//! 2. A credential whose device is out of service or compromised needs no record of its own: the device's covers it. A
//!    compromise that was told before the device's stays all the same, because nodes refuse a list that forgets one.
//! 3. If the list is still too long, superseded credentials are left out, those first that have been expired longest; then
//!    what was only heard against whom the store cannot name; then credentials, and devices and keys last. What was
//!    compromised stays longer than what is suspended or ceased.
//!
//! There may be millions of standings, and they are met one after the other: what is kept of them is no more than the list
//! has room for.

use super::signed::record;
use super::{SUPERSEDED_KEPT_SECONDS, SUPERSEDED_PER_DEVICE};
use crate::store::{Life, Standing, StandingState, Subject};
use medlock_trust::status::{Record, State, Subject as Told};
use medlock_trust::{DeviceName, Time};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What the list tells.
#[derive(Debug)]
pub(crate) struct Selection {
    /// Ascending by subject.
    pub(crate) records: Vec<Record>,
    /// How many had no room.
    pub(crate) left_out: usize,
    /// How many of these are not superseded ones.
    pub(crate) firm_left_out: usize,
}

/// In which order superseded credentials are left out: the least first. One whose certificate the store does not have goes
/// first: nothing is known of its life.
type Worth = (Option<(Time, u64)>, u64, Told);

/// Chooses for a list of so many records among standings that are met.
#[derive(Debug)]
pub(crate) struct Selector {
    now: Time,
    most: usize,
    /// What was told, and whether the store has said the same.
    told: BTreeMap<Told, (Record, bool)>,
    /// What was heard against whom the store cannot name.
    unnamed: BTreeMap<Told, Record>,
    /// What is told first is first.
    firm: BTreeMap<(u8, u64, Told), Record>,
    superseded: BTreeMap<Worth, (Option<DeviceName>, Record)>,
    of_device: HashMap<DeviceName, BTreeSet<Worth>>,
    left_out: usize,
    firm_left_out: usize,
}

impl Selector {
    /// For a list of at most `most` records at `now`. The compromises that were `told` stay so, also when the store, restored
    /// from a backup, does not know them; and what is known of the `unnamed`, unless the store says worse.
    pub(crate) fn new(
        told: impl Iterator<Item = Record>,
        unnamed: impl Iterator<Item = Record>,
        now: Time,
        most: usize,
    ) -> Self {
        Self {
            now,
            most,
            told: told.map(|record| (record.subject, (record, false))).collect(),
            unnamed: unnamed.map(|record| (record.subject, record)).collect(),
            firm: BTreeMap::new(),
            superseded: BTreeMap::new(),
            of_device: HashMap::new(),
            left_out: 0,
            firm_left_out: 0,
        }
    }

    /// Whose compromise was told and is unknown so far.
    pub(crate) fn unknown(&self) -> Vec<Told> {
        let unnamed =
            |record: &Record| self.unnamed.get(&record.subject).is_some_and(|held| held.state >= record.state);
        let unknown = self.told.values().filter(|(record, met)| !met && !unnamed(record));
        unknown.map(|(record, _)| record.subject).collect()
    }

    /// Tells nothing of these that only lists have told.
    pub(crate) fn forget(&mut self, subjects: &BTreeSet<Told>) {
        self.told.retain(|subject, _| !subjects.contains(subject));
        self.unnamed.retain(|subject, _| !subjects.contains(subject));
    }

    /// Looks at one standing; of a credential, with its life, if that is known. `false` where no superseded one that is good
    /// no longer than this has room any more.
    pub(crate) fn take(&mut self, standing: &Standing, life: Option<&Life>) -> bool {
        let new = record(standing);
        if let Some((held, met)) = self.told.get_mut(&new.subject) {
            *met |= held.state <= new.state;
        }
        let device = life.and_then(|life| life.device_state);
        if device.is_some_and(|device| covers(device, standing)) {
            return true;
        }
        if is_superseded(standing) {
            return self.take_superseded(standing, life, new);
        }
        self.firm.insert((rank(standing), standing.epoch, new.subject), new);
        if self.firm.len() > self.most {
            self.firm.pop_last();
            self.firm_left_out += 1;
        }
        true
    }

    fn take_superseded(&mut self, standing: &Standing, life: Option<&Life>, new: Record) -> bool {
        if life.is_some_and(|life| life.not_after.plus_seconds(SUPERSEDED_KEPT_SECONDS) <= self.now) {
            return true;
        }
        let worth = (life.map(|life| (life.not_after, life.number)), standing.epoch, new.subject);
        let device = life.and_then(|life| life.device);
        if self.superseded.len() >= self.most
            && let Some((least, _)) = self.superseded.first_key_value()
            && *least > worth
        {
            self.left_out += 1;
            let end = |life: Option<(Time, u64)>| life.map(|(end, _)| end);
            return end(least.0) <= end(worth.0);
        }
        if let Some(name) = device {
            let its = self.of_device.entry(name).or_default();
            its.insert(worth);
            if its.len() > SUPERSEDED_PER_DEVICE
                && let Some(least) = its.pop_first()
            {
                self.superseded.remove(&least);
                if least == worth {
                    return true;
                }
            }
        }
        self.superseded.insert(worth, (device, new));
        if self.superseded.len() > self.most
            && let Some((least, (device, _))) = self.superseded.pop_first()
        {
            self.left_out += 1;
            let Some(name) = device else { return true };
            let its = self.of_device.entry(name).or_default();
            its.remove(&least);
            if its.is_empty() {
                self.of_device.remove(&name);
            }
        }
        true
    }

    /// What the list tells.
    pub(crate) fn finish(self) -> Selection {
        let Self { most, mut left_out, mut firm_left_out, .. } = self;
        let mut heard: Vec<Record> =
            self.told.into_values().map(|(record, _)| record).chain(self.unnamed.into_values()).collect();
        // The worst first, and keys and devices before credentials.
        heard.sort_by_key(|record| std::cmp::Reverse((record.state, record.subject)));
        let gives_way = |record: &Record| record.state == State::Superseded;
        let heard_firm = heard.iter().copied().filter(|record| !gives_way(record));
        let heard_superseded = heard.iter().copied().filter(gives_way);
        let superseded = self.superseded.into_values().rev().map(|(_, record)| record);
        let mut records: BTreeMap<Told, Record> = BTreeMap::new();
        for new in self.firm.into_values().chain(heard_firm).chain(superseded).chain(heard_superseded) {
            let full = records.len() >= most;
            match records.entry(new.subject) {
                Entry::Vacant(place) if !full => drop(place.insert(new)),
                Entry::Vacant(_) if gives_way(&new) => left_out += 1,
                Entry::Vacant(_) => firm_left_out += 1,
                Entry::Occupied(mut held) if held.get().state < new.state => drop(held.insert(new)),
                Entry::Occupied(_) => {}
            }
        }
        left_out += firm_left_out;
        Selection { records: records.into_values().collect(), left_out, firm_left_out }
    }
}

/// Whether the record of a device that will never be good again says all that the one of its credential does. The epochs tell
/// whether the compromise of the credential can have been told without the device's.
fn covers((state, epoch): (StandingState, u64), standing: &Standing) -> bool {
    state >= StandingState::Ceased
        && (standing.state < StandingState::Compromised
            || (state == StandingState::Compromised && standing.epoch >= epoch))
}

fn is_superseded(standing: &Standing) -> bool {
    standing.state == StandingState::Superseded && matches!(standing.subject, Subject::Credential(_))
}

/// What is told first when there is too much: what nodes would miss, then what covers most.
fn rank(standing: &Standing) -> u8 {
    match (standing.state, standing.subject) {
        (StandingState::Compromised, Subject::Device(_) | Subject::Issuer(_)) => 0,
        (StandingState::Compromised, Subject::Credential(_)) => 1,
        (_, Subject::Device(_) | Subject::Issuer(_)) => 2,
        (_, Subject::Credential(_)) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medlock_trust::CredentialId;

    fn id(number: u8) -> CredentialId {
        CredentialId::from_bytes([number; 16])
    }

    fn standing(subject: Subject, state: StandingState, epoch: u64) -> Standing {
        Standing { subject, state, reason: String::new(), epoch, since: Time::from_unix(0) }
    }

    fn life(number: u8, device: &str, not_after: i64) -> Life {
        let not_after = Time::from_unix(not_after);
        Life { device: DeviceName::new(device), device_state: None, not_after, number: number.into() }
    }

    fn select(
        standings: &[(Standing, Option<Life>)],
        told: impl Iterator<Item = Record>,
        now: Time,
        most: usize,
    ) -> Selection {
        let mut selector = Selector::new(told, std::iter::empty(), now, most);
        for (standing, life) in standings {
            selector.take(standing, life.as_ref());
        }
        selector.finish()
    }

    fn told(selection: &Selection) -> Vec<Told> {
        selection.records.iter().map(|record| record.subject).collect()
    }

    /// Shows REQ-AUTH-25.
    #[test]
    fn superseded_credentials_give_way_and_those_that_expired_longest_ago_first() {
        use StandingState::{Ceased, Compromised, Superseded, Suspended};
        let one = |number, state| standing(Subject::Credential(id(number)), state, u64::from(number));
        let standings =
            [(1, Superseded, 900), (2, Compromised, 5), (3, Superseded, 800), (4, Suspended, 5), (5, Ceased, 5)]
                .map(|(number, state, end)| (one(number, state), Some(life(number, &format!("d{number}"), end))));
        let room = |most| {
            let selection = select(&standings, std::iter::empty(), Time::from_unix(1_000), most);
            (selection.left_out, told(&selection))
        };
        let ids = |numbers: &[u8]| numbers.iter().map(|number| Told::Credential(id(*number))).collect::<Vec<_>>();
        assert_eq!(room(5), (0, ids(&[1, 2, 3, 4, 5])));
        assert_eq!(room(4), (1, ids(&[1, 2, 4, 5])), "the one that expired first goes first");
        assert_eq!(room(3), (2, ids(&[2, 4, 5])));
        assert_eq!(room(1), (4, ids(&[2])), "and if nothing else helps, compromises stay");
    }

    /// Shows REQ-STORE-108.
    #[test]
    fn what_the_site_knows_comes_before_what_it_heard() {
        use StandingState::{Ceased, Compromised, Superseded};
        let device = |name: &str| Subject::Device(DeviceName::new(name).unwrap());
        let standings = [
            (standing(Subject::Credential(id(1)), Compromised, 1), Some(life(1, "ct-1", 2_000))),
            (standing(Subject::Credential(id(2)), Superseded, 2), Some(life(2, "ct-1", 2_000))),
            (standing(device("ct-3"), Ceased, 3), None),
            (standing(device("ct-4"), Compromised, 4), None),
        ];
        let heard = |number, state| record(&standing(Subject::Credential(id(number)), state, 1));
        let of_device = record(&standing(device("ct-9"), Compromised, 1));
        let room = |most| {
            let told = [heard(8, Compromised), heard(1, Compromised)].into_iter();
            let unnamed = [heard(7, Superseded), heard(6, Ceased), of_device].into_iter();
            let mut selector = Selector::new(told, unnamed, Time::from_unix(1_000), most);
            assert_eq!(selector.unknown().len(), 2);
            for (standing, life) in &standings {
                assert!(selector.take(standing, life.as_ref()));
            }
            assert_eq!(selector.unknown(), [Told::Credential(id(8))]);
            let Selection { records, left_out, firm_left_out } = selector.finish();
            (records.iter().map(|record| record.subject).collect::<BTreeSet<_>>(), left_out, firm_left_out)
        };
        let named = |name| record(&standing(device(name), Compromised, 1)).subject;
        let credential = |number| Told::Credential(id(number));
        // In the order in which they have room.
        let order = [
            named("ct-4"),
            credential(1),
            named("ct-3"),
            named("ct-9"),
            credential(8),
            credential(6),
            credential(2),
            credential(7),
        ];
        for most in 1..=order.len() {
            let (told, left_out, firm_left_out) = room(most);
            assert_eq!(told, order[..most].iter().copied().collect(), "{most}");
            assert_eq!((left_out > 0, firm_left_out > 0), (most < 8, most < 6), "{most}");
        }
        let mut selector =
            Selector::new([heard(8, Compromised)].into_iter(), std::iter::empty(), Time::from_unix(1), 9);
        selector.forget(&BTreeSet::from([credential(8)]));
        assert!(selector.unknown().is_empty() && selector.finish().records.is_empty());
    }

    #[test]
    fn a_compromise_that_was_told_is_never_forgotten() {
        use StandingState::{Compromised, Superseded};
        let device = Subject::Device(DeviceName::new("ct-1").unwrap());
        let known = |number, state, epoch| {
            let life = Life { device_state: Some((Compromised, 7)), ..life(number, "ct-1", 2_000) };
            (standing(Subject::Credential(id(number)), state, epoch), Some(life))
        };
        let standings = [
            known(1, Compromised, 3),
            known(2, Compromised, 7),
            known(3, Superseded, 4),
            (standing(device, Compromised, 7), None),
        ];
        let before = [1, 9].map(|number| Record {
            subject: Told::Credential(id(number)),
            ..record(&standing(Subject::Credential(id(number)), Compromised, 3))
        });
        let selection = select(&standings, before.into_iter(), Time::from_unix(1_000), 100);
        let credentials: Vec<Told> = [1, 9].map(|number| Told::Credential(id(number))).into();
        assert_eq!(told(&selection)[..2], credentials, "told before the device was, and by the list before");
        assert_eq!(selection.records.len(), 3, "the device's record covers the others");
    }
}
