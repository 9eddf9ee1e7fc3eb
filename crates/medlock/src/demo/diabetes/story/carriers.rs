//! What a carrier can do to a command: nothing that makes the pump do more than it was told, or the same twice, or late.

use super::super::carrier::{Carrier, began, sealed};
use super::{Seen, Ward, bolus, expect};
use medlock_ward::diabetes::machine::words::Command;

impl Ward {
    pub(super) async fn replayed(&mut self) -> Seen {
        let said = self.controller.said.len();
        let reply = self.bolus(500).await?;
        expect(&reply, "done", &[])?;
        let (_, message) = sealed(&self.controller.said[said..]).ok_or("no command was seen")?;
        let (from, before) = self.so_far().await?;
        let mut carrier = Carrier::new().await?;
        for _ in 0..5 {
            carrier.bring(&message, self.pump.address).await?;
        }
        self.pass(120).await?;
        self.nothing_was_done(from, before).await?;
        Ok(((), format!("{} were delivered once; five replays got the old receipt", reply.amount)))
    }

    pub(super) async fn delayed(&mut self) -> Seen {
        let (from, before) = self.so_far().await?;
        let (counter, message) = self.hold(bolus(1000)).await?;
        self.pass(180).await?;
        let mut carrier = Carrier::new().await?;
        carrier.bring(&message, self.pump.address).await?;
        self.pass(120).await?;
        self.nothing_was_done(from, before).await?;
        let reply = self.ask_outcome(counter).await?;
        expect(&reply, "refused", &["challenge-not-open", "command-voided"])?;
        Ok(((), reply.why.unwrap_or_default()))
    }

    pub(super) async fn reordered(&mut self) -> Seen {
        let (counter, message) = self.hold(bolus(1000)).await?;
        let halt = self.command(Command::Suspend { minutes: 5 }).await?;
        expect(&halt, "started", &[])?;
        let (from, before) = self.so_far().await?;
        let mut carrier = Carrier::new().await?;
        carrier.bring(&message, self.pump.address).await?;
        self.pass(600).await?;
        self.nothing_was_done(from, before).await?;
        let reply = self.ask_outcome(counter).await?;
        expect(&reply, "refused", &["command-voided", "challenge-not-open"])?;
        Ok(((), format!("the halt was carried out, the bolus before it is void ({})", reply.why.unwrap_or_default())))
    }

    pub(super) async fn altered(&mut self) -> Seen {
        let (from, before) = self.so_far().await?;
        let (counter, message) = self.hold(bolus(500)).await?;
        let mut carrier = Carrier::new().await?;
        for place in 0..message.len() {
            let mut altered = message.clone();
            altered[place] ^= 1 << (place % 8);
            let answer = carrier.bring(&altered, self.pump.address).await?;
            if answer.is_success() {
                return Err(format!("with byte {place} changed it was taken: {answer}").into());
            }
        }
        self.nothing_was_done(from, before).await?;
        // The same command, unaltered, is good.
        carrier.bring(&message, self.pump.address).await?;
        self.pass(180).await?;
        let reply = self.ask_outcome(counter).await?;
        expect(&reply, "done", &[])?;
        let after = self.boluses().await?;
        if began(&self.pump, from) != 1 || after.less(before) != reply.amount {
            return Err(format!("{} were delivered", after.less(before)).into());
        }
        Ok(((), format!("none of {} changes was carried out, the unchanged command was", message.len())))
    }

    pub(super) async fn readdressed(&mut self) -> Seen {
        let (from, before) = self.so_far().await?;
        let others = self.other_pump.said.len();
        let (counter, message) = self.hold(bolus(1000)).await?;
        let mut carrier = Carrier::new().await?;
        let answer = carrier.bring(&message, self.other_pump.address).await?;
        self.pass(120).await?;
        if began(&self.other_pump, others) > 0 || answer.is_success() {
            return Err(format!("the other pump took it: {answer}").into());
        }
        self.nothing_was_done(from, before).await?;
        let reply = self.ask_outcome(counter).await?;
        expect(&reply, "refused", &["command-voided", "challenge-not-open"])?;
        Ok(((), format!("the other pump refuses it (CoAP {answer})")))
    }
}
