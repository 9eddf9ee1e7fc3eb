//! What patients say, as the condition of a statement.
//!
//! The provisions of the row's patient are found by an index, so a row whose patient has said nothing costs one look into it.

use super::{Condition, terms};
use crate::access::{Verb, Verbs};
use crate::definitions::{Definitions, Place};
use crate::kind::{Kind, Millis, Row};
use crate::store::Statement;
use std::fmt::Write as _;

/// For what somebody asks (a code of v3-ActReason). Callers here have one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `TREAT`
    Treatment,
    /// `PATRQT`: the patient asks.
    PatientRequest,
}

/// A set of purposes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purposes(u8);

impl Purposes {
    /// Those of `purposes`.
    #[must_use]
    pub fn of(purposes: impl IntoIterator<Item = Purpose>) -> Self {
        Self(purposes.into_iter().fold(0, |set, purpose| set | 1 << purpose as u8))
    }

    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self::of([Purpose::Treatment, Purpose::PatientRequest])
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }
}

/// Whom provisions may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A patient, by an app: by their row.
    Patient(Row),
    /// Somebody of the staff, by their row.
    Staff(Row),
    /// A gateway, by the identifier of its Device (as the index keeps it).
    Gateway(String),
    /// Software in its own name: no provision can name it.
    Software,
}

/// Who asks for what, as provisions see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) actor: Actor,
    /// Whether the base policy lets the caller see what nobody has spoken of.
    pub(crate) base: bool,
    pub(crate) verb: Verb,
    pub(crate) at: Millis,
    /// The number of what was granted: glass is broken for one grant.
    pub(crate) leave: i64,
}

/// How the codes and dates of a row are known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// They are those of the row.
    Row,
    /// Not at all, for a version that is past: whatever would deny does, and nothing excepts.
    Nothing,
}

impl Ruling {
    /// Whether rows of this kind are ruled for this caller at all.
    fn rules(&self, kind: Kind) -> bool {
        let own = matches!(self.actor, Actor::Patient(_))
            && matches!(kind, Kind::PATIENT | Kind::CONSENT | Kind::AUDIT_EVENT);
        !Definitions::r4().is_of_nobody(kind) && !own
    }

    /// Appends the condition on the row `alias` of this kind.
    pub(crate) fn write(&self, kind: Kind, alias: &str, out: &mut Statement) {
        self.write_known(kind, alias, Known::Row, out);
    }

    /// Appends the condition that the row `alias` may be seen whatever its codes and dates were.
    pub(crate) fn write_past(&self, kind: Kind, alias: &str, out: &mut Statement) {
        self.write_known(kind, alias, Known::Nothing, out);
    }

    fn write_known(&self, kind: Kind, alias: &str, known: Known, out: &mut Statement) {
        if !self.rules(kind) {
            out.text("1 = 1");
            return;
        }
        let reads = matches!(self.verb, Verb::Read | Verb::Search);
        out.text("((");
        if !self.base {
            out.text(&format!("({alias}.patient IS NULL"));
            // No consent gives a right on consents.
            if kind != Kind::CONSENT || reads {
                out.text(&format!(" OR EXISTS (SELECT 1 FROM provision u WHERE u.patient = {alias}.patient"));
                out.text(" AND u.deny = 0 AND ");
                self.matches("u", kind, alias, (known, false), out);
                out.text(")");
            }
            out.text(") AND ");
        }
        out.text(&format!("NOT EXISTS (SELECT 1 FROM provision u WHERE u.patient = {alias}.patient AND "));
        self.denies(kind, alias, known, out);
        out.text("))");
        // Who breaks the glass sees; nobody changes consents by it.
        if matches!(self.actor, Actor::Staff(_)) && (reads || kind != Kind::CONSENT) {
            out.text(" OR EXISTS (SELECT 1 FROM glass g WHERE g.leave = ").value(self.leave);
            out.text(&format!(" AND g.patient = {alias}.patient AND g.until > ")).value(self.at.0).text(")");
        }
        out.text(")");
    }

    /// Appends a question for the consents that deny the resource `r` of this kind. More conditions may follow, each with `AND`.
    pub(crate) fn write_denying(&self, kind: Kind, out: &mut Statement) {
        out.text(
            "SELECT DISTINCT u.consent AS consent FROM resource r JOIN provision u ON u.patient = r.patient WHERE ",
        );
        if self.rules(kind) {
            self.denies(kind, "r", Known::Row, out);
        } else {
            out.text("0 = 1");
        }
    }

