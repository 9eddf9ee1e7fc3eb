//! A site in a temporary directory, and requests to it.

use medlock_authority::admin::{Asker, Request, Response};
use medlock_authority::enrolment::{Answer, RefusalKind};
use medlock_authority::registry::DeviceConfig;
use medlock_authority::signer::{InProcess, KeyLabel, Kind as Signed, Signer, SignerError};
use medlock_authority::store::ServerConfig;
use medlock_authority::{Authority, AuthorityConfig};
use medlock_node::clock::Clock;
use medlock_node::enrol::{Code, certificate_request};
use medlock_node::log::Checkpoint;
use medlock_node::provider::{AwsLc, SigningAlgorithm, SigningKey};
use medlock_testkit::PostgresServer;
use medlock_trust::x509::Certificate;
use medlock_trust::{CredentialId, Identified, Time};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) const FROM: &str = "10.1.2.3:40000";

pub(crate) struct Site {
    pub(crate) authority: Arc<Authority>,
    pub(crate) clock: Clock,
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) fn noon() -> Time {
    Time::from_utc(2026, 11, 21, 12, 0, 0).unwrap()
}

/// What status lists and tickets call this certificate.
pub(crate) fn credential(certificate: &[u8]) -> CredentialId {
    Certificate::read(certificate).unwrap().credential_id(&AwsLc)
}

pub(crate) fn config(dir: &Path) -> AuthorityConfig {
    AuthorityConfig {
        hub_dns: vec!["localhost".into()],
        hub_ips: vec!["127.0.0.1".parse().unwrap()],
        ..AuthorityConfig::site(dir, "Sankt Anna")
    }
}

/// An empty schema on the server of these tests.
pub(crate) fn postgres() -> ServerConfig {
    let server = PostgresServer::shared();
    ServerConfig { schema: server.schema(), ..ServerConfig::new(server.url()) }
}

pub(crate) fn open(dir: &Path, clock: &Clock) -> Authority {
    open_as(&config(dir), clock)
}

pub(crate) fn open_as(config: &AuthorityConfig, clock: &Clock) -> Authority {
    let signer = Arc::new(InProcess::open(&config.dir.join("signer")).unwrap());
    Authority::open(config, clock.clone(), signer).unwrap()
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with_clock(Clock::manual(noon()))
    }

    pub(crate) fn with_clock(clock: Clock) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Arc::new(open(dir.path(), &clock));
        Self { authority, clock, dir }
    }

    pub(crate) fn ask(&self, request: Request) -> Response {
        self.authority.administer(&Asker::uid(1000), request).unwrap()
    }

    pub(crate) fn refuses(&self, request: Request) -> String {
        self.authority.administer(&Asker::uid(1000), request).unwrap_err().to_string()
    }

    pub(crate) fn register(&self, name: &str) {
        self.ask(Request::Register { device: ct(name) });
    }

    pub(crate) fn code(&self, name: &str) -> Code {
        match self.ask(Request::Code { device: name.into(), lifetime_seconds: None }) {
            Response::Code { code, .. } => code.parse().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn pending(&self) -> Vec<medlock_authority::admin::PendingView> {
        match self.ask(Request::Pending) {
            Response::Pending { pending } => pending,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn approve_all(&self) {
        for pending in self.pending() {
            self.ask(Request::Approve { id: pending.id, device: None });
        }
    }

    pub(crate) fn state(&self, name: &str) -> (String, Vec<String>) {
        match self.ask(Request::Show { device: name.into() }) {
            Response::Device(view) => {
                (view.state, view.credentials.into_iter().map(|credential| credential.state).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn alarms(&self) -> Vec<String> {
        match self.ask(Request::Alarms) {
            Response::Alarms { alarms } => alarms.into_iter().map(|alarm| alarm.kind).collect(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn by_code(&self, code: &Code, key: &SigningKey) -> Answer {
        let request = certificate_request(key, None);
        self.authority.enrol_by_code(&code.user(), &code.password(), &request, FROM).unwrap()
    }

    /// Registers `name` and enrols it with a code and this key.
    pub(crate) fn enrol(&self, name: &str, key: &SigningKey) -> Vec<u8> {
        self.register(name);
        self.enrol_again(name, key)
    }

    pub(crate) fn enrol_again(&self, name: &str, key: &SigningKey) -> Vec<u8> {
        let code = self.code(name);
        assert!(matches!(self.by_code(&code, key), Answer::Waits { .. }));
        self.approve_all();
        issued(self.by_code(&code, key))
    }

    pub(crate) fn identify(&self, certificate: &[u8]) -> Identified {
        let keys = self.authority.keys();
        let issuer = &keys.issuer_of(certificate).unwrap().certificate;
        let chain = [certificate.to_vec(), issuer.der.clone()].map(Into::into);
        self.authority.knowledge().identify(&chain).unwrap()
    }

    pub(crate) fn renew(&self, certificate: &[u8], key: &SigningKey) -> Answer {
        let who = self.identify(certificate);
        self.authority.renew(&who, certificate, &certificate_request(key, None), FROM).unwrap()
    }

    pub(crate) fn seen(&self, certificate: &[u8]) {
        self.authority.seen(&self.identify(certificate)).unwrap();
    }
}

pub(crate) fn ct(name: &str) -> DeviceConfig {
    DeviceConfig {
        name: name.into(),
        owner: "radiology".into(),
        roles: vec!["modality".into()],
        device_type: Some(7),
        dns: vec![format!("{name}.example.org")],
        ips: vec!["10.0.0.7".parse().unwrap()],
        ae_titles: vec![name.to_uppercase()],
        sidecar: Some("10.0.0.7:2762".into()),
        ..DeviceConfig::default()
    }
}

pub(crate) fn issued(answer: Answer) -> Vec<u8> {
    match answer {
        Answer::Issued(certificate) => certificate,
        other => panic!("not issued: {other:?}"),
    }
}

pub(crate) fn refused(answer: Answer) -> (RefusalKind, String) {
    match answer {
        Answer::Refused(refusal) => (refusal.kind, refusal.reason),
        other => panic!("not refused: {other:?}"),
    }
}

/// A signer that is away at times: it makes keys and signs nothing then.
pub(crate) struct Sleepy<S = InProcess> {
    pub(crate) inner: S,
    pub(crate) away: Arc<AtomicBool>,
}

impl<S: Signer> Signer for Sleepy<S> {
    fn generate(&self, key: KeyLabel, algorithm: SigningAlgorithm) -> Result<Vec<u8>, SignerError> {
        self.inner.generate(key, algorithm)
    }

    fn public_key(&self, key: KeyLabel) -> Result<Option<Vec<u8>>, SignerError> {
        self.inner.public_key(key)
    }

    fn sign(&self, key: KeyLabel, kind: Signed, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(SignerError::Away("test".into()));
        }
        self.inner.sign(key, kind, message)
    }

    fn retire(&self, key: KeyLabel) -> Result<(), SignerError> {
        self.inner.retire(key)
    }

    fn signed_checkpoint(&self, origin: &str) -> Result<Option<Checkpoint>, SignerError> {
        self.inner.signed_checkpoint(origin)
    }
}
