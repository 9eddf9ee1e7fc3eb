//! What the administrator looks at: who is told of what, and who read what of a patient, whatever consents hide from others.

use super::naming::ORIGIN;
use super::register::{Refused, SubscriptionView, Told, patient_named};
use crate::Clinical;
use crate::access::{Caller, Sight, Verb};
use crate::audit::{Event, Note};
use crate::kind::Kind;
use crate::store::{ListedSubscription, Wanted};
use serde_json::Value;
use std::collections::BTreeSet;

/// Events of a page.
const PAGE: usize = 200;

impl Clinical {
    /// Subscriptions that are not deleted: all that are told, and the newest of the others.
    pub(super) fn list_subscriptions(&self) -> Result<Told, Refused> {
        let (listed, more) = self.records().list_subscriptions()?;
        Ok(Told::Subscriptions { subscriptions: listed.into_iter().map(SubscriptionView::of).collect(), more })
    }

    /// The events of a patient, newest first. That they were read is one more.
    pub(super) fn show_audit(&self, patient: &str, after: Option<&str>) -> Result<Told, Refused> {
        let id = patient_named(patient).map_err(Refused::wrong)?;
        let (records, limit) = (self.records(), self.settings().search_limit);
        let rows = records.patients(&BTreeSet::from([id]))?;
        if rows.is_empty() {
            return Err(Refused::absent(patient.to_owned()));
        }
        let binding = format!("the audit of {patient}");
        let after = after.map(|sealed| {
            let wrong = || Refused::wrong(format!("{sealed:?} is no page of the audit of {patient}"));
            records.unseal(sealed, &binding).ok_or_else(wrong)
        });
        let after = after.transpose()?;
        let wanted = Wanted { patients: Some(vec![id]), ..Wanted::default() };
        let sight = Sight::of_what_was_named(Kind::AUDIT_EVENT);
        let found = records.events(&sight, &wanted, (PAGE, after.as_ref()), limit)?;
        let note = Note::of(&Caller::administrator(), Verb::Search, Kind::AUDIT_EVENT, ORIGIN.to_owned());
        let note = note.searching(&format!("patient={patient}")).about(Kind::AUDIT_EVENT, None, None, rows);
        if !self.audit().take(note) {
            return Err(Refused::unaudited());
        }
        let base = format!("{}/fhir", self.settings().public_url);
        let events: Vec<Value> =
            found.all.iter().map(|noted| Event::of(&found, noted, &noted.id(), &base).resource()).collect();
        Ok(Told::Events { events, next: found.next.as_ref().map(|next| records.seal(next, &binding)) })
    }
}

impl SubscriptionView {
    fn of(listed: ListedSubscription) -> Self {
        let ListedSubscription { id, software, account, status, criteria, endpoint, error } = listed;
        Self { id: id.to_string(), software, account, status, criteria, endpoint, error }
    }
}
