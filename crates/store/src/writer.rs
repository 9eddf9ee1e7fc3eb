//! The writer thread: all verbs that wait go into one transaction and are acknowledged together.
//!
//! A verb that fails has changed nothing and does not disturb the others: it runs in a savepoint, or is a single statement.
//! Savepoints cost: SQLite writes each page that changes behind one twice more, a server answers twice more for each verb. That a
//! verb fails is rare, so the group is first run without, and if a verb fails that has changed something, all is rolled back and
//! the group runs again with savepoints.
//!
//! When the transaction itself breaks (the disk is full, a statement fails outside a savepoint, the connection goes), it is
//! rolled back and each verb of the group runs again alone. So a verb may run more than once before it is acknowledged.
//!
//! A group takes what waits for some time only, or who writes much would have all others wait for it. What presses is in groups of its
//! own, which take turns with what waits. A verb whose asker decides what it costs has a limit, all its runs together: what is late is
//! not run again, and as a group takes no more verbs after a long one, others wait for one limit of each such verb.

use crate::{Engine, Fault, Row, Sql, Value};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The most verbs in one commit: bounds what one failing disk write makes wait.
const LARGEST_GROUP: usize = 512;
/// After so long a group takes no more verbs: others wait for it no longer than this and its last verb, and as long again where one of
/// its verbs fails.
const LONGEST_GROUP: Duration = Duration::from_millis(100);

/// A connection that writes.
pub(crate) trait Session: Send {
    /// Begins a transaction, on a new connection if the old one is gone.
    fn begin(&mut self) -> Result<(), Fault>;
    /// Sees whether the connection is there, before the commit of which nobody would know what became of it.
    fn probe(&mut self) -> Result<(), Fault>;
    /// Commits; when that fails nothing is left open. [`Fault::Unknown`] if it may have happened all the same.
    fn commit(&mut self) -> Result<(), Fault>;
    fn rollback(&mut self);
    /// Whether the transaction can still be committed.
    fn usable(&self) -> bool;
    /// Whether the connection is gone.
    fn is_lost(&self) -> bool;
    /// Between transactions, when all have their answers: what takes some time.
    fn rest(&mut self) {}
    /// From now on a statement that runs when this comes ends with [`Fault::Late`]; `None`: none does.
    fn end_at(&mut self, end: Option<Instant>) -> Result<(), Fault>;
    fn sql(&mut self) -> &mut dyn Sql;
}

/// How verbs of a group are kept from one another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// By beginning anew when one fails.
    Hope,
    /// By savepoints.
    Savepoints,
}

/// How a verb is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Plain,
    /// It has changed nothing when it fails.
    Single,
    /// It goes before what waits.
    Pressing,
}

/// One verb with the one who waits for it.
trait Job: Send {
    fn is_pressing(&self) -> bool;
    /// Runs it; whether the transaction is as if it had not failed.
    fn run(&mut self, session: &mut dyn Session, care: Care) -> bool;
    fn answer(self: Box<Self>, end: Result<(), Fault>);
}

struct Asked<T, V> {
    verb: V,
    manner: Manner,
    time: Option<Time>,
    outcome: Option<Result<T, Fault>>,
    reply: SyncSender<Result<T, Fault>>,
}

/// How long a verb may take, all its runs together.
struct Time {
    limit: Duration,
    left: Duration,
}

impl<T: Send, V: FnMut(&mut dyn Sql) -> Result<T, Fault> + Send> Job for Asked<T, V> {
    fn is_pressing(&self) -> bool {
        self.manner == Manner::Pressing
    }

    fn run(&mut self, session: &mut dyn Session, care: Care) -> bool {
        let (outcome, is_clean) = match (&self.time, self.manner, care) {
            (Some(Time { limit, left: Duration::ZERO }), ..) => (Err(Fault::Late(*limit)), true),
            (_, Manner::Single, _) => (self.once(session).0, true),
            (_, _, Care::Savepoints) => (in_savepoint(session, |session| self.once(session).0), true),
            (_, _, Care::Hope) => {
                let (outcome, changed) = self.once(session);
                let is_clean = outcome.is_ok() || !changed;
                (outcome, is_clean)
            }
        };
        self.outcome = Some(outcome);
        is_clean
    }

    fn answer(self: Box<Self>, end: Result<(), Fault>) {
        // What a verb found in a transaction that did not come to be does not count.
        let Self { outcome, reply, .. } = *self;
        let outcome = end.and_then(|()| outcome.unwrap_or_else(|| Err(Fault::Failed("it was not run".to_owned()))));
        // The asker may have been stopped meanwhile: then nobody needs the answer.
        let _ = reply.send(outcome);
    }
}

