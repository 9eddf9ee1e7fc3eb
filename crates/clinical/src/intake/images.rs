//! `POST /v1/studies` at the devices' door: a sidecar tells which images its machine has stored (docs/hub-protocol.md).

use super::MOST;
use crate::Clinical;
use crate::moment;
use crate::seam::{Handed, Intake, NotKept, StoredSeries, StoredStudy};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use medlock_node::accept::PeerInfo;
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::decide::Denied;
use medlock_trust::{Operation, Time};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Where it is told.
pub const PATH: &str = "/v1/studies";
/// Images in one report, at most.
pub const MOST_IMAGES: usize = MOST;
/// What a sidecar is told by a hub that keeps no records.
pub const NO_RECORDS: &str = "no-records";
/// What a sidecar is told of a study that others change all the time.
pub const BUSY: &str = "intake-busy";
/// What a sidecar is told of images that are never kept.
pub const TOO_LATE: &str = "intake-too-late";
/// What a sidecar is told that shall come again, in seconds.
const AGAIN_SECONDS: u64 = 5;

/// Images of one study that were stored, in DICOM's words; nothing of what is on them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StudyReport {
    /// Study Instance UID (0020,000D).
    pub study: String,
    /// Patient ID (0010,0020).
    pub patient: String,
    /// Issuer of Patient ID (0010,0021).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// When the first of these images was stored, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<i64>,
    /// Study Date (0008,0020).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Study Time (0008,0030).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Timezone Offset From UTC (0008,0201).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its series.
    pub series: Vec<SeriesReport>,
}

/// Images of one series.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesReport {
    /// Series Instance UID (0020,000E).
    pub uid: String,
    /// Modality (0008,0060).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modality: Option<String>,
    /// SOP Class UID (0008,0016) and SOP Instance UID (0008,0018) of each.
    pub instances: Vec<(String, String)>,
}

/// Why bytes are no report.
#[derive(Debug, thiserror::Error)]
pub enum WrongReport {
    /// It is not in the form.
    #[error("this is no report of a study: {0}")]
    Form(#[from] serde_json::Error),
    /// An identifier is none.
    #[error("{0:?} is no unique identifier of DICOM: at most 64 digits and full stops")]
    Uid(String),
    /// There is no Patient ID, or it or its issuer is none.
    #[error("the Patient ID or its issuer has no characters, more than 64, or one that is not printed")]
    Patient,
    /// There are none, or too many.
    #[error("a report has from 1 to {MOST_IMAGES} images, and this one {0}")]
    Images(usize),
}

impl StudyReport {
    /// Reads one.
    ///
    /// # Errors
    /// [`WrongReport`].
    pub fn read(bytes: &[u8]) -> Result<Self, WrongReport> {
        let report: Self = serde_json::from_slice(bytes)?;
        let count = report.series.iter().map(|series| series.instances.len()).sum();
        if !(1..=MOST_IMAGES).contains(&count) || report.series.iter().any(|series| series.instances.is_empty()) {
            return Err(WrongReport::Images(count));
        }
        let is_text = |text: &String| (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if !is_text(&report.patient) || !report.issuer.iter().all(is_text) {
            return Err(WrongReport::Patient);
        }
        let of_series = |series: &'_ SeriesReport| {
            let instances = series.instances.iter().flat_map(|(class, uid)| [class, uid]);
            instances.chain([&series.uid]).find(|uid| !is_uid(uid)).cloned()
        };
        let wrong = Some(&report.study).filter(|uid| !is_uid(uid)).cloned();
        match wrong.or_else(|| report.series.iter().find_map(of_series)) {
            Some(wrong) => Err(WrongReport::Uid(wrong)),
            None => Ok(report),
        }
    }

