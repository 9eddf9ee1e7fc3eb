//! A hub that was brought back from a backup, as processes: what of it, and what it is told by those who went on.

use crate::process::{Hub, Sidecar, medlock};
use crate::stores::wait_until;
use medlock_trust::status::{State, StatusList};
use std::path::Path;

/// Shows REQ-STORE-90, REQ-STORE-94, REQ-STORE-117, REQ-STORE-122, REQ-STORE-124: of a hub with several authorities all are restored or none, the refusal names the
/// one that is not, and a maker says what it waits for; where one fails at its very end, what is back and what is not is said.
#[test]
fn all_authorities_of_a_hub_are_restored_or_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    hub.kill();
    hub.run_with("\n[authority.pumps]\norganization = \"Pump Works\"\nkind = \"maker\"\n");
    let backup = folder.path().join("backup");
    let backup = backup.to_str().expect("UTF-8");
    for (place, why) in
        [(folder.path().join("unmounted/b"), "is not there"), (hub.dir.join("b"), "the hub's own folder")]
    {
        let asked =
            medlock().args(["authority", "backup", "--dir"]).arg(&hub.dir).arg(&place).output().expect("it starts");
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        assert!(!asked.status.success() && said.contains(why) && !place.exists(), "{said}");
    }
    let made = hub.ask(&["authority", "backup", backup]);
    let named = |authority: &str, dir: &Path| {
        serde_json::json!({
            "authority": authority, "file": dir.join("keys/passphrase"), "is_there": true, "beside_the_keys": true,
        })
    };
    let passphrases = serde_json::json!([named("-", &hub.dir), named("pumps", &hub.dir.join("authorities/pumps"))]);
    assert_eq!(made["passphrases"], passphrases, "{made}");
    hub.ask(&["device", "register", "later", "--role", "modality"]);
    let pumps = hub.dir.join("authorities/pumps");
    let run = |what: &[&str], dir: &Path| {
        let done = medlock().args(what).arg("--dir").arg(dir).output().expect("it starts");
        let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        (done.status.success(), said)
    };
    let (done, said) = run(&["authority", "rotate", "issuing"], &pumps);
    assert!(done, "{said}");
    hub.kill();
    let (done, said) = run(&["authority", "restore", backup], &hub.dir);
    assert!(!done && said.contains("pumps: ") && said.contains("Nothing was changed"), "{said}");
    assert!(said.contains("restore BACKUP --accept-loss"), "{said}");
    let (_, listed) = run(&["device", "list"], &hub.dir);
    assert!(listed.contains("later"), "the site was rolled back: {listed}");
    for dir in [&hub.dir, &pumps] {
        for entry in std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").file_name()) {
            let name = entry.to_string_lossy().into_owned();
            assert!(!name.contains(".before-") && !name.contains(".restored"), "it left {name}");
        }
    }
    let (keys, aside) = (pumps.join("keys"), pumps.join("keys-aside"));
    std::fs::rename(&keys, &aside).expect("a folder");
    std::fs::write(&keys, "not a folder").expect("a file");
    let (done, said) = run(&["authority", "restore", backup, "--accept-loss"], &hub.dir);
    assert!(!done && said.contains("the site: store and keys are back; its log goes on as"), "{said}");
    assert!(said.contains("Not brought back: pumps. Start no hub here yet"), "{said}");
    std::fs::remove_file(&keys).expect("removed");
    std::fs::rename(&aside, &keys).expect("a folder");
    let (done, said) = run(&["authority", "restore", backup, "--accept-loss"], &hub.dir);
    assert!(done && said.contains("It gives no vouchers") && said.contains("confirm-restore --dir"), "{said}");
    assert!(said.contains("the passphrase of the site, ") && said.contains("the passphrase of pumps, "), "{said}");
    let (_, listed) = run(&["device", "list"], &hub.dir);
    assert!(!listed.contains("later"), "{listed}");
    let (done, said) = run(&["authority", "confirm-restore"], &pumps);
    assert!(done && said.contains("gives vouchers and signs revocation lists again"), "{said}");
}

/// How many compromises the status list in a folder of knowledge tells.
fn compromises(folder: &Path) -> usize {
    let Ok(bytes) = std::fs::read(folder.join("knowledge/status.cose")) else { return 0 };
    let list = StatusList::danger_open(&bytes).expect("a status list");
    list.records().filter(|record| record.state == State::Compromised).count()
}

