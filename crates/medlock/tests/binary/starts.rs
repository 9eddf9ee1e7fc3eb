//! How a hub starts where something is missing that should be there, or there that should not.

use crate::process::{Hub, Process, Sidecar, medlock};
use crate::stores::{on, wait_for, wait_until};
use medlock_testkit::{PostgresServer, SoftHsm};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// What a command has said, and whether it was done.
fn run(what: &[&str], dir: &Path) -> (bool, String) {
    let done = medlock().args(what).arg("--dir").arg(dir).output().expect("it starts");
    let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    (done.status.success(), said)
}

fn status(url: &str) -> String {
    let output = Command::new("curl").args(["-s", "--max-time", "20", "-w", " %{http_code}", url]).output();
    String::from_utf8_lossy(&output.expect("curl starts").stdout).into_owned()
}

/// Shows REQ-RUN-54, REQ-RUN-55: without the passphrase of a maker beside it the site starts, and says where people look what is off
/// and why; the maker is served again when the passphrase is back.
#[test]
fn a_maker_whose_passphrase_is_lost_does_not_stop_the_site() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitoring = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("an address");
    let lines = format!("monitoring = \"{monitoring}\"\n");
    let mut hub = Hub::start_with(folder.path(), &lines);
    let made = ["authority", "create", "pumps", "--organization", "Pump Works", "--kind", "maker"];
    let (done, said) = run(&made, &hub.dir);
    let pumps = hub.dir.join("authorities/pumps");
    let (passphrase, away) = (pumps.join("keys/passphrase"), folder.path().join("away"));
    assert!(done && said.contains(&passphrase.display().to_string()) && said.contains("no backup has"), "{said}");
    hub.kill();
    std::fs::rename(&passphrase, &away).expect("moved");
    hub.run_with(&lines);
    hub.code("ct1", "modality");
    let alarms = || hub.ask(&["authority", "alarms"])["alarms"].as_array().expect("alarms").clone();
    let off =
        |alarm: &Value| alarm["kind"] == "authority-off" && alarm["text"].as_str().expect("text").contains("pumps");
    assert_eq!(alarms().iter().filter(|alarm| off(alarm)).count(), 1, "{:?}", alarms());
    let why = format!("{} is missing", passphrase.display());
    assert!(alarms().iter().any(|alarm| alarm["text"].as_str().expect("text").contains(&why)), "{:?}", alarms());
    let crl = format!("http://{}/a/pumps/crl/root.crl", hub.people);
    assert!(status(&crl).ends_with(" 503") && status(&crl).contains("is off"));
    let ready = status(&format!("http://{monitoring}/health/ready"));
    assert!(ready.ends_with(" 503") && ready.contains("authority pumps: it is off"), "{ready}");
    let metrics = status(&format!("http://{monitoring}/metrics"));
    assert!(metrics.contains("medlock_ready{authority=\"-\"} 1") && metrics.contains("{authority=\"pumps\"} 0"));
    let (done, said) = run(&["authority", "show"], &pumps);
    assert!(!done && said.contains(&why), "{said}");
    let all = hub.ask(&["authority", "list"]);
    assert!(all[0]["authority"].is_object() && all[1]["off"].as_str().expect("why").contains(&why), "{all}");

    std::fs::rename(&away, &passphrase).expect("moved");
    hang_up(&hub);
    wait_for(SOON, "the maker is not served again", || status(&crl).ends_with(" 200"));
    assert!(status(&format!("http://{monitoring}/health/ready")).ends_with(" 200"));

    // Nor does a store of its own that cannot be read.
    hub.kill();
    let store = pumps.join("authority.sqlite");
    std::fs::rename(&store, &away).expect("moved");
    std::fs::write(&store, [7; 8192]).expect("written");
    hub.run_with(&lines);
    let all = hub.ask(&["authority", "list"]);
    assert!(all[0]["authority"].is_object() && all[1]["off"].is_string(), "{all}");
    std::fs::rename(&away, &store).expect("moved");
    hang_up(&hub);
    wait_for(SOON, "the maker is not served again", || status(&crl).ends_with(" 200"));

    // Nor does a section that is not its own, or settings that cannot be read; a new one that cannot be used is refused.
    hub.kill();
    let section = |name: &str, organization: &str| {
        format!("{lines}\n[authority.{name}]\norganization = \"{organization}\"\nkind = \"maker\"\n")
    };
    hub.run_with(&section("pumps", "Pump Wroks"));
    let why = hub.ask(&["authority", "alarms"])["alarms"].to_string();
    assert!(why.contains("Pump Wroks") && why.contains("cannot change"), "{why}");
    hub.configure(&lines);
    hang_up(&hub);
    wait_for(SOON, "the maker is not served again", || status(&crl).ends_with(" 200"));
    hub.kill();
    std::fs::write(pumps.join("in-force.json"), "{").expect("written");
    hub.run_with(&lines);
    let why = hub.ask(&["authority", "alarms"])["alarms"].to_string();
    assert!(why.contains("in-force.json is damaged"), "{why}");
    hub.kill();
    let refused = hub.refused(&section("scanners", ""));
    assert!(refused.contains("scanners"), "{refused}");
}

