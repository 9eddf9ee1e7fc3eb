//! To whom else the maker of a device gave vouchers for it (RFC 8995 sections 5.8 and 5.8.3).

use super::{Asked, ask, blocking};
use crate::enrolment::maker_serial;
use crate::keys::AuthorityCertificate;
use crate::store::AuditEntry;
use crate::{Authority, Error};
use data_encoding::BASE64;
use medlock_node::accept::PeerInfo;
use medlock_node::brski::{self, AuditLog, MasaUrl, VoucherRequest, domain_id};
use medlock_node::provider::sha256;
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::x509::Certificate;
use medlock_trust::{DeviceName, KeyId};
use std::sync::Arc;

/// How many domains are named.
const NAMED: usize = 16;
/// The most letters of what a maker calls a domain, or of a date.
const MAX_TEXT: usize = 64;

/// A question to a maker.
struct Question {
    device: DeviceName,
    serial: String,
    maker: KeyId,
    masa: MasaUrl,
    message: Vec<u8>,
}

/// Asks the maker of this device, which has believed its voucher, and writes the answer to the audit trail.
pub(super) async fn look_up(authority: Arc<Authority>, peer: PeerInfo) {
    let site = Arc::clone(&authority);
    let question = match blocking(move || site.question(&peer)).await {
        Ok(Some(question)) => question,
        Ok(None) => return,
        Err(error) => return tracing::warn!(%error, "the maker of a device could not be asked for its log"),
    };
    let asked = ask(&authority, &question.masa, question.maker, "requestauditlog", question.message.clone()).await;
    if let Err(error) = blocking(move || authority.note_history(&question, asked)).await {
        tracing::warn!(%error, "what a maker tells of a device could not be noted");
    }
}

impl Authority {
    fn question(&self, peer: &PeerInfo) -> Result<Option<Question>, Error> {
        let (Some(who), Some(own)) = (&peer.identified, peer.chain.first()) else { return Ok(None) };
        let born = who.kind() == CredentialKind::Birth;
        let Some(serial) = maker_serial(own).filter(|_| born) else { return Ok(None) };
        let Some(device) = self.registered(who, &serial)? else { return Ok(None) };
        let birth = Certificate::from_der(own).ok();
        let (Some(masa), Some(maker)) = (birth.as_ref().and_then(MasaUrl::of), who.authority()) else {
            return Ok(None);
        };
        let Some(identity) = self.hub_identity().current() else { return Ok(None) };
        let now = self.clock.now();
        // One device asks for this once in a day, whatever it tells.
        if !self.locks.told.is_news(&format!("history of {serial}"), now) {
            return Ok(None);
        }
        let issuer = birth.and_then(|birth| birth.extensions().authority_key_id()?.key_id.map(<[u8]>::to_vec));
        let request = VoucherRequest {
            created_on: now,
            nonce: None,
            serial_number: serial.clone(),
            idevid_issuer: issuer,
            proximity: None,
            prior: None,
        };
        let message = brski::sign(&identity, &request.write(), now);
        let message = message.map_err(|error| Error::Conflict(error.to_string()))?;
        Ok(Some(Question { device: device.name, serial, maker, masa, message }))
    }

    fn note_history(&self, question: &Question, asked: Asked) -> Result<(), Error> {
        let Question { device, serial, .. } = question;
        let log = match asked {
            Asked::Gave(bytes) => AuditLog::read(&bytes).map_err(|error| error.to_string()),
            Asked::Refused(why) | Asked::Away(why) => Err(why),
        };
        let log = match log {
            Ok(log) => log,
            Err(why) => {
                tracing::info!(%device, serial, why, "its maker gives no log of its vouchers");
                return Ok(());
            }
        };
        let roots = self.roots();
        let ids = |root: &Arc<AuthorityCertificate>| [domain_id(&root.der), Some(BASE64.encode(&sha256(&root.spki)))];
        let own: Vec<String> = roots.iter().flat_map(ids).flatten().collect();
        let domains = domains(&log, |domain| own.iter().any(|own| own == domain));
        let told: Vec<String> = domains.iter().take(NAMED).map(ToString::to_string).collect();
        let left = domains.len().saturating_sub(NAMED);
        let more = if left == 0 { String::new() } else { format!("; and {left} more") };
        let outcome = format!("vouchers of {serial} for {}{more}", told.join("; "));
        let (who, verb) = ("its maker".to_owned(), "audit-log".to_owned());
        let entry = AuditEntry { at: self.clock.now(), who, verb, subject: device.to_string(), outcome };
        self.store.note(entry)?;
        match domains.first() {
            Some(newest) if !newest.own => self.alarm_about(
                "voucher-elsewhere",
                Some(*device),
                newest.domain.clone(),
                format!(
                    "the newest voucher that the maker of {device} gave for {serial} is for {newest}: ask the maker whose the \
                     device is"
                ),
            ),
            _ => Ok(()),
        }
    }
}

/// What a log says of one domain.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    own: bool,
    domain: String,
    vouchers: u64,
    last: String,
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { own, domain, vouchers, last } = self;
        let whose = if *own { "this site".to_owned() } else { format!("the domain {domain}") };
        write!(f, "{whose} ({vouchers}, the last at {last})")
    }
}

/// The domains of a log, in the order of their newest vouchers.
fn domains(log: &AuditLog, is_own: impl Fn(&str) -> bool) -> Vec<Told> {
    let plain = |text: &str| text.chars().filter(|letter| !letter.is_control()).take(MAX_TEXT).collect::<String>();
    let mut domains: Vec<Told> = Vec::new();
    for event in &log.events {
        let own = is_own(&event.domain_id);
        let domain = plain(&event.domain_id);
        let vouchers = event.truncated.saturating_add(1);
        match domains.iter_mut().find(|held| held.own == own && (own || held.domain == domain)) {
            Some(held) => held.vouchers = held.vouchers.saturating_add(vouchers),
            None => domains.push(Told { own, domain, vouchers, last: plain(&event.date) }),
        }
    }
    domains
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-PROV-51.
    #[test]
    fn a_log_is_told_by_domain() {
        let event = |domain: &str, truncated: u64, date: &str| brski::AuditEvent {
            date: date.to_owned(),
            domain_id: domain.to_owned(),
            nonce: None,
            assertion: "verified".to_owned(),
            truncated,
        };
        let events = vec![event("X\n", 2, "4"), event("own", 0, "3"), event("OWN", 1, "2"), event("X", 0, "1")];
        let log = AuditLog { version: 1, events, truncation: brski::Truncation::default() };
        let found = domains(&log, |domain| domain.eq_ignore_ascii_case("own"));
        let told: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["the domain X (4, the last at 4)", "this site (3, the last at 3)"]);
    }
}
