//! A hub with software, a person, devices and a community: all that the suite can be given.

use super::browser::Browser;
use crate::clinical::{Caller, glucose};
use crate::process::{Device, Hub};
use data_encoding::BASE64;
use medlock_node::provider::{SigningAlgorithm, SigningKey};
use medlock_testkit::free_port;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What software in its own name may do here.
const SOFTWARE: &str = "system/*.cruds";
/// As what software of the community is known.
const MEMBER: &str = "https://app.example/conformance";

pub(crate) struct House {
    pub(crate) hub: Hub,
    folder: TempDir,
    site: Caller,
    /// The people's door.
    pub(crate) base: String,
    public: String,
    software: String,
    app: String,
    redirect: String,
    code: String,
    anna: String,
}

fn openssl(folder: &Path, line: &str) {
    let status =
        Command::new("openssl").args(line.split_whitespace()).current_dir(folder).stderr(Stdio::null()).status();
    assert!(status.expect("openssl is missing; `cargo xtask peers` installs it").success(), "openssl {line}");
}

/// A community that vouches for the hub and for a piece of software.
fn community(folder: &Path, base: &str) -> String {
    openssl(folder, "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.key");
    let own =
        "req -x509 -new -key ca.key -subj /CN=community -days 30 -out ca.pem -addext basicConstraints=critical,CA:TRUE";
    openssl(folder, own);
    for (name, uri) in [("udap-hub", base), ("member", MEMBER)] {
        openssl(folder, &format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out {name}.key"));
        openssl(folder, &format!("req -new -key {name}.key -subj /CN={name} -out {name}.csr"));
        std::fs::write(folder.join("ext"), format!("subjectAltName=URI:{uri}\n")).expect("written");
        let line = format!("x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -days 30 -extfile ext -out {name}.pem");
        openssl(folder, &line);
    }
    let file = |name: &str| folder.join(name);
    format!(
        "[[clinical.udap]]\nname = \"https://community.example\"\nanchors = {:?}\ncertificate = {:?}\nkey_file = {:?}\nscopes = \"system/Patient.rs\"\n",
        file("ca.pem"),
        file("udap-hub.pem"),
        file("udap-hub.key"),
    )
}

/// A key on P-384 in a file; its public half as a set of keys.
pub(crate) fn key(file: &Path) -> Value {
    let key = SigningKey::generate_with(SigningAlgorithm::P384);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(&key.to_pkcs8()));
    std::fs::write(file, pem).expect("written");
    let (x, y) = key.public_key().bits[1..].split_at(48);
    let encoded = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
    json!({ "keys": [{ "kty": "EC", "crv": "P-384", "x": encoded(x), "y": encoded(y), "kid": "1", "alg": "ES384" }] })
}

impl House {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (at, people) = (folder.path(), free_port());
        let public = format!("http://localhost:{people}");
        let base = format!("{public}/fhir");
        let community = community(at, &base);
        let clinical =
            format!("requests_per_second = 0\n[clinical]\nenabled = true\npublic_url = \"{public}\"\n{community}");
        let hub = Hub::start_at(([127, 0, 0, 1], people).into(), at, &clinical);
        let gateway = Device::enrol_as(&hub, at, "gw1", "gateway").await;
        Device::enrol(&hub, at, "cgm1").await;
        let site = Caller::new(&gateway, &hub, "system/*.crs").await;
        let anna = site.create(&json!({ "resourceType": "Patient", "name": [{ "family": "Anna" }] })).await;
        let device = json!({
            "resourceType": "Device", "patient": { "reference": format!("Patient/{anna}") },
            "identifier": [{ "system": "urn:medlock:fhir:device", "value": "cgm1" }],
        });
        let device = site.create(&device).await;
        for value in [101, 102, 103] {
            site.create(&glucose(&anna, &device, value)).await;
        }
        let keys = at.join("jwks.json");
        std::fs::write(&keys, key(&at.join("software.key")).to_string()).expect("written");
        let keys = keys.to_str().expect("text");
        let added =
            hub.ask(&["clinical", "client", "add", "Tester", "--sort", "keys", "--keys", keys, "--scope", SOFTWARE]);
        let software = added["client"]["id"].as_str().expect("an identifier").to_owned();
        let redirect = format!("http://127.0.0.1:{}/callback", free_port());
        let scope = "openid fhirUser offline_access launch launch/patient patient/*.cruds";
        let added = hub.ask(&["clinical", "client", "add", "App", "--redirect", &redirect, "--scope", scope]);
        let app = added["client"]["id"].as_str().expect("an identifier").to_owned();
        let user = hub.ask(&["clinical", "user", "add", "anna", "--person", &format!("Patient/{anna}")]);
        let code = user["code"].as_str().expect("a code").to_owned();
        let root = hub.ask(&["authority", "show"])["root_pem"].as_str().expect("PEM").to_owned();
        std::fs::write(at.join("root.pem"), root).expect("written");
        Self { hub, site, base, public, software, app, redirect, code, anna, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The arguments that give the suite all that it can use.
    pub(crate) fn everything(&self) -> Vec<String> {
        let file = |name: &str| self.file(name).to_str().expect("text").to_owned();
        let devices = format!("https://localhost:{}/fhir", self.hub.devices.port());
        let patient = format!("Patient/{}", self.anna);
        let opened = self.hub.ask(&["clinical", "launch", &self.app, "--patient", &patient]);
        // Key and chain lie in one file.
        let (sensor, gateway) = (file("cgm1/identity.pem"), file("gw1/identity.pem"));
        let own = [
            ("--base", self.base.clone()),
            ("--ca", file("root.pem")),
            ("--client-id", self.software.clone()),
            ("--key", file("software.key")),
            ("--app", self.app.clone()),
            ("--redirect", self.redirect.clone()),
            ("--launch", opened["launch"].as_str().expect("a launch").to_owned()),
            ("--patience", "20".to_owned()),
            ("--certificate", sensor.clone()),
            ("--certificate-key", sensor),
            ("--device-base", devices),
            ("--other-certificate", gateway.clone()),
            ("--other-key", gateway),
            ("--udap-chain", file("member.pem")),
            ("--udap-key", file("member.key")),
            ("--udap-as", MEMBER.to_owned()),
        ];
        own.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }

    /// Arguments of software in its own name alone.
    pub(crate) fn software(&self) -> Vec<String> {
        let key = self.file("software.key").to_str().expect("text").to_owned();
        let own = [("--base", &self.base), ("--client-id", &self.software), ("--key", &key)];
        own.into_iter().flat_map(|(name, value)| [name.to_owned(), value.clone()]).collect()
    }

    pub(crate) fn person(&self) -> Browser {
        Browser { public: self.public.clone(), name: "anna".into(), code: self.code.clone(), cookie: "x=1".into() }
    }

    /// What the site finds.
    pub(crate) async fn found(&self, query: &str) -> Value {
        serde_json::from_slice(self.site.get(&format!("/fhir/{query}")).await.body()).expect("JSON")
    }
}
