//! dcmtk, Orthanc and pynetdicom through a pair of guards.

use crate::world::{Server, World, data_sets, program, python, real_file, run};
use medlock_guard::dicom::tap::Instance;
use std::{fs, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

async fn storescp(port: u16, title: &str, directory: &Path) -> Server {
    let mut command = program("storescp");
    command.args(["-q", "--fork", "+B", "+xa", "-aet", title, "-od"]).arg(directory).arg(port.to_string());
    Server::start(command, port).await
}

fn storescu(port: u16, files: &[&Path]) -> tokio::process::Command {
    let mut command = program("storescu");
    command.args(["-q", "-aet", "CT1", "-aec", "PACS", "127.0.0.1", &port.to_string()]).args(files);
    command
}

/// Shows REQ-GUARD-01, REQ-INTAKE-44: dcmtk's images arrive as they would without guards, and the sender's guard tells of each.
#[tokio::test(flavor = "multi_thread")]
async fn dcmtk_stores_through_the_guards_as_without_them() {
    let world = World::new().await;
    let (ct, mr) = (real_file("CT_small.dcm"), real_file("MR_small.dcm"));
    let (direct, guarded) = (world.folder("direct"), world.folder("guarded"));
    let server = storescp(world.pacs.port, "PACS", &direct).await;
    let (done, text) = run(storescu(world.pacs.port, &[&ct, &mr])).await;
    assert!(done, "{text}");
    server.stop().await;
    let _server = storescp(world.pacs.port, "PACS", &guarded).await;
    let mut echo = program("echoscu");
    echo.args(["-aet", "CT1", "-aec", "PACS", "127.0.0.1", &world.ct.plain.port().to_string()]);
    let (done, text) = run(echo).await;
    assert!(done, "{text}");
    let (done, text) = run(storescu(world.ct.plain.port(), &[&ct, &mr])).await;
    assert!(done, "{text}");
    assert_eq!(data_sets(&guarded).len(), 2);
    assert_eq!(data_sets(&guarded), data_sets(&direct));
    for side in [&world.ct, &world.pacs] {
        side.audit_line(&["110102", r#"ParticipantObjectID="1CT1""#]).await;
        let line = side.audit_line(&["110104", r#"ParticipantObjectID="1CT1""#]).await;
        assert!(line.contains(r#"UserID="ct-1" AlternativeUserID="AETITLES=CT1""#), "{line}");
        assert!(line.contains(r#"EventOutcomeIndicator="0""#) && line.contains(r#"NumberOfInstances="1""#), "{line}");
    }
    let told = world.ct.told.all();
    let shown = |text: Option<String>| text.unwrap_or_default();
    let said = |one: &Instance| {
        (shown(one.modality.map(|text| text.to_string())), shown(one.patient.map(|id| id.to_string())))
    };
    assert_eq!(
        told.iter().map(said).collect::<Vec<_>>(),
        [("CT", "1CT1"), ("MR", "4MR1")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    assert!(
        told.iter().all(|one| one.series.is_some() && one.study.is_some() && one.sop_instance.is_some()),
        "{told:?}"
    );
    assert!(told[0].began[0].is_some_and(|date| date.to_string() == "20040119"), "{told:?}");
    assert_eq!(world.pacs.told.all(), [], "it has sent nothing");
    let line = world.ct.audit_line(&["opened", "for read"]).await;
    let correlation = line.split("correlation=").nth(1).unwrap().split(' ').next().unwrap();
    world.pacs.audit_line(&["opened", &format!("correlation={correlation}")]).await;
}

/// Shows REQ-GUARD-01: pynetdicom, with real files of several transfer syntaxes.
#[tokio::test(flavor = "multi_thread")]
async fn pynetdicom_stores_through_the_guards() {
    let world = World::new().await;
    let folder = world.folder("stored");
    let names = ["CT_small.dcm", "JPEG2000.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm"];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/peer.py");
    let mut server = python();
    server.arg(&script).args(["scp", "PACS", &world.pacs.port.to_string()]).arg(&folder);
    let _server = Server::start(server, world.pacs.port).await;
    let mut client = python();
    client.arg(&script).args(["scu", "CT1", "PACS", &world.ct.plain.port().to_string()]);
    client.args(names.map(real_file));
    let (done, sent) = run(client).await;
    assert!(done, "{sent}");
    let mut sent: Vec<&str> = sent.lines().collect();
    let mut stored: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    sent.sort_unstable();
    stored.sort_unstable();
    assert_eq!(stored, sent, "digests of the data sets as they were sent and as they came");
    assert_eq!(stored.len(), names.len());
}

/// Shows REQ-GUARD-10: the PACS calls back by the title it was told, through both guards.
#[tokio::test(flavor = "multi_thread")]
async fn orthanc_moves_back_through_the_guards() {
    let world = World::new().await;
    let folder = world.folder("orthanc");
    let http = medlock_testkit::free_port();
    let config = format!(
        r#"{{"Name": "test", "StorageDirectory": "{0}", "IndexDirectory": "{0}", "HttpPort": {http},
            "RemoteAccessAllowed": false, "AuthenticationEnabled": false, "DicomServerEnabled": true,
            "DicomAet": "PACS", "DicomCheckCalledAet": true, "DicomPort": {1}, "Plugins": [],
            "DicomModalities": {{"ct": ["CT1", "127.0.0.1", {2}]}} }}"#,
        folder.display(),
        world.pacs.port,
        world.pacs.plain.port(),
    );
    let file = world.directory.path().join("orthanc.json");
    fs::write(&file, config).unwrap();
    let mut command = program("Orthanc");
    command.arg(&file);
    let _server = Server::start(command, world.pacs.port).await;
    let ct = real_file("CT_small.dcm");
    let (done, text) = run(storescu(world.ct.plain.port(), &[&ct])).await;
    assert!(done, "{text}");
    let statistics = get(http, "/statistics").await;
    assert!(statistics.contains(r#""CountInstances" : 1"#), "{statistics}");
    move_back(&world).await;
}

/// Shows REQ-GUARD-10: the same with dcmtk's archive.
#[tokio::test(flavor = "multi_thread")]
async fn dcmqrscp_moves_back_through_the_guards() {
    let world = World::new().await;
    let folder = world.folder("archive");
    let config = format!(
        "NetworkTCPPort = {}\nMaxPDUSize = 16384\nMaxAssociations = 16\nHostTable BEGIN\nct = (CT1, 127.0.0.1, {})\n\
         HostTable END\nVendorTable BEGIN\nVendorTable END\nAETable BEGIN\nPACS {} RW (9, 1024mb) ANY\nAETable END\n",
        world.pacs.port,
        world.pacs.plain.port(),
        folder.display(),
    );
    let file = world.directory.path().join("dcmqrscp.cfg");
    fs::write(&file, config).unwrap();
    let mut command = program("dcmqrscp");
    command.arg("-c").arg(&file);
    let _server = Server::start(command, world.pacs.port).await;
    let ct = real_file("CT_small.dcm");
    let (done, text) = run(storescu(world.ct.plain.port(), &[&ct])).await;
    assert!(done, "{text}");
    move_back(&world).await;
    // A C-GET: the PACS stores in the association in which it was asked.
    let fetched = world.folder("fetched");
    let mut command = program("getscu");
    command.args(["-S", "-aet", "CT1", "-aec", "PACS", "-od"]).arg(&fetched);
    command.args(["-k", "QueryRetrieveLevel=STUDY"]);
    command.args(["-k", "StudyInstanceUID=1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"]);
    command.args(["127.0.0.1", &world.ct.plain.port().to_string()]);
    let (done, text) = run(command).await;
    assert!(done, "{text}");
    assert_eq!(data_sets(&fetched).len(), 1, "{text}");
}

/// Shows REQ-GUARD-17: storage commitment, whose report comes from the called machine, and performed procedure steps pass.
#[tokio::test(flavor = "multi_thread")]
async fn storage_commitment_and_procedure_steps_pass_the_guards() {
    let world = World::new().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/services.py");
    let mut server = python();
    server.arg(&script).args(["scp", "PACS", &world.pacs.port.to_string()]);
    let _server = Server::start(server, world.pacs.port).await;
    let mut client = python();
    client.arg(&script).args(["scu", "CT1", "PACS", &world.ct.plain.port().to_string()]);
    let (done, text) = run(client).await;
    assert!(done, "{text}");
    assert_eq!(text.trim(), "created set committed", "{text}");
}

/// Asks the PACS to move the stored study to the CT, and looks whether it came.
async fn move_back(world: &World) {
    let back = world.folder("back");
    let mut command = program("movescu");
    command.args(["-v", "-S", "-aet", "CT1", "-aec", "PACS", "-aem", "CT1", "-od"]).arg(&back);
    command.args(["+P", &world.ct.port.to_string(), "-k", "QueryRetrieveLevel=STUDY"]);
    command.args(["-k", "StudyInstanceUID=1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"]);
    command.args(["127.0.0.1", &world.ct.plain.port().to_string()]);
    let (done, text) = run(command).await;
    assert!(done, "{text}");
    let came = data_sets(&back);
    assert_eq!(came.len(), 1, "{text}");
    // Sent by the PACS, received by the CT: on both sides.
    for side in [&world.ct, &world.pacs] {
        let line = side.audit_line(&["110104", r#"UserID="pacs-1" AlternativeUserID="AETITLES=PACS""#]).await;
        assert!(line.contains("1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"), "{line}");
    }
}

async fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}
