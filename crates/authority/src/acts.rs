//! What an administrator's requests do.

mod register;
mod views;

use crate::admin::{Asker, AuthorityView, LogView, Reason, Request, Response, RouteView};
use crate::keys::KeyList;
use crate::provision::Row;
use crate::registry::{self, Device, DeviceConfig};
use crate::settings::Kind;
use crate::store::{
    AuditEntry, Claim, CodeRecord, CodeState, DeviceSearch, PendingRequest, PendingState, Standing, StandingChange,
    StandingState, Subject,
};
use crate::{Authority, Error, encode, status};
use data_encoding::{BASE64, HEXLOWER};
use medlock_node::enrol::Code;
use medlock_node::provider;
use medlock_trust::list::Suspension;
use medlock_trust::path::MAX_CHAIN;
use medlock_trust::{CredentialId, DeviceName, KeyId};

/// How long an enrolment code is good if nobody says otherwise, in seconds.
const CODE_SECONDS: u64 = 86_400;
/// The most devices of one answer.
const MAX_PAGE: u32 = 1_000;
/// Lines of the audit trail that are shown if nobody says otherwise.
const AUDIT_LINES: u32 = 100;

impl Authority {
    /// Does what an administrator asks, and writes it to the audit trail if it changes something.
    ///
    /// # Errors
    /// [`Error`]; a request that failed is in the audit trail too.
    pub fn administer(&self, asker: &Asker, request: Request) -> Result<Response, Error> {
        let noted = audited(&request)
            .map(|(verb, subject)| (verb, self.whose_request(&request).unwrap_or_default() + &subject));
        let did = self.act(request);
        if let Some((verb, subject)) = noted {
            let outcome = did.as_ref().map_or_else(ToString::to_string, |_| "done".to_owned());
            let at = self.clock.now();
            tracing::info!(who = asker.as_str(), verb, subject, outcome, "admin");
            // A number of a user is one of a machine.
            let at_hub = if self.is_shared() { format!(" at {}", self.settings.hub_name) } else { String::new() };
            let who = format!("{}{at_hub}", asker.as_str());
            let noted = self.store.note(AuditEntry { at, who, verb: verb.to_owned(), subject, outcome });
            self.count_act();
            return match (did, noted) {
                (did, Ok(())) => did,
                // What became of the act itself comes first.
                (Err(error), Err(unnoted)) => {
                    tracing::error!(error = %unnoted, "the audit trail could not be written");
                    Err(error)
                }
                (Ok(_), Err(unnoted)) => {
                    Err(Error::Conflict(format!("it is done, and the audit trail does not say so: {unnoted}")))
                }
            };
        }
        did
    }

    /// The device of a waiting request that is decided on, whose number says nothing to anybody afterwards.
    fn whose_request(&self, request: &Request) -> Option<String> {
        let (id, named) = match request {
            Request::Approve { id, device } => (id, device.clone()),
            Request::Reject { id } => (id, None),
            _ => return None,
        };
        let device = named.or_else(|| Some(self.waiting(id).ok()?.device?.to_string()))?;
        Some(format!("{device}, request "))
    }

