//! Status tickets, many at once: through the library, over HTTPS (see `peers`), over CoAP (see `coap`).

use crate::fixture::{Site, credential};
use medlock_authority::admin::{Reason, Request};
use medlock_authority::objects::Kind;
use medlock_authority::tickets::{self, MAX_CREDENTIALS};
use medlock_node::provider::{AwsLc, SigningKey};
use medlock_trust::CredentialId;
use medlock_trust::cbor::Fields;
use medlock_trust::list::List;
use medlock_trust::status::{State, Ticket};
use proptest::prelude::*;

/// What the tickets of an answer say; `None` for each that is not there.
pub(crate) fn read(site: &Site, answer: &[u8], request: &tickets::Request) -> Vec<Option<Option<State>>> {
    let list = site.authority.news().current(Kind::SiteList).unwrap();
    let list = List::danger_open(&list.bytes).unwrap();
    let mut fields = Fields::new(answer);
    fields.array_of(request.credentials.len() as u64);
    let one = |credential: &CredentialId| {
        if fields.null() {
            return None;
        }
        let bytes = fields.bytes();
        assert!(bytes.len() <= 136, "{}", bytes.len());
        let ticket = Ticket::verify(bytes, &list, &AwsLc).unwrap();
        assert_eq!((ticket.content().credential, ticket.content().nonce), (*credential, Some(&request.nonce[..])));
        Some(ticket.content().state)
    };
    let said = request.credentials.iter().map(one).collect();
    fields.finish().unwrap();
    said
}

/// Shows REQ-STAT-06, REQ-STAT-07: one request for many devices, good, suspended, revoked, expired long ago and unknown.
#[test]
fn tickets_are_given_for_many_credentials_at_once_expired_or_not() {
    let site = Site::new();
    let [one, two, three] = ["ct-1", "ct-2", "ct-3"].map(|name| credential(&site.enrol(name, &SigningKey::generate())));
    site.ask(Request::Suspend { device: "ct-2".into(), why: String::new() });
    site.ask(Request::Revoke { device: "ct-3".into(), reason: Reason::Stolen, why: String::new() });
    // Years after all of them expired.
    site.clock.advance(3 * 365 * 86_400);
    let unknown = CredentialId::from_bytes([9; 16]);
    let request = tickets::Request { nonce: vec![0xab; 16], credentials: vec![one, unknown, two, three] };
    let answer = site.authority.tickets(&request).unwrap();
    let expected = [Some(None), None, Some(Some(State::Suspended)), Some(Some(State::Compromised))];
    assert_eq!(read(&site, &answer, &request), expected);
}

proptest! {
    /// Shows REQ-STAT-06.
    #[test]
    fn a_request_for_tickets_is_read_and_bounded(
        nonce in proptest::collection::vec(any::<u8>(), 8..=32), count in 1..20_usize, at in 0..300_usize, value in any::<u8>(),
    ) {
        let credentials = (0..count).map(|number| CredentialId::from_bytes([number as u8; 16])).collect();
        let request = tickets::Request { nonce, credentials };
        let mut bytes = request.encode();
        prop_assert_eq!(tickets::Request::read(&bytes, MAX_CREDENTIALS), Ok(request));
        prop_assert!(tickets::Request::read(&bytes, count - 1).is_err());
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = tickets::Request::read(&bytes, MAX_CREDENTIALS);
        prop_assert!(tickets::Request::read(&bytes[..at], MAX_CREDENTIALS).is_err());
    }
}
