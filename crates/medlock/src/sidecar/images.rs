//! The images that the machine has sent, told to a hub that keeps records: gathered by study, kept in the sidecar's folder until the
//! hub has them.
//!
//! The guard never waits for this. What was stored within a second goes to the disk together; a loss of power takes no more. The hub is told
//! of a study when nothing has come of it for a moment, or much, or for long: each report is another version of the ImagingStudy.

mod telling;
mod waiting;

use crate::Failure;
use medlock_clinical::intake::{MOST_IMAGES, SeriesReport, StudyReport};
use medlock_guard::dicom::images::Images;
use medlock_guard::dicom::tap::Instance;
use medlock_guard::dicom::text::Uid;
use medlock_node::clock::Clock;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(super) use telling::tell;
pub(super) use waiting::Waiting;

/// Images that wait for the writer: this is for a disk that stalls.
const UNWRITTEN: usize = 4_096;
/// How long images are gathered before they go to the disk.
const GATHERED: Duration = Duration::from_secs(1);
/// How long nothing more has come of a study, or at most something, when the hub is told of it.
const QUIET: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(60);
/// The most bytes of reports that wait for the hub.
const MOST_BYTES: u64 = 64 << 20;

/// Takes images from the guard.
#[derive(Debug)]
pub(super) struct Gathering {
    images: Mutex<Option<SyncSender<Instance>>>,
    lost: Arc<AtomicU64>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Gathering {
    /// Begins; what waits in `directory` from before goes on waiting.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub(super) fn start(directory: &Path) -> Result<(Arc<Self>, Arc<Waiting>), Failure> {
        let waiting = Arc::new(Waiting::open(directory, MOST_BYTES)?);
        let (sender, receiver) = mpsc::sync_channel(UNWRITTEN);
        let lost = Arc::new(AtomicU64::new(0));
        let writer = std::thread::Builder::new().name("images".to_owned()).spawn({
            let (waiting, lost) = (Arc::clone(&waiting), Arc::clone(&lost));
            move || write(&receiver, &waiting, &lost)
        })?;
        let gathering = Self { images: Mutex::new(Some(sender)), lost, writer: Mutex::new(Some(writer)) };
        Ok((Arc::new(gathering), waiting))
    }

    /// Writes what was gathered, and ends. Blocks until the disk has it.
    pub(super) fn close(&self) {
        self.images.lock().unwrap_or_else(PoisonError::into_inner).take();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the writer of images ended badly");
        }
    }
}

