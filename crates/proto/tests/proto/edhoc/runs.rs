//! Whole runs between two parties.

use super::*;
use medlock_proto::edhoc::{Fault, Reply, Role, Suites};

/// Shows REQ-EDHOC-01.
#[test]
fn every_method_suite_and_credential_kind_ends_in_the_same_keys() {
    for (method, suite, naming) in all_kinds() {
        let pair = Pair::new(method, suite, naming);
        let (initiator, responder, _) = pair.run();
        assert_same_keys(&initiator, &responder);
        assert_eq!((initiator.role(), responder.role()), (Role::Initiator, Role::Responder));
        assert_eq!((initiator.method(), initiator.suite()), (method, suite));
        assert_eq!((initiator.own_id(), initiator.peer_id()), (responder.peer_id(), responder.own_id()));
        assert_eq!(initiator.peer().device_name().as_str(), "responder");
        assert_eq!(responder.peer().device_name().as_str(), "initiator");
    }
}

fn all_kinds() -> impl Iterator<Item = (Method, Suite, Naming)> {
    let methods = Method::ALL.into_iter();
    let methods_suites = methods.flat_map(|method| Suite::ALL.into_iter().map(move |suite| (method, suite)));
    methods_suites.flat_map(|(method, suite)| Naming::ALL.into_iter().map(move |naming| (method, suite, naming)))
}

/// The sizes of RFC 9528 section 1.2.
///
/// Shows REQ-EDHOC-02.
#[test]
fn messages_are_as_small_as_the_standard_says() {
    let sizes = |method, naming| {
        let (_, _, messages) = Pair::new(method, Suite::Suite2, naming).run();
        [messages.message_1.len(), messages.message_2.len(), messages.message_3.len()]
    };
    for (method, naming, expected) in [
        (Method::StaticStatic, Naming::Kid, [37, 45, 19]),
        (Method::StaticStatic, Naming::X5t, [37, 58, 33]),
        (Method::StaticStatic, Naming::C5t, [37, 57, 32]),
        (Method::SignSign, Naming::Kid, [37, 102, 77]),
        (Method::SignSign, Naming::X5t, [37, 115, 90]),
        (Method::SignSign, Naming::C5t, [37, 114, 89]),
    ] {
        let sizes = sizes(method, naming);
        println!("{method:?} by {naming:?}: {sizes:?}, together {}", sizes.iter().sum::<usize>());
        assert_eq!(sizes, expected);
    }
}

#[test]
fn a_key_update_changes_the_keys_of_both_sides_alike() {
    let (mut initiator, mut responder, _) = Pair::new(Method::StaticStatic, Suite::Suite2, Naming::Kid).run();
    let before = initiator.oscore(&CRYPTO).master_secret;
    initiator.update(b"1", &CRYPTO);
    assert_ne!(initiator.oscore(&CRYPTO).master_secret, before);
    responder.update(b"1", &CRYPTO);
    assert_same_keys(&initiator, &responder);
    responder.update(b"2", &CRYPTO);
    initiator.update(b"3", &CRYPTO);
    assert_ne!(initiator.oscore(&CRYPTO).master_secret, responder.oscore(&CRYPTO).master_secret);
}

#[test]
fn exports_differ_by_label_and_context_and_have_a_bound() {
    let (session, _, _) = Pair::new(Method::StaticStatic, Suite::Suite2, Naming::Kid).run();
    let export = |label, context: &[u8]| {
        let mut out = [0; 16];
        session.export(label, context, &mut out, &CRYPTO).unwrap();
        out
    };
    assert_eq!(export(32_769, b""), export(32_769, b""));
    assert_ne!(export(32_769, b""), export(32_770, b""));
    assert_ne!(export(32_769, b""), export(32_769, b"a"));
    session.export(40_000, b"", &mut [0; 8160], &CRYPTO).unwrap();
    assert_eq!(session.export(40_000, b"", &mut [0; 8161], &CRYPTO), Err(Error::TooLong));
}

