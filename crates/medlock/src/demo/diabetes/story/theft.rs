//! The controller is stolen.

use super::super::carrier::{self, began};
use super::{Seen, Ward, bolus, expect, temporary};
use data_encoding::BASE64;
use medlock_ward::diabetes::machine::words::{Do, Said};
use medlock_ward::diabetes::pump::{Basal, Because, Event};
use medlock_ward::diabetes::units::Insulin;

impl Ward {
    pub(super) async fn stolen_controller(&mut self) -> Seen {
        let reply = self.command(temporary(3000, 60)).await?;
        expect(&reply, "started", &[])?;
        self.site.stolen("controller7").await?;
        let status = carrier::status(self.site.address).await?;
        // Only the sensor meets the hub; the pump has no network but the sensor.
        self.sensor.fetch(self.to_hub.address).await?;
        let (from, _) = self.so_far().await?;
        self.sensor.connect(self.to_pump.address).await?;
        self.sensor.act(Do::Carry { object: BASE64.encode(&status) }).await?;
        let device = self.controller.device.clone();
        let cut = self.pump.until(from, |said| match said {
            Said::Closed { device: whose, why, code } if *whose == device => Some((why.clone(), code.clone())),
            _ => None,
        });
        let (why, code) = cut.await?;
        let back = |said: &Said| matches!(said, Said::Pump { event: Event::BackToProgramme { .. } }).then_some(());
        self.pump.until(from, back).await?;
        let before = self.boluses().await?;
        if let Ok(reply) = self.command(bolus(1000)).await {
            return Err(format!("it still gets receipts: {}", reply.outcome).into());
        }
        let again = self.controller.fail_to_connect(self.to_pump.address).await?;
        self.pass(1800).await?;
        let given = self.boluses().await?.less(before);
        let programme = self.pump.delivered(from, Because::Programme);
        let runs = self.look().await?.basal == Basal::Programme;
        if code.as_deref() != Some("compromised") || given > Insulin::NONE || began(&self.pump, from) > 0 || !runs {
            return Err(format!("{why}; {given} were given").into());
        }
        Ok((
            (),
            format!(
                "cut off as compromised, its temporary basal ended at once, the programme went on ({programme}); {again}"
            ),
        ))
    }
}