impl Images for Gathering {
    fn stored(&self, instance: Instance) {
        let images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        if images.as_ref().is_none_or(|images| images.try_send(instance).is_err()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(images: &Receiver<Instance>, waiting: &Waiting, lost: &AtomicU64) {
    let (mut gathered, mut next) = (Gathered::default(), Instant::now());
    loop {
        let image = if gathered.is_empty() {
            next = Instant::now() + GATHERED;
            images.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            images.recv_timeout(next.saturating_duration_since(Instant::now()))
        };
        let ends = matches!(image, Err(RecvTimeoutError::Disconnected));
        if let Ok(image) = image {
            gathered.add(&image, waiting);
        }
        if ends || Instant::now() >= next {
            gathered.keep(waiting, ends);
            next = Instant::now() + GATHERED;
            let lost = lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                tracing::error!(
                    lost,
                    "images were sent faster than the disk takes word of them: the hub is not told of these"
                );
            }
        }
        if ends {
            return;
        }
    }
}

/// What was stored of late, by study, Patient ID and who gave that: a study whose images name two patients is told as two.
#[derive(Debug, Default)]
struct Gathered {
    growing: BTreeMap<(String, String, Option<String>), Growing>,
    /// Images that do not say whose they are, or of which study.
    nameless: u64,
}

/// A report that grows.
#[derive(Debug)]
struct Growing {
    report: StudyReport,
    /// Where it waits, if the disk has it.
    number: Option<u64>,
    /// Whether the disk has all of it.
    kept: bool,
    began: Instant,
    last: Instant,
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.growing.is_empty() && self.nameless == 0
    }

    fn add(&mut self, image: &Instance, waiting: &Waiting) {
        let text = |uid: Option<Uid>| uid.map(|uid| uid.as_str().to_owned());
        let patient = image.patient.filter(|patient| !patient.is_empty()).map(|patient| patient.to_string());
        let named = (text(image.study), text(image.series), text(image.sop_class), text(image.sop_instance), patient);
        let (Some(study), Some(series), Some(class), Some(instance), Some(patient)) = named else {
            self.nameless += 1;
            return;
        };
        let now = Instant::now();
        let issuer = image.issuer.map(|issuer| issuer.to_string());
        let key = (study.clone(), patient.clone(), issuer.clone());
        let growing = self.growing.entry(key.clone()).or_insert_with(|| {
            let [date, time, zone] = image.began.map(|text| text.map(|text| text.to_string()));
            let at = Some(Clock::system().now().unix());
            let report = StudyReport { study, patient, issuer, at, date, time, zone, series: Vec::new() };
            Growing { report, number: None, kept: false, began: now, last: now }
        });
        (growing.kept, growing.last) = (false, now);
        let all = &mut growing.report.series;
        let place = all.iter().position(|one| one.uid == series).unwrap_or_else(|| {
            let modality = image.modality.map(|code| code.to_string());
            all.push(SeriesReport { uid: series, modality, instances: Vec::new() });
            all.len() - 1
        });
        let image = (class, instance);
        // The same image twice in a row is one; the hub knows the others.
        if all[place].instances.last() != Some(&image) {
            all[place].instances.push(image);
        }
        if all.iter().map(|one| one.instances.len()).sum::<usize>() >= MOST_IMAGES
            && let Some(mut full) = self.growing.remove(&key)
        {
            full.keep(waiting);
            full.release(waiting);
        }
    }

    /// Has the disk keep all, and the hub be told of what grows no more: of all, if it `ends`.
    fn keep(&mut self, waiting: &Waiting, ends: bool) {
        let nameless = std::mem::take(&mut self.nameless);
        if nameless > 0 {
            tracing::warn!(
                nameless,
                "images do not say whose they are, or of which study: the hub is not told of them"
            );
        }
        self.growing.retain(|_, growing| {
            growing.keep(waiting);
            let whole = ends || growing.last.elapsed() >= QUIET || growing.began.elapsed() >= LONGEST;
            if whole {
                growing.release(waiting);
            }
            !whole
        });
    }
}

impl Growing {
    fn keep(&mut self, waiting: &Waiting) {
        if self.kept {
            return;
        }
        match waiting.keep(self.number, &self.report.to_json()) {
            Ok(number) => (self.number, self.kept) = (Some(number), true),
            Err(error) => {
                let study = &self.report.study;
                tracing::error!(%error, study, "the disk does not take word of images: the hub is not told of them");
            }
        }
    }

    fn release(&self, waiting: &Waiting) {
        if let Some(number) = self.number {
            waiting.release(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(study: &str, number: usize) -> Instance {
        let uid = |text: &str| Uid::from_field(text.as_bytes());
        Instance {
            sop_class: uid("1.2.840.10008.5.1.4.1.1.2"),
            sop_instance: uid(&format!("1.{number}")),
            study: uid(study),
            series: uid("1.5"),
            patient: Some(medlock_guard::dicom::text::patient_id(b"P17")),
            ..Instance::default()
        }
    }

    /// Shows REQ-INTAKE-45: what was stored is on the disk by study, within the bound of a report, when it ends.
    #[test]
    fn images_are_gathered_by_study() {
        let folder = tempfile::tempdir().expect("a folder");
        let (gathering, waiting) = Gathering::start(folder.path()).expect("started");
        for number in 0..=MOST_IMAGES {
            // As full as the channel may be: the writer takes them.
            while gathering.images.lock().expect("open").as_ref().expect("open").try_send(image("1.2", number)).is_err()
            {
            }
        }
        gathering.stored(image("1.3", 1));
        gathering.stored(image("1.3", 1));
        gathering.stored(Instance { patient: None, ..image("1.4", 1) });
        gathering.close();
        gathering.stored(image("1.5", 1));
        let reports = waiting::tests::all(&waiting).into_iter().map(|report| {
            let report = StudyReport::read(&report).expect("as the hub takes it");
            (report.study.clone(), report.series[0].instances.len())
        });
        let wanted = [("1.2", MOST_IMAGES), ("1.2", 1), ("1.3", 1)].map(|(study, count)| (study.to_owned(), count));
        assert_eq!(reports.collect::<Vec<_>>(), wanted);
    }
}
