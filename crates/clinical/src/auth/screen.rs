//! The pages people see: plain HTML that works without a script, in any browser, read aloud, and in large letters.

use super::choice::{Choice, FIND};
use super::scope::{Scope, Scopes, Whose, Word};
use crate::access::{Constraint, Verb};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use medlock_node::provider;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Light and dark as the person likes it; what is chosen is seen without colours too.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#16202a;--soft:#51606e;--paper:#fff;--edge:#c9d3dc;--deep:#0b5c8a;--on-deep:#fff;--ground:#eef3f6;--alarm:#a3201a}\
@media(prefers-color-scheme:dark){:root{--ink:#e8eef3;--soft:#a9b7c3;--paper:#17212b;--edge:#3a4957;--deep:#6cc0ee;--on-deep:#06222f;--ground:#0e151c;--alarm:#ff9b93}}\
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:1.0625rem/1.55 system-ui,sans-serif}\
main{max-width:34rem;margin:6vh auto;padding:2rem;background:var(--paper);border:1px solid var(--edge);border-radius:.75rem}\
h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}p{margin:.5rem 0}.soft{color:var(--soft);font-size:.9375rem}\
label{display:block;margin:1rem 0 .25rem;font-weight:600}fieldset{border:0;margin:1rem 0;padding:0}legend{font-weight:600;padding:0}\
input[type=text],input[type=password]{width:100%;padding:.7rem;font:inherit;color:inherit;background:var(--paper);border:1px solid var(--soft);border-radius:.5rem}\
.line{display:flex;gap:.75rem;margin:0;padding:.7rem 0;border-bottom:1px solid var(--edge);font-weight:400}\
.line input{width:1.25rem;height:1.25rem;margin:.15rem 0 0;flex:none;accent-color:var(--deep)}\
button,a.button{font:inherit;font-weight:600;text-decoration:none;padding:.75rem 1.4rem;border-radius:.5rem;border:2px solid var(--deep);background:var(--deep);color:var(--on-deep);cursor:pointer}\
button.quiet{background:transparent;color:var(--deep)}.row{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.5rem}\
:focus-visible{outline:3px solid var(--deep);outline-offset:2px}.alarm{color:var(--alarm);font-weight:600}code{font-size:.95em}";

/// What stands in each form of passkeys, which need the script, and in no other place: text of others is escaped.
const PASSKEY: &str = "action=\"/auth/passkey";

