//! How much work a stranger may cause.

use super::{Error, MAX_CHAIN};

/// What may still be spent on strangers' input. Validation takes from it and fails when something runs out; a caller
/// may give one budget to several validations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Signature checks. One costs 65 µs on a server and 30 to 100 ms on a Cortex-M4.
    pub signatures: u32,
    /// Comparisons of names: of an issuer with an anchor, of a name with a constraint.
    pub steps: u32,
    /// Bytes of certificates that are read.
    pub bytes: u32,
}

/// What ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Budget::signatures`].
    Signatures,
    /// [`Budget::steps`].
    Steps,
    /// [`Budget::bytes`].
    Bytes,
}

impl Budget {
    /// The longest chain there is takes one check a certificate; the rest is for authorities that changed their key and
    /// kept their name, each of which may have to be tried.
    pub const SIGNATURES: u32 = MAX_CHAIN as u32 + 8;
    /// A chain of 3 below 20 subtrees with 20 names in each certificate takes 1,200 steps, a list of 1,000 authorities
    /// 3,000. At some 50 ns a step the whole is 2 ms on a server. (webpki allows 250,000.)
    pub const STEPS: u32 = 40_000;
    /// Chains of devices are below 5 kB; TLS peers send up to 16 kB by default (OpenSSL's `max_cert_list` is 100 kB).
    pub const BYTES: u32 = 64 * 1024;

    pub(crate) fn take_signature(&mut self) -> Result<(), Error> {
        take(&mut self.signatures, 1, Limit::Signatures)
    }

    pub(crate) fn take_step(&mut self) -> Result<(), Error> {
        take(&mut self.steps, 1, Limit::Steps)
    }

    pub(crate) fn take_bytes(&mut self, count: usize) -> Result<(), Error> {
        take(&mut self.bytes, u32::try_from(count).unwrap_or(u32::MAX), Limit::Bytes)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { signatures: Self::SIGNATURES, steps: Self::STEPS, bytes: Self::BYTES }
    }
}

fn take(from: &mut u32, count: u32, limit: Limit) -> Result<(), Error> {
    *from = from.checked_sub(count).ok_or(Error::Budget(limit))?;
    Ok(())
}
