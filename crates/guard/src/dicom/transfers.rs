//! What an association transfers, gathered by patient and study for the audit.

use crate::{
    audit::{Happening, Study},
    dicom::tap::{End, Event, Instance},
};

/// The most studies followed at once in one association; the oldest is reported when a further one begins.
const MAX_STUDIES: usize = 32;

/// What was transferred and not yet reported, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    studies: Vec<(End, Study)>,
}

impl Transfers {
    /// Takes an event that `from` caused; `report` gets what the audit should know now, and who sent it.
    pub(crate) fn see(&mut self, from: End, event: Event, report: &mut impl FnMut(End, Happening)) {
        match event {
            Event::Storing(instance) => {
                self.study(from, &instance, report);
            }
            Event::Stored(instance) => self.study(from, &instance, report).count(&instance),
            Event::Answered { status, .. } if !is_stored(status) => {
                // Answers come in the order of the stores but for rare peers; the youngest study of the other end it is.
                if let Some((_, study)) = self.studies.iter_mut().rfind(|(sender, _)| *sender != from) {
                    study.failures += 1;
                }
            }
            Event::Asked(_, class) => report(from, Happening::Queried(class)),
            Event::Answered { .. }
            | Event::Accepted(_)
            | Event::Rejected(_)
            | Event::ReleaseRequested
            | Event::Released
            | Event::Aborted(..) => {}
        }
    }

    /// Reports all that is left.
    pub(crate) fn end(&mut self, report: &mut impl FnMut(End, Happening)) {
        for (from, study) in self.studies.drain(..) {
            report(from, Happening::Transferred(study));
        }
    }

    fn study(&mut self, from: End, instance: &Instance, report: &mut impl FnMut(End, Happening)) -> &mut Study {
        let found = self.studies.iter().position(|(sender, study)| *sender == from && study.has(instance));
        let index = found.unwrap_or_else(|| {
            if self.studies.len() == MAX_STUDIES {
                let (sender, oldest) = self.studies.remove(0);
                report(sender, Happening::Transferred(oldest));
            }
            let study = Study::of(instance);
            report(from, Happening::Transferring(study.clone()));
            self.studies.push((from, study));
            self.studies.len() - 1
        });
        &mut self.studies[index].1
    }
}

/// Success, or stored with a warning (PS3.7 annex C.1 to C.4).
pub(super) const fn is_stored(status: u16) -> bool {
    matches!(status, 0x0000 | 0x0001 | 0x0107 | 0x0116 | 0xb000..=0xbfff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::text::Uid;

    fn instance(study: usize) -> Instance {
        Instance { study: Uid::from_field(format!("1.{study}").as_bytes()), ..Instance::default() }
    }

    #[test]
    fn studies_are_reported_once_each_and_bounded() {
        let (mut transfers, mut reports) = (Transfers::default(), Vec::new());
        let mut report = |from, happening| reports.push((from, happening));
        for study in 0..40 {
            for _ in 0..3 {
                transfers.see(End::Requestor, Event::Storing(instance(study)), &mut report);
                transfers.see(End::Requestor, Event::Stored(instance(study)), &mut report);
                transfers.see(End::Acceptor, Event::Answered { status: 0xa700, message: None }, &mut report);
            }
            assert!(transfers.studies.len() <= MAX_STUDIES);
        }
        transfers.see(End::Acceptor, Event::Answered { status: 0xb007, message: None }, &mut report);
        transfers.end(&mut report);
        let begun = reports.iter().filter(|(_, happening)| matches!(happening, Happening::Transferring(_))).count();
        let ended: Vec<_> = reports
            .iter()
            .filter_map(|(_, happening)| match happening {
                Happening::Transferred(study) => Some((study.total(), study.failures)),
                _ => None,
            })
            .collect();
        assert_eq!((begun, ended.len()), (40, 40));
        assert!(ended.iter().all(|counts| *counts == (3, 3)), "{ended:?}");
    }
}
