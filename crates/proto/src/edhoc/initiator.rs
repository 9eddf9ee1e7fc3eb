//! The initiator: message 1, then 2, then 3, then proof that the responder has the keys (RFC 9528 section 5).
//!
//! | step | public-key operations |
//! | --- | --- |
//! | [`Ephemeral::new`](super::Ephemeral::new) | 1: the public key |
//! | [`start`] | none |
//! | [`AwaitMessage2::read`] | 1: agreement, after the shape was checked |
//! | [`Message2::verify`] | 1: agreement with the responder's static key, or its signature |
//! | [`Verified2::message_3`] | 1: agreement with one's own static key, or a signature |
//! | [`Unconfirmed::read_message_4`] | none |

use super::connection::ConnectionId;
use super::credential::{IdCred, OwnCredential, PeerCredential, same};
use super::ead::{Ead, EadItem};
use super::items::{Items, Out};
use super::schedule::{self, Aead, HASH, Label, Protected};
use super::session::{Confirmed, OscoreInput, Role, Session};
use super::statement::{Draft, Statement, Terms, agreement_key};
use super::suite::{Method, Suite, write_offer};
use super::{Ephemeral, Error, Rejected};
use crate::crypto::{Crypto, Secret};
use medlock_trust::Identified;

/// What the initiator proposes in message 1.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// How both sides authenticate. It is agreed on beforehand, not negotiated.
    pub method: Method,
    /// The suites one has, most preferred first. The order never changes (RFC 9528 section 5.2.2).
    pub suites: &'a [Suite],
    /// The one the responder is thought to have: at first the most preferred, after error code 2 what
    /// [`Suites::choose`](super::Suites::choose) says.
    pub selected: Suite,
    /// What the responder shall call this connection. It is in no use with any other peer (RFC 9668 section 4.1.1).
    pub connection: ConnectionId,
    /// `EAD_1`. Anybody can read it.
    pub ead: &'a [EadItem<'a>],
}

/// Writes message 1 to the front of `out` and says how long it is.
///
/// # Errors
/// [`Error::Ephemeral`] if the key is not of the selected suite's curve, [`Error::Suite`] if the suite is not among one's
/// own, [`Error::NoRoom`] if `out` is too short.
pub fn start(
    offer: &Offer<'_>,
    ephemeral: Ephemeral,
    out: &mut [u8],
    crypto: &impl Crypto,
) -> Result<(AwaitMessage2, usize), Error> {
    if ephemeral.curve != offer.selected.curve() {
        return Err(Error::Ephemeral);
    }
    let mut message = Out::new(&mut *out);
    let mut cbor = message.cbor();
    cbor.uint(u64::from(offer.method.number()))?;
    if !write_offer(offer.suites, offer.selected, &mut cbor)? {
        return Err(Error::Suite);
    }
    cbor.bytes(&ephemeral.public)?.raw(offer.connection.encoded().as_bytes())?;
    offer.ead.iter().try_for_each(|item| item.write(&mut cbor))?;
    let length = message.written();
    Ok((danger_started(offer, ephemeral, out.get(..length).unwrap_or_default(), crypto), length))
}

/// As if `message_1`, whatever is in it, had been sent for `offer`: for test vectors that offer suites we do not have.
/// Never for a real handshake.
#[must_use]
pub fn danger_started(
    offer: &Offer<'_>,
    ephemeral: Ephemeral,
    message_1: &[u8],
    crypto: &impl Crypto,
) -> AwaitMessage2 {
    AwaitMessage2 {
        method: offer.method,
        suite: offer.selected,
        own_id: offer.connection,
        secret: ephemeral.secret,
        message_1: crypto.sha256(&[message_1]),
    }
}

/// Message 1 was sent.
#[derive(Debug)]
pub struct AwaitMessage2 {
    method: Method,
    suite: Suite,
    own_id: ConnectionId,
    secret: Secret,
    message_1: [u8; HASH],
}

impl AwaitMessage2 {
    /// What one called this connection.
    #[must_use]
    pub const fn own_id(&self) -> ConnectionId {
        self.own_id
    }

