//! What a CapabilityStatement lists works, and what it does not list is refused.

use super::statement::Kind;
use super::{Asked, Fuzzer, samples};
use crate::Failure;
use crate::conformance::web::Answer;
use http::{Method, StatusCode};
use serde_json::{Value, json};

/// Kinds of R4 that few servers keep: those that are not listed have to be refused.
const OTHERS: [&str; 6] = ["Account", "Basic", "Binary", "CarePlan", "Claim", "Flag"];

/// What an answer has to be.
#[derive(Clone, Copy, Debug)]
enum Right {
    Given,
    /// Served, whatever it says of this request.
    Served,
    Refused,
}

impl Right {
    fn is(self, status: StatusCode) -> bool {
        match self {
            Self::Given => status.is_success(),
            Self::Served => !matches!(status.as_u16(), 404 | 405 | 501),
            Self::Refused => status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED,
        }
    }

    const fn if_listed(listed: bool) -> Self {
        if listed { Self::Given } else { Self::Refused }
    }
}

impl Fuzzer {
    /// Asks for each thing that is listed, and for some that are not.
    pub(super) async fn listed(&mut self) -> Result<(), Failure> {
        let kinds = std::mem::take(&mut self.statement.kinds);
        // Others refer to these.
        for name in ["Patient", "Device"] {
            if kinds.iter().any(|kind| kind.name == name && kind.does("create")) {
                self.create(name).await?;
            }
        }
        for kind in &kinds {
            self.searches(kind).await?;
            self.resources(kind).await?;
            self.operations(kind).await?;
        }
        self.whole(&kinds).await?;
        self.statement.kinds = kinds;
        Ok(())
    }

    async fn expect(&mut self, right: Right, asked: Asked) -> Result<Option<Answer>, Failure> {
        let answer = self.ask("listed", asked.clone()).await?;
        if let Some(answer) = answer.as_ref().filter(|answer| !right.is(answer.status)) {
            self.tell("listed", &asked, &format!("it should be {right:?}: {answer}"));
        }
        Ok(answer)
    }

    fn first(&self, kind: &str) -> String {
        self.there.get(kind).and_then(|ids| ids.first()).cloned().unwrap_or_default()
    }

    fn sample(&self, kind: &str) -> Option<Value> {
        samples::of(kind, &self.first("Patient"), &self.first("Device"))
    }

    /// Creates a sample; its identifier, empty if there is no sample.
    async fn create(&mut self, kind: &str) -> Result<String, Failure> {
        let Some(sample) = self.sample(kind) else { return Ok(String::new()) };
        self.expect(Right::Given, Asked::new(Method::POST, format!("/{kind}")).resource(&sample)).await?;
        Ok(self.there.get(kind).and_then(|ids| ids.last()).cloned().unwrap_or_default())
    }

    async fn searches(&mut self, kind: &Kind) -> Result<(), Failure> {
        let (name, listed) = (&kind.name, kind.does("search-type"));
        let search = |query: String| Asked::new(Method::GET, format!("/{name}?{query}"));
        self.expect(Right::if_listed(listed), search("_count=1".into())).await?;
        if !listed {
            return Ok(());
        }
        for (parameter, of) in &kind.parameters {
            let mut value = good(of, &self.first("Patient"));
            // A statement does not say what a pair consists of.
            let pairs = ["ge2020-01-01", "5", "x"].map(|second| format!("x${second}"));
            for pair in pairs.into_iter().filter(|_| of == "composite") {
                let answer = self.ask("listed", search(format!("{parameter}={pair}&_count=1"))).await?;
                if answer.is_some_and(|answer| answer.status.is_success()) {
                    value = pair;
                }
            }
            self.expect(Right::Given, search(format!("{parameter}={value}&_count=1"))).await?;
        }
        for include in &kind.includes {
            self.expect(Right::Given, search(format!("_include={include}&_count=1"))).await?;
        }
        for include in &kind.revincludes {
            self.expect(Right::Given, search(format!("_revinclude={include}&_count=1"))).await?;
        }
        let form = Asked::new(Method::POST, format!("/{name}/_search"));
        self.expect(Right::Given, form.with("application/x-www-form-urlencoded", "_count=1")).await?;
        let mut unknown = search("no-such-parameter=1".into());
        unknown.headers.push(("prefer", "handling=strict".to_owned()));
        self.expect(Right::Refused, unknown).await?;
        Ok(())
    }

