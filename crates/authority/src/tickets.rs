//! Status tickets: what the authority says of single credentials, as an answer to the number of who judges them. A
//! ticket is given for every credential that was ever issued, expired or not: what may still be done with it is for the
//! judge.
//!
//! ```cddl
//! request = [ nonce: bstr .size (8..32), credentials: [1*512 bstr .size 16] ]
//! answer  = [ *(bstr / null) ]       ; a ticket for each, in their order; null: not a credential of this authority
//! ```

use crate::bytes::Sink;
use crate::keys::{AuthorityCertificate, KeyState};
use crate::status::{self, ticket_state};
use crate::{Authority, Error};
use medlock_trust::cbor::{self, Fields, Writer};
use medlock_trust::status::{MAX_NONCE, MIN_NONCE, TicketContent};
use medlock_trust::{CredentialId, KeyId, Time};

/// The most credentials in one request over HTTP.
pub const MAX_CREDENTIALS: usize = 512;
/// The most credentials in one request over CoAP: their tickets fit one block.
pub const MAX_CREDENTIALS_COAP: usize = 4;
/// The longest request in bytes.
pub const MAX_REQUEST: usize = MAX_NONCE + MAX_CREDENTIALS * 17 + 16;

/// A request for tickets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The number that they are to answer.
    pub nonce: Vec<u8>,
    /// The credentials.
    pub credentials: Vec<CredentialId>,
}

impl Request {
    /// Reads a request for at most `most` tickets.
    ///
    /// # Errors
    /// If it is none, or for too many.
    pub fn read(bytes: &[u8], most: usize) -> Result<Self, cbor::Error> {
        let mut fields = Fields::new(bytes);
        fields.array_of(2);
        let at = fields.position();
        let nonce = fields.bytes();
        fields.ask((MIN_NONCE..=MAX_NONCE).contains(&nonce.len()), at, cbor::ErrorKind::OutOfRange);
        let at = fields.position();
        let count = fields.array(most as u64);
        fields.ask(count > 0, at, cbor::ErrorKind::OutOfRange);
        let credentials = (0..count).map(|_| CredentialId::from_bytes(*fields.fixed())).collect();
        fields.finish()?;
        Ok(Self { nonce: nonce.to_vec(), credentials })
    }

    /// Writes the request.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(Sink(&mut bytes));
        let written = writer.array(2).and_then(|w| w.bytes(&self.nonce)?.array(self.credentials.len() as u64));
        let Ok(writer) = written;
        for credential in &self.credentials {
            let Ok(_) = writer.bytes(credential.as_bytes());
        }
        bytes
    }
}

impl Authority {
    /// A signed ticket about one of this authority's credentials that answers `nonce` (8 to 32 bytes); `None` if the
    /// credential is not one of ours.
    ///
    /// # Errors
    /// [`Error`] when store or signer failed, or the nonce has a wrong length.
    pub fn ticket(&self, credential: CredentialId, nonce: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        // The epoch is read first: a change that comes in between is in what is said, never the other way round.
        let epoch = self.store.epoch()?;
        self.ticket_of((epoch, self.time_to_state()), &self.issuing(), credential, nonce)
    }

    /// Signed tickets about several credentials: the answer to a request.
    ///
    /// # Errors
    /// [`Error`] when store or signer failed.
    pub fn tickets(&self, request: &Request) -> Result<Vec<u8>, Error> {
        let (now, by) = ((self.store.epoch()?, self.time_to_state()), self.issuing());
        let mut bytes = Vec::new();
        let mut writer = Writer::new(Sink(&mut bytes));
        let Ok(writer) = writer.array(request.credentials.len() as u64);
        for credential in &request.credentials {
            let Ok(_) = match self.ticket_of(now, &by, *credential, &request.nonce)? {
                Some(ticket) => writer.bytes(&ticket),
                None => writer.null(),
            };
        }
        Ok(bytes)
    }

    /// The key that has issued a credential. It is looked for only where a key has been stolen: nothing is known against
    /// the others.
    fn issuer_by_id(&self, credential: CredentialId, current: KeyId) -> Result<KeyId, Error> {
        if self.keys().iter().all(|key| key.state != KeyState::Compromised) {
            return Ok(current);
        }
        let issued = self.store.issued(credential)?;
        Ok(issued.map_or(current, |issued| self.issuing_key_of(&issued.certificate)))
    }

    fn ticket_of(
        &self,
        (epoch, issued): (u64, Time),
        by: &AuthorityCertificate,
        credential: CredentialId,
        nonce: &[u8],
    ) -> Result<Option<Vec<u8>>, Error> {
        let issuer = self.issuer_by_id(credential, by.key)?;
        let Some(standings) = self.store.standings_of(credential, issuer)? else { return Ok(None) };
        let worst = standings.into_iter().max_by_key(|standing| standing.state);
        let (state, reason) = ticket_state(worst.as_ref());
        let content = TicketContent { credential, state, reason, epoch, issued, nonce: Some(nonce) };
        status::ticket(&*self.signer, by, &content).map(Some)
    }
}
