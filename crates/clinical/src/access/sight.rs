//! Rights as the condition of a statement.

use super::constraint::Constraint;
use super::right::{Reach, Right, Writer};
use crate::consent::Ruling;
use crate::definitions::{Definitions, Parameter, Place};
use crate::kind::{Id, Kind, Row};
use crate::store::Statement;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Which rows may be seen or made, for one verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    reaches: Vec<Reached>,
    /// Whose word is asked besides: that of each row's patient. `None`: nobody's.
    ruling: Option<Ruling>,
}

/// Rows of a kind, all or those alone of which something holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reached {
    kind: Kind,
    reach: Reach,
    only: Option<Arc<Constraint>>,
}

impl Reached {
    const fn all(kind: Kind) -> Self {
        Self { kind, reach: Reach::All, only: None }
    }

    /// Whether it has every row that `other` has.
    fn covers(&self, other: &Self) -> bool {
        self.kind == other.kind
            && (self.reach == Reach::All || self.reach == other.reach)
            && (self.only.is_none() || self.only == other.only)
    }

    /// Which of the two the other has every row of.
    fn common<'r>(&'r self, other: &'r Self) -> Option<&'r Self> {
        match (other.covers(self), self.covers(other)) {
            (true, _) => Some(self),
            (false, true) => Some(other),
            (false, false) => None,
        }
    }
}

impl Sight {
    pub(crate) fn new(rights: impl Iterator<Item = Right>) -> Self {
        let mut reaches: Vec<Reached> = Vec::new();
        for Right { kind, reach, only, .. } in rights {
            let new = Reached { kind, reach, only };
            if !reaches.iter().any(|known| known.covers(&new)) {
                reaches.retain(|known| !new.covers(known));
                reaches.push(new);
            }
        }
        Self { reaches, ruling: None }
    }

    /// The same, of that what the patients whose rows they are let be seen.
    pub(crate) fn ruled(self, ruling: Ruling) -> Self {
        Self { ruling: Some(ruling), ..self }
    }

    /// The same whatever patients say.
    pub(crate) fn unruled(self) -> Self {
        Self { ruling: None, ..self }
    }

    /// The resources that stand for devices and people, for the authorization server: it has to know which one somebody is.
    pub(crate) fn of_register() -> Self {
        let reaches = [Kind::DEVICE, Kind::PATIENT, Kind::PRACTITIONER].map(Reached::all).to_vec();
        Self { reaches, ruling: None }
    }

    /// All of a kind: for what a resource has named before, when it is written again.
    pub(crate) fn of_what_was_named(kind: Kind) -> Self {
        Self { reaches: vec![Reached::all(kind)], ruling: None }
    }

    /// What is in this sight and in `other`, under this one's ruling: what is enumerated is looked for, and read. Where neither of two
    /// constraints takes in the other, nothing.
    pub(crate) fn common(self, other: &Self) -> Self {
        let with =
            |own: &Reached| other.reaches.iter().filter_map(|other| own.common(other).cloned()).collect::<Vec<_>>();
        Self { reaches: self.reaches.iter().flat_map(with).collect(), ruling: self.ruling }
    }

    /// This one for a kind alone, and `other` for all others.
    pub(crate) fn of_kind_or(self, kind: Kind, other: Self) -> Self {
        let own = self.reaches.into_iter().filter(|reached| reached.kind == kind);
        let others = other.reaches.into_iter().filter(|reached| reached.kind != kind);
        Self { reaches: own.chain(others).collect(), ruling: self.ruling }
    }

