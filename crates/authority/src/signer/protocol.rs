//! What goes over the signer's socket: a length in four bytes, big-endian, and as many bytes of CBOR.
//!
//! | message | CBOR |
//! | --- | --- |
//! | generate a key | `[1, key, algorithm]` |
//! | tell a public key | `[2, key]` |
//! | sign | `[3, key, kind, bytes]` |
//! | tell the newest checkpoint of a log that was signed | `[4, origin]` |
//! | retire a key | `[5, key]` |
//! | make and tell a key for tokens of the web | `[6, algorithm]` |
//! | sign a token of the web | `[7, algorithm, signing input]` |
//! | done, with a result | `[0, bytes]` |
//! | there is no such key or checkpoint | `[1]` |
//! | refused | `[2, text]` |
//! | failed | `[3, text]` |
//!
//! `key` is the label's text (`issuing-2`), `algorithm` its name (`p256`; of tokens `ES256`); `kind` is 0 certificate, 1 CRL, 2 OCSP
//! response, 3 COSE object, 4 C509 certificate, 5 checkpoint, 6 and 7 voucher in CBOR and JSON.

use super::{KeyLabel, Kind};
use crate::bytes::Sink;
use medlock_node::provider::{SigningAlgorithm, WebAlgorithm};
use medlock_trust::cbor::{self, ErrorKind, Reader, Writer};
use std::io::{self, Read, Write};

/// The most bytes of a message: a CRL of a million and a half entries fits.
pub const MAX_MESSAGE: usize = 64 << 20;
/// What is longer is sent from where it lies.
const COPIED: usize = 64 << 10;
const MAX_TEXT: usize = 1_024;
/// The longest text of a label, `issuing-65535`, and of an algorithm, with room.
const MAX_NAME: usize = 32;
/// The longest name of a log.
const MAX_ORIGIN: usize = 255;
/// The longest signing input of a token.
pub(super) const MAX_TOKEN: usize = 8 << 10;

/// What the signer is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Make the key if it is not there, and tell its public half.
    Generate(KeyLabel, SigningAlgorithm),
    /// Tell the public half.
    PublicKey(KeyLabel),
    /// Sign.
    Sign(KeyLabel, Kind, &'a [u8]),
    /// Tell the newest checkpoint of this log that was signed.
    SignedCheckpoint(&'a str),
    /// Let the key sign nothing any more.
    Retire(KeyLabel),
    /// Make the key for tokens of the web if it is not there, and tell its public half.
    WebKey(WebAlgorithm),
    /// Sign a token of the web.
    SignToken(WebAlgorithm, &'a str),
}

/// What the signer answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The public key, the signature, or the checkpoint; nothing for a key that was retired.
    Done(Vec<u8>),
    /// There is no such key, or no such checkpoint.
    NoKey,
    /// The bytes are not of the kind, or not for this key; why.
    Refused(String),
    /// It could not be done; why.
    Failed(String),
}

/// Reads a request.
///
/// # Errors
/// When the bytes are not exactly one request.
pub fn decode_request(bytes: &[u8]) -> Result<Request<'_>, cbor::Error> {
    let mut reader = Reader::new(bytes);
    let wrong = reader.error(ErrorKind::OutOfRange);
    let members = reader.array(4)?;
    let verb = reader.uint()?;
    if (verb, members) == (4, 2) {
        let origin = reader.text(MAX_ORIGIN)?;
        reader.finish()?;
        return Ok(Request::SignedCheckpoint(origin));
    }
    if matches!((verb, members), (6, 2) | (7, 3)) {
        let algorithm = WebAlgorithm::named(reader.text(MAX_NAME)?).ok_or(wrong)?;
        let input = if verb == 7 { Some(reader.text(MAX_TOKEN)?) } else { None };
        reader.finish()?;
        return Ok(input.map_or(Request::WebKey(algorithm), |input| Request::SignToken(algorithm, input)));
    }
    let key = reader.text(MAX_NAME)?.parse().map_err(|_| wrong)?;
    let request = match (verb, members) {
        (1, 3) => {
            let name = reader.text(MAX_NAME)?;
            let algorithm = SigningAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name);
            Request::Generate(key, algorithm.ok_or(wrong)?)
        }
        (2, 2) => Request::PublicKey(key),
        (5, 2) => Request::Retire(key),
        (3, 4) => {
            let kind = match reader.uint()? {
                0 => Kind::Certificate,
                1 => Kind::Crl,
                2 => Kind::Ocsp,
                3 => Kind::Cose,
                4 => Kind::C509,
                5 => Kind::Checkpoint,
                6 => Kind::Voucher,
                7 => Kind::VoucherAttributes,
                _ => return Err(wrong),
            };
            Request::Sign(key, kind, reader.bytes()?)
        }
        _ => return Err(wrong),
    };
    reader.finish()?;
    Ok(request)
}

