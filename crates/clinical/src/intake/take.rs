//! Things are kept, each once; what cannot be kept holds up no others.

use super::{ORIGIN, new_device};
use crate::Clinical;
use crate::access::{Caller, Verb};
use crate::audit::Note;
use crate::definitions::Definitions;
use crate::json::{Document, Limits};
use crate::kind::{Id, Kind, Millis};
use crate::outcome::{Code, Issue, Issues};
use crate::query::Plan;
use crate::seam::{Kept, NotKept, Refusal};
use crate::store::{Act, Bound, Condition, NewWaiting, Once, Origin, Unapplied, Whose, Worn};
use crate::validate::{self, Asked, Prepared};
use medlock_trust::DeviceName;
use std::collections::{BTreeSet, HashMap};

/// The kind of the alarm that deliveries wait.
const ALARM: &str = "delivery-waits";
/// How often it is tried again because others changed the same.
pub(super) const TRIES: usize = 8;

/// One thing that becomes a resource.
pub(super) struct Thing {
    pub(super) kind: Kind,
    pub(super) system: &'static str,
    pub(super) identifier: String,
    pub(super) body: Vec<u8>,
    /// By what it is kept once; `None`: by its identifier.
    pub(super) once: Option<Once>,
    /// The mark of who judged it before.
    pub(super) mark: Option<&'static str>,
}

/// One thing that is handed over.
pub(super) enum Item {
    /// It becomes a resource.
    Kept(Thing),
    /// It waits.
    Waits(NewWaiting),
}

impl Item {
    const fn once(&self) -> Option<&Once> {
        match self {
            Self::Kept(thing) => thing.once.as_ref(),
            Self::Waits(waiting) => Some(&waiting.once),
        }
    }
}

/// The Device of who hands over.
pub(super) enum Found {
    Here(Worn),
    /// It is to be made.
    New(Id),
    /// There is none: the administrator has released it, and says which one it is next.
    Released,
}

impl Found {
    /// Its identifier, also if it is to be made.
    pub(super) const fn id(&self) -> Option<Id> {
        match self {
            Self::Here(worn) => Some(worn.id),
            Self::New(id) => Some(*id),
            Self::Released => None,
        }
    }

    /// The one that measured in this span of time, as far as is known.
    pub(super) fn then(&self, (low, _): (Millis, Millis)) -> Option<Id> {
        match self {
            Self::Here(worn) if !worn.was_it(low) => None,
            Self::Here(_) | Self::New(_) | Self::Released => self.id(),
        }
    }

    /// Its identifier, if it is here.
    pub(super) const fn here(&self) -> Option<Id> {
        match self {
            Self::Here(worn) => Some(worn.id),
            Self::New(_) | Self::Released => None,
        }
    }

    /// Whose it was in a span of time.
    pub(super) fn whose(&self, (low, high): (Millis, Millis)) -> Whose {
        match self {
            Self::Here(worn) => worn.during(low, high),
            Self::New(_) => Whose::Nobody,
            Self::Released => Whose::Unclear,
        }
    }
}

/// What is to be done with the things of a call.
#[derive(Default)]
struct Sorted {
    /// What becomes of each.
    kept: Vec<Kept>,
    /// What makes the resources, each with the place of its thing.
    acts: Vec<(usize, Act)>,
    /// What waits, each with what the audit says of it.
    waiting: Vec<(NewWaiting, Note)>,
    /// What is refused, for the audit.
    notes: Vec<Note>,
}

impl Clinical {
    /// Keeps what `items` makes of the device, and what it says is beside them; what became of each.
    pub(super) fn take(
        &self,
        caller: &Caller,
        name: &DeviceName,
        items: impl Fn(&Found) -> (Vec<Thing>, Vec<Item>),
    ) -> Result<Vec<Kept>, NotKept> {
        let (mut tries, mut unfit) = (0, BTreeSet::new());
        while tries < TRIES {
            let (bound, device) = self.device_of(name)?;
            let (beside, items) = items(&device);
            let Sorted { mut kept, acts, waiting, notes } = self.sorted(caller, name, items, &unfit)?;
            if !acts.is_empty() {
                let mut all = self.beside(caller, name, &device, beside)?;
                let first = all.len();
                let (places, acts): (Vec<usize>, Vec<Act>) = acts.into_iter().unzip();
                all.extend(acts);
                match self.applied(caller, all, Some((*name, bound))) {
                    Ok(true) => {}
                    Ok(false) => {
                        tries += 1;
                        continue;
                    }
                    Err(NotKept::Unfit { number, issues }) => {
                        let Some(place) = number.checked_sub(first).and_then(|number| places.get(number)) else {
                            return Err(NotKept::Unfit { number, issues });
                        };
                        no_resource(name, *place, &issues);
                        unfit.insert(*place);
                        continue;
                    }
                    Err(other) => return Err(other),
                }
            }
            let wait = waiting.len();
            if wait > 0 || !notes.is_empty() {
                let taken = self.records().set_aside(*name, waiting, notes)?;
                self.say_who_waits(name, wait, taken);
                let waits = kept.iter_mut().filter(|kept| **kept == Kept::Waits);
                waits.skip(taken).for_each(|kept| *kept = Kept::Refused(Refusal::NoRoom));
            }
            return Ok(kept);
        }
        Err(NotKept::Busy)
    }

