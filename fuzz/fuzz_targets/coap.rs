//! CoAP messages: whatever is read is written again to the same bytes, and questions about it have answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_proto::coap::block::Block;
use medlock_proto::coap::{Exchange, Header, Message, Pending, Transmission, Type, Writer, observe, option, refuse};

fuzz_target!(|bytes: &[u8]| {
    let refused = refuse(bytes);
    let header = Header::read(bytes);
    assert_eq!(refused.is_some(), header.is_ok_and(|header| header.kind == Type::Confirmable));
    let Ok(message) = Message::read(bytes) else { return };
    let mut out = vec![0; bytes.len() + 1];
    let mut writer = Writer::new(&mut out, message.kind(), message.code(), message.id(), message.token());
    let mut before = 0;
    for (number, value) in message.options() {
        assert!(before <= number.0);
        before = number.0;
        writer.option(number, value);
    }
    let written = writer.payload(message.payload()).finish().expect("it was read from as many bytes");
    assert_eq!(written, bytes);
    let known = [option::URI_PATH, option::BLOCK1, option::BLOCK2, option::OSCORE, option::ACCEPT];
    assert!(message.unrecognized(&known).is_none_or(|number| number.is_critical()));
    assert!(
        message.unrecognized(&[]).is_none() || message.unrecognized(&[]).is_some_and(|number| number.is_critical())
    );
    let _ = (message.content_format(), observe::Wish::of(&message), message.path_is(&["m", "objects"]));
    for number in [option::BLOCK1, option::BLOCK2] {
        if let Ok(Some(block)) = Block::of(&message, number) {
            assert_eq!(Block::read(&block.value().to_be_bytes()[1..]), Ok(block));
        }
    }
    let mut exchange = Exchange::new(&message, 5, 7, Transmission::DEFAULT);
    let _ = exchange.on_message(&message, 6);
    let _ = exchange.on_timeout(exchange.next_deadline());
    let mut pending = Pending::new(&message, 5);
    assert_eq!(pending.acknowledge().is_some(), message.kind() == Type::Confirmable);
});
