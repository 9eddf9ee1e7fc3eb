//! Reliability: timing, duplicates, and a pair on a lossy link in virtual time.

use medlock_proto::coap::{
    Arrival, Code, EXCHANGE_LIFETIME_MS, Exchange, Expiry, Matched, Message, MessageId, MessageIds, Pending,
    Retransmit, Seen, Token, Transmission, Type, Writer, acknowledgement, ping, refuse, reset,
};
use std::collections::{BTreeMap, BTreeSet};

fn message(kind: Type, code: Code, id: u16, token: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = [0; 100];
    let token = Token::new(token).unwrap();
    Writer::new(&mut out, kind, code, MessageId(id), token).payload(payload).finish().unwrap().to_vec()
}

/// RFC 7252 sections 4.2, 4.8. Shows REQ-COAP-03.
#[test]
fn a_confirmable_message_is_sent_five_times_with_growing_pauses() {
    for (random, first) in [(0, 2_000), (u32::MAX, 3_000), (1 << 31, 2_500)] {
        let mut retransmit = Retransmit::new(MessageId(1), 10_000, random, Transmission::DEFAULT);
        let (mut last, mut pauses) = (10_000, Vec::new());
        loop {
            let due = retransmit.next_deadline();
            assert_eq!(retransmit.on_timeout(due - 1), Expiry::NotYet);
            pauses.push(due - last);
            last = due;
            match retransmit.on_timeout(due) {
                Expiry::Resend => {}
                Expiry::GiveUp => break,
                Expiry::NotYet => panic!("it is due"),
            }
        }
        assert_eq!(pauses, [first, 2 * first, 4 * first, 8 * first, 16 * first]);
        // MAX_TRANSMIT_WAIT, section 4.8.2.
        assert!(last - 10_000 <= 93_000);
    }
    let ack = acknowledgement(MessageId(1));
    let retransmit = Retransmit::new(MessageId(1), 0, 0, Transmission::DEFAULT);
    assert!(retransmit.is_ended_by(&Message::read(&ack).unwrap()));
    assert!(retransmit.is_ended_by(&Message::read(&reset(MessageId(1))).unwrap()));
    assert!(!retransmit.is_ended_by(&Message::read(&acknowledgement(MessageId(2))).unwrap()));
    assert!(!retransmit.is_ended_by(&Message::read(&ping(MessageId(1))).unwrap()));
}

/// RFC 7252 section 4.5. Shows REQ-COAP-04.
#[test]
fn a_message_that_came_is_known_for_its_lifetime() {
    let mut seen = Seen::<3>::new();
    assert_eq!(seen.arrived((MessageId(7), Token::EMPTY), 0), Arrival::First(0));
    assert_eq!(seen.arrived((MessageId(7), Token::EMPTY), EXCHANGE_LIFETIME_MS - 1), Arrival::Again(0));
    assert_eq!(
        seen.arrived((MessageId(7), Token::EMPTY), EXCHANGE_LIFETIME_MS),
        Arrival::First(1),
        "the id is free again"
    );
    assert_eq!(seen.arrived((MessageId(8), Token::EMPTY), EXCHANGE_LIFETIME_MS), Arrival::First(2));
    assert_eq!(
        seen.arrived((MessageId(9), Token::EMPTY), EXCHANGE_LIFETIME_MS),
        Arrival::First(0),
        "the oldest is forgotten"
    );
    assert_eq!(seen.arrived((MessageId(7), Token::EMPTY), EXCHANGE_LIFETIME_MS), Arrival::Again(1));
    seen.forget(1);
    assert_eq!(
        seen.arrived((MessageId(7), Token::EMPTY), EXCHANGE_LIFETIME_MS),
        Arrival::First(1),
        "what was forged does not count"
    );
}

#[test]
fn ids_go_round() {
    let mut ids = MessageIds::new(0xffff);
    assert_eq!((ids.draw(), ids.draw()), (MessageId(0xffff), MessageId(0)));
}

