//! What a search takes, in words: for the CapabilityStatement, and for who wrote something else.

use super::{is_sorted, values};
use crate::definitions::{Definitions, Parameter, Place, SearchType};
use crate::kind::Kind;

/// The prefixes of dates and quantities.
const PREFIXES: &str = "behind eq, ne, gt, ge, lt, le, sa or eb";
/// A date or time as a search writes it.
const DATE: &str = "YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm with seconds and zone if you like";

/// How the values of a parameter are written, and what may stand beside its name.
#[must_use]
pub(crate) fn of_parameter(kind: Kind, parameter: &Parameter) -> String {
    let names = || parameter.names.join(", ");
    let form = match parameter.sort {
        SearchType::Token if kind == Kind::AUDIT_EVENT => "CODE or SYSTEM|CODE".to_owned(),
        SearchType::Token => "CODE, SYSTEM|CODE, |CODE (of no system) or SYSTEM| (any of it)".to_owned(),
        SearchType::Reference if parameter.only_target().is_some() => format!("ID, {}/ID or a whole address", names()),
        SearchType::Reference if parameter.names.is_empty() || parameter.names == ["*"] => {
            "KIND/ID or a whole address".to_owned()
        }
        SearchType::Reference => format!("KIND/ID or a whole address; KIND is one of {}", names()),
        SearchType::Date => format!("{DATE}, {PREFIXES}"),
        SearchType::Quantity => format!("NUMBER, NUMBER|SYSTEM|CODE or NUMBER||CODE, {PREFIXES}"),
        SearchType::Uri => "the whole address".to_owned(),
        SearchType::String => "the beginning of a word, in whatever case and accents".to_owned(),
        SearchType::Composite => format!("A$B, as {} are written", parameter.names.join(" and ")),
    };
    let beside = beside(kind, parameter);
    if beside.is_empty() { form } else { format!("{form}. {}", beside.join(", ")) }
}

/// Modifiers, chains and order.
fn beside(kind: Kind, parameter: &Parameter) -> Vec<String> {
    let mut all = Vec::new();
    // The audit is searched plainly.
    if kind == Kind::AUDIT_EVENT {
        return all;
    }
    let name = parameter.name;
    if values::absent(parameter).is_some() {
        all.push(":missing".to_owned());
    }
    match parameter.sort {
        SearchType::Token => all.push(":not".to_owned()),
        SearchType::String => all.push(":exact".to_owned()),
        SearchType::Reference => {
            let one = parameter.only_target().is_some();
            if matches!(parameter.place, Place::Patient | Place::Subject | Place::Link) {
                all.push(":identifier".to_owned());
                all.push(if one { format!(":{}", parameter.names.join("")) } else { ":KIND".to_owned() });
            }
            // Chains lead to what is kept here.
            if !parameter.names.is_empty() {
                all.push(if one { format!("chain {name}.PARAMETER") } else { format!("chain {name}:KIND.PARAMETER") });
            }
        }
        SearchType::Date | SearchType::Quantity | SearchType::Uri | SearchType::Composite => {}
    }
    if is_sorted(kind, parameter) {
        all.push(format!("_sort={name}"));
    }
    all
}

/// By what resources of this kind are ordered.
#[must_use]
pub(crate) fn orders(kind: Kind) -> String {
    if kind == Kind::AUDIT_EVENT {
        return "-date".to_owned();
    }
    let own = Definitions::r4().parameters.of(kind).filter(|parameter| is_sorted(kind, parameter));
    let own = own.map(|parameter| parameter.name);
    ["_lastUpdated", "_id"].into_iter().chain(own).collect::<Vec<_>>().join(", ")
}

/// How the values of a parameter of all kinds are written.
#[must_use]
pub(crate) fn of_all(name: &str) -> String {
    match name {
        "_id" => "identifiers of resources, with a comma between two".to_owned(),
        _ => format!("{DATE}, {PREFIXES}"),
    }
}

/// How a search for this kind is written, but for its parameters.
#[must_use]
pub(crate) fn of_kind(kind: Kind) -> String {
    if kind == Kind::AUDIT_EVENT {
        return "Searched by its parameters alone, each but date once; newest first. _count=0 or _summary=count gives the number alone.".to_owned();
    }
    format!(
        "_sort is one of {}, with - before it the last first. Between several values of a parameter is a comma, and one holds. \
         _include and _revinclude are as listed, with :KIND behind them if you like, of one step. _has:KIND:REFERENCE:PARAMETER and \
         chains are of one step. _count is a number, _total is none, estimate or accurate, _summary is count or false; _count=0 is \
         _summary=count.",
        orders(kind)
    )
}

/// What would help whoever wrote the value of this parameter otherwise.
pub(super) fn help(kind: Kind, name: &str) -> String {
    match name {
        "_count" => "give a whole number from 0; with 0 the number of all is told alone".to_owned(),
        "_sort" => format!("give one of {}; with - before it the last comes first", orders(kind)),
        "_total" => "give none, estimate or accurate".to_owned(),
        "_summary" => "give count, or leave it out".to_owned(),
        "_include" | "_revinclude" => {
            "give one of searchInclude or searchRevInclude in /fhir/metadata, with :KIND behind it if you like".to_owned()
        }
        "_id" | "_lastUpdated" => format!("write {}", of_all(name)),
        _ if name.starts_with("_has:") => {
            "write _has:KIND:REFERENCE:PARAMETER=VALUE, of a kind whose REFERENCE is to the one that is searched".to_owned()
        }
        _ if name.contains('.') => {
            "write REFERENCE.PARAMETER=VALUE or REFERENCE:KIND.PARAMETER=VALUE: /fhir/metadata says how for each parameter"
                .to_owned()
        }
        _ => {
            let (plain, modifier) = name.split_once(':').unwrap_or((name, ""));
            match Definitions::r4().parameters.named(kind, plain) {
                Some(_) if modifier == "missing" => "give true or false".to_owned(),
                Some(parameter) => format!("write {}", of_parameter(kind, parameter)),
                None => String::new(),
            }
        }
    }
}
