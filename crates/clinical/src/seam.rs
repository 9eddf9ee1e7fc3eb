//! What others give: the wiring implements it. And [`Intake`], by which guards and gateways of the same process hand over what
//! devices say; the clinical face implements it.

use crate::outcome::Issues;
use medlock_node::provider::WebAlgorithm;
pub use medlock_proto::record::{Delivered, Delivery, Incarnation, Numbered, Refusal, Sort};
use medlock_trust::{CredentialId, DeviceName, Identified, Operation, Permit, Role, Roles, Time};

/// Why somebody else could not say something now.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NeedError(pub String);

/// A device of the site's register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredDevice {
    /// Its name.
    pub name: DeviceName,
    /// What it is for.
    pub roles: Roles,
}

impl RegisteredDevice {
    /// Whether it works for others: by the register, and by the credential that it shows.
    pub(crate) fn is_gateway(&self, who: &Identified) -> bool {
        self.roles.contains(Role::Gateway) && who.roles().contains(Role::Gateway)
    }
}

/// The register of the site. All block.
pub trait Devices: Send + Sync {
    /// The device with this name.
    ///
    /// # Errors
    /// [`NeedError`].
    fn device(&self, name: &DeviceName) -> Result<Option<RegisteredDevice>, NeedError>;

    /// Whether `new` was issued as a renewal of `old`, or of one that was, over a bounded number of steps.
    ///
    /// # Errors
    /// [`NeedError`].
    fn follows(&self, old: CredentialId, new: CredentialId) -> Result<bool, NeedError>;

    /// The proof that a credential is in its authority's log (C2SP tlog-proof); `None` while no checkpoint covers it, or of
    /// another authority.
    ///
    /// # Errors
    /// [`NeedError`].
    fn log_proof(&self, credential: CredentialId) -> Result<Option<Vec<u8>>, NeedError>;

    /// Whether a hub of the site has left it: it is not in the register, or it or this credential of it is revoked.
    ///
    /// # Errors
    /// [`NeedError`].
    fn has_left(&self, hub: &DeviceName, credential: CredentialId) -> Result<bool, NeedError>;

    /// The certificates of the keys that issue and have issued (DER): small devices show their own alone.
    fn issuing_certificates(&self) -> Vec<Vec<u8>>;
}

/// Where those who run the site are told that something is wrong. All block.
pub trait Alarms: Send + Sync {
    /// Raises an alarm; of a kind there is one at a time, which counts up.
    ///
    /// # Errors
    /// [`NeedError`].
    fn raise(&self, kind: &'static str, text: String) -> Result<(), NeedError>;
}

/// The keys that sign ID tokens and notices to subscribers: a signer process has them. All block.
pub trait WebKeys: Send + Sync {
    /// Which hub has them, with its credential of today; `None` while it has none.
    fn hub(&self) -> Option<(DeviceName, CredentialId)>;

    /// The public half (`SubjectPublicKeyInfo`, DER) of the key for this algorithm, which is made at first use.
    ///
    /// # Errors
    /// [`NeedError`].
    fn public_key(&self, algorithm: WebAlgorithm) -> Result<Vec<u8>, NeedError>;

    /// Signs an ID token, given as its signing input (RFC 7515), or a notice, given as its signature base (RFC 9421).
    ///
    /// # Errors
    /// [`NeedError`].
    fn sign(&self, algorithm: WebAlgorithm, signing_input: &str) -> Result<Vec<u8>, NeedError>;
}

/// Who hands something over, what the judge said of it, and when.
#[derive(Debug)]
pub struct Handed<'a> {
    /// The device that says it.
    pub who: &'a Identified,
    /// What it showed: its own certificate first, DER or C509.
    pub chain: &'a [&'a [u8]],
    /// The right to say it: `report` for readings and deliveries, `store` for images.
    pub permit: Permit,
    /// When it came.
    pub at: Time,
}

/// Images of one study that were stored; nothing of what is on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStudy {
    /// Study Instance UID (0020,000D).
    pub uid: String,
    /// Patient ID (0010,0020).
    pub patient: String,
    /// Issuer of Patient ID (0010,0021), if the images say it.
    pub issuer: Option<String>,
    /// When the first of them was stored, if who tells of them says it.
    pub at: Option<Time>,
    /// Study Date and Time (0008,0020), (0008,0030) as FHIR writes a `dateTime`.
    pub started: Option<String>,
    /// Its series.
    pub series: Vec<StoredSeries>,
}

