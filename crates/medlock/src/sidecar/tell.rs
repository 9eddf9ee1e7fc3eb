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
    /// A code was given and not used.
    CodeNotUsed,
    /// Associations are served.
    Ready,
}

/// Says events: a line each, and the same one only once until another comes.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    json: bool,
    last: Arc<Mutex<Option<Event>>>,
}

impl Teller {
    pub(super) fn new(json: bool) -> Self {
        Self { json, last: Arc::default() }
    }

    pub(super) fn tell(&self, event: Event) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() == Some(&event) {
            return;
        }
        if self.json {
            // Whoever read this has gone; the sidecar goes on.
            let _ = output::json(&event);
        } else {
            in_words(&event);
        }
        *last = Some(event);
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
        while connected.changed().await.is_ok() {
            let connected = *connected.borrow_and_update();
            match own_denial(&identity, &knowledge) {
                Some(denied) => self.tell(Event::Standing {
                    code: denied.code.as_str().to_owned(),
                    remedy: denied.code.remedy().to_owned(),
                }),
                None => self.tell(Event::News { connected }),
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
        Event::CodeNotUsed => say!("this sidecar has a credential already; the code is not used"),
        Event::Ready => say!("ready"),
    }
}
