//! Tokens that were shown lately, with what they stand for: what the store says of them is not asked each time.

use super::caller::Grant;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Tokens that are remembered, at most.
const TOKENS: usize = 65_536;
/// Bytes of what they stand for, at most.
const BYTES: usize = 40 << 20;
/// What a value that a scope asks for takes, with all that is around it, and a scope or a right.
const VALUE: usize = 150;
const RIGHT: usize = 32;

/// Live tokens by their hashes.
#[derive(Default)]
pub(super) struct Live {
    grants: HashMap<[u8; 32], Arc<Grant>>,
    bytes: usize,
}

/// What is counted of a grant.
fn size(grant: &Grant) -> usize {
    let rights = grant.rights.len().saturating_add(grant.scopes.resources().len());
    let values = grant.scopes.values().saturating_mul(VALUE);
    let chain = grant.member.iter().flat_map(|member| &member.chain).map(Vec::len);
    rights.saturating_mul(RIGHT).saturating_add(values).saturating_add(chain.sum())
}

impl Live {
    pub(super) fn of(&self, hash: [u8; 32]) -> Option<Arc<Grant>> {
        self.grants.get(&hash).cloned()
    }

    /// Remembers a token. Where there are too many, those that have ended leave, and if that is not enough, all.
    pub(super) fn remember(&mut self, hash: [u8; 32], grant: &Arc<Grant>, now: i64) {
        let more = size(grant);
        if self.is_full(more) {
            self.retain(|grant| grant.until > now);
        }
        if self.is_full(more) {
            self.retain(|_| false);
        }
        let before = self.grants.insert(hash, Arc::clone(grant));
        self.bytes = self.bytes.saturating_add(more).saturating_sub(before.map_or(0, |grant| size(&grant)));
    }

    /// Forgets tokens of what has ended.
    pub(super) fn forget(&mut self, ended: &HashSet<i64>) {
        self.retain(|grant| !ended.contains(&grant.leave));
    }

    fn is_full(&self, more: usize) -> bool {
        self.grants.len() >= TOKENS || self.bytes.saturating_add(more) > BYTES
    }

    fn retain(&mut self, stays: impl Fn(&Grant) -> bool) {
        self.grants.retain(|_, grant| stays(grant));
        self.bytes = self.grants.values().map(|grant| size(grant)).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Binding, Holder};
    use crate::auth::Scopes;
    use crate::kind::Kind;

    fn grant(scopes: &Scopes, leave: i64, until: i64) -> Arc<Grant> {
        let holder = Holder::Software { client: "c".to_owned() };
        let (none, rights) = (Scopes::default(), Arc::from([]));
        let grant =
            Grant { leave, holder, person: None, binding: Binding::Bearer, until, scopes: none, rights, member: None };
        Arc::new(grant.good_for(scopes.clone()))
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
        let each = size(&grant(&scopes, 1, 10));
        assert_eq!(each, 16 * VALUE + 2 * RIGHT, "sixteen values, a scope and a right");
        let most = BYTES / each;
        let mut live = Live::default();
        // The same token counts once.
        for number in (0..most).chain(0..most) {
            live.remember(hash(number), &grant(&scopes, 1, if number < 5 { 10 } else { 100 }), 0);
        }
        assert_eq!((live.grants.len(), live.bytes), (most, most * each));
        // Those that have ended make room.
        live.remember(hash(most), &grant(&scopes, 2, 100), 50);
        assert_eq!((live.grants.len(), live.bytes), (most - 4, (most - 4) * each));
        live.forget(&HashSet::from([2]));
        assert_eq!((live.of(hash(most)), live.bytes), (None, (most - 5) * each));
        for number in 0..6 {
            live.remember(hash(most + number), &grant(&scopes, 1, 100), 50);
        }
        assert_eq!((live.grants.len(), live.bytes), (1, each), "no room: all are asked for again");
        // Without any values their number counts.
        let plain = Scopes::read("system/Observation.rs").expect("scopes");
        for number in 0..=TOKENS {
            live.remember(hash(number), &grant(&plain, 1, 100), 50);
            assert!(live.grants.len() <= TOKENS);
        }
    }

    /// Shows REQ-SMART-182: whoever asks for each set of verbs by itself has no more rights than who asks for all of them at once, and
    /// what is remembered is bounded by rights too.
    #[test]
    fn rights_are_merged_and_counted() {
        let letters = |set: usize| "cruds".chars().enumerate().filter(move |(place, _)| set >> place & 1 == 1);
        let each = |set: usize| letters(set).map(|(_, letter)| letter).collect::<String>();
        let all: Vec<String> = (1..32).map(|set| format!("system/*.{}", each(set))).collect();
        let asked = grant(&Scopes::read(&all.join(" ")).expect("scopes"), 1, 100);
        let plain = grant(&Scopes::read("system/*.cruds").expect("scopes"), 1, 100);
        assert_eq!(asked.rights, plain.rights);
        let kinds = Kind::all().count();
        assert_eq!(asked.rights.len(), kinds);
        assert_eq!(size(&asked), (31 + kinds) * RIGHT);
        let mut live = Live::default();
        for number in 0..=BYTES / size(&asked) {
            live.remember(hash(number), &asked, 50);
            assert!(live.bytes <= BYTES);
        }
        assert_eq!(live.grants.len(), 1, "no room: all are asked for again");
    }
}
