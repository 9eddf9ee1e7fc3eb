//! The pump's application: it answers datagrams. Everything it knows of trust and protocols is in the crates.

use medlock_device::command::{Limits, Reception, Reply};
use medlock_device::platform::Ticks;
use medlock_proto::coap::{Code, Message, Type, Writer, option};
use medlock_proto::crypto::{Crypto as _, Curve, Secret};
use medlock_proto::edhoc::coap::{Request, read_request};
use medlock_proto::edhoc::responder::{Accept, AwaitMessage3, Message1, Message3, Verified3};
use medlock_proto::edhoc::{
    AuthenticationKey, CertHash, ConnectionId, Credential, CredentialReference, EadItem, Ephemeral, Method,
    OwnCredential, PeerCredential, Session, Suite,
};
use medlock_proto::oscore::{Incoming, Replay, SecurityContext, SenderSequence};
use medlock_proto::sealed::{
    Asked as Said, Challenge, Command, Concentration, Keys, Kid, Link, MAX_LENGTH, MilliUnits, Minutes, Rate, Recipient,
};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::bond::PatientContext;
use medlock_trust::crypto::{KeyAlgorithm, PublicKey};
use medlock_trust::knowledge::{Asked, Setting};
use medlock_trust::list::List;
use medlock_trust::status::{Reason, State, Ticket, TicketContent};
use medlock_trust::x509::Certificate;
use medlock_trust::{
    Anchor, Bond, Budget, CredentialId, Crypto as _, Identified, Interval, KeyId, Knowledge, Operation, Operations,
    Policy, Time, Verdict, authenticate, decide,
};

use crate::board;
use crate::flash::{JOURNAL, SimulatedFlash};
use crate::provision::Provision;

/// External authorization data: the judge's nonce in message 2, the status ticket that answers it in message 3.
pub const EAD_STATUS: u32 = 65_000;
/// The bond under which the controller commands.
const EPOCH: u64 = 7;
/// What the pump knows of the time, as its clock would say: between these two, 2026-01-02 to -03.
const TIME: (Time, Time) = (Time::from_unix(1_767_312_000), Time::from_unix(1_767_398_400));
const SUITES: [Suite; 2] = [Suite::Suite2, Suite::Suite3];
const CRYPTO: RustCrypto = RustCrypto;

const LIMITS: Limits = Limits {
    challenge_age_millis: 30_000,
    concentration: Concentration::U100,
    bolus: MilliUnits(5_000),
    basal: Rate(3_000),
    basal_minutes: Minutes(120),
    window_minutes: Minutes(24 * 60),
    window_amount: MilliUnits(12_000),
    halt_minutes: Minutes(60),
    window_halts: 3,
    lease_minutes: Minutes(15),
};

/// The pump between two datagrams.
pub struct Pump {
    step: Step,
    reception: Option<Reception>,
    drawn: u32,
    /// The nonce of the handshake under way, for the controller's status ticket.
    nonce: [u8; 8],
    /// Instructions of the last sealed message: opened, judged, recorded, answered.
    pub sealed_instructions: u64,
}

enum Step {
    Idle,
    AwaitMessage3(AwaitMessage3),
    Open(Open),
}

/// A session with the controller.
struct Open {
    session: Session,
    context: SecurityContext,
    recipient: Recipient,
    status: Believed,
}

/// What a ticket said that was verified.
struct Believed {
    authority: KeyId,
    credential: CredentialId,
    state: Option<State>,
    reason: Reason,
    epoch: u64,
    issued: Time,
    nonce: [u8; 8],
}

impl Pump {
    pub const fn new() -> Self {
        Self { step: Step::Idle, reception: None, drawn: 0, nonce: [0; 8], sealed_instructions: 0 }
    }

    /// Power on. Not inlined into the application, which is not counted: nearly all of it is the journal.
    #[inline(never)]
    pub fn boot(&mut self, flash: &mut SimulatedFlash) -> Option<()> {
        *self = Self::new();
        Reception::format(flash, &JOURNAL).ok()?;
        let (reception, _) = Reception::open(flash, &JOURNAL, LIMITS).ok()?;
        self.reception = Some(reception);
        Some(())
    }

