//! Messages after a handshake: OSCORE (RFC 8613) and sealed commands, with the cryptography that servers and chips share:
//! AES-CCM in Rust.

use super::Row;
use crate::Failure;
use medlock_proto::coap::{Code, Message, MessageId, Token, Type, Writer, option};
use medlock_proto::oscore::{
    Aead, Id, Incoming, MAX_OVERHEAD, MAX_SEALED, Parameters, Replay, SecurityContext, SenderSequence,
};
use medlock_proto::sealed::{
    Action, Asked, Challenge, Commander, Concentration, Keys, Kid, Link, MAX_LENGTH, Memory, MilliUnits, Order,
    Outcome, Receipt, Recipient, Standing, StateVersion, Told,
};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::DeviceId;
use std::hint::black_box;

const PROVIDER: &str = "rustcrypto";
const SIZE: usize = 200 + MAX_OVERHEAD;

/// A request alone, one with its response, and a forged one.
pub(super) fn oscore() -> Result<Vec<Row>, Failure> {
    let mut pair = Ends::new()?;
    let request = written(Code::POST)?;
    let request_alone = Row::new("a request of 100 bytes", PROVIDER, move || pair.request(&request, None));
    let mut pair = Ends::new()?;
    let (request, response) = (written(Code::POST)?, written(Code::CONTENT)?);
    let both = Row::new("a request and its response, 100 bytes each", PROVIDER, move || {
        pair.request(&request, Some(&response))
    });
    Ok(vec![request_alone, both.without_target(), forged()?.without_target()])
}

/// What it costs to refuse.
fn forged() -> Result<Row, Failure> {
    let request = written(Code::POST)?;
    let mut datagram = [0; SIZE];
    let (bytes, _) = end(b"c", b"s")?.protect_request(&Message::read(&request)?, &mut datagram, &RustCrypto)?;
    let length = bytes.len();
    part(&mut datagram, length).last_mut().map(|last| *last ^= 1).ok_or("an empty message")?;
    let mut server = end(b"s", b"c")?;
    Ok(Row::new("a forged request of 100 bytes, refused", PROVIDER, move || {
        if server.is_lost() {
            server = end(b"s", b"c")?;
        }
        let (mut copy, mut opened) = (datagram, [0; SIZE]);
        match server.unprotect_request(part(&mut copy, length), &mut opened, &RustCrypto) {
            Ok(_) => Err("a forged request was opened".into()),
            Err(_) => Ok(()),
        }
    }))
}

/// A context protects so many messages and no more; then both ends are made anew, and that counts too.
struct Ends {
    client: SecurityContext,
    server: SecurityContext,
    left: u64,
}

impl Ends {
    fn new() -> Result<Self, Failure> {
        Ok(Self { client: end(b"c", b"s")?, server: end(b"s", b"c")?, left: MAX_SEALED / 2 - 1 })
    }

    fn request(&mut self, request: &[u8], response: Option<&[u8]>) -> Result<(), Failure> {
        self.left -= 1;
        if self.left == 0 {
            *self = Self::new()?;
        }
        let (mut datagram, mut opened) = ([0; SIZE], [0; SIZE]);
        let request = Message::read(black_box(request))?;
        let (bytes, mut sent) = self.client.protect_request(&request, &mut datagram, &RustCrypto)?;
        let length = bytes.len();
        let sealed = part(&mut datagram, length);
        let Incoming::Fresh(_, mut received) = self.server.unprotect_request(sealed, &mut opened, &RustCrypto)? else {
            return Err("a request that is not fresh".into());
        };
        if let Some(response) = response {
            let response = Message::read(response)?;
            let length = self.server.protect_response(&mut received, &response, &mut datagram, &RustCrypto)?.len();
            let sealed = part(&mut datagram, length);
            black_box(self.client.unprotect_response(&mut sent, sealed, &mut opened, &RustCrypto)?);
        }
        Ok(())
    }
}

