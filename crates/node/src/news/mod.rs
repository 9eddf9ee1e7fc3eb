//! The hub's news: signed objects, as soon as they change.
//!
//! A stream of server-sent events is held open and opened again when it breaks; while it cannot be had, the objects
//! are asked for one by one. What arrives goes into the [`KnowledgeBase`], which believes nothing but signatures.

mod sse;

pub use sse::{Event, EventReader, MAX_EVENT, SseError};

use crate::Error;
use crate::http::{Client, Limits};
use crate::identity::IdentityStore;
use crate::knowledge::{Accepted, Kind, KnowledgeBase, Refused};
use crate::provider::jitter;
use crate::stop::Stop;
use crate::tls::{Believed, Connector, is_unheard};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{StatusCode, header::CONTENT_TYPE};
use medlock_trust::Role;
use medlock_trust::list::{self, List, Signers};
use medlock_trust::status;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout_at};

/// How long a stream may be silent: three of the hub's keep-alives (one each 15 s).
const SILENCE: Duration = Duration::from_secs(45);
/// The first wait before the stream is opened again; doubled each time up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The most lists that are caught up with at once: roots are replaced every few years, members of an alliance every year or so.
const MAX_MISSED_LISTS: usize = 16;
/// Within what time a hub is told what it has forgotten.
const REMINDED_WITHIN: Duration = Duration::from_secs(2);
/// The longest wait: how late news of a hub that comes back may be.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The hub, as one of its nodes sees it.
#[derive(Clone, Debug)]
pub struct Hub {
    client: Client,
    /// As it is asked when it is not listened to: a carrier as good as any.
    carrier: Client,
    knowledge: Arc<KnowledgeBase>,
    connected: watch::Sender<bool>,
    /// Orders the fetches of what is large.
    fetching: Arc<Mutex<()>>,
    /// Orders what the hub is told.
    reminding: Arc<Mutex<()>>,
}

impl Hub {
    /// The hub at `address` (`host:port` of its listener for devices).
    ///
    /// # Errors
    /// [`Error::Tls`] if the settings are refused.
    pub fn new(
        address: impl Into<String>,
        identity: &IdentityStore,
        knowledge: Arc<KnowledgeBase>,
    ) -> Result<Self, Error> {
        let (address, limits) = (address.into(), Limits { body_bytes: MAX_EVENT, ..Limits::default() });
        let client = |role| {
            let connector = Connector::new(Some(identity), Believed::Knowledge(knowledge.clone()), role)?;
            Ok::<_, Error>(Client::tls(address.as_str(), connector).with_limits(limits))
        };
        let (client, carrier) = (client(Some(Role::Hub))?, client(None)?);
        let (connected, fetching, reminding) = (watch::channel(false).0, Arc::default(), Arc::default());
        Ok(Self { client, carrier, knowledge, connected, fetching, reminding })
    }

    /// The client, for other requests to the hub.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the stream of news is open.
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    /// Fetches the object of this kind; `None` if the hub has none.
    ///
    /// # Errors
    /// As [`Client::send`], and [`Error::Status`].
    pub async fn fetch(&self, kind: Kind) -> Result<Option<Bytes>, Error> {
        fetch(&self.client, kind).await
    }

    /// Fetches all objects and takes what is new.
    ///
    /// # Errors
    /// As [`Hub::fetch`], at the first object that cannot be had.
    pub async fn poll(&self) -> Result<(), Error> {
        self.poll_by(&self.client).await
    }

    async fn poll_by(&self, client: &Client) -> Result<(), Error> {
        for kind in Kind::ALL {
            if let Some(object) = fetch(client, kind).await? {
                self.take_in_order(client, kind, object).await;
            }
        }
        Ok(())
    }

    /// Takes an object; before a list by roots or members that are not known here, those that say whose they are. A hub that gives
    /// a status list without what it once told is told.
    async fn take_in_order(&self, client: &Client, kind: Kind, object: Bytes) {
        let refused = self.take(kind, object.clone()).await;
        if kind == Kind::Status {
            let (hub, behind) = (self.clone(), refused.as_ref().is_some_and(is_behind));
            // Beside the stream, on which the answer comes.
            tokio::spawn(async move { hub.remind(behind).await });
        }
        let is_list = matches!(kind, Kind::SiteList | Kind::TrustList);
        if !is_list || !refused.is_some_and(|refused| leads_to_missed(&refused)) {
            return;
        }
        match take_missed_lists(client, &self.knowledge, kind).await {
            Ok(()) => drop(self.take(kind, object).await),
            Err(error) => tracing::warn!(kind = kind.name(), %error, "the lists between could not be had"),
        }
    }

