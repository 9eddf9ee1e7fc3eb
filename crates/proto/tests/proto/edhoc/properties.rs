//! Bytes that come from anywhere.

use super::*;
use medlock_proto::edhoc::{Ccs, Fault, coap};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let accept = Accept { methods: &Method::ALL, suites: &Suite::ALL, understood: &[] };
        let _ = Message1::read(&bytes, &accept, &CRYPTO);
        let _ = Fault::read(&bytes);
        let _ = Ccs::read(&bytes);
        let _ = coap::read_request(&bytes);
        let _ = coap::split(&mut bytes);
    }

    #[test]
    fn any_plaintext_2_is_read_or_refused(plaintext in prop::collection::vec(any::<u8>(), 0..32)) {
        let pair = Pair::new(Method::StaticStatic, Suite::Suite2, Naming::Kid);
        let (await_2, message_1) = pair.start(&[]);
        let mut message = refusals::message_2_of(&plaintext, &message_1, &Secret::from_bytes([7; 32]));
        if let Ok(read) = await_2.read(&mut message, &[], &CRYPTO) {
            read.id_cred().iter().for_each(drop);
            read.ead().iter().for_each(drop);
            let peer = PeerCredential {
                credential: pair.responder.credential(),
                key: authentication_key(&pair.responder.public),
                identified: identified("responder"),
            };
            prop_assert_eq!(read.verify(peer, &CRYPTO).map(drop).map_err(Error::from), Err(Error::Forged));
        }
    }

    /// What was offered is what is read, in one encoding: a message that is read is written the same again.
    #[test]
    fn message_1_has_one_encoding(
        method in 0..4_usize,
        connection in prop::collection::vec(any::<u8>(), 0..8),
        ead in prop::collection::vec((0..5_u32, any::<bool>(), prop::option::of(prop::collection::vec(any::<u8>(), 0..30))), 0..4),
        mutate in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let items: Vec<_> = ead
            .iter()
            .map(|(label, critical, value)| EadItem { label: *label, critical: *critical && *label > 0, value: value.as_deref() })
            .collect();
        let suites = [Suite::Suite3, Suite::Suite2];
        let connection = ConnectionId::new(&connection).unwrap();
        let party = Party::new("initiator", 1, Suite::Suite2, false, Naming::Kid);
        let mut out = [0; 512];
        let write = |method, selected, connection, items: &[EadItem<'_>], out: &mut [u8]| {
            let offer = Offer { method, suites: &suites, selected, connection, ead: items };
            initiator::start(&offer, party.ephemeral(Suite::Suite2), out, &CRYPTO).unwrap().1
        };
        let length = write(Method::ALL[method], Suite::Suite2, connection, &items, &mut out);
        let mut message = out[..length].to_vec();
        if let Some((at, byte)) = mutate {
            *at.get_mut(&mut message) = byte;
        }
        // Only suite 2 is had: a list that ends in it and has no other 2.
        let accept = Accept { methods: &Method::ALL, suites: &[Suite::Suite2], understood: &[1, 2, 3, 4] };
        if let Ok(read) = Message1::read(&message, &accept, &CRYPTO) {
            if mutate.is_none() {
                prop_assert_eq!(read.method(), Method::ALL[method]);
                prop_assert_eq!(read.peer_id(), connection);
                let expected: Vec<_> = items.iter().copied().filter(|item| item.label != 0).collect();
                prop_assert_eq!(read.ead().iter().collect::<Vec<_>>(), expected);
            }
            let again: Vec<_> = read.ead().iter().collect();
            let padded = items.iter().any(|item| item.label == 0);
            let suites_unchanged = message.get(1..4) == out.get(1..4);
            if !padded && suites_unchanged && message.get(6..38) == out.get(6..38) {
                let mut out = [0; 512];
                let length = write(read.method(), Suite::Suite2, read.peer_id(), &again, &mut out);
                prop_assert!(mutate.is_some() || out[..length] == message[..]);
                if again.iter().all(|item| item.label != 0) && length == message.len() {
                    prop_assert_eq!(&out[..length], &message[..]);
                }
            }
        }
    }

    #[test]
    fn connection_identifiers_and_prefixes_round_trip(id in prop::collection::vec(any::<u8>(), 0..8)) {
        let connection = ConnectionId::new(&id).unwrap();
        prop_assert_eq!(connection.as_bytes(), &id[..]);
        let mut payload = [0; 16];
        let at = coap::write_next(connection, &mut payload).unwrap();
        prop_assert_eq!(coap::read_request(&payload[..at + 1]), Ok(coap::Request::Next(connection, &payload[at..at + 1])));
    }
}
