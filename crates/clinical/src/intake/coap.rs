//! `/m/records`: small devices report what they measured and delivered, over OSCORE or DTLS (docs/sealed-command.md).

use crate::Clinical;
use crate::seam::{Delivery, Handed, Intake, Kept, NotKept, Numbered, Refusal};
use medlock_node::coap::{Code, Peer, Reply, Request, Resources, Response, content_format, option};
use medlock_node::provider::AwsLc;
use medlock_proto::record::{Answer, Lost, Record, Report};
use medlock_trust::Operation;
use medlock_trust::cbor::Writer;
use medlock_trust::decide::Denied;
use medlock_trust::x509::Certificate;
use std::sync::Arc;
use std::time::Duration;

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
        Ok(refused) => Response::new(Code::CHANGED).with_payload(content_format::CBOR, answer(&refused)),
        Err(why) => why.response(&peer),
    });
    response.await.unwrap_or_else(|_| Response::new(Code::INTERNAL_SERVER_ERROR)).into()
}

/// What is told of those that are refused.
fn answer(refused: &[(u16, Refusal)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = Answer::encode(refused, &mut Writer::new(&mut bytes));
    bytes
}

/// Why a report was not taken.
enum NotTaken {
    /// It is none.
    Form(medlock_trust::cbor::Error),
    /// The device may not report.
    Denied(Denied),
    /// It has reported too much of late, and waits so long.
    TooMuch(Duration),
    /// It is not kept.
    NotKept(NotKept),
}

impl NotTaken {
    fn response(self, peer: &Peer) -> Response {
        let (code, text) = match self {
            Self::Form(error) => (Code::BAD_REQUEST, format!("this is no list of records: {error}")),
            Self::Denied(denied) => (Code::FORBIDDEN, denied.code.as_str().to_owned()),
            Self::TooMuch(wait) => {
                tracing::warn!(device = %peer.identified.device_name(), ?wait, "a device reports more than is taken of one");
                let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
                return Response::refused(Code::TOO_MANY_REQUESTS, "intake-too-much")
                    .with_uint(option::MAX_AGE, seconds);
            }
            Self::NotKept(why) => {
                let device = peer.identified.device_name();
                tracing::warn!(%device, code = why.code(), %why, "a report is not kept");
                let code = match why {
                    NotKept::Permit { .. } => Code::FORBIDDEN,
                    NotKept::TooMany { .. }
                    | NotKept::NoPatient(_)
                    | NotKept::OtherPatient { .. }
                    | NotKept::OtherIssuer(_)
                    | NotKept::TooLate { .. }
                    | NotKept::Unfit { .. } => Code::UNPROCESSABLE_ENTITY,
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

/// Keeps what `payload` reports; those that are refused, by their places. What was reported before is kept once.
fn report(clinical: &Clinical, peer: &Peer, payload: &[u8]) -> Result<Vec<(u16, Refusal)>, NotTaken> {
    let Report { incarnation, lost, records } = Report::read(payload).map_err(NotTaken::Form)?;
    clinical.quota().count(peer.identified.device(), records.clone().count()).map_err(NotTaken::TooMuch)?;
    let mut readings: Vec<(u16, Numbered)> = Vec::new();
    let mut deliveries: Vec<(u16, Delivery)> = Vec::new();
    for (place, record) in (0..).zip(records) {
        match record {
            Record::Reading(reading) => readings.push((place, reading)),
            Record::Delivery(delivery) => deliveries.push((place, delivery)),
        }
    }
    let chain = chain(clinical, peer);
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let who = &peer.identified;
    let permit = || clinical.knowledge().judge(who, Operation::Report).permit().map_err(NotTaken::Denied);
    let from = |permit| Handed { who, chain: &chain, permit, at: clinical.clock().now() };
    let permitted = permit()?;
    if lost != Lost::default() {
        let (device, Lost { readings, deliveries }) = (who.device_name(), lost);
        tracing::warn!(%device, readings, deliveries, "a device lost what it could not report before its room was full");
    }
    let mut all: Vec<(u16, Kept)> = Vec::new();
    // Doses first: a hub that is stopped between the two has those.
    if !deliveries.is_empty() {
        let (places, deliveries): (Vec<u16>, Vec<Delivery>) = deliveries.into_iter().unzip();
        let kept = clinical.deliveries(from(permit()?), incarnation, &deliveries).map_err(NotTaken::NotKept)?;
        all.extend(places.into_iter().zip(kept));
    }
    if !readings.is_empty() {
        let (places, readings): (Vec<u16>, Vec<Numbered>) = readings.into_iter().unzip();
        let kept = clinical.readings(from(permitted), incarnation, &readings).map_err(NotTaken::NotKept)?;
        all.extend(places.into_iter().zip(kept));
    }
    all.sort_unstable_by_key(|(place, _)| *place);
    let refused = all.into_iter().filter_map(|(place, kept)| match kept {
        Kept::Refused(why) => Some((place, why)),
        Kept::New | Kept::Known | Kept::Waits => None,
    });
    Ok(refused.collect())
}

/// What the device showed, and the certificates of the site that stand above it: it shows its own alone.
fn chain(clinical: &Clinical, peer: &Peer) -> Vec<Vec<u8>> {
    let issuers = peer.identified.issuers();
    let above = clinical.devices().issuing_certificates().into_iter();
    let above = above.filter(|one| Certificate::read(one).is_ok_and(|one| issuers.contains(&one.key_id(&AwsLc))));
    std::iter::once(peer.certificate.to_vec()).chain(above).collect()
}
