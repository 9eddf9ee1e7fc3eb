//! Bodies in blocks (RFC 7959), as a client: what does not fit into one message lies in the firmware's room for bodies, one
//! at a time, first the request's and then the answer's.

use crate::call::{Body, Way};
use crate::device::Device;
use crate::event::{Failure, Status};
use crate::exchange::{Exchange, Role, Stage, With};
use crate::platform::{Platform, Ticks};
use crate::request::{Asks, Extra, block_size};
use crate::settings::CallError;
use medlock_proto::coap::block::{Assembler, Block, Progress, Upload};
use medlock_proto::coap::{Code, Message, option};

/// The body under way.
pub(crate) struct Transfer {
    /// Whose it is: an exchange, as long as this is its generation.
    place: usize,
    generation: u16,
    tag: [u8; 2],
    /// The request's body; none any more, or from the beginning, if only the answer is long.
    upload: Option<(Upload, usize)>,
    answer: Assembler,
}

/// What a response says of what comes next.
struct Said<'r> {
    code: Code,
    block1: Option<Block>,
    block2: Option<Block>,
    etag: Option<&'r [u8]>,
    payload: &'r [u8],
}

/// What comes next.
enum Next {
    /// The answer is there.
    Tell,
    /// It is there, in the room for bodies.
    TellBody(usize),
    /// The next block of the request, or the first once more.
    Upload,
    /// The next block of the answer.
    Fetch(Block),
    Fail(Failure),
}

