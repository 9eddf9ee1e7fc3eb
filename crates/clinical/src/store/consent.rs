//! Provisions of active Consents, and glass that was broken.

use super::dictionary::Numbers;
use super::write::{Stopped, refused};
use super::{OF_ONE, Records, Statement};
use crate::access::Sight;
use crate::audit::{self, Note};
use crate::consent::{Broken, Compiled, Condition, Reason};
use crate::kind::{Id, Kind, Millis, Row};
use crate::moment::Span;
use crate::outcome::{Code, Issue};
use medlock_store::{Error, Fault, Sql, all, first, values};

/// Notices that are given, the newest first.
const NOTICES: i64 = 100;

/// What is to be kept of glass that is broken.
#[derive(Clone, Debug)]
pub(crate) struct NewGlass {
    /// For which grant, and with which software.
    pub(crate) leave: i64,
    pub(crate) client: String,
    /// The row of who breaks it, and that of whose it is.
    pub(crate) person: Row,
    pub(crate) patient: Row,
    pub(crate) reason: Reason,
    pub(crate) made: Millis,
    pub(crate) until: Millis,
}

/// What may be in force of one patient: each row of hers that is read or written is judged by all of it, in some milliseconds.
const MOST: InForce = InForce { provisions: 1_024, values: 4_096 };

/// How many provisions are in force, and how many values they name: a time that they ask is one.
#[derive(Clone, Copy)]
struct InForce {
    provisions: i64,
    values: i64,
}

impl InForce {
    /// That of a patient, or of one consent of hers.
    fn of(sql: &mut dyn Sql, patient: Row, consent: Option<Row>) -> Result<Self, Fault> {
        let of = match consent {
            Some(_) => "WHERE p.consent = ?2 AND +p.patient = ?1",
            None => "WHERE p.patient = ?1",
        };
        let timed = format!("c.sort IN ({}, {})", Condition::OVERLAPS, Condition::WITHIN);
        let question = format!(
            "SELECT (SELECT count(*) FROM provision p {of}) AS provisions, \
             (SELECT count(*) FROM provision p JOIN provision_value w ON w.provision = p.id {of}) + \
             (SELECT count(*) FROM provision p JOIN provision_condition c ON c.provision = p.id {of} AND {timed}) AS vals"
        );
        let rows: Vec<_> = [patient].into_iter().chain(consent).map(|row| row.0.into()).collect();
        let found = first(sql, "provision", &question, &rows, |row| {
            Ok(Self { provisions: row.number("provisions")?, values: row.number("vals")? })
        })?;
        found.ok_or(Fault::Missing("count of provisions"))
    }
}

/// Puts the provisions of a Consent in the place of those that it had. Where more is in force of the patient than may be, those may be
/// fewer, and no more.
pub(super) fn keep(
    sql: &mut dyn Sql,
    (consent, patient): (Row, Row),
    compiled: &Compiled,
    numbers: &Numbers,
    target: impl Fn(Kind, Id) -> Option<Row>,
) -> Result<(), Stopped> {
    let before = InForce::of(sql, patient, Some(consent))?;
    write(sql, (consent, patient), compiled, numbers, target)?;
    let after = InForce::of(sql, patient, Some(consent))?;
    let grown = (after.provisions > before.provisions, after.values > before.values);
    if grown == (false, false) {
        return Ok(());
    }
    let all = InForce::of(sql, patient, None)?;
    if grown.0 && all.provisions > MOST.provisions || grown.1 && all.values > MOST.values {
        let InForce { provisions, values } = MOST;
        let text =
            format!("all active consents of a patient have at most {provisions} provisions with {values} values");
        let issue = Issue::new(Code::TooMuch, text).at("Consent.provision");
        return Err(refused(issue.help("end or narrow others of this patient first")));
    }
    Ok(())
}

/// Puts the provisions of a Consent in the place of those that it had.
fn write(
    sql: &mut dyn Sql,
    (consent, patient): (Row, Row),
    compiled: &Compiled,
    numbers: &Numbers,
    target: impl Fn(Kind, Id) -> Option<Row>,
) -> Result<(), Fault> {
    remove(sql, consent)?;
    let row = |kind: Kind, id: Id| target(kind, id).ok_or(Fault::Missing("resource that a consent names"));
    let mut ids: Vec<i64> = Vec::with_capacity(compiled.provisions.len());
    for provision in &compiled.provisions {
        let insert = "INSERT INTO provision (consent, patient, parent, deny, named, since, until, verbs, purposes, kinds) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let parent = provision.parent.and_then(|place| ids.get(place)).copied();
        let Span { low, high } = provision.period;
        let (verbs, purposes) = (i64::from(provision.verbs.bits()), i64::from(provision.purposes.bits()));
        let (deny, named) = (i64::from(provision.deny), i64::from(provision.named));
        let of = values![consent.0, patient.0, parent, deny, named, low.0, high.0, verbs, purposes, provision.kinds];
        let id = sql.insert("id", insert, of)?;
        ids.push(id);
        for (number, condition) in (0_i64..).zip(&provision.conditions) {
            let Span { low, high } = match condition {
                Condition::Overlaps(span) | Condition::Within(span) => *span,
                Condition::Actor(_) | Condition::Label(_) | Condition::Coded(_) | Condition::Data(_) => Span::EVER,
            };
            let insert =
                "INSERT INTO provision_condition (provision, number, sort, low, high) VALUES (?1, ?2, ?3, ?4, ?5)";
            sql.execute(insert, values![id, number, condition.sort(), low.0, high.0])?;
            let found: Vec<(i64, i64)> = match condition {
                Condition::Actor(actors) => {
                    actors.iter().map(|(kind, id)| Ok((row(*kind, *id)?.0, 0))).collect::<Result<_, Fault>>()?
                }
                Condition::Label(codings) | Condition::Coded(codings) => {
                    codings.iter().map(|coding| Ok((numbers.term(coding)?, 0))).collect::<Result<_, Fault>>()?
                }
                Condition::Data(data) => {
                    let each = data.iter().map(|(meaning, kind, id)| Ok((row(*kind, *id)?.0, meaning.number())));
                    each.collect::<Result<_, Fault>>()?
                }
                Condition::Overlaps(_) | Condition::Within(_) => Vec::new(),
            };
            for (value, meaning) in found {
                let insert = "INSERT INTO provision_value (provision, number, value, meaning) VALUES (?1, ?2, ?3, ?4) \
                              ON CONFLICT DO NOTHING";
                sql.execute(insert, values![id, number, value, meaning])?;
            }
        }
    }
    Ok(())
}

