//! The machines of the ward as child processes, and what they say.

use crate::supervise::{self, Process};
use crate::{Failure, Outcome, output};
use clap::{Args, Subcommand};
use medlock_guard::dicom::elements::{Elements, Encoding};
use medlock_guard::dicom::text::{self, Uid};
use medlock_trust::KeyId;
use medlock_ward::ct::{self, CtOptions, Sent};
use medlock_ward::diabetes::machine;
use medlock_ward::object::{Object, Series};
use medlock_ward::pacs::{self, Event, PacsOptions};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinHandle;

/// The patient of made images. Nobody of this name exists.
const PATIENT: (&str, &str) = ("WARD-0001", "PHANTOM^DISC");
/// Patients of the user's images that are written into the records, at most.
const MOST_PATIENTS: usize = 100;
/// How many small objects keep an association going for a while.
const HOLDING: usize = 60_000;

/// `medlock ward …`: the demonstration's machines.
#[derive(Debug, Subcommand)]
pub(crate) enum WardCommand {
    /// A modality that sends and ends.
    Ct(CtArgs),
    /// An archive that stores until its standard input ends.
    Pacs(PacsArgs),
    /// A machine of the diabetes ward, until its standard input ends. Not for therapy.
    Device(DeviceArgs),
}

/// `medlock ward device`.
#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    #[arg(long)]
    kind: super::diabetes::Kind,
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    speed: u32,
    #[arg(long = "member")]
    members: Vec<String>,
    #[arg(long)]
    threshold: u8,
    #[arg(long)]
    replay: Option<PathBuf>,
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    with_parent: bool,
}

/// `medlock ward ct`.
#[derive(Debug, Args)]
pub(crate) struct CtArgs {
    #[arg(long)]
    calling: String,
    #[arg(long)]
    called: String,
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    images: Option<PathBuf>,
    #[arg(long, default_value_t = 3)]
    make: u16,
    #[arg(long)]
    hold: bool,
    #[arg(long)]
    with_parent: bool,
}

/// `medlock ward pacs`.
#[derive(Debug, Args)]
pub(crate) struct PacsArgs {
    #[arg(long)]
    title: String,
    #[arg(long)]
    with_parent: bool,
}

/// What a CT says at its end.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct CtResult {
    /// What became of each image.
    pub(crate) sent: Vec<Sent>,
    /// Why it could not send, in DICOM's words.
    pub(crate) error: Option<String>,
}

/// Runs a machine.
///
/// # Errors
/// When its files or ports cannot be used.
pub(crate) fn run(command: WardCommand) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = match command {
        WardCommand::Ct(args) => runtime.block_on(run_ct(args)),
        WardCommand::Pacs(args) => runtime.block_on(run_pacs(args)),
        WardCommand::Device(args) => run_device(&args),
    };
    runtime.shutdown_background();
    result.map(|()| Outcome::Done)
}

fn run_device(args: &DeviceArgs) -> Result<(), Failure> {
    let member = |text: &String| {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(KeyId::from_bytes).ok_or_else(|| format!("{text:?} is no key identifier"))
    };
    let options = machine::Options {
        kind: args.kind.machine(),
        folder: args.folder.clone(),
        speed: args.speed,
        members: args.members.iter().map(member).collect::<Result<_, _>>()?,
        threshold: args.threshold,
        replay: args.replay.clone(),
        seed: args.seed,
    };
    Ok(machine::run(&options)?)
}

async fn run_ct(args: CtArgs) -> Result<(), Failure> {
    let objects = if args.hold {
        let small = Object { data_set: vec![0; 256], ..Series::new(PATIENT.0, PATIENT.1).image(1)? };
        vec![small; HOLDING]
    } else {
        images(args.images.as_deref(), args.make)?
    };
    let options = CtOptions { calling: args.calling, called: args.called, address: args.address, nodelay: true };
    let sending = ct::run(&options, &objects);
    let result = tokio::select! {
        result = sending => result,
        _ = supervise::asked_to_stop_or_gone(args.with_parent) => return Ok(()),
    };
    let result = match result {
        Ok(sent) => CtResult { sent, error: None },
        Err(error) => CtResult { sent: Vec::new(), error: Some(error.to_string()) },
    };
    Ok(output::json(&result)?)
}

async fn run_pacs(args: PacsArgs) -> Result<(), Failure> {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let options = PacsOptions { title: args.title, listen, directory: None, nodelay: true };
    let stop = async {
        // A failure to watch signals is an end too.
        let _ = supervise::asked_to_stop_or_gone(args.with_parent).await;
    };
    let report = |event: Event| {
        // Whoever started us has gone; we end soon.
        let _ = output::json(&event);
    };
    Ok(pacs::run(options, stop, report).await?)
}