    /// Answers a datagram into `out`.
    pub fn answer<'o>(
        &mut self,
        own: &Provision,
        flash: &mut SimulatedFlash,
        datagram: &mut [u8],
        scratch: &mut [u8],
        out: &'o mut [u8],
    ) -> Option<&'o [u8]> {
        let message = Message::read(datagram).ok()?;
        if message.option(option::OSCORE).is_some() {
            return self.protected(own, flash, datagram, scratch, out);
        }
        let (id, token) = (message.id(), message.token());
        let text = datagram.len().checked_sub(message.payload().len())?;
        let text = datagram.get_mut(text..)?;
        let mut answer = Writer::new(out, Type::Acknowledgement, Code::CHANGED, id, token);
        match read_request(text).ok()? {
            Request::Trigger => return None,
            Request::Start(message) => {
                let room = |room: &mut [u8]| self.message_1(own, message, room);
                answer.payload_with(room);
            }
            Request::Next(_, message) => {
                let length = message.len();
                let start = text.len().checked_sub(length)?;
                let message = text.get_mut(start..)?;
                let room = |room: &mut [u8]| self.message_3(own, message, scratch, room);
                answer.payload_with(room);
            }
        }
        answer.finish().ok().map(|answer| &*answer)
    }

    #[inline(never)]
    fn message_1(&mut self, own: &Provision, message: &[u8], room: &mut [u8]) -> Option<usize> {
        let accept = Accept { methods: &Method::ALL, suites: &SUITES, understood: &[] };
        let message = Message1::read(message, &accept, &CRYPTO).ok()?;
        let connection = ConnectionId::new(&[0x2a])?;
        let ephemeral = Ephemeral::new(Curve::P256, self.random(own), &CRYPTO)?;
        self.nonce = *self.random(own).expose().first_chunk()?;
        let key = own.key()?;
        let hedged = key.hedged(self.random(own));
        let credential = Credential::certificate(own.credential());
        let thumbprint = credential.thumbprint(&CRYPTO);
        let reference = CredentialReference::C5t(CertHash::short(&thumbprint));
        let credential = OwnCredential::new(credential, reference, &hedged);
        let ask = [EadItem { label: EAD_STATUS, critical: false, value: Some(&self.nonce) }];
        let (state, length) = message.message_2(&credential, connection, ephemeral, &ask, room, &CRYPTO).ok()?;
        self.step = Step::AwaitMessage3(state);
        Some(length)
    }

    /// Each step has its own frame on the stack, so that none lies below the deepest: the check of a signature.
    #[inline(never)]
    fn message_3(&mut self, own: &Provision, message: &mut [u8], scratch: &mut [u8], room: &mut [u8]) -> Option<usize> {
        let message = self.read_message_3(message)?;
        let (chain, scratch) = credential(&message, scratch)?;
        let identified = authenticated(own, chain)?;
        self.conclude(own, message, chain, identified, scratch, room)
    }

    /// The peer's ticket, its proof, message 4 and the session.
    #[inline(never)]
    fn conclude(
        &mut self,
        own: &Provision,
        message: Message3<'_>,
        chain: &[u8],
        identified: Identified,
        scratch: &mut [u8],
        room: &mut [u8],
    ) -> Option<usize> {
        let status = self.status(own, &message, identified.credential())?;
        let key = peer_key(chain, scratch.first_chunk_mut()?)?;
        let peer = PeerCredential { credential: Credential::certificate(chain), key, identified };
        self.finish(own, verified(message, peer)?, status, room)
    }

    #[inline(never)]
    fn read_message_3<'m>(&mut self, message: &'m mut [u8]) -> Option<Message3<'m>> {
        let Step::AwaitMessage3(state) = core::mem::replace(&mut self.step, Step::Idle) else { return None };
        state.read(message, &[], &CRYPTO).ok()
    }

    #[inline(never)]
    fn finish(&mut self, own: &Provision, verified: Verified3, status: Believed, room: &mut [u8]) -> Option<usize> {
        let (session, length) = verified.message_4(&[], room, &CRYPTO).ok()?;
        self.open(own, session, status)?;
        Some(length)
    }

    /// The ticket in the message, if it is about this credential.
    #[inline(never)]
    fn status(&self, own: &Provision, message: &Message3<'_>, of: CredentialId) -> Option<Believed> {
        let ticket = message.ead().find(EAD_STATUS)??;
        let list = List::danger_open(own.list()).ok()?;
        let ticket = Ticket::verify(ticket, &list, &CRYPTO).ok()?;
        let TicketContent { credential, state, reason, epoch, issued, nonce } = *ticket.content();
        if credential != of || nonce != Some(&self.nonce) {
            return None;
        }
        Some(Believed { authority: ticket.authority(), credential, state, reason, epoch, issued, nonce: self.nonce })
    }

    #[inline(never)]
    fn open(&mut self, own: &Provision, session: Session, status: Believed) -> Option<()> {
        let context = SecurityContext::from_edhoc(
            &session.oscore(&CRYPTO),
            SenderSequence::in_memory(),
            Replay::NoneYet,
            &CRYPTO,
        )
        .ok()?;
        let keys = Keys::export(|label, context, out| session.export(label, context, out, &CRYPTO)).ok()?;
        let link = Link {
            controller: session.peer().device(),
            device: own.device()?,
            controller_kid: Kid::new(session.peer_id().as_bytes())?,
            device_kid: Kid::new(session.own_id().as_bytes())?,
        };
        let floor = self.reception.as_ref()?.journal().floor(EPOCH);
        let recipient = Recipient::new(keys, link, EPOCH, floor);
        self.step = Step::Open(Open { session, context, recipient, status });
        Some(())
    }

    /// A request under OSCORE: a sealed message for the resource `m/command`.
    #[inline(never)]
    fn protected<'o>(
        &mut self,
        own: &Provision,
        flash: &mut SimulatedFlash,
        datagram: &mut [u8],
        scratch: &mut [u8],
        out: &'o mut [u8],
    ) -> Option<&'o [u8]> {
        let Step::Open(open) = &mut self.step else { return None };
        let (plain, answer) = scratch.split_at_mut_checked(scratch.len() / 2)?;
        let incoming = open.context.unprotect_request(datagram, plain, &CRYPTO).ok()?;
        let Incoming::Fresh(request, mut received) = incoming else { return None };
        if !request.path_is(&["m", "command"]) {
            return None;
        }
        let (id, token) = (request.id(), request.token());
        let mut sealed = [0; MAX_LENGTH];
        let sealed = sealed.get_mut(..request.payload().len())?;
        sealed.iter_mut().zip(request.payload()).for_each(|(to, from)| *to = *from);
        let mut answer = Writer::new(answer, Type::Acknowledgement, Code::CHANGED, id, token);
        answer.payload_with(|room| {
            let before = board::ticks();
            let length = self.sealed(own, flash, sealed, room);
            self.sealed_instructions = board::instructions_since(before);
            length
        });
        let answer = answer.finish().ok()?;
        let Step::Open(open) = &mut self.step else { return None };
        let answer = Message::read(answer).ok()?;
        let answer = open.context.protect_response(&mut received, &answer, out, &CRYPTO).ok()?;
        Some(answer)
    }

    /// A sealed message: opened, judged, recorded and answered.
    #[inline(never)]
    fn sealed(
        &mut self,
        own: &Provision,
        flash: &mut SimulatedFlash,
        message: &mut [u8],
        room: &mut [u8],
    ) -> Option<usize> {
        let now = now();
        let drawn = *self.random(own).expose().first_chunk()?;
        let Self { step: Step::Open(open), reception: Some(reception), .. } = self else { return None };
        let Open { session, recipient, status, .. } = open;
        let receipt = match recipient.open(message, &CRYPTO).ok()? {
            Said::Challenge(asked) => {
                let challenge = Challenge::from_bytes(drawn);
                return Some(reception.challenge(recipient, asked, challenge, now, room, &CRYPTO).ok()?.len());
            }
            Said::Receipt(counter) => reception.receipt(recipient, counter),
            Said::Command(received) => {
                let judge = |_: &Command, operation| judged(own, session.peer(), status, operation);
                match reception.receive(flash, recipient, received, now, judge) {
                    Reply::Receipt(receipt) => receipt,
                    // The motor is not part of this image: the bolus is under way from here on.
                    Reply::Act(act) => reception.started(act).1,
                }
            }
        };
        Some(recipient.receipt(&receipt, room, &CRYPTO).ok()?.len())
    }

    /// Thirty-two bytes nobody can foresee: here from a seed; on a chip from its noise.
    fn random(&mut self, own: &Provision) -> Secret {
        self.drawn = self.drawn.wrapping_add(1);
        CRYPTO.hmac_sha256(own.seed(), &[&self.drawn.to_be_bytes()])
    }
}

