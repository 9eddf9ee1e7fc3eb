//! The hub is told of images until it has them.

use super::Waiting;
use crate::Failure;
use bytes::Bytes;
use http::{Response, StatusCode};
use medlock_clinical::intake::{BUSY, NO_RECORDS, STUDIES, TOO_LATE};
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

/// How long it is at least from one refusal to the next report that had been refused: a hub that knows none of its patients has peace
/// from a sidecar with thousands of studies.
const ONE_BY_ONE: Duration = Duration::from_secs(1);

/// What the hub says of a report.
#[derive(Debug)]
enum Answer {
    /// It has it.
    Kept,
    /// It keeps no records.
    NoRecords,
    /// It does not take it.
    Refused(Told),
    /// It never will.
    Never,
    /// It is away, or busy.
    Away(Failure),
}

/// Why the hub does not take a report.
#[derive(Debug, Deserialize)]
struct Told {
    code: String,
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
    let mut released = waiting.released();
    let mut hub = Rest::new(AWAY);
    let mut refused: HashMap<u64, Rest> = HashMap::new();
    let mut one_by_one = Instant::now();
    loop {
        released.borrow_and_update();
        // First what it has not heard; then what has rested for longest.
        let fresh = waiting.find(|number| !refused.contains_key(&number)).map(|number| (number, hub.until));
        let rested = refused.iter().min_by_key(|(_, rest)| rest.until);
        let rested = rested.map(|(number, rest)| (*number, rest.until.max(one_by_one).max(hub.until)));
        let answered = async {
            match fresh.or(rested) {
                Some((number, at)) => {
                    sleep_until(at).await;
                    (number, told(&waiting, number, &client).await)
                }
                None => std::future::pending().await,
            }
        };
        let (number, answer) = tokio::select! {
            answered = answered => answered,
            _ = released.changed(), if fresh.is_none() => continue,
            () = stop.asked() => return,
        };
        let removed = match answer {
            Answer::Kept => waiting.remove(number),
            Answer::NoRecords => {
                tracing::debug!(report = number, "the hub keeps no records");
                waiting.remove(number)
            }
            Answer::Never => {
                tracing::error!(report = number, "the hub never takes word of these images: it is not told again");
                waiting.remove(number)
            }
            // The text may name the patient, as the file does.
            Answer::Refused(Told { code }) => Err(code.into()),
            Answer::Away(why) => {
                tracing::debug!(%why, "the hub is not told of images now");
                hub.again();
                continue;
            }
        };
        hub = Rest::new(AWAY);
        match removed {
            Ok(()) => drop(refused.remove(&number)),
            Err(why) => {
                tracing::warn!(report = number, %why, "the hub does not take word of images, which `studies` has: it is told again");
                refused.entry(number).or_insert_with(|| Rest::new(REFUSED)).again();
                one_by_one = Instant::now() + ONE_BY_ONE;
            }
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
        // Others are told.
        Err(error) => Answer::Refused(Told { code: error.to_string() }),
    }
}

fn understood(answer: &Response<Bytes>) -> Answer {
    match answer.status() {
        status if status.is_success() => Answer::Kept,
        status => {
            let told: Option<Told> = serde_json::from_slice(answer.body()).ok();
            let says = |code: &str| told.as_ref().is_some_and(|told| told.code == code);
            let is_away = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
            // That others change this one study all the time is no reason to tell of no other.
            if is_away && !says(BUSY) {
                return Answer::Away(format!("the hub answers {status}").into());
            }
            // Anything else may answer that there is no such address: a hub of before, or what stands in front of it.
            if status == StatusCode::NOT_FOUND && says(NO_RECORDS) {
                return Answer::NoRecords;
            }
            if says(TOO_LATE) {
                return Answer::Never;
            }
            Answer::Refused(told.unwrap_or_else(|| Told { code: status.to_string() }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> Answer {
        let body = Bytes::from(format!("{{\"code\":\"{code}\",\"text\":\"-\"}}"));
        understood(&Response::builder().status(status).body(body).expect("an answer"))
    }

    /// Shows REQ-INTAKE-58.
    #[test]
    fn one_study_that_is_always_changed_holds_up_no_other() {
        assert!(matches!(answer(503, BUSY), Answer::Refused(_)));
        assert!(matches!(answer(503, "intake-store"), Answer::Away(_)));
        assert!(matches!(answer(429, "intake-too-much"), Answer::Away(_)));
        assert!(matches!(answer(422, "intake-no-patient"), Answer::Refused(_)));
        assert!(matches!(answer(204, ""), Answer::Kept));
    }

    /// Shows REQ-INTAKE-61, REQ-INTAKE-62.
    #[test]
    fn only_what_the_hub_says_it_never_takes_is_forgotten() {
        assert!(matches!(answer(422, "intake-too-late"), Answer::Never));
        assert!(matches!(answer(404, "no-records"), Answer::NoRecords));
        assert!(matches!(answer(404, ""), Answer::Refused(_)), "a proxy's, or an older hub's");
        assert!(matches!(answer(422, "no-records"), Answer::Refused(_)));
        assert!(matches!(answer(503, "intake-store"), Answer::Away(_)));
    }
}
