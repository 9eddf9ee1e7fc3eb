//! The story of the diabetes ward, step by step. What is said to have happened was seen at the machines: the pump's pulses,
//! the controller's receipts, the marks beside readings.

mod carriers;
mod power;
mod report;
mod sensors;
mod strangers;
mod theft;
mod therapy;
mod time;

use super::bedside::Machine;
use super::carrier;
use super::link::Link;
use super::site::{Kind, Site};
use crate::Failure;
use crate::demo::device::Device;
use crate::demo::report::Teller;
use medlock_trust::role::Role;
use medlock_trust::status::StatusList;
use medlock_ward::diabetes::machine::words::{Command, Do, PumpState, Said};
use medlock_ward::diabetes::patient::Patient;
use medlock_ward::diabetes::pump::Because;
use medlock_ward::diabetes::units::{Insulin, Rate};
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;

/// How long most credentials live, in seconds.
const YEAR: u64 = 365 * 86_400;
/// The controller's credential, and that of a spare sensor, are seen expiring.
const SHORT_LIFE: u64 = 2 * 86_400;
/// How long a sensor has lain in a drawer, in seconds: its credential expired longer ago than the 90 days of grace.
const DRAWER: i64 = 100 * 86_400;
/// The patients of bed 7 and bed 6: numbers that say nothing about them.
const PATIENT: &str = "07070707070707070707070707070707";
const OTHER_PATIENT: &str = "06060606060606060606060606060606";
/// Decides who the virtual patient is.
const SEED: u64 = 7;

/// What a step ends with: what was seen.
type Seen = Result<((), String), Failure>;

/// The machines of bed 7, of which the story tells, and the links between them.
pub(crate) struct Ward {
    site: Site,
    sensor: Machine,
    spare: Machine,
    /// A sensor that lies in a drawer, switched off.
    drawer: Machine,
    controller: Machine,
    pump: Machine,
    /// The pump of bed 6, and its controller.
    other_pump: Machine,
    other_controller: Machine,
    /// A machine that behaves as a controller and was built as a sensor.
    impostor: Machine,
    /// A controller that never enrolled.
    newborn: Machine,
    /// What the site signed for bed 6: the bond of its controller at its pump, and the epoch of it.
    bond: (u64, Vec<u8>),
    /// The newest status that everybody has.
    status: Vec<u8>,
    to_hub: Link,
    to_sensor: Link,
    to_spare: Link,
    to_pump: Link,
    to_other_pump: Link,
    patient: Patient,
    /// The software that has to do with the records.
    gateway: Device,
    /// The patient of bed 7 in the records.
    admitted: String,
    /// How much insulin the patient has got so far.
    got: Insulin,
    started: Instant,
    passed_seconds: u64,
    minute: u64,
    /// Where all of it is kept; removed at the end.
    _folder: TempDir,
}

/// What came of a command, as the controller knows it.
#[derive(Debug)]
struct Reply {
    counter: u64,
    outcome: String,
    why: Option<String>,
    mark: Option<String>,
    amount: Insulin,
}

