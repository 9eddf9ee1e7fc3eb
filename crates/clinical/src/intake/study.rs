//! Images that were stored as an ImagingStudy: identifiers, modality, start, which device made them; nothing of what is on them.

use super::take::{TRIES, Thing};
use super::write::{self, Object, coding};
use crate::Clinical;
use crate::access::{Caller, Verb};
use crate::json::{self, Document, Limits, Node};
use crate::kind::{Id, Kind, Millis, Reference};
use crate::outcome::{Code, Issue, Issues};
use crate::query::Plan;
use crate::seam::{Kept, NotKept, StoredSeries, StoredStudy};
use crate::store::{Act, Condition, Expected};
use medlock_trust::{DeviceName, Time};
use std::collections::BTreeMap;

/// The system of DICOM's unique identifiers (FHIR R4, ImagingStudy).
const DICOM_UID: &str = "urn:dicom:uid";
const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
/// The kind of the alarm that images are not in the records.
const ALARM: &str = "images-too-late";
const URI: &str = "urn:ietf:rfc:3986";

/// The series of a study by their identifiers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Series(BTreeMap<String, One>);

/// A series.
#[derive(Debug, Default, PartialEq, Eq)]
struct One {
    modality: String,
    /// What else is said of it, as it is written.
    others: Vec<(String, String)>,
    /// Its instances, each as it is written.
    instances: BTreeMap<String, String>,
}

impl Series {
    /// Those of an ImagingStudy as it is kept.
    fn of(study: Node<'_, '_>) -> Self {
        const WRITTEN: [&str; 4] = ["uid", "modality", "numberOfInstances", "instance"];
        let mut all = Self::default();
        let text =
            |node: Node<'_, '_>, name: &str| node.member(name).and_then(Node::text).unwrap_or_default().into_owned();
        let list = study.member("series");
        for series in list.iter().flat_map(|list| list.items()) {
            let instances = series.member("instance");
            let instances = instances.iter().flat_map(|list| list.items());
            let others = series.members().filter(|(name, _)| !WRITTEN.contains(&name.as_ref()));
            let one = One {
                modality: series.member("modality").map(|coding| text(coding, "code")).unwrap_or_default(),
                others: others.map(|(name, value)| (name.into_owned(), source(value))).collect(),
                instances: instances.map(|instance| (text(instance, "uid"), source(instance))).collect(),
            };
            all.0.insert(text(series, "uid"), one);
        }
        all
    }

    /// Adds what `performer` made; whether anything of it is new.
    fn add(&mut self, came: &[StoredSeries], performer: &str) -> bool {
        let mut new = false;
        for series in came {
            let known = self.0.entry(series.uid.clone()).or_insert_with(|| One {
                modality: series.modality.clone(),
                others: vec![("performer".to_owned(), format!("[{{\"actor\":{performer}}}]"))],
                instances: BTreeMap::new(),
            });
            for (class, uid) in &series.instances {
                known.instances.entry(uid.clone()).or_insert_with(|| {
                    new = true;
                    instance(class, uid)
                });
            }
        }
        new
    }

    fn write(&self, out: &mut Object) {
        let mut modalities: Vec<&str> = self.0.values().map(|one| one.modality.as_str()).collect();
        modalities.sort_unstable();
        modalities.dedup();
        let modalities: Vec<String> = modalities.into_iter().map(|modality| coding(DCM, modality, "")).collect();
        let instances: usize = self.0.values().map(|one| one.instances.len()).sum();
        out.raw("modality", &format!("[{}]", modalities.join(",")));
        out.raw("numberOfSeries", &self.0.len().to_string());
        out.raw("numberOfInstances", &instances.to_string());
        let series = self.0.iter().map(|(uid, series)| {
            let mut one = Object::new();
            one.text("uid", uid);
            one.raw("modality", &coding(DCM, &series.modality, ""));
            for (name, value) in &series.others {
                one.raw(name, value);
            }
            one.raw("numberOfInstances", &series.instances.len().to_string());
            let instances: Vec<&str> = series.instances.values().map(String::as_str).collect();
            one.raw("instance", &format!("[{}]", instances.join(",")));
            one.text_of()
        });
        out.raw("series", &format!("[{}]", series.collect::<Vec<_>>().join(",")));
    }
}

