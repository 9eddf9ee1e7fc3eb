//! What the core tells, as C gets it.

use crate::convert::{self, NO_ACTION};
use crate::handle::Inside;
use crate::numbers;
use crate::records;
use crate::refused::{Refused, failure};
use core::ptr;
use medlock_device::command::Act;
use medlock_device::journal::Intent;
use medlock_device::platform::Ticks;
use medlock_device::{Event, Output, ReceiptTo};
use medlock_trust::{Operation, Permit};

/// The next thing to do or to know. What lies in `buffer` is pointed to.
pub(crate) fn next(inside: &mut Inside, now: Ticks, buffer: &mut [u8]) -> records::Output {
    match inside.sdk.poll(now, buffer) {
        Output::Transmit { to, datagram } => {
            let address = convert::address_record(to);
            with_bytes(records::Output { address, ..of(numbers::OUTPUT_TRANSMIT) }, datagram)
        }
        Output::Wait(until) => {
            let wait_until_ms = until.map_or(u64::MAX, Ticks::as_millis);
            records::Output { wait_until_ms, ..of(numbers::OUTPUT_WAIT) }
        }
        Output::Event(Event::Command { act, receipt }) => command(inside, now, act, receipt),
        Output::Event(event) => told(event),
    }
}

/// An act is offered to C by a number.
fn command(inside: &mut Inside, now: Ticks, act: Act, receipt: ReceiptTo) -> records::Output {
    let output = records::Output {
        operation: act.action().operation() as i32,
        code: convert::mark(act.obligations().mark),
        alert: i32::from(act.obligations().alert),
        counter: act.counter(),
        action: convert::action_record(act.action()),
        device: *act.controller().as_bytes(),
        ..of(numbers::OUTPUT_COMMAND)
    };
    let Inside { sdk, acts } = inside;
    let journal = sdk.reception().map(|(reception, _)| reception.journal());
    let is_under_way =
        |counter| journal.is_some_and(|journal| journal.under_way().any(|intent| intent.counter == counter));
    let Some(place) = acts.room(act.counter(), is_under_way) else {
        // C never ended what it began: it cannot begin more, and the controller is told so.
        sdk.unable(now, receipt, act);
        return records::Output { wait_until_ms: now.as_millis(), ..of(numbers::OUTPUT_WAIT) };
    };
    let counter = act.counter();
    records::Output { act: acts.offer(place, counter, (act, receipt)), ..output }
}

fn told(event: Event<'_>) -> records::Output {
    match event {
        Event::Connected { peer, device, initiated } => records::Output {
            peer: peer.number(),
            device: *device.as_bytes(),
            initiated: i32::from(initiated),
            ..of(numbers::OUTPUT_CONNECTED)
        },
        Event::NotConnected { to, why } => records::Output {
            address: convert::address_record(to),
            why: failure(why),
            ..of(numbers::OUTPUT_NOT_CONNECTED)
        },
        Event::Closed { peer, device, why } => {
            let (why, code) = convert::closing(why);
            let (peer, device) = (peer.number(), *device.as_bytes());
            records::Output { peer, device, why, code, ..of(numbers::OUTPUT_CLOSED) }
        }
        Event::Asked { ask, peer, resource, permit, payload } => {
            let (ask, peer) = (ask.into_number(), peer.number());
            let resource = convert::resource_number(resource);
            let asked = records::Output { ask, peer, resource, ..of(numbers::OUTPUT_ASKED) };
            with_bytes(permitted(asked, &permit), payload)
        }
        Event::Denied { peer, denied } => records::Output {
            peer: peer.map_or(0, medlock_device::Peer::number),
            device: *denied.device.as_bytes(),
            operation: denied.operation as i32,
            code: numbers::denial(denied.code),
            ..of(numbers::OUTPUT_DENIED)
        },
        Event::Answered { call, peer, status, payload } => {
            let (status, detail) = convert::status_numbers(status);
            let (call, peer) = (call.number(), peer.number());
            with_bytes(records::Output { call, peer, status, detail, ..of(numbers::OUTPUT_ANSWERED) }, payload)
        }
        Event::Readings { call, peer, permit, payload } => {
            let (call, peer) = (call.number(), peer.number());
            let readings = records::Output { call, peer, ..of(numbers::OUTPUT_READINGS) };
            with_bytes(permitted(readings, &permit), payload)
        }
        Event::Carried { call, from, status, payload } => {
            let (status, detail) = convert::status_numbers(status);
            let (call, address) = (call.number(), convert::address_record(from));
            with_bytes(records::Output { call, address, status, detail, ..of(numbers::OUTPUT_CARRIED) }, payload)
        }
        Event::Unanswered { call, why } => {
            records::Output { call: call.number(), why: failure(why), ..of(numbers::OUTPUT_UNANSWERED) }
        }
        Event::Followed { call } => records::Output { call: call.number(), ..of(numbers::OUTPUT_FOLLOWED) },
        Event::NotFollowed { call, why } => {
            records::Output { call: call.number(), why: Refused::from(why).0, ..of(numbers::OUTPUT_NOT_FOLLOWED) }
        }
        Event::Enrolled { device } => records::Output { device: *device.as_bytes(), ..of(numbers::OUTPUT_ENROLLED) },
        Event::NotEnrolled { why } => records::Output { why: Refused::from(why).0, ..of(numbers::OUTPUT_NOT_ENROLLED) },
        Event::Uncertain(Intent { counter, action, .. }) => records::Output {
            counter,
            operation: action.operation() as i32,
            action: convert::action_record(&action),
            ..of(numbers::OUTPUT_UNCERTAIN)
        },
        // Given to C by `command`, which has the journal.
        Event::Command { .. } => of(numbers::OUTPUT_WAIT),
        Event::LeaseEnded => of(numbers::OUTPUT_LEASE_ENDED),
        Event::News(kind) => records::Output { object: numbers::kind(kind), ..of(numbers::OUTPUT_NEWS) },
    }
}

fn permitted(output: records::Output, permit: &Permit) -> records::Output {
    let operation: Operation = permit.operation();
    let obligations = permit.obligations();
    let device = *permit.device().as_bytes();
    let (code, alert) = (convert::mark(obligations.mark), i32::from(obligations.alert));
    records::Output { operation: operation as i32, code, alert, device, ..output }
}

fn with_bytes(output: records::Output, bytes: &[u8]) -> records::Output {
    if bytes.is_empty() { output } else { records::Output { bytes: bytes.as_ptr(), length: bytes.len(), ..output } }
}

/// An output of this kind with nothing else in it.
const fn of(kind: i32) -> records::Output {
    records::Output {
        kind,
        why: 0,
        code: 0,
        operation: 0,
        resource: 0,
        status: 0,
        detail: 0,
        object: 0,
        alert: 0,
        initiated: 0,
        peer: 0,
        call: 0,
        ask: 0,
        act: 0,
        wait_until_ms: 0,
        counter: 0,
        action: NO_ACTION,
        device: [0; 16],
        address: records::Address { length: 0, bytes: [0; 19] },
        bytes: ptr::null(),
        length: 0,
    }
}
