//! What the demonstration shows, while it runs and at its end.

use super::smart::Ready;
use crate::Failure;
use crate::output::say;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::time::{Duration, Instant};

/// The result, as `--json` prints it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Every step, in order.
    pub(crate) steps: Vec<Step>,
    /// Images that the CT sent and saw acknowledged.
    pub(crate) images_sent: usize,
    /// Images that arrived with exactly the bytes that were sent.
    pub(crate) images_received_identical: usize,
    /// A client for a person with a browser, while the ward goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ready: Option<Ready>,
}

/// One step.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    /// Its stable name.
    pub(crate) name: &'static str,
    /// Whether it held.
    pub(crate) held: bool,
    /// What was seen, or what went wrong.
    pub(crate) seen: String,
    /// How long it took.
    pub(crate) seconds: f64,
}

impl Report {
    /// Whether every step held, and every image that was sent arrived as it was.
    pub(crate) fn all_held(&self) -> bool {
        self.steps.iter().all(|step| step.held) && self.images_sent == self.images_received_identical
    }
}

/// Tells steps as they happen, unless it is to be silent.
#[derive(Debug)]
pub(crate) struct Teller {
    /// The result so far.
    pub(crate) report: Report,
    silent: bool,
}

impl Teller {
    /// A teller; `silent` when only the report is wanted.
    pub(crate) fn new(silent: bool) -> Self {
        Self { report: Report::default(), silent }
    }

    /// A line that is no step.
    pub(crate) fn say(&self, text: &str) {
        if !self.silent {
            say!("{text}");
        }
    }

    /// Does one step and tells how it went. `what` says what is tried.
    pub(crate) async fn step<T>(
        &mut self,
        name: &'static str,
        what: &str,
        step: impl Future<Output = Result<(T, String), Failure>>,
    ) -> Option<T> {
        let spinner = self.spinner(what);
        let began = Instant::now();
        let result = step.await;
        spinner.finish_and_clear();
        let seconds = began.elapsed().as_secs_f64();
        let (value, held, seen) = match result {
            Ok((value, seen)) => (Some(value), true, seen),
            Err(failure) => (None, false, failure.to_string()),
        };
        let sign = if held { "✓" } else { "✗" };
        self.say(&format!(" {sign} {what}\n     {seen} ({seconds:.1} s)"));
        self.report.steps.push(Step { name, held, seen, seconds });
        value
    }

    fn spinner(&self, what: &str) -> ProgressBar {
        if self.silent {
            return ProgressBar::hidden();
        }
        let style =
            ProgressStyle::with_template(" {spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let spinner = ProgressBar::new_spinner().with_style(style).with_message(what.to_owned());
        spinner.enable_steady_tick(Duration::from_millis(100));
        spinner
    }
}