/// The C509 certificate in the message, with the head of its array, at the front of `scratch`; and what is left of it.
fn credential<'s>(message: &Message3<'_>, scratch: &'s mut [u8]) -> Option<(&'s [u8], &'s mut [u8])> {
    let CredentialReference::C5c(chain) = message.id_cred().reference()? else { return None };
    let items = chain.iter().next()?;
    let (certificate, rest) = scratch.split_at_mut_checked(items.len().checked_add(1)?)?;
    let (head, body) = certificate.split_first_mut()?;
    *head = 0x8b;
    body.iter_mut().zip(items).for_each(|(to, from)| *to = *from);
    Some((certificate, rest))
}

#[inline(never)]
fn anchor(own: &Provision) -> Option<Anchor<'_>> {
    let list = List::danger_open(own.list()).ok()?;
    list.authorities().find_map(|authority| authority.anchor())
}

#[inline(never)]
fn verified(message: Message3<'_>, peer: PeerCredential<'_>) -> Option<Verified3> {
    message.verify(peer, &CRYPTO).ok()
}

/// Who the peer is, if an authority of the list says so.
#[inline(never)]
fn authenticated(own: &Provision, certificate: &[u8]) -> Option<Identified> {
    let anchor = anchor(own)?;
    authenticate(&[certificate], &[anchor], &mut Budget::default(), &CRYPTO).ok()
}

