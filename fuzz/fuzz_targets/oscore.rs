//! Protected messages: the option, and what is inside, with a cipher that accepts everything so that a fuzzer gets behind
//! it. What opens is protected again and opens to the same; with the real cipher nothing opens and nothing changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::Trusting;
use medlock_proto::coap::{Code, Message, MessageId, Number, Token, Type, Writer, option};
use medlock_proto::crypto::Crypto;
use medlock_proto::oscore::{
    Aead, Compressed, Id, Incoming, MAX_OVERHEAD, Parameters, Replay, SecurityContext, SenderSequence,
};
use medlock_rustcrypto::RustCrypto;

fn end(own: &[u8], peer: &[u8], crypto: &impl Crypto) -> SecurityContext {
    let parameters = Parameters {
        master_secret: &[1; 16],
        master_salt: &[],
        sender: Id::new(own).expect("short"),
        recipient: Id::new(peer).expect("short"),
        id_context: None,
        aead: Aead::Ccm64,
    };
    SecurityContext::derive(&parameters, SenderSequence::in_memory(), Replay::NoneYet, crypto).expect("they differ")
}

/// A request that registers an observation, so that notifications are opened as well.
fn registration(out: &mut [u8]) -> Message<'_> {
    let mut writer = Writer::new(out, Type::Confirmable, Code::GET, MessageId(0), Token::EMPTY);
    Message::read(writer.uint(option::OBSERVE, 0).finish().expect("it fits")).expect("it was written")
}

fn observed((number, _): &(Number, &[u8])) -> bool {
    *number == option::OBSERVE
}

fn requests(bytes: &[u8]) {
    let (mut datagram, mut out) = (bytes.to_vec(), vec![0; bytes.len()]);
    let opened = end(b"s", b"c", &Trusting).unprotect_request(&mut datagram, &mut out, &Trusting);
    let Ok(Incoming::Fresh(message, _)) = opened else { return };
    assert!(message.code().is_request() && message.option(option::OSCORE).is_none());
    let mut again = vec![0; message.as_bytes().len() + MAX_OVERHEAD];
    let Ok((protected, _)) = end(b"c", b"s", &Trusting).protect_request(&message, &mut again, &Trusting) else {
        // What is not protected is opened all the same: it is elective, or the server's affair.
        let mut observe = message.options().filter(observed);
        let odd = observe.any(|(_, value)| value.len() > 3) || message.options().filter(observed).count() > 1;
        assert!(odd || message.option(option::PROXY_URI).is_some());
        return;
    };
    let (mut datagram, mut out) = (protected.to_vec(), vec![0; protected.len()]);
    match end(b"s", b"c", &Trusting).unprotect_request(&mut datagram, &mut out, &Trusting) {
        Ok(Incoming::Fresh(repeated, _)) => assert_eq!(repeated.as_bytes(), message.as_bytes()),
        other => panic!("{other:?}"),
    }

    let (mut datagram, mut out) = (bytes.to_vec(), vec![0; bytes.len()]);
    assert!(end(b"s", b"c", &RustCrypto).unprotect_request(&mut datagram, &mut out, &RustCrypto).is_err());
}

fn responses(bytes: &[u8]) {
    let mut client = end(b"c", b"s", &Trusting);
    let (mut plain, mut protected) = ([0; 8], [0; 64]);
    let (_, mut sent) = client.protect_request(&registration(&mut plain), &mut protected, &Trusting).expect("it can");
    for _ in 0..2 {
        let (mut datagram, mut out) = (bytes.to_vec(), vec![0; bytes.len()]);
        let Ok((message, _)) = client.unprotect_response(&mut sent, &mut datagram, &mut out, &Trusting) else {
            continue;
        };
        assert!(message.code().is_response() && message.option(option::OSCORE).is_none());
        assert_eq!(sent.is_finished(), message.option(option::OBSERVE).is_none());
        // No response is taken twice.
        let (mut datagram, mut out) = (bytes.to_vec(), vec![0; bytes.len()]);
        assert!(client.unprotect_response(&mut sent, &mut datagram, &mut out, &Trusting).is_err());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&what, bytes)) = bytes.split_first() else { return };
    match what % 3 {
        0 => requests(bytes),
        1 => responses(bytes),
        _ => {
            if let Ok(read) = Compressed::read(bytes) {
                assert_eq!(
                    read.write(&mut [0; 300]).ok().map(<[u8]>::to_vec),
                    (bytes.len() <= 300).then(|| bytes.to_vec())
                );
            }
        }
    }
});
