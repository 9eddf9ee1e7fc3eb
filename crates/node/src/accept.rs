//! signature sketch, filled soon
pub struct Limits { pub handshake: Duration, pub header: Duration, pub request: Duration, pub idle: Duration, pub connections: usize, pub connections_per_address: usize, pub body_bytes: usize }  // Default
#[derive(Clone)] pub struct PeerInfo { pub origin: Origin, pub chain: Arc<[CertificateDer<'static>]>, pub identified: Option<Identified> }
pub enum Origin { Address(SocketAddr), Local }     // Display
pub enum Listener { Tcp(TcpListener), Unix(UnixListener) }  // From impls
pub async fn serve(listener: Listener, tls: Option<tls::Acceptor>, limits: Limits, router: axum::Router, stop: Stop)   // returns when drained; requests carry extension PeerInfo