/// Shows REQ-STORE-96, REQ-STORE-116, REQ-STORE-133: the disk of a hub is gone, and its backup is from before a theft. A sidecar that heard of it hears of the next
/// one too, and tells the hub; nobody does anything.
#[test]
fn a_sidecar_tells_a_restored_hub_of_the_theft_that_it_forgot() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    let sidecar = Sidecar::enrol(&hub, folder.path(), "ct1", "modality", None);
    for name in ["stolen", "next"] {
        hub.ask(&["device", "register", name, "--role", "modality"]);
    }
    let backup = folder.path().join("backup");
    hub.ask(&["authority", "backup", backup.to_str().expect("UTF-8")]);
    hub.ask(&["device", "revoke", "stolen", "--reason", "stolen", "--why", "test"]);
    wait_until("the sidecar did not hear of the theft", || compromises(&folder.path().join("ct1")) == 1);
    let passphrase = std::fs::read(hub.dir.join("keys/passphrase")).expect("a passphrase");
    hub.kill();
    std::fs::remove_dir_all(&hub.dir).expect("the disk is gone");
    let mut command = medlock();
    command.args(["authority", "restore", "--nothing-since", "--dir"]).arg(&hub.dir).arg(&backup);
    let refused = command.arg("--knowledge").arg(folder.path().join("ct1")).output().expect("it starts");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("--nothing-since is not true"), "{said}");
    // What is none of it, or of another site, is said before what is missing.
    std::fs::create_dir(folder.path().join("other")).expect("made");
    let other = Hub::start(&folder.path().join("other"));
    let stranger = other.dir.join("knowledge");
    for wrong in [folder.path().join("medlock.toml"), stranger] {
        let mut command = medlock();
        command.args(["authority", "restore", "--accept-loss", "--dir"]).arg(&hub.dir).arg(&backup);
        let refused = command.arg("--knowledge").arg(&wrong).output().expect("it starts");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        let named = format!("--knowledge {}", wrong.display());
        assert!(!refused.status.success() && said.contains(&named) && said.contains("Nothing was changed"), "{said}");
        assert!(!hub.dir.exists(), "a folder was left");
    }
    let mut command = medlock();
    command.args(["authority", "restore", "--accept-loss", "--keys-unchanged", "--revocations-unchanged", "--dir"]);
    let done = command.arg(&hub.dir).arg(&backup).output().expect("it starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(String::from_utf8_lossy(&done.stdout).contains("keys/passphrase: IT IS NOT THERE"), "{done:?}");
    std::fs::write(hub.dir.join("keys/passphrase"), passphrase).expect("written");
    hub.run();
    let alarms = || hub.ask(&["authority", "alarms"]).to_string();
    hub.ask(&["device", "revoke", "next", "--reason", "stolen", "--why", "test"]);
    wait_until("the hub was not told", || alarms().contains("store-was-behind"));
    wait_until("the sidecar has not heard of both", || compromises(&folder.path().join("ct1")) == 2);
    assert_eq!(hub.ask(&["device", "show", "stolen"])["state"], "revoked");
    wait_until("the list before is kept on", || {
        std::fs::read(folder.path().join("ct1/knowledge/status-before.cose")).is_ok_and(|file| file.is_empty())
    });
    drop(sidecar);
}

/// Shows REQ-STORE-167: a backup is not brought back over another authority, nor a folder over itself.
#[test]
fn a_backup_is_not_brought_back_over_another_authority() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    let (backup, maker) = (folder.path().join("backup"), folder.path().join("maker"));
    hub.ask(&["authority", "backup", backup.to_str().expect("UTF-8")]);
    hub.kill();
    let made = medlock().args(["authority", "create-maker", "Pump Works", "--dir"]).arg(&maker).output();
    assert!(made.expect("it starts").status.success());
    let store = || std::fs::read(maker.join("authority.sqlite")).expect("a store");
    let before = store();
    for (from, to, why) in [(&backup, &maker, "has Pump Works: name another folder"), (&hub.dir, &hub.dir, "itself")] {
        let mut command = medlock();
        command.args(["authority", "restore", "--accept-loss", "--keys-unchanged", "--revocations-unchanged", "--dir"]);
        let refused = command.arg(to).arg(from).output().expect("it starts");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(why) && said.contains("Nothing was changed"), "{said}");
    }
    assert_eq!(store(), before);
}
