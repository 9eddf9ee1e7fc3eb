//! The responder: message 1 in, 2 out, 3 in, and perhaps 4 out (RFC 9528 section 5).
//!
//! | step | public-key operations |
//! | --- | --- |
//! | [`Message1::read`] | none |
//! | [`Ephemeral::new`](super::Ephemeral::new) | 1: the public key |
//! | [`Message1::message_2`] | 2: agreement; agreement with one's own static key, or a signature |
//! | [`AwaitMessage3::read`] | none: who does not have the keys of the handshake is refused here |
//! | [`Message3::verify`] | 1: agreement with the initiator's static key, or its signature |
//! | [`Verified3::message_4`] | none |
//!
//! A message 1 that anybody may send costs three: ask for an Echo (RFC 9175) before [`Message1::message_2`] when there
//! are many, and bound the number of open handshakes.

use super::connection::ConnectionId;
use super::credential::{IdCred, OwnCredential, PeerCredential};
use super::ead::{Ead, EadItem};
use super::items::{Items, Out};
use super::schedule::{self, Aead, HASH, Label, Protected};
use super::session::{Role, Session};
use super::statement::{Draft, Statement, Terms, agreement_key};
use super::suite::{Method, Suite, Suites};
use super::{Ephemeral, Error, Rejected};
use crate::crypto::{Crypto, Secret};
use medlock_trust::Identified;

/// What the responder takes.
#[derive(Clone, Copy, Debug)]
pub struct Accept<'a> {
    /// The methods.
    pub methods: &'a [Method],
    /// The suites, in any order.
    pub suites: &'a [Suite],
    /// Labels of the critical authorization data of message 1 that the caller will look at.
    pub understood: &'a [u32],
}

/// Message 1 was read. It cost a hash; nobody is authenticated.
#[derive(Debug)]
pub struct Message1<'m> {
    method: Method,
    suite: Suite,
    peer_id: ConnectionId,
    public: [u8; 32],
    hash: [u8; HASH],
    ead: Ead<'m>,
}

impl<'m> Message1<'m> {
    /// Reads message 1.
    ///
    /// # Errors
    /// [`Error::Malformed`]; [`Error::Method`]; [`Error::Suite`] if the selected suite is not the first of the
    /// initiator's that `accept` has: answer with [`Reply::WrongSuite`](super::Reply::WrongSuite); [`Error::ConnectionId`];
    /// [`Error::CriticalEad`].
    pub fn read(message: &'m [u8], accept: &Accept<'_>, crypto: &impl Crypto) -> Result<Self, Error> {
        let mut items = Items::new(message);
        let method = items.int()?;
        let suites = Suites::read(&mut items)?;
        let public = items.bytes()?;
        let peer_id = ConnectionId::read(&mut items)?;
        let suite = suites.accept(accept.suites).ok_or(Error::Suite)?;
        let method = Method::from_number(method).filter(|method| accept.methods.contains(method));
        let method = method.ok_or(Error::Method)?;
        let public = *public.as_array().ok_or(Error::Malformed)?;
        let ead = Ead::read(&mut items, accept.understood)?;
        Ok(Self { method, suite, peer_id, public, hash: crypto.sha256(&[message]), ead })
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The suite.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// What the initiator calls this connection. One's own identifier must be another.
    #[must_use]
    pub const fn peer_id(&self) -> ConnectionId {
        self.peer_id
    }

    /// `EAD_1`. Anybody can have written it.
    #[must_use]
    pub const fn ead(&self) -> Ead<'m> {
        self.ead
    }

