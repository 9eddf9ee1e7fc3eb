//! Blocks in any order: the assembler writes what it says, where it says, or nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_proto::coap::block::{Assembler, Block, Progress, slice};

// Each block: three bytes of option, one that says how long the payload is and whether there is a tag, payload.
fuzz_target!(|bytes: &[u8]| {
    let (mut assembler, mut body) = (Assembler::new(), [0xaa; 200]);
    let mut rest = bytes;
    while let Some((&[a, b, c, length], after)) = rest.split_first_chunk() {
        let (payload, after) = after.split_at(after.len().min(usize::from(length >> 1)));
        rest = after;
        let Ok(block) = Block::read(&[a, b, c]) else { continue };
        assert_eq!(Block::at(block.offset(), block.more(), block.size()), Some(block));
        let before = (assembler.len(), body);
        let tag = (length & 1 == 1).then_some(&b"tag"[..]);
        match assembler.accept(block, tag, payload, &mut body) {
            Ok(Progress::Complete(length)) | Ok(Progress::Next(length)) => {
                assert_eq!((length, length), (assembler.len(), block.offset() + payload.len()));
                assert_eq!(&body[block.offset()..length], payload);
                assert_eq!(body[..block.offset()], before.1[..block.offset()]);
                assert_eq!(body[length..], before.1[length..]);
                // What was put together can be cut again.
                let (again, part) = slice(&body[..length], block).expect("it is there");
                assert_eq!((again.offset(), part), (block.offset(), payload));
            }
            Err(_) => assert_eq!((assembler.len(), body), before),
        }
    }
});