/// A page. `sends_to` is where its forms may lead besides this server.
pub(super) fn page(status: StatusCode, title: &str, body: &str, sends_to: Option<&str>) -> Response {
    let nonce = BASE64.encode(&provider::random::<16>());
    // A page has the one script of ours, or none.
    let scripted = body.contains(PASSKEY);
    let script = if scripted { format!("'nonce-{nonce}'") } else { "'none'".to_owned() };
    let head = match scripted {
        true => format!("<script nonce=\"{nonce}\" src=\"/auth/passkey.js\" defer></script>"),
        false => String::new(),
    };
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src {script}; form-action 'self'{}{}; base-uri 'none'; frame-ancestors 'none'",
        if sends_to.is_some() { " " } else { "" },
        sends_to.unwrap_or_default()
    );
    let title = escaped(title);
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>{title}</title><style nonce=\"{nonce}\">{STYLE}</style>{head}</head>\
         <body><main><h1>{title}</h1>{body}</main></body></html>"
    );
    let fixed = HeaderValue::from_static;
    let Ok(policy) = HeaderValue::from_str(&policy) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let headers = [
        (CONTENT_TYPE, fixed("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, policy),
        (CACHE_CONTROL, fixed("no-store")),
        // Not `no-referrer`: browsers would send `Origin: null` with its forms, which are believed from this origin alone.
        (REFERRER_POLICY, fixed("same-origin")),
        (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
    ];
    (status, headers, html).into_response()
}

/// What went wrong, and what to do.
pub(super) fn told(text: &str) -> Response {
    let body = format!("<p>{}</p><p class=\"soft\">Close this page and start again in the app.</p>", escaped(text));
    page(StatusCode::BAD_REQUEST, "This does not work", &body, None)
}

/// The fields for an account's name and its code.
const NAME_AND_CODE: &str = "\
<label for=\"name\">Your name here</label><input type=\"text\" id=\"name\" name=\"name\" autocomplete=\"username\" \
autocapitalize=\"none\" spellcheck=\"false\" required autofocus>\
<label for=\"code\">Your code</label><input type=\"text\" id=\"code\" name=\"code\" autocomplete=\"one-time-code\" \
autocapitalize=\"characters\" spellcheck=\"false\" aria-describedby=\"how\" required>\
<p class=\"soft\" id=\"how\">Twelve letters and digits that the hospital gave you. Dashes do not matter.</p>";

/// Why one is asked to sign in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The code was wrong.
    Code,
    /// The passkey was.
    Passkey,
    /// The provider does not answer.
    Away,
    /// The provider's word was not taken.
    Upstream,
    /// Somebody else is signed in than who opened the app.
    Other,
}

/// The page on which one signs in.
pub(super) struct Login<'a> {
    /// The software.
    pub(super) app: &'a str,
    /// What comes back with the form.
    pub(super) ticket: &'a str,
    /// The form for a passkey.
    pub(super) passkey: &'a str,
    /// The name of the provider at which people sign in, and where that begins.
    pub(super) upstream: Option<(&'a str, String)>,
    /// Why it is there again, if it is.
    pub(super) wrong: Option<Wrong>,
}

/// The page on which one signs in: first where most do.
pub(super) fn login(page: &Login<'_>) -> Response {
    let (status, wrong) = match page.wrong {
        None => (StatusCode::OK, ""),
        Some(Wrong::Code) => (
            StatusCode::FORBIDDEN,
            "<p class=\"alarm\" role=\"alert\">Name and code do not fit. A code works once, for a day: \
             ask who gave it to you for another one.</p>",
        ),
        Some(Wrong::Passkey) => (
            StatusCode::FORBIDDEN,
            "<p class=\"alarm\" role=\"alert\">This passkey is not known here, or does not count any more. Try again, or sign in \
             with a code.</p>",
        ),
        Some(Wrong::Away) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "<p class=\"alarm\" role=\"alert\">Where you sign in does not answer now. Try again in a minute, or sign in here with a \
             passkey or a code.</p>",
        ),
        Some(Wrong::Upstream) => (
            StatusCode::FORBIDDEN,
            "<p class=\"alarm\" role=\"alert\">You were not signed in. Try again; if it happens again, tell the hospital when it was.</p>",
        ),
        Some(Wrong::Other) => (
            StatusCode::OK,
            "<p class=\"alarm\" role=\"alert\">Somebody else opened this app than the person who is signed in here. Sign in as that \
             person, or open the app again yourself.</p>",
        ),
    };
    let upstream = match &page.upstream {
        Some((name, address)) => format!(
            "<div class=\"row\"><a class=\"button\" href=\"{}\">Sign in with {}</a></div><p class=\"soft\">Or here:</p>",
            escaped(address),
            escaped(name)
        ),
        None => String::new(),
    };
    let (app, ticket, passkey) = (escaped(page.app), page.ticket, page.passkey);
    let body = format!(
        "<p><strong>{app}</strong> wants to use your health data. Sign in to see what it asks.</p>{wrong}{upstream}\
         <form method=\"post\" action=\"/auth/login\"><input type=\"hidden\" name=\"ticket\" value=\"{ticket}\">{NAME_AND_CODE}\
         <div class=\"row\"><button>Sign in</button></div></form>{passkey}"
    );
    self::page(status, "Sign in", &body, None)
}

/// Whom the provider means: how it calls them, if it says so, and who they are to it. Text of others stays in its own direction.
fn whom((shown, subject): (&str, &str)) -> String {
    let subject = format!("<code><bdi>{}</bdi></code>", escaped(subject));
    match shown {
        "" => subject,
        shown => format!("<strong><bdi>{}</bdi></strong> ({subject})", escaped(shown)),
    }
}

/// Whom the provider signed in, and nobody here knows.
pub(super) fn unknown(provider: &str, who: (&str, &str)) -> Response {
    let (provider, subject, who) = (escaped(provider), escaped(who.1), whom(who));
    let body = format!(
        "<p>{provider} has signed in {who}, and nobody here has said who that is. If it is you, ask the hospital to connect your \
         account, and tell it this: <code>{subject}</code></p><p>If it is not you, do not pass it on: sign out of {provider}.</p>\
         <p class=\"soft\">Close this page, and start again in the app when it is done.</p>"
    );
    page(StatusCode::FORBIDDEN, "You are not known here yet", &body, None)
}

