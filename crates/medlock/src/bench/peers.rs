//! Stock programs that a bench runs beside ours: started on ports the system chose, ended when dropped.

use crate::Failure;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to listen.
const START: Duration = Duration::from_secs(10);

/// Whether a program is installed.
pub(crate) fn installed(program: &str) -> bool {
    let Some(paths) = std::env::var_os("PATH") else { return false };
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// A server that runs until dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `command`, which will listen at `address`, and waits until it does.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start(mut command: Command, address: SocketAddr) -> Result<Self, Failure> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let server = Self { child, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if began.elapsed() > START {
                return Err(format!("{command:?} does not listen at {address}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on loopback that is free now.
///
/// # Errors
/// When there is none.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// How dcmtk's programs are to behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As they come: Nagle's algorithm is on.
    Stock,
    /// With `TCP_NODELAY`.
    NoDelay,
}

impl Manner {
    fn command(self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("TCP_NODELAY", if self == Self::NoDelay { "1" } else { "0" });
        command
    }
}

/// Keys and certificates for TLS between stock programs, made by openssl.
#[derive(Debug)]
pub(crate) struct StockTls {
    folder: tempfile::TempDir,
}

impl StockTls {
    /// Makes an authority and one certificate for both sides.
    ///
    /// # Errors
    /// When openssl fails.
    pub(crate) fn new() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let openssl = |line: &str| -> Result<(), Failure> {
            let output = Command::new("openssl").args(line.split(' ')).current_dir(folder.path()).output()?;
            if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
        };
        openssl("ecparam -name prime256v1 -genkey -noout -out ca.key")?;
        openssl("req -x509 -new -key ca.key -subj /CN=ca -days 2 -out ca.pem")?;
        openssl("ecparam -name prime256v1 -genkey -noout -out peer.key")?;
        openssl("req -new -key peer.key -subj /CN=localhost -out peer.csr")?;
        openssl("x509 -req -in peer.csr -CA ca.pem -CAkey ca.key -set_serial 1 -days 2 -out peer.pem")?;
        Ok(Self { folder })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn for_dcmtk(&self, command: &mut Command) {
        command.arg("+tls").arg(self.file("peer.key")).arg(self.file("peer.pem")).arg("+cf").arg(self.file("ca.pem"));
    }

    /// One end of a stunnel pair: takes connections and passes them to `target`.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn stunnel(&self, client: bool, target: SocketAddr) -> Result<Server, Failure> {
        let address = free_address()?;
        let side = if client { "client" } else { "server" };
        let file = self.file(&format!("{side}.conf"));
        let (certificate, key, authority) = (self.file("peer.pem"), self.file("peer.key"), self.file("ca.pem"));
        let text = format!(
            "foreground = yes\npid =\nsyslog = no\ndebug = 0\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n[dicom]\n\
             client = {}\naccept = {address}\nconnect = {target}\ncert = {}\nkey = {}\nCAfile = {}\nverifyChain = yes\n\
             requireCert = yes\n",
            if client { "yes" } else { "no" },
            certificate.display(),
            key.display(),
            authority.display()
        );
        std::fs::write(&file, text)?;
        let mut command = Command::new(stunnel());
        command.arg(&file);
        Server::start(command, address)
    }
}

/// What the stunnel program is called here.
pub(crate) fn stunnel() -> &'static str {
    if installed("stunnel4") { "stunnel4" } else { "stunnel" }
}

/// Starts dcmtk's storescp; it keeps what comes in `keep`, bit by bit, or forgets it.
///
/// # Errors
/// When it does not start.
pub(crate) fn storescp(manner: Manner, keep: Option<&Path>, tls: Option<&StockTls>) -> Result<Server, Failure> {
    let address = free_address()?;
    let mut command = manner.command("storescp");
    command.args(["-q", "--fork", "-pdu", "131072"]);
    match keep {
        Some(folder) => command.args(["+B", "-od"]).arg(folder),
        None => command.arg("--ignore"),
    };
    if let Some(tls) = tls {
        tls.for_dcmtk(&mut command);
    }
    command.arg(address.port().to_string());
    Server::start(command, address)
}

/// Sends a folder with dcmtk's storescu; how long it took.
///
/// # Errors
/// When it fails.
pub(crate) fn storescu(
    manner: Manner,
    folder: &Path,
    target: SocketAddr,
    tls: Option<&StockTls>,
) -> Result<Duration, Failure> {
    let mut command = manner.command("storescu");
    command.args(["-q", "-pdu", "131072", "+sd", "-aet", "CT1", "-aec", "PACS1"]);
    if let Some(tls) = tls {
        tls.for_dcmtk(&mut command);
    }
    command.arg(target.ip().to_string()).arg(target.port().to_string()).arg(folder);
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let took = began.elapsed();
    if output.status.success() {
        Ok(took)
    } else {
        Err(format!("storescu: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}
