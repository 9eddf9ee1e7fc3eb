//! A hub, sidecars and machines as processes, each ended by its id.

use medlock_node::clock::Clock;
use medlock_node::enrol::{Code, Enrolment, Progress};
use medlock_node::http::Client;
use medlock_node::identity::IdentityStore;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::tls::{Believed, Connector};
use medlock_trust::Role;
use medlock_trust::policy::Setting;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

/// The binary under test.
pub(crate) fn medlock() -> Command {
    Command::new(env!("CARGO_BIN_EXE_medlock"))
}

/// A process that says JSON, one object a line; killed when dropped.
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the medlock binary starts");
        let stdout = child.stdout.take().expect("standard output is a pipe");
        Self { child, lines: BufReader::new(stdout).lines() }
    }

    pub(crate) fn next(&mut self) -> Value {
        let line = self.lines.next().expect("the process goes on").expect("its output can be read");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Waits for an event of this kind.
    pub(crate) fn event(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next();
            if event["event"] == kind {
                return event;
            }
        }
    }

    /// Gives it a line on its standard input.
    pub(crate) fn give(&mut self, line: &Value) {
        let input = self.child.stdin.as_mut().expect("standard input is a pipe");
        writeln!(input, "{line}").expect("the process reads");
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends its standard input, and waits until it has tidied up.
    pub(crate) fn end(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().expect("it ends");
    }

    /// SIGKILL: nothing is tidied up.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A hub in a folder, on ports that stay the same when it is started again.
pub(crate) struct Hub {
    pub(crate) dir: PathBuf,
    pub(crate) devices: SocketAddr,
    /// Where small devices reach it.
    pub(crate) coap: SocketAddr,
    /// Where ordinary software reaches it.
    pub(crate) people: SocketAddr,
    config: PathBuf,
    /// Variables of its environment.
    environment: Vec<(&'static str, PathBuf)>,
    /// What it said when it was up.
    pub(crate) up: Value,
    process: Option<Process>,
}

impl Hub {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, "")
    }

    /// As [`Hub::start`], with these lines more in `[hub]`.
    pub(crate) fn start_with(folder: &Path, more: &str) -> Self {
        Self::start_in(Vec::new(), folder, more)
    }

    /// As [`Hub::start_with`], where ordinary software reaches it at this address.
    pub(crate) fn start_at(people: SocketAddr, folder: &Path, more: &str) -> Self {
        let mut hub = Self::in_folder(Vec::new(), folder);
        hub.people = people;
        hub.begin(more)
    }

    /// As [`Hub::start_with`], with these variables in its environment.
    pub(crate) fn start_in(environment: Vec<(&'static str, PathBuf)>, folder: &Path, more: &str) -> Self {
        Self::in_folder(environment, folder).begin(more)
    }

    fn in_folder(environment: Vec<(&'static str, PathBuf)>, folder: &Path) -> Self {
        let dir = folder.join("hub");
        let config = folder.join("medlock.toml");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { dir, devices: any, coap: any, people: any, config, environment, up: Value::Null, process: None }
    }

    fn begin(mut self, more: &str) -> Self {
        self.run_with(more);
        self
    }

    /// Starts the hub, again if it was killed.
    pub(crate) fn run(&mut self) {
        self.run_with("");
    }

    /// Writes its configuration, with these lines more in `[hub]`.
    pub(crate) fn configure(&self, more: &str) {
        let text = format!(
            "[hub]\nsite = \"Fault Hospital\"\ndir = {:?}\ndevices = \"{}\"\ncoap = \"{}\"\npeople = \"{}\"\n{more}",
            self.dir, self.devices, self.coap, self.people
        );
        std::fs::write(&self.config, text).expect("written");
    }

    /// Starts the hub with these lines more in `[hub]`.
    pub(crate) fn run_with(&mut self, more: &str) {
        self.configure(more);
        let mut process = Process::start(&mut self.command());
        let up = process.event("up");
        let address = |name: &str| up[name].as_str().expect("an address").parse().expect("an address");
        (self.devices, self.coap, self.people) = (address("devices"), address("coap"), address("people"));
        (self.process, self.up) = (Some(process), up);
    }

    /// What it says when it does not start with these lines more in `[hub]`.
    pub(crate) fn refused(&self, more: &str) -> String {
        self.configure(more);
        let mut command = medlock();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let output = command.args(["up", "--config"]).arg(&self.config).output().expect("it starts");
        assert_eq!(output.status.code(), Some(1), "it started");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// The command that starts it.
    pub(crate) fn command(&self) -> Command {
        let mut command = medlock();
        command.args(["up", "--json", "--with-parent", "--config"]).arg(&self.config);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn kill(&mut self) {
        self.process.take().expect("the hub runs").kill();
    }

    /// The hub's process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().expect("the hub runs").id()
    }

    /// The signer's process id: the hub's one child.
    pub(crate) fn signer(&self) -> u32 {
        let hub = self.process.as_ref().expect("the hub runs").id();
        let children = std::fs::read_to_string(format!("/proc/{hub}/task/{hub}/children")).expect("/proc is there");
        let of_all_threads: String = std::fs::read_dir(format!("/proc/{hub}/task"))
            .expect("/proc is there")
            .filter_map(Result::ok)
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
            .collect();
        let text = if children.is_empty() { of_all_threads } else { children };
        text.split_whitespace().next().expect("the signer runs").parse().expect("a process id")
    }

    /// `medlock WHAT… --json` against this hub.
    pub(crate) fn ask(&self, what: &[&str]) -> Value {
        Self::answer(what, medlock().args(what).arg("--json").arg("--dir").arg(&self.dir))
    }

    /// `medlock WHAT… --json`, which needs no hub's folder.
    pub(crate) fn ask_without_folder(what: &[&str]) -> Value {
        Self::answer(what, medlock().args(what).arg("--json"))
    }

    fn answer(what: &[&str], command: &mut Command) -> Value {
        let output = command.output().expect("it starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what:?}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{what:?}: {error}: {errors}"))
    }

    /// Registers a device and makes its code.
    pub(crate) fn code(&self, device: &str, role: &str) -> String {
        self.ask(&["device", "register", device, "--role", role]);
        self.ask(&["device", "code", device])["code"].as_str().expect("a code").to_owned()
    }

    /// The credentials of a device.
    pub(crate) fn credentials(&self, device: &str) -> Vec<Value> {
        self.ask(&["device", "show", device])["credentials"].as_array().expect("credentials").clone()
    }
}

/// A sidecar of `ct1` that waits for approval.
pub(crate) fn waiting_sidecar(hub: &Hub, folder: &Path) -> Process {
    let code = hub.code("ct1", "modality");
    let mut command = medlock();
    command.args(["sidecar", "dicom", "--json", "--with-parent", "--listen", "127.0.0.1:0", "--plain", "127.0.0.1:0"]);
    command.args(["--hub", &hub.devices.to_string(), "--dir"]).arg(folder.join("waiting"));
    let mut process = Process::start(command.env("MEDLOCK_CODE", code));
    process.event("awaiting-approval");
    process
}

/// A sidecar in a folder, on ports that stay the same when it is started again.
pub(crate) struct Sidecar {
    folder: PathBuf,
    hub: SocketAddr,
    machine: Option<SocketAddr>,
    pub(crate) listen: SocketAddr,
    pub(crate) plain: SocketAddr,
    process: Option<Process>,
}

impl Sidecar {
    /// Starts it with a code and confirms its request.
    pub(crate) fn enrol(hub: &Hub, folder: &Path, device: &str, role: &str, machine: Option<SocketAddr>) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut sidecar =
            Self { folder: folder.join(device), hub: hub.devices, machine, listen: any, plain: any, process: None };
        hub.ask(&["device", "register", device, "--role", role]);
        sidecar.enrol_with_new_code(hub, device);
        sidecar
    }

    /// Starts it with a new code and confirms its request.
    pub(crate) fn enrol_with_new_code(&mut self, hub: &Hub, device: &str) {
        let code = hub.ask(&["device", "code", device])["code"].as_str().expect("a code").to_owned();
        let mut process = Process::start(self.command().env("MEDLOCK_CODE", code));
        let key = process.event("awaiting-approval")["key"].as_str().expect("a fingerprint").to_owned();
        hub.ask(&["device", "approve", device, "--key", &key]);
        self.ready(process);
    }

    /// Waits until it says this.
    pub(crate) fn event(&mut self, kind: &str) -> Value {
        self.process.as_mut().expect("the sidecar runs").event(kind)
    }

    /// Starts it again, with nothing but its folder.
    pub(crate) fn run(&mut self) {
        let process = Process::start(&mut self.command());
        self.ready(process);
    }

    pub(crate) fn kill(&mut self) {
        self.process.take().expect("the sidecar runs").kill();
    }

    fn command(&self) -> Command {
        let mut command = medlock();
        command.args(["sidecar", "dicom", "--json", "--with-parent", "--dir"]).arg(&self.folder);
        command.args(["--hub", &self.hub.to_string()]);
        command.args(["--listen", &self.listen.to_string(), "--plain", &self.plain.to_string()]);
        if let Some(machine) = self.machine {
            command.args(["--machine", &machine.to_string()]);
        }
        command
    }

    fn ready(&mut self, mut process: Process) {
        let listening = process.event("listening");
        let address = |name: &str| listening[name].as_str().expect("an address").parse().expect("an address");
        (self.listen, self.plain) = (address("listen"), address("plain"));
        process.event("ready");
        self.process = Some(process);
    }
}

/// A device in this process, enrolled with a code.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) name: String,
    identity: IdentityStore,
    knowledge: Arc<KnowledgeBase>,
    enrolment: Arc<Enrolment>,
}

