//! The audit, read: under the same sight as resources, newest first.

use super::search::{COUNTED, OF_WHOM};
use super::{Cursor, Order, Records, Statement};
use crate::access::{Reach, Sight};
use crate::audit::{By, Entry, Person};
use crate::definitions::Definitions;
use crate::kind::{Id, Kind, Millis, Row};
use crate::query::{Comparison, Ranges};
use crate::validate::SEPARATOR;
use crate::{DEVICE_SYSTEM, validate};
use medlock_store::{Error, Fault, Sql, all, first, values};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

/// One event: an entry, and one of its patients.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    pub(crate) at: Millis,
    pub(crate) entry: Entry,
    pub(crate) patient: Option<Row>,
    seq: i64,
    /// Which of the patients, from 0.
    place: usize,
}

impl Noted {
    /// The name of the event: the number of the entry, and of the patient.
    pub(crate) fn id(&self) -> String {
        match self.patient {
            Some(_) => format!("{}-{}", self.seq, self.place),
            None => self.seq.to_string(),
        }
    }

    fn cursor(&self) -> Cursor {
        Cursor { order: Order::Number(self.seq), row: Row(self.place as i64) }
    }
}

/// The number of an entry and of the patient that an event's name says.
fn named(id: &str) -> Option<(i64, Option<usize>)> {
    let plain = |text: &str| !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    match id.split_once('-') {
        Some((seq, place)) if plain(seq) && plain(place) => Some((seq.parse().ok()?, Some(place.parse().ok()?))),
        None if plain(id) => Some((id.parse().ok()?, None)),
        _ => None,
    }
}

/// What is asked of the audit: all of it has to hold.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Of one of these patients.
    pub(crate) patients: Option<Vec<Id>>,
    /// Noted then.
    pub(crate) dates: Vec<Ranges>,
    /// By one of these.
    pub(crate) agents: Option<Vec<(Kind, Id)>>,
    /// With one of these actions.
    pub(crate) actions: Option<Vec<String>>,
    /// With one of these outcomes.
    pub(crate) outcomes: Option<Vec<String>>,
}

/// A page of events, with what they name.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) all: Vec<Noted>,
    pub(crate) next: Option<Cursor>,
    /// How many there are, where a page has none; `None`: more than are counted.
    pub(crate) total: Option<i64>,
    /// Whose those are that are counted, as far as that is told, or the first one behind the page.
    pub(crate) besides: BTreeSet<Row>,
    /// Resources by their rows.
    pub(crate) resources: BTreeMap<i64, (Kind, Id)>,
    /// People by their accounts.
    pub(crate) people: BTreeMap<i64, Person>,
    /// Names of software by its identifiers.
    pub(crate) clients: BTreeMap<String, String>,
    /// Whether all patients may be seen.
    pub(crate) of_all: bool,
}

/// Whose entries may be seen: of all, or of these patients.
enum Whose {
    All,
    Except(BTreeSet<i64>),
    These(BTreeSet<i64>),
}

impl Whose {
    fn of(sight: &Sight) -> Self {
        let mut patients = BTreeSet::new();
        for reach in sight.reaches(Kind::AUDIT_EVENT) {
            match reach {
                Reach::All => return Self::All,
                Reach::Patient(row) => _ = patients.insert(row.0),
                // Nothing of the audit is a device's own, or of who writes Subscriptions.
                Reach::Device(_) | Reach::Writer(_) => {}
            }
        }
        Self::These(patients)
    }

    /// Without those whom consents hide.
    fn ruled(self, sql: &mut dyn Sql, sight: &Sight) -> Result<Self, Fault> {
        let Some((hidden, question)) = sight.spoken_of(Kind::AUDIT_EVENT) else { return Ok(self) };
        let found = all(sql, "resource", question.sql(), question.values(), |row| row.number::<i64>("rid"))?;
        let found: BTreeSet<i64> = found.into_iter().collect();
        Ok(match (self, hidden) {
            (Self::All | Self::Except(_), true) => Self::Except(found),
            (Self::All | Self::Except(_), false) => Self::These(found),
            (Self::These(own), true) => Self::These(own.difference(&found).copied().collect()),
            (Self::These(own), false) => Self::These(own.intersection(&found).copied().collect()),
        })
    }

