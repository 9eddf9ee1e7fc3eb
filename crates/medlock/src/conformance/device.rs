//! Devices and gateways: a token by a certificate, bound to it (RFC 8705).

use super::case::{Case, Given, Told, after, case, ensure, failed, skipped};
use super::subject::{Device, Subject, refused};
use super::web::{Answer, Url, Web};
use http::StatusCode;

pub(super) const CASES: &[Case] = &[
    case!(mtls_endpoint_alias, "where certificates are shown is told to everybody", alias),
    case!(mtls_token, "a certificate gets a token", token_given),
    case!(mtls_token_reads, "with the same certificate the token reads", reads),
    case!(mtls_token_without_certificate, "without one it reads nothing, at either address", without_certificate),
    case!(mtls_token_of_another_certificate, "with another device's it reads nothing", another_certificate),
    case!(mtls_nobody_gets_a_token, "who shows no certificate gets none", nobody),
    case!(mtls_certificate_for_another_client, "a certificate gets no token in another's name", another_client),
];

/// Where tokens are given for certificates.
async fn endpoint(subject: &Subject, device: &Device) -> Given<String> {
    let at = format!("{}/.well-known/smart-configuration", device.base);
    let told = device.web.get(at).send().await?.json();
    let own = told["mtls_endpoint_aliases"]["token_endpoint"].as_str().or_else(|| told["token_endpoint"].as_str());
    if let Some(own) = own {
        return Ok(own.to_owned());
    }
    let told = subject.smart().await?;
    let alias = told["mtls_endpoint_aliases"]["token_endpoint"].as_str().map(str::to_owned);
    alias.ok_or_else(|| failed("nothing says where tokens are given for certificates (mtls_endpoint_aliases)"))
}

async fn asked(subject: &Subject, web: &Web, client: Option<&str>) -> Given<Answer> {
    let device = subject.device()?;
    let mut pairs = vec![("grant_type", "client_credentials"), ("scope", device.scope.as_str())];
    pairs.extend(client.map(|client| ("client_id", client)));
    Ok(web.post_form(endpoint(subject, device).await?, &pairs).send().await?)
}

async fn token(subject: &Subject) -> Given<String> {
    let device = subject.device()?;
    let answer = asked(subject, &device.web, device.client.as_deref()).await?;
    answer.text("access_token").filter(|_| answer.status == StatusCode::OK).ok_or_else(|| failed(answer.to_string()))
}

async fn good(subject: &Subject) -> Given<(&Device, String)> {
    let device = subject.device()?;
    Ok((device, after("mtls_token", token(subject).await)?))
}

/// A search that the scope allows.
fn search(device: &Device) -> String {
    let kind = device.scope.split_whitespace().find_map(|scope| scope.strip_prefix("system/")?.split('.').next());
    format!("{}/{}?_count=1", device.base, kind.filter(|kind| *kind != "*").unwrap_or("Observation"))
}

async fn alias(subject: &Subject) -> Told {
    let device = subject.device()?;
    if device.base == subject.base {
        return Err(skipped("needs a server with a separate address for certificates"));
    }
    let told = subject.smart().await?;
    let alias = told["mtls_endpoint_aliases"]["token_endpoint"].as_str();
    let alias = alias.ok_or_else(|| failed("mtls_endpoint_aliases has no token_endpoint (RFC 8705, section 5)"))?;
    let (alias, base) = (Url::read(alias)?, Url::read(&device.base)?);
    ensure(
        alias.secure && alias.port == base.port,
        format!("it is at port {}, and certificates are shown at {}", alias.port, base.port),
    )
}

async fn token_given(subject: &Subject) -> Told {
    token(subject).await.map(drop)
}

async fn reads(subject: &Subject) -> Told {
    let (device, token) = good(subject).await?;
    let answer = device.web.get(search(device)).bearer(&token).send().await?;
    ensure(answer.status == StatusCode::OK, answer.to_string())
}

async fn without_certificate(subject: &Subject) -> Told {
    let (device, token) = good(subject).await?;
    let answer = subject.web.get(search(device)).bearer(&token).send().await?;
    ensure(answer.status == StatusCode::UNAUTHORIZED, answer.to_string())?;
    let answer = subject.get("Observation?_count=1", &token).await?;
    ensure(answer.status == StatusCode::UNAUTHORIZED, answer.to_string())
}

async fn another_certificate(subject: &Subject) -> Told {
    let (device, token) = good(subject).await?;
    let other = device.other.as_ref().ok_or_else(|| skipped("needs --other-certificate and --other-key"))?;
    let answer = other.get(search(device)).bearer(&token).send().await?;
    ensure(answer.status == StatusCode::UNAUTHORIZED, answer.to_string())
}

async fn nobody(subject: &Subject) -> Told {
    let (device, _) = good(subject).await?;
    refused(&asked(subject, &subject.web, device.client.as_deref()).await?, &["invalid_client", "invalid_request"])
}

async fn another_client(subject: &Subject) -> Told {
    let (device, _) = good(subject).await?;
    let answer = asked(subject, &device.web, Some("no-such-client")).await?;
    refused(&answer, &["invalid_client", "invalid_request", "unauthorized_client"])
}
