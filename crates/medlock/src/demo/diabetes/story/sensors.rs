//! Sensors on which nothing automatic may rest.

use super::super::carrier::began;
use super::super::link::Link;
use super::therapy::{Heard, heard};
use super::{Seen, Ward};
use crate::Failure;
use medlock_ward::diabetes::machine::words::{Do, Said};
use std::time::Duration;

/// How long a stolen sensor is listened for, in real time.
const SILENCE: Duration = Duration::from_millis(500);

/// A sensor that is not the one in use.
#[derive(Clone, Copy, Debug)]
enum Which {
    Spare,
    Drawer,
}

impl Ward {
    pub(super) async fn expired_sensor(&mut self) -> Seen {
        self.controller.connect(self.to_spare.address).await?;
        let reading = self.measure_with(Which::Spare).await?;
        if reading.mark.as_deref() != Some("expired-within-grace") {
            return Err(format!("the reading may {}, marked {:?}", reading.operation, reading.mark).into());
        }
        self.nothing_rests_on_it().await?;
        Ok((
            (),
            format!(
                "it may {}, marked expired-within-grace, and the rule doses on no marked reading",
                reading.operation
            ),
        ))
    }

    pub(super) async fn sensor_from_the_drawer(&mut self) -> Seen {
        self.drawer.power_on().await?;
        let to_drawer = Link::start(self.drawer.address, 5).await?;
        // All it has of the time is what the site signed.
        self.drawer.fetch(self.to_hub.address).await?;
        self.controller.connect(to_drawer.address).await?;
        let reading = self.measure_with(Which::Drawer).await?;
        if reading.operation != "report" || reading.mark.as_deref() != Some("expired-beyond-grace") {
            return Err(format!("the reading may {}, marked {:?}", reading.operation, reading.mark).into());
        }
        self.nothing_rests_on_it().await?;
        self.drawer.enrol(self.to_hub.address).await?;
        self.controller.connect(to_drawer.address).await?;
        let reading = self.measure_with(Which::Drawer).await?;
        if reading.operation != "inform" || reading.mark.is_some() {
            return Err(format!("renewed, the reading may {}, marked {:?}", reading.operation, reading.mark).into());
        }
        Ok((
            (),
            "beyond grace it may only report, marked expired-beyond-grace; the hub renews it all the same, and it may inform again"
                .into(),
        ))
    }

    pub(super) async fn suspended_sensor(&mut self) -> Seen {
        self.site.suspend("cgm7").await?;
        self.tell_controller().await?;
        let reading = self.measure().await?;
        if reading.operation != "report" || reading.mark.as_deref() != Some("suspended") {
            return Err(format!("the reading may {}, marked {:?}", reading.operation, reading.mark).into());
        }
        self.nothing_rests_on_it().await?;
        self.site.restore("cgm7").await?;
        self.tell_controller().await?;
        let reading = self.measure().await?;
        if reading.operation != "inform" || reading.mark.is_some() {
            return Err(format!("after the suspension the reading may {}", reading.operation).into());
        }
        Ok(((), "its readings are shown only, marked suspended; lifted, they feed therapy again".into()))
    }

    pub(super) async fn stolen_sensor(&mut self) -> Seen {
        self.site.stolen("cgm8").await?;
        let from = self.controller.said.len();
        self.tell_controller().await?;
        let device = self.spare.device.clone();
        let cut = self.controller.until(from, |said| match said {
            Said::Closed { device: whose, why, code } if *whose == device => Some((why.clone(), code.clone())),
            _ => None,
        });
        let (why, code) = cut.await?;
        let from = self.controller.said.len();
        self.spare.act(Do::Measure { plasma_mg_dl: 300.0, minute: self.minute }).await?;
        // Whether a session comes about or not: nothing of it counts.
        let again = self.controller.fail_to_connect(self.to_spare.address).await;
        self.spare.act(Do::Measure { plasma_mg_dl: 300.0, minute: self.minute }).await?;
        self.pass(900).await?;
        tokio::time::sleep(SILENCE).await;
        self.nothing_rests_on_it().await?;
        if self.controller.said.get(from..).unwrap_or_default().iter().any(|said| heard(said, &device).is_some()) {
            return Err("a reading of it was taken".into());
        }
        if code.as_deref() != Some("compromised") {
            return Err(format!("its session ended otherwise: {why}").into());
        }
        let again = again.unwrap_or_else(|_| "called again, its readings are denied".into());
        Ok(((), format!("its session ends as compromised, nothing of it is even shown; {again}")))
    }

    /// One of the other sensors measures, and the controller hears of it.
    async fn measure_with(&mut self, which: Which) -> Result<Heard, Failure> {
        let from = self.controller.said.len();
        let plasma_mg_dl = self.patient.glucose().mg_dl();
        let sensor = match which {
            Which::Spare => &mut self.spare,
            Which::Drawer => &mut self.drawer,
        };
        sensor.act(Do::Measure { plasma_mg_dl, minute: self.minute }).await?;
        let device = sensor.device.clone();
        self.controller.until(from, |said| heard(said, &device)).await
    }

    /// The controller hears the news at the hub.
    async fn tell_controller(&mut self) -> Result<(), Failure> {
        match self.controller.fetch(self.to_hub.address).await? {
            0 => Err("the hub has no news".into()),
            _ => Ok(()),
        }
    }

    /// The controller's rule commands nothing, and the pump begins nothing.
    async fn nothing_rests_on_it(&mut self) -> Result<(), Failure> {
        let (from, _) = self.so_far().await?;
        if self.advise().await? {
            return Err("the controller doses on it".into());
        }
        self.look().await?;
        if began(&self.pump, from) > 0 { Err("the pump began something".into()) } else { Ok(()) }
    }
}
