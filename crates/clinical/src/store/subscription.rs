//! Subscriptions that are served: whose they are, how far they were told, and when they are told next.

use super::read::{COLUMNS, Stored};
use super::token::scopes_of;
use super::write::{Stopped, refused};
use super::{Records, Statement, count, search};
use crate::access::{Caller, Sight, Verb, Writer};
use crate::json::{Document, Node};
use crate::kind::{Id, Kind, Millis, Row, Seq};
use crate::outcome::{Code, Issue};
use crate::query::Plan;
use crate::subscription::Subscriber;
use crate::validate::kept;
use medlock_store::{Error, Fault, Row as Found, Sql, Value, all, first, values};
use std::collections::HashMap;
use std::time::Duration;

/// Subscriptions that are told, at most: each looks at each change.
const MOST: u16 = 1_000;
/// Those of software in its own name, or of one account; those of all accounts with one piece of software; and a quarter of all, of the
/// software of one community.
const OF_ONE: i64 = 32;
const OF_APP: i64 = 256;
const OF_COMMUNITY: i64 = MOST as i64 / 4;
/// Changes that are looked at in one question, and questions that are asked one after another.
const CHANGES: usize = 256;
const QUESTIONS: usize = 16;
/// Those of one writer that are kept at all, told or not.
const KEPT_OF_ONE: i64 = 256;
/// Characters that are shown of a part.
const SHOWN: usize = 512;
/// Resources that one subscriber is told of together.
const TOGETHER: usize = 64;

/// A subscription that may be due.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) row: Row,
    pub(crate) client: String,
    /// The last change that was told.
    pub(crate) told: Seq,
}

/// A subscription as it is at this moment.
#[derive(Clone, Debug)]
pub(crate) struct Subscribed {
    pub(crate) stored: Stored,
    pub(crate) subscriber: Subscriber,
    /// The last change that was told.
    pub(crate) told: Seq,
    /// How often in a row it could not be told.
    pub(crate) failures: u32,
}

/// What a subscriber may look for, and what it may read: it is told what is in both.
#[derive(Debug)]
pub(crate) struct Sights {
    pub(crate) search: Sight,
    pub(crate) read: Sight,
}

/// What has changed since something was told.
#[derive(Debug)]
pub(crate) struct Changed {
    /// What is wanted of it and in sight, each with the number of its last change, in their order.
    pub(crate) found: Vec<(Seq, Row)>,
    /// So far it was looked.
    pub(crate) upto: Seq,
}

/// Who has waited longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    /// The Subscription.
    pub(crate) row: Row,
    /// When the first change was written that it was not told of.
    pub(crate) since: Millis,
}

/// Which hub tells, and how often it has said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Telling {
    pub(crate) hub: [u8; 16],
    pub(crate) beat: i64,
}

/// Where a Subscription that is written begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start {
    /// Behind this change; `None`: with what comes.
    told: Option<i64>,
    failures: i64,
    next: i64,
}

impl Start {
    /// Where the one of this row stands, or stood when the hub switched it off. How often its server was away counts for that
    /// server alone.
    pub(super) fn of(sql: &mut dyn Sql, row: Row, same_server: bool) -> Result<Self, Fault> {
        let question = "SELECT told, failures, next FROM subscription WHERE rid = ?1 \
                        UNION ALL SELECT told, 0, 0 FROM subscription_was WHERE rid = ?1";
        let found = first(sql, "subscription", question, values![row.0], |row| {
            Ok(Self { told: Some(row.number("told")?), failures: row.number("failures")?, next: row.number("next")? })
        })?;
        let found = found.unwrap_or_default();
        Ok(if same_server { found } else { Self { told: found.told, ..Self::default() } })
    }
}

/// Who writes a new one: it is theirs alone from now on, also when it is deleted.
pub(super) fn begin(sql: &mut dyn Sql, row: Row, writer: &Writer) -> Result<(), Stopped> {
    let from = "subscription_of o JOIN resource r ON r.rid = o.rid AND r.gone = 0 \
                WHERE o.client = ?1 AND o.account IS NOT DISTINCT FROM ?2";
    let client = writer.client.as_str();
    if count(sql, "subscription_of", from, values![client, writer.account])? >= KEPT_OF_ONE {
        let text = format!("{KEPT_OF_ONE} are kept already, with those that are off: delete some");
        return Err(refused(Issue::new(Code::TooMuch, text)));
    }
    let insert = "INSERT INTO subscription_of (rid, client, account) VALUES (?1, ?2, ?3) ON CONFLICT (rid) DO NOTHING";
    sql.execute(insert, values![row.0, client, writer.account])?;
    Ok(())
}

