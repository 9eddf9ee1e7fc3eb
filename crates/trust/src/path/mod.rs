//! Path validation (RFC 5280 section 6) with a budget.
//!
//! The chain comes from the peer, leaf first and in order; there is no search. Whether the path is *within its
//! validity* is not judged here: expiry alone never stops therapy or renewal, so [`decide`](mod@crate::decide) judges
//! it for each operation. [`VerifiedPath::check_validity`] is for callers that want the plain rule.
//!
//! Differences from the standard are in docs/divergences.md.

mod anchor;
mod budget;
mod names;
mod policy;

pub use anchor::{Anchor, AuthorityKind};
pub use budget::{Budget, Limit};

use crate::{
    crypto::{Crypto, PublicKey, VerifyError},
    id::KeyId,
    time::Time,
    x509::{self, Certificate, Field, KeyUsage, NameForm, Problem, Validity, Version, X509},
};
use core::fmt;

/// The most certificates in a chain. Those of devices have two or three; the deepest in use on the web have five.
pub const MAX_CHAIN: usize = 8;
const MAX_CHAIN_INDEX: u8 = MAX_CHAIN as u8;

/// Why there is no valid path. `index` counts certificates from the leaf, which is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no certificate at all.
    EmptyChain,
    /// There are more than [`MAX_CHAIN`] certificates.
    ChainTooLong,
    /// A certificate cannot be read.
    Certificate {
        /// Which one.
        index: u8,
        /// What is wrong with it.
        error: x509::Error,
    },
    /// No anchor has the name of any issuer in the chain.
    UnknownIssuer,
    /// The leaf is an anchor itself.
    AnchorAsLeaf,
    /// A certificate's issuer is not the subject of the next one.
    IssuerMismatch {
        /// The certificate with the wrong issuer.
        index: u8,
    },
    /// A certificate is signed with an algorithm that is unknown here or does not fit its issuer's key.
    UnsupportedAlgorithm {
        /// The signed certificate.
        index: u8,
    },
    /// A certificate's signature is wrong.
    BadSignature {
        /// The signed certificate.
        index: u8,
    },
    /// A certificate has a critical extension that is unknown here.
    UnknownCriticalExtension {
        /// Which certificate.
        index: u8,
    },
    /// A certificate that issued another is not an authority's: `basicConstraints` is absent or says no.
    NotAuthority {
        /// The issuing certificate.
        index: u8,
    },
    /// A certificate that issued another may not sign certificates: `keyUsage` lacks `keyCertSign`.
    KeyUsage {
        /// The issuing certificate.
        index: u8,
    },
    /// A certificate that is not an authority's has what only those may have: `keyCertSign` or name constraints.
    Contradiction {
        /// Which certificate.
        index: u8,
    },
    /// A certificate's key is of a kind or size that is not supported.
    UnsupportedKey {
        /// The certificate with the key.
        index: u8,
    },
    /// More authorities follow below one than its path length allows.
    PathLength {
        /// The first authority too many.
        index: u8,
    },
    /// A name is outside what an authority above is constrained to, or of a form that is constrained and unsupported.
    NameConstraint {
        /// The certificate with the name.
        index: u8,
        /// The form of the name.
        form: NameForm,
    },
    /// An authority demands an explicit policy and the path has none.
    Policy,
    /// More policies are valid at once than are kept.
    PolicyTooComplex,
    /// The budget ran out.
    Budget(Limit),
    /// The path is not valid yet.
    NotYetValid {
        /// The first second in which it is.
        not_before: Time,
    },
    /// The path is no longer valid.
    Expired {
        /// The last second in which it was.
        not_after: Time,
    },
}