impl<T, V: FnMut(&mut dyn Sql) -> Result<T, Fault>> Asked<T, V> {
    /// Runs the verb, in the time that it has left; also, whether it may have changed something.
    fn once(&mut self, session: &mut dyn Session) -> (Result<T, Fault>, bool) {
        let until = self.time.as_ref().map(|time| Instant::now() + time.left);
        if until.is_some()
            && let Err(fault) = session.end_at(until)
        {
            return (Err(fault), false);
        }
        let mut sql = Watched { sql: session.sql(), until, changed: false };
        let outcome = (self.verb)(&mut sql);
        let changed = sql.changed;
        let (Some(time), Some(until)) = (&mut self.time, until) else { return (outcome, changed) };
        time.left = until.saturating_duration_since(Instant::now());
        let outcome = outcome.map_err(|fault| fault.late_by(time.limit));
        (session.end_at(None).and(outcome), changed)
    }
}

/// Sees whether a verb may have changed something, and whether it is late: then it does nothing more, as the database may have ended
/// the transaction with a statement that was late.
struct Watched<'s> {
    sql: &'s mut dyn Sql,
    until: Option<Instant>,
    changed: bool,
}

impl Watched<'_> {
    fn in_time(&self) -> Result<(), Fault> {
        match self.until {
            Some(until) if Instant::now() >= until => Err(Fault::Late(Duration::ZERO)),
            _ => Ok(()),
        }
    }
}

impl Sql for Watched<'_> {
    fn engine(&self) -> Engine {
        self.sql.engine()
    }

    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, Fault> {
        self.in_time()?;
        self.changed = true;
        self.sql.execute(sql, parameters)
    }

    fn insert(&mut self, key: &'static str, sql: &str, parameters: &[Value]) -> Result<i64, Fault> {
        self.in_time()?;
        self.changed = true;
        self.sql.insert(key, sql, parameters)
    }

    fn each(
        &mut self,
        table: &'static str,
        sql: &str,
        parameters: &[Value],
        take: &mut dyn FnMut(&Row) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        self.in_time()?;
        // What gives rows may also be a change that tells of them.
        self.changed |= !sql.trim_start().starts_with("SELECT ");
        self.sql.each(table, sql, parameters, take)
    }

    fn batch(&mut self, sql: &str) -> Result<(), Fault> {
        self.in_time()?;
        self.changed = true;
        self.sql.batch(sql)
    }
}

fn in_savepoint<T>(
    session: &mut dyn Session,
    run: impl FnOnce(&mut dyn Session) -> Result<T, Fault>,
) -> Result<T, Fault> {
    session.sql().batch("SAVEPOINT verb")?;
    let value = match run(session) {
        Ok(value) => value,
        Err(fault) => {
            // Where the transaction has ended this fails too; then the session is not usable, and what came first is told.
            let _ = session.sql().batch("ROLLBACK TO verb; RELEASE verb");
            return Err(fault);
        }
    };
    session.sql().batch("RELEASE verb")?;
    Ok(value)
}

/// The writer thread and its queue.
pub(crate) struct Writer {
    /// `None` only while dropping: the thread ends when its queue does.
    asking: Option<Asking>,
    thread: Option<JoinHandle<()>>,
}

/// Where verbs are put.
struct Asking {
    pressing: Sender<Box<dyn Job>>,
    /// `None`: one has come that presses.
    others: Sender<Option<Box<dyn Job>>>,
}

impl Asking {
    /// Whether the writer thread is still there.
    fn put(&self, job: Box<dyn Job>) -> bool {
        if !job.is_pressing() {
            return self.others.send(Some(job)).is_ok();
        }
        self.pressing.send(job).is_ok() && self.others.send(None).is_ok()
    }
}

/// What waits for the writer thread.
struct Queue {
    pressing: Receiver<Box<dyn Job>>,
    others: Receiver<Option<Box<dyn Job>>>,
}

impl Queue {
    fn new() -> (Asking, Self) {
        // Who asks waits for its answer: no more wait than ask at once.
        let (pressing, to_press) = channel();
        let (others, to_do) = channel();
        (Asking { pressing, others }, Self { pressing: to_press, others: to_do })
    }

    /// The first verb of a group, when there is one; `None` when there will be no more. The sorts take turns, while both wait: what
    /// presses keeps nobody from writing.
    fn next(&self, last_pressed: bool) -> Option<Box<dyn Job>> {
        loop {
            // Looking for others takes away what says that one has come that presses: so that is looked for last.
            let first = self.waiting(!last_pressed).or_else(|| self.waiting(false)).or_else(|| self.waiting(true));
            if first.is_some() {
                return first;
            }
            match self.others.recv() {
                Ok(Some(job)) => return Some(job),
                Ok(None) => {}
                Err(_) => return self.waiting(true),
            }
        }
    }

    /// A verb of this sort that waits, if there is one.
    fn waiting(&self, is_pressing: bool) -> Option<Box<dyn Job>> {
        if is_pressing { self.pressing.try_recv().ok() } else { self.others.try_iter().flatten().next() }
    }
}

