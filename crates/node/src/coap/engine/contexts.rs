//! OSCORE security contexts of peers: bounded in number, for each device and in all; the one used longest ago goes.
//!
//! A device is what one authority calls so, by credentials of one kind: names belong to a site, and a maker's serial number
//! may read like the name of a device. So a stranger's credential never ends the contexts of another device.

use super::super::blocks::Transfers;
use super::super::bounded::Bounded;
use super::super::handler::Peer;
use crate::sessions::Session;
use medlock_proto::edhoc::ConnectionId;
use medlock_proto::oscore::SecurityContext;
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::{DeviceId, Identified, KeyId};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Context {
    pub(super) security: SecurityContext,
    pub(super) peer: Arc<Peer>,
    pub(super) transfers: Transfers,
    pub(super) used: u64,
    /// Its registration: judged again when news arrives.
    pub(super) session: Session,
}

#[derive(Debug)]
pub(super) struct Contexts {
    entries: Bounded<ConnectionId, Context>,
    room: Room,
    idle_ms: u64,
}

/// How many a device may have, and how many birth credentials.
#[derive(Clone, Copy, Debug)]
pub(in crate::coap) struct Room {
    per_device: usize,
    newborn: usize,
}

impl Room {
    /// Of `most` in all.
    pub(in crate::coap) fn new(most: usize, per_device: usize) -> Self {
        Self { per_device: per_device.max(1), newborn: (most / 4).max(1) }
    }

    /// Which of those held, the one used longest ago first, must go for one more of `who`.
    pub(in crate::coap) fn surplus<K: Copy>(&self, held: &[(K, &Identified)], who: &Identified) -> Vec<K> {
        let beyond = |most: usize, these: &dyn Fn(&Identified) -> bool| {
            let same: Vec<K> = held.iter().filter(|(_, held)| these(held)).map(|(key, _)| *key).collect();
            let surplus = (same.len() + 1).saturating_sub(most);
            same.into_iter().take(surplus).collect::<Vec<K>>()
        };
        let gone = beyond(self.per_device, &|held| device(held) == device(who));
        if who.kind() == CredentialKind::Birth && gone.is_empty() {
            // A maker has many devices, and all of them have birth credentials.
            return beyond(self.newborn, &|held| held.kind() == CredentialKind::Birth);
        }
        gone
    }
}

impl Contexts {
    pub(super) fn new(most: usize, per_device: usize, idle_ms: u64) -> Self {
        Self { entries: Bounded::new(most), room: Room::new(most, per_device), idle_ms }
    }

    /// The context of this identifier, used at `now`.
    pub(super) fn at(&mut self, id: &ConnectionId, now: u64) -> Option<&mut Context> {
        let context = self.entries.get(id)?;
        context.used = now;
        Some(context)
    }

    pub(super) fn contains(&self, id: &ConnectionId) -> bool {
        self.entries.peek(id).is_some()
    }

    /// Adds a context; gives back which ones had to go.
    pub(super) fn add(&mut self, id: ConnectionId, context: Context) -> Vec<ConnectionId> {
        let held = self.entries.iter().map(|(id, held)| (*id, &held.peer.identified));
        let mut gone = self.room.surplus(&held.collect::<Vec<_>>(), &context.peer.identified);
        gone.iter().for_each(|id| drop(self.entries.remove(id)));
        gone.extend(self.entries.insert(id, context).map(|(id, _)| id));
        gone
    }

    pub(super) fn remove(&mut self, id: &ConnectionId) -> Option<Context> {
        self.entries.remove(id)
    }

    /// Takes out the contexts that must end: their peers may do nothing any more, or they were idle for too long.
    pub(super) fn sweep(&mut self, now: u64) -> Vec<(ConnectionId, Context)> {
        let idle = self.idle_ms;
        let over = |context: &Context| {
            context.session.end_reason().is_some() || context.security.is_lost() || now >= context.used + idle
        };
        let gone: Vec<ConnectionId> =
            self.entries.iter().filter(|(_, context)| over(context)).map(|(id, _)| *id).collect();
        gone.into_iter().filter_map(|id| Some((id, self.entries.remove(&id)?))).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }
}

/// Which device this is.
fn device(who: &Identified) -> (Option<KeyId>, DeviceId, CredentialKind) {
    (who.authority(), who.device(), who.kind())
}
