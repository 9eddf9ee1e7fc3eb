//! Requirements against the tests that show them: docs/requirements.md and the tests must name each other.
//!
//! A row of the document is `| REQ-ROOM-01 | text | shown by |`; the third cell names, in backticks, tests
//! (`crate::module::test_name`) or stages (`cargo xtask test bare`). A test names a requirement in its doc comment:
//! `/// Shows REQ-ROOM-01.`

use std::collections::{BTreeMap, BTreeSet};

use crate::stage::Stage;

/// For each id, the functions whose comments name it.
#[derive(Debug, Default)]
pub(crate) struct Shown(BTreeMap<String, BTreeSet<String>>);

impl Shown {
    /// Adds what this source file says.
    pub(crate) fn read(&mut self, source: &str) {
        let mut waiting: Vec<String> = Vec::new();
        for line in source.lines().map(str::trim) {
            if line.starts_with("//") {
                waiting.extend(ids(line));
            } else if let Some(name) = function(line) {
                for id in waiting.drain(..) {
                    self.0.entry(id).or_default().insert(name.to_string());
                }
            } else if !line.starts_with('#') {
                waiting.clear();
            }
        }
    }
}

/// What the document and the tests disagree on, one sentence each; and the number of requirements.
pub(crate) fn disagreements(document: &str, shown: &Shown) -> (Vec<String>, usize) {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    let mut named = BTreeSet::new();
    for line in document.lines() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split(" | ").map(str::trim).collect();
        let Some(id) = cells.first().and_then(|cell| ids(cell).into_iter().next()) else { continue };
        if !line.trim_start().starts_with('|') {
            continue;
        }
        if !known.insert(id.clone()) {
            found.push(format!("docs/requirements.md has {id} twice"));
        }
        let checks: Vec<&str> =
            cells.last().map(|cell| cell.split('`').skip(1).step_by(2).collect()).unwrap_or_default();
        if checks.is_empty() {
            found.push(format!("docs/requirements.md names no test for {id}"));
        }
        for check in checks {
            if let Some(stage) = check.strip_prefix("cargo xtask test ") {
                if stage.split(' ').next().and_then(Stage::named).is_none() {
                    found.push(format!("docs/requirements.md: {id} names the stage `{stage}`, which is not there"));
                }
                continue;
            }
            let function = check.rsplit("::").next().unwrap_or(check);
            named.insert((id.clone(), function.to_string()));
            if !shown.0.get(&id).is_some_and(|functions| functions.contains(function)) {
                found.push(format!(
                    "docs/requirements.md: {id} names `{check}`, but no such test says `Shows {id}` in its comment"
                ));
            }
        }
    }
    for (id, functions) in &shown.0 {
        if !known.contains(id) {
            let functions: Vec<&str> = functions.iter().map(String::as_str).collect();
            found.push(format!("{} says it shows {id}, which docs/requirements.md lacks", functions.join(", ")));
            continue;
        }
        for function in functions.iter().filter(|function| !named.contains(&(id.clone(), (*function).clone()))) {
            found.push(format!("`{function}` says it shows {id}, but docs/requirements.md does not name it there"));
        }
    }
    (found, known.len())
}

/// All requirement ids in a text: REQ-, capital letters and digits, a dash, digits.
fn ids(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, mark) in text.match_indices("REQ-") {
        let rest = &text[start + mark.len()..];
        let letters = rest.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit())).unwrap_or(rest.len());
        let Some(digits) = rest[letters..].strip_prefix('-') else { continue };
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        if letters > 0 && end > 0 {
            found.push(format!("REQ-{}-{}", &rest[..letters], &digits[..end]));
        }
    }
    found
}

/// The name, if the line begins a function.
fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let prefixes = ["", "pub ", "async ", "pub async ", "pub(crate) ", "pub(crate) async "];
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    (prefixes.contains(&before) && end > 0).then(|| &after[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Split, so that these are no requirements of the project itself.
    fn example(text: &str) -> String {
        text.replace("RQ-", concat!("RE", "Q-"))
    }

    fn shown(source: &str) -> Shown {
        let mut shown = Shown::default();
        shown.read(&example(source));
        shown
    }

    const SOURCE: &str = "
        /// Shows RQ-TRUST-01 and RQ-TRUST-02.
        #[test]
        fn expiry_alone_denies_nothing() {}

        /// Shows RQ-NODE-07.
        #[tokio::test]
        async fn a_node_renews() {}
    ";

    #[test]
    fn agreement_passes() {
        let document = example(
            "| id | requirement | shown by |\n| --- | --- | --- |\n\
             | RQ-TRUST-01 | text | `trust::decide::expiry_alone_denies_nothing` |\n\
             | RQ-TRUST-02 | text | `trust::decide::expiry_alone_denies_nothing`, `cargo xtask test bare` |\n\
             | RQ-NODE-07 | text | `a_node_renews` |\n",
        );
        assert_eq!(disagreements(&document, &shown(SOURCE)), (Vec::new(), 3));
    }

    /// Shows REQ-HOUSE-03.
    #[test]
    fn a_requirement_without_its_test_is_found() {
        let document = example("| RQ-TRUST-03 | text | `trust::gone` |\n| RQ-TRUST-04 | text | by hand |\n");
        let (found, count) = disagreements(&document, &Shown::default());
        assert_eq!(count, 2);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("no such test"));
        assert!(found[1].contains("names no test"));
    }

    /// Shows REQ-HOUSE-03.
    #[test]
    fn a_test_naming_an_unknown_requirement_is_found() {
        let (found, _) = disagreements("", &shown(SOURCE));
        assert_eq!(found.len(), 3, "{found:?}");
    }

    /// Shows REQ-HOUSE-03.
    #[test]
    fn both_sides_must_name_each_other() {
        let document = example("| RQ-NODE-07 | text | `cargo xtask test tests` |\n");
        let source = "/// Shows RQ-NODE-07.\n#[test]\nfn a_node_renews() {}\n";
        let (found, _) = disagreements(&document, &shown(source));
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn stages_that_are_not_there_and_double_ids_are_found() {
        let row = "| RQ-HOUSE-01 | text | `cargo xtask test moon` |\n";
        let (found, _) = disagreements(&example(&row.repeat(2)), &Shown::default());
        assert!(found.iter().any(|line| line.contains("twice")), "{found:?}");
        assert!(found.iter().any(|line| line.contains("`moon`")), "{found:?}");
    }

    #[test]
    fn comments_of_other_things_show_nothing() {
        let source = "/// About RQ-NODE-07.\nconst LIMIT: usize = 3;\nfn unrelated() {}\n";
        assert!(shown(source).0.is_empty());
    }
}
