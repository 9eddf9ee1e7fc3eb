//! Running a hub for years: watched, reconfigured while it runs, its keys with another user.

use crate::process::{Hub, Process, medlock};
use medlock_testkit::peers::venv;
use medlock_testkit::{PostgresServer, SoftHsm};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What curl gets: the status and the body.
fn get(url: &str) -> (u16, String) {
    let output = Command::new("curl").args(["-s", "--max-time", "20", "-w", "\n%{http_code}", url]).output();
    let output = output.expect("curl starts").stdout;
    let text = String::from_utf8_lossy(&output);
    let (body, status) = text.rsplit_once('\n').expect("two lines");
    (status.parse().expect("a number"), body.to_owned())
}

/// A port that was free a moment ago.
fn free() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn signal(which: &str, id: u32) {
    let sent = Command::new("kill").args([which, &id.to_string()]).status().expect("kill starts");
    assert!(sent.success());
}

/// Shows REQ-RUN-03, REQ-RUN-05: what Prometheus reads is read by its own parser, and says what has happened; a signer that
/// is stopped makes the hub live and not ready.
#[test]
fn a_hub_is_watched() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    hub.kill();
    let port = free();
    hub.run_with(&format!(
        "monitoring = \"127.0.0.1:{port}\"\n\n[authority.pumps]\norganization = \"Pump Works\"\nkind = \"maker\"\n"
    ));
    let url = |path: &str| format!("http://127.0.0.1:{port}/{path}");
    hub.code("ct1", "modality");
    for base in [url("health"), format!("http://{}/health", hub.people)] {
        assert_eq!(get(&format!("{base}/live")), (200, "alive\n".to_owned()));
        assert_eq!(get(&format!("{base}/ready")), (200, "ready\n".to_owned()));
    }
    assert_eq!(get(&format!("http://{}/a/pumps/health/ready", hub.people)).0, 200);
    assert_eq!(get(&format!("http://{}/metrics", hub.people)).0, 404, "metrics are not for everybody");

    let (status, metrics) = get(&url("metrics"));
    assert_eq!(status, 200);
    let parser = "import sys\nfrom prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
                  for family in read(sys.stdin.read()):\n for sample in family.samples: print(sample.name, sorted(sample.labels.items()), sample.value)";
    let mut python = Command::new(venv().join("bin/python3"));
    python.args(["-c", parser]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().expect("python starts");
    std::io::Write::write_all(&mut python.stdin.take().expect("a pipe"), metrics.as_bytes()).expect("written");
    let read = python.wait_with_output().expect("python ends");
    assert!(read.status.success(), "{metrics}");
    let read = String::from_utf8(read.stdout).expect("text");
    for line in [
        "medlock_ready [('authority', '-')] 1",
        "medlock_ready [('authority', 'pumps')] 1",
        "medlock_devices [('authority', '-')] 2",
        "medlock_requests_total [('door', 'people'), ('route', '/health/live'), ('status', '200')] 1",
        "medlock_connections [('door', 'monitoring')] 1",
        "medlock_build_info [('version', '0.1.0')] 1",
    ] {
        assert!(read.lines().any(|known| known == line), "{line} is not in\n{read}");
    }
    let memory = read.lines().find_map(|line| line.strip_prefix("medlock_process_resident_memory_bytes [] "));
    assert!(memory.expect("memory").parse::<f64>().expect("a number") > 1e6);

    // A signer that stands still: the process lives, and cannot issue.
    signal("-STOP", hub.signer());
    assert_eq!(get(&url("health/live")).0, 200);
    let (status, text) = get(&url("health/ready"));
    assert!(status == 503 && text.contains("signer"), "{status} {text}");
    assert!(get(&url("metrics")).1.contains("medlock_ready{authority=\"-\"} 0"));
    signal("-CONT", hub.signer());
    until("the hub is ready again", || get(&url("health/ready")).0 == 200);
}

