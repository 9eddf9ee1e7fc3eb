//! A peer made of the protocols alone: it sends what no device would.

use crate::platform::{Dice, point};
use crate::site::{DAY, START};
use crate::world::{World, address};
use medlock_device::Address;
use medlock_device::platform::Rng as _;
use medlock_proto::coap::{Code, Message, MessageId, Token, Type, Writer, content_format, option};
use medlock_proto::crypto::{Curve, Secret};
use medlock_proto::edhoc::initiator::{self, AwaitMessage2, Offer};
use medlock_proto::edhoc::{
    self, AuthenticationKey, Certificates, ConnectionId, Credential, CredentialReference, Ephemeral, Method,
    OwnCredential, PeerCredential, Session, Suite,
};
use medlock_proto::oscore::{Replay, SecurityContext, SenderSequence, Sent};
use medlock_rustcrypto::{RustCrypto, SoftwareKey};
use medlock_trust::Budget;
use medlock_trust::authenticate::authenticate;
use medlock_trust::role::Role;
use medlock_trust::x509::Certificate;

pub(crate) struct Raw {
    pub(crate) address: Address,
    pub(crate) method: Method,
    pub(crate) key: SoftwareKey,
    pub(crate) certificate: Vec<u8>,
    pub(crate) dice: Dice,
    pub(crate) connection: u8,
    pub(crate) next_id: u16,
    pub(crate) session: Option<(Session, SecurityContext)>,
    /// The certificate that the device showed.
    met: Option<Vec<u8>>,
}

impl Raw {
    /// A device of the site.
    pub(crate) fn new(world: &mut World, number: u8, name: &str, role: Role) -> Self {
        let key = world.dice.key();
        let validity = (START.plus_seconds(-DAY), START.plus_seconds(90 * DAY));
        let certificate = world.site.root.issue(name, &[role], &key, validity);
        let dice = Dice(world.dice.next());
        let address = address(number);
        Self {
            address,
            method: Method::SignSign,
            key,
            certificate,
            dice,
            connection: 0x10,
            next_id: 7_000,
            session: None,
            met: None,
        }
    }

    /// The same with a certificate that allows the key what `bits` of keyUsage say.
    pub(crate) fn with_key_usage(mut self, world: &World, bits: u16) -> Self {
        let validity = (START.plus_seconds(-DAY), START.plus_seconds(90 * DAY));
        let leaf = Certificate::read(&self.certificate).unwrap();
        let name = leaf.subject().only(medlock_trust::x509::ids::SERIAL_NUMBER).unwrap().as_str().unwrap().to_string();
        self.certificate = world.site.root.issue_for(&name, &[Role::Controller], &point(&self.key), validity, bits);
        self
    }

    pub(crate) fn id(&mut self) -> MessageId {
        self.next_id = self.next_id.wrapping_add(1);
        MessageId(self.next_id)
    }

    /// Hands a datagram to a device, and gives what it answers at once.
    pub(crate) fn deliver(&mut self, world: &mut World, to: usize, datagram: &[u8]) -> Vec<Vec<u8>> {
        let now = world.ticks();
        let before = world.wire.len();
        world.sdk(to).handle_datagram(now, self.address, &mut datagram.to_vec());
        world.drain(to);
        let answers = world.wire[before..].iter().filter(|(_, to, _)| *to == self.address);
        answers.map(|(.., datagram)| datagram.clone()).collect()
    }

    fn edhoc(id: MessageId, stamp: Option<&[u8]>, payload: &[u8]) -> Vec<u8> {
        let mut out = [0; 900];
        let mut writer = Writer::new(&mut out, Type::Confirmable, Code::POST, id, Token::EMPTY);
        writer.path(&edhoc::coap::PATH).uint(option::CONTENT_FORMAT, content_format::CID_EDHOC.into());
        if let Some(stamp) = stamp {
            writer.option(option::ECHO, stamp);
        }
        writer.payload(payload).finish().unwrap().to_vec()
    }

    /// Message 1 of a new handshake, as a payload.
    pub(crate) fn message_1(&mut self) -> (AwaitMessage2, Vec<u8>) {
        let mut secret = [0; 32];
        self.dice.fill(&mut secret);
        secret[0] &= 0x7f;
        let ephemeral = Ephemeral::new(Curve::P256, Secret::from_bytes(secret), &RustCrypto).unwrap();
        let connection = ConnectionId::new(&[self.connection]).unwrap();
        let suites = [Suite::Suite2];
        let offer = Offer { method: self.method, suites: &suites, selected: Suite::Suite2, connection, ead: &[] };
        let mut out = [0; 200];
        let head = edhoc::coap::write_start(&mut out).unwrap();
        let (state, length) = initiator::start(&offer, ephemeral, &mut out[head..], &RustCrypto).unwrap();
        (state, out[..head + length].to_vec())
    }

