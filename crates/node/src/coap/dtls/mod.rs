//! DTLS 1.2 under the engine, for EST over coaps (RFC 9148): associations without their socket.
//!
//! dimpl makes the handshake and the records. Ours are:
//! - the cookie (RFC 6347 section 4.2.1): until an address has repeated one, nothing is kept of it, and what is sent there is
//!   smaller than what came;
//! - who the peer is: dimpl shows its certificate alone, and [`Peers`] completes the path;
//! - the bounds ([`Limits`]): of handshakes under way, in all, of a network and of an IP address, and of associations, in all,
//!   of an IP address, and of a device. Whoever has most handshakes under way makes room for the next one.
//!
//! An association is told by the address of its peer; DTLS 1.2 has connection identifiers in an extension (RFC 9146) that dimpl
//! does not have. A device whose address changes makes a new handshake.

mod crypto;
mod records;

use super::bounded::Bounded;
use super::credentials::Peers;
use super::engine::{Limits, MAX_DATAGRAM, Room};
use super::pace::{Begun, surplus};
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
    begun: Begun,
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
            begun: Begun::new(limits.addresses),
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
        if !self.begun.take(now, from.ip(), self.limits.beginnings()) {
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
        let held: Vec<_> = self.half_open.iter().map(|(with, _)| (*with, with.ip())).collect();
        if let Some(gone) = surplus(&held, from.ip(), self.limits.under_way()) {
            self.half_open.remove(&gone);
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
            tracing::info!(%from, %device, code = %denied.code, "no DTLS association: the peer may do nothing");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::identity::Identity;
    use crate::knowledge::KnowledgeBase;
    use medlock_trust::Time;
    use medlock_trust::policy::Setting;

    /// A key and a certificate for it, made with `openssl req -x509`.
    const OWN: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1okZS+KVCXuHJhAh\n\
        sLMPpz9BPXva5HNhs8freOj1WUWhRANCAATAVGX1G11kowoew/4HxIBlNxSvfm6h\n\
        kJJOPN019UbnTfiJ0yVVW8KBivx0UImunQv5OtS3ubI1E2TePJgmT33d\n\
        -----END PRIVATE KEY-----\n\
        -----BEGIN CERTIFICATE-----\n\
        MIIBcTCCARegAwIBAgIUPnid2WtLSHdX7LDR0ZaYW5x3g5UwCgYIKoZIzj0EAwIw\n\
        DjEMMAoGA1UEAwwDaHViMB4XDTI2MTEyMjE1MzMyMFoXDTM2MTExOTE1MzMyMFow\n\
        DjEMMAoGA1UEAwwDaHViMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEwFRl9Rtd\n\
        ZKMKHsP+B8SAZTcUr35uoZCSTjzdNfVG5034idMlVVvCgYr8dFCJrp0L+TrUt7my\n\
        NRNk3jyYJk993aNTMFEwHQYDVR0OBBYEFBYQxs67+ARupbEEg9TUyxhfYYXiMB8G\n\
        A1UdIwQYMBaAFBYQxs67+ARupbEEg9TUyxhfYYXiMA8GA1UdEwEB/wQFMAMBAf8w\n\
        CgYIKoZIzj0EAwIDSAAwRQIgYSeTDDovoEaIeeQPAm+ql4ZGiIT4UhpmCLjvs48F\n\
        d8YCIQCoKwiZUjtIHVE3OSLfB7oI1rNRVaAAfoJIH5D2+rKXuw==\n\
        -----END CERTIFICATE-----\n";

    fn door(limits: Limits) -> Associations {
        let knowledge = KnowledgeBase::in_memory(Clock::manual(Time::from_unix(1_800_000_000)), Setting::Hospital);
        let own = IdentityStore::in_memory(Some(Identity::from_pem(OWN.as_bytes()).unwrap()));
        Associations::new(own, Arc::new(Peers::new(knowledge)), limits).unwrap()
    }

    /// A hello with this cookie: P-256, ECDSA with SHA-256, extended master secret.
    fn hello(random: u64, cookie: &[u8]) -> Vec<u8> {
        let random = [&random.to_be_bytes()[..], &[0; 24]].concat();
        let (cookie_length, number) = (u8::try_from(cookie.len()).unwrap(), u8::from(!cookie.is_empty()));
        let suite = [0, 2, 0xc0, 0x2b, 1, 0];
        let extensions = [0, 22, 0, 23, 0, 0, 0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 6, 0, 4, 4, 3, 2, 3];
        let body = [&[0xfe, 0xfd], &random[..], &[0, cookie_length], cookie, &suite, &extensions].concat();
        let length = [0, 0, u8::try_from(body.len()).unwrap()];
        let message = [&[1], &length[..], &[0, number, 0, 0, 0], &length, &body].concat();
        let size = u8::try_from(message.len()).unwrap();
        [&[22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, number, 0, size], &message[..]].concat()
    }

    /// Begins a handshake at this address, with the cookie that is asked for.
    fn begin(door: &mut Associations, now: u64, from: SocketAddr, random: u64) {
        let mut out = Vec::new();
        door.datagram(now, from, &hello(random, &[]), &mut out);
        let Some(Heard::Send(_, asked)) = out.first() else { panic!("asked for a cookie") };
        let again = hello(random, &asked[asked.len() - records::COOKIE..]);
        door.datagram(now, from, &again, &mut out);
    }

    /// Begins `each` handshakes at each of these IP addresses in every tenth of a second, for three seconds, beside one that
    /// began before; gives the most that were under way, and whether that one still is.
    fn flood(door: &mut Associations, addresses: &[IpAddr], each: u16) -> (usize, bool) {
        let genuine: SocketAddr = "[2001:db8:ffff::1]:5684".parse().unwrap();
        begin(door, 0, genuine, u64::MAX);
        let (mut random, mut most) = (0, 0);
        for now in (0..3_000).step_by(100) {
            for (address, port) in addresses.iter().flat_map(|address| (0..each).map(move |port| (*address, port))) {
                random += 1;
                begin(door, now, (address, 1_000 + port + u16::try_from(now).unwrap()).into(), random);
                most = most.max(door.counts().0);
            }
            door.tick(now, &mut Vec::new());
        }
        (most, door.half_open.peek(&genuine).is_some())
    }

    /// Shows REQ-COAP-78: in virtual time; all of them receive at their addresses.
    #[test]
    fn handshakes_of_a_few_places_throw_nobody_elses_out() {
        let limits = Limits::default();
        let nine: Vec<IpAddr> = (1..=9).map(|host| IpAddr::from([192, 0, 2, host])).collect();
        let many: Vec<IpAddr> =
            (1..=400).map(|host| IpAddr::from([0x2001, 0xdb8, 0, host % 9, 0, 0, 0, host])).collect();
        for (addresses, each) in [(nine, 8), (many, 1)] {
            let (most, stays) = flood(&mut door(limits), &addresses, each);
            assert!(stays && most == limits.half_open, "{most}");
        }
        let one: Vec<IpAddr> = (1..=400).map(|host| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host])).collect();
        let (most, stays) = flood(&mut door(limits), &one, 1);
        assert!(stays && most == limits.half_open_per_network + 1, "{most}");
    }

    /// Shows REQ-COAP-79: in virtual time.
    #[test]
    fn so_many_handshakes_begin_in_a_second_and_a_newcomer_is_one_of_them() {
        let (half_open, half_open_per_address, half_open_per_network) = (10_000, 10_000, 10_000);
        let limits = Limits { half_open, half_open_per_address, half_open_per_network, ..Limits::default() };
        let mut door = door(limits);
        let many: Vec<IpAddr> = (1..=40).map(|host| IpAddr::from([198, 51, 100, host])).collect();
        let (most, _) = flood(&mut door, &many, 4);
        let all = usize::try_from(limits.handshakes).unwrap();
        assert!(most <= 5 * all && most >= 3 * all, "{most}");
        let late: SocketAddr = "203.0.113.1:5684".parse().unwrap();
        begin(&mut door, 2_901, late, 7 << 32);
        assert!(door.half_open.peek(&late).is_some());
    }
}
