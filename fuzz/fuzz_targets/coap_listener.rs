//! The CoAP listener: whatever arrives, whenever and from whomever, what it keeps stays within its limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_node::clock::Clock;
use medlock_node::coap::{Engine, Limits, Output, Own, Peers, Response, content_format};
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::provider::SigningKey;
use medlock_node::sessions::LiveSessions;
use medlock_trust::Time;
use medlock_trust::policy::Setting;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

const LIMITS: Limits = Limits {
    addresses: 4,
    half_open: 8,
    half_open_per_address: 4,
    half_open_per_network: 6,
    half_open_ms: 5_000,
    handshakes_per_address: 4,
    handshakes_per_network: 6,
    handshakes: 16,
    strangers: 2,
    contexts: 4,
    contexts_per_device: 2,
    contexts_per_address: 4,
    context_idle_ms: 60_000,
    calls: 4,
    calls_per_address: 2,
    call_ms: 5_000,
    observations: 2,
    observations_per_address: 1,
    body_bytes: 4_096,
    transmission: medlock_node::coap::Transmission::DEFAULT,
};

static KEY: LazyLock<Arc<SigningKey>> = LazyLock::new(|| Arc::new(SigningKey::generate()));

/// `{2: "hub", 8: {1: {1: 2, 2: h'01', -1: 1, -2: x, -3: y}}}`.
fn claims_set() -> Vec<u8> {
    let point = KEY.public_key().bits;
    let mut ccs = b"\xa2\x02\x63hub\x08\xa1\x01\xa5\x01\x02\x02\x41\x01\x20\x01\x21\x58\x20".to_vec();
    ccs.extend_from_slice(&point[1..33]);
    ccs.extend_from_slice(b"\x22\x58\x20");
    ccs.extend_from_slice(&point[33..]);
    ccs
}

// Of each step: who sends and how (1 byte: address, whether a handler answers late), how long after (1 byte, in 16 ms),
// how many bytes follow (2 bytes), and they.
fuzz_target!(|bytes: &[u8]| {
    let knowledge = KnowledgeBase::in_memory(Clock::manual(Time::from_unix(1_800_000_000)), Setting::Hospital);
    let own = Own::danger_ccs(KEY.clone(), claims_set(), false);
    let sessions = LiveSessions::new(knowledge.clone());
    let mut engine = Engine::new(own, Arc::new(Peers::new(knowledge)), sessions, LIMITS);
    let (mut rest, mut now, mut out, mut late) = (bytes, 0, Vec::new(), Vec::new());
    while let [who, wait, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (datagram, after) = after.split_at(length);
        rest = after;
        now += u64::from(*wait) * 16;
        let from = SocketAddr::from((Ipv4Addr::new(10, 0, 0, who & 7), 5_683));
        engine.datagram(now, from, datagram, &mut out);
        engine.tick(now, &mut out);
        for output in out.drain(..) {
            match output {
                Output::Call(call, ..) => late.push(call),
                Output::Send(_, bytes) => assert!(bytes.len() <= 1_500),
                Output::Forget(_) | Output::Close(_) => {}
            }
        }
        if who & 8 != 0 {
            for call in late.drain(..) {
                engine.answer(now, call, Response::content(content_format::BYTES, vec![0; 2_000]), true, &mut out);
                engine.notify(now, call, Response::content(content_format::BYTES, vec![1; 10]), &mut out);
            }
        }
        let counts = engine.counts();
        assert!(counts.addresses <= 2 * LIMITS.addresses && counts.half_open <= LIMITS.half_open);
        assert!(counts.calls <= LIMITS.calls && counts.observations <= LIMITS.observations);
        assert!(counts.contexts == 0 && counts.unacknowledged <= LIMITS.calls + LIMITS.observations);
        assert!(engine.next_tick(now).is_none_or(|at| at > now));
    }
});
