//! Error messages (RFC 9528 section 6).

use super::Error;
use super::items::{Items, Out};
use super::suite::{Suite, Suites, write_list};

/// An error message that came from the peer, or from anybody: nothing in it is authentic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<'a> {
    /// Code 1: no code of its own; a text for those who look for the cause.
    Unspecified(&'a str),
    /// Code 2, in answer to message 1: the suites the responder has.
    WrongSuite(Suites<'a>),
    /// Code 3: the credential is not known by this reference; send it by value.
    UnknownCredential,
    /// Another code, which ends the handshake too.
    Other(i64),
}

/// The longest text of an error message that is read, in bytes.
const MAX_TEXT: usize = 256;

impl<'a> Fault<'a> {
    /// Reads an error message.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is none, or has the code 0, which is never sent.
    pub fn read(message: &'a [u8]) -> Result<Self, Error> {
        let mut items = Items::new(message);
        let fault = match items.int()? {
            0 => return Err(Error::Malformed),
            1 => Self::Unspecified(items.text(MAX_TEXT)?),
            2 => Self::WrongSuite(Suites::read(&mut items)?),
            3 if items.skip()? == [0xf5] => Self::UnknownCredential,
            3 => return Err(Error::Malformed),
            code => {
                items.skip()?;
                Self::Other(code)
            }
        };
        items.finish()?;
        Ok(fault)
    }
}

/// What one answers to a message that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// Code 1 with a text that tells nothing secret.
    Unspecified(&'a str),
    /// Code 2, to message 1 only: the suites one has.
    WrongSuite(&'a [Suite]),
    /// Code 3: the credential is not known by this reference.
    UnknownCredential,
}

impl<'a> Reply<'a> {
    /// The answer to `error`; `suites` are one's own. For a credential that is not known by its reference, which the
    /// caller finds out, take [`Reply::UnknownCredential`].
    #[must_use]
    pub fn to(error: Error, suites: &'a [Suite]) -> Self {
        match error {
            Error::Suite => Self::WrongSuite(suites),
            Error::Malformed
            | Error::Method
            | Error::ConnectionId
            | Error::CriticalEad(_)
            | Error::Ephemeral
            | Error::PublicKey
            | Error::KeyKind
            | Error::Forged
            | Error::Reflected
            | Error::OwnKey
            | Error::OwnCredential
            | Error::NoRoom
            | Error::TooLong => Self::Unspecified(error.diagnosis()),
        }
    }

    /// Writes the message to the front of `out` and says how long it is.
    ///
    /// # Errors
    /// [`Error::NoRoom`] if `out` is too short, [`Error::Suite`] if there are no suites to name.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Error> {
        let mut out = Out::new(out);
        let mut cbor = out.cbor();
        match self {
            Self::Unspecified(text) => {
                cbor.uint(1)?.text(text)?;
            }
            Self::WrongSuite([]) => return Err(Error::Suite),
            Self::WrongSuite(suites) => {
                cbor.uint(2)?;
                write_list(suites, &mut cbor)?;
            }
            Self::UnknownCredential => {
                cbor.uint(3)?.raw(&[0xf5])?;
            }
        }
        Ok(out.written())
    }
}