impl Device {
    pub(crate) async fn enrol(hub: &Hub, folder: &Path, name: &str) -> Self {
        Self::enrol_as(hub, folder, name, "sensor").await
    }

    /// As [`Device::enrol`], in this role.
    pub(crate) async fn enrol_as(hub: &Hub, folder: &Path, name: &str, role: &str) -> Self {
        let code: Code = hub.code(name, role).parse().expect("a code");
        let identity = IdentityStore::open(&folder.join(name)).expect("a folder");
        let knowledge = KnowledgeBase::in_memory(Clock::system(), Setting::Hospital);
        let enrolment = Arc::new(Enrolment::new(hub.devices.to_string(), identity.clone(), Arc::clone(&knowledge)));
        let mut progress = enrolment.progress();
        let first = tokio::spawn({
            let enrolment = Arc::clone(&enrolment);
            async move { enrolment.first_contact(&code).await.map(drop) }
        });
        let waiting = progress
            .wait_for(|progress| matches!(progress, Progress::AwaitingApproval { .. }))
            .await
            .expect("the enrolment goes on")
            .clone();
        let Progress::AwaitingApproval { key } = waiting else { panic!("{waiting:?}") };
        hub.ask(&["device", "approve", name, "--key", &key]);
        first.await.expect("the task ends").expect("it is enrolled");
        Self { name: name.to_owned(), identity, knowledge, enrolment }
    }

