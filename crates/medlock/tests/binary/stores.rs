//! Where a hub keeps what it does: a file of its own, or a server that several hubs share.

use crate::process::{Device, Hub, Sidecar, medlock};
use medlock_testkit::PostgresServer;
use std::collections::BTreeSet;
use std::path::Path;

/// What a hub is to know of a server, as lines of `[hub]`.
pub(crate) fn on(server: &PostgresServer, schema: &str, hub: &str) -> String {
    format!("store = {:?}\nstore_schema = \"{schema}\"\nhub_name = \"{hub}\"\n", server.url())
}

/// Gives another hub the same keys: they are encrypted, and the passphrase lies beside them here.
fn copy_keys(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp is there");
    assert!(copied.success());
}

/// Shows REQ-STORE-10: two hubs on one server issue as one authority, also while one of them is stopped and asked by command.
#[test]
fn two_hubs_on_one_server_issue_without_a_serial_twice_into_one_log() {
    const RENEWALS: usize = 12;
    let server = PostgresServer::shared();
    let schema = server.schema();
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let one = Hub::start_with(folders[0].path(), &on(server, &schema, "hub-1"));
    let foreign = folders[1].path().join("medlock.toml");
    // A hub without the keys does not become another authority.
    std::fs::write(
        &foreign,
        format!(
            "[hub]\nsite = \"Fault Hospital\"\ndir = {:?}\ndevices = \"127.0.0.1:0\"\npeople = \"127.0.0.1:0\"\n{}",
            folders[1].path().join("hub"),
            on(server, &schema, "hub-2")
        ),
    )
    .expect("written");
    let refused = medlock().args(["up", "--config"]).arg(&foreign).output().expect("it starts");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && text.contains("keys are not here"), "{text}");
    std::fs::remove_dir_all(folders[1].path().join("hub/keys")).expect("an empty folder");
    copy_keys(&one.dir.join("keys"), &folders[1].path().join("hub/keys"));
    let mut two = Hub::start_with(folders[1].path(), &on(server, &schema, "hub-2"));

    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let devices: Vec<Device> = [(&one, "a"), (&two, "b"), (&one, "c"), (&two, "d")]
        .map(|(hub, name)| runtime.block_on(Device::enrol(hub, folders[0].path(), name)))
        .into();
    let renewing: Vec<_> = devices.iter().map(|device| runtime.spawn(device.clone().renew(RENEWALS))).collect();
    let acknowledged: Vec<Vec<String>> =
        renewing.into_iter().map(|one| runtime.block_on(one).expect("the task ends")).collect();

    // The second hub is stopped: by command it is reached all the same, beside the first.
    two.kill();
    two.ask(&["device", "suspend", "a", "--why", "asked at a hub that is stopped"]);
    let state = |hub: &Hub| hub.ask(&["device", "show", "a"])["state"].clone();
    assert_eq!((state(&one), state(&two)), ("suspended".into(), "suspended".into()));
    let mut serials = BTreeSet::new();
    let mut count = 0;
    for (device, acknowledged) in devices.iter().zip(&acknowledged) {
        let held = two.credentials(&device.name);
        count += held.len();
        serials.extend(held.iter().map(|one| one["serial"].as_str().expect("a serial").to_owned()));
        let held: BTreeSet<_> = held.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect();
        assert!(acknowledged.iter().all(|one| held.contains(one)), "an acknowledged certificate is lost");
    }
    assert_eq!((count, serials.len()), (4 * (RENEWALS + 1), count), "a serial is there twice");
    let key = one.ask(&["log", "show"])["key"].as_str().expect("a key").to_owned();
    assert_eq!(two.ask(&["log", "show"])["key"], key.as_str());
    let whole = Hub::ask_without_folder(&["log", "verify", &format!("http://{}/log", one.people), "--key", &key]);
    // Root, issuing key and the two hubs' own credentials are in it too.
    assert_eq!(whole["size"], count + 4, "{whole}");
}