/// The same where they may say it themselves.
pub(super) fn link(provider: &str, who: (&str, &str), ticket: &str, wrong: bool) -> Response {
    let (status, alarm) = match wrong {
        false => (StatusCode::OK, ""),
        true => (
            StatusCode::FORBIDDEN,
            "<p class=\"alarm\" role=\"alert\">Name and code do not fit, or your account is connected \
             to somebody already. Ask who gave you the code.</p>",
        ),
    };
    let (provider, who) = (escaped(provider), whom(who));
    let body = format!(
        "<p>{provider} has signed in {who}. If that is you, say once who you are here; from then on whoever {provider} signs in so \
         is you.</p>{alarm}\
         <form method=\"post\" action=\"/auth/upstream/link\"><input type=\"hidden\" name=\"ticket\" value=\"{ticket}\">{NAME_AND_CODE}\
         <div class=\"row\"><button>Connect</button>\
         <button class=\"quiet\" name=\"decision\" value=\"not-me\" formnovalidate>This is not me</button></div></form>"
    );
    page(status, "Connect your account", &body, None)
}

/// Somebody else was signed in at the provider.
pub(super) fn not_me(provider: &str) -> Response {
    let provider = escaped(provider);
    let body = format!(
        "<p>No account was connected. Sign out of {provider} on this computer, and sign in there as yourself.</p>\
         <p class=\"soft\">Close this page, and start again in the app.</p>"
    );
    page(StatusCode::OK, "Nothing was connected", &body, None)
}

/// What a person is asked.
pub(super) struct Asked<'a> {
    /// The software.
    pub(super) app: &'a str,
    /// Who is signed in.
    pub(super) person: &'a str,
    /// What it wants.
    pub(super) scopes: &'a Scopes,
    /// Among whom the person chooses.
    pub(super) choice: Option<&'a Choice>,
    /// Whom it was opened for.
    pub(super) about: Option<&'a str>,
    /// The form with which the person makes a passkey, if that may be.
    pub(super) passkey: &'a str,
    /// The community that vouches for it, and the address that it proved, if it registered by itself: it chose its name.
    pub(super) community: Option<(&'a str, &'a str)>,
    /// For how long it may stay, in days.
    pub(super) days: i64,
    /// What comes back with the form.
    pub(super) ticket: &'a str,
    /// Where the answer goes.
    pub(super) origin: &'a str,
}

/// The page on which a person agrees, to all or a part of it, or does not.
pub(super) fn consent(asked: &Asked<'_>) -> Response {
    let mut body = format!(
        "<p>You are signed in as <strong>{}</strong>. Untick what you do not want; the app works with what is left.</p>",
        escaped(asked.person)
    );
    if let Some((community, uri)) = asked.community {
        let _ = write!(
            body,
            "<p>Nobody of this hospital knows this app. It calls itself <strong>{}</strong>; what {} vouches for is that it is \
             <code>{}</code>.</p>",
            escaped(asked.app),
            escaped(community),
            escaped(uri)
        );
    }
    if let Some(choice) = asked.choice.filter(|choice| choice.more || !choice.find.is_empty()) {
        search(choice, &mut body);
    }
    let _ = write!(
        body,
        "<form method=\"post\" action=\"/auth/consent\"><input type=\"hidden\" name=\"ticket\" value=\"{}\">",
        asked.ticket
    );
    if let Some(name) = asked.about {
        let _ = write!(body, "<p>It was opened for <strong>{}</strong>.</p>", escaped(name));
    }
    if let Some(Choice { patients, more, find, .. }) = asked.choice {
        body.push_str("<fieldset><legend>Whose data</legend>");
        let shown = patients.len();
        body.push_str(&match (shown, more) {
            (0, true) if find.is_empty() => {
                "<p>There are too many patients to show them here. Say above whom you mean.</p>".to_owned()
            }
            (0, true) => "<p>That took too long. Say more of whom you mean: the number is the quickest.</p>".to_owned(),
            (0, false) => "<p>There is no such patient here.</p>".to_owned(),
            (_, true) => format!(
                "<p class=\"soft\">These are {shown}, and there are more. Who is not among them is found above.</p>"
            ),
            (_, false) => String::new(),
        });
        for (place, (id, name)) in patients.iter().enumerate() {
            let first = if place == 0 { " required" } else { "" };
            let (id, name) = (escaped(id), escaped(name));
            let _ = write!(
                body,
                "<label class=\"line\"><input type=\"radio\" name=\"patient\" value=\"{id}\"{first}><span>{name}</span></label>"
            );
        }
        body.push_str("</fieldset>");
    }
    body.push_str("<fieldset><legend>It may</legend>");
    for (value, text) in lines(asked.scopes, asked.days) {
        let (value, text) = (escaped(&value), escaped(&text));
        let _ = write!(
            body,
            "<label class=\"line\"><input type=\"checkbox\" name=\"scope\" value=\"{value}\" checked><span>{text}</span></label>"
        );
    }
    let _ = write!(
        body,
        "</fieldset><p class=\"soft\">The answer goes to <code>{}</code>. You can end this at any time: ask the hospital.</p>\
         <div class=\"row\"><button name=\"decision\" value=\"allow\">Allow</button>\
         <button class=\"quiet\" name=\"decision\" value=\"refuse\" formnovalidate>Do not allow</button></div></form>",
        escaped(asked.origin)
    );
    body.push_str(asked.passkey);
    page(StatusCode::OK, &format!("{} asks for your agreement", asked.app), &body, Some(asked.origin))
}