/// Puts one in the place of what was there for this row; none: nothing is told any more, and `start` is kept for when it is again.
pub(super) fn write(sql: &mut dyn Sql, row: Row, subscriber: Option<&Subscriber>, start: Start) -> Result<(), Stopped> {
    remove(sql, row)?;
    let Some(subscriber) = subscriber else {
        if let Some(told) = start.told {
            sql.execute("INSERT INTO subscription_was (rid, told) VALUES (?1, ?2)", values![row.0, told])?;
        }
        return Ok(());
    };
    let client = subscriber.client.as_str();
    let (leave, account) = subscriber.person.map_or((0, None), |(leave, account)| (leave, Some(account)));
    let mut has_room = |of: &str, values: &[Value], (most, whose): (i64, &str)| {
        if count(sql, "subscription", &format!("subscription s {of}"), values)? < most {
            return Ok(());
        }
        let text = format!("{most} {whose} are told already: delete one, or have one address tell several");
        Err(refused(Issue::new(Code::TooMuch, text)))
    };
    match account {
        None => has_room("WHERE s.client = ?1 AND s.account IS NULL", values![client], (OF_ONE, "of yours"))?,
        Some(account) => {
            has_room("WHERE s.account = ?1", values![account], (OF_ONE, "of this person"))?;
            let of = "WHERE s.client = ?1 AND s.account IS NOT NULL";
            has_room(of, values![client], (OF_APP, "of people with this app"))?;
        }
    }
    let of = "JOIN client c ON c.id = s.client WHERE c.community = (SELECT o.community FROM client o WHERE o.id = ?1)";
    has_room(of, values![client], (OF_COMMUNITY, "of your community's software"))?;
    has_room("", &[], (MOST.into(), "of all"))?;
    let insert = "INSERT INTO subscription (rid, leave, client, account, scopes, until, told, failures, next) \
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let scopes = subscriber.scopes.to_string();
    let told = match start.told {
        Some(told) => told,
        None => {
            let newest = "SELECT COALESCE(max(seq), 0) AS newest FROM change";
            first(sql, "change", newest, &[], |row| row.number("newest"))?.unwrap_or(0)
        }
    };
    let (failures, next) = (start.failures, start.next);
    sql.execute(insert, values![row.0, leave, client, account, scopes, subscriber.until, told, failures, next])?;
    Ok(())
}

/// Nothing is told any more; whose it is, is known still.
pub(super) fn remove(sql: &mut dyn Sql, row: Row) -> Result<(), Fault> {
    let keep = "INSERT INTO subscription_of (rid, client, account) SELECT rid, client, account FROM subscription WHERE rid = ?1 \
                ON CONFLICT (rid) DO NOTHING";
    sql.execute(keep, values![row.0])?;
    sql.execute("DELETE FROM subscription_was WHERE rid = ?1", values![row.0])?;
    sql.execute("DELETE FROM subscription WHERE rid = ?1", values![row.0]).map(drop)
}

/// A Subscription with who wrote it, by their names, and what is shown of it.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) id: Id,
    pub(crate) software: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) status: String,
    pub(crate) criteria: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) error: Option<String>,
}

impl Listed {
    fn of(row: &Found) -> Result<Self, Fault> {
        let name = |column| Ok::<_, Fault>(row.optional_text(column)?.map(str::to_owned));
        let (software, account, stored) = (name("software")?, name("account")?, Stored::of(row)?);
        let document = Document::read(&stored.body, &kept()).map_err(|_| row.damaged("body"))?;
        let own = document.root();
        let text = |node: Option<Node<'_, '_>>, name: &str| {
            node.and_then(|node| node.member(name)).and_then(Node::text).map(|text| text.chars().take(SHOWN).collect())
        };
        Ok(Self {
            id: stored.id,
            software,
            account,
            status: text(Some(own), "status").unwrap_or_default(),
            criteria: text(Some(own), "criteria").unwrap_or_default(),
            endpoint: text(own.member("channel"), "endpoint"),
            error: text(Some(own), "error"),
        })
    }
}

