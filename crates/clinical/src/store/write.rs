//! Changes: all of a request, or nothing of it, with its audit, in one verb. Each is judged by the sight of its caller: the
//! row as it was and the row as it becomes, within that verb.

use super::act::{Act, Done, Expected, How, Unapplied};
use super::beginning::beginning;
use super::dictionary::Numbers;
use super::names::Bound;
use super::read::Stored;
use super::subscription::Start;
use super::whose::Named;
use super::{
    OF_ONE, Origin, Records, Statement, account, consent, former, handed, holds, index, intake, lacking, names, read,
    subscription, testimony, token,
};
use crate::access::{Author, Caller, Naming, Reach, Sight, Verb, Writer};
use crate::audit::{self, Note};
use crate::consent::Compiled;
use crate::definitions::{Definitions, Owner};
use crate::kind::{Id, Kind, Millis, Row, Version};
use crate::outcome::{Code, Issue, Refusal};
use crate::provenance;
use crate::subscription::Wanted;
use crate::validate::{PatientOf, Prepared};
use crate::{moment, validate};
use medlock_store::{Error, Fault, Sql, first, values};
use medlock_trust::DeviceName;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// So far ahead of this server's clock, in milliseconds, a device's may be that writes by itself.
const AHEAD: i64 = 5 * 60_000;
/// Bytes of what is changed, deleted or given again, as it was before, by one verb: others wait while it is copied.
const BYTES: usize = 16 << 20;
/// Rows here by their names, and whose those are.
pub(super) type Rows = HashMap<(Kind, Id), (Row, Option<Row>)>;

/// All that a verb needs: it may run more than once.
pub(super) struct Work {
    /// Which Device a device has to be still.
    device: Option<(DeviceName, Bound)>,
    /// By what was granted it is done; 0: by nothing that ends.
    leave: i64,
    pub(super) acts: Vec<Act>,
    notes: Vec<Note>,
    /// What was looked for besides, and of whom.
    looked: Note,
    pub(super) numbers: Numbers,
    pub(super) sights: Sights,
    pub(super) naming: Naming,
    author: Author,
    /// Whose the Subscriptions are that are made.
    writer: Option<Writer>,
    /// What is said of the device that writes, of each act.
    statements: Vec<Option<provenance::Statement>>,
    /// The Provenances that rows may name.
    open: Arc<testimony::Statements>,
}

/// What the caller may do at this moment.
pub(super) struct Sights {
    pub(super) references: Sight,
    read: Sight,
    search: Sight,
    /// What of that may be given.
    given: Sight,
    create: Sight,
    update: Sight,
    delete: Sight,
}

/// What a verb found, where it ends itself: the savepoint is rolled back with it.
enum Ended {
    Refused { act: usize, why: Refusal },
    Changed,
}

/// Why a verb went no further.
pub(super) enum Stopped {
    Fault(Fault),
    Refused(Refusal),
    Changed,
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

pub(super) fn refused(issue: Issue) -> Stopped {
    Stopped::Refused(issue.into())
}

impl Records {
    /// A name for a resource that is to be made.
    #[must_use]
    pub fn fresh_id(&self) -> Id {
        Id::fresh(Millis(self.clock.unix_millis()))
    }

    /// Does all acts or none, with the audit: that of the acts, and that of the search for what decided them, of the patients whom `note`
    /// has besides.
    ///
    /// # Errors
    /// [`Unapplied`].
    pub fn apply(&self, caller: &Caller, acts: Vec<Act>, note: &Note) -> Result<Vec<Done>, Unapplied> {
        let acts = self.moving(caller, acts)?;
        self.apply_while(None, caller, acts, note)
    }

