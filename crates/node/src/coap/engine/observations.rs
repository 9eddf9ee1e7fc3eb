//! Observations (RFC 7641): who is to be told of changes, and the telling.

use super::super::message::Response;
use super::{Call, Engine, Output, Protection};
use crate::coap::Request;
use medlock_proto::coap::block::{Block, BlockSize};
use medlock_proto::coap::observe::Observer;
use medlock_proto::coap::{Message, Type};
use std::net::SocketAddr;

#[derive(Debug)]
pub(super) struct Observation {
    pub(super) to: SocketAddr,
    pub(super) protection: Protection,
    pub(super) observer: Observer,
    pub(super) request: Request,
    pub(super) block2: Option<Block>,
    pub(super) in_flight: bool,
    pub(super) newest: Option<Response>,
}

impl Engine {
    /// The observed resource of the call of this number changed.
    pub fn notify(&mut self, now: u64, call: u64, response: Response, out: &mut Vec<Output>) {
        let Some(observation) = self.observations.get_mut(&call) else { return };
        if observation.in_flight {
            observation.newest = Some(response);
        } else {
            self.send_notification(now, call, &response, out);
        }
    }

    /// The resource of an observation went, or its handler did.
    pub fn end_observation(&mut self, call: u64) {
        self.observations.remove(&call);
    }

    /// An acknowledgement or a reset came.
    pub(super) fn settled(&mut self, now: u64, from: SocketAddr, message: &Message<'_>, out: &mut Vec<Output>) {
        let Some(held) = self.unacknowledged.remove(&(from, message.id())) else { return };
        let Some(call) = held.observation else { return };
        if message.kind() == Type::Reset {
            return self.cancel(call, out);
        }
        let Some(observation) = self.observations.get_mut(&call) else { return };
        observation.observer.acknowledged(now);
        observation.in_flight = false;
        if let Some(newest) = observation.newest.take() {
            self.send_notification(now, call, &newest, out);
        }
    }

    /// Takes up an observation; gives the number of its first notification.
    pub(super) fn observe(&mut self, now: u64, call: u64, answered: &mut Call) -> Option<u32> {
        let of_address = self.observations.values().filter(|other| other.to == answered.from).count();
        let room =
            self.observations.len() < self.limits.observations && of_address < self.limits.observations_per_address;
        if !room || (answered.protection.context().is_none() && !self.origins.is_confirmed(answered.from)) {
            return None;
        }
        let (_, _, token) = answered.pending.response(answered.id);
        let mut observer = Observer::new(token, now);
        let (number, _) = observer.notify(now, 0);
        let observation = Observation {
            to: answered.from,
            protection: Protection::None,
            observer,
            request: answered.request.clone(),
            block2: answered.block2,
            in_flight: false,
            newest: None,
        };
        self.observations.insert(call, observation);
        Some(number)
    }

    /// Sends a notification, always confirmable: the newest state arrives whatever the network loses.
    pub(super) fn send_notification(&mut self, now: u64, call: u64, response: &Response, out: &mut Vec<Output>) {
        let Some(mut observation) = self.observations.remove(&call) else { return };
        let (number, _) = observation.observer.notify(now, 0);
        let id = self.origins.at(observation.to).draw_id();
        let last = !response.code.is_success();
        let transfers = match observation.protection.context() {
            None => Some(&mut self.origins.at(observation.to).transfers),
            Some(context) => self.contexts.at(&context, now).map(|context| &mut context.transfers),
        };
        let Some(transfers) = transfers else { return out.push(Output::Forget(call)) };
        let (request, size) = (&observation.request, observation.block2);
        let size = size.map(|block| Block::first(block.size()));
        let part = transfers.answer(request, size, response.clone(), BlockSize::LARGEST, now);
        let delivery = (Type::Confirmable, id, observation.observer.token());
        let number = (!last).then_some(number);
        let Some(bytes) = self.seal(now, delivery, &mut observation.protection, &part, number) else {
            return out.push(Output::Forget(call));
        };
        self.await_acknowledgement(now, observation.to, id, &bytes, (!last).then_some(call));
        out.push(Output::Send(observation.to, bytes));
        if last {
            out.push(Output::Forget(call));
        } else {
            observation.in_flight = true;
            self.observations.insert(call, observation);
        }
    }

    /// The client observes no longer (RFC 7641 section 3.6).
    pub(super) fn deregister(&mut self, call: &Call, out: &mut Vec<Output>) {
        let (_, _, token) = call.pending.response(call.id);
        let of = |other: &Observation| {
            other.observer.token() == token
                && other.protection.context() == call.protection.context()
                && (other.to == call.from || call.protection.context().is_some())
        };
        let gone: Vec<u64> = self.observations.iter().filter(|(_, other)| of(other)).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|id| self.cancel(id, out));
    }

    pub(super) fn cancel(&mut self, call: u64, out: &mut Vec<Output>) {
        if self.observations.remove(&call).is_some() {
            out.push(Output::Forget(call));
        }
    }
}
