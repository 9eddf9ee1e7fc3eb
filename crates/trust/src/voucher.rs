//! Vouchers: the maker's word that a device belongs to a site, as small devices read it
//! (draft-ietf-anima-constrained-voucher: the data of RFC 8366 in CBOR with SIDs, signed as COSE_Sign1); and how it goes on
//! to the next owner, with the maker or without ([`Transfer`]).
//!
//! Who judges a voucher has the maker's voucher key: in its flash, or from a certificate chain it has verified. A voucher
//! with a nonce answers one question and no other. One without is good until it expires, and a device that keeps the time
//! of the newest word it believed ([`Expected::floor`]) lets no older one bring a former owner back.

use crate::cbor::{self, ErrorKind, Fields, Head, Writer};
use crate::cose::{self, ContentType, Place};
use crate::crypto::{Crypto, PublicKey, Signature, SignatureAlgorithm, VerifyError};
use crate::time::{Interval, Time};
use crate::x509::Certificate;
use core::convert::Infallible;
use core::fmt;
use minicbor::encode::Write;

/// The longest signed voucher in bytes: a pinned certificate of 2,000 bytes and all else at its longest fit.
pub const MAX_LENGTH: usize = 4096;
/// The longest serial number in bytes (X.520 upper bound of `serialNumber`).
pub const MAX_SERIAL: usize = 64;
/// The most members of a nonce (RFC 8366 section 5.3).
pub const MAX_NONCE: usize = 32;
/// The fewest (RFC 8366 section 5.3).
pub const MIN_NONCE: usize = 8;

/// The SID of the container `voucher` (RFC 8366bis); its members are written as differences to it (RFC 9254).
const VOUCHER: u64 = 2451;
const ASSERTION: u64 = 1;
const CREATED_ON: u64 = 2;
const REVOCATION_CHECKS: u64 = 3;
const EXPIRES_ON: u64 = 4;
const IDEVID_ISSUER: u64 = 5;
const LAST_RENEWAL: u64 = 6;
const NONCE: u64 = 7;
const PINNED_CERTIFICATE: u64 = 8;
const PINNED_KEY: u64 = 9;
const PINNED_HASH: u64 = 10;
const SERIAL: u64 = 11;
/// The longest date and time accepted: with a fraction of nine digits and an offset of zero.
const MAX_DATE: usize = 35;
/// The protected header `{1: -7}`: ES256, and nothing else.
const PROTECTED: &[u8] = &[0xa1, 0x01, 0x26];

/// How the maker knows that the device belongs to the domain (RFC 8366 section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assertion {
    /// By its sales or another way.
    Verified,
    /// Somebody came first and was written down.
    Logged,
    /// The device itself said that it met this domain.
    Proximity,
}

impl Assertion {
    const fn number(self) -> u64 {
        match self {
            Self::Verified => 0,
            Self::Logged => 1,
            Self::Proximity => 2,
        }
    }

    /// Its name (RFC 8366 section 5.3).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Logged => "logged",
            Self::Proximity => "proximity",
        }
    }
}

/// Whom a voucher names as owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinned<'a> {
    /// By a certificate: the domain's authority, or its registrar.
    Certificate(&'a [u8]),
    /// By a key, `SubjectPublicKeyInfo`.
    Key(&'a [u8]),
    /// By the SHA-256 of a key's `SubjectPublicKeyInfo`.
    Hash(&'a [u8; 32]),
}

impl Pinned<'_> {
    /// SHA-256 of the `SubjectPublicKeyInfo` of the key that is pinned; `None` if the certificate cannot be read.
    #[must_use]
    pub fn fingerprint(&self, crypto: &impl Crypto) -> Option<[u8; 32]> {
        match self {
            // A certificate in C509 has no `SubjectPublicKeyInfo` to hash.
            Self::Certificate(der) => {
                let spki = Certificate::read(der).ok()?.spki();
                (!spki.is_empty()).then(|| crypto.sha256(&[spki]))
            }
            Self::Key(spki) => Some(crypto.sha256(&[*spki])),
            Self::Hash(hash) => Some(**hash),
        }
    }
}

/// What a voucher says (RFC 8366 section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voucher<'a> {
    /// How the maker knows.
    pub assertion: Assertion,
    /// When it was made.
    pub created_on: Time,
    /// Until when it is good. A voucher has this or a nonce.
    pub expires_on: Option<Time>,
    /// What the device asked with.
    pub nonce: Option<&'a [u8]>,
    /// The device's serial, as in its birth credential.
    pub serial_number: &'a str,
    /// The authority key identifier of its birth credential: serials are unique below one issuer only.
    pub idevid_issuer: Option<&'a [u8]>,
    /// Whose the device is.
    pub pinned: Pinned<'a>,
    /// Until when the maker means to make this voucher anew before it expires.
    pub last_renewal_date: Option<Time>,
}

