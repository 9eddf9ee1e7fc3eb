//! Names of things: short, fixed in size, and each of its own type.

use crate::{
    c509::to_der::{FullPoint, Rebuilt},
    crypto::{Crypto, Message, PublicKey},
    x509::Text,
};
use core::fmt;

/// Bytes of a truncated SHA-256: 128 bits, beyond reach of a second preimage.
pub const ID_LENGTH: usize = 16;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; ID_LENGTH]);

        impl $name {
            /// Takes an identifier from its bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; ID_LENGTH]) -> Self {
                Self(bytes)
            }

            /// The identifier's bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; ID_LENGTH] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            /// Lower-case hexadecimal.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

id! {
    /// One credential: the first 16 bytes of the SHA-256 of the bytes that its issuer signed
    /// ([`Certificate::credential_id`](crate::x509::Certificate::credential_id)). The signature has no part in it: of one
    /// ECDSA signature anybody makes a second one.
    CredentialId
}
id! {
    /// One public key: the first 16 bytes of the SHA-256 of its `SubjectPublicKeyInfo` in DER, a point being in full.
    KeyId
}
id! {
    /// One device at a site: the first 16 bytes of the SHA-256 of its [`DeviceName`].
    DeviceId
}

fn truncated(hash: [u8; 32]) -> [u8; ID_LENGTH] {
    let mut id = [0; ID_LENGTH];
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    id
}

impl CredentialId {
    /// The identifier of the credential of which this is signed. Not public: who has a certificate asks it.
    pub(crate) fn of_signed(signed: &dyn Message, crypto: &impl Crypto) -> Self {
        Self(truncated(crypto.sha256(signed)))
    }
}

impl KeyId {
    /// The identifier of the key with this `SubjectPublicKeyInfo`, in whatever pieces.
    #[must_use]
    pub fn of(spki: &dyn Message, crypto: &impl Crypto) -> Self {
        Self(truncated(crypto.sha256(spki)))
    }

    /// The identifier of a key: over its `SubjectPublicKeyInfo` with the point in full, whatever form it is given in.
    /// (One that is no point of its curve cannot sign anything; its identifier is over what was given.)
    #[must_use]
    pub fn of_key(key: PublicKey<'_>, crypto: &impl Crypto) -> Self {
        Self::of(&Rebuilt::Key(key, FullPoint::of(Some(key), crypto)), crypto)
    }
}

impl DeviceId {
    /// The identifier of the device with this name.
    #[must_use]
    pub fn of(name: &DeviceName, crypto: &impl Crypto) -> Self {
        Self(truncated(crypto.sha256(&[name.as_str().as_bytes()])))
    }
}

/// The name a device has in credentials: the `serialNumber` attribute of its subject (IEEE 802.1AR section 8.6).
///
/// Between 1 and 64 printable ASCII characters (RFC 5280, `ub-serial-number`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName {
    bytes: [u8; Self::MAX_LENGTH],
    length: u8,
}

impl DeviceName {
    /// The most bytes a name has.
    pub const MAX_LENGTH: usize = 64;

    /// A name from text; `None` if it is empty, too long, or has a character that is not printable ASCII.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        if text.is_empty() || !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return None;
        }
        let mut bytes = [0; Self::MAX_LENGTH];
        bytes.get_mut(..text.len())?.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        Some(Self { bytes, length: u8::try_from(text.len()).ok()? })
    }

    /// A name from the text of a credential's attribute, as [`new`](Self::new).
    #[must_use]
    pub fn from_text(text: Text<'_>) -> Option<Self> {
        let mut bytes = [0; Self::MAX_LENGTH];
        let to = bytes.get_mut(..text.len())?;
        to.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        Self::new(core::str::from_utf8(to).ok()?)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..usize::from(self.length))
            .and_then(|bytes| core::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceName({:?})", self.as_str())
    }
}