/// The form with which one looks for a patient: the same page again, with what is written there.
fn search(choice: &Choice, body: &mut String) {
    body.push_str("<form method=\"get\" action=\"/auth/authorize\" role=\"search\">");
    for (name, value) in &choice.asked {
        let (name, value) = (escaped(name), escaped(value));
        let _ = write!(body, "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">");
    }
    let find = escaped(&choice.find);
    let _ = write!(
        body,
        "<label for=\"find\">Find a patient by name, birth date (1980-01-31) or number</label><input type=\"text\" id=\"find\" name=\"{FIND}\" value=\"{find}\" \
         autocomplete=\"off\" spellcheck=\"false\"><div class=\"row\"><button class=\"quiet\">Find</button></div></form>"
    );
}

/// One line for each scope that can be unticked: its text as a scope, and in plain words.
fn lines(scopes: &Scopes, days: i64) -> Vec<(String, String)> {
    let words = [
        (Word::OpenId, "know that it is you, and recognise you again".to_owned()),
        (Word::FhirUser, "know which person of this hospital you are".to_owned()),
        (Word::Offline, format!("stay connected for {days} days, also when you do not use it")),
        (Word::Online, "stay connected while you use it".to_owned()),
    ];
    let resources = scopes.resources().iter().map(|scope| (scope.to_string(), in_words(scope)));
    let words = words.into_iter().filter(|(word, _)| scopes.has(*word));
    resources.chain(words.map(|(word, text)| (word.name().to_owned(), text))).collect()
}

/// A scope in plain words.
fn in_words(scope: &Scope) -> String {
    let verbs = [
        ("read", [Verb::Read, Verb::Search].into_iter().any(|verb| scope.verbs.has(verb))),
        ("add", scope.verbs.has(Verb::Create)),
        ("change", scope.verbs.has(Verb::Update)),
        ("delete", scope.verbs.has(Verb::Delete)),
    ];
    let verbs: Vec<&str> = verbs.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect();
    let verbs = match verbs.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        all => all.join(""),
    };
    let whose = match scope.whose {
        Whose::Patient => "of this patient",
        Whose::User => "that you may see",
        Whose::System => "of all patients",
    };
    let what = match scope.kind.map(crate::kind::Kind::name) {
        None => "all data",
        // A part of them may be what these words do not say.
        Some("Observation") if scope.only.is_some() => "observations",
        Some("Patient") => "name, birth date and contact details",
        Some("Device") => "the medical devices in use",
        Some("DeviceMetric") => "what the devices can measure",
        Some("Observation") => "glucose readings and other measurements",
        Some("Practitioner" | "PractitionerRole") => "who works at the hospital",
        Some("Organization") => "the hospital and its wards",
        Some("MedicationAdministration") => "medicine that was given, such as insulin",
        Some("ServiceRequest") => "examinations that were ordered",
        Some("DiagnosticReport") => "findings and reports",
        Some("ImagingStudy") => "which images were taken",
        Some("Consent") => "agreements about the data",
        Some(other) => other,
    };
    let whose = match scope.kind.map(crate::kind::Kind::name) {
        Some("Practitioner" | "PractitionerRole" | "Organization") => "",
        _ => whose,
    };
    let only = scope.only.as_deref().map(only_in_words).unwrap_or_default();
    format!("{} {whose}", format!("{verbs} {what} {only}").trim_end()).trim_end().to_owned()
}