impl<'a> Voucher<'a> {
    /// Reads the data of a voucher: a map with SIDs, members in ascending order.
    ///
    /// # Errors
    /// Where it is not that, or a member is missing, unknown or out of its bounds.
    pub fn read(data: &'a [u8]) -> Result<Self, cbor::Error> {
        let mut fields = Fields::new(data);
        let start = fields.position();
        let one = fields.map(1) == 1;
        fields.ask(one, start, ErrorKind::OutOfRange);
        let container = fields.uint();
        fields.ask(container == VOUCHER, start, ErrorKind::OutOfRange);
        let members = fields.map(SERIAL);
        let (mut assertion, mut created, mut expires, mut nonce) = (None, None, None, None);
        let (mut serial, mut issuer, mut pinned, mut renewal) = (None, None, None, None);
        let mut last = 0;
        for _ in 0..members {
            let at = fields.position();
            let member = fields.uint();
            fields.ask(member > last, at, ErrorKind::NotAscending);
            last = member;
            let second = pinned.is_some();
            match member {
                ASSERTION => {
                    let number = fields.uint();
                    let known = [Assertion::Verified, Assertion::Logged, Assertion::Proximity];
                    assertion = fields.within(known.into_iter().find(|known| known.number() == number), at);
                }
                CREATED_ON => created = date(&mut fields, at),
                // What it asks, this reader cannot do; it pins a key, and the domain's own lists say what became of it.
                REVOCATION_CHECKS => {
                    let value = fields.skip();
                    fields.ask(value == [0xf4], at, ErrorKind::OutOfRange);
                }
                EXPIRES_ON => expires = date(&mut fields, at),
                IDEVID_ISSUER => issuer = Some(fields.bounded(MAX_SERIAL)),
                LAST_RENEWAL => renewal = date(&mut fields, at),
                NONCE => {
                    let bytes = fields.bounded(MAX_NONCE);
                    fields.ask(bytes.len() >= MIN_NONCE, at, ErrorKind::OutOfRange);
                    nonce = Some(bytes);
                }
                PINNED_CERTIFICATE => pinned = Some(Pinned::Certificate(fields.bounded(MAX_LENGTH))),
                PINNED_KEY => pinned = Some(Pinned::Key(fields.bounded(MAX_LENGTH))),
                PINNED_HASH => pinned = Some(Pinned::Hash(fields.fixed())),
                SERIAL => serial = Some(fields.text(MAX_SERIAL)),
                _ => fields.refuse(at, ErrorKind::OutOfRange),
            }
            let twice = second && matches!(member, PINNED_CERTIFICATE..=PINNED_HASH);
            fields.ask(!twice, at, ErrorKind::OutOfRange);
        }
        let missing = cbor::Reader::new(data).error(ErrorKind::OutOfRange);
        fields.finish()?;
        let (Some(assertion), Some(created_on), Some(serial_number), Some(pinned)) =
            (assertion, created, serial, pinned)
        else {
            return Err(missing);
        };
        if serial_number.is_empty() || (expires.is_none() && nonce.is_none()) {
            return Err(missing);
        }
        Ok(Self {
            assertion,
            created_on,
            expires_on: expires,
            nonce,
            serial_number,
            idevid_issuer: issuer,
            pinned,
            last_renewal_date: renewal,
        })
    }

