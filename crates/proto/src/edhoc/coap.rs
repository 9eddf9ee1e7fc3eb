//! EDHOC over CoAP (RFC 9528 appendix A.2) and the combined request of RFC 9668, as functions over payloads.
//!
//! | message | request payload | content format |
//! | --- | --- | --- |
//! | 1 | `true`, message 1 | 65 |
//! | 2 | response 2.04: message 2 | 64 |
//! | 3 | C_R, message 3 | 65 |
//! | 3 with a request | message 3, OSCORE ciphertext; options OSCORE (`kid` = C_R) and EDHOC | none |
//! | 4 | response 2.04: message 4 | 64 |
//! | error | response 4.00 or 5.00, or request: C_R, error | 64; 65 |

use super::connection::ConnectionId;
use super::items::{Items, Out};
use super::{Error, Session};
use crate::crypto::Crypto;

/// The segments of the path of the resource: `/.well-known/edhoc`.
pub const PATH: [&str; 2] = [".well-known", "edhoc"];

/// The exporter label of `edhoc-unique` (draft-ietf-ace-coap-est-oscore, "Channel Binding"). It has no number yet (TBD1):
/// one for private use.
pub const EDHOC_UNIQUE: u16 = 32_768;

/// What binds a request for a certificate to the session it is made in (`edhoc-unique`): its base64 is the challenge
/// password of the request.
///
/// # Errors
/// None that can happen: the output is short.
pub fn edhoc_unique(session: &Session, crypto: &impl Crypto) -> Result<[u8; 32], Error> {
    let mut unique = [0; 32];
    session.export(EDHOC_UNIQUE, b"EDHOC Unique", &mut unique, crypto)?;
    Ok(unique)
}

/// What a POST to the resource carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Nothing: the client asks the server to be the initiator (the reverse flow).
    Trigger,
    /// Message 1 of a new handshake.
    Start(&'a [u8]),
    /// The next message of the handshake, or an error message, by the identifier the server chose.
    Next(ConnectionId, &'a [u8]),
}

const TRUE: u8 = 0xf5;

/// Reads the payload of a request to the resource.
///
/// # Errors
/// [`Error::Malformed`] if it begins with neither `true` nor a connection identifier, or nothing follows;
/// [`Error::ConnectionId`] if the identifier is longer than any we choose.
pub fn read_request(payload: &[u8]) -> Result<Request<'_>, Error> {
    let (request, message) = match payload {
        [] => return Ok(Request::Trigger),
        [TRUE, message @ ..] => (Request::Start(message), message),
        [_, ..] => {
            let mut items = Items::new(payload);
            let connection = ConnectionId::read(&mut items)?;
            (Request::Next(connection, items.rest()), items.rest())
        }
    };
    if message.is_empty() { Err(Error::Malformed) } else { Ok(request) }
}

/// Writes what goes in front of message 1 and says how long it is; the message is to be written behind it.
///
/// # Errors
/// [`Error::NoRoom`] if `payload` is too short.
pub fn write_start(payload: &mut [u8]) -> Result<usize, Error> {
    let mut out = Out::new(payload);
    out.put(&[TRUE])?;
    Ok(out.written())
}

/// Writes what goes in front of a later message, the identifier the server chose, and says how long it is; the message is
/// to be written behind it.
///
/// # Errors
/// [`Error::NoRoom`] if `payload` is too short.
pub fn write_next(connection: ConnectionId, payload: &mut [u8]) -> Result<usize, Error> {
    let mut out = Out::new(payload);
    out.put(connection.encoded().as_bytes())?;
    Ok(out.written())
}

/// Puts message 3, which is the first `message_3` bytes of `payload`, and the ciphertext of the first OSCORE request
/// together (RFC 9668 section 3.2.1), and says how long they are. The request then needs the EDHOC option.
///
/// # Errors
/// [`Error::NoRoom`] if `payload` is too short: send message 3 alone, then the request.
pub fn join(payload: &mut [u8], message_3: usize, ciphertext: &[u8]) -> Result<usize, Error> {
    let mut out = Out::new(payload);
    out.take(message_3)?;
    out.put(ciphertext)?;
    Ok(out.written())
}

/// Takes message 3 and the OSCORE ciphertext apart (RFC 9668 section 3.3.1). C_R is the `kid` of the OSCORE option:
/// [`ConnectionId::new`]. The request is then opened without the EDHOC option.
///
/// # Errors
/// [`Error::Malformed`] if the payload is not one byte string and then something: answer 4.00.
pub fn split(payload: &mut [u8]) -> Result<(&mut [u8], &mut [u8]), Error> {
    let mut items = Items::new(payload);
    items.bytes()?;
    let at = items.position();
    match payload.split_at_mut_checked(at) {
        Some((message_3, ciphertext)) if !ciphertext.is_empty() => Ok((message_3, ciphertext)),
        Some(_) | None => Err(Error::Malformed),
    }
}

/// The code of the response that carries an error message: 4.00 if the client is the cause, 5.00 if we are
/// (RFC 9528 appendix A.2.3).
#[must_use]
pub const fn response_code(error: &Error) -> u8 {
    match error {
        Error::Malformed
        | Error::Method
        | Error::Suite
        | Error::ConnectionId
        | Error::CriticalEad(_)
        | Error::PublicKey
        | Error::KeyKind
        | Error::Forged
        | Error::Reflected => 0x80,
        Error::Ephemeral | Error::OwnKey | Error::OwnCredential | Error::NoRoom | Error::TooLong => 0xa0,
    }
}
