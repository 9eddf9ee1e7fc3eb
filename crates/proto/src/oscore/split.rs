//! Which part of a message is inside and which outside (RFC 8613 section 4), and how both are put together again.

use super::error::Error;
use crate::coap::{Code, Header, Message, Number, Options, Token, Writer, option};

/// Where an option goes (RFC 8613 figure 5).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// E: encrypted. Also what is not known here (section 4.1).
    Inner,
    /// U: readable for proxies.
    Outer,
    /// Observe is in both places (section 4.1.3.5). Block, Size, Max-Age and No-Response may be, and are only inside here.
    Both,
}

const fn class(number: Number) -> Class {
    match number {
        option::URI_HOST
        | option::URI_PORT
        | option::OSCORE
        | option::HOP_LIMIT
        | option::EDHOC
        | option::PROXY_URI
        | option::PROXY_SCHEME => Class::Outer,
        option::OBSERVE => Class::Both,
        _ => Class::Inner,
    }
}

/// Refuses what cannot be protected: OSCORE in OSCORE, an address in one piece, and an Observe option that is no number
/// (it would be outside as often and as long as it is inside).
pub(super) fn check(message: &Message<'_>) -> Result<(), Error> {
    let mut observed = false;
    for (number, value) in message.options() {
        let bad = match number {
            option::OSCORE | option::PROXY_URI => true,
            option::OBSERVE => core::mem::replace(&mut observed, true) || value.len() > 3,
            _ => false,
        };
        if bad {
            return Err(Error::Unprotectable);
        }
    }
    Ok(())
}

/// Whether a proxy cut the protected message into blocks.
pub(super) fn is_cut(message: &Message<'_>) -> bool {
    let block = |number| matches!(number, option::BLOCK1 | option::BLOCK2 | option::Q_BLOCK1 | option::Q_BLOCK2);
    message.options().any(|(number, _)| block(number))
}

/// Writes the protected message: header and outer options of `message`, the OSCORE option, and what `seal` makes of the
/// plaintext (section 5.3), which is in the front of the buffer it gets.
pub(super) fn protect<'o>(
    message: &Message<'_>,
    compressed: &[u8],
    tag_length: usize,
    out: &'o mut [u8],
    seal: impl FnOnce(&mut [u8], &mut [u8]),
) -> Result<&'o [u8], Error> {
    let request = message.code().is_request();
    let outer_code = match (request, message.option(option::OBSERVE)) {
        (true, None) => Code::POST,
        (true, Some(_)) => Code::FETCH,
        (false, None) => Code::CHANGED,
        (false, Some(_)) => Code::CONTENT,
    };
    let mut writer = Writer::new(out, message.kind(), outer_code, message.id(), message.token());
    let outer = |from: u16, to: u16| {
        let within = move |number: Number| from <= number.0 && number.0 < to;
        message.options().filter(move |(number, _)| class(*number) != Class::Inner && within(*number))
    };
    for (number, value) in outer(0, option::OSCORE.0) {
        writer.option(number, value);
    }
    writer.option(option::OSCORE, compressed);
    for (number, value) in outer(option::OSCORE.0, u16::MAX) {
        writer.option(number, value);
    }
    writer.payload_with(|free| {
        let length = plaintext(message, request, free)?;
        let (text, rest) = free.split_at_mut_checked(length)?;
        seal(text, rest.get_mut(..tag_length)?);
        length.checked_add(tag_length)
    });
    Ok(writer.finish()?)
}

/// Code, inner options, payload (section 5.3). Its length, or `None` if `free` is too small.
fn plaintext(message: &Message<'_>, request: bool, free: &mut [u8]) -> Option<usize> {
    let (code, rest) = free.split_first_mut()?;
    *code = message.code().byte();
    let mut writer = Writer::options_only(rest);
    for (number, value) in message.options() {
        match class(number) {
            Class::Inner => writer.option(number, value),
            // In notifications it is empty inside (section 4.1.3.5.2).
            Class::Both => writer.option(number, if request { value } else { &[] }),
            Class::Outer => &mut writer,
        };
    }
    let length = writer.payload(message.payload()).finish().ok()?.len();
    length.checked_add(1)
}

/// An opened message: the plaintext's parts.
pub(super) struct Inner<'a> {
    pub(super) code: Code,
    pub(super) options: Options<'a>,
    payload: &'a [u8],
}

impl<'a> Inner<'a> {
    pub(super) fn read(plaintext: &'a [u8]) -> Result<Self, Error> {
        let (&code, rest) = plaintext.split_first().ok_or(Error::Malformed)?;
        let (options, payload) = Options::read(rest).map_err(|_| Error::Malformed)?;
        let inner = Self { code: Code::from_byte(code), options, payload };
        if inner.option(option::OSCORE).is_some() { Err(Error::Malformed) } else { Ok(inner) }
    }

    pub(super) fn option(&self, number: Number) -> Option<&'a [u8]> {
        self.options.into_iter().find(|(found, _)| *found == number).map(|(_, value)| value)
    }

    /// Writes the message as it was before it was protected: outer header, outer options of class U, everything inside. In
    /// notifications Observe gets the value `observe`.
    pub(super) fn merge<'o>(
        &self,
        header: Header,
        token: Token,
        outer: Options<'_>,
        observe: Option<u32>,
        out: &'o mut [u8],
    ) -> Result<Message<'o>, Error> {
        let mut writer = Writer::new(out, header.kind, self.code, header.id, token);
        let kept = |(number, _): &(Number, &[u8])| class(*number) == Class::Outer && *number != option::OSCORE;
        let mut outer = outer.filter(kept).peekable();
        for (number, value) in self.options {
            while let Some((number, value)) = outer.next_if(|(before, _)| *before <= number) {
                writer.option(number, value);
            }
            match observe {
                Some(observe) if number == option::OBSERVE => writer.uint(number, observe),
                _ => writer.option(number, value),
            };
        }
        for (number, value) in outer {
            writer.option(number, value);
        }
        let message = writer.payload(self.payload).finish()?;
        Message::read(message).map_err(|_| Error::Malformed)
    }
}
