//! A person at a browser, who signs in and allows all that is asked.

use bytes::Bytes;
use http::{Method, Response};
use medlock_node::http::Client;

/// A browser with its cookies, and who sits at it.
pub(crate) struct Browser {
    /// The hub's address, `http://localhost:PORT`.
    pub(crate) public: String,
    pub(crate) name: String,
    pub(crate) code: String,
    pub(crate) cookie: String,
}

/// What stands behind `before` in a text, up to a quotation mark; each time.
fn all_behind(text: &str, before: &str) -> Vec<String> {
    let rests = text.split(before).skip(1);
    let plain = |text: &str| text.replace("&amp;", "&").replace("&#39;", "'").replace("&quot;", "\"");
    rests.map(|rest| plain(rest.split('"').next().unwrap_or_default())).collect()
}

fn form(pairs: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        text.bytes()
            .map(
                |byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") },
            )
            .collect()
    };
    pairs.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect::<Vec<_>>().join("&")
}

impl Browser {
    /// Opens an address, and does what its pages want.
    pub(crate) fn open(&mut self, url: &str) {
        tokio::runtime::Handle::current().block_on(self.follow(url.to_owned()));
    }

    async fn follow(&mut self, mut url: String) {
        let mut body = None;
        for _ in 0..8 {
            let answer = self.ask(&url, body.take()).await;
            if let Some(to) = answer.headers().get("location") {
                url = to.to_str().expect("text").to_owned();
                continue;
            }
            let page = String::from_utf8_lossy(answer.body()).into_owned();
            let Some(ticket) = all_behind(&page, "name=\"ticket\" value=\"").into_iter().next() else { return };
            if page.contains("action=\"/auth/login\"") {
                url = format!("{}/auth/login", self.public);
                body = Some(form(&[("ticket", &ticket), ("name", &self.name), ("code", &self.code)]));
            } else {
                let scopes = all_behind(&page, "name=\"scope\" value=\"");
                let mut pairs = vec![("ticket", ticket.as_str()), ("decision", "allow")];
                pairs.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
                url = format!("{}/auth/consent", self.public);
                body = Some(form(&pairs));
            }
        }
        panic!("the pages lead on and on: {url}");
    }

    async fn ask(&mut self, url: &str, body: Option<String>) -> Response<Bytes> {
        let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url} is not of this machine"));
        let (authority, path) = rest.split_once('/').expect("a path");
        let client = Client::plain(authority.to_owned());
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let of = body.as_ref().map(|_| "application/x-www-form-urlencoded");
        let body = Bytes::from(body.unwrap_or_default());
        let mut request = client.request(method, &format!("/{path}"), of, body).expect("a request");
        if url.starts_with(&self.public) {
            request.headers_mut().insert("origin", self.public.parse().expect("a header"));
            request.headers_mut().insert("cookie", self.cookie.parse().expect("a header"));
        }
        let answer = client.send(request).await.expect("an answer");
        if let Some(cookie) = answer.headers().get("set-cookie") {
            self.cookie = cookie.to_str().expect("text").split(';').next().expect("a cookie").to_owned();
        }
        answer
    }
}