    /// The same, if the device is still the Device that it was when it was asked whose it is: otherwise nothing is done.
    ///
    /// # Errors
    /// [`Unapplied`].
    pub(crate) fn apply_while(
        &self,
        device: Option<(DeviceName, Bound)>,
        caller: &Caller,
        acts: Vec<Act>,
        note: &Note,
    ) -> Result<Vec<Done>, Unapplied> {
        let clock = self.clock.clone();
        let statements: Vec<_> = acts.iter().map(|act| caller.statement(act.verb(), act.kind())).collect();
        let mut said: Vec<provenance::Statement> = statements.iter().flatten().cloned().collect();
        said.dedup_by_key(|statement| statement.same());
        let codes: Vec<_> = said.iter().map(testimony::codes).collect();
        let waited = acts.iter().filter_map(Act::prepared).filter_map(Prepared::origin).filter_map(Origin::rows);
        let rows =
            acts.iter().filter_map(Act::prepared).map(Prepared::rows).chain(&codes).chain(waited).collect::<Vec<_>>();
        let codings = acts.iter().filter_map(Act::prepared).filter_map(Prepared::consent).flat_map(Compiled::codings);
        let numbers = self.dictionary.numbers(self.database(), &rows, codings)?;
        let looked = note.clone().looking();
        let notes = acts.iter().map(|act| note.doing(caller, act.verb(), act.kind())).collect();
        let sights = Sights {
            references: caller.references(),
            read: caller.sight_to_write(Verb::Read),
            search: caller.sight_to_write(Verb::Search),
            given: caller.sight(Verb::Search),
            create: caller.sight(Verb::Create),
            update: caller.sight(Verb::Update),
            delete: caller.sight(Verb::Delete),
        };
        let (naming, author, open) = (caller.naming(), caller.author(), Arc::clone(&self.statements));
        let (leave, writer) = (caller.leave(), caller.writer());
        let work =
            Work { device, leave, acts, notes, looked, numbers, sights, naming, author, writer, statements, open };
        let ended: Arc<Mutex<Option<Ended>>> = Arc::default();
        let told = Arc::clone(&ended);
        let presses = matches!(work.acts.as_slice(), [act] if act.presses());
        let verb = move |sql: &mut dyn Sql| {
            let (at, audited) = beginning(sql, &clock)?;
            let (known, named, left) = (Rows::new(), testimony::Named::new(), BYTES);
            let mut running = Running { work: &work, sql, at, audited, known, former: Vec::new(), named, act: 0, left };
            let done = running.all();
            let Running { act, named, .. } = running;
            done.map(|done| (done, named)).map_err(|stopped| {
                let end = match stopped {
                    Stopped::Fault(fault) => return fault,
                    Stopped::Refused(why) => Ended::Refused { act, why },
                    Stopped::Changed => Ended::Changed,
                };
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
                Fault::Missing("resource within the caller's rights")
            })
        };
        let (database, doing) = (self.database(), "write resources");
        let done = if presses {
            database.write_first_within(doing, OF_ONE, verb)
        } else {
            database.write_within(doing, OF_ONE, verb)
        };
        let done = done.map(|(done, named)| {
            self.statements.used(named);
            done
        });
        done.map_err(|error| match ended.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(Ended::Refused { act, why }) if matches!(error, Error::Missing { .. }) => {
                Unapplied::Refused { act, why }
            }
            Some(Ended::Changed) if matches!(error, Error::Missing { .. }) => Unapplied::Changed,
            _ => Unapplied::Store(error),
        })
    }
}

/// A verb as it runs.
pub(super) struct Running<'w> {
    pub(super) work: &'w Work,
    pub(super) sql: &'w mut dyn Sql,
    /// When it is done.
    pub(super) at: Millis,
    /// The hash of the newest entry of the audit.
    audited: Option<[u8; 32]>,
    /// What was looked for, and what was made.
    pub(super) known: Rows,
    /// What the act that is being done may name for the reason alone that it did before.
    pub(super) former: Vec<(Kind, Id)>,
    /// The Provenances that rows name.
    named: testimony::Named,
    /// The act that is being done.
    act: usize,
    /// Bytes of what was there before that may be copied still.
    left: usize,
}

