//! Those who may not command.

use super::super::bedside::Machine;
use super::super::carrier::began;
use super::super::site::Kind;
use super::{OTHER_PATIENT, Seen, Ward, YEAR, bolus, command_by, expect};
use medlock_ward::diabetes::machine::words::{Do, Said};

impl Ward {
    pub(super) async fn without_a_bond(&mut self) -> Seen {
        let mut stranger =
            Machine::build(&self.site, self.folder.path(), Kind::Controller, "controller6", None).await?;
        stranger.introduce(&self.site).await?;
        stranger.enrol(&self.site, YEAR).await?;
        stranger.act(Do::Pump { device: self.pump.device.clone(), epoch: 1 }).await?;
        let (from, before) = self.so_far().await?;
        stranger.connect(self.to_pump.address).await?;
        let refused = match command_by(&mut stranger, bolus(1000)).await {
            Ok(reply) => return Err(format!("it has a receipt: {}", reply.outcome).into()),
            Err(refused) => refused,
        };
        self.nothing_was_done(from, before).await?;
        Ok(((), format!("it proved who it is, and {refused}")))
    }

    pub(super) async fn as_a_sensor(&mut self) -> Seen {
        let kinds = (Kind::Sensor, Kind::Controller);
        let mut impostor = Machine::build_as(&self.site, self.folder.path(), kinds, "cgm6", None).await?;
        impostor.introduce(&self.site).await?;
        impostor.enrol(&self.site, YEAR).await?;
        // Even bonded, by a hand that was deceived.
        let epoch = self.other_pump.bond(&impostor.device, OTHER_PATIENT, &["treat", "halt"]).await?;
        impostor.act(Do::Pump { device: self.other_pump.device.clone(), epoch }).await?;
        impostor.connect(self.to_other_pump.address).await?;
        let from = self.other_pump.said.len();
        let reply = command_by(&mut impostor, bolus(1000)).await?;
        expect(&reply, "refused", &["role-lacks-operation"])?;
        self.other_pump.act(Do::Look).await?;
        if began(&self.other_pump, from) > 0 {
            return Err("the pump began to carry it out".into());
        }
        Ok(((), "role-lacks-operation, although it was bonded".into()))
    }

    pub(super) async fn by_birth(&mut self) -> Seen {
        let mut newborn = Machine::build(&self.site, self.folder.path(), Kind::Controller, "controller9", None).await?;
        newborn.introduce(&self.site).await?;
        newborn.act(Do::Pump { device: self.pump.device.clone(), epoch: 1 }).await?;
        let (from, before) = self.so_far().await?;
        newborn.connect(self.to_pump.address).await?;
        if newborn.act(Do::Command { command: bolus(1000), hold: false }).await.is_ok() {
            return Err("a device without a name at the site could command".into());
        }
        newborn.act(Do::AskState).await?;
        let denied = self.pump.until(from, |said| match said {
            Said::Denied { code, operation, .. } => Some((code.clone(), operation.clone())),
            _ => None,
        });
        let (code, operation) = denied.await?;
        if code != "birth-credential" {
            return Err(format!("{operation} was denied: {code}").into());
        }
        self.nothing_was_done(from, before).await?;
        Ok(((), format!("it cannot seal a command, and even {operation} is denied: {code}")))
    }
}