    fn act(&self, request: Request) -> Result<Response, Error> {
        match request {
            Request::Authority => self.view(),
            Request::Register { device } => self.register(device),
            Request::Update { device, read } => self.update(device, read.map(|read| *read)),
            Request::Remove { device } => self.remove(&device),
            Request::List => self.list(&DeviceSearch::Name(String::new()), None, u32::MAX),
            Request::Find { search, after, limit } => self.find(search, after.as_deref(), limit.min(MAX_PAGE)),
            Request::Show { device } => self.show(&self.shown(&device)?),
            Request::Code { device, lifetime_seconds } => self.code(&device, lifetime_seconds.unwrap_or(CODE_SECONDS)),
            Request::Pending => {
                Ok(Response::Pending { pending: self.store.waiting()?.iter().map(views::pending_view).collect() })
            }
            Request::Pledges => self.pledges(),
            Request::Approve { id, device } => self.approve(&id, device.as_deref()),
            Request::Reject { id } => self.reject(&id),
            Request::Suspend { device, why } => self.protect(|| self.suspend(&device, &why)),
            Request::Restore { device, why } => self.restore(&device, &why),
            Request::Revoke { device, reason, why } => self.protect(|| self.revoke(&device, reason, &why)),
            Request::Bond { device, controller, patient, operations } => {
                let (device, controller) = (self.device(&device)?, self.device(&controller)?);
                self.bond(&device, &controller, patient.as_deref(), &operations)
            }
            Request::Routes => self.routes(),
            Request::SetRoute { device, ae_titles, sidecar } => self.set_route(&device, ae_titles, Some(sidecar)),
            Request::RemoveRoute { device } => self.set_route(&device, Vec::new(), None),
            Request::ImportTrustList { object, members, threshold } => self.import(&object, &members, threshold),
            Request::Object { object } => self.object(object),
            Request::Log => self.log_view(),
            Request::Proof { credential } => self.proof(&credential),
            Request::Alarms => {
                Ok(Response::Alarms { alarms: self.store.alarms()?.iter().map(views::alarm_view).collect() })
            }
            Request::AcknowledgeAlarm { id } => {
                self.store.acknowledge(id)?;
                done(format!("alarm {id} is acknowledged"))
            }
            Request::Audit { limit } => {
                let entries = self.store.audit(limit.unwrap_or(AUDIT_LINES).min(10_000))?;
                Ok(Response::Audit { entries: entries.iter().map(views::audit_view).collect() })
            }
            Request::Provision { profile, rows } => {
                Ok(Response::Provisioned { outcomes: self.provision(profile, &rows)? })
            }
            Request::ImportVoucher { voucher } => self.import_voucher(&voucher),
            Request::Keys => self.keys_view(&self.keys()),
            Request::ChangeKeys { change, anyway, why: _ } => self.keys_view(&*self.change_keys(change, anyway)?),
            Request::RequestRoot { change, anyway } => {
                Ok(Response::RootRequest { bytes: BASE64.encode(&self.request_root(change, anyway)?) })
            }
            Request::AcceptRoot { answer } => {
                let answer = BASE64.decode(answer.as_bytes());
                let answer = answer.map_err(|error| Error::invalid("answer", error.to_string()))?;
                self.keys_view(&*self.accept_root(&answer)?)
            }
            Request::IssueVoucher { order } => {
                Ok(Response::Voucher { bytes: BASE64.encode(&self.issue_voucher(&order)?) })
            }
            Request::ReleaseDevice { serial, transfer, owner, why } => {
                self.release_by(&serial, transfer.as_deref(), owner.as_deref(), &why)
            }
            Request::Owners { serial } => self.owners_view(&serial),
            Request::ConfirmRestore => self.confirm_restore(),
            Request::TransferDevice { serial, to } => {
                Ok(Response::Voucher { bytes: BASE64.encode(&self.transfer(&serial, to.as_deref())?) })
            }
        }
    }

    /// The certificate of the key that issues, and how the root above it took the place of those before, PEM.
    fn issuing_and_links(&self) -> String {
        let keys = self.keys();
        let way = keys.current_key().map(|key| keys.way_up(key, MAX_CHAIN)).unwrap_or_default();
        let links = way.split_last().map_or(&[][..], |(_root, links)| links);
        let pem = |der: &Vec<u8>| encode::pem("CERTIFICATE", der);
        [&self.issuing().der].into_iter().chain(links).map(pem).collect()
    }

    fn keys_view(&self, keys: &KeyList) -> Result<Response, Error> {
        let hubs = self.store.is_shared().then(|| self.other_hubs()).transpose()?;
        Ok(Response::Keys { keys: views::key_views(keys, self.rules().profile.backdate_seconds()), hubs })
    }

    /// The other hubs at work on the same store.
    fn other_hubs(&self) -> Result<Vec<String>, Error> {
        let own = self.settings.hub_name;
        Ok(self.store.hubs_at_work()?.into_iter().filter(|hub| hub != own.as_str()).collect())
    }

    fn view(&self) -> Result<Response, Error> {
        Ok(Response::Authority(AuthorityView {
            name: self.settings.name.clone(),
            kind: self.settings.kind.name().to_owned(),
            root_fingerprint: HEXLOWER.encode(&provider::sha256(&self.root().der)),
            root_key: self.root().key.to_string(),
            issuing_key: self.issuing().key.to_string(),
            root_pem: encode::pem("CERTIFICATE", &self.root().der),
            issuing_pem: self.issuing_and_links(),
            devices: usize::try_from(self.store.device_count()?).unwrap_or(usize::MAX),
        }))
    }