/// Shows REQ-RUN-02: addresses, names and rates change at a SIGHUP, and connections that are open stay; a configuration that
/// cannot be used changes nothing and is said.
#[test]
fn a_hub_goes_on_with_a_changed_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    let old = (hub.people, hub.devices);
    let mut stays = TcpStream::connect(hub.devices).expect("connected");
    hub.people.set_port(free());
    let (monitoring, coap, coaps) = (free(), free(), free());
    hub.coap.set_port(coap);
    hub.configure(&format!(
        "coaps = \"127.0.0.1:{coaps}\"\nmonitoring = \"127.0.0.1:{monitoring}\"\nnames = [\"hub7.example\"]\nrequests_per_second = 1\n"
    ));
    signal("-HUP", hub.id());
    let people = format!("http://{}/crl/issuing.crl", hub.people);
    until("people are served at the new address", || get(&people).0 == 200);
    until("it is watched", || get(&format!("http://127.0.0.1:{monitoring}/health/ready")).0 == 200);
    until("the old address is closed", || TcpStream::connect(old.0).is_err());
    until("small devices are served at the new address", || {
        let open = std::fs::read_to_string("/proc/net/udp").expect("/proc");
        [coap, coaps].iter().all(|port| open.contains(&format!(":{port:04X} ")))
    });
    // The certificate of the same listener has the new name.
    let shown = Command::new("openssl")
        .args(["s_client", "-showcerts", "-connect", &old.1.to_string()])
        .stdin(Stdio::null())
        .output()
        .expect("openssl starts");
    let mut read = Command::new("openssl");
    let names = piped(read.args(["x509", "-noout", "-ext", "subjectAltName"]), &shown.stdout);
    assert!(names.contains("hub7.example"), "{names}");
    let statuses: Vec<u16> = (0..30).map(|_| get(&people).0).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    std::io::Write::write_all(&mut stays, b"x").expect("the old connection is open");

    // What fails on the way is not half in force, and the next configuration is compared with what is.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let names = || {
        let mut client = Command::new("openssl");
        let shown =
            client.args(["s_client", "-showcerts", "-connect", &old.1.to_string()]).stdin(Stdio::null()).output();
        let mut read = Command::new("openssl");
        piped(read.args(["x509", "-noout", "-ext", "subjectAltName"]), &shown.expect("openssl starts").stdout)
    };
    let more = |monitoring: u16| format!("monitoring = \"127.0.0.1:{monitoring}\"\nnames = [\"hub8.example\"]\n");
    hub.configure(&more(taken.local_addr().expect("an address").port()));
    signal("-HUP", hub.id());
    std::thread::sleep(Duration::from_millis(500));
    assert!(names().contains("hub7.example"), "{}", names());
    hub.configure(&more(monitoring));
    signal("-HUP", hub.id());
    until("the new name is in the certificate", || names().contains("hub8.example"));

    // What changes only with a restart changes nothing.
    hub.configure(&format!("{}forwarded = \"X-Forwarded-For\"\n", more(monitoring).replace("hub8", "hub9")));
    signal("-HUP", hub.id());
    std::thread::sleep(Duration::from_millis(500));
    assert!(names().contains("hub8.example"), "{}", names());

    // Nonsense changes nothing.
    hub.configure("site = \"Twice\"\n");
    signal("-HUP", hub.id());
    std::thread::sleep(Duration::from_millis(500));
    assert!(matches!(get(&people).0, 200 | 429));
    hub.ask(&["device", "list"]);
}

fn piped(command: &mut Command, input: &[u8]) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), input).expect("written");
    String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("text")
}

