//! News grow old, and certificates expire.

use super::{SHORT_LIFE, Seen, Ward, bolus, expect, temporary};
use crate::Failure;
use medlock_ward::diabetes::machine::words::{Do, Said};
use medlock_ward::diabetes::pump::{Basal, Because, Event};
use medlock_ward::diabetes::units::Insulin;

/// So long before the news no longer count the temporary basal begins, in seconds.
const BEFORE: u64 = 600;

impl Ward {
    pub(super) async fn grow_stale(&mut self) -> Seen {
        let left = self.news_count_for()?;
        self.pass(left.checked_sub(BEFORE).ok_or("the news are too old already")?).await?;
        let from = self.pump.said.len();
        let reply = self.command(temporary(3000, 30)).await?;
        expect(&reply, "started", &[])?;
        let Basal::Temporary { until_millis, .. } = self.look().await?.basal else {
            return Err("no temporary basal runs".into());
        };
        self.pass(BEFORE + 300).await?;
        let before = self.boluses().await?;
        let refused = self.command(bolus(500)).await?;
        expect(&refused, "refused", &["status-stale"])?;
        if !matches!(self.look().await?.basal, Basal::Temporary { .. }) {
            return Err("the temporary basal ended with the news".into());
        }
        self.pass(1200).await?;
        let ended = self.pump.until(from, |said| match said {
            Said::Pump { event: Event::BackToProgramme { at_millis } } => Some(*at_millis),
            _ => None,
        });
        let ended = ended.await?;
        let delivered = self.pump.delivered(from, Because::Temporary);
        if ended != until_millis || self.look().await?.basal != Basal::Programme || self.boluses().await? != before {
            return Err(format!("it ended at {ended} ms, not at {until_millis} ms").into());
        }
        Ok((
            (),
            format!(
                "no new command (status-stale); the temporary basal gave {delivered} and ended at its own time; the programme goes on"
            ),
        ))
    }

    pub(super) async fn attend(&mut self) -> Seen {
        let before = self.boluses().await?;
        let from = self.pump.said.len();
        self.pump.act(Do::HoldButton).await?;
        let done = self.bolus(1000).await?;
        expect(&done, "done", &[])?;
        let (mark, alert) = self.marked(from).await?;
        let refused = self.command(bolus(1000)).await?;
        expect(&refused, "refused", &["status-stale"])?;
        self.pass(120).await?;
        let given = self.boluses().await?.less(before);
        if given != Insulin::from_milliunits(1000) || !alert || mark.as_deref() != Some("attended") {
            return Err(format!("{given} were given, marked {mark:?}").into());
        }
        Ok(((), format!("{given}, once, marked attended, with an alert; a second one is refused")))
    }

    /// Mark and alert of the first command begun since the pump's `from`th word.
    async fn marked(&mut self, from: usize) -> Result<(Option<String>, bool), Failure> {
        self.look().await?;
        let said = self.pump.said.get(from..).unwrap_or_default();
        let began = said.iter().find_map(|said| match said {
            Said::Began { mark, alert, .. } => Some((mark.clone(), *alert)),
            _ => None,
        });
        began.ok_or_else(|| "the pump began nothing".into())
    }

    pub(super) async fn expire(&mut self) -> Seen {
        self.synchronize();
        let since = self.site.clock.now().seconds_since(self.site.began);
        let left = SHORT_LIFE.saturating_sub(u64::try_from(since)?) + 3600;
        self.pass(left).await?;
        self.meet_the_hub().await?;
        let from = self.pump.said.len();
        let reply = self.command(temporary(2500, 30)).await?;
        expect(&reply, "started", &[])?;
        let (mark, alert) = self.marked(from).await?;
        if mark.as_deref() != Some("expired-within-grace") || reply.mark != mark || !alert {
            return Err(format!("it is marked {mark:?} at the pump and {:?} at the controller", reply.mark).into());
        }
        self.pass(1860).await?;
        self.look().await?;
        let delivered = self.pump.delivered(from, Because::Temporary);
        if delivered == Insulin::NONE {
            return Err("nothing was delivered".into());
        }
        Ok(((), format!("therapy goes on ({delivered}), marked expired-within-grace at both, with an alert")))
    }

    pub(super) async fn renew(&mut self) -> Seen {
        let before = self.controller.device.clone();
        self.controller.enrol(self.to_hub.address).await?;
        if self.controller.device != before {
            return Err("it became another device".into());
        }
        self.controller.connect(self.to_sensor.address).await?;
        self.controller.connect(self.to_pump.address).await?;
        let reply = self.bolus(500).await?;
        expect(&reply, "done", &[])?;
        if let Some(mark) = reply.mark {
            return Err(format!("it is still marked {mark}").into());
        }
        Ok((
            (),
            "a new key and a new certificate from the hub, over the lossy link; the same bonds; no mark any more"
                .into(),
        ))
    }
}
