//! What the checks need from outside, how it is recognised, and how it is installed, never without consent.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use crate::command::{Program, find_program};
use crate::house::{self, House};
use crate::stage::Report;
use crate::{Error, Result, npm};

/// The cargo-deny this project is checked with.
pub(crate) const CARGO_DENY: &str = "0.20.2";
/// The bare target the trust core is linked for: a Cortex-M4 without floating point.
pub(crate) const BARE_TARGET: &str = "thumbv7em-none-eabi";

/// How rustup is told to fetch Miri. It interprets the code; nothing that ships is built with this compiler.
const INSTALL_MIRI: [&str; 9] =
    ["toolchain", "install", "nightly", "--profile", "minimal", "--component", "miri", "--component", "rust-src"];

/// Whether the caller has agreed to installing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    Given,
    Ask,
}

/// Software of others that Medlock is tested against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Dcmtk,
    Orthanc,
    Pynetdicom,
    /// curl and openssl as clients of EST, CRL and OCSP.
    Est,
    /// aiocoap, with lakers for EDHOC: CoAP in both roles.
    Aiocoap,
    /// libcoap with OpenSSL: CoAP over DTLS.
    Libcoap,
    /// NIST's path validation suite.
    Pkits,
    /// golang.org/x/mod/sumdb, which reads transparency logs.
    Sumdb,
    /// pyca/cryptography: certificates and CRLs with ML-DSA.
    Cryptography,
    /// SoftHSM: a PKCS#11 token in files; pkcs11-tool looks into it from outside.
    Softhsm,
    /// oidc-provider for Node: people sign in there.
    Oidc,
    /// The SMART JavaScript client, in Chromium.
    Fhirclient,
    /// npm fhir and fhir.resources: what is answered is FHIR.
    Validators,
    /// smart-fetch: a client of Bulk Data.
    Smartfetch,
    /// websockets for Python, and Chromium: clients of web sockets.
    Websockets,
}

impl Peer {
    pub(crate) const ALL: [Self; 15] = [
        Self::Dcmtk,
        Self::Orthanc,
        Self::Pynetdicom,
        Self::Est,
        Self::Aiocoap,
        Self::Libcoap,
        Self::Pkits,
        Self::Sumdb,
        Self::Cryptography,
        Self::Softhsm,
        Self::Oidc,
        Self::Fhirclient,
        Self::Validators,
        Self::Smartfetch,
        Self::Websockets,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dcmtk => "dcmtk",
            Self::Orthanc => "orthanc",
            Self::Pynetdicom => "pynetdicom",
            Self::Est => "est",
            Self::Aiocoap => "aiocoap",
            Self::Libcoap => "libcoap",
            Self::Pkits => "pkits",
            Self::Sumdb => "sumdb",
            Self::Cryptography => "cryptography",
            Self::Softhsm => "softhsm",
            Self::Oidc => "oidc",
            Self::Fhirclient => "fhirclient",
            Self::Validators => "validators",
            Self::Smartfetch => "smartfetch",
            Self::Websockets => "websockets",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|peer| peer.name() == name)
    }

    pub(crate) fn needs(self) -> &'static [Need] {
        match self {
            Self::Dcmtk => &[Need::Dcmtk],
            Self::Orthanc => &[Need::Orthanc, Need::Dcmtk, Need::Curl],
            Self::Pynetdicom | Self::Aiocoap => &[Need::PythonPackages],
            Self::Est => &[Need::Curl, Need::Openssl],
            Self::Libcoap => &[Need::Libcoap, Need::Openssl],
            Self::Sumdb => &[Need::Go, Need::GoMod],
            Self::Pkits | Self::Cryptography | Self::Smartfetch => &[Need::PythonPackages],
            Self::Softhsm => &[Need::Softhsm, Need::Opensc],
            Self::Oidc => &[Need::Npm, Need::NpmPackages, Need::Curl, Need::Openssl],
            Self::Fhirclient => &[Need::Npm, Need::NpmPackages, Need::Chromium],
            Self::Websockets => &[Need::PythonPackages, Need::Npm, Need::NpmPackages, Need::Chromium],
            Self::Validators => &[Need::Npm, Need::NpmPackages, Need::PythonPackages],
        }
    }
}

