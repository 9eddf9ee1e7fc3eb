//! A store on another machine is reached by TLS, and only if the server is who it should be.

use crate::fixture::config;
use medlock_authority::signer::InProcess;
use medlock_authority::store::ServerConfig;
use medlock_authority::{Authority, AuthorityConfig, Error};
use medlock_node::clock::Clock;
use medlock_testkit::PostgresServer;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

const PASSWORD: &str = "not-to-be-shown";

fn openssl(folder: &Path, line: &str) {
    let mut command = Command::new("openssl");
    let status = command.args(line.split_whitespace()).current_dir(folder).stderr(Stdio::null()).status();
    assert!(status.expect("openssl is missing; `cargo xtask peers` installs it").success(), "openssl {line}");
}

/// An authority, and a server's certificate for this name from it.
fn certificates(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("ext"), format!("subjectAltName={name}\n")).unwrap();
    let with = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc";
    openssl(
        at,
        &format!(
            "req -x509 {with} -keyout ca.key -subj /CN={name} -days 30 -out ca.pem -addext basicConstraints=critical,CA:TRUE"
        ),
    );
    openssl(at, &format!("req {with} -keyout server.key -subj /CN=db -out server.csr"));
    openssl(
        at,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -set_serial 1 -days 30 -extfile ext -out server.pem",
    );
    std::fs::write(at.join("password"), format!("{PASSWORD}\n")).unwrap();
    folder
}

fn server(certificates: &Path) -> PostgresServer {
    let read = |name: &str| std::fs::read(certificates.join(name)).unwrap();
    PostgresServer::with_tls(&read("server.pem"), &read("server.key"), PASSWORD)
}

fn open(server: ServerConfig) -> Result<Authority, Error> {
    let dir = tempfile::tempdir().unwrap();
    let config = AuthorityConfig { store: Some(server), ..config(dir.path()) };
    let signer = Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
    Authority::open(&config, Clock::system(), signer)
}

/// Shows REQ-STORE-11, REQ-STORE-181.
#[test]
fn a_server_elsewhere_is_believed_by_its_authority_and_name_and_never_without_tls() {
    let (own, other) = (certificates("DNS:localhost"), certificates("DNS:db.example"));
    let (right, elsewhere) = (server(own.path()), server(other.path()));
    let to = |server: &PostgresServer, host: &str, ca: Option<&Path>| ServerConfig {
        ca: ca.map(|folder| folder.join("ca.pem")),
        password_file: Some(own.path().join("password")),
        schema: server.schema(),
        ..ServerConfig::new(server.tls_url(host))
    };
    let authority = open(to(&right, "localhost", Some(own.path()))).unwrap();
    let used = right.query("SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'medlock' AND NOT ssl");
    assert_eq!(used.as_deref(), Some("0"), "a connection is not secret");
    drop(authority);
    for (wrong, why) in [
        (to(&right, "localhost", Some(other.path())), "UnknownIssuer"),
        (to(&right, "127.0.0.1", Some(own.path())), "not valid for name"),
        (to(&elsewhere, "localhost", Some(other.path())), "not valid for name"),
        (to(&right, "db.example", None), "another machine"),
        // What is missing is named as it is given.
        (to(&right, "db.example", None), "store_ca"),
        (ServerConfig { password_file: None, ..to(&right, "localhost", Some(own.path())) }, "store_password_file"),
    ] {
        let error = open(wrong.clone()).unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains(PASSWORD), "{wrong:?}: {error}");
    }
    let mistyped = own.path().join("mistyped");
    std::fs::write(&mistyped, "another\n").unwrap();
    let mistaken = ServerConfig { password_file: Some(mistyped), ..to(&right, "localhost", Some(own.path())) };
    let error = open(mistaken).unwrap_err().to_string();
    assert!(error.contains("look at the password file") && !error.contains("reached"), "{error}");
    // Somebody between who says that the server speaks no TLS hears nothing more.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let between = format!("postgresql://medlock@localhost:{}/postgres", listener.local_addr().unwrap().port());
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 8]).unwrap();
        stream.write_all(b"N").unwrap();
        let mut more = Vec::new();
        let _ = stream.read_to_end(&mut more);
        more
    });
    let error = open(ServerConfig { url: between, ..to(&right, "localhost", Some(own.path())) }).unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");
    assert_eq!(heard.join().unwrap(), b"");
}
