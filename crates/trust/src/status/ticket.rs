//! Status tickets: what an authority says of one credential, small enough to ride along in a handshake.

use super::{EncodeError, Reason, Refused, State, check_signer};
use crate::cbor::{Fields, Writer};
use crate::cose::{ContentType, Place, Sign1};
use crate::crypto::Crypto;
use crate::id::{CredentialId, KeyId};
use crate::list::{List, Purpose};
use crate::time::Time;
use minicbor::encode::Write;

/// The shortest nonce in bytes: an answer prepared by chance is then one in 2^64.
pub const MIN_NONCE: usize = 8;
/// The longest nonce in bytes.
pub const MAX_NONCE: usize = 32;
/// The longest ticket in bytes: ES384 and every number at its longest.
const MAX_LENGTH: usize = 256;

/// What a ticket says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TicketContent<'a> {
    /// The credential it is about, and with it its device and the issuers above it.
    pub credential: CredentialId,
    /// The worst that the authority knows of the credential, its device and its issuers; `None`: nothing.
    pub state: Option<State>,
    /// Why.
    pub reason: Reason,
    /// The epoch of the status list whose knowledge it speaks from.
    pub epoch: u64,
    /// When it was made.
    pub issued: Time,
    /// The judge's nonce that it answers, if it answers one.
    pub nonce: Option<&'a [u8]>,
}

impl TicketContent<'_> {
    /// How many bytes of the signer's [`KeyId`] a ticket carries: enough to find the key among those of a list.
    pub const KEY_LENGTH: usize = 8;
    /// Where a ticket carries its content type: nowhere, to be at most 136 bytes with P-256 and a nonce of 16.
    pub const PLACE: Place = Place::External(ContentType::TICKET);

    /// The part of the signer's [`KeyId`] that [`crate::cose::sign1`] is to be given.
    #[must_use]
    pub fn key_hint(key: &KeyId) -> &[u8] {
        key.as_bytes().get(..Self::KEY_LENGTH).unwrap_or_default()
    }

    /// Writes the payload of the ticket; [`crate::cose::sign1`] with [`TicketContent::PLACE`] and
    /// [`TicketContent::key_hint`] makes the ticket of it.
    ///
    /// # Errors
    /// If `out` fails, or if no verifier would accept such a ticket.
    pub fn encode<W: Write>(&self, out: W) -> Result<(), EncodeError<W::Error>> {
        if let Some(nonce) = self.nonce
            && !(MIN_NONCE..=MAX_NONCE).contains(&nonce.len())
        {
            return Err(EncodeError::Content(Refused::Nonce(nonce.len())));
        }
        if !(Time::from_unix(0)..=Time::NEVER).contains(&self.issued) {
            return Err(EncodeError::Content(Refused::Times));
        }
        let mut writer = Writer::new(out);
        let state = self.state.map_or(0, State::number);
        writer
            .array(6)
            .and_then(|w| w.bytes(self.credential.as_bytes())?.uint(u64::from(state))?.uint(u64::from(self.reason.0)))
            .and_then(|w| w.uint(self.epoch)?.time(self.issued))
            .and_then(|w| match self.nonce {
                Some(nonce) => w.bytes(nonce),
                None => w.null(),
            })
            .map(drop)
            .map_err(EncodeError::Write)
    }
}

/// A ticket that was verified: a view of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket<'a> {
    authority: KeyId,
    content: TicketContent<'a>,
}

impl<'a> Ticket<'a> {
    /// Believes a ticket signed by a service key that `list` names for status.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn verify(bytes: &'a [u8], list: &List<'_>, crypto: &impl Crypto) -> Result<Self, Refused> {
        let (signed, content) = read(bytes)?;
        if signed.key().len() != TicketContent::KEY_LENGTH {
            return Err(Refused::UnknownSigner);
        }
        let service = list.service(Purpose::Status, signed.key()).ok_or(Refused::UnknownSigner)?;
        check_signer(&service, service.authority, content.issued)?;
        signed.verify(TicketContent::PLACE, service.public_key(crypto)?, crypto)?;
        Ok(Self { authority: service.authority, content })
    }

    /// Takes what a ticket said that this program has verified before, so that it need not verify it for each judgement.
    #[must_use]
    pub const fn danger_believe(authority: KeyId, content: TicketContent<'a>) -> Self {
        Self { authority, content }
    }

    /// The authority that says it.
    #[must_use]
    pub const fn authority(&self) -> KeyId {
        self.authority
    }

    /// What it says.
    #[must_use]
    pub const fn content(&self) -> &TicketContent<'a> {
        &self.content
    }

    /// What the ticket in `bytes` says, without believing it: to find out which credential it is about.
    ///
    /// # Errors
    /// If they are not a ticket.
    pub fn danger_read(bytes: &'a [u8]) -> Result<TicketContent<'a>, Refused> {
        read(bytes).map(|(_, content)| content)
    }
}

fn read(bytes: &[u8]) -> Result<(Sign1<'_>, TicketContent<'_>), Refused> {
    if bytes.len() > MAX_LENGTH {
        return Err(Refused::TooLong(bytes.len()));
    }
    let signed = Sign1::read(bytes)?;
    let mut fields = Fields::new(signed.payload());
    fields.array_of(6);
    let credential = CredentialId::from_bytes(*fields.fixed());
    let number = fields.byte();
    let state = State::from_number(number);
    let reason = Reason(fields.byte());
    let (epoch, issued) = (fields.uint(), fields.time());
    let nonce = if fields.null() { None } else { Some(fields.bytes()) };
    fields.finish()?;
    if state.is_none() && number != 0 {
        return Err(Refused::Form);
    }
    if let Some(nonce) = nonce
        && !(MIN_NONCE..=MAX_NONCE).contains(&nonce.len())
    {
        return Err(Refused::Nonce(nonce.len()));
    }
    Ok((signed, TicketContent { credential, state, reason, epoch, issued, nonce }))
}