/// Shows REQ-RUN-77, REQ-KEYS-120: a maker whose token was away is served again without being asked, and one whose PIN was wrong as soon as the
/// right one is there; the wrong one was tried once.
#[test]
fn a_token_that_was_away_comes_back_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::create_dir(&token).expect("a folder");
    let hsm = SoftHsm::new(&token);
    let (module, pin) = (hsm.module(), hsm.pin_file());
    let lines = format!(
        "[authority.pumps]\norganization = \"Pump Works\"\nkind = \"maker\"\n\
         pkcs11 = {{ module = {module:?}, token = {:?}, pin_file = {pin:?} }}\n",
        SoftHsm::TOKEN
    );
    let mut hub = Hub::start_in(vec![("SOFTHSM2_CONF", hsm.conf())], folder.path(), &lines);
    let off = |hub: &Hub| hub.ask(&["authority", "list"])[1]["off"].as_str().map(str::to_owned);
    assert_eq!(off(&hub), None);
    hub.kill();
    let (tokens, away) = (token.join("tokens"), folder.path().join("away"));
    std::fs::rename(&tokens, &away).expect("moved");
    std::fs::create_dir(&tokens).expect("a folder");
    hub.run_with(&lines);
    assert!(off(&hub).is_some_and(|why| why.contains("the library sees no token")), "{:?}", off(&hub));
    std::fs::remove_dir_all(&tokens).expect("removed");
    std::fs::rename(&away, &tokens).expect("moved");
    let crl = format!("http://{}/a/pumps/crl/root.crl", hub.people);
    wait_until("the token is not looked for", || status(&crl).ends_with(" 200"));

    hub.kill();
    std::fs::write(&pin, "000000").expect("written");
    let refused = hub.dir.join("authorities/pumps/keys/pin.refused");
    hub.run_with(&lines);
    assert!(off(&hub).is_some_and(|why| why.contains("does not take the PIN")), "{:?}", off(&hub));
    let noted = std::fs::read(&refused).expect("noted");
    hub.kill();
    hub.run_with(&lines);
    assert!(std::fs::read(&refused).expect("noted") == noted, "it was tried again");
    std::fs::write(&pin, SoftHsm::PIN).expect("written");
    wait_until("the right PIN is not tried", || status(&crl).ends_with(" 200"));
    assert!(!refused.exists());
}

/// Shows REQ-CLI-45, REQ-CLI-46: a hub whose disk is not there makes no new site beside the passphrase of the old one; one that makes a
/// site says so, once.
#[test]
fn a_site_is_made_anew_only_where_there_was_none_and_is_told_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let passphrase = folder.path().join("secrets/passphrase");
    let lines = format!("passphrase_file = {passphrase:?}\n");
    let mut hub = Hub::start_with(folder.path(), &lines);
    let root = hub.ask(&["authority", "show"])["root_key"].as_str().expect("a key").to_owned();
    hub.kill();
    let first_line = |hub: &Hub| {
        hub.configure(&lines);
        let mut command = hub.command();
        let mut hub = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(hub.stdout.take().expect("a pipe")).read_line(&mut line).expect("it is up");
        drop(hub.stdin.take());
        assert!(hub.wait().expect("it ends").success());
        serde_json::from_str::<Value>(&line).expect("JSON")
    };
    let again = first_line(&hub);
    assert!(again["new"] == false && again["root_key"] == *root, "{again}");

    let config = folder.path().join("medlock.toml");
    let unmounted = folder.path().join("hub-on-its-disk");
    let mistyped = on(PostgresServer::shared(), "mistyped", "hub-a");
    std::fs::rename(&hub.dir, &unmounted).expect("moved");
    for mount_point in [false, true] {
        if mount_point {
            std::fs::create_dir(&hub.dir).expect("made");
        }
        for (store, another) in
            [("", "brings it back. To make"), (&mistyped, "schema mistyped, takes the files of `keys`")]
        {
            let refused = hub.refused(&format!("{lines}{store}"));
            assert!(refused.contains("is the disk of") && refused.contains("secrets/passphrase"), "{refused}");
            assert!(refused.contains(another), "{refused}");
        }
        let written = std::fs::read_dir(&hub.dir).map_or(0, Iterator::count);
        assert_eq!((hub.dir.exists(), written), (mount_point, 0), "it was begun");
    }
    let meant = medlock().args(["up", "--json", "--new-site", "--with-parent", "--config"]).arg(&config).output();
    let meant: Value = serde_json::from_slice(&meant.expect("it starts").stdout).expect("JSON");
    assert!(meant["new"] == true && meant["root_key"] != *root, "{meant}");
    std::fs::remove_dir_all(&hub.dir).expect("removed");
    std::fs::remove_file(&passphrase).expect("removed");
    let made = first_line(&hub);
    assert!(made["new"] == true && made["root_key"] != *root, "{made}");
    std::fs::remove_dir_all(&hub.dir).expect("removed");
    std::fs::remove_file(&passphrase).expect("removed");
    let mut words = medlock();
    words.args(["up", "--with-parent", "--config"]).arg(&config).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut words = words.spawn().expect("it starts");
    let lines = BufReader::new(words.stdout.take().expect("a pipe")).lines().map(|line| line.expect("text"));
    let said: Vec<String> = lines.take_while(|line| !line.starts_with("Next:")).collect();
    assert!(said.iter().any(|line| line.starts_with("A NEW SITE WAS MADE")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("keys/root.key offline")), "{said:?}");
    drop(words.stdin.take());
    assert!(words.wait().expect("it ends").success());
}