/// Shows REQ-RUN-06: each line is a JSON object with the fields of the event.
#[test]
fn the_log_can_be_read_by_machines() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::start(folder.path());
    let mut second = hub.command();
    let output =
        second.args(["--log-format", "json", "--log", "info"]).stdin(Stdio::null()).output().expect("it starts");
    assert!(!output.status.success(), "two hubs run in one folder");
    let mut other = medlock();
    other.args(["up", "--dir"]).arg(folder.path().join("other")).args(["--log-format", "json", "--log", "info"]);
    let config = folder.path().join("other.toml");
    std::fs::write(&config, "[hub]\ndevices = \"127.0.0.1:0\"\npeople = \"127.0.0.1:0\"\n").expect("written");
    other.args(["--json", "--with-parent", "--config"]).arg(&config).stderr(Stdio::piped());
    other.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut other = other.spawn().expect("it starts");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(other.stdout.take().expect("a pipe")));
    let up: serde_json::Value = serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON");
    assert_eq!(get(&format!("http://{}/health/live", up["people"].as_str().expect("an address"))).0, 200);
    drop(other.stdin.take());
    let log = String::from_utf8(other.wait_with_output().expect("it ends").stderr).expect("text");
    let events: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let answered = events.iter().find(|event| event["message"] == "answered").expect("the request is in the log");
    assert_eq!((&answered["door"], &answered["route"]), (&"people".into(), &"/health/live".into()), "{answered}");
    assert_eq!(answered["status"], 200);
}

/// Users that own nothing else on this machine.
const SIGNER: u32 = 64_101;
const HUB: u32 = 64_102;

/// Shows REQ-RUN-07: the signer runs as one user, the hub as another of its group; the hub issues, and can read no key.
#[test]
fn signer_and_hub_run_as_different_users() {
    let folder = tempfile::Builder::new().prefix("medlock-users").tempdir_in("/tmp").expect("a folder");
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the test runs as root");
    };
    open(folder.path(), 0o755);
    let made = |name: &str, user: u32, mode: u32| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).expect("made");
        std::os::unix::fs::chown(&path, Some(user), Some(SIGNER)).expect("the test runs as root");
        open(&path, mode);
        path
    };
    let (keys, run) = (made("signer", SIGNER, 0o700), made("run", SIGNER, 0o750));
    let state = made("state", HUB, 0o700);
    let program = folder.path().join("medlock");
    std::fs::copy(env!("CARGO_BIN_EXE_medlock"), &program).expect("copied");
    let as_user = |user: u32| {
        let mut command = Command::new(&program);
        command.uid(user).gid(SIGNER).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        command
    };
    let socket = run.join("signer.sock");
    let mut signer = as_user(SIGNER);
    signer.args(["signer", "--group", "--with-parent", "--keys"]).arg(keys.join("keys")).arg("--socket").arg(&socket);
    let _signer = Process::start(&mut signer);
    until("the signer listens", || socket.exists());
    let config = state.join("medlock.toml");
    let text = format!(
        "[hub]\ndir = {:?}\nsigner = {socket:?}\ndevices = \"127.0.0.1:0\"\npeople = \"127.0.0.1:0\"\n",
        state.join("hub")
    );
    std::fs::write(&config, text).expect("written");
    std::os::unix::fs::chown(&config, Some(HUB), Some(SIGNER)).expect("owned");
    let mut hub = Process::start(as_user(HUB).args(["up", "--json", "--with-parent", "--config"]).arg(&config));
    let up = hub.event("up");
    assert_eq!(get(&format!("http://{}/health/ready", up["people"].as_str().expect("an address"))).0, 200);
    let read =
        Command::new("cat").arg(keys.join("keys/issuing.key")).uid(HUB).gid(SIGNER).output().expect("cat starts");
    assert!(!read.status.success() && read.stdout.is_empty(), "the hub's user can read a key");
    assert!(keys.join("keys/issuing.key").exists(), "the key is there");
    assert!(!state.join("hub/keys").exists(), "the hub has made keys of its own");
}

