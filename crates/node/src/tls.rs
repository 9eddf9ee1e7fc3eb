//! signature sketch, filled soon
pub enum ClientAuth { No, Optional, Required }
#[derive(Clone)] pub enum Believed { Site(Arc<KnowledgeBase>), Root([u8; 16]) }   // Root: first 16 bytes of SHA-256 of the root certificate, which the server's chain must contain
pub fn server_config(identity: &IdentityStore, knowledge: &Arc<KnowledgeBase>, clients: ClientAuth) -> Result<Arc<ServerConfig>, Error>
pub fn client_config(identity: Option<&IdentityStore>, believed: Believed) -> Result<Arc<ClientConfig>, Error>
pub struct Secured<S> { pub stream: S, pub peer: Option<Identified>, pub chain: Arc<[CertificateDer<'static>]> }
#[derive(Clone)] pub struct Acceptor  // Acceptor::new(config, Arc<KnowledgeBase>)
impl Acceptor { pub async fn accept(&self, tcp: TcpStream, limit: Duration) -> Result<Secured<server::TlsStream<TcpStream>>, Error> }   // handshake + identification
#[derive(Clone)] pub struct Connector // Connector::new(config, Believed)
impl Connector { pub async fn connect(&self, address: &str /*host:port*/, limit: Duration) -> Result<Secured<client::TlsStream<TcpStream>>, Error> }
