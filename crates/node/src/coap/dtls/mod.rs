//! DTLS 1.2 under the engine, for EST over coaps (RFC 9148): associations without their socket.
//!
//! dimpl makes the handshake and the records. Ours are:
//! - the cookie (RFC 6347 section 4.2.1): until an address has repeated one, nothing is kept of it, and what is sent there is
//!   smaller than what came;
//! - who the peer is: dimpl shows its certificate alone, and [`Peers`] completes the path;
//! - the bounds ([`Limits`]): of handshakes under way and of associations, in all, of an IP address, and of a device.
//!
//! An association is told by the address of its peer; DTLS 1.2 has connection identifiers in an extension (RFC 9146) that dimpl
//! does not have. A device whose address changes makes a new handshake.

mod crypto;
mod records;

use super::bounded::Bounded;
use super::credentials::Peers;
use super::engine::{Limits, MAX_DATAGRAM, Room};
use super::pace::Addresses;
use crate::Error;
use crate::identity::IdentityStore;
use crate::provider::{AwsLc, random};
use crate::sessions::denied_everything;
use bytes::Bytes;
use dimpl::{Config, Dtls, DtlsCertificate, Output};
use medlock_proto::crypto::Secret;
use medlock_trust::Identified;
use medlock_trust::x509::Certificate;
use records::{Alert, ClientHello};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records that wait for one that is missing. A client's longest flight has five messages.
const MAX_QUEUE: usize = 16;
/// The most messages that are sent over one association: each has a random nonce of 64 bits.
const MAX_SENT: u32 = 1 << 20;

/// What associations tell.
#[derive(Debug)]
pub enum Heard {
    /// Send this datagram.
    Send(SocketAddr, Bytes),
    /// The peer at this address is this one, and has shown this certificate (DER).
    Opened(SocketAddr, Box<Identified>, Bytes),
    /// The peer at this address says this.
    Message(SocketAddr, Bytes),
    /// The association with this address is gone.
    Closed(SocketAddr),
}

/// DTLS associations without their socket.
#[derive(Debug)]
pub struct Associations {
    own: IdentityStore,
    peers: Arc<Peers>,
    limits: Limits,
    config: Arc<Config>,
    cookies: Secret,
    start: Instant,
    begun: Addresses,
    half_open: Bounded<SocketAddr, HalfOpen>,
    open: Bounded<SocketAddr, Association>,
    room: Room,
}

#[derive(Debug)]
struct HalfOpen {
    dtls: Dtls,
    /// The hello's random bytes, by which its repetitions are known.
    random: [u8; 32],
    due: u64,
    peer: Option<(Identified, Bytes)>,
}

#[derive(Debug)]
struct Association {
    dtls: Dtls,
    random: [u8; 32],
    who: Identified,
    used: u64,
    due: u64,
    sent: u32,
}

/// What one turn of dimpl brought.
#[derive(Debug, Default)]
struct Turn {
    packets: Vec<Bytes>,
    certificate: Option<Bytes>,
    connected: bool,
    messages: Vec<Bytes>,
    closed: bool,
    /// The association is of no use any more.
    failed: bool,
    due: u64,
}

impl Associations {
    /// None yet. `own` is shown, its first certificate alone; `peers` says who others are.
    ///
    /// # Errors
    /// [`Error::Tls`] if dimpl does not take the settings.
    pub fn new(own: IdentityStore, peers: Arc<Peers>, limits: Limits) -> Result<Self, Error> {
        let config = Config::builder()
            .with_crypto_provider(crypto::provider())
            .dtls13_cipher_suites(&[])
            .require_client_certificate(true)
            .use_server_cookie(true)
            .handshake_timeout(Duration::from_millis(limits.half_open_ms.max(1)))
            .max_queue_rx(MAX_QUEUE)
            .build();
        let failed = |error: dimpl::Error| rustls::Error::General(error.to_string());
        let config = config.map_err(|error| Error::Tls { with: "DTLS".to_owned(), source: failed(error) })?;
        Ok(Self {
            own,
            peers,
            limits,
            config: Arc::new(config),
            cookies: Secret::from_bytes(random()),
            start: Instant::now(),
            begun: Addresses::new(limits.addresses),
            half_open: Bounded::new(limits.half_open),
            open: Bounded::new(limits.contexts),
            room: Room::new(limits.contexts, limits.contexts_per_device),
        })
    }

