//! What people are shown of keys, requests, alarms and the audit trail.

use crate::admin::{AlarmView, AuditView, KeyView, PendingView};
use crate::encode;
use crate::keys::{AuthorityCertificate, KeyList, KeyState};
use crate::store::{Alarm, AuditEntry, Claim, PendingRequest};
use data_encoding::HEXLOWER;
use medlock_trust::Time;

/// The keys as people list them. A key that issues is taken up when the one before it ends: one that an offline root has certified, when its
/// answer is accepted. A root certifies from when it is made until the next one is.
pub(super) fn key_views(keys: &KeyList, backdate_seconds: i64) -> Vec<KeyView> {
    let made = |certificate: &AuthorityCertificate| certificate.made(backdate_seconds);
    let view = |certificate: &AuthorityCertificate, state: KeyState, [since, until]: [Option<Time>; 2]| KeyView {
        label: certificate.label.to_string(),
        state: state.name().to_owned(),
        since: since.map(|since| since.to_string()),
        until: until.map(|until| until.to_string()),
        key: certificate.key.to_string(),
        algorithm: certificate.algorithm.to_string(),
        pem: encode::pem("CERTIFICATE", &certificate.der),
    };
    let befores = std::iter::once(None).chain(keys.iter().map(Some));
    let issuing = keys.iter().zip(befores).map(|(key, before)| {
        let since = before.and_then(|before| before.until).or_else(|| made(&key.certificate));
        view(&key.certificate, key.state, [since, key.until])
    });
    let nexts = keys.roots().iter().skip(1).map(Some).chain([None]);
    let roots = keys.roots().iter().zip(nexts).map(|(root, next)| {
        let until =
            root.until.map(|until| next.and_then(|next| made(&next.certificate)).map_or(until, |next| next.min(until)));
        view(&root.certificate, root.state, [made(&root.certificate), until])
    });
    issuing.chain(roots).collect()
}

/// A request that waits, as people see it.
pub(super) fn pending_view(pending: &PendingRequest) -> PendingView {
    PendingView {
        id: HEXLOWER.encode(&pending.id),
        device: pending.device.map(|name| name.to_string()),
        by: match &pending.claim {
            Claim::Code(_) => "code".to_owned(),
            Claim::Birth { .. } => "birth".to_owned(),
        },
        key_fingerprint: HEXLOWER.encode(&pending.key_fingerprint),
        claims: pending.claims.clone(),
        address: pending.address.clone(),
        since: pending.since.to_string(),
    }
}

/// An alarm, with how often it was raised.
pub(super) fn alarm_view(alarm: &Alarm) -> AlarmView {
    let text = match alarm.count {
        0 | 1 => alarm.text.clone(),
        count => format!("{} ({count} times, the first time at {})", alarm.text, alarm.at),
    };
    AlarmView {
        id: alarm.id,
        at: alarm.at.to_string(),
        last: alarm.last.to_string(),
        count: alarm.count,
        kind: alarm.kind.clone(),
        device: alarm.device.map(|name| name.to_string()),
        text,
        acknowledged: alarm.acknowledged,
    }
}

/// A line of the audit trail.
pub(super) fn audit_view(entry: &AuditEntry) -> AuditView {
    AuditView {
        at: Time::to_string(&entry.at),
        who: entry.who.clone(),
        verb: entry.verb.clone(),
        subject: entry.subject.clone(),
        outcome: entry.outcome.clone(),
    }
}
