//! `/m/records`: small devices report what they measured and delivered, over OSCORE or DTLS (docs/sealed-command.md).

use crate::Clinical;
use crate::seam::{Delivery, Handed, Intake, Kept, NotKept, Numbered};
use medlock_node::coap::{Code, Peer, Reply, Request, Resources, Response, option};
use medlock_node::provider::AwsLc;
use medlock_proto::record::{Record, Records};
use medlock_trust::Operation;
use medlock_trust::decide::Denied;
use medlock_trust::x509::Certificate;
use std::sync::Arc;

const PATH: &str = "/m/records";
/// What a device is told that shall come again, in seconds.
const AGAIN_SECONDS: u32 = 5;

impl Clinical {
    /// What small devices reach of it.
    #[must_use]
    pub fn coap_resources(self: &Arc<Self>) -> Resources {
        let clinical = Arc::clone(self);
        Resources::new().protected(PATH, move |peer, request| serve(Arc::clone(&clinical), peer, request))
    }
}

async fn serve(clinical: Arc<Clinical>, peer: Arc<Peer>, request: Request) -> Reply {
    if request.method != Code::POST {
        return Response::new(Code::METHOD_NOT_ALLOWED).into();
    }
    let response = tokio::task::spawn_blocking(move || match report(&clinical, &peer, &request.payload) {
        Ok(()) => Response::new(Code::CHANGED),
        Err(why) => why.response(&peer),
    });
    response.await.unwrap_or_else(|_| Response::new(Code::INTERNAL_SERVER_ERROR)).into()
}

/// Why a report was not taken whole.
enum NotTaken {
    /// It is none.
    Form(medlock_trust::cbor::Error),
    /// The device may not report.
    Denied(Denied),
    /// It is not kept.
    NotKept(NotKept),
}

impl NotTaken {
    fn response(self, peer: &Peer) -> Response {
        let (code, text) = match self {
            Self::Form(error) => (Code::BAD_REQUEST, format!("this is no list of records: {error}")),
            Self::Denied(denied) => (Code::FORBIDDEN, denied.code.as_str().to_owned()),
            Self::NotKept(why) => {
                let device = peer.identified.device_name();
                tracing::warn!(%device, code = why.code(), %why, "a report is not kept");
                let code = match why {
                    NotKept::Permit { .. } => Code::FORBIDDEN,
                    NotKept::NoPatient(_) => Code::CONFLICT,
                    NotKept::TooMany { .. } | NotKept::Unfit { .. } => Code::UNPROCESSABLE_ENTITY,
                    NotKept::Busy | NotKept::Store(_) => {
                        return Response::new(Code::SERVICE_UNAVAILABLE).with_uint(option::MAX_AGE, AGAIN_SECONDS);
                    }
                };
                (code, why.code().to_owned())
            }
        };
        Response::refused(code, text)
    }
}

/// Keeps what `payload` reports: all readings or none, then all deliveries or none. What was reported before is kept once.
fn report(clinical: &Clinical, peer: &Peer, payload: &[u8]) -> Result<(), NotTaken> {
    let (mut readings, mut deliveries): (Vec<Numbered>, Vec<Delivery>) = (Vec::new(), Vec::new());
    for record in Records::read(payload).map_err(NotTaken::Form)? {
        match record {
            Record::Reading(reading) => readings.push(reading),
            Record::Delivery(delivery) => deliveries.push(delivery),
        }
    }
    let chain = chain(clinical, peer);
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let who = &peer.identified;
    let hand = |give: &dyn Fn(Handed<'_>) -> Result<Vec<Kept>, NotKept>| {
        let permit = clinical.knowledge().judge(who, Operation::Report).permit().map_err(NotTaken::Denied)?;
        let handed = Handed { who, chain: &chain, permit, at: clinical.clock().now() };
        give(handed).map(drop).map_err(NotTaken::NotKept)
    };
    if !readings.is_empty() {
        hand(&|from| clinical.readings(from, &readings))?;
    }
    if !deliveries.is_empty() {
        hand(&|from| clinical.deliveries(from, &deliveries))?;
    }
    Ok(())
}

/// What the device showed, and the certificates of the site that stand above it: it shows its own alone.
fn chain(clinical: &Clinical, peer: &Peer) -> Vec<Vec<u8>> {
    let issuers = peer.identified.issuers();
    let above = clinical.devices().issuing_certificates().into_iter();
    let above = above.filter(|one| Certificate::read(one).is_ok_and(|one| issuers.contains(&one.key_id(&AwsLc))));
    std::iter::once(peer.certificate.to_vec()).chain(above).collect()
}
