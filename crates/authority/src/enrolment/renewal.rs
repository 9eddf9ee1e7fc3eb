//! Renewal, and what the use of a credential tells about the others of its device.

use super::check::octets;
use super::{Answer, Decided, Refusal, RefusalKind, forbidden, malformed, refused};
use crate::admin::Reason;
use crate::keys::KeyState;
use crate::registry::Device;
use crate::store::{AuditEntry, Issued, StandingChange, StandingState, Subject};
use crate::{Authority, Error, status};
use medlock_node::enrol::NEEDS_CODE;
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::decide::Code;
use medlock_trust::list::AuthorityState;
use medlock_trust::status::Subject as StatusSubject;
use medlock_trust::x509::{Certificate, GeneralName, Request, SignedForm};
use medlock_trust::{DeviceName, Identified, KeyId, Operation, Verdict};

/// How many credentials a device gets a day, or has that are not expired, before it is told to wait until renewal is
/// due. Far more than any device needs; few enough that one that renews without end does not fill the store.
pub const MAX_EARLY_RENEWALS: usize = 256;
/// The alarm that a credential of ours is in use that the store does not know.
pub(crate) const UNKNOWN_CREDENTIAL: &str = "unknown-credential";
/// How often at most it is counted, of one device.
const UNKNOWN_PAUSE_SECONDS: i64 = 60;
/// How long it must have been quiet until it is written to the audit trail again.
const UNKNOWN_AUDIT_SECONDS: i64 = 86_400;

impl Authority {
    /// A new credential for the holder of one, also of an expired one.
    ///
    /// # Errors
    /// [`Error`] when store or signer failed; a refusal is an [`Answer`].
    pub fn renew(&self, who: &Identified, certificate: &[u8], request: &[u8], address: &str) -> Decided {
        let checked = match self.check(request)? {
            Ok(checked) => checked,
            Err(unfit) => return Ok(unfit.into()),
        };
        if who.kind() != CredentialKind::Operational {
            return forbidden("a birth credential does not renew here: use simpleenroll");
        }
        let Some(current) = self.store.issued(who.credential())? else {
            if !self.is_below_our_root(who) {
                return forbidden("this credential is not one of this site: it renews at the site that gave it");
            }
            self.note_unknown(who, Some(address))?;
            return needs_code(
                "this site does not know this credential, though its key has signed it: enrol anew with a code",
            );
        };
        let Some(name) = current.record.device else {
            return forbidden("this is not a credential of a device");
        };
        if let Some(answer) = names_differ(&checked.request, certificate) {
            return Ok(answer);
        }
        let _lock = self.device_lock(name);
        let turn = self.store.turn_of(name, checked.key)?;
        let standing = self.worst_of_itself(&current)?;
        let superseded = match standing {
            None => false,
            Some(standing) if standing.state == StandingState::Superseded => true,
            // First of all: a credential that is known to be in wrong hands must not be able to suspend its successors.
            Some(standing) => {
                let reason = not_renewed(name, standing.state, &standing.reason);
                // Where the device itself may come back, a code is what it needs, and software on it has to know that.
                let comes_back =
                    standing.state == StandingState::Compromised && status::of_device(&*self.store, name)?.is_none();
                return if comes_back { needs_code(reason) } else { forbidden(reason) };
            }
        };
        let children = self.store.children(current.credential)?;
        let all = self.store.credentials_of(name)?;
        let other = children.iter().find(|child| child.record.key != checked.key);
        // Whether the device has nothing newer than what was made of this credential.
        let followed = all.first().is_some_and(|newest| newest.record.parent == Some(current.credential));
        if let Some(other) = other.filter(|_| followed) {
            return self.two_children(name, &current, other, address);
        }
        if other.is_some() || (superseded && !followed) {
            return self.former_credential(name, &current, address);
        }
        if let Some(child) = children.into_iter().next() {
            return self.give_again(child);
        }
        if let Err(answer) = self.may_renew(who) {
            return Ok(answer);
        }
        let Some(device) = self.store.device(name)? else {
            return forbidden("the device is no longer registered: register it with `medlock device register`");
        };
        if let Some(answer) = self.too_early(&device, &current, &all) {
            return Ok(answer);
        }
        self.give(&device, &checked, Some(current.credential), turn)
    }

    /// A device may renew before a third of its credential's life is over, but not without end. Renewal is due at any
    /// time when the register says something else than the credential.
    fn too_early(&self, device: &Device, current: &Issued, all: &[Issued]) -> Option<Answer> {
        let now = self.clock.now();
        let (from, until) = (current.record.not_before, current.record.not_after);
        let due = from.plus_seconds(until.seconds_since(from) / 3);
        let recent = |issued: &&Issued| issued.record.not_after > now || issued.record.at.plus_seconds(86_400) > now;
        if now >= due || all.iter().filter(recent).count() < MAX_EARLY_RENEWALS || !says(&current.certificate, device) {
            return None;
        }
        let name = device.name;
        tracing::warn!(device = %name, credential = %current.credential, "renews without end; it has to wait");
        Some(Answer::Refused(Refusal {
            kind: RefusalKind::Forbidden,
            reason: format!("{name} has renewed {MAX_EARLY_RENEWALS} times of late: its next renewal is due at {due}"),
            retry_seconds: Some(u32::try_from(due.seconds_since(now)).unwrap_or(u32::MAX)),
        }))
    }

