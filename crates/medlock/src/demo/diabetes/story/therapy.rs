//! Who they are, and the closed loop.

use super::super::carrier::{self, began};
use super::{Seen, Ward};
use crate::Failure;
use medlock_ward::diabetes::machine::words::{Do, Said};
use medlock_ward::diabetes::pump::Because;
use medlock_ward::diabetes::sensor::INTERVAL_MINUTES;
use medlock_ward::diabetes::units::Insulin;

/// How many readings the loop runs for.
const CYCLES: usize = 8;
/// What the patient eats at the beginning.
const MEAL_GRAMS: f64 = 45.0;

/// A reading as the controller has it.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) operation: String,
    pub(super) mark: Option<String>,
}

/// A reading of this sensor.
pub(super) fn heard(said: &Said, sensor: &str) -> Option<Heard> {
    match said {
        Said::Reading { device, operation, mark, .. } if device == sensor => {
            Some(Heard { operation: operation.clone(), mark: mark.clone() })
        }
        _ => None,
    }
}

impl Ward {
    pub(super) async fn authenticate(&mut self) -> Seen {
        self.site.switch_off().await?;
        if carrier::answers(self.site.address).await? {
            return Err("somebody answers at the hub's door".into());
        }
        let sensor = self.controller.connect(self.to_sensor.address).await?;
        let pump = self.controller.connect(self.to_pump.address).await?;
        if sensor != self.sensor.device || pump != self.pump.device {
            return Err("somebody else answered".into());
        }
        let reading = self.measure().await?;
        if reading.operation != "inform" || reading.mark.is_some() {
            return Err(format!("the reading may only {}, marked {:?}", reading.operation, reading.mark).into());
        }
        Ok(((), "the controller knows both, both know the controller, and a reading may feed therapy".into()))
    }

    /// The sensor measures, and the controller hears of it.
    pub(super) async fn measure(&mut self) -> Result<Heard, Failure> {
        let from = self.controller.said.len();
        let plasma_mg_dl = self.patient.glucose().mg_dl();
        self.sensor.act(Do::Measure { plasma_mg_dl, minute: self.minute }).await?;
        let sensor = self.sensor.device.clone();
        self.controller.until(from, |said| heard(said, &sensor)).await
    }

    /// Lets the patient live until now with what the pump delivered.
    async fn live(&mut self) -> Result<(), Failure> {
        self.look().await?;
        let all = [Because::Programme, Because::Temporary, Because::Bolus];
        let total: Insulin = all.into_iter().map(|why| self.pump.delivered(0, why)).sum();
        let mut new = total.less(self.got);
        self.got = total;
        for _ in 0..INTERVAL_MINUTES {
            self.patient.live_a_minute(new);
            new = Insulin::NONE;
        }
        self.minute += INTERVAL_MINUTES;
        Ok(())
    }

    /// The controller applies its rule and commands; whether it treats.
    pub(super) async fn advise(&mut self) -> Result<bool, Failure> {
        let from = self.controller.said.len();
        let text = self.controller.act(Do::Advise).await?;
        if !text.starts_with("Treat") {
            return Ok(false);
        }
        let commands = 1 + usize::from(text.contains("bolus: Some"));
        let all_known = |said: &[Said]| {
            let mut sealed = said.iter().filter_map(|one| match one {
                Said::Sealed { counter, .. } => Some(*counter),
                _ => None,
            });
            let count = sealed.clone().count();
            let last = sealed.next_back()?;
            let known = said.iter().any(|one| matches!(one, Said::Receipt { counter, .. } if *counter == last));
            (count >= commands && known).then_some(())
        };
        self.controller.until_all(from, all_known).await?;
        Ok(true)
    }

    pub(super) async fn close_the_loop(&mut self) -> Seen {
        let (from, _) = self.so_far().await?;
        let said = self.controller.said.len();
        self.patient.eat(MEAL_GRAMS);
        let (mut informed, mut treated) = (0, 0);
        for _ in 0..CYCLES {
            self.pass(INTERVAL_MINUTES * 60).await?;
            self.live().await?;
            let reading = self.measure().await?;
            informed += usize::from(reading.operation == "inform" && reading.mark.is_none());
            treated += usize::from(self.advise().await?);
        }
        self.pass(INTERVAL_MINUTES * 60).await?;
        self.look().await?;
        let receipts = self.controller.said.get(said..).unwrap_or_default();
        let refused =
            receipts.iter().filter(|said| matches!(said, Said::Receipt { outcome, .. } if outcome == "refused"));
        let (began, refused) = (began(&self.pump, from), refused.count());
        if informed < CYCLES || treated == 0 || began == 0 || refused > 0 {
            return Err(format!(
                "{informed} of {CYCLES} readings inform, {treated} times treated, {began} commands begun, {refused} refused"
            )
            .into());
        }
        let [basal, bolus] = [Because::Temporary, Because::Bolus].map(|why| self.pump.delivered(from, why));
        let glucose = self.patient.glucose();
        Ok((
            (),
            format!(
                "{CYCLES} readings, {began} commands carried out: {basal} as temporary basal, {bolus} as boluses; glucose {glucose}"
            ),
        ))
    }
}
