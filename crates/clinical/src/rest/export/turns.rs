//! How many files are fetched at once: the others wait, each client behind itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Files at once, and those of one client among them.
const ALL: usize = 16;
const OF_ONE: usize = 4;
/// Steps of them that are read at once, so that all others find readers.
const READS: usize = 3;

/// Who fetches files.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    of: Mutex<HashMap<String, Arc<Semaphore>>>,
    reads: Semaphore,
}

/// A turn: it is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "they are held")] [OwnedSemaphorePermit; 2]);

impl Default for Turns {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL)), of: Mutex::default(), reads: Semaphore::new(READS) }
    }
}

impl Turns {
    /// Waits for a turn of this client.
    pub(super) async fn take(&self, client: &str) -> Option<Turn> {
        let own = {
            let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever has a turn or waits for one holds a count.
            of.retain(|_, own| Arc::strong_count(own) > 1);
            Arc::clone(of.entry(client.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(OF_ONE))))
        };
        let own = own.acquire_owned().await.ok()?;
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Turn([own, all]))
    }

    /// Waits until a step may be read.
    pub(super) async fn read(&self) -> Option<SemaphorePermit<'_>> {
        self.reads.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    /// Shows REQ-EXPORT-10: one client fetches four files at once, all together sixteen, and three steps of them are read at
    /// once; the others wait, and find a turn when one ends.
    #[tokio::test]
    async fn one_client_does_not_take_all_turns() {
        let turns = Turns::default();
        let soon = async |client: &str| timeout(Duration::from_millis(20), turns.take(client)).await.ok().flatten();
        let reads = [turns.read().await, turns.read().await, turns.read().await];
        assert!(timeout(Duration::from_millis(20), turns.read()).await.is_err(), "no fourth");
        drop(reads);
        assert!(turns.read().await.is_some());
        let mut held = Vec::new();
        for client in ["a", "b", "c", "d"] {
            for _ in 0..OF_ONE {
                held.push(soon(client).await.expect("a turn"));
            }
            assert!(soon(client).await.is_none(), "no fifth");
        }
        assert!(soon("e").await.is_none(), "no seventeenth");
        held.pop();
        assert!(soon("e").await.is_some());
        drop(held);
        assert!(soon("a").await.is_some());
        assert_eq!(turns.of.lock().expect("held").len(), 1, "who has none is forgotten");
    }
}
