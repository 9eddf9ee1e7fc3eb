//! EST over CoAP and OSCORE (draft-ietf-ace-coap-est-oscore, short names of RFC 9148 section 4.1): `crts`, `sen`,
//! `sren`, for devices too small for TLS. The session proves the device; who asks in C509 is answered in C509.

use crate::enrolment::{Answer, Refusal, RefusalKind};
use crate::{Authority, Error};
use bytes::Bytes;
use medlock_node::coap::objects::{self, Objects};
use medlock_node::coap::{Code, Peer, Reply, Request, Resources, Response, content_format, option};
use medlock_node::enrol::certs_only;
use medlock_trust::authenticate::CredentialKind;
use std::sync::Arc;

/// A C509 certification request (TBD4 of draft-ietf-cose-cbor-encoded-cert: a number for experiments until it has one).
pub const C509_REQUEST: u16 = 65_004;
/// A C509 certificate (TBD3 of the same).
pub const C509_CERTIFICATE: u16 = 65_003;

/// What a hub serves over CoAP: enrolment and renewal, and its trust objects.
#[must_use]
pub fn coap_resources(authority: Arc<Authority>) -> Resources {
    let (for_crts, for_sen, for_sren) = (authority.clone(), authority.clone(), authority.clone());
    Resources::new()
        .open(objects::PATH, Objects::new(authority.knowledge().clone()))
        .protected("/.well-known/est/crts", move |_: Arc<Peer>, request: Request| {
            let answer = crts(&for_crts, &request);
            async move { Reply::Once(answer) }
        })
        .protected("/.well-known/est/sen", move |peer, request| ask(for_sen.clone(), peer, request, sen))
        .protected("/.well-known/est/sren", move |peer, request| ask(for_sren.clone(), peer, request, sren))
}

/// RFC 7030 section 4.1: issuing certificate and root; the root alone to who wants one certificate.
fn crts(authority: &Authority, request: &Request) -> Response {
    if request.method != Code::GET {
        return Response::new(Code::METHOD_NOT_ALLOWED);
    }
    let (issuing, root) = (&authority.issuing().der, &authority.root().der);
    match request.accept() {
        None | Some(content_format::PKCS7_CERTIFICATES) => {
            Response::content(content_format::PKCS7_CERTIFICATES, certs_only(&[issuing, root]))
        }
        Some(content_format::PKIX_CERTIFICATE) => Response::content(content_format::PKIX_CERTIFICATE, root.to_vec()),
        Some(_) => Response::new(Code::NOT_ACCEPTABLE),
    }
}

type Decide = fn(&Authority, &Peer, &[u8]) -> Result<Answer, Error>;

/// RFC 7030 section 4.2.1, with the birth credential of the session.
fn sen(authority: &Authority, peer: &Peer, request: &[u8]) -> Result<Answer, Error> {
    if peer.identified.kind() != CredentialKind::Birth {
        return Ok(Answer::Refused(Refusal {
            kind: RefusalKind::Forbidden,
            reason: "this session rests on an operational credential: renew it with sren".to_owned(),
            retry_seconds: None,
        }));
    }
    authority.enrol_by_birth(&peer.identified, &peer.certificate, request, &peer.address.to_string())
}

/// RFC 7030 section 4.2.2, with the operational credential of the session, expired or not.
fn sren(authority: &Authority, peer: &Peer, request: &[u8]) -> Result<Answer, Error> {
    if let Err(error) = authority.seen(&peer.identified) {
        tracing::warn!(%error, "the use of a credential could not be noted");
    }
    authority.renew(&peer.identified, &peer.certificate, request, &peer.address.to_string())
}

async fn ask(authority: Arc<Authority>, peer: Arc<Peer>, request: Request, decide: Decide) -> Reply {
    if request.method != Code::POST {
        return Response::new(Code::METHOD_NOT_ALLOWED).into();
    }
    if !matches!(request.content_format(), Some(content_format::PKCS10 | C509_REQUEST)) {
        return Response::new(Code::UNSUPPORTED_CONTENT_FORMAT).into();
    }
    let decided = tokio::task::spawn_blocking(move || decide(&authority, &peer, &request.payload)).await;
    match decided {
        Ok(Ok(answer)) => coded(answer),
        Ok(Err(error)) => {
            tracing::error!(%error, "an enrolment failed");
            Response::new(Code::SERVICE_UNAVAILABLE).with_uint(option::MAX_AGE, 5)
        }
        Err(error) => {
            tracing::error!(%error, "an enrolment ended unexpectedly");
            Response::new(Code::INTERNAL_SERVER_ERROR)
        }
    }
    .into()
}

/// The answer in CoAP's codes (RFC 9148 sections 4.5 and 4.6): who must wait is told how long by Max-Age.
fn coded(answer: Answer) -> Response {
    match answer {
        Answer::Issued(certificate) => {
            let der = certificate.first() == Some(&0x30);
            let format = if der { content_format::PKIX_CERTIFICATE } else { C509_CERTIFICATE };
            Response::new(Code::CHANGED).with_payload(format, Bytes::from(certificate))
        }
        Answer::Waits { retry_seconds } => Response::refused(
            Code::SERVICE_UNAVAILABLE,
            "waits for confirmation at the hub: ask again with the same key",
        )
        .with_uint(option::MAX_AGE, retry_seconds),
        Answer::Refused(Refusal { kind, reason, retry_seconds }) => {
            let code = match kind {
                RefusalKind::Unauthorized => Code::UNAUTHORIZED,
                RefusalKind::Forbidden => Code::FORBIDDEN,
                RefusalKind::Malformed => Code::BAD_REQUEST,
            };
            let response = Response::refused(code, reason);
            match retry_seconds {
                Some(seconds) => response.with_uint(option::MAX_AGE, seconds),
                None => response,
            }
        }
    }
}
