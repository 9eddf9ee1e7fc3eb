//! What is read and written of DTLS 1.2 before there is an association: `ClientHello`, `HelloVerifyRequest`, alerts
//! (RFC 6347 sections 4.1 and 4.2).

use medlock_proto::crypto::Crypto;
use std::net::SocketAddr;

/// Bytes of a cookie.
pub(super) const COOKIE: usize = 32;
/// Bytes of a record's head and of a handshake message's.
const RECORD_HEAD: usize = 13;
const HANDSHAKE_HEAD: usize = 12;
/// The content types and message types that are used here.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const HELLO_VERIFY_REQUEST: u8 = 3;
/// What goes before versions are agreed on is said in DTLS 1.0's name.
const DTLS_1_0: [u8; 2] = [0xfe, 0xff];
const DTLS_1_2: [u8; 2] = [0xfe, 0xfd];
/// Above any number that a handshake uses: so an alert is no repetition.
const ALERT_SEQUENCE: [u8; 6] = [0, 1, 0, 0, 0, 0];
/// How long a cookie is good at least, in milliseconds; at most twice as long.
const COOKIE_MS: u64 = 60_000;

/// Why a handshake ends (RFC 5246 section 7.2).
#[derive(Clone, Copy, Debug)]
pub(super) enum Alert {
    HandshakeFailure = 40,
    CertificateRevoked = 44,
    CertificateUnknown = 46,
}

impl Alert {
    /// The fatal alert, unprotected.
    pub(super) fn record(self) -> Vec<u8> {
        record(ALERT, DTLS_1_2, ALERT_SEQUENCE, &[2, self as u8])
    }
}

/// A `ClientHello` that came whole, in a datagram of its own. It is the client's first message, or its second, with a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientHello<'a> {
    /// The record's number.
    sequence: [u8; 6],
    /// Version, random, session: which stay the same when it is sent again with a cookie.
    before: &'a [u8],
    cookie: &'a [u8],
    /// Cipher suites and all that follows.
    after: &'a [u8],
}

impl<'a> ClientHello<'a> {
    /// Reads the datagram; `None` for anything else.
    pub(super) fn read(datagram: &'a [u8]) -> Option<Self> {
        let (head, fragment) = datagram.split_first_chunk::<RECORD_HEAD>()?;
        let [HANDSHAKE, 0xfe, 0xff | 0xfd, 0, 0, sequence @ .., high, low] = head else { return None };
        if usize::from(u16::from_be_bytes([*high, *low])) != fragment.len() {
            return None;
        }
        let (head, body) = fragment.split_first_chunk::<HANDSHAKE_HEAD>()?;
        let [CLIENT_HELLO, total @ .., _, _, 0, 0, 0, _, _, _] = head else { return None };
        let (total, part): ([u8; 3], [u8; 3]) = (*total.first_chunk()?, *head.last_chunk()?);
        if total != part || usize::try_from(u32::from_be_bytes([0, total[0], total[1], total[2]])).ok()? != body.len() {
            return None;
        }
        let session = usize::from(*body.get(34)?);
        let (before, rest) = body.split_at_checked(35 + session)?;
        let (length, rest) = rest.split_first()?;
        let (cookie, after) = rest.split_at_checked((*length).into())?;
        Some(Self { sequence: *sequence.first_chunk()?, before, cookie, after })
    }

    /// The client's random bytes: the same in a repetition, others in another handshake.
    pub(super) fn random(&self) -> [u8; 32] {
        self.before.get(2..34).and_then(<[u8]>::first_chunk).copied().unwrap_or_default()
    }

    /// The cookie, if it is one that was given to this address for this hello a short time ago.
    pub(super) fn cookie(&self, key: &[u8], from: SocketAddr, now: u64, crypto: &impl Crypto) -> Option<[u8; COOKIE]> {
        let shown: [u8; COOKIE] = *self.cookie.first_chunk().filter(|_| self.cookie.len() == COOKIE)?;
        let period = now / COOKIE_MS;
        let given = [Some(period), period.checked_sub(1)].into_iter().flatten();
        let mut good = given.map(|period| self.cookie_of(key, from, period, crypto));
        good.any(|given| crate::provider::same_secret(&given, &shown)).then_some(shown)
    }

    fn cookie_of(&self, key: &[u8], from: SocketAddr, period: u64, crypto: &impl Crypto) -> [u8; COOKIE] {
        let place = super::super::engine::place(from);
        let length = u8::try_from(place.len()).unwrap_or(u8::MAX);
        *crypto.hmac_sha256(key, &[&period.to_be_bytes(), &[length], &place, self.before]).expose()
    }

    /// The answer to a hello without a good cookie. It has fewer bytes than any hello, and nothing is kept of it.
    pub(super) fn verify_request(&self, key: &[u8], from: SocketAddr, now: u64, crypto: &impl Crypto) -> Vec<u8> {
        let cookie = self.cookie_of(key, from, now / COOKIE_MS, crypto);
        let body = [&DTLS_1_0[..], &[32], &cookie].concat();
        record(HANDSHAKE, DTLS_1_0, self.sequence, &message(HELLO_VERIFY_REQUEST, &body))
    }

