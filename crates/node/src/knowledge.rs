//! signature sketch, filled soon
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)] pub enum Kind { SiteList, TrustList, Status, Policy, Routes }  // ALL, name() "site-list".., from_name()
pub enum Accepted { New { version: u64 }, Known { version: u64 } }
pub enum Refused {..}  // thiserror
pub struct KnowledgeBase
impl KnowledgeBase {
  pub fn open(dir: &Path, clock: Clock, setting: Setting) -> Result<Arc<Self>, Error>
  pub fn pin_root(&self, root_der: &[u8], fingerprint: Option<&[u8;16]>) -> Result<(), Error>  // once; a second, different root is refused
  pub fn root(&self) -> Option<Vec<u8>> ; pub fn root_fingerprint(&self) -> Option<[u8;16]>; pub fn is_ready(&self) -> bool  // pinned and has a site list
  pub fn accept(&self, kind: Kind, object: &[u8]) -> Result<Accepted, Refused>
  pub fn accept_ticket(&self, ..)
  pub fn object(&self, kind: Kind) -> Option<Bytes>; pub fn version(&self, kind: Kind) -> Option<u64>
  pub fn identify(&self, chain: &[CertificateDer<'_>]) -> Result<Identified, Unidentified>
  pub fn judge(&self, who: &Identified, operation: Operation) -> Verdict
  pub fn judge_with_bond(&self, who, operation, Option<&Bond>) -> Verdict
  pub fn time(&self) -> Interval; pub fn clock(&self) -> &Clock
  pub fn changes(&self) -> watch::Receiver<u64>
  pub fn routes(&self) -> Arc<RoutingTable>
}