/// RFC 7252 sections 4.2, 4.3, 5.2, 5.3.2. Shows REQ-COAP-05.
#[test]
fn an_exchange_knows_what_is_for_it() {
    let request = message(Type::Confirmable, Code::GET, 1, b"t", b"");
    let mut exchange = Exchange::new(&Message::read(&request).unwrap(), 0, 0, Transmission::DEFAULT);
    let mut on = |kind, code, id, token: &[u8]| {
        exchange.on_message(&Message::read(&message(kind, code, id, token, b"")).unwrap(), 100)
    };
    assert_eq!(on(Type::Acknowledgement, Code::CONTENT, 2, b"t"), Matched::No);
    assert_eq!(on(Type::Acknowledgement, Code::CONTENT, 1, b"u"), Matched::No);
    assert_eq!(on(Type::Reset, Code::EMPTY, 2, b""), Matched::No);
    assert_eq!(on(Type::Confirmable, Code::GET, 1, b"t"), Matched::No);
    assert_eq!(on(Type::Acknowledgement, Code::CONTENT, 1, b"t"), Matched::Response { answer: None });
    assert_eq!(on(Type::NonConfirmable, Code::CONTENT, 9, b"t"), Matched::Response { answer: None });
    let answer = Some(acknowledgement(MessageId(9)));
    assert_eq!(on(Type::Confirmable, Code::CONTENT, 9, b"t"), Matched::Response { answer });
    // A response may be forged, so it stops nothing by itself; an acknowledgement ends the repetitions.
    assert_eq!(exchange.on_timeout(2_000), Expiry::Resend);
    let ack = acknowledgement(MessageId(1));
    assert_eq!(exchange.on_message(&Message::read(&ack).unwrap(), 2_100), Matched::Acknowledged);
    assert_eq!(exchange.next_deadline(), 32_100);
    assert_eq!((exchange.on_timeout(32_099), exchange.on_timeout(32_100)), (Expiry::NotYet, Expiry::GiveUp));
    assert_eq!(exchange.on_message(&Message::read(&reset(MessageId(1))).unwrap(), 3_000), Matched::Reset);
    // Nobody waits for it: a confirmable one is reset.
    assert_eq!(refuse(&message(Type::Confirmable, Code::CONTENT, 3, b"x", b"")), Some(reset(MessageId(3))));
    assert_eq!(refuse(&message(Type::NonConfirmable, Code::CONTENT, 3, b"x", b"")), None);
    assert_eq!(refuse(&ping(MessageId(4))), Some(reset(MessageId(4))));
}

/// RFC 7252 section 5.2. Shows REQ-COAP-05.
#[test]
fn a_quick_answer_rides_on_the_acknowledgement() {
    let request = message(Type::Confirmable, Code::GET, 1, b"t", b"");
    let mut pending = Pending::new(&Message::read(&request).unwrap(), 50);
    let token = Token::new(b"t").unwrap();
    assert_eq!(pending.next_deadline(), Some(1_050));
    assert_eq!(pending.response(MessageId(8)), (Type::Acknowledgement, MessageId(1), token));
    assert_eq!(pending.acknowledge(), Some(acknowledgement(MessageId(1))));
    assert_eq!((pending.acknowledge(), pending.next_deadline()), (None, None));
    assert_eq!(pending.response(MessageId(8)), (Type::Confirmable, MessageId(8), token));
    let request = message(Type::NonConfirmable, Code::GET, 1, b"t", b"");
    let mut pending = Pending::new(&Message::read(&request).unwrap(), 50);
    assert_eq!((pending.acknowledge(), pending.next_deadline()), (None, None));
    assert_eq!(pending.response(MessageId(8)), (Type::NonConfirmable, MessageId(8), token));
}

/// A random number generator whose whole purpose is that a failure can be run again.
struct Luck(u64);

impl Luck {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A link with 20 % loss, 10 % duplicates, and delays of up to three seconds that put messages out of order.
#[derive(Default)]
struct Link {
    flying: BTreeMap<(u64, u64), (bool, Vec<u8>)>,
    count: u64,
}

impl Link {
    fn send(&mut self, luck: &mut Luck, now: u64, to_server: bool, bytes: &[u8]) {
        for _ in 0..=u64::from(luck.below(10) == 0) {
            if luck.below(10) >= 2 {
                self.count += 1;
                self.flying.insert((now + 1 + luck.below(3_000), self.count), (to_server, bytes.to_vec()));
            }
        }
    }
}

struct Server {
    seen: Seen<64>,
    answers: Vec<Vec<u8>>,
    ids: MessageIds,
    /// Slow work: when it is done, what was asked.
    working: Vec<(u64, Pending, usize, Vec<u8>)>,
    sending: Vec<(Retransmit, Vec<u8>)>,
    carried_out: Vec<Vec<u8>>,
}

impl Server {
    fn on_datagram(&mut self, link: &mut Link, luck: &mut Luck, now: u64, bytes: &[u8]) {
        let message = Message::read(bytes).unwrap();
        if !message.code().is_request() {
            self.sending.retain(|(retransmit, _)| !retransmit.is_ended_by(&message));
            return;
        }
        let slot = match self.seen.arrived((message.id(), message.token()), now) {
            Arrival::Again(slot) => {
                if !self.answers[slot].is_empty() {
                    link.send(luck, now, false, &self.answers[slot].clone());
                }
                return;
            }
            Arrival::First(slot) => slot,
        };
        self.carried_out.push(message.payload().to_vec());
        let pending = Pending::new(&message, now);
        self.answers[slot].clear();
        // Every third request is slow work.
        if luck.below(3) == 0 {
            self.working.push((now + 1_500, pending, slot, message.payload().to_vec()));
            return;
        }
        let (kind, id, token) = pending.response(self.ids.draw());
        self.answers[slot] = self::message(kind, Code::CONTENT, id.0, token.as_bytes(), message.payload());
        link.send(luck, now, false, &self.answers[slot].clone());
    }

