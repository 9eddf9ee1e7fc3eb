//! Who gets a credential: the bearer of an enrolment code, a device with a birth credential, and a device that renews.
//!
//! Every answer is the same when a request is repeated with the same key: an answer that was lost on its way is fetched
//! again. The same right with *another* key is never silently served: that is how a copied code or a copied credential
//! shows itself.

mod check;
mod renewal;
mod unfit;

pub(crate) use check::{Checked, another_of};
pub use renewal::MAX_EARLY_RENEWALS;
pub(crate) use renewal::UNKNOWN_CREDENTIAL;
pub use unfit::Unfit;

use crate::registry::Device;
use crate::store::{
    Alarm, Claim, CodeRecord, CodeState, Enrolment, Issued, PendingRequest, PendingState, Standing, StandingChange,
    StandingState, StoreError, Subject, Turn,
};
use crate::{Authority, Error, MadeAs, status};
use data_encoding::HEXLOWER;
use medlock_node::enrol::Code;
use medlock_node::provider;
use medlock_trust::list::List;
use medlock_trust::path::AuthorityKind;
use medlock_trust::x509::Certificate;
use medlock_trust::{CredentialId, DeviceName, Identified, KeyId};

/// Wrong secrets after which a code is void.
pub const MAX_WRONG_TRIES: u32 = 3;
/// The most requests that wait at once: more than an engineer can look through means that something is wrong.
pub const MAX_WAITING: u32 = 1_000;
/// When a client whose request waits should ask again, in seconds. Short: a person is standing before the machine.
pub const RETRY_SECONDS: u32 = 2;

/// The answer to a request for a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The certificate, DER.
    Issued(Vec<u8>),
    /// A person has to confirm it: ask again later, with the same key.
    Waits {
        /// After how many seconds.
        retry_seconds: u32,
    },
    /// No. This is a decision, not an error.
    Refused(Refusal),
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of refusal it is.
    pub kind: RefusalKind,
    /// What was wrong, and what to do, for the person before the machine.
    pub reason: String,
    /// After how many seconds the same request may be granted, if time alone can change the answer.
    pub retry_seconds: Option<u32>,
}

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The request is not what it should be.
    Malformed,
    /// Who asks has not shown a right to ask.
    Unauthorized,
    /// Who asks is known and does not get it.
    Forbidden,
    /// Who asks shows a credential that never renews here: a new code gives it another one.
    NeedsCode,
}

/// What a birth credential is good for at this site.
enum BirthRight {
    /// For a credential of this device.
    Certain(DeviceName),
    /// A person is being asked.
    Waits,
    /// A person said no.
    Rejected,
    /// A person has to be asked; about this device, if the serial is registered.
    Ask(Option<DeviceName>),
}

pub(super) type Decided = Result<Answer, Error>;

pub(super) fn refused(kind: RefusalKind, reason: impl Into<String>) -> Answer {
    Answer::Refused(Refusal { kind, reason: reason.into(), retry_seconds: None })
}

pub(super) fn forbidden(reason: impl Into<String>) -> Decided {
    Ok(refused(RefusalKind::Forbidden, reason))
}

pub(super) fn malformed(reason: impl Into<String>) -> Answer {
    refused(RefusalKind::Malformed, reason)
}

/// One text for everything that is wrong with a code: it does not tell what is known.
fn no_such_code() -> Decided {
    Ok(refused(
        RefusalKind::Unauthorized,
        "this enrolment code is wrong, used up or expired: make a new one with `medlock device code`",
    ))
}

impl Authority {
    /// A first credential for the bearer of an enrolment code. `user` and `password` are those of HTTP Basic.
    ///
    /// # Errors
    /// [`Error`] when store or signer failed; a refusal is an [`Answer`].
    pub fn enrol_by_code(&self, user: &str, password: &str, request: &[u8], address: &str) -> Decided {
        let decided = self.decide_by_code(user, password, request, address);
        if let Ok(Answer::Refused(Refusal { reason, .. })) = &decided {
            tracing::info!(address, %reason, "an enrolment by a code was refused");
        }
        decided
    }