/// Shows REQ-RUN-08: systemd can read the units, finds them tight, and is told what the hub does.
#[test]
fn systemd_takes_the_units_and_is_told() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd");
    let folder = tempfile::tempdir().expect("a folder");
    let mut units = Vec::new();
    for unit in ["medlock-hub.service", "medlock-signer@.service", "medlock-sidecar@.service"] {
        let text = std::fs::read_to_string(packaging.join(unit)).expect("it is there");
        assert!(text.contains("ExecStart=/usr/bin/medlock "), "{unit}");
        let here = folder.path().join(unit);
        std::fs::write(&here, text.replace("/usr/bin/medlock", env!("CARGO_BIN_EXE_medlock"))).expect("written");
        units.push(here);
        // From 0, safe, to 100: what systemd makes of what the unit may do.
        let security = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", "--threshold=15"])
            .arg(packaging.join(unit))
            .output()
            .expect("systemd-analyze starts");
        assert!(security.status.success(), "{unit}: {}", String::from_utf8_lossy(&security.stdout));
    }
    let verified = Command::new("systemd-analyze").arg("verify").args(&units).output().expect("systemd-analyze starts");
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");

    let told = std::os::unix::net::UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
    told.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
    let next = || {
        let mut text = [0; 4096];
        let length = told.recv(&mut text).expect("systemd is told");
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let until_told = |what: &str| while !next().lines().any(|line| line == what) {};
    let config = folder.path().join("medlock.toml");
    std::fs::write(&config, "[hub]\ndevices = \"127.0.0.1:0\"\npeople = \"127.0.0.1:0\"\n").expect("written");
    let mut hub = medlock();
    hub.args(["up", "--with-parent", "--json", "--dir"]).arg(folder.path().join("hub")).arg("--config").arg(&config);
    hub.env("NOTIFY_SOCKET", folder.path().join("notify")).env("WATCHDOG_USEC", "300000");
    let hub = Process::start(&mut hub);
    until_told("READY=1");
    until_told("WATCHDOG=1");
    signal("-HUP", hub.id());
    until_told("RELOADING=1");
    until_told("READY=1");
    signal("-TERM", hub.id());
    until_told("STOPPING=1");
}

/// A script of the operator's guide. Nothing but the ports is another.
fn script_of(heading: &str) -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating.md");
    let guide = std::fs::read_to_string(guide).expect("it is there");
    let (_, section) = guide.split_once(&format!("\n{heading}\n")).expect("the section is there");
    let (_, script) = section.split_once("```sh\n").expect("it has a script");
    let (script, _) = script.split_once("\n```").expect("the script ends");
    let hubs = ["8443", "8444", "8080", "8081", "9090", "9091", "9443"];
    let machines = ["2762", "2763", "2764", "11112", "11113", "11114"];
    hubs.iter().chain(&machines).fold(script.to_owned(), |script, port| {
        script.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{}", free()))
    })
}

fn script_of_the_guide() -> String {
    script_of("## 9. All of it in one go")
}

fn pasted(script: &str, folder: &Path, devices: &str) -> std::process::Output {
    bash(script, folder).env("DEVICES", devices).output().expect("bash starts")
}

fn bash(script: &str, folder: &Path) -> Command {
    let programs = Path::new(env!("CARGO_BIN_EXE_medlock")).parent().expect("a folder");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("a path"));
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).current_dir(folder).env("PATH", path);
    bash
}

