//! A ticket: good once, for a minute, for one Subscription, in the name of the token by which it was asked for. Software in a browser can
//! send no header when it connects, and a token in an address stands in logs.

use crate::Clinical;
use crate::kind::Id;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use medlock_node::provider::{random, sha256};
use medlock_store::Error;

/// How long it is good, in seconds.
pub(crate) const LASTS: i64 = 60;
/// What it is sealed for.
const CONTEXT: &[u8] = b"websocket";
/// Characters of one, at most.
const LENGTH: usize = 256;

/// What a ticket stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// SHA-256 of the token.
    pub(super) token: [u8; 32],
    pub(super) subscription: Id,
}

impl Clinical {
    /// A ticket for this Subscription.
    pub(crate) fn ticket(&self, token: [u8; 32], subscription: &Id) -> String {
        let until = self.clock().now().unix().saturating_add(LASTS);
        let plain = [&token[..], &until.to_be_bytes(), &random::<16>(), subscription.as_str().as_bytes()].concat();
        BASE64_URL_SAFE_NO_PAD.encode(self.records().seal_for(&plain, CONTEXT))
    }

    /// What a ticket stands for, which is spent then; `None`: it is none, is late, or was spent. Blocks.
    pub(super) fn spend_ticket(&self, text: &str) -> Result<Option<Ticket>, Error> {
        let now = self.clock().now().unix();
        match self.read_ticket(text).filter(|(until, _)| *until > now) {
            Some((until, ticket)) => {
                let spent = self.records().spend_ticket(sha256(text.as_bytes()), until)?;
                Ok(spent.then_some(ticket))
            }
            None => Ok(None),
        }
    }

    fn read_ticket(&self, text: &str) -> Option<(i64, Ticket)> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(Some(text).filter(|text| text.len() <= LENGTH)?).ok()?;
        let plain = self.records().unseal_for(&sealed, CONTEXT)?;
        let (token, rest) = plain.split_first_chunk::<32>()?;
        let (until, rest) = rest.split_first_chunk::<8>()?;
        let (_, subscription) = rest.split_first_chunk::<16>()?;
        let subscription = Id::read(std::str::from_utf8(subscription).ok()?)?;
        Some((i64::from_be_bytes(*until), Ticket { token: *token, subscription }))
    }
}
