//! Each bad request gets a reason that whoever asked can act on, the same over EST and over CoAP.

use crate::coap::Running;
use crate::fixture::Site;
use data_encoding::HEXLOWER;
use medlock_authority::devices_router;
use medlock_node::accept::{self, Limits};
use medlock_node::asn1::{bit_string, element, sequence, signature_algorithm, unsigned};
use medlock_node::clock::Clock;
use medlock_node::coap::{Code, Method, Request, content_format};
use medlock_node::http::Client;
use medlock_node::identity::{Identity, IdentityStore};
use medlock_node::provider::{SigningKey, sha256};
use medlock_node::stop;
use medlock_node::tls::{Acceptor, Believed, ClientAuth, Connector, server_config};
use medlock_trust::crypto::SignatureAlgorithm;
use medlock_trust::der::tag;
use std::sync::Arc;

/// The P-256 key of RFC 9500 section 2.3.
const RFC_9500: &str = "3059301306072a8648ce3d020106082a8648ce3d03010703420004422548f88fb782ffb5eca3744452c72a1e558fbd6f73be5e\
                        48e93232cc45c5b16c4cd10c4cb8d5b8a17139e94882c8992572993425f41419ab7e90a42a494272";
/// The base point of P-256 (FIPS 186-5): the key whose private half is one.
const ONE: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0\
                   f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

/// A request for this key with this subject and these attributes, signed by whomever.
fn request(spki: &[u8], subject: &[u8], attributes: &[u8], signer: &SigningKey) -> Vec<u8> {
    let attributes = element(tag::context_constructed(0), &[attributes]);
    let information = sequence(&[&unsigned(&[0]), subject, spki, &attributes]);
    let signature = signer.sign_x509(&[&information[..]]);
    sequence(&[&information, &signature_algorithm(SignatureAlgorithm::EcdsaSha256), &bit_string(&signature)])
}

fn named(serial: &str) -> Vec<u8> {
    let attribute =
        sequence(&[&element(tag::OID, &[&[0x55, 4, 5]]), &element(tag::PRINTABLE_STRING, &[serial.as_bytes()])]);
    sequence(&[&element(tag::SET, &[&attribute])])
}

/// The attribute extensionRequest with basicConstraints: an authority.
fn as_authority() -> Vec<u8> {
    let constraints = sequence(&[&[1, 1, 0xff]]);
    let extension = sequence(&[
        &element(tag::OID, &[&[0x55, 0x1d, 19]]),
        &[1, 1, 0xff],
        &element(tag::OCTET_STRING, &[&constraints]),
    ]);
    let kind = element(tag::OID, &[&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14]]);
    sequence(&[&kind, &element(tag::SET, &[&sequence(&[&extension])])])
}

/// Shows REQ-STORE-172, REQ-PROV-18.
#[tokio::test]
async fn each_bad_request_gets_its_reason_over_est_and_over_coap() {
    let coap = Running::of(Site::with_clock(Clock::system())).await;
    let site = &coap.site;
    let (key, other) = (Arc::new(SigningKey::generate()), SigningKey::generate());
    let own = site.enrol("ct-1", &key);
    site.enrol("ct-2", &other);

    let knowledge = site.authority.knowledge().clone();
    let tls = server_config(site.authority.hub_identity(), &knowledge, ClientAuth::Optional).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stopper, stop) = stop::channel();
    let router = devices_router(site.authority.clone());
    tokio::spawn(accept::serve(listener, Some(Acceptor::new(tls, knowledge)), Limits::default(), router, stop));
    let chain = vec![own.clone().into(), site.authority.issuing().der.clone().into()];
    let identity = IdentityStore::in_memory(Some(Identity::new(key.clone(), chain).unwrap()));
    let believed = Believed::Root(site.authority.root_fingerprint());
    let est = Client::tls(address.to_string(), Connector::new(Some(&identity), believed, None).unwrap());
    let session = coap.connect(&key, &own, Method::SignSign).await;

    let new = SigningKey::generate();
    let nobody = sequence(&[]);
    let mut off_curve = new.spki().to_vec();
    *off_curve.last_mut().unwrap() ^= 1;
    let blocked = SigningKey::generate();
    let line = format!("{}  in an image\n", HEXLOWER.encode(&sha256(blocked.spki())));
    std::fs::write(site.dir.path().join("blocked-keys"), line).unwrap();
    let of_hex = |hex: &str| request(&HEXLOWER.decode(hex.as_bytes()).unwrap(), &nobody, &[], &new);
    let edwards = SigningKey::generate_with(medlock_node::provider::SigningAlgorithm::Ed25519);
    for (what, body, status, reason) in [
        ("weak", of_hex(ONE), 400, "make a new key"),
        ("off its curve", request(&off_curve, &nobody, &[], &new), 400, "no point of its curve"),
        ("known-bad", of_hex(RFC_9500), 400, "known to others (published in RFC 9500"),
        ("blocked", request(blocked.spki(), &nobody, &[], &blocked), 400, "in an image"),
        (
            "of a wrong kind",
            request(edwards.spki(), &nobody, &[], &new),
            400,
            "keys of type ed25519 get no credential here: make a key of type p256 or p384",
        ),
        ("broken", request(new.spki(), &nobody, &[], &other), 400, "signed with the key it names"),
        ("for another", request(new.spki(), &named("ct-2"), &[], &new), 400, "a renewal keeps its subject"),
        ("for an authority", request(new.spki(), &nobody, &as_authority(), &new), 400, "asks to be an authority"),
        ("reused", request(other.spki(), &nobody, &[], &other), 403, "ct-2 has this key"),
        ("no request", b"0\x82\x01\x00".to_vec(), 400, "cannot be read"),
    ] {
        let answer = est.post("/.well-known/est/simplereenroll", "application/pkcs10", body.clone()).await.unwrap();
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        assert!(answer.status() == status && text.contains(reason), "{what} over EST: {} {text}", answer.status());
        let wanted = if status == 403 { Code::FORBIDDEN } else { Code::BAD_REQUEST };
        let answer =
            session.request(Request::post("/.well-known/est/sren", content_format::PKCS10, body)).await.unwrap();
        let text = String::from_utf8_lossy(&answer.payload).into_owned();
        assert!(answer.code == wanted && text.contains(reason), "{what} over CoAP: {:?} {text}", answer.code);
    }
    assert_eq!(site.state("ct-1"), ("enrolled".into(), vec!["good".into()]), "what was refused changed nothing");
    assert!(site.alarms().is_empty());
    // A good one after all of them.
    let body = request(new.spki(), &nobody, &[], &new);
    let answer = est.post("/.well-known/est/simplereenroll", "application/pkcs10", body).await.unwrap();
    assert_eq!(answer.status(), 200);
}
