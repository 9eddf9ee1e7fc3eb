//! A PostgreSQL server of the test's own: a new one in a temporary folder, on a Unix socket, gone with the test.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Waits for a line or for the end of the test, whichever way it ends; then stops the server at once, as a crash would, and
/// unless the line says `keep`, removes its folder and the disks in it.
const WATCH: &str = r#"folder="$1"; shift; "$@" >>"$folder/log" 2>&1 & server=$!
read -r what; kill -QUIT $server 2>/dev/null; wait $server; [ "$what" = keep ] && exit
for disk in tables log-disk; do if [ -d "$folder/$disk" ]; then umount "$folder/$disk"; fi; done; rm -rf "$folder""#;

/// A small disk of a server made by [`PostgresServer::with_small_disks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Where the tables are: a statement that needs room fails.
    Tables,
    /// Where the write-ahead log is: the server stops.
    Log,
}

impl Disk {
    fn name(self) -> &'static str {
        match self {
            Self::Tables => "tables",
            Self::Log => "log-disk",
        }
    }
}

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

    /// Makes one whose tables and whose write-ahead log are each on a disk of their own, of 24 MiB, that
    /// [`PostgresServer::fill`] fills.
    ///
    /// # Panics
    /// As [`PostgresServer::start`]; if this is not root, who alone may mount.
    #[must_use]
    pub fn with_small_disks() -> Self {
        let folder = folder();
        for disk in [Disk::Tables, Disk::Log] {
            let place = folder.join(disk.name());
            std::fs::create_dir(&place).expect("a folder");
            run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m,mode=0777", "tmpfs"]).arg(&place));
        }
        let tables = folder.join(Disk::Tables.name()).join("tables");
        run(as_user(Path::new("mkdir")).arg(&tables));
        init(&folder, &["--wal-segsize=1", "-X", &folder.join(Disk::Log.name()).join("wal").display().to_string()]);
        give(&folder.join("data/postgresql.auto.conf"), b"min_wal_size = '4MB'\nmax_wal_size = '8MB'\n");
        let mut server = Self { folder, sync: false, tls: None, watch: None };
        server.begin();
        for sql in [
            format!("CREATE TABLESPACE small LOCATION '{}'", tables.display()),
            "ALTER DATABASE postgres SET default_tablespace TO small".to_owned(),
        ] {
            server.query(&sql).expect("psql answers");
        }
        server
    }

    /// Fills a small disk to its last byte.
    ///
    /// # Panics
    /// If there is no such disk.
    pub fn fill(&self, disk: Disk) {
        let mut file = std::fs::File::create(self.ballast(disk)).expect("a file");
        for size in [1 << 20, 1 << 12, 1] {
            let block = vec![b'x'; size];
            while file.write_all(&block).is_ok() {}
        }
    }

    /// Makes room again.
    ///
    /// # Panics
    /// If it was not filled.
    pub fn make_room(&self, disk: Disk) {
        std::fs::remove_file(self.ballast(disk)).expect("the disk was filled");
    }

    fn ballast(&self, disk: Disk) -> PathBuf {
        self.folder.join(disk.name()).join("ballast")
    }

    /// Makes a standby that follows this one, and lets each commit of this one wait for it.
    ///
    /// # Panics
    /// As [`PostgresServer::start`].
    #[must_use]
    pub fn standby(&self) -> Self {
        let folder = folder();
        let primary = format!("user=medlock host={}", self.folder.display());
        let mut copy = as_user(&program("pg_basebackup"));
        copy.args(["--no-sync", "-c", "fast", "-X", "stream", "-R", "-C", "-S", "standby", "-d", &primary, "-D"]);
        run(copy.arg(folder.join("data")));
        let mut server = Self { folder, sync: self.sync, tls: None, watch: None };
        server.begin();
        for sql in ["ALTER SYSTEM SET synchronous_standby_names TO '*'", "SELECT pg_reload_conf()"] {
            self.query(sql).expect("psql answers");
        }
        let follows = || self.query("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'");
        wait_for(|| "the standby does not follow", || follows().is_some_and(|answer| answer == "1"));
        server
    }

    /// Lets a standby take over; its former primary must be stopped.
    ///
    /// # Panics
    /// If it is none.
    pub fn promote(&self) {
        let answer = self.query("SELECT pg_promote()");
        assert_eq!(answer.as_deref(), Some("t"), "it was not promoted");
    }

    /// The address of the one of several servers that takes writes.
    #[must_use]
    pub fn url_of(servers: &[&Self]) -> String {
        let host = |server: &&Self| server.folder.display().to_string().replace('/', "%2F");
        let hosts: Vec<_> = servers.iter().map(host).collect();
        format!("postgresql://medlock@{}/postgres", hosts.join(","))
    }

    fn make(sync: bool, prepare: impl FnOnce(&Path) -> Option<u16>) -> Self {
        let folder = folder();
        init(&folder, &[]);
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
        let log = self.folder.join("log");
        let said = || format!("no answer: {}", std::fs::read_to_string(&log).unwrap_or_default());
        wait_for(said, || self.query("SELECT 1").is_some());
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
        Self::query_at(&self.url(), sql)
    }

    /// As [`PostgresServer::query`], of whichever server is at this address.
    #[must_use]
    pub fn query_at(url: &str, sql: &str) -> Option<String> {
        let mut command = Command::new(program("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]).arg(url);
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
            for disk in [Disk::Tables, Disk::Log].map(|disk| self.folder.join(disk.name())) {
                if disk.exists() {
                    let _ = Command::new("umount").arg(disk).status();
                }
            }
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

fn folder() -> PathBuf {
    let made = run(as_user(Path::new("mktemp")).args(["-d", "/tmp/medlock-pg.XXXXXX"]));
    PathBuf::from(made.trim())
}

fn init(folder: &Path, more: &[&str]) {
    let mut command = as_user(&program("initdb"));
    command.args(["-A", "trust", "-U", "medlock", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]).args(more);
    run(command.arg("-D").arg(folder.join("data")));
}

/// Runs it to its end; what it said.
fn run(command: &mut Command) -> String {
    let heard = command.current_dir("/").output().expect("it starts");
    assert!(heard.status.success(), "{command:?}: {}", String::from_utf8_lossy(&heard.stderr));
    String::from_utf8(heard.stdout).expect("UTF-8")
}

fn wait_for<S: std::fmt::Display>(what: impl Fn() -> S, done: impl Fn() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{}", what());
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
