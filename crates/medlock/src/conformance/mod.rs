//! `medlock conformance …`: asks any FHIR server, over HTTP alone, whether it does what SMART App Launch, OAuth 2.0 and UDAP say,
//! and refuses what they mean to keep out.
//!
//! | module | what is there |
//! | --- | --- |
//! | `case` | a case, and what came of it |
//! | `subject` | the server, and what cases share |
//! | `web`, `keys`, `launch` | requests; keys and what they sign; a person's sign-in |
//! | `discovery`, `backend`, `standalone`, `device`, `negative`, `ssrf`, `oracle`, `udap` | the cases |
//! | `parts` | what a scope with a search gives |
//! | `settings` | what the command line gives |
//! | `fuzz` | `medlock conformance fhir-fuzz` |

mod backend;
mod case;
mod device;
mod discovery;
mod fuzz;
mod keys;
mod launch;
mod negative;
mod oracle;
mod parts;
mod settings;
mod ssrf;
mod standalone;
mod subject;
mod udap;
mod web;

pub(crate) use fuzz::{FuzzArgs, run as fhir_fuzz};
pub(crate) use settings::SmartArgs;

use crate::output::{self, Table, say};
use crate::{Failure, Outcome};
use case::{Case, Group, Unfit};
use serde_json::json;
use std::time::Duration;
use subject::Subject;
use tokio::time::timeout;

/// All cases, in the order in which they are asked.
const ALL: [(Group, &[Case]); 9] = [
    (Group::Discovery, discovery::CASES),
    (Group::Backend, backend::CASES),
    (Group::Standalone, standalone::CASES),
    (Group::Device, device::CASES),
    (Group::Negative, backend::NEGATIVE),
    (Group::Negative, negative::CASES),
    (Group::Negative, ssrf::CASES),
    (Group::Oracle, oracle::CASES),
    (Group::Udap, udap::CASES),
];

/// How long a case may take beyond what it waits for a person.
const PATIENCE: Duration = Duration::from_secs(180);

/// Asks all that was wanted.
///
/// # Errors
/// When what was given cannot be used.
pub(crate) fn smart(args: SmartArgs) -> Result<Outcome, Failure> {
    let wanted = args.wanted(&ALL)?;
    if args.list {
        list(&wanted, args.json)?;
        return Ok(Outcome::Done);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let (json, patience) = (args.json, PATIENCE + 4 * args.patience());
        let subject = args.subject().await?;
        subject.is_there().await?;
        ask_all(&subject, &wanted, json, patience).await
    });
    runtime.shutdown_background();
    outcome
}

fn list(wanted: &[(Group, &Case)], as_json: bool) -> Result<(), Failure> {
    if as_json {
        let all = wanted.iter();
        let all: Vec<_> =
            all.map(|(group, case)| json!({ "id": case.id, "group": group.name(), "asks": case.asks })).collect();
        output::json(&json!({ "tests": all }))?;
        return Ok(());
    }
    let mut table = Table::new(&["group", "test", "what is asked"]);
    for (group, case) in wanted {
        table.row([group.name(), case.id, case.asks].map(str::to_owned));
    }
    table.print("There is no such test.");
    Ok(())
}

/// How many passed, failed and were skipped.
#[derive(Default)]
struct Count {
    passed: u32,
    failed: u32,
    skipped: u32,
}

async fn ask_all(
    subject: &Subject,
    wanted: &[(Group, &Case)],
    json: bool,
    patience: Duration,
) -> Result<Outcome, Failure> {
    let mut count = Count::default();
    for (group, case) in wanted {
        let late = || Unfit::Failed(format!("it took longer than {} seconds", patience.as_secs()));
        let told = timeout(patience, (case.run)(subject)).await.unwrap_or_else(|_| Err(late()));
        let (result, why) = match told {
            Ok(()) => ("pass", None),
            Err(Unfit::Failed(why)) => ("fail", Some(why)),
            Err(Unfit::Skipped(why)) => ("skip", Some(why)),
        };
        *match result {
            "pass" => &mut count.passed,
            "fail" => &mut count.failed,
            _ => &mut count.skipped,
        } += 1;
        if json {
            let told = json!({ "event": "test", "id": case.id, "group": group.name(), "result": result, "why": why });
            output::json(&told)?;
        } else {
            say!("{}", line(result, case, why.as_deref()).trim_end());
        }
    }
    let left = subject.tidy(None).await;
    let Count { passed, failed, skipped } = count;
    if json {
        let end = json!({ "event": "end", "passed": passed, "failed": failed, "skipped": skipped, "left": left });
        output::json(&end)?;
    } else {
        say!("{passed} passed, {failed} failed, {skipped} skipped");
        if !left.is_empty() {
            say!("test data that could not be removed: {}", left.join(" "));
        }
    }
    Ok(if failed == 0 { Outcome::Done } else { Outcome::Refused })
}

fn line(result: &str, case: &Case, why: Option<&str>) -> String {
    let (result, why) = match (result, why) {
        ("skip", Some(why)) => (result.to_owned(), format!("skipped: {why}")),
        ("fail", why) => ("FAIL".to_owned(), format!("{}: {}", case.asks, why.unwrap_or_default())),
        (result, why) => (result.to_owned(), why.unwrap_or_default().to_owned()),
    };
    format!("{result}  {:<44} {why}", case.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Shows REQ-CONF-04: each case has one name, and the documentation has each.
    #[test]
    fn each_case_has_a_name_of_its_own_and_is_documented() {
        let documented = include_str!("../../../../docs/conformance.md");
        let mut names = HashSet::new();
        for (group, case) in ALL.iter().flat_map(|(group, cases)| cases.iter().map(move |case| (group, case))) {
            assert!(names.insert(case.id), "{} stands twice", case.id);
            let row = format!("| {} | `{}` | {} |", group.name(), case.id, case.asks);
            assert!(documented.lines().any(|line| line == row), "docs/conformance.md has no line {row}");
        }
    }
}