#[inline(never)]
fn peer_key<'k>(certificate: &[u8], full: &'k mut [u8; 97]) -> Option<AuthenticationKey<'k>> {
    let certificate = Certificate::read(certificate).ok()?;
    let key = certificate.public_key()?;
    let bits = CRYPTO.decompress(KeyAlgorithm::P256, key.bits, full)?;
    AuthenticationKey::of(PublicKey { algorithm: KeyAlgorithm::P256, bits })
}

/// May this controller do this now?
#[inline(never)]
fn judged(own: &Provision, peer: &Identified, status: &Believed, operation: Operation) -> Verdict {
    let Believed { authority, credential, state, reason, epoch, issued, nonce } = status;
    let content = TicketContent {
        credential: *credential,
        state: *state,
        reason: *reason,
        epoch: *epoch,
        issued: *issued,
        nonce: Some(nonce),
    };
    let list = List::danger_open(own.list()).ok();
    let time = Interval::new(TIME.0, Some(TIME.1)).unwrap_or(Interval::since(TIME.0));
    let knowledge = Knowledge {
        lists: list.as_slice(),
        ticket: Some(Ticket::danger_believe(*authority, content)),
        asked: Some(Asked { nonce, seconds_ago: 60 }),
        ..Knowledge::nothing(time, Setting::Home)
    };
    let bond = own.controller().map(|controller| Bond {
        controller,
        patient: PatientContext([1; 16]),
        operations: Operations::of(&[Operation::Treat, Operation::Halt, Operation::Configure]),
        epoch: EPOCH,
    });
    decide(peer, operation, &knowledge, &Policy::default(), bond.as_ref())
}

/// Ticks of this boot.
fn now() -> Ticks {
    Ticks::from_millis(u64::from((u32::MAX - board::ticks()) / 25_000))
}
