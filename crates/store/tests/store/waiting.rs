//! Who waits for whom.

use crate::{add, each, names};
use medlock_store::{Database, Engine, Error, Fault, LONG_READERS, Sql, first};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{Scope, sleep};
use std::time::Duration;

/// How long a verb takes here.
const LONG: Duration = Duration::from_millis(20);
/// Verbs that wait: without a bound, all in one commit, of which somebody hears after a second.
const MANY: usize = 50;
/// How many of them have run when one hears of its own that waits no longer than it has to: those of a tenth of a second, and some more.
const FEW: usize = 20;

/// Verbs that take long, `MANY` of them.
#[derive(Default)]
struct Slow {
    run: AtomicUsize,
    /// How many have run at most when one heard of its own, since that.
    behind: AtomicUsize,
}

impl Slow {
    fn verb(self: &Arc<Self>) -> impl FnMut(&mut dyn Sql) -> Result<usize, Fault> + Send + use<> {
        let slow = Arc::clone(self);
        move |_| {
            sleep(LONG);
            Ok(slow.run.fetch_add(1, Ordering::Relaxed) + 1)
        }
    }

    fn write(self: &Arc<Self>, database: &Database) {
        let own = database.write("take long", self.verb()).unwrap();
        self.behind.fetch_max(self.run.load(Ordering::Relaxed) - own, Ordering::Relaxed);
    }

    /// Has them asked for while the writer is held, so that they wait when it goes on.
    fn wait<'s>(
        self: &Arc<Self>,
        scope: &'s Scope<'s, '_>,
        database: &Arc<Database>,
        ask: fn(&Database, &Arc<Self>),
        more: impl FnOnce(),
    ) {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let holder = Arc::clone(database);
        scope.spawn(move || holder.write("hold the writer", move |_| Ok(held.recv().ok())).unwrap());
        sleep(LONG);
        for _ in 0..MANY {
            let (database, slow) = (Arc::clone(database), Arc::clone(self));
            scope.spawn(move || ask(&database, &slow));
        }
        more();
        // The group of the holder is as long as it may be.
        sleep(10 * LONG);
        release.send(()).unwrap();
    }
}

/// Shows REQ-FHIR-49: a group is committed after a tenth of a second, however many wait.
#[test]
fn who_writes_waits_for_few_others() {
    each(|database| {
        let (database, slow) = (Arc::new(database), Arc::<Slow>::default());
        std::thread::scope(|scope| slow.wait(scope, &database, |database, slow| slow.write(database), || {}));
        assert_eq!(slow.run.load(Ordering::Relaxed), MANY);
        let behind = slow.behind.load(Ordering::Relaxed);
        assert!(behind < FEW, "{behind} others were run before one was told");
    });
}

/// Shows REQ-FHIR-50: what presses goes before what waits.
#[test]
fn what_presses_goes_first_and_keeps_nobody_from_writing() {
    let ask: [fn(&Database, &Arc<Slow>); 2] = [
        |database, slow| slow.write(database),
        |database, slow| _ = database.write_first("press", slow.verb()).unwrap(),
    ];
    each(|database| {
        let database = Arc::new(database);
        for (number, ask) in ask.into_iter().enumerate() {
            let (slow, heard) = (Arc::<Slow>::default(), Arc::new(AtomicUsize::new(usize::MAX)));
            std::thread::scope(|scope| {
                let (last, told) = (Arc::clone(&database), Arc::clone(&heard));
                let (counted, name) = (Arc::clone(&slow), format!("last {number}"));
                slow.wait(scope, &database, ask, || {
                    sleep(2 * LONG);
                    scope.spawn(move || {
                        let verb = move |sql: &mut dyn Sql| add(sql, &name);
                        if number == 0 { last.write_first("end", verb) } else { last.write("go on", verb) }.unwrap();
                        told.store(counted.run.load(Ordering::Relaxed), Ordering::Relaxed);
                    });
                });
            });
            let before = heard.load(Ordering::Relaxed);
            assert!(before < FEW, "{number}: {before} others were run before it");
            assert_eq!(slow.run.load(Ordering::Relaxed), MANY);
        }
    });
}

/// Shows REQ-SRCH-33: however many ask what takes long, two connections are left for what does not.
#[test]
fn long_questions_leave_readers_to_short_ones() {
    each(|database| {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (held, let_go) = (Mutex::new(true), Condvar::new());
        std::thread::scope(|scope| {
            for _ in 0..2 * LONG_READERS {
                scope.spawn(|| {
                    let long = |_: &mut dyn Sql| {
                        most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                        drop(let_go.wait_while(held.lock().unwrap(), |held| *held).unwrap());
                        now.fetch_sub(1, Ordering::Relaxed);
                        Ok(())
                    };
                    database.read_within("look at all", Duration::from_secs(60), long).unwrap();
                });
            }
            while most.load(Ordering::Relaxed) < LONG_READERS {
                sleep(LONG);
            }
            let short = |sql: &mut dyn Sql| first(sql, "thing", "SELECT number FROM thing", &[], |_| Ok(()));
            // One within another: both at once.
            let both = database.read("look", |sql| {
                short(sql)?;
                Ok(database.read("look", short).unwrap())
            });
            // While all that may are asking what takes long.
            both.unwrap();
            *held.lock().unwrap() = false;
            let_go.notify_all();
        });
        assert_eq!(most.load(Ordering::Relaxed), LONG_READERS);
    });
}

