//! The one shape in which readings travel, and the evidence a command rests on.
//!
//! Deterministic CBOR (docs/sealed-command.md has the CDDL). A value that is no number ([`Special`]) cannot be taken
//! for one: it is another variant, not another number.

use crate::sealed::code;
use core::fmt;
use medlock_trust::cbor::{self, ErrorKind, Reader, Writer};
use medlock_trust::crypto::Message;
use medlock_trust::decide::Code;
use medlock_trust::{Crypto, DeviceId, Interval};
use minicbor::encode::Write;
use minicbor::encode::write::Cursor;

/// A term of the IEEE 11073-10101 nomenclature, context-free: partition · 2^16 + code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mdc(pub u32);

impl Mdc {
    /// Glucose concentration in interstitial fluid, 2::29140: what a continuous glucose monitor measures.
    pub const CONC_GLU_ISF: Self = Self(160_212);
    /// Milligrams per decilitre, 4::2130.
    pub const DIM_MILLI_G_PER_DL: Self = Self(264_274);
    /// Millimoles per litre, 4::4722.
    pub const DIM_MILLI_MOLE_PER_L: Self = Self(266_866);
}

/// mantissa · 10^exponent, in the range of a FLOAT-Type (IEEE 11073-20601 annex F.7). The exponent says the precision: 50
/// and 5·10^1 are different statements.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    mantissa: i32,
    exponent: i8,
}

impl Decimal {
    /// The largest mantissa: 2^23 − 3. Those beyond are specials.
    pub const MAX_MANTISSA: i32 = 0x7f_fffd;

    /// mantissa · 10^exponent; `None` if the mantissa does not fit a FLOAT-Type.
    #[must_use]
    pub const fn new(mantissa: i32, exponent: i8) -> Option<Self> {
        if mantissa.unsigned_abs() <= Self::MAX_MANTISSA.unsigned_abs() {
            Some(Self { mantissa, exponent })
        } else {
            None
        }
    }

    /// The mantissa.
    #[must_use]
    pub const fn mantissa(self) -> i32 {
        self.mantissa
    }

    /// The power of ten.
    #[must_use]
    pub const fn exponent(self) -> i8 {
        self.exponent
    }

    /// The value in units of 10^`exponent`, rounded towards zero; `None` if it does not fit.
    #[must_use]
    pub fn scaled(self, exponent: i8) -> Option<i64> {
        let shift = i32::from(self.exponent).checked_sub(i32::from(exponent))?;
        let mantissa = i64::from(self.mantissa);
        match 10_i64.checked_pow(shift.unsigned_abs()) {
            Some(power) if shift >= 0 => mantissa.checked_mul(power),
            Some(power) => mantissa.checked_div(power),
            // So small that nothing is left, or so large that it does not fit.
            None => (shift < 0 || mantissa == 0).then_some(0),
        }
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}e{}", self.mantissa, self.exponent)
    }
}

/// Something a sensor says in place of a number (IEEE 11073-20601 annex F.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Special {
    /// Not a number.
    NaN,
    /// Not at this resolution: too fine, too coarse, or out of range.
    NRes,
    /// Above what can be measured.
    PositiveInfinity,
    /// Below what can be measured.
    NegativeInfinity,
}

impl Special {
    /// All of them, in the order of their numbers on the wire.
    pub const ALL: [Self; 4] = [Self::NaN, Self::NRes, Self::PositiveInfinity, Self::NegativeInfinity];

    const fn number(self) -> u64 {
        match self {
            Self::NaN => 0,
            Self::NRes => 1,
            Self::PositiveInfinity => 2,
            Self::NegativeInfinity => 3,
        }
    }
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A number.
    Number(Decimal),
    /// No number.
    Special(Special),
}

impl Value {
    /// The number, if it is one.
    #[must_use]
    pub const fn number(self) -> Option<Decimal> {
        match self {
            Self::Number(number) => Some(number),
            Self::Special(_) => None,
        }
    }
}

/// When something was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since the source's boot.
    pub ticks: u64,
    /// In UTC, as far as the source knew.
    pub utc: Option<Interval>,
}

impl Moment {
    /// Writes it: three items of the array it is in.
    pub(crate) fn encode<W: Write>(self, out: &mut Writer<W>) -> Result<(), W::Error> {
        out.uint(self.ticks)?;
        match self.utc {
            Some(utc) => out.time(utc.earliest())?,
            None => out.null()?,
        };
        match self.utc.and_then(Interval::latest) {
            Some(latest) => out.time(latest)?,
            None => out.null()?,
        };
        Ok(())
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, cbor::Error> {
        let ticks = reader.uint()?;
        let error = reader.error(ErrorKind::OutOfRange);
        let earliest = if reader.null()? { None } else { Some(reader.time()?) };
        let latest = if reader.null()? { None } else { Some(reader.time()?) };
        let utc = match (earliest, latest) {
            (Some(earliest), latest) => Some(Interval::new(earliest, latest).ok_or(error)?),
            (None, None) => None,
            (None, Some(_)) => return Err(error),
        };
        Ok(Self { ticks, utc })
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What was measured.
    pub code: Mdc,
    /// In which unit.
    pub unit: Mdc,
    /// The value.
    pub value: Value,
    /// When.
    pub moment: Moment,
    /// What a judge wrote beside it. A sensor leaves it out; who passes a reading on puts in the mark of its permit.
    pub mark: Option<Code>,
}

impl Reading {
    /// The most bytes a reading takes.
    pub const MAX_LENGTH: usize = 48;

    /// Writes it: an array of seven.
    ///
    /// # Errors
    /// What `out` says.
    pub fn encode<W: Write>(&self, out: &mut Writer<W>) -> Result<(), W::Error> {
        out.array(7)?.uint(u64::from(self.code.0))?.uint(u64::from(self.unit.0))?;
        match self.value {
            Value::Number(number) => {
                out.tag(TAG_DECIMAL)?.array(2)?.int(i64::from(number.exponent))?.int(i64::from(number.mantissa))?
            }
            Value::Special(special) => out.uint(special.number())?,
        };
        self.moment.encode(out)?;
        match self.mark {
            Some(mark) => out.uint(u64::from(code::number(mark)))?,
            None => out.null()?,
        };
        Ok(())
    }

    /// Writes it at the beginning of `out` and returns its bytes; `None` if they do not fit.
    #[must_use]
    pub fn to_slice<'o>(&self, out: &'o mut [u8]) -> Option<&'o [u8]> {
        let mut cursor = Cursor::new(&mut *out);
        self.encode(&mut Writer::new(&mut cursor)).ok()?;
        let length = cursor.position();
        out.get(..length)
    }

