//! Which standings the status list tells. It has room for a fixed number of records, and must be published whatever is
//! known: so what matters least is left out, in a fixed order.
//!
//! 1. A superseded credential is told until the grace after its expiry is over, and of each device only
//!    [`SUPERSEDED_PER_DEVICE`].
//! 2. A credential whose device is out of service or compromised needs no record of its own: the device's covers it. A
//!    compromise that was told before the device's stays all the same, because nodes refuse a list that forgets one.
//! 3. If the list is still too long, superseded credentials are left out, those first that have been expired longest.
//!    Compromised, suspended and ceased ones never are, as long as they fit by themselves.

use super::signed::record;
use super::{SUPERSEDED_KEPT_SECONDS, SUPERSEDED_PER_DEVICE};
use crate::store::{Life, Standing, StandingState, Subject};
use medlock_trust::status::{Record, State, Subject as Told};
use medlock_trust::{CredentialId, DeviceName, Time};
use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

/// What the list tells.
#[derive(Debug)]
pub(crate) struct Selection {
    /// Ascending by subject.
    pub(crate) records: Vec<Record>,
    /// How many had no room.
    pub(crate) left_out: usize,
}

/// Chooses among `standings` for a list of at most `most` records at `now`. `told` is what the list before said;
/// its compromises are told again also when the store, restored from a backup, no longer knows them.
pub(crate) fn select(
    standings: &[Standing],
    lives: &[Life],
    told: impl Iterator<Item = Record>,
    now: Time,
    most: usize,
) -> Selection {
    let lives: HashMap<CredentialId, &Life> = lives.iter().map(|life| (life.credential, life)).collect();
    let life = |standing: &Standing| match standing.subject {
        Subject::Credential(credential) => lives.get(&credential).copied(),
        Subject::Device(_) | Subject::Issuer(_) => None,
    };
    let terminal = terminal(standings);
    let uncovered = standings.iter().filter(|standing| {
        let device = life(standing).and_then(|life| life.device).and_then(|name| terminal.get(&name));
        device.is_none_or(|device| !covers(device, standing))
    });
    let (superseded, mut firm): (Vec<_>, Vec<_>) = uncovered.partition(|standing| is_superseded(standing));
    firm.sort_by_key(|standing| (rank(standing), standing.epoch));
    let mut records: BTreeMap<Told, Record> = told
        .filter(|record| record.state == State::Compromised)
        .map(|record| (record.subject, record))
        .take(most)
        .collect();
    let mut left_out = 0;
    let superseded = worth_telling(superseded.into_iter().map(|one| (life(one), one)).collect(), now);
    for standing in firm.into_iter().chain(superseded) {
        let new = record(standing);
        let full = records.len() >= most;
        match records.entry(new.subject) {
            Entry::Vacant(_) if full => left_out += 1,
            Entry::Vacant(place) => drop(place.insert(new)),
            Entry::Occupied(mut held) if held.get().state <= new.state => drop(held.insert(new)),
            Entry::Occupied(_) => {}
        }
    }
    Selection { records: records.into_values().collect(), left_out }
}

/// Devices that will never be good again.
fn terminal(standings: &[Standing]) -> HashMap<DeviceName, &Standing> {
    let ended = standings.iter().filter(|standing| standing.state >= StandingState::Ceased);
    ended
        .filter_map(|standing| match standing.subject {
            Subject::Device(name) => Some((name, standing)),
            Subject::Credential(_) | Subject::Issuer(_) => None,
        })
        .collect()
}

/// Whether the record of a device says all that the one of its credential does. The epochs tell whether the compromise
/// of the credential can have been told without the device's.
fn covers(device: &Standing, credential: &Standing) -> bool {
    credential.state < StandingState::Compromised
        || (device.state == StandingState::Compromised && credential.epoch >= device.epoch)
}

fn is_superseded(standing: &Standing) -> bool {
    standing.state == StandingState::Superseded && matches!(standing.subject, Subject::Credential(_))
}

