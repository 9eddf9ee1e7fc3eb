//! Two machines with a guard each, on loopback, of one site.

use medlock_guard::{
    audit::AuditSource,
    dicom::{DicomConfig, DicomGuard, Limits, Services, images::Images, tap::Instance},
    sink::{AuditConfig, AuditLog},
};
use medlock_node::{
    identity::{Identity, IdentityStore},
    knowledge::{Kind, KnowledgeBase},
    routes::{Machine, RoutingTable},
    sessions::LiveSessions,
    stop::{self, Stopper},
};
use medlock_testkit::{Site, free_port};
use medlock_trust::{DeviceName, Role};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, process::Command, task::JoinHandle, time::timeout};

const PATIENCE: Duration = Duration::from_secs(60);

/// One guard that runs.
pub(crate) struct Side {
    pub(crate) plain: SocketAddr,
    pub(crate) secure: SocketAddr,
    /// The machine's own port.
    pub(crate) port: u16,
    pub(crate) knowledge: Arc<KnowledgeBase>,
    pub(crate) audit: PathBuf,
    /// What its machine has sent, and the peer took.
    pub(crate) told: Arc<Told>,
    _stop: Stopper,
    _tasks: [JoinHandle<()>; 2],
}

impl Side {
    async fn start(site: &Site, device: &str, identity: Identity, limits: &Limits, directory: &Path) -> Self {
        let knowledge = site.knowledge();
        let audit = directory.join(format!("{device}.log"));
        let config = AuditConfig { file: Some(audit.clone()), ..AuditConfig::default() };
        let source = AuditSource { site: site.name.clone(), device: device.to_owned(), process: std::process::id() };
        let sessions = LiveSessions::new(knowledge.clone());
        let told = Arc::new(Told::default());
        let services = Services {
            identity: IdentityStore::in_memory(Some(identity)),
            knowledge: knowledge.clone(),
            sessions: sessions.clone(),
            audit: AuditLog::open(&config, source).unwrap(),
            images: told.clone(),
        };
        let port = free_port();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = DicomConfig {
            device: DeviceName::new(device).unwrap(),
            plain: any,
            allowed: vec![Ipv4Addr::LOCALHOST.into()],
            secure: any,
            machine: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            limits: limits.clone(),
        };
        let guard = DicomGuard::bind(config, services).await.unwrap();
        let (plain, secure) = (guard.plain_address().unwrap(), guard.secure_address().unwrap());
        let (stopper, stop) = stop::channel();
        let tasks = [tokio::spawn(sessions.watch(stop.clone())), tokio::spawn(guard.run(stop))];
        Self { plain, secure, port, knowledge, audit, told, _stop: stopper, _tasks: tasks }
    }