/// One thing that has to be on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    Dcmtk,
    Orthanc,
    Stunnel,
    Curl,
    Openssl,
    Libcoap,
    Postgres,
    Softhsm,
    Opensc,
    SystemdAnalyze,
    CxxCompiler,
    PythonVenv,
    PythonPackages,
    Npm,
    NpmPackages,
    Chromium,
    Go,
    GoMod,
    Qemu,
    BareTarget,
    CargoDeny,
    Miri,
}

/// Where a missing thing comes from.
enum Source {
    Debian(&'static str),
    Python,
    Npm,
    Rustup,
    Nightly,
    Cargo,
}

impl Need {
    pub(crate) const ALL: [Self; 22] = [
        Self::Dcmtk,
        Self::Orthanc,
        Self::Stunnel,
        Self::Curl,
        Self::Openssl,
        Self::Libcoap,
        Self::Postgres,
        Self::Softhsm,
        Self::Opensc,
        Self::SystemdAnalyze,
        Self::CxxCompiler,
        Self::PythonVenv,
        Self::PythonPackages,
        Self::Npm,
        Self::NpmPackages,
        Self::Chromium,
        Self::Go,
        Self::GoMod,
        Self::Qemu,
        Self::BareTarget,
        Self::CargoDeny,
        Self::Miri,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Dcmtk => "dcmtk",
            Self::Orthanc => "Orthanc",
            Self::Stunnel => "stunnel",
            Self::Curl => "curl",
            Self::Openssl => "openssl",
            Self::Libcoap => "libcoap's client",
            Self::Postgres => "PostgreSQL",
            Self::Softhsm => "SoftHSM",
            Self::Opensc => "OpenSC",
            Self::SystemdAnalyze => "systemd-analyze",
            Self::CxxCompiler => "a C++ compiler",
            Self::PythonVenv => "Python 3 with venv",
            Self::PythonPackages => "Python packages",
            Self::Npm => "npm",
            Self::NpmPackages => "packages of npm",
            Self::Chromium => "Chromium",
            Self::Go => "Go",
            Self::GoMod => "golang.org/x/mod",
            Self::Qemu => "qemu-system-arm",
            Self::BareTarget => BARE_TARGET,
            Self::CargoDeny => "cargo-deny",
            Self::Miri => "Miri",
        }
    }

    fn source(self) -> Source {
        match self {
            Self::Dcmtk => Source::Debian("dcmtk"),
            Self::Orthanc => Source::Debian("orthanc"),
            Self::Stunnel => Source::Debian("stunnel4"),
            Self::Curl => Source::Debian("curl"),
            Self::Openssl => Source::Debian("openssl"),
            Self::Libcoap => Source::Debian("libcoap3-bin"),
            Self::Postgres => Source::Debian("postgresql"),
            Self::Softhsm => Source::Debian("softhsm2"),
            Self::Opensc => Source::Debian("opensc"),
            Self::SystemdAnalyze => Source::Debian("systemd"),
            Self::CxxCompiler => Source::Debian("g++"),
            Self::PythonVenv => Source::Debian("python3-venv"),
            Self::PythonPackages => Source::Python,
            Self::Npm => Source::Debian("npm"),
            Self::NpmPackages => Source::Npm,
            Self::Chromium => Source::Debian("chromium"),
            Self::Go => Source::Debian("golang-go"),
            Self::GoMod => Source::Debian("golang-golang-x-mod-dev"),
            Self::Qemu => Source::Debian("qemu-system-arm"),
            Self::BareTarget => Source::Rustup,
            Self::CargoDeny => Source::Cargo,
            Self::Miri => Source::Nightly,
        }
    }