    /// Somebody comes with a credential that the device has left behind: a copy, or a machine restored from an old
    /// image. It gets nothing; and it must not be able to stop the device, because former keys lie in former backups.
    fn former_credential(&self, name: DeviceName, former: &Issued, address: &str) -> Decided {
        let text = format!(
            "a former credential ({}) asked to be renewed from {address} and was refused; the device itself goes on. Find \
             out who has its former key",
            former.credential
        );
        self.alarm("superseded-used", Some(name), text)?;
        needs_code(not_renewed(name, StandingState::Superseded, "superseded"))
    }

    /// Somebody renews a credential with one key after it was renewed with another: one of them is a copy.
    fn two_children(&self, name: DeviceName, parent: &Issued, other: &Issued, address: &str) -> Decided {
        self.protect(|| self.suspend_suspect(name, "two-children"))?;
        let text = format!(
            "its credential {} was renewed with one key ({}) and then again with another, from {address}: a copy may exist. \
             Both are suspended. If the device is in the right hands, revoke it for key-compromise and enrol it anew",
            parent.credential, other.record.key
        );
        self.alarm("credential-cloned", Some(name), text)?;
        self.protect(|| self.publish_status())?;
        forbidden(format!(
            "{name} was renewed with another key before: it is suspended until the site's engineer has looked at it"
        ))
    }

    /// Asks the trust core, with what the hub itself knows. Of those whose issuing key was stolen it lets through who has a
    /// credential that is in our store, and so in our log, and good but for its issuer.
    pub(crate) fn may_renew(&self, who: &Identified) -> Result<(), Answer> {
        match self.knowledge().judge(who, Operation::Renew) {
            Verdict::Allow(_) => Ok(()),
            Verdict::Deny(denied)
                if denied.code == Code::IssuerCompromised && self.is_by_stolen_key(who) && self.is_good_itself(who) =>
            {
                Ok(())
            }
            Verdict::Deny(denied) => {
                Err(refused(RefusalKind::Forbidden, format!("{}: {}", denied.code.as_str(), denied.code.remedy())))
            }
        }
    }

    /// Whether we have issued this ourselves, and nothing but a successor is known against it or its device. What a thief of the issuing key
    /// has made is not in our store.
    fn is_good_itself(&self, who: &Identified) -> bool {
        let asked = || -> Result<bool, Error> {
            let Some(issued) = self.store.issued(who.credential())? else { return Ok(false) };
            // One that was followed by another renews again where the answer was lost.
            Ok(self.worst_of_itself(&issued)?.is_none_or(|standing| standing.state == StandingState::Superseded))
        };
        asked().unwrap_or_else(|error| {
            tracing::warn!(%error, "whether a credential is one of ours could not be read, so it counts as none");
            false
        })
    }

    /// Whether nothing but the theft of one of our issuing keys is known against who issued this.
    fn is_by_stolen_key(&self, who: &Identified) -> bool {
        let keys = self.keys();
        let Some(root) = who.authority().filter(|root| keys.root_with(*root).is_some()) else { return false };
        let stolen =
            |key: KeyId| keys.iter().any(|one| one.certificate.key == key && one.state == KeyState::Compromised);
        let root_stands = self.knowledge().with_knowledge(|knowledge, _| {
            let mut listed = knowledge.lists.iter().filter_map(|list| list.standing(root));
            let told = knowledge.status.iter().find_map(|list| list.record(StatusSubject::Issuer(root)));
            let stands = |state| matches!(state, AuthorityState::Listed | AuthorityState::Retired);
            told.is_none() && listed.all(|standing| stands(standing.state))
        });
        who.issuers().iter().any(|key| stolen(*key)) && root_stands
    }

    fn is_below_our_root(&self, who: &Identified) -> bool {
        let keys = self.keys();
        who.authority().is_some_and(|root| keys.root_with(root).is_some())
    }