    /// Reads one.
    ///
    /// # Errors
    /// If it is another thing or written in another way than [`Reading::encode`] does.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, cbor::Error> {
        reader.array_of(7)?;
        let (code, unit) = (mdc(reader)?, mdc(reader)?);
        let value = value(reader)?;
        let moment = Moment::decode(reader)?;
        let error = reader.error(ErrorKind::OutOfRange);
        let mark = if reader.null()? { None } else { Some(code::from_number(reader.byte()?).ok_or(error)?) };
        Ok(Self { code, unit, value, moment, mark })
    }
}

/// A decimal fraction (RFC 8949 section 3.4.4).
const TAG_DECIMAL: u64 = 4;

fn mdc(reader: &mut Reader<'_>) -> Result<Mdc, cbor::Error> {
    let error = reader.error(ErrorKind::OutOfRange);
    u32::try_from(reader.uint()?).map(Mdc).map_err(|_| error)
}

fn value(reader: &mut Reader<'_>) -> Result<Value, cbor::Error> {
    let error = reader.error(ErrorKind::OutOfRange);
    if let Ok(number) = reader.clone().uint() {
        reader.uint()?;
        let special = Special::ALL.into_iter().find(|special| special.number() == number);
        return special.map(Value::Special).ok_or(error);
    }
    reader.tag(TAG_DECIMAL)?;
    reader.array_of(2)?;
    let exponent = i8::try_from(reader.int()?).map_err(|_| error)?;
    let mantissa = i32::try_from(reader.int()?).map_err(|_| error)?;
    Decimal::new(mantissa, exponent).map(Value::Number).ok_or(error)
}

/// Several readings as they travel: an array, oldest first.
#[derive(Clone, Debug)]
pub struct Readings<'a> {
    reader: Reader<'a>,
    left: u64,
}

impl<'a> Readings<'a> {
    /// The most readings in one message: a day at one in five minutes.
    pub const MAX: u64 = 288;

    /// Reads a list; every reading of it was checked.
    ///
    /// # Errors
    /// If it is another thing, there are too many, or bytes follow.
    pub fn read(bytes: &'a [u8]) -> Result<Self, cbor::Error> {
        let mut reader = Reader::new(bytes);
        let left = reader.array(Self::MAX)?;
        let mut ahead = reader.clone();
        (0..left).try_for_each(|_| Reading::decode(&mut ahead).map(drop))?;
        ahead.finish()?;
        Ok(Self { reader, left })
    }

    /// Writes a list.
    ///
    /// # Errors
    /// What `out` says.
    pub fn encode<W: Write>(readings: &[Reading], out: &mut Writer<W>) -> Result<(), W::Error> {
        out.array(u64::try_from(readings.len()).unwrap_or(u64::MAX))?;
        readings.iter().try_for_each(|reading| reading.encode(out))
    }
}

impl Iterator for Readings<'_> {
    type Item = Reading;

    fn next(&mut self) -> Option<Reading> {
        self.left = self.left.checked_sub(1)?;
        Reading::decode(&mut self.reader).ok()
    }
}

/// What a command rests on: the first 16 bytes of the SHA-256 of readings and their sources. Whoever holds the readings
/// can show later that these and no others were the reason.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Evidence([u8; Self::LENGTH]);

impl Evidence {
    /// Bytes of it: 128 bits, beyond reach of a second preimage.
    pub const LENGTH: usize = 16;

    /// Takes it from bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// The evidence of `readings`, each with the device it came from, in this order: the hash of a CBOR array of pairs
    /// `[source, reading]`.
    #[must_use]
    pub fn of(readings: &[(DeviceId, Reading)], crypto: &impl Crypto) -> Self {
        let hash = crypto.sha256(&Rest(readings));
        let mut evidence = [0; Self::LENGTH];
        evidence.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Self(evidence)
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Evidence(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// The bytes that evidence is the hash of; never put together.
struct Rest<'r>(&'r [(DeviceId, Reading)]);

impl Message for Rest<'_> {
    fn feed(&self, to: &mut dyn FnMut(&[u8])) {
        let mut out = Writer::new(Feed(to));
        // A `Feed` takes everything.
        let _ = out.array(u64::try_from(self.0.len()).unwrap_or(u64::MAX));
        for (source, reading) in self.0 {
            let _ = out.array(2).and_then(|out| out.bytes(source.as_bytes())).map(drop);
            let _ = reading.encode(&mut out);
        }
    }
}

struct Feed<'f>(&'f mut dyn FnMut(&[u8]));

impl Write for Feed<'_> {
    type Error = core::convert::Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        (self.0)(bytes);
        Ok(())
    }
}