/// Shows REQ-EDHOC-03.
#[test]
fn authorization_data_arrives_in_every_message() {
    let pair = Pair::new(Method::SignStatic, Suite::Suite3, Naming::X5t);
    let item = |critical| EadItem { label: 77, critical, value: Some(b"data") };
    let ead = [
        EadItem::padding(None),
        item(false),
        EadItem::padding(Some(b"random")),
        EadItem { label: 5, critical: false, value: None },
    ];
    let (await_2, message_1) = pair.start(&ead);
    let (methods, suites) = ([pair.method], [pair.suite]);
    let read = Message1::read(&message_1, &pair.accept(&methods, &suites), &CRYPTO).unwrap();
    assert_eq!(read.ead().iter().collect::<Vec<_>>(), [ead[1], ead[3]]);
    assert_eq!(read.ead().find(77), Some(Some(&b"data"[..])));
    assert_eq!(read.ead().find(5), Some(None));
    assert_eq!(read.ead().find(0), None);

    let (await_3, mut message_2) = pair.answer(&message_1, &ead).unwrap();
    let read = await_2.read(&mut message_2, &[], &CRYPTO).unwrap();
    assert_eq!(read.ead().iter().collect::<Vec<_>>(), [ead[1], ead[3]]);
    let peer = pair.responder.as_peer(read.id_cred());
    let verified = read.verify(peer, &CRYPTO).unwrap();
    let critical = [item(true)];
    let mut out = [0; 512];
    let (unconfirmed, length) =
        pair.initiator.with_own(|own| verified.message_3(own, &critical, &mut out, &CRYPTO)).unwrap();

    // A critical item is taken by those only who say they understand it.
    let mut message_3 = out[..length].to_vec();
    let rejected = await_3.read(&mut message_3, &[76], &CRYPTO).unwrap_err();
    assert_eq!(rejected.error, Error::CriticalEad(77));
    let mut message_3 = out[..length].to_vec();
    let read = rejected.state.read(&mut message_3, &[76, 77], &CRYPTO).unwrap();
    assert_eq!(read.ead().iter().collect::<Vec<_>>(), critical);
    let peer = pair.initiator.as_peer(read.id_cred());
    let verified = read.verify(peer, &CRYPTO).unwrap();
    let (responder, length) = verified.message_4(&ead, &mut out, &CRYPTO).unwrap();
    let (initiator, read) = unconfirmed.read_message_4(&mut out[..length], &[], &CRYPTO).unwrap();
    assert_eq!(read.iter().collect::<Vec<_>>(), [ead[1], ead[3]]);
    assert_same_keys(&initiator, &responder);
}

/// RFC 9528 appendix G: a plaintext longer than one HKDF output.
#[test]
fn a_long_message_2_is_read_back() {
    let pair = Pair::new(Method::StaticStatic, Suite::Suite2, Naming::Kid);
    let long = vec![7; 20_000];
    let ead = [EadItem { label: 9, critical: false, value: Some(&long) }];
    let (await_2, message_1) = pair.start(&[]);
    let (methods, suites) = ([pair.method], [pair.suite]);
    let read = Message1::read(&message_1, &pair.accept(&methods, &suites), &CRYPTO).unwrap();
    let mut out = vec![0; 21_000];
    let (_, length) = pair
        .responder
        .with_own(|own| {
            read.message_2(own, pair.responder.id, pair.responder.ephemeral(pair.suite), &ead, &mut out, &CRYPTO)
        })
        .unwrap();
    let read = await_2.read(&mut out[..length], &[], &CRYPTO).unwrap();
    assert_eq!(read.ead().find(9), Some(Some(&long[..])));
    let peer = pair.responder.as_peer(read.id_cred());
    assert!(read.verify(peer, &CRYPTO).is_ok());
}

/// RFC 9528 section 6.3.2.
///
/// Shows REQ-EDHOC-04.
#[test]
fn suites_are_negotiated() {
    let own = [Suite::Suite3, Suite::Suite0, Suite::Suite2];
    let responder = [Suite::Suite2, Suite::Suite0];
    let pair = Pair::new(Method::StaticStatic, Suite::Suite3, Naming::Kid);
    let offer = |selected| Offer {
        method: Method::StaticStatic,
        suites: &own,
        selected,
        connection: pair.initiator.id,
        ead: &[],
    };
    let accept = Accept { methods: &Method::ALL, suites: &responder, understood: &[] };
    let mut out = [0; 64];
    let send = |selected: Suite, out: &mut [u8]| {
        initiator::start(&offer(selected), pair.initiator.ephemeral(selected), out, &CRYPTO).unwrap().1
    };

    let length = send(Suite::Suite3, &mut out);
    let error = Message1::read(&out[..length], &accept, &CRYPTO).unwrap_err();
    assert_eq!(error, Error::Suite);
    let length = Reply::to(error, &responder).write(&mut out).unwrap();
    assert_eq!(out[..length], [2, 0x82, 2, 0]);
    let Ok(Fault::WrongSuite(suites)) = Fault::read(&out[..length]) else { panic!() };
    assert_eq!(suites.choose(&own), Some(Suite::Suite0));
    assert_eq!(suites.choose(&[Suite::Suite3]), None);

    // The selected one is had, but one preferred to it is had too.
    let length = send(Suite::Suite2, &mut out);
    assert_eq!(out[1..5], [0x83, 3, 0, 2]);
    assert_eq!(Message1::read(&out[..length], &accept, &CRYPTO).unwrap_err(), Error::Suite);

    let length = send(Suite::Suite0, &mut out);
    assert_eq!(out[1..4], [0x82, 3, 0]);
    assert_eq!(Message1::read(&out[..length], &accept, &CRYPTO).unwrap().suite(), Suite::Suite0);

    let numbers = |suites: Suites<'_>| suites.numbers().collect::<Vec<_>>();
    let Ok(Fault::WrongSuite(suites)) = Fault::read(&[2, 0x83, 6, 0x37, 2]) else { panic!() };
    assert_eq!(numbers(suites), [6, -24, 2]);
    assert_eq!(suites.choose(&own), Some(Suite::Suite2));
}
