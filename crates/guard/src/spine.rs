//! What every protocol's guard shares: accepting within limits.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use medlock_node::stop::Stop;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Places that can be taken, in total and by one holder.
#[derive(Debug)]
pub struct Slots<K>(Arc<Places<K>>);

impl<K> Clone for Slots<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Places<K> {
    total: usize,
    each: usize,
    taken: Mutex<Taken<K>>,
}

#[derive(Debug)]
struct Taken<K> {
    all: usize,
    by: HashMap<K, usize>,
}

/// A place that is taken. Dropping it gives the place back.
#[derive(Debug)]
pub struct Slot<K: Hash + Eq> {
    places: Arc<Places<K>>,
    key: K,
}

impl<K: Hash + Eq + Clone> Slots<K> {
    /// `total` places, of which one holder may have `each`.
    #[must_use]
    pub fn new(total: usize, each: usize) -> Self {
        Self(Arc::new(Places { total, each, taken: Mutex::new(Taken { all: 0, by: HashMap::new() }) }))
    }

    /// Takes a place, if there is one for this holder.
    #[must_use]
    pub fn enter(&self, key: &K) -> Option<Slot<K>> {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.by.get(key).copied().unwrap_or(0);
        if taken.all >= self.0.total || own >= self.0.each {
            return None;
        }
        taken.all += 1;
        taken.by.insert(key.clone(), own + 1);
        Some(Slot { places: self.0.clone(), key: key.clone() })
    }
}

impl<K: Hash + Eq> Drop for Slot<K> {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(own) = taken.by.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                taken.by.remove(&self.key);
            }
        }
    }
}

/// How long to wait when the system has no file descriptor left for a connection.
const BREATH: Duration = Duration::from_millis(100);

/// Accepts connections until asked to stop, each handled by a task in `tasks`.
pub(crate) async fn accept<F>(
    listener: &TcpListener,
    tasks: &mut JoinSet<()>,
    stop: &mut Stop,
    mut handle: impl FnMut(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        tokio::select! {
            () = stop.asked() => return,
            Some(done) = tasks.join_next() => if let Err(error) = done {
                tracing::error!(%error, "a connection's task ended badly");
            },
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    tasks.spawn(handle(stream, from));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(BREATH).await;
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_total_and_for_each_holder() {
        let slots = Slots::new(3, 2);
        let first = slots.enter(&"a").unwrap();
        let _second = slots.enter(&"a").unwrap();
        assert!(slots.enter(&"a").is_none(), "one holder");
        let _third = slots.enter(&"b").unwrap();
        assert!(slots.enter(&"c").is_none(), "in total");
        drop(first);
        let _fourth = slots.enter(&"c").unwrap();
        assert_eq!(slots.0.taken.lock().unwrap().by.len(), 3);
    }
}
