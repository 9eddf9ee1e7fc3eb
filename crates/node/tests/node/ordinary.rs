//! TLS to ordinary servers.

use medlock_node::ordinary::OrdinaryServer;
use medlock_testkit::{Child, free_port};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) fn openssl(folder: &Path, line: &str) {
    let status =
        Command::new("openssl").args(line.split_whitespace()).current_dir(folder).stderr(Stdio::null()).status();
    assert!(status.expect("openssl is missing; `cargo xtask peers` installs it").success(), "openssl {line}");
}

/// An authority, and a certificate for `localhost` from it.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("ext"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(at, "ecparam -name prime256v1 -genkey -noout -out ca.key");
    openssl(
        at,
        "req -x509 -new -key ca.key -subj /CN=ca -days 30 -out ca.pem -addext basicConstraints=critical,CA:TRUE",
    );
    openssl(at, "ecparam -name prime256v1 -genkey -noout -out server.key");
    openssl(at, "req -new -key server.key -subj /CN=collector -out server.csr");
    openssl(
        at,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -set_serial 1 -days 30 -extfile ext -out server.pem",
    );
    folder
}

fn authority(folder: &Path) -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()]
}

async fn connects(address: &str, authorities: &[CertificateDer<'static>]) -> bool {
    let server = OrdinaryServer::new(address, authorities).unwrap();
    for _ in 0..100 {
        match server.connect(Duration::from_secs(5)).await {
            Ok(_) => return true,
            Err(error) if error.to_string().contains("refused") => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(_) => return false,
        }
    }
    panic!("openssl does not listen at {address}");
}

/// Shows REQ-NODE-61.
#[tokio::test]
async fn openssl_as_an_ordinary_server_is_believed_by_its_authority_and_name_only() {
    let (folder, other) = (certificates(), certificates());
    let port = free_port();
    let _server = Child::start(
        Command::new("openssl")
            .args(["s_server", "-quiet", "-key", "server.key", "-cert", "server.pem", "-accept"])
            .arg(format!("127.0.0.1:{port}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )
    .unwrap();
    assert!(connects(&format!("localhost:{port}"), &authority(folder.path())).await);
    assert!(!connects(&format!("127.0.0.1:{port}"), &authority(folder.path())).await, "another name");
    assert!(!connects(&format!("localhost:{port}"), &authority(other.path())).await, "another authority");
}