    /// As a hub reads it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Texts and lists are written to memory: that does not fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// As it is kept.
    #[must_use]
    pub fn stored(self) -> StoredStudy {
        let started = started(self.date.as_deref(), self.time.as_deref(), self.zone.as_deref());
        let series = self.series.into_iter().map(|series| StoredSeries {
            uid: series.uid,
            modality: series.modality.filter(|code| is_code(code)).unwrap_or_else(|| "OT".to_owned()),
            instances: series.instances,
        });
        let (uid, patient, issuer, at) = (self.study, self.patient, self.issuer, self.at.map(Time::from_unix));
        StoredStudy { uid, patient, issuer, at, started, series: series.collect() }
    }
}

fn is_uid(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Whether a code string (PS3.5 section 6.2) is one of FHIR too.
fn is_code(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=16).contains(&text.len()) && text.bytes().all(good)
}

/// When a study began, as FHIR writes a `dateTime`: to the second where the images say the offset from UTC too, else the day;
/// `None` for what is no date.
fn started(date: Option<&str>, time: Option<&str>, zone: Option<&str>) -> Option<String> {
    let digits = |text: &str| text.chars().filter(|char| !matches!(char, '.' | ':')).collect::<String>();
    let date = digits(date?);
    let (year, month, day) = (date.get(..4)?, date.get(4..6)?, date.get(6..8).filter(|_| date.len() == 8)?);
    let day = format!("{year}-{month}-{day}");
    moment::date(&day)?;
    let second = || {
        // A fraction of a second stands behind a full stop.
        let time = digits(time?.split('.').next()?);
        let (hour, minute, second) = (time.get(..2)?, time.get(2..4)?, time.get(4..6).unwrap_or("00"));
        let (sign, zone) = zone?.split_at_checked(1)?;
        let (hours, minutes) = (zone.get(..2)?, zone.get(2..4).filter(|_| zone.len() == 4)?);
        let whole = format!("{day}T{hour}:{minute}:{second}{sign}{hours}:{minutes}");
        moment::date_time(&whole, true).map(|_| whole)
    };
    Some(second().unwrap_or(day))
}

/// Why a report is not kept.
enum NotTaken {
    /// It is none.
    Wrong(WrongReport),
    /// Who tells it shows no operational credential.
    Nobody,
    /// The device may not store.
    Denied(Denied),
    /// It has told too much of late, and waits so long.
    TooMuch(Duration),
    /// It is not kept.
    NotKept(NotKept),
}

impl NotTaken {
    fn again_in(&self) -> Option<u64> {
        match self {
            Self::TooMuch(wait) => Some(wait.as_secs().saturating_add(1)),
            Self::NotKept(NotKept::Busy | NotKept::Store(_)) => Some(AGAIN_SECONDS),
            Self::Wrong(_) | Self::Nobody | Self::Denied(_) | Self::NotKept(_) => None,
        }
    }
}

/// A refusal, as a sidecar is told it.
#[derive(Debug, Serialize)]
struct Told {
    code: &'static str,
    text: String,
}

impl IntoResponse for NotTaken {
    fn into_response(self) -> Response {
        let again = self.again_in();
        let (status, code, text) = match self {
            Self::Wrong(why) => (StatusCode::BAD_REQUEST, "study-report-wrong", why.to_string()),
            Self::Nobody => {
                let text = "show the operational credential of the device whose images these are";
                (StatusCode::FORBIDDEN, "operational-credential-needed", text.to_owned())
            }
            Self::Denied(denied) => (StatusCode::FORBIDDEN, denied.code.as_str(), denied.code.remedy().to_owned()),
            Self::TooMuch(_) => {
                let text = "more images than are taken of one device: tell them later";
                (StatusCode::TOO_MANY_REQUESTS, "intake-too-much", text.to_owned())
            }
            Self::NotKept(why) => {
                let status = match why {
                    NotKept::Permit { .. } => StatusCode::FORBIDDEN,
                    NotKept::Busy | NotKept::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
                    NotKept::TooMany { .. }
                    | NotKept::NoPatient(_)
                    | NotKept::OtherPatient { .. }
                    | NotKept::OtherIssuer(_)
                    | NotKept::TooLate { .. }
                    | NotKept::Unfit { .. } => StatusCode::UNPROCESSABLE_ENTITY,
                };
                (status, why.code(), why.to_string())
            }
        };
        let mut response = (status, Json(Told { code, text })).into_response();
        if let Some(seconds) = again {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Keeps what a sidecar tells.
pub(crate) async fn studies(
    State(clinical): State<Arc<Clinical>>,
    Extension(peer): Extension<PeerInfo>,
    body: Bytes,
) -> Response {
    let kept = tokio::task::spawn_blocking(move || {
        let kept = keep(&clinical, &peer, &body);
        if let (Err(NotTaken::NotKept(why)), Some(who)) = (&kept, &peer.identified) {
            let (device, code) = (who.device_name(), why.code());
            match why {
                // Their words name the patient: who tells it has them.
                NotKept::NoPatient(_) | NotKept::OtherPatient { .. } => {
                    tracing::warn!(%device, code, "a study is not kept");
                }
                why => tracing::warn!(%device, code, %why, "a study is not kept"),
            }
        }
        kept
    });
    match kept.await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(why)) => why.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// What a hub that keeps no records says to who tells of images: nothing needs to wait for it. Whatever else there is nothing of that
/// name, another sort of server or a hub of before, says nothing like it.
pub fn no_records() -> Router {
    let text = "this hub keeps no records".to_owned();
    Router::new().route(PATH, post(async || (StatusCode::NOT_FOUND, Json(Told { code: NO_RECORDS, text }))))
}

fn keep(clinical: &Clinical, peer: &PeerInfo, body: &[u8]) -> Result<(), NotTaken> {
    let who = peer.identified.as_ref().filter(|who| who.kind() == CredentialKind::Operational);
    let who = who.ok_or(NotTaken::Nobody)?;
    let permit = clinical.knowledge().judge(who, Operation::Store).permit().map_err(NotTaken::Denied)?;
    let study = StudyReport::read(body).map_err(NotTaken::Wrong)?.stored();
    let images = study.series.iter().map(|series| series.instances.len()).sum();
    clinical.quota().count(who.device(), images).map_err(NotTaken::TooMuch)?;
    let chain: Vec<&[u8]> = peer.chain.iter().map(AsRef::as_ref).collect();
    let from = Handed { who, chain: &chain, permit, at: clinical.clock().now() };
    let kept = clinical.images(from, &study).map(drop);
    kept.map_err(|why| {
        if matches!(why, NotKept::Busy | NotKept::Store(_)) {
            // It is told again.
            clinical.quota().give_back(who.device(), images);
        }
        NotTaken::NotKept(why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fixture::House;
    use medlock_trust::Role;

    /// Shows REQ-INTAKE-33: what the hub cannot keep at this moment, and is told again, takes nothing of the device's quota.
    #[tokio::test]
    async fn what_the_hub_cannot_keep_costs_no_quota() {
        for house in House::both() {
            let peer = house.device("ct", Role::Modality).peer();
            let instances = (0..MOST_IMAGES).map(|number| ("1.2".to_owned(), format!("1.{number}"))).collect();
            let series = vec![SeriesReport { uid: "1.3".into(), modality: None, instances }];
            let (study, patient) = ("1.2.3".to_owned(), "P17".to_owned());
            let told =
                StudyReport { study, patient, issuer: None, at: None, date: None, time: None, zone: None, series };
            let told = told.to_json();
            let away = |sql: &mut dyn medlock_store::Sql| sql.batch("ALTER TABLE resource RENAME TO away");
            house.clinical.records().database().write("break the store", away).expect("broken");
            for time in 0..20 {
                let why = keep(&house.clinical, &peer, &told);
                assert!(matches!(why, Err(NotTaken::NotKept(NotKept::Store(_)))), "{time}");
            }
        }
    }

    /// Shows REQ-INTAKE-46: nothing is made of a date that is none, and no zone is guessed.
    #[test]
    fn the_beginning_of_a_study_is_as_precise_as_the_images_say() {
        let of = |date: &str, time: &str, zone: &str| started(Some(date), Some(time), Some(zone));
        assert_eq!(of("20260102", "030405.678", "+0100").as_deref(), Some("2026-01-02T03:04:05+01:00"));
        assert_eq!(of("2026.01.02", "03:04", "-0530").as_deref(), Some("2026-01-02T03:04:00-05:30"));
        assert_eq!(started(Some("20260102"), Some("030405"), None).as_deref(), Some("2026-01-02"));
        for (time, zone) in
            [("", "+0100"), ("25", "+0100"), ("250000", "+0100"), ("030405", "0100"), ("030405", "+01é")]
        {
            assert_eq!(of("20260102", time, zone).as_deref(), Some("2026-01-02"), "{time} {zone}");
        }
        for date in ["", "2026", "20260230", "202601020", "2026é0102"] {
            assert_eq!(of(date, "030405", "+0100"), None, "{date}");
        }
    }

    /// Shows REQ-INTAKE-60, REQ-INTAKE-46: each bound of a report.
    #[test]
    fn a_report_is_read_within_its_bounds() {
        let instances = |count: usize| (0..count).map(|number| ("1.2".to_owned(), format!("1.{number}"))).collect();
        let series =
            |count| SeriesReport { uid: "1.3".into(), modality: Some("CT".into()), instances: instances(count) };
        let report = StudyReport {
            study: "1.2.3".into(),
            patient: "P17".into(),
            issuer: None,
            at: None,
            date: None,
            time: None,
            zone: None,
            series: vec![series(2)],
        };
        let read = |report: &StudyReport| StudyReport::read(&report.to_json());
        assert_eq!(read(&report).expect("a report"), report);
        let but = |change: &dyn Fn(&mut StudyReport)| {
            let mut changed = report.clone();
            change(&mut changed);
            read(&changed)
        };
        assert!(but(&|report| report.series = vec![series(MOST_IMAGES)]).is_ok());
        for count in [0, MOST_IMAGES + 1] {
            assert!(
                matches!(but(&|report| report.series = vec![series(count)]), Err(WrongReport::Images(n)) if n == count)
            );
        }
        for patient in ["", "a\nb", &"x".repeat(65)] {
            assert!(matches!(but(&|report| report.patient = patient.into()), Err(WrongReport::Patient)), "{patient:?}");
            let issuer = || Some(patient.to_owned());
            assert!(matches!(but(&|report| report.issuer = issuer()), Err(WrongReport::Patient)), "{patient:?}");
        }
        assert!(matches!(but(&|report| report.study = "1.x".into()), Err(WrongReport::Uid(_))));
        assert!(matches!(but(&|report| report.series[0].uid = "1".repeat(65)), Err(WrongReport::Uid(_))));
        assert!(matches!(but(&|report| report.series[0].instances[1].1.clear()), Err(WrongReport::Uid(_))));
        assert!(matches!(StudyReport::read(b"{}"), Err(WrongReport::Form(_))));
        let modality = |text: &str| {
            let named = but(&|report| report.series[0].modality = Some(text.into()));
            named.expect("a report").stored().series.remove(0).modality
        };
        assert_eq!((modality("MR").as_str(), modality("no code").as_str()), ("MR", "OT"));
    }
}
