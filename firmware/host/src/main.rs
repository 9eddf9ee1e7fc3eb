//! The controller of the pump in QEMU: a handshake by each method, then a bolus, and what each cost the pump.
//!
//! `medlock-firmware-host IMAGE` runs QEMU on the image and prints one JSON object.

mod line;
mod site;

use std::process::ExitCode;

use line::{Cost, Line};
use medlock_proto::coap::{Code, Message, MessageId, Token, Type, Writer};
use medlock_proto::crypto::{Curve, Secret};
use medlock_proto::edhoc::initiator::{self, Offer};
use medlock_proto::edhoc::{
    AuthenticationKey, Certificates, ConnectionId, Credential, CredentialReference, EadItem, Ephemeral, Method,
    OwnCredential, PeerCredential, Session, Suite, coap,
};
use medlock_proto::oscore::{Replay, SecurityContext, SenderSequence};
use medlock_proto::sealed::{
    Action, Commander, Concentration, Keys, Kid, Link, MAX_LENGTH, Memory, MilliUnits, Order, Outcome, Told,
};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::list::List;
use medlock_trust::{Budget, authenticate};
use serde_json::{Value, json};
use site::{CONTROLLER, PUMP, Site};

/// As in the image: the judge's nonce in message 2, the ticket that answers it in message 3.
const EAD_STATUS: u32 = 65_000;
/// The bond under which the controller commands.
const EPOCH: u64 = 7;
const CRYPTO: RustCrypto = RustCrypto;

/// What failed, in words.
pub(crate) type Result<T, E = String> = std::result::Result<T, E>;

pub(crate) fn what<E: std::fmt::Debug>(doing: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{doing}: {error:?}")
}