    /// A datagram came at `now` (milliseconds of any clock that does not go back).
    pub fn datagram(&mut self, now: u64, from: SocketAddr, datagram: &[u8], out: &mut Vec<Heard>) {
        if let Some(hello) = ClientHello::read(datagram) {
            let random = hello.random();
            let under_way = self.half_open.peek(&from).is_some_and(|half| half.random == random)
                || self.open.peek(&from).is_some_and(|open| open.random == random);
            match hello.cookie(self.cookies.expose(), from, now, &AwsLc) {
                None => {
                    let request = hello.verify_request(self.cookies.expose(), from, now, &AwsLc);
                    if request.len() <= datagram.len() {
                        out.push(Heard::Send(from, request.into()));
                    }
                    return;
                }
                Some(cookie) if !under_way => return self.begin(now, from, &hello, cookie, datagram, out),
                Some(_) => {}
            }
        }
        let at = self.at(now);
        // A handshake that has not come to its certificate takes nothing away from the association that stands.
        let stands = self.open.peek(&from).is_some() && records::is_protected(datagram);
        if let Some(half) = self.half_open.get(&from).filter(|half| half.peer.is_some() || !stands) {
            let turned = turn(&mut half.dtls, at, Some(datagram), self.start);
            self.half_turned(now, from, turned, out);
        } else if let Some(open) = self.open.get(&from) {
            let turned = turn(&mut open.dtls, at, Some(&records::for_open(datagram)), self.start);
            self.turned(now, from, turned, out);
        }
    }

    /// Sends a message to the peer at this address.
    pub fn send(&mut self, now: u64, to: SocketAddr, message: &[u8], out: &mut Vec<Heard>) {
        let at = self.at(now);
        let Some(open) = self.open.get(&to) else { return };
        open.sent = open.sent.saturating_add(1);
        let spent = open.sent > MAX_SENT;
        let sent = !spent && open.dtls.send_application_data(message).is_ok();
        let turned = turn(&mut open.dtls, at, None, self.start);
        let turned = Turn { failed: turned.failed || !sent, ..turned };
        self.turned(now, to, turned, out);
    }

    /// Ends the association with this address, and tells its peer.
    pub fn close(&mut self, now: u64, with: SocketAddr, out: &mut Vec<Heard>) {
        let at = self.at(now);
        let Some(mut open) = self.open.remove(&with) else { return };
        if open.dtls.close().is_ok() {
            let turned = turn(&mut open.dtls, at, None, self.start);
            out.extend(turned.packets.into_iter().map(|packet| Heard::Send(with, packet)));
        }
        out.push(Heard::Closed(with));
    }

    /// Does what is due at `now`.
    pub fn tick(&mut self, now: u64, out: &mut Vec<Heard>) {
        let at = self.at(now);
        let due: Vec<_> = self.half_open.iter().filter(|(_, half)| half.due <= now).map(|(from, _)| *from).collect();
        for from in due {
            let Some(half) = self.half_open.get(&from) else { continue };
            let turned = turn(&mut half.dtls, at, None, self.start);
            self.half_turned(now, from, turned, out);
        }
        let idle = self.limits.context_idle_ms;
        let over = self.open.iter().filter(|(_, open)| now >= open.used.saturating_add(idle));
        for with in over.map(|(with, _)| *with).collect::<Vec<_>>() {
            self.close(now, with, out);
        }
        let due: Vec<_> = self.open.iter().filter(|(_, open)| open.due <= now).map(|(from, _)| *from).collect();
        for from in due {
            let Some(open) = self.open.get(&from) else { continue };
            let turned = turn(&mut open.dtls, at, None, self.start);
            self.turned(now, from, turned, out);
        }
    }

