//! Where a path may end: an authority believed without further proof.

use crate::{
    crypto::{Crypto, PublicKey},
    id::KeyId,
    role::{DeviceTypes, Roles},
    x509::{Certificate, KeyUsage, Name, NameConstraints, Version},
};

/// What kind of authority it is, and so what its credentials are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthorityKind {
    /// A maker: gives birth credentials.
    Maker,
    /// A site: gives operational credentials.
    Site,
}

/// An authority believed without further proof, and for what (RFC 5280 section 6.1.1 (d); RFC 5914).
#[derive(Clone, Copy, Debug)]
pub struct Anchor<'a> {
    /// Its name, as certificates it issued have it.
    pub subject: Name<'a>,
    /// The DER of its `SubjectPublicKeyInfo`; empty if it was taken from a C509 certificate.
    pub spki: &'a [u8],
    /// Its key, read from `spki`.
    pub key: PublicKey<'a>,
    /// The identifier of its key.
    pub key_id: KeyId,
    /// What kind of authority it is.
    pub kind: AuthorityKind,
    /// The roles it may vouch for.
    pub roles: Roles,
    /// The device types it may vouch for.
    pub device_types: DeviceTypes<'a>,
    /// Constraints on all names below it (RFC 5937 section 3.1).
    pub name_constraints: Option<NameConstraints<'a>>,
}

impl<'a> Anchor<'a> {
    /// An anchor from a certificate, believed for every role and device type. Of the certificate only name, key and
    /// name constraints count; its validity and path length do not (RFC 5280 section 6.2). `None` if its key is of a
    /// kind unknown here or C509 re-encoded it from a point in full (type 3: give its DER), if it has a critical extension that is, or if it says itself that it is no authority's.
    #[must_use]
    pub fn for_everything(certificate: &Certificate<'a>, kind: AuthorityKind, crypto: &impl Crypto) -> Option<Self> {
        let extensions = certificate.extensions();
        let is_authority = extensions.basic_constraints().is_some_and(|constraints| constraints.ca)
            && extensions.key_usage().is_none_or(KeyUsage::key_cert_sign);
        // Versions 1 and 2 have no way to say whether the subject is an authority.
        if extensions.unknown_critical().is_some() || (certificate.version() == Version::V3 && !is_authority) {
            return None;
        }
        Some(Self {
            subject: certificate.subject(),
            spki: certificate.spki(),
            key: certificate.subject_public_key_info().public_key()?,
            key_id: certificate.key_id(crypto),
            kind,
            roles: Roles::EVERY,
            device_types: DeviceTypes::Every,
            name_constraints: certificate.extensions().name_constraints().copied(),
        })
    }

    /// Whether this certificate is the anchor itself: the same name and the same key.
    #[must_use]
    pub fn is(&self, certificate: &Certificate<'_>) -> bool {
        certificate.public_key().is_some_and(|key| key.is(&self.key)) && certificate.subject().matches(&self.subject)
    }
}
