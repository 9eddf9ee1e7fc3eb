//! Power fails at each step: no number is used twice, no old request carried out (RFC 8613 appendix B.1, RFC 9175).

use crate::oscore::{answer, ask, end, hear, plain, receive};
use medlock_proto::coap::{Code, Message, MessageId, Token, Type, option, repeat_with};
use medlock_proto::oscore::{
    Aead, Compressed, Error, Incoming, MAX_OVERHEAD, Received, Replay, SecurityContext, SenderSequence, Sent,
};
use medlock_rustcrypto::RustCrypto;
use std::collections::BTreeSet;

/// What a device does between power on and power off; the power fails before step `fails_at`.
struct Power {
    step: usize,
    fails_at: usize,
}

struct Off;

impl Power {
    fn step(&mut self) -> Result<(), Off> {
        self.step += 1;
        if self.step > self.fails_at { Err(Off) } else { Ok(()) }
    }
}

/// One life of a sender: it reserves three numbers at a time, sends ten requests, and writes what it used to `used`.
fn live(flash: &mut u64, power: &mut Power, used: &mut Vec<u64>) -> Result<(), Off> {
    let mut context = end(Aead::Ccm64, b"c", b"s", SenderSequence::resume(*flash), Replay::Lost);
    let request = plain(Code::POST, &[], b"reading");
    for _ in 0..10 {
        if context.left() == 0 {
            let mut out = [0; 99];
            let refused = context.protect_request(&Message::read(&request).unwrap(), &mut out, &RustCrypto);
            assert_eq!(refused.unwrap_err(), Error::NothingReserved, "not one beyond what is stored");
            let reservation = context.reserve(3);
            power.step()?;
            *flash = reservation.bound();
            power.step()?;
            context.stored(reservation);
        }
        power.step()?;
        let (datagram, _) = ask(&mut context, &request);
        used.push(Compressed::of(&Message::read(&datagram).unwrap()).unwrap().partial_iv.unwrap());
        power.step()?;
    }
    Ok(())
}

/// Shows REQ-OSC-04.
#[test]
fn no_number_is_used_twice_wherever_power_fails() {
    let mut steps = 0;
    for first in 0..30 {
        for second in 0..30 {
            let (mut flash, mut used) = (0, Vec::new());
            for fails_at in [first, second, usize::MAX] {
                let mut power = Power { step: 0, fails_at };
                let _ = live(&mut flash, &mut power, &mut used);
                steps = steps.max(power.step);
            }
            let once: BTreeSet<_> = used.iter().collect();
            assert_eq!(once.len(), used.len(), "power failed at {first} and {second}: {used:?}");
            assert!(used.len() >= 10 && *used.last().unwrap() < flash);
            // At most what was reserved and not used is lost.
            assert!(flash <= used.len() as u64 + 3 * 3, "{flash} for {}", used.len());
        }
    }
    assert!(steps < 30, "the power failed at each of {steps} steps");
}

#[test]
fn a_sequence_gives_what_is_stored_and_ends() {
    let mut sequence = SenderSequence::default();
    let (first, second) = (sequence.reserve(5), sequence.reserve(9));
    assert_eq!((first.bound(), second.bound(), sequence.left()), (5, 9, 0));
    sequence.stored(second);
    sequence.stored(first);
    assert_eq!(sequence.left(), 9, "a smaller bound takes nothing back");
    let sequence = SenderSequence::resume((1 << 40) - 2);
    assert_eq!(sequence.reserve(100).bound(), 1 << 40);
}

fn rebooted() -> SecurityContext {
    end(Aead::Ccm64, b"s", b"c", reserved(100), Replay::Lost)
}

fn reserved(from: u64) -> SenderSequence {
    let mut sequence = SenderSequence::resume(from);
    let reservation = sequence.reserve(100);
    sequence.stored(reservation);
    sequence
}

fn open(server: &mut SecurityContext, datagram: &[u8]) -> Result<Option<Vec<u8>>, Received> {
    let (mut datagram, mut out) = (datagram.to_vec(), vec![0; datagram.len()]);
    match server.unprotect_request(&mut datagram, &mut out, &RustCrypto).unwrap() {
        Incoming::Fresh(message, _) => Ok(Some(message.as_bytes().to_vec())),
        Incoming::Unfresh(received) => Err(received),
    }
}

fn challenge(server: &mut SecurityContext, received: &mut Received, random: u8) -> Vec<u8> {
    let header = (Type::Acknowledgement, MessageId(0x1234), Token::from([5; 8]));
    let mut out = [0; 100];
    server.challenge(received, header, [random; 8], &mut out, &RustCrypto).unwrap().to_vec()
}

/// The client repeats its request with the Echo it was given.
fn repeat(client: &mut SecurityContext, sent: &mut Sent, request: &[u8], challenge: &[u8]) -> (Vec<u8>, Sent) {
    let answer = hear(client, sent, challenge).unwrap();
    let answer = Message::read(&answer).unwrap();
    assert_eq!((answer.code(), answer.payload()), (Code::UNAUTHORIZED, &[][..]));
    assert_eq!(answer.options().count(), 1, "only Echo");
    let mut out = vec![0; request.len() + MAX_OVERHEAD];
    let request = Message::read(request).unwrap();
    let echo = (option::ECHO, answer.option(option::ECHO).unwrap());
    let again = repeat_with(&request, MessageId(0x1235), request.token(), echo, &mut out).unwrap();
    ask(client, again)
}

