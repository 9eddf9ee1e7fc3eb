//! Bodies in blocks (RFC 7959).

use super::{Code, Message, Number, message};
use core::fmt;

/// The size of a block: 16 to 1,024 bytes, a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize(u8);

impl BlockSize {
    /// 16 bytes.
    pub const SMALLEST: Self = Self(0);
    /// 1,024 bytes.
    pub const LARGEST: Self = Self(6);

    /// The largest size of at most `bytes`; 16 if that is less.
    #[must_use]
    pub const fn at_most(bytes: usize) -> Self {
        let mut size = Self::LARGEST;
        while size.0 > 0 && size.bytes() > bytes {
            size.0 = size.0.saturating_sub(1);
        }
        size
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        16 << self.0
    }
}

/// The value of a Block1 or Block2 option (RFC 7959 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    number: u32,
    more: bool,
    size: BlockSize,
}

impl Block {
    /// The block that begins at `offset`, which must be a multiple of the size. `None` if it is not, or the number is
    /// beyond 20 bits.
    #[must_use]
    pub const fn at(offset: usize, more: bool, size: BlockSize) -> Option<Self> {
        let number = offset >> (size.0 as u32).saturating_add(4);
        if offset & size.bytes().wrapping_sub(1) != 0 || number > 0xf_ffff {
            return None;
        }
        Some(Self { number: number as u32, more, size })
    }

    /// The block that asks for a whole body from its beginning.
    #[must_use]
    pub const fn first(size: BlockSize) -> Self {
        Self { number: 0, more: false, size }
    }

    /// Reads the value of an option.
    ///
    /// # Errors
    /// [`BlockError::Malformed`] if it has more than three bytes or uses the reserved size.
    pub fn read(value: &[u8]) -> Result<Self, BlockError> {
        let value = message::uint(value).filter(|_| value.len() <= 3).ok_or(BlockError::Malformed)?;
        let size = BlockSize((value & 7) as u8);
        if size > BlockSize::LARGEST {
            return Err(BlockError::Malformed);
        }
        Ok(Self { number: value >> 4, more: value & 8 != 0, size })
    }

    /// Reads the option `number` (Block1 or Block2) of a message.
    ///
    /// # Errors
    /// As [`Block::read`].
    pub fn of(message: &Message<'_>, number: Number) -> Result<Option<Self>, BlockError> {
        message.option(number).map(Self::read).transpose()
    }

    /// The value of the option, for [`super::Writer::uint`].
    #[must_use]
    pub const fn value(self) -> u32 {
        (self.number << 4) | ((self.more as u32) << 3) | self.size.0 as u32
    }

    /// Which block, counted from 0 in units of its size.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.number
    }

    /// More blocks follow.
    #[must_use]
    pub const fn more(self) -> bool {
        self.more
    }

    /// The size of the block.
    #[must_use]
    pub const fn size(self) -> BlockSize {
        self.size
    }

    /// Where in the body it begins, in bytes.
    #[must_use]
    pub const fn offset(self) -> usize {
        (self.number as usize) << (self.size.0 as u32).saturating_add(4)
    }
}

/// Puts a body together: of a request at the server (Block1), of a response at the client (Block2). The buffer is the
/// caller's and is the same at each call; it bounds the body.
#[derive(Clone, Copy, Debug)]
pub struct Assembler {
    length: usize,
    last: usize,
    complete: bool,
    tag: Option<Tag>,
}

/// A Request-Tag or an ETag: at most 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag {
    bytes: [u8; 8],
    length: usize,
}

/// What to do after a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More is to come, from this offset: a server answers 2.31, a client asks for the block there.
    Next(usize),
    /// The body is complete and has so many bytes.
    Complete(usize),
}