/// Images of one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSeries {
    /// Series Instance UID (0020,000E).
    pub uid: String,
    /// Modality (0008,0060), a code of DICOM; `OT` if the images do not say it.
    pub modality: String,
    /// SOP Class UID (0008,0016) and SOP Instance UID (0008,0018) of each.
    pub instances: Vec<(String, String)>,
}

/// What became of one thing that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was kept.
    New,
    /// It was here already.
    Known,
    /// A delivery for which no patient can be named: it is kept until a person says whose it is.
    Waits,
    /// It is not kept, and never will be, or, of a delivery for which nobody has made room, not now: this says why. The others of its call are.
    Refused(Refusal),
}

/// Why nothing was kept of what was handed over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotKept {
    /// The permit is another device's, or for something else.
    #[error("the permit is no {operation} of the device that hands over: ask the judge for one")]
    Permit {
        /// What is needed.
        operation: Operation,
    },
    /// More at once than is taken.
    #[error("{count} are too many at once: hand over {most} at most")]
    TooMany {
        /// So many came.
        count: usize,
        /// So many are taken.
        most: usize,
    },
    /// Images are of a patient, and nobody knows of whom.
    #[error(
        "nobody here, or more than one, has the Patient ID {0:?} of the images: say in the Patient which it has, and hand them over again"
    )]
    NoPatient(String),
    /// Images say that they are of another patient than their study.
    #[error(
        "the images have the Patient ID {patient:?}, and their study {uid} is another patient's: see which of the two is wrong"
    )]
    OtherPatient {
        /// The Study Instance UID.
        uid: String,
        /// The images' Patient ID.
        patient: String,
    },
    /// Images have a Patient ID of another site.
    #[error(
        "the images say that {0:?} gave their Patient ID: if that is this site, name it in clinical.patient_issuers"
    )]
    OtherIssuer(String),
    /// Images could not be kept for so long that they never will be.
    #[error(
        "it is longer ago than clinical.images_days that the images of study {uid} were stored, and they could not be kept ({why}): they are not told again"
    )]
    TooLate {
        /// The Study Instance UID.
        uid: String,
        /// The code of what was in the way to the end.
        why: &'static str,
    },
    /// What they need does not become a resource.
    #[error("number {number} does not become a resource: {text}", text = issues.first_text())]
    Unfit {
        /// Which of them, from 0.
        number: usize,
        /// What is wrong.
        issues: Issues,
    },
    /// Others change the same all the time, or what it needs to know is not noted yet.
    #[error("others change it all the time, or what Patients had and lost is still being noted: hand it over again")]
    Busy,
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] medlock_store::Error),
}

impl NotKept {
    /// The stable code (docs/codes.md).
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Permit { .. } => "intake-permit",
            Self::TooMany { .. } => "intake-too-many",
            Self::NoPatient(_) => "intake-no-patient",
            Self::OtherPatient { .. } => "intake-other-patient",
            Self::OtherIssuer(_) => "intake-other-issuer",
            Self::TooLate { .. } => crate::intake::TOO_LATE,
            Self::Unfit { .. } => "intake-unfit",
            Self::Busy => crate::intake::BUSY,
            Self::Store(_) => "intake-store",
        }
    }
}

/// Takes what devices say, from guards and gateways of the same process. The same thing handed over twice is kept once; another
/// one under its number is refused, and holds up no others. All block; what a call says of each is durable, and a call that fails
/// is made again.
pub trait Intake: Send + Sync {
    /// Takes readings, as Observations; what became of each. `incarnation`: of which life of the device their numbers are.
    ///
    /// # Errors
    /// [`NotKept`].
    fn readings(&self, from: Handed<'_>, incarnation: Incarnation, readings: &[Numbered])
    -> Result<Vec<Kept>, NotKept>;

    /// Takes what a pump delivered, as MedicationAdministrations; what became of each. One for which no patient can be named
    /// waits here until a person says whose it is, while there is room.
    ///
    /// # Errors
    /// [`NotKept`].
    fn deliveries(
        &self,
        from: Handed<'_>,
        incarnation: Incarnation,
        deliveries: &[Delivery],
    ) -> Result<Vec<Kept>, NotKept>;

    /// Takes word of images that were stored, as an ImagingStudy; what was said before of the same study stays.
    ///
    /// # Errors
    /// [`NotKept`]; [`NotKept::NoPatient`] while no Patient has the images' Patient ID; [`NotKept::OtherPatient`] if the study is
    /// another one's; [`NotKept::TooLate`] if nothing of this was mended in time: they are never kept.
    fn images(&self, from: Handed<'_>, study: &StoredStudy) -> Result<Kept, NotKept>;
}
