//! The security context (RFC 8613 section 3) and what it does (section 8).

use super::MAX_SEALED;
use super::error::Error;
use super::nonce::{Derived, additional, expand, nonce};
use super::option::Compressed;
use super::parameters::{Aead, Id, IdContext, Parameters};
use super::sequence::{Reservation, SenderSequence};
use super::split::{self, Inner};
use super::window::Window;
use crate::coap::{Code, Header, Message, MessageId, Options, Token, Type, Writer, observe, option};
use crate::crypto::{Crypto, Secret};
use crate::edhoc::{Confirmed, OscoreInput};
use core::fmt;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// What is known of the requests the peer made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// There were none: the keys are new.
    NoneYet,
    /// It was lost with power: the first request must prove that it is fresh (RFC 8613 appendix B.1.2).
    Lost,
}

/// A request this end sent: what is needed to open its response (RFC 8613 section 8, the association of the token). Keep it
/// with the token.
#[derive(Debug)]
pub struct Sent {
    partial_iv: u64,
    observing: bool,
    heard: Heard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// A notification without a number: the oldest (section 7.4.1).
    Oldest,
    /// The largest number of a notification.
    Number(u64),
    /// The response, or the last of an observation.
    Last,
}

impl Sent {
    /// Nothing more can come for this request: it was answered, and is no observation or none any more.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        matches!(self.heard, Heard::Last)
    }
}

/// A request this end received: what is needed to protect its response. Keep it with the token as long as responses are due;
/// it is not `Clone`, because the request's nonce serves once.
#[derive(Debug)]
pub struct Received {
    partial_iv: u64,
    nonce_is_free: bool,
}

/// A request that was opened.
#[derive(Debug)]
pub enum Incoming<'o> {
    /// A request to be carried out.
    Fresh(Message<'o>, Received),
    /// It is authentic but may be an old one: this context lost its memory of requests. Do not carry it out; answer with
    /// [`SecurityContext::challenge`].
    Unfresh(Received),
}

/// Keys, numbers and window of one pair of peers.
pub struct SecurityContext {
    aead: Aead,
    sender: Id,
    recipient: Id,
    id_context: Option<IdContext>,
    keys: Keys,
    /// Of EDHOC's contexts; zeros if it has another length. It names the session that an opened response confirms.
    master_salt: [u8; 8],
    sequence: SenderSequence,
    requests: Requests,
    forgeries: u32,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Keys {
    sender: [u8; 16],
    recipient: [u8; 16],
    common_iv: [u8; 13],
}

/// The peer's requests.
enum Requests {
    Known(Window),
    /// Lost; the value the peer must repeat, once it was asked. It stays the same until it comes, or whoever replays
    /// requests could make the true answer void.
    Lost(Option<[u8; 8]>),
}

/// Which request a message belongs to: what the additional data says.
#[derive(Clone, Copy)]
struct Request {
    kid: Id,
    partial_iv: u64,
}

impl SecurityContext {
    /// Derives keys and Common IV (RFC 8613 section 3.2.1, HKDF with SHA-256).
    ///
    /// # Errors
    /// [`Error::Parameters`] if the identifiers are the same, since both directions would use the same key, or the ID
    /// Context is longer than 16 bytes.
    pub fn derive(
        parameters: &Parameters<'_>,
        sequence: SenderSequence,
        replay: Replay,
        crypto: &impl Crypto,
    ) -> Result<Self, Error> {
        let Parameters { master_secret, master_salt, sender, recipient, id_context, aead } = *parameters;
        let id_context_kept = id_context.map(IdContext::new).transpose()?;
        if sender == recipient {
            return Err(Error::Parameters);
        }
        let prk = crypto.hmac_sha256(master_salt, &[master_secret]);
        let derive = |id: &[u8], what| expand(&prk, id, id_context, aead, what, crypto);
        let mut keys = Keys { sender: [0; 16], recipient: [0; 16], common_iv: [0; 13] };
        fill(&mut keys.sender, &derive(sender.as_bytes(), Derived::Key));
        fill(&mut keys.recipient, &derive(recipient.as_bytes(), Derived::Key));
        fill(&mut keys.common_iv, &derive(&[], Derived::Iv));
        let requests = match replay {
            Replay::NoneYet => Requests::Known(Window::EMPTY),
            Replay::Lost => Requests::Lost(None),
        };
        let master_salt = master_salt.try_into().unwrap_or_default();
        let id_context = id_context_kept;
        Ok(Self { aead, sender, recipient, id_context, keys, master_salt, sequence, requests, forgeries: 0 })
    }