fn main() -> ExitCode {
    let Some(image) = std::env::args().nth(1) else {
        eprintln!("usage: medlock-firmware-host IMAGE");
        return ExitCode::from(2);
    };
    match Method::ALL.into_iter().map(|method| session(&image, method)).collect::<Result<Vec<Value>>>() {
        Ok(sessions) => {
            println!("{:#}", json!({ "emulated": true, "sessions": sessions }));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Power on, a handshake by `method`, a challenge, a bolus, and the same bolus replayed.
fn session(image: &str, method: Method) -> Result<Value> {
    let site = Site::new();
    let mut line = Line::open(image)?;
    line.provision(&site.provision())?;
    let (session, handshake) = handshake(&site, &mut line, method)?;
    let mut controller = Controller::new(&session)?;
    let challenge = controller.ask(&mut line)?;
    let (bolus, message, outcome) = controller.bolus(&mut line)?;
    if outcome != Outcome::Started {
        return Err(format!("the pump did not start: {outcome:?}"));
    }
    let again = controller.send(&mut line, &message)?.0;
    let twice = controller.commander.open(&mut again.clone(), &CRYPTO).map_err(what("receipt of a replay"))?;
    if !matches!(twice, Told::Receipt(receipt) if receipt.outcome == Outcome::Started) {
        return Err(format!("a replay was answered with {twice:?}"));
    }
    Ok(json!({
        "method": method.number(),
        "handshake": handshake.iter().sum::<Cost>().json(),
        "message_1": handshake[0].json(),
        "message_3": handshake[1].json(),
        "challenge": challenge.json(),
        "command": bolus.json(),
    }))
}

fn handshake(site: &Site, line: &mut Line, method: Method) -> Result<(Session, [Cost; 2])> {
    let mut buffer = [0; 640];
    let own_id = ConnectionId::new(&[0x0c]).ok_or("an identifier")?;
    let suites = [Suite::Suite2];
    let offer = Offer { method, suites: &suites, selected: Suite::Suite2, connection: own_id, ead: &[] };
    let ephemeral =
        Ephemeral::new(Curve::P256, Secret::from_bytes(site::random()), &CRYPTO).ok_or("an ephemeral key")?;
    let head = coap::write_start(&mut buffer).map_err(what("message 1"))?;
    let (state, length) =
        initiator::start(&offer, ephemeral, &mut buffer[head..], &CRYPTO).map_err(what("message 1"))?;
    let (mut message_2, first) = post(line, 1, &[".well-known", "edhoc"], &buffer[..head + length])?;
    let message = state.read(&mut message_2, &[], &CRYPTO).map_err(what("message 2"))?;
    let nonce = message.ead().find(EAD_STATUS).flatten().ok_or("the pump sent no nonce")?.to_vec();
    let list = List::danger_open(&site.list).map_err(what("list"))?;
    let anchor = list.authorities().find_map(|authority| authority.anchor()).ok_or("no authority")?;
    let identify = |certificate: &[u8]| authenticate(&[certificate], &[anchor], &mut Budget::default(), &CRYPTO);
    let peer = PeerCredential {
        credential: Credential::certificate(&site.pump),
        key: AuthenticationKey::P256(&site.pump_point),
        identified: identify(&site.pump).map_err(what("the pump's credential"))?,
    };
    let verified = message.verify(peer, &CRYPTO).map_err(what("message 2 of the pump"))?;
    let ticket = site.ticket(&nonce);
    let chain = [site.controller.as_slice()];
    let reference = CredentialReference::C5c(Certificates::c509(&chain));
    let own = OwnCredential::new(Credential::certificate(&site.controller), reference, &site.controller_key);
    let head = coap::write_next(verified.peer_id(), &mut buffer).map_err(what("message 3"))?;
    let status = [EadItem { label: EAD_STATUS, critical: false, value: Some(&ticket) }];
    let (unconfirmed, length) =
        verified.message_3(&own, &status, &mut buffer[head..], &CRYPTO).map_err(what("message 3"))?;
    let (mut message_4, second) = post(line, 2, &[".well-known", "edhoc"], &buffer[..head + length])?;
    let confirmed = unconfirmed.read_message_4(&mut message_4, &[], &CRYPTO);
    let (session, _) = confirmed.map_err(|rejected| format!("message 4: {:?}", rejected.error))?;
    Ok((session, [first, second]))
}

/// Sends a request and returns the payload of its response.
fn post(line: &mut Line, id: u16, path: &[&str], payload: &[u8]) -> Result<(Vec<u8>, Cost)> {
    let mut request = [0; 704];
    let request = Writer::new(&mut request, Type::Confirmable, Code::POST, MessageId(id), token())
        .path(path)
        .payload(payload)
        .finish()
        .map_err(what("request"))?;
    let (answer, cost) = line.ask(request)?;
    let answer = Message::read(&answer).map_err(what("the pump's answer"))?;
    Ok((answer.payload().to_vec(), cost))
}

fn token() -> Token {
    Token::new(&[0x70]).unwrap_or(Token::EMPTY)
}

struct Controller {
    context: SecurityContext,
    commander: Commander,
    next_id: u16,
}

impl Controller {
    fn new(session: &Session) -> Result<Self> {
        let context = SecurityContext::from_edhoc(
            &session.oscore(&CRYPTO),
            SenderSequence::in_memory(),
            Replay::NoneYet,
            &CRYPTO,
        )
        .map_err(what("OSCORE"))?;
        let keys =
            Keys::export(|label, context, out| session.export(label, context, out, &CRYPTO)).map_err(what("keys"))?;
        let link = Link {
            controller: site::device_id(CONTROLLER),
            device: site::device_id(PUMP),
            controller_kid: Kid::new(session.own_id().as_bytes()).ok_or("an identifier")?,
            device_kid: Kid::new(session.peer_id().as_bytes()).ok_or("an identifier")?,
        };
        Ok(Self { context, commander: Commander::new(keys, link, EPOCH, Memory::default()), next_id: 10 })
    }

    /// A sealed message there, and what came back.
    fn send(&mut self, line: &mut Line, sealed: &[u8]) -> Result<(Vec<u8>, Cost)> {
        self.next_id += 1;
        let (mut plain, mut protected, mut opened) = ([0; 256], [0; 320], [0; 320]);
        let plain = Writer::new(&mut plain, Type::Confirmable, Code::POST, MessageId(self.next_id), token())
            .path(&["m", "command"])
            .payload(sealed)
            .finish()
            .map_err(what("request"))?;
        let plain = Message::read(plain).map_err(what("request"))?;
        let (request, mut sent) =
            self.context.protect_request(&plain, &mut protected, &CRYPTO).map_err(what("OSCORE request"))?;
        let (mut answer, cost) = line.ask(request)?;
        let (answer, _) = self
            .context
            .unprotect_response(&mut sent, &mut answer, &mut opened, &CRYPTO)
            .map_err(what("OSCORE response"))?;
        Ok((answer.payload().to_vec(), cost))
    }

    fn ask(&mut self, line: &mut Line) -> Result<Cost> {
        let mut message = [0; MAX_LENGTH];
        let message = self.commander.ask_challenge(&mut message, &CRYPTO).map_err(what("asking"))?.to_vec();
        let (mut answer, cost) = self.send(line, &message)?;
        match self.commander.open(&mut answer, &CRYPTO).map_err(what("challenge"))? {
            Told::Ready(_) => Ok(cost),
            Told::Receipt(receipt) => Err(format!("a receipt instead of a challenge: {receipt:?}")),
        }
    }

    fn bolus(&mut self, line: &mut Line) -> Result<(Cost, Vec<u8>, Outcome)> {
        let action =
            Action::Bolus { amount: MilliUnits(1_500), concentration: Concentration::U100, bound: MilliUnits(3_000) };
        let mut message = [0; MAX_LENGTH];
        let order = Order { action, evidence: None };
        let (_, message) = self.commander.command(order, &mut message, &CRYPTO).map_err(what("sealing"))?;
        let message = message.to_vec();
        let (mut answer, cost) = self.send(line, &message)?;
        match self.commander.open(&mut answer, &CRYPTO).map_err(what("receipt"))? {
            Told::Receipt(receipt) => Ok((cost, message, receipt.outcome)),
            Told::Ready(_) => Err("a challenge instead of a receipt".into()),
        }
    }
}