impl Records {
    /// Those that are not deleted, first those that are told, newest first, a thousand at most; and whether there are more.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn list_subscriptions(&self) -> Result<(Vec<Listed>, bool), Error> {
        let columns = format!("{COLUMNS}, c.name AS software, a.name AS account");
        let from = "resource r LEFT JOIN subscription s ON s.rid = r.rid LEFT JOIN subscription_of o ON o.rid = r.rid \
                    LEFT JOIN client c ON c.id = COALESCE(s.client, o.client) \
                    LEFT JOIN account a ON a.id = COALESCE(s.account, o.account)";
        let sight = Caller::administrator().sight(Verb::Read);
        let mut question = Statement::kept_of(&columns, from, &sight, Kind::SUBSCRIPTION);
        question
            .text(" AND r.gone = 0 ORDER BY CASE WHEN s.rid IS NULL THEN 1 ELSE 0 END, r.rid DESC LIMIT ")
            .value(i64::from(MOST) + 1);
        self.database().read("list subscriptions", |sql| {
            let mut listed = all(sql, "subscription", question.sql(), question.values(), Listed::of)?;
            let more = listed.len() > usize::from(MOST);
            listed.truncate(MOST.into());
            Ok((listed, more))
        })
    }

    /// Which hub tells, of all of the store.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn telling(&self) -> Result<Option<Telling>, Error> {
        self.database().read("ask who tells", |sql| {
            first(sql, "telling", "SELECT hub, beat FROM telling WHERE id = 1", &[], |row| {
                Ok(Telling { hub: row.bytes("hub")?, beat: row.number("beat")? })
            })
        })
    }

    /// Says that `hub` tells, if nobody has said so since `seen`; whether it does.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn tells(&self, hub: [u8; 16], seen: Option<Telling>) -> Result<bool, Error> {
        self.database().write_single("take the turn to tell", move |sql| {
            let said = match seen {
                None => {
                    let take = "INSERT INTO telling (id, hub, beat) VALUES (1, ?1, 0) ON CONFLICT (id) DO NOTHING";
                    sql.execute(take, values![hub])?
                }
                Some(seen) => {
                    let take = "UPDATE telling SET hub = ?1, beat = beat + 1 WHERE id = 1 AND hub = ?2 AND beat = ?3";
                    sql.execute(take, values![hub, seen.hub, seen.beat])?
                }
            };
            Ok(said == 1)
        })
    }

    /// `hub` tells no more, and another one may at once.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn tells_no_more(&self, hub: [u8; 16]) -> Result<(), Error> {
        self.database().write_single("give the turn to tell back", move |sql| {
            sql.execute("DELETE FROM telling WHERE hub = ?1", values![hub]).map(drop)
        })
    }

    /// Subscriptions whose time has come and behind whose place something has changed.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn due(&self, now: Millis, newest: Seq) -> Result<Vec<Due>, Error> {
        let question = "SELECT rid, client, told FROM subscription WHERE next <= ?1 AND told < ?2 ORDER BY told, rid";
        self.database().read("look for subscriptions", |sql| {
            all(sql, "subscription", question, values![now.0, newest.0], |row| {
                let client = row.text("client")?.to_owned();
                Ok(Due { row: Row(row.number("rid")?), client, told: Seq(row.number("told")?) })
            })
        })
    }

    /// The subscription as it is now, if it is served.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn subscribed(&self, row: Row) -> Result<Option<Subscribed>, Error> {
        let sight = Caller::administrator().sight(Verb::Read);
        let columns = format!(
            "{COLUMNS}, s.leave, s.client, s.account, s.scopes, s.until, s.told AS told, s.failures AS failures"
        );
        let from = "subscription s JOIN resource r ON r.rid = s.rid";
        let mut question = Statement::kept_by_row(&columns, from, &sight, Kind::SUBSCRIPTION);
        question.text(" AND r.gone = 0 AND s.rid = ").value(row.0);
        self.database().read("look for a subscription", |sql| {
            first(sql, "subscription", question.sql(), question.values(), |row| {
                Ok(Subscribed {
                    stored: Stored::of(row)?,
                    subscriber: subscriber(row)?,
                    told: Seq(row.number("told")?),
                    failures: row.number("failures")?,
                })
            })
        })
    }

    /// What of the changes behind `told` is wanted and in sight at this moment. It is looked through thousands, until there is enough
    /// to tell, and no longer than `limit`.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub(crate) fn changed(
        &self,
        sights: &Sights,
        plan: &Plan,
        (told, newest): (Seq, Seq),
        limit: Duration,
    ) -> Result<Changed, Error> {
        self.database().read_within("look for what has changed", limit, |sql| {
            let (mut found, mut upto) = (HashMap::new(), told);
            for _ in 0..QUESTIONS {
                let question =
                    "SELECT seq, rid FROM change WHERE seq > ?1 AND seq <= ?2 AND kind = ?3 ORDER BY seq LIMIT ?4";
                let of = values![upto.0, newest.0, i64::from(plan.kind().number()), CHANGES as i64];
                let changes: Vec<(i64, i64)> =
                    all(sql, "change", question, of, |row| Ok((row.number("seq")?, row.number("rid")?)))?;
                let is_last = changes.len() < CHANGES;
                upto = match changes.last() {
                    Some((seq, _)) if !is_last => Seq(*seq),
                    _ => newest,
                };
                // Of what has changed twice, the last change counts.
                let last: HashMap<i64, i64> = changes.into_iter().map(|(seq, rid)| (rid, seq)).collect();
                if !last.is_empty() {
                    let rows: Vec<i64> = last.keys().copied().collect();
                    let question = wanted(sql, "r.rid", sights, plan, &rows)?;
                    let rows = all(sql, "resource", question.sql(), question.values(), |row| row.number("rid"))?;
                    found.extend(rows.into_iter().filter_map(|rid: i64| Some((rid, *last.get(&rid)?))));
                }
                if is_last || found.len() >= TOGETHER {
                    break;
                }
            }
            let mut found: Vec<(Seq, Row)> = found.into_iter().map(|(rid, seq)| (Seq(seq), Row(rid))).collect();
            found.sort_unstable();
            if found.len() > TOGETHER {
                found.truncate(TOGETHER);
                upto = found.last().map_or(upto, |(seq, _)| *seq);
            }
            Ok(Changed { found, upto })
        })
    }

    /// The resource with this row, if it is wanted and in sight at this moment, looked for no longer than `limit`.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub(crate) fn wanted(
        &self,
        sights: &Sights,
        plan: &Plan,
        row: Row,
        limit: Duration,
    ) -> Result<Option<Stored>, Error> {
        self.database().read_within("read what is told", limit, |sql| {
            let question = wanted(sql, COLUMNS, sights, plan, &[row.0])?;
            first(sql, "resource", question.sql(), question.values(), Stored::of)
        })
    }

    /// Whose those of these rows are that are wanted and in sight at this moment, looked for no longer than `limit`.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub(crate) fn patients_of_wanted(
        &self,
        sights: &Sights,
        plan: &Plan,
        rows: &[Row],
        limit: Duration,
    ) -> Result<Vec<Option<Row>>, Error> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<i64> = rows.iter().map(|row| row.0).collect();
        self.database().read_within("look whose it is that is told", limit, |sql| {
            let question = wanted(sql, "r.patient", sights, plan, &rows)?;
            all(sql, "resource", question.sql(), question.values(), |row| Ok(row.optional_number("patient")?.map(Row)))
        })
    }

    /// Notes how far a subscription was told, if it stands at `from` still; how often it could not be, and when it is tried again.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_told(
        &self,
        row: Row,
        (from, told): (Seq, Seq),
        failures: u32,
        next: Millis,
    ) -> Result<bool, Error> {
        self.database().write_single("note what was told", move |sql| {
            let update = "UPDATE subscription SET told = ?3, failures = ?4, next = ?5 WHERE rid = ?1 AND told = ?2";
            Ok(sql.execute(update, values![row.0, from.0, told.0, failures, next.0])? == 1)
        })
    }

    /// Notes how far subscriptions were looked for, each if it stands where that began still.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_places(&self, places: &[(Row, Seq, Seq)]) -> Result<(), Error> {
        let Some(last) = places.last() else { return Ok(()) };
        let mut update = Statement::default();
        update.text("UPDATE subscription SET told = p.column3 FROM (VALUES ");
        // Few texts, not one for each length, as in [`Statement::list`].
        let padded = [1, 4, 16, 64, 256].into_iter().find(|length| *length >= places.len()).unwrap_or(MOST.into());
        let all = places.iter().chain(std::iter::repeat(last)).take(padded.max(places.len()));
        for (number, (row, from, to)) in all.enumerate() {
            update.text(if number > 0 { ", (CAST(" } else { "(CAST(" }).value(row.0).text(" AS BIGINT), CAST(");
            update.value(from.0).text(" AS BIGINT), CAST(").value(to.0).text(" AS BIGINT))");
        }
        update.text(") AS p WHERE subscription.rid = p.column1 AND subscription.told = p.column2");
        self.database()
            .write_single("note how far it was looked", move |sql| sql.execute(update.sql(), update.values()).map(drop))
    }

    /// Nothing is told any more.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn end_subscription(&self, row: Row) -> Result<(), Error> {
        self.database().write_single("end a subscription", move |sql| remove(sql, row))
    }

    /// How many are told.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn subscriptions(&self) -> Result<u64, Error> {
        self.database().read("count subscriptions", |sql| {
            let question = "SELECT count(*) AS n FROM subscription";
            Ok(first(sql, "subscription", question, &[], |row| row.number("n"))?.unwrap_or(0))
        })
    }

    /// Who has waited longest to be told; `None`: all were told everything.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn behind(&self) -> Result<Option<Behind>, Error> {
        self.database().read_snapshot("look who was not told", |sql| {
            let last = "SELECT rid, told FROM subscription ORDER BY told, rid LIMIT 1";
            let last = first(sql, "subscription", last, &[], |row| Ok((Row(row.number("rid")?), row.number("told")?)))?;
            let Some((row, told)): Option<(Row, i64)> = last else { return Ok(None) };
            let next = "SELECT updated FROM change WHERE seq > ?1 ORDER BY seq LIMIT 1";
            let since = first(sql, "change", next, values![told], |row| Ok(Millis(row.number("updated")?)))?;
            Ok(since.map(|since| Behind { row, since }))
        })
    }
}

