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
    per_device: usize,
    newborn: usize,
    idle_ms: u64,
}

impl Contexts {
    pub(super) fn new(most: usize, per_device: usize, idle_ms: u64) -> Self {
        Self { entries: Bounded::new(most), per_device: per_device.max(1), newborn: (most / 4).max(1), idle_ms }
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
        let who = &context.peer.identified;
        let mut gone = self.surplus(self.per_device, |held| device(held) == device(who));
        if who.kind() == CredentialKind::Birth && gone.is_empty() {
            // A maker has many devices, and all of them have birth credentials.
            gone = self.surplus(self.newborn, |held| held.kind() == CredentialKind::Birth);
        }
        gone.iter().for_each(|id| drop(self.entries.remove(id)));
        gone.extend(self.entries.insert(id, context).map(|(id, _)| id));
        gone
    }

    /// Which contexts of `these` must go for one more, so that there are at most `most`.
    fn surplus(&self, most: usize, these: impl Fn(&Identified) -> bool) -> Vec<ConnectionId> {
        let same = self.entries.iter().filter(|(_, held)| these(&held.peer.identified));
        let same: Vec<ConnectionId> = same.map(|(id, _)| *id).collect();
        let surplus = (same.len() + 1).saturating_sub(most);
        same.into_iter().take(surplus).collect()
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
