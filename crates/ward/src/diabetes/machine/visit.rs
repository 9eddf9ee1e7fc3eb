//! A visit to the hub, as the firmware of a device makes it: what is lost is asked again, and what waits for a person is
//! asked for again later, with the same key.

use super::rig::{Rig, hex, say};
use super::words::Said;
use medlock_device::platform::Ticks;
use medlock_device::{Address, CallId, Event, Failure, Peer, Status};
use medlock_trust::role::Role;

/// How long to wait, in ticks, before the hub is asked again.
const ASK_AGAIN_MILLIS: u64 = 10_000;
/// How often it is asked.
const TRIES: u8 = 40;
/// CoAP's 5.03: the hub is busy, or a person has to confirm.
const LATER: Status = Status::Failed(3);

/// A visit under way.
#[derive(Debug)]
pub(super) struct Visit {
    hub: Address,
    step: Step,
    left: u8,
}

#[derive(Debug)]
enum Step {
    /// A handshake is under way.
    Greeting,
    /// A credential was asked for in this session.
    Asked { peer: Peer, call: CallId },
    /// It is tried again then.
    Resting { until: Ticks },
}

impl Rig<'_> {
    /// Goes to the hub for a credential: the first with the birth credential, a renewed one later.
    pub(super) fn visit(&mut self, hub: Address) -> Result<(), String> {
        self.core.connect(self.clock.now(), hub).map_err(|error| error.to_string())?;
        self.visit = Some(Visit { hub, step: Step::Greeting, left: TRIES });
        self.hub = Some(hub);
        Ok(())
    }

    /// Goes to the hub for another credential when the key that issued the one in use was stolen.
    pub(super) fn come_back(&mut self) {
        if self.visit.is_none()
            && let Some(hub) = self.hub
            && self.core.lost_its_issuer(self.clock.now())
        {
            self.visit = Some(Visit { hub, step: Step::Resting { until: self.clock.now() }, left: TRIES });
        }
    }

    /// Goes again if it is time to.
    pub(super) fn visit_again(&mut self) {
        let now = self.clock.now();
        let Some(visit) = &mut self.visit else { return };
        if matches!(visit.step, Step::Resting { until } if until <= now) {
            visit.step = Step::Greeting;
            let hub = visit.hub;
            if self.core.connect(now, hub).is_err() {
                self.rest("no room for a session".to_owned());
            }
        }
    }

    /// Whether the event belongs to the visit; then it is dealt with.
    pub(super) fn visited(&mut self, event: &Event<'_>) -> bool {
        let Some(visit) = &self.visit else { return false };
        match (event, &visit.step) {
            (Event::Connected { peer, initiated: true, .. }, Step::Greeting) if self.is_hub(*peer) => self.ask(*peer),
            (Event::NotConnected { to, why }, Step::Greeting) if *to == visit.hub => match why {
                Failure::Unidentified(why) => self.refuse(why.to_string()),
                why => self.rest(why.to_string()),
            },
            (Event::Closed { peer, why, .. }, Step::Asked { peer: hub, .. }) if peer == hub => {
                self.rest(why.to_string());
            }
            (Event::Unanswered { call, why }, Step::Asked { call: asked, .. }) if call == asked => {
                self.rest(why.to_string());
            }
            (Event::Answered { call, status, payload, .. }, Step::Asked { call: asked, .. }) if call == asked => {
                let why = String::from_utf8_lossy(payload).into_owned();
                if *status == LATER { self.rest(why) } else { self.refuse(why) }
            }
            (Event::Enrolled { device }, Step::Asked { .. }) => {
                self.leave();
                say(&Said::Enrolled { device: hex(*device) });
            }
            (Event::NotEnrolled { why }, Step::Asked { .. }) => self.refuse(why.to_string()),
            _ => return false,
        }
        true
    }

    pub(super) fn is_hub(&self, peer: Peer) -> bool {
        self.core.identified(peer).is_some_and(|who| who.roles().contains(Role::Hub))
    }

    fn ask(&mut self, peer: Peer) {
        match self.core.enrol(self.clock.now(), peer, None) {
            Ok(call) => {
                if let Some(visit) = &mut self.visit {
                    visit.step = Step::Asked { peer, call };
                }
            }
            Err(why) => self.refuse(why.to_string()),
        }
    }

    fn rest(&mut self, why: String) {
        let until = self.clock.now().plus_millis(ASK_AGAIN_MILLIS);
        let Some(visit) = &mut self.visit else { return };
        visit.left = visit.left.saturating_sub(1);
        visit.step = Step::Resting { until };
        if visit.left == 0 {
            return self.refuse(why);
        }
        say(&Said::Waits { why });
    }

    fn refuse(&mut self, why: String) {
        self.leave();
        say(&Said::NotEnrolled { why });
    }

    /// The session with the hub has served: a new one shows the new credential.
    fn leave(&mut self) {
        if let Some(Visit { step: Step::Asked { peer, .. }, .. }) = self.visit.take() {
            self.core.close(peer);
        }
    }
}