    /// Deliveries are not in the records, and people are to say whose they were.
    fn say_who_waits(&self, name: &DeviceName, wait: usize, taken: usize) {
        let next = format!("medlock clinical delivery list --device {name}");
        let text = match wait {
            0 => return,
            _ if wait == taken => {
                format!("{wait} more of what {name} delivered wait until somebody says whose they were: {next}")
            }
            _ => {
                format!("so much of what {name} delivered waits that there is no room for more that is unclear: {next}")
            }
        };
        if let Err(error) = self.alarms().raise(ALARM, text) {
            tracing::error!(%error, "an alarm could not be raised");
        }
    }

    /// What is new of them is to be made or waits, what is known is left, what has another's number is refused.
    fn sorted(
        &self,
        caller: &Caller,
        name: &DeviceName,
        items: Vec<Item>,
        unfit: &BTreeSet<usize>,
    ) -> Result<Sorted, NotKept> {
        let held = self.records().handed(items.iter().filter_map(Item::once))?;
        let mut sorted = Sorted::default();
        // The same number may stand twice in one call.
        let mut came: HashMap<Vec<u8>, [u8; 32]> = HashMap::new();
        let note = |kind, code| Note::of(caller, Verb::Create, kind, ORIGIN.to_owned()).refused(code);
        for (place, (item, held)) in items.into_iter().zip(held).enumerate() {
            let Some((key, hash)) = item.once().map(|once| (once.key().to_vec(), once.hash())) else { continue };
            let kept = match (held.or_else(|| came.get(&key).copied()), item) {
                (Some(other), _) if other == hash => Kept::Known,
                (Some(_), item) => {
                    let text = "a device reports something else under a number that it gave before";
                    tracing::warn!(device = %name, place, "{text}");
                    let kind = if let Item::Kept(thing) = item { thing.kind } else { Kind::MEDICATION_ADMINISTRATION };
                    sorted.notes.push(note(kind, Refusal::OtherContents.code()));
                    Kept::Refused(Refusal::OtherContents)
                }
                (None, _) if unfit.contains(&place) => Kept::Refused(Refusal::Unfit),
                (None, Item::Waits(waiting)) => {
                    let text = "a delivery waits, since no patient can be named for it: medlock clinical delivery list";
                    tracing::warn!(device = %name, delivery = waiting.identifier, "{text}");
                    sorted.waiting.push((waiting, note(Kind::MEDICATION_ADMINISTRATION, "intake-no-patient")));
                    Kept::Waits
                }
                (None, Item::Kept(thing)) => match self.create(caller, thing) {
                    Ok(act) => {
                        sorted.acts.push((place, act));
                        Kept::New
                    }
                    Err(issues) => {
                        no_resource(name, place, &issues);
                        Kept::Refused(Refusal::Unfit)
                    }
                },
            };
            if kept == Kept::New || kept == Kept::Waits {
                came.insert(key, hash);
            }
            sorted.kept.push(kept);
        }
        Ok(sorted)
    }

    /// What makes the Device, and what is beside the things, where it is not here.
    pub(super) fn beside(
        &self,
        caller: &Caller,
        name: &DeviceName,
        device: &Found,
        beside: Vec<Thing>,
    ) -> Result<Vec<Act>, NotKept> {
        let known = self.records().handed(beside.iter().filter_map(|thing| thing.once.as_ref()))?;
        let mut acts = Vec::new();
        if let Found::New(id) = device {
            acts.push(self.create_as(caller, *id, new_device(name)).map_err(unfit_beside)?);
        }
        for (thing, _) in beside.into_iter().zip(known).filter(|(_, known)| known.is_none()) {
            acts.push(self.create(caller, thing).map_err(unfit_beside)?);
        }
        Ok(acts)
    }

    /// Does it; `false`: others changed the same meanwhile, or the Device whose versions said whose it is.
    pub(super) fn applied(
        &self,
        caller: &Caller,
        acts: Vec<Act>,
        device: Option<(DeviceName, Bound)>,
    ) -> Result<bool, NotKept> {
        let kind = acts.first().map_or(Kind::OBSERVATION, Act::kind);
        let note = Note::of(caller, Verb::Create, kind, ORIGIN.to_owned());
        match self.records().apply_while(device, caller, acts, &note) {
            Ok(_) => Ok(true),
            Err(Unapplied::Changed) => Ok(false),
            // What it refers to is gone since it was looked for, or the Device was made by somebody else.
            Err(Unapplied::Refused { why, .. })
                if [Code::Reference, Code::Version, Code::DeviceName].contains(&why.code()) =>
            {
                Ok(false)
            }
            Err(Unapplied::Refused { act, why }) => Err(NotKept::Unfit { number: act, issues: why.issues }),
            Err(Unapplied::Store(error)) => Err(error.into()),
        }
    }

