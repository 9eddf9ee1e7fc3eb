//! signature sketch, filled soon
pub struct Identity  // key + chain (leaf first)
impl Identity { pub fn new(key: SigningKey, chain: Vec<CertificateDer<'static>>) -> Result<Self, Error>; key() -> &Arc<SigningKey>; chain() -> &[CertificateDer<'static>]; leaf() -> &[u8]; validity() -> (Time, Time); device_name() -> Option<DeviceName>; credential() -> CredentialId }
#[derive(Clone)] pub struct IdentityStore  // clones share
impl IdentityStore { pub fn open(dir: &Path) -> Result<Self, Error>; pub fn in_memory(identity: Identity) -> Self; pub fn current(&self) -> Option<Arc<Identity>>; pub fn next_key(&self) -> Result<Arc<SigningKey>, Error> /* durable before it returns; same key until adopt */; pub fn adopt(&self, chain: Vec<CertificateDer<'static>>) -> Result<Arc<Identity>, Error> /* chain must fit next key or current key */; pub fn replace(&self, identity: Identity) -> Result<(), Error>; pub fn changes(&self) -> watch::Receiver<u64> }
