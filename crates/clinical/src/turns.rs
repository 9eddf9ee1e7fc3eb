//! Who may have what the store has only few of: some at once, and of one client fewer; the others wait, each client behind itself.
//! These wait without a thread and as long as it takes; a request that has one already waits a second at most, in `rest::places`.

use medlock_store::LONG_READERS;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Turns of each sort: wide searches, those of who sees one patient alone, files of exports, and looks for subscribers. Whatever has a
/// turn has one reader at most; two more are for changes with conditions that take long, beside the first two sorts.
pub(crate) const EACH: usize = (LONG_READERS - 2) / 4;

/// Turns of clients.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    of_one: usize,
    of: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A turn: it is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "they are held")] [OwnedSemaphorePermit; 2]);

impl Turns {
    /// So many at once, and so many of one client among them.
    pub(crate) fn new((all, of_one): (usize, usize)) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), of_one, of: Mutex::default() }
    }

    /// Waits for a turn of this client.
    pub(crate) async fn take(&self, client: &str) -> Option<Turn> {
        let own = {
            let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever has a turn or waits for one holds a count.
            of.retain(|_, own| Arc::strong_count(own) > 1);
            Arc::clone(of.entry(client.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(self.of_one))))
        };
        let own = own.acquire_owned().await.ok()?;
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Turn([own, all]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{rest, subscription};
    use std::time::Duration;
    use tokio::time::timeout;

    /// Shows REQ-EXPORT-10, REQ-SUB-42: one client has no more than its part, and all together no more than there is; the others wait, and
    /// find a turn when one ends.
    #[tokio::test]
    async fn one_client_does_not_take_all_turns() {
        for (size, (all, of_one)) in [(rest::READS, (3, 2)), (subscription::LOOKS, (3, 1))] {
            let turns = Turns::new(size);
            let soon = async |client: &str| timeout(Duration::from_millis(20), turns.take(client)).await.ok().flatten();
            let mut held = Vec::new();
            for _ in 0..of_one {
                held.push(soon("a").await.expect("a turn"));
            }
            assert!(soon("a").await.is_none(), "it has its part");
            for other in of_one..all {
                held.push(soon(&format!("b{other}")).await.expect("a turn"));
            }
            assert!(soon("c").await.is_none(), "no more than there is");
            held.pop();
            assert!(soon("a").await.is_none(), "it has its part");
            assert!(soon("c").await.is_some());
            drop(held);
            assert!(soon("a").await.is_some());
            assert_eq!(turns.of.lock().expect("held").len(), 1, "who has none is forgotten");
        }
    }
}
