//! One client, from its first word to the last.

use super::Beat;
use super::bound::{Bound, Looked};
use super::rooms::Place;
use crate::Clinical;
use crate::access::Caller;
use crate::kind::Id;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use medlock_store::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long one has to show a ticket who has shown no token.
const SHOWS: Duration = Duration::from_secs(10);
/// How often it is asked whether the other side is still there; it is not if it says nothing twice.
const QUIET: Duration = Duration::from_secs(30);
/// How long the other side may take for what it is told.
const TAKES: Duration = Duration::from_secs(10);
/// What it may send between two such questions.
const MESSAGES: u32 = 128;
/// Subscriptions of one connection, at most.
const BOUND: usize = 64;

/// A client that is connected.
#[derive(Debug)]
pub(crate) struct Connection {
    clinical: Arc<Clinical>,
    /// Who it is; none until it has shown a ticket.
    caller: Option<Caller>,
    place: Place,
    /// Where it is, for the audit.
    origin: String,
    bound: Vec<Bound>,
}

/// Why it is closed: a code of RFC 6455 section 7.4.1, and a text of at most 123 bytes.
#[derive(Clone, Copy, Debug)]
struct Ended(u16, &'static str);

const UNSAID: Ended = Ended(close_code::POLICY, "say: bind ID, or bind-with-token TOKEN");
const NO_TOKEN: Ended = Ended(close_code::POLICY, "the token has ended");
const NO_TICKET: Ended = Ended(close_code::POLICY, "show a token when you connect, or a fresh ticket at once");
const NOT_OWN: Ended =
    Ended(close_code::POLICY, "there is no such Subscription of yours over websocket that the token is good for");
const UNBOUND: Ended = Ended(close_code::NORMAL, "no Subscription is bound any more");
const TOO_MUCH: Ended = Ended(close_code::POLICY, "too many messages");
const STOPS: Ended = Ended(close_code::AWAY, "the hub stops: connect again");
const AWAY: Ended = Ended(close_code::AGAIN, "the store does not answer now: connect again");

/// What happens to a connection.
enum Event {
    Heard(Option<Result<Message, axum::Error>>),
    Beat,
    Quiet,
}

impl Connection {
    pub(crate) fn new(clinical: Arc<Clinical>, caller: Option<Caller>, place: Place, origin: String) -> Self {
        Self { clinical, caller, place, origin, bound: Vec::new() }
    }

    /// Tells until one side has had enough.
    pub(crate) async fn serve(mut self, mut socket: WebSocket) {
        let Some(Ended(code, why)) = self.talk(&mut socket).await else { return };
        let close = Message::Close(Some(CloseFrame { code, reason: why.into() }));
        // It is over all the same.
        let _ = timeout(TAKES, socket.send(close)).await;
    }

    /// Why it is closed; `None`: the other side has left.
    async fn talk(&mut self, socket: &mut WebSocket) -> Option<Ended> {
        let clinical = Arc::clone(&self.clinical);
        let mut beats = clinical.sockets().beats.subscribe();
        let (opened, mut heard, mut messages) = (Instant::now(), Instant::now(), 0_u32);
        let mut quiet = tokio::time::interval_at(tokio::time::Instant::now() + QUIET, QUIET);
        loop {
            let event = tokio::select! {
                message = socket.recv() => Event::Heard(message),
                changed = beats.changed() => match changed {
                    Ok(()) => Event::Beat,
                    Err(_) => return Some(STOPS),
                },
                _ = quiet.tick() => Event::Quiet,
            };
            match event {
                Event::Heard(message) => {
                    (heard, messages) = (Instant::now(), messages.saturating_add(1));
                    if messages > MESSAGES {
                        return Some(TOO_MUCH);
                    }
                    match message? {
                        Ok(Message::Text(text)) => match self.obey(text.as_str()).await {
                            Ok(answer) => say(socket, answer).await?,
                            Err(ended) => return Some(ended),
                        },
                        Ok(Message::Binary(_)) => return Some(UNSAID),
                        // A ping is answered by the library.
                        Ok(Message::Ping(_) | Message::Pong(_)) => {}
                        Ok(Message::Close(_)) | Err(_) => return None,
                    }
                }
                Event::Beat => {
                    let (beat, began) = (*beats.borrow_and_update(), Instant::now());
                    if let Err(ended) = self.beat(beat, opened, socket).await {
                        return ended;
                    }
                    // What it said meanwhile was not heard yet.
                    heard += began.elapsed();
                }
                Event::Quiet => {
                    if heard.elapsed() > QUIET * 2 {
                        return None;
                    }
                    messages = 0;
                    send(socket, Message::Ping(axum::body::Bytes::new())).await?;
                }
            }
        }
    }

    /// Does what the other side says; the answer.
    async fn obey(&mut self, text: &str) -> Result<String, Ended> {
        let (verb, argument) = text.trim().split_once(' ').ok_or(UNSAID)?;
        let id = match verb {
            "bind" => Id::read(argument).ok_or(NOT_OWN)?,
            "bind-with-token" if self.caller.is_none() => self.show(argument.to_owned()).await?,
            _ => return Err(UNSAID),
        };
        let Some(caller) = self.caller.clone() else { return Err(NO_TICKET) };
        let bound = self.ask(move |clinical| clinical.bind(&caller, &id)).await?.ok_or(NOT_OWN)?;
        // Who binds it again is told from then on.
        self.bound.retain(|other| other.id != bound.id);
        if self.bound.len() >= BOUND {
            return Err(TOO_MUCH);
        }
        self.bound.push(bound);
        Ok(format!("bound {id}"))
    }

    /// Takes a ticket: from now on it is known who this is.
    async fn show(&mut self, text: String) -> Result<Id, Ended> {
        let ticket = self.ask(move |clinical| clinical.spend_ticket(&text)).await?.ok_or(NO_TICKET)?;
        let held = self.ask(move |clinical| Ok(clinical.gate().held(ticket.token).ok())).await?;
        let caller = held.ok_or(NO_TOKEN)?;
        let client = caller.subscriber(0).ok_or(NOT_OWN)?.client;
        self.place = self.clinical.sockets().enter(Some(&client)).ok_or(TOO_MUCH)?;
        self.caller = Some(caller);
        Ok(ticket.subscription)
    }

    /// Tells what has changed. `Err`: why the connection is closed, or that the other side has left.
    async fn beat(&mut self, beat: Beat, opened: Instant, socket: &mut WebSocket) -> Result<(), Option<Ended>> {
        if beat.ends {
            return Err(Some(STOPS));
        }
        let Some(caller) = self.caller.clone() else {
            return if opened.elapsed() > SHOWS { Err(Some(NO_TICKET)) } else { Ok(()) };
        };
        let again = self.ask(move |clinical| Ok(clinical.gate().again(&caller).ok())).await?;
        let caller = again.ok_or(NO_TOKEN)?;
        let client = caller.subscriber(0).ok_or(NOT_OWN)?.client;
        self.caller = Some(caller.clone());
        let (mut place, had) = (0, !self.bound.is_empty());
        while let Some(bound) = self.bound.get(place).cloned() {
            place += 1;
            if bound.place >= beat.newest || self.clinical.sockets().pauses.rests(bound.row, Instant::now()) {
                continue;
            }
            let clinical = Arc::clone(&self.clinical);
            let turn = clinical.looks().take(&client).await.ok_or(STOPS)?;
            let (caller, origin, mut bound) = (caller.clone(), self.origin.clone(), bound);
            let look = move |clinical: &Clinical| {
                clinical.look_for(&caller, &mut bound, beat.newest, &origin).map(|looked| (looked, bound))
            };
            let (looked, bound) = self.ask(look).await?;
            drop(turn);
            match looked {
                Looked::NoToken => return Err(Some(NO_TOKEN)),
                Looked::Nothing | Looked::Late => {}
                Looked::Ping => say(socket, format!("ping {}", bound.id)).await.ok_or(None)?,
                Looked::Ended => {
                    place -= 1;
                    self.bound.remove(place);
                    continue;
                }
            }
            if let Some(own) = self.bound.get_mut(place - 1) {
                *own = bound;
            }
        }
        if had && self.bound.is_empty() { Err(Some(UNBOUND)) } else { Ok(()) }
    }

    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Clinical) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Ended> {
        let clinical = Arc::clone(&self.clinical);
        let told = spawn_blocking(move || ask(&clinical)).await.map_err(|_| AWAY)?;
        told.map_err(|error| {
            tracing::warn!(%error, "who is connected cannot be told now");
            AWAY
        })
    }
}

async fn say(socket: &mut WebSocket, text: String) -> Option<()> {
    send(socket, Message::Text(text.into())).await
}

/// `None`: the other side does not take it.
async fn send(socket: &mut WebSocket, message: Message) -> Option<()> {
    timeout(TAKES, socket.send(message)).await.ok()?.ok()
}