/// Tells the story; without a ward there is none.
pub(crate) async fn tell(teller: &mut Teller, replay: Option<&Path>) {
    teller.say(
        "\nThe diabetes ward: a sensor, a controller and a pump of three makers. Demonstration machines, not for therapy.\n",
    );
    let set = Ward::set(replay);
    let ward =
        teller.step("diabetes-enrolled", "three makers' devices enrol at the ward's hub and are bonded", set).await;
    let Some(mut ward) = ward else { return };
    let ward = &mut ward;
    let step = "the hub is switched off; sensor, controller and pump find out who they are";
    teller.step("makers-authenticated-hub-off", step, ward.authenticate()).await;
    teller.step("loop-closed", "the controller doses by the sensor's readings", ward.close_the_loop()).await;
    teller.step("bond-missing-refused", "bed 6's controller commands bed 7's pump", ward.without_a_bond()).await;
    let step = "somebody brings bed 6's pump a bond that the site signed";
    teller.step("bond-signed-by-site", step, ward.bonded_by_the_site()).await;
    let step = "a machine with a sensor's certificate commands a pump";
    teller.step("sensor-as-controller-refused", step, ward.as_a_sensor()).await;
    teller.step("birth-credential-refused", "a controller that never enrolled commands a pump", ward.by_birth()).await;
    teller.step("command-replayed", "somebody sends a command that was carried out once more", ward.replayed()).await;
    teller.step("command-delayed", "somebody holds a command back for three minutes", ward.delayed()).await;
    teller.step("command-reordered", "somebody lets a halt overtake a bolus", ward.reordered()).await;
    teller.step("command-altered", "somebody changes a command, byte by byte", ward.altered()).await;
    teller.step("command-readdressed", "somebody brings a command to another pump", ward.readdressed()).await;
    teller.step("power-cut-uncertain", "the pump's power is cut in the middle of a bolus", ward.cut_power()).await;
    teller.step("clock-lost", "the pump does not know what time it is", ward.lose_the_clock()).await;
    let step = "no news for a day while a temporary basal runs";
    teller.step("status-stale-basal-ends", step, ward.grow_stale()).await;
    teller.step("attended-bolus-once", "a person holds the pump's button", ward.attend()).await;
    let step = "the hub is on again, and the controller's certificate has expired";
    teller.step("controller-expired-marked", step, ward.expire()).await;
    let step = "the controller renews at the hub with the expired certificate";
    teller.step("controller-renewed", step, ward.renew()).await;
    let step = "sensor and pump report what they measured and delivered while the hub was off";
    teller.step("records-caught-up", step, ward.catch_up()).await;
    teller.step("sensor-expired", "a sensor's certificate has expired", ward.expired_sensor()).await;
    let step = "a sensor whose certificate expired 98 days ago comes out of a drawer";
    teller.step("sensor-beyond-grace", step, ward.sensor_from_the_drawer()).await;
    teller.step("sensor-suspended", "the sensor is suspended", ward.suspended_sensor()).await;
    teller.step("sensor-stolen", "a sensor is stolen", ward.stolen_sensor()).await;
    let step = "the controller is stolen; the sensor brings the news to the pump";
    teller.step("controller-stolen-news-by-sensor", step, ward.stolen_controller()).await;
    teller.step("lossy-links", "the links lost, doubled and reordered all the while", async { ward.links() }).await;
    if let Err(error) = ward.site.switch_off().await {
        tracing::warn!(%error, "the ward's hub did not end as it should");
    }
}

impl Ward {
    async fn set(replay: Option<&Path>) -> Result<(Self, String), Failure> {
        let folder = tempfile::Builder::new().prefix("medlock-diabetes-").tempdir()?;
        let mut site = Site::make(folder.path(), DRAWER).await?;
        let to_hub = Link::start(site.address, 6).await?;
        let drawer = into_the_drawer(&site, folder.path(), &to_hub).await?;
        site.begin_after(DRAWER).await?;
        let gateway = Device::enrol(site.hub()?, &site.clock, "gateway7", Role::Gateway).await?;
        let admitted = gateway.open(site.hub()?).await?.admit("Bed Seven", &["cgm7", "cgm8", "pump7"]).await?;
        let started = Instant::now();
        let build = async |kinds, name, life: Option<u64>, replay| {
            let mut machine = Machine::build_as(&site, folder.path(), kinds, name, replay).await?;
            machine.introduce(&site, to_hub.address).await?;
            if let Some(life) = life {
                let (vouched, _) = kinds;
                site.register(vouched, name, life).await?;
                machine.enrol(to_hub.address).await?;
            }
            Ok::<_, Failure>(machine)
        };
        let [a_sensor, a_controller, a_pump] = [Kind::Sensor, Kind::Controller, Kind::Pump].map(|kind| (kind, kind));
        let (sensor, spare, mut controller, mut pump) = tokio::try_join!(
            build(a_sensor, "cgm7", Some(YEAR), replay),
            build(a_sensor, "cgm8", Some(SHORT_LIFE), replay),
            build(a_controller, "controller7", Some(SHORT_LIFE), None),
            build(a_pump, "pump7", Some(YEAR), None),
        )?;
        let (other_pump, other_controller, impostor, newborn) = tokio::try_join!(
            build(a_pump, "pump6", Some(YEAR), None),
            build(a_controller, "controller6", Some(YEAR), None),
            build((Kind::Sensor, Kind::Controller), "cgm6", Some(YEAR), None),
            build(a_controller, "controller9", None, None),
        )?;
        controller.bond(&sensor.device, PATIENT, &["report", "inform"]).await?;
        controller.bond(&spare.device, PATIENT, &["report", "inform"]).await?;
        let (_, bond) = site.bond("controller7", "cgm9", PATIENT, &["report", "inform"]).await?;
        controller.bring(&bond).await?;
        let epoch = pump.bond(&controller.device, PATIENT, &["treat", "halt"]).await?;
        controller.act(Do::Pump { device: pump.device.clone(), epoch }).await?;
        let bond = site.bond("pump6", "controller6", OTHER_PATIENT, &["treat", "halt"]).await?;
        let status = carrier::status(site.address).await?;
        let ward = Self {
            to_sensor: Link::start(sensor.address, 1).await?,
            to_spare: Link::start(spare.address, 2).await?,
            to_pump: Link::start(pump.address, 3).await?,
            to_other_pump: Link::start(other_pump.address, 4).await?,
            patient: Patient::new(SEED),
            gateway,
            admitted,
            got: Insulin::NONE,
            passed_seconds: 0,
            minute: 0,
            site,
            sensor,
            spare,
            drawer,
            controller,
            pump,
            other_pump,
            other_controller,
            impostor,
            newborn,
            bond,
            status,
            to_hub,
            started,
            _folder: folder,
        };
        let seen = "each fetched what the hub signed and asked for its credential itself, over CoAP, EDHOC and OSCORE; buttons made the bonds";
        Ok((ward, seen.to_owned()))
    }

