//! What must not work where a person lets software in: weaker proof keys, other addresses, codes and tokens that came before, and
//! more than was granted.

use super::case::{Case, Given, Told, after, case, ensure};
use super::launch::Arrived;
use super::subject::{Subject, refused};
use super::web::Answer;
use http::{Method, StatusCode};

pub(super) const CASES: &[Case] = &[
    case!(g10_smart_invalid_aud, "another server's address as aud is refused", |s| wish(
        s,
        &[("aud", "https://other.example/fhir")]
    )),
    case!(pkce_plain_challenge, "a proof key in plain text is refused", |s| wish(
        s,
        &[("code_challenge", PLAIN), ("code_challenge_method", "plain")]
    )),
    case!(pkce_method_missing, "a proof key of no method, which means plain, is refused", |s| wish(
        s,
        &[("code_challenge", PLAIN), ("code_challenge_method", "")]
    )),
    case!(pkce_missing, "no proof key is refused", |s| wish(
        s,
        &[("code_challenge", ""), ("code_challenge_method", "")]
    )),
    case!(implicit_grant, "a token in the address is refused", |s| wish(s, &[("response_type", "token")])),
    case!(client_unknown_at_authorize, "an app that is not registered is refused", |s| wish(
        s,
        &[("client_id", "no-such-app")]
    )),
    case!(launch_unknown, "a launch that nobody has begun is refused", |s| wish(
        s,
        &[("launch", "no-such-launch"), ("scope", "launch patient/Patient.rs")]
    )),
    case!(launch_replayed, "what an app was opened with counts once", launch_replayed),
    case!(redirect_unregistered, "nobody is sent to another server", |s| elsewhere(s, |_| {
        "https://evil.example/callback".to_owned()
    })),
    case!(redirect_longer, "nor to a longer path", |s| elsewhere(s, |own| format!("{own}/more"))),
    case!(redirect_with_user, "nor where the registered address is a user's name", |s| elsewhere(s, |own| own
        .replacen("://", "://evil@", 1))),
    case!(redirect_with_parameter, "nor with a parameter more", |s| elsewhere(s, |own| format!("{own}?more=1"))),
    case!(smart_no_verifier_token_request, "a code without its verifier is refused", |s| exchange(s, |_| vec![(
        "code_verifier",
        String::new()
    )])),
    case!(smart_blank_verifier_token_request, "with a blank one too", |s| exchange(s, |_| vec![(
        "code_verifier",
        " ".to_owned()
    )])),
    case!(smart_bad_code_verifier_token_request, "with another one too", |s| exchange(s, |_| vec![(
        "code_verifier",
        PLAIN.to_owned()
    )])),
    case!(smart_plain_code_verifier_token_request, "with the challenge itself too", challenge_as_verifier),
    case!(redirect_mismatch_at_token, "with another redirect than it was asked for", |s| exchange(s, |own| vec![(
        "redirect_uri",
        format!("{}/more", own.redirect)
    )])),
    case!(code_of_another_client, "by another client", |s| exchange(s, |_| vec![(
        "client_id",
        "no-such-app".to_owned()
    )])),
    case!(g10_smart_invalid_token_request, "a code that nobody gave is refused", unknown_code),
    case!(code_replayed, "a code counts once, and what came of it ends", replayed),
    case!(g10_invalid_token_refresh, "a refresh token that nobody gave is refused", unknown_refresh),
    case!(refresh_scope_widening, "a refresh gives no more than was granted", widened),
    case!(refresh_replayed, "a refresh token of an app without a secret counts once", refresh_replayed),
    case!(
        access_token_as_refresh_token,
        "an access token refreshes nothing, and a refresh token reads nothing",
        swapped
    ),
    case!(token_in_address, "a token in the address is not one that is shown", in_address),
    case!(write_beyond_scope, "a token for reading writes nothing", writes),
];

/// What is no verifier of ours.
const PLAIN: &str = "conformance-conformance-conformance-conformance";

/// Fails where a good sign-in fails: then nothing is shown by what is refused.
async fn good(subject: &Subject) -> Given<()> {
    after("smart_token_exchange_stu2_2", subject.launched().await).map(drop)
}

async fn wish(subject: &Subject, change: &[(&str, &str)]) -> Told {
    good(subject).await?;
    subject.wish_refused(change).await
}

async fn launch_replayed(subject: &Subject) -> Told {
    after("smart_ehr_launch_stu2_2", subject.opened().await)?;
    let launch = subject.person()?.launch.clone().unwrap_or_default();
    subject.wish_refused(&[("launch", &launch), ("scope", "launch openid fhirUser patient/*.rs")]).await
}

async fn elsewhere(subject: &Subject, to: impl Fn(&str) -> String) -> Told {
    good(subject).await?;
    let to = to(&subject.person()?.redirect);
    subject.wish_refused(&[("redirect_uri", &to)]).await
}