/// Shows REQ-STORE-09: nothing that a user types or the program prints has the password.
#[test]
fn a_password_in_the_configuration_is_refused_and_not_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("medlock.toml");
    std::fs::write(&config, "[hub]\nstore = \"postgresql://u:geheim@localhost/d\"\n").expect("written");
    let output = medlock().arg("check-config").arg(&config).output().expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.code() == Some(1) && said.contains("password") && !said.contains("geheim"), "{said}");
}

/// Every row of all tables of the authority but those of what happens by itself, as text.
fn dump_file(dir: &Path, tables: &[(&str, &str)]) -> Vec<String> {
    let program =
        tables.iter().map(|(table, columns)| format!("SELECT '{table}', {columns} FROM {table} ORDER BY 2, 3;"));
    let mut command = std::process::Command::new("python3");
    command.args(["-c", "import sqlite3, sys\nd = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)\nfor sql in sys.argv[2:]:\n  for row in d.execute(sql): print('|'.join('' if v is None else v.hex() if isinstance(v, bytes) else str(v) for v in row))"]);
    let output = command.arg(dir.join("authority.sqlite")).args(program).output().expect("python3 is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

fn dump_server(server: &PostgresServer, schema: &str, tables: &[(&str, &str)]) -> Vec<String> {
    let one = |(table, columns): &(&str, &str)| {
        let sql = format!(
            "SET search_path TO {schema}; SET bytea_output TO hex; SELECT '{table}', {columns} FROM {table} ORDER BY 2, 3"
        );
        let text = server.query(&sql).expect("psql answers");
        text.lines().map(|line| line.replace("\\x", "")).collect::<Vec<_>>()
    };
    tables.iter().flat_map(one).collect()
}

const TABLES: &[(&str, &str)] = &[
    (
        "issuance",
        "number, serial, purpose, device, key, parent, not_before, not_after, at, tbs, state, abandoned, credential, certificate, used",
    ),
    (
        "device",
        "name, owner, maker_serial, maker_key, roles, device_type, dns, ips, ae_titles, sidecar, validity_seconds, at, turn",
    ),
    ("code", "id, device, secret_hash, expires, wrong_tries, state, key"),
    (
        "pending",
        "rowid, id, device, code, birth, birth_serial, birth_maker, key, key_fingerprint, claims, address, since, state",
    ),
    ("standing", "kind, subject, state, reason, epoch, since"),
    ("standing_change", "id, kind, subject, state, reason, epoch, at"),
    ("object", "kind, version, at, bytes"),
    ("number", "series, last"),
    ("alarm", "id, at, last, count, kind, device, text, acknowledged"),
    ("audit", "id, at, who, verb, subject, outcome"),
    ("setting", "name, value"),
    ("log", "one, size, signed_size, checkpoint"),
    ("log_tile", "level, place, hashes"),
    ("ae_title", "title, device"),
];

/// Shows REQ-STORE-12: with one restart, everything is on the server, and goes on there; the file is not used again.
#[test]
fn a_store_is_moved_to_a_server_with_one_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = PostgresServer::shared();
    let schema = server.schema();
    let mut hub = Hub::start(folder.path());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let device = runtime.block_on(Device::enrol(&hub, folder.path(), "a"));
    runtime.block_on(device.clone().renew(3));
    hub.ask(&["device", "register", "ct1", "--role", "modality", "--ae", "CT1", "--address", "127.0.0.1:1"]);
    hub.ask(&["device", "code", "ct1"]);
    hub.ask(&["device", "suspend", "a", "--why", "lent"]);
    let url = server.url();
    let what = ["authority", "move-store", "--to", &url, "--schema", &schema];
    let dir = hub.dir.clone();
    let run = || medlock().args(what).arg("--dir").arg(&dir).output().expect("it starts");
    assert_eq!(run().status.code(), Some(1), "it was moved while the hub ran");
    let log = hub.ask(&["log", "show"]);
    hub.kill();
    let before = dump_file(&hub.dir, TABLES);
    let moved = run();
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    assert_eq!(before, dump_server(server, &schema, TABLES));
    assert!(before.len() > 30, "{}", before.len());
    // Neither twice, nor back to the file by mistake.
    assert_eq!(run().status.code(), Some(1));
    for more in ["", "hub_name = \"hub\"\n"] {
        let refused = hub.refused(more);
        assert!(refused.contains("store") && refused.contains(&schema), "{refused}");
    }
    hub.run_with(&on(server, &schema, "hub"));
    assert_eq!(hub.ask(&["device", "show", "a"])["state"], "suspended");
    hub.ask(&["device", "restore", "a", "--why", "back"]);
    runtime.block_on(device.renew(2));
    let later = hub.ask(&["log", "show"]);
    assert_eq!((&later["origin"], &later["key"]), (&log["origin"], &log["key"]));
    assert!(later["size"].as_u64() >= log["size"].as_u64().map(|size| size + 2));
    let at = format!("http://{}/log", hub.people);
    Hub::ask_without_folder(&["log", "verify", &at, "--key", log["key"].as_str().expect("a key")]);
    let held = hub.credentials("a");
    assert_eq!(held.len(), 6, "{held:?}");
    // A page at a time, and by what is printed on a certificate.
    let names = |what: &[&str]| {
        let found = hub.ask(&[&["device", "list"], what].concat());
        let all = found["devices"].as_array().expect("a list").iter();
        let names: Vec<String> = all.map(|one| one["entry"]["name"].as_str().expect("a name").to_owned()).collect();
        (names.join(" "), found["next"].as_str().map(str::to_owned))
    };
    assert_eq!(names(&["--most", "2"]), ("a ct1".into(), Some("ct1".into())));
    assert_eq!(names(&["--most", "2", "--after", "ct1"]), ("hub".into(), None));
    assert_eq!(names(&["--search", "c"]).0, "ct1");
    assert_eq!(names(&["--serial", held[2]["serial"].as_str().expect("a serial")]).0, "a");
    assert_eq!(names(&["--serial", "7fffffffffffffffffffffffffffffff"]).0, "");
}

/// Shows REQ-STORE-13, REQ-LOG-07 and REQ-LOG-08: a backup that was made while the hub ran is restored; a log that would be
/// shorter than what was signed is not signed, and goes on with a new name when the loss is accepted.
#[test]
fn a_restored_backup_signs_no_smaller_log_and_goes_on_when_the_loss_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let device = runtime.block_on(Device::enrol(&hub, folder.path(), "a"));
    let renewing = runtime.spawn(device.clone().renew(10));
    let backup = folder.path().join("backup");
    let backup = backup.to_str().expect("UTF-8");
    hub.ask(&["authority", "backup", backup]);
    runtime.block_on(renewing).expect("renewed while the backup was made");
    runtime.block_on(device.renew(1));
    let files: BTreeSet<_> = std::fs::read_dir(folder.path().join("backup/keys"))
        .expect("keys")
        .map(|file| file.expect("a file").file_name())
        .collect();
    assert_eq!(files, ["issuing.key", "log.key", "root.key"].map(Into::into).into(), "the passphrase is in the backup");
    let log = hub.ask(&["log", "show"]);
    let dir = hub.dir.clone();
    let run = |what: &[&str]| medlock().args(what).arg("--dir").arg(&dir).output().expect("it starts");
    assert_eq!(run(&["authority", "restore", backup]).status.code(), Some(1), "it was restored under a running hub");
    hub.kill();
    let refused = run(&["authority", "restore", backup]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && why.contains("--accept-loss"), "{why}");
    // By hand.
    forget_database(&hub.dir);
    std::fs::copy(folder.path().join("backup/authority.sqlite"), hub.dir.join("authority.sqlite")).expect("copied");
    let refused = hub.refused("");
    assert!(refused.contains("--accept-loss") && refused.contains("restored from a backup"), "{refused}");
    assert_eq!(run(&["log", "start-anew"]).status.code(), Some(2), "the loss was not accepted");
    assert!(run(&["log", "start-anew", "--accept-loss"]).status.success());
    hub.run();
    let later = hub.ask(&["log", "show"]);
    let second = format!("{}/2-", log["origin"].as_str().expect("a name"));
    assert!(later["origin"].as_str().expect("a name").starts_with(&second), "{later}");
    assert!(hub.ask(&["authority", "alarms"])["alarms"].to_string().contains("log-started-anew"));
    let fresh = runtime.block_on(Device::enrol(&hub, folder.path(), "b"));
    runtime.block_on(fresh.renew(1));
    let at = format!("http://{}/log", hub.people);
    let whole = Hub::ask_without_folder(&["log", "verify", &at, "--key", later["key"].as_str().expect("a key")]);
    assert!(whole["size"].as_u64() > Some(4), "{whole}");

    // The disk is gone: a new folder, with the backup and the passphrase.
    hub.kill();
    let passphrase = std::fs::read(hub.dir.join("keys/passphrase")).expect("a passphrase");
    std::fs::remove_dir_all(&hub.dir).expect("removed");
    let refused = run(&["authority", "restore", backup]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1) && why.contains("log.checkpoints") && why.contains("--accept-loss"),
        "{why}"
    );
    assert!(run(&["authority", "restore", backup, "--nothing-since"]).status.success());
    std::fs::write(hub.dir.join("keys/passphrase"), passphrase).expect("written");
    hub.run();
    assert_eq!(hub.ask(&["log", "show"])["origin"], log["origin"]);
    assert!(!hub.credentials("a").is_empty());
}