    /// Commands, and waits for the receipt.
    async fn command(&mut self, command: Command) -> Result<Reply, Failure> {
        command_by(&mut self.controller, command).await
    }

    /// Seals a command without sending it: its number and bytes.
    async fn hold(&mut self, command: Command) -> Result<(u64, Vec<u8>), Failure> {
        let from = self.controller.said.len();
        self.controller.act(Do::Command { command, hold: true }).await?;
        self.controller.until_all(from, carrier::sealed).await
    }

    /// Waits until the controller knows what came of a command for good.
    async fn outcome(&mut self, counter: u64, from: usize) -> Result<Reply, Failure> {
        let last = |said: &Said| match reply(said) {
            Some(Ok(reply)) if reply.counter == counter && reply.outcome != "started" => Some(reply),
            _ => None,
        };
        self.controller.until(from, last).await
    }

    /// Lets the controller ask what came of the command it does not know of; it may ask by itself before.
    async fn ask_outcome(&mut self, counter: u64) -> Result<Reply, Failure> {
        let from = self.controller.said.len();
        if let Err(why) = self.controller.act(Do::AskReceipt).await {
            let known = |said: &Said| matches!(reply(said), Some(Ok(reply)) if reply.counter == counter);
            if !self.controller.said.iter().any(known) {
                return Err(why);
            }
            return self.outcome(counter, 0).await;
        }
        self.outcome(counter, from).await
    }

    /// A bolus, delivered to its end; what came of it.
    async fn bolus(&mut self, milliunits: u32) -> Result<Reply, Failure> {
        let from = self.controller.said.len();
        let reply = self.command(bolus(milliunits)).await?;
        if reply.outcome != "started" {
            return Ok(reply);
        }
        self.pass(180).await?;
        self.outcome(reply.counter, from).await
    }

    /// Lets time pass for everybody but the hub.
    async fn pass(&mut self, seconds: u64) -> Result<(), Failure> {
        for machine in [&mut self.pump, &mut self.sensor, &mut self.spare, &mut self.controller, &mut self.other_pump] {
            machine.pass(seconds).await?;
        }
        self.passed_seconds += seconds;
        Ok(())
    }

    /// Moves the hub's clock to where the machines' ticks are.
    fn synchronize(&self) {
        let fast = self.started.elapsed().as_secs() * u64::from(super::bedside::SPEED);
        let seconds = i64::try_from(self.passed_seconds + fast).unwrap_or(i64::MAX);
        let behind = self.site.began.plus_seconds(seconds).seconds_since(self.site.clock.now());
        self.site.clock.advance(behind.max(0));
    }

    /// The hub is on again: it does what is due, everybody fetches its news and gets the time.
    async fn meet_the_hub(&mut self) -> Result<(), Failure> {
        self.synchronize();
        self.site.switch_on().await?;
        self.to_hub.lead_to(self.site.address);
        self.site.tick().await?;
        self.status = carrier::status(self.site.address).await?;
        for machine in [&mut self.pump, &mut self.sensor, &mut self.spare, &mut self.controller, &mut self.other_pump] {
            machine.set_time(&self.site).await?;
            machine.fetch(self.to_hub.address).await?;
        }
        Ok(())
    }

