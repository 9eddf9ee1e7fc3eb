//! A person with a browser, as a program: it follows the pages, fills in the forms, and keeps the cookie.

use crate::Failure;
use bytes::Bytes;
use http::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use http::{HeaderMap, Method};
use medlock_node::http::Client;
use std::collections::HashMap;

const FORM: &str = "application/x-www-form-urlencoded";
/// Pages until one is called back: more than there are.
const MOST_PAGES: usize = 8;

/// A browser.
#[derive(Debug)]
pub(super) struct Browser {
    client: Client,
    /// Where it is: `http://host:port`.
    origin: String,
    cookie: Option<String>,
}

/// A page, or where one is sent instead.
#[derive(Debug)]
struct Page {
    text: String,
    sent_to: Option<String>,
}

impl Browser {
    /// One that has been nowhere yet.
    pub(super) fn new(client: Client, origin: &str) -> Self {
        Self { client, origin: origin.to_owned(), cookie: None }
    }

    /// Opens what an app asks with, signs in with this name and code, and agrees to all: what the app is called back with at
    /// `redirect`, and what was agreed to.
    ///
    /// # Errors
    /// When a page says no, or is another than one expects.
    pub(super) async fn agree(
        &mut self,
        query: &str,
        (name, code): (&str, &str),
        redirect: &str,
    ) -> Result<(HashMap<String, String>, Vec<String>), Failure> {
        let mut page = self.open(Method::GET, &format!("/auth/authorize?{query}"), None).await?;
        let (mut agreed, mut tried) = (Vec::new(), false);
        for _ in 0..MOST_PAGES {
            if let Some(address) = &page.sent_to {
                if let Some(answer) = address.strip_prefix(redirect).and_then(|rest| rest.strip_prefix('?')) {
                    let answer = form_urlencoded::parse(answer.as_bytes()).into_owned().collect();
                    return Ok((answer, agreed));
                }
                let path = address.strip_prefix(&self.origin).unwrap_or(address).to_owned();
                page = self.open(Method::GET, &path, None).await?;
            } else if page.text.contains("action=\"/auth/login\"") {
                if tried {
                    return Err(format!("signing in is refused: {}", in_words(&page.text)).into());
                }
                tried = true;
                let ticket = page.values("ticket").swap_remove(0);
                let form = [("ticket", ticket.as_str()), ("name", name), ("code", code)];
                page = self.open(Method::POST, "/auth/login", Some(&form)).await?;
            } else if page.text.contains("action=\"/auth/consent\"") {
                agreed = page.values("scope");
                let ticket = page.values("ticket").swap_remove(0);
                let mut form = vec![("ticket", ticket.as_str()), ("decision", "allow")];
                form.extend(agreed.iter().map(|scope| ("scope", scope.as_str())));
                page = self.open(Method::POST, "/auth/consent", Some(&form)).await?;
            } else {
                return Err(format!("no page to go on from: {}", in_words(&page.text)).into());
            }
        }
        Err("the pages come to no end".into())
    }

    async fn open(&mut self, method: Method, path: &str, form: Option<&[(&str, &str)]>) -> Result<Page, Failure> {
        let body = form.map(|form| form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish());
        let kind = body.as_ref().map(|_| FORM);
        let mut request = self.client.request(method, path, kind, Bytes::from(body.unwrap_or_default()))?;
        request.headers_mut().insert(ORIGIN, self.origin.parse()?);
        if let Some(cookie) = &self.cookie {
            request.headers_mut().insert(COOKIE, cookie.parse()?);
        }
        let answer = self.client.send(request).await?;
        let text_of =
            |headers: &HeaderMap, name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if let Some(cookie) = text_of(answer.headers(), SET_COOKIE) {
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        let sent_to = text_of(answer.headers(), LOCATION);
        Ok(Page { text: String::from_utf8_lossy(answer.body()).into_owned(), sent_to })
    }
}

impl Page {
    /// The values of the fields with this name; an empty one if there is none.
    fn values(&self, name: &str) -> Vec<String> {
        let marked = format!("name=\"{name}\" value=\"");
        let found = self.text.split(&marked).skip(1).filter_map(|rest| rest.split('"').next());
        let mut all: Vec<String> = found.map(str::to_owned).collect();
        if all.is_empty() {
            all.push(String::new());
        }
        all
    }
}

/// What a page says, without its marks, and not all of it.
fn in_words(html: &str) -> String {
    let body = html.split_once("<main>").map_or(html, |(_, body)| body);
    let words = body.split('<').filter_map(|part| part.split_once('>').map(|(_, text)| text));
    words.collect::<Vec<_>>().join(" ").chars().take(300).collect()
}
