//! Requests as this device makes them: what the firmware says, and what is kept of it for further blocks.

use crate::event::{Method, Resource};
use crate::follow::Following;
use medlock_proto::coap::block::{Block, BlockSize};
use medlock_proto::coap::observe::Wish;
use medlock_proto::coap::{Code, MessageId, Token, Type, Writer, content_format, option};
use medlock_proto::oscore::MAX_OVERHEAD;

/// A request of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'p> {
    /// What is to be done.
    pub method: Method,
    /// With what.
    pub resource: Resource,
    /// What of it, as the resource understands it: at most [`Request::MAX_QUERY`] bytes.
    pub query: Option<&'p [u8]>,
    /// The content format of the payload, if there is one.
    pub format: u16,
    /// The content format that is wanted; `None`: whichever the peer has.
    pub accept: Option<u16>,
    /// What goes with it. One that does not fit into an exchange goes in blocks, if it fits into
    /// [`Settings::body`](crate::Settings::body).
    pub payload: &'p [u8],
}

impl<'p> Request<'p> {
    /// The most bytes of a query.
    pub const MAX_QUERY: usize = 7;

    /// A request with a payload in CBOR, or none.
    #[must_use]
    pub const fn new(method: Method, resource: Resource, payload: &'p [u8]) -> Self {
        Self { method, resource, query: None, format: content_format::CBOR, accept: None, payload }
    }

    /// The request for what is there.
    #[must_use]
    pub const fn get(resource: Resource) -> Self {
        Self::new(Method::Get, resource, &[])
    }

    /// A request that brings something.
    #[must_use]
    pub const fn post(resource: Resource, payload: &'p [u8]) -> Self {
        Self::new(Method::Post, resource, payload)
    }
}

/// What is asked, without its payload: for each of its messages the same.
#[derive(Clone, Copy)]
pub(crate) struct Asks {
    pub(crate) method: Method,
    pub(crate) resource: Resource,
    query: Option<Query>,
    format: u16,
    accept: Option<u16>,
    pub(crate) then: Then,
}

/// What becomes of the answer.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// The firmware is told.
    Tell,
    /// It is a credential for this device.
    Enrol,
    /// It is a list of the own site, and the next one is asked for.
    Follow(Following),
}

#[derive(Clone, Copy)]
struct Query {
    bytes: [u8; Request::MAX_QUERY],
    length: u8,
}

/// What differs from message to message.
#[derive(Clone, Copy, Default)]
pub(crate) struct Extra<'e> {
    pub(crate) block1: Option<Block>,
    pub(crate) block2: Option<Block>,
    pub(crate) echo: Option<&'e [u8]>,
    pub(crate) tag: Option<[u8; 2]>,
}

impl Asks {
    /// What this request asks; `None` if its query is too long.
    pub(crate) fn of(request: &Request<'_>) -> Option<Self> {
        let query = match request.query {
            None => None,
            Some(query) => {
                let mut bytes = [0; Request::MAX_QUERY];
                bytes.get_mut(..query.len())?.iter_mut().zip(query).for_each(|(to, from)| *to = *from);
                Some(Query { bytes, length: u8::try_from(query.len()).ok()? })
            }
        };
        let Request { method, resource, format, accept, .. } = *request;
        Some(Self { method, resource, query, format, accept, then: Then::Tell })
    }

    /// The block of an answer that is asked for first: a peer whose blocks are larger than what an exchange holds would
    /// answer in vain. `None` where an exchange holds the largest, or answers are short.
    pub(crate) fn first_block(&self, bytes: usize) -> Option<Block> {
        let size = block_size(bytes);
        let short = match self.resource {
            Resource::Lease | Resource::Challenge | Resource::Command | Resource::Receipt | Resource::Records => true,
            Resource::Objects => self.method == Method::Post,
            Resource::Readings
            | Resource::State
            | Resource::AuthorityCertificates
            | Resource::Enrol
            | Resource::Renew => false,
        };
        (size < BlockSize::LARGEST && !short).then_some(Block::first(size))
    }

    /// Writes the request and says how long it is; `None` if `out` is too short.
    pub(crate) fn write(
        &self,
        (id, token): (MessageId, Token),
        extra: &Extra<'_>,
        payload: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        let code = match self.method {
            Method::Get | Method::Observe => Code::GET,
            Method::Post => Code::POST,
        };
        let mut writer = Writer::new(out, Type::Confirmable, code, id, token);
        // Only the first message registers: what follows fetches the rest of what that brought.
        if self.method == Method::Observe && extra.block2.is_none_or(|block| block.number() == 0) {
            writer.uint(option::OBSERVE, Wish::Register.value());
        }
        writer.path(self.resource.path());
        if !payload.is_empty() {
            writer.uint(option::CONTENT_FORMAT, self.format.into());
        }
        if let Then::Follow(following) = &self.then {
            let mut query = [0; Following::QUERY];
            writer.option(option::URI_QUERY, following.query(&mut query));
        } else if let Some(Query { bytes, length }) = &self.query {
            writer.option(option::URI_QUERY, bytes.get(..usize::from(*length)).unwrap_or_default());
        }
        let numbers = [
            (option::ACCEPT, self.accept.map(u32::from)),
            (option::BLOCK2, extra.block2.map(Block::value)),
            (option::BLOCK1, extra.block1.map(Block::value)),
        ];
        for (number, value) in numbers {
            if let Some(value) = value {
                writer.uint(number, value);
            }
        }
        if let Some(stamp) = extra.echo {
            writer.option(option::ECHO, stamp);
        }
        if let Some(tag) = &extra.tag {
            writer.option(option::REQUEST_TAG, tag);
        }
        writer.payload(payload).finish().ok().map(|message| message.len())
    }
}

/// The largest block of which a protected message fits into so many bytes, with its header and options.
pub(crate) fn block_size(bytes: usize) -> BlockSize {
    // The longest path, a query, content formats, blocks, an Echo or a tag.
    const OPTIONS: usize = 64;
    BlockSize::at_most(bytes.saturating_sub(MAX_OVERHEAD).saturating_sub(OPTIONS))
}
