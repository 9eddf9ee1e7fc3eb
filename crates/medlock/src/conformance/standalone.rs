//! Software that a person lets in: launch, tokens, who has signed in, refresh, and what a token reaches.

use super::case::{Case, Given, Told, after, case, ensure, failed, skipped};
use super::discovery::{ORIGIN, shared};
use super::launch::Launched;
use super::parts;
use super::subject::{ASSERTION, Subject, now, refused};
use super::web::{Answer, changed};
use http::{Method, StatusCode};
use medlock_clinical::jose::{Claims, Compact, KeySet};
use serde_json::Value;

pub(super) const CASES: &[Case] = &[
    case!(smart_app_redirect_stu2, "a person who allows it is sent back, with the state that was sent", redirect),
    case!(smart_code_received, "with a code, and the issuer if the server says that it tells it", code),
    case!(smart_token_exchange_stu2_2, "the code gets a token", exchanged),
    case!(smart_token_response_body_stu2_2, "token, type, lifetime and scope are told", body),
    case!(smart_token_response_headers, "no cache keeps the answer", headers),
    case!(smart_cors_token_exchange, "software in any page may read it", cors_token),
    case!(g10_patient_context, "the patient of the token is told, and can be read", patient),
    case!(g10_patient_scope, "the token reads nobody but the patient", patient_only),
    case!(g10_smart_scopes, "no scope is given that was not asked for", scopes),
    case!(g10_resource_access_test, "each kind of its scopes can be searched", access),
    case!(g10_limited_scope_grant, "a token for Patients alone reads nothing else", limited),
    case!(g10_smart_v1_scopes, "scopes of version 1 are understood, or refused", old_scopes),
    case!(
        g10_smart_fine_grained_scopes,
        "a scope with a search gives what the search finds, and no more",
        fine_grained
    ),
    case!(smart_openid_decode_id_token, "the ID token is a signed token", decode),
    case!(smart_openid_token_header, "a published key has signed it", id_header),
    case!(smart_openid_token_payload, "issuer, audience, times and nonce are right", id_payload),
    case!(smart_openid_fhir_user_claim, "fhirUser names a person who can be read", fhir_user),
    case!(smart_cors_openid_fhir_user_claim, "also by software in a page", cors_fhir_user),
    case!(smart_token_introspection_request_group, "a live token is active, and says client and scope", introspect),
    case!(
        smart_token_introspection_response_group,
        "a token that nobody gave is not active, and says nothing",
        introspect_unknown
    ),
    case!(smart_token_refresh_stu2, "a refresh token gets another token", refresh),
    case!(smart_token_refresh_body, "of no more scope, which reads the same", refresh_body),
    case!(g10_token_revocation, "what is revoked is dead, and what came of it", revocation),
    case!(smart_ehr_launch_stu2_2, "an app that was opened for a patient gets that patient", opened),
    case!(g10_smart_need_patient_banner, "and whether it has to show whose data it is", banner),
];

/// The sign-in that cases share, where it came about.
async fn launched(subject: &Subject) -> Given<&Launched> {
    after("smart_token_exchange_stu2_2", subject.launched().await)
}

async fn redirect(subject: &Subject) -> Told {
    // Who came with another state was not heard.
    subject.launched().await.map(drop)
}

async fn code(subject: &Subject) -> Told {
    let launched = launched(subject).await?;
    launched.arrived.code()?;
    let told = subject.smart().await?;
    if told["authorization_response_iss_parameter_supported"] == true {
        let iss = launched.arrived.parameter("iss");
        ensure(iss == told["issuer"].as_str(), format!("iss is {iss:?} (RFC 9207)"))?;
    }
    Ok(())
}

async fn exchanged(subject: &Subject) -> Told {
    subject.launched().await.map(drop)
}

async fn body(subject: &Subject) -> Told {
    let given = &launched(subject).await?.given;
    let bearer = given["token_type"].as_str().is_some_and(|of| of.eq_ignore_ascii_case("bearer"));
    ensure(bearer, format!("token_type is {}", given["token_type"]))?;
    ensure(given["scope"].is_string(), "scope is missing")?;
    let seconds = given["expires_in"].as_i64().unwrap_or_default();
    ensure(
        (1..=3_600).contains(&seconds),
        format!("expires_in is {seconds}: an hour is the most that is recommended"),
    )?;
    let contexts = given.get("fhirContext").is_none_or(|all| {
        all.as_array().is_some_and(|all| {
            all.iter().all(|one| {
                one["reference"].is_string() || one["canonical"].is_string() || one["identifier"].is_object()
            })
        })
    });
    ensure(contexts, format!("fhirContext is {}", given["fhirContext"]))
}

