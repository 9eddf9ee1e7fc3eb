//! The hub is told of images until it has them.

use super::Waiting;
use crate::Failure;
use bytes::Bytes;
use http::{Response, StatusCode};
use medlock_clinical::intake::STUDIES;
use medlock_node::http::Client;
use medlock_node::stop::Stop;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long a hub that is away is left alone at first, and at most.
const AWAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long a report that the hub refuses rests at first, and at most: a person may say whose the images are.
const REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(900));

/// What the hub says of a report.
#[derive(Debug)]
enum Answer {
    /// It has it.
    Kept,
    /// It keeps no records.
    NoRecords,
    /// It does not take it: a code, and words.
    Refused(Told),
    /// It is away, or busy.
    Away(Failure),
}

/// Why the hub does not take a report.
#[derive(Debug, Deserialize)]
struct Told {
    code: String,
    text: String,
}

/// How long something rests: each time twice as long.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    next: Duration,
    most: Duration,
}

impl Rest {
    fn new((first, most): (Duration, Duration)) -> Self {
        Self { until: Instant::now(), next: first, most }
    }

    fn again(&mut self) {
        self.until = Instant::now() + self.next;
        self.next = (self.next * 2).min(self.most);
    }
}

/// Tells the hub behind `client` of what waits, until asked to stop.
pub(in crate::sidecar) async fn tell(waiting: Arc<Waiting>, client: Client, mut stop: Stop) {
    let mut added = waiting.added();
    let mut hub = Rest::new(AWAY);
    let mut refused: HashMap<u64, Rest> = HashMap::new();
    loop {
        added.borrow_and_update();
        let round = async {
            for number in waiting.numbers() {
                if refused.get(&number).is_some_and(|rest| rest.until > Instant::now()) {
                    continue;
                }
                match told(&waiting, number, &client).await {
                    Answer::Kept => drop(refused.remove(&number)),
                    Answer::NoRecords => tracing::debug!(report = number, "the hub keeps no records"),
                    Answer::Refused(why) => {
                        let Told { code, text } = why;
                        tracing::warn!(
                            report = number,
                            code,
                            text,
                            "the hub does not take word of images: it is told again"
                        );
                        refused.entry(number).or_insert_with(|| Rest::new(REFUSED)).again();
                        continue;
                    }
                    Answer::Away(why) => {
                        tracing::debug!(%why, "the hub is not told of images now");
                        hub.again();
                        return;
                    }
                }
                if let Err(error) = waiting.remove(number) {
                    tracing::error!(%error, report = number, "the hub is told of images once more");
                    refused.entry(number).or_insert_with(|| Rest::new(REFUSED)).again();
                }
            }
            hub = Rest::new(AWAY);
        };
        tokio::select! {
            () = round => {}
            () = stop.asked() => return,
        }
        let there = waiting.numbers();
        refused.retain(|number, _| there.contains(number));
        // Nothing to tell: until something comes. A hub that is away is left alone also then.
        let next = refused.values().map(|rest| rest.until).min().filter(|_| hub.until <= Instant::now());
        let next = next.or((hub.until > Instant::now()).then_some(hub.until));
        let rested = async {
            match next {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let comes = async {
            sleep_until(hub.until).await;
            // The sender is held here, so this cannot fail.
            let _ = added.changed().await;
        };
        tokio::select! {
            () = rested => {}
            () = comes => {}
            () = stop.asked() => return,
        }
    }
}

async fn told(waiting: &Waiting, number: u64, client: &Client) -> Answer {
    match waiting.read(number) {
        Ok(Some(report)) => match client.post(STUDIES, "application/json", report).await {
            Ok(answer) => understood(&answer),
            Err(error) => Answer::Away(error.into()),
        },
        // It made room for others.
        Ok(None) => Answer::Kept,
        Err(error) => Answer::Away(error),
    }
}

fn understood(answer: &Response<Bytes>) -> Answer {
    match answer.status() {
        status if status.is_success() => Answer::Kept,
        StatusCode::NOT_FOUND => Answer::NoRecords,
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            Answer::Away(format!("the hub answers {status}").into())
        }
        status => {
            let told = serde_json::from_slice(answer.body());
            Answer::Refused(told.unwrap_or_else(|_| Told { code: status.to_string(), text: String::new() }))
        }
    }
}