    /// Writes the data of a voucher.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn encode<W: Write>(&self, out: W) -> Result<(), W::Error> {
        let optional = [
            self.expires_on.is_some(),
            self.idevid_issuer.is_some(),
            self.last_renewal_date.is_some(),
            self.nonce.is_some(),
        ];
        let members = optional.into_iter().fold(4_u64, |sum, is| sum.saturating_add(u64::from(is)));
        let mut writer = Writer::new(out);
        writer.map(1)?.uint(VOUCHER)?.map(members)?;
        writer.uint(ASSERTION)?.uint(self.assertion.number())?;
        writer.uint(CREATED_ON)?;
        write_date(&mut writer, self.created_on)?;
        if let Some(expires) = self.expires_on {
            writer.uint(EXPIRES_ON)?;
            write_date(&mut writer, expires)?;
        }
        if let Some(issuer) = self.idevid_issuer {
            writer.uint(IDEVID_ISSUER)?.bytes(issuer)?;
        }
        if let Some(renewal) = self.last_renewal_date {
            writer.uint(LAST_RENEWAL)?;
            write_date(&mut writer, renewal)?;
        }
        if let Some(nonce) = self.nonce {
            writer.uint(NONCE)?.bytes(nonce)?;
        }
        match self.pinned {
            Pinned::Certificate(der) => writer.uint(PINNED_CERTIFICATE)?.bytes(der)?,
            Pinned::Key(spki) => writer.uint(PINNED_KEY)?.bytes(spki)?,
            Pinned::Hash(hash) => writer.uint(PINNED_HASH)?.bytes(hash)?,
        };
        writer.uint(SERIAL)?.text(self.serial_number)?;
        Ok(())
    }

    /// Judges the voucher: does it make `expected`'s device a device of `expected`'s domain?
    ///
    /// # Errors
    /// [`Refused`].
    pub fn judge(&self, expected: &Expected<'_>, crypto: &impl Crypto) -> Result<(), Refused> {
        if self.serial_number != expected.serial_number {
            return Err(Refused::OtherDevice);
        }
        if let (Some(named), Some(own)) = (self.idevid_issuer, expected.idevid_issuer)
            && named != own
        {
            return Err(Refused::OtherDevice);
        }
        if self.nonce.is_some() && self.nonce != expected.nonce {
            return Err(Refused::Nonce);
        }
        // By the earliest time that it can be: a device without a clock is not locked out of its site.
        if self.nonce.is_none() && self.expires_on.is_none_or(|expires| expires < expected.time.earliest()) {
            return Err(Refused::Expired);
        }
        if self.nonce.is_none() && self.created_on < expected.floor {
            return Err(Refused::Older);
        }
        if self.pinned.fingerprint(crypto) == Some(*expected.domain) { Ok(()) } else { Err(Refused::OtherDomain) }
    }
}

/// What a device expects of a voucher.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its own serial.
    pub serial_number: &'a str,
    /// The authority key identifier of its birth credential.
    pub idevid_issuer: Option<&'a [u8]>,
    /// What it asked with, if it asked.
    pub nonce: Option<&'a [u8]>,
    /// Who wants it: SHA-256 of the `SubjectPublicKeyInfo` of the site's root.
    pub domain: &'a [u8; 32],
    /// What it knows of the time.
    pub time: Interval,
    /// When the newest word about its owner was made that it ever believed. It is kept when all else is reset.
    pub floor: Time,
}

/// A voucher with its signature. Read, not yet verified.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    payload: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Reads a COSE_Sign1 object: tagged, ES256 alone in its protected header. What is unprotected is passed over: it is
    /// for others on the way.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Refused> {
        if bytes.len() > MAX_LENGTH {
            return Err(Refused::TooLong(bytes.len()));
        }
        let mut fields = Fields::new(bytes);
        fields.tag(18);
        fields.array_of(4);
        let at = fields.position();
        let protected = fields.bytes();
        fields.ask(protected == PROTECTED, at, ErrorKind::OutOfRange);
        let at = fields.position();
        let unprotected = fields.skip();
        fields.ask(unprotected.first().is_some_and(|head| head >> 5 == 5), at, ErrorKind::WrongType);
        let payload = fields.bytes();
        let at = fields.position();
        let signature = fields.bytes();
        fields.ask(signature.len() == 64, at, ErrorKind::OutOfRange);
        fields.finish()?;
        Ok(Self { payload, signature })
    }

    /// What it says, whoever signed it: for a maker that reads its own record.
    ///
    /// # Errors
    /// Where it is no voucher.
    pub fn danger_content(&self) -> Result<Voucher<'a>, cbor::Error> {
        Voucher::read(self.payload)
    }

    /// The voucher, if `maker` signed it.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn verify(&self, maker: PublicKey<'_>, crypto: &impl Crypto) -> Result<Voucher<'a>, Refused> {
        let heads = [PROTECTED, &[], self.payload].map(Head::bytes);
        let message = to_be_signed(&heads, self.payload);
        let signature = Signature::Cose(self.signature);
        crypto.verify(SignatureAlgorithm::EcdsaSha256, maker, &message, signature).map_err(|error| match error {
            VerifyError::Unsupported | VerifyError::Invalid => Refused::Forged,
        })?;
        Ok(Voucher::read(self.payload)?)
    }
}

/// The `Sig_structure` of a voucher (RFC 9052 section 4.4) in parts.
fn to_be_signed<'a>(heads: &'a [Head; 3], payload: &'a [u8]) -> [&'a [u8]; 6] {
    const START: &[u8] = &[0x84, 0x6a, b'S', b'i', b'g', b'n', b'a', b't', b'u', b'r', b'e', b'1'];
    let [protected, external, data] = heads;
    [START, protected.as_bytes(), PROTECTED, external.as_bytes(), data.as_bytes(), payload]
}