    /// Sends message 1, proves that it is reachable if asked, and gives message 2.
    pub(crate) fn greet(&mut self, world: &mut World, to: usize) -> Option<(AwaitMessage2, Vec<u8>)> {
        let (state, message) = self.message_1();
        let id = self.id();
        let mut answer = self.deliver(world, to, &Self::edhoc(id, None, &message)).pop()?;
        let read = Message::read(&answer).unwrap();
        if read.code() == Code::UNAUTHORIZED {
            let stamp = read.option(option::ECHO)?.to_vec();
            let id = self.id();
            answer = self.deliver(world, to, &Self::edhoc(id, Some(&stamp), &message)).pop()?;
        }
        let read = Message::read(&answer).unwrap();
        (read.code() == Code::CHANGED).then(|| (state, read.payload().to_vec()))
    }

    /// What it makes of message 2: message 3, as a payload.
    pub(crate) fn message_3(
        &mut self,
        world: &World,
        state: AwaitMessage2,
        mut message_2: Vec<u8>,
    ) -> Option<(initiator::Unconfirmed, Vec<u8>)> {
        let read = state.read(&mut message_2, &[], &RustCrypto).ok()?;
        // By value, or by the name of what it saw before.
        let certificate = match read.id_cred().reference() {
            Some(CredentialReference::C5c(shown)) => [&[0x8b], shown.iter().next().unwrap()].concat(),
            Some(_) => self.met.clone().unwrap(),
            None => panic!("one reference"),
        };
        self.met = Some(certificate.clone());
        let leaf = Certificate::read(&certificate).unwrap();
        let anchors = world.site.anchors();
        let anchors: Vec<_> = anchors.iter().map(|authority| authority.anchor().unwrap()).collect();
        let identified = authenticate(&[&certificate], &anchors, &mut Budget::default(), &RustCrypto).unwrap();
        let key = AuthenticationKey::of(leaf.public_key().unwrap()).unwrap();
        let peer = PeerCredential { credential: Credential::certificate(&certificate), key, identified };
        let verified = read.verify(peer, &RustCrypto).ok()?;
        let chain = [self.certificate.as_slice()];
        let reference = CredentialReference::C5c(Certificates::c509(&chain));
        let own = OwnCredential::new(Credential::certificate(&self.certificate), reference, &self.key);
        let mut out = [0; 800];
        let head = edhoc::coap::write_next(verified.peer_id(), &mut out).unwrap();
        let (unconfirmed, length) = verified.message_3(&own, &[], &mut out[head..], &RustCrypto).unwrap();
        Some((unconfirmed, out[..head + length].to_vec()))
    }

    /// Finishes a handshake.
    pub(crate) fn finish(
        &mut self,
        world: &mut World,
        to: usize,
        (unconfirmed, message_3): (initiator::Unconfirmed, Vec<u8>),
    ) -> Option<()> {
        let id = self.id();
        let answer = self.deliver(world, to, &Self::edhoc(id, None, &message_3)).pop()?;
        let read = Message::read(&answer).unwrap();
        let mut message_4 = read.payload().to_vec();
        let (session, _) = unconfirmed.read_message_4(&mut message_4, &[], &RustCrypto).ok()?;
        let (sequence, input) = (SenderSequence::in_memory(), session.oscore(&RustCrypto));
        let context = SecurityContext::from_edhoc(&input, sequence, Replay::NoneYet, &RustCrypto).unwrap();
        self.session = Some((session, context));
        Some(())
    }

    /// A session, if the device gives one.
    pub(crate) fn connect(&mut self, world: &mut World, to: usize) -> Option<()> {
        let (state, message_2) = self.greet(world, to)?;
        let third = self.message_3(world, state, message_2)?;
        self.finish(world, to, third)
    }

    /// A protected request.
    pub(crate) fn seal(&mut self, id: MessageId, code: Code, path: &[&str], query: Option<&[u8]>) -> (Vec<u8>, Sent) {
        let (mut plain, mut out) = ([0; 400], [0; 500]);
        let mut writer = Writer::new(&mut plain, Type::Confirmable, code, id, Token::new(&[1, 2]).unwrap());
        writer.path(path);
        if let Some(query) = query {
            writer.option(option::URI_QUERY, query);
        }
        let message = Message::read(writer.payload(&[]).finish().unwrap()).unwrap();
        let (_, context) = self.session.as_mut().unwrap();
        let (sealed, sent) = context.protect_request(&message, &mut out, &RustCrypto).unwrap();
        (sealed.to_vec(), sent)
    }

    /// Asks, and gives code and payload of the answer.
    pub(crate) fn get(&mut self, world: &mut World, to: usize, path: &[&str], query: Option<&[u8]>) -> (Code, Vec<u8>) {
        let id = self.id();
        self.get_with(world, to, id, path, query).expect("an answer for this request")
    }

    /// The same with a message id of one's choice; `None` if no answer to this request comes.
    pub(crate) fn get_with(
        &mut self,
        world: &mut World,
        to: usize,
        id: MessageId,
        path: &[&str],
        query: Option<&[u8]>,
    ) -> Option<(Code, Vec<u8>)> {
        let (sealed, mut sent) = self.seal(id, Code::GET, path, query);
        let answers = self.deliver(world, to, &sealed);
        let (_, context) = self.session.as_mut().unwrap();
        answers.into_iter().find_map(|mut answer| {
            let mut out = [0; 900];
            let (message, _) = context.unprotect_response(&mut sent, &mut answer, &mut out, &RustCrypto).ok()?;
            Some((message.code(), message.payload().to_vec()))
        })
    }
}