    fn is_there(self, house: &House) -> bool {
        match self {
            Self::Dcmtk => ["storescu", "storescp", "echoscu", "findscu", "movescu", "dcmqrscp"]
                .iter()
                .all(|name| find_program(name).is_some()),
            Self::Orthanc => find_program("Orthanc").is_some(),
            Self::Stunnel => find_program("stunnel4").or_else(|| find_program("stunnel")).is_some(),
            Self::Curl => find_program("curl").is_some(),
            Self::Openssl => find_program("openssl").is_some(),
            Self::Libcoap => find_program("coap-client-openssl").is_some(),
            Self::Postgres => find_program("psql").is_some() && (find_program("initdb").is_some() || debian_postgres()),
            Self::Softhsm => find_program("softhsm2-util").is_some(),
            Self::Opensc => find_program("pkcs11-tool").is_some(),
            Self::SystemdAnalyze => find_program("systemd-analyze").is_some(),
            Self::CxxCompiler => find_program("c++").is_some(),
            Self::PythonVenv => answers(Program::new("python3").args(["-c", "import venv, ensurepip"])),
            Self::PythonPackages => {
                let wanted = house::read(&requirements(house));
                wanted.is_ok_and(|wanted| house::read(&stamp(house)).is_ok_and(|have| have == wanted))
            }
            Self::Npm => find_program("node").is_some() && find_program("npm").is_some(),
            Self::NpmPackages => npm::is_there(house),
            Self::Chromium => find_program("chromium").is_some(),
            Self::Go => find_program("go").is_some(),
            Self::GoMod => Path::new("/usr/share/gocode/src/golang.org/x/mod/sumdb").is_dir(),
            Self::Qemu => find_program("qemu-system-arm").is_some(),
            Self::BareTarget => {
                sysroot().is_ok_and(|path| Path::new(&path).join("lib/rustlib").join(BARE_TARGET).is_dir())
            }
            Self::CargoDeny => cargo_deny(house).is_some(),
            Self::Miri => answers(Program::new("cargo").args(["+nightly", "miri", "--version"])),
        }
    }
}

/// Debian keeps the programs of a server out of the path, by its version.
fn debian_postgres() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.into_iter().any(|version| version.path().join("bin/initdb").exists())
}

/// The cargo-deny of the pinned version: our own, or the user's.
pub(crate) fn cargo_deny(house: &House) -> Option<std::path::PathBuf> {
    let own = house.tools().join("bin/cargo-deny");
    [Some(own), find_program("cargo-deny")].into_iter().flatten().find(|path| {
        let heard = Program::new(path).args(["--version"]).hear();
        heard.is_ok_and(|heard| heard.stdout.trim() == format!("cargo-deny {CARGO_DENY}"))
    })
}

fn requirements(house: &House) -> std::path::PathBuf {
    house.root.join("xtask/requirements.txt")
}

/// A copy of the requirements the environment was made from; written last.
fn stamp(house: &House) -> std::path::PathBuf {
    house.venv().join("medlock-requirements.txt")
}

fn answers(program: Program) -> bool {
    program.hear().is_ok_and(|heard| heard.success)
}

fn sysroot() -> Result<String> {
    Ok(Program::new("rustc").args(["--print", "sysroot"]).hear()?.stdout.trim().to_string())
}

/// What is missing, by where it comes from.
struct Plan {
    debian: Vec<&'static str>,
    python: bool,
    npm: bool,
    rustup: bool,
    nightly: bool,
    cargo: bool,
}

impl Plan {
    fn make(house: &House, needs: &[Need]) -> Self {
        let mut plan =
            Self { debian: Vec::new(), python: false, npm: false, rustup: false, nightly: false, cargo: false };
        for need in needs.iter().copied().filter(|need| !need.is_there(house)) {
            match need.source() {
                Source::Debian(package) => plan.debian.push(package),
                Source::Python => plan.python = true,
                Source::Npm => plan.npm = true,
                Source::Rustup => plan.rustup = true,
                Source::Nightly => plan.nightly = true,
                Source::Cargo => plan.cargo = true,
            }
        }
        let venv = Need::PythonVenv;
        if plan.python && !needs.contains(&venv) && !venv.is_there(house) {
            plan.debian.push("python3-venv");
        }
        plan
    }