    /// Gives a hub the status lists that it has told and does not know any more, as after it was brought back from a backup:
    /// those that tell a compromise which its newest one has forgotten; and, where it is `behind`, the one held. It believes
    /// them by their signatures.
    async fn remind(&self, behind: bool) {
        let held = behind.then(|| self.knowledge.object(Kind::Status)).flatten();
        if held.is_none() && self.knowledge.unforgotten().is_empty() {
            return;
        }
        let _one_at_a_time = self.reminding.lock().await;
        // All nodes of a site hear it at one moment, and one of them is enough.
        tokio::time::sleep(REMINDED_WITHIN.mul_f64(jitter())).await;
        let held = held.filter(|held| self.knowledge.object(Kind::Status).as_ref() == Some(held));
        let path = "/v1/objects/status";
        let forgotten = self.knowledge.unforgotten().into_iter().map(|list| (list, "has forgotten a compromise"));
        for (list, how) in forgotten.chain(held.map(|held| (held, "is older than the one held here"))) {
            let answer = match self.client.post(path, "application/cose", list).await {
                Ok(answer) if answer.status().is_success() => continue,
                Ok(answer) => status(&self.client, &format!("POST {path}"), answer.status(), answer.body()),
                Err(error) => error,
            };
            tracing::warn!(error = %answer, "the hub's status list {how}, and the hub was not told");
        }
    }

    /// Offers an object to the knowledge, where writing to disk does not hold up other tasks; says why it was not
    /// taken.
    async fn take(&self, kind: Kind, object: Bytes) -> Option<Refused> {
        let knowledge = self.knowledge.clone();
        let taken = tokio::task::spawn_blocking(move || knowledge.accept(kind, &object)).await.ok()?;
        match taken {
            Ok(Accepted::New { version }) => tracing::info!(kind = kind.name(), version, "news from the hub"),
            Ok(Accepted::Known { .. }) => {}
            // Most sites are in no alliance of their own; the hub gives everybody what it has.
            Err(refused @ Refused::NoAlliance) => {
                tracing::debug!(kind = kind.name(), %refused, "the hub sent an object that is not for this node");
                return Some(refused);
            }
            Err(refused) => {
                tracing::warn!(kind = kind.name(), %refused, "the hub sent an object that is not taken");
                return Some(refused);
            }
        }
        None
    }

    /// Holds the stream open until it breaks. Counts the events in `events`.
    async fn stream(&self, events: &mut u64) -> Result<(), Error> {
        let path = "/v1/news";
        let request = self.client.request(http::Method::GET, path, None, Bytes::new())?;
        let (head, mut body) = self.client.open(request).await?;
        if head.status != StatusCode::OK {
            return Err(status(&self.client, &format!("GET {path}"), head.status, &[]));
        }
        let is_stream =
            head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if !is_stream {
            return Err(self.wrong("its news are no text/event-stream".to_owned()));
        }
        self.connected.send_replace(true);
        let (mut reader, mut known) = (EventReader::new(), self.knowledge.changes());
        let chain = body.chain().to_vec();
        let mut silent_until = Instant::now() + SILENCE;
        loop {
            let late = |_| Error::Timeout { with: self.client.server(), doing: "news", limit: SILENCE };
            let chunk = tokio::select! {
                // Whatever brought it: who is not listened to any more is not waited for either.
                Ok(()) = known.changed() => {
                    let believed = Believed::Knowledge(self.knowledge.clone());
                    let unheard = |source| Error::Tls { with: self.client.server(), source };
                    believed.identify_as(Role::Hub, &chain).map_err(unheard)?;
                    continue;
                }
                chunk = timeout_at(silent_until, body.chunk()) => chunk.map_err(late)??,
            };
            let Some(chunk) = chunk else {
                return Err(self.wrong("it ended the stream of news".to_owned()));
            };
            silent_until = Instant::now() + SILENCE;
            reader.push(&chunk).map_err(|error| self.wrong(error.to_string()))?;
            while let Some(event) = reader.pop() {
                *events += 1;
                self.event(&event).await;
            }
        }
    }

    async fn event(&self, event: &Event) {
        // Kinds of a later version are passed over.
        let Some(kind) = Kind::from_name(&event.event) else { return };
        if kind.is_fetched() {
            // Beside the stream: bad news must not wait for megabytes.
            let (hub, version) = (self.clone(), event.id.parse().ok());
            tokio::spawn(async move { hub.fetch_newer(kind, version).await });
            return;
        }
        match STANDARD.decode(&event.data) {
            Ok(object) => self.take_in_order(&self.client, kind, object.into()).await,
            Err(error) => tracing::warn!(kind = kind.name(), %error, "the hub sent news that are no base64"),
        }
    }

    /// Fetches what the news only name, one object after the other, unless it is held. Changes may be of a set that is
    /// on its way. What cannot be had now is had when the stream opens again.
    async fn fetch_newer(&self, kind: Kind, version: Option<u64>) {
        let _one_at_a_time = self.fetching.lock().await;
        if self.knowledge.version(kind) == version {
            return;
        }
        if let Err(error) = self.fetch_and_take(kind).await {
            tracing::warn!(kind = kind.name(), %error, "what the news name could not be fetched");
        }
    }

    async fn fetch_and_take(&self, kind: Kind) -> Result<(), Error> {
        let Some(object) = self.fetch(kind).await? else { return Ok(()) };
        if self.take(kind, object.clone()).await == Some(Refused::OtherBase) {
            if let Some(base) = self.fetch(Kind::RevokedSet).await? {
                self.take(Kind::RevokedSet, base).await;
            }
            self.take(kind, object).await;
        }
        Ok(())
    }