    async fn resources(&mut self, kind: &Kind) -> Result<(), Failure> {
        let name = &kind.name;
        let sample = samples::any(name, &self.first("Patient"));
        if kind.does("create") {
            self.create(name).await?;
        } else {
            self.expect(Right::Refused, Asked::new(Method::POST, format!("/{name}")).resource(&sample)).await?;
        }
        self.expect(Right::if_listed(kind.does("history-type")), Asked::new(Method::GET, format!("/{name}/_history")))
            .await?;
        let id = match self.there.get(name).and_then(|ids| ids.last()) {
            Some(id) => id.clone(),
            None => self.found(name).await?,
        };
        if id.is_empty() {
            return Ok(());
        }
        let at = |method: Method, more: &str| Asked::new(method, format!("/{name}/{id}{more}"));
        let read = self.expect(Right::if_listed(kind.does("read")), at(Method::GET, "")).await?;
        let read = read.map(|answer| answer.json()).unwrap_or_default();
        let version = read["meta"]["versionId"].as_str().unwrap_or("1").to_owned();
        let versioned = at(Method::GET, &format!("/_history/{version}"));
        self.expect(Right::if_listed(kind.does("vread")), versioned).await?;
        self.expect(Right::if_listed(kind.does("history-instance")), at(Method::GET, "/_history")).await?;
        self.expect(Right::if_listed(kind.does("update")), at(Method::PUT, "").resource(&read)).await?;
        if !kind.does("patch") {
            let patch = at(Method::PATCH, "")
                .with("application/json-patch+json", r#"[{"op":"add","path":"/language","value":"de"}]"#);
            self.expect(Right::Refused, patch).await?;
        }
        if kind.does("update") && !kind.update_creates && sample["resourceType"] == name.as_str() {
            let mut other = sample;
            other["id"] = json!("no-such-one");
            self.expect(Right::Refused, Asked::new(Method::PUT, format!("/{name}/no-such-one")).resource(&other))
                .await?;
        }
        if !kind.does("delete") {
            self.expect(Right::Refused, at(Method::DELETE, "")).await?;
            return Ok(());
        }
        let gone = self.create(name).await?;
        if !gone.is_empty() {
            self.expect(Right::Given, Asked::new(Method::DELETE, format!("/{name}/{gone}"))).await?;
            self.expect(Right::Refused, Asked::new(Method::GET, format!("/{name}/{gone}"))).await?;
            self.there.entry(name.clone()).or_default().retain(|one| *one != gone);
        }
        Ok(())
    }

    /// One that is there.
    async fn found(&mut self, kind: &str) -> Result<String, Failure> {
        let answer = self.ask("listed", Asked::new(Method::GET, format!("/{kind}?_count=1"))).await?;
        let told = answer.map(|answer| answer.json()).unwrap_or_default();
        Ok(told["entry"][0]["resource"]["id"].as_str().unwrap_or_default().to_owned())
    }

    /// One that is there, or that can be made.
    async fn some(&mut self, kind: &str) -> Result<String, Failure> {
        let known = self.first(kind);
        let found = if known.is_empty() { self.found(kind).await? } else { known };
        if found.is_empty() && kind == "Subscription" {
            // Which channels there are, is not in the statement: this may be refused.
            self.ask("listed", Asked::new(Method::POST, "/Subscription").resource(&samples::subscription())).await?;
            return Ok(self.first(kind));
        }
        Ok(found)
    }

    async fn operations(&mut self, kind: &Kind) -> Result<(), Failure> {
        let (name, id) = (&kind.name, self.some(&kind.name).await?);
        let body = samples::any(name, &self.first("Patient"));
        for operation in &kind.operations {
            let places = [format!("/{name}/${operation}"), format!("/{name}/{id}/${operation}")];
            // Where there is none, one that is asked of each alone cannot be asked.
            if !id.is_empty() {
                self.served(&places, &body).await?;
            }
        }
        for path in [format!("/{name}/$no-such-operation"), format!("/{name}/{id}/$no-such-operation")] {
            self.expect(
                Right::Refused,
                Asked::new(Method::POST, path.clone()).resource(&json!({ "resourceType": "Parameters" })),
            )
            .await?;
            self.expect(Right::Refused, Asked::new(Method::GET, path)).await?;
        }
        Ok(())
    }

    /// An operation is served at one of these places, by GET or by POST.
    async fn served(&mut self, places: &[String], body: &Value) -> Result<(), Failure> {
        let mut last = None;
        for place in places {
            let mut get = Asked::new(Method::GET, place.clone());
            // What takes long is begun.
            get.headers.push(("prefer", "respond-async".to_owned()));
            for asked in [Asked::new(Method::POST, place.clone()).resource(body), get] {
                let Some(answer) = self.ask("listed", asked.clone()).await? else { continue };
                if Right::Served.is(answer.status) {
                    return Ok(());
                }
                last = Some((asked, answer));
            }
        }
        if let Some((asked, answer)) = last {
            self.tell("listed", &asked, &format!("the operation should be served: {answer}"));
        }
        Ok(())
    }

    /// What is asked of the server as a whole.
    async fn whole(&mut self, kinds: &[Kind]) -> Result<(), Failure> {
        for other in OTHERS.into_iter().filter(|other| !kinds.iter().any(|kind| kind.name == *other)) {
            let resource = json!({ "resourceType": other, "status": "active" });
            for asked in [
                Asked::new(Method::GET, format!("/{other}")),
                Asked::new(Method::GET, format!("/{other}/1")),
                Asked::new(Method::POST, format!("/{other}")).resource(&resource),
            ] {
                self.expect(Right::Refused, asked).await?;
            }
        }
        let listed = |name: &str, all: &[String]| all.iter().any(|one| one == name);
        for name in ["batch", "transaction"] {
            let bundle = json!({ "resourceType": "Bundle", "type": name });
            let right = Right::if_listed(listed(name, &self.statement.interactions));
            self.expect(right, Asked::new(Method::POST, "").resource(&bundle)).await?;
        }
        let right = Right::if_listed(listed("history-system", &self.statement.interactions));
        self.expect(right, Asked::new(Method::GET, "/_history")).await?;
        let right = Right::if_listed(listed("search-system", &self.statement.interactions));
        self.expect(right, Asked::new(Method::GET, "?_id=1")).await?;
        for operation in self.statement.operations.clone() {
            let parameters = json!({ "resourceType": "Parameters" });
            self.served(&[format!("/${operation}")], &parameters).await?;
        }
        self.expect(
            Right::Refused,
            Asked::new(Method::POST, "/$no-such-operation").resource(&json!({ "resourceType": "Parameters" })),
        )
        .await?;
        let mut xml =
            Asked::new(Method::GET, format!("/{}?_count=1", kinds.first().map_or("Patient", |kind| &kind.name)));
        xml.headers.push(("accept", "text/turtle".to_owned()));
        self.expect(Right::Refused, xml).await?;
        Ok(())
    }
}

/// A value that a parameter of this type takes.
fn good(of: &str, patient: &str) -> String {
    match of {
        "date" => "ge2020-01-01".to_owned(),
        "number" => "5".to_owned(),
        "quantity" => "5".to_owned(),
        "uri" => "urn:x".to_owned(),
        "reference" => format!("Patient/{}", if patient.is_empty() { "1" } else { patient }),
        _ => "x".to_owned(),
    }
}
