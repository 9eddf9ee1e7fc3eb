//! Who waits for whom.

use crate::{add, each};
use medlock_store::{Database, Fault, LONG_READERS, Sql, first};
use std::sync::atomic::{AtomicUsize, Ordering};
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
