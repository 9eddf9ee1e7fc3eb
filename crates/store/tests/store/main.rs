//! What both databases must do, and what faults may do to them.

mod faults;
mod versions;
mod waiting;

use medlock_store::postgres::Server;
use medlock_store::{Database, Error, Fault, Schema, Sql, Step, all, first, values};
use medlock_testkit::PostgresServer;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(crate) const SCHEMA: Schema = Schema {
    application: "test",
    id: 0x7465_7374,
    oldest: 2,
    steps: &[
        Step::Both("CREATE TABLE thing (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, bytes BLOB) STRICT"),
        Step::Code(|sql| sql.execute("INSERT INTO thing (name) VALUES (?1)", values!["first"]).map(drop)),
    ],
};

pub(crate) fn server(of: &PostgresServer) -> Server {
    Server::new(&of.url(), &of.schema(), None, None).unwrap()
}

pub(crate) fn sqlite(dir: &Path) -> Database {
    Database::sqlite(&dir.join("test.sqlite"), &SCHEMA).unwrap()
}

pub(crate) fn add(sql: &mut dyn Sql, name: &str) -> Result<(), Fault> {
    sql.execute("INSERT INTO thing (name) VALUES (?1)", values![name]).map(drop).map_err(Fault::taken("thing"))
}

pub(crate) fn names(database: &Database) -> Vec<String> {
    let ask = |sql: &mut dyn Sql| {
        all(sql, "thing", "SELECT name FROM thing ORDER BY number", &[], |row| Ok(row.text("name")?.to_owned()))
    };
    database.read("list", ask).unwrap()
}

/// On both.
fn each(check: impl Fn(Database)) {
    let dir = tempfile::tempdir().unwrap();
    check(sqlite(dir.path()));
    check(Database::postgres(server(PostgresServer::shared()), &SCHEMA).unwrap());
}

#[test]
fn values_come_back_as_they_were_and_others_are_damage() {
    each(|database| {
        database
            .write("add", |sql| {
                sql.execute("INSERT INTO thing (name, bytes) VALUES (?1, ?2)", values!["ä?1", vec![0_u8, 255]])
            })
            .unwrap();
        let question = "SELECT number, name, bytes, NULL AS empty FROM thing WHERE name = ?1";
        let found = database.read("find", |sql| {
            first(sql, "thing", question, values!["ä?1"], |row| {
                assert!(matches!(row.text("bytes"), Err(Fault::Damaged { table: "thing", .. })));
                assert!(matches!(row.number::<i64>("empty"), Err(Fault::Damaged { .. })));
                assert!(matches!(row.number::<i64>("absent"), Err(Fault::Damaged { .. })));
                assert_eq!(row.optional_text("empty")?, None);
                Ok((row.number::<u32>("number")?, row.blob("bytes")?.to_vec()))
            })
        });
        assert_eq!(found.unwrap(), Some((2, vec![0, 255])));
    });
}

