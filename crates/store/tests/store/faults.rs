//! Disks that are full, servers that go away, sessions that are ended.

use crate::{SCHEMA, add, names, server, sqlite};
use medlock_store::{Database, Error};
use medlock_testkit::PostgresServer;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What askers were told.
#[derive(Default)]
struct Told {
    done: Mutex<Vec<String>>,
    not_done: Mutex<Vec<String>>,
    unknown: Mutex<Vec<String>>,
}

/// Writes from several threads while `disturb` runs, and keeps what was told.
fn told_while(database: &Arc<Database>, disturb: impl FnOnce()) -> Told {
    let (told, stop) = (Arc::new(Told::default()), Arc::new(AtomicBool::new(false)));
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let (database, told, stop) = (database.clone(), told.clone(), stop.clone());
            std::thread::spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let name = format!("{thread} {number}");
                    let mine = name.clone();
                    let list = match database.write("add", move |sql| add(sql, &mine)) {
                        Ok(()) => &told.done,
                        Err(Error::Unknown { .. }) => &told.unknown,
                        Err(Error::Away { .. } | Error::Failed { .. }) => {
                            std::thread::sleep(Duration::from_millis(1));
                            &told.not_done
                        }
                        Err(other) => panic!("{other}"),
                    };
                    list.lock().unwrap().push(name);
                }
            })
        })
        .collect();
    disturb();
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    Arc::into_inner(told).unwrap()
}

/// What was told is true.
fn check(database: &Database, told: Told) {
    let all = names(database);
    let there: HashSet<String> = all.iter().cloned().collect();
    assert_eq!(all.len(), there.len());
    let done = told.done.into_inner().unwrap();
    for name in &done {
        assert!(there.contains(name), "{name} was acknowledged and is lost");
    }
    for name in told.not_done.into_inner().unwrap() {
        assert!(!there.contains(&name), "{name} was refused and is there");
    }
    let unknown = told.unknown.into_inner().unwrap();
    assert!(unknown.len() < done.len(), "{} of {} are unknown", unknown.len(), done.len());
}

fn soon(database: &Database, what: &str) -> Duration {
    let begun = Instant::now();
    loop {
        let name = format!("{what} {:?}", begun.elapsed());
        match database.write("add", move |sql| add(sql, &name)) {
            Ok(()) => return begun.elapsed(),
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(20), "{error}"),
        }
    }
}

/// Shows REQ-STORE-03.
#[test]
fn a_server_that_crashes_and_comes_back_loses_nothing_that_was_acknowledged() {
    let mut postgres = PostgresServer::start();
    let database = Arc::new(Database::postgres(server(&postgres), &SCHEMA).unwrap());
    let told = told_while(&database, || {
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(300));
            postgres.crash();
            let error = database.write("add", |sql| add(sql, "away")).unwrap_err();
            assert!(matches!(error, Error::Away { .. }), "{error}");
            assert!(database.read("read", |sql| sql.execute("SELECT 1", &[])).is_err());
            postgres.begin();
            soon(&database, "back");
        }
    });
    assert!(!told.not_done.lock().unwrap().is_empty());
    check(&database, told);
}

/// Shows REQ-STORE-03.
#[test]
fn sessions_that_an_administrator_ends_are_made_anew() {
    let postgres = PostgresServer::start();
    let database = Arc::new(Database::postgres(server(&postgres), &SCHEMA).unwrap());
    let told = told_while(&database, || {
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(50));
            let end =
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'medlock'";
            assert!(postgres.query(end).is_some());
        }
    });
    check(&database, told);
}

/// Shows REQ-STORE-04: a program that stands still in the midst of a transaction does not stop the others for long.
#[test]
fn a_turn_that_is_never_given_back_ends_by_itself() {
    let postgres = PostgresServer::shared();
    let server = server(postgres);
    let [still, other] = [(); 2].map(|()| Database::postgres(server.clone(), &SCHEMA).unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut seconds = 8;
        still.write("stand still", move |sql| {
            add(sql, "still")?;
            let _ = tell.send(());
            std::thread::sleep(Duration::from_secs(std::mem::take(&mut seconds)));
            Ok(())
        })
    });
    told.recv().unwrap();
    assert!(soon(&other, "meanwhile") < Duration::from_secs(7), "the other waited for it");
    // It finds its session ended, and does its work again on a new one.
    thread.join().unwrap().unwrap();
    assert_eq!(names(&other).iter().filter(|name| *name == "still").count(), 1);
}

/// Shows REQ-STORE-05.
#[test]
fn a_full_disk_refuses_and_loses_nothing_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let database = Arc::new(sqlite(dir.path()));
    let room = |pages: u32| {
        // The limit holds for the connection that writes.
        database.write("limit", move |sql| {
            sql.each("limit", &format!("PRAGMA max_page_count = {pages}"), &[], &mut |_| Ok(true))
        })
    };
    room(8).unwrap();
    let told = told_while(&database, || std::thread::sleep(Duration::from_millis(1_500)));
    let refused = told.not_done.lock().unwrap().len();
    assert!(refused > 0, "the disk was never full");
    let error = database
        .write("add", |sql| sql.execute("INSERT INTO thing (name, bytes) VALUES ('x', zeroblob(500000))", &[]))
        .unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    room(1_000_000).unwrap();
    soon(&database, "room");
    check(&database, told);
    drop(database);
    assert!(names(&sqlite(dir.path())).len() > 1);
}
