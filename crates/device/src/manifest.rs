//! Software updates: SUIT manifests (draft-ietf-suit-manifest-34).
//!
//! A manifest says which image is for which device and is signed by the keys that were pinned in the firmware: enough of
//! them, each counted once. No certificate is asked, so no certificate can expire: a device that was offline for years
//! takes an update as on the first day. What cannot be done is to go back ([`Refused::NotNewer`]), or to install while a
//! dose is being delivered ([`Refused::Delivering`]).
//!
//! ```text
//! Update::accept(envelope, …) → Update         format, digest, number, addressee, signatures
//! fetch Update::size() bytes from wherever, into a free slot
//! Update::check_image(image, …) → Image        size and digest
//! Image::install(activity, installed) → Release now: store its number, switch slots
//! ```
//!
//! Only what one image for one component needs is read: identifiers, size and digest in the shared sequence, fetch and
//! image-match when installing, image-match when validating, invoke. Anything else, also a command that a larger processor
//! would know, is refused, because a manifest that is carried out in part is another one than was signed. MACs are no
//! signatures here; encodings other than the deterministic one are refused.
//!
//! Work: an envelope has at most [`MAX_ENVELOPE`] bytes; signatures are looked at last, and at most [`MAX_CHECKS`] of them
//! are checked.

mod commands;
mod envelope;

use core::fmt;
use medlock_trust::KeyId;
use medlock_trust::cbor;
use medlock_trust::crypto::{Crypto, Message, PublicKey};

use commands::Stage;
use envelope::{Common, Envelope};

/// The most bytes of an envelope. One for a single image with three signatures has less than 700.
pub const MAX_ENVELOPE: usize = 4096;
/// The most signature checks one envelope costs.
pub const MAX_CHECKS: usize = 8;

/// A key whose holder may sign updates, pinned in the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateKey<'a> {
    /// Its identifier: a signature may name it as `kid`.
    pub id: KeyId,
    /// The key.
    pub key: PublicKey<'a>,
}

/// The pinned keys, and how many of them must sign.
#[derive(Clone, Copy, Debug)]
pub struct UpdateKeys<'a> {
    /// The keys; at most [`MAX_CHECKS`] are looked at.
    pub keys: &'a [UpdateKey<'a>],
    /// How many different ones must have signed; at least 1, whatever is set here.
    pub threshold: u8,
}

/// What a manifest is compared with: this device, and what runs on it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The maker's UUID (section "UUID Generation").
    pub vendor: [u8; 16],
    /// The UUID of the kind of device.
    pub class: [u8; 16],
    /// The UUID of this very device, if manifests may be addressed to it.
    pub device: Option<[u8; 16]>,
    /// The component that can be updated: the segments of its identifier.
    pub component: &'a [&'a [u8]],
    /// The sequence number of the manifest in force; `None` before the first.
    pub installed: Option<u64>,
}

/// What the device does at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// A delivery runs, or may run: a bolus, or one whose end is uncertain.
    Delivering,
    /// Nothing is delivered beyond what the new software goes on with at once.
    Idle,
}

/// An update that is for this device, is newer, and was signed by enough keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    sequence_number: u64,
    digest: [u8; 32],
    size: u64,
    uri: Option<&'a str>,
}

impl<'a> Update<'a> {
    /// Reads and verifies an envelope, whichever carrier brought it and whatever the age of any certificate.
    ///
    /// # Errors
    /// The first reason against it. Nothing has changed then.
    pub fn accept(
        envelope: &'a [u8],
        target: &Target<'_>,
        keys: &UpdateKeys<'_>,
        crypto: &impl Crypto,
    ) -> Result<Self, Refused> {
        if envelope.len() > MAX_ENVELOPE {
            return Err(Refused::TooLong);
        }
        let envelope = Envelope::read(envelope)?;
        let manifest = envelope.manifest(crypto)?;
        if target.installed.is_some_and(|installed| manifest.sequence_number <= installed) {
            return Err(Refused::NotNewer(manifest.sequence_number));
        }
        let Common { component, shared } = manifest.common()?;
        if !component.is(target.component) {
            return Err(Refused::Component);
        }
        let mut state = commands::State::default();
        state.run(Stage::Shared, shared, target)?;
        let required = state.required()?;
        for (stage, sequence) in manifest.sequences(&envelope, crypto)? {
            if let Some(sequence) = sequence {
                state.run(stage, sequence, target)?;
            }
        }
        if !state.validates() || state.required()? != required {
            return Err(Refused::Incomplete);
        }
        envelope.verify(keys, crypto)?;
        let (digest, size) = required;
        Ok(Self { sequence_number: manifest.sequence_number, digest, size, uri: state.uri() })
    }