impl Error {
    /// A stable name of the reason, for machines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::EmptyChain => "chain-empty",
            Self::ChainTooLong => "chain-too-long",
            Self::Certificate { .. } => "certificate-malformed",
            Self::UnknownIssuer => "issuer-unknown",
            Self::AnchorAsLeaf => "anchor-as-leaf",
            Self::IssuerMismatch { .. } => "issuer-mismatch",
            Self::UnsupportedAlgorithm { .. } => "algorithm-unsupported",
            Self::BadSignature { .. } => "signature-wrong",
            Self::UnknownCriticalExtension { .. } => "critical-extension-unknown",
            Self::NotAuthority { .. } => "issuer-not-authority",
            Self::KeyUsage { .. } => "issuer-key-usage",
            Self::Contradiction { .. } => "extensions-contradict",
            Self::UnsupportedKey { .. } => "key-unsupported",
            Self::PathLength { .. } => "path-too-long",
            Self::NameConstraint { .. } => "name-constraint",
            Self::Policy => "policy-missing",
            Self::PolicyTooComplex => "policy-too-complex",
            Self::Budget(_) => "budget-exhausted",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::Expired { .. } => "expired",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyChain => f.write_str("the chain has no certificate"),
            Self::ChainTooLong => write!(f, "the chain has more than {MAX_CHAIN} certificates"),
            Self::Certificate { index, error } => write!(f, "certificate {index} cannot be read: {error}"),
            Self::UnknownIssuer => f.write_str("no known authority issued a certificate of the chain"),
            Self::AnchorAsLeaf => f.write_str("the leaf is an authority's own certificate"),
            Self::IssuerMismatch { index } => {
                write!(f, "the issuer of certificate {index} is not the subject of the next one")
            }
            Self::UnsupportedAlgorithm { index } => {
                write!(f, "certificate {index} is signed with an algorithm or key that is not supported")
            }
            Self::BadSignature { index } => write!(f, "the signature of certificate {index} is wrong"),
            Self::UnknownCriticalExtension { index } => {
                write!(f, "certificate {index} has a critical extension that is unknown here")
            }
            Self::NotAuthority { index } => {
                write!(f, "certificate {index} issued another and is not an authority's (basicConstraints)")
            }
            Self::KeyUsage { index } => {
                write!(f, "certificate {index} issued another and may not sign certificates (keyUsage)")
            }
            Self::Contradiction { index } => {
                write!(f, "certificate {index} has keyCertSign or name constraints and is not an authority's")
            }
            Self::UnsupportedKey { index } => write!(f, "the key of certificate {index} is not supported"),
            Self::PathLength { index } => {
                write!(f, "certificate {index} is one authority more than the path length above it allows")
            }
            Self::NameConstraint { index, form } => {
                write!(f, "a {form} of certificate {index} is outside the name constraints above it")
            }
            Self::Policy => f.write_str("an authority demands an explicit policy and the path has none"),
            Self::PolicyTooComplex => f.write_str("the path has more policies than are kept"),
            Self::Budget(Limit::Signatures) => f.write_str("too many signature checks would be needed"),
            Self::Budget(Limit::Steps) => f.write_str("too many names would have to be compared"),
            Self::Budget(Limit::Bytes) => f.write_str("the chain is too large"),
            Self::NotYetValid { not_before } => write!(f, "the path is not valid before {not_before}"),
            Self::Expired { not_after } => write!(f, "the path is not valid after {not_after}"),
        }
    }
}

impl core::error::Error for Error {}

/// A path that was validated. Only [`validate`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedPath<'a> {
    leaf: Certificate<'a>,
    path: Candidate<'a>,
    validity: Validity,
    anchor: Anchor<'a>,
    /// Those of the authorities and then the anchor's; the rest repeat the anchor's.
    issuer_keys: [KeyId; MAX_CHAIN],
}

