//! What a sidecar says of itself.

use crate::output::{self, say};
use medlock_node::enrol::Progress;
use medlock_node::identity::IdentityStore;
use medlock_node::knowledge::KnowledgeBase;
use medlock_trust::{Denied, Operation};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What a sidecar says of itself while it runs: a line of text for a person, of JSON for a program.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// Both ports are open. Nobody is served before `ready`.
    Listening {
        /// For other sidecars.
        listen: SocketAddr,
        /// For the machine.
        plain: SocketAddr,
    },
    /// The hub has the request; a person must confirm it.
    AwaitingApproval {
        /// The start of the key's fingerprint.
        key: String,
    },
    /// There is a credential.
    Enrolled {
        /// Until when, RFC 3339.
        not_after: String,
    },
    /// Something did not succeed and is tried again.
    Trouble {
        /// What.
        error: String,
        /// When it is tried again, in seconds.
        again_in_seconds: f64,
    },
    /// The stream of news from the hub is open, or not any more.
    News {
        /// Whether it is open.
        connected: bool,
    },
    /// The site has suspended or revoked this very device.
    Standing {
        /// The stable code.
        code: String,
        /// What would change it.
        remedy: String,
    },
    /// The site has restored this device.
    Restored,
    /// A code was given though there is a credential: it is used if the hub never renews that one.
    CodeInReserve,
    /// Associations are served.
    Ready,
}

/// Says events: a line each, and the same one only once until another comes; of a credential, until there is another one.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    json: bool,
    said: Arc<Mutex<Said>>,
}

#[derive(Debug, Default)]
struct Said {
    last: Option<Event>,
    enrolled: Option<Event>,
}

impl Said {
    /// Whether this is to be said, which is noted.
    fn is_new(&mut self, event: &Event) -> bool {
        let before = if matches!(event, Event::Enrolled { .. }) { &mut self.enrolled } else { &mut self.last };
        if before.as_ref() == Some(event) {
            return false;
        }
        *before = Some(event.clone());
        self.last = Some(event.clone());
        true
    }
}

impl Teller {
    pub(super) fn new(json: bool) -> Self {
        Self { json, said: Arc::default() }
    }

    pub(super) fn tell(&self, event: Event) {
        // Held until it is written: two lines do not mix.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.is_new(&event) {
            return;
        }
        if self.json {
            // Whoever read this has gone; the sidecar goes on.
            let _ = output::json(&event);
        } else {
            in_words(&event);
        }
    }

    /// Tells how enrolment and renewal go, for ever.
    pub(super) async fn follow_enrolment(self, mut progress: watch::Receiver<Progress>) {
        while progress.changed().await.is_ok() {
            let event = match progress.borrow_and_update().clone() {
                Progress::Idle | Progress::Asking => continue,
                Progress::AwaitingApproval { key } => Event::AwaitingApproval { key },
                Progress::Enrolled { not_after } => Event::Enrolled { not_after: not_after.to_string() },
                Progress::Failed { error, again_in } => {
                    Event::Trouble { error, again_in_seconds: Duration::as_secs_f64(&again_in) }
                }
            };
            self.tell(event);
        }
    }

    /// Tells whether news come, and if the hub has nothing more to say to this device, why, for ever.
    pub(super) async fn follow_news(
        self,
        mut connected: watch::Receiver<bool>,
        identity: IdentityStore,
        knowledge: Arc<KnowledgeBase>,
    ) {
        let mut denied = false;
        while connected.changed().await.is_ok() {
            let connected = *connected.borrow_and_update();
            let before = denied;
            let denial = own_denial(&identity, &knowledge);
            denied = denial.is_some();
            match denial {
                Some(denied) => self.tell(Event::Standing {
                    code: denied.code.as_str().to_owned(),
                    remedy: denied.code.remedy().to_owned(),
                }),
                None => {
                    if before {
                        self.tell(Event::Restored);
                    }
                    self.tell(Event::News { connected });
                }
            }
        }
    }
}

/// Why the site would not even renew this device's own credential, as far as is known here.
pub(super) fn own_denial(identity: &IdentityStore, knowledge: &KnowledgeBase) -> Option<Denied> {
    let own = identity.current()?;
    let who = knowledge.identify(own.chain()).ok()?;
    knowledge.judge(&who, Operation::Renew).permit().err()
}

fn in_words(event: &Event) {
    match event {
        Event::Listening { listen, plain } => {
            say!("listening for other sidecars on {listen}, for the machine on {plain}");
        }
        Event::AwaitingApproval { key } => {
            say!("waiting for approval at the hub; the key's fingerprint begins with {}", output::grouped(key));
        }
        Event::Enrolled { not_after } => say!("there is a credential, good until {not_after}"),
        Event::Trouble { error, again_in_seconds } => say!("{error}; trying again in {again_in_seconds:.0} s"),
        Event::News { connected: true } => say!("connected with the hub"),
        Event::News { connected: false } => say!("no news from the hub; everything goes on with what is known"),
        Event::Standing { code, remedy } => say!("the site says of this device: {code}; {remedy}"),
        Event::Restored => say!("the site has restored this device"),
        Event::CodeInReserve => {
            say!("this sidecar has a credential already: the code is used only if the hub does not renew that one");
        }
        Event::Ready => say!("ready"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_told_once_and_trouble_each_time_it_comes_back() {
        let mut said = Said::default();
        let enrolled = |day: &str| Event::Enrolled { not_after: format!("2030-01-{day}T00:00:00Z") };
        let trouble = Event::Trouble { error: "the hub is away".to_owned(), again_in_seconds: 1.0 };
        let events = [enrolled("01"), Event::Ready, enrolled("01"), trouble.clone(), trouble.clone()];
        let events = events.into_iter().chain([Event::News { connected: true }, trouble, enrolled("02")]);
        let new: Vec<bool> = events.map(|event| said.is_new(&event)).collect();
        assert_eq!(new, [true, true, false, true, false, true, true, true]);
    }
}
