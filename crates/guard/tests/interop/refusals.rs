//! Those who must not get through, those who must be cut, and those who must although something is wrong.

use crate::world::{Server, World, data_sets, program, run};
use dicom_ul::pdu::{
    AssociationRQ, PDataValue, PDataValueType, Pdu, PresentationContextProposed, UserVariableItem, write_pdu,
};
use medlock_guard::dicom::Limits;
use medlock_node::{
    identity::IdentityStore,
    knowledge::Kind,
    tls::{Believed, Connector},
};
use medlock_testkit::{Site, Status};
use medlock_trust::{
    DeviceId, DeviceName, Role,
    status::{State, Subject},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(10);
const CT_IMAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
const VERIFICATION: &str = "1.2.840.10008.1.1";

fn request(calling: &str, called: &str, class: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let context = PresentationContextProposed {
        id: 1,
        abstract_syntax: class.to_owned(),
        transfer_syntaxes: vec!["1.2.840.10008.1.2".to_owned()],
    };
    let pdu = Pdu::AssociationRQ(AssociationRQ {
        protocol_version: 1,
        calling_ae_title: calling.to_owned(),
        called_ae_title: called.to_owned(),
        application_context_name: "1.2.840.10008.3.1.1.1".to_owned(),
        presentation_contexts: vec![context],
        user_variables: vec![
            UserVariableItem::MaxLength(16_384),
            UserVariableItem::ImplementationClassUID("1.2.3".to_owned()),
        ],
    });
    write_pdu(&mut bytes, &pdu).unwrap();
    bytes
}

/// Sends bytes and returns the first answer PDU; empty if the connection was closed.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
    answer(stream).await
}

async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut pdu = vec![0; 6];
    let read = async {
        stream.read_exact(&mut pdu).await.ok()?;
        let length = u32::from_be_bytes(pdu[2..6].try_into().unwrap());
        pdu.resize(6 + length as usize, 0);
        stream.read_exact(&mut pdu[6..]).await.ok()
    };
    match timeout(LIMIT, read).await.expect("an answer in time") {
        Some(_) => pdu,
        None => Vec::new(),
    }
}

const fn rejected(result: u8, source: u8, reason: u8) -> [u8; 10] {
    [3, 0, 0, 0, 0, 4, 0, result, source, reason]
}

async fn storescp(world: &World) -> Server {
    let mut command = program("storescp");
    command.args(["-q", "--ignore", "-aet", "PACS", &world.pacs.port.to_string()]);
    Server::start(command, world.pacs.port).await
}

