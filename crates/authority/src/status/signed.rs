//! The status list and tickets, signed by the issuing key.

use crate::Error;
use crate::bytes::Sink;
use crate::keys::AuthorityCertificate;
use crate::signer::{Kind, Signer, SignerError};
use crate::store::{Standing, StandingState, Subject};
use medlock_node::provider::AwsLc;
use medlock_trust::DeviceId;
use medlock_trust::cose::{self, ContentType, Place};
use medlock_trust::status::{Heading, Reason, Record, State, StatusContent, Subject as Told, TicketContent};

/// The reason's number in status lists.
#[must_use]
pub fn reason_of(standing: &Standing) -> Reason {
    match standing.reason.as_str() {
        "stolen" => Reason::STOLEN,
        "two-children" => Reason::TWO_CHILDREN,
        _ => match standing.state {
            StandingState::Suspended => Reason::HOLD,
            StandingState::Superseded => Reason::SUPERSEDED,
            StandingState::Ceased => Reason::CESSATION,
            StandingState::Compromised => Reason::KEY_COMPROMISE,
        },
    }
}

/// The state as status lists and sets call it.
pub(crate) fn state_of(state: StandingState) -> State {
    match state {
        StandingState::Suspended => State::Suspended,
        StandingState::Superseded => State::Superseded,
        StandingState::Ceased => State::Ceased,
        StandingState::Compromised => State::Compromised,
    }
}

/// Signs the status list of this epoch; `records` ascend by subject.
///
/// # Errors
/// [`Error::Signer`], [`Error::Object`].
pub fn status_list(
    signer: &(impl Signer + ?Sized),
    by: &AuthorityCertificate,
    heading: Heading,
    records: &[Record],
) -> Result<Vec<u8>, Error> {
    let mut payload = Vec::new();
    let failed = |why: String| Error::Object { what: "status list", why };
    StatusContent { heading, records }.encode(Sink(&mut payload)).map_err(|error| failed(error.to_string()))?;
    sign1(signer, by, &payload, Place::Header(ContentType::STATUS), "status list")
}

/// Signs a ticket about one credential.
///
/// # Errors
/// [`Error::Signer`], [`Error::Object`] when the nonce is not 8 to 32 bytes.
pub fn ticket(
    signer: &(impl Signer + ?Sized),
    by: &AuthorityCertificate,
    content: &TicketContent<'_>,
) -> Result<Vec<u8>, Error> {
    let mut payload = Vec::new();
    content.encode(Sink(&mut payload)).map_err(|error| Error::Object { what: "ticket", why: error.to_string() })?;
    sign1_with_hint(signer, by, &payload, TicketContent::PLACE, TicketContent::key_hint(&by.key), "ticket")
}

/// What a ticket says of a credential with this standing.
pub(crate) fn ticket_state(standing: Option<&Standing>) -> (Option<State>, Reason) {
    standing.map_or((None, Reason::UNSPECIFIED), |standing| (Some(state_of(standing.state)), reason_of(standing)))
}

/// Signs a payload as COSE_Sign1 with this issuing key, and names it.
pub(crate) fn sign1(
    signer: &(impl Signer + ?Sized),
    by: &AuthorityCertificate,
    payload: &[u8],
    place: Place,
    what: &'static str,
) -> Result<Vec<u8>, Error> {
    sign1_with_hint(signer, by, payload, place, by.key.as_bytes(), what)
}

/// As [`sign1`]; of the key's identifier, only `hint` is written.
fn sign1_with_hint(
    signer: &(impl Signer + ?Sized),
    by: &AuthorityCertificate,
    payload: &[u8],
    place: Place,
    hint: &[u8],
    what: &'static str,
) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(payload.len() + 160);
    let signed = cose::sign1(payload, place, by.algorithm.cose(), hint, Sink(&mut out), |parts| {
        signer.sign(by.label, Kind::Cose, &parts.concat())
    });
    signed.map_err(|error| not_signed(what, error))?;
    Ok(out)
}

/// The signer's own error where it has one, so that its advice is not lost.
pub(crate) fn not_signed(what: &'static str, error: cose::SignError<SignerError, std::convert::Infallible>) -> Error {
    match error {
        cose::SignError::Signer(error) => Error::Signer(error),
        other => Error::Object { what, why: other.to_string() },
    }
}

/// Of whom a standing is, as status lists name it.
pub(crate) fn told(subject: &Subject) -> Told {
    match subject {
        Subject::Credential(id) => Told::Credential(*id),
        Subject::Device(name) => Told::Device(DeviceId::of(name, &AwsLc)),
        Subject::Issuer(key) => Told::Issuer(*key),
    }
}

/// A standing as the list tells it.
pub(super) fn record(standing: &Standing) -> Record {
    Record {
        subject: told(&standing.subject),
        state: state_of(standing.state),
        reason: reason_of(standing),
        since: standing.since,
        epoch: standing.epoch,
    }
}