    /// Those of `wanted` that may be seen.
    fn and(self, wanted: Option<BTreeSet<i64>>) -> Self {
        match (self, wanted) {
            (own, None) => own,
            (Self::All, Some(wanted)) => Self::These(wanted),
            (Self::Except(hidden), Some(wanted)) => Self::These(wanted.difference(&hidden).copied().collect()),
            (Self::These(own), Some(wanted)) => Self::These(own.intersection(&wanted).copied().collect()),
        }
    }

    fn has(&self, patient: Row) -> bool {
        match self {
            Self::All => true,
            Self::Except(hidden) => !hidden.contains(&patient.0),
            Self::These(these) => these.contains(&patient.0),
        }
    }
}

impl Records {
    /// The event with this name, if it is in sight.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn event(&self, sight: &Sight, id: &str) -> Result<Events, Error> {
        let Some((seq, place)) = named(id) else { return Ok(Events::default()) };
        self.database().read_snapshot("read an entry of the audit", |sql| {
            let whose = Whose::of(sight).ruled(sql, sight)?;
            let mut question = Statement::default();
            question.text("SELECT a.seq, a.at, a.entry FROM audit a WHERE a.seq = ").value(seq);
            let found = first(sql, "audit", question.sql(), question.values(), |row| Ok(read(row, &whose)))?;
            let mut all = found.transpose()?.unwrap_or_default();
            all.retain(|noted| noted.patient.map(|_| noted.place) == place);
            let of_all = matches!(whose, Whose::All | Whose::Except(_));
            named_in(sql, Events { all, of_all, ..Events::default() })
        })
    }

    /// A page of the events that are wanted and in sight, newest first; how many those are, where a page has none.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub(crate) fn events(
        &self,
        sight: &Sight,
        wanted: &Wanted,
        (count, after): (usize, Option<&Cursor>),
        limit: Duration,
    ) -> Result<Events, Error> {
        self.database().read_within("search the audit", limit, |sql| {
            let whose = Whose::of(sight).ruled(sql, sight)?;
            let of_all = matches!(whose, Whose::All | Whose::Except(_));
            let patients = wanted.patients.as_ref().map(|ids| patients(sql, ids)).transpose()?;
            let whose = whose.and(patients);
            let agents = wanted.agents.as_ref().map(|agents| Agents::of(sql, agents)).transpose()?;
            let question = question(&whose, wanted, after);
            let (mut page, mut more, mut counted) = (Events { of_all, ..Events::default() }, false, 0);
            let began = Instant::now();
            sql.each("audit", question.sql(), question.values(), &mut |row| {
                // What filters here is not the database's time.
                if began.elapsed() > limit {
                    return Err(Fault::Late(limit));
                }
                for noted in read(row, &whose)? {
                    let late = after
                        .is_some_and(|after| after.number() == Some(noted.seq) && noted.place as i64 <= after.row.0);
                    if late || !fits(&noted.entry, wanted, agents.as_ref()) {
                        continue;
                    }
                    if count == 0 {
                        counted += 1;
                        if counted > COUNTED {
                            return Ok(false);
                        }
                        if page.besides.len() < OF_WHOM {
                            page.besides.extend(noted.patient);
                        }
                        continue;
                    }
                    if page.all.len() == count {
                        more = true;
                        page.besides.extend(noted.patient);
                        return Ok(false);
                    }
                    page.all.push(noted);
                }
                Ok(true)
            })?;
            page.total = Some(counted).filter(|counted| *counted <= COUNTED);
            page.next = page.all.last().filter(|_| more).map(Noted::cursor);
            named_in(sql, page)
        })
    }
}