/// What has to hold of a resource, in plain words: `of category laboratory or survey`.
fn only_in_words(only: &Constraint) -> String {
    let one = |(name, values): (&str, &[String])| {
        let values: Vec<Cow<'_, str>> = values.iter().map(|value| value_in_words(value)).collect();
        format!("of {} {}", name.trim_start_matches('_').replace('-', " "), values.join(" or "))
    };
    only.parameters().map(one).collect::<Vec<_>>().join(" and ")
}

/// A code is told without its system where that is HL7's own; all else as it stands there.
fn value_in_words(value: &str) -> Cow<'_, str> {
    match value.rsplit_once('|') {
        Some((system, code)) if system.starts_with("http://terminology.hl7.org/CodeSystem/") => code.into(),
        Some((system, code)) if !system.is_empty() => format!("{code} ({system})").into(),
        Some((_, code)) => code.into(),
        None => value.into(),
    }
}

/// Text within HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-SMART-55.
    #[test]
    fn the_forms_of_a_page_say_where_they_come_from() {
        let page = login(&Login { app: "an app", ticket: "ticket", passkey: "", upstream: None, wrong: None });
        assert_eq!(page.headers()[REFERRER_POLICY], "same-origin", "with `no-referrer` browsers send `Origin: null`");
    }

    /// Shows REQ-SMART-221.
    #[tokio::test]
    async fn who_is_found_too_slowly_is_asked_for_in_more_words() {
        let shown = async |find: &str, more| {
            let choice = Choice { patients: vec![], rows: vec![], asked: vec![], find: find.to_owned(), more };
            let asked = Asked {
                app: "an app",
                person: "doe",
                scopes: &Scopes::default(),
                choice: Some(&choice),
                about: None,
                passkey: "",
                community: None,
                days: 90,
                ticket: "ticket",
                origin: "https://app.example",
            };
            let body = axum::body::to_bytes(consent(&asked).into_body(), 1 << 16).await.expect("a page");
            String::from_utf8(body.to_vec()).expect("text")
        };
        assert!(shown("", true).await.contains("There are too many patients to show them here."));
        assert!(shown("meier", true).await.contains("That took too long. Say more of whom you mean"));
        assert!(shown("meier", false).await.contains("There is no such patient here."));
    }

    /// Shows REQ-SMART-33: what is asked stands there in plain words, a line each. REQ-SMART-141: so does of which resources alone.
    #[test]
    fn scopes_are_said_in_plain_words() {
        let scopes =
            Scopes::read("openid launch/patient patient/Observation.rs patient/Patient.r offline_access user/*.cud");
        let told: Vec<String> = lines(&scopes.expect("scopes"), 90).into_iter().map(|(_, text)| text).collect();
        assert_eq!(
            told,
            [
                "read glucose readings and other measurements of this patient",
                "read name, birth date and contact details of this patient",
                "add, change and delete all data that you may see",
                "know that it is you, and recognise you again",
                "stay connected for 90 days, also when you do not use it",
            ]
        );
        let category = "http://terminology.hl7.org/CodeSystem/observation-category";
        for (scope, words) in [
            (
                format!("patient/Observation.rs?category={category}|laboratory"),
                "read observations of category laboratory of this patient",
            ),
            (
                "user/Observation.cu?category=survey,vital-signs&code=http://loinc.org|8867-4".to_owned(),
                "add and change observations of category survey or vital-signs and of code 8867-4 (http://loinc.org) that you may see",
            ),
            (
                "patient/Observation.r?value-concept=|x".to_owned(),
                "read observations of value concept x of this patient",
            ),
            (
                "user/Practitioner.r?identifier=urn:staff|7".to_owned(),
                "read who works at the hospital of identifier 7 (urn:staff)",
            ),
            (
                "patient/DiagnosticReport.r?_tag=%3Cb%3E".to_owned(),
                "read findings and reports of tag <b> of this patient",
            ),
        ] {
            let read = Scopes::read(&scope).expect("a scope");
            assert_eq!(lines(&read, 90), [(scope, words.to_owned())]);
        }
        assert_eq!(escaped("<a href='x'>&\"</a>"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&lt;/a&gt;");
    }
}
