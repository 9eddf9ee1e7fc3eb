//! The records of the hospital, as software meets them that knows SMART and nothing of us.
//!
//! They are at the hub of the imaging ward: its clock is the computer's, by which a browser, a session and an ID token live, and it
//! goes on when all is shown. The diabetes ward's hub has a clock that is moved by days, and ends.

mod app;
mod person;
mod ready;

use super::device::{Device, Records};
use super::report::Teller;
use super::stage::{Stage, ask, within};
use super::ward;
use crate::Failure;
use crate::admin::{self, SOCKET};
use crate::cli::UpArgs;
use crate::hub::Hub;
use app::App;
use bytes::Bytes;
use http::{Method, StatusCode};
use medlock_authority::admin::{Reason, Request};
use medlock_clinical::auth::{Asked, Told};
use medlock_node::clock::Clock;
use medlock_node::http::Client;
use medlock_proto::reading::{Decimal, Mdc, Moment, Reading, Special, Value};
use medlock_proto::record::{Numbered, Record};
use medlock_trust::role::Role;
use medlock_trust::{Interval, Time};
use medlock_ward::diabetes::patient::Patient;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) use ready::Ready;

/// How soon a withdrawal, and news of a theft, must be in effect.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How often something is looked at again.
const LOOK: Duration = Duration::from_millis(10);
/// The name with which the patient signs in.
const USER: &str = "patient";
/// The patient's sensor, by its name in the register.
const SENSOR: &str = "cgm1";
/// Readings that the sensor reports, five minutes apart.
const READINGS: u16 = 36;
/// Decides who the virtual patient is, and when they eat.
const SEED: u64 = 11;
const BREAKFAST_MINUTE: u16 = 40;
const BREAKFAST_GRAMS: f64 = 45.0;

/// The records of the hospital, and who has to do with them.
#[derive(Debug)]
pub(crate) struct Clinic {
    records: Records,
    /// The Patients of the images, by their Patient IDs; the first is the demonstration's.
    patients: Vec<(String, String)>,
}

impl Clinic {
    fn patient(&self) -> &str {
        self.patients.first().map_or("", |(_, id)| id)
    }
}

/// A gateway gets a token and writes, and a sensor reports.
pub(crate) async fn begin(teller: &mut Teller, stage: &Stage, args: &UpArgs) -> Option<Clinic> {
    let step = "a gateway gets a token for the records, by its certificate alone";
    let records = teller.step("device-token", step, by_certificate(&stage.hub)).await?;
    let step = "it writes a patient who wears a glucose sensor, which reports what it measured";
    let written = write(&stage.hub, &records, args.images.as_deref());
    let patients = teller.step("record-written", step, written).await?;
    Some(Clinic { records, patients })
}

/// What the CT has sent is in the records.
pub(crate) async fn images_recorded(teller: &mut Teller, clinic: &Clinic, args: &UpArgs) {
    let (sent, own) = (teller.report.images_sent, args.images.is_some());
    let step = "the CT's sidecar has told the hub of every image: they are ImagingStudy resources";
    teller.step("images-recorded", step, recorded(clinic, sent, own)).await;
}

/// A patient uses an app, and withdraws; a gateway is stolen.
pub(crate) async fn tell(teller: &mut Teller, stage: &Stage, clinic: &Clinic) {
    let step = "the patient signs in, agrees, and an app reads the record (SMART App Launch)";
    if let Some(app) = teller.step("app-launched", step, launched(stage, clinic)).await {
        let step = "the patient withdraws consent while the app is in use";
        teller.step("consent-withdrawn", step, withdrawn(&app, clinic)).await;
    }
    let step = "another gateway is stolen while its token is in use";
    teller.step("stolen-device-token-dead", step, stolen(&stage.hub)).await;
}

/// A client that a person can use in a browser: where it is, and with what one signs in.
///
/// # Errors
/// When the hub does not answer.
pub(crate) async fn ready(stage: &Stage) -> Result<Ready, Failure> {
    Ready::open(&hub_folder(stage), &base(&stage.hub)).await
}

/// The address of the hub's records for people's software, without `/fhir`.
fn base(hub: &Hub) -> String {
    format!("http://localhost:{}", hub.people.port())
}

fn hub_folder(stage: &Stage) -> std::path::PathBuf {
    stage.folder.path().join("hub")
}

/// Asks as the administrator does, at the admin socket.
async fn administer(folder: &Path, asked: &Asked) -> Result<Told, Failure> {
    admin::ask_running_clinical(&folder.join(SOCKET), asked).await
}