    /// When [`Associations::tick`] is due at the latest.
    #[must_use]
    pub fn next_tick(&self, now: u64) -> Option<u64> {
        let half = self.half_open.iter().map(|(_, half)| half.due);
        let idle = self.limits.context_idle_ms;
        let open = self.open.iter().map(|(_, open)| open.due.min(open.used.saturating_add(idle)));
        half.chain(open).min().map(|at| at.max(now + 1))
    }

    /// Handshakes under way, and associations.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.half_open.len(), self.open.len())
    }

    fn at(&self, now: u64) -> Instant {
        self.start + Duration::from_millis(now)
    }

    /// A handshake with somebody who receives at this address.
    fn begin(
        &mut self,
        now: u64,
        from: SocketAddr,
        hello: &ClientHello<'_>,
        cookie: [u8; records::COOKIE],
        datagram: &[u8],
        out: &mut Vec<Heard>,
    ) {
        let Some(own) = self.own.current().filter(|own| crypto::can_sign(own.key())) else { return };
        if !self.begun.take(now, from.ip(), self.limits.handshakes_per_address) {
            return;
        }
        let (at, start, config) = (self.at(now), self.start, self.config.clone());
        let shown = DtlsCertificate { certificate: own.own().to_vec(), private_key: Vec::new() };
        let (dtls, turned) = crypto::with(crypto::Given { key: own.key().clone(), cookie }, || {
            let mut dtls = Dtls::new_12(config, shown, at);
            // The first exchange was made without dimpl: what it now asks for is the cookie that is there already.
            turn(&mut dtls, at, Some(&hello.first()), start);
            let turned = turn(&mut dtls, at, Some(datagram), start);
            (dtls, turned)
        });
        // A hello that it cannot read, having only suites that it does not know, dimpl passes over in silence.
        if turned.failed || turned.packets.is_empty() {
            tracing::info!(%from, "no DTLS association: no cipher suite, group or version in common");
            out.push(Heard::Send(from, Alert::HandshakeFailure.record().into()));
            return;
        }
        self.half_open.remove(&from);
        while let Some(oldest) = oldest_of(&self.half_open, from.ip(), self.limits.half_open_per_address) {
            self.half_open.remove(&oldest);
        }
        self.half_open.insert(from, HalfOpen { dtls, random: hello.random(), due: turned.due, peer: None });
        out.extend(turned.packets.into_iter().map(|packet| Heard::Send(from, packet)));
    }

    fn half_turned(&mut self, now: u64, from: SocketAddr, mut turned: Turn, out: &mut Vec<Heard>) {
        if turned.failed {
            self.half_open.remove(&from);
            return out.extend(turned.packets.into_iter().map(|packet| Heard::Send(from, packet)));
        }
        if let Some(certificate) = turned.certificate.take() {
            match self.identify(from, &certificate) {
                Err(alert) => {
                    self.half_open.remove(&from);
                    out.push(Heard::Send(from, alert.record().into()));
                    return;
                }
                Ok(who) => {
                    if let Some(half) = self.half_open.get(&from) {
                        half.peer = Some((who, certificate));
                    }
                }
            }
        }
        if !turned.connected {
            out.extend(turned.packets.into_iter().map(|packet| Heard::Send(from, packet)));
            if let Some(half) = self.half_open.get(&from) {
                half.due = turned.due;
            }
            return;
        }
        // dimpl has asked for a certificate and checked that its key signed.
        let Some(HalfOpen { dtls, random, peer: Some((who, certificate)), .. }) = self.half_open.remove(&from) else {
            return;
        };
        if self.open.remove(&from).is_some() {
            out.push(Heard::Closed(from));
        }
        self.make_room(now, from, &who, out);
        let open = Association { dtls, random, who: who.clone(), used: now, due: turned.due, sent: 0 };
        if let Some((gone, _)) = self.open.insert(from, open) {
            out.push(Heard::Closed(gone));
        }
        out.push(Heard::Opened(from, Box::new(who), certificate));
        self.turned(now, from, turned, out);
    }

    /// What came of an association that is open.
    fn turned(&mut self, now: u64, from: SocketAddr, turned: Turn, out: &mut Vec<Heard>) {
        if let Some(open) = self.open.get(&from) {
            open.due = turned.due;
            if !turned.messages.is_empty() {
                open.used = now;
            }
        }
        out.extend(turned.packets.into_iter().map(|packet| Heard::Send(from, packet)));
        out.extend(turned.messages.into_iter().map(|message| Heard::Message(from, message)));
        if turned.closed || turned.failed {
            self.open.remove(&from);
            out.push(Heard::Closed(from));
        }
    }

    /// Ends associations so that there is room for one more of `who`, at this address.
    fn make_room(&mut self, now: u64, from: SocketAddr, who: &Identified, out: &mut Vec<Heard>) {
        let held: Vec<_> = self.open.iter().map(|(with, open)| (*with, &open.who)).collect();
        for gone in self.room.surplus(&held, who) {
            self.close(now, gone, out);
        }
        while let Some(oldest) = oldest_of(&self.open, from.ip(), self.limits.contexts_per_address) {
            self.close(now, oldest, out);
        }
    }

    /// Who has this certificate. That it has the key too, dimpl finds out before the handshake is complete.
    fn identify(&self, from: SocketAddr, certificate: &[u8]) -> Result<Identified, Alert> {
        let who = self.peers.identify_alone(certificate).map_err(|why| {
            tracing::info!(%from, ?why, "no DTLS association: the peer's credential is not believed");
            Alert::CertificateUnknown
        })?;
        if !Certificate::read(certificate).is_ok_and(|own| own.key_may_sign()) {
            tracing::info!(%from, device = %who.device_name(), "no DTLS association: the peer's key is not for signing");
            return Err(Alert::CertificateUnknown);
        }
        if let Some(denied) = denied_everything(self.peers.knowledge(), &who) {
            let device = who.device_name();
            tracing::info!(%from, %device, code = ?denied.code, "no DTLS association: the peer may do nothing");
            return Err(Alert::CertificateRevoked);
        }
        Ok(who)
    }
}

