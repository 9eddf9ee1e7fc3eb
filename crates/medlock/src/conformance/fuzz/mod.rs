//! `medlock conformance fhir-fuzz`: reads a server's CapabilityStatement, asks for all that it lists, and then for what nobody
//! should ask so. What it lists has to work, what it does not list has to be refused, each refusal has to say why, and nothing
//! may fail within.
//!
//! | module | what is there |
//! | --- | --- |
//! | `statement` | what a server says that it serves |
//! | `samples` | a small resource of each kind |
//! | `listed` | what is listed works, what is not is refused |
//! | `chance` | numbers that a seed gives, and odd values |
//! | `made` | requests that are made by chance |
//! | `judge` | whether an answer is one |

mod chance;
mod judge;
mod listed;
mod made;
mod samples;
mod statement;

use super::case::Given;
use super::settings::{BackendArgs, base};
use super::subject::{Shared, Subject, now};
use super::web::{Answer, Web};
use crate::output::{self, say};
use crate::{Failure, Outcome};
use bytes::Bytes;
use chance::Chance;
use clap::Args;
use http::Method;
use serde_json::json;
use statement::Statement;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How often a token is fetched anew, in seconds.
const FRESH: i64 = 120;
/// Bodies that a server need not read to their end.
const LARGE: usize = 1 << 20;
/// Failures that are told; behind them it ends.
const MOST: usize = 50;

/// `medlock conformance fhir-fuzz`.
#[derive(Debug, Args)]
pub(crate) struct FuzzArgs {
    /// The server's FHIR address. Never one with real records.
    #[arg(long, value_name = "URL")]
    base: String,
    /// The authorities (PEM) of its certificate; those of the system if absent.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    backend: BackendArgs,
    /// A token, instead of --client-id and --key.
    #[arg(long, value_name = "TOKEN", env = "MEDLOCK_TOKEN", hide_env_values = true, conflicts_with = "client_id")]
    token: Option<String>,
    /// How many requests are made by chance.
    #[arg(long, default_value_t = 2_000)]
    rounds: u32,
    /// Which ones: the same seed makes the same requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long an answer may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    within: u16,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Asks, and says what was wrong.
///
/// # Errors
/// When what was given cannot be used, or there is no CapabilityStatement.
pub(crate) fn run(args: FuzzArgs) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(fuzz(args));
    runtime.shutdown_background();
    outcome
}

async fn fuzz(args: FuzzArgs) -> Result<Outcome, Failure> {
    let subject = Subject {
        base: base(&args.base)?,
        web: Web::new(args.ca.as_deref(), None)?,
        backend: args.backend.read()?,
        person: None,
        device: None,
        member: None,
        shared: Shared::default(),
    };
    if args.token.is_none() && subject.backend.is_none() {
        return Err("who asks? Give --client-id and --key, or --token".into());
    }
    let statement = Statement::read(&subject).await?;
    let mut fuzzer = Fuzzer {
        subject,
        statement,
        token: (args.token.clone().unwrap_or_default(), if args.token.is_some() { i64::MAX } else { 0 }),
        within: Duration::from_secs(args.within.into()),
        there: BTreeMap::new(),
        count: Count::default(),
        wrong: Vec::new(),
        json: args.json,
    };
    fuzzer.listed().await?;
    for round in 0..args.rounds {
        if fuzzer.wrong.len() >= MOST {
            break;
        }
        let mut chance = Chance::new(args.seed, round);
        let request = made::request(&mut chance, &fuzzer.statement, &fuzzer.there);
        let from = format!("seed {} round {round}", args.seed);
        fuzzer.ask(&from, request).await?;
    }
    fuzzer.end().await
}

/// A request as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// Path and query below the FHIR address, as they are.
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

impl Asked {
    fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: Bytes::new() }
    }

    fn with(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.headers.push(("content-type", content_type.to_owned()));
        self
    }

    fn resource(self, resource: &serde_json::Value) -> Self {
        self.with("application/fhir+json", resource.to_string())
    }
}

