//! The resource `/m/objects`: the trust objects this process holds, for who asks, and newer ones from any carrier.
//!
//! GET names what is held ([`Held`]); GET with the query `o=<number>` gives the bytes of one; POST offers one. No session
//! is asked: each object is verified by its own signatures, and none of them is secret.

use super::handler::{Answer, Caller, Handler, Reply};
use super::message::{Request, Response};
use crate::knowledge::{self, KnowledgeBase, Refused};
use bytes::Bytes;
use medlock_proto::coap::{Code, content_format};
use medlock_proto::objects::{Held, Kind};
use medlock_trust::cose::Sign1;
use medlock_trust::list::{List, Suspension};
use medlock_trust::policy::Policy;
use medlock_trust::status::StatusList;
use std::sync::Arc;

/// The path of the resource.
pub const PATH: &str = "/m/objects";
/// application/cose; cose-type="cose-sign" (RFC 9052): lists, which several sign.
const COSE_SIGN: u16 = 98;

/// Serves what `knowledge` holds.
#[derive(Clone, Debug)]
pub struct Objects(Arc<KnowledgeBase>);

impl Objects {
    /// The objects in `knowledge`.
    #[must_use]
    pub const fn new(knowledge: Arc<KnowledgeBase>) -> Self {
        Self(knowledge)
    }

    /// What is held, in the order of the kinds.
    fn held(&self) -> Vec<(Held, Bytes)> {
        let kinds = Kind::ALL.into_iter().filter_map(|kind| Some((kind, ours(kind)?)));
        kinds.flat_map(|(kind, ours)| self.of_kind(kind, ours).unwrap_or_default()).collect()
    }

    fn of_kind(&self, kind: Kind, ours: knowledge::Kind) -> Option<Vec<(Held, Bytes)>> {
        let (version, bytes) = (self.0.version(ours)?, self.0.object(ours)?);
        if kind != Kind::Suspension {
            return named(kind, version, bytes).map(|one| vec![one]);
        }
        let each = knowledge::suspensions::each(&bytes).filter_map(|one| {
            let content = *Suspension::danger_open(one).ok()?.content();
            let name = *content.authorities().next()?.as_bytes().first_chunk()?;
            let version = u64::try_from(content.issued.unix()).ok()?;
            Some((Held { kind, name, recovery_epoch: 0, version }, bytes.slice_ref(one)))
        });
        Some(each.collect())
    }

    fn get(&self, request: &Request) -> Response {
        let held = self.held();
        let Some(query) = request.query().next() else {
            let mut list = Vec::new();
            let Ok(()) = Held::encode_all(held.iter().map(|(held, _)| *held), &mut list);
            return Response::content(content_format::CBOR, list);
        };
        let number = query.strip_prefix("o=").and_then(|number| number.parse::<usize>().ok());
        match number.and_then(|number| held.into_iter().nth(number)) {
            None => Response::new(Code::NOT_FOUND),
            Some((_, bytes)) => {
                let one = Sign1::read(&bytes).is_ok();
                Response::content(if one { content_format::COSE_SIGN1 } else { COSE_SIGN }, bytes)
            }
        }
    }

    async fn post(&self, object: Bytes) -> Response {
        let Some(kind) = Kind::of(&object).and_then(ours) else {
            return Response::refused(Code::BAD_REQUEST, "this is no trust object that is kept here");
        };
        let knowledge = self.0.clone();
        // It is written to disk.
        let taken = tokio::task::spawn_blocking(move || knowledge.accept(kind, &object)).await;
        match taken {
            Ok(Ok(_)) => Response::new(Code::CHANGED),
            Ok(Err(Refused::NotStored(why))) => {
                tracing::error!(why, "a trust object is in force and could not be stored");
                Response::new(Code::INTERNAL_SERVER_ERROR)
            }
            Ok(Err(refused)) => Response::refused(Code::UNPROCESSABLE_ENTITY, refused.to_string()),
            Err(error) => {
                tracing::error!(%error, "a trust object was not judged to the end");
                Response::new(Code::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

impl Handler<Caller> for Objects {
    fn serve(&self, _: Caller, request: Request) -> Answer<'_> {
        Box::pin(async move {
            Reply::Once(match request.method {
                Code::GET => self.get(&request),
                Code::POST => self.post(request.payload).await,
                _ => Response::new(Code::METHOD_NOT_ALLOWED),
            })
        })
    }
}

/// The kind as this crate keeps it; `None` for what only devices keep.
const fn ours(kind: Kind) -> Option<knowledge::Kind> {
    match kind {
        Kind::SiteList => Some(knowledge::Kind::SiteList),
        Kind::AllianceList => Some(knowledge::Kind::TrustList),
        Kind::Status => Some(knowledge::Kind::Status),
        Kind::Policy => Some(knowledge::Kind::Policy),
        Kind::Suspension => Some(knowledge::Kind::Suspensions),
        Kind::Ticket | Kind::Bond => None,
    }
}

/// The object's name and recovery epoch, as devices know it.
fn named(kind: Kind, version: u64, bytes: Bytes) -> Option<(Held, Bytes)> {
    let (name, recovery_epoch) = match kind {
        Kind::SiteList | Kind::AllianceList => {
            ([0; Held::NAME_LENGTH], List::danger_open(&bytes).ok()?.heading().recovery_epoch)
        }
        Kind::Status => {
            let status = StatusList::danger_open(&bytes).ok()?;
            (*status.heading().authority.as_bytes().first_chunk()?, status.heading().recovery_epoch)
        }
        Kind::Policy => ([0; Held::NAME_LENGTH], Policy::danger_open(&bytes).ok()?.draft().recovery_epoch),
        Kind::Suspension | Kind::Ticket | Kind::Bond => return None,
    };
    Some((Held { kind, name, recovery_epoch, version }, bytes))
}
