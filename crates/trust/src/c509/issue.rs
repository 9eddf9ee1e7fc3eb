//! Natively signed certificates and requests (C509 type 2): what an authority for small devices issues, and what such a
//! device asks with.

use super::{
    convert::{self, Error},
    out::{Out, into_slice},
    registry,
    to_c509::{self, Expressed},
};
use crate::{
    crypto::{PublicKey, SignatureAlgorithm},
    der::Oid,
    role::{DeviceType, Roles},
    time::Time,
    x509::{KeyUsage, Name, Text, X509, ids, role_extension_der},
};
use core::fmt;

/// What a natively signed certificate is to say. `medlock`'s device profile is a template with a key usage and a role;
/// IEEE 802.1AR section 8.6 wants the device's name as `serialNumber` of the subject.
#[derive(Clone, Copy, Debug)]
pub struct Template<'a> {
    /// The serial number, big-endian; zeros in front are dropped.
    pub serial_number: &'a [u8],
    /// How it will be signed.
    pub algorithm: SignatureAlgorithm,
    /// The issuer's name, as its own certificate has it (DER or C509); `None` if the subject issues it itself.
    pub issuer: Option<Name<'a>>,
    /// The first second of its validity, from 1970 on.
    pub not_before: Time,
    /// The last second; [`Time::NEVER`] for none.
    pub not_after: Time,
    /// Whom it is about.
    pub subject: Subject<'a>,
    /// The subject's key; a point is written compressed.
    pub key: PublicKey<'a>,
    /// What else it says, in this order, each kind at most once.
    pub extensions: &'a [NewExtension<'a>],
}

/// What a natively signed request is to ask.
#[derive(Clone, Copy, Debug)]
pub struct RequestTemplate<'a> {
    /// How it will be signed.
    pub algorithm: SignatureAlgorithm,
    /// The name asked for.
    pub subject: Subject<'a>,
    /// The key; a point is written compressed.
    pub key: PublicKey<'a>,
    /// The extensions asked for; none leaves the attribute out.
    pub extensions: &'a [NewExtension<'a>],
    /// The challenge password, which binds the request to a session or proves a code.
    pub challenge_password: Option<&'a str>,
}

/// A subject's name.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// These attributes, each by its type: only types that C509 has numbers for.
    Attributes(&'a [(Oid<'a>, &'a str)]),
    /// A name as another certificate or request has it.
    Name(Name<'a>),
}

/// An extension of a new certificate or request.
#[derive(Clone, Copy, Debug)]
pub enum NewExtension<'a> {
    /// `keyUsage`, critical.
    KeyUsage(KeyUsage),
    /// `basicConstraints` of an authority, critical; how many authorities may follow below.
    Authority {
        /// `None` for any number.
        path_length: Option<u32>,
    },
    /// `extKeyUsage`.
    Purposes(&'a [Oid<'a>]),
    /// `subjectKeyIdentifier`.
    SubjectKeyId(&'a [u8]),
    /// `authorityKeyIdentifier`.
    AuthorityKeyId(&'a [u8]),
    /// `subjectAltName` with one host name.
    HostName(&'a str),
    /// `subjectAltName` with the hardware module of a birth credential (RFC 4108 section 5).
    HardwareModule {
        /// The kind of hardware.
        kind: Oid<'a>,
        /// Its serial number.
        serial: &'a [u8],
    },
    /// Medlock's role extension.
    Role(Roles, Option<DeviceType>),
    /// Another extension, which C509 has no number for.
    Other {
        /// Which.
        oid: Oid<'a>,
        /// Whether a reader that does not know it must refuse the certificate.
        critical: bool,
        /// The DER inside `extnValue`.
        value: &'a [u8],
    },
}

/// Why a certificate or request was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssueError<S> {
    /// It cannot be written: [`Error::NotExpressible`] or [`Error::NoSpace`].
    Write(Error),
    /// The signer did not sign.
    Signer(S),
}

impl<S: fmt::Display> fmt::Display for IssueError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(error) => error.fmt(f),
            Self::Signer(error) => write!(f, "the key did not sign: {error}"),
        }
    }
}

impl<S: core::error::Error> core::error::Error for IssueError<S> {}