impl<'a> VerifiedPath<'a> {
    /// The certificate the path is about.
    #[must_use]
    pub const fn leaf(&self) -> &Certificate<'a> {
        &self.leaf
    }

    /// The anchor the path ends in.
    #[must_use]
    pub const fn anchor(&self) -> &Anchor<'a> {
        &self.anchor
    }

    /// All certificates from the leaf up, without the anchor's own. They are kept as bytes and read anew each time.
    pub fn certificates(&self) -> impl DoubleEndedIterator<Item = Certificate<'a>> + ExactSizeIterator + '_ {
        self.path.encodings().iter().map(|encoding| Certificate::read(encoding).unwrap_or(self.leaf))
    }

    /// When every certificate of the path is valid: the latest beginning and the earliest end. The end may lie before
    /// the beginning.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// The keys that vouch for the leaf, from its issuer's up to the anchor's.
    #[must_use]
    pub fn issuer_keys(&self) -> &[KeyId] {
        self.issuer_keys.get(..self.path.encodings().len()).unwrap_or(&self.issuer_keys)
    }

    /// Judges validity at one instant, for callers without continuity rules (RFC 5280 section 6.1.3 (a) (2)).
    ///
    /// # Errors
    /// [`Error::NotYetValid`] or [`Error::Expired`].
    pub fn check_validity(&self, at: Time) -> Result<(), Error> {
        let Validity { not_before, not_after } = self.validity();
        if at > not_after {
            Err(Error::Expired { not_after })
        } else if at < not_before {
            Err(Error::NotYetValid { not_before })
        } else {
            Ok(())
        }
    }
}

/// Validates a chain (RFC 5280 section 6.1, without validity periods and revocation).
///
/// `chain` is DER or C509, also mixed, leaf first, each certificate followed by its issuer's; an anchor's own certificate may end it and
/// whatever follows is not read. The path ends at the first certificate an anchor issued. Where several anchors have
/// the issuer's name, each is tried. Key identifiers are hints to those who search for paths; here they are not needed
/// and not judged.
///
/// # Errors
/// Why there is no valid path. When several anchors were tried, the reason of the last one.
pub fn validate<'a>(
    chain: &[&'a [u8]],
    anchors: &[Anchor<'a>],
    budget: &mut Budget,
    crypto: &impl Crypto,
) -> Result<VerifiedPath<'a>, Error> {
    let (&leaf, above) = chain.split_first().ok_or(Error::EmptyChain)?;
    if chain.len() > MAX_CHAIN {
        return Err(Error::ChainTooLong);
    }
    let mut path = Candidate::new(leaf);
    let mut top = read(leaf, 0, budget)?;
    let mut above = above.iter();
    let mut reason = None;
    loop {
        let issuer = top.issuer();
        for anchor in anchors {
            budget.take_step()?;
            if !anchor.subject.matches(&issuer) {
                continue;
            }
            if anchor.is(&top) {
                // The anchor's own certificate ends the chain, and what is below it was not accepted.
                return Err(reason.unwrap_or(Error::AnchorAsLeaf));
            }
            match path.check(anchor, budget, crypto) {
                Ok(validity) => return path.verified(validity, anchor, crypto),
                Err(error @ Error::Budget(_)) => return Err(error),
                Err(error) => reason = Some(error),
            }
        }
        let Some(&next) = above.next() else { return Err(reason.unwrap_or(Error::UnknownIssuer)) };
        let index = path.last_index();
        top = read(next, index.saturating_add(1), budget)?;
        budget.take_step()?;
        if !top.subject().matches(&issuer) {
            return Err(reason.unwrap_or(Error::IssuerMismatch { index }));
        }
        path.push(next);
    }
}

fn read<'a>(encoding: &'a [u8], index: u8, budget: &mut Budget) -> Result<Certificate<'a>, Error> {
    budget.take_bytes(encoding.len())?;
    read_again(encoding, index)
}

/// A certificate is kept as its bytes and read when it is looked at: eight views at once are more than the stack of a
/// small device has, and reading costs little beside a signature check.
#[inline(never)]
fn read_again(encoding: &[u8], index: u8) -> Result<Certificate<'_>, Error> {
    Certificate::read(encoding).map_err(|error| Error::Certificate { index, error })
}

/// Certificates whose names chain and of which nothing else is checked yet.
#[derive(Clone, Debug)]
struct Candidate<'a> {
    /// The leaf and the authorities above it; the rest is empty.
    encodings: [&'a [u8]; MAX_CHAIN],
    length: usize,
}

/// What some certificate or anchor of a path asks, and most do not.
#[derive(Clone, Copy, Debug, Default)]
struct Demands {
    names: bool,
    policy: bool,
}

