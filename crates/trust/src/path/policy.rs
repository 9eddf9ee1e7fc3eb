//! Certificate policies (RFC 5280 section 6.1) for a relying party that accepts any policy and sets no flag.
//!
//! For such a relying party the valid policy tree matters in one way only: whether it is empty when some authority
//! above demands an explicit policy. So not the tree is kept but its lowest level, as a bounded set of the policies
//! that the next certificate may name; the tree is empty exactly when that level is.

use super::{Error, MAX_CHAIN, read_again};
use crate::{
    der::Oid,
    x509::{Certificate, PolicyMapping, ids},
};

/// The most policies one level of the tree may have; those in use have a handful.
const MAX_LEVEL: usize = 32;

/// The lowest level of the valid policy tree.
#[derive(Clone, Copy)]
struct Level<'a> {
    /// Whether `anyPolicy` is valid.
    any: bool,
    policies: [Oid<'a>; MAX_LEVEL],
    length: usize,
}

impl<'a> Level<'a> {
    const fn new(any: bool) -> Self {
        Self { any, policies: [ids::ANY_POLICY; MAX_LEVEL], length: 0 }
    }

    fn iter(&self) -> impl Iterator<Item = Oid<'a>> + '_ {
        self.policies.iter().take(self.length).copied()
    }

    fn contains(&self, policy: Oid<'_>) -> bool {
        self.iter().any(|held| held == policy)
    }

    fn insert(&mut self, policy: Oid<'a>) -> Result<(), Error> {
        if self.contains(policy) {
            return Ok(());
        }
        *self.policies.get_mut(self.length).ok_or(Error::PolicyTooComplex)? = policy;
        self.length = self.length.saturating_add(1);
        Ok(())
    }

    const fn is_empty(&self) -> bool {
        !self.any && self.length == 0
    }
}

/// The state variables of RFC 5280 section 6.1.2 that are about policies.
struct State<'a> {
    level: Level<'a>,
    explicit_policy: u32,
    policy_mapping: u32,
    inhibit_any_policy: u32,
}

/// Checks the policies of a path in which somebody demands an explicit policy; in others nothing can fail.
///
/// The path is given from the leaf up, and every certificate of it was read before.
#[inline(never)]
pub(super) fn check(path: &[&[u8]]) -> Result<(), Error> {
    let skip = u32::try_from(path.len()).unwrap_or(u32::MAX).saturating_add(1);
    let mut state =
        State { level: Level::new(true), explicit_policy: skip, policy_mapping: skip, inhibit_any_policy: skip };
    let top = u8::try_from(path.len().min(MAX_CHAIN)).unwrap_or_default();
    for (index, encoding) in (0..top).rev().zip(path.iter().take(MAX_CHAIN).rev()) {
        let certificate = read_again(encoding, index)?;
        let is_last = index == 0;
        let self_issued = certificate.is_self_issued();
        state.take_policies(&certificate, self_issued && !is_last)?;
        if is_last {
            state.wrap_up(&certificate);
        } else {
            state.map(&certificate)?;
            state.count_down(&certificate, self_issued);
        }
        if state.explicit_policy == 0 && state.level.is_empty() {
            return Err(Error::Policy);
        }
    }
    Ok(())
}

impl<'a> State<'a> {
    /// Section 6.1.3 (d) and (e).
    fn take_policies(&mut self, certificate: &Certificate<'a>, self_issued_authority: bool) -> Result<(), Error> {
        let before = self.level;
        self.level = Level::new(false);
        let Some(policies) = certificate.extensions().policies().certificate_policies else {
            return Ok(());
        };
        let mut any_policy = false;
        for information in policies {
            if information.policy == ids::ANY_POLICY {
                any_policy = true;
            } else if before.any || before.contains(information.policy) {
                self.level.insert(information.policy)?;
            }
        }
        if any_policy && (self.inhibit_any_policy > 0 || self_issued_authority) {
            self.level.any = before.any;
            for policy in before.iter() {
                self.level.insert(policy)?;
            }
        }
        if self.explicit_policy == 0 && self.level.is_empty() { Err(Error::Policy) } else { Ok(()) }
    }

    /// Section 6.1.4 (b). That `anyPolicy` is not mapped was checked when the certificate was read.
    fn map(&mut self, certificate: &Certificate<'a>) -> Result<(), Error> {
        let Some(mappings) = certificate.extensions().policies().mappings else { return Ok(()) };
        let valid = self.level;
        let from = |policy: Oid<'_>| mappings.into_iter().any(|mapping| mapping.issuer_domain == policy);
        self.level = Level::new(valid.any);
        for policy in valid.iter().filter(|policy| !from(*policy)) {
            self.level.insert(policy)?;
        }
        if self.policy_mapping > 0 {
            for PolicyMapping { issuer_domain, subject_domain } in mappings {
                if valid.any || valid.contains(issuer_domain) {
                    self.level.insert(subject_domain)?;
                }
            }
        }
        Ok(())
    }

    /// Section 6.1.4 (h), (i) and (j).
    fn count_down(&mut self, certificate: &Certificate<'_>, self_issued: bool) {
        let one = u32::from(!self_issued);
        self.explicit_policy = self.explicit_policy.saturating_sub(one);
        self.policy_mapping = self.policy_mapping.saturating_sub(one);
        self.inhibit_any_policy = self.inhibit_any_policy.saturating_sub(one);
        let policies = certificate.extensions().policies();
        if let Some(constraints) = policies.constraints {
            let lower = |held: u32, stated: Option<u32>| stated.map_or(held, |stated| held.min(stated));
            self.explicit_policy = lower(self.explicit_policy, constraints.require_explicit_policy);
            self.policy_mapping = lower(self.policy_mapping, constraints.inhibit_policy_mapping);
        }
        if let Some(stated) = policies.inhibit_any_policy {
            self.inhibit_any_policy = self.inhibit_any_policy.min(stated);
        }
    }

    /// Section 6.1.5 (a) and (b).
    fn wrap_up(&mut self, leaf: &Certificate<'_>) {
        self.explicit_policy = self.explicit_policy.saturating_sub(1);
        let stated = leaf.extensions().policies().constraints.and_then(|c| c.require_explicit_policy);
        if stated == Some(0) {
            self.explicit_policy = 0;
        }
    }
}
