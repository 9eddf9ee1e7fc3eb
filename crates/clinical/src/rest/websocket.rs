//! `/fhir/websocket`, and the ticket by which software in a browser comes there.

use super::answer;
use super::asking::{Asking, failed, insert, no_address, store_failed};
use crate::access::{Caller, Verb};
use crate::kind::{Id, Kind, Millis};
use crate::moment;
use crate::outcome::{Code, Issue, Refusal};
use crate::subscription::{Connection, Place, TICKET_LASTS};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::{AUTHORIZATION, UPGRADE};
use serde_json::json;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Bytes of a message of a client, at most: it says `bind` and an identifier, or a ticket.
const MESSAGE: usize = 1 << 10;
/// Bytes that wait to be sent, at most.
const WAITING: usize = 16 << 10;

/// `GET /fhir/websocket`
pub(super) async fn connect(asking: Asking, upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>) -> Response {
    let Ok(upgrade) = upgrade else {
        let why = Issue::new(Code::NotSupported, "this is reached over a web socket (RFC 6455)");
        let mut response = Refusal { status: StatusCode::UPGRADE_REQUIRED, ..why.into() }.into_response();
        insert(response.headers_mut(), UPGRADE, "websocket");
        return response;
    };
    let admitted = spawn_blocking(move || {
        let origin = asking.origin();
        let admitted = asking.connecting();
        (asking, admitted, origin)
    });
    match admitted.await {
        Ok((asking, Ok((caller, place)), Ok(origin))) => {
            let connection = Connection::new(Arc::clone(&asking.door.clinical), caller, place, origin);
            let upgrade = upgrade.max_message_size(MESSAGE).max_frame_size(MESSAGE);
            let upgrade = upgrade.write_buffer_size(MESSAGE).max_write_buffer_size(WAITING);
            upgrade.on_upgrade(|socket| connection.serve(socket))
        }
        Ok((asking, Err(why), _) | (asking, _, Err(why))) => asking.refusal(why),
        Err(_) => failed("the request was not finished").into_response(),
    }
}

/// `POST /fhir/Subscription/{id}/$get-ws-binding-token`
pub(super) async fn ticket(asking: Asking) -> Response {
    asking.blocking(|asking| asking.ticket(asking.name(0)?, asking.name(1)?)).await
}

impl Asking {
    /// Who connects, with room; who shows no token has a moment for a ticket.
    fn connecting(&self) -> Result<(Option<Caller>, Place), Refusal> {
        let caller = if self.headers().contains_key(AUTHORIZATION) { Some(self.caller()?) } else { None };
        if caller.as_ref().is_some_and(|caller| caller.subscriber(0).is_none()) {
            return Err(Issue::new(Code::Denied, "a device is told nothing: software is").into());
        }
        let room = self.door.clinical.sockets().enter(caller.as_ref());
        let room = room.map_err(|full| Issue::new(Code::Sockets, full.text()))?;
        Ok((caller, room))
    }

    fn ticket(&self, name: &str, id: &str) -> Result<Response, Refusal> {
        self.accepts()?;
        let caller = self.caller()?;
        let none = || {
            let text = "there is no such Subscription of yours over websocket that the token is good for";
            Refusal::from(Issue::new(Code::NotFound, text))
        };
        if self.kind(name)? != Kind::SUBSCRIPTION {
            return Err(no_address(format!("{} is not served", self.shown())));
        }
        let (clinical, id) = (&self.door.clinical, Id::read(id).ok_or_else(none)?);
        let note = self.note(&caller, Verb::Read, Kind::SUBSCRIPTION)?.searching("$get-ws-binding-token");
        let own = clinical.has_bindable(&caller, &id).map_err(|error| store_failed(&error))?;
        let token = caller.token().filter(|_| own).ok_or_else(|| self.refused(&note, none()))?;
        self.noted(note)?;
        let until = clinical.clock().now().unix().saturating_add(TICKET_LASTS);
        let parameters = json!({ "resourceType": "Parameters", "parameter": [
            { "name": "token", "valueString": clinical.ticket(token, &id) },
            { "name": "expiration", "valueDateTime": moment::written(Millis(until.saturating_mul(1_000))) },
            { "name": "subscription", "valueString": id.as_str() },
            { "name": "websocket-url", "valueUrl": self.door.websocket() },
        ] });
        Ok(answer::resource(StatusCode::OK, parameters.to_string().into_bytes()))
    }
}
