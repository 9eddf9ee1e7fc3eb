//! Many requests at once, on each connection one after another.

use super::rate::{Began, Took};
use crate::Failure;
use bytes::Bytes;
use http::Request;
use medlock_node::http::Client;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long all took, and each.
pub(super) struct Done {
    pub(super) took: Took,
    pub(super) each: Vec<Duration>,
}

/// Sends so many requests over so many connections. Before the time runs the requests are made, by their numbers, and the
/// connections have shaken hands.
pub(super) async fn send_all(
    client: &Client,
    connections: u16,
    requests: impl Iterator<Item = Result<Request<Bytes>, Failure>>,
) -> Result<Done, Failure> {
    let requests: Arc<[_]> =
        requests.map(|request| request.map(|one| Mutex::new(Some(one)))).collect::<Result<_, _>>()?;
    let next = Arc::new(AtomicUsize::new(0));
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(client.connection().await?);
    }
    let (began, mut tasks) = (Began::now(), JoinSet::new());
    for mut connection in open {
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        tasks.spawn(async move {
            let mut each = Vec::new();
            while let Some(one) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let request = one.lock().unwrap_or_else(PoisonError::into_inner).take();
                let (request, began) = (request.ok_or("a request was sent twice")?, Instant::now());
                let answer = connection.send(request).await.map_err(|error| error.to_string())?;
                each.push(began.elapsed());
                if !answer.status().is_success() {
                    return Err(format!("{}: {}", answer.status(), String::from_utf8_lossy(answer.body())));
                }
            }
            Ok(each)
        });
    }
    let mut each = Vec::new();
    while let Some(done) = tasks.join_next().await {
        each.extend(done??);
    }
    Ok(Done { took: began.took(), each })
}