/// What never ends: one statement, one that changes something, or statement after statement.
fn endless(sql: &mut dyn Sql, how: usize) -> Result<(), Fault> {
    const ALL: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
    if how > 0 && sql.engine() == Engine::Postgres {
        // It ends a statement by itself, as it does here after ten seconds.
        sql.batch(&format!("SET LOCAL statement_timeout = {}", 2 * LONG.as_millis()))?;
    }
    match how {
        0 => loop {
            sql.execute("UPDATE thing SET name = name", &[])?;
        },
        1 => first(sql, "n", &format!("{ALL} SELECT count(*) AS n FROM n"), &[], |_| Ok(())).map(drop),
        _ => sql.execute(&format!("{ALL} INSERT INTO thing (name) SELECT 'n' || i FROM n"), &[]).map(drop),
    }
}

/// Shows REQ-STORE-194: what is late is ended, told so and undone, whatever it was doing, and is not run again; those with it in a commit
/// are done, and what comes behind it has all the time it needs.
#[test]
fn a_verb_that_is_late_is_ended_once_and_disturbs_nobody() {
    each(|database| {
        let database = Arc::new(database);
        for how in 0..3 {
            let runs = Arc::new(AtomicUsize::new(0));
            let (release, held) = std::sync::mpsc::channel::<()>();
            std::thread::scope(|scope| {
                let holder = Arc::clone(&database);
                scope.spawn(move || holder.write("hold the writer", move |_| Ok(held.recv().ok())).unwrap());
                sleep(LONG);
                for number in 0..8 {
                    let (database, runs) = (Arc::clone(&database), Arc::clone(&runs));
                    let name = format!("{how} {number}");
                    scope.spawn(move || {
                        if number % 4 != 1 {
                            return database.write("add", move |sql| add(sql, &name)).unwrap();
                        }
                        let verb = move |sql: &mut dyn Sql| {
                            runs.fetch_add(1, Ordering::Relaxed);
                            add(sql, &name)?;
                            endless(sql, how)
                        };
                        let ask = if number == 1 { Database::write_within } else { Database::write_first_within };
                        let told = ask(&database, "never end", LONG, verb).unwrap_err();
                        assert!(matches!(told, Error::Late { limit: LONG, .. }), "{how}: {told}");
                    });
                }
                // The group of the holder is as long as it may be.
                sleep(10 * LONG);
                release.send(()).unwrap();
            });
            assert_eq!(runs.load(Ordering::Relaxed), 2, "{how}: each once");
            let mut there = names(&database);
            there.retain(|name| name.starts_with(&format!("{how} ")));
            there.sort();
            assert_eq!(there, [0, 2, 3, 4, 6, 7].map(|number| format!("{how} {number}")));
            let later = database.write("take long", |sql| {
                sleep(2 * LONG);
                let question = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) \
                                SELECT count(*) AS n FROM n";
                first(sql, "n", question, &[], |row| row.number::<u32>("n"))
            });
            assert_eq!(later.unwrap(), Some(10_000), "nobody ends it");
        }
    });
}

/// Shows REQ-STORE-195: what is read in brief leaves a connection to what is always short, and is ended when it is long.
#[test]
fn what_is_read_in_brief_leaves_a_reader_and_ends() {
    each(|database| {
        let begun = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for number in 0..4 * LONG_READERS {
                let (database, begun, stop) = (&database, &begun, &stop);
                scope.spawn(move || {
                    let hold = |_: &mut dyn Sql| {
                        begun.fetch_add(1, Ordering::Relaxed);
                        while !stop.load(Ordering::Relaxed) {
                            sleep(LONG);
                        }
                        Ok(())
                    };
                    let ask = if number % 4 == 0 { Database::read_within } else { Database::read_brief };
                    ask(database, "hold a reader", Duration::from_secs(60), hold).unwrap();
                });
            }
            while begun.load(Ordering::Relaxed) < LONG_READERS + 1 {
                sleep(LONG);
            }
            let short = |sql: &mut dyn Sql| first(sql, "thing", "SELECT number FROM thing", &[], |_| Ok(()));
            assert_eq!(database.read("look", short).unwrap(), Some(()));
            assert_eq!(begun.load(Ordering::Relaxed), LONG_READERS + 1, "so many at once");
            stop.store(true, Ordering::Relaxed);
        });
        let told = database.read_brief("never end", LONG, |sql| {
            if sql.engine() == Engine::Postgres {
                sql.batch(&format!("SET statement_timeout = {}", 2 * LONG.as_millis()))?;
            }
            endless(sql, 1)
        });
        let told = told.unwrap_err();
        assert!(matches!(told, Error::Late { limit: LONG, .. }), "{told}");
    });
}
