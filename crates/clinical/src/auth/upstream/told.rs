//! What an ID token has to say (OpenID Connect Core 1.0, sections 3.1.3.7 and 2).

use crate::jose::{Claims, Wrong};
use medlock_node::provider::same_secret;

/// How far clocks may differ, in seconds.
const SKEW: i64 = 60;
/// Characters of who somebody is, at most (section 8 gives a `sub` 255).
pub(super) const LONGEST: usize = 255;

/// What was asked, to which the token answers.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// The provider.
    pub(super) issuer: &'a str,
    /// As whom it knows us.
    pub(super) client_id: &'a str,
    /// The claim that says who somebody is.
    pub(super) claim: &'a str,
    /// What only this browser's sign-in can bring back.
    pub(super) nonce: &'a str,
    /// When the browser was sent there, in seconds since 1970.
    pub(super) begun: i64,
    /// How old a sign-in may have been then, in seconds.
    pub(super) oldest: Option<i64>,
}

/// Claims by which a person sees whom the provider means: it, or its people, choose them, so nobody is known by them.
const SHOWN: [&str; 3] = ["name", "preferred_username", "email"];
/// Characters of each, at most.
const MOST_SHOWN: usize = 80;

/// Who has signed in, and when, in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) subject: String,
    /// How they are called there, for people to read alone; perhaps nothing.
    pub(super) shown: String,
    pub(super) since: i64,
}

/// What the claims of a token say, whose key is the provider's.
///
/// # Errors
/// The first check that fails answers.
pub(super) fn check(claims: &Claims, asked: &Asked<'_>, now: i64) -> Result<Told, String> {
    let wrong = |error: Wrong| error.to_string();
    let need = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    need(claims.text("iss").map_err(wrong)? == asked.issuer, "its iss is another provider")?;
    let audiences = claims.audiences().map_err(wrong)?;
    need(audiences.iter().any(|audience| audience == asked.client_id), "its aud is somebody else")?;
    // Rules 3 to 5: where others are meant too, it says for whom it was made.
    let party = claims.optional_text("azp").map_err(wrong)?;
    need(party.is_some() || audiences.len() == 1, "it is for several and has no azp")?;
    need(party.is_none_or(|party| party == asked.client_id), "its azp is somebody else")?;
    need(claims.time("exp").map_err(wrong)?.unix() > now.saturating_sub(SKEW), "it has expired")?;
    // It was made for this sign-in: not before, and not ahead of us.
    let made = claims.time("iat").map_err(wrong)?.unix();
    need(made <= now.saturating_add(SKEW), "it was made in the future")?;
    need(made >= asked.begun.saturating_sub(SKEW), "it was made before it was asked for")?;
    let nonce = claims.text("nonce").map_err(wrong)?;
    need(same_secret(nonce.as_bytes(), asked.nonce.as_bytes()), "its nonce is not that of this browser's sign-in")?;
    let since = claims.optional_time("auth_time").map_err(wrong)?.map(|time| time.unix().min(now));
    let since = match (since, asked.oldest) {
        (since, None) => since.unwrap_or(now),
        (None, Some(_)) => return Err("max_age was asked, and it has no auth_time".to_owned()),
        (Some(since), Some(oldest)) => {
            let from = asked.begun.saturating_sub(oldest).saturating_sub(SKEW);
            need(since >= from, "the sign-in is older than was asked (auth_time)")?;
            // What was young enough when it was asked has not become too old on the way.
            since.max(now.saturating_sub(oldest))
        }
    };
    let subject = claims.with(asked.claim, |node| node.text().map(std::borrow::Cow::into_owned));
    let subject = subject.filter(|text| is_subject(text));
    let subject = subject.ok_or_else(|| format!("its {} is missing or no such value", asked.claim))?;
    Ok(Told { subject, shown: shown(claims), since })
}

/// How the provider calls somebody, in one line.
fn shown(claims: &Claims) -> String {
    let mut all: Vec<String> = Vec::new();
    for claim in SHOWN {
        let text = claims.with(claim, |node| node.text().map(std::borrow::Cow::into_owned)).unwrap_or_default();
        let text: String = text.trim().chars().filter(|letter| !letter.is_control()).take(MOST_SHOWN).collect();
        if !text.is_empty() && !all.contains(&text) {
            all.push(text);
        }
    }
    all.join(", ")
}

