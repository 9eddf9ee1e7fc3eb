//! What a server says that it serves.

use crate::Failure;
use crate::conformance::subject::Subject;
use serde_json::Value;

/// A CapabilityStatement, as far as requests are made of it.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) kinds: Vec<Kind>,
    /// Interactions with the whole: `batch`.
    pub(super) interactions: Vec<String>,
    /// Operations on the whole.
    pub(super) operations: Vec<String>,
}

/// A kind of resource.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: String,
    pub(super) interactions: Vec<String>,
    /// Search parameters with their types.
    pub(super) parameters: Vec<(String, String)>,
    pub(super) includes: Vec<String>,
    pub(super) revincludes: Vec<String>,
    pub(super) operations: Vec<String>,
    /// Whether a PUT makes what is not there.
    pub(super) update_creates: bool,
}

impl Kind {
    pub(super) fn does(&self, interaction: &str) -> bool {
        self.interactions.iter().any(|one| one == interaction)
    }
}

impl Statement {
    /// Reads it.
    ///
    /// # Errors
    /// When the server has none.
    pub(super) async fn read(subject: &Subject) -> Result<Self, Failure> {
        let answer = subject.web.get(subject.fhir("metadata")).send().await?;
        let told = answer.json();
        let rest = &told["rest"][0];
        if told["resourceType"] != "CapabilityStatement" || rest.is_null() {
            return Err(format!("there is no CapabilityStatement: {answer}").into());
        }
        let kinds = rest["resource"].as_array().into_iter().flatten().map(|kind| Kind {
            name: text(&kind["type"]),
            interactions: each(kind, "interaction", "code"),
            parameters: of(kind, "searchParam").map(|one| (text(&one["name"]), text(&one["type"]))).collect(),
            includes: of(kind, "searchInclude").map(text).collect(),
            revincludes: of(kind, "searchRevInclude").map(text).collect(),
            operations: each(kind, "operation", "name"),
            update_creates: kind["updateCreate"] == true,
        });
        let kinds: Vec<Kind> = kinds.filter(|kind| !kind.name.is_empty()).collect();
        if kinds.is_empty() {
            return Err("the CapabilityStatement lists no kind of resource".into());
        }
        let (interactions, operations) = (each(rest, "interaction", "code"), each(rest, "operation", "name"));
        Ok(Self { kinds, interactions, operations })
    }
}

fn of<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value[name].as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn each(value: &Value, name: &str, member: &str) -> Vec<String> {
    of(value, name).map(|one| text(&one[member])).collect()
}
