//! The clinical face on both databases, with a caller that may do everything: no device is given so much.

#[expect(dead_code, reason = "other tests use the rest of it")]
#[path = "../../tests/clinical/fixture.rs"]
pub(crate) mod fixture;

mod audit;
mod bounds;
mod change;
mod conditions;
mod consent;
mod ends;
mod export;
mod former;
mod token;
mod transaction;
mod turns;
mod versions;

use crate::access::{Binding, Holder};
use crate::auth::{Client, Member, Proof, Scopes};
use crate::store::{Given, NewLeave, NewToken};
use fixture::{Answer, Device, House};
use medlock_node::provider::{WebAlgorithm, sha256};
use medlock_store::{Error, Sql};
use medlock_trust::Role;
use serde_json::Value;
use std::sync::{Arc, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};

impl Device<'_> {
    pub(crate) async fn put(&self, path: &str, resource: &Value) -> Answer {
        self.send("PUT", path, &[("content-type", "application/fhir+json")], &resource.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "").await
    }
}

/// Software that is registered so.
pub(crate) fn app(id: &str, scopes: &str) -> Client {
    Client {
        id: id.to_owned(),
        name: id.to_owned(),
        proof: Proof::None,
        redirects: Vec::new(),
        scopes: Scopes::read(scopes).expect("scopes"),
        algorithm: WebAlgorithm::Es256,
        introspects: false,
    }
}

/// Software of this community that is registered so.
pub(crate) fn member(id: &str, community: &str, scopes: &str) -> Client {
    let member = Member { community: community.to_owned(), uri: format!("https://{id}.example"), chain: Vec::new() };
    Client { proof: Proof::Community(member), ..app(id, scopes) }
}

/// Someone who may do everything with everything.
pub(crate) async fn everything(house: &House) -> Device<'_> {
    let mut device = house.device("all", Role::Gateway);
    let peer = device.peer();
    let who = peer.identified.clone().expect("identified");
    let token = "everything";
    let now = house.site.clock.now().unix();
    let (scopes, until) = (Scopes::read("system/*.cruds").expect("scopes"), now + 3_600);
    let holder = Holder::Device { name: *who.device_name(), own: None };
    let leave = NewLeave { holder, scopes: scopes.clone(), made: now, until };
    let binding = Binding::Certificate { certificate: sha256(&peer.chain[0]), credential: who.credential() };
    let kept = NewToken { hash: sha256(token.as_bytes()), scopes, binding, until };
    assert_eq!(house.clinical.records().keep_token(leave, kept, &peer.chain).expect("asked"), Given::Kept);
    device.token = Some(token.to_owned());
    device
}

/// Holds the writer, so that what is asked for waits behind it, until it is told to let go.
fn hold_writer(house: &House) -> (mpsc::Sender<()>, JoinHandle<Result<Option<()>, Error>>) {
    let (release, held) = mpsc::channel();
    let clinical = Arc::clone(&house.clinical);
    let hold = move |_: &mut dyn Sql| Ok(held.recv().ok());
    (release, spawn_blocking(move || clinical.records().database().write("hold the writer", hold)))
}
