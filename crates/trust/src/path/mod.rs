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
    crypto::{Crypto, PublicKey, Signature, VerifyError},
    id::KeyId,
    time::Time,
    x509::{self, Certificate, Field, KeyUsage, NameForm, Problem, Validity, Version},
};
use core::fmt;

/// The most certificates in a chain. Those of devices have two or three; the deepest in use on the web have five.
pub const MAX_CHAIN: usize = 8;

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
    path: Candidate<'a>,
    anchor: Anchor<'a>,
    /// Those of the authorities and then the anchor's; the rest repeat the anchor's.
    issuer_keys: [KeyId; MAX_CHAIN],
}

impl<'a> VerifiedPath<'a> {
    /// The certificate the path is about.
    #[must_use]
    pub const fn leaf(&self) -> &Certificate<'a> {
        &self.path.leaf
    }

    /// The anchor the path ends in.
    #[must_use]
    pub const fn anchor(&self) -> &Anchor<'a> {
        &self.anchor
    }

    /// All certificates from the leaf up, without the anchor's own.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate<'a>] {
        self.path.certificates()
    }

    /// When every certificate of the path is valid: the latest beginning and the earliest end. The end may lie before
    /// the beginning.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.certificates().iter().map(Certificate::validity).fold(self.path.leaf.validity(), |all, one| Validity {
            not_before: all.not_before.max(one.not_before),
            not_after: all.not_after.min(one.not_after),
        })
    }

    /// The keys that vouch for the leaf, from its issuer's up to the anchor's.
    #[must_use]
    pub fn issuer_keys(&self) -> &[KeyId] {
        self.issuer_keys.get(..self.certificates().len()).unwrap_or(&self.issuer_keys)
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
/// `chain` is DER, leaf first, each certificate followed by its issuer's; an anchor's own certificate may end it and
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
    let mut path = Candidate::new(read(leaf, 0, budget)?);
    let mut above = above.iter();
    let mut reason = None;
    loop {
        let top = path.top();
        let issuer = top.issuer();
        for anchor in anchors {
            budget.take_step()?;
            if !anchor.subject.matches(&issuer) {
                continue;
            }
            if anchor.is(top) {
                // The anchor's own certificate ends the chain, and what is below it was not accepted.
                return Err(reason.unwrap_or(Error::AnchorAsLeaf));
            }
            match path.check(anchor, budget, crypto) {
                Ok(()) => return Ok(path.verified(*anchor, crypto)),
                Err(error @ Error::Budget(_)) => return Err(error),
                Err(error) => reason = Some(error),
            }
        }
        let Some(&next) = above.next() else { return Err(reason.unwrap_or(Error::UnknownIssuer)) };
        let index = path.last_index();
        let next = read(next, index.saturating_add(1), budget)?;
        budget.take_step()?;
        if !next.subject().matches(&issuer) {
            return Err(reason.unwrap_or(Error::IssuerMismatch { index }));
        }
        path.push(next);
    }
}

fn read<'a>(der: &'a [u8], index: u8, budget: &mut Budget) -> Result<Certificate<'a>, Error> {
    budget.take_bytes(der.len())?;
    Certificate::from_der(der).map_err(|error| Error::Certificate { index, error })
}

/// Certificates whose names chain and of which nothing else is checked yet.
#[derive(Clone, Debug)]
struct Candidate<'a> {
    leaf: Certificate<'a>,
    /// The leaf and the authorities above it; the rest repeats the leaf.
    certificates: [Certificate<'a>; MAX_CHAIN],
    length: usize,
}

impl<'a> Candidate<'a> {
    fn new(leaf: Certificate<'a>) -> Self {
        Self { leaf, certificates: [leaf; MAX_CHAIN], length: 1 }
    }

    fn certificates(&self) -> &[Certificate<'a>] {
        self.certificates.get(..self.length).unwrap_or(&self.certificates)
    }

