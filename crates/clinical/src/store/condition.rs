//! What has to hold of a resource, as the condition of a statement.

mod plain;

pub(super) use plain::any_of;
pub(crate) use plain::constrain;

use super::Statement;
use super::search::Driver;
use super::testimony::statements;
use crate::access::Sight;
use crate::definitions::ParameterId;
use crate::kind::{Id, Kind, Version};
use crate::query::{Absent, Bound, By, Comparison, End, Filter, Measure, Order, Ranges, Token, Word};
use medlock_store::{Fault, Sql, all, first};
use plain::{beside, codes, concepts, idents, idents_of_systems, link, mark, patient, terms};
use std::collections::BTreeSet;

/// Sets of codes that are named in a statement; where there are more, they are asked for in it.
const NAMED: i64 = 64;

/// The conditions of one statement as they are written.
pub(super) struct Conditions<'c> {
    pub(super) sql: &'c mut dyn Sql,
    pub(super) out: &'c mut Statement,
    /// What is seen of resources that are looked at on the way.
    pub(super) sight: &'c Sight,
}

/// For which row, what gives the rows, and in which order.
#[derive(Clone, Copy)]
pub(super) struct Of {
    pub(super) alias: &'static str,
    pub(super) driver: Driver,
    pub(super) order: Order,
}

impl Of {
    /// The row's number, for a list of rows: where something else gives the rows, it only filters.
    fn row(self, driver: Driver) -> String {
        format!("{}{}.rid", if self.driver == driver { "" } else { "+" }, self.alias)
    }
}