/// Shows REQ-CLI-47: neither the folder of a sidecar nor ports that are taken leave the beginning of a site behind.
#[test]
fn a_hub_that_cannot_start_writes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    let mut sidecar = Sidecar::enrol(&hub, folder.path(), "ct1", "modality", None);
    sidecar.kill();
    hub.kill();
    let of_sidecar = folder.path().join("ct1");
    let names = || {
        let entries = std::fs::read_dir(&of_sidecar).expect("a folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort_unstable();
        names
    };
    let before = names();
    let (done, said) = run(&["up"], &of_sidecar);
    assert!(!done && said.contains("is the folder of a sidecar"), "{said}");
    assert_eq!(names(), before);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let new = folder.path().join("new");
    let text = format!("[hub]\ndevices = \"127.0.0.1:0\"\npeople = \"{}\"\n", taken.local_addr().expect("an address"));
    std::fs::write(folder.path().join("new.toml"), text).expect("written");
    let config = folder.path().join("new.toml");
    let (done, said) = run(&["up", "--config", config.to_str().expect("UTF-8")], &new);
    assert!(!done && said.contains("hub.people") && said.contains("cannot be opened"), "{said}");
    assert!(!new.exists(), "a site was begun");
}

/// Shows REQ-CLI-52: a sidecar that is sent to another port than that for devices says so.
#[test]
fn a_sidecar_says_that_what_answers_is_no_hub() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::start(folder.path());
    let code = hub.code("ct1", "modality");
    let mut command = medlock();
    command.args(["sidecar", "dicom", "--json", "--with-parent", "--listen", "127.0.0.1:0", "--plain", "127.0.0.1:0"]);
    command.args(["--hub", &hub.people.to_string(), "--dir"]).arg(folder.path().join("ct1"));
    let mut sidecar = Process::start(command.env("MEDLOCK_CODE", code));
    let trouble = sidecar.event("trouble");
    assert!(trouble["error"].as_str().expect("text").contains("speaks no TLS"), "{trouble}");
}