impl Template<'_> {
    /// Writes the bytes to be signed (`TBSCertificate`, ten items one after the other) into the beginning of `out`.
    /// [`assemble`] makes a certificate of them and the signature.
    ///
    /// # Errors
    /// [`Error::NotExpressible`] for a name with several attributes in one set or with a type unknown to C509, a time
    /// before 1970, an RSA key, an RSA signature; [`Error::NoSpace`].
    pub fn tbs<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], Error> {
        convert::write(out, &|out| self.write(out))
    }

    /// Writes and signs the certificate. `sign` gets the bytes to be signed and gives the signature in COSE's form
    /// (ECDSA: `r` and `s`, each of the curve's length).
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn sign<'o, S: AsRef<[u8]>, E>(
        &self,
        out: &'o mut [u8],
        sign: impl FnOnce(&[u8]) -> Result<S, E>,
    ) -> Result<&'o [u8], IssueError<E>> {
        sign_array(out, 11, &|out| self.write(out), sign)
    }

    fn write(&self, out: &mut Out<'_>) -> Expressed {
        out.int(2);
        out.byte_string(super::out::strip_zeros(self.serial_number));
        algorithm(out, self.algorithm)?;
        match &self.issuer {
            Some(issuer) if !self.subject.is(issuer) => to_c509::name(out, issuer, true)?,
            Some(_) | None => out.null(),
        }
        to_c509::validity(out, self.not_before, self.not_after)?;
        self.subject.write(out)?;
        to_c509::native_key(out, self.key)?;
        extensions(out, self.extensions)
    }
}

impl RequestTemplate<'_> {
    /// Writes and signs the request, as [`Template::sign`] does a certificate.
    ///
    /// # Errors
    /// As there.
    pub fn sign<'o, S: AsRef<[u8]>, E>(
        &self,
        out: &'o mut [u8],
        sign: impl FnOnce(&[u8]) -> Result<S, E>,
    ) -> Result<&'o [u8], IssueError<E>> {
        sign_array(out, 7, &|out| self.write(out), sign)
    }

    fn write(&self, out: &mut Out<'_>) -> Expressed {
        out.int(2);
        algorithm(out, self.algorithm)?;
        self.subject.write(out)?;
        to_c509::native_key(out, self.key)?;
        let has_extensions = !self.extensions.is_empty();
        let count = usize::from(has_extensions).saturating_add(usize::from(self.challenge_password.is_some()));
        out.array(count.saturating_mul(2));
        if has_extensions {
            out.int(0);
            extensions(out, self.extensions)?;
        }
        if let Some(password) = self.challenge_password {
            out.int(1);
            out.text(password.as_bytes());
        }
        Some(())
    }
}

/// Makes a certificate of the bytes that were signed ([`Template::tbs`]) and the signature, into the beginning of `out`.
///
/// # Errors
/// [`Error::NoSpace`].
pub fn assemble<'o>(tbs: &[u8], signature: &[u8], out: &'o mut [u8]) -> Result<&'o [u8], Error> {
    into_slice(out, &|out| {
        out.array(11);
        out.bytes(tbs);
        out.byte_string(signature);
    })
    .ok_or(Error::NoSpace)
}

/// An array of `count` items, the last of them the signature over the others.
fn sign_array<'o, S: AsRef<[u8]>, E>(
    out: &'o mut [u8],
    count: usize,
    part: &dyn Fn(&mut Out<'_>) -> Expressed,
    sign: impl FnOnce(&[u8]) -> Result<S, E>,
) -> Result<&'o [u8], IssueError<E>> {
    let no_space = IssueError::Write(Error::NoSpace);
    let (head, rest) = out.split_first_mut().ok_or(IssueError::Write(Error::NoSpace))?;
    *head = 0x80 | u8::try_from(count).unwrap_or_default();
    let tbs = convert::write(rest, part).map_err(IssueError::Write)?;
    let signature = sign(tbs).map_err(IssueError::Signer)?;
    let length = tbs.len();
    let Some((_, after)) = rest.split_at_mut_checked(length) else { return Err(no_space) };
    let item = into_slice(after, &|out| out.byte_string(signature.as_ref())).map(<[u8]>::len);
    let whole = item.and_then(|item| length.checked_add(item)?.checked_add(1));
    whole.and_then(|whole| out.get(..whole)).ok_or(IssueError::Write(Error::NoSpace))
}

