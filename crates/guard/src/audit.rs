//! Audit messages: DICOM PS3.15 annex A.5, as XML on one line.
//!
//! The schema's words are used as they are. One event has no message in the standard: that an association was opened or
//! ended; it has an event identifier of our own coding scheme (`99MEDLOCK`). The correlation identifier, which both an
//! association's messages and the log carry, the stable code of a refusal and the marks of a verdict stand in
//! `EventOutcomeDescription`, where a person searching a log finds them as text.

use crate::dicom::{
    tap::Instance,
    text::{AeTitle, PatientId, Uid},
};
use medlock_trust::Time;
use quick_xml::{
    Writer,
    events::{BytesEnd, BytesStart, BytesText, Event as Xml},
};
use std::{fmt, net::IpAddr};

/// The study or patient of an instance that does not say it.
const UNKNOWN: &str = "unknown";
/// The most instances named one by one in one message; all are counted. With 64 bytes each it keeps a message below
/// 32,768 octets, which every receiver takes (PS3.15 A.6).
pub const MAX_NAMED_INSTANCES: usize = 200;
/// The most SOP classes counted apart in one study.
const MAX_CLASSES: usize = 16;
/// The longest free text in a message, in characters.
const MAX_TEXT: usize = 1024;

/// Ties together the messages of one association: 8 random bytes in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Correlation([u8; 8]);

impl Correlation {
    /// An identifier from random bytes.
    #[must_use]
    pub const fn from_random(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One end of an association, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// The device name of its credential, or of this guard's own; `None` if nobody vouched for it.
    pub device: Option<String>,
    /// The application entity title it uses.
    pub title: Option<AeTitle>,
    /// Where it is in the network.
    pub address: Option<IpAddr>,
}

impl fmt::Display for Party {
    /// Its device, or that nobody vouched for it, and behind that title and address, if they are known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.device.as_deref().unwrap_or("unknown"))?;
        match (&self.title, &self.address) {
            (Some(title), Some(address)) => write!(f, " ({title} at {address})"),
            (Some(title), None) => write!(f, " ({title})"),
            (None, Some(address)) => write!(f, " (at {address})"),
            (None, None) => Ok(()),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// This guard began its work.
    Started,
    /// This guard ended its work.
    Stopped,
    /// An association was opened; the text has the operations and marks.
    Opened(String),
    /// An association ended; the text says how.
    Ended(String),
    /// Instances of one study begin to be transferred.
    Transferring(Study),
    /// Instances of one study were transferred.
    Transferred(Study),
    /// A query for a SOP class.
    Queried(Option<Uid>),
    /// A request was refused, a node not authenticated or a session cut: the stable code and what it means.
    Alert {
        /// The stable code.
        code: &'static str,
        /// What happened, for people.
        text: String,
    },
    /// Audit messages were lost: so many, because the named place was full.
    Lost(u64, &'static str),
}

/// An event for the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: Time,
    /// Of which association.
    pub correlation: Option<Correlation>,
    /// Who asked or sent.
    pub source: Party,
    /// Who was asked or received.
    pub destination: Party,
    /// What.
    pub happening: Happening,
    /// Marks of the verdicts that allowed it: expired, status old, and so on.
    pub marks: Vec<&'static str>,
}

/// What is transferred of one study of one patient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Study {
    /// The patient, as the images say it.
    pub patient: Option<PatientId>,
    /// The study.
    pub study: Option<Uid>,
    /// How many instances of each SOP class; the last one counts all further classes together.
    pub classes: Vec<(Option<Uid>, u64)>,
    /// The first instances, at most [`MAX_NAMED_INSTANCES`].
    pub instances: Vec<Uid>,
    /// Stores that were answered with a failure.
    pub failures: u64,
}

impl Study {
    /// The study an instance belongs to, with nothing counted yet.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        Self { patient: instance.patient, study: instance.study, ..Self::default() }
    }

    /// Whether an instance belongs to this study.
    #[must_use]
    pub fn has(&self, instance: &Instance) -> bool {
        self.study == instance.study && self.patient == instance.patient
    }

    /// Counts an instance.
    pub fn count(&mut self, instance: &Instance) {
        let full = self.classes.len() == MAX_CLASSES;
        match self.classes.iter_mut().find(|(class, _)| *class == instance.sop_class) {
            Some((_, count)) => *count += 1,
            None if full => {
                if let Some((class, count)) = self.classes.last_mut() {
                    *class = None;
                    *count += 1;
                }
            }
            None => self.classes.push((instance.sop_class, 1)),
        }
        if let Some(uid) = instance.sop_instance
            && self.instances.len() < MAX_NAMED_INSTANCES
        {
            self.instances.push(uid);
        }
    }