/// Shows REQ-STORE-135, REQ-RUN-56: in an empty folder, unmounted or mistyped, no second site begins with the keys that a token has, whatever
/// is said; nor does a maker beside the site, which is off. With their folders back both go on as they were.
#[test]
fn an_empty_folder_begins_nothing_with_the_keys_of_a_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::create_dir(&token).expect("a folder");
    let hsm = SoftHsm::new(&token);
    let (module, pin) = (hsm.module(), hsm.pin_file());
    let pkcs11 = format!("pkcs11 = {{ module = {module:?}, token = {:?}, pin_file = {pin:?} }}\n", SoftHsm::TOKEN);
    let lines = format!("{pkcs11}\n[authority.pumps]\norganization = \"Pump Works\"\nkind = \"maker\"\n{pkcs11}");
    let mut hub = Hub::start_in(vec![("SOFTHSM2_CONF", hsm.conf())], folder.path(), &lines);
    let roots = |hub: &Hub| {
        let all = hub.ask(&["authority", "list"]);
        [0, 1].map(|number| all[number]["authority"]["root_key"].as_str().expect("a key").to_owned())
    };
    let (before, log) = (roots(&hub), status(&format!("http://{}/log/key", hub.people)));
    hub.kill();

    let unmounted = folder.path().join("hub-on-its-disk");
    std::fs::rename(&hub.dir, &unmounted).expect("moved");
    let new_site = |hub: &Hub| {
        let output = hub.command().arg("--new-site").output().expect("it starts");
        assert_eq!(output.status.code(), Some(1), "it started");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for refused in [hub.refused(&lines), new_site(&hub), hub.refused(&lines)] {
        assert!(refused.contains("the signer has keys of Fault Hospital already"), "{refused}");
        assert!(refused.contains("is its disk mounted") && refused.contains("authority restore"), "{refused}");
    }
    assert!(!hub.dir.join("authority.sqlite").exists() && !hub.dir.join("keys/log.checkpoints").exists());
    std::fs::remove_dir_all(&hub.dir).expect("removed");
    std::fs::rename(&unmounted, &hub.dir).expect("moved");

    // A hub of an earlier version kept no list of its authorities; the token knows better all the same.
    let pumps = hub.dir.join("authorities/pumps");
    std::fs::rename(&pumps, &unmounted).expect("moved");
    std::fs::remove_file(hub.dir.join("authorities.expected")).expect("removed");
    hub.run_with(&lines);
    let all = hub.ask(&["authority", "list"]);
    assert!(all[0]["authority"].is_object() && all.as_array().expect("a list").len() == 1, "{all}");
    let crl = format!("http://{}/a/pumps/crl/root.crl", hub.people);
    assert!(status(&crl).ends_with(" 503"));
    let alarms = hub.ask(&["authority", "alarms"])["alarms"].to_string();
    assert!(alarms.contains("authority-off") && alarms.contains("keys of Pump Works already"), "{alarms}");
    std::fs::remove_dir_all(&pumps).expect("removed");
    std::fs::rename(&unmounted, &pumps).expect("moved");
    hang_up(&hub);
    wait_for(SOON, "the maker is not served again", || status(&crl).ends_with(" 200"));
    assert_eq!((roots(&hub), status(&format!("http://{}/log/key", hub.people))), (before, log));
}

/// So soon what a signal asks for is done, in seconds: before the hub looks by itself for what was away.
const SOON: u64 = 15;

fn hang_up(hub: &Hub) {
    let done = Command::new("kill").args(["-HUP", &hub.id().to_string()]).status().expect("kill starts");
    assert!(done.success());
}