    /// The provision `u` denies, and none of its exceptions holds.
    fn denies(&self, kind: Kind, alias: &str, known: Known, out: &mut Statement) {
        out.text("u.deny = 1 AND ");
        self.matches("u", kind, alias, (known, true), out);
        out.text(" AND NOT EXISTS (SELECT 1 FROM provision e WHERE e.parent = u.id AND ");
        self.matches("e", kind, alias, (known, false), out);
        out.text(")");
    }

    /// The provision `u` is about this caller, this act and this row. What is not known of the row counts as `unknown`.
    fn matches(&self, u: &str, kind: Kind, alias: &str, (known, unknown): (Known, bool), out: &mut Statement) {
        out.text(&format!("{u}.since <= ")).value(self.at.0).text(&format!(" AND {u}.until >= ")).value(self.at.0);
        let (verb, purpose) = (Verbs::of([self.verb]).bits(), Purposes::of([self.purpose()]).bits());
        let mut bits = String::new();
        let _ = write!(
            bits,
            " AND ({u}.verbs & {verb}) <> 0 AND ({u}.purposes & {purpose}) <> 0 AND ({u}.kinds & {}) <> 0",
            terms::bit(kind)
        );
        out.text(&bits);
        if matches!(self.actor, Actor::Gateway(_)) {
            out.text(&format!(" AND {u}.named = 1"));
        }
        out.text(&format!(" AND NOT EXISTS (SELECT 1 FROM provision_condition c WHERE c.provision = {u}.id"));
        let value =
            "EXISTS (SELECT 1 FROM provision_value w WHERE w.provision = c.provision AND w.number = c.number AND ";
        out.text(&format!(" AND NOT (CASE c.sort WHEN {} THEN {value}", Condition::ACTOR));
        self.is_actor(out);
        out.text(")");
        match known {
            Known::Row => of_row(kind, alias, value, out),
            Known::Nothing => _ = out.text(if unknown { " ELSE TRUE" } else { " ELSE FALSE" }),
        }
        out.text(" END))");
    }

    const fn purpose(&self) -> Purpose {
        match self.actor {
            Actor::Patient(_) => Purpose::PatientRequest,
            Actor::Staff(_) | Actor::Gateway(_) | Actor::Software => Purpose::Treatment,
        }
    }

    /// The value `w` is the row of the caller: of somebody of the staff also that of a role, and of the organization of one.
    fn is_actor(&self, out: &mut Statement) {
        match &self.actor {
            Actor::Software => _ = out.text("0 = 1"),
            Actor::Patient(row) => _ = out.text("w.value = ").value(row.0),
            Actor::Gateway(identifier) => {
                out.text("w.value IN (SELECT i.rid FROM ident i WHERE i.param = ");
                out.value(parameter(Kind::DEVICE, "identifier"))
                    .text(" AND i.value = ")
                    .value(identifier.as_str())
                    .text(")");
            }
            Actor::Staff(row) => {
                // A role that has ended, or is said to be none any more, is none.
                let at = self.at.0;
                let active = format!(
                    " AND q.gone = 0 AND NOT EXISTS (SELECT 1 FROM mark n JOIN term t ON t.id = n.term \
                     WHERE n.rid = q.rid AND n.param = {} AND t.code = 'false')",
                    parameter(Kind::PRACTITIONER_ROLE, "active")
                );
                let in_time = format!(
                    " AND NOT EXISTS (SELECT 1 FROM span n WHERE n.rid = q.rid AND n.param = {} AND (n.low > ",
                    parameter(Kind::PRACTITIONER_ROLE, "date")
                );
                let practitioner = parameter(Kind::PRACTITIONER_ROLE, "practitioner");
                let organization = parameter(Kind::PRACTITIONER_ROLE, "organization");
                out.text("(w.value = ").value(row.0);
                out.text(&format!(
                    " OR EXISTS (SELECT 1 FROM link p JOIN resource q ON q.rid = p.rid WHERE p.param = {practitioner}"
                ));
                out.text(" AND p.target = ").value(row.0).text(" AND p.rid = w.value").text(&active).text(&in_time);
                out.value(at).text(" OR n.high < ").value(at).text(")))");
                out.text(&format!(" OR EXISTS (SELECT 1 FROM link o JOIN link p ON p.rid = o.rid JOIN resource q ON q.rid = p.rid WHERE o.param = {organization}"));
                out.text(&format!(" AND o.target = w.value AND p.param = {practitioner} AND p.target = ")).value(row.0);
                out.text(&active).text(&in_time).value(at).text(" OR n.high < ").value(at).text("))))");
            }
        }
    }
}

