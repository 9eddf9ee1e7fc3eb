//! The model. Time goes in steps; at each, anything that can happen may: the thief reports nothing and renews while he
//! can, the authority says how things stand, carriers bring what was ever said or keep it back, the judge draws a nonce,
//! loses its time source, or has a clock that is slow. The judge's facts are looked up in the real table.

use super::{Bound, Denied};
use medlock_trust::Operation;
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::decide::{Claim, Expiry, Findings, IssuerStanding, Start, judge};
use medlock_trust::policy::{Effect, Policy, Setting};
use medlock_trust::status::State;
use stateright::{Checker, Model, Property};

/// The lengths of a run, in steps. Only their order matters to who compares times, so small ones show what large ones do.
#[derive(Clone, Debug)]
struct Partition {
    operation: Operation,
    setting: Setting,
    policy: Policy,
    /// How old a status may be for the operation.
    budget: u8,
    /// How long a new credential is good.
    validity: u8,
    grace: u8,
    /// By how many steps the judge's clock may be slow without its knowing.
    clock_error: u8,
    /// Whether anybody still brings anything to the judge once the partition has begun.
    carriers: bool,
    /// The run ends here.
    horizon: u8,
}

/// What an authority said, and when: whether it knew of the theft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Word {
    said: u8,
    knew: bool,
}

/// A state of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    now: u8,
    reported: Option<u8>,
    parted: Option<u8>,
    /// Until when the credential is good that the thief has.
    not_after: u8,
    /// The judge's clock is so many steps slow; `None`: it has no upper bound of time.
    slow: Option<u8>,
    /// The newest list or set that the judge holds.
    held: Option<Word>,
    /// When the judge drew its nonce.
    asked: Option<u8>,
    /// An answer to that nonce that is on its way, and one that has arrived.
    answer: Option<bool>,
    answered: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    Tick,
    Report,
    Part,
    Renew,
    LoseTime,
    Bring(Word),
    Ask,
    Answer,
    BringAnswer,
}

impl Model for Partition {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let world = |slow| World {
            now: 0,
            reported: None,
            parted: None,
            not_after: self.validity,
            slow: Some(slow),
            held: None,
            asked: None,
            answer: None,
            answered: None,
        };
        (0..=self.clock_error).map(world).collect()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Event>) {
        if world.now < self.horizon {
            actions.push(Event::Tick);
        }
        if world.reported.is_none() {
            // The authority gives a reported device nothing: before, the thief has what the device has.
            actions.extend([Event::Report, Event::Renew]);
        }
        if world.parted.is_none() && !self.carriers {
            actions.push(Event::Part);
        }
        if world.slow.is_some() {
            actions.push(Event::LoseTime);
        }
        if self.carriers || world.parted.is_none() {
            let said = |said| [false, true].map(|knew| Word { said, knew });
            let true_word = |word: &Word| match world.reported {
                Some(reported) if word.said > reported => word.knew,
                // In the step of the report both may have been said.
                Some(reported) if word.said == reported => true,
                Some(_) | None => !word.knew,
            };
            actions.extend((0..=world.now).flat_map(said).filter(true_word).map(Event::Bring));
            if world.asked.is_some() {
                actions.push(Event::Answer);
            }
            if world.answer.is_some() {
                actions.push(Event::BringAnswer);
            }
        }
        if world.asked != Some(world.now) {
            actions.push(Event::Ask);
        }
    }

    fn next_state(&self, before: &World, event: Event) -> Option<World> {
        let mut world = before.clone();
        match event {
            Event::Tick => world.now += 1,
            Event::Report => world.reported = Some(world.now),
            Event::Part => world.parted = Some(world.now),
            Event::Renew => world.not_after = world.now + self.validity,
            Event::LoseTime => world.slow = None,
            Event::Bring(word) => {
                // Nothing rolls back (invariant I4), and a compromise stays.
                if world.held.is_some_and(|held| held.said >= word.said) {
                    return None;
                }
                world.held = Some(Word { knew: word.knew || world.held.is_some_and(|held| held.knew), ..word });
                // What was said later than the clock shows proves the clock wrong: no upper bound is left.
                if world.slow.is_some_and(|slow| word.said + slow > world.now) {
                    world.slow = None;
                }
            }
            Event::Ask => {
                world.asked = Some(world.now);
                (world.answer, world.answered) = (None, None);
            }
            Event::Answer => world.answer = Some(world.reported.is_some()),
            Event::BringAnswer => world.answered = world.answer.take(),
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no longer than the bound after the report", |model: &Self, world: &World| {
                let Some(reported) = world.reported else { return true };
                model.within(world, reported)
            }),
            Property::always(
                "without carriers, no longer than the bound after the partition",
                |model: &Self, world: &World| {
                    let Some(parted) = world.parted.filter(|_| !model.carriers) else { return true };
                    model.within(world, parted)
                },
            ),
            Property::always("what is known to be compromised gets nothing", |model: &Self, world: &World| {
                !model.knows(world) || model.effect(world) == Effect::Deny
            }),
            Property::sometimes("the bound without an alert is reached", |model: &Self, world: &World| {
                let Some(unmarked) = model.bound().unmarked else { return true };
                let latest = world.reported.map(|reported| reported + model.steps(unmarked) + model.clock_error);
                latest == Some(world.now) && model.effect(world) == Effect::Allow
            }),
            Property::sometimes("the bound of what is allowed is reached", |model: &Self, world: &World| {
                model.end(world, world.reported) == Some(world.now) && model.effect(world) != Effect::Deny
            }),
        ]
    }
}