impl Conditions<'_> {
    pub(super) fn write(&mut self, of: Of, filter: &Filter) -> Result<(), Fault> {
        let alias = of.alias;
        match filter {
            Filter::Id(ids) => any_of(self.out, &format!("{alias}.id"), ids, |out, id| {
                out.value(id.as_str());
            }),
            Filter::Patient(ids) => patient(self.out, of, ids),
            Filter::Column(column, tokens) => {
                // The leading code is in the index, alone and behind a patient; any other column only filters.
                let plain = if column.number() == 0 && !of.driver.is_rows() { "" } else { "+" };
                self.out.text(plain).text(alias).text(".").text(column.name()).text(" IN ");
                self.concepts(tokens)?;
            }
            Filter::Mark(parameter, tokens) => mark(self.out, alias, *parameter, tokens),
            Filter::Span(parameter, ranges) => {
                beside(self.out, "span", alias, *parameter);
                self.out.text(" AND ");
                dates(self.out, ranges, ["x.low", "x.high"]);
                self.out.text(")");
            }
            Filter::Quantity(parameter, measures) => {
                beside(self.out, "quantity", alias, *parameter);
                self.out.text(" AND ");
                self.measures(measures);
                self.out.text(")");
            }
            Filter::Link(parameter, targets) => link(self.out, of, *parameter, targets),
            Filter::Target(targets) => self.targets(of, targets)?,
            Filter::Ident(parameter, tokens) => idents(self.out, of, *parameter, tokens),
            Filter::IdentOf(parameter, systems) => idents_of_systems(self.out, of, *parameter, systems),
            Filter::Word(parameter, words) => self.words(of, *parameter, words),
            Filter::Date(ranges) => {
                // Without a date, the end is empty.
                self.out.text(&format!("{alias}.until IS NOT NULL AND "));
                dates(self.out, ranges, [&format!("{alias}.at"), &format!("{alias}.until")]);
            }
            Filter::Updated(ranges) => {
                let plain = if of.order == Order::Updated { "" } else { "+" };
                let column = format!("{plain}{alias}.updated");
                dates(self.out, ranges, [&column, &column]);
            }
            Filter::Part(parameter, tokens, value) => self.part(alias, *parameter, tokens, value)?,
            Filter::Missing(absent) => self.missing(alias, *absent),
            Filter::Not(inner) => {
                self.out.text("NOT COALESCE((");
                self.write(of, inner)?;
                self.out.text("), FALSE)");
            }
            Filter::Any(any) => self.several(of, any, " OR ")?,
            Filter::All(every) => self.several(of, every, " AND ")?,
            Filter::Chain(by, kind, inner) => self.chain(of, *by, *kind, inner)?,
            Filter::Has(kind, by, inner) => self.has(alias, *kind, *by, inner)?,
        }
        Ok(())
    }

    fn several(&mut self, of: Of, filters: &[Filter], between: &str) -> Result<(), Fault> {
        self.out.text("(");
        for (place, filter) in filters.iter().enumerate() {
            self.out.text(if place > 0 { between } else { "" }).text("(");
            self.write(of, filter)?;
            self.out.text(")");
        }
        self.out.text(")");
        Ok(())
    }

    /// The sets of codes that have any of these: by their numbers, while there are not too many to name.
    fn concepts(&mut self, tokens: &[Token]) -> Result<(), Fault> {
        let mut question = Statement::default();
        question.text("SELECT DISTINCT c.concept FROM term e JOIN concept_term c ON c.term = e.id WHERE ");
        codes(&mut question, tokens);
        question.text(" LIMIT ").value(NAMED + 1);
        let found: Vec<i64> =
            all(self.sql, "concept_term", question.sql(), question.values(), |row| row.number("concept"))?;
        if found.len() as i64 <= NAMED {
            self.out.list(&found);
        } else {
            concepts(self.out, tokens);
        }
        Ok(())
    }

    fn words(&mut self, of: Of, parameter: ParameterId, words: &[Word]) {
        if of.driver == Driver::Named {
            self.out.text(&format!("EXISTS (SELECT 1 FROM word i WHERE i.rid = {}.rid AND i.param = ", of.alias));
        } else {
            self.out.text(&of.row(Driver::Word)).text(" IN (SELECT i.rid FROM word i WHERE i.param = ");
        }
        self.out.value(parameter.number()).text(" AND (");
        for (place, word) in words.iter().enumerate() {
            self.out.text(if place > 0 { " OR " } else { "" });
            match word {
                Word::Is(text) => self.out.text("i.value = ").value(text.as_str()),
                Word::Begins(text) => {
                    self.out.text("(i.value >= ").value(text.as_str()).text(" AND i.value < ");
                    self.out.value(format!("{text}\u{10ffff}")).text(")")
                }
            };
        }
        self.out.text("))");
    }

    fn measures(&mut self, measures: &[Measure]) {
        self.out.text("(");
        for (place, measure) in measures.iter().enumerate() {
            self.out.text(if place > 0 { " OR (" } else { "(" });
            if let Some(unit) = &measure.unit {
                terms(self.out, "x.unit", std::slice::from_ref(unit));
                self.out.text(" AND ");
            }
            self.out.text("(");
            for (place, range) in measure.ranges.iter().enumerate() {
                self.out.text(if place > 0 { ") OR (" } else { "(" });
                for (place, (end, by, key)) in range.iter().enumerate() {
                    let column = if *end == End::Low { "x.low" } else { "x.high" };
                    self.out.text(if place > 0 { " AND " } else { "" }).text(column).text(sign(*by));
                    self.out.value(key.as_bytes());
                }
            }
            self.out.text(")))");
        }
        self.out.text(")");
    }

    /// A code and a value in the same part of the resource.
    fn part(&mut self, alias: &str, parameter: ParameterId, tokens: &[Token], value: &Filter) -> Result<(), Fault> {
        let (table, of) = match value {
            Filter::Mark(of, _) => ("mark", of),
            Filter::Span(of, _) => ("span", of),
            Filter::Quantity(of, _) => ("quantity", of),
            _ => return Err(Fault::Missing("value that has a part")),
        };
        self.out.text(&format!(
            "EXISTS (SELECT 1 FROM mark y JOIN {table} x ON x.rid = y.rid AND x.part = y.part WHERE y.rid = {alias}.rid AND y.param = "
        ));
        self.out.value(parameter.number()).text(" AND ");
        terms(self.out, "y.term", tokens);
        self.out.text(" AND x.param = ").value(of.number()).text(" AND ");
        match value {
            Filter::Mark(_, tokens) => terms(self.out, "x.term", tokens),
            Filter::Span(_, ranges) => dates(self.out, ranges, ["x.low", "x.high"]),
            Filter::Quantity(_, measures) => self.measures(measures),
            _ => {}
        }
        self.out.text(")");
        Ok(())
    }

    fn missing(&mut self, alias: &str, absent: Absent) {
        let (table, parameter) = match absent {
            Absent::Column(column) => {
                self.out.text(&format!("+{alias}.{} IS NULL", column.name()));
                return;
            }
            Absent::Date => {
                self.out.text(&format!("{alias}.until IS NULL"));
                return;
            }
            Absent::Patient => {
                self.out.text(&format!("+{alias}.patient IS NULL"));
                return;
            }
            Absent::Mark(parameter) => ("mark", parameter),
            Absent::Span(parameter) => ("span", parameter),
            Absent::Quantity(parameter) => ("quantity", parameter),
            Absent::Word(parameter) => ("word", parameter),
        };
        self.out.text("NOT ");
        beside(self.out, table, alias, parameter);
        self.out.text(")");
    }

    /// Is the statement of one of these, or of a version that it had, where that is in sight.
    fn targets(&mut self, of: Of, targets: &[(Kind, Id, Option<Version>)]) -> Result<(), Fault> {
        self.out.text(&of.row(Driver::Link)).text(" IN (");
        let kinds: BTreeSet<Kind> = targets.iter().map(|(kind, ..)| *kind).collect();
        self.out.text(if kinds.is_empty() { "NULL" } else { "" });
        for (place, kind) in kinds.into_iter().enumerate() {
            let (mut all, mut versions) = (Vec::new(), Vec::new());
            for (_, id, version) in targets.iter().filter(|(of, ..)| *of == kind) {
                let mut question = Statement::kept("r.rid", self.sight, kind);
                question.text(" AND r.id = ").value(id.as_str());
                let row = first(self.sql, "resource", question.sql(), question.values(), |row| row.number("rid"))?;
                match (row, version) {
                    (Some(row), None) => all.push(row),
                    (Some(row), Some(version)) => versions.push((row, *version)),
                    (None, _) => {}
                }
            }
            self.out.text(if place > 0 { " UNION ALL " } else { "" });
            statements(self.out, self.sight, kind, |out, row| {
                out.text("(").text(row).text(".rid IN ").list(&all);
                for (rid, version) in &versions {
                    out.text(" OR ").text(row).text(".rid = ").value(*rid);
                    out.text(" AND ").text(row).text(".version = ").value(i64::from(version.number()));
                }
                out.text(")");
                Ok(())
            })?;
        }
        self.out.text(")");
        Ok(())
    }

    /// Refers to a resource in sight for which it holds.
    fn chain(&mut self, of: Of, by: By, kind: Kind, inner: &Filter) -> Result<(), Fault> {
        match by {
            By::Patient if of.driver == Driver::Named => {
                self.out.text(&format!("EXISTS (SELECT 1 FROM resource s WHERE s.rid = {}.patient AND ", of.alias));
                self.seen(kind, Driver::Named, inner)?;
                self.out.text(")");
                return Ok(());
            }
            By::Patient => {
                let plain = if of.driver == Driver::Patient { "" } else { "+" };
                self.out.text(plain).text(of.alias).text(".patient IN (");
            }
            By::Link(parameter) => {
                self.out.text(&of.row(Driver::Link)).text(" IN (SELECT l.rid FROM link l WHERE l.param = ");
                self.out.value(parameter.number()).text(" AND l.target IN (");
            }
            By::Target(_) => return self.chain_to_targets(of, kind, inner),
        }
        self.out.text("SELECT s.rid FROM resource s WHERE ");
        self.seen(kind, Driver::leading_to(inner), inner)?;
        self.out.text(if by == By::Patient { ")" } else { "))" });
        Ok(())
    }

    /// Is the statement of a resource in sight for which it holds, or of a version that it had.
    fn chain_to_targets(&mut self, of: Of, kind: Kind, inner: &Filter) -> Result<(), Fault> {
        let Self { sql, out, sight } = self;
        out.text(&of.row(Driver::Link)).text(" IN (");
        statements(out, sight, kind, |out, row| {
            out.text(row).text(".rid IN (SELECT s.rid FROM resource s WHERE ");
            Conditions { sql: &mut **sql, out: &mut *out, sight }.seen(kind, Driver::leading_to(inner), inner)?;
            out.text(")");
            Ok(())
        })?;
        out.text(")");
        Ok(())
    }

    /// A resource in sight for which it holds refers to it.
    fn has(&mut self, alias: &str, kind: Kind, by: By, inner: &Filter) -> Result<(), Fault> {
        match by {
            By::Patient => {
                self.out.text(&format!("EXISTS (SELECT 1 FROM resource s WHERE s.patient = {alias}.rid AND "));
                self.seen(kind, Driver::Patient, inner)?;
            }
            By::Link(parameter) => {
                self.out.text("EXISTS (SELECT 1 FROM link l JOIN resource s ON s.rid = l.rid WHERE l.param = ");
                self.out.value(parameter.number()).text(&format!(" AND l.target = {alias}.rid AND "));
                self.seen(kind, Driver::Link, inner)?;
            }
            By::Target(of) => {
                self.out.text("EXISTS (SELECT 1 FROM (");
                statements(self.out, self.sight, of, |out, row| {
                    out.text(&format!("{row}.rid = {alias}.rid"));
                    Ok(())
                })?;
                self.out.text(") l JOIN resource s ON s.rid = l.rid WHERE ");
                self.seen(kind, Driver::Link, inner)?;
            }
        }
        self.out.text(")");
        Ok(())
    }

    /// The row `s` is there, of this kind, in sight, and it holds for it.
    fn seen(&mut self, kind: Kind, driver: Driver, inner: &Filter) -> Result<(), Fault> {
        self.out.text(if driver.is_rows() { "+s.kind = " } else { "s.kind = " }).value(kind.number());
        self.out.text(" AND s.gone = 0 AND ");
        self.sight.write(kind, "s", self.out);
        self.out.text(" AND ");
        self.write(Of { alias: "s", driver, order: Order::Date }, inner)
    }
}

const fn sign(by: Comparison) -> &'static str {
    match by {
        Comparison::AtLeast => " >= ",
        Comparison::AtMost => " <= ",
        Comparison::Above => " > ",
        Comparison::Below => " < ",
    }
}

fn dates(out: &mut Statement, ranges: &Ranges, columns: [&str; 2]) {
    let several = ranges.len() > 1;
    out.text(if several { "((" } else { "" });
    for (place, bounds) in ranges.iter().enumerate() {
        out.text(if place > 0 { ") OR (" } else { "" });
        compare(out, bounds, columns);
    }
    out.text(if several { "))" } else { "" });
}

fn compare(out: &mut Statement, bounds: &[Bound], [low, high]: [&str; 2]) {
    for (place, bound) in bounds.iter().enumerate() {
        let column = match bound.end {
            End::Low => low,
            End::High => high,
        };
        out.text(if place > 0 { " AND " } else { "" }).text(column).text(sign(bound.by)).value(bound.at.0);
    }
}