async fn headers(subject: &Subject) -> Told {
    let answer = &launched(subject).await?.answer;
    ensure(answer.header("cache-control").contains("no-store"), "cache-control is not no-store")?;
    ensure(answer.header("pragma").contains("no-cache"), "pragma is not no-cache")
}

async fn cors_token(subject: &Subject) -> Told {
    launched(subject).await?;
    let endpoint = subject.endpoint("token_endpoint").await?;
    let pairs =
        [("grant_type", "authorization_code"), ("code", "none"), ("redirect_uri", "none"), ("code_verifier", "none")];
    let answer = subject.app_asks(endpoint, &pairs)?.header("origin", ORIGIN).send().await?;
    let allowed = answer.header("access-control-allow-origin");
    ensure(["*", ORIGIN].contains(&allowed), format!("access-control-allow-origin is {allowed:?}: {answer}"))
}

async fn patient(subject: &Subject) -> Told {
    let launched = launched(subject).await?;
    let answer = subject.get(&format!("Patient/{}", launched.text("patient")?), launched.token()?).await?;
    ensure(answer.status == StatusCode::OK && answer.json()["resourceType"] == "Patient", answer.to_string())
}

async fn opened(subject: &Subject) -> Told {
    let opened = subject.opened().await?;
    let answer = subject.get(&format!("Patient/{}", opened.text("patient")?), opened.token()?).await?;
    ensure(answer.status == StatusCode::OK && answer.json()["resourceType"] == "Patient", answer.to_string())
}

async fn banner(subject: &Subject) -> Told {
    let opened = after("smart_ehr_launch_stu2_2", subject.opened().await)?;
    let told = &opened.given["need_patient_banner"];
    ensure(told.is_boolean(), format!("need_patient_banner is {told}"))
}

/// The resources of a searchset.
pub(super) fn entries(answer: &Answer) -> Vec<Value> {
    let told = answer.json();
    let entries = told["entry"].as_array().into_iter().flatten();
    entries.map(|entry| entry["resource"].clone()).filter(|one| one["resourceType"] != "OperationOutcome").collect()
}

async fn patient_only(subject: &Subject) -> Told {
    let launched = launched(subject).await?;
    let own = launched.text("patient")?;
    let answer = subject.get("Patient?_count=50", launched.token()?).await?;
    if answer.status.is_success() {
        let other = entries(&answer).into_iter().find(|one| one["id"] != own);
        ensure(other.is_none(), format!("Patient/{} was found too", other.unwrap_or_default()["id"]))?;
    }
    for kind in ["Observation", "Device"] {
        let answer = subject.get(&format!("{kind}?_count=50"), launched.token()?).await?;
        for found in entries(&answer) {
            let whose = ["subject", "patient"].iter().find_map(|name| found[name]["reference"].as_str());
            let theirs = whose
                .is_none_or(|whose| whose == format!("Patient/{own}") || whose.ends_with(&format!("/Patient/{own}")));
            ensure(theirs, format!("{kind}/{} is of {whose:?}", found["id"]))?;
        }
    }
    Ok(())
}

async fn scopes(subject: &Subject) -> Told {
    let launched = launched(subject).await?;
    let asked = &subject.person()?.scope;
    // A server may say a scope of version 1 in the words of version 2, but not of others.
    let whose = |scope: &str| scope.split(['.', '?']).next().unwrap_or_default().to_owned();
    for given in launched.scopes() {
        let fits = asked.split_whitespace().any(|one| {
            one == given
                || whose(one) == whose(given)
                || (whose(one).ends_with("/*") && given.starts_with(whose(one).trim_end_matches('*')))
        });
        ensure(fits, format!("{given} was given, and {asked} asked"))?;
    }
    ensure(launched.scopes().count() > 0, "no scope was given")
}

async fn access(subject: &Subject) -> Told {
    let launched = launched(subject).await?;
    let own = launched.text("patient")?;
    let all = launched.scopes().any(|scope| scope.starts_with("patient/*"));
    let named = launched.scopes().filter_map(|scope| scope.strip_prefix("patient/")?.split('.').next());
    let kinds: Vec<String> =
        if all { ["Patient", "Observation"].map(str::to_owned).to_vec() } else { named.map(str::to_owned).collect() };
    ensure(!kinds.is_empty(), "no scope of a patient was given")?;
    for kind in kinds {
        let query =
            if kind == "Patient" { format!("Patient?_id={own}") } else { format!("{kind}?patient={own}&_count=1") };
        let answer = subject.get(&query, launched.token()?).await?;
        ensure(answer.status == StatusCode::OK && answer.json()["type"] == "searchset", answer.to_string())?;
    }
    Ok(())
}

async fn limited(subject: &Subject) -> Told {
    launched(subject).await?;
    let narrow = subject.launch(&[("scope", "launch/patient patient/Patient.rs")]).await?;
    let answer = subject.get("Patient", narrow.token()?).await?;
    ensure(answer.status == StatusCode::OK, answer.to_string())?;
    let answer = subject.get("Observation", narrow.token()?).await?;
    ensure(matches!(answer.status.as_u16(), 401 | 403 | 404), answer.to_string())
}