/// Removes the provisions of a Consent: they are in force no more.
pub(super) fn remove(sql: &mut dyn Sql, consent: Row) -> Result<(), Fault> {
    for table in ["provision_value", "provision_condition"] {
        let delete = format!("DELETE FROM {table} WHERE provision IN (SELECT id FROM provision WHERE consent = ?1)");
        sql.execute(&delete, values![consent.0])?;
    }
    sql.execute("DELETE FROM provision WHERE consent = ?1", values![consent.0])?;
    Ok(())
}

#[cfg(test)]
impl Records {
    /// Puts provisions into force, of a consent that is none.
    pub(crate) fn provide(
        &self,
        (consent, patient): (Row, Row),
        compiled: Compiled,
        target: impl Fn(Kind, Id) -> Option<Row> + Send + 'static,
    ) -> Result<(), Error> {
        let numbers = self.dictionary.numbers(self.database(), &[], compiled.codings())?;
        self.database()
            .write("put provisions into force", move |sql| write(sql, (consent, patient), &compiled, &numbers, &target))
    }
}

impl Records {
    /// The consents by which a resource, which the rights reach, is not in sight.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn denying(&self, sight: &Sight, kind: Kind, id: &Id) -> Result<Vec<Row>, Error> {
        let Some(mut question) = sight.denying(kind) else { return Ok(Vec::new()) };
        question.text(" AND r.id = ").value(id.as_str()).text(" ORDER BY u.consent LIMIT 16");
        self.database().read_brief("look for consents that deny", OF_ONE, |sql| {
            all(sql, "provision", question.sql(), question.values(), |row| Ok(Row(row.number("consent")?)))
        })
    }

    /// Breaks the glass, with its audit: that names the consents of the patient that are in force.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn break_glass(&self, glass: NewGlass, note: Note) -> Result<(), Error> {
        self.database().write_first("break the glass", move |sql| {
            let insert = "INSERT INTO glass (leave, patient, person, client, reason, made, until) \
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let (patient, person) = (glass.patient.0, glass.person.0);
            let (client, reason) = (glass.client.as_str(), glass.reason.as_str());
            sql.execute(insert, values![glass.leave, patient, person, client, reason, glass.made.0, glass.until.0])?;
            let question = "SELECT DISTINCT consent FROM provision WHERE patient = ?1 ORDER BY consent LIMIT 16";
            let consents = all(sql, "provision", question, values![patient], |row| Ok(Row(row.number("consent")?)))?;
            audit::append(sql, glass.made, &[note.clone().decided_by(consents)])
        })
    }

    /// When and why a patient's glass was broken, the newest first.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn broken_glass(&self, patient: Row) -> Result<Vec<Broken>, Error> {
        let mut question = Statement::default();
        question.text(
            "SELECT g.made, g.until, g.client, g.reason, p.kind, p.id, c.name AS software FROM glass g \
             JOIN resource p ON p.rid = g.person LEFT JOIN client c ON c.id = g.client",
        );
        question
            .text(" WHERE g.patient = ")
            .value(patient.0)
            .text(" ORDER BY g.made DESC, g.id DESC LIMIT ")
            .value(NOTICES);
        self.database().read("list broken glass", |sql| {
            all(sql, "glass", question.sql(), question.values(), |row| {
                let kind = Kind::numbered(row.number("kind")?).ok_or_else(|| row.damaged("kind"))?;
                let id = Id::read(row.text("id")?).ok_or_else(|| row.damaged("id"))?;
                let text = |column| row.text(column).map(str::to_owned);
                let (made, until) = (Millis(row.number("made")?), Millis(row.number("until")?));
                let software = row.optional_text("software")?.map(str::to_owned);
                Ok(Broken { made, until, by: (kind, id), client: text("client")?, software, reason: text("reason")? })
            })
        })
    }
}
