//! Bodies in blocks: the standard's rules, loss and repetition, bounds.

use medlock_proto::coap::block::{Assembler, Block, BlockError, BlockSize, Progress, Upload, slice};
use medlock_proto::coap::{Code, Message, MessageId, Token, Type, Writer, option};
use proptest::collection::vec;
use proptest::prelude::*;

fn block(number: usize, more: bool, size: usize) -> Block {
    let size = BlockSize::at_most(size);
    Block::at(number * size.bytes(), more, size).unwrap()
}

/// RFC 7959 section 2.2. Shows REQ-COAP-06.
#[test]
fn values_of_the_option() {
    for (value, number, more, size) in [
        (&[][..], 0, false, 16),
        (&[0x0a], 0, true, 64),
        (&[0x3e], 3, true, 1_024),
        (&[0xff, 0xff, 0xf6], 0xf_ffff, false, 1_024),
    ] {
        let read = Block::read(value).unwrap();
        assert_eq!((read.number(), read.more(), read.size().bytes()), (number, more, size));
        let expected = value.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte));
        assert_eq!(read.value(), expected);
        assert_eq!(read.offset(), number as usize * size);
    }
    assert_eq!(Block::read(&[0x07]), Err(BlockError::Malformed), "the reserved size");
    assert_eq!(Block::read(&[0, 0, 0, 0]), Err(BlockError::Malformed));
    assert_eq!(Block::at(17, false, BlockSize::SMALLEST), None);
    assert_eq!(Block::at(16 << 20, false, BlockSize::SMALLEST), None);
    assert_eq!(BlockSize::at_most(1_023).bytes(), 512);
    assert_eq!(BlockSize::at_most(0).bytes(), 16);
    assert_eq!(BlockSize::at_most(usize::MAX).bytes(), 1_024);
    let mut out = [0; 32];
    let mut writer = Writer::new(&mut out, Type::Confirmable, Code::GET, MessageId(0), Token::EMPTY);
    let message = writer.uint(option::BLOCK2, block(3, false, 64).value()).finish().unwrap();
    let message = Message::read(message).unwrap();
    assert_eq!(Block::of(&message, option::BLOCK2), Ok(Some(block(3, false, 64))));
    assert_eq!(Block::of(&message, option::BLOCK1), Ok(None));
}