async fn old_scopes(subject: &Subject) -> Told {
    launched(subject).await?;
    let capabilities = subject.smart().await?["capabilities"].to_string();
    if !capabilities.contains("\"permission-v1\"") {
        return subject.wish_refused(&[("scope", "launch/patient patient/Patient.read")]).await;
    }
    let old = subject.launch(&[("scope", "launch/patient patient/Patient.read")]).await?;
    let answer = subject.get("Patient", old.token()?).await?;
    ensure(answer.status == StatusCode::OK, answer.to_string())
}

async fn fine_grained(subject: &Subject) -> Told {
    let first = launched(subject).await?;
    // Without somebody who writes, there is only what the patient has.
    let planted = match (subject.backend_token().await, first.text("patient")) {
        (Ok(token), Ok(patient)) => parts::plant(subject, &token, patient).await.ok(),
        _ => None,
    };
    let scope = format!("launch/patient patient/Patient.rs patient/Observation.rs?{}", parts::constraint());
    let narrow = subject.launch(&[("scope", &scope)]).await?;
    let given = narrow.scopes().find(|scope| scope.starts_with("patient/Observation")).map(str::to_owned);
    // One that does not understand it gives nothing, and not all.
    let Some(given) = given else {
        let answer = subject.get("Observation?_count=50", narrow.token()?).await?;
        ensure(matches!(answer.status.as_u16(), 401 | 403 | 404), format!("it is not given, and reads: {answer}"))?;
        return Err(skipped("needs a server that gives scopes with a search"));
    };
    parts::are_all_it_sees(subject, &given, narrow.token()?, planted.as_ref()).await
}

/// The ID token, and its claims if a published key has signed it.
async fn id_token(subject: &Subject) -> Given<(String, Claims)> {
    let launched = launched(subject).await?;
    let token = launched.text("id_token")?.to_owned();
    let read = Compact::read(&token).map_err(|error| failed(error.to_string()))?;
    let keys = subject.web.get(subject.endpoint("jwks_uri").await?).send().await?;
    let set = KeySet::from_json(&keys.body).map_err(|error| failed(format!("{error}: {keys}")))?;
    let key = set.find(read.header().key_id.as_deref(), read.header().algorithm);
    let key = key.ok_or_else(|| failed("no published key fits its kid and alg"))?.clone();
    let claims = read.verify(&key).map_err(|error| failed(error.to_string()))?;
    Ok((token, claims))
}

async fn decode(subject: &Subject) -> Told {
    let token = launched(subject).await?.text("id_token")?;
    Compact::read(token).map(drop).map_err(|error| failed(error.to_string()))
}

async fn id_header(subject: &Subject) -> Told {
    id_token(subject).await.map(drop)
}

async fn id_payload(subject: &Subject) -> Told {
    let (_, claims) = id_token(subject).await?;
    let text = |name: &'static str| claims.text(name).map_err(|error| failed(error.to_string()));
    let time =
        |name: &'static str| claims.time(name).map(|time| time.unix()).map_err(|error| failed(error.to_string()));
    let issuer = subject.smart().await?["issuer"].as_str().unwrap_or_default();
    ensure(text("iss")? == issuer, "iss is not the issuer")?;
    let audiences = claims.audiences().map_err(|error| failed(error.to_string()))?;
    ensure(audiences.contains(&subject.person()?.app), format!("aud is {audiences:?}"))?;
    ensure(text("nonce")? == launched(subject).await?.arrived.nonce, "nonce is not the one that was sent")?;
    ensure(!text("sub")?.is_empty() && text("sub")?.len() <= 255, "sub is empty or too long")?;
    ensure(time("iat")? <= now() + 60 && time("exp")? > now() - 60, "iat and exp do not fit the time now")
}

/// Who has signed in, as software asks for it.
async fn person(subject: &Subject) -> Given<Answer> {
    let (_, claims) = id_token(subject).await?;
    let user = claims.optional_text("fhirUser").ok().flatten();
    let user = user.ok_or_else(|| skipped("needs fhirUser in the ID token: ask for the scope fhirUser"))?;
    let address = if user.contains("://") { user } else { subject.fhir(&user) };
    let ask = subject.web.ask(Method::GET, address).bearer(launched(subject).await?.token()?);
    Ok(ask.header("origin", ORIGIN).send().await?)
}

async fn fhir_user(subject: &Subject) -> Told {
    let answer = person(subject).await?;
    let of = answer.text("resourceType").unwrap_or_default();
    let person = ["Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person"].contains(&&*of);
    ensure(answer.status == StatusCode::OK && person, answer.to_string())
}

