//! Numbers and structs of the header, to and from what the SDK has.

use crate::numbers;
use crate::records;
use crate::refused::Refused;
use medlock_device::platform::Ticks;
use medlock_device::{Address, Closing, Method, Peer, PhysicalAct, Resource, Status};
use medlock_proto::sealed::{Action, Concentration, MilliUnits, Minutes, Outcome, Percent, Rate, Receipt};
use medlock_trust::decide::{Code, Obligations};
use medlock_trust::{Denied, Operation, Time, Verdict};

/// What stands in C for a time that is not known: `INT64_MAX`.
pub(crate) const TIME_UNKNOWN: i64 = i64::MAX;

pub(crate) const fn ticks(millis: u64) -> Ticks {
    Ticks::from_millis(millis)
}

pub(crate) fn peer(number: u32) -> Result<Peer, Refused> {
    Peer::from_number(number).ok_or(Refused::CLOSED)
}

pub(crate) fn operation(number: i32) -> Result<Operation, Refused> {
    Operation::ALL.into_iter().find(|one| *one as i32 == number).ok_or(Refused::VALUE)
}

pub(crate) const fn method(number: i32) -> Result<Method, Refused> {
    match number {
        numbers::METHOD_GET => Ok(Method::Get),
        numbers::METHOD_OBSERVE => Ok(Method::Observe),
        numbers::METHOD_POST => Ok(Method::Post),
        _ => Err(Refused::VALUE),
    }
}

pub(crate) const fn resource_number(resource: Resource) -> i32 {
    match resource {
        Resource::Objects => numbers::RESOURCE_OBJECTS,
        Resource::Readings => numbers::RESOURCE_READINGS,
        Resource::State => numbers::RESOURCE_STATE,
        Resource::Lease => numbers::RESOURCE_LEASE,
        Resource::Challenge => numbers::RESOURCE_CHALLENGE,
        Resource::Command => numbers::RESOURCE_COMMAND,
        Resource::Receipt => numbers::RESOURCE_RECEIPT,
        Resource::AuthorityCertificates => numbers::RESOURCE_AUTHORITY_CERTIFICATES,
        Resource::Enrol => numbers::RESOURCE_ENROL,
        Resource::Renew => numbers::RESOURCE_RENEW,
        Resource::Records => numbers::RESOURCE_RECORDS,
    }
}

pub(crate) fn resource(number: i32) -> Result<Resource, Refused> {
    Resource::ALL.into_iter().find(|one| resource_number(*one) == number).ok_or(Refused::VALUE)
}

pub(crate) fn status(class: i32, detail: i32) -> Result<Status, Refused> {
    // A code's detail has five bits (RFC 7252 section 3).
    let detail = u8::try_from(detail).ok().filter(|detail| *detail < 32).ok_or(Refused::VALUE)?;
    match class {
        numbers::STATUS_DONE => Ok(Status::Done),
        numbers::STATUS_REFUSED => Ok(Status::Refused(detail)),
        numbers::STATUS_FAILED => Ok(Status::Failed(detail)),
        _ => Err(Refused::VALUE),
    }
}

pub(crate) fn status_numbers(status: Status) -> (i32, i32) {
    match status {
        Status::Done => (numbers::STATUS_DONE, 0),
        Status::Refused(detail) => (numbers::STATUS_REFUSED, i32::from(detail)),
        Status::Failed(detail) => (numbers::STATUS_FAILED, i32::from(detail)),
    }
}

/// A session's end: why, and the code of the denial behind it.
pub(crate) const fn closing(why: Closing) -> (i32, i32) {
    match why {
        Closing::Own => (numbers::CLOSING_OWN, 0),
        Closing::Replaced => (numbers::CLOSING_REPLACED, 0),
        Closing::Evicted => (numbers::CLOSING_EVICTED, 0),
        Closing::Lost => (numbers::CLOSING_LOST, 0),
        Closing::Judged(denied) => (numbers::CLOSING_JUDGED, numbers::denial(denied.code)),
        Closing::UsedUp => (numbers::CLOSING_USED_UP, 0),
    }
}

/// A mark's number; zero for none.
pub(crate) fn mark(code: Option<Code>) -> i32 {
    code.map_or(0, numbers::denial)
}

/// The physical act that C says there was: only the very number counts, no other that is not zero.
pub(crate) const fn physical_act(number: i32) -> Result<PhysicalAct, Refused> {
    if number == numbers::BUTTON_WAS_HELD {
        Ok(PhysicalAct::danger_button_was_held())
    } else {
        Err(Refused(numbers::ERROR_PHYSICAL_ACT))
    }
}