    /// Tells people of a credential that our keys have signed and that is not in the store: it is from behind the backup that
    /// the store is from, or whoever has stolen a key has made it.
    fn note_unknown(&self, who: &Identified, address: Option<&str>) -> Result<(), Error> {
        let (name, now) = (*who.device_name(), self.clock.now());
        let known = "and is not in the store: it was given after the backup that the store is from, or by whoever has stolen \
                     the key. It never renews. If the device is in the right hands,";
        if self.store.device(name)?.is_none() {
            let text = format!(
                "a credential of {name}, which is not registered, is signed by a key of this site {known} register it, make a \
                 new code and start its sidecar again with it"
            );
            return self.alarm_about(UNKNOWN_CREDENTIAL, None, name.to_string(), text);
        }
        let told = self.store.last_alarm(UNKNOWN_CREDENTIAL, name)?;
        if told.as_ref().is_some_and(|told| now.seconds_since(told.last) < UNKNOWN_PAUSE_SECONDS) {
            return Ok(());
        }
        let from = address.map(|address| format!(" from {address}")).unwrap_or_default();
        if told.is_none_or(|told| now.seconds_since(told.last) >= UNKNOWN_AUDIT_SECONDS) {
            self.store.note(AuditEntry {
                at: now,
                who: format!("device {name}"),
                verb: UNKNOWN_CREDENTIAL.to_owned(),
                subject: format!("{name}: credential {}{from}", who.credential()),
                outcome: NEEDS_CODE.to_owned(),
            })?;
        }
        let text = format!(
            "its credential {} is signed by a key of this site {known} make a new code (`medlock device code`) and start its \
             sidecar again with it",
            who.credential()
        );
        self.alarm(UNKNOWN_CREDENTIAL, Some(name), text)
    }

    /// Notes that somebody is seen with a credential. At the first time, all older credentials of its device become
    /// superseded; the status list tells it at the next [`Authority::tick`].
    ///
    /// # Errors
    /// [`Error`] when the store failed.
    pub fn seen(&self, who: &Identified) -> Result<(), Error> {
        if who.kind() != CredentialKind::Operational {
            return Ok(());
        }
        let Some(current) = self.store.issued(who.credential())? else {
            return if self.is_below_our_root(who) { self.note_unknown(who, None) } else { Ok(()) };
        };
        let Some(name) = current.record.device else { return Ok(()) };
        if current.used || self.worst(&current)?.is_some() {
            return Ok(());
        }
        let at = self.clock.now();
        // Newest first: those behind the current one are older.
        let older = self.store.credentials_of(name)?;
        let older = older.iter().skip_while(|issued| issued.credential != current.credential).skip(1);
        let mut changes = Vec::new();
        for issued in older {
            let subject = Subject::Credential(issued.credential);
            if self.store.standing(subject)?.is_none() {
                let reason = "superseded".to_owned();
                changes.push(StandingChange { subject, state: Some(StandingState::Superseded), reason, at });
            }
        }
        if !changes.is_empty() {
            self.store.change_standings(changes, at)?;
        }
        self.store.mark_used(current.credential)?;
        Ok(())
    }
}

fn needs_code(reason: impl Into<String>) -> Decided {
    Ok(refused(RefusalKind::NeedsCode, reason))
}

fn not_renewed(name: DeviceName, state: StandingState, reason: &str) -> String {
    match state {
        StandingState::Suspended => format!("{name} is suspended ({reason}): it renews when the site has restored it"),
        StandingState::Superseded => {
            format!("this credential of {name} is superseded: use the newer one, or enrol anew with a code")
        }
        StandingState::Ceased => format!("{name} is out of service ({reason}): register it anew under another name"),
        StandingState::Compromised if reason == Reason::Stolen.name() => {
            format!(
                "{name} is revoked ({reason}), and its name is not used again: register the device under another one"
            )
        }
        StandingState::Compromised => format!("{name} is revoked ({reason}): it needs a new key and a new code"),
    }
}

/// Whether a credential says of its device what the register does.
fn says(certificate: &[u8], device: &Device) -> bool {
    let Ok(certificate) = Certificate::read(certificate) else { return false };
    let role = certificate.extensions().role();
    let (mut dns, mut ips) = (Vec::new(), Vec::new());
    for name in certificate.extensions().subject_alt_names() {
        match name {
            GeneralName::Dns(name) => dns.push(name),
            GeneralName::Ip(bytes) => ips.push(bytes),
            _ => return false,
        }
    }
    // A C509 credential never has addresses.
    let same_names = certificate.form() != SignedForm::X509
        || (dns == device.dns && ips == device.ips.iter().map(octets).collect::<Vec<_>>());
    same_names && role.map(|role| (role.roles, role.device_type)) == Some((device.roles, device.device_type))
}

/// RFC 7030 section 4.2.2: a renewal asks for the names it has. An empty subject and absent names ask for nothing.
fn names_differ(request: &Request<'_>, certificate: &[u8]) -> Option<Answer> {
    let Ok(current) = Certificate::read(certificate) else {
        return Some(malformed("the client certificate cannot be read"));
    };
    let subject = request.subject();
    if !subject.is_empty() && !subject.matches(&current.subject()) {
        return Some(malformed(format!("a renewal keeps its subject: {} is not {}", subject, current.subject())));
    }
    let asked: Vec<_> = request.extensions().subject_alt_names().collect();
    let held: Vec<_> = current.extensions().subject_alt_names().collect();
    if !asked.is_empty() && (asked.len() != held.len() || !asked.iter().all(|name| held.contains(name))) {
        return Some(malformed("a renewal keeps its alternative names: ask for the same, or for none"));
    }
    None
}