impl Writer {
    pub(crate) fn start(name: &str, mut session: Box<dyn Session>) -> Result<Self, Fault> {
        let (asking, queue) = Queue::new();
        let thread = std::thread::Builder::new()
            .name(format!("{name}-store"))
            .spawn(move || write_groups(&mut *session, &queue))
            .map_err(|error| Fault::Failed(format!("the writer thread does not start: {error}")))?;
        Ok(Self { asking: Some(asking), thread: Some(thread) })
    }

    /// Runs `verb` in the writer thread, no longer than `limit`; returns when its group is committed.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        manner: Manner,
        limit: Option<Duration>,
        verb: impl FnMut(&mut dyn Sql) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (reply, answer) = sync_channel(1);
        let stopped = || Fault::Failed("the writer thread has stopped; restart the hub".to_owned());
        let time = limit.map(|limit| Time { limit, left: limit });
        let job = Box::new(Asked { verb, manner, time, outcome: None, reply });
        if !self.asking.as_ref().is_some_and(|asking| asking.put(job)) {
            return Err(stopped());
        }
        answer.recv().map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.asking = None;
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has lost nothing that was acknowledged.
            let _ = thread.join();
        }
    }
}

fn write_groups(session: &mut dyn Session, queue: &Queue) {
    let mut pressed = false;
    while let Some(first) = queue.next(pressed) {
        pressed = first.is_pressing();
        let mut group = vec![first];
        let mut end = together(session, &mut group, queue, Care::Hope);
        if matches!(end, End::Lost | End::Undone) {
            // Nothing of it was committed, and a server that was lost may be back.
            end = together(session, &mut group, queue, Care::Savepoints);
        }
        match end {
            End::Committed => group.into_iter().for_each(|job| job.answer(Ok(()))),
            End::Failed(fault) => group.into_iter().for_each(|job| job.answer(Err(fault.clone()))),
            End::Lost => {
                let fault = Fault::Lost("the connection was lost twice".to_owned());
                group.into_iter().for_each(|job| job.answer(Err(fault.clone())));
            }
            // Whoever broke it breaks only himself now.
            End::Broken | End::Undone => {
                for mut job in group {
                    let end = alone(session, &mut *job);
                    job.answer(end);
                }
            }
        }
        session.rest();
    }
}

/// How a transaction ended.
enum End {
    Committed,
    Failed(Fault),
    /// It was rolled back because of one of its verbs.
    Broken,
    /// It was rolled back because a verb failed that had changed something.
    Undone,
    /// The connection went before the commit.
    Lost,
}

/// Runs the group and what comes meanwhile, for some time, in one transaction.
fn together(session: &mut dyn Session, group: &mut Vec<Box<dyn Job>>, queue: &Queue, care: Care) -> End {
    let is_pressing = group.first().is_some_and(|job| job.is_pressing());
    if let Err(fault) = session.begin() {
        // All that waits gets the same answer now, not each after a try of its own.
        group.extend(std::iter::from_fn(|| queue.waiting(is_pressing)).take(LARGEST_GROUP));
        return End::Failed(fault);
    }
    let (mut next, began) = (0, Instant::now());
    while let Some(job) = group.get_mut(next) {
        let is_clean = job.run(session, care);
        next += 1;
        if !is_clean {
            session.rollback();
            return if session.is_lost() { End::Lost } else { End::Undone };
        }
        if !session.usable() {
            session.rollback();
            return if session.is_lost() { End::Lost } else { End::Broken };
        }
        if next == group.len()
            && group.len() < LARGEST_GROUP
            && began.elapsed() < LONGEST_GROUP
            && let Some(job) = queue.waiting(is_pressing)
        {
            group.push(job);
        }
    }
    if session.probe().is_err() {
        session.rollback();
        return if session.is_lost() { End::Lost } else { End::Broken };
    }
    session.commit().map_or_else(End::Failed, |()| End::Committed)
}

/// Runs a verb in a transaction of its own. `Ok` when it has its own outcome.
fn alone(session: &mut dyn Session, job: &mut dyn Job) -> Result<(), Fault> {
    session.begin()?;
    job.run(session, Care::Savepoints);
    if session.usable() {
        return session.commit();
    }
    session.rollback();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pressing;

    impl Job for Pressing {
        fn is_pressing(&self) -> bool {
            true
        }

        fn run(&mut self, _: &mut dyn Session, _: Care) -> bool {
            true
        }

        fn answer(self: Box<Self>, _: Result<(), Fault>) {}
    }

    /// Shows REQ-FHIR-50: what presses is found whenever it comes, also while others are looked for.
    #[test]
    fn what_presses_is_found_whenever_it_comes() {
        let (asking, queue) = Queue::new();
        let (tell, told) = channel();
        let writer = std::thread::spawn(move || {
            while queue.next(false).is_some() {
                tell.send(()).expect("heard");
            }
        });
        for number in 0..50_000 {
            assert!(asking.put(Box::new(Pressing)));
            assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(()), "{number}");
        }
        drop(asking);
        writer.join().expect("no panic");
    }
}
