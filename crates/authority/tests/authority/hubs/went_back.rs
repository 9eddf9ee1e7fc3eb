//! Stores that went back under hubs, that were begun anew, or are away.

use super::{alarms_of, approve_all, ask, claim, hub_at, register, two_on};
use crate::fixture::{config, issued, postgres};
use medlock_authority::admin::{Asker, Reason, Request, Response};
use medlock_authority::provision::{BirthProfileConfig, Row};
use medlock_authority::restoring::Since;
use medlock_authority::signer::InProcess;
use medlock_authority::store::{Journal as _, Log as _, Published, ServerConfig, SqlStore};
use medlock_authority::voucher::{VoucherForm, VoucherOrder};
use medlock_authority::{Authority, AuthorityConfig, Error};
use medlock_node::clock::Clock;
use medlock_node::provider::SigningKey;
use medlock_testkit::PostgresServer;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Shows REQ-STORE-68: a store that hubs use is neither brought back nor its log begun anew, also while they do nothing; one
/// that died counts no longer than its hold lasts.
#[test]
fn nothing_is_restored_under_hubs_that_work() {
    let dir = tempfile::tempdir().unwrap();
    let server = postgres();
    let ([one, other], store) = two_on(&server, dir.path());
    let drill = AuthorityConfig { store: Some(server.clone()), ..config(&dir.path().join("drill")) };
    std::fs::create_dir_all(&drill.dir).unwrap();
    let (restore, anew) = (
        || Authority::begin_restore_on_server(&drill).map(drop),
        || Authority::start_log_anew(&drill, &Clock::system()).map(drop),
    );
    // Longer than the lease of the log, which one that does nothing does not take again.
    std::thread::sleep(Duration::from_secs(4));
    for refused in [restore(), anew()] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("hub-1, hub-2") && refused.contains("--store"), "{refused}");
    }
    let origin = store.setting("log-origin").unwrap();
    drop(other);
    assert!(anew().unwrap_err().to_string().contains("(hub-1)"));
    drop(one);
    // One that died holds it for a while.
    let sql = format!(
        "INSERT INTO {}.hold (name, holder, until) VALUES ('hub ghost', '\\x00', \
         CAST(extract(epoch FROM clock_timestamp()) AS BIGINT) + 5)",
        server.schema
    );
    PostgresServer::shared().query(&sql).unwrap();
    assert!(anew().unwrap_err().to_string().contains("(ghost)"));
    assert_eq!(store.setting("log-origin").unwrap(), origin, "it was begun anew");
    std::thread::sleep(Duration::from_secs(6));
    Authority::begin_restore_on_server(&drill).unwrap().finish(Since::default()).unwrap();
    anew().unwrap();
    assert_ne!(store.setting("log-origin").unwrap(), origin);
}

/// Shows REQ-STORE-69: a hub whose log was begun anew under it says so once, is not ready, raises an alarm, and keeps nobody
/// from the new one.
#[test]
fn a_hub_whose_log_was_begun_anew_under_it_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let server = postgres();
    let ([one, other], store) = two_on(&server, dir.path());
    drop(other);
    one.health().unwrap();
    let origin = store.setting("log-origin").unwrap().unwrap();
    store.start_log_anew(&format!("{origin}/2-00000001")).unwrap();
    let said = one.health().unwrap_err().to_string();
    assert!(said.contains("restart this hub") && said.contains("/2-00000001"), "{said}");
    for _ in 0..3 {
        one.tick().unwrap();
    }
    let told = alarms_of(&one, "log-left-behind");
    assert!(told.len() == 1 && told[0].0 == 1 && told[0].1.contains("hub-1"), "{told:?}");
    register(&one, "ct-1");
    let enrol = claim(&one, "ct-1");
    enrol(&one).unwrap();
    approve_all(&one);
    let begun = Instant::now();
    let refused = enrol(&one).unwrap_err().to_string();
    assert!(refused.contains("restart this hub") && begun.elapsed() < Duration::from_secs(8), "{refused}");
    // It goes on asking, and another begins all the same.
    let third = hub_at(&server, dir.path(), "hub-3", &Clock::system()).unwrap();
    issued(enrol(&third).unwrap());
}

/// What saves the store in a file of this name in a folder, and what brings it back.
pub(crate) fn dumps<'d>(server: &'d ServerConfig, dir: &'d Path) -> (impl Fn(&str) + 'd, impl Fn(&str) + 'd) {
    fn shell(command: &str) {
        let done = std::process::Command::new("sh").args(["-c", command]).current_dir("/").output().unwrap();
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let (url, schema) = (PostgresServer::shared().url(), &server.schema);
    let into = url.clone();
    (
        move |name: &str| {
            let file = dir.join(name);
            shell(&format!("pg_dump --format=custom --schema={schema} --file={} {url:?}", file.display()));
        },
        move |name: &str| {
            let file = dir.join(name);
            let how = "--clean --if-exists --single-transaction";
            shell(&format!("pg_restore {how} --dbname={into:?} {}", file.display()));
        },
    )
}