/// Whether somebody can be called so.
pub(super) fn is_subject(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{Compact, Key, signing_input};
    use data_encoding::BASE64URL_NOPAD;
    use medlock_node::provider::{WebAlgorithm, WebKey};
    use serde_json::{Value, json};

    const NOW: i64 = 1_800_000_000;

    fn claims(claims: &Value) -> Claims {
        let key = WebKey::generate(WebAlgorithm::Es256);
        let input = signing_input(br#"{"alg":"ES256"}"#, claims.to_string().as_bytes());
        let token = format!("{input}.{}", BASE64URL_NOPAD.encode(&key.sign(input.as_bytes())));
        Compact::read(&token).unwrap().verify(&Key::from_spki(key.spki()).unwrap()).unwrap()
    }

    /// Shows REQ-SMART-82, REQ-SMART-121.
    #[test]
    fn an_id_token_is_for_this_sign_in_of_this_browser() {
        let asked = |oldest| Asked {
            issuer: "https://login.example",
            client_id: "medlock",
            claim: "sub",
            nonce: "n",
            begun: NOW - 100,
            oldest,
        };
        let fine = json!({
            "iss": "https://login.example", "aud": "medlock", "sub": "anna", "nonce": "n",
            "exp": NOW + 100, "iat": NOW, "auth_time": NOW - 50,
        });
        let told = Told { subject: "anna".to_owned(), shown: String::new(), since: NOW - 50 };
        assert_eq!(check(&claims(&fine), &asked(None), NOW), Ok(told.clone()));
        let but = |changes: &[(&str, Value)]| {
            let mut changed = fine.clone();
            for (name, value) in changes {
                match value {
                    Value::Null => _ = changed.as_object_mut().unwrap().remove(*name),
                    value => changed[*name] = value.clone(),
                }
            }
            claims(&changed)
        };
        for (name, value) in [
            ("iss", json!("https://login.example/")),
            ("iss", json!("https://evil.example")),
            ("iss", Value::Null),
            ("aud", json!("other")),
            ("aud", json!([])),
            ("aud", json!(["medlock", "other"])),
            ("aud", Value::Null),
            ("azp", json!("other")),
            ("azp", json!(1)),
            ("exp", json!(NOW - 60)),
            ("exp", Value::Null),
            ("iat", json!(NOW + 61)),
            ("iat", json!(NOW - 161)),
            ("iat", Value::Null),
            ("nonce", json!("m")),
            ("nonce", Value::Null),
            ("sub", json!("")),
            ("sub", json!("a\nb")),
            ("sub", json!("a".repeat(256))),
            ("sub", json!(7)),
            ("auth_time", json!("now")),
        ] {
            assert!(check(&but(&[(name, value.clone())]), &asked(None), NOW).is_err(), "{name} {value}");
        }
        for fine in [
            vec![("aud", json!(["other", "medlock"])), ("azp", json!("medlock"))],
            vec![("azp", json!("medlock"))],
            vec![("exp", json!(NOW - 59))],
            vec![("iat", json!(NOW - 160))],
        ] {
            assert_eq!(check(&but(&fine), &asked(None), NOW).as_ref(), Ok(&told), "{fine:?}");
        }
        // When the person was there is asked only where it counts, and then it has to be said.
        let without = but(&[("auth_time", Value::Null)]);
        assert_eq!(check(&without, &asked(None), NOW).map(|told| told.since), Ok(NOW));
        assert!(check(&without, &asked(Some(3_600)), NOW).is_err());
        let old = but(&[("auth_time", json!(NOW - 3_761))]);
        assert!(check(&old, &asked(Some(3_600)), NOW).is_err());
        let edge = but(&[("auth_time", json!(NOW - 3_700))]);
        assert_eq!(check(&edge, &asked(Some(3_600)), NOW).map(|told| told.since), Ok(NOW - 3_600));
        assert_eq!(check(&but(&[]), &asked(Some(0)), NOW).map(|told| told.since), Ok(NOW));
        let ahead = but(&[("auth_time", json!(NOW + 50))]);
        assert_eq!(check(&ahead, &asked(None), NOW).map(|told| told.since), Ok(NOW));
        // Who somebody is, is said by the claim that was named.
        let named = Asked { claim: "oid", ..asked(None) };
        assert!(check(&but(&[]), &named, NOW).is_err());
        let told = check(&but(&[("oid", json!("4711"))]), &named, NOW).map(|told| told.subject);
        assert_eq!(told.as_deref(), Ok("4711"));
        // What people are shown is short, and in one line.
        let long =
            but(&[("name", json!(format!("\u{7}Anna\n{}", "a".repeat(100)))), ("email", json!("anna@ward.example"))]);
        let told = check(&long, &asked(None), NOW).map(|told| told.shown);
        assert_eq!(told, Ok(format!("Anna{}, anna@ward.example", "a".repeat(76))));
        let same = but(&[("name", json!("anna")), ("preferred_username", json!("anna")), ("email", json!(7))]);
        assert_eq!(check(&same, &asked(None), NOW).map(|told| told.shown).as_deref(), Ok("anna"));
    }
}
