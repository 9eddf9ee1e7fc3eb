//! Between DER and re-encoded C509 (type 3), bit for bit.

use super::{
    out::{Out, into_slice},
    registry,
    to_c509::{self, Points},
    to_der::{Rebuilt, is_ecdsa},
};
use crate::{
    crypto::Crypto,
    x509::{self, Certificate, Encoding, Name, Request, SignedForm, ids},
};
use core::{cell::Cell, fmt};

/// Why something was not converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It cannot be read.
    Read(x509::Error),
    /// C509 cannot express it so that the same DER comes back: version 1, unique identifiers, several attributes in one
    /// set, a time before 1970, a point that is not on its curve, …
    NotExpressible,
    /// It is not a re-encoded certificate or request (C509 type 3), which alone stand for DER.
    NotReencoded,
    /// The buffer is too short.
    NoSpace,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read(error) => return error.fmt(f),
            Self::NotExpressible => "C509 cannot express this so that the same DER comes back",
            Self::NotReencoded => "only C509 of type 3 stands for DER",
            Self::NoSpace => "the buffer is too short",
        })
    }
}

impl core::error::Error for Error {}

impl From<x509::Error> for Error {
    fn from(error: x509::Error) -> Self {
        Self::Read(error)
    }
}

/// Converts a certificate from DER to C509 type 3, into the beginning of `out`; gives back what was written.
///
/// What is written was read again and gave the same DER.
///
/// # Errors
/// [`Error`], but for [`Error::NotReencoded`].
pub fn from_der<'o>(der: &[u8], points: Points, out: &'o mut [u8], crypto: &impl Crypto) -> Result<&'o [u8], Error> {
    let certificate = Certificate::from_der(der)?;
    let written = write(out, &|out| {
        out.array(11);
        out.int(3);
        out.byte_string(certificate.serial_magnitude());
        to_c509::algorithm(out, certificate.algorithm(), &registry::SIGNATURES);
        let (issuer, subject) = (certificate.issuer(), certificate.subject());
        name_or_null(out, &issuer, &subject)?;
        to_c509::validity(out, certificate.not_before(), certificate.not_after())?;
        to_c509::name(out, &subject, false)?;
        to_c509::key(out, certificate.subject_public_key_info(), points)?;
        to_c509::extensions(out, certificate.extensions())?;
        to_c509::signature(out, certificate.signature(), is_ecdsa(certificate.algorithm()))
    })?;
    let again = Certificate::from_c509(written).map_err(|_| Error::NotExpressible)?;
    is_exactly(&Rebuilt::Certificate(&again, again.point(crypto)), der)?;
    Ok(written)
}

/// Gives back the DER that a certificate of C509 type 3 stands for, in the beginning of `out`.
///
/// # Errors
/// [`Error`].
pub fn to_der<'o>(c509: &[u8], out: &'o mut [u8], crypto: &impl Crypto) -> Result<&'o [u8], Error> {
    let certificate = Certificate::from_c509(c509)?;
    if certificate.form() != SignedForm::Reencoded {
        return Err(Error::NotReencoded);
    }
    let point = certificate.point(crypto);
    rebuilt_into(out, &Rebuilt::Certificate(&certificate, point))
}

/// Converts a certificate request from DER to C509 type 3, as [`from_der`] does a certificate.
///
/// # Errors
/// As [`from_der`].
pub fn request_from_der<'o>(
    der: &[u8],
    points: Points,
    out: &'o mut [u8],
    crypto: &impl Crypto,
) -> Result<&'o [u8], Error> {
    let request = Request::from_der(der)?;
    let written = write(out, &|out| {
        out.array(7);
        out.int(3);
        to_c509::algorithm(out, request.algorithm(), &registry::SIGNATURES);
        to_c509::name(out, &request.subject(), false)?;
        to_c509::key(out, request.subject_public_key_info(), points)?;
        attributes(out, &request)?;
        to_c509::signature(out, request.signature(), is_ecdsa(request.algorithm()))
    })?;
    let again = Request::from_c509(written).map_err(|_| Error::NotExpressible)?;
    is_exactly(&Rebuilt::Request(&again, again.subject_public_key_info().point(crypto)), der)?;
    Ok(written)
}

/// Gives back the DER that a request of C509 type 3 stands for.
///
/// # Errors
/// As [`to_der`].
pub fn request_to_der<'o>(c509: &[u8], out: &'o mut [u8], crypto: &impl Crypto) -> Result<&'o [u8], Error> {
    let request = Request::from_c509(c509)?;
    if request.form() != SignedForm::Reencoded {
        return Err(Error::NotReencoded);
    }
    let point = request.subject_public_key_info().point(crypto);
    rebuilt_into(out, &Rebuilt::Request(&request, point))
}

fn attributes(out: &mut Out<'_>, request: &Request<'_>) -> to_c509::Expressed {
    out.array(request.attributes().count().saturating_mul(2));
    for attribute in request.attributes() {
        if attribute.encoding != Encoding::Der {
            return None;
        }
        if attribute.oid == ids::EXTENSION_REQUEST {
            out.int(0);
            to_c509::extensions(out, request.extensions())?;
        } else if attribute.oid == ids::CHALLENGE_PASSWORD {
            out.int(1);
            to_c509::password(out, attribute.values)?;
        } else {
            out.byte_string(attribute.oid.as_bytes());
            let values = |out: &mut Out<'_>| out.der(crate::der::tag::SET, attribute.values);
            out.head(2, Out::measure(&values) as u64);
            values(out);
        }
    }
    Some(())
}

/// The issuer, or `null` where it is the same name as the subject.
fn name_or_null(out: &mut Out<'_>, issuer: &Name<'_>, subject: &Name<'_>) -> to_c509::Expressed {
    if issuer.encoding() == subject.encoding() {
        out.null();
        Some(())
    } else {
        to_c509::name(out, issuer, false)
    }
}

/// Writes `part` to the beginning of `out`.
pub(super) fn write<'o>(
    out: &'o mut [u8],
    part: &dyn Fn(&mut Out<'_>) -> to_c509::Expressed,
) -> Result<&'o [u8], Error> {
    let expressed = Cell::new(false);
    let written = into_slice(out, &|out| expressed.set(part(out).is_some()));
    match (expressed.get(), written) {
        (false, _) => Err(Error::NotExpressible),
        (true, None) => Err(Error::NoSpace),
        (true, Some(written)) => Ok(written),
    }
}

fn rebuilt_into<'o>(out: &'o mut [u8], rebuilt: &Rebuilt<'_, '_>) -> Result<&'o [u8], Error> {
    Out::into_buffer(out, &|out| rebuilt.write(out)).ok_or(Error::NoSpace)
}

/// Whether `rebuilt` is `der`, compared piece by piece.
fn is_exactly(rebuilt: &Rebuilt<'_, '_>, der: &[u8]) -> Result<(), Error> {
    if Out::is_exactly(der, &|out| rebuilt.write(out)) { Ok(()) } else { Err(Error::NotExpressible) }
}