    /// A client of the hub that shows its credential.
    pub(crate) fn client(&self, hub: &Hub) -> Client {
        let believed = Believed::Knowledge(Arc::clone(&self.knowledge));
        let connector = Connector::new(Some(&self.identity), believed, Some(Role::Hub)).expect("settings");
        Client::tls(hub.devices.to_string(), connector)
    }

    /// Its chain as PEM, its own certificate first.
    pub(crate) fn chain_pem(&self) -> String {
        let identity = self.identity.current().expect("it is enrolled");
        let blocks = identity.chain().iter().map(|der| {
            let body = data_encoding::BASE64.encode(der);
            let lines: Vec<&str> =
                body.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
        });
        blocks.collect()
    }

    /// The credential it shows.
    pub(crate) fn present(&self) -> String {
        self.identity.current().expect("it is enrolled").credential().to_string()
    }

    /// Renews so many times; the credentials that were acknowledged.
    pub(crate) async fn renew(self, times: usize) -> Vec<String> {
        let mut acknowledged = Vec::new();
        for _ in 0..times {
            acknowledged.push(self.enrolment.renew().await.expect("renewed").credential().to_string());
        }
        acknowledged
    }

    /// The credentials that were acknowledged until the hub was gone.
    pub(crate) async fn renew_until_it_fails(self) -> Vec<String> {
        let mut acknowledged = Vec::new();
        while let Ok(identity) = self.enrolment.renew().await {
            acknowledged.push(identity.credential().to_string());
        }
        acknowledged
    }
}