    /// Whether there is any row of this kind that may be seen.
    #[must_use]
    pub fn may(&self, kind: Kind) -> bool {
        self.of(kind).next().is_some()
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Reached> {
        self.reaches.iter().filter(move |reached| reached.kind == kind)
    }

    /// The one reach beyond which nothing of this kind is seen, if it ends at a patient: a search begins there, so that it
    /// costs what the caller's own rows cost.
    pub(crate) fn only_of(&self, kind: Kind) -> Option<Reach> {
        let mut reaches = self.reaches(kind);
        let one = reaches.next().filter(|reach| matches!(reach, Reach::Patient(_) | Reach::Device(_)))?;
        reaches.all(|reach| reach == one).then_some(one)
    }

    /// How far it reaches among what is of this kind, where that is in no row.
    pub(crate) fn reaches(&self, kind: Kind) -> impl Iterator<Item = Reach> {
        self.of(kind).map(|reached| reached.reach.clone())
    }

    /// What has to hold of what is of this kind, one of them; none: nothing has to.
    pub(crate) fn constraints(&self, kind: Kind) -> Vec<&Constraint> {
        self.of(kind).map(|reached| reached.only.as_deref()).collect::<Option<_>>().unwrap_or_default()
    }

    /// The patients whom that names: nothing of theirs is there, where nothing is seen.
    pub(crate) fn patients(&self, kind: Kind) -> BTreeSet<Id> {
        let mut patients = BTreeSet::new();
        self.constraints(kind).into_iter().for_each(|only| only.patients(kind, &mut patients));
        patients
    }

    /// Appends the condition on the row `alias`, which is of this kind, in brackets.
    pub(crate) fn write(&self, kind: Kind, alias: &'static str, out: &mut Statement) {
        match &self.ruling {
            None => write_reaches(self.of(kind), alias, out),
            Some(ruling) => {
                out.text("(");
                write_reaches(self.of(kind), alias, out);
                out.text(" AND ");
                ruling.write(kind, alias, out);
                out.text(")");
            }
        }
    }

    /// Whether anything may be seen of what rows of this kind were before.
    pub(crate) fn sees_past(&self, kind: Kind) -> bool {
        self.of(kind).any(|reached| reached.only.is_none())
    }

    /// Appends that a row may be seen whose codes and dates are not known: that of a version that is past. What a scope asks of
    /// its codes does not hold of it then.
    pub(crate) fn write_past(&self, kind: Kind, alias: &'static str, out: &mut Statement) {
        out.text("(");
        match self.of(kind).any(|reached| reached.only.is_some()) {
            true => write_reaches(self.of(kind).filter(|reached| reached.only.is_none()), alias, out),
            false => _ = out.text("1 = 1"),
        }
        if let Some(ruling) = &self.ruling {
            out.text(" AND ");
            ruling.write_past(kind, alias, out);
        }
        out.text(")");
    }

    /// A question for the patients of whom consents speak: whether it is for those whose data of this kind is hidden (`true`), and
    /// all others are in sight; or for those who are in sight, and all others are hidden. `None`: nobody is asked.
    pub(crate) fn spoken_of(&self, kind: Kind) -> Option<(bool, Statement)> {
        let ruling = self.ruling.as_ref()?;
        let mut out = Statement::default();
        out.text("SELECT p.rid FROM resource p WHERE p.rid IN (SELECT v.patient FROM provision v UNION SELECT g.patient FROM glass g");
        out.text(" WHERE g.leave = ").value(ruling.leave).text(") AND ").text(if ruling.base { "NOT (" } else { "(" });
        ruling.write_past(kind, "p", &mut out);
        out.text(")");
        Some((ruling.base, out))
    }

    /// A question for the consents by which a resource `r` of this kind, which the rights reach, is not in sight. More
    /// conditions may follow, each with `AND`. `None`: nobody is asked.
    pub(crate) fn denying(&self, kind: Kind) -> Option<Statement> {
        let mut out = Statement::default();
        self.ruling.as_ref()?.write_denying(kind, &mut out);
        out.text(" AND r.kind = ").value(kind.number()).text(" AND ");
        write_reaches(self.of(kind), "r", &mut out);
        Some(out)
    }
}

/// Rows that are in one of these, in brackets.
fn write_reaches<'s>(reaches: impl Iterator<Item = &'s Reached>, alias: &'static str, out: &mut Statement) {
    let mut reaches = reaches.peekable();
    if reaches.peek().is_none() {
        out.text("(0 = 1)");
        return;
    }
    out.text("(");
    for (place, Reached { kind, reach, only }) in reaches.enumerate() {
        if place > 0 {
            out.text(" OR ");
        }
        match reach {
            Reach::All => out.text("1 = 1"),
            Reach::Patient(row) => {
                let column = if *kind == Kind::PATIENT { ".rid = " } else { ".patient = " };
                out.text("+").text(alias).text(column).value(row.0)
            }
            Reach::Device(row) => write_device(*kind, *row, alias, out),
            Reach::Writer(writer) => write_own(writer, alias, out),
        };
        if let Some(only) = only {
            out.text(" AND ");
            only.write(alias, out);
        }
    }
    out.text(")");
}

/// The rows that somebody wrote.
fn write_own<'o>(writer: &Writer, alias: &'static str, out: &'o mut Statement) -> &'o mut Statement {
    // One that is told may be of a program that kept it nowhere else.
    for (before, table) in [("(", "subscription_of"), (" OR ", "subscription")] {
        out.text(before).text("EXISTS (SELECT 1 FROM ").text(table).text(" w WHERE w.rid = ").text(alias);
        out.text(".rid AND w.client = ").value(writer.client.as_str()).text(" AND w.account");
        match writer.account {
            Some(account) => out.text(" = ").value(account).text(")"),
            None => out.text(" IS NULL)"),
        };
    }
    out.text(")")
}

/// The rows of a device: itself, the patient whose it is now, and what names both.
fn write_device<'o>(kind: Kind, device: Row, alias: &'static str, out: &'o mut Statement) -> &'o mut Statement {
    if kind == Kind::DEVICE {
        return out.text("+").text(alias).text(".rid = ").value(device.0);
    }
    out.text("+").text(alias).text(if kind == Kind::PATIENT { ".rid" } else { ".patient" });
    out.text(" IS NOT DISTINCT FROM ").patient_of(device);
    if kind == Kind::PATIENT {
        return out;
    }
    let by = device_parameter(kind).map_or(-1, |parameter| i64::from(parameter.id.number()));
    out.text(" AND EXISTS (SELECT 1 FROM link w WHERE w.param = ").value(by).text(" AND w.target = ").value(device.0);
    out.text(" AND w.rid = ").text(alias).text(".rid)")
}

/// The parameter by which a kind names the device that it is from, which is called as its element is.
pub(crate) fn device_parameter(kind: Kind) -> Option<&'static Parameter> {
    let parameters = &Definitions::r4().parameters;
    // The source of an AuditEvent is who tells it.
    let names = ["device", "source"].into_iter().filter(|_| kind != Kind::AUDIT_EVENT);
    let mut names = names.filter_map(|name| parameters.named(kind, name));
    names.find(|parameter| parameter.place == Place::Link)
}

/// Whether rows of this kind name the device they are from: only those can be a device's own.
#[must_use]
pub(crate) fn names_its_device(kind: Kind) -> bool {
    kind == Kind::DEVICE || kind == Kind::PATIENT || device_parameter(kind).is_some()
}
