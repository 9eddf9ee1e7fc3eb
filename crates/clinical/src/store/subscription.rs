//! Subscriptions that are served: whose they are, how far they were told, and when they are told next.

use super::condition::{Conditions, Of};
use super::read::{COLUMNS, Stored};
use super::search::Driver;
use super::write::{Stopped, refused};
use super::{Records, Statement};
use crate::access::{Caller, Sight, Verb};
use crate::kind::{Kind, Millis, Row, Seq};
use crate::outcome::{Code, Issue};
use crate::query::{Order, Plan};
use crate::subscription::Subscriber;
use medlock_store::{Error, Fault, Sql, all, first, values};
use std::collections::BTreeMap;

/// Subscriptions that are told, at most: each looks at each change.
const MOST: i64 = 1_000;
/// Subscriptions that are looked at together.
const TOGETHER: i64 = 256;
/// Changes that one subscription is told of together.
const CHANGES: usize = 64;

/// A subscription that is to be told.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) stored: Stored,
    pub(crate) leave: i64,
    /// The last change that was told.
    pub(crate) told: Seq,
    /// How often in a row it could not be told.
    pub(crate) failures: u32,
}

/// What has changed since something was told.
#[derive(Debug)]
pub(crate) struct Changed {
    /// What is wanted of it and in sight, each with the number of its last change, in their order.
    pub(crate) found: Vec<(Seq, Stored)>,
    /// So far it was looked.
    pub(crate) upto: Seq,
}

/// Puts one in the place of what was there for this row; none: nothing is told any more.
pub(super) fn write(sql: &mut dyn Sql, row: Row, subscriber: Option<&Subscriber>) -> Result<(), Stopped> {
    remove(sql, row)?;
    let count =
        first(sql, "subscription", "SELECT count(*) AS n FROM subscription", &[], |row| row.number::<i64>("n"))?;
    if subscriber.is_some() && count.unwrap_or(0) >= MOST {
        let text = format!("{MOST} are told already: delete one, or have one address tell several");
        return Err(refused(Issue::new(Code::TooMuch, text)));
    }
    let leave = match subscriber {
        None => return Ok(()),
        Some(Subscriber::Leave(leave)) => *leave,
        Some(Subscriber::Own(leave)) => leave.keep(sql)?,
    };
    let insert = "INSERT INTO subscription (rid, leave, told, failures, next) \
                  VALUES (?1, ?2, (SELECT COALESCE(max(seq), 0) FROM change), 0, 0)";
    sql.execute(insert, values![row.0, leave])?;
    Ok(())
}

/// Nothing is told any more.
pub(super) fn remove(sql: &mut dyn Sql, row: Row) -> Result<(), Fault> {
    sql.execute("DELETE FROM subscription WHERE rid = ?1", values![row.0]).map(drop)
}

impl Records {
    /// Whether this hub is the one that tells, of all of the store: for so long, in milliseconds.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn tells(&self, hub: [u8; 16], now: Millis, milliseconds: i64) -> Result<bool, Error> {
        let until = now.0.saturating_add(milliseconds);
        self.database().write_single("take the turn to tell", move |sql| {
            let take = "INSERT INTO telling (id, hub, until) VALUES (1, ?1, ?2) ON CONFLICT (id) DO UPDATE \
                        SET hub = excluded.hub, until = excluded.until WHERE telling.hub = excluded.hub OR telling.until < ?3";
            Ok(sql.execute(take, values![hub, until, now.0])? == 1)
        })
    }

    /// Subscriptions that are due, those that wait longest first.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn due(&self, now: Millis, newest: Seq) -> Result<Vec<Due>, Error> {
        let sight = Caller::administrator().sight(Verb::Read);
        let columns = format!("{COLUMNS}, s.leave, s.told, s.failures");
        let from = "subscription s JOIN resource r ON r.rid = s.rid";
        let mut question = Statement::kept_by_row(&columns, from, &sight, Kind::SUBSCRIPTION);
        question.text(" AND r.gone = 0 AND s.next <= ").value(now.0).text(" AND s.told < ").value(newest.0);
        question.text(" ORDER BY s.told LIMIT ").value(TOGETHER);
        self.database().read("look for subscriptions", |sql| {
            all(sql, "subscription", question.sql(), question.values(), |row| {
                Ok(Due {
                    stored: Stored::of(row)?,
                    leave: row.number("leave")?,
                    told: Seq(row.number("told")?),
                    failures: row.number("failures")?,
                })
            })
        })
    }

    /// What of the changes behind `told` is wanted and in sight at this moment.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn changed(&self, sight: &Sight, plan: &Plan, told: Seq, newest: Seq) -> Result<Changed, Error> {
        self.database().read_snapshot("look for what has changed", |sql| {
            let question =
                "SELECT seq, rid FROM change WHERE seq > ?1 AND seq <= ?2 AND kind = ?3 ORDER BY seq LIMIT ?4";
            let of = values![told.0, newest.0, i64::from(plan.kind().number()), CHANGES as i64];
            let changes: Vec<(i64, i64)> =
                all(sql, "change", question, of, |row| Ok((row.number("seq")?, row.number("rid")?)))?;
            let upto = match changes.last() {
                Some((seq, _)) if changes.len() == CHANGES => Seq(*seq),
                _ => newest,
            };
            // Of what has changed twice, the last change counts.
            let last: BTreeMap<i64, i64> = changes.into_iter().map(|(seq, rid)| (rid, seq)).collect();
            let mut found = Vec::new();
            if !last.is_empty() {
                let mut question = Statement::seen_by_row(COLUMNS, sight, plan.kind());
                question.text(" AND r.rid IN ").list(&last.keys().copied().collect::<Vec<_>>());
                for filter in plan.filters() {
                    question.text(" AND ");
                    let of = Of { alias: "r", driver: Driver::Link, order: Order::Date };
                    Conditions { sql: &mut *sql, out: &mut question, sight }.write(of, filter)?;
                }
                found = all(sql, "resource", question.sql(), question.values(), Stored::of)?;
            }
            let seq = |stored: &Stored| Seq(last.get(&stored.row.0).copied().unwrap_or(told.0));
            let mut found: Vec<(Seq, Stored)> = found.into_iter().map(|stored| (seq(&stored), stored)).collect();
            found.sort_unstable_by_key(|(seq, _)| *seq);
            Ok(Changed { found, upto })
        })
    }

    /// Notes how far a subscription was told; how often it could not be, and when it is tried again.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_told(&self, row: Row, told: Seq, failures: u32, next: Millis) -> Result<(), Error> {
        self.database().write_single("note what was told", move |sql| {
            let update = "UPDATE subscription SET told = ?2, failures = ?3, next = ?4 WHERE rid = ?1";
            sql.execute(update, values![row.0, told.0, failures, next.0]).map(drop)
        })
    }

    /// Nothing is told any more.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn end_subscription(&self, row: Row) -> Result<(), Error> {
        self.database().write_single("end a subscription", move |sql| remove(sql, row))
    }

    /// Whether anybody wants to be told anything.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn has_subscriptions(&self) -> Result<bool, Error> {
        self.database().read("look for subscriptions", |sql| {
            Ok(first(sql, "subscription", "SELECT rid FROM subscription LIMIT 1", &[], |row| row.number::<i64>("rid"))?
                .is_some())
        })
    }
}