/// Reads the bytes that are signed for a voucher: for a signer that signs nothing else.
///
/// # Errors
/// If they are anything else.
pub fn read_to_be_signed(bytes: &[u8]) -> Result<Voucher<'_>, cbor::Error> {
    let mut fields = Fields::new(bytes);
    fields.array_of(4);
    let at = fields.position();
    let context = fields.text(10);
    let (protected, external) = (fields.bytes(), fields.bytes());
    let right = context == "Signature1" && protected == PROTECTED && external.is_empty();
    fields.ask(right, at, ErrorKind::OutOfRange);
    let data = fields.bytes();
    fields.finish()?;
    Voucher::read(data)
}

/// Signs the data of a voucher: `sign` gets the bytes to be signed in parts and gives `r‖s`. `bag` holds certificates for
/// those on the way (`x5bag`, RFC 9360), which devices pass over.
///
/// # Errors
/// What `sign` fails with.
pub fn sign<E>(
    data: &[u8],
    bag: &[&[u8]],
    out: impl Write<Error = Infallible>,
    sign: impl FnOnce(&[&[u8]]) -> Result<[u8; 64], E>,
) -> Result<(), E> {
    let heads = [PROTECTED, &[], data].map(Head::bytes);
    let signature = sign(&to_be_signed(&heads, data))?;
    let Ok(()) = assemble(data, bag, &signature, out);
    Ok(())
}

fn assemble<W: Write>(data: &[u8], bag: &[&[u8]], signature: &[u8; 64], out: W) -> Result<(), W::Error> {
    const X5BAG: u64 = 32;
    let mut writer = Writer::new(out);
    writer.tag(18)?.array(4)?.bytes(PROTECTED)?.map(u64::from(!bag.is_empty()))?;
    match bag {
        [] => {}
        [one] => {
            writer.uint(X5BAG)?.bytes(one)?;
        }
        several => {
            writer.uint(X5BAG)?.array(u64::try_from(several.len()).unwrap_or(u64::MAX))?;
            for certificate in several {
                writer.bytes(certificate)?;
            }
        }
    }
    writer.bytes(data)?.bytes(signature)?;
    Ok(())
}

/// The owner's word that a device is the next owner's, signed with the key that the owner's own voucher pins. With it the
/// maker releases the device; and where the maker is gone, a device that believed the voucher believes the transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer<'a> {
    /// The device's serial.
    pub serial_number: &'a str,
    /// The owner: SHA-256 of the `SubjectPublicKeyInfo` of its root.
    pub from: &'a [u8; 32],
    /// The next owner, likewise; `None` if it is for the maker to say.
    pub to: Option<&'a [u8; 32]>,
    /// When it was made.
    pub created_on: Time,
}

impl<'a> Transfer<'a> {
    /// Where a transfer says what it is.
    pub const PLACE: Place = Place::Header(ContentType::TRANSFER);

    /// Reads a transfer that `owner` is to have signed, whose key is the `from` of it.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn verify(bytes: &'a [u8], owner: PublicKey<'_>, spki: &[u8], crypto: &impl Crypto) -> Result<Self, Refused> {
        if bytes.len() > MAX_LENGTH {
            return Err(Refused::TooLong(bytes.len()));
        }
        let signed = cose::Sign1::read(bytes).map_err(|_| Refused::Forged)?;
        let payload = signed.verify(Self::PLACE, owner, crypto).map_err(|_| Refused::Forged)?;
        let transfer = Self::read(payload)?;
        if crypto.sha256(&[spki]) == *transfer.from { Ok(transfer) } else { Err(Refused::OtherDomain) }
    }

    /// Reads the payload: `[1, serial, from, to / null, created-on]`.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn read(payload: &'a [u8]) -> Result<Self, cbor::Error> {
        let mut fields = Fields::new(payload);
        fields.array_of(5);
        let at = fields.position();
        let form = fields.uint();
        fields.ask(form == 1, at, ErrorKind::OutOfRange);
        let serial_number = fields.text(MAX_SERIAL);
        let from = fields.fixed();
        let to = if fields.null() { None } else { Some(fields.fixed()) };
        let created_on = fields.time();
        fields.finish()?;
        Ok(Self { serial_number, from, to, created_on })
    }

    /// Writes the payload; [`cose::sign1`] with [`Transfer::PLACE`] makes the signed object of it.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn encode<W: Write>(&self, out: W) -> Result<(), W::Error> {
        let mut writer = Writer::new(out);
        writer.array(5)?.uint(1)?.text(self.serial_number)?.bytes(self.from)?;
        match self.to {
            Some(to) => writer.bytes(to)?,
            None => writer.null()?,
        };
        writer.time(self.created_on)?;
        Ok(())
    }

    /// Whether the transfer makes `expected`'s device, which belongs to the domain it is from, a device of `expected`'s.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn judge(&self, owner: &[u8; 32], expected: &Expected<'_>) -> Result<(), Refused> {
        if self.serial_number != expected.serial_number {
            return Err(Refused::OtherDevice);
        }
        if self.from != owner || self.to != Some(expected.domain) {
            return Err(Refused::OtherDomain);
        }
        // One from the future, by more than a day, would be newer than every word that comes after it.
        let from_the_future =
            expected.time.latest().is_some_and(|latest| self.created_on > latest.plus_seconds(86_400));
        if from_the_future {
            return Err(Refused::Early);
        }
        if self.created_on < expected.floor { Err(Refused::Older) } else { Ok(()) }
    }
}