impl Assembler {
    /// Nothing came yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { length: 0, last: 0, complete: false, tag: None }
    }

    /// Takes a block. Block 0 begins anew; any other must come where the last one ended and belong to the same body, which
    /// `tag` tells: the Request-Tag of requests (RFC 9175 section 3), the `ETag` of responses. The last block once more
    /// changes nothing.
    ///
    /// # Errors
    /// What is wrong; an error leaves what was collected as it was.
    pub fn accept(
        &mut self,
        block: Block,
        tag: Option<&[u8]>,
        payload: &[u8],
        body: &mut [u8],
    ) -> Result<Progress, BlockError> {
        let tag = tag.map(Tag::new).transpose()?;
        let size = block.size.bytes();
        let whole = if block.more { payload.len() == size } else { payload.len() <= size };
        if !whole || (payload.is_empty() && block.number > 0) {
            return Err(BlockError::Malformed);
        }
        let offset = block.offset();
        let end = offset.checked_add(payload.len()).ok_or(BlockError::TooLarge)?;
        if offset > 0 {
            if tag != self.tag || self.length == 0 {
                return Err(BlockError::Incomplete);
            }
            let repeated = offset == self.last && end == self.length && self.complete != block.more;
            if repeated && body.get(offset..end).is_some_and(|held| held == payload) {
                return Ok(self.progress());
            }
            if self.complete || offset != self.length {
                return Err(BlockError::Incomplete);
            }
        }
        body.get_mut(offset..end).ok_or(BlockError::TooLarge)?.copy_from_slice(payload);
        *self = Self { length: end, last: offset, complete: !block.more, tag };
        Ok(self.progress())
    }

    /// How many bytes are there.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Nothing came yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    const fn progress(&self) -> Progress {
        if self.complete { Progress::Complete(self.length) } else { Progress::Next(self.length) }
    }
}

impl Default for Assembler {
    fn default() -> Self {
        Self::new()
    }
}

impl Tag {
    fn new(bytes: &[u8]) -> Result<Self, BlockError> {
        let mut tag = Self { bytes: [0; 8], length: bytes.len() };
        tag.bytes.get_mut(..bytes.len()).ok_or(BlockError::Malformed)?.copy_from_slice(bytes);
        Ok(tag)
    }
}

/// The part of `body` that `wanted` asks for, and the option that goes with it: a server's answer to Block2. An empty body
/// is one empty block.
///
/// # Errors
/// [`BlockError::Malformed`] if the body has no such block.
pub fn slice(body: &[u8], wanted: Block) -> Result<(Block, &[u8]), BlockError> {
    let rest = body.get(wanted.offset()..).ok_or(BlockError::Malformed)?;
    if rest.is_empty() && wanted.number > 0 {
        return Err(BlockError::Malformed);
    }
    match rest.split_at_checked(wanted.size.bytes()) {
        Some((part, after)) => Ok((Block { more: !after.is_empty(), ..wanted }, part)),
        None => Ok((Block { more: false, ..wanted }, rest)),
    }
}

/// A body that a client sends in blocks (Block1).
#[derive(Clone, Copy, Debug)]
pub struct Upload {
    offset: usize,
    size: BlockSize,
}

impl Upload {
    /// Begins with blocks of this size.
    #[must_use]
    pub const fn new(size: BlockSize) -> Self {
        Self { offset: 0, size }
    }

    /// The block that is to be sent now, and its part of the body.
    ///
    /// # Errors
    /// [`BlockError::Malformed`] if the body is not the one of the calls before, [`BlockError::TooLarge`] if it has more
    /// than 2²⁰ blocks.
    pub fn block<'b>(&self, body: &'b [u8]) -> Result<(Block, &'b [u8]), BlockError> {
        slice(body, Block::at(self.offset, false, self.size).ok_or(BlockError::TooLarge)?)
    }

    /// The server acknowledged the block with this option; it may ask for a smaller size (RFC 7959 section 2.3).
    ///
    /// # Errors
    /// [`BlockError::Incomplete`] if it acknowledges another block.
    pub fn acknowledged(&mut self, by: Block) -> Result<(), BlockError> {
        let sent = Block::at(self.offset, false, self.size).ok_or(BlockError::TooLarge)?;
        if by.number != sent.number {
            return Err(BlockError::Incomplete);
        }
        self.offset = self.offset.saturating_add(self.size.bytes());
        self.size = self.size.min(by.size);
        Ok(())
    }

    /// The server refused the first block with 4.13 and this option: begins anew with its size (RFC 7959 section 2.9.3).
    /// `false` if that is no smaller size: there is nothing more to try.
    pub fn shrink(&mut self, to: Block) -> bool {
        let smaller = to.size < self.size && self.offset == 0;
        if smaller {
            self.size = to.size;
        }
        smaller
    }
}

/// Why a block was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// The option or the payload does not fit itself.
    Malformed,
    /// A block before is missing, or it belongs to another body.
    Incomplete,
    /// The body is larger than the buffer.
    TooLarge,
}

impl BlockError {
    /// The response a server gives.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Malformed => Code::BAD_REQUEST,
            Self::Incomplete => Code::REQUEST_ENTITY_INCOMPLETE,
            Self::TooLarge => Code::REQUEST_ENTITY_TOO_LARGE,
        }
    }
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the block option or its payload is malformed",
            Self::Incomplete => "blocks are missing, or belong to another body",
            Self::TooLarge => "the body is larger than what is taken",
        })
    }
}

impl core::error::Error for BlockError {}
