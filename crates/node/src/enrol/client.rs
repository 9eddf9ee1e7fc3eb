//! The enrolment client: first contact by code, and renewal for ever after.

use super::{Code, NEEDS_CODE, REFUSAL_CODE, Schedule, certificate_request, read_certs_only};
use crate::Error;
use crate::brski::Birth;
use crate::http::{Client, Connection};
use crate::identity::{Identity, IdentityStore};
use crate::knowledge::{Kind, KnowledgeBase};
use crate::news::{leads_to_missed, status, take_missed_lists};
use crate::provider::{AwsLc, SigningKey, jitter, sha256};
use crate::stop::Stop;
use crate::tls::{Believed, Connector};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use medlock_trust::decide;
use medlock_trust::x509::Certificate;
use medlock_trust::{Denied, Operation, Role, Time, Verdict};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use zeroize::Zeroizing;

const CA_CERTS: &str = "/.well-known/est/cacerts";
pub(super) const ENROLL: &str = "/.well-known/est/simpleenroll";
const REENROLL: &str = "/.well-known/est/simplereenroll";
/// How often at most, and at least, a waiting request is repeated, whatever the hub says.
const REPEAT: std::ops::RangeInclusive<u64> = 1..=300;
/// What is assumed when the hub does not say.
const REPEAT_DEFAULT: u64 = 5;
/// The longest chain we keep: own, issuing, and two roots that took one another's place.
const LONGEST_CHAIN: usize = 4;

/// How far enrolment is, for people who watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing has begun.
    Idle,
    /// The hub is being asked.
    Asking,
    /// The hub has the request and waits for the engineer's confirmation.
    AwaitingApproval {
        /// The start of the SHA-256 of our public key (hexadecimal), for the engineer to compare.
        key: String,
    },
    /// There is an identity.
    Enrolled {
        /// Until when its certificate is valid.
        not_after: Time,
    },
    /// The last try failed; there will be another.
    Failed {
        /// What went wrong.
        error: String,
        /// When it is tried again.
        again_in: Duration,
    },
}

/// One node's enrolment with one hub.
#[derive(Debug)]
pub struct Enrolment {
    pub(super) address: String,
    pub(super) identity: IdentityStore,
    pub(super) knowledge: Arc<KnowledgeBase>,
    pub(super) progress: watch::Sender<Progress>,
    birth: Option<Birth>,
}

impl Enrolment {
    /// Enrolment of `identity` with the hub at `address` (`host:port` of its listener for devices).
    #[must_use]
    pub fn new(address: impl Into<String>, identity: IdentityStore, knowledge: Arc<KnowledgeBase>) -> Self {
        let progress = watch::channel(Progress::Idle).0;
        Self { address: address.into(), identity, knowledge, progress, birth: None }
    }

