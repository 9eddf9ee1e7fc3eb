//! `/auth/authorize`: what software asks of a person (RFC 6749, section 4.1; SMART App Launch 2.2, section 2.0.9).

use super::answer::{OAuthError, Refused, away};
use super::clients::{Account, Client, Proof};
use super::form::Form;
use super::launch;
use super::pkce::Challenge;
use super::redirect::is_registered;
use super::scope::{Scopes, Whose, Word};
use crate::Clinical;
use crate::kind::Row;
use crate::store::Launch;
use data_encoding::BASE64URL_NOPAD;

/// Characters of a state, and of a nonce, at most; of a state at least.
const LONGEST: usize = 1_024;
const SHORTEST: usize = 8;
/// Characters that are said of scopes that are not given.
const SAID: usize = 300;

/// What software asks, checked as far as it can be without the person.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) client: Client,
    pub(super) redirect: String,
    pub(super) state: String,
    pub(super) challenge: Challenge,
    pub(super) scopes: Scopes,
    /// The thumbprint of the key that its tokens are to be bound to.
    pub(super) key: Option<[u8; 32]>,
    /// With what the app was opened.
    pub(super) launch: Option<Launch>,
    pub(super) nonce: Option<String>,
    /// How old a sign-in may be, in seconds.
    pub(super) oldest: Option<i64>,
    /// Whether nobody may be asked anything.
    pub(super) silent: bool,
}

/// Why a wish goes no further.
#[derive(Debug)]
pub(super) enum Problem {
    /// The person is told: nobody knows whose address the answer would go to.
    Told(String),
    /// The software is told.
    Sent { redirect: String, state: Option<String>, error: OAuthError },
}

impl Problem {
    fn told(text: impl Into<String>) -> Self {
        Self::Told(text.into())
    }
}

/// Reads a wish. The first check that fails answers. Blocks.
pub(super) fn read(clinical: &Clinical, query: &[u8]) -> Result<Wish, Problem> {
    let form = Form::read(query, &[]).map_err(|error| Problem::told(error.description))?;
    let Some(id) = form.get("client_id") else {
        return Err(Problem::told("The app does not say which one it is (client_id)."));
    };
    let client = clinical.client(id).map_err(|error| Problem::told(away(&error).description))?;
    let Some(client) = client else {
        return Err(Problem::told("This app is not known here. Its maker has to register it with the hospital."));
    };
    let Some(said) = form.get("redirect_uri") else {
        return Err(Problem::told("The app does not say where it waits for the answer (redirect_uri)."));
    };
    let redirect = Some(said).filter(|said| client.redirects.iter().any(|known| is_registered(known, said)));
    let Some(redirect) = redirect.map(str::to_owned) else {
        let text = "The app asks for an answer at an address that it has not registered (redirect_uri). Nothing was sent there.";
        return Err(Problem::told(text));
    };
    let state = form.get("state").map(str::to_owned);
    let wish = check(clinical, &form, &client);
    let sent = |error| Problem::Sent { redirect: redirect.clone(), state: state.clone(), error };
    let mut wish = wish.map_err(sent)?;
    wish.redirect = redirect;
    Ok(wish)
}

