//! The crate table of ARCHITECTURE.md against what the crates really depend on.
//!
//! The table is the first one whose header has a column `crate` and a column `may depend on`. Both name packages in
//! backticks, with or without `medlock-`; a cell without backticks allows nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// For each package, the workspace packages it may depend on.
pub(crate) type Arrows = BTreeMap<String, BTreeSet<String>>;

/// What any package may use in its tests.
const FOR_TESTS: &str = "medlock-testkit";

/// Reads the table; an error says what is wrong with it.
pub(crate) fn table(document: &str) -> Result<Arrows, String> {
    let mut rows = document.lines().map(cells).skip_while(|row| columns(row).is_none());
    let Some((name, allowed)) = rows.next().as_deref().and_then(columns) else {
        return Err("it has no table with the columns `crate` and `may depend on`".into());
    };
    let mut arrows = Arrows::new();
    for row in rows.take_while(|row| !row.is_empty()).skip(1) {
        let (Some(name), Some(allowed)) = (row.get(name), row.get(allowed)) else {
            return Err(format!("this row of the crate table is too short: {}", row.join(" | ")));
        };
        for package in names(name) {
            arrows.insert(package, names(allowed).into_iter().collect());
        }
    }
    Ok(arrows)
}

/// What the table and the packages disagree on, one sentence each.
pub(crate) fn disagreements(table: &Arrows, metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let known: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for package in packages {
        let Some(name) = package["name"].as_str() else { continue };
        let Some(allowed) = table.get(name) else {
            found.push(format!("the crate table of ARCHITECTURE.md lacks `{name}`"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
        for dependency in dependencies {
            let Some(other) = dependency["name"].as_str().filter(|other| known.contains(other)) else { continue };
            let for_tests = dependency["kind"] == "dev" && other == FOR_TESTS;
            if !for_tests && !allowed.contains(other) {
                found.push(format!(
                    "`{name}` depends on `{other}`, which ARCHITECTURE.md does not allow: drop it or draw the arrow"
                ));
            }
        }
    }
    for name in table.keys().filter(|name| !known.contains(name.as_str())) {
        found.push(format!("the crate table of ARCHITECTURE.md names `{name}`, which is no package of the workspace"));
    }
    found
}

/// The cells of a table row; empty if the line is none.
fn cells(line: &str) -> Vec<String> {
    let Some(row) = line.trim().strip_prefix('|') else { return Vec::new() };
    row.trim_end_matches('|').split('|').map(|cell| cell.trim().to_string()).collect()
}

fn columns(row: impl AsRef<[String]>) -> Option<(usize, usize)> {
    let place = |title: &str| row.as_ref().iter().position(|cell| cell.eq_ignore_ascii_case(title));
    Some((place("crate")?, place("may depend on")?))
}

/// The words in backticks, as package names.
fn names(cell: &str) -> Vec<String> {
    let words = cell.split('`').skip(1).step_by(2);
    words.map(|word| if is_whole(word) { word.to_string() } else { format!("medlock-{word}") }).collect()
}

fn is_whole(word: &str) -> bool {
    word.starts_with("medlock") || word == "xtask"
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
# Architecture
| crate | what | may depend on |
| --- | --- | --- |
| `trust` | the core | nothing |
| `medlock-node` | servers | `trust` |
| `medlock` | the binary | `node`, `trust` |

| crate | colour |
| --- | --- |
| `moon` | grey |
";

    fn metadata(packages: &[(&str, &[(&str, &str)])]) -> Value {
        let packages = packages.iter().map(|(name, dependencies)| {
            let dependencies = dependencies.iter().map(|(name, kind)| {
                let kind = if kind.is_empty() { Value::Null } else { Value::from(*kind) };
                serde_json::json!({ "name": name, "kind": kind })
            });
            serde_json::json!({ "name": name, "dependencies": dependencies.collect::<Vec<_>>() })
        });
        serde_json::json!({ "packages": packages.collect::<Vec<_>>() })
    }

    #[test]
    fn the_table_ends_where_it_ends() {
        let arrows = table(DOCUMENT).unwrap();
        assert_eq!(arrows.keys().collect::<Vec<_>>(), ["medlock", "medlock-node", "medlock-trust"]);
        assert!(arrows["medlock-trust"].is_empty());
        assert!(arrows["medlock-node"].contains("medlock-trust"));
        assert!(table("# nothing").is_err());
    }

    #[test]
    fn agreed_arrows_pass_and_outside_crates_do_not_matter() {
        let real = metadata(&[
            ("medlock-trust", &[("minicbor", "")]),
            ("medlock-node", &[("medlock-trust", ""), ("rustls", "")]),
            ("medlock", &[("medlock-node", ""), ("medlock-trust", "dev")]),
        ]);
        assert_eq!(disagreements(&table(DOCUMENT).unwrap(), &real), Vec::<String>::new());
    }

    /// Shows REQ-HOUSE-02.
    #[test]
    fn an_arrow_not_drawn_is_found() {
        let real = metadata(&[("medlock-trust", &[("medlock-node", "dev")]), ("medlock-node", &[]), ("medlock", &[])]);
        let found = disagreements(&table(DOCUMENT).unwrap(), &real);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("`medlock-trust` depends on `medlock-node`"));
    }

    /// Shows REQ-HOUSE-02.
    #[test]
    fn crates_missing_on_either_side_are_found() {
        let real = metadata(&[("medlock-trust", &[]), ("medlock-node", &[]), ("medlock-moon", &[])]);
        let found = disagreements(&table(DOCUMENT).unwrap(), &real).join("\n");
        assert!(found.contains("lacks `medlock-moon`"));
        assert!(found.contains("names `medlock`, which is no package"));
    }

    #[test]
    fn tests_may_use_the_testkit_but_products_may_not() {
        let drawn = table(DOCUMENT).unwrap();
        let with = |kind: &str| {
            let real = metadata(&[("medlock-node", &[("medlock-testkit", kind)]), ("medlock-testkit", &[])]);
            disagreements(&drawn, &real).join("\n")
        };
        assert!(!with("dev").contains("depends on"));
        assert!(with("").contains("`medlock-node` depends on `medlock-testkit`"));
    }
}