    /// The same enrolment by a birth credential, where there is no code.
    #[must_use]
    pub fn with_birth(mut self, birth: Birth) -> Self {
        self.birth = Some(birth);
        self
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Enrols if there is no identity yet, with `code` or one kept from before a crash; then renews until asked to
    /// stop, also when the credential has expired. Where there are both an identity and a code, the hub is asked at once
    /// to renew it: if it answers that the credential needs a code, the code gives another one, and the identity stays
    /// until that is there.
    ///
    /// # Errors
    /// While enrolling: [`Error::NotReady`] without a code, and whatever trying again cannot mend, such as a code the
    /// hub refuses. Renewal has no end of its own.
    pub async fn run(self, code: Option<Code>, mut stop: Stop) -> Result<(), Error> {
        tokio::select! {
            () = stop.asked() => Ok(()),
            result = self.run_for_ever(code) => result,
        }
    }

    async fn run_for_ever(&self, code: Option<Code>) -> Result<(), Error> {
        let mut schedule = Schedule::new();
        let mut code = code.map_or_else(|| self.identity.kept_code(), |code| Ok(Some(code)))?;
        if self.identity.current().is_some() && code.is_some() {
            self.renew_until_done(&mut code, &mut schedule).await?;
        }
        while self.identity.current().is_none() {
            let contact = match (&code, &self.birth) {
                (Some(code), _) => self.first_contact(code).await,
                // Whatever is wrong may be mended elsewhere: the device may be registered, or sold, or moved.
                (None, Some(birth)) => match self.zero_touch(birth).await {
                    Err(error) => {
                        self.failed(&error, &mut schedule).await;
                        continue;
                    }
                    enrolled => enrolled,
                },
                (None, None) => Err(Error::NotReady(
                    "there is no identity yet: make an enrolment code at the hub (`medlock device code NAME`) and give it here",
                )),
            };
            match contact {
                Ok(_) => schedule.after_success(),
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => self.failed(&error, &mut schedule).await,
            }
        }
        let mut changes = self.identity.changes();
        let mut news = self.knowledge.changes();
        let mut asked = None;
        loop {
            let Some(identity) = self.identity.current() else { return Ok(()) };
            let validity = identity.validity();
            self.progress.send_replace(Progress::Enrolled { not_after: validity.1 });
            news.mark_unchanged();
            if self.lost_its_issuer(&identity) {
                tracing::warn!("the key that issued our credential was stolen: a new credential is asked for");
                tokio::time::sleep(Duration::from_secs(1).mul_f64(jitter())).await;
            } else {
                let due = schedule.due(validity, self.knowledge.clock().now(), asked);
                tokio::select! {
                    () = self.knowledge.clock().wait_until(due) => {}
                    // Somebody else put in an identity: look again when it is due.
                    Ok(()) = changes.changed() => continue,
                    Ok(()) = news.changed() => continue,
                }
            }
            self.renew_until_done(&mut None, &mut schedule).await?;
            asked = Some(self.knowledge.clock().now());
            changes.mark_unchanged();
        }
    }

    /// Renews; with a code at hand, enrols anew by it as soon as the hub says that nothing else helps. A code that the hub
    /// refuses is forgotten, and the present identity stays.
    async fn renew_until_done(&self, code: &mut Option<Code>, schedule: &mut Schedule) -> Result<(), Error> {
        loop {
            let tried = match (self.renew().await, code.as_ref()) {
                (Err(Error::NeedsCode { .. }), Some(given)) => {
                    tracing::warn!("the hub does not renew our credential: the code is used to enrol anew");
                    let anew = self.first_contact(given).await;
                    if anew.as_ref().is_err_and(is_final) {
                        *code = None;
                        self.identity.forget_code()?;
                    }
                    anew
                }
                (tried, _) => tried,
            };
            match tried {
                Ok(_) => break,
                Err(error) => self.failed(&error, schedule).await,
            }
        }
        schedule.after_success();
        Ok(())
    }

    /// Whether nobody believes our credential any more, because the key that issued it is in wrong hands. The hub knows what
    /// it has issued itself, and renews it.
    fn lost_its_issuer(&self, identity: &Identity) -> bool {
        let who = self.knowledge.identify(identity.chain());
        let verdict = who.map(|who| self.knowledge.judge(&who, Operation::Renew));
        matches!(verdict, Ok(Verdict::Deny(denied)) if denied.code == decide::Code::IssuerCompromised)
    }

    async fn failed(&self, error: &Error, schedule: &mut Schedule) {
        let again_in = schedule.after_failure(self.identity.current().map(|identity| life(&identity)));
        // Whoever follows the progress tells people.
        tracing::info!(%error, ?again_in, "enrolment did not succeed");
        self.progress.send_replace(Progress::Failed { error: error.to_string(), again_in });
        tokio::time::sleep(again_in).await;
    }

    /// Meets the hub for the first time: checks that it is the one the code names, takes the site's root and list, and
    /// unless these or what was known before say that it is a thief, sends a request and waits until the engineer has
    /// confirmed it. Repeats the same request with the same key, so it may be called again after any failure or crash.
    ///
    /// # Errors
    /// Any of [`Error`]; nothing is half-done.
    pub async fn first_contact(&self, code: &Code) -> Result<Arc<Identity>, Error> {
        self.progress.send_replace(Progress::Asking);
        self.identity.keep_code(code)?;
        let connector = Connector::new(None, Believed::Root(code.root()), Some(Role::Hub))?;
        let client = Client::tls(self.address.as_str(), connector);
        let mut hub = Hub::new(client);
        let authorities = self.ca_certificates(&mut hub).await?;
        let root = authorities
            .iter()
            .find(|certificate| sha256(certificate)[..16] == code.root())
            .ok_or_else(|| self.wrong("its cacerts do not have the root certificate the enrolment code names"))?;
        if self.knowledge.root().is_none() {
            self.knowledge.pin_root(root)?;
        }
        self.take_site_list(&mut hub).await?;
        // A root that took the place of the one that is pinned is the site's too: the list says so, which that one leads to.
        if !self.knowledge.is_root_of_site(root) {
            self.knowledge.pin_root(root)?;
        }
        let mut hub = self.heard(None)?;
        let key = self.identity.next_key()?;
        let request = certificate_request(&key, None);
        let secret = Zeroizing::new(format!("{}:{}", code.user(), code.password().as_str()));
        let mut basic = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(secret.as_bytes())))
            .map_err(|_| self.wrong("the code cannot be sent"))?;
        basic.set_sensitive(true);
        let issued = self.ask(&mut hub, ENROLL, Some(basic), &key, &request).await?;
        self.adopt(&issued, &authorities)
    }

    /// The site's list, which its root signed.
    pub(super) async fn take_site_list(&self, hub: &mut Hub) -> Result<(), Error> {
        let path = format!("/v1/objects/{}", Kind::SiteList.name());
        let answer = hub.get(&path).await?;
        if answer.status() != StatusCode::OK {
            return Err(status(&hub.client, &format!("GET {path}"), answer.status(), answer.body()));
        }
        let taken = match self.knowledge.accept(Kind::SiteList, answer.body()) {
            Err(refused) if leads_to_missed(&refused) => {
                take_missed_lists(&hub.client, &self.knowledge, Kind::SiteList).await?;
                self.knowledge.accept(Kind::SiteList, answer.body())
            }
            other => other,
        };
        match taken {
            // From a first contact that was cut short; the news bring what is newer.
            Err(refused) if self.knowledge.version(Kind::SiteList).is_some() => {
                tracing::warn!(%refused, "the hub's site list is not newer than the one held");
            }
            other => drop(other?),
        }
        Ok(())
    }

    /// Asks for a new credential with a new key, showing the present one, expired or not.
    ///
    /// # Errors
    /// Any of [`Error`]; the present identity stays until the new one is durable.
    pub async fn renew(&self) -> Result<Arc<Identity>, Error> {
        self.progress.send_replace(Progress::Asking);
        let present = self.identity.current().ok_or(Error::NotReady("there is no identity to renew"))?;
        let mut hub = self.heard(Some(&self.identity))?;
        let authorities = self.ca_certificates(&mut hub).await?;
        let key = self.identity.next_key()?;
        let own = Certificate::from_der(present.own()).map_err(|error| Error::Certificate(error.to_string()))?;
        let request = certificate_request(&key, Some(own.subject().der()));
        let issued = self.ask(&mut hub, REENROLL, None, &key, &request).await?;
        self.adopt(&issued, &authorities)
    }

    /// The hub, if nothing is known for which it is not to be listened to: codes and requests go to no other.
    pub(super) fn heard(&self, showing: Option<&IdentityStore>) -> Result<Hub, Error> {
        let believed = Believed::Knowledge(self.knowledge.clone());
        let connector = Connector::new(showing, believed, Some(Role::Hub))?;
        Ok(Hub::new(Client::tls(self.address.as_str(), connector)))
    }

    pub(super) async fn ca_certificates(&self, hub: &mut Hub) -> Result<Vec<CertificateDer<'static>>, Error> {
        let answer = hub.get(CA_CERTS).await?;
        if answer.status() != StatusCode::OK {
            return Err(status(&hub.client, &format!("GET {CA_CERTS}"), answer.status(), answer.body()));
        }
        self.certificates(answer.body())
    }

    /// Sends the request until the hub has decided.
    pub(super) async fn ask(
        &self,
        hub: &mut Hub,
        path: &str,
        authorization: Option<HeaderValue>,
        key: &SigningKey,
        request: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, Error> {
        let body = Bytes::from(STANDARD.encode(request));
        loop {
            let mut message = hub.client.request(Method::POST, path, Some("application/pkcs10"), body.clone())?;
            message.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/pkcs7-mime"));
            if let Some(authorization) = &authorization {
                message.headers_mut().insert(AUTHORIZATION, authorization.clone());
            }
            let answer = hub.send(message).await?;
            match answer.status() {
                StatusCode::OK => return self.certificates(answer.body()),
                StatusCode::ACCEPTED => {
                    let key = data_encoding::HEXLOWER.encode(&sha256(key.spki())[..16]);
                    self.progress.send_replace(Progress::AwaitingApproval { key });
                    tokio::time::sleep(retry_after(&answer)).await;
                }
                other => {
                    let error = status(&hub.client, &format!("POST {path}"), other, answer.body());
                    return Err(match error {
                        Error::Status { with, message, .. } if names_needs_code(&answer) => {
                            Error::NeedsCode { with, message }
                        }
                        error => error,
                    });
                }
            }
        }
    }

    fn certificates(&self, body: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
        // RFC 8951 section 3: base64 whatever the headers say, line ends allowed.
        let text: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let message =
            STANDARD.decode(text).map_err(|error| self.wrong(&format!("its answer is no base64: {error}")))?;
        read_certs_only(&message).map_err(|error| self.wrong(&error.to_string()))
    }

    /// Makes what the hub sent the identity, unless its issuer may not have made it, as far as is known here: then the present
    /// one stays.
    pub(super) fn adopt(
        &self,
        issued: &[CertificateDer<'static>],
        authorities: &[CertificateDer<'static>],
    ) -> Result<Arc<Identity>, Error> {
        let key = self.identity.next_key()?;
        let chain =
            chain_for(&key, issued, authorities).ok_or_else(|| self.wrong("it sent no certificate for our key"))?;
        let who = self.knowledge.identify(&chain).map_err(|why| Error::Certificate(why.to_string()))?;
        // What is known here against the device itself may be from before the site took it back.
        match self.knowledge.judge_standing(&who) {
            Ok(()) | Err(Denied { code: decide::Code::Ceased | decide::Code::Compromised, .. }) => {}
            Err(denied) => return Err(self.wrong(&format!("the credential it sent is not taken: {}", denied.code))),
        }
        let before = self.identity.current().and_then(|present| present.device_name());
        if before.is_some_and(|before| before != *who.device_name()) {
            let what =
                format!("it is for {}, and this is another device: the code is another one's", who.device_name());
            return Err(Error::Certificate(what));
        }
        let identity = self.identity.adopt(chain)?;
        self.identity.forget_code()?;
        let (_, not_after) = identity.validity();
        tracing::info!(device = %who.device_name(), credential = %identity.credential(), %not_after, "enrolled");
        self.progress.send_replace(Progress::Enrolled { not_after });
        Ok(identity)
    }

    pub(super) fn wrong(&self, what: &str) -> Error {
        Error::Http { with: self.address.clone(), what: what.to_owned() }
    }
}

/// The hub, over one connection that stands as long as it does, or over a new one for each request.
pub(super) struct Hub {
    pub(super) client: Client,
    pub(super) connection: Option<Connection>,
}

impl Hub {
    fn new(client: Client) -> Self {
        Self { client, connection: None }
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Response<Bytes>, Error> {
        self.send(self.client.request(Method::GET, path, None, Bytes::new())?).await
    }

    pub(super) async fn send(&mut self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        if let Some(connection) = &mut self.connection {
            match connection.send(request.clone()).await {
                Err(error) => tracing::debug!(%error, "the connection with the hub ended; there will be another"),
                answered => return answered,
            }
            self.connection = None;
        }
        self.client.send(request).await
    }
}

fn life(identity: &Identity) -> Duration {
    let (not_before, not_after) = identity.validity();
    Duration::from_secs(u64::try_from(not_after.seconds_since(not_before)).unwrap_or(0))
}

fn retry_after(answer: &Response<Bytes>) -> Duration {
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(REPEAT_DEFAULT).clamp(*REPEAT.start(), *REPEAT.end()))
}

fn names_needs_code(answer: &Response<Bytes>) -> bool {
    answer.status() == StatusCode::FORBIDDEN
        && answer.headers().get(REFUSAL_CODE).is_some_and(|code| code.as_bytes() == NEEDS_CODE.as_bytes())
}

/// Whether trying again with the same code is in vain.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Status { status, .. } => (400..500).contains(status) && ![408, 425, 429].contains(status),
        Error::Connection { .. }
        | Error::Timeout { .. }
        | Error::Closed { .. }
        | Error::Http { .. }
        | Error::Tls { .. } => false,
        _ => true,
    }
}

