//! signature sketch, filled soon
pub struct Hub { .. } // Hub::new(address: String, identity: IdentityStore, knowledge: Arc<KnowledgeBase>)
pub async fn follow(hub: Hub, stop: Stop)     // SSE with reconnect, polls objects when the stream cannot be had; feeds the KnowledgeBase
pub struct Event { pub event: String, pub id: String, pub data: String }; pub struct EventReader  // the SSE parser; pub fn write(event,id,data)->String for the hub