async fn by_certificate(hub: &Hub) -> Result<(Records, String), Failure> {
    let gateway = Device::enrol(hub, &Clock::system(), "gateway1", Role::Gateway).await?;
    let records = gateway.open(hub).await?;
    let alone = records.token_by(Client::plain(hub.people.to_string()));
    let refused = alone.answer(Method::GET, "/fhir/Patient", Bytes::new()).await?.status();
    if refused != StatusCode::UNAUTHORIZED {
        return Err(format!("the token without its certificate is answered {refused}").into());
    }
    let seen = format!(
        "good for {} seconds, with this certificate alone (RFC 8705): without it the token is answered {refused}",
        records.seconds
    );
    Ok((records, seen))
}

async fn write(
    hub: &Hub,
    records: &Records,
    images: Option<&Path>,
) -> Result<(Vec<(String, String)>, String), Failure> {
    let sensor = Device::enrol(hub, &Clock::system(), SENSOR, Role::Sensor).await?;
    let mut patients = Vec::new();
    for (id, family) in ward::patients(images)? {
        let identifier = json!([{ "system": "urn:medlock:demonstration:patient", "value": id }]);
        let patient = json!({ "resourceType": "Patient", "identifier": identifier, "name": [{ "family": family }] });
        patients.push((id, records.create(&patient).await?));
    }
    let (_, patient) = patients.first().ok_or("there is no patient")?;
    let identifier = json!([{ "system": medlock_clinical::DEVICE_SYSTEM, "value": SENSOR }]);
    let wearer = json!({ "reference": format!("Patient/{patient}") });
    records.create(&json!({ "resourceType": "Device", "identifier": identifier, "patient": wearer })).await?;
    let measured = measured(Clock::system().now());
    let began = Instant::now();
    sensor.report(hub, &measured).await?;
    let milliseconds = began.elapsed().as_millis();
    let kept = records.count(&format!("Observation?patient=Patient/{patient}")).await?;
    let said = records.found(&format!("Provenance?patient=Patient/{patient}")).await?;
    let names_it = said.iter().any(|one| one["agent"][0]["who"]["identifier"]["value"] == SENSOR);
    if kept != u64::from(READINGS) || !names_it {
        return Err(
            format!("{READINGS} readings were reported; {kept} are there, with {} statements", said.len()).into()
        );
    }
    let seen = format!(
        "{kept} readings of {SENSOR} came by CoAP, EDHOC and OSCORE and are Observations of the patient after {milliseconds} ms; a \
         Provenance says which credential reported them"
    );
    Ok((patients, seen))
}

/// What a sensor measured in the three hours before `now` of somebody who had breakfast.
fn measured(now: Time) -> Vec<Record> {
    let mut person = Patient::new(SEED);
    let mut all = Vec::new();
    for minute in 0..READINGS * 5 {
        if minute == BREAKFAST_MINUTE {
            person.eat(BREAKFAST_GRAMS);
        }
        person.live_a_minute(person.basal().over_millis(60_000));
        if minute % 5 > 0 {
            continue;
        }
        let at = now.plus_seconds(i64::from(minute) * 60 - i64::from(READINGS) * 300);
        let moment = Moment { ticks: u64::from(minute) * 60_000, utc: Some(Interval::exactly(at)) };
        let tenths = (person.glucose().mg_dl() * 10.0).round() as i32;
        let value = Decimal::new(tenths, -1).map_or(Value::Special(Special::NRes), Value::Number);
        let (code, unit) = (Mdc::CONC_GLU_ISF, Mdc::DIM_MILLI_G_PER_DL);
        let reading = Reading { code, unit, value, moment, mark: None };
        all.push(Record::Reading(Numbered { number: u64::from(minute / 5), reading }));
    }
    all
}