/// Shows REQ-STORE-166, REQ-STORE-179: a maker whose store went back says nothing of who owns what from the first moment, takes no
/// confirmation, and goes on when the newer one is there again.
#[test]
fn a_maker_whose_store_went_back_gives_no_vouchers() {
    let (dir, server) = (tempfile::tempdir().unwrap(), postgres());
    let config =
        AuthorityConfig { store: Some(server.clone()), ..AuthorityConfig::maker(dir.path().join("hub"), "Pump Works") };
    let signer = Arc::new(InProcess::open(&dir.path().join("keys")).unwrap());
    let maker = Authority::open(&config, Clock::system(), signer).unwrap();
    let (save, bring_back) = dumps(&server, dir.path());
    let provision = |serial: &str| {
        let profile = BirthProfileConfig { roles: vec!["actuator".into()], ..BirthProfileConfig::default() };
        let material = data_encoding::BASE64.encode(SigningKey::generate().spki());
        maker.provision_one(profile, Row { serial: Some(serial.into()), material, ..Row::default() }).unwrap();
    };
    let sell = |serial: &str| {
        let (domain, form) = ("ab".repeat(32), VoucherForm::Cose);
        maker.issue_voucher(&VoucherOrder {
            domain,
            days: Some(30),
            form,
            serial: serial.into(),
            ..VoucherOrder::default()
        })
    };
    for serial in ["P-1", "P-2"] {
        provision(serial);
    }
    sell("P-1").unwrap();
    save("before");
    sell("P-2").unwrap();
    provision("P-3");
    maker.tick().unwrap();
    save("after");
    bring_back("before");
    // The tables are others: a connection that held them is made anew. Nobody waits for the next tick.
    let says = |what: &dyn Fn() -> Option<Error>| {
        let said = (0..5).map(|_| what().map_or("done".to_owned(), |error| error.to_string()));
        said.inspect(|said| assert_ne!(said, "done")).find(|said| said.contains("Bring the newer store back")).unwrap()
    };
    says(&|| sell("P-2").err());
    says(&|| maker.crl().err());
    says(&|| maker.administer(&Asker::program(), Request::ConfirmRestore).err());
    bring_back("after");
    let again = (0..5).map(|_| sell("P-2")).find(|sold| {
        let said = sold.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert!(!said.contains("confirm-restore"), "{said}");
        sold.is_ok()
    });
    again.unwrap().unwrap();
    maker.crl().unwrap();
}

/// Shows REQ-STORE-191: a maker's store that lacks what was sold and nothing of the log, because a server took over without the last
/// that the one before it had got, is noticed by the first who asks, over a restart too; until the newer store is there again, or a person
/// has entered what it lacks.
#[test]
fn a_maker_whose_store_lost_a_sale_and_no_birth_is_in_doubt() {
    let (dir, server) = (tempfile::tempdir().unwrap(), postgres());
    let open = |name: &str| {
        let (keys, maker) = (dir.path().join("keys"), AuthorityConfig::maker(dir.path().join(name), "Pump Works"));
        let config = AuthorityConfig { store: Some(server.clone()), hub_name: name.into(), ..maker };
        Authority::open(&config, Clock::system(), Arc::new(InProcess::open(&keys).unwrap())).unwrap()
    };
    let (one, other) = (open("hub-1"), open("hub-2"));
    let (save, bring_back) = dumps(&server, dir.path());
    for serial in ["P-1", "P-2"] {
        let profile = BirthProfileConfig { roles: vec!["actuator".into()], ..BirthProfileConfig::default() };
        let material = data_encoding::BASE64.encode(SigningKey::generate().spki());
        one.provision_one(profile, Row { serial: Some(serial.into()), material, ..Row::default() }).unwrap();
    }
    let sell = |maker: &Authority, serial: &str| {
        let (serial, domain, form) = (serial.into(), "ab".repeat(32), VoucherForm::Cose);
        maker.issue_voucher(&VoucherOrder { domain, days: Some(30), form, serial, ..VoucherOrder::default() })
    };
    sell(&one, "P-1").unwrap();
    let doubts = |maker: &Authority| {
        // The tables are others: a connection that held them is made anew.
        let _ = (maker.crl(), maker.crl());
        let refused = sell(maker, "P-2").unwrap_err().to_string();
        assert!(refused.contains("confirm-restore"), "{refused}");
    };
    // While no hub runs.
    for maker in [&one, &other] {
        maker.tick().unwrap();
    }
    drop((one, other));
    let back = format!("UPDATE {}.number SET last = 0 WHERE series = 'acts'", server.schema);
    PostgresServer::shared().query(&back).unwrap();
    let one = open("hub-1");
    doubts(&one);
    assert!(one.crl().is_err());
    ask(&one, Request::ConfirmRestore);
    // Who comes later has lost the same, which people have seen to.
    let other = open("hub-2");
    for maker in [&one, &other] {
        maker.tick().unwrap();
        sell(maker, "P-1").unwrap();
    }
    one.crl().unwrap();
    save("before");
    // No tick comes in between.
    sell(&one, "P-2").unwrap();
    save("after");
    bring_back("before");
    doubts(&one);
    doubts(&other);
    let told = alarms_of(&one, "maker-restored");
    assert!(told.len() == 1 && told[0].1.contains("Bring the newer store back"), "{told:?}");
    bring_back("after");
    let _ = (one.crl(), other.crl());
    for maker in [&one, &other] {
        sell(maker, "P-2").unwrap();
    }
}