pub(super) fn encode_request(request: &Request<'_>) -> Vec<u8> {
    written(|writer| match request {
        Request::Generate(key, algorithm) => {
            writer.array(3)?.uint(1)?.text(&key.to_string())?.text(algorithm.name()).map(drop)
        }
        Request::PublicKey(key) => writer.array(2)?.uint(2)?.text(&key.to_string()).map(drop),
        Request::Sign(key, kind, message) => {
            let kind = match kind {
                Kind::Certificate => 0,
                Kind::Crl => 1,
                Kind::Ocsp => 2,
                Kind::Cose => 3,
                Kind::C509 => 4,
                Kind::Checkpoint => 5,
                Kind::Voucher => 6,
                Kind::VoucherAttributes => 7,
            };
            writer.array(4)?.uint(3)?.text(&key.to_string())?.uint(kind)?.bytes(message).map(drop)
        }
        Request::SignedCheckpoint(origin) => writer.array(2)?.uint(4)?.text(origin).map(drop),
        Request::Retire(key) => writer.array(2)?.uint(5)?.text(&key.to_string()).map(drop),
        Request::WebKey(algorithm) => writer.array(2)?.uint(6)?.text(algorithm.name()).map(drop),
        Request::SignToken(algorithm, input) => writer.array(3)?.uint(7)?.text(algorithm.name())?.text(input).map(drop),
    })
}

/// Writes an answer; a long text is shortened.
#[must_use]
pub fn encode_answer(answer: &Answer) -> Vec<u8> {
    written(|writer| match answer {
        Answer::Done(bytes) => writer.array(2)?.uint(0)?.bytes(bytes).map(drop),
        Answer::NoKey => writer.array(1)?.uint(1).map(drop),
        Answer::Refused(text) => writer.array(2)?.uint(2)?.text(shortened(text)).map(drop),
        Answer::Failed(text) => writer.array(2)?.uint(3)?.text(shortened(text)).map(drop),
    })
}

/// Reads an answer.
///
/// # Errors
/// When the bytes are not exactly one answer.
pub fn decode_answer(bytes: &[u8]) -> Result<Answer, cbor::Error> {
    let mut reader = Reader::new(bytes);
    let wrong = reader.error(ErrorKind::OutOfRange);
    let members = reader.array(2)?;
    let answer = match (reader.uint()?, members) {
        (0, 2) => Answer::Done(reader.bytes()?.to_vec()),
        (1, 1) => Answer::NoKey,
        (2, 2) => Answer::Refused(reader.text(MAX_TEXT)?.to_owned()),
        (3, 2) => Answer::Failed(reader.text(MAX_TEXT)?.to_owned()),
        _ => return Err(wrong),
    };
    reader.finish()?;
    Ok(answer)
}

type Written = Result<(), std::convert::Infallible>;