/// Waits until the images that were sent are in the records: all of them if we made them, any if they are the user's own, which may
/// be the same several times.
async fn recorded(clinic: &Clinic, sent: usize, own: bool) -> Result<((), String), Failure> {
    let look = async || -> Result<(usize, u64, u64), Failure> {
        let (mut studies, mut images, mut by_ct) = (0, 0, 0);
        for study in clinic.records.found("ImagingStudy?_count=1000").await? {
            studies += 1;
            images += study["numberOfInstances"].as_u64().unwrap_or_default();
            by_ct += u64::from(study["series"][0]["performer"][0]["actor"]["reference"].is_string());
        }
        Ok((studies, images, by_ct))
    };
    let enough = |images: u64| if own { images > 0 } else { images >= sent as u64 };
    let waited = within(async {
        loop {
            let (studies, images, by_ct) = look().await?;
            if enough(images) {
                return Ok((studies, images, by_ct));
            }
            tokio::time::sleep(LOOK * 10).await;
        }
    });
    let (studies, images, by_ct) = match waited.await {
        Ok(all) => all,
        Err(_) => {
            let (studies, images, _) = look().await?;
            return Err(format!("{sent} images were sent; the records have {images} in {studies} studies").into());
        }
    };
    if by_ct != studies as u64 || (!own && images != sent as u64) {
        return Err(format!(
            "of {images} images in {studies} studies, {sent} were sent, and {by_ct} studies name the CT"
        )
        .into());
    }
    let whose = if own { "of the patients whom the images name" } else { "of the patient" };
    Ok((
        (),
        format!(
            "{images} images in {studies} studies {whose}, each with its Device; also what was sent while the hub was away"
        ),
    ))
}

async fn launched(stage: &Stage, clinic: &Clinic) -> Result<(App, String), Failure> {
    let folder = hub_folder(stage);
    let person = format!("Patient/{}", clinic.patient());
    let code = match administer(&folder, &Asked::AddAccount { name: USER.to_owned(), person: person.clone() }).await? {
        Told::Account { code, .. } => code,
        other => return Err(format!("no account was made: {other:?}").into()),
    };
    let client = app::register(&folder, "Sugar", "http://127.0.0.1:9/app").await?;
    let (app, scopes) = App::launch(&stage.hub, &base(&stage.hub), client, (USER, &code)).await?;
    if app.fhir_user != person || app.patient != clinic.patient() {
        return Err(format!("the app is told that {} signed in, for {}", app.fhir_user, app.patient).into());
    }
    let (readings, images) = app.sees().await?;
    if readings != u64::from(READINGS) {
        return Err(format!("the app sees {readings} readings of {READINGS}").into());
    }
    let seen = format!(
        "code with PKCE, token, and an ID token that the hub's key has signed; agreed to: {scopes}; the app reads {readings} readings \
         and {images} image studies of this patient"
    );
    Ok((app, seen))
}

async fn withdrawn(app: &App, clinic: &Clinic) -> Result<((), String), Failure> {
    let (readings, images) = app.sees().await?;
    let began = Instant::now();
    let consent = app.deny().await?;
    while app.sees().await? != (0, 0) {
        if began.elapsed() > AT_ONCE {
            return Err("the app still reads after a second".into());
        }
        tokio::time::sleep(LOOK).await;
    }
    let milliseconds = began.elapsed().as_millis();
    // The patient's devices go on: consent never gates what they report, nor the ward that treats.
    let ward = clinic.records.count(&format!("Observation?patient=Patient/{}", clinic.patient())).await?;
    app.allow_again(&consent).await?;
    if app.sees().await? != (readings, images) || ward != readings {
        return Err("the app does not read again what it read before".into());
    }
    let seen = format!(
        "{milliseconds} ms after, the same token finds none of {readings} readings and {images} studies; it was taken back, and all is there"
    );
    Ok(((), seen))
}

async fn stolen(hub: &Hub) -> Result<((), String), Failure> {
    let gateway = Device::enrol(hub, &Clock::system(), "gateway2", Role::Gateway).await?;
    let records = gateway.open(hub).await?;
    let mut open = records.connection().await?;
    let request = || records.request(Method::GET, "/fhir/Patient", Bytes::new());
    if open.send(request()?).await?.status() != StatusCode::OK {
        return Err("its token is not good before".into());
    }
    let began = Instant::now();
    let (device, why) = ("gateway2".to_owned(), "the van was broken into".to_owned());
    ask(hub, Request::Revoke { device, reason: Reason::Stolen, why }).await?;
    // Refused, or the connection is ended.
    while matches!(open.send(request()?).await, Ok(answer) if answer.status() == StatusCode::OK) {
        if began.elapsed() > AT_ONCE {
            return Err("the token is still good after a second".into());
        }
        tokio::time::sleep(LOOK).await;
    }
    let milliseconds = began.elapsed().as_millis();
    let anew = match records.answer(Method::GET, "/fhir/Patient", Bytes::new()).await {
        Ok(answer) if answer.status() == StatusCode::OK => return Err("the token is good on a new connection".into()),
        Ok(answer) => format!("answered {}", answer.status()),
        Err(refused) => format!("refused ({refused})"),
    };
    Ok(((), format!("dead {milliseconds} ms after; on a new connection it is {anew}")))
}