    /// Writes message 2 to the front of `out` and says how long it is. To send it again, keep its bytes.
    ///
    /// `connection` is what the initiator shall call this connection. It is in no use with any other peer
    /// (RFC 9668 section 4.1.2).
    ///
    /// # Errors
    /// [`Error::ConnectionId`] if `connection` is the initiator's own, [`Error::Ephemeral`] if the key is not of the
    /// suite's curve, [`Error::PublicKey`] if the initiator's is no point of it, [`Error::OwnKey`] if the key cannot be
    /// used, [`Error::NoRoom`] if `out` is too short.
    pub fn message_2(
        self,
        own: &OwnCredential<'_>,
        connection: ConnectionId,
        ephemeral: Ephemeral,
        ead: &[EadItem<'_>],
        out: &mut [u8],
        crypto: &impl Crypto,
    ) -> Result<(AwaitMessage3, usize), Error> {
        let (suite, signs) = (self.suite, self.method.responder_signs());
        if connection == self.peer_id {
            return Err(Error::ConnectionId);
        }
        if ephemeral.curve != suite.curve() {
            return Err(Error::Ephemeral);
        }
        let draft = Draft { connection: Some(connection), own, ead };
        let length = draft.length(signs, suite);
        let mut message = Out::new(out);
        message.cbor().bytes_head(length.saturating_add(32))?;
        message.put(&ephemeral.public)?;
        let plaintext = message.take(length)?;

        let shared = crypto.agree(suite.curve(), &ephemeral.secret, &self.public).ok_or(Error::PublicKey)?;
        let th_2 = schedule::th_2(&ephemeral.public, &self.hash, crypto);
        let prk_2e = schedule::extract(&th_2, &shared, crypto);
        let prk_3e2m = if signs {
            prk_2e.clone()
        } else {
            let shared = own.key.agree(&self.public).ok_or(Error::OwnKey)?;
            schedule::prk_3e2m(&prk_2e, &th_2, &shared, crypto)
        };
        let terms = Terms { suite, signs, label: Label::MAC_2, th: &th_2, prk: &prk_3e2m };
        draft.compose(&terms, plaintext, crypto)?;
        let th_3 = schedule::th_next(&th_2, plaintext, own.credential, crypto);
        schedule::apply_keystream_2(&prk_2e, &th_2, plaintext, crypto);
        let state = AwaitMessage3 {
            method: self.method,
            suite,
            own_id: connection,
            peer_id: self.peer_id,
            secret: ephemeral.secret,
            th_3,
            prk_3e2m,
        };
        Ok((state, message.written()))
    }
}

/// Message 2 was sent.
#[derive(Debug)]
pub struct AwaitMessage3 {
    method: Method,
    suite: Suite,
    own_id: ConnectionId,
    peer_id: ConnectionId,
    secret: Secret,
    th_3: [u8; HASH],
    prk_3e2m: Secret,
}

impl AwaitMessage3 {
    /// What one called this connection: it is in front of message 3 on CoAP.
    #[must_use]
    pub const fn own_id(&self) -> ConnectionId {
        self.own_id
    }

    /// Reads message 3, which it decrypts in place. Its sender has the keys of this handshake, and is not authenticated
    /// yet. `understood` are the labels of the critical authorization data the caller will look at.
    ///
    /// # Errors
    /// With the state as it was: [`Error::Forged`] if it is not protected with the keys of this handshake, whatever it
    /// looks like; it may be somebody else's, and the right one may still come. [`Error::Malformed`] and
    /// [`Error::CriticalEad`] of what was so protected: give up, the message was the initiator's.
    pub fn read<'m>(
        self,
        message: &'m mut [u8],
        understood: &[u32],
        crypto: &impl Crypto,
    ) -> Result<Message3<'m>, Rejected<Self>> {
        match self.open(message, understood, crypto) {
            Ok((plaintext, statement)) => Ok(Message3 { state: self, statement, plaintext }),
            Err(error) => Err(Rejected { state: self, error }),
        }
    }

    fn open<'m>(
        &self,
        message: &'m mut [u8],
        understood: &[u32],
        crypto: &impl Crypto,
    ) -> Result<(&'m [u8], Statement<'m>), Error> {
        // Until the tag is verified anybody may have sent it.
        let text = super::only_bytes(message).map_err(|_| Error::Forged)?;
        let aead = Aead::new(Protected::Message3, &self.prk_3e2m, &self.th_3, self.suite, crypto)?;
        let plaintext: &'m [u8] = aead.open(text, crypto).map_err(|_| Error::Forged)?;
        let statement = Statement::read(plaintext, false, self.method.initiator_signs(), self.suite, understood)?;
        Ok((plaintext, statement))
    }
}

