//! EDHOC over CoAP.

use super::*;
use medlock_proto::edhoc::coap::{self, Request};

/// RFC 9528 appendix A.2.
///
/// Shows REQ-EDHOC-11.
#[test]
fn requests_are_told_apart() {
    let id = |bytes: &[u8]| ConnectionId::new(bytes).unwrap();
    assert_eq!(coap::read_request(&[]), Ok(Request::Trigger));
    assert_eq!(coap::read_request(&[0xf5, 3, 2]), Ok(Request::Start(&[3, 2])));
    assert_eq!(coap::read_request(&[0x01, 0x41, 0]), Ok(Request::Next(id(&[1]), &[0x41, 0])));
    assert_eq!(coap::read_request(&[0x42, 1, 2, 0x40]), Ok(Request::Next(id(&[1, 2]), &[0x40])));
    for malformed in [&[0xf5][..], &[0x01], &[0x41, 1, 1], &[0x42, 1], &[0xf4, 1], &[0x61, 0x61, 1]] {
        assert_eq!(coap::read_request(malformed), Err(Error::Malformed), "{malformed:02x?}");
    }
    assert_eq!(coap::read_request(&[0x48, 1, 2, 3, 4, 5, 6, 7, 8, 1]), Err(Error::ConnectionId));

    let mut payload = [9; 4];
    assert_eq!(coap::write_start(&mut payload), Ok(1));
    assert_eq!(coap::read_request(&payload), Ok(Request::Start(&[9; 3])));
    for connection in [id(&[]), id(&[5]), id(&[0x18]), id(&[1, 2, 3])] {
        let mut payload = [9; 8];
        let at = coap::write_next(connection, &mut payload).unwrap();
        assert_eq!(coap::read_request(&payload), Ok(Request::Next(connection, &payload[at..])));
        assert_eq!(coap::write_next(connection, &mut payload[..at - 1]), Err(Error::NoRoom));
    }
}

/// The example of RFC 9668 section 3.4.
///
/// Shows REQ-EDHOC-12.
#[test]
fn a_combined_request_is_joined_and_split() {
    let message_3 = unhex("52d5535f3147e85f1cfacd9e78abf9e0a81bbf");
    let ciphertext = unhex("612f1092f1776f1c1668b3825e");
    let mut payload = [0; 64];
    payload[..message_3.len()].copy_from_slice(&message_3);
    let length = coap::join(&mut payload, message_3.len(), &ciphertext).unwrap();
    assert_eq!(payload[..length], [&message_3[..], &ciphertext].concat());
    let (first, second) = coap::split(&mut payload[..length]).unwrap();
    assert_eq!((&*first, &*second), (&message_3[..], &ciphertext[..]));
    assert_eq!(coap::join(&mut payload[..31], 19, &ciphertext), Err(Error::NoRoom));
    for cut in 0..=message_3.len() {
        assert_eq!(coap::split(&mut payload[..cut]).unwrap_err(), Error::Malformed);
    }
    // Nothing but one byte string, shortest form, may lead.
    for malformed in [&mut [0x01, 1, 1][..], &mut [0x58, 1, 1, 1], &mut [0x5f, 0x41, 1, 0xff, 1]] {
        assert_eq!(coap::split(malformed).unwrap_err(), Error::Malformed);
    }
}

#[test]
fn response_codes_say_whose_fault_it_was() {
    assert_eq!(coap::response_code(&Error::Malformed), 0x80);
    assert_eq!(coap::response_code(&Error::OwnKey), 0xa0);
}
