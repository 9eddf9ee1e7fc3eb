//! DTLS under the CoAP listener: whatever arrives, what it keeps stays within its limits, and who has shown no cookie is sent
//! less than it sent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_node::clock::Clock;
use medlock_node::coap::dtls::{Associations, Heard};
use medlock_node::coap::{Limits, Peers};
use medlock_node::identity::{Identity, IdentityStore};
use medlock_node::knowledge::KnowledgeBase;
use medlock_trust::Time;
use medlock_trust::policy::Setting;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

const HALF_OPEN: usize = 4;
/// Record and message in front of a `ClientHello`.
const HEAD: usize = 25;

/// A key and a certificate for it, made with `openssl req -x509`.
static OWN: LazyLock<Identity> =
    LazyLock::new(|| Identity::from_pem(include_bytes!("coap_dtls.pem")).expect("an identity"));

/// The hello with this cookie, as a client sends it again.
fn with_cookie(hello: &[u8], cookie: &[u8]) -> Option<Vec<u8>> {
    let place = HEAD + 35 + usize::from(*hello.get(HEAD + 34)?);
    let rest = hello.get(place + 1 + usize::from(*hello.get(place)?)..)?;
    let mut again = [hello.get(..place)?, &[32], cookie, rest].concat();
    let length = u32::try_from(again.len() - HEAD).ok()?.to_be_bytes();
    let whole = u16::try_from(again.len() - 13).ok()?;
    again[11..13].copy_from_slice(&whole.to_be_bytes());
    again[14..17].copy_from_slice(&length[1..]);
    again[17..19].copy_from_slice(&[0, 1]);
    again[22..25].copy_from_slice(&length[1..]);
    Some(again)
}

// Of each step: who sends (1 byte: address, and whether a cookie that is asked for is shown), how long after (1 byte, in
// 64 ms), how many bytes follow (2 bytes), and they.
fuzz_target!(|bytes: &[u8]| {
    let knowledge = KnowledgeBase::in_memory(Clock::manual(Time::from_unix(1_800_000_000)), Setting::Hospital);
    let limits = Limits {
        half_open: HALF_OPEN,
        half_open_per_address: 2,
        half_open_ms: 5_000,
        addresses: 4,
        contexts: 4,
        handshakes_per_address: 1_000,
        ..Limits::default()
    };
    let own = IdentityStore::in_memory(Some(OWN.clone()));
    let mut associations = Associations::new(own, Arc::new(Peers::new(knowledge)), limits).expect("settings");
    let (mut rest, mut now, mut out) = (bytes, 0, Vec::new());
    while let [who, wait, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (datagram, after) = after.split_at(length);
        rest = after;
        now += u64::from(*wait) * 64;
        let from = SocketAddr::from((Ipv4Addr::new(10, 0, 0, who & 3), 5_684 + u16::from(who & 4)));
        associations.datagram(now, from, datagram, &mut out);
        let cookie = out.iter().find_map(|heard| match heard {
            Heard::Send(_, bytes) if bytes.get(13) == Some(&3) => bytes.last_chunk::<32>().copied(),
            _ => None,
        });
        if let Some(cookie) = cookie {
            let sent: usize =
                out.iter().map(|heard| if let Heard::Send(_, bytes) = heard { bytes.len() } else { 0 }).sum();
            assert!(sent <= datagram.len());
            if who & 8 != 0
                && let Some(again) = with_cookie(datagram, &cookie)
            {
                associations.datagram(now, from, &again, &mut out);
            }
        }
        associations.send(now, from, b"not open", &mut out);
        associations.tick(now, &mut out);
        // Nobody has a certificate that is believed.
        assert!(out.drain(..).all(|heard| matches!(heard, Heard::Send(_, bytes) if bytes.len() <= 1_500)));
        assert!(associations.counts().0 <= HALF_OPEN && associations.counts().1 == 0);
        assert!(associations.next_tick(now).is_none_or(|at| at > now));
    }
});