/// What is told first when there is too much: what nodes would miss, then what covers most.
fn rank(standing: &Standing) -> u8 {
    match (standing.state, standing.subject) {
        (StandingState::Compromised, _) => 0,
        (_, Subject::Device(_) | Subject::Issuer(_)) => 1,
        (_, Subject::Credential(_)) => 2,
    }
}

/// Superseded credentials in the order in which they are told, without those that are told no more. One whose
/// certificate the store does not have comes last: nothing is known of its life.
fn worth_telling<'a>(mut superseded: Vec<(Option<&Life>, &'a Standing)>, now: Time) -> Vec<&'a Standing> {
    superseded.retain(|(life, _)| life.is_none_or(|life| life.not_after.plus_seconds(SUPERSEDED_KEPT_SECONDS) > now));
    superseded
        .sort_by_key(|(life, standing)| Reverse((life.map(|life| (life.not_after, life.number)), standing.epoch)));
    let mut of_device: HashMap<DeviceName, usize> = HashMap::new();
    superseded.retain(|(life, _)| {
        life.and_then(|life| life.device).is_none_or(|name| {
            let told = of_device.entry(name).or_default();
            *told += 1;
            *told <= SUPERSEDED_PER_DEVICE
        })
    });
    superseded.into_iter().map(|(_, standing)| standing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> CredentialId {
        CredentialId::from_bytes([number; 16])
    }

    fn standing(subject: Subject, state: StandingState, epoch: u64) -> Standing {
        Standing { subject, state, reason: String::new(), epoch, since: Time::from_unix(0) }
    }

    fn life(number: u8, device: &str, not_after: i64) -> Life {
        let not_after = Time::from_unix(not_after);
        Life { credential: id(number), device: DeviceName::new(device), not_after, number: number.into() }
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
            [one(1, Superseded), one(2, Compromised), one(3, Superseded), one(4, Suspended), one(5, Ceased)];
        let lives: Vec<Life> = [(1, 900), (2, 5), (3, 800), (4, 5), (5, 5)]
            .map(|(number, end)| life(number, &format!("d{number}"), end))
            .into();
        let room = |most| {
            let selection = select(&standings, &lives, std::iter::empty(), Time::from_unix(1_000), most);
            (selection.left_out, told(&selection))
        };
        let ids = |numbers: &[u8]| numbers.iter().map(|number| Told::Credential(id(*number))).collect::<Vec<_>>();
        assert_eq!(room(5), (0, ids(&[1, 2, 3, 4, 5])));
        assert_eq!(room(4), (1, ids(&[1, 2, 4, 5])), "the one that expired first goes first");
        assert_eq!(room(3), (2, ids(&[2, 4, 5])));
        assert_eq!(room(1), (4, ids(&[2])), "and if nothing else helps, compromises stay");
    }

    #[test]
    fn a_compromise_that_was_told_is_never_forgotten() {
        use StandingState::{Compromised, Superseded};
        let device = Subject::Device(DeviceName::new("ct-1").unwrap());
        let standings = [
            standing(Subject::Credential(id(1)), Compromised, 3),
            standing(Subject::Credential(id(2)), Compromised, 7),
            standing(Subject::Credential(id(3)), Superseded, 4),
            standing(device, Compromised, 7),
        ];
        let lives = [1, 2, 3].map(|number| life(number, "ct-1", 2_000));
        let before = [1, 9].map(|number| Record {
            subject: Told::Credential(id(number)),
            ..record(&standing(Subject::Credential(id(number)), Compromised, 3))
        });
        let selection = select(&standings, &lives, before.into_iter(), Time::from_unix(1_000), 100);
        let credentials: Vec<Told> = [1, 9].map(|number| Told::Credential(id(number))).into();
        assert_eq!(told(&selection)[..2], credentials, "told before the device was, and by the list before");
        assert_eq!(selection.records.len(), 3, "the device's record covers the others");
    }
}
