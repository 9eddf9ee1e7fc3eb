//! Conditions that ask nothing of another row: of codes, references and identifiers.

use super::Of;
use crate::definitions::{Column, ParameterId};
use crate::kind::{Id, Kind};
use crate::query::{Filter, Order, Token};
use crate::store::Statement;
use crate::store::search::Driver;
use crate::validate::{ident_of, idents_of};
use std::ops::Range;

/// Appends the condition of a scope on the row `alias`: a filter of codes or references, that asks nothing of another row.
pub(crate) fn constrain(out: &mut Statement, alias: &'static str, filter: &Filter) {
    let of = Of { alias, driver: Driver::Named, order: Order::Date };
    match filter {
        Filter::Column(column, tokens) => of_column(out, alias, *column, tokens),
        Filter::Mark(parameter, tokens) => mark(out, alias, *parameter, tokens),
        Filter::Ident(parameter, tokens) => idents(out, of, *parameter, tokens),
        Filter::Patient(ids) => patient(out, of, ids),
        Filter::Link(parameter, targets) => link(out, of, *parameter, targets),
        // No scope has another one: what would be, holds of nothing.
        _ => _ = out.text("0 = 1"),
    }
}

/// A code in a column is one of these.
fn of_column(out: &mut Statement, alias: &str, column: Column, tokens: &[Token]) {
    out.text("+").text(alias).text(".").text(column.name()).text(" IN ");
    concepts(out, tokens);
}

/// The sets of codes that have any of these, in brackets.
pub(super) fn concepts(out: &mut Statement, tokens: &[Token]) {
    out.text("(SELECT c.concept FROM term e JOIN concept_term c ON c.term = e.id WHERE ");
    codes(out, tokens);
    out.text(")");
}

pub(super) fn patient(out: &mut Statement, of: Of, ids: &[Id]) {
    let column = format!("{}{}.patient", if of.driver == Driver::Patient { "" } else { "+" }, of.alias);
    any_of(out, &column, ids, |out, id| {
        out.text("(SELECT p.rid FROM resource p WHERE p.kind = ").value(Kind::PATIENT.number());
        out.text(" AND p.id = ").value(id.as_str()).text(")");
    });
}

/// Begins a question for what is kept beside the row.
pub(super) fn beside(out: &mut Statement, table: &str, alias: &str, parameter: ParameterId) {
    out.text(&format!("EXISTS (SELECT 1 FROM {table} x WHERE x.rid = {alias}.rid AND x.param = "));
    out.value(parameter.number());
}

/// A code beside the row is one of these.
pub(super) fn mark(out: &mut Statement, alias: &str, parameter: ParameterId, tokens: &[Token]) {
    beside(out, "mark", alias, parameter);
    out.text(" AND ");
    terms(out, "x.term", tokens);
    out.text(")");
}

/// A code is one of these.
pub(super) fn terms(out: &mut Statement, column: &str, tokens: &[Token]) {
    out.text(column).text(" IN (SELECT e.id FROM term e WHERE ");
    codes(out, tokens);
    out.text(")");
}

/// Refers to one of these.
pub(super) fn link(out: &mut Statement, of: Of, parameter: ParameterId, targets: &[(Kind, Id)]) {
    let alias = of.alias;
    if of.driver == Driver::Link {
        out.text(&format!("{alias}.rid IN (SELECT l.rid FROM link l WHERE l.param = "));
    } else {
        out.text(&format!("EXISTS (SELECT 1 FROM link l WHERE l.rid = {alias}.rid AND l.param = "));
    }
    out.value(parameter.number()).text(" AND ");
    any_of(out, "l.target", targets, |out, (kind, id)| {
        out.text("(SELECT t.rid FROM resource t WHERE t.kind = ").value(kind.number());
        out.text(" AND t.id = ").value(id.as_str()).text(")");
    });
    out.text(")");
}

/// An identifier is kept as its value, a separator and its system: without a system, all that begin so.
pub(super) fn idents(out: &mut Statement, of: Of, parameter: ParameterId, tokens: &[Token]) {
    if of.driver == Driver::Named {
        out.text(&format!("EXISTS (SELECT 1 FROM ident i WHERE i.rid = {}.rid AND i.param = ", of.alias));
    } else {
        out.text(&of.row(Driver::Ident)).text(" IN (SELECT i.rid FROM ident i WHERE i.param = ");
    }
    out.value(parameter.number()).text(" AND (");
    for (place, token) in tokens.iter().enumerate() {
        out.text(if place > 0 { " OR " } else { "" });
        let value = token.value.as_deref().unwrap_or_default();
        match &token.system {
            Some(system) => {
                out.text("i.value = ").value(ident_of(value, system));
            }
            None => {
                let Range { start, end } = idents_of(value, None);
                out.text("(i.value >= ").value(start).text(" AND i.value < ").value(end).text(")");
            }
        }
    }
    out.text("))");
}

/// With an identifier of one of these systems: all identifiers are looked at.
pub(super) fn idents_of_systems(out: &mut Statement, of: Of, parameter: ParameterId, systems: &[String]) {
    out.text(&of.row(Driver::Ident)).text(" IN (SELECT i.rid FROM ident i WHERE i.param = ");
    out.value(parameter.number()).text(" AND (");
    for (place, system) in systems.iter().enumerate() {
        // What an identifier of the system ends with: the separator and the system.
        let end = ident_of("", system);
        let before = end.chars().count() - 1;
        out.text(if place > 0 { " OR " } else { "" });
        out.text(&format!("substr(i.value, length(i.value) - {before}) = ")).value(end);
    }
    out.text("))");
}

/// A column is one of these. One is compared plainly: an index then gives the rows in order.
pub(in crate::store) fn any_of<T>(out: &mut Statement, column: &str, all: &[T], one: impl Fn(&mut Statement, &T)) {
    out.text(column);
    match all {
        [] => {
            out.text(" IN (NULL)");
        }
        [only] => {
            out.text(" = ");
            one(out, only);
        }
        several => {
            out.text(" IN (");
            for (place, value) in several.iter().enumerate() {
                out.text(if place > 0 { ", " } else { "" });
                one(out, value);
            }
            out.text(")");
        }
    }
}

/// The conditions on a code `e` that it is one of these.
pub(super) fn codes(out: &mut Statement, tokens: &[Token]) {
    out.text("(");
    for (place, token) in tokens.iter().enumerate() {
        out.text(if place > 0 { " OR " } else { "" });
        let both = token.value.is_some() && token.system.is_some();
        out.text("(");
        if let Some(code) = &token.value {
            out.text("e.code = ").value(code.as_str());
        }
        out.text(if both { " AND " } else { "" });
        if let Some(system) = &token.system {
            out.text("e.system = ").value(system.as_str());
        }
        out.text(")");
    }
    out.text(")");
}