    /// Derives the context of an EDHOC session (RFC 9528 appendix A.1), with AES-CCM-16-64-128.
    ///
    /// # Errors
    /// As [`SecurityContext::derive`].
    pub fn from_edhoc(
        input: &OscoreInput,
        sequence: SenderSequence,
        replay: Replay,
        crypto: &impl Crypto,
    ) -> Result<Self, Error> {
        let id = |bytes| Id::new(bytes).ok_or(Error::Parameters);
        let parameters = Parameters {
            master_secret: &input.master_secret,
            master_salt: &input.master_salt,
            sender: id(input.sender_id.as_bytes())?,
            recipient: id(input.recipient_id.as_bytes())?,
            id_context: None,
            aead: Aead::Ccm64,
        };
        Self::derive(&parameters, sequence, replay, crypto)
    }

    /// The own identifier.
    #[must_use]
    pub const fn sender(&self) -> Id {
        self.sender
    }

    /// The peer's identifier: the `kid` of its requests.
    #[must_use]
    pub const fn recipient(&self) -> Id {
        self.recipient
    }

    /// Asks for `count` more sequence numbers: store the bound, then call [`SecurityContext::stored`].
    pub const fn reserve(&self, count: u32) -> Reservation {
        self.sequence.reserve(count)
    }

    /// The bound of `reservation` was stored.
    pub const fn stored(&mut self, reservation: Reservation) {
        self.sequence.stored(reservation);
    }

    /// How many messages may be protected before more numbers must be reserved.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.sequence.left()
    }

