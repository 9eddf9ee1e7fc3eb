//! The codes of the trust core as numbers: what a record or a receipt can afford to carry.

use medlock_trust::cbor::{Fields, Writer};
use medlock_trust::decide::Code;
use minicbor::encode::Write;

/// The number of a code on the wire. It never changes its meaning; docs/sealed-command.md lists them.
#[must_use]
pub const fn number(code: Code) -> u8 {
    match code {
        Code::IssuerRetired => 1,
        Code::ExpiredWithinGrace => 2,
        Code::ExpiredBeyondGrace => 3,
        Code::StatusStale => 4,
        Code::NotYetValid => 5,
        Code::Attended => 6,
        Code::BondMissing => 7,
        Code::RoleLacksOperation => 8,
        Code::RoleNotVouched => 9,
        Code::DeviceTypeNotVouched => 10,
        Code::BirthCredential => 11,
        Code::NotABirthCredential => 12,
        Code::Suspended => 13,
        Code::IssuerSuspended => 14,
        Code::IssuedAfterRetirement => 15,
        Code::IssuerNotListed => 16,
        Code::Superseded => 17,
        Code::Ceased => 18,
        Code::IssuerCeased => 19,
        Code::Compromised => 20,
        Code::IssuerCompromised => 21,
        Code::NameNotVouched => 22,
        Code::NotInLog => 23,
    }
}

/// The code with this number.
#[must_use]
pub fn from_number(wanted: u8) -> Option<Code> {
    Code::ALL.into_iter().find(|code| number(*code) == wanted)
}

/// Writes the mark of a verdict: the number of its code, or `null`.
///
/// # Errors
/// What `out` says.
pub fn encode_mark<W: Write>(mark: Option<Code>, out: &mut Writer<W>) -> Result<(), W::Error> {
    match mark {
        Some(mark) => out.uint(u64::from(number(mark))).map(drop),
        None => out.null().map(drop),
    }
}

/// Reads what [`encode_mark`] writes.
pub fn decode_mark(fields: &mut Fields<'_>) -> Option<Code> {
    if fields.null() {
        return None;
    }
    let start = fields.position();
    let code = from_number(fields.byte());
    fields.within(code, start)
}
