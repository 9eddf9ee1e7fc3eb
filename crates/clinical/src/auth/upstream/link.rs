//! Whose account somebody has whom the provider signed in for the first time: they say it, with an administrator's code.

use super::browser::{KEPT, upstream};
use super::config::{SignInConfig, Unknown};
use super::told::{LONGEST, is_subject};
use crate::Clinical;
use crate::auth::authorize::Problem;
use crate::auth::browser::{self, Answered, Browser, PATIENCE, returned, setup_code, told};
use crate::auth::clients::Account;
use crate::auth::register::{Refused, Told};
use crate::auth::{returning, screen};
use crate::store::Sworn;
use axum::response::Response;
use axum::routing::MethodRouter;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The step for which its ticket is sealed.
const LINK: &str = "upstream-link";

/// Somebody whom the provider signed in, and what was asked of them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) sworn: Sworn,
    /// How the provider calls them.
    pub(super) shown: String,
    /// When they signed in, in seconds since 1970.
    pub(super) since: i64,
    pub(super) asked: String,
}

/// The page that asks for name and code.
pub(super) fn page(clinical: &Clinical, browser: &Browser, name: &str, pending: &Pending, wrong: bool) -> Response {
    let now = clinical.clock().now().unix();
    // Texts and numbers are always written.
    let sealed = serde_json::to_vec(pending).unwrap_or_default();
    let who = (pending.shown.as_str(), pending.sworn.subject.as_str());
    screen::link(name, who, &browser.ticket(clinical, LINK, &sealed, now), wrong)
}

/// `POST /auth/upstream/link`
pub(crate) fn link() -> MethodRouter<Arc<Clinical>> {
    browser::form(by_code)
}

fn by_code(clinical: &Clinical, headers: &HeaderMap, body: &[u8], _: String) -> Answered {
    let upstream = upstream(clinical)?;
    let again = || Problem::Told("This page is too old.".to_owned());
    let (form, browser, sealed) = returned(clinical, headers, body, LINK)?;
    let mut pending: Pending = serde_json::from_slice(&sealed).map_err(|_| again())?;
    if upstream.config.unknown != Unknown::Code || upstream.config.issuer != pending.sworn.issuer {
        return Err(again());
    }
    let now = clinical.clock().now().unix();
    // Each wrong code brings the page again, and that makes the sign-in no younger.
    if now.saturating_sub(pending.since) >= PATIENCE {
        return Err(again());
    }
    pending.sworn.question.1 = now.saturating_add(KEPT);
    if form.get("decision") == Some("not-me") {
        clinical.records().drop_sign_in(pending.sworn.question).map_err(told)?;
        tracing::info!(subject = pending.sworn.subject, "who was signed in at the provider was somebody else");
        return Ok(screen::not_me(&upstream.config.name));
    }
    let (session, signed_in) = returning::begin(pending.since, now);
    let name = form.get("name").unwrap_or_default().trim();
    let account = clinical.records().account_named(name).map_err(told)?;
    let right = match account {
        None => false,
        Some(account) => {
            let code = setup_code(form.get("code").unwrap_or_default());
            let sworn = pending.sworn.clone();
            clinical.records().link_by_code(account, code, sworn, signed_in, now).map_err(told)?
        }
    };
    if !right {
        tracing::info!(name, "a sign-in at the provider was not linked to an account");
        return Ok(page(clinical, &browser, &upstream.config.name, &pending, true));
    }
    tracing::info!(name, issuer = pending.sworn.issuer, subject = pending.sworn.subject, "a sign-in was linked");
    Ok(returning::go_on(clinical, &session, pending.asked.as_bytes()))
}

impl Clinical {
    /// Says who an account is at the provider.
    pub(in crate::auth) fn link_account(&self, name: &str, subject: &str, now: i64) -> Result<Told, Refused> {
        let upstream = self.upstream().ok_or_else(|| Refused::wrong("[clinical.sign_in] names no provider"))?;
        if !is_subject(subject) {
            return Err(Refused::wrong(format!("{subject:?} is not 1 to {LONGEST} visible characters")));
        }
        let account = self.account_to_link(name)?;
        let SignInConfig { issuer, claim, .. } = &upstream.config;
        if !self.records().link(account.number, (issuer, claim, subject), now)? {
            let text = format!("{subject:?} has another account: unlink that first");
            return Err(Refused(StatusCode::CONFLICT, text));
        }
        Ok(Told::Done { text: format!("{name} is {subject:?} at {issuer}") })
    }

    /// Says that an account is nobody at the provider.
    pub(in crate::auth) fn unlink_account(&self, name: &str) -> Result<Told, Refused> {
        let account = self.account_to_link(name)?;
        let text = match self.records().unlink(account.number)? {
            true => format!("{name} is nobody at the provider any more, and the sessions that began there have ended"),
            false => format!("{name} was nobody at the provider"),
        };
        Ok(Told::Done { text })
    }

    fn account_to_link(&self, name: &str) -> Result<Account, Refused> {
        self.records().account_named(name)?.ok_or_else(|| Refused::absent(format!("account {name:?}")))
    }
}