    pub(super) fn device_of(&self, name: &DeviceName) -> Result<(Bound, Found), NotKept> {
        let (bound, worn) = self.records().worn(name)?;
        let found = match (bound, worn) {
            (_, Some(worn)) => Found::Here(worn),
            (Bound::Released, None) => Found::Released,
            (Bound::Never | Bound::To { .. }, None) => Found::New(self.records().fresh_id()),
        };
        Ok((bound, found))
    }

    pub(super) fn create(&self, caller: &Caller, thing: Thing) -> Result<Act, Issues> {
        self.create_as(caller, self.records().fresh_id(), thing)
    }

    /// The act that makes it, with the mark of the verdict, or else that of who judged it before.
    fn create_as(&self, caller: &Caller, id: Id, thing: Thing) -> Result<Act, Issues> {
        let mark = caller.mark(Verb::Create, thing.kind).map(|code| code.as_str()).or(thing.mark);
        let to = self.prepared(thing.kind, &thing.body, mark)?;
        let condition = match thing.once {
            Some(_) => None,
            None => Plan::by_identifier(thing.kind, thing.system, &thing.identifier),
        };
        let condition = condition.map(|plan| Condition { plan, is: None, asked: None });
        Ok(Act::Create { id, to: to.from(thing.once.map(Origin::Handed)), condition })
    }

    pub(super) fn prepared(&self, kind: Kind, body: &[u8], mark: Option<&'static str>) -> Result<Prepared, Issues> {
        let unread = |error: crate::json::Error| Issue::new(Code::Json, error.to_string());
        let document = Document::read(body, &Limits::RESOURCE).map_err(unread)?;
        validate::prepare(document.root(), Definitions::r4(), Asked { kind, bases: &self.bases(), mark })
    }
}

fn no_resource(name: &DeviceName, place: usize, issues: &Issues) {
    let why = issues.first_text();
    tracing::warn!(device = %name, place, why, "what a device reports does not become a resource");
}

/// What we make ourselves is fit, or we are wrong.
fn unfit_beside(issues: Issues) -> NotKept {
    NotKept::Unfit { number: 0, issues }
}

#[cfg(test)]
mod tests {
    use super::super::observation::{self, READING_SYSTEM};
    use super::*;
    use crate::seam::Handed;
    use crate::tests::fixture::{House, device, patient};
    use medlock_proto::reading::{Mdc, Moment, Reading, Special, Value};
    use medlock_trust::{Interval, Operation, Role};
    use std::cell::Cell;
    use tokio::runtime::Handle;
    use tokio::task::block_in_place;

    /// Shows REQ-INTAKE-43: a Device that changes hands after it was asked whose it is, is asked again before anything is written.
    #[tokio::test(flavor = "multi_thread")]
    async fn whose_it_is_is_still_so_when_it_is_written() {
        for house in House::both() {
            let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
            let [anna, bert] = [gateway.create(&patient("Anna")).await, gateway.create(&patient("Bert")).await]
                .map(|made| made.made());
            let own = gateway.create(&device("cgm", &anna)).await.made();
            house.site.clock.advance(60);
            let mut his = device("cgm", &bert);
            his["id"] = own.as_str().into();

            let cgm = house.device("cgm", Role::Sensor).peer();
            let who = cgm.identified.expect("identified");
            let at = house.site.clock.now();
            let permit = house.knowledge.judge(&who, Operation::Report).permit().expect("permitted");
            let from = Handed { who: &who, chain: &[], permit, at };
            let caller = house.clinical.handed(&from, Operation::Report, 1).expect("its own");
            let moment = Moment { ticks: 1, utc: Some(Interval::exactly(at)) };
            let (code, unit, value) = (Mdc::CONC_GLU_ISF, Mdc::DIM_MILLI_G_PER_DL, Value::Special(Special::NaN));
            let reading = Reading { code, unit, value, moment, mark: None };
            let (name, asked) = (who.device_name(), Cell::new(0));
            let kept = house.clinical.take(&caller, name, |found| {
                asked.set(asked.get() + 1);
                let span = observation::within(moment, 0, at);
                let whose = found.whose(span);
                if asked.get() == 1 {
                    // Somebody moves the Device between the question and the write.
                    let path = format!("Device/{own}");
                    let changed = block_in_place(|| Handle::current().block_on(gateway.put(&path, &his)));
                    assert!(changed.status.is_success(), "{changed:?}");
                }
                let body = observation::observation("cgm/1", &reading, whose, (name, found.then(span)), at);
                let once = Some(Once::new(*name, 0, &[1], b"1"));
                let (kind, system, identifier) = (Kind::OBSERVATION, READING_SYSTEM, "cgm/1".to_owned());
                (Vec::new(), vec![Item::Kept(Thing { kind, system, identifier, body, once, mark: None })])
            });
            assert_eq!((kept.expect("kept"), asked.get()), (vec![Kept::New], 2));
            let of = async |patient: &str| gateway.get(&format!("Observation?patient={patient}")).await.found().len();
            assert_eq!((of(&anna).await, of(&bert).await), (0, 1));
        }
    }
}
