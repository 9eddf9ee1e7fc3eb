//! Sensors on which nothing automatic may rest.

use super::super::carrier::began;
use super::therapy::{Heard, heard};
use super::{Seen, Ward};
use crate::Failure;
use medlock_authority::objects;
use medlock_ward::diabetes::machine::words::{Do, Said};
use std::time::Duration;

/// How long a stolen sensor is listened for, in real time.
const SILENCE: Duration = Duration::from_millis(500);

impl Ward {
    pub(super) async fn expired_sensor(&mut self) -> Seen {
        self.controller.connect(self.to_spare.address).await?;
        let reading = self.measure_spare().await?;
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

    pub(super) async fn suspended_sensor(&mut self) -> Seen {
        self.site.suspend("cgm7")?;
        self.tell_controller().await?;
        let reading = self.measure().await?;
        if reading.operation != "report" || reading.mark.as_deref() != Some("suspended") {
            return Err(format!("the reading may {}, marked {:?}", reading.operation, reading.mark).into());
        }
        self.nothing_rests_on_it().await?;
        self.site.restore("cgm7")?;
        self.tell_controller().await?;
        let reading = self.measure().await?;
        if reading.operation != "inform" || reading.mark.is_some() {
            return Err(format!("after the suspension the reading may {}", reading.operation).into());
        }
        Ok(((), "its readings are shown only, marked suspended; lifted, they feed therapy again".into()))
    }

    pub(super) async fn stolen_sensor(&mut self) -> Seen {
        self.site.stolen("cgm8")?;
        let from = self.controller.said.len();
        self.tell_controller().await?;
        let device = self.spare.device.clone();
        let cut = self.controller.until(from, |said| match said {
            Said::Closed { device: whose, why } if *whose == device => Some(why.clone()),
            _ => None,
        });
        let why = cut.await?;
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
        if !why.contains("Compromised") {
            return Err(format!("its session ended otherwise: {why}").into());
        }
        let again = again.unwrap_or_else(|_| "called again, its readings are denied".into());
        Ok(((), format!("its session ends as compromised, nothing of it is even shown; {again}")))
    }

    async fn measure_spare(&mut self) -> Result<Heard, Failure> {
        let from = self.controller.said.len();
        let plasma_mg_dl = self.patient.glucose().mg_dl();
        self.spare.act(Do::Measure { plasma_mg_dl, minute: self.minute }).await?;
        let spare = self.spare.device.clone();
        self.controller.until(from, |said| heard(said, &spare)).await
    }

    /// Somebody brings the newest status to the controller.
    async fn tell_controller(&mut self) -> Result<(), Failure> {
        let status = self.site.object(objects::Kind::Status)?;
        self.controller.bring(&status).await
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