/// Shows REQ-CLI-56, REQ-STORE-19, REQ-STORE-40, REQ-STORE-95: the backup of a hub on a server, as the operator's guide has it, is restored after the
/// database was lost; and a store that was brought back is not used before people say what was heard since.
#[test]
fn a_lost_server_is_restored_with_pg_restore() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = PostgresServer::start();
    let lines = on(&server, "site", "hub");
    let mut hub = Hub::start_with(folder.path(), &lines);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let device = runtime.block_on(Device::enrol(&hub, folder.path(), "a"));
    runtime.block_on(device.clone().renew(2));
    let (backup, file) = (folder.path().join("backup"), folder.path().join("store.dump"));
    let told = medlock().args(["authority", "backup"]).arg(&backup).arg("--dir").arg(&hub.dir).output();
    let told = String::from_utf8(told.expect("it starts").stdout).expect("text");
    let command = told.lines().find(|line| line.trim().starts_with("pg_dump ")).expect("how the server is saved");
    let shell = |command: &str| {
        let done = std::process::Command::new("sh").args(["-c", command]).current_dir("/").output().expect("a shell");
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    };
    shell(&command.replace("FILE", &file.display().to_string()));
    runtime.block_on(device.renew(2));
    let later = hub.credentials("a").len();
    hub.kill();
    server.query("DROP SCHEMA site CASCADE").expect("psql answers");
    let restore = format!("pg_restore --clean --if-exists --dbname={:?} {}", server.url(), file.display());
    shell(&restore);
    let dir = hub.dir.clone();
    let run = |what: &[&str]| medlock().args(what).arg("--dir").arg(&dir).output().expect("it starts");
    // Who forgets that the copy does not know what was withdrawn since is told.
    let refused = hub.refused(&lines);
    assert!(refused.contains("authority restore BACKUP --knowledge"), "{refused}");
    let restore_hub = ["authority", "restore", backup.to_str().expect("UTF-8")];
    // The hub that was killed counts as working until its lease lapses; what was signed since is remembered by the signer.
    let said = |what: &[&str]| String::from_utf8_lossy(&run(what).stderr).into_owned();
    wait_until("it says that the log is shorter", || said(&restore_hub).contains("restored from a backup"));
    assert!(hub.refused(&lines).contains("--knowledge"), "a restore that was refused counts");
    let restored = said(&[&restore_hub[..], &["--accept-loss"]].concat());
    assert!(restored.contains(&server.url()) && restored.contains("schema site"), "{restored}");
    hub.run_with(&lines);
    assert_eq!(hub.credentials("a").len(), later - 2, "what was lost is lost");
    let fresh = runtime.block_on(Device::enrol(&hub, folder.path(), "b"));
    runtime.block_on(fresh.renew(1));
    // Over what is there.
    hub.kill();
    shell(&command.replace("FILE", &format!("{}.2", file.display())));
    shell(&restore.replace(".dump", ".dump.2"));
    // Here the hub's own folder has not heard anything either.
    std::fs::remove_dir_all(hub.dir.join("knowledge")).expect("removed");
    let knows_nothing = || {
        let refused = run(&restore_hub);
        String::from_utf8_lossy(&refused.stderr).contains("--keys-unchanged") && refused.status.code() == Some(1)
    };
    wait_until("it says that nobody knows of the keys", knows_nothing);
    assert!(hub.refused(&lines).contains("--knowledge"), "a restore that was refused counts");
    let of_nobody = said(&[&restore_hub[..], &["--keys-unchanged=pumps", "--revocations-unchanged"]].concat());
    assert!(of_nobody.contains("no authority \"pumps\": it has -"), "{of_nobody}");
    let half = run(&[&restore_hub[..], &["--keys-unchanged=-"]].concat());
    let said_half = String::from_utf8_lossy(&half.stderr).into_owned();
    assert!(!half.status.success() && said_half.contains("--revocations-unchanged"), "{said_half}");
    let restored = run(&[&restore_hub[..], &["--keys-unchanged", "--revocations-unchanged"]].concat());
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    hub.run_with(&lines);
    assert_eq!(hub.credentials("b").len(), 2);
    let (at, log) = (format!("http://{}/log", hub.people), hub.ask(&["log", "show"]));
    let whole = Hub::ask_without_folder(&["log", "verify", &at, "--key", log["key"].as_str().expect("a key")]);
    assert!(whole["size"].as_u64() > Some(4), "{whole}");
}