/// Shows REQ-CLI-34: pasted a second time, or where the hub cannot start, it ends, writes nothing beside its folder and closes
/// nobody's terminal.
#[test]
fn the_script_of_the_operators_guide_ends_where_it_cannot_go_on() {
    let (script, folder) = (script_of_the_guide(), tempfile::tempdir().expect("a folder"));
    std::fs::create_dir(folder.path().join("medlock-show")).expect("a folder");
    let terminal = format!("{script}\nfalse\necho the terminal is open");
    let output = pasted(&terminal, folder.path(), "20");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("the terminal is open") && !said.contains("done:"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    assert_eq!(std::fs::read_dir(folder.path().join("medlock-show")).expect("a folder").count(), 0);
    // Somebody else has the port, and nobody answers where the hub is watched.
    let (other, taken) = (tempfile::tempdir().expect("a folder"), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let devices = script.lines().find(|line| line.starts_with("devices = ")).expect("the hub has a door");
    let taken = script.replacen(devices, &format!("devices = \"{}\"", taken.local_addr().unwrap()), 1);
    let output = pasted(&taken, other.path(), "20");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("cannot be opened"), "{errors}");
    assert!(String::from_utf8_lossy(&pasted(&script, other.path(), "2").stderr).contains("File exists"));
    std::fs::remove_dir_all(other.path().join("medlock-show")).expect("removed");
    assert_eq!(pasted(&script, other.path(), "2").status.code(), Some(2));
}

/// Shows REQ-RUN-09: what docs/operating.md tells an operator to paste does what it says, from an alliance to a proof that
/// openssl checks.
#[test]
fn the_script_of_the_operators_guide_works_as_it_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = pasted(&script_of_the_guide(), folder.path(), "20");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("done: 20 devices of each maker"), "{said}");
    assert!(errors.contains("certificate revoked") && said.contains("pumps-00001.pem: OK"), "{said}\n{errors}");
    let credentials = std::fs::read_dir(folder.path().join("medlock-show/lot-sensors")).expect("a folder");
    let credentials = credentials.flatten().filter(|entry| entry.file_name().to_string_lossy().ends_with("0.pem"));
    assert_eq!(credentials.count(), 2);
}

/// Shows REQ-RUN-76: what docs/operating.md tells an operator to paste makes a site of two hubs on a server and a token, and takes it
/// through its bad days.
#[test]
fn the_script_of_two_hubs_works_as_it_stands() {
    let (folder, server) = (tempfile::tempdir().expect("a folder"), PostgresServer::start());
    let mut script = bash(&script_of("### Two hubs, a server and a token, in one go"), folder.path());
    script.env("STORE", server.url()).env("MODULE", SoftHsm::library());
    let output = script.output().expect("bash starts");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("done: two hubs"), "{said}\n{errors}");
    assert!(said.contains("heard: status list") && said.contains("compromised"), "{said}\n{errors}");
    let enrolled = |name: &str| said.lines().rev().any(|line| line.starts_with(name) && line.contains(" enrolled "));
    assert!(enrolled("ct1 ") && enrolled("ct2 ") && said.lines().any(|line| line == "revoked"), "{said}");
}

/// Shows REQ-RUN-40, REQ-RUN-42: without the passphrase of its keys a hub does not start, and says what is missing; one that
/// runs when its signer cannot be started any more says so where it is watched, and goes on when the passphrase is back.
#[test]
fn a_hub_without_the_passphrase_of_its_keys_ends_and_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitoring = free();
    let lines = format!("monitoring = \"127.0.0.1:{monitoring}\"\n");
    let mut hub = Hub::start_with(folder.path(), &lines);
    let (passphrase, away) = (hub.dir.join("keys/passphrase"), folder.path().join("away"));
    let ready = || get(&format!("http://127.0.0.1:{monitoring}/health/ready"));
    assert_eq!(ready().0, 200);
    std::fs::rename(&passphrase, &away).expect("moved");
    signal("-9", hub.signer());
    until("it is ready without its signer", || {
        let (status, body) = ready();
        status == 503 && body.contains("passphrase is missing")
    });
    std::fs::rename(&away, &passphrase).expect("moved");
    until("it does not come back", || ready().0 == 200);

    hub.kill();
    std::fs::rename(&passphrase, &away).expect("moved");
    let began = Instant::now();
    let refused = hub.refused(&lines);
    let last = refused.lines().last().expect("it says why");
    assert!(last.starts_with("medlock: ") && last.contains("passphrase is missing, and"), "{refused}");
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
    assert!(refused.matches("the signer process has ended").count() <= 4, "{refused}");
    std::fs::rename(&away, &passphrase).expect("moved");
    hub.run_with(&lines);
}