    /// How many instances there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.classes.iter().map(|(_, count)| count).sum()
    }
}

/// Who writes the messages.
#[derive(Clone, Debug)]
pub struct AuditSource {
    /// The site's name.
    pub site: String,
    /// The name of the device this guard stands beside.
    pub device: String,
    /// The process.
    pub process: u32,
}

/// A coded value: code, coding scheme and meaning.
type Code = (&'static str, &'static str, &'static str);

impl Event {
    /// The message.
    #[must_use]
    pub fn to_xml(&self, source: &AuditSource) -> String {
        let mut xml = Writer::new(Vec::with_capacity(2048));
        // Writing to memory cannot fail.
        let _ = self.write(&mut xml, source);
        String::from_utf8(xml.into_inner()).unwrap_or_default()
    }

    fn write(&self, xml: &mut Out, source: &AuditSource) -> std::io::Result<()> {
        open(xml, "AuditMessage", &[])?;
        self.write_event(xml)?;
        match &self.happening {
            Happening::Started | Happening::Stopped | Happening::Lost(..) => {
                write_process(xml, source)?;
            }
            Happening::Alert { .. } => {
                write_process(xml, source)?;
                write_party(xml, &self.source, true, None)?;
                write_party(xml, &self.destination, false, None)?;
            }
            Happening::Opened(_)
            | Happening::Ended(_)
            | Happening::Transferring(_)
            | Happening::Transferred(_)
            | Happening::Queried(_) => {
                write_party(xml, &self.source, true, Some(("110153", "DCM", "Source Role ID")))?;
                write_party(xml, &self.destination, false, Some(("110152", "DCM", "Destination Role ID")))?;
                write_process(xml, source)?;
            }
        }
        open(
            xml,
            "AuditSourceIdentification",
            &[("AuditEnterpriseSiteID", &source.site), ("AuditSourceID", &source.device)],
        )?;
        // Audit source type 4: application server process (PS3.15 A.5.2.3).
        open(xml, "AuditSourceTypeCode", &[("csd-code", "4")])?;
        close(xml, "AuditSourceTypeCode")?;
        close(xml, "AuditSourceIdentification")?;
        self.write_objects(xml)?;
        close(xml, "AuditMessage")
    }

    fn write_event(&self, xml: &mut Out) -> std::io::Result<()> {
        let (id, kind, action): (Code, Option<Code>, &str) = match &self.happening {
            Happening::Started => (ACTIVITY, Some(("110120", "DCM", "Application Start")), "E"),
            Happening::Stopped => (ACTIVITY, Some(("110121", "DCM", "Application Stop")), "E"),
            Happening::Opened(_) => (ASSOCIATION, Some(("opened", "99MEDLOCK", "Association Opened")), "E"),
            Happening::Ended(_) => (ASSOCIATION, Some(("ended", "99MEDLOCK", "Association Ended")), "E"),
            Happening::Transferring(_) => (("110102", "DCM", "Begin Transferring DICOM Instances"), None, "E"),
            Happening::Transferred(_) => (("110104", "DCM", "DICOM Instances Transferred"), None, "C"),
            Happening::Queried(_) => (("110112", "DCM", "Query"), None, "E"),
            Happening::Alert { .. } => (ALERT, Some(("110126", "DCM", "Node Authentication")), "E"),
            Happening::Lost(..) => (ALERT, Some(("110133", "DCM", "Audit Recording Stopped")), "E"),
        };
        let outcome = match &self.happening {
            Happening::Alert { .. } | Happening::Lost(..) => "8",
            Happening::Transferred(study) if study.failures > 0 => "4",
            _ => "0",
        };
        let time = self.time.to_string();
        let attributes = [("EventActionCode", action), ("EventDateTime", &time), ("EventOutcomeIndicator", outcome)];
        open(xml, "EventIdentification", &attributes)?;
        coded(xml, "EventID", id)?;
        if let Some(kind) = kind {
            coded(xml, "EventTypeCode", kind)?;
        }
        text(xml, "EventOutcomeDescription", &self.description())?;
        close(xml, "EventIdentification")
    }

    /// `correlation=… code=… marks=…`, then words.
    fn description(&self) -> String {
        use fmt::Write as _;
        let mut line = String::new();
        let (code, words) = match &self.happening {
            Happening::Started => (None, "started".to_owned()),
            Happening::Stopped => (None, "stopped".to_owned()),
            Happening::Opened(words) | Happening::Ended(words) => (None, words.clone()),
            Happening::Transferring(_) => (None, "first instance of the study".to_owned()),
            Happening::Transferred(study) => {
                (None, format!("{} instances, {} answered with a failure", study.total(), study.failures))
            }
            Happening::Queried(_) => (None, "query".to_owned()),
            Happening::Alert { code, text } => (Some(*code), text.clone()),
            Happening::Lost(count, place) => (Some("audit-lost"), format!("{count} messages lost: {place} was full")),
        };
        // Writing to a string cannot fail.
        if let Some(correlation) = self.correlation {
            let _ = write!(line, "correlation={correlation} ");
        }
        if let Some(code) = code {
            let _ = write!(line, "code={code} ");
        }
        if !self.marks.is_empty() {
            let _ = write!(line, "marks={} ", self.marks.join(","));
        }
        line + &words
    }

    fn write_objects(&self, xml: &mut Out) -> std::io::Result<()> {
        match &self.happening {
            Happening::Transferring(study) => write_study(xml, study, false),
            Happening::Transferred(study) => write_study(xml, study, true),
            Happening::Queried(class) => {
                let class = class.as_ref().map_or(UNKNOWN, Uid::as_str);
                // System object, role: report query (PS3.15 A.5.3.10).
                let attributes = [
                    ("ParticipantObjectID", class),
                    ("ParticipantObjectTypeCode", "2"),
                    ("ParticipantObjectTypeCodeRole", "3"),
                ];
                open(xml, "ParticipantObjectIdentification", &attributes)?;
                coded(xml, "ParticipantObjectIDTypeCode", ("110181", "DCM", "SOP Class UID"))?;
                text(xml, "ParticipantObjectName", "query")?;
                close(xml, "ParticipantObjectIdentification")
            }
            Happening::Alert { .. } => {
                let node =
                    self.source.device.clone().or_else(|| self.source.address.map(|address| address.to_string()));
                let node = node.as_deref().unwrap_or(UNKNOWN);
                let attributes = [("ParticipantObjectID", node), ("ParticipantObjectTypeCode", "2")];
                open(xml, "ParticipantObjectIdentification", &attributes)?;
                coded(xml, "ParticipantObjectIDTypeCode", ("110182", "DCM", "Node ID"))?;
                text(xml, "ParticipantObjectName", node)?;
                close(xml, "ParticipantObjectIdentification")
            }
            Happening::Started
            | Happening::Stopped
            | Happening::Opened(_)
            | Happening::Ended(_)
            | Happening::Lost(..) => Ok(()),
        }
    }
}

const ACTIVITY: Code = ("110100", "DCM", "Application Activity");
const ALERT: Code = ("110113", "DCM", "Security Alert");
const ASSOCIATION: Code = ("association", "99MEDLOCK", "DICOM Association");

type Out = Writer<Vec<u8>>;

/// This guard itself.
fn write_process(xml: &mut Out, source: &AuditSource) -> std::io::Result<()> {
    let process = source.process.to_string();
    let user = format!("medlock guard of {}", source.device);
    let attributes = [("UserID", user.as_str()), ("AlternativeUserID", &process), ("UserIsRequestor", "false")];
    open(xml, "ActiveParticipant", &attributes)?;
    coded(xml, "RoleIDCode", ("110150", "DCM", "Application"))?;
    close(xml, "ActiveParticipant")
}

fn write_party(xml: &mut Out, party: &Party, is_requestor: bool, role: Option<Code>) -> std::io::Result<()> {
    let address = party.address.map(|address| address.to_canonical().to_string());
    let user = party.device.as_deref().or(address.as_deref()).unwrap_or(UNKNOWN);
    let titles = party.title.map(|title| format!("AETITLES={title}"));
    let mut attributes = vec![("UserID", user)];
    if let Some(titles) = &titles {
        attributes.push(("AlternativeUserID", titles));
    }
    attributes.push(("UserIsRequestor", if is_requestor { "true" } else { "false" }));
    if let Some(address) = &address {
        // Network access point type 2: IP address.
        attributes.extend([("NetworkAccessPointID", address.as_str()), ("NetworkAccessPointTypeCode", "2")]);
    }
    open(xml, "ActiveParticipant", &attributes)?;
    if let Some(role) = role {
        coded(xml, "RoleIDCode", role)?;
    }
    close(xml, "ActiveParticipant")
}

/// The study (system object, role report) and its patient (person, role patient): PS3.15 A.5.3.3 and A.5.3.7.
fn write_study(xml: &mut Out, study: &Study, with_instances: bool) -> std::io::Result<()> {
    let id = study.study.as_ref().map_or(UNKNOWN, Uid::as_str);
    let attributes =
        [("ParticipantObjectID", id), ("ParticipantObjectTypeCode", "2"), ("ParticipantObjectTypeCodeRole", "3")];
    open(xml, "ParticipantObjectIdentification", &attributes)?;
    coded(xml, "ParticipantObjectIDTypeCode", ("110180", "DCM", "Study Instance UID"))?;
    text(xml, "ParticipantObjectName", id)?;
    for (index, (class, count)) in study.classes.iter().enumerate() {
        let count = count.to_string();
        let mut attributes = vec![("NumberOfInstances", count.as_str())];
        if let Some(class) = class {
            attributes.insert(0, ("UID", class.as_str()));
        }
        open(xml, "SOPClass", &attributes)?;
        if index == 0 && with_instances {
            for instance in &study.instances {
                open(xml, "Instance", &[("UID", instance.as_str())])?;
                close(xml, "Instance")?;
            }
        }
        close(xml, "SOPClass")?;
    }
    close(xml, "ParticipantObjectIdentification")?;
    let patient = study.patient.filter(|patient| !patient.is_empty()).map(|patient| patient.to_string());
    let patient = patient.as_deref().unwrap_or(UNKNOWN);
    let attributes =
        [("ParticipantObjectID", patient), ("ParticipantObjectTypeCode", "1"), ("ParticipantObjectTypeCodeRole", "1")];
    open(xml, "ParticipantObjectIdentification", &attributes)?;
    coded(xml, "ParticipantObjectIDTypeCode", ("2", "RFC-3881", "Patient Number"))?;
    text(xml, "ParticipantObjectName", patient)?;
    close(xml, "ParticipantObjectIdentification")
}

fn coded(xml: &mut Out, name: &str, (code, system, meaning): Code) -> std::io::Result<()> {
    open(xml, name, &[("csd-code", code), ("codeSystemName", system), ("originalText", meaning)])?;
    close(xml, name)
}

fn open(xml: &mut Out, name: &str, attributes: &[(&str, &str)]) -> std::io::Result<()> {
    let clean: Vec<(&str, String)> = attributes.iter().map(|(key, value)| (*key, cleaned(value))).collect();
    let mut start = BytesStart::new(name);
    for (key, value) in &clean {
        start.push_attribute((*key, value.as_str()));
    }
    xml.write_event(Xml::Start(start))
}

fn close(xml: &mut Out, name: &str) -> std::io::Result<()> {
    xml.write_event(Xml::End(BytesEnd::new(name)))
}

fn text(xml: &mut Out, name: &str, content: &str) -> std::io::Result<()> {
    open(xml, name, &[])?;
    xml.write_event(Xml::Text(BytesText::new(&cleaned(content))))?;
    close(xml, name)
}

/// Text without what XML 1.0 forbids and without line ends, which would let a machine's text pretend to be a message.
fn cleaned(content: &str) -> String {
    let visible =
        |char: char| if char.is_control() || matches!(char, '\u{fffe}' | '\u{ffff}') { '\u{fffd}' } else { char };
    content.chars().take(MAX_TEXT).map(visible).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use quick_xml::Reader;

    pub(crate) fn source() -> AuditSource {
        AuditSource { site: "St <Elsewhere> & \"Sons\"".to_owned(), device: "pacs-1".to_owned(), process: 4711 }
    }

    fn instance(number: usize) -> Instance {
        Instance {
            sop_class: Uid::from_field(b"1.2.840.10008.5.1.4.1.1.2"),
            sop_instance: Uid::from_field(format!("1.2.3.{number}").as_bytes()),
            patient: Some(crate::dicom::text::patient_id(b"P<17>\n")),
            study: Uid::from_field(b"1.2.9"),
            ..Instance::default()
        }
    }

    pub(crate) fn event(happening: Happening) -> Event {
        let party = |device: &str, title: &[u8]| Party {
            device: Some(device.to_owned()),
            title: AeTitle::from_field(title),
            address: Some([10, 0, 0, 7].into()),
        };
        Event {
            time: Time::from_unix(1_800_000_000),
            correlation: Some(Correlation::from_random([0xab; 8])),
            source: party("ct-1", b"CT1"),
            destination: party("pacs-1", b"PACS"),
            happening,
            marks: vec!["expired"],
        }
    }

    /// The names of all elements with their depth, in order; fails if it is no well-formed XML.
    fn elements(xml: &str) -> Vec<(usize, String)> {
        let mut reader = Reader::from_str(xml);
        reader.config_mut().check_end_names = true;
        let (mut depth, mut all) = (0, Vec::new());
        loop {
            match reader.read_event().unwrap() {
                Xml::Start(start) => {
                    for attribute in start.attributes() {
                        attribute.unwrap();
                    }
                    all.push((depth, start.name().as_ref().to_owned()));
                    depth += 1;
                }
                Xml::End(_) => depth -= 1,
                Xml::Eof => break,
                _ => {}
            }
        }
        assert_eq!(depth, 0);
        all
    }

    fn study(count: usize) -> Study {
        let mut study = Study::of(&instance(0));
        (0..count).for_each(|number| study.count(&instance(number)));
        study
    }

    /// Shows REQ-CLI-39.
    #[test]
    fn a_party_is_told_in_words() {
        let (device, title) = (Some("ct-1".to_owned()), AeTitle::from_field(b"CT1"));
        let address = "10.0.0.7".parse().ok();
        let all = Party { device, title, address };
        assert_eq!(all.to_string(), "ct-1 (CT1 at 10.0.0.7)");
        assert_eq!(Party { address: None, ..all.clone() }.to_string(), "ct-1 (CT1)");
        assert_eq!(Party { title: None, ..all }.to_string(), "ct-1 (at 10.0.0.7)");
        assert_eq!(Party::default().to_string(), "unknown");
    }

    /// Shows REQ-GUARD-14: each message has the parts the standard asks for, in the order of its schema.
    #[test]
    fn messages_have_the_structure_of_the_standard() {
        let all = [
            Happening::Started,
            Happening::Stopped,
            Happening::Opened("store".to_owned()),
            Happening::Ended("released".to_owned()),
            Happening::Transferring(study(0)),
            Happening::Transferred(study(3)),
            Happening::Queried(None),
            Happening::Alert { code: "dicom-calling-ae-not-bound", text: "x".to_owned() },
            Happening::Lost(3, "the queue"),
        ];
        for happening in all {
            let objects = match &happening {
                Happening::Transferring(_) | Happening::Transferred(_) => 2,
                Happening::Queried(_) | Happening::Alert { .. } => 1,
                _ => 0,
            };
            let xml = event(happening.clone()).to_xml(&source());
            assert!(!xml.contains('\n'), "{xml}");
            let elements = elements(&xml);
            assert_eq!(elements[0], (0, "AuditMessage".to_owned()));
            let top: Vec<&str> = elements.iter().filter(|(depth, _)| *depth == 1).map(|(_, name)| &name[..]).collect();
            let count = |name: &str| top.iter().filter(|other| **other == name).count();
            assert_eq!(count("EventIdentification"), 1);
            assert!(count("ActiveParticipant") >= 1);
            assert_eq!(count("AuditSourceIdentification"), 1);
            assert_eq!(count("ParticipantObjectIdentification"), objects, "{happening:?}");
            let order = ["EventIdentification", "ActiveParticipant", "AuditSourceIdentification"];
            let places: Vec<usize> =
                top.iter().map(|name| order.iter().position(|other| other == name).unwrap_or(order.len())).collect();
            assert!(places.is_sorted(), "{top:?}");
        }
    }

    #[test]
    fn a_transfer_names_patient_study_classes_and_marks() {
        let xml = event(Happening::Transferred(study(3))).to_xml(&source());
        for part in [
            r#"<EventID csd-code="110104" codeSystemName="DCM" originalText="DICOM Instances Transferred">"#,
            r#"EventActionCode="C" EventDateTime="2027-01-15T08:00:00Z" EventOutcomeIndicator="0""#,
            r#"<SOPClass UID="1.2.840.10008.5.1.4.1.1.2" NumberOfInstances="3"><Instance UID="1.2.3.0">"#,
            r#"ParticipantObjectID="1.2.9" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="3""#,
            r#"ParticipantObjectID="P&lt;17&gt;"#,
            r#"AlternativeUserID="AETITLES=CT1" UserIsRequestor="true" NetworkAccessPointID="10.0.0.7""#,
            "correlation=abababababababab marks=expired 3 instances",
            r#"AuditEnterpriseSiteID="St &lt;Elsewhere&gt; &amp; &quot;Sons&quot;""#,
        ] {
            assert!(xml.contains(part), "{part} is not in {xml}");
        }
    }

    #[test]
    fn the_largest_message_fits_the_smallest_receiver() {
        let mut large = Study::of(&instance(0));
        let long = |number: usize| Uid::from_field(format!("{number:0>64}").as_bytes());
        for number in 0..10_000 {
            large.count(&Instance { sop_class: long(number), sop_instance: long(number), ..instance(0) });
        }
        assert_eq!((large.classes.len(), large.total()), (MAX_CLASSES, 10_000));
        let xml = event(Happening::Transferred(large)).to_xml(&source());
        assert!(xml.len() < 32_000, "{}", xml.len());
    }
}
