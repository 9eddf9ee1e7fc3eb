//! Bodies in blocks, as a server keeps them (RFC 7959): what a peer is sending, and what it is fetching.

use super::message::{Request, Response};
use bytes::Bytes;
use medlock_proto::coap::block::{Assembler, Block, BlockSize, Progress, slice};
use medlock_proto::coap::{Code, option};

/// How many bodies one peer may send, and fetch, at one time. The oldest goes.
const AT_ONCE: usize = 2;
/// How long a body waits for its next block, in milliseconds (`EXCHANGE_LIFETIME`).
const PATIENCE_MS: u64 = 247_000;

/// A request as one datagram brings it, with what belongs to its blocks.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) request: Request,
    pub(crate) block1: Option<Block>,
    pub(crate) block2: Option<Block>,
    pub(crate) tag: Option<Bytes>,
}

/// What follows from a part.
#[derive(Debug)]
pub(crate) enum Step {
    /// The request is whole; with its answer goes this Block1 option.
    Whole(Request, Option<Block>),
    /// An answer that needs no handler.
    Answer(Response),
}

/// The transfers of one peer.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    uploads: Vec<Upload>,
    downloads: Vec<Download>,
}

#[derive(Debug)]
struct Upload {
    request: Request,
    assembler: Assembler,
    body: Vec<u8>,
    until: u64,
}

#[derive(Debug)]
struct Download {
    request: Request,
    response: Response,
    until: u64,
}

impl Transfers {
    /// Takes a part of a request that came at `now`; bodies have at most `most` bytes.
    pub(crate) fn accept(&mut self, part: Part, now: u64, most: usize) -> Step {
        self.forget(now);
        if let Some(wanted) = part.block2.filter(|block| block.number() > 0 && part.block1.is_none())
            && let Some(download) = self.downloads.iter_mut().find(|held| held.request.same_operation(&part.request))
        {
            download.until = now + PATIENCE_MS;
            let (answer, last) = cut(&download.response, wanted);
            if last {
                self.downloads.retain(|held| !held.request.same_operation(&part.request));
            }
            return Step::Answer(answer);
        }
        match part.block1 {
            None => Step::Whole(part.request, None),
            Some(block) => self.collect(part, block, now, most),
        }
    }

    fn collect(&mut self, part: Part, block: Block, now: u64, most: usize) -> Step {
        let Part { request, tag, .. } = part;
        let end = block.offset().saturating_add(request.payload.len());
        if end > most {
            let smaller = Response::new(Code::REQUEST_ENTITY_TOO_LARGE);
            return Step::Answer(smaller.with_uint(option::SIZE1, u32::try_from(most).unwrap_or(u32::MAX)));
        }
        let known = self.uploads.iter().position(|upload| upload.request.same_operation(&request));
        let mut upload = match known {
            Some(index) => self.uploads.remove(index),
            None => Upload { request: request.clone(), assembler: Assembler::new(), body: Vec::new(), until: 0 },
        };
        upload.until = now + PATIENCE_MS;
        // Room for what came and no more: where a block says it belongs is its sender's word.
        let held = upload.body.len();
        if block.offset() <= held && held < end {
            upload.body.resize(end, 0);
        }
        match upload.assembler.accept(block, tag.as_deref(), &request.payload, &mut upload.body) {
            Ok(Progress::Complete(length)) => {
                upload.body.truncate(length);
                Step::Whole(request.with_body(upload.body), Some(block))
            }
            Ok(Progress::Next(_)) => {
                self.keep(upload);
                Step::Answer(Response::new(Code::CONTINUE).with_uint(option::BLOCK1, block.value()))
            }
            Err(error) => {
                upload.body.truncate(held);
                if !upload.assembler.is_empty() {
                    self.keep(upload);
                }
                Step::Answer(Response::refused(error.code(), error.to_string()))
            }
        }
    }

    fn keep(&mut self, upload: Upload) {
        if self.uploads.len() >= AT_ONCE {
            self.uploads.remove(0);
        }
        self.uploads.push(upload);
    }

    /// The first datagram's worth of an answer; the rest is kept for who fetches it.
    pub(crate) fn answer(
        &mut self,
        request: &Request,
        wanted: Option<Block>,
        response: Response,
        largest: BlockSize,
        now: u64,
    ) -> Response {
        let wanted = wanted.unwrap_or(Block::first(largest));
        let wanted = if wanted.size() > largest && wanted.number() == 0 { Block::first(largest) } else { wanted };
        if wanted.number() == 0 && response.payload.len() <= wanted.size().bytes() {
            return response;
        }
        let (answer, last) = cut(&response, wanted);
        self.downloads.retain(|held| !held.request.same_operation(request));
        if !last {
            if self.downloads.len() >= AT_ONCE {
                self.downloads.remove(0);
            }
            let request = request.with_body(Bytes::new());
            self.downloads.push(Download { request, response, until: now + PATIENCE_MS });
        }
        answer
    }

