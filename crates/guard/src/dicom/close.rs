//! How an association ended, in words for the audit.

use crate::dicom::{
    pump::{Cause, Ended},
    tap,
};

/// How an association was closed in DICOM's own words.
#[derive(Default)]
pub(crate) struct Close {
    last: Option<tap::Event>,
}

impl Close {
    pub(crate) fn see(&mut self, event: tap::Event) {
        if matches!(event, tap::Event::Rejected(_) | tap::Event::Released | tap::Event::Aborted(..)) {
            self.last = Some(event);
        }
    }

    pub(crate) fn describe(&self, ended: &Ended) -> String {
        let how = match (self.last, &ended.cause) {
            (Some(tap::Event::Rejected(reject)), _) => {
                format!("refused by the called machine ({}/{}/{})", reject.result, reject.source, reject.reason)
            }
            (Some(tap::Event::Aborted(source, reason)), _) => format!("aborted ({source}/{reason})"),
            (Some(tap::Event::Released), _) => "released".to_owned(),
            (_, Cause::Closed) => "closed without a release".to_owned(),
            (_, Cause::Broken(end, error)) => format!("the connection of the {end:?} broke: {error}"),
            (_, Cause::Idle) => "silent for too long".to_owned(),
            (_, Cause::Violation(_, tap::Violation::NotPermitted { .. })) => "cut: a command not permitted".to_owned(),
            (_, Cause::Violation(..)) => "cut: not DICOM".to_owned(),
            (_, Cause::Cut) => "cut".to_owned(),
        };
        format!("{how}; {} bytes there, {} back", ended.from_requestor, ended.from_acceptor)
    }
}