    fn top(&self) -> &Certificate<'a> {
        self.certificates().last().unwrap_or(&self.leaf)
    }

    fn last_index(&self) -> u8 {
        u8::try_from(self.length.saturating_sub(1)).unwrap_or(u8::MAX)
    }

    /// Puts an authority on top. The chain's length was checked, so there is room.
    fn push(&mut self, certificate: Certificate<'a>) {
        if let Some(place) = self.certificates.get_mut(self.length) {
            *place = certificate;
            self.length = self.length.saturating_add(1);
        }
    }

    /// From the certificate the anchor issued down to the leaf, each with its index.
    fn top_down(&self) -> impl Iterator<Item = (u8, &Certificate<'a>)> {
        (0..=self.last_index()).rev().zip(self.certificates().iter().rev())
    }

    /// Checks everything but names that chain: first what is cheap, then the signatures from the anchor down, so that
    /// no key is used before something vouches for it.
    fn check(&self, anchor: &Anchor<'a>, budget: &mut Budget, crypto: &impl Crypto) -> Result<(), Error> {
        self.check_each()?;
        self.check_authorities()?;
        self.check_names(anchor, budget)?;
        policy::check(self.certificates().iter().rev())?;
        let mut key = anchor.key;
        for (index, certificate) in self.top_down() {
            check_signature(certificate, index, key, budget, crypto)?;
            key = certificate.public_key().ok_or(Error::UnsupportedKey { index })?;
        }
        Ok(())
    }

    /// What each certificate must fulfil by itself, the leaf too: RFC 5280 sections 4.1.2.2, 4.2.1.9, 4.2.1.10, 6.1.4 (o)
    /// and 6.1.5 (f).
    fn check_each(&self) -> Result<(), Error> {
        for (index, certificate) in self.top_down() {
            let extensions = certificate.extensions();
            if certificate.serial_number() == [0] {
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
        }
        Ok(())
    }

    /// RFC 5280 sections 6.1.4 (k) to (n).
    fn check_authorities(&self) -> Result<(), Error> {
        let mut remaining: Option<u32> = None;
        for (index, certificate) in self.top_down() {
            let extensions = certificate.extensions();
            if index == 0 {
                continue;
            }
            let constraints = extensions.basic_constraints().filter(|constraints| constraints.ca);
            let Some(constraints) = constraints.filter(|_| certificate.version() == Version::V3) else {
                return Err(Error::NotAuthority { index });
            };
            if extensions.key_usage().is_some_and(|usage| !usage.key_cert_sign()) {
                return Err(Error::KeyUsage { index });
            }
            if !certificate.is_self_issued() {
                remaining = match remaining {
                    Some(count) => Some(count.checked_sub(1).ok_or(Error::PathLength { index })?),
                    None => None,
                };
            }
            remaining = match (remaining, constraints.path_length) {
                (Some(held), Some(stated)) => Some(held.min(stated)),
                (held, None) => held,
                (None, stated) => stated,
            };
        }
        Ok(())
    }

    /// RFC 5280 section 6.1.3 (b) and (c): each certificate against the anchor's constraints and those of every
    /// authority above it. An authority that only changed its own key is exempt.
    fn check_names(&self, anchor: &Anchor<'a>, budget: &mut Budget) -> Result<(), Error> {
        let constrained_above = |index: usize| {
            self.certificates().iter().skip(index.saturating_add(1)).filter_map(|ca| ca.extensions().name_constraints())
        };
        for (index, (number, certificate)) in (0_u8..).zip(self.certificates()).enumerate() {
            let mut constraints = constrained_above(index).chain(&anchor.name_constraints).peekable();
            if constraints.peek().is_none() || (index > 0 && certificate.is_self_issued()) {
                continue;
            }
            constraints.try_for_each(|constraints| names::check(certificate, number, constraints, budget))?;
        }
        Ok(())
    }

    fn verified(self, anchor: Anchor<'a>, crypto: &impl Crypto) -> VerifiedPath<'a> {
        let mut issuer_keys = [anchor.key_id; MAX_CHAIN];
        for (key, authority) in issuer_keys.iter_mut().zip(self.certificates().iter().skip(1)) {
            *key = KeyId::of(&[authority.spki()], crypto);
        }
        VerifiedPath { path: self, anchor, issuer_keys }
    }
}

fn check_signature(
    certificate: &Certificate<'_>,
    index: u8,
    key: PublicKey<'_>,
    budget: &mut Budget,
    crypto: &impl Crypto,
) -> Result<(), Error> {
    let unsupported = Error::UnsupportedAlgorithm { index };
    let algorithm = certificate.signature_algorithm().ok_or(unsupported)?;
    budget.take_signature()?;
    let signature = Signature::X509(certificate.signature());
    crypto.verify(algorithm, key, &[certificate.tbs()], signature).map_err(|error| match error {
        VerifyError::Unsupported => unsupported,
        VerifyError::Invalid => Error::BadSignature { index },
    })
}