    /// Nothing is under way.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.uploads.is_empty() && self.downloads.is_empty()
    }

    /// Gives up what waits too long.
    pub(crate) fn forget(&mut self, now: u64) {
        self.uploads.retain(|upload| upload.until > now);
        self.downloads.retain(|download| download.until > now);
    }
}

/// The block that is wanted, and whether it is the last. An ETag tells blocks of one body from those of another.
fn cut(response: &Response, wanted: Block) -> (Response, bool) {
    match slice(&response.payload, wanted) {
        Err(error) => (Response::refused(error.code(), error.to_string()), true),
        Ok((block, part)) => {
            let mut answer = response.clone();
            answer.payload = Bytes::copy_from_slice(part);
            if answer.values(option::ETAG).next().is_none() {
                let tag = crate::provider::sha256(&response.payload);
                answer = answer.with(option::ETAG, tag[..8].to_vec());
            }
            let size = u32::try_from(response.payload.len()).unwrap_or(u32::MAX);
            let answer = answer.with_uint(option::BLOCK2, block.value());
            let answer = if block.number() == 0 { answer.with_uint(option::SIZE2, size) } else { answer };
            (answer, !block.more())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(request: &Request, block1: Option<Block>, block2: Option<Block>, payload: &[u8]) -> Part {
        let request = request.with_body(payload.to_vec());
        Part { request, block1, block2, tag: None }
    }

    fn block(offset: usize, more: bool) -> Block {
        Block::at(offset, more, BlockSize::SMALLEST).expect("aligned")
    }

    #[test]
    fn a_body_comes_in_blocks_and_goes_in_blocks() {
        let (mut transfers, body) = (Transfers::default(), vec![7; 40]);
        let request = Request::post("/x", 0, Vec::new());
        for offset in [0, 16] {
            let part = part(&request, Some(block(offset, true)), None, &body[offset..offset + 16]);
            let Step::Answer(answer) = transfers.accept(part, 0, 64) else { panic!("not whole") };
            assert_eq!(answer.code, Code::CONTINUE);
        }
        let last = part(&request, Some(block(32, false)), None, &body[32..]);
        let Step::Whole(whole, Some(_)) = transfers.accept(last, 0, 64) else { panic!("whole") };
        assert_eq!(whole.payload, body);
        let first = transfers.answer(&request, None, Response::content(0, body.clone()), BlockSize::SMALLEST, 0);
        assert_eq!((first.payload.len(), first.values(option::ETAG).count()), (16, 1));
        let mut all = first.payload.to_vec();
        for offset in [16, 32] {
            let part = part(&request, None, Some(block(offset, false)), &[]);
            let Step::Answer(answer) = transfers.accept(part, 0, 64) else { panic!("kept") };
            all.extend_from_slice(&answer.payload);
        }
        assert_eq!(all, body);
        assert!(transfers.is_empty());
    }

    /// Shows REQ-COAP-74.
    #[test]
    fn a_block_takes_no_more_room_than_its_bytes() {
        let mut transfers = Transfers::default();
        let request = Request::post("/x", 0, Vec::new());
        let first = part(&request, Some(block(0, true)), None, &[1; 16]);
        assert!(matches!(transfers.accept(first, 0, 1 << 20), Step::Answer(_)));
        let far = part(&request, Some(block(1 << 16, true)), None, &[1; 16]);
        let Step::Answer(answer) = transfers.accept(far, 0, 1 << 20) else { panic!("not the next one") };
        assert_eq!(answer.code, Code::REQUEST_ENTITY_INCOMPLETE);
        assert!(transfers.uploads[0].body.capacity() < 1 << 10);
    }

    #[test]
    fn memory_is_bounded_and_what_waits_too_long_goes() {
        let mut transfers = Transfers::default();
        for name in ["/a", "/b", "/c"] {
            let request = Request::post(name, 0, Vec::new());
            transfers.accept(part(&request, Some(block(0, true)), None, &[1; 16]), 0, 64);
        }
        assert_eq!(transfers.uploads.len(), AT_ONCE);
        let request = Request::post("/d", 0, Vec::new());
        let Step::Answer(answer) = transfers.accept(part(&request, Some(block(64, true)), None, &[1; 16]), 0, 64)
        else {
            panic!("refused")
        };
        assert_eq!(answer.code, Code::REQUEST_ENTITY_TOO_LARGE);
        transfers.forget(PATIENCE_MS);
        assert!(transfers.is_empty());
    }
}