    fn log_view(&self) -> Result<Response, Error> {
        let checkpoint = self.shown_checkpoint()?.map(|signed| String::from_utf8_lossy(&signed.note).into_owned());
        let key = self.log().key();
        let (origin, size) = (key.name().to_owned(), self.store.log_size()?);
        Ok(Response::Log(LogView { origin, key: key.to_string(), size, checkpoint }))
    }

    fn proof(&self, credential: &str) -> Result<Response, Error> {
        let unknown = || Error::Unknown { what: "credential of this authority", name: credential.to_owned() };
        let bytes = HEXLOWER.decode(credential.to_lowercase().as_bytes()).ok();
        let id = bytes.and_then(|bytes| bytes.try_into().ok()).map(CredentialId::from_bytes).ok_or_else(unknown)?;
        let proof = self.log_proof(id)?.ok_or_else(unknown)?;
        Ok(Response::Proof { proof: String::from_utf8_lossy(&proof).into_owned() })
    }

    fn device(&self, name: &str) -> Result<Device, Error> {
        let unknown = || Error::Unknown { what: "device", name: name.to_owned() };
        self.store.device(DeviceName::new(name).ok_or_else(unknown)?)?.ok_or_else(unknown)
    }

    /// A device of the register; of a maker, which has none, the name of one that has credentials of its.
    fn shown(&self, name: &str) -> Result<Device, Error> {
        match self.settings.kind {
            Kind::Maker if self.settings.hub_name.as_str() != name => self.known(name).map(Device::named),
            Kind::Maker | Kind::Site => self.device(name),
        }
    }

    /// A device of the register; at a maker, one that has credentials of its.
    fn known(&self, name: &str) -> Result<DeviceName, Error> {
        if self.settings.kind == Kind::Site {
            return self.device(name).map(|device| device.name);
        }
        let unknown = || Error::Unknown { what: "device with a birth credential of this maker", name: name.to_owned() };
        let known = DeviceName::new(name).ok_or_else(unknown)?;
        if self.store.credentials_of(known)?.is_empty() { Err(unknown()) } else { Ok(known) }
    }

    fn code(&self, name: &str, seconds: u64) -> Result<Response, Error> {
        self.site_only()?;
        let device = self.device(name)?;
        if !(60..=7 * 86_400).contains(&seconds) {
            return Err(Error::invalid("lifetime_seconds", "give between 60 seconds and a week (604800)"));
        }
        if let Some(standing) = status::of_device(&*self.store, device.name)? {
            return Err(Error::Conflict(no_code(name, &standing)));
        }
        let code = Code::new(&self.root_fingerprint());
        let expires = self.clock.now().plus_seconds(i64::try_from(seconds).unwrap_or(0));
        self.store.add_code(CodeRecord {
            id: code.id(),
            device: device.name,
            secret_hash: code.secret_hash(),
            expires,
            wrong_tries: 0,
            state: CodeState::Open,
            key: None,
        })?;
        Ok(Response::Code { code: code.to_string(), device: name.to_owned(), expires: expires.to_string() })
    }