/// The user's images, or `make` made ones.
///
/// # Errors
/// When a folder cannot be read or has none.
pub(crate) fn images(folder: Option<&Path>, make: u16) -> Result<Vec<Object>, Failure> {
    match folder {
        Some(folder) => {
            let objects = Object::from_directory(folder)?.objects;
            if objects.is_empty() {
                return Err(format!("{} has no DICOM file that can be sent", folder.display()).into());
            }
            Ok(objects.into_iter().map(|(_, object)| object).collect())
        }
        None => {
            let series = Series::new(PATIENT.0, PATIENT.1);
            Ok((1..=make).map(|number| series.image(number)).collect::<Result<_, _>>()?)
        }
    }
}

/// Patients of the images, by Patient ID, with the name that the records give them: those whom the user's own images name, a
/// hundred at most, or the one of the made images; nobody whom they name but by no Patient ID.
///
/// # Errors
/// As [`images`].
pub(crate) fn patients(folder: Option<&Path>) -> Result<Vec<(String, String)>, Failure> {
    let known = |(id, name): (&str, &str)| (id.to_owned(), name.split('^').next().unwrap_or_default().to_owned());
    if folder.is_none() {
        return Ok(vec![known(PATIENT)]);
    }
    let ids: BTreeSet<String> = images(folder, 1)?.iter().filter_map(patient_id).take(MOST_PATIENTS).collect();
    // Their names are not read: what the ward's people call them is not in the images alone.
    let own: Vec<_> = ids.into_iter().map(|id| (id.clone(), id)).collect();
    Ok(if own.is_empty() { vec![known(PATIENT)] } else { own })
}

/// The Patient ID of an image, as the sidecar reads it.
fn patient_id(object: &Object) -> Option<String> {
    const PATIENT_ID: u32 = 0x0010_0020;
    let encoding = Encoding::of(&Uid::from_field(object.transfer_syntax.as_bytes())?);
    let (mut elements, mut found) = (Elements::new(encoding, PATIENT_ID), None);
    elements.feed(&object.data_set, |tag| tag == PATIENT_ID, &mut |_, value| found = Some(text::patient_id(value)));
    found.filter(|id| !id.is_empty()).map(|id| id.to_string())
}

/// What nobody on the wire may be able to read.
pub(crate) fn secrets() -> Vec<Vec<u8>> {
    [PATIENT.0, PATIENT.1, "PACS1"].map(|text| text.as_bytes().to_vec()).to_vec()
}

/// The CT: a process for each time it sends.
#[derive(Clone, Debug)]
pub(crate) struct Ct {
    /// Where its sidecar takes plain DICOM.
    pub(crate) address: SocketAddr,
    /// The user's images.
    pub(crate) images: Option<PathBuf>,
}

impl Ct {
    /// Starts a process that sends; with `hold`, small objects for many seconds in one association.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(&self, hold: bool) -> Result<Process, Failure> {
        let mut command = supervise::command(["ward", "ct", "--calling", "CT1", "--called", "PACS1", "--address"])?;
        command.arg(self.address.to_string());
        if let Some(folder) = &self.images {
            command.arg("--images").arg(folder);
        }
        if hold {
            command.arg("--hold");
        }
        Process::start("the CT", command)
    }

    /// Sends all images; what became of them.
    ///
    /// # Errors
    /// When the process fails.
    pub(crate) async fn send(&self) -> Result<CtResult, Failure> {
        Ok(serde_json::from_str(&self.start(false)?.line().await?)?)
    }
}

/// The PACS: one process that runs.
#[derive(Debug)]
pub(crate) struct Pacs {
    /// Where it takes plain DICOM.
    pub(crate) address: SocketAddr,
    stored: Arc<Mutex<Stored>>,
    reader: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Stored {
    count: usize,
    by_digest: HashMap<String, usize>,
}

impl Pacs {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let mut process = Process::start("the PACS", supervise::command(["ward", "pacs", "--title", "PACS1"])?)?;
        let address = match serde_json::from_str(&process.line().await?)? {
            Event::Listening { address } => address,
            other => return Err(format!("the PACS said {other:?} before it listened").into()),
        };
        let stored = Arc::new(Mutex::new(Stored::default()));
        let reader = tokio::spawn({
            let stored = Arc::clone(&stored);
            async move {
                while let Ok(line) = process.line().await {
                    if let Ok(Event::Stored { sha256, .. }) = serde_json::from_str(&line) {
                        let mut stored = stored.lock().unwrap_or_else(PoisonError::into_inner);
                        stored.count += 1;
                        *stored.by_digest.entry(sha256).or_default() += 1;
                    }
                }
            }
        });
        Ok(Self { address, stored, reader })
    }

    /// How many objects it has stored.
    pub(crate) fn count(&self) -> usize {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// How many of `sent` it has with exactly the bytes that were sent, each counted once.
    pub(crate) fn identical(&self, sent: &[Sent]) -> usize {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = stored.by_digest.clone();
        sent.iter()
            .filter(|one| match left.get_mut(&one.sha256) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    true
                }
                Some(_) | None => false,
            })
            .count()
    }
}

impl Drop for Pacs {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
