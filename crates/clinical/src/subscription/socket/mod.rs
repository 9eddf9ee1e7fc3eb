//! Subscriptions over a web socket (FHIR R4 Subscription, channel `websocket`): a client connects, says `bind ID`, hears `bound ID`, and
//! then `ping ID` whenever something has changed that it wants.
//!
//! Each hub tells who is connected to it. A ping says that there is something to look for, and nothing else; what came while nobody was
//! connected, who connects looks for itself.
//!
//! | module | what is there |
//! | --- | --- |
//! | `connection` | one client, from its first word to the last |
//! | `bound` | what it is told |
//! | `pauses` | whose criteria cost too much |
//! | `rooms` | how many are connected |
//! | `ticket` | by which software in a browser connects |

mod bound;
mod connection;
mod pauses;
mod rooms;
mod ticket;

pub(crate) use connection::Connection;
pub(crate) use rooms::{Full, Place, Rooms};
pub(crate) use ticket::LASTS as TICKET_LASTS;

use crate::Clinical;
use crate::access::Caller;
use crate::kind::Seq;
use medlock_node::stop::Stop;
use pauses::Pauses;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

/// How often who is connected is looked at.
const BEAT: Duration = Duration::from_millis(500);

/// What those who are connected follow.
#[derive(Clone, Copy, Debug)]
struct Beat {
    newest: Seq,
    /// The hub stops.
    ends: bool,
}

/// The connections of this hub.
#[derive(Debug)]
pub(crate) struct Sockets {
    beats: watch::Sender<Beat>,
    rooms: Arc<Rooms>,
    pauses: Pauses,
}

impl Sockets {
    pub(crate) fn new() -> Self {
        let (beats, _) = watch::channel(Beat { newest: Seq(0), ends: false });
        Self { beats, rooms: Arc::default(), pauses: Pauses::default() }
    }

    /// Room for who connects; `None`: it has not said yet who it is.
    ///
    /// # Errors
    /// What is full.
    pub(crate) fn enter(&self, caller: Option<&Caller>) -> Result<Place, Full> {
        self.rooms.enter(caller)
    }
}

impl Clinical {
    /// Has those who are connected look for what has changed, until asked to stop; then they are told that.
    pub(crate) async fn beat_until(self: Arc<Self>, mut stop: Stop) {
        let mut clock = tokio::time::interval(BEAT);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let beats = &self.sockets().beats;
        loop {
            tokio::select! {
                () = stop.asked() => break,
                _ = clock.tick() => {}
            }
            if beats.receiver_count() == 0 {
                continue;
            }
            let asked = Arc::clone(&self);
            let newest = match spawn_blocking(move || asked.records().newest()).await {
                Ok(Ok(newest)) => newest,
                // Whether their tokens have ended is looked at all the same.
                Ok(Err(_)) | Err(_) => beats.borrow().newest,
            };
            beats.send_replace(Beat { newest, ends: false });
        }
        beats.send_modify(|beat| beat.ends = true);
    }
}