    /// Reads message 2, which it decrypts in place. Nothing in it is authentic yet. `understood` are the labels of the
    /// critical authorization data the caller will look at.
    ///
    /// # Errors
    /// With the state as it was, because the message may be somebody else's: [`Error::Malformed`], [`Error::PublicKey`],
    /// [`Error::ConnectionId`] if the responder's identifier is one's own or too long, [`Error::CriticalEad`]. An error
    /// message is malformed here: [`Fault::read`](super::Fault::read) reads it. Every try costs an agreement: stop after
    /// a few.
    pub fn read<'m>(
        self,
        message: &'m mut [u8],
        understood: &[u32],
        crypto: &impl Crypto,
    ) -> Result<Message2<'m>, Rejected<Self>> {
        match self.parse(message, understood, crypto) {
            Ok((th_2, prk_2e, public, statement, peer_id, plaintext)) => {
                Ok(Message2 { state: self, public, th_2, prk_2e, peer_id, statement, plaintext })
            }
            Err(error) => Err(Rejected { state: self, error }),
        }
    }

    #[expect(clippy::type_complexity)]
    fn parse<'m>(
        &self,
        message: &'m mut [u8],
        understood: &[u32],
        crypto: &impl Crypto,
    ) -> Result<([u8; HASH], Secret, [u8; 32], Statement<'m>, ConnectionId, &'m [u8]), Error> {
        let content = super::only_bytes(message)?;
        let (public, text) = content.split_at_mut_checked(32).ok_or(Error::Malformed)?;
        let public: [u8; 32] = (&*public).try_into().map_err(|_| Error::Malformed)?;
        let shared = crypto.agree(self.suite.curve(), &self.secret, &public).ok_or(Error::PublicKey)?;
        let th_2 = schedule::th_2(&public, &self.message_1, crypto);
        let prk_2e = schedule::extract(&th_2, &shared, crypto);
        schedule::apply_keystream_2(&prk_2e, &th_2, text, crypto);
        let plaintext: &'m [u8] = text;
        let signs = self.method.responder_signs();
        let statement = Statement::read(plaintext, true, signs, self.suite, understood)?;
        let peer_id = statement.connection.ok_or(Error::Malformed)?;
        // In OSCORE both would have the same identifier (RFC 9668 section 4.1.3).
        if peer_id == self.own_id {
            return Err(Error::ConnectionId);
        }
        Ok((th_2, prk_2e, public, statement, peer_id, plaintext))
    }
}

/// Message 2 was read, and its sender is not authenticated: find the credential it names.
pub struct Message2<'m> {
    state: AwaitMessage2,
    peer_id: ConnectionId,
    public: [u8; 32],
    th_2: [u8; HASH],
    prk_2e: Secret,
    statement: Statement<'m>,
    plaintext: &'m [u8],
}

impl<'m> Message2<'m> {
    /// How the responder names its credential (`ID_CRED_R`).
    #[must_use]
    pub const fn id_cred(&self) -> IdCred<'m> {
        self.statement.id_cred
    }

    /// `EAD_2`. Not authentic yet: it must not do harm.
    #[must_use]
    pub const fn ead(&self) -> Ead<'m> {
        self.statement.ead
    }

    /// How both sides authenticate.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.state.method
    }

    /// Goes back to waiting: the credential is of no use, and as anybody may have sent the message, the right one may still
    /// come.
    #[must_use]
    pub fn reject(self) -> AwaitMessage2 {
        self.state
    }

    /// Verifies that the peer holds the key of its credential and has seen the same messages.
    ///
    /// # Errors
    /// With the state as it was before the message, which nobody authenticated: [`Error::KeyKind`] if the key does not fit
    /// method and suite, [`Error::PublicKey`] if it is no point of the curve, [`Error::Forged`] if the signature or MAC is
    /// wrong.
    pub fn verify(self, peer: PeerCredential<'_>, crypto: &impl Crypto) -> Result<Verified2, Rejected<AwaitMessage2>> {
        let Self { state, statement, peer_id, public, th_2, prk_2e, plaintext } = self;
        match verified(&state, &statement, (&th_2, &prk_2e), &peer, crypto) {
            Ok(prk_3e2m) => Ok(Verified2 {
                method: state.method,
                suite: state.suite,
                own_id: state.own_id,
                peer_id,
                public,
                th_3: schedule::th_next(&th_2, plaintext, peer.credential, crypto),
                prk_3e2m,
                peer_thumbprint: peer.credential.thumbprint(crypto),
                peer: peer.identified,
            }),
            Err(error) => Err(Rejected { state, error }),
        }
    }
}

/// The key that goes on from a message 2 whose sender holds the key of its credential.
fn verified(
    state: &AwaitMessage2,
    statement: &Statement<'_>,
    (th_2, prk_2e): (&[u8; HASH], &Secret),
    peer: &PeerCredential<'_>,
    crypto: &impl Crypto,
) -> Result<Secret, Error> {
    let (suite, signs) = (state.suite, state.method.responder_signs());
    let prk_3e2m = if signs {
        prk_2e.clone()
    } else {
        let public = agreement_key(peer.key, suite.curve())?;
        let shared = crypto.agree(suite.curve(), &state.secret, public).ok_or(Error::PublicKey)?;
        schedule::prk_3e2m(prk_2e, th_2, &shared, crypto)
    };
    let terms = Terms { suite, signs, label: Label::MAC_2, th: th_2, prk: &prk_3e2m };
    statement.verify(&terms, peer.credential, peer.key, crypto)?;
    Ok(prk_3e2m)
}

impl core::fmt::Debug for Message2<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Message2")
    }
}

/// The responder is authenticated; message 3 is to be sent.
#[derive(Debug)]
pub struct Verified2 {
    method: Method,
    suite: Suite,
    own_id: ConnectionId,
    peer_id: ConnectionId,
    public: [u8; 32],
    th_3: [u8; HASH],
    prk_3e2m: Secret,
    peer_thumbprint: [u8; 8],
    peer: Identified,
}

impl Verified2 {
    /// Who the responder is.
    #[must_use]
    pub const fn peer(&self) -> &Identified {
        &self.peer
    }