impl<'a> Candidate<'a> {
    fn new(leaf: &'a [u8]) -> Self {
        let mut encodings: [&[u8]; MAX_CHAIN] = [&[]; MAX_CHAIN];
        let [first, ..] = &mut encodings;
        *first = leaf;
        Self { encodings, length: 1 }
    }

    fn encodings(&self) -> &[&'a [u8]] {
        self.encodings.get(..self.length).unwrap_or(&self.encodings)
    }

    fn last_index(&self) -> u8 {
        u8::try_from(self.length.saturating_sub(1)).unwrap_or(u8::MAX)
    }

    /// Puts an authority on top. The chain's length was checked, so there is room.
    fn push(&mut self, certificate: &'a [u8]) {
        if let Some(place) = self.encodings.get_mut(self.length) {
            *place = certificate;
            self.length = self.length.saturating_add(1);
        }
    }

    /// From the certificate the anchor issued down to the leaf, each with its index.
    fn top_down(&self) -> impl Iterator<Item = (u8, &'a [u8])> {
        (0..=self.last_index()).rev().zip(self.encodings().iter().rev().copied())
    }

    /// Checks everything but names that chain: first what is cheap, then the signatures from the anchor down, so that
    /// no key is used before something vouches for it.
    fn check(&self, anchor: &Anchor<'a>, budget: &mut Budget, crypto: &impl Crypto) -> Result<Validity, Error> {
        let mut demands = Demands { names: anchor.name_constraints.is_some(), policy: false };
        let validity = self.check_each(&mut demands)?;
        if (demands.names || demands.policy) && !X509 {
            // Nothing that was read can demand it without the feature; if something did, nobody could tell whether it is met.
            return Err(Error::Policy);
        }
        if demands.names {
            self.check_names(anchor, budget)?;
        }
        if demands.policy {
            policy::check(self.encodings())?;
        }
        self.check_signatures(anchor, budget, crypto)?;
        Ok(validity)
    }

    /// What each certificate must fulfil by itself and as an authority.
    fn check_each(&self, demands: &mut Demands) -> Result<Validity, Error> {
        let mut validity = Validity { not_before: Time::from_unix(i64::MIN), not_after: Time::from_unix(i64::MAX) };
        let mut remaining: Option<u32> = None;
        for (index, encoding) in self.top_down() {
            let certificate = read_again(encoding, index)?;
            check_itself(&certificate, index)?;
            if index > 0 {
                remaining = check_authority(&certificate, index, remaining)?;
            }
            let extensions = certificate.extensions();
            demands.names |= extensions.name_constraints().is_some();
            demands.policy |=
                extensions.policies().constraints.is_some_and(|stated| stated.require_explicit_policy.is_some());
            validity.not_before = validity.not_before.max(certificate.not_before());
            validity.not_after = validity.not_after.min(certificate.not_after());
        }
        Ok(validity)
    }