/// Verbs that fail in the same commit as others do not disturb them, whether they run in a savepoint or break the group.
#[test]
fn a_verb_that_fails_breaks_only_itself() {
    each(|database| {
        let database = Arc::new(database);
        let threads: Vec<_> = (0..16)
            .map(|thread| {
                let database = database.clone();
                std::thread::spawn(move || {
                    for number in 0..10 {
                        let mine = format!("{thread} {number}");
                        let outcome = match thread % 4 {
                            // Fails after it has changed something.
                            0 => database.write("fail", move |sql| {
                                add(sql, &mine)?;
                                Err::<(), _>(Fault::Missing("end"))
                            }),
                            1 => database.write("double", move |sql| add(sql, "first")),
                            2 => database.write_single("double", move |sql| add(sql, "first")),
                            _ => database.write_single("add", move |sql| add(sql, &mine)),
                        };
                        match thread % 4 {
                            0 => assert!(matches!(outcome, Err(Error::Missing { .. })), "{outcome:?}"),
                            1 | 2 => assert!(matches!(outcome, Err(Error::Taken { .. })), "{outcome:?}"),
                            _ => outcome.unwrap(),
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let names = names(&database);
        assert_eq!(names.len(), 41, "{names:?}");
    });
}

/// Shows REQ-STORE-97: a verb that fails has changed nothing, whatever it did before, and costs others nothing where it changed
/// nothing.
#[test]
fn a_verb_that_fails_is_undone() {
    each(|database| {
        let database = Arc::new(database);
        let runs = Arc::new(AtomicUsize::new(0));
        let fail = |change: bool| {
            let counted = runs.clone();
            let outcome = database.write("fail", move |sql| {
                counted.fetch_add(1, Ordering::Relaxed);
                let question = "SELECT number FROM thing WHERE name = ?1";
                let found = first(sql, "thing", question, values!["first"], |row| row.number::<i64>("number"))?;
                if change {
                    add(sql, "half")?;
                    first(sql, "thing", "UPDATE thing SET bytes = NULL RETURNING number", &[], |_| Ok(()))?;
                }
                assert_eq!(found, Some(1));
                Err::<(), _>(Fault::Missing("end"))
            });
            assert!(matches!(outcome, Err(Error::Missing { .. })), "{outcome:?}");
            runs.swap(0, Ordering::Relaxed)
        };
        assert_eq!((fail(false), fail(true)), (1, 2));
        assert_eq!(names(&database), ["first"]);
        database.write("add", |sql| add(sql, "second")).unwrap();
        assert_eq!(names(&database), ["first", "second"]);
    });
}

#[test]
fn a_snapshot_stays_while_others_write() {
    each(|database| {
        let counts = database.read_snapshot("count twice", |sql| {
            let mut count =
                || first(sql, "thing", "SELECT count(*) AS count FROM thing", &[], |row| row.number("count"));
            let before: Option<i64> = count()?;
            database.write("add", |sql| add(sql, "meanwhile")).unwrap();
            Ok((before, count()?))
        });
        assert_eq!(counts.unwrap(), (Some(1), Some(1)));
        assert_eq!(names(&database).len(), 2);
    });
}

/// Shows REQ-STORE-67: and the connection serves the next.
#[test]
fn a_question_that_takes_too_long_is_ended_and_nothing_else() {
    const ENDLESS: &str =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS last FROM n";
    each(|database| {
        let limit = Duration::from_millis(100);
        for _ in 0..3 {
            let began = Instant::now();
            let late = database.read_within("count", limit, |sql| first(sql, "thing", ENDLESS, &[], |_| Ok(())));
            assert!(matches!(late, Err(Error::Late { limit: said, .. }) if said == limit), "{late:?}");
            assert!(began.elapsed() < Duration::from_secs(5));
        }
        let found =
            database.read_within("list", limit, |sql| all(sql, "thing", "SELECT name FROM thing", &[], |_| Ok(())));
        assert_eq!(found.unwrap().len(), 1);
        assert_eq!(names(&database), ["first"]);
    });
}

/// Shows REQ-STORE-35: and one that fails in the midst gives its connection back.
#[test]
fn more_may_ask_at_once_than_there_are_connections() {
    each(|database| {
        for round in 0..3 {
            std::thread::scope(|scope| {
                let asked: Vec<_> = (0..64)
                    .map(|number| {
                        let database = &database;
                        let ask = move || {
                            database.read_snapshot("list", |sql| {
                                let found = all(sql, "thing", "SELECT name FROM thing", &[], |_| Ok(()))?;
                                std::thread::sleep(Duration::from_millis(1));
                                assert!(number % 3 != round, "a verb that panics");
                                Ok(found.len())
                            })
                        };
                        scope.spawn(move || std::panic::catch_unwind(std::panic::AssertUnwindSafe(ask)))
                    })
                    .collect();
                for (number, one) in asked.into_iter().enumerate() {
                    let answer = one.join().unwrap();
                    assert_eq!(answer.is_err(), number % 3 == round, "{number}");
                    answer.into_iter().for_each(|found| assert_eq!(found.unwrap(), 1));
                }
            });
        }
        assert_eq!(names(&database), ["first"]);
    });
}

/// Shows REQ-STORE-193: while the database stays open, and with a reader that stays at an old state at first.
#[test]
fn what_was_written_comes_into_the_file_and_the_log_begins_anew() {
    const PIECE: usize = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let database = sqlite(dir.path());
    let turn = AtomicUsize::new(0);
    let size = |name: &str| std::fs::metadata(dir.path().join(name)).map_or(0, |file| file.len());
    let write = |number: i64| {
        // Other bytes each time: the same again would change no page.
        let piece = vec![turn.fetch_add(1, Ordering::Relaxed).to_le_bytes()[0]; PIECE];
        let verb = move |sql: &mut dyn Sql| {
            sql.execute(
                "INSERT INTO thing (number, name, bytes) VALUES (?1, ?2, ?3) ON CONFLICT (number) DO UPDATE SET bytes = ?3",
                values![number, number.to_string(), piece.clone()],
            )
        };
        database.write("add a piece", verb).unwrap();
    };
    let comes_to_be = |what: &dyn Fn() -> bool| {
        let until = Instant::now() + Duration::from_secs(60);
        while !what() {
            assert!(Instant::now() < until, "it did not come to be");
            write(90);
        }
    };
    database
        .read_snapshot("look back", |sql| {
            all(sql, "thing", "SELECT name FROM thing", &[], |row| Ok(row.text("name")?.to_owned()))?;
            (10..50).for_each(write);
            assert!(size("test.sqlite-wal") > 40 << 20);
            assert!(size("test.sqlite") < 1 << 20, "the reader needs what was there");
            Ok(())
        })
        .unwrap();
    comes_to_be(&|| size("test.sqlite") > 40 << 20);
    // Nobody closed it, and the log does not grow for ever, though at each moment somebody reads.
    let stop = AtomicBool::new(false);
    let read = || {
        while !stop.load(Ordering::Relaxed) {
            let verb = |sql: &mut dyn Sql| {
                let names = all(sql, "thing", "SELECT name FROM thing", &[], |row| Ok(row.text("name")?.to_owned()))?;
                std::thread::sleep(Duration::from_millis(60));
                Ok(names)
            };
            database.read_snapshot("read for some time", verb).unwrap();
        }
    };
    std::thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(read)));
        (0..250).for_each(|_| write(90));
        stop.store(true, Ordering::Relaxed);
    });
    let log = size("test.sqlite-wal");
    assert!(log < 200 << 20, "{log} bytes");
    drop(database);
    assert_eq!(size("test.sqlite-wal"), 0);
}

/// Shows REQ-STORE-36.
#[test]
fn a_file_that_was_closed_is_whole_without_what_lay_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let database = sqlite(dir.path());
    names(&database);
    database.write("add", |sql| add(sql, "last")).unwrap();
    assert_eq!(names(&database), ["first", "last"]);
    drop(database);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["test.sqlite"]);
    assert_eq!(names(&sqlite(dir.path())), ["first", "last"]);
}