    fn wrong(&self, what: String) -> Error {
        Error::Http { with: self.client.server(), what }
    }
}

/// Follows the hub's news until asked to stop.
pub async fn follow(hub: Hub, mut stop: Stop) {
    tokio::select! {
        () = stop.asked() => {}
        () = follow_for_ever(&hub) => {}
    }
    hub.connected.send_replace(false);
}

async fn follow_for_ever(hub: &Hub) {
    let mut wait = FIRST_WAIT;
    loop {
        let mut events = 0;
        let Err(error) = hub.stream(&mut events).await else { continue };
        hub.connected.send_replace(false);
        if events > 0 {
            wait = FIRST_WAIT;
        }
        // Why is said once for each time that the hub is away.
        if wait == FIRST_WAIT {
            tracing::warn!(%error, "no news from the hub for now; what is known stays in force");
        } else {
            tracing::info!(%error, again_in = ?wait, "no news from the hub for now; what is known stays in force");
        }
        // A hub that answers but has no stream for us may still have the objects. One that is not listened to has them too:
        // should a thief's status have spoken against it, the list that ends the thief's word is among them.
        let polled = match &error {
            Error::Status { .. } | Error::Closed { .. } | Error::Http { .. } => hub.poll().await,
            error if is_unheard(error) => hub.poll_by(&hub.carrier).await,
            _ => Ok(()),
        };
        if let Err(error) = polled {
            tracing::debug!(%error, "the objects cannot be had one by one either");
        }
        tokio::time::sleep(wait.mul_f64(0.5 + jitter() / 2.0)).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Fetches the object of this kind with any client of a hub; `None` if the hub has none.
pub(crate) async fn fetch(client: &Client, kind: Kind) -> Result<Option<Bytes>, Error> {
    let path = format!("/v1/objects/{}", kind.name());
    let answer = client.get(&path).await?;
    match answer.status() {
        StatusCode::OK => Ok(Some(answer.into_body())),
        StatusCode::NOT_FOUND => Ok(None),
        other => Err(status(client, &format!("GET {path}"), other, answer.body())),
    }
}

/// Whether a list was refused because its signers are not known here, or are of a later recovery: lists between may name them.
pub(crate) const fn leads_to_missed(refused: &Refused) -> bool {
    match refused {
        Refused::List(list::Refused::TooFewSignatures { signers, .. }) => {
            matches!(signers, Signers::Held | Signers::Pinned | Signers::Recovery)
        }
        Refused::List(list::Refused::RecoveryEpoch { held, given }) => *given > *held,
        _ => false,
    }
}

/// Takes the lists of this kind that were missed and that the hub keeps: one for each time its root was replaced, signed by the
/// one before and the one that took its place, or members of its alliance were. Who holds no list and began with a later root
/// passes over those before it.
///
/// # Errors
/// As [`Client::get`], and [`Error::Status`]. That a list is not taken is none: then those behind it are not either.
pub(crate) async fn take_missed_lists(
    client: &Client,
    knowledge: &Arc<KnowledgeBase>,
    kind: Kind,
) -> Result<(), Error> {
    let mut after = knowledge.version(kind).unwrap_or(0);
    for _ in 0..MAX_MISSED_LISTS {
        let path = format!("/v1/objects/{}/after/{after}", kind.name());
        let answer = client.get(&path).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => break,
            other => return Err(status(client, &format!("GET {path}"), other, answer.body())),
        }
        let (knowledge, object) = (knowledge.clone(), answer.into_body());
        let given = List::danger_open(&object).map(|list| list.heading().version);
        let taken = tokio::task::spawn_blocking(move || knowledge.accept(kind, &object)).await;
        after = match (taken, given) {
            (Ok(Ok(Accepted::New { version })), _) => {
                tracing::info!(kind = kind.name(), version, "a list between");
                version
            }
            (Ok(Err(refused)), Ok(given)) if is_of_roots_before(&refused) && given > after => given,
            (Ok(Err(refused)), _) => {
                tracing::warn!(kind = kind.name(), %refused, "a list that was missed is not taken");
                break;
            }
            (Ok(Ok(Accepted::Known { .. })) | Err(_), _) => break,
        };
    }
    Ok(())
}

/// Whether a status list was refused because a later one is held.
const fn is_behind(refused: &Refused) -> bool {
    matches!(refused, Refused::Status(status::Refused::NotNewer { held, given }) if *given < *held)
}

/// Whether a list was refused because the root that was pinned has not signed it.
const fn is_of_roots_before(refused: &Refused) -> bool {
    matches!(refused, Refused::List(list::Refused::TooFewSignatures { signers: Signers::Pinned, .. }))
}

/// The error for an answer with another status than was hoped for.
pub(crate) fn status(client: &Client, request: &str, status: StatusCode, body: &[u8]) -> Error {
    let message: String = String::from_utf8_lossy(&body[..body.len().min(300)])
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    Error::Status {
        with: client.server(),
        request: request.to_owned(),
        status: status.as_u16(),
        message: message.trim().to_owned(),
    }
}
