//! Issuing through the library: from the template to the certificate that is released.

use super::{Bulk, IssueArgs};
use crate::Failure;
use crate::bench::rate::{Rate, took};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use medlock_authority::issue::{self, Form, Issuer, Template, issue};
use medlock_authority::log::Sequencer;
use medlock_authority::provision::{BirthProfileConfig, MAX_ROWS, Row, RowOutcome};
use medlock_authority::registry::{Device, DeviceConfig};
use medlock_authority::signer::{InProcess, KeyLabel, Signer};
use medlock_authority::store::{Purpose, Server, SqlStore, Store};
use medlock_authority::{Authority, AuthorityConfig};
use medlock_node::clock::Clock;
use medlock_node::provider::{SigningAlgorithm, SigningKey};
use medlock_trust::Time;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// A name of an authority: `CN=CA`.
pub(super) const NAME: [u8; 15] = [0x30, 13, 0x31, 11, 0x30, 9, 0x06, 3, 0x55, 4, 3, 0x0c, 2, b'C', b'A'];
/// Batches at once, as `medlock device provision` keeps them.
const IN_FLIGHT: u16 = 2;

/// Store, signer and log, as an authority has them.
pub(super) struct Line {
    pub(super) store: Arc<dyn Store>,
    signer: Arc<dyn Signer>,
    pub(super) log: Sequencer,
    room: issue::Room,
    issuer: Vec<u8>,
    device: Device,
    key: SigningKey,
}

impl Line {
    pub(super) fn sqlite(folder: &Path) -> Result<Self, Failure> {
        std::fs::create_dir(folder)?;
        Self::new(Arc::new(SqlStore::sqlite(&folder.join("authority.sqlite"))?), folder)
    }

    pub(super) fn postgres(url: &str, folder: &Path) -> Result<Self, Failure> {
        std::fs::create_dir(folder)?;
        let schema = format!("medlock_bench_{}", std::process::id());
        Self::new(Arc::new(SqlStore::postgres(Server::new(url, &schema, None, None)?)?), folder)
    }

    fn new(store: Arc<dyn Store>, folder: &Path) -> Result<Self, Failure> {
        let signer: Arc<dyn Signer> = Arc::new(InProcess::open(&folder.join("keys"))?);
        let log = Sequencer::open(store.clone(), signer.clone(), None)?;
        let issuer = signer.generate(KeyLabel::ISSUING, SigningAlgorithm::P256)?;
        let config = DeviceConfig { name: "ct-1".into(), roles: vec!["modality".into()], ..DeviceConfig::default() };
        let (device, key) = (Device::try_from(config)?, SigningKey::generate());
        Ok(Self { store, signer, log, room: issue::Room::default(), issuer, device, key })
    }

    fn one(&self) -> Result<(), Failure> {
        let now = Time::from_unix(1_800_000_000);
        let template = Template {
            form: Form::X509,
            purpose: Purpose::Operational,
            organization: "Sankt Anna",
            device: Some(&self.device),
            authority: None,
            maker_serial: None,
            spki: self.key.spki(),
            parent: None,
            not_before: now,
            not_after: now.plus_seconds(86_400),
            addresses: None,
            masa: None,
        };
        let algorithm = SigningAlgorithm::P256;
        let issuer = Issuer { name: &NAME, spki: &self.issuer, key: KeyLabel::ISSUING, algorithm };
        let line = issue::Line { store: &*self.store, signer: &*self.signer, log: &self.log, room: &self.room };
        issue(&template, &issuer, now, &line)?;
        Ok(())
    }

    /// Certificates a second, by many askers.
    pub(super) fn rate(&self, args: &IssueArgs, target: u32) -> Result<Rate, Failure> {
        let mut rounds = Vec::new();
        for _ in 0..args.rounds {
            rounds.push(took(|| at_once(args.askers, args.certificates, |_| self.one()))?.1);
        }
        Ok(Rate::new(args.certificates, rounds, Some(target)))
    }
}

/// Does `act` for each number below `count`, with so many threads.
pub(super) fn at_once(
    threads: u16,
    count: u32,
    act: impl Fn(u32) -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    let next = AtomicU32::new(0);
    let work = || -> Result<(), String> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            act(number).map_err(|error| error.to_string())?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            thread.join().map_err(|_| "an asker has panicked")??;
        }
        Ok(())
    })
}

/// Birth credentials for devices whose keys their chips made.
pub(super) fn bulk(devices: u32, folder: &Path) -> Result<Bulk, Failure> {
    std::fs::create_dir(folder)?;
    let signer = Arc::new(InProcess::open(&folder.join("keys"))?);
    let maker = Authority::open(&AuthorityConfig::maker(folder, "Bench Maker"), Clock::system(), signer)?;
    // What the chips did: not part of what is measured.
    let rows: Vec<Row> = (0..devices)
        .map(|number| {
            let material = BASE64.encode(SigningKey::generate().spki());
            Row { serial: Some(format!("SN-{number:07}")), material, device_type: None, named_by: None }
        })
        .collect();
    let profile = || BirthProfileConfig { roles: vec!["actuator".into()], ..BirthProfileConfig::default() };
    let batches: Vec<&[Row]> = rows.chunks(MAX_ROWS).collect();
    let issued = AtomicUsize::new(0);
    let ((), took) = took(|| {
        at_once(IN_FLIGHT, u32::try_from(batches.len())?, |number| {
            let batch = batches.get(number as usize).copied().unwrap_or_default();
            let outcomes = maker.provision(profile(), batch)?;
            let new = outcomes.iter().filter(|outcome| matches!(outcome, RowOutcome::Issued(_))).count();
            issued.fetch_add(new, Ordering::Relaxed);
            Ok(())
        })
    })?;
    let issued = issued.into_inner();
    if issued != rows.len() {
        return Err(format!("only {issued} of {devices} devices were provisioned").into());
    }
    Ok(Bulk {
        devices,
        seconds: took.seconds,
        target_seconds: 30.0,
        processor_microseconds: took.processor_microseconds(devices),
    })
}