/// Removes the file of a hub's database.
fn forget_database(dir: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(dir.join(format!("authority.sqlite{suffix}")));
    }
}

/// Shows REQ-STORE-70, REQ-STORE-71: whoever tries a backup out on another machine is told which server that is, and takes
/// nothing from the hub that works there; a server that comes back under another name is named at the command.
#[test]
fn a_backup_is_restored_on_the_server_that_is_named_and_under_no_running_hub() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = PostgresServer::shared();
    let schema = server.schema();
    let lines = on(server, &schema, "hub");
    let mut hub = Hub::start_with(folder.path(), &lines);
    let (backup, dump, drill) = (folder.path().join("backup"), folder.path().join("dump"), folder.path().join("drill"));
    let told = medlock().args(["authority", "backup"]).arg(&backup).arg("--dir").arg(&hub.dir).output();
    let told = String::from_utf8(told.expect("it starts").stdout).expect("text");
    assert!(told.contains("The store of Fault Hospital is on a server"), "{told}");
    let restore = |more: &[&str]| {
        let mut command = medlock();
        command.args(["authority", "restore"]).arg(&backup).arg("--dir").arg(&drill);
        let done = command
            .args(["--accept-loss", "--keys-unchanged", "--revocations-unchanged"])
            .args(more)
            .output()
            .expect("it starts");
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let before = hub.ask(&["log", "show"]);
    // The hub has done nothing for longer than the lease of the log lasts.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let (code, said) = restore(&[]);
    let named = said.find(&format!("{}, schema {schema}", server.url()));
    let refused = said.find("another hub works on this store (hub)");
    assert!(code == Some(1) && named.is_some() && named < refused, "{said}");
    assert!(!drill.exists(), "a restore that was refused leaves something");
    assert_eq!(hub.ask(&["log", "show"])["origin"], before["origin"]);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(Device::enrol(&hub, folder.path(), "a"));

    // The server is lost, and another one has its dump.
    let shell = |command: &str| {
        let done = std::process::Command::new("sh").args(["-c", command]).current_dir("/").output().expect("a shell");
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let command = told.lines().find(|line| line.trim().starts_with("pg_dump ")).expect("how the server is saved");
    shell(&command.replace("FILE", &dump.display().to_string()));
    let other = PostgresServer::start();
    shell(&format!("pg_restore --dbname={:?} {}", other.url(), dump.display()));
    let url = other.url();
    assert_eq!(restore(&["--store-schema", "x"]).0, Some(2), "a schema of no server");
    let (code, said) = restore(&["--store", &url, "--store-schema", "elsewhere"]);
    assert!(code == Some(1) && said.contains("schema elsewhere") && said.contains("is empty"), "{said}");
    // The hold of the hub that was running when the dump was made lapses.
    wait_until("it is not restored", || restore(&["--store", &url]).0 == Some(0));
    let passphrase = std::fs::read(hub.dir.join("keys/passphrase")).expect("a passphrase");
    std::fs::write(drill.join("keys/passphrase"), &passphrase).expect("written");
    let asked = medlock().args(["device", "show", "a", "--json", "--dir"]).arg(&drill).output().expect("it starts");
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    assert!(std::fs::read_to_string(drill.join("in-force.json")).expect("settings").contains(&url));
    let production = hub.ask(&["log", "show"]);
    assert_eq!(production["origin"], before["origin"], "the store of the running hub was taken");
    // The same by the configuration that the hub starts with; the hub's own folder knows the other one.
    hub.kill();
    let lines = on(&other, &schema, "hub");
    hub.configure(&lines);
    let config = folder.path().join("medlock.toml");
    let again = || {
        let mut command = medlock();
        command.args(["authority", "restore"]).arg(&backup).arg("--config").arg(&config).arg("--dir").arg(&hub.dir);
        command.args(["--accept-loss", "--keys-unchanged", "--revocations-unchanged"]).output().expect("it starts")
    };
    wait_until("it is not restored", || again().status.success());
    hub.run_with(&lines);
    assert_eq!(hub.credentials("a").len(), 1);
    let third = hub.ask(&["log", "show"])["origin"].as_str().expect("a name").to_owned();
    assert!(third.contains("/3-"), "{third}");
}

/// Shows REQ-STORE-72, REQ-STORE-73, REQ-STORE-74, REQ-STORE-95: a folder whose database is gone makes no other; the second restore of one
/// backup does not roll the first one's log back; one that is refused leaves nothing behind.
#[test]
fn a_backup_that_is_restored_twice_rolls_no_log_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let backup = folder.path().join("backup");
    let backup = backup.to_str().expect("UTF-8");
    hub.ask(&["authority", "backup", backup]);
    let device = runtime.block_on(Device::enrol(&hub, folder.path(), "a"));
    runtime.block_on(device.renew(2));
    let first = hub.ask(&["log", "show"]);
    let (first, size) = (first["origin"].as_str().expect("a name"), first["size"].as_u64().expect("a size"));
    hub.kill();
    forget_database(&hub.dir);
    let dir = hub.dir.clone();
    let run = |dir: &Path, what: &[&str]| {
        let done = medlock().args(what).arg("--dir").arg(dir).output().expect("it starts");
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    for (refused, what) in [
        (hub.refused(""), "up"),
        (run(&dir, &["log", "start-anew", "--accept-loss"]).1, "start-anew"),
        (run(&dir, &["device", "list"]).1, "a command"),
    ] {
        assert!(refused.contains("its store is missing") && refused.contains("restore BACKUP"), "{what}: {refused}");
        assert!(!dir.join("authority.sqlite").exists(), "{what} made another database");
    }
    let restore = ["authority", "restore", backup];
    let anew = ["authority", "restore", backup, "--accept-loss"];
    let (done, why) = run(&dir, &restore);
    assert!(!done && why.contains(&format!("{size} entries")) && why.contains("--accept-loss"), "{why}");
    assert!(!dir.join("authority.sqlite.restored").exists(), "it left the copy");
    assert!(run(&dir, &anew).0);
    hub.run();
    let device = runtime.block_on(Device::enrol(&hub, folder.path(), "b"));
    runtime.block_on(device.renew(1));
    let second = hub.ask(&["log", "show"])["origin"].as_str().expect("a name").to_owned();
    assert!(second.starts_with(&format!("{first}/2-")), "{second}");
    let signed = std::fs::read_to_string(dir.join("keys/log.checkpoints")).expect("checkpoints");
    assert!(signed.contains(&format!("{first}\n{size}\n")) && signed.contains(&second), "{signed}");

    // Lost again: also where only the newer name is remembered, and whatever people say.
    hub.kill();
    for checkpoints in [signed.clone(), signed[signed.find(&second).expect("its name")..].to_owned()] {
        std::fs::write(dir.join("keys/log.checkpoints"), &checkpoints).expect("written");
        forget_database(&dir);
        for more in [&[][..], &["--nothing-since"]] {
            let (done, why) = run(&dir, &[&restore[..], more].concat());
            assert!(!done && why.contains(&second) && why.contains("--accept-loss"), "{why}");
        }
        std::fs::copy(Path::new(backup).join("authority.sqlite"), dir.join("authority.sqlite")).expect("copied");
        let refused = hub.refused("");
        assert!(refused.contains(&second) && refused.contains("--accept-loss"), "{refused}");
    }
    assert!(run(&dir, &anew).0);
    hub.run();
    let third = hub.ask(&["log", "show"])["origin"].as_str().expect("a name").to_owned();
    assert!(third.starts_with(&format!("{first}/3-")), "{third}");

    // On a new disk, what the backup's store knows of the former log is remembered.
    let new = folder.path().join("new");
    assert!(!run(&new, &anew).0 && !new.exists(), "a restore that was refused leaves something");
    let (done, why) = run(&new, &[&anew[..], &["--keys-unchanged"]].concat());
    assert!(!done && why.contains("status.cose") && !why.contains("site-list.cose") && !new.exists(), "{why}");
    assert!(run(&new, &[&anew[..], &["--keys-unchanged", "--revocations-unchanged"]].concat()).0);
    let signed = std::fs::read_to_string(new.join("keys/log.checkpoints")).expect("checkpoints");
    assert!(signed.starts_with(&format!("{first}\n")), "{signed}");
}

/// Shows REQ-STORE-187: the backup of another site that is called the same is refused, and changes nothing, in a file and on a server.
#[test]
fn the_backup_of_another_site_of_the_same_name_is_refused() {
    let server = PostgresServer::shared();
    let on_server = || on(server, &server.schema(), "hub");
    refuses_another(["", ""]);
    refuses_another([&on_server(), &on_server()]);
    refuses_another(["", &on_server()]);
}

fn refuses_another(lines: [&str; 2]) {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let [mut one, mut other] = [0, 1].map(|which: usize| Hub::start_with(folders[which].path(), lines[which]));
    let backup = folders[0].path().join("backup");
    one.ask(&["authority", "backup", backup.to_str().expect("UTF-8")]);
    one.kill();
    other.kill();
    let bytes = || {
        ["authority.sqlite", "in-force.json", "keys/log.checkpoints"]
            .map(|file| std::fs::read(other.dir.join(file)).ok())
    };
    let before = bytes();
    for more in [&["--accept-loss"][..], &["--nothing-since"]] {
        let mut command = medlock();
        command.args(["authority", "restore"]).arg(&backup).args(["--keys-unchanged", "--revocations-unchanged"]);
        let output = command.args(more).arg("--dir").arg(&other.dir).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("another authority called Fault Hospital"), "{said}");
        assert!(bytes() == before, "it was changed");
    }
}