fn instance(class: &str, uid: &str) -> String {
    let mut one = Object::new();
    one.text("uid", uid);
    one.raw("sopClass", &coding(URI, &format!("urn:oid:{class}"), ""));
    one.text_of()
}

/// As it is written.
fn source(node: Node<'_, '_>) -> String {
    let mut text = Vec::new();
    json::minified(node, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// When images were stored, and until when a Patient might get their Patient ID, if that has passed.
#[derive(Clone, Copy)]
struct Times {
    stored: Time,
    passed: Option<Time>,
}

impl Clinical {
    /// Keeps the study, or adds to it what is new. What could not be kept until its time had passed never is, and nobody tells it again.
    pub(super) fn study_in_time(
        &self,
        caller: &Caller,
        name: &DeviceName,
        study: &StoredStudy,
        now: Time,
    ) -> Result<Kept, NotKept> {
        // What is said to be stored in the future was stored by now.
        let stored = study.at.unwrap_or(now).min(now);
        let until = stored.plus_seconds(self.settings().images_seconds);
        let times = Times { stored, passed: Some(until).filter(|until| *until < now) };
        match self.study(caller, name, study, &times) {
            Err(
                why @ (NotKept::NoPatient(_)
                | NotKept::OtherPatient { .. }
                | NotKept::OtherIssuer(_)
                | NotKept::Unfit { .. }),
            ) if times.passed.is_some() => {
                let text = format!(
                    "images that {name} stored are not in the records, and its sidecar tells of them no more: the hub's log says which"
                );
                if let Err(error) = self.alarms().raise(ALARM, text) {
                    tracing::error!(%error, "an alarm could not be raised");
                }
                Err(NotKept::TooLate { uid: study.uid.clone(), why: why.code() })
            }
            kept => kept,
        }
    }

    fn study(&self, caller: &Caller, name: &DeviceName, study: &StoredStudy, times: &Times) -> Result<Kept, NotKept> {
        if let Some(issuer) = study.issuer.as_ref().filter(|issuer| !self.settings().patient_issuers.contains(issuer)) {
            return Err(NotKept::OtherIssuer(issuer.clone()));
        }
        let identifier = format!("urn:oid:{}", study.uid);
        let unfit = |issues: Issues| NotKept::Unfit { number: 0, issues };
        for _ in 0..TRIES {
            let Some(plan) = Plan::by_identifier(Kind::IMAGING_STUDY, DICOM_UID, &identifier) else { break };
            let limit = self.settings().search_limit;
            let mut held = self.records().matching(&caller.sight_to_write(Verb::Search), &plan, limit)?;
            if held.len() > 1 {
                let text = format!("several ImagingStudy have the identifier {identifier}: remove all but one");
                return Err(unfit(Issue::new(Code::ManyMatches, text).into()));
            }
            let held = held.pop();
            let mut series = Series::default();
            let (bound, device) = self.device_of(name)?;
            // What else was said of the study stays. So does whose it is: another Patient ID neither moves it nor adds to it.
            let mut out = match &held {
                Some(held) => {
                    let document = Document::read(&held.body, &Limits::BUNDLE).map_err(|_| unreadable())?;
                    self.same_patient(document.root(), study)?;
                    series = Series::of(document.root());
                    others(document.root())
                }
                None => beginning(&identifier, study, self.patient_of_images(study, times)?),
            };
            if !series.add(&study.series, &write::device((name, device.id()))) && held.is_some() {
                return Ok(Kept::Known);
            }
            series.write(&mut out);
            let body = out.finish();
            let kind = Kind::IMAGING_STUDY;
            let act = match &held {
                None => {
                    let (system, identifier) = (DICOM_UID, identifier.clone());
                    let thing = Thing { kind, system, identifier, body, once: None, mark: None };
                    self.create(caller, thing).map_err(unfit)?
                }
                Some(held) => Act::Update {
                    id: held.id,
                    to: self
                        .prepared(kind, &body, caller.mark(Verb::Update, kind).map(|code| code.as_str()))
                        .map_err(unfit)?,
                    expected: Expected::version(held.version),
                    condition: Some(Condition { plan, is: Some(held.id), asked: None }),
                    bases: self.bases(),
                },
            };
            let mut acts = self.beside(caller, name, &device, Vec::new())?;
            acts.push(act);
            if self.applied(caller, acts, Some((*name, bound)))? {
                return Ok(Kept::New);
            }
        }
        Err(NotKept::Busy)
    }

    /// The one Patient with the images' Patient ID, who had it when they were stored; or in time, if nobody else has had it since then.
    fn patient_of_images(&self, study: &StoredStudy, times: &Times) -> Result<Id, NotKept> {
        let (records, system, value) = (self.records(), self.settings().patient_system.as_deref(), &study.patient);
        let millis = |at: Time| Millis(at.unix().saturating_mul(1_000));
        let had = |one, at| records.patient_was_named(one, millis(at), system, value);
        if let [one] = *self.patients_of_images(study)? {
            if had(one, times.stored)? {
                return Ok(one);
            }
            let in_time = times.passed.map_or(Ok(true), |until| had(one, until))?;
            let another = || records.another_was_named(one, millis(times.stored), system, value);
            if in_time && !another()?.ok_or(NotKept::Busy)? {
                return Ok(one);
            }
        }
        Err(NotKept::NoPatient(value.clone()))
    }

    /// Looks whether a study that is kept, whoever made it, is of a patient with the images' Patient ID.
    fn same_patient(&self, kept: Node<'_, '_>, study: &StoredStudy) -> Result<(), NotKept> {
        let subject = kept.member("subject").and_then(|subject| subject.member("reference")).and_then(Node::text);
        let subject = subject.and_then(|subject| match Reference::read(&subject, &self.bases()) {
            Some(Reference::Local(Kind::PATIENT, id, _)) => Some(id),
            _ => None,
        });
        let named = self.patients_of_images(study)?;
        if subject.is_some_and(|subject| named.contains(&subject)) {
            return Ok(());
        }
        Err(NotKept::OtherPatient { uid: study.uid.clone(), patient: study.patient.clone() })
    }

    fn patients_of_images(&self, study: &StoredStudy) -> Result<Vec<Id>, NotKept> {
        let system = self.settings().patient_system.as_deref();
        Ok(self.records().patients_named(system, &study.patient)?)
    }
}

/// What was checked when it was kept cannot be read.
fn unreadable() -> NotKept {
    NotKept::Unfit { number: 0, issues: Issue::new(Code::Failed, "the study that is kept cannot be read").into() }
}

/// A study, but for its series.
fn beginning(identifier: &str, study: &StoredStudy, subject: Id) -> Object {
    let mut out = Object::resource("ImagingStudy");
    out.raw("identifier", &format!("[{}]", Object::identifier(DICOM_UID, identifier)));
    out.text("status", "available");
    out.raw("subject", &Object::reference("Patient", subject));
    if let Some(started) = &study.started {
        out.text("started", started);
    }
    out
}

/// A study as it is kept, but for its series.
fn others(study: Node<'_, '_>) -> Object {
    const WRITTEN: [&str; 6] = ["resourceType", "id", "modality", "numberOfSeries", "numberOfInstances", "series"];
    let mut out = Object::resource("ImagingStudy");
    for (name, value) in study.members().filter(|(name, _)| !WRITTEN.contains(&name.as_ref())) {
        out.raw(&name, &source(value));
    }
    out
}
