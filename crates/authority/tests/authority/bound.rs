//! How long a stolen device can still be trusted by a judge that hears from nobody: the table of
//! `docs/partition-bound.md`, checked twice. A model in which everything may happen at any time, explored without gaps, and
//! the running code in virtual time, one second before each bound and one after.

mod code;
mod model;

use medlock_trust::Operation;
use medlock_trust::policy::{Effect, Policy, Row, Setting};

/// How one operation ends for a stolen device, whatever happens, under a policy. Times are in the policy's seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound {
    /// After the report, or after the last word that reached the judge if that is earlier: from then on not without an
    /// alert. `None`: never by age alone.
    unmarked: Option<u32>,
    /// From then on not at all.
    denied: Denied,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denied {
    /// So long after the report.
    AfterReport(u32),
    /// So long after the end of the credential's validity.
    AfterExpiry(u32),
    /// Only when news arrive.
    ByNewsAlone,
}

impl Bound {
    fn of(operation: Operation, setting: Setting, policy: &Policy) -> Self {
        let effect = |row| policy.effect(row, operation);
        let budget = policy.budget_seconds(setting, operation);
        let denied = if effect(Row::Stale) == Effect::Deny {
            Denied::AfterReport(budget)
        } else if effect(Row::ExpiredWithinGrace) == Effect::Deny {
            Denied::AfterExpiry(0)
        } else if effect(Row::ExpiredBeyondGrace) == Effect::Deny {
            Denied::AfterExpiry(policy.grace_seconds())
        } else {
            Denied::ByNewsAlone
        };
        Self { unmarked: (effect(Row::Stale) != Effect::Allow).then_some(budget), denied }
    }
}

/// Shows REQ-STAT-12: the table that is published is that of the default policy.
#[test]
fn the_published_table_is_that_of_the_default_policy() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/partition-bound.md")).unwrap();
    let hours = |seconds: u32| match seconds / 3_600 {
        hours if hours <= 24 => format!("{hours} h"),
        hours => format!("{} d", hours / 24),
    };
    let policy = Policy::default();
    for operation in Operation::ALL {
        let cells = [Setting::Hospital, Setting::Home].map(|setting| {
            let bound = Bound::of(operation, setting, &policy);
            let unmarked = bound.unmarked.map_or_else(|| "no bound".to_owned(), hours);
            let denied = match bound.denied {
                Denied::AfterReport(seconds) => hours(seconds),
                Denied::AfterExpiry(grace) => format!("expiry + {}", hours(grace)),
                Denied::ByNewsAlone => "by news alone".to_owned(),
            };
            format!("{unmarked} | {denied}")
        });
        let row = format!("| `{operation}` | {} | {} |", cells[0], cells[1]);
        assert!(text.contains(&row), "docs/partition-bound.md has no line\n{row}");
    }
}