    /// For how many seconds the news that everybody has will count: a day in a hospital.
    fn news_count_for(&self) -> Result<u64, Failure> {
        self.synchronize();
        let issued = StatusList::danger_open(&self.status).map_err(|why| why.to_string())?.heading().issued;
        let left = issued.plus_seconds(86_400).seconds_since(self.site.clock.now());
        Ok(u64::try_from(left)?)
    }

    /// How the pump is.
    async fn look(&mut self) -> Result<PumpState, Failure> {
        Ok(serde_json::from_str(&self.pump.act(Do::Look).await?)?)
    }

    /// What the pump has ever delivered as boluses.
    async fn boluses(&mut self) -> Result<Insulin, Failure> {
        self.look().await?;
        Ok(self.pump.delivered(0, Because::Bolus))
    }

    /// How far the pump has come: the number of its words, and what it delivered as boluses.
    async fn so_far(&mut self) -> Result<(usize, Insulin), Failure> {
        let boluses = self.boluses().await?;
        Ok((self.pump.said.len(), boluses))
    }

    /// Makes sure that the pump began nothing since its `from`th word and that no bolus was delivered beside `before`.
    async fn nothing_was_done(&mut self, from: usize, before: Insulin) -> Result<(), Failure> {
        let after = self.boluses().await?;
        if carrier::began(&self.pump, from) > 0 {
            return Err("the pump began to carry it out".into());
        }
        if after != before {
            return Err(format!("the pump delivered {}", after.less(before)).into());
        }
        Ok(())
    }

    fn links(&self) -> Seen {
        let mut total = [0; 4];
        for link in [&self.to_hub, &self.to_sensor, &self.to_spare, &self.to_pump, &self.to_other_pump] {
            total.iter_mut().zip(link.seen.counts()).for_each(|(sum, one)| *sum += one);
        }
        let [passed, lost, twice, late] = total;
        if lost * 10 < passed || twice == 0 || late == 0 {
            return Err(
                format!("they were too good: {passed} passed, {lost} lost, {twice} doubled, {late} late").into()
            );
        }
        Ok(((), format!("{passed} datagrams passed, {lost} lost, {twice} doubled, {late} late")))
    }
}

/// A sensor enrols and is switched off, long before the story begins.
async fn into_the_drawer(site: &Site, folder: &Path, to_hub: &Link) -> Result<Machine, Failure> {
    let mut sensor = Machine::build(site, folder, Kind::Sensor, "cgm9", None).await?;
    sensor.introduce(site, to_hub.address).await?;
    site.register(Kind::Sensor, "cgm9", SHORT_LIFE).await?;
    sensor.enrol(to_hub.address).await?;
    sensor.cut_power().await?;
    Ok(sensor)
}

/// Lets a controller command, and waits for the receipt.
async fn command_by(controller: &mut Machine, command: Command) -> Result<Reply, Failure> {
    let from = controller.said.len();
    controller.act(Do::Command { command, hold: false }).await?;
    // Receipts of earlier commands may come between.
    let own = |said: &[Said]| {
        let counter = carrier::sealed(said).map(|(counter, _)| counter);
        said.iter().filter_map(reply).find(|one| match one {
            Ok(reply) => Some(reply.counter) == counter,
            Err(_) => true,
        })
    };
    controller.until_all(from, own).await?.map_err(Failure::from)
}

/// What a controller says of a command.
fn reply(said: &Said) -> Option<Result<Reply, String>> {
    match said {
        Said::Receipt { counter, outcome, why, amount, mark } => Some(Ok(Reply {
            counter: *counter,
            outcome: outcome.clone(),
            why: why.clone(),
            mark: mark.clone(),
            amount: *amount,
        })),
        Said::NotSealed { why } => Some(Err(format!("it was not sealed: {why}"))),
        Said::Unanswered { why } => Some(Err(format!("it got nothing: {why}"))),
        _ => None,
    }
}

const fn bolus(milliunits: u32) -> Command {
    Command::Bolus { amount: Insulin::from_milliunits(milliunits) }
}

const fn temporary(milliunits_per_hour: u32, minutes: u16) -> Command {
    Command::Temporary { rate: Rate::from_milliunits_per_hour(milliunits_per_hour), minutes }
}

/// Makes sure that a receipt says what it should.
fn expect(reply: &Reply, outcome: &str, why: &[&str]) -> Result<(), Failure> {
    let known = reply.why.as_deref().unwrap_or_default();
    if reply.outcome == outcome && (why.is_empty() || why.contains(&known)) {
        return Ok(());
    }
    Err(format!("the receipt says {} {known}, not {outcome} {}", reply.outcome, why.join(" or ")).into())
}