    fn is_empty(&self) -> bool {
        self.debian.is_empty() && !self.python && !self.npm && !self.rustup && !self.nightly && !self.cargo
    }

    /// What would be installed, one thing a line.
    fn lines(&self, house: &House) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.debian.is_empty() {
            lines.push(format!("Debian packages, by apt-get: {}", self.debian.join(" ")));
        }
        if self.debian.contains(&"orthanc") {
            lines.push(
                "  (Debian starts Orthanc as a service; `sudo systemctl disable --now orthanc` ends that)".into(),
            );
        }
        if self.python {
            lines.push(format!("Python packages of xtask/requirements.txt, into {}", house.venv().display()));
        }
        if self.npm {
            lines.push(format!("packages of xtask/npm/package-lock.json, into {}", npm::folder(house).display()));
        }
        if self.rustup {
            lines.push(format!("Rust's standard library for {BARE_TARGET}, by rustup"));
        }
        if self.nightly {
            lines.push("Rust's nightly compiler with Miri, by rustup; nothing else is built with it".into());
        }
        if self.cargo {
            lines.push(format!("cargo-deny {CARGO_DENY}, built into {} (minutes)", house.tools().display()));
        }
        lines
    }

    /// Tries all, so that one failure does not hide the next.
    fn carry_out(&self, house: &House) -> Vec<Error> {
        let mut errors = Vec::new();
        let mut attempt = |result: Result<()>| errors.extend(result.err());
        if !self.debian.is_empty() {
            attempt(install_debian(&self.debian));
        }
        if self.python {
            attempt(install_python(house));
        }
        if self.npm {
            attempt(npm::install(house));
        }
        if self.rustup {
            attempt(Program::new("rustup").args(["target", "add", BARE_TARGET]).run());
        }
        if self.nightly {
            attempt(Program::new("rustup").args(INSTALL_MIRI).run());
        }
        if self.cargo {
            let install = ["install", "--locked", "cargo-deny", "--version", CARGO_DENY, "--root"];
            let build = house.target.join("tools-build");
            attempt(
                Program::new("cargo").args(install).args([house.tools()]).args(["--target-dir"]).args([build]).run(),
            );
        }
        errors
    }
}

/// Installs what of `needs` is missing. True if something was installed.
///
/// # Errors
/// When the caller does not agree, or cannot be asked.
pub(crate) fn install_missing(house: &House, needs: &[Need], consent: Consent) -> Result<bool> {
    let plan = Plan::make(house, needs);
    if plan.is_empty() {
        return Ok(false);
    }
    println!("These checks need, and would install:");
    for line in plan.lines(house) {
        println!("  {line}");
    }
    let stdin = std::io::stdin();
    if consent == Consent::Ask && !agreed(stdin.is_terminal(), &mut stdin.lock())? {
        return Err(Error::new(
            "nothing was installed. These stages need nothing but Rust, openssl and PostgreSQL: \
             cargo xtask test format clippy docs tests",
        ));
    }
    for error in plan.carry_out(house) {
        println!("error: {error}");
    }
    Ok(true)
}

