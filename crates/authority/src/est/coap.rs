//! EST over CoAP, with OSCORE (draft-ietf-ace-coap-est-oscore) or DTLS (RFC 9148), by its short names (section 4.1): `crts`,
//! `sen`, `sren`, for devices too small for TLS. The session proves the device; who asks in C509 is answered in C509.
//!
//! The challenge password of a request is `edhoc-unique` in base64, which binds the request to the session (the draft,
//! "Channel Binding"), and is checked if it is there. In front of it, with a space between, an enrolment code may stand: it
//! counts before the session's credential, as in EST over TLS. Over DTLS there is no such binding.

use crate::enrolment::{Answer, Refusal, RefusalKind};
use crate::tickets::{self, MAX_CREDENTIALS_COAP};
use crate::{Authority, Error};
use bytes::Bytes;
use medlock_node::coap::objects::{self, Objects};
use medlock_node::coap::{Code, Peer, Reply, Request, Resources, Response, content_format, option};
use medlock_node::enrol::{Code as EnrolmentCode, certs_only};
use medlock_node::provider::{AwsLc, same_secret};
use medlock_proto::edhoc::coap::edhoc_unique;
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::x509::Request as CertificateRequest;
use std::sync::Arc;

/// The path of the resource that gives status tickets: [`crate::tickets`] in CBOR, at most four.
pub const TICKETS: &str = "/m/tickets";

/// What a hub serves over CoAP: enrolment and renewal, its trust objects, and tickets. From now on whoever may renew has a
/// session to do so, though its issuing key was stolen: without a session nobody asks anything here.
#[must_use]
pub fn coap_resources(authority: Arc<Authority>) -> Resources {
    let hub = Arc::downgrade(&authority);
    authority.knowledge().let_return(move |who| hub.upgrade().is_some_and(|hub| hub.may_renew(who).is_ok()));
    let (for_crts, for_sen, for_sren) = (authority.clone(), authority.clone(), authority.clone());
    let (for_tickets, for_lists) = (authority.clone(), authority.clone());
    let objects = Objects::new(authority.knowledge().clone());
    Resources::new()
        .open(objects::PATH, objects.with_missed(move |after| for_lists.missed_site_list(after)))
        .protected(TICKETS, move |_: Arc<Peer>, request: Request| tickets(for_tickets.clone(), request))
        .protected("/.well-known/est/crts", move |_: Arc<Peer>, request: Request| {
            let answer = crts(&for_crts, &request);
            async move { Reply::Once(answer) }
        })
        .protected("/.well-known/est/sen", move |peer, request| ask(for_sen.clone(), peer, request, sen))
        .protected("/.well-known/est/sren", move |peer, request| ask(for_sren.clone(), peer, request, sren))
}

/// Tickets for who has a session: strangers must not make the signer work.
async fn tickets(authority: Arc<Authority>, request: Request) -> Reply {
    if request.method != Code::POST {
        return Response::new(Code::METHOD_NOT_ALLOWED).into();
    }
    let Ok(wanted) = tickets::Request::read(&request.payload, MAX_CREDENTIALS_COAP) else {
        return Response::refused(Code::BAD_REQUEST, "give [nonce, [credentials]] in CBOR, at most 4").into();
    };
    match tokio::task::spawn_blocking(move || authority.tickets(&wanted)).await {
        Ok(Ok(answer)) => Response::content(content_format::CBOR, answer),
        Ok(Err(error)) => {
            tracing::error!(%error, "tickets could not be made");
            Response::new(Code::SERVICE_UNAVAILABLE).with_uint(option::MAX_AGE, 5)
        }
        Err(_) => Response::new(Code::INTERNAL_SERVER_ERROR),
    }
    .into()
}

/// RFC 7030 section 4.1: issuing certificates and root; the root alone to who wants one certificate.
fn crts(authority: &Authority, request: &Request) -> Response {
    if request.method != Code::GET {
        return Response::new(Code::METHOD_NOT_ALLOWED);
    }
    let (all, root) = (authority.ca_certificates(), authority.root().der.clone());
    match request.accept() {
        None | Some(content_format::PKCS7_CERTIFICATES) => Response::content(
            content_format::PKCS7_CERTIFICATES,
            certs_only(&all.iter().map(|one| one.der.as_slice()).collect::<Vec<_>>()),
        ),
        Some(content_format::PKIX_CERTIFICATE) => Response::content(content_format::PKIX_CERTIFICATE, root),
        Some(_) => Response::new(Code::NOT_ACCEPTABLE),
    }
}

type Decide = fn(&Authority, &Peer, &[u8]) -> Result<Answer, Error>;