    /// Whether it can protect and open no more: [`super::MAX_SEALED`] or
    /// [`Aead::max_forgeries`] is reached.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        let peer = match &self.requests {
            Requests::Known(window) => window.top(),
            Requests::Lost(_) => 0,
        };
        self.forgeries >= self.aead.max_forgeries() || self.sequence.peek().saturating_add(peer) >= MAX_SEALED
    }

    /// Protects a request into `out`, which needs [`super::MAX_OVERHEAD`] bytes more than the message. Send the same bytes
    /// again when CoAP retransmits; protect anew for another request (RFC 8613 section 8.1).
    ///
    /// # Errors
    /// [`Error::Unprotectable`], [`Error::NothingReserved`], [`Error::ContextLost`], [`Error::Full`].
    pub fn protect_request<'o>(
        &mut self,
        request: &Message<'_>,
        out: &'o mut [u8],
        crypto: &impl Crypto,
    ) -> Result<(&'o [u8], Sent), Error> {
        if !request.code().is_request() {
            return Err(Error::Unprotectable);
        }
        split::check(request)?;
        let partial_iv = self.draw()?;
        let context = self.id_context;
        let option = Compressed {
            partial_iv: Some(partial_iv),
            kid_context: context.as_ref().map(IdContext::as_bytes),
            kid: Some(self.sender.as_bytes()),
        };
        let mut compressed = [0; 32];
        let compressed = option.write(&mut compressed)?;
        let nonce = nonce(&self.keys.common_iv, &self.sender, partial_iv);
        let belongs = Request { kid: self.sender, partial_iv };
        let message = self.seal(request, belongs, compressed, &nonce, out, crypto)?;
        let observing = observe::Wish::of(request) == Some(observe::Wish::Register);
        Ok((message, Sent { partial_iv, observing, heard: Heard::Nothing }))
    }

    /// Opens a request (RFC 8613 section 8.2). It is decrypted in `datagram`, which is of no use afterwards, and written to
    /// `out`, which must be as long.
    ///
    /// # Errors
    /// Any of [`Error`]; [`super::reject`] writes the answer. Window and numbers are then as before, except that a message
    /// whose tag was right and whose content was malformed counts as received.
    pub fn unprotect_request<'o>(
        &mut self,
        datagram: &mut [u8],
        out: &'o mut [u8],
        crypto: &impl Crypto,
    ) -> Result<Incoming<'o>, Error> {
        let message = Message::read(datagram).map_err(|_| Error::Malformed)?;
        let option = self.before_opening(&message, out)?;
        let (Some(partial_iv), Some(kid)) = (option.partial_iv, option.kid) else { return Err(Error::Malformed) };
        let context = self.id_context.as_ref().map(IdContext::as_bytes);
        if kid != self.recipient.as_bytes() || (option.kid_context.is_some() && option.kid_context != context) {
            return Err(Error::UnknownContext);
        }
        if !message.code().is_request() {
            return Err(Error::Malformed);
        }
        if let Requests::Known(window) = &self.requests
            && !window.is_new(partial_iv)
        {
            return Err(Error::Replayed);
        }
        let nonce = nonce(&self.keys.common_iv, &self.recipient, partial_iv);
        let outside = Outside::of(&message);
        let opened = self.open(datagram, outside, Request { kid: self.recipient, partial_iv }, &nonce, crypto)?;
        if let Requests::Known(window) = &mut self.requests {
            window.mark(partial_iv);
        }
        let inner = Inner::read(opened.plaintext)?;
        if !inner.code.is_request() {
            return Err(Error::Malformed);
        }
        if let Requests::Lost(asked) = &self.requests {
            let repeated = inner.option(option::ECHO).unwrap_or(&[]);
            if !asked.is_some_and(|asked| bool::from(asked.ct_eq(repeated))) {
                return Ok(Incoming::Unfresh(Received { partial_iv, nonce_is_free: false }));
            }
            self.requests = Requests::Known(Window::beyond(partial_iv));
        }
        let message = inner.merge(outside.header, outside.token, opened.options, None, out)?;
        Ok(Incoming::Fresh(message, Received { partial_iv, nonce_is_free: true }))
    }

    /// Protects a response to a request that was opened (RFC 8613 section 8.3). The first response that is no notification
    /// uses the request's nonce; every other one takes a number of its own.
    ///
    /// # Errors
    /// As [`SecurityContext::protect_request`].
    pub fn protect_response<'o>(
        &mut self,
        to: &mut Received,
        response: &Message<'_>,
        out: &'o mut [u8],
        crypto: &impl Crypto,
    ) -> Result<&'o [u8], Error> {
        if !response.code().is_response() {
            return Err(Error::Unprotectable);
        }
        split::check(response)?;
        if self.is_lost() {
            return Err(Error::ContextLost);
        }
        let belongs = Request { kid: self.recipient, partial_iv: to.partial_iv };
        if to.nonce_is_free && response.option(option::OBSERVE).is_none() {
            to.nonce_is_free = false;
            let nonce = nonce(&self.keys.common_iv, &self.recipient, to.partial_iv);
            return self.seal(response, belongs, &[], &nonce, out, crypto);
        }
        let partial_iv = self.draw()?;
        let mut compressed = [0; 8];
        let option = Compressed { partial_iv: Some(partial_iv), kid_context: None, kid: None };
        let compressed = option.write(&mut compressed)?;
        let nonce = nonce(&self.keys.common_iv, &self.sender, partial_iv);
        self.seal(response, belongs, compressed, &nonce, out, crypto)
    }

    /// Answers a request that may be old with 4.01 and an Echo option (RFC 8613 appendix B.1.2). The client repeats its
    /// request with the option; opening that one makes the window known again. `random` is used the first time only.
    ///
    /// # Errors
    /// As [`SecurityContext::protect_request`].
    pub fn challenge<'o>(
        &mut self,
        to: &mut Received,
        (kind, id, token): (Type, MessageId, Token),
        random: [u8; 8],
        out: &'o mut [u8],
        crypto: &impl Crypto,
    ) -> Result<&'o [u8], Error> {
        let value = match &mut self.requests {
            Requests::Lost(asked) => *asked.get_or_insert(random),
            Requests::Known(_) => random,
        };
        let mut buffer = [0; 32];
        let mut writer = Writer::new(&mut buffer, kind, Code::UNAUTHORIZED, id, token);
        let plain = writer.option(option::ECHO, &value).finish()?;
        let plain = Message::read(plain).map_err(|_| Error::Malformed)?;
        self.protect_response(to, &plain, out, crypto)
    }

    /// Opens a response to a request that was sent (RFC 8613 section 8.4), as [`SecurityContext::unprotect_request`] does.
    /// In notifications the value of Observe becomes the low three bytes of the Partial IV (section 4.1.3.5.2). The proof
    /// that comes with it confirms an EDHOC session without message 4 (RFC 9528 section 5.4.2).
    ///
    /// # Errors
    /// Any of [`Error`]; the response is then dropped and waited for further (section 8.4.2).
    pub fn unprotect_response<'o>(
        &mut self,
        to: &mut Sent,
        datagram: &mut [u8],
        out: &'o mut [u8],
        crypto: &impl Crypto,
    ) -> Result<(Message<'o>, Confirmed), Error> {
        let message = Message::read(datagram).map_err(|_| Error::Malformed)?;
        let option = self.before_opening(&message, out)?;
        if !message.code().is_response() {
            return Err(Error::Malformed);
        }
        if option.kid.is_some_and(|kid| kid != self.recipient.as_bytes()) {
            return Err(Error::UnknownContext);
        }
        match (to.heard, option.partial_iv) {
            (Heard::Last, _) => return Err(Error::Unasked),
            (Heard::Nothing, _) | (Heard::Oldest, Some(_)) => {}
            (Heard::Number(newest), Some(number)) if number > newest => {}
            (Heard::Oldest | Heard::Number(_), _) => return Err(Error::Replayed),
        }
        let nonce = match option.partial_iv {
            Some(number) => nonce(&self.keys.common_iv, &self.recipient, number),
            None => nonce(&self.keys.common_iv, &self.sender, to.partial_iv),
        };
        let number = option.partial_iv;
        let outside = Outside::of(&message);
        let belongs = Request { kid: self.sender, partial_iv: to.partial_iv };
        let opened = self.open(datagram, outside, belongs, &nonce, crypto)?;
        let inner = Inner::read(opened.plaintext)?;
        let notification = inner.option(option::OBSERVE).is_some();
        if !inner.code.is_response() || (notification && !to.observing) {
            return Err(Error::Unasked);
        }
        let observe = (number.unwrap_or(0) & 0xff_ffff) as u32;
        let message = inner.merge(outside.header, outside.token, opened.options, Some(observe), out)?;
        to.heard = match (notification, number) {
            (false, _) => Heard::Last,
            (true, None) => Heard::Oldest,
            (true, Some(number)) => Heard::Number(number),
        };
        Ok((message, Confirmed::by_context_of(self.master_salt)))
    }

    /// What is looked at before any cryptography.
    fn before_opening<'m>(&self, message: &Message<'m>, out: &[u8]) -> Result<Compressed<'m>, Error> {
        let option = Compressed::of(message)?;
        if self.is_lost() {
            return Err(Error::ContextLost);
        }
        if split::is_cut(message) {
            return Err(Error::OuterBlock);
        }
        if out.len() < message.as_bytes().len() {
            return Err(Error::Full);
        }
        Ok(option)
    }

    fn draw(&mut self) -> Result<u64, Error> {
        if self.is_lost() { Err(Error::ContextLost) } else { self.sequence.draw() }
    }

    fn seal<'o>(
        &self,
        message: &Message<'_>,
        belongs: Request,
        compressed: &[u8],
        nonce: &[u8; 13],
        out: &'o mut [u8],
        crypto: &impl Crypto,
    ) -> Result<&'o [u8], Error> {
        // The plaintext is never longer than the message.
        if message.as_bytes().len() > self.aead.max_plaintext() {
            return Err(Error::Full);
        }
        let aad = additional(self.aead, &belongs.kid, belongs.partial_iv)?;
        split::protect(message, compressed, self.aead.tag_length(), out, |text, tag| {
            crypto.ccm_seal(&self.keys.sender, nonce, &[aad.as_bytes()], text, tag);
        })
    }

    /// Decrypts in place. A wrong tag is counted; nothing else changes.
    fn open<'d>(
        &mut self,
        datagram: &'d mut [u8],
        outside: Outside,
        belongs: Request,
        nonce: &[u8; 13],
        crypto: &impl Crypto,
    ) -> Result<Opened<'d>, Error> {
        let aad = additional(self.aead, &belongs.kid, belongs.partial_iv)?;
        let (head, payload) = datagram.split_at_mut_checked(outside.payload).ok_or(Error::Malformed)?;
        let length = payload.len().checked_sub(self.aead.tag_length()).ok_or(Error::Malformed)?;
        if length == 0 || length > self.aead.max_plaintext() {
            return Err(Error::Malformed);
        }
        let (text, tag) = payload.split_at_mut_checked(length).ok_or(Error::Malformed)?;
        if crypto.ccm_open(&self.keys.recipient, nonce, &[aad.as_bytes()], text, tag).is_err() {
            self.forgeries = self.forgeries.saturating_add(1);
            if self.forgeries >= self.aead.max_forgeries() {
                self.keys.zeroize();
            }
            return Err(Error::Forged);
        }
        let options = head.get(outside.options..head.len().saturating_sub(1)).unwrap_or(&[]);
        Ok(Opened { plaintext: text, options: Options::checked(options) })
    }
}

impl fmt::Debug for SecurityContext {
    /// Never shows keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("SecurityContext");
        debug.field("sender", &self.sender).field("recipient", &self.recipient).field("sequence", &self.sequence);
        debug.finish_non_exhaustive()
    }
}

/// What is outside of a protected message, and where it is: known before, used after decryption in place.
#[derive(Clone, Copy)]
struct Outside {
    header: Header,
    token: Token,
    options: usize,
    payload: usize,
}

impl Outside {
    fn of(message: &Message<'_>) -> Self {
        let token = message.token();
        Self {
            header: message.header(),
            token,
            options: token.as_bytes().len().saturating_add(4),
            payload: message.as_bytes().len().saturating_sub(message.payload().len()),
        }
    }
}

struct Opened<'d> {
    plaintext: &'d [u8],
    options: Options<'d>,
}

fn fill(key: &mut [u8], from: &Secret) {
    key.iter_mut().zip(from.expose()).for_each(|(to, from)| *to = *from);
}