async fn cors_fhir_user(subject: &Subject) -> Told {
    shared(&person(subject).await?)
}

/// What is told of a token: by an app that has a secret of its own token, by software with a key of its own.
async fn introspected(subject: &Subject, unknown: Option<&str>) -> Given<(Answer, String, String)> {
    let endpoint = subject.endpoint("introspection_endpoint").await?;
    if let Some(person) = subject.person.as_ref().filter(|person| person.secret.is_some()) {
        let launched = launched(subject).await?;
        let token = unknown.map_or_else(|| launched.token(), Ok)?;
        let answer = subject.app_asks(endpoint, &[("token", token)])?.send().await?;
        return Ok((answer, person.app.clone(), launched.text("scope")?.to_owned()));
    }
    let backend = subject.backend().map_err(|_| skipped("needs --app-secret, or --client-id and --key"))?;
    let (header, claims) = subject.assertion(backend).await?;
    let given = subject.assert(backend, &backend.signer.sign(&header, &claims.to_string())).await?;
    let own = given.text("access_token").ok_or_else(|| skipped(format!("needs a token: {given}")))?;
    let (header, claims) = subject.assertion(backend).await?;
    let assertion = backend.signer.sign(&header, &claims.to_string());
    let pairs =
        [("token", unknown.unwrap_or(&own)), ("client_assertion_type", ASSERTION), ("client_assertion", &*assertion)];
    let answer = subject.web.post_form(endpoint, &pairs).send().await?;
    Ok((answer, backend.client.clone(), given.text("scope").unwrap_or_default()))
}

async fn introspect(subject: &Subject) -> Told {
    let (answer, client, scope) = introspected(subject, None).await?;
    if matches!(answer.status.as_u16(), 401 | 403) {
        return Err(skipped(format!("needs software that may ask what its tokens are: {answer}")));
    }
    let told = answer.json();
    ensure(told["active"] == true, answer.to_string())?;
    ensure(told["client_id"] == client.as_str(), format!("client_id is {}", told["client_id"]))?;
    let mut scopes: Vec<&str> = told["scope"].as_str().unwrap_or_default().split_whitespace().collect();
    let mut given: Vec<&str> = scope.split_whitespace().collect();
    scopes.sort_unstable();
    given.sort_unstable();
    ensure(scopes == given, format!("scope is {scopes:?}, and {given:?} was given"))?;
    ensure(told.get("exp").is_none_or(Value::is_number), "exp is no number")
}

async fn introspect_unknown(subject: &Subject) -> Told {
    let (answer, ..) = introspected(subject, Some("conformance-unknown")).await?;
    if matches!(answer.status.as_u16(), 401 | 403) {
        return Err(skipped(format!("needs software that may ask what tokens are: {answer}")));
    }
    let told = answer.json();
    let alone = told.as_object().is_some_and(|told| told.len() == 1);
    ensure(told["active"] == false && alone, answer.to_string())
}

async fn refresh(subject: &Subject) -> Told {
    launched(subject).await?.text("refresh_token")?;
    let own = subject.launch(&[]).await?;
    let answer = subject.refresh(own.text("refresh_token")?, &[]).await?;
    ensure(answer.status == StatusCode::OK && answer.json()["access_token"].is_string(), answer.to_string())
}

async fn refresh_body(subject: &Subject) -> Told {
    launched(subject).await?.text("refresh_token")?;
    let own = subject.launch(&[]).await?;
    let answer = subject.refresh(own.text("refresh_token")?, &[]).await?;
    let told = answer.json();
    let more =
        told["scope"].as_str().unwrap_or_default().split_whitespace().find(|one| !own.scopes().any(|had| had == *one));
    ensure(more.is_none(), format!("{more:?} was not given before"))?;
    ensure(answer.header("cache-control").contains("no-store"), "cache-control is not no-store")?;
    let token = answer.text("access_token").ok_or_else(|| failed(answer.to_string()))?;
    let read = subject.get("Patient", &token).await?;
    ensure(read.status == StatusCode::OK, read.to_string())
}

async fn revocation(subject: &Subject) -> Told {
    launched(subject).await?;
    let endpoint = subject.endpoint("revocation_endpoint").await?;
    let own = subject.launch(&[]).await?;
    let what = own.text("refresh_token").or_else(|_| own.token())?;
    let answer = subject.app_asks(endpoint, &changed(&[("token", what)], &[]))?.send().await?;
    ensure(answer.status == StatusCode::OK, answer.to_string())?;
    if let Ok(token) = own.text("refresh_token") {
        refused(&subject.refresh(token, &[]).await?, &["invalid_grant"])?;
    }
    let read = subject.get("Patient", own.token()?).await?;
    ensure(read.status == StatusCode::UNAUTHORIZED, read.to_string())
}
