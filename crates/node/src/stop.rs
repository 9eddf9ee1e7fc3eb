//! One way to ask running work to stop.

use tokio::sync::watch;

/// Asks everything that holds its [`Stop`] to stop. Dropping it asks too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Told when to stop. Clones are told together.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// A stopper and what it tells.
#[must_use]
pub fn channel() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Asks to stop. Asking again does nothing.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// A further handle of those who are told.
    #[must_use]
    pub fn told(&self) -> Stop {
        Stop(self.0.subscribe())
    }
}

impl Stop {
    /// Waits until it is asked to stop.
    pub async fn asked(&mut self) {
        // An error means that the stopper is gone, which is the same wish.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether it has been asked to stop.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}
