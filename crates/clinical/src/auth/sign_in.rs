//! Signing in with a passkey, and making one: small parts of the pages, which need a script of ours; without it, or without
//! an authenticator, people sign in with a code.
//!
//! The question that a passkey answers is made of the page's ticket: it is for this browser, this step and some minutes, and
//! is answered once.

use super::authorize::{self, Problem};
use super::browser::{self, Answered, returned, told};
use super::clients::Account;
use super::form::Form;
use super::passkey::{Asked, CHALLENGE, Passkey, Refused};
use super::returning;
use super::screen::{Wrong, escaped};
use crate::Clinical;
use crate::store::Offer;
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use data_encoding::BASE64URL_NOPAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};
use medlock_node::provider::sha256;
use std::net::IpAddr;
use std::sync::Arc;

/// The script of both forms.
const SCRIPT: &str = include_str!("passkey.js");
/// The step of the form that makes one.
pub(super) const MAKE: &str = "passkey";
/// What stands in the place of that form once one was made.
pub(super) const MADE: &str =
    "<p class=\"soft\" role=\"status\">Your passkey is made. Sign in with it next time: you need no code any more.</p>";
/// How long a question counts as answered, in seconds: longer than its page.
const KEPT: i64 = 3_600;

/// `GET /auth/passkey.js`
pub(crate) async fn script() -> Response {
    let fixed = HeaderValue::from_static;
    let headers = [
        (CONTENT_TYPE, fixed("text/javascript; charset=utf-8")),
        (CACHE_CONTROL, fixed("no-cache")),
        (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
    ];
    (headers, SCRIPT).into_response()
}

/// `POST /auth/passkey`
pub(crate) fn passkey() -> MethodRouter<Arc<Clinical>> {
    browser::form(sign_in)
}

/// `POST /auth/passkey/new`
pub(crate) fn new_passkey() -> MethodRouter<Arc<Clinical>> {
    browser::form(make)
}

/// The name for which passkeys are made: the host of our address; none where that is no name.
fn rp_id(clinical: &Clinical) -> Option<&str> {
    let (_, authority) = clinical.settings().public_url.split_once("://")?;
    let host = if authority.starts_with('[') { authority } else { authority.split(':').next()? };
    let is_number = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    (!is_number).then_some(host)
}

/// What a ticket asks a passkey.
fn challenge(ticket: &str) -> [u8; CHALLENGE] {
    sha256(&[b"passkey\n", ticket.as_bytes()].concat())
}

/// The form with which one signs in; shown by the script.
pub(super) fn form(clinical: &Clinical, ticket: &str) -> String {
    let Some(rp) = rp_id(clinical) else { return String::new() };
    let challenge = BASE64URL_NOPAD.encode(&challenge(ticket));
    format!(
        "<form method=\"post\" action=\"/auth/passkey\" id=\"passkey\" data-challenge=\"{challenge}\" data-rp=\"{}\" \
         data-failed=\"No passkey answered. Try again, or sign in with a code.\" hidden>\
         <input type=\"hidden\" name=\"ticket\" value=\"{ticket}\"><input type=\"hidden\" name=\"credential\">\
         <input type=\"hidden\" name=\"client_data\"><input type=\"hidden\" name=\"authenticator_data\">\
         <input type=\"hidden\" name=\"signature\"><div class=\"row\">\
         <button type=\"button\" class=\"quiet\">Sign in with a passkey</button></div>\
         <p class=\"alarm\" role=\"alert\"></p></form>",
        escaped(rp)
    )
}

/// The form with which a person who has just signed in with a code makes a passkey; shown by the script.
pub(super) fn new_form(clinical: &Clinical, account: &Account, ticket: &str) -> String {
    let Some(rp) = rp_id(clinical) else { return String::new() };
    let challenge = BASE64URL_NOPAD.encode(&challenge(ticket));
    let user = BASE64URL_NOPAD.encode(account.subject.as_bytes());
    format!(
        "<form method=\"post\" action=\"/auth/passkey/new\" id=\"new-passkey\" data-challenge=\"{challenge}\" data-rp=\"{}\" \
         data-user=\"{user}\" data-name=\"{}\" data-failed=\"No passkey was made.\" hidden>\
         <input type=\"hidden\" name=\"ticket\" value=\"{ticket}\"><input type=\"hidden\" name=\"client_data\">\
         <input type=\"hidden\" name=\"attestation\">\
         <p class=\"soft\">With a passkey on this device you need no code next time.</p>\
         <div class=\"row\"><button type=\"button\" class=\"quiet\">Make a passkey</button></div>\
         <p class=\"alarm\" role=\"alert\"></p></form>",
        escaped(rp),
        escaped(&account.name)
    )
}

fn binary(form: &Form, name: &'static str) -> Result<Vec<u8>, Refused> {
    let text = form.get(name).ok_or(Refused::Form(name))?;
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| Refused::Form(name))
}