impl<P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize>
    Device<'_, P, SESSIONS, EXCHANGES, BYTES>
{
    /// Begins to send a request whose body is too long for one message.
    pub(crate) fn begin_upload(
        &mut self,
        now: Ticks,
        place: usize,
        way: Way,
        asks: Asks,
        body: &[u8],
    ) -> Result<(), CallError> {
        if self.body_is_taken(None) {
            return Err(CallError::Full);
        }
        let room = self.settings.body.get_mut(..body.len()).ok_or(CallError::TooLong)?;
        room.iter_mut().zip(body).for_each(|(to, from)| *to = *from);
        let upload = Upload::new(block_size(BYTES));
        let tag = self.random();
        let generation = self.exchanges.get(place).ok_or(CallError::Full)?.generation;
        let transfer =
            Transfer { place, generation, tag, upload: Some((upload, body.len())), answer: Assembler::new() };
        self.transfer = Some(transfer);
        self.send_block(now, place, way, asks)
    }

    /// A response of a call was opened and lies in its exchange: goes on with blocks, or lets the firmware know.
    pub(crate) fn answered(&mut self, now: Ticks, place: usize) {
        let next = self.next_of(place);
        let Some(exchange) = self.exchanges.get_mut(place) else { return };
        let Role::Call(call) = &mut exchange.role else { return };
        let Ok(message) = Message::read(exchange.bytes.get(..exchange.length).unwrap_or_default()) else { return };
        let status = status(message.code());
        let start = message.as_bytes().len().saturating_sub(message.payload().len());
        let (way, last) = match &call.with {
            With::Peer(peer, sent) => (Way::Session(*peer), sent.is_finished()),
            With::Anybody => (Way::Open(exchange.to), true),
        };
        let asks = call.asks;
        let sent = match next {
            Next::Tell => {
                call.stage = Stage::Arrived { status, start, last };
                return;
            }
            Next::TellBody(length) => {
                call.stage = Stage::Fetched { status, length };
                return;
            }
            Next::Fail(why) => return exchange.fail(why),
            Next::Upload => self.send_block(now, place, way, asks),
            Next::Fetch(block) => {
                let tag = self.transfer.as_ref().filter(|one| one.upload.is_some()).map(|one| one.tag);
                let extra = Extra { block2: Some(block), tag, ..Extra::default() };
                self.send(now, place, way, asks, &extra, Body::Given(&[]))
            }
        };
        if sent.is_err()
            && let Some(exchange) = self.exchanges.get_mut(place)
        {
            exchange.fail(Failure::Closed);
        }
    }

    fn send_block(&mut self, now: Ticks, place: usize, way: Way, asks: Asks) -> Result<(), CallError> {
        let transfer = self.transfer.as_ref().ok_or(CallError::Full)?;
        let (upload, length) = transfer.upload.as_ref().ok_or(CallError::Full)?;
        let body = self.settings.body.get(..*length).unwrap_or_default();
        let (block, part) = upload.block(body).map_err(|_| CallError::TooLong)?;
        let range = block.offset()..block.offset().saturating_add(part.len());
        let block2 = asks.first_block(BYTES).filter(|_| !block.more());
        let extra = Extra { block1: Some(block), block2, tag: Some(transfer.tag), echo: None };
        self.send(now, place, way, asks, &extra, Body::Room(range))
    }

    /// What the response in this exchange says of what comes next.
    fn next_of(&mut self, place: usize) -> Next {
        let taken = self.body_is_taken(Some(place));
        let Self { exchanges, transfer, settings, .. } = self;
        let Some(exchange) = exchanges.get(place) else { return Next::Tell };
        let (Role::Call(call), Ok(message)) = (&exchange.role, Message::read(exchange.message())) else {
            return Next::Tell;
        };
        let (Ok(block1), Ok(block2)) = (Block::of(&message, option::BLOCK1), Block::of(&message, option::BLOCK2))
        else {
            return Next::Fail(Failure::Handshake);
        };
        let said = Said {
            code: message.code(),
            block1,
            block2,
            etag: message.option(option::ETAG),
            payload: message.payload(),
        };
        let mine = |one: &&mut Transfer| one.place == place && one.generation == exchange.generation;
        if let Some(mine) = transfer.as_mut().filter(mine) {
            return mine.next(&said, settings.body);
        }
        if said.block2.is_none_or(|block| !block.more()) {
            return Next::Tell;
        }
        // A notification is one message: what is longer is asked for anew.
        let observed = matches!(&call.with, With::Peer(_, sent) if !sent.is_finished());
        if taken || observed {
            return Next::Fail(Failure::TooLong);
        }
        let Exchange { generation, .. } = *exchange;
        let begun = Transfer { place, generation, tag: [0; 2], upload: None, answer: Assembler::new() };
        transfer.insert(begun).next(&said, settings.body)
    }

    /// The answer of the call in this place was taken: the next one begins anew.
    pub(crate) fn end_transfer(&mut self, place: usize) {
        self.transfer.take_if(|transfer| transfer.place == place);
    }

    /// Whether the room for bodies is another call's.
    fn body_is_taken(&self, place: Option<usize>) -> bool {
        let Some(transfer) = &self.transfer else { return false };
        let exchange = self.exchanges.get(transfer.place);
        let lives = exchange.is_some_and(|exchange| {
            exchange.generation == transfer.generation && matches!(exchange.role, Role::Call(_))
        });
        lives && place != Some(transfer.place)
    }
}

impl Transfer {
    fn next(&mut self, said: &Said<'_>, body: &mut [u8]) -> Next {
        if let Some((upload, length)) = &mut self.upload {
            let more = upload.block(body.get(..*length).unwrap_or_default()).is_ok_and(|(block, _)| block.more());
            match said.block1 {
                Some(by) if said.code == Code::CONTINUE && more => {
                    return if upload.acknowledged(by).is_ok() { Next::Upload } else { Next::Tell };
                }
                Some(to) if said.code == Code::REQUEST_ENTITY_TOO_LARGE && upload.shrink(to) => return Next::Upload,
                Some(_) | None => {}
            }
        }
        // From here on the room is the answer's.
        let Some(block) = said.block2 else { return Next::Tell };
        if !block.more() && self.answer.is_empty() {
            return Next::Tell;
        }
        match self.answer.accept(block, said.etag, said.payload, body) {
            Ok(Progress::Complete(length)) => Next::TellBody(length),
            Ok(Progress::Next(offset)) => {
                Block::at(offset, false, block.size()).map_or(Next::Fail(Failure::TooLong), Next::Fetch)
            }
            Err(_) => Next::Fail(Failure::TooLong),
        }
    }
}

fn status(code: Code) -> Status {
    match (code.class(), code.detail()) {
        (2, _) => Status::Done,
        (4, detail) => Status::Refused(detail),
        (_, detail) => Status::Failed(detail),
    }
}