/// Shows REQ-OSC-05.
#[test]
fn after_a_reboot_the_first_request_must_be_fresh() {
    let request = plain(Code::POST, &[(option::URI_PATH, b"lease")], b"epoch 7");
    let mut client = end(Aead::Ccm64, b"c", b"s", SenderSequence::in_memory(), Replay::NoneYet);
    let mut server = end(Aead::Ccm64, b"s", b"c", reserved(0), Replay::NoneYet);
    let old: Vec<_> = (0..20).map(|_| ask(&mut client, &request).0).collect();
    for datagram in &old {
        receive(&mut server, datagram).unwrap();
    }

    let mut server = rebooted();
    // Everything is replayed, and nothing carried out.
    let mut replayed = Vec::new();
    for datagram in &old {
        let mut received = open(&mut server, datagram).unwrap_err();
        replayed.push(challenge(&mut server, &mut received, 1));
    }
    let (first, mut sent) = ask(&mut client, &request);
    let (late, mut sent_late) = ask(&mut client, &request);
    let mut received = open(&mut server, &first).unwrap_err();
    let asked = challenge(&mut server, &mut received, 2);
    // Challenges for other requests do not fit this one.
    for challenge in &replayed {
        assert_eq!(hear(&mut client, &mut sent, challenge).unwrap_err(), Error::Forged);
    }
    // Whoever replays in between makes the true answer not void.
    let mut received = open(&mut server, &old[3]).unwrap_err();
    let _ = challenge(&mut server, &mut received, 3);
    let (second, mut sent_second) = repeat(&mut client, &mut sent, &request, &asked);
    let opened = open(&mut server, &second).unwrap().unwrap();
    let opened = Message::read(&opened).unwrap();
    assert!(opened.path_is(&["lease"]) && opened.payload() == b"epoch 7");
    // Everything up to it is old now.
    for datagram in old.iter().chain([&first, &late, &second]) {
        assert_eq!(receive(&mut server, datagram).unwrap_err(), Error::Replayed);
    }
    let (next, _) = ask(&mut client, &request);
    let (_, mut received) = receive(&mut server, &next).unwrap();
    // Numbers of the server go on where the stored ones ended; none serves twice.
    let numbers: Vec<_> = replayed.iter().chain([&asked]).map(|datagram| number_of(datagram).unwrap()).collect();
    assert_eq!(numbers, (100..121).collect::<Vec<_>>());
    assert_eq!(number_of(&answer(&mut server, &mut received, &plain(Code::CHANGED, &[], b""))), None);
    assert!(!sent_second.is_finished());
    assert!(hear(&mut client, &mut sent_late, &asked).is_err() && hear(&mut client, &mut sent_second, &asked).is_err());
}

fn number_of(datagram: &[u8]) -> Option<u64> {
    Compressed::of(&Message::read(datagram).unwrap()).unwrap().partial_iv
}

/// The power fails at each step of the challenge; what was sent before it is replayed afterwards. Shows REQ-OSC-05.
#[test]
fn a_challenge_is_good_for_one_life() {
    let request = plain(Code::POST, &[(option::URI_PATH, b"lease")], b"epoch 7");
    for fails_after in 0..4 {
        let mut client = end(Aead::Ccm64, b"c", b"s", SenderSequence::in_memory(), Replay::NoneYet);
        let mut server = rebooted();
        let (first, mut sent) = ask(&mut client, &request);
        let mut heard = vec![first.clone()];
        let mut carried_out = 0;
        if fails_after > 0 {
            let mut received = open(&mut server, &first).unwrap_err();
            let asked = challenge(&mut server, &mut received, 1);
            if fails_after > 1 {
                let (second, _) = repeat(&mut client, &mut sent, &request, &asked);
                heard.push(second.clone());
                if fails_after > 2 {
                    carried_out += u32::from(open(&mut server, &second).is_ok());
                }
            }
        }
        // The power fails. The server comes back with the next numbers and another random value.
        let mut server = end(Aead::Ccm64, b"s", b"c", reserved(200), Replay::Lost);
        for datagram in &heard {
            let mut received = open(&mut server, datagram).unwrap_err();
            let _ = challenge(&mut server, &mut received, 2);
            assert!(open(&mut server, datagram).is_err(), "a value of the life before, or none");
        }
        let (datagram, mut sent) = ask(&mut client, &request);
        let mut received = open(&mut server, &datagram).unwrap_err();
        let asked = challenge(&mut server, &mut received, 2);
        let (second, _) = repeat(&mut client, &mut sent, &request, &asked);
        carried_out += u32::from(open(&mut server, &second).is_ok());
        assert_eq!(carried_out, 1 + u32::from(fails_after > 2));
        for datagram in &heard {
            assert_eq!(receive(&mut server, datagram).unwrap_err(), Error::Replayed);
        }
    }
}

/// Without reserved numbers there is no challenge either: its answer needs one. Shows REQ-OSC-05.
#[test]
fn a_challenge_needs_a_number_of_its_own() {
    let mut client = end(Aead::Ccm64, b"c", b"s", SenderSequence::in_memory(), Replay::NoneYet);
    let mut server = end(Aead::Ccm64, b"s", b"c", SenderSequence::resume(7), Replay::Lost);
    let (datagram, _) = ask(&mut client, &plain(Code::GET, &[], b""));
    let mut received = open(&mut server, &datagram).unwrap_err();
    let header = (Type::Acknowledgement, MessageId(1), Token::EMPTY);
    let mut out = [0; 99];
    let refused = server.challenge(&mut received, header, [1; 8], &mut out, &RustCrypto);
    assert_eq!(refused.unwrap_err(), Error::NothingReserved);
    assert_eq!(Error::NothingReserved.code(), Some(Code::SERVICE_UNAVAILABLE));
}
