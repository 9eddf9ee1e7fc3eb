//! signature sketch, filled soon
pub struct LiveSessions // LiveSessions::new(Arc<KnowledgeBase>) -> Arc<Self>
impl LiveSessions { pub fn register(self: &Arc<Self>, who: Identified, operations: Operations) -> Session; pub async fn watch(self: Arc<Self>, stop: Stop) /* spawn once */; pub fn rejudge(&self); pub fn count(&self) -> usize; pub fn changes(&self) -> broadcast::Receiver<Change> }
pub struct Session // unregisters on drop
impl Session { pub fn id(&self) -> u64; pub async fn ended(&mut self) -> Denied /* pending while allowed */; pub fn end_reason(&self) -> Option<Denied>; pub fn marks(&self) -> current mark codes }
pub enum Change { Ended { session: u64, who: Identified, denied: Denied }, Marked { session, who, operation, mark: Option<Code> } }