/// The conditions on the row `alias` of this kind, each of which holds of one of its values.
fn of_row(kind: Kind, alias: &str, value: &str, out: &mut Statement) {
    let security = parameter(kind, "_security");
    let (referring, referred, authors) = (list(references(kind)), list(references_to(kind)), list(authors(kind)));
    let [label, coded, overlaps, within, data] =
        [Condition::LABEL, Condition::CODED, Condition::OVERLAPS, Condition::WITHIN, Condition::DATA];
    out.text(&format!(
        " WHEN {label} THEN {value}EXISTS (SELECT 1 FROM mark m WHERE m.rid = {alias}.rid AND m.param = {security} AND m.term = w.value))\
         \x20WHEN {coded} THEN {value}(EXISTS (SELECT 1 FROM concept_term k WHERE k.term = w.value \
         AND k.concept IN ({alias}.c0, {alias}.c1, {alias}.c2, {alias}.c3)) \
         OR EXISTS (SELECT 1 FROM mark m WHERE m.rid = {alias}.rid AND m.term = w.value)))\
         \x20WHEN {overlaps} THEN ({alias}.until IS NULL OR ({alias}.until >= c.low AND {alias}.at <= c.high))\
         \x20WHEN {within} THEN ({alias}.until IS NOT NULL AND {alias}.at >= c.low AND {alias}.until <= c.high)\
         \x20WHEN {data} THEN {value}((w.meaning <> 3 AND w.value = {alias}.rid) \
         OR (w.meaning = 1 AND EXISTS (SELECT 1 FROM link l WHERE l.param IN {referred} AND l.target = {alias}.rid AND l.rid = w.value)) \
         OR (w.meaning = 2 AND (w.value = {alias}.patient OR EXISTS (SELECT 1 FROM link l WHERE l.param IN {referring} AND l.target = w.value AND l.rid = {alias}.rid))) \
         OR (w.meaning = 3 AND EXISTS (SELECT 1 FROM link l WHERE l.param IN {authors} AND l.target = w.value AND l.rid = {alias}.rid))))\
         \x20ELSE FALSE"
    ));
}

/// The number of a parameter; one that no parameter has if there is none.
fn parameter(kind: Kind, name: &str) -> i64 {
    let parameter = Definitions::r4().parameters.named(kind, name);
    parameter.map_or(-1, |parameter| i64::from(parameter.id.number()))
}

/// The parameters by which this kind refers to others.
fn references(kind: Kind) -> impl Iterator<Item = i64> {
    let own = Definitions::r4().parameters.of(kind).filter(|parameter| is_reference(parameter.place));
    own.map(|parameter| i64::from(parameter.id.number()))
}

/// The parameters by which any kind may refer to this one.
fn references_to(kind: Kind) -> impl Iterator<Item = i64> {
    let all = Kind::all().flat_map(|of| Definitions::r4().parameters.of(of));
    let fitting = all.filter(move |parameter| {
        is_reference(parameter.place) && parameter.names.iter().any(|name| *name == "*" || *name == kind.name())
    });
    fitting.map(|parameter| i64::from(parameter.id.number()))
}

/// The parameters that say who authored a resource of this kind.
fn authors(kind: Kind) -> impl Iterator<Item = i64> {
    const NAMES: [&str; 7] =
        ["performer", "author", "requester", "device", "results-interpreter", "interpreter", "consentor"];
    let own = Definitions::r4().parameters.of(kind).filter(|parameter| NAMES.contains(&parameter.name));
    own.filter(|parameter| is_reference(parameter.place)).map(|parameter| i64::from(parameter.id.number()))
}

const fn is_reference(place: Place) -> bool {
    matches!(place, Place::Link | Place::Subject)
}

/// Numbers in brackets.
fn list(numbers: impl Iterator<Item = i64>) -> String {
    let mut all: Vec<i64> = numbers.collect();
    all.sort_unstable();
    all.dedup();
    let all: Vec<String> = all.iter().map(i64::to_string).collect();
    if all.is_empty() { "(-1)".to_owned() } else { format!("({})", all.join(", ")) }
}