    fn on_time(&mut self, link: &mut Link, luck: &mut Luck, now: u64) {
        for (_, pending, slot, _) in &mut self.working {
            if pending.next_deadline().is_some_and(|due| due <= now)
                && let Some(ack) = pending.acknowledge()
            {
                self.answers[*slot] = ack.to_vec();
                link.send(luck, now, false, &ack);
            }
        }
        let (done, working) = self.working.drain(..).partition(|(due, ..)| *due <= now);
        self.working = working;
        let done: Vec<(u64, Pending, usize, Vec<u8>)> = done;
        for (_, pending, _, payload) in done {
            let (kind, id, token) = pending.response(self.ids.draw());
            assert_eq!(kind, Type::Confirmable);
            let bytes = message(kind, Code::CONTENT, id.0, token.as_bytes(), &payload);
            link.send(luck, now, false, &bytes);
            let random = luck.below(1 << 32) as u32;
            self.sending.push((Retransmit::new(id, now, random, Transmission::DEFAULT), bytes));
        }
        self.sending.retain_mut(|(retransmit, bytes)| match retransmit.on_timeout(now) {
            Expiry::NotYet => true,
            Expiry::Resend => {
                link.send(luck, now, false, bytes);
                true
            }
            Expiry::GiveUp => false,
        });
    }

    fn next_deadline(&self) -> Option<u64> {
        let working = self.working.iter().map(|(due, pending, ..)| pending.next_deadline().unwrap_or(*due).min(*due));
        working.chain(self.sending.iter().map(|(retransmit, _)| retransmit.next_deadline())).min()
    }
}

/// Shows REQ-COAP-05.
#[test]
fn requests_cross_a_lossy_link_and_are_carried_out_once() {
    let (mut answered, mut given_up) = (0, 0);
    for seed in 0..60 {
        let mut luck = Luck(seed);
        let mut link = Link::default();
        let mut server = Server {
            seen: Seen::new(),
            answers: vec![Vec::new(); 64],
            ids: MessageIds::new(500),
            working: Vec::new(),
            sending: Vec::new(),
            carried_out: Vec::new(),
        };
        let mut ids = MessageIds::new(65_530);
        let mut now = 0;
        for number in 0..20_u8 {
            let token = [number, seed as u8];
            let bytes = message(Type::Confirmable, Code::POST, ids.draw().0, &token, &[number]);
            let random = luck.below(1 << 32) as u32;
            let mut exchange = Exchange::new(&Message::read(&bytes).unwrap(), now, random, Transmission::DEFAULT);
            link.send(&mut luck, now, true, &bytes);
            loop {
                let arrival = link.flying.keys().next().map(|(at, _)| *at);
                let deadlines = [arrival, server.next_deadline(), Some(exchange.next_deadline())];
                now = deadlines.into_iter().flatten().min().unwrap().max(now);
                server.on_time(&mut link, &mut luck, now);
                match exchange.on_timeout(now) {
                    Expiry::NotYet => {}
                    Expiry::Resend => link.send(&mut luck, now, true, &bytes),
                    Expiry::GiveUp => {
                        given_up += 1;
                        break;
                    }
                }
                let Some(entry) = link.flying.first_entry().filter(|entry| entry.key().0 <= now) else { continue };
                let (to_server, datagram) = entry.remove();
                if to_server {
                    server.on_datagram(&mut link, &mut luck, now, &datagram);
                    continue;
                }
                let message = Message::read(&datagram).unwrap();
                match exchange.on_message(&message, now) {
                    Matched::Response { answer } => {
                        if let Some(answer) = answer {
                            link.send(&mut luck, now, true, &answer);
                        }
                        assert_eq!(message.payload(), [number]);
                        answered += 1;
                        break;
                    }
                    Matched::Reset => panic!("the server resets nothing"),
                    Matched::Acknowledged => {}
                    Matched::No => {
                        // The response to an earlier request, once more: its acknowledgement was lost.
                        if message.kind() == Type::Confirmable {
                            link.send(&mut luck, now, true, &acknowledgement(message.id()));
                        }
                    }
                }
            }
        }
        let once: BTreeSet<_> = server.carried_out.iter().collect();
        assert_eq!(once.len(), server.carried_out.len(), "seed {seed}: something was carried out twice");
    }
    // With 20 % loss each way an exchange fails in fewer than 2 of 100.
    assert!(answered + given_up == 1_200 && given_up < 24, "{answered} answered, {given_up} given up");
}