fn written(write: impl FnOnce(&mut Writer<Sink<'_>>) -> Written) -> Vec<u8> {
    let mut bytes = Vec::new();
    match write(&mut Writer::new(Sink(&mut bytes))) {
        Ok(()) => bytes,
        Err(never) => match never {},
    }
}

/// As much of the text as fits; a text is never empty.
fn shortened(text: &str) -> &str {
    let end = (0..=MAX_TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).filter(|text| !text.is_empty()).unwrap_or("no reason was given")
}

/// Writes messages, all at once.
pub(super) fn send(stream: &mut impl Write, messages: &[&[u8]]) -> io::Result<()> {
    if let [message] = messages
        && message.len() > COPIED
    {
        stream.write_all(&length(message)?)?;
        stream.write_all(message)?;
        return stream.flush();
    }
    let mut framed = Vec::with_capacity(messages.iter().map(|message| message.len() + 4).sum());
    for message in messages {
        frame(message, &mut framed)?;
    }
    stream.write_all(&framed)?;
    stream.flush()
}

/// Puts a message with its length behind others.
pub(super) fn frame(message: &[u8], framed: &mut Vec<u8>) -> io::Result<()> {
    framed.extend_from_slice(&length(message)?);
    framed.extend_from_slice(message);
    Ok(())
}

fn length(message: &[u8]) -> io::Result<[u8; 4]> {
    let length = u32::try_from(message.len()).ok().filter(|_| message.len() <= MAX_MESSAGE);
    length.map(u32::to_be_bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"))
}

/// Whether these bytes begin with a whole message.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk() else { return false };
    rest.len() >= u32::from_be_bytes(*length) as usize
}

/// Reads one message; `None` when the other side has closed between two messages.
pub(super) fn receive(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read(&mut length)? {
        0 => return Ok(None),
        got => stream.read_exact(&mut length[got..])?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    let mut message = Vec::new();
    // `take` and not a buffer of the promised size: memory is used for what came, not for what was announced.
    stream.take(length as u64).read_to_end(&mut message)?;
    if message.len() != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::super::KeyRole;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_survive_the_way_there_and_back() {
        for request in [
            Request::Generate(KeyLabel::ROOT, SigningAlgorithm::P384),
            Request::PublicKey(KeyLabel::new(KeyRole::Issuing, 65_535).unwrap()),
            Request::Sign(KeyLabel::ISSUING, Kind::Ocsp, b"bytes"),
            Request::Sign(KeyLabel::LOG, Kind::Checkpoint, b"text"),
            Request::SignedCheckpoint("hub.example/log"),
            Request::Retire(KeyLabel::ISSUING),
            Request::WebKey(WebAlgorithm::Rs256),
            Request::SignToken(WebAlgorithm::Es256, "a.b"),
        ] {
            assert_eq!(decode_request(&encode_request(&request)), Ok(request));
        }
        let long = "ä".repeat(2_000);
        for answer in
            [Answer::Done(vec![1; 70_000]), Answer::NoKey, Answer::Refused("no".into()), Answer::Failed("why".into())]
        {
            assert_eq!(decode_answer(&encode_answer(&answer)), Ok(answer));
        }
        assert_eq!(decode_answer(&encode_answer(&Answer::Failed(long))), Ok(Answer::Failed("ä".repeat(512))));
    }

    #[test]
    fn a_message_is_whole_when_its_last_byte_is_there() {
        let mut bytes = Vec::new();
        frame(b"abc", &mut bytes).unwrap();
        frame(b"", &mut bytes).unwrap();
        assert_eq!([0, 3, 4, 6].map(|end| is_whole(&bytes[..end])), [false; 4]);
        assert!(is_whole(&bytes[..7]) && is_whole(&bytes) && is_whole(&bytes[7..]));
        let mut bytes = &bytes[..];
        assert_eq!([(); 3].map(|()| receive(&mut bytes).unwrap()), [Some(b"abc".to_vec()), Some(Vec::new()), None]);
    }

    #[test]
    fn an_announced_length_is_bounded_and_must_come() {
        assert!(receive(&mut &u32::MAX.to_be_bytes()[..]).is_err());
        assert!(receive(&mut &[0, 0, 0, 9, 1][..]).is_err());
        assert!(receive(&mut &[0, 0][..]).is_err());
        assert_eq!(receive(&mut &[][..]).unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode_request(&bytes);
            let _ = decode_answer(&bytes);
        }
    }
}