    /// RFC 5280 section 6.1.3 (b) and (c): each certificate against the anchor's constraints and those of every
    /// authority above it. An authority that only changed its own key is exempt.
    #[inline(never)]
    fn check_names(&self, anchor: &Anchor<'a>, budget: &mut Budget) -> Result<(), Error> {
        for (index, encoding) in self.top_down() {
            let certificate = read_again(encoding, index)?;
            if index > 0 && certificate.is_self_issued() {
                continue;
            }
            for (above, encoding) in self.top_down().take_while(|(above, _)| *above > index) {
                let authority = read_again(encoding, above)?;
                if let Some(constraints) = authority.extensions().name_constraints() {
                    names::check(&certificate, index, constraints, budget)?;
                }
            }
            if let Some(constraints) = &anchor.name_constraints {
                names::check(&certificate, index, constraints, budget)?;
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn check_signatures(&self, anchor: &Anchor<'a>, budget: &mut Budget, crypto: &impl Crypto) -> Result<(), Error> {
        let mut issuer: Option<&'a [u8]> = None;
        for (index, encoding) in self.top_down() {
            let certificate = read_again(encoding, index)?;
            match issuer {
                None => check_signature(&certificate, index, anchor.key, budget, crypto)?,
                Some(issuer) => check_issued(&certificate, index, issuer, budget, crypto)?,
            }
            issuer = Some(encoding);
        }
        Ok(())
    }

    fn verified(
        self,
        validity: Validity,
        anchor: &Anchor<'a>,
        crypto: &impl Crypto,
    ) -> Result<VerifiedPath<'a>, Error> {
        let mut issuer_keys = [anchor.key_id; MAX_CHAIN];
        for ((key, index), authority) in
            issuer_keys.iter_mut().zip(1..=MAX_CHAIN_INDEX).zip(self.encodings().iter().skip(1))
        {
            *key = read_again(authority, index)?.key_id(crypto);
        }
        let [leaf, ..] = self.encodings;
        Ok(VerifiedPath { leaf: read_again(leaf, 0)?, path: self, validity, anchor: *anchor, issuer_keys })
    }
}

/// What each certificate must fulfil by itself, the leaf too: RFC 5280 sections 4.1.2.2, 4.2.1.9, 4.2.1.10, 6.1.4 (o)
/// and 6.1.5 (f).
fn check_itself(certificate: &Certificate<'_>, index: u8) -> Result<(), Error> {
    let extensions = certificate.extensions();
    if certificate.serial_magnitude().is_empty() {
        let error = x509::Error { field: Field::SerialNumber, problem: Problem::SerialNumber };
        return Err(Error::Certificate { index, error });
    }
    if extensions.unknown_critical().is_some() {
        return Err(Error::UnknownCriticalExtension { index });
    }
    if certificate.public_key().is_none() {
        return Err(Error::UnsupportedKey { index });
    }
    let is_authority = extensions.basic_constraints().is_some_and(|constraints| constraints.ca);
    let acts_as_one =
        extensions.key_usage().is_some_and(KeyUsage::key_cert_sign) || extensions.name_constraints().is_some();
    if index == 0 && acts_as_one && !is_authority {
        return Err(Error::Contradiction { index });
    }
    Ok(())
}

/// RFC 5280 sections 6.1.4 (k) to (n), given how many authorities may still follow from above; gives back how many may
/// below.
fn check_authority(certificate: &Certificate<'_>, index: u8, remaining: Option<u32>) -> Result<Option<u32>, Error> {
    let extensions = certificate.extensions();
    let constraints = extensions.basic_constraints().filter(|constraints| constraints.ca);
    let Some(constraints) = constraints.filter(|_| certificate.version() == Version::V3) else {
        return Err(Error::NotAuthority { index });
    };
    if extensions.key_usage().is_some_and(|usage| !usage.key_cert_sign()) {
        return Err(Error::KeyUsage { index });
    }
    let remaining = match remaining {
        Some(count) if !certificate.is_self_issued() => Some(count.checked_sub(1).ok_or(Error::PathLength { index })?),
        remaining => remaining,
    };
    Ok(match (remaining, constraints.path_length) {
        (Some(held), Some(stated)) => Some(held.min(stated)),
        (held, None) => held,
        (None, stated) => stated,
    })
}

/// Reads the issuer only for its key.
#[inline(never)]
fn check_issued(
    certificate: &Certificate<'_>,
    index: u8,
    issuer: &[u8],
    budget: &mut Budget,
    crypto: &impl Crypto,
) -> Result<(), Error> {
    let above = index.saturating_add(1);
    let issuer = read_again(issuer, above)?;
    let key = issuer.public_key().ok_or(Error::UnsupportedKey { index: above })?;
    check_signature(certificate, index, key, budget, crypto)
}

fn check_signature(
    certificate: &Certificate<'_>,
    index: u8,
    key: PublicKey<'_>,
    budget: &mut Budget,
    crypto: &impl Crypto,
) -> Result<(), Error> {
    let unsupported = Error::UnsupportedAlgorithm { index };
    if certificate.signature_algorithm().is_none() {
        return Err(unsupported);
    }
    budget.take_signature()?;
    certificate.verify_with(key, crypto).map_err(|error| match error {
        VerifyError::Unsupported => unsupported,
        VerifyError::Invalid => Error::BadSignature { index },
    })
}
