//! Power goes, and with it the pump's clock.

use super::{Seen, Ward, bolus, expect};
use medlock_ward::diabetes::machine::words::Said;
use medlock_ward::diabetes::pump::{Basal, Because, Event};
use medlock_ward::diabetes::units::Insulin;

/// The bolus that is cut.
const CUT: Insulin = Insulin::from_milliunits(3000);

impl Ward {
    pub(super) async fn cut_power(&mut self) -> Seen {
        let before = self.boluses().await?;
        let from = self.pump.said.len();
        let reply = self.command(bolus(CUT.milliunits())).await?;
        expect(&reply, "started", &[])?;
        let two_pulses = |said: &[Said]| {
            let pulses = said.iter().filter(
                |said| matches!(said, Said::Pump { event: Event::Delivered(one) } if one.because == Because::Bolus),
            );
            (pulses.count() >= 2).then_some(())
        };
        self.pump.until_all(from, two_pulses).await?;
        self.pump.cut_power().await?;
        let restarted = self.pump.said.len();
        self.pump.power_on().await?;
        self.to_pump.lead_to(self.pump.address);
        let uncertain = self.pump.until(restarted, |said| match said {
            Said::Uncertain { counter, at_most } => Some((*counter, *at_most)),
            _ => None,
        });
        let (counter, at_most) = uncertain.await?;
        if counter != reply.counter || at_most != CUT {
            return Err(format!("command {counter} is uncertain, at most {at_most}").into());
        }
        let delivered = self.boluses().await?.less(before);
        self.pass(900).await?;
        let after = self.boluses().await?.less(before);
        if delivered == Insulin::NONE || delivered >= CUT || after != delivered {
            return Err(format!("{delivered} were delivered before, {after} after").into());
        }
        self.controller.connect(self.to_pump.address).await?;
        let reply = self.ask_outcome(counter).await?;
        expect(&reply, "uncertain", &[])?;
        Ok((
            (),
            format!(
                "{delivered} of {CUT} were delivered; it is uncertain, counts as {}, and was not resumed",
                reply.amount
            ),
        ))
    }

    pub(super) async fn lose_the_clock(&mut self) -> Seen {
        let (from, before) = self.so_far().await?;
        let reply = self.command(bolus(500)).await?;
        expect(&reply, "refused", &["status-stale", "expired-beyond-grace", "expired-within-grace"])?;
        self.pass(1800).await?;
        self.nothing_was_done(from, before).await?;
        let programme = self.pump.delivered(from, Because::Programme);
        if self.look().await?.basal != Basal::Programme || programme == Insulin::NONE {
            return Err("the programme does not run".into());
        }
        self.synchronize();
        self.pump.set_time(&self.site).await?;
        let again = self.bolus(500).await?;
        expect(&again, "done", &[])?;
        let why = reply.why.unwrap_or_default();
        Ok((
            (),
            format!(
                "commands are refused ({why}), the programme went on ({programme}); with the time set they are taken again"
            ),
        ))
    }
}
