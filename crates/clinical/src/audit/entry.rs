//! An entry as it is kept, read again.

use super::note::{Act, FORM};
use crate::access::Verb;
use crate::kind::{Kind, Millis, Row, Version};
use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error;

/// Who asked, as an entry says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// A device of the register, with the identifier of its credential in hexadecimal.
    Device { name: String, credential: String },
    /// Software in its own name.
    Software { client: String },
    /// The person with this account, by software.
    Person { account: i64, client: String },
}

/// An entry of the audit, as it is kept: a map of CBOR with small numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub(crate) by: By,
    pub(crate) leave: i64,
    pub(crate) verb: Verb,
    pub(crate) kind: Kind,
    pub(crate) row: Option<Row>,
    pub(crate) version: Option<Version>,
    pub(crate) patients: Vec<Row>,
    /// Why it was refused.
    pub(crate) refused: Option<String>,
    pub(crate) query: Option<String>,
    pub(crate) mark: Option<String>,
    pub(crate) origin: String,
    /// The Consents that decided.
    pub(crate) consents: Vec<Row>,
    /// Why the glass was broken.
    pub(crate) reason: Option<String>,
    /// Of a sign-in: the OpenID provider, and who the person is there.
    pub(crate) provider: Option<(String, String)>,
    /// What was done on the pages of sign-in.
    pub(crate) act: Option<Act>,
    /// When; entries of the first hours do not say it.
    pub(crate) at: Option<Millis>,
}

impl By {
    /// The software that asked, or by which a person did.
    pub(crate) fn client(&self) -> Option<&str> {
        match self {
            Self::Software { client } | Self::Person { client, .. } => Some(client),
            Self::Device { .. } => None,
        }
    }

    /// The account of the person.
    pub(crate) fn account(&self) -> Option<i64> {
        match self {
            Self::Person { account, .. } => Some(*account),
            Self::Device { .. } | Self::Software { .. } => None,
        }
    }
}

impl Entry {
    /// What was done, in the codes of AuditEvent.
    pub(crate) const fn action(&self) -> &'static str {
        match self.verb {
            Verb::Create => "C",
            Verb::Read => "R",
            Verb::Update => "U",
            Verb::Delete => "D",
            Verb::Search => "E",
        }
    }

    /// How it went, in the codes of AuditEvent.
    pub(crate) const fn outcome(&self) -> &'static str {
        if self.refused.is_some() { "4" } else { "0" }
    }

    /// Reads an entry. What a later form adds is passed over.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Decoder::new(bytes);
        let members = reader.map()?.ok_or_else(wrong)?;
        let mut read = Reading::default();
        for _ in 0..members {
            let member = reader.u8()?;
            read.member(member, &mut reader)?;
        }
        if reader.position() != bytes.len() {
            return Err(wrong());
        }
        read.entry().ok_or_else(wrong)
    }
}

fn wrong() -> Error {
    Error::message("it is no entry of the audit")
}

/// An entry as its members come.
#[derive(Default)]
struct Reading {
    by: Option<By>,
    leave: Option<i64>,
    verb: Option<Verb>,
    kind: Option<Kind>,
    row: Option<Row>,
    version: Option<Version>,
    patients: Vec<Row>,
    refused: Option<String>,
    query: Option<String>,
    mark: Option<String>,
    origin: Option<String>,
    consents: Vec<Row>,
    reason: Option<String>,
    provider: Option<(String, String)>,
    act: Option<Act>,
    at: Option<Millis>,
}

impl Reading {
    fn member(&mut self, member: u8, reader: &mut Decoder<'_>) -> Result<(), Error> {
        match member {
            0 if reader.u8()? != FORM => return Err(wrong()),
            0 => {}
            1 => self.by = Some(by(reader)?),
            2 => self.leave = Some(reader.i64()?),
            3 => {
                let letter = reader.str()?;
                self.verb = Verb::ALL.into_iter().find(|verb| letter.chars().eq([verb.letter()]));
            }
            4 => self.kind = Kind::numbered(reader.u8()?),
            5 => self.row = reader.decode::<Option<i64>>()?.map(Row),
            6 => self.version = reader.decode::<Option<u32>>()?.map(Version::numbered),
            7 => {
                for row in reader.array_iter::<i64>()? {
                    self.patients.push(Row(row?));
                }
            }
            8 => self.refused = reader.decode()?,
            9 => self.query = reader.decode()?,
            10 => self.mark = reader.decode()?,
            11 => self.origin = Some(reader.str()?.to_owned()),
            12 => {
                for row in reader.array_iter::<i64>()? {
                    self.consents.push(Row(row?));
                }
            }
            13 => self.reason = Some(reader.str()?.to_owned()),
            14 => self.provider = Some(reader.decode()?),
            15 => self.act = Act::numbered(reader.u8()?),
            20 => self.at = Some(Millis(reader.i64()?)),
            _ => reader.skip()?,
        }
        Ok(())
    }

    fn entry(self) -> Option<Entry> {
        Some(Entry {
            by: self.by?,
            leave: self.leave?,
            verb: self.verb?,
            kind: self.kind?,
            row: self.row,
            version: self.version,
            patients: self.patients,
            refused: self.refused,
            query: self.query,
            mark: self.mark,
            origin: self.origin?,
            consents: self.consents,
            reason: self.reason,
            // Sign-ins of earlier versions were those at a provider.
            act: self.act.or(self.provider.is_some().then_some(Act::Provider)),
            provider: self.provider,
            at: self.at,
        })
    }
}

/// A device is a name with bytes, software a name alone, a person a number with the name of software.
fn by(reader: &mut Decoder<'_>) -> Result<By, Error> {
    let members = reader.array()?.ok_or_else(wrong)?;
    match (members, reader.datatype()?) {
        (1, Type::String) => Ok(By::Software { client: reader.str()?.to_owned() }),
        (2, Type::String) => {
            let name = reader.str()?.to_owned();
            Ok(By::Device { name, credential: data_encoding::HEXLOWER.encode(reader.bytes()?) })
        }
        (2, _) => Ok(By::Person { account: reader.i64()?, client: reader.str()?.to_owned() }),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(bytes in any::<Vec<u8>>()) {
            let _ = Entry::read(&bytes);
        }
    }
}