/// The one of this IP address that was used longest ago, if it has as many as it may.
fn oldest_of<V>(held: &Bounded<SocketAddr, V>, address: IpAddr, most: usize) -> Option<SocketAddr> {
    let mut same = held.iter().filter(|(with, _)| with.ip() == address).map(|(with, _)| *with);
    let oldest = same.next()?;
    (same.count() + 1 >= most.max(1)).then_some(oldest)
}

/// Gives dimpl the time and a datagram, and takes all that it has to say.
fn turn(dtls: &mut Dtls, at: Instant, datagram: Option<&[u8]>, start: Instant) -> Turn {
    let done = dtls.handle_timeout(at).and_then(|()| datagram.map_or(Ok(()), |datagram| dtls.handle_packet(datagram)));
    if let Err(error) = &done {
        tracing::debug!(%error, "a DTLS association ends");
    }
    // What is to be sent then is an alert.
    let (mut turn, mut buffer) = (Turn { failed: done.is_err(), ..Turn::default() }, vec![0; MAX_DATAGRAM]);
    loop {
        match dtls.poll_output(&mut buffer) {
            Output::Packet(packet) => turn.packets.push(Bytes::copy_from_slice(packet)),
            Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
            Output::Connected => turn.connected = true,
            Output::PeerCert(certificate) => turn.certificate = Some(Bytes::copy_from_slice(certificate)),
            Output::ApplicationData(message) => turn.messages.push(Bytes::copy_from_slice(message)),
            Output::CloseNotify => turn.closed = true,
            Output::Timeout(due) => {
                let due = due.saturating_duration_since(start).as_millis();
                turn.due = u64::try_from(due).unwrap_or(u64::MAX).saturating_add(1);
                return turn;
            }
            _ => {}
        }
    }
}
