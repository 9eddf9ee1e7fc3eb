//! Live sessions: who is connected, for which operations, and what new knowledge means for them.
//!
//! A permit is given at the start; knowledge changes while a session lives. Each change is judged for every session. A
//! session that may no longer do what it was opened for is ended; its holder waits in [`Session::ended`]. Renewal ends
//! none: that a credential has been superseded is no reason to end the sessions its device opened with it.

use crate::knowledge::KnowledgeBase;
use crate::stop::Stop;
use medlock_trust::decide::Code;
use medlock_trust::{Denied, Identified, Operation, Operations, Verdict};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// How often sessions are judged again without news: verdicts also change as time passes.
const INTERVAL: Duration = Duration::from_secs(30);
/// How many changes a slow listener may be behind before it misses some.
const CHANGES: usize = 1_024;

/// What changed for a session, for the audit.
#[derive(Clone, Debug)]
pub enum Change {
    /// It was ended.
    Ended {
        /// Which session.
        session: u64,
        /// Whose.
        who: Identified,
        /// What it may no longer do, and why.
        denied: Denied,
    },
    /// It goes on, but its standing changed: now marked with this code, or no longer marked.
    Marked {
        /// Which session.
        session: u64,
        /// Whose.
        who: Identified,
        /// The operation that is marked.
        operation: Operation,
        /// The mark; `None`: in good standing again.
        mark: Option<Code>,
    },
}

/// All live sessions of a process.
#[derive(Debug)]
pub struct LiveSessions {
    knowledge: Arc<KnowledgeBase>,
    next: AtomicU64,
    sessions: Mutex<BTreeMap<u64, Entry>>,
    changes: broadcast::Sender<Change>,
}

#[derive(Debug)]
struct Entry {
    who: Identified,
    needs: Needs,
    /// By the operation's number.
    marks: [Option<Code>; Operation::ALL.len()],
    end: watch::Sender<Option<Denied>>,
}

/// What a session must be allowed to go on.
#[derive(Clone, Copy, Debug)]
enum Needs {
    /// Each of these operations.
    All(Operations),
    /// Any operation at all, or enrolment.
    Anything,
}

impl LiveSessions {
    /// No session yet, to be judged by `knowledge`.
    #[must_use]
    pub fn new(knowledge: Arc<KnowledgeBase>) -> Arc<Self> {
        let changes = broadcast::channel(CHANGES).0;
        Arc::new(Self { knowledge, next: AtomicU64::new(1), sessions: Mutex::default(), changes })
    }

    /// Takes up a session of `who` that needs all of `operations` for as long as it lives. It is judged at once, so
    /// news that arrived since its permits were given are not missed.
    #[must_use]
    pub fn register(self: &Arc<Self>, who: Identified, operations: Operations) -> Session {
        self.add(who, Needs::All(operations))
    }

    /// Takes up a session of `who` over which permits are asked for each request: it lives as long as its peer may do
    /// anything at all, be it only enrol.
    #[must_use]
    pub fn register_channel(self: &Arc<Self>, who: Identified) -> Session {
        self.add(who, Needs::Anything)
    }

    fn add(self: &Arc<Self>, who: Identified, needs: Needs) -> Session {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (end, ended) = watch::channel(None);
        self.sessions().insert(id, Entry { who, needs, marks: [None; Operation::ALL.len()], end });
        self.rejudge_one(id);
        Session { id, ended, home: self.clone() }
    }

    /// Judges all sessions whenever the knowledge changes, and every 30 seconds, until asked to stop. To be spawned once.
    pub async fn watch(self: Arc<Self>, mut stop: Stop) {
        let mut news = self.knowledge.changes();
        let mut clock = tokio::time::interval(INTERVAL);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.asked() => return,
                // The sender is in `self.knowledge`, so this cannot fail.
                _ = news.changed() => {}
                _ = clock.tick() => {}
            }
            self.rejudge();
        }
    }

    /// Judges all sessions now.
    pub fn rejudge(&self) {
        let ids: Vec<u64> = self.sessions().keys().copied().collect();
        ids.into_iter().for_each(|id| self.rejudge_one(id));
    }

    /// How many sessions live.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sessions().len()
    }

    /// What changes from now on.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    fn rejudge_one(&self, id: u64) {
        let mut sessions = self.sessions();
        let Some(entry) = sessions.get_mut(&id) else { return };
        let mut end = None;
        let operations = match entry.needs {
            Needs::All(operations) => operations,
            Needs::Anything => {
                end = denied_everything(&self.knowledge, &entry.who);
                Operations::NONE
            }
        };
        for operation in operations.iter() {
            match self.knowledge.judge(&entry.who, operation) {
                Verdict::Deny(denied) if denied.code == Code::Superseded => {}
                Verdict::Deny(denied) => {
                    end = Some(denied);
                    break;
                }
                Verdict::Allow(permit) => {
                    let mark = &mut entry.marks[operation as usize];
                    if *mark != permit.mark() {
                        *mark = permit.mark();
                        let who = entry.who.clone();
                        let _ = self.changes.send(Change::Marked { session: id, who, operation, mark: *mark });
                    }
                }
            }
        }
        if let Some(denied) = end {
            entry.end.send_replace(Some(denied));
            let _ = self.changes.send(Change::Ended { session: id, who: entry.who.clone(), denied });
            sessions.remove(&id);
        }
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why `who` may do nothing at all; `None` if there is something, or it was merely superseded, or comes back to a hub
/// after the theft of an issuing key.
pub(crate) fn denied_everything(knowledge: &KnowledgeBase, who: &Identified) -> Option<Denied> {
    let mut last = None;
    for operation in Operation::ALL {
        match knowledge.judge(who, operation) {
            Verdict::Allow(_) => return None,
            Verdict::Deny(denied) if denied.code == Code::Superseded => return None,
            Verdict::Deny(denied) => last = Some(denied),
        }
    }
    let last = last.filter(|_| knowledge.judge_enrolment(who).is_err());
    last.filter(|denied| denied.code != Code::IssuerCompromised || !knowledge.returns(who))
}

/// One live session. Dropping it ends its registration.
#[derive(Debug)]
pub struct Session {
    id: u64,
    ended: watch::Receiver<Option<Denied>>,
    home: Arc<LiveSessions>,
}

impl Session {
    /// Its number, unique in this process.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Waits until the session must end, and says why. Pending while it may live. May be cancelled.
    pub async fn ended(&mut self) -> Denied {
        loop {
            if let Some(denied) = *self.ended.borrow_and_update() {
                return denied;
            }
            if self.ended.changed().await.is_err() {
                // The registration went without a reason, which only dropping this session does.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Why the session must end; `None` while it may live.
    #[must_use]
    pub fn end_reason(&self) -> Option<Denied> {
        *self.ended.borrow()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.home.sessions().remove(&self.id);
    }
}