fn subscriber(row: &Found) -> Result<Subscriber, Fault> {
    let person = match row.optional_number("account")? {
        None => None,
        Some(account) => Some((row.number("leave")?, account)),
    };
    let client = row.text("client")?.to_owned();
    Ok(Subscriber { client, person, scopes: scopes_of(row, "scopes")?, until: row.number("until")? })
}

/// Asks for those of these rows that a search wants and its subscriber may both look for and read.
fn wanted(sql: &mut dyn Sql, columns: &str, sights: &Sights, plan: &Plan, rows: &[i64]) -> Result<Statement, Fault> {
    let mut question = search::among(sql, columns, &sights.search, plan, rows)?;
    question.text(" AND ");
    sights.read.write(plan.kind(), "r", &mut question);
    Ok(question)
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::super::schema::SCHEMA;
    use super::*;
    use crate::access::{Reach, Right, Verbs};
    use crate::auth::Scopes;
    use crate::definitions::Definitions;
    use crate::kind::Id;
    use crate::query::{self, Handling, Terms};
    use crate::tests::member;
    use medlock_node::clock::Clock;
    use medlock_store::postgres::Server;
    use medlock_store::{Database, Schema};
    use medlock_testkit::PostgresServer;

    /// The steps of a store before Subscriptions had scopes of their own.
    const BEFORE: usize = 14;

    fn places(folder: &std::path::Path) -> [Place; 2] {
        let server = PostgresServer::shared();
        let server = Server::new(&server.url(), &server.schema(), None, None).expect("an address");
        [Place::File(folder.join("clinical.db")), Place::Server(Box::new(server))]
    }

    /// Shows REQ-SUB-40: what one subscriber wants costs by what has changed, not by all that there is.
    #[test]
    fn only_what_has_changed_is_looked_at() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::open(&Place::File(folder.path().join("x.db")), Clock::system()).expect("opened");
        let verbs = Verbs::of([Verb::Search, Verb::Read]);
        let reads = |kind| Right { kind, verbs, reach: Reach::All, only: None };
        let sight = || Sight::new([Kind::OBSERVATION, Kind::PATIENT].into_iter().map(reads));
        let sights = Sights { search: sight(), read: sight() };
        let id = Id::fresh(Millis(1));
        for query in [
            format!("device=Device/{id}"),
            "patient.gender=female".to_owned(),
            "patient:Patient.name=a".to_owned(),
            "value-string=a".to_owned(),
            format!("patient={id}&code=x"),
        ] {
            let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
            let terms = Terms { handling: Handling::Strict, most: 50, bases: &[] };
            let plan = query::plan(Kind::OBSERVATION, &pairs, terms, Definitions::r4()).expect(&query);
            let told = records.database().read("explain", |sql| {
                let question = wanted(sql, "r.rid", &sights, &plan, &[5, 6, 7])?;
                let explain = format!("EXPLAIN QUERY PLAN {}", question.sql());
                all(sql, "plan", &explain, question.values(), |row| Ok(row.text("detail")?.to_owned()))
            });
            let told = told.expect(&query);
            let by_row = "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)";
            assert!(told.iter().any(|line| line == by_row), "{query}: {told:#?}");
            let all_of = ["SCAN", "_patient", "_code", "_updated", "(param=? AND target=?)", "(param=? AND value"];
            let wide = |line: &String| all_of.iter().any(|all_of| line.contains(all_of));
            assert!(!told.iter().any(wide), "{query}: {told:#?}");
        }
    }

    /// Shows REQ-SUB-17: how far one was told or looked for is noted for all together, and for nobody who stands elsewhere by now.
    #[test]
    fn a_place_is_moved_only_from_where_it_was_read() {
        let folder = tempfile::tempdir().expect("a folder");
        for place in places(folder.path()) {
            let records = Records::open(&place, Clock::system()).expect("opened");
            let filled = records.database().write("fill it", |sql| {
                let insert = "INSERT INTO subscription (rid, leave, client, scopes, until, told, failures, next) \
                              VALUES (?1, 0, 'c', '', 9, ?2, 0, 0)";
                (1..=3_i64).try_for_each(|row| sql.execute(insert, values![row, row * 10]).map(drop))
            });
            filled.expect("filled");
            let told = || {
                let due = records.due(Millis(0), Seq(100)).expect("all");
                due.into_iter().map(|due| (due.row.0, due.told.0)).collect::<Vec<_>>()
            };
            let looked = [(1, 10, 40), (2, 19, 40), (4, 40, 50)].map(|(row, from, to)| (Row(row), Seq(from), Seq(to)));
            records.keep_places(&looked).expect("noted");
            assert_eq!(told(), [(2, 20), (3, 30), (1, 40)], "the second was told meanwhile, or written anew");
            let noted = |from, to| records.keep_told(Row(3), (Seq(from), Seq(to)), 0, Millis(0)).expect("noted");
            assert!(!noted(29, 50) && noted(30, 35));
            assert_eq!(told(), [(2, 20), (3, 35), (1, 40)]);
        }
    }

    /// Shows REQ-SUB-22: who is written anew with the same criteria keeps its pauses for the server that was away, and for no other one.
    #[test]
    fn pauses_are_those_of_a_server() {
        let folder = tempfile::tempdir().expect("a folder");
        for place in places(folder.path()) {
            let records = Records::open(&place, Clock::system()).expect("opened");
            let written = records.database().write("write it anew, twice", |sql| {
                let insert = "INSERT INTO subscription (rid, leave, client, scopes, until, told, failures, next) \
                              VALUES (1, 0, 'c', '', 9, 7, 5, 60)";
                sql.execute(insert, &[])?;
                let (client, scopes) = ("c".to_owned(), Scopes::default());
                let subscriber = Subscriber { client, person: None, scopes, until: 9 };
                let mut anew = |same_server| {
                    let start = Start::of(sql, Row(1), same_server)?;
                    assert!(write(sql, Row(1), Some(&subscriber), start).is_ok());
                    let question = "SELECT told, failures, next FROM subscription WHERE rid = 1";
                    let numbers =
                        |row: &Found| Ok([row.number::<i64>("told")?, row.number("failures")?, row.number("next")?]);
                    first(sql, "subscription", question, &[], numbers)
                };
                Ok([anew(true)?, anew(false)?])
            });
            assert_eq!(written.expect("written"), [Some([7, 5, 60]), Some([7, 0, 0])]);
        }
    }

    /// Shows REQ-SUB-14: an account has 32 Subscriptions at most with all its apps, and an app 256 with all its people.
    #[test]
    fn people_and_their_apps_have_so_many() {
        let folder = tempfile::tempdir().expect("a folder");
        let [place, _] = places(folder.path());
        let records = Records::open(&place, Clock::system()).expect("opened");
        let subscribes = |row: i64, client: &'static str, account: i64| {
            let subscriber = Subscriber {
                client: client.to_owned(),
                person: Some((1, account)),
                scopes: Scopes::default(),
                until: 9,
            };
            let written = records
                .database()
                .write("subscribe", move |sql| Ok(write(sql, Row(row), Some(&subscriber), Start::default()).is_ok()));
            written.expect("answered")
        };
        assert!((1..=16).all(|row| subscribes(row, "one", 0)) && (17..=32).all(|row| subscribes(row, "two", 0)));
        assert!(!subscribes(33, "three", 0) && subscribes(32, "two", 0), "the last one written anew");
        assert!((33..=272).all(|row| subscribes(row, "one", row)), "these and the first sixteen are 256");
        assert!(!subscribes(273, "one", 999) && subscribes(273, "three", 999));
    }

    /// Shows REQ-SUB-50: the software of one community has a quarter of all Subscriptions, and others find room.
    #[test]
    fn one_community_has_a_quarter() {
        let folder = tempfile::tempdir().expect("a folder");
        for place in places(folder.path()) {
            let records = Records::open(&place, Clock::system()).expect("opened");
            for number in 0..9 {
                records.add_client(member(&format!("c{number}"), "c", "system/Patient.rs"), 1).expect("kept");
            }
            records.add_client(member("d", "d", "system/Patient.rs"), 1).expect("kept");
            let subscribes = |row: i64, client: String, person: Option<(i64, i64)>| {
                let subscriber = Subscriber { client, person, scopes: Scopes::default(), until: 9 };
                let written = records.database().write("subscribe", move |sql| {
                    Ok(write(sql, Row(row), Some(&subscriber), Start::default()).is_ok())
                });
                written.expect("answered")
            };
            let [last, other, own] = [0, 1, 2].map(|row| OF_COMMUNITY + row);
            assert!((1..OF_COMMUNITY).all(|row| subscribes(row, format!("c{}", row / OF_ONE), None)));
            assert!(subscribes(last, "c8".to_owned(), Some((1, 1))), "an app of its people too");
            assert!(!subscribes(other, "c8".to_owned(), None) && !subscribes(other, "c8".to_owned(), Some((2, 2))));
            assert!(subscribes(other, "d".to_owned(), None) && subscribes(own, "own".to_owned(), None));
        }
    }

    /// Shows REQ-SUB-11: a store of before is told as before, each Subscription with the scopes of its grant; software needs none any more.
    #[test]
    fn subscriptions_of_before_keep_what_was_granted_to_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = Schema { steps: SCHEMA.steps.get(..BEFORE).expect("steps"), ..SCHEMA };
        for place in places(folder.path()) {
            let before = match &place {
                Place::File(file) => Database::sqlite(file, &old),
                Place::Server(server) => Database::postgres(Server::clone(server), &old),
            };
            let filled = before.expect("a store of before").write("fill it", |sql| {
                let leave =
                    "INSERT INTO leave (id, client, account, scopes, made, until) VALUES (?1, ?2, ?3, ?4, 5, 99)";
                sql.execute(leave, values![7_i64, "own", None::<i64>, "system/Observation.rs"])?;
                sql.execute(leave, values![8_i64, "app", Some(3_i64), "user/Observation.rs"])?;
                let insert = "INSERT INTO subscription (rid, leave, told, failures, next) VALUES (?1, ?2, 11, 0, 0)";
                sql.execute(insert, values![1_i64, 7_i64])?;
                sql.execute(insert, values![2_i64, 8_i64]).map(drop)
            });
            filled.expect("filled");
            let records = Records::open(&place, Clock::system()).expect("brought up to date");
            let read = records.database().read("read", |sql| {
                let question = "SELECT leave, client, account, scopes, until, told FROM subscription ORDER BY rid";
                let all =
                    all(sql, "subscription", question, &[], |row| Ok((subscriber(row)?, row.number::<i64>("told")?)))?;
                let live = "SELECT id FROM leave WHERE ended IS NULL";
                Ok((all, super::all(sql, "leave", live, &[], |row| row.number::<i64>("id"))?))
            });
            let (found, live) = read.expect("read");
            let told: Vec<_> = found
                .iter()
                .map(|(one, told)| (&*one.client, one.person, one.scopes.to_string(), one.until, *told))
                .collect();
            let own = ("own", None, "system/Observation.rs".to_owned(), 99, 11);
            assert_eq!(told, [own, ("app", Some((8, 3)), "user/Observation.rs".to_owned(), 99, 11)]);
            assert_eq!(live, [8], "what was granted to software for this alone has ended");
        }
    }
}