    fn waiting(&self, id: &str) -> Result<PendingRequest, Error> {
        let unknown = || Error::Unknown { what: "waiting request", name: id.to_owned() };
        let bytes: [u8; 8] =
            HEXLOWER.decode(id.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(unknown)?;
        self.store.pending(bytes)?.filter(|pending| pending.state == PendingState::Waiting).ok_or_else(unknown)
    }

    fn approve(&self, id: &str, name: Option<&str>) -> Result<Response, Error> {
        let pending = self.waiting(id)?;
        let device = match (pending.device, name) {
            (Some(known), Some(name)) if known.as_str() != name => {
                return Err(Error::Conflict(format!("this request is for {:?}, not for {name:?}", known.as_str())));
            }
            (Some(known), _) => self.device(known.as_str())?,
            (None, Some(name)) => self.device(name)?,
            (None, None) => {
                return Err(Error::invalid("device", "nobody registered this serial: say which device it is"));
            }
        };
        if let Some(standing) = status::of_device(&*self.store, device.name)? {
            return Err(Error::Conflict(no_code(device.name.as_str(), &standing)));
        }
        if let Claim::Birth { serial, maker, .. } = &pending.claim {
            self.remember_birth(&device, serial, *maker)?;
        }
        self.store.settle(pending.id, PendingState::Approved, Some(device.name))?;
        let warning = Self::warning_of(pending.made_as, &device);
        let warning = warning.map_or_else(String::new, |warning| format!("\nWARNING: {warning}"));
        done(format!("{} may enrol with key {}{warning}", device.name, pending.key))
    }

    /// The register entry of an approved device gets the serial and the maker's key of its birth credential.
    fn remember_birth(&self, device: &Device, serial: &str, maker: Option<KeyId>) -> Result<(), Error> {
        let name = device.name.as_str();
        if let Some(other) = device.maker_serial.as_ref().filter(|other| *other != serial) {
            return Err(Error::Conflict(format!(
                "{name:?} is registered with the maker's serial {other:?}, and the request has {serial:?}"
            )));
        }
        let maker = maker.map(|maker| *maker.as_bytes());
        if let (Some(registered), Some(given)) = (device.maker_key, maker)
            && registered != given
        {
            return Err(Error::Conflict(format!(
                "{name:?} is registered with the maker's key {}, and {} vouches for the request",
                HEXLOWER.encode(&registered),
                HEXLOWER.encode(&given)
            )));
        }
        let maker_key = device.maker_key.or(maker);
        let known = Device { maker_serial: Some(serial.to_owned()), maker_key, ..device.clone() };
        if known == *device { Ok(()) } else { self.put(device, known) }
    }

    fn reject(&self, id: &str) -> Result<Response, Error> {
        let pending = self.waiting(id)?;
        self.store.settle(pending.id, PendingState::Rejected, None)?;
        done(format!("request {id} is turned down"))
    }

    fn change(&self, changes: Vec<StandingChange>) -> Result<(), Error> {
        self.store.change_standings(changes, self.time_to_state())?;
        match self.settings.kind {
            Kind::Site => self.publish_status().map_err(|why| {
                // Where the store does not say who else works, nobody is promised.
                Error::NotSigned { why: Box::new(why), others: self.other_hubs().unwrap_or_default() }
            }),
            // Its lists are made when they are asked for.
            Kind::Maker => Ok(()),
        }
    }

    fn suspend(&self, name: &str, why: &str) -> Result<Response, Error> {
        let device = self.device(name)?;
        if device.name == self.settings.hub_name {
            return Err(Error::Conflict("the hub cannot suspend itself: no device would hear it lifted".to_owned()));
        }
        let _lock = self.device_lock(device.name);
        // What is revoked stays so; who believes it suspended would believe that it can be restored.
        let held = self.store.standing(Subject::Device(device.name))?;
        if let Some(worse) = held.filter(|held| held.state > StandingState::Suspended) {
            return Err(Error::Conflict(format!(
                "{name} is revoked for good ({}, since {}): there is nothing to suspend",
                worse.reason, worse.since
            )));
        }
        self.change(vec![self.standing_change(device.name, Some(StandingState::Suspended), "suspended")])?;
        tracing::warn!(device = name, why, "suspended");
        done(format!("{name} is suspended"))
    }

    fn restore(&self, name: &str, why: &str) -> Result<Response, Error> {
        let device = self.device(name)?;
        // Its credentials are suspended where a stolen key has called them revoked.
        let own =
            self.store.credentials_of(device.name)?.into_iter().map(|issued| Subject::Credential(issued.credential));
        let mut changes = Vec::new();
        for subject in own.chain([Subject::Device(device.name)]) {
            if self.store.standing(subject)?.is_some_and(|known| known.state == StandingState::Suspended) {
                let (reason, at) = ("restored".to_owned(), self.time_to_state());
                changes.push(StandingChange { subject, state: None, reason, at });
            }
        }
        if changes.is_empty() {
            return Err(Error::Conflict(format!("{name} is not suspended; what is revoked cannot be restored")));
        }
        self.change(changes)?;
        tracing::warn!(device = name, why, "restored");
        done(format!("{name} is restored"))
    }

    fn revoke(&self, name: &str, reason: Reason, why: &str) -> Result<Response, Error> {
        let device = self.known(name)?;
        if device == self.settings.hub_name && reason != Reason::Superseded {
            return Err(Error::Conflict(
                "the hub cannot revoke itself; if its host is lost, make a new site and enrol the devices there"
                    .to_owned(),
            ));
        }
        let _lock = self.device_lock(device);
        // Nothing that is under way, here or at another hub, comes into being behind this.
        self.store.end_turns_of(device)?;
        let credentials = self.store.credentials_of(device)?;
        let (state, whole_device) = match reason {
            Reason::KeyCompromise => (StandingState::Compromised, None),
            Reason::Stolen => (StandingState::Compromised, Some(StandingState::Compromised)),
            Reason::Retired => (StandingState::Ceased, Some(StandingState::Ceased)),
            Reason::Superseded => (StandingState::Superseded, None),
        };
        let at = self.time_to_state();
        let change =
            |subject, state| StandingChange { subject, state: Some(state), reason: reason.name().to_owned(), at };
        let changes = credentials
            .iter()
            .map(|issued| change(Subject::Credential(issued.credential), state))
            .chain(whole_device.map(|state| change(Subject::Device(device), state)));
        // First the claims: no code that is out may bring the old key back.
        self.store.void_claims_of(device)?;
        self.change(changes.collect())?;
        tracing::warn!(device = name, reason = reason.name(), why, "revoked");
        let suspended =
            self.store.standing(Subject::Device(device))?.is_some_and(|held| held.state == StandingState::Suspended);
        let besides = if suspended {
            format!(
                "; it is suspended besides: `medlock device restore {name}` lifts that alone, and no key that is revoked counts again"
            )
        } else {
            String::new()
        };
        done(format!("{name} is revoked ({}){besides}", reason.name()))
    }

    fn standing_change(&self, name: DeviceName, state: Option<StandingState>, reason: &str) -> StandingChange {
        StandingChange { subject: Subject::Device(name), state, reason: reason.to_owned(), at: self.time_to_state() }
    }

    fn routes(&self) -> Result<Response, Error> {
        let machines = self.machines()?;
        let view = |machine: medlock_node::routes::Machine| RouteView {
            device: machine.device.to_string(),
            ae_titles: machine.ae_titles,
            sidecar: machine.address.unwrap_or_default(),
        };
        let version = self.news.current(crate::objects::Kind::Routes).map_or(0, |object| object.version);
        Ok(Response::Routes { version, machines: machines.into_iter().map(view).collect() })
    }

    fn set_route(&self, name: &str, ae_titles: Vec<String>, sidecar: Option<String>) -> Result<Response, Error> {
        let removed = ae_titles.is_empty() && sidecar.is_none();
        let read = self.device(name)?;
        let raw = DeviceConfig { ae_titles, sidecar, ..DeviceConfig::from(&read) };
        self.put(&read, Device::try_from(raw)?)?;
        done(format!("the route of {name} is {}", if removed { "removed" } else { "set" }))
    }

    fn import(&self, object: &str, members: &[String], threshold: usize) -> Result<Response, Error> {
        self.site_only()?;
        let bytes = BASE64
            .decode(object.as_bytes())
            .map_err(|error| Error::invalid("object", format!("it is not base64: {error}")))?;
        let members = members
            .iter()
            .map(|member| registry::key_id(member).map(KeyId::from_bytes))
            .collect::<Result<Vec<_>, _>>()?;
        if Suspension::danger_open(&bytes).is_ok() {
            self.import_suspension(&bytes)?;
            let named = |key| Suspension::danger_open(&bytes).is_ok_and(|one| one.content().names(key));
            let mut suspended = self.suspended_authorities();
            suspended.retain(|one| named(one.key));
            if suspended.is_empty() {
                let version = self.news.current(crate::objects::Kind::TrustList).map_or(0, |list| list.version);
                return Err(Error::Conflict(format!(
                    "nothing new: it suspends nobody any more. It is over, or version {version} of the trust list has decided since"
                )));
            }
            let each = suspended.iter().map(|one| format!("{} until {}", one.name, one.until));
            let each = each.collect::<Vec<_>>().join(", ");
            return done(format!("suspended: {each}, or until a newer list of the alliance decides"));
        }
        let held = self.news.current(crate::objects::Kind::TrustList);
        if let Some(held) = held.filter(|held| held.bytes == bytes) {
            return done(format!(
                "this trust list, version {}, is in force already; whom the site believes is decided by the first import, and by \
                 newer lists since",
                held.version
            ));
        }
        let before = self.suspended_by_list();
        let told = self.suspended_authorities();
        let version = self.import_trust_list(&bytes, &members, threshold)?;
        self.look_at_lists();
        let after = self.suspended_by_list();
        let still: Vec<KeyId> = self.suspended_authorities().iter().map(|one| one.key).collect();
        let names =
            |all: Vec<&(KeyId, String)>| all.into_iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ");
        let told: Vec<(KeyId, String)> = told.into_iter().map(|one| (one.key, one.name)).collect();
        let confirmed = names(told.iter().filter(|one| after.contains(one)).collect());
        let over = |one: &&(KeyId, String)| !after.contains(one) && !still.contains(&one.0);
        let mut lifted: Vec<_> = before.iter().chain(&told).filter(over).collect();
        lifted.dedup();
        let lifted = names(lifted);
        let mut text = format!("the trust list, version {version}, is in force");
        if !confirmed.is_empty() {
            text += &format!("; it confirms the suspension of {confirmed}");
        }
        if !lifted.is_empty() {
            text += &format!("; it lifts the suspension of {lifted}");
        }
        done(text)
    }

    fn object(&self, kind: crate::objects::Kind) -> Result<Response, Error> {
        let object = self.news.current(kind);
        let object = object.ok_or_else(|| Error::Unknown { what: "object", name: kind.name().to_owned() })?;
        Ok(Response::Object { object: kind, version: object.version, bytes: BASE64.encode(&object.bytes) })
    }

    fn site_only(&self) -> Result<(), Error> {
        match self.settings.kind {
            Kind::Site => Ok(()),
            Kind::Maker => Err(Error::Conflict("a maker has no register: this is for sites".to_owned())),
        }
    }
}

fn done(text: String) -> Result<Response, Error> {
    Ok(Response::Done { text })
}

fn no_code(name: &str, standing: &Standing) -> String {
    match standing.state {
        StandingState::Suspended => format!("{name} is suspended: restore it first"),
        StandingState::Superseded | StandingState::Ceased | StandingState::Compromised => {
            format!("{name} is revoked for good ({}): register it under another name", standing.reason)
        }
    }
}

/// Verb and subject of a request that changes something; `None` for one that only looks.
fn audited(request: &Request) -> Option<(&'static str, String)> {
    Some(match request {
        Request::Authority
        | Request::List
        | Request::Find { .. }
        | Request::Show { .. }
        | Request::Pending
        | Request::Pledges
        | Request::Routes
        | Request::Object { .. }
        | Request::Log
        | Request::Proof { .. }
        | Request::Alarms
        | Request::Keys
        | Request::Audit { .. }
        | Request::Owners { .. } => return None,
        Request::Register { device } => ("register", device.name.clone()),
        Request::Update { device, .. } => ("update", device.name.clone()),
        Request::Remove { device } => ("remove", device.clone()),
        Request::Code { device, .. } => ("code", device.clone()),
        Request::Approve { id, .. } => ("approve", id.clone()),
        Request::Reject { id } => ("reject", id.clone()),
        Request::Suspend { device, why } => ("suspend", format!("{device}: {why}")),
        Request::Restore { device, why } => ("restore", format!("{device}: {why}")),
        Request::Revoke { device, reason, why } => ("revoke", format!("{device} ({}): {why}", reason.name())),
        Request::Bond { device, controller, operations, .. } => {
            ("bond", format!("{device} with {controller}: {}", operations.join(", ")))
        }
        Request::SetRoute { device, .. } => ("set-route", device.clone()),
        Request::RemoveRoute { device } => ("remove-route", device.clone()),
        Request::ImportTrustList { .. } => ("import-trust-list", String::new()),
        Request::AcknowledgeAlarm { id } => ("acknowledge-alarm", id.to_string()),
        Request::ChangeKeys { change, why, .. } if why.is_empty() => ("change-keys", change.to_string()),
        Request::ChangeKeys { change, why, .. } => ("change-keys", format!("{change}: {why}")),
        Request::RequestRoot { change, .. } => ("request-root", change.to_string()),
        Request::ConfirmRestore => ("confirm-restore", String::new()),
        Request::AcceptRoot { .. } => ("accept-root", String::new()),
        Request::IssueVoucher { order } => ("issue-voucher", order.serial.clone()),
        Request::ImportVoucher { .. } => ("import-voucher", String::new()),
        Request::ReleaseDevice { serial, why, .. } => ("release-device", format!("{serial}: {why}")),
        Request::TransferDevice { serial, .. } => ("transfer-device", serial.clone()),
        Request::Provision { rows, .. } => {
            let serial = |row: Option<&Row>| row.and_then(|row| row.serial.clone()).unwrap_or_default();
            ("provision", format!("{} devices, {} to {}", rows.len(), serial(rows.first()), serial(rows.last())))
        }
    })
}