/// Message 3 was read, and its sender is not authenticated: find the credential it names.
pub struct Message3<'m> {
    state: AwaitMessage3,
    statement: Statement<'m>,
    plaintext: &'m [u8],
}

impl<'m> Message3<'m> {
    /// How the initiator names its credential (`ID_CRED_I`).
    #[must_use]
    pub const fn id_cred(&self) -> IdCred<'m> {
        self.statement.id_cred
    }

    /// How both sides authenticate.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.state.method
    }

    /// `EAD_3`. Not authentic yet: it must not do harm.
    #[must_use]
    pub const fn ead(&self) -> Ead<'m> {
        self.statement.ead
    }

    /// Verifies that the peer holds the key of its credential and has seen the same messages.
    ///
    /// # Errors
    /// [`Error::KeyKind`] if the key does not fit method and suite, [`Error::PublicKey`] if it is no point of the curve,
    /// [`Error::Forged`] if the signature or MAC is wrong. The handshake is over.
    pub fn verify(self, peer: PeerCredential<'_>, crypto: &impl Crypto) -> Result<Verified3, Error> {
        let AwaitMessage3 { method, suite, own_id, peer_id, secret, th_3, prk_3e2m } = self.state;
        let signs = method.initiator_signs();
        let prk_4e3m = if signs {
            prk_3e2m
        } else {
            let public = agreement_key(peer.key, suite.curve())?;
            let shared = crypto.agree(suite.curve(), &secret, public).ok_or(Error::PublicKey)?;
            schedule::prk_4e3m(&prk_3e2m, &th_3, &shared, crypto)
        };
        let terms = Terms { suite, signs, label: Label::MAC_3, th: &th_3, prk: &prk_4e3m };
        self.statement.verify(&terms, peer.credential, peer.key, crypto)?;
        let th_4 = schedule::th_next(&th_3, self.plaintext, peer.credential, crypto);
        let prk_out = schedule::prk_out(&prk_4e3m, &th_4, crypto);
        let role = Role::Responder;
        let session = Session { role, method, suite, own_id, peer_id, prk_out, peer: peer.identified };
        Ok(Verified3 { session, prk_4e3m, th_4 })
    }
}

impl core::fmt::Debug for Message3<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Message3")
    }
}

/// The initiator is authenticated: the handshake is complete.
#[derive(Debug)]
pub struct Verified3 {
    session: Session,
    prk_4e3m: Secret,
    th_4: [u8; HASH],
}

impl Verified3 {
    /// Who the initiator is.
    #[must_use]
    pub const fn peer(&self) -> &Identified {
        self.session.peer()
    }

    /// Writes message 4 to the front of `out` and gives the session and the message's length: for initiators that get no
    /// protected answer soon. Not after a combined request (RFC 9668 section 3.3.1).
    ///
    /// # Errors
    /// [`Error::NoRoom`] if `out` is too short.
    pub fn message_4(
        self,
        ead: &[EadItem<'_>],
        out: &mut [u8],
        crypto: &impl Crypto,
    ) -> Result<(Session, usize), Error> {
        let suite = self.session.suite;
        let length = super::ead::length(ead);
        let sealed = length.saturating_add(suite.mac_length());
        let mut message = Out::new(out);
        message.cbor().bytes_head(sealed)?;
        let text = message.take(sealed)?;
        let mut plaintext = Out::new(text.get_mut(..length).ok_or(Error::NoRoom)?);
        ead.iter().try_for_each(|item| item.write(&mut plaintext.cbor()))?;
        Aead::new(Protected::Message4, &self.prk_4e3m, &self.th_4, suite, crypto)?.seal(text, crypto)?;
        Ok((self.session, message.written()))
    }

    /// The session, without message 4.
    #[must_use]
    pub fn session(self) -> Session {
        self.session
    }
}