/// RFC 7959 section 2.5, RFC 9175 section 3.3. Shows REQ-COAP-06.
#[test]
fn an_assembler_takes_blocks_of_one_body_in_order() {
    let mut body = [0; 40];
    let mut whole = Assembler::new();
    let part = [7; 16];
    assert_eq!(whole.accept(block(1, true, 16), None, &part, &mut body), Err(BlockError::Incomplete));
    assert_eq!(whole.accept(block(0, true, 16), Some(b"a"), &part[..15], &mut body), Err(BlockError::Malformed));
    assert_eq!(whole.accept(block(0, true, 16), Some(b"a"), &part, &mut body), Ok(Progress::Next(16)));
    assert_eq!(whole.accept(block(1, true, 16), Some(b"b"), &part, &mut body), Err(BlockError::Incomplete));
    assert_eq!(whole.accept(block(1, true, 16), None, &part, &mut body), Err(BlockError::Incomplete));
    assert_eq!(whole.accept(block(2, true, 16), Some(b"a"), &part, &mut body), Err(BlockError::Incomplete));
    assert_eq!(whole.accept(block(1, true, 16), Some(b"a"), &part, &mut body), Ok(Progress::Next(32)));
    assert_eq!(whole.accept(block(1, true, 16), Some(b"a"), &part, &mut body), Ok(Progress::Next(32)), "repeated");
    assert_eq!(
        whole.accept(block(1, true, 16), Some(b"a"), &[8; 16], &mut body),
        Err(BlockError::Incomplete),
        "changed"
    );
    assert_eq!(whole.accept(block(2, false, 16), Some(b"a"), &[], &mut body), Err(BlockError::Malformed));
    assert_eq!(whole.accept(block(2, true, 16), Some(b"a"), &part, &mut body), Err(BlockError::TooLarge));
    assert_eq!(whole.accept(block(2, false, 16), Some(b"a"), &part[..8], &mut body), Ok(Progress::Complete(40)));
    assert_eq!(
        whole.accept(block(2, false, 16), Some(b"a"), &part[..8], &mut body),
        Ok(Progress::Complete(40)),
        "repeated"
    );
    assert_eq!(body, [7; 40]);
    // Block 0 begins anew.
    assert_eq!(whole.accept(block(0, false, 64), None, &[1; 3], &mut body), Ok(Progress::Complete(3)));
    assert_eq!(whole.len(), 3);
    assert_eq!(whole.accept(block(0, false, 64), None, &[], &mut body), Ok(Progress::Complete(0)));
    assert!(whole.is_empty());
    assert_eq!(BlockError::TooLarge.code(), Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(BlockError::Incomplete.code(), Code::REQUEST_ENTITY_INCOMPLETE);
    assert_eq!(BlockError::Malformed.code(), Code::BAD_REQUEST);
}

/// RFC 7959 figures 3 to 5, 7 to 8. Shows REQ-COAP-06.
#[test]
fn sizes_are_negotiated_as_in_the_examples() {
    // Figure 3: the client asks early for 64 where the server would give 128; figure 4: late.
    let body = [9; 300];
    let (first, part) = slice(&body, Block::first(BlockSize::at_most(128))).unwrap();
    assert_eq!((first.more(), part.len()), (true, 128));
    let (second, part) = slice(&body, block(2, false, 64)).unwrap();
    assert_eq!((second.offset(), second.more(), part.len()), (128, true, 64));
    let (last, part) = slice(&body, block(4, false, 64)).unwrap();
    assert_eq!((last.more(), part.len()), (false, 44));
    assert!(slice(&body, block(5, false, 64)).is_err());
    assert!(slice(&body[..256], block(4, false, 64)).is_err(), "right at the end");
    assert!(!slice(&body[..256], block(3, false, 64)).unwrap().0.more());
    assert!(slice(&[], Block::first(BlockSize::LARGEST)).unwrap().1.is_empty());

    // Figure 8: the client begins with 128, the server answers 32, and block 4 of 32 is next.
    let mut upload = Upload::new(BlockSize::at_most(128));
    assert_eq!(upload.block(&body).unwrap().0, block(0, true, 128));
    upload.acknowledged(block(0, true, 32)).unwrap();
    assert_eq!(upload.block(&body).unwrap().0, block(4, true, 32));
    assert_eq!(upload.acknowledged(block(3, true, 32)), Err(BlockError::Incomplete));
    // A server cannot make blocks larger.
    upload.acknowledged(block(4, true, 1_024)).unwrap();
    assert_eq!(upload.block(&body).unwrap().0, block(5, true, 32));
    // 4.13 with a smaller size: from the beginning (section 2.9.3).
    let mut upload = Upload::new(BlockSize::at_most(128));
    assert!(upload.shrink(block(0, false, 64)) && !upload.shrink(block(0, false, 64)));
    assert_eq!(upload.block(&body).unwrap().0, block(0, true, 64));
}

proptest! {
    /// Requests and answers are lost or come twice; the body comes whole. Shows REQ-COAP-06.
    #[test]
    fn a_body_crosses_a_lossy_link(
        body in vec(any::<u8>(), 0..2_000), client in 16_usize..1_100, server in 16_usize..1_100, luck in vec(0_u8..10, 4_000),
    ) {
        let mut luck = luck.into_iter();
        let mut lost = || luck.next().unwrap_or(9) < 2;
        let mut twice = false;
        let server = BlockSize::at_most(server);
        let mut received = vec![0; 2_000];
        let mut assembler = Assembler::new();
        let mut upload = Upload::new(BlockSize::at_most(client));
        let length = loop {
            let (sent, part) = upload.block(&body).unwrap();
            if lost() {
                continue;
            }
            twice = !twice;
            let mut progress = assembler.accept(sent, Some(b"tag"), part, &mut received).unwrap();
            if twice && sent.number() > 0 {
                progress = assembler.accept(sent, Some(b"tag"), part, &mut received).unwrap();
            }
            if lost() {
                continue;
            }
            match progress {
                Progress::Complete(length) => break length,
                Progress::Next(_) => {
                    let size = server.min(sent.size());
                    let offset = sent.number() as usize * size.bytes();
                    upload.acknowledged(Block::at(offset, true, size).unwrap()).unwrap();
                }
            }
        };
        prop_assert_eq!(&received[..length], &body[..]);

        // And back, by Block2.
        let mut assembler = Assembler::new();
        let mut wanted = Block::first(server);
        let length = loop {
            if lost() {
                continue;
            }
            let (given, part) = slice(&body, wanted).unwrap();
            match assembler.accept(given, Some(b"etag"), part, &mut received).unwrap() {
                Progress::Complete(length) => break length,
                Progress::Next(offset) => wanted = Block::at(offset, false, server).unwrap(),
            }
        };
        prop_assert_eq!(&received[..length], &body[..]);
    }

    /// Shows REQ-COAP-06.
    #[test]
    fn no_sequence_of_blocks_writes_beyond_what_it_says(
        blocks in vec((vec(any::<u8>(), 0..=3), vec(any::<u8>(), 0..70), proptest::option::of(Just(b"t"))), 1..20),
    ) {
        let (mut assembler, mut body) = (Assembler::new(), [0xaa; 100]);
        for (value, payload, tag) in &blocks {
            let Ok(read) = Block::read(value) else { continue };
            prop_assert_eq!(Block::read(&read.value().to_be_bytes()[1..]), Ok(read));
            let before = (assembler.len(), body);
            match assembler.accept(read, tag.map(|tag| &tag[..]), payload, &mut body) {
                Ok(Progress::Complete(length) | Progress::Next(length)) => {
                    prop_assert_eq!(length, assembler.len());
                    prop_assert_eq!(length, read.offset() + payload.len());
                    prop_assert_eq!(&body[read.offset()..length], &payload[..]);
                }
                Err(_) => prop_assert_eq!((assembler.len(), body), before),
            }
        }
    }
}
