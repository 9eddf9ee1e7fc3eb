//! A person with a browser: signs in, is asked, agrees or does not.
//!
//! No page needs a script; passkeys have one. What a form sends is believed because of its ticket, which was sealed for this browser and this
//! step, and because the browser says that the page is ours (`Origin`).

use super::answer::{OAuthError, Refused, away};
use super::authorize::{self, Problem, Wish, answer_address};
use super::choice::{Choice, who};
use super::clients::{Account, Proof};
use super::form::Form;
use super::scope::Word;
use super::screen::{self, Wrong};
use super::secret::Secret;
use super::{returning, sign_in, upstream};
use crate::Clinical;
use crate::access::{Holder, Sight};
use crate::audit::Note;
use crate::kind::{Id, Kind, Row};
use crate::store::{Given, NewCode, NewLeave, Offer};
use axum::body::Bytes;
use axum::extract::{Extension, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, post};
use data_encoding::BASE64URL_NOPAD;
use http::header::{CACHE_CONTROL, COOKIE, LOCATION, ORIGIN, REFERRER_POLICY, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use medlock_node::accept::PeerInfo;
use medlock_node::provider::sha256;
use std::sync::Arc;

/// How long one stays signed in, and may look at a page, in seconds.
pub(super) const SIGNED_IN: i64 = 12 * 3_600;
pub(super) const PATIENCE: i64 = 15 * 60;
/// How long a code is good, in seconds.
const CODE: i64 = 60;

/// A browser, by its cookie.
pub(super) struct Browser {
    /// SHA-256 of the cookie's value: the session, if it is one.
    pub(super) session: [u8; 32],
    /// The cookie to set, if there was none.
    fresh: Option<String>,
}

/// `GET /auth/authorize` and the same with a form.
pub(crate) async fn authorize(
    State(clinical): State<Arc<Clinical>>,
    method: Method,
    headers: HeaderMap,
    Extension(peer): Extension<PeerInfo>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    blocking(clinical, move |clinical| {
        let query = if method == Method::POST { body.to_vec() } else { query.unwrap_or_default().into_bytes() };
        ask(clinical, &headers, &query, Ok(peer.origin.to_string()))
    })
    .await
}

/// A form of ours that comes back: what is done then, for who is at an origin.
pub(super) fn form(step: fn(&Clinical, &HeaderMap, &[u8], String) -> Answered) -> MethodRouter<Arc<Clinical>> {
    post(
        async move |State(clinical): State<Arc<Clinical>>,
                    Extension(peer): Extension<PeerInfo>,
                    headers: HeaderMap,
                    body: Bytes| {
            blocking(clinical, move |clinical| step(clinical, &headers, &body, peer.origin.to_string())).await
        },
    )
}

/// `POST /auth/login`
pub(crate) fn login() -> MethodRouter<Arc<Clinical>> {
    form(sign_in_by_code)
}

/// `POST /auth/consent`
pub(crate) fn consent() -> MethodRouter<Arc<Clinical>> {
    form(decide)
}

/// What happened beyond the wish: the person is told.
pub(super) type Answered = Result<Response, Problem>;

pub(super) async fn blocking(
    clinical: Arc<Clinical>,
    work: impl FnOnce(&Clinical) -> Answered + Send + 'static,
) -> Response {
    let issuer = clinical.settings().public_url.clone();
    let answered = tokio::task::spawn_blocking(move || work(&clinical)).await;
    match answered {
        Ok(Ok(response)) => response,
        Ok(Err(Problem::Told(text))) => screen::told(&text),
        Ok(Err(Problem::Sent { redirect, state, error })) => {
            let mut parameters = vec![("error", error.refused.name()), ("error_description", &*error.description)];
            parameters.extend(state.as_deref().map(|state| ("state", state)));
            // RFC 9207 section 2: errors too.
            parameters.push(("iss", &issuer));
            go_to(&answer_address(&redirect, &parameters))
        }
        Err(_) => screen::told("Something failed here."),
    }
}

/// Looks who is there, and shows what there is to decide to who is at this origin; after a sign-in that failed, the page for that again.
pub(super) fn ask(clinical: &Clinical, headers: &HeaderMap, query: &[u8], origin: Result<String, Wrong>) -> Answered {
    let wish = authorize::read(clinical, query)?;
    let browser = Browser::of(clinical, headers);
    let now = clinical.clock().now().unix();
    let signed_in = session(clinical, &browser, now)?;
    let is_other = signed_in.as_ref().is_some_and(|(account, _)| !wish.is_opened_by(account));
    let signed_in = signed_in.filter(|(_, since)| {
        !is_other && (wish.takes(*since, now) || returning::signed_in_for(clinical, &browser, query))
    });
    let ticket = |step: &str| browser.ticket(clinical, step, query, now);
    let (wrong, origin) = (origin.as_ref().err().copied(), origin.ok());
    let wrong = wrong.or(is_other.then_some(Wrong::Other));
    let (account, origin) = match signed_in.zip(origin) {
        Some(((account, _), origin)) => (account, origin),
        _ if wish.silent => {
            return Err(wish.problem(OAuthError::new(Refused::LoginRequired, "nobody is signed in")));
        }
        _ => {
            let upstream = upstream::offer(clinical, ticket);
            let ticket = ticket("login");
            let passkey = sign_in::form(clinical, &ticket);
            let page = screen::Login { app: &wish.client.name, ticket: &ticket, passkey: &passkey, upstream, wrong };
            return Ok(browser.keep(clinical, screen::login(&page)));
        }
    };
    if wish.silent {
        return Err(wish.problem(OAuthError::new(Refused::ConsentRequired, "each agreement is asked for")));
    }
    let choice = if wish.needs_choice(&account) { Some(Choice::read(clinical, &account, query)?) } else { None };
    let about = wish.opened_for().map(|row| patient_named(clinical, &account, row)).transpose()?;
    let mut shown = choice.as_ref().map(|choice| choice.rows.clone()).unwrap_or_default();
    shown.extend(about.as_ref().and_then(|(_, row)| *row));
    if !shown.is_empty() {
        let note = Note::naming(&account, &wish.client.id, shown, origin);
        let note = note.searching(&choice.as_ref().map(Choice::query).unwrap_or_default());
        if !clinical.audit().take(note) {
            return Err(Problem::Told("Nothing is shown that cannot be audited: try again in a moment.".to_owned()));
        }
    }
    let passkey = match offered(clinical, &browser, now)? {
        Some((account, Offer::Another)) => sign_in::new_form(clinical, &account, &ticket(sign_in::MAKE)),
        Some((_, Offer::Made)) => sign_in::MADE.to_owned(),
        None => String::new(),
    };
    let page = screen::consent(&screen::Asked {
        app: &wish.client.name,
        person: &account.name,
        scopes: &wish.scopes,
        choice: choice.as_ref(),
        about: about.as_ref().map(|(name, _)| name.as_str()),
        passkey: &passkey,
        community: match &wish.client.proof {
            Proof::Community(member) => Some((&*member.community, &*member.uri)),
            Proof::None | Proof::Secret(_) | Proof::Keys { .. } => None,
        },
        days: clinical.settings().refresh_seconds / 86_400,
        ticket: &ticket("consent"),
        origin: origin_of(&wish.redirect),
    });
    Ok(browser.keep(clinical, page))
}

fn sign_in_by_code(clinical: &Clinical, headers: &HeaderMap, body: &[u8], origin: String) -> Answered {
    let (form, browser, query) = returned(clinical, headers, body, "login")?;
    let now = clinical.clock().now().unix();
    let (session, signed_in) = returning::begin(now, now);
    let name = form.get("name").unwrap_or_default().trim();
    let account = clinical.records().account_named(name).map_err(told)?;
    let right = match account {
        None => false,
        Some(account) => {
            let code = setup_code(form.get("code").unwrap_or_default());
            let wish = authorize::read(clinical, &query)?;
            clinical.records().sign_in_by_code(account, code, signed_in, (&wish.client.id, origin)).map_err(told)?
        }
    };
    if !right {
        tracing::info!(name, "a sign-in was refused");
        drop(browser);
        return ask(clinical, headers, &query, Err(Wrong::Code));
    }
    Ok(returning::go_on(clinical, &session, &query))
}

/// A setup code as it is kept, however it was typed.
pub(super) fn setup_code(typed: &str) -> [u8; 32] {
    let code: String = typed.chars().filter(char::is_ascii_alphanumeric).collect();
    sha256(code.to_ascii_uppercase().as_bytes())
}

fn decide(clinical: &Clinical, headers: &HeaderMap, body: &[u8], origin: String) -> Answered {
    let (form, browser, query) = returned(clinical, headers, body, "consent")?;
    let now = clinical.clock().now().unix();
    let wish = authorize::read(clinical, &query)?;
    // That the sign-in is young enough for it was seen when the page was made, which is good for some minutes and this session.
    let signed_in = session(clinical, &browser, now)?;
    let Some((account, since)) = signed_in.filter(|(account, _)| wish.is_opened_by(account)) else {
        return Err(Problem::Told("You are no longer signed in.".to_owned()));
    };
    let denied = |text: &'static str| wish.problem(OAuthError::new(Refused::AccessDenied, text));
    if form.get("decision") != Some("allow") {
        return Err(denied("the person does not allow it"));
    }
    let mut chosen: Vec<String> = form.all("scope").map(str::to_owned).collect();
    // What has no line of its own goes with the choice of a patient.
    chosen.extend([Word::LaunchPatient, Word::Launch].map(|word| word.name().to_owned()));
    let scopes = wish.scopes.chosen(&chosen);
    if scopes.is_empty() && !scopes.has(Word::OpenId) {
        return Err(denied("the person allows nothing of it"));
    }
    let patient = patient(clinical, &wish, &account, form.get("patient"))?;
    let code = Secret::new();
    let until = now.saturating_add(clinical.settings().refresh_seconds);
    let holder = Holder::Person { account: account.number, client: wish.client.id.clone(), patient };
    let kept = NewCode {
        hash: code.hash,
        session: browser.session,
        redirect: wish.redirect.clone(),
        challenge: *wish.challenge.as_bytes(),
        key: wish.key,
        launch: wish.launch.clone(),
        nonce: wish.nonce.clone(),
        signed_in: since,
        until: now.saturating_add(CODE),
    };
    let note = Note::agreeing(&account, &wish.client.id, patient, &scopes, origin);
    match clinical.records().keep_code(NewLeave { holder, scopes, made: now, until }, kept, note).map_err(told)? {
        Given::Kept => {}
        Given::Before => return Err(denied("the app was opened with this launch before")),
        Given::Ended => {
            return Err(Problem::Told("You are no longer signed in, or the app has just been removed.".to_owned()));
        }
    }
    let issuer = clinical.settings().public_url.as_str();
    let parameters = [("code", code.text.as_str()), ("state", wish.state.as_str()), ("iss", issuer)];
    Ok(go_to(&answer_address(&wish.redirect, &parameters)))
}

/// Whose data is meant: the person's own, or that of the patient who was chosen.
fn patient(clinical: &Clinical, wish: &Wish, account: &Account, chosen: Option<&str>) -> Result<Option<Row>, Problem> {
    if !wish.needs_patient() {
        return Ok(None);
    }
    if let Some(own) = account.only() {
        if wish.opened_for().is_some_and(|other| other != own) {
            let text = "the app was opened for another patient than the person is";
            return Err(wish.problem(OAuthError::new(Refused::AccessDenied, text)));
        }
        return Ok(Some(own));
    }
    if let Some(patient) = wish.opened_for() {
        return Ok(Some(patient));
    }
    let id = chosen.and_then(Id::read).ok_or_else(|| Problem::Told("Choose whose data it is about.".to_owned()))?;
    let seen = clinical.records().read(&clinical.sight_of_staff(account.row), Kind::PATIENT, &id).map_err(told)?;
    let seen = seen.filter(|stored| !stored.gone).map(|stored| stored.row);
    seen.map(Some).ok_or_else(|| Problem::Told("This patient is not here.".to_owned()))
}

/// The patient with this row, as it is said to this person, and the row if that is a name: where a consent hides whom the app was opened
/// for, the glass can still be broken in it.
fn patient_named(clinical: &Clinical, account: &Account, row: Row) -> Result<(String, Option<Row>), Problem> {
    let gone = || Problem::Told("The patient for whom the app was opened is not here.".to_owned());
    let register = Sight::of_register();
    let stored = clinical.records().patient_at(&register, row).map_err(told)?.ok_or_else(gone)?;
    let seen = match account.only() {
        Some(own) => own == row,
        None => clinical.records().patient_at(&clinical.sight_of_staff(account.row), row).map_err(told)?.is_some(),
    };
    Ok(match seen {
        true => (who(&stored.body, &stored.id, clinical.settings().patient_system.as_deref()), Some(row)),
        false => ("a patient whose name you may not see".to_owned(), None),
    })
}

/// What a form of ours brings back: its values, the browser, and the wish it is about.
pub(super) fn returned(
    clinical: &Clinical,
    headers: &HeaderMap,
    body: &[u8],
    step: &str,
) -> Result<(Form, Browser, Vec<u8>), Problem> {
    let again = || Problem::Told("This page is too old, or was opened in another browser.".to_owned());
    let from = headers.get(ORIGIN).and_then(|value| value.to_str().ok());
    if from != Some(clinical.settings().public_url.as_str()) {
        return Err(Problem::Told("This form was not sent from a page of this server.".to_owned()));
    }
    let form =
        Form::of_body_with(headers, body, &["scope"]).map_err(|error| Problem::Told(error.description.into_owned()))?;
    let browser = Browser::of(clinical, headers);
    let query = form.get("ticket").and_then(|ticket| browser.open(clinical, step, ticket)).ok_or_else(again)?;
    Ok((form, browser, query))
}

fn session(clinical: &Clinical, browser: &Browser, now: i64) -> Result<Option<(Account, i64)>, Problem> {
    clinical.records().session(browser.session, now).map_err(told)
}

/// Who has signed in just now, if there is something to say to them of passkeys, and what that is.
pub(super) fn offered(clinical: &Clinical, browser: &Browser, now: i64) -> Result<Option<(Account, Offer)>, Problem> {
    let signed_in = session(clinical, browser, now)?.filter(|(_, since)| now.saturating_sub(*since) < PATIENCE);
    let offer = clinical.records().offer(browser.session).map_err(told)?;
    Ok(signed_in.zip(offer).map(|((account, _), offer)| (account, offer)))
}

pub(super) fn told(error: medlock_store::Error) -> Problem {
    Problem::Told(away(&error).description.into_owned())
}

impl Browser {
    pub(super) fn of(clinical: &Clinical, headers: &HeaderMap) -> Self {
        let name = cookie_name(clinical);
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut values = cookies.flat_map(|value| value.split(';')).filter_map(|one| one.trim().split_once('='));
        match values.find(|(one, _)| *one == name) {
            Some((_, value)) => Self { session: sha256(value.as_bytes()), fresh: None },
            None => {
                let secret = Secret::new();
                Self { session: secret.hash, fresh: Some(secret.text) }
            }
        }
    }

    /// The one that is given this session.
    pub(super) const fn with_session(session: [u8; 32]) -> Self {
        Self { session, fresh: None }
    }

    /// The same answer, with the cookie if it is new.
    fn keep(&self, clinical: &Clinical, response: Response) -> Response {
        match &self.fresh {
            Some(value) => with_cookie(clinical, value, response),
            None => response,
        }
    }

    /// What a form brings back: sealed for this browser and this step, for a while.
    pub(super) fn ticket(&self, clinical: &Clinical, step: &str, query: &[u8], now: i64) -> String {
        let until = now.saturating_add(PATIENCE).to_be_bytes();
        let sealed = clinical.records().seal_for(&[until.as_slice(), query].concat(), &self.context(step));
        BASE64URL_NOPAD.encode(&sealed)
    }

    pub(super) fn open(&self, clinical: &Clinical, step: &str, ticket: &str) -> Option<Vec<u8>> {
        let sealed = BASE64URL_NOPAD.decode(ticket.as_bytes()).ok()?;
        let plain = clinical.records().unseal_for(&sealed, &self.context(step))?;
        let (until, query) = plain.split_first_chunk()?;
        (i64::from_be_bytes(*until) > clinical.clock().now().unix()).then(|| query.to_vec())
    }

    fn context(&self, step: &str) -> Vec<u8> {
        [step.as_bytes(), b"\n", &self.session].concat()
    }
}

fn is_secret(clinical: &Clinical) -> bool {
    clinical.settings().public_url.starts_with("https:")
}

/// A name that only this very host can set (RFC 6265bis section 4.1.3.2); over plain HTTP there is no such name.
fn cookie_name(clinical: &Clinical) -> &'static str {
    if is_secret(clinical) { "__Host-medlock" } else { "medlock" }
}

pub(super) fn with_cookie(clinical: &Clinical, value: &str, mut response: Response) -> Response {
    let secure = if is_secret(clinical) { "; Secure" } else { "" };
    let cookie =
        format!("{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={SIGNED_IN}{secure}", cookie_name(clinical));
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Sends the browser on, with a request of its own (RFC 9110 section 15.4.4).
pub(super) fn go_to(address: &str) -> Response {
    let Ok(address) = HeaderValue::from_str(address) else {
        return screen::told("The app's address cannot be used.");
    };
    let fixed = HeaderValue::from_static;
    let headers = [(LOCATION, address), (CACHE_CONTROL, fixed("no-store")), (REFERRER_POLICY, fixed("no-referrer"))];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// Scheme, host and port of an address that was checked when it was registered.
fn origin_of(address: &str) -> &str {
    let start = address.find("://").map_or(0, |at| at.saturating_add(3));
    let rest = address.get(start..).unwrap_or_default();
    let end = rest.find(['/', '?']).map_or(address.len(), |at| start.saturating_add(at));
    address.get(..end).unwrap_or(address)
}
