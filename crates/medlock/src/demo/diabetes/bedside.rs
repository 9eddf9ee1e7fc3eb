//! A machine at a bed as a process of its own: what is done to it, and what is seen of it.

use super::carrier;
use super::site::{Kind, Site, THRESHOLD, folder_of};
use crate::Failure;
use crate::supervise::{self, Process};
use medlock_proto::coap::Code;
use medlock_ward::diabetes::machine::words::{Do, Said};
use medlock_ward::diabetes::pump::{Because, Event};
use medlock_ward::diabetes::units::Insulin;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many times faster than real ones the machines' ticks go.
pub(crate) const SPEED: u32 = 20;
/// How long anything may take before it counts as failed, in real time.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a session that should not come about is waited for, in real time.
const REFUSAL: Duration = Duration::from_secs(3);

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Its name at the site.
    pub(crate) name: String,
    /// Where it takes datagrams.
    pub(crate) address: SocketAddr,
    /// Which device it is at the site, in hexadecimal.
    pub(crate) device: String,
    /// All it has said since it was switched on.
    pub(crate) said: Vec<Said>,
    /// How it behaves.
    kind: Kind,
    members: Vec<String>,
    folder: PathBuf,
    replay: Option<PathBuf>,
    process: Process,
}

impl Machine {
    /// Builds a machine at its maker's, and switches it on. It knows no site yet.
    ///
    /// # Errors
    /// When it cannot be built or started.
    pub(crate) async fn build(
        site: &Site,
        folder: &Path,
        kind: Kind,
        name: &str,
        replay: Option<&Path>,
    ) -> Result<Self, Failure> {
        Self::build_as(site, folder, (kind, kind), name, replay).await
    }

    /// The same for a machine that behaves as another kind than its maker says.
    ///
    /// # Errors
    /// As [`Machine::build`].
    pub(crate) async fn build_as(
        site: &Site,
        folder: &Path,
        (vouched, kind): (Kind, Kind),
        name: &str,
        replay: Option<&Path>,
    ) -> Result<Self, Failure> {
        let folder = folder_of(folder, name);
        std::fs::create_dir_all(&folder)?;
        site.build(vouched, name, &folder)?;
        let members = site.members.iter().map(ToString::to_string).collect::<Vec<_>>();
        let replay = replay.map(Path::to_owned);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let process = start(kind, name, &folder, &members, replay.as_deref())?;
        let name = name.to_owned();
        let (device, said) = (String::new(), Vec::new());
        let mut machine = Self { name, address, device, said, kind, members, folder, replay, process };
        machine.until_listening().await?;
        Ok(machine)
    }

    /// Tells it whose it is and what time it is, as whoever installs it does; the rest it fetches from the hub behind `hub`.
    ///
    /// # Errors
    /// When it does not believe what it gets there.
    pub(crate) async fn introduce(&mut self, site: &Site, hub: SocketAddr) -> Result<(), Failure> {
        self.act(Do::PinSite { root: site.root() }).await?;
        self.fetch(hub).await?;
        self.set_time(site).await
    }

    /// Lets it fetch what the hub behind `hub` has signed since.
    ///
    /// # Errors
    /// When it cannot, or does not believe it.
    pub(crate) async fn fetch(&mut self, hub: SocketAddr) -> Result<usize, Failure> {
        let from = self.said.len();
        self.act(Do::Fetch { hub }).await?;
        let outcome = self.until(from, |said| match said {
            Said::Fetched { objects } => Some(Ok(*objects)),
            Said::NotFetched { why } => Some(Err(why.clone())),
            _ => None,
        });
        outcome.await?.map_err(|why| format!("{} does not get what the hub signed: {why}", self.name).into())
    }

    /// Lets it go to the hub behind `hub` for a credential: the first one, or a renewed one.
    ///
    /// # Errors
    /// When the hub refuses, or what it gives is not taken.
    pub(crate) async fn enrol(&mut self, hub: SocketAddr) -> Result<(), Failure> {
        let from = self.said.len();
        self.act(Do::Enrol { hub }).await?;
        let outcome = self.until(from, |said| match said {
            Said::Enrolled { device } => Some(Ok(device.clone())),
            Said::NotEnrolled { why } => Some(Err(why.clone())),
            _ => None,
        });
        self.device = outcome.await?.map_err(|why| format!("{} has no credential: {why}", self.name))?;
        Ok(())
    }

    /// Lets it report to the hub behind `hub` what it measured and delivered; how much that was.
    ///
    /// # Errors
    /// When the hub does not take it.
    pub(crate) async fn report(&mut self, hub: SocketAddr) -> Result<usize, Failure> {
        let from = self.said.len();
        self.act(Do::Report { hub }).await?;
        let outcome = self.until(from, |said| match said {
            Said::Reported { records } => Some(Ok(*records)),
            Said::NotReported { why } => Some(Err(why.clone())),
            _ => None,
        });
        outcome.await?.map_err(|why| format!("what {} reports is not taken: {why}", self.name).into())
    }

    /// Sets its clock by that of the site.
    ///
    /// # Errors
    /// When it refuses.
    pub(crate) async fn set_time(&mut self, site: &Site) -> Result<(), Failure> {
        let now = site.clock.now().unix();
        self.act(Do::SetTime { earliest: now, latest: now + 1 }).await.map(drop)
    }

    /// Brings it a trust object, over CoAP and without a session; it may have it already.
    ///
    /// # Errors
    /// When it does not believe it.
    pub(crate) async fn bring(&mut self, object: &[u8]) -> Result<(), Failure> {
        match carrier::deliver(object, self.address).await? {
            Code::CHANGED | Code::CONFLICT => Ok(()),
            other => Err(format!("{} does not take what was brought: {other}", self.name).into()),
        }
    }

