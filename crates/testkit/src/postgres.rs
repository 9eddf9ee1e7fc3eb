//! A PostgreSQL server of the test's own: a new one in a temporary folder, on a Unix socket, gone with the test.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Waits for a line or for the end of the test, whichever way it ends; then stops the server at once, as a crash would, and
/// unless the line says `keep`, removes its folder.
const WATCH: &str = r#"folder="$1"; shift; "$@" >"$folder/log" 2>&1 & server=$!
read -r what; kill -QUIT $server 2>/dev/null; wait $server; [ "$what" = keep ] || rm -rf "$folder""#;

/// A PostgreSQL server.
#[derive(Debug)]
pub struct PostgresServer {
    folder: PathBuf,
    sync: bool,
    /// Where it listens with TLS, if it does.
    tls: Option<u16>,
    watch: Option<Child>,
}

impl PostgresServer {
    /// Makes one and starts it. It does not wait for the disk, which only the loss of the machine would show.
    ///
    /// # Panics
    /// If PostgreSQL is not installed (`cargo xtask peers` does) or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::make(false, |_| None)
    }

    /// Makes one that waits for the disk at each commit, to measure it.
    ///
    /// # Panics
    /// As [`PostgresServer::start`].
    #[must_use]
    pub fn synchronous() -> Self {
        Self::make(true, |_| None)
    }

    /// Makes one that is also reached at 127.0.0.1, only by TLS with this certificate and key (PEM), and there asks for the
    /// password of its user, which is this one.
    ///
    /// # Panics
    /// As [`PostgresServer::start`].
    #[must_use]
    pub fn with_tls(certificate: &[u8], key: &[u8], password: &str) -> Self {
        let server = Self::make(false, |data| {
            give(&data.join("server.crt"), certificate);
            give(&data.join("server.key"), key);
            give(
                &data.join("pg_hba.conf"),
                b"local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl all all 127.0.0.1/32 trust\n",
            );
            Some(crate::free_port())
        });
        server.query(&format!("ALTER USER medlock PASSWORD '{password}'")).expect("a password");
        server
    }

    fn make(sync: bool, prepare: impl FnOnce(&Path) -> Option<u16>) -> Self {
        let made = as_user(Path::new("mktemp")).args(["-d", "/tmp/medlock-pg.XXXXXX"]).output().expect("mktemp");
        let folder = PathBuf::from(String::from_utf8(made.stdout).expect("a path").trim());
        let made = as_user(&program("initdb"))
            .current_dir("/")
            .args(["-A", "trust", "-U", "medlock", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(folder.join("data"))
            .output()
            .expect("initdb");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let tls = prepare(&folder.join("data"));
        let mut server = Self { folder, sync, tls, watch: None };
        server.begin();
        server
    }

    /// One for all tests of this process.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<PostgresServer> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    /// Starts it (again), and waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    pub fn begin(&mut self) {
        let sync = if self.sync { "fsync=on" } else { "fsync=off" };
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "watch"]).arg(&self.folder);
        command.args(words(&as_user(&program("postgres")))).arg("-D").arg(self.folder.join("data"));
        command.arg("-k").arg(&self.folder).args(["-c", sync]);
        match self.tls {
            None => command.args(["-c", "listen_addresses="]),
            Some(port) => command.args(["-c", "listen_addresses=127.0.0.1", "-c", "ssl=on", "-p", &port.to_string()]),
        };
        let watch = command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        self.watch = Some(watch.expect("a shell"));
        for _ in 0..600 {
            if self.query("SELECT 1").is_some() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("no answer: {}", std::fs::read_to_string(self.folder.join("log")).unwrap_or_default());
    }

    /// Stops it at once, as a crash would.
    ///
    /// # Panics
    /// If it does not stop.
    pub fn crash(&mut self) {
        if let Some(mut watch) = self.watch.take() {
            let line = watch.stdin.take().map(|mut line| line.write_all(b"keep\n"));
            line.expect("a pipe").expect("a watch");
            watch.wait().expect("a child");
        }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        let port = self.tls.unwrap_or(5432);
        format!("postgresql:///postgres?user=medlock&host={}&port={port}", self.folder.display())
    }

    /// The address at which it is reached by TLS, by this name or number of the machine.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn tls_url(&self, host: &str) -> String {
        format!("postgresql://medlock@{host}:{}/postgres", self.tls.expect("made with TLS"))
    }

    /// A name of a schema that no other test has.
    #[must_use]
    pub fn schema(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
    }

    /// What psql answers; `None` when it fails.
    #[must_use]
    pub fn query(&self, sql: &str) -> Option<String> {
        let mut command = Command::new(program("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]).arg(self.url());
        let heard = command.current_dir("/").stderr(Stdio::null()).output().ok()?;
        heard.status.success().then(|| String::from_utf8_lossy(&heard.stdout).trim().to_owned())
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut watch) = self.watch.take() {
            drop(watch.stdin.take());
            let _ = watch.wait();
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A program of PostgreSQL: Debian keeps those of the server out of the path.
fn program(name: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|folders| folders.filter_map(Result::ok).map(|one| one.path().join("bin").join(name)).collect())
        .unwrap_or_default();
    versions.retain(|path| path.exists());
    versions.sort();
    versions.pop().unwrap_or_else(|| PathBuf::from(name))
}

/// The server refuses to run as root: there it is the user `postgres` that Debian makes.
fn as_user(program: &Path) -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|heard| heard.stdout == b"0\n");
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// Writes a file that only the server may read.
fn give(path: &Path, bytes: &[u8]) {
    let mut shell = as_user(Path::new("sh"));
    shell.args(["-c", "umask 077; cat > \"$1\"", "give"]).arg(path).stdin(Stdio::piped());
    let mut child = shell.spawn().expect("a shell");
    child.stdin.take().expect("a pipe").write_all(bytes).expect("it reads");
    assert!(child.wait().expect("a child").success(), "{} cannot be written", path.display());
}

fn words(command: &Command) -> Vec<std::ffi::OsString> {
    std::iter::once(command.get_program()).chain(command.get_args()).map(ToOwned::to_owned).collect()
}
