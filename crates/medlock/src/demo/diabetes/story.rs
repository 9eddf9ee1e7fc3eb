//! The story of the diabetes ward, step by step.

use super::bedside::Machine;
use super::link::Link;
use super::site::{Kind, Site};
use crate::Failure;
use crate::demo::report::Teller;
use medlock_ward::diabetes::machine::words::{Do, Said};
use std::path::Path;
use tempfile::TempDir;

/// How long most credentials live, in seconds: the hub would renew them long before.
const YEAR: u64 = 365 * 86_400;
/// The controller's credential is seen expiring.
const CONTROLLER_LIFE: u64 = 5 * 86_400;

/// The machines of bed 7, of which the story tells, and the links between them.
pub(crate) struct Ward {
    site: Site,
    sensor: Machine,
    controller: Machine,
    pump: Machine,
    to_sensor: Link,
    to_pump: Link,
    folder: TempDir,
}

/// The patient of bed 7: a number that says nothing about them.
const PATIENT: &str = "07070707070707070707070707070707";

/// Tells the story; what went wrong with the stage ends it.
pub(crate) async fn tell(teller: &mut Teller, replay: Option<&Path>) {
    teller.say("\nThe diabetes ward: a sensor, a controller and a pump of three makers (demonstration machines, not for therapy).\n");
    let ward = teller.step("diabetes-enrolled", "three makers' devices enrol at the ward's hub and are bonded", Ward::set(replay));
    let Some(mut ward) = ward.await else { return };
    teller
        .step("makers-authenticated-hub-off", "the hub is off; sensor, controller and pump find out who they are", ward.authenticate())
        .await;
}

impl Ward {
    async fn set(replay: Option<&Path>) -> Result<(Self, String), Failure> {
        let folder = tempfile::Builder::new().prefix("medlock-diabetes-").tempdir()?;
        let path = folder.path().to_owned();
        let site = tokio::task::spawn_blocking(move || Site::make(&path)).await??;
        let mut sensor = Machine::build(&site, folder.path(), Kind::Sensor, "cgm7", replay).await?;
        let mut controller = Machine::build(&site, folder.path(), Kind::Controller, "controller7", None).await?;
        let mut pump = Machine::build(&site, folder.path(), Kind::Pump, "pump7", None).await?;
        for (machine, life) in [(&mut sensor, YEAR), (&mut controller, CONTROLLER_LIFE), (&mut pump, YEAR)] {
            machine.introduce(&site).await?;
            machine.enrol(&site, life).await?;
        }
        controller.bond(&sensor.device, PATIENT, &["report", "inform"]).await?;
        controller.bond(&pump.device, PATIENT, &["report"]).await?;
        pump.bond(&controller.device, PATIENT, &["treat", "halt"]).await?;
        let to_sensor = Link::start(sensor.address, 1).await?;
        let to_pump = Link::start(pump.address, 2).await?;
        let seen = "each showed its maker's birth credential and has one of the ward; buttons made the bonds".to_owned();
        Ok((Self { site, sensor, controller, pump, to_sensor, to_pump, folder }, seen))
    }

    async fn authenticate(&mut self) -> Result<((), String), Failure> {
        let sensor = self.controller.connect(self.to_sensor.address).await?;
        let pump = self.controller.connect(self.to_pump.address).await?;
        if sensor != self.sensor.device || pump != self.pump.device {
            return Err("somebody else answered".into());
        }
        let from = self.controller.said.len();
        self.sensor.act(Do::Measure { plasma_mg_dl: 120.0, minute: 0 }).await?;
        let (operation, mark) = self
            .controller
            .until(from, |said| match said {
                Said::Reading { operation, mark, .. } => Some((operation.clone(), mark.clone())),
                _ => None,
            })
            .await?;
        if operation != "inform" || mark.is_some() {
            return Err(format!("the reading may only {operation}, marked {mark:?}").into());
        }
        let [passed, lost, twice, late] = self.to_sensor.seen.counts();
        Ok(((), format!("both sessions stand, a reading informs; on the way: {passed} passed, {lost} lost, {twice} doubled, {late} late")))
    }
}
