//! Images that were stored as an ImagingStudy: identifiers, modality, start; nothing of what is on them.

use super::take::{TRIES, Thing};
use super::write::{Object, coding};
use crate::Clinical;
use crate::access::{Caller, Verb};
use crate::json::{self, Document, Limits, Node};
use crate::kind::{Id, Kind, Reference};
use crate::outcome::{Code, Issue, Issues};
use crate::query::Plan;
use crate::seam::{Kept, NotKept, StoredSeries, StoredStudy};
use crate::store::{Act, Condition};
use std::collections::BTreeMap;

/// The system of DICOM's unique identifiers (FHIR R4, ImagingStudy).
const DICOM_UID: &str = "urn:dicom:uid";
const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const URI: &str = "urn:ietf:rfc:3986";

/// The series of a study by their identifiers: modality, and the class of each instance.
#[derive(Debug, Default, PartialEq, Eq)]
struct Series(BTreeMap<String, (String, BTreeMap<String, String>)>);

impl Series {
    /// Those of an ImagingStudy as it is kept.
    fn of(study: Node<'_, '_>) -> Self {
        let mut all = Self::default();
        let text =
            |node: Node<'_, '_>, name: &str| node.member(name).and_then(Node::text).unwrap_or_default().into_owned();
        let code =
            |node: Node<'_, '_>, name: &str| node.member(name).map(|coding| text(coding, "code")).unwrap_or_default();
        let list = study.member("series");
        for series in list.iter().flat_map(|list| list.items()) {
            let instances = series.member("instance");
            let instances = instances.iter().flat_map(|list| list.items());
            let instances = instances.map(|instance| {
                let class = code(instance, "sopClass");
                (text(instance, "uid"), class.strip_prefix("urn:oid:").unwrap_or(&class).to_owned())
            });
            all.0.insert(text(series, "uid"), (code(series, "modality"), instances.collect()));
        }
        all
    }

    /// Adds what came; whether anything of it is new.
    fn add(&mut self, came: &[StoredSeries]) -> bool {
        let mut new = false;
        for series in came {
            let known = self.0.entry(series.uid.clone()).or_insert_with(|| (series.modality.clone(), BTreeMap::new()));
            for (class, uid) in &series.instances {
                new |= known.1.insert(uid.clone(), class.clone()).is_none();
            }
        }
        new
    }

    fn write(&self, out: &mut Object) {
        let mut modalities: Vec<&str> = self.0.values().map(|(modality, _)| modality.as_str()).collect();
        modalities.sort_unstable();
        modalities.dedup();
        let modalities: Vec<String> = modalities.into_iter().map(|modality| coding(DCM, modality, "")).collect();
        let instances: usize = self.0.values().map(|(_, instances)| instances.len()).sum();
        out.raw("modality", &format!("[{}]", modalities.join(",")));
        out.raw("numberOfSeries", &self.0.len().to_string());
        out.raw("numberOfInstances", &instances.to_string());
        let series = self.0.iter().map(|(uid, (modality, instances))| {
            let mut one = Object::new();
            one.text("uid", uid);
            one.raw("modality", &coding(DCM, modality, ""));
            one.raw("numberOfInstances", &instances.len().to_string());
            let instances = instances.iter().map(|(uid, class)| {
                let mut one = Object::new();
                one.text("uid", uid);
                one.raw("sopClass", &coding(URI, &format!("urn:oid:{class}"), ""));
                one.text_of()
            });
            one.raw("instance", &format!("[{}]", instances.collect::<Vec<_>>().join(",")));
            one.text_of()
        });
        out.raw("series", &format!("[{}]", series.collect::<Vec<_>>().join(",")));
    }
}

impl Clinical {
    /// Keeps the study, or adds to it what is new.
    pub(super) fn study(&self, caller: &Caller, study: &StoredStudy) -> Result<Kept, NotKept> {
        let identifier = format!("urn:oid:{}", study.uid);
        let unfit = |issues: Issues| NotKept::Unfit { number: 0, issues };
        for _ in 0..TRIES {
            let Some(plan) = Plan::by_identifier(Kind::IMAGING_STUDY, DICOM_UID, &identifier) else { break };
            let limit = self.settings().search_limit;
            let held = self.records().matching(&caller.sight_to_write(Verb::Search), &plan, limit)?.into_iter().next();
            let mut series = Series::default();
            // What else was said of the study stays. So does whose it is: another Patient ID neither moves it nor adds to it.
            let mut out = match &held {
                Some(held) => {
                    let document = Document::read(&held.body, &Limits::BUNDLE).map_err(|_| unreadable())?;
                    self.same_patient(document.root(), study)?;
                    series = Series::of(document.root());
                    others(document.root())
                }
                None => beginning(&identifier, study, self.patient_of_images(study)?),
            };
            if !series.add(&study.series) && held.is_some() {
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
                    if_match: Some(held.version),
                    condition: Some(Condition { plan, is: Some(held.id) }),
                    bases: self.bases(),
                },
            };
            if self.applied(caller, vec![act], None)? {
                return Ok(Kept::New);
            }
        }
        Err(NotKept::Busy)
    }

    /// The one Patient with the images' Patient ID.
    fn patient_of_images(&self, study: &StoredStudy) -> Result<Id, NotKept> {
        match self.patients_of_images(study)?.as_slice() {
            [one] => Ok(*one),
            _ => Err(NotKept::NoPatient(study.patient.clone())),
        }
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
        let mut text = Vec::new();
        json::minified(value, &mut text);
        out.raw(&name, &String::from_utf8_lossy(&text));
    }
    out
}