/// The certificate for `key`, and above it those that signed one another, without any that signs itself. A root that has
/// taken the place of another may be among them, as the one before certifies it (RFC 4210 section 4.4): those who know the
/// one before alone believe the chain by that.
fn chain_for(
    key: &SigningKey,
    issued: &[CertificateDer<'static>],
    authorities: &[CertificateDer<'static>],
) -> Option<Vec<CertificateDer<'static>>> {
    let all: Vec<(Certificate<'_>, &CertificateDer<'static>)> =
        issued.iter().chain(authorities).filter_map(|der| Some((Certificate::from_der(der).ok()?, der))).collect();
    let signed = |above: &Certificate<'_>, below: &Certificate<'_>| {
        above.subject().matches(&below.issuer())
            && above.public_key().is_some_and(|key| below.verify_with(key, &AwsLc).is_ok())
    };
    let mut chain = vec![all.iter().find(|(certificate, _)| certificate.spki() == key.spki())?];
    while let Some((last, _)) = chain.last().filter(|_| chain.len() < LONGEST_CHAIN) {
        // What a key further below has signed leads back to where the chain comes from.
        let leads_back = |one: &Certificate<'_>| signed(one, one) || chain.iter().any(|(below, _)| signed(below, one));
        let Some(above) = all.iter().find(|(above, _)| signed(above, last) && !leads_back(above)) else { break };
        chain.push(above);
    }
    Some(chain.into_iter().map(|(_, der)| (*der).clone()).collect())
}