fn agreed(terminal: bool, answers: &mut dyn BufRead) -> Result<bool> {
    if !terminal {
        return Err(Error::new("there is no terminal to ask at. Say --yes to install the above"));
    }
    let broken = |error| Error::new(format!("the terminal broke: {error}"));
    print!("Install? [y/N] ");
    std::io::stdout().flush().map_err(broken)?;
    let mut answer = String::new();
    answers.read_line(&mut answer).map_err(broken)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Names what is there and what is not; a missing peer is a finding.
pub(crate) fn check(house: &House, needs: &[Need]) -> Report {
    let mut report = Report::default();
    for need in needs {
        if !need.is_there(house) {
            let source = match need.source() {
                Source::Debian(package) => format!("Debian package {package}: sudo apt-get install {package}"),
                Source::Python => "see pip's message above".to_string(),
                Source::Npm => "see npm's message above".to_string(),
                Source::Rustup => format!("rustup target add {BARE_TARGET}"),
                Source::Nightly => format!("rustup {}", INSTALL_MIRI.join(" ")),
                Source::Cargo => format!("cargo install --locked cargo-deny --version {CARGO_DENY}"),
            };
            report.findings.push(format!("missing: {} ({source})", need.name()));
        }
    }
    if report.findings.is_empty() {
        let names: Vec<&str> = needs.iter().map(|need| need.name()).collect();
        report.notes.push(format!("there: {}", names.join(", ")));
    }
    report
}

fn install_debian(packages: &[&str]) -> Result<()> {
    let by_hand = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    if find_program("apt-get").is_none() {
        return Err(Error::new(format!(
            "this system has no apt-get; install by its own means what Debian calls: {}",
            packages.join(" ")
        )));
    }
    let root = Program::new("id").args(["-u"]).hear()?.stdout.trim() == "0";
    let words = as_root(root, find_program("sudo").is_some()).ok_or_else(|| {
        Error::new(format!("only root may install packages, and there is no sudo. As root: {by_hand}"))
    })?;
    let apt_get = |arguments: &[&str]| {
        let rest = words.iter().skip(1).chain(&["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]);
        Program::new(words[0]).terminal(!root).args(rest).args(arguments).run()
    };
    // Without fresh lists an install may ask for versions that are gone.
    apt_get(&["update"])?;
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(packages);
    apt_get(&install)
}

/// The words in front of a command that root has to run, or none if there is no way.
fn as_root(root: bool, sudo: bool) -> Option<&'static [&'static str]> {
    match (root, sudo) {
        (true, _) => Some(&["env"]),
        (false, true) => Some(&["sudo", "env"]),
        (false, false) => None,
    }
}

fn install_python(house: &House) -> Result<()> {
    let venv = house.venv();
    Program::new("python3").args(["-m", "venv", "--clear"]).args([&venv]).run()?;
    Program::new(venv.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--require-hashes", "-r"])
        .args([requirements(house)])
        .run()?;
    std::fs::copy(requirements(house), stamp(house))
        .map_err(|error| Error::new(format!("cannot write {}: {error}", stamp(house).display())))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_is_found_by_its_name() {
        for peer in Peer::ALL {
            assert_eq!(Peer::named(peer.name()), Some(peer));
            assert!(!peer.needs().is_empty());
        }
    }

    #[test]
    fn needs_are_listed_once_and_in_order() {
        assert!(Need::ALL.is_sorted());
        let mut unique = Need::ALL.to_vec();
        unique.dedup();
        assert_eq!(unique, Need::ALL);
    }

    /// Shows REQ-HOUSE-01.
    #[test]
    fn nothing_is_installed_without_a_yes() {
        assert!(agreed(true, &mut "y\n".as_bytes()).unwrap());
        for answer in ["", "\n", "n\n", "no\n", "maybe\n"] {
            assert!(!agreed(true, &mut answer.as_bytes()).unwrap(), "{answer:?}");
        }
        let error = agreed(false, &mut "y\n".as_bytes()).unwrap_err();
        assert!(error.to_string().contains("--yes"));
    }

    #[test]
    fn packages_are_installed_as_root_or_not_at_all() {
        assert_eq!(as_root(true, true), Some(["env"].as_slice()));
        assert_eq!(as_root(false, true), Some(["sudo", "env"].as_slice()));
        assert_eq!(as_root(false, false), None);
    }

    #[test]
    fn the_plan_says_what_it_would_do() {
        let house = House { root: "/house".into(), target: "/elsewhere".into(), metadata: serde_json::Value::Null };
        let debian = vec!["dcmtk", "orthanc"];
        let plan = Plan { debian, python: true, npm: true, rustup: true, nightly: true, cargo: true };
        let text = plan.lines(&house).join("\n");
        for part in ["dcmtk orthanc", "/elsewhere/venv", "/elsewhere/npm", BARE_TARGET, CARGO_DENY, "/elsewhere/tools"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!plan.is_empty());
    }
}
