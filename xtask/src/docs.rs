//! Stage `docs`: the code's documentation builds, the documents agree with the code, and tables with what they were made of.

use std::path::Path;

use crate::command::Program;
use crate::house::{self, House};
use crate::stage::Report;
use crate::{Error, Result, architecture, generate, requirements};

/// ARCHITECTURE.md is read in one sitting, or not at all.
const ARCHITECTURE_LINES: usize = 150;
/// What a newcomer types; README.md must show both.
const COMMANDS: [&str; 2] = ["cargo run --release -- up --demo", "cargo xtask test"];

pub(crate) fn check(house: &House) -> Result<Report> {
    let mut report = Report::default();
    let arguments = ["doc", "--workspace", "--no-deps", "--quiet"];
    if let Err(error) = Program::new("cargo").args(arguments).env("RUSTDOCFLAGS", "-D warnings").run() {
        report.findings.push(error.to_string());
    }
    collect(&mut report, architecture(house));
    let mut notes = Vec::new();
    collect(&mut report, requirements(house, &mut notes));
    report.notes.append(&mut notes);
    collect(&mut report, readme(house));
    collect(&mut report, links(house));
    collect(&mut report, generate::check(house));
    Ok(report)
}

fn collect(report: &mut Report, checked: Result<Vec<String>>) {
    report.findings.extend(checked.unwrap_or_else(|error: Error| vec![error.to_string()]));
}

fn architecture(house: &House) -> Result<Vec<String>> {
    let document = house::read(&house.root.join("ARCHITECTURE.md"))?;
    let mut found = match architecture::table(&document) {
        Ok(arrows) => architecture::disagreements(&arrows, &house.metadata),
        Err(reason) => vec![format!("ARCHITECTURE.md: {reason}")],
    };
    let lines = document.lines().count();
    if lines > ARCHITECTURE_LINES {
        found.push(format!("ARCHITECTURE.md has {lines} lines; {ARCHITECTURE_LINES} are enough"));
    }
    found.extend(invariants(&document));
    Ok(found)
}

/// An invariant begins a line and names, in backticks, the check that enforces it; it ends before the next or a gap.
fn invariants(document: &str) -> Vec<String> {
    let mut stated: Vec<String> = Vec::new();
    let mut open = false;
    for line in document.lines().map(|line| line.trim_start_matches([' ', '-', '*'])) {
        if line.starts_with("Invariant:") {
            stated.push(line.to_string());
            open = true;
        } else if line.is_empty() {
            open = false;
        } else if let Some(last) = stated.last_mut().filter(|_| open) {
            last.push(' ');
            last.push_str(line);
        }
    }
    if stated.is_empty() {
        return vec!["ARCHITECTURE.md states no invariant (a line that begins `Invariant:`)".into()];
    }
    let unnamed = stated.into_iter().filter(|invariant| !invariant.contains('`'));
    unnamed.map(|invariant| format!("ARCHITECTURE.md names no check in backticks for: {invariant}")).collect()
}

fn requirements(house: &House, notes: &mut Vec<String>) -> Result<Vec<String>> {
    let document = house::read(&house.root.join("docs/requirements.md"))?;
    let mut shown = requirements::Shown::default();
    for folder in ["crates", "xtask"] {
        for path in house.files(folder, "rs")? {
            shown.read(&house::read(&path)?);
        }
    }
    let (found, count) = requirements::disagreements(&document, &shown);
    notes.push(format!("{count} requirements"));
    Ok(found)
}

fn readme(house: &House) -> Result<Vec<String>> {
    let document = house::read(&house.root.join("README.md"))?;
    let missing = COMMANDS.into_iter().filter(|command| !document.contains(command));
    Ok(missing.map(|command| format!("README.md does not show `{command}`")).collect())
}

/// Links between the documents lead somewhere.
fn links(house: &House) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for path in house.files("", "md")? {
        let folder = path.parent().unwrap_or(Path::new(""));
        for target in link_targets(&house::read(&path)?) {
            if !folder.join(&target).exists() {
                found.push(format!("{}: the link to {target} leads nowhere", house.relative(&path)));
            }
        }
    }
    Ok(found)
}

/// The files that a document's links name, without those on the web and inside the page.
fn link_targets(document: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in document.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        for after in line.split("](").skip(1) {
            let target = after.split([')', '#', ' ']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push(target.to_string());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_into_the_tree_are_followed() {
        let document = "[a](docs/a.md#part) [b](https://example.org/x) [c](#here)\n```\n[d](gone.md)\n```\n[e](b.md)";
        assert_eq!(link_targets(document), ["docs/a.md", "b.md"]);
    }

    #[test]
    fn an_invariant_names_its_check() {
        assert!(invariants("- Invariant: nothing rolls back (`trust::list`).").is_empty());
        assert!(invariants("Invariant: nothing rolls back; tests of\n`trust::list`.").is_empty());
        assert_eq!(invariants("Invariant: trust me.\n\n`nothing`").len(), 1);
        assert_eq!(invariants("# none").len(), 1);
    }
}