    /// Waits until the audit has a line with all these parts, and returns it.
    pub(crate) async fn audit_line(&self, parts: &[&str]) -> String {
        let start = Instant::now();
        loop {
            let text = fs::read_to_string(&self.audit).unwrap_or_default();
            if let Some(line) = text.lines().find(|line| parts.iter().all(|part| line.contains(part))) {
                return line.to_owned();
            }
            assert!(start.elapsed() < Duration::from_secs(10), "no line has {parts:?} in\n{text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Keeps what it is told.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<Vec<Instance>>);

impl Images for Told {
    fn stored(&self, instance: Instance) {
        self.0.lock().unwrap().push(instance);
    }
}

impl Told {
    pub(crate) fn all(&self) -> Vec<Instance> {
        self.0.lock().unwrap().clone()
    }
}

/// A CT and a PACS, each with its guard.
pub(crate) struct World {
    pub(crate) site: Site,
    pub(crate) ct: Side,
    pub(crate) pacs: Side,
    pub(crate) directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let site = Site::new("St Elsewhere");
        let identity = site.identity("ct-1", &[Role::Modality], site.present());
        Self::with(site, identity).await
    }

    /// With this credential of `ct-1`.
    pub(crate) async fn with(site: Site, ct: Identity) -> Self {
        let pacs = site.identity("pacs-1", &[Role::Archive], site.present());
        let limits = Limits { request: Duration::from_secs(2), ..Limits::default() };
        Self::with_all(site, ct, pacs, limits).await
    }

    /// With a PACS that has this role.
    pub(crate) async fn with_pacs(role: Role) -> Self {
        let site = Site::new("St Elsewhere");
        let ct = site.identity("ct-1", &[Role::Modality], site.present());
        let pacs = site.identity("pacs-1", &[role], site.present());
        Self::with_all(site, ct, pacs, Limits::default()).await
    }

    /// With these limits.
    pub(crate) async fn with_limits(limits: Limits) -> Self {
        let site = Site::new("St Elsewhere");
        let ct = site.identity("ct-1", &[Role::Modality], site.present());
        let pacs = site.identity("pacs-1", &[Role::Archive], site.present());
        Self::with_all(site, ct, pacs, limits).await
    }

    async fn with_all(site: Site, ct: Identity, pacs: Identity, limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ct = Side::start(&site, "ct-1", ct, &limits, directory.path()).await;
        let pacs = Side::start(&site, "pacs-1", pacs, &limits, directory.path()).await;
        let world = Self { site, ct, pacs, directory };
        world.route(1, "CT1", &[&world.ct, &world.pacs]);
        world
    }

    /// Gives these guards a routing table of this version, with this AE title of the CT.
    pub(crate) fn route(&self, version: u64, ct: &str, to: &[&Side]) {
        let machine = |device: &str, titles: &[&str], address: Option<SocketAddr>| Machine {
            device: DeviceName::new(device).unwrap(),
            ae_titles: titles.iter().map(|title| (*title).to_owned()).collect(),
            address: address.map(|address| address.to_string()),
        };
        let machines = vec![
            machine("ct-1", &[ct], Some(self.ct.secure)),
            machine("ct-2", &["CT2"], None),
            machine("pacs-1", &["PACS"], Some(self.pacs.secure)),
            // Whoever answers there is another device than the table says.
            machine("ris-1", &["RIS"], Some(self.pacs.secure)),
        ];
        let table = RoutingTable::new(version, self.site.clock.now(), machines).unwrap();
        let signed = self.site.routes(&table);
        for side in to {
            side.knowledge.accept(Kind::Routes, &signed).unwrap();
        }
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

/// A program of a peer; a test without its peer fails and says how to get it.
pub(crate) fn program(name: &str) -> Command {
    let found = ["/usr/bin", "/usr/sbin", "/usr/local/bin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.exists());
    let path = found.unwrap_or_else(|| panic!("`{name}` is not installed; `cargo xtask test` installs it"));
    let mut command = Command::new(path);
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Python with pydicom and pynetdicom.
pub(crate) fn python() -> Command {
    let path = venv().join("bin/python");
    assert!(path.exists(), "{} is not there; `cargo xtask test` makes it", path.display());
    let mut command = Command::new(path);
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

fn venv() -> PathBuf {
    std::env::var_os("MEDLOCK_VENV")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv"), PathBuf::from)
}

/// One of pydicom's real files.
pub(crate) fn real_file(name: &str) -> PathBuf {
    let packages = fs::read_dir(venv().join("lib")).unwrap_or_else(|error| {
        panic!("no Python packages in {} ({error}); `cargo xtask test` installs them", venv().display())
    });
    packages
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/pydicom/data/test_files").join(name)))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("pydicom's {name} is missing; `cargo xtask test` installs it"))
}

/// Runs a program to its end; the output has both streams.
pub(crate) async fn run(mut command: Command) -> (bool, String) {
    let output: Output = timeout(PATIENCE, command.output()).await.expect("a peer program hangs").unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

/// A server that ends with the test.
pub(crate) struct Server(tokio::process::Child);

impl Server {
    /// Starts a program and waits until it listens on `port`.
    pub(crate) async fn start(mut command: Command, port: u16) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            assert!(child.try_wait().unwrap().is_none(), "the server ended: {command:?}");
            assert!(start.elapsed() < PATIENCE, "the server does not listen: {command:?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        Self(child)
    }

    pub(crate) async fn stop(mut self) {
        self.0.kill().await.unwrap();
    }
}

/// The data sets of all files in a directory, by SOP instance: what stands behind the meta information.
pub(crate) fn data_sets(directory: &Path) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let file = fs::read(entry.unwrap().path()).unwrap();
            assert_eq!(&file[128..132], b"DICM");
            // (0002,0000) UL 4: the length of what follows it.
            let length = u32::from_le_bytes(file[140..144].try_into().unwrap()) as usize;
            file[144 + length..].to_vec()
        })
        .collect();
    all.sort();
    all
}