/// The keys of a hub, each with how it stands.
fn key_states(hub: &Hub) -> Vec<String> {
    let keys = hub.ask(&["authority", "keys"]);
    let text = |key: &serde_json::Value, what: &str| key[what].as_str().expect("text").to_owned();
    let keys = keys.as_array().expect("keys").iter();
    keys.map(|key| format!("{} {}", text(key, "label"), text(key, "state"))).collect()
}

/// The site list in a folder of knowledge: version and bytes.
fn site_list(folder: &Path) -> (u64, Vec<u8>) {
    let bytes = std::fs::read(folder.join("knowledge/site-list.cose")).expect("a site list");
    let version = medlock_trust::list::List::danger_open(&bytes).expect("a list").heading().version;
    (version, bytes)
}

/// Waits until this holds, a minute at most.
pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    wait_for(60, what, holds);
}

/// Waits until this holds, so many seconds at most.
pub(crate) fn wait_for(seconds: u64, what: &str, holds: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed().as_secs() < seconds, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Shows REQ-KEYS-36, REQ-KEYS-37 and REQ-KEYS-38: after the database was lost a hub goes on behind what it has heard, and a
/// key that was withdrawn as stolen since the backup never issues again, also where nothing but a device remembers that.
#[test]
fn a_restored_hub_goes_on_with_the_keys_of_the_newest_site_list() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let _ct = Sidecar::enrol(&hub, folder.path(), "ct1", "modality", None);
    let ct = folder.path().join("ct1");
    let device = runtime.block_on(Device::enrol(&hub, folder.path(), "a"));
    let backup = folder.path().join("backup");
    let backup = backup.to_str().expect("UTF-8");
    hub.ask(&["authority", "backup", backup]);
    hub.ask(&["authority", "compromised", "issuing-1"]);
    hub.ask(&["authority", "rotate", "issuing"]);
    let later = ["issuing compromised", "issuing-2 former", "issuing-3 current", "root current"];
    assert_eq!(key_states(&hub), later);
    let held = site_list(&hub.dir);
    wait_until("the sidecar hears of the keys", || site_list(&ct) == held);

    // The database is lost, the rest of the folder is there.
    hub.kill();
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(hub.dir.join(format!("authority.sqlite{suffix}")));
    }
    let dir = hub.dir.clone();
    let run = |what: &[&str]| medlock().args(what).arg("--dir").arg(&dir).output().expect("it starts");
    assert!(run(&["authority", "restore", backup, "--accept-loss"]).status.success());
    hub.run();
    assert_eq!(key_states(&hub), later);
    let alarms = hub.ask(&["authority", "alarms"]).to_string();
    assert!(alarms.contains("store-was-behind") && alarms.contains("issuing is compromised"), "{alarms}");
    assert!(!alarms.contains("not-published"), "{alarms}");
    assert!(!hub.dir.join("keys/issuing.key").exists(), "the stolen key came back from the backup");
    assert_eq!(site_list(&hub.dir), held, "it is the root's newest");
    runtime.block_on(device.renew(1));
    hub.ask(&["authority", "rotate", "issuing"]);
    let held = site_list(&hub.dir);
    wait_until("the sidecar hears of a rotation behind the restore", || site_list(&ct) == held);

    // Everything is gone but the backup and what a sidecar has heard.
    hub.kill();
    let passphrase = std::fs::read(hub.dir.join("keys/passphrase")).expect("a passphrase");
    std::fs::remove_dir_all(&hub.dir).expect("removed");
    let restore = ["authority", "restore", backup, "--accept-loss"];
    let refused = run(&restore);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && why.contains("--knowledge"), "{why}");
    assert!(!hub.dir.join("authority.sqlite").exists(), "it was restored all the same");
    let restored = run(&[&restore[..], &["--knowledge", ct.to_str().expect("UTF-8")]].concat());
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let said = String::from_utf8_lossy(&restored.stdout).into_owned();
    assert!(said.contains(&format!("site list {} of 20", held.0)) && said.contains("knowledge/status.cose"), "{said}");
    std::fs::write(hub.dir.join("keys/passphrase"), passphrase).expect("written");
    hub.run();
    // The keys behind the stolen one were not in the backup: a new one issues, and no label has two keys.
    assert_eq!(key_states(&hub), ["issuing compromised", "issuing-5 current", "root current"]);
    let alarms = hub.ask(&["authority", "alarms"]).to_string();
    assert!(!alarms.contains("not-published"), "{alarms}");
    assert!(!hub.dir.join("keys/issuing.key").exists(), "the signer was not told");
    let next = site_list(&hub.dir);
    assert!(next.0 > held.0, "{} is not behind {}", next.0, held.0);
    wait_until("the sidecar takes the new list", || site_list(&ct) == next);
}