    /// Bonds it with another machine, for a patient; the epoch of the bond.
    ///
    /// # Errors
    /// When it refuses.
    pub(crate) async fn bond(&mut self, other: &str, patient: &str, operations: &[&str]) -> Result<u64, Failure> {
        let operations = operations.iter().map(|name| (*name).to_owned()).collect();
        let epoch = self.act(Do::Bond { device: other.to_owned(), patient: patient.to_owned(), operations }).await?;
        Ok(epoch.parse()?)
    }

    /// Lets it call the machine behind `to`, and waits until the session stands; the peer it found.
    ///
    /// # Errors
    /// When no session comes about.
    pub(crate) async fn connect(&mut self, to: SocketAddr) -> Result<String, Failure> {
        let from = self.said.len();
        self.act(Do::Connect { to }).await?;
        let outcome = self.until(from, |said| match said {
            Said::Connected { device } => Some(Ok(device.clone())),
            Said::NotConnected { why } => Some(Err(why.clone())),
            _ => None,
        });
        outcome.await?.map_err(|why| format!("{} has no session: {why}", self.name).into())
    }

    /// Lets it call the machine behind `to`, which is expected to refuse; in what words, or that it got no session for a
    /// while: a refusal that is lost on the way is not repeated.
    ///
    /// # Errors
    /// When there is a session.
    pub(crate) async fn fail_to_connect(&mut self, to: SocketAddr) -> Result<String, Failure> {
        match tokio::time::timeout(REFUSAL, self.connect(to)).await {
            Ok(Ok(_)) => Err(format!("{} has a session", self.name).into()),
            Ok(Err(refused)) => Ok(refused.to_string()),
            Err(_) => Ok(format!("{} gets no session", self.name)),
        }
    }

    /// Does something to it; the note of its answer.
    ///
    /// # Errors
    /// When it is not done.
    pub(crate) async fn act(&mut self, what: Do) -> Result<String, Failure> {
        let from = self.said.len();
        self.process.give(&serde_json::to_string(&what)?).await?;
        let done = self.until(from, |said| match said {
            Said::Done { note } => Some(Ok(note.clone())),
            Said::NotDone { why } => Some(Err(why.clone())),
            _ => None,
        });
        done.await?.map_err(|why| format!("{}: {why}", self.name).into())
    }

    /// Waits until it says what is wanted, from its `from`th word on.
    ///
    /// # Errors
    /// When it takes too long or the machine has ended.
    pub(crate) async fn until<T>(&mut self, from: usize, wanted: impl Fn(&Said) -> Option<T>) -> Result<T, Failure> {
        self.until_all(from, |said| said.iter().find_map(&wanted)).await
    }

    /// Waits until what it said, from its `from`th word on, is as wanted.
    ///
    /// # Errors
    /// When it takes too long or the machine has ended.
    pub(crate) async fn until_all<T>(
        &mut self,
        from: usize,
        wanted: impl Fn(&[Said]) -> Option<T>,
    ) -> Result<T, Failure> {
        let waiting = async {
            loop {
                if let Some(found) = wanted(self.said.get(from..).unwrap_or_default()) {
                    return Ok(found);
                }
                let line = self.process.line().await?;
                self.said.push(serde_json::from_str(&line)?);
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => {
                let last = self.said.iter().rev().take(4).rev().collect::<Vec<_>>();
                Err(format!(
                    "{} said nothing of the kind for {} s; its last words: {last:?}",
                    self.name,
                    PATIENCE.as_secs()
                )
                .into())
            }
        }
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// When the machine has ended.
    pub(crate) async fn pass(&mut self, seconds: u64) -> Result<(), Failure> {
        self.act(Do::Pass { millis: seconds * 1000 }).await.map(drop)
    }

    /// Cuts its power.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub(crate) async fn cut_power(&mut self) -> Result<(), Failure> {
        self.process.kill().await?;
        // What it had said before is still on its way.
        while let Ok(line) = self.process.line().await {
            self.said.push(serde_json::from_str(&line)?);
        }
        Ok(())
    }

    /// Switches it on again after its power was cut, behind another port: a link has to be led to it.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) async fn power_on(&mut self) -> Result<(), Failure> {
        self.process = start(self.kind, &self.name, &self.folder, &self.members, self.replay.as_deref())?;
        self.until_listening().await
    }

    /// What a pump delivered since its `from`th word, for this reason.
    pub(crate) fn delivered(&self, from: usize, why: Because) -> Insulin {
        let said = self.said.get(from..).unwrap_or_default();
        said.iter()
            .filter_map(|said| match said {
                Said::Pump { event: Event::Delivered(delivery) } if delivery.because == why => Some(delivery.amount),
                _ => None,
            })
            .sum()
    }

    async fn until_listening(&mut self) -> Result<(), Failure> {
        let from = self.said.len();
        let listening = self.until(from, |said| match said {
            Said::Listening { address, device, .. } => Some((*address, device.clone())),
            _ => None,
        });
        (self.address, self.device) = listening.await?;
        Ok(())
    }
}

fn start(kind: Kind, name: &str, folder: &Path, members: &[String], replay: Option<&Path>) -> Result<Process, Failure> {
    let mut command = supervise::command(["ward", "device", "--kind", kind.name(), "--folder"])?;
    command.arg(folder).args(["--speed", &SPEED.to_string(), "--threshold", &THRESHOLD.to_string(), "--seed", "7"]);
    for member in members {
        command.args(["--member", member]);
    }
    if let Some(replay) = replay {
        command.arg("--replay").arg(replay);
    }
    Process::start(name, command)
}
