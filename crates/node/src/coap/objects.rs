//! The resource `/m/objects`: the trust objects this process holds, for who asks, and newer ones from any carrier.
//!
//! GET names what is held ([`Held`]); GET with the query `o=<number>` gives the bytes of one, with `a=<version>` the site list
//! that whoever holds this version takes next; POST offers one. No session is asked: each object is verified by its own
//! signatures, and none of them is secret.

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
use std::fmt;
use std::sync::Arc;

/// The path of the resource.
pub const PATH: &str = "/m/objects";
/// application/cose; cose-type="cose-sign" (RFC 9052): lists, which several sign.
const COSE_SIGN: u16 = 98;

/// Site lists that are kept beside the newest: the first behind a version, if there is one.
type Missed = dyn Fn(u64) -> Option<Vec<u8>> + Send + Sync;

/// Serves what `knowledge` holds.
#[derive(Clone)]
pub struct Objects {
    knowledge: Arc<KnowledgeBase>,
    missed: Arc<Missed>,
}

impl Objects {
    /// The objects in `knowledge`.
    #[must_use]
    pub fn new(knowledge: Arc<KnowledgeBase>) -> Self {
        Self { knowledge, missed: Arc::new(|_| None) }
    }

    /// The same, with the site lists that are kept for those who were off while a root was replaced: `missed` gives the first
    /// behind a version.
    #[must_use]
    pub fn with_missed(self, missed: impl Fn(u64) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self { missed: Arc::new(missed), ..self }
    }

    /// What is held, in the order of the kinds.
    fn held(&self) -> Vec<(Held, Bytes)> {
        let kinds = Kind::ALL.into_iter().filter_map(|kind| Some((kind, ours(kind)?)));
        kinds.flat_map(|(kind, ours)| self.of_kind(kind, ours).unwrap_or_default()).collect()
    }

    fn of_kind(&self, kind: Kind, ours: knowledge::Kind) -> Option<Vec<(Held, Bytes)>> {
        let (version, bytes) = (self.knowledge.version(ours)?, self.knowledge.object(ours)?);
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

    /// The site list that whoever holds this version takes next: one that was missed, or the newest.
    fn site_list_after(&self, version: u64) -> Option<Bytes> {
        if let Some(missed) = (self.missed)(version) {
            return Some(missed.into());
        }
        let (list, newest) = (knowledge::Kind::SiteList, self.knowledge.version(knowledge::Kind::SiteList)?);
        if newest > version { self.knowledge.object(list) } else { None }
    }

    fn get(&self, request: &Request) -> Response {
        if let Some(after) = request.query().next().and_then(|query| query.strip_prefix("a=")?.parse::<u64>().ok()) {
            return match self.site_list_after(after) {
                None => Response::new(Code::NOT_FOUND),
                Some(list) => Response::content(COSE_SIGN, list),
            };
        }
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
        let knowledge = self.knowledge.clone();
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

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("knowledge", &self.knowledge).finish_non_exhaustive()
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