/// Asks for entries, newest first.
fn question(whose: &Whose, wanted: &Wanted, after: Option<&Cursor>) -> Statement {
    let mut out = Statement::default();
    let these: Vec<i64> = match whose {
        Whose::All | Whose::Except(_) => Vec::new(),
        Whose::These(these) => these.iter().copied().collect(),
    };
    // The entries of one patient are read in their order, as far as the page goes.
    let seq = match (whose, these.as_slice()) {
        (Whose::These(_), [one]) => {
            out.text(
                "SELECT a.seq, a.at, a.entry FROM audit_patient p JOIN audit a ON a.seq = p.seq WHERE p.patient = ",
            );
            out.value(*one);
            "p.seq"
        }
        (Whose::These(_), these) => {
            out.text("SELECT a.seq, a.at, a.entry FROM audit a WHERE a.seq IN ");
            out.text("(SELECT p.seq FROM audit_patient p WHERE p.patient IN ").list(these).text(")");
            "a.seq"
        }
        (Whose::All | Whose::Except(_), _) => {
            out.text("SELECT a.seq, a.at, a.entry FROM audit a WHERE 1 = 1");
            "a.seq"
        }
    };
    if let Some(after) = after.and_then(Cursor::number) {
        out.text(" AND ").text(seq).text(" <= ").value(after);
    }
    for ranges in &wanted.dates {
        out.text(" AND (0 = 1");
        for bounds in ranges {
            out.text(" OR (1 = 1");
            for bound in bounds {
                let sign = match bound.by {
                    Comparison::AtLeast => " >= ",
                    Comparison::AtMost => " <= ",
                    Comparison::Above => " > ",
                    Comparison::Below => " < ",
                };
                out.text(" AND a.at").text(sign).value(bound.at.0);
            }
            out.text(")");
        }
        out.text(")");
    }
    out.text(" ORDER BY ").text(seq).text(" DESC");
    out
}

/// The events of an entry: one for each patient who may be seen.
fn read(row: &medlock_store::Row, whose: &Whose) -> Result<Vec<Noted>, Fault> {
    let (seq, at) = (row.number("seq")?, Millis(row.number("at")?));
    let entry = Entry::read(row.blob("entry")?).map_err(|_| row.damaged("entry"))?;
    let one = |patient, place| Noted { at, entry: entry.clone(), patient, seq, place };
    if entry.patients.is_empty() {
        return Ok(if matches!(whose, Whose::All | Whose::Except(_)) { vec![one(None, 0)] } else { Vec::new() });
    }
    let patients = entry.patients.iter().enumerate().filter(|(_, patient)| whose.has(**patient));
    Ok(patients.map(|(place, patient)| one(Some(*patient), place)).collect())
}

/// Who the agents are that are wanted.
struct Agents {
    devices: HashSet<String>,
    accounts: HashSet<i64>,
}

impl Agents {
    fn of(sql: &mut dyn Sql, wanted: &[(Kind, Id)]) -> Result<Self, Fault> {
        let mut agents = Self { devices: HashSet::new(), accounts: HashSet::new() };
        let identifier = Definitions::r4().parameters.named(Kind::DEVICE, "identifier");
        for (kind, id) in wanted {
            let mut question = Statement::default();
            if let (&Kind::DEVICE, Some(identifier)) = (kind, identifier) {
                question.text("SELECT i.value FROM ident i WHERE i.param = ").value(identifier.id.number());
                question.text(" AND i.rid = (SELECT d.rid FROM resource d WHERE d.kind = ").value(kind.number());
                question.text(" AND d.id = ").value(id.as_str()).text(")");
                let values =
                    all(sql, "ident", question.sql(), question.values(), |row| Ok(row.text("value")?.to_owned()))?;
                let names = values.iter().filter_map(|value| value.split_once(SEPARATOR));
                agents.devices.extend(names.filter(|(_, of)| *of == DEVICE_SYSTEM).map(|(name, _)| name.to_owned()));
            } else {
                question.text("SELECT a.id FROM account a WHERE a.person_kind = ").value(kind.number());
                question.text(" AND a.person_id = ").value(id.as_str());
                let found = all(sql, "account", question.sql(), question.values(), |row| row.number::<i64>("id"))?;
                agents.accounts.extend(found);
            }
        }
        Ok(agents)
    }