    /// The hello as it was before it had a cookie, as the first message of a handshake.
    pub(super) fn first(&self) -> Vec<u8> {
        let body = [self.before, &[0], self.after].concat();
        record(HANDSHAKE, DTLS_1_0, [0; 6], &message(CLIENT_HELLO, &body))
    }
}

/// Whether the datagram begins with a record of an epoch that has keys.
pub(super) fn is_protected(datagram: &[u8]) -> bool {
    datagram.get(3..5).is_some_and(|epoch| epoch != [0, 0])
}

/// What of a datagram is for an association that stands: protected records, and unprotected handshake messages, by which a
/// client says that it has not received the end of the handshake. Other unprotected records anybody may have written, and
/// dimpl would keep them.
pub(super) fn for_open(datagram: &[u8]) -> Vec<u8> {
    let (mut kept, mut rest) = (Vec::new(), datagram);
    while let Some(head) = rest.first_chunk::<RECORD_HEAD>() {
        let length = RECORD_HEAD + usize::from(u16::from_be_bytes([head[11], head[12]]));
        let Some((record, after)) = rest.split_at_checked(length) else { break };
        if is_protected(record) || head[0] == HANDSHAKE {
            kept.extend_from_slice(record);
        }
        rest = after;
    }
    kept
}

/// A handshake message with number 0, in one fragment.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
    let length = length.get(1..).unwrap_or_default();
    [&[kind], length, &[0, 0], &[0, 0, 0], length, body].concat()
}

/// A record of epoch 0.
fn record(kind: u8, version: [u8; 2], sequence: [u8; 6], fragment: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fragment.len()).unwrap_or_default().to_be_bytes();
    [&[kind], &version[..], &[0, 0], &sequence, &length, fragment].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::AwsLc;

    fn from(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    /// A hello with this cookie, in the record of this number.
    fn hello(number: u8, cookie: &[u8]) -> Vec<u8> {
        let (length, random) = (u8::try_from(cookie.len()).unwrap(), [7; 32]);
        let body = [&DTLS_1_2[..], &random, &[0], &[length], cookie, &[0, 2, 0xc0, 0x2b, 1, 0]].concat();
        record(HANDSHAKE, DTLS_1_0, [0, 0, 0, 0, 0, number], &message(CLIENT_HELLO, &body))
    }

    /// Shows REQ-PROV-21.
    #[test]
    fn a_cookie_is_for_one_address_one_hello_and_a_short_time() {
        let key = [9; 32];
        let first = hello(3, &[]);
        let read = ClientHello::read(&first).unwrap();
        assert_eq!((read.random(), read.cookie(&key, from(1), 0, &AwsLc)), ([7; 32], None));
        let asked = read.verify_request(&key, from(1), 90_000, &AwsLc);
        assert!(
            asked.len() <= first.len() + 10 && asked[5..11] == [0, 0, 0, 0, 0, 3],
            "the number of the hello's record"
        );
        let cookie = &asked[asked.len() - COOKIE..];
        let second = hello(4, cookie);
        let read = ClientHello::read(&second).unwrap();
        for now in [60_000, 179_999] {
            assert_eq!(
                read.cookie(&key, from(1), now, &AwsLc).as_ref().map(<[u8; 32]>::as_slice),
                Some(cookie),
                "{now}"
            );
        }
        for (port, now) in [(2, 90_000), (1, 180_000), (1, 0)] {
            assert_eq!(read.cookie(&key, from(port), now, &AwsLc), None, "{port} {now}");
        }
        let mut other = second.clone();
        other[30] ^= 1;
        assert_eq!(ClientHello::read(&other).unwrap().cookie(&key, from(1), 90_000, &AwsLc), None);
        assert_eq!(read.first(), hello(0, &[]));
    }

    #[test]
    fn of_what_is_unprotected_an_open_association_hears_handshake_messages_alone() {
        let plain = |kind| record(kind, DTLS_1_2, [0; 6], b"abc");
        let mut protected = record(23, DTLS_1_2, [0; 6], b"secret");
        protected[4] = 1;
        let change = plain(20);
        let all = [&plain(HANDSHAKE)[..], &change, &protected, &plain(ALERT), &protected].concat();
        assert_eq!(for_open(&all), [&plain(HANDSHAKE)[..], &protected, &protected].concat());
        assert_eq!(for_open(&[&protected[..], &change[..9]].concat()), protected);
        assert!(is_protected(&protected) && !is_protected(&change) && !is_protected(b"abc"));
    }

    #[test]
    fn only_a_whole_hello_in_a_datagram_of_its_own_is_one() {
        let whole = hello(0, &[1; 32]);
        assert!(ClientHello::read(&whole).is_some());
        for length in 0..whole.len() - 1 {
            assert_eq!(ClientHello::read(&whole[..length]), None);
        }
        assert_eq!(ClientHello::read(&[&whole[..], &[0]].concat()), None);
        // Content type, version, epoch, message type, fragment offset and length.
        for place in [0, 1, 2, 4, 13, 19, 24] {
            let mut other = whole.clone();
            other[place] ^= 0x40;
            assert_eq!(ClientHello::read(&other), None, "{place}");
        }
    }
}
