//! Those who may not command.

use super::super::carrier::{self, began};
use super::{OTHER_PATIENT, Seen, Ward, bolus, command_by, expect};
use medlock_ward::diabetes::machine::words::{Do, Said};
use medlock_ward::diabetes::pump::Because;
use medlock_ward::diabetes::units::Insulin;

impl Ward {
    pub(super) async fn without_a_bond(&mut self) -> Seen {
        let (from, before) = self.so_far().await?;
        let stranger = &mut self.other_controller;
        stranger.act(Do::Pump { device: self.pump.device.clone(), epoch: 1 }).await?;
        stranger.connect(self.to_pump.address).await?;
        let refused = match command_by(stranger, bolus(1000)).await {
            Ok(reply) => return Err(format!("it has a receipt: {}", reply.outcome).into()),
            Err(refused) => refused,
        };
        self.nothing_was_done(from, before).await?;
        Ok(((), format!("it proved who it is, and {refused}")))
    }

    pub(super) async fn bonded_by_the_site(&mut self) -> Seen {
        let (epoch, bond) = self.bond.clone();
        let wrong = carrier::deliver(&bond, self.pump.address).await?;
        if wrong.is_success() {
            return Err("bed 7's pump took bed 6's bond".into());
        }
        self.other_pump.bring(&bond).await?;
        let controller = &mut self.other_controller;
        controller.act(Do::Pump { device: self.other_pump.device.clone(), epoch }).await?;
        controller.connect(self.to_other_pump.address).await?;
        let from = self.other_pump.said.len();
        let reply = command_by(controller, bolus(500)).await?;
        expect(&reply, "started", &[])?;
        self.pass(180).await?;
        self.other_pump.act(Do::Look).await?;
        let given = self.other_pump.delivered(from, Because::Bolus);
        if given != Insulin::from_milliunits(500) || reply.mark.is_some() {
            return Err(format!("{given} were given, marked {:?}", reply.mark).into());
        }
        Ok((
            (),
            format!(
                "its controller may treat ({given} given), without a button and without the hub; bed 7's pump refuses it (CoAP {wrong})"
            ),
        ))
    }

    pub(super) async fn as_a_sensor(&mut self) -> Seen {
        let impostor = &mut self.impostor;
        // Even bonded, by a hand that was deceived.
        let epoch = self.other_pump.bond(&impostor.device, OTHER_PATIENT, &["treat", "halt"]).await?;
        impostor.act(Do::Pump { device: self.other_pump.device.clone(), epoch }).await?;
        impostor.connect(self.to_other_pump.address).await?;
        let from = self.other_pump.said.len();
        let reply = command_by(impostor, bolus(1000)).await?;
        expect(&reply, "refused", &["role-lacks-operation"])?;
        self.other_pump.act(Do::Look).await?;
        if began(&self.other_pump, from) > 0 {
            return Err("the pump began to carry it out".into());
        }
        Ok(((), "role-lacks-operation, although it was bonded".into()))
    }

    pub(super) async fn by_birth(&mut self) -> Seen {
        let (from, before) = self.so_far().await?;
        let newborn = &mut self.newborn;
        newborn.act(Do::Pump { device: self.pump.device.clone(), epoch: 1 }).await?;
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