impl Subject<'_> {
    fn is(&self, name: &Name<'_>) -> bool {
        let as_c509 = |part: &dyn Fn(&mut Out<'_>) -> Expressed, piece: &mut dyn FnMut(&[u8])| {
            part(&mut Out::new(piece)).is_some()
        };
        // Both as they will be written: the pieces of the one are looked for in the other's bytes.
        let mut ours = [0; MAX_COMPARED];
        let Ok(ours) = convert::write(&mut ours, &|out| self.write(out)) else { return false };
        let mut rest = Some(ours);
        as_c509(&|out| to_c509::name(out, name, true), &mut |piece| {
            rest = rest.and_then(|rest| rest.strip_prefix(piece));
        }) && rest.is_some_and(<[u8]>::is_empty)
    }

    fn write(&self, out: &mut Out<'_>) -> Expressed {
        match self {
            Self::Name(name) => to_c509::name(out, name, true),
            Self::Attributes([(kind, text)]) if *kind == ids::COMMON_NAME => {
                to_c509::special_text(out, Text::plain(text.as_bytes()));
                Some(())
            }
            Self::Attributes(attributes) => {
                out.array(attributes.len().saturating_mul(2));
                for (kind, text) in *attributes {
                    out.int(i64::from(registry::ATTRIBUTES.number(kind.as_bytes())?));
                    to_c509::special_text(out, Text::plain(text.as_bytes()));
                }
                Some(())
            }
        }
    }
}

/// The longest subject that is compared with the issuer's name: those of devices have some tens of bytes.
const MAX_COMPARED: usize = 512;

fn algorithm(out: &mut Out<'_>, algorithm: SignatureAlgorithm) -> Expressed {
    match algorithm {
        SignatureAlgorithm::EcdsaSha256 => out.int(0),
        SignatureAlgorithm::EcdsaSha384 => out.int(1),
        SignatureAlgorithm::Ed25519 => out.int(12),
        SignatureAlgorithm::MlDsa44 => out.byte_string(ids::ML_DSA_44.as_bytes()),
        // Certificates of small devices are not signed with it.
        SignatureAlgorithm::MlDsa65 if !X509 => return None,
        SignatureAlgorithm::MlDsa65 => out.byte_string(ids::ML_DSA_65.as_bytes()),
        SignatureAlgorithm::RsaPkcs1Sha256 => out.int(23),
        SignatureAlgorithm::RsaPkcs1Sha384 => out.int(24),
        SignatureAlgorithm::RsaPkcs1Sha512 => out.int(25),
    }
    Some(())
}

fn extensions(out: &mut Out<'_>, all: &[NewExtension<'_>]) -> Expressed {
    if let [NewExtension::KeyUsage(usage)] = all {
        out.int(i64::from(usage.bits()).saturating_neg());
        return Some(());
    }
    out.array(all.len().saturating_mul(2));
    for extension in all {
        match extension {
            NewExtension::KeyUsage(usage) => {
                out.int(-2);
                out.int(i64::from(usage.bits()));
            }
            NewExtension::Authority { path_length } => {
                out.int(-4);
                out.int(path_length.map_or(-1, i64::from));
            }
            NewExtension::Purposes(purposes) => {
                out.int(8);
                if purposes.len() != 1 {
                    out.array(purposes.len());
                }
                purposes.iter().for_each(|purpose| to_c509::oid(out, *purpose, &registry::PURPOSES));
            }
            NewExtension::SubjectKeyId(id) => {
                out.int(1);
                out.byte_string(id);
            }
            NewExtension::AuthorityKeyId(id) => {
                out.int(7);
                out.byte_string(id);
            }
            NewExtension::HostName(name) => {
                out.int(3);
                out.text(name.as_bytes());
            }
            NewExtension::HardwareModule { kind, serial } => {
                out.int(3);
                out.array(2);
                out.int(crate::x509::number::HARDWARE);
                out.array(2);
                out.byte_string(kind.as_bytes());
                out.byte_string(serial);
            }
            NewExtension::Role(roles, device_type) => {
                out.byte_string(ids::ROLE.as_bytes());
                out.byte_string(role_extension_der(*roles, *device_type, &mut [0; 64]));
            }
            NewExtension::Other { oid, critical, value } => {
                if registry::EXTENSIONS.number(oid.as_bytes()).is_some() {
                    return None;
                }
                out.byte_string(oid.as_bytes());
                if *critical {
                    out.array(1);
                }
                out.byte_string(value);
            }
        }
    }
    Some(())
}