/// Shows REQ-STORE-02.
#[test]
fn programs_that_start_at_once_take_each_step_once_and_what_is_not_theirs_is_refused() {
    let server = server(PostgresServer::shared());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let server = server.clone();
            std::thread::spawn(move || Database::postgres(server, &SCHEMA).unwrap())
        })
        .collect();
    let databases: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    for database in &databases {
        assert_eq!(names(database), ["first"]);
    }
    let other = Schema { application: "other", ..SCHEMA };
    assert!(Database::postgres(server.clone(), &other).unwrap_err().to_string().contains("another program"));
    let older = Schema { steps: &SCHEMA.steps[..1], ..SCHEMA };
    assert!(Database::postgres(server, &older).unwrap_err().to_string().contains("newer program"));
}

/// Shows REQ-STORE-56.
#[test]
fn a_server_that_does_not_let_us_in_says_what_an_operator_does_about_it() {
    let running = PostgresServer::shared();
    let error = |url: &str| {
        let server = Server::new(url, &running.schema(), None, None).unwrap();
        Database::postgres(server, &SCHEMA).err().unwrap().to_string()
    };
    let url = running.url();
    let nowhere = url.replace("/postgres?", "/nowhere?");
    assert_ne!(nowhere, url);
    assert!(error(&nowhere).contains("make the database"), "{}", error(&nowhere));
    let guest = running.schema();
    running.query(&format!("CREATE ROLE {guest} LOGIN")).unwrap();
    let as_guest = url.replace("user=medlock", &format!("user={guest}"));
    assert_ne!(as_guest, url);
    assert!(error(&as_guest).contains("the user must own the database"), "{}", error(&as_guest));
}