    fn have(&self, by: &By) -> bool {
        match by {
            // What names a device is cut to what an index row holds.
            By::Device { name, .. } => {
                let name = validate::ident_of(name, "");
                self.devices.contains(name.trim_end_matches(SEPARATOR))
            }
            By::Person { account, .. } => self.accounts.contains(account),
            By::Software { .. } => false,
        }
    }
}

fn fits(entry: &Entry, wanted: &Wanted, agents: Option<&Agents>) -> bool {
    let has =
        |list: &Option<Vec<String>>, value: &str| list.as_ref().is_none_or(|list| list.iter().any(|one| one == value));
    has(&wanted.actions, entry.action())
        && has(&wanted.outcomes, entry.outcome())
        && agents.is_none_or(|agents| agents.have(&entry.by))
}

fn patients(sql: &mut dyn Sql, ids: &[Id]) -> Result<BTreeSet<i64>, Fault> {
    let mut found = BTreeSet::new();
    for id in ids {
        let mut question = Statement::default();
        question.text("SELECT p.rid FROM resource p WHERE p.kind = ").value(Kind::PATIENT.number());
        question.text(" AND p.id = ").value(id.as_str());
        found.extend(first(sql, "resource", question.sql(), question.values(), |row| row.number::<i64>("rid"))?);
    }
    Ok(found)
}

/// The page with what its events name.
fn named_in(sql: &mut dyn Sql, mut page: Events) -> Result<Events, Fault> {
    let rows = page.all.iter().flat_map(|noted| {
        let own = [noted.patient, noted.entry.row].into_iter().flatten();
        own.chain(noted.entry.consents.iter().copied())
    });
    let rows: BTreeSet<i64> = rows.map(|row| row.0).collect();
    let accounts: BTreeSet<i64> = page.all.iter().filter_map(|noted| noted.entry.by.account()).collect();
    let rows: Vec<i64> = rows.into_iter().collect();
    for some in rows.chunks(256) {
        let mut question = Statement::default();
        question.text("SELECT r.rid, r.kind, r.id FROM resource r WHERE r.rid IN ").list(some);
        sql.each("resource", question.sql(), question.values(), &mut |row| {
            let kind = Kind::numbered(row.number("kind")?).ok_or_else(|| row.damaged("kind"))?;
            let id = Id::read(row.text("id")?).ok_or_else(|| row.damaged("id"))?;
            page.resources.insert(row.number("rid")?, (kind, id));
            Ok(true)
        })?;
    }
    let clients: BTreeSet<&str> = page.all.iter().filter_map(|noted| noted.entry.by.client()).collect();
    for client in clients {
        let question = "SELECT c.name FROM client c WHERE c.id = ?1";
        let name = first(sql, "client", question, values![client], |row| Ok(row.text("name")?.to_owned()))?;
        page.clients.extend(name.map(|name| (client.to_owned(), name)));
    }
    if !accounts.is_empty() {
        let mut question = Statement::default();
        let accounts: Vec<i64> = accounts.into_iter().collect();
        question.text("SELECT a.id, a.name, a.person_kind, a.person_id FROM account a WHERE a.id IN ").list(&accounts);
        sql.each("account", question.sql(), question.values(), &mut |row| {
            let kind = Kind::numbered(row.number("person_kind")?).ok_or_else(|| row.damaged("person_kind"))?;
            let person = Person { name: row.text("name")?.to_owned(), kind, id: row.text("person_id")?.to_owned() };
            page.people.insert(row.number("id")?, person);
            Ok(true)
        })?;
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_one_name() {
        assert_eq!(named("7"), Some((7, None)));
        assert_eq!(named("7-0"), Some((7, Some(0))));
        for no in ["", "-", "7-", "-7", "7-x", "+7", "7-0-0", "9999999999999999999"] {
            assert_eq!(named(no), None, "{no}");
        }
    }
}
