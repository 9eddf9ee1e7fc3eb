//! Tokens that were shown lately, with what they stand for: what the store says of them is not asked each time.

use super::caller::Grant;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Tokens that are remembered, at most.
const TOKENS: usize = 65_536;
/// Values that all their scopes ask for, at most: in memory each is some 150 bytes.
const VALUES: usize = 1 << 18;

/// Live tokens by their hashes.
#[derive(Default)]
pub(super) struct Live {
    grants: HashMap<[u8; 32], Arc<Grant>>,
    values: usize,
}

impl Live {
    pub(super) fn of(&self, hash: [u8; 32]) -> Option<Arc<Grant>> {
        self.grants.get(&hash).cloned()
    }

    /// Remembers a token. Where there are too many, those that have ended leave, and if that is not enough, all.
    pub(super) fn remember(&mut self, hash: [u8; 32], grant: &Arc<Grant>, now: i64) {
        let values = grant.scopes.values();
        if self.is_full(values) {
            self.retain(|grant| grant.until > now);
        }
        if self.is_full(values) {
            self.retain(|_| false);
        }
        let before = self.grants.insert(hash, Arc::clone(grant));
        self.values =
            self.values.saturating_add(values).saturating_sub(before.map_or(0, |grant| grant.scopes.values()));
    }

    /// Forgets tokens of what has ended.
    pub(super) fn forget(&mut self, ended: &HashSet<i64>) {
        self.retain(|grant| !ended.contains(&grant.leave));
    }

    fn is_full(&self, more: usize) -> bool {
        self.grants.len() >= TOKENS || self.values.saturating_add(more) > VALUES
    }

    fn retain(&mut self, stays: impl Fn(&Grant) -> bool) {
        self.grants.retain(|_, grant| stays(grant));
        self.values = self.grants.values().map(|grant| grant.scopes.values()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Binding, Holder};
    use crate::auth::Scopes;

    fn grant(scopes: &Scopes, leave: i64, until: i64) -> Arc<Grant> {
        let holder = Holder::Software { client: "c".to_owned() };
        let (scopes, rights) = (scopes.clone(), Arc::from([]));
        Arc::new(Grant { leave, holder, person: None, binding: Binding::Bearer, until, scopes, rights, member: None })
    }

    fn hash(number: usize) -> [u8; 32] {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        hash
    }

    /// Shows REQ-SMART-170: what is remembered of tokens is bounded by what their scopes ask, not by their number alone.
    #[test]
    fn tokens_with_many_values_are_fewer() {
        let values = |name: &str| format!("{name}={}", ["a", "b", "c", "d", "e", "f", "g", "h"].join(","));
        let scope = format!("system/Observation.rs?{}&{}", values("code"), values("category"));
        let scopes = Scopes::read(&scope).expect("scopes");
        assert_eq!(scopes.values(), 16);
        let most = VALUES / 16;
        let mut live = Live::default();
        // The same token counts once.
        for number in (0..most).chain(0..most) {
            live.remember(hash(number), &grant(&scopes, 1, if number < 5 { 10 } else { 100 }), 0);
        }
        assert_eq!((live.grants.len(), live.values), (most, VALUES));
        // Those that have ended make room.
        live.remember(hash(most), &grant(&scopes, 2, 100), 50);
        assert_eq!((live.grants.len(), live.values), (most - 4, VALUES - 4 * 16));
        live.forget(&HashSet::from([2]));
        assert_eq!((live.of(hash(most)), live.values), (None, VALUES - 5 * 16));
        for number in 0..6 {
            live.remember(hash(most + number), &grant(&scopes, 1, 100), 50);
        }
        assert_eq!((live.grants.len(), live.values), (1, 16), "no room: all are asked for again");
        // Without any values their number counts.
        let plain = Scopes::read("system/*.rs").expect("scopes");
        for number in 0..=TOKENS {
            live.remember(hash(number), &grant(&plain, 1, 100), 50);
            assert!(live.grants.len() <= TOKENS);
        }
    }
}
