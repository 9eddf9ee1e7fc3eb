//! Images that the guard's machine sent and a peer took: whoever keeps records is told of each.

use crate::dicom::{
    tap::{End, Event, Instance},
    transfers::is_stored,
};
use std::{collections::VecDeque, fmt::Debug};

/// The most stores of one association whose answers are waited for. Stock peers send one and wait for its answer; of more than
/// these, the oldest are not told.
const MOST_UNANSWERED: usize = 64;

/// Who is told of images. Called while an association's bytes pass: it returns at once.
pub trait Images: Debug + Send + Sync {
    /// The machine sent this instance, and the peer says that it has stored it.
    fn stored(&self, instance: Instance);
}

/// Nobody keeps records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Untold;

impl Images for Untold {
    fn stored(&self, _: Instance) {}
}

/// What one end of an association has sent and is not answered yet, oldest first.
#[derive(Debug)]
pub(crate) struct Unanswered {
    sender: End,
    sent: VecDeque<Instance>,
}

impl Unanswered {
    /// Of what `sender` sends.
    pub(crate) const fn of(sender: End) -> Self {
        Self { sender, sent: VecDeque::new() }
    }

    /// Takes an event that `from` caused; the instance that has been stored by it.
    pub(crate) fn see(&mut self, from: End, event: Event) -> Option<Instance> {
        match event {
            Event::Stored(instance) if from == self.sender => {
                if self.sent.len() == MOST_UNANSWERED {
                    self.sent.pop_front();
                }
                self.sent.push_back(instance);
                None
            }
            Event::Answered { status, message } if from != self.sender => {
                // Numbers may come again: then the first is answered.
                let place = self.sent.iter().position(|instance| instance.message == message)?;
                self.sent.remove(place).filter(|_| is_stored(status))
            }
            Event::Accepted(_)
            | Event::Rejected(_)
            | Event::Storing(_)
            | Event::Stored(_)
            | Event::Answered { .. }
            | Event::Asked(..)
            | Event::ReleaseRequested
            | Event::Released
            | Event::Aborted(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::text::Uid;

    fn instance(number: u16) -> Instance {
        let sop_instance = Uid::from_field(format!("1.2.{number}").as_bytes());
        Instance { sop_instance, message: Some(number), ..Instance::default() }
    }

    const fn answered(status: u16, number: u16) -> Event {
        Event::Answered { status, message: Some(number) }
    }

    /// Shows REQ-INTAKE-44: only what was answered as stored, by the number of its message, and of this end alone.
    #[test]
    fn what_the_peer_took_is_told() {
        let mut unanswered = Unanswered::of(End::Requestor);
        for number in [1, 2, 3] {
            assert_eq!(unanswered.see(End::Requestor, Event::Stored(instance(number))), None);
        }
        assert_eq!(unanswered.see(End::Requestor, answered(0, 2)), None, "an answer of its own");
        assert_eq!(unanswered.see(End::Acceptor, answered(0, 2)), Some(instance(2)));
        assert_eq!(unanswered.see(End::Acceptor, answered(0, 2)), None, "once");
        assert_eq!(unanswered.see(End::Acceptor, answered(0xa700, 1)), None, "out of resources");
        assert_eq!(unanswered.see(End::Acceptor, answered(0xb000, 3)), Some(instance(3)), "with a warning");
        assert_eq!(unanswered.see(End::Acceptor, Event::Stored(instance(4))), None);
        assert_eq!(unanswered.see(End::Acceptor, answered(0, 4)), None, "the peer's own images");
        for number in 0..1_000 {
            unanswered.see(End::Requestor, Event::Stored(instance(number)));
        }
        assert_eq!(unanswered.sent.len(), MOST_UNANSWERED);
    }
}
