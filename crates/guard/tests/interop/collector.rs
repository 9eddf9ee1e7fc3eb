//! Audit messages to a collector that shows a credential of the site.

use medlock_guard::{
    audit::{AuditSource, Event, Happening, Party},
    sink::{AuditConfig, AuditLog, Collector, forward},
};
use medlock_node::tls::{Acceptor, ClientAuth, server_config};
use medlock_testkit::Site;
use medlock_trust::{DeviceName, Role};
use std::time::Duration;
use tokio::{io::AsyncReadExt as _, net::TcpListener, time::timeout};

const LIMIT: Duration = Duration::from_secs(10);

/// Shows REQ-GUARD-16 over TLS: frames of RFC 5425, to the collector the register names and to no other.
#[tokio::test(flavor = "multi_thread")]
async fn messages_go_to_the_collector_of_the_register_only() {
    let site = Site::new("St Elsewhere");
    let directory = tempfile::tempdir().unwrap();
    let knowledge = site.knowledge();
    let config = AuditConfig { queue: Some(directory.path().to_owned()), ..AuditConfig::default() };
    let source = AuditSource { site: site.name.clone(), device: "ct-1".to_owned(), process: 7 };
    let log = AuditLog::open(&config, source).unwrap();
    let event = Event {
        time: site.clock.now(),
        correlation: None,
        source: Party::default(),
        destination: Party::default(),
        happening: Happening::Started,
        marks: Vec::new(),
    };
    log.record(event);
    let own = site.store("ct-1", &[Role::Modality]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let collector = Collector::new(address, DeviceName::new("syslog-1").unwrap(), &own, &knowledge).unwrap();
    let task = tokio::spawn(forward(log.queue().unwrap(), collector));
    let acceptor = |device: &str| {
        let identity = site.store(device, &[Role::Gateway]);
        Acceptor::new(server_config(&identity, &knowledge, ClientAuth::Required).unwrap(), knowledge.clone())
    };
    let (stream, _) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
    let mut text = Vec::new();
    if let Ok(mut secured) = acceptor("other-1").accept(stream, LIMIT).await {
        let _ = timeout(LIMIT, secured.stream.read_to_end(&mut text)).await.unwrap();
    }
    assert!(text.is_empty(), "another device of the site gets nothing: {text:?}");
    let (stream, _) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
    let mut secured = acceptor("syslog-1").accept(stream, LIMIT).await.unwrap();
    assert_eq!(secured.peer.unwrap().device_name().as_str(), "ct-1");
    let mut text = vec![0; 64];
    timeout(LIMIT, secured.stream.read_exact(&mut text)).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&text);
    let (length, message) = text.split_once(' ').unwrap();
    assert!(length.parse::<usize>().unwrap() > 500, "{text}");
    assert!(message.starts_with("<85>1 ") && message.contains(" ct-1 medlock 7 DICOM+RFC3881 - "), "{text}");
    task.abort();
}
