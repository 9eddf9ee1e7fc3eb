//! The story of the diabetes ward, step by step. What is said to have happened was seen at the machines: the pump's pulses,
//! the controller's receipts, the marks beside readings.

mod carriers;
mod power;
mod sensors;
mod strangers;
mod theft;
mod therapy;
mod time;

use super::bedside::Machine;
use super::link::Link;
use super::site::{Kind, Site};
use crate::Failure;
use crate::demo::report::Teller;
use medlock_authority::objects;
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
    controller: Machine,
    pump: Machine,
    /// The pump of bed 6.
    other_pump: Machine,
    to_sensor: Link,
    to_spare: Link,
    to_pump: Link,
    to_other_pump: Link,
    patient: Patient,
    /// How much insulin the patient has got so far.
    got: Insulin,
    started: Instant,
    passed_seconds: u64,
    minute: u64,
    folder: TempDir,
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
    teller.step("controller-expired-marked", "the controller's certificate expires", ward.expire()).await;
    teller.step("controller-renewed", "the controller renews with the expired certificate", ward.renew()).await;
    teller.step("sensor-expired", "a sensor's certificate has expired", ward.expired_sensor()).await;
    teller.step("sensor-suspended", "the sensor is suspended", ward.suspended_sensor()).await;
    teller.step("sensor-stolen", "a sensor is stolen", ward.stolen_sensor()).await;
    let step = "the controller is stolen; the sensor brings the news to the pump";
    teller.step("controller-stolen-news-by-sensor", step, ward.stolen_controller()).await;
    teller.step("lossy-links", "the links lost, doubled and reordered all the while", async { ward.links() }).await;
}

impl Ward {
    async fn set(replay: Option<&Path>) -> Result<(Self, String), Failure> {
        let folder = tempfile::Builder::new().prefix("medlock-diabetes-").tempdir()?;
        let path = folder.path().to_owned();
        let site = tokio::task::spawn_blocking(move || Site::make(&path)).await??;
        let started = Instant::now();
        let build = async |kind, name, life, replay| {
            let mut machine = Machine::build(&site, folder.path(), kind, name, replay).await?;
            machine.introduce(&site).await?;
            machine.enrol(&site, life).await?;
            Ok::<_, Failure>(machine)
        };
        let sensor = build(Kind::Sensor, "cgm7", YEAR, replay).await?;
        let spare = build(Kind::Sensor, "cgm8", SHORT_LIFE, replay).await?;
        let mut controller = build(Kind::Controller, "controller7", SHORT_LIFE, None).await?;
        let mut pump = build(Kind::Pump, "pump7", YEAR, None).await?;
        let other_pump = build(Kind::Pump, "pump6", YEAR, None).await?;
        controller.bond(&sensor.device, PATIENT, &["report", "inform"]).await?;
        controller.bond(&spare.device, PATIENT, &["report", "inform"]).await?;
        let epoch = pump.bond(&controller.device, PATIENT, &["treat", "halt"]).await?;
        controller.act(Do::Pump { device: pump.device.clone(), epoch }).await?;
        let to_sensor = Link::start(sensor.address, 1).await?;
        let to_spare = Link::start(spare.address, 2).await?;
        let to_pump = Link::start(pump.address, 3).await?;
        let to_other_pump = Link::start(other_pump.address, 4).await?;
        let patient = Patient::new(SEED);
        let (got, passed_seconds, minute) = (Insulin::NONE, 0, 0);
        let seen =
            "each showed its maker's birth credential and has one of the ward; buttons made the bonds".to_owned();
        let ward = Self {
            site,
            sensor,
            spare,
            controller,
            pump,
            other_pump,
            to_sensor,
            to_spare,
            to_pump,
            to_other_pump,
            patient,
            got,
            started,
            passed_seconds,
            minute,
            folder,
        };
        Ok((ward, seen))
    }

    /// Commands, and waits for the receipt.
    async fn command(&mut self, command: Command) -> Result<Reply, Failure> {
        command_by(&mut self.controller, command).await
    }

    /// Seals a command without sending it: its number and bytes.
    async fn hold(&mut self, command: Command) -> Result<(u64, Vec<u8>), Failure> {
        let from = self.controller.said.len();
        self.controller.act(Do::Command { command, hold: true }).await?;
        self.controller.until_all(from, super::carrier::sealed).await
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
        let behind = self.site.made.plus_seconds(seconds).seconds_since(self.site.clock.now());
        self.site.clock.advance(behind.max(0));
    }

    /// The hub is on for a moment: it does what is due, everybody gets its news and the time.
    async fn meet_the_hub(&mut self) -> Result<(), Failure> {
        self.synchronize();
        self.site.hub.tick()?;
        let status = self.site.object(objects::Kind::Status)?;
        for machine in [&mut self.pump, &mut self.sensor, &mut self.spare, &mut self.controller, &mut self.other_pump] {
            machine.set_time(&self.site).await?;
            machine.bring_news(&status).await?;
        }
        Ok(())
    }

    /// For how many seconds the news that everybody has will count: a day in a hospital.
    fn news_count_for(&self) -> Result<u64, Failure> {
        self.synchronize();
        let status = self.site.object(objects::Kind::Status)?;
        let issued = StatusList::danger_open(&status).map_err(|why| why.to_string())?.heading().issued;
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
        if super::carrier::began(&self.pump, from) > 0 {
            return Err("the pump began to carry it out".into());
        }
        if after != before {
            return Err(format!("the pump delivered {}", after.less(before)).into());
        }
        Ok(())
    }

    fn links(&self) -> Seen {
        let mut total = [0; 4];
        for link in [&self.to_sensor, &self.to_spare, &self.to_pump, &self.to_other_pump] {
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

/// Lets a controller command, and waits for the receipt.
async fn command_by(controller: &mut Machine, command: Command) -> Result<Reply, Failure> {
    let from = controller.said.len();
    controller.act(Do::Command { command, hold: false }).await?;
    // Receipts of earlier commands may come between.
    let own = |said: &[Said]| {
        let counter = super::carrier::sealed(said).map(|(counter, _)| counter);
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
        Said::Unanswered { why } => Some(Err(format!("it was not answered: {why}"))),
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