    /// The manifest's sequence number.
    #[must_use]
    pub const fn sequence_number(&self) -> u64 {
        self.sequence_number
    }

    /// Bytes of the image.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Where the image can be had, if the manifest says; any other carrier is as good.
    #[must_use]
    pub const fn uri(&self) -> Option<&'a str> {
        self.uri
    }

    /// Checks the whole image where it lies, in pieces.
    ///
    /// # Errors
    /// [`Refused::ImageSize`] or [`Refused::ImageDigest`].
    pub fn check_image(&self, image: &dyn Message, crypto: &impl Crypto) -> Result<Image, Refused> {
        let mut size = 0_u64;
        image.feed(&mut |piece| size = size.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX)));
        if size != self.size {
            return Err(Refused::ImageSize);
        }
        if crypto.sha256(image) != self.digest {
            return Err(Refused::ImageDigest);
        }
        Ok(Image { sequence_number: self.sequence_number })
    }
}

/// An image that is the one a verified manifest names.
#[derive(Debug)]
pub struct Image {
    sequence_number: u64,
}

impl Image {
    /// Whether it may be installed now, in place of the manifest with the number `installed`. Ask at the moment of
    /// switching, not before: another update may have come between.
    ///
    /// # Errors
    /// [`Refused::NotNewer`] for good; [`Refused::Delivering`]: ask again when the delivery has ended, the image stays good.
    pub fn install(&self, activity: Activity, installed: Option<u64>) -> Result<Release, Refused> {
        if installed.is_some_and(|installed| self.sequence_number <= installed) {
            return Err(Refused::NotNewer(self.sequence_number));
        }
        match activity {
            Activity::Delivering => Err(Refused::Delivering),
            Activity::Idle => Ok(Release { sequence_number: self.sequence_number }),
        }
    }
}

/// The permission to switch to the new image. Made by [`Image::install`] only.
#[derive(Debug)]
pub struct Release {
    sequence_number: u64,
}

impl Release {
    /// The number to store as [`Target::installed`], durably and before the new image runs.
    #[must_use]
    pub const fn sequence_number(&self) -> u64 {
        self.sequence_number
    }
}

/// Why an update is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The envelope is longer than [`MAX_ENVELOPE`].
    TooLong,
    /// It is not deterministic CBOR of its shape.
    Malformed(cbor::Error),
    /// It has the version, digest algorithm, member or parameter with this number, which is not taken here.
    Unsupported(i64),
    /// It has the command with this number, which is not taken here.
    Command(i64),
    /// The manifest, or a part moved out of it, is not the one the digest is of.
    Digest,
    /// Its sequence number, this one, is not above the installed one's.
    NotNewer(u64),
    /// It is for another component, or for several.
    Component,
    /// It is for another maker's, kind of, or device.
    Addressee,
    /// It does not check maker, class and image, or does not say size and digest once.
    Incomplete,
    /// Fewer pinned keys than needed have signed it: this many have.
    Signatures(u8),
    /// The image has another size.
    ImageSize,
    /// The image has another digest.
    ImageDigest,
    /// A delivery runs.
    Delivering,
}

impl Refused {
    /// Its stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "update-too-long",
            Self::Malformed(_) => "update-malformed",
            Self::Unsupported(_) => "update-unsupported",
            Self::Command(_) => "update-command",
            Self::Digest => "update-digest",
            Self::NotNewer(_) => "update-not-newer",
            Self::Component => "update-component",
            Self::Addressee => "update-addressee",
            Self::Incomplete => "update-incomplete",
            Self::Signatures(_) => "update-signatures",
            Self::ImageSize => "update-image-size",
            Self::ImageDigest => "update-image-digest",
            Self::Delivering => "update-delivering",
        }
    }
}

impl From<cbor::Error> for Refused {
    fn from(error: cbor::Error) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the envelope is too long"),
            Self::Malformed(error) => error.fmt(f),
            Self::Unsupported(number) => write!(f, "number {number} is not supported here"),
            Self::Command(number) => write!(f, "command {number} is not supported here"),
            Self::Digest => f.write_str("the manifest is not the one that was signed"),
            Self::NotNewer(number) => write!(f, "manifest {number} is not newer than the installed one"),
            Self::Component => f.write_str("it is for another component"),
            Self::Addressee => f.write_str("it is for another device"),
            Self::Incomplete => f.write_str("it does not check maker, class and image"),
            Self::Signatures(count) => write!(f, "only {count} of the pinned keys have signed it"),
            Self::ImageSize => f.write_str("the image has another size"),
            Self::ImageDigest => f.write_str("the image has another digest"),
            Self::Delivering => f.write_str("not while a delivery runs"),
        }
    }
}

impl core::error::Error for Refused {}