/// What was asked and answered.
#[derive(Debug, Default)]
struct Count {
    asked: u32,
    given: u32,
    refused: u32,
    slowest: Duration,
}

/// A run.
struct Fuzzer {
    subject: Subject,
    statement: Statement,
    /// A token, and when it was fetched.
    token: (String, i64),
    within: Duration,
    /// Identifiers of what is there, by kind.
    there: BTreeMap<String, Vec<String>>,
    count: Count,
    wrong: Vec<String>,
    json: bool,
}

impl Fuzzer {
    async fn token(&mut self) -> Given<&str> {
        if now().saturating_sub(self.token.1) > FRESH {
            self.token = (self.subject.backend_token().await?, now());
        }
        Ok(&self.token.0)
    }

    /// Sends a request and looks at its answer; none, if it cannot be sent at all.
    async fn ask(&mut self, from: &str, asked: Asked) -> Result<Option<Answer>, Failure> {
        let url = format!("{}{}", self.subject.base, asked.path);
        if url.parse::<http::Uri>().is_err() {
            return Ok(None);
        }
        let token = self.token().await.map_err(|unfit| format!("no token: {unfit:?}"))?.to_owned();
        let mut request = self.subject.web.ask(asked.method.clone(), url).bearer(&token);
        for (name, value) in &asked.headers {
            request = request.header(*name, value);
        }
        let answer = request.body(asked.body.clone()).send().await;
        self.count.asked += 1;
        let answer = match answer {
            Ok(answer) => answer,
            // Who sends too much may be cut off while it is being sent (RFC 9110, section 15.5.14).
            Err(_) if asked.body.len() > LARGE => return Ok(None),
            Err(error) => {
                self.tell(from, &asked, &format!("no answer: {error}"));
                return Ok(None);
            }
        };
        if answer.status.is_success() {
            self.count.given += 1;
        } else {
            self.count.refused += 1;
        }
        let took = answer.took;
        self.count.slowest = self.count.slowest.max(took);
        if took > self.within {
            self.tell(from, &asked, &format!("the answer took {} ms", took.as_millis()));
        }
        if let Err(why) = judge::answer(&asked.method, &answer) {
            self.tell(from, &asked, &format!("{why}: {answer}"));
        }
        for (kind, id) in judge::written(&answer) {
            self.subject.remember(format!("{kind}/{id}"));
            self.there.entry(kind).or_default().push(id);
        }
        Ok(Some(answer))
    }

    /// Notes what was wrong with an answer, and says it.
    fn tell(&mut self, from: &str, asked: &Asked, why: &str) {
        let body: String = String::from_utf8_lossy(&asked.body).chars().take(400).collect();
        let headers: Vec<String> = asked.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let path: String = asked.path.chars().take(400).collect();
        let told = format!("{from}: {} {path} [{}] {body:?}: {why}", asked.method, headers.join("; "));
        if !self.json {
            say!("FAIL  {told}");
        }
        self.wrong.push(told);
    }

    async fn end(self) -> Result<Outcome, Failure> {
        let given = (self.token.1 == i64::MAX).then_some(self.token.0.as_str());
        let left = self.subject.tidy(given).await;
        let Count { asked, given, refused, slowest } = self.count;
        let slowest_ms = u64::try_from(slowest.as_millis()).unwrap_or(u64::MAX);
        if self.json {
            output::json(&json!({
                "asked": asked, "given": given, "refused": refused, "slowest_ms": slowest_ms, "wrong": self.wrong, "left": left.len(),
            }))?;
        } else {
            say!(
                "{asked} requests, {given} given, {refused} refused, the slowest in {slowest_ms} ms, {} wrong",
                self.wrong.len()
            );
            if !left.is_empty() {
                say!("test data that could not be removed: {}", left.len());
            }
        }
        Ok(if self.wrong.is_empty() { Outcome::Done } else { Outcome::Refused })
    }
}