/// Shows REQ-STORE-136, REQ-RUN-57, REQ-RUN-58, REQ-CLI-54: where the folder of an authority beside the site is not there, it is off and told of, made
/// by command, by the configuration, or with its passphrase elsewhere; it is made anew only when it was given up by command.
#[test]
fn an_authority_whose_folder_is_gone_is_missed_and_not_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitoring = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("an address");
    let passphrase = folder.path().join("secrets/scanners");
    let section = |name: &str, more: &str| {
        format!("\n[authority.{name}]\norganization = \"{name} works\"\nkind = \"maker\"\n{more}\n")
    };
    let elsewhere = section("scanners", &format!("passphrase_file = {passphrase:?}"));
    let lines = format!("monitoring = \"{monitoring}\"\n{}{elsewhere}", section("probes", ""));
    let mut hub = Hub::start_with(folder.path(), &lines);
    let made = ["authority", "create", "pumps", "--organization", "Pump Works", "--kind", "maker"];
    assert!(run(&made, &hub.dir).0);
    let backup = folder.path().join("backup");
    assert!(run(&["authority", "backup", backup.to_str().expect("UTF-8")], &hub.dir).0);
    let expected = hub.dir.join("authorities.expected");
    assert_eq!(std::fs::read_to_string(&expected).expect("a list"), "probes\npumps\nscanners\n");
    let root = hub.ask(&["authority", "list"])[1]["authority"]["root_key"].clone();
    hub.kill();
    let (authorities, unmounted) = (hub.dir.join("authorities"), folder.path().join("their-disk"));
    std::fs::rename(&authorities, &unmounted).expect("moved");
    hub.run_with(&lines);
    assert_eq!(std::fs::read_dir(&authorities).map_or(0, Iterator::count), 0, "one was begun");
    let ready = status(&format!("http://{monitoring}/health/ready"));
    let alarms = hub.ask(&["authority", "alarms"])["alarms"].to_string();
    let all = hub.ask(&["authority", "list"]);
    for (number, name) in ["probes", "pumps", "scanners"].into_iter().enumerate() {
        let why = format!("there is nothing of {name} in");
        assert!(status(&format!("http://{}/a/{name}/crl/root.crl", hub.people)).ends_with(" 503"), "{name}");
        assert!(ready.contains(&format!("authority {name}: it is off")) && alarms.contains(&why), "{ready}: {alarms}");
        assert!(all[number + 1]["off"].as_str().expect("why").contains(&why), "{all}");
    }
    let (done, said) = run(&made, &hub.dir);
    assert!(!done && said.contains("authority remove pumps"), "{said}");
    let (done, said) = run(&["authority", "backup", folder.path().join("late").to_str().expect("UTF-8")], &hub.dir);
    assert!(done && said.contains("NOT IN IT: there is nothing of pumps"), "{said}");
    let kept = std::fs::read_to_string(folder.path().join("late/authorities.expected")).expect("a list");
    assert_eq!(kept, "probes\npumps\nscanners\n", "who is missing is missed behind a restore too");

    // One comes back from the backup, one with its disk; one is given up.
    let (from, to) = (backup.join("authorities/pumps"), authorities.join("pumps"));
    let restore = [
        "authority",
        "restore",
        from.to_str().expect("UTF-8"),
        "--nothing-since",
        "--keys-unchanged",
        "--owners-unchanged",
    ];
    let (done, said) = run(&restore, &to);
    assert!(done, "{said}");
    std::fs::copy(unmounted.join("pumps/keys/passphrase"), to.join("keys/passphrase")).expect("copied");
    std::fs::rename(unmounted.join("scanners"), authorities.join("scanners")).expect("moved");
    let (done, said) = run(&["authority", "remove", "scanners"], &hub.dir);
    assert!(!done && said.contains("scanners is there, in"), "{said}");
    let (done, said) = run(&["authority", "remove", "probes"], &hub.dir);
    assert!(done && said.contains("with a new root"), "{said}");
    hang_up(&hub);
    for name in ["probes", "pumps", "scanners"] {
        let crl = format!("http://{}/a/{name}/crl/root.crl", hub.people);
        wait_for(SOON, "it is not served again", || status(&crl).ends_with(" 200"));
    }
    wait_until("the site is not ready", || status(&format!("http://{monitoring}/health/ready")).ends_with(" 200"));
    assert_ne!(hub.ask(&["authority", "list"])[1]["authority"]["root_key"], root);

    // A hub of an earlier version has no list, and begins it.
    hub.kill();
    std::fs::remove_file(&expected).expect("removed");
    hub.run_with(&lines);
    assert_eq!(std::fs::read_to_string(&expected).expect("a list"), "probes\npumps\nscanners\n");
    // Who was neither there nor in the configuration is not missed.
    hub.kill();
    std::fs::rename(to, unmounted.join("given-up")).expect("moved");
    assert!(run(&["authority", "remove", "pumps"], &hub.dir).0);
    hub.run_with(&lines);
    assert!(status(&format!("http://{}/a/pumps/crl/root.crl", hub.people)).ends_with(" 404"));
    assert!(status(&format!("http://{monitoring}/health/ready")).ends_with(" 200"));
}

/// Shows REQ-RUN-78: a hub that is killed takes its signer with it, also where that has a last word to say to nobody.
#[test]
fn no_signer_outlives_its_hub() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start_in(vec![("MEDLOCK_LOG", "info".into())], folder.path(), "");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", hub.id())).expect("its threads");
    let of_thread = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.expect("a thread").path().join("children")).unwrap_or_default()
    };
    let signers: String = tasks.map(of_thread).collect();
    let signers: Vec<&str> = signers.split_whitespace().collect();
    assert!(!signers.is_empty(), "it has no signer");
    hub.kill();
    wait_for(SOON, "a signer is left", || signers.iter().all(|id| is_over(id)));
}

/// Whether a process has ended, and waits for nobody but who asks how.
fn is_over(id: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// Shows REQ-CLI-57: an authority that was being made by command when the machine went off is made to the end by the same command; one
/// that is there is not made again.
#[test]
fn a_creation_by_command_that_was_cut_off_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let make = ["authority", "create-maker", "Pump Works", "--json"];
    let root = |said: &str| serde_json::from_str::<Value>(said).expect("JSON")["root_key"].clone();
    let (done, first) = run(&make, folder.path());
    assert!(done, "{first}");
    assert!(!run(&make, folder.path()).0, "it was made twice");
    // What is written last.
    std::fs::remove_file(folder.path().join("in-force.json")).expect("removed");
    let (done, again) = run(&make, folder.path());
    assert!(done && root(&again) == root(&first), "{again}");
}
