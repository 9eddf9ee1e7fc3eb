//! Several authorities in one hub.

use crate::process::{Hub, Process, Sidecar, medlock};
use medlock_node::enrol::{Code, certificate_request};
use medlock_node::provider::SigningKey;
use medlock_testkit::SoftHsm;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

fn curl(url: &str) -> Vec<u8> {
    let output = Command::new("curl").args(["-sf", "--max-time", "20", url]).output().expect("curl starts");
    assert!(output.status.success(), "{url}: {}", output.status);
    output.stdout
}

fn ask(dir: &str, what: &[&str]) -> Value {
    let output = medlock().args(what).args(["--json", "--dir", dir]).output().expect("it starts");
    assert!(output.status.success(), "{what:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Shows REQ-CLI-40: nothing ends by a section that is taken out of the configuration, and people are told.
#[test]
fn an_authority_whose_section_was_taken_out_goes_on_and_the_log_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    hub.kill();
    hub.configure("\n[authority.pumps]\norganization = \"Pump Works\"\nkind = \"maker\"\n");
    let log = folder.path().join("log");
    let mut command = hub.command();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(std::fs::File::create(&log).expect("made"));
    let mut running = command.spawn().expect("it starts");
    let mut first = String::new();
    BufReader::new(running.stdout.take().expect("a pipe")).read_line(&mut first).expect("it is up");
    let key = curl(&format!("http://{}/a/pumps/log/key", hub.people));
    hub.configure("");
    let signal = Command::new("kill").args(["-HUP", &running.id().to_string()]).status().expect("kill starts");
    assert!(signal.success());
    let said = || std::fs::read_to_string(&log).expect("text");
    let began = std::time::Instant::now();
    while !said().contains("the configuration was read again") {
        assert!(began.elapsed().as_secs() < 60, "it is not read again: {}", said());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let said = said();
    assert!(said.contains("its section is no longer in the configuration, and it goes on as it was"), "{said}");
    assert!(!said.contains("nothing in it has changed"), "{said}");
    assert_eq!(curl(&format!("http://{}/a/pumps/log/key", hub.people)), key);
    drop(running.stdin.take());
    assert!(running.wait().expect("it ends").success());
}

/// Shows REQ-RUN-01.
#[test]
fn a_hub_serves_makers_and_sites_that_were_configured_or_made_by_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    let dir = hub.dir.to_str().expect("UTF-8").to_owned();
    hub.kill();
    hub.run_with("\n[authority.pumps]\norganization = \"Pump Works\"\nkind = \"maker\"\n\n[authority.clinic]\norganization = \"Day Clinic\"\nkind = \"site\"\ndevices = \"127.0.0.1:0\"\n");
    let made = ["authority", "create", "scanners", "--organization", "Scanner Works", "--kind", "maker"];
    ask(&dir, &made);
    let signal = Command::new("kill").args(["-HUP", &hub.id().to_string()]).status().expect("kill starts");
    assert!(signal.success());
    let url = |path: &str| format!("http://{}/{path}", hub.people);
    let began = std::time::Instant::now();
    while !Command::new("curl").args(["-sf", &url("a/scanners/log/key")]).output().expect("curl").status.success() {
        assert!(began.elapsed().as_secs() < 60, "what was made by command is not served");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    // Each has keys, a log and a revocation list of its own.
    let mut keys = vec![curl(&url("log/key"))];
    let mut roots = vec![hub.ask(&["authority", "show"])["root_key"].clone()];
    let all = hub.ask(&["authority", "list"]);
    let names: Vec<_> =
        all.as_array().expect("a list").iter().map(|one| one["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["-", "clinic", "pumps", "scanners"]);
    for (name, kind) in [("clinic", "site"), ("pumps", "maker"), ("scanners", "maker")] {
        keys.push(curl(&url(&format!("a/{name}/log/key"))));
        assert!(curl(&url(&format!("a/{name}/crl/issuing.crl"))).starts_with(&[0x30]));
        let shown = ask(&format!("{dir}/authorities/{name}"), &["authority", "show"]);
        assert_eq!(shown["kind"], kind);
        roots.push(shown["root_key"].clone());
    }
    for (number, one) in keys.iter().enumerate() {
        assert!(!keys[number + 1..].contains(one), "two logs have one key");
        assert!(!roots[number + 1..].contains(&roots[number]), "two roots are one");
    }
    let output = medlock().args(made).args(["--dir", &dir]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "an authority was made twice");
}

/// Shows REQ-CLI-29, REQ-CLI-30: a root is replaced and ended by command, and what hangs on it is named.
#[test]
fn sidecars_go_on_while_the_root_is_replaced_by_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::start(folder.path());
    let _ct = Sidecar::enrol(&hub, folder.path(), "ct1", "modality", None);
    let first = hub.credentials("ct1");
    let run = |args: &[&str]| {
        let output = medlock().args(args).arg("--dir").arg(&hub.dir).output().expect("it starts");
        (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.success())
    };
    let (said, good) = run(&["authority", "compromised", "root"]);
    assert!(!good && said.contains("no root can withdraw itself"), "{said}");
    let states = |keys: &Value| -> Vec<String> {
        let roots =
            keys.as_array().expect("keys").iter().filter(|key| key["label"].as_str().unwrap().starts_with("root"));
        roots.map(|key| format!("{} {}", key["label"].as_str().unwrap(), key["state"].as_str().unwrap())).collect()
    };
    assert_eq!(states(&hub.ask(&["authority", "rotate", "root"])), ["root former", "root-2 current"]);
    let _pacs = Sidecar::enrol(&hub, folder.path(), "pacs1", "archive", None);
    assert_eq!(hub.credentials("ct1"), first, "the rotation itself asks nothing of a device");
    let (said, good) = run(&["authority", "retire", "root"]);
    assert!(!good && said.contains("ct1") && said.contains("--anyway"), "{said}");
    assert_eq!(states(&hub.ask(&["authority", "retire", "root", "--anyway"])), ["root retired", "root-2 current"]);
    let _archive = Sidecar::enrol(&hub, folder.path(), "pacs2", "archive", None);
    assert_eq!(states(&hub.ask(&["authority", "keys"])), ["root retired", "root-2 current"]);
}

/// Shows REQ-KEYS-71: by the lists that the hub kept.
#[test]
fn a_sidecar_that_was_off_while_two_roots_ended_catches_up_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::start(folder.path());
    let mut sidecar = Sidecar::enrol(&hub, folder.path(), "ct1", "modality", None);
    sidecar.kill();
    for retired in ["root", "root-2"] {
        hub.ask(&["authority", "rotate", "root"]);
        hub.ask(&["authority", "retire", retired, "--anyway"]);
    }
    sidecar.run();
    let list = |folder: &Path| std::fs::read(folder.join("knowledge/site-list.cose")).expect("a site list");
    let (newest, held) = (list(Path::new(&hub.dir)), || list(&folder.path().join("ct1")));
    let began = std::time::Instant::now();
    while held() != newest {
        assert!(began.elapsed().as_secs() < 60, "the sidecar holds an old list");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Shows REQ-KEYS-15.
#[test]
fn sidecars_follow_a_rotation_and_come_back_after_a_theft_by_themselves() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::start(folder.path());
    let _ct = Sidecar::enrol(&hub, folder.path(), "ct1", "modality", None);
    let first = hub.credentials("ct1");
    let states = |keys: &Value| -> Vec<String> {
        let keys = keys.as_array().expect("keys");
        keys.iter()
            .map(|key| format!("{} {}", key["label"].as_str().unwrap(), key["state"].as_str().unwrap()))
            .collect()
    };
    let keys = hub.ask(&["authority", "rotate", "issuing"]);
    assert_eq!(states(&keys), ["issuing former", "issuing-2 current", "root current"]);
    let _pacs = Sidecar::enrol(&hub, folder.path(), "pacs1", "archive", None);
    assert_eq!(hub.credentials("ct1"), first, "the rotation itself asks nothing of a device");
    let keys = hub.ask(&["authority", "compromised", "issuing-1"]);
    assert_eq!(states(&keys), ["issuing compromised", "issuing-2 current", "root current"]);
    let began = std::time::Instant::now();
    let renewed = loop {
        let credentials = hub.credentials("ct1");
        if credentials.len() > first.len() {
            break credentials;
        }
        assert!(began.elapsed().as_secs() < 60, "the sidecar does not come back: {credentials:?}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    assert_eq!(renewed[0]["state"], "good");
    // Once its successor was used, it is superseded besides.
    let before = renewed[1]["state"].as_str().unwrap();
    assert!(["issuer-compromised", "compromised"].contains(&before), "{before}");
    assert_eq!(hub.credentials("pacs1").len(), 1, "its issuer was not stolen");
    let output =
        medlock().args(["authority", "retire", "issuing-2", "--dir"]).arg(&hub.dir).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "the key that issues was retired");
}

/// Runs the ceremony with these lines typed; gives what it said.
fn ceremony(arguments: &[&str], typed: &[&str]) -> (String, bool) {
    ceremony_by(env!("CARGO_BIN_EXE_medlock"), arguments, typed)
}

/// The same, by this program.
fn ceremony_by(program: &str, arguments: &[&str], typed: &[&str]) -> (String, bool) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/ceremony.sh");
    let mut command = Command::new("bash");
    command.arg(script).args(arguments).env("MEDLOCK", program);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("bash starts");
    let input = child.stdin.take().expect("standard input is a pipe");
    // It may have ended before everything was read.
    let _ = (&input).write_all(format!("{}\n", typed.join("\n")).as_bytes());
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    (String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(), output.status.success())
}

/// Shows REQ-KEYS-19, REQ-KEYS-20, REQ-KEYS-39, REQ-KEYS-82, REQ-KEYS-83, REQ-KEYS-110.
#[test]
fn two_persons_make_a_root_by_the_ceremony_and_it_never_comes_to_the_hub() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (anna, ben) = ("correct horse", "battery staple");
    let make = ["root", &at("safe"), "Fault Hospital"];
    let (said, good) = ceremony(&make, &["Anna", "Ben", anna, "another one", ben, ben]);
    assert!(!good && said.contains("different halves"), "{said}");
    let (said, good) = ceremony(&make, &["Anna", "Anna"]);
    assert!(!good && said.contains("two persons"), "{said}");
    let (said, good) = ceremony(&make, &["Anna", "Ben", anna, anna, ben, ben]);
    assert!(good, "{said}");
    let key = std::fs::read(at("safe/keys/root.key")).expect("a key");
    let (said, good) = ceremony(&make, &["Anna", "Ben", anna, anna, ben, ben]);
    assert!(!good && said.contains("a root already"), "{said}");
    assert_eq!(std::fs::read(at("safe/keys/root.key")).expect("a key"), key, "a root was made anew");

    // The hub asks; what it starts with is the root's certificate.
    let config = at("medlock.toml");
    let text = format!(
        "[hub]\nsite = \"Fault Hospital\"\nroot = \"offline\"\ndir = {:?}\ndevices = \"127.0.0.1:0\"\npeople = \"127.0.0.1:0\"\n",
        at("hub")
    );
    std::fs::write(&config, &text).expect("written");
    let run = |arguments: &[&str]| {
        let output = medlock().args(arguments).output().expect("it starts");
        (String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(), output.status.success())
    };
    let up = ["up", "--with-parent", "--config", &config];
    let (said, good) = run(&up);
    assert!(!good && said.contains("make-root"), "{said}");
    let (root, request, answer) = (at("safe/root.pem"), at("1.request"), at("1.answer"));
    let first = ["authority", "request", "issuing", "--root", &root, "--config", &config, "--out", &request];
    // The folder is the configuration's.
    let (said, good) = run(&first);
    assert!(good && said.contains("Fault Hospital"), "{said}");
    let (said, good) = run(&up);
    assert!(!good && said.contains("authority accept"), "{said}");
    let sign = ["sign", &at("safe"), &request, &answer];
    for typed in [&["Anna", "Ben", "yes", "no"][..], &["Anna", "Ben", "yes", "yes", anna, anna], &["Anna"]] {
        let (said, good) = ceremony(&sign, typed);
        assert!(!good && !Path::new(&answer).exists(), "{said}");
    }
    // The medium has another request on it as soon as the first was shown: what both have seen is signed all the same.
    let (other, asked) = (at("other.toml"), std::fs::read(&request).expect("a request"));
    std::fs::write(&other, text.replace(&at("hub"), &at("other"))).expect("written");
    let theirs =
        ["authority", "request", "issuing", "--root", &root, "--config", &other, "--out", &at("other.request")];
    let (said, good) = run(&theirs);
    assert!(good, "{said}");
    let faithless = at("faithless.sh");
    let script = format!(
        "#!/bin/bash\n{:?} \"$@\"\nstatus=$?\ncase \" $* \" in *' --show '*) cp {:?} {request:?};; esac\nexit $status\n",
        env!("CARGO_BIN_EXE_medlock"),
        at("other.request")
    );
    std::fs::write(&faithless, script).expect("written");
    std::fs::set_permissions(&faithless, PermissionsExt::from_mode(0o700)).expect("it can be run");
    let (said, good) = ceremony_by(&faithless, &sign, &["Anna", "Ben", "yes", "yes", anna, ben]);
    assert!(good, "{said}");
    assert_ne!(std::fs::read(&request).expect("a request"), asked, "the medium did not change");
    let digest = data_encoding::HEXLOWER.encode(&medlock_node::provider::sha256(&asked));
    assert_eq!(said.matches(&digest).count(), 3, "shown, shown again, and noted: {said}");
    let left = std::fs::read_dir(at("safe")).expect("the safe").filter_map(Result::ok);
    assert!(!left.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("seen.")));
    // Each step says who does what, and what is to be seen.
    for told in ["step 4 of 4", "Anna first, then Ben", "the one that the hub has shown", "Take 1.answer alone"] {
        assert!(said.contains(told), "{told} is missing in {said}");
    }
    let (said, good) = ceremony(&sign, &["Anna", "Ben", "yes", "yes", anna, ben]);
    assert!(!good && said.contains("nothing is overwritten"), "{said}");
    let (said, good) = run(&["authority", "accept", &answer, "--dir", &at("hub")]);
    assert!(good && said.contains("current"), "{said}");
    // What was said and done stands in the transcript, and no half of the passphrase.
    let transcript = std::fs::read_to_string(at("safe/transcript.txt")).expect("a transcript");
    let digest =
        data_encoding::HEXLOWER.encode(&medlock_node::provider::sha256(&std::fs::read(&answer).expect("an answer")));
    for said in ["first person: Anna", "second person: Ben", "does not agree", &digest] {
        assert!(transcript.contains(said), "{said} is missing in {transcript}");
    }
    assert!(!transcript.contains(anna) && !transcript.contains(ben));
    let mut hub = Process::start(medlock().args(["up", "--json", "--with-parent", "--config", &config]));
    hub.event("up");
    assert!(!Path::new(&at("hub/keys/root.key")).exists());
    let (said, good) = run(&["authority", "rotate", "issuing", "--dir", &at("hub")]);
    assert!(!good && said.contains("the root is offline"), "{said}");
    // A rotation travels in the same way, while the hub runs.
    let (request, answer) = (at("2.request"), at("2.answer"));
    let (said, good) = run(&["authority", "request", "issuing", "--out", &request, "--dir", &at("hub")]);
    assert!(good, "{said}");
    let (said, good) = ceremony(&["sign", &at("safe"), &request, &answer], &["Anna", "Ben", "yes", "yes", anna, ben]);
    assert!(good, "{said}");
    let keys = ask(&at("hub"), &["authority", "accept", &answer]);
    assert_eq!(keys[1]["label"], "issuing-2");
    assert_eq!(keys[1]["state"], "current");
    // A new root. The first answer is lost on its way: it is asked again.
    let both = ["Anna", "Ben", "yes", "yes", anna, ben];
    let change = |number: u8, change: &[&str]| {
        let (request, answer) = (at(&format!("{number}.request")), at(&format!("{number}.answer")));
        let out = ["--out", &request, "--dir", &at("hub")];
        let (said, good) = run(&[&["authority", "request"], change, &out].concat());
        assert!(good, "{said}");
        let (said, good) = ceremony(&["sign", &at("safe"), &request, &answer], &both);
        (said, good, answer)
    };
    let (said, good, _) = change(3, &["root"]);
    assert!(good && said.contains("root-2.pem is the certificate of the new root"), "{said}");
    let (said, good, _) = change(4, &["issuing"]);
    assert!(good, "the hub that knows nothing of the new root asks the one before: {said}");
    let (said, good, answer) = change(5, &["root"]);
    assert!(good && said.contains("member      "), "{said}");
    let keys = ask(&at("hub"), &["authority", "accept", &answer]);
    assert!(keys.as_array().expect("keys").iter().any(|key| key["label"] == "root-2" && key["state"] == "current"));
    let (said, good, answer) = change(6, &["retire", "root", "--anyway"]);
    assert!(good && said.contains("retired     "), "{said}");
    // Before that answer is accepted, the hub still names the old root: at the safe it has an end by now.
    let (said, good, _) = change(7, &["issuing"]);
    assert!(!good && said.contains("makes root a member again") && said.contains("does not sign that"), "{said}");
    let keys = ask(&at("hub"), &["authority", "accept", &answer]);
    assert!(keys.as_array().expect("keys").iter().any(|key| key["label"] == "root" && key["state"] == "retired"));
    let (said, good, answer) = change(8, &["issuing"]);
    assert!(good, "{said}");
    ask(&at("hub"), &["authority", "accept", &answer]);
    hub.kill();
}

/// EST by curl with an enrolment code: the status and the head of the answer.
fn enrol(hub: &Hub, folder: &Path, code: &Code, key: &SigningKey) -> (String, String) {
    let file = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    std::fs::write(file("root.pem"), hub.ask(&["authority", "show"])["root_pem"].as_str().expect("PEM"))
        .expect("written");
    let request = data_encoding::BASE64.encode(&certificate_request(key, None));
    let login = format!("{}:{}", code.user(), code.password().as_str());
    let url = format!("https://localhost:{}/.well-known/est/simpleenroll", hub.devices.port());
    let mut curl = Command::new("curl");
    curl.args(["-s", "--max-time", "40", "--cacert", &file("root.pem"), "-D", &file("head"), "-o", &file("body")]);
    curl.args([
        "-w",
        "%{http_code}",
        "-H",
        "Content-Type: application/pkcs10",
        "-u",
        &login,
        "--data-binary",
        &request,
    ]);
    let output = curl.arg(&url).output().expect("curl starts");
    let head = std::fs::read_to_string(file("head")).unwrap_or_default().to_lowercase();
    (String::from_utf8_lossy(&output.stdout).into_owned(), head)
}

/// Shows REQ-KEYS-22.
#[test]
fn a_hub_whose_keys_are_in_a_token_says_so_while_it_is_away_and_goes_on_when_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::create_dir(&token).expect("a folder");
    let hsm = SoftHsm::new(&token);
    let pkcs11 =
        format!("{{ module = {:?}, token = {:?}, pin_file = {:?} }}", hsm.module(), SoftHsm::TOKEN, hsm.pin_file());
    let environment = vec![("SOFTHSM2_CONF", hsm.conf())];
    let hub = Hub::start_in(environment, folder.path(), &format!("algorithm = \"p384\"\npkcs11 = {pkcs11}\n"));
    let enrolled = |name: &str| {
        let (code, key): (Code, _) = (hub.code(name, "modality").parse().expect("a code"), SigningKey::generate());
        assert_eq!(enrol(&hub, folder.path(), &code, &key).0, "202", "it waits for a person");
        let fingerprint = data_encoding::HEXLOWER.encode(&medlock_node::provider::sha256(key.spki())[..16]);
        hub.ask(&["device", "approve", name, "--key", &fingerprint]);
        (code, key)
    };
    let (code, key) = enrolled("ct1");
    assert_eq!(enrol(&hub, folder.path(), &code, &key).0, "200");
    let keys = hub.ask(&["authority", "keys"]);
    assert_eq!(keys[0]["algorithm"], "p384");
    let kept = std::fs::read_dir(hub.dir.join("keys")).into_iter().flatten().filter_map(Result::ok);
    let kept: Vec<_> =
        kept.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().ends_with(".key")).collect();
    assert!(kept.is_empty(), "keys lie in files: {kept:?}");

    let (code, key) = enrolled("ct2");
    hsm.there(false);
    let kill = Command::new("kill").args(["-9", &hub.signer().to_string()]).status().expect("kill starts");
    assert!(kill.success());
    for _ in 0..2 {
        let (status, head) = enrol(&hub, folder.path(), &code, &key);
        assert!(status == "503" && head.contains("retry-after: 5"), "{status}: {head}");
    }
    let output = medlock().args(["authority", "rotate", "issuing", "--dir"]).arg(&hub.dir).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("libsofthsm2.so") && said.contains("put it back"), "{said}");
    hsm.there(true);
    assert_eq!(enrol(&hub, folder.path(), &code, &key).0, "200", "the token is back");
    assert_eq!(hub.credentials("ct2").len(), 1);
    // A key that is made now is made in the token too.
    let keys = hub.ask(&["authority", "rotate", "issuing"]);
    assert_eq!((&keys[1]["state"], &keys[1]["algorithm"]), (&"current".into(), &"p384".into()));

    // The signer goes on while the token is away, and its session sees nothing.
    hsm.there(false);
    let rotate =
        || medlock().args(["authority", "rotate", "issuing", "--dir"]).arg(&hub.dir).output().expect("it starts");
    let said = String::from_utf8_lossy(&rotate().stderr).into_owned();
    assert!(said.contains("libsofthsm2.so") && !said.contains("offline"), "{said}");
    hsm.there(true);
    let output = rotate();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // An authority beside the site, made by command: what the configuration says of it counts.
    let config = folder.path().join("makers.toml");
    let text = format!("[authority.pumps]\norganization = \"Pump Works\"\nkind = \"maker\"\npkcs11 = {pkcs11}\n");
    std::fs::write(&config, text).expect("written");
    let mut create = medlock();
    create.args(["authority", "create", "pumps", "--organization", "Pump Works", "--kind", "maker", "--config"]);
    let output = create.arg(&config).arg("--dir").arg(&hub.dir).env("SOFTHSM2_CONF", hsm.conf()).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let module = hsm.module().to_str().expect("UTF-8");
    let list = ["--module", module, "--login", "--pin", SoftHsm::PIN, "--list-objects", "--type", "privkey"];
    let text = hsm.run("pkcs11-tool", &list);
    for label in ["medlock Fault Hospital issuing-2", "medlock Pump Works issuing", "medlock Pump Works root"] {
        assert!(text.contains(label), "{label} is missing in {text}");
    }
}
