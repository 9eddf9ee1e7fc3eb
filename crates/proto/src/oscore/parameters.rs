//! What both ends of a security context know before (RFC 8613 section 3).

use super::error::Error;
use core::fmt;

/// The algorithm that protects messages (RFC 9053 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aead {
    /// AES-CCM-16-64-128: a tag of 8 bytes. COSE algorithm 10, mandatory for OSCORE.
    Ccm64,
    /// AES-CCM-16-128-128: a tag of 16 bytes. COSE algorithm 30.
    Ccm128,
}

impl Aead {
    /// The COSE algorithm, as CBOR.
    pub(super) const fn cbor(self) -> &'static [u8] {
        match self {
            Self::Ccm64 => &[10],
            Self::Ccm128 => &[0x18, 30],
        }
    }

    /// The length of its tag in bytes.
    #[must_use]
    pub const fn tag_length(self) -> usize {
        match self {
            Self::Ccm64 => 8,
            Self::Ccm128 => 16,
        }
    }

    /// How many messages may fail to open before a context is dead (draft-ietf-core-oscore-key-limits section 2): 2¹⁴ with
    /// the tag of 8 bytes, so that a forger's chance stays at 2⁻⁵⁰; 2²⁰ with that of 16. Who can send to this end can kill a
    /// context with so many forgeries: a new EDHOC run is the price of the short tag.
    #[must_use]
    pub const fn max_forgeries(self) -> u32 {
        match self {
            Self::Ccm64 => 1 << 14,
            Self::Ccm128 => 1 << 20,
        }
    }

    /// How many bytes one message may have inside: 2⁸ or 2¹⁰ AES blocks (draft-ietf-core-oscore-key-limits section 2).
    #[must_use]
    pub const fn max_plaintext(self) -> usize {
        match self {
            Self::Ccm64 => 4_096,
            Self::Ccm128 => 16_384,
        }
    }
}

/// A Sender ID or Recipient ID: 0 to 7 bytes (RFC 8613 section 3.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id {
    bytes: [u8; 7],
    length: u8,
}

impl Id {
    /// Takes an identifier from its bytes; `None` if they are more than 7.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut id = Self { bytes: [0; 7], length: u8::try_from(bytes.len()).ok()? };
        id.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(id)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&[])
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Id(")?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// What both ends know before (RFC 8613 section 3.2). From EDHOC: secret and salt by its exporter with the labels 0 and 1,
/// the peer's connection identifier as sender, the own one as recipient (RFC 9528 appendix A.1).
#[derive(Clone, Copy)]
pub struct Parameters<'a> {
    /// The Master Secret.
    pub master_secret: &'a [u8],
    /// The Master Salt; may be empty.
    pub master_salt: &'a [u8],
    /// The own identifier, which the peer finds in requests.
    pub sender: Id,
    /// The peer's identifier. Must differ from `sender`.
    pub recipient: Id,
    /// The ID Context, at most 16 bytes; then it is sent with each request.
    pub id_context: Option<&'a [u8]>,
    /// The algorithm.
    pub aead: Aead,
}

impl fmt::Debug for Parameters<'_> {
    /// Never shows the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parameters")
            .field("sender", &self.sender)
            .field("recipient", &self.recipient)
            .finish_non_exhaustive()
    }
}

/// The ID Context, kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct IdContext {
    bytes: [u8; 16],
    length: u8,
}

impl IdContext {
    pub(super) fn new(context: &[u8]) -> Result<Self, Error> {
        let length = u8::try_from(context.len()).map_err(|_| Error::Parameters)?;
        let mut kept = Self { bytes: [0; 16], length };
        kept.bytes.get_mut(..context.len()).ok_or(Error::Parameters)?.copy_from_slice(context);
        Ok(kept)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&[])
    }
}
