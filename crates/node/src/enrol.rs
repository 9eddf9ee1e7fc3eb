//! signature sketch, filled soon
pub struct Code  // new(root: &[u8;16]) random; FromStr; Display = full text (secret!), Debug redacted; id() -> [u8;5], user() -> String (hex), password() -> Zeroizing<String> (base32 of secret), secret_hash() -> [u8;32] = SHA-256 of the 12 secret bytes, root() -> [u8;16]
pub fn certificate_request(key: &SigningKey, subject_der: Option<&[u8]>) -> Vec<u8>   // PKCS#10 DER; empty subject when None
pub fn certs_only(certificates: &[&[u8]]) -> Vec<u8>     // CMS certs-only (RFC 5652 degenerate SignedData), for EST servers
pub fn read_certs_only(der: &[u8]) -> Result<Vec<CertificateDer<'static>>, ..>
pub struct Enrolment { .. }  // Enrolment::new(hub address, IdentityStore, Arc<KnowledgeBase>)
impl Enrolment { pub async fn first_contact(&self, code: &Code, stop) -> Result<Arc<Identity>, Error>; pub async fn renew(&self) -> Result<Arc<Identity>, Error>; pub async fn run(self, code: Option<Code>, stop: Stop) -> Result<(), Error> /* enrol if needed, then renew for ever */ ; pub fn progress(&self) -> watch::Receiver<Progress> }
pub enum Progress { Idle, Contacting, AwaitingApproval{..}, Enrolled{not_after}, RenewalFailed{..} }
