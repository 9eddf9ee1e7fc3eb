//! One client, from its first word to the last.

use super::Beat;
use super::bound::{Bound, Looked};
use super::rooms::Place;
use crate::Clinical;
use crate::access::Caller;
use crate::kind::{Id, Seq};
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use medlock_store::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long one has to show a ticket who has shown no token, and everybody to bind a Subscription.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended(u16, &'static str);

const UNSAID: Ended = Ended(close_code::POLICY, "say: bind ID, or bind-with-token TOKEN");
const NO_TOKEN: Ended = Ended(close_code::POLICY, "the token has ended");
const NO_TICKET: Ended = Ended(close_code::POLICY, "show a token when you connect, or a fresh ticket at once");
const IDLE: Ended = Ended(close_code::POLICY, "nothing was bound: say bind ID within ten seconds");
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
                    if let Err(ended) = self.beat(beat, opened.elapsed(), socket).await {
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
        caller.subscriber(0).ok_or(NOT_OWN)?;
        let place = self.clinical.sockets().enter(Some(&caller));
        self.place = place.map_err(|full| Ended(close_code::POLICY, full.text()))?;
        self.caller = Some(caller);
        Ok(ticket.subscription)
    }

    /// Why one is closed that is open for so long and was not used, whatever else it has sent.
    fn idle(&self, open: Duration) -> Option<Ended> {
        let why = if self.caller.is_some() { IDLE } else { NO_TICKET };
        (self.bound.is_empty() && open > SHOWS).then_some(why)
    }

    /// Tells what has changed. `Err`: why the connection is closed, or that the other side has left.
    async fn beat(&mut self, beat: Beat, open: Duration, socket: &mut WebSocket) -> Result<(), Option<Ended>> {
        let ended = if beat.ends { Some(STOPS) } else { self.idle(open) };
        if ended.is_some() {
            return Err(ended);
        }
        let Some(caller) = self.caller.clone() else { return Ok(()) };
        let again = self.ask(move |clinical| Ok(clinical.gate().again(&caller).ok())).await?;
        let caller = again.ok_or(NO_TOKEN)?;
        let client = caller.subscriber(0).ok_or(NOT_OWN)?.client;
        self.caller = Some(caller.clone());
        let had = !self.bound.is_empty();
        // Whatever breaks this off ends the connection.
        for bound in std::mem::take(&mut self.bound) {
            let (looked, bound) = self.look(&caller, &client, bound, beat.newest).await?;
            match looked {
                Looked::NoToken => return Err(Some(NO_TOKEN)),
                Looked::Nothing | Looked::Late => {}
                Looked::Ping => say(socket, format!("ping {}", bound.id)).await.ok_or(None)?,
                Looked::Ended => continue,
            }
            self.bound.push(bound);
        }
        if had && self.bound.is_empty() { Err(Some(UNBOUND)) } else { Ok(()) }
    }

    /// Looks for what one that is bound wants, when it is the client's turn.
    async fn look(
        &self,
        caller: &Caller,
        client: &str,
        mut bound: Bound,
        newest: Seq,
    ) -> Result<(Looked, Bound), Ended> {
        if bound.place >= newest || self.clinical.sockets().pauses.rests(bound.row, Instant::now()) {
            return Ok((Looked::Nothing, bound));
        }
        let _turn = self.clinical.looks().take(client).await.ok_or(STOPS)?;
        let (caller, origin) = (caller.clone(), self.origin.clone());
        self.ask(move |clinical| clinical.look_for(&caller, &mut bound, newest, &origin).map(|looked| (looked, bound)))
            .await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::{Millis, Row};
    use crate::tests::fixture::House;

    /// Shows REQ-SUB-42: whoever is called and whoever is connected wait for the same turns.
    #[tokio::test(flavor = "multi_thread")]
    async fn who_is_called_and_who_is_connected_take_the_same_turns() {
        let house = House::new();
        let clinical = &house.clinical;
        let caller = Caller::administrator();
        let place = clinical.sockets().enter(Some(&caller)).expect("room");
        let connection = Connection::new(Arc::clone(clinical), Some(caller.clone()), place, String::new());
        let soon = Duration::from_millis(200);
        let bound = || Bound { id: Id::fresh(Millis(1)), row: Row(1), place: Seq(0) };
        let look = || timeout(soon, connection.look(&caller, "a", bound(), Seq(1)));
        let tell = || timeout(soon, Arc::clone(clinical).tell(Row(1), "a".to_owned()));
        let turn = clinical.looks().take("a").await.expect("a turn");
        assert!(look().await.is_err(), "it waits");
        assert!(tell().await.is_err(), "it waits");
        drop(turn);
        assert!(matches!(look().await, Ok(Ok((Looked::NoToken, _)))), "it has shown no token");
        assert!(tell().await.is_ok());
    }

    /// Shows REQ-SUB-49: who binds nothing has ten seconds, with a token and without one; who has bound something stays.
    #[tokio::test]
    async fn who_binds_nothing_has_a_moment() {
        let house = House::new();
        let connection = |caller: Option<Caller>| {
            let place = house.clinical.sockets().enter(caller.as_ref()).expect("room");
            Connection::new(Arc::clone(&house.clinical), caller, place, String::new())
        };
        let late = SHOWS + Duration::from_millis(1);
        for (caller, why) in [(None, NO_TICKET), (Some(Caller::administrator()), IDLE)] {
            let mut connection = connection(caller);
            assert_eq!([SHOWS, late].map(|open| connection.idle(open)), [None, Some(why)]);
            connection.bound.push(Bound { id: Id::fresh(Millis(1)), row: Row(1), place: Seq(0) });
            assert_eq!(connection.idle(late), None);
        }
    }

    /// Shows REQ-SUB-43: what took too long rests for all connections, and each time longer, also when the store is away meanwhile;
    /// it is not even asked for a turn.
    #[tokio::test(flavor = "multi_thread")]
    async fn who_connects_again_waits_as_long() {
        let house = House::new();
        let clinical = &house.clinical;
        let caller = Caller::administrator();
        let connection = || {
            let place = clinical.sockets().enter(Some(&caller)).expect("room");
            Connection::new(Arc::clone(clinical), Some(caller.clone()), place, String::new())
        };
        let bound = || Bound { id: Id::fresh(Millis(1)), row: Row(1), place: Seq(0) };
        let late = || Error::Late { database: String::new(), doing: "look", limit: SHOWS };
        let away = || Error::Missing { what: "store" };
        let rests =
            |seconds: u64| clinical.sockets().pauses.rests(Row(1), Instant::now() + Duration::from_secs(seconds));
        assert!(matches!(clinical.paused(&bound(), Err(late())), Ok(Looked::Late)));
        let _turns = clinical.looks().take("a").await.expect("a turn");
        for connection in [connection(), connection()] {
            let looked = timeout(SHOWS, connection.look(&caller, "a", bound(), Seq(1))).await;
            let (looked, bound) = looked.expect("at once").expect("looked");
            assert_eq!((looked, bound.place), (Looked::Nothing, Seq(0)), "it is looked for later");
        }
        assert!(clinical.paused(&bound(), Err(away())).is_err());
        assert!(matches!(clinical.paused(&bound(), Err(late())), Ok(Looked::Late)));
        assert!(rests(1) && !rests(2), "the second time twice as long");
        assert!(matches!(clinical.paused(&bound(), Ok(Looked::Nothing)), Ok(Looked::Nothing)));
        assert!(!rests(0));
    }
}