/// A code of its own is refused with this change.
async fn exchange(subject: &Subject, change: impl Fn(&Arrived) -> Vec<(&'static str, String)>) -> Told {
    good(subject).await?;
    let arrived = subject.allowed(&[]).await?;
    let change = change(&arrived);
    let change: Vec<(&str, &str)> = change.iter().map(|(name, value)| (*name, value.as_str())).collect();
    no_token(&subject.exchange(&arrived, &change).await?)
}

fn no_token(answer: &Answer) -> Told {
    refused(answer, &["invalid_grant", "invalid_request", "invalid_client", "unauthorized_client"])
}

async fn challenge_as_verifier(subject: &Subject) -> Told {
    use base64::Engine as _;
    let challenge = |own: &Arrived| {
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(medlock_node::provider::sha256(own.verifier.as_bytes()))
    };
    exchange(subject, |own| vec![("code_verifier", challenge(own))]).await
}

async fn unknown_code(subject: &Subject) -> Told {
    good(subject).await?;
    let mut arrived = subject.launched().await?.arrived.clone();
    arrived.parameters = vec![("code".to_owned(), "no-such-code".to_owned())];
    no_token(&subject.exchange(&arrived, &[]).await?)
}

async fn replayed(subject: &Subject) -> Told {
    good(subject).await?;
    let own = subject.launch(&[]).await?;
    no_token(&subject.exchange(&own.arrived, &[]).await?)?;
    let read = subject.get("Patient", own.token()?).await?;
    ensure(
        read.status == StatusCode::UNAUTHORIZED,
        format!("the first token goes on (RFC 6749, section 4.1.2): {read}"),
    )
}

async fn unknown_refresh(subject: &Subject) -> Told {
    good(subject).await?;
    refused(&subject.refresh("no-such-token", &[]).await?, &["invalid_grant", "invalid_request", "invalid_client"])
}

async fn widened(subject: &Subject) -> Told {
    good(subject).await?;
    let own = subject.launch(&[("scope", "launch/patient offline_access patient/Patient.rs")]).await?;
    let more = "launch/patient offline_access patient/*.cruds user/*.cruds system/*.cruds";
    let answer = subject.refresh(own.text("refresh_token")?, &[("scope", more)]).await?;
    if !answer.status.is_success() {
        return refused(&answer, &["invalid_scope", "invalid_request"]);
    }
    let given = answer.text("scope").unwrap_or_default();
    let wider = given.split_whitespace().find(|one| !own.scopes().any(|had| had == *one));
    ensure(wider.is_none(), format!("{wider:?} was not granted"))?;
    let read = subject.get("Observation", &answer.text("access_token").unwrap_or_default()).await?;
    ensure(!read.status.is_success(), format!("its token reads more than it says: {read}"))
}

async fn refresh_replayed(subject: &Subject) -> Told {
    good(subject).await?;
    if subject.person()?.secret.is_some() {
        return Err(super::case::skipped("needs an app without a secret (--app without --app-secret)"));
    }
    let own = subject.launch(&[]).await?;
    let token = own.text("refresh_token")?;
    let answer = subject.refresh(token, &[]).await?;
    ensure(answer.status == StatusCode::OK, answer.to_string())?;
    refused(&subject.refresh(token, &[]).await?, &["invalid_grant"])
}

async fn swapped(subject: &Subject) -> Told {
    good(subject).await?;
    let launched = subject.launched().await?;
    let refresh = launched.text("refresh_token")?;
    refused(&subject.refresh(launched.token()?, &[]).await?, &["invalid_grant", "invalid_request", "invalid_client"])?;
    let read = subject.get("Patient", refresh).await?;
    ensure(read.status == StatusCode::UNAUTHORIZED, read.to_string())
}

async fn in_address(subject: &Subject) -> Told {
    good(subject).await?;
    let token = subject.launched().await?.token()?;
    let answer = subject.web.ask(Method::GET, subject.fhir(&format!("Patient?access_token={token}"))).send().await?;
    ensure(!answer.status.is_success(), "a token in an address was taken: it stands in logs and histories")
}

async fn writes(subject: &Subject) -> Told {
    good(subject).await?;
    let own = subject.launch(&[("scope", "launch/patient patient/*.rs")]).await?;
    let patient = own.text("patient")?;
    let observation = serde_json::json!({
        "resourceType": "Observation", "status": "final", "code": { "text": "conformance" },
        "subject": { "reference": format!("Patient/{patient}") },
    });
    let answer = subject.ask(Method::POST, "Observation", own.token()?).resource(&observation).send().await?;
    ensure(matches!(answer.status.as_u16(), 401 | 403), answer.to_string())?;
    let answer = subject.ask(Method::DELETE, &format!("Patient/{patient}"), own.token()?).send().await?;
    ensure(matches!(answer.status.as_u16(), 401 | 403), answer.to_string())
}