impl Running<'_> {
    /// What is to be found is looked for and what ends is ended; then the new rows are made, so that they can refer to one
    /// another; then all is filled in, and judged as it stands at the end.
    fn all(&mut self) -> Result<Vec<Done>, Stopped> {
        let work = self.work;
        if let Some((name, bound)) = &work.device
            && names::bound(self.sql, name)? != *bound
        {
            return Err(Stopped::Changed);
        }
        // What ends a grant does not wait for what was asked with it before.
        if work.leave > 0 && token::has_ended(self.sql, work.leave)? {
            return Err(refused(Issue::new(
                Code::Token,
                "the token is not live: what was granted has ended meanwhile",
            )));
        }
        let until = Instant::now() + holds::TOGETHER;
        holds::all_of(self.sql, &work.sights.search, &work.acts, until).map_err(|(act, stopped)| {
            self.act = act;
            stopped
        })?;
        let mut before = Vec::with_capacity(work.acts.len());
        for (number, act) in work.acts.iter().enumerate() {
            self.act = number;
            before.push(self.before(act)?);
        }
        self.insert()?;
        let mut done = Vec::with_capacity(work.acts.len());
        for ((number, act), before) in work.acts.iter().enumerate().zip(before) {
            self.act = number;
            done.push(self.act(act, before)?);
        }
        self.judge(&done)?;
        let gone = done.iter().filter(|done| done.ends_accounts()).map(|done| done.row.0);
        account::left(self.sql, &gone.collect::<Vec<_>>(), self.at.0 / 1_000)?;
        let acts = work.acts.iter().zip(&done);
        let mut notes: Vec<Note> =
            work.notes.iter().zip(acts).map(|(note, (act, done))| noted(note, act, done)).collect();
        notes.extend(work.looked.but_for(&notes));
        audit::append_behind(self.sql, self.audited, self.at, &notes)?;
        Ok(done)
    }

    /// The row that an act is about, as it is before, without the resource itself. What may not be seen is as what is not there.
    fn before(&mut self, act: &Act) -> Result<Option<Stored>, Stopped> {
        let sights = &self.work.sights;
        let (sight, expected) = match act {
            Act::Create { .. } => return Ok(None),
            Act::Find { .. } => (&sights.search, &Expected::Anything),
            Act::Update { expected, .. } => (&sights.update, expected),
            Act::Delete { expected, .. } => (&sights.delete, expected),
        };
        let (kind, id) = (act.kind(), act.id());
        let Some((before, bytes)) = read::head(self.sql, sight, kind, &id)? else {
            let seen = read::head(self.sql, &sights.read, kind, &id)?.is_some();
            return match act {
                _ if seen => Err(forbidden(sight, kind)),
                // What is not there need not be deleted.
                Act::Delete { .. } => expected.is_met_by_none().map(|()| None).map_err(refused),
                _ => Err(refused(Issue::new(Code::NotFound, format!("there is no such {kind}")))),
            };
        };
        if !expected.is_met_by(&before) {
            let text = if before.gone {
                format!("the {kind} was deleted, with the version {}", before.version)
            } else {
                format!("the {kind} is there, with the version {}", before.version)
            };
            return Err(refused(Issue::new(Code::Version, text)));
        }
        self.same_patient(act, &before)?;
        if !matches!(act, Act::Find { whole: false, .. }) {
            let text = "what was there before has more than 16 MiB together: ask for fewer changes at once";
            let left = self.left.checked_sub(bytes);
            self.left = left.ok_or_else(|| refused(Issue::new(Code::TooMuch, text)))?;
        }
        Ok(Some(before))
    }

    /// Makes the new rows: patients first, then devices, then what is of those.
    fn insert(&mut self) -> Result<(), Stopped> {
        let mut new: Vec<_> = self.work.acts.iter().enumerate().collect();
        new.retain(|(_, act)| matches!(act, Act::Create { .. }));
        new.sort_by_key(|(_, act)| match act.kind() {
            Kind::PATIENT => 0,
            Kind::DEVICE => 1,
            _ => 2,
        });
        for (number, act) in new {
            self.act = number;
            let Act::Create { id, to, .. } = act else { continue };
            let patient = self.patient(to, None)?;
            let insert = "INSERT INTO resource (kind, id, version, gone, patient, statement, at, until, updated, c0, c1, c2, c3, body) \
                          VALUES (?1, ?2, 1, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
            let statement = self.statement(number, patient)?;
            let own = values![i64::from(to.kind().number()), id.as_str(), patient.map(|row| row.0), statement];
            let parameters = [&own[..], &self.columns(to)?].concat();
            let row = Row(self.sql.insert("rid", insert, &parameters)?);
            let patient = if to.patient() == PatientOf::Itself {
                self.sql.execute("UPDATE resource SET patient = rid WHERE rid = ?1", values![row.0])?;
                Some(row)
            } else {
                patient
            };
            self.known.insert((to.kind(), *id), (row, patient));
        }
        Ok(())
    }

    /// The Provenance that the row of an act names: of what a device writes.
    fn statement(&mut self, act: usize, patient: Option<Row>) -> Result<Option<i64>, Fault> {
        let work = self.work;
        let Some(statement) = work.statements.get(act).and_then(Option::as_ref) else { return Ok(None) };
        let named = (&*work.open, &mut self.named);
        testimony::row(self.sql, named, statement, patient, (&work.numbers, self.at)).map(Some)
    }

    /// What the columns of a row hold, from `at` to `body`.
    fn columns(&self, to: &Prepared) -> Result<Vec<medlock_store::Value>, Fault> {
        let rows = to.rows();
        let column =
            |place: usize| rows.columns.get(place).map_or(Ok(None), |codings| self.work.numbers.concept(codings));
        let at = self.at;
        Ok(values![
            rows.at.map_or(at, |span| span.low).0,
            rows.at.map(|span| span.high.0),
            at.0,
            column(0)?,
            column(1)?,
            column(2)?,
            column(3)?,
            to.tail(),
        ]
        .to_vec())
    }

    fn act(&mut self, act: &Act, before: Option<Stored>) -> Result<Done, Stopped> {
        let (kind, id) = (act.kind(), act.id());
        match (act, before) {
            (Act::Create { to, .. }, _) => {
                self.is_for_everybody(to)?;
                let (row, patient) = self.known.get(&(kind, id)).copied().ok_or(Fault::Missing("new row"))?;
                self.index(row, to)?;
                self.originate((row, patient), (kind, to.rows(), to.origin()))?;
                self.name(row, to)?;
                self.provide(row, patient, to)?;
                self.subscribe(row, to, None)?;
                self.finish(How::Created, (kind, id), (row, patient), Version::FIRST, to.tail())
            }
            (Act::Update { to, bases, .. }, Some(_)) => {
                let before = read::whole(self.sql, kind, &id)?;
                self.update(id, to, &before, bases)
            }
            (Act::Delete { .. }, Some(before)) if !before.gone => self.delete(&before),
            (Act::Find { whole, .. }, Some(before)) => Ok(Done {
                how: How::Found,
                kind,
                id,
                version: before.version,
                updated: before.updated,
                row: before.row,
                patient: before.patient,
                was: None,
                body: if *whole { self.given(kind, &id)? } else { Vec::new() },
            }),
            // It is gone already, or never was.
            (_, before) => Ok(Done {
                how: How::Deleted,
                kind,
                id,
                version: before.as_ref().map_or(Version::FIRST, |before| before.version),
                updated: before.as_ref().map_or(self.at, |before| before.updated),
                row: before.as_ref().map_or(Row(0), |before| before.row),
                patient: before.and_then(|before| before.patient),
                was: None,
                body: Vec::new(),
            }),
        }
    }

    /// What is there already, to be given: no consent was asked on the way to it of what a device writes, but is asked now.
    fn given(&mut self, kind: Kind, id: &Id) -> Result<Vec<u8>, Fault> {
        let question = read::kept(&self.work.sights.given, kind, id);
        let found = first(self.sql, "resource", question.sql(), question.values(), Stored::of)?;
        Ok(found.map(|found| found.body).unwrap_or_default())
    }

    fn index(&mut self, row: Row, to: &Prepared) -> Result<(), Fault> {
        let known = &self.known;
        let target = |kind: Kind, id: Id| known.get(&(kind, id)).map(|(row, _)| *row);
        index::write(self.sql, row, to.rows(), &self.work.numbers, target)
    }

    /// What a Device says of itself is so, or the caller may say it.
    fn name(&mut self, row: Row, to: &Prepared) -> Result<(), Stopped> {
        if to.kind() != Kind::DEVICE {
            return Ok(());
        }
        names::keep(self.sql, row, to.rows(), self.work.naming, self.at)
    }

    /// What a Consent says is in force with it.
    fn provide(&mut self, row: Row, patient: Option<Row>, to: &Prepared) -> Result<(), Stopped> {
        let Some(compiled) = to.consent() else { return Ok(()) };
        let known = &self.known;
        let target = |kind: Kind, id: Id| known.get(&(kind, id)).map(|(row, _)| *row);
        let patient = patient.ok_or(Fault::Missing("patient of a consent"))?;
        consent::keep(self.sql, (row, patient), compiled, &self.work.numbers, target)
    }

    /// Who wants to be told by a Subscription, is from now on; who wants the same as before, goes on where that stands. One that its
    /// writer switches off begins anew.
    fn subscribe(&mut self, row: Row, to: &Prepared, before: Option<&Stored>) -> Result<(), Stopped> {
        if to.kind() != Kind::SUBSCRIPTION {
            return Ok(());
        }
        if let (true, Some(writer)) = (before.is_none_or(|before| before.gone), &self.work.writer) {
            subscription::begin(self.sql, row, writer)?;
        }
        let goes_on = to.subscriber().is_some() || self.work.naming == Naming::Any;
        let before = before.filter(|_| goes_on).and_then(|before| {
            let body = validate::body(before.kind, &before.id, Version::FIRST.number(), "", to.tail());
            Some((Wanted::of_kept(&before.body)?, Wanted::of_kept(&body)?))
        });
        let start = match before {
            Some((before, now)) if (before.kind, &before.query) == (now.kind, &now.query) => {
                Start::of(self.sql, row, before.endpoint == now.endpoint)?
            }
            _ => Start::default(),
        };
        subscription::write(self.sql, row, to.subscriber(), start)
    }

    fn update(&mut self, id: Id, to: &Prepared, before: &Stored, bases: &[String]) -> Result<Done, Stopped> {
        let (kind, row) = (to.kind(), before.row);
        let named = self.patient(to, Some(&Named::by(before, bases)))?;
        let patient = if to.patient() == PatientOf::Itself { Some(row) } else { named };
        self.is_for_everybody(to)?;
        let version = self.keep_former(before)?;
        let update = "UPDATE resource SET gone = 0, version = ?2, patient = ?3, statement = ?4, at = ?5, until = ?6, updated = ?7, \
                      c0 = ?8, c1 = ?9, c2 = ?10, c3 = ?11, body = ?12 WHERE rid = ?1 AND version = ?13";
        let statement = self.statement(self.act, patient)?;
        let own = values![row.0, version.number(), patient.map(|row| row.0), statement];
        let mut parameters = [&own[..], &self.columns(to)?].concat();
        parameters.extend_from_slice(values![before.version.number()]);
        if self.sql.execute(update, &parameters)? != 1 {
            return Err(Stopped::Changed);
        }
        let rows = validate::rows_of(kind, &before.body, bases).ok_or(Fault::Missing("readable resource"))?;
        handed::unreserved(kind, &rows, to.rows())?;
        names::same_person(kind, self.work.author, &rows, to.rows())?;
        if before.gone {
            names::ends(kind, self.work.author)?;
        } else if kind == Kind::PATIENT {
            let (had, has) = (former::identifiers(&rows), former::identifiers(to.rows()));
            former::lose(self.sql, row, self.at, &had, &has)?;
        }
        index::remove(self.sql, row, &rows)?;
        self.known.insert((kind, id), (row, patient));
        self.index(row, to)?;
        self.name(row, to)?;
        self.provide(row, patient, to)?;
        self.subscribe(row, to, Some(before))?;
        if kind == Kind::DEVICE && patient != before.patient {
            self.move_metrics(row, patient)?;
        }
        // No other act may name it for that.
        for former in std::mem::take(&mut self.former) {
            self.known.remove(&former);
        }
        let done = self.finish(How::Updated, (kind, id), (row, patient), version, to.tail())?;
        Ok(Done { was: before.patient.filter(|was| Some(*was) != patient), ..done })
    }

    /// What a device measures is whose the device is.
    fn move_metrics(&mut self, device: Row, patient: Option<Row>) -> Result<(), Fault> {
        let Owner::Through(source) = Definitions::r4().owner(Kind::DEVICE_METRIC) else { return Ok(()) };
        let update = "UPDATE resource SET patient = ?1 WHERE kind = ?2 AND rid IN \
                      (SELECT l.rid FROM link l WHERE l.param = ?3 AND l.target = ?4)";
        let kind = i64::from(Kind::DEVICE_METRIC.number());
        self.sql.execute(update, values![patient.map(|row| row.0), kind, source.number(), device.0])?;
        Ok(())
    }

    /// A resource that is gone keeps its row and what it is found by: only who could see it learns that it was there.
    fn delete(&mut self, before: &Stored) -> Result<Done, Stopped> {
        if before.kind == Kind::DEVICE {
            names::stays(self.sql, before.row)?;
        }
        names::ends(before.kind, self.work.author)?;
        let version = self.keep_former(before)?;
        let update = "UPDATE resource SET gone = 1, statement = NULL, version = ?2, updated = ?3 WHERE rid = ?1 AND version = ?4";
        let parameters = values![before.row.0, version.number(), self.at.0, before.version.number()];
        if self.sql.execute(update, parameters)? != 1 {
            return Err(Stopped::Changed);
        }
        self.known.remove(&(before.kind, before.id));
        if before.kind == Kind::PATIENT {
            former::lose_all(self.sql, before.row, self.at, before.version)?;
        }
        if before.kind == Kind::SUBSCRIPTION {
            subscription::remove(self.sql, before.row)?;
        }
        if before.kind == Kind::CONSENT {
            consent::remove(self.sql, before.row)?;
        }
        self.finish(How::Deleted, (before.kind, before.id), (before.row, before.patient), version, &[])
    }

    /// Keeps the present version as a former one; the version that follows.
    fn keep_former(&mut self, before: &Stored) -> Result<Version, Stopped> {
        let next = before.version.next().ok_or(Fault::Missing("version that follows"))?;
        let insert = "INSERT INTO past (rid, version, updated, patient, gone, statement, body) \
                      SELECT rid, version, updated, patient, gone, statement, body FROM resource WHERE rid = ?1";
        self.sql.execute(insert, values![before.row.0])?;
        Ok(next)
    }

    /// Notes the change for those who follow them.
    fn finish(
        &mut self,
        how: How,
        (kind, id): (Kind, Id),
        (row, patient): (Row, Option<Row>),
        version: Version,
        tail: &[u8],
    ) -> Result<Done, Stopped> {
        let change = "INSERT INTO change (rid, version, kind, patient, updated, gone) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (number, of) = (i64::from(kind.number()), patient.map(|row| row.0));
        let gone = i64::from(how == How::Deleted);
        let change = self.sql.insert("seq", change, values![row.0, version.number(), number, of, self.at.0, gone])?;
        if kind == Kind::PATIENT {
            former::goes_on(self.sql, change)?;
        }
        let body = match how {
            How::Deleted => Vec::new(),
            _ => validate::body(kind, &id, version.number(), &moment::written(self.at), tail),
        };
        Ok(Done { how, kind, id, version, updated: self.at, body, row, patient, was: None })
    }

    /// Each row as it is now is one that the caller may make, or may change.
    fn judge(&mut self, done: &[Done]) -> Result<(), Stopped> {
        let mut groups: BTreeMap<(Kind, bool), Vec<(usize, i64)>> = BTreeMap::new();
        for (number, done) in done.iter().enumerate() {
            let created = done.how == How::Created;
            if created || done.how == How::Updated {
                groups.entry((done.kind, created)).or_default().push((number, done.row.0));
            }
        }
        for ((kind, created), rows) in groups {
            let sight = if created { &self.work.sights.create } else { &self.work.sights.update };
            let all: Vec<i64> = rows.iter().map(|(_, row)| *row).collect();
            // Who records that a patient denies everybody is one of them.
            let unruled = (kind == Kind::CONSENT).then(|| sight.clone().unruled());
            let mut question = Statement::seen_by_row("r.rid", unruled.as_ref().unwrap_or(sight), kind);
            question.text(" AND r.rid IN ").list(&all);
            let mut allowed = Vec::new();
            self.sql.each("resource", question.sql(), question.values(), &mut |row| {
                allowed.push(row.number("rid")?);
                Ok(true)
            })?;
            if let Some((act, row)) = rows.iter().find(|(_, row)| !allowed.contains(row)) {
                self.act = *act;
                return Err(
                    lacking::of_a_device(self.sql, sight, kind, Row(*row))?.unwrap_or_else(|| forbidden(sight, kind))
                );
            }
            if let Some(Reach::Device(device)) = sight.only_of(kind) {
                let latest = |act: usize| self.work.acts.get(act)?.prepared()?.rows().latest;
                let ahead = |(act, _): &&(usize, i64)| latest(*act).is_some_and(|said| said.0 > self.at.0 + AHEAD);
                let text = "it is of a time to come: whose the device is then, nobody knows yet";
                let mut wrong = rows.iter().find(ahead).map(|(_, row)| (*row, text));
                if wrong.is_none() {
                    let other = intake::of_another(self.sql, device, &all)?;
                    wrong = other.map(|row| (row, "when it measured, the device was not this patient's alone"));
                }
                if let Some((other, text)) = wrong {
                    self.act = rows.iter().find(|(_, row)| *row == other).map_or(self.act, |(act, _)| *act);
                    return Err(refused(Issue::new(Code::NotThen, text)));
                }
            }
        }
        Ok(())
    }
}

/// That a resource is not one of those that may be made or changed; and of which the scopes of the token let that be.
fn forbidden(sight: &Sight, kind: Kind) -> Stopped {
    let mut text = "the rights of the token do not reach this resource".to_owned();
    let constraints = sight.constraints(kind).into_iter().map(|only| format!("{kind}?{only}"));
    let constraints: Vec<String> = constraints.collect();
    if !constraints.is_empty() {
        text = format!("{text}: its scopes are for {} alone", constraints.join(" and "));
    }
    refused(Issue::new(Code::Forbidden, text))
}

fn noted(note: &Note, act: &Act, done: &Done) -> Note {
    let there = done.row != Row(0);
    let named = act.prepared().map(Prepared::named).unwrap_or_default();
    let patients = done.patient.into_iter().chain(done.was).chain(named.iter().copied()).collect();
    note.about(done.kind, there.then_some(done.row), there.then_some(done.version), patients)
}
