//! Stage `deny`: bans, licences and sources of all dependencies, and known advisories if their list can be had.

use std::time::Duration;

use crate::command::{Heard, Program};
use crate::house::House;
use crate::peers::{self, CARGO_DENY};
use crate::stage::Report;
use crate::{Error, Result, locks};

/// The list of advisories is a Git repository of some megabytes.
const FETCH_LIMIT: Duration = Duration::from_secs(120);
/// What cargo-deny says when it could not get the list.
const NOT_FETCHED: &str = "failed to fetch advisory database";

pub(crate) fn check(house: &House) -> Result<Report> {
    let mut report = Report::default();
    let program = peers::cargo_deny(house)
        .ok_or_else(|| Error::new(format!("cargo-deny {CARGO_DENY} is missing; cargo xtask peers installs it")))?;
    let words = ["check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
    if let Err(error) = Program::new(&program).args(words).folder(&house.root).run() {
        report.findings.push(error.to_string());
    }
    report.findings.extend(locks::drifted(house)?);
    let advisories = Program::new(&program).args(["check", "advisories"]).folder(&house.root);
    println!("$ {}", advisories.line());
    let heard = advisories.hear_within(FETCH_LIMIT)?;
    if let Some(heard) = &heard {
        print!("{}{}", heard.stdout, heard.stderr);
    }
    match judge(heard.as_ref()) {
        Advisories::Clean => report.notes.push("no known advisory against any dependency".into()),
        Advisories::Unreachable => report.notes.push(
            "ADVISORIES NOT CHECKED: the list at github.com/RustSec could not be fetched. \
             With a network: cargo deny check advisories"
                .into(),
        ),
        Advisories::Found => report.findings.push("there are advisories against dependencies; see above".into()),
    }
    Ok(report)
}

#[derive(Debug, PartialEq, Eq)]
enum Advisories {
    Clean,
    Found,
    /// Nothing is known: the list was out of reach.
    Unreachable,
}

fn judge(heard: Option<&Heard>) -> Advisories {
    match heard {
        None => Advisories::Unreachable,
        Some(heard) if heard.success => Advisories::Clean,
        Some(heard) if heard.stderr.contains(NOT_FETCHED) => Advisories::Unreachable,
        Some(_) => Advisories::Found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-HOUSE-07.
    #[test]
    fn only_an_unreachable_list_is_excused() {
        let heard = |success, stderr: &str| Heard { success, stdout: String::new(), stderr: stderr.to_string() };
        assert_eq!(judge(None), Advisories::Unreachable);
        assert_eq!(judge(Some(&heard(true, ""))), Advisories::Clean);
        let offline = heard(false, "[ERROR] failed to fetch advisory database https://example.org with cli: …");
        assert_eq!(judge(Some(&offline)), Advisories::Unreachable);
        assert_eq!(judge(Some(&heard(false, "error[vulnerability]: memory exhaustion"))), Advisories::Found);
    }
}