/// Shows REQ-STORE-166: a backup that is brought back under a hub makes it give nothing out until the newer store is there again, and
/// what was revoked since stays revoked.
#[test]
fn a_store_that_went_back_under_a_hub_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let server = postgres();
    let ([one, other], _) = two_on(&server, dir.path());
    let (save, bring_back) = dumps(&server, dir.path());
    let enrol_at = |hub: &Authority, name: &str| {
        register(hub, name);
        let enrol = claim(hub, name);
        enrol(hub).unwrap();
        approve_all(hub);
        enrol(hub)
    };
    for name in ["ct-0", "ct-1", "ct-2", "ct-4"] {
        issued(enrol_at(&one, name).unwrap());
    }
    save("before");
    issued(enrol_at(&one, "ct-5").unwrap());
    ask(&one, Request::Revoke { device: "ct-1".into(), reason: Reason::Stolen, why: "test".into() });
    ask(&one, Request::Suspend { device: "ct-2".into(), why: "test".into() });
    ask(&one, Request::Revoke { device: "ct-4".into(), reason: Reason::Retired, why: "test".into() });
    drop(one);
    other.health().unwrap();
    other.hear().unwrap();
    save("after");

    bring_back("before");
    let said = other.health().unwrap_err().to_string();
    assert!(said.contains("the store has fewer") && said.contains("Bring the newer store back"), "{said}");
    // Before anything else: what is said now would be told in a list without what was told before.
    ask(&other, Request::Suspend { device: "ct-0".into(), why: "test".into() });
    for _ in 0..3 {
        // The log does not go on, all else does.
        let _ = other.tick();
    }
    let refused = enrol_at(&other, "ct-3").unwrap_err().to_string();
    assert!(refused.contains("the store has"), "{refused}");
    let told = alarms_of(&other, "log-left-behind");
    assert!(told.len() == 1 && told[0].0 == 1 && told[0].1.contains("hub-2"), "{told:?}");
    let told = alarms_of(&other, "store-was-behind");
    assert!(told.iter().any(|(_, text)| text.contains("ct-2")), "{told:?}");
    for (device, state) in [("ct-0", "suspended"), ("ct-1", "revoked"), ("ct-2", "suspended"), ("ct-4", "retired")] {
        let Response::Device(view) = ask(&other, Request::Show { device: device.into() }) else { panic!() };
        assert_eq!(view.state, state, "what was told of {device} is remembered");
    }

    // Started again it knows still what it has seen, though another signed it.
    drop(other);
    let open = || hub_at(&server, dir.path(), "hub-2", &Clock::system());
    std::fs::remove_file(dir.path().join("keys/log.checkpoints")).unwrap();
    // As a standby that lacked the newest: these are not other tables.
    let as_before = || {
        let store = SqlStore::postgres(server.address().unwrap()).unwrap();
        let (place, held) = (store.place().unwrap().unwrap(), store.published("place").unwrap().unwrap());
        let bytes = place.into_bytes();
        store.publish("place", Published { version: held.version + 1, at: Clock::system().now(), bytes }).unwrap();
    };
    as_before();
    let refused = open().unwrap_err().to_string();
    assert!(refused.contains("the store has"), "{refused}");

    bring_back("after");
    as_before();
    let other = open().unwrap();
    other.health().unwrap();
    other.tick().unwrap();
    issued(enrol_at(&other, "ct-3").unwrap());
}

/// Shows REQ-STORE-168: a start that the server does not answer takes nothing of the room that is kept on this disk.
#[test]
fn a_server_that_is_away_uses_no_room_here() {
    let dir = tempfile::tempdir().unwrap();
    let away = ServerConfig { url: "postgresql://medlock@127.0.0.1:1/medlock".into(), ..postgres() };
    let config = AuthorityConfig { store: Some(away), ..config(&dir.path().join("hub")) };
    std::fs::create_dir_all(&config.dir).unwrap();
    let reserve = config.dir.join("reserve");
    std::fs::write(&reserve, [0; 4096]).unwrap();
    let signer = Arc::new(InProcess::open(&dir.path().join("keys")).unwrap());
    let refused = Authority::open(&config, Clock::system(), signer).unwrap_err().to_string();
    assert!(refused.contains("127.0.0.1") && reserve.exists(), "{refused}");
}