fn sign_in(clinical: &Clinical, headers: &HeaderMap, body: &[u8], origin: String) -> Answered {
    let (form, browser, query) = returned(clinical, headers, body, "login")?;
    let now = clinical.clock().now().unix();
    let challenge = challenge(form.get("ticket").unwrap_or_default());
    let (session, signed_in) = returning::begin(now, now);
    let taken = match used(clinical, &form, &challenge)? {
        Err(why) => Err(why.to_string()),
        Ok((passkey, counter)) => {
            let counters = (passkey.counter, counter);
            let question = (challenge, now.saturating_add(KEPT));
            let way = (&*authorize::read(clinical, &query)?.client.id, origin);
            let taken = clinical.records().sign_in_by(&passkey.id, counters, question, signed_in, way).map_err(told)?;
            if taken { Ok(()) } else { Err("the question was answered before".to_owned()) }
        }
    };
    if let Err(why) = taken {
        tracing::info!(why, "a passkey was refused");
        drop(browser);
        return browser::ask(clinical, headers, &query, Err(Wrong::Passkey));
    }
    Ok(returning::go_on(clinical, &session, &query))
}

/// The passkey that has answered, with its counter now.
fn used(
    clinical: &Clinical,
    form: &Form,
    challenge: &[u8; CHALLENGE],
) -> Result<Result<(Passkey, u32), Refused>, Problem> {
    let read = || Ok((binary(form, "credential")?, binary(form, "client_data")?));
    let (id, client_data) = match read() {
        Ok(read) => read,
        Err(why) => return Ok(Err(why)),
    };
    let known = clinical.records().passkey(&id).map_err(told)?;
    let origin = clinical.settings().public_url.as_str();
    let answer = || {
        let passkey = known.ok_or(Refused::Key)?;
        let asked = Asked { challenge, origin, rp_id: rp_id(clinical).ok_or(Refused::Origin)? };
        let (data, signature) = (binary(form, "authenticator_data")?, binary(form, "signature")?);
        let counter = passkey.used(&client_data, &data, &signature, &asked)?;
        Ok((passkey, counter))
    };
    Ok(answer())
}

fn make(clinical: &Clinical, headers: &HeaderMap, body: &[u8], _: String) -> Answered {
    let (form, browser, query) = returned(clinical, headers, body, MAKE)?;
    let now = clinical.clock().now().unix();
    let Some((account, Offer::Another)) = browser::offered(clinical, &browser, now)? else {
        return Err(Problem::Told("Sign in with a code to make a passkey.".to_owned()));
    };
    let challenge = challenge(form.get("ticket").unwrap_or_default());
    let made = || {
        let origin = clinical.settings().public_url.as_str();
        let asked = Asked { challenge: &challenge, origin, rp_id: rp_id(clinical).ok_or(Refused::Origin)? };
        Passkey::made(&binary(&form, "client_data")?, &binary(&form, "attestation")?, &asked)
    };
    let passkey = made().map_err(|why| Problem::Told(format!("The passkey is not taken: {why}.")))?;
    let question = (challenge, now.saturating_add(KEPT));
    if !clinical.records().keep_passkey(account.number, passkey, question, (browser.session, now)).map_err(told)? {
        return Err(Problem::Told("There is such a passkey already, or this page was sent before.".to_owned()));
    }
    tracing::info!(account = account.name, "a passkey was made");
    Ok(returning::to(clinical, &String::from_utf8_lossy(&query)))
}