/// RFC 7030 section 4.2.1, with an enrolment code, or with the birth credential of the session.
fn sen(authority: &Authority, peer: &Peer, request: &[u8]) -> Result<Answer, Error> {
    match code_of(peer, request) {
        Err(refusal) => return Ok(Answer::Refused(refusal)),
        Ok(Some(code)) => {
            let address = peer.address.to_string();
            return authority.enrol_by_code(&code.user(), &code.password(), request, &address);
        }
        Ok(None) => {}
    }
    if peer.identified.kind() != CredentialKind::Birth {
        return Ok(Answer::Refused(Refusal {
            kind: RefusalKind::Forbidden,
            reason: "this session rests on an operational credential: renew it with sren, or enrol anew with a code"
                .to_owned(),
            retry_seconds: None,
        }));
    }
    authority.enrol_by_birth(&peer.identified, &peer.certificate, request, &peer.address.to_string())
}

/// RFC 7030 section 4.2.2, with the operational credential of the session, expired or not.
fn sren(authority: &Authority, peer: &Peer, request: &[u8]) -> Result<Answer, Error> {
    match code_of(peer, request) {
        Err(refusal) => return Ok(Answer::Refused(refusal)),
        Ok(Some(_)) => return Ok(Answer::Refused(malformed("an enrolment code is for sen"))),
        Ok(None) => {}
    }
    if let Err(error) = authority.seen(&peer.identified) {
        tracing::warn!(%error, "the use of a credential could not be noted");
    }
    authority.renew(&peer.identified, &peer.certificate, request, &peer.address.to_string())
}

/// Checks that a request was made for the session it came in, if it says so, and gives the enrolment code in it. What is
/// no request is found out by who decides.
fn code_of(peer: &Peer, request: &[u8]) -> Result<Option<EnrolmentCode>, Refusal> {
    let Ok(request) = CertificateRequest::read(request) else { return Ok(None) };
    let Some(password) = request.challenge_password() else { return Ok(None) };
    let (code, bound) = match password.rsplit_once(' ') {
        Some((code, bound)) if bound.len() == BINDING => (code, Some(bound)),
        None if password.len() == BINDING => ("", Some(password)),
        Some(_) | None => (password, None),
    };
    if let Some(bound) = bound {
        let unique = peer.handshake.as_ref().and_then(|session| edhoc_unique(session, &AwsLc).ok());
        let unique = unique.map(|unique| data_encoding::BASE64.encode(&unique));
        if !unique.is_some_and(|unique| same_secret(unique.as_bytes(), bound.as_bytes())) {
            return Err(malformed(
                "the request was made for another session: its challenge password is not edhoc-unique",
            ));
        }
    }
    if code.is_empty() {
        return Ok(None);
    }
    code.parse()
        .map(Some)
        .map_err(|_| malformed("the challenge password is neither edhoc-unique nor an enrolment code"))
}

/// Characters of `edhoc-unique` in base64.
const BINDING: usize = 44;

fn malformed(reason: &str) -> Refusal {
    Refusal { kind: RefusalKind::Malformed, reason: reason.to_owned(), retry_seconds: None }
}

async fn ask(authority: Arc<Authority>, peer: Arc<Peer>, request: Request, decide: Decide) -> Reply {
    if request.method != Code::POST {
        return Response::new(Code::METHOD_NOT_ALLOWED).into();
    }
    if !matches!(request.content_format(), Some(content_format::PKCS10 | content_format::C509_REQUEST)) {
        return Response::new(Code::UNSUPPORTED_CONTENT_FORMAT).into();
    }
    let Some(form) = Form::wanted(&peer, &request) else { return Response::new(Code::NOT_ACCEPTABLE).into() };
    let decided = tokio::task::spawn_blocking(move || decide(&authority, &peer, &request.payload)).await;
    match decided {
        Ok(Ok(answer)) => coded(answer, form),
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

/// How a certificate is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// By itself: X.509 or C509, as it was asked for.
    Alone,
    /// As a certs-only message.
    Pkcs7,
}

impl Form {
    /// Who says nothing gets a certs-only message (RFC 9148 section 4.3), but over OSCORE, where small devices read none.
    fn wanted(peer: &Peer, request: &Request) -> Option<Self> {
        match request.accept() {
            Some(content_format::PKCS7_CERTIFICATES) => Some(Self::Pkcs7),
            Some(content_format::PKIX_CERTIFICATE | content_format::C509_CERTIFICATE) => Some(Self::Alone),
            Some(_) => None,
            None if peer.handshake.is_some() => Some(Self::Alone),
            None if request.content_format() == Some(content_format::C509_REQUEST) => Some(Self::Alone),
            None => Some(Self::Pkcs7),
        }
    }
}

/// The answer in CoAP's codes (RFC 9148 sections 4.5 and 4.6): who must wait is told how long by Max-Age.
fn coded(answer: Answer, form: Form) -> Response {
    match answer {
        Answer::Issued(certificate) if form == Form::Pkcs7 => {
            Response::new(Code::CHANGED).with_payload(content_format::PKCS7_CERTIFICATES, certs_only(&[&certificate]))
        }
        Answer::Issued(certificate) => {
            let der = certificate.first() == Some(&0x30);
            let format = if der { content_format::PKIX_CERTIFICATE } else { content_format::C509_CERTIFICATE };
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
                RefusalKind::Forbidden | RefusalKind::NeedsCode => Code::FORBIDDEN,
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