fn check(clinical: &Clinical, form: &Form, client: &Client) -> Result<Wish, OAuthError> {
    let wrong = |text: &'static str| OAuthError::new(Refused::InvalidRequest, text);
    if form.need("response_type")? != "code" {
        return Err(OAuthError::new(Refused::UnsupportedResponseType, "response_type is not code"));
    }
    for no in ["request", "request_uri", "response_mode"] {
        if form.get(no).is_some_and(|value| value != "query") {
            return Err(OAuthError::new(Refused::InvalidRequest, format!("{no} is not served")));
        }
    }
    let challenge = form.need("code_challenge")?;
    let challenge = Challenge::read(form.get("code_challenge_method"), challenge);
    let challenge =
        challenge.ok_or_else(|| wrong("code_challenge is not 43 characters with code_challenge_method=S256"))?;
    let audience = form.get("aud").or_else(|| form.get("resource"));
    let named = audience.is_some() || matches!(client.proof, Proof::Community(_));
    let here = || format!("{}/fhir", clinical.settings().public_url);
    if !named {
        let text = format!("aud is missing: it says whose data is asked for, which is here {}", here());
        return Err(OAuthError::new(Refused::InvalidRequest, text));
    }
    // UDAP does not know it: its software has registered for this server alone.
    let is_here = |audience: &str| clinical.bases().iter().any(|base| base == audience.trim_end_matches('/'));
    if !audience.is_none_or(is_here) {
        let text = format!("aud is not the address of this FHIR server, which is {}", here());
        return Err(OAuthError::new(Refused::InvalidRequest, text));
    }
    let state = form.need("state")?.to_owned();
    if !(SHORTEST..=LONGEST).contains(&state.len()) {
        return Err(wrong("state has less than 8 characters, or more than 1024"));
    }
    let nonce = form.get("nonce").map(str::to_owned);
    if nonce.as_ref().is_some_and(|nonce| nonce.len() > LONGEST) {
        return Err(wrong("nonce has more than 1024 characters"));
    }
    let key = form.get("dpop_jkt").map(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok());
    if key == Some(None) {
        return Err(wrong("dpop_jkt is not the thumbprint of a key by SHA-256 (RFC 7638)"));
    }
    let text = form.get("scope").unwrap_or_default();
    let asked = Scopes::read_known(text);
    let asked = asked.map_err(|error| OAuthError::new(Refused::InvalidScope, error.to_string()))?;
    // Apps are opened by software in its own name alone.
    let mut scopes = asked.within(&client.scopes, &clinical.settings().kinds).without(Word::Opens);
    let launch = match form.get("launch") {
        Some(_) if !scopes.has(Word::Launch) => {
            let text = "launch is given, and the scope launch is not asked for, or the client is not registered for it";
            return Err(OAuthError::new(Refused::InvalidScope, text));
        }
        Some(text) => Some(launch::find(clinical, text, &client.id)?),
        // Nobody has opened it: the scope means nothing.
        None => {
            scopes = scopes.without(Word::Launch);
            None
        }
    };
    asks_something(text, &scopes)?;
    let prompt = form.get("prompt").unwrap_or_default();
    let oldest = form.get("max_age").map(|age| age.parse::<u32>().map(i64::from)).transpose();
    let oldest = oldest.map_err(|_| wrong("max_age is no number of seconds"))?;
    let oldest = if prompt.split(' ').any(|one| one == "login") { Some(0) } else { oldest };
    let silent = prompt.split(' ').any(|one| one == "none");
    let (client, redirect, key) = (client.clone(), String::new(), key.flatten());
    Ok(Wish { client, redirect, state, challenge, scopes, key, launch, nonce, oldest, silent })
}

/// Whether there is something left that a person can be asked: of resources, or who they are to software that wanted no more. Words
/// that nobody knows are passed over beside it (OpenID Connect Core, section 3.1.2.1).
fn asks_something(asked: &str, left: &Scopes) -> Result<(), OAuthError> {
    let refused = |text: String| Err(OAuthError::new(Refused::InvalidScope, text));
    if left.any_of(Whose::System) {
        return refused(
            "system scopes are for software in its own name (grant_type=client_credentials): no person gives them"
                .to_owned(),
        );
    }
    let is_left = |one: &str| Word::ALL.into_iter().any(|word| word.name() == one && left.has(word));
    let lost: Vec<&str> = asked.split(' ').filter(|one| !one.is_empty() && !is_left(one)).collect();
    let of_resources = |one: &&str| ["patient/", "user/", "system/"].iter().any(|whose| one.starts_with(whose));
    let who_alone = left.is_empty() && left.has(Word::OpenId) && !lost.iter().any(of_resources);
    if who_alone || !left.is_empty() {
        return Ok(());
    }
    let lost: String = lost.join(" ").chars().take(SAID).collect();
    refused(match lost.as_str() {
        "" => "nothing is asked that a person could allow: ask for data too, such as patient/Observation.rs".to_owned(),
        lost => format!("not served, or not what this client is registered for: {lost}"),
    })
}

impl Wish {
    /// Whether a sign-in of that age will do without another one: an age of 0 asks for one each time.
    pub(super) fn takes(&self, signed_in: i64, now: i64) -> bool {
        self.oldest.is_none_or(|oldest| now.saturating_sub(signed_in) < oldest)
    }

    /// Whether a patient has to be chosen.
    pub(super) fn needs_patient(&self) -> bool {
        self.scopes.any_of(Whose::Patient) || self.scopes.has(Word::LaunchPatient) || self.opened_for().is_some()
    }

    /// Whether the person has to choose one: who is a patient is the one, and who opened the app may have said it.
    pub(super) fn needs_choice(&self, account: &Account) -> bool {
        self.needs_patient() && account.only().is_none() && self.opened_for().is_none()
    }

    /// The patient with whom the app was opened.
    pub(super) fn opened_for(&self) -> Option<Row> {
        self.launch.as_ref().and_then(|launch| launch.patient)
    }

    /// Whether the app was opened by this person, or by whoever it is.
    pub(super) fn is_opened_by(&self, account: &Account) -> bool {
        self.launch.as_ref().and_then(|launch| launch.account).is_none_or(|opener| opener == account.number)
    }

    /// What is sent to the software instead of a code.
    pub(super) fn problem(&self, error: OAuthError) -> Problem {
        Problem::Sent { redirect: self.redirect.clone(), state: Some(self.state.clone()), error }
    }
}

/// The address at which software gets its answer.
pub(super) fn answer_address(redirect: &str, parameters: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let separator = if redirect.contains('?') { '&' } else { '?' };
    format!("{redirect}{separator}{query}")
}