    fn decide_by_code(&self, user: &str, password: &str, request: &[u8], address: &str) -> Decided {
        let checked = match self.check_itself(request)? {
            Ok(checked) => checked,
            Err(unfit) => return Ok(unfit.into()),
        };
        let id: Option<[u8; 5]> = HEXLOWER.decode(user.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let Some(id) = id else { return no_such_code() };
        let Some(name) = self.store.code(id)?.map(|code| code.device) else { return no_such_code() };
        let _locks = (self.device_lock(name), self.key_lock(checked.key));
        // Read again: only now it cannot change any more.
        let Some(Enrolment { code, device, against, turn, of_key }) = self.store.enrolment(id, checked.key)? else {
            return no_such_code();
        };
        if let Some(unfit) = self.compromised(&of_key)? {
            return Ok(unfit.into());
        }
        let proven =
            Code::hash_of_password(password).is_some_and(|hash| provider::same_secret(&hash, &code.secret_hash));
        if !proven {
            return self.wrong_secret(&code, address);
        }
        if code.state == CodeState::Void {
            return no_such_code();
        }
        if code.key.is_some_and(|key| key != checked.key) {
            return self.code_used_twice(&code, address);
        }
        if let Some(device) = &device
            && let Some(unfit) = self.asks_for_another(&checked.request, device)?
        {
            return Ok(unfit.into());
        }
        match code.state {
            CodeState::Open if code.expires < self.clock.now() => no_such_code(),
            CodeState::Open => self.wait(Some(name), Claim::Code(id), None, &checked, address),
            CodeState::Waiting => Ok(Answer::Waits { retry_seconds: RETRY_SECONDS }),
            CodeState::Confirmed => self.first_credential(name, device, against, &checked, turn, &of_key),
            CodeState::Void => no_such_code(),
        }
    }

    fn wrong_secret(&self, code: &CodeRecord, address: &str) -> Decided {
        if code.state != CodeState::Void {
            let tries = self.store.count_wrong_try(code.id, MAX_WRONG_TRIES)?;
            if tries >= MAX_WRONG_TRIES {
                self.store.void_claims_of(code.device)?;
                let text =
                    format!("{tries} wrong secrets for its enrolment code, last from {address}: the code is void");
                self.alarm("code-guessed", Some(code.device), text)?;
            }
        }
        no_such_code()
    }

    /// Two have come with one code, and nobody knows which of them is the device: neither gets anything, and what one of
    /// them got already is suspended.
    fn code_used_twice(&self, code: &CodeRecord, address: &str) -> Decided {
        self.store.void_claims_of(code.device)?;
        let of_code = code.key.map(|key| self.store.credentials_for(key)).transpose()?.unwrap_or_default();
        let issued = of_code.iter().any(|issued| issued.record.device == Some(code.device));
        let text = format!(
            "its enrolment code was used again, with another key, from {address}: the code is void{}. Find out which of \
             both is the device, and revoke what the other got",
            if issued { " and the device, which got a credential with it, is suspended" } else { "" }
        );
        if issued {
            self.suspend_suspect(code.device, "code-reused")?;
        }
        self.alarm("code-reused", Some(code.device), text)?;
        if issued {
            self.publish_status()?;
        }
        no_such_code()
    }

    /// Suspends a device of which a copy may exist. The suspension covers all its credentials; restoring it is one act.
    pub(super) fn suspend_suspect(&self, name: DeviceName, reason: &str) -> Result<(), Error> {
        let (subject, state, at) = (Subject::Device(name), Some(StandingState::Suspended), self.clock.now());
        self.store.change_standings(vec![StandingChange { subject, state, reason: reason.to_owned(), at }], at)?;
        Ok(())
    }

    /// Puts a request before a person.
    fn wait(
        &self,
        device: Option<DeviceName>,
        claim: Claim,
        made_as: Option<MadeAs>,
        checked: &Checked<'_>,
        address: &str,
    ) -> Decided {
        let subject = checked.request.subject();
        let claims = match &claim {
            Claim::Code(_) if subject.is_empty() => String::new(),
            Claim::Code(_) => subject.to_string(),
            Claim::Birth { serial, maker: Some(maker), .. } => format!("maker's serial {serial}, by the maker {maker}"),
            Claim::Birth { serial, maker: None, .. } => format!("maker's serial {serial}"),
        };
        let claims = made_as.map_or_else(|| claims.clone(), |made| format!("{claims}, made as {made}"));
        let birth = match &claim {
            Claim::Birth { credential, .. } => Some(*credential),
            Claim::Code(_) => None,
        };
        let pending = PendingRequest {
            id: provider::random(),
            device,
            claim,
            key: checked.key,
            key_fingerprint: provider::sha256(&checked.spki),
            made_as,
            claims: claims.chars().filter(|letter| !letter.is_control()).take(200).collect(),
            address: address.to_owned(),
            since: self.clock.now(),
            state: PendingState::Waiting,
        };
        match self.store.add_pending(pending, MAX_WAITING) {
            Ok(()) => Ok(Answer::Waits { retry_seconds: RETRY_SECONDS }),
            // Somebody else was faster with this code: the next request finds out who.
            Err(StoreError::Missing { .. }) => Ok(Answer::Waits { retry_seconds: RETRY_SECONDS }),
            Err(StoreError::Taken { .. }) if birth.is_some() && self.waits_by(birth)? => forbidden(
                "a request by this birth credential waits already, with another key: the site's engineer must reject that \
                 one first",
            ),
            Err(StoreError::Taken { .. }) => {
                forbidden(format!("{MAX_WAITING} requests wait already: confirm or reject some with `medlock device`"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn waits_by(&self, birth: Option<CredentialId>) -> Result<bool, Error> {
        let waiting = self.store.waiting()?;
        Ok(waiting.iter().any(|one| matches!(one.claim, Claim::Birth { credential, .. } if Some(credential) == birth)))
    }

    /// Gives a confirmed device its first credential, or the one it already got for this key. The caller holds the locks of
    /// the device and the key, and behind them has read the turn first, and then the device's entry, what is known against
    /// it, and the certificates for the key.
    fn first_credential(
        &self,
        name: DeviceName,
        device: Option<Device>,
        against: Option<Standing>,
        checked: &Checked<'_>,
        turn: Turn,
        of_key: &[Issued],
    ) -> Decided {
        let Some(device) = device else {
            return forbidden("the device is no longer registered: register it with `medlock device register`");
        };
        if let Some(standing) = against {
            return forbidden(format!("{name} is {}: see `medlock device show`", standing.reason));
        }
        if let Some(issued) = of_key.iter().find(|issued| issued.record.device == Some(name)) {
            return self.give_again(issued.clone());
        }
        if let Some(unfit) = self.asks_for_another(&checked.request, &device)? {
            return Ok(unfit.into());
        }
        if let Some(unfit) = another_of(of_key, name) {
            return Ok(unfit.into());
        }
        self.give_with_lock(&device, checked, None, turn)
    }

    /// Gives a certificate out that was made before, perhaps by a run that ended before the log covered it.
    pub(super) fn give_again(&self, issued: Issued) -> Decided {
        self.log().await_covered(issued.record.serial)?;
        Ok(Answer::Issued(issued.certificate))
    }

    pub(super) fn give(
        &self,
        device: &Device,
        checked: &Checked<'_>,
        parent: Option<CredentialId>,
        turn: Turn,
    ) -> Decided {
        let _lock = self.key_lock(checked.key);
        if let Some(unfit) = self.has_another(checked.key, device.name)? {
            return Ok(unfit.into());
        }
        self.give_with_lock(device, checked, parent, turn)
    }

    /// The caller holds the key's lock, and has seen that no other device has the key.
    fn give_with_lock(
        &self,
        device: &Device,
        checked: &Checked<'_>,
        parent: Option<CredentialId>,
        turn: Turn,
    ) -> Decided {
        let (credential, certificate) = self.issue_operational(device, &checked.spki, checked.form, parent, turn)?;
        tracing::info!(device = %device.name, %credential, renewal = parent.is_some(), "issued a credential");
        Ok(Answer::Issued(certificate))
    }

    /// A first credential for a device with a birth credential: at once if the site registered the maker's serial, and
    /// the maker who vouches for it is the one that is registered, or the only one there is; else after a person has
    /// said which device it is.
    ///
    /// # Errors
    /// [`Error`] when store or signer failed; a refusal is an [`Answer`].
    pub fn enrol_by_birth(&self, who: &Identified, birth_certificate: &[u8], request: &[u8], address: &str) -> Decided {
        let checked = match self.check(request)? {
            Ok(checked) => checked,
            Err(unfit) => return Ok(unfit.into()),
        };
        if let Err(denied) = self.knowledge().judge_enrolment(who) {
            return forbidden(format!("{}: {}", denied.code.as_str(), denied.code.remedy()));
        }
        let Some(serial) = maker_serial(birth_certificate) else {
            return forbidden("the birth credential names no serial (hardwareModuleName or subject serialNumber)");
        };
        let claim = Claim::Birth { credential: who.credential(), serial, maker: who.authority() };
        let lock = match self.birth_right(who, &claim, checked.key)? {
            BirthRight::Certain(device) => Some((self.device_lock(device), self.store.turn_of(device, checked.key)?)),
            BirthRight::Waits | BirthRight::Rejected | BirthRight::Ask(_) => None,
        };
        // Asked again: only with the lock it cannot change any more.
        match (self.birth_right(who, &claim, checked.key)?, &lock) {
            (BirthRight::Certain(name), Some((_, turn))) => {
                let (device, against) = (self.store.device(name)?, status::of_device(&*self.store, name)?);
                let _lock = self.key_lock(checked.key);
                let of_key = self.store.credentials_for(checked.key)?;
                let decided = self.first_credential(name, device.clone(), against, &checked, *turn, &of_key)?;
                if let (Answer::Issued(_), Some(device)) = (&decided, &device) {
                    self.watch_what_it_was_made_for(who, device)?;
                }
                Ok(decided)
            }
            (BirthRight::Certain(_) | BirthRight::Waits, _) => Ok(Answer::Waits { retry_seconds: RETRY_SECONDS }),
            (BirthRight::Rejected, _) => forbidden("this request was turned down by the site; ask the site's engineer"),
            (BirthRight::Ask(device), _) => self.wait(device, claim, MadeAs::of(who), &checked, address),
        }
    }

    fn birth_right(&self, who: &Identified, claim: &Claim, key: KeyId) -> Result<BirthRight, Error> {
        match self.store.pending_by(claim, key)?.map(|pending| (pending.state, pending.device)) {
            Some((PendingState::Waiting, _)) => return Ok(BirthRight::Waits),
            Some((PendingState::Rejected, _)) => return Ok(BirthRight::Rejected),
            Some((PendingState::Approved, Some(device))) => return Ok(BirthRight::Certain(device)),
            Some((PendingState::Approved, None)) | None => {}
        }
        let Claim::Birth { serial, .. } = claim else { return Ok(BirthRight::Ask(None)) };
        Ok(match self.registered(who, serial)? {
            None => BirthRight::Ask(None),
            Some(device) if device.maker_key.is_none() && !self.has_one_maker() => BirthRight::Ask(Some(device.name)),
            Some(device) if self.has_a_past(&device, key)? => BirthRight::Ask(Some(device.name)),
            Some(device) => BirthRight::Certain(device.name),
        })
    }

    /// The device of the register that has this maker's serial, if whoever shows the serial may: any maker can write any
    /// serial, and it counts only together with the maker's key.
    pub(crate) fn registered(&self, who: &Identified, serial: &str) -> Result<Option<Device>, Error> {
        let vouched = |device: &Device| match device.maker_key {
            Some(maker) => who.issuers().iter().any(|issuer| *issuer.as_bytes() == maker),
            None => true,
        };
        Ok(self.store.device_with_maker_serial(serial)?.filter(vouched))
    }

    /// Whether the lists name one maker and no more, in whatever state.
    fn has_one_maker(&self) -> bool {
        self.knowledge().with_knowledge(|knowledge, _| {
            let authorities = knowledge.lists.iter().flat_map(List::authorities);
            authorities.filter(|authority| authority.kind == AuthorityKind::Maker).count() == 1
        })
    }

    /// Whether a device that asks for a first credential with this key has another one that is good (a factory reset,
    /// or a copy), or one that is compromised (after which design and policy ask for an approval): a person decides.
    fn has_a_past(&self, device: &Device, key: KeyId) -> Result<bool, Error> {
        let now = self.clock.now();
        for issued in self.store.credentials_of(device.name)? {
            match self.worst(&issued)?.map(|standing| standing.state) {
                Some(StandingState::Compromised) => return Ok(true),
                None if issued.record.key != key && issued.record.not_after > now => return Ok(true),
                None | Some(StandingState::Suspended | StandingState::Superseded | StandingState::Ceased) => {}
            }
        }
        Ok(false)
    }

    /// Raises an alarm of which there is one at a time for each kind and device. Blocks.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn alarm(&self, kind: &str, device: Option<DeviceName>, text: String) -> Result<(), Error> {
        self.alarm_about(kind, device, String::new(), text)
    }

    /// Raises an alarm that stands apart from others of its kind, by whom or what it is about and what it says.
    pub(crate) fn alarm_about(
        &self,
        kind: &str,
        device: Option<DeviceName>,
        subject: String,
        text: String,
    ) -> Result<(), Error> {
        tracing::error!(kind, device = device.map(|name| name.to_string()), text, "alarm");
        let at = self.clock.now();
        let kind = kind.to_owned();
        self.store.raise(Alarm { id: 0, at, last: at, count: 1, kind, device, subject, text, acknowledged: false })?;
        Ok(())
    }
}

/// The maker's serial of a birth credential: `hardwareModuleName` (RFC 4108 section 5), else the subject's serialNumber.
pub(crate) fn maker_serial(certificate: &[u8]) -> Option<String> {
    let certificate = Certificate::read(certificate).ok()?;
    let module = certificate.extensions().subject_alt_names().find_map(|name| name.hardware_module_name());
    let serial = match module {
        Some(module) => std::str::from_utf8(module.serial).ok()?.to_owned(),
        None => certificate.subject().only(medlock_trust::x509::ids::SERIAL_NUMBER)?.to_string(),
    };
    DeviceName::new(&serial).map(|_| serial)
}
