//! By which a receiver knows the hub, and for which Subscription it is told: HTTP Message Signatures (RFC 9421) over method, address, body
//! (RFC 9530) and the Subscription's identifier, by the key for ES256 that `/auth/keys` publishes.

use crate::Clinical;
use crate::jose::Key;
use crate::kind::Id;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::{HeaderName, HeaderValue, Method};
use medlock_node::outbound::Address;
use medlock_node::provider::{WebAlgorithm, sha256};

/// Whose Subscription it is: anybody who may write one can name any address that is called.
const SUBSCRIPTION: HeaderName = HeaderName::from_static("medlock-subscription");
/// Digest (RFC 9530 section 2), and signature with what it covers (RFC 9421 section 4).
const DIGEST: HeaderName = HeaderName::from_static("content-digest");
const INPUT: HeaderName = HeaderName::from_static("signature-input");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");

/// The headers that sign a request for this Subscription. Asks the signer: blocks.
///
/// # Errors
/// Why it is not signed now.
pub(super) fn headers(
    clinical: &Clinical,
    method: &Method,
    to: &Address,
    body: &[u8],
    subscription: &Id,
) -> Result<[(HeaderName, HeaderValue); 4], String> {
    let (keys, algorithm) = (clinical.web_keys(), WebAlgorithm::Es256);
    let spki = keys.public_key(algorithm).map_err(|error| error.to_string())?;
    let key = Key::from_spki(&spki).ok_or("the signer's key is none for notices")?;
    let (name, created) = (BASE64URL_NOPAD.encode(key.thumbprint()), clinical.clock().now().unix());
    let digest = format!("sha-256=:{}:", BASE64.encode(&sha256(body)));
    let covered = format!(
        "(\"@method\" \"@target-uri\" \"content-digest\" \"{SUBSCRIPTION}\");created={created};keyid=\"{name}\";alg=\"ecdsa-p256-sha256\";tag=\"medlock-notice\""
    );
    let base = format!(
        "\"@method\": {method}\n\"@target-uri\": https://{}{}\n\"content-digest\": {digest}\n\"{SUBSCRIPTION}\": {subscription}\n\"@signature-params\": {covered}",
        to.authority(),
        to.path()
    );
    let signature = keys.sign(algorithm, &base).map_err(|error| error.to_string())?;
    let value = |text: String| HeaderValue::try_from(text).map_err(|error| error.to_string());
    Ok([
        (SUBSCRIPTION, value(subscription.to_string())?),
        (DIGEST, value(digest)?),
        (INPUT, value(format!("hub={covered}"))?),
        (SIGNATURE, value(format!("hub=:{}:", BASE64.encode(&signature)))?),
    ])
}