impl Partition {
    fn bound(&self) -> Bound {
        Bound::of(self.operation, self.setting, &self.policy)
    }

    /// Seconds of the policy in steps: it knows of two lengths only.
    fn steps(&self, seconds: u32) -> u8 {
        if seconds == self.policy.budget_seconds(self.setting, self.operation) { self.budget } else { self.grace }
    }

    /// When nothing is allowed any more to a device that was reported, or of which nothing was heard, since `since`.
    fn end(&self, world: &World, since: Option<u8>) -> Option<u8> {
        let since = since?;
        Some(match self.bound().denied {
            Denied::AfterReport(seconds) => since + self.steps(seconds) + self.clock_error,
            Denied::AfterExpiry(0) => world.not_after + self.clock_error,
            Denied::AfterExpiry(_) => world.not_after + self.grace + self.clock_error,
            Denied::ByNewsAlone => self.horizon,
        })
    }

    /// Whether what the judge does keeps the bound, counted from `since`.
    fn within(&self, world: &World, since: u8) -> bool {
        let late = |seconds: u32| world.now > since + self.steps(seconds) + self.clock_error;
        let marked = self.effect(world) != Effect::Allow || !self.bound().unmarked.is_some_and(late);
        let ended = self.end(world, Some(since)).is_some_and(|end| world.now > end);
        marked && (!ended || self.effect(world) == Effect::Deny)
    }

    fn knows(&self, world: &World) -> bool {
        world.held.is_some_and(|held| held.knew) || world.answered == Some(true)
    }

    fn effect(&self, world: &World) -> Effect {
        let latest = world.slow.map(|slow| world.now.saturating_sub(slow));
        let by_age =
            latest.zip(world.held).is_some_and(|(latest, held)| latest.saturating_sub(held.said) <= self.budget);
        let by_answer = world.answered == Some(false)
            && world.asked.is_some_and(|asked| world.now - asked <= self.budget)
            // An answer from before the list that is held is not the newest word.
            && world.held.is_none_or(|held| world.asked.is_some_and(|asked| held.said <= asked));
        let counted = if self.operation.is_command() { latest } else { Some(latest.unwrap_or(0)) };
        let expiry = match counted {
            None => Expiry::Beyond,
            Some(now) if now <= world.not_after => Expiry::Within,
            Some(now) if now <= world.not_after + self.grace => Expiry::Grace,
            Some(_) => Expiry::Beyond,
        };
        let findings = Findings {
            kind: CredentialKind::Operational,
            issuer: IssuerStanding::Listed,
            claim: Claim::Holds,
            bonded: true,
            status: self.knows(world).then_some(State::Compromised),
            expiry,
            start: Start::Reached,
            fresh: by_age || by_answer,
        };
        judge(&findings, self.operation, &self.policy).effect()
    }
}

fn explore(partition: Partition) -> usize {
    let what = format!("{partition:?}");
    let checker = partition.checker().threads(2).spawn_bfs().join();
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        match property.expectation {
            stateright::Expectation::Always => assert!(found.is_none(), "{}: {what}\n{found:?}", property.name),
            _ => assert!(found.is_some(), "not tight: {}: {what}", property.name),
        }
    }
    checker.unique_state_count()
}

/// Shows REQ-STAT-12: for every operation, whatever happens, the bound holds, and it is reached.
#[test]
fn no_judge_allows_a_stolen_device_more_than_the_bound_and_the_bound_is_tight() {
    let mut states = 0;
    for operation in Operation::ALL {
        for (budget, clock_error, carriers) in [(2, 0, true), (1, 1, true), (2, 0, false)] {
            // A validity is no shorter than a budget, as in the table; settings differ in budgets alone.
            states += explore(Partition {
                operation,
                setting: Setting::Hospital,
                policy: Policy::default(),
                budget,
                validity: budget,
                grace: 1,
                clock_error,
                carriers,
                horizon: 4,
            });
        }
    }
    println!("{states} states");
}

/// Shows REQ-STAT-12: the model sees a bound that is too short: it can fail.
#[test]
#[should_panic(expected = "no longer than the bound after the report")]
fn a_clock_that_is_slower_than_assumed_breaks_the_bound() {
    let policy = Policy::default();
    let mut partition = Partition {
        operation: Operation::Treat,
        setting: Setting::Hospital,
        policy,
        budget: 1,
        validity: 4,
        grace: 1,
        clock_error: 1,
        carriers: true,
        horizon: 4,
    };
    partition.clock_error = 1;
    let worlds = partition.init_states();
    let slow = worlds.into_iter().find(|world| world.slow == Some(1)).unwrap();
    // The same world, judged as if no clock could be slow.
    partition.clock_error = 0;
    let held = Some(Word { said: 1, knew: false });
    let late = World { now: 3, reported: Some(1), held, ..slow };
    assert!(partition.within(&late, 1), "no longer than the bound after the report");
}
