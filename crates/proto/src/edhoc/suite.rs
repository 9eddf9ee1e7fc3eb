//! Methods and cipher suites, and how a suite is agreed on (RFC 9528 sections 3.2, 3.6, 6.3).

use super::{Error, items::Items};
use crate::crypto::Curve;
use medlock_trust::cbor::Writer;
use medlock_trust::crypto::SignatureAlgorithm;
use minicbor::encode::Write;

/// How the two sides authenticate (RFC 9528 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Method 0: both sign.
    SignSign,
    /// Method 1: the initiator signs, the responder has a static Diffie-Hellman key.
    SignStatic,
    /// Method 2: the initiator has a static Diffie-Hellman key, the responder signs.
    StaticSign,
    /// Method 3: both have static Diffie-Hellman keys. The smallest messages.
    StaticStatic,
}

impl Method {
    /// All methods, by number.
    pub const ALL: [Self; 4] = [Self::SignSign, Self::SignStatic, Self::StaticSign, Self::StaticStatic];

    /// The method's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::SignSign => 0,
            Self::SignStatic => 1,
            Self::StaticSign => 2,
            Self::StaticStatic => 3,
        }
    }

    /// The method with this number.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|method| i64::from(method.number()) == number)
    }

    /// Whether the initiator signs.
    #[must_use]
    pub const fn initiator_signs(self) -> bool {
        matches!(self, Self::SignSign | Self::SignStatic)
    }

    /// Whether the responder signs.
    #[must_use]
    pub const fn responder_signs(self) -> bool {
        matches!(self, Self::SignSign | Self::StaticSign)
    }
}

/// A cipher suite (RFC 9528 section 10.2). All of them hash with SHA-256 and protect what follows with
/// AES-CCM-16-64-128 and HKDF over SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// Suite 0: AES-CCM with 8-byte tags, X25519, Ed25519, 8-byte MACs.
    Suite0,
    /// Suite 1: AES-CCM with 16-byte tags, X25519, Ed25519, 16-byte MACs.
    Suite1,
    /// Suite 2: AES-CCM with 8-byte tags, P-256, ES256, 8-byte MACs.
    Suite2,
    /// Suite 3: AES-CCM with 16-byte tags, P-256, ES256, 16-byte MACs.
    Suite3,
}

impl Suite {
    /// All suites that are implemented, by number.
    pub const ALL: [Self; 4] = [Self::Suite0, Self::Suite1, Self::Suite2, Self::Suite3];

    /// The suite's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Suite0 => 0,
            Self::Suite1 => 1,
            Self::Suite2 => 2,
            Self::Suite3 => 3,
        }
    }

    /// The suite with this number; `None` if it is not implemented.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| i64::from(suite.number()) == number)
    }

    /// The curve of ephemeral and of static Diffie-Hellman keys.
    #[must_use]
    pub const fn curve(self) -> Curve {
        match self {
            Self::Suite0 | Self::Suite1 => Curve::X25519,
            Self::Suite2 | Self::Suite3 => Curve::P256,
        }
    }

    /// How signatures are made.
    #[must_use]
    pub const fn signature_algorithm(self) -> SignatureAlgorithm {
        match self {
            Self::Suite0 | Self::Suite1 => SignatureAlgorithm::Ed25519,
            Self::Suite2 | Self::Suite3 => SignatureAlgorithm::EcdsaSha256,
        }
    }

    /// Bytes of the MAC of a side with a static Diffie-Hellman key, and of the tags of message 3 and 4.
    #[must_use]
    pub const fn mac_length(self) -> usize {
        match self {
            Self::Suite0 | Self::Suite2 => 8,
            Self::Suite1 | Self::Suite3 => 16,
        }
    }
}

/// A list of suites as it was received. It may name suites that are not implemented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suites<'a>(&'a [u8]);

/// The longest list of suites that is read. The registry has nine and four private ones.
const MAX_SUITES: u64 = 16;

impl<'a> Suites<'a> {
    /// Reads `suites = [2* int] / int` (RFC 9528 section 5.2.1).
    pub(super) fn read(items: &mut Items<'a>) -> Result<Self, Error> {
        let start = items.position();
        if items.next_is_array() {
            let count = items.array(MAX_SUITES)?;
            // One suite is written as an integer, so a list of one is another encoding of it.
            if count < 2 {
                return Err(Error::Malformed);
            }
            (0..count).try_for_each(|_| items.int().map(drop))?;
        } else {
            items.int()?;
        }
        Ok(Self(items.since(start)))
    }

    /// The numbers, in the order they came.
    pub fn numbers(self) -> impl Iterator<Item = i64> + use<'a> {
        let mut items = Items::new(self.0);
        if items.next_is_array() {
            // The count was checked when the list was read.
            let _ = items.array(MAX_SUITES);
        }
        core::iter::from_fn(move || if items.is_done() { None } else { items.int().ok() })
    }

    /// The one that `own` (most preferred first) would choose among these, for the next run after error code 2.
    #[must_use]
    pub fn choose(self, own: &[Suite]) -> Option<Suite> {
        own.iter().copied().find(|suite| self.numbers().any(|number| number == i64::from(suite.number())))
    }

    /// The suite the initiator selected, if it is the first of its list that `own` has (RFC 9528 section 5.2.3).
    pub(super) fn accept(self, own: &[Suite]) -> Option<Suite> {
        let own = |number: i64| own.iter().copied().find(|suite| i64::from(suite.number()) == number);
        let length = self.numbers().fold(0_usize, |length, _| length.saturating_add(1));
        let mut supported = self.numbers().enumerate().filter_map(|(at, number)| Some((at, own(number)?)));
        let (at, suite) = supported.next()?;
        (at.saturating_add(1) == length).then_some(suite)
    }
}

/// Writes the suites up to and with `selected`, most preferred first: one as an integer, more as a list. `false` if it is
/// not among them.
pub(super) fn write_offer<W: Write>(own: &[Suite], selected: Suite, out: &mut Writer<W>) -> Result<bool, W::Error> {
    let Some(at) = own.iter().position(|suite| *suite == selected) else {
        return Ok(false);
    };
    write_list(own.get(..=at).unwrap_or_default(), out)?;
    Ok(true)
}

/// Writes `suites`: one as an integer, more as a list.
pub(super) fn write_list<W: Write>(suites: &[Suite], out: &mut Writer<W>) -> Result<(), W::Error> {
    if suites.len() != 1 {
        out.array(u64::try_from(suites.len()).unwrap_or(u64::MAX))?;
    }
    suites.iter().try_for_each(|suite| out.uint(u64::from(suite.number())).map(drop))
}