pub(crate) fn address(from: &records::Address) -> Result<Address, Refused> {
    let bytes = from.bytes.get(..usize::from(from.length)).ok_or(Refused::VALUE)?;
    Address::new(bytes).ok_or(Refused::VALUE)
}

pub(crate) fn address_record(address: Address) -> records::Address {
    let from = address.as_bytes();
    let mut bytes = [0; numbers::ADDRESS_BYTES as usize];
    bytes.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    records::Address { length: u8::try_from(from.len()).unwrap_or(0), bytes }
}

pub(crate) fn action_record(action: &Action) -> records::Action {
    let mut record = NO_ACTION;
    match *action {
        Action::Bolus { amount, concentration, bound } => {
            record.kind = numbers::ACTION_BOLUS;
            (record.milliunits, record.bound_milliunits) = (amount.0, bound.0);
            record.concentration_units_per_ml = concentration.0;
        }
        Action::TemporaryBasal { rate, minutes, concentration, bound } => {
            record.kind = numbers::ACTION_TEMPORARY_BASAL;
            (record.milliunits_per_hour, record.bound_milliunits) = (rate.0, bound.0);
            (record.minutes, record.concentration_units_per_ml) = (minutes.0, concentration.0);
        }
        Action::Resume => record.kind = numbers::ACTION_RESUME,
        Action::Suspend { minutes } => {
            (record.kind, record.minutes) = (numbers::ACTION_SUSPEND, minutes.0);
        }
        Action::Reduce { percent, minutes } => {
            record.kind = numbers::ACTION_REDUCE;
            (record.percent, record.minutes) = (u16::from(percent.0), minutes.0);
        }
        Action::Set { setting, value } => {
            record.kind = numbers::ACTION_SET;
            (record.setting, record.value) = (setting, value);
        }
    }
    record
}

pub(crate) fn action(record: &records::Action) -> Result<Action, Refused> {
    let concentration = Concentration(record.concentration_units_per_ml);
    let (minutes, bound) = (Minutes(record.minutes), MilliUnits(record.bound_milliunits));
    match record.kind {
        numbers::ACTION_BOLUS => Ok(Action::Bolus { amount: MilliUnits(record.milliunits), concentration, bound }),
        numbers::ACTION_TEMPORARY_BASAL => {
            let rate = Rate(record.milliunits_per_hour);
            Ok(Action::TemporaryBasal { rate, minutes, concentration, bound })
        }
        numbers::ACTION_RESUME => Ok(Action::Resume),
        numbers::ACTION_SUSPEND => Ok(Action::Suspend { minutes }),
        numbers::ACTION_REDUCE => {
            let percent = u8::try_from(record.percent).ok().filter(|percent| (1..=100).contains(percent));
            Ok(Action::Reduce { percent: Percent(percent.ok_or(Refused::VALUE)?), minutes })
        }
        numbers::ACTION_SET => Ok(Action::Set { setting: record.setting, value: record.value }),
        _ => Err(Refused::VALUE),
    }
}

pub(crate) const NO_ACTION: records::Action = records::Action {
    kind: 0,
    milliunits: 0,
    milliunits_per_hour: 0,
    bound_milliunits: 0,
    value: 0,
    setting: 0,
    concentration_units_per_ml: 0,
    minutes: 0,
    percent: 0,
};

pub(crate) fn receipt(receipt: &Receipt) -> records::Receipt {
    let Receipt { counter, outcome, mark: mark_code } = *receipt;
    let (outcome, code, milliunits) = match outcome {
        Outcome::Refused(refusal) => (numbers::OUTCOME_REFUSED, numbers::refusal(refusal), 0),
        Outcome::Started => (numbers::OUTCOME_STARTED, 0, 0),
        Outcome::Done { delivered } => (numbers::OUTCOME_DONE, 0, delivered.0),
        Outcome::Uncertain { at_most } => (numbers::OUTCOME_UNCERTAIN, 0, at_most.0),
    };
    records::Receipt { counter, outcome, code, mark: mark(mark_code), milliunits }
}

pub(crate) fn verdict(operation: Operation, verdict: &Verdict) -> records::Verdict {
    let operation = operation as i32;
    match verdict {
        Verdict::Allow(permit) => {
            let Obligations { alert, mark: code } = permit.obligations();
            let (code, alert) = (mark(code), i32::from(alert));
            records::Verdict { since: TIME_UNKNOWN, allowed: 1, operation, code, alert }
        }
        Verdict::Deny(Denied { code, since, .. }) => {
            let since = since.map_or(TIME_UNKNOWN, Time::unix);
            records::Verdict { since, allowed: 0, operation, code: numbers::denial(*code), alert: 0 }
        }
    }
}