/// Why a device does not believe a voucher or transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is longer than any that is accepted.
    TooLong(usize),
    /// It is not of the expected form.
    Form(cbor::Error),
    /// It was signed by somebody else, or changed.
    Forged,
    /// It is about another device.
    OtherDevice,
    /// It names another owner than the one that wants the device.
    OtherDomain,
    /// It answers another question.
    Nonce,
    /// Its time is over.
    Expired,
    /// A newer word about the owner was believed before.
    Older,
    /// It says that it was made in the future.
    Early,
}

impl From<cbor::Error> for Refused {
    fn from(error: cbor::Error) -> Self {
        Self::Form(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(length) => write!(f, "the voucher has {length} bytes, and at most {MAX_LENGTH} are read"),
            Self::Form(error) => error.fmt(f),
            Self::Forged => f.write_str("the signature is not the one of whom it should be"),
            Self::OtherDevice => f.write_str("the voucher is about another device"),
            Self::OtherDomain => f.write_str("the voucher names another owner: this site's is needed"),
            Self::Nonce => f.write_str("the voucher answers another request: ask again"),
            Self::Expired => f.write_str("the voucher has expired: ask the maker for a new one"),
            Self::Older => f.write_str("the device knows a newer word about its owner"),
            Self::Early => f.write_str("it is dated in the future: sign it anew, with a clock that is right"),
        }
    }
}

impl core::error::Error for Refused {}

fn date(fields: &mut Fields<'_>, at: usize) -> Option<Time> {
    let text = fields.text(MAX_DATE);
    fields.within(date_and_time(text), at)
}

/// Reads a date and time in UTC (RFC 3339 section 5.6). A fraction of a second is cut off.
#[must_use]
pub fn date_and_time(text: &str) -> Option<Time> {
    let (date, rest) = text.as_bytes().split_at_checked(19)?;
    let number = |from: usize, to: usize| {
        date.get(from..to)?.iter().try_fold(0_u16, |value, digit| {
            let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
            value.checked_mul(10)?.checked_add(u16::from(digit))
        })
    };
    let small = |from: usize, to: usize| u8::try_from(number(from, to)?).ok();
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(place, separator)| date.get(*place) != Some(separator)) {
        return None;
    }
    let offset = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            fraction.get(digits..).filter(|_| (1..=9).contains(&digits))?
        }
        _ => rest,
    };
    if !matches!(offset, b"Z" | b"+00:00" | b"-00:00") {
        return None;
    }
    Time::from_utc(number(0, 4)?, small(5, 7)?, small(8, 10)?, small(11, 13)?, small(14, 16)?, small(17, 19)?)
}

fn write_date<W: Write>(writer: &mut Writer<W>, time: Time) -> Result<(), W::Error> {
    let mut text = *b"0000-00-00T00:00:00Z";
    let (year, month, day, hour, minute, second) = time.to_utc();
    let year = u16::try_from(year).unwrap_or(9999);
    let digits = |number: u16| [number / 10 % 10, number % 10].map(|digit| b'0'.saturating_add(digit.to_le_bytes()[0]));
    let parts = [year / 100, year % 100, month.into(), day.into(), hour.into(), minute.into(), second.into()];
    for (place, part) in [0, 2, 5, 8, 11, 14, 17].into_iter().zip(parts) {
        let two = digits(part);
        text.iter_mut().skip(place).zip(two).for_each(|(to, digit)| *to = digit);
    }
    writer.text(core::str::from_utf8(&text).unwrap_or_default())?;
    Ok(())
}

#[cfg(test)]
mod tests;