/// Shows REQ-GUARD-11: a credential of another site gets nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused() {
    let world = World::new().await;
    let other = Site::new("Elsewhere");
    let identity = other.identity("ct-1", &[Role::Modality], other.present());
    let store = IdentityStore::in_memory(Some(identity));
    let believed = Believed::Knowledge(world.ct.knowledge.clone());
    let connector = Connector::new(Some(&store), believed, None).unwrap();
    // With TLS 1.3 a client learns of the refusal only when it reads.
    if let Ok(mut secured) = connector.connect(&world.pacs.secure.to_string(), LIMIT).await {
        let _ = secured.stream.write_all(&request("CT1", "PACS", CT_IMAGE)).await;
        let mut answer = Vec::new();
        assert!(timeout(LIMIT, secured.stream.read_to_end(&mut answer)).await.unwrap().is_err());
        assert!(answer.is_empty());
    }
    let line = world.pacs.audit_line(&["110113", "code=tls-handshake-failed"]).await;
    assert!(line.contains(r#"NetworkAccessPointID="127.0.0.1""#), "{line}");
}

/// Shows REQ-GUARD-02: a device of the site that uses another device's AE title is refused, and both are named.
#[tokio::test(flavor = "multi_thread")]
async fn a_thief_of_a_title_is_refused() {
    let world = World::new().await;
    let thief = IdentityStore::in_memory(Some(world.site.identity("ct-2", &[Role::Modality], world.site.present())));
    let believed = Believed::Knowledge(world.ct.knowledge.clone());
    let connector = Connector::new(Some(&thief), believed, None).unwrap();
    let mut secured = connector.connect(&world.pacs.secure.to_string(), LIMIT).await.unwrap();
    let got = ask(&mut secured.stream, &request("CT1", "PACS", CT_IMAGE)).await;
    assert_eq!(got, rejected(1, 1, 3));
    let line = world.pacs.audit_line(&["110113", "code=dicom-calling-ae-not-bound"]).await;
    assert!(line.contains(r#"UserID="ct-2" AlternativeUserID="AETITLES=CT1""#), "{line}");
    assert!(line.contains(r#"UserID="pacs-1" AlternativeUserID="AETITLES=PACS""#), "{line}");
    let mut secured = connector.connect(&world.pacs.secure.to_string(), LIMIT).await.unwrap();
    let got = ask(&mut secured.stream, &request("CT2", "CT1", CT_IMAGE)).await;
    assert_eq!(got, rejected(1, 1, 7), "a title of another machine than the one behind this guard");
}

/// Shows REQ-GUARD-04: a device without the role for it may ask, but not store.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_does_not_store_is_refused() {
    let world = World::new().await;
    let _server = storescp(&world).await;
    let monitor = IdentityStore::in_memory(Some(world.site.identity("ct-2", &[Role::Monitor], world.site.present())));
    let believed = Believed::Knowledge(world.ct.knowledge.clone());
    let connector = Connector::new(Some(&monitor), believed, None).unwrap();
    let mut secured = connector.connect(&world.pacs.secure.to_string(), LIMIT).await.unwrap();
    assert_eq!(ask(&mut secured.stream, &request("CT2", "PACS", CT_IMAGE)).await, rejected(1, 1, 1));
    world.pacs.audit_line(&["code=role-lacks-operation"]).await;
    let mut secured = connector.connect(&world.pacs.secure.to_string(), LIMIT).await.unwrap();
    let got = ask(&mut secured.stream, &request("CT2", "PACS", VERIFICATION)).await;
    assert_eq!(got.first(), Some(&2), "an echo is accepted: {got:?}");
}

fn element(tag: u16, value: &[u8]) -> Vec<u8> {
    let mut element = [[0, 0], tag.to_le_bytes()].concat();
    element.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
    element.extend_from_slice(value);
    element
}

/// The PDU of a C-STORE-RQ of a CT image, and the one of its data set, in presentation context 1.
fn store(first: &[u8]) -> Vec<u8> {
    let parts = [
        element(0x0002, b"1.2.840.10008.5.1.4.1.1.2\0"),
        element(0x0100, &[1, 0]),
        element(0x0110, &[1, 0]),
        element(0x0700, &[0, 0]),
        element(0x0800, &[1, 0]),
        element(0x1000, b"1.2.3.4\0"),
    ];
    let command = [first, &parts.concat()].concat();
    let mut data = b"\x08\0\x16\0\x1a\0\0\x001.2.840.10008.5.1.4.1.1.2\0".to_vec();
    data.extend_from_slice(b"\x08\0\x18\0\x08\0\0\x001.2.3.4\0");
    let mut bytes = Vec::new();
    for (value_type, data) in [(PDataValueType::Command, command), (PDataValueType::Data, data)] {
        let value = PDataValue { presentation_context_id: 1, value_type, is_last: true, data };
        write_pdu(&mut bytes, &Pdu::PData { data: vec![value] }).unwrap();
    }
    bytes
}

/// Shows REQ-GUARD-17 with a stock archive, which obeys a store in a context for echoes: the guard does not pass it on.
/// Shows REQ-GUARD-18: nor does it pass on a store whose command set hides what it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_a_context_for_echoes_is_cut() {
    let world = World::new().await;
    let folder = world.folder("stored");
    let mut command = program("storescp");
    command.args(["-q", "-aet", "PACS", "-od"]).arg(&folder).arg(world.pacs.port.to_string());
    let _server = Server::start(command, world.pacs.port).await;
    // What the archive does when nobody guards it: the test would show nothing if it refused by itself.
    let mut direct = TcpStream::connect((Ipv4Addr::LOCALHOST, world.pacs.port)).await.unwrap();
    assert_eq!(ask(&mut direct, &request("CT2", "PACS", VERIFICATION)).await.first(), Some(&2));
    assert_eq!(ask(&mut direct, &store(b"")).await.first(), Some(&4), "it answers");
    assert_eq!(data_sets(&folder).len(), 1);
    drop(direct);
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    let monitor = IdentityStore::in_memory(Some(world.site.identity("ct-2", &[Role::Monitor], world.site.present())));
    let believed = Believed::Knowledge(world.ct.knowledge.clone());
    let connector = Connector::new(Some(&monitor), believed, None).unwrap();
    for (bytes, reason) in [(store(b""), 2), (store(&element(0x1030, b"CT1 ")), 6)] {
        let mut secured = connector.connect(&world.pacs.secure.to_string(), LIMIT).await.unwrap();
        let got = ask(&mut secured.stream, &request("CT2", "PACS", VERIFICATION)).await;
        assert_eq!(got.first(), Some(&2), "{got:?}");
        assert_eq!(ask(&mut secured.stream, &bytes).await, [7, 0, 0, 0, 0, 4, 0, 0, 2, reason]);
    }
    let line = world.pacs.audit_line(&["110113", "code=dicom-command-not-permitted"]).await;
    assert!(line.contains(r#"UserID="ct-2""#), "{line}");
    world.pacs.audit_line(&["110113", "code=dicom-violation", "out of order"]).await;
    assert!(data_sets(&folder).is_empty());
}

/// Shows REQ-GUARD-17: a called machine that may not store is not offered to send images back.
#[tokio::test(flavor = "multi_thread")]
async fn a_called_machine_that_may_not_store_gets_no_request_to_send_images() {
    let world = World::with_pacs(Role::Monitor).await;
    let mut command = program("getscu");
    command.args(["-S", "-aet", "CT1", "-aec", "PACS", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2"]);
    command.args(["127.0.0.1", &world.ct.plain.port().to_string()]);
    let (done, text) = run(command).await;
    assert!(!done, "{text}");
    world.ct.audit_line(&["110113", "code=role-lacks-operation", "`store`"]).await;
}

/// Shows REQ-GUARD-19: strangers on one side, and foreign addresses on the plain side, do not keep the machine from
/// calling; a foreign address is refused soon.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_keep_the_machine_from_calling() {
    let limits = Limits { pending: 2, pending_per_address: 2, ..Limits::default() };
    let world = World::with_limits(limits).await;
    let _server = storescp(&world).await;
    let mut strangers = Vec::new();
    for _ in 0..4 {
        strangers.push(TcpStream::connect(world.ct.secure).await.unwrap());
    }
    let mut foreign = Vec::new();
    for _ in 0..2 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0))).unwrap();
        foreign.push(socket.connect(world.ct.plain).await.unwrap());
    }
    // Long enough for the guard to have accepted them all, short enough for none to have been given up.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut stream = TcpStream::connect(world.ct.plain).await.unwrap();
    let got = ask(&mut stream, &request("CT1", "PACS", VERIFICATION)).await;
    assert_eq!(got.first(), Some(&2), "{got:?}");
    for stream in &mut foreign {
        assert_eq!(answer(stream).await, rejected(1, 1, 1));
    }
}

/// Shows REQ-GUARD-20: an association whose title is given to nobody, or to another device, ends within a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_title_that_is_no_longer_bound_ends_its_associations() {
    let world = World::new().await;
    let _server = storescp(&world).await;
    for (version, side) in [(2, &world.pacs), (5, &world.ct)] {
        let mut stream = TcpStream::connect(world.ct.plain).await.unwrap();
        let got = ask(&mut stream, &request("CT1", "PACS", CT_IMAGE)).await;
        assert_eq!(got.first(), Some(&2), "{got:?}");
        world.route(version, "CT1", &[side]);
        let quiet = timeout(Duration::from_millis(300), stream.read(&mut [0])).await;
        assert!(quiet.is_err(), "a table with the same title ends nothing: {quiet:?}");
        world.route(version + 1, "CT9", &[side]);
        assert_eq!(answer(&mut stream).await, [7, 0, 0, 0, 0, 4, 0, 0, 2, 0]);
        side.audit_line(&["110113", "code=dicom-calling-ae-not-bound", "cut: "]).await;
        world.route(version + 2, "CT1", &[side]);
    }
}

/// Shows REQ-GUARD-12: only the machine's own address may use the plain side.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_from_elsewhere_is_refused_on_the_plain_side() {
    let world = World::new().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0))).unwrap();
    let mut stream = socket.connect(world.ct.plain).await.unwrap();
    assert_eq!(ask(&mut stream, &request("CT1", "PACS", CT_IMAGE)).await, rejected(1, 1, 1));
    let line = world.ct.audit_line(&["110113", "code=dicom-foreign-address"]).await;
    assert!(line.contains(r#"NetworkAccessPointID="127.0.0.2""#), "{line}");
}

/// Shows REQ-GUARD-03 with a stock client.
#[tokio::test(flavor = "multi_thread")]
async fn titles_nobody_has_and_titles_of_others_are_refused() {
    let world = World::new().await;
    let echo = |calling: &str, called: &str| {
        let mut command = program("echoscu");
        command.args(["-aet", calling, "-aec", called, "127.0.0.1", &world.ct.plain.port().to_string()]);
        run(command)
    };
    let (done, text) = echo("CT1", "NOBODY").await;
    assert!(!done && text.contains("Called AE Title Not Recognized"), "{text}");
    let line = world.ct.audit_line(&["code=dicom-called-ae-unknown"]).await;
    assert!(line.contains("AETITLES=NOBODY"), "{line}");
    let (done, text) = echo("CT2", "PACS").await;
    assert!(!done && text.contains("Calling AE Title Not Recognized"), "{text}");
    let (done, text) = echo("CT1", "RIS").await;
    assert!(!done && text.contains("Rejected"), "{text}");
    let line = world.ct.audit_line(&["code=dicom-wrong-machine"]).await;
    assert!(line.contains(r#"UserID="pacs-1" AlternativeUserID="AETITLES=RIS""#), "{line}");
    let (done, text) = echo("CT1", "PACS").await;
    assert!(!done && text.contains("Rejected Transient"), "no machine behind the guard: {text}");
}

/// Shows REQ-GUARD-09: the stolen key of a device ends its sessions within a second of the news.
#[tokio::test(flavor = "multi_thread")]
async fn a_compromised_device_is_cut_within_a_second() {
    let world = World::new().await;
    let _server = storescp(&world).await;
    let mut stream = TcpStream::connect(world.ct.plain).await.unwrap();
    let got = ask(&mut stream, &request("CT1", "PACS", CT_IMAGE)).await;
    assert_eq!(got.first(), Some(&2), "{got:?}");
    let device = DeviceId::of(&DeviceName::new("ct-1").unwrap(), &medlock_node::provider::AwsLc);
    let status = Status { subject: Subject::Device(device), state: State::Compromised };
    world.pacs.knowledge.accept(Kind::Status, &world.site.status(2, &[status])).unwrap();
    assert_eq!(answer(&mut stream).await, [7, 0, 0, 0, 0, 4, 0, 0, 2, 0], "an A-ABORT of the provider");
    world.pacs.audit_line(&["110113", "code=compromised"]).await;
    let mut stream = TcpStream::connect(world.ct.plain).await.unwrap();
    let got = ask(&mut stream, &request("CT1", "PACS", CT_IMAGE)).await;
    assert_eq!(got, rejected(1, 1, 1), "and it does not come back");
}

/// Shows REQ-GUARD-13: expiry alone stops no images; they are marked.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_device_still_sends_and_is_marked() {
    let site = Site::new("St Elsewhere");
    let identity = site.identity("ct-1", &[Role::Modality], site.past());
    let world = World::with(site, identity).await;
    let _server = storescp(&world).await;
    let mut command = program("storescu");
    command.args(["-q", "-aet", "CT1", "-aec", "PACS", "127.0.0.1", &world.ct.plain.port().to_string()]);
    command.arg(crate::world::real_file("CT_small.dcm"));
    let (done, text) = run(command).await;
    assert!(done, "{text}");
    world.pacs.audit_line(&["opened", "marks=expired-within-grace"]).await;
    world.pacs.audit_line(&["110104", "marks=expired-within-grace"]).await;
}

/// Shows REQ-GUARD-08: what is no DICOM gets an answer and a line, and harms nobody.
#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_answered_and_recorded() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.ct.plain).await.unwrap();
    assert_eq!(ask(&mut stream, b"GET / HTTP/1.1\r\n\r\n").await, [7, 0, 0, 0, 0, 4, 0, 0, 2, 2]);
    world.ct.audit_line(&["code=dicom-not-a-request"]).await;
    let mut stream = TcpStream::connect(world.ct.plain).await.unwrap();
    assert_eq!(ask(&mut stream, &[1, 0, 0xff, 0xff, 0xff, 0xff]).await, rejected(1, 3, 2));
    world.ct.audit_line(&["code=dicom-request-too-long"]).await;
    let mut stream = TcpStream::connect(world.ct.plain).await.unwrap();
    let slow = request("CT1", "PACS", CT_IMAGE);
    assert_eq!(ask(&mut stream, &slow[..50]).await, [7, 0, 0, 0, 0, 4, 0, 0, 2, 0], "after the time for requests");
    world.ct.audit_line(&["code=dicom-request-too-slow"]).await;
    // A port scan: many connections that say nothing.
    for _ in 0..200 {
        drop(TcpStream::connect(world.ct.plain).await.unwrap());
        drop(TcpStream::connect(world.pacs.secure).await.unwrap());
    }
    let mut stream = TcpStream::connect(world.pacs.secure).await.unwrap();
    stream.write_all(b"this is no TLS at all").await.unwrap();
    world.pacs.audit_line(&["code=tls-handshake-failed"]).await;
    let _server = storescp(&world).await;
    let mut stream = TcpStream::connect(world.ct.plain).await.unwrap();
    let got = ask(&mut stream, &request("CT1", "PACS", VERIFICATION)).await;
    assert_eq!(got.first(), Some(&2), "{got:?}");
}