    /// What the responder calls this connection: it goes in front of message 3 on CoAP.
    #[must_use]
    pub const fn peer_id(&self) -> ConnectionId {
        self.peer_id
    }

    /// Writes message 3 to the front of `out` and says how long it is. To send it again, keep its bytes: a second one must
    /// never be made (RFC 9528 section 7), so this state is used up.
    ///
    /// # Errors
    /// [`Error::Reflected`] if the responder showed one's own credential, [`Error::OwnKey`] if the key cannot be used,
    /// [`Error::NoRoom`] if `out` is too short.
    pub fn message_3(
        self,
        own: &OwnCredential<'_>,
        ead: &[EadItem<'_>],
        out: &mut [u8],
        crypto: &impl Crypto,
    ) -> Result<(Unconfirmed, usize), Error> {
        if same(&own.credential.thumbprint(crypto), &self.peer_thumbprint) {
            return Err(Error::Reflected);
        }
        let signs = self.method.initiator_signs();
        let prk_4e3m = if signs {
            self.prk_3e2m.clone()
        } else {
            let shared = own.key.agree(&self.public).ok_or(Error::OwnKey)?;
            schedule::prk_4e3m(&self.prk_3e2m, &self.th_3, &shared, crypto)
        };
        let terms = Terms { suite: self.suite, signs, label: Label::MAC_3, th: &self.th_3, prk: &prk_4e3m };
        let draft = Draft { connection: None, own, ead };
        let length = draft.length(signs, self.suite);
        let mut message = Out::new(out);
        let sealed = length.saturating_add(self.suite.mac_length());
        message.cbor().bytes_head(sealed)?;
        let text = message.take(sealed)?;
        let plaintext = text.get_mut(..length).ok_or(Error::NoRoom)?;
        draft.compose(&terms, plaintext, crypto)?;
        let th_4 = schedule::th_next(&self.th_3, plaintext, own.credential, crypto);
        Aead::new(Protected::Message3, &self.prk_3e2m, &self.th_3, self.suite, crypto)?.seal(text, crypto)?;
        let session = Session {
            role: Role::Initiator,
            method: self.method,
            suite: self.suite,
            own_id: self.own_id,
            peer_id: self.peer_id,
            prk_out: schedule::prk_out(&prk_4e3m, &th_4, crypto),
            peer: self.peer,
        };
        Ok((Unconfirmed { session, prk_4e3m, th_4 }, message.written()))
    }
}

/// Message 3 was made. The responder is authenticated, but nothing shows yet that it has accepted: requests may be
/// protected and sent, and nothing of it is kept (RFC 9528 section 5.4.2).
#[derive(Debug)]
pub struct Unconfirmed {
    session: Session,
    prk_4e3m: Secret,
    th_4: [u8; HASH],
}

impl Unconfirmed {
    /// Who the responder is.
    #[must_use]
    pub const fn peer(&self) -> &Identified {
        self.session.peer()
    }

    /// What one called this connection.
    #[must_use]
    pub const fn own_id(&self) -> ConnectionId {
        self.session.own_id()
    }

    /// What an OSCORE security context is made of: for the first request, whose answer confirms the session.
    #[must_use]
    pub fn oscore(&self, crypto: &impl Crypto) -> OscoreInput {
        self.session.oscore(crypto)
    }

    /// Verifies message 4, which it decrypts in place, and gives the session and `EAD_4`.
    ///
    /// # Errors
    /// With the state as it was, because the message may be somebody else's: [`Error::Malformed`], [`Error::Forged`],
    /// [`Error::CriticalEad`].
    // The state is given back on purpose, and without a heap there is nothing to put it in.
    #[expect(clippy::result_large_err)]
    pub fn read_message_4<'m>(
        self,
        message: &'m mut [u8],
        understood: &[u32],
        crypto: &impl Crypto,
    ) -> Result<(Session, Ead<'m>), Rejected<Self>> {
        match self.open_message_4(message, understood, crypto) {
            Ok(ead) => Ok((self.session, ead)),
            Err(error) => Err(Rejected { state: self, error }),
        }
    }

    fn open_message_4<'m>(
        &self,
        message: &'m mut [u8],
        understood: &[u32],
        crypto: &impl Crypto,
    ) -> Result<Ead<'m>, Error> {
        let text = super::only_bytes(message)?;
        let aead = Aead::new(Protected::Message4, &self.prk_4e3m, &self.th_4, self.session.suite, crypto)?;
        let plaintext: &'m [u8] = aead.open(text, crypto)?;
        Ead::read(&mut Items::new(plaintext), understood)
    }

    /// The session, once an answer protected with its keys was opened.
    ///
    /// # Errors
    /// With the state as it was: [`Error::Forged`] if the proof belongs to another session.
    // The state is given back on purpose, and without a heap there is nothing to put it in.
    #[expect(clippy::result_large_err)]
    pub fn confirmed_by(self, proof: Confirmed, crypto: &impl Crypto) -> Result<Session, Rejected<Self>> {
        if proof.belongs_to(&self.oscore(crypto)) {
            Ok(self.session)
        } else {
            Err(Rejected { state: self, error: Error::Forged })
        }
    }
}
