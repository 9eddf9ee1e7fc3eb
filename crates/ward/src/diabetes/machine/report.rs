//! A report to the hub, as the firmware of a device makes it: what it measured and delivered goes into the records, and what is
//! lost on the way is reported again.

use super::outbox::Sent;
use super::rig::{Rig, say};
use super::words::Said;
use medlock_device::platform::Ticks;
use medlock_device::{Address, CallId, Event, Method, Peer, Resource, Status};
use medlock_proto::record::{Answer, Refusal};

/// How long to wait, in ticks, before the hub is asked again.
const ASK_AGAIN_MILLIS: u64 = 10_000;
/// How often it is asked.
const TRIES: u8 = 40;

/// A report under way.
#[derive(Debug)]
pub(super) struct Report {
    hub: Address,
    step: Step,
    left: u8,
    reported: usize,
}

#[derive(Debug)]
enum Step {
    /// A handshake is under way.
    Greeting,
    /// The oldest were reported in this session.
    Reported { peer: Peer, call: CallId, sent: Sent },
    /// It is tried again then.
    Resting { until: Ticks },
}

impl Rig<'_> {
    /// Goes to the hub with all that waits.
    pub(super) fn report(&mut self, hub: Address) -> Result<(), String> {
        self.core.connect(self.clock.now(), hub).map_err(|error| error.to_string())?;
        self.report = Some(Report { hub, step: Step::Greeting, left: TRIES, reported: 0 });
        Ok(())
    }

    /// Goes again if it is time to.
    pub(super) fn report_again(&mut self) {
        let now = self.clock.now();
        let Some(report) = &mut self.report else { return };
        if matches!(report.step, Step::Resting { until } if until <= now) {
            report.step = Step::Greeting;
            let hub = report.hub;
            if self.core.connect(now, hub).is_err() {
                self.rest_report("no room for a session".to_owned());
            }
        }
    }

    /// Whether the event belongs to the report; then it is dealt with.
    pub(super) fn told_hub(&mut self, event: &Event<'_>) -> bool {
        let Some(report) = &self.report else { return false };
        match (event, &report.step) {
            (Event::Connected { peer, initiated: true, .. }, Step::Greeting) if self.is_hub(*peer) => {
                self.report_oldest(*peer);
            }
            (Event::NotConnected { to, why }, Step::Greeting) if *to == report.hub => {
                self.rest_report(why.to_string());
            }
            (Event::Closed { peer, why, .. }, Step::Reported { peer: hub, .. }) if peer == hub => {
                self.rest_report(why.to_string());
            }
            (Event::Unanswered { call, why }, Step::Reported { call: asked, .. }) if call == asked => {
                self.rest_report(why.to_string());
            }
            (Event::Answered { call, status, payload, .. }, Step::Reported { call: asked, sent, peer })
                if call == asked =>
            {
                let (sent, peer) = (*sent, *peer);
                match status {
                    Status::Done => self.reported(peer, &sent, payload),
                    Status::Refused(_) => self.end_report(Some(String::from_utf8_lossy(payload).into_owned())),
                    Status::Failed(_) => self.rest_report(status.to_string()),
                }
            }
            _ => return false,
        }
        true
    }

    /// The hub has them, but for those that it names: it will never take those, so they are told, and hold up no others. For some it has no
    /// room until somebody says whose they were: they come again behind the others.
    fn reported(&mut self, peer: Peer, sent: &Sent, answer: &[u8]) {
        let refused: Vec<_> = match Answer::read(answer) {
            Ok(answer) => answer.collect(),
            Err(error) => return self.end_report(Some(format!("the answer is none: {error}"))),
        };
        for (_, why) in &refused {
            say(&Said::RecordRefused { why: why.code().to_owned() });
        }
        let later = refused.iter().filter(|(_, why)| *why == Refusal::NoRoom);
        let later: Vec<u16> = later.map(|(place, _)| *place).collect();
        if let Err(why) = self.outbox.reported(sent, &later) {
            return self.end_report(Some(why));
        }
        if let Some(report) = &mut self.report {
            report.reported += sent.count.saturating_sub(refused.len());
        }
        if later.len() == sent.count {
            return self.rest_report(Refusal::NoRoom.code().to_owned());
        }
        self.report_oldest(peer);
    }

    fn report_oldest(&mut self, peer: Peer) {
        let Some((sent, payload)) = self.outbox.oldest() else {
            self.core.close(peer);
            return self.end_report(None);
        };
        match (self.call(peer, Method::Post, Resource::Records, &payload), &mut self.report) {
            (Ok(call), Some(report)) => report.step = Step::Reported { peer, call, sent },
            (Ok(_), None) => {}
            (Err(why), _) => self.end_report(Some(why)),
        }
    }

    fn rest_report(&mut self, why: String) {
        self.outbox.unanswered();
        let until = self.clock.now().plus_millis(ASK_AGAIN_MILLIS);
        let Some(report) = &mut self.report else { return };
        let step = std::mem::replace(&mut report.step, Step::Resting { until });
        report.left = report.left.saturating_sub(1);
        let last = report.left == 0;
        if let Step::Reported { peer, .. } = step {
            self.core.close(peer);
        }
        if last { self.end_report(Some(why)) } else { say(&Said::Waits { why }) }
    }

    fn end_report(&mut self, why: Option<String>) {
        self.outbox.unanswered();
        let Some(report) = self.report.take() else { return };
        if let Step::Reported { peer, .. } = report.step {
            self.core.close(peer);
        }
        say(&match why {
            None => Said::Reported { records: report.reported },
            Some(why) => Said::NotReported { why },
        });
    }
}