fn end(own: &[u8], peer: &[u8]) -> Result<SecurityContext, Failure> {
    let parameters = Parameters {
        master_secret: &[1; 16],
        master_salt: &[2; 8],
        sender: Id::new(own).ok_or("short")?,
        recipient: Id::new(peer).ok_or("short")?,
        id_context: None,
        aead: Aead::Ccm64,
    };
    Ok(SecurityContext::derive(&parameters, SenderSequence::in_memory(), Replay::NoneYet, &RustCrypto)?)
}

fn written(code: Code) -> Result<Vec<u8>, Failure> {
    let mut out = [0; 200];
    let mut writer = Writer::new(&mut out, Type::NonConfirmable, code, MessageId(1), Token::from([3; 8]));
    if code.is_request() {
        writer.path(&["m", "readings"]);
    }
    Ok(writer.uint(option::CONTENT_FORMAT, 60).payload(&[7; 100]).finish()?.to_vec())
}

/// A whole bolus, both sides: challenge asked and given, command, receipt; each sealed and opened.
pub(super) fn sealed() -> Result<Vec<Row>, Failure> {
    let mut session = Sealed::new()?;
    Ok(vec![Row::new("challenge, command and receipt, both sides", PROVIDER, move || session.bolus())])
}

struct Sealed {
    commander: Commander,
    recipient: Recipient,
    drawn: u64,
}

impl Sealed {
    /// How many exchanges a session has here before it is made anew.
    const MOST: u64 = 100_000;

    fn new() -> Result<Self, Failure> {
        let (controller, device) = (DeviceId::from_bytes([0xc0; 16]), DeviceId::from_bytes([0xd0; 16]));
        let kid = |number: u8| Kid::new(&[number]).ok_or("short");
        let link = Link { controller, device, controller_kid: kid(12)?, device_kid: kid(13)? };
        let keys = || {
            Keys::export(|label, _, out| {
                out.fill(label as u8);
                Ok::<_, std::convert::Infallible>(())
            })
        };
        let commander = Commander::new(keys()?, link, 7, Memory::default());
        Ok(Self { commander, recipient: Recipient::new(keys()?, link, 7, 0), drawn: 0 })
    }

    fn bolus(&mut self) -> Result<(), Failure> {
        if self.drawn == Self::MOST {
            *self = Self::new()?;
        }
        let (crypto, state) = (&RustCrypto, StateVersion(41));
        let (mut here, mut there) = ([0; MAX_LENGTH], [0; MAX_LENGTH]);
        let length = self.commander.ask_challenge(&mut here, crypto)?.len();
        let Asked::Challenge(asked) = self.recipient.open(part(&mut here, length), crypto)? else {
            return Err("no challenge was asked".into());
        };
        self.drawn += 1;
        let drawn = Challenge::from_bytes(self.drawn.to_be_bytes());
        let standing = Standing { state, floor: self.recipient.highest(), bolus: None };
        let length = self.recipient.challenge(asked, drawn, standing, 0, &mut there, crypto)?.len();
        self.commander.open(part(&mut there, length), crypto)?;
        let action =
            Action::Bolus { amount: MilliUnits(50), concentration: Concentration::U100, bound: MilliUnits(5_000) };
        let (counter, sealed) = self.commander.command(Order { action, evidence: None }, &mut here, crypto)?;
        let length = sealed.len();
        let Asked::Command(received) = self.recipient.open(part(&mut here, length), crypto)? else {
            return Err("nothing was commanded".into());
        };
        black_box(self.recipient.admit(received, state, 0, 30_000).map_err(|refusal| format!("{refusal:?}"))?);
        let receipt = Receipt { counter, outcome: Outcome::Done { delivered: MilliUnits(50) }, mark: None };
        let length = self.recipient.receipt(&receipt, &mut there, crypto)?.len();
        let Told::Receipt(_) = self.commander.open(part(&mut there, length), crypto)? else {
            return Err("no receipt".into());
        };
        Ok(())
    }
}

fn part(buffer: &mut [u8], length: usize) -> &mut [u8] {
    buffer.get_mut(..length).unwrap_or_default()
}
